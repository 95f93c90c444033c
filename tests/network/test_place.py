"""Apps, served in memory: `caas_trio.testing.serving`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

import caas_trio
from caas_trio import App, AppError, Connection, Limits, UsageError
from caas_trio.core.telemetry import Outcome, Telemetry
from caas_trio.drivers.choice import DriverName
from caas_trio.testing import Network, serving


async def shout(connection: Connection) -> None:
    async for line in connection:
        if line == b"bug\n":
            raise ValueError("a bug")
        await connection.send(line.upper())


class Handler(caas_trio.StreamRequestHandler):
    """Answers one line."""

    async def handle(self) -> None:
        await self.wfile.write((await self.rfile.readline()).upper())


@asynccontextmanager
async def in_a_context() -> AsyncIterator[object]:
    yield shout


@pytest.mark.parametrize("driver_name", ["hub", "stream"])
@pytest.mark.parametrize("app", [shout, bytes.upper, Handler, App(handler=shout), in_a_context])
async def test_any_app_is_served(app: object, driver_name: DriverName, autojump_clock: MockClock) -> None:
    async with serving(app, driver=driver_name) as place:
        async with await place.connect() as client:
            await client.send(b"hello\n")
            assert await client.receive_line() == b"HELLO\n"
        assert await place.talk(b"there\n") == b"THERE\n"
    assert place.host.open_descriptors == 0


async def test_at_the_end_the_server_answers_what_it_has_received(autojump_clock: MockClock) -> None:
    network = Network(1)
    async with serving(shout, network=network) as place:
        assert place.network is network
        client = await place.connect(client="elsewhere")
        await client.send(b"hello\n")
    assert (b"HELLO\n", "arrived") in {(each.data, each.what) for each in network.trace}
    assert network.host("elsewhere").open_descriptors == 0


async def test_unix_sockets_and_several_endpoints(autojump_clock: MockClock) -> None:
    async with serving(bytes.upper, "unix:@name", "unix:/run/name", "tcp://server:9") as place:
        for endpoint in place.endpoints:
            async with await place.connect(endpoint) as client:
                await client.send(b"hello\n")
                assert await client.receive_line() == b"HELLO\n"


async def test_an_endpoint_that_cannot_be_connected_to_is_refused(autojump_clock: MockClock) -> None:
    async with serving(bytes.upper, "udp://server:7") as place:
        with pytest.raises(UsageError, match="cannot be connected to here"):
            await place.connect()


async def test_what_an_app_raises_fails_the_test(autojump_clock: MockClock) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with serving(shout) as place:
            await place.talk(b"bug\n")
    [error] = raised.value.exceptions
    assert repr(error) == "ValueError('a bug')"


async def test_what_is_expected_does_not(autojump_clock: MockClock) -> None:
    async with serving(shout) as place:
        await place.talk(b"bug\n")
        [error] = place.take_failures()
        assert str(error) == "a bug"
        assert place.take_failures() == []


async def test_what_the_block_raises_comes_out_with_a_note_of_what_the_app_has(
    autojump_clock: MockClock,
) -> None:
    async def fail() -> None:
        async with serving(shout) as place:
            await place.talk(b"bug\n")
            raise KeyError("of the test")

    with pytest.raises(KeyError) as raised:
        await fail()
    [note] = raised.value.__notes__
    assert note.startswith("the app has raised: ValueError: a bug (")


async def test_a_group_that_the_block_raises_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    own = ExceptionGroup("of the test", [KeyError()])
    with pytest.raises(ExceptionGroup) as raised:
        async with serving(shout):
            raise own
    assert raised.value is own
    assert not hasattr(own, "__notes__")


async def test_the_telemetry_of_the_app_and_of_the_test_observe(autojump_clock: MockClock) -> None:
    class Observer(Telemetry):
        def connection_closed(self, outcome: Outcome, *_: object) -> None:
            outcomes.append(outcome)

    outcomes: list[Outcome] = []
    async with serving(App(handler=shout, telemetry=Observer()), telemetry=Observer()) as place:
        await place.talk(b"")
    assert outcomes == [Outcome.COMPLETED] * 2


async def test_datagrams_fail_a_test_too(autojump_clock: MockClock) -> None:
    def service(data: bytes) -> bytes:
        raise ValueError("a bug")

    async with serving(service, "udp://server:7") as place:
        client = place.network.host("client").trio_socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        with client:
            await client.sendto(b"hello", ("server", 7))
            await trio.sleep(1)
        [error] = place.take_failures()
        assert str(error) == "a bug"


async def test_a_conversation_that_is_cut_off_fails_the_test(autojump_clock: MockClock) -> None:
    async def stubborn(connection: Connection) -> None:
        await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as raised:
        async with serving(stubborn, limits=Limits(drain_timeout=5)) as place:
            await place.connect()
    assert "not over 5 seconds after the stop" in str(raised.value.exceptions[0])


async def test_a_context_that_is_not_left_fails_the_test(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def clinging() -> AsyncIterator[object]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            yield shout

    with pytest.raises(ExceptionGroup) as raised:
        async with serving(clinging):
            pass
    assert "not left 60 seconds after the drain" in str(raised.value.exceptions[0])


async def test_a_failing_context_is_reported(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[object]:
        async with trio.open_nursery() as nursery:

            async def fail() -> None:
                await trio.sleep(1)
                raise ValueError("a bug")

            nursery.start_soon(fail)
            yield shout

    with pytest.raises(AppError, match="a bug"):
        async with serving(failing):
            await trio.sleep(2)


async def test_what_cannot_be_served_is_refused(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[object]:
        yield 7

    with pytest.raises(UsageError, match="cannot be served"):
        async with serving(failing):
            pass
    with pytest.raises(UsageError, match="for connections"):
        async with serving(App(datagrams=bytes.upper)):
            pass
