"""Codes and terminologies: the floor that knows concepts and nothing of files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept, in the order DICOM writes it (PS3.3 Section 8).

    >>> Code("64033007", "SCT", "Kidney").value
    '64033007'
    """

    value: str
    scheme: str
    meaning: str = ""
