"""The sockets that several processes serve: opened once, and kept through reloads: `SharedSockets`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import TypeAlias

from caas_trio.core.endpoint import Endpoint
from caas_trio.server.inherited import INHERITED
from caas_trio.server.listeners import Listener, listen_all, set_backlog
from caas_trio.server.mixed import how_many
from caas_trio.server.socketoptions import SocketOptions

from .messages import SharedSocket

#: The listeners of one endpoint that was asked for.
_Group: TypeAlias = list[Listener]


class SharedSockets:
    """The sockets of some endpoints; the supervisor closes them.

    Sockets that were passed to the process can be had only once. Those that are not wanted any more are
    kept, in case they are wanted again: clients that connect meanwhile wait in their queues, as they
    do before systemd starts a service.

    Attributes:
        groups: the listeners of each endpoint.
        kept: the same, of passed sockets that are not wanted now.
    """

    def __init__(self, groups: Sequence[_Group] = (), kept: Iterable[_Group] = ()) -> None:
        self.groups = groups
        self.kept = list(kept)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where they are, with the real ports, in the order they were asked for."""
        return [listener.endpoint for group in self.groups for listener in group]

    @property
    def handed_over(self) -> bool:
        """Whether a successor has one of their paths."""
        return any(listener.handed_over for group in self.groups for listener in group)

    def described(self) -> list[SharedSocket]:
        """Return the description that a worker gets."""
        return [
            SharedSocket(
                asked=str(listener.asked),
                endpoint=str(listener.endpoint),
                descriptors=[sock.fileno() for sock in listener.sockets],
            )
            for group in self.groups
            for listener in group
        ]

    async def changed_to(
        self,
        endpoints: Iterable[Endpoint],
        *,
        unix_mode: int,
        takeover: bool,
        options: SocketOptions = SocketOptions(),  # noqa: B008 - immutable
    ) -> SharedSockets:
        """Return the sockets of these endpoints: those that are open already, and new ones for the rest.

        Those that are open already get the new backlog; the workers that serve them set the other options.

        Raises:
            ListenError: one cannot be opened; then none is.
        """
        free = [*self.groups, *self.kept]
        groups: list[_Group] = []
        with ExitStack() as opened:
            for endpoint in endpoints:
                group = next((each for each in free if each[0].asked == endpoint), None)
                if group is None:
                    group = await _open(endpoint, options, unix_mode=unix_mode, takeover=takeover)
                    opened.callback(self.drop, group)
                else:
                    free.remove(group)
                    _set_backlogs(group, options)
                groups.append(group)
            opened.pop_all()
        return SharedSockets(groups, [each for each in self.kept if any(each is one for one in free)])

    async def take_over(self) -> None:
        """Return once all paths are ours; see `Listener.take_over`."""
        for group in self.groups:
            for listener in group:
                await listener.take_over()

    def close(self, but: SharedSockets | None = None) -> None:
        """Take paths away and close descriptors; the workers have their own.

        Args:
            but: sockets that go on; those that were passed to the process are kept by them.
        """
        others = [] if but is None else [*but.groups, *but.kept]
        with ExitStack() as closing:
            for group in (*self.groups, *self.kept):
                if not any(group is other for other in others):
                    closing.callback(_close if but is None else but.drop, group)

    def drop(self, group: _Group) -> None:
        """Keep sockets that were passed to the process, and close others."""
        if group[0].asked.scheme in INHERITED:
            self.kept.append(group)
        else:
            _close(group)


def _set_backlogs(group: _Group, options: SocketOptions) -> None:
    """Set the backlog of stream sockets, unless a stop has closed them in the meantime."""
    for listener in group:
        if all(sock.type == SOCK_STREAM and sock.fileno() >= 0 for sock in listener.sockets):
            set_backlog(listener, options)


def _close(group: _Group) -> None:
    with ExitStack() as closing:
        for listener in group:
            closing.callback(listener.close)


async def _open(endpoint: Endpoint, options: SocketOptions, *, unix_mode: int, takeover: bool) -> _Group:
    group: _Group = []
    with ExitStack() as opened:
        opened.callback(_close, group)
        for kind in (SOCK_DGRAM, SOCK_STREAM):
            if how_many(endpoint, kind):
                group += await listen_all(
                    [endpoint], kind, unix_mode=unix_mode, takeover=takeover, options=options
                )
        opened.pop_all()
    return group
