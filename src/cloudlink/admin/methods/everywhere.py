"""Asks all processes of the server, and makes one answer out of theirs."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from cloudlink.admin.futures import and_then, at_once, done, then
from cloudlink.admin.questions import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.core import Call, Result
    from cloudlink.admin.peers import Replies

    Found = dict[str, Any]


def gathered(
    call: Call,
    question: str,
    params: Found,
    merge: Callable[[list[Found]], Found],
) -> Result:
    """Return one result for all processes.

    Args:
        call: The call of a method.
        question: What each process is asked; one of `QUESTIONS`.
        params: Its parameters.
        merge: Makes one result of all; the first one is that of this process. May raise `AdminError`.

    Returns:
        The result, or a future of it if there are other processes. Processes that have not answered are named in `missing`.
    """
    here = answer(call.core, question, params)  # if this raises, all would, so the others are not asked
    peers = call.core.peers
    if not peers.exist:
        return then(here, at_once, lambda own: merge([own])) if isinstance(here, Future) else merge([here])
    asked = peers.ask(question, params)

    def merge_all(own: Found) -> Future[Found]:
        return then(
            asked, at_once, lambda replies: told(call, merge([own, *replies.results.values()]), replies)
        )

    return and_then(here if isinstance(here, Future) else done(here), at_once, merge_all)


def told(call: Call, result: Found, replies: Replies) -> Found:
    """Return a result that names the processes that have not answered, or have refused; notices say why they did."""
    missing = set(replies.missing)
    for name, error in replies.errors.items():
        if error.code != "conflict":  # it is there already
            missing.add(name)
            call.core.sanctions.notify(f"{name} did not do what the other processes did: {error.message}")
    return {**result, "missing": sorted(missing)} if missing else result
