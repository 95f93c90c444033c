"""Runs the selected cases: the sanity cases first, then the others side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.printable import printable

from . import datagram
from .case import Case, Result, Verdict
from .clauses import clauses_of
from .diagnosis import diagnose
from .engine import Bounds, run_case
from .families import CASES, cases_of
from .liveness import Liveness
from .profile import Profile
from .wire import CONNECTORS, why

DEFAULT_TIMEOUT_S: Final = 3.0
DEFAULT_JOBS: Final = 8
INTERRUPTED: Final = "the run was interrupted"

_NO_LIMIT: Final = contextlib.nullcontext()

Observer: TypeAlias = Callable[[Result], None]


class UnreachableError(Exception):
    """No server answers at the endpoint; nothing can be judged."""


def select(
    prefixes: Iterable[str] = (), ids: Iterable[str] = (), cases: Sequence[Case] = CASES
) -> list[Case]:
    """Return those of some cases whose id begins with one of `prefixes` or is one of `ids`.

    All of them if both are empty.
    """
    wanted, exact = tuple(prefixes), set(ids)
    if not wanted and not exact:
        return list(cases)
    return [case for case in cases if case.id in exact or (wanted and case.id.startswith(wanted))]


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run.

    Attributes:
        endpoint: the server.
        profile: what it was declared to be.
        results: one for each case, in the order in which they were given.
        interrupted: whether the run was ended from outside before all was judged.
    """

    endpoint: Endpoint
    profile: Profile
    results: Sequence[Result]
    interrupted: bool = False

    def count(self, verdict: Verdict) -> int:
        """Return how many cases came to a verdict."""
        return sum(result.verdict is verdict for result in self.results)

    def conforms(self, *, strict: bool = False) -> bool:
        """Return whether the run was complete and every MUST passed; with `strict`, every SHOULD as well."""
        bad = (Verdict.FAILED, Verdict.NON_STRICT) if strict else (Verdict.FAILED,)
        return not self.interrupted and not any(result.verdict in bad for result in self.results)

    def judges_any(self, cases: Iterable[Case]) -> bool:
        """Return whether at least one of some cases was judged."""
        asked = {case.id for case in cases}
        return any(
            result.verdict is not Verdict.NOT_JUDGED for result in self.results if result.case.id in asked
        )

    @property
    def words(self) -> str:
        """The verdict in words, as they stand behind the endpoint."""
        if any(result.verdict is Verdict.FAILED for result in self.results):
            return "does not conform"
        return "is judged in part" if self.interrupted else "conforms"

    def clauses(self) -> dict[str, Verdict]:
        """Return the verdict on each clause: the worst of any case."""
        grades: dict[str, list[Verdict]] = {clause.id: [] for clause in clauses_of(self.profile)}
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
        timeout_s: float,
        *,
        bounds: Bounds,
        observer: Observer,
    ) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._cases = cases
        self._timeout_s = timeout_s
        self._bounds = bounds
        self._observer = observer
        self._liveness = Liveness(endpoint, profile, timeout_s)
        self._results: dict[str, Result] = {}
        #: Why the cases after a case are not judged: it did not pass, or one that it is itself after.
        self._causes: dict[str, str] = {}
        self._done = {case.id: trio.Event() for case in cases}
        self._scope = trio.CancelScope()
        #: Why the cases without a result are not judged once the run is over.
        self._ended = INTERRUPTED

    def _keep(self, result: Result) -> None:
        case = result.case
        self._results[case.id] = result
        # One that was merely too slow says nothing about those after it.
        if result.faults and result.answer is not Verdict.PASSED:
            self._causes[case.id] = f"{case.id} failed"
        self._done[case.id].set()
        self._observer(result)

    def _skip(self, case: Case, reason: str) -> None:
        self._keep(Result(case, answer=Verdict.NOT_JUDGED, reason=reason))

    @property
    def _left(self) -> list[Case]:
        return [case for case in self._cases if case.id not in self._results]

    async def run(self, jobs: int, scope: trio.CancelScope) -> Report:
        """Run the cases, or those until `scope` is cancelled, and return the report.

        Raises:
            UnreachableError: nobody answers at the endpoint.
        """
        with scope, self._scope:
            await check_reachable(self._endpoint, self._timeout_s, self._profile)
            await self._run_all(jobs)
        interrupted = bool(self._left) and self._ended is INTERRUPTED
        for case in self._left:
            self._skip(case, self._ended)
        results = [self._results[case.id] for case in self._cases]
        return Report(self._endpoint, self._profile, results, interrupted=interrupted)

    async def _run_all(self, jobs: int) -> None:
        for case in self._cases:
            if reason := case.unfit(self._profile):
                self._skip(case, reason)
        if not await self._passes_sanity():
            return
        limiter = trio.CapacityLimiter(jobs)
        for group in _groups(self._left):
            async with trio.open_nursery() as nursery:
                for case in group:
                    nursery.start_soon(self._run_one, case, limiter)

    async def _passes_sanity(self) -> bool:
        """Run the sanity cases up to the first that fails; return whether none did."""
        for case in [case for case in self._left if case.sanity]:
            result = await run_case(case, self._endpoint, self._profile, self._timeout_s)
            if result.faults:
                result.hint = await diagnose(result, self._endpoint, self._profile, self._timeout_s)
            self._keep(result)
            if result.verdict is not Verdict.PASSED:
                self._ended = f"the sanity case {case.id} failed"
                return False
            if case.name == "hello":
                reply_s = max(self._bounds.reply_s, result.seconds)
                self._bounds = replace(self._bounds, reply_s=reply_s)
        return True

    async def _run_one(self, case: Case, limiter: trio.CapacityLimiter) -> None:
        for before in case.after:
            if before in self._done:
                await self._done[before].wait()
                if cause := self._causes.get(before):
                    self._causes[case.id] = cause
                    self._skip(case, cause)
                    return
        async with (
            _NO_LIMIT if case.idle and limiter.total_tokens > 1 else limiter,
            self._liveness.running(case),
        ):
            result = await run_case(case, self._endpoint, self._profile, self._timeout_s, self._bounds)
            if result.faults and (last := await self._liveness.doubt(result)):
                self._ended = f"the server serves no client since {last.case.id}"
                self._keep(last)
                self._scope.cancel()
            else:
                self._keep(result)


def _groups(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases that may run side by side: the light ones, the heavy ones, each that runs alone."""
    together = [case for case in cases if not case.alone]
    yield [case for case in together if case.effort <= 1]
    yield [case for case in together if case.effort > 1]
    for case in cases:
        if case.alone:
            yield [case]


async def check_reachable(endpoint: Endpoint, seconds: float, profile: Profile = Profile()) -> None:  # noqa: B008 - immutable
    """Return if a server accepts connections at the endpoint, or, for datagrams, if no error says otherwise.

    Raises:
        UnreachableError: no server does.
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
        asked = " to the TLS handshake" if endpoint.scheme is Scheme.TLS else ""
        reason = f"no answer{asked} in {seconds:g} seconds"
        raise UnreachableError(f"{printable(str(endpoint))} cannot be reached: {reason}") from None


async def judge(
    endpoint: Endpoint,
    profile: Profile,
    cases: Sequence[Case] | None = None,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    jobs: int = DEFAULT_JOBS,
    bounds: Bounds = Bounds(),  # noqa: B008 - immutable
    observer: Observer = lambda _: None,
    scope: trio.CancelScope | None = None,
) -> Report:
    """Judge the server at an endpoint.

    The sanity cases run as well, whichever cases are given; if one fails, no other is judged. If the
    server is gone after some case, that is a fault of LOAD-6, and the remaining cases are not judged.

    Args:
        endpoint: where the server is; its scheme has to be one of those that `wire` and `datagram` know.
        profile: what the server is declared to be.
        cases: the cases to run; all that there are for the profile by default.
        timeout_s: seconds of silence after which what is due counts as missing, in a usual case.
        jobs: how many cases run side by side.
        bounds: what ends a case whose server is slow and never silent; its pace is seen in the sanity cases.
        observer: gets each result once it is there.
        scope: a scope that is not entered yet; cancelling it ends the run early.

    Returns:
        The report, with a result for each case; those that the run did not reach are not judged.

    Raises:
        UnreachableError: nobody answers at the endpoint.
    """
    there = cases_of(profile)
    cases = there if cases is None else cases
    sanity = [case for case in there if case.sanity and case not in cases]
    runner = _Runner(endpoint, profile, [*sanity, *cases], timeout_s, bounds=bounds, observer=observer)
    return await runner.run(jobs, scope or trio.CancelScope())
