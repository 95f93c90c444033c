"""Connections through a proxy: the header before anything else, and the client that it names."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from caas_trio import (
    Endpoint,
    EndpointError,
    First,
    InternetPeer,
    Limits,
    LineSession,
    LocalPeer,
    ProxyHeader,
    StreamRequestHandler,
    Trust,
    encode_proxy_header,
)
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import Outcome
from caas_trio.core.trust import LOOPBACK
from caas_trio.drivers.machine import MACHINE
from caas_trio.drivers.tlsstream import TlsStream
from caas_trio.server import handshaker
from caas_trio.server.admission import REFUSAL

from .certificates import HOST as TLS_HOST
from .certificates import client_context, server_context
from .support.drivers import serve, serve_sessions
from .support.recorder import ConnectionRecorder, Recorder
from .support.streams import connect

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")

PROMPT = b"say something:\n"
ELSEWHERE = (ipaddress.ip_network("192.0.2.0/24"),)
CLIENT = InternetPeer("192.0.2.7", 56324)
ANYBODY = ("198.51.100.1", 25)
HEADER = encode_proxy_header(ProxyHeader(1, (CLIENT.host, CLIENT.port), ANYBODY))
STRANGER = encode_proxy_header(ProxyHeader(2, ("203.0.113.9", 1), ANYBODY, checksum=True))
LOCAL = encode_proxy_header(ProxyHeader(2, local=True))
UNKNOWN = encode_proxy_header(ProxyHeader(1))


class Proxied(ConnectionRecorder):
    """A server behind a proxy, what it reports, and the proxy's part."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoints: list[Endpoint] = []
        self.stop = trio.Event()

    async def connect(self, which: int = 0) -> trio.SocketStream:
        return await connect(self.endpoints[which])

    async def talk(self, *pieces: bytes, which: int = 0) -> bytes:
        """Return all that is heard by a client that sends some pieces and ends its output."""
        async with await self.connect(which) as client:
            with suppress(trio.BrokenResourceError):  # it was refused meanwhile
                for piece in pieces:
                    await client.send_all(piece)
                    await trio.testing.wait_all_tasks_blocked(0.001)
                await client.send_eof()
            return await heard(client)


async def heard(client: trio.SocketStream) -> bytes:
    """Return all that a client hears; a reset ends it as a close does."""
    answer = b""
    with suppress(trio.BrokenResourceError):
        while chunk := await client.receive_some():
            answer += chunk
    return answer


@asynccontextmanager
async def serving(
    trust: Trust,
    *endpoints: str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    first: First = First.CLIENT,
) -> AsyncIterator[Proxied]:
    server = Proxied()
    start = partial(
        serve_sessions,
        lambda: LineSession(bytes.upper, first, PROMPT),
        *(endpoints or ("tcp://127.0.0.1:0",)),
        trust=trust,
        limits=limits,
        telemetry=server,
        stop=server.stop,
    )
    async with trio.open_nursery() as nursery:
        server.endpoints = await nursery.start(start)
        yield server
        server.stop.set()
    assert {endpoint for endpoint, _ in server.closed} <= set(server.endpoints)
    assert all(seconds >= 0 for seconds in server.durations)
    for outcome, moved in zip(server.outcomes, server.moved, strict=True):
        assert outcome is Outcome.LOST or (moved is None) is (outcome is Outcome.REFUSED)


@pytest.mark.parametrize(
    "pieces", [[HEADER + b"a\nb"], [HEADER, b"a\nb"], [bytes([byte]) for byte in HEADER + b"a\nb"]]
)
async def test_the_header_is_removed_in_any_cut(pieces: list[bytes]) -> None:
    async with serving(Trust(proxy_protocol=True)) as server:
        assert await server.talk(*pieces) == b"A\nB"
    assert not server.refused


async def test_the_prompt_waits_for_the_header() -> None:
    async with (
        serving(Trust(proxy_protocol=True), first=First.SERVER) as server,
        await server.connect() as client,
    ):
        await client.send_all(HEADER[:-1])
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.02):
            await client.receive_some()
        await client.send_all(HEADER[-1:])
        assert await client.receive_some() == PROMPT


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (HEADER, CLIENT),
        (encode_proxy_header(ProxyHeader(2, (CLIENT.host, CLIENT.port), ANYBODY)), CLIENT),
        (
            encode_proxy_header(ProxyHeader(2, ("2001:db8::7", 1), ("2001:db8::1", 2))),
            InternetPeer("2001:db8::7", 1),
        ),
        (encode_proxy_header(ProxyHeader(1, ("::ffff:192.0.2.7", 56324), ("::1", 2))), CLIENT),
        (encode_proxy_header(ProxyHeader(2, b"/run/client", b"/run/server")), None),
        (LOCAL, None),
        (UNKNOWN, None),
    ],
    ids=["version 1", "version 2", "IPv6", "IPv4 in IPv6", "Unix", "LOCAL", "UNKNOWN"],
)
async def test_the_peer_is_the_address_of_the_header(header: bytes, peer: Peer | None) -> None:
    seen: list[object] = []

    class Curious(StreamRequestHandler):
        async def handle(self) -> None:
            seen.extend([self.client_address, self.request.peer])

    async with trio.open_nursery() as nursery:
        start = partial(serve, Curious, "tcp://127.0.0.1:0", trust=Trust(proxy_protocol=True))
        server = Proxied()
        server.endpoints = await nursery.start(start)
        async with await server.connect() as client:
            await client.send_all(header)
            assert await heard(client) == b""
            expected = peer or InternetPeer(*client.socket.getsockname())
        nursery.cancel_scope.cancel()
    assert seen == [(expected.host, expected.port), expected]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"hello\n", "bad PROXY header: nothing that begins like one"),
        (HEADER[:20] + b"\n", "bad PROXY header: not a line of version 1"),
        (HEADER[:20], "bad PROXY header: the input ended before it was complete"),
    ],
)
async def test_an_invalid_header_gets_no_answer(sent: bytes, reason: str) -> None:
    async with serving(Trust(proxy_protocol=True), first=First.SERVER) as server:
        assert await server.talk(sent) == b""
        assert await server.talk(HEADER + b"next\n") == PROMPT + b"NEXT\n"
    assert server.reasons == [reason]
    assert isinstance(server.refused[0][1], InternetPeer)


async def test_a_missing_header_hits_the_opening_timeout() -> None:
    limits = Limits(opening_timeout=0.02)
    async with (
        serving(Trust(proxy_protocol=True), limits=limits, first=First.SERVER) as server,
        await server.connect() as client,
    ):
        assert await heard(client) == b""
    assert server.reasons == ["the opening timeout is over"]


async def test_a_missing_header_does_not_delay_the_stop() -> None:
    async with (
        serving(Trust(proxy_protocol=True), limits=Limits(opening_timeout=600)) as server,
        await server.connect() as silent,
        await server.connect() as prompt,
    ):
        await trio.testing.wait_all_tasks_blocked()
        await prompt.send_all(HEADER + b"a\n")
        server.stop.set()
        assert await heard(prompt) == b"A\n"
        assert await heard(silent) == b""


@pytest.mark.parametrize("rude", [False, True])
async def test_a_health_check_that_only_connects_is_not_reported(*, rude: bool) -> None:
    async with serving(Trust(proxy_protocol=True)) as server:
        async with await server.connect() as client:
            await trio.testing.wait_all_tasks_blocked(0.001)
            if rude:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert await server.talk(HEADER + b"next\n") == b"NEXT\n"
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert not server.refused
    assert server.outcomes == [Outcome.LOST, Outcome.COMPLETED]


@pytest.mark.parametrize("header", [LOCAL, UNKNOWN])
@pytest.mark.parametrize("observed", [True, False])
async def test_a_reset_by_the_proxy_is_no_bug(header: bytes, *, observed: bool) -> None:
    telemetry = ConnectionRecorder() if observed else Recorder()
    trust = Trust(proxy_protocol=True, allow_from=LOOPBACK)
    async with trio.open_nursery() as nursery:
        start = partial(serve_sessions, lambda: LineSession(bytes.upper), "tcp://127.0.0.1:0", trust=trust)
        limits = Limits(max_per_host=9)
        [endpoint] = await nursery.start(partial(start, limits=limits, telemetry=telemetry))
        for _ in range(3):
            with socket.create_connection((endpoint.host, endpoint.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(header)  # which can still be read, but not by whom it was sent
        async with await connect(endpoint) as client:
            await client.send_all(header + b"a\n")
            assert await client.receive_some() == b"A\n"
        nursery.cancel_scope.cancel()
    assert not telemetry.failures


class Hasty(socket.socket):
    """A socket that is said to be readable and is not, as select(2) warns of."""

    fooled = False

    def recv(self, *arguments: int) -> bytes:
        if not self.fooled:
            self.fooled = True
            assert not self.getblocking(), "it would wait, and the server with it"
            raise BlockingIOError
        return super().recv(*arguments)


async def test_a_spurious_readiness_is_harmless() -> None:
    ours, theirs = socket.socketpair()
    with theirs, Hasty(fileno=ours.detach()) as accepted:
        theirs.sendall(HEADER + b"a\n")
        header = await handshaker._proxy_header(accepted, MACHINE)
        assert header.source == (CLIENT.host, CLIENT.port)
        assert accepted.recv(100) == b"a\n"
        assert accepted.fooled


async def test_a_header_is_expected_on_configured_endpoints_only(tmp_path: Path) -> None:
    proxied, plain = f"unix:{tmp_path}/proxied", "tcp://127.0.0.1:0"
    asked = Endpoint.parse("tcp://localhost:0")
    trust = Trust(proxy_on=frozenset({Endpoint.parse(proxied), asked}))
    async with serving(trust, proxied, plain, str(asked)) as server:
        assert await server.talk(HEADER + b"a\n", which=0) == b"A\n"
        assert await server.talk(HEADER + b"a\n", which=1) == HEADER.upper() + b"A\n"
        assert await server.talk(HEADER + b"a\n", which=2) == b"A\n"
        assert await server.talk(b"a\n", which=0) == b""
    [(_, peer)] = server.refused
    assert isinstance(peer, LocalPeer)


async def test_proxy_on_an_unserved_endpoint_is_refused() -> None:
    trust = Trust(proxy_on=frozenset({Endpoint.parse("tcp://127.0.0.1:1")}))
    with pytest.raises(
        EndpointError, match=r"'tcp://127.0.0.1:1' is not an endpoint: a PROXY header is expected"
    ):
        await serve_sessions(lambda: LineSession(bytes.upper), "tcp://127.0.0.1:0", trust=trust)


async def test_a_header_from_an_untrusted_address_is_refused() -> None:
    async with serving(Trust(proxy_protocol=True, proxy_from=ELSEWHERE), first=First.SERVER) as server:
        assert await server.talk(HEADER + b"a\n") == b""
    assert server.reasons == ["the address is no proxy's"]


async def test_allow_uid_applies_to_the_proxy(tmp_path: Path) -> None:
    trust = Trust(proxy_protocol=True, allow_uids=frozenset({-1}))
    async with serving(trust, f"unix:{tmp_path}/s") as server:
        assert await server.talk(b"") == b""
    assert server.reasons == ["the user is not allowed"]


async def test_allow_from_applies_to_the_clients_address() -> None:
    async with serving(Trust(proxy_protocol=True, allow_from=ELSEWHERE)) as server:
        assert await server.talk(HEADER + b"a\n") == b"A\n"
        assert await server.talk(STRANGER + b"a\n") == b""
        assert await server.talk(UNKNOWN + b"a\n") == b""
        assert await server.talk(LOCAL + b"a\n") == b"A\n"
    assert server.reasons == ["the address is not allowed"] * 2
    assert server.refused[0][1] == InternetPeer("203.0.113.9", 1)


async def test_max_per_host_counts_the_clients_address() -> None:
    limits = Limits(max_per_host=1)
    async with serving(Trust(proxy_protocol=True), limits=limits, first=First.SERVER) as server:
        async with await server.connect() as first:
            await first.send_all(HEADER)
            assert await first.receive_some() == PROMPT
            assert await server.talk(HEADER + b"a\n") == REFUSAL
            assert await server.talk(STRANGER + b"a\n") == PROMPT + b"A\n"
        assert await server.talk(HEADER + b"a\n") == PROMPT + b"A\n"
    assert server.refused == [("too many connections from this host", CLIENT)]
    assert sorted(server.outcomes) == [*[Outcome.COMPLETED] * 3, Outcome.REFUSED]
    assert Counter(peer for _, peer in server.closed) == {CLIENT: 3, InternetPeer("203.0.113.9", 1): 1}


@pytest.mark.parametrize("header", [LOCAL, UNKNOWN], ids=["LOCAL", "UNKNOWN"])
async def test_a_header_without_a_client_counts_for_no_host(header: bytes) -> None:
    """A health check over a limit would make a proxy take the server for dead."""
    limits = Limits(max_per_host=1, max_rate_per_host=1)
    async with (
        serving(Trust(proxy_protocol=True), limits=limits, first=First.SERVER) as server,
        await server.connect() as first,
    ):
        await first.send_all(header)
        assert await first.receive_some() == PROMPT
        assert await server.talk(header + b"a\n") == PROMPT + b"A\n"
    assert not server.refused


async def test_the_rate_of_a_host_goes_by_the_clients_address(mock_clock: MockClock) -> None:
    limits = Limits(max_rate_per_host=1)
    async with serving(Trust(proxy_protocol=True), limits=limits) as server:
        assert await server.talk(HEADER + b"a\n") == b"A\n"
        assert await server.talk(HEADER + b"a\n") == REFUSAL
        assert await server.talk(STRANGER + b"a\n") == b"A\n"
        mock_clock.jump(1)
        assert await server.talk(HEADER + b"a\n") == b"A\n"
    assert server.refused == [("too many new connections from this host", CLIENT)]


async def test_a_failed_tls_handshake_gives_back_the_place_of_the_clients_host() -> None:
    trust, limits = Trust(proxy_protocol=True, tls=server_context()), Limits(max_per_host=1)
    async with serving(trust, "tls://127.0.0.1:0", limits=limits) as server:
        for _ in range(3):
            await server.talk(HEADER + b"no handshake\n")
    assert [reason.partition(":")[0] for reason in server.reasons] == ["no TLS handshake"] * 3
    assert {peer for _, peer in server.refused} == {CLIENT}


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_a_host_behind_a_proxy_cannot_take_all_places(scheme: str) -> None:
    trust = Trust(proxy_protocol=True, tls=server_context())
    limits = Limits(max_per_host=2, max_connections=10, linger_timeout=600)
    other_host = HEADER.replace(b"192.0.2.7", b"192.0.2.8")
    async with (
        serving(trust, f"{scheme}://127.0.0.1:0", limits=limits) as server,
        AsyncExitStack() as clients,
    ):
        for number in range(60):
            client = await clients.enter_async_context(await server.connect())
            await client.send_all(HEADER)  # and silence
            while len(server.refused) < number - 1:
                await trio.lowlevel.checkpoint()
        other: trio.abc.HalfCloseableStream = await clients.enter_async_context(await server.connect())
        await other.send_all(other_host)
        if scheme == "tls":
            other = TlsStream(other, client_context(), server_side=False, server_hostname=TLS_HOST)
            await other.do_handshake()
        await other.send_all(b"a\n")
        assert await other.receive_some() == b"A\n"
    assert server.reasons[:58] == ["too many connections from this host"] * 58
