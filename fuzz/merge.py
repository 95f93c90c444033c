"""Prune a corpus: `python -m fuzz.merge [HARNESS]...`.

Of what is kept and what runs have found, libFuzzer picks the smallest set that reaches as much. Seeds
with a name of their own are kept in any case: they were written down to say something.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import click

from .targets import Target, files, select

#: The names libFuzzer gives: SHA-1 of the content.
_FOUND_NAME: Final = re.compile(r"[0-9a-f]{40}")


def merge(target: Target) -> tuple[int, int]:
    """Merge into a target's corpus; return how many inputs there were and how many there are.

    Raises:
        CalledProcessError: the harness failed.
    """
    before = files(target.corpus)
    named = [path for path in before if not _FOUND_NAME.fullmatch(path.name)]
    with tempfile.TemporaryDirectory() as directory:
        merged, seeds = Path(directory) / "merged", Path(directory) / "seeds"
        merged.mkdir()
        seeds.mkdir()
        for path in named:
            shutil.copy(path, seeds)
        sources = [path for path in (target.found, target.corpus) if path.is_dir()]
        command = [*target.command, "-merge=1", str(merged), str(seeds), *map(str, sources)]
        subprocess.run(command, check=True, capture_output=True)
        already = {path.read_bytes() for path in named}
        for path in before:
            if path not in named:
                path.unlink()
        for path in files(merged):
            if path.read_bytes() not in already:
                shutil.copy(path, target.corpus)
    return len(before), len(files(target.corpus))


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Prune the corpora of harnesses, all by default."""
    for target in select(names):
        try:
            before, after = merge(target)
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None
        print(f"fuzz_{target.name}: {before} inputs before, {after} now", flush=True)


if __name__ == "__main__":
    main()
