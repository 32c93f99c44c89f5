"""Two versions or two cohorts beside each other, and what the lake has beyond a version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake.engines.duck import DuckEngine
from dicomlake.jobs.cohorts import keeping, withdrawing
from dicomlake.jobs.cohorts.cohort import opened
from dicomlake.jobs.cohorts.freezing import found_by, question_of
from dicomlake.jobs.cohorts.keeping import Version
from dicomlake.lake import Store
from dicomlake.lake.database import connect

LEVELS = {"patients": "patient_key", "studies": "study_key", "series": '"SeriesInstanceUID"'}
ONLY_A, BOTH, ONLY_B = "only_a", "both", "only_b"
NEW, CHANGED_QUESTION, OTHER = "new or changed data", "other question", "other headers or findings"
GONE = "not found any more"
"""Why a series is in one version and not in the other one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two versions have in common, and what only one of them has.

    `counts`: by level of patients, studies and series: only_a, both, only_b; `why`: series by side
    and reason; `rows`: SeriesInstanceUID, StudyInstanceUID, PatientID, Modality, side and why of
    the series that only one of them has.
    """

    a: Version
    b: Version
    counts: dict[str, dict[str, int]]
    why: dict[str, dict[str, int]]
    rows: pa.Table

    @property
    def same(self) -> bool:
        """Whether both have the same series."""
        return not self.rows.num_rows


def compare(lake: str | Path | Store, a: str, b: str) -> Comparison:
    """Two versions, each as "NAME" or "NAME@3", of what was included when they were made."""
    first, second = opened(lake, a), opened(lake, b)
    one, other = first.version_of, second.version_of
    with connect() as db:
        for name, cohort in (("a", first), ("b", second)):
            db.register(f"rows_{name}", cohort.rows)
            db.execute(f"create table all_{name} as from rows_{name}")
            db.execute(f"create view {name} as from all_{name} where state = 'included'")
        counts = {level: _sides(db, column) for level, column in LEVELS.items()}
        rows = pa.concat_tables(
            [
                _only(db, ONLY_A, "a", "b", one, other),
                _only(db, ONLY_B, "b", "a", other, one),
            ]
        )
    why: dict[str, dict[str, int]] = {ONLY_A: {}, ONLY_B: {}}
    for side, reason in zip(
        rows.column("side").to_pylist(), rows.column("why").to_pylist(), strict=True
    ):
        why[side][reason] = why[side].get(reason, 0) + 1
    return Comparison(one, other, counts, why, rows)


def _sides(db: Any, column: str) -> dict[str, int]:
    (found,) = db.execute(
        f"with a as (select distinct {column} as k from a), "
        f"b as (select distinct {column} as k from b) "
        "select count(*) filter (b.k is null), count(*) filter (a.k = b.k), "
        "count(*) filter (a.k is null) from a full join b on a.k = b.k"
    ).fetchall()
    return dict(zip((ONLY_A, BOTH, ONLY_B), found, strict=True))


def _only(db: Any, side: str, here: str, there: str, mine: Version, other: Version) -> pa.Table:
    """Series that one version has and the other one has not, and why that is."""
    asked = f"'{CHANGED_QUESTION}'" if _differ(mine, other) else f"'{OTHER}'"
    new = f"when h.series_id > {other.highest} then '{NEW}' " if mine.made > other.made else ""
    return db.sql(
        'select h."SeriesInstanceUID", h."StudyInstanceUID", h."PatientID", h."Modality", '
        f"'{side}' as side, case when t.state is not null then t.state "
        f"when h.added then 'added' {new}else {asked} end as why, "
        f"coalesce(t.reason, h.reason) as reason from {here} h "
        f'left join all_{there} t using ("SeriesInstanceUID") '
        f'where "SeriesInstanceUID" not in (select "SeriesInstanceUID" from {there}) '
        "order by 1"
    ).to_arrow_table()


def _differ(one: Version, other: Version) -> bool:
    return (one.where, one.level) != (other.where, other.level)


@dataclass(frozen=True, slots=True)
class News:
    """What the question of a version finds now.

    `rows`: series beyond the version, also those that were changed since; `counts` of them;
    `lost`: series of the version that the question does not find any more; `missing`: that are not
    in the lake any more; `lake_version`: where it was asked.
    """

    version: Version
    rows: pa.Table
    counts: dict[str, int]
    changed: int
    lost: int
    missing: int
    lake_version: int

    @property
    def any(self) -> bool:
        """Whether the next version would be another one."""
        return bool(self.rows.num_rows or self.changed or self.lost or self.missing)


def news(lake: str | Path | Store, name: str, *, engine: Any = None, ticket: object = None) -> News:
    """What the question of "NAME" or "NAME@3" finds now beyond what was frozen."""
    cohort = opened(lake, name)
    store, version = cohort.store, cohort.version_of
    found = found_by(
        store, engine or DuckEngine(store), question_of(version), version.level, ticket
    )
    found = withdrawing.marked(store.path, found)
    with connect() as db:
        db.register("found", found)
        db.register("held", cohort.rows)
        db.register("there", cohort.series())
        new = db.sql(
            "select * from found where state = 'included' and \"SeriesInstanceUID\" not in "
            '(select "SeriesInstanceUID" from held) order by "SeriesInstanceUID"'
        ).to_arrow_table()
        ((lost, changed),) = db.execute(
            'select count(*) filter (f."SeriesInstanceUID" is null and not h.added), '
            "count(*) filter (f.series_id <> h.series_id) from held h "
            'join there using ("SeriesInstanceUID") left join found f using ("SeriesInstanceUID")'
        ).fetchall()
    return News(version, new, keeping.counts(new), changed, lost, cohort.missing, store.version)
