"""Bugs in what handlers talk through."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "what is held for sending is sent twice",
        "connection",
        "and self._channel.try_buffer(data)\n        ):\n            return",
        "and self._channel.try_buffer(data)\n        ):\n            pass",
    ),
    Bug(
        "a connection is used on behind a cancelled send",
        "connection",
        "            try:\n                await self.aclose()\n",
        "            try:\n                pass\n",
    ),
    Bug(
        "a connection is used on behind the end of its handler",
        "late_use",
        "        self._closed = True\n        self._channel.interrupt()\n        while",
        "        self._channel.interrupt()\n        while",
    ),
    Bug(
        "what was posted goes behind what waits for its turn",
        "handler",
        "        elif self._queue.posted:\n",
        "        elif self._queue.posted and not self._queue._tasks:\n",
    ),
    Bug(
        "a post to a client that is gone is told to be sent",
        "handler",
        "                self._fail(error)\n                return False",
        "                self._fail(error)\n                return True",
    ),
    Bug(
        "too much is posted, and the connection goes on",
        "handler",
        "            self._fail(TooMuchUnsent(self._limits.max_unsent))\n",
        "",
    ),
    Bug(
        "posts overtake what is being sent",
        "handler",
        "        if not self._sending:\n            try:\n                rest =",
        "        if True:\n            try:\n                rest =",
    ),
)
