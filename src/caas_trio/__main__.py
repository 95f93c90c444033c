"""Run the service: `python -m caas_trio`, or `caas-trio` once it is installed."""

from typing import NoReturn

from .program.startup import exit_on_stop


def main() -> NoReturn:
    """Run as a program. Loading it takes a moment, and a signal may come just then."""
    exit_on_stop()
    from .program.cli import main as run  # noqa: PLC0415 - after the signals have handlers

    run()


if __name__ == "__main__":
    main()
