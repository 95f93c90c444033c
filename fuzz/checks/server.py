"""The real server, on a simulated host and under the mock clock, with clients that the fuzzer steers.

Several clients in turn send in pieces, half-close, vanish, stop reading; accepting fails, sends are
cut short, time passes, the server is stopped, replaced or cancelled. Each client gets what the oracle
says it is owed, whatever the others do; nothing is left behind; a session's failure is reported once;
the server counts the bytes that its clients sent and received, and no count goes down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio.core.session import First, Oversize
from caas_trio.drivers.choice import DriverName
from caas_trio.testing import Network
from caas_trio.testing.scheduling import seed_scheduler
from fuzz.script import CUT, header, steps, tokens

from .conversation import Plan
from .failing_service import expected_reply, failing_upper
from .kernel import FaultyHost, Kernel
from .origins import HOSTS, PROXIED
from .playing import Player, play_alone
from .running import HIGH_LIMIT, WAYS, Kind, Servers, ServersHost, Serves, open_servers
from .server_runner import CLIENTS, KNOWN, ServerScriptRunner

MODULES: Final = (
    "caas_trio.server.accepting",
    "caas_trio.server.admission",
    "caas_trio.drivers.drain",
    "caas_trio.drivers.hub",
    "caas_trio.drivers.hubchannel",
    "caas_trio.drivers.inlineturn",
    "caas_trio.server.served",
    "caas_trio.server.kinds",
    "caas_trio.drivers.requesthandler",
    "caas_trio.server.server",
    "caas_trio.drivers.stream",
)

TOKENS: Final = (*tokens(KNOWN), b"!", b"!\n")

_FIRST: Final = tuple(First)
_END_TIMEOUT_S: Final = 1000  # of the mock clock, within which a server that is stopped has to end


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    play_alone(open_player, data)


@asynccontextmanager
async def open_player() -> AsyncIterator[Player]:
    """Yield the function that plays a script."""
    host = Network(traced=False).add_host("server", ServersHost)
    async with open_servers(host) as servers:
        yield partial(play, servers, host)


async def play(servers: Servers, host: FaultyHost, data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps.

    Raises:
        AssertionError: a promise was broken.
        Exception: whatever else escaped from the server.
    """
    modes, limit, settings, kinds = header(data)
    plan = Plan.of(bytes([modes, limit % 23 + 1]), _FIRST[settings % 3])
    max_sent = (0, 1, 7, 0)[kinds & 3]
    kind, by_address = _kind(settings >> 5, tells=modes > 127, proxied=bool(kinds & 8))
    if kind.serves is not Serves.SESSIONS:
        plan.suit_handlers()  # the terminator's bit chooses how they read
    if limit & 128 or kind.serves is not Serves.SESSIONS:
        plan.limit = HIGH_LIMIT
        max_sent *= 100
    if modes & 16:
        plan.heard, plan.service, plan.answer = None, failing_upper, partial(expected_reply, plan)
    turns = kinds >> 4 & 7
    kernel = Kernel(small_buffers=bool(kinds & 4), max_sent=max_sent)
    known = PROXIED if kind.proxied else HOSTS if by_address else ()
    hosts = [known[(turns + place) % len(known)] for place in range(len(CLIENTS) + 1) if known]
    kernel.hosts = () if kind.proxied else tuple(hosts)
    host.kernel = kernel
    server = await servers.get(kind)
    server.plan = plan
    rejecting = plan.once or plan.oversize is Oversize.REJECT
    server.way = (modes >> 6) if rejecting else (modes >> 6) % (len(WAYS) - 1)
    server.reports.begin()
    # The order of tasks is the input's too, or a race would be found once and never again.
    seed_scheduler(kinds)
    before = _tasks()
    runner = ServerScriptRunner(server, plan, kernel, turns, hosts)
    try:
        await runner.admit(0)
        for chunk, sign in steps(data, plan.limit, KNOWN):
            runner.current.send(chunk)
            if sign != CUT:
                await runner.act(sign)
        await runner.finish(at_once=kinds < 128)
        traffic = runner.traffic()
    finally:
        for client in runner.clients.values():
            client.leave()
    if server.failure is not None and not runner.cut_off:
        raise server.failure
    if runner.ending:
        with trio.fail_after(_END_TIMEOUT_S):
            await server.over.wait()
    elif _tasks() != before:
        await wait_all_tasks_blocked()
        assert _tasks() == before, "a task is left behind"
    assert all(sock.fileno() < 0 for sock in kernel.accepted), "a socket is left open"
    assert server.reports.open == 0, "the end of a connection was not reported, or more than once"
    server.reports.compare(traffic)


def _tasks() -> int:
    """Return how many tasks there are."""
    return trio.lowlevel.current_statistics().tasks_living


def _kind(choice: int, *, tells: bool, proxied: bool) -> tuple[Kind, bool]:
    """Return the kind of server that a header asks for, and whether its clients have IP addresses."""
    other, handlers = choice & 1, choice >> 2
    driver: DriverName = "stream" if choice & 2 else "hub"
    if handlers:
        return Kind(driver, Serves.REQUESTS) if other else Kind(
            driver, Serves.HANDLERS, replaced=tells
        ), False
    return Kind(driver, Serves.SESSIONS, tells, bool(other) and proxied), bool(other)
