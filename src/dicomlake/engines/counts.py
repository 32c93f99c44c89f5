"""Attributes that the lake counts instead of reading, as archives answer them (PS3.4 C.3.4)."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np

from dicomlake.engines.snapshot import Mask, Numbers, Snapshot
from dicomlake.errors import Unsupported
from dicomlake.query import Between, Compare, Exists, Node, OneOf

COUNTS = {
    "NumberOfSeriesRelatedInstances": ("series", "instances"),
    "NumberOfStudyRelatedSeries": ("study", "series"),
    "NumberOfStudyRelatedInstances": ("study", "instances"),
    "NumberOfPatientRelatedStudies": ("patient", "study"),
    "NumberOfPatientRelatedSeries": ("patient", "series"),
    "NumberOfPatientRelatedInstances": ("patient", "instances"),
}
"""Keyword: what is counted (second) of which level (first)."""
MODALITIES = "ModalitiesInStudy"


def counts(snapshot: Snapshot, keyword: str) -> Numbers:
    """The count that each series has, its own or that of its study or patient."""
    numbers: Numbers = snapshot.once(keyword, lambda: _count(snapshot, *COUNTS[keyword]))
    return numbers


def _count(snapshot: Snapshot, level: str, what: str) -> Numbers:
    of, size = snapshot.entities(level)
    if what == "instances":
        found = np.bincount(of, snapshot.instances, size)
    elif what == "series":
        found = np.bincount(of, minlength=size)
    else:
        inner, several = snapshot.entities(what)
        whose = np.zeros(several, of.dtype)
        whose[inner] = of
        if not np.array_equal(whose[inner], of):  # one of them belongs to several
            whose = np.unique(of * several + inner) // max(several, 1)
        found = np.bincount(whose, minlength=size)
    return found.astype(np.int64)[of]


@singledispatch
def meets(node: Node, numbers: Numbers) -> Mask:
    """Which counts meet a condition."""
    raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} on a count.")


_OPERATORS: dict[str, Any] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@meets.register
def _(node: Compare, numbers: Numbers) -> Mask:
    mask: Mask = _OPERATORS[node.op](numbers, node.value)
    return mask


@meets.register
def _(node: OneOf, numbers: Numbers) -> Mask:
    return np.isin(numbers, np.array([float(value) for value in node.values]))  # type: ignore[arg-type]


@meets.register
def _(node: Between, numbers: Numbers) -> Mask:
    mask: Mask = (numbers >= node.low) & (numbers <= node.high)  # type: ignore[operator]
    return mask


@meets.register
def _(node: Exists, numbers: Numbers) -> Mask:
    return np.ones(len(numbers), bool)
