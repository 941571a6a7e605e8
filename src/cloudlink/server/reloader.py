"""Reads the settings and certificates again while the server runs: everything, or nothing if something is wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloudlink import reloading
from cloudlink.errors import StartError
from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.reloading import Changes
    from cloudlink.settings import Settings

    Prepare = Callable[[Settings], Callable[[], object]]

logger = logging.getLogger("cloudlink.server")


class Reloader:
    """Reloads the settings of one server.

    Attributes:
        source: Returns the settings that the file, the environment and the flags hold now; None for a server whose
            settings come from a program.
        parts: What else is read again. Each function is called with the settings that will be in effect, raises
            `StartError` if something is wrong, and returns a function that puts into effect what it has read.
        done: Functions to call with the changes afterwards.
    """

    def __init__(self, settings: Settings) -> None:
        """Args: settings: The settings in effect; changed in place."""
        self.source: Callable[[], Settings] | None = None
        self.parts: list[Prepare] = []
        self.done: list[Callable[[Changes], object]] = []
        self._settings = settings

    def reload(self) -> Changes:
        """Read everything again and put into effect what needs no restart.

        Raises:
            StartError: Something is wrong; nothing has changed.
        """
        current = self._settings
        fresh = current if self.source is None else self.source()
        changes = reloading.compare(current, fresh)
        reloading.check(current, fresh, changes)
        ready = [prepare(fresh) for prepare in self.parts]
        reloading.apply(current, fresh, changes)
        for put_into_effect in ready:
            put_into_effect()
        logger.info("The settings were read again: %s.", printable(str(changes)), extra={"event": "reloaded"})
        for call in self.done:
            call(changes)
        return changes

    def reload_or_log(self) -> None:
        """Reload; if something is wrong, log that."""
        try:
            self.reload()
        except StartError as error:
            logger.error(
                "The settings were not read again, and nothing has changed. %s", printable(str(error))
            )
