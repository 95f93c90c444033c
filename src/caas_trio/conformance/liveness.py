"""Whether the server still serves; checked when a case has failed, since a dead server fails all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint

from .attribution import gone_clause
from .case import Case, Fault, Result, Verdict
from .engine import run_case
from .families import STILL_SERVED
from .profile import Profile

#: How often a server is tried before it counts as gone, and how long it has in between to start again.
_MAX_ATTEMPTS: Final = 3
_RESTART_DELAY_S: Final = 0.4


class Liveness:
    """Counts the cases that run, and finds out whether the server that failed one of them still serves.

    It is asked beside the other cases first. If it does not answer, perhaps because of them, no other
    case begins until they have ended, and it is asked alone.

    Args:
        endpoint: where the server is.
        profile: what it is declared to be.
        timeout_s: seconds of silence after which an answer counts as missing.
    """

    def __init__(self, endpoint: Endpoint, profile: Profile, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._timeout_s = timeout_s
        self._question = next(case for case in STILL_SERVED if case.unfit(profile) is None)
        self._running: list[Case] = []
        self._doubted: list[tuple[Result, tuple[str, ...]]] = []
        self._changed = trio.Condition()

    @asynccontextmanager
    async def running(self, case: Case) -> AsyncIterator[None]:
        """Count a case as running within the block; wait before it until no server is in doubt."""
        async with self._changed:
            while self._doubted:
                await self._changed.wait()
            self._running.append(case)
        try:
            yield
        finally:
            self._running.remove(case)
            with trio.CancelScope(shield=True):
                async with self._changed:
                    self._changed.notify_all()

    async def doubt(self, failed: Result) -> Result | None:
        """Return None if the server still serves; else the result of the first case that failed with it.

        To be called for each case that failed, while it counts as running.
        """
        beside = tuple(case.id for case in self._running if case is not failed.case)
        if (await self._ask()) is None:
            return None
        self._doubted.append((failed, beside))
        try:
            return await self._ask_alone()
        finally:
            self._doubted.remove((failed, beside))

    async def _ask_alone(self) -> Result | None:
        async with self._changed:
            self._changed.notify_all()
            while len(self._running) > len(self._doubted):
                await self._changed.wait()
            # Holding the lock: of several that doubt, one asks at a time.
            reason = ""
            for _ in range(_MAX_ATTEMPTS):
                await trio.sleep(_RESTART_DELAY_S)
                wrong = await self._ask()
                if wrong is None:
                    return None
                reason = wrong
            return _gone(*self._doubted[0], reason, gone_clause(self._profile))

    async def _ask(self) -> str | None:
        """Return what is wrong with the answer to a plain line; None if nothing is."""
        result = await run_case(self._question, self._endpoint, self._profile, self._timeout_s)
        return None if result.verdict is Verdict.PASSED else result.why


def _gone(failed: Result, beside: tuple[str, ...], reason: str, clause: str) -> Result:
    """Return the result of the case since which the server is gone: that one fault.

    It is the case's own fault if nothing ran beside. Else it is not known which one it was, and the
    fault is that the server has gone.
    """
    fault = failed.faults[0]
    if not beside:
        fault = replace(fault, reason=f"{fault.reason}; since then the server serves no client ({reason})")
        return replace(failed, faults=[fault], beside=beside)
    reason = f"since this case the server serves no client ({reason}); beside it ran {', '.join(beside)}"
    clause = "DGRAM-1" if failed.case.clause.startswith("DGRAM") else clause
    faults = [Fault(clause, reason)]
    return replace(failed, answer=Verdict.NOT_JUDGED, faults=faults, beside=beside, reason="")
