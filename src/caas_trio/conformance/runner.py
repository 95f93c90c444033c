"""Runs the selected cases: the sanity cases first, then the others side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.printable import printable

from . import datagram
from .case import Case, Result, Verdict
from .clauses import CLAUSES
from .engine import run_case
from .families import CASES
from .profile import Profile
from .wire import CONNECTORS, why

DEFAULT_PATIENCE: Final = 3.0
DEFAULT_JOBS: Final = 8

Observer: TypeAlias = Callable[[Result], None]


class UnreachableError(Exception):
    """Nobody answers at the endpoint; nothing can be judged."""


def select(prefixes: Iterable[str] = (), ids: Iterable[str] = ()) -> list[Case]:
    """Return the cases whose id begins with one of `prefixes` or is one of `ids`; all if both are empty."""
    wanted, exact = tuple(prefixes), set(ids)
    if not wanted and not exact:
        return list(CASES)
    return [case for case in CASES if case.id in exact or (wanted and case.id.startswith(wanted))]


@dataclass(frozen=True, slots=True)
class Report:
    """What came out of a run.

    Attributes:
        endpoint: the server.
        profile: what it was declared to be.
        results: one for each case, in the order of the specification.
    """

    endpoint: Endpoint
    profile: Profile
    results: Sequence[Result]

    def count(self, verdict: Verdict) -> int:
        """Return how many cases came to a verdict."""
        return sum(result.verdict is verdict for result in self.results)

    def conforms(self, *, strict: bool = False) -> bool:
        """Return whether every MUST passed, or with `strict` every SHOULD as well."""
        bad = (Verdict.FAILED, Verdict.NON_STRICT) if strict else (Verdict.FAILED,)
        return not any(result.verdict in bad for result in self.results)

    def clauses(self) -> dict[str, Verdict]:
        """Return the verdict on each clause: the worst that any case had to say about it."""
        grades: dict[str, list[Verdict]] = {clause: [] for clause in CLAUSES}
        for result in self.results:
            for fault in result.faults:
                grades[fault.clause].append(fault.verdict)
            if result.close is Verdict.PASSED:
                grades["CLOSE-2"].append(Verdict.PASSED)
                grades["CLOSE-3"].append(Verdict.PASSED)
            grades[result.case.clause].append(result.answer)
        worst_first = (Verdict.FAILED, Verdict.NON_STRICT, Verdict.PASSED, Verdict.NOT_JUDGED)
        return {
            clause: next((verdict for verdict in worst_first if verdict in seen), Verdict.NOT_JUDGED)
            for clause, seen in grades.items()
        }


class _Runner:
    """One run over a selection of cases."""

    def __init__(
        self,
        endpoint: Endpoint,
        profile: Profile,
        cases: Sequence[Case],
        patience: float,
        observer: Observer,
    ) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._patience = patience
        self._observer = observer
        self._results: dict[str, Result] = {}
        #: Why the cases after a case are not judged: it failed, or one that it is itself after.
        self._causes: dict[str, str] = {}
        self._done = {case.id: trio.Event() for case in cases}

    def _keep(self, result: Result) -> None:
        self._results[result.case.id] = result
        if result.faults and result.answer is not Verdict.PASSED:
            self._causes[result.case.id] = f"{result.case.id} failed"
        self._done[result.case.id].set()
        self._observer(result)

    async def run(self, cases: Sequence[Case], jobs: int) -> list[Result]:
        """Run the cases and return their results in the order given."""
        for case in cases:
            if reason := case.unfit(self._profile):
                self._keep(Result(case, answer=Verdict.NOT_JUDGED, reason=reason))
        waiting = [case for case in cases if case.id not in self._results]
        failed = await self._run_sanity(waiting)
        if failed is not None:
            for case in waiting:
                if case.id not in self._results:
                    reason = f"the sanity case {failed.case.id} failed"
                    self._keep(Result(case, answer=Verdict.NOT_JUDGED, reason=reason))
        waiting = [case for case in waiting if case.id not in self._results]
        limiter = trio.CapacityLimiter(jobs)
        for group in _groups(waiting):
            async with trio.open_nursery() as nursery:
                for case in group:
                    nursery.start_soon(self._run_one, case, limiter)
        return [self._results[case.id] for case in cases]

    async def _run_sanity(self, cases: Sequence[Case]) -> Result | None:
        """Run the sanity cases; return the first one that fails, None if all pass."""
        for case in cases:
            if case.sanity:
                result = await run_case(case, self._endpoint, self._profile, self._patience)
                self._keep(result)
                if result.verdict is not Verdict.PASSED:
                    return result
        return None

    async def _run_one(self, case: Case, limiter: trio.CapacityLimiter) -> None:
        for before in case.after:
            if before in self._done:
                await self._done[before].wait()
                if cause := self._causes.get(before):
                    self._causes[case.id] = cause
                    self._keep(Result(case, answer=Verdict.NOT_JUDGED, reason=cause))
                    return
        async with limiter:
            self._keep(await run_case(case, self._endpoint, self._profile, self._patience))


def _groups(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases that may run side by side: the light ones, the heavy ones, each that runs alone."""
    together = [case for case in cases if not case.alone]
    yield [case for case in together if case.effort <= 1]
    yield [case for case in together if case.effort > 1]
    for case in cases:
        if case.alone:
            yield [case]


async def check_reachable(endpoint: Endpoint, seconds: float, profile: Profile = Profile()) -> None:  # noqa: B008 - immutable
    """Return if somebody takes connections at the endpoint, or nothing speaks against it for datagrams.

    Raises:
        UnreachableError: nobody does.
    """
    try:
        with trio.fail_after(seconds):
            if endpoint.scheme in datagram.SCHEMES:
                await datagram.probe(endpoint)
            else:
                await trio.aclose_forcefully(await CONNECTORS[endpoint.scheme](endpoint, profile))
    except OSError as error:
        raise UnreachableError(f"{printable(str(endpoint))} cannot be reached: {why(error)}") from None
    except trio.TooSlowError:
        reason = f"no answer in {seconds:g} seconds"
        raise UnreachableError(f"{printable(str(endpoint))} cannot be reached: {reason}") from None


async def judge(
    endpoint: Endpoint,
    profile: Profile,
    cases: Sequence[Case] = CASES,
    *,
    patience: float = DEFAULT_PATIENCE,
    jobs: int = DEFAULT_JOBS,
    observer: Observer = lambda _: None,
) -> Report:
    """Judge the server at an endpoint.

    The sanity cases run as well, whichever cases are given; if one fails, no other is judged.

    Args:
        endpoint: where the server is; its scheme has to be one of those that `wire` and `datagram` know.
        profile: what the server is declared to be.
        cases: the cases to run.
        patience: seconds of silence after which what is due counts as missing, in a usual case.
        jobs: how many cases run side by side.
        observer: gets each result once it is there.

    Returns:
        The report, with a result for each case.

    Raises:
        UnreachableError: nobody answers at the endpoint.
    """
    await check_reachable(endpoint, patience, profile)
    chosen = {case.id for case in cases}
    ordered = [case for case in CASES if case.sanity or case.id in chosen]
    runner = _Runner(endpoint, profile, ordered, patience, observer)
    return Report(endpoint, profile, await runner.run(ordered, jobs))
