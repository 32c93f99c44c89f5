"""Which standard name every protocol of a lake has, and by which rule: what mapping is made of."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.events import rows_of
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.rows import Row
from dicomlake.query import Node

_SAID = "kind ManufacturerModelName protocol StudyDescription region_meaning".split()
_USED = (*_SAID, "standard_protocol", "rule", "StudyInstanceUID", "StudyDate", "not_patient")


def protocols(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> pa.Table:
    """Protocols as sent of what a condition finds: `schemas.PROTOCOLS`, most events first."""
    groups: dict[tuple[Any, ...], Row] = {}
    studies: dict[tuple[Any, ...], set[Any]] = {}
    for row in rows_of(_USED, engine, where, options, ticket, given):
        said = tuple(row[name] for name in _SAID)
        key = (*said, row["standard_protocol"], row["rule"])
        group = groups.setdefault(key, dict.fromkeys(schemas.PROTOCOLS.names) | {"events": 0})
        studies.setdefault(key, set()).add(row["StudyInstanceUID"])
        group["events"] += 1
        if day := row["StudyDate"]:
            group["first"] = min(group["first"] or day, day)
            group["last"] = max(group["last"] or day, day)
    names = (*_SAID, "standard_protocol", "rule")
    rows = [
        {**group, **dict(zip(names, key, strict=True)), "studies": len(studies[key])}
        for key, group in groups.items()
    ]
    rows.sort(key=lambda r: (-r["events"], str(r["kind"]), str(r["protocol"]), str(r["rule"])))
    return schemas.table(schemas.PROTOCOLS, rows)
