"""One run of one harness: start it, watch it, keep what it found."""

from __future__ import annotations

import enum
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from .coverage_probe import CoverageProbe, Reach
from .groups import ARTIFACTS, GO_ON, SUFFIX, Group
from .interrupt import child_environment
from .targets import Target, files, shown

#: libFuzzer's reports: executions so far, size of the corpus, executions a second.
_REPORT: Final = re.compile(r"#(\d+)\s+\w+\s+cov: \d+ ft: \d+ corp: (\d+)/.*exec/s: (\d+)")
_DONE: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_KEPT_OUTPUT: Final = 40
_MINIMIZE_TIMEOUT_S: Final = 60
#: New inputs are measured this often at most: measuring takes time from the harness.
_LOOK_INTERVAL_S: Final = 2
#: Loading the corpus may take this long, beside the time that a run was given.
_LOADING_S: Final = 60
#: More than any input has, so that a disk is found full a little too early and never too late.
_PROBE_BYTES: Final = 1 << 16


class Verdict(enum.Enum):
    """How a run ended."""

    WAITING = "not run"
    RUNNING = "interrupted"  # in the closing table: the run had begun, and was not over
    CLEAN = "clean"
    CRASHED = "crashed"
    BROKEN = "broken"  # the harness itself could not run


@dataclass
class Progress:
    """The progress of a run, as its harness last reported."""

    executions: int = 0
    rate: int = 0
    corpus: int = 0
    new: int = 0
    reach: Reach | None = None
    verdict: Verdict = Verdict.WAITING
    output: list[str] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Parse a line of libFuzzer's output."""
        if report := _REPORT.search(line):
            self.executions, self.corpus, self.rate = map(int, report.groups())
        elif done := _DONE.search(line):
            self.executions = int(done[1])
        self.output = [*self.output[1 - _KEPT_OUTPUT :], line]


@dataclass(frozen=True)
class Crash:
    """A failing input and how to see it fail.

    Attributes:
        kind: what libFuzzer calls it: "crash", "timeout", "oom".
        where: the input.
        command: what replays it.
        group: what broke and where, see `group_of`; "" if that is not known.
        count: how many inputs failed in the same way.
        shown: the traceback.
    """

    kind: str
    where: str
    command: str
    group: str = ""
    count: int = 1
    shown: str = ""


async def fuzz(target: Target, seconds: int, progress: Progress, *, seed: int | None = None) -> None:
    """Run a harness for `seconds`, keeping `progress` up to date; new inputs go to `target.found`.

    Its mutations are drawn from `seed`, or from another one each time.

    Where inputs can no longer be kept, the run ends, and its verdict is BROKEN. A failing input is
    filed with the regressions before it is minimized, so that a cancellation does not lose it.
    """
    progress.verdict = Verdict.RUNNING
    try:
        await _fuzz(target, seconds, progress, [] if seed is None else [f"-seed={seed}"])
        progress.crashes = [await _minimized(target, crash) for crash in progress.crashes]
    except OSError as error:
        progress.verdict = Verdict.BROKEN
        where = shown(Path(error.filename)) if error.filename else "an input"
        progress.output = [*progress.output, f"cannot keep {where}: {error.strerror}"]


async def _fuzz(target: Target, seconds: int, progress: Progress, options: list[str]) -> None:
    target.found.mkdir(parents=True, exist_ok=True)
    seen = before = set(files(target.found))
    with CoverageProbe(target) as probe:

        async def measure(paths: Iterable[Path]) -> None:
            await trio.to_thread.run_sync(probe.add, paths, abandon_on_cancel=True)

        await measure([*target.inputs(), *before])

        async def look() -> None:
            nonlocal seen
            check_room(target.found)
            found = set(files(target.found))
            await measure(found - seen)
            seen = found
            progress.new, progress.reach = len(found - before), probe.reach

        corpora = [path for path in (target.found, target.corpus, target.regressions) if path.is_dir()]
        command = ["env", f"{GO_ON}=1", *target.command, *options, *map(str, corpora)]
        await watch(command, seconds, progress, look, partial(keep, target))


def check_room(directory: Path) -> None:
    """Raise OSError if no more inputs can be kept in a directory, which libFuzzer does not report."""
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(directory)) from None


async def watch(
    command: list[str],
    seconds: int,
    progress: Progress,
    look: Callable[[], Awaitable[None]],
    keep: Callable[[Path], Crash],
) -> None:
    """Run a harness to its end: its first failure, unless it goes on, or `seconds`. A cancellation kills it.

    One that runs for more than twice as long, and a minute, is killed and BROKEN: libFuzzer ends inputs that
    hang, and not what hangs before the first one.

    Args:
        command: how to start it, its corpora included.
        seconds: how long it runs, loading the corpus aside.
        progress: kept up to date with what it reports; has the verdict in the end.
        look: called every now and then, to look at what has been found.
        keep: called with each failing input, after a cancellation as well.
    """
    progress.verdict = Verdict.RUNNING
    status: int | None = None
    with tempfile.TemporaryDirectory() as scratch:
        options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"{ARTIFACTS}{scratch}/"]
        try:
            with trio.move_on_after(2 * seconds + _LOADING_S):
                status = await _follow([*command, *options], progress, look)
        finally:
            failing = [path for path in files(Path(scratch)) if not path.match("slow-unit*")]
            progress.crashes = sorted(map(keep, failing), key=lambda crash: -crash.count)
            if failing:
                progress.verdict = Verdict.CRASHED
    if status is None:
        progress.output = [*progress.output, "killed: it has not come to an end"]
    if not progress.crashes:
        progress.verdict = Verdict.CLEAN if status == 0 else Verdict.BROKEN


async def _follow(command: list[str], progress: Progress, look: Callable[[], Awaitable[None]]) -> int:
    """Run a command, whose lines go to `progress`; return its exit status."""
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C is for us alone
        env=child_environment(),
    )
    assert process.stdout is not None
    try:
        looked, rest = 0.0, b""
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                progress.read(line.decode(errors="replace"))
            if lines and trio.current_time() - looked > _LOOK_INTERVAL_S:
                await look()
                looked = trio.current_time()
        await look()
        return await process.wait()
    finally:
        await _kill(process)


async def _kill(process: trio.Process) -> None:
    """Kill a process with all that it has started, and wait for its end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with trio.CancelScope(shield=True):
        await process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                await pipe.aclose()


def keep(target: Target, artifact: Path) -> Crash:
    """File a failing input, the smallest of its group, with the regressions."""
    if artifact.suffix == SUFFIX:
        group, kind = Group.load(artifact), "crash"
    else:
        group, kind = Group("", 1, artifact.read_bytes(), ""), artifact.name.partition("-")[0]
    path = target.regressions / _digest(group.data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(group.data)
    return _at(path, Crash(kind, "", "", group.name, group.count, group.shown))


async def _minimized(target: Target, crash: Crash) -> Crash:
    """Minimize a kept input; one that hangs or takes too long stays as it is."""
    path = Path(crash.where)
    if crash.kind != "crash":  # one that hangs or eats memory
        return crash
    with trio.move_on_after(_MINIMIZE_TIMEOUT_S):
        command = [sys.executable, "-m", "fuzz.minimize", target.name, str(path)]
        await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
    return _at(_renamed(path), crash)


def _renamed(path: Path) -> Path:
    """Rename a kept input by its bytes; return its new path."""
    return path.rename(path.with_name(_digest(path.read_bytes())))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _at(path: Path, crash: Crash) -> Crash:
    return replace(crash, where=str(shown(path)), command=f"python -m fuzz.replay {shown(path)}")
