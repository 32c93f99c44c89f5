"""Clinical facts and reports: brought into a lake, counted, searched, and let go of."""

from __future__ import annotations

from dicomlake.jobs.clinical.bringing import Taken, bring, take
from dicomlake.jobs.clinical.managing import Standing, remove, status
from dicomlake.jobs.clinical.searching import search

__all__ = ["Standing", "Taken", "bring", "remove", "search", "status", "take"]
