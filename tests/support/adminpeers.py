"""Processes of one server in memory: each asks the others, as far as they are not stuck."""

from __future__ import annotations

from cloudlink.admin.actors import AdminError
from cloudlink.admin.asking import Asking
from cloudlink.admin.questions import QUESTIONS, answer


class MemoryPeers:
    """The processes; texts between them arrive when they are sent, those to a process in `stuck` never.

    Attributes:
        stuck: The names of processes that do not answer.
        texts: What was sent.
    """

    def __init__(self):
        self.stuck = set()
        self.texts = []
        self.asking = {}
        self._due = []

    def join(self, name, process, **extra):
        """Add a process; `extra` has answers to further questions: `f(process, params)`."""
        asking = self.asking[name] = Asking(_Carrier(self, name), lambda _delay, call: self._due.append(call))
        questions = QUESTIONS | extra

        def reply(question, params, asker):
            if question == "mode":
                process.sanctions.take_mode(params["record"])
                return {}
            if question == "audit.list":
                places = params["places"]
                after = None if places is None else places[name]
                return process.audit.page(params["name"], after=after, limit=params["limit"])
            if question not in questions:
                raise AdminError("unavailable", "not known")
            return (
                extra[question](process, params) if question in extra else answer(process, question, params)
            )

        asking.answer = reply
        process.sanctions.peers = asking
        return asking

    def time_out(self):
        """Let so much time pass that nobody waits for answers any more."""
        due, self._due = self._due, []
        for call in due:
            call()


class _Carrier:
    def __init__(self, peers, name):
        self._peers = peers
        self._name = name

    @property
    def others(self):
        return {f"id of {name}": name for name in self._peers.asking if name != self._name}

    expected = ()

    def send(self, process, text):
        name = process.removeprefix("id of ")
        self._peers.texts.append(text)
        if name not in self._peers.stuck:
            self._peers.asking[name].receive(f"id of {self._name}", text)
