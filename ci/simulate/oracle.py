"""The replies that clients of a simulated service are owed: `check`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from caas_trio import AtCapacity, First, Oversize
from caas_trio.testing import TraceEvent

from .clients import Client
from .observed import TOLD, require
from .scenario import PROMPT, Replies, Scenario
from .server import SimulatedServer

_REFUSAL: Final = b"error: too many connections\n"

#: How many bytes of an endless line may be sent before `line_timeout` ends it: three come in that time,
#: and the news of the end may be late.
_MAX_DRIPS: Final = 20

#: How many bytes of each end of a long text are shown.
_MAX_SHOWN: Final = 60

#: How much longer than its limit a silent connection may last, in simulated seconds.
_SLACK_S: Final = 100.0


class Wire:
    """One connection, by the trace.

    Attributes:
        connected: when, in seconds.
        arrived: the bytes that the server's kernel has received, with the number and the time of the event.
        ended: the number of the event of the end of the client's output; None for none.
        begun: when the server first sent; None for never.
        broken: whether the network has reset it.
    """

    def __init__(self, connected: float) -> None:
        self.connected = connected
        self.arrived: list[tuple[int, float, bytes]] = []
        self.ended: int | None = None
        self.begun: float | None = None
        self.broken = False

    def until(self, number: int | None, skipped: int) -> tuple[bytes, bool]:
        """Return the bytes that had arrived before an event, without the first, and whether that was all."""
        before = [data for index, _, data in self.arrived if number is None or index < number]
        ended = self.ended is not None and (number is None or self.ended < number)
        return b"".join(before)[skipped:], ended


def _shown(data: bytes) -> str:
    """Return bytes as text, of many the first and the last."""
    if len(data) <= 2 * _MAX_SHOWN:
        return repr(data)
    return f"{data[:_MAX_SHOWN]!r}...{data[-_MAX_SHOWN:]!r} ({len(data)} bytes)"


def wires(trace: Iterable[TraceEvent]) -> dict[str, Wire]:
    """Return the connections of a trace, by the client's label."""
    found: dict[str, Wire] = {}
    by_name: dict[str, Wire] = {}
    for index, event in enumerate(trace):
        number, way = event.where[:-1], event.where[-1]
        if event.what == "connected":
            found[event.data.decode()] = by_name[number] = Wire(event.time)
            continue
        wire = by_name.get(number)
        if wire is None:
            continue
        match event.what, way:
            case "arrived", ">":
                wire.arrived.append((index, event.time, event.data))
            case "fin", ">":
                wire.ended = index
            case "sent", "<" if wire.begun is None:
                wire.begun = event.time
            case "broken off", _:
                wire.broken = True
    return found


class Oracle:
    """Checks one client.

    Args:
        client: the client, which is connected.
        wire: its connection, by the trace.
        server: the server, which is over.
    """

    def __init__(self, client: Client, wire: Wire, server: SimulatedServer) -> None:
        self._client = client
        self._wire = wire
        self._server = server
        self._scenario: Scenario = server.scenario
        telemetry = server.telemetry
        reasons = [telemetry.refused[peer] for peer in client.peers if peer in telemetry.refused]
        self._reason = reasons[0] if reasons else None
        sent, received = _shown(client.sent), _shown(client.received)
        self._said = f"{client.sort} client {client.label} sent {sent}, received {received}"

    def check(self) -> None:
        """Check that it has received nothing but what is due, and all of that if nothing was in the way."""
        client = self._client
        if client.reads_all:
            require(client.eof or client.reset, f"{self._said}: no end")
        if self._reason is not None:
            self._check_refused(self._reason)
        elif self._server.telemetry.accept_failures and _REFUSAL.startswith(client.received):
            pass  # with the spare descriptor, or in a queue that could not be emptied
        elif client.admissible and client.shows_enough:
            self._check_served()
        else:
            require(not client.received, f"{self._said}, owed nothing")

    @property
    def _undisturbed(self) -> bool:
        """Whether nothing was in the way, unless the server has stopped."""
        telemetry = self._server.telemetry
        cut = self._server.cancelled or telemetry.drain_timeouts > 0
        return self._client.reads_all and not (self._wire.broken or cut)

    def _check_refused(self, reason: str) -> None:
        words = _REFUSAL if reason in TOLD else b""
        client = self._client
        require(words.startswith(client.received), f"{self._said}, refused: {reason}")
        if self._undisturbed and self._scenario.generous:
            require(client.received == words, f"{self._said}, refused without a word")

    def _check_served(self) -> None:
        client, telemetry = self._client, self._server.telemetry
        if telemetry.failures and self._scenario.begins_badly and not client.received:
            return
        whole = self._owed(None)
        prompts = self._prompts()
        require(
            any((prompt + whole.said).startswith(client.received) for prompt in prompts),
            f"{self._said}, owed {_shown(whole.said)}",
        )
        self._check_prompt()
        in_time = self._scenario.generous or (self._scenario.swift and client.sort == "sprinter")
        if in_time and self._undisturbed:
            self._check_all(whole, prompts)
        if client.sort == "silent":
            self._check_silence()
        if client.sort == "dripper":
            self._check_drips()

    def _prompts(self) -> tuple[bytes, ...]:
        return {First.CLIENT: (b"",), First.SERVER: (PROMPT,), First.EITHER: (b"", PROMPT)}[
            self._scenario.first
        ]

    def _owed(self, number: int | None) -> Replies:
        data, ended = self._arrived_before(number)
        return self._scenario.replies(data, ended=ended)

    def _arrived_before(self, number: int | None) -> tuple[bytes, bool]:
        """Return the bytes that had arrived before an event, and whether the output had been ended by then.

        The end that comes with a close does not count: the conversation is over.
        """
        data, ended = self._wire.until(number, len(self._client.shows))
        return data, ended and self._client.ended

    def _check_all(self, whole: Replies, prompts: tuple[bytes, ...]) -> None:
        """Check that a client has received all that was due, or before a stop all that it had asked for."""
        client, server = self._client, self._server
        number = server.stopped
        before_the_stop = client.ended_at < server.ends_from
        if whole.failed:
            require(client.eof or not before_the_stop, f"{self._said}: reset where the service has failed")
            return
        if number is None or (self._wire.ended is not None and before_the_stop):
            require(client.received in {prompt + whole.said for prompt in prompts}, f"{self._said}, owed all")
            require(client.eof, f"{self._said}: reset instead of an end")
            return
        if server.retired is not None and not self._admitted_before(server.retired):
            return
        least, _ = self._lines_before(number)
        if not least:
            return
        require(
            any(client.received.startswith(prompt + least) for prompt in prompts),
            f"{self._said}, owed at least {_shown(least)}",
        )
        require(client.eof, f"{self._said}: reset at the stop")

    def _lines_before(self, number: int) -> tuple[bytes, bool]:
        """Return the replies to whole lines that had arrived before an event."""
        data, ended = self._arrived_before(number)
        whole = data if ended else data[: data.rfind(b"\n") + 1]
        replies = self._scenario.replies(whole, ended=ended)
        return replies.said, replies.over

    def _admitted_before(self, number: int) -> bool:
        """Whether it has a place for certain when the server begins to accept no more."""
        limits, scenario = self._scenario.limits, self._scenario
        roomy = limits.max_connections >= scenario.clients or limits.at_capacity is AtCapacity.REFUSE
        return bool(self._client.received) or (roomy and bool(self._wire.until(number, 0)[0]))

    def _check_prompt(self) -> None:
        """Check that a client that speaks first is not prompted."""
        wire, received = self._wire, self._client.received
        prompted = self._scenario.first is First.EITHER and received[:1] == PROMPT[:1]
        if prompted and wire.arrived and not self._client.shows:
            heard, begun = wire.arrived[0][1], wire.begun or 0.0
            in_time = heard < wire.connected + self._scenario.limits.prompt_delay
            require(heard >= begun or not in_time, f"{self._said}, prompted at {begun}, heard at {heard}")

    def _check_silence(self) -> None:
        """Check that a client that says nothing is dropped when it has to be, and not before."""
        client, limits = self._client, self._scenario.limits
        if self._server.stopped is not None or self._wire.broken or self._reason is not None:
            return
        lasted = client.ended_at - client.connected_at
        require(lasted >= limits.idle_timeout, f"{self._said}, dropped after {lasted} seconds")
        if limits.at_capacity is AtCapacity.REFUSE:
            most = limits.idle_timeout * 1.5 + _SLACK_S + self._server.frozen
            require(lasted <= most, f"{self._said}, dropped after {lasted} seconds")

    def _check_drips(self) -> None:
        """Check that a line that does not end is not waited for much longer than it may take."""
        scenario, drips = self._scenario, len(self._client.sent)
        waits = scenario.limits.at_capacity is AtCapacity.WAIT
        if waits or scenario.oversize is Oversize.STREAM or self._server.telemetry.accept_failures:
            return
        require(drips <= _MAX_DRIPS, f"{self._said}, and the line is still waited for")


def check(server: SimulatedServer, clients: list[Client]) -> None:
    """Check all clients of a server, and the server's reports, when it is over."""
    found = wires(server.network.trace)
    for client in clients:
        if client.label:
            Oracle(client, found[client.label], server).check()
    scenario, telemetry = server.scenario, server.telemetry
    if telemetry.drain_timeouts:
        late = scenario.delays or not scenario.generous or any(client.stays for client in clients)
        require(late, "the drain was cut off, and no client had kept it waiting")
    server.check()
