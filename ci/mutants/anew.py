"""`python -m ci.mutants.anew TASK`: run tests in a process that imports a mutant in place of its module."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

import pytest

from .making import MADE, Mutant, mutants_of


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


class _Failures:
    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


def main() -> None:
    """Run the tests of a task; write the first that fails into its pipe."""
    task = json.loads(sys.argv[1])
    mutant = next(each for each in mutants_of(task["module"], MADE) if each.name == task["name"])
    sys.meta_path.insert(0, Finder(mutant))
    failures = _Failures()
    # Plain: to rewrite what is asserted in the package, pytest would find its modules before us.
    options = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain"]
    status = pytest.main([*options, *task["nodes"]], plugins=[failures])
    os.write(task["pipe"], (failures.first or ("?" if status else "")).encode())


if __name__ == "__main__":
    main()
