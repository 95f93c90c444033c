"""The oracle: what a right server answers, by hand-written examples."""

from __future__ import annotations

import pytest

from caas_trio.conformance import Oversize, Profile, Service
from caas_trio.conformance.oracle import NOTICE, Part, joined, notice_text, replies, strict_replies

REJECT = Profile(max_line=4, oversize=Oversize.REJECT)
DISCARD = Profile(max_line=4, oversize=Oversize.DISCARD)
STREAM = Profile(max_line=4, oversize=Oversize.STREAM)


@pytest.mark.parametrize(
    ("profile", "data", "expected"),
    [
        (Profile(), b"", ()),
        (Profile(), b"one\ntwo\n", (b"ONE\nTWO\n",)),
        (Profile(), b"one\ntw", (b"ONE\n",)),
        (Profile(), b"\r\n\n", (b"\r\n\n",)),
        (Profile(service=Service.ECHO), b"one\n", (b"one\n",)),
        (Profile(service=Service.ECHO_BYTES), b"one\ntw", (b"one\ntw",)),
        (Profile(service=Service.ECHO_BYTES), b"", ()),
        (Profile(once=True), b"one\ntwo\n", (b"ONE\n",)),
        (REJECT, b"four\nfives\nno\n", (b"FOUR\n", NOTICE)),
        (REJECT, b"a\nfives", (b"A\n", NOTICE)),
        (DISCARD, b"four\nfives\nok\n", (b"FOUR\n", NOTICE, b"OK\n")),
        (DISCARD, b"fives\nsixsix\n", (NOTICE, NOTICE)),
        (STREAM, b"fives\nok\n", (b"FIVES\nOK\n",)),
    ],
)
def test_examples(profile: Profile, data: bytes, expected: tuple[Part, ...]) -> None:
    assert replies(data, profile) == expected


@pytest.mark.parametrize(
    ("profile", "data", "expected"),
    [
        (Profile(), b"", ()),
        (Profile(), b"one\ntwo", (b"ONE\nTWO",)),
        (DISCARD, b"fives", (NOTICE,)),
        (STREAM, b"fives", (b"FIVES",)),
    ],
)
def test_examples_that_end(profile: Profile, data: bytes, expected: tuple[Part, ...]) -> None:
    assert replies(data, profile, ended=True) == expected


@pytest.mark.parametrize(
    ("profile", "data", "expected"),
    [
        (DISCARD, b"", ()),
        (DISCARD, b"one\r\n\r\ntw", (b"ONE\r\n\r\n",)),
        (DISCARD, b"four\r\nfives\r\nok\r\n", (b"FOUR\r\n", NOTICE, b"OK\r\n")),
        (DISCARD, b"a\nb\r\r\nok\r\n", (NOTICE, b"OK\r\n")),
        (DISCARD, b"four\r", ()),
        (REJECT, b"a\r\nb\nc\r\n", (b"A\r\n", NOTICE)),
    ],
)
def test_examples_of_strict_lines(profile: Profile, data: bytes, expected: tuple[Part, ...]) -> None:
    assert strict_replies(data, profile) == expected


def test_examples_of_strict_lines_that_end() -> None:
    assert strict_replies(b"a\r\nb", DISCARD, ended=True) == (b"A\r\nB",)
    assert strict_replies(b"a\r\nb\r", DISCARD, ended=True) == (b"A\r\n", NOTICE)


def test_a_notice_names_the_limit() -> None:
    assert notice_text(100) == b"error: line longer than 100 bytes\n"


def test_joining_keeps_the_order() -> None:
    assert joined([b"a", b"b", NOTICE, b"c"]) == (b"ab", NOTICE, b"c")
