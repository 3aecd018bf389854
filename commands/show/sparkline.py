"""A series as one line of text."""

from collections.abc import Sequence
from itertools import pairwise
from math import isclose

from commands.show.readings import gap_limit_ms

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
    lowest, highest = min(cells.values(), default=0), max(cells.values(), default=0)
    return "".join(
        _level(cells[number], lowest, highest, levels) if number in cells else " "
        for number in range(width)
    )


def _level(value: float, lowest: float, highest: float, levels: str) -> str:
    # The means of 11.87 alone differ in their last digit, which would be drawn as a full swing.
    if isclose(highest, lowest, rel_tol=1e-9, abs_tol=1e-9):
        return levels[len(levels) // 2 - 1]
    share = (value - lowest) / (highest - lowest)
    return levels[min(int(share * len(levels)), len(levels) - 1)]


def _cells(
    points: Sequence[tuple[int, float]], start_ms: int, end_ms: int, width: int
) -> dict[int, float]:
    """number of a cell -> its value"""
    observed: dict[int, list[float]] = {}
    numbers = []
    for time_ms, value in points:
        number = (time_ms - start_ms) * width // max(1, end_ms - start_ms)
        numbers.append(min(width - 1, max(0, number)))
        observed.setdefault(numbers[-1], []).append(value)
    cells = {number: sum(values) / len(values) for number, values in observed.items()}
    times_ms = [time_ms for time_ms, _ in points]
    limit_ms = gap_limit_ms(times_ms)
    for (left, left_ms), (right, right_ms) in pairwise(zip(numbers, times_ms, strict=True)):
        if right_ms - left_ms <= limit_ms:
            first, last = cells[left], cells[right]
            for number in range(left + 1, right):
                cells[number] = first + (last - first) * (number - left) / (right - left)
    return cells
