"""Bugs in what an accept loop does for those it has just let in."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a client that is not through at once is never served",
        "server",
        "channel, session, listener_stats, host, _ = self._waiting.popleft()\n            self._go_on",
        "channel, session, listener_stats, host, _ = self._waiting.popleft()\n            (lambda *_: None)",
    ),
    Bug(
        "a client that sends more than two reads take is never served",
        "server",
        "elif answered:\n                self._go_on(channel, session, listener_stats, host)",
        "elif answered:\n                pass",
    ),
    Bug(
        "a client that is through at once keeps its socket open",
        "server",
        "self._finish(session, channel, listener_stats, host)",
        "pass",
    ),
    Bug(
        "what is wrong with a newcomer takes the server down",
        "server",
        "channel.answer(session, data)\n            except Exception as error:",
        "channel.answer(session, data)\n            except ZeroDivisionError as error:",
    ),
)
