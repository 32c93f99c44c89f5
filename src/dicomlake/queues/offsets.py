"""Which messages of a partition are finished, though they end in any order."""

from __future__ import annotations

import heapq

Place = tuple[str, int, int]
"""Topic, partition and offset of a message."""


class Offsets:
    """Messages that were taken; only what lies before all unfinished ones may be committed.

    >>> offsets = Offsets()
    >>> for offset in (4, 5, 6): offsets.take(("tasks", 0, offset))
    >>> offsets.finish(("tasks", 0, 5))
    >>> offsets.ready()
    []
    >>> offsets.finish(("tasks", 0, 4))
    >>> offsets.ready()
    [('tasks', 0, 6)]
    >>> offsets.ready()
    []
    """

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], list[int]] = {}
        self._finished: dict[tuple[str, int], set[int]] = {}
        self._ready: dict[tuple[str, int], int] = {}

    def take(self, place: Place) -> None:
        """A message has been taken."""
        heapq.heappush(self._taken.setdefault(place[:2], []), place[2])

    def finish(self, place: Place) -> None:
        """A message needs not be taken again; those of partitions lost meanwhile are left out."""
        taken = self._taken.get(place[:2])
        if taken is None:
            return
        finished = self._finished.setdefault(place[:2], set())
        finished.add(place[2])
        while taken and taken[0] in finished:
            offset = heapq.heappop(taken)
            finished.discard(offset)
            self._ready[place[:2]] = offset + 1

    def ready(self) -> list[Place]:
        """What to commit, once: topic, partition, and the offset of the first message to keep."""
        found = [(*partition, offset) for partition, offset in self._ready.items()]
        self._ready.clear()
        return found

    def lose(self, topic: str, partition: int) -> None:
        """Somebody else has the partition from now on."""
        for known in (self._taken, self._finished, self._ready):
            known.pop((topic, partition), None)
