"""One process of a server of several: `cloudlink.cli.workers` starts it with the descriptor of its `Control`.

It gets its settings and sockets from there, so that all workers have the same, and runs the same server as
`cloudlink serve` does in one process. When that process is gone, it stops.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudlink.carriers.sockets import SocketCarrier
from cloudlink.cli import logs, serve
from cloudlink.cli.control import Control, from_file
from cloudlink.errors import StartError
from cloudlink.server.part import Part
from cloudlink.settings import Settings
from cloudlink.sharedcounts import SharedCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.cli.control import Message


def main(descriptor: int) -> int:
    """Run a worker and return its exit status."""
    control = Control.inherited(descriptor)
    received = control.receive()
    if received is None:
        return 1
    message, descriptors = received
    content = from_file(descriptors.pop(0))
    settings = Settings(**content["settings"], origins=content["origins"], warnings=content["warnings"])
    logs.set_up(settings)
    if not content["hangup_means_stop"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under `nohup`; the server then sets its own handler
    try:
        carrier: SocketCarrier = SocketCarrier(
            lambda: _watch(control, carrier, server.reloader.reload_or_log)
        )
        part = _part(message, descriptors, carrier, control)
        server = serve.build(settings, content["source"], part)
        if settings.cluster:  # NATS joins the workers, so nobody starts the carrier
            server.hooks.protocol_start.append(
                lambda _call_soon: _watch(control, None, server.reloader.reload_or_log)
            )
        server.serve()
    except StartError as error:
        _report(control, {"failed": str(error)})
        return 1
    return 0


def _part(message: Message, descriptors: list[int], carrier: SocketCarrier, control: Control) -> Part:
    memory, *sockets = descriptors
    counts = SharedCounts(memory, message["number"], message["count"])
    opened = [socket.socket(fileno=each) for each in sockets]
    for each in opened:
        each.setblocking(False)
    return Part(
        number=message["number"],
        count=message["count"],
        speaks=message["speaks"],
        is_successor=message["is_successor"],
        sockets=opened,
        counts=counts,
        carrier=carrier,
        tell_ready=lambda: _report(control, {"ready": True}),
        tell_reloaded=lambda: _report(control, {"reloaded": True}),
    )


def _watch(control: Control, carrier: SocketCarrier | None, reload: Callable[[], None]) -> None:
    """Read what the starting process sends, from now on."""
    control.stop_waiting()
    asyncio.get_running_loop().add_reader(control.fileno(), _read, control, carrier, reload)
    _read(control, carrier, reload)


def _read(control: Control, carrier: SocketCarrier | None, reload: Callable[[], None]) -> None:
    """Join the workers that are announced if there is a carrier, reload when asked to; stop if the starting process is gone."""
    with suppress(BlockingIOError):
        while (received := control.receive()) is not None:
            message, descriptors = received
            if message.get("reload"):
                reload()
            elif carrier is not None:
                carrier.join(socket.socket(fileno=descriptors[0]))
            else:
                os.close(descriptors[0])
        asyncio.get_running_loop().remove_reader(control.fileno())
        os.kill(os.getpid(), signal.SIGTERM)


def _report(control: Control, message: dict[str, Any]) -> None:
    with suppress(OSError):  # the other process is gone
        control.send(message)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
