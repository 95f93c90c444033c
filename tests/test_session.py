"""`LineSession`: orders, limits, policies, and the table of its states."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio import First, LineSession, Oversize, Service, Session, StateError, StreamTransform, Terminator
from caas_trio.core.buffering import Chunk
from caas_trio.core.session import DEFAULT_PROMPT

from .models import capitals
from .strategies import LIMITS, chunked
from .support.sessions import Echo

PROMPT = b"say something:\n"


def conversation(session: Session, *chunks: bytes, silent: bool = False) -> bytes:
    """Return all that is heard by a client that sends these chunks and ends its output."""
    heard = session.open()
    if silent and session.awaits_silence:
        heard += session.silence()
    for chunk in chunks:
        if not session.closing:
            heard += session.receive(chunk)
    if not session.closing:
        heard += session.end_of_input()
    assert session.closing
    return heard


def opened(**settings: object) -> LineSession:
    session = LineSession(bytes.upper, prompt=PROMPT, **settings)  # type: ignore[arg-type]
    session.open()
    return session


def test_letters_are_raised_and_every_other_byte_is_untouched() -> None:
    every_byte = bytes(byte for byte in range(256) if byte != 0x0A) + b"\n"
    raised = bytes(byte - 32 if 0x61 <= byte <= 0x7A else byte for byte in every_byte)
    assert conversation(LineSession(bytes.upper), every_byte) == raised


def test_crlf_and_an_unterminated_tail_come_back_unchanged() -> None:
    assert conversation(LineSession(bytes.upper), b"hello\r\n\nworld") == b"HELLO\r\n\nWORLD"


def test_empty_input_gets_no_reply() -> None:
    assert conversation(LineSession(bytes.upper)) == b""


@pytest.mark.parametrize("oversize", Oversize)
def test_client_first_is_silent_until_a_line_is_there(oversize: Oversize) -> None:
    session = opened(oversize=oversize)
    assert session.receive(b"hel") == b""
    assert session.receive(b"lo") == b""
    assert session.receive(b"\n") == b"HELLO\n"


def test_server_first_prompts_at_once_and_only_once() -> None:
    session = LineSession(bytes.upper, First.SERVER, PROMPT)
    assert session.open() == PROMPT
    assert not session.awaits_silence
    assert session.receive(b"a\n") + session.receive(b"b") + session.end_of_input() == b"A\nB"


def test_server_first_prompts_a_client_that_sends_nothing() -> None:
    assert conversation(LineSession(bytes.upper, First.SERVER, PROMPT)) == PROMPT


def test_either_prompts_a_silent_client() -> None:
    session = LineSession(bytes.upper, First.EITHER, PROMPT)
    assert session.open() == b""
    assert session.awaits_silence
    assert session.silence() + session.receive(b"a\n") == PROMPT + b"A\n"


def test_either_prompts_once() -> None:
    session = LineSession(bytes.upper, First.EITHER, PROMPT)
    session.open()
    session.silence()
    assert not session.awaits_silence


@pytest.mark.parametrize("speech", [b"a\n", b"a", b"\n", b"\0"])
def test_either_never_prompts_a_client_that_has_spoken(speech: bytes) -> None:
    session = LineSession(bytes.upper, First.EITHER, PROMPT)
    assert session.open() == b""
    session.receive(speech)
    assert not session.awaits_silence
    with pytest.raises(StateError):
        session.silence()


def test_either_does_not_prompt_a_client_that_ends_at_once() -> None:
    assert conversation(LineSession(bytes.upper, First.EITHER, PROMPT)) == b""


def test_an_empty_chunk_is_no_input() -> None:
    session = LineSession(bytes.upper, First.EITHER, PROMPT)
    session.open()
    assert session.receive(b"") == b""
    assert session.awaits_silence


def test_reject_answers_earlier_lines_then_ends() -> None:
    session = opened(max_line=10)
    assert session.receive(b"ok\n" + b"a" * 11) == b"OK\nerror: line longer than 10 bytes\n"
    assert session.closing


def test_a_session_that_has_rejected_a_line_answers_nothing_more() -> None:
    session = opened(max_line=1)
    assert session.receive(b"aa\n") == b"error: line longer than 1 bytes\n"
    with pytest.raises(StateError):
        session.receive(b"b\n")


def test_an_oversize_line_is_noticed_in_a_chunk_of_whole_lines_as_well() -> None:
    session = opened(max_line=10)
    assert session.receive(b"ok\n") == b"OK\n"
    assert session.receive(b"ok\n" + b"a" * 11 + b"\n") == b"OK\nerror: line longer than 10 bytes\n"


def test_discard_answers_in_place_of_the_line_and_goes_on() -> None:
    session = opened(max_line=3, oversize=Oversize.DISCARD)
    assert session.receive(b"a\nabcd") == b"A\nerror: line longer than 3 bytes\n"
    assert session.receive(b"efgh") == b""
    assert session.receive(b"i\nb\n") == b"B\n"


def test_discard_sends_one_error_for_an_oversize_tail() -> None:
    chunks = (b"abcd", b"e")
    session = LineSession(bytes.upper, max_line=3, oversize=Oversize.DISCARD)
    assert conversation(session, *chunks) == b"error: line longer than 3 bytes\n"


def test_stream_answers_an_oversize_line_as_it_comes() -> None:
    session = opened(max_line=3, oversize=Oversize.STREAM)
    assert session.receive(b"abc") == b""
    assert session.receive(b"d") == b"ABCD"
    assert session.receive(b"e") == b"E"
    assert session.receive(b"\nf") == b"\n"


@pytest.mark.parametrize("max_line", [1, 10, 1000, 65536])
def test_one_read_asks_for_a_bounded_number_of_error_lines(max_line: int) -> None:
    session = opened(max_line=max_line, oversize=Oversize.DISCARD)
    line = b"a" * (max_line + 1) + b"\n"
    said = session.receive(line * (session.max_chunk // len(line)))
    assert said.count(b"\n") <= 128
    assert session.max_chunk >= min(262144, 128 * len(line))


def test_one_read_asks_for_a_bounded_number_of_calls() -> None:
    calls: list[bytes] = []

    def service(line: bytes) -> bytes:
        calls.append(line)
        return line

    session = LineSession(service)
    session.open()
    session.receive(b"\n" * session.max_chunk)
    assert len(calls) == session.max_chunk == 8192
    assert opened().max_chunk == 262144


def test_a_line_of_100_mib_in_stream_mode_costs_one_chunk() -> None:
    chunk = b"x" * 65536
    session = opened(oversize=Oversize.STREAM)
    session.receive(chunk)
    tracemalloc.start()
    try:
        for _ in range(1600):
            assert len(session.receive(chunk)) > 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(chunk)  # the buffer, what is taken from it, its capitals: each one chunk


@pytest.mark.parametrize("oversize", Oversize)
@pytest.mark.parametrize(
    ("chunks", "heard"),
    [
        ([b"a\nb\n"], b"A\n"),
        ([b"a", b"\nb\nc"], b"A\n"),
        ([b"a"], b"A"),
        ([b"\n\n"], b"\n"),
    ],
)
def test_once_answers_one_line_and_ends(chunks: list[bytes], heard: bytes, oversize: Oversize) -> None:
    assert conversation(LineSession(bytes.upper, oversize=oversize, once=True), *chunks) == heard


def test_once_counts_an_oversize_line() -> None:
    session = LineSession(bytes.upper, max_line=3, oversize=Oversize.DISCARD, once=True)
    assert conversation(session, b"abcd\nb\n") == b"error: line longer than 3 bytes\n"


def test_once_streams_one_whole_line() -> None:
    session = opened(max_line=3, oversize=Oversize.STREAM, once=True)
    assert session.receive(b"abcd") == b"ABCD"
    assert not session.closing
    assert session.receive(b"ef\ngh\n") == b"EF\n"
    assert session.closing


def test_a_service_gets_single_lines_unless_it_accepts_blocks() -> None:
    seen: list[bytes] = []

    def service(data: bytes) -> bytes:
        seen.append(data)
        return data

    assert conversation(LineSession(service), b"a\n\nb\nc") == b"a\n\nb\nc"
    assert seen == [b"a\n", b"\n", b"b\n", b"c"]
    seen.clear()
    assert conversation(LineSession(StreamTransform(service)), b"a\n\nb\nc") == b"a\n\nb\nc"
    assert seen == [b"a\n\nb\n", b"c"]


def test_a_service_error_is_raised() -> None:
    def service(_: bytes) -> bytes:
        raise ZeroDivisionError

    session = LineSession(service)
    session.open()
    with pytest.raises(ZeroDivisionError):
        session.receive(b"a\n")


@pytest.mark.parametrize("service", [bytes.upper, bytes.title])
@pytest.mark.parametrize("terminator", Terminator)
def test_each_unfinished_line_has_a_number_of_its_own(service: Service, terminator: Terminator) -> None:
    session = LineSession(service, terminator=terminator)
    assert session.open() == b""
    seen = [session.unfinished]
    for _ in range(3):
        for chunk in (b"a", b"b", b"c\r\nd", b"\r\n"):
            session.receive(chunk)
            seen.append(session.unfinished)
    assert seen[0] == seen[4] == seen[8] == seen[12] == 0
    assert [seen[1], seen[5], seen[9]] == [seen[2], seen[6], seen[10]]
    assert len(set(seen)) == 7


def test_oversize_lines_are_counted_and_others_are_not() -> None:
    session = opened(max_line=2, oversize=Oversize.DISCARD, terminator=Terminator.CRLF)
    assert session.oversize_lines == 0
    assert session.receive(b"abc\r\n") == b"error: line longer than 2 bytes\r\n"
    assert session.oversize_lines == 1
    assert session.receive(b"a\n\r\n") == b"error: bare LF in a line, which ends with CR LF\r\n"
    assert session.oversize_lines == 1
    assert session.receive(b"abc\r\nd\r\nabc") == (
        b"error: line longer than 2 bytes\r\nD\r\nerror: line longer than 2 bytes\r\n"
    )
    assert session.oversize_lines == 3
    assert session.closing is False


def test_a_new_session_is_not_closing_and_takes_no_input() -> None:
    session = LineSession(bytes.upper)
    assert session.closing is False
    with pytest.raises(StateError):
        session.receive(b"\n")


def test_nothing_is_kept_between_lines() -> None:
    session = opened()
    assert session.receive(b"a") == b""
    assert session._buffer is not None
    assert session.receive(b"\n") == b"A\n"
    assert session._buffer is None


def test_a_bare_byte_cannot_be_streamed() -> None:
    session = opened(oversize=Oversize.STREAM, terminator=Terminator.CRLF)
    assert session.receive(b"a\r\nb\n") == b"A\r\nerror: bare LF in a line, which ends with CR LF\r\n"
    assert session.closing is True


@pytest.mark.parametrize(
    ("settings", "max_chunk"),
    [
        ({}, 262144),
        ({"service": bytes.lower}, 262144),
        ({"service": StreamTransform(bytes.title)}, 262144),
        ({"service": bytes.title}, 8192),
        ({"oversize": Oversize.STREAM}, 262144),
        ({"oversize": Oversize.DISCARD}, 262144),
        ({"oversize": Oversize.DISCARD, "max_line": 10}, 128 * 12),
        ({"oversize": Oversize.DISCARD, "max_line": 10, "service": bytes.title}, 128 * 12),
        ({"oversize": Oversize.DISCARD, "max_line": 1000, "service": bytes.title}, 8192),
        ({"oversize": Oversize.DISCARD, "terminator": Terminator.CRLF}, 128 * 3),
    ],
)
def test_what_one_read_may_give_is_bounded_by_what_it_may_cost(
    settings: dict[str, Any], max_chunk: int
) -> None:
    assert LineSession(**{"service": bytes.upper, **settings}).max_chunk == max_chunk


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_chunk_may_be_any_buffer(kind: Callable[[bytes | bytearray], Chunk]) -> None:
    memory = bytearray(b"abc\nd")
    session = opened()
    assert session.receive(kind(memory)) == b"ABC\n"
    memory[:] = b"xxxxxx"
    assert session.receive(kind(b"e\n")) == b"DE\n"


@pytest.mark.parametrize("terminator", Terminator)
def test_the_limit_holds_for_each_of_many_short_lines(terminator: Terminator) -> None:
    session = opened(max_line=4, terminator=terminator)
    end = terminator.value
    assert session.receive(b"abcd" + end) == b"ABCD" + end
    assert session.receive(b"a" + end + b"b" + end) == b"A" + end + b"B" + end
    assert session.receive(b"abc") == b""
    assert session.receive(b"d" + end) == b"ABCD" + end
    assert session.receive(b"abc") == b""
    assert session.receive(b"de" + end) == b"error: line longer than 4 bytes" + end
    assert session.closing is True


def test_a_transform_says_what_it_has_held_back_at_the_end() -> None:
    class Held(StreamTransform):
        def end(self) -> bytes:
            return b"held"

    for chunks in ((), (b"a\n",), (b"a",), (b"a\nb",)):
        session = LineSession(Held(bytes.upper))
        assert conversation(session, *chunks) == b"".join(chunks).upper() + b"held"
    assert StreamTransform(bytes.upper).end() == b""


def test_a_plain_service_gets_a_last_line_without_its_end() -> None:
    seen: list[bytes] = []

    def service(line: bytes) -> bytes:
        seen.append(line)
        return b"<" + line + b">"

    assert conversation(LineSession(service, max_line=3), b"a\nb\n", b"c", b"d") == b"<a\n><b\n><cd>"
    assert seen == [b"a\n", b"b\n", b"cd"]


def test_the_default_prompt_differs_from_any_reply() -> None:
    assert DEFAULT_PROMPT.endswith(b"\n")
    assert DEFAULT_PROMPT.upper() != DEFAULT_PROMPT


def test_on_silence_is_optional() -> None:
    session = Echo()
    assert not session.awaits_silence
    assert (session.unfinished, session.oversize_lines) == (0, 0)
    assert session.silence() == b""


CALLS: dict[str, Callable[[LineSession], bytes]] = {
    "open": lambda session: session.open(),
    "receive": lambda session: session.receive(b"a\n"),
    "silence": lambda session: session.silence(),
    "end_of_input": lambda session: session.end_of_input(),
}
ALLOWED = {
    "new": {"open"},
    "opened": {"receive", "silence", "end_of_input"},
    "conversing": {"receive", "end_of_input"},
    "closing": set[str](),
}
REACHED_BY = {
    "new": [],
    "opened": ["open"],
    "conversing": ["open", "receive"],
    "closing": ["open", "receive", "end_of_input"],
}


@pytest.mark.parametrize("first", First)
@pytest.mark.parametrize(("state", "call"), list(itertools.product(ALLOWED, CALLS)))
def test_every_call_in_every_state_has_its_outcome(state: str, call: str, first: First) -> None:
    session = LineSession(bytes.upper, first, PROMPT)
    for step in REACHED_BY[state]:
        CALLS[step](session)
    if call in ALLOWED[state]:
        assert isinstance(CALLS[call](session), bytes)
        assert session.closing == (call == "end_of_input")
    else:
        with pytest.raises(StateError, match=f"^{call} does not fit the state {state}$"):
            CALLS[call](session)


@given(data=st.data(), limit=LIMITS, first=..., oversize=..., once=..., bytewise=...)
def test_the_reply_stream_depends_on_the_bytes_alone(
    *, data: st.DataObject, limit: int, first: First, oversize: Oversize, once: bool, bytewise: bool
) -> None:
    chunks = data.draw(chunked(limit))
    service = bytes.upper if bytewise else lambda line: line.upper()
    session = LineSession(service, first, PROMPT, limit, oversize, once=once)
    expected = capitals(b"".join(chunks), limit, oversize, first=first, prompt=PROMPT, once=once)
    assert conversation(session, *chunks) == expected
    assert len(session._buffer or b"") <= max(map(len, chunks), default=0) + limit


@given(st.data(), LIMITS, st.sampled_from(Oversize))
def test_all_three_orders_give_the_same_replies(data: st.DataObject, limit: int, oversize: Oversize) -> None:
    chunks = data.draw(chunked(limit))
    heard = {
        first: conversation(LineSession(bytes.upper, first, PROMPT, limit, oversize), *chunks, silent=True)
        for first in First
    }
    assert heard[First.SERVER] == heard[First.EITHER] == PROMPT + heard[First.CLIENT]


@pytest.mark.parametrize("first", [First.CLIENT, First.SERVER])
def test_silence_has_no_answer_unless_either_may_begin(first: First) -> None:
    session = LineSession(bytes.upper, first)
    session.open()
    assert session.silence() == b""
    assert session.receive(b"a\n") == b"A\n"
