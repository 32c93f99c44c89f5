"""The truth about a made-up hospital: what anybody who reads all of it must count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Counts of a hospital on disk. Sums of two hospitals with different patients add with `+`.

    files            files on disk, whatever they are; `bytes` is their size
    objects          SOP instances that can be read, each counted once, inside archives too
    series, studies  those that the objects belong to
    patients         different (IssuerOfPatientID, PatientID without stray spaces)
    patient_ids      different PatientID alone: two houses give out some numbers twice
    by_modality      level -> Modality -> count; a study or patient counts for each of its own
    by_class         SOP Class UID -> objects
    duplicates       files that repeat an object, byte for byte
    failures         why a file cannot be read -> files: empty, garbage, truncated
    damaged          what is wrong with readable objects' files -> files: cut in the pixels
    foreign          suffix of files that are not DICOM -> files
    archives         suffix of archives -> objects inside that lie nowhere else
    dicomdirs        DICOMDIR files, those inside archives not counted
    traits           what is untidy or remarkable -> objects that show it
    rows             what a lake should find inside: content items, segments, dose events, ...
    answers          question in words -> patients or series that answer it
    """

    files: int = 0
    bytes: int = 0
    objects: int = 0
    series: int = 0
    studies: int = 0
    patients: int = 0
    patient_ids: int = 0
    by_modality: dict[str, Counter[str]] = field(default_factory=dict)
    by_class: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)
    archives: Counter[str] = field(default_factory=Counter)
    dicomdirs: int = 0
    traits: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Summary) -> Summary:
        sums: dict[str, Any] = {}
        for name, value in vars(self).items():
            more = getattr(other, name)
            if name == "by_modality":
                levels = value.keys() | more.keys()
                sums[name] = {
                    level: value.get(level, Counter()) + more.get(level, Counter())
                    for level in sorted(levels)
                }
            else:
                sums[name] = value + more
        return Summary(**sums)
