"""The sources of settings: a file, the environment and flags; later ones override earlier ones.

A wrong value stops the start with one sentence that says where it is and what to write instead. An environment
variable that cannot be meant for this server is ignored, with a sentence in `Settings.warnings`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cloudlink.bridgesections import secret_variable
from cloudlink.errors import StartError
from cloudlink.options import PREFIX
from cloudlink.settings import OPTIONS, TABLES, Settings, suggestion
from cloudlink.text import closest, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_KUBERNETES_NAME = re.compile(
    PREFIX + r"(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_KUBERNETES_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://.*", re.DOTALL)
"""The variables that Kubernetes and Docker's links set in every container with access to a service called `cloudlink`
or `cloudlink-...` (Kubernetes documentation, "Service", section "Environment variables")."""

_MISSPELLED = 0.7
"""How much a variable must resemble that of a setting to count as a misspelling, which stops the start.
`CLOUDLINK_VERSION`, which container images set, resembles `CLOUDLINK_REPORTED_VERSION` less."""

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
    _apply_environment(settings, environ, flags)
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
        StartError: A variable is misspelled, of the wrong type or not allowed.
    """
    settings = Settings()
    _apply_environment(settings, environ, ())
    return settings


def _apply_file(settings: Settings, path: Path) -> None:
    for name, value in _read_toml(path).items():
        if name in (TABLES if isinstance(value, dict) else OPTIONS):
            settings.set(name, value, str(path))
        elif isinstance(value, dict):
            raise StartError(_unknown_section(path, name))
        else:
            raise StartError(f"There is no setting {one_line(name)}, which is in {path}{suggestion(name)}")


def _unknown_section(path: Path, name: str) -> str:
    section = f"{path} has a section [{one_line(name)}]"
    meant = closest(name, TABLES)
    if meant:
        return f"{section}, which does not exist; did you mean [{meant}.NAME]?"
    return (
        f"{section}, but settings need no sections: "
        f"remove that line and leave the settings below it as they are."
    )


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  # only a server with a settings file needs it

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
        hint = " (text must be in quotes)" if reason == "Invalid value" else ""
        raise StartError(f"{path} has a mistake in line {line}: {reason}{hint}.") from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise StartError(f"{path} has a number with too many digits.") from None
    except RecursionError:
        raise StartError(
            f"{path} has lists or tables within each other that are nested too deeply."
        ) from None


def _apply_environment(settings: Settings, environ: Mapping[str, str], overridden: Collection[str]) -> None:
    """Set the options for which there are environment variables.

    Args:
        settings: The settings to change.
        environ: The environment variables.
        overridden: Names of the options that flags set: their variables are not used, so may be wrong.
    """
    foreign = {name for name, value in environ.items() if _is_of_kubernetes(name, value)}
    if foreign:
        settings.warnings.append(
            f"{', '.join(sorted(foreign))}: ignored, because Kubernetes and Docker set these variables for a service "
            f"called cloudlink; to set the port, use PORT, a flag or a settings file."
        )
    _look_for_unknown(settings, environ.keys() - foreign)
    for known in OPTIONS.values():
        for name in known.variables:
            # Hosting panels set an empty PORT to mean none.
            if name in environ and name not in foreign and (environ[name] or name.startswith(PREFIX)):
                try:
                    settings.set(known.name, known.from_text(environ[name]), f"environment {name}")
                except StartError as error:
                    if known.name not in overridden:
                        raise
                    settings.warnings.append(f"{error} The flag {known.flags[0]} is used instead.")
                break
    for bridge, section in settings.bridges.items():
        section.secret = environ.get(secret_variable(bridge), section.secret)


def _is_of_kubernetes(name: str, value: str) -> bool:
    if _KUBERNETES_ADDRESS.fullmatch(value) and name.endswith("PORT"):
        # `CLOUDLINK_PORT` may be the setting, and another `..._PORT` a misspelled one.
        return name.startswith(PREFIX)
    return _KUBERNETES_NAME.fullmatch(name) is not None


def _look_for_unknown(settings: Settings, names: Collection[str]) -> None:
    known = {option.variables[0] for option in OPTIONS.values()} | set(map(secret_variable, settings.bridges))
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known:
            sentence = f"There is no setting for the environment variable {name}"
            meant = closest(name, known, prefix=PREFIX, cutoff=_MISSPELLED)
            if meant:
                raise StartError(f"{sentence}; did you mean {meant}?")
            settings.warnings.append(f"{sentence}; it is ignored.")
