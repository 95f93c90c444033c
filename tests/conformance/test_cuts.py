"""The cuts: the pieces are those of the data, none empty, and where they should be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio.conformance import cuts
from caas_trio.conformance.cuts import Cut

ALL = [
    cuts.WHOLE,
    cuts.BYTE,
    cuts.BEFORE_LF,
    cuts.AFTER_LF,
    cuts.INSIDE_CRLF,
    cuts.THIRDS,
    cuts.around(5),
    cuts.at(3, "three"),
    cuts.every(4, "fours"),
]


@given(data=st.text("a\r\n", max_size=40).map(str.encode), cut=st.sampled_from(ALL))
def test_pieces_join_to_the_data_and_none_is_empty(data: bytes, cut: Cut) -> None:
    pieces = list(cut.pieces(data))
    assert b"".join(pieces) == data
    assert all(pieces)


@pytest.mark.parametrize(
    ("cut", "pieces"),
    [
        (cuts.WHOLE, [b"ab\r\ncd\n"]),
        (cuts.BYTE, [b"a", b"b", b"\r", b"\n", b"c", b"d", b"\n"]),
        (cuts.BEFORE_LF, [b"ab\r", b"\ncd", b"\n"]),
        (cuts.AFTER_LF, [b"ab\r\n", b"cd\n"]),
        (cuts.INSIDE_CRLF, [b"ab\r", b"\ncd\n"]),
        (cuts.THIRDS, [b"ab", b"\r\n", b"cd\n"]),
        (cuts.at(6, "six"), [b"ab\r\ncd", b"\n"]),
        (cuts.around(3), [b"a", b"b", b"\r", b"\n", b"c", b"d", b"\n"]),
        (cuts.every(3, "threes"), [b"ab\r", b"\ncd", b"\n"]),
    ],
    ids=lambda value: value.name if isinstance(value, Cut) else "",
)
def test_examples(cut: Cut, pieces: list[bytes]) -> None:
    assert list(cut.pieces(b"ab\r\ncd\n")) == pieces
