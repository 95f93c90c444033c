"""The two kinds of served connections: a session answers, or an async handler serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from caas_trio.core.errors import PeerError
from caas_trio.core.peer import peer_of
from caas_trio.core.session import Session
from caas_trio.core.telemetry import Outcome
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.driver import FirstTurn

from .served import ServedConnection

NewSession: TypeAlias = Callable[[], Session]
Handler: TypeAlias = Callable[[Connection], Awaitable[object]]


class SessionConnection(ServedConnection[NewSession]):
    """A connection that a session answers."""

    __slots__ = ()

    _served_by: Session | None

    def _begin(self, channel: Channel, address: Any, turn: FirstTurn[ServedConnection[Any]]) -> None:  # noqa: ARG002
        self._served_by = self._shared.service()
        turn.add(self, channel, self._served_by)

    def _converse(self, channel: Channel) -> Awaitable[None]:
        if self._served_by is None:
            self._served_by = self._shared.service()
        return channel.converse(self._served_by)


class HandlerConnection(ServedConnection[Handler]):
    """A connection that an async handler serves."""

    __slots__ = ()

    _served_by: Connection | None

    def _begin(self, channel: Channel, address: Any, turn: FirstTurn[ServedConnection[Any]]) -> None:  # noqa: ARG002
        self._peer = peer_of(self._sock, address)
        self.spawn()

    def _converse(self, channel: Channel) -> Awaitable[object]:
        shared = self._shared
        connection = Connection(
            channel, self._listener.endpoint, self.peer, shared.limits, shared.drain, shared.trust.tls
        )
        self._served_by = connection
        connection.begin()
        return shared.service(connection)

    def _completed(self) -> Outcome:
        assert self._served_by is not None  # noqa: S101 - its handler has returned
        if self._served_by.failure is None:
            return super()._completed()
        return self._classify_failure(self._served_by.failure)[0]

    async def _linger(self) -> None:
        if self._served_by is not None:
            await self._served_by.finish()
        await super()._linger()

    @property
    def _busy(self) -> bool:
        return self._served_by is not None and self._served_by.busy

    def _abandon(self) -> None:
        if self._served_by is not None:
            self._served_by.abandon()

    def _is_by_peer(self, error: BaseException) -> bool:
        return isinstance(error, PeerError) and error.connection in (None, self._served_by)
