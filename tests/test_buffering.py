"""`ByteBuffer`: bytes by count and by delimiter, and the number of the line that is being received."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caas_trio import BareTerminator, LimitError, LineBuffer, LineTooLong, StateError, Terminator
from caas_trio.core.buffering import Chunk

from .support.counting import Counting


def fed(data: bytes, max_line: int = 5) -> LineBuffer:
    buffer = LineBuffer(max_line)
    buffer.feed(data)
    return buffer


def test_a_new_buffer_has_nothing() -> None:
    buffer = LineBuffer()
    assert (len(buffer), buffer.unfinished, buffer.oversize_lines) == (0, 0, 0)
    assert buffer.ended is False


def test_an_empty_line_may_be_the_first() -> None:
    assert fed(b"\n").next_line() == b"\n"
    assert fed(b"\n").take_lines() == b"\n"
    assert fed(b"\n").take_pieces() == b"\n"


def test_what_is_out_of_range_is_named() -> None:
    with pytest.raises(LimitError, match=r"^max_line is 0; it must be a positive number of bytes$"):
        LineBuffer(0)
    with pytest.raises(LimitError, match=r"^delimiter is b''; it must be one byte or more$"):
        LineBuffer().take_until(b"")


def test_the_first_delimiter_counts_wherever_it_is() -> None:
    buffer = fed(b";a;b;;c")
    assert [buffer.take_until(b";") for _ in range(5)] == [b";", b"a;", b"b;", b";", None]
    buffer.end_of_input()
    assert buffer.take_until(b";") == b"c"
    assert buffer.take_until(b";") is None


def test_max_line_bytes_may_come_before_a_delimiter() -> None:
    assert fed(b"abcde\r\n").take_until(b"\r\n") == b"abcde\r\n"
    assert fed(b"abcde\r").take_until(b"\r\n") is None
    for data in (b"abcdef\r\n", b"abcdefg", b"abcdef\rx"):
        with pytest.raises(LineTooLong, match=r"^line longer than 5 bytes$"):
            fed(data).take_until(b"\r\n")


@pytest.mark.parametrize(("data", "is_long"), [(b"abcd", False), (b"abcde", False), (b"abcdef", True)])
def test_at_the_end_of_the_input_max_line_bytes_may_be_left(data: bytes, *, is_long: bool) -> None:
    buffer = fed(data)
    buffer.end_of_input()
    if is_long:
        with pytest.raises(LineTooLong):
            buffer.take_until(b"\r\n")
    else:
        assert buffer.take_until(b"\r\n") == data


def test_another_delimiter_may_begin_where_the_search_for_the_first_has_got_to() -> None:
    buffer = fed(b"a\r\nbc")
    assert buffer.take_until(b"\r\r") is None
    assert buffer.take_until(b"\r\n") == b"a\r\n"
    assert buffer.take_until(b"x") is None
    assert buffer.take_until(b"b") == b"b"


@pytest.mark.parametrize("split", range(1, 4))
def test_a_search_goes_on_within_a_delimiter(split: int) -> None:
    buffer = LineBuffer(5)
    for chunk in (b"\r\r\n;"[:split], b"\r\r\n;"[split:]):
        assert buffer.take_until(b"\r\n;") is None
        buffer.feed(chunk)
    assert buffer.take_until(b"\r\n;") == b"\r\r\n;"


def test_the_work_of_a_delimiter_that_comes_late_is_linear() -> None:
    buffer = LineBuffer(3000)
    counting = buffer._buffer = Counting()
    for byte in b"x" * 2000 + b"\r\n":
        assert buffer.take_until(b"\r\n") is None
        buffer.feed(bytes([byte]))
    assert len(buffer.take_until(b"\r\n") or b"") == 2002
    assert counting.looked_at <= 3 * 2002


def test_a_delimiter_is_sought_no_further_than_it_may_be() -> None:
    buffer = LineBuffer(5)
    counting = buffer._buffer = Counting()
    buffer.feed(b"x" * 2000)
    with pytest.raises(LineTooLong):
        buffer.take_until(b"\r\n")
    assert counting.looked_at <= 2000 + 10


def test_what_is_taken_from_the_front_moves_where_a_search_goes_on() -> None:
    for count in (1, 2, 3):
        buffer = fed(b"abc")
        assert buffer.take_until(b"\r\n") is None
        assert buffer.next_line() is None
        assert buffer.take_exactly(count) == b"abc"[:count]
        buffer.feed(b"\r\n")
        assert buffer.take_until(b"\r\n") == b"abc\r\n"[count:]


def test_a_counted_part_of_a_streamed_line_may_end_it() -> None:
    buffer = LineBuffer(3)
    buffer.feed(b"abcd")
    assert buffer.take_pieces() == b"abcd"
    buffer.feed(b"e\nfgh")
    assert buffer.take_exactly(2) == b"e\n"
    assert buffer.take_pieces() == b""
    assert buffer.take_exactly(3) == b"fgh"
    assert buffer.unfinished == 0
    buffer.feed(b"fghi")
    assert buffer.take_pieces() == b"fghi"
    assert buffer.take_exactly(1) is None
    buffer.feed(b"jk")
    assert buffer.take_exactly(1) == b"j"
    assert buffer.take_pieces() == b"k"


def test_a_line_keeps_its_number_while_it_is_unfinished() -> None:
    buffer = fed(b"ab")
    first = buffer.unfinished
    assert first
    assert buffer.take_exactly(0) == b""
    assert buffer.take_exactly(3) is None
    assert buffer.next_line() is None
    buffer.feed(b"c")
    assert buffer.unfinished == first
    buffer.end_of_input()
    assert buffer.unfinished == 0


def skip(buffer: LineBuffer, *chunks: bytes) -> bool:
    """Drop an oversize line."""
    with pytest.raises(LineTooLong):
        buffer.next_line(chunks[0])
    for chunk in chunks[1:]:
        buffer.feed(chunk)
    return True


TAKES: dict[str, Callable[[LineBuffer], object]] = {
    "take_exactly": lambda buffer: buffer.take_exactly(1),
    "take_exactly all": lambda buffer: buffer.take_exactly(len(buffer)),
    "take_some": lambda buffer: buffer.take_some(1),
    "take_some at once": lambda buffer: buffer.take_rest() and buffer.take_some(9, b"h"),
    "take_until": lambda buffer: buffer.take_until(b"a"),
    "next_line": lambda buffer: buffer.next_line(b"next\nd"),
    "next_line at once": lambda buffer: buffer.take_rest() and buffer.next_line(b"g\n"),
    "take_lines": lambda buffer: buffer.take_lines(b"\ne"),
    "take_pieces": lambda buffer: buffer.take_pieces(b"\nf"),
    "take_line_piece": lambda buffer: buffer.take_line_piece(1),
    "drop": lambda buffer: skip(buffer, b"x" * 21 + b"\n"),
    "skip": lambda buffer: skip(buffer, b"x" * 21, b"x\n"),
}


def test_each_line_has_a_number_of_its_own() -> None:
    buffer = LineBuffer(20)
    numbers: set[int] = set()
    for how in [*TAKES, *TAKES, *(how for how in TAKES for _ in range(3))]:
        buffer.feed(b"abcdefgh")
        assert buffer.unfinished not in numbers, how
        numbers.add(buffer.unfinished)
        assert TAKES[how](buffer)
        buffer.take_rest()


@pytest.mark.parametrize("how", TAKES)
def test_nothing_is_unfinished_where_nothing_is_held(how: str) -> None:
    buffer = fed(b"a", 20)
    assert TAKES[how](buffer)
    buffer.take_rest()
    assert buffer.unfinished == 0


@pytest.mark.parametrize("how", ["take_exactly", "take_some", "take_line_piece"])
def test_a_terminator_may_be_next_after_any_take(how: str) -> None:
    for searched in (False, True):
        buffer = LineBuffer(20)
        buffer.feed(b"a")
        if searched:
            assert buffer.next_line() is None
        buffer.feed(b"\nb")
        assert TAKES[how](buffer) == b"a"
        assert buffer.next_line() == b"\n"


def test_an_empty_line_may_follow_an_oversize_one() -> None:
    buffer = LineBuffer(5)
    skip(buffer, b"abcdef\n\n")
    assert buffer.next_line() == b"\n"
    skip(buffer, b"abcdef", b"g\n\n")
    assert buffer.next_line() == b"\n"


def test_nothing_is_sought_in_an_empty_buffer() -> None:
    buffer = LineBuffer(5)
    assert buffer.take_until(b";") is None
    assert buffer.next_line() is None
    buffer.feed(b";\n")
    assert buffer.take_until(b";") == b";"
    assert buffer.next_line() == b"\n"
    with pytest.raises(LimitError, match=r"^max_bytes is 0; it must be 1 or more$"):
        buffer.take_some(0)


def test_an_oversize_line_keeps_its_number_until_it_ends() -> None:
    buffer = fed(b"abcdef")
    first = buffer.unfinished
    with pytest.raises(LineTooLong):
        buffer.next_line()
    buffer.feed(b"gh")
    assert buffer.unfinished == first
    buffer.feed(b"i\nj")
    assert buffer.unfinished not in (0, first)
    assert buffer.oversize_lines == 1
    with pytest.raises(LineTooLong):
        buffer.take_lines(b"klmnop\nq")
    assert buffer.oversize_lines == 2
    assert buffer.next_line(b"\n") == b"q\n"
    assert buffer.unfinished == 0


def test_what_ends_an_oversize_line_may_come_in_pieces() -> None:
    buffer = fed(b"abcdefgh\r")
    with pytest.raises(LineTooLong):
        buffer.take_until(b"\r\n;")
    for chunk in (b"\n", b"\r", b"\n", b";", b"ij"):
        assert len(buffer) == 0
        buffer.feed(chunk)
    assert buffer.take_exactly(2) == b"ij"


@pytest.mark.parametrize("call", ["feed", "end_of_input"])
def test_feeding_after_the_end_is_a_state_error(call: str) -> None:
    buffer = LineBuffer()
    buffer.end_of_input()
    with pytest.raises(StateError, match=f"^{call} does not fit the state ended$"):
        buffer.feed(b"x") if call == "feed" else buffer.end_of_input()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_some_of_a_chunk(kind: Callable[[bytes], Chunk]) -> None:
    buffer = LineBuffer(4)
    assert buffer.take_some(3, kind(b"abc")) == b"abc"
    assert buffer.take_some(3, kind(b"abcd")) == b"abc"
    assert buffer.take_some(3, kind(b"e")) == b"de"
    assert buffer.take_some(3) == b""
    with pytest.raises(LineTooLong):
        buffer.next_line(kind(b"far too long"))
    assert buffer.take_some(3, kind(b" still")) == b""
    assert buffer.take_some(3, kind(b"\nab")) == b"ab"
    buffer.end_of_input()
    with pytest.raises(StateError):
        buffer.take_some(3, kind(b"c"))


def test_unread_bytes_can_be_handed_over() -> None:
    buffer = LineBuffer()
    held = buffer.held
    assert buffer.take_lines(b"STARTTLS\n\x16\x03\x01") == b"STARTTLS\n"
    assert held == b"\x16\x03\x01"
    assert buffer.take_rest() == b"\x16\x03\x01"
    assert (buffer.held is held, len(buffer)) == (True, 0)


@pytest.mark.parametrize("how", ["next_line", "take_lines", "take_pieces"])
@pytest.mark.parametrize("byte", [b"\r", b"\n"])
def test_the_bare_byte_alone_is_named(how: str, byte: bytes) -> None:
    with pytest.raises(BareTerminator) as caught:
        getattr(LineBuffer(9, Terminator.CRLF), how)(b"a" + byte + b"bc\r\n")
    assert caught.value.byte == byte
