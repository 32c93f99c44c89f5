"""Clinical facts and reports: brought into a lake, counted, searched, and let go of."""

from __future__ import annotations

from dicomlake.jobs.clinical.bringing import Taken, bring, take

__all__ = ["Taken", "bring", "take"]
