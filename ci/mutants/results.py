"""The results of the mutants so far, kept from run to run: `Results`."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .making import Mutant
from .trying import Outcome

#: After how many results they are saved.
_EVERY: Final = 10


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep out other runs that keep their results in the same folder; exit with one line if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another run is under way in {folder}: each would overwrite what the other one finds")
        yield


@dataclass(slots=True)
class Results:
    """The results of mutants, in a file.

    Attributes:
        path: where it is kept.
        known: by mutant and what it changes: how it ended, and the test that noticed it.
    """

    path: Path
    known: dict[str, list[str]]

    @classmethod
    def load(cls, path: Path) -> Results:
        """Return what a file has, nothing if there is none."""
        return cls(path, json.loads(path.read_text()) if path.exists() else {})

    def save(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known, indent=0))

    def add(self, mutant: Mutant, outcome: Outcome) -> None:
        """Note what became of a mutant."""
        self.known[_key(mutant)] = [outcome.status, outcome.test]
        if len(self.known) % _EVERY == 0:
            self.save()

    def statuses(self, mutants: Iterable[Mutant]) -> dict[str, str]:
        """Return by name what became of mutants, as far as they have been tried as they are now."""
        return {mutant.name: self.known[_key(mutant)][0] for mutant in mutants if _key(mutant) in self.known}


def _key(mutant: Mutant) -> str:
    return f"{mutant.name} {mutant.digest}"
