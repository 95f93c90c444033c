"""A POP3 server: USER, PASS, STLS, CAPA; STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP and QUIT.

A mailbox has one client at a time, and what that deletes is gone after its QUIT. `Mailbox.deliver` puts
messages in, as long as there is room. By itself the server has a user `joe`, password `secret`.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Iterator
from typing import Final

import caas_trio

#: The most messages, and the most bytes of all of them, that a mailbox holds.
MAX_MESSAGES: Final = 1000
MAX_BYTES: Final = 8 << 20
#: Without its CR LF (RFC 2449, 4).
MAX_COMMAND: Final = 253
#: How many commands a client has to log in with, and how long it may be quiet, in seconds.
MAX_BEFORE_LOGIN: Final = 10
LOGIN_TIMEOUT_S: Final = 30.0

TOO_LONG: Final = b"-ERR line too long\r\n"
CAPABILITIES: Final = (b"USER", b"UIDL", b"TOP", b"PIPELINING")


class Refused(Exception):  # noqa: N818 - a reply, and no failure
    """A command is answered with -ERR, and changes nothing."""


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
        """Put a message in; return whether there was room.

        Raises:
            UsageError: a line of it ends with something else than CR LF.
        """
        caas_trio.dot_stuff(message)  # refuses a bare CR or LF
        if not message.endswith(b"\r\n"):
            raise caas_trio.UsageError("the last line of a message ends with CR LF")
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
        self._ids = list(mailbox.messages)
        self._deleted: set[bytes] = set()

    def answer(self, command: bytes) -> bytes:  # noqa: C901, PLR0911 - a case for each command
        """Carry out a command; return the reply.

        Raises:
            Refused: it cannot be carried out.
        """
        name, *arguments = command.split(b" ")
        match name.upper(), arguments:
            case b"STAT", []:
                return b"+OK %d %d\r\n" % self._sizes()
            case b"LIST", []:
                lines = [b"%d %d\r\n" % (number, len(message)) for number, _, message in self._left()]
                return b"+OK %d messages (%d octets)\r\n%b.\r\n" % (*self._sizes(), b"".join(lines))
            case b"LIST", [number]:
                return b"+OK %b %d\r\n" % (number, len(self._message(number)))
            case b"UIDL", []:
                lines = [b"%d %b\r\n" % (number, uid) for number, uid, _ in self._left()]
                return b"+OK\r\n%b.\r\n" % b"".join(lines)
            case b"UIDL", [number]:
                return b"+OK %b %b\r\n" % (number, self._uid(number))
            case b"RETR", [number]:
                message = self._message(number)
                return b"+OK %d octets\r\n%b" % (len(message), caas_trio.dot_stuff(message))
            case b"TOP", [number, lines] if lines.isdigit():
                head, _, body = self._message(number).partition(b"\r\n\r\n")
                top = b"".join(body.splitlines(keepends=True)[: int(lines)])
                return b"+OK\r\n%b" % caas_trio.dot_stuff(head + b"\r\n\r\n" + top)
            case b"DELE", [number]:
                self._deleted.add(self._uid(number))
                return b"+OK deleted\r\n"
            case b"RSET", []:
                self._deleted.clear()
                return b"+OK\r\n"
            case b"NOOP", []:
                return b"+OK\r\n"
        raise Refused("unknown command, or wrong arguments")

    def commit(self) -> None:
        """Delete what the client has marked."""
        for uid in self._deleted:
            del self._mailbox.messages[uid]

    def _sizes(self) -> tuple[int, int]:
        left = [len(message) for _, _, message in self._left()]
        return len(left), sum(left)

    def _left(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield number, id and message of each that is not marked as deleted."""
        for number, uid in enumerate(self._ids, 1):
            if uid not in self._deleted:
                yield number, uid, self._mailbox.messages[uid]

    def _uid(self, number: bytes) -> bytes:
        """Return the id of a message."""
        if not (number.isdigit() and 1 <= int(number) <= len(self._ids)):
            raise Refused("no such message")
        uid = self._ids[int(number) - 1]
        if uid in self._deleted:
            raise Refused("it is deleted")
        return uid

    def _message(self, number: bytes) -> bytes:
        return self._mailbox.messages[self._uid(number)]


class Server:
    """Mailboxes by the names of their users."""

    def __init__(self, mailboxes: dict[bytes, Mailbox]) -> None:
        self._mailboxes = mailboxes

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client."""
        connection.terminator = caas_trio.Terminator.CRLF
        connection.max_line = MAX_COMMAND
        usual_timeout, connection.idle_timeout = connection.idle_timeout, LOGIN_TIMEOUT_S
        await connection.send(b"+OK caas\r\n")
        try:
            mailbox = await self._log_in(connection)
            if mailbox is None:
                return
            connection.idle_timeout = usual_timeout
            try:
                await visit(connection, Visit(mailbox))
            finally:
                mailbox.in_use = False
        except caas_trio.BareTerminator:
            await connection.send(b"-ERR a bare CR or LF ends no line\r\n")

    async def _log_in(self, connection: caas_trio.Connection) -> Mailbox | None:
        """Return the mailbox that the client has from now on; None if it has none, and has been told so."""
        user = b""
        offers_tls = connection.can_start_tls and connection.endpoint.scheme is not caas_trio.Scheme.TLS
        async for command in connection.commands(too_long=TOO_LONG, max_commands=MAX_BEFORE_LOGIN):
            name, _, argument = command.partition(b" ")
            match name.upper(), argument:
                case b"CAPA", b"":
                    some = (b"STLS", *CAPABILITIES) if offers_tls else CAPABILITIES
                    reply = b"+OK\r\n%b\r\n." % b"\r\n".join(some)
                case b"STLS", b"" if offers_tls:
                    await connection.send(b"+OK go ahead\r\n")
                    await connection.start_tls()
                    user, offers_tls = b"", False
                    continue
                case b"USER", _:
                    user, reply = argument, b"+OK"
                case b"PASS", password:
                    mailbox = self._mailboxes.get(user)
                    if mailbox is None or not hmac.compare_digest(mailbox.password, password):
                        reply = b"-ERR [AUTH] wrong name or password"
                    elif mailbox.in_use:
                        reply = b"-ERR [IN-USE] another client has the mailbox"
                    else:
                        mailbox.in_use = True
                        return mailbox
                case b"QUIT", b"":
                    await connection.send(b"+OK goodbye\r\n")
                    return None
                case _:
                    reply = b"-ERR log in first"
            await connection.send(reply + b"\r\n")
        return None


async def visit(connection: caas_trio.Connection, opened: Visit) -> None:
    """Serve a client that has logged in."""
    await connection.send(b"+OK it is yours\r\n")
    async for command in connection.commands(too_long=TOO_LONG):
        if command.upper() == b"QUIT":
            opened.commit()
            await connection.send(b"+OK goodbye\r\n")
            return
        try:
            reply = opened.answer(command)
        except Refused as refusal:
            reply = f"-ERR {refusal}\r\n".encode()
        await connection.send(reply)


JOE: Final = Mailbox(
    b"secret",
    b"Subject: one\r\n\r\nshort\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.a dot begins this line\r\nthe end\r\n",
)
app = caas_trio.App(handler=Server({b"joe": JOE}).handler, limits=caas_trio.Limits(max_connections=100))

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
