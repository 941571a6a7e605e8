"""The mutual proof of a secret: what convinces the other side, and what does not."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from cloudlink.bridge.proof import CalledHandshake, CallerHandshake, HandshakeError, is_first_message, key_of

KEY = key_of("a secret of enough")
OTHER = key_of("another secret of enough")


def test_both_sides_prove_the_secret():
    caller, called = CallerHandshake(KEY), CalledHandshake({"x": OTHER, "b": KEY})

    nonce = called.received(caller.first)
    proof = caller.received(nonce)
    assert not caller.is_done
    last = called.received(proof)
    assert caller.received(last) == ""

    assert caller.is_done
    assert called.bridge == "b"


def test_the_frames_are_those_of_the_protocol():
    caller, called = CallerHandshake(KEY, "a" * 32), CalledHandshake({"b": KEY}, "b" * 32)

    assert json.loads(caller.first) == {"bridge": 1, "nonce": "a" * 32}
    assert json.loads(called.received(caller.first)) == {"nonce": "b" * 32}
    proof = caller.received(json.dumps({"nonce": "b" * 32}))
    key = hashlib.scrypt(b"a secret of enough", salt=b"cloudlink bridge 1", n=2**14, r=8, p=1, dklen=32)
    nonces = f"{'a' * 32}|{'b' * 32}"
    assert json.loads(proof) == {"proof": hmac.new(key, f"caller|{nonces}".encode(), "sha256").hexdigest()}
    answer = called.received(proof)
    assert json.loads(answer) == {"proof": hmac.new(key, f"called|{nonces}".encode(), "sha256").hexdigest()}


def test_a_wrong_secret_is_refused():
    caller, called = CallerHandshake(OTHER), CalledHandshake({"b": KEY})

    proof = caller.received(called.received(caller.first))
    with pytest.raises(HandshakeError) as refused:
        called.received(proof)

    assert (refused.value.code, refused.value.reason) == (1008, "The bridge secret is wrong")
    assert called.bridge == ""


def test_a_recorded_proof_is_worth_nothing():
    caller, called = CallerHandshake(KEY), CalledHandshake({"b": KEY})
    recorded = [caller.first, caller.received(called.received(caller.first))]

    again = CalledHandshake({"b": KEY})
    again.received(recorded[0])
    with pytest.raises(HandshakeError, match="secret is wrong"):
        again.received(recorded[1])


def test_the_callers_own_proof_sent_back_does_not_convince_it():
    caller = CallerHandshake(KEY)

    proof = caller.received(json.dumps({"nonce": "b" * 32}))
    with pytest.raises(HandshakeError, match="does not know the secret"):
        caller.received(proof)

    assert not caller.is_done


def test_nothing_that_depends_on_the_secret_is_sent_to_a_caller_that_has_not_proved_it():
    one, other = CalledHandshake({"b": KEY}, "b" * 32), CalledHandshake({"b": OTHER}, "b" * 32)
    first = CallerHandshake(KEY).first

    assert one.received(first) == other.received(first)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"bridge":2,"nonce":"' + "a" * 32 + '"}',
            "This server speaks version 1 of the protocol of bridges",
        ),
        ('{"bridge":1,"nonce":"short"}', "A nonce has 32 to 128 hexadecimal digits"),
        ('{"bridge":1,"nonce":7}', "A nonce has 32 to 128 hexadecimal digits"),
        ('{"bridge":1}', "A nonce has 32 to 128 hexadecimal digits"),
        ("[]", "A message of the handshake is not a JSON object"),
        ("not JSON", "A message of the handshake is not a JSON object"),
        ('{"bridge":1,"nonce":"' + "a" * 2000 + '"}', "A message of the handshake is too long"),
    ],
)
def test_a_malformed_first_message_is_refused(text, reason):
    with pytest.raises(HandshakeError) as refused:
        CalledHandshake({"b": KEY}).received(text)

    assert refused.value.reason == reason


@pytest.mark.parametrize("proof", ['{"proof":null}', '{"proof":"é"}', "{}", '{"proof":""}'])
def test_half_a_proof_is_refused(proof):
    called = CalledHandshake({"b": KEY})
    called.received(CallerHandshake(KEY).first)

    with pytest.raises(HandshakeError, match="secret is wrong"):
        called.received(proof)


@pytest.mark.parametrize("text", ["Unable to identify protocol", '{"nonce":"x"}', "{}", "null"])
def test_a_caller_notices_that_the_other_side_is_no_bridge(text):
    with pytest.raises(HandshakeError):
        CallerHandshake(KEY).received(text)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"bridge":1,"nonce":"a"}', True),
        (b' {"bridge":2}', True),
        (b'{"cmd":"handshake"}', False),
        (b"[1]", False),
        (b"{", False),
        (b'{"bridge":"' + b"a" * 2000 + b'"}', False),
    ],
)
def test_the_first_message_of_a_bridge_is_recognised(data, expected):
    assert is_first_message(data) is expected
