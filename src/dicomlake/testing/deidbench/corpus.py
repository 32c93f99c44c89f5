"""The corpus: patients, studies, objects and loose reports, written with their key."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.testing.deidbench import papers
from dicomlake.testing.deidbench.answers import VERSION, write_key
from dicomlake.testing.deidbench.documents import OTHERS
from dicomlake.testing.deidbench.drafting import Draft, Key, Series, Study
from dicomlake.testing.deidbench.images import BASES, IMAGES, Kind
from dicomlake.testing.deidbench.narratives import LANGUAGES, Narrative, narrative
from dicomlake.testing.deidbench.people import Person, number, person
from dicomlake.testing.deidbench.planting import Deal, planters
from dicomlake.testing.dicom import Value, encode, uid
from dicomlake.testing.hospital.chance import chance

_EXTRA = [*IMAGES, *OTHERS]
_SLICES = 2
_SUFFIXES = ("txt", "pdf", "xml", "hl7")


def make(
    folder: Path,
    patients: int = 60,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Path]:
    """Write `folder/corpus` and `folder/key`; both paths.

    The key holds checks.parquet, checks.sqlite, people.csv (what an archive knows of its patients)
    and corpus.json. The folder must not hold another corpus.
    """
    if patients < 1:
        raise UsageError("A corpus needs at least one patient.")
    corpus, secret = folder / "corpus", folder / "key"
    if corpus.exists() or secret.exists():
        raise UsageError(f"{folder.name!r} holds a corpus already. Name another folder.")
    corpus.mkdir(parents=True)
    secret.mkdir()
    try:
        counts = _written(corpus, secret, patients, seed, progress)
    except BaseException:
        shutil.rmtree(corpus)
        shutil.rmtree(secret)
        raise
    told = {"version": VERSION, "seed": seed, "patients": patients, **counts}
    (secret / "corpus.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return corpus, secret


def _written(
    corpus: Path,
    secret: Path,
    patients: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, int]:
    key = Key()
    people = [person(seed, at) for at in range(1, patients + 1)]
    studies = [study for who in people for study in _studies(seed, who)]
    extras = max(3, -(-len(_EXTRA) // len(studies)))
    deal = Deal(len(studies) * (_SLICES + extras), 2 if len(studies) >= 40 else 1)
    serial = 0
    for at, study in enumerate(studies):
        for draft in _objects(study, key, at, extras, serial):
            serial = draft.number
            deal.plant(draft)
            data = draft.encoded()
            place = corpus / draft.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        if progress:
            progress(at + 1, len(studies))
    (corpus / "archive" / "DICOMDIR").write_bytes(_directory(studies[:4]))
    reports = _reports(corpus, key, people, seed)
    _everywhere(key, people, studies)
    write_key(secret, key.checks)
    _write_people(secret / "people.csv", people, studies)
    return {"objects": serial, "studies": len(studies), "reports": reports,
            "checks": len(key.checks)}  # fmt: skip


def _studies(seed: int, who: Person) -> Iterator[Study]:
    rng = chance("studies", seed, who.number)
    first = datetime(2010, 1, 4, 7) + timedelta(days=rng.randint(0, 3000))
    for at in range(1, 2 + who.number % 3):
        when = first + timedelta(days=at * 31 + rng.randint(0, 9), seconds=rng.randint(0, 40000))
        yield Study(
            seed=seed,
            person=who,
            number=at,
            uid=uid("deidbench", seed, who.number, "study", at),
            frame_of_reference=uid("deidbench", seed, who.number, "frame", at),
            when=when,
            accession=f"A{number(seed, who.number, 'accession', at, digits=9)}",
        )


def _objects(study: Study, key: Key, at: int, extras: int, serial: int) -> Iterator[Draft]:
    """The objects of a study: a base series, then some of the other kinds in turn."""
    base = BASES[at % len(BASES)]
    kinds = [base, *(_EXTRA[(at * extras + step) % len(_EXTRA)] for step in range(extras))]
    for kind in kinds:
        held = Series(uid(study.uid, "series", len(study.series)), len(study.series) + 1, kind[1])
        study.series.append(held)
        for _ in range(_SLICES if kind is base else 1):
            serial += 1
            draft = _draft(study, held, key, kind, serial)
            yield draft


def _draft(study: Study, held: Series, key: Key, kind: Kind, serial: int) -> Draft:
    name, _, build, syntax, undefined = kind
    who = study.person
    draft = Draft(
        study=study, series=held, key=key, number=serial, uid=uid(held.uid, "instance", serial),
        kind=name, syntax=syntax, undefined=undefined,
    )  # fmt: skip
    patient = f"{who.family}_{who.given}_{who.id}" if who.number % 2 else who.id
    day = f"{study.when:%Y%m%d}_{study.accession}"
    draft.file = f"archive/{patient}/{day}/{held.modality}{serial:05d}.dcm"
    build(draft)
    for plant in planters():
        plant(draft)
    _blocks(draft)
    draft.check("valid", "H1", severity=2, family="dicom")
    draft.check("markers", "H1", severity=2, family="dicom")
    held.objects.append(draft)
    uids = (draft.uid, study.uid, held.uid, study.frame_of_reference, uid(draft.uid, "text"))
    key.token(who.id, "uids", *uids)
    return draft


def _directory(studies: list[Study]) -> bytes:
    """A DICOMDIR of some studies, records in a row without their links: it has to go as it is.

    No check is about it alone; whoever copies it leaves tokens in the output.
    """
    records: list[dict[str, Value]] = []
    for study in studies:
        who = study.person
        records += [
            {"DirectoryRecordType": "PATIENT", "PatientName": who.name, "PatientID": who.id},
            {
                "DirectoryRecordType": "STUDY",
                "StudyDate": study.when,
                "StudyInstanceUID": study.uid,
                "AccessionNumber": study.accession,
            },
        ]
        for draft in study.images:
            image = {
                "DirectoryRecordType": "IMAGE",
                "ReferencedFileID": ["ARCHIVE", f"I{draft.number:05d}"],
                "ReferencedSOPInstanceUIDInFile": draft.uid,
            }
            records.append(image)
    values: dict[str, Value] = {
        "MediaStorageSOPClassUID": "1.2.840.10008.1.3.10",
        "MediaStorageSOPInstanceUID": uid(studies[0].uid, "directory"),
        "FileSetID": "ARCHIVE",
        "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity": 0,
        "OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity": 0,
        "FileSetConsistencyFlag": 0,
        "DirectoryRecordSequence": records,
    }
    return encode(values, charset="ISO_IR 192")


def _blocks(draft: Draft) -> None:
    """Put the private creators of group 0019 into blocks 10 and 11, the unsafe one first."""
    draft.blocks["ZORB FIRST"] = 0x10
    for creator in ("SIEMENS MR HEADER", "GEMS_ACQU_01"):
        draft.blocks[creator] = 0x11


def _reports(corpus: Path, key: Key, people: list[Person], seed: int) -> int:
    """Loose reports of every form and language beside the objects."""
    folder = corpus / "reports"
    folder.mkdir()
    count = 0
    for who in people:
        for turn in range(2):
            count += 1
            at = who.number + turn * 2
            rng = chance("report", seed, count)
            when = datetime(2012, 3, 1, 9) + timedelta(days=rng.randint(0, 2500))
            language = LANGUAGES[(at // 4 + turn) % len(LANGUAGES)]
            note = narrative(language, count // 3, who, when.date())
            suffix = _SUFFIXES[at % len(_SUFFIXES)]
            accession = f"A{number(seed, count, 'report', digits=9)}"
            data = _paper(suffix, note, who, when, accession)
            name = f"reports/{count:04d}.{suffix}"
            (corpus / name).write_bytes(data)
            _check_report(key, who, name, note)
    return count


def _paper(suffix: str, note: Narrative, who: Person, when: datetime, accession: str) -> bytes:
    if suffix == "pdf":
        return papers.pdf(note.text, who.operator, f"Report {who.given}")
    if suffix == "xml":
        return papers.cda(note.text, who, when, note.language)
    if suffix == "hl7":
        return papers.hl7(note.text, who, when, accession)
    return note.text.encode("utf-8")


def _check_report(key: Key, who: Person, name: str, note: Narrative) -> None:
    common: dict[str, Any] = {
        "scope": "report",
        "patient_id_old": who.id,
        "file": name,
        "applies_if": "reports",
    }
    for token in papers.heads(who).get(Path(name).suffix, ()):
        key.add("text_removed", "H13", value_old=token, hipaa_letter="A", **common)
    for span in note.spans:
        key.add("report_span", "H13", value_old=span.text, hipaa_letter=span.letter,
                action_text="phrase" if span.phrase else "", **common)  # fmt: skip
    key.add("text_retained", "H13", severity=3, action_text=" ".join(note.wanted), **common)
    for trap in note.traps:
        key.add("text_retained", "H13", severity=3, action_text=f"={trap}", **common)


def _everywhere(key: Key, people: list[Person], studies: list[Study]) -> None:
    """Checks of the whole output: no token anywhere, dates of patients that differ, the same again.

    Accession numbers are tokens of their own; a name that is a common word is none.
    """
    for study in studies:
        key.token(study.person.id, "accession", study.accession)
    for who in people:
        for kind, token in who.tokens.items():
            if kind != "institution":
                key.token(who.id, kind, token)
    for (patient, kind), tokens in key.tokens.items():
        key.add(
            "sweep", "H8" if kind == "uids" else "H9" if kind == "planted" else "H1", "corpus",
            patient_id_old=patient, action_text=kind, value_old="\n".join(tokens),
            applies_if="not uids" if kind == "uids" else "",
            hipaa_letter="" if kind in ("uids", "planted") else "A",
        )  # fmt: skip
    key.add("date_consistent", "H7", "corpus", action_text="patients differ", severity=2,
            applies_if="modified_dates")  # fmt: skip
    key.add("valid", "H9", "corpus", action_text="nothing else", severity=2)
    for run in ("again", "workers", "other"):
        key.add("determinism", "H8", "corpus", action_text=run, severity=2, applies_if=run)
    key.add("uid_consistent", "H8", "corpus", action_text="map", severity=2, applies_if="map")


_KIND = {
    "family": "name", "given": "name", "ideographic": "name", "physician": "name",
    "operator": "name", "institution": "place", "street": "place", "city": "place",
    "phone": "phone", "mail": "mail", "born": "date",
}  # fmt: skip


def _write_people(path: Path, people: list[Person], studies: list[Study]) -> None:
    """What an archive knows of its patients: PatientID, kind (as `contracts.deid`), text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["PatientID", "kind", "text"])
        for who in people:
            known = {**who.tokens, "family": who.family, "born": f"{who.born:%Y%m%d}"}
            for kind, text in known.items():
                rows.writerow([who.id, _KIND.get(kind, "id"), text])
            rows.writerow([who.id, "name", who.name])
        for study in studies:
            rows.writerow([study.person.id, "id", study.accession])
