"""Makes Scratch projects from readable sources: scripts in the scratchblocks notation, drawings in SVG, a table of contents.

`docs/examples.md` describes the sources. `build` makes the bytes of an `.sb3` file of a folder with them.
"""

from sb3.notation import SourceError
from sb3.project import build

__all__ = ["SourceError", "build"]
