"""Random histories of a cluster in virtual time: nodes that are killed, stopped and cut off, clocks that disagree.

`Simulation(seed).run()` plays one history and raises AssertionError where the nodes do not agree at its end. The nodes are
`cloudlink.cluster.node.Node`s; everything else, from the network to the disk, is in this module.
"""

from __future__ import annotations

import heapq
import itertools
import random

from cloudlink.cluster.node import Node

ROOMS = ("arena", "lobby")
PROJECTS = ("1", "2")
NAMES = ("alice", "bob", "carol")
TICK = 0.25
QUIET = 9.0  # seconds without faults or changes before the nodes are compared
MEMORY = 5.0  # a variable that was set so long before the faults ended must have survived them


class Network:
    """Moves batches between carriers, with delays, losses and cuts."""

    def __init__(self, simulation):
        self.simulation = simulation
        self.loss = 0.0
        self.cuts = set()  # (from, to): names of nodes; one direction each
        self.carriers = {}  # by id
        self.arrivals = {}  # (from, to): the last arrival, because batches do not overtake each other

    def deliver(self, sender, recipient, batch, lane):
        simulation = self.simulation
        if (sender.name, recipient.name) in self.cuts or simulation.random.random() < self.loss:
            return
        key = (sender.id, recipient.id, lane)
        at = max(simulation.now + simulation.random.uniform(0.001, 0.03), self.arrivals.get(key, 0.0))
        self.arrivals[key] = at
        simulation.at(at, lambda: simulation.when_running(recipient.name, recipient, batch))


class SimulatedCarrier:
    """A carrier of the simulated network."""

    echoes = False

    def __init__(self, network, name):
        self.network = network
        self.name = name
        self.id = ""
        self.receiver = None

    def start(self, node, receiver):
        self.id, self.receiver = node, receiver
        self.network.carriers[node] = self

    def hello(self, batch):
        for other in tuple(self.network.carriers.values()):
            if other is not self:
                self.network.deliver(self, other, batch, "hello")

    def send(self, node, batch):
        if self.network.simulation.random.random() < self.network.simulation.refusals:
            return False
        other = self.network.carriers.get(node)
        if other is not None:
            self.network.deliver(self, other, batch, "stream")
        return True

    def forget(self, node):
        pass

    def close(self):
        self.network.carriers.pop(self.id, None)


class Disk:
    """The store that all nodes share; it is slow, but whatever it has accepted is safe."""

    def __init__(self, simulation):
        self.simulation = simulation
        self.projects = {}

    def of(self, server):
        disk = self

        class Store:
            def load(self, project, done):
                values = dict(disk.projects.get(project, {}))
                disk.simulation.later(
                    disk.simulation.random.uniform(0, 0.2), lambda: server.is_alive and done(values)
                )

            def save(self, project, changes, done):
                known = disk.projects.setdefault(project, {})
                for name, value in changes.items():
                    if value is None:
                        known.pop(name, None)
                    else:
                        known[name] = value
                disk.simulation.later(
                    disk.simulation.random.uniform(0, 0.1), lambda: server.is_alive and done(True)
                )

        return Store()


class Server:
    """A node, its users, and what its clients have seen."""

    def __init__(self, simulation, name):
        self.simulation = simulation
        self.name = name
        self.is_alive = True
        self.is_stopped = False
        self.inbox = []
        self.own = {}  # user: [username, set of rooms]
        self.seen = {}  # node: {user: [username, set of rooms]}
        self.last = {}  # (room, variable): the last value that its clients saw
        self.cloud = {}  # project: what its players saw, {} before the first frame
        self.skew = simulation.random.uniform(-5, 5) if simulation.skewed else 0.0
        self.id = f"{simulation.random.getrandbits(64):016x}"
        self.node = Node(
            self.id,
            name,
            self,
            SimulatedCarrier(simulation.network, name),
            secret=simulation.secret,
            unique_names=simulation.unique,
            now=lambda: simulation.now,
            wall=lambda: 1e9 + simulation.now + self.skew,
        )
        self.node.cloud.use(simulation.disk.of(self), self.on_cloud)
        self.node.start()
        self.tick()
        for room in ROOMS:
            self.join(f"{self.id}-host", None, room)

    # The interface `Host`.

    @property
    def clients(self):
        return len(self.own)

    def schedule_flush(self):
        self.simulation.later(0.002, lambda: self.simulation.when_running(self.name, self, None))

    def on_ready(self, others):
        pass

    def on_number(self, number):
        pass

    def on_users(self, node, rows):
        self.seen[node] = {row.id: [row.username, set(row.rooms)] for row in rows.values()}

    def on_user(self, node, row):
        known = self.seen.setdefault(node, {}).setdefault(row.id, [row.username, set()])
        known[0] = row.username
        known[1] |= set(row.rooms)

    def on_left(self, node, user, room):
        self.seen[node][user][1].discard(room)

    def on_gone(self, node, user):
        self.seen[node].pop(user)

    def on_down(self, node):
        self.seen.pop(node, None)

    def on_quiet(self, node):
        pass

    def on_absence(self):
        pass

    def on_event(self, node, record):
        self.last[record.room, record.name] = record.event

    def is_shared(self, protocol, room, node):
        return any(room in rooms for _, rooms in self.seen.get(node, {}).values())

    def dismiss(self, user, username):
        assert self.own[user][0] == username
        self.simulation.dismissed.append((username, user))
        self.leave(user)

    def on_cloud(self, project, name, value):
        if value is None:
            self.cloud[project].pop(name, None)
        else:
            self.cloud[project][name] = value

    # What clients do.

    def join(self, user, username, room):
        own = self.own.setdefault(user, [username, set()])
        if room not in own[1]:
            own[1].add(room)
            self.node.joined(user, f"uuid-{user}", own[0], "cl4", room)

    def part(self, user, room):
        if room in self.own[user][1]:
            self.own[user][1].discard(room)
            self.node.left(user, room)

    def rename(self, user, username):
        self.own[user][0] = username
        self.node.renamed(user, username)

    def leave(self, user):
        del self.own[user]
        self.node.gone(user)

    def set_variable(self, room, name, value):
        self.last[room, name] = value
        nodes = [node for node in self.seen if self.is_shared("cl4", room, node)]
        self.node.publish_variable(nodes, "cl4", room, name, value)

    def open(self, project):
        if project not in self.cloud:
            self.cloud[project] = {}
            self.node.cloud.open(project, lambda values: self.cloud.__setitem__(project, dict(values)))

    def set_cloud(self, project, name, value):
        if self.node.cloud.is_ready(project):
            self.on_cloud(project, name, value)
            self.node.cloud.set(project, name, value)
            return True
        return False

    def close(self, project):
        if self.node.cloud.is_ready(project):
            del self.cloud[project]
            self.node.cloud.close(project)

    def tick(self):
        if self.is_alive:
            if not self.is_stopped:
                self.node.tick()
            self.simulation.later(TICK, self.tick)


class Simulation:
    """One history; everything in it follows from its seed."""

    def __init__(self, seed, *, faults=True):
        self.random = random.Random(seed)
        self.now = 100.0
        self.queue = []
        self.order = itertools.count()
        self.values = itertools.count(1)
        self.skewed = faults and self.random.random() < 0.7
        self.unique = self.random.random() < 0.5
        self.secret = b"s" * 16 if self.random.random() < 0.2 else b""
        self.refusals = 0.0
        self.network = Network(self)
        self.disk = Disk(self)
        self.dismissed = []
        self.sets = {}  # (room, variable): when it was set last
        self.servers = {}
        self.is_quiet = False
        self.faults = faults
        for number in range(self.random.choice((2, 3, 3, 4))):
            self.start(f"n{number}")

    # Time.

    def at(self, time, action):
        heapq.heappush(self.queue, (time, next(self.order), action))

    def later(self, delay, action):
        self.at(self.now + delay, action)

    def advance(self, until):
        while self.queue and self.queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self.queue)
            action()
        self.now = until

    def when_running(self, name, target, batch):
        """Give a server what arrived, or a turn to flush (None), unless it is stopped or gone."""
        server = self.servers.get(name)
        if server is None or not server.is_alive or target not in (server, server.node._carrier):
            return
        if server.is_stopped:
            server.inbox.append(batch)
        elif batch is None:
            server.node.flush()
        else:
            server.node.on_batch(batch)

    # Faults.

    def start(self, name):
        known = self.servers.get(name)
        if known is None or not known.is_alive:
            self.servers[name] = Server(self, name)

    def kill(self, name):
        server = self.servers[name]
        server.is_alive = False
        server.node._carrier.close()
        self.later(self.random.uniform(0.1, 4.0), lambda: self.start(name))

    def resume(self, server):
        server.is_stopped = False
        inbox, server.inbox = server.inbox, []
        if self.random.random() < 0.5 and server.is_alive:
            server.node.tick()
        for batch in inbox:
            self.when_running(server.name, server, batch)

    def fault(self):
        kind = self.random.choice(
            ("kill", "stop", "stop", "cut", "cut", "one way", "loss", "refuse", "leave")
        )
        name, other = self.random.sample(sorted(self.servers), 2)
        server, lasts = self.servers[name], self.random.uniform(0.2, 6.0)
        if kind == "kill":
            self.kill(name)
        elif kind == "leave":
            if server.is_alive and not server.is_stopped:
                server.node.stop()
                self.kill(name)
        elif kind == "stop":
            if not server.is_stopped:
                server.is_stopped = True
                self.later(lasts, lambda: self.resume(server))
        elif kind in ("cut", "one way"):
            cuts = {(name, other)} if kind == "one way" else {(name, other), (other, name)}
            self.network.cuts |= cuts
            self.later(lasts, lambda: self.network.cuts.difference_update(cuts))
        elif kind == "loss":
            self.network.loss = self.random.choice((0.02, 0.2, 0.5))
            self.later(lasts, lambda: setattr(self.network, "loss", 0.0))
        else:
            self.refusals = 0.3
            self.later(lasts, lambda: setattr(self, "refusals", 0.0))

    # Changes.

    def change(self):
        running = [each for each in self.servers.values() if each.is_alive and not each.is_stopped]
        if not running:
            return
        server = self.random.choice(running)
        guests = [user for user in server.own if not user.endswith("host")]
        room, project = self.random.choice(ROOMS), self.random.choice(PROJECTS)
        value = str(next(self.values)).encode()
        kind = self.random.randrange(9)
        if kind == 0 or (kind < 4 and not guests):
            username = self.free_name(server)
            server.join(f"{server.id}-{value.decode()}", username, room)
        elif kind == 1:
            user = self.random.choice(guests)
            if self.random.random() < 0.5:
                server.join(user, None, room)
            else:
                server.part(user, room)
        elif kind == 2:
            server.rename(self.random.choice(guests), self.free_name(server))
        elif kind == 3:
            server.leave(self.random.choice(guests))
        elif kind < 6:
            name = self.random.choice((b'"x"', b'"y"'))
            server.set_variable(room, name, value)
            self.sets[room, name] = self.now
        elif kind == 6:
            self.random.choice((server.open, server.open, server.open, server.close))(project)
        else:
            gone = self.random.random() < 0.1
            if server.set_cloud(project, self.random.choice("ab"), None if gone else value):
                self.note_cloud(server, project)

    def note_cloud(self, server, project):
        """Hook for tests that watch what is saved."""

    def free_name(self, server):
        """A name; where names are unique, one that the server does not know to be taken."""
        if not self.unique:
            return self.random.choice((*NAMES, None))
        taken = {own[0] for own in server.own.values()}
        taken |= {user[0] for users in server.seen.values() for user in users.values()}
        free = [name for name in NAMES if name not in taken]
        return self.random.choice(free) if free else None

    # The history.

    def run(self):
        for _ in range(self.random.randrange(20, 60)):
            self.later(self.random.uniform(0.0, 10.0), self.change)
        if self.faults:
            for _ in range(self.random.randrange(1, 4)):
                self.later(self.random.uniform(1.0, 7.0), self.fault)
        self.advance(self.now + 10.0)
        healed = self.now
        self.network.cuts.clear()
        self.network.loss = self.refusals = 0.0
        for server in tuple(self.servers.values()):
            if server.is_stopped:
                self.resume(server)
            if not server.is_alive:
                self.start(server.name)
        for name in ("a", "b"):  # nothing is asked of variables that were set long before everybody was back
            server = self.random.choice(list(self.servers.values()))
            self.later(
                0.5,
                lambda server=server, name=name: server.set_cloud("1", name, str(next(self.values)).encode()),
            )
        self.advance(self.now + QUIET)
        self.compare(healed)

    def compare(self, healed):
        servers = [each for each in self.servers.values() if each.is_alive]
        for server in servers:
            truth = {each.id: each.own for each in servers if each is not server}
            assert server.seen == truth, f"{server.name} sees other users"
        assert len({each.node.number for each in servers}) == len(servers), "two nodes have one number"
        for (room, name), at in self.sets.items():
            if at >= healed - MEMORY:
                values = {each.last.get((room, name)) for each in servers}
                assert len(values) == 1, f"the variable {name} of {room} differs: {values}"
        for project in PROJECTS:
            playing = [each for each in servers if project in each.cloud]
            for server in playing:
                assert server.cloud[project] == playing[0].cloud[project], f"project {project} differs"
                assert server.node.cloud.values(project) == server.cloud[project]
            if playing:
                assert self.disk.projects.get(project, {}) == playing[0].cloud[project], (
                    f"{project} is not saved"
                )
        if self.unique:
            names = [own[0] for each in servers for own in each.own.values() if own[0] is not None]
            assert len(names) == len(set(names)), f"two users have one name: {sorted(names)}"
