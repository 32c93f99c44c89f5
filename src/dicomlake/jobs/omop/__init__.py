"""The lake as tables of OMOP with its Medical Imaging extension.

columns      the tables and their columns
people       patients and UIDs as they go out
statements   SQL of the rows of series and what is inside of them
facts        SQL of the rows of clinical facts and documents
concepts     concept ids from the vocabulary files of a person
writing      rows into files

Values stand in `measurement` and `observation`; an `image_feature` says which of them was seen in
which `image_occurrence`, which is a series. Numbers of rows are the same in every run.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.contracts import Progress, Silent
from dicomlake.errors import UsageError
from dicomlake.jobs.cohorts import keeping
from dicomlake.jobs.datasets.histories import SCHEMES
from dicomlake.jobs.omop import concepts, facts, people, statements, writing
from dicomlake.jobs.omop.columns import TABLES
from dicomlake.jobs.omop.writing import FORMS, Watched
from dicomlake.lake import Store
from dicomlake.lake.database import connect, literal
from dicomlake.lake.linking import LINKS, keep_links
from dicomlake.lake.store import WORK
from dicomlake.settings import Settings
from dicomlake.terms.bodyparts.places import regions_of_term

MEMORY = "1GB"
_READ = ("series", "segments", "annotations", "enrichments", "items", "dose_events",
         "clinical_events", "documents")  # fmt: skip

__all__ = ["FORMS", "MEMORY", "TABLES", "Asked", "Report", "write"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is written, and how.

    `pseudonyms`: a name in the settings, "" writes identities; `notes`: texts of documents, too;
    `year_of_birth`: for those of whom nobody says one; `wado`: address of the DICOMweb service that
    has the series.
    """

    form: str = "csv"
    cohort: str = ""
    vocabulary: Path | None = None
    pseudonyms: str = ""
    notes: bool = False
    year_of_birth: int | None = None
    wado: str = ""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f"{self.form!r} is no format. Use one of {', '.join(FORMS)}.")
        if self.notes and self.pseudonyms:
            raise UsageError("Texts of notes say who people are: write them identified, or leave "
                             "them out.")  # fmt: skip
        if self.year_of_birth is not None and not 1850 <= self.year_of_birth <= 2100:
            raise UsageError(f"{self.year_of_birth} is no year that anybody here was born in.")


@dataclass(frozen=True, slots=True)
class Report:
    """What was written: rows by table, and what was left out or could not be mapped, in numbers.

    `without_day`: series; `without_birth`: persons, with all that is known of them; `undated` and
    `unlinked`: clinical facts without a day, and of nobody who is written.
    """

    folder: Path
    rows: dict[str, int]
    without_day: int = 0
    without_birth: int = 0
    undated: int = 0
    unlinked: int = 0
    unmapped: int = 0
    codes: int = 0
    files: list[Path] = field(default_factory=list)


def write(
    store: Store, out: Path, asked: Asked, settings: Settings, progress: Progress | None = None
) -> Report:
    """Write the tables of OMOP into a folder; the same lake gives the same files.

    UsageError where there is no such cohort, pseudonym or vocabulary; Cancelled when `progress`
    says so.
    """
    progress = progress or Silent()
    work = store.path / WORK
    work.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="omop-", dir=work) as spill,
        connect(memory=MEMORY, spill=Path(spill)) as db,
        Watched(db, progress) as watched,
    ):
        store.show_current(db, _READ)
        lost = _prepare(db, store, asked, settings, watched)
        out.mkdir(parents=True, exist_ok=True)
        rows, files = {}, []
        for name, statement in _statements(asked).items():
            path = out / f"{name}.{asked.form}"
            rows[name] = writing.put(db, name, statement, path, watched)
            files.append(path)
        return Report(out, rows, without_birth=lost, files=files, **_missing(db))


def _prepare(db: Any, store: Store, asked: Asked, settings: Settings, watched: Watched) -> int:
    """Make the tables that rows are made of; how many patients have no year of birth."""
    watched.stage("patients")
    db.register("chosen_ids", _chosen(store, asked.cohort))
    db.execute("create table chosen as from chosen_ids")
    db.register("schemes", pa.table({"scheme": SCHEMES}))
    _link(db)
    lost = people.load(
        db, asked.pseudonyms, settings, whole=not asked.cohort, year=asked.year_of_birth,
        check=watched.check,
    )  # fmt: skip
    salt = people.salt_of(asked.pseudonyms, settings)
    db.execute(f"create macro salt() as {literal(salt)}")
    wado = literal(asked.wado.rstrip("/")) if asked.wado else "null::varchar"
    db.execute(f"create macro wado() as {wado}")
    for stage, listed in (
        ("series", (statements.IMAGES,)),
        ("contents", (statements.FEATURES,)),
        ("facts", (facts.FACTS, facts.STAYS)),
    ):
        watched.stage(stage)
        for statement in listed:
            db.execute(statement)
            watched.check()
    watched.stage("concepts")
    _codes(db, asked.notes)
    concepts.load(db, asked.vocabulary)
    for name, code in statements.CONSTANTS.items():
        ((number,),) = db.execute(
            "select coalesce(max(concept_id), 0) from concepts where code = ?", [code]
        ).fetchall()
        db.execute(f"create macro {name}() as {number}::bigint")
    return lost


def _chosen(store: Store, cohort: str) -> pa.Table:
    """The series that are written: of a cohort those that are included and still there."""
    ids = store.read("series", ["series_id", "SeriesInstanceUID"])
    if not cohort:
        return ids.select(["series_id"])
    name, number = _numbered(cohort)
    version = keeping.read(store.path, name, number)
    rows = keeping.rows(store.path, version, ["SeriesInstanceUID", "state"])
    kept = rows.filter(pc.equal(rows["state"], "included"))["SeriesInstanceUID"].combine_chunks()
    return ids.filter(pc.is_in(ids["SeriesInstanceUID"], kept)).select(["series_id"])


def _numbered(cohort: str) -> tuple[str, int | None]:
    name, _, number = cohort.partition("@")
    return name, int(number) if number.isdecimal() else None


def _link(db: Any) -> None:
    """Views of facts and documents with the patients of the lake, each row once."""
    keep_links(db)
    db.execute(
        f"create or replace table {LINKS} as select * from {LINKS} qualify row_number() over "
        "(partition by whose, name, patient, reference order by study_key) = 1"
    )


def _codes(db: Any, notes: bool) -> None:
    """Make the tables `sites`, of regions that headers name, and `codes`, of all that occur."""
    parts = db.sql('select distinct "BodyPartExamined" from img').fetchall()
    known = {part: regions_of_term(part) for (part,) in parts if part}
    sites = {part: f"SCT:{codes[0]}" for part, codes in known.items() if len(codes) == 1}
    table = {"part": list(sites), "site": list(sites.values())}
    db.register("sites", pa.table(table, pa.schema([("part", pa.string()), ("site", pa.string())])))
    texts = "union select type from linked_documents" if notes else ""
    constants = ", ".join(map(literal, statements.CONSTANTS.values()))
    db.execute(
        f"create table codes as select code from ({statements.CODES} union {facts.CODES} {texts} "
        f"union select 'Gender:' || sex from people union select unnest([{constants}])) "
        "where code is not null"
    )


def _statements(asked: Asked) -> dict[str, str]:
    """SQL of the rows of every table that is written, in the order of the model."""
    sources = {**{name: [one] for name, one in statements.ROWS.items()}}
    for name, one in facts.ROWS.items():
        sources.setdefault(name, []).append(one)
    sources["observation_period"] = [_PERIODS]
    if asked.notes:
        sources["note"] = [facts.NOTES]
    return {name: " union all by name ".join(f"({one})" for one in sources[name])
            for name in TABLES if name in sources}  # fmt: skip


_PERIODS = f"""
select {statements.id_of("observation_period", "person_id")} as observation_period_id, person_id,
    min(day) as observation_period_start_date, max(till) as observation_period_end_date,
    type_of_record() as period_type_concept_id
from (select person_id, visit_day as day, greatest(day, visit_day) as till from img union all
    select person_id, day, greatest(day, coalesce(last_day, day)) from facts)
group by person_id
"""
"""From the first day to the last one on which anything is known of a person."""


def _missing(db: Any) -> dict[str, int]:
    """What was left out, in numbers."""

    def counted(statement: str) -> int:
        return int(db.execute(statement).fetchall()[0][0])

    return {
        "without_day": counted(
            "select count(*) from series semi join chosen using (series_id) semi join people using "
            "(patient_key) anti join img using (series_id)"
        ),
        "undated": counted(
            "select count(*) from linked_clinical_events semi join people using (patient_key) "
            "where kind <> 'patient' and started is null"
        ),
        "unlinked": counted(
            "select count(*) from linked_clinical_events f where kind <> 'patient' and not exists "
            "(select 1 from patients p where p.patient_key = f.patient_key)"
        ),
        "unmapped": counted("select count(*) from concepts where concept_id = 0"),
        "codes": counted("select count(*) from concepts"),
    }
