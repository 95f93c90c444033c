"""Every path through a subject and its model, each step compared: `explore`."""

from __future__ import annotations

import abc
import functools
import itertools
import operator
from collections.abc import Hashable, Iterator
from typing import Any, Self, TypeAlias

#: What was called, and with what.
Step: TypeAlias = tuple[object, ...]


class MismatchError(AssertionError):
    """The subject and its model differ; the text is the path there, a step in each line."""


class Pair(abc.ABC):
    """A subject and its model, both in the state that some steps have led to."""

    __slots__ = ("attempted",)

    #: The step that is being taken, or was taken last.
    attempted: Step

    @abc.abstractmethod
    def key(self) -> Hashable:
        """Return the state of both. Pairs with the same key go on in the same way."""

    @abc.abstractmethod
    def steps(self, remaining: int) -> Iterator[tuple[int, Self]]:
        """Take each step that fits and has at most `remaining` bytes, each in a copy of the pair.

        Yield how many bytes it has, and the copy. `attempted` is the step.

        Raises:
            AssertionError: the subject did not do what the model did.
        """


class Slots:
    """The attributes of a class with slots, to copy and to compare its objects by.

    Args:
        kind: the class.
        arrays: attributes that hold a bytearray.
        without: attributes that are no part of the state: what only counts, and what the caller copies.
    """

    def __init__(self, kind: type, *, arrays: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> None:
        self._kind = kind
        names = [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]
        self._arrays = arrays
        self._plain = tuple(name for name in names if name not in arrays)
        self._values = operator.attrgetter(*self._plain)
        self._state = operator.attrgetter(*(name for name in self._plain if name not in without))

    def fork(self, subject: Any) -> Any:
        """Return a copy that shares no bytearray with it."""
        copy: Any = object.__new__(self._kind)
        for name, value in zip(self._plain, self._values(subject), strict=True):
            setattr(copy, name, value)
        for name in self._arrays:
            setattr(copy, name, bytearray(getattr(subject, name)))
        return copy

    def state(self, subject: Any) -> Hashable:
        """Return the attributes that are the state."""
        return self._state(subject), *(bytes(getattr(subject, name)) for name in self._arrays)


@functools.cache
def chunks(alphabet: bytes, length: int) -> list[bytes]:
    """Return all chunks of 1 to `length` bytes over an alphabet, the shortest first."""
    return [bytes(c) for size in range(1, length + 1) for c in itertools.product(alphabet, repeat=size)]


def explore(start: Pair, length: int) -> int:
    """Take every path from `start` whose steps have at most `length` bytes in sum; return how many steps.

    Each state is followed from where it was reached with the fewest bytes.

    Raises:
        MismatchError: the two have differed at a step.
    """
    first = start.key()
    reached_by: dict[Hashable, tuple[int, Hashable, Step]] = {first: (0, None, ())}
    waiting: list[list[tuple[Hashable, Pair]]] = [[] for _ in range(length + 1)]
    waiting[0].append((first, start))
    count = 0
    for consumed in range(length + 1):
        while waiting[consumed]:
            key, pair = waiting[consumed].pop()
            if reached_by[key][0] < consumed:
                continue  # it has been followed from there
            try:
                for size, following in pair.steps(length - consumed):
                    count += 1
                    to, at = following.key(), consumed + size
                    if to not in reached_by or at < reached_by[to][0]:
                        reached_by[to] = (at, key, pair.attempted)
                        waiting[at].append((to, following))
            except AssertionError as error:
                path = [*_path_to(key, reached_by), pair.attempted]
                raise MismatchError("\n".join([*map(str, path), str(error)])) from error
    return count


def _path_to(key: Hashable, reached_by: dict[Hashable, tuple[int, Hashable, Step]]) -> list[Step]:
    path: list[Step] = []
    while key is not None:
        _, key, step = reached_by[key]
        path.append(step)
    return path[-2::-1]
