"""Mutants as bugs to plant: `sample` takes some of those that `ci.mutants` makes."""

from __future__ import annotations

import random
from collections.abc import Callable

from ci.mutants.listed import Key, Listed
from ci.mutants.making import MADE, Mutant, mutants_of, path_of

from .planted import PACKAGE
from .planted.bug import Bug
from .targets import targets


def sample(count: int, seed: int, is_wanted: Callable[[str, str], bool]) -> list[Bug]:
    """Return random mutants of core/, without those that are listed: they change nothing.

    Args:
        count: how many, if there are as many.
        seed: which.
        is_wanted: called with a harness and with what a mutant changes.
    """
    listed = Listed.load().why
    found = [
        (mutant, harness)
        for module, harness in harnesses().items()
        for mutant in mutants_of(module, MADE)
        if Key(mutant.function, mutant.change) not in listed and is_wanted(harness, description(mutant))
    ]
    chosen = random.Random(seed).sample(found, min(count, len(found)))  # noqa: S311 - no secret
    return [planted(mutant, harness) for mutant, harness in chosen]


def harnesses() -> dict[str, str]:
    """Return by module of core/ its harness: the first that answers for its coverage."""
    found: dict[str, str] = {}
    for target in targets():
        for module in target.modules:
            if module.startswith("caas_trio.core."):
                found.setdefault(module, target.name)
    return found


def description(mutant: Mutant) -> str:
    """Return what a mutant changes, in a line."""
    return f"{mutant.name}: {mutant.change.removed} -> {mutant.change.added}"


def planted(mutant: Mutant, harness: str) -> Bug:
    """Return a mutant as a bug, which replaces the whole text of the module."""
    path = path_of(mutant.module).resolve()
    module = str(path.relative_to(PACKAGE.resolve()))
    return Bug(description(mutant), harness, path.read_text(), mutant.module_source(), module)
