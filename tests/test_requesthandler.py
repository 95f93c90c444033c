"""`StreamRequestHandler`, `rfile` and `wfile`, served by the real server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import trio

from caas_trio import (
    DatagramRequestHandler,
    Endpoint,
    InternetPeer,
    LineTooLong,
    LocalPeer,
    StreamRequestHandler,
)
from caas_trio.core.datagramrules import Datagram

from .support.servers import serving_handler
from .test_connection import Pair

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")


class Capitals(StreamRequestHandler):
    """The classic demonstration."""

    async def handle(self) -> None:
        """Prompt, read a line, answer it."""
        await self.wfile.write(b"Enter some data to be capitalized:\n")
        data = await self.rfile.readline()
        await self.wfile.write(data.upper())


async def test_the_classic_handler_is_served_as_it_is() -> None:
    async with serving_handler(Capitals) as server:
        assert await server.talk(b"hello\r\nworld\n") == b"Enter some data to be capitalized:\nHELLO\r\n"


async def test_a_handler_knows_its_client_and_its_server(tmp_path: Path) -> None:
    seen: list[object] = []

    class Curious(StreamRequestHandler):
        async def handle(self) -> None:
            seen.extend([self.client_address, self.server.server_address, self.server.endpoint])
            seen.extend([self.request.endpoint, self.connection.endpoint])

    path = tmp_path / "caas.sock"
    async with serving_handler(Curious, "tcp://127.0.0.1:0", f"unix:{path}") as server:
        async with await server.connect() as client:
            address = client.socket.getsockname()
            await client.receive_some()
        assert await server.talk(b"", 1) == b""
    tcp = server.endpoints[0]
    assert seen[:5] == [address, ("127.0.0.1", tcp.port), tcp, tcp, tcp]
    assert seen[5:] == ["", str(path), *[Endpoint.parse(f"unix:{path}")] * 3]


async def test_setup_handle_and_finish_are_called_in_order() -> None:
    called: list[str] = []

    class Steps(StreamRequestHandler):
        async def setup(self) -> None:
            called.append("setup")

        async def handle(self) -> None:
            called.append("handle")
            raise ZeroDivisionError

        async def finish(self) -> None:
            called.append("finish")

    async with serving_handler(Steps) as server:
        assert await server.talk(b"") == b""
    assert called == ["setup", "handle", "finish"]
    assert len(server.telemetry.failures) == 1


async def test_a_handler_that_overrides_nothing_ends_the_connection() -> None:
    async with serving_handler(StreamRequestHandler) as server:
        assert await server.talk(b"a\n") == b""


async def sent(data: bytes) -> StreamRequestHandler:
    pair = Pair("memory")
    await pair.client.send_all(data)
    await pair.client.send_eof()
    return StreamRequestHandler(pair.connection)


async def test_readline_with_and_without_a_size() -> None:
    rfile = (await sent(b"one\ntwo\nthree\nfour")).rfile
    assert await rfile.readline() == b"one\n"
    assert await rfile.readline(2) == b"tw"
    assert await rfile.readline(2) == b"o\n"
    assert await rfile.readline(0) == b""
    assert await rfile.readline(None) == b"three\n"
    assert await rfile.readline(-1) == b"four"
    assert await rfile.readline(5) == b""


async def test_readline_without_a_size_has_a_bound() -> None:
    rfile = (await sent(b"x" * 100)).rfile
    with pytest.raises(LineTooLong):
        await rfile.readline()


@pytest.mark.parametrize("data", [b"one\ntwo", b"0123456789" * 20_000], ids=["short", "long"])
@pytest.mark.parametrize("size", [None, -1, 0, 5, 70_000, 200_000, 300_000])
async def test_read_with_and_without_a_size(size: int | None, data: bytes) -> None:
    rfile, plain = (await sent(data)).rfile, io.BytesIO(data)
    assert await rfile.read(size) == plain.read(size)
    assert await rfile.read() == plain.read()


@pytest.mark.parametrize("hint", [None, -1, 0, 1, 7, 8, 9, 99])
async def test_readlines_stops_behind_as_many_bytes_as_hinted(hint: int | None) -> None:
    data = b"one\ntwo\nthree\nfour\nfive"
    rfile, plain = (await sent(data)).rfile, io.BytesIO(data)
    assert await rfile.readlines(hint) == plain.readlines(hint)
    assert [line async for line in rfile] == plain.readlines()


async def test_wfile_sends_at_once() -> None:
    pair = Pair("memory")
    wfile = StreamRequestHandler(pair.connection).wfile
    assert await wfile.write(b"one") == 3
    await wfile.writelines([b"two", b"three"])
    await wfile.flush()
    assert await pair.client.receive_some() == b"onetwothree"
    assert trio.current_time() > 0


def handler(data: bytes, address: object = ("127.0.0.1", 5)) -> DatagramRequestHandler:
    return DatagramRequestHandler(
        Datagram(data, address, process=LocalPeer(1, 2, 3)), Endpoint.parse("udp://127.0.0.1:7")
    )


async def test_a_datagram_reads_like_a_file() -> None:
    assert await handler(b"one\ntwo\nthree").rfile.read() == b"one\ntwo\nthree"
    rfile = handler(b"one\ntwo\nthree\nfour\nfive").rfile
    assert await rfile.readline() == b"one\n"
    assert await rfile.readline(2) == b"tw"
    assert await rfile.read(2) == b"o\n"
    assert await rfile.readlines(3) == [b"three\n"]
    assert [line async for line in rfile] == [b"four\n", b"five"]
    assert await rfile.readline() == b""


async def test_a_reply_is_what_was_written() -> None:
    writing = handler(b"")
    assert await writing.run() is None
    assert await writing.wfile.write(b"") == 0
    assert await writing.run() == b""
    assert await writing.wfile.write(b"one") == 3
    await writing.wfile.writelines([b"two", b"three"])
    await writing.wfile.flush()
    assert await writing.run() == b"onetwothree"


def test_a_datagram_handler_knows_its_sender_and_server() -> None:
    internet = handler(b"packet", ("::1", 5, 0, 0))
    assert internet.packet == b"packet"
    assert internet.client_address == ("::1", 5)
    assert internet.peer == InternetPeer("::1", 5)
    assert internet.server.server_address == ("127.0.0.1", 7)
    for address in ("/run/client.sock", b"\0client", None):
        local = handler(b"", address)
        assert local.client_address == address
        assert local.peer == LocalPeer(1, 2, 3)


async def test_a_datagram_handler_has_the_same_steps() -> None:
    class Steps(DatagramRequestHandler):
        async def setup(self) -> None:
            await self.wfile.write(b"setup ")

        async def handle(self) -> None:
            await self.wfile.write(b"handle ")

        async def finish(self) -> None:
            await self.wfile.write(b"finish")

    datagram = Datagram(b"", None)
    assert await Steps(datagram, Endpoint.parse("udp://127.0.0.1:7")).run() == b"setup handle finish"
