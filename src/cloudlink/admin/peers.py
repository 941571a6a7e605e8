"""The other processes of a server, as the administration sees them: it asks all of them, and puts their answers together.

`cloudlink.admin.asking` implements it; `cloudlink.admin.questions` is what a process answers.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloudlink.admin.actors import AdminError


@dataclass(frozen=True, slots=True)
class Replies:
    """The answers of the other processes to a question.

    Attributes:
        results: The results, by the name of the process.
        errors: The refusals, by the name of the process.
        missing: The names of the processes that have not answered in time.
    """

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, AdminError] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class Peers(Protocol):
    """The other processes: workers of this machine, and the nodes of a cluster."""

    @property
    def exist(self) -> bool:
        """Whether this process is one of several."""
        ...

    @property
    def count(self) -> int:
        """How many processes the server has, this one included."""
        ...

    def ask(
        self,
        question: str,
        params: dict[str, Any] | None = None,
        *,
        to: Collection[str] | None = None,
        is_local: bool = False,
    ) -> Future[Replies]:
        """Ask the other processes.

        Args:
            question: One of `cloudlink.admin.questions.QUESTIONS`.
            params: Its parameters; anything that JSON can hold.
            to: The names of the processes that are asked, None for all.
            is_local: Whether to ask only those that were started together with this process.

        Returns:
            A future that has its result within 1.5 seconds, in the server's thread.
        """
        ...

    def tell(self, question: str, params: dict[str, Any] | None = None, *, to: str | None = None) -> None:
        """Ask all other processes, or that of a name, something whose answer does not matter."""
        ...


class NoPeers:
    """A process that is a server by itself."""

    exist = False
    count = 1

    def ask(
        self,
        question: str,  # noqa: ARG002  # as in `Peers`
        params: dict[str, Any] | None = None,  # noqa: ARG002
        *,
        to: Collection[str] | None = None,  # noqa: ARG002
        is_local: bool = False,  # noqa: ARG002
    ) -> Future[Replies]:
        """Return no replies."""
        nobody: Future[Replies] = Future()
        nobody.set_result(Replies())
        return nobody

    def tell(self, question: str, params: dict[str, Any] | None = None, *, to: str | None = None) -> None:
        """Do nothing."""
