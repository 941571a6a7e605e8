"""Mutes, kicks, and what filters do to players."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from cloudlink.admin.actors import SERVER, Actor, AdminError
from cloudlink.admin.base import Base, Outcome, add_up, checked_reason, checked_seconds
from cloudlink.admin.filters import DEFAULT_MUTE
from cloudlink.admin.futures import and_then, at_once, then
from cloudlink.admin.mutes import MOST_MUTES, Mute, from_record
from cloudlink.admin.store import Change
from cloudlink.admin.targets import Target, invalid
from cloudlink.admin.times import sentence
from cloudlink.closecodes import CloseCode
from cloudlink.logthrottle import LogThrottle
from cloudlink.slices import finish, sliced

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from cloudlink.admin.filters import Finding
    from cloudlink.admin.host import Player
    from cloudlink.admin.peers import Replies
    from cloudlink.slices import Slices

KIND = "mute"
"""The kind of their records."""

MOST_IN_A_PAGE = 200
_LONGEST_MUTE = 604_800
_MOST_KICKED = 1000
_SWEEP_EVERY = 30.0


class Muting(Base):
    """The part of `Sanctions` about mutes and kicks."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._mutes_swept_at = self._clock()
        self._taken_over: list[Mute] = []
        self._notice_throttle = LogThrottle(clock=self._clock)
        self.policy.act = self._act_on_finding

    # Methods of the admin socket.

    def add_mute(self, actor: Actor, target: dict[str, str], **params: Any) -> Outcome:
        """Mute at once; see `adding_mute`."""
        return finish(self.adding_mute(actor, target, **params))

    def adding_mute(
        self,
        actor: Actor,
        target: dict[str, str],
        *,
        seconds: float,
        reason: str = "",
        hidden: bool = False,
    ) -> Slices[Outcome]:
        """Mute, in place of a mute of the same target.

        Args:
            actor: Who mutes.
            target: Whom; a client means its connection, and the mute ends with it.
            seconds: For how long, at most a week.
            reason: What the muted read.
            hidden: Whether they must not notice: they get what they would get if their messages were sent.

        Returns:
            `{mute, hit}`: the record, and how many connected clients it mutes.

        Raises:
            AdminError: `invalid`, `not_found`, `protected`, `too_many`.
        """
        mute, saving, replies = self._put_mute(actor, target, seconds=seconds, reason=reason, hidden=hidden)
        hit = len((yield from self._look_for(mute.target)))
        shown = {"mute": self._shown_mute(actor, mute), "hit": hit}
        return Outcome(shown, saving, replies, lambda result, found: self._muted(mute, result, found))

    def mute(self, actor: Actor, target: dict[str, str], **params: Any) -> dict[str, Any]:
        """Mute as `adding_mute` does and return the mute, without counting the clients that match."""
        mute, _, _ = self._put_mute(actor, target, **params)
        return self._shown_mute(actor, mute)

    def _put_mute(
        self, actor: Actor, target: dict[str, str], *, seconds: float, reason: str = "", hidden: bool = False
    ) -> tuple[Mute, Future[bool], Future[Replies] | None]:
        """Put a mute into effect; return it, whether it is saved, and what other processes answer."""
        params = {"seconds": seconds, **({"hidden": True} if hidden else {})}
        with self._audited(actor, "mutes.add", target=self._named(target), params=params, reason=reason):
            checked_seconds(seconds, _LONGEST_MUTE)
            reason = checked_reason(reason)
            resolved = self._resolved(actor, target, connection=True)
            if len(self.policy.mutes) >= MOST_MUTES and self.policy.mutes.of(resolved) is None:
                raise AdminError("too_many", f"There can be at most {MOST_MUTES} mutes; remove some first.")
            mute = Mute(
                id=self.policy.mutes.next_id(),
                kind=resolved.kind,
                value=resolved.value,
                reason=reason,
                by=actor.name,
                at=int(self._wall_clock()),
                until=self._until(seconds),
                hidden=hidden,
            )
            self.policy.mutes.put(mute)
            saving, replies = self._save_mute(resolved, mute.record())
        self.on_activity()
        return mute, saving, replies

    def _muted(self, mute: Mute, result: dict[str, Any], replies: Replies) -> dict[str, Any]:
        """Return the result of a mute; one of a client that is nowhere is taken back."""
        whole = add_up(result, replies)
        if mute.kind == "client" and not whole["hit"] and not replies.missing:
            if self.policy.mutes.get(mute.id) is mute:
                self.policy.mutes.drop(mute.target)
                self._save_mute(mute.target, None)
            raise AdminError("not_found", f"There is no client {mute.value} any more.")
        return whole

    def listing_mutes(
        self, actor: Actor, *, after: int | None = None, limit: int = MOST_IN_A_PAGE
    ) -> Slices[dict[str, Any]]:
        """Return `{items, total, next}`, the newest first.

        Args:
            actor: Who asks; only owners see addresses.
            after: The `next` of the last answer, None for the first page.
            limit: The most items, up to 200.
        """
        limit = max(1, min(limit, MOST_IN_A_PAGE))
        now = self._wall_clock()
        items: list[Mute] = []
        for part in sliced(self.policy.mutes.before(after)):
            items += [mute for mute in part if now < mute.until]
            if len(items) > limit:
                break
            yield
        following = items[limit - 1].id if len(items) > limit else None
        shown = [self._shown_mute(actor, mute) for mute in items[:limit]]
        return {"items": shown, "total": len(self.policy.mutes), "next": following}

    def remove_mute(self, actor: Actor, id: int) -> Outcome:  # noqa: A002  # the word of the admin socket
        """Remove a mute; `{removed}`.

        Raises:
            AdminError: `not_found`.
        """
        mute = self.policy.mutes.get(id)
        target = "" if mute is None else self._named({mute.kind: mute.value})
        with self._audited(actor, "mutes.remove", target=target, params={"id": id}):
            if mute is None:
                raise AdminError("not_found", f"There is no mute {id}.")
            self.policy.mutes.drop(mute.target)
            saving, _ = self._save_mute(mute.target, None)
        self.on_activity()
        return Outcome({"removed": 1}, saving)

    def kick(
        self,
        actor: Actor,
        *,
        id: str | None = None,  # noqa: A002  # the word of the admin socket
        ids: list[str] | None = None,
        name: str | None = None,
        all: bool = False,  # noqa: A002  # likewise
        reason: str = "",
    ) -> Outcome:
        """Disconnect clients with 4004.

        Args:
            actor: Who kicks.
            id: One client, by its id.
            ids: Up to 1000 clients; those that are not connected are left out.
            name: The client of a name.
            all: Whether all clients of that name are meant.
            reason: What they read.

        Returns:
            `{kicked}`: how many.

        Raises:
            AdminError: `invalid`, `not_found`, `ambiguous`.
        """
        if name is not None and id is None and ids is None and self.peers.exist:
            return self._kick_name(actor, name, several=all, reason=reason)
        target = f"client:{id}" if id is not None else "" if name is None else f"name:{name}"
        params = {} if ids is None else {"ids": ids}
        with self._audited(actor, "clients.kick", target=target, params=params, reason=reason):
            reason = checked_reason(reason)
            try:
                players = self._meant(id, ids, name, several=all)
            except AdminError as error:
                if error.code != "not_found" or not self.peers.exist:
                    raise
                players = []  # it may be connected to another process
            self._kick_all(players, reason)
        replies = None
        if ids is not None or not players:
            replies = self.peers.ask(
                "clients.kick", {"ids": [id] if id is not None else ids, "reason": reason}
            )
        return Outcome(
            {"kicked": len(players)}, self._nothing_to_save(), replies, add_up if id is None else _somebody
        )

    def kick_here(self, ids: Iterable[str], reason: str) -> int:
        """Disconnect clients of this process; return how many of them there were."""
        players = [player for player in map(self._host.player, dict.fromkeys(ids)) if player is not None]
        self._kick_all(players, reason)
        return len(players)

    def find(self, *, ids: list[str] | None = None, name: str | None = None) -> dict[str, list[Player]]:
        """Return the clients of this process that are meant.

        Args:
            ids: Their ids; unknown ones are left out.
            name: Or their name.

        Returns:
            `exact`: those with exactly the name, or the ids; `similar`: those whose name only reads the same.
        """
        if ids is not None:
            players = [player for player in map(self._host.player, ids) if player is not None]
            return {"exact": players, "similar": []}
        name = name or ""
        exact = list(self._host.named(name))
        return {"exact": exact, "similar": [] if exact else list(self._host.alike(name))}

    def _kick_name(self, actor: Actor, name: str, *, several: bool, reason: str) -> Outcome:
        """Disconnect the clients of a name in all processes; whether one or several are meant is found out first."""
        here = self.find(name=name)

        def decide(replies: Replies) -> Future[Replies]:
            for word in ("exact", "similar"):
                ids = [player.snowflake for player in here[word]]
                ids += [one["id"] for result in replies.results.values() for one in result[word]]
                if ids:
                    break
            if not ids:
                raise AdminError("not_found", "No client has this name.")
            if len(ids) > 1 and not several:
                raise _ambiguous(ids)
            text = checked_reason(reason)
            kicked = self.kick_here(ids, text)
            elsewhere = self.peers.ask("clients.kick", {"ids": ids, "reason": text})
            return then(elsewhere, at_once, lambda found: _with_own(found, kicked, replies.missing))

        def audited(replies: Replies) -> Future[Replies]:
            with self._audited(actor, "clients.kick", target=f"name:{name}", reason=reason):
                return decide(replies)

        finding = and_then(self.peers.ask("clients.find", {"name": name}), at_once, audited)
        return Outcome(
            {"kicked": len(here["exact"] or here["similar"])},
            self._nothing_to_save(),
            finding,
            lambda _, replies: add_up({"kicked": 0}, replies),
        )

    def is_muted(self, player: Player) -> bool:
        """Return whether a mute holds for a client now."""
        return self.policy.mutes.for_player(player, self._wall_clock()) is not None

    # Parts.

    def _kick_all(self, players: list[Player], reason: str) -> None:
        text = sentence("You were kicked", None, reason)
        self._disconnect([(player, text) for player in players], CloseCode.BANNED, "kicked")

    def _meant(
        self, snowflake: str | None, ids: list[str] | None, name: str | None, *, several: bool
    ) -> list[Player]:
        if [snowflake, ids, name].count(None) != 2:  # noqa: PLR2004  # exactly one is given
            raise invalid("id", "must be given, or ids, or name, and only one of them")
        if snowflake is not None:
            return [self._player(snowflake)]
        if ids is not None:
            if len(ids) > _MOST_KICKED:
                raise invalid("ids", f"can have at most {_MOST_KICKED} ids")
            found = [self._host.player(one) for one in dict.fromkeys(ids)]
            return [player for player in found if player is not None]
        return self._of_name(name or "", several=several)

    def _of_name(self, name: str, *, several: bool) -> list[Player]:
        found = self.find(name=name)
        players = found["exact"] or found["similar"]
        if not players:
            raise AdminError("not_found", "No client has this name.")
        if len(players) > 1 and not several:
            raise _ambiguous([player.snowflake for player in players])
        return players

    def _save_mute(
        self, target: Target, record: dict[str, Any] | None
    ) -> tuple[Future[bool], Future[Replies] | None]:
        if target.kind == "client" and not self.peers.exist:  # it ends with the connection
            return self._nothing_to_save(), None
        return self._save_and_ask(Change(KIND, target.key, record))

    def _shown_mute(self, actor: Actor, mute: Mute) -> dict[str, Any]:
        shown = {**mute.record(), "value": self._shown_value(actor, mute.target)}
        player = self._host.player(mute.value) if mute.kind == "client" else None
        return shown if player is None else {**shown, "name": player.username}

    def _act_on_finding(self, player: Player, finding: Finding) -> None:
        """Mute or kick a player in whose text a filter found something, or tell the hosts."""
        one = finding.filter
        if one.action == "mute":
            seconds = one.seconds or DEFAULT_MUTE
            self.add_mute(SERVER, {"client": player.snowflake}, seconds=seconds, reason="word filter")
        elif one.action == "kick":
            self.kick(SERVER, id=player.snowflake, reason="word filter")
        for notice in finding.notices:
            if self._notice_throttle.should_log(f"{player.snowflake} {notice.id}"):
                who = player.username or f"client {player.snowflake}"
                self.notify(f"Filter {notice.id} found a word in what {who} sent.")

    # Keeping.

    def _load_mutes(self) -> None:
        for key, record in self._store.records(KIND):
            self._mute_changed(key, record)

    def _watch_mutes(self) -> None:
        self._store.watch(KIND, self._mute_changed)

    def _mute_changed(self, key: str, record: Any) -> None:
        """Take over what the file, or another process, says of a mute."""
        mutes = self.policy.mutes
        if record is None:
            kind, _, value = key.partition(":")
            mutes.drop(Target(kind, value))
        else:
            try:
                mute = from_record(record)
            except msgspec.ValidationError:
                self.notify(f"A mute in the file cannot be read and is left out: {key}.")
                return
            rival = mutes.take_over(mute)
            if rival is not None:
                self._save_mute(rival.target, rival.record())
            if self._is_taking_over:
                self._taken_over.append(mute)
        self.on_activity()

    def _counting_muted(self) -> Slices[int]:
        """Return how many clients of this process the mutes hit that were just taken over."""
        mutes, self._taken_over = self._taken_over, []
        hit = 0
        for mute in mutes:
            hit += len((yield from self._look_for(mute.target)))
        return hit

    def _tick_mutes(self) -> None:
        if self._clock() - self._mutes_swept_at < _SWEEP_EVERY:
            return
        self._mutes_swept_at = self._clock()
        outdated = self.policy.mutes.outdated(self._wall_clock())
        outdated += [
            mute
            for mute in self.policy.mutes
            if mute.kind == "client" and not self.peers.exist and self._host.player(mute.value) is None
        ]
        for mute in outdated:
            if self.policy.mutes.drop(mute.target) is not None and (
                mute.kind != "client" or self.peers.exist
            ):
                self._save_here(Change(KIND, mute.target.key, None))
        if outdated:
            self.on_activity()


def _somebody(result: dict[str, Any], replies: Replies) -> dict[str, Any]:
    """Return how many were kicked; raise `AdminError` if the client that was named is nowhere."""
    whole = add_up(result, replies)
    if not whole["kicked"] and not replies.missing:
        raise AdminError("not_found", "This client is not connected any more.")
    return whole


def _with_own(replies: Replies, kicked: int, missing: list[str]) -> Replies:
    """Return replies with what this process did, and all that have not answered one of two questions."""
    return replace(
        replies,
        results={**replies.results, "": {"kicked": kicked}},
        missing=sorted({*replies.missing, *missing}),
    )


def _ambiguous(ids: list[str]) -> AdminError:
    return AdminError(
        "ambiguous",
        f"{len(ids)} clients have this name: name one by its id, or say all.",
        {"ids": ids[:20]},
    )
