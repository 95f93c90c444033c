"""Run inputs through their checks, without atheris: `python -m fuzz.replay FILE...`.

The directory that a file is in names its target. Without files, all that is kept is run: seeds and
regressions.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .targets import Target, targets


def main(arguments: list[str]) -> None:
    """Run the inputs; the first one that fails ends the run with its traceback."""
    if arguments:
        chosen = [(Target(Path(argument).resolve().parent.name), Path(argument)) for argument in arguments]
    else:
        chosen = [(target, path) for target in targets() for path in target.inputs()]
    for target, path in chosen:
        try:
            target.check(path.read_bytes())
        except Exception as error:
            error.add_note(f"the input: {path}")
            raise
    print(f"{len(chosen)} inputs, no failure")


if __name__ == "__main__":
    main(sys.argv[1:])
