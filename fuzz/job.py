"""One run of one harness: start it, watch it, keep what it found."""

from __future__ import annotations

import enum
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from .meter import Meter, Reach
from .targets import Target, files

#: libFuzzer's reports: executions so far, size of the corpus, executions a second.
_REPORT: Final = re.compile(r"#(\d+)\s+\w+\s+cov: \d+ ft: \d+ corp: (\d+)/.*exec/s: (\d+)")
_DONE: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_KEPT_OUTPUT: Final = 40
_MINIMIZE_SECONDS: Final = 60
#: New inputs are measured this often at most: looking takes time from the harness.
_LOOK_SECONDS: Final = 2


class Verdict(enum.Enum):
    """How a run ended."""

    RUNNING = "running"
    CLEAN = "clean"
    CRASHED = "crashed"
    BROKEN = "broken"  # the harness itself could not run


@dataclass
class Progress:
    """What a run has done so far, as its harness last reported."""

    executions: int = 0
    rate: int = 0
    corpus: int = 0
    new: int = 0
    reach: Reach | None = None
    verdict: Verdict = Verdict.RUNNING
    output: list[str] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Take in a line of libFuzzer's output."""
        if report := _REPORT.search(line):
            self.executions, self.corpus, self.rate = map(int, report.groups())
        elif done := _DONE.search(line):
            self.executions = int(done[1])
        self.output = [*self.output[1 - _KEPT_OUTPUT :], line]


@dataclass(frozen=True)
class Crash:
    """A failing input and how to see it fail."""

    kind: str
    where: str
    command: str


def fuzz(target: Target, seconds: int, progress: Progress) -> None:
    """Run a harness for `seconds`, keeping `progress` up to date; new inputs go to `target.found`."""
    target.found.mkdir(parents=True, exist_ok=True)
    seen = before = set(files(target.found))
    with Meter(target) as meter:
        meter.add([*target.inputs(), *before])

        def look() -> None:
            nonlocal seen
            found = set(files(target.found))
            meter.add(found - seen)
            seen = found
            progress.new, progress.reach = len(found - before), meter.reach

        corpora = [path for path in (target.found, target.corpus, target.regressions) if path.is_dir()]
        watch([*target.command, *map(str, corpora)], seconds, progress, look, partial(keep, target))


def watch(
    command: list[str],
    seconds: int,
    progress: Progress,
    look: Callable[[], None],
    keep: Callable[[Path], Crash],
) -> None:
    """Run a harness to its end, which is its first failure, or `seconds`.

    Args:
        command: how to start it, its corpora included.
        seconds: how long it runs, loading the corpus aside.
        progress: kept up to date with what it reports; has the verdict in the end.
        look: called every now and then, to look at what has been found.
        keep: called with each failing input.
    """
    with tempfile.TemporaryDirectory() as scratch:
        options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={scratch}/"]
        process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        looked = 0.0
        with process:
            for line in process.stdout:
                progress.read(line.rstrip("\n"))
                if time.monotonic() - looked > _LOOK_SECONDS:
                    look()
                    looked = time.monotonic()
        look()
        failing = [path for path in files(Path(scratch)) if not path.name.startswith("slow-unit")]
        progress.crashes = [keep(path) for path in failing]
    if progress.crashes:
        progress.verdict = Verdict.CRASHED
    else:
        progress.verdict = Verdict.BROKEN if process.returncode else Verdict.CLEAN


def keep(target: Target, artifact: Path) -> Crash:
    """Minimize a failing input and file it with the regressions."""
    kind = artifact.name.partition("-")[0]
    if kind == "crash":  # one that hangs or eats memory is kept as it is
        command = [sys.executable, "-m", "fuzz.minimize", target.name, str(artifact)]
        subprocess.run(command, timeout=_MINIMIZE_SECONDS, check=False)
    data = artifact.read_bytes()
    path = target.regressions / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return Crash(kind, str(path), f"python -m fuzz.replay {path}")
