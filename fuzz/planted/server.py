"""Bugs in what a server does around its connections."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a cancellation is swallowed",
        "server",
        "if rest is not None:\n            raise rest",
        "",
    ),
    Bug(
        "a service that fails takes the server down",
        "server",
        "_split(other, Exception)",
        "_split(other, ZeroDivisionError)",
    ),
    Bug(
        "a client that does not read takes the server down",
        "server",
        "with suppress(PeerError):\n        await channel.close_gracefully()",
        "with suppress(OSError):\n        await channel.close_gracefully()",
    ),
    Bug(
        "all connections share a session",
        "server",
        "self._newcomers.add(self._new_session, channel",
        'self._newcomers.add(lambda: self.__dict__.setdefault("one", self._new_session()), channel',
    ),
    Bug(
        "sockets are left open",
        "server",
        "await channel.aclose()\n            finally:  # cancelled",
        "pass\n            finally:  # cancelled",
    ),
    Bug(
        "what waits in the accept queue at the stop is dropped",
        "server",
        "acceptor.accept_waiting(sock, listener_stats, most)",
        "pass",
    ),
    Bug(
        "a client that waits for room at the stop is cut off",
        "server",
        "self._admission.end_waiting()",
        "pass",
    ),
    Bug(
        "the drain has no end",
        "server",
        "self._connections.cancel_scope.deadline = stopped + self._limits.drain_timeout",
        "pass",
    ),
    Bug(
        "conversations are not told of the stop",
        "server",
        "self.drain.begin()",
        "pass",
    ),
    Bug(
        "a connection that has ended keeps its place",
        "server",
        "finally:  # cancelled, it may have raised\n                self._admission.release(host)",
        "finally:",
    ),
    Bug(
        "a refused client gets no error line",
        "server",
        "await channel.send_all(REFUSAL)",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a connection that is over at once counts as open",
        "server",
        "listener_stats.ended[_COMPLETED] += 1",
        "pass",
    ),
    Bug(
        "a conversation that was cancelled counts as open",
        "server",
        "\n                listener_stats.ended[outcome] += 1\n\n",
        "\n                listener_stats.ended[outcome] += outcome != Outcome.CUT_OFF\n\n",
    ),
)
