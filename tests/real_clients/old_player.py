"""A player written with CloudLink's own Python client of another day. Started by the Python of its environment, never by ours.

Arguments: the version of the client, a username, and the address of the server. It connects and takes its name the way
that version's own programs did. Every line of standard input is a packet to send, as JSON; every packet the client
hands to its program is printed as one line of JSON.
"""

# ruff: noqa: PLC0415  # each version has its own modules

import asyncio
import json
import sys
import threading

version, name, address = sys.argv[1:]


def tell(packet):
    packet = json.loads(packet) if isinstance(packet, str) else packet
    # In one piece: some versions call from several threads, and `print` writes the end of a line by itself.
    report.write(json.dumps(packet, ensure_ascii=False, default=list) + "\n")
    report.flush()


def play_015():
    """CloudLink 0.1.5: a thread of its own, and no greeting."""
    from cloudlink.cloudlink import CloudLink

    player = CloudLink()
    connected = threading.Event()
    player.client(address, on_new_packet=tell, on_connect=connected.set, on_error=lambda error: None)
    connected.wait()
    player.sendPacket({"cmd": "setid", "val": name})
    return player.sendPacket


def play_017():
    """CloudLink 0.1.7: says that it is written in Python."""
    from cloudlink.cloudlink import CloudLink

    player = CloudLink()
    player.callback("on_packet", tell)
    player.callback("on_connect", lambda: player.sendPacket({"cmd": "setid", "val": name}))
    threading.Thread(target=player.client, args=(address,), daemon=True).start()
    return player.sendPacket


def play_018():
    """CloudLink 0.1.8: asyncio; its own `setUsername` fails, so programs sent the packet it would have sent."""
    from cloudlink.cloudlink import Cloudlink

    player = Cloudlink().client()
    loops = []

    async def on_connect():
        loops.append(asyncio.get_running_loop())
        await player.sendPacket({"cmd": "setid", "val": name, "listener": "username_set"})

    async def on_packet(message):
        tell(message)

    player.callback(player.on_connect, on_connect)
    player.callback(player.on_packet, on_packet)
    threading.Thread(target=player.run, args=(address,), daemon=True).start()
    return lambda packet: asyncio.run_coroutine_threadsafe(player.sendPacket(packet), loops[0])


def play_019():
    """CloudLink 0.1.9: shakes hands by itself."""
    from cloudlink.cloudlink import cloudlink

    player = cloudlink().client()
    loops = []

    async def on_connect(client):
        loops.append(asyncio.get_running_loop())
        await client.set_username(name)

    async def on_name(client):
        tell({"cmd": "named", "val": client.client_id})

    async def on_packet(client, message, listener):
        tell(message)

    player.bind_event(player.events.on_connect, on_connect)
    player.bind_event(player.events.on_username_set, on_name)
    methods = player.cl_methods
    for method in (methods.gmsg, methods.pmsg, methods.gvar, methods.pvar, methods.ulist, methods.statuscode):
        player.bind_callback_method(method, on_packet)
    threading.Thread(target=player.run, args=(address,), daemon=True).start()

    def send(packet):
        rest = {key: value for key, value in packet.items() if key not in ("cmd", "listener")}
        quirk = player.supporter.quirk_update_msg
        task = player.send_packet(packet["cmd"], rest, packet.get("listener"), quirk=quirk)
        asyncio.run_coroutine_threadsafe(task, loops[0])

    return send


report, sys.stdout = sys.stdout, sys.stderr  # the old clients print on their own
send = {"0.1.5": play_015, "0.1.7": play_017, "0.1.8": play_018, "0.1.9": play_019}[version[:5]]()
for line in sys.stdin:
    send(json.loads(line))
