"""Reads Python scripts written for CloudLink 0.1.x or 0.2.0, and finds the lines to change.

Scripts are parsed, never run. Objects are followed through assignments by their names alone, whatever the order in which
the script uses them; names that only old versions had are found on any object. The replacements are those of
docs/migrating.md, `cloudlink.removed`, `cloudlink.server.compat` and `cloudlink.client.classic_removed`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from cloudlink.removed import REMOVED

_RUN = "`server.run(ip, port)`, with the address first; or `cloudlink serve --host ADDRESS --port PORT` and no script"
_MOTD = (
    'the setting `motd`; in a script `protocol.enable_motd = True` and `protocol.motd_message = "..."`, with '
    "`protocol = clpv4(server)`"
)
_BLOCK = "a handler of `@server.on_connect` that calls `server.close_connection(client, 4000, reason)`; it finds the address in `client.address`"
_COMMANDS = "`@server.on_command(cmd=..., schema=protocol.schema)` above each function, with the parameters `(client, message)`"
_SEND = '`server.send_packet(client, {"cmd": ..., "val": ...})`, not awaited; the client may also be several'
_SEND_CLIENT = "`await c.send(value)`, `c.pmsg`, `c.gvar`, `c.pvar`, `c.direct` or `c.command(cmd, ...)`"
_CODE = "`protocol.send_statuscode(client, protocol.statuscodes.ok, details, message)`, not awaited"
_USERS = "`server.rooms_manager.generate_userlist(room, protocol.schema)`"
_FIND = "`server.clients_manager.find_obj(name)`, which returns a set of clients for a name"
_IN_ROOMS = "`await server.rooms_manager.get_all_in_rooms(rooms, protocol.schema)`"
_LOG = "`server.logger.info(...)`, and `logging.basicConfig(level=logging.INFO)` at the beginning"
_CHECK = "`protocol.valid(client, message, rules)`, with rules of Cerberus"
_NOTHING = "nothing: the server does this itself"
_JSON = "`import json`"
_DISABLE = "`server.disable_command(cmd, protocol.schema)`, or the setting `disabled_commands`"
_EVENTS_OF_CLIENT = "`async for event in c:`, with `isinstance(event, GlobalMessage)` and the other events"
_STOP_CLIENT = "leave the `async with`, or `await c.close()`"
_CONNECT = '`async with cloudlink.connect("ws://127.0.0.1:3000/") as c:`'

# Methods and attributes of servers, by the versions that had them.
_SERVER_017 = {
    "host": _RUN,
    "server": _RUN,
    "stop": "Ctrl-C or SIGTERM; in a program `await server.stop()`",
    "callback": "`@server.on_connect`, `@server.on_disconnect`, `@server.on_message` or `@server.on_error` above the function",
    "setMOTD": _MOTD,
    "sendPacket": _SEND,
    "getUsernames": _USERS,
    "trustedAccess": _BLOCK,
    "untrust": _BLOCK,
    "getIPofUsername": "`client.address`; " + _FIND + " finds the client",
    "getIPofObject": "`client.address`",
    "loadIPBlocklist": _BLOCK,
    "blockIP": _BLOCK,
    "unblockIP": _BLOCK,
    "getIPBlocklist": _BLOCK,
}
_SERVER_018 = {
    "run": _RUN,
    "stop": _SERVER_017["stop"],
    "callback": "the decorator of that event: `@server.on_connect`, `@server.on_disconnect`, `@server.on_message`, or `@server.on_command(cmd=..., schema=protocol.schema)`",
    "setMOTD": _MOTD,
    "motd_enable": _MOTD,
    "motd_msg": _MOTD,
    "setClientUsername": "`client.set_username(name)`",
    "rejectClient": "`server.close_connection(client, 4000, reason)`",
    "rejectClientMode": "`server.max_clients`, or the setting `max_clients`",
    "ipblocklist": _BLOCK,
    "getUserObject": _FIND,
    "getUserObjectFromClientObj": "`protocol.generate_user_object(client)`",
    "selectMultiUserObjects": "`await server.rooms_manager.get_specific_in_room(room, protocol.schema, names)`",
    "getUsernames": _USERS,
    "getAllUsersInManyRooms": _IN_ROOMS,
    "getAllUsersInRoom": _IN_ROOMS,
    "getAllRooms": "`server.rooms_manager.exists(room)` and `get(room)`, for the rooms that you know",
    "getAllClientRooms": "`client.rooms`",
    "linkClientToRooms": "`server.rooms_manager.subscribe(client, room)`, for each room",
    "unlinkClientFromRooms": "`server.rooms_manager.unsubscribe(client, room)`, for each room",
    "removeClientFromAllRooms": "`server.rooms_manager.unsubscribe(client, room)`, for each room of `client.rooms`",
    "joinRoom": "`server.rooms_manager.subscribe(client, room)`",
    "leaveRoom": "`server.rooms_manager.unsubscribe(client, room)`",
    "roomHandler": "`server.rooms_manager.subscribe(client, room)` and `unsubscribe`",
    "disableCommands": _DISABLE,
    "disabledCommands": _DISABLE,
    "loadCustomCommands": _COMMANDS,
    "loadBuiltinCommands": _NOTHING,
    "sendPacket": _SEND,
    "sendCode": _CODE,
    "log": _LOG,
    "all_clients": "`server.clients_manager.clients`",
    "userlist": _USERS,
    "roomData": "`server.rooms_manager.get(room)`",
    "isJSON": _JSON,
    "isPacketSane": _CHECK,
    "wss": "nothing: this server has another WebSocket library",
}
_SERVER_019 = {
    "set_motd": _MOTD,
    "enable_motd": _MOTD,
    "motd_message": _MOTD,
    "set_client_username": "`client.set_username(name)`",
    "link_to_rooms": "`server.rooms_manager.subscribe(client, room)`, for each room",
    "unlink_from_rooms": "`server.rooms_manager.unsubscribe(client, room)`, for each room",
    "bind_callback": "`@server.on_command(cmd=..., schema=protocol.schema)` above the function, with the parameters `(client, message)`",
    "bind_event": "`@server.on_connect`, `@server.on_disconnect` or `@server.on_error` above the function",
    "send_packet_multicast_variable": '`server.send_packet(clients, {"cmd": "gvar", "name": ..., "val": ...})`, not awaited',
    "send_packet_multicast": '`server.send_packet(clients, {"cmd": ..., "val": ...})`, not awaited',
    "send_packet_unicast": _SEND,
    "send_code": _CODE,
    "ip_blocklist": _BLOCK,
    "reject_clients": "`server.max_clients`, or the setting `max_clients`",
    "enable_scratch_support": "`scratch(server)`, or the setting `cloud`",
    "check_ip_addresses": "`client.address`, in handlers",
    "custom_methods": _COMMANDS,
    "load_custom_methods": _COMMANDS,
    "disable_methods": _DISABLE,
    "disabled_methods": _DISABLE,
    "cl_methods": "the command's name, as in `@server.on_command(cmd='gmsg', schema=protocol.schema)`",
    "scratch_methods": "`@server.on_command(cmd='set', schema=scratch.schema)`",
    "supporter": "`protocol.statuscodes`, `protocol.send_statuscode` and `protocol.valid`",
    "events": "the decorators `@server.on_connect`, `@server.on_disconnect` and `@server.on_error`",
    "clients": "`server.clients_manager`",
    "rooms": "`server.rooms_manager`",
    "get_all_usernames": _USERS,
    "get_all_cloudlink": "`server.clients_manager.protocols.get(protocol.schema, ())`",
    "get_all_scratch": "`server.clients_manager.protocols.get(scratch.schema, ())`",
    "find_multi_obj": "`await server.rooms_manager.get_specific_in_room(room, protocol.schema, names)`",
    "log": _LOG,
    "is_json": _JSON,
    "validate": _CHECK,
    "get_client_ip": "`client.address`",
    "detect_listener": "`message` as the last argument of `protocol.send_message`, which adds the listener",
    "generate_statuscode": "`protocol.statuscodes.generate(code)`",
    "websockets": "nothing: this server has another WebSocket library",
}

# The same of clients.
_CLIENT_017 = {
    "client": _CONNECT,
    "stop": _STOP_CLIENT,
    "callback": _EVENTS_OF_CLIENT,
    "sendPacket": _SEND_CLIENT,
    "getUsernames": "`c.users`",
}
_CLIENT_018 = {
    "run": _CONNECT,
    "stop": _STOP_CLIENT,
    "callback": _EVENTS_OF_CLIENT,
    "setUsername": '`cloudlink.connect(url, username="...")`, or `await c.set_username(name)`',
    "linkToRooms": '`cloudlink.connect(url, rooms=["..."])`, or `await c.link("...")`',
    "unlinkFromRooms": "`await c.unlink(...)`",
    "sendGlobalMessage": "`await c.send(value)`",
    "sendPrivateMessage": "`await c.pmsg(name, value)`: the name comes first",
    "sendGlobalVariable": "`await c.gvar(name, value)`",
    "sendPrivateVariable": "`await c.pvar(to, name, value)`: the recipient comes first",
    "sendDirect": "`await c.direct(name, value)`: the name comes first",
    "sendCustom": "`await c.command(cmd, val=value)`, or `await c.request(cmd, val=value)` for its answer",
    "sendPing": "nothing: the client pings the server itself",
    "sendPacket": _SEND_CLIENT,
    "getUserlist": "`c.users`",
    "userlist": "`c.users`",
    "disableCommands": "an `if` in the loop over the events",
    "loadCustomCommands": _EVENTS_OF_CLIENT,
    "log": "`print(...)` or the module `logging`",
}
_CLIENT_019 = {
    "run": _CONNECT,
    "stop": _STOP_CLIENT,
    "shutdown": _STOP_CLIENT,
    "set_username": '`cloudlink.connect(url, username="...")`, or `await c.set_username(name)`',
    "ping": "nothing: the client pings the server itself",
    "send_packet": "`await c.command(cmd, val=value)`, or `await c.request(cmd, val=value)` for its answer",
    "send_gmsg": "`await c.send(value)`",
    "send_pmsg": "`await c.pmsg(name, value)`",
    "send_gvar": "`await c.gvar(name, value)`",
    "send_pvar": "`await c.pvar(to, name, value)`: the recipient comes first",
    "send_direct": "`await c.direct(name, value)`",
    "bind_callback_method": _EVENTS_OF_CLIENT,
    "bind_callback_listener": "`await c.request(cmd, ...)`, which returns the answer",
    "bind_event": "`async for event in c:`, with the events `Connected` and `Disconnected`",
    "events": "the events `Connected` and `Disconnected` of `async for event in c:`",
    "cl_methods": "the events `GlobalMessage`, `PrivateMessage` and so on",
    "custom_methods": _EVENTS_OF_CLIENT,
    "load_custom_methods": _EVENTS_OF_CLIENT,
    "rooms": "`c.users`",
    "supporter": _SEND_CLIENT,
    "spawn": "several `cloudlink.connect(...)` in one program, with `asyncio.gather`",
    "log": "`print(...)` or the module `logging`",
}

_MEMBERS = {
    "server 0.1.7": _SERVER_017,
    "server 0.1.8": _SERVER_018,
    "server 0.1.9": _SERVER_019,
    "client 0.1.7": _CLIENT_017,
    "client 0.1.8": _CLIENT_018,
    "client 0.1.9": _CLIENT_019,
}
"""What objects of earlier versions had, by the kind of the object; 0.1.5 counts as 0.1.7."""

_MADE = {
    ("main 0.1.8", "server"): "server 0.1.8",
    ("main 0.1.8", "client"): "client 0.1.8",
    ("main 0.1.9", "server"): "server 0.1.9",
    ("main 0.1.9", "client"): "client 0.1.9",
    ("main 0.1.9", "multi_client"): "client 0.1.9",
    ("class", "server"): "server 0.2.0",
    ("class", "Server"): "server 0.2.0",
    ("class", "client"): "client 0.2.0",
    ("class", "Client"): "client 0.2.0",
    ("class", "CloudLink"): "main 0.1.7",
    ("class", "API"): "main 0.1.7",
    ("class", "Cloudlink"): "main 0.1.8",
    ("class", "cloudlink"): "main 0.1.9",
}
"""The kind of the object that a call of a method, or of an imported class, returns."""

_MAKING = {
    "server": "`server = server()` and `protocol = clpv4(server)`, imported with `from cloudlink import server` and `from cloudlink.server.protocols import clpv4`",
    "client": _CONNECT + ", after `import cloudlink`",
    "multi_client": "several `cloudlink.connect(...)` in one program, with `asyncio.gather`",
    "relay": "nothing: no version had relays that worked",
}
_COMMON = frozenset(
    (
        "run",
        "stop",
        "host",
        "server",
        "client",
        "callback",
        "log",
        "events",
        "clients",
        "rooms",
        "spawn",
        "ping",
        "validate",
        "bind_event",
        "bind_callback",
        "send_packet",
        "set_username",
        "shutdown",
        "websockets",
        "supporter",
        "userlist",
        "untrust",
    )
)
"""Names that other objects may have too; they are reported on known objects only."""

_PARTS = frozenset(("clients", "rooms", "supporter", "events", "custom_methods"))
"""Attributes that hold further ones; where one of those is reported, they are not."""
_BINDERS = frozenset(("bind_event", "bind_callback", "bind_callback_method"))
"""Methods whose arguments name what they bind to; the method alone is reported."""

_CLASSES = frozenset(("server.server", "client.client"))
"""Modules of 0.1 whose names are classes since 0.2.0, so that importing those names works."""
_EARLY = frozenset(("0.1.7", "0.1.8", "0.1.9"))
"""Versions before 0.2.0, as `REMOVED` names them."""


@dataclass(frozen=True, order=True)
class Finding:
    """A line to change.

    Attributes:
        line: Its number.
        name: The old name.
        successor: What takes its place.
    """

    line: int
    name: str
    successor: str


@dataclass
class Report:
    """The findings in a script.

    Attributes:
        version: The version it was written for, such as "0.1.8", the oldest if its parts differ; empty if it imports
            nothing of CloudLink.
        findings: The lines to change, in order.
        makes_server: Whether it makes a server.
        makes_client: Whether it makes a client.
    """

    version: str = ""
    findings: list[Finding] = field(default_factory=list)
    makes_server: bool = False
    makes_client: bool = False

    @property
    def kind(self) -> str:
        """The script in words, such as "a server script of CloudLink 0.1.8"."""
        if not self.version:
            return "a plugin, or not a script for CloudLink"
        does = {(True, False): "server ", (False, True): "client "}.get(
            (self.makes_server, self.makes_client), ""
        )
        newer = " or newer" * (self.version == "0.2.0")
        return f"a {does}script for CloudLink {self.version}{newer}"


def read(source: str) -> Report:
    """Return what has to change in a script.

    Args:
        source: Its text.

    Raises:
        SyntaxError: It is not Python 3.
    """
    reader = _Reader(ast.parse(source))
    return reader.report()


class _Reader(ast.NodeVisitor):
    """Visits a script twice: at first for the names of objects, then for what is used of them."""

    def __init__(self, tree: ast.Module) -> None:
        self._kinds: dict[str, str] = {}
        self._versions: set[str] = set()
        self._made: set[str] = set()
        self._findings: dict[tuple[int, str], Finding] = {}
        self._functions = {
            node.func.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        self.visit(tree)
        self._findings.clear()
        self.visit(tree)

    def report(self) -> Report:
        """Return the result."""
        return Report(
            min(self._versions, default=""),
            sorted(self._findings.values()),
            any(kind.startswith("server") for kind in self._made),
            any(kind.startswith("client") for kind in self._made),
        )

    def _find(self, node: ast.AST, name: str, successor: str) -> None:
        line: int = getattr(node, "lineno", 0)
        self._findings.setdefault((line, name), Finding(line, name, successor))

    # What it imports.

    def visit_Import(self, node: ast.Import) -> None:
        """Note what an import binds, and find removed modules."""
        for alias in node.names:
            root, _, rest = alias.name.partition(".")
            if root != "cloudlink":
                continue
            if not self._removed(node, rest):
                self._versions.add("0.2.0")
            self._kinds[alias.asname or root] = "package"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note what an import binds, and find removed modules and names."""
        root, _, rest = (node.module or "").partition(".")
        if root != "cloudlink" or node.level:
            return
        for alias in node.names:
            dotted = f"{rest}.{alias.name}" if rest else alias.name
            names = (dotted, alias.name, rest)
            if dotted in _CLASSES or not any(self._removed(node, name) for name in names):
                self._versions.add("0.2.0")
            self._kinds[alias.asname or alias.name] = f"class {alias.name}"

    def _removed(self, node: ast.AST, dotted: str) -> bool:
        """Find a removed name, whose path is what follows `cloudlink.`; return whether it is one."""
        if dotted not in REMOVED:
            return False
        version, successor = REMOVED[dotted]
        self._versions.add(version)
        self._find(node, f"cloudlink.{dotted}", successor)
        return True

    # Objects.

    def visit_Assign(self, node: ast.Assign) -> None:
        """Note the kind of what is assigned."""
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Note the kind of what is assigned."""
        self.generic_visit(node)
        if node.value is not None:
            self._bind(node.target, node.value)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        kind = self._kind(value)
        if kind and isinstance(target, (ast.Name, ast.Attribute)):
            self._kinds[ast.unparse(target)] = kind

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Take a parameter `server` for the server of a plugin, unless the script is older than plugins."""
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        if "server" in names and not self._versions & _EARLY:
            self._kinds.setdefault("server", "server 0.2.0")
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _kind(self, node: ast.expr) -> str:
        """Return the kind of an expression's value, empty if unknown."""
        if isinstance(node, ast.Call):
            return self._made_by(node.func)
        if isinstance(node, (ast.Name, ast.Attribute)):
            known = self._kinds.get(ast.unparse(node), "")
            if known or isinstance(node, ast.Name):
                return known
            if self._kind(node.value) == "package":
                return f"class {node.attr}"
        return ""

    def _made_by(self, function: ast.expr) -> str:
        """Return the kind of what a call returns, and note servers and clients."""
        kind = self._kind(function)
        made = ""
        if kind.startswith("class "):
            made = _MADE.get(("class", kind.removeprefix("class ")), "")
        elif isinstance(function, ast.Attribute):
            made = _MADE.get((self._kind(function.value), function.attr), "")
        if made == "main 0.1.7":
            # One object was both, depending on what was called.
            made = "client 0.1.7" if "client" in self._functions else "server 0.1.7"
        if made.partition(" ")[0] in ("server", "client"):
            self._made.add(made)
        return made

    # What is used.

    def visit_Call(self, node: ast.Call) -> None:
        """Find calls that make old objects."""
        made = self._made_by(node.func)
        if made.endswith(tuple(_EARLY)):
            role = made.partition(" ")[0]
            if isinstance(node.func, ast.Attribute) and node.func.attr == "multi_client":
                role = "multi_client"
            self._find(node, ast.unparse(node.func), _MAKING.get(role, "nothing: remove this line"))
        if isinstance(node.func, ast.Attribute) and node.func.attr in _BINDERS and self._versions & _EARLY:
            self.visit(node.func)
        else:
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Find attributes that are gone."""
        found = self._successor(node)
        if found is not None:
            self._find(node, node.attr, found)
        inner = node.value
        if found is not None and isinstance(inner, ast.Attribute) and inner.attr in _PARTS:
            inner = inner.value
        self.visit(inner)

    def _successor(self, node: ast.Attribute) -> str | None:
        """Return what takes the place of an attribute, None if nothing is wrong with it."""
        kind = self._kind(node.value)
        if kind == "package":
            self._removed(node, node.attr)
            return None
        if kind.endswith("0.2.0"):
            return _of_020(node.attr, kind)
        if kind.startswith("main"):
            return _MAKING["relay"] if node.attr == "relay" else None
        if kind in _MEMBERS:
            return _MEMBERS[kind].get(node.attr)
        early = self._versions & _EARLY
        if not early or node.attr in _COMMON:
            return None
        only_client = self._made and all(made.startswith("client") for made in self._made)
        return _MEMBERS[f"{'client' if only_client else 'server'} {max(early)}"].get(node.attr)


def _of_020(name: str, kind: str) -> str | None:
    from cloudlink.client.classic_removed import REMOVED as OF_CLIENT  # noqa: PLC0415  # loads the client
    from cloudlink.server.compat import SUCCESSORS  # noqa: PLC0415  # loads the server

    return (SUCCESSORS if kind.startswith("server") else OF_CLIENT).get(name)
