"""Lines that end with CR LF, strictly: what is one, what is an error, and that no cut changes either."""

from __future__ import annotations

import re

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

from caas_trio import (
    BareTerminator,
    Connection,
    LineBuffer,
    LineSession,
    LineTooLong,
    Oversize,
    StateError,
    Terminator,
)
from caas_trio.core.terminator import TOO_LONG, block_end, has_bare, line_end, piece_end, pieces_end

from .models import NaiveStrictBuffer
from .strategies import LIMITS, chunked

CRLF = Terminator.CRLF

#: What one reader takes for the end of a message, and another one for payload: CVE-2023-51764 (Postfix),
#: CVE-2023-51765 (Sendmail), CVE-2023-51766 (Exim), and what was found since.
SMUGGLED = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n\x00.\n",
]


def drain(buffer: LineBuffer) -> list[bytes | str]:
    """Take line by line; an invalid line becomes the message of its error."""
    taken: list[bytes | str] = []
    while True:
        try:
            line = buffer.next_line()
        except (BareTerminator, LineTooLong) as error:
            taken.append(str(error))
            continue
        if line is None:
            return taken
        taken.append(line)


def naive_lines(data: bytes, max_line: int) -> list[bytes | str]:
    """Return what `drain` ought to give for the whole of `data`, its end included."""
    taken: list[bytes | str] = []
    for line in re.findall(rb"(?s).*?\r\n|.+", data):
        payload = line.removesuffix(b"\r\n")
        bare = re.search(rb"[\r\n]", payload)
        if bare and bare.start() < max_line:
            half = {b"\r": "CR", b"\n": "LF"}[bare[0]]
            taken.append(f"bare {half} in a line, which ends with CR LF")
        elif len(payload) > max_line:
            taken.append(f"line longer than {max_line} bytes")
        else:
            taken.append(line)
    return taken


@pytest.mark.parametrize("ending", SMUGGLED)
async def test_no_smuggled_ending_ends_a_message(ending: bytes) -> None:
    message = b"text" + ending + b"MAIL FROM:<x>\r\n.\r\nQUIT\r\n"
    for cut in range(len(message)):
        buffer = LineBuffer(terminator=CRLF)
        buffer.feed(message[:cut])
        taken = drain(buffer)
        buffer.feed(message[cut:])
        taken += drain(buffer)
        assert taken == naive_lines(message, 100)
        assert taken.count(b".\r\n") == 1
        assert [line for line in taken if isinstance(line, str)]
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(message)
    connection = Connection.over(server, terminator=CRLF)
    with pytest.raises(BareTerminator):
        await connection.receive_dot_stuffed(1000)
    assert await connection.receive_line() == b"QUIT\r\n"


@given(data=st.data(), limit=LIMITS)
def test_any_split_gives_the_same_lines_as_one_chunk(data: st.DataObject, limit: int) -> None:
    chunks = data.draw(chunked(limit))
    buffer = LineBuffer(limit, CRLF)
    taken: list[bytes | str] = []
    for chunk in chunks:
        buffer.feed(chunk)
        taken += drain(buffer)
        assert len(buffer) <= limit + 1  # a CR that its LF may follow
    buffer.end_of_input()
    taken += drain(buffer)
    assert taken == naive_lines(b"".join(chunks), limit)
    assert buffer.oversize_lines == sum(str(line).startswith("line longer") for line in taken)


@pytest.mark.parametrize(
    ("data", "at"), [(b"a\nb", 2), (b"a\rb", 3), (b"a\r\rb", 3), (b"\n", 1), (b"abc\n", 4), (b"abcde\r\n", 6)]
)
def test_an_error_is_raised_once_at_the_byte_that_proves_it(data: bytes, at: int) -> None:
    buffer = LineBuffer(5 if data != b"abcde\r\n" else 4, CRLF)
    buffer.feed(data[: at - 1] if data != b"abcde\r\n" else data[:4])
    assert drain(buffer) == []
    buffer.feed(data[at - 1 :] if data != b"abcde\r\n" else data[4:])
    assert len(drain(buffer)) == 1
    buffer.feed(b"more\nand\rmore\r\nnext\r\n" if data != b"abcde\r\n" else b"next\r\n")
    assert drain(buffer) == [b"next\r\n"]


def test_the_limit_is_exact_with_cr_lf_across_two_reads() -> None:
    buffer = LineBuffer(3, CRLF)
    buffer.feed(b"abc\r")
    assert buffer.next_line() is None
    assert buffer.next_line(b"\n") == b"abc\r\n"
    buffer.feed(b"abc\r")
    assert buffer.next_line() is None
    with pytest.raises(LineTooLong):
        buffer.next_line(b"x")
    buffer.feed(b"\r\nabcd")
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_counted_and_delimited_bytes_know_no_terminator() -> None:
    buffer = LineBuffer(10, CRLF)
    buffer.feed(b"a\nb\rc\nd;\nLINE\r\n\n")
    assert buffer.take_exactly(4) == b"a\nb\r"
    assert buffer.take_until(b";") == b"c\nd;"
    assert buffer.take_some(1) == b"\n"
    assert drain(buffer) == [b"LINE\r\n", "bare LF in a line, which ends with CR LF"]


def test_the_end_of_input_makes_the_rest_a_last_line_but_for_a_bare_cr() -> None:
    for data, expected in ((b"tail", [b"tail"]), (b"tail\r", ["bare CR in a line, which ends with CR LF"])):
        buffer = LineBuffer(10, CRLF)
        buffer.feed(data)
        assert drain(buffer) == []
        buffer.end_of_input()
        assert drain(buffer) == expected


@pytest.mark.parametrize(
    ("data", "ended", "found"),
    [
        (b"ab\r\nc", False, (4, 0, -1)),
        (b"\r\n", False, (2, 0, -1)),
        (b"abc\r\n", False, (5, 0, -1)),
        (b"abcd\r\n", False, (TOO_LONG, 0, -1)),
        (b"abcd", False, (TOO_LONG, 0, -1)),
        (b"abc\n\r\n", False, (TOO_LONG, 0, -1)),
        (b"a\nb\r\n", False, (0, 0, 1)),
        (b"\r\r\n", False, (0, 0, 0)),
        (b"\r\ra", False, (0, 0, 0)),
        (b"ab", False, (0, 2, -1)),
        (b"ab\r", False, (0, 2, -1)),
        (b"abc\r", False, (0, 3, -1)),
        (b"ab", True, (2, 0, -1)),
        (b"ab\r", True, (0, 0, 2)),
        (b"", True, (0, 0, -1)),
    ],
)
def test_where_a_line_of_three_bytes_ends(data: bytes, found: tuple[int, int, int], *, ended: bool) -> None:
    assert line_end(data, 0, 3, ended=ended) == found


@pytest.mark.parametrize(
    ("data", "ended", "found"),
    [
        (b"ab\r\nc", False, (4, 0, -1)),
        (b"\r\n", False, (2, 0, -1)),
        (b"abc\r\n", False, (3, 0, -1)),
        (b"abcd\r\n", False, (4, 0, -1)),
        (b"a\nb\r\n", False, (0, 0, 1)),
        (b"ab", False, (0, 2, -1)),
        (b"ab\r", False, (0, 2, -1)),
        (b"abc\r", True, (3, 0, -1)),
        (b"ab", True, (2, 0, -1)),
        (b"ab\r", True, (0, 0, 2)),
    ],
)
def test_where_a_piece_of_four_bytes_ends(data: bytes, found: tuple[int, int, int], *, ended: bool) -> None:
    assert piece_end(data, 0, 4, ended=ended) == found


@pytest.mark.parametrize(
    ("data", "ended", "end"),
    [
        (b"a\r\nb\r\ncccc\r\n", False, 6),
        (b"a\r\nb\r\nc\r\nd\ne\r\n", False, 9),
        (b"a\r\nb\r\nccc", False, 6),
        (b"a\r\nb\r\nccc", True, 9),
        (b"a\r\nb\r\ncccc", True, 6),
        (b"a\r\nb\r\ncc\r", True, 6),
        (b"a\r\n\r\n\r\n\nx", False, 7),
        (b"a\r\nb\r\nc\nd", True, 6),
    ],
)
def test_where_a_block_of_lines_of_three_bytes_ends(data: bytes, end: int, *, ended: bool) -> None:
    assert block_end(data, 3, 3, ended=ended) == end


@pytest.mark.parametrize(
    ("data", "ended", "found"),
    [
        (b"a\r\nb\r\nc", False, (6, 7, False)),
        (b"a\r", False, (0, 1, False)),
        (b"a\r", True, (0, 1, True)),
        (b"a\nb\r\n", False, (0, 1, True)),
        (b"a\r\nb\rc\r\n", False, (3, 4, True)),
    ],
)
def test_where_pieces_end(data: bytes, found: tuple[int, int, bool], *, ended: bool) -> None:
    assert pieces_end(data, 0, ended=ended) == found


def test_a_body_with_half_a_terminator_has_a_bare_byte() -> None:
    assert [has_bare(data) for data in (b"", b"a\r\n", b"a\n", b"a\r", b"\n\r")] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_a_lone_lf_is_an_error_between_lines_too() -> None:
    session = LineSession(bytes.upper, terminator=CRLF)
    session.open()
    assert session.receive(b"a\r\n") == b"A\r\n"
    assert session.receive(b"\n") == b"error: bare LF in a line, which ends with CR LF\r\n"


BARE = b"A\r\nerror: bare LF in a line, which ends with CR LF\r\n"
POLICIES = st.sampled_from(Oversize)
STRICT_INPUTS = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"ab\r\n", b"a", b"abcdef", b"."]), max_size=12
).map(b"".join)


def said(data: bytes, oversize: Oversize, cut: int, *, once: bool = False) -> bytes:
    """Return what a session says to an input that is cut in two."""
    session = LineSession(bytes.upper, max_line=4, oversize=oversize, terminator=CRLF, once=once)
    replies = session.open()
    for chunk in (data[:cut], data[cut:]):
        if not session.closing:
            replies += session.receive(chunk)
    return replies if session.closing else replies + session.end_of_input()


@given(data=STRICT_INPUTS, oversize=POLICIES, once=...)
@example(data=b"abcdef\r", oversize=Oversize.STREAM, once=False)
def test_a_session_says_the_same_however_its_input_is_cut(
    *, data: bytes, oversize: Oversize, once: bool
) -> None:
    whole = said(data, oversize, len(data), once=once)
    assert all(said(data, oversize, cut, once=once) == whole for cut in range(len(data)))


@pytest.mark.parametrize(
    ("oversize", "reply"),
    [
        (Oversize.REJECT, BARE),
        (Oversize.STREAM, BARE),
        (
            Oversize.DISCARD,
            BARE + b"error: line longer than 4 bytes\r\nB\r\n",
        ),
    ],
)
def test_a_session_tells_a_bare_lf_as_it_tells_an_oversize_line(oversize: Oversize, reply: bytes) -> None:
    assert said(b"a\r\nx\ny\r\nabcde\r\nb\r\n", oversize, 5) == reply


def test_an_oversize_line_is_streamed_up_to_its_bare_byte() -> None:
    assert said(b"abcdefg\nh\r\ni\r\n", Oversize.STREAM, 9) == (
        b"ABCDEFGerror: bare LF in a line, which ends with CR LF\r\n"
    )


def test_a_session_that_discards_reads_few_lines_at_a_time() -> None:
    """Each of three bytes may cost an error line."""
    session = LineSession(bytes.upper, oversize=Oversize.DISCARD, terminator=CRLF)
    assert session.max_chunk == 128 * 3


def test_a_session_of_strict_lines_answers_each_once() -> None:
    session = LineSession(lambda line: b"<" + line, terminator=CRLF)
    session.open()
    assert session.receive(b"a\r\nb\r\nc") == b"<a\r\n<b\r\n"
    assert session.end_of_input() == b"<c"
    with pytest.raises(StateError):
        session.receive(b"x")


def test_the_model_agrees_with_the_lines_of_the_whole() -> None:
    data = b"a\r\nb\nc\r\ntoolong\r\nd"
    model = NaiveStrictBuffer(4)
    model.feed(data)
    model.ended = True
    taken: list[bytes | str] = []
    while True:
        try:
            line = model.next_line()
        except (BareTerminator, LineTooLong) as error:
            taken.append(str(error))
            continue
        if line is None:
            break
        taken.append(line)
    assert taken == naive_lines(data, 4)
