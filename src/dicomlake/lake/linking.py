"""Whose clinical facts and documents are: which patient and which study of the lake they belong to.

One that names a study of the lake, by StudyInstanceUID or AccessionNumber, belongs to that study;
any other to its patient. This is found when the tables are read, so a fact that comes before its
study is linked once the study is there.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

LINKED = {"clinical_events": "linked_clinical_events", "documents": "linked_documents"}
"""The view of each table in which patient_key is that of the lake, with `study_key` besides."""
LINKS = "clinical_links"
_NOBODY = -1
"""What stands for a patient_key that is not known; the others are not negative."""
_NAMES = {
    "clinical_events": ("AccessionNumber",),
    "documents": ("StudyInstanceUID", "AccessionNumber"),
}

# The studies that a name stands for: those of the very patient, or else of one whose PatientID is
# the same where only one of the two has an issuer, or of anybody where none is named. If these are
# of several patients, nobody knows whose it is.
_OF = """
select '{name}' as name, patient, reference, patient_key, study_key from (
    with n as materialized (
        select distinct coalesce(patient_key, {nobody}) as patient, "PatientID",
            "IssuerOfPatientID", "{name}" as reference
        from {before}{table} where "{name}" is not null
    ),
    s as (
        select distinct patient_key, study_key, "PatientID", "IssuerOfPatientID",
            "{name}" as reference
        from {before}series where "{name}" in (select reference from n)
    )
    select n.patient, n.reference, s.patient_key, s.study_key, s.patient_key = n.patient as sure,
        max(s.patient_key) over one = min(s.patient_key) over one as single,
        bool_or(s.patient_key = n.patient) over one as known
    from n join s on s.reference = n.reference
    where s.patient_key = n.patient or n."PatientID" is null or (n."PatientID" = s."PatientID"
        and (n."IssuerOfPatientID" is null or s."IssuerOfPatientID" is null))
    window one as (partition by n.patient, n.reference)
) where sure or (not known and single)
"""


def links(names: Iterable[str] = LINKED, before: str = "") -> str:
    """SQL of which names of studies stand for which patient_key and study_key.

    It reads `series` and the tables of these names, which are called so with `before` in front, and
    has one row per table (`whose`), name and study.
    """
    known = {"before": before, "nobody": _NOBODY}
    return " union ".join(
        f"select '{table}' as whose, * from ({_OF.format(name=name, table=table, **known)})"
        for table in names
        for name in _NAMES[table]
    )


def linked(table: str, known: str = LINKS, source: str = "") -> str:
    """SQL of the rows of a table with the patient_key of the lake and `study_key`.

    `known`: a table with the rows of `links`; `source`: what the table is called. A row that names
    several studies comes once for each.
    """
    joins, found = "", "null"
    for n, name in enumerate(_NAMES[table]):
        asked = f'c."{name}"' if n == 0 else f'case when l0.study_key is null then c."{name}" end'
        joins += (
            f" left join (from {known} where whose = '{table}' and name = '{name}') l{n} "
            f"on l{n}.patient = coalesce(c.patient_key, {_NOBODY}) and l{n}.reference = {asked}"
        )
        found = f"l{n}.{{0}}" if n == 0 else f"coalesce({found}, l{n}.{{0}})"
    patient = f"coalesce({found.format('patient_key')}, c.patient_key)"
    return (
        f"select c.* replace ({patient} as patient_key), {found.format('study_key')} as study_key "
        f"from {source or table} c{joins}"
    )


def show_linked(db: duckdb.DuckDBPyConnection) -> None:
    """Make the views of LINKED; which names stand for which study is found at every question."""
    db.execute(f"create or replace view {LINKS} as {links()}")
    for table, name in LINKED.items():
        db.execute(f"create or replace view {name} as {linked(table)}")


def keep_links(db: duckdb.DuckDBPyConnection) -> None:
    """Make the views of LINKED; which names stand for which study is found now, once."""
    db.execute(f"create or replace table {LINKS} as {links()}")
    for table, name in LINKED.items():
        there = db.sql(f"select 1 from {LINKS} where whose = '{table}' limit 1").fetchall()
        plain = f"select *, null::bigint as study_key from {table}"
        db.execute(f"create or replace view {name} as {linked(table) if there else plain}")
