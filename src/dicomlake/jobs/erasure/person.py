"""Whom an erasure is about: the series that go, and every value that points at the patient."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from dicomlake import tables
from dicomlake.errors import UsageError
from dicomlake.jobs.access.tokens import folder_of
from dicomlake.jobs.erasure.traces import Finder, is_weak
from dicomlake.lake import Store
from dicomlake.lake.store import ACCESS
from dicomlake.readers.batch import key_of

_SAYING = """PatientID OtherPatientIDs PatientName OtherPatientNames PatientBirthName
PatientMotherBirthName PatientAddress PatientTelephoneNumbers MedicalRecordLocator AccessionNumber
AdmissionID StudyID RequestedProcedureID""".split()
_LOOSE = ("StudyID", "RequestedProcedureID")
"""Ends of paths whose values point at the patient, as far as no other patient has them."""
JOURNAL = "erasing-"
"""What names of files begin with that say what a killed erasure has still to do."""


@dataclass(slots=True)
class Person:
    """What goes: numbers, UIDs and values of a patient, or of single studies of one.

    `accessions`: numbers of orders that no other study has. `texts` are values that no other
    patient has; `shared`: how many others have, too. `digests`:
    what stands for them. `before`: rows and files at the beginning, by place. `found`: what was
    noted on the way.
    """

    id: str
    kind: str
    patients: list[int]
    studies: list[str]
    study_keys: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    series: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    accessions: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    shared: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    files: int = 0
    before: dict[str, int] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    digests: list[tuple[str, str]] = field(default_factory=list)
    began: str = ""

    @property
    def finder(self) -> Finder:
        """Finds the values, UIDs and keys."""
        keys = [*self.study_keys, *(self.patients if self.kind == "patient" else ())]
        return Finder(self.texts, {*self.studies, *self.series, *self.instances}, keys)

    @property
    def empty(self) -> bool:
        """Whether the lake has no series of it."""
        return not self.numbers

    def write(self, lake: Path) -> None:
        """Note what is to be done, so that a killed erasure goes on; for its owner alone."""
        path = lake / ACCESS / f"{JOURNAL}{self.id}.json"
        folder_of(path)
        part = path.with_suffix(f".{secrets.token_hex(4)}.part")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def done(self, lake: Path) -> None:
        """Forget what was to be done."""
        for path in (lake / ACCESS).glob(f"{JOURNAL}{self.id}.*"):
            path.unlink(missing_ok=True)


def left(lake: Path) -> list[Person]:
    """What killed erasures have still to do, oldest first."""
    found = []
    for path in sorted((lake / ACCESS).glob(f"{JOURNAL}*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        said["digests"] = [tuple(one) for one in said["digests"]]
        found.append(Person(**said))
    return found


def keys_of(store: Store, PatientID: str, issuer: str | None) -> list[int]:
    """The patient_key of a PatientID; UsageError when several issuers gave it, and none is named.

    One that the lake does not hold has its key, too.
    """
    if not PatientID.strip():
        raise UsageError("Whom? Give a PatientID.")
    with store.database(only=["series", *tables.CLINICAL]) as db:
        told = " union all ".join(
            f'select patient_key, "PatientID", "IssuerOfPatientID" from {name} '
            "where patient_key is not null"
            for name in ("series", *tables.CLINICAL)
        )
        rows = db.execute(
            f"select patient_key, max(coalesce(\"IssuerOfPatientID\", '')) from ({told}) "
            'where "PatientID" = ? and (?2 is null or coalesce("IssuerOfPatientID", \'\') = ?2) '
            "group by 1 order by 1",
            [PatientID, issuer],
        ).fetchall()
    if len({said for _, said in rows}) > 1:
        raise UsageError(
            f"{len(rows)} issuers gave this PatientID, so it is of {len(rows)} patients. Say whose "
            "with --issuer; --issuer '' is the one without an issuer."
        )
    return [key for key, _ in rows] or [key_of("patient", issuer or "", PatientID)]


def person_of(
    store: Store, id_: str, PatientID: str, issuer: str | None, study: str | None
) -> Person:
    """Whom an erasure is about, with all that points at it in the lake."""
    keys = keys_of(store, PatientID, issuer)
    made = Person(id_, "study" if study else "patient", keys, [study] if study else [])
    if study is None:
        made.texts = [PatientID]
    with store.database() as db:
        ours = 'patient_key in (select unnest(?)) and (?2 is null or "StudyInstanceUID" = ?2)'
        db.execute(
            'create temp table going as select series_id, "SeriesInstanceUID", '
            f'"StudyInstanceUID", study_key, source, "AccessionNumber" from series where {ours}',
            [keys, study],
        )
        _fill(db, made)
    if study is not None and made.empty:
        raise UsageError("The patient has no such study in the lake. Nothing was erased.")
    return made


def _fill(db: duckdb.DuckDBPyConnection, made: Person) -> None:
    def column(sql: str) -> list[Any]:
        return [row[0] for row in db.execute(sql).fetchall() if row[0] is not None]

    made.numbers = column("select series_id from going order by 1")
    made.series = column('select distinct "SeriesInstanceUID" from going order by 1')
    made.study_keys = column("select distinct study_key from going order by 1")
    made.studies = column('select distinct "StudyInstanceUID" from going order by 1') or (
        made.studies
    )
    made.instances = column(
        'select distinct "SOPInstanceUID" from instances semi join going using (series_id)'
    )
    made.accessions = column(
        'select distinct "AccessionNumber" from going where "AccessionNumber" not in (select '
        '"AccessionNumber" from series anti join going using (series_id) '
        'where "AccessionNumber" is not null) order by 1'
    )
    made.sources = dict(
        db.execute("select source, count(*) from going group by 1 order by 1").fetchall()
    )
    made.files = len([uri for uri in column(_URIS) if Path(uri.rpartition("file://")[2]).exists()])
    others = "select text from elements anti join going using (series_id) where text is not null"
    mine = f"{mine_of(_SAYING)} or (vr = 'UI' and not starts_with(text, '1.2.840.10008.'))"
    alone = column(f"select text from ({mine}) where text not in ({others}) order by 1")
    few = set(column(f"select text from ({mine_of(_LOOSE)})"))
    alone = [text for text in alone if not (text in few and is_weak(text))]
    made.shared = len(column(mine)) - len(alone)
    names_ = column(f"select text from ({mine}) where text in (select text from elements where "
                    f"vr = 'PN') and text not in ({others})")  # fmt: skip
    for name in names_:
        alone += _spelt(name)
    if made.texts and db.execute(f"select 1 from ({others}) where text = ?", made.texts).fetchone():
        made.texts, made.shared = [], made.shared + 1  # another issuer gave it, too
    said = {text.strip() for text in [*made.texts, *alone] if text.strip()}
    stay = said & set(column(_of_others(made)))
    made.shared += len(stay)
    made.texts = sorted(said - stay)


def _of_others(made: Person) -> str:
    """SQL of the numbers that facts and documents of others name."""
    mine = f"patient_key in ({', '.join(map(str, made.patients))})"
    listed = [
        f'select distinct "{column}" from {name} where not ({mine}) and patient_key is not null'
        for name in tables.CLINICAL
        for column in ("PatientID", "AccessionNumber")
    ]
    return " union ".join(listed)


def mine_of(names: Iterable[str]) -> str:
    """SQL of the texts of some attributes of the series that go."""
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        "select distinct text from elements semi join going using (series_id) "
        f"where split_part(path, '.', -1) in ({listed})"
    )


_URIS = (
    "select distinct uri from instances semi join going using (series_id) "
    "where contains(uri, 'file://')"
)


def _spelt(name: str) -> list[str]:
    """A name of a person as people write it.

    >>> _spelt("Meier^Anna Maria")
    ['Meier Anna Maria', 'Meier, Anna Maria', 'Anna Maria Meier', 'Meier^Anna Maria']
    """
    made = []
    for form in name.split("="):
        parts = [part.strip() for part in form.split("^")]
        if len(parts) > 1 and parts[0] and parts[1]:
            family, given = parts[:2]
            made += [f"{family} {given}", f"{family}, {given}", f"{given} {family}"]
        made.append(form.strip())
    return [text for text in made if text]
