"""The error tree: the side that is to blame decides the branch.

    CaasError
    ├── PeerError                 what the other side did, or failed to do
    │   ├── LineTooLong           it sent a line longer than `max_line`
    │   ├── BareTerminator        it sent half of a CR LF
    │   ├── CountRefused          it asked for more bytes than it may
    │   ├── TooMuchUnsent         it did not read, and too much waits for it
    │   ├── InputEnded            it sent less than it should have
    │   ├── TooSlow               it let a timeout pass
    │   ├── ProxyHeaderError      an invalid PROXY header
    │   ├── ConnectionLost        it reset the connection, or is gone
    │   └── HandshakeFailed       the TLS handshake with it failed
    ├── UsageError                our own caller asked for something that makes no sense
    │   ├── EndpointError         a text or a set of values that names no endpoint
    │   ├── LimitError            a limit or a delay outside its range
    │   └── StateError            a call that does not fit what has happened so far
    ├── ListenError               the machine does not allow a server to listen there
    ├── ConnectError              a server cannot be reached
    └── TlsError                  a certificate or a key cannot be used

The core (`framing`, `session`, `endpoint`, `proxy_header`) raises these and nothing else. Anything
else that escapes it, whatever bytes the peer sends, is a bug; the one exception is what a service
passed to `LineSession` raises itself. `TooSlow` and `ConnectionLost` come from the drivers: the
core knows neither clocks nor connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from pathlib import Path


class CaasError(Exception):
    """The root of every error this package raises on purpose."""


class PeerError(CaasError):
    """What the other side of a connection did, or failed to do; never a fault of ours.

    Attributes:
        connection: the `Connection` whose peer it was; None if it was not raised by one.
    """

    connection: object | None = None


class LineTooLong(PeerError):  # noqa: N818 - the name users import is fixed
    """A line is longer than `max_line`; raised once per line, as soon as the byte too many is in.

    Attributes:
        limit: the number of bytes a line may have before its terminator.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"line longer than {self.limit} bytes"


class BareTerminator(PeerError):  # noqa: N818 - as LineTooLong
    r"""A line contains half of its terminator, CR LF; raised once per line, as soon as that is certain.

    Attributes:
        byte: the half: b"\r" or b"\n".
    """

    def __init__(self, byte: bytes) -> None:
        super().__init__(byte)
        self.byte = byte

    def __str__(self) -> str:
        half = "CR" if self.byte == b"\r" else "LF"
        return f"bare {half} in a line, which ends with CR LF"


class CountRefused(PeerError):  # noqa: N818 - as LineTooLong
    """The peer announced, or sent, a number of bytes that is not allowed.

    Attributes:
        count: how many it announced; of a body without a count, how many it sent.
        limit: the most that it may.
    """

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count, limit)
        self.count = count
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.count} bytes where 0 to {self.limit} are accepted"


class TooMuchUnsent(PeerError):  # noqa: N818 - as LineTooLong
    """The peer does not read fast enough: more than `max_unsent` bytes that were posted wait for it.

    Attributes:
        limit: the number of bytes that may wait.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"more than {self.limit} bytes are unsent"


class InputEnded(PeerError):  # noqa: N818 - as LineTooLong
    """The input ended before as many bytes had come as were waited for; they can still be read.

    Attributes:
        expected: how many were waited for; None for those of a body without a count.
        received: how many have come.
    """

    def __init__(self, expected: int | None, received: int) -> None:
        super().__init__(expected, received)
        self.expected = expected
        self.received = received

    def __str__(self) -> str:
        if self.expected is None:
            return f"the input ended after {self.received} bytes, within a body"
        return f"the input ended after {self.received} of {self.expected} bytes"


class TooSlow(PeerError):  # noqa: N818 - as LineTooLong
    """The peer let a timeout pass.

    Attributes:
        limit: which one, by its name in `Limits`: "idle_timeout", "line_timeout", "write_timeout" or
            "opening_timeout".
    """

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the {self.limit.replace('_', ' ')} is over"


class ProxyHeaderError(PeerError):
    """The input is not a valid PROXY header.

    Attributes:
        reason: what is wrong with it, one clause without a full stop and without a byte of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad PROXY header: {self.reason}"


class ConnectionLost(PeerError):  # noqa: N818 - as LineTooLong
    """The peer reset the connection, or closed it while replies were still to be sent."""

    def __str__(self) -> str:
        return "the connection is lost"


class HandshakeFailed(PeerError):  # noqa: N818 - as LineTooLong
    """The TLS handshake failed; nothing was sent but an alert.

    Attributes:
        reason: why not, one clause without a full stop, in OpenSSL's words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"no TLS handshake: {self.reason}"


class UsageError(CaasError):
    """Our own caller asked for something that makes no sense, whatever the peer does."""


class EndpointError(UsageError, ValueError):
    """A text or a set of values that names no endpoint.

    Attributes:
        text: the endpoint as it was given.
        reason: what is wrong with it, one clause without a full stop.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.text!r} is not an endpoint: {self.reason}"


class LimitError(UsageError, ValueError):
    """A limit or a delay outside its range.

    Attributes:
        name: the parameter.
        value: what was given.
        expected: what would have been right.
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(name, value, expected)
        self.name = name
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.name} is {self.value!r}; it must be {self.expected}"


class StateError(UsageError, RuntimeError):
    """A call that does not fit what has happened so far, such as input after the end of input.

    Attributes:
        call: the call that was made.
        state: the state that does not allow it.
    """

    def __init__(self, call: str, state: str) -> None:
        super().__init__(call, state)
        self.call = call
        self.state = state

    def __str__(self) -> str:
        return f"{self.call} does not fit the state {self.state}"


class _EndpointUnusable(CaasError):  # noqa: N818 - the base of two that are errors by name
    attempt: ClassVar[str]

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(endpoint, reason)
        self.endpoint = endpoint
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot {self.attempt} {self.endpoint}: {self.reason}"


class ListenError(_EndpointUnusable):
    """The machine does not allow a server to listen on an endpoint.

    Attributes:
        endpoint: the endpoint, as text.
        reason: why not, one clause without a full stop.
    """

    attempt = "listen on"


class ConnectError(_EndpointUnusable):
    """A server cannot be reached.

    Attributes:
        endpoint: the endpoint, as text.
        reason: why not, one clause without a full stop.
    """

    attempt = "connect to"


class AppError(CaasError):
    """The code of an app failed outside its connections: while it was imported, or in its context.

    The cause (`__cause__`) is what it raised.

    Attributes:
        app: the app, by its name.
        reason: what happened, one clause without a full stop.
    """

    def __init__(self, app: str, reason: str) -> None:
        super().__init__(app, reason)
        self.app = app
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.app}: {self.reason}"


class TlsError(CaasError):
    """A certificate, a key or a list of CAs cannot be used.

    Attributes:
        file: the file.
        reason: why not, one clause without a full stop.
    """

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot use {self.file}: {self.reason}"


#: What a session, a service or a handler may raise at the cost of its own connection and no other. With
#: SystemExit, since a parser of commands (argparse, click) raises it for what a client has sent;
#: KeyboardInterrupt is the user's, and ends the server.
FAULTS: Final = (Exception, SystemExit)

#: What a session does not raise by itself: Ctrl-C, and the interpreter that throws a task away. All else is a
#: bug of its own.
NOT_OURS: Final = (KeyboardInterrupt, GeneratorExit)


def contained(error: BaseException) -> BaseException:
    """Return what costs the connection of the session that raised it; raise what is in `NOT_OURS`."""
    if isinstance(error, NOT_OURS):
        raise error
    return error
