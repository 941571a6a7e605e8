"""Questions that the processes of one server ask each other, over whatever carries bytes between them.

A question and its answer are JSON texts: `{"n", "ask", "params"}` and `{"n", "result"}` or `{"n", "error": [code, message]}`;
a question without `n` wants no answer. They may be lost, and a process may be stuck: whoever has not answered after
`PATIENCE` is missing, so that an administrator waits for 2 seconds at most.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, cast

from cloudlink import jsontext
from cloudlink.admin.actors import AdminError
from cloudlink.admin.peers import Replies

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from cloudlink.admin.actors import ErrorCode

logger = logging.getLogger("cloudlink.admin")

PATIENCE = 1.5
"""Seconds to wait for answers."""


class Carrier(Protocol):
    """Moves texts between the processes; in order, but some may be lost."""

    @property
    def others(self) -> Mapping[str, str]:
        """The names of the other processes that can be reached now, by id."""
        ...

    @property
    def expected(self) -> Iterable[str]:
        """The names of those that were started together with this process, whether they can be reached or not."""
        ...

    def send(self, process: str, text: bytes) -> None:
        """Send a text to a process, by its id."""
        ...


class Asking:
    """Implements `cloudlink.admin.peers.Peers`, and answers what other processes ask.

    Attributes:
        answer: Answers a question: gets its name, its parameters and the name of the process that asks. A future
            must get its result in the server's thread. Raises `AdminError`.
        on_missing: Called with the name of each process that has not answered in time.
    """

    def __init__(self, carrier: Carrier, later: Callable[[float, Callable[[], None]], object]) -> None:
        """Set up.

        Args:
            carrier: Moves texts.
            later: Calls a function after some seconds.
        """
        self.answer: Callable[[str, dict[str, Any], str], dict[str, Any] | Future[dict[str, Any]]] = (
            _answer_nothing
        )
        self.on_missing: Callable[[str], None] = lambda _name: None
        self._carrier = carrier
        self._later = later
        self._last = 0
        self._pending: dict[int, _Pending] = {}

    @property
    def exist(self) -> bool:
        """Whether this process is one of several; see `Peers`."""
        return bool(self._carrier.others) or any(True for _ in self._carrier.expected)

    @property
    def count(self) -> int:
        """How many processes there are; see `Peers`."""
        return 1 + len({*self._carrier.others.values(), *self._carrier.expected})

    def ask(
        self,
        question: str,
        params: dict[str, Any] | None = None,
        *,
        to: Collection[str] | None = None,
        is_local: bool = False,
    ) -> Future[Replies]:
        """See `Peers`."""
        together = set(self._carrier.expected)
        others = {
            process: name
            for process, name in self._carrier.others.items()
            if (to is None or name in to) and (not is_local or name in together)
        }
        wanted = together if to is None else set(to)
        self._last += 1
        pending = _Pending(dict(others), sorted(wanted - set(others.values())))
        if not others:
            pending.end()
            return pending.future
        number = self._last
        self._pending[number] = pending
        text = jsontext.dumps({"n": number, "ask": question, "params": params or {}})
        for process in others:
            self._carrier.send(process, text)
        self._later(PATIENCE, lambda: self._give_up(number))
        return pending.future

    def tell(self, question: str, params: dict[str, Any] | None = None, *, to: str | None = None) -> None:
        """See `Peers`."""
        others = [process for process, name in self._carrier.others.items() if to in (None, name)]
        if others:
            text = jsontext.dumps({"ask": question, "params": params or {}})
            for process in others:
                self._carrier.send(process, text)

    def receive(self, process: str, text: bytes) -> None:
        """Handle a text of another process, by its id."""
        message = jsontext.loads(text)
        if "ask" not in message:
            self._take_answer(process, message)
            return
        name = self._carrier.others.get(process, "")
        self._reply(process, message, lambda: self.answer(message["ask"], message["params"], name))

    def _reply(
        self,
        process: str,
        message: dict[str, Any],
        find: Callable[[], dict[str, Any] | Future[dict[str, Any]]],
    ) -> None:
        """Send a process what a function returns, or raises, as the answer to its question."""
        reply: dict[str, Any]
        try:
            found = find()
            if isinstance(found, Future):
                found.add_done_callback(lambda later: self._reply(process, message, later.result))
                return
            reply = {"result": found}
        except AdminError as error:
            reply = {"error": [error.code, error.message]}
        except Exception:
            name = self._carrier.others.get(process, "")
            logger.exception("A question of process %s could not be answered: %.100r.", name, message["ask"])
            reply = {"error": ["internal", "The server made a mistake; its log says which."]}
        number = message.get("n")
        if number is not None:
            self._carrier.send(process, jsontext.dumps({"n": number, **reply}))

    def _take_answer(self, process: str, message: dict[str, Any]) -> None:
        number = message["n"]
        pending = self._pending.get(number)
        if pending is not None and pending.take(process, message):
            del self._pending[number]
            pending.end()

    def _give_up(self, number: int) -> None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            late = pending.end()
            for name in late:
                self.on_missing(name)


class _Pending:
    """A question that is not answered by all yet."""

    def __init__(self, waiting: dict[str, str], missing: list[str]) -> None:
        self.future: Future[Replies] = Future()
        self._waiting = waiting
        self._replies = Replies(missing=missing)

    def take(self, process: str, message: dict[str, Any]) -> bool:
        """Take an answer; return whether it was the last one."""
        name = self._waiting.pop(process, None)
        if name is None:
            return False
        if "result" in message:
            self._replies.results[name] = message["result"]
        else:
            code, text = message["error"]
            self._replies.errors[name] = AdminError(cast("ErrorCode", code), text)
        return not self._waiting

    def end(self) -> list[str]:
        """Stop waiting; return the names of those that have not answered."""
        late = sorted(self._waiting.values())
        self._replies.missing.extend(late)
        self.future.set_result(self._replies)
        return late


def _answer_nothing(question: str, _params: dict[str, Any], _process: str) -> dict[str, Any]:
    raise AdminError("unavailable", f"This process answers no questions now: {question}.")
