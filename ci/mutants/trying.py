"""Trying mutants: a plug-in for pytest that collects once, and forks for each mutant.

In the child the mutant's code is put into the function, wherever that is already referred to. The tests are
run that call the function, until one fails: first those that have noticed most, then the cheapest. Where
that would come too late (the function is called at import, or what is changed is evaluated there) a new
process imports the mutant.

What makes a mutant fail has to pass without it: each such test is run once more in the right program.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import pytest

from .making import Mutant
from .mapping import Map, measured

#: How many times as long as the right program the tests of a mutant may take, and how many seconds more.
_SLOWER: Final = 6
_MORE_S: Final = 5
#: Without the reporter, which writes to where the program's own output goes.
_OPTIONS: Final = ("-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", "--timeout=600", "-s")
#: The same for what waits rather than computes; the machine may be busy.
_WAITING: Final = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a mutant: "killed", "timeout", "survived" or "no tests"; and by which test."""

    status: str
    test: str = ""


@dataclass(slots=True)
class _Child:
    mutant: Mutant | None
    pipe: int
    deadline: float


@dataclass(slots=True)
class Loop:
    """A loop of tests for each mutant.

    Attributes:
        mutants: what to try.
        jobs: how many at once.
        seconds: up to how much of their time in sum the tests of a mutant are run, the cheapest first.
        files: where the map of the tests is kept.
        found: called with what became of a mutant.
    """

    mutants: Sequence[Mutant]
    jobs: int
    seconds: float
    files: Path
    found: Callable[[Mutant, Outcome], None]
    _at_import: set[str] = field(default_factory=set)
    _children: dict[int, _Child] = field(default_factory=dict)
    _kills: Counter[str] = field(default_factory=Counter)
    _is_trying: bool = False

    def run(self, tests: Sequence[str]) -> int:
        """Collect the tests of some files, and try every mutant; return pytest's status."""
        sys.setprofile(measured(self._at_import))
        return int(pytest.main([*_OPTIONS, *tests], plugins=[self]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every mutant; what is imported by now is imported without one."""
        sys.setprofile(None)
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors while collecting")
        tests = Map.of(session, self.files, self.jobs)
        gc.collect()
        gc.freeze()
        for mutant in self.mutants:
            nodes, seconds = tests.of_function(mutant.function, self.seconds, self._kills)
            if not nodes:
                self.found(mutant, Outcome("no tests"))
                continue
            self._start(session, mutant, nodes, seconds)
            self._reap(session, self.jobs - 1)
        self._reap(session, 0)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show what fails without a mutant."""
        if report.failed and not self._is_trying:
            print(report.longreprtext, file=sys.stderr)

    def _start(
        self, session: pytest.Session, mutant: Mutant | None, nodes: list[str], seconds: float
    ) -> None:
        """Run tests in a child."""
        receiving, sending = os.pipe()
        pid = os.fork()
        if pid:
            os.close(sending)
            self._children[pid] = _Child(mutant, receiving, time.monotonic() + _WAITING * (seconds + 1))
            return
        self._is_trying = mutant is not None
        os.setpgid(0, 0)
        limit = int(_SLOWER * seconds + _MORE_S)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open_null() as null:
            os.dup2(null, 1)
            os.dup2(null, 2)
        failed = "?"
        try:
            fresh = mutant is not None and (mutant.function in self._at_import or mutant.is_in_signature)
            if mutant is not None and (fresh or not _swap(mutant)):
                _run_anew(mutant, nodes, sending)
            failed = run_until_failure(session, nodes)
        finally:
            os.write(sending, failed.encode())
            os._exit(0)

    def _reap(self, session: pytest.Session, left: int) -> None:
        """Wait until at most so many children are left."""
        while len(self._children) > left:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in self._children:
                self._note(session, self._children.pop(pid), status)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # what its tests have started
                continue
            now = time.monotonic()
            for late in [pid for pid, child in self._children.items() if child.deadline < now]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(late, signal.SIGKILL)
            time.sleep(0.005)

    def _note(self, session: pytest.Session, child: _Child, status: int) -> None:
        with os.fdopen(child.pipe, "rb") as pipe:
            os.set_blocking(pipe.fileno(), False)
            failed = (pipe.read() or b"").decode()
        if child.mutant is None:
            if failed or status:
                print("fails without a mutant:", failed or status, file=sys.stderr)
                raise session.Failed
        elif os.WIFSIGNALED(status) and not failed:
            self.found(child.mutant, Outcome("timeout"))
        elif failed:
            self.found(child.mutant, Outcome("killed", failed))
            self._kills[failed] += 1
            if failed != "?" and self._kills[failed] == 1:
                self._start(session, None, [failed], 20)
        else:
            self.found(child.mutant, Outcome("survived"))


@contextlib.contextmanager
def open_null() -> Iterator[int]:
    """Return a descriptor of the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    yield null
    os.close(null)


def run_until_failure(session: pytest.Session, nodes: Sequence[str]) -> str:
    """Run some of the tests that have been collected; return the first that fails, "" if none does."""
    items = {item.nodeid: item for item in session.items}
    chosen = [items[node] for node in nodes]
    for item, following in zip(chosen, [*chosen[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return ""


def _swap(mutant: Mutant) -> bool:
    """Put a mutant's code into the function that has been imported; return whether that could be done."""
    found: Any = sys.modules[mutant.module]
    for name in mutant.qualname.split("."):
        found = vars(found).get(name)
    function = getattr(found, "__func__", found)
    if not isinstance(function, FunctionType):
        return False
    try:
        function.__code__ = mutant.function_code()
    except ValueError:  # it has other variables of the class than before
        return False
    return True


def _run_anew(mutant: Mutant, nodes: Sequence[str], sending: int) -> None:
    """Become a new process that imports the mutant and runs the tests."""
    os.set_inheritable(sending, True)  # noqa: FBT003
    task = {"module": mutant.module, "name": mutant.name, "nodes": list(nodes), "pipe": sending}
    os.execv(sys.executable, [sys.executable, "-m", "ci.mutants.anew", json.dumps(task)])  # noqa: S606
