"""Every public attribute of CloudLink 0.2.0's server and managers is here, or says what takes its place."""

from __future__ import annotations

import logging

import pytest

from cloudlink.server.client import _SUCCESSORS
from cloudlink.server.compat import SUCCESSORS
from tests.support.memoryclients import MemoryClient
from tests.support.servers import build

SERVER = """
version logging logger asyncio ws ujson gen validator async_iterable copy clients_manager rooms_manager exceptions
disabled_commands on_connect_events on_message_events on_disconnect_events on_error_events exception_handlers
disabled_commands_handlers protocol_identified_events protocol_disconnect_events command_handlers suppress_websocket_logs
max_clients ssl_enabled ssl_context enable_ssl run unbind_command on_command on_exception on_disabled_command
on_protocol_identified on_protocol_disconnect on_message on_connect on_disconnect on_error send_packet
send_packet_unicast send_packet_multicast close_connection disable_command enable_command message_processor
connection_handler connection_loop execute_on_disconnect_events execute_on_connect_events execute_on_message_events
execute_on_command_events execute_on_error_events execute_exception_handlers execute_disabled_command_events
execute_protocol_identified_events execute_protocol_disconnect_events execute_unicast execute_multicast
execute_close_single execute_close_multi bind_callback bind_event
"""
CLIENT = """
snowflake id protocol protocol_set rooms username username_set handshake birth_time
remote_address request_headers response_headers path send close open closed
close_code close_reason recv wait_closed ping pong latency ping_interval ping_timeout local_address host port secure origin
subprotocol extensions logger loop max_size transport ws_server ws_handler
"""
MANAGERS = {
    "clients_manager": """
    parent clients snowflakes protocols usernames uuids exceptions logging logger get_snowflakes get_uuids exists add
    remove set_username set_protocol find_obj
    """,
    "rooms_manager": """
    parent rooms exceptions logging logger get create delete exists subscribe unsubscribe find_room find_obj
    generate_userlist get_snowflakes get_uuids get_all_in_rooms get_specific_in_room
    """,
}
EXCEPTIONS = {
    "exceptions": "EmptyMessage InvalidCommand JSONError ValidationError InternalError Overloaded",
    "clients_manager": """
    ClientDoesNotExist ClientAlreadyExists ClientUsernameAlreadySet ClientUsernameNotSet NoResultsFound ProtocolAlreadySet
    """,
    "rooms_manager": "RoomDoesNotExist RoomAlreadyExists RoomNotEmpty NoResultsFound RoomUnsupportedProtocol",
}


@pytest.fixture(scope="module")
def server():
    return build()


@pytest.mark.parametrize("name", SERVER.split())
def test_attributes_of_the_server(server, name):
    if name not in SUCCESSORS:
        assert hasattr(server, name)
        return
    with pytest.raises(AttributeError) as caught:
        getattr(server, name)
    assert (
        str(caught.value)
        == f"{type(server).__name__!r} object has no attribute '{name}' any more: {SUCCESSORS[name]}"
    )


@pytest.mark.parametrize("name", CLIENT.split())
def test_attributes_of_a_client(server, name):
    client = MemoryClient(server).client
    if name not in _SUCCESSORS:
        assert hasattr(client, name)
        return
    with pytest.raises(AttributeError) as caught:
        getattr(client, name)
    assert str(caught.value) == f"'Client' object has no attribute '{name}': {_SUCCESSORS[name]}"


def test_former_attributes_of_a_client_are_free_for_plugins(server):
    client = MemoryClient(server).client
    assert "loop" not in dir(client)
    client.loop = 5
    assert client.loop == 5
    assert "loop" in dir(client)
    del client.loop
    assert not hasattr(client, "loop")


def test_a_client_lacks_other_attributes_without_a_sentence(server):
    with pytest.raises(AttributeError, match=r"^'Client' object has no attribute 'points'$"):
        _ = MemoryClient(server).client.points


def test_nothing_else_has_a_successor():
    assert SUCCESSORS.keys() <= set(SERVER.split())


@pytest.mark.parametrize(
    ("manager", "name"), [(manager, name) for manager in MANAGERS for name in MANAGERS[manager].split()]
)
def test_attributes_of_the_managers(server, manager, name):
    assert hasattr(getattr(server, manager), name)


@pytest.mark.parametrize("of", EXCEPTIONS)
def test_exceptions(server, of):
    holder = getattr(server, of)
    holder = holder if of == "exceptions" else holder.exceptions
    assert all(issubclass(getattr(holder, name), Exception) for name in EXCEPTIONS[of].split())


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_manager_knows_its_server_and_its_log(server, manager):
    found = getattr(server, manager)
    assert (found.parent, found.logging, found.logger) == (server, logging, server.logger)
