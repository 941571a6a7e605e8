"""Logging in and out, and the sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin import passwords
from cloudlink.admin.actors import Actor, AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.futures import and_then, then
from cloudlink.admin.requests import integer, text
from cloudlink.admin.setupcode import LIFETIME

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cloudlink.admin.accounts import Account
    from cloudlink.admin.core import Call, Core
    from cloudlink.admin.sessions import Session

_LONGEST_NAME = 64
_LONGEST_TOKEN = 128
_WRONG = "The name or the password is wrong."
_UNENCRYPTED = (
    "This connection is not encrypted, so others in your network may read your password; "
    "see docs/admin.md for how to set up TLS."
)


def _login(call: Call) -> Future[dict[str, Any]]:
    core, caller = call.core, call.caller
    _require_stranger(call)
    name, password = call.params["name"].lower(), call.params["password"]
    account = core.accounts.get(name)
    subscriber = caller.peer.subscriber
    wait = core.throttle.wait(
        subscriber, name, is_known=account is not None and core.accounts.is_known(name, subscriber)
    )
    if wait > 0:
        _record(call, account, "throttled")
        core.logins["throttled"] += 1
        raise AdminError(
            "throttled",
            f"There were too many wrong passwords. Try again in {_duration(wait)}.",
            {"retry_after": round(wait, 1)},
        )
    attempt = core.throttle.begin(subscriber, name, core.accounts)
    try:
        checking = core.hasher.check(password, account.hash if account else passwords.NOBODY)
    except AdminError:
        core.throttle.withdraw(attempt)
        raise
    caller.is_logging_in = True

    def finish(is_right: bool) -> dict[str, Any]:
        caller.is_logging_in = False
        if not is_right or account is None or core.accounts.get(name) != account:
            _record(call, account, "wrong_credentials")
            core.logins["failed"] += 1
            raise AdminError("wrong_credentials", _WRONG)
        core.throttle.succeeded(attempt)
        core.accounts.note_login(name, subscriber)
        return _begin(call, account)

    return then(checking, core.server.call_soon, finish)


def _setup(call: Call) -> Future[dict[str, Any]]:
    core = call.core
    _require_stranger(call)
    if not core.setup_code.is_right(call.params["code"]):
        core.audit.record_often(call.actor, "setup", outcome="wrong_credentials")
        raise AdminError(
            "wrong_credentials",
            "This link is not valid any more. Each start of the server logs a new one, "
            "and `cloudlink admin link` prints another.",
        )
    if not core.needs_setup:
        raise AdminError("conflict", "There is an account already: log in with its name and password.")
    name = core.accounts.check_new(call.params["name"])
    check_password(call.params["password"])
    hashing = core.hasher.hash(call.params["password"])

    def add(hashed: str) -> Future[Account]:
        if not core.needs_setup:  # somebody else used the link meanwhile
            raise AdminError("conflict", "Somebody else has made the first account.")
        return core.accounts.add(name, "owner", hashed)

    def finish(account: Account) -> dict[str, Any]:
        core.setup_code.drop()
        core.accounts.note_login(account.name, call.caller.peer.subscriber)
        return _begin(call, account, "setup")

    soon = core.server.call_soon
    return then(and_then(hashing, soon, add), soon, finish)


def _make_link(call: Call) -> dict[str, Any]:
    core = call.core
    if not core.needs_setup:
        raise AdminError(
            "conflict",
            "There is an account already, so nobody needs a link: add others with `cloudlink admin add NAME`, "
            "or give one a new password with `cloudlink admin password NAME`.",
        )
    link = core.link()
    core.audit.record(call.actor, "setup.link")
    return {"link": link, "seconds": int(LIFETIME)}


def _resume(call: Call) -> dict[str, Any]:
    core = call.core
    _require_stranger(call)
    session = core.sessions.resume(call.params["token"])
    account = core.accounts.get(session.account) if session else None
    if session is None or account is None:
        raise AdminError("not_logged_in", "This login has ended: log in again.")
    call.caller.log_in(session)
    core.sessions.touch(session)
    return _shown(call, call.params["token"], session, account)


def _begin(call: Call, account: Account, method: str = "login") -> dict[str, Any]:
    core, caller = call.core, call.caller
    if not caller.is_open or not caller.is_stranger:
        raise AdminError("conflict", "This connection cannot log in any more.")
    token, session = core.sessions.begin(account.name, caller.peer.address)
    caller.log_in(session)
    actor = Actor(account.name, account.role, "dashboard", caller.peer.address)
    core.audit.record(actor, method, target=f"account:{account.name}")
    core.logins["ok"] += 1
    return _shown(call, token, session, account)


def _shown(call: Call, token: str, session: Session, account: Account) -> dict[str, Any]:
    peer = call.caller.peer
    shown = {
        "token": token,
        "name": account.name,
        "role": account.role,
        "expires": round(session.expires),
    }
    return shown if peer.is_secure or peer.is_loopback else shown | {"warning": _UNENCRYPTED}


def _record(call: Call, account: Account | None, outcome: str) -> None:
    # A name that does not exist may be a password in the wrong field.
    target = f"account:{account.name}" if account else "account:?"
    call.core.audit.record_often(call.actor, "login", target=target, outcome=outcome)


def _logout(call: Call) -> dict[str, Any]:
    session = require_session(call)
    call.core.audit.record(call.actor, "logout")
    call.core.sessions.end(session)
    return {}


def _touch(call: Call) -> dict[str, Any]:
    session = call.caller.session
    if session is None:
        return {"expires": None}
    call.core.sessions.touch(session)
    return {"expires": round(session.expires)}


def _me(call: Call) -> dict[str, Any]:
    session = call.caller.session
    return {
        "name": call.actor.name,
        "role": call.actor.role,
        "expires": round(session.expires) if session else None,
        "session": session.id if session else None,
        "via": call.actor.via,
        "connect": call.core.connect,
    }


def _set_password(call: Call) -> Future[dict[str, Any]]:
    core = call.core
    session = require_session(call)
    account = core.accounts.require(session.account)
    old, new = call.params["old"], call.params["new"]
    check_password(new, "new")
    subscriber = call.caller.peer.subscriber
    wait = core.throttle.wait(subscriber, account.name, is_known=True)
    if wait > 0:
        raise AdminError(
            "throttled",
            f"There were too many wrong passwords. Try again in {_duration(wait)}.",
            {"retry_after": round(wait, 1)},
        )
    attempt = core.throttle.begin(subscriber, account.name, core.accounts)
    try:
        checking = core.hasher.check(old, account.hash)
    except AdminError:
        core.throttle.withdraw(attempt)
        raise

    def hash_new(is_right: bool) -> Future[str]:
        if not is_right:
            core.audit.record_often(
                call.actor, "password.set", target=f"account:{account.name}", outcome="wrong_credentials"
            )
            raise AdminError("wrong_credentials", "The old password is wrong.")
        core.throttle.succeeded(attempt)
        return core.hasher.hash(new)

    def change(hashed: str) -> Future[Account]:
        return core.accounts.set(account.name, hashed=hashed)

    def finish(changed: Account) -> dict[str, Any]:
        core.audit.record(call.actor, "password.set", target=f"account:{changed.name}")
        return {}

    soon = core.server.call_soon
    return then(and_then(and_then(checking, soon, hash_new), soon, change), soon, finish)


def _list_sessions(call: Call) -> dict[str, Any]:
    core, own = call.core, call.caller.session
    items = []
    for session in core.sessions.all():
        if not call.actor.is_owner and session.account != call.actor.name:
            continue
        items.append(
            {
                "id": session.id,
                "account": session.account,
                "since": round(session.since),
                "active": round(session.active),
                "expires": round(session.expires),
                "address": _address(core, call.actor, session),
                "own": session is own,
            }
        )
    return {"items": items}


def _address(core: Core, actor: Actor, session: Session) -> str:
    if session.account == actor.name:
        return session.address
    return core.sanctions.shown_address(actor, session.address)


def _end_session(call: Call) -> dict[str, Any]:
    for session in call.core.sessions.all():
        if session.id == call.params["id"] and (call.actor.is_owner or session.account == call.actor.name):
            call.core.sessions.end(session)
            call.core.audit.record(call.actor, "sessions.end", target=f"account:{session.account}")
            return {}
    raise AdminError("not_found", "There is no such session; sessions.list lists those that you may end.")


def _require_stranger(call: Call) -> None:
    if not call.caller.is_stranger:
        raise AdminError("conflict", "This connection has logged in already; log out first.")
    if call.caller.is_logging_in:
        raise AdminError("busy", "Another password of this connection is being checked.")


def require_session(call: Call) -> Session:
    """Return the session of the caller. Raises `AdminError`: `unavailable` for the terminal, which has none."""
    session = call.caller.session
    if session is None:
        raise AdminError("unavailable", "The terminal has no login and no password of its own.")
    return session


def check_password(password: str, key: str = "password") -> None:
    """Raise `AdminError` (`invalid`) if a new password is not allowed."""
    problem = passwords.problem(password)
    if problem:
        raise AdminError("invalid", f"The password {problem}.", {"key": key})


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 120:  # noqa: PLR2004  # two minutes
        return f"{whole} second{'s' * (whole != 1)}"
    return f"{round(whole / 60)} minutes"


_PASSWORD = text(passwords.LONGEST)

METHODS = {
    "login": Method(
        _login, {"name": text(_LONGEST_NAME, 1), "password": _PASSWORD}, role=None, is_secret=True
    ),
    "setup": Method(
        _setup,
        {"code": text(_LONGEST_TOKEN), "name": text(_LONGEST_NAME, 1), "password": _PASSWORD},
        role=None,
        is_secret=True,
    ),
    "setup.link": Method(_make_link, {}, "owner"),
    "resume": Method(_resume, {"token": text(_LONGEST_TOKEN)}, role=None, is_secret=True),
    "logout": Method(_logout, {}),
    "touch": Method(_touch, {}),
    "me": Method(_me, {}),
    "password.set": Method(_set_password, {"old": _PASSWORD, "new": _PASSWORD}, changes=True, is_secret=True),
    "sessions.list": Method(_list_sessions, {}),
    "sessions.end": Method(_end_session, {"id": integer(1)}, changes=True),
}
"""The methods, by name."""
