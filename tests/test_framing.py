"""`LineBuffer`: what a line is, the limit, the bounds on memory and work."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from caas_trio import BareTerminator, LimitError, LineBuffer, LineTooLong, StateError, Terminator

from .models import NaiveLineBuffer, NaiveStrictBuffer
from .strategies import AWKWARD, COUNTS, LIMITS, chunked, inputs
from .support.counting import Counting


def drain(buffer: LineBuffer) -> list[bytes | str]:
    """Take line by line until nothing comes back; an oversize line is a word in the list."""
    taken: list[bytes | str] = []
    while True:
        try:
            line = buffer.next_line()
        except LineTooLong:
            taken.append("oversize")
            continue
        if line is None:
            return taken
        taken.append(line)


def lines(data: bytes, max_line: int) -> list[bytes | str]:
    """Return what `drain` ought to give for the whole of `data`, its end included."""
    found = re.findall(rb"[^\n]*\n|[^\n]+", data)
    return ["oversize" if len(line.removesuffix(b"\n")) > max_line else line for line in found]


def test_a_line_comes_back_whole_with_its_terminator() -> None:
    buffer = LineBuffer()
    buffer.feed(b"one\r\ntwo\n\nthr")
    assert drain(buffer) == [b"one\r\n", b"two\n", b"\n"]
    buffer.feed(b"ee\n")
    assert drain(buffer) == [b"three\n"]


@pytest.mark.parametrize("byte", sorted(set(range(256)) - {0x0A}))
def test_no_byte_but_lf_ends_a_line(byte: int) -> None:
    buffer = LineBuffer()
    buffer.feed(bytes([byte]))
    assert drain(buffer) == []
    buffer.feed(b"\n")
    assert drain(buffer) == [bytes([byte, 0x0A])]


def test_the_end_of_input_makes_the_rest_a_last_line_once() -> None:
    buffer = LineBuffer()
    buffer.feed(b"tail")
    assert drain(buffer) == []
    buffer.end_of_input()
    assert buffer.ended
    assert drain(buffer) == [b"tail"]
    assert drain(buffer) == []


def test_a_terminated_input_has_no_further_last_line() -> None:
    buffer = LineBuffer()
    buffer.feed(b"line\n")
    buffer.end_of_input()
    assert drain(buffer) == [b"line\n"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(LimitError, match="max_line"):
        LineBuffer(limit)
    buffer = LineBuffer(5)
    with pytest.raises(LimitError, match="max_line"):
        buffer.max_line = limit
    assert buffer.max_line == 5


def test_a_terminator_that_changes_counts_at_once() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"a\rb")
    assert buffer.next_line() is None
    buffer.terminator = Terminator.CRLF
    assert buffer.terminator is Terminator.CRLF
    with pytest.raises(BareTerminator, match=r"^bare CR"):
        buffer.next_line()
    buffer.feed(b"\r\nc\rd\n")
    buffer.terminator = Terminator.LF
    assert drain(buffer) == [b"c\rd\n"]


def test_exactly_the_limit_passes_and_one_more_is_oversize_at_once() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"abc")
    assert buffer.next_line() is None
    buffer.feed(b"\n")
    assert buffer.next_line() == b"abc\n"
    buffer.feed(b"abcd")
    with pytest.raises(LineTooLong) as caught:
        buffer.next_line()
    assert caught.value.limit == 3


def test_a_cr_counts() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"ab\r\nabc\r\n")
    assert drain(buffer) == [b"ab\r\n", "oversize"]


def test_after_an_oversize_line_the_next_line_is_whole_and_no_ghost_comes_before_it() -> None:
    buffer = LineBuffer(3)
    for chunk in (b"abcde", b"fgh", b"ij\nnex", b"t\n"):
        buffer.feed(chunk)
        if chunk == b"abcde":
            assert drain(buffer) == ["oversize"]
    assert drain(buffer) == ["oversize"]  # "next" has four bytes
    buffer.feed(b"ok\n")
    assert drain(buffer) == [b"ok\n"]


def test_a_dropped_oversize_line_is_not_buffered() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"abcd")
    with pytest.raises(LineTooLong):
        buffer.next_line()
    for _ in range(10):
        buffer.feed(b"x" * 1000)
        assert len(buffer) == 0


def test_lines_are_taken_as_one_block_up_to_an_oversize_one() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"a\n\nabc\nabcd\nz\ny")
    assert buffer.take_lines() == b"a\n\nabc\n"
    with pytest.raises(LineTooLong):
        buffer.take_lines()
    assert buffer.take_lines() == b"z\n"
    assert buffer.take_lines() == b""
    buffer.end_of_input()
    assert buffer.take_lines() == b"y"


def test_pieces_of_an_oversize_line_are_taken_as_they_come() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"a\nabc")
    assert buffer.take_pieces() == b"a\n"
    buffer.feed(b"d")
    assert buffer.take_pieces() == b"abcd"
    buffer.feed(b"e")
    assert buffer.take_pieces() == b"e"
    buffer.feed(b"f\ngh")
    assert buffer.take_pieces() == b"f\n"
    buffer.end_of_input()
    assert buffer.take_pieces() == b"gh"


def test_handing_over_a_streamed_line_resets_the_state() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"abcd")
    assert buffer.take_pieces() == b"abcd"
    buffer.feed(b"e\nf")
    assert buffer.take_rest() == b"e\nf"
    buffer.feed(b"g")
    assert buffer.take_pieces() == b""


def test_a_delimiter_is_found_across_chunks_and_what_is_too_long_is_dropped_up_to_it() -> None:
    buffer = LineBuffer(5)
    for byte in b"ab\r\nlong\rer\r":
        buffer.feed(bytes([byte]))
    assert buffer.take_until(b"\r\n") == b"ab\r\n"
    with pytest.raises(LineTooLong):
        buffer.take_until(b"\r\n")
    buffer.feed(b"\nnext")
    assert buffer.take_until(b"\r\n") is None
    assert buffer.take_exactly(4) == b"next"
    with pytest.raises(LimitError, match="delimiter"):
        buffer.take_until(b"")


@pytest.mark.parametrize(
    ("how", "count", "told"),
    [
        ("take_exactly", -1, "count is -1; it must be 0 or more"),
        ("take_some", 0, "max_bytes is 0; it must be 1 or more"),
        ("take_some", -5, "max_bytes is -5; it must be 1 or more"),
        ("take_line_piece", 0, "max_bytes is 0; it must be 1 or more"),
    ],
)
def test_an_invalid_count_is_a_limit_error(how: str, count: int, told: str) -> None:
    buffer = LineBuffer()
    buffer.feed(b"hello\nworld\n")
    with pytest.raises(LimitError, match=f"^{told}$"):
        getattr(buffer, how)(count)
    assert buffer.take_exactly(0) == b""
    assert drain(buffer) == [b"hello\n", b"world\n"]


def test_results_are_bytes_and_outlive_the_chunk() -> None:
    buffer = LineBuffer()
    memory = bytearray(b"one\ntwo")
    buffer.feed(memoryview(memory))
    memory[:] = b"\0" * len(memory)
    line = buffer.next_line()
    assert type(line) is bytes
    assert line == b"one\n"
    assert buffer.take_rest() == b"two"


@given(st.data(), LIMITS)
def test_any_split_gives_the_same_lines_as_one_chunk(data: st.DataObject, limit: int) -> None:
    chunks = data.draw(chunked(limit))
    buffer = LineBuffer(limit)
    taken: list[bytes | str] = []
    for chunk in chunks:
        buffer.feed(chunk)
        taken += drain(buffer)
        assert len(buffer) <= limit
    buffer.end_of_input()
    taken += drain(buffer)
    assert taken == lines(b"".join(chunks), limit)


class AgainstTheModel(RuleBasedStateMachine):
    """Any mixture of calls, beside a model that keeps everything and looks at all of it.

    Slow: two hundred mixtures of up to fifty calls, and the model looks at every byte for each.
    """

    @initialize(limit=LIMITS, terminator=st.sampled_from(Terminator))
    def start(self, limit: int, terminator: Terminator) -> None:
        self.buffer = LineBuffer(limit, terminator)
        self.model = NaiveLineBuffer(limit) if terminator is Terminator.LF else NaiveStrictBuffer(limit)

    @precondition(lambda self: not self.model.ended)
    @rule(chunk=st.one_of(st.sampled_from([b"", *AWKWARD]), LIMITS.flatmap(inputs)))
    def feed(self, chunk: bytes) -> None:
        self.buffer.feed(chunk)
        self.model.feed(chunk)

    @precondition(lambda self: not self.model.ended)
    @rule()
    def end_of_input(self) -> None:
        self.buffer.end_of_input()
        self.model.ended = True

    @rule(how=st.sampled_from(["next_line", "take_lines", "take_pieces", "take_rest"]))
    def take(self, how: str) -> None:
        assert self.outcome(self.buffer, how) == self.outcome(self.model, how)

    @rule(how=st.sampled_from(["take_line_piece", "take_exactly", "take_some"]), count=COUNTS)
    def take_counted(self, how: str, count: int) -> None:
        assert self.outcome(self.buffer, how, count) == self.outcome(self.model, how, count)

    @rule(delimiter=st.sampled_from([b"\n", b"\r\n", b"\n\r\n", b"x", b"xx", b"ab"]))
    def take_until(self, delimiter: bytes) -> None:
        outcomes = [self.outcome(buffer, "take_until", delimiter) for buffer in (self.buffer, self.model)]
        assert outcomes[0] == outcomes[1]

    @rule(limit=LIMITS)
    def change_the_limit(self, limit: int) -> None:
        self.buffer.max_line = self.model.max_line = limit

    @staticmethod
    def outcome(buffer: LineBuffer | NaiveLineBuffer, how: str, *wanted: object) -> object:
        try:
            return getattr(buffer, how)(*wanted)
        except (LineTooLong, BareTerminator) as error:
            return str(error)
        except LimitError as error:
            return str(error)

    @invariant()
    def the_same_bytes_are_held(self) -> None:
        self.buffer._check_invariants()
        assert len(self.buffer) == len(self.model.rest)


TestAgainstTheModel = AgainstTheModel.TestCase


@pytest.mark.parametrize("how", ["next_line", "take_lines", "take_pieces"])
@pytest.mark.parametrize(
    ("chunks", "limit"),
    [
        ([b"x"] * 20_000, 30_000),
        ([b"x"] * 20_000, 100),
        ([b"short\n" * 20_000], 100),
        ([(b"x" * 99 + b"\n\n") * 1000], 100),
        ([(b"x" * 101 + b"\n") * 1000], 100),
    ],
    ids=["drip", "oversize drip", "many in one", "long and empty", "oversize in one"],
)
def test_the_work_is_linear(chunks: list[bytes], limit: int, how: str) -> None:
    buffer = LineBuffer(limit)
    counting = Counting()
    buffer._buffer = counting
    for chunk in chunks:
        buffer.feed(chunk)
        while True:
            try:
                if not getattr(buffer, how)():
                    break
            except LineTooLong:
                continue
    assert counting.looked_at <= 4 * sum(map(len, chunks))
    assert counting.copied <= 3 * sum(map(len, chunks))


def takes(delimiter: bytes) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Return mixtures of calls."""
    plain = [("next_line",), ("take_lines",), ("take_pieces",), ("take_some", 1), ("take_some", 9)]
    counted = st.tuples(st.sampled_from(["take_line_piece", "take_exactly"]), st.sampled_from([1, 20, 5000]))
    until = st.just(("take_until", delimiter))
    return st.lists(st.one_of(st.sampled_from(plain), counted, until), min_size=1, max_size=6)


@given(
    st.lists(
        st.sampled_from([b"\n", b"a\n", b"x" * 9 + b"\n", b"x" * 11 + b"\n", b"x" * 40 + b"\r\n"]), min_size=1
    ),
    st.sampled_from([b"\n", b"\r\n", b"x", b"never"]).flatmap(takes),
    st.sampled_from([10, 2000, 10_000]),
)
@pytest.mark.slow
def test_the_work_is_linear_for_every_mixture(
    lines: list[bytes], calls: list[tuple[Any, ...]], limit: int
) -> None:
    """One read full of lines, oversize ones too, and a caller that goes on after `LineTooLong`."""
    chunk = b"".join(lines) * (8000 // len(b"".join(lines)) + 1)
    buffer = LineBuffer(limit)
    counting = Counting()
    buffer._buffer = counting
    buffer.feed(chunk)
    made = 0
    while len(buffer):
        held = len(buffer)
        for how, *wanted in calls:
            made += 1
            with suppress(LineTooLong):
                getattr(buffer, how)(*wanted)
        if len(buffer) == held:
            break
    # Beside what each byte costs once for each kind of search, a call may look at a few bytes again.
    assert counting.looked_at <= 8 * len(chunk) + 64 * made
    assert counting.copied <= 4 * len(chunk)


def test_pieces_are_all_the_lines_there_are() -> None:
    buffer = LineBuffer(3)
    assert buffer.take_pieces(b"a\nb\nc") == b"a\nb\n"
    assert buffer.take_pieces(b"\nd") == b"c\n"
    assert buffer.take_lines(b"\nef") == b"d\n"
    assert [buffer.take_some(1), buffer.take_some(1)] == [b"e", b"f"]
    buffer.feed(b"\n")
    assert buffer.take_line_piece(4) == b"\n"


def test_an_empty_line_has_a_number_too() -> None:
    buffer = LineBuffer(3, Terminator.CRLF)
    buffer.feed(b"\r\n\r\na")
    numbers = [buffer.unfinished]
    for _ in range(2):
        assert buffer.next_line() == b"\r\n"
        numbers.append(buffer.unfinished)
    assert len(set(numbers)) == 3


@pytest.mark.parametrize("terminator", Terminator)
@pytest.mark.parametrize("how", ["next_line", "take_lines", "take_pieces"])
def test_a_line_that_begins_behind_the_last_has_another_number(how: str, terminator: Terminator) -> None:
    buffer = LineBuffer(5, terminator)
    buffer.feed(b"a")
    numbers = {buffer.unfinished}
    for _ in range(3):
        assert getattr(buffer, how)(terminator.value + b"a") == b"a" + terminator.value
        numbers.add(buffer.unfinished)
    assert len(numbers) == 4


@pytest.mark.parametrize("terminator", Terminator)
@pytest.mark.parametrize("how", ["next_line", "take_line_piece"])
def test_the_work_of_a_line_that_comes_slowly_is_linear(how: str, terminator: Terminator) -> None:
    buffer = LineBuffer(3000, terminator)
    counting = buffer._buffer = Counting()
    wanted = (3000,) if how == "take_line_piece" else ()
    for _ in range(1000):
        buffer.feed(b"x")
        assert getattr(buffer, how)(*wanted) is None
    assert counting.looked_at <= 8 * 1000


def test_strict_pieces_stop_at_a_bare_byte() -> None:
    for data, byte in ((b"a\r", b"\r"), (b"a\n", b"\n")):
        buffer = LineBuffer(3, Terminator.CRLF)
        buffer.feed(b"x\r\n" + data)
        buffer.end_of_input()
        assert buffer.take_pieces() == b"x\r\n"
        with pytest.raises(BareTerminator) as caught:
            buffer.take_pieces()
        assert caught.value.byte == byte
        assert buffer.take_pieces() == b""


def test_strict_pieces_are_streamed_beyond_the_limit_and_counted_from_the_line_on() -> None:
    buffer = LineBuffer(3, Terminator.CRLF)
    assert buffer.take_pieces(b"abc") == b""
    assert buffer.take_pieces(b"\r\n") == b"abc\r\n"
    assert buffer.take_pieces(b"ab\r\nbcde") == b"ab\r\nbcde"
    before = buffer.unfinished
    assert buffer.take_pieces(b"f") == b"f"
    assert buffer.unfinished == before
    assert buffer.take_pieces(b"g") == b"g"
    assert buffer.unfinished != before


@pytest.mark.parametrize("how", ["next_line", "take_lines", "take_pieces"])
def test_a_chunk_that_is_a_line_is_returned_as_it_is(how: str) -> None:
    for line in (b"abc\n", b"abcde\n", b"\n"):
        assert getattr(LineBuffer(5), how)(line) is line


@pytest.mark.parametrize(
    ("chunk", "line"),
    [(b"a\nb\n", b"a\n"), (b"\n\n", b"\n"), (b"a\nb", b"a\n"), (b"abcd", None), (b"", None)],
)
def test_the_first_line_of_a_chunk_comes_first(chunk: bytes, line: bytes | None) -> None:
    buffer = LineBuffer(5)
    assert buffer.next_line(chunk) == line
    assert buffer.take_rest() == chunk.removeprefix(line or b"")


@pytest.mark.parametrize("how", ["next_line", "take_lines"])
@pytest.mark.parametrize("chunk", [b"abcdef\n", b"abcdef\0", b"abcdef", b"\0bcdef"])
def test_a_chunk_that_is_a_longer_line_is_oversize(how: str, chunk: bytes) -> None:
    buffer = LineBuffer(5)
    with pytest.raises(LineTooLong):
        getattr(buffer, how)(chunk)
    if not chunk.endswith(b"\n"):
        assert not getattr(buffer, how)(b"rest\n")
    assert getattr(buffer, how)(b"ok\n") == b"ok\n"
    buffer.end_of_input()
    with pytest.raises(StateError):
        getattr(buffer, how)(b"ok\n")


def test_a_line_that_is_taken_moves_where_the_search_for_a_delimiter_goes_on() -> None:
    buffer = LineBuffer(9)
    buffer.feed(b"a\nb")
    assert buffer.take_until(b"\r\n") is None
    assert buffer.next_line() == b"a\n"
    buffer.feed(b"\r\n")
    assert buffer.take_until(b"\r\n") == b"b\r\n"


@pytest.mark.parametrize(("terminator", "end"), [(Terminator.LF, b"\n"), (Terminator.CRLF, b"\r\n")])
@pytest.mark.parametrize("tail", [b"", b"b", b"bcdef"])
def test_the_last_line_may_be_as_long_as_any(terminator: Terminator, end: bytes, tail: bytes) -> None:
    for how in ("take_lines", "take_pieces"):
        buffer = LineBuffer(5, terminator)
        buffer.feed(b"a" + end + tail)
        buffer.end_of_input()
        assert getattr(buffer, how)() == b"a" + end + tail
        assert getattr(buffer, how)() == b""
    buffer = LineBuffer(5, terminator)
    buffer.feed(b"a" + end + tail + b"xxxxx")
    buffer.end_of_input()
    assert buffer.take_lines() == b"a" + end + (tail + b"xxxxx") * (not tail)


@pytest.mark.parametrize(("terminator", "end"), [(Terminator.LF, b"\n"), (Terminator.CRLF, b"\r\n")])
def test_bytes_may_be_taken_of_a_line_that_was_sought_in_vain(terminator: Terminator, end: bytes) -> None:
    for how in ("next_line", "take_lines", "take_pieces"):
        buffer = LineBuffer(9, terminator)
        buffer.feed(b"abcdef")
        assert not getattr(buffer, how)()
        assert buffer.take_line_piece(8) is None
        assert [buffer.take_some(1), buffer.take_some(1)] == [b"a", b"b"]
        assert buffer.take_line_piece(1 + len(end)) == b"cde"[: 1 + len(end)]
        buffer.feed(end)
        assert buffer.next_line() == b"def"[len(end) :] + end


@pytest.mark.parametrize(("terminator", "end"), [(Terminator.LF, b"\n"), (Terminator.CRLF, b"\r\n")])
def test_a_line_is_taken_by_pieces_of_a_size(terminator: Terminator, end: bytes) -> None:
    buffer = LineBuffer(5, terminator)
    buffer.feed(b"abcdefgh" + end + end + b"i" + end + b"jk" + end + b"lm")
    pieces = [buffer.take_line_piece(4) for _ in range(7)]
    assert pieces == [b"abcd", b"efgh", end, end, b"i" + end, b"jk" + end, None]
    buffer.end_of_input()
    assert buffer.take_line_piece(4) == b"lm"
    assert buffer.take_line_piece(4) is None
    least = len(end)
    with pytest.raises(LimitError, match=f"^max_bytes is {least - 1}; it must be {least} or more$"):
        buffer.take_line_piece(least - 1)


def test_a_piece_does_not_end_within_cr_lf() -> None:
    buffer = LineBuffer(5, Terminator.CRLF)
    buffer.feed(b"abc\r\nd\r")
    assert [buffer.take_line_piece(4), buffer.take_line_piece(4)] == [b"abc", b"\r\n"]
    assert [buffer.take_line_piece(2), buffer.take_line_piece(3)] == [b"d", None]
    buffer.end_of_input()
    with pytest.raises(BareTerminator, match=r"^bare CR in a line"):
        buffer.take_line_piece(3)


@pytest.mark.parametrize("terminator", Terminator)
def test_a_streamed_line_has_another_number_for_each_max_line_bytes(terminator: Terminator) -> None:
    buffer = LineBuffer(3, terminator)
    buffer.take_lines(b"a\r\nb\r\n")
    seen: list[int] = []
    for _ in range(2):
        for piece in (b"abcd", b"e", b"f", b"g", b"hi", b"j"):
            assert buffer.take_pieces(piece) == piece
            seen.append(buffer.unfinished)
        buffer.take_pieces(b"\r\n")
        assert buffer.unfinished == 0
    assert seen[0] == seen[1] != seen[2] == seen[3] != seen[4] == seen[5] != seen[6]
    assert seen[6] == seen[7] != seen[8] == seen[9] != seen[10] == seen[11]
    assert len(set(seen)) == 6


def test_counted_bytes_of_a_line_that_is_begun() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"abcdef")
    assert buffer.next_line() is None
    assert buffer.take_exactly(2) == b"ab"
    assert buffer.next_line() is None
    assert buffer.take_until(b";") is None
    assert buffer.take_exactly(1) == b"c"
    buffer.feed(b"\n;")
    assert buffer.take_exactly(1) == b"d"
    assert buffer.next_line() == b"ef\n"
