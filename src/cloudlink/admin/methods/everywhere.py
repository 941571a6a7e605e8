"""Asks all processes of the server, and makes one answer out of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin.futures import at_once, then
from cloudlink.admin.questions import QUESTIONS

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
    here = QUESTIONS[question](call.core, params)
    peers = call.core.peers
    if not peers.exist:
        return merge([here])
    return then(
        peers.ask(question, params),
        at_once,
        lambda replies: told(call, merge([here, *replies.results.values()]), replies),
    )


def told(call: Call, result: Found, replies: Replies) -> Found:
    """Return a result that names the processes that have not answered, or have refused; notices say why they did."""
    missing = set(replies.missing)
    for name, error in replies.errors.items():
        if error.code != "conflict":  # it is there already
            missing.add(name)
            call.core.sanctions.notify(f"{name} did not do what the other processes did: {error.message}")
    return {**result, "missing": sorted(missing)} if missing else result
