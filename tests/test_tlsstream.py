"""TLS as a stream: the contract of trio's streams, half-closes, truncation, refusals."""

from __future__ import annotations

import itertools
import os
import ssl
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from caas_trio import HandshakeFailed, Limits, TooSlow
from caas_trio.core.tlsengine import READ_SIZE
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.stream import StreamChannel
from caas_trio.drivers.tlsstream import TlsStream

from .certificates import HOST, client_context, cut_off, server_context
from .support.streams import receive_all

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """Run the test once over each version of TLS."""
    return ssl.TLSVersion(request.param)


async def shake_hands(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, tickets: int = 0, clogged: bool = False
) -> tuple[TlsStream, TlsStream]:
    """Return the client's and the server's side of a connection."""
    pair = trio.testing.lockstep_stream_pair if clogged else trio.testing.memory_stream_pair
    ours, theirs = pair()
    client = TlsStream(ours, client_context(version), server_side=False, server_hostname=HOST)
    server = TlsStream(theirs, server_context(tickets=tickets), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


async def test_it_passes_trios_stream_checks(version: ssl.TLSVersion) -> None:
    await trio.testing.check_half_closeable_stream(
        partial(shake_hands, version), partial(shake_hands, version, clogged=True)
    )


async def test_each_direction_ends_on_its_own(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    await client.send_all(b"question")
    await client.send_eof()
    assert await receive_all(server) == b"question"
    assert await server.receive_some() == b""
    await server.send_all(b"answer")
    await server.send_eof()
    assert await receive_all(client) == b"answer"


async def test_after_send_eof_the_input_is_still_read(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    await server.send_eof()
    assert await client.receive_some() == b""
    await client.send_all(b"still here")
    assert await server.receive_some() == b"still here"
    await client.send_eof()
    await server.send_eof()
    assert await server.receive_some() == b""
    with pytest.raises(trio.ClosedResourceError, match=r"^the output has been ended$"):
        await server.send_all(b"too late")
    with pytest.raises(ValueError, match=r"^max_bytes is 0; it must be 1 or more$"):
        await server.receive_some(0)


async def test_nothing_is_sent_before_the_handshake(version: ssl.TLSVersion) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    client = TlsStream(ours, client_context(version), server_side=False, server_hostname=HOST)
    with pytest.raises(trio.ClosedResourceError):
        await client.send_all(b"early")
    await client.aclose()
    assert await receive_all(theirs) == b""


async def test_it_is_closed_although_the_peer_is_gone(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    await client.transport.aclose()
    await client.aclose()
    await server.aclose()
    await server.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await server.transport.send_all(b"a")


async def test_unread_input_survives_close_notify(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    await client.send_all(b"first" + b"x" * 40_000)
    await client.send_eof()
    assert await server.receive_some(5) == b"first"
    await server.send_eof()
    assert await server.receive_some(1) == b"x"
    assert await receive_all(server) == b"x" * 39_999
    assert await receive_all(client) == b""


async def test_an_end_without_close_notify_is_an_error(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    await client.send_all(b"a")
    await cut_off(client)
    assert await server.receive_some() == b"a"
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError, match=r"^the input ended without close_notify$"):
            await server.receive_some()
    await server.send_all(b"b")
    assert await client.receive_some() == b"b"


async def test_a_forged_record_breaks_the_input(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    await client.send_all(b"good")
    await client.transport.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert await server.receive_some() == b"good"
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError) as raised:
            await server.receive_some()
        assert isinstance(raised.value.__cause__, ssl.SSLError)
    with pytest.raises(trio.BrokenResourceError):
        await server.send_all(b"b")
    await server.send_eof()
    with pytest.raises(trio.BrokenResourceError) as raised:
        await client.receive_some()
    assert "bad record mac" in str(raised.value.__cause__)


async def test_a_cancelled_receive_loses_nothing(version: ssl.TLSVersion) -> None:
    client, server = await shake_hands(version)
    records = ssl.MemoryBIO()
    records.write(encrypted(client, b"one\n"))
    await client.transport.send_all(records.read(10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await client.transport.send_all(records.read())
    assert await server.receive_some() == b"one\n"


def encrypted(stream: TlsStream, *pieces: bytes) -> bytes:
    """Return the records that would carry the pieces."""
    for piece in pieces:
        stream.engine.tls.write(piece)
    return stream.engine._outgoing.read()


async def test_no_more_is_read_ahead_than_is_bounded(version: ssl.TLSVersion) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    client = TlsStream(ours, client_context(version), server_side=False, server_hostname=HOST)
    server = TlsStream(theirs, server_context(), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        said = client.engine.shake_hands(b"")
        while not client.engine.established:
            await ours.send_all(said)
            said = client.engine.shake_hands(bytes(await ours.receive_some()))
        await ours.send_all(said + client.engine.encrypt(bytes(200_000)))
    assert server.engine.buffered <= READ_SIZE
    assert await server.receive_some(1) == b"\0"
    assert server.engine.buffered <= READ_SIZE
    await client.send_eof()
    assert await receive_all(server) == bytes(199_999)


async def test_session_tickets_wait_for_the_first_reply() -> None:
    client, server = await shake_hands(tickets=2)
    assert server.engine._outgoing.pending
    await server.send_all(b"hello")
    assert await client.receive_some() == b"hello"


async def test_tls_1_2_has_no_tickets_to_wait_for() -> None:
    client, server = await shake_hands(ssl.TLSVersion.TLSv1_2, tickets=2)
    assert not server.engine._outgoing.pending
    await server.send_all(b"hello")
    assert await client.receive_some() == b"hello"


async def test_a_client_that_forces_unread_answers_is_cut_off() -> None:
    client, server = await shake_hands()
    server.engine._outgoing.write(bytes(70_000))
    with pytest.raises(trio.BrokenResourceError) as raised:
        await server.receive_some()
    assert "requests answers" in str(raised.value.__cause__)
    assert client.engine.tls.version() == "TLSv1.3"


async def test_an_unread_close_notify_hits_the_write_timeout(autojump_clock: MockClock) -> None:
    client, server = await shake_hands(clogged=True)
    channel = StreamChannel(server, Limits(write_timeout=7), Drain())
    with pytest.raises(TooSlow, match="the write timeout is over"):
        await channel.close_gracefully()
    assert autojump_clock.current_time() == 7
    await trio.aclose_forcefully(client)


async def fail_to_shake_hands(said: bytes) -> tuple[bytes, BaseException | None]:
    """Return what a server answers to a client that begins so, and why the handshake failed."""
    ours, theirs = trio.testing.memory_stream_pair()
    server = TlsStream(theirs, server_context(), server_side=True)
    await ours.send_all(said)
    await ours.send_eof()
    with pytest.raises(trio.BrokenResourceError) as raised:
        await server.do_handshake()
    await cut_off(server)
    return await receive_all(ours), raised.value.__cause__


@pytest.mark.parametrize(
    "said",
    [
        b"hello\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x80" * 5000,
        bytes(300),
        # OpenSSL has an alert for these, which stays here.
        b"\x17\x03\x01\x00\x05hello",
        b"\xff" * 5000,
    ],
)
async def test_a_client_that_speaks_no_tls_gets_nothing(said: bytes) -> None:
    answer, cause = await fail_to_shake_hands(said)
    assert answer == b""
    assert isinstance(cause, ssl.SSLError)


async def test_a_broken_record_gets_an_alert() -> None:
    answer, cause = await fail_to_shake_hands(b"\x16\x03\x01\x00\x05hello")
    assert answer[:1] == b"\x15"
    assert len(answer) == 7
    assert isinstance(cause, ssl.SSLError)


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_an_end_during_the_handshake_is_no_tls_error(said: bytes) -> None:
    assert await fail_to_shake_hands(said) == (b"", None)


async def test_a_distrustful_client_is_an_error_with_the_reason() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    client = TlsStream(ours, ssl.create_default_context(), server_side=False, server_hostname=HOST)
    server = TlsStream(theirs, server_context(), server_side=True)
    async with trio.open_nursery() as nursery:

        async def refuse() -> None:
            with pytest.raises(trio.BrokenResourceError) as raised:
                await client.do_handshake()
            assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)

        nursery.start_soon(refuse)
        with pytest.raises(trio.BrokenResourceError) as raised:
            await server.do_handshake()
    assert "unknown ca" in str(raised.value.__cause__)


@given(
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=20),
    sizes=st.lists(st.integers(1, 50_000), max_size=4),
)
def test_any_cut_of_the_records_gives_the_same_data(cuts: list[int], sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]

    async def heard() -> bytes:
        client, server = await shake_hands()
        records = encrypted(client, *pieces)
        for cut in itertools.islice(itertools.cycle(cuts), 60):
            await client.transport.send_all(records[:cut])
            records = records[cut:]
        await client.transport.send_all(records)
        await client.send_eof()
        return await receive_all(server)

    assert trio.run(heard) == b"".join(pieces)


@given(said=st.binary(max_size=400), as_tls=...)
def test_arbitrary_input_is_refused_or_waited_on(*, said: bytes, as_tls: bool) -> None:
    async def talk() -> tuple[bytes, BaseException | None]:
        return await fail_to_shake_hands(b"\x16\x03\x01" + said if as_tls else said)

    answer, cause = trio.run(talk)
    assert cause is None or isinstance(cause, ssl.SSLError | HandshakeFailed)
    assert answer == b"" or as_tls or said[:1] == b"\x16"
    assert len(answer) <= 7


async def test_a_failed_handshake_stays_failed() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server = TlsStream(ours, server_context(), server_side=True)
    await theirs.send_all(b"GET / HTTP/1.0\r\n\r\n")
    await theirs.send_eof()
    with pytest.raises(trio.BrokenResourceError):
        await server.do_handshake()
    with pytest.raises(FileNotFoundError):
        os.stat("/what/is/not/there")  # noqa: PTH116 - for what it leaves in errno
    with pytest.raises(trio.BrokenResourceError):
        await server.do_handshake()


async def test_over_a_stream_that_cannot_half_close_the_output_ends_with_close_notify() -> None:
    client, server = await shake_hands()
    ours = server.transport

    class Whole(trio.abc.Stream):
        send_all = ours.send_all
        receive_some = ours.receive_some
        aclose = ours.aclose
        wait_send_all_might_not_block = ours.wait_send_all_might_not_block

    server.transport = Whole()
    await server.send_eof()
    assert await client.receive_some() == b""
    await client.send_all(b"still open")
    assert await server.receive_some() == b"still open"
