"""Bans: who may be banned, and what a ban does."""

from __future__ import annotations

from collections import Counter, deque
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from cloudlink import forwarded
from cloudlink.addresses import is_private, subscriber
from cloudlink.admin.actors import SERVER, Actor, AdminError
from cloudlink.admin.bans import MOST_BANS, Ban, Bans, from_record
from cloudlink.admin.base import Base, Outcome, checked_reason, checked_seconds
from cloudlink.admin.names import fold
from cloudlink.admin.store import Change
from cloudlink.admin.targets import Target, invalid
from cloudlink.admin.targets import parse as parse_target
from cloudlink.closecodes import CloseCode
from cloudlink.slices import finish, sliced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from ipaddress import IPv4Network, IPv6Network

    from cloudlink.admin.host import Player
    from cloudlink.admin.peers import Replies
    from cloudlink.slices import Slices

KIND = "ban"
"""The kind of their records."""

MOST_IN_A_PAGE = 200
_MOST_EXPORTED = 1000
_IMPORTED_AT_ONCE = 5
"""Bans that are checked, or added, in one slice."""
_MOST_NAMES = 20
_LONGEST_BAN = 100 * 365 * 86_400
_BROADEST = {4: 16, 6: 48}
"""The shortest prefix without `force`."""
_BROADEST_OF_MODERATORS = {4: 24, 6: 64}
_SAVE_HITS_EVERY = 60.0
_SWEEP_EVERY = 3600.0
_MOST_FLOODERS = 10_000


class Banning(Base):
    """The part of `Sanctions` about bans."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.auto_bans = 0
        self._hit: dict[int, Ban] = {}  # those whose hits are not saved yet
        self._untold_hits: Counter[str] = Counter()
        self._hits_saved_at = self._swept_at = self._clock()
        self._floods: dict[str, deque[float]] = {}
        self._fresh: list[Ban] = []  # those of other processes whose clients are still to be disconnected
        self.policy.on_hit = self._count_hit
        self.policy.on_flood = self.flooded

    # Methods of the admin socket.

    def preview_ban(self, actor: Actor, target: dict[str, str]) -> dict[str, Any]:
        """Return `{clients, names}`: how many clients a ban would hit, and up to 20 of their names.

        Raises:
            AdminError: `invalid`, `not_found`, `protected`, or `forbidden` for an address that the actor may not see.
        """
        return finish(self.preview(self.target_of(actor, target)))

    def target_of(self, actor: Actor, target: dict[str, str]) -> dict[str, str]:
        """Return the target of the ban that an actor asks for: of a client, its subscriber. Raises as `preview_ban` does."""
        if not actor.is_owner and parse_target(target).kind in ("address", "network"):
            raise AdminError("forbidden", "Name a client or a name: only owners see addresses.")
        resolved = self._resolved(actor, target)
        return {resolved.kind: resolved.value}

    def preview(self, target: dict[str, str]) -> Slices[dict[str, Any]]:
        """Return the clients of this process that a target matches: `clients names`."""
        players = yield from self._look_for(parse_target(target))
        names = sorted({player.username for player in players if player.username})
        return {"clients": len(players), "names": names[:_MOST_NAMES]}

    def adding_ban(self, actor: Actor, target: dict[str, str], **params: Any) -> Slices[Outcome]:
        """Ban, in place of a ban of the same target, and disconnect the clients that match; for the rest see `_put_ban`.

        Returns:
            `{ban, hit}`: the record, and how many clients it disconnected.
        """
        ban, saving, replies = self._put_ban(actor, target, **params)
        hit = yield from self._enforcing([ban])
        return Outcome({"ban": self._shown_ban(actor, ban), "hit": hit}, saving, replies)

    def ban(self, actor: Actor, target: dict[str, str], **params: Any) -> dict[str, Any]:
        """Ban as `adding_ban` does and return the ban; the clients that match are disconnected in the next turns of the server."""
        ban, _, _ = self._put_ban(actor, target, **params)
        self.slices.start(self._enforcing([ban]))
        return self._shown_ban(actor, ban)

    def _put_ban(
        self,
        actor: Actor,
        target: dict[str, str],
        *,
        seconds: float | None,
        reason: str = "",
        force: bool = False,
    ) -> tuple[Ban, Future[bool], Future[Replies]]:
        """Put a ban into effect, in place of a ban of the same target.

        Args:
            actor: Who bans; a moderator's ban is shortened to `admin_moderator_max_ban`.
            target: Whom; a client means its subscriber.
            seconds: For how long, None for ever.
            reason: The text that banned clients get.
            force: Whether an owner confirms a very wide network.

        Returns:
            The ban, whether it is saved, and what other processes answer.

        Raises:
            AdminError: `invalid`, `not_found`, `protected`, `too_broad`, `too_many`.
        """
        params = {"seconds": seconds, **({"force": True} if force else {})}
        with self._audited(actor, "bans.add", target=self._named(target), params=params, reason=reason):
            reason = checked_reason(reason)
            if seconds is not None:
                checked_seconds(seconds, _LONGEST_BAN)
            if not actor.is_owner:
                longest = self._settings.admin_moderator_max_ban
                seconds = min(longest, longest if seconds is None else seconds)
            self._check_proxy(target)
            resolved = self._resolved(actor, target)
            self._check_width(actor, resolved, force=force)
            self._check_protected(actor, resolved)
            self._check_room_for(resolved)
            ban = Ban(
                id=self.policy.bans.next_id(),
                kind=resolved.kind,
                value=resolved.value,
                reason=reason,
                by=actor.name,
                at=int(self._wall_clock()),
                until=None if seconds is None else self._until(seconds),
            )
            self.policy.bans.put(ban)  # from now on it turns newcomers away
            saving, replies = self._save_and_ask(Change(KIND, resolved.key, ban.record()))
        return ban, saving, replies

    def list_bans(self, actor: Actor, **params: Any) -> dict[str, Any]:
        """Return a page of bans at once; see `look_for_bans`."""
        return finish(self.look_for_bans(actor, **params))

    def look_for_bans(
        self, actor: Actor, *, search: str = "", after: int | None = None, limit: int = MOST_IN_A_PAGE
    ) -> Slices[dict[str, Any]]:
        """Return `{items, total, next}`, the newest first.

        Args:
            actor: Who asks; only owners see addresses and find bans by them.
            search: A part of a name, a reason or an address; an address finds the networks that hold it.
            after: The `next` of the last answer, None for the first page.
            limit: The most items, up to 200.
        """
        limit = max(1, min(limit, MOST_IN_A_PAGE))
        items: list[Ban] = []
        is_wanted = self._search(actor, search)
        for part in sliced(self.policy.bans.before(after)):
            items += part if is_wanted is None else filter(is_wanted, part)
            if len(items) > limit:
                break
            yield
        following = items[limit - 1].id if len(items) > limit else None
        shown = [self._shown_ban(actor, ban) for ban in items[:limit]]
        return {"items": shown, "total": len(self.policy.bans), "next": following}

    def remove_ban(self, actor: Actor, **params: Any) -> Outcome:
        """Remove bans at once; see `removing_bans`."""
        return finish(self.removing_bans(actor, **params))

    def removing_bans(
        self,
        actor: Actor,
        *,
        id: int | None = None,  # noqa: A002  # the word of the admin socket
        by: str | None = None,
        since: float | None = None,
    ) -> Slices[Outcome]:
        """Remove one ban, or all that somebody made since a Unix time; those who are not owners remove their own only.

        Returns:
            `{removed}`: how many.

        Raises:
            AdminError: `invalid`, `not_found`, `forbidden`.
        """
        params = {"id": id} if id is not None else {"by": by, "since": since}
        with self._audited(actor, "bans.remove", params=params):
            bans = []
            for part in sliced((yield from self._chosen(actor, id, by, since))):
                for ban in part:
                    if self.policy.bans.get(ban.id) is ban:  # nobody else has removed it meanwhile
                        self.policy.bans.drop(ban.target)
                        self._hit.pop(ban.id, None)
                        bans.append(ban)
                yield
            saving = self._save(*(Change(KIND, ban.target.key, None) for ban in bans))
        return Outcome({"removed": len(bans)}, saving)

    def exporting_bans(self, actor: Actor, *, after: int | None = None) -> Slices[dict[str, Any]]:
        """Return `{items, next}`: up to 1000 bans with all their fields, for another server. Owners only."""
        found = list(islice(self.policy.bans.before(after), _MOST_EXPORTED + 1))
        items: list[dict[str, Any]] = []
        for part in sliced(found[:_MOST_EXPORTED]):
            items += [ban.record() for ban in part]
            yield
        self.audit.record(actor, "bans.export", params={"count": len(items)})
        following = found[_MOST_EXPORTED - 1].id if len(found) > _MOST_EXPORTED else None
        return {"items": items, "next": following}

    def importing_bans(self, actor: Actor, items: list[Any], *, dry_run: bool = False) -> Slices[Outcome]:
        """Add bans that another server exported. Owners only.

        Returns:
            `{added, refused}`; `refused` is a list of `{index, message}`.

        Raises:
            AdminError: `invalid`, `too_many`; nothing was added.
        """
        params = {"count": len(items), **({"dry_run": True} if dry_run else {})}
        with self._audited(actor, "bans.import", params=params):
            if len(items) > _MOST_EXPORTED:
                raise invalid("items", f"can have at most {_MOST_EXPORTED} bans")
            added: list[Ban] = []
            refused = []
            for part in sliced(enumerate(items), _IMPORTED_AT_ONCE):
                for index, item in part:
                    try:
                        added.append(self._imported(actor, item))
                    except AdminError as error:
                        refused.append({"index": index, "message": error.message})
                yield
            if len(self.policy.bans) + len(added) > MOST_BANS:
                raise _too_many()
            changes: list[Change] = []
            for bans in sliced([] if dry_run else added, _IMPORTED_AT_ONCE):
                for ban in bans:
                    ban.id = self.policy.bans.next_id()
                    self.policy.bans.put(ban)
                changes += [Change(KIND, ban.target.key, ban.record()) for ban in bans]
                yield
            saving = self._save(*changes) if changes else self._nothing_to_save()
        if not dry_run:
            yield from self._enforcing(added)
        return Outcome({"added": len(added), "refused": refused}, saving)

    # By the server itself.

    def flooded(self, player: Player) -> None:
        """Note that a client was disconnected for sending too much; ban its subscriber if that happens too often."""
        after = self._settings.auto_ban_after
        if not after or is_private(player.address):
            return
        key = subscriber(player.address)
        is_enough = self._count_flood(key) >= after
        self.peers.tell("flood", {"subscriber": key, "is_enough": is_enough})
        if not is_enough:
            return
        del self._floods[key]
        self.slices.start(self._auto_banning({"address": key.partition("/")[0]}))

    def _auto_banning(self, target: dict[str, str]) -> Slices[None]:
        seconds = self._settings.auto_ban_time
        try:
            yield from self.adding_ban(SERVER, target, seconds=seconds, reason="flooding")
        except AdminError:  # it is protected; the audit says so
            return
        self.auto_bans += 1

    def flooded_elsewhere(self, key: str, *, is_enough: bool) -> None:
        """Note that a client of another process was disconnected for sending too much.

        Args:
            key: Its subscriber.
            is_enough: Whether the other process bans it.
        """
        if is_enough:
            self._floods.pop(key, None)
        elif self._settings.auto_ban_after:
            self._count_flood(key)

    def _count_flood(self, key: str) -> int:
        """Note a disconnection of a subscriber; return how many there were within the window."""
        now = self._clock()
        if key not in self._floods and len(self._floods) >= _MOST_FLOODERS:
            self._floods.clear()
        times = self._floods.setdefault(key, deque())
        times.append(now)
        while times[0] <= now - self._settings.auto_ban_window:
            times.popleft()
        return len(times)

    # Keeping.

    def _load_bans(self) -> None:
        for key, record in self._store.records(KIND):
            self._ban_changed(key, record, is_new=False)

    def _watch_bans(self) -> None:
        self._store.watch(KIND, self._ban_changed)

    def _ban_changed(self, key: str, record: Any, *, is_new: bool = True) -> None:
        """Take over what the file, or another process, says of a ban, and disconnect the clients that it hits."""
        bans = self.policy.bans
        if record is None:
            kind, _, value = key.partition(":")
            bans.drop(Target(kind, value))
            return
        try:
            ban = from_record(record)
        except msgspec.ValidationError:
            self.notify(f"A ban in the file cannot be read and is left out: {key}.")
            return
        former = bans.get(ban.id)
        if former is not None and former.at == ban.at and former.target.key == ban.target.key:
            # Keep what was counted here after the other process saved it.
            ban.hits = max(ban.hits, former.hits)
            ban.last_hit = max(ban.last_hit or 0, former.last_hit or 0) or None
        rival = bans.take_over(ban)
        if rival is not None:
            self._save(Change(KIND, rival.target.key, rival.record()))
        if is_new:
            self._fresh.append(ban)
            # The first of many is enforced alone; those that come meanwhile are enforced together after it.
            if len(self._fresh) == 1 and not self._is_taking_over:
                self.slices.start(self._enforcing_fresh())

    def _tick_bans(self) -> None:
        now = self._clock()
        self._tell_hits()
        if self._hit and now - self._hits_saved_at >= _SAVE_HITS_EVERY:
            self._hits_saved_at = now
            self._save_hits()
        if now - self._swept_at >= _SWEEP_EVERY:
            self._swept_at = now
            outdated = self.policy.bans.outdated(self._wall_clock())
            for ban in outdated:
                self.policy.bans.drop(ban.target)
            if outdated:
                self._save_here(*(Change(KIND, ban.target.key, None) for ban in outdated))

    def _save_hits(self) -> None:
        hit, self._hit = self._hit, {}
        if hit:
            self._save_here(*(Change(KIND, ban.target.key, ban.record()) for ban in hit.values()))

    def _count_hit(self, ban: Ban) -> None:
        ban.hits += 1
        ban.last_hit = int(self._wall_clock())
        self._hit[ban.id] = ban
        self._untold_hits[ban.target.key] += 1

    def _tell_hits(self) -> None:
        """Have all processes count how often bans turned somebody away, because each of them may save that."""
        if self._untold_hits:
            self.peers.tell("hits", {"hits": self._untold_hits, "at": int(self._wall_clock())})
            self._untold_hits = Counter()

    def add_hits(self, hits: dict[str, int], at: int) -> None:
        """Count what bans have turned away in another process.

        Args:
            hits: How often, by the key of the target.
            at: Unix time of the last time.
        """
        for key, count in hits.items():
            kind, _, value = key.partition(":")
            ban = self.policy.bans.of(Target(kind, value))
            if ban is not None:
                ban.hits += count
                ban.last_hit = max(at, ban.last_hit or 0)

    # Checks, in the order in which they are made.

    def _check_proxy(self, raw: Any) -> None:
        if self._host.trusts_proxies():
            return
        target = parse_target(raw)
        if target.kind != "client":
            return
        header = forwarded.client_header(self._player(target.value).request_headers)
        if header is not None:
            raise AdminError(
                "protected",
                f"This client came with the header {header}, so a proxy seems to be in front, and its address may be "
                "that of everybody: set real_ip_header and trusted_proxies, or ban the name.",
            )

    @staticmethod
    def _check_width(actor: Actor, target: Target, *, force: bool) -> None:
        network = target.network
        if network is None:
            return
        broadest = (_BROADEST if actor.is_owner else _BROADEST_OF_MODERATORS)[network.version]
        if network.prefixlen < broadest and not (force and actor.is_owner):
            way = "with force, if you mean it" if actor.is_owner else "or ask an owner"
            raise AdminError(
                "too_broad",
                f"{network} holds very many people: ban at most a /{broadest}, {way}.",
            )

    def _check_protected(self, actor: Actor, target: Target) -> None:
        network = target.network
        if network is None:
            return
        for protected in self._protected(actor):
            if protected.version == network.version and protected.overlaps(network):
                raise AdminError(
                    "protected",
                    f"{self._shown_value(actor, target)} holds this machine, a trusted proxy or an owner, "
                    "who cannot be banned.",
                )

    def _protected(self, actor: Actor) -> Iterator[IPv4Network | IPv6Network]:
        yield from self._host.protected_networks()
        own = [actor.from_] if actor.is_owner and actor.from_ else []
        for address in (*own, *self.owner_addresses()):
            try:
                yield ip_network(subscriber(str(ip_address(address.partition("%")[0]))))
            except ValueError:  # a Unix socket has no address
                continue

    def _check_room_for(self, target: Target) -> None:
        bans = self.policy.bans
        if len(bans) >= MOST_BANS and bans.of(target) is None:
            raise _too_many()

    # Parts.

    def _enforcing_fresh(self) -> Slices[int]:
        """Disconnect the clients that bans of other processes hit; return how many."""
        bans, self._fresh = self._fresh, []
        return (yield from self._enforcing(bans))

    def _enforcing(self, bans: list[Ban]) -> Slices[int]:
        """Disconnect the clients that bans hit; return how many. One pass over the clients finds them for all bans."""
        now = self._wall_clock()
        found = Bans()
        for some in sliced(bans, _IMPORTED_AT_ONCE):
            for ban in some:
                found.put(ban)
            yield
        hit: list[tuple[Player, str]] = []
        for part in sliced(self._host.players() if bans else ()):
            for player in part:
                by = found.for_address(player.address, now) or found.for_name(player.username or "", now)
                if by is not None:
                    hit.append((player, by.text))
            yield
        self._disconnect(hit, CloseCode.BANNED, "banned")
        return len(hit)

    def _search(self, actor: Actor, search: str) -> Callable[[Ban], bool] | None:
        """Return a function that says whether a ban matches a search, None if all do."""
        if not search:
            return None
        plain = fold(search)

        def is_named(ban: Ban) -> bool:
            return ban.kind == "name" and plain in fold(ban.value)

        if not actor.is_owner:
            return is_named
        if self._settings.admin_addresses != "full":
            return lambda ban: is_named(ban) or plain in fold(ban.reason)
        covering = {ban.id for ban in self.policy.bans.covering(search)}
        return lambda ban: (
            search in ban.value or is_named(ban) or plain in fold(ban.reason) or ban.id in covering
        )

    def _chosen(
        self, actor: Actor, number: int | None, by: str | None, since: float | None
    ) -> Slices[list[Ban]]:
        bans = self.policy.bans
        if (number is None) == (by is None or since is None):
            raise invalid("id", "must be given, or both by and since")
        if number is not None:
            ban = bans.get(number)
            if ban is None:
                raise AdminError("not_found", f"There is no ban {number}.")
            if not actor.is_owner and ban.by != actor.name:
                raise AdminError("forbidden", "You may remove your own bans only.")
            return [ban]
        if not actor.is_owner and by != actor.name:
            raise AdminError("forbidden", "You may remove your own bans only.")
        found: list[Ban] = []
        for part in sliced(list(bans)):
            found += [ban for ban in part if ban.by == by and since is not None and ban.at >= since]
            yield
        return found

    def _imported(self, actor: Actor, item: Any) -> Ban:
        if not isinstance(item, dict):
            raise invalid("items", "must be bans as bans.export returns them")
        try:
            ban = from_record({"id": 0, "by": actor.name, "at": int(self._wall_clock()), **item})
        except msgspec.ValidationError as error:
            raise invalid("items", f"must be bans as bans.export returns them: {error}") from None
        target = parse_target({ban.kind: ban.value})
        if target.kind not in ("address", "network", "name"):
            raise invalid("items", "can hold bans of addresses, networks and names only")
        self._check_width(actor, target, force=True)
        self._check_protected(actor, target)
        ban.kind, ban.value, ban.reason = target.kind, target.value, checked_reason(ban.reason)
        return ban

    def _shown_ban(self, actor: Actor, ban: Ban) -> dict[str, Any]:
        record = ban.record()
        if ban.kind != "name" and not (actor.is_owner and self._settings.admin_addresses == "full"):
            record["value"] = self._shown_value(actor, ban.target)
        return record


def _too_many() -> AdminError:
    return AdminError(
        "too_many",
        f"There can be at most {MOST_BANS} bans; remove some, or ban networks instead of addresses.",
    )
