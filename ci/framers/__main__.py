"""Judge the framers of libraries: `python -m ci.framers [--write] [NAME ...]`.

A framer whose toolchain is not on this machine is left out, and the page says so. `--write` renews
`docs/framers.md`; for the others, it then has what an earlier run has left in `build/framers`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from caas_trio.conformance.case import Verdict

from .judging import TERMINATORS, Framer, Result, ShimError, judge

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "framers"
PAGE = ROOT / "docs" / "framers.md"
PROGRAMS = Path(__file__).parent / "programs"
_MARKS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗"}


@dataclass(frozen=True)
class Judged:
    """A framer to judge.

    Attributes:
        name: what it is called.
        command: what runs its shim.
        tool: the program that has to be on this machine.
        build: what compiles the shim before.
        terminator: what ends a line.
    """

    name: str
    command: tuple[str, ...]
    tool: str = ""
    build: tuple[str, ...] = ()
    terminator: str = "LF"


def _python(name: str, module: str, *arguments: str, terminator: str = "LF") -> Judged:
    command = (sys.executable, "-m", f"ci.framers.programs.{module}", *arguments)
    return Judged(name, command, terminator=terminator)


_GO = ("go", "build", "-o", f"{BUILD}/scanner", f"{PROGRAMS}/scanner.go")
FRAMERS = (
    _python("caas_trio.LineBuffer", "linebuffer"),
    _python("asyncio readuntil", "asyncio_readuntil"),
    _python("anyio receive_until", "anyio_receive_until"),
    _python("Tornado read_until", "tornado_read_until"),
    _python("Twisted LineReceiver", "twisted_receivers", "LineReceiver", terminator="CRLF"),
    _python("Twisted LineOnlyReceiver", "twisted_receivers", "LineOnlyReceiver", terminator="CRLF"),
    Judged("Go bufio.Scanner", (f"{BUILD}/scanner",), "go", _GO),
    Judged("Go textproto", (f"{BUILD}/scanner", "textproto"), "go", _GO),
    Judged("Node readline", ("node", f"{PROGRAMS}/readline.js"), "node"),
    Judged(
        "Java BufferedReader",
        ("java", "-cp", str(BUILD), "BufferedReaderShim"),
        "javac",
        ("javac", "-d", str(BUILD), f"{PROGRAMS}/BufferedReaderShim.java"),
    ),
    Judged(
        "Rust BufRead::split",
        (f"{BUILD}/split",),
        "rustc",
        ("rustc", "-O", "-o", f"{BUILD}/split", f"{PROGRAMS}/split.rs"),
    ),
    Judged("Perl readline", ("perl", f"{PROGRAMS}/readline.pl"), "perl"),
    Judged("bash read", ("bash", f"{PROGRAMS}/read.sh"), "bash"),
)

_INTRO = """\
# Framers: where libraries end a line

`nox -s framers` gives each of these the same bytes, cut in many ways, through a [shim](framers.md#a-shim):
a small program that reads its standard input as the library does. The clauses are those that servers are
judged by ([the specification](specification.md#reply-any-dialect-requests-and-replies)). This page is what
the session of {date} has written.

"""
_SHIM = """
## A shim

To judge a library of your own, write a program that reads its standard input through the library, and
prints a line of JSON at once for each thing that it gets:

| | |
|---|---|
| `{"line": "6869"}` | a line without its end, in hexadecimal digits |
| `{"error": "too long"}` | an error, in any words; what comes behind it shows whether the library goes on |
| `{"end": "7461"}` | the end of input, once, with what was left behind the last terminator |

Then, in a checkout of this repository:

    python -m ci.framers.judging --terminator LF --max-line 4096 ./my-shim

The exit status is 0 if every MUST passed, 1 if one did not, 2 if the program is no shim. `--terminator` is
what ends a line, and `--max-line` how many bytes of a line the library has to take; without it, no limit is
judged. The shims of this page are in `ci/framers/programs`; that of Perl has twelve lines.
"""


def main() -> None:
    """Judge what is asked for, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m ci.framers")
    parser.add_argument("names", nargs="*", choices=[[], *(each.name for each in FRAMERS)])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    for each in FRAMERS:
        if not options.names or each.name in options.names:
            results = _judged(each)
            faults = [
                f"{result.case} ({result.reason})" for result in results if result.verdict is Verdict.FAILED
            ]
            print(each.name, "not here" if not results else ", ".join(faults) or "no finding", flush=True)
            data = [(result.case, result.verdict.value, result.reason) for result in results]
            _kept(each).write_text(json.dumps(data))
    if options.write:
        date = dt.datetime.now(tz=dt.UTC).date().isoformat()
        found = {each.name: _results(each) for each in FRAMERS if _kept(each).exists()}
        PAGE.write_text("".join(page(found, date)), encoding="utf-8")


def _kept(framer: Judged) -> Path:
    return BUILD / f"{framer.name}.json"


def _results(framer: Judged) -> list[Result]:
    kept = json.loads(_kept(framer).read_text())
    return [Result(case, Verdict(verdict), reason) for case, verdict, reason in kept]


def _judged(framer: Judged) -> list[Result]:
    """Return what comes of a framer; nothing if its toolchain is not here."""
    if framer.tool and shutil.which(framer.tool) is None:
        return []
    if framer.build:
        subprocess.run(framer.build, check=True)
    try:
        return trio.run(judge, Framer(framer.command, TERMINATORS[framer.terminator]))
    except ShimError as error:
        sys.exit(f"{framer.name}: {error}")


def page(found: dict[str, list[Result]], date: str) -> Iterator[str]:
    """Yield the parts of the page."""
    yield _INTRO.format(date=date)
    there = {name: results for name, results in found.items() if results}
    if absent := [name for name in found if name not in there]:
        yield f"Their toolchain is not on that machine, so these were left out: {', '.join(absent)}.\n\n"
    clauses = list(dict.fromkeys(result.clause for results in there.values() for result in results))
    judged = [clause for clause in clauses if any(_mark(results, clause) for results in there.values())]
    yield f"| | {' | '.join(judged)} |\n|---|{'---|' * len(judged)}\n"
    for name, results in there.items():
        yield f"| {name} | {' | '.join(_mark(results, clause) or '·' for clause in judged)} |\n"
    yield "\n## What each does\n"
    for name, results in there.items():
        yield f"\n### {name}\n\n"
        told = [result for result in results if result.reason and not result.reason.endswith("is taken")]
        for result in told:
            mark = " broken:" if result.verdict is Verdict.FAILED else ""
            yield f"- {result.case}:{mark} {result.reason}.\n"
    yield _SHIM


def _mark(results: list[Result], clause: str) -> str:
    marks = {_MARKS.get(result.verdict, "") for result in results if result.clause == clause}
    return "✗" if "✗" in marks else max(marks, default="")


if __name__ == "__main__":
    main()
