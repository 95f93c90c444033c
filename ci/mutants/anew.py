"""`python -m ci.mutants.anew FD`: run tests in a process that imports a mutant in place of its module.

The descriptor is that of a file with the task: as an argument it might be too long. The tests are chosen
among those that are collected from their files: the name of a parametrized one may have any character in
it, and is nothing for a command line.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import pytest

from .making import MADE, Mutant, mutants_of

#: How many times as long as in the right program a test may take, and how many seconds more.
_SLOWER: Final = 10
_MORE_S: Final = 5
#: The descriptor of the standard error output.
_STDERR: Final = 2

#: What stands before the name of a test that is not there.
MISSING: Final = "!"
#: What has failed if no test has.
UNNAMED: Final = "?"


class _Loader(SourceFileLoader):
    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.path.resolve()))
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        return self._mutant.module_code()


class Finder(MetaPathFinder):
    """Finds the mutant where its module is imported."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the mutant, None for other modules."""
        del path, target
        if fullname != self._mutant.module:
            return None
        return spec_from_file_location(fullname, self._mutant.path.resolve(), loader=_Loader(self._mutant))


def end_unless_done(seconds: float) -> None:
    """End the process if it is still in this test by then, whatever it waits for.

    Args:
        seconds: how long the test takes in the right program; the machine may be busy.
    """
    faulthandler.dump_traceback_later(_SLOWER * seconds + _MORE_S, exit=True, file=_STDERR)


class Selection:
    """Runs some of the tests that are collected, in order; a plug-in for pytest.

    A test that is not there has noticed nothing: it must not look like one that has failed.

    Args:
        nodes: the tests, by name: how many seconds each takes in the right program.
        folder: where they are run, once they are collected.

    Attributes:
        failed: the first test that fails, or the file that cannot be collected; "" if there is none.
        missing: the first test that is not there; "" if all are.
    """

    def __init__(self, nodes: Mapping[str, float], folder: str = ".") -> None:
        self.failed = ""
        self._folder = folder
        self.missing = ""
        self._seconds = nodes
        self._nodes = [node for node in nodes if "::" in node]
        self._files = list(dict.fromkeys(node.partition("::")[0] for node in nodes))
        self._gone = next((file for file in self._files if not Path(file).exists()), "")

    def run(self) -> str:
        """Run them until one fails; return what `Outcome.of` reads."""
        # Plain: to rewrite what is asserted in the package, pytest would find its modules before us.
        options = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain"]
        status = pytest.main([*options, *self._files], plugins=[self])
        if self.failed:
            return self.failed
        gone = self.missing or self._gone
        if gone:
            return MISSING + gone
        # It is a usage error, too, if a conftest.py cannot be imported.
        return "" if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else UNNAMED

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests."""
        found = {item.nodeid: item for item in items}
        self.missing = next((node for node in self._nodes if node not in found), "")
        items[:] = [found[node] for node in self._nodes if node in found]
        os.chdir(self._folder)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Limit the time of a test."""
        end_unless_done(self._seconds[nodeid])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be collected."""
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        self._note(report)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def main() -> None:
    """Run the tests of a task, in the right program if it names no mutant; write the result into its pipe."""
    with os.fdopen(int(sys.argv[1])) as file:
        task = json.load(file)
    result = MISSING
    try:
        if task["name"]:
            mutant = next(each for each in mutants_of(task["module"], MADE) if each.name == task["name"])
            sys.meta_path.insert(0, Finder(mutant))
        result = Selection(task["nodes"], task["folder"]).run()
    finally:
        os.write(task["pipe"], result.encode())


if __name__ == "__main__":
    main()
