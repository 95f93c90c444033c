"""ORDER and SAY: who speaks first. The first of these cases are the sanity of the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case
from caas_trio.conformance.oracle import replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectAny,
    ExpectEnd,
    ExpectSpeech,
    Pause,
    Send,
    Silence,
    Step,
)

from .common import CUT, exchange, proof, served

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
    yield Send(b"hel")
    yield Silence(_QUIET)
    yield Send(b"lo\n")
    yield Expect(replies(b"hello\n", profile))


def _early(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Send(b"early\n")
    yield Expect((profile.prompt, *replies(b"early\n", profile)))
    yield from proof(profile)


def _early_part(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Send(b"ear")
    yield Expect((profile.prompt,))
    yield Send(b"ly\n")
    yield Expect(replies(b"early\n", profile))
    yield from proof(profile)


def _early_burst(profile: Profile) -> Iterator[Step]:
    data = b"early and much of it\n" * 2000
    yield Connect(greet=False)
    yield Send(data)
    yield Expect((profile.prompt, *replies(data, profile)))
    yield from proof(profile)


def _late(profile: Profile) -> Iterator[Step]:
    yield Connect()
    yield Pause(2 * _QUIET)
    yield from served(profile, b"late\n")
    yield from proof(profile)


def _speaks_first(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield from served(profile, b"first\n")
    if profile.once:
        yield ExpectEnd()
    else:
        # Longer than the usual delay of the prompt: it may not come later either.
        yield Silence(3 * _QUIET)
        yield from proof(profile)


def _speaks_in_part(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Send(b"fir")
    yield Silence(3 * _QUIET)
    yield Send(b"st\n")
    yield Expect(replies(b"first\n", profile))


def _prompted(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield Expect((profile.prompt,))
    yield from served(profile, b"second\n")
    yield from proof(profile)


def _ended_at_once(profile: Profile) -> Iterator[Step]:
    yield Connect(greet=False)
    yield EndInput()
    yield Expect((profile.prompt,))
    yield ExpectEnd()


def _ordered(profile: Profile) -> Iterator[Step]:
    data = b"".join(b"line number %d\n" % number for number in range(2000))
    yield Connect()
    yield from served(profile, data)
    yield from proof(profile)


def _burst(profile: Profile) -> Iterator[Step]:
    data = b"".join(b"burst %06d\n" % number for number in range(100_000))
    yield Connect()
    yield from served(profile, data)
    yield from proof(profile)


def _in_turn(profile: Profile) -> Iterator[Step]:
    yield Connect()
    for number in range(50):
        yield from served(profile, b"turn %d\n" % number)


CASES: Final = (
    Case("ORDER-1", "part-of-a-line", _part_of_a_line, needs=(Need.STREAM, Need.LINES), after=CUT),
    Case("ORDER-4", "line", _early, needs=_SERVER),
    Case("ORDER-4", "part", _early_part, needs=_SERVER, after=CUT),
    Case("ORDER-4", "burst", _early_burst, needs=(*_SERVER, Need.CONVERSATION)),
    Case("ORDER-5", "late-line", _prompted, needs=_EITHER),
    Case("ORDER-6", "line", _speaks_first, needs=_EITHER, punctual=True),
    Case("ORDER-6", "part", _speaks_in_part, needs=(*_EITHER, Need.LINES), after=CUT, punctual=True),
    Case("ORDER-7", "ended-at-once", _ended_at_once, needs=_SERVER),
    Case("ORDER-8", "two", exchange(b"first\nsecond\n"), needs=_CONVERSATION),
    Case("ORDER-8", "two", exchange(b"first\nsecond\n", cuts.AFTER_LF), cuts.AFTER_LF.name, _CONVERSATION),
    Case("ORDER-8", "2000", _ordered, needs=_CONVERSATION, after=CUT),
    Case("ORDER-8", "100000", _burst, needs=_CONVERSATION, after=CUT, effort=4),
    Case("ORDER-8", "in-turn", _in_turn, needs=_CONVERSATION),
    Case("ORDER-8", "late", _late),
)
