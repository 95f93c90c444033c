"""Loading late: packages that load what they export when it is asked for, and programs.

`caas_trio` itself does so without this module: it loads nothing before the service handles signals.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeVar

T = TypeVar("T")
#: The exit status of a program that SIGINT has ended, as shells report it.
_INTERRUPTED = 130


def exporter(package: str, home: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package: it loads a name when it is first asked for.

    Args:
        package: the name of the package.
        home: by name: the module that it is loaded from, relative to the package.
    """

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(home[name], package), name)
        setattr(sys.modules[package], name, found)
        return found

    return load


def loaded(load: Callable[[], T], program: str) -> T:
    """Return what `load` returns; if Ctrl-C comes meanwhile, end `program` with one line."""
    try:
        return load()
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
        sys.exit(_INTERRUPTED)
