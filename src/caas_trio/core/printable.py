"""Text that every terminal and encoder accepts: `printable`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

from typing import Final

#: What a byte that is not UTF-8 becomes in a path or an argument (PEP 383), less that byte.
_SURROGATE_OF_BYTE: Final = 0xDC00


def printable(text: str) -> str:
    r"""Return a text with all that does not print escaped, however it got there.

    A path may contain bytes that are not UTF-8; each is shown as `\xNN`. So are control characters and
    whatever else would do something to a terminal, in the notation of Python.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - _SURROGATE_OF_BYTE:02x}"
    return character.encode("unicode_escape").decode()
