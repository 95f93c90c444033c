"""The generated pages of the documentation leave nothing out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import caas_trio
from caas_trio import Limits
from caas_trio.conformance.clauses import CLAUSES
from caas_trio.program.command import command
from ci import site_pages


def test_every_name_option_and_clause_has_its_place(tmp_path: Path) -> None:
    site_pages.write(tmp_path)
    pages = {page.stem: page.read_text("utf-8") for page in tmp_path.iterdir()}
    named = re.findall(r"^\.\. auto\w+:: caas_trio\.(\w+)$", pages["api"], re.MULTILINE)
    assert sorted([*named, "__version__"]) == sorted(caas_trio.__all__)
    connection = pages["api"].partition("autoclass:: caas_trio.Connection\n")[2].partition("```")[0]
    assert ":inherited-members: object" in connection  # whose bases are not public
    options = re.findall(r"^\| `--([\w-]+)` \| .* \| `CAAS_TRIO_", pages["settings"], re.MULTILINE)
    assert {option.replace("-", "_") for option in options} == {each.name for each in command.params} - {
        *("endpoints", "config", "explain", "version", "help")
    }
    assert set(Limits.__dataclass_fields__) & set(re.findall(r"\| `(\w+)` \|", pages["settings"]))
    assert re.findall(r"^\| (\w+-\d+) ", pages["clauses"], re.MULTILINE) == list(CLAUSES)
    assert "caas_trio_lines_total" in pages["metrics"]


#: The modules of the service, not those of the core, the client and the suite.
SERVICE = sorted(Path(caas_trio.__file__).parent.glob("[!c]*/*.py"))


def logged() -> set[str]:
    """Return the events that the package logs by a text of its own."""
    found = set()
    for path in SERVICE:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="info" | "warning" | "error", value=logger),
                    args=[ast.Constant(str(event)), *_],
                ) if "log" in ast.unparse(logger) and "%" not in event:
                    found.add(event)
    return found


def test_every_event_of_the_log_has_its_row(tmp_path: Path) -> None:
    site_pages.write(tmp_path)
    rows = (tmp_path / "events.md").read_text("utf-8")
    told = {row.partition(" ...`")[0] for row in re.findall(r"^\| \w+ \| `([^`]+)`", rows, re.MULTILINE)}
    assert len(logged()) > 12
    begun = tuple(each.rstrip(". ") for each in told)
    assert [event for event in sorted(logged()) if not event.startswith(begun)] == []


def test_a_page_that_has_not_changed_is_left_alone(tmp_path: Path) -> None:
    site_pages.write(tmp_path)
    before = {page: page.stat().st_mtime_ns for page in tmp_path.iterdir()}
    site_pages.write(tmp_path)
    assert before == {page: page.stat().st_mtime_ns for page in tmp_path.iterdir()}
