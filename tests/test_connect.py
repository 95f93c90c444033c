"""`connect`: a connection to a server, over TCP, TLS and Unix sockets; and why there may be none."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

import caas_trio
from caas_trio import (
    ConnectError,
    Connection,
    EndpointError,
    HandshakeFailed,
    InternetPeer,
    Limits,
    LineTooLong,
    LocalPeer,
    ProxyHeader,
    Terminator,
    Trust,
    connect,
)
from caas_trio.drivers.connecting import server_name

from .certificates import client_context, server_context

HERE = "tcp://127.0.0.1:0"


async def shout(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


async def tell_peer(connection: Connection) -> None:
    await connection.receive_line()
    await connection.send(f"{connection.peer}\n".encode())


@asynccontextmanager
async def serving(
    endpoint: str, handler: caas_trio.Handler = shout, trust: Trust | None = None
) -> AsyncIterator[str]:
    """Yield where a server listens."""
    async with trio.open_nursery() as nursery:
        start = partial(caas_trio.serve, handler, endpoint, trust=trust or Trust())
        [bound] = await nursery.start(start)
        yield str(bound)
        nursery.cancel_scope.cancel()


async def exchange(endpoint: str, **options: object) -> bytes:
    """Return the reply to one line."""
    async with connect(endpoint, **options) as connection:  # type: ignore[arg-type]
        await connection.send(b"hello\n")
        return await connection.receive_line()


@pytest.mark.parametrize("endpoint", [HERE, "tcp://localhost:0", "unix:@caas-test-connect"])
async def test_a_line_goes_there_and_back(endpoint: str) -> None:
    async with serving(endpoint) as bound, connect(bound, terminator=Terminator.LF) as connection:
        assert str(connection.endpoint) == bound
        assert isinstance(connection.peer, LocalPeer if "unix" in bound else InternetPeer)
        await connection.send(b"hello\n")
        assert await connection.receive_line() == b"HELLO\n"
        await connection.send_eof()
        assert await connection.receive_line() == b""


async def test_a_unix_socket_with_a_path_and_an_endpoint_as_such(tmp_path: Path) -> None:
    async with serving(f"unix:{tmp_path}/s") as bound:
        assert await exchange(bound) == b"HELLO\n"
        async with connect(caas_trio.Endpoint.parse(bound)) as connection:
            await connection.send(b"a")


async def test_tls_is_looked_at_by_default() -> None:
    trust = Trust(tls=server_context())
    async with serving("tls://127.0.0.1:0", trust=trust) as bound:
        with pytest.raises(HandshakeFailed, match=r"self.signed certificate|unable to get local issuer"):
            await exchange(bound)
        with pytest.raises(HandshakeFailed, match="mismatch"):
            await exchange(bound, tls=client_context(), server_hostname="other.example")
        assert await exchange(bound, tls=client_context(), server_hostname="localhost") == b"HELLO\n"
        assert await exchange(bound, tls=caas_trio.client_context(insecure=True)) == b"HELLO\n"


async def test_a_server_that_does_not_speak_tls_is_reported() -> None:
    async def talk_first(connection: Connection) -> None:
        await connection.send(b"220 ready\r\n")
        await connection.receive_line()

    async with serving(HERE, talk_first) as bound:
        with pytest.raises(HandshakeFailed, match=r"wrong version number|record"):
            await exchange(bound.replace("tcp", "tls"), tls=client_context())


async def leave(connection: Connection) -> None:
    await connection.aclose()


async def test_a_server_that_leaves_before_tls_is_reported() -> None:
    async with serving(HERE, leave) as bound:
        with pytest.raises(ConnectError, match=f"^cannot connect to tls{bound[3:]}: the server left$"):
            await exchange(bound.replace("tcp", "tls"), tls=client_context())


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("tcp://127.0.0.1:1", "connection refused"),
        ("tcp://localhost:1", "connection refused"),
        ("unix:@caas-nobody-is-there", "connection refused"),
        ("unix:/nowhere/at/all", "no such file or directory"),
        ("unix:/" + "x" * 200, "af_unix path too long"),
    ],
)
async def test_why_there_is_no_connection(endpoint: str, reason: str) -> None:
    with pytest.raises(ConnectError) as caught:
        await exchange(endpoint)
    assert str(caught.value) == f"cannot connect to {endpoint}: {reason}"
    assert (caught.value.endpoint, caught.value.reason) == (endpoint, reason)


@pytest.mark.parametrize("endpoint", ["udp://127.0.0.1:7", "fd://3", "systemd:", "unixgram:/a"])
async def test_not_every_endpoint_takes_connections(endpoint: str) -> None:
    told = f"{endpoint!r} is not an endpoint: connections can be made to tcp, tls, unix"
    with pytest.raises(EndpointError, match=f"^{re.escape(told)}$"):
        await exchange(endpoint)


@pytest.mark.parametrize(
    ("host", "name"),
    [("MAX.", "MAX"), (".example.", ".example"), ("fe80::1%eth0", "fe80::1"), ("192.0.2.7", "192.0.2.7")],
)
def test_a_certificate_names_a_host_without_its_last_dot_and_zone(host: str, name: str) -> None:
    assert server_name(host) == name


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the endpoint of a server that never answers, not even a handshake with LF in it."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"tls://127.0.0.1:{sock.getsockname()[1]}"


async def test_a_server_that_does_not_shake_hands_is_given_up(silent: str) -> None:
    with pytest.raises(ConnectError, match=r"no answer within 0.05 seconds$"):
        await exchange(silent, tls=client_context(), limits=Limits(opening_timeout=0.05))


async def test_a_cancelled_connect_leaves_no_socket(silent: str) -> None:
    with trio.move_on_after(0.05) as given_up:
        await exchange(silent, tls=client_context())
    assert given_up.cancelled_caught


async def test_the_limits_hold_for_a_server() -> None:
    async with serving(HERE) as bound, connect(bound, limits=Limits(max_line=3)) as connection:
        await connection.send(b"abcd\nabc\n")
        with pytest.raises(LineTooLong):
            await connection.receive_line()
        assert await connection.receive_line() == b"ABC\n"


async def test_what_the_block_raises_comes_out_and_closes_at_once() -> None:
    ended = trio.Event()

    async def note(connection: Connection) -> None:
        try:
            await connection.receive_line()
        finally:
            ended.set()

    async with serving(HERE, note) as bound:
        with pytest.raises(ZeroDivisionError):
            async with connect(bound):
                raise ZeroDivisionError
        await ended.wait()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("endpoint", [HERE, "unix:@caas-test-connect-proxied"])
async def test_a_proxy_header_names_this_side(endpoint: str, version: int) -> None:
    async with serving(endpoint, tell_peer, Trust(proxy_protocol=True)) as bound:
        reply = await exchange(bound, proxy_header=version)
        expected = rb"127\.0\.0\.1:\d+\n" if "tcp" in bound else rb"pid \d+ uid \d+\n"
        assert re.fullmatch(expected, reply)


async def test_a_proxy_header_may_have_any_address_and_comes_before_tls() -> None:
    header = ProxyHeader(2, ("192.0.2.7", 7), ("192.0.2.8", 8))
    trust = Trust(proxy_protocol=True, tls=server_context())
    async with serving("tls://127.0.0.1:0", tell_peer, trust) as bound:
        reply = await exchange(bound, proxy_header=header, tls=client_context(), server_hostname="localhost")
        assert reply == b"192.0.2.7:7\n"


async def test_a_server_that_resets_before_the_header_is_reported() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        host, port = listener.getsockname()

        async def reset() -> None:
            await trio.to_thread.run_sync(lambda: _reset(listener))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reset)
            with pytest.raises(ConnectError, match=r"left|reset"):
                async with connect(f"tls://{host}:{port}", tls=client_context()):
                    pass


def _reset(listener: socket.socket) -> None:
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    accepted.close()


async def test_a_connection_from_a_handler_to_another_server_tells_its_own_errors() -> None:
    """And drops nothing, as a send to another *client* would."""
    failures: list[BaseException] = []

    async def relay(connection: Connection) -> None:
        async with connect(upstream) as other:
            await other.aclose()
            try:
                await other.send(b"x")
            except caas_trio.StateError as error:
                failures.append(error)
        await connection.send(b"done\n")

    async with serving(HERE) as upstream, serving(HERE, relay) as bound:
        assert await exchange(bound) == b"done\n"
    assert len(failures) == 1
