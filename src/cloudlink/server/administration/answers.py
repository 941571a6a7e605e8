"""Answers to the questions of other processes of the server; see `cloudlink.admin.questions`."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from cloudlink.admin.actors import AdminError
from cloudlink.admin.futures import then
from cloudlink.admin.questions import QUESTIONS, answer
from cloudlink.server.metrics import rooms, sample
from cloudlink.server.metricsums import packed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Future

    from cloudlink.admin.following import Followers, Following
    from cloudlink.admin.process import Process
    from cloudlink.slices import Slices

    from .peers import ClusterCarrier
    from .serverview import AdministeredServer

    Params = dict[str, Any]
    Result = dict[str, Any]


class Answers:
    """The answers of one process while it runs."""

    def __init__(
        self,
        process: Process,
        server: AdministeredServer,
        loop: asyncio.AbstractEventLoop,
        carrier: ClusterCarrier,
        followers: Followers,
        following: Following,
        *,
        publish_line: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        """Set up.

        Args:
            process: This process, as the administration sees it.
            server: The same, as a server.
            loop: Its event loop.
            carrier: Joins it with the others.
            followers: Processes that follow what happens here.
            following: What happens there and is followed here.
            publish_line: Shows a line of the audit to those who are logged in; None if another process of this machine
                does that.
        """
        self._process = process
        self._server = server
        self._loop = loop
        self._carrier = carrier
        self._followers = followers
        self._following = following
        self._publish_line = publish_line
        of_process = {question: partial(_ask, process, question) for question in QUESTIONS}
        self._table: dict[str, Callable[[Params, str], Result | Future[Result]]] = {
            **of_process,
            "changes": self._take_changes,
            "follow": self._follow,
            "event": self._take_event,
            "audit": self._take_line,
            "audit.list": self._list_audit,
            "mode": self._take_mode,
            "metrics": self._metrics,
        }

    def answer(self, question: str, params: Params, name: str) -> Result | Future[Result]:
        """Answer the process called `name`. Raises `AdminError`."""
        asked = self._table.get(question)
        if asked is None:  # of a newer version
            raise AdminError(
                "unavailable", f"This process does not know {question}; run one version on all nodes."
            )
        return asked(params, name)

    def _speaks_for(self, name: str) -> bool:
        """Return whether this process acts, for all of its machine, on what a process of another machine has done."""
        return self._publish_line is not None and name not in self._carrier.expected

    def _take_changes(self, params: Params, name: str) -> Result | Future[Result]:
        return answer(self._process, "changes", {**params, "is_to_save": self._speaks_for(name)})

    def _follow(self, params: Params, name: str) -> Result:
        self._followers.follow(name, params["topics"])
        return {}

    def _take_event(self, params: Params, name: str) -> Result:
        self._following.take(params["topic"], params["data"], name)
        return {}

    def _take_line(self, params: Params, name: str) -> Result:
        if self._publish_line is not None:
            is_own = self._process.audit.is_in_file and name in self._carrier.expected
            self._publish_line(params if is_own else {**params, "node": name})
        return {}

    def _list_audit(self, params: Params, _name: str) -> Result | Future[Result]:
        """Return `items next` of the audit of this process, nothing if it shares it with another one that is asked.

        Args:
            params: `name`, whose lines, None for everybody's; `places`, where the page begins, by the names of the processes,
                None for the first page; `limit`, the most lines.
            _name: The process that asks.
        """
        audit, places = self._process.audit, params["places"]
        if audit.is_in_file and self._publish_line is None:
            return {"items": [], "next": None}
        after = None if places is None else places[self._carrier.name]
        page = audit.page(params["name"], after=after, limit=params["limit"])
        return then(page, self._process.server.call_soon, lambda found: found)

    def _take_mode(self, params: Params, name: str) -> Result:
        # The process that was asked to stops all that were started together with it.
        stop = params["stop"] and self._speaks_for(name)
        self._process.sanctions.take_mode(params["record"], stop=stop)
        return {}

    def _metrics(self, _params: Params, _name: str) -> Result | Future[Result]:
        self._server.loop_delay.start(self._loop)
        return self._process.sanctions.slices.run(self._sampling())

    def _sampling(self) -> Slices[Result]:
        found = packed((yield from sample(self._server)))
        return {"sample": found, "rooms": (yield from rooms(self._server)), "process": os.getpid()}


def _ask(process: Process, question: str, params: Params, _name: str) -> Result | Future[Result]:
    return answer(process, question, params)
