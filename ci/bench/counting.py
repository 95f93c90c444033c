"""The cost of counting, measured finer than with two processes: `python -m ci.bench.counting`.

Two servers in one process, one of them with metrics, have turns of a millisecond. What counts is the CPU
time of a turn, the kernel's work for it included, and the clients' not. So both have the same machine,
neighbours and caches, and what differs is the counting. A round is as good as the best tenth of its
turns, which others have left in peace.
"""

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles

import structlog
import trio

from caas_trio import Endpoint, Limits, LineSession, Oversize, Telemetry, serve_sessions
from caas_trio.core.telemetry import together
from caas_trio.observing.log_telemetry import LogTelemetry
from caas_trio.observing.metrics import PrometheusTelemetry
from ci.bench.server import where

LINE = b"a" * 31 + b"\n"
LONGER = b"a" * 127 + b"\n"
LONG = b"a" * 119_999 + b"\n"
ROUNDS = 9
TURNS = 200  # of each server in a round
AT_A_TIME = 3  # steps of the scheduler between two looks at what has arrived


@dataclass(frozen=True)
class Cost:
    """Nanoseconds of CPU per operation without and with metrics, and the ratio in each round."""

    name: str
    without: float
    counted: float
    ratios: list[float]

    def __str__(self) -> str:
        ends = f"{min(self.ratios):.3f} .. {max(self.ratios):.3f}"
        return f"{self.name:52}{self.without:9,.0f}{self.counted:9,.0f}   {median(self.ratios):.3f}  ({ends})"


def _connected(endpoint: Endpoint) -> socket.socket:
    family, address = where(str(endpoint))
    client = socket.socket(family)
    client.connect(address)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return client


async def _serving(clients: list[socket.socket], expected: int) -> int:
    """Run the server until each client has `expected` bytes, or the end; return the CPU time it took."""
    missing = dict.fromkeys(clients, expected)
    spent = 0
    while missing:
        begun = time.thread_time_ns()
        for _ in range(AT_A_TIME):
            await trio.lowlevel.checkpoint()
        spent += time.thread_time_ns() - begun
        for client in clients:
            try:
                while client in missing:
                    heard = len(client.recv(missing[client]))
                    missing[client] -= heard
                    if not missing[client] or not heard:
                        del missing[client]
            except BlockingIOError:
                continue
    return spent


class Lines:
    """Connections that last; a turn is a number of lines on each."""

    def __init__(self, opened: ExitStack, connections: int, depth: int, line: bytes = LINE) -> None:
        self.operations = connections * depth
        self._opened = opened
        self._connections = connections
        self._data = line * depth
        self._clients: dict[Endpoint, list[socket.socket]] = {}

    async def __call__(self, endpoint: Endpoint) -> int:
        """Run a turn; return its CPU time."""
        if endpoint not in self._clients:
            clients = [self._opened.enter_context(_connected(endpoint)) for _ in range(self._connections)]
            self._clients[endpoint] = clients
        for client in self._clients[endpoint]:
            client.sendall(self._data)
        return await _serving(self._clients[endpoint], len(self._data))


class Connects:
    """A turn is a number of connections that begin, exchange a line, and end."""

    def __init__(self, connections: int) -> None:
        self.operations = connections

    async def __call__(self, endpoint: Endpoint) -> int:
        """Run a turn; return its CPU time."""
        with ExitStack() as opened:
            clients = [opened.enter_context(_connected(endpoint)) for _ in range(self.operations)]
            for client in clients:
                client.sendall(LINE)
                client.shutdown(socket.SHUT_WR)
            return await _serving(clients, len(LINE) + 1)  # one more than comes, so up to the end


async def compare(name: str, turn: Lines | Connects, rounds: int, turns: int) -> Cost:
    """Measure one kind of turn."""

    async def start(telemetry: Telemetry) -> Endpoint:
        session = partial(LineSession, bytes.upper, oversize=Oversize.STREAM)
        [endpoint] = await nursery.start(
            partial(serve_sessions, session, "tcp://127.0.0.1:0", telemetry=telemetry)
        )
        return Endpoint.parse(str(endpoint))

    spent: dict[bool, list[float]] = {False: [], True: []}
    async with trio.open_nursery() as nursery:
        reports = LogTelemetry(structlog.get_logger())
        servers = {
            False: await start(together(reports)),
            True: await start(together(reports, PrometheusTelemetry(Limits()))),
        }
        for _ in range(rounds):
            taken: dict[bool, list[int]] = {False: [], True: []}
            for number in range(turns):
                for counted in (number % 2 == 0, number % 2 == 1):
                    taken[counted].append(await turn(servers[counted]))
            for counted, each in taken.items():
                spent[counted].append(quantiles(each, n=10, method="inclusive")[0] / turn.operations)
        nursery.cancel_scope.cancel()
    ratios = [b / a for a, b in zip(spent[False], spent[True], strict=True)]
    return Cost(name, median(spent[False]), median(spent[True]), ratios)


async def costs(rounds: int = ROUNDS, turns: int = TURNS) -> list[Cost]:
    """Measure all kinds."""
    with ExitStack() as opened:
        kinds: dict[str, Lines | Connects] = {
            "50 connections, a line at a time": Lines(opened, 50, 1),
            "connect, a line, close; 20 at a time": Connects(20),
            "20 connections, 100 lines in flight each": Lines(opened, 20, 100),
            "the same, with lines of 128 bytes": Lines(opened, 20, 100, LONGER),
            "20 connections, a line of 120 KB at a time": Lines(opened, 20, 1, LONG),
        }
        return [await compare(name, turn, rounds, turns) for name, turn in kinds.items()]


if __name__ == "__main__":
    print(f"{'':52}  without  counted   ratio  (rounds), ns of CPU per line or connection")
    for cost in trio.run(costs):
        print(cost)
