"""What enrichers state of one series, with who said it: rows that count, surest first."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dicomlake.errors import UsageError

_BY = "e.version, e.model, e.run_id, e.made"
_KINDS = ("body part", "laterality", "procedure", "series type", "structure", "tissue", "finding",
          "code")  # fmt: skip
"""The order in which people read them."""
_SEVERITIES = ("error", "warning", "note")


def stated(engine: Any, SeriesInstanceUID: str, ticket: object = None) -> pa.Table:
    """Statements of a series: rows of `annotations` with version, model and run of who made them.

    UsageError for a series that there is not.
    """
    kinds = ", ".join(f"'{kind}'" for kind in _KINDS)
    return _rows(
        engine,
        "annotations",
        SeriesInstanceUID,
        f"list_position([{kinds}], a.kind), a.enricher, a.confidence desc nulls last, "
        "a.volume desc nulls last, a.name, a.label",
        ticket,
    )


def faults(engine: Any, SeriesInstanceUID: str, ticket: object = None) -> pa.Table:
    """Faults of a series: rows of `findings`, worst first, likewise."""
    severities = ", ".join(f"'{severity}'" for severity in _SEVERITIES)
    return _rows(
        engine,
        "findings",
        SeriesInstanceUID,
        f"list_position([{severities}], a.severity), a.enricher, a.rule, a.path, a.value",
        ticket,
    )


def _rows(engine: Any, table: str, uid: str, order: str, ticket: object) -> pa.Table:
    found = engine.read(
        'select series_id from series where "SeriesInstanceUID" = ? limit 1', [uid], ticket
    )
    if not found.num_rows:
        raise UsageError("There is no series of that SeriesInstanceUID in this lake.")
    rows: pa.Table = engine.read(
        f"select a.* exclude (series_id, enrichment_id), {_BY} from {table} a "
        "join enrichments e using (series_id, enrichment_id) where series_id = ? "
        f"order by {order}",
        [found.column(0)[0].as_py()],
        ticket,
    )
    return rows
