"""Right servers of all dialects pass; of wrong ones, the clause that they break is named, and no other.

Slow: the suite waits for silence again and again, four seconds each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from caas_trio.conformance import First, Profile, Verdict, judge
from caas_trio.conformance.case import Case
from caas_trio.conformance.clauses import CLAUSES, Level
from caas_trio.conformance.dialects.families import CASES
from caas_trio.conformance.dialects.parsing import load
from caas_trio.conformance.reports import text
from ci.conformance.dialects.proof import Trial, chosen, judged, running, trials
from ci.conformance.dialects.protocols import FINGER, MEMCACHED, SMTP
from ci.conformance.dialects.serving import DialectServer
from ci.conformance.dialects.wrong import WRONG

pytestmark = pytest.mark.slow

#: Servers that are judged at a time.
_SIDE_BY_SIDE = 16

RIGHT = [name for name in trials() if name.startswith("right-")]
#: Without the clauses that make a server work for a long while; and without the one that asks all ten times.
LIGHT = [case for case in CASES if case.clause not in ("READ-2", "HARM-3")]
QUICKLY_JUDGED = [case for case in LIGHT if case.clause != "SAME-1"]
#: One for each clause.
WRONG_ONES = [name for name in chosen(["--quick"]) if name not in RIGHT]


def needed(clauses: set[str]) -> list[Case]:
    """Return the cases of some clauses, and those that they wait for."""
    by_id = {case.id: case for case in CASES}
    found = [case for case in CASES if case.sanity or case.clause in clauses]
    for case in found:
        found += [by_id[before] for before in case.after if by_id[before] not in found]
    return [case for case in CASES if case in found]


async def misjudged(names: list[str], cases: Callable[[Trial], list[Case]]) -> dict[str, list[str]]:
    """Judge servers side by side, since they mostly wait; return what was found where that is not due.

    On a busy machine one may miss its time beside the others: it is judged once more, alone.
    """
    found: dict[str, list[str]] = {}
    limiter = trio.CapacityLimiter(_SIDE_BY_SIDE)

    async def judge_one(name: str) -> None:
        trial = trials()[name]
        async with limiter:
            clauses = list(await judged(trial, cases(trial)))
        if clauses == ([trial.breaks] if trial.breaks else []):
            found.pop(name, None)
        else:
            found[name] = clauses

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(judge_one, name)
    for name in list(found):
        await judge_one(name)
    return found


async def test_right_servers_pass() -> None:
    assert await misjudged(RIGHT, lambda trial: LIGHT if trial.protocol is SMTP else QUICKLY_JUDGED) == {}


async def test_wrong_servers_fail_by_their_clauses() -> None:
    assert await misjudged(WRONG_ONES, lambda trial: needed({trial.breaks})) == {}


def test_there_is_a_wrong_server_for_every_clause_but_one() -> None:
    judged_clauses = {case.clause for case in CASES}
    # What makes a client's late reading harmful is a network that drops what is not read: none does.
    assert {wrong.breaks for wrong in WRONG.values()} == judged_clauses - {"READ-1"}
    assert len(WRONG) >= 60
    assert {wrong.protocol for wrong in WRONG.values()} == {SMTP, MEMCACHED, FINGER}


async def test_observations_are_reported_whatever_the_verdict() -> None:
    dialect = load("pop3")
    trial = trials()["right-pop3"]
    with running(trial.server, trial.protocol) as endpoint:
        cases = [case for case in CASES if case.clause in ("TERM-2", "HALF-3")]
        report = await judge(endpoint, Profile(dialect=dialect), cases, timeout_s=2)
    told = [line for line in text.lines(report) if line.startswith("seen")]
    assert told == [
        "seen        TERM-2.bare-lf/whole: a bare LF ends no line",
        "seen        HALF-3.tail/whole: input that ends without a terminator is not answered as a request",
    ]
    verdicts = {result.case.id: result.verdict for result in report.results}
    assert verdicts["TERM-2.bare-lf/whole"] is Verdict.NOT_JUDGED
    assert report.conforms()


async def test_cases_for_dialects_do_not_fit_services() -> None:
    assert {case.unfit(Profile()) for case in CASES} == {"no dialect is declared (--dialect)"}
    assert First(Profile().first) is First.CLIENT


def test_every_case_fits_some_dialect_and_depends_on_an_earlier_one() -> None:
    declared = replace(load("memcached"), idle_s=1.0, line_s=1.0)
    profiles = [
        Profile(dialect=load("smtp")),
        Profile(dialect=declared),
        Profile(dialect=trials()[EARLY].dialect),
    ]
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))
    for case in CASES:
        assert any(case.unfit(profile) is None for profile in profiles), case.id
        assert set(case.after) <= set(ids), case.id
        assert CLAUSES[case.clause].level in Level


EARLY = next(name for name, trial in trials().items() if trial.breaks == "GREET-4")


async def test_a_server_without_a_greeting_is_not_judged_further() -> None:
    trial = Trial("memcached-as-smtp", MEMCACHED, DialectServer, load("smtp"))
    assert list(await judged(trial)) == ["GREET-1"]
