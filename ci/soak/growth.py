"""The growth of a series of samples."""

from collections.abc import Sequence
from statistics import linear_regression

#: How much the line that fits the memory of a process best may rise over the second half of a run: what
#: the allocator keeps for later goes up and down by a MiB or two. The least that a leak can come to, one
#: object of 16 bytes for each connection, is three times as much after the million that ten minutes bring.
MAX_GROWTH = 4 << 20


def growth(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the line that fits these points best rises from the first to the last."""
    if len(points) < 2:
        return 0.0
    slope, _ = linear_regression([x for x, _ in points], [y for _, y in points])
    return slope * (points[-1][0] - points[0][0])


def second_half(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of the second half of the time."""
    middle = (points[0][0] + points[-1][0]) / 2
    return [point for point in points if point[0] >= middle]
