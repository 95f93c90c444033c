"""The bugs that the proof plants apply to the package as it is now."""

from __future__ import annotations

import pytest
import trio
from click.testing import CliRunner

from .planted import BUGS, PACKAGE
from .planted.bug import Bug
from .proof import able, main, turns
from .reach import functions_reached
from .targets import Target, targets


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_a_planted_bug_applies_and_compiles(bug: Bug) -> None:
    source = (PACKAGE / bug.module).read_text()
    planted = bug.applied(source)
    assert planted != source
    compile(planted, bug.module, "exec")
    assert bug.harness in {target.name for target in targets()}


def test_a_bug_that_no_longer_applies_is_an_error() -> None:
    bug = Bug("x", "line_buffer", "core/framing.py", "not in there", "")
    with pytest.raises(ValueError, match="'x' does not apply"):
        bug.applied("source")


def test_there_are_enough_bugs_and_no_two_alike() -> None:
    assert len(BUGS) >= 40
    assert len({bug.what for bug in BUGS}) == len(BUGS)
    assert {bug.harness for bug in BUGS} == {target.name for target in targets()}


def test_a_hunt_without_bugs_is_an_error() -> None:
    result = CliRunner().invoke(main, ["no such bug"])
    assert result.exit_code == 2
    assert "no bug and no harness has 'no such bug' in its name" in result.output


SHARED = Bug("x", "line_buffer", "core/framing.py", "old", "new", ("work", "utf8"), "caas_trio.core.x.f")


def test_a_harness_whose_inputs_do_not_call_the_function_is_not_tried() -> None:
    others = frozenset({"caas_trio.core.x.g"})
    reached = {"line_buffer": others, "work": others | {SHARED.function}, "utf8": others}
    assert able(SHARED, reached) == ["work"]


def test_all_are_tried_where_none_calls_the_function() -> None:
    assert able(SHARED, dict.fromkeys(["line_buffer", "work", "utf8"], frozenset())) == [
        "line_buffer",
        "work",
        "utf8",
    ]


@pytest.mark.parametrize(
    ("count", "seconds", "expected"),
    [
        (1, 60, [("a", 60)]),
        (2, 60, [("a", 5), ("b", 5), ("a", 25), ("b", 25)]),
        (3, 60, [("a", 5), ("b", 5), ("c", 5), ("a", 15), ("b", 15), ("c", 15)]),
        (2, 8, [("a", 4), ("b", 4)]),
        (3, 2, [("a", 1), ("b", 1), ("c", 1)]),
    ],
)
def test_the_time_is_the_bugs_and_its_harnesses_share_it(
    count: int, seconds: int, expected: list[tuple[str, int]]
) -> None:
    assert list(turns(["a", "b", "c"][:count], seconds)) == expected


def test_what_a_harness_calls_is_measured() -> None:
    reached = trio.run(functions_reached, Target("work"))
    assert "caas_trio.core.framing.LineBuffer.take_lines" in reached
    assert "caas_trio.core.framing.LineBuffer.feed" not in reached  # it is the base's
    assert "caas_trio.core.buffering.ByteBuffer.feed" in reached
    assert not any(name.startswith("caas_trio.server.") for name in reached)
