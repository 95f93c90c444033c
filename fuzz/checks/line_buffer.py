"""`LineBuffer` agrees with a naive model, however the stream is cut and whichever way it is taken.

Besides: it never holds more than it may, its work is linear, it keeps no hold of the memory it is
fed from, and no two buffers share anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from caas_trio.core.buffering import ByteBuffer
from caas_trio.core.errors import BareTerminator, LimitError, LineTooLong, StateError
from caas_trio.core.framing import LineBuffer
from caas_trio.core.terminator import Terminator
from fuzz.script import CUT, END, header, steps, tokens
from tests.models import NaiveLineBuffer as Model
from tests.models import NaiveStrictBuffer as StrictModel

from .chunks import cut, cuts, hand_over
from .counted import CountedBytes, Work
from .progress import Progress

MODULES: Final = ("caas_trio.core.framing", "caas_trio.core.buffering", "caas_trio.core.terminator")

_WAYS: Final = ("next_line", "take_lines", "take_pieces", "take_rest")
#: Steps that feed the chunk before them: by the call that takes, instead of by itself.
_TAKE_FROM: Final[dict[int, tuple[Any, ...]]] = {
    sign: (way,) for sign, way in zip(b"NLP", _WAYS, strict=False)
}
#: Steps besides the common ones: take once in one of the ways; make the limit smaller or larger.
_TAKE: Final = dict(zip(b"nlpr", _WAYS, strict=True))
_SOME: Final = ord("s")
_TAKE_COUNT: Final = {ord("w"): "take_line_piece", ord("e"): "take_exactly", _SOME: "take_some"}
#: Take up to the delimiter of the script, and up to the other one of its pair in `_DELIMITERS`.
_UNTIL: Final = dict(zip(b"uv", (0, 1), strict=True))
#: What came last comes again so many times, once in a script, so that a leak of bytes shows.
_AGAIN: Final = ord("+")
_TIMES: Final = 16
_DELIMITERS: Final = (b"\n", b"\r\n", b"pp", b"aba", b"\r\n\r\n", b"END", b"aab", b"\n\n")
_SHRINK, _GROW = b"mM"
_KNOWN: Final = frozenset({*_TAKE, *_TAKE_FROM, *_TAKE_COUNT, *_UNTIL, _AGAIN, _SHRINK, _GROW, END})
TOKENS: Final = (*tokens(_KNOWN), *cuts(_DELIMITERS))
_MAX_LIMIT: Final = 24
#: From this value of the header's limit on, lines end with CR LF.
_STRICT: Final = 7 * _MAX_LIMIT

_Taken: TypeAlias = bytes | str | tuple[str, object, str] | None

#: Lives beside all the others and is to notice none of them.
_SIBLING: Final = LineBuffer(1)
_SIBLING.feed(b"s")


def check(data: bytes) -> None:
    """Run one script against a `LineBuffer` and the model."""
    first, limit, cutting, count = header(data)
    strict = limit >= _STRICT
    limit %= _MAX_LIMIT
    if limit == 0:
        _refuse_limit(first)
        return
    chosen = count & 3 | count >> 4 & 4
    by_delimiter = (_DELIMITERS[chosen],) if first & 32 else ()
    way = "take_until" if by_delimiter else (None, *_WAYS[:3])[first & 3]
    pair = _Pair(
        limit, way, *by_delimiter, counted=bool(first & 64), at_once=bool(first & 128), strict=strict
    )
    number = (count >> 2 & 15) - 1
    take_from = {**_TAKE_FROM, _SOME: ("take_some", number)} if first & 128 else _TAKE_FROM
    for chunk, sign in steps(data, limit, _KNOWN):
        if pair.model.ended:
            pair.refuse_input()
        elif sign in take_from:
            pair.feed_and_take(chunk, *take_from[sign])
        else:
            for piece in cut(chunk, cutting):
                pair.feed(piece, (first >> 2) % 3)
        if sign in _UNTIL:
            pair.take("take_until", _DELIMITERS[chosen ^ _UNTIL[sign]])
        elif sign == _AGAIN:
            pair.feed_again(chunk[-8:])
        elif sign not in {CUT, *take_from}:
            pair.act(sign, number)
    pair.finish()


class _Pair:
    """A buffer and its model, kept in step.

    Args:
        limit: the limit of both.
        way: how lines are taken after each chunk; None for only where the script says so.
        how: the arguments of that call.
        counted: whether to count the work.
        at_once: whether a chunk is fed and taken in one call.
        strict: whether lines end with CR LF, and no half of it is payload.
    """

    def __init__(
        self, limit: int, way: str | None, *how: bytes, counted: bool, at_once: bool, strict: bool
    ) -> None:
        self.buffer = LineBuffer(limit, Terminator.CRLF if strict else Terminator.LF)
        self.model = StrictModel(limit) if strict else Model(limit)
        self.strict = strict
        self.more = max(len(self.buffer.terminator.value) - 1, sum(map(len, how)))  # bytes held beyond it
        self.way = way
        self.how = how
        self.counted = counted
        self.at_once = at_once and way is not None and not how
        self.oversize_lines = 0
        self.again = False
        self.fed = 0
        self.longest = 0
        self.last_way: tuple[str | None, tuple[bytes | int, ...]] = (way, how)
        self.searched_again = 0
        self.progress = Progress()
        self.highest = limit
        if counted:
            self.buffer._buffer = CountedBytes()
            Work.walked = 0

    def feed_again(self, piece: bytes) -> None:
        times = 0 if self.again or self.model.ended else _TIMES
        self.again = True
        for _ in range(times):
            self.feed(piece, 0)

    def feed(self, piece: bytes, kind: int) -> None:
        """Feed a piece to both, and take from it if that is the way of this script."""
        if self.at_once and self.way:
            self.feed_and_take(piece, self.way)
            return
        self.feed_model(piece)
        hand_over(self.buffer.feed, piece, kind)
        self.compare_progress()
        self.take_rest_of(piece)

    def take_rest_of(self, piece: bytes) -> None:
        """Take until nothing comes back, if that is the way of this script."""
        if self.way:
            held = len(self.buffer._buffer)
            assert held <= self.highest + self.more + len(piece), f"{held} bytes held"
            self.take_all(self.way, *self.how)
            rest = len(self.model.rest)  # and so the buffer's, as `take` found
            limit = self.model.max_line + self.more
            assert rest <= limit, f"{rest} bytes left, limit {self.model.max_line}"

    def feed_and_take(self, piece: bytes, way: str, *how: int) -> None:
        """Feed a piece by the call that takes, which then takes once."""
        self.feed_model(piece)
        self.take(way, *how, chunk=piece)
        self.take_rest_of(piece)

    def feed_model(self, piece: bytes) -> None:
        """Feed a piece to the model; the buffer gets it otherwise."""
        skipping = self.model.skipping
        self.model.feed(piece)
        self.progress.steps += skipping and not self.model.skipping
        self.fed += max(len(piece), 1)  # an empty one costs a look, too
        self.longest = max(self.longest, len(piece))

    def compare_progress(self) -> None:
        """Compare what the buffer says of the line that is being received."""
        begun = bool(self.model.rest) or self.model.skipping or self.model.streaming
        self.progress.compare(self.buffer.unfinished, begun=begun and not self.model.ended)

    def act(self, sign: int, number: int) -> None:
        """Run one step of the script; of those that take a number of bytes, with this one."""
        if sign in _TAKE:
            self.take(_TAKE[sign])
        elif sign in _TAKE_COUNT:
            self.take(_TAKE_COUNT[sign], number)
        elif sign == END:
            if not self.model.ended:
                self.end()
        else:
            limit = self.model.max_line
            limit = max(1, limit // 2) if sign == _SHRINK else min(limit * 2, 2 * _MAX_LIMIT)
            self.buffer.max_line = self.model.max_line = limit
            self.highest = max(self.highest, limit)

    def take(self, way: str, *how: bytes | int, chunk: bytes = b"") -> _Taken:
        """Take from both in one way and compare; a chunk is fed to the buffer with the same call."""
        if (way, how) != self.last_way:  # what one way has searched, another one may search again
            self.searched_again += len(self.model.rest) + len(chunk)
            self.last_way = (way, how)
        if way == "take_until":  # which may begin in what was searched before
            self.searched_again += 2 * sum(len(each) for each in how if isinstance(each, bytes))
        streaming = self.model.streaming
        taken = _outcome(getattr(self.buffer, way), *how, *((chunk,) if chunk else ()))
        expected = _outcome(getattr(self.model, way), *how)
        held = len(self.buffer._buffer)  # what `len(buffer)` says is compared in the end
        if taken != expected or held != len(self.model.rest):
            raise AssertionError(f"{way}: {taken!r} instead of {expected!r}, {held} held")
        self.oversize_lines += isinstance(expected, str) and not expected.startswith("bare")
        if not isinstance(expected, tuple):
            self.progress.taken(way, expected, self.model, streaming=streaming)
        self.compare_progress()
        return taken

    def take_all(self, way: str, *how: bytes) -> None:
        while self.take(way, *how):
            pass

    def end(self) -> None:
        self.buffer.end_of_input()
        self.model.ended = True

    def finish(self) -> None:
        """End the input, take what is left, and check what the whole script cost."""
        if not self.counted:  # looking costs work
            self.buffer._check_invariants()
        assert len(self.buffer) == len(self.model.rest), f"{len(self.buffer)} is said to be held"
        if not self.model.ended:
            self.end()
        self.take_all(self.way or "next_line", *self.how)
        counted = self.buffer.oversize_lines
        assert counted == self.oversize_lines, f"{counted} oversize lines of {self.oversize_lines} counted"
        assert self.buffer.ended, "the end of the input was forgotten"
        limit = self.buffer.max_line
        assert limit == self.model.max_line, f"the limit is {limit}, set to {self.model.max_line}"
        assert len(_SIBLING) == 1, "two buffers share what they hold"
        if self.way and not self.counted:
            kept = _footprint(self.buffer) - _EMPTY
            assert kept <= 2 * (self.highest + self.longest) + _SLACK, f"{kept} bytes kept"
        if self.counted:
            walked = Work.walked
            # Three things are sought for where CR LF ends lines: it, and half of it.
            limit = (5 * self.fed + self.searched_again) * (1 + 2 * self.strict) + 8
            assert walked <= limit, f"{walked} bytes walked over for {self.fed} fed"

    def refuse_input(self) -> None:
        """Check that nothing is accepted after the end of input, not even a second end."""
        calls: tuple[tuple[str, Callable[[], object]], ...] = (
            ("feed", lambda: self.buffer.feed(b"more")),
            ("feed", lambda: self.buffer.next_line(b"more\n")),
            ("feed", lambda: self.buffer.take_lines(b"more")),
            ("feed", lambda: self.buffer.take_pieces(b"more")),
            ("feed", lambda: self.buffer.take_some(9, b"more")),
            ("end_of_input", self.buffer.end_of_input),
        )
        for name, call in calls:
            try:
                call()
            except StateError as error:
                named = error.call, error.state
                assert named == (name, "ended"), f"{named} is named where {name} does not fit"
                continue
            raise AssertionError("input was accepted after the end of input")


def _footprint(buffer: LineBuffer) -> int:
    """Return how many bytes the buffer's attributes occupy."""
    return sum(sys.getsizeof(getattr(buffer, name)) for name in ByteBuffer.__slots__)


def _outcome(take: Callable[..., bytes | None], *how: bytes | int) -> _Taken:
    """Return what was taken, the message about an invalid line, or the limit that was refused."""
    try:
        taken = take(*how)
    except (LineTooLong, BareTerminator) as error:
        return str(error)
    except LimitError as error:
        return error.name, error.value, error.expected
    assert taken is None or type(taken) is bytes, f"taken as {type(taken).__name__}"
    return taken


_EMPTY: Final = _footprint(LineBuffer(1))
_SLACK: Final = 32  # what the allocator rounds up to


def _refuse_limit(below: int) -> None:
    """Check that a limit below one is refused, and a delimiter of nothing."""
    calls: dict[tuple[str, object, str], Callable[[], object]] = {
        ("max_line", -below, "a positive number of bytes"): lambda: LineBuffer(-below),
        ("delimiter", b"", "one byte or more"): lambda: LineBuffer(below + 1).take_until(b""),
    }
    for due, call in calls.items():
        try:
            call()
        except LimitError as error:
            named = error.name, error.value, error.expected
            assert named == due, f"{named} instead of {due}"
            continue
        raise AssertionError(f"it was accepted that {due[0]} is {due[1]!r}")
