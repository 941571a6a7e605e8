"""The parts that the methods work with, and what a method is."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from cloudlink.admin.process import Process
from cloudlink.admin.setupcode import SetupCode
from cloudlink.admin.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from cloudlink.admin.accounts import Accounts
    from cloudlink.admin.actors import Actor, Role
    from cloudlink.admin.base import Outcome
    from cloudlink.admin.callers import Caller
    from cloudlink.admin.hashing import Hasher
    from cloudlink.admin.requests import Param
    from cloudlink.admin.sessions import Sessions
    from cloudlink.slices import Slices

    Result: TypeAlias = dict[str, Any] | Outcome | Future[dict[str, Any]] | Future[Outcome]
    """The return value of a method: a result, a change, or a future of one."""


@dataclass(kw_only=True)
class Core(Process):
    """The administration of one server, in the process that has its accounts and sockets.

    Attributes:
        accounts: Who may log in.
        sessions: Who is logged in.
        hasher: Computes hashes of passwords.
        may_watch: Returns the setting `admin_watch`.
        connect: The URL that players connect to, empty if unknown.
        may_read_log: Returns whether the log shows no more of addresses than owners may see.
        link: Returns a new link with which the first account can be made. Raises `AdminError`: `unavailable`.
        follow: Has the other processes send what somebody here has subscribed to.
        throttle: Slows down the guessing of passwords.
        setup_code: The code for the first account.
        wall_clock: Returns the Unix time in seconds.
        logins: Attempts to log in, by result: `ok`, `failed`, `throttled`.
    """

    accounts: Accounts
    sessions: Sessions
    hasher: Hasher
    may_watch: Callable[[], bool]
    may_read_log: Callable[[], bool]
    link: Callable[[], str]
    connect: str = ""
    follow: Callable[[], None] = lambda: None
    throttle: Throttle = field(default_factory=Throttle)
    setup_code: SetupCode = field(default_factory=SetupCode)
    wall_clock: Callable[[], float] = time.time
    logins: Counter[str] = field(default_factory=Counter)

    @property
    def needs_setup(self) -> bool:
        """Whether there is no account yet."""
        return not len(self.accounts)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method.

    Attributes:
        core: The administration.
        caller: The socket.
        actor: Who calls; before a login, a viewer without a name.
        params: The parameters, checked.
    """

    core: Core
    caller: Caller
    actor: Actor
    params: dict[str, Any]

    def in_slices(self, slices: Slices[Any]) -> Result:
        """Return the result of slices if they finish in one turn, else a future of it."""
        return cast("Result", self.core.sanctions.slices.run(slices))


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the admin socket.

    Attributes:
        run: Does it. Raises `AdminError`.
        params: Its parameters.
        role: The least role that may call it, None if it needs no login.
        changes: Whether it changes something, and so keeps the session alive.
        is_secret: Whether passwords or tokens travel with it, which needs TLS or a private network.
    """

    run: Callable[[Call], Result]
    params: Mapping[str, Param]
    role: Role | None = "viewer"
    changes: bool = False
    is_secret: bool = False
