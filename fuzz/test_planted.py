"""The bugs that the proof plants apply to the package as it is now."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from .planted import BUGS, PACKAGE
from .planted.bug import Bug
from .proof import main
from .targets import targets


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
