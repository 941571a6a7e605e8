"""The administration in memory: accounts, sockets and time, without a server, a file or a thread."""

from __future__ import annotations

import json
from concurrent.futures import Future

from cloudlink.admin.accounts import Accounts
from cloudlink.admin.actors import AdminError
from cloudlink.admin.callers import Peer
from cloudlink.admin.core import Core
from cloudlink.admin.grants import Grants
from cloudlink.admin.hashing import MOST_WAITING
from cloudlink.admin.host import protected_by
from cloudlink.admin.names import fold
from cloudlink.admin.policy import Policy
from cloudlink.admin.sanctions import Sanctions
from cloudlink.admin.serverview import Sample
from cloudlink.admin.sessions import Sessions
from cloudlink.admin.setupcode import SetupCode
from cloudlink.admin.statistics import Statistics
from cloudlink.admin.store import AdminStore
from cloudlink.admin.throttle import Throttle
from cloudlink.admin.topics import Topics
from cloudlink.admin.wire import Wire
from cloudlink.settings import Settings
from tests.support.clock import FakeClock

HERE = Peer("127.0.0.1", "127.0.0.1", is_loopback=True, is_private=True)
CONSOLE = Peer("127.0.0.1", "127.0.0.1", is_loopback=True, is_private=True, is_console=True)
PASSWORD = "four words are fine"
NEW_PASSWORD = "and four others too"


def from_net(address: str, *, is_secure: bool = True) -> Peer:
    """Somebody on the internet."""
    return Peer(address, address, is_secure=is_secure)


class FakeHasher:
    """Hashes at once, and cheaply; or when a test says so, if `is_slow`."""

    def __init__(self):
        self.is_slow = False
        self.waiting = []
        self.checks = 0

    def check(self, password, hashed):
        self.checks += 1
        return self._later(lambda: hashed == f"hash of {password}")

    def hash(self, password):
        return self._later(lambda: f"hash of {password}")

    def _later(self, function):
        if len(self.waiting) > MOST_WAITING:
            raise AdminError("busy", "Too many others log in at this moment; try again in a few seconds.")
        future = Future()
        self.waiting.append(lambda: future.set_result(function()))
        if not self.is_slow:
            self.go_on()
        return future

    def go_on(self):
        """Compute what waits."""
        while self.waiting:
            self.waiting.pop(0)()


class FakePlayer:
    """A client, as lists and sanctions see it."""

    birth_time = -1000.0

    def __init__(self, number, username="", room="default", protocol="cl4", address="203.0.113.7"):
        self.snowflake = str(number)
        self.username = username
        self.room = room
        self.protocol = protocol
        self.address = address
        self.request_headers = {}
        self.joined = {room: None}


class FakeServer:
    """The server that is administered, for methods and for sanctions: players that a test adds, and little else."""

    siblings = ""

    def __init__(self):
        self.found = {}
        self.closed = []
        self.announced = []
        self.totals = Sample(0, 0, 0, 0, 0, 0, 1000, 0.0)
        self.samples = 0
        self.cloud = {}
        self.disabled = set()
        self.elsewhere = []
        self.paused = set()
        self.reloads = [{"changed": {"motd": ["", "hi"]}, "needs_restart": []}]

    def add(self, *players):
        self.found |= {player.snowflake: player for player in players}

    def call_soon(self, callback):
        callback()

    def sample(self):
        yield
        self.samples += 1
        return self.totals

    def players(self, *, after=None, reverse=False):
        found = sorted(self.found.values(), key=lambda player: int(player.snowflake), reverse=reverse)
        if after is not None:
            found = [
                one
                for one in found
                if (int(one.snowflake) < after if reverse else int(one.snowflake) > after)
            ]
        return iter(found)

    def named(self, name):
        return [player for player in self.found.values() if player.username == name]

    def label(self, player):
        return player.protocol

    def count_players(self):
        return len(self.found)

    def alike(self, name):
        return [player for player in self.found.values() if fold(player.username) == fold(name)]

    def player(self, client_id):
        return self.found.get(client_id)

    def away(self, client_id):
        return next((each for each in self.elsewhere if each.snowflake == client_id), None)

    def all_away(self):
        return iter(self.elsewhere)

    def describe(self, player, *, in_full):
        return {"id": player.snowflake, "name": player.username}

    def rooms(self):
        return list(dict.fromkeys(player.room for player in self.found.values()))

    def count_in(self, room):
        return sum(player.room == room for player in self.found.values()) or None

    def projects(self):
        return list(self.cloud)

    def describe_project(self, project):
        return {"project": project, "clients": 0, "variables": len(self.cloud[project]), "bytes": 0}

    def variables(self, project):
        return self.cloud.get(project, {})

    def is_open(self, project):
        return project in self.cloud

    def set_variable(self, project, name, value):
        self.cloud.setdefault(project, {})[name] = json.dumps(value).encode()

    def delete_variable(self, project, name):
        if name not in self.cloud.get(project, {}):
            raise AdminError("not_found", "This project has no such variable.")
        del self.cloud[project][name]

    def plugins(self):
        return [{"name": "hello.py", "commands": ["hello"], "events": []}]

    def settings(self):
        return [{"name": "motd", "value": "", "unit": "", "origin": "default"}]

    def reload(self):
        result = self.reloads.pop(0) if len(self.reloads) > 1 else self.reloads[0]
        if isinstance(result, AdminError):
            raise result
        return result

    def bridges(self):
        return [{"name": "south", "paused": "south" in self.paused}]

    def set_bridge(self, name, *, paused):
        (self.paused.add if paused else self.paused.discard)(name)

    def commands(self):
        return [{"name": "hello", "protocol": "cl4", "disabled": "hello" in self.disabled, "builtin": False}]

    def set_command(self, name, *, disabled):
        (self.disabled.add if disabled else self.disabled.discard)(name)

    def switched_commands(self):
        return dict.fromkeys(self.disabled, True)

    # For sanctions.

    def disconnect(self, player, code, reason, cause):
        self.closed.append((player.snowflake, code, reason))
        self.found.pop(player.snowflake, None)

    def protected_networks(self):
        return protected_by(Settings())

    def trusts_proxies(self):
        return False

    def announcing(self, text, rooms, kind):
        self.announced.append((text, rooms, kind))
        yield
        return len(self.found)

    def mode_changed(self, mode):
        """Nothing sends packets here."""

    def later(self, delay, callback):
        if not delay:
            callback()

    def stop(self):
        """Nothing runs here."""


class Administrators:
    """One administration: `connect` opens sockets on it."""

    def __init__(self, store=None):
        self.clock = FakeClock()
        self.wall_clock = FakeClock(1_800_000_000.0)
        self.server = FakeServer()
        self.hasher = FakeHasher()
        store = store or AdminStore(None)
        self.settings = Settings(admin_storage="")
        self.sanctions = Sanctions(self.settings, store, self.server, Policy(self.wall_clock, self.clock))
        self.sanctions.load()
        self.rows = []
        self.sanctions.audit.watch(self.rows.append)
        self.accounts = Accounts(store, wall_clock=self.wall_clock)
        self.core = Core(
            server=self.server,
            sanctions=self.sanctions,
            accounts=self.accounts,
            sessions=Sessions(lambda: 43200.0, lambda: 3600.0, self.wall_clock),
            hasher=self.hasher,
            statistics=Statistics(self.server.sample, self.clock, self.wall_clock),
            topics=Topics(self.clock),
            may_watch=lambda: self.settings.admin_watch,
            may_read_log=lambda: self.settings.admin_addresses == "full",
            link=lambda: f"http://127.0.0.1:3000/admin#setup={self.core.setup_code.make()}",
            grants=Grants(self.wall_clock),
            throttle=Throttle(self.clock),
            setup_code=SetupCode(self.clock),
            wall_clock=self.wall_clock,
        )
        self.wire = Wire(self.core, self.clock)

    @property
    def lines(self):
        """Who did what, as tuples: actor, method, target, outcome."""
        return [(row["actor"], row["method"], row["target"], row["outcome"]) for row in self.rows]

    def add_account(self, name, role):
        """Make an account with the usual password."""
        return self.accounts.add(name, role, f"hash of {PASSWORD}").result()

    def connect(self, peer=HERE):
        """Open a socket."""
        return Administrator(self, peer)

    def log_in(self, role="owner", peer=HERE):
        """Open a socket and log in as an account of that role, which is made if it does not exist."""
        if f"the-{role}" not in self.accounts:
            self.add_account(f"the-{role}", role)
        socket = self.connect(peer)
        socket.ask("login", name=f"the-{role}", password=PASSWORD)
        return socket

    def pass_time(self, seconds):
        """Move both clocks, with a tick each second as a server makes them, but not more than a thousand."""
        for _ in range(min(1000, int(seconds))):
            self.clock.now += seconds / min(1000, int(seconds))
            self.wall_clock.now += seconds / min(1000, int(seconds))
            self.wire.tick()


class Administrator:
    """A socket: `ask` sends a request and returns the result, `error` the code of the error."""

    def __init__(self, administrators, peer):
        self.congested = False
        self.closed = None
        self.heard = []
        self.last_id = 0
        self.socket = administrators.wire.open(self, peer)

    # The connection.

    def send(self, data):
        assert self.closed is None, "sent after the end"
        self.heard.append(json.loads(data))

    def close(self, code, reason):
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)

    # For tests.

    def say(self, data):
        """Send a text."""
        self.socket.receive(data if isinstance(data, bytes) else data.encode())

    def request(self, method, **params):
        """Send a request and return the whole answer, None if there is none yet."""
        self.last_id += 1
        self.say(json.dumps({"id": self.last_id, "method": method, "params": params}))
        return self.answer(self.last_id)

    def answer(self, number):
        """Take the answer to a request out of what was heard."""
        found = [frame for frame in self.heard if frame.get("id") == number and "event" not in frame]
        for frame in found:
            self.heard.remove(frame)
        return found[0] if found else None

    def ask(self, method, **params):
        """Send a request and return its result."""
        answer = self.request(method, **params)
        assert answer is not None, f"{method} was not answered"
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method, **params):
        """Send a request that must be refused, and return the error."""
        answer = self.request(method, **params)
        assert answer is not None, f"{method} was not answered"
        assert "error" in answer, answer
        return answer["error"]

    def refused(self, method, **params):
        """Send a request that must be refused, and return the code of the error."""
        return self.error(method, **params)["code"]

    def events(self, name):
        """Take the data of the events of a name out of what was heard."""
        found = [frame for frame in self.heard if frame.get("event") == name]
        self.heard = [frame for frame in self.heard if frame.get("event") != name]
        return [frame["data"] for frame in found]
