"""Judge the daemons of the atlas: `python -m ci.atlas [--write] [NAME ...] [--case ID ...]`.

Without names, all of them; with some, what an earlier run said of the others stays. Verdicts that are not
those of the earlier run are printed, but for those that are known to be unsteady. The pages go to
`build/atlas`; with `--write`, `docs/atlas.md` is written anew. `--case` only prints what came of some cases.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from caas_trio.conformance.clauses import CLAUSES

from .daemons import DAEMONS
from .judging import Entry, judged
from .page import Explained, as_html, as_markdown, explanations

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "atlas"
PAGE = ROOT / "docs" / "atlas.md"
#: Most of the time, a case waits.
_AT_ONCE = 4 * (os.cpu_count() or 1)


def main() -> None:
    """Judge what is asked for, and write the pages."""
    parser = argparse.ArgumentParser(prog="python -m ci.atlas")
    parser.add_argument("names", nargs="*", choices=[[], *(daemon.name for daemon in DAEMONS)])
    parser.add_argument("--case", action="append", default=[], metavar="ID")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    chosen = [each.name for each in DAEMONS if not options.names or each.name in options.names]
    task = partial(judged, debs=BUILD / "packages", pages=BUILD, cases=options.case)
    entries: list[Entry] = []
    with ProcessPoolExecutor(_AT_ONCE) as pool:
        for entry in pool.map(task, chosen):
            result = entry.absent or ", ".join(each.clause for each in entry.findings) or "no finding"
            print(f"{entry.name:<16} {entry.version:<28} {entry.seconds:6.1f} s  {result}", flush=True)
            for finding in entry.findings if options.case else ():
                print(f"    {finding.case}: {finding.reason} {finding.expected} {finding.received}")
            entries.append(entry)
    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    if options.case:
        return
    earlier = _earlier()
    for line in changes(earlier, entries):
        print(line)
    by_name = earlier | {entry.name: entry for entry in entries}
    entries = [by_name[daemon.name] for daemon in DAEMONS if daemon.name in by_name]
    (BUILD / "atlas.json").write_text(json.dumps([entry.as_data() for entry in entries], indent=1))
    (BUILD / "index.html").write_text(as_html(entries, date), encoding="utf-8")
    if options.write:
        PAGE.write_text(as_markdown(entries, date), encoding="utf-8")


def _earlier() -> dict[str, Entry]:
    """Return what an earlier run has kept, by daemon."""
    kept = BUILD / "atlas.json"
    entries = [Entry.of_data(data) for data in json.loads(kept.read_text())] if kept.exists() else []
    return {entry.name: entry for entry in entries}


def changes(earlier: Mapping[str, Entry], entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a line for each verdict that is not that of an earlier run, but for those known as unsteady."""
    said = explanations()
    for entry in entries:
        before = earlier.get(entry.name, entry)
        if before.absent != entry.absent:
            yield f"{entry.name}: {before.absent or 'judged'} -> {entry.absent or 'judged'}"
            continue
        known = said.get(entry.name, Explained())
        for clause in CLAUSES:
            old, new = known.mark(before, clause), known.mark(entry, clause)
            if old != new:
                yield f"{entry.name}: {clause} {old} -> {new}"


if __name__ == "__main__":
    main()
