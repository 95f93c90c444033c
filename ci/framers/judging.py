"""Judges a framer, the part of a library that finds lines, through a *shim*: a small program around it.

    python -m ci.framers.judging [--terminator LF|CRLF] [--max-line N] PROGRAM [ARGUMENT ...]

The program reads frames from its standard input as the library under test does, and prints a line of JSON
for each thing that comes of it, at once: `{"line": "6869"}`, a line without its end, in hexadecimal digits;
`{"error": "too long"}`, in any words; and `{"end": "7461"}` at the end of input, with what was left behind
the last terminator. It is started anew for each case.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import trio

from caas_trio.conformance.case import Verdict
from caas_trio.conformance.clauses import CLAUSES
from caas_trio.conformance.dialects.parsing import ENDS

#: Seconds between two pieces, so that each is a read of its own, and those in which nothing may come.
PIECE_DELAY_S: Final = 0.03
QUIET_S: Final = 0.3
#: Seconds within which a program has to start and print what it has found.
_TIMEOUT_S: Final = 20.0
_NAMES: Final = {"bare_lf": "a bare LF", "bare_cr": "a bare CR", "cr_cr_lf": "CR CR LF", "nul": "a NUL"}
_CLAUSES: Final = {"bare_lf": "TERM-2", "bare_cr": "TERM-3", "cr_cr_lf": "TERM-4", "nul": "TERM-5"}
#: Where framers are known to have limits, and the sizes of buffers.
_BUFFERS: Final = (512, 1024, 4096, 8192, 16384, 65536, 131072)
#: How often the same is tried.
_TIMES: Final = 3
TERMINATORS: Final = {"LF": b"\n", "CRLF": b"\r\n"}


class ShimError(Exception):
    """The program does not do what a shim has to do; the message says what is wrong in one line."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a program has found.

    Attributes:
        lines: the lines in their order; None for an error.
        tail: what was left at the end of input; None if the program did not say.
        early: whether something was found before the last piece was sent.
    """

    lines: tuple[bytes | None, ...] = ()
    tail: bytes | None = None
    early: bool = False

    def __str__(self) -> str:
        """Return it in the words of a report."""
        words = ["an error" if line is None else repr(line[:32]) for line in self.lines[:6]]
        return ", ".join(words) or "nothing"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case.

    Attributes:
        case: its name, which begins with its clause.
        verdict: the answer.
        reason: what was observed; for a fault, what is wrong.
    """

    case: str
    verdict: Verdict
    reason: str = ""

    @property
    def clause(self) -> str:
        """The clause that it judges."""
        return self.case.partition(".")[0]


Pieces: TypeAlias = Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Framer:
    """A program, and what it is declared to do.

    Attributes:
        command: the program and its arguments.
        terminator: what ends a line.
        max_line: the most bytes of a line before its end that it has to take; None if nothing is declared.
    """

    command: tuple[str, ...]
    terminator: bytes = b"\n"
    max_line: int | None = None

    async def find(self, *pieces: bytes, quiet_before_last: bool = False) -> Found:
        """Return what the program finds in some input.

        Args:
            pieces: the input, each piece a write of its own.
            quiet_before_last: whether nothing may be found before the last piece is sent.

        Raises:
            ShimError: the program is none, or says what no shim says, or nothing more.
        """
        output = bytearray()
        try:
            process = await trio.lowlevel.open_process(
                list(self.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise ShimError(f"{self.command[0]} cannot be started: {error.strerror}") from None
        early = False
        with trio.move_on_after(_TIMEOUT_S + len(pieces) * PIECE_DELAY_S) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_receive, process, output)
                early = await _send(process, pieces, output if quiet_before_last else None)
            await process.wait()
        if scope.cancelled_caught:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            raise ShimError(f"the program did not end in {_TIMEOUT_S:g} seconds behind its input")
        return replace(_parsed(bytes(output)), early=early)


async def _receive(process: trio.Process, output: bytearray) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    async with process.stdout:
        async for data in process.stdout:
            output += data


async def _send(process: trio.Process, pieces: Pieces, watched: bytearray | None) -> bool:
    """Send the pieces and the end; return whether something was told before the last one."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    early = False
    try:
        async with process.stdin:
            for number, piece in enumerate(pieces):
                if number:
                    await trio.sleep(PIECE_DELAY_S if watched is None else QUIET_S)
                    early = bool(watched)
                await process.stdin.send_all(piece)
    except trio.BrokenResourceError:
        # It reads no more: what it has told so far counts.
        pass
    return early


def _parsed(output: bytes) -> Found:
    lines: list[bytes | None] = []
    for text in output.splitlines():
        try:
            event = json.loads(text)
            [(kind, value)] = event.items()
            if kind == "end":
                return Found(tuple(lines), bytes.fromhex(value))
            lines.append({"line": bytes.fromhex(value) if kind == "line" else b"", "error": None}[kind])
        except (ValueError, AttributeError, KeyError, TypeError):
            raise ShimError(f"the program prints {text[:64]!r}, which is no line of a shim") from None
    return Found(tuple(lines))


async def judge(framer: Framer) -> list[Result]:
    """Return what comes of each case.

    Raises:
        ShimError: the program is no shim.
    """
    return [result async for result in _results(framer)]


async def _results(framer: Framer) -> AsyncIterator[Result]:
    end = framer.terminator
    three, wanted = end.join([b"a1", b"b22", b"c333", b""]), (b"a1", b"b22", b"c333")
    yield _same("PIPE-1.three", await framer.find(three), wanted)
    yield _same("CUT-1.byte", await framer.find(*(bytes([byte]) for byte in three)), wanted)
    yield _same("CUT-1.before-end", await framer.find(*_cut(three, -1)), wanted)
    yield _same("CUT-1.across", await framer.find(*_cut(three, 1, 5, 8)), wanted)
    found = await framer.find(b"abc", end, quiet_before_last=True)
    yield _verdict("CUT-2.no-end", "something was found before the terminator" if found.early else "")
    yield _same("TERM-1.empty", await framer.find(end + b"a" + end + end), (b"", b"a", b""))
    payload = bytes(byte for byte in range(256) if byte not in b"\r\n")
    yield _same("REPLY-1.bytes", await framer.find(payload + end), (payload,))
    async for result in _ends(framer):
        yield result
    async for result in _long_lines(framer):
        yield result
    found = await framer.find(b"a" + end + b"tail")
    yield Result("HALF-3.tail", Verdict.NOT_JUDGED, f"input without a terminator is {_of_tail(found)}")


def _cut(data: bytes, *places: int) -> Pieces:
    starts = [0, *(place % len(data) for place in places)]
    return [data[start:stop] for start, stop in zip(starts, [*starts[1:], len(data)], strict=True)]


def _verdict(case: str, wrong: str, reason: str = "") -> Result:
    return Result(case, Verdict.FAILED if wrong else Verdict.PASSED, wrong or reason)


def _same(case: str, found: Found, wanted: tuple[bytes, ...]) -> Result:
    wrong = f"found {found}; there is {Found(wanted)}" if found.lines != wanted else ""
    return _verdict(case, wrong)


def _of_tail(found: Found) -> str:
    if None in found.lines:
        return "an error"
    if found.lines == (b"a", b"tail"):
        return "a line"
    return "left over" if found.tail == b"tail" else "lost"


def _meaning(found: Found, end: bytes) -> str:
    """Return what some bytes between `one` and `two` do."""
    if None in found.lines:
        return "is an error"
    first, *rest = found.lines or (b"",)
    if rest == [b"two"] and first is not None and first.startswith(b"one"):
        return "ends a line"
    return "ends no line" if first == b"one" + end + b"two" and not rest else "is not kept"


async def _ends(framer: Framer) -> AsyncIterator[Result]:
    """Yield what else ends a line, and whether that is the same each time, and wherever a read ends."""
    unlike, astride = "", ""
    for key, end in ENDS.items():
        if end == framer.terminator:
            continue
        data = b"one" + end + b"two" + framer.terminator
        meanings = {_meaning(await framer.find(data), end) for _ in range(_TIMES)}
        whole = min(meanings)
        yield Result(f"{_CLAUSES[key]}.{key.replace('_', '-')}", Verdict.NOT_JUDGED, f"{_NAMES[key]} {whole}")
        if len(meanings) > 1:
            unlike = f"{_NAMES[key]} {' and '.join(sorted(meanings))}"
        for place in range(len(end) + 1):
            cut = _meaning(await framer.find(*_cut(data, 3 + place)), end)
            if cut != whole:
                astride = f"{_NAMES[key]} {whole} in one read, and {cut} if a read ends {place} bytes into it"
    yield _verdict("SAME-1.ends", unlike)
    yield _verdict("TERM-6.astride", astride)


async def _long_lines(framer: Framer) -> AsyncIterator[Result]:
    end, limit = framer.terminator, framer.max_line
    if limit is not None:
        line = b"x" * limit
        data = line + end + b"after" + end
        yield _same("LONG-1.exact", await framer.find(data), (line, b"after"))
        yield _same("LONG-1.before-end", await framer.find(*_cut(data, limit)), (line, b"after"))
        found = await framer.find(b"x" + data)
        errors = found.lines.count(None)
        yield _verdict("LONG-3.once", "" if errors == 1 else f"{errors} errors for a line that is too long")
    unlike = ""
    for size in sorted({*_BUFFERS, *([limit] if limit else [])}):
        whole = b"x" * size + b"ghost"
        found = await framer.find(whole + end + b"after" + end)
        in_pieces = await framer.find(*_cut(whole + end + b"after" + end, len(whole)))
        if in_pieces.lines != found.lines:
            unlike = (
                f"of a line of {len(whole)} bytes comes {found}, and if it is cut behind that, {in_pieces}"
            )
        parts = [line for line in found.lines if line not in (None, whole, b"after")]
        effect = "is taken" if whole in found.lines else "is an error" if None in found.lines else "is lost"
        goes_on = "" if b"after" in found.lines else ", and nothing behind it is found"
        wrong = f"a part of a line of {len(whole)} bytes is a line: {Found(tuple(parts))}" if parts else ""
        yield _verdict(f"LONG-2.ghost-{size}", wrong, f"a line of {len(whole)} bytes {effect}{goes_on}")
    yield _verdict("CUT-1.long", unlike)


def report(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of a report."""
    for result in results:
        yield f"{result.verdict.value:<11} {result.case:<20} {result.reason}".rstrip()
        if result.verdict is Verdict.FAILED:
            yield f"            {CLAUSES[result.clause].text}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge a program; return the exit status: 0 if every MUST passed, 1 if one did not, 2 for no shim."""
    parser = argparse.ArgumentParser(prog="ci.framers.judging", description=__doc__)
    parser.add_argument("--terminator", choices=TERMINATORS, default="LF")
    parser.add_argument("--max-line", type=int, metavar="N", help="bytes that a line may have before its end")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="PROGRAM")
    options = parser.parse_args(arguments)
    if not options.command:
        parser.error("a program is missing")
    framer = Framer(tuple(options.command), TERMINATORS[options.terminator], options.max_line)
    try:
        results = trio.run(judge, framer)
    except ShimError as error:
        sys.stderr.write(f"ci.framers.judging: {error}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in report(results)))
    return int(any(result.verdict is Verdict.FAILED for result in results))


if __name__ == "__main__":
    sys.exit(main())
