"""A bug to plant."""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """A bug and the harness that ought to find it.

    Attributes:
        what: what is wrong, in a few words.
        harness: the name of the harness.
        module: the module's file, in the package.
        old: a text that occurs exactly once in the module.
        new: what takes its place.
        others: the names of further harnesses that may find it.
        function: the dotted name of the function that it is in, if there are others.
    """

    what: str
    harness: str
    module: str
    old: str
    new: str
    others: tuple[str, ...] = ()
    function: str = ""

    def applied(self, source: str) -> str:
        """Return the module's source with the bug in it.

        Raises:
            ValueError: the text to replace does not occur exactly once.
        """
        if source.count(self.old) != 1:
            places = source.count(self.old)
            raise ValueError(f"{self.what!r} does not apply to {self.module}: {places} places")
        return source.replace(self.old, self.new)
