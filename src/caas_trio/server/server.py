"""The server: listeners, connections in nurseries, and the stop in three phases."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Final, TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import ConnectionLost, EndpointError, PeerError, TooSlow, UsageError
from caas_trio.core.limits import Limits
from caas_trio.core.peer import InternetPeer, Peer, peer_behind, peer_of
from caas_trio.core.session import Session
from caas_trio.core.telemetry import (
    ListenerStats,
    Outcome,
    ServerStats,
    Telemetry,
    listens_to_each,
    listens_to_stats,
    outcome_of,
)
from caas_trio.core.trust import Trust
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import Drain, either
from caas_trio.drivers.hubchannel import HubChannel

from .accepting import Acceptor
from .admission import REFUSAL, TOO_MANY_FROM_HOST, Admission, Host, SpareDescriptor
from .handshaker import Handshaker, Refused
from .listeners import Listener, listen_all
from .newcomers import Newcomers, Run
from .reporting import LoggingTelemetry
from .unixsocket import BACKLOG
from .watchdog import Watchdog

NewSession: TypeAlias = Callable[[], Session]
#: Holds the conversation of a channel; the last is its `Peer`, or the socket that tells it.
Conversation: TypeAlias = Callable[[Channel, Endpoint, Any], Awaitable[object]]


#: How long (seconds), after a successor has taken over, who is connected may go on before the drain. A
#: client that came just before it may not have spoken yet. Programs speak within milliseconds of their
#: connect, and behind a balancer within a round trip of their own; nobody else is owed a wait.
HANDOVER_DELAY_S: Final = 1.0

#: Found faster than on the class, before Python 3.12.
_COMPLETED: Final = Outcome.COMPLETED


class Server:
    """What all connections of a server share."""

    def __init__(
        self,
        limits: Limits,
        trust: Trust,
        telemetry: Telemetry | None,
        watchdog: Watchdog | None,
        *,
        stop: trio.Event | None,
        retire: trio.Event | None,
        new_session: NewSession | None = None,
    ) -> None:
        self.drain = Drain()
        self._stop = trio.Event() if stop is None else stop
        self._retire = retire
        self._limits = limits
        self._trust = trust
        self._telemetry = LoggingTelemetry() if telemetry is None else telemetry
        self._each_is_told = listens_to_each(self._telemetry)
        self.counting = listens_to_stats(self._telemetry)
        self.stats = ServerStats()
        self._watchdog = watchdog or Watchdog(lambda: None)
        self._admission = Admission(limits)
        self._new_session = new_session
        self._newcomers = Newcomers(
            self.run_session, self._start, self._finish, self.stats if self.counting else None
        )

    async def run(
        self,
        conversation: Conversation,
        endpoints: Sequence[Endpoint | Listener | str],
        takeover: bool,  # noqa: FBT001 - handed through
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        """Listen, accept until `stop` is set, then drain."""
        self._conversation = conversation
        with ExitStack() as opened:
            if not endpoints:
                raise EndpointError("", "at least one is needed")
            parsed = [Endpoint.parse(each) if isinstance(each, str) else each for each in endpoints]
            for each in parsed:
                endpoint = each.endpoint if isinstance(each, Listener) else each
                if endpoint.scheme is Scheme.TLS and self._trust.tls is None:
                    raise UsageError(f"{endpoint} needs a certificate, in Trust(tls=...)")
            listeners = await listen_all(parsed, unix_mode=self._trust.unix_mode, takeover=takeover)
            for listener in listeners:
                opened.callback(listener.close)
            self._trust = self._trust.bound([(each.asked, each.endpoint) for each in listeners])
            self._handshaker = Handshaker(
                self._limits,
                self._trust,
                self.drain,
                stats=self.stats if self.counting else None,
                counting=self._each_is_told,
            )
            opened.callback(self._handshaker.close)
            spare = SpareDescriptor()
            opened.callback(spare.close)
            for listener in listeners:
                await listener.take_over()  # last of all, when nothing else can fail
            async with trio.open_nursery() as driving:
                if self._handshaker.hub is not None:
                    driving.start_soon(self._handshaker.hub.run)
                await self._serve(listeners, spare, driving, task_status)
                driving.cancel_scope.cancel()

    async def _serve(
        self,
        listeners: Sequence[Listener],
        spare: SpareDescriptor,
        driving: trio.Nursery,
        task_status: trio.TaskStatus[list[Endpoint]],
    ) -> None:
        async with trio.open_nursery() as connections:
            self._connections = connections
            acceptor = Acceptor(
                begin=self._begin,
                newcomers=self._newcomers,
                let_go=lambda accepted: connections.start_soon(
                    self._reject_gracefully, accepted, name="refusal"
                ),
                admission=self._admission,
                trust=self._trust,
                telemetry=self._telemetry,
                spare=spare,
                watchdog=self._watchdog,
                bare={sock for each in listeners if not each.passes_options_on for sock in each.sockets},
            )
            arriving = [(each, self.stats.add_listener(each.endpoint)) for each in listeners]
            async with trio.open_nursery() as accepting:
                self._telemetry.counting(self.stats)
                for listener, listener_stats in arriving:
                    self._telemetry.listening(listener.endpoint)
                    accept = partial(acceptor.accept, listener_stats=listener_stats, shared=listener.shared)
                    for sock in listener.sockets:
                        accepting.start_soon(accept, sock)
                task_status.started([listener.endpoint for listener in listeners])
                await either(self._stop, self._retire)
                accepting.cancel_scope.cancel()
            for listener in listeners:
                listener.withdraw()  # before the last look at the queue: nobody comes after it
            if self._stop.is_set():
                self._admission.end_waiting()
            for listener, listener_stats in arriving:
                for sock in listener.sockets:
                    # Who retires refuses nobody for want of room: others may have the socket, and room.
                    most = BACKLOG if self._stop.is_set() else self._admission.room
                    acceptor.accept_waiting(sock, listener_stats, most)
            for listener in listeners:
                listener.close()
            if self._stop.is_set() and not _handed_over(listeners):
                self._begin_drain(trio.current_time())
            else:
                driving.start_soon(self._drain_later, listeners)
        if connections.cancel_scope.cancelled_caught:
            self._telemetry.drain_timed_out()

    def _begin_drain(self, stopped: float) -> None:
        self._connections.cancel_scope.deadline = stopped + self._limits.drain_timeout
        self.drain.begin()

    async def _drain_later(self, listeners: Sequence[Listener]) -> None:
        """Drain once told to stop, and a moment after that where a successor has taken over."""
        await self._stop.wait()
        stopped = trio.current_time()
        if _handed_over(listeners):
            await trio.sleep(min(HANDOVER_DELAY_S, self._limits.drain_timeout / 2))
        self._begin_drain(stopped)

    async def _reject_gracefully(self, accepted: socket.socket) -> None:
        try:
            await _reject(self._handshaker.plain(accepted))
        finally:
            self._admission.refusing -= 1

    def _begin(
        self, accepted: socket.socket, address: object, listener_stats: ListenerStats, host: Host
    ) -> None:
        """Begin a connection that has been let in."""
        listener_stats.accepted += 1
        endpoint = listener_stats.endpoint
        if self._each_is_told or self._handshaker.required(endpoint):
            self._connections.start_soon(
                self._connect, accepted, address, listener_stats, host, name="connection"
            )
            return
        channel = self._handshaker.plain(accepted)
        if self._new_session is not None and isinstance(channel, HubChannel):
            self._newcomers.add(self._new_session, channel, listener_stats, host)
            return
        # Where nobody wants to know who the peer is, there is the socket to ask it later.
        peer = accepted if self._new_session else peer_of(accepted, address)
        run = partial(self._conversation, channel, endpoint, peer)
        self._connections.start_soon(
            self._converse, run, channel, listener_stats, peer, host, name="connection"
        )

    def _start(self, run: Run, channel: HubChannel, listener_stats: ListenerStats, host: Host) -> None:
        """Start the task of a newcomer."""
        self._connections.start_soon(
            self._converse, run, channel, listener_stats, channel.sock, host, name="connection"
        )

    def _finish(
        self, session: Session, channel: HubChannel, listener_stats: ListenerStats, host: Host
    ) -> None:
        """End the connection of a newcomer whose conversation is over."""
        self.stats.ended(session)
        try:
            self._telemetry.conversation_ended(None, listener_stats.endpoint)
        finally:
            channel.close()
            self._admission.release(host)
            listener_stats.ended[_COMPLETED] += 1

    def run_session(self, run: Callable[[Session], Awaitable[None]], session: Session) -> Awaitable[None]:
        """Run a session; where it is wanted, count what it finds too long."""
        try:
            talk = run(session)
        except Exception:
            self.stats.ended(session)
            raise
        return self.stats.follow(session, talk) if self.counting else talk

    async def _connect(
        self, accepted: socket.socket, address: object, listener_stats: ListenerStats, host: Host
    ) -> None:
        """Run one connection from its first byte to its close, and tell of both."""
        endpoint = listener_stats.endpoint
        peer = peer_of(accepted, address)
        begun = trio.current_time()
        outcome, channel = Outcome.CUT_OFF, None
        self._telemetry.connection_opened(endpoint, peer)
        try:
            if self._handshaker.required(endpoint):
                try:
                    established = await self._handshaker.perform(accepted, peer, endpoint)
                except ConnectionLost:  # it left by itself, as health checks do
                    outcome = Outcome.LOST
                    return
                except Refused as refused:
                    outcome, peer = Outcome.REFUSED, refused.peer
                    self._telemetry.connection_refused(refused.reason, endpoint, peer)
                    return
                peer = established.peer
                if self._trust.expects_header(endpoint):
                    host = self._admission.host_of(peer.host if isinstance(peer, InternetPeer) else None)
                    if not self._admission.admit_host(host):
                        outcome, host = Outcome.REFUSED, None
                        self._telemetry.connection_refused(TOO_MANY_FROM_HOST, endpoint, peer)
                        await _reject(established.channel)
                        return
                channel = established.channel
            else:
                channel = self._handshaker.plain(accepted)
            self._telemetry.conversation_begun(channel, endpoint, peer)
            run = partial(self._conversation, channel, endpoint, peer)
            outcome = await self._converse(run, channel, listener_stats, peer, host)
        finally:
            if channel is None:
                self._admission.release(host)
                listener_stats.ended[outcome] += 1
            seconds = trio.current_time() - begun
            self._telemetry.connection_closed(outcome, channel, endpoint, peer, seconds)

    async def _converse(
        self,
        run: Run,
        channel: Channel,
        listener_stats: ListenerStats,
        peer: Peer | socket.socket,
        host: Host,
    ) -> Outcome:
        """Hold the conversation, part from the client, close the connection and count it out."""
        outcome = Outcome.CUT_OFF
        try:
            try:
                conversation = run()
                del run  # or a parked task would keep it
                await conversation
            except BaseException as error:  # noqa: BLE001 - sorted, and raised again if it is not ours
                came_to, orderly = self._classify_failure(error, listener_stats.endpoint, peer)
            else:
                came_to, orderly = Outcome.COMPLETED, True
                self._telemetry.conversation_ended(None, listener_stats.endpoint)
            if orderly and not channel.needs_no_linger:
                await _part(channel)
            outcome = came_to
            return outcome
        finally:
            try:
                await channel.aclose()
            finally:  # cancelled, it may have raised
                self._admission.release(host)
                listener_stats.ended[outcome] += 1

    def _classify_failure(
        self, error: BaseException, endpoint: Endpoint, peer: Peer | socket.socket
    ) -> tuple[Outcome, bool]:
        """Report a bug, raise what is not ours; return what it was, and whether to part from the client."""
        by_peer, other = _split(error, PeerError)
        bugs, rest = _split(other, Exception)
        outcome = Outcome.FAILED
        if isinstance(bugs, Exception):
            known = peer_behind(peer) if isinstance(peer, socket.socket) else peer
            self._telemetry.conversation_failed(bugs, endpoint, known)
        elif isinstance(by_peer, Exception):
            outcome = outcome_of(by_peer)
            self._telemetry.conversation_ended(by_peer, endpoint)
        if rest is not None:
            raise rest
        return outcome, not isinstance(by_peer, TooSlow) or by_peer.limit != "write_timeout"


def _handed_over(listeners: Iterable[Listener]) -> bool:
    return any(listener.handed_over for listener in listeners)


async def _part(channel: Channel) -> None:
    with suppress(PeerError):
        await channel.close_gracefully()


async def _reject(channel: Channel) -> None:
    """Tell a connection that there is no room for it, part from it and close it."""
    try:
        with suppress(PeerError):
            await channel.send_all(REFUSAL)
            await channel.close_gracefully()
    finally:
        await channel.aclose()


def _split(
    error: BaseException | None, kind: type[Exception]
) -> tuple[BaseException | None, BaseException | None]:
    """Return the part of an error that is of a kind, and the rest; a group of one is that one."""
    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if isinstance(error, kind) else (None, error)
    parts: list[BaseException | None] = []
    for part in error.split(kind):
        alone: BaseException | None = part
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            [alone] = alone.exceptions
        parts.append(alone)
    return parts[0], parts[1]
