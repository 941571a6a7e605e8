"""All options of CloudLink: name, type, default, unit and meaning of each, defined once.

Flags, environment variables, `cloudlink config` and the reference page all derive from the fields of
`Settings`: a new option is one field here and nothing else. `cloudlink.options` defines an option and how its value
is read and checked, `cloudlink.tables` does the same for sections of the settings file, and `cloudlink.sources` gathers
the values. Nothing here acts on a setting.
"""

# ruff: noqa: RUF009  # `option` returns a fresh dataclass field at each call

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable  # noqa: TC003  # the annotations of the fields are read
from typing import Any, Literal

from cloudlink.addresses import UNIX
from cloudlink.bridgesections import BridgeSection, check_bridges
from cloudlink.errors import StartError
from cloudlink.hosts import are_hosts
from cloudlink.natsaddress import is_nats_address, without_password
from cloudlink.options import Option, option, options_of
from cloudlink.origins import is_origin_entry
from cloudlink.tables import Table, table, tables_of
from cloudlink.text import did_you_mean

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*")


_PASSWORD_HASH = re.compile(r"(scrypt(:\d+){3}(:[A-Za-z0-9+/_-]+=*){2})?")
"""`scrypt:N:r:p:SALT:HASH`, the last two in Base64."""

_TOKEN = re.compile(r"[!-~]*")

_SHORTEST_SECRET = 16
"""Characters of `cluster_secret`."""

_MAPPED_IPV4 = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 addresses in IPv6 form. A connection's address is compared in its IPv4 form, so they would never match."""


def _is_network(text: str) -> bool:
    if text == UNIX:
        return True
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    return not (isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED_IPV4))


@dataclasses.dataclass(slots=True)
class Settings:
    """The settings of one server.

    Attributes hold the values. `set` and assigning an attribute check a value, change it, and call the functions that
    were passed to `on_change`; changing a list in place does neither.

    Attributes:
        origins: Where the value of each option came from: `default`, the name of the settings file,
            `environment CLOUDLINK_PORT`, `flag --port` or `code`.
        warnings: Sentences about what was ignored while the settings were gathered; the server logs them when it starts.

    Raises:
        StartError: A value given to the constructor is of the wrong type or not allowed.
    """

    host: str = option(
        "127.0.0.1",
        "The addresses to listen on, separated by commas: `127.0.0.1` for this computer only, `0.0.0.0` for all its networks, `*` for IPv6 too, `unix:/path` for a proxy.",
        check=are_hosts,
        wanted='an address such as "127.0.0.1", "0.0.0.0" or "*", or several with commas between them; the port is a setting of its own',
        shared_variable="HOST",
        joins_lists=True,
        topic="Address and TLS",
        needs_restart=True,
    )
    port: int = option(
        3000,
        "The port to listen on; 0 picks a free one.",
        minimum=0,
        maximum=65535,
        shared_variable="PORT",
        needs_restart=True,
    )
    tls_certificate: str = option(
        "",
        "The file of the TLS certificate and its chain (PEM), for `wss://`; empty for no TLS.",
        unit="path",
        needs_restart=True,
    )
    tls_key: str = option(
        "", "The file of the private key of `tls_certificate` (PEM).", unit="path", needs_restart=True
    )
    max_message_size: int = option(
        1_048_576,
        "The largest message that a client may send.",
        unit="bytes",
        minimum=1024,
        topic="Clients and names",
    )
    max_clients: int = option(
        -1,
        "The most clients at a time; -1 for no limit.",
        check=lambda count: count == -1 or count >= 1,
        wanted="-1 (any number) or a whole number of at least 1",
    )
    username_max_length: int = option(
        100,
        "The longest username allowed; as JSON it may take four bytes for each of these characters.",
        unit="characters",
        minimum=1,
    )
    unique_usernames: bool = option(False, "Refuse a username that another client is using.")
    allow_rename: bool = option(
        False, "Whether a client that has a name may change it; otherwise the answer is E:107."
    )
    motd: str = option("", "The message of the day, sent in the handshake; empty for none.")
    reported_version: str = option(
        "0.2.0",
        "The server version reported to clients, which choose their dialect by it; must contain `0.2.`.",
        check=lambda text: "0.2." in text,
        wanted='text that contains "0.2.", because Scratch extensions choose their way of speaking by it',
        topic="Packets to clients",
    )
    implicit_greeting: bool = option(
        True, "Greet a client whose first packet is not a handshake before answering that packet."
    )
    legacy: bool = option(
        True, "Whether to support clients of CloudLink 2, 3 and early versions of 4.", needs_restart=True
    )
    undecided_clients: Literal["cl4", "cl3"] = option(
        "cl4",
        "How to treat clients that send no `listener` and no handshake: as CL4 0.2.0, or as CL3 0.1.5.",
    )
    message_origin: bool = option(
        False, "Show clients of CloudLink 0.2.0 the sender of a gmsg or gvar, as a user object in `origin`."
    )
    room_state: Literal["off", "memory", "stored"] = option(
        "off",
        "Whether a client that joins a CloudLink room gets the latest value of each of its variables (gvar): "
        "`memory` keeps them while the server runs, `stored` also keeps them in `storage`.",
        needs_restart=True,
    )
    room_state_max_variables: int = option(
        128, "The most variables that `room_state` keeps for a room.", unit="variables", minimum=1
    )
    room_state_max_bytes: int = option(
        65_536,
        "The largest total size of the variables that `room_state` keeps for a room, names and values.",
        unit="bytes",
        minimum=1024,
    )
    room_state_max_memory: int = option(
        67_108_864,
        "How much memory `room_state` may use for all rooms; empty rooms are dropped first.",
        unit="bytes",
        minimum=65_536,
    )
    room_state_lifetime: float = option(
        60.0,
        "How long `room_state` keeps the variables of an empty room in memory; 0 drops them at once. "
        "Those in `storage` stay.",
        unit="seconds",
        minimum=0,
    )
    room_state_http: bool = option(
        False,
        "Whether `GET /rooms/<room>` shows the variables that `room_state` keeps as JSON to anybody.",
        needs_restart=True,
    )
    send_client_ip: bool = option(True, "Send each client its own address in the handshake.")
    real_ip_header: str = option(
        "",
        "The header in which a proxy names the client's address, such as `X-Forwarded-For`; empty for none.",
        check=_HEADER_NAME.fullmatch,
        wanted='the name of a header, such as "X-Forwarded-For"',
        topic="Proxies and web pages",
    )
    trusted_proxies: list[str] = option(
        [],
        "Addresses or networks whose `real_ip_header` counts for limits and bans.",
        check=_is_network,
        wanted='an IP address such as "192.0.2.7", a whole network such as "10.0.0.0/8", or "unix" for Unix sockets',
    )
    allowed_origins: list[str] = option(
        [],
        "The web pages that may connect, such as `https://turbowarp.org` or `https://*.itch.zone`; an empty list allows every page.",
        check=is_origin_entry,
        wanted='an origin as browsers send it, such as "https://turbowarp.org" or "https://*.itch.zone" (small letters, no path; for every page leave the list empty)',
    )
    pages_folder: str = option(
        "",
        "The folder whose files are served over HTTP, with its `index.html` as the start page; empty for none.",
        unit="path",
        needs_restart=True,
    )
    keepalive_interval: float = option(
        20.0,
        "How often to ping a silent client; clients of Scratch cloud variables are pinged a third as often.",
        unit="seconds",
        above=0,
        topic="Connections",
    )
    keepalive_timeout: float = option(
        20.0,
        "How long a pinged client may stay silent before it is disconnected; three times as long for Scratch cloud variables.",
        unit="seconds",
        above=0,
    )
    stalled_timeout: float = option(
        30.0,
        "How long a client may read nothing while data waits for it before it is disconnected.",
        unit="seconds",
        above=0,
    )
    identify_timeout: float = option(
        30.0, "How long a connection may stay open without a first packet.", unit="seconds", minimum=2
    )
    event_loop: Literal["asyncio", "uvloop"] = option(
        "asyncio",
        "The event loop; `uvloop` (`pip install uvloop`) is about as fast, accepts clients more slowly and needs 2 MB more.",
        needs_restart=True,
    )
    write_delay: float | Literal["auto"] = option(
        "auto",
        "How long frames may wait for further ones to share a write: `auto` waits only while the server is busy all the time, "
        "for up to 40 milliseconds; a number is a constant wait, which saves CPU time and delays every message; 0 turns waiting "
        "off.",
        unit="milliseconds",
        minimum=0,
        maximum=100,
    )
    workers: int | Literal["auto"] = option(
        1,
        "How many processes serve clients, all at one port: a number, or `auto` for one per core; more than 1 on Linux only.",
        minimum=1,
        maximum=128,
        needs_restart=True,
        topic="Workers and clusters",
    )
    cluster: str = option(
        "",
        "The NATS servers that join several servers into one, `nats://user:password@host:4222` or `tls://…`, several "
        "with commas between them; empty for none.",
        check=is_nats_address,
        wanted='an address such as "nats://127.0.0.1:4222" or "tls://user:password@nats.example:4222"; other characters of '
        "names and passwords are written as %40 and the like",
        mask=without_password,
        needs_restart=True,
    )
    cluster_secret: str = option(
        "",
        "The secret that the servers of a cluster share, at least 16 characters; nobody without it can take part.",
        secret=True,
        needs_restart=True,
    )
    cluster_name: str = option(
        "cloudlink",
        "The name of the cluster; servers of one name are one server to their users.",
        check=re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch,
        wanted="1 to 32 letters, digits, `_` and `-`",
        needs_restart=True,
    )
    node_name: str = option(
        "",
        "The name of this server in its cluster, unlike those of the others; empty for the host name.",
        check=re.compile(r"[A-Za-z0-9._-]{0,64}").fullmatch,
        wanted="at most 64 letters, digits, `.`, `_` and `-`",
        needs_restart=True,
    )
    cloud: bool = option(
        True,
        "Whether to serve Scratch cloud variables in addition to CloudLink.",
        topic="Cloud variables",
        needs_restart=True,
    )
    cloud_text_values: bool = option(
        False, "Whether a cloud variable may hold any text; in Scratch it holds only numbers."
    )
    cloud_value_max_length: int = option(
        100_000, "The longest value of a cloud variable.", unit="characters", minimum=1
    )
    cloud_max_variables_per_room: int = option(
        128, "The most cloud variables of a project.", unit="variables", minimum=1
    )
    cloud_max_bytes_per_room: int = option(
        1_048_576,
        "The largest total size of a project's variables, which a new client gets in one message.",
        unit="bytes",
        minimum=1024,
    )
    cloud_max_clients_per_room: int = option(
        128, "The most clients in one project's cloud.", unit="clients", minimum=1
    )
    cloud_max_rooms: int = option(
        16_384, "The most projects with a cloud at a time.", unit="projects", minimum=1
    )
    cloud_max_memory: int = option(
        67_108_864,
        "How much memory the variables of all projects may use; projects without clients are dropped first.",
        unit="bytes",
        minimum=65_536,
    )
    cloud_room_lifetime: float = option(
        3600.0,
        "The longest time that variables of a project without clients stay in memory; those in `storage` stay.",
        unit="seconds",
        minimum=0,
    )
    cloud_rename_delete: bool = option(False, "Whether clients may rename and delete cloud variables.")
    cloud_usernames: Literal["scratch", "any"] = option(
        "scratch",
        "The usernames allowed in the cloud: those of Scratch (letters, digits, `_` and `-`, at most 20), or any text.",
    )
    cloud_blocklist: str = option(
        "", "A file of usernames to refuse in the cloud, one regular expression a line.", unit="path"
    )
    cloud_anonymous_guests: bool = option(
        True, "Whether the log shows `player` instead of TurboWarp's guest names such as `player1234`."
    )
    cloud_updates_per_second: float = option(
        60.0,
        "How many cloud updates of one client are passed on in the long run; of faster ones, only the latest value; 0 for no limit.",
        unit="updates per second",
        minimum=0,
    )
    cloud_update_burst: int = option(
        300, "How many cloud updates of one client are passed on at once.", unit="updates", minimum=1
    )
    cloud_batch_interval: float = option(
        0.0,
        "How long to collect cloud updates before passing on the latest values; 0 passes on each at once.",
        unit="seconds",
        minimum=0,
    )
    cloud_http: bool = option(
        False,
        "Whether `GET /cloud/<project id>` shows a project's variables as JSON to anybody.",
        needs_restart=True,
    )
    cloud_bridge: bool = option(
        False,
        "Whether a CloudLink room and the Scratch project of the same name share variables.",
        needs_restart=True,
    )
    storage: str = option(
        "cloudlink.db",
        "The file for cloud variables; empty keeps them in memory only.",
        unit="path",
        topic="Storage",
        needs_restart=True,
    )
    storage_max_size: int = option(
        1_073_741_824,
        "The size at which `storage` accepts no new variables; existing ones are still saved, unless they become longer.",
        unit="bytes",
        minimum=65_536,
    )
    storage_keep_days: float = option(
        0.0,
        "After how many days a project that nobody opens is deleted from `storage`; 0 for never.",
        unit="days",
        minimum=0,
    )
    storage_bytes_per_hour: int = option(
        16_777_216,
        "How much one address may add to `storage` in an hour, in the long run.",
        unit="bytes per hour",
        minimum=65_536,
    )
    limits: bool = option(
        True,
        "Whether the limits below apply; turn them off for measurements, or behind a better limiter.",
        topic="Limits",
    )
    max_queued_bytes: int = option(
        1_048_576,
        "The most that may wait, in addition to one message, for a slow client before it is disconnected.",
        unit="bytes",
        minimum=1024,
    )
    packet_rate: float = option(
        250.0, "How many packets a client may send in the long run.", unit="packets per second", above=0
    )
    packet_burst: int = option(1000, "How many packets a client may send at once.", unit="packets", minimum=1)
    byte_rate: float = option(
        524_288.0, "How much a client may send in the long run.", unit="bytes per second", above=0
    )
    byte_burst: int = option(2_097_152, "How much a client may send at once.", unit="bytes", minimum=1024)
    identity_rate: float = option(
        10.0,
        "How often a client may set its name or change rooms (setid, link, unlink) in the long run.",
        unit="packets per second",
        above=0,
    )
    identity_burst: int = option(
        300, "How often a client may set its name or change rooms at once.", unit="packets", minimum=1
    )
    user_list_rate: float = option(
        262_144.0,
        "How much traffic in user lists and join and leave notices a client may cause in the long run.",
        unit="bytes per second",
        above=0,
    )
    user_list_burst: int = option(
        16_777_216,
        "How much traffic in user lists and join and leave notices a client may cause at once.",
        unit="bytes",
        minimum=1024,
    )
    flood_patience: float = option(
        10.0,
        "How long a client may exceed its limits, with packets refused, before it is disconnected.",
        unit="seconds",
        minimum=0,
    )
    max_connections_per_address: int = option(
        500, "How many connections one address may have.", unit="connections", minimum=1
    )
    connection_rate_per_address: float = option(
        50.0,
        "How many new connections, and how many pages, an address may open in the long run.",
        unit="connections per second",
        above=0,
    )
    connection_burst_per_address: int = option(
        500,
        "How many new connections, and how many pages, an address may open at once.",
        unit="connections",
        minimum=1,
    )
    max_rooms_per_client: int = option(
        100, "How many rooms a client may be in at a time.", unit="rooms", minimum=1
    )
    max_kept_memory: int | Literal["auto"] = option(
        "auto",
        "How much memory all connections together may make the server keep: half-received and waiting messages, names of "
        "many rooms, unfinished handlers; one address as much as it leaves for others, at most half. `auto` is a 32nd of "
        "the machine's memory, but at least 32 MiB and at most 64 MiB.",
        unit="bytes",
        minimum=1_048_576,
    )
    room_name_max_length: int = option(1000, "The longest room name.", unit="characters", minimum=1)
    variable_name_max_length: int = option(1024, "The longest variable name.", unit="characters", minimum=1)
    max_names_per_packet: int = option(
        1000, "How many recipients or rooms one packet may list.", unit="names", minimum=1
    )
    max_copies_per_packet: int = option(
        5000,
        "The most copies of one private packet: one for each recipient, in each room it shares.",
        unit="copies",
        minimum=1,
    )
    admin: Literal["off", "local", "everywhere"] = option(
        "local",
        "Who may administer the server at `/admin`: nobody, browsers on this machine, or anybody who logs in.",
        topic="Administration",
    )
    admin_storage: str = option(
        "cloudlink-admin.db",
        "The file for accounts, bans, mutes, word filters, rules of rooms and the audit; empty keeps them in memory only.",
        unit="path",
        needs_restart=True,
    )
    admin_password_hash: str = option(
        "",
        "The password hash of an account `owner`, for hosts without a disk; `cloudlink admin hash` makes one.",
        secret=True,
        check=_PASSWORD_HASH.fullmatch,
        wanted="a hash that `cloudlink admin hash` prints, not the password itself",
        needs_restart=True,
    )
    admin_origins: list[str] = option(
        [],
        "Further origins of pages that may open the socket of the administration, such as `https://admin.example.org`.",
        check=is_origin_entry,
        wanted='an origin as browsers send it, such as "https://admin.example.org" (small letters, no path)',
    )
    admin_session_time: float = option(
        43_200.0, "The longest time that a login to the administration lasts.", unit="seconds", minimum=60
    )
    admin_idle_time: float = option(
        3600.0,
        "How long a login to the administration lasts in which nothing is changed.",
        unit="seconds",
        minimum=60,
    )
    admin_addresses: Literal["full", "anonymous", "none"] = option(
        "full",
        "What owners see of the addresses of clients; moderators and viewers see only a tag of 6 characters.",
    )
    admin_watch: bool = option(True, "Whether moderators may watch the traffic of a client or of a room.")
    admin_audit_days: float = option(
        90.0, "For how many days the audit keeps who did what.", unit="days", above=0
    )
    admin_moderator_max_ban: float = option(
        604_800.0, "The longest ban by a moderator; longer ones are shortened to it.", unit="seconds", above=0
    )
    auto_ban_after: int = option(
        0,
        "How many disconnections for flooding within `auto_ban_window` ban an address; 0 for never.",
        unit="disconnections",
        minimum=0,
    )
    auto_ban_window: float = option(
        600.0, "The time within which `auto_ban_after` counts.", unit="seconds", above=0
    )
    auto_ban_time: float = option(3600.0, "How long an automatic ban lasts.", unit="seconds", above=0)
    guard_at: float = option(
        0.0,
        "How many new connections a second switch the guarded mode on; 0 for never.",
        unit="connections per second",
        minimum=0,
    )
    guard_time: float = option(
        600.0, "How long the guarded mode lasts that `guard_at` switched on.", unit="seconds", above=0
    )
    metrics: Literal["off", "local", "everywhere"] = option(
        "local",
        "Who may read the metrics at `/metrics` without a token: nobody, programs on this machine, or anybody.",
    )
    metrics_token: str = option(
        "",
        "A token with which anybody may read the metrics: `Authorization: Bearer TOKEN`; empty for none.",
        secret=True,
        check=_TOKEN.fullmatch,
        wanted="one word of printable ASCII characters, because it is sent in a header",
    )
    drain_time: float = option(
        0.0,
        "How long players may go on after SIGTERM, while newcomers are turned away, before the server stops.",
        unit="seconds",
        minimum=0,
        maximum=86_400,
        topic="Behaviour",
    )
    shutdown_timeout: float = option(
        5.0,
        "How long handlers may continue when the server stops.",
        unit="seconds",
        minimum=0,
    )
    blocking_warning: float = option(
        1.0,
        "How long a handler of a plugin may block the whole server before the log names its line; 0 for no warning.",
        unit="seconds",
        minimum=0,
        needs_restart=True,
    )
    warn_ambiguous_names: bool = option(
        True,
        "Refuse a private message to a username that several clients have; otherwise all of them get it.",
    )
    disabled_commands: list[str] = option(
        [], "CL4 commands that are switched off, including those of plugins.", check=bool, wanted="a command"
    )
    plugins: list[str] = option(
        [],
        "The plugins to load, each `path/to/file.py`, `path/to/file.py:Name` or `package.module:Name`.",
        check=bool,
        wanted="path/to/file.py, path/to/file.py:Name or package.module:Name",
        topic="Plugins",
        needs_restart=True,
    )
    plugins_folder: str = option(
        "plugins",
        "The folder from which every `*.py` file is loaded as a plugin; empty for none.",
        unit="path",
        needs_restart=True,
    )
    max_handlers_per_client: int = option(
        100,
        "How many `async` handlers of plugins may be unfinished for one client; further requests are refused.",
        unit="handlers",
        minimum=1,
    )
    max_handlers: int = option(
        10_000,
        "How many `async` handlers of plugins may be unfinished for all clients together.",
        unit="handlers",
        minimum=1,
    )
    plugin_errors: Literal["stop", "skip"] = option(
        "stop",
        "Whether a plugin that fails to load prevents the start, or is skipped with an error in the log.",
        needs_restart=True,
    )
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "info", "The lowest severity to log.", topic="Log"
    )
    log_format: Literal["text", "json"] = option("text", "Lines to read, or one JSON object a line.")
    log_addresses: Literal["full", "anonymous", "none"] = option(
        "full",
        "How client addresses appear in the log: `anonymous` zeroes the last 8 bits (IPv6: 80), `none` omits them.",
    )
    plugin: dict[str, dict[str, Any]] = table(
        "The settings of one plugin, which reads them with `server.plugin_settings(NAME)`."
    )
    bridges: dict[str, BridgeSection] = table(
        "A bridge, which shares rooms or projects with another server; see `docs/bridges.md`.",
        entry=BridgeSection,
    )
    origins: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    warnings: list[str] = dataclasses.field(default_factory=list, repr=False, compare=False)
    _observers: list[Callable[[str], None]] = dataclasses.field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        everything: tuple[Option | Table, ...] = (*OPTIONS.values(), *TABLES.values())
        for known in everything:
            value = getattr(self, known.name)
            if known.name in self.origins:
                continue
            if type(value) is type(known.default) and value == known.default:
                self.origins[known.name] = "default"
            else:
                self.set(known.name, value)

    def __setattr__(self, name: str, value: object) -> None:
        # The constructor assigns `_observers` last; what it assigns before that is checked in `__post_init__`.
        if (name in OPTIONS or name in TABLES) and hasattr(self, "_observers"):
            self.set(name, value)
        else:
            object.__setattr__(self, name, value)

    def set(self, name: str, value: object, origin: str = "code") -> None:
        """Set an option or a table, from code unless `origin` says otherwise.

        Raises:
            StartError: The option does not exist, or the value is of the wrong type or not allowed.
        """
        try:
            if name in OPTIONS:
                ready = OPTIONS[name].checked(value)
            elif name in TABLES and isinstance(value, dict):
                ready = TABLES[name].checked(value)
            else:
                raise StartError(f"There is no setting {name}{suggestion(name)}")
        except ValueError as error:
            raise StartError(f"The setting {name} {_place(origin)} {error}.") from None
        object.__setattr__(self, name, ready)
        self.origins[name] = origin
        for callback in self._observers:
            callback(name)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Have `callback(name)` called whenever a setting is assigned a value, even the same one."""
        self._observers.append(callback)

    def check(self) -> None:
        """Check that settings agree with each other; called after the last `set` and before the start.

        Raises:
            StartError: Two settings contradict each other.
        """
        if self.trusted_proxies and not self.real_ip_header:
            raise StartError(
                f"The setting trusted_proxies is given ({self.origins['trusted_proxies']}), but real_ip_header is not: "
                f'name the header in which these proxies write the client\'s address, such as "X-Forwarded-For".'
            )
        if self.bridges:
            check_bridges(self.bridges, cloud=self.cloud)
        if self.cluster and len(self.cluster_secret) < _SHORTEST_SECRET:
            raise StartError(
                f"The setting cluster needs a cluster_secret of at least {_SHORTEST_SECRET} characters, "
                "the same on every node."
            )
        pair = ("tls_certificate", "tls_key")
        for present, absent in (pair, pair[::-1]):
            if getattr(self, present) and not getattr(self, absent):
                raise StartError(
                    f"The setting {present} is given ({self.origins[present]}), but {absent} is not: "
                    f"TLS needs both the certificate and its key."
                )


OPTIONS: dict[str, Option] = options_of(Settings)
"""All options by name, in the order of the reference page."""

TABLES: dict[str, Table] = tables_of(Settings)
"""The tables, each a kind of section of the settings file, by name."""


def suggestion(name: str) -> str:
    """Return the end of a sentence about an unknown setting name."""
    return did_you_mean(name, OPTIONS) or "; `cloudlink config` lists all settings."


def _place(origin: str) -> str:
    """Return the place of a value, for an error message."""
    word, _, name = origin.partition(" ")
    places = {
        "environment": f"in the environment variable {name}",
        "flag": f"given by the flag {name}",
        "code": "given in code",
    }
    return places.get(word, f"in {origin}")
