"""What the documentation says of settings and tests is so."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import caas_trio
from caas_trio import Limits
from caas_trio.drivers import hubtransport as hub_driver
from caas_trio.drivers import stream as stream_driver
from caas_trio.program.command import command

ROOT = Path(__file__).parent.parent
PACKAGE = Path(caas_trio.__file__).parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder, pattern in [(".", "*.md"), ("docs", "**/*.md"), ("fuzz", "*.md"), ("ci", "**/*.md")]
    for path in sorted((ROOT / folder).glob(pattern))
}
DENIAL = (ROOT / "docs" / "denial-of-service.md").read_text()
ATTACKS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^##)", DENIAL, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_has_a_setting_a_cost_and_a_test(attack: str) -> None:
    [setting, cost, shown_by] = re.findall(r"^\* (\w[\w ]*): ", ATTACKS[attack], re.MULTILINE)
    assert (setting, cost, shown_by) == ("Setting", "Cost", "Shown by")
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", ATTACKS[attack])
    assert named
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert test in [function.name for function in functions]


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_default_is_documented(attack: str) -> None:
    told = re.findall(r"`(\w+)` \((\w+)\)", ATTACKS[attack])
    limits = Limits()
    for name, value in told:
        default = getattr(limits, name)
        assert value == str(getattr(default, "value", default)).removesuffix(".0")


def test_every_limit_is_in_the_entries() -> None:
    named = set(re.findall(r"`(\w+)`", "".join(ATTACKS.values())))
    assert set(Limits.__dataclass_fields__) - named == {"prompt_delay"}


def test_limits_are_options_but_for_those_that_are_named() -> None:
    told = re.findall(r"`(\w+)`", DENIAL.partition("an option of the same name")[2].partition("\n")[0])
    options = {parameter.name for parameter in command.params}
    assert set(Limits.__dataclass_fields__) - options == set(told)


def test_the_sizes_of_the_formulas_are_documented() -> None:
    sizes = {
        name: re.findall(r"\d+", line)
        for name, line in re.findall(r"^\* ([A-Z]+) (.*)", DENIAL, re.MULTILINE)
    }
    assert sizes["READ"] == [str(hub_driver.READ_SIZE), str(stream_driver.READ_SIZE)]
    assert sizes["HELD"] == [str(hub_driver.MAX_HELD)]
    session = 2 * Limits().max_line + hub_driver.READ_SIZE
    assert session == 384 * 1024
    assert 3.6 < session * Limits().max_connections / 2**30 < 3.7


def test_every_page_is_in_the_site() -> None:
    site = ROOT / "docs" / "site"
    names = re.findall(r"^(?:.*<)?(\.\./[^>\n]*)>?$", (site / "index.md").read_text("utf-8"), re.MULTILINE)
    listed = {(site / f"{name}.md").resolve() for name in names}
    pages = {ROOT / page for page in PAGES if page.startswith("docs/") and "/site/" not in page}
    assert pages <= listed


SESSIONS = re.findall(r"^@nox.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return how GitHub and others name a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_no_link_is_broken(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]) if ":" not in link]
    for link in links:
        path, _, place = link.partition("#")
        target = ROOT / page if not path else (ROOT / page).parent / path
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert place in map(anchor, headings), link


@pytest.mark.parametrize("page", PAGES)
def test_each_session_named_exists(page: str) -> None:
    for named in re.findall(r"nox -s ((?:[\w.-]+ ?)+)", PAGES[page]):
        for session in named.partition(" --")[0].partition("  ")[0].split():
            assert session.partition("-")[0] in SESSIONS


def test_workflows_run_existing_sessions() -> None:
    for workflow in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        text = workflow.read_text()
        called = " ".join(re.findall(r"nox -s ((?:\w[\w.-]* ?)+)", text)).split()
        assert called or "nox -s" not in text
        assert {session.partition("-")[0] for session in called} <= set(SESSIONS)


def test_every_session_is_documented_with_when_it_runs() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    [default] = re.findall(r"^nox\.options\.sessions = \[(.*?)\]", noxfile, re.MULTILINE | re.DOTALL)
    gate = re.findall(r'^@nox\.session\(.*tags=\["gate"\].*\)\ndef (\w+)', noxfile, re.MULTILINE)
    tables = re.split(r"^\| .* \| \|$", PAGES["CONTRIBUTING.md"], flags=re.MULTILINE)[1:]
    told = [
        {
            name.partition("-")[0]
            for names in re.findall(r"nox -s ([\w. -]+?)(?: --|`)", table)
            for name in names.split()
        }
        for table in tables
    ]
    assert told[0] == set(re.findall(r'"(\w+)"', default))
    assert told[1] == set(gate)
    assert set().union(*told) == set(SESSIONS)


def test_the_architecture_names_every_module_where_it_is() -> None:
    table = re.findall(r"^\| (?:`(\w+)/`)? ?\| (`.*?) \|", PAGES["docs/architecture.md"], re.MULTILINE)
    named, folder = [], ""
    for own, modules in table:
        folder = own or folder
        named += [f"{folder}/{module}" for module in re.findall(r"`(\w+)`", modules)]
    there = {
        f"{path.parent.name}/{path.stem}"
        for path in PACKAGE.glob("*/*")
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(named) == sorted(each for each in there if "__" not in each)


def test_each_step_of_a_connections_way_is_a_definition() -> None:
    way = PAGES["docs/architecture.md"].partition("## A connection's way")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. `(\w+)\.(\w+)\.(\w+)`", way, re.MULTILINE)
    assert 5 < len(steps) <= 10
    for module, name, method in steps:
        [path] = [path for path in PACKAGE.glob(f"*/{module}.py") if path.parent.name != "conformance"]
        found = getattr(import_module(f"caas_trio.{path.parent.name}.{module}"), name)
        assert callable(getattr(found, method)), f"{name}.{method}"
