"""What rules need to know of a series besides its row: counted for many series at once."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import duckdb
import pyarrow as pa

from dicomlake.dicom.defined import LISTED
from dicomlake.lake import clocks

LATERALITY = (
    "Laterality",
    "ImageLaterality",
    "SharedFunctionalGroupsSequence.FrameAnatomySequence.FrameLaterality",
    "PerFrameFunctionalGroupsSequence.FrameAnatomySequence.FrameLaterality",
)
"""Where headers say a side."""
_MODIFIER = "AnatomicRegionSequence.AnatomicRegionModifierSequence"
_SIDES = {"7771000": "L", "24028007": "R", "51440002": "B", "66459002": "U"}


@dataclass(frozen=True, slots=True)
class Required:
    """An attribute that objects of a class must have, `type` 1 with a value."""

    keyword: str
    type: str
    place: str


@dataclass(slots=True)
class Facts:
    """What is known of a series besides its row.

    `problems`: path, vr, problem, instances. `unlisted`: path, value, enumerated, place, instances.
    `there`: the required attributes that it has, `filled`: those with a value. `numbered`,
    `distinct`, `lowest`, `highest`: of InstanceNumber. `listed`: instances that an archive lists.
    `acquired`: ImagesInAcquisition. `reach`: mm from the first to the last position. `sides`: L, R,
    B or U by path. `copied`: its objects that a series of another patient has, too. `patients`: of
    its study; `births`, `sexes`: of its patient. `clock`: s from what is usual for its device.
    """

    problems: list[dict[str, Any]] = field(default_factory=list)
    unlisted: list[dict[str, Any]] = field(default_factory=list)
    there: frozenset[str] = frozenset()
    filled: frozenset[str] = frozenset()
    numbered: int = 0
    distinct: int = 0
    lowest: int | None = None
    highest: int | None = None
    no_rows: int = 0
    listed: int | None = None
    acquired: float | None = None
    reach: float | None = None
    sides: dict[str, str] = field(default_factory=dict)
    copied: int = 0
    patients: int = 1
    births: int = 1
    sexes: int = 1
    clock: float | None = None
    clock_spread: float = 0.0


@cache
def required() -> Mapping[str, tuple[Required, ...]]:
    """What objects must have, by SOP Class UID; "*" stands for every class."""
    text = resources.files(__package__).joinpath("required.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    found: dict[str, list[Required]] = {}
    for row in rows:
        one = Required(row["keyword"], row["type"], row["place"])
        found.setdefault(row["sop_class"], []).append(one)
    return {name: tuple(some) for name, some in found.items()}


def facts_of(db: duckdb.DuckDBPyConnection, ids: Sequence[int]) -> dict[int, Facts]:
    """Facts of some series by their numbers; `db` sees the current rows of a lake."""
    db.register("wanted_series", pa.table({"series_id": pa.array(ids, pa.int64())}))
    db.execute("create or replace temp table wanted as select * from wanted_series")
    found = {number: Facts() for number in ids}
    for add in (_problems, _unlisted, _presence, _numbers, _counts, _reach, _sides, _others,
                _clocks):  # fmt: skip
        add(db, found)
    return found


def _rows(db: duckdb.DuckDBPyConnection, statement: str) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = db.sql(statement).to_arrow_table().to_pylist()
    return rows


def _problems(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    rows = _rows(
        db,
        "select series_id, p.path, p.vr, p.problem, count(*) as instances from ("
        "select series_id, unnest(problems) as p from instances semi join wanted using (series_id) "
        "where len(problems) > 0) group by all order by all",
    )
    for row in rows:
        found[row.pop("series_id")].problems.append(row)


def _unlisted(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    known = {
        "path": [one.keyword for one in LISTED],
        "position": pa.array([one.position for one in LISTED], pa.int32()),
        "enumerated": [one.enumerated for one in LISTED],
        "place": [one.place for one in LISTED],
        "known": [sorted(one.values) for one in LISTED],
    }
    db.register("listed_values", pa.table(known))
    rows = _rows(
        db,
        "select series_id, e.path, e.text as value, l.enumerated, l.place, "
        "sum(e.instances)::bigint as instances "
        "from elements e semi join wanted using (series_id) join listed_values l "
        "on l.path = e.path and (l.position = 0 or l.position = e.position) "
        "where e.text <> '' and not list_contains(l.known, e.text) group by all order by all",
    )
    for row in rows:
        found[row.pop("series_id")].unlisted.append(row)


def _presence(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    names = sorted({one.keyword for some in required().values() for one in some})
    db.register("required_names", pa.table({"path": names}))
    rows = _rows(
        db,
        "select series_id, list(distinct path) as there, list(distinct path) filter ("
        "folded or text <> '' or number is not null or moment is not null "
        "or code_value is not null or vr = 'SQ') as filled "
        "from elements semi join wanted using (series_id) semi join required_names using (path) "
        "group by 1",
    )
    for row in rows:
        facts = found[row["series_id"]]
        facts.there, facts.filled = frozenset(row["there"]), frozenset(row["filled"] or ())


def _numbers(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    rows = _rows(
        db,
        'select series_id, count("InstanceNumber") as numbered, '
        'count(distinct "InstanceNumber") as "distinct", min("InstanceNumber") as lowest, '
        'max("InstanceNumber") as highest, '
        'count(*) filter ("Rows" = 0 or "Columns" = 0) as no_rows '
        "from instances semi join wanted using (series_id) group by 1",
    )
    for row in rows:
        facts = found[row.pop("series_id")]
        for name, value in row.items():
            setattr(facts, name, value)


def _counts(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    listed = _rows(
        db,
        'select s.series_id, max(c."NumberOfSeriesRelatedInstances") as n from catalogue c '
        'join series s on s."SeriesInstanceUID" = c."SeriesInstanceUID" '
        "semi join wanted using (series_id) where c.level = 'SERIES' "
        'and c."NumberOfSeriesRelatedInstances" is not null group by 1',
    )
    for row in listed:
        found[row["series_id"]].listed = row["n"]
    acquired = _rows(
        db,
        "select series_id, min(number) as n from elements semi join wanted using (series_id) "
        "where path = 'ImagesInAcquisition' and number > 0 group by 1 "
        "having min(number) = max(coalesce(number_max, number))",
    )
    for row in acquired:
        found[row["series_id"]].acquired = row["n"]


def _reach(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    rows = _rows(
        db,
        "select series_id, sqrt(sum(pow(far, 2))) as reach from (select series_id, position, "
        "max(coalesce(number_max, number)) - min(number) as far from elements "
        "semi join wanted using (series_id) where path = 'ImagePositionPatient' "
        "and number is not null group by all) group by 1",
    )
    for row in rows:
        found[row["series_id"]].reach = row["reach"]


def _sides(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    listed = ", ".join(f"'{path}'" for path in (*LATERALITY, _MODIFIER))
    rows = _rows(
        db,
        "select series_id, path, upper(trim(text)) as text, code_value from elements "
        f"semi join wanted using (series_id) where path in ({listed}) "
        "and (text <> '' or code_value is not null) order by all",
    )
    for row in rows:
        side = _SIDES.get(row["code_value"] or "", row["text"] or "")
        sides = found[row["series_id"]].sides
        if side in ("L", "R", "B", "U"):
            sides[row["path"]] = side if sides.get(row["path"], side) == side else "B"


def _others(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    """What other series of the lake say of the same objects, studies and patients."""
    copied = _rows(
        db,
        'with mine as (select series_id, "SOPInstanceUID" from instances '
        "semi join wanted using (series_id)) "
        'select m.series_id, count(distinct m."SOPInstanceUID") as n from mine m '
        'join instances i on i."SOPInstanceUID" = m."SOPInstanceUID" '
        "and i.series_id <> m.series_id join series s on s.series_id = m.series_id "
        "join series o on o.series_id = i.series_id and o.patient_key <> s.patient_key group by 1",
    )
    for row in copied:
        found[row["series_id"]].copied = row["n"]
    patients = _rows(
        db,
        "with mine as (select series_id, study_key, patient_key from series "
        "semi join wanted using (series_id)), "
        "study as (select study_key, count(distinct patient_key) as patients from series "
        "semi join mine using (study_key) group by 1), "
        'patient as (select patient_key, count(distinct "PatientBirthDate") as births, '
        "count(distinct \"PatientSex\") filter (\"PatientSex\" in ('M', 'F')) as sexes "
        "from series semi join mine using (patient_key) group by 1) "
        "select m.series_id, study.patients, patient.births, patient.sexes "
        "from mine m join study using (study_key) join patient using (patient_key) "
        "where study.patients > 1 or patient.births > 1 or patient.sexes > 1",
    )
    for row in patients:
        facts = found[row["series_id"]]
        facts.patients, facts.births = row["patients"], row["births"]
        facts.sexes = row["sexes"]


def _clocks(db: duckdb.DuckDBPyConnection, found: dict[int, Facts]) -> None:
    """How far each series is from what is usual for its device, where enough of them are known."""
    db.execute(
        "create or replace temp table same_devices as select series_id from series where "
        f"{clocks.DEVICE} in (select {clocks.DEVICE} from series semi join wanted "
        "using (series_id))"
    )
    db.execute(
        "create or replace temp table clock as select * from "
        f"({clocks.differences('same_devices')}) where against = 'study'"
    )
    rows = _rows(
        db,
        f"select c.series_id, c.off - o.median as clock, o.spread from clock c "
        f"semi join wanted using (series_id) join ({clocks.offsets('clock')}) o "
        "using (device, modality, against)",
    )
    for row in rows:
        facts = found[row["series_id"]]
        facts.clock, facts.clock_spread = row["clock"], row["spread"]
