"""How a reply is recognized: where it ends, what is not complete, what is another one."""

from __future__ import annotations

import pytest

from caas_trio.conformance.dialects.dialect import MAX_LINE, MAX_REPLY, Pattern, Reply, WrongReplyError
from caas_trio.conformance.dialects.parsing import load

LINE = Reply(Pattern("OK"))
TWO = Reply(Pattern("A"), lines=2)
CODED = Reply(Pattern("250[ -]"), Pattern("250 "))
DOT = Reply(Pattern("OK"), Pattern(r"\.$"), past_first=True)
TAGGED = Reply(until=Pattern("a{n} OK"))
COUNTED = Reply(Pattern(r"\$(\d+)"), counted=True, body=Pattern("{n}:{n}$"))


@pytest.mark.parametrize(
    ("reply", "data"),
    [
        (LINE, b"OK fine\r\n"),
        (TWO, b"A\r\nB\r\n"),
        (CODED, b"250 one\r\n"),
        (CODED, b"250-one\r\n250-two\r\n250 three\r\n"),
        (DOT, b"OK\r\n..\r\n.\r\n"),
        (TAGGED, b"* x\r\na6 OK\r\na7 OK\r\n"),
        (COUNTED, b"$3\r\n7:7\r\n"),
    ],
)
def test_a_reply_ends_where_it_ends(reply: Reply, data: bytes) -> None:
    for size in range(len(data)):
        assert reply.scan(data[:size], 7, crlf=True) is None
    assert reply.scan(data + b"more\r\n", 7, crlf=True) == len(data)


def test_a_reply_may_go_on_to_the_end_of_the_connection() -> None:
    reply = Reply(Pattern("A"), to_end=True)
    assert reply.scan(b"A\r\nB\r\n", 1, crlf=True) is None
    assert reply.scan(b"A\r\nB\r\n", 1, crlf=True, ended=True) == 6
    assert reply.scan(b"", 1, crlf=True, ended=True) is None
    for cut_off in (b"A", b"A\r\nB", b"A\r\nB\n"):
        with pytest.raises(WrongReplyError) as caught:
            reply.scan(cut_off, 1, crlf=True, ended=True)
        assert caught.value.ends_wrong


@pytest.mark.parametrize(
    ("reply", "data", "reason"),
    [
        (LINE, b"NO\r\n", "the reply is not the declared one"),
        (LINE, b"OK\n", "a line of the reply does not end in CRLF"),
        (COUNTED, b"$3\r\n6:6\r\n", "the reply is not the declared one"),
        (COUNTED, b"$3\r\n7:77\r\n", "the reply is not as long as it says"),
        (COUNTED, b"$99999999\r\n", "what should count the reply's bytes does not"),
        (COUNTED, b"$9999999\r\n", "what should count the reply's bytes does not"),
        (Reply(Pattern("(.*)"), counted=True), b"many\r\n", "what should count the reply's bytes does not"),
        (LINE, b"O" * (MAX_LINE + 1), f"a line of the reply has more than {MAX_LINE} bytes"),
        (TAGGED, b"* x\r\n" * (MAX_REPLY // 5 + 1) + b"a", f"the reply has more than {MAX_REPLY} bytes"),
    ],
)
def test_another_reply_is_wrong(reply: Reply, data: bytes, reason: str) -> None:
    with pytest.raises(WrongReplyError, match=reason) as caught:
        reply.scan(data, 7, crlf=True)
    assert caught.value.ends_wrong == ("CRLF" in reason)


def test_a_bare_lf_ends_a_line_if_the_dialect_allows_it() -> None:
    assert LINE.scan(b"OK\n", 1, crlf=False) == 3
    assert LINE.scan(b"OK\r\n", 1, crlf=False) == 4
    assert COUNTED.scan(b"$3\n7:7\n", 7, crlf=False) == 7


def test_a_pattern_says_what_it_is() -> None:
    assert (str(CODED), str(COUNTED)) == ("250[ -] ... 250 ", r"\$(\d+) ... {n}:{n}$")
    assert (CODED.is_numbered, TAGGED.is_numbered) == (False, True)


def test_a_hidden_request_is_distinguished_from_its_line_if_possible() -> None:
    redis, memcached, smtp, mpd = (load(name) for name in ("redis", "memcached", "smtp", "mpd"))
    assert (redis.ghost.request, redis.ghost_is_distinct) == (("ECHO e{n}",), True)
    assert (memcached.ghost.request, memcached.ghost_is_distinct) == (("version",), False)
    assert (smtp.ghost.request, smtp.ghost_is_distinct) == (("RSET",), False)
    assert mpd.ghost.request == ("ping",)
