"""`LineSession` agrees with an oracle that sees the whole conversation so far; what three checks share.

After every call, what the session has said is what the oracle says for the bytes received so far,
in whichever chunks; a call that does not fit raises `StateError` and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from caas_trio.core.errors import BareTerminator, LimitError, LineTooLong, StateError
from caas_trio.core.session import First, LineSession, Oversize, StreamTransform
from caas_trio.core.terminator import Terminator
from fuzz.script import CUT, END, SILENCE, header, steps, tokens
from tests.models import NaiveStrictBuffer

from .chunks import cut, hand_over
from .progress import Progress

_LF: Final = b"\n"
#: A step besides the common ones: the driver opens the session a second time.
_OPEN: Final = ord("o")
_KNOWN: Final = frozenset({END, SILENCE, _OPEN})
TOKENS: Final = tokens(_KNOWN)
_MAX_LIMIT: Final = 24
_MAX_INPUT: Final = 1 << 16  # more bytes than a script sends
#: How many rejected lines, and calls of a service that wants lines, one read may lead to.
_MAX_NOTICES: Final = 128
_MAX_CALLS: Final = 8192
_OVERSIZE: Final = tuple(Oversize)
#: Settings that are left out, so that the session has to have them by itself.
_DEFAULTS: Final = {
    "first": First.CLIENT,
    "oversize": Oversize.REJECT,
    "once": False,
    "terminator": Terminator.LF,
}


@dataclass
class Plan:
    """The plan in a header: a service and the settings of the session."""

    first: First
    limit: int
    oversize: Oversize
    once: bool
    prompt: bytes
    service: Callable[[bytes], bytes] = bytes.upper
    answer: Callable[[bytes], bytes] = bytes.upper
    terminator: Terminator = Terminator.LF
    heard: list[bytes] | None = None

    @classmethod
    def of(cls, data: bytes, first: First) -> Plan:
        """Return what the header of an input asks for."""
        modes, limit, _, _ = header(data)
        plan = cls(
            first=first,
            limit=limit % _MAX_LIMIT,
            oversize=_OVERSIZE[(modes & 3) % 3],
            once=bool(modes & 4),
            prompt=b"" if modes & 8 else b"say:\n",
        )
        if modes & 64:
            plan.terminator = Terminator.CRLF
        if modes & 16:  # a service that wants lines, and whose calls are on record
            plan.answer = bytes.swapcase
            plan.heard = []
            plan.service = plan.note
        elif modes & 32:
            plan.answer = bytes.lower
            plan.service = StreamTransform(lambda data: data.lower())
        return plan

    def suit_handlers(self) -> None:
        """Leave out what `LineSession` alone does: it prompts a silent client, and serves lines in pieces."""
        self.terminator = Terminator.LF
        self.first = First.CLIENT if self.first is First.EITHER else self.first
        self.oversize = Oversize.DISCARD if self.oversize is Oversize.STREAM else self.oversize

    def note(self, line: bytes) -> bytes:
        """Serve a line and put it on record."""
        assert self.heard is not None, "no service of this plan keeps a record"
        assert type(line) is bytes, f"the service got a {type(line).__name__}"
        self.heard.append(line)
        return line.swapcase()

    def session(self, first: First | None = None, kind: type[LineSession] = LineSession) -> LineSession:
        """Return a new session set up so, or with another order; of another class, if one is given."""
        settings: dict[str, Any] = {
            "first": first or self.first,
            "prompt": self.prompt,
            "max_line": self.limit,
            "oversize": self.oversize,
            "once": self.once,
            "terminator": self.terminator,
        }
        return kind(
            self.service, **{name: value for name, value in settings.items() if value != _DEFAULTS.get(name)}
        )

    def check_max_chunk(self, size: int) -> None:
        """Check that a read cannot ask for too much work: calls of a service, or lines that are rejected."""
        shortest = self.limit + len(b"x\n") if self.terminator is Terminator.LF else len(b"\n\r\n")
        if self.oversize is Oversize.DISCARD:
            most = size // shortest
            assert most <= _MAX_NOTICES, f"a read of {size} bytes may reject {most} lines"
        if self.heard is not None:
            assert size <= _MAX_CALLS, f"a read of {size} bytes may call the service so often"

    def replies(self, received: bytes, *, ended: bool) -> tuple[list[bytes], list[bytes], bool]:
        """Return all replies to what was received, what the service heard, and whether it is over."""
        if self.terminator is Terminator.CRLF:
            return self.strict_replies(received, ended=ended)
        said: list[bytes] = []
        heard: list[bytes] = []
        limit, stream = self.limit, self.oversize is Oversize.STREAM
        left = received.count(_LF)
        for text in received.split(_LF):
            whole = left > 0
            left -= 1
            too_long = len(text) > limit
            if too_long and not stream:
                said.append(b"error: line longer than %d bytes\n" % limit)
                if self.once or self.oversize is Oversize.REJECT:
                    return said, heard, True
            elif whole or (text and (ended or too_long)):
                heard.append(text + _LF if whole else text)
                said.append(self.answer(heard[-1]))
                if self.once and (whole or ended):
                    return said, heard, True
        return said, heard, ended

    def strict_replies(self, received: bytes, *, ended: bool) -> tuple[list[bytes], list[bytes], bool]:
        """Return the same where lines end with CR LF."""
        said: list[bytes] = []
        heard: list[bytes] = []
        model = NaiveStrictBuffer(self.limit)
        model.feed(received)
        model.ended = ended
        take = model.take_pieces if self.oversize is Oversize.STREAM else model.next_line
        while True:
            try:
                block = take()
            except (LineTooLong, BareTerminator) as error:
                said.append(b"error: %b\r\n" % str(error).encode())
                if self.once or self.oversize is not Oversize.DISCARD:
                    return said, heard, True
                continue
            if not block:
                return said, heard, ended
            for line in re.findall(rb"[^\n]*\n|[^\n]+", block):
                heard.append(line)
                said.append(self.answer(line))
                if self.once and (line.endswith(_LF) or (ended and not model.rest)):
                    return said, heard, True


@dataclass
class Conversation:
    """A session, and what the oracle needs to know of what has happened."""

    plan: Plan
    session: LineSession
    received: bytes = b""
    said: bytes = b""
    prompted: bytes = b""
    ended: bool = False
    spoken: bool = False  # the client has, or its silence has been noted
    over: bool = False
    opened: bool = False
    progress: Progress = field(default_factory=Progress)

    def refuse(self, choice: int) -> None:
        """Check that one call, of the header's choice, is refused before the opening and behind the end."""
        session = self.session
        calls = (lambda: session.receive(b"more\n"), session.silence, session.end_of_input, session.open)
        self.must_not(_CALLS[choice], calls[choice])

    def open(self) -> None:
        """Open the session, which says its prompt if it is the first to speak."""
        if self.plan.first is First.SERVER:
            self.prompted = self.plan.prompt
        assert not self.session.closing, "it is closing before it is open"
        self.said = self.session.open()
        assert self.said == self.prompted, f"said {self.said!r} instead of {self.prompted!r}"
        self.opened = True

    def receive(self, piece: bytes, kind: int) -> None:
        """Receive a piece; an empty one is no input."""
        if self.over and piece:
            self.must_not("receive", lambda: self.session.receive(piece))
            return
        self.received += piece
        self.spoken = self.spoken or bool(piece)
        self.said += hand_over(self.session.receive, piece, kind)
        self.compare()
        held = len(self.session._buffer or b"")
        more = len(self.plan.terminator.value) - 1
        assert self.over or held <= self.plan.limit + more, f"{held} bytes held, limit {self.plan.limit}"
        self.compare_progress()

    def act(self, sign: int) -> None:
        """Run one step of the script."""
        if sign == _OPEN:
            self.must_not("open", self.session.open)
        elif sign == SILENCE:
            self.keep_silent()
        else:
            self.end()

    def look(self) -> None:
        """Check what a driver asks before it waits."""
        expected = self.plan.first is First.EITHER and not (self.spoken or self.ended)
        assert self.session.awaits_silence is expected, f"awaits_silence is not {expected}"

    def keep_silent(self) -> None:
        """Report the opening delay as over; that counts only while both sides are silent."""
        if self.over or self.spoken:
            self.must_not("silence", self.session.silence)
            return
        if self.plan.first is First.EITHER:
            self.prompted = self.plan.prompt
        self.spoken = True
        self.said += self.session.silence()
        self.compare()

    def end(self) -> None:
        """End the input, once."""
        if self.over:
            self.must_not("end_of_input", self.session.end_of_input)
            return
        self.ended = True
        self.said += self.session.end_of_input()
        self.compare()

    def compare(self) -> None:
        """Compare all that has been said with what the oracle says."""
        replies, heard, self.over = self.plan.replies(self.received, ended=self.ended)
        expected = self.prompted + b"".join(replies)
        assert self.said == expected, f"said {self.said!r} instead of {expected!r}"
        notices = sum(reply.startswith(b"error: line longer") for reply in replies)
        counted = self.session.oversize_lines
        assert counted == notices, f"{counted} oversize lines of {notices} counted"
        assert self.session.closing is self.over, f"closing is not {self.over}"
        if self.plan.heard is not None:
            self.compare_heard(heard)

    def compare_progress(self) -> None:
        """Compare what the session says of the line that is being received."""
        if self.over or self.plan.terminator is Terminator.CRLF:
            return
        begun = len(self.received) - (self.received.rfind(_LF) + 1)
        streamed = self.plan.oversize is Oversize.STREAM and begun > self.plan.limit
        self.progress.steps = self.received.count(_LF) * (_MAX_INPUT + 1)
        self.progress.steps += begun // self.plan.limit if streamed else 0
        self.progress.compare(self.session.unfinished, begun=begun > 0)

    def compare_heard(self, heard: list[bytes]) -> None:
        """Compare what the service was given; with `Oversize.STREAM` a long line may come in pieces."""
        given = self.plan.heard
        if self.plan.oversize is not Oversize.STREAM:
            assert given == heard, f"the service got {given!r} instead of {heard!r}"
            return
        assert given is not None, "nothing is on record"
        whole_given, whole_heard = b"".join(given), b"".join(heard)
        assert whole_given == whole_heard, f"the service got {whole_given!r} instead of {whole_heard!r}"
        assert all(given), "the service was called with nothing"
        assert all(_LF not in piece[:-1] for piece in given), "a call for more than a line"
        whole = {piece for piece in heard if len(piece) <= self.plan.limit}
        assert whole <= set(given), "a line within the limit came in pieces"

    def must_not(self, name: str, call: Callable[[], bytes]) -> None:
        """Check that a call is refused, and that the error names it and a state that does not allow it."""
        states = {"new"} if not self.opened else {"closing"} if self.over else {"opened", "conversing"}
        try:
            call()
        except StateError as error:
            assert error.call == name, f"{error.call} is named instead of {name}"
            assert error.state in states, f"{error.state} is named, which is none of {states}"
            return
        raise AssertionError("a call that does not fit the state was accepted")


#: The calls that `refuse` tries, and which of them is the opening.
_CALLS: Final = ("receive", "silence", "end_of_input", "open")
_OPENING: Final = 3
#: Lives beside all the others and is to notice none of them.
_SIBLING: Final = LineSession(bytes.upper)
_SIBLING.open()
_SIBLING.receive(b"s")


def converse(data: bytes, first: First) -> Conversation | None:
    """Run the conversation that `data` spells; return it, or None if its limit is refused."""
    plan = Plan.of(data, first)
    if plan.limit == 0:
        try:
            plan.session()
        except LimitError:
            return None
        raise AssertionError("a limit below 1 was accepted")
    _, _, cutting, kind = header(data)
    conversation = Conversation(plan, plan.session())
    plan.check_max_chunk(conversation.session.max_chunk)
    refused = (kind >> 5) - 1
    if 0 <= refused < _OPENING:
        conversation.refuse(refused)
    conversation.open()
    for chunk, sign in steps(data, plan.limit, _KNOWN):
        for piece in cut(chunk, cutting):
            if piece or kind & 8:
                conversation.receive(piece, (kind & 3) % 3)
        conversation.look()
        if sign != CUT:
            conversation.act(sign)
        if conversation.over:
            break
    conversation.end()
    if 0 <= refused <= _OPENING:
        conversation.refuse(refused)
    assert len(_SIBLING._buffer or b"") == 1, "two sessions share what they hold"
    return conversation
