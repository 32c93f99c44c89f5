"""Splits of a cohort: training, validation and test, and folds; no patient is in two of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dicomlake.lake import Store


def carried(store: Store, rows: pa.Table, before: pa.Table, spec: dict[str, Any]) -> pa.Table:
    """Rows in which patients are in the split in which they were, and new ones in one of theirs."""
    return rows
