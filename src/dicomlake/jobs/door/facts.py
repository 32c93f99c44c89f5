"""Clinical facts and documents behind the door: what stays of them, and how.

Codes, numbers and moved dates stay, under the pseudonyms of the images of their patients. Nothing
that was written freely does: texts, titles, identifiers, encounters, what a source calls itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow as pa

from dicomlake.jobs.door.cleaning import Cleaning
from dicomlake.lake.database import literal
from dicomlake.readers.batch import key_of
from dicomlake.terms import units

SCHEMES = ("SCT", "LN", "I10", "I10C", "I10GM", "I10P", "I9C", "OPS", "CCAM", "ATC", "RXNORM")
"""Schemes whose meanings were not written by somebody in a hospital."""
KINDS = ("condition", "procedure", "observation", "medication", "encounter")
"""Kinds of facts that stay; those of kind patient tell when somebody was born."""
_STATUSES = """active recurrence relapse inactive remission resolved preparation in-progress
    not-done on-hold stopped completed unknown registered preliminary final amended corrected
    cancelled draft planned arrived triaged onleave finished current superseded intended partial
    appended f p c r x s i o""".split()
_CODE = r"[!-?A-Z\[\]_a-z|~]{1,100}"
"""Of a code as questions ask for it: no space, no ^ as in names, no @ as in addresses."""
_UNIT = r"[^{}]*(\{[a-z0-9.#]{1,12}\}[^{}]*)*"
"""Of a unit: what stands in braces may say anything, but for a short word."""
_DAY_US = 86_400_000_000


def moved(column: str, days: str, precision: str = "null::varchar") -> str:
    """SQL of a moment moved by days.

    Where the year or the month alone is known, so it is afterwards: its first day, moved, would
    tell by how much.
    """
    by = f"to_microseconds({days} * {_DAY_US})"
    return (
        f"case {precision} "
        f"when 'year' then date_trunc('year', {column} + to_days(181) + {by}) "
        f"when 'month' then date_trunc('month', {column} + to_days(14) + {by}) "
        f"else {column} + {by} end"
    )


def meant(code: str, meaning: str, words: str = "[]::varchar[]") -> str:
    """SQL of the meaning of a code, null where somebody in a hospital may have written it.

    `words`: a list of what tells of the patient.
    """
    told = f"list_bool_or(list_transform({words}, lambda w: contains(lower({meaning}), w)))"
    known = ", ".join(map(literal, SCHEMES))
    return (
        f"case when split_part({code}, ':', 1) in ({known}) and not coalesce({told}, false) "
        f"then {meaning} end"
    )


def persons(
    db: duckdb.DuckDBPyConnection,
    cleaning: Cleaning,
    found: Iterable[tuple[int, str, str]],
    name: str = "persons",
) -> None:
    """A table of what people become: `original` (patient_key), and what is said of each then.

    `found`: patient_key, PatientID and issuer.
    """
    rows: dict[str, list[object]] = {"original": [], "patient": [], "pseudonym": [], "days": []}
    for key, PatientID, issuer in found:
        pseudonym, days = cleaning.person(PatientID, issuer)
        for column, value in zip(
            rows, (key, key_of("patient", "", pseudonym), pseudonym, days), strict=True
        ):
            rows[column].append(value)
    kinds = (pa.int64(), pa.int64(), pa.string(), pa.int64())
    columns = [pa.array(rows[n], kind) for n, kind in zip(rows, kinds, strict=True)]
    register(db, name, pa.table(columns, names=list(rows)))


def register(db: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Make a table of rows."""
    db.register("given", rows)
    db.execute(f"create or replace table {name} as select * from given")
    db.unregister("given")


def harmless_units(db: duckdb.DuckDBPyConnection, source: str) -> None:
    """The table `harmless_units`: the units of facts that are units and say nothing else."""
    rows = db.sql(
        f"select unit from {source} where unit is not null union "
        f"select quantity_unit from {source} where quantity_unit is not null"
    ).fetchall()
    known = [unit for (unit,) in rows if units.ucum(unit)]
    register(db, "all_units", pa.table({"unit": pa.array(known, pa.string())}))
    db.execute(
        "create or replace table harmless_units as select unit from all_units "
        f"where regexp_full_match(unit, {literal(_UNIT)})"
    )


def columns(name: str, dates: str, words: str = "[]::varchar[]") -> Mapping[str, str]:
    """SQL of the columns of a table that become others, of rows `c` of people `p`.

    `dates`: what becomes of dates, as a cleaner says; `words`: as of `meant`.
    """
    made = {
        "patient_key": "p.patient",
        "PatientID": "p.pseudonym",
        "IssuerOfPatientID": "null::varchar",
        "encounter": "null::varchar",
        "origin": "null::varchar",
        "status": f"case when lower(c.status) in ({_listed(_STATUSES)}) then c.status end",
    }
    if name == "documents":
        made |= dict.fromkeys(
            ("title", "text", "affirmed", "negated", "uncertain"), "null::varchar"
        )
        made |= {
            "sections": "null",
            **_coded("type", words),
            "language": "case when regexp_full_match(c.language, '[A-Za-z]{2,3}(-[A-Za-z]{2})?') "
            "then c.language end",
            "written": _when("c.written", "null::varchar", dates),
        }
        return made
    spoken = f"(c.kind <> 'encounter' or split_part(c.code, ':', 1) in ({_listed(SCHEMES)}))"
    made |= {
        "kind": f"case when c.kind in ({_listed(KINDS)}) then c.kind end",
        "text": "null::varchar",
        **{
            column: f"case when {spoken} then {said} end"
            for column, said in _coded("code", words).items()
        },
        "codes": f"case when {spoken} then list_filter(c.codes, lambda x: {_fits('x')}) end",
        **_coded("value", words),
        "unit": "case when c.unit in (from harmless_units) then c.unit end",
        "quantity_unit": "case when c.quantity_unit in (from harmless_units) "
        "then c.quantity_unit end",
        "site": f"case when {_fits('c.site')} then c.site end",
        "laterality": f"case when {_fits('c.laterality')} then c.laterality end",
        "started": _when("c.started", "c.precision", dates),
        "ended": _when("c.ended", "c.precision", dates),
        "precision": {"removed": "null::varchar", "years": "case when c.started is not null "
                      "then 'year' end"}.get(dates, "case when c.started is not null "
                      "then c.precision end"),
    }  # fmt: skip
    return made


def stays(name: str) -> str:
    """SQL condition on the rows `c` that stay of a table."""
    return "true" if name == "documents" else "coalesce(c.kind, '') <> 'patient'"


def _coded(name: str, words: str) -> dict[str, str]:
    fits = _fits(f"c.{name}")
    return {
        name: f"case when {fits} then c.{name} end",
        f"{name}_value": f"case when {fits} then c.{name}_value end",
        f"{name}_scheme": f"case when {fits} then c.{name}_scheme end",
        f"{name}_meaning": meant(f"c.{name}", f"c.{name}_meaning", words),
    }


def _fits(code: str) -> str:
    return f"regexp_full_match({code}, {literal(_CODE)})"


def _when(column: str, precision: str, dates: str) -> str:
    if dates == "removed":
        return "null::timestamptz"
    if dates == "years":
        return f"date_trunc('year', {column})"
    return column if dates == "kept" else moved(column, "p.days", precision)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(map(literal, words))
