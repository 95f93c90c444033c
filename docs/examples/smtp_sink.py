"""An SMTP server that accepts every message and keeps none: for tests of programs that send mail.

EHLO, HELO, STARTTLS, MAIL, RCPT, DATA, RSET, NOOP, VRFY and QUIT, with SIZE, 8BITMIME and PIPELINING. The
reply to a message has its size and its SHA-256, so that a test can tell whether it came as it was sent.

Only CR LF ends a line. A message with a bare CR or a bare LF is refused: a server that takes one for the end
of a line lets a sender smuggle a second message through a relay that does not.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import Final

import caas_trio

#: The most bytes that a message may have.
MAX_SIZE: Final = 1 << 20
MAX_RECIPIENTS: Final = 100
#: How many commands may fail before the client is sent away.
MAX_FAILURES: Final = 20
#: The most bytes of a command, and of a line of a message (RFC 5321, 4.5.3.1.6), without their CR LF.
MAX_COMMAND: Final = 1022
MAX_TEXT: Final = 998

TOO_LARGE: Final = f"552 5.3.4 a message may have {MAX_SIZE} bytes"
COMMANDS: Final = b"HELO EHLO STARTTLS MAIL RCPT DATA RSET NOOP VRFY QUIT".split()
EXTENSIONS: Final = (f"SIZE {MAX_SIZE}", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES")

_MAIL: Final = re.compile(rb"FROM: ?<[!-;=?-~\x80-\xff]*>((?: [!-~]+)*)", re.IGNORECASE)
_RCPT: Final = re.compile(rb"TO: ?<[!-;=?-~\x80-\xff]+>", re.IGNORECASE)
_PARAMETERS: Final = re.compile(rb"(?: SIZE=([0-9]{1,20})| BODY=(?:7BIT|8BITMIME))*", re.IGNORECASE)


class Conversation:
    """One client, and what it has said of its next message."""

    def __init__(self, connection: caas_trio.Connection) -> None:
        self._connection = connection
        over_tls = connection.endpoint.scheme is caas_trio.Scheme.TLS
        self._offers_tls = connection.can_start_tls and not over_tls
        self._greeted = False
        self._recipients: int | None = None  # before MAIL

    async def run(self) -> None:
        """Serve the client until it quits, fails too often, or the server drains."""
        connection = self._connection
        connection.terminator, connection.max_line = caas_trio.Terminator.CRLF, MAX_COMMAND
        await self._say("220 caas ESMTP sink")
        failures = 0
        try:
            async for command in connection.commands(too_long=b"500 5.5.6 line too long\r\n", max_too_long=3):
                reply = await self._answer(command)
                await self._say(reply)
                failures += reply.startswith("5")
                if reply.startswith("220"):
                    await connection.start_tls()
                elif reply.startswith("221"):
                    return
                elif failures == MAX_FAILURES:
                    await self._say("421 4.7.0 too many errors")
                    return
        except caas_trio.BareTerminator:
            await self._say("521 5.5.2 a bare CR or LF ends no command")
        if connection.draining:
            await self._say("421 4.3.2 the server is stopping")

    async def _answer(self, command: bytes) -> str:  # noqa: PLR0911 - a reply for each command
        """Carry out a command; return the reply."""
        verb, _, argument = command.partition(b" ")
        verb = verb.upper()
        match verb, bool(argument):
            case b"HELO" | b"EHLO", True:
                return self._hello(verb)
            case b"STARTTLS", False:
                return self._start_tls()
            case b"MAIL", True:
                return self._mail(argument)
            case b"RCPT", True:
                return self._rcpt(argument)
            case b"DATA", False:
                return await self._data()
            case b"RSET", False:
                self._recipients = None
                return "250 2.0.0 ok"
            case b"NOOP", _:
                return "250 2.0.0 ok"
            case b"VRFY", True:
                return "252 2.5.0 send it, and see"
            case b"QUIT", False:
                return "221 2.0.0 goodbye"
        return "501 5.5.4 wrong parameters" if verb in COMMANDS else "500 5.5.2 unknown command"

    def _hello(self, verb: bytes) -> str:
        self._greeted, self._recipients = True, None
        if verb == b"HELO":
            return "250 caas"
        *lines, last = ["caas", *["STARTTLS"] * self._offers_tls, *EXTENSIONS]
        return "".join(f"250-{line}\r\n" for line in lines) + f"250 {last}"

    def _start_tls(self) -> str:
        if not self._offers_tls:
            return "502 5.5.1 TLS is not available, or in use"
        self._offers_tls, self._greeted, self._recipients = False, False, None
        return "220 2.0.0 go ahead"

    def _mail(self, argument: bytes) -> str:
        if not self._greeted or self._recipients is not None:
            return "503 5.5.1 EHLO comes first, and one MAIL"
        if (mail := _MAIL.fullmatch(argument)) is None:
            return "501 5.5.4 expected MAIL FROM:<path>"
        if (parameters := _PARAMETERS.fullmatch(mail[1])) is None:
            return "555 5.5.4 unknown parameter"
        if int(parameters[1] or 0) > MAX_SIZE:
            return TOO_LARGE
        self._recipients = 0
        return "250 2.1.0 ok"

    def _rcpt(self, argument: bytes) -> str:
        if self._recipients is None:
            return "503 5.5.1 MAIL comes first"
        if not _RCPT.fullmatch(argument):
            return "501 5.5.4 expected RCPT TO:<path>"
        if self._recipients == MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        self._recipients += 1
        return "250 2.1.5 ok"

    async def _data(self) -> str:
        if not self._recipients:
            return "503 5.5.1 RCPT comes first"
        await self._say("354 end with a line that is a dot")
        self._connection.max_line = MAX_TEXT
        try:
            message = await self._connection.receive_dot_stuffed(MAX_SIZE)
        except caas_trio.CountRefused:
            return TOO_LARGE
        except caas_trio.LineTooLong:
            return f"554 5.6.0 a line may have {MAX_TEXT} bytes"
        except caas_trio.BareTerminator:
            return "554 5.6.11 a bare CR or LF ends no line"
        finally:
            self._connection.max_line, self._recipients = MAX_COMMAND, None
        return f"250 2.0.0 {len(message)} bytes, SHA-256 {hashlib.sha256(message).hexdigest()}"

    async def _say(self, reply: str) -> None:
        await self._connection.send(f"{reply}\r\n".encode())


async def handler(connection: caas_trio.Connection) -> None:
    """Serve one client."""
    await Conversation(connection).run()


app = caas_trio.App(handler=handler, limits=caas_trio.Limits(max_connections=100))

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
