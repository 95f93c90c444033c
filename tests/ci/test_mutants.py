"""Mutants: how they are made and tried, what counts as noticed, what is listed, and what a change touches."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ci.mutants import selection
from ci.mutants.__main__ import try_twice
from ci.mutants.anew import Finder
from ci.mutants.listed import FILE, Key, Listed
from ci.mutants.making import Change, Mutant, functions, modules, parse, path_of
from ci.mutants.mapping import Map
from ci.mutants.report import Report
from ci.mutants.results import Results, alone
from ci.mutants.touched import changed_lines, functions_at
from ci.mutants.trying import Outcome, swappable

MODULE = "caas_trio.core.limits"
ROOT = Path(__file__).parents[2]
#: What mutmut makes of this, without what switches the mutants on.
SOURCE = """
def check(value: int, least: int = 1) -> int:
    if value < least:
        raise ValueError
    return value

class Two:
    x = 2
    async def three(self) -> int:
        return 3
"""
MADE = """
def x_check__mutmut_orig(value: int, least: int = 1) -> int:
    if value < least:
        raise ValueError
    return value

def x_check__mutmut_1(value: int, least: int = 2) -> int:
    if value < least:
        raise ValueError
    return value

def x_check__mutmut_2(value: int, least: int = 1) -> int:
    if value <= least:
        raise ValueError
    return value

class Two:
    async def xǁTwoǁthree__mutmut_orig(self) -> int:
        return 3

    async def xǁTwoǁthree__mutmut_1(self) -> int:
        return 4
"""
MUTANTS = parse(MODULE, SOURCE, MADE)
DEFAULT, MUTANT, METHOD = MUTANTS
CHANGE = Change("if value < least:", "if value <= least:")
KEY = Key("caas_trio.core.limits.check", CHANGE)


def report_on(status: str | None, listed: Listed) -> Report:
    return Report.of([MUTANT], {} if status is None else {MUTANT.name: status}, listed)


def test_a_mutant_is_known_by_its_function_and_its_change() -> None:
    assert [mutant.name for mutant in MUTANTS] == [
        "caas_trio.core.limits.check#1",
        "caas_trio.core.limits.check#2",
        "caas_trio.core.limits.Two.three#1",
    ]
    assert MUTANT.change == CHANGE
    assert METHOD.change == Change("return 3", "return 4")
    assert len({mutant.digest for mutant in MUTANTS}) == 3


def test_what_is_evaluated_with_the_definition_is_told_apart() -> None:
    assert [mutant.is_in_signature for mutant in MUTANTS] == [True, False, False]


@pytest.mark.parametrize(("mutant", "passes"), [(DEFAULT, False), (MUTANT, False), (METHOD, True)])
def test_a_module_has_one_mutant_at_a_time(mutant: Mutant, *, passes: bool) -> None:
    namespace: dict[str, object] = {}
    exec(mutant.module_code(), namespace)  # noqa: S102 - our own text
    check = namespace["check"]
    assert callable(check)
    if passes:
        assert check(1) == 1
    else:
        with pytest.raises(ValueError, match=r"^$"):
            check(1)
    assert ast.dump(MUTANT.tree) == ast.dump(ast.parse(SOURCE))


def test_the_code_of_one_function_can_be_had() -> None:
    def check(value: int, least: int = 1) -> int:
        return value + least

    check.__code__ = MUTANT.function_code()
    with pytest.raises(ValueError, match=r"^$"):
        check(1)
    assert check(2) == 2


def test_a_mutant_is_found_in_place_of_its_module_alone() -> None:
    finder = Finder(MUTANT)
    assert finder.find_spec("caas_trio.core.framing", None) is None
    spec = finder.find_spec(MODULE, None)
    assert spec is not None
    assert spec.origin == str(path_of(MODULE).resolve())


#: Tests whose names no command line would find for sure, and a file that cannot be collected.
NAMED = """
import pytest

@pytest.mark.parametrize("text", ["a b", "x::y", "[::1]:80", "a[b] - c/d", "-x", "@f"])
def test_a(text):
    assert text != "x::y"

def test_b():
    pass
"""


def run_anew(folder: Path, *nodes: str) -> Outcome:
    (folder / "test_named.py").write_text(NAMED)
    (folder / "test_broken.py").write_text("raise RuntimeError")
    (folder / "broken").mkdir()
    (folder / "broken" / "conftest.py").write_text("raise RuntimeError")
    (folder / "broken" / "test_right.py").write_text("def test_a(): pass")
    (folder / "elsewhere").mkdir()
    receiving, sending = os.pipe()
    task = {"module": "", "name": "", "nodes": dict.fromkeys(nodes, 0), "pipe": sending}
    task["folder"] = str(folder / "elsewhere")
    (folder / "task").write_text(json.dumps(task))
    with (folder / "task").open() as file, os.fdopen(receiving, "rb") as pipe:
        subprocess.run(
            [sys.executable, "-m", "ci.mutants.anew", str(file.fileno())],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno(), sending],
            check=True,
        )
        os.close(sending)
        return Outcome.of(pipe.read().decode(), ended=False)


@pytest.mark.parametrize(
    ("nodes", "outcome"),
    [
        (
            [f"test_named.py::test_a[{name}]" for name in ("[::1]:80", "a b", "a[b] - c/d", "-x", "@f")],
            Outcome("survived"),
        ),
        (
            ["test_named.py::test_b", "test_named.py::test_a[x::y]"],
            Outcome("killed", "test_named.py::test_a[x::y]"),
        ),
        (["test_named.py::test_b", "test_named.py::gone"], Outcome("not found", "test_named.py::gone")),
        (["test_broken.py::test_a"], Outcome("killed", "test_broken.py")),
        (["broken/test_right.py::test_a"], Outcome("killed", "?")),
        (["test_gone.py::test_a"], Outcome("not found", "test_gone.py")),
    ],
)
def test_a_new_process_runs_the_chosen_tests(tmp_path: Path, nodes: list[str], outcome: Outcome) -> None:
    assert run_anew(tmp_path, *nodes) == outcome


def test_what_a_mutant_writes_is_not_left_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "test_writing.py").write_text("def test_it(): open('None.lock', 'w').close()")
    assert run_anew(tmp_path, "test_writing.py::test_it") == Outcome("survived")
    assert not (tmp_path / "None.lock").exists()
    assert (tmp_path / "elsewhere" / "None.lock").exists()


@pytest.mark.parametrize(
    ("qualname", "can_be"), [("Limits.__post_init__", True), ("Limits", False), ("Limits.no", False)]
)
def test_code_is_swapped_in_functions_alone(qualname: str, *, can_be: bool) -> None:
    mutant = Mutant(MODULE, qualname, 1, CHANGE, MUTANT.definition, MUTANT.tree)
    if can_be:
        source = path_of(MODULE).read_text()
        tree = ast.parse(source)
        definition = next(node for name, node in functions(tree) if name == qualname)
        mutant = Mutant(MODULE, qualname, 1, CHANGE, definition, tree)
    assert swappable(mutant) == can_be


def test_two_runs_keep_out_of_each_others_results(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(SystemExit, match=r"^another run is under way in "), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_tests_are_tried_in_the_order_of_what_they_have_noticed() -> None:
    tests = Map()
    f, g, h = (f"{MODULE}.{name}" for name in "fgh")
    tests.add(
        {
            "a[1]": (0.1, 3 * 0.1, [f]),
            "a[2]": (0.1, 3 * 0.1, [f]),
            "b": (0.2, 3 * 0.2, [f, g]),
            "c": (0.3, 3 * 0.3, [f]),
            "tests/test_limits.py::own": (0.5, 3 * 0.5, [f]),
            "slow": (5.0, 3 * 5.0, [f]),
        }
    )
    nodes = tests.of_function(f, 2, {})
    assert list(nodes) == ["tests/test_limits.py::own", "a[1]", "b", "c", "a[2]"]
    assert sum(nodes.values()) == pytest.approx(3.6)
    assert list(tests.of_function(f, 0.45, {"c": 2})) == ["c", "a[1]"]
    assert tests.of_function(g, 0.1, {}) == {"b": pytest.approx(0.6)}
    assert set(tests.of_function(h, 9, {})) == set(tests.calls)  # newer than the map
    assert tests.of_function("caas_trio.core.framing.f", 9, {}) == {}


def test_what_lives_and_is_not_listed_is_tried_once_more_for_longer(tmp_path: Path) -> None:
    results = Results.load(tmp_path / "results.json")
    listed = Listed({Key(METHOD.function, METHOD.change): "it is no bug"})
    tried: list[tuple[list[str], float]] = []

    def try_each(mutants: Sequence[Mutant], seconds: float) -> int:
        tried.append(([mutant.name for mutant in mutants], seconds))
        for mutant in mutants:
            results.add(mutant, Outcome("killed" if mutant is DEFAULT else "survived"))
        return 0

    assert try_twice(MUTANTS, results, listed, 5, try_each) == 0
    assert tried == [([mutant.name for mutant in MUTANTS], 5), ([MUTANT.name], 40)]
    assert try_twice(MUTANTS, results, listed, 5, lambda *_: 3) == 3


def test_results_are_kept_as_long_as_the_function_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = Results.load(path)
    results.add(MUTANT, Outcome("killed", "test_x"))
    results.save()
    assert Results.load(path).statuses(MUTANTS) == {MUTANT.name: "killed"}
    changed = parse(MODULE, SOURCE.replace("return value", "return 1"), MADE)
    assert Results.load(path).statuses(changed) == {}


@pytest.mark.parametrize("status", ["killed", "timeout"])
def test_a_mutant_that_a_test_notices_is_killed(status: str) -> None:
    report = report_on(status, Listed({}))
    assert report.passed
    assert report.rows()[-1] == ("all", "1", "1", "0", "0", "0")


@pytest.mark.parametrize("status", ["survived", "no tests", "not found"])
def test_a_mutant_that_no_test_notices_fails_the_run(status: str) -> None:
    report = report_on(status, Listed({}))
    assert not report.passed
    assert "  - if value < least:\n  + if value <= least:\n" in report.text()
    assert "if value &lt;= least:" in report.page()


def test_a_mutant_that_is_listed_may_live() -> None:
    report = report_on("survived", Listed({KEY: "equal"}))
    assert report.passed
    assert report.rows()[-1] == ("all", "1", "0", "1", "0", "0")


def test_a_list_with_a_mutant_that_is_killed_is_stale() -> None:
    report = report_on("killed", Listed({KEY: "equal"}))
    assert not report.passed
    assert "no such mutant lives: caas_trio.core.limits.check" in report.text()


def test_a_list_is_not_stale_for_a_function_that_has_not_changed() -> None:
    statuses, elsewhere = {METHOD.name: "killed"}, Listed({KEY: "equal"})
    assert Report.of([METHOD], statuses, elsewhere, {METHOD.function}).passed
    assert not Report.of([METHOD], statuses, Listed({KEY: "equal"})).passed
    assert not Report.of([MUTANT], {MUTANT.name: "killed"}, elsewhere, {MUTANT.function}).passed


def test_a_mutant_that_was_not_tried_is_no_success_and_no_failure() -> None:
    report = report_on(None, Listed({KEY: "equal"}))
    assert report.passed
    assert report.rows()[-1] == ("all", "1", "0", "0", "0", "1")


@pytest.mark.parametrize(
    ("second", "message"), [('why = "b"', "^listed twice: "), ("", "^listed without a reason: ")]
)
def test_the_list_has_each_mutant_once_with_a_reason(tmp_path: Path, second: str, message: str) -> None:
    entry = '[[mutant]]\nfunction = "f"\nremoved = "a"\nadded = "b"\n'
    path = tmp_path / "listed.toml"
    path.write_text(f'{entry}why = "a"\n{entry}{second}\n' if second else entry)
    with pytest.raises(ValueError, match=message):
        Listed.load(path)


def test_the_list_of_the_project_is_well_formed() -> None:
    names = tuple(f"{module}." for module in modules(["core", "drivers", "server"]))
    assert all(key.function.startswith(names) for key in Listed.load(FILE).why)


@pytest.mark.parametrize("layer", ["core", "drivers", "server"])
def test_the_tests_of_a_layer_exist(layer: str) -> None:
    assert selection.tests_of(layer)
    assert all(Path(path).exists() for path in selection.tests_of(layer))


def test_what_a_diff_touches() -> None:
    diff = "+++ b/src/x.py\n@@ -3 +3,2 @@ f\n+++ b/src/y.py\n@@ -8,2 +7,0 @@\n"
    assert changed_lines(diff) == {"src/x.py": {3, 4}, "src/y.py": {7}}


@pytest.mark.parametrize(("line", "names"), [(3, ["check"]), (8, []), (10, ["Two.three"])])
def test_a_changed_line_is_in_a_function(line: int, names: list[str]) -> None:
    assert functions_at(SOURCE, {line}) == names
