"""Patients and UIDs as they go out: identified, or by pseudonyms with moved dates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from dicomlake.contracts.pseudonyms import PATIENT
from dicomlake.deid.identity import Keyed
from dicomlake.fhir import Site
from dicomlake.jobs.fhir.pseudonymising import pseudonyms_of
from dicomlake.settings import Settings

_BLOCK = 50_000
_SITE = Site(b"")

_PATIENTS = """
create table patients as
with seen as (
    select patient_key, mode("PatientID") as "PatientID", mode("IssuerOfPatientID") as issuer,
        mode("PatientSex") as sex, mode("PatientBirthDate") as birth,
        min(year("StudyDate") - try_cast(left("PatientAge", 3) as int)
            // case right("PatientAge", 1) when 'Y' then 1 when 'M' then 12 when 'W' then 52
            when 'D' then 365 end) as by_age
    from series semi join chosen using (series_id) group by 1),
told as (
    select patient_key, any_value("PatientID") as "PatientID",
        any_value("IssuerOfPatientID") as issuer,
        arg_max(text, fact_key) filter (kind = 'patient') as sex,
        arg_max(started, fact_key) filter (kind = 'patient') as born,
        arg_max(precision, fact_key) filter (kind = 'patient' and started is not null) as exact
    from linked_clinical_events where patient_key is not null group by 1)
select patient_key, coalesce(s."PatientID", t."PatientID") as "PatientID",
    case when s.patient_key is null then t.issuer else s.issuer end as issuer,
    coalesce(s.sex, case lower(t.sex) when 'male' then 'M' when 'female' then 'F' else t.sex end)
        as sex,
    coalesce(year(birth), year(born), by_age, $year) as year,
    case when birth is not null then month(birth) when exact in ('month', 'day', 'second')
        then month(born) end as month,
    case when birth is not null then day(birth) when exact in ('day', 'second') then day(born) end
        as day, row_number() over (order by patient_key) as n
from seen s {how} join told t using (patient_key)
"""
"""Patients of the series that go out, and with the whole lake those that are known of by facts. The
year of birth is that of the header, of what other systems say, or the year of a study less the age
at it."""

_PEOPLE = pa.schema(
    [
        ("patient_key", pa.int64()), ("person_id", pa.int64()), ("source", pa.string()),
        ("sex", pa.string()), ("year_of_birth", pa.int64()), ("month_of_birth", pa.int64()),
        ("day_of_birth", pa.int64()), ("days", pa.int32()), ("years", pa.bool_()),
        ("identified", pa.bool_()),
    ]
)  # fmt: skip


def salt_of(pseudonyms: str, settings: Settings) -> str:
    """What ids are made with: nobody without the key can tell whose they are."""
    if not pseudonyms:
        return hashlib.sha256(b"identified").hexdigest()
    return Keyed(settings.pseudonyms[pseudonyms].key()).digest("omop").hex()


def load(
    db: Any, pseudonyms: str, settings: Settings, *, whole: bool, year: int | None,
    check: Callable[[], None],
) -> int:  # fmt: skip
    """Make the tables `people` and `uids`; how many patients are left out without a year of birth.

    `whole`: also patients without series; `year`: the year of birth where nobody says one.
    """
    db.execute(_PATIENTS.format(how="full" if whole else "left"), {"year": year})
    ((lost,),) = db.execute("select count(*) from patients where year is null").fetchall()
    db.execute(
        "create table sent as select sent, row_number() over () as n from (select distinct unnest(["
        '"StudyInstanceUID", "SeriesInstanceUID"]) as sent from series '
        "semi join chosen using (series_id))"
    )
    with _namer(pseudonyms, settings) as namer:
        db.register("given", _PEOPLE.empty_table())
        db.execute("create table people as from given")
        for rows in _pages(db, "patients", "year is not null"):
            check()
            _insert(db, "people", pa.Table.from_pylist(namer.people(rows.to_pylist()), _PEOPLE))
        if not pseudonyms:
            db.execute("create table uids as select sent, sent as uid from sent")
            return int(lost)
        db.execute("create table uids (sent varchar, uid varchar)")
        for rows in _pages(db, "sent", "true"):
            check()
            sent = rows.column("sent").to_pylist()
            _insert(db, "uids", pa.table({"sent": sent, "uid": [namer.uid(uid) for uid in sent]}))
    return int(lost)


def _pages(db: Any, table: str, where: str) -> Iterator[pa.Table]:
    ((most,),) = db.execute(f"select coalesce(max(n), 0) from {table}").fetchall()
    for first in range(0, most, _BLOCK):
        yield db.sql(
            f"select * from {table} where n > {first} and n <= {first + _BLOCK} and {where} "
            "order by n"
        ).to_arrow_table()


def _insert(db: Any, name: str, rows: pa.Table) -> None:
    db.register("given", rows)
    db.execute(f"insert into {name} from given")
    db.unregister("given")


class _Identified:
    """People as they are, for who may have them."""

    def people(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of `people`."""
        found = []
        for row in rows:
            name = "|".join(filter(None, [row["issuer"], row["PatientID"]]))
            said = name or f"study {row['patient_key']}"
            more = {"month_of_birth": row["month"], "day_of_birth": row["day"]}
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


def _own(row: dict[str, Any]) -> str:
    return row["PatientID"] or f"study {row['patient_key']}"


def _person(row: dict[str, Any], source: str, said: str) -> dict[str, Any]:
    number = int.from_bytes(hashlib.sha256(f"person\0{said}".encode()).digest()[:8], "big") >> 2
    return {
        "patient_key": row["patient_key"], "person_id": number, "source": source,
        "sex": row["sex"], "year_of_birth": row["year"],
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
