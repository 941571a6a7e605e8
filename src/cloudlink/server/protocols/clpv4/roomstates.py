"""The state of all rooms, for newcomers: kept in memory and, depending on the settings, in the storage file.

A subscriber of the hub records the latest value of each variable (gvar) and the last message (gmsg) of a
room. Clients that enter the room get them as ordinary packets. If the setting `room_state` is off, nothing is
recorded.

The memory is limited. Empty rooms are dropped to make space for others; values that still do not fit are not
kept. One address may use at most a quarter.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.counters import StoreCondition
from cloudlink.errors import StartError
from cloudlink.http.pages import documents
from cloudlink.logthrottle import LogThrottle
from cloudlink.server.events import Message, Variable
from cloudlink.storage import open_store

from .roomstate import RoomState, variable_cost
from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client
    from cloudlink.server.events import User
    from cloudlink.storage import VariableStore

    from .roomstate import Kept
    from .userlists import UserLists

logger = logging.getLogger("cloudlink.server")

_OURS = ""
"""The address for values that this server itself has set, or read from the store."""
_MESSAGE_MAX_BYTES = 1 << 12
"""Maximum bytes of a message that is kept."""
_IPV4 = 4
_SHARE_OF_ADDRESS = 4
"""One address may use at most the memory divided by this."""
_TOUCH_EVERY = 3600.0
"""Seconds after which a room in use is marked again as used in the store."""
_FULL = "Variables of rooms are not kept for newcomers, because %s (setting room_state_max_memory)."


class RoomStates:
    """Records the state of rooms and sends it to newcomers."""

    def __init__(
        self, server: PluginAPI, lists: UserLists, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Register with a server.

        Args:
            server: The server.
            lists: Charges clients for the state they are sent, as for user lists.
            clock: Returns the time, in seconds.
        """
        self._settings = server.settings
        self._clients = server.clients_manager
        self._rooms = server.rooms_manager
        self._delivery = server.delivery
        self._hub = server.hub
        self._lists = lists
        self._clock = clock
        self._states: dict[str, RoomState] = {}
        self._empty: dict[str, RoomState] = {}  # empty rooms, the longest empty first
        self._bytes = 0
        self._by_address: dict[str, int] = {}
        self._store: VariableStore | None = None
        self._touched_at = clock()
        self._throttle = LogThrottle()
        self._limited = server.counters.limited
        self._mode = server.settings.room_state
        if self._mode != "off":
            server.counters.kept["room_state"] = lambda: self._bytes
            self._hub.subscribe(Variable, self._note_variable)
            self._hub.subscribe(Message, self._note_message)
            self._rooms.watch_emptying(self._note_empty)
            server.cluster.share_room_state(self._variables)
            server.hooks.protocol_tick.append(self._tick)
            server.hooks.protocol_stop.append(self._stop)
        if self._mode == "stored":
            server.counters.stores["rooms"] = self._condition
            server.settings.on_change(self._follow_setting)
            server.hooks.protocol_start.append(self._open_store)
        if server.settings.room_state_http:
            server.hooks.routes.add("/rooms/*", documents("/rooms/", self.document))

    # Start and tick.

    def _open_store(self, call_soon: Callable[..., object]) -> None:
        settings = self._settings
        if not settings.storage:
            raise StartError(
                f'The setting room_state is "stored" ({settings.origins["room_state"]}), but storage is empty '
                f'({settings.origins["storage"]}): name a file in storage, or set room_state to "memory".'
            )
        self._store = open_store(
            settings.storage,
            max_size=settings.storage_max_size,
            keep_days=settings.storage_keep_days,
            of_rooms=True,
        )
        self._store.watch(self._follow_store)
        self._store.start(call_soon)

    def _follow_setting(self, name: str) -> None:
        if self._store is not None and name in ("storage_max_size", "storage_keep_days"):
            self._store.limit(self._settings.storage_max_size, self._settings.storage_keep_days)

    def _condition(self) -> StoreCondition:
        return StoreCondition() if self._store is None else self._store.condition

    def _stop(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        self._states.clear()
        self._empty.clear()
        self._by_address.clear()
        self._bytes = 0

    def _tick(self) -> None:
        """Drop rooms that have been empty for long, and cached frames."""
        now = self._clock()
        while (oldest := self._longest_empty()) is not None:
            if now - oldest.empty_since < self._settings.room_state_lifetime:
                break
            self._forget(oldest)
        for state in self._states.values():
            state.forget_encoded()
        if self._store is not None and now - self._touched_at >= _TOUCH_EVERY:
            self._touched_at = now
            for room in self._states.keys() - self._empty.keys():
                self._store.touch(room)

    # Sending.

    def show(self, client: Client, room: str) -> None:
        """Send a newcomer the state of a room that it has joined."""
        if self._mode == "off":
            return
        state = self._states.get(room)
        if state is None and self._store is not None:
            state = self._begin(room)
        if state is not None:
            self._empty.pop(room, None)
            frames = state.frames(client.dialect)
            self._lists.charge(client, len(frames))
            self._delivery.send(client.outbox, frames)

    def document(self, room: str) -> bytes | None:
        """Return a room's variables as a JSON object, None if it has none."""
        state = self._states.get(room)
        members: list[tuple[bytes, bytes]] = []
        if state is not None:
            members = [(name, kept.val) for name, kept in state.variables.items()]
        elif self._store is not None:
            members = [(jsontext.dumps(name), val) for name, val in self._store.load(room).items()]
        return b"{%b}" % b",".join([b"%b:%b" % member for member in members]) if members else None

    def _variables(self, room: str) -> list[tuple[bytes, bytes]]:
        """Return the names and values that are kept in memory of a room."""
        state = self._states.get(room)
        return [(name, kept.val) for name, kept in state.variables.items()] if state is not None else []

    # Recording.

    def _note_variable(self, room: str, protocol: object, event: Variable, _skip: object) -> None:
        if protocol is not Schema or _is_for_some(event):
            return
        name = event.name
        if b"\\" in name:  # JSON escapes: one name has several spellings
            name = jsontext.dumps(jsontext.loads(name))
        state = self._states.get(room) or self._begin(room)
        if state is None:
            return
        address = self._address(event.origin)
        forgotten = self._put(state, name, event.val, address)
        if self._store is not None:
            for each in forgotten:
                self._store.delete(room, jsontext.loads(each))
            if name in state.variables:
                self._save(self._store, room, jsontext.loads(name), event.val, address)

    def _save(self, store: VariableStore, room: str, name: str, val: bytes, address: str) -> None:
        """Store a value, unless its address already has too much waiting to be written."""
        if store.offer(room, name, val, address):
            return
        self._limited["storage"] += 1
        if self._throttle.should_log(address):
            logger.warning(
                "Values of the room %.100r are kept only in memory, because too much of one address is waiting to be stored.",
                room,
            )

    def _note_message(self, room: str, protocol: object, event: Message, _skip: object) -> None:
        if protocol is not Schema or _is_for_some(event) or not self._settings.legacy:
            return
        state = self._states.get(room) or self._begin(room)
        if state is not None:
            val = event.val if len(event.val) <= _MESSAGE_MAX_BYTES else b""
            self._bytes += len(val) - len(state.message)
            state.put_message(val)
            if not self._has_space(state):
                self._bytes -= len(val)
                state.put_message(b"")

    def _note_empty(self, room: str, protocol: object) -> None:
        state = self._states.get(room) if protocol is Schema else None
        if state is not None:
            self._set_aside(state)

    def _follow_store(self, room: str, name: str, val: bytes | None) -> None:
        """Apply an external change of the store; a room that is not in memory gets it when it is loaded."""
        state = self._states.get(room)
        if state is None:
            return
        raw = jsontext.dumps(name)
        if val is not None:
            self._put(state, raw, val, _OURS)
        elif raw in state.variables:
            self._drop(state, raw)

    def _address(self, origin: User | None) -> str:
        """Return the owner of a variable: an address, another server process, or this server."""
        if origin is None:
            return _OURS
        client = self._clients.snowflakes.get(origin.id)
        return _network(client.address) if client is not None else origin.node

    # Memory.

    def _put(self, state: RoomState, name: bytes, val: bytes, address: str) -> list[bytes]:
        """Set a variable, and return the names of the variables that are dropped because of it."""
        if name in state.variables:
            self._drop(state, name)
        state.put(name, val, address)
        cost = variable_cost(name, val)
        self._bytes += cost
        self._by_address[address] = self._by_address.get(address, 0) + cost
        settings = self._settings
        bounds = (settings.room_state_max_variables, settings.room_state_max_bytes)
        is_too_long = len(name) + len(val) > settings.room_state_max_bytes
        if is_too_long or not (self._has_space(state) and self._is_within_share(address)):
            self._drop(state, name)
            return [name]
        forgotten = []
        while (surplus := state.surplus(*bounds, address)) is not None:
            self._drop(state, surplus)
            forgotten.append(surplus)
        return forgotten

    def _drop(self, state: RoomState, name: bytes) -> None:
        kept = state.drop(name)
        self._discount(name, kept)

    def _discount(self, name: bytes, kept: Kept) -> None:
        cost = variable_cost(name, kept.val)
        self._bytes -= cost
        left = self._by_address[kept.address] - cost
        if left:
            self._by_address[kept.address] = left
        else:
            del self._by_address[kept.address]

    def _begin(self, room: str) -> RoomState | None:
        """Load the state of a room that is not in memory; return None if the memory is full."""
        is_empty = self._rooms.members(room, Schema) is None
        if is_empty and not self._settings.room_state_lifetime:
            return None
        state = self._states[room] = RoomState(room)
        self._bytes += state.own_cost
        if is_empty:
            state.empty_since = self._clock()
            self._empty[room] = state
        if not self._has_space(state):
            self._forget(state)
            return None
        if self._store is not None:
            self._store.touch(room)
            for name, val in self._store.load(room).items():
                self._put(state, jsontext.dumps(name), val, _OURS)
        return state

    def _set_aside(self, state: RoomState) -> None:
        """Keep the state of an empty room for a limited time from now on."""
        if self._settings.room_state_lifetime and (state.variables or state.message):
            state.empty_since = self._clock()
            self._empty.pop(state.room, None)  # re-insert at the end
            self._empty[state.room] = state
        else:
            self._forget(state)

    def _forget(self, state: RoomState) -> None:
        self._bytes -= state.own_cost
        for name, kept in state.variables.items():
            self._discount(name, kept)
        del self._states[state.room]
        self._empty.pop(state.room, None)

    def _longest_empty(self) -> RoomState | None:
        """Return the state of the room that has been empty for longest, None if no room is empty."""
        while self._empty:
            room, state = next(iter(self._empty.items()))
            if self._rooms.members(room, Schema) is None:
                return state
            del self._empty[room]  # a client was added to it without being sent the state
        return None

    def _has_space(self, state: RoomState) -> bool:
        """Drop empty rooms until the memory suffices; return False if it does not even then."""
        while self._bytes > self._settings.room_state_max_memory:
            oldest = self._longest_empty()
            if oldest is None or oldest is state:
                self._log_full("the rooms in use take all of their memory")
                return False
            self._forget(oldest)
        return True

    def _is_within_share(self, address: str) -> bool:
        """Return whether an address is within its share of the memory; this server's own share is not limited."""
        most = self._settings.room_state_max_memory // _SHARE_OF_ADDRESS
        if address == _OURS or self._by_address[address] <= most:
            return True
        self._log_full("one address has a quarter of their memory")
        return False

    def _log_full(self, why: str) -> None:
        self._limited["memory"] += 1
        if self._throttle.should_log(why):
            logger.warning(_FULL, why)


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """Return the network of an address: for IPv6, the first 64 bits, because one household has all of them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == _IPV4 else str(ipaddress.ip_network((parsed, 64), strict=False))


def _is_for_some(event: Message | Variable) -> bool:
    """Return whether an event leaves out users other than its sender; newcomers might be among them."""
    sender = (event.origin.id,) if event.origin is not None else ()
    return bool(event.left_out) and event.left_out != sender
