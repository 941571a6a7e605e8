"""Runs the Autobahn test suite's cases against an echo session on CloudLink's own transport.

`python -m tests.autobahn` runs cases 1 to 7 and 9 (the limits and performance cases);
`python -m tests.autobahn --quick` leaves out 9. Exit status 1 if a case fails. Cases 12 and 13 test
compression, which CloudLink does not offer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter

from kosoku import FailureError, run_fuzzingclient

from cloudlink.delivery import Delivery, Outbox, text_frame
from cloudlink.http import Routes
from cloudlink.settings import Settings
from cloudlink.transport import Endpoint

_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*")
_LIMITS_CASES = ("9.*",)
_LARGEST_CASE = 16 << 20
_BINARY = 0x82


class EchoSession:
    """Sends every message back."""

    def __init__(self, connection, delivery):
        self._delivery = delivery
        self._outbox = Outbox(connection)

    def receive(self, data):
        self.send_frame(text_frame(data))

    def receive_binary(self, data):
        frame = text_frame(data)
        self.send_frame(bytes((_BINARY,)) + frame[1:])

    def admit(self, _size):
        return True

    def grown(self, _size):
        pass

    def send_frame(self, frame):
        self._delivery.send(self._outbox, frame)

    def close(self, code, reason):
        self._delivery.close(self._outbox, code, reason)

    def writable(self):
        self._delivery.resume(self._outbox)

    def connection_lost(self):
        self._outbox.clear()


async def run(cases, concurrency):
    """Run cases against a fresh echo endpoint and return their results."""
    delivery = Delivery(asyncio.get_running_loop().call_later)
    endpoint = Endpoint(
        Settings(max_message_size=_LARGEST_CASE),
        lambda connection: EchoSession(connection, delivery),
        Routes(),
    )
    await endpoint.start("127.0.0.1", 0)
    try:
        return await run_fuzzingclient(
            f"ws://127.0.0.1:{endpoint.port}", list(cases), concurrency=concurrency
        )
    except FailureError as failure:
        return failure.results
    finally:
        endpoint.stop_accepting()
        await endpoint.finish(1.0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="leave out the limits and performance cases")
    arguments = parser.parse_args()
    results = asyncio.run(run(_CASES, concurrency=4))
    if not arguments.quick:
        results += asyncio.run(run(_LIMITS_CASES, concurrency=1))
    failed = [result for result in results if not result.passed]
    for result in failed:
        print(f"case {result.case_id}: {result.behavior.value}, close {result.behavior_close.value}")
        print(f"  {result.result} {result.result_close}")
    print(dict(Counter(result.behavior.value for result in results)))
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
