"""Unicode capitals over a stream that may cut a character anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caas_trio import LineSession, Oversize
from caas_trio.core.capitals import Utf8Capitals, utf8_capitals

from .test_session import conversation


@pytest.mark.parametrize(
    ("text", "capitals"),
    [
        ("stra\u00dfe", "STRASSE"),
        ("\u00e9\u03c2\u0444", "\u00c9\u03a3\u0424"),
        ("\ufb01n", "FIN"),
        ("\U00010428", "\U00010400"),
        ("\u4e2d\0\r", "\u4e2d\0\r"),
    ],
)
def test_letters_use_the_full_unicode_mapping(text: str, capitals: str) -> None:
    assert conversation(LineSession(Utf8Capitals()), text.encode() + b"\n") == capitals.encode() + b"\n"


@pytest.mark.parametrize(
    "wrong", [b"\xff", b"\xc3", b"\xe2\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]
)
@pytest.mark.parametrize("after", [b"", b"\n", b"a\n"])
def test_invalid_utf_8_is_untouched(wrong: bytes, after: bytes) -> None:
    assert conversation(LineSession(Utf8Capitals()), b"a" + wrong + after) == b"A" + wrong + after.upper()


def test_a_character_is_held_back_until_it_is_whole() -> None:
    session = LineSession(Utf8Capitals(), max_line=1, oversize=Oversize.STREAM)
    session.open()
    assert session.receive(b"ab\xc3") == b"AB"
    assert session.receive(b"\xa9") == "\u00c9".encode()
    assert session.receive(b"\xc3") == b""
    assert session.end_of_input() == b"\xc3"


PIECES = [
    b"a",
    b"\n",
    b"\xc3",
    b"\x9f",
    b"\xe2",
    b"\x80",
    b"\xf0",
    b"\x90",
    b"\xa8",
    b"\xff",
    "\ufb01\u0149".encode(),
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=20), st.lists(st.integers(0, 40)), st.sampled_from(Oversize)
)
@example([b"\xe2", b"\n"], [1], Oversize.STREAM)
def test_the_capitals_depend_on_the_bytes_alone(
    pieces: list[bytes], cuts: list[int], oversize: Oversize
) -> None:
    data = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]

    def capitals(*chunks: bytes) -> bytes:
        return conversation(LineSession(Utf8Capitals(), max_line=3, oversize=oversize), *chunks)

    assert capitals(*chunks) == capitals(data)
    if oversize is Oversize.STREAM:
        text = data.decode("utf-8", "surrogateescape")
        assert capitals(data) == text.upper().encode("utf-8", "surrogateescape") == utf8_capitals(data)
