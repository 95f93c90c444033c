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
)
