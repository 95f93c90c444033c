"""The content of a dialect: requests, how their replies are recognized, limits, the end."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Final

#: The most bytes of a server's line, and of a whole reply.
MAX_LINE: Final = 65536
MAX_REPLY: Final = 1 << 20
#: Stands for a number that no other request has, in a request and in the patterns of its reply.
NUMBER: Final = "{n}"
#: Stands for the padding that makes a request as long as it has to be.
PAD: Final = "{pad}"
_DIGITS: Final = 7


class WrongReplyError(Exception):
    """A server's answer is not the reply that is due.

    Attributes:
        received: the line that is wrong.
        ends_wrong: whether it is wrong in nothing but its end.
    """

    def __init__(self, reason: str, received: bytes, *, ends_wrong: bool = False) -> None:
        super().__init__(reason)
        self.received = received
        self.ends_wrong = ends_wrong


class Pattern:
    """A regular expression over a line's bytes, from its beginning; `{n}` in it is the request's number.

    Args:
        text: the expression; UTF-8.

    Raises:
        re.error: it is not a regular expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        first, found, rest = text.partition(NUMBER)
        numbered = first + (r"(?P<n>[0-9]+)" + rest.replace(NUMBER, "(?P=n)") if found else "")
        self._regex = re.compile(numbered.encode())
        self.is_numbered = bool(found)

    @property
    def groups(self) -> int:
        """How many groups of its own it has."""
        return self._regex.groups - self.is_numbered

    def match(self, line: bytes, number: int) -> re.Match[bytes] | None:
        """Return the match at the beginning of a line, for the request of that number."""
        match = self._regex.match(line)
        if match is not None and self.is_numbered and match["n"] != str(number).encode():
            return None
        return match


@dataclass(frozen=True, slots=True)
class Reply:
    """A pattern of a reply: how it is recognized, and where it ends.

    Attributes:
        first: what its first line matches; None if anything will do.
        until: what its last line matches; None if it has `lines` of them.
        lines: how many lines it has.
        to_end: whether it goes on to the end of the connection.
        past_first: whether the first line is never the last one, whatever it matches.
        counted: whether the first line's first group counts the bytes that follow, with a terminator.
        body: what those bytes match; None if anything will do.
    """

    first: Pattern | None = None
    until: Pattern | None = None
    lines: int = 1
    to_end: bool = False
    past_first: bool = False
    counted: bool = False
    body: Pattern | None = None

    @property
    def is_numbered(self) -> bool:
        """Whether it shows which request it answers."""
        patterns = (self.first, self.until, self.body)
        return any(pattern is not None and pattern.is_numbered for pattern in patterns)

    def __str__(self) -> str:
        """Return its text in a report."""
        words = [pattern.text for pattern in (self.first, self.body, self.until) if pattern is not None]
        return " ... ".join(words)

    def scan(self, data: bytes, number: int, *, crlf: bool, ended: bool = False) -> int | None:
        """Return how many of some bytes are the reply; None if it is not complete.

        Args:
            data: what has come; the reply begins it.
            number: that of the request.
            crlf: whether each line has to end in CRLF.
            ended: whether nothing more can come.

        Raises:
            WrongReplyError: it is not the reply that is due.
        """
        line, end = _line(data, 0, crlf=crlf)
        if line is None:
            return _whole(data, 0, crlf=crlf) if data and self.to_end and ended else None
        match = self.first.match(line, number) if self.first is not None else None
        if self.first is not None and match is None:
            raise WrongReplyError("the reply is not the declared one", line)
        if self.counted:
            assert match is not None  # noqa: S101 - the parser wants a pattern with a group
            return self._counted(data, match[1], end, number, crlf=crlf)
        if self.to_end:
            return _whole(data, end, crlf=crlf) if ended else None
        read = 1
        while not self._is_last(line, read, number):
            line, end = _line(data, end, crlf=crlf)
            if line is None:
                return None
            read += 1
        return end

    def _is_last(self, line: bytes, read: int, number: int) -> bool:
        if self.until is None:
            return read == self.lines
        return read > self.past_first and self.until.match(line, number) is not None

    def _counted(self, data: bytes, digits: bytes, start: int, number: int, *, crlf: bool) -> int | None:
        if not digits.isdigit() or len(digits) > _DIGITS or int(digits) > MAX_REPLY:
            raise WrongReplyError("what should count the reply's bytes does not", data[:start])
        end = start + int(digits)
        terminator = b"\r\n" if crlf else b"\n"
        if len(data) < end + len(terminator):
            return None
        body = data[start:end]
        if not data.startswith(terminator, end):
            raise WrongReplyError("the reply is not as long as it says", body + data[end : end + 2])
        if self.body is not None and self.body.match(body, number) is None:
            raise WrongReplyError("the reply is not the declared one", body)
        return end + len(terminator)


def _whole(data: bytes, start: int, *, crlf: bool) -> int:
    """Return how many bytes there are, all of them lines from an offset on."""
    while start < len(data):
        line, end = _line(data, start, crlf=crlf)
        if line is None:
            raise WrongReplyError("the last line of the reply has no end", data[start:], ends_wrong=True)
        start = end
    return start


def _line(data: bytes, start: int, *, crlf: bool) -> tuple[bytes, int] | tuple[None, int]:
    """Return the line that begins at an offset, without its end, and where the next one begins."""
    end = data.find(b"\n", start)
    if end < 0:
        if len(data) - start > MAX_LINE:
            raise WrongReplyError(f"a line of the reply has more than {MAX_LINE} bytes", data[start:][:256])
        if len(data) > MAX_REPLY:
            raise WrongReplyError(f"the reply has more than {MAX_REPLY} bytes", data[start:][:256])
        return None, start
    line = data[start:end]
    if crlf and not line.endswith(b"\r"):
        raise WrongReplyError("a line of the reply does not end in CRLF", line + b"\n", ends_wrong=True)
    return line.removesuffix(b"\r"), end + 1


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply.

    Attributes:
        request: its lines, without their ends.
        reply: what answers it; None if nothing is due.
        repeat: whether it needs no state and may be repeated.
    """

    request: tuple[str, ...]
    reply: Reply | None
    repeat: bool = False

    def sent(self, number: int, terminator: bytes, pad: int = 0) -> bytes:
        """Return the request's bytes.

        Args:
            number: what `{n}` stands for.
            terminator: what ends each line.
            pad: how many bytes `{pad}` stands for.
        """
        lines = (line.replace(NUMBER, str(number)).replace(PAD, "x" * pad) for line in self.request)
        return b"".join(line.encode() + terminator for line in lines)

    def padded(self, size: int, number: int, terminator: bytes) -> bytes:
        """Return the request's bytes, padded to `size`, the end included, or as few as it can have."""
        return self.sent(number, terminator, max(0, size - len(self.sent(number, terminator))))


class Meaning(enum.Enum):
    """The meaning of some bytes, by the standard."""

    END = "end"
    """They end a line."""
    PAYLOAD = "payload"
    """They end none."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server's greeting.

    Attributes:
        reply: how it is recognized.
        early: whether a client may speak before it.
    """

    reply: Reply
    early: bool = False


@dataclass(frozen=True, slots=True)
class LineLimit:
    """The length of a line that must be accepted.

    Attributes:
        size: its bytes, the terminator included; None if no length is set.
        exchange: a request with `{pad}`, and its reply.
        source: where the standard says so.
    """

    size: int | None
    exchange: Exchange
    source: str = ""


@dataclass(frozen=True, slots=True)
class Oversize:
    """The reaction to a line that is too long.

    Attributes:
        size: the bytes of a line that certainly is, the terminator included.
        reply: what answers it; None if nothing does.
        goes_on: whether the conversation goes on.
        source: where the standard says so.
    """

    size: int
    reply: Reply | None
    goes_on: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Ends:
    """The standard's meanings of bytes that some take for the end of a line; None where it says nothing.

    Attributes:
        meanings: by the name of the bytes.
        tail_is_request: whether input that ends without a terminator is a last request.
        source: where the standard says so.
    """

    meanings: dict[str, Meaning] = field(default_factory=dict)
    tail_is_request: bool | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """Lines that a client sends up to one that is a lone dot, such as a message of mail.

    Attributes:
        before: what leads to it.
        exchange: the request that it follows on, and the go-ahead.
        accepted: the reply to all of it.
        source: where the standard says how it ends.
    """

    before: tuple[Exchange, ...]
    exchange: Exchange
    accepted: Reply
    source: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A line protocol, as the suite sees it.

    Attributes:
        name: its name.
        declared: what `--dialect` was given: a name, or the path of a file.
        standard: the document that specifies it.
        terminators: what ends a request; the first is what the client sends.
        probes: requests with their replies.
        greeting: what the server says first; None if the client begins.
        login: what a client sends before all else.
        unknown: a request that no server knows.
        end: the request that ends the conversation.
        line: how long a line has to be taken.
        oversize: what becomes of a longer one.
        ends: what else may end a line.
        body: lines of the client's up to a lone dot.
        starttls: the request that turns to TLS.
        unasked: lines that a server may say at any time.
        burst: how many requests may be sent without waiting for a reply.
        flood: whether a client may send without end.
        clients: how many connections one client's host may have.
        once: whether a connection has one request: the server ends it behind the reply.
        idle_s: seconds after which a quiet connection is ended.
        line_s: seconds within which a line has to end.
    """

    name: str
    declared: str
    terminators: tuple[bytes, ...]
    probes: tuple[Exchange, ...]
    standard: str = ""
    greeting: Greeting | None = None
    login: tuple[Exchange, ...] = ()
    unknown: Exchange | None = None
    end: Exchange | None = None
    line: LineLimit | None = None
    oversize: Oversize | None = None
    ends: Ends = Ends()
    body: Body | None = None
    starttls: Exchange | None = None
    unasked: Pattern | None = None
    burst: int = 100
    flood: bool = True
    clients: int = 50
    once: bool = False
    idle_s: float | None = None
    line_s: float | None = None

    @property
    def terminator(self) -> bytes:
        """The terminator of the client's lines."""
        return self.terminators[0]

    @property
    def crlf(self) -> bool:
        """Whether the server's lines have to end in CRLF."""
        return self.terminator == b"\r\n"

    @property
    def repeated(self) -> tuple[Exchange, ...]:
        """The probes that need no state."""
        return tuple(probe for probe in self.probes if probe.repeat)

    @property
    def steady(self) -> Exchange:
        """A probe that may be repeated, one whose reply shows which request it answers if there is any."""
        numbered = (probe for probe in self.repeated if probe.reply is not None and probe.reply.is_numbered)
        return next(numbered, self.repeated[0])

    @property
    def ghost(self) -> Exchange:
        """The request to hide at a line's end: the steady probe if its reply is numbered, else another."""
        steady = self.steady
        if steady.reply is not None and steady.reply.is_numbered:
            return steady
        shown = str(self.line.exchange.reply) if self.line is not None else ""
        others = [probe for probe in self.repeated if str(probe.reply) != shown]
        return others[0] if others else steady

    @property
    def ghost_is_distinct(self) -> bool:
        """Whether the ghost's reply, alone, cannot be that to the long line: it has the ghost's number."""
        return self.ghost.reply is not None and self.ghost.reply.is_numbered
