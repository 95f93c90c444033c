"""Runs one case against a server: opens its connections, takes its steps, grades what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from caas_trio.core.endpoint import Endpoint

from .case import Case, Fault, Result, Verdict
from .compare import Broken
from .dialects.talk import UnjudgedError
from .profile import Profile
from .steps import Steps

_MAX_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a case whose server is never silent for long enough to fail it.

    Attributes:
        waits: its time, as a multiple of the silence that would fail it,
        own_s: the most seconds that a script spends in pauses and silences of its own,
        replies: and, if it goes on at its pace, the time for this many replies,
        reply_s: seconds that the server took for one before.
        punctual_s: a client that is to speak at once and is later than this proves nothing.
    """

    waits: int = 5
    own_s: float = 3.0
    replies: int = 400
    reply_s: float = 0.0
    punctual_s: float = 0.1


async def run_case(
    case: Case,
    endpoint: Endpoint,
    profile: Profile,
    timeout_s: float,
    bounds: Bounds = Bounds(),
) -> Result:
    """Run a case and return its result; whatever the server does, this ends in time.

    Silence where something is due is a fault. A server that is only slow is given more time, and is not
    judged if that does not do.

    Args:
        case: the case; it has to fit the profile.
        endpoint: where the server is.
        profile: what the server is declared to be.
        timeout_s: seconds of silence after which what is due counts as missing, times the effort.
        bounds: how long it may take.
    """
    reason = "this machine was too busy to speak at once"
    for _ in range(_MAX_ATTEMPTS):
        run = _Run(case, endpoint, profile, timeout_s * case.effort, bounds)
        result = await run.result()
        if not case.punctual or not result.faults or run.lateness < bounds.punctual_s:
            return result
    return Result(case, answer=Verdict.NOT_JUDGED, reason=reason, log=result.log)


class _Run:
    """One attempt at one case."""

    def __init__(
        self,
        case: Case,
        endpoint: Endpoint,
        profile: Profile,
        timeout_s: float,
        bounds: Bounds,
    ) -> None:
        self._case = case
        self._endpoint = endpoint
        self._profile = profile
        self._timeout_s = timeout_s
        self._connect_s = bounds.waits * timeout_s
        self._limit = self._connect_s + bounds.own_s
        self._longest = self._limit + bounds.replies * bounds.reply_s
        self._result = Result(case)
        self._over = False
        #: How late the latest client spoke, in seconds.
        self.lateness = 0.0

    async def result(self) -> Result:
        started = trio.current_time()
        with trio.move_on_after(self._longest) as scope:
            await self._take_steps(started, scope)
        self._result.seconds = trio.current_time() - started
        if not self._over:
            # Silence is a fault and ends a case, so something came all the time.
            self._result.answer = Verdict.NOT_JUDGED
            self._result.reason = (
                f"the server is too slow for it, which had {self._result.seconds:.3g} seconds"
            )
        return self._result

    async def _take_steps(self, started: float, scope: trio.CancelScope) -> None:
        async with trio.open_nursery() as tasks:
            steps = Steps(
                self._result,
                self._endpoint,
                self._profile,
                timeout_s=self._timeout_s,
                connect_s=self._connect_s,
                tasks=tasks,
                scope=scope,
            )
            tasks.start_soon(self._give_up_in_time, started, steps, tasks.cancel_scope)
            try:
                for step in self._case.script(self._profile):
                    await steps.take(step)
                self._result.answer = Verdict.PASSED
                self._over = True
            except UnjudgedError as unjudged:
                self._result.answer = Verdict.NOT_JUDGED
                self._result.reason = str(unjudged)
                self._over = True
            except Broken as broken:
                self._fault(broken.fault)
                self._over = True
            finally:
                self.lateness = steps.lateness
                steps.close()
                tasks.cancel_scope.cancel()

    async def _give_up_in_time(self, started: float, steps: Steps, scope: trio.CancelScope) -> None:
        """End the case after the usual time if the reply under way would take more than there is."""
        await trio.sleep_until(started + self._limit)
        if steps.awaited is not None and steps.awaited.expected_end() > started + self._longest:
            scope.cancel()

    def _fault(self, fault: Fault) -> None:
        """Note a fault; one that is not about the answer leaves the answer as good as it was so far."""
        self._result.faults.append(fault)
        if fault.clause == self._case.clause:
            self._result.answer = fault.verdict
        elif fault.clause in ("CLOSE-2", "CLOSE-3"):
            self._result.answer = Verdict.PASSED
        else:
            self._result.answer = Verdict.NOT_JUDGED
            self._result.reason = f"{fault.clause} got in its way"
        if fault.clause in ("CLOSE-2", "CLOSE-3"):
            self._result.close = fault.verdict
