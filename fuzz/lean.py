"""What trio does for everybody, and a run of scripts can do for less: `lean`.

None of it is public. It changes what things cost, and nothing about what happens, or in which order.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final

import outcome
import trio
from trio._core import _run
from trio.testing import MockClock


def clock_that_jumps() -> MockClock:
    """Return a mock clock that jumps whenever nothing else is to be done."""
    clock = MockClock(autojump_threshold=0)
    # One that only jumps need not look at the machine's, which it is asked for all the time.
    vars(clock)["current_time"] = partial(getattr, clock, "_virtual_base")
    return clock


def lean(runner: Any, clock: MockClock) -> None:
    """Spare a guest run what it does for a host, for instruments and for safety.

    Args:
        runner: trio's, whose scheduler has begun.
        clock: the run's, of `clock_that_jumps`.
    """
    runner.instruments = {}  # there are none, which is asked a hundred times for each script
    runner.is_guest = False  # nor is there a host to be told of each new deadline
    runner.waiting_for_idle = _Idlers()
    vars(clock)["_autojump"] = partial(_jump, clock, runner.deadlines)
    vars(_run)["Value"] = _value
    setattr(trio.CancelScope, "_might_change_registered_deadline", _registering)  # noqa: B010


def _jump(clock: MockClock, deadlines: Any) -> None:
    """Jump to the next deadline; the clock by itself has all of trio's statistics made to learn it."""
    seconds = deadlines.next_deadline() - clock.current_time()
    if 0 < seconds < math.inf:
        clock.jump(seconds)


class _Idlers(dict[tuple[float, int], Any]):
    """The tasks in `wait_all_tasks_blocked`; trio keeps them sorted, here all wait equally long."""

    def keys(self) -> Any:
        return tuple(self)

    def peekitem(self, index: int) -> tuple[tuple[float, int], Any]:
        key = tuple(self)[index]
        return key, self[key]


class _Nothing:
    """An `outcome.Value` of None; one is enough, as it does not watch that it is taken once only."""

    value = None

    def unwrap(self) -> None:
        pass


_NOTHING: Final = _Nothing()


def _value(value: object) -> Any:
    """Return what a task goes on with, of which there is one for each of its steps."""
    return _NOTHING if value is None else outcome.Value(value)


class _Registering:
    """What brings a scope's deadline up to date behind a block.

    trio has a generator do it, which takes three times as long, and two for each scope.
    """

    __slots__ = ("_scope",)

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        scope = self._scope
        old = scope._registered_deadline
        new = math.inf if scope._cancel_status is None or scope._cancel_called else scope._deadline
        if old == new:
            return
        scope._registered_deadline = new
        deadlines = _run.GLOBAL_RUN_CONTEXT.runner.deadlines
        if old != math.inf:
            deadlines.remove(old, scope)
        if new != math.inf:
            deadlines.add(new, scope)


def _registering(scope: trio.CancelScope) -> _Registering:
    return _Registering(scope)
