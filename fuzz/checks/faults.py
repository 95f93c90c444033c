"""Exceptions raised at the beginning of calls, wherever they are made: `Fault`, by means of a trace function.

Nothing is replaced: the code runs as it is, up to the call that fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, ModuleType
from typing import Any


class Fault:
    """An exception that one call raises, instead of doing anything.

    Attributes:
        error: the exception.
        raised: the name of the function that has raised it; None so far.
    """

    def __init__(self, error: BaseException, number: int) -> None:
        self.error = error
        self._left = number  # calls that do not fail
        self.raised: str | None = None

    @contextmanager
    def armed(self, codes: frozenset[CodeType]) -> Iterator[None]:
        """Fail one of the calls of these functions within the block."""
        before = sys.gettrace()
        sys.settrace(lambda frame, event, _: self._called(frame, event, codes))
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, codes: frozenset[CodeType]) -> None:
        code = frame.f_code
        resumed = frame.f_lineno != code.co_firstlineno  # a coroutine that goes on
        if event != "call" or code not in codes or resumed or self.raised is not None:
            return
        self._left -= 1
        if self._left < 0:
            self.raised = code.co_qualname
            raise self.error


def codes_of(modules: tuple[ModuleType, ...], *others: Callable[..., Any]) -> frozenset[CodeType]:
    """Return the code of all functions and methods that are defined in modules, and of others."""
    found = {each.__code__ for each in others}
    for module in modules:
        classes = [each for each in vars(module).values() if isinstance(each, type)]
        for owner in (module, *(each for each in classes if each.__module__ == module.__name__)):
            for each in vars(owner).values():
                function = getattr(each, "fget", None) or getattr(each, "__func__", None) or each
                code = getattr(function, "__code__", None)
                if isinstance(code, CodeType) and code.co_filename == module.__file__:
                    found.add(code)
    return frozenset(found)
