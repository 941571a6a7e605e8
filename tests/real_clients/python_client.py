"""Two players written with CloudLink 0.2.0's own Python client. Started by the Python of its environment, never by ours.

Arguments: alice or bob, and the address of the server. Every event is printed as one line of JSON, its name first.

Bob waits in the room "lobby" and answers what alice sends him; alice acts, then leaves; bob leaves when she is gone.
"""

# ruff: noqa: T201  # what it prints is its report

import json
import sys

from cloudlink import client

role, address = sys.argv[1:]
player = client()
player.logging.basicConfig(level=player.logging.ERROR)


def say(event, *details):
    print(json.dumps([event, *details]), flush=True)


async def ask(packet):
    """Send a packet with a listener and tell the first answer that carries it."""
    say("asked", packet["listener"], await player.send_packet_and_wait(packet))


@player.on_initial_connect
async def initial_connect():
    say("initial_connect")


@player.on_connect
async def connected():
    say("connect")
    await player.protocol.set_username(role)


@player.on_username_set
async def username_set(snowflake, name, uuid):
    say("username_set", name, snowflake, uuid)
    await ask({"cmd": "link", "val": ["lobby"], "listener": "link"})
    if role == "alice":
        await act()


async def act():
    await ask({"cmd": "setid", "val": "again", "listener": "setid"})
    await ask({"cmd": "gmsg", "val": {"hello": ["everybody", 1.5, True]}, "listener": "gmsg"})
    await ask({"cmd": "gvar", "name": "score", "val": 2**70, "listener": "gvar"})
    await ask({"cmd": "pmsg", "id": "nobody", "val": "x", "listener": "pmsg to nobody"})
    await ask({"cmd": "gmsg", "val": "x", "rooms": "elsewhere", "listener": "gmsg to elsewhere"})
    await ask({"cmd": "gmsg", "listener": "gmsg without val"})
    await ask({"cmd": "no such command", "listener": "no such command"})
    await ask({"cmd": "pvar", "name": "hp", "id": "bob", "val": 7, "listener": "pvar"})
    await ask({"cmd": "pmsg", "id": "bob", "val": "hi bob", "listener": "pmsg"})


@player.on_gmsg
async def gmsg(message):
    say("gmsg", message)


@player.on_gvar
async def gvar(message):
    say("gvar", message)


@player.on_pvar
async def pvar(message):
    say("pvar", message)


@player.on_pmsg
async def pmsg(message):
    say("pmsg", message)
    if role == "bob":
        sender = message["origin"]["uuid"]
        player.send_packet({"cmd": "pvar", "name": "reply", "id": sender, "val": [1, 2]})
        player.send_packet({"cmd": "direct", "id": sender, "val": "direct reply"})
        player.send_packet({"cmd": "pmsg", "id": sender, "val": "hi alice"})
    else:
        player.disconnect()


@player.on_direct
async def direct(message):
    say("direct", message)


@player.on_ulist
async def ulist(message):
    say("ulist", message)
    if role == "bob" and message["mode"] == "remove" and message["val"]["username"] == "alice":
        player.disconnect()


@player.on_error
async def error(details):
    say("error", str(details))


player.run(host=address)
