"""Run the suite: `python -m caas_trio.conformance`, or `caas-conformance` once it is installed."""

from __future__ import annotations

from caas_trio.core.lazy import loaded

TYPE_CHECKING = False  # for type checkers it is true: importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _load() -> Any:
    from .command import main as run  # noqa: PLC0415 - by `loaded`, which catches its interruption

    return run


def main(load: Callable[[], Any] = _load) -> None:
    """Run as a program. Loading it takes a moment, and Ctrl-C may come just then.

    Args:
        load: returns what is run.
    """
    loaded(load, "caas-conformance")(prog_name="caas-conformance")


if __name__ == "__main__":
    main()
