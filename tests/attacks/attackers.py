"""The process of an attacker: plays one attack against a server and prints what happened to its clients.

    python -m tests.attacks.attackers NAME PORT SECONDS

Its clients come from 127.0.0.2 and the addresses that follow. It leaves the processor to the server and the players
when they need it, because a real attacker has a machine of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import socket
import ssl
import sys
import time
from collections import Counter

from cloudlink.transport.sockets import raise_open_files_limit
from tests.attacks.attacks import ATTACKS
from tests.support.rawclients import UPGRADE, frame, request

_BATCH = 1 << 16
"""Bytes written before looking whether the server reads them."""
_BUFFER = 1 << 15
_LOOKED_AT = 2048
"""Bytes at the end of what arrives in which refusals are looked for; looking everywhere would make attackers slow."""
_LONGEST_CLOSE = 127
"""Bytes of the longest close frame."""
_REFUSAL = re.compile(rb"[EI]:\d+")
_PATIENCE = 0.25
"""Seconds of waiting for the server to read after which an attacker counts as slowed down."""
_HOST = "127.0.0.1"


class Tally(Counter):
    """What happened to the clients of an attacker: counts of close codes, HTTP statuses and refusals."""


@functools.cache
def _template(data):
    """Return a message as bytes to send, with its placeholders; None for its text if it has any."""
    if isinstance(data, bytes):
        return (data, b"#" in data and len(data) < 4096)
    has_places = "#" in data or "$" in data
    return (data, True) if has_places else (frame(data.encode()), False)


def rendered(messages, number, turn):
    """Return messages as the bytes that a client sends."""
    parts = []
    for message in messages:
        data, has_places = _template(message)
        if not has_places:
            parts.append(data)
        elif isinstance(data, bytes):
            parts.append(data.replace(b"#", str(number).encode()))
        else:
            parts.append(frame(data.replace("#", str(number)).replace("$", str(turn)).encode()))
    return b"".join(parts)


@functools.cache
def _tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@functools.cache
def _client_hello():
    """The first bytes of a TLS client."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _tls().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


class Attacker(asyncio.Protocol):
    """One connection; keeps the end of what it was sent, in which a close frame shows."""

    def __init__(self, tally):
        self.tally = tally
        self.head = asyncio.get_running_loop().create_future()
        self.gone = asyncio.get_running_loop().create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self._start = b""
        self._tail = b""

    def connection_made(self, transport):
        self.transport = transport
        # What the attacker's own system buffers would hide that the server reads slowly.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    def data_received(self, data):
        if not self.head.done():
            self._start += data
            if b"\r\n\r\n" not in self._start:
                return
            status = self._start.split(b" ", 2)[1].decode()
            self.head.set_result(status)
            self.tally[status] += 1
        for code in set(_REFUSAL.findall(data[-_LOOKED_AT:])):
            self.tally[code.decode()] += 1
        self._tail = (self._tail + data[-_LONGEST_CLOSE:])[-_LONGEST_CLOSE:]

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def connection_lost(self, exc):
        tail = self._tail
        for start in range(len(tail) - 3):
            if tail[start] == 0x88 and tail[start + 1] == len(tail) - start - 2:
                self.tally[str(int.from_bytes(tail[start + 2 : start + 4], "big"))] += 1
                break
        else:
            self.tally["reset"] += 1
        self.writable.set()
        for future in (self.head, self.gone):
            if not future.done():
                future.set_result(None)

    async def write(self, data):
        """Write and wait until the server takes more; notes if that takes long."""
        self.transport.write(data)
        if not self.writable.is_set():
            started = time.monotonic()
            try:
                await self.writable.wait()
            finally:
                self.tally["waits"] += time.monotonic() - started > _PATIENCE


class Client:
    """One client of an attack: connects, sends, and comes again if the attack says so."""

    def __init__(self, attack, number, port, started, until, tally):
        self._attack = attack
        self._number = number
        self._port = port
        self._until = until
        self._started = started
        self._tally = tally
        self._turn = 0
        self._peer = None

    async def run(self):
        attack = self._attack
        if self._number >= attack.connections - attack.latecomers:
            await asyncio.sleep((self._until - self._started) / 2)
        while time.monotonic() < self._until:
            with contextlib.suppress(OSError, TimeoutError):
                await self._once()
            self._turn += 1
            if not attack.churn and attack.kind != "http":
                break
            await asyncio.sleep(1 / attack.rate if attack.rate else 0.02)

    def leave(self):
        if self._peer is not None:
            self._peer.transport.abort()

    async def _once(self):
        attack = self._attack
        peer = self._peer = await self._connect()
        is_websocket = attack.kind == "websocket"
        try:
            if is_websocket:
                peer.transport.write(request(UPGRADE, attack.path))
                if await peer.head != "101":
                    return
            if attack.reading != "all":
                peer.transport.pause_reading()
            await self._wait_for_others()
            opening = rendered(attack.opening, self._number, self._turn)
            if attack.kind == "hello":
                opening = _client_hello()
            if opening:
                await peer.write(opening)
            if attack.kind == "http":
                await asyncio.wait_for(asyncio.shield(peer.head), 5)
            else:
                await self._send_on(peer)
        finally:
            if attack.churn or attack.kind == "http":
                peer.transport.close() if attack.kind == "http" else peer.transport.abort()

    async def _wait_for_others(self):
        together = self._attack.together
        if together:
            await asyncio.sleep(together - (time.monotonic() - self._started) % together)

    async def _connect(self):
        attack = self._attack
        context = _tls() if attack.tls and attack.kind != "hello" else None
        local = f"127.0.0.{2 + self._number % attack.addresses}"
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            _, peer = await loop.create_connection(
                lambda: Attacker(self._tally), _HOST, self._port, ssl=context, local_addr=(local, 0)
            )
        self._tally["connected"] += 1
        return peer

    async def _send_on(self, peer):
        attack = self._attack
        messages = attack.leader if attack.leader is not None and not self._number else attack.repeat
        if attack.churn and not attack.times:
            # Long enough for an answer to the opening.
            await asyncio.wait([peer.gone], timeout=0.2)
            return
        turn = 0
        while time.monotonic() < self._until and not peer.gone.done():
            self._read_late(peer)
            if messages and (not attack.times or turn < attack.times):
                data = rendered(messages, self._number, turn)
                if not attack.rate and len(data) < _BATCH and "$" not in str(messages):
                    data *= max(1, _BATCH // len(data) // 4)
                await peer.write(data)
                turn += 1
                await asyncio.sleep(1 / attack.rate if attack.rate else 0)
            elif attack.churn:
                return
            else:
                await asyncio.wait([peer.gone], timeout=0.1)

    def _read_late(self, peer):
        half = self._started + (self._until - self._started) / 2
        if self._attack.reading == "late" and time.monotonic() > half:
            peer.transport.resume_reading()


async def attack_with(attack, port, seconds):
    """Play an attack for some seconds and return what happened to its clients."""
    tally = Tally()
    started = time.monotonic()
    until = started + seconds
    clients = [Client(attack, number, port, started, until, tally) for number in range(attack.connections)]
    tasks = [asyncio.ensure_future(client.run()) for client in clients]
    await asyncio.wait(tasks, timeout=seconds + 0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        client.leave()
    await asyncio.sleep(0.05)
    return tally


def main():
    name, port, seconds = sys.argv[1:]
    with contextlib.suppress(OSError):
        os.nice(10)
    raise_open_files_limit()
    tally = asyncio.run(attack_with(ATTACKS[name], int(port), float(seconds)))
    print(json.dumps({key: count for key, count in tally.items() if count}))


if __name__ == "__main__":
    main()
