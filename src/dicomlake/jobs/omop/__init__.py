"""The lake as tables of OMOP with its Medical Imaging extension.

columns      the tables and their columns
statements   SQL of their rows
concepts     concept ids from the vocabulary files of a person

Values stand in `measurement` and `observation`; an `image_feature` says which of them was seen in
which `image_occurrence`, which is a series. Numbers of rows are the same in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from dicomlake.contracts.pseudonyms import PATIENT
from dicomlake.deid.identity import Keyed
from dicomlake.errors import UsageError
from dicomlake.fhir import Site
from dicomlake.jobs.cohorts import keeping
from dicomlake.jobs.fhir.pseudonymising import pseudonyms_of
from dicomlake.jobs.omop import concepts, statements
from dicomlake.jobs.omop.columns import TABLES
from dicomlake.lake import Store
from dicomlake.settings import Settings
from dicomlake.terms.bodyparts.places import regions_of_term

FORMS = ("csv", "parquet")
_BLOCK = 50_000
_TYPE = "Type:EHR"
_MEASUREMENT, _OBSERVATION = "CDM:measurement.measurement_id", "CDM:observation.observation_id"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is written, and how: `pseudonyms` is a name in the settings; "" writes identities."""

    form: str = "csv"
    cohort: str = ""
    vocabulary: Path | None = None
    pseudonyms: str = ""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f"{self.form!r} is no format. Use one of {', '.join(FORMS)}.")


@dataclass(frozen=True, slots=True)
class Report:
    """What was written: rows by table, and what was left out or could not be mapped, in numbers."""

    folder: Path
    rows: dict[str, int]
    without_day: int = 0
    without_birth: int = 0
    unmapped: int = 0
    codes: int = 0
    files: list[Path] = field(default_factory=list)


def write(store: Store, out: Path, asked: Asked, settings: Settings) -> Report:
    """Write the tables of OMOP into a folder; the same lake gives the same files.

    UsageError where there is no such cohort, pseudonym or vocabulary.
    """
    with store.database() as db:
        db.register("chosen", _chosen(store, asked.cohort))
        _people(db, asked.pseudonyms, settings)
        salt = {"salt": _salt(asked.pseudonyms, settings)}
        for statement in (statements.IMAGES, statements.FEATURES):
            db.execute(statement, salt)
        _codes(db)
        concepts.load(db, asked.vocabulary)
        out.mkdir(parents=True, exist_ok=True)
        rows, files = {}, []
        for name, statement in _ROWS.items():
            table = _filled(db, name, statement)
            _check_ids(name, table)
            rows[name] = table.num_rows
            files.append(_put(table, out / f"{name}.{asked.form}", asked.form))
        return Report(out, rows, *_missing(db), files=files)


def _chosen(store: Store, cohort: str) -> pa.Table:
    """The series that are written: of a cohort those that are included and still there."""
    ids = store.read("series", ["series_id", "SeriesInstanceUID"])
    if not cohort:
        return ids.select(["series_id"])
    name, number = _numbered(cohort)
    version = keeping.read(store.path, name, number)
    rows = keeping.rows(store.path, version, ["SeriesInstanceUID", "state"])
    kept = {row["SeriesInstanceUID"] for row in rows.to_pylist() if row["state"] == "included"}
    mask = pa.array([uid in kept for uid in ids.column("SeriesInstanceUID").to_pylist()])
    return ids.filter(mask).select(["series_id"])


def _numbered(cohort: str) -> tuple[str, int | None]:
    name, _, number = cohort.partition("@")
    return name, int(number) if number.isdecimal() else None


def _salt(pseudonyms: str, settings: Settings) -> str:
    """What ids are made with: nobody without the key can tell whose they are."""
    if not pseudonyms:
        return hashlib.sha256(b"identified").hexdigest()
    return Keyed(settings.pseudonyms[pseudonyms].key()).digest("omop").hex()


def _people(db: Any, pseudonyms: str, settings: Settings) -> None:
    """Make the tables `people` and `uids`: patients and UIDs as they go out."""
    patients = db.sql(
        'select patient_key, mode("PatientID") as "PatientID", mode("IssuerOfPatientID") as issuer,'
        ' mode("PatientSex") as sex, mode("PatientBirthDate") as birth from series '
        "semi join chosen using (series_id) group by 1 order by 1"
    ).to_arrow_table()
    uids = db.sql(
        'select distinct unnest(["StudyInstanceUID", "SeriesInstanceUID"]) as sent from series '
        "semi join chosen using (series_id)"
    ).to_arrow_table()
    with _namer(pseudonyms, settings) as namer:
        rows = [row for block in _blocks(patients.to_pylist()) for row in namer.people(block)]
        sent = uids.column("sent").to_pylist()
        made = {"sent": sent, "uid": [namer.uid(uid) for uid in sent]}
    db.register("people", pa.Table.from_pylist(rows, _PEOPLE))
    db.register("uids", pa.table(made, pa.schema([("sent", pa.string()), ("uid", pa.string())])))


_PEOPLE = pa.schema(
    [
        ("patient_key", pa.int64()), ("person_id", pa.int64()), ("source", pa.string()),
        ("sex", pa.string()), ("year_of_birth", pa.int64()), ("month_of_birth", pa.int64()),
        ("day_of_birth", pa.int64()), ("days", pa.int32()), ("years", pa.bool_()),
        ("identified", pa.bool_()),
    ]
)  # fmt: skip


def _blocks(rows: list[Any]) -> Iterator[list[Any]]:
    for first in range(0, len(rows), _BLOCK):
        yield rows[first : first + _BLOCK]


class _Identified:
    """People as they are, for who may have them."""

    def people(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of `people`."""
        found = []
        for row in rows:
            name = "|".join(filter(None, [row["issuer"], row["PatientID"]]))
            said = name or f"study {row['patient_key']}"
            birth = row["birth"]
            more = {"month_of_birth": birth.month, "day_of_birth": birth.day} if birth else {}
            found.append(
                {**_person(row, said, said), **more, "days": 0, "years": False, "identified": True}
            )
        return found

    def uid(self, uid: str) -> str:
        """The UID itself."""
        return uid


class _Pseudonymous:
    """People by pseudonyms, with moved dates; of their birth the year alone."""

    def __init__(self, name: str, settings: Settings) -> None:
        told = settings.pseudonyms[name]
        self.given, self._keyed, self._told = pseudonyms_of(name, told), Keyed(told.key()), told

    def people(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of `people`."""
        originals = [(_SITE.patient_system(row["issuer"] or ""), _own(row)) for row in rows]
        names = self.given.of(PATIENT, originals)
        salt = self._keyed.digest("omop").hex()
        years = self._told.dates == "year"
        return [
            {
                **_person(row, names[original], f"{salt}{names[original]}"),
                "days": 0 if years else self._keyed.days(row["patient_key"], self._told.days),
                "years": years,
                "identified": False,
            }
            for row, original in zip(rows, originals, strict=True)
        ]

    def uid(self, uid: str) -> str:
        """The UID in its place."""
        return self._keyed.uid(uid)


_SITE = Site(b"")


def _own(row: dict[str, Any]) -> str:
    return row["PatientID"] or f"study {row['patient_key']}"


def _person(row: dict[str, Any], source: str, said: str) -> dict[str, Any]:
    number = int.from_bytes(hashlib.sha256(f"person\0{said}".encode()).digest()[:8], "big") >> 2
    birth = row["birth"]
    return {
        "patient_key": row["patient_key"], "person_id": number, "source": source,
        "sex": row["sex"], "year_of_birth": birth.year if birth else None,
        "month_of_birth": None, "day_of_birth": None,
    }  # fmt: skip


@contextmanager
def _namer(pseudonyms: str, settings: Settings) -> Iterator[_Identified | _Pseudonymous]:
    if not pseudonyms:
        yield _Identified()
        return
    made = _Pseudonymous(pseudonyms, settings)
    try:
        yield made
    finally:
        made.given.close()


# Codes and rows


def _codes(db: Any) -> None:
    """Make the tables `sites`, of regions that headers name, and `codes`, of all that occur."""
    parts = db.sql('select distinct "BodyPartExamined" from img').fetchall()
    known = {part: regions_of_term(part) for (part,) in parts if part}
    sites = {part: f"SCT:{codes[0]}" for part, codes in known.items() if len(codes) == 1}
    table = {"part": list(sites), "site": list(sites.values())}
    db.register("sites", pa.table(table, pa.schema([("part", pa.string()), ("site", pa.string())])))
    db.execute(
        f"""
        create or replace temp table codes as
        select distinct code from (
            select unnest(['{_TYPE}', '{_MEASUREMENT}', '{_OBSERVATION}', 'Gender:M', 'Gender:F',
                'Type:Algorithm']) as code
            union all select 'DCM:' || "Modality" from img where "Modality" is not null
            union all select site from sites
            union all select unnest([concept, value, site, finding, 'UCUM:' || unit])
            from features)
        where code is not null"""
    )


def _concept(code: str, column: str = "concept_id") -> str:
    """SQL of the concept of a code; 0 for one that is not known."""
    return f"coalesce((select {column} from concepts k where k.code = {code}), 0)"


_EVENT = """
select event_id as {table}_id, f.person_id, {concept} as {table}_concept_id,
    f.day as {table}_date, f.moment as {table}_datetime, {type} as {table}_type_concept_id,
    number as value_as_number, {value} as value_as_concept_id, {unit} as unit_concept_id,
    f.visit_id as visit_occurrence_id, left(concat_ws(' ', concept, meaning), 50)
    as {table}_source_value, {source} as {table}_source_concept_id, unit as unit_source_value,
    left(concat_ws(' ', value, value_meaning), 50) as value_source_value, {more}
from features f where {where}
"""


def _event(table: str, where: str, more: str) -> str:
    return _EVENT.format(
        table=table, where=where, more=more, concept=_concept("concept"),
        source=_concept("concept", "source_concept_id"), type=_concept(f"'{_TYPE}'"),
        value=_concept("value"), unit=_concept("'UCUM:' || unit"),
    )  # fmt: skip


_SITE_OF = """(select any_value(site) from sites where part = i."BodyPartExamined")"""
_MODALITY = "'DCM:' || i.Modality"
_EVENT_FIELD = f"case when number is null then '{_OBSERVATION}' else '{_MEASUREMENT}' end"
_ROWS = {
    "person": f"""
        select distinct on (person_id) person_id, {_concept("'Gender:' || sex")} as
            gender_concept_id, year_of_birth, month_of_birth, day_of_birth, 0 as race_concept_id,
            0 as ethnicity_concept_id, source as person_source_value, sex as gender_source_value,
            0 as gender_source_concept_id
        from people semi join img using (person_id) order by person_id""",
    "visit_occurrence": f"""
        select visit_id as visit_occurrence_id, any_value(person_id) as person_id,
            0 as visit_concept_id, any_value(visit_day) as visit_start_date,
            any_value(visit_day) as visit_end_date, {_concept(f"'{_TYPE}'")}
            as visit_type_concept_id, 'imaging' as visit_source_value,
            0 as visit_source_concept_id
        from img group by visit_id""",
    "procedure_occurrence": f"""
        select procedure_id as procedure_occurrence_id, any_value(person_id) as person_id,
            0 as procedure_concept_id, any_value(visit_day) as procedure_date,
            {_concept(f"'{_TYPE}'")} as procedure_type_concept_id,
            any_value(visit_id) as visit_occurrence_id, left(any_value(description), 50)
            as procedure_source_value, 0 as procedure_source_concept_id
        from img group by procedure_id""",
    "image_occurrence": f"""
        select image_id as image_occurrence_id, person_id, procedure_id as procedure_occurrence_id,
            visit_id as visit_occurrence_id, {_concept(_SITE_OF)} as anatomic_site_concept_id,
            day as image_occurrence_date, study_uid as "image_study_UID",
            series_uid as "image_series_UID", {_concept(_MODALITY)}
            as modality_concept_id
        from img i""",
    "image_feature": f"""
        select feature_id as image_feature_id, person_id, image_id as image_occurrence_id,
            {_concept(_EVENT_FIELD)} as image_feature_event_field_concept_id,
            event_id as image_feature_event_id, {_concept("concept")} as image_feature_concept_id,
            {_concept(f"case when kind = 'annotation' then 'Type:Algorithm' else '{_TYPE}' end")}
            as image_feature_type_concept_id, {_concept("finding")} as image_finding_concept_id,
            finding_id as image_finding_id, {_concept("site")} as anatomic_site_concept_id,
            system as alg_system, moment as alg_datetime
        from features""",
    "measurement": _event(
        "measurement", "number is not null",
        f"""feature_id as measurement_event_id, {_concept("'CDM:image_feature.image_feature_id'")}
        as meas_event_field_concept_id""",
    ),
    "observation": _event(
        "observation", "number is null",
        f"""coalesce(value_meaning, value) as value_as_string, feature_id as observation_event_id,
        {_concept("'CDM:image_feature.image_feature_id'")} as obs_event_field_concept_id""",
    ),
    "source_codes": """
        select 'image_occurrence' as table_name, image_id as row_id, 'modality' as field,
            'DCM:' || "Modality" as source_value, "Modality" as source_description
        from img where "Modality" is not null
        union all
        select 'image_occurrence', image_id, 'anatomic_site', site, part from img
        join sites on part = "BodyPartExamined"
        union all
        select 'image_feature', feature_id, 'image_feature', concept, meaning from features
        union all
        select 'image_feature', feature_id, 'anatomic_site', site, site_meaning from features
        where site is not null
        union all
        select 'image_feature', feature_id, 'image_finding', finding, null from features
        where finding is not null""",
}  # fmt: skip


def _filled(db: Any, name: str, statement: str) -> pa.Table:
    """Rows with all columns of a table, in order; columns that nothing is known for are empty."""
    found = db.sql(statement).to_arrow_table()
    schema = TABLES[name]
    columns = [
        found.column(one.name).cast(one.type)
        if one.name in found.column_names
        else pa.nulls(found.num_rows, one.type)
        for one in schema
    ]
    made = pa.Table.from_arrays(columns, schema=schema)
    keys = [schema.names[0]] if name != "source_codes" else schema.names[:3]
    return made.sort_by([(key, "ascending") for key in keys])


def _check_ids(name: str, table: pa.Table) -> None:
    """UsageError when two rows got one number, which 62 bits make all but impossible."""
    if name != "source_codes":
        numbers = table.column(0)
        if len(numbers.unique()) != len(numbers):
            raise UsageError(f"Two rows of {name} have one id. Report this as a fault.")


def _put(table: pa.Table, path: Path, form: str) -> Path:
    part = path.with_name(f".{path.name}.part")
    if form == "parquet":
        pq.write_table(table, part, compression="zstd")
    else:
        pcsv.write_csv(table, part)
    part.replace(path)
    return path


def _missing(db: Any) -> tuple[int, int, int, int]:
    ((without_day,),) = db.execute(
        "select count(*) from chosen anti join img using (series_id)"
    ).fetchall()
    ((birth,),) = db.execute(
        "select count(*) from people semi join img using (person_id) where year_of_birth is null"
    ).fetchall()
    ((unmapped, codes),) = db.execute(
        "select count(*) filter (concept_id = 0), count(*) from concepts"
    ).fetchall()
    return int(without_day), int(birth), int(unmapped), int(codes)
