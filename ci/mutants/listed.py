"""The mutants that live and may: `listed.toml` says of each why no test can notice it."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .making import Change

FILE: Final = Path(__file__).with_name("listed.toml")


@dataclass(frozen=True, slots=True)
class Key:
    """By what a mutant is known from one revision to the next."""

    function: str
    change: Change


class Listed:
    """The mutants that are listed, each as often as the same change can be made in its function.

    Args:
        why: by mutant, why nobody could tell it from the right program.
    """

    def __init__(self, why: Mapping[Key, str]) -> None:
        self.why = why
        self._seen: Counter[Key] = Counter()

    @classmethod
    def load(cls, path: Path = FILE) -> Listed:
        """Return what a file lists.

        Raises:
            ValueError: a mutant is listed twice, or without a reason.
        """
        why: dict[Key, str] = {}
        for entry in tomllib.loads(path.read_text()).get("mutant", []):
            key = Key(entry["function"], Change(entry["removed"], entry["added"]))
            if key in why:
                raise ValueError(f"listed twice: {key}")
            if not entry.get("why"):
                raise ValueError(f"listed without a reason: {key}")
            why[key] = entry["why"]
        return cls(why)

    def allows(self, key: Key) -> bool:
        """Return whether a mutant that lives is listed, and note that it has been met."""
        self._seen[key] += 1
        return key in self.why

    def stale(self) -> list[Key]:
        """Return what is listed and has not been met."""
        return [key for key in self.why if not self._seen[key]]
