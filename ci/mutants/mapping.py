"""Which functions each test calls, and how long it takes: `Map`."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

import pytest
from coverage import Coverage, CoverageData

from .making import LAYERS, PACKAGE, functions, module_of

#: By test: the processor's time and the clock's, in seconds, and what it calls.
Calls: TypeAlias = dict[str, tuple[float, float, list[str]]]

_PREFIX: Final = f"{PACKAGE.resolve()}{os.sep}"


def measured(called: set[str]) -> Callable[[FrameType, str, Any], None]:
    """Return a profile function that notes the functions of the package that are called."""
    codes: dict[object, str] = {}

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code not in codes:
            codes[code] = name = _name(code.co_filename, code.co_qualname)
            if name:
                called.add(name)

    return profile


def _name(filename: str, qualname: str) -> str:
    if not filename.startswith(_PREFIX):
        return ""
    outer = qualname.partition(".<locals>")[0]
    return f"{module_of(PACKAGE / filename.removeprefix(_PREFIX))}.{outer}"


@dataclass(slots=True)
class Map:
    """Which tests call a function."""

    calls: Calls = field(default_factory=dict)
    _by_function: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, session: pytest.Session, folder: Path, jobs: int) -> Map:
        """Return the map of the tests that have been collected; only what is new is run.

        Raises:
            session.Failed: a test fails.
        """
        folder.mkdir(parents=True, exist_ok=True)
        by_file: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            by_file[item.path].append(item)
        kept = {path: folder / f"{_digest(path)}.json" for path in by_file}
        waiting = [path for path in by_file if not kept[path].exists()]
        running: set[int] = set()
        while waiting or running:
            if waiting and len(running) < jobs:
                path = waiting.pop()
                running.add(_map_in_child(session, by_file[path], kept[path]))
                continue
            pid, status = os.waitpid(-1, 0)
            running.discard(pid)
            if status:
                raise session.Failed
        found = cls()
        for path in by_file:
            found.add(json.loads(kept[path].read_text()))
        return found

    def add(self, calls: Calls) -> None:
        """Add tests."""
        self.calls.update(calls)
        for test, (_, _, called) in calls.items():
            for name in called:
                self._by_function[name].append(test)

    def of_function(self, function: str, budget: float, kills: Mapping[str, int]) -> dict[str, float]:
        """Return the tests that call a function, in order, as far as a processor's time goes.

        With each comes how long it takes by the clock. A function that no test calls may be newer than the
        map: it gets the tests of its module.

        First come those that have noticed most, then those of the module itself, then the first of each that
        is parametrized, the cheapest first: its others seldom notice what that one did not.
        """
        own = f"/test_{function.split('.')[2]}.py"
        instance: Counter[str] = Counter()
        order: list[tuple[int, bool, int, float, str]] = []
        for test in self._by_function.get(function) or self._of_module(function.split(".")[:3]):
            plain = test.partition("[")[0]
            order.append((-kills.get(test, 0), own not in test, instance[plain], self.calls[test][0], test))
            instance[plain] += 1
        chosen: dict[str, float] = {}
        total = 0.0
        for *_, seconds, test in sorted(order):
            if not chosen or total + seconds <= budget:
                chosen[test] = self.calls[test][1]
                total += seconds
        return chosen

    def _of_module(self, module: list[str]) -> list[str]:
        inside = f"{'.'.join(module)}."
        return [
            test
            for test, (*_, called) in self.calls.items()
            if any(name.startswith(inside) for name in called)
        ]


def _digest(path: Path) -> str:
    ours = Path(__file__).read_bytes()
    return hashlib.sha256(ours + path.read_bytes() + str(path).encode()).hexdigest()[:24]


def _map_in_child(session: pytest.Session, items: list[pytest.Item], to: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        times: dict[str, tuple[float, float]] = {}
        coverage = Coverage(data_file=None, config_file=False, source_pkgs=["caas_trio"], messages=False)
        coverage.set_option("run:core", "ctrace")  # the other ones know no contexts
        coverage.set_option("run:disable_warnings", ["module-not-measured", "already-imported"])
        coverage.start()
        for item, following in zip(items, [*items[1:], None], strict=True):
            coverage.switch_context(item.nodeid)
            began = time.process_time(), time.monotonic()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            times[item.nodeid] = time.process_time() - began[0], time.monotonic() - began[1]
            if session.testsfailed:
                print("fails without a mutant:", item.nodeid, file=sys.stderr)
                break
        else:
            coverage.stop()
            called = _called(coverage.get_data())
            calls = {test: (*took, sorted(called.get(test, ()))) for test, took in times.items()}
            unfinished = to.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps(calls))
            unfinished.rename(to)
            status = 0
    finally:
        os._exit(status)


def _called(data: CoverageData) -> dict[str, set[str]]:
    """Return by test the functions that it has been in."""
    called: dict[str, set[str]] = defaultdict(set)
    for filename in data.measured_files():
        path = PACKAGE / filename.removeprefix(_PREFIX)
        if path.parent.name not in LAYERS or not path.exists():
            continue
        at = {
            line: f"{module_of(path)}.{name}"
            for name, function in functions(ast.parse(path.read_text()))
            for line in range(function.body[0].lineno, (function.end_lineno or function.lineno) + 1)
        }
        for line, tests in data.contexts_by_lineno(filename).items():
            if line in at:
                for test in tests:
                    called[test].add(at[line])
    return called
