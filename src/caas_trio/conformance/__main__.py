"""Run the suite: `python -m caas_trio.conformance`, or `caas-conformance` once it is installed."""

import sys


def main() -> None:
    """Run as a program. Loading it takes a moment, and Ctrl-C may come just then."""
    try:
        from .command import main as run  # noqa: PLC0415 - here it can be caught
    except KeyboardInterrupt:
        sys.stderr.write("caas-conformance: interrupted\n")
        sys.exit(130)  # as shells say it of SIGINT
    run(prog_name="caas-conformance")


if __name__ == "__main__":
    main()
