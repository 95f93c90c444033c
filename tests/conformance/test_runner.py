"""The runner: selection, sanity first, what waits for what, and the report."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
import trio

from caas_trio.conformance import (
    CASES,
    Case,
    Fault,
    First,
    Oversize,
    Profile,
    Proxy,
    Report,
    Result,
    Service,
    UnreachableError,
    Verdict,
    judge,
    select,
)
from caas_trio.conformance.dialects.dialect import Greeting, Reply
from caas_trio.conformance.dialects.parsing import load
from caas_trio.conformance.engine import Bounds
from caas_trio.conformance.profile import Need
from caas_trio.conformance.script import Connect, Expect, Pause, Send, Step
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.terminator import Terminator

from .conftest import StartRight, scripted


def test_all_cases_are_selected_by_default() -> None:
    assert select() == list(CASES)


def test_selection_by_prefix_and_by_id() -> None:
    assert {case.clause for case in select(["LIMIT-", "SAY"])} == {
        "SAY-1",
        *(f"LIMIT-{n}" for n in range(1, 12)),
    }
    assert [case.id for case in select(ids=["FRAME-2.crlf/whole"])] == ["FRAME-2.crlf/whole"]
    assert len(select(["SAY"], ["FRAME-2.crlf/whole"])) == 3
    assert select(["NOTHING"]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "endpoint", "prefixes"),
    [
        (Profile(max_line=100, oversize=Oversize.STREAM), "tcp://127.0.0.1:0", ()),
        (
            Profile(first=First.SERVER, max_line=100, oversize=Oversize.DISCARD),
            "tcp://127.0.0.1:0",
            ("ORDER", "LIMIT"),
        ),
        (
            Profile(first=First.EITHER, max_line=100, oversize=Oversize.REJECT),
            "tcp://127.0.0.1:0",
            ("ORDER", "CLOSE"),
        ),
        (Profile(once=True), "tcp://127.0.0.1:0", ("ORDER", "CLOSE", "LOAD")),
        (Profile(proxy=Proxy.V1), "tcp://127.0.0.1:0", ("PROXY",)),
        (Profile(proxy=Proxy.V2, first=First.SERVER), "tcp://127.0.0.1:0", ("PROXY", "ORDER")),
        (Profile(proxy=Proxy.V2, first=First.EITHER), "tcp://127.0.0.1:0", ("PROXY-1", "PROXY-2")),
        (Profile(service=Service.ECHO_BYTES), "tcp://127.0.0.1:0", ()),
        (Profile(datagrams=True), "udp://127.0.0.1:0", ()),
    ],
    ids=[
        "client-stream",
        "server-discard",
        "either-reject",
        "once",
        "proxy-v1",
        "proxy-v2",
        "proxy-either",
        "echo-bytes",
        "datagrams",
    ],
)
async def test_the_right_server_passes_everything(
    right: StartRight, profile: Profile, endpoint: str, prefixes: tuple[str, ...]
) -> None:
    """Slow: cases of silence last up to 2.6 seconds, and there are hundreds of others."""
    where = right(
        endpoint,
        service=profile.service.value,
        first=profile.first.value,
        max_line=profile.max_line or 1 << 16,
        oversize=(profile.oversize or Oversize.STREAM).value,
        once=profile.once,
        proxy=profile.proxy.value if profile.proxy else "",
    )
    cases = [case for case in select(prefixes) if case.effort == 1]
    report = await judge(where, profile, cases, jobs=16)
    assert [fault for result in report.results for fault in result.faults] == []
    assert report.conforms(strict=True)
    for result in report.results:
        unfit = result.case.unfit(profile)
        assert (result.verdict, result.reason) == (
            (Verdict.NOT_JUDGED, unfit) if unfit else (Verdict.PASSED, "")
        )


async def test_the_sanity_cases_run_whatever_is_selected(right: StartRight) -> None:
    report = await judge(right(), Profile(), select(ids=["FRAME-2.crlf/whole"]))
    assert [result.case.id for result in report.results if result.verdict is Verdict.PASSED] == [
        "ORDER-1.silent/whole",
        "SERVE-1.hello/whole",
        "FRAME-2.hello/whole",
        "CLOSE-4.second-line/whole",
        "FRAME-2.crlf/whole",
    ]


async def test_nothing_is_judged_if_a_sanity_case_fails() -> None:
    async def silent(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    seen: list[Result] = []
    async with scripted(silent) as endpoint:
        report = await judge(endpoint, Profile(), timeout_s=0.3, observer=seen.append)
    assert sorted(result.case.id for result in seen) == sorted(case.id for case in CASES)
    failed = [result for result in report.results if result.faults]
    assert [result.case.id for result in failed] == ["SERVE-1.hello/whole"]
    judged = [result.case.id for result in report.results if result.verdict is Verdict.PASSED]
    assert judged == ["ORDER-1.silent/whole"]
    crlf = next(result for result in report.results if result.case.id == "FRAME-2.crlf/whole")
    assert (crlf.verdict, crlf.reason) == (Verdict.NOT_JUDGED, "the sanity case SERVE-1.hello/whole failed")


async def test_no_server_answers() -> None:
    async with scripted(lambda stream: stream.aclose()) as endpoint:
        pass
    with pytest.raises(UnreachableError, match="cannot be reached: Connection refused"):
        await judge(endpoint, Profile())
    with pytest.raises(UnreachableError, match=r"no\.such\.host\.invalid"):
        await judge(Endpoint.parse("tcp://no.such.host.invalid:1"), Profile())


async def test_a_peer_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint.parse(f"tls://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnreachableError, match=r"no answer to the TLS handshake in 0\.2 seconds"):
            await judge(endpoint, Profile(), timeout_s=0.2)


def says(wanted: bytes) -> Iterable[Step]:
    return Connect(), Send(b"hello\n"), Expect((wanted,))


def of(report: Report, cases: Sequence[Case]) -> list[tuple[str, Verdict, str]]:
    """Return the name, the verdict and the reason of each of some cases."""
    return [
        (result.case.name, result.verdict, result.reason) for result in report.results if result.case in cases
    ]


async def test_a_case_after_a_failed_prerequisite_is_not_judged(right: StartRight) -> None:
    """It waits for the one before, even where that one comes later in the table, and passes the reason on."""
    cases = (
        Case("FRAME-1", "third", lambda _: says(b"HELLO\n"), after=("FRAME-1.second/whole",)),
        Case("FRAME-1", "second", lambda _: says(b"HELLO\n"), after=("FRAME-1.first/whole",)),
        Case("FRAME-1", "first", lambda _: says(b"WRONG\n")),
        Case(
            "FRAME-1",
            "free",
            lambda _: says(b"HELLO\n"),
            after=("FRAME-1.unfit/whole", "FRAME-1.not-there/whole"),
        ),
        Case("FRAME-1", "unfit", lambda _: says(b"HELLO\n"), needs=(Need.SERVER_FIRST,)),
        Case("FRAME-1", "alone", lambda _: says(b"HELLO\n"), alone=True),
    )
    report = await judge(right(), Profile(), cases, jobs=1)
    assert of(report, cases) == [
        ("third", Verdict.NOT_JUDGED, "FRAME-1.first/whole failed"),
        ("second", Verdict.NOT_JUDGED, "FRAME-1.first/whole failed"),
        ("first", Verdict.FAILED, ""),
        ("free", Verdict.PASSED, ""),
        ("unfit", Verdict.NOT_JUDGED, Need.SERVER_FIRST.value),
        ("alone", Verdict.PASSED, ""),
    ]


@pytest.mark.parametrize(("jobs", "limit"), [(1, 1), (2, 4)])
async def test_idle_cases_do_not_occupy_jobs_unless_there_is_one_job(jobs: int, limit: int) -> None:
    """Each client is answered once as many are there as may be."""
    present = 0
    all_there = trio.Event()
    seen = []

    async def waiting(stream: trio.SocketStream) -> None:
        nonlocal present
        async for data in stream:
            if data == b"wait\n":
                present += 1
                seen.append(present)
                if present == limit:
                    all_there.set()
                await all_there.wait()
                present -= 1
            await stream.send_all(data.upper())

    idle = [
        Case(
            "FRAME-1",
            f"idle-{number}",
            lambda _: (Connect(), Send(b"wait\n"), Expect((b"WAIT\n",))),
            idle=True,
        )
        for number in range(4)
    ]
    async with scripted(waiting) as endpoint:
        report = await judge(endpoint, Profile(), idle, jobs=jobs)
    assert [verdict for _, verdict, _ in of(report, idle)] == [Verdict.PASSED] * 4
    assert max(seen) == limit


async def test_a_case_after_one_that_was_too_slow_is_judged() -> None:
    """Slow: the server takes longer than a case may."""
    slow = Case("FRAME-1", "slow", lambda _: (Connect(), Send(b"drip\n"), Expect((b"D" * 10_000,))))
    next_one = Case("FRAME-1", "next", lambda _: says(b"HELLO\n"), after=("FRAME-1.slow/whole",))

    async def dripping(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data.upper() if data != b"drip\n" else b"D")
            while data == b"drip\n":
                await trio.sleep(0.05)
                await stream.send_all(b"D")

    async with scripted(dripping) as endpoint:
        report = await judge(endpoint, Profile(), [slow, next_one], timeout_s=0.2)
    reason = report.results[-2].reason
    assert reason.startswith("the server is too slow for it, which had ")
    assert of(report, [slow, next_one]) == [
        ("slow", Verdict.NOT_JUDGED, reason),
        ("next", Verdict.PASSED, ""),
    ]
    assert report.conforms()


async def test_a_slow_server_gets_the_time_that_its_sanity_cases_show_it_to_need() -> None:
    """Slow: so is the server."""

    async def slowly(stream: trio.SocketStream) -> None:
        async for data in stream:
            for line in data.splitlines(keepends=True):
                await trio.sleep(0.1)
                await stream.send_all(line.upper())

    ten_lines = Case("FRAME-1", "ten-lines", lambda _: (Connect(), Send(b"x\n" * 10), Expect((b"X\n" * 10,))))
    async with scripted(slowly) as endpoint:
        bounds = Bounds(waits=1, own_s=0)
        report = await judge(endpoint, Profile(), [ten_lines], timeout_s=0.5, bounds=bounds)
    assert of(report, [ten_lines]) == [("ten-lines", Verdict.PASSED, "")]


async def test_a_cancelled_run_reports_what_was_judged_by_then(right: StartRight) -> None:
    scope = trio.CancelScope()
    for_ever = Case("FRAME-1", "for-ever", lambda _: (Connect(), Pause(1000)))

    def observe(result: Result) -> None:
        if result.case.name == "second-line":  # the last of the sanity cases
            trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)

    report = await judge(right(), Profile(), [for_ever], observer=observe, scope=scope)
    assert of(report, [for_ever]) == [("for-ever", Verdict.NOT_JUDGED, "the run was interrupted")]
    assert (report.interrupted, report.conforms(), report.words) == (True, False, "is judged in part")
    assert report.count(Verdict.PASSED) == 4


async def test_a_run_cancelled_before_it_begins_judges_nothing(right: StartRight) -> None:
    scope = trio.CancelScope()
    scope.cancel()
    report = await judge(right(), Profile(), scope=scope)
    assert {result.reason for result in report.results} == {"the run was interrupted"}


def test_a_result_starts_out_failed() -> None:
    assert Result(CASES[0]).verdict is Verdict.FAILED


def test_the_verdict_on_a_clause_is_the_worst_on_it() -> None:
    def result(clause: str, answer: Verdict, *faults: Fault, close: Verdict = Verdict.NOT_JUDGED) -> Result:
        return Result(Case(clause, "test", lambda _: ()), answer, close, list(faults))

    report = Report(
        Endpoint.parse("tcp://127.0.0.1:1"),
        Profile(),
        [
            result("FRAME-1", Verdict.PASSED),
            result("FRAME-1", Verdict.NOT_JUDGED, Fault("TIME-1", "late")),
            result("FRAME-2", Verdict.PASSED, Fault("CLOSE-2", "reset"), close=Verdict.FAILED),
            result("FRAME-3", Verdict.PASSED, close=Verdict.PASSED),
            result("FLOW-3", Verdict.NON_STRICT, Fault("FLOW-3", "reads on")),
            result("FRAME-4", Verdict.FAILED, Fault("FRAME-4", "lost")),
        ],
    )
    clauses = report.clauses()
    assert {clause: verdict for clause, verdict in clauses.items() if verdict is not Verdict.NOT_JUDGED} == {
        "FRAME-1": Verdict.PASSED,
        "FRAME-2": Verdict.PASSED,
        "FRAME-3": Verdict.PASSED,
        "FRAME-4": Verdict.FAILED,
        "CLOSE-2": Verdict.FAILED,
        "CLOSE-3": Verdict.PASSED,
        "FLOW-3": Verdict.NON_STRICT,
        "TIME-1": Verdict.FAILED,
    }
    assert report.count(Verdict.FAILED) == 3
    assert not report.conforms()


def test_a_missed_should_counts_only_when_strict() -> None:
    case = Case("FLOW-3", "test", lambda _: ())
    result = Result(case, Verdict.NON_STRICT, faults=[Fault("FLOW-3", "reads on")])
    report = Report(Endpoint.parse("tcp://127.0.0.1:1"), Profile(), [result])
    assert report.conforms()
    assert not report.conforms(strict=True)


def test_every_need_is_met_by_some_profile_and_missed_by_another() -> None:
    profiles = [
        Profile(first=first, max_line=limit, oversize=oversize, once=once, proxy=proxy, datagrams=datagrams)
        for first, limit, oversize, once, proxy, datagrams in itertools.product(
            First, [None, 100], [None, *Oversize], [True, False], [None, *Proxy], [True, False]
        )
    ] + [Profile(service=Service.ECHO_BYTES)]
    memcached = replace(load("memcached"), idle_s=1.0, line_s=1.0)
    smtp = replace(load("smtp"), greeting=Greeting(Reply(), early=True))
    profiles += [Profile(dialect=memcached), Profile(dialect=smtp)]
    strict = Profile(terminator=Terminator.CRLF)
    of_lines = (Need.LF_LINES, Need.CRLF_LINES)  # a strict server meets no other need
    for need in Need:
        case = Case("FRAME-1", "test", lambda _: (), needs=(need,))
        met = {case.unfit(profile) for profile in [*profiles, *([strict] if need in of_lines else [])]}
        assert met == {None, need.value}
