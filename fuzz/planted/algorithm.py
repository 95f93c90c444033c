"""Bugs in how something is done: an algorithm that is wrong for a few inputs, or too slow."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "the rest is copied for each line taken: quadratic",
        "line_buffer",
        "core/buffering.py",
        "else:\n            del self._buffer[:end]",
        "else:\n            self._buffer = self._buffer[end:]",
    ),
    Bug(
        "a delimiter is sought from the start in each read: quadratic",
        "work",
        "core/buffering.py",
        "start if sought == delimiter else 0, reach)",
        "0, reach)",
    ),
    Bug(
        "the rest is copied for each oversize line: quadratic",
        "work",
        "core/buffering.py",
        "found = source.find(delimiter)",
        "found = bytes(source).find(delimiter)",
    ),
    Bug(
        "a byte that comes alone drops one of the two before it",
        "line_buffer",
        "core/buffering.py",
        "        chunk = self._skip_tail + chunk\n",
        "        chunk = self._skip_tail[len(self._skip_tail) == 2 and len(chunk) == 1 :] + chunk\n",
    ),
    Bug(
        "only the beginning of a host name is looked at",
        "endpoint",
        "core/endpoint.py",
        "return None if _HOST.fullmatch(host) else",
        "return None if _HOST.match(host) else",
    ),
    Bug(
        "the checksum is over its own value",
        "proxy_header",
        "core/proxy_header.py",
        "header[:at] + bytes(CHECKSUM.size) + header[at + CHECKSUM.size :]",
        "header",
    ),
    Bug(
        "a character that is cut is none",
        "utf8",
        "core/capitals.py",
        "self._decoder.decode(data, final)",
        'data.decode("utf-8", _UNTOUCHED)',
    ),
)
