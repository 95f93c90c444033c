"""Run the service: `python -m caas_trio`, or `caas-trio` once it is installed."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run as a program. Loading it takes a moment, and Ctrl-C may come just then."""
    try:
        from .program.cli import main as run  # noqa: PLC0415 - here it can be caught
    except KeyboardInterrupt:
        sys.exit("caas-trio: interrupted")
    run()


if __name__ == "__main__":
    main()
