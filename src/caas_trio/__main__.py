"""Run the service: `python -m caas_trio`, or `caas-trio` once it is installed."""

from __future__ import annotations

from .program.startup import exit_on_stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run as a program. Loading it takes a moment, and a signal may come just then."""
    exit_on_stop()
    from .program.cli import main as run  # noqa: PLC0415 - after the signals have handlers

    run()


if __name__ == "__main__":
    main()
