"""The results, as rows: for the terminal, for `results.md`, and as JSON."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ci.bench import chart
from ci.bench.buffers import BUFFER
from ci.bench.peers import HANDLER, OURS
from ci.bench.results import Run, Spread, by_round, growth_over, number, ratios
from ci.bench.targets import TARGETS, family, judge
from ci.bench.works import WORKS, Work

SUBJECTS = (OURS, HANDLER, BUFFER)
DISTURBED = 0.05  # of the time; more, and a figure says as much about the neighbours as about the peer


@dataclass(frozen=True)
class Table:
    """A table: a title, column heads, and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """Return it in Markdown; the first column is text, the others are figures."""
        rule = ("---", *["--:"] * (len(self.head) - 1))
        lines = [f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows)]
        return "\n".join([f"### {self.title}", "", *lines, ""])


def peers_in(runs: Iterable[Run], work: Work) -> list[str]:
    """Return the peers that took part in `work`, without duplicates."""
    return list(dict.fromkeys(run.peer for run in runs if run.work == work.name))


def spreads(runs: Sequence[Run], work: Work) -> list[tuple[str, Spread]]:
    """Return the peers and their figures in `work`, the best first; peers without a figure are left out."""
    found = []
    for peer in peers_in(runs, work):
        spread = Spread.of(list(by_round(runs, work.name, peer, work.measure.metric).values()))
        found += [(peer, spread)] if spread is not None else []
    return sorted(found, key=lambda entry: entry[1].median, reverse=work.measure.more_is_better)


def table_of(runs: Sequence[Run], work: Work) -> Table:
    """Return the table of one work: the figures of each peer, and our ratios within the same rounds."""

    def reached(peer: str, metric: str = work.measure.metric) -> dict[int, float]:
        return by_round(runs, work.name, peer, metric)

    def middle(values: Iterable[float], form: str = "") -> str:
        known = list(values)
        return "" if not known else format(median(known), form) if form else number(median(known))

    subjects = [subject for subject in SUBJECTS if reached(subject)]
    details = {"p50 µs": "p50", "p99 µs": "p99", "CPU µs/line": "cpu", "load": "load"}
    head = ("peer", work.measure.unit, "min .. max", *details, *(f"{subject} is" for subject in subjects))
    rows = []
    for peer, spread in spreads(runs, work):
        cells = (number(spread.median), f"{number(spread.minimum)} .. {number(spread.maximum)}")
        further = [middle(reached(peer, metric).values()) for metric in details.values()]
        relative = [middle(ratios(reached(s), reached(peer), work.measure), ".2f") for s in subjects]
        rows.append((peer, *cells, *further, *relative))
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    rows = [tuple(row[i] for i in used) for row in rows]
    return Table(f"{work.name}: {work.title}", tuple(head[i] for i in used), rows)


def growth_table(runs: Sequence[Run], name: str) -> Table:
    """Return how the cost grows over a family of works, peer by peer; no rows if that is not asked of it."""
    works = family(name)
    grown: dict[str, float | None] = {}
    if any(target.work == name and target.growth is not None for target in TARGETS):
        grown = {peer: growth_over(runs, works, peer)[0] for peer in peers_in(runs, works[0])}
    rows: list[tuple[str, ...]] = [
        (peer, f"{value:.2f}") for peer, value in grown.items() if value is not None
    ]
    return Table(f"{name}: {works[0].title}", ("peer", "most growth from one size to a larger one"), rows)


def tables(runs: Sequence[Run]) -> list[Table]:
    """Return the tables of all works that were done, and of how costs grow."""
    found = []
    for name in dict.fromkeys(work.family for work in WORKS):
        found += [table_of(runs, work) for work in family(name)]
        found.append(growth_table(runs, name))
    return [table for table in found if table.rows]


def targets_table(runs: Sequence[Run]) -> Table:
    """Return what was to be reached in the works that were done, and whether it was."""
    words = {True: "reached", False: "not reached", None: "not measured"}
    done = {name for run in runs for name in (run.work, run.work.partition("/")[0])}
    rows: list[tuple[str, ...]] = []
    for target in TARGETS:
        if target.work in done:
            verdict = judge(target, runs)
            measured = (number(verdict.measured), str(verdict.rounds), words[verdict.reached])
            rows.append((target.work, target.subject, target.wanted, *measured))
    return Table("To reach", ("work", "subject", "wanted", "measured", "rounds", "verdict"), rows)


def remarks(runs: Sequence[Run]) -> list[str]:
    """Return what keeps figures from being taken at face value, each thing once, in one line each."""
    lines = []
    for run in runs:
        if run.problem is not None and run.problem.startswith("absent"):
            lines.append(f"{run.peer} is {run.problem}")
        elif run.problem is not None:
            lines.append(f"{run.peer}, {run.work}: {run.problem}")
    waited = [run.metrics["waited"] for run in runs if "waited" in run.metrics]
    if disturbed := sum(share > DISTURBED for share in waited):
        lines.append(
            f"disturbed: in {disturbed} of {len(waited)} runs another process had their core "
            f"for more than {DISTURBED:.0%} of the time, at worst {max(waited):.0%}"
        )
    return list(dict.fromkeys(lines))


def save(directory: Path, runs: Sequence[Run], about: Mapping[str, Any]) -> None:
    """Write the chart of each family that was measured, and its part of `results.md`; others stay."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(work.family for work in WORKS if peers_in(runs, work)):
        works = family(name)
        drawing = chart.draw(works, {work.name: spreads(runs, work) for work in works})
        (directory / f"{name}.svg").write_text(drawing)
    page = directory / "results.md"
    page.write_text(renewed(page.read_text() if page.exists() else "", runs, about))


def as_json(runs: Sequence[Run], about: Mapping[str, Any]) -> str:
    """Return the runs as JSON, one a line, after everything about them."""
    entries = [
        {"work": run.work, "peer": run.peer, "round": run.round, **run.metrics, "problem": run.problem}
        for run in runs
    ]
    opening = json.dumps(about, indent=1, ensure_ascii=False).removesuffix("\n}")
    listed = ",\n  ".join(json.dumps(entry) for entry in entries)
    return f'{opening},\n "runs": [\n  {listed}\n ]\n}}\n'


def renewed(page: str, runs: Sequence[Run], about: Mapping[str, Any]) -> str:
    """Return `results.md` with the families that were measured written anew.

    Args:
        page: the page so far; "" if there is none.
        runs: what was measured.
        about: when, where and how.
    """
    head, *pieces = re.split(r"^!\[(.+)\]\(\1\.svg\)\n", page, flags=re.MULTILINE)
    sections = dict(zip(pieces[::2], pieces[1::2], strict=True))
    for name in dict.fromkeys(work.family for work in WORKS if peers_in(runs, work)):
        sections[name] = _section([run for run in runs if run.work.partition("/")[0] == name], about)
    intro = "# Results\n\nWritten by `nox -s bench`; [README.md](README.md) says how to read it.\n"
    shown = [
        f"![{name}]({name}.svg)\n{sections[name].rstrip()}\n"
        for name in dict.fromkeys(work.family for work in WORKS)
        if name in sections
    ]
    return "\n".join([intro, _all_targets(head, runs).markdown(), *shown])


def _section(runs: Sequence[Run], about: Mapping[str, Any]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in about["machine"].items() if value != "absent")
    how = f"<sub>{about['date']}, {about['rounds']} x {about['seconds']:g} s. {machine}.</sub>"
    shown = [table.markdown() for table in tables(runs)]
    return "\n".join(["", *shown, *(f"* {remark}" for remark in remarks(runs)), "", how])


def _all_targets(head: str, runs: Sequence[Run]) -> Table:
    """Return what was to be reached, and was, now or when it was measured last."""
    table = targets_table(runs)
    earlier = [tuple(line[2:-2].split(" | ")) for line in head.splitlines() if line.startswith("| ")]
    rows = {row[:3]: row for row in [*earlier, *table.rows]}
    keys = [(target.work, target.subject, target.wanted) for target in TARGETS]
    return Table(table.title, table.head, [rows[key] for key in keys if key in rows])
