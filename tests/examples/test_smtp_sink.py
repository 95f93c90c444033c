"""The SMTP example."""

from __future__ import annotations

import hashlib

import pytest
from smtp_sink import MAX_COMMAND, MAX_FAILURES, MAX_RECIPIENTS, MAX_SIZE, MAX_TEXT, handler

from caas_trio import connect
from caas_trio.conformance import Profile, Verdict, judge
from caas_trio.conformance.dialects.families import CASES
from caas_trio.conformance.dialects.parsing import load
from tests.certificates import HOST, client_context

from .talking import ask, served, talk

HELLO = b"EHLO client\r\n"
ENVELOPE = b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\n"
GREETED = (
    b"220 caas ESMTP sink\r\n250-caas\r\n250-SIZE %d\r\n250-8BITMIME\r\n250-PIPELINING\r\n"
    b"250 ENHANCEDSTATUSCODES\r\n" % MAX_SIZE
)
READY = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 end with a line that is a dot\r\n"
BYE = b"221 2.0.0 goodbye\r\n"


def accepted(message: bytes) -> bytes:
    """Return the reply to a message."""
    return b"250 2.0.0 %d bytes, SHA-256 %b\r\n" % (
        len(message),
        hashlib.sha256(message).hexdigest().encode(),
    )


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
async def test_messages_that_are_pipelined(*, cut: bool) -> None:
    said = HELLO + (ENVELOPE + b"DATA\r\nSubject: x\r\n\r\n..\r\n...x\r\n.\r\n") * 2 + b"QUIT\r\nNOOP\r\n"
    message = b"Subject: x\r\n\r\n.\r\n..x\r\n"
    assert await talk(handler, said, cut=cut) == GREETED + (READY + accepted(message)) * 2 + BYE


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"HELO client", b"250 caas"),
        (b"EHLO", b"501 5.5.4 wrong parameters"),
        (b"nonsense", b"500 5.5.2 unknown command"),
        (b"", b"500 5.5.2 unknown command"),
        (b"NOOP whatever", b"250 2.0.0 ok"),
        (b"STARTTLS", b"502 5.5.1 TLS is not available, or in use"),
        (b"VRFY bob", b"252 2.5.0 send it, and see"),
        (b"RSET now", b"501 5.5.4 wrong parameters"),
        (b"rset", b"250 2.0.0 ok"),
        (b"DATA", b"503 5.5.1 RCPT comes first"),
        (b"RCPT TO:<bob@example.net>", b"503 5.5.1 MAIL comes first"),
        (b"MAIL FROM:ann", b"501 5.5.4 expected MAIL FROM:<path>"),
        (b"MAIL TO:<ann>", b"501 5.5.4 expected MAIL FROM:<path>"),
        (b"MAIL FROM:<a\x00b>", b"501 5.5.4 expected MAIL FROM:<path>"),
        (b"mail from:<> size=10 body=8bitmime", b"250 2.1.0 ok"),
        (b"MAIL FROM:<> SIZE=%d" % (MAX_SIZE + 1), b"552 5.3.4 a message may have 1048576 bytes"),
        (b"MAIL FROM:<> SIZE=x", b"555 5.5.4 unknown parameter"),
        (b"MAIL FROM:<> SMTPUTF8", b"555 5.5.4 unknown parameter"),
        (b"x" * (MAX_COMMAND + 1), b"500 5.5.6 line too long"),
    ],
)
async def test_a_command(command: bytes, reply: bytes) -> None:
    heard = await talk(handler, HELLO + command + b"\r\nNOOP\r\n")
    assert heard == GREETED + reply + b"\r\n250 2.0.0 ok\r\n"


async def test_the_greeting_comes_first() -> None:
    heard = await talk(handler, b"MAIL FROM:<ann>\r\n")
    assert heard.endswith(b"503 5.5.1 EHLO comes first, and one MAIL\r\n")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"RCPT TO:<>", b"501 5.5.4 expected RCPT TO:<path>"),
        (b"RCPT TO:<bob> NOTIFY=NEVER", b"501 5.5.4 expected RCPT TO:<path>"),
        (b"RCPT FROM:<bob>", b"501 5.5.4 expected RCPT TO:<path>"),
        (b"MAIL FROM:<ann>", b"503 5.5.1 EHLO comes first, and one MAIL"),
    ],
)
async def test_a_command_within_a_transaction(command: bytes, reply: bytes) -> None:
    heard = await talk(handler, HELLO + b"MAIL FROM:<ann>\r\n" + command + b"\r\n")
    assert heard == GREETED + b"250 2.1.0 ok\r\n" + reply + b"\r\n"


async def test_recipients_are_bounded() -> None:
    said = HELLO + b"MAIL FROM:<ann>\r\n" + b"RCPT TO:<bob>\r\n" * (MAX_RECIPIENTS + 1)
    heard = await talk(handler, said)
    assert heard.count(b"250 2.1.5 ok") == MAX_RECIPIENTS
    assert heard.endswith(b"452 4.5.3 too many recipients\r\n")


async def test_a_client_that_fails_too_often_is_sent_away() -> None:
    heard = await talk(handler, HELLO + b"nonsense\r\n" * (MAX_FAILURES + 1))
    assert heard.count(b"500 5.5.2") == MAX_FAILURES
    assert heard.endswith(b"421 4.7.0 too many errors\r\n")


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b"x" * (MAX_TEXT + 1) + b"\r\n", b"554 5.6.0 a line may have 998 bytes\r\n"),
        (b"x" * 60 + b"\r\n", b""),
        ((b"x" * 62 + b"\r\n") * (MAX_SIZE // 64 + 1), b"552 5.3.4 a message may have 1048576 bytes\r\n"),
    ],
)
async def test_a_message_is_bounded(text: bytes, reply: bytes) -> None:
    heard = await talk(handler, HELLO + ENVELOPE + b"DATA\r\n" + text + b".\r\nNOOP\r\n")
    assert heard == GREETED + READY + (reply or accepted(text)) + b"250 2.0.0 ok\r\n"


SMUGGLED = b"MAIL FROM:<boss>\r\nRCPT TO:<victim>\r\nDATA\r\nforged\r\n"


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r"]
)
async def test_no_message_is_smuggled(end: bytes, *, cut: bool) -> None:
    """CVE-2023-51764 to -51766: what other servers take for the end of a message is a fault of its sender."""
    said = HELLO + ENVELOPE + b"DATA\r\none" + end + SMUGGLED + b".\r\nNOOP\r\n"
    heard = await talk(handler, said, cut=cut)
    assert heard == GREETED + READY + b"554 5.6.11 a bare CR or LF ends no line\r\n250 2.0.0 ok\r\n"


@pytest.mark.parametrize("command", [b"NOOP\n", b"NOOP\rQUIT\r\n", b"NO\nOP\r\n"])
async def test_a_command_ends_with_cr_lf(command: bytes) -> None:
    heard = await talk(handler, HELLO + command + b"QUIT\r\n")
    assert heard == GREETED + b"521 5.5.2 a bare CR or LF ends no command\r\n"


async def test_a_message_that_is_cut_off_is_not_accepted() -> None:
    heard = await talk(handler, HELLO + ENVELOPE + b"DATA\r\none\r\n.")
    assert heard == GREETED + READY


async def test_half_a_command_is_not_executed() -> None:
    assert await talk(handler, HELLO + b"NOOP") == GREETED


async def test_starttls_begins_the_conversation_anew() -> None:
    async with served(handler) as endpoint, connect(endpoint) as client:
        assert await client.receive_line() == b"220 caas ESMTP sink\r\n"
        await client.send(HELLO)
        offered = [await client.receive_line() for _ in range(6)]
        assert b"250-STARTTLS\r\n" in offered
        await ask(client, b"MAIL FROM:<ann>\r\nSTARTTLS\r\n", b"250 2.1.0 ok\r\n", b"220 2.0.0 go ahead\r\n")
        await client.start_tls(client_context(), server_hostname=HOST)
        await ask(client, b"MAIL FROM:<ann>\r\n", b"503 5.5.1 EHLO comes first, and one MAIL\r\n")
        await ask(client, b"STARTTLS\r\n", b"502 5.5.1 TLS is not available, or in use\r\n")
        await client.send(HELLO + ENVELOPE + b"DATA\r\n.\r\nQUIT\r\n")
        heard = b"".join([line async for line in client])
    assert heard == GREETED.partition(b"\r\n")[2] + READY + accepted(b"") + BYE


async def test_commands_behind_starttls_are_never_run() -> None:
    async with served(handler) as endpoint, connect(endpoint) as client:
        await client.send(b"STARTTLS\r\nNOOP\r\n")
        heard = b"".join([line async for line in client])
    assert heard == b"220 caas ESMTP sink\r\n220 2.0.0 go ahead\r\n"


async def test_nothing_is_smuggled_through_it() -> None:
    """The suite's cases for SMTP of what ends a body, whole and byte by byte, and of STARTTLS."""
    cases = [case for case in CASES if case.sanity or case.clause in ("TERM-7", "STLS-1", "STLS-2")]
    async with served(handler) as endpoint:
        report = await judge(endpoint, Profile(dialect=load("smtp")), cases)
    judged = [result for result in report.results if not result.case.sanity]
    assert [result.why for result in judged if result.verdict is not Verdict.PASSED] == []
    assert len(judged) > 15
