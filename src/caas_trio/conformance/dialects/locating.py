"""The lines of the keys in a TOML file, which `tomllib` does not report."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY: Final = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART: Final = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_LONG_QUOTES: Final = ('"' * 3, "'" * 3)


def _parts(key: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(key))


class Lines:
    """The lines of a TOML file that can be parsed.

    Args:
        text: the file.
    """

    def __init__(self, text: str) -> None:
        self._numbers: dict[Path, int] = {(): 1}
        self._inside = ""
        self._last: dict[Path, int] = {}
        table: Path = ()
        for number, line in enumerate(text.split("\n"), 1):
            if self._continues(line):
                continue
            if header := _HEADER.match(line):
                table = self._table(_parts(header[2]), is_new_element=header[1] == "[[")
                self._numbers[table] = number
            elif key := _KEY.match(line):
                self._numbers[(*table, *_parts(key[1]))] = number

    def _table(self, parts: Path, *, is_new_element: bool) -> Path:
        """Return the path of a table by its header, which leaves out which element of an array it is in."""
        path: Path = ()
        for place, part in enumerate(parts, 1):
            path = (*path, part)
            if is_new_element and place == len(parts):
                self._last[path] = self._last.get(path, -1) + 1
            if path in self._last:
                path = (*path, self._last[path])
        return path

    def _continues(self, line: str) -> bool:
        """Return whether a line belongs to a string of several lines; notice where one begins and ends."""
        began_inside = bool(self._inside)
        for quotes in _LONG_QUOTES:
            if self._inside in ("", quotes) and line.count(quotes) % 2:
                self._inside = "" if self._inside else quotes
        return began_inside

    def of(self, path: Path) -> int:
        """Return the number of the line of a key, or of the nearest table around it, from 1."""
        while path not in self._numbers:
            path = path[:-1]
        return self._numbers[path]
