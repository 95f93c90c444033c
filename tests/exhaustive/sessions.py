"""`LineSession` against a model of some lines: every input, cut, limit, order and policy."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from caas_trio import First, LineBuffer, LineSession, Oversize, Service, Terminator

from .explore import Pair, chunks
from .replies import ALPHABET, Number, Policy, Replies, Reply
from .states import BufferState, buffer_state, restore

PROMPT: Final = b"prompt\n"

#: The attributes that change. The others are set once.
CHANGING: Final = ("_buffer", "_buffers", "_shortcut", "_state", "closing", "oversize_lines")

_settled = operator.attrgetter(*(name for name in LineSession.__slots__ if name not in CHANGING))


def by_line(line: bytes) -> bytes:
    """Return the capitals of a line, from a service that is not known to be bytewise."""
    return line.upper()


@dataclass(frozen=True)
class Setting:
    """What a session is made with."""

    service: Service
    first: First
    policy: Policy

    def session(self) -> LineSession:
        """Return a new session."""
        policy = self.policy
        return LineSession(
            self.service,
            self.first,
            PROMPT,
            policy.max_line,
            policy.oversize,
            once=policy.once,
            terminator=policy.terminator,
        )


def policies(limits: range) -> list[Policy]:
    """Return every combination there is, with these values of `max_line`."""
    return [Policy(*each) for each in itertools.product(limits, Oversize, (False, True), Terminator)]


def conversations(policy: Policy) -> list[Conversation]:
    """Return a conversation with each service and in each order: they have the replies in common.

    The order does not depend on what ends a line, so CR LF is tried in one order.
    """
    orders = First if policy.terminator is Terminator.LF else (First.CLIENT,)
    settings = [Setting(*each, policy) for each in itertools.product((bytes.upper, by_line), orders)]
    replies = Replies(policy)
    return [Conversation(setting, replies) for setting in settings]


class Counts(NamedTuple):
    """What only counts.

    Attributes:
        buffers: how many buffers the session has had.
        finished: how many lines have ended in this one.
        oversize_lines: how many lines have been too long.
        last_line: the number of the line that was unfinished last.
    """

    buffers: int
    finished: int
    oversize_lines: int
    last_line: int


#: Whether all have been silent so far; whether a line has been unfinished; the state of the model; that of
#: the session; what its buffer holds, and the state of that.
State: TypeAlias = tuple[bool, bool, Hashable, tuple[Any, int, bool], bytes, BufferState | None]


class Conversation(Pair[State, Counts]):
    """A session that has been opened, and the model."""

    def __init__(self, setting: Setting, replies: Replies) -> None:
        self._setting = setting
        self._replies = replies
        self._session = setting.session()
        self._session.oversize_lines = 1  # not 0, so that it shows whether it is added to
        self._settled = _settled(self._session)
        self._buffer = LineBuffer()  # stands for the one that the session had in the state
        self._last_line = 0
        assert self._session.open() == (PROMPT if setting.first is First.SERVER else b"")
        self.first = self._state(replies.first, silent_so_far=True)
        self._from = self.first, self.counts()

    def __str__(self) -> str:
        return str(self._setting)

    def counts(self) -> Counts:
        """Return what only counts."""
        session = self._session
        finished = 0 if session._buffer is None else session._buffer._finished
        return Counts(session._buffers, finished, session.oversize_lines, self._last_line)

    def steps(self, state: State, counts: Counts, remaining: int) -> Iterator[tuple[int, State]]:
        """Take each step that fits."""
        self._from = state, counts
        silent_so_far, _, model, *_ = state
        session = self._session
        self._restore()
        if session.closing:
            return
        for chunk, reply in zip(
            chunks(ALPHABET, remaining), self._replies.to_chunks(model, remaining), strict=False
        ):
            self.attempted = ("receive", chunk)
            self._restore()
            self._compare(session.receive(chunk), reply)
            if not reply.closing:
                self._compare_number(reply.number)
            yield len(chunk), self._state(reply.after)
        self.attempted = ("end_of_input",)
        self._restore()
        reply = self._replies.to_end(model)
        self._compare(session.end_of_input(), reply)
        yield 0, self._state(reply.after, silent_so_far=silent_so_far)
        self.attempted = ("awaits_silence",)
        self._restore()
        awaited = silent_so_far and self._setting.first is First.EITHER
        assert session.awaits_silence is awaited
        if awaited:
            self.attempted = ("silence",)
            self._compare(
                session.silence(),
                Reply(PROMPT, closing=False, oversize_lines=0, number=Number.ANY, after=model),
            )
            yield 0, self._state(model)
        self.attempted = ("one of the steps from here",)
        # Nothing sets these back: what a step has changed is different now.
        assert _settled(session) == self._settled, "an attribute that is set once has changed"

    def _restore(self) -> None:
        (_, _, _, of_session, held, of_buffer), counts = self._from
        session = self._session
        session._state, session._shortcut, session.closing = of_session
        session._buffers, finished, session.oversize_lines, self._last_line = counts
        session._buffer = None
        if of_buffer is not None:
            session._buffer = self._buffer
            restore(self._buffer, held, of_buffer, finished=finished, oversize_lines=0)

    def _state(self, model: Hashable, *, silent_so_far: bool = False) -> State:
        session, buffer = self._session, self._session._buffer
        of_session = session._state, session._shortcut, session.closing
        has_had_line = self._last_line != 0
        if buffer is None:
            return silent_so_far, has_had_line, model, of_session, b"", None
        return silent_so_far, has_had_line, model, of_session, bytes(buffer._buffer), buffer_state(buffer)

    def _compare(self, heard: bytes, reply: Reply) -> None:
        session = self._session
        assert heard == reply.heard, f"{heard!r} is not {reply.heard!r}"
        assert session.closing == reply.closing, "closing"
        assert session.oversize_lines == self._from[1].oversize_lines + reply.oversize_lines, "oversize_lines"

    def _compare_number(self, expected: Number) -> None:
        before, now = self._last_line, self._session.unfinished
        assert (now == 0) is (expected is Number.ABSENT), "whether a line is unfinished"
        if expected is Number.ABSENT:
            return
        if expected is Number.OTHER:
            assert now != before, "a new line, or `max_line` bytes later, has the number of what was before"
        elif expected is Number.SAME:
            assert now == before, "the number of a line has changed within it"
        self._last_line = now
