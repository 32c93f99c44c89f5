"""Rows of studies, in blocks: what hangs on a study stands together, and memory is bounded.

Each table is read once, in the order of the studies; tables that do not fit into memory are sorted
on disk. One block holds the rows of some studies.
"""

from __future__ import annotations

import tempfile
import weakref
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from typing import Any

import duckdb

from dicomlake import tables
from dicomlake.errors import ServiceError
from dicomlake.fhir import documents, doses, mapping
from dicomlake.fhir.mapping import Given
from dicomlake.fhir.statements import KINDS
from dicomlake.lake import Store
from dicomlake.lake.database import connect, literal

MEMORY = "1GB"
"""Most memory for sorting; what does not fit lies in files meanwhile."""
BLOCK = 400
"""Studies whose rows are in memory together."""
_BATCH = 2048

Row = dict[str, Any]

# What tells a device from another one. UIDs and serial numbers do, names of stations have to.
_MACHINE = """
case
    when udi is not null then 'udi|' || udi
    when "DeviceUID" is not null then 'uid|' || "DeviceUID"
    when trim("DeviceSerialNumber") <> ''
        and coalesce(nullif(trim("Manufacturer"), ''), nullif(trim("ManufacturerModelName"), ''))
        is not null
    then concat_ws('|', 'serial', coalesce(trim("Manufacturer"), ''),
        coalesce(trim("ManufacturerModelName"), ''), trim("DeviceSerialNumber"))
    when coalesce(nullif(trim("Manufacturer"), ''), nullif(trim("ManufacturerModelName"), ''),
        nullif(trim("StationName"), '')) is not null
    then concat_ws('|', 'station', coalesce(trim("Manufacturer"), ''),
        coalesce(trim("ManufacturerModelName"), ''), coalesce(trim("InstitutionName"), ''),
        coalesce(trim("StationName"), ''))
end
"""
_MACHINE_COLUMNS = """Manufacturer ManufacturerModelName DeviceSerialNumber StationName
    InstitutionName SoftwareVersions""".split()
_PATIENT_COLUMNS = "PatientID IssuerOfPatientID PatientName PatientBirthDate PatientSex".split()
_PATIENT = """
case when trim("PatientID") <> '' then coalesce(trim("IssuerOfPatientID"), '') || '|'
    || trim("PatientID") else 'study|' || "StudyInstanceUID" end
"""
_NEWEST = """coalesce(strftime("StudyDate", '%Y%m%d'), '') || "SeriesInstanceUID\""""

_COLUMNS = {
    "elements": "path position text number code_value code_scheme code_meaning".split(),
    "instances": """SOPInstanceUID SOPClassUID InstanceNumber NumberOfFrames header""".split(),
    "items": """SOPInstanceUID item parent value_type concept concept_value concept_scheme
        concept_meaning text number unit unit_meaning observation finding site
        laterality code""".split(),
    "dose_events": """SOPInstanceUID source plane laterality CTDIvol DLP DAP RP AGD activity
        event_uid region_value region_scheme region_meaning counted""".split(),
    "dose_totals": """SOPInstanceUID source plane laterality DLP DAP RP AGD activity fluoro_time
        events""".split(),
    "annotations": """enrichment_id kind label structure structure_value structure_scheme
        structure_meaning laterality name also confidence volume intensity complete""".split(),
    "enrichments": "enrichment_id enricher version model state made".split(),
    "segments": """SOPInstanceUID kind number label type_value type_scheme type_meaning structure
        laterality FrameOfReferenceUID present""".split(),
}
_ORDER = {
    "elements": "path, position, text, code_value",
    "instances": '"InstanceNumber", "SOPInstanceUID"',
    "items": '"SOPInstanceUID", item',
    "dose_events": '"SOPInstanceUID", item, event_key',
    "dose_totals": '"SOPInstanceUID", item, plane, laterality',
    "annotations": "enrichment_id, label, structure",
    "enrichments": "enricher, enrichment_id",
    "segments": '"SOPInstanceUID", number',
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are read at all: of instances all of them or documents alone, with headers."""

    instances: bool = False
    headers: bool = False
    tables: frozenset[str] = field(default_factory=lambda: frozenset(_COLUMNS))


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of some studies: study_key, patient_key and Given of each."""

    studies: list[tuple[int, int, Given]]


class Reading:
    """The rows of a store at its version, in the order of patients and studies.

    Made once per snapshot: what it finds of devices and patients is kept, on disk where it does not
    fit into memory. Any number of threads may choose studies of it.
    """

    def __init__(self, store: Store) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dicomlake-")
        self._db = connect(memory=MEMORY, spill=Path(self._folder.name))
        self._numbers = count()
        weakref.finalize(self, _close, self._db, self._folder)
        store.show_current(self._db)
        self._prepare()

    def _prepare(self) -> None:
        """The keys of devices and patients of all series."""
        paths = ", ".join(map(literal, ("DeviceUID", "UDISequence.UniqueDeviceIdentifier")))
        self._db.execute(
            f"""create table told as select series_id,
                min(trim(text)) filter (path = 'DeviceUID' and regexp_full_match(trim(text),
                '[0-9]+([.][0-9]+)*') and len(trim(text)) <= 64) as "DeviceUID",
                min(trim(text)) filter (path <> 'DeviceUID' and trim(text) <> '') as udi
            from elements where path in ({paths}) group by series_id"""
        )
        self._db.execute(
            f"""create table keyed as select series_id, study_key, {_MACHINE} as machine_key,
                arg_min({_PATIENT}, patient_key) over (partition by study_key) as person,
                min(patient_key) over (partition by study_key) as owner
            from series left join told using (series_id)"""
        )

    @contextmanager
    def chosen(self, studies: Sequence[int] | None, wanted: Wanted) -> Iterator[Chosen]:
        """Some studies, all when none are named, as long as the block runs."""
        name, db = f"chosen_{next(self._numbers)}", self._db.cursor()
        where = ""
        if studies is not None:
            listed = ", ".join(str(int(key)) for key in studies) or "null"
            where = f"where study_key in ({listed})"
        try:
            db.execute(
                f"""create table {name} as select *,
                    dense_rank() over (order by owner, study_key) as turn from keyed {where}"""
            )
            yield Chosen(db, name, wanted)
        finally:
            db.execute(f"drop table if exists {name}")
            db.close()


def _close(db: duckdb.DuckDBPyConnection, folder: tempfile.TemporaryDirectory[str]) -> None:
    db.close()
    folder.cleanup()


class Chosen:
    """Rows of the studies that are chosen; used by one thread."""

    def __init__(self, db: duckdb.DuckDBPyConnection, name: str, wanted: Wanted) -> None:
        self._db, self._name, self._wanted = db, name, wanted

    @property
    def studies(self) -> int:
        """How many studies there are."""
        found = self._db.execute(f"select coalesce(max(turn), 0) from {self._name}").fetchall()
        return int(found[0][0])

    def patients(self) -> Iterator[tuple[int, str, Row]]:
        """Number, key and newest row of their patients."""
        picked = _packed(_PATIENT_COLUMNS)
        yield from self._told(
            f"""select min(owner), person, arg_max({picked}, {_NEWEST}) as told
            from keyed join series using (series_id)
            where person in (select person from {self._name})
            and ({_PATIENT}) = person
            group by person order by min(owner), person"""
        )

    def machines(self) -> Iterator[tuple[int, str, Row]]:
        """Nothing, key and newest row of their devices."""
        picked = _packed([*_MACHINE_COLUMNS, "DeviceUID", "udi"])
        yield from self._told(
            f"""select 0, machine_key, arg_max({picked}, {_NEWEST}) as told
            from keyed join series using (series_id) left join told using (series_id)
            where machine_key in
                (select machine_key from {self._name} where machine_key is not null)
            group by machine_key order by machine_key"""
        )

    def _told(self, sql: str) -> Iterator[tuple[int, str, Row]]:
        found = self._db.cursor().execute(sql)
        while rows := found.fetchmany(_BATCH):
            yield from ((int(number), key, told) for number, key, told in rows)

    def blocks(self) -> Iterator[Block]:
        """Their rows, BLOCK studies at a time."""
        names = [name for name in _COLUMNS if name in self._wanted.tables]
        streams = {name: _Stream(self._children(name)) for name in names}
        series = _Stream(self._series())
        last = 0
        while rows := series.until(last + BLOCK):
            last = max(row["turn"] for row in rows)
            children = {name: _by_series(stream.until(last)) for name, stream in streams.items()}
            yield Block(list(_studies(rows, children)))

    def _series(self) -> Iterator[list[Row]]:
        columns = ", ".join(f's."{name}"' for name in mapping.COLUMNS)
        return self._rows(
            f"""select turn, c.study_key, owner, person, machine_key, {columns}
            from {self._name} c join series s using (series_id)
            order by turn, s."SeriesNumber" nulls last, s."SeriesInstanceUID\""""
        )

    def _children(self, name: str) -> Iterator[list[Row]]:
        listed = [c for c in _COLUMNS[name] if c != "header" or self._wanted.headers]
        columns = ", ".join(f't."{column}"' for column in listed)
        if name == "instances" and not self._wanted.headers:
            columns += ", null as header"
        return self._rows(
            f"""select turn, t.series_id, {columns}
            from {name} t join {self._name} c using (series_id)
            where {self._where(name)} order by turn, t.series_id, {_ORDER[name]}"""
        )

    def _where(self, name: str) -> str:
        """SQL of the rows of a table that resources are made of."""
        if name == "elements":
            return f"path in ({', '.join(map(literal, mapping.PATHS))})"
        if name == "instances" and not self._wanted.instances:
            return f't."SOPClassUID" like {literal(documents.ENCAPSULATED + "%")}'
        if name == "items":
            concepts = ", ".join(map(literal, (*documents.CONCLUSIONS, *doses.CONCEPTS)))
            measured = f"""(value_type = 'NUM' or finding is not null or value_type = 'CONTAINER')
                and t.series_id in (select series_id from items where template =
                {literal(documents.MEASURED)})"""
            return f"parent is null or concept in ({concepts}) or ({measured})"
        if name.startswith("dose"):
            return f"source in ({', '.join(map(literal, doses.DOCUMENTS))})"
        if name == "annotations":
            return f"kind in ({', '.join(map(literal, (*KINDS, 'body part')))})"
        return "true"

    def _rows(self, sql: str) -> Iterator[list[Row]]:
        reader = self._db.cursor().sql(sql).to_arrow_reader(_BATCH)
        for batch in reader:
            columns = [column.to_pylist() for column in batch.columns]
            names = batch.schema.names
            yield [dict(zip(names, values, strict=False)) for values in zip(*columns, strict=True)]


def _packed(columns: Sequence[str]) -> str:
    return "struct_pack(" + ", ".join(f'"{name}" := "{name}"' for name in columns) + ")"


class _Stream:
    """Rows in the order of their turn, taken piece by piece."""

    def __init__(self, batches: Iterator[list[Row]]) -> None:
        self._batches = batches
        self._rest: list[Row] = []

    def until(self, turn: int) -> list[Row]:
        """The rows up to a turn, those of the turn included."""
        found: list[Row] = []
        while self._rest or self._more():
            end = bisect_right(self._rest, turn, key=_turn)
            found += self._rest[:end]
            self._rest = self._rest[end:]
            if self._rest:
                break
        return found

    def _more(self) -> bool:
        self._rest = next((batch for batch in self._batches if batch), [])
        return bool(self._rest)


def _turn(row: Row) -> int:
    return int(row["turn"])


def _by_series(rows: list[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["series_id"]].append(row)
    return found


def _studies(
    rows: list[Row], children: Mapping[str, Mapping[int, list[Row]]]
) -> Iterator[tuple[int, int, Given]]:
    for _, group in groupby(rows, key=lambda row: row["turn"]):
        series = list(group)
        ids = [row["series_id"] for row in series]
        held = {name: {i: found[i] for i in ids if i in found} for name, found in children.items()}
        elements = {i: _by_path(found) for i, found in held.pop("elements", {}).items()}
        machines = {row["series_id"]: row["machine_key"] for row in series if row["machine_key"]}
        given = Given(series[0]["person"], series, machines, elements, **held)
        yield series[0]["study_key"], series[0]["owner"], given


def _by_path(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["path"]].append(row)
    return found


@contextmanager
def explained() -> Iterator[None]:
    """Errors of reading as ours: ServiceError."""
    try:
        yield
    except duckdb.Error as error:
        raise ServiceError(
            f"The rows of the lake cannot be read ({type(error).__name__}). Try again, and if "
            "it happens again: dicomlake doctor."
        ) from error


assert set(_COLUMNS) <= set(tables.ALL)
