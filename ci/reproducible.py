"""Builds the sdist and the wheel twice; both times they have to come out the same, byte by byte.

    python -m ci.reproducible DIST

The first build is of the tree, the second of what its sdist unpacks to: in another directory, with other
times and permissions on its files, in another time zone, by a Python that hashes otherwise. DIST is emptied,
and has the files of the first build afterwards.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Build twice and compare; return the exit status."""
    dist = Path(sys.argv[1]).resolve()
    shutil.rmtree(dist, ignore_errors=True)
    build(ROOT, dist, {"PYTHONHASHSEED": "1", "TZ": "UTC"}, umask=0o022)
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = Path(folder)
        with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
            archive.extractall(elsewhere, filter="data")
        [tree] = elsewhere.iterdir()
        for path in tree.rglob("*"):
            os.utime(path, (1, 1))
        build(tree, elsewhere / "dist", {"PYTHONHASHSEED": "2", "TZ": "Pacific/Chatham"}, umask=0o077)
        first, second = hashes(dist), hashes(elsewhere / "dist")
    for name, digest in first.items():
        print(f"{digest}  {name}")
    if first != second:
        print(f"the second build differs: {second}")
        return 1
    print("built twice, the same both times")
    return 0


def build(tree: Path, dist: Path, environment: dict[str, str], *, umask: int) -> None:
    """Build the sdist and, from it, the wheel."""
    command = [sys.executable, "-m", "build", "--outdir", str(dist), str(tree)]
    with tempfile.TemporaryFile() as output:
        ended = subprocess.run(
            command,
            env=os.environ | environment,
            umask=umask,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if ended.returncode:
            output.seek(0)
            sys.exit(f"{tree} cannot be built:\n{output.read().decode(errors='replace')}")


def hashes(dist: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(dist.iterdir())}


if __name__ == "__main__":
    sys.exit(main())
