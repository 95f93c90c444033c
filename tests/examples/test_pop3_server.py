"""The POP3 example."""

from __future__ import annotations

import pop3_server
import pytest
import trio
from pop3_server import MAX_BYTES, MAX_WRONG, Mailbox, Server
from trio.testing import MockClock

from caas_trio import Handler, UsageError, connect
from tests.certificates import HOST, client_context

from .talking import ask, connected, served, talk

ONE = b"Subject: one\r\n\r\nshort\r\n"
DOTS = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend\r\n"
LOGIN = b"USER joe\r\nPASS secret\r\n"
LOGGED_IN = b"+OK caas\r\n+OK\r\n+OK it is yours\r\n"


def server(*messages: bytes) -> Handler:
    """Return a server with one mailbox."""
    return Server({b"joe": Mailbox(b"secret", *messages)}).handler


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
async def test_a_session(*, cut: bool) -> None:
    said = (
        b"STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nuidl 1\r\nRETR 2\r\nTOP 2 0\r\nTOP 2 2\r\n"
        b"TOP 2 99999999999999999999\r\n"
        b"DELE 1\r\nDELE 1\r\nRETR 1\r\nSTAT\r\nLIST\r\nUIDL\r\nRSET\r\nNOOP\r\nSTAT\r\nQUIT\r\nSTAT\r\n"
    )
    head = b"Subject: dots\r\n\r\n"
    stuffed = head + b"..\r\n...\r\n..x\r\nend\r\n.\r\n"
    heard = (
        b"+OK 2 %d\r\n" % (len(ONE) + len(DOTS)),
        b"+OK 2 messages (%d octets)\r\n1 %d\r\n2 %d\r\n.\r\n" % (len(ONE) + len(DOTS), len(ONE), len(DOTS)),
        b"+OK 2 %d\r\n" % len(DOTS),
        b"+OK\r\n1 1\r\n2 2\r\n.\r\n+OK 1 1\r\n",
        b"+OK %d octets\r\n%b" % (len(DOTS), stuffed),
        b"+OK\r\n%b.\r\n" % head,
        b"+OK\r\n%b..\r\n...\r\n.\r\n" % head,
        b"+OK\r\n%b" % stuffed,
        b"+OK deleted\r\n-ERR it is deleted\r\n-ERR it is deleted\r\n",
        b"+OK 1 %d\r\n+OK 1 messages (%d octets)\r\n2 %d\r\n.\r\n+OK\r\n2 2\r\n.\r\n" % ((len(DOTS),) * 3),
        b"+OK\r\n+OK\r\n+OK 2 %d\r\n+OK goodbye\r\n" % (len(ONE) + len(DOTS)),
    )
    assert await talk(server(ONE, DOTS), LOGIN + said, cut=cut) == LOGGED_IN + b"".join(heard)


@pytest.mark.parametrize("argument", [b"0", b"2", b"-1", b"x", b"", b"1 1", b"9" * 200])
async def test_an_invalid_message_number_is_refused(argument: bytes) -> None:
    heard = await talk(server(ONE), LOGIN + b"RETR %b\r\nSTAT\r\n" % argument)
    assert heard.startswith(LOGGED_IN + b"-ERR ")
    assert heard.endswith(b"\r\n+OK 1 %d\r\n" % len(ONE))


async def test_what_is_deleted_is_gone_after_quit_only() -> None:
    handler = server(ONE, DOTS)
    await talk(handler, LOGIN + b"DELE 1\r\n")
    assert b"+OK 2 " in await talk(handler, LOGIN + b"STAT\r\n")
    await talk(handler, LOGIN + b"DELE 1\r\nQUIT\r\n")
    assert b"+OK\r\n1 2\r\n" in await talk(handler, LOGIN + b"UIDL\r\n")


async def test_one_client_at_a_time() -> None:
    handler = server(ONE)
    async with connected(handler) as one:
        await one.ask(LOGIN, LOGGED_IN)
        heard = await talk(handler, LOGIN)
        assert heard == b"+OK caas\r\n+OK\r\n-ERR [IN-USE] another client has the mailbox\r\n"
        await one.ask(b"QUIT\r\n", b"+OK goodbye\r\n")
        await one.ended.wait()
        assert await talk(handler, LOGIN) == LOGGED_IN


@pytest.mark.parametrize(
    "said", [b"PASS secret\r\n", b"USER joe\r\nPASS wrong\r\n", b"USER ann\r\nPASS secret\r\n"]
)
async def test_who_may_not_log_in(said: bytes) -> None:
    heard = await talk(server(ONE), said + b"STAT\r\n")
    assert heard.endswith(b"-ERR [AUTH] wrong name or password\r\n-ERR log in first\r\n")


async def test_capabilities() -> None:
    heard = b"+OK caas\r\n+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n+OK goodbye\r\n"
    assert await talk(server(), b"CAPA\r\nQUIT\r\n") == heard


@pytest.mark.parametrize("wrong", [b"NOOP", b"PASS secret"])
async def test_a_client_whose_commands_are_wrong_is_sent_away(wrong: bytes) -> None:
    heard = await talk(server(), (wrong + b"\r\n") * (MAX_WRONG + 1))
    assert heard.startswith(b"+OK caas\r\n-ERR ")
    assert heard.count(b"-ERR ") == MAX_WRONG


async def test_right_commands_before_the_log_in_are_not_counted() -> None:
    heard = await talk(server(), b"USER joe\r\n" * 100 + b"PASS secret\r\n")
    assert heard == b"+OK caas\r\n" + b"+OK\r\n" * 100 + b"+OK it is yours\r\n"


@pytest.mark.parametrize("said", [b"", b"USER joe\r\n"])
async def test_a_client_has_so_long_to_log_in(said: bytes, autojump_clock: MockClock) -> None:
    async with connected(server()) as client:
        while trio.current_time() < pop3_server.LOGIN_TIMEOUT_S - 1:
            await client.stream.send_all(said)
            await trio.sleep(1)
        heard = await client.receive_all()
    assert heard.startswith(b"+OK caas\r\n")
    assert int(trio.current_time()) == pop3_server.LOGIN_TIMEOUT_S


async def test_lines_are_short_and_end_with_cr_lf() -> None:
    long = b"x" * (pop3_server.MAX_COMMAND + 1)
    assert (
        await talk(server(), long + b"\r\nQUIT\r\n") == b"+OK caas\r\n-ERR line too long\r\n+OK goodbye\r\n"
    )
    heard = b"+OK caas\r\n-ERR a bare CR or LF ends no line\r\n"
    assert await talk(server(), b"NOOP\nQUIT\r\n") == heard


def test_a_mailbox_refuses_what_it_has_no_room_for() -> None:
    mailbox = Mailbox(b"", b"x" * (MAX_BYTES - 2) + b"\r\n")
    assert not mailbox.deliver(b"\r\n")
    mailbox = Mailbox(b"", *[b"\r\n"] * pop3_server.MAX_MESSAGES)
    assert not mailbox.deliver(b"\r\n")
    assert len(mailbox.messages) == pop3_server.MAX_MESSAGES


@pytest.mark.parametrize("message", [b"a\n", b"a\r", b"\r\r\n", b"no end"])
def test_a_mailbox_takes_lines_that_end_with_cr_lf(message: bytes) -> None:
    with pytest.raises(UsageError):
        Mailbox(b"", message)


async def test_stls_begins_the_log_in_anew() -> None:
    async with served(server(ONE)) as endpoint, connect(endpoint) as client:
        await ask(client, b"CAPA\r\n", b"+OK caas\r\n", b"+OK\r\n", b"STLS\r\n")
        while await client.receive_line() != b".\r\n":
            pass
        await ask(client, b"USER joe\r\nSTLS\r\n", b"+OK\r\n", b"+OK go ahead\r\n")
        await client.start_tls(client_context(), server_hostname=HOST)
        await ask(client, b"PASS secret\r\n", b"-ERR [AUTH] wrong name or password\r\n")
        await ask(client, b"STLS\r\n", b"-ERR log in first\r\n")
        await ask(
            client,
            LOGIN + b"STAT\r\nQUIT\r\n",
            b"+OK\r\n",
            b"+OK it is yours\r\n",
            b"+OK 1 %d\r\n" % len(ONE),
        )
        assert await client.receive_line() == b"+OK goodbye\r\n"
