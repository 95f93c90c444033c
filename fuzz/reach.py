"""What a harness executes: `python -m fuzz.reach NAME` prints the functions that its inputs call."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from types import FrameType
from typing import Final

import trio

from .targets import Target

_PACKAGE: Final = "caas_trio."


async def functions_reached(target: Target) -> frozenset[str]:
    """Return the dotted names of the package's functions that a harness's seeds and regressions call."""
    command = [sys.executable, "-m", "fuzz.reach", target.name]
    process = await trio.run_process(command, capture_stdout=True, stdin=subprocess.DEVNULL)
    return frozenset(process.stdout.decode().split())


def main(name: str) -> None:
    """Run all inputs of a harness, and print what they have called, what its import calls included."""
    called: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG001 - what a tracer gets
        called.add((frame.f_globals.get("__name__", ""), frame.f_code.co_qualname))

    target = Target(name)
    sys.settrace(note)
    check = target.check
    for path in target.inputs():
        with suppress(Exception):  # what fails is for the harness to report
            check(path.read_bytes())
    sys.settrace(None)
    print(
        *sorted(f"{module}.{function}" for module, function in called if module.startswith(_PACKAGE)),
        sep="\n",
    )


if __name__ == "__main__":
    main(sys.argv[1])
