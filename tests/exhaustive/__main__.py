"""`python -m tests.exhaustive`: every case up to a length, on every core; a table of how many there were."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from caas_trio import Terminator

from .buffers import Reading, mixtures
from .explore import MismatchError, Pair, explore
from .sessions import Conversation, settings

#: The values of `max_line`.
LIMITS: Final = range(1, 5)

LENGTH: Final = 8


def starts() -> dict[str, list[Callable[[], Pair]]]:
    """Return by subject where the search starts: each makes a new pair."""
    return {
        "LineSession": [partial(Conversation, setting) for setting in settings(LIMITS)],
        "LineBuffer": [partial(Reading, kinds, limit) for kinds in mixtures() for limit in LIMITS],
        "strict CR LF": [
            partial(Reading, kinds, limit, Terminator.CRLF) for kinds in mixtures() for limit in LIMITS
        ],
    }


def _explore(start: Callable[[], Pair], length: int) -> int | str:
    try:
        return explore(start(), length)
    except MismatchError as mismatch:
        return f"{start}\n{mismatch}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore, print the table and what differs; return the exit status: 1 if something does."""
    parser = argparse.ArgumentParser(prog="python -m tests.exhaustive", description=__doc__)
    parser.add_argument("--length", type=int, default=LENGTH, help="bytes of input (default: %(default)s)")
    length: int = parser.parse_args(arguments).length
    differences: list[str] = []
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for subject, chosen in starts().items():
            begun = time.monotonic()
            results = pool.map(partial(_explore, length=length), chosen, chunksize=1)
            differences += [result for result in results if isinstance(result, str)]
            steps = sum(result for result in results if isinstance(result, int))
            took = time.monotonic() - begun
            print(f"{subject:12} {len(chosen):4} settings {steps:12,} steps {took:7.1f} s", flush=True)
    print(*differences, sep="\n\n", end="")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
