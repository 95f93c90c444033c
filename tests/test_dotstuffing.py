"""Bodies that a lone dot ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio import UsageError, dot_stuff, dot_unstuff

LINES = st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a.", b"\x00"])).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n..\r\na.b\r\n", b"..\r\n...\r\na.b\r\n.\r\n"),
    ],
)
def test_dots_are_doubled_and_a_lone_one_is_added(body: bytes, sent: bytes) -> None:
    assert dot_stuff(body) == sent
    assert dot_unstuff(sent) == body.removesuffix(b"\r\n") + b"\r\n" * (body != b"")


@given(body=LINES)
def test_what_was_stuffed_comes_back(body: bytes) -> None:
    assert dot_unstuff(dot_stuff(body)) == body
    assert dot_stuff(body).count(b"\r\n.\r\n") <= 1


@pytest.mark.parametrize("body", [b"a\n", b"a\r", b"\n.\r\n", b"a\r\r\n"])
def test_a_bare_cr_or_lf_is_not_sent(body: bytes) -> None:
    with pytest.raises(UsageError, match=r"^a body with a bare CR or LF cannot be dot-stuffed$"):
        dot_stuff(body)
    with pytest.raises(UsageError, match=r"^what was dot-stuffed has no bare CR or LF$"):
        dot_unstuff(body + b".\r\n")


@pytest.mark.parametrize(
    "sent", [b"", b"a\r\n", b".\r\nMAIL\r\n.\r\n", b"..\r\n", b"x.\r\n", b"a\r\n.\r\nb\r\n"]
)
def test_a_body_must_end_with_its_only_lone_dot(sent: bytes) -> None:
    with pytest.raises(UsageError, match=r"^what was dot-stuffed ends with its only lone dot$"):
        dot_unstuff(sent)
