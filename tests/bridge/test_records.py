"""Records: reading what another server may send, and writing what it can read."""

from __future__ import annotations

import msgspec
import pytest

from cloudlink.bridge.records import LONGEST_MESSAGE, MOST_RECORDS, Record, Unreadable, read_all, write


def raw(text):
    return msgspec.Raw(text)


@pytest.mark.parametrize(
    "record",
    [
        Record("user", "arena", 3, name="alice"),
        Record("gone", "arena", 3),
        Record("gmsg", "arena", 3, val=raw(b'{"a":1.0}'), left_out=(4, 5)),
        Record("gvar", "arena", 3, name="score", val=raw(b"-0.0"), at=1700000000000, by="ab"),
        Record("pmsg", "arena", 3, 9, val=raw(b'"x"')),
        Record("set", "104", name="☁ x", val=raw(b"1"), at=1, by="ab"),
        Record("ping"),
    ],
)
def test_what_is_written_is_read_again(record):
    (read,) = read_all(b"[%b]" % write(record))

    assert msgspec.structs.replace(read, val=raw(bytes(read.val))) == record
    assert bytes(read.val) == bytes(record.val)


def test_a_value_stays_as_it_was_typed():
    (record,) = read_all(b'[{"type":"gmsg","room":"r","val":{"b": 1.0, "a":\n1e5}}]')

    assert bytes(record.val) == b'{"b": 1.0, "a":\n1e5}'


def test_half_a_surrogate_pair_crosses():
    record = Record("gmsg", "r", val=raw(b'"\\ud800"'))

    (read,) = read_all(b"[%b]" % write(record))

    assert bytes(read.val) == b'"\\ud800"'


@pytest.mark.parametrize(
    "item",
    [
        b'{"type":"unheard of"}',
        b"{}",
        b"7",
        b'{"type":"user","user":-1}',
        b'{"type":"user","user":9007199254740992}',
        b'{"type":"user","user":"x"}',
        b'{"type":"user","name":7}',
        b'{"type":"gvar","at":-1}',
        b'{"type":"gmsg","room":"\\ud800","user":[]}',
    ],
)
def test_an_unknown_or_malformed_record_is_skipped(item):
    assert read_all(b'[%b,{"type":"ping"}]' % item) == [None, Record("ping")]


def test_unknown_keys_are_ignored():
    assert read_all(b'[{"type":"ping","later":1}]') == [Record("ping")]


def test_a_huge_record_is_skipped():
    assert read_all(b'[{"type":"user","name":"%b"}]' % (b"a" * 300_000)) == [None]


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"7",
        b"not JSON",
        b'["\\ud800"',
        b'{"a":"\\ud800"}',
        b"[" * 5000,
        b"[" + b"7," * MOST_RECORDS + b"7]",
        b" " * (LONGEST_MESSAGE + 1),
        b"[\xff]",
    ],
)
def test_a_message_that_is_no_list_of_records_is_unreadable(data):
    with pytest.raises(Unreadable):
        read_all(data)
