"""The files of an app, watched for `--reload`: `changes`. Needs watchfiles, which is an extra."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from caas_trio.core.errors import UsageError

_LIBRARY: Final = "watchfiles"

#: How long (milliseconds) no file must have changed: editors write several at once.
_DEBOUNCE_MS: Final = 200


def check_watchfiles(library: str = _LIBRARY) -> None:
    """Raise UsageError if watchfiles, or what stands in for it, is not installed."""
    if find_spec(library) is None:
        raise UsageError("--reload needs watchfiles: python -m pip install 'caas-trio[reload]'")


async def changes(folder: Path, library: str = _LIBRARY) -> AsyncGenerator[list[str]]:
    """Yield the Python files in a folder that have changed, each time that some have.

    Args:
        folder: the folder.
        library: the name of watchfiles, or of what stands in for it.
    """
    watchfiles = import_module(library)
    found = watchfiles.awatch(folder, watch_filter=watchfiles.PythonFilter(), debounce=_DEBOUNCE_MS)
    async with aclosing(found):
        async for files in found:
            yield sorted({path for _, path in files})
