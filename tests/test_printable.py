"""How a text is shown that may contain anything: on one line, in any encoding, and as text."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caas_trio.core.printable import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.sock", r"caf\xe9.sock"),
        (b"\x80\xff", r"\x80\xff"),
        ("caf\u00e9 \u2665".encode(), "caf\u00e9 \u2665"),
        (b"a\nb\x1b[2J", r"a\nb\x1b[2J"),
        ("\u202e\u0085".encode(), r"\u202e\x85"),
    ],
)
def test_unprintable_characters_are_escaped(name: bytes, shown: str) -> None:
    assert printable(os.fsdecode(name)) == shown


@given(st.text(st.characters(exclude_categories=())))
@example("\ud800\udc7f\udcff\udd00")
def test_every_text_can_be_encoded_and_printed(text: str) -> None:
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert shown.isprintable()
