"""`python -m tests.exhaustive`: every case up to a length, on every core; a table of how many there were."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from caas_trio import Terminator

from .buffers import Reading
from .explore import MismatchError, Pair, explore
from .sessions import conversations, policies

#: The values of `max_line`.
LIMITS: Final = range(1, 5)

LENGTH: Final = 8

#: Makes pairs to explore one after another, by one process: what they have in common is found once.
Start: TypeAlias = Callable[[], Iterable[Pair[Any, Any]]]


class Explored(NamedTuple):
    """What there was in one start.

    Attributes:
        settings: how many pairs.
        steps: how many steps were taken.
        seconds: how much time of a processor that took.
        difference: where a subject and its model differ; "" if they do not.
    """

    settings: int
    steps: int
    seconds: float
    difference: str


def starts() -> dict[str, list[Start]]:
    """Return by subject where the search starts, what takes longest first, so that no process ends late."""
    return {
        "LineBuffer": [partial(readings, limit, Terminator.LF) for limit in reversed(LIMITS)],
        "strict CR LF": [partial(readings, limit, Terminator.CRLF) for limit in reversed(LIMITS)],
        "LineSession": [partial(conversations, policy) for policy in policies(LIMITS)],
    }


def readings(max_line: int, terminator: Terminator) -> list[Pair[Any, Any]]:
    """Return one pair: it is read in every way."""
    return [Reading(max_line, terminator)]


def _explore(start: Start, length: int) -> Explored:
    begun, steps, settings = time.process_time(), 0, 0
    difference = ""
    for pair in start():
        settings += 1
        try:
            steps += explore(pair, length)
        except MismatchError as mismatch:
            difference = f"{pair}\n{mismatch}"
            break
    return Explored(settings, steps, time.process_time() - begun, difference)


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore, print the table and what differs; return the exit status: 1 if something does."""
    parser = argparse.ArgumentParser(prog="python -m tests.exhaustive", description=__doc__)
    parser.add_argument("--length", type=int, default=LENGTH, help="bytes of input (default: %(default)s)")
    length: int = parser.parse_args(arguments).length
    subjects = starts()
    differences: list[str] = []
    with multiprocessing.Pool(os.cpu_count()) as pool:
        results = pool.imap(
            partial(_explore, length=length), [start for each in subjects.values() for start in each]
        )
        for subject, chosen in subjects.items():
            explored = [next(results) for _ in chosen]
            settings = sum(each.settings for each in explored)
            steps = sum(each.steps for each in explored)
            seconds = sum(each.seconds for each in explored)
            print(
                f"{subject:12} {settings:4} settings {steps:12,} steps {seconds:7.1f} s of a processor",
                flush=True,
            )
            differences += [each.difference for each in explored if each.difference]
    print(*differences, sep="\n\n", end="")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
