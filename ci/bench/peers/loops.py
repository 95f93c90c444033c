"""The event loops of the peers that use asyncio: its own, and those of packages."""

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from typing import Any


def run(serve: Callable[[], Coroutine[Any, Any, None]], loop: str = "asyncio") -> None:
    """Run a server on the loop that is named, as its documentation says.

    Raises:
        ModuleNotFoundError: its package is not installed.
    """
    factory = None
    if loop != "asyncio":
        package = importlib.import_module(loop)
        factory = package.loop_factory() if loop == "aiofastnet" else package.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())
