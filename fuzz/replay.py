"""Run inputs through their checks, without atheris: `python -m fuzz.replay [--target NAME] [FILE]...`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .targets import HERE, Target, select


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--target", "name", help="The harness whose inputs these are; the directory's name by default.")
def main(files: tuple[Path, ...], name: str | None) -> None:
    """Run inputs through their checks; without FILEs, all seeds and regressions.

    The first input that fails its check ends the run with its traceback. Exits with 1 if one fails or
    cannot be read.
    """
    if files:
        chosen = [(_target(path, name), path) for path in files]
    else:
        chosen = [(target, path) for target in select([name] if name else []) for path in target.inputs()]
    unread = 0
    for target, path in chosen:
        try:
            data = path.read_bytes()
        except OSError as error:
            click.echo(f"cannot read {path}: {error.strerror}", err=True)
            unread += 1
            continue
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"the input: {path}")
            raise
    print(f"{len(chosen) - unread} inputs, no failure")
    if unread:
        sys.exit(1)


def _target(path: Path, name: str | None) -> Target:
    """Return the target of an input: the one that is named, or the one that its directory belongs to.

    Raises:
        UsageError: there is none.
    """
    directory = path.absolute().parent
    if name is None and not (HERE / f"fuzz_{directory.name}.py").exists():
        raise click.UsageError(f"{path} is in no harness's directory; name the harness with --target")
    return select([name or directory.name])[0]


if __name__ == "__main__":
    main()
