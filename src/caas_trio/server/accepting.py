"""Taking connections from listening sockets: `Acceptor`."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import trio

from caas_trio.core.peer import peer_of
from caas_trio.core.telemetry import ListenerStats, Telemetry
from caas_trio.core.trust import Trust

from .admission import Admission, Host, SpareDescriptor, refuse, words_for
from .listeners import set_stream_options
from .newcomers import Newcomers
from .watchdog import Watchdog

#: How many connections one wake-up accepts before other tasks have their turn.
_BURST: Final = 64

#: The same where other processes accept from the same socket: who wakes up first must not take all.
#: 1000 connections that come together go to two processes as unevenly as 880 to 120 with bursts of 64,
#: and as 688 to 312 with these; still smaller ones change little.
_SHARED_BURST: Final = 4

#: Out of descriptors or memory: accepting pauses, as long as trio's own does.
_NO_ROOM: Final = SpareDescriptor.RAN_OUT | {errno.ENOBUFS, errno.ENOMEM}
_RETRY_DELAY_S: Final = 0.1

#: accept(2): errors of the connection that was to be accepted, not of the listening socket.
_ITS_OWN_FAULT: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
        errno.ETIMEDOUT,
    }
)

#: Begins a connection that was let in: socket, address, where it came in, host.
Begin: TypeAlias = Callable[[socket.socket, object, ListenerStats, Host], None]
#: Begins to tell a connection that there is no room for it, and to let it go gently.
LetGo: TypeAlias = Callable[[socket.socket], None]


def accept(listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, object]:
    """Return what `listening.accept()` does, in two thirds of the time.

    That one finds out about family, type and timeouts again for each connection.
    """
    fd, address = listening._accept()  # type: ignore[attr-defined] # noqa: SLF001 - as gevent does
    return socket.socket(family, kind, 0, fd), address


class Acceptor:
    """Takes connections, and begins each; what is not let in is refused.

    Args:
        bare: the listening sockets whose connections do not inherit their options.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        let_go: LetGo,
        admission: Admission,
        trust: Trust,
        telemetry: Telemetry,
        spare: SpareDescriptor,
        newcomers: Newcomers,
        watchdog: Watchdog,
        bare: Collection[socket.socket] = (),
    ) -> None:
        self._begin = begin
        self._reject_gracefully = let_go
        self._admission = admission
        self._trust = trust
        self._screening = admission.counts_hosts or trust.asks
        self._telemetry = telemetry
        self._spare = spare
        self._newcomers = newcomers
        self._watchdog = watchdog
        self._bare = bare

    async def accept(
        self, sock: socket.socket, listener_stats: ListenerStats, *, shared: bool = False
    ) -> None:
        """Accept from a listening socket, which other processes may share, until cancelled."""
        burst = _SHARED_BURST if shared else _BURST
        until_ready = partial(self._until_ready, sock)
        while True:
            self._watchdog.tick(sock)
            if await self._watchdog.wait(until_ready) and not self.accept_waiting(
                sock, listener_stats, burst
            ):
                await trio.sleep(_RETRY_DELAY_S)

    async def _until_ready(self, sock: socket.socket) -> None:
        await self._admission.wait_while_shut()
        await trio.lowlevel.wait_readable(sock)

    def accept_waiting(self, sock: socket.socket, listener_stats: ListenerStats, most: int) -> bool:
        """Accept at most `most` connections from the queue; return whether the machine had room."""
        try:
            return self._accept_waiting(sock, listener_stats, most)
        finally:
            self._newcomers.settle()

    def _accept_waiting(self, sock: socket.socket, listener_stats: ListenerStats, most: int) -> bool:
        words = words_for(listener_stats.endpoint)
        family, kind = sock.family, sock.type
        let_in = self._let_in_bare if sock in self._bare else self._let_in
        for _ in range(most):
            if self._admission.shut:
                break
            try:
                accepted, address = accept(sock, family, kind)
            except BlockingIOError:
                if not self._newcomers.hear():
                    break
            except OSError as error:
                if error.errno in _ITS_OWN_FAULT:
                    continue
                if error.errno not in _NO_ROOM:
                    raise
                self._telemetry.accept_failed(error, listener_stats.endpoint)
                if error.errno not in SpareDescriptor.RAN_OUT or not self._spare.reject(sock, words):
                    return False
            else:
                let_in(accepted, address, listener_stats)
        else:
            self._newcomers.hear_out()
        return True

    def _let_in_bare(self, accepted: socket.socket, address: object, listener_stats: ListenerStats) -> None:
        with suppress(OSError):  # the client has reset the connection
            set_stream_options(accepted)
        self._let_in(accepted, address, listener_stats)

    def _let_in(self, accepted: socket.socket, address: object, listener_stats: ListenerStats) -> None:
        """Begin a connection, or refuse it."""
        endpoint, host = listener_stats.endpoint, None
        if self._screening:
            proxied = self._trust.expects_header(endpoint)
            if proxied or self._trust.asks_for(address):
                peer = peer_of(accepted, address)
                objection = self._trust.objection_to_proxy(peer) if proxied else self._trust.objection(peer)
                if objection is not None:
                    self._telemetry.connection_refused(objection, endpoint, peer)
                    accepted.close()  # a stranger is told nothing
                    return
            # Behind a proxy the host is not known yet; it is counted once the header is there.
            host = self._admission.host_of(address[0] if isinstance(address, tuple) and not proxied else None)
        reason = self._admission.admit(host)
        if reason is None:
            self._begin(accepted, address, listener_stats, host)
            return
        self._telemetry.connection_refused(reason, endpoint, peer_of(accepted, address))
        words = words_for(endpoint)
        if words and self._admission.gentle:
            self._admission.refusing += 1
            self._reject_gracefully(accepted)
        else:
            refuse(accepted, words)
