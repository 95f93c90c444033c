"""One connection, from accept to close: `ServedConnection`, and what all of a server share."""

from __future__ import annotations

import abc
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import FAULTS, NOT_OURS, ConnectionLost, PeerError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer, peer_behind, peer_of
from caas_trio.core.telemetry import Conversation, ListenerStats, Outcome, ServerStats, Telemetry, outcome_of
from caas_trio.core.trust import Trust
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.driver import Driver, FirstTurn
from caas_trio.drivers.machine import MACHINE, Machine

from .admission import NO_PLACE, REFUSAL, Admission, Host, NoPlace, refuse, words_for
from .handshaker import Handshaker, Refused

#: What serves a connection.
S = TypeVar("S")

#: Found faster than on the class, before Python 3.12.
_COMPLETED: Final = Outcome.COMPLETED

#: What is raised in a connection's task and is not its own: by trio, by Ctrl-C, and by the interpreter
#: where a task is thrown away.
_NOT_OURS: Final = (trio.Cancelled, *NOT_OURS)


@dataclass(frozen=True, slots=True)
class Shared(Generic[S]):
    """What all connections of a server share.

    Attributes:
        service: what serves each of them.
        limits: the timeouts.
        trust: which clients may connect.
        telemetry: called for each event; it raises nothing.
        stats: counts.
        reports_each: whether each connection is reported to the telemetry.
        counting: whether bytes and lines are counted.
        admission: counts the places.
        drain: notified of the stop.
        driver: moves the bytes.
        handshaker: performs what comes before a conversation.
        tasks: where connections have their tasks.
        machine: what the sockets are on.
    """

    service: S
    limits: Limits
    trust: Trust
    telemetry: Telemetry
    stats: ServerStats
    reports_each: bool
    counting: bool
    admission: Admission
    drain: Drain
    driver: Driver
    handshaker: Handshaker
    tasks: trio.Nursery
    machine: Machine = MACHINE

    @property
    def screening(self) -> bool:
        """Whether anything is asked about a peer before its connection is admitted."""
        return self.admission.counts_hosts or self.trust.asks

    def needs_task(self, endpoint: Endpoint) -> bool:
        """Return whether a new connection to this endpoint needs a task at once."""
        return self.reports_each or self.handshaker.required(endpoint)


class ServedConnection(abc.ABC, Generic[S]):
    """A connection that has been accepted. It is opened, run and closed with an outcome.

    Nothing that its handler raises leaves it but `Cancelled`, KeyboardInterrupt and GeneratorExit.
    """

    __slots__ = ("_channel", "_host", "_listener", "_opened_at", "_peer", "_served_by", "_shared", "_sock")

    #: Its session, or the `Connection` of its handler; None before the conversation. In place of an
    #: attribute of each kind, since a second `__init__` would cost each connection half a microsecond.
    _served_by: Conversation | None
    #: What it counts as, since it has been admitted.
    _host: Host | NoPlace

    def __init__(self, shared: Shared[S], sock: socket.socket, listener: ListenerStats) -> None:
        self._shared = shared
        self._sock = sock
        self._listener = listener
        self._peer: Peer | None = None
        self._channel: Channel | None = None
        self._served_by = None

    @property
    def oversize_lines(self) -> int:
        """How many lines were too long so far."""
        return 0 if self._served_by is None else self._served_by.oversize_lines

    @abc.abstractmethod
    def _converse(self, channel: Channel) -> Awaitable[object]:
        """Hold the conversation."""

    @abc.abstractmethod
    def _begin(self, channel: Channel, address: Any, turn: FirstTurn[ServedConnection[Any]]) -> None:
        """Begin to serve the connection, without a task if the driver can."""

    def _completed(self) -> Outcome:
        """Report that the conversation has ended by itself, and return the outcome."""
        self._shared.telemetry.conversation_ended(None, self._listener.endpoint)
        return _COMPLETED

    @property
    def _busy(self) -> bool:
        """Whether tasks are in calls of the connection after the conversation has ended by itself."""
        return False

    def _abandon(self) -> None:
        """Refuse further calls of the connection."""

    def _is_by_peer(self, error: BaseException) -> bool:
        """Return whether an error is this connection's peer's doing, and not another one's."""
        return isinstance(error, PeerError)

    @property
    def peer(self) -> Peer:
        """The other side; unknown if it reset the connection before this was read."""
        if self._peer is None:
            self._peer = peer_behind(self._sock)
        return self._peer

    def open(self, address: Any, turn: FirstTurn[ServedConnection[Any]] | None, *, screening: bool) -> None:
        """Admit the connection and begin to serve it, or refuse it.

        Args:
            address: what `accept` returned with the socket.
            turn: what may serve it without a task; None if a handshake or a report comes first.
            screening: `Shared.screening`, which is the same for all.
        """
        shared = self._shared
        try:
            host = self._screen(address) if screening else None
            if host is NO_PLACE:
                return
            reason = shared.admission.admit(host)
            if reason is not None:
                self._refuse(reason, address, words_for(self._listener.endpoint))
                return
        except FAULTS as error:
            self._report_bug(error)
            self._sock.close()
            return
        self._host = host
        self._listener.accepted += 1
        try:
            if turn is not None:
                self._channel = shared.driver.channel(self._sock)
                self._begin(self._channel, address, turn)
                return
            self._opened_at = trio.current_time()
            self._peer = peer_of(self._sock, address)
            if shared.reports_each:
                shared.telemetry.connection_opened(self._listener.endpoint, self._peer)
            self.spawn()
        except FAULTS as error:
            self.spawn(error)

    def spawn(self, error: BaseException | None = None) -> None:
        """Start the connection's own task, which raises `error` if there is one."""
        if self._shared.counting:
            self._shared.stats.begin(self)
        self._shared.tasks.start_soon(self._run, error, name="connection")

    def end_inline(self) -> None:
        """Report and close a connection whose conversation was over before it needed a task."""
        self._shared.telemetry.conversation_ended(None, self._listener.endpoint)
        self.close(_COMPLETED)

    def lose_inline(self) -> None:
        """Report and close a connection whose client reset it before it needed a task."""
        self._shared.telemetry.conversation_ended(ConnectionLost(), self._listener.endpoint)
        self.close(Outcome.LOST)

    def close(self, outcome: Outcome) -> None:
        """Close the socket, give the place back, count the connection out and report it."""
        shared = self._shared
        if self._channel is None:  # else it has closed the socket
            self._sock.close()
        shared.admission.release(self._host)
        if shared.counting:
            shared.stats.ended(self)
        self._listener.ended[outcome] += 1
        if shared.reports_each:
            seconds = trio.current_time() - self._opened_at
            endpoint = self._listener.endpoint
            shared.telemetry.connection_closed(outcome, self._channel, endpoint, self.peer, seconds)

    # Admission

    def _screen(self, address: Any) -> Host | NoPlace:
        """Return what the peer's host counts as; refuse a peer that may not connect and return `NO_PLACE`."""
        shared = self._shared
        proxied = shared.trust.expects_header(self._listener.endpoint)
        if proxied or shared.trust.asks_for(address):
            peer = peer_of(self._sock, address)
            objection = shared.trust.objection_to_proxy(peer) if proxied else shared.trust.objection(peer)
            self._peer = peer  # as long as it can be asked for
            if objection is not None:  # a client that is not allowed gets no answer
                self._refuse(objection, address)
                return NO_PLACE
        # Behind a proxy the host is not known yet; it is counted once the header is there.
        by_address = isinstance(address, tuple) and not proxied
        return shared.admission.host_of(address[0] if by_address else None)

    def _refuse(self, reason: str, address: object, words: bytes = b"") -> None:
        """Report that the connection is not admitted, and let it go."""
        shared = self._shared
        self._peer = peer_of(self._sock, address)
        shared.telemetry.connection_refused(reason, self._listener.endpoint, self._peer)
        if not words:
            self._sock.close()
        elif shared.admission.gentle:
            shared.admission.refusing += 1  # before the task begins: others are refused meanwhile
            shared.tasks.start_soon(self._reject_gracefully, name="refusal")
        else:
            refuse(self._sock)

    async def _reject_gracefully(self) -> None:
        """Send the reason and linger; `admission.refusing` counts it already."""
        try:
            channel = self._shared.driver.channel(self._sock)
            try:
                with suppress(PeerError):
                    await channel.send_all(REFUSAL)
                    await channel.close_gracefully()
            finally:
                await channel.aclose()
        except FAULTS as failure:  # in a task of its own, nothing else would contain it
            self._report_bug(failure)
        finally:
            self._shared.admission.refusing -= 1

    # The task

    async def _run(self, error: BaseException | None) -> None:
        """Run the connection from its handshakes to its close."""
        outcome = Outcome.CUT_OFF
        try:
            try:
                if error is not None:
                    raise error  # noqa: TRY301 - what began without a task has failed
                if self._channel is None:
                    self._channel = await self._establish()
                await self._converse(self._channel)
            except Refused as refused:
                outcome = Outcome.REFUSED
                await self._reject(refused)
            except BaseException as failure:  # noqa: BLE001 - classified, and raised again if it is not ours
                del error  # or it would be in a cycle with its traceback
                came_to, lingers = self._classify_failure(failure)
                if lingers:
                    await self._linger()
                outcome = came_to
            else:
                came_to = self._completed()
                if self._busy or not self._channel.needs_no_linger:
                    await self._linger()
                outcome = came_to
        except FAULTS as failure:
            outcome = Outcome.FAILED
            self._report_bug(failure)
        finally:
            self._abandon()
            await self._end(outcome)

    async def _end(self, outcome: Outcome) -> None:
        """Close the channel at once, then the rest."""
        try:
            if self._channel is not None:
                await self._channel.aclose()
        except FAULTS as failure:
            self._report_bug(failure)
        finally:  # cancelled, it may have raised
            self.close(outcome)

    async def _linger(self) -> None:
        """Close the channel's output and wait a little for the client's."""
        if self._channel is not None and not self._channel.needs_no_linger:
            with suppress(PeerError):
                await self._channel.close_gracefully()

    async def _establish(self) -> Channel:
        """Perform the handshakes and return the channel."""
        shared, endpoint = self._shared, self._listener.endpoint
        channel, self._peer, host = await shared.handshaker.perform(self._sock, self.peer, endpoint)
        if host is not None:
            self._host = host
        shared.telemetry.conversation_begun(channel, endpoint, self._peer)
        return channel

    async def _reject(self, refused: Refused) -> None:
        """Report that the handshakes have not let the client in, and let it go."""
        shared = self._shared
        self._peer = refused.peer
        shared.telemetry.connection_refused(refused.reason, self._listener.endpoint, refused.peer)
        if refused.words:
            shared.admission.release()  # its host has not been counted
            self._host = NO_PLACE
            if shared.admission.gentle:
                shared.admission.refusing += 1
                await self._reject_gracefully()
            else:
                refuse(self._sock)

    def _classify_failure(self, failure: BaseException) -> tuple[Outcome, bool]:
        """Report a failure, raise what is not ours; return the outcome, and whether to linger."""
        by_peer, other = _split(failure, self._is_by_peer)
        bugs, rest = _split(other, lambda error: not isinstance(error, _NOT_OURS))
        outcome = Outcome.FAILED
        if bugs is not None:
            self._report_bug(bugs)
        elif isinstance(by_peer, Exception):
            outcome = outcome_of(by_peer)
            if self._channel is not None:  # else there was no conversation
                self._shared.telemetry.conversation_ended(by_peer, self._listener.endpoint)
        if rest is not None:
            raise rest
        return outcome, not isinstance(by_peer, TooSlow) or by_peer.limit != "write_timeout"

    def _report_bug(self, bug: BaseException) -> None:
        if not isinstance(bug, Exception):  # a call of sys.exit
            cause, bug = bug, RuntimeError(f"{type(bug).__name__} was raised")
            bug.__cause__ = cause
        self._shared.telemetry.conversation_failed(bug, self._listener.endpoint, self.peer)


def _split(
    error: BaseException | None, belongs: Callable[[BaseException], bool]
) -> tuple[BaseException | None, BaseException | None]:
    """Return the part of an error that belongs, and the rest; a group of one is that one."""
    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if error is not None and belongs(error) else (None, error)
    parts: list[BaseException | None] = []
    for part in error.split(lambda each: not isinstance(each, BaseExceptionGroup) and belongs(each)):
        alone: BaseException | None = part
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            [alone] = alone.exceptions
        parts.append(alone)
    return parts[0], parts[1]
