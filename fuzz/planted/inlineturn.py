"""Bugs in what the hub does for new connections before they get tasks."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a connection that is not through at once is never served",
        "server",
        "connection, *_ = self._waiting.popleft()\n            self.remaining.append((connection, None))",
        "self._waiting.popleft()",
    ),
    Bug(
        "a client that says more than two reads take is left alone",
        "server",
        "if answered:\n                self.remaining.append((connection, None))",
        "if answered:\n                pass",
    ),
    Bug(
        "a client that is through at once keeps its socket open",
        "server",
        "channel.close()\n                self.ended.append(connection)",
        "pass",
    ),
    Bug(
        "a session that raises at once takes the server down",
        "server",
        "continue\n            except BaseException as error:",
        "continue\n            except ZeroDivisionError as error:",
    ),
    Bug(
        "a client that has reset its connection keeps its place",
        "server",
        "self.lost.append(connection)",
        "pass",
    ),
)
