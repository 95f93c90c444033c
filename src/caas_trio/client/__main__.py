"""Talk to a line server: `python -m caas_trio.client`, or `caas-client` once it is installed."""

import sys


def main() -> None:
    """Run as a program. Loading it takes a moment, and Ctrl-C may come just then."""
    try:
        from .command import main as run  # noqa: PLC0415 - here it can be caught
    except KeyboardInterrupt:
        sys.stderr.write("caas-client: interrupted\n")
        sys.exit(130)  # as shells say it of SIGINT
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
