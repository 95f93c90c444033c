"""Commands: lines without their ends, and bodies up to a lone dot."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from caas_trio import (
    BareTerminator,
    Connection,
    CountRefused,
    InputEnded,
    Limits,
    LineTooLong,
    PeerError,
    Terminator,
)
from caas_trio.core.terminator import LF

from .test_memory import traced

CRLF = Terminator.CRLF


async def connected(
    sent: bytes, terminator: Terminator = CRLF, max_line: int = 20, *, ended: bool = True
) -> tuple[Connection, trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]]:
    """Return a connection over memory, and the client's side of it, which has sent something."""
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(sent)
    if ended:
        await client.send_eof()
    return Connection.over(server, limits=Limits(max_line=max_line), terminator=terminator), client  # type: ignore[return-value]


async def test_commands_come_without_terminators_and_a_tail_is_not_one() -> None:
    connection, _ = await connected(b"HELO\r\n\r\nQUIT\r\nDELE 1")
    commands = connection.commands()
    assert (commands.tail, commands.count) == (b"", 0)
    assert [command async for command in commands] == [b"HELO", b"", b"QUIT"]
    assert (commands.tail, commands.count) == (b"DELE 1", 3)
    assert [command async for command in commands] == []
    assert commands.tail == b"DELE 1"


async def test_with_lf_only_the_lf_is_taken_off() -> None:
    connection, _ = await connected(b"one\r\ntwo\n", Terminator.LF)
    assert [command async for command in connection.commands()] == [b"one\r", b"two"]


async def test_a_line_too_long_is_answered_and_the_loop_goes_on() -> None:
    connection, client = await connected(b"x" * 21 + b"\r\nNOOP\r\n" + b"x" * 99 + b"\r\nQUIT\r\n")
    commands = connection.commands(too_long=b"500 too long\r\n", max_too_long=1)
    assert [await anext(commands)] == [b"NOOP"]
    assert await client.receive_some() == b"500 too long\r\n"
    with pytest.raises(LineTooLong):
        await anext(commands)
    assert await anext(commands) == b"QUIT"
    connection, client = await connected(b"x" * 21 + b"\r\n" + b"y" * 21 + b"\r\nNOOP\r\n")
    assert await anext(connection.commands(too_long=b"no\r\n")) == b"NOOP"
    assert await client.receive_some() == b"no\r\nno\r\n"


async def test_a_line_too_long_ends_the_loop_where_no_answer_is_given() -> None:
    connection, _ = await connected(b"x" * 21 + b"\r\nNOOP\r\n")
    with pytest.raises(LineTooLong):
        await anext(connection.commands())
    assert await anext(connection.commands(too_long=b"")) == b"NOOP"


async def test_no_more_commands_come_than_asked_for() -> None:
    connection, _ = await connected(b"a\r\nb\r\nc\r\n")
    commands = connection.commands(max_commands=2, too_long=b"")
    assert [command async for command in commands] == [b"a", b"b"]
    assert await connection.receive_line() == b"c\r\n"


async def test_other_reads_fit_between() -> None:
    connection, _ = await connected(b"SET 3\r\na\nb\r\nGET\r\n")
    seen = []
    async for command in connection.commands():
        seen.append(command)
        if command.startswith(b"SET"):
            seen.append(await connection.receive_exactly(3))
            seen.append(await connection.receive_line())
    assert seen == [b"SET 3", b"a\nb", b"\r\n", b"GET"]


async def test_half_a_terminator_ends_the_loop() -> None:
    connection, _ = await connected(b"a\r\nb\nc\r\nd\r\n")
    commands = connection.commands()
    assert await anext(commands) == b"a"
    with pytest.raises(BareTerminator, match=r"^bare LF in a line, which ends with CR LF$") as caught:
        await anext(commands)
    assert caught.value.connection is connection
    assert await anext(commands) == b"d"


async def test_a_body_is_unstuffed_and_its_dot_taken() -> None:
    connection, _ = await connected(b"a\r\n..b\r\n...\r\n\r\n.\r\nQUIT\r\n")
    assert await connection.receive_dot_stuffed(100) == b"a\r\n.b\r\n..\r\n\r\n"
    assert await connection.receive_line() == b"QUIT\r\n"
    connection, _ = await connected(b".\n", Terminator.LF)
    assert await connection.receive_dot_stuffed(0) == b""
    connection, _ = await connected(b"..\r\n1\r\n.\r\n")
    assert await connection.receive_dot_stuffed(6) == b".\r\n1\r\n"  # just as many as it may have


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"12345\r\n", CountRefused(7, 6)),
        (b"1\r\n..2\r\n3\r\n", CountRefused(10, 6)),
        (b"1\r\n" + b"x" * 21 + b"\r\n2\r\n", LineTooLong(20)),
        (b"1\n.\r\nMAIL\r\n" + b"x" * 21 + b"\r\n", BareTerminator(LF)),
        (b"1\r.\r\n", BareTerminator(b"\r")),
    ],
)
async def test_a_body_is_read_to_its_end_whatever_is_wrong_with_it(body: bytes, error: PeerError) -> None:
    connection, _ = await connected(body + b".\r\nQUIT\r\n")
    with pytest.raises(type(error)) as caught:
        await connection.receive_dot_stuffed(6)
    assert str(caught.value) == str(error)
    assert caught.value.connection is connection
    assert await connection.receive_line() == b"QUIT\r\n"


@pytest.mark.parametrize(("begin", "limit"), [(b"", 1000), (b"x" * 101 + b"\r\n", 10**9)])
async def test_the_rest_of_a_refused_body_is_not_held(
    begin: bytes, limit: int, nursery: trio.Nursery
) -> None:
    connection, client = await connected(begin, max_line=100, ended=False)
    nursery.start_soon(connection.receive_dot_stuffed, limit)
    lines = b"a line of a body that is refused\r\n" * 1000
    await client.send_all(lines)
    await trio.testing.wait_all_tasks_blocked()
    with traced() as memory:
        for _ in range(20):
            await client.send_all(lines)
            await trio.testing.wait_all_tasks_blocked()
        assert memory.peak < 5 * len(lines)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("body", "received"), [(b"", 0), (b"1\r\n", 3), (b"1\r\n..2\r\n.", 8), (b"1\r\n.\r", 3)]
)
async def test_a_body_without_its_dot_is_not_returned(body: bytes, received: int) -> None:
    connection, _ = await connected(body)
    with pytest.raises(InputEnded) as caught:
        await connection.receive_dot_stuffed(6)
    assert str(caught.value) == f"the input ended after {received} bytes, within a body"
    assert caught.value.connection is connection
