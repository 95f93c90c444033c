"""Right servers of kinds that are not ours, and the cases that have accused them."""

from __future__ import annotations

import socket
import struct

import trio

from caas_trio.conformance import CASES, Case, Profile, Result, Verdict
from caas_trio.conformance.engine import run_case

from .conftest import Handler, scripted


def case(case_id: str) -> Case:
    return next(case for case in CASES if case.id == case_id)


async def judged(handler: Handler, case_id: str, seconds: float = 3.0) -> Result:
    """Return what becomes of a case of the suite at a server."""
    async with scripted(handler) as endpoint:
        return await run_case(case(case_id), endpoint, Profile(), seconds)


async def test_a_server_may_drop_a_client_that_does_not_read() -> None:
    async def with_a_write_timeout(stream: trio.SocketStream) -> None:
        async for data in stream:
            with trio.move_on_after(0.2) as scope:
                await stream.send_all(data.upper())
            if scope.cancelled_caught:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return

    result = await judged(with_a_write_timeout, "FLOW-3.64MiB/whole")
    assert (result.verdict, result.faults) == (Verdict.PASSED, [])
    [sent] = [entry.size for entry in result.log.entries if entry.data]
    assert 0 < sent < 64 << 20


async def test_bytes_in_a_proxys_buffers_do_not_count_as_read() -> None:
    """As haproxy's two, where the kernel gives a connection 32 MiB: they take 64 MiB and more.

    Slow: so much has to be sent.
    """

    async def buffering(stream: trio.SocketStream) -> None:
        left = 100 << 20
        async for data in stream:
            left -= len(data)
            if left < 0:
                await trio.sleep_forever()

    result = await judged(buffering, "FLOW-3.64MiB/whole")
    assert (result.verdict, result.faults) == (Verdict.PASSED, [])


async def test_clients_in_turn_are_there_one_at_a_time() -> None:
    there = peak = 0

    async def counting(stream: trio.SocketStream) -> None:
        nonlocal there, peak
        there += 1
        peak = max(peak, there)
        async for data in stream:
            await stream.send_all(data.upper())
        there -= 1

    result = await judged(counting, "LOAD-6.hundred-in-turn/whole")
    assert result.verdict is Verdict.PASSED
    assert peak < 10  # a server may not have seen the last ones leave yet
