"""Mutants as bugs to plant: `sample` takes some of those that `ci.mutants` makes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from ci.mutants.listed import Key, Listed
from ci.mutants.making import LAYERS, MADE, Mutant, mutants_of, path_of

from .planted import PACKAGE
from .planted.bug import Bug
from .targets import targets

#: One mutant in so many is of drivers/ and server/, where a harness runs less often in the same time.
_OUTSIDE_CORE: Final = 4


def sample(count: int, seed: int, is_wanted: Callable[[str, str], bool]) -> list[Bug]:
    """Return random mutants, three in four of core/, without those that are listed: they change nothing.

    Args:
        count: how many, if there are as many.
        seed: which.
        is_wanted: called with a harness and with what a mutant changes.
    """
    listed = Listed.load().why
    core: list[Bug] = []
    others: list[Bug] = []
    for module, names in harnesses().items():
        for mutant in mutants_of(module, MADE):
            if Key(mutant.function, mutant.change) not in listed and is_wanted(names[0], description(mutant)):
                (core if module.startswith("caas_trio.core.") else others).append(planted(mutant, *names))
    chance = random.Random(seed)  # noqa: S311 - no secret
    fewer = min(len(others), count // _OUTSIDE_CORE if core else count)
    chosen = chance.sample(core, min(len(core), count - fewer)) + chance.sample(others, fewer)
    return chance.sample(chosen, len(chosen))


def harnesses() -> dict[str, list[str]]:
    """Return by module of the three layers the harnesses that its coverage guides."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for target in targets():
        for module in target.instrumented:
            if module.split(".")[1] in LAYERS:
                found[module].append(target.name)
    return found


def description(mutant: Mutant) -> str:
    """Return what a mutant changes, in a line."""
    return f"{mutant.name}: {mutant.change.removed} -> {mutant.change.added}"


def planted(mutant: Mutant, harness: str, *others: str) -> Bug:
    """Return a mutant as a bug, which replaces the whole text of the module."""
    path = path_of(mutant.module).resolve()
    module = str(path.relative_to(PACKAGE.resolve()))
    source, changed = path.read_text(), mutant.module_source()
    return Bug(description(mutant), harness, module, source, changed, others, mutant.function)
