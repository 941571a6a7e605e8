"""CloudLink 4, version 0.1.9: packets of 0.2.0, where `link` replaces the rooms (protocol, section 4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cl4_020 import Cl4

if TYPE_CHECKING:
    from .base import Dialect, Opening

_LISTENERS = (b'"setprotocol"', b'"protocolset"')
"""The handshake listeners of that version's Scratch and Python clients."""


class Cl4Of019(Cl4):
    """CloudLink 0.1.9. Its clients understand all packets of 0.2.0."""

    name = "CL4 0.1.9"
    repeats_message = True
    tells_origin = False
    replaces_rooms = True

    def claims(self, opening: Opening, current: Dialect) -> bool:
        """Claim a handshake without a value from a client of that version.

        Other handshakes without a value come from handwritten clients of 0.2.0.
        """
        known = opening.cmd == "handshake" and not opening.val and opening.listener in _LISTENERS
        return known and not current.is_modern


CL4_019 = Cl4Of019()
