"""`LineBuffer` against the model of the tests: every input and cut, every mixture of two kinds of reading."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final, Self, TypeAlias

from caas_trio import BareTerminator, LineBuffer, LineTooLong, Terminator
from tests.models import NaiveLineBuffer, NaiveStrictBuffer

from .explore import Pair, Slots, chunks

#: The end of a line, and one byte that no call looks for: the rest are as this one.
ALPHABET = b"\na"

Kind: TypeAlias = Callable[[Any], bytes | None]

KINDS: Final[dict[str, Kind]] = {
    "next_line": lambda buffer: buffer.next_line(),
    "take_lines": lambda buffer: buffer.take_lines(),
    "take_pieces": lambda buffer: buffer.take_pieces(),
    "take_until CR": lambda buffer: buffer.take_until(b"\r"),
    "take_until LF": lambda buffer: buffer.take_until(b"\n"),
    "take_until CRLF": lambda buffer: buffer.take_until(b"\r\n"),
    "take_until CRCR": lambda buffer: buffer.take_until(b"\r\r"),
    "take_line_piece": lambda buffer: buffer.take_line_piece(2),
    "take_exactly": lambda buffer: buffer.take_exactly(2),
    "take_some": lambda buffer: buffer.take_some(1),
}

#: The kinds that take a chunk as they feed it: to the model these are two calls.
FED: Final[dict[str, Callable[[LineBuffer, bytes], bytes | None]]] = {
    "next_line": LineBuffer.next_line,
    "take_lines": LineBuffer.take_lines,
    "take_pieces": LineBuffer.take_pieces,
}

_BUFFER = Slots(LineBuffer, arrays=("_buffer",), without=("_finished", "oversize_lines"))


def mixtures() -> list[tuple[str, str]]:
    """Return every mixture of two kinds of reading."""
    return list(itertools.combinations(KINDS, 2))


class Reading(Pair):
    """A buffer and the model, read in two ways."""

    __slots__ = ("_alphabet", "_buffer", "_just_fed", "_kinds", "_model")

    def __init__(self, kinds: tuple[str, str], max_line: int, terminator: Terminator = Terminator.LF) -> None:
        self._kinds = kinds
        strict = terminator is Terminator.CRLF
        self._alphabet = ALPHABET + b"\r" if strict or any("CR" in kind for kind in kinds) else ALPHABET
        self._just_fed = False
        self._buffer = LineBuffer(max_line, terminator)
        self._model = NaiveStrictBuffer(max_line) if strict else NaiveLineBuffer(max_line)

    def key(self) -> Hashable:
        """Return the state of both."""
        model = self._model
        kept = len(model.skip_to) - 1 if model.skipping else 0  # of what is dropped, as much matters
        skipped = model.skipped[-kept:] if kept else b""
        skip_to = model.skip_to if model.skipping else b""
        return (
            self._just_fed,
            _BUFFER.state(self._buffer),
            (model.rest, model.skipping, skip_to, skipped, model.streaming, model.ended),
        )

    def steps(self, remaining: int) -> Iterator[tuple[int, Self]]:
        """Take each step that fits."""
        for kind in self._kinds:
            self.attempted = (kind,)
            pair = self._fork()
            pair._take(kind)
            yield 0, pair
        if self._buffer.ended:
            return
        self.attempted = ("end_of_input",)
        pair = self._fork()
        pair._buffer.end_of_input()
        pair._model.ended = True
        yield 0, pair
        fed = [kind for kind in self._kinds if kind in FED]
        # What is fed behind a chunk, a byte at a time, is as if it had been fed with it.
        for chunk in chunks(self._alphabet, min(remaining, 1) if self._just_fed else remaining):
            self.attempted = ("feed", chunk)
            pair = self._fork()
            pair._buffer.feed(chunk)
            pair._model.feed(chunk)
            pair._just_fed = True
            yield len(chunk), pair
            for kind in fed:
                self.attempted = (kind, chunk)
                pair = self._fork()
                pair._take(kind, chunk)
                yield len(chunk), pair

    def _fork(self) -> Self:
        copy = object.__new__(type(self))
        copy._kinds, copy._alphabet = self._kinds, self._alphabet
        copy._just_fed = False
        copy._buffer = _BUFFER.fork(self._buffer)
        copy._model = object.__new__(type(self._model))
        vars(copy._model).update(vars(self._model))
        return copy

    def _take(self, kind: str, chunk: bytes = b"") -> None:
        buffer, model = self._buffer, self._model
        oversize, before = buffer.oversize_lines, buffer.unfinished
        if chunk:
            model.feed(chunk)
        expected = _outcome(lambda: KINDS[kind](model))
        taken = _outcome(lambda: FED[kind](buffer, chunk) if chunk else KINDS[kind](buffer))
        assert taken == expected, f"{taken!r} is not {expected!r}"
        assert len(buffer) == len(model.rest), "how much is held"
        assert buffer.oversize_lines == oversize + (taken == "too long"), "oversize_lines"
        if isinstance(taken, bytes) and before and (b"\n" in taken or (taken and kind != "take_pieces")):
            assert buffer.unfinished != before, "what is left has the number of what was taken"
        buffer._check_invariants()


def _outcome(take: Callable[[], bytes | None]) -> bytes | str | None:
    try:
        return take()
    except LineTooLong:
        return "too long"
    except BareTerminator as error:
        return str(error)
