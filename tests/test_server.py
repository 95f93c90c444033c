"""The server over real sockets: orders, ends, resets, failures, the stop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import (
    AtCapacity,
    Connection,
    ConnectionLost,
    Endpoint,
    EndpointError,
    First,
    InputEnded,
    InternetPeer,
    Limits,
    LineSession,
    ListenError,
    LocalPeer,
    Oversize,
    Session,
    SocketOptions,
    Trust,
)
from caas_trio.core.telemetry import Outcome
from caas_trio.core.trust import LOOPBACK
from caas_trio.drivers.machine import Machine
from caas_trio.server.admission import RESERVED_DESCRIPTORS
from caas_trio.server.listeners import listen_all

from .support.drivers import serve_sessions
from .support.machines import ScriptedMachine
from .support.recorder import ConnectionRecorder, Recorder, StatsRecorder
from .support.servers import CAPITALS, Running, running, serving, serving_handler
from .support.sockets import descriptors
from .support.streams import ask, receive, receive_all, reset
from .test_listeners import tcp_options

#: Every test runs over both drivers.
pytestmark = pytest.mark.usefixtures("driver")

PROMPT = b"say something:\n"
REFUSAL = b"error: too many connections\n"


def us() -> LocalPeer:
    """Return this process as the peer of a connection."""
    return LocalPeer(os.getpid(), os.geteuid(), os.getegid())


async def test_several_endpoints_at_once(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    async with serving(CAPITALS, "tcp://127.0.0.1:0", f"unix:{path}", "tcp://localhost:0") as server:
        assert [str(endpoint).rstrip("0123456789") for endpoint in server.endpoints] == [
            "tcp://127.0.0.1:",
            f"unix:{path}".rstrip("0123456789"),
            "tcp://localhost:",
        ]
        assert server.telemetry.announced == server.endpoints
        for which in range(3):
            assert await server.talk(b"hello\r\nworld", which) == b"HELLO\r\nWORLD"
    assert not path.exists()
    assert not server.telemetry.failures


async def test_two_hundred_clients_at_once_do_not_mix() -> None:
    async def check(server: Running[Recorder], number: int) -> None:
        words = b"".join(b"client %d line %d\n" % (number, line) for line in range(20))
        assert await server.talk(words) == words.upper()

    async with serving() as server, trio.open_nursery() as clients:
        for number in range(200):
            clients.start_soon(check, server, number)
    assert not server.telemetry.failures


@pytest.mark.parametrize(
    ("first", "spoken", "heard"),
    [
        (First.CLIENT, b"a\n", b"A\n"),
        (First.SERVER, b"a\n", PROMPT + b"A\n"),
        (First.SERVER, b"", PROMPT),
        (First.EITHER, b"a\n", b"A\n"),
        (First.EITHER, b"", b""),
    ],
)
async def test_a_client_that_speaks_at_once(first: First, spoken: bytes, heard: bytes) -> None:
    async with serving(partial(CAPITALS, first, PROMPT), limits=Limits(prompt_delay=30)) as server:
        assert await server.talk(spoken) == heard


@pytest.mark.parametrize("first", [First.SERVER, First.EITHER])
async def test_a_client_that_waits_is_prompted(first: First) -> None:
    limits = Limits(prompt_delay=0.02)
    async with (
        serving(partial(CAPITALS, first, PROMPT), limits=limits) as server,
        await server.connect() as client,
    ):
        await receive(client, PROMPT)
        await client.send_all(b"a\n")
        await client.send_eof()
        assert await receive_all(client) == b"A\n"


async def test_a_megabyte_of_lines_is_answered_to_a_client_that_reads_later() -> None:
    data = b"0123456789abcdef\n" * 60_000
    async with serving() as server, await server.connect() as client, trio.open_nursery() as nursery:

        async def send() -> None:
            await client.send_all(data)
            await client.send_eof()

        nursery.start_soon(send)
        assert await receive_all(client) == data.upper()


async def test_the_last_reply_survives_however_much_input_is_unread() -> None:
    session = partial(CAPITALS, max_line=10, oversize=Oversize.REJECT)
    async with serving(session) as server, await server.connect() as client:
        with suppress(trio.BrokenResourceError):
            await client.send_all(b"ok\n" + b"a" * 3_000_000)
        await client.send_eof()
        assert await receive_all(client) == b"OK\nerror: line longer than 10 bytes\n"


@pytest.mark.parametrize("spoken", [b"", b"half", b"line\n", b"line\n" * 100_000])
async def test_a_reset_affects_no_other_client(spoken: bytes) -> None:
    async with serving() as server, await server.connect() as bystander:
        client = await server.connect()
        with trio.move_on_after(0.05):  # a client that does not read its replies gets stuck
            await client.send_all(spoken)
        reset(client)
        await bystander.send_all(b"still here\n")
        await receive(bystander, b"STILL HERE\n")
        assert await server.talk(b"next") == b"NEXT"
    assert not server.telemetry.failures


async def test_a_reset_while_the_server_lingers_is_no_failure() -> None:
    async with serving(partial(CAPITALS, once=True)) as server:
        client = await server.connect()
        await client.send_all(b"a\n")
        await receive(client, b"A\n")
        reset(client)
        assert await server.talk(b"next\n") == b"NEXT\n"
    assert not server.telemetry.failures


async def test_a_session_error_ends_its_connection_and_is_reported_once() -> None:
    def service(line: bytes) -> bytes:
        if line == b"bug\n":
            raise ZeroDivisionError("a bug")
        return line

    async with serving(partial(LineSession, service)) as server, await server.connect() as bystander:
        async with await server.connect() as client:
            host, port = client.socket.getsockname()
            await client.send_all(b"fine\n")
            await receive(client, b"fine\n")
            await client.send_all(b"bug\n")
            assert await receive_all(client) == b""
        await bystander.send_all(b"fine\n")
        await receive(bystander, b"fine\n")
        [(error, endpoint, peer)] = server.telemetry.failures
        assert isinstance(error, ZeroDivisionError)
        assert endpoint == server.endpoints[0]
        assert peer == InternetPeer(host, port)


async def test_a_session_that_cannot_be_created_ends_its_connection_only(tmp_path: Path) -> None:
    def new_session() -> Session:
        raise ZeroDivisionError

    async with serving(new_session, f"unix:{tmp_path}/caas.sock") as server:
        assert await server.talk(b"a\n") == b""
        [(error, _, peer)] = server.telemetry.failures
        assert isinstance(error, ZeroDivisionError)
        assert peer == us()


async def test_a_server_without_an_endpoint_is_refused() -> None:
    with pytest.raises(EndpointError) as caught:
        await serve_sessions(CAPITALS)
    assert (caught.value.text, caught.value.reason) == ("", "at least one is needed")


async def test_a_failed_endpoint_leaves_no_listener_open(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(ListenError):
        await serve_sessions(CAPITALS, f"unix:{tmp_path}/caas.sock", f"unix:{tmp_path}/precious")
    assert not (tmp_path / "caas.sock").exists()


async def test_the_stop_answers_what_was_received_and_ends_each_connection() -> None:
    async with serving() as server:
        idle, busy, early = [await server.connect() for _ in range(3)]
        await busy.send_all(b"a\nhalf")
        await receive(busy, b"A\n")
        await early.send_all(b"b\n")
        server.stop.set()
        for client, heard in ((idle, b""), (busy, b""), (early, b"B\n")):
            assert await receive_all(client) == heard
            await client.aclose()
    assert not server.telemetry.failures


async def test_the_stop_takes_the_whole_accept_queue() -> None:
    # Every tenth is aborted by its client, and skipped.
    machine = ScriptedMachine(*[*[0] * 9, errno.ECONNABORTED] * 15)
    async with serving(machine=machine) as server:
        address = (server.endpoints[0].host, server.endpoints[0].port)
        # Without a checkpoint in between: more than one burst of accepts waits when the stop begins.
        queued = [socket.create_connection(address) for _ in range(150)]
        for number, client in enumerate(queued):
            client.sendall(b"client %d\n" % number)
        server.stop.set()
        for number, sock in enumerate(queued):
            async with trio.SocketStream(trio.socket.from_stdlib_socket(sock)) as client_stream:
                assert await receive_all(client_stream) == b"CLIENT %d\n" % number
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_the_drain_timeout_cuts_off_a_client_that_does_not_read() -> None:
    async with serving(limits=Limits(drain_timeout=0.1)) as server:
        client = await server.connect()
        with trio.move_on_after(0.2):
            await client.send_all(b"x\n" * 10_000_000)
        server.stop.set()
    await client.aclose()
    assert server.telemetry.drain_timeouts == 1


async def test_cancellation_ends_every_connection_at_once(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    async with serving(CAPITALS, f"unix:{path}") as server:
        client = await server.connect()
        await client.send_all(b"a\n")
        await receive(client, b"A\n")
        server.everything.cancel()
    assert await receive_all(client) == b""
    await client.aclose()
    assert not path.exists()


async def test_nothing_is_left_behind() -> None:
    before = descriptors()
    async with serving() as server:
        for _ in range(20):
            assert await server.talk(b"a") == b"A"
        reset(await server.connect())
    assert descriptors() <= before


class CountingMachine(Machine):
    """Counts how many connections each wake-up accepts."""

    def __init__(self) -> None:
        self.bursts: list[int] = []

    async def wait_readable(self, sock: Any) -> None:
        await super().wait_readable(sock)
        self.bursts.append(0)

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        accepted = super().accept(listening, family, kind)
        self.bursts[-1] += 1
        return accepted


@pytest.mark.parametrize("shared", [False, True])
async def test_a_wake_up_takes_few_connections_from_a_queue_that_other_processes_share(
    nursery: trio.Nursery, *, shared: bool
) -> None:
    machine = CountingMachine()
    [listener] = await listen_all([Endpoint.parse("tcp://127.0.0.1:0")])
    listener.shared = shared
    await nursery.start(partial(serve_sessions, CAPITALS, listener, machine=machine))
    with ExitStack() as clients:
        for _ in range(10):
            clients.enter_context(socket.create_connection(listener.sockets[0].getsockname()))
        await trio.testing.wait_all_tasks_blocked()
    assert sum(machine.bursts) == 10
    assert max(machine.bursts) == (4 if shared else 10)
    nursery.cancel_scope.cancel()


class KeepingMachine(Machine):
    """Keeps the sockets of the connections that were accepted; two refused ones may linger."""

    gentle_refusals = 2

    def __init__(self) -> None:
        self.accepted: list[socket.socket] = []

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        accepted, address = super().accept(listening, family, kind)
        self.accepted.append(accepted)
        return accepted, address

    async def left(self) -> int:
        """Return how many are open once nothing happens any more."""
        await trio.testing.wait_all_tasks_blocked(0.01)
        return sum(sock.fileno() >= 0 for sock in self.accepted)


class NotingMachine(KeepingMachine):
    """Notes what a server asks of its machine; it has few descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def new_socket(self, family: int, kind: int) -> socket.socket:
        self.asked.add("a socket")
        return super().new_socket(family, kind)

    def epoll(self) -> Any:
        self.asked.add("epoll")
        return super().epoll()

    def stream(self, sock: socket.socket) -> trio.abc.HalfCloseableStream:
        self.asked.add("a stream")
        return super().stream(sock)

    def open_spare(self) -> int:
        self.asked.add("a spare descriptor")
        return super().open_spare()

    def max_descriptors(self) -> int:
        return RESERVED_DESCRIPTORS + 1

    async def wait_readable(self, sock: Any) -> None:
        if sock in self.accepted:
            self.asked.add("to wait for a header")
        await super().wait_readable(sock)


async def test_all_that_a_server_does_it_does_on_its_machine(driver: str) -> None:
    machine = NotingMachine()
    trust = Trust(proxy_protocol=True)
    start = partial(serve_sessions, CAPITALS, trust=trust, machine=machine)
    async with running(start, telemetry=Recorder()) as server, await server.connect() as client:
        await trio.testing.wait_all_tasks_blocked()
        await client.send_all(b"PROXY UNKNOWN\r\na\n")
        await receive(client, b"A\n")
        assert machine.asked == {
            *("a socket", "a spare descriptor", "to wait for a header"),
            *(["epoll"] if driver == "hub" else ["a stream"]),
        }
        assert await server.talk(b"") == REFUSAL  # for want of descriptors


async def test_connections_have_the_options_and_paths_the_mode_that_are_asked_for(tmp_path: Path) -> None:
    path, machine = tmp_path / "caas.sock", NotingMachine()
    sockets, trust = SocketOptions(keepalive=8), Trust(unix_mode=0o640)
    start = partial(serve_sessions, CAPITALS, sockets=sockets, trust=trust, machine=machine)
    async with (
        running(start, f"unix:{path}", "tcp://127.0.0.1:0", telemetry=Recorder()) as server,
        await server.connect(1) as client,
    ):
        await client.send_all(b"a\n")
        await receive(client, b"A\n")
        [accepted] = machine.accepted
        assert tcp_options(accepted)[:3] == (1, 8, 2)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o640


async def test_a_server_that_retires_ends_with_its_last_connection() -> None:
    retire = trio.Event()
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(
            partial(serve_sessions, CAPITALS, "tcp://127.0.0.1:0", retire=retire)
        )
        async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
            await ask(client, b"a\n", b"A\n")
            retire.set()
            await trio.testing.wait_all_tasks_blocked()
            await ask(client, b"b\n", b"B\n")


class BusyMachine(Machine):
    """Notices no client that comes to a listening socket, from some time on."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.busy = False

    async def wait_readable(self, sock: Any) -> None:
        await super().wait_readable(sock)
        if self.busy and sock is self.sock:
            await trio.sleep_forever()


async def test_a_server_that_retires_serves_whom_it_has_room_for_and_leaves_the_rest_to_others() -> None:
    [listener] = await listen_all([Endpoint.parse("tcp://127.0.0.1:0")])
    machine, retire = BusyMachine(listener.sockets[0]), trio.Event()
    limits = Limits(max_connections=2, linger_timeout=0.01)
    start = partial(serve_sessions, CAPITALS, retire=retire, limits=limits, machine=machine)
    with listener.sockets[0].dup() as others, ExitStack() as clients:
        async with running(start, listener, telemetry=Recorder()) as server, await server.connect() as first:
            await first.send_all(b"a\n")
            await receive(first, b"A\n")
            machine.busy = True
            for _ in range(3):
                clients.enter_context(socket.create_connection(others.getsockname()))
            retire.set()
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(2):
                others.accept()[0].close()
            with pytest.raises(BlockingIOError):
                others.accept()
            await first.send_all(b"b\n")
            await receive(first, b"B\n")
            server.stop.set()
            assert await receive_all(first) == b""
    assert not server.telemetry.reasons


async def test_econnaborted_is_skipped() -> None:
    async with serving(machine=ScriptedMachine(errno.ECONNABORTED, errno.EPROTO)) as server:
        assert await server.talk(b"a") == b"A"
    assert not server.telemetry.failures


def heard_now(client: socket.socket) -> bytes:
    """Return what a client has received; it does not wait."""
    try:
        return client.recv(1000, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


async def test_without_memory_accepting_pauses_and_goes_on(mock_clock: MockClock) -> None:
    errors = [errno.ENOMEM, errno.ENOBUFS]
    async with serving(machine=ScriptedMachine(*errors)) as server:
        with server.plain_client() as client:
            client.send(b"a\n")
            for count in (1, 2):
                await trio.testing.wait_all_tasks_blocked()
                assert server.telemetry.accept_errors == errors[:count]
                assert heard_now(client) == b""
                mock_clock.jump(0.1)
            await trio.testing.wait_all_tasks_blocked()
            assert heard_now(client) == b"A\n"


async def test_clients_are_accepted_one_after_the_other_without_a_pause(mock_clock: MockClock) -> None:
    async with serving() as server:
        for _ in range(3):
            with server.plain_client() as client:
                client.send(b"a\n")
                await trio.testing.wait_all_tasks_blocked()
                assert heard_now(client) == b"A\n"


async def test_without_descriptors_a_client_gets_an_error_line() -> None:
    async with serving(machine=ScriptedMachine(errno.EMFILE)) as server:
        async with await server.connect() as client:
            assert await receive_all(client) == REFUSAL
        assert await server.talk(b"a") == b"A"
    assert server.telemetry.accept_errors == [errno.EMFILE]


async def test_without_memory_at_the_stop_the_rest_is_drained() -> None:
    machine = ScriptedMachine()
    async with serving(machine=machine) as server:
        client = await server.connect()
        await client.send_all(b"a\n")
        await receive(client, b"A\n")
        machine.script = [errno.ENOMEM]
        server.stop.set()
        assert await receive_all(client) == b""
        await client.aclose()


async def test_a_failed_listening_socket_raises_to_the_caller() -> None:
    with pytest.RaisesGroup(OSError, flatten_subgroups=True) as caught:
        async with serving(machine=ScriptedMachine(errno.EBADF)) as server, await server.connect() as client:
            await client.receive_some()
    assert isinstance(caught.value.exceptions[0], BaseExceptionGroup)


async def shout(connection: Connection) -> None:
    """Serve lines with a handler."""
    await connection.send(PROMPT)
    async for line in connection:
        await connection.send(line.upper())


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "unix:{}/a"])
async def test_urgent_data_stays_in_its_place(endpoint: str, tmp_path: Path) -> None:
    async with serving(CAPITALS, endpoint.format(tmp_path)) as server, await server.connect() as client:
        await client.send_all(b"he")
        await client.socket.send(b"l", socket.MSG_OOB)
        await client.send_all(b"lo\n")
        await receive(client, b"HELLO\n")
        await client.socket.send(b"a\n", socket.MSG_OOB)
        await client.socket.send(b"b\n", socket.MSG_OOB)
        server.stop.set()  # the drain reads what is there, whatever it is
        assert await receive_all(client) == b"A\nB\n"


async def test_a_handler_serves_lines() -> None:
    async with serving_handler(shout) as server:
        assert await server.talk(b"hello\r\nworld") == PROMPT + b"HELLO\r\nWORLD"
    assert not server.telemetry.failures


async def test_a_handler_that_stops_reading_does_not_reset_its_client() -> None:
    async def handler(connection: Connection) -> None:
        await connection.receive_line()
        await connection.send(b"enough\n")

    async with serving_handler(handler) as server, await server.connect() as client:
        with suppress(trio.BrokenResourceError):
            await client.send_all(b"a\n" * 1_000_000)
        await client.send_eof()
        assert await receive_all(client) == b"enough\n"


async def fail_in(connection: Connection, how: str) -> None:
    """Fail with the planned error."""
    match how:
        case "plain":
            raise ZeroDivisionError
        case "group":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_in, connection, "plain")
        case "groups":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_in, connection, "group")
                nursery.start_soon(fail_in, connection, "group")
        case "with a peer's fault":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_in, connection, "plain")
                with trio.CancelScope(shield=True):
                    await connection.receive_exactly(10)
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize("how", ["plain", "group", "groups", "with a peer's fault"])
async def test_a_handler_failure_ends_its_connection_and_is_reported_once(how: str) -> None:
    async def handler(connection: Connection) -> None:
        if await connection.receive_line() == b"fail\n":
            await fail_in(connection, how)
        await connection.send(b"fine\n")

    async with serving_handler(handler) as server, await server.connect() as bystander:
        assert await server.talk(b"fail\n") == b""
        [(error, endpoint, peer)] = server.telemetry.failures
        assert isinstance(error, ZeroDivisionError if how != "groups" else ExceptionGroup)
        assert endpoint == server.endpoints[0]
        assert isinstance(peer, InternetPeer)
        await bystander.send_all(b"and I?\n")
        await receive(bystander, b"fine\n")


async def test_what_the_peer_did_is_no_failure_of_the_handler() -> None:
    async def handler(connection: Connection) -> None:
        await connection.receive_exactly(10)

    async def in_a_nursery(connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler, connection)

    for each in (handler, in_a_nursery):
        async with serving_handler(each) as server:
            assert await server.talk(b"short") == b""
        assert not server.telemetry.failures


@pytest.mark.parametrize(
    ("how", "told"), [("well", type(None)), ("short", InputEnded), ("reset", ConnectionLost), ("bug", None)]
)
async def test_each_conversation_is_reported_once(how: str, told: type | None) -> None:
    async def handler(connection: Connection) -> None:
        await connection.receive_exactly(5)
        if how == "bug":
            raise ZeroDivisionError

    async with serving_handler(handler) as server:
        client = await server.connect()
        await client.send_all(b"short" if how in ("well", "bug") else b"s")
        if how == "reset":
            reset(client)
        else:
            await client.send_eof()
            assert await receive_all(client) == b""
            await client.aclose()
        assert await server.talk(b"and next") == b""
    assert [type(error) for error in server.telemetry.ends[:-1]] == ([] if told is None else [told])
    assert len(server.telemetry.failures) == (2 if told is None else 0)


async def test_a_handler_may_cancel_itself() -> None:
    async def handler(connection: Connection) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.receive_line()
        await connection.send(b"went on\n")

    async with serving_handler(handler) as server:
        assert await server.talk(b"a\n") == b"went on\n"
    assert not server.telemetry.failures


async def test_cancelled_is_not_swallowed_beside_a_bug() -> None:
    async def handler(connection: Connection) -> None:
        try:
            await connection.receive_line()
        finally:
            raise ZeroDivisionError

    async def both(connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler, connection)
            nursery.start_soon(trio.sleep_forever)

    async with serving_handler(both) as server:
        client = await server.connect()
        await trio.testing.wait_all_tasks_blocked()
        server.everything.cancel()
    await client.aclose()
    assert [type(error) for error, _, _ in server.telemetry.failures] == [ZeroDivisionError]


async def test_a_keyboard_interrupt_ends_the_server() -> None:
    async def handler(_: Connection) -> None:
        raise KeyboardInterrupt

    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True) as caught:
        async with serving_handler(handler) as server, await server.connect() as client:
            await client.receive_some()
    assert isinstance(caught.value, BaseExceptionGroup)


@pytest.mark.parametrize("grouped", [False, True])
async def test_sys_exit_in_a_handler_is_a_failure_of_that_handler(grouped: bool) -> None:  # noqa: FBT001
    async def handler(connection: Connection) -> None:
        if await connection.receive_line() == b"parse me\n":
            if grouped:
                raise BaseExceptionGroup("of a nursery", [SystemExit(2)])
            raise SystemExit(2)  # as argparse does for a command that it does not know
        await connection.send(b"fine\n")

    async with serving_handler(handler) as server:
        assert await server.talk(b"parse me\n") == b""
        assert await server.talk(b"hello\n") == b"fine\n"
    [(error, _, _)] = server.telemetry.failures
    assert str(error) == "SystemExit was raised"
    assert isinstance(error.__cause__, SystemExit)


async def test_other_base_exceptions_are_a_failure_of_that_handler() -> None:
    class Aborted(BaseException):
        """As asyncio's CancelledError is one."""

    async def handler(connection: Connection) -> None:
        if await connection.receive_line() == b"abort\n":
            raise Aborted
        await connection.send(b"fine\n")

    async with serving_handler(handler) as server:
        assert await server.talk(b"abort\n") == b""
        assert await server.talk(b"hello\n") == b"fine\n"
    [(error, _, _)] = server.telemetry.failures
    assert (str(error), type(error.__cause__)) == ("Aborted was raised", Aborted)


@pytest.mark.parametrize("raised", [SystemExit(2), asyncio.CancelledError()], ids=["exit", "cancelled"])
def test_base_exceptions_are_a_failure_of_that_session(driver: str, raised: BaseException) -> None:
    def service(line: bytes) -> bytes:
        if line == b"exit\n":
            raise raised
        return line.upper()

    async def main() -> tuple[list[bytes], list[str]]:
        new_session = partial(LineSession, service)
        async with serving(new_session, "tcp://127.0.0.1:0") as server, await server.connect() as staying:
            await staying.send_all(b"a\n")
            heard = [await staying.receive_some()]
            await staying.send_all(b"exit\n")  # by now the driver runs the session
            heard += [await staying.receive_some(), await server.talk(b"b\n")]
        return heard, [str(error) for error, _, _ in server.telemetry.failures]

    assert trio.run(main) == ([b"A\n", b"", b"B\n"], [f"{type(raised).__name__} was raised"])


async def test_a_handler_is_notified_of_the_drain() -> None:
    async def handler(connection: Connection) -> None:
        async for line in connection:
            await connection.send(line.upper())
        await connection.send(b"going down\n" if connection.draining else b"bye\n")

    async with serving_handler(handler) as server:
        assert await server.talk(b"a\n") == b"A\nbye\n"
        client = await server.connect()
        await client.send_all(b"b\n")
        await receive(client, b"B\n")
        await client.send_all(b"c\nhalf")
        server.stop.set()
        assert await receive_all(client) == b"C\ngoing down\n"
        await client.aclose()
    assert server.telemetry.drain_timeouts == 0


async def test_a_handler_that_hangs_at_the_drain_is_cancelled() -> None:
    async def handler(_: Connection) -> None:
        await trio.sleep_forever()

    async with serving_handler(handler, limits=Limits(drain_timeout=0.05)) as server:
        client = await server.connect()
        await trio.testing.wait_all_tasks_blocked()
        server.stop.set()
        assert await receive_all(client) == b""
        await client.aclose()
    assert server.telemetry.drain_timeouts == 1


@pytest.mark.parametrize("spoken", [b"", b"early\n"])
async def test_at_capacity_a_client_gets_an_error_line(spoken: bytes) -> None:
    async with serving(limits=Limits(max_connections=1, linger_timeout=30)) as server:
        async with await server.connect() as first:
            await first.send_all(b"a\n")
            await receive(first, b"A\n")
            assert await server.talk(spoken) == REFUSAL
            await first.send_eof()
            assert await receive_all(first) == b""
        await trio.testing.wait_all_tasks_blocked()
        assert await server.talk(b"b") == b"B"
    assert server.telemetry.reasons == ["too many connections"]


async def test_refused_clients_are_closed_at_once_in_a_flood() -> None:
    async with (
        serving(limits=Limits(max_connections=1, linger_timeout=30)) as server,
        await server.connect() as first,
    ):
        await first.send_all(b"a\n")
        await receive(first, b"A\n")
        address = (server.endpoints[0].host, server.endpoints[0].port)
        flood = [socket.create_connection(address) for _ in range(40)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        for client in flood:
            client.settimeout(0)
            assert client.recv(100) == REFUSAL
            client.close()
        await first.send_all(b"b\n")
        await receive(first, b"B\n")
    assert len(server.telemetry.reasons) == 40


async def test_max_per_host_is_enforced() -> None:
    async with serving(limits=Limits(max_per_host=1)) as server, await server.connect() as first:
        await first.send_all(b"a\n")
        await receive(first, b"A\n")
        assert await server.talk(b"b") == REFUSAL
        await first.send_eof()
        assert await receive_all(first) == b""
        assert await server.talk(b"c") == b"C"
    [(reason, peer)] = server.telemetry.refused
    assert reason == "too many connections from this host"
    assert isinstance(peer, InternetPeer)
    assert peer.host == "127.0.0.1"


async def test_a_refused_process_is_named(tmp_path: Path) -> None:
    limits = Limits(max_connections=1, max_per_host=1)  # which knows no hosts here
    async with (
        serving(CAPITALS, f"unix:{tmp_path}/caas.sock", limits=limits) as server,
        await server.connect() as first,
    ):
        await first.send_all(b"a\n")
        await receive(first, b"A\n")
        assert await server.talk(b"b") == REFUSAL
    assert server.telemetry.refused == [("too many connections", us())]


async def test_a_process_is_named_where_each_connection_is_reported(tmp_path: Path) -> None:
    start = partial(serve_sessions, CAPITALS)
    async with running(start, f"unix:{tmp_path}/caas.sock", telemetry=ConnectionRecorder()) as server:
        assert await server.talk(b"a") == b"A"
    assert server.telemetry.closed == [(server.endpoints[0], us())]


@pytest.mark.parametrize("proxied", [False, True])
async def test_of_many_refused_clients_a_few_may_linger(*, proxied: bool) -> None:
    def header(host: int) -> bytes:
        return b"PROXY TCP4 192.0.2.%d 192.0.2.0 1 2\r\n" % host if proxied else b""

    machine, trust = KeepingMachine(), Trust(proxy_protocol=proxied)
    limits = Limits(max_per_host=1, max_connections=2, linger_timeout=30)
    start = partial(serve_sessions, CAPITALS, limits=limits, trust=trust, machine=machine)
    async with (
        running(start, telemetry=StatsRecorder()) as server,
        await server.connect() as first,
        AsyncExitStack() as clients,
    ):
        await first.send_all(header(1) + b"a\n")
        await receive(first, b"A\n")
        for resetting in (False, True):
            refused = []
            for _ in range(5):
                refused.append(await clients.enter_async_context(await server.connect()))
                await refused[-1].send_all(header(1))
                await receive(refused[-1], REFUSAL)
            assert await machine.left() == 3
            for client in refused:
                if resetting:
                    reset(client)
                else:
                    await client.aclose()
            assert await machine.left() == 1
        if proxied:
            async with await server.connect() as second:
                await second.send_all(header(2) + b"a\n")
                await receive(second, b"A\n")
                assert await server.talk(header(3)) == REFUSAL
            assert await machine.left() == 1
            assert await server.talk(b"PROXY ") == b""  # closed, though the machine keeps the socket
    assert not server.telemetry.failures
    assert server.telemetry.reasons[:10] == ["too many connections from this host"] * 10


@pytest.mark.parametrize(
    ("resets", "error", "outcome"),
    [(False, type(None), Outcome.COMPLETED), (True, ConnectionLost, Outcome.LOST)],
)
async def test_clients_that_leave_before_they_are_accepted_are_reported_as_others(
    error: type, outcome: Outcome, *, resets: bool
) -> None:
    async with running(partial(serve_sessions, CAPITALS), telemetry=StatsRecorder()) as server:
        for _ in range(3):
            client = socket.create_connection((server.endpoints[0].host, server.endpoints[0].port))
            reset(client) if resets else client.close()
        await trio.testing.wait_all_tasks_blocked()
    assert [type(error) for error in server.telemetry.ends] == [error] * 3
    assert server.telemetry.outcomes == {outcome: 3}


@pytest.mark.parametrize(
    ("limits", "prompt", "seconds"),
    [
        (Limits(idle_timeout=5, linger_timeout=20), PROMPT, 25),
        (Limits(write_timeout=5, linger_timeout=20), PROMPT * 2_000_000, 5),
    ],
    ids=["idle", "write"],
)
async def test_after_a_timeout_the_server_lingers_unless_the_client_does_not_read(
    autojump_clock: MockClock, limits: Limits, prompt: bytes, seconds: int
) -> None:
    start = partial(serve_sessions, partial(CAPITALS, First.SERVER, prompt), limits=limits)
    async with running(start, telemetry=StatsRecorder()) as server, await server.connect():
        await trio.sleep(seconds - 1)  # the mock clock's
        assert not server.telemetry.outcomes
        await trio.sleep(2)
        assert server.telemetry.outcomes
    assert server.telemetry.outcomes == {Outcome.TIMED_OUT: 1}


async def test_a_client_that_has_been_screened_is_named_even_if_it_is_gone() -> None:
    def new_session() -> Session:
        raise ZeroDivisionError

    start = partial(serve_sessions, new_session, trust=Trust(allow_from=LOOPBACK))
    async with running(start, telemetry=Recorder()) as server:
        client = socket.create_connection((server.endpoints[0].host, server.endpoints[0].port))
        peer = InternetPeer(*client.getsockname())
        reset(client)
        await trio.testing.wait_all_tasks_blocked()
    assert [peer for _, _, peer in server.telemetry.failures] == [peer]


class TaskNames(trio.abc.Instrument):
    """Keeps the names of the tasks that start."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.names.append(task.name)


async def test_the_tasks_of_connections_are_named() -> None:
    tasks = TaskNames()
    trio.lowlevel.add_instrument(tasks)
    async with serving(limits=Limits(max_connections=1)) as server, await server.connect() as first:
        await first.send_all(b"a\n")
        await receive(first, b"A\n")
        assert await server.talk(b"") == REFUSAL
    trio.lowlevel.remove_instrument(tasks)
    assert [name for name in tasks.names if "." not in name] == ["connection", "refusal"]


async def test_a_host_may_connect_so_often_in_a_second(mock_clock: MockClock) -> None:
    async with serving(limits=Limits(max_rate_per_host=2)) as server:
        assert await server.talk(b"a") == b"A"
        assert await server.talk(b"b") == b"B"
        assert await server.talk(b"c") == REFUSAL
        mock_clock.jump(0.5)
        assert await server.talk(b"d") == b"D"
    assert server.telemetry.reasons == ["too many new connections from this host"]


async def test_at_capacity_wait_delays_new_connections(
    mock_clock: MockClock,
) -> None:
    limits = Limits(max_connections=1, at_capacity=AtCapacity.WAIT)
    async with serving(limits=limits) as server:
        clients = [server.plain_client() for _ in range(3)]
        for client in clients:
            client.send(b"a\n")
        for number, client in enumerate(clients):
            await trio.testing.wait_all_tasks_blocked()
            heard = [heard_now(waiting) for waiting in clients[number:]]
            assert heard == [b"A\n", *[b""] * (2 - number)]
            client.close()
    assert not server.telemetry.reasons


@pytest.mark.parametrize("spoken", [b"", b"early\n"])
async def test_a_client_that_waits_for_room_at_a_stop_gets_an_error_line(spoken: bytes) -> None:
    limits = Limits(max_connections=1, at_capacity=AtCapacity.WAIT)
    async with serving(limits=limits) as server, await server.connect() as first:
        await first.send_all(b"a\n")
        await receive(first, b"A\n")
        waiting = [await server.connect() for _ in range(40)]
        for client in waiting:
            if spoken:
                await client.send_all(spoken)
        await trio.testing.wait_all_tasks_blocked()
        server.stop.set()
        for client in waiting:
            assert await receive_all(client) == REFUSAL
            await client.aclose()
        assert await receive_all(first) == b""
    assert server.telemetry.reasons == ["too many connections"] * 40


async def test_a_client_that_does_not_read_is_dropped() -> None:
    limits = Limits(write_timeout=0.1, linger_timeout=30)
    async with serving(limits=limits) as server, await server.connect() as client:
        with suppress(trio.BrokenResourceError):
            await client.send_all(b"x\n" * 20_000_000)
            raise AssertionError("it was never dropped")
    assert not server.telemetry.failures
