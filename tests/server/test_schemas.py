"""Protocols that plugins bring along: a schema class of Cerberus rules, and handlers."""

from __future__ import annotations

import pytest

from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.schemas import validation_errors
from tests.support.memoryclients import MemoryClient, codes
from tests.support.servers import build


class Calculator:
    """{"do": "add", "numbers": [1, 2]}."""

    command_key = "do"
    default = {  # noqa: RUF012  # as plugins write it
        "do": {"type": "string", "required": True},
        "numbers": {"type": "list", "schema": {"type": "number"}, "required": True},
    }


class Loose:
    """A protocol of any object; it has no rules."""

    command_key = "what"


WORDS = ("EmptyMessage", "JSONError", "ValidationError", "InvalidCommand", "InternalError", "Overloaded")


class Witness:
    """Notes down everything a plugin can hear of."""

    def __init__(self, server, schema):
        self.seen = []
        server.on_protocol_identified(schema)(lambda client: self.seen.append(("identified",)))
        server.on_protocol_disconnect(schema)(lambda client: self.seen.append(("gone",)))
        server.on_message(lambda client, message: self.seen.append(("message", message)))
        server.on_error(lambda client, errors: self.seen.append(("error", errors)))
        server.on_disabled_command(schema)(lambda client, cmd: self.seen.append(("disabled", cmd)))
        for word in WORDS:
            server.on_exception(getattr(server.exceptions, word), schema)(
                lambda client, details, word=word: self.seen.append((word, details))
            )

    def take(self):
        seen, self.seen = self.seen, []
        return seen


@pytest.fixture
def server():
    server = build({"byte_burst": 1024, "byte_rate": 0.001})

    @server.on_command("add", Calculator)
    def add(client, message):
        server.send_packet(client, {"result": sum(message["numbers"])})

    return server


@pytest.fixture
def witness(server):
    return Witness(server, Calculator)


@pytest.fixture
def visitor(server, witness):
    visitor = MemoryClient(server, {"do": "add", "numbers": []})
    witness.take()
    return visitor


ADD = {"do": "add", "numbers": [1, 2.5]}


@pytest.mark.parametrize(
    "register",
    [
        lambda server, schema: server.on_command("add", schema),
        lambda server, schema: server.on_exception(server.exceptions.InvalidCommand, schema),
        lambda server, schema: server.on_disabled_command(schema),
        lambda server, schema: server.on_protocol_identified(schema),
        lambda server, schema: server.on_protocol_disconnect(schema),
    ],
    ids=["command", "exception", "disabled command", "identified", "disconnect"],
)
def test_the_first_handler_of_any_kind_makes_a_protocol_known(register):
    server = build()
    register(server, Calculator)(lambda *arguments: None)
    assert MemoryClient(server, ADD).client.protocol is Calculator
    with pytest.raises(TypeError, match="schema is the protocol itself"):
        register(server, Clpv4)(lambda *arguments: None)


def test_the_first_message_that_satisfies_the_rules_decides(server, witness):
    visitor = MemoryClient(server)
    assert visitor.ask(ADD) == [{"result": 3.5}]
    assert visitor.client.protocol is Calculator
    assert visitor.client.rooms == set()
    assert server.clients_manager.protocols == {Calculator: {visitor.client}}
    assert witness.take() == [("identified",), ("message", ADD)]
    visitor.leave()
    assert witness.take() == [("gone",)]


@pytest.mark.parametrize("message", [{"do": "add"}, {"numbers": [1]}, {"do": 5, "numbers": [1]}, "[1]", "5"])
def test_a_first_message_that_does_not_belongs_to_nobody(server, witness, message):
    visitor = MemoryClient(server)
    assert visitor.ask(message) == ["Unable to identify protocol"]
    assert visitor.closed == (1000, "Unable to identify protocol")
    assert witness.take() == [("error", "Unable to identify protocol")]


def test_cloudlink_4_comes_first(server):
    visitor = MemoryClient(server, {"cmd": "ping"} | ADD)
    assert visitor.client.protocol is Clpv4.schema


def test_a_protocol_without_rules_takes_any_object(server):
    seen = []
    server.bind_callback("look", Loose, lambda client, message: seen.append(message))
    visitor = MemoryClient(server, {"what": "look", "where": "here"})
    assert visitor.client.protocol is Loose
    assert seen == [{"what": "look", "where": "here"}]
    assert MemoryClient(server, "[]").closed == (1000, "Unable to identify protocol")


def test_a_binary_message_is_taken_as_text(visitor, witness):
    assert visitor.ask(b'{"do":"add","numbers":[2]}') == [{"result": 2}]
    assert visitor.ask(b"\xff") == []
    assert [name for name, _ in witness.take()] == ["message", "JSONError", "error"]


def test_an_empty_message_is_reported_to_the_plugin_only(visitor, server, witness):
    assert visitor.ask("") == []
    error = server.exceptions.EmptyMessage
    assert witness.take() == [("EmptyMessage", "Empty message"), ("error", error)]


@pytest.mark.parametrize("message", ["hello", "{", "NaN", '{"do":"add","numbers":[01]}'])
def test_invalid_json_is_reported_to_the_plugin_only(visitor, witness, message):
    assert visitor.ask(message) == []
    (kind, details), (word, error) = witness.take()
    assert (kind, word) == ("JSONError", "error")
    assert isinstance(details, ValueError)
    assert error is details
    assert visitor.closed is None


@pytest.mark.parametrize(
    ("message", "errors"),
    [
        ({"do": "add", "numbers": "many"}, {"numbers": ["must be of list type"]}),
        ({"do": "add"}, {"numbers": ["required field"]}),
        ({"do": "add", "numbers": ["1"]}, {"numbers": [{0: ["must be of number type"]}]}),
        ("[1]", {"": ["must be an object"]}),
        ("null", {"": ["must be an object"]}),
    ],
)
def test_an_invalid_packet_is_reported_with_its_errors(visitor, witness, message, errors):
    assert visitor.ask(message) == []
    assert witness.take() == [("ValidationError", errors), ("error", errors)]


def test_keys_without_a_rule_are_fine(visitor):
    assert visitor.ask(ADD | {"note": "for the homework"}) == [{"result": 3.5}]


@pytest.mark.parametrize("name", ["divide", "", "ping", "gmsg"])
def test_a_command_that_does_not_exist_is_reported(visitor, witness, name):
    assert visitor.ask({"do": name, "numbers": []}) == []
    assert witness.take() == [("InvalidCommand", name), ("error", f"{name} is an invalid command.")]


@pytest.mark.parametrize("command", [None, 5, ["look"], {"a": 1}])
def test_a_command_that_is_no_text_does_not_exist(server, command):
    witness = Witness(server, Loose)
    server.bind_callback("look", Loose, lambda client, message: None)
    MemoryClient(server, {"what": command})
    assert ("InvalidCommand", command) in witness.take()


def test_a_command_that_is_switched_off_is_reported(visitor, server, witness):
    server.disable_command("add", Calculator)
    assert visitor.ask(ADD) == []
    assert witness.take() == [("disabled", "add")]
    server.enable_command("add", Calculator)
    assert visitor.ask(ADD) == [{"result": 3.5}]


def test_a_command_that_was_unbound_does_not_exist(visitor, server, witness):
    server.unbind_command("add", Calculator)
    assert visitor.ask(ADD) == []
    assert witness.take()[0] == ("InvalidCommand", "add")


def test_a_handler_that_raises_is_reported_and_the_client_hears_nothing(visitor, server, witness, caplog):
    @server.on_command("add", Calculator)
    def fail(client, message):
        raise ZeroDivisionError("oh")

    assert visitor.ask(ADD) == [{"result": 3.5}]
    details = "ZeroDivisionError('oh')"
    assert witness.take() == [("InternalError", details), ("error", details), ("message", ADD)]
    assert caplog.records[0].exc_info[0] is ZeroDivisionError
    assert visitor.closed is None


def test_a_client_that_sends_too_much_is_reported_once_a_second_and_hears_nothing(visitor, witness):
    visitor.say(ADD | {"padding": "x" * 5000})
    witness.take()
    assert visitor.ask(ADD, ADD, b"{}") == []
    why = "You are sending too much; this packet was dropped."
    assert witness.take() == [("Overloaded", why), ("error", why)]
    assert visitor.closed is None


def test_a_slow_reader_is_closed_with_1013(visitor):
    visitor.session.close_for_reading_slowly()
    assert visitor.closed[0] == 1013


def test_both_protocols_live_side_by_side(server, visitor):
    cl4 = MemoryClient(server)
    cl4.say({"cmd": "handshake"})
    assert codes(cl4.ask(ADD)) == [101]
    assert cl4.ask({"cmd": "gmsg", "val": 1}) == [{"cmd": "gmsg", "val": 1, "rooms": "default"}]
    assert visitor.heard() == []
    assert cl4.ask({"cmd": "direct", "id": visitor.client.uuid, "val": 1})[0]["code_id"] == 103


def test_a_plugins_client_can_be_put_into_rooms_and_gets_no_cloudlink_4_packets(server, visitor):
    server.rooms_manager.subscribe(visitor.client, "default")
    cl4 = MemoryClient(server, {"cmd": "setid", "val": "alice"}, {"cmd": "gmsg", "val": 1})
    cl4.leave()
    assert visitor.heard() == []
    visitor.leave()
    assert server.rooms_manager.rooms == {}


def test_validation_tells_what_is_wrong():
    rules = {"a": {"type": "integer", "required": True}}
    assert validation_errors({"a": 1, "b": 2}, rules) == {}
    assert validation_errors({"a": 1, "b": 2}, rules, allow_unknown=False) == {"b": ["unknown field"]}
    assert validation_errors({}, rules) == {"a": ["required field"]}
    assert validation_errors([], rules) == {"": ["must be an object"]}
