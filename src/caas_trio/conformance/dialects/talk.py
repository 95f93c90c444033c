"""The clients of one case, which speak a dialect: what they send, and how they read replies."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from caas_trio.conformance.case import Fault
from caas_trio.conformance.compare import Broken
from caas_trio.conformance.cuts import WHOLE, Cut
from caas_trio.conformance.wire import End, Wire, why

from .dialect import MAX_REPLY, Dialect, Exchange, Reply, WrongReplyError

#: Silence that shows that nothing more comes.
QUIET_S: Final = 0.4
_SHOWN: Final = 256
#: What `{n}` stands for: as many digits each time, and never the same number in this process.
_NUMBERS: Final = itertools.count(100_000)


class UnjudgedError(Exception):
    """A case cannot judge this server, since nothing is required; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was sent, and its number."""

    exchange: Exchange
    number: int


class Talk:
    """The clients of a case, and the clause that it judges.

    Args:
        connect: opens the connection of the client of some number.
        dialect: what is spoken.
        clause: what a fault is about, if nothing else is known of it.
        timeout_s: seconds of silence after which what is due counts as missing.
        extend: gives the case more seconds.
    """

    def __init__(
        self,
        connect: Callable[[int], Awaitable[Wire]],
        dialect: Dialect,
        clause: str,
        timeout_s: float,
        extend: Callable[[float], None],
    ) -> None:
        self._connect = connect
        self.dialect = dialect
        self.clause = clause
        self.timeout_s = timeout_s
        self.extend = extend
        #: An observation worth reporting, whatever the verdict.
        self.note = ""
        self._clients = 0

    async def open(self) -> Client:
        """Return a client that has connected, and has read nothing.

        Raises:
            Broken: there is no connection.
        """
        return Client(await self.wire(), self)

    async def wire(self) -> Wire:
        """Return a new connection.

        Raises:
            Broken: there is none.
        """
        number, self._clients = self._clients, self._clients + 1
        return await self._connect(number)

    async def connect(self, clause: str = "") -> Client:
        """Return a client that has its greeting, if there is one, and is logged in.

        Args:
            clause: what is broken if it is not; GREET-1 and the case's own without one.

        Raises:
            Broken: it is not.
        """
        client = await self.open()
        await client.greeted(clause or "GREET-1")
        for exchange in self.dialect.login:
            await client.exchange(exchange, clause=clause)
        return client

    def broken(
        self, reason: str, expected: bytes | None = None, received: bytes | None = None, clause: str = ""
    ) -> Broken:
        """Return what is raised for a fault; of the case's clause if none is named."""
        return Broken(Fault(clause or self.clause, reason, expected, received))


class Client:
    """One client.

    Attributes:
        wire: its connection.
        buffer: what has come and was not taken for a reply yet.
    """

    def __init__(self, wire: Wire, talk: Talk) -> None:
        self.wire = wire
        self.talk = talk
        self.buffer = b""
        self._greeted = talk.dialect.greeting is None
        #: Whether the connection has had its one request.
        self._spent = False

    # What it sends.

    def send(self, data: bytes, cut: Cut = WHOLE) -> None:
        """Send bytes; this does not wait."""
        self.wire.send(data, cut)

    def prepare(self, exchange: Exchange, terminator: bytes | None = None) -> tuple[bytes, Asked]:
        """Return a request's bytes, and what to wait for once they are sent."""
        number = next(_NUMBERS)
        end = self.talk.dialect.terminator if terminator is None else terminator
        return exchange.sent(number, end), Asked(exchange, number)

    def ask(self, *exchanges: Exchange, cut: Cut = WHOLE, behind: bytes = b"") -> list[Asked]:
        """Send requests, and something behind them, in one write but for the cut."""
        prepared = [self.prepare(exchange) for exchange in exchanges]
        self.send(b"".join(data for data, _ in prepared) + behind, cut)
        return [asked for _, asked in prepared]

    # What comes.

    async def more(self, seconds: float | None = None) -> bool | None:
        """Read on; return True if something came, None if nothing did in time, False at the end."""
        allowed_s = self.talk.timeout_s if seconds is None else seconds
        began = trio.current_time()
        while True:
            with trio.move_on_at(began + allowed_s):
                data = await self.wire.receive()
                self.buffer += data
                return bool(data)
            if self.wire.sent_at <= began:
                return None
            # The silence begins behind what was sent meanwhile.
            began = self.wire.sent_at

    async def greeted(self, clause: str = "GREET-1") -> None:
        """Take the greeting, if there is one."""
        greeting = self.talk.dialect.greeting
        if greeting is not None:
            await self.reply(greeting.reply, 0, clause)
            self._greeted = True

    async def renew(self) -> None:
        """Connect again if the connection has had its one request."""
        if self._spent:
            self._spent, self._greeted = False, self.talk.dialect.greeting is None
            self.wire = await self.talk.wire()
            await self.greeted()

    async def exchange(
        self, exchange: Exchange, cut: Cut = WHOLE, clause: str = "", terminator: bytes | None = None
    ) -> None:
        """Send a request and take its reply; over a new connection if the last one has had its request."""
        await self.renew()
        data, asked = self.prepare(exchange, terminator)
        self.send(data, cut)
        await self.answered([asked], clause)

    async def replies(self, asked: list[Asked], clause: str = "") -> None:
        """Take the replies to some requests, in their order."""
        for each in asked:
            if each.exchange.reply is not None:
                await self.reply(each.exchange.reply, each.number, clause)

    async def answered(self, asked: list[Asked], clause: str = "") -> None:
        """Take the replies to some requests, and the end where a connection has one request."""
        await self.replies(asked, clause)
        if self.talk.dialect.once:
            self._spent = True
            await self.ended("QUIT-5")

    async def steady(self, clause: str = "") -> None:
        """Send the steady probe, and take its reply: nothing else came before it."""
        await self.exchange(self.talk.dialect.steady, clause=clause)

    async def reply(self, reply: Reply, number: int, clause: str = "") -> bytes:
        """Take one reply and return it; what comes behind it is left.

        Raises:
            Broken: it is another one, or it does not come.
        """
        while (length := self._scanned(reply, number, clause)) is None:
            ended = self.wire.end is not None
            if ended or await self.more() is None:
                raise self._missing(reply, clause, ended=ended)
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def _missing(self, reply: Reply, clause: str, *, ended: bool) -> Broken:
        wanted, part = str(reply).encode(), self.buffer[:_SHOWN]
        if reply.to_end and part and not ended:
            reason, clause = "the server's output is still open behind the reply", "QUIT-5"
        elif not ended:
            reason = "the rest of the reply did not come" if part else "no reply came"
        elif self.wire.end in (End.RESET, End.CUT_OFF):
            reason = f"the server {self.wire.end.value} before the reply"
        else:
            reason = "the server ended the conversation before the reply"
        return self.talk.broken(reason, wanted, part, clause)

    def _scanned(self, reply: Reply, number: int, clause: str) -> int | None:
        """Return how long the reply is that the buffer begins with; None if it is not complete."""
        self._drop_unasked()
        try:
            return self._scan(reply, number)
        except WrongReplyError as error:
            if error.ends_wrong:
                clause = "REPLY-3"
            elif self._greets_again():
                clause = "GREET-2"
            raise self.talk.broken(str(error), str(reply).encode(), error.received[:_SHOWN], clause) from None

    def _scan(self, reply: Reply, number: int) -> int | None:
        ended = self.wire.end is not None
        return reply.scan(self.buffer, number, crlf=self.talk.dialect.crlf, ended=ended)

    def _greets_again(self) -> bool:
        greeting = self.talk.dialect.greeting
        return greeting is not None and self._greeted and self.length_of(greeting.reply) is not None

    def length_of(self, reply: Reply | None, number: int = 0) -> int | None:
        """Return how long the complete reply is that the buffer begins with; None if there is none."""
        try:
            return None if reply is None else self._scan(reply, number)
        except WrongReplyError:
            return None

    def take(self, asked: Asked) -> bool:
        """Take a reply off the buffer; return whether it was there."""
        length = self.length_of(asked.exchange.reply, asked.number)
        self.buffer = self.buffer[length or 0 :]
        return length is not None

    def _drop_unasked(self) -> None:
        """Drop the lines that may come at any time."""
        unasked = self.talk.dialect.unasked
        line, lf, rest = self.buffer.partition(b"\n")
        while unasked is not None and lf and unasked.match(line, 0):
            self.buffer = rest
            line, lf, rest = self.buffer.partition(b"\n")

    async def rest(self, seconds: float = QUIET_S) -> bytes:
        """Return what comes until `seconds` pass without a byte, or the connection ends."""
        while len(self.buffer) < MAX_REPLY and await self.more(seconds):
            pass
        self._drop_unasked()
        taken, self.buffer = self.buffer, b""
        return taken

    async def silence(self, clause: str = "", seconds: float = QUIET_S) -> None:
        """Check that nothing comes for `seconds`, and that the connection stays open."""
        await self.renew()
        with trio.move_on_after(self.talk.timeout_s):
            await self.wire.flushed()
        said = await self.rest(seconds)
        if said:
            again = self._said_greeting(said)
            raise self.talk.broken(
                "the server spoke unasked", b"", said[:_SHOWN], "GREET-2" if again else clause
            )
        if self.wire.end is not None:
            raise self.talk.broken(
                f"the server {self.wire.end.value} while nothing was sent", clause="QUIET-2"
            )

    def _said_greeting(self, said: bytes) -> bool:
        self.buffer, kept = said, self.buffer
        again = self._greets_again()
        self.buffer = kept
        return again

    async def ended(self, clause: str, reset_clause: str = "QUIT-2") -> None:
        """Check that the server ends its output, and sends nothing before it.

        Args:
            clause: what is broken if it does not.
            reset_clause: what is broken if it ends with a reset.
        """
        said = await self.rest(self.talk.timeout_s)
        if said:
            raise self.talk.broken("more came than was due", b"", said[:_SHOWN])
        self._ended_well(clause, reset_clause)

    async def closed(self, clause: str) -> None:
        """Check that the server ends its output, whatever it sends before it."""
        await self.rest(self.talk.timeout_s)
        self._ended_well(clause, "QUIT-2")

    def _ended_well(self, clause: str, reset_clause: str) -> None:
        if self.wire.end is None:
            reason = f"the server's output was still open after {self.talk.timeout_s:g} seconds"
            raise self.talk.broken(reason, clause=clause)
        if self.wire.end is not End.FIN:
            raise self.talk.broken(f"the server {self.wire.end.value}", clause=reset_clause)

    async def pour(self, data: bytes, times: int, quiet_s: float) -> bool:
        """Send some bytes a number of times and read nothing, until the server takes no more for a while.

        Returns:
            Whether it took everything.
        """
        for _ in range(times):
            self.send(data)
        sent = -1
        while sent != self.wire.sent and not self.wire.everything_sent:
            sent = self.wire.sent
            with trio.move_on_after(quiet_s):
                await self.wire.flushed()
        return self.wire.everything_sent

    async def start_tls(self) -> str:
        """Switch to TLS; return why that failed, "" if it did not. Any certificate will do."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with trio.move_on_after(self.talk.timeout_s):
            try:
                await self.wire.start_tls(context)
            except OSError as error:
                return why(error)
            return ""
        return f"no answer to the handshake in {self.talk.timeout_s:g} seconds"
