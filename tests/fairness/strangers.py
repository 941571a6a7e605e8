"""Strangers in a process of their own, who guess passwords, or connect although they are banned.

    strangers.py PORT guess SOCKETS TEXT...    opens SOCKETS admin sockets; then each sends all the texts at once
    strangers.py PORT knock COUNT RATE         connects COUNT times, RATE times a second

It prints `ready`, waits for a line, does that, and prints a JSON object: how often each outcome occurred. An outcome is the
error code in the answer to a text, the status of a handshake that failed, or the code with which a connection was closed. Each
admin socket has an address of its own; all connections of `knock` come from 10.1.2.3.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.rawclients import TEXT, UPGRADE, connect, open_socket, request


async def start():
    """Print that everything is ready, and wait for a line."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)


async def guess(port, sockets, *texts):
    peers = [
        await connect(port, {**UPGRADE, "X-Forwarded-For": f"10.7.0.{number + 1}"}, "/admin/ws")
        for number in range(sockets)
    ]
    for peer in peers:
        await peer.receive()  # the event `hello`
    await start()
    for peer in peers:
        peer.send(*texts)
    answers = [json.loads(await text_of(peer)) for peer in peers for _ in texts]
    return Counter(answer["error"]["code"] for answer in answers)


async def text_of(peer):
    """Return the next text; a busy machine takes so long that there are pings before it."""
    while (received := await peer.receive())[0] != TEXT:
        pass
    return received[1]


async def knock(port, count, rate):
    async def once():
        peer = await open_socket(port)
        try:
            peer.writer.write(request({**UPGRADE, "X-Forwarded-For": "10.1.2.3"}))
            status = (await peer.reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            return status if status != "101" else str((await peer.receive_close())[0])
        finally:
            peer.leave()

    await start()
    knocks = []
    for _ in range(count):
        knocks.append(asyncio.create_task(once()))
        await asyncio.sleep(1 / rate)
    return Counter(await asyncio.gather(*knocks))


if __name__ == "__main__":
    port, what, *arguments = sys.argv[1:]
    numbers = [int(word) if word.isdecimal() else word for word in arguments]
    counts = asyncio.run({"guess": guess, "knock": knock}[what](int(port), *numbers))
    sys.stdout.write(json.dumps(counts) + "\n")
