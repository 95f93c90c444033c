"""The control protocol of a supervisor and its workers, without I/O.

Lines of UTF-8, each ended by a LF, over a socket pair for each worker:

    supervisor   a `WorkerConfig` in JSON; then commands, each a `Command`
    worker       `alive` and `turned` as often as it likes; `drain SECONDS`, then `ready`, each once;
                 `failed REASON`, `misused REASON` or `no-room REASON` is its last line

The end of the input means that the other end is gone.

A worker handles bytes of strangers and may have been taken over, so its supervisor trusts nothing that it
sends: a line has a limit, and the first one that breaks a rule is a `ControlError`, which ends that worker
and nothing else.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from caas_trio.core.errors import CaasError, LineTooLong
from caas_trio.core.framing import LineBuffer
from caas_trio.core.printable import printable

#: The longest line of a supervisor: the settings may hold a long command line, and a long file.
MAX_CONFIG_BYTES: Final = 1 << 24

#: The longest line of a worker; the longest reason in it, in characters of up to four bytes each.
MAX_MESSAGE_BYTES: Final = 4096
_MAX_REASON: Final = 1000


#: How a number of seconds is written.
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?|inf")


_FOR_EVER_S: Final = 1e9


class ControlError(CaasError):
    """A line that breaks the control protocol; nothing after it can be understood."""


@dataclass(frozen=True, kw_only=True)
class SharedSocket:
    """A listener, as it is described to another process.

    Attributes:
        asked: the endpoint that was asked for, as text.
        endpoint: where it is.
        descriptors: of its sockets.
    """

    asked: str
    endpoint: str
    descriptors: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """The configuration of a worker.

    Attributes:
        arguments: the command line.
        config: the settings of the file.
        directory: what relative paths in both start from; None if that was gone already.
        sockets: what to serve.
        slot: a number that no other worker has at the time.
        watchdog_interval: how many seconds may lie between two signs of life; `math.inf` if none are wanted.
        metrics_folder: the folder that metrics are shared in; None without metrics.
        turn_interval: how many seconds lie between two signs that its loop turns; `math.inf` if none are
            wanted.
        stacks: the descriptor that it writes its stack to if it is killed; None for nowhere.
    """

    arguments: Sequence[str]
    config: Mapping[str, Any]
    directory: str | None
    sockets: Sequence[SharedSocket]
    slot: int
    watchdog_interval: float
    metrics_folder: str | None
    turn_interval: float = math.inf
    stacks: int | None = None

    def to_line(self) -> str:
        """Return it as a line, without the LF."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> WorkerConfig:
        """Return the config that `to_line` has written."""
        fields = json.loads(line)
        return cls(**{**fields, "sockets": [SharedSocket(**each) for each in fields["sockets"]]})


class Command(enum.StrEnum):
    """The commands of a supervisor to a worker."""

    RETIRE = "retire"  # accept no more, let connections end by themselves for a while, then stop
    STOP = "stop"  # accept no more, drain, and exit
    HANDOVER = "handover"  # the same, but a successor has the paths
    CUT = "cut"  # exit at once


class Kind(enum.StrEnum):
    """The messages of a worker to its supervisor."""

    READY = "ready"
    ALIVE = "alive"  # its loops that accept are running
    TURNED = "turned"  # its event loop is
    DRAIN = "drain"  # how many seconds its drain may take
    FAILED = "failed"
    MISUSED = "misused"  # by a mistake of the user's
    NO_ROOM = "no-room"


_FINAL: Final = frozenset({Kind.FAILED, Kind.MISUSED, Kind.NO_ROOM})
_WITH_REASON: Final = _FINAL | {Kind.DRAIN}
_ONCE: Final = frozenset({Kind.DRAIN, Kind.READY})


class Message(NamedTuple):
    """A line of a worker.

    Attributes:
        kind: which message it is.
        reason: why it failed, or how many seconds, in printable characters; empty for the others.
    """

    kind: Kind
    reason: str = ""

    @classmethod
    def drain(cls, seconds: float) -> Message:
        """Return the message that says how long a drain may take; more than thirty years is for ever."""
        return cls(Kind.DRAIN, f"{seconds:.3f}" if seconds < _FOR_EVER_S else "inf")

    def to_line(self) -> str:
        """Return it as a line, without the LF; a long reason is cut short."""
        return (
            f"{self.kind} {printable(self.reason)[:_MAX_REASON]}" if self.kind in _WITH_REASON else self.kind
        )


class ControlLines:
    """Splits what the other end sends into lines.

    Args:
        max_bytes: how long a line may be.
    """

    def __init__(self, max_bytes: int) -> None:
        self._buffer = LineBuffer(max_bytes)

    def feed(self, chunk: bytes) -> None:
        """Take what one read gave."""
        self._buffer.feed(chunk)

    def next_line(self) -> str | None:
        """Return the next whole line, without its LF; None if there is none yet.

        Raises:
            ControlError: it is too long, or not UTF-8.
        """
        try:
            line = self._buffer.next_line()
            return None if line is None else line[:-1].decode()
        except LineTooLong as error:
            raise ControlError(f"a line is longer than {self._buffer.max_line} bytes") from error
        except UnicodeDecodeError as error:
            raise ControlError("a line is not UTF-8") from error


class MessageParser:
    """Parses the lines of one worker, and checks their order."""

    def __init__(self) -> None:
        self._last: Kind | None = None
        self._seen: set[Kind] = set()

    def parse(self, line: str) -> Message:
        """Return the message in a line.

        Raises:
            ControlError: it is invalid, or comes out of order.
        """
        word, space, reason = line.partition(" ")
        if word not in set(Kind):
            raise ControlError(f"{printable(line[:50])!r} is no message")
        kind = Kind(word)
        if bool(space) is not (kind in _WITH_REASON):
            raise ControlError(f"{kind!s} comes {'with' if space else 'without'} a reason")
        if self._last in _FINAL:
            raise ControlError(f"{kind!s} comes after {self._last!s}")
        if kind in _ONCE & self._seen:
            raise ControlError(f"{kind!s} comes twice")
        if kind is Kind.DRAIN and Kind.READY in self._seen:  # the drain may have begun by now
            raise ControlError("drain comes after ready")
        if kind is Kind.DRAIN and not _SECONDS.fullmatch(reason):
            raise ControlError("drain comes without a number of seconds")
        self._last = kind
        self._seen.add(kind)
        return Message(kind, printable(reason))


def parse_messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """Yield the messages in what a worker sent, wherever the reads cut it.

    Raises:
        ControlError: it broke the protocol; what came before that has been yielded.
    """
    lines, parser = ControlLines(MAX_MESSAGE_BYTES), MessageParser()
    for chunk in chunks:
        lines.feed(chunk)
        while (line := lines.next_line()) is not None:
            yield parser.parse(line)
