"""Every path through a subject and its model, each step compared: `explore`."""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Hashable, Iterator
from typing import Generic, TypeAlias, TypeVar

#: What was called, and with what.
Step: TypeAlias = tuple[object, ...]

S = TypeVar("S", bound=Hashable)
C = TypeVar("C")


class MismatchError(AssertionError):
    """The subject and its model differ; the text is the path there, a step in each line."""


class Pair(abc.ABC, Generic[S, C]):
    """A subject and its model, which are put into one state after another.

    No step costs a copy: each is taken by the same two objects, which are put back before it.

    `S` is a state of both: from the same one they go on in the same way, whatever led there. `C` is what
    belongs to the subject and is no part of its state, since it only counts.
    """

    #: The step that is being taken, or was taken last.
    attempted: Step
    #: The state that the pair is made in.
    first: S

    @abc.abstractmethod
    def counts(self) -> C:
        """Return what only counts, as it is now."""

    @abc.abstractmethod
    def steps(self, state: S, counts: C, remaining: int) -> Iterator[tuple[int, S]]:
        """Take each step that fits a state and has at most `remaining` bytes.

        Yield how many bytes it has, and the state that it has led to. `attempted` is the step.

        Raises:
            AssertionError: the subject did not do what the model did.
        """


@functools.cache
def chunks(alphabet: bytes, length: int) -> list[bytes]:
    """Return all chunks of 1 to `length` bytes over an alphabet, the shortest first."""
    return [bytes(c) for size in range(1, length + 1) for c in itertools.product(alphabet, repeat=size)]


def explore(pair: Pair[S, C], length: int) -> int:
    """Take every path whose steps have at most `length` bytes in sum; return how many steps there were.

    Each state is followed from where it was reached with the fewest bytes.

    Raises:
        MismatchError: the two have differed at a step.
    """
    reached_by: dict[S, tuple[int, S | None, Step]] = {pair.first: (0, None, ())}
    waiting: list[list[tuple[S, C]]] = [[] for _ in range(length + 1)]
    waiting[0].append((pair.first, pair.counts()))
    count = 0
    for consumed in range(length + 1):
        while waiting[consumed]:
            state, counts = waiting[consumed].pop()
            if reached_by[state][0] < consumed:
                continue  # it has been followed from there
            try:
                for size, to in pair.steps(state, counts, length - consumed):
                    count += 1
                    known, at = reached_by.get(to), consumed + size
                    if known is None or at < known[0]:
                        reached_by[to] = (at, state, pair.attempted)
                        waiting[at].append((to, pair.counts()))
            except AssertionError as error:
                path = [*_path_to(state, reached_by), pair.attempted]
                raise MismatchError("\n".join([*map(str, path), str(error)])) from error
    return count


def _path_to(state: S | None, reached_by: dict[S, tuple[int, S | None, Step]]) -> list[Step]:
    path: list[Step] = []
    while state is not None:
        _, state, step = reached_by[state]
        path.append(step)
    return path[-2::-1]
