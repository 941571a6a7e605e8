"""The flags of all settings, generated from their fields, and the settings that a command line yields.

Values are passed on as text: `cloudlink.settings` converts and checks them, so that the error for a wrong
flag reads like the error for a wrong line of the settings file.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudlink.settings import OPTIONS
from cloudlink.sources import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudlink.cli.parser import Parser
    from cloudlink.options import Option
    from cloudlink.settings import Settings

DEFAULT_FILE = "cloudlink.toml"
"""The settings file that is read from the working directory if it exists."""

COMMON = (
    "host",
    "port",
    "tls_certificate",
    "tls_key",
    "max_clients",
    "unique_usernames",
    "workers",
    "storage",
    "plugins",
    "log_level",
)
"""The settings whose flags `--help` lists; `--help-all` lists those of all."""


def add_settings_flags(parser: Parser) -> None:
    """Add `--config` and one flag for each setting, grouped by topic."""
    parser.abridge([name for name in OPTIONS if name not in COMMON])
    parser.add_argument(
        "--config", metavar="FILE", help=f"the settings file to read instead of {DEFAULT_FILE}"
    )
    topics = {option.topic: parser.add_argument_group(option.topic) for option in OPTIONS.values()}
    for option in OPTIONS.values():
        if option.is_secret:
            continue
        topics[option.topic].add_argument(
            *option.flags, dest=option.name, default=argparse.SUPPRESS, help=_help(option), **_action(option)
        )
    topics[OPTIONS["storage"].topic].add_argument(
        "--no-storage",
        dest="storage",
        action="store_const",
        const="",
        default=argparse.SUPPRESS,
        help='keep cloud variables in memory only, as --storage "" does',
    )


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Gather the settings of a parsed command line, the settings file and the environment included.

    Raises:
        StartError: A setting is unknown, of the wrong type or not allowed, or a file cannot be read.
    """
    return source_of(arguments).read()


@dataclass(frozen=True)
class Source:
    """Where the settings of a command line come from, besides the environment.

    Attributes:
        config: The value of `--config`, None if it is not given.
        flags: The values of the flags by the names of their settings.
    """

    config: str | None
    flags: Mapping[str, object]

    @property
    def file(self) -> Path | None:
        """The settings file, None for none."""
        if self.config is not None:
            return Path(self.config)
        default = Path(DEFAULT_FILE)
        return default if default.exists() else None

    def read(self) -> Settings:
        """Gather the settings.

        Raises:
            StartError: A setting is unknown, of the wrong type or not allowed, or a file cannot be read.
        """
        return load(toml=self.file, environ=os.environ, flags=self.flags)


def source_of(arguments: argparse.Namespace) -> Source:
    """Return where the settings of a parsed command line come from."""
    flags = {name: value for name, value in vars(arguments).items() if name in OPTIONS}
    return Source(arguments.config, flags)


def _action(option: Option) -> dict[str, Any]:
    if option.kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if option.choices:
        return {
            "metavar": "{"
            + ",".join((*option.choices, *([option.unit.upper()] if option.is_number else [])))
            + "}"
        }
    if option.kind is list:
        return {"action": "append", "metavar": "TEXT"}
    return {"metavar": option.unit.upper() or ("TEXT" if option.kind is str else "N")}


def _help(option: Option) -> str:
    # argparse expands percent signs, and terminals do not render Markdown.
    text = option.help.replace("`", "").replace("%", "%%").removesuffix(".")
    if option.kind is list:
        return f"{text} (may be given several times)"
    if option.default == "":
        return text
    default = {True: "yes", False: "no"}[option.default] if option.kind is bool else f"{option.default}"
    return f"{text} (default: {default})"
