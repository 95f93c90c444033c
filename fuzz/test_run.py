"""Runs of harnesses: what a signal, a dead parent and a full disk leave. The harnesses are small scripts."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from .interrupt import child_environment
from .job import Crash, Progress, Verdict, check_room, fuzz, keep, watch
from .run import Run, run_all
from .targets import Target

#: Prints its process id, then does nothing; first, writes a failing input if asked to.
_HANGING = """
import os, sys, time
prefix = sys.argv[-1].partition("=")[2]
if "crash" in sys.argv:
    open(f"{prefix}crash-1", "wb").write(b"failing")
print(os.getpid(), flush=True)
time.sleep(600)
"""
#: Goes on behind failures, of two groups.
_FAILING_TWICE = """
import sys
from pathlib import Path
from fuzz.groups import ARTIFACTS, Grouping

def check(data):
    if b"K" in data:
        raise KeyError(data)
    assert b"A" not in data

[prefix] = [each for each in sys.argv if each.startswith(ARTIFACTS)]
grouping = Grouping(check, Path(prefix.removeprefix(ARTIFACTS)))
for data in (b"xA", b"K", b"A", b"xK", b"fine", b"xxA"):
    grouping(data)
"""
_ENDING = "print('#7 DONE cov: 1 ft: 1 corp: 3/9b lim: 4 exec/s: 5 rss: 6Mb')"
_ENDS_WITH_PARENT = (
    "from fuzz.interrupt import end_with_parent; import time; end_with_parent(); time.sleep(600)"
)


def script(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, *arguments]


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


def unkept(artifact: Path) -> Crash:
    return Crash("crash", artifact.name, "")


def starting(
    command: list[str],
    look: Callable[[], Awaitable[None]] = nothing,
    keep: Callable[[Path], Crash] = unkept,
) -> Callable[[Progress], Awaitable[None]]:
    async def start(progress: Progress) -> None:
        await watch(command, 60, progress, look, keep)

    return start


def raising_when_ready(number: signal.Signals) -> Callable[[], Awaitable[None]]:
    async def look() -> None:
        signal.raise_signal(number)
        await trio.sleep_forever()

    return look


def run(*runs: Run) -> tuple[int, str]:
    output = io.StringIO()
    status = run_all(list(runs), 1, Console(file=output, width=120))
    return status, output.getvalue()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_runs_with_the_table_so_far(number: signal.Signals, status: int) -> None:
    runs = [
        Run("first", starting(script(_ENDING))),
        Run("second", starting(script(_HANGING), raising_when_ready(number))),
        Run("third", starting(script(_HANGING))),
    ]
    exit_status, shown = run(*runs)
    assert exit_status == status
    rows = [line.replace("│", " ").split() for line in shown.splitlines() if line.startswith("│")]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("first", "7", "0"),
        ("second", "0", "interrupted"),
        ("third", "0", "run"),
    ]
    pid = int(runs[1].progress.output[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_signal_loses_no_failing_input(tmp_path: Path) -> None:
    target = Target("line_buffer", kept_in=tmp_path)
    command = script(_HANGING, "crash")
    interrupted = Run("one", starting(command, raising_when_ready(signal.SIGINT), partial(keep, target)))
    status, shown = run(interrupted)
    assert status == 130
    [kept] = target.inputs()
    assert kept.read_bytes() == b"failing"
    assert f"python -m fuzz.replay {kept}" in shown


def test_each_group_of_failures_is_told_once_with_its_smallest_input(tmp_path: Path) -> None:
    target = Target("line_buffer", kept_in=tmp_path)
    status, shown = run(Run("one", starting(script(_FAILING_TWICE), keep=partial(keep, target))))
    assert status == 1
    assert sorted(path.read_bytes() for path in target.inputs()) == [b"A", b"K"]
    assert shown.index("3 times: AssertionError") < shown.index("2 times: KeyError")
    for path in target.inputs():
        assert shown.count(f"reproduce: python -m fuzz.replay {path}\n") == 1


def test_a_harness_that_fails_by_itself_is_shown_as_broken() -> None:
    status, shown = run(Run("one", starting(script("raise SystemExit('no such module')"))))
    assert status == 1
    assert "broken" in shown
    assert "no such module" in shown


def test_a_harness_that_hangs_is_killed() -> None:
    progress = Progress()
    trio.run(starting(script(_HANGING)), progress, clock=MockClock(autojump_threshold=0))
    assert progress.verdict is Verdict.BROKEN
    assert progress.output[-1] == "killed: it has not come to an end"


def test_a_harness_ends_when_its_parent_does() -> None:
    with subprocess.Popen(
        script(_ENDS_WITH_PARENT), stdin=subprocess.PIPE, env=child_environment()
    ) as process:
        assert process.stdin is not None
        process.stdin.close()  # as the kernel does when the parent is killed
        assert process.wait(timeout=60) == 1


def test_a_run_ends_when_inputs_can_no_longer_be_kept(tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()

    async def look() -> None:
        shutil.rmtree(found)
        check_room(found)
        await trio.lowlevel.checkpoint()

    progress = Progress()
    with pytest.raises(FileNotFoundError, match="found"):
        trio.run(starting(script(_HANGING), look), progress)
    with pytest.raises(ProcessLookupError):
        os.kill(int(progress.output[0]), 0)


def test_an_unusable_output_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "corpus").touch()
    progress = Progress()
    trio.run(fuzz, Target("line_buffer", found_in=tmp_path), 1, progress)
    assert progress.verdict is Verdict.BROKEN
    assert progress.output == [f"cannot keep {tmp_path}/corpus/line_buffer: Not a directory"]
