"""`cloudlink admin`: administers the server that runs on this machine, or its file while none runs.

Each action asks the methods of the admin socket; `cloudlink.cli.adminreach` finds whom to ask, and
`cloudlink.cli.adminlines` writes the answers for people.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudlink.admin import passwords
from cloudlink.cli import adminlines
from cloudlink.cli.adminreach import NoServerError, RefusedError, back_up, reach
from cloudlink.cli.durations import seconds_of
from cloudlink.cli.flags import DEFAULT_FILE, settings_from
from cloudlink.cli.storagefile import print_text
from cloudlink.errors import StartError
from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.cli.adminreach import Reach

HELP = "Administer the server that runs here: accounts, players, bans, modes."

NO_SERVER = 3
"""The exit status if no server runs and the action needs one."""
_DEFAULT_BAN, _DEFAULT_MUTE = "1d", "5m"
_PAGE = 200

_ACTIONS = {
    "link": "print a link with which the first account can be made",
    "password": "give an account a new password",
    "hash": "print the hash of a password, for the setting admin_password_hash",
    "accounts": "list the accounts",
    "add": "add an account",
    "remove": "remove an account",
    "unlock": "let an account log in again at once after wrong passwords",
    "status": "show how the server is doing",
    "clients": "list the players",
    "rooms": "list the rooms",
    "kick": "disconnect a player",
    "ban": "ban a player, a name, an address or a network",
    "unban": "remove a ban",
    "bans": "list the bans",
    "mute": "let nobody read what a player, a name or an address says",
    "unmute": "remove a mute",
    "mutes": "list the mutes",
    "say": "show a text to all players",
    "mode": "let newcomers in, guard against many of them, or turn them away",
    "drain": "announce the end and disconnect everybody after some seconds",
    "reload": "read the settings and certificates again",
    "audit": "list who did what",
    "export": "write all bans as JSON",
    "import": "add the bans of a file that export wrote",
    "backup": "copy the file of the administration",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its arguments and flags."""
    _add_places(parser, default=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    made = {}
    for name, meaning in _ACTIONS.items():
        action = made[name] = actions.add_parser(
            name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}."
        )
        _add_places(action, default=argparse.SUPPRESS)
    _add_accounts(made)
    _add_players(made)
    _add_server(made)


def _add_places(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        default=False if default is None else default,
        help="print the answer as JSON",
    )
    parser.add_argument(
        "--key",
        default=default,
        metavar="FILE",
        help="the key file of the server (default: beside admin_storage)",
    )
    parser.add_argument(
        "--config", default=default, metavar="FILE", help=f"the settings file instead of {DEFAULT_FILE}"
    )


def _add_accounts(actions: dict[str, argparse.ArgumentParser]) -> None:
    for name in ("password", "add", "remove", "unlock"):
        actions[name].add_argument("name", metavar="NAME", help="the account's name")
    actions["add"].add_argument(
        "--role",
        choices=("viewer", "moderator", "owner"),
        default="moderator",
        help="what it may do (default: moderator)",
    )


def _add_players(actions: dict[str, argparse.ArgumentParser]) -> None:
    actions["clients"].add_argument("search", metavar="TEXT", nargs="?", help="a part of the name, or an id")
    actions["kick"].add_argument("who", metavar="WHO", help="the name or the id of a player")
    actions["kick"].add_argument("--all", action="store_true", help="all players of that name")
    for name, default in (("ban", _DEFAULT_BAN), ("mute", _DEFAULT_MUTE)):
        what = "a name, name:NAME, client:ID, an address such as 203.0.113.7, or a network such as 203.0.113.0/24"
        actions[name].add_argument("target", metavar="WHO", help=what)
        actions[name].add_argument(
            "--for",
            dest="duration",
            metavar="TIME",
            default=default,
            help=f"how long, such as 90s, 10m, 2h, 7d{' or ever' if name == 'ban' else ''} (default: {default})",
        )
    for name in ("kick", "ban", "mute"):
        actions[name].add_argument("--reason", metavar="TEXT", default="", help="why; players read this")
    actions["ban"].add_argument("--force", action="store_true", help="ban a very wide network all the same")
    actions["mute"].add_argument(
        "--hidden", action="store_true", help="let the player believe that others read it"
    )
    actions["unban"].add_argument("id", metavar="ID", nargs="?", type=int, help="the number of the ban")
    actions["unban"].add_argument("--by", metavar="NAME", help="all bans of an account, with --since")
    actions["unban"].add_argument("--since", metavar="TIME", help="made within this time, such as 2h")
    actions["unmute"].add_argument("id", metavar="ID", type=int, help="the number of the mute")
    actions["say"].add_argument("text", metavar="TEXT", help="what the players read")
    actions["say"].add_argument(
        "--room",
        dest="rooms",
        action="append",
        metavar="TEXT",
        help="only this room (may be given several times)",
    )
    actions["say"].add_argument(
        "--as", dest="kind", choices=("motd", "gmsg"), default="motd", help="how (default: motd)"
    )


def _add_server(actions: dict[str, argparse.ArgumentParser]) -> None:
    actions["mode"].add_argument(
        "mode", choices=("open", "guarded", "closed"), metavar="MODE", help="open, guarded or closed"
    )
    actions["drain"].add_argument(
        "time", metavar="TIME", help="how long players may go on, such as 60s or 5m"
    )
    actions["drain"].add_argument("--stop", action="store_true", help="stop the server afterwards")
    for name in ("mode", "drain"):
        actions[name].add_argument(
            "--message", metavar="TEXT", help="the text for newcomers who are turned away"
        )
    actions["audit"].add_argument("--limit", type=int, default=50, metavar="N", help="how many (default: 50)")
    actions["export"].add_argument(
        "--output", default="-", metavar="FILE", help="the file to write instead of printing"
    )
    actions["import"].add_argument("source", metavar="FILE", help="the file to read; - for standard input")
    actions["import"].add_argument("--dry-run", action="store_true", help="only say what would be added")
    actions["backup"].add_argument("target", metavar="FILE", help="the copy to make")


def run(arguments: argparse.Namespace) -> int:
    """Run an action; return 0 if it is done, 1 if it was refused, 3 if it needs a server and none runs.

    Raises:
        StartError: The settings or a file cannot be used.
    """
    if arguments.action is None:
        raise StartError("Say what to do, such as `cloudlink admin status`; see `cloudlink admin --help`.")
    try:
        result, lines = _ALONE.get(arguments.action, _ask)(arguments)
    except RefusedError as error:
        if not arguments.json:
            raise
        print(json.dumps({"error": error.error}))
        return 1
    except NoServerError as error:
        if arguments.json:
            print(json.dumps({"error": {"code": "no_server", "message": str(error), "data": {}}}))
        print(f"cloudlink: {printable(str(error))}", file=sys.stderr)
        return NO_SERVER
    if arguments.json:
        print(json.dumps(result))
    else:
        for line in lines:
            print_text(printable(line))
        if missing := result.get("missing"):
            count, names = f"{len(missing)} of {result['processes']} processes", ", ".join(missing)
            text = f"cloudlink: {count} did not answer, so this is not all: {names}"
            print(printable(text), file=sys.stderr)
    return 0


_Shown = tuple[dict[str, Any], list[str]]
"""The answer of an action, and the lines for people."""


def _ask(arguments: argparse.Namespace) -> _Shown:
    settings = settings_from(arguments)
    with reach(settings, Path(arguments.key) if arguments.key else None) as administration:
        result = _ASKING[arguments.action](administration, arguments)
    return result, adminlines.lines_of(arguments.action, result)


# Without asking anybody.


def _hash(_arguments: argparse.Namespace) -> _Shown:
    hashed = passwords.hash_of(_new_password())
    return {"hash": hashed}, [hashed]


def _backup(arguments: argparse.Namespace) -> _Shown:
    size = back_up(settings_from(arguments), Path(arguments.target))
    return {"file": arguments.target, "bytes": size}, [f"Copied to {arguments.target} ({size} bytes)."]


_ALONE: dict[str, Callable[[argparse.Namespace], _Shown]] = {"hash": _hash, "backup": _backup}


# The actions that ask.


def _link(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("setup.link")


def _password(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    names = [account["name"] for account in reach.ask("accounts.list")["items"]]
    if arguments.name.lower() not in names:
        raise StartError(f"There is no account {arguments.name}; `cloudlink admin accounts` lists all.")
    return reach.ask("accounts.set", name=arguments.name, password=_new_password())


def _accounts(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("accounts.list")


def _add(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("accounts.add", name=arguments.name, role=arguments.role, password=_new_password())


def _remove(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("accounts.remove", name=arguments.name)


def _unlock(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("accounts.unlock", name=arguments.name)


def _status(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("stats.get")


def _clients(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    search = {} if arguments.search is None else {"search": arguments.search}
    return _all_pages(reach, "clients.list", **search)


def _rooms(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return _all_pages(reach, "rooms.list")


def _kick(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    who, reason = arguments.who, arguments.reason
    try:
        return reach.ask("clients.kick", name=who, all=arguments.all, reason=reason)
    except RefusedError as refused:
        if refused.error["code"] != "not_found" or not (who.isascii() and who.isdecimal()):
            raise
    return reach.ask("clients.kick", id=who, reason=reason)


def _ban(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    seconds = None if arguments.duration == "ever" else seconds_of(arguments.duration)
    force = {"force": True} if arguments.force else {}
    return reach.ask(
        "bans.add", target=_target(arguments.target), seconds=seconds, reason=arguments.reason, **force
    )


def _unban(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.id is not None:
        return reach.ask("bans.remove", id=arguments.id)
    if arguments.by is None or arguments.since is None:
        raise StartError(
            "Say which ban by its number (`cloudlink admin bans` lists all), or which by --by NAME and --since TIME."
        )
    return reach.ask("bans.remove", by=arguments.by, since=time.time() - seconds_of(arguments.since))


def _bans(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return _all_pages(reach, "bans.list")


def _mute(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask(
        "mutes.add",
        target=_target(arguments.target),
        seconds=seconds_of(arguments.duration),
        reason=arguments.reason,
        hidden=arguments.hidden,
    )


def _unmute(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("mutes.remove", id=arguments.id)


def _mutes(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return _all_pages(reach, "mutes.list")


def _say(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    rooms = {} if arguments.rooms is None else {"rooms": arguments.rooms}
    return reach.ask("broadcast", text=arguments.text, **rooms, **{"as": arguments.kind})


def _mode(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("server.mode", mode=arguments.mode, **_message(arguments))


def _drain(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    seconds = seconds_of(arguments.time)
    return reach.ask("server.drain", seconds=seconds, stop=arguments.stop, **_message(arguments))


def _message(arguments: argparse.Namespace) -> dict[str, str]:
    return {} if arguments.message is None else {"message": arguments.message}


def _reload(reach: Reach, _arguments: argparse.Namespace) -> dict[str, Any]:
    return reach.ask("config.reload")


def _audit(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    return _all_pages(reach, "audit.list", most=arguments.limit)


def _export(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    items = _all_pages(reach, "bans.export")["items"]
    if arguments.output == "-":
        return {"items": items}
    try:
        Path(arguments.output).write_text(json.dumps({"items": items}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StartError(f"{arguments.output} cannot be written: {error.strerror}.") from None
    return {"file": arguments.output, "count": len(items)}


def _import(reach: Reach, arguments: argparse.Namespace) -> dict[str, Any]:
    items = _items_of(arguments.source)
    total: dict[str, Any] = {"added": 0, "refused": [], "saved": True}
    for start in range(0, len(items), _PAGE):
        part = reach.ask("bans.import", items=items[start : start + _PAGE], dry_run=arguments.dry_run)
        total["added"] += part["added"]
        total["refused"] += [{**one, "index": one["index"] + start} for one in part["refused"]]
        total["saved"] &= part["saved"]
    return total


def _items_of(source: str) -> list[Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        items = json.loads(text)["items"]
    except OSError as error:
        raise StartError(f"{source} cannot be read: {error.strerror}.") from None
    except (ValueError, LookupError, TypeError):
        items = None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise StartError(f"{source} is not a file that `cloudlink admin export` wrote.")
    return items


_ASKING: dict[str, Callable[[Reach, argparse.Namespace], dict[str, Any]]] = {
    "link": _link,
    "password": _password,
    "accounts": _accounts,
    "add": _add,
    "remove": _remove,
    "unlock": _unlock,
    "status": _status,
    "clients": _clients,
    "rooms": _rooms,
    "kick": _kick,
    "ban": _ban,
    "unban": _unban,
    "bans": _bans,
    "mute": _mute,
    "unmute": _unmute,
    "mutes": _mutes,
    "say": _say,
    "mode": _mode,
    "drain": _drain,
    "reload": _reload,
    "audit": _audit,
    "export": _export,
    "import": _import,
}


def _all_pages(reach: Reach, method: str, most: int | None = None, **params: Any) -> dict[str, Any]:
    """Return all items of a list, up to `most`, as one answer."""
    items: list[Any] = []
    after: dict[str, Any] = {}
    gaps: dict[str, Any] = {}  # which processes have not answered
    while True:
        page = reach.ask(method, **params, **after)
        items += page["items"]
        if "missing" in page:
            missing = sorted({*gaps.get("missing", ()), *page["missing"]})
            gaps = {"missing": missing, "processes": page["processes"]}
        if page["next"] is None or (most is not None and len(items) >= most):
            return {**page, **gaps, "items": items[:most], "next": None}
        after = {"after": page["next"]}


_KINDS = ("name", "client", "address", "network")


def _target(text: str) -> dict[str, str]:
    """Return the target that a word means: `kind:value`, an address, a network, or else a name."""
    from ipaddress import ip_network  # noqa: PLC0415  # half of the actions do without

    kind, colon, value = text.partition(":")
    if colon and kind in _KINDS and value:
        return {kind: value}
    try:
        ip_network(text, strict=False)
    except ValueError:
        return {"name": text}
    return {"network" if "/" in text else "address": text}


def _new_password() -> str:
    """Return a password that was typed twice, or the first line of the standard input if that is not a terminal.

    Raises:
        StartError: It is not allowed, or was typed in two ways.
    """
    if sys.stdin.isatty():
        password = getpass.getpass("New password (at least 15 characters, such as four words): ")
        if password != getpass.getpass("Once more: "):
            raise StartError("The two passwords differ; nothing was changed.")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    problem = passwords.problem(password)
    if problem:
        raise StartError(f"The password {problem}.")
    return password
