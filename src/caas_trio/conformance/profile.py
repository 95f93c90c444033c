"""The declared properties of a server, and what a case needs of them: `Profile`, `Need`."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from caas_trio.core.session import DEFAULT_PROMPT, First, Oversize
from caas_trio.core.terminator import Terminator

from .dialects.dialect import Dialect

#: The line length that a server without a declared limit takes: the text line of RFC 5321, section 4.5.3.1.6.
UNDECLARED_LIMIT: Final = 1000


class Service(enum.Enum):
    """The service of a server: its reply to a line, or to bytes."""

    UPPER = "upper"
    ECHO = "echo"
    ECHO_BYTES = "echo-bytes"
    """It sends back whatever comes, as it comes (RFC 862): lines are nothing to it."""

    def reply(self, data: bytes) -> bytes:
        """Return the reply to a line, or to any number of bytes."""
        return data.upper() if self is Service.UPPER else data

    @property
    def has_lines(self) -> bool:
        """Whether it waits for the end of a line."""
        return self is not Service.ECHO_BYTES


class Proxy(enum.Enum):
    """The version of the PROXY header that connections begin with."""

    V1 = "v1"
    V2 = "v2"


#: Addresses of RFC 5737, written out so that nothing here has to be computed.
_HEADERS: Final = {
    Proxy.V1: b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n",
    Proxy.V2: b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00\x19",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """The declared properties of a server.

    Attributes:
        service: what it does with a line.
        first: which side speaks first.
        prompt: what it says first, its LF included.
        max_line: the most bytes before an LF; None if nothing is declared.
        oversize: what it does with a longer line; None if nothing is declared.
        once: whether it answers one line per connection.
        terminator: what ends a line; with CR LF, a bare CR or LF is an error.
        proxy: what each connection begins with; None if there is no PROXY header.
        datagrams: whether it is reached by datagrams; the rest means nothing then but the service.
        tls_ca: for tls, the file of the CAs that its certificate may come from; None for the system's.
        tls_insecure: for tls, whether any certificate will do.
        dialect: what it speaks; None if it is one of the services above. With one, the rest means nothing
            but for TLS and the PROXY header.
    """

    service: Service = Service.UPPER
    first: First = First.CLIENT
    prompt: bytes = DEFAULT_PROMPT
    max_line: int | None = None
    oversize: Oversize | None = None
    once: bool = False
    terminator: Terminator = Terminator.LF
    proxy: Proxy | None = None
    datagrams: bool = False
    tls_ca: str | None = None
    tls_insecure: bool = False
    dialect: Dialect | None = None

    @property
    def limit(self) -> int:
        """The declared limit, for cases that need one (`Need.LIMIT`)."""
        return self.max_line or UNDECLARED_LIMIT

    @property
    def header(self) -> bytes:
        """The bytes that a client sends first: a PROXY header, or none."""
        return b"" if self.proxy is None else _HEADERS[self.proxy]

    @property
    def strict(self) -> bool:
        """Whether CR LF ends a line, and nothing else."""
        return self.terminator is Terminator.CRLF

    def takes(self, length: int) -> bool:
        """Return whether a line of `length` bytes before its LF is declared to be answered."""
        any_length = self.oversize is Oversize.STREAM or not self.service.has_lines
        return any_length or length <= self.limit


class Need(enum.Enum):
    """A condition of a case on the server; the value says why a case is not judged otherwise."""

    STREAM = "the endpoint takes datagrams"
    DATAGRAMS = "the endpoint takes connections"
    LINES = "the server is declared to echo bytes, whatever lines they are"
    BYTES = "the server is not declared to echo bytes (--service echo-bytes)"
    CLIENT_FIRST = "the server is not declared to be client-first"
    SERVER_FIRST = "the server is not declared to be server-first"
    EITHER_FIRST = "the server is not declared to let either side begin"
    PROMPT = "the server is declared to have no prompt"
    CONVERSATION = "the server is declared to answer one line per connection"
    ONCE = "the server is not declared to answer one line per connection"
    LIMIT = "no limit is declared (--max-line)"
    NOTICE = "neither reject nor discard is declared (--max-line, --oversize)"
    REJECT = "reject is not declared (--max-line, --oversize)"
    DISCARD = "discard is not declared (--max-line, --oversize)"
    STREAMED = "stream is not declared (--oversize)"
    PROXIED = "no PROXY header is declared (--proxy)"
    PROXY_1 = "version 1 of the PROXY header is not declared (--proxy)"
    PROXY_2 = "version 2 of the PROXY header is not declared (--proxy)"
    LF_LINES = "lines are declared to end with CR LF alone (--terminator)"
    CRLF_LINES = "lines are not declared to end with CR LF alone (--terminator crlf)"
    UNDECLARED = "a limit is declared; FRAME-7 and LIMIT-1 are about that"
    DIALECT = "no dialect is declared (--dialect)"
    GREETING = "in the dialect the client begins"
    NO_GREETING = "in the dialect the server begins"
    EARLY = "the dialect wants the client to wait for the greeting"
    UNKNOWN = "the dialect does not say what an unknown request gets"
    PIPELINED = "the dialect wants each reply to be waited for"
    FLOOD = "the dialect does not let a client send without end"
    SEVERAL_REQUESTS = "in the dialect a connection has one request"
    BEHIND = "the dialect wants the reply to be waited for"
    CRLF = "the dialect's lines do not end in CRLF"
    LONG_LINES = "the dialect has no request that can be made long"
    LIMIT_OF_LINES = "the dialect sets no length that a line may have"
    OVERSIZE = "the dialect does not say what becomes of a line that is too long"
    BODY = "the dialect has no body that ends with a lone dot"
    END = "the dialect has no request that ends the conversation"
    STARTTLS = "the dialect has no request that turns to TLS"
    SEVERAL_CLIENTS = "the dialect allows one client at a time"
    IDLE = "the dialect declares no time after which a quiet connection is ended"
    SLOW_LINE = "the dialect declares no time within which a line has to end"


def _declares(what: Callable[[Dialect], object]) -> Callable[[Profile], bool]:
    """Return a condition on the dialect; a server without one does not meet it."""
    return lambda profile: profile.dialect is not None and bool(what(profile.dialect))


_MET: Final[dict[Need, Callable[[Profile], bool]]] = {
    Need.STREAM: lambda profile: not profile.datagrams and profile.dialect is None,
    Need.DATAGRAMS: lambda profile: profile.datagrams,
    Need.LINES: lambda profile: profile.service.has_lines,
    Need.BYTES: lambda profile: not profile.service.has_lines,
    Need.CLIENT_FIRST: lambda profile: profile.first is First.CLIENT,
    Need.SERVER_FIRST: lambda profile: profile.first is First.SERVER,
    Need.EITHER_FIRST: lambda profile: profile.first is First.EITHER,
    Need.PROMPT: lambda profile: profile.first is not First.CLIENT,
    Need.CONVERSATION: lambda profile: not profile.once,
    Need.ONCE: lambda profile: profile.once,
    Need.LIMIT: lambda profile: profile.max_line is not None,
    Need.NOTICE: lambda profile: profile.oversize in (Oversize.REJECT, Oversize.DISCARD),
    Need.REJECT: lambda profile: profile.oversize is Oversize.REJECT,
    Need.DISCARD: lambda profile: profile.oversize is Oversize.DISCARD,
    Need.STREAMED: lambda profile: profile.oversize is Oversize.STREAM,
    Need.PROXIED: lambda profile: profile.proxy is not None,
    Need.PROXY_1: lambda profile: profile.proxy is Proxy.V1,
    Need.PROXY_2: lambda profile: profile.proxy is Proxy.V2,
    Need.LF_LINES: lambda profile: not profile.strict,
    Need.CRLF_LINES: lambda profile: profile.strict,
    Need.UNDECLARED: lambda profile: profile.max_line is None and profile.oversize is None,
    Need.DIALECT: lambda profile: profile.dialect is not None,
    Need.GREETING: _declares(lambda dialect: dialect.greeting),
    Need.NO_GREETING: _declares(lambda dialect: dialect.greeting is None),
    Need.EARLY: _declares(lambda dialect: dialect.greeting and dialect.greeting.early),
    Need.UNKNOWN: _declares(lambda dialect: dialect.unknown),
    Need.PIPELINED: _declares(lambda dialect: dialect.burst > 1),
    Need.FLOOD: _declares(lambda dialect: dialect.flood),
    Need.SEVERAL_REQUESTS: _declares(lambda dialect: not dialect.once),
    Need.BEHIND: _declares(lambda dialect: dialect.burst > 1 or dialect.once),
    Need.CRLF: _declares(lambda dialect: dialect.crlf),
    Need.LONG_LINES: _declares(lambda dialect: dialect.line),
    Need.LIMIT_OF_LINES: _declares(lambda dialect: dialect.line and dialect.line.size),
    Need.OVERSIZE: _declares(lambda dialect: dialect.oversize),
    Need.BODY: _declares(lambda dialect: dialect.body),
    Need.END: _declares(lambda dialect: dialect.end),
    Need.STARTTLS: _declares(lambda dialect: dialect.starttls),
    Need.SEVERAL_CLIENTS: _declares(lambda dialect: dialect.clients > 1),
    Need.IDLE: _declares(lambda dialect: dialect.idle_s),
    Need.SLOW_LINE: _declares(lambda dialect: dialect.line_s),
}


def unmet(profile: Profile, needs: tuple[Need, ...]) -> Need | None:
    """Return the first of `needs` that the server does not meet; None if it meets all."""
    lines = () if Need.CRLF_LINES in needs else (Need.LF_LINES,)
    return next((need for need in (*lines, *needs) if not _MET[need](profile)), None)
