"""Run the service: `python -m caas_trio`, or `caas-trio` once it is installed."""

from __future__ import annotations

from .program.startup import exit_on_stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def _load() -> Callable[[], NoReturn]:
    from .program.cli import main as run  # noqa: PLC0415 - after the signals have handlers

    return run


def main(load: Callable[[], Callable[[], NoReturn]] = _load) -> NoReturn:
    """Run as a program. Loading it takes a moment, and a signal may come just then.

    Args:
        load: returns what is run.
    """
    exit_on_stop()
    load()()


if __name__ == "__main__":
    main()
