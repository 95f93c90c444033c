"""Datagrams: asking, asking again, and what comes back."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from caas_trio.conformance import Case, Profile, Result, UnreachableError, Verdict
from caas_trio.conformance.engine import run_case
from caas_trio.conformance.runner import check_reachable
from caas_trio.conformance.script import Abandon, Ask, AskTogether, Step
from caas_trio.core.endpoint import Endpoint

from .conftest import StartRight

SHORT = 0.4


@contextlib.asynccontextmanager
async def answering(answers: Callable[[int, bytes], list[bytes]]) -> AsyncIterator[Endpoint]:
    """Answer the nth datagram with what `answers` returns for it."""

    async def serve() -> None:
        for number in range(1000):
            data, sender = await sock.recvfrom(65536)
            for answer in answers(number, data):
                await sock.sendto(answer, sender)

    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield Endpoint.parse(f"udp://127.0.0.1:{sock.getsockname()[1]}")
            nursery.cancel_scope.cancel()


async def tried(endpoint: Endpoint, *steps: Step, seconds: float = 10.0) -> Result:
    case = Case("DGRAM-1", "test", lambda _: steps)
    return await run_case(case, endpoint, Profile(datagrams=True), seconds)


ASK = Ask(b"a", b"A")


async def test_a_right_reply() -> None:
    async with answering(lambda _, data: [data.upper()]) as endpoint:
        assert (await tried(endpoint, ASK)).verdict is Verdict.PASSED


async def test_a_lost_datagram_is_sent_again() -> None:
    async with answering(lambda number, data: [data.upper()] if number else []) as endpoint:
        assert (await tried(endpoint, ASK, seconds=SHORT)).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("answer", "ask", "clause", "reason"),
    [
        ([], ASK, "DGRAM-1", "no reply came to any of 4 datagrams"),
        ([b"B"], ASK, "DGRAM-1", "the reply is wrong"),
        ([b"A", b"A"], ASK, "DGRAM-2", "a second reply came"),
        ([b"Hi", b"A"], ASK, "DGRAM-2", "a second reply came"),
        ([b"B", b"A"], ASK, "DGRAM-4", "a second reply came"),
        ([b"error"], Ask(b"", b"", shorter=True), "DGRAM-1", "the reply is longer than the request"),
    ],
)
async def test_what_is_wrong(answer: list[bytes], ask: Ask, clause: str, reason: str) -> None:
    async with answering(lambda _, data: answer if data == ask.data else []) as endpoint:
        result = await tried(endpoint, ask, seconds=SHORT)
    assert [(fault.clause, fault.reason) for fault in result.faults] == [(clause, reason)]


@pytest.mark.parametrize("answer", [[], [b""]])
async def test_a_reply_that_may_be_missing(answer: list[bytes]) -> None:
    async with answering(lambda _number, _data: answer) as endpoint:
        assert (await tried(endpoint, Ask(b"", b"", shorter=True))).verdict is Verdict.PASSED


async def test_a_refused_connection() -> None:
    async with answering(lambda _, data: [data]) as endpoint:
        await check_reachable(endpoint, 1.0)
    result = await tried(endpoint, ASK, seconds=SHORT)
    assert [fault.reason for fault in result.faults] == ["no reply came to any of 4 datagrams"]
    with pytest.raises(UnreachableError, match="Connection refused"):
        await check_reachable(endpoint, 1.0)


async def test_a_reply_has_to_come_from_where_the_request_was_sent_to(right: StartRight) -> None:
    ask = Ask(b"a", b"A", from_there=True)
    for endpoint in (right("udp://127.0.0.1:0"), right("unixgram:@caas-conformance-test-from-there")):
        assert (await tried(endpoint, ask)).verdict is Verdict.PASSED
        wrong = await tried(endpoint, Ask(b"a", b"a", from_there=True))
        assert [fault.reason for fault in wrong.faults] == ["the reply is wrong"]


async def test_a_reply_from_elsewhere(tmp_path: Path, right: StartRight) -> None:
    right(f"unixgram:{tmp_path}/bound")
    (tmp_path / "bound").rename(tmp_path / "renamed")
    ask = Ask(b"a", b"A", from_there=True)
    result = await tried(Endpoint.parse(f"unixgram:{tmp_path}/renamed"), ask)
    [fault] = result.faults
    assert (fault.clause, fault.reason) == ("DGRAM-7", "the reply came from elsewhere")
    assert (fault.expected, fault.received) == (
        b"%b/renamed" % bytes(tmp_path),
        b"%b/bound" % bytes(tmp_path),
    )


async def test_a_missing_reply_is_looked_for_from_other_addresses() -> None:
    udp = socket.SOCK_DGRAM
    with trio.socket.socket(type=udp) as asked, trio.socket.socket(type=udp) as other:
        await asked.bind(("127.0.0.1", 0))
        endpoint = Endpoint.parse(f"udp://127.0.0.1:{asked.getsockname()[1]}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_forward, asked, other)
            result = await tried(endpoint, ASK, seconds=SHORT)
            nursery.cancel_scope.cancel()
    assert [(fault.clause, fault.reason) for fault in result.faults] == [
        ("DGRAM-7", "the reply came from elsewhere")
    ]


async def _forward(asked: trio.socket.SocketType, other: trio.socket.SocketType) -> None:
    """Answer what comes at one socket from the other one."""
    while True:
        data, sender = await asked.recvfrom(65536)
        await other.sendto(data.upper(), sender)


async def test_no_reply_comes_where_there_is_no_socket() -> None:
    nobody = Endpoint.parse("unixgram:/nonexistent/caas.sock")
    result = await tried(nobody, Ask(b"a", b"A", from_there=True), seconds=SHORT)
    assert [fault.reason for fault in result.faults] == ["no reply came to any of 4 datagrams"]


async def test_a_server_that_never_replies_is_reported() -> None:
    async with answering(lambda _number, _data: []) as endpoint:
        result = await tried(endpoint, Ask(b"a", b"A", from_there=True), seconds=SHORT)
        assert [fault.reason for fault in result.faults] == ["no reply came to any of 4 datagrams"]


async def test_a_sender_that_leaves_needs_no_server() -> None:
    result = await tried(Endpoint.parse("unixgram:/nonexistent/caas.sock"), Abandon(b"gone\n"))
    assert result.verdict is Verdict.PASSED


async def test_a_probe_may_be_answered() -> None:
    async with answering(lambda _number, _data: [b""]) as endpoint:
        await check_reachable(endpoint, 1.0)


async def test_unix_datagrams_are_answered_to_a_name_of_the_kernels_choice(right: StartRight) -> None:
    endpoint = right("unixgram:@caas-conformance-test-datagrams")
    assert (await tried(endpoint, ASK, Abandon(b"gone\n"), ASK)).verdict is Verdict.PASSED


TOGETHER = AskTogether((b"a", b"b"), (b"A", b"B"))


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (lambda data: [data.upper()], []),
        (lambda _: [], [("DGRAM-1", "no reply came")]),
        (lambda data: [data.lower()], [("DGRAM-1", "the reply is wrong")]),
        (lambda data: [data.upper(), data.upper()], [("DGRAM-2", "a second reply came")]),
        (lambda data: [data.upper(), b"more?"], [("DGRAM-2", "a second reply came")]),
        (lambda data: [data.upper(), b"OTHER"], [("DGRAM-4", "a second reply came")]),
        (lambda _: [b"B"], [("DGRAM-4", "a second reply came")]),
    ],
)
async def test_wrong_replies_to_many_senders_are_reported(
    answer: Callable[[bytes], list[bytes]], reasons: list[tuple[str, str]]
) -> None:
    async with answering(lambda _, data: answer(data)) as endpoint:
        result = await tried(endpoint, TOGETHER, seconds=SHORT)
    assert [(fault.clause, fault.reason) for fault in result.faults] == reasons


async def test_many_senders_that_lose_one_ask_again() -> None:
    async with answering(lambda number, data: [data.upper()] if number else []) as endpoint:
        assert (await tried(endpoint, TOGETHER, seconds=SHORT)).verdict is Verdict.PASSED


async def test_many_senders_beside_one_that_has_left() -> None:
    ask = AskTogether((b"a",), (b"A",), gone=b"gone")
    async with answering(lambda _, data: [data.upper()]) as endpoint:
        assert (await tried(endpoint, ask)).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("answer", "reasons"), [([b"x"], []), ([], []), ([b"error"], ["the reply is longer than the request"])]
)
async def test_replies_that_may_be_missing(answer: list[bytes], reasons: list[str]) -> None:
    ask = AskTogether((b"a",), (b"",), shorter=True)
    async with answering(lambda _number, _data: answer) as endpoint:
        result = await tried(endpoint, ask)
    assert [fault.reason for fault in result.faults] == reasons


async def test_many_senders_and_no_server() -> None:
    result = await tried(Endpoint.parse("unixgram:/nonexistent/caas.sock"), TOGETHER, seconds=SHORT)
    assert [fault.reason for fault in result.faults] == ["no reply came"]


async def test_a_sender_waits_for_room(tmp_path: Path) -> None:
    """A Unix socket has room for a few datagrams that nobody has read; a sender that is to be gone waits.

    Slow: the server reads late.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        plain.bind(str(tmp_path / "socket"))
        plain.settimeout(0.0)
        endpoint = Endpoint.parse(f"unixgram:{tmp_path}/socket")
        received: list[bytes] = []

        async def read() -> None:
            await trio.sleep(0.05)
            sock = trio.socket.from_stdlib_socket(plain)
            while True:
                received.append(await sock.recv(100))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            result = await tried(endpoint, *(Abandon(b"%d" % number) for number in range(2000)))
            while len(received) < 2000:  # noqa: ASYNC110 - the reader has no word for it
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert result.verdict is Verdict.PASSED
    assert received == [b"%d" % number for number in range(2000)]


async def test_a_sender_gives_up_where_there_is_no_room(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        plain.bind(str(tmp_path / "socket"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
            filling.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                while True:
                    filling.sendto(b"x", plain.getsockname())
        result = await tried(Endpoint.parse(f"unixgram:{tmp_path}/socket"), Abandon(b"x"))
    assert result.verdict is Verdict.PASSED
    assert result.log.entries == []
