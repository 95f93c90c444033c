"""Bugs in the control protocol."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a worker's line that is no UTF-8 ends the supervisor",
        "control",
        "except UnicodeDecodeError as error:",
        "except UnicodeEncodeError as error:",
    ),
    Bug(
        "a worker's line that is too long ends the supervisor",
        "control",
        "except LineTooLong as error:",
        "except EOFError as error:",
    ),
    Bug(
        "a worker may be ready twice",
        "control",
        "if kind in _ONCE & self._seen:",
        "if kind in _ONCE and self._last is kind:",
    ),
    Bug(
        "a worker goes on after its last line",
        "control",
        "if self._last in _FINAL:",
        "if self._last is kind and kind in _FINAL:",
    ),
)
