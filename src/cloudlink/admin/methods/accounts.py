"""The accounts of others, which only owners see and change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.futures import and_then, then
from cloudlink.admin.passwords import LONGEST
from cloudlink.admin.requests import choice, optional, text

from .logins import check_password

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cloudlink.admin.accounts import Account
    from cloudlink.admin.core import Call

_LONGEST_NAME = 64


def _list(call: Call) -> dict[str, Any]:
    return {"items": [account.shown() for account in call.core.accounts.all()]}


def _add(call: Call) -> Future[dict[str, Any]]:
    core, params = call.core, call.params
    name = core.accounts.check_new(params["name"])
    check_password(params["password"])

    def add(hashed: str) -> Future[Account]:
        return core.accounts.add(name, params["role"], hashed)

    adding = and_then(core.hasher.hash(params["password"]), core.server.call_soon, add)
    return _finish(call, "accounts.add", name, adding, {"role": params["role"]})


def _set(call: Call) -> Future[dict[str, Any]]:
    core, params = call.core, call.params
    account = core.accounts.require(params["name"])
    role, password = params.get("role"), params.get("password")
    if role is None and password is None:
        raise AdminError("invalid", "Say what to change: `role`, `password` or both.", {"key": "role"})
    if password is None:
        setting = core.accounts.set(account.name, role=role)
    else:
        check_password(password)

        def change(hashed: str) -> Future[Account]:
            return core.accounts.set(account.name, role=role, hashed=hashed)

        setting = and_then(core.hasher.hash(password), core.server.call_soon, change)
    changed = {"role": role} if role else {}
    return _finish(
        call, "accounts.set", account.name, setting, changed | ({"password": "changed"} if password else {})
    )


def _remove(call: Call) -> Future[dict[str, Any]]:
    account = call.core.accounts.require(call.params["name"])
    return _finish(call, "accounts.remove", account.name, call.core.accounts.remove(account.name))


def _unlock(call: Call) -> dict[str, Any]:
    account = call.core.accounts.require(call.params["name"])
    call.core.throttle.unlock(account.name)
    call.core.audit.record(call.actor, "accounts.unlock", target=f"account:{account.name}")
    return {}


def _finish(
    call: Call, method: str, name: str, changing: Future[Account], params: dict[str, Any] | None = None
) -> Future[dict[str, Any]]:
    def finish(account: Account) -> dict[str, Any]:
        call.core.audit.record(call.actor, method, target=f"account:{name}", params=params)
        return {"account": account.shown()}

    return then(changing, call.core.server.call_soon, finish)


_NAME = text(_LONGEST_NAME, 1)
_ROLE = choice("viewer", "moderator", "owner")
_PASSWORD = text(LONGEST)

METHODS = {
    "accounts.list": Method(_list, {}, "owner", is_secret=True),
    "accounts.add": Method(
        _add, {"name": _NAME, "password": _PASSWORD, "role": _ROLE}, "owner", changes=True, is_secret=True
    ),
    "accounts.set": Method(
        _set,
        {"name": _NAME, "role": optional(_ROLE), "password": optional(_PASSWORD)},
        "owner",
        changes=True,
        is_secret=True,
    ),
    "accounts.remove": Method(_remove, {"name": _NAME}, "owner", changes=True, is_secret=True),
    "accounts.unlock": Method(_unlock, {"name": _NAME}, "owner", changes=True, is_secret=True),
}
"""The methods, by name."""
