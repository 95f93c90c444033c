"""A client's connection, held from both ends by the test."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from caas_trio.conformance.cuts import WHOLE
from caas_trio.conformance.wire import End, Wire, why
from caas_trio.conformance.wirelog import Event, WireLog


async def received_in_turn(wire: Wire, server: trio.socket.SocketType, pieces: list[bytes]) -> bytes:
    """Return what one `receive` gives if each piece is sent only when the wire waits for it."""
    received = b""

    async def receive() -> None:
        nonlocal received
        received = await wire.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        for piece in pieces:
            await trio.testing.wait_all_tasks_blocked()
            await server.send(piece)
    return received


@pytest.mark.parametrize(
    ("pieces", "received"),
    [
        ([b"Hel", b"lo\nA"], b"A"),
        ([b"Hello\n", b"A"], b"A"),
        ([b"Hel", b"p"], b"Help"),
        ([b"A"], b"A"),
    ],
)
async def test_an_optional_prompt_may_come_in_pieces(pieces: list[bytes], received: bytes) -> None:
    client, server = trio.socket.socketpair()
    with client, server:
        wire = Wire(trio.SocketStream(client), 0, WireLog())
        wire.optional_prompt = b"Hello\n"
        assert await received_in_turn(wire, server, pieces) == received


async def test_reads_after_the_end_return_the_end() -> None:
    client, server = trio.socket.socketpair()
    with client, server:
        wire = Wire(trio.SocketStream(client), 0, WireLog())
        server.close()
        assert [await wire.receive(), await wire.receive()] == [b"", b""]
        assert wire.end is End.FIN


def test_a_failed_connection_has_the_kernels_reason() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    assert why(refused) == "Connection refused"
    outer = OSError("all attempts to connect failed")
    outer.__cause__ = ExceptionGroup("several", [refused, OSError("other")])
    assert why(outer) == "Connection refused"
    assert why(OSError("plain")) == "plain"


async def test_a_send_is_logged_before_its_answer() -> None:
    client, server = trio.socket.socketpair()
    log = WireLog()
    with client, server:
        wire = Wire(trio.SocketStream(client), 0, log)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.write)
            wire.send(b"a" * (64 << 20), WHOLE)  # more than the kernel takes: the send goes on
            await server.recv(1)
            await server.send(b"A")
            assert await wire.receive() == b"A"
            wire.close()
    assert [(entry.event, entry.data[:1]) for entry in log.entries] == [
        (Event.SENT, b"a"),
        (Event.RECEIVED, b"A"),
    ]
    assert 0 < log.entries[0].size == wire.sent < 64 << 20


async def test_bytes_that_cannot_be_sent_are_not_logged_as_sent() -> None:
    client, server = trio.socket.socketpair()
    log = WireLog()
    with client:
        wire = Wire(trio.SocketStream(client), 0, log)
        server.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.write)
            wire.send(b"a\n", WHOLE)
            wire.send(b"b\n", WHOLE)
            wire.end_input()
            await wire.flushed()
            wire.close()
    assert (wire.everything_sent, wire.write_failed, wire.sent) == (False, True, 0)
    assert [(entry.event, entry.size, entry.data) for entry in log.entries] == [(Event.SENT, 0, b"")]
