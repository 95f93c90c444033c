"""The HTTP server for monitoring: its pages, one request per connection, a limited number in a second."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import Connection, Endpoint, InternetPeer, Limits, ListenError, Telemetry
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.stream import StreamChannel
from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.observing.monitoring import PACE, Answer, Responder, serve_monitoring
from caas_trio.observing.status import History, ServiceStatus, Status
from caas_trio.observing.statuspage import POLICY

from .support.recorder import Recorder
from .support.streams import receive_all

ANYWHERE = Endpoint.parse("tcp://127.0.0.1:0")
SERVING = ServiceStatus(state="serving", workers=[])


class Monitored:
    """A service that is monitored, and the way to ask."""

    def __init__(self) -> None:
        self.ready = True
        self.telemetry = Recorder()
        self.endpoint = ANYWHERE

    def metrics(self) -> bytes:
        return b"caas_trio_up 1.0\n"

    async def ask(self, request: bytes) -> tuple[str, dict[str, str], bytes]:
        """Return status line, headers and body of what is answered."""
        async with await trio.open_tcp_stream(self.endpoint.host, self.endpoint.port) as client:
            await client.send_all(request)
            return parsed(await receive_all(client))

    async def get(self, target: str) -> tuple[str, dict[str, str], bytes]:
        return await self.ask(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def parsed(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return status, dict(header.split(": ", 1) for header in headers), body


@asynccontextmanager
async def monitored(status: Callable[[], Status] | None = None) -> AsyncIterator[Monitored]:
    about = Monitored()
    async with trio.open_nursery() as nursery:
        start = partial(
            serve_monitoring, ANYWHERE, about.metrics, lambda: about.ready, about.telemetry, status=status
        )
        [about.endpoint] = await nursery.start(start)
        yield about
        nursery.cancel_scope.cancel()
    assert not about.telemetry.failures


async def test_the_pages_for_people() -> None:
    history = History(PrometheusTelemetry(Limits()).families)
    async with monitored(lambda: history.status(SERVING)) as about:
        status, headers, body = await about.get("/")
        assert status == "HTTP/1.1 200 OK"
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert body.startswith(b"<!DOCTYPE html>")
        assert b"open connections" in body
        status, headers, body = await about.get("/status")
        assert status == "HTTP/1.1 200 OK"
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert body.startswith(b"caas_trio ")
        assert (await about.ask(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"))[0].endswith("405 Method Not Allowed")
        status, _, body = await about.get("/favicon.ico")
        assert status == "HTTP/1.1 404 Not Found"
        assert body == b"there are /, /healthz, /metrics, /readyz, /status\n"


async def test_the_pages() -> None:
    async with monitored() as about:
        status, headers, body = await about.get("/metrics")
        assert status == "HTTP/1.1 200 OK"
        assert headers["Content-Type"].startswith("text/plain; version=")
        assert headers["Content-Length"] == str(len(body))
        assert headers["Connection"] == "close"
        assert body == b"caas_trio_up 1.0\n"
        assert (await about.get("/healthz"))[0] == "HTTP/1.1 200 OK"
        assert (await about.get("/readyz"))[0] == "HTTP/1.1 200 OK"
        about.ready = False
        assert (await about.get("/healthz"))[0] == "HTTP/1.1 200 OK"
        assert (await about.get("/readyz"))[0] == "HTTP/1.1 503 Service Unavailable"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "target",
    [
        "/metrics?name[]=x",
        "/metrics/",
        "/metrics/?name[]=x/y",
        "/%6detrics",
        "http://127.0.0.1:9464/metrics",
        "HTTP://[::1]/metrics/",
        "https://user@metrics.example/metrics?name[]=x",
    ],
)
async def test_a_page_has_aliases(method: str, target: str) -> None:
    async with monitored() as about:
        request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n"
        status, headers, body = await about.ask(request.encode())
        assert status == "HTTP/1.1 200 OK"
        assert headers["Content-Length"] == str(len(about.metrics()))
        assert body == (about.metrics() if method == "GET" else b"")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", "404 Not Found"),
        (b"GET http://x HTTP/1.1", "404 Not Found"),
        (b"GET http://metrics HTTP/1.1", "404 Not Found"),
        (b"GET http:///metrics HTTP/1.1", "404 Not Found"),
        (b"GET ftp://x/metrics HTTP/1.1", "404 Not Found"),
        (b"GET /x/http://x/metrics HTTP/1.1", "404 Not Found"),
        (b"GET /PrometheusTelemetry HTTP/1.1", "404 Not Found"),
        (b"GET /metrics// HTTP/1.1", "404 Not Found"),
        (b"OPTIONS * HTTP/1.1", "404 Not Found"),
        (b"CONNECT x:80 HTTP/1.1", "404 Not Found"),
        (b"POST http://x/metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"GET //metrics HTTP/1.1", "404 Not Found"),
        (b"POST / HTTP/1.1", "404 Not Found"),
        (b"POST /metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"DELETE /healthz HTTP/1.1", "405 Method Not Allowed"),
        (b"GET /healthz HTTP/1.0", "200 OK"),
        (b"GET /healthz HTTP/9", "400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "400 Bad Request"),
        (b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: odd", "501 Not Implemented"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20000, "431 Request Header Fields Too Large"),
    ],
)
async def test_each_request_gets_its_status(request_line: bytes, status: str) -> None:
    async with monitored() as about:
        told, headers, body = await about.ask(request_line + b"\r\nHost: x\r\n\r\n")
        assert told == f"HTTP/1.1 {status}"
        assert headers.get("Allow") == ("GET, HEAD" if status.startswith("405") else None)
        assert body
        assert (await about.get("/healthz"))[0] == "HTTP/1.1 200 OK"


async def test_a_head_has_no_body() -> None:
    async with monitored() as about:
        _, headers, body = await about.ask(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (headers["Content-Length"], body) == ("17", b"")


async def test_a_second_request_is_not_answered() -> None:
    async with monitored() as about:
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        _, _, body = await about.ask(request * 100)
        assert body == b"alive\n"


@pytest.mark.parametrize("spoken", [b"", b"GET /met"])
async def test_a_client_that_disconnects_stops_nothing(spoken: bytes) -> None:
    async with monitored() as about:
        async with await trio.open_tcp_stream(about.endpoint.host, about.endpoint.port) as client:
            await client.send_all(spoken)
            await client.send_eof()
            answer = await receive_all(client)
        assert answer == b"" if not spoken else answer.startswith(b"HTTP/1.1 400 ")


async def test_an_address_in_use_is_refused() -> None:
    async with monitored() as about:
        with pytest.raises(ListenError, match=r"the address is in use"):
            await serve_monitoring(about.endpoint, about.metrics, lambda: True, Telemetry())


def connect(nursery: trio.Nursery, responder: Responder) -> trio.testing.MemoryReceiveStream:
    """Answer a connection whose client has sent its request; return the stream that it reads from."""
    client, server = trio.testing.memory_stream_pair()
    server.receive_stream.put_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    channel = StreamChannel(server, Limits(), Drain())
    connection = Connection(channel, ANYWHERE, InternetPeer("127.0.0.1", 1), Limits(), Drain())
    nursery.start_soon(responder.handle, connection)
    return client.receive_stream


def told(text: bytes) -> Callable[[], Answer]:
    return lambda: Answer(HTTPStatus.OK, text)


async def test_many_requests_are_answered_one_after_the_other(autojump_clock: MockClock) -> None:
    responder = Responder({b"/": told(b"x")})
    answered: list[float] = []

    async def read(stream: trio.testing.MemoryReceiveStream) -> None:
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        answered.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        begun = trio.current_time()
        for _ in range(100):
            nursery.start_soon(read, connect(nursery, responder))
    assert [when - begun for when in answered] == pytest.approx([number * PACE for number in range(100)])
    async with trio.open_nursery() as nursery:
        await trio.sleep(10)  # the mock clock's: turns that nobody took are not saved up
        begun = trio.current_time()
        for _ in range(2):
            nursery.start_soon(read, connect(nursery, responder))
    assert [when - begun for when in answered[100:]] == pytest.approx([0, PACE])


async def test_an_endless_request_is_cut_off(autojump_clock: MockClock) -> None:
    client, server = trio.testing.memory_stream_pair()
    limits = Limits(idle_timeout=1000, line_timeout=1000)
    channel = StreamChannel(server, limits, Drain())
    connection = Connection(channel, ANYWHERE, InternetPeer("127.0.0.1", 1), limits, Drain())

    async def dribble() -> None:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1000:
            await client.send_all(bytes([byte]))
            await trio.sleep(0.1)  # the mock clock's

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dribble)
        await Responder({b"/": told(b"x")}).handle(connection)
        assert trio.current_time() < 3
        nursery.cancel_scope.cancel()
    with trio.move_on_after(1) as waited:
        await client.receive_some()
    assert waited.cancelled_caught  # nothing was said
