"""Numbers of a group: quartiles and the interval of the median, without any assumption on shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

CERTAIN = 0.95


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of values lies, between two of them on a straight line.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4, 5], 0.25)
    (2.5, 2.0)
    """
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def interval(ordered: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of the median by order statistics; None for fewer than 6 values.

    >>> interval(list(range(1, 11)))
    (2, 9)
    """
    n = len(ordered)
    if n < 6:
        return None, None
    if n > 1000:  # the binomial as a normal distribution
        half = 1.959964 * n**0.5 / 2
        low = max(int(n / 2 - half), 0)
        return ordered[low], ordered[n - 1 - low]
    below, low = 0, -1
    total = 1 << n
    while True:
        below += comb(n, low + 1)
        if 2 * below > (1 - CERTAIN) * total:
            break
        low += 1
    return ordered[low], ordered[n - 1 - low]
