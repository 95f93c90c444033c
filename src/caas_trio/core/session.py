"""Conversations as pure objects: bytes in, bytes out.

`Session` is what a driver runs; `LineSession` is the one we ship. The driver's side:

    reply = session.open()                  once, when the connection is ready
    reply = session.receive(data)           for what a read gave
    reply = session.silence()               if `awaits_silence`, when the client kept silent that long
    reply = session.end_of_input()          once, when the client has sent its last byte
    session.closing                         after each call: send the reply, then end the output

No I/O, no clock, no trio.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from typing import Final, TypeAlias

from .buffering import DEFAULT_MAX_LINE, Chunk, line_limit
from .errors import BareTerminator, LineTooLong, StateError
from .framing import LineBuffer
from .terminator import LF, Terminator

Service: TypeAlias = Callable[[bytes], bytes]

_LF_BYTE: Final = LF[0]
_LF: Final = Terminator.LF

#: What one read of a connection can give at most, in bytes.
MAX_CHUNK: Final = 256 * 1024

#: How many calls of a service that gets line by line one read can ask for: as many as it has bytes.
_MAX_LINES: Final = 8192
#: How many oversize lines a read can hold that are discarded: each costs as much as twenty calls.
_MAX_NOTICES: Final = 128
#: The shortest invalid line: a bare LF, and CR LF.
_SHORTEST_BARE: Final = 3

DEFAULT_PROMPT: Final = b"Enter some data to be capitalized:\n"


class Session(abc.ABC):
    """One conversation. A driver makes each call in turn and sends what it returns.

    Write your own by subclassing. What a session raises ends its connection and no other.

    Attributes:
        max_chunk: the most bytes that one call of `receive` is to get; what the client has sent beyond
            them comes with the next call, after other connections have had their turn. Lower it where
            a byte may cost much: nothing else runs during a call.
    """

    __slots__ = ()

    max_chunk: int = MAX_CHUNK

    @abc.abstractmethod
    def open(self) -> bytes:
        """Return what the server sends before it has received anything; b"" for nothing."""

    @abc.abstractmethod
    def receive(self, data: Chunk) -> bytes:
        """Return what the server says to `data`, which is what one read gave.

        The memory behind `data` is the driver's: what is to be kept has to be copied.
        """

    def silence(self) -> bytes:
        """Return what the server says because the client has kept silent for the opening delay.

        Called at most once, and only while `awaits_silence` is true.
        """
        return b""

    @abc.abstractmethod
    def end_of_input(self) -> bytes:
        """Return what the server says to the end of the client's output. `closing` is true after."""

    @property
    @abc.abstractmethod
    def closing(self) -> bool:
        """Whether the server is done: no further call is allowed, and the output is to be ended."""

    @property
    def awaits_silence(self) -> bool:
        """Whether the driver is to call `silence` if the client says nothing for a while."""
        return False

    @property
    def unfinished(self) -> int:
        """A number for the line that is being received, another one for each line; 0 for none.

        Where it stays the same for `line_timeout` seconds, the driver ends the conversation.
        """
        return 0

    @property
    def oversize_lines(self) -> int:
        """How many lines have been too long so far."""
        return 0


class First(enum.Enum):
    """Which side speaks first."""

    __hash__ = object.__hash__  # written in C, unlike Enum's

    CLIENT = "client"
    """The server is silent until a line, or the end of input, is there."""
    SERVER = "server"
    """The server sends its prompt at once, before it reads anything."""
    EITHER = "either"
    """The server sends its prompt if the client keeps silent; one that speaks never sees it."""


class Oversize(enum.Enum):
    """What becomes of a line longer than `max_line`."""

    REJECT = "reject"
    """An error line takes the reply's place and the conversation ends."""
    DISCARD = "discard"
    """An error line takes the reply's place, the line is skipped, the conversation goes on."""
    STREAM = "stream"
    """The line is answered piece by piece, in constant memory. The service gets any piece of a line."""


class StreamTransform:
    """A service that may be given a whole block of lines at once, or any part of one.

    What it returns for a block must be what it returns for the parts, joined: `bytes.upper` does
    that (and `LineSession` knows it does), a service that numbers lines does not.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, data: bytes) -> bytes:
        """Return the service's answer to `data`."""
        return self._service(data)

    def end(self) -> bytes:
        """Return what the service has held back; called once, after the last of the input.

        For services that can be cut in the middle of what they work on, and are one per session.
        """
        return b""


# Found faster than on the class, before Python 3.12.
_SERVER: Final = First.SERVER
_EITHER: Final = First.EITHER
_DISCARD: Final = Oversize.DISCARD

#: Known to be bytewise without saying so.
_BYTEWISE: Final = (bytes.upper, bytes.lower, bytes.swapcase)


class _State(enum.StrEnum):
    __hash__ = str.__hash__  # as above

    NEW = "new"
    OPENED = "opened"  # the client has not spoken, nor has its silence been noted
    CONVERSING = "conversing"
    CLOSING = "closing"


# As above.
_NEW: Final = _State.NEW
_OPENED: Final = _State.OPENED
_CONVERSING: Final = _State.CONVERSING
_CLOSING: Final = _State.CLOSING


class _Input(enum.StrEnum):
    __hash__ = str.__hash__

    OPEN = "open"
    DATA = "receive"
    SILENCE = "silence"
    END = "end_of_input"


# As above.
_OPEN: Final = _Input.OPEN
_END: Final = _Input.END

#: What follows on what; a pair that is not here raises `StateError`. Beside these moves, an answer
#: that is the last one (`once`, a rejected line) leads to CLOSING.
_NEXT: Final[dict[tuple[_State, _Input], _State]] = {
    (_State.NEW, _Input.OPEN): _State.OPENED,
    (_State.OPENED, _Input.DATA): _State.CONVERSING,
    (_State.OPENED, _Input.SILENCE): _State.CONVERSING,
    (_State.OPENED, _Input.END): _State.CLOSING,
    (_State.CONVERSING, _Input.DATA): _State.CONVERSING,
    (_State.CONVERSING, _Input.END): _State.CLOSING,
}


class LineSession(Session):
    """A conversation in lines: a service answers each.

    The reply stream depends on the bytes received and on where they end, never on how they were cut
    into reads. Replies come in request order. Input that ends without a terminator is a last line.

    Raises `StateError` for a call that does not fit what has happened so far (any call but `open`
    at first, any call once `closing` is true, `silence` once the client has spoken) and passes on
    what the service raises. Anything else that escapes is a bug, whatever the peer sends. An empty
    chunk is no input and changes nothing.

    Args:
        service: gets a line with its terminator (the last one may lack it) and returns the reply,
            sent as it is. With `Oversize.STREAM` it gets any piece of a line, or whole blocks of
            lines if it is `StreamTransform`; `bytes.upper` is.
        first: which side speaks first.
        prompt: what the server says first, sent as it is; unused with `First.CLIENT`.
        max_line: the most bytes a line may have before its terminator.
        oversize: what becomes of a longer one, and of one with a bare CR or LF where lines end with
            CR LF. That cannot be streamed: with `Oversize.STREAM` it is rejected.
        once: whether the conversation ends when one line is answered.
        terminator: what ends a line, and the error lines too.

    Raises:
        LimitError: `max_line` is not a positive number.
    """

    __slots__ = (
        "_buffer",
        "_buffers",
        "_bytewise",
        "_first",
        "_max_line",
        "_once",
        "_oversize",
        "_prompt",
        "_service",
        "_shortcut",
        "_state",
        "_terminator",
        "closing",
        "max_chunk",
        "oversize_lines",
    )

    #: Whether the server has said its last. Beside `_state`, because a driver asks for each read.
    closing: bool
    #: How many lines have been too long so far.
    oversize_lines: int

    def __init__(
        self,
        service: Service,
        first: First = First.CLIENT,
        prompt: bytes = DEFAULT_PROMPT,
        max_line: int = DEFAULT_MAX_LINE,
        oversize: Oversize = Oversize.REJECT,
        *,
        once: bool = False,
        terminator: Terminator = Terminator.LF,
    ) -> None:
        self._service = service
        self._terminator = terminator
        self._bytewise = isinstance(service, StreamTransform) or service in _BYTEWISE
        self._first = first
        self._prompt = prompt
        self._oversize = oversize
        self._once = once
        self._max_line = line_limit(max_line)
        self.max_chunk = Session.max_chunk
        if not self._bytewise:
            self.max_chunk = min(self.max_chunk, _MAX_LINES)
        if oversize is _DISCARD:
            shortest = max_line + 2 if terminator is Terminator.LF else _SHORTEST_BARE
            self.max_chunk = min(self.max_chunk, _MAX_NOTICES * shortest)
        # None before the first line, and between whole lines of a bytewise service: most of the time.
        self._buffer: LineBuffer | None = None
        self._buffers = 0  # how many there have been
        self._state = _NEW
        self.closing = False
        self.oversize_lines = 0
        # How many bytes of whole lines need no more than the service; 0 within a line.
        self._shortcut = 0

    @property
    def awaits_silence(self) -> bool:
        """Whether the prompt depends on the client's keeping silent, and it has done so so far."""
        return self._first is _EITHER and self._state is _OPENED

    @property
    def unfinished(self) -> int:
        """A number for the line that is being received; see `LineBuffer.unfinished`."""
        line = 0 if self._buffer is None else self._buffer.unfinished
        return line and (self._buffers << 32) + line

    def open(self) -> bytes:
        """Return the prompt if the server speaks first."""
        self._move(_OPEN)
        self._between_lines()
        return self._prompt if self._first is _SERVER else b""

    def silence(self) -> bytes:
        """Return the prompt if either side may speak first."""
        self._move(_Input.SILENCE)
        return self._prompt if self._first is _EITHER else b""

    def receive(self, data: Chunk) -> bytes:
        """Return the replies to all that `data` completes."""
        chunk = data if isinstance(data, bytes) else bytes(data)
        if not chunk:
            return b""
        if len(chunk) <= self._shortcut and chunk[-1] == _LF_BYTE:
            self._state = _CONVERSING
            return self._service(chunk)
        if self._buffer is None:
            self._buffer = LineBuffer(self._max_line, self._terminator)
            self._buffers += 1
        self._move(_Input.DATA)
        reply = self._answer(self._buffer, chunk)
        if not self._buffer.unfinished and not self.closing:
            self._between_lines()
        return reply

    def end_of_input(self) -> bytes:
        """Return the reply to the last line if the input ended without a terminator."""
        self._move(_END)
        reply = b""
        if self._buffer is not None:
            self._buffer.end_of_input()
            reply = self._answer(self._buffer)
        return reply + self._service.end() if isinstance(self._service, StreamTransform) else reply

    def _move(self, made: _Input) -> None:
        """Enter the state that follows on `made`."""
        following = _NEXT.get((self._state, made))
        if following is None:
            raise StateError(made.value, self._state.value)
        self._state = following
        self.closing = following is _CLOSING
        self._shortcut = 0

    def _between_lines(self) -> None:
        if self._bytewise and not self._once:
            self._shortcut = self._max_line if self._terminator is _LF else 0
            self._buffer = None

    def _answer(self, buffer: LineBuffer, chunk: bytes = b"") -> bytes:
        take = buffer.take_pieces if self._oversize is Oversize.STREAM else buffer.take_lines
        replies: list[bytes] = []
        while True:
            try:
                block = take(chunk)
            except (LineTooLong, BareTerminator) as error:
                self.oversize_lines += isinstance(error, LineTooLong)
                replies.append(f"error: {error}".encode() + self._terminator.value)
                last = self._once or self._oversize is not Oversize.DISCARD
            else:
                if not block:
                    break
                replies.append(self._serve(block))
                last = self._once and (LF in block or buffer.ended)
            if last:
                self._state, self.closing = _CLOSING, True
            if last or not buffer:
                break
            chunk = b""
        return b"".join(replies)

    def _serve(self, block: bytes) -> bytes:
        """Return the service's replies to a block of lines, only to the first of it if `once`."""
        if self._once:
            return self._service(block[: block.find(LF) + 1] or block)
        if self._bytewise:
            return self._service(block)
        lines = block.split(LF)
        tail = lines.pop()
        replies = [self._service(line + LF) for line in lines]
        if tail:
            replies.append(self._service(tail))
        return b"".join(replies)
