"""ORDER and SAY: which side speaks first. The first of these cases are the sanity of the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.oracle import replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectAny,
    ExpectEnd,
    ExpectSpeech,
    Leave,
    Pause,
    Send,
    Silence,
    Step,
)

from .common import CUT, exchange, proof, served
from .content import lines, longest_line

#: Silence that shows that a server which may not speak does not.
_QUIET: Final = 0.3
_CLIENT: Final = (Need.STREAM, Need.CLIENT_FIRST)
_SERVER: Final = (Need.STREAM, Need.SERVER_FIRST)
_EITHER: Final = (Need.STREAM, Need.EITHER_FIRST)
_PROMPT: Final = (Need.STREAM, Need.PROMPT)
_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)


def _silent(_: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Silence(_QUIET)


def _unasked(_: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield ExpectAny()


def _speech(_: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield ExpectSpeech()


def _exactly_once(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Expect((profile.prompt,))
    yield Silence(_QUIET)


def _not_again(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Expect((profile.prompt,))
    yield from served(profile, b"hello\n")
    if profile.once:
        yield ExpectEnd()
    else:
        yield Silence(_QUIET)
        yield from proof(profile)


def _one_payload(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(b"hello\n")
    yield Expect((profile.service.reply(b"hello"),))


def _one_line(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield from served(profile, b"hello\n")


def _second_line(profile: Profile) -> Iterator[Step]:
    yield from _one_line(profile)
    yield Silence(_QUIET)
    yield from served(profile, b"hello again\n")


SANITY: Final = (
    Case("ORDER-1", "silent", _silent, needs=_CLIENT, sanity=True),
    Case("ORDER-2", "unasked", _unasked, needs=_SERVER, sanity=True),
    Case("ORDER-5", "unasked", _unasked, needs=_EITHER, sanity=True),
    Case("SAY-1", "prompt", _speech, needs=_PROMPT, sanity=True),
    Case("ORDER-3", "exactly-once", _exactly_once, needs=_SERVER, sanity=True),
    Case("ORDER-5", "exactly-once", _exactly_once, needs=_EITHER, sanity=True),
    Case("SERVE-1", "hello", _one_payload, sanity=True),
    Case("FRAME-2", "hello", _one_line, sanity=True),
    Case("ORDER-3", "not-again", _not_again, needs=_SERVER, sanity=True),
    Case("ORDER-5", "not-again", _not_again, needs=_EITHER, sanity=True),
    Case("CLOSE-4", "second-line", _second_line, needs=_CONVERSATION, sanity=True),
)


STILL_SERVED: Final = Case("LOAD-6", "still-served", _one_line)


def _part_of_a_line(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Send(b"HEL")
    yield Silence(_QUIET)
    yield Send(b"LO\n")
    yield Expect(replies(b"HELLO\n", profile))


def _early(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Send(b"EARLY\n")
    yield Expect((profile.prompt, *replies(b"EARLY\n", profile)))
    yield from proof(profile)


def _early_part(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Send(b"EAR")
    yield Expect((profile.prompt,))
    yield Send(b"LY\n")
    yield Expect(replies(b"EARLY\n", profile))
    yield from proof(profile)


def _early_burst(profile: Profile) -> Iterator[Step]:
    data = b"EARLY AND MUCH OF IT\n" * 2000
    yield Connect(greet=False)
    yield Send(data)
    yield Expect((profile.prompt, *replies(data, profile)))
    yield from proof(profile)


def _late(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Pause(2 * _QUIET)
    yield from served(profile, b"LATE\n")
    yield from proof(profile)


def _speaks_first(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield from served(profile, b"FIRST\n")
    if profile.once:
        yield ExpectEnd()
    else:
        # Longer than the usual delay of the prompt: it may not come later either.
        yield Silence(3 * _QUIET)
        yield from proof(profile)


def _speaks_in_part(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Send(b"FIR")
    yield Silence(3 * _QUIET)
    yield Send(b"ST\n")
    yield Expect(replies(b"FIRST\n", profile))


def _prompted(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Expect((profile.prompt,))
    yield from served(profile, b"SECOND\n")
    yield from proof(profile)


def _ended_at_once(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield EndInput()
    yield Expect((profile.prompt,))
    yield ExpectEnd()


def _ordered(profile: Profile) -> Iterator[Step]:
    data = b"".join(b"LINE NUMBER %d\n" % number for number in range(2000))
    yield Connect()
    yield from served(profile, data)
    yield from proof(profile)


def _burst(profile: Profile) -> Iterator[Step]:
    data = b"".join(b"BURST %06d\n" % number for number in range(100_000))
    yield Connect()
    yield from served(profile, data)
    yield from proof(profile)


def _in_turn(profile: Profile) -> Iterator[Step]:
    yield Connect()
    for number in range(50):
        yield from served(profile, b"TURN %d\n" % number)


def _greeted(profile: Profile) -> Iterator[Step]:
    """Each client gets the prompt before it speaks, be it the sixtieth."""
    for client in range(60):
        yield Connect(client, greet=False)
        yield Expect((profile.prompt,), client)
        yield Leave(client)


def _greeted_once(profile: Profile) -> Iterator[Step]:
    """The prompt does not come again, be it behind many lines or at the end."""
    yield Connect(greet=False)
    yield Expect((profile.prompt,))
    for number in range(1 if profile.once else 60):
        yield from served(profile, b"TURN %d\n" % number)
    yield EndInput()
    yield ExpectEnd()


def _early_and_ended(data: bytes) -> Script:
    """Return the script of a client that says something before the prompt, and ends its input at once."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(greet=False)
        yield Send(data)
        yield EndInput()
        yield Expect((profile.prompt, *replies(data, profile, ended=True)))
        yield ExpectEnd()

    return script


def _early_lines(profile: Profile) -> Iterator[Step]:
    data = b"".join(lines("early", range(1, 70)))
    yield Connect(greet=False)
    yield Send(data)
    yield Expect((profile.prompt, *replies(data, profile)))
    yield from proof(profile)


def _first_and_ended(data: bytes) -> Script:
    """Return the script of a client that speaks first where either side may, and ends its input at once."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect(greet=False)
        yield Send(data)
        yield EndInput()
        yield Expect(replies(data, profile, ended=True))
        yield ExpectEnd()

    return script


def _ended_in_turn(profile: Profile) -> Iterator[Step]:
    """Each of some clients ends its input at once, one after the other and all together."""
    for clients in ((0,), (1,), range(2, 8)):
        for client in clients:
            yield Connect(client, greet=False)
            yield EndInput(client)
        for client in clients:
            yield Expect((profile.prompt,), client)
            yield ExpectEnd(client)


def _mixed_lengths(profile: Profile) -> Iterator[Step]:
    """Long lines among short ones: a server that answers the short ones first changes the order."""
    longest = min(longest_line(profile), 3000)
    data = b"".join(
        lines(
            "mixed", (longest if number % 7 == 0 else min(longest, 1 + number % 20) for number in range(700))
        )
    )
    yield Connect()
    yield from served(profile, data)
    yield from proof(profile)


def _few(profile: Profile) -> Iterator[Step]:
    """Some lines of other lengths, few enough for one read everywhere."""
    data = b"".join(lines("few", (5, 9, 150, 3, 4, 101, 64, 1, 17, 140, 2, 8, 8, 30, 12)))
    yield Connect()
    yield from served(profile, data)
    yield from proof(profile)


def _repeats(profile: Profile) -> Iterator[Step]:
    """Lines that are alike are lines, each of them."""
    data = b"".join(b"%d AGAIN\n" % (number // 50) for number in range(2000))
    yield Connect()
    yield from served(profile, data)
    yield from served(profile, b"SAME\n")
    yield from served(profile, b"SAME\n")
    yield from proof(profile)


CASES: Final = (
    Case("ORDER-2", "again", _greeted, needs=_SERVER),
    Case("ORDER-3", "lines-and-end", _greeted_once, needs=_SERVER),
    Case("ORDER-4", "lines", _early_lines, needs=(*_SERVER, Need.CONVERSATION), length=70, after=CUT),
    Case(
        "ORDER-4",
        "part-and-end",
        _early_and_ended(b"EARLY"),
        needs=_SERVER,
        after=("FRAME-4.tail/whole", "ORDER-7.in-turn/whole"),
    ),
    Case("ORDER-6", "line-and-end", _first_and_ended(b"FIRST\n"), needs=_EITHER, punctual=True),
    Case(
        "ORDER-6",
        "part-and-end",
        _first_and_ended(b"FIRST"),
        needs=_EITHER,
        after=("FRAME-4.tail/whole",),
        punctual=True,
    ),
    Case("ORDER-6", "empty-line", _first_and_ended(b"\n"), needs=_EITHER, punctual=True),
    Case("ORDER-7", "in-turn", _ended_in_turn, needs=_SERVER),
    Case(
        "ORDER-7", "line-and-end", _early_and_ended(b"EARLY\n"), needs=_SERVER, after=("ORDER-4.line/whole",)
    ),
    Case(
        "ORDER-8", "mixed-lengths", _mixed_lengths, needs=_CONVERSATION, after=(*CUT, "FRAME-6.burst/whole")
    ),
    Case("ORDER-8", "few", _few, needs=_CONVERSATION, length=150, after=("FRAME-3.between/whole",)),
    Case("ORDER-8", "repeats", _repeats, needs=_CONVERSATION, after=(*CUT, "FRAME-6.burst/whole")),
    Case("ORDER-1", "part-of-a-line", _part_of_a_line, needs=(Need.STREAM, Need.LINES), after=CUT),
    Case("ORDER-4", "line", _early, needs=_SERVER),
    Case("ORDER-4", "part", _early_part, needs=_SERVER, after=CUT),
    Case("ORDER-4", "burst", _early_burst, needs=(*_SERVER, Need.CONVERSATION)),
    Case("ORDER-5", "late-line", _prompted, needs=_EITHER),
    Case("ORDER-6", "line", _speaks_first, needs=_EITHER, punctual=True),
    Case("ORDER-6", "part", _speaks_in_part, needs=(*_EITHER, Need.LINES), after=CUT, punctual=True),
    Case("ORDER-7", "ended-at-once", _ended_at_once, needs=_SERVER),
    Case("ORDER-8", "two", exchange(b"FIRST\nSECOND\n"), needs=_CONVERSATION),
    Case("ORDER-8", "two", exchange(b"FIRST\nSECOND\n", cuts.AFTER_LF), cuts.AFTER_LF.name, _CONVERSATION),
    Case("ORDER-8", "2000", _ordered, needs=_CONVERSATION, after=(*CUT, "FRAME-6.burst/whole")),
    Case(
        "ORDER-8",
        "100000",
        _burst,
        needs=_CONVERSATION,
        after=(*CUT, "FRAME-6.burst/whole", "CLOSE-4.lines/whole"),
        effort=4,
    ),
    Case("ORDER-8", "in-turn", _in_turn, needs=_CONVERSATION, after=("CLOSE-4.lines/whole",)),
    Case("ORDER-8", "late", _late),
)
