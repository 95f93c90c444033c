"""`LineBuffer` against the model of the tests: every input and cut, every mixture of all kinds of reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from caas_trio import BareTerminator, LineBuffer, LineTooLong, Terminator
from tests.models import NaiveLineBuffer, NaiveStrictBuffer

from .explore import Pair, chunks
from .states import BufferState, buffer_state, restore

#: The two bytes of a terminator, and one that no call looks for: the rest are as this one.
ALPHABET: Final = b"\n\ra"

Kind: TypeAlias = Callable[..., bytes | None]
Outcome: TypeAlias = bytes | str | None

#: What the model holds; whether it drops, up to what, and what it has dropped last; whether it streams;
#: whether it has ended.
ModelState: TypeAlias = tuple[bytes, bool, bytes, bytes, bool, bool]

#: Whether a chunk has just been fed; the state of the model; the state of the buffer, beside what it holds:
#: that is what the model holds, or they differ.
State: TypeAlias = tuple[bool, ModelState, BufferState]

#: The kinds that take a chunk as they feed it: to the model these are two calls.
FED: Final[dict[str, Kind]] = {
    "next_line": lambda buffer, *chunk: buffer.next_line(*chunk),
    "take_lines": lambda buffer, *chunk: buffer.take_lines(*chunk),
    "take_pieces": lambda buffer, *chunk: buffer.take_pieces(*chunk),
}

KINDS: Final[dict[str, Kind]] = {
    **FED,
    "take_until CR": lambda buffer: buffer.take_until(b"\r"),
    "take_until LF": lambda buffer: buffer.take_until(b"\n"),
    "take_until CRLF": lambda buffer: buffer.take_until(b"\r\n"),
    "take_until CRCR": lambda buffer: buffer.take_until(b"\r\r"),
    "take_line_piece": lambda buffer: buffer.take_line_piece(2),
    "take_exactly": lambda buffer: buffer.take_exactly(2),
    "take_some": lambda buffer: buffer.take_some(1),
}


class Expected:
    """The model. Each call is made once from each of its states: they are few beside the buffer's."""

    def __init__(self, max_line: int, terminator: Terminator) -> None:
        is_strict = terminator is Terminator.CRLF
        self._model = NaiveStrictBuffer(max_line) if is_strict else NaiveLineBuffer(max_line)
        self._reads: dict[ModelState, dict[str, tuple[Outcome, ModelState]]] = {}
        self._states: dict[ModelState, ModelState] = {}  # one object for each
        self.first = self._state()

    def reads(self, state: ModelState) -> dict[str, tuple[Outcome, ModelState]]:
        """Return what each of `KINDS` comes to in a state, and the state after it."""
        if state not in self._reads:
            self._reads[state] = {
                kind: (self._after(state, read), self._state()) for kind, read in KINDS.items()
            }
        return self._reads[state]

    def fed(self, state: ModelState, chunk: bytes) -> ModelState:
        """Return the state that a chunk leads to."""
        self._restore(state)
        self._model.feed(chunk)
        return self._state()

    def ended(self, state: ModelState) -> ModelState:
        """Return the state that the end of input leads to."""
        self._restore(state)
        self._model.ended = True
        return self._state()

    def _after(self, state: ModelState, read: Kind) -> Outcome:
        self._restore(state)
        return _outcome(read, self._model)

    def _state(self) -> ModelState:
        model = self._model
        kept = len(model.skip_to) - 1 if model.skipping else 0  # of what is dropped, as much matters
        skipped = model.skipped[-kept:] if kept else b""
        skip_to = model.skip_to if model.skipping else b""
        state = (model.rest, model.skipping, skip_to, skipped, model.streaming, model.ended)
        return self._states.setdefault(state, state)

    def _restore(self, state: ModelState) -> None:
        model = self._model
        model.rest, model.skipping, model.skip_to, model.skipped, model.streaming, model.ended = state


class Reading(Pair[State, tuple[int, int]]):
    """A buffer and the model, read in every way.

    All kinds of reading are tried from each state. So each mixture of some of them is among the paths, and
    what mixtures have in common is followed once.
    """

    def __init__(self, max_line: int, terminator: Terminator) -> None:
        self._name = f"LineBuffer({max_line}, {terminator})"
        self._buffer = LineBuffer(max_line, terminator)
        # Not 0, so that it shows whether these are added to.
        self._buffer._finished = self._buffer.oversize_lines = 1
        self._is_begun = False  # whether a line is, in the state that is followed
        self._expected = Expected(max_line, terminator)
        self.first: State = (False, self._expected.first, buffer_state(self._buffer))
        self._from = self.first, self.counts()

    def __str__(self) -> str:
        return self._name

    def counts(self) -> tuple[int, int]:
        """Return how many lines have ended, and how many have been oversize."""
        return self._buffer._finished, self._buffer.oversize_lines

    def steps(self, state: State, counts: tuple[int, int], remaining: int) -> Iterator[tuple[int, State]]:
        """Take each step that fits."""
        self._from = state, counts
        just_fed, model, _ = state
        self._check()
        for kind, outcome in self._expected.reads(model).items():
            yield 0, self._take(kind, outcome)
        self._restore()
        if self._buffer.ended:
            return
        self.attempted = ("end_of_input",)
        self._buffer.end_of_input()
        yield 0, self._state(self._expected.ended(model))
        # What is fed behind a chunk, a byte at a time, is as if it had been fed with it.
        for chunk in chunks(ALPHABET, min(remaining, 1) if just_fed else remaining):
            self.attempted = ("feed", chunk)
            fed = self._expected.fed(model, chunk)
            self._restore()
            self._buffer.feed(chunk)
            yield len(chunk), self._state(fed, just_fed=True)
            outcomes = self._expected.reads(fed)
            for kind in FED:
                yield len(chunk), self._take(kind, outcomes[kind], chunk)

    def _check(self) -> None:
        """Check what depends on the state alone, and so once for each."""
        self.attempted = ("what is so in every state",)
        self._restore()
        self._buffer._check_invariants()
        assert len(self._buffer) == len(self._buffer.held), "how much is held"
        number = self._buffer.unfinished
        self._is_begun = number != 0
        assert number in {0, self._buffer._finished + 1}, "the number of the line"

    def _restore(self) -> None:
        (_, model, state), (finished, oversize_lines) = self._from
        restore(self._buffer, model[0], state, finished=finished, oversize_lines=oversize_lines)

    def _state(self, model: ModelState, *, just_fed: bool = False) -> State:
        assert self._buffer.held == model[0], "what is held"
        return just_fed, model, buffer_state(self._buffer)

    def _take(self, kind: str, outcome: tuple[Outcome, ModelState], *chunk: bytes) -> State:
        self.attempted = (kind, *chunk)
        self._restore()
        buffer, (expected, model), (finished, oversize_lines) = self._buffer, outcome, self._from[1]
        taken = _outcome(KINDS[kind], buffer, *chunk)
        assert taken == expected, f"{taken!r} is not {expected!r}"
        assert buffer.oversize_lines == oversize_lines + (taken == "too long"), "oversize_lines"
        if (
            self._is_begun
            and taken
            and isinstance(taken, bytes)
            and (kind != "take_pieces" or b"\n" in taken)
        ):
            assert buffer._finished != finished, "what comes next has the number of what was taken"
        return self._state(model)


def _outcome(read: Kind, *arguments: object) -> Outcome:
    try:
        return read(*arguments)
    except LineTooLong:
        return "too long"
    except BareTerminator as error:
        return str(error)
