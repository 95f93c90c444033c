"""A worker in this process: what it does as its supervisor says, and what it says itself."""

from __future__ import annotations

import json
import math
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.program import worker_main
from caas_trio.program.control import Control, Order, SharedSocket
from caas_trio.program.signals import HANDLED
from caas_trio.program.worker_process import Worker, start_process

from .certificates import write_files


def ordered(listening: socket.socket, *arguments: str, scheme: str = "tcp", **others: object) -> Order:
    """Return an order to serve this socket, by a descriptor of the worker's own."""
    at = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    fields = {"config": {}, "slot": 7, "watchdog_interval": math.inf, "figures": None, **others}
    shared = SharedSocket(asked=at, endpoint=at, descriptors=[listening.dup().detach()])
    return Order(arguments=[at, *arguments], sockets=[shared], **fields)  # type: ignore[arg-type]


class Run:
    """A worker at work, and the supervisor's end of its control channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.control = Control(ours)
        self.sock = theirs
        self.over = trio.Event()

    async def work(self) -> None:
        await worker_main.work(Control(self.sock))
        self.over.set()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    run = Run()
    yield run
    run.control.close()
    run.sock.close()


async def begin(run: Run, order: Order, nursery: trio.Nursery) -> None:
    nursery.start_soon(run.work)
    await run.control.send(order.line())
    while (word := await run.control.next_line()) != "ready":
        assert word == "alive"


async def connect(listening: socket.socket) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", listening.getsockname()[1])


async def ask(client: trio.SocketStream) -> bytes:
    await client.send_all(b"a\n")
    return bytes(await client.receive_some())


async def test_it_serves_until_it_is_told_to_stop(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    await begin(run, ordered(listening), nursery)
    assert listening.getblocking()
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    run.control.say("stop")
    assert await client.receive_some() == b""
    await client.aclose()
    await run.over.wait()


async def test_who_is_connected_at_a_retirement_may_go_on(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    await begin(run, ordered(listening), nursery)
    silent, waiting = await connect(listening), await connect(listening)
    assert await ask(waiting) == b"A\n"
    run.control.say("retire")
    await trio.sleep(0.1)
    assert await ask(silent) == b"A\n"
    await silent.aclose()
    assert await ask(waiting) == b"A\n"
    late = await connect(listening)
    listening.settimeout(30)
    accepted, _ = listening.accept()  # it is for others now
    accepted.close()
    await late.aclose()
    assert not run.over.is_set()
    await waiting.aclose()
    await run.over.wait()


async def test_who_waits_at_a_retirement_is_left_to_others(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    full = ("--max-connections", "1", "--at-capacity", "wait")
    await begin(run, ordered(listening, *full), nursery)
    served, waiting = await connect(listening), await connect(listening)
    assert await ask(served) == b"A\n"
    run.control.say("retire")
    await trio.sleep(0.1)
    listening.settimeout(30)
    accepted, _ = listening.accept()
    assert accepted.getpeername() == waiting.socket.getsockname()
    accepted.close()
    for client in (waiting, served):
        await client.aclose()
    await run.over.wait()


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_retirement_is_a_stop_in_the_end(
    stopped: bool,  # noqa: FBT001
    run: Run,
    listening: socket.socket,
    nursery: trio.Nursery,
) -> None:
    patience = "1000" if stopped else "0.01"
    await begin(run, ordered(listening, "--drain-timeout", patience), nursery)
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    run.control.say("retire")
    if stopped:
        run.control.say("stop")
    assert await client.receive_some() == b""
    await client.aclose()
    await run.over.wait()


@pytest.mark.parametrize("retired", [False, True])
async def test_who_has_not_spoken_at_a_handover_may(
    retired: bool,  # noqa: FBT001
    run: Run,
    listening: socket.socket,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    await begin(run, ordered(listening), nursery)
    client = await connect(listening)
    await trio.testing.wait_all_tasks_blocked()
    if retired:
        run.control.say("retire")
    run.control.say("handover")
    await trio.sleep(0.9)
    assert await ask(client) == b"A\n"
    assert await client.receive_some() == b""
    assert autojump_clock.current_time() == pytest.approx(1, abs=0.05)
    await client.aclose()
    await run.over.wait()


async def test_what_comes_before_the_conversation_is_the_workers(
    run: Run, listening: socket.socket, nursery: trio.Nursery, tmp_path: Path
) -> None:
    certificate, key, _ = write_files(tmp_path)
    files = ("--tls-cert", str(certificate), "--tls-key", str(key))
    proxied = ("--proxy-on", f"tls://127.0.0.1:{listening.getsockname()[1]}")
    await begin(run, ordered(listening, *files, *proxied, scheme="tls"), nursery)
    client = await connect(listening)
    await client.send_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = trio.SSLStream(client, context, https_compatible=True)
    await secure.send_all(b"a\n")
    assert await secure.receive_some() == b"A\n"
    await secure.aclose()
    run.control.say("stop")
    await run.over.wait()


async def test_datagrams_are_served_by_workers_too(run: Run, nursery: trio.Nursery) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as taking,
        trio.socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        taking.bind(("127.0.0.1", 0))
        await begin(run, ordered(taking, scheme="udp"), nursery)
        await client.sendto(b"a", taking.getsockname())
        assert await client.recv(10) == b"A"
        run.control.say("retire")
        await run.over.wait()


async def hang_the_drain_up(run: Run, listening: socket.socket, nursery: trio.Nursery) -> trio.SocketStream:
    """Return a client that does not read what it is sent."""
    await begin(run, ordered(listening, "--drain-timeout", "1000"), nursery)
    client = await connect(listening)
    with trio.move_on_after(0.3):
        await client.send_all(b"never read\n" * 2_000_000)
    return client


async def test_a_cut_ends_it_at_once(run: Run, listening: socket.socket, nursery: trio.Nursery) -> None:
    client = await hang_the_drain_up(run, listening, nursery)
    run.control.say("stop")
    run.control.say("cut")
    with trio.move_on_after(30):  # a drain would have 1000 seconds
        await run.over.wait()
    assert run.over.is_set()
    await client.aclose()


async def test_a_second_signal_does_not_cut(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    client = await hang_the_drain_up(run, listening, nursery)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
        signal.raise_signal(number)
    await trio.sleep(0.1)
    assert not run.over.is_set()
    with suppress(trio.BrokenResourceError):
        while await client.receive_some():
            pass
    await client.aclose()
    await run.over.wait()


async def test_a_supervisor_that_is_gone_is_a_stop(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    await begin(run, ordered(listening), nursery)
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    run.control.close()
    assert await client.receive_some() == b""
    await client.aclose()
    await run.over.wait()


async def test_without_an_order_nothing_is_done(run: Run) -> None:
    run.control.close()
    await run.work()
    assert run.over.is_set()


async def test_it_gives_signs_of_life(run: Run, listening: socket.socket, nursery: trio.Nursery) -> None:
    await begin(run, ordered(listening, watchdog_interval=0.01), nursery)
    for _ in range(3):
        assert await run.control.next_line() == "alive"
    run.control.close()
    await run.over.wait()


async def test_it_logs_by_its_number_and_takes_the_settings_it_is_told(
    run: Run, listening: socket.socket, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"log_level": "info", "log_format": "json", "max_line": "1", "oversize": "reject"}
    order = ordered(listening, "--config", "not looked into", config=settings)
    await begin(run, order, nursery)
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    await client.send_all(b"too long\n")
    assert await client.receive_some() == b"error: line longer than 1 bytes\n"
    await client.aclose()
    run.control.say("stop")
    await run.over.wait()
    captured = capsys.readouterr()
    assert captured.out == ""
    event = json.loads(captured.err)
    assert (event["event"], event["worker"]) == ("connection ended", 7)


async def test_it_shares_its_figures(
    run: Run,
    listening: socket.socket,
    nursery: trio.Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined: list[tuple[Path, int]] = []
    counted: list[PrometheusTelemetry] = []

    class Spied(PrometheusTelemetry):
        def update(self) -> None:
            counted.append(self)
            super().update()

    monkeypatch.setattr(worker_main, "join", lambda folder, slot, _: joined.append((folder, slot)))
    monkeypatch.setattr(worker_main, "PrometheusTelemetry", Spied)
    await begin(run, ordered(listening, figures=str(tmp_path)), nursery)
    run.control.say("stop")
    await run.over.wait()
    assert joined == [(tmp_path, 7)]
    assert len(counted) == 1  # at the end, if not before
    assert b"caas_trio_connections_open" in counted[0].page()


def test_it_says_why_it_cannot_serve() -> None:
    ours, theirs = socket.socketpair()
    with ours, socket.create_server(("127.0.0.1", 0)) as listening:
        order = ordered(listening, "--tls-cert", "missing.pem", "tls://127.0.0.1:0")
        ours.sendall(f"{order.line()}\n".encode())
        assert worker_main.run(theirs) == 1
        assert ours.recv(1000) == b"failed cannot use missing.pem: no such file or directory\n"
        assert ours.recv(1000) == b""
        socket.socket(fileno=order.sockets[0].descriptors[0]).close()


def test_the_program_takes_the_descriptor_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(sys, "argv", ["worker", str(theirs.detach())])
    ours.close()
    heeded = {number: signal.getsignal(number) for number in HANDLED}
    with pytest.raises(SystemExit, match="0"):
        worker_main.main()
    for number, handler in heeded.items():
        assert signal.signal(number, handler) is signal.SIG_IGN


async def test_a_process_is_started_and_serves(listening: socket.socket) -> None:
    order = ordered(listening)
    heard: list[Worker] = []
    started = await start_process(order)
    at_work = Worker(order, started, heard.append)
    assert at_work.pid == started.process.pid
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work.run)
        client = await connect(listening)
        assert await ask(client) == b"A\n"
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert (heard, at_work.ready) == ([at_work], True)
        at_work.tell("stop", 30)
        assert not at_work.ready
    assert at_work.death() is None
    socket.socket(fileno=order.sockets[0].descriptors[0]).close()


async def test_no_room_for_the_thread_that_starts_a_process_is_no_room_for_it(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    order = ordered(listening)
    monkeypatch.setattr(trio.to_thread, "run_sync", refuse)
    with pytest.raises(BlockingIOError, match="Resource temporarily unavailable"):
        await start_process(order)
    socket.socket(fileno=order.sockets[0].descriptors[0]).close()


async def test_a_process_that_cannot_be_started_leaves_nothing_open(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ordered(listening)
    commands: list[list[str]] = []

    async def refuse(command: list[str], **options: object) -> None:
        commands.append(command)
        assert options["stdout"] == subprocess.DEVNULL
        raise BlockingIOError

    monkeypatch.setattr(trio.lowlevel, "open_process", refuse)
    with pytest.raises(BlockingIOError):
        await start_process(order)
    monkeypatch.setattr(sys, "path", [str(Path.cwd())])
    with pytest.raises(BlockingIOError):
        await start_process(order)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(BlockingIOError):
        await start_process(order)
    assert [command[1] for command in commands][1:] == ["-m", "-P"]
    socket.socket(fileno=order.sockets[0].descriptors[0]).close()
