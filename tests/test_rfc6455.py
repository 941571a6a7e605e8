"""Messages are put together from fragments as RFC 6455 asks."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.rfc6455 import Assembler, Violation, answer_to_close, fitting_reason, whole_text

CONTINUATION, TEXT, BINARY = 0, 1, 2


def test_a_whole_text_is_returned_as_it_is():
    assert whole_text("grün".encode(), 10) == "grün".encode()


@pytest.mark.parametrize("data", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_text_that_is_not_utf8_is_refused(data):
    with pytest.raises(Violation) as refused:
        whole_text(data, 10)
    assert refused.value.code == 1007


def test_a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not():
    assert whole_text(b"12345", 5) == b"12345"
    with pytest.raises(Violation) as refused:
        whole_text(b"123456", 5)
    assert refused.value.code == 1009
    assert "5 bytes" in refused.value.reason


def test_the_limit_is_that_of_the_message_not_of_the_fragment():
    assembler = Assembler(5)
    assert assembler.add(TEXT, fin=False, data=b"123") is None
    with pytest.raises(Violation) as refused:
        assembler.add(CONTINUATION, fin=False, data=b"456")
    assert refused.value.code == 1009


def test_a_fragment_that_cannot_become_utf8_is_refused_before_the_message_ends():
    assembler = Assembler(10)
    with pytest.raises(Violation) as refused:
        assembler.add(TEXT, fin=False, data=b"\xff")
    assert refused.value.code == 1007


def test_a_character_may_be_cut_in_two_but_must_be_finished():
    assembler = Assembler(10)
    assert assembler.add(TEXT, fin=False, data=b"\xc3") is None
    assert assembler.add(CONTINUATION, fin=True, data=b"\xbc") == (True, "ü".encode())
    assembler.add(TEXT, fin=False, data=b"\xc3")
    with pytest.raises(Violation):
        assembler.add(CONTINUATION, fin=True, data=b"")


@pytest.mark.parametrize("frames", [[CONTINUATION], [TEXT, TEXT], [BINARY, TEXT]])
def test_fragments_out_of_order_are_refused(frames):
    assembler = Assembler(10)
    for opcode in frames[:-1]:
        assembler.add(opcode, fin=False, data=b"x")
    with pytest.raises(Violation) as refused:
        assembler.add(frames[-1], fin=False, data=b"x")
    assert refused.value.code == 1002


@given(text=st.text(max_size=50), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_any_way_of_cutting_gives_the_message_back(text, cuts):
    data = text.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(places)]
    assembler = Assembler(1000)
    results = [
        assembler.add(CONTINUATION if index else TEXT, fin=index == len(parts) - 1, data=part)
        for index, part in enumerate(parts)
    ]
    assert results[:-1] == [None] * (len(parts) - 1)
    assert results[-1] == (True, data)
    assert not assembler.busy


@given(reason=st.text(max_size=200))
def test_a_reason_fits_into_a_close_frame_and_is_cut_between_two_characters(reason):
    cut = fitting_reason(reason)
    assert len(cut) <= 123
    assert reason.startswith(cut.decode())
    assert len(cut) >= min(len(reason.encode()), 120)  # no more is lost than one character


def test_a_reason_that_is_no_text_is_sent_as_far_as_it_is():
    assert fitting_reason("half a pair: \ud83d!") == b"half a pair: ?!"


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 1014, 3000, 4999])
def test_a_close_is_answered_with_its_own_code(code):
    assert answer_to_close(code) == code


def test_a_close_without_a_code_is_a_normal_one():
    assert answer_to_close(None) == 1000


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000, 65535])
def test_a_code_that_may_not_be_sent_is_not_sent_back(code):
    assert answer_to_close(code) == 1002
