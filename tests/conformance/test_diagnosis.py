"""Servers that are not what they are declared to be: a sentence for each says what they seem to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from caas_trio.conformance import First, Profile, Proxy, Report, Result, judge, select
from caas_trio.conformance.reports import html, machine, text
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.session import DEFAULT_PROMPT
from tests.certificates import server_context

from .conftest import Handler, scripted

SHORT = 0.3
NOTHING = "it accepts connections and sends nothing: not to LF, not to CRLF, not to the end of input"


async def judged(handler: Handler, profile: Profile | None = None) -> tuple[Report, Result]:
    """Return the report on a server that fails its sanity, and the result that says so."""
    async with scripted(handler) as endpoint:
        report = await judge(endpoint, profile or Profile(), select(["FRAME-3"]), timeout_s=SHORT)
    [failed] = [result for result in report.results if result.faults]
    return report, failed


async def silent(stream: trio.SocketStream) -> None:
    async for _ in stream:
        pass
    await trio.sleep_forever()


async def strictly_crlf(stream: trio.SocketStream) -> None:
    received = b""
    async for data in stream:
        *lines, received = (received + data).split(b"\r\n")
        for line in lines:
            await stream.send_all(line.upper() + b"\r\n")


def answering(answer: Callable[[bytes | bytearray], bytes | bytearray]) -> Handler:
    async def handler(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(answer(data))

    return handler


async def with_tls(stream: trio.SocketStream) -> None:
    """Shake hands as a TLS server, which ends at a client that speaks in plain."""
    tls = trio.SSLStream(stream, server_context(), server_side=True)
    await tls.do_handshake()


def greeting(prompt: bytes, handler: Callable[[trio.SocketStream], Awaitable[None]]) -> Handler:
    async def greeted(stream: trio.SocketStream) -> None:
        await stream.send_all(prompt)
        await handler(stream)

    return greeted


@pytest.mark.parametrize(
    ("handler", "profile", "hint"),
    [
        (silent, Profile(), NOTHING),
        (silent, Profile(proxy=Proxy.V1), NOTHING),
        (greeting(DEFAULT_PROMPT, silent), Profile(first=First.SERVER), NOTHING),
        (
            strictly_crlf,
            Profile(),
            "it answers a line that ends in CRLF, and waits where one ends in LF alone",
        ),
        (with_tls, Profile(), "it speaks TLS; judge it as a tls endpoint"),
        (
            answering(lambda _: b"\x15\x03\x01\x00\x02\x02\x46"),
            Profile(),
            "it speaks TLS; judge it as a tls endpoint",
        ),
        (
            answering(lambda _: b"HTTP/1.1 400 Bad Request\r\n"),
            Profile(),
            "it answers as an HTTP server does",
        ),
        (answering(lambda _: b"<!DOCTYPE HTML>\n"), Profile(), "it answers as an HTTP server does"),
        (answering(lambda data: data), Profile(), ""),
        (
            greeting(b"it's me\n", silent),
            Profile(),
            "it speaks first; declare --first server --prompt 'it'\"'\"'s me' if that is what it should do",
        ),
        (
            greeting(b"login: ", silent),
            Profile(),
            "it speaks first; declare --first server and its --prompt, a line, if that is what it should do",
        ),
    ],
)
async def test_a_hint(handler: Handler, profile: Profile, hint: str) -> None:
    report, failed = await judged(handler, profile)
    assert failed.hint == hint
    told = "\n".join(text.lines(report))
    assert ("  hint      " in told) == bool(hint)
    if hint:
        assert f"  hint      {hint}" in told
        assert "Hint: " in html.as_html(report)
        assert hint in machine.as_junit(report)
        assert hint.replace('"', '\\"') in machine.as_json(report)


async def test_a_server_that_answers_only_at_the_end_needs_no_hint() -> None:
    async def at_the_end(stream: trio.SocketStream) -> None:
        data = b"".join([data async for data in stream])
        await stream.send_all(data.upper())

    _, failed = await judged(at_the_end)
    assert (failed.faults[0].clause, failed.hint) == ("TIME-1", "")


async def test_datagrams_get_no_hint() -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))
        endpoint = Endpoint.parse(f"udp://127.0.0.1:{sock.getsockname()[1]}")
        report = await judge(endpoint, Profile(datagrams=True), select(["DGRAM-1"]), timeout_s=SHORT)
    [failed] = [result for result in report.results if result.faults]
    assert failed.hint == ""


async def test_a_failed_connection_gets_no_hint() -> None:
    scope = trio.CancelScope()

    async def first_client_only(stream: trio.SocketStream) -> None:
        scope.cancel()
        await stream.aclose()

    async def listen(task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        with scope:
            await trio.serve_tcp(first_client_only, 0, host="127.0.0.1", task_status=task_status)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(listen)
        endpoint = Endpoint.parse(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}")
        report = await judge(endpoint, Profile(), select(["FRAME-3"]), timeout_s=SHORT)
    [failed] = [result for result in report.results if result.faults]
    assert (failed.faults[0].clause, failed.hint) == ("LOAD-6", "")
