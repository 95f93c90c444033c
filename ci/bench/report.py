"""What was measured, as rows: for the terminal, for `results.md`, and as JSON that can be read back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ci.bench import chart
from ci.bench.buffers import BUFFER
from ci.bench.figures import Run, Spread, by_round, ratios
from ci.bench.peers import HANDLER, OURS
from ci.bench.targets import TARGETS, family, judge
from ci.bench.works import WORKS, Work

SUBJECTS = (OURS, HANDLER, BUFFER)


@dataclass(frozen=True)
class Table:
    """A table: a title, column heads, and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """Return it in Markdown; the first column is text, the others are figures."""
        lines = [
            f"### {self.title}",
            "",
            *map(_cells, [self.head, ("---", *["--:"] * (len(self.head) - 1)), *self.rows]),
        ]
        return "\n".join([*lines, ""])


def _cells(row: Iterable[str]) -> str:
    return f"| {' | '.join(row)} |"


def number(value: float | None) -> str:
    """Return a figure with three significant digits, thousands apart; an empty text for None."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def _middle(runs: Sequence[Run], work: Work, peer: str, figure: str) -> float | None:
    values = by_round(runs, work.name, peer, figure)
    return median(values.values()) if values else None


def peers_in(runs: Iterable[Run], work: Work) -> list[str]:
    """Return who took part in `work`, without duplicates."""
    return list(dict.fromkeys(run.peer for run in runs if run.work == work.name))


def spreads(runs: Sequence[Run], work: Work) -> list[tuple[str, Spread]]:
    """Return who reached what in `work`, the best first; those with a problem are left out."""
    found = {
        peer: Spread.of(list(by_round(runs, work.name, peer, work.measure.figure).values()))
        for peer in peers_in(runs, work)
    }
    known = [(peer, spread) for peer, spread in found.items() if spread is not None]
    return sorted(known, key=lambda entry: entry[1].median, reverse=work.measure.more_is_better)


def table_of(runs: Sequence[Run], work: Work) -> Table:
    """Return the table of one work: who reached what, beside our ratio in the same rounds."""
    subjects = [subject for subject in SUBJECTS if by_round(runs, work.name, subject, work.measure.figure)]
    ranked = spreads(runs, work)
    head = (
        "peer",
        work.measure.unit,
        "min .. max",
        "p50 µs",
        "p99 µs",
        "CPU µs/line",
        "load",
        *(f"{s} is" for s in subjects),
    )
    rows = []
    for peer, spread in ranked:
        theirs = by_round(runs, work.name, peer, work.measure.figure)
        within = [
            ratios(by_round(runs, work.name, s, work.measure.figure), theirs, work.measure) for s in subjects
        ]
        extra = (number(_middle(runs, work, peer, figure)) for figure in ("p50", "p99", "cpu", "load"))
        relative = (f"{median(values):.2f}x" if values else "" for values in within)
        rows.append(
            (
                peer,
                number(spread.median),
                f"{number(spread.least)} .. {number(spread.most)}",
                *extra,
                *relative,
            )
        )
    shown = [i for i in range(len(head)) if i < 2 or any(row[i] for row in rows)]
    return Table(
        f"{work.name}: {work.title}",
        tuple(head[i] for i in shown),
        [tuple(row[i] for i in shown) for row in rows],
    )


def targets_table(runs: Sequence[Run]) -> Table:
    """Return what was to be reached in the works that were done, and whether it was."""
    words = {True: "reached", False: "not reached", None: "not measured"}
    done = {name for run in runs for name in (run.work, run.work.partition("/")[0])}
    verdicts = [judge(target, runs) for target in TARGETS if target.work in done]
    rows: list[tuple[str, ...]] = [
        (
            v.target.work,
            v.target.subject,
            v.target.wanted,
            number(v.measured),
            str(v.rounds),
            words[v.reached],
        )
        for v in verdicts
    ]
    return Table("To reach", ("work", "who", "wanted", "measured", "rounds", "verdict"), rows)


def problems(runs: Iterable[Run]) -> list[str]:
    """Return what went wrong, each peer's trouble once, in one line each."""
    troubled = [(run, run.problem) for run in runs if run.problem is not None]
    lines = [
        f"{run.peer}: {problem}" if problem.startswith("absent") else f"{run.peer}, {run.work}: {problem}"
        for run, problem in troubled
    ]
    return list(dict.fromkeys(lines))


def save(directory: Path, runs: Sequence[Run], about: dict[str, Any]) -> list[Path]:
    """Write JSON and chart of each family that was measured, then `results.md` over all; return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name in dict.fromkeys(work.family for work in WORKS if peers_in(runs, work)):
        works = family(name)
        entries = [_entry(run) for run in runs if run.work in {work.name for work in works}]
        path = directory / f"{name}.json"
        text = json.dumps(
            {**about, "work": name, "unit": works[0].measure.unit}, indent=1, ensure_ascii=False
        )
        path.write_text(
            text[:-2] + ',\n "runs": [\n  ' + ",\n  ".join(map(json.dumps, entries)) + "\n ]\n}\n"
        )
        picture = path.with_suffix(".svg")
        picture.write_text(chart.draw(works, {work.name: spreads(runs, work) for work in works}))
        written += [path, picture]
    overview = directory / "results.md"
    overview.write_text(_overview(directory))
    return [*written, overview]


def _entry(run: Run) -> dict[str, Any]:
    figures = {name: float(f"{value:.5g}") for name, value in run.figures.items()}
    return {
        "work": run.work,
        "peer": run.peer,
        "round": run.round,
        **({"problem": run.problem} if run.problem else figures),
    }


def load(path: Path) -> tuple[list[Run], dict[str, Any]]:
    """Read back what `save` wrote: the runs, and everything about them."""
    about = json.loads(path.read_text())
    runs = []
    for entry in about.pop("runs"):
        work, peer, number_, problem = (
            entry.pop("work"),
            entry.pop("peer"),
            entry.pop("round"),
            entry.pop("problem", None),
        )
        runs.append(Run(work, peer, number_, entry, problem))
    return runs, about


def _overview(directory: Path) -> str:
    runs: list[Run] = []
    sections = []
    for name in dict.fromkeys(work.family for work in WORKS):
        path = directory / f"{name}.json"
        if not path.exists():
            continue
        measured, about = load(path)
        runs += measured
        tables = [table_of(measured, work).markdown() for work in family(name) if peers_in(measured, work)]
        machine = ", ".join(f"{key} {value}" for key, value in about["machine"].items() if value != "absent")
        how = f"{about['date']}; {about['rounds']} rounds of {about['seconds']:g} s. {machine}."
        trouble = [f"* {line}" for line in problems(measured)]
        sections.append(
            "\n".join([f"![{name}]({name}.svg)", "", *tables, *trouble, "", f"<sub>{how}</sub>", ""])
        )
    intro = "# Results\n\nWritten by `nox -s bench`; [README.md](README.md) says how to read it.\n"
    return "\n".join([intro, targets_table(runs).markdown(), *sections])
