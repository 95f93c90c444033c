"""Prove that the simulation finds bugs: plant each in a copy of the package, and try seeds until one fails.

`python -m ci.simulate.planted [PART]...` takes the bugs of `fuzz/planted` that a client of a plain server, or
of one behind a proxy, can meet; or those whose description contains a PART.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from fuzz.planted import BUGS, plant
from fuzz.planted.bug import Bug

#: The harnesses of the same parts.
_HARNESSES: Final = frozenset({"server", "opening"})

#: By description: bugs of theirs that no client can meet, and why not.
UNREACHABLE: Final = {
    "a refused client counts only once its task begins": (
        "no client knows how many others linger; fuzz_server counts the sockets that are open"
    ),
}

_FOUND: Final = re.compile(r"seed (\d+): (.*)")


def chosen() -> list[Bug]:
    """Return the bugs to be found."""
    return [bug for bug in BUGS if bug.harness in _HARNESSES and bug.what not in UNREACHABLE]


def hunt(bug: Bug, seeds: int) -> tuple[int, str] | None:
    """Return the first seed that fails with a bug, and how; None if none does."""
    with tempfile.TemporaryDirectory(prefix="planted-") as copy:
        plant(bug, Path(copy))
        path = os.pathsep.join([copy, str(Path.cwd())])
        command = [sys.executable, "-m", "ci.simulate.service", "--jobs=1", "--first", f"--seeds={seeds}"]
        ran = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
    found = _FOUND.search(ran.stdout)
    if found is None and ran.returncode:
        raise RuntimeError(ran.stderr)
    return None if found is None else (int(found[1]), found[2])


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="of descriptions")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many to try for each")
    options = parser.parse_args()
    bugs = [bug for bug in chosen() if not options.parts or any(part in bug.what for part in options.parts)]
    missed = 0
    for bug in bugs:
        found = hunt(bug, options.seeds)
        missed += found is None
        print(f"{'MISSED' if found is None else found[0] + 1:>6}  {bug.what}", flush=True)
        if found is not None:
            print(f"        {found[1][:200]}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
