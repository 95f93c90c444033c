"""Framers judged through shims: right ones pass, wrong ones break their clause; what is no shim is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from caas_trio.conformance.case import Verdict
from ci.framers.__main__ import page
from ci.framers.judging import Found, Framer, Result, ShimError, judge, main


@dataclass(frozen=True)
class Inside(Framer):
    """A framer that is a function of the pieces, and no program."""

    split: Callable[[tuple[bytes, ...]], Found] = Found

    async def find(self, *pieces: bytes, quiet_before_last: bool = False) -> Found:
        """Return what the function finds."""
        found = self.split(pieces)
        return Found(found.lines, found.tail, found.early and quiet_before_last)


def right(pieces: tuple[bytes, ...]) -> Found:
    """Return what a right framer finds: LF ends a line of at most 1000 bytes."""
    *lines, tail = b"".join(pieces).split(b"\n")
    return Found(tuple(line if len(line) <= 1000 else None for line in lines), tail)


def altered(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Callable[[tuple[bytes, ...]], Found]:
    """Return a framer that is right but for what it makes of its input."""
    return lambda pieces: right(change(pieces))


async def judged(split: Callable[[tuple[bytes, ...]], Found], max_line: int | None = 1000) -> list[Result]:
    return await judge(Inside((), b"\n", max_line, split))


async def test_a_right_framer_passes_and_what_ends_its_lines_is_reported() -> None:
    results = await judged(right)
    assert [result.case for result in results if result.verdict is Verdict.FAILED] == []
    assert [result.reason for result in results if result.verdict is Verdict.NOT_JUDGED] == [
        "a bare CR ends no line",
        "CR CR LF ends a line",
        "a NUL ends no line",
        "input without a terminator is left over",
    ]


def in_parts(pieces: tuple[bytes, ...]) -> Found:
    lines = right(pieces).lines
    cut = [line[at : at + 512] for line in lines if line is not None for at in range(0, len(line) or 1, 512)]
    return Found(tuple(cut))


@pytest.mark.parametrize(
    ("clause", "split"),
    [
        ("PIPE-1", lambda pieces: Found(right(pieces).lines[:2])),
        ("CUT-1", lambda pieces: right(pieces[:1])),
        ("CUT-2", lambda pieces: Found(right(pieces).lines, early=True)),
        ("TERM-1", lambda pieces: Found(tuple(line for line in right(pieces).lines if line != b""))),
        ("REPLY-1", altered(lambda pieces: tuple(piece.replace(b"\0", b"") for piece in pieces))),
        (
            "TERM-6",
            altered(lambda pieces: tuple(b"\n" + each[1:] if each[:1] == b"\r" else each for each in pieces)),
        ),
        (
            "LONG-1",
            lambda pieces: Found(
                tuple(None if line and len(line) > 999 else line for line in right(pieces).lines)
            ),
        ),
        ("LONG-2", in_parts),
        ("LONG-3", lambda pieces: Found(tuple(line for line in right(pieces).lines if line is not None))),
    ],
)
async def test_a_wrong_framer_breaks_its_clause(
    clause: str, split: Callable[[tuple[bytes, ...]], Found]
) -> None:
    assert clause in {result.clause for result in await judged(split) if result.verdict is Verdict.FAILED}


async def test_what_ends_a_line_has_to_be_the_same_each_time() -> None:
    ends = iter([b"\r", b"\n"] * 1000)
    results = await judged(lambda pieces: right((b"".join(pieces).replace(b"\r", next(ends)),)))
    assert "SAME-1" in {result.clause for result in results if result.verdict is Verdict.FAILED}


async def test_a_program_is_run_and_its_output_is_read() -> None:
    said = """import sys
print('{"line": "' + sys.stdin.read().strip().encode().hex() + '"}')
print('{"error": "x"}')
print('{"end": "00"}')"""
    found = await Framer((sys.executable, "-S", "-c", said)).find(b"a", b"b\n")
    assert (found, str(found)) == (Found((b"ab", None), b"\0"), "b'ab', an error")


@pytest.mark.parametrize("said", ["hello", '{"lime": "00"}', '{"line": "0"}', '["line"]', "{}"])
async def test_a_program_that_is_no_shim_is_named(said: str) -> None:
    with pytest.raises(ShimError, match="which is no line of a shim"):
        await Framer((sys.executable, "-S", "-c", f"print({said!r})")).find(b"a")


def test_a_program_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such/shim"]) == 2
    assert "cannot be started: No such file or directory" in capsys.readouterr().err


def test_the_page_has_a_row_for_each_and_names_what_was_left_out() -> None:
    results = [
        Result("CUT-1.byte", Verdict.FAILED, "it is lost"),
        Result("TERM-5.nul", Verdict.NOT_JUDGED, "x"),
    ]
    text = "".join(page({"one": results, "two": []}, "2026-11-30"))
    assert "| | CUT-1 |\n|---|---|\n| one | ✗ |\n" in text
    assert "left out: two." in text
    assert "- CUT-1.byte: broken: it is lost.\n- TERM-5.nul: x.\n" in text
