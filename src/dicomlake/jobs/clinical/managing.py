"""What a lake holds of clinical facts and documents, and letting go of what a source brought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.errors import UsageError
from dicomlake.jobs.clinical import removals
from dicomlake.jobs.runs import running
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store

OF_IMAGES = (
    "patient_key in (select patient_key from series) or "
    '"AccessionNumber" in (select "AccessionNumber" from series)'
)
"""SQL: whether a row is of a patient or an order that the lake has images of."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a source has brought of one kind: rows, patients, how many have images, and when."""

    source: str
    kind: str
    rows: int
    patients: int
    linked: int
    first: datetime | None
    last: datetime | None
    imported: datetime | None


def status(lake: str | Path) -> list[Standing]:
    """Facts and documents by source and kind, as the newest version of the lake has them."""
    with Store(lake).database(only=("series", *tables.CLINICAL)) as db:
        found = []
        for name, kind, when in (
            ("clinical_events", "kind", "started"),
            ("documents", "'document'", "written"),
        ):
            rows = (
                db.sql(
                    f"select source, {kind} as kind, count(*) as rows, "
                    "count(distinct patient_key) as patients, "
                    f"count(*) filter ({OF_IMAGES}) as linked, min({when}) as first, "
                    f"max({when}) as last, max(imported) as imported from {name} "
                    "group by 1, 2 order by 1, 2"
                )
                .to_arrow_table()
                .to_pylist()
            )
            found += [Standing(**row) for row in rows]
    return sorted(found, key=lambda one: (one.source, one.kind == "document", one.kind))


def remove(lake: str | Path, source: str, *, progress: Progress | None = None) -> dict[str, int]:
    """Let all facts and documents of a source go, for good or to bring them anew; how many went.

    UsageError when the lake has none of that source. Older versions of the lake keep them until
    `dicomlake compact` removes those.
    """
    store = Store(lake)
    with store.lock():
        store.refresh()
        known = sources(store)
        if source not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UsageError(f"The lake has no facts of {source!r}. Sources are: {there}.")
        with running(store, "facts", {"remove": source}, progress) as run:
            for name, count in known[source].items():
                if count:
                    store.put(name, "source", pa.chunked_array([[source]], pa.string()), [])
                    run.check()
            removals.forget(store.path, source)
            store.touch(run.run_id)
            rebuild(store, progress=run.progress)
            run.counts = {"removed": sum(known[source].values())}
    return known[source]


def sources(store: Store) -> dict[str, dict[str, int]]:
    """Rows of each table by the source that brought them."""
    found: dict[str, dict[str, int]] = {}
    with store.database(only=tables.CLINICAL) as db:
        for name in tables.CLINICAL:
            rows: list[Any] = db.sql(f"select source, count(*) from {name} group by 1").fetchall()
            for source, count in rows:
                found.setdefault(source, dict.fromkeys(tables.CLINICAL, 0))[name] = count
    return found
