"""A server that dies half-way gets one verdict, and one that is merely busy keeps its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from functools import partial

import trio

from caas_trio.conformance import Case, Profile, Report, Result, Verdict, judge
from caas_trio.conformance.profile import Need
from caas_trio.conformance.reports import text
from caas_trio.conformance.reports.command import again
from caas_trio.conformance.script import Ask, Connect, Expect, Pause, Send, Silence, Step
from caas_trio.core.endpoint import Endpoint

SHORT = 0.3


@contextlib.asynccontextmanager
async def mortal() -> AsyncIterator[Endpoint]:
    """Serve capitals until a client sends `die`; then serve no client any more."""
    scope = trio.CancelScope()

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in stream:
                if data == b"die\n":
                    scope.cancel()
                await stream.send_all(data.upper())

    async def live(task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        with scope:
            await trio.serve_tcp(serve, 0, host="127.0.0.1", task_status=task_status)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(live)
        yield Endpoint.parse(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}")
        nursery.cancel_scope.cancel()


def says(line: bytes, *more: Step) -> Iterable[Step]:
    return Connect(), *more, Send(line), Expect((line.upper(),))


def named(name: str, *steps: Step) -> Case:
    return Case("FRAME-1", name, lambda _: steps)


def judged(report: Report, cases: Sequence[Case]) -> dict[str, Result]:
    return {result.case.name: result for result in report.results if result.case in cases}


async def test_the_server_is_gone_since_a_case() -> None:
    after = ("FRAME-1.beside/whole",)
    cases = [
        named("fatal", *says(b"die\n")),
        named("beside", *says(b"x\n", Pause(0.1))),
        *(replace(named(f"later-{n}", *says(b"x\n")), after=after) for n in range(5)),
    ]
    async with mortal() as endpoint:
        report = await judge(endpoint, Profile(), cases, timeout_s=SHORT, jobs=2)
    results = judged(report, cases)
    [failed] = [result for result in results.values() if result.faults]
    assert failed.case.name == "fatal"
    assert [(fault.clause, fault.reason) for fault in failed.faults] == [
        (
            "LOAD-6",
            (
                "since this case the server serves no client (no connection: Connection refused); "
                "beside it ran FRAME-1.beside/whole"
            ),
        )
    ]
    assert (failed.verdict, failed.answer) == (Verdict.FAILED, Verdict.NOT_JUDGED)
    reason = "the server serves no client since FRAME-1.fatal/whole"
    assert {r.reason for r in results.values() if r is not failed} == {reason}
    assert again(report, failed).endswith(" --case FRAME-1.fatal/whole --case FRAME-1.beside/whole")
    told = "\n".join(text.lines(report))
    assert told.count("FAILED") == 1
    assert "start the server anew" in told
    assert not report.interrupted


async def test_a_server_that_is_busy_with_another_case_is_not_dead() -> None:
    """It serves one client at a time, so it does not answer beside a client that stays.

    Slow: the doubt lasts for a timeout of the suite.
    """
    turn = trio.Lock()

    async def one_at_a_time(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async with turn:
                async for data in stream:
                    await stream.send_all(data.upper())

    cases = [
        named("wrong", Connect(), Pause(0.2), Send(b"a\n"), Expect((b"B\n",))),
        named("stays", Pause(0.1), Connect(), Silence(2.0)),
        named("ends", Pause(1.2)),
        replace(named("waits", *says(b"x\n")), after=("FRAME-1.ends/whole",)),
    ]
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, one_at_a_time, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        endpoint = Endpoint.parse(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}")
        report = await judge(endpoint, Profile(), cases, timeout_s=SHORT, jobs=3)
        nursery.cancel_scope.cancel()
    results = judged(report, cases)
    assert [fault.reason for fault in results["wrong"].faults] == ["byte 0 of the reply is wrong"]
    assert results["stays"].verdict is Verdict.PASSED
    assert results["waits"].verdict is Verdict.PASSED


async def test_several_failures_of_a_server_that_lives_are_all_kept() -> None:
    """Each is in doubt while a slow restart lasts, and in the end the server is there.

    Slow: so is the restart.
    """
    away = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in stream:
                if data == b"away\n":
                    away.set()
                if away.is_set():
                    await trio.sleep(0.5 * SHORT)
                    return
                await stream.send_all(data.upper())

    async def back(after: float) -> None:
        nonlocal away
        await away.wait()
        await trio.sleep(after)
        away = trio.Event()

    cases = [named(f"away-{n}", *says(b"away\n")) for n in range(3)]
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        nursery.start_soon(back, 2 * SHORT)
        endpoint = Endpoint.parse(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}")
        report = await judge(endpoint, Profile(), cases, timeout_s=SHORT, jobs=3)
        nursery.cancel_scope.cancel()
    assert [result.faults[0].clause for result in judged(report, cases).values()] == ["FRAME-1"] * 3


async def test_a_datagram_server_that_dies() -> None:
    """Slow: a datagram counts as lost only after several tries."""

    async def serve(sock: trio.socket.SocketType) -> None:
        while True:
            data, sender = await sock.recvfrom(65536)
            if data == b"die":
                return
            await sock.sendto(data.upper(), sender)

    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))
        endpoint = Endpoint.parse(f"udp://127.0.0.1:{sock.getsockname()[1]}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, sock)
            needs = (Need.DATAGRAMS,)
            cases = [Case("DGRAM-2", "fatal", lambda _: [Ask(b"die", b"DIE")], needs=needs)]
            report = await judge(endpoint, Profile(datagrams=True), cases, timeout_s=SHORT)
            nursery.cancel_scope.cancel()
    [failed] = judged(report, cases).values()
    assert [fault.clause for fault in failed.faults] == ["DGRAM-1"]
    no_reply = "no reply came to any of 4 datagrams"
    told = f"{no_reply}; since then the server serves no client ({no_reply})"
    assert failed.faults[0].reason == told
    assert failed.beside == ()
