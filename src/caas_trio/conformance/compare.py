"""Compares what a server sends with what is due, piece by piece; correct bytes are not kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from .case import Fault
from .oracle import Notice, Part
from .wire import Wire

#: Bytes of context shown on either side of the first wrong byte.
_BYTES_BEFORE: Final = 32
_BYTES_AFTER: Final = 160
#: The most bytes of a notice, which is one line.
MAX_NOTICE: Final = 512


class Broken(Exception):  # noqa: N818 - it is the server that errs
    """A step has found a clause broken.

    Attributes:
        fault: which, and how.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The bytes that came are not those that were due.

    Attributes:
        reason: what is wrong, in one line.
        expected: what was due, from a little before the first difference.
        received: what came instead, from the same place.
        missing: what is still due, where all that came so far is right and the connection is open.
    """

    reason: str
    expected: bytes
    received: bytes
    missing: tuple[Part, ...] = ()


async def receive_exactly(wire: Wire, parts: tuple[Part, ...], timeout_s: float) -> Mismatch | None:
    """Receive `parts` and nothing else, behind them whatever comes is left for the next read.

    Args:
        wire: the connection.
        parts: what is due.
        timeout_s: seconds without a byte in either direction after which what is missing counts as missing.

    Returns:
        What was different; None if nothing was.
    """
    for number, part in enumerate(parts):
        if isinstance(part, Notice):
            mismatch = await _receive_notice(wire, timeout_s)
        else:
            mismatch = await _receive_bytes(wire, part, timeout_s, parts[number + 1 :])
        if mismatch is not None:
            return mismatch
    return None


async def _next(wire: Wire, timeout_s: float) -> bytes | None:
    """Return the next bytes; b"" at the end, None if none came in time.

    Time counts while nothing passes in either direction: a client that is still sending, on a busy
    machine, is owed nothing yet.
    """
    sent = -1
    while sent != wire.sent:
        sent = wire.sent
        with trio.move_on_after(timeout_s):
            return await wire.receive()
    return None


def _nothing_came(data: bytes | None, done: int) -> str:
    if data is None:
        return f"the rest of the reply did not come (after {done} bytes)" if done else "no reply came"
    return f"the server ended the conversation after {done} bytes of the reply"


async def _receive_bytes(wire: Wire, due: bytes, timeout_s: float, rest: tuple[Part, ...]) -> Mismatch | None:
    done = 0
    with memoryview(due) as view:
        while done < len(due):
            data = await _next(wire, timeout_s)
            if not data:
                expected, received = (
                    due[max(0, done - _BYTES_BEFORE) : done + _BYTES_AFTER],
                    due[max(0, done - _BYTES_BEFORE) : done],
                )
                missing = (due[done:], *rest) if data is None else ()
                return Mismatch(_nothing_came(data, done), expected, received, missing)
            length = min(len(data), len(due) - done)
            if view[done : done + length] != data[:length]:
                return _difference(due, done, data)
            done += length
            if len(data) > length:
                wire.push_back(data[length:])
    return None


def _difference(due: bytes, done: int, data: bytes) -> Mismatch:
    same = next(n for n, byte in enumerate(data) if due[done + n] != byte)
    start = max(0, done + same - _BYTES_BEFORE)
    expected = due[start : done + same + _BYTES_AFTER]
    received = due[start:done] + data[max(0, start - done) : same + _BYTES_AFTER]
    return Mismatch(f"byte {done + same} of the reply is wrong", expected, received)


async def _receive_notice(wire: Wire, timeout_s: float) -> Mismatch | None:
    wanted = b"(a line with a lower-case letter)\n"
    notice = b""
    while b"\n" not in notice and len(notice) <= MAX_NOTICE:
        data = await _next(wire, timeout_s)
        if not data:
            reason = (
                "no notice came" if data is None else "the server ended the conversation without a notice"
            )
            return Mismatch(reason, wanted, notice)
        notice += data
    line, lf, behind = notice.partition(b"\n")
    if not lf or line == line.upper():
        return Mismatch("a reply came where a notice was due", wanted, notice[:_BYTES_AFTER])
    if behind:
        wire.push_back(behind)
    return None
