"""A worker in this process: what it does as its supervisor says, and what it says itself."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio.observing.metrics import PrometheusTelemetry
from caas_trio.program import worker_main
from caas_trio.program.control import Control
from caas_trio.program.interpreter import Interpreter
from caas_trio.program.messages import Command, SharedSocket, WorkerConfig
from caas_trio.program.worker_process import Worker, start_process

from .certificates import write_files
from .support.sockets import descriptors
from .test_loading import folder  # noqa: F401 - a fixture


def configured(
    listening: socket.socket, *arguments: str, scheme: str = "tcp", **others: object
) -> WorkerConfig:
    """Return a config to serve this socket, by a descriptor of the worker's own."""
    at = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    fields: dict[str, object] = {
        "config": {},
        "directory": None,
        "slot": 7,
        "watchdog_interval": math.inf,
        "metrics_folder": None,
    }
    shared = SharedSocket(asked=at, endpoint=at, descriptors=[listening.dup().detach()])
    return WorkerConfig(arguments=[at, *arguments], sockets=[shared], **{**fields, **others})  # type: ignore[arg-type]


class Run:
    """A worker at work, and the supervisor's end of its control channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.control = Control(ours)
        self.sock = theirs
        self.over = trio.Event()

    async def work(self, **options: Any) -> None:
        await worker_main.serve(Control(self.sock), **options)
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


async def begin(run: Run, config: WorkerConfig, nursery: trio.Nursery, **options: Any) -> None:
    nursery.start_soon(partial(run.work, **options))
    await run.control.send(config.to_line())
    while (message := await run.control.next_line()) != "ready":
        assert message is not None
        assert message.split()[0] in ("alive", "drain")


async def connect(listening: socket.socket) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", listening.getsockname()[1])


async def ask(client: trio.SocketStream) -> bytes:
    await client.send_all(b"a\n")
    return bytes(await client.receive_some())


async def test_it_serves_until_the_stop_command(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    await begin(run, configured(listening), nursery)
    assert listening.getblocking()
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    run.control.send_nowait("stop")
    assert await client.receive_some() == b""
    await client.aclose()
    await run.over.wait()


async def test_connections_survive_a_retirement(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    await begin(run, configured(listening), nursery)
    silent, waiting = await connect(listening), await connect(listening)
    assert await ask(waiting) == b"A\n"
    run.control.send_nowait("retire")
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


async def test_a_retiring_worker_leaves_the_queue_to_others(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    full = ("--max-connections", "1", "--at-capacity", "wait")
    await begin(run, configured(listening, *full), nursery)
    served, waiting = await connect(listening), await connect(listening)
    assert await ask(served) == b"A\n"
    run.control.send_nowait("retire")
    await trio.sleep(0.1)
    listening.settimeout(30)
    accepted, _ = listening.accept()
    assert accepted.getpeername() == waiting.socket.getsockname()
    accepted.close()
    for client in (waiting, served):
        await client.aclose()
    await run.over.wait()


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_retirement_ends_in_a_drain(
    stopped: bool,  # noqa: FBT001
    run: Run,
    listening: socket.socket,
    nursery: trio.Nursery,
) -> None:
    drain_timeout = "1000" if stopped else "0.01"
    await begin(run, configured(listening, "--drain-timeout", drain_timeout), nursery)
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    run.control.send_nowait("retire")
    if stopped:
        run.control.send_nowait("stop")
    assert await client.receive_some() == b""
    await client.aclose()
    await run.over.wait()


@pytest.mark.parametrize("retired", [False, True])
async def test_a_silent_client_may_still_send_after_a_handover(
    retired: bool,  # noqa: FBT001
    run: Run,
    listening: socket.socket,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    await begin(run, configured(listening), nursery)
    client = await connect(listening)
    await trio.testing.wait_all_tasks_blocked()
    if retired:
        run.control.send_nowait("retire")
    run.control.send_nowait("handover")
    await trio.sleep(0.9)
    assert await ask(client) == b"A\n"
    assert await client.receive_some() == b""
    assert autojump_clock.current_time() == pytest.approx(1, abs=0.05)
    await client.aclose()
    await run.over.wait()


async def test_handshakes_happen_in_the_worker(
    run: Run, listening: socket.socket, nursery: trio.Nursery, tmp_path: Path
) -> None:
    certificate, key, _ = write_files(tmp_path)
    files = ("--tls-cert", str(certificate), "--tls-key", str(key))
    proxied = ("--proxy-on", f"tls://127.0.0.1:{listening.getsockname()[1]}")
    await begin(run, configured(listening, *files, *proxied, scheme="tls"), nursery)
    client = await connect(listening)
    await client.send_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = trio.SSLStream(client, context, https_compatible=True)
    await secure.send_all(b"a\n")
    assert await secure.receive_some() == b"A\n"
    await secure.aclose()
    run.control.send_nowait("stop")
    await run.over.wait()


async def test_datagrams_are_served_by_workers_too(run: Run, nursery: trio.Nursery) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as taking,
        trio.socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        taking.bind(("127.0.0.1", 0))
        await begin(run, configured(taking, scheme="udp"), nursery)
        await client.sendto(b"a", taking.getsockname())
        assert await client.recv(10) == b"A"
        run.control.send_nowait("retire")
        await run.over.wait()


async def block_the_drain(run: Run, listening: socket.socket, nursery: trio.Nursery) -> trio.SocketStream:
    """Return a client that does not read what it is sent."""
    await begin(run, configured(listening, "--drain-timeout", "1000"), nursery)
    client = await connect(listening)
    with trio.move_on_after(0.3):
        await client.send_all(b"never read\n" * 2_000_000)
    return client


async def test_a_cut_command_ends_it_at_once(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    client = await block_the_drain(run, listening, nursery)
    run.control.send_nowait("stop")
    run.control.send_nowait("cut")
    with trio.move_on_after(30):  # a drain would have 1000 seconds
        await run.over.wait()
    assert run.over.is_set()
    await client.aclose()


async def test_a_second_signal_does_not_cut(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    client = await block_the_drain(run, listening, nursery)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
        signal.raise_signal(number)
    await trio.sleep(0.1)
    assert not run.over.is_set()
    with suppress(trio.BrokenResourceError):
        while await client.receive_some():
            pass
    await client.aclose()
    await run.over.wait()


async def test_a_closed_control_channel_is_a_stop(
    run: Run, listening: socket.socket, nursery: trio.Nursery
) -> None:
    await begin(run, configured(listening), nursery)
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    run.control.close()
    assert await client.receive_some() == b""
    await client.aclose()
    await run.over.wait()


async def test_without_a_config_it_exits(run: Run) -> None:
    run.control.close()
    await run.work()
    assert run.over.is_set()


async def test_it_gives_signs_of_life(run: Run, listening: socket.socket, nursery: trio.Nursery) -> None:
    await begin(run, configured(listening, watchdog_interval=0.01), nursery)
    for _ in range(3):
        assert await run.control.next_line() == "alive"
    run.control.close()
    await run.over.wait()


async def test_it_logs_its_slot_and_applies_the_config(
    run: Run, listening: socket.socket, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"log_level": "info", "log_format": "json", "max_line": "1", "oversize": "reject"}
    config = configured(listening, "--config", "not looked into", config=settings)
    await begin(run, config, nursery)
    client = await connect(listening)
    assert await ask(client) == b"A\n"
    await client.send_all(b"too long\n")
    assert await client.receive_some() == b"error: line longer than 1 bytes\n"
    await client.aclose()
    run.control.send_nowait("stop")
    await run.over.wait()
    captured = capsys.readouterr()
    assert captured.out == ""
    event = json.loads(captured.err)
    assert (event["event"], event["worker"]) == ("connection ended", 7)


async def test_it_shares_its_metrics(
    run: Run,
    listening: socket.socket,
    nursery: trio.Nursery,
    tmp_path: Path,
) -> None:
    joined: list[tuple[Path, int]] = []
    counted: list[PrometheusTelemetry] = []

    class Spied(PrometheusTelemetry):
        def update(self) -> None:
            counted.append(self)
            super().update()

    def share(where: Path, slot: int, _: object) -> None:
        joined.append((where, slot))

    config = configured(listening, metrics_folder=str(tmp_path))
    await begin(run, config, nursery, share=share, new_metrics=Spied)
    run.control.send_nowait("stop")
    await run.over.wait()
    assert joined == [(tmp_path, 7)]
    assert len(counted) == 1  # at the end, if not before
    assert b"caas_trio_connections_open" in counted[0].page()


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("--tls-cert", "missing.pem", "tls://127.0.0.1:0"), b"cannot use missing.pem: no such file"),
        (("--tls-cert", "\x1b\udcff", "tls://127.0.0.1:0"), rb"cannot use \x1b\xff: no such file"),
    ],
    ids=["missing", "unprintable"],
)
def test_it_reports_why_it_cannot_serve(arguments: tuple[str, ...], sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, socket.create_server(("127.0.0.1", 0)) as listening:
        config = configured(listening, *arguments)
        ours.sendall(f"{config.to_line()}\n".encode())
        assert worker_main.run(theirs) == 1
        assert ours.recv(1000) == b"failed " + sent + b" or directory\n"
        assert ours.recv(1000) == b""


def test_exhausted_resources_are_reported_as_no_room() -> None:
    def refuse(*_: object) -> None:
        raise ExceptionGroup("", [OSError(errno.EMFILE, "Too many open files")])

    ours, theirs = socket.socketpair()
    with ours:
        assert worker_main.run(theirs, refuse) == 1
        assert ours.recv(1000) == b"no-room [Errno 24] Too many open files\n"


APP = """\
import caas_trio

app = caas_trio.App(service=bytes.upper, limits=caas_trio.Limits(drain_timeout=0.25))
"""


@pytest.mark.usefixtures("folder")
async def test_it_reports_its_drain_timeout_and_turns(
    run: Run, listening: socket.socket, nursery: trio.Nursery, tmp_path: Path
) -> None:
    (tmp_path / "limited.py").write_text(APP)
    config = configured(listening, "--app", "limited:app", "--app-dir", str(tmp_path), turn_interval=0.01)
    nursery.start_soon(run.work)
    await run.control.send(config.to_line())
    heard = [await run.control.next_line() for _ in range(10)]
    assert [line for line in heard if line != "turned"] == ["drain 0.250", "ready"]
    run.control.send_nowait("stop")
    await run.over.wait()


def test_a_usage_error_is_reported_as_misused() -> None:
    ours, theirs = socket.socketpair()
    with ours, socket.create_server(("127.0.0.1", 0)) as listening:
        config = configured(listening, "--app", "not_to_be_found:app")
        ours.sendall(f"{config.to_line()}\n".encode())
        assert worker_main.run(theirs) == 2
        assert ours.recv(1000).startswith(b"misused there is no module 'not_to_be_found' in ")


def test_the_program_takes_the_descriptor_it_is_given() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(SystemExit, match="0"):
        worker_main.main(theirs.detach())


async def test_a_process_is_started_and_serves(listening: socket.socket) -> None:
    config = configured(listening)
    ready = trio.Event()
    started = start_process(config, Interpreter.current())
    worker = Worker(config, started, lambda _: ready.set())
    assert worker.pid == started.process.pid
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # none ends it while it starts
        os.kill(worker.pid, number)
        if number != signal.SIGTERM:
            assert started.process.returncode is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await ready.wait()  # SIGTERM was kept: it drains as soon as it serves
    death = worker.death()
    assert death is not None
    assert (death.reason, death.refused, death.no_room) == ("exit status 0", False, False)
    close_sockets(config)


async def test_a_process_ends_at_a_command(listening: socket.socket) -> None:
    config = configured(listening)
    senders: list[Worker] = []
    worker = Worker(config, start_process(config, Interpreter.current()), senders.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        client = await connect(listening)
        assert await ask(client) == b"A\n"
        await client.aclose()
        await worker.was_ready.wait()
        assert (senders, worker.ready, worker.drain_timeout) == ([worker, worker], True, 10)
        worker.end(Command.STOP, 30)
        assert not worker.ready
    assert worker.death() is None
    close_sockets(config)


async def test_a_process_that_cannot_be_started_leaves_nothing_open(listening: socket.socket) -> None:
    config = configured(listening)

    def refuse(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        assert command[0] == sys.executable
        assert options["stdout"] == subprocess.DEVNULL
        raise BlockingIOError

    before = descriptors()
    with pytest.raises(BlockingIOError):
        start_process(config, Interpreter.current(), popen=refuse)
    assert descriptors() == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    close_sockets(config)


def close_sockets(config: WorkerConfig) -> None:
    socket.socket(fileno=config.sockets[0].descriptors[0]).close()
