"""Run the suite: `python -m caas_trio.conformance`, or `caas-conformance` once it is installed."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # for type checkers it is true: importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _load() -> Any:
    from .command import main as run  # noqa: PLC0415 - here its interruption can be caught

    return run


def main(load: Callable[[], Any] = _load) -> None:
    """Run as a program. Loading it takes a moment, and Ctrl-C may come just then.

    Args:
        load: returns what is run.
    """
    try:
        run = load()
    except KeyboardInterrupt:
        sys.stderr.write("caas-conformance: interrupted\n")
        sys.exit(130)  # as shells say it of SIGINT
    run(prog_name="caas-conformance")


if __name__ == "__main__":
    main()
