"""The memory of clients that are connected and do nothing."""

import asyncio
import gc
import json
import socket
import tracemalloc

import pytest

from tests.support.collector import without_garbage_collector
from tests.support.rawclients import CHROME, frame, request, running

COUNT = 100
MOST = 10.5 * 1024
"""Bytes of an idle client with the headers of a browser, its end of the connection included.

They are 8.7 KB on Python 3.11, and up to 9.7 on later ones.
"""
GREETING = frame(
    json.dumps({"cmd": "handshake", "val": {"language": "Scratch"}, "listener": "greeted"}).encode()
)


async def greeted(port):
    """Return a socket whose client has been greeted; the socket itself is all that it costs."""
    loop = asyncio.get_running_loop()
    ours = socket.socket()
    ours.setblocking(False)
    await loop.sock_connect(ours, ("127.0.0.1", port))
    await loop.sock_sendall(ours, request(CHROME) + GREETING)
    received = b""
    while b'"listener":"greeted"' not in received:
        data = await loop.sock_recv(ours, 1 << 16)
        assert data, "the server closed the connection"  # or this would read its end for ever
        received += data
    return ours


def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_an_idle_client_takes_no_more_than_a_few_kilobytes():
    async def scenario():
        async with running() as server:
            # What the first clients make the server keep, such as its caches, does not belong to the later ones.
            first = [await greeted(server.port) for _ in range(COUNT)]
            before = traced()
            clients = [await greeted(server.port) for _ in range(COUNT)]
            per_client = (traced() - before) / COUNT
            for each in first + clients:
                each.close()
            return per_client

    tracemalloc.start()
    try:
        assert asyncio.run(scenario()) < MOST
    finally:
        tracemalloc.stop()


async def left_without_a_request(port):
    loop = asyncio.get_running_loop()
    with socket.socket() as ours:
        ours.setblocking(False)
        await loop.sock_connect(ours, ("127.0.0.1", port))
        ours.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(ours, 1) == b""


async def left_after_a_page(port):
    loop = asyncio.get_running_loop()
    with socket.socket() as ours:
        ours.setblocking(False)
        await loop.sock_connect(ours, ("127.0.0.1", port))
        await loop.sock_sendall(ours, request({"Host": "x"}, "/health"))
        while await loop.sock_recv(ours, 1 << 16):
            pass


async def left_after_greeting(port):
    (await greeted(port)).close()


@pytest.mark.parametrize("visit", [left_without_a_request, left_after_a_page, left_after_greeting])
def test_a_connection_that_has_ended_is_freed_without_the_garbage_collector(visit):
    async def scenario():
        async with running() as server:
            await visit(server.port)
            gc.collect()
            for _ in range(20):
                await visit(server.port)
            assert gc.collect() < 20  # each connection in a reference cycle would be several objects

    with without_garbage_collector():
        asyncio.run(scenario())
