"""A series as one line of text."""

from collections.abc import Sequence
from itertools import pairwise
from math import isclose

from commands.readings import gap_limit_ms

BARS = "▁▂▃▄▅▆▇█"
PLAIN = ".:-=+*#@"


def sparkline(
    points: Sequence[tuple[int, float]], start_ms: int, end_ms: int, width: int, levels: str = BARS
) -> str:
    """The points over the time from start to end: each character the mean of its share of it.

    points: (epoch ms, value), oldest first. levels: characters from the lowest to the highest; a
    blank stands where nothing is known, and between two readings that are no gap apart lies what
    leads from one to the other. A series that never changes lies in the middle.
    """
    cells = _cells(points, start_ms, end_ms, width)
    known = [cell for cell in cells if cell is not None]
    if not known:
        return " " * width
    lowest, highest = min(known), max(known)
    return "".join(" " if cell is None else _level(cell, lowest, highest, levels) for cell in cells)


def _level(value: float, lowest: float, highest: float, levels: str) -> str:
    # The means of 11.87 alone differ in their last digit, which would be drawn as a full swing.
    if isclose(highest, lowest, rel_tol=1e-9, abs_tol=1e-9):
        return levels[len(levels) // 2 - 1]
    share = (value - lowest) / (highest - lowest)
    return levels[min(int(share * len(levels)), len(levels) - 1)]


def _cells(
    points: Sequence[tuple[int, float]], start_ms: int, end_ms: int, width: int
) -> list[float | None]:
    inside: list[list[float]] = [[] for _ in range(width)]
    placed = []
    for time_ms, value in points:
        cell = min(width - 1, max(0, (time_ms - start_ms) * width // max(1, end_ms - start_ms)))
        inside[cell].append(value)
        placed.append((cell, time_ms))
    cells = [sum(values) / len(values) if values else None for values in inside]
    limit_ms = gap_limit_ms([time_ms for time_ms, _ in points])
    for (left, left_ms), (right, right_ms) in pairwise(placed):
        if right_ms - left_ms > limit_ms:
            continue
        first, last = cells[left], cells[right]
        for cell in range(left + 1, right):
            assert first is not None  # noqa: S101  (a reading lies in it)
            assert last is not None  # noqa: S101
            cells[cell] = first + (last - first) * (cell - left) / (right - left)
    return cells
