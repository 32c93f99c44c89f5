"""Tables of the OMOP Common Data Model (5.3, 5.4) as CSV files, by their names.

Facts carry the standard concept, with that of the source in `codes`. With the table `concept` codes
are those of its vocabularies, and behind them in `codes` stand the numbers of the concepts, of the
scheme OMOP; without it there are these alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from dicomlake.errors import DataError
from dicomlake.jobs.clinical.codes import OMOP, asked, scheme_of
from dicomlake.jobs.clinical.formats.sheets import (
    Layout,
    Projection,
    Sheets,
    blocks,
    known,
    layout_of,
    opened,
)
from dicomlake.jobs.clinical.moments import moment
from dicomlake.jobs.clinical.reports import stage_document
from dicomlake.jobs.clinical.staging import Part
from dicomlake.lake.database import literal

CONCEPT = "concept"
_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class _Table:
    """How rows of a table name what they are about."""

    kind: str
    about: str
    start: str
    end: str = ""
    number: str = ""
    unit: str = ""


_DONE = {
    "condition_occurrence": _Table("condition", "condition", "condition_start", "condition_end"),
    "procedure_occurrence": _Table("procedure", "procedure", "procedure", "procedure_end"),
    "measurement": _Table("observation", "measurement", "measurement", "", "value_as_number",
                          "unit"),
    "observation": _Table("observation", "observation", "observation", "", "value_as_number",
                          "unit"),
    "drug_exposure": _Table("medication", "drug", "drug_exposure_start", "drug_exposure_end",
                            "quantity", "dose_unit"),
    "visit_occurrence": _Table("encounter", "visit", "visit_start", "visit_end"),
}  # fmt: skip
TABLES = frozenset([*_DONE, "person", "note", CONCEPT])
"""Tables that are read."""


_OTHERS = frozenset(
    """care_site cdm_source cohort cohort_definition concept_ancestor concept_class
    concept_relationship concept_synonym condition_era cost death device_exposure domain dose_era
    drug_era drug_strength episode episode_event fact_relationship image_feature image_occurrence
    location metadata note_nlp observation_period payer_plan_period provider relationship
    source_to_concept_map specimen visit_detail vocabulary""".split()
)
SOURCE = "cdm_source"
"""The table that says of when an export is."""


def passed_over(path: Path) -> bool:
    """Whether a file has the name of a table of OMOP that has no facts."""
    return _plain_name(path) in _OTHERS


def released(path: Path) -> datetime | None:
    """Of when an export is, as its table cdm_source says; None where it does not."""
    if _plain_name(path) != SOURCE:
        return None
    try:
        layout = layout_of(path)
        with opened(path) as file:
            text = file.read(_HEAD).decode(layout.encoding, "replace")
    except (DataError, OSError, EOFError):
        return None
    rows = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), delimiter=layout.separator)
    found = []
    for row in rows:
        said = {str(k).strip().lower(): str(v or "") for k, v in row.items()}
        days = (said.get(name, "") for name in ("source_release_date", "cdm_release_date"))
        found += [one[0] for day in days if (one := moment(day))][:1]
    return max(found, default=None)


def table_of_name(path: Path) -> str:
    """The table of a file by its name, "" for none.

    >>> table_of_name(Path("OMOP/CONDITION_OCCURRENCE.csv.gz")), table_of_name(Path("a.csv"))
    ('condition_occurrence', '')
    """
    stem = _plain_name(path)
    return stem if stem in TABLES else ""


def _plain_name(path: Path) -> str:
    stem, _, suffix = path.name.lower().removesuffix(".gz").rpartition(".")
    return stem if suffix in ("csv", "tsv", "txt") else ""


def is_omop(path: Path) -> bool:
    """Whether a file has a name and the columns of a table of OMOP."""
    name = table_of_name(path)
    if not name:
        return False
    columns = {column.lower() for column in layout_of(path).columns}
    return {"concept_id" if name == CONCEPT else "person_id"} <= columns


class Omop:
    """Reads tables of one export; concepts first, where there are any."""

    def __init__(self, issuer: str, spill: Path, check: Callable[[int], None]) -> None:
        self._issuer, self._check = issuer, check
        self.released: datetime | None = None
        """Of when the export is."""
        self._sheets = Sheets(spill)
        self._sheets.db.execute(
            "create table concepts (id__ bigint primary key, code__ text, value__ text, "
            "scheme__ text, meaning__ text)"
        )

    def close(self) -> None:
        """Let go of the memory."""
        self._sheets.close()

    def concepts(self, path: Path, part: Part) -> None:
        """Take the codes of the table `concept`."""
        layout = layout_of(path)
        at = {name.lower(): name for name in layout.columns}
        needed = ("concept_id", "concept_code", "vocabulary_id", "concept_name")
        if missing := [name for name in needed if name not in at]:
            raise DataError(f"the table concept has no column {missing[0]}")
        for rows, _ in blocks(path, layout, part):
            id_, code, vocabulary, name = (rows.column(at[n]) for n in needed)
            schemes = [scheme_of(v or "") for v in vocabulary.to_pylist()]
            values = code.to_pylist()
            made = [asked(v, s) if v and s else None for v, s in zip(values, schemes, strict=True)]
            columns = [id_, pa.array(made, pa.string()), code, pa.array(schemes, pa.string()), name]
            given = pa.table(columns, ["id", "code", "value", "scheme", "meaning"])
            self._sheets.db.register("given", given)
            self._sheets.db.execute(
                "insert or ignore into concepts select try_cast(id as bigint), code, value, "
                "scheme, meaning from given where try_cast(id as bigint) > 0"
            )
            self._sheets.db.unregister("given")
            self._check(rows.num_rows)

    def read(self, path: Path, part: Part) -> None:
        """Stage the rows of a table."""
        name, layout = table_of_name(path), layout_of(path)
        if name == CONCEPT:
            return
        if name == "note":
            self._notes(path, layout, part)
        elif name == "person":
            self._sheets.stage(path, layout, self._people(layout), part, self._check)
        else:
            self._sheets.stage(path, layout, [self._rows(name, layout)], part, self._check)

    def _people(self, layout: Layout) -> list[Projection]:
        def column(name: str) -> str:
            return known(layout.columns, name)

        issuer = literal(self._issuer) if self._issuer else "null::text"
        updated = self._updated()
        patient = f"coalesce({column('person_source_value')}, {column('person_id')})"
        born = (
            f"coalesce({column('birth_datetime')}, {column('year_of_birth')} || "
            f"coalesce('-' || lpad({column('month_of_birth')}, 2, '0') || "
            f"coalesce('-' || lpad({column('day_of_birth')}, 2, '0'), ''), ''))"
        )
        needs = ((f"{column('person_id')} is not null", "person_id is missing"),)
        return [
            Projection("people", {
                "ref": f"'person/' || {column('person_id')}",
                "PatientID": patient,
                "IssuerOfPatientID": issuer,
            }, needs),
            Projection("clinical_events", {
                "PatientID": patient,
                "IssuerOfPatientID": issuer,
                "kind": "'patient'",
                "identifier": f"'person/' || {column('person_id')}",
                "origin": f"{literal('person')} || ':' || line__",
                "text": column("gender_source_value"),
                "updated": updated,
                "started": f"moment({born})",
                "precision": f"case when moment({born}) is not null then precision_of({born}) end",
            }, needs),
        ]  # fmt: skip

    def _updated(self) -> str:
        then = "null" if self.released is None else f"'{self.released.isoformat()}'"
        return f"{then}::timestamptz"

    def _rows(self, name: str, layout: Layout) -> Projection:
        table = _DONE[name]

        def column(n: str) -> str:
            return known(layout.columns, n)

        def number_of(n: str) -> str:
            return f"'{OMOP}:' || nullif({column(n)}, '0')"

        joined: dict[str, str] = {}

        def concept(n: str, what: str) -> str:
            joined.setdefault(n, f"c{len(joined)}")
            return f"{joined[n]}.{what}__"

        about = table.about
        standard, own = f"{about}_concept_id", f"{about}_source_concept_id"
        bare = f"nullif({column(standard)}, '0')"
        key = f"{name}_id"
        words = column(f"{about}_source_value")
        start = f"coalesce({column(f'{table.start}_datetime')}, {column(f'{table.start}_date')})"
        end = f"coalesce({column(f'{table.end}_datetime')}, {column(f'{table.end}_date')})"
        columns = {
            "subject": f"'person/' || {column('person_id')}",
            "encounter": column("visit_occurrence_id") if about != "visit" else "null::text",
            "kind": literal(table.kind),
            "identifier": f"'{name}/' || {column(key)}",
            "origin": f"'{name}:' || line__",
            "updated": self._updated(),
            **_code("code", standard, bare, concept),
            "codes": f"list_filter([{concept(standard, 'code')}, {concept(own, 'code')}, "
            f"{number_of(standard)}, {number_of(own)}], lambda x: x is not null)",
            "text": words,
            "started": f"moment({start})",
            "precision": f"case when moment({start}) is not null then precision_of({start}) end",
            "ended": f"moment({end})" if table.end else "null::timestamptz",
        }
        needs = [
            (f"{column('person_id')} is not null", "person_id is missing"),
            (f"{column(key)} is not null", f"{key} is missing"),
            (f"{bare} is not null or {words} is not null", "no concept and no source value"),
            (f"{start} is null or moment({start}) is not null", f"{table.start}_date is no date"),
        ]
        if table.number:
            number, unit = column(table.number), column(f"{table.unit}_source_value")
            columns |= {
                "number": f"try_cast({number} as double)",
                "unit": f"coalesce({concept(f'{table.unit}_concept_id', 'value')}, {unit})",
            }
            needs.append((f"{number} is null or try_cast({number} as double) is not null",
                          f"{table.number} is no number"))  # fmt: skip
        if table.kind == "observation":
            value = "value_as_concept_id"
            columns |= _code("value", value, f"nullif({column(value)}, '0')", concept)
            string = column("value_as_string")
            columns["text"] = f"coalesce({string}, {words})"
            columns["code_meaning"] = (
                f"coalesce({columns['code_meaning']}, case when {string} is not null "
                f"then {words} end)"
            )
        joins = " ".join(
            f"left join concepts {alias} on {alias}.id__ = try_cast({column(n)} as bigint)"
            for n, alias in joined.items()
        )
        return Projection("clinical_events", columns, tuple(needs), joins=joins)

    def _notes(self, path: Path, layout: Layout, part: Part) -> None:
        at = {name.lower(): name for name in layout.columns}

        def texts(rows: pa.Table, name: str) -> list[str | None]:
            there = name in at
            return list(rows.column(at[name]).to_pylist()) if there else [None] * rows.num_rows

        names = ("note_id", "person_id", "note_text", "note_title", "note_datetime", "note_date")
        for rows, line in blocks(path, layout, part):
            listed = zip(*(texts(rows, name) for name in names), strict=True)
            for number, (id_, person, text, title, then, day) in enumerate(listed, line):
                if not (id_ and person and text):
                    part.fail(str(number), "note_id, person_id or note_text is missing")
                    continue
                stage_document(
                    part, text, subject=f"person/{person}", identifier=f"note/{id_}",
                    origin=f"note:{number}", title=title, written=then or day or "",
                    updated=self.released,
                )  # fmt: skip
            self._check(rows.num_rows)


def _code(name: str, column: str, bare: str, concept: Callable[[str, str], str]) -> dict[str, str]:
    """The columns of a concept: of its vocabulary where it is known."""
    there = f"{concept(column, 'code')}"
    return {
        name: f"coalesce({there}, '{OMOP}:' || {bare})",
        f"{name}_value": f"coalesce({concept(column, 'value')}, {bare})",
        f"{name}_scheme": f"coalesce({concept(column, 'scheme')}, case when {bare} is not null "
        f"then '{OMOP}' end)",
        f"{name}_meaning": concept(column, "meaning"),
    }
