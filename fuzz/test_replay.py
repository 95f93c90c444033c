"""Replay every seed and every old crasher through the checks, and hold the corpus to what it reaches."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from .coverage_probe import CoverageProbe
from .targets import HERE, Target, targets

MIN_BRANCHES = 95  # percent
#: A module with a setting that no harness has yet, which only tests hold.
MIN_BRANCHES_OF = {
    "caas_trio.drivers.inlineturn": 86,  # what comes between two polls; as many reads as a turn may have
    "caas_trio.server.accepting": 93,  # a watchdog
    "caas_trio.server.admission": 92,  # rates per host, behind a proxy
    "caas_trio.server.kinds": 75,  # handlers that fail, and portable channels, in eight branches
}
INPUTS = [(target, path) for target in targets() for path in target.inputs()]
NAMES = [f"{path.parent.parent.name}/{path.parent.name}/{path.name}" for _, path in INPUTS]


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=NAMES)
def test_an_input_that_is_kept_passes(target: Target, path: Path) -> None:
    target.check(path.read_bytes())  # raises where the promise is broken


def test_the_corpus_alone_reaches_each_module() -> None:
    """Slow, and so one test: all the inputs run under coverage."""
    with CoverageProbe(*targets()) as probe:
        probe.add(path for _, path in INPUTS)
        reached = {name: reach.branch_percentage for name, reach in probe.modules.items()}
    assert set(reached) == {module for target in targets() for module in target.modules}
    assert {name: round(share) for name, share in reached.items() if share < least(name)} == {}


def least(module: str) -> int:
    """Return what share of a module's branches, in percent, the inputs have to reach."""
    return MIN_BRANCHES_OF.get(module, MIN_BRANCHES)


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_a_harness_instruments_existing_modules(target: Target) -> None:
    """Without atheris this is all that is seen of a harness's own file."""
    assert target.instrumented
    assert [name for name in target.instrumented if find_spec(name) is None] == []


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_every_target_has_seeds(target: Target) -> None:
    assert target.corpus.is_dir()


def test_every_directory_of_inputs_belongs_to_a_target() -> None:
    names = {target.name for target in targets()}
    for kind in ("corpus", "regressions"):
        assert {path.name for path in (HERE / kind).glob("*")} <= names


def judging(path: Path) -> list[ast.Assert]:
    """Return the assertions of a file that are more than a hint for the type checker."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
    return [each for each in found if not re.search(r"is not None$|^isinstance\(", ast.unparse(each.test))]


@pytest.mark.parametrize("path", sorted(HERE.glob("checks/*.py")), ids=lambda path: path.stem)
def test_every_broken_promise_has_a_message(path: Path) -> None:
    assert [f"{path.name}:{each.lineno}" for each in judging(path) if each.msg is None] == []
