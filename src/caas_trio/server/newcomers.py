"""Conversations that may be over before they need a task: `Newcomers`.

Under load, a client's lines have come by the time its connection is accepted, and the end of its
input comes soon after the reply. For such a conversation a task and a place in the hub's epoll would
cost more than all the rest. So an accept loop, where its queue is empty, answers those it has just
let in; who is not through when its turn is over gets a task. Nothing else runs meanwhile: wherever a
connection could be cancelled, it is a task.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NoReturn, TypeAlias

from caas_trio.core.session import Session
from caas_trio.core.telemetry import ListenerStats, ServerStats
from caas_trio.drivers.hubchannel import HubChannel

from .admission import Host

#: Begins, or goes on with, a conversation.
Run: TypeAlias = Callable[[], Awaitable[object]]
#: Starts the task of a connection.
Start: TypeAlias = Callable[[Run, HubChannel, ListenerStats, Host], None]
#: Runs a session by what is given.
RunSession: TypeAlias = Callable[[Callable[[Session], Awaitable[None]], Session], Awaitable[None]]
#: Closes a connection whose conversation is over, and counts it out.
Finish: TypeAlias = Callable[[Session, HubChannel, ListenerStats, Host], None]

#: How often in a row all may prove to be silent before they get their tasks. A look costs a tenth of
#: what a task does.
_PATIENCE: Final = 4

#: How much all of them may send together in a turn, in full reads of `Session.max_chunk` bytes, each of
#: which may cost a millisecond. After that they get their tasks, and others their turn.
_FULL_READS: Final = 4


class Newcomers:
    """The connections that an accept loop has let in during its turn.

    Args:
        run_session: how a session is run in the task of a connection.
        start: starts that task.
        finish: ends a connection that needed none.
        stats: counts what newcomers send; None if nobody wants to know.
    """

    def __init__(
        self, run_session: RunSession, start: Start, finish: Finish, stats: ServerStats | None
    ) -> None:
        self._run_session = run_session
        self._start = start
        self._finish = finish
        self._stats = stats
        # Each with the mark whether it has been answered.
        self._waiting: deque[tuple[HubChannel, Session, ListenerStats, Host, bool]] = deque()
        self._reads_left: float = _FULL_READS

    def add(
        self,
        new_session: Callable[[], Session],
        channel: HubChannel,
        listener_stats: ListenerStats,
        host: Host,
    ) -> None:
        """Open the conversation of a connection that has been let in."""
        try:
            session = new_session()
            channel.open(session)
        except Exception as error:  # noqa: BLE001 - raised again in the connection's own task
            self._start(partial(_fail, error), channel, listener_stats, host)
        else:
            self._waiting.append((channel, session, listener_stats, host, False))

    def hear(self) -> bool:
        """Answer what newcomers have sent; return false if, for a while, that is nothing."""
        return bool(self._waiting) and any(self._look() for _ in range(_PATIENCE))

    def hear_out(self) -> None:
        """Answer all that newcomers have sent; each can be heard three times at most."""
        while self.hear():
            pass

    def _look(self) -> bool:
        """Answer what has been sent by now; return whether that was anything, or the end of it.

        Who has been answered before, and says more, is here to stay, and gets a task.
        """
        reads, stats, begun = 0, self._stats, time.monotonic()
        for _ in range(len(self._waiting)):
            channel, session, listener_stats, host, answered = newcomer = self._waiting.popleft()
            try:
                if channel.write_buffer or session.closing or self._reads_left <= 0:
                    data = None
                else:
                    data = channel.read_nowait(session.max_chunk)
                if data is None:
                    self._waiting.append(newcomer)
                    continue
                reads += 1
                self._reads_left -= len(data) / session.max_chunk
                if data and stats is not None:
                    stats.read(data)
                channel.answer(session, data)
            except Exception as error:  # noqa: BLE001 - raised again in the connection's own task
                self._start(
                    partial(self._run_session, partial(_fail, error), session), channel, listener_stats, host
                )
                continue
            if channel.needs_no_linger:
                self._finish(session, channel, listener_stats, host)
            elif answered:
                self._go_on(channel, session, listener_stats, host)
            else:
                self._waiting.append((channel, session, listener_stats, host, True))
        if reads and stats is not None:
            stats.served(reads, time.monotonic() - begun)
        return reads > 0

    def settle(self) -> None:
        """Give all that are left a task."""
        self._reads_left = _FULL_READS
        while self._waiting:
            channel, session, listener_stats, host, _ = self._waiting.popleft()
            self._go_on(channel, session, listener_stats, host)

    def _go_on(
        self, channel: HubChannel, session: Session, listener_stats: ListenerStats, host: Host
    ) -> None:
        self._start(partial(self._run_session, channel.go_on, session), channel, listener_stats, host)


def _fail(error: Exception, *_: object) -> NoReturn:
    raise error
