"""What the hospital has of hearts that is no DICOM: ECGs of practices, and a register of labels.

ecg/*.scp, *.xml         ECGs that patients brought: SCP-ECG, HL7 aECG, MUSE and Sierra XML
labels/register.csv      who has a pacemaker, a valve, fibrillation, and the ejection fraction
labels/register.yaml     the mapping file that tells what its columns mean
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from dicomlake.testing import ecgfiles
from dicomlake.testing.hospital.chance import chance
from dicomlake.testing.hospital.history import history
from dicomlake.testing.hospital.records import mapping, names_of
from dicomlake.testing.hospital.visits import stories

if TYPE_CHECKING:
    from pathlib import Path

    from dicomlake.testing.hospital.history import History

HEARTS = ("heart", "heart screening")
_WRITERS = (
    ("scp", ".scp", ecgfiles.scp),
    ("aecg", ".xml", ecgfiles.aecg),
    ("muse", ".xml", ecgfiles.muse),
    ("sierra", ".xml", ecgfiles.sierra),
)
COLUMNS = (
    "Patient", "Haus", "Datum", "Herzschrittmacher", "TAVI", "Vorhofflimmern", "Ejektionsfraktion",
)  # fmt: skip


def originals(folder: Path, patients: int = 40, seed: int = 7) -> Counter[str]:
    """Write the ECGs and the register; how many there are of each format, and rows of the register.

    A patient who comes for the heart brings the ECG of a practice, in the format that it has.
    """
    found: Counter[str] = Counter()
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "register.yaml").write_bytes(mapping("register.yaml"))
    with (folder / "labels" / "register.csv").open("w", encoding="latin-1", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(COLUMNS)
        for number in range(1, patients + 1):
            told = history(seed, number)
            if not any(story.name in HEARTS for story in stories(seed, told.person)):
                continue
            kind, suffix, write = _WRITERS[found["register"] % len(_WRITERS)]
            path = folder / "ecg" / told.person.issuer / f"{kind}{number:06d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(write(_ecg(told, seed)))
            table.writerow(_row(told, seed))
            found.update([kind, "register"])
    return found


def _ecg(told: History, seed: int) -> ecgfiles.Ecg:
    """The ECG that was done in a practice days before."""
    person = told.person
    family, given = map(_typed, names_of(person))
    names = {fact.name for fact in told.facts}
    rhythm = "Atrial fibrillation" if "atrial fibrillation" in names else "Sinus rhythm"
    return ecgfiles.made(
        seed * 1_000_000 + person.number,
        patient_id=person.id,
        family=family,
        given=given,
        sex=person.sex,
        born=person.born,
        moment=told.studies[0][1].when - timedelta(days=10, hours=1),
        institution="Praxis Erfunden",
        statements=(rhythm,),
    )


def _typed(name: str) -> str:
    """A name as a device types it that has the letters of Western Europe alone."""
    if all(ord(letter) < 256 for letter in name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return plain or "Exempel"


def _row(told: History, seed: int) -> tuple[str, ...]:
    names = {fact.name for fact in told.facts}
    fraction = chance(seed, "ejection fraction", told.person.number).uniform(25, 70)
    return (
        told.person.id,
        told.person.issuer,
        f"{told.studies[-1][1].when:%d.%m.%Y}",
        "ja" if "pacemaker" in names else "nein",
        "ja" if "TAVI" in names else "nein",
        "ja" if "atrial fibrillation" in names else "nein",
        f"{fraction:.1f}".replace(".", ","),
    )
