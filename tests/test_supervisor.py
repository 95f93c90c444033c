"""The supervisor in this process, with workers that this test plays and a clock of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from caas_trio import Endpoint, ListenError, UsageError
from caas_trio.program.command import parse
from caas_trio.program.control import Control
from caas_trio.program.interpreter import Interpreter
from caas_trio.program.messages import MAX_MESSAGE_BYTES, WorkerConfig
from caas_trio.program.program import Program
from caas_trio.program.recycling import WorkerLimits
from caas_trio.program.sharedsockets import SharedSockets
from caas_trio.program.supervisor import Supervisor, WorkersFailed
from caas_trio.program.worker_process import GRACE_S, StartedProcess
from caas_trio.server.unixsocket import bind_unix


class Played:
    """A worker process that this test plays.

    `manner` says how: it is "good"; it "fails" before it is ready, saying so, or "crashes" there; it is
    ready and "brief"; it is "mute" and never ready; it is "stubborn" and only ends when it is cut, or
    "lingering", which says besides that it may take 100 seconds; it is
    "deaf", which is both; it is "frozen" once it is ready; it is "sick", and exits with a status of its own;
    it has "no room"; it is "rude", and breaks the control protocol once it is ready; or it is "detached", and
    closes its control channel then. One that is "busy" has a loop that turns for ten seconds, and so has one
    that is "uninterruptible" and does not even end at SIGABRT.
    """

    def __init__(self, pid: int, config: WorkerConfig, sock: socket.socket, manner: str) -> None:
        self.pid = pid
        self.config = config
        self.manner = manner
        self.commands: list[str] = []
        self.returncode: int | None = None
        self.control = Control(sock)
        self._ended = trio.Event()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        self.end(-signal.SIGKILL)

    def abort(self) -> None:
        if self.manner != "uninterruptible":
            assert self.config.stacks is not None
            os.write(self.config.stacks, b'Fatal Python error: Aborted\n  File "app.py", line 7 in handler\n')
            self.end(-signal.SIGABRT)

    def end(self, status: int = 0) -> None:
        if self.returncode is None:
            self.returncode = status
            self.control.close()
            self._ended.set()

    async def live(self, hold: trio.Event | None) -> None:
        if hold is not None:
            await hold.wait()
        line = await self.control.next_line()
        assert line is not None
        assert WorkerConfig.from_line(line) == self.config
        if self.manner == "fails":
            self.control.send_nowait("failed cannot use it")
            self.end(1)
        elif self.manner == "misused":
            self.control.send_nowait("misused there is no such app")
            self.end(2)
        elif self.manner == "no room":
            self.control.send_nowait("no-room cannot allocate memory")
            self.end(1)
        elif self.manner == "crashes":
            self.end(3)
        else:
            await self.serve()

    async def next_command(self) -> str | None:
        while True:
            with trio.move_on_after(self.config.turn_interval):
                return await self.control.next_line()
            self.control.send_nowait("turned")

    async def serve(self) -> None:
        # It does not count as a sign of life before it is ready.
        self.control.send_nowait("drain 100" if self.manner == "lingering" else "alive")
        if self.manner not in ("mute", "deaf"):
            self.control.send_nowait("ready")
        if self.manner == "rude":
            self.control.send_nowait("ready")
            return
        if self.manner == "detached":
            self.control.close()
            return
        if self.manner == "brief":
            await trio.sleep(0.5)
            self.end(-signal.SIGSEGV)
            return
        if self.manner == "frozen":
            return
        if self.manner in ("busy", "uninterruptible"):
            for _ in range(10):
                await trio.sleep(1)
                self.control.send_nowait("turned")
            return
        with suppress(trio.ClosedResourceError):
            while (command := await self.next_command()) is not None:
                self.commands.append(command)
                if self.manner not in ("stubborn", "lingering", "deaf") or command == "cut":
                    self.end(7 if self.manner == "sick" else 0)
                    return


class Stage:
    """A supervisor with its cast.

    Attributes:
        played: all workers that have been started.
        manners: how those that are started next behave; "good" once there are no more.
    """

    def __init__(self, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]) -> None:
        self.played: list[Played] = []
        self.manners: list[str] = []
        self.arguments = [
            "--workers",
            "2",
            "--log-format",
            "json",
            "--log-level",
            "info",
            "tcp://127.0.0.1:0",
        ]
        self.changed = trio.open_memory_channel[list[str]](0)
        self.watched: Path | None = None
        self.worn = trio.open_memory_channel[str](0)
        self.hold: trio.Event | None = None
        self.original: list[str] = []
        self.failure: BaseException | None = None
        self.over = trio.Event()
        self.out = ""
        self._logged = ""
        self._nursery = nursery
        self._capsys = capsys

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        program = self.parse()
        assert isinstance(program, Program)
        self.supervisor = Supervisor(
            self.original,
            program,
            Interpreter.current(),
            parse=lambda _: self.parse(),
            start=self.start,
            wait_until_worn=self.wait_until_worn,
            changes=self.changes,
        )
        task_status.started()
        try:
            await self.supervisor.run()
        except* (WorkersFailed, ListenError, UsageError) as failures:
            self.failure = failures
            while isinstance(self.failure, BaseExceptionGroup):
                [self.failure] = self.failure.exceptions
        self.over.set()

    def parse(self) -> Program | int:
        program = parse(["--worker-timeout", "0", *self.arguments])
        return replace(program, watched=self.watched) if isinstance(program, Program) else program

    async def changes(self, folder: Path) -> AsyncGenerator[list[str]]:
        assert folder == self.watched
        async for files in self.changed[1]:
            yield files

    async def wait_until_worn(self, _: int, __: WorkerLimits) -> str:
        return await self.worn[1].receive()

    def start(self, config: WorkerConfig) -> StartedProcess:
        ours, theirs = socket.socketpair()
        manner = self.manners.pop(0) if self.manners else "good"
        if manner == "impossible":
            ours.close()
            theirs.close()
            raise OSError(11, "no room for it")
        played = Played(100 + len(self.played), config, theirs, manner)
        self.played.append(played)
        self._nursery.start_soon(played.live, self.hold)
        return StartedProcess(played, Control(ours, MAX_MESSAGE_BYTES))

    @property
    def alive(self) -> list[Played]:
        return [played for played in self.played if played.returncode is None]

    def logged(self) -> list[tuple[str, str]]:
        """Return the events since the last time, and the reason, if there is one."""
        captured = self._capsys.readouterr()
        self.out += captured.out
        events = map(json.loads, captured.err.splitlines())
        return [(event["event"], event.get("reason", "")) for event in events]

    async def signal(self, number: int) -> None:
        signal.raise_signal(number)
        await trio.sleep(0.01)

    async def stop(self) -> None:
        await self.signal(signal.SIGTERM)
        await self.over.wait()


@pytest.fixture
async def stage(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Stage]:
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            stage = Stage(nursery, capsys)
            yield stage
            nursery.cancel_scope.cancel()


async def begin(stage: Stage, nursery: trio.Nursery) -> None:
    await nursery.start(stage.run)
    await trio.sleep(0.01)


def exists(path: str | Path) -> bool:
    """Return whether a path exists, without a thread: during one the clock would jump."""
    return Path(path).exists()


def write(path: Path, data: bytes) -> Path:
    """Write at once, likewise."""
    path.write_bytes(data)
    return path


DIED = "worker died"
FAILED = "the settings could not be reloaded; the old workers stay"


async def test_it_says_where_it_listens_once_all_are_ready_and_stops_them(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["mute"]
    await begin(stage, nursery)
    first, second = stage.played
    assert stage.logged() == []
    assert stage.out == ""
    first.control.send_nowait("ready")
    await trio.sleep(0.01)
    assert stage.logged() == []
    [shared] = first.config.sockets
    assert stage.out == f"listening on {shared.endpoint}\n"
    assert first.config.sockets == second.config.sockets
    assert (first.config.slot, second.config.slot) == (0, 1)
    assert Endpoint.parse(shared.endpoint).port
    await stage.stop()
    assert (first.commands, second.commands, stage.failure) == (["stop"], ["stop"], None)
    assert stage.logged() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", Endpoint.parse(shared.endpoint).port))


async def test_a_dead_worker_is_replaced_at_once_in_the_same_slot(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    await trio.sleep(10)
    stage.played[1].end(-9)
    before = trio.current_time()
    await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == before
    assert len(stage.played) == 3
    assert (stage.played[1].config, len(stage.alive)) == (stage.played[2].config, 2)
    assert stage.logged() == [(DIED, "signal 9")]
    await stage.stop()


async def test_a_worker_that_ends_unasked_is_replaced(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    stage.played[0].end(0)
    await trio.sleep(1)
    assert len(stage.alive) == 2
    assert stage.logged() == [(DIED, "exit status 0")]
    await stage.stop()


@pytest.mark.parametrize(
    ("manner", "reason", "seconds"),
    [
        ("crashes", "exit status 3", 1.5),
        ("brief", "signal 11", 1.5 + 5 * 0.5),
        ("mute", "it was not ready within 30 seconds", 1.5 + 5 * 30),
    ],
)
async def test_workers_that_die_too_soon_again_and_again_end_the_service(  # noqa: PLR0917 - fixtures
    manner: str, reason: str, seconds: float, stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["good", *5 * [manner]]
    begun = trio.current_time()
    await nursery.start(stage.run)
    await stage.over.wait()
    assert trio.current_time() - begun == pytest.approx(seconds)
    assert isinstance(stage.failure, WorkersFailed)
    assert str(stage.failure) == f"workers die before they have served for long, 5 in a row: {reason}"
    assert stage.played[0].commands == ["stop"]
    assert stage.logged() == 4 * [(DIED, reason)]


async def test_a_worker_that_cannot_serve_at_the_start_ends_the_service(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["good", "fails"]
    await begin(stage, nursery)
    assert isinstance(stage.failure, WorkersFailed)
    assert str(stage.failure) == "cannot use it"
    assert stage.logged() == []
    assert stage.out == ""


async def test_a_worker_that_cannot_serve_later_is_started_again(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    stage.manners = ["fails"]
    stage.played[0].end(-9)
    await trio.sleep(1)
    assert len(stage.alive) == 2
    assert stage.logged() == [(DIED, "signal 9"), (DIED, "cannot use it")]
    await stage.stop()


@pytest.mark.parametrize("manner", ["impossible", "no room"])
@pytest.mark.parametrize("at_the_start", [False, True])
async def test_want_of_room_is_waited_out_and_costs_no_other_worker(
    manner: str,
    at_the_start: bool,  # noqa: FBT001
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    if at_the_start:
        stage.manners = ["good", *8 * [manner]]
        await begin(stage, nursery)
    else:
        await begin(stage, nursery)
        await trio.sleep(10)
        stage.manners = 8 * [manner]
        stage.played[1].end(-9)
    await trio.sleep(0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 5 - 0.5)
    assert len(stage.alive) == 1
    await trio.sleep(6)
    assert len(stage.alive) == 2
    reason = "[Errno 11] no room for it" if manner == "impossible" else "cannot allocate memory"
    assert stage.logged()[-8:] == 8 * [("no room for a worker", reason)]
    assert stage.played[0] in stage.alive
    await stage.stop()
    assert stage.failure is None


async def test_a_worker_that_breaks_the_control_protocol_is_killed_and_replaced(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["rude"]
    await begin(stage, nursery)
    await trio.sleep(1)
    assert stage.played[0].returncode == -signal.SIGKILL
    assert len(stage.alive) == 2
    assert stage.logged() == [(DIED, "it broke the control protocol: ready comes twice")]
    await stage.stop()


async def test_a_worker_that_closes_its_control_channel_and_goes_on_is_killed(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["detached"]
    await begin(stage, nursery)
    await trio.sleep(29)
    assert stage.logged() == []
    await trio.sleep(2)
    assert stage.played[0].returncode == -signal.SIGKILL
    assert stage.logged() == [(DIED, "it closed its control channel and did not end")]
    assert len(stage.alive) == 2
    await stage.stop()


async def test_an_address_in_use_is_a_failure(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stage.arguments[-1] = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        await begin(stage, nursery)
    assert isinstance(stage.failure, ListenError)
    assert stage.played == []


async def test_a_reload_starts_new_workers_on_the_same_sockets_and_retires_the_old_ones(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    config = tmp_path / "caas.toml"
    config.write_text("max-line = 10")
    stage.arguments += ["--config", str(config)]
    await begin(stage, nursery)
    old = list(stage.played)
    config.write_text("max-line = 20\nworkers = 3")
    stage.arguments[:2] = []
    stage.manners = ["good", "mute"]
    await stage.signal(signal.SIGHUP)
    new = stage.played[2:]
    assert (len(new), [each.commands for each in old]) == (3, [[], []])
    new[1].control.send_nowait("ready")
    await trio.sleep(0.01)
    assert [each.commands for each in old] == [["retire"], ["retire"]]
    assert stage.alive == new
    assert [each.config.slot for each in new] == [2, 3, 4]
    assert {each.config.config["max_line"] for each in new} == {"20"}
    assert {each.config.config["max_line"] for each in old} == {"10"}
    assert new[0].config.sockets == old[0].config.sockets
    assert stage.logged() == [("reloaded", "")]
    config.write_text("nonsense")  # and yet who is replaced gets what was read
    new[0].end(-9)
    await trio.sleep(1)
    assert stage.played[-1].config.config["max_line"] == "20"
    assert stage.played[-1].config.slot == 0
    await stage.stop()


@pytest.mark.parametrize(
    ("change", "manners", "reason"),
    [
        (["--max-line", "0"], [], "Invalid value for '--max-line': '0' is not a number of bytes, 1 or more"),
        ([], ["good", "fails"], "cannot use it"),
        ([], ["good", "crashes"], "exit status 3"),
        ([], ["good", "mute"], "it was not ready within 30 seconds"),
        ([], ["impossible"], "[Errno 11] no room for it"),
        (["fd://9999"], [], "cannot listen on fd://9999: descriptor 9999 is not open"),
    ],
)
async def test_a_reload_that_fails_leaves_the_old_workers_and_says_why(  # noqa: PLR0917 - fixtures
    change: list[str],
    manners: list[str],
    reason: str,
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    await begin(stage, nursery)
    old = list(stage.played)
    added = tmp_path / "added"
    stage.arguments += [f"unix:{added}", *change]
    stage.manners = list(manners)
    await stage.signal(signal.SIGHUP)
    await trio.sleep(40)
    assert stage.logged() == [(FAILED, reason)]
    assert stage.alive == old
    assert [each.commands for each in old] == [[], []]
    assert not added.exists()
    old[0].end(-9)  # they are still looked after
    await trio.sleep(1)
    assert len(stage.alive) == 2
    await stage.stop()


@pytest.mark.parametrize("left", ["", "# to be written\n", "\ufeff", "max-line = 10\n"])
async def test_a_file_that_is_being_written_leaves_the_old_workers(
    left: str, stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    file = tmp_path / "caas.toml"
    whole = "max-line = 10\nendpoints = ['tcp://127.0.0.1:0']\n"
    file.write_text(whole)
    stage.arguments[-1:] = ["--config", str(file)]
    await begin(stage, nursery)
    old = list(stage.played)
    file.write_text(left)
    await stage.signal(signal.SIGHUP)
    await trio.sleep(40)
    reason = "has no endpoints any more" if "max-line" in left else "is empty now"
    assert stage.logged() == [
        (FAILED, f"the file of settings {reason}; if that is meant, restart the service")
    ]
    assert stage.alive == old
    file.write_text(whole)
    await stage.signal(signal.SIGHUP)
    await trio.sleep(40)
    assert stage.logged() == [("reloaded", "")]
    await stage.stop()


async def test_a_file_that_was_empty_may_be_empty(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    file = tmp_path / "caas.toml"
    file.touch()
    stage.arguments += ["--config", str(file)]
    await begin(stage, nursery)
    for settings in ("", "max-line = 10\n"):
        file.write_text(settings)
        await stage.signal(signal.SIGHUP)
        await trio.sleep(40)
        assert stage.logged() == [("reloaded", "")]
    await stage.stop()


async def test_endpoints_come_and_go(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    going, coming = tmp_path / "going", tmp_path / "coming"
    stage.arguments += [f"unix:{going}", "tcp://127.0.0.1:0"]
    await begin(stage, nursery)
    before = {each.endpoint for each in stage.played[0].config.sockets}
    stage.arguments[-2:] = [f"unixgram:{coming}", "tcp://0.0.0.0:0"]
    stage.manners = ["mute"]
    await stage.signal(signal.SIGHUP)
    assert going.exists()
    stage.played[2].control.send_nowait("ready")
    await trio.sleep(0.01)
    assert (going.exists(), coming.exists()) == (False, True)
    after = {each.endpoint for each in stage.played[-1].config.sockets}
    assert len(before & after) == 1
    assert f"unixgram:{coming}" in after
    assert stage.logged() == [
        ("open to every network, without TLS or --allow-from", ""),
        ("reloaded", ""),
    ]
    await stage.stop()
    assert not coming.exists()


async def test_a_passed_socket_may_come_back(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        passed = listening.dup().detach()
    os.set_inheritable(passed, True)  # noqa: FBT003 - the os module's signature
    stage.arguments.append(f"fd://{passed}")
    await begin(stage, nursery)
    sockets = stage.played[0].config.sockets
    for change in ([], ["--max-line", "0"], ["--max-line", "1", f"fd://{passed}"], []):
        stage.arguments[7:] = change
        await stage.signal(signal.SIGHUP)
    failed = (FAILED, "Invalid value for '--max-line': '0' is not a number of bytes, 1 or more")
    assert stage.logged() == [("reloaded", ""), failed, ("reloaded", ""), ("reloaded", "")]
    shared = [each.config.sockets for each in stage.played[::2]]
    assert shared == [sockets, sockets[:1], sockets, sockets[:1]]
    socket.create_connection(("127.0.0.1", Endpoint.parse(sockets[1].endpoint).port)).close()
    await stage.stop()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(passed)


@pytest.mark.parametrize("other", ["fd://9999", "unix:{folder}/none/a"])
async def test_a_passed_socket_survives_a_reload_that_fails(
    other: str, stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        passed = listening.dup().detach()
    os.set_inheritable(passed, True)  # noqa: FBT003 - the os module's signature
    await begin(stage, nursery)
    for change, manners in (
        ([f"fd://{passed}", other.format(folder=tmp_path)], []),
        ([f"fd://{passed}"], ["crashes"]),
        ([f"fd://{passed}"], []),
    ):
        stage.arguments[7:] = change
        stage.manners = list(manners)
        await stage.signal(signal.SIGHUP)
    assert [event for event, _ in stage.logged()] == [FAILED, FAILED, "reloaded"]
    await stage.stop()


async def test_a_path_that_cannot_be_taken_over_fails_the_reload(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await begin(stage, nursery)

    async def take_over(_: object) -> None:
        raise ListenError("unix:/a", "the server that listens on it does not stop")

    monkeypatch.setattr(SharedSockets, "take_over", take_over)
    await stage.signal(signal.SIGHUP)
    assert stage.logged() == [
        (FAILED, "cannot listen on unix:/a: the server that listens on it does not stop")
    ]
    assert stage.alive == stage.played[:2]
    await stage.stop()


async def test_what_cannot_be_reloaded_is_told(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.arguments += ["--metrics", "127.0.0.1:0"]
    await begin(stage, nursery)
    stage.logged()
    for metrics, others, settings in (
        ("127.0.0.1:1", ["--unix-mode", "0600"], 2),
        ("127.0.0.1:1", [], 1),
        ("127.0.0.1:0", [], 0),
    ):
        stage.arguments[stage.arguments.index("--metrics") + 1 :] = [metrics, *others]
        await stage.signal(signal.SIGHUP)
        told = [event for event, _ in stage.logged()]
        assert told == [*settings * ["a setting is changed by a restart only"], "reloaded"]
    await stage.stop()


async def test_reloads_that_are_asked_for_during_one_are_one_more(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    stage.manners = ["mute"]
    for _ in range(4):
        await stage.signal(signal.SIGHUP)
    assert len(stage.played) == 4
    stage.played[2].control.send_nowait("ready")
    await trio.sleep(1)
    assert len(stage.played) == 6
    assert stage.logged() == 2 * [("reloaded", "")]
    await stage.stop()


@pytest.mark.parametrize("second", [None, signal.SIGTERM])
async def test_a_stop_during_a_reload(
    second: signal.Signals | None, stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    stage.manners = ["deaf", "mute"]
    await stage.signal(signal.SIGHUP)
    await stage.signal(signal.SIGTERM)
    assert not any(each.commands == [] for each in stage.played)
    if second:
        await stage.signal(second)
    begun = trio.current_time()
    await stage.over.wait()
    assert trio.current_time() - begun <= GRACE_S  # it has nobody to drain, and may take long to load
    assert (stage.failure, stage.logged()) == (None, [])


async def test_a_stop_before_all_are_ready(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["mute"]
    await begin(stage, nursery)
    await stage.stop()
    assert [each.commands for each in stage.played] == [["stop"], ["stop"]]
    assert (stage.failure, stage.logged(), stage.out) == (None, [], "")


async def test_a_stop_in_the_very_moment_that_all_are_ready(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["mute"]
    await begin(stage, nursery)
    stage.supervisor._current.settled.set()
    stage.supervisor._stop()
    await stage.over.wait()
    assert (stage.failure, stage.logged(), stage.out) == (None, [], "")


async def test_a_stop_while_endpoints_are_opened(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    await begin(stage, nursery)
    changed_to = SharedSockets.changed_to

    async def slowly(*arguments: Any, **others: Any) -> SharedSockets:
        await stage.signal(signal.SIGTERM)
        return await changed_to(*arguments, **others)

    monkeypatch.setattr(SharedSockets, "changed_to", slowly)
    stage.manners = ["stubborn"]
    stage.played[0].manner = "stubborn"
    stage.arguments.append(f"unix:{tmp_path}/added")
    await stage.signal(signal.SIGHUP)
    await stage.over.wait()
    assert len(stage.played) == 2
    assert not exists(tmp_path / "added")
    assert stage.logged() == [(DIED, "it did not end")]


async def test_a_stop_when_endpoints_have_just_been_opened_starts_nobody(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_to = SharedSockets.changed_to

    async def at_last(*arguments: Any, **others: Any) -> SharedSockets:
        sockets = await changed_to(*arguments, **others)
        stage.supervisor._stop()
        return sockets

    monkeypatch.setattr(SharedSockets, "changed_to", at_last)
    await begin(stage, nursery)
    assert stage.over.is_set()
    assert (stage.played, stage.failure, stage.out) == ([], None, "")


async def test_a_worker_that_is_being_started_at_a_stop_gets_the_command_after_its_config(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.hold = trio.Event()
    stage.original = ["a" * 3_000_000]  # more than fits into a socket that is not read
    await begin(stage, nursery)
    await stage.signal(signal.SIGTERM)
    stage.hold.set()
    await stage.over.wait()
    assert [each.commands for each in stage.played] == [["stop"], ["stop"]]
    assert (stage.failure, stage.logged()) == (None, [])


async def test_a_stop_while_one_is_waited_for_starts_no_more(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["good", *4 * ["crashes"]]
    await nursery.start(stage.run)
    await trio.sleep(1)  # the next one is due in half a second
    assert len(stage.played) == 5
    await stage.stop()
    assert len(stage.played) == 5


async def test_a_worker_that_does_not_stop_is_killed_in_the_end(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["stubborn", "sick"]
    await begin(stage, nursery)
    begun = trio.current_time()
    await stage.stop()
    assert trio.current_time() - begun == pytest.approx(10 + 5, abs=0.1)
    assert stage.logged() == [(DIED, "exit status 7"), (DIED, "it did not end")]
    assert stage.failure is None


async def test_a_second_signal_cuts(stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    stage.manners = ["stubborn", "stubborn"]
    await begin(stage, nursery)
    await stage.signal(signal.SIGINT)
    assert not stage.over.is_set()
    await stage.signal(signal.SIGTERM)
    assert stage.over.is_set()
    assert [each.commands for each in stage.played] == [["stop", "cut"], ["stop", "cut"]]


@asynccontextmanager
async def succeeded(stage: Stage, nursery: trio.Nursery, path: Path) -> AsyncIterator[None]:
    """Begin a service at a Unix path, with a successor that waits to take it over."""
    endpoint = f"unix:{path}"
    stage.arguments.append(endpoint)
    await begin(stage, nursery)
    with closing(bind_unix(Endpoint.parse(endpoint), 0o600, takeover=True)):
        yield


async def test_workers_are_told_that_a_successor_has_taken_over(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "caas.sock"
    stage.manners = ["stubborn", "good"]
    async with succeeded(stage, nursery, path):
        begun = trio.current_time()
        await stage.stop()
        assert trio.current_time() - begun == pytest.approx(10 + 5, abs=0.1)  # no longer than without one
        assert [each.commands for each in stage.played] == [["handover"], ["handover"]]
        assert exists(path)
        assert not exists(f"{path}.next")


async def test_a_second_signal_cuts_after_a_handover_too(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "caas.sock"
    stage.manners = ["stubborn", "stubborn"]
    async with succeeded(stage, nursery, path):
        await stage.signal(signal.SIGTERM)
        await stage.signal(signal.SIGTERM)
    assert stage.over.is_set()
    assert [each.commands for each in stage.played] == [["handover", "cut"], ["handover", "cut"]]


async def test_once_it_stops_no_settings_are_read(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_manager(tmp_path, monkeypatch, 8) as told:
        stage.manners = ["stubborn"]
        await begin(stage, nursery)
        await stage.signal(signal.SIGTERM)
        stage.arguments += ["--max-line", "0"]
        await stage.signal(signal.SIGHUP)
        assert told()[-1] == "STOPPING=1"
        await stage.signal(signal.SIGTERM)
        await stage.over.wait()
    assert stage.logged() == []


async def test_more_signals_do_not_put_off_the_end_of_a_frozen_worker(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["frozen"]
    await begin(stage, nursery)
    await stage.signal(signal.SIGTERM)
    cut = trio.current_time()
    for _ in range(3):
        await stage.signal(signal.SIGTERM)
        await trio.sleep(2)
    assert trio.current_time() - cut == pytest.approx(6, abs=0.1)
    assert stage.over.is_set()
    assert stage.logged() == [(DIED, "it did not end")]


async def test_a_retired_worker_is_killed_when_it_has_had_its_time_twice(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["stubborn", "good"]
    await begin(stage, nursery)
    await stage.signal(signal.SIGHUP)
    assert len(stage.alive) == 3
    stage.logged()
    await trio.sleep(2 * 10 + 5)
    assert stage.logged() == [(DIED, "it did not end")]
    assert stage.alive == stage.played[2:]
    await stage.stop()


@asynccontextmanager
async def a_manager(
    folder: Path, monkeypatch: pytest.MonkeyPatch, watchdog: float
) -> AsyncIterator[Callable[[], list[str]]]:
    """Play a service manager; what is yielded returns what it has been told since the last time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)  # noqa: FBT003 - the socket module's signature
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(watchdog * 1_000_000)))
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))

        def told() -> list[str]:
            lines = []
            with suppress(BlockingIOError):
                while True:
                    lines.append(manager.recv(100).decode().partition("\n")[0])
            return lines

        yield told


async def test_the_watchdog_is_fed_while_every_worker_goes_on(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_manager(tmp_path, monkeypatch, 8) as told:
        await begin(stage, nursery)
        assert "NOTIFY_SOCKET" not in os.environ
        assert sorted(told()) == ["READY=1", "WATCHDOG=1"]
        one, other = stage.played
        assert one.config.watchdog_interval == 1
        await trio.sleep(3)
        one.control.send_nowait("alive")
        await trio.sleep(0.01)
        other.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert told() == ["WATCHDOG=1"]
        await trio.sleep(3)
        other.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert told() == []
        one.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert told() == ["WATCHDOG=1"]
        await stage.signal(signal.SIGHUP)
        assert told() == ["RELOADING=1", "READY=1"]
        await trio.sleep(3)
        for each in stage.played[2:]:  # the old ones are not asked any more
            each.control.send_nowait("alive")
        await trio.sleep(0.01)
        assert told() == ["WATCHDOG=1"]
        stage.manners = ["mute", "mute"]
        await stage.signal(signal.SIGHUP)
        await stage.stop()
        assert told() == ["RELOADING=1", "STOPPING=1"]


async def test_it_is_ready_while_somebody_serves(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.arguments += ["--metrics", "127.0.0.1:0"]
    stage.manners = ["mute", "mute"]
    await begin(stage, nursery)
    folder = stage.played[0].config.metrics_folder
    assert folder is not None
    assert exists(folder)
    assert not stage.supervisor._is_ready()
    for each in stage.played:
        each.control.send_nowait("ready")
    await trio.sleep(0.1)
    assert stage.supervisor._is_ready()
    stage.logged()
    assert stage.out.splitlines()[1].startswith("metrics on http://127.0.0.1:")
    stage.manners = ["mute", "deaf"]
    for each in stage.played:
        each.end(-9)
    await trio.sleep(0.5)
    assert not stage.supervisor._is_ready()
    for each in stage.played[2:]:
        each.control.send_nowait("ready")
    await trio.sleep(0.1)
    assert stage.supervisor._is_ready()
    await stage.signal(signal.SIGTERM)
    assert not stage.over.is_set()
    assert not stage.supervisor._is_ready()
    await stage.over.wait()
    assert not exists(folder)


async def test_a_worker_that_could_not_be_started_is_none_that_is_gone(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.arguments += ["--metrics", "127.0.0.1:0"]
    stage.manners = ["impossible", "brief"]
    await begin(stage, nursery)
    await trio.sleep(10)
    metrics = stage.supervisor._metrics
    assert metrics is not None
    assert b"\ncaas_trio_workers_gone_total 1.0\n" in metrics.page()
    await stage.stop()


async def test_a_cancelled_supervisor_kills_its_workers(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as everything:
        await begin(stage, everything)
        everything.cancel_scope.cancel()
    assert [each.returncode for each in stage.played] == [-9, -9]
    stage.over.set()


@pytest.mark.parametrize(
    ("manner", "status"), [("busy", -signal.SIGABRT), ("uninterruptible", -signal.SIGKILL)]
)
async def test_a_worker_whose_loop_stands_still_is_killed_and_replaced(
    manner: str, status: int, stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.arguments += ["--worker-timeout", "4", "--metrics", "127.0.0.1:0"]
    stage.manners = [manner]
    await begin(stage, nursery)
    assert stage.played[0].config.turn_interval == 1
    await trio.sleep(13)
    assert [each.returncode for each in stage.played] == [None, None]
    await trio.sleep(3)
    assert stage.played[0].returncode == status
    assert len(stage.alive) == 2
    stack = [("the stack of a worker", "")] if manner == "busy" else []
    assert stage.logged() == [*stack, (DIED, "its loop has not turned for 4 seconds")]
    figures = stage.supervisor._metrics
    assert figures is not None
    assert b'caas_trio_workers_replaced_total{reason="timeout"} 1.0' in figures.page()
    await stage.stop()


async def test_a_supervisor_that_stood_still_itself_looks_once_more(
    stage: Stage, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    stage.arguments += ["--worker-timeout", "4"]
    stage.manners = ["frozen", "frozen"]
    await begin_slowly(stage, nursery, mock_clock)
    mock_clock.jump(4.1)
    await trio.testing.wait_all_tasks_blocked()
    for played in stage.played:
        played.control.send_nowait("turned")
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(0.6)
    await trio.testing.wait_all_tasks_blocked()
    assert len(stage.alive) == 2
    mock_clock.autojump_threshold = 0
    for played in stage.played:
        played.end(0)
    await stage.stop()


async def begin_slowly(stage: Stage, nursery: trio.Nursery, clock: MockClock) -> None:
    """Begin with a clock that moves by hand."""
    await nursery.start(stage.run)
    while len(stage.alive) < 2 or stage.logged() or not stage.out:
        await trio.testing.wait_all_tasks_blocked()


async def test_a_worn_worker_retires_once_another_one_is_ready(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.arguments += ["--metrics", "127.0.0.1:0"]
    await begin(stage, nursery)
    stage.manners = ["mute"]
    await stage.worn[0].send("max_rss")
    await trio.sleep(1)
    third = stage.played[2]
    assert [each.commands for each in stage.played] == [[], [], []]
    third.control.send_nowait("ready")
    await trio.sleep(1)
    retired = [each for each in stage.played if each.commands]
    assert [each.commands for each in retired] == [["retire"]]
    assert retired[0] is not third
    assert len(stage.alive) == 2
    assert stage.logged() == [("worker replaced", "max_rss")]
    figures = stage.supervisor._metrics
    assert figures is not None
    assert b'caas_trio_workers_replaced_total{reason="max_rss"} 1.0' in figures.page()
    third.end(3)  # its place is one like the others by now
    await trio.sleep(1)
    assert len(stage.alive) == 2
    await stage.stop()


async def test_a_worn_worker_stays_if_no_other_one_gets_ready(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    stage.manners = ["fails"]
    await stage.worn[0].send("lifetime")
    await trio.sleep(30)
    assert stage.logged() == [(DIED, "cannot use it")]
    assert len(stage.alive) == 2
    with trio.fail_after(100):
        await stage.worn[0].send("lifetime")
        await stage.worn[0].send("lifetime")  # the other one, or this one a minute later
    await trio.sleep(1)
    assert ("worker replaced", "lifetime") in stage.logged()
    assert len(stage.alive) == 2
    await stage.stop()


async def test_a_worn_worker_that_dies_leaves_its_place_to_its_successor(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await begin(stage, nursery)
    stage.manners = ["mute"]
    await stage.worn[0].send("lifetime")
    await trio.sleep(1)
    worn = next(each for each in stage.played if each.config.slot != 2 and not each.commands)
    for each in stage.played[:2]:
        each.end(3)
    await trio.sleep(1)
    assert worn.returncode == 3
    stage.played[2].end(3)  # before it was ready: it is replaced like any other
    await trio.sleep(1)
    assert len(stage.alive) == 2
    await stage.stop()


async def test_a_worn_worker_of_a_generation_that_is_over_is_left_alone(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["stubborn", "stubborn"]
    await begin(stage, nursery)
    await stage.signal(signal.SIGTERM)
    await stage.worn[0].send("lifetime")
    await trio.sleep(1)
    assert len(stage.played) == 2
    await stage.over.wait()


async def test_a_worker_may_take_as_long_to_end_as_its_app_says(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["lingering", "stubborn"]
    await begin(stage, nursery)
    await stage.signal(signal.SIGTERM)
    await trio.sleep(20)
    assert [each.returncode for each in stage.played] == [None, -signal.SIGKILL]
    await trio.sleep(90)
    assert stage.played[0].returncode == -signal.SIGKILL
    await stage.over.wait()


async def test_metrics_that_are_none_cost_that_worker_and_nobody_else(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.arguments += ["--metrics", "127.0.0.1:0"]
    await begin(stage, nursery)
    [first, _] = stage.played
    assert first.config.metrics_folder is not None
    written = write(Path(first.config.metrics_folder, "counter_0.db"), b"garbage" * 100)
    first.end(-signal.SIGKILL)
    await trio.sleep(1)
    assert stage.logged() == [("the metrics of a worker are lost", ""), (DIED, "signal 9")]
    assert not exists(written)
    assert len(stage.alive) == 2
    await stage.stop()


async def test_a_mistake_of_the_users_is_one_although_a_worker_noticed_it(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.manners = ["misused"]
    await nursery.start(stage.run)
    await stage.over.wait()
    assert type(stage.failure) is UsageError
    assert str(stage.failure) == "there is no such app"


async def test_while_developing_a_change_ends_the_old_workers_at_once(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.watched = Path()
    await begin(stage, nursery)
    await stage.changed[0].send(["a.py", "b.py"])
    await trio.sleep(1)
    assert stage.logged() == [("files have changed", ""), ("reloaded", "")]
    assert [each.commands for each in stage.played] == [["cut"], ["cut"], [], []]
    await stage.stop()
    assert [each.commands[-1] for each in stage.alive] == []


async def test_while_developing_a_stop_waits_for_no_drain(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.watched = Path()
    stage.manners = ["stubborn", "stubborn"]
    await begin(stage, nursery)
    before = trio.current_time()
    await stage.stop()
    assert trio.current_time() - before < 1
    assert [each.commands for each in stage.played] == [["stop", "cut"]] * 2


async def test_while_developing_an_app_that_cannot_be_served_is_waited_for(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.watched = Path()
    stage.manners = ["fails", "mute", "fails", "mute"]
    await begin(stage, nursery)
    await trio.sleep(1)
    assert ("the app cannot be served; waiting for a change", "cannot use it") in stage.logged()
    await stage.changed[0].send(["a.py"])
    await trio.sleep(1)
    assert (FAILED, "cannot use it") in stage.logged()
    assert not stage.over.is_set()
    await stage.changed[0].send(["a.py"])
    await trio.sleep(1)
    assert stage.logged()[-1] == ("reloaded", "")
    assert len(stage.alive) == 2
    stage.manners = ["crashes"] * 10
    for each in stage.alive:
        each.end(3)
    await trio.sleep(10)
    reason = "workers die before they have served for long, 5 in a row: exit status 3"
    assert ("the app cannot be served; waiting for a change", reason) in stage.logged()
    await stage.stop()
