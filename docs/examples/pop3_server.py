"""A POP3 server: USER, PASS, STLS, CAPA; STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP and QUIT.

A mailbox has one client at a time, and what that deletes is gone after its QUIT. `Mailbox.deliver` puts
messages in, as long as there is room. By itself the server has a user `joe`, password `secret`.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable
from typing import Final

import trio

import caas_trio

#: The most messages, and the most bytes of all of them, that a mailbox holds.
MAX_MESSAGES: Final = 1000
MAX_BYTES: Final = 8 << 20
#: Without its CR LF (RFC 2449, 4).
MAX_COMMAND: Final = 253
#: How many commands of a client that has not logged in may be wrong, and within how many seconds it has to.
MAX_WRONG: Final = 10
LOGIN_TIMEOUT_S: Final = 30.0

GO_AHEAD: Final = b"+OK go ahead\r\n"
GOODBYE: Final = b"+OK goodbye\r\n"
WELCOME: Final = b"+OK it is yours\r\n"


class Mailbox:
    """A user's messages by their unique ids, in the order in which they came."""

    def __init__(self, password: bytes, *messages: bytes) -> None:
        self.password = password
        self.messages: dict[bytes, bytes] = {}
        self.in_use = False
        self._delivered = 0
        for message in messages:
            self.deliver(message)

    def deliver(self, message: bytes) -> bool:
        """Put a message in, if all its lines end with CR LF; return whether there was room."""
        if not message.endswith(b"\r\n"):
            raise caas_trio.UsageError("the last line of a message ends with CR LF")
        caas_trio.dot_stuff(message)  # raises UsageError for a bare CR or LF
        size = sum(map(len, self.messages.values())) + len(message)
        if len(self.messages) == MAX_MESSAGES or size > MAX_BYTES:
            return False
        self._delivered += 1
        self.messages[b"%d" % self._delivered] = message
        return True


class Visit:
    """A mailbox as its client sees it: numbered from 1, and nothing comes in while it looks."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._all = {b"%d" % number: item for number, item in enumerate(mailbox.messages.items(), 1)}
        self._left = self._all.copy()

    def answer(self, command: bytes) -> bytes:  # noqa: C901, PLR0911, PLR0912 - a case for each
        """Carry out a command; return the reply."""
        name, *arguments = command.split(b" ")
        uid, message = self._left.get(b"".join(arguments[:1]), (b"", b""))
        sizes = [(number, len(message)) for number, (_, message) in self._left.items()]
        totals = len(sizes), sum(size for _, size in sizes)
        match name.upper(), arguments:
            case b"STAT", []:
                return b"+OK %d %d\r\n" % totals
            case b"LIST", []:
                lines = b"".join(b"%b %d\r\n" % item for item in sizes)
                return b"+OK %d messages (%d octets)\r\n%b.\r\n" % (*totals, lines)
            case b"UIDL", []:
                lines = b"".join(b"%b %b\r\n" % (number, uid) for number, (uid, _) in self._left.items())
                return b"+OK\r\n%b.\r\n" % lines
            case b"LIST" | b"UIDL" | b"RETR" | b"TOP" | b"DELE", [number, *_] if not uid:
                return b"-ERR it is deleted\r\n" if number in self._all else b"-ERR no such message\r\n"
            case b"LIST", [number]:
                return b"+OK %b %d\r\n" % (number, len(message))
            case b"UIDL", [number]:
                return b"+OK %b %b\r\n" % (number, uid)
            case b"RETR", [_]:
                return b"+OK %d octets\r\n%b" % (len(message), caas_trio.dot_stuff(message))
            case b"TOP", [_, lines] if lines.isdigit():
                head, end, body = message.partition(b"\r\n\r\n")
                top = body.splitlines(keepends=True)[: int(lines)]
                return b"+OK\r\n%b" % caas_trio.dot_stuff(b"".join([head, end, *top]))
            case b"DELE", [number]:
                del self._left[number]
                return b"+OK deleted\r\n"
            case b"RSET", []:
                self._left = self._all.copy()
                return b"+OK\r\n"
            case b"NOOP", []:
                return b"+OK\r\n"
            case b"QUIT", []:
                for number in self._all.keys() - self._left.keys():
                    del self._mailbox.messages[self._all[number][0]]
                return GOODBYE
        return b"-ERR unknown command, or wrong arguments\r\n"


class Login:
    """A client that has no mailbox yet."""

    def __init__(self, mailboxes: dict[bytes, Mailbox], *, offers_tls: bool) -> None:
        self.mailbox: Mailbox | None = None
        self._mailboxes = mailboxes
        self._offers_tls = offers_tls
        self._user = b""

    def answer(self, command: bytes) -> bytes:  # noqa: PLR0911 - a reply for each command
        """Carry out a command; return the reply."""
        name, _, argument = command.partition(b" ")
        match name.upper(), argument:
            case b"CAPA", b"":
                tls = b"STLS\r\n" if self._offers_tls else b""
                return b"+OK\r\n%bUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n" % tls
            case b"STLS", b"" if self._offers_tls:
                self._user, self._offers_tls = b"", False
                return GO_AHEAD
            case b"USER", user:
                self._user = user
                return b"+OK\r\n"
            case b"PASS", password:
                mailbox = self._mailboxes.get(self._user)
                if mailbox is None or not hmac.compare_digest(mailbox.password, password):
                    return b"-ERR [AUTH] wrong name or password\r\n"
                if mailbox.in_use:
                    return b"-ERR [IN-USE] another client has the mailbox\r\n"
                mailbox.in_use, self.mailbox = True, mailbox
                return WELCOME
            case b"QUIT", b"":
                return GOODBYE
        return b"-ERR log in first\r\n"


class Server:
    """Mailboxes by the names of their users."""

    def __init__(self, mailboxes: dict[bytes, Mailbox]) -> None:
        self._mailboxes = mailboxes

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client."""
        connection.terminator, connection.max_line = caas_trio.Terminator.CRLF, MAX_COMMAND
        over_tls = connection.endpoint.scheme is caas_trio.Scheme.TLS
        login = Login(self._mailboxes, offers_tls=connection.can_start_tls and not over_tls)
        await connection.send(b"+OK caas\r\n")
        try:
            with trio.move_on_after(LOGIN_TIMEOUT_S) as scope:
                await converse(connection, login.answer, MAX_WRONG)
            if login.mailbox is not None and not scope.cancelled_caught:
                await converse(connection, Visit(login.mailbox).answer)
        except caas_trio.BareTerminator:
            await connection.send(b"-ERR a bare CR or LF ends no line\r\n")
        finally:
            if login.mailbox is not None:
                login.mailbox.in_use = False


async def converse(
    connection: caas_trio.Connection, answer: Callable[[bytes], bytes], max_wrong: int = -1
) -> None:
    """Answer commands until the client has logged in, or out, or so many were wrong."""
    async for command in connection.commands(too_long=b"-ERR line too long\r\n"):
        reply = answer(command)
        await connection.send(reply)
        max_wrong -= reply.startswith(b"-ERR")
        if reply == GO_AHEAD:
            await connection.start_tls()
        elif reply in (WELCOME, GOODBYE) or max_wrong == 0:
            return


JOE: Final = Mailbox(
    b"secret",
    b"Subject: one\r\n\r\nshort\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.a dot begins this line\r\nthe end\r\n",
)
app = caas_trio.App(handler=Server({b"joe": JOE}).handler, limits=caas_trio.Limits(max_connections=100))

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
