"""What every queue asks of a task before it takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import orjson

from dicomlake.contracts.queues import LATER, NOW, Task
from dicomlake.errors import UsageError

T = TypeVar("T")

WORST = LATER + 1
"""The last priority that there is."""


def check(task: Task) -> Task:
    """The task; UsageError when no queue could hold it.

    >>> check(Task("series:1.2.3", "fetch")).most
    5
    """
    if not task.key or not task.kind:
        raise UsageError("A task needs a key and a kind.")
    if not NOW <= task.priority <= WORST:
        raise UsageError(f"Priority {task.priority} is none: {NOW} (first) to {WORST} (last).")
    if task.most < 1:
        raise UsageError(f"A task of kind {task.kind!r} needs at least one attempt.")
    return task


def packed(value: dict[str, Any], kind: str) -> str:
    """A value as JSON; UsageError when it is none.

    >>> packed({"StudyInstanceUID": "1.2"}, "fetch")
    '{"StudyInstanceUID":"1.2"}'
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # The error of the encoder would quote what the task carries.
        raise UsageError(f"A task of kind {kind!r} carries something that is no JSON.") from None


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of at most some size.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
