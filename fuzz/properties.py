"""Every Hypothesis property of the test suite as a harness.

`python -m fuzz.properties NODE [OPTION]...` fuzzes one; `--list` prints the nodes of all. pytest itself
collects them, so parameters, fixtures, async tests and state machines are what they are in the suite,
and none has to be listed. What Hypothesis makes of an input depends on its version: failing inputs are
saved in its own database, from where the same test replays and shrinks them, and no corpus is kept.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from .interrupt import end_with_parent
from .job import Crash, Progress, watch
from .targets import files

#: See tests/conftest.py; the gate's profile has no database.
_PROFILE: Final = "search"
_PYTEST: Final = ("-q", "-s", "-p", "no:cacheprovider", "--timeout=0")


def is_property(item: pytest.Item) -> bool:
    """Whether a collected test is a property."""
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


def one_input(item: Any) -> Callable[[bytes], object]:
    """Return what runs a property, whose fixtures are set up, on one input of a fuzzer."""
    from hypothesis.stateful import get_state_machine_test  # noqa: PLC0415 - pytest is to import it first

    machine = getattr(item.obj, "_hypothesis_state_machine_class", None)
    if machine is not None:
        test: Any = get_state_machine_test(machine)
        return test.hypothesis.fuzz_one_input  # type: ignore[no-any-return]
    handle = item.obj.hypothesis
    inner = handle.inner_test
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}

    @functools.wraps(inner)
    def with_fixtures(*args: object, **kwargs: object) -> object:
        return inner(*args, **arguments, **kwargs)

    handle.inner_test = with_fixtures
    return handle.fuzz_one_input  # type: ignore[no-any-return]


class Lister:
    """A pytest plugin that prints the properties it finds."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if is_property(item):
                print(f"property {item.nodeid}")


class Fuzzer:
    """A pytest plugin that fuzzes the test instead of running it; the process ends with it."""

    def __init__(self, options: list[str]) -> None:
        self._options = options

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        import atheris  # noqa: PLC0415 - the properties can be listed without it

        end_with_parent()
        atheris.Setup([item.nodeid, *self._options], atheris.instrument_func(one_input(item)))
        atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """List the properties or fuzz one."""
    if arguments == ["--list"]:
        return pytest.main([*_PYTEST, "--collect-only"], plugins=[Lister()])
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=["caas_trio"]):
        return pytest.main([*_PYTEST, arguments[0]], plugins=[Fuzzer(arguments[1:])])


def properties() -> list[str]:
    """Return the nodes of all properties.

    Raises:
        RuntimeError: the test suite cannot be collected.
    """
    command = [sys.executable, "-m", "fuzz.properties", "--list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode:
        raise RuntimeError(f"the test suite cannot be collected:\n{listing.stdout}{listing.stderr}")
    lines = listing.stdout.splitlines()
    return [line.removeprefix("property ") for line in lines if line.startswith("property ")]


def runs_of_properties(
    names: tuple[str, ...], seconds: int
) -> Iterator[tuple[str, Callable[[Progress], Awaitable[None]]]]:
    """Yield a name and a run for each property of which a name is a part; for all, without names."""
    for node in properties():
        if not names or any(name in node for name in names):
            yield node.partition("::")[2], functools.partial(fuzz_property, node, seconds)


async def fuzz_property(node: str, seconds: int, progress: Progress) -> None:
    """Run a property for `seconds`, keeping `progress` up to date."""
    command = ["env", f"HYPOTHESIS_PROFILE={_PROFILE}", sys.executable, "-m", "fuzz.properties", node]
    replay = f"HYPOTHESIS_PROFILE={_PROFILE} python -m pytest '{node}'"

    def keep(artifact: Path) -> Crash:
        return Crash(artifact.name.partition("-")[0], "in Hypothesis's database", replay)

    with tempfile.TemporaryDirectory() as corpus:

        async def look() -> None:
            progress.new = len(files(Path(corpus)))
            await trio.lowlevel.checkpoint()

        await watch([*command, corpus], seconds, progress, look, keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
