"""The facts and documents of a view, which follow those of its lake.

Whose they are is found in the lake, where accession numbers and issuers are still there. In the
view they carry what the images of the same patient and study carry: questions find the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.jobs.door.cleaning import Cleaning, Door
from dicomlake.jobs.door.facts import columns, harmless_units, persons, register, stays
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.database import connect, literal
from dicomlake.lake.files import order_by
from dicomlake.lake.linking import linked, links
from dicomlake.lake.store import WORK

SOURCE = "view"
"""Name of the source of all that a view holds."""
FORM = 1
"""Of what is made of facts: those that were made in another form are made again."""
_MEMORY = "1GB"
_ONE_EACH = (
    "create table known as select whose, name, patient, reference, min(patient_key) as "
    "patient_key, min(study_key) as study_key from ({}) group by all"
)
_NAMED = """
select patient_key, any_value("PatientID"), any_value(coalesce("IssuerOfPatientID", ''))
from (
    select patient_key, "PatientID", "IssuerOfPatientID" from series union
    select patient_key, "PatientID", "IssuerOfPatientID" from clinical_events union
    select patient_key, "PatientID", "IssuerOfPatientID" from documents
)
where "PatientID" is not null and patient_key in (select patient_key from wanted)
group by patient_key
"""
_WORDS = """
create table persons as
select n.*, coalesce(w.words, []) as words from named n left join (
    select patient_key,
        list_distinct(list_filter(flatten(list(said)), lambda w: length(w) > 2)) as words
    from (
        select distinct patient_key,
            string_split_regex(
                lower(concat_ws(' ', "PatientName", "PatientID")), '[\\^=, ]+'
            ) as said
        from series where patient_key in (select patient_key from wanted)
    ) group by patient_key
) w on w.patient_key = n.original
"""
"""People with the words of their names."""


def follow(lake: Store, view: Store, door: Door, was: str, progress: Progress | None = None) -> str:
    """Bring facts and documents of a view up to date; what to give as `was` the next time."""
    work = view.path / WORK
    work.mkdir(exist_ok=True)
    with connect(memory=_MEMORY, spill=work) as db:
        mark = _mark(lake, db)
        if mark == was:
            return mark
        cleaning = door.cleaning()
        try:
            with view.lock(), running(view, "facts", {"source": SOURCE}, progress) as run:
                view.refresh()
                _people(db, lake, view, cleaning)
                salt = door.seal.short("the facts of a view")
                for name in tables.CLINICAL:
                    run.counts[name] = _replace(db, view, name, cleaning.dates, salt, run)
                view.touch(run.run_id)
                rebuild(view, progress=run.progress)
        finally:
            cleaning.close()
    return mark


def _mark(lake: Store, db: duckdb.DuckDBPyConnection) -> str:
    """What changes when the facts of a view do: the tables, and whose rows of others they are."""
    for name in ("series", *tables.CLINICAL):
        lake.show(db, name)
    db.execute(_ONE_EACH.format(links()))
    found = db.sql("select count(*), bit_xor(hash(known)) from known").fetchall()[0]
    files = [sorted(file.name for file in lake.files(name)) for name in tables.CLINICAL]
    return "" if not any(files) else repr((FORM, files, found))


def _people(db: duckdb.DuckDBPyConnection, lake: Store, view: Store, cleaning: Cleaning) -> None:
    """Tables of what people and studies become: `persons`, with `words`, and `studies`."""
    for name in tables.CLINICAL:
        db.execute(f"create view whose_{name} as {linked(name, 'known')}")
    db.execute(
        "create table wanted as select patient_key, study_key from whose_clinical_events union "
        "select patient_key, study_key from whose_documents"
    )
    persons(db, cleaning, db.sql(_NAMED).fetchall(), "named")
    db.execute(_WORDS)
    _studies(db, view, cleaning)


def _studies(db: duckdb.DuckDBPyConnection, view: Store, cleaning: Cleaning) -> None:
    known = db.sql(
        'select study_key, any_value("StudyInstanceUID") as uid from series where study_key in '
        "(select study_key from wanted) group by study_key"
    ).fetchall()
    register(db, "renamed", pa.table({
        "study_key": pa.array([key for key, _ in known], pa.int64()),
        "StudyInstanceUID": pa.array([cleaning.uid(uid or "") for _, uid in known], pa.string()),
    }))  # fmt: skip
    names = ["StudyInstanceUID", "AccessionNumber", "PatientID", "patient_key"]
    register(db, "shown", view.read("series", names))
    db.execute(
        'create table studies as select study_key, "StudyInstanceUID", '
        'any_value(nullif("AccessionNumber", \'\')) as "AccessionNumber", '
        'any_value("PatientID") as pseudonym, any_value(patient_key) as patient '
        'from renamed left join shown using ("StudyInstanceUID") group by all'
    )


def _replace(
    db: duckdb.DuckDBPyConnection, view: Store, name: str, dates: str, salt: str, run: Run
) -> int:
    """The rows of a table of a view made anew; how many there are now."""
    if name == "clinical_events":
        harmless_units(db, name)
    first = tables.ALL[name].names[0]
    made: dict[str, str] = {
        **columns(name, dates, "p.words"),
        first: f"(md5_number(concat({literal(salt)}, c.{first})) >> 65)::bigint",
        "patient_key": "coalesce(p.patient, s.patient)",
        "PatientID": "coalesce(p.pseudonym, s.pseudonym)",
        "AccessionNumber": 's."AccessionNumber"',
        "identifier": "null::varchar",
        "updated": "null::timestamptz",
        "source": literal(SOURCE),
        "run_id": literal(run.run_id),
        "imported": f"{literal(datetime.now(UTC).isoformat())}::timestamptz",
    }
    if name == "documents":
        made["StudyInstanceUID"] = (
            'case when c."StudyInstanceUID" is not null then s."StudyInstanceUID" end'
        )
    said = ", ".join(
        f"{made.get(n) or f'c.{_own(n)}'} as {_own(n)}" for n in tables.ALL[name].names
    )
    reader = db.sql(
        f"select * from (select {said} from whose_{name} c left join persons p on "
        "p.original = c.patient_key left join studies s on s.study_key = c.study_key "
        f"where {stays(name)}) where patient_key is not null {order_by(name)}"
    ).to_arrow_reader(100_000)
    count = 0

    def counted() -> Any:
        nonlocal count
        for batch in reader:
            run.check()
            count += batch.num_rows
            yield batch

    old = list(view.files(name))
    view.commit(name, view.write_stream(name, counted()), old)
    return count


def _own(name: str) -> str:
    return f'"{name}"'


__all__ = ["follow"]
