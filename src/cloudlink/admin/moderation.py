"""What a player may do whom an owner lets moderate: kick and mute others, and rule rooms, where that player is.

No password is in a project that everybody can read. The right is a grant of the owner (`cloudlink.admin.grants`), bound
to a connection.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from cloudlink.admin import requests
from cloudlink.admin.actors import Actor, AdminError
from cloudlink.admin.futures import and_then, at_once, then
from cloudlink.admin.host import Away
from cloudlink.admin.names import fold
from cloudlink.admin.peers import NoPeers
from cloudlink.buckets import Bucket
from cloudlink.slices import sliced
from cloudlink.text import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.base import Outcome
    from cloudlink.admin.host import Player
    from cloudlink.admin.peers import Replies
    from cloudlink.admin.process import Process
    from cloudlink.slices import Slices

    Acted = Outcome | Future[Outcome]
    Acting = Slices[Acted]

LONGEST_MUTE = 3600
"""Seconds."""
_RATE, _BURST = 1.0, 20
"""Actions of one player a second, and at once: each is a line of the audit."""
_SHOWN = ("kicked", "hit")
"""The parts of a result that a player sees; the rest is for hosts."""


class Moderation:
    """Runs the actions of players."""

    def __init__(self, core: Process) -> None:
        """Args: core: The process that the players are connected to."""
        self._core = core
        self._paces: dict[str, Bucket] = {}
        self._methods: dict[str, Callable[[Actor, Player, dict[str, Any]], Acting]] = {
            "clients.kick": self._kick,
            "mutes.add": self._mute,
            "rooms.set": self._set_room,
        }

    def may_moderate(self, player: Player) -> bool:
        """Return whether a player has a grant."""
        return self._core.grants.holds(player.snowflake)

    def run(self, player: Player, request: Any) -> dict[str, Any] | Future[dict[str, Any]]:
        """Do what a player with a grant asks for.

        Args:
            player: The player.
            request: `{method, params}`, not checked yet.

        Returns:
            What the player is told; a future of it, which may raise the same, if that takes more than one turn of the event loop
            or other processes are asked.

        Raises:
            AdminError: It is refused; the sentence says why.
        """
        from cloudlink.admin.methods import METHODS  # noqa: PLC0415  # few servers have players who moderate

        method, params = _parsed(request)
        actor = Actor(player.username, "moderator", "scratch", player.address, player.snowflake)
        act = self._methods.get(method)
        if act is None:
            if method not in METHODS:
                hint = did_you_mean(method, self._methods) or f"; there are {', '.join(self._methods)}."
                raise AdminError("unknown_method", f"There is no method {quoted(method)}{hint}")
            raise self._refused(actor, method, AdminError("forbidden", "Players may not do this."))
        if not self._pace(player).take():
            raise AdminError("throttled", f"At most {_RATE:g} action a second is done; wait a moment.")
        params = requests.checked(params, METHODS[method].params)
        try:
            outcome = self._core.sanctions.slices.run(act(actor, player, params))
        except _RecordedError as error:
            raise self._refused(actor, method, error) from None
        if isinstance(outcome, Future):
            return self._shown_later(actor, method, outcome)
        if outcome.replies is None or not self._core.peers.exist:
            return _shown(outcome.result)
        return then(outcome.replies, at_once, lambda found: _shown(outcome.whole(outcome.result, found)))

    def _shown_later(self, actor: Actor, method: str, acting: Future[Any]) -> Future[dict[str, Any]]:
        def show(acted: Acted) -> Future[dict[str, Any]]:
            if isinstance(acted, Future):
                return and_then(acted, at_once, show)
            replies = acted.replies or NoPeers().ask("")
            return then(replies, at_once, lambda found: _shown(acted.whole(acted.result, found)))

        shown: Future[dict[str, Any]] = Future()

        def end(found: Future[dict[str, Any]]) -> None:
            error = found.exception()
            if error is None:
                shown.set_result(found.result())
            elif isinstance(error, _RecordedError):
                shown.set_exception(self._refused(actor, method, error))
            else:
                shown.set_exception(error)

        and_then(acting, at_once, show).add_done_callback(end)
        return shown

    # The methods.

    def _kick(self, actor: Actor, player: Player, params: dict[str, Any]) -> Acting:
        given = [key for key in ("id", "ids", "name") if key in params]
        if len(given) != 1:
            raise AdminError(
                "invalid", "Say whom to kick by id, ids or name, and only one of them.", {"key": "id"}
            )
        if "name" in params:
            meant = yield from self._of_name(player, params["name"], several=params.get("all", False))
        else:
            ids = params["ids"] if "ids" in params else [params["id"]]
            meant = [self._near(player, one) for one in dict.fromkeys(ids)]
        ids = [one.snowflake for one in meant]
        return self._unless_staff(
            meant, lambda: self._core.sanctions.kick(actor, ids=ids, reason=params.get("reason", ""))
        )

    def _mute(self, actor: Actor, player: Player, params: dict[str, Any]) -> Acting:
        if params.get("hidden"):
            raise _RecordedError("forbidden", "Players may not mute others in secret.")
        if params["seconds"] > LONGEST_MUTE:
            raise AdminError("invalid", f"`seconds` must be at most {LONGEST_MUTE}.", {"key": "seconds"})
        ((kind, value),) = params["target"].items()
        if kind == "client":
            meant = self._near(player, value)
        elif kind == "name":
            (meant,) = yield from self._of_name(player, value, several=False)
        else:
            raise _RecordedError("forbidden", "Players may mute clients and names, but not addresses.")
        target, seconds, reason = {"client": meant.snowflake}, params["seconds"], params.get("reason", "")
        return self._unless_staff(
            [meant],
            lambda: self._core.sanctions.add_mute(actor, target, seconds=seconds, reason=reason),
        )

    def _set_room(self, actor: Actor, player: Player, params: dict[str, Any]) -> Acting:
        yield from ()
        if params["name"] not in player.joined:
            raise _RecordedError("forbidden", "You may rule only the rooms that you are in.")
        return self._core.sanctions.set_room(actor, **params)

    # Whom it may hit.

    def _near(self, player: Player, snowflake: str) -> Player:
        """Return the client of an id if it is in a room with the player."""
        other = self._core.server.player(snowflake)
        if other is not None and player.joined.keys() & other.joined.keys():
            return other
        away = self._core.server.away(snowflake) if other is None else None
        if away is None or not player.joined.keys() & away.joined.keys():
            raise _RecordedError("not_found", "This client is not in your rooms.")
        return away

    def _of_name(self, player: Player, name: str, *, several: bool) -> Slices[list[Player]]:
        """Return the clients of a name that are in a room with the player."""
        folded = fold(name)
        alike: list[Player] = []
        for players in (self._core.server.players(), self._core.server.all_away()):
            for part in sliced(players):
                alike += [
                    other
                    for other in part
                    if other.username
                    and fold(other.username) == folded
                    and player.joined.keys() & other.joined.keys()
                ]
                yield
        found = [other for other in alike if other.username == name] or alike
        if not found:
            raise _RecordedError("not_found", "Nobody in your rooms has this name.")
        if len(found) > 1 and not several:
            raise AdminError(
                "ambiguous",
                f"{len(found)} clients in your rooms have this name: name one by its id, or say all.",
            )
        return found

    def _unless_staff(self, meant: list[Player], act: Callable[[], Outcome]) -> Acted:
        """Act, unless one of those who are meant may moderate; other processes know that of their own clients."""
        if any(self.may_moderate(one) for one in meant):
            raise _protected()
        away = [one.snowflake for one in meant if isinstance(one, Away)]
        if not away:
            return act()

        def check(replies: Replies) -> Outcome:
            found = [one for result in replies.results.values() for one in result["exact"]]
            if any(one["is_moderator"] for one in found):
                raise _protected()
            if not {one["id"] for one in found} >= set(away):
                raise _RecordedError("not_found", "This client is not in your rooms.")
            return act()

        return then(self._core.peers.ask("clients.find", {"ids": away}), at_once, check)

    # Parts.

    def _refused(self, actor: Actor, method: str, error: AdminError) -> AdminError:
        self._core.audit.record_often(actor, method, outcome=error.code)
        return error

    def _pace(self, player: Player) -> Bucket:
        """Return what bounds the actions of a player; it ends with the grant."""
        pace = self._paces.get(player.snowflake)
        if pace is None:
            self._paces = {one: bucket for one, bucket in self._paces.items() if self._core.grants.holds(one)}
            pace = self._paces[player.snowflake] = Bucket(_RATE, _BURST)
        return pace


class _RecordedError(AdminError):
    """A refusal that the sanctions do not know, and that goes to the audit."""


def _protected() -> _RecordedError:
    return _RecordedError("protected", "Players who moderate are not for other players to kick or mute.")


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in _SHOWN if key in result}


def _parsed(request: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise AdminError("invalid", "`val` must be an object with `method` and `params`.", {"key": "method"})
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise AdminError("invalid", "`params` must be an object.", {"key": "params"})
    return request["method"], params
