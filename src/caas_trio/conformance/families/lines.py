"""SERVE and FRAME again, over many lengths and contents: a server may be right about the samples alone.

Lengths come first, with bytes that nothing changes; then what becomes of bytes, of line ends and of tails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

from caas_trio.conformance import cuts
from caas_trio.conformance.case import Case, Script
from caas_trio.conformance.cuts import Cut
from caas_trio.conformance.oracle import replies
from caas_trio.conformance.profile import Need, Profile
from caas_trio.conformance.script import (
    Connect,
    EndInput,
    Expect,
    ExpectEnd,
    Leave,
    Pause,
    Send,
    Silence,
    Step,
)

from .common import CUT, proof, served, to_the_end
from .content import (
    LETTERS,
    NEUTRAL,
    ODD,
    UNTOUCHED,
    edges,
    lines,
    longest_line,
    overlapping,
    pairs,
    text,
)

_CONVERSATION: Final = (Need.STREAM, Need.CONVERSATION)
_ODD_BUT_CR: Final = b"\\" + ODD.replace(b"\n", b"").replace(b"\r", b"")
_CRLF: Final = ("FRAME-2.crlf/whole",)
_LENGTHS: Final = ("FRAME-7.lengths/whole",)
#: Lines may come in reads that begin and end anywhere, and that hold many of them.
_BURST: Final = (
    *_LENGTHS,
    *("FRAME-6.burst/whole", "ORDER-8.2000/whole"),
    *(f"FRAME-6.lengths/every-{size}" for size in (3, 64, 509)),
)
_UNTOUCHED: Final = (*_BURST, "SERVE-2.pairs/whole", "SERVE-2.at-both-ends/whole", "SERVE-2.lengths/whole")
#: A byte that counts as more than one is about limits.
_COUNTED: Final = tuple(
    f"LIMIT-1.{name}/whole" for name in ("utf-8", "high-bytes", "tabs", "blanks", "backspaces")
)
#: Silence that shows that what was sent is no line.
_QUIET_S: Final = 0.3
_LONGEST_TAIL: Final = 4097
#: Longer than a server takes to look whether there is more.
_LATE_S: Final = 0.8


def _in_turn(content: Callable[[Profile], list[bytes]]) -> Script:
    """Return the script in which each line is answered before the next one is sent."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        for number, line in enumerate(content(profile)):
            if profile.once and number:
                yield Connect(number)
            client = number if profile.once else 0
            yield from served(profile, line, client)
            if profile.once:
                yield ExpectEnd(client)
                yield Leave(client)
        if not profile.once:
            yield from proof(profile)

    return script


def _at_once(content: Callable[[Profile], list[bytes]], cut: Cut = cuts.WHOLE) -> Script:
    """Return the script in which all lines are sent before any reply is read."""

    def script(profile: Profile) -> Iterator[Step]:
        data = b"".join(content(profile))
        yield Connect()
        yield Send(data, cut)
        yield Expect(replies(data, profile))
        yield from proof(profile)

    return script


def _of_edges(name: str, alphabet: bytes) -> Callable[[Profile], list[bytes]]:
    return lambda profile: lines(name, edges(longest_line(profile)), alphabet)


def _of_small_lengths(name: str, alphabet: bytes, count: int) -> Callable[[Profile], list[bytes]]:
    def content(profile: Profile) -> list[bytes]:
        longest = min(longest_line(profile), 300)
        return lines(name, (1 + 37 * number % longest for number in range(count)), alphabet)

    return content


def _letters_between(_: Profile) -> list[bytes]:
    """Each byte that is no letter, between letters that are to be raised."""
    others = bytes(byte for byte in UNTOUCHED if not chr(byte).isalpha())
    return overlapping(pairs(others, b"az")).splitlines(keepends=True)


def _of_pairs(first: bytes, second: bytes) -> Callable[[Profile], list[bytes]]:
    return lambda _: [overlapping(pairs(first, second))]


def _at_both_ends(_: Profile) -> list[bytes]:
    """Each byte alone, in front and at the end; and what begins a text somewhere."""
    marks = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")
    each = [bytes([byte]) for byte in UNTOUCHED]
    return [part + b"\n" for one in (*each, *marks) for part in (one, one + b"X", b"X" + one, one * 3)]


def _odd_everywhere(_: Profile) -> list[bytes]:
    """Each odd byte and each two of them: alone, in front, inside and, but for CR, at the end."""
    odd = [bytes([byte]) for byte in ODD if byte != ord("\n")]
    some = [*odd, *(one + other for one, other in product(odd, odd))]
    placed = (part for one in some for part in (one + b"X", b"X" + one + b"Y", b"LONGER " * 9 + one, one))
    return [part + b"\n" for part in placed if not part.endswith(b"\r")]


def _mixed_ends(_: Profile) -> list[bytes]:
    sizes = (5, 80, 81, 7, 250, 64, 1, 127, 128, 20)
    payloads = [text(f"ends {number}", sizes[number % 10]) for number in range(60)]
    return [payload + (b"\n" if number % 3 else b"\r\n") for number, payload in enumerate(payloads)]


def _empty_lines(_: Profile) -> list[bytes]:
    """Empty lines in a row, and one behind lines of many lengths."""
    behind = (line for filled in lines("filled", (1, 30, 64, 100, 128, 255)) for line in (filled, b"\n"))
    return [b"\n"] * 300 + [*behind] + [b"\n"] * 5


#: What no server may take for the end of a line; the CRs apart, for one that knows no other end than CRLF.
_NO_END: Final = b"ZERO\\nONE\0TWO\vTHREE\fFOUR\x1aFIVE\x1c\x1d\x1eSIX\x85\xe2\x80\xa8\xc2\x85SEVEN\0"
_NO_END_CR: Final = b"ONE\rTWO\r\rTHREE\r"
_NO_END_PLAIN: Final = bytes(byte for byte in UNTOUCHED if byte < 128)  # noqa: PLR2004 - ASCII
_NO_END_HIGH: Final = bytes(byte for byte in UNTOUCHED if byte not in _NO_END_PLAIN)


def _nothing_ends_it(name: str, data: bytes) -> Case:
    """Return the case that shows that bytes are part of a line: no reply comes before its LF."""

    def script(profile: Profile) -> Iterator[Step]:
        # Of a line beyond its limit, a server may answer what is there.
        begun = data[: max(0, profile.limit - 5)]
        yield Connect()
        yield Send(begun)
        yield Silence(_QUIET_S)
        yield Send(b"END\n")
        yield Expect(replies(begun + b"END\n", profile))
        yield from proof(profile)

    after = (*_UNTOUCHED, "ORDER-1.part-of-a-line/whole")
    return Case("FRAME-1", name, script, needs=(Need.STREAM, Need.LINES), after=after, idle=True)


def _tails(name: str, *before: bytes) -> Script:
    """Return the script that ends the input behind tails of many lengths, a connection each."""

    def script(profile: Profile) -> Iterator[Step]:
        begun = b"".join(before)
        for number, length in enumerate(edges(min(longest_line(profile), _LONGEST_TAIL))):
            data = begun + text(f"{name} {number}", length)
            yield Connect(number)
            yield Send(data, client=number)
            yield EndInput(number)
            yield Expect(replies(data, profile, ended=True), number)
            yield ExpectEnd(number)
            yield Leave(number)

    return script


def _ended_behind(data: bytes) -> Script:
    """Return the script in which the client has every reply when it ends its input; nothing more is due."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        yield from served(profile, data)
        yield EndInput()
        yield ExpectEnd()

    return script


def _later(data: bytes, *, end: bytes = b"") -> Script:
    """Return the script in which the client waits before it ends its input."""

    def script(profile: Profile) -> Iterator[Step]:
        yield Connect()
        if data:
            yield Send(data)
        yield Pause(_LATE_S)
        if end:
            yield Send(end)
        yield EndInput()
        yield Expect(replies(data + end, profile, ended=True))
        yield ExpectEnd()

    return script


#: Lines of many lengths, short enough for every server, by cut: the more pieces, the fewer lines.
_ONE_LONG: Final = _of_small_lengths("one-long", NEUTRAL, 5)
_SOME: Final = _of_small_lengths("some", NEUTRAL, 30)
_STREAM: Final = _of_small_lengths("stream", NEUTRAL, 400)


def _cut_cases() -> Iterator[Case]:
    after = (*CUT, *_LENGTHS, "ORDER-8.few/whole")
    sizes = ((3, _ONE_LONG), (64, _SOME), (509, _STREAM), (4096, _STREAM))
    for size, content in sizes:
        cut = cuts.every(size, f"every-{size}", 0.002)
        yield Case("FRAME-6", "lengths", _at_once(content, cut), cut.name, _CONVERSATION, after=after)
    burst = _of_small_lengths("burst", NEUTRAL, 3000)
    yield Case("FRAME-6", "burst", _at_once(burst), needs=_CONVERSATION, after=after)


CASES: Final = (
    Case("FRAME-7", "lengths", _in_turn(_of_edges("lengths", NEUTRAL)), after=(*CUT, "CLOSE-4.lines/whole")),
    Case("SERVE-1", "lengths", _in_turn(_of_edges("letters", LETTERS)), after=_LENGTHS),
    Case(
        "SERVE-1",
        "2000",
        _at_once(_of_small_lengths("2000", LETTERS, 2000)),
        needs=_CONVERSATION,
        after=_BURST,
    ),
    Case(
        "SERVE-1",
        "between-others",
        length=66,
        script=_at_once(_letters_between),
        needs=_CONVERSATION,
        after=_UNTOUCHED,
    ),
    Case("SERVE-2", "lengths", _in_turn(_of_edges("bytes", UNTOUCHED)), after=(*_LENGTHS, *_COUNTED)),
    Case(
        "SERVE-2",
        "pairs",
        length=66,
        script=_at_once(_of_pairs(UNTOUCHED, UNTOUCHED)),
        needs=_CONVERSATION,
        after=(*_BURST, *_COUNTED),
    ),
    Case(
        "SERVE-2",
        "at-both-ends",
        length=9,
        script=_at_once(_at_both_ends),
        needs=_CONVERSATION,
        after=(*_BURST, "CLOSE-4.words/whole"),
    ),
    Case(
        "FRAME-1",
        "pairs",
        length=66,
        script=_at_once(_of_pairs(_ODD_BUT_CR, UNTOUCHED)),
        needs=_CONVERSATION,
        after=_UNTOUCHED,
    ),
    Case(
        "FRAME-1",
        "everywhere",
        length=66,
        script=_at_once(_odd_everywhere),
        needs=_CONVERSATION,
        after=_UNTOUCHED,
    ),
    _nothing_ends_it("not-yet", _NO_END),
    _nothing_ends_it("not-yet-cr", _NO_END_CR),
    _nothing_ends_it("not-yet-ascii", _NO_END_PLAIN),
    _nothing_ends_it("not-yet-high", _NO_END_HIGH),
    Case(
        "FRAME-2",
        "lf-first",
        _at_once(lambda _: [b"ONE\n", b"TWO\r\n", b"THREE\n", b"FOUR\r\n"]),
        needs=_CONVERSATION,
        after=_CRLF,
    ),
    Case(
        "FRAME-2",
        "lengths",
        _at_once(_mixed_ends),
        needs=_CONVERSATION,
        length=251,
        after=(*_CRLF, *_BURST),
    ),
    Case(
        "FRAME-3",
        "many",
        _at_once(_empty_lines),
        needs=_CONVERSATION,
        length=255,
        after=(*_BURST, "ORDER-8.repeats/whole"),
    ),
    Case("FRAME-3", "in-turn", _in_turn(lambda _: [b"\n"] * 30)),
    Case("FRAME-4", "lengths", _tails("tails"), after=_LENGTHS),
    Case(
        "FRAME-4",
        "behind-lines",
        to_the_end(b"".join(lines("before", [20] * 40)) + b"TAIL"),
        needs=_CONVERSATION,
        after=("CLOSE-1.hundred/whole", "CLOSE-1.lengths/whole"),
    ),
    Case(
        "FRAME-4",
        "behind-an-empty-line",
        to_the_end(b"ONE\n\nTAIL"),
        needs=_CONVERSATION,
        after=("CLOSE-1.hundred/whole", "CLOSE-1.lengths/whole", "FRAME-3.between/whole"),
    ),
    Case("FRAME-4", "late", _later(b"TAIL"), idle=True, after=("CLOSE-4.part-of-a-line/whole",)),
    Case(
        "FRAME-4",
        "late-behind-a-line",
        _later(b"ONE\n", end=b"TAIL"),
        needs=_CONVERSATION,
        idle=True,
        after=("CLOSE-4.part-of-a-line/whole",),
    ),
    Case("FRAME-5", "a-line", _ended_behind(b"ONE\n")),
    Case("FRAME-5", "a-line-and-cr", _ended_behind(b"ONE\r\n"), after=_CRLF),
    Case(
        "FRAME-5",
        "lines",
        _ended_behind(b"".join(lines("lines", [9] * 60))),
        needs=_CONVERSATION,
        after=("ORDER-8.few/whole",),
    ),
    Case("FRAME-5", "late", _later(b""), idle=True),
    Case("FRAME-5", "a-line-late", _later(b"ONE\n"), idle=True),
    *_cut_cases(),
)
