"""Failures by what broke and where: `group_of`; and `Grouping`, by which a harness goes on behind them."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

#: Set for a harness that is to go on behind a failure: where libFuzzer's option for what fails says, each
#: group of failures has a file.
GO_ON: Final = "FUZZ_GO_ON"
ARTIFACTS: Final = "-artifact_prefix="
SUFFIX: Final = ".group"

_PACKAGE: Final = "caas_trio"
_HERE: Final = Path(__file__).parent
#: How many frames tell one place from another: the innermost of those that are ours.
_FRAMES: Final = 3
#: How many lines of a traceback are shown.
_SHOWN_LINES: Final = 30


def group_of(error: BaseException) -> str:
    """Return the group of a failure: what was raised, and where.

    The same whatever the input, the message and the numbers of the lines. An assertion is known by its
    own text; anything else by its type and by the innermost functions that are ours.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    stack = traceback.extract_tb(error.__traceback__)
    frames = [(name, frame) for frame in reversed(stack) if (name := _ours(frame.filename)) is not None]
    what = type(error).__qualname__
    if isinstance(error, AssertionError) and frames:
        name, frame = frames[0]
        return f"{what} in {name}: {frame.line}"
    return " < ".join([what, *(f"{name} {frame.name}" for name, frame in frames[:_FRAMES])])


def _ours(filename: str) -> str | None:
    """Return the name by which a file of the package or of the harnesses is shown; None for any other."""
    path = Path(filename)
    if path.is_relative_to(_HERE):
        return str(path.relative_to(_HERE.parent))
    if _PACKAGE in path.parts[:-1]:
        return "/".join(path.parts[path.parts.index(_PACKAGE) + 1 :])
    return None


@dataclass
class Group:
    """The failures of one group.

    Attributes:
        name: what `group_of` returns.
        count: how many there were.
        data: the smallest input.
        shown: the end of its traceback.
    """

    name: str
    count: int
    data: bytes
    shown: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the group in a file."""
        values = json.loads(path.read_text())
        return cls(**{**values, "data": bytes.fromhex(values["data"])})

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all: the harness may be killed at any time."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps({**asdict(self), "data": self.data.hex()}))
        new.replace(path)


class Grouping:
    """A check that keeps the failures of another one, by groups, and raises none of them.

    Args:
        check: what every input goes through.
        directory: where each group has its file.
    """

    def __init__(self, check: Callable[[bytes], None], directory: Path) -> None:
        self._check = check
        self._directory = directory
        self._groups: dict[str, Group] = {}

    def __call__(self, data: bytes) -> None:
        """Run the check on an input."""
        try:
            self._check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
            self._add(error, data)

    def _add(self, error: Exception, data: bytes) -> None:
        name = group_of(error)
        group = self._groups.get(name)
        if group is None or len(data) < len(group.data):
            lines = "".join(traceback.format_exception(error)).splitlines()
            count = 0 if group is None else group.count
            group = self._groups[name] = Group(name, count, data, "\n".join(lines[-_SHOWN_LINES:]))
        group.count += 1
        group.save(self._directory / f"{sha256(name.encode()).hexdigest()[:16]}{SUFFIX}")
