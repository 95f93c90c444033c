"""Trying mutants: a plug-in for pytest that collects once, and forks for each mutant.

In the child the mutant's code is put into the function, wherever that is already referred to. The tests are
run that call the function, until one fails: first those that have noticed most, then the cheapest. Where
that would come too late (the function is called at import, or what is changed is evaluated there) a new
process imports the mutant, unless it has been noticed before.

What makes a mutant fail has to do so twice, since a test that waits may fail by chance where the machine is
busy; and it has to pass without it: each such test is run once more in the right program.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, Final, TypeAlias

import pytest

from .anew import MISSING, UNNAMED, end_unless_done
from .making import Mutant
from .mapping import Map, measured

#: By name of a test, in order: its seconds in the right program.
Nodes: TypeAlias = dict[str, float]

#: How many times as long as the right program the tests of a mutant may take, and how many seconds more.
_SLOWER: Final = 6
_MORE_S: Final = 5
#: Without the reporter, which writes to where the program's own output goes.
_OPTIONS: Final = ("-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", "--timeout=600", "-s")
#: How many seconds more a test may take that is run in the right program.
_CHECKED_S: Final = 20
#: The same for what waits rather than computes; the machine may be busy.
_WAITING: Final = 20


class Way(enum.Enum):
    """How a mutant is tried."""

    SWAPPED = "its code is put into the function that has been imported"
    ANEW = "a new process imports it"
    BOTH = "first the one, then the other: the function is called while modules are imported"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a mutant: "killed", "timeout", "survived", "no tests" or "not found"; and by which test.

    "not found" is a test that the new process did not collect: nothing is known, which is no success.
    """

    status: str
    test: str = ""

    @classmethod
    def of(cls, failed: str, *, ended: bool) -> Outcome:
        """Return what a child's answer means; one that was ended without an answer took too long."""
        if failed.startswith(MISSING):
            return cls("not found", failed.removeprefix(MISSING))
        if failed:
            return cls("killed", failed)
        return cls("timeout" if ended else "survived")


@dataclass(slots=True)
class _Child:
    mutant: Mutant | None
    nodes: Nodes
    way: Way
    pipe: int
    deadline: float
    rest: Nodes | None  # if it looks whether a test fails again: what is run if not


@dataclass(slots=True, eq=False)  # a plug-in of pytest has to be hashable
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
    _checked: set[tuple[str, bool]] = field(default_factory=set)
    _is_trying: bool = False
    _folder: str = ""  # where the tests of a mutant are run: it may write files of any name

    def run(self, tests: Sequence[str]) -> int:
        """Collect the tests of some files, and try every mutant; return pytest's status."""
        sys.setprofile(measured(self._at_import))
        os.environ["HYPOTHESIS_PROFILE"] = "mutants"  # to make a failing example small takes seconds
        with tempfile.TemporaryDirectory() as self._folder:
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
            nodes = tests.of_function(mutant.function, self.seconds, self._kills)
            if not nodes:
                self.found(mutant, Outcome("no tests"))
                continue
            self._start(session, mutant, nodes, self._way(mutant, tests))
            self._reap(session, self.jobs - 1)
        self._reap(session, 0)
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Show what cannot be collected."""
        if report.failed:
            print(report.longreprtext, file=sys.stderr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show what fails without a mutant."""
        if report.failed and not self._is_trying:
            print(report.longreprtext, file=sys.stderr)

    def _way(self, mutant: Mutant, tests: Map) -> Way:
        if mutant.is_in_signature or not swappable(mutant):
            return Way.ANEW
        if mutant.function not in self._at_import:
            return Way.SWAPPED
        is_called = any(mutant.function in called for *_, called in tests.calls.values())
        return Way.BOTH if is_called else Way.ANEW

    def _start(
        self,
        session: pytest.Session,
        mutant: Mutant | None,
        nodes: Nodes,
        way: Way,
        rest: Nodes | None = None,
    ) -> None:
        """Run tests in a child."""
        seconds = sum(nodes.values())
        receiving, sending = os.pipe()
        pid = os.fork()
        if pid:
            os.close(sending)
            deadline = time.monotonic() + _WAITING * (seconds + 1)
            self._children[pid] = _Child(mutant, nodes, way, receiving, deadline, rest)
            return
        self._is_trying = mutant is not None
        os.setpgid(0, 0)
        limit = int(_SLOWER * seconds + _MORE_S)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open_null() as null:
            os.dup2(null, 1)
            os.dup2(null, 2)
        failed = MISSING
        try:
            if way is Way.ANEW:
                _run_anew(mutant, nodes, sending, self._folder)
            elif mutant is not None:
                _function(mutant).__code__ = mutant.function_code()
            failed = UNNAMED
            os.chdir(self._folder)
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
        outcome = Outcome.of(failed, ended=bool(status))
        if child.mutant is None:
            if failed or status:
                print("fails without a mutant:", failed or status, *child.nodes, file=sys.stderr)
                raise session.Failed
            return
        if outcome.status == "survived" and child.rest:  # the test has failed by chance
            self._start(session, child.mutant, child.rest, child.way)
            return
        if outcome.status == "survived" and child.way is Way.BOTH:
            self._start(session, child.mutant, child.nodes, Way.ANEW)
            return
        if outcome.status == "killed" and child.rest is None and failed in child.nodes:
            rest = {node: seconds for node, seconds in child.nodes.items() if node != failed}
            self._start(session, child.mutant, {failed: child.nodes[failed]}, child.way, rest)
            return
        self.found(child.mutant, outcome)
        if outcome.status == "killed":
            self._kills[failed] += 1
            self._check(session, failed, child)

    def _check(self, session: pytest.Session, failed: str, child: _Child) -> None:
        """Run what a mutant has failed by in the right program, once, in the same way."""
        nodes = child.nodes if failed == UNNAMED else {failed: child.nodes.get(failed, 0) + _CHECKED_S}
        anew = child.way is Way.ANEW
        known = (" ".join(nodes), anew)
        if known not in self._checked and (anew or failed != UNNAMED):
            self._checked.add(known)
            self._start(session, None, nodes, child.way)


@contextlib.contextmanager
def open_null() -> Iterator[int]:
    """Return a descriptor of the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    yield null
    os.close(null)


def run_until_failure(session: pytest.Session, nodes: Nodes) -> str:
    """Run some of the tests that have been collected; return the first that fails, "" if none does."""
    items = {item.nodeid: item for item in session.items}
    chosen = [items[node] for node in nodes]
    for item, following in zip(chosen, [*chosen[1:], None], strict=True):
        end_unless_done(nodes[item.nodeid])
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return ""


def swappable(mutant: Mutant) -> bool:
    """Return whether a mutant's code can be put into the function that has been imported."""
    function = _function(mutant)
    if not isinstance(function, FunctionType):
        return False
    return len(function.__closure__ or ()) == len(mutant.function_code().co_freevars)


def _function(mutant: Mutant) -> Any:
    found: Any = sys.modules[mutant.module]
    for name in mutant.qualname.split("."):
        found = vars(found).get(name)
    return getattr(found, "__func__", found)


def _run_anew(mutant: Mutant | None, nodes: Nodes, sending: int, folder: str) -> None:
    """Become a new process that imports the mutant, if there is one, and runs the tests."""
    module, name = (mutant.module, mutant.name) if mutant else ("", "")
    task = {"module": module, "name": name, "nodes": nodes, "pipe": sending, "folder": folder}
    with tempfile.TemporaryFile("w+") as file:
        json.dump(task, file)
        file.seek(0)
        for descriptor in (sending, file.fileno()):
            os.set_inheritable(descriptor, True)  # noqa: FBT003
        os.execv(sys.executable, [sys.executable, "-m", "ci.mutants.anew", str(file.fileno())])  # noqa: S606
