"""Where the values of settings come from: a file, the environment and flags, the later over the earlier.

Everything that is wrong ends the start with one sentence that names the place and how to mend it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cloudlink.errors import StartError
from cloudlink.options import PREFIX
from cloudlink.settings import OPTIONS, Settings, suggestion
from cloudlink.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def load(*, toml: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """Gather the settings of a command line: defaults, then the file, the environment and the flags.

    Args:
        toml: The settings file, or None for none.
        environ: The environment variables.
        flags: Values by option name: a text, a bool, or a list of texts.

    Raises:
        StartError: The file cannot be read, or a setting is unknown, of the wrong type or not allowed.
    """
    settings = Settings()
    if toml is not None:
        _apply_file(settings, toml)
    _apply_environment(settings, environ)
    for name, value in flags.items():
        known = OPTIONS[name]
        flag = "--no-" + known.flags[0][2:] if value is False else known.flags[0]
        ready = known.from_text(value) if isinstance(value, str) and known.kind is not list else value
        settings.set(name, ready, f"flag {flag}")
    settings.check()
    return settings


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Gather the settings of a server started from Python: defaults, then the environment.

    Raises:
        StartError: A variable is unknown, of the wrong type or not allowed.
    """
    settings = Settings()
    _apply_environment(settings, environ)
    return settings


def _apply_file(settings: Settings, path: Path) -> None:
    for name, value in _read_toml(path).items():
        if name in OPTIONS:
            settings.set(name, value, str(path))
        elif isinstance(value, dict):
            raise StartError(
                f"{path} has a section [{one_line(name)}], but settings stand without sections: "
                f"remove that line and leave the settings below it as they are."
            )
        else:
            raise StartError(
                f"There is no setting {one_line(name)}, which stands in {path}{suggestion(name, OPTIONS)}"
            )


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  # only a server with a settings file pays for it

    try:
        # Editors on Windows put a byte order mark first, which TOML does not allow.
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise StartError(f"The settings file {path} does not exist.") from None
    except OSError as error:
        raise StartError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StartError(f"The settings file {path} is not UTF-8 text: save it again as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = (place and place[1]) or len(text.splitlines())
        reason = _TOML_PLACE.sub("", str(error))
        hint = " (text must stand in quotes)" if reason == "Invalid value" else ""
        raise StartError(f"{path} has a mistake in line {line}: {reason}{hint}.") from None


def _apply_environment(settings: Settings, environ: Mapping[str, str]) -> None:
    names = {known.variables[0]: known for known in OPTIONS.values()}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            raise StartError(
                f"There is no setting for the environment variable {name}{suggestion(name, names, PREFIX)}"
            )
    for known in OPTIONS.values():
        for name in known.variables:
            # Hosting panels hand over an empty PORT when they mean none.
            if name in environ and (environ[name] or name.startswith(PREFIX)):
                settings.set(known.name, known.from_text(environ[name]), f"environment {name}")
                break
