"""The accounts: who may log in, as what, and from where each has logged in lately.

The accounts live in the file `admin_storage`, and as a copy in memory. A change takes effect once it is on the disk;
if it cannot be written, nothing has changed. Without a file it takes effect at once, and is gone with the process.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from cloudlink.admin.actors import RANKS, AdminError
from cloudlink.admin.store import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.actors import Role
    from cloudlink.admin.store import AdminStore

KIND, KNOWN = "account", "known"
"""The kinds of records in the file: accounts, and the subscribers that have logged into one."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,30}[a-z0-9])?")
NAME_RULE = "a name has 1 to 32 letters a to z, digits, and dots, hyphens or underscores between them"
_RESERVED = ("console", "server", "auto", "plugin", "scratch")
"""Names that the audit uses for others."""
MOST = 1000
"""The most accounts."""
KNOWN_FOR = 30 * 86_400.0
"""Seconds for which a subscriber counts as known after a login."""
_MOST_KNOWN = 200
"""The most subscribers that are remembered for an account."""
_NOTED_AGAIN = 86_400.0
"""Seconds after which another login of a known subscriber is written to the file."""
OWNER = "owner"
"""The name of the account that the setting `admin_password_hash` makes."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account.

    Attributes:
        name: Its name, in lower case.
        role: What it may do.
        hash: The hash of its password.
        at: Unix time at which it was made.
        is_fixed: Whether it comes from the settings, and so cannot be changed here.
    """

    name: str
    role: Role
    hash: str
    at: int
    is_fixed: bool = False

    def shown(self) -> dict[str, Any]:
        """Return what others may know about it."""
        return {"name": self.name, "role": self.role, "at": self.at, "fixed": self.is_fixed}


class Accounts:
    """All accounts of a server."""

    def __init__(
        self,
        store: AdminStore,
        call_soon: Callable[[Callable[[], None]], object] = lambda callback: callback(),
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Set up the accounts.

        Args:
            store: The file; `load` reads it.
            call_soon: Calls a function in the server's thread.
            wall_clock: Returns the Unix time in seconds.
        """
        self._store = store
        self._call_soon = call_soon
        self._clock = wall_clock
        self._accounts: dict[str, Account] = {}
        self._known: dict[str, dict[str, int]] = {}
        self._changing: set[str] = set()
        self._on_change: Callable[[str], object] = lambda _name: None

    def load(self, owner_hash: str = "") -> None:
        """Read the accounts from the file, between its `open` and `start`.

        Args:
            owner_hash: The setting `admin_password_hash`.
        """
        for key, value in self._store.records(KIND):
            self._take(key, value)
        for key, value in self._store.records(KNOWN):
            self._take_known(key, value)
        if owner_hash:
            self._accounts[OWNER] = Account(OWNER, "owner", owner_hash, int(self._clock()), is_fixed=True)
        self._store.watch(KIND, self._changed_elsewhere)
        self._store.watch(KNOWN, self._take_known)

    def on_change(self, callback: Callable[[str], object]) -> None:
        """Have `callback(name)` called when a role or a password has changed, or an account was removed."""
        self._on_change = callback

    # Looking up.

    def __len__(self) -> int:
        return len(self._accounts)

    def __contains__(self, name: object) -> bool:
        return name in self._accounts

    def get(self, name: str) -> Account | None:
        """Return the account with that name, ignoring case; None if there is none."""
        return self._accounts.get(name.lower())

    def require(self, name: str) -> Account:
        """Return the account of that name. Raises `AdminError`: `not_found`."""
        account = self.get(name)
        if account is None:
            raise AdminError("not_found", "There is no account of that name; accounts.list lists all.")
        return account

    def all(self) -> list[Account]:
        """Return all accounts, by name."""
        return sorted(self._accounts.values(), key=lambda account: account.name)

    # Changing.

    def check_new(self, name: str) -> str:
        """Return the name of a new account in lower case.

        Raises:
            AdminError: It is not allowed (`invalid`), or taken (`conflict`), or there are too many (`too_many`).
        """
        name = name.lower()
        if not _NAME.fullmatch(name) or name in _RESERVED:
            why = f"{name} is reserved" if name in _RESERVED else NAME_RULE
            raise AdminError("invalid", f"`name` cannot be used: {why}.", {"key": "name"})
        if name in self._accounts:
            raise AdminError("conflict", f"There is an account {name} already; choose another name.")
        if len(self._accounts) >= MOST:
            raise AdminError("too_many", f"There are {MOST} accounts already; remove one first.")
        return name

    def add(self, name: str, role: Role, hashed: str) -> Future[Account]:
        """Make an account.

        Returns:
            A future of the account; it fails with the error `storage` if the account could not be saved.

        Raises:
            AdminError: As `check_new`, or `busy` if the account is being changed.
        """
        account = Account(self.check_new(name), role, hashed, int(self._clock()))
        return self._write(account.name, account)

    def set(self, name: str, *, role: Role | None = None, hashed: str | None = None) -> Future[Account]:
        """Change the role or the password of an account; returns as `add`.

        Raises:
            AdminError: `not_found`; `conflict` for the last owner, and for the account of the settings; `busy`.
        """
        account = self.require(name)
        self._refuse_fixed(account)
        if role is not None and role != "owner":
            self._refuse_last_owner(account)
        return self._write(
            account.name, replace(account, role=role or account.role, hash=hashed or account.hash)
        )

    def remove(self, name: str) -> Future[Account]:
        """Remove an account; returns and raises as `set`."""
        account = self.require(name)
        self._refuse_fixed(account)
        self._refuse_last_owner(account)
        return self._write(account.name, None)

    def _refuse_fixed(self, account: Account) -> None:
        if account.is_fixed:
            raise AdminError(
                "conflict",
                "The account owner comes from the setting admin_password_hash: change it there, and start the server again.",
            )

    def _refuse_last_owner(self, account: Account) -> None:
        owners = [other.name for other in self._accounts.values() if other.role == "owner"]
        if owners == [account.name]:
            raise AdminError(
                "conflict", f"{account.name} is the last owner: make another account an owner first."
            )

    def _write(self, name: str, account: Account | None) -> Future[Account]:
        if self._changing:  # one at a time, so that two changes together cannot remove the last owner
            raise AdminError("busy", "Another account is being changed; try again in a moment.")
        finished: Future[Account] = Future()
        former = self._accounts.get(name)
        if self._store.is_memory_only:
            self._store.tell_saved([Change(KIND, name, None if account is None else _record(account))])
            self._apply(name, account)
            finished.set_result(cast("Account", account or former))
            return finished
        self._changing.add(name)
        changes = [Change(KIND, name, None if account is None else _record(account))]
        if account is None:
            changes += [Change(KNOWN, _known_key(name, who), None) for who in self._known.get(name, ())]
        saving = self._store.save(changes, keep=False)

        def end() -> None:
            self._changing.discard(name)
            if not saving.result():
                why = self._store.trouble or "The file of the administration cannot be written now."
                finished.set_exception(AdminError("storage", f"Nothing was changed. {why}"))
                return
            self._store.tell_saved(changes)
            self._apply(name, account)
            finished.set_result(cast("Account", account or former))

        saving.add_done_callback(lambda _: self._call_soon(end))
        return finished

    def _apply(self, name: str, account: Account | None) -> None:
        former = self._accounts.get(name)
        if account is None:
            self._accounts.pop(name, None)
            self._known.pop(name, None)
        else:
            self._accounts[name] = account
        if former is not None and former != account:
            self._on_change(name)

    # The file.

    def _changed_elsewhere(self, name: str, value: Any) -> None:
        former = self._accounts.get(name)
        if former is not None and former.is_fixed:
            return
        if value is None:
            self._apply(name, None)
            return
        account = _account(name, value)
        if account is not None:
            self._apply(name, account)

    def _take(self, name: str, value: Any) -> None:
        account = _account(name, value)
        if account is not None:
            self._accounts[name] = account

    # Known subscribers.

    def is_known(self, name: str, subscriber: str) -> bool:
        """Return whether a subscriber has logged into an account in the last 30 days."""
        at = self._known.get(name, {}).get(subscriber)
        return at is not None and self._clock() - at < KNOWN_FOR

    def note_login(self, name: str, subscriber: str) -> None:
        """Remember that a subscriber has logged into an account."""
        now = int(self._clock())
        known = self._known.setdefault(name, {})
        noted = known.get(subscriber)
        if noted is not None and now - noted < _NOTED_AGAIN:
            return
        known[subscriber] = now
        dropped = [who for who, at in known.items() if now - at >= KNOWN_FOR]
        if len(known) - len(dropped) > _MOST_KNOWN:
            dropped.append(min(known, key=lambda who: known[who]))
        for who in dropped:
            del known[who]
        self._store.save(
            [
                Change(KNOWN, _known_key(name, subscriber), now),
                *(Change(KNOWN, _known_key(name, who), None) for who in dropped),
            ]
        )

    def _take_known(self, key: str, value: Any) -> None:
        name, _, subscriber = key.partition(" ")
        if isinstance(value, int):
            self._known.setdefault(name, {})[subscriber] = value
        else:
            self._known.get(name, {}).pop(subscriber, None)


def _known_key(name: str, subscriber: str) -> str:
    return f"{name} {subscriber}"


def _record(account: Account) -> dict[str, Any]:
    return {"role": account.role, "hash": account.hash, "at": account.at}


def _account(name: str, value: Any) -> Account | None:
    """Return the account of a record, None if the record makes no sense, as another program may have written it."""
    if not isinstance(value, dict):
        return None
    role, hashed, at = value.get("role"), value.get("hash"), value.get("at")
    if role not in RANKS or not isinstance(hashed, str) or not isinstance(at, int):
        return None
    return Account(name, role, hashed, at)
