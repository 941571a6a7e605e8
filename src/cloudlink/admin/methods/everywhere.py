"""Asks all processes of the server, and makes one answer out of theirs."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from cloudlink.admin.futures import and_then, at_once, done, then
from cloudlink.admin.questions import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.core import Call, Result
    from cloudlink.admin.peers import Replies
    from cloudlink.slices import Slices

    Found = dict[str, Any]


def gathered(
    call: Call,
    question: str,
    params: Found,
    merge: Callable[[list[Found]], Found | Slices[Found]],
) -> Result:
    """Return one result for all processes.

    Args:
        call: The call of a method.
        question: What each process is asked; one of `QUESTIONS`.
        params: Its parameters.
        merge: Makes one result of all, in slices if that takes long; the first one is that of this process. May raise
            `AdminError`.

    Returns:
        The result, or a future of it if that takes long, or there are other processes. Processes that have not answered are
        named in `missing`.
    """
    here = answer(call.core, question, params)  # if this raises, all would, so the others are not asked
    peers = call.core.peers
    if not peers.exist:
        if isinstance(here, Future):
            return and_then(here, at_once, lambda own: _later(_merged(call, merge, [own])))
        return _merged(call, merge, [here])
    asked = peers.ask(question, params)

    def merge_all(own: Found) -> Future[Found]:
        return and_then(asked, at_once, lambda replies: merge_replies(own, replies))

    def merge_replies(own: Found, replies: Replies) -> Future[Found]:
        merged = _merged(call, merge, [own, *replies.results.values()])
        return then(_later(merged), at_once, lambda result: told(call, result, replies))

    return and_then(_later(here), at_once, merge_all)


def _merged(
    call: Call, merge: Callable[[list[Found]], Found | Slices[Found]], results: list[Found]
) -> Found | Future[Found]:
    merged = merge(results)
    return call.core.sanctions.slices.run(merged) if isinstance(merged, Generator) else merged


def _later(result: Found | Future[Found]) -> Future[Found]:
    return result if isinstance(result, Future) else done(result)


def told(call: Call, result: Found, replies: Replies) -> Found:
    """Return a result that names the processes that have not answered, or have refused; notices say why they did."""
    missing = set(replies.missing)
    for name, error in replies.errors.items():
        if error.code != "conflict":  # it is there already
            missing.add(name)
            call.core.sanctions.notify(f"{name} did not do what the other processes did: {error.message}")
    return {**result, "missing": sorted(missing)} if missing else result
