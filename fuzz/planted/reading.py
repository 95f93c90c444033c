"""Bugs in what handlers talk through."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a read that was given up keeps others from reading",
        "connection",
        "self._receiving = False\n            wanted.taken = None\n        if line is None:",
        "wanted.taken = None\n        if line is None:",
    ),
    Bug(
        "two tasks may read at once",
        "connection",
        "if self._receiving or self._closed:\n            raise self._misused(call)\n        self._receiving",
        "if self._closed:\n            raise self._misused(call)\n        self._receiving",
    ),
    Bug(
        "a line that was only begun is returned at the drain",
        "connection",
        "return wanted.taken\n",
        "return wanted.taken if wanted.closing else self._buffer.take_rest() or None\n",
    ),
    Bug(
        "fewer bytes come than were asked for",
        "connection",
        "raise self._own(InputEnded(count, len(self._buffer)))",
        "return self._buffer.take_rest()",
    ),
    Bug(
        "an input that ended early counts as empty",
        "connection",
        "raise self._own(InputEnded(count, len(self._buffer)))",
        "raise InputEnded(count, 0)",
    ),
    Bug(
        "a line is taken while another task reads one",
        "handler",
        'if self._receiving or self._closed:\n            raise self._misused("take_line")',
        'if self._closed:\n            raise self._misused("take_line")',
    ),
    Bug(
        "a number that may be refused is waited for",
        "handler",
        "if limit is not None and not 0 <= count <= limit:",
        "if limit is not None and not 0 <= count <= limit + 1:",
    ),
    Bug(
        "bytes that were to be skipped are missing, and nobody is told",
        "handler",
        "        if unwanted.left:\n",
        "        if unwanted.left > 1:\n",
    ),
    Bug(
        "a handler that waits for the end of the input runs into a timeout",
        "handler",
        "            self._channel.set_limits(replace(self._limits, idle_timeout=math.inf))\n",
        "",
    ),
    Bug(
        "a flood of input counts as its end",
        "handler",
        "        if full is not None:\n            await self.wait_draining()",
        "        if full is not None:\n            pass",
    ),
)
