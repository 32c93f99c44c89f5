"""Freezing: what a question finds now becomes a version of a cohort, which stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake.engines.duck import DuckEngine
from dicomlake.errors import NotAllowed, UsageError
from dicomlake.jobs.attrition import MOST_STEPS, attrition, number_of
from dicomlake.jobs.cohorts import deciding, keeping, splitting, withdrawing
from dicomlake.jobs.cohorts.keeping import Version
from dicomlake.lake import Store
from dicomlake.query import Node, from_json, parse, render, to_json
from dicomlake.query.nodes import LEVELS


def freeze(
    lake: str | Path | Store,
    name: str,
    where: str | Node | None = None,
    level: str = "series",
    *,
    by: str = "",
    comment: str = "",
    project: str = "",
    engine: Any = None,
    ticket: object = None,
) -> Version:
    """The next version of a cohort: all series of what a question finds now.

    Series that were excluded or added before stay so, and patients keep their split. `engine`: one
    of this version of the lake that is open already; `ticket`: what it knows the question by.
    UsageError for a level that cohorts do not have, or a name of another project.
    """
    keeping.checked(name)
    node = parse(where) if isinstance(where, str) else where
    store = keeping.store_of(lake)
    engine = engine or DuckEngine(store)
    found = found_by(store, engine, node, level, ticket)
    said = {
        "kind": "frozen",
        "level": level,
        "where": None if node is None else to_json(node),
        "text": "" if node is None else render(node),
        "lake_version": store.version,
        "highest": _highest(store),
        "whole": engine.count(None, level, ticket),
        "attrition": _attrition(engine, node, level, ticket),
    }
    with keeping.changing(store.path):
        before = newest(store.path, name, project)
        entries = keeping.log(store.path, name)
        found = deciding.applied(store, found, entries)
        found = withdrawing.marked(store.path, found)
        if before is not None and before.split is not None:
            found = splitting.carried(store, found, keeping.rows(store.path, before), before.split)
        return keeping.add(
            store.path,
            found,
            name=name,
            by=by,
            comment=comment,
            project=project if before is None else before.project,
            entries=len(entries),
            split=None if before is None else before.split,
            **said,
        )


def save(
    lake: str | Path | Store, name: str, *, by: str = "", comment: str = "", kind: str = "saved"
) -> Version:
    """The next version of a cohort, with what was decided since the newest one.

    UsageError when nothing was, also nobody withdrawn.
    """
    store = keeping.store_of(lake)
    with keeping.changing(store.path):
        before = keeping.read(store.path, name)
        entries = keeping.log(store.path, name)
        old = keeping.rows(store.path, before)
        found = deciding.applied(store, old, entries[before.entries :])
        found = withdrawing.marked(store.path, found)
        if found.equals(old):
            raise UsageError(
                f"Nothing was decided since version {before.version} of {name}. Include, exclude "
                "or flag series first, or freeze the question again."
            )
        if before.split is not None:
            found = splitting.carried(store, found, old, before.split)
        return keeping.next_of(store.path, before, found, kind, by, comment, entries=len(entries))


def newest(lake: Path, name: str, project: str) -> Version | None:
    """The newest version of a cohort, None when there is none; NotAllowed for another project's."""
    if name not in keeping.names(lake):
        return None
    before = keeping.read(lake, name)
    if before.project != project and project:
        raise NotAllowed(f"The name {name} is taken. Choose another one.")
    return before


def found_by(
    store: Store, engine: Any, where: Node | None, level: str, ticket: object = None
) -> pa.Table:
    """Rows of the series that a question finds now, all of them included."""
    if level not in LEVELS or level == "instance":
        raise UsageError(
            "A cohort holds whole series. Ask at the level series, study or patient: it holds all "
            "series of what is found."
        )
    with engine.chosen(where, level, ticket) as (search, mask):
        ids = pa.array(search.snapshot.ids[mask], pa.int64())
    return rows_of(store, "series_id", ids)


def rows_of(store: Store, key: str, values: pa.Array) -> pa.Table:
    """Rows of series of the lake as versions have them, by a column of `series`."""
    with store.database(only=("series", "instances")) as db:
        db.register("chosen", pa.table({"key": values}))
        found = db.sql(_ROWS.format(key=key)).to_arrow_table()
    return found.cast(keeping.ROWS)


_ROWS = """
    with picked as (select * from series where "{key}" in (select key from chosen)),
    sizes as (
        select series_id, sum(size)::bigint as bytes from all_instances
        where series_id in (select series_id from picked) group by series_id
    )
    select "SeriesInstanceUID", coalesce("StudyInstanceUID", '') as "StudyInstanceUID",
        patient_key, study_key, coalesce("PatientID", '') as "PatientID",
        coalesce("IssuerOfPatientID", '') as "IssuerOfPatientID",
        coalesce("Modality", '') as "Modality", series_id, coalesce(instances, 0) as instances,
        coalesce(bytes, 0) as bytes, 'included' as state, '' as reason, '' as flag,
        false as added, null::varchar as split, null::integer as fold
    from picked left join sizes using (series_id) order by "SeriesInstanceUID"
"""


def _highest(store: Store) -> int:
    with store.database(only=("series",)) as db:
        ((highest,),) = db.execute("select coalesce(max(series_id), 0) from series").fetchall()
    return int(highest)


def _attrition(engine: Any, where: Node | None, level: str, ticket: object) -> list[dict[str, Any]]:
    """What each condition keeps; nothing of a question with too many of them."""
    if where is None or number_of(where) > MOST_STEPS:
        return []
    return attrition(engine, where, level, ticket)


def question_of(version: Version) -> Node | None:
    """The condition of a version."""
    if version.where is None:
        return None
    found = from_json(version.where)
    assert isinstance(found, Node)
    return found
