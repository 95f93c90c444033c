"""Bugs in what an end leaves behind: a cancellation, a failure, the return of a handler."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a read that was given up keeps others from reading",
        "connection",
        "drivers/reading.py",
        "self._receiving = False\n            wanted.taken = None\n        if line is None:",
        "wanted.taken = None\n        if line is None:",
    ),
    Bug(
        "a connection is used on behind a cancelled send",
        "connection",
        "drivers/sending.py",
        "            try:\n                await self.aclose()\n",
        "            try:\n                pass\n",
    ),
    Bug(
        "a connection is used on behind the end of its handler",
        "late_use",
        "drivers/sending.py",
        "        self._closed = True\n        self._channel.interrupt()\n        while",
        "        self._channel.interrupt()\n        while",
    ),
    Bug(
        "a read that gets a part outlives its handler",
        "late_use",
        "drivers/stream.py",
        "while not (session.closing or self._interrupted):",
        "while not session.closing:",
    ),
    Bug(
        "a cancellation is swallowed",
        "server",
        "server/served.py",
        "if rest is not None:\n            raise rest",
        "",
    ),
    Bug(
        "a service that fails takes the server down",
        "server",
        "server/served.py",
        "            self._report_bug(bugs)\n",
        "            self._report_bug(bugs)\n            self._shared.tasks.cancel_scope.cancel()\n",
    ),
    Bug(
        "sockets are left open",
        "server",
        "server/served.py",
        "has closed the socket\n            self._sock.close()",
        "has closed the socket\n            pass",
    ),
    Bug(
        "a socket that was given back is still watched",
        "server",
        "drivers/poller.py",
        "self.epoll.unregister(fd)",
        "pass",
    ),
    Bug(
        "a connection that is not through at once is never served",
        "server",
        "drivers/inlineturn.py",
        "self.remaining += [(connection, None) for connection, *_ in self._waiting]",
        "",
    ),
    Bug(
        "a place is lost with a connection that fails",
        "opening",
        "server/served.py",
        "shared.admission.release(self._host)\n        if",
        "if outcome is not Outcome.FAILED:\n            shared.admission.release(self._host)\n        if",
    ),
    Bug(
        "the alert is lost in a reset",
        "tls",
        "server/handshaker.py",
        "await self._linger(sock, scope.deadline)",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "the rest of a body that is refused is left for commands",
        "handler",
        "drivers/commands.py",
        "            objection = objection or error\n            continue",
        "            raise",
    ),
)
