"""Sessions whose messages are pulled: servers that process messages themselves."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.server.app import Server
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.pull_session import PullSession
from cloudlink.server.session import Session
from cloudlink.settings import Settings
from tests.support.memoryclients import MemoryClient, codes, turns
from tests.support.servers import listening


class Shouting(Server):
    """Overrides how one message is processed."""

    async def message_processor(self, client, message):
        if isinstance(message, str):
            message = message.replace("quiet", "LOUD")
        await super().message_processor(client, message)


class Reading(Server):
    """Overrides the loop, reading message by message."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read = []
        self.ended = []

    async def connection_loop(self, client):
        try:
            while True:
                self.read.append(await client.recv())
        except ConnectionError as error:
            self.ended.append(str(error))


class Iterating(Reading):
    """Overrides the loop, iterating over the messages."""

    async def connection_loop(self, client):
        async for message in client:
            self.read.append(message)
        self.ended.append("the iteration ended")


class Hanging(Server):
    """Never reads."""

    async def connection_loop(self, client):
        await asyncio.Event().wait()


def pulling(kind=Server):
    server = kind(Settings(implicit_greeting=False, shutdown_timeout=0.0))
    Clpv4(server)
    return server


def run(server, scenario):
    """Run a scenario while the server listens, which is when it looks for overridden methods."""

    async def main():
        async with listening(server):
            await scenario()

    asyncio.run(main())


def test_a_server_that_overrides_nothing_has_plain_sessions():
    server = pulling()

    async def scenario():
        assert type(MemoryClient(server).session) is Session

    run(server, scenario)


@pytest.mark.parametrize("where", ["in a subclass", "on an instance"])
def test_message_processor_may_be_overridden(where):
    server = pulling(Shouting if where == "in a subclass" else Server)
    if where == "on an instance":

        async def shout(client, message):
            await Server.message_processor(server, client, message.replace("quiet", "LOUD"))

        server.message_processor = shout

    async def scenario():
        visitor = MemoryClient(server)
        assert isinstance(visitor.session, PullSession)
        visitor.say({"cmd": "gmsg", "val": "quiet"})
        assert visitor.heard() == []
        await turns()
        assert visitor.heard() == [{"cmd": "gmsg", "val": "LOUD", "rooms": "default"}]

    run(server, scenario)


def test_binary_messages_are_processed_as_bytes():
    server = pulling(Shouting)

    async def scenario():
        visitor = MemoryClient(server, b'{"cmd":"gmsg","val":"quiet"}')
        await turns()
        assert visitor.heard() == [{"cmd": "gmsg", "val": "quiet", "rooms": "default"}]

    run(server, scenario)


@pytest.mark.parametrize(
    ("kind", "end"), [(Reading, "the client is gone"), (Iterating, "the iteration ended")]
)
def test_connection_loop_may_be_overridden(kind, end):
    server = pulling(kind)

    async def scenario():
        visitor = MemoryClient(server, "one", b"two", "three")
        await turns()
        assert server.read == ["one", b"two", "three"]
        assert server.ended == []
        visitor.say("four")
        visitor.leave()
        await turns()
        assert server.read == ["one", b"two", "three", "four"]
        assert server.ended == [end]
        assert visitor.heard() == []

    run(server, scenario)


def test_connection_loop_may_be_overridden_on_an_instance():
    server = pulling()
    read = []

    async def loop(client):
        read.append(await client.recv())
        read.append(await client.recv())

    server.connection_loop = loop

    async def scenario():
        visitor = MemoryClient(server, "one")
        await turns()
        assert visitor.closed is None
        visitor.say("two")
        await turns()
        assert read == ["one", "two"]
        assert visitor.closed == (1000, "")

    run(server, scenario)


@pytest.mark.parametrize("where", ["in a subclass", "on an instance"])
def test_a_client_is_disconnected_when_its_connection_handler_returns(where):
    seen = []

    class Brief(Server):
        async def connection_handler(self, client):
            seen.append(client)

    server = pulling(Brief if where == "in a subclass" else Server)
    if where == "on an instance":

        async def brief(client):
            seen.append(client)

        server.connection_handler = brief

    async def scenario():
        visitor = MemoryClient(server)
        assert visitor.closed is None
        await turns()
        assert seen == [visitor.client]
        assert visitor.closed == (1000, "")
        assert len(server.clients_manager) == 0

    run(server, scenario)


def test_connection_handler_may_wrap_the_original():
    seen = []

    class Wrapping(Server):
        async def connection_handler(self, client):
            seen.append("begins")
            await super().connection_handler(client)
            seen.append("ends")

    server = pulling(Wrapping)

    async def scenario():
        visitor = MemoryClient(server, {"cmd": "ping"})
        await turns()
        assert codes(visitor.heard()) == [100]
        assert seen == ["begins"]
        visitor.leave()
        await turns()
        assert seen == ["begins", "ends"]

    run(server, scenario)


@pytest.mark.parametrize("error", [RuntimeError("broken override"), SystemExit(2)])
@pytest.mark.parametrize("place", ["connection_handler", "connection_loop", "message_processor"])
def test_an_override_that_raises_costs_only_its_own_client(place, error, caplog):
    server = pulling()

    async def fail(client, *_message):
        if client.path == "/bad":
            raise error
        await getattr(Server, place)(server, client, *_message)

    setattr(server, place, fail)

    async def scenario():
        bad, good = MemoryClient(server, path="/bad"), MemoryClient(server)
        bad.say({"cmd": "ping"})
        good.say({"cmd": "ping"})
        await turns()
        assert bad.closed == (1000, "")
        assert codes(good.heard()) == [100]
        assert good.closed is None
        assert server.clients_manager.clients == {good.client}

    run(server, scenario)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info[1] is error
    line = fail.__code__.co_firstlineno
    assert record.getMessage().startswith(
        f"Handler fail (tests/server/test_pull_session.py, line {line}) raised "
    )
    assert record.getMessage().endswith(", which is disconnected.")


def test_too_many_unread_messages_end_a_connection():
    server = pulling(Hanging)

    async def scenario():
        visitor = MemoryClient(server, *["{}"] * 1024)
        assert visitor.closed is None
        visitor.say("{}")
        assert visitor.closed == (1008, "Too many messages are waiting to be processed")
        visitor.say("{}")
        assert len(server.clients_manager) == 0

    run(server, scenario)


@pytest.mark.parametrize("message", ["x" * 1_000_000, b"x" * 1_000_000], ids=["text", "binary"])
def test_too_much_unread_ends_a_connection_however_few_messages_it_is(message):
    server = pulling(Hanging)

    async def scenario():
        visitor = MemoryClient(server, *[message] * 9)
        assert visitor.closed is None
        visitor.say(message)
        assert visitor.closed == (1008, "Too many messages are waiting to be processed")

    run(server, scenario)


def test_read_messages_do_not_count_as_unread():
    server = pulling(Reading)

    async def scenario():
        visitor = MemoryClient(server)
        for _ in range(20):
            visitor.say("x" * 1_000_000)
            await turns(3)
        assert visitor.closed is None
        assert len(server.read) == 20

    run(server, scenario)


def test_messages_that_are_still_unread_when_the_client_goes_come_to_nothing():
    server = pulling(Shouting)
    seen = []
    server.on_message(lambda client, message: seen.append(message))

    async def scenario():
        visitor = MemoryClient(server, {"cmd": "ping"})
        await turns()
        visitor.session.receive(b'{"cmd":"ping"}')
        visitor.leave()
        await turns()
        assert len(seen) == 1

    run(server, scenario)


def test_recv_tells_that_the_client_is_gone():
    server = pulling(Hanging)

    async def scenario():
        visitor = MemoryClient(server)
        visitor.leave()
        with pytest.raises(ConnectionError, match="gone"):
            await visitor.client.recv()

    run(server, scenario)


def test_recv_tells_that_the_client_is_gone_as_often_as_it_is_asked():
    server = pulling(Hanging)

    async def scenario():
        visitor = MemoryClient(server)
        visitor.leave()
        with pytest.raises(ConnectionError):
            await visitor.client.recv()
        asked_again = asyncio.ensure_future(visitor.client.recv())
        await turns()
        assert asked_again.done()
        assert isinstance(asked_again.exception(), ConnectionError)

    run(server, scenario)


def test_a_connection_that_is_turned_away_is_not_pulled():
    server = pulling(Reading)
    server.max_clients = 1

    async def scenario():
        MemoryClient(server)
        second = MemoryClient(server)
        assert second.heard() == ["Server is full!"]
        second.say("hello")
        await turns()
        assert server.read == []

    run(server, scenario)
