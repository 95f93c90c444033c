"""Bugs in the fast driver."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a byte is lost when the kernel takes only a part",
        "server",
        "channel.unsent = memoryview(reply)[sent:]",
        "channel.unsent = memoryview(reply)[sent + 1 :]",
    ),
    Bug(
        "a client is read from while its reply waits",
        "server",
        "self.watch(channel, EPOLLOUT)\n                    continue",
        "self.watch(channel, EPOLLIN | EPOLLOUT)\n                    continue",
    ),
    Bug(
        "the end of the input is taken for a lost connection",
        "server",
        "channel.wake(_Why.END)",
        "channel.wake(ConnectionLost())",
    ),
    Bug(
        "the reply to a last line without LF is not sent",
        "server",
        "await self.send_all(session.end_of_input())",
        "session.end_of_input()",
    ),
    Bug(
        "what the kernel holds at the stop is dropped",
        "server",
        "elif self._why is _Why.DRAIN:\n            await self._finish(session)",
        "elif self._why is _Why.DRAIN:\n            await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a session that has said its last is not noticed",
        "server",
        "if session.closing:\n                channel.wake(_Why.CLOSING)\n        return",
        "return",
    ),
    Bug(
        "a client that does not read is never dropped",
        "server",
        "if now - self.stamp >= limits.write_timeout else None",
        "if now < self.stamp else None",
    ),
    Bug(
        "a line may take for ever",
        "server",
        "if self._line and now - self._line_seen >= limits.line_timeout:",
        "if self._line and now < self._line_seen:",
    ),
    Bug(
        "a connection may be quiet for ever",
        "server",
        "if now - self.stamp >= limits.idle_timeout else None",
        "if now < self.stamp else None",
    ),
    Bug(
        "a close with unread input resets the connection",
        "server",
        "if self._why is _Why.END and not self.unsent:\n            return",
        "if self._why:\n            return",
    ),
    Bug(
        "a client is prompted although it has just spoken",
        "server",
        "session.silence() if spoken is None else _answer(session, spoken)",
        "session.silence()",
    ),
    Bug(
        "a socket that was given back is still watched",
        "server",
        "self._epoll.unregister(channel.fd)",
        "pass",
    ),
)
