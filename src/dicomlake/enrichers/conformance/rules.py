"""The rules of `conformance`: each is a name, a severity, a sentence and a function.

A function gets a `Case` and returns the faults that it finds: nothing, True, one or several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from dicomlake.contracts.enrichers import Subject
from dicomlake.enrichers.conformance.facts import Facts, required
from dicomlake.terms.bodyparts.places import paired, places_of, regions_of_term

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, where it differs from what the rule says; never a value of a person."""

    path: str = ""
    value: str = ""
    expected: str = ""
    text: str = ""
    instances: int | None = None


Found = bool | Fault | Iterable[Fault] | None


@dataclass(frozen=True, slots=True)
class Case:
    """A series as rules see it."""

    subject: Subject
    facts: Facts = field(default_factory=Facts)

    def __getitem__(self, column: str) -> Any:
        return self.subject.series.get(column)

    def numbers(self, column: str) -> list[float]:
        """All that is known of a number: its value, the smallest and the largest."""
        said = (self[column], self[f"{column}_min"], self[f"{column}_max"])
        return [n for n in said if isinstance(n, int | float) and not isinstance(n, bool)]

    @property
    def modality(self) -> str:
        """Modality, or ""."""
        return self["Modality"] or ""

    @property
    def whole(self) -> bool:
        """Whether all instances of the series were read."""
        return self["complete"] in ("all", "headers")

    @property
    def regions(self) -> tuple[str, ...]:
        """SNOMED CT codes of what BodyPartExamined says."""
        return regions_of_term(self["BodyPartExamined"] or "") if self["BodyPartExamined"] else ()

    def said(self, *kinds: str) -> Iterator[Mapping[str, Any]]:
        """What other enrichers state of the series."""
        return (row for row in self.subject.annotations if row["kind"] in kinds)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of conformance; `path` is what it is about, where faults do not say it."""

    name: str
    severity: Severity
    text: str
    path: str
    check: Callable[[Case], Found]

    def rows(self, case: Case) -> Iterator[dict[str, Any]]:
        """Its faults in a series as rows of `findings`."""
        found = self.check(case)
        if not found:
            return
        faults = (Fault(),) if found is True else (found,) if isinstance(found, Fault) else found
        for fault in faults:
            yield {
                "rule": self.name,
                "severity": self.severity,
                "path": fault.path or self.path,
                "text": fault.text or self.text,
                "value": fault.value or None,
                "expected": fault.expected or None,
                "instances": fault.instances,
            }


RULES: list[Rule] = []
"""Ours, in the order in which they were written."""


def rule(
    name: str, severity: Severity, path: str, text: str
) -> Callable[[Callable[[Case], Found]], Callable[[Case], Found]]:
    """Make a function a rule of that name."""

    def add(check: Callable[[Case], Found]) -> Callable[[Case], Found]:
        RULES.append(Rule(name, severity, text, path, check))
        return check

    return add


def _plain(number: float) -> str:
    return f"{number:g}"


# What readers met


_BROKEN = ("not a ", "bytes are no whole number")
_CUT = ("too early", "cannot be followed", "is damaged", "before its bulk data", "too large to")


def _kind(problem: Mapping[str, Any]) -> str:
    """Which rule a problem that a reader met belongs to."""
    text = str(problem["problem"])
    if "haracter set" in text or "character set" in text.lower() or "escape sequence" in text:
        return "character set"
    if any(words in text for words in _CUT):
        return "object damaged"
    if not problem["path"]:
        return "encoding"
    if text.startswith("not a ") or any(words in text for words in _BROKEN) or "longer" in text:
        return "value against its VR"
    return "contents against the Standard"


def _met(kind: str) -> Callable[[Case], Found]:
    def check(case: Case) -> Iterator[Fault]:
        for problem in case.facts.problems:
            if _kind(problem) == kind:
                yield Fault(
                    problem["path"],
                    text=f"{problem['vr']}: {problem['problem']}".removeprefix(": "),
                    instances=problem["instances"],
                )

    return check


for _name, _severity, _text in (
    ("value against its VR", "error", "A value does not fit its value representation."),
    ("character set", "warning", "Text is not in the character set that is declared."),
    ("object damaged", "error", "The object is cut or damaged."),
    ("encoding", "note", "The object is not encoded as PS3.10 says."),
    ("contents against the Standard", "warning", "What is inside breaks a rule of the Standard."),
):
    RULES.append(Rule(_name, _severity, _text, "", _met(_name)))  # type: ignore[arg-type]


@rule("enumerated value", "error", "", "The Standard allows other values only.")
def _enumerated(case: Case) -> Iterator[Fault]:
    return _unlisted(case, enumerated=True)


@rule("value not listed", "note", "", "The Standard does not list the value; it may be extended.")
def _defined(case: Case) -> Iterator[Fault]:
    return _unlisted(case, enumerated=False)


def _unlisted(case: Case, *, enumerated: bool) -> Iterator[Fault]:
    for row in case.facts.unlisted:
        if row["enumerated"] is enumerated:
            yield Fault(
                row["path"], row["value"], f"a value of {row['place']}", instances=row["instances"]
            )


def _needed(case: Case, kind: str, absent: Callable[[str], bool]) -> Iterator[Fault]:
    table = required()
    for one in (*table["*"], *table.get(case["SOPClassUID"] or "", ())):
        if one.type == kind and absent(one.keyword):
            yield Fault(one.keyword, expected=one.place)


@rule("type 1 missing", "error", "", "An attribute of type 1 is not there.")
def _type_1(case: Case) -> Iterator[Fault]:
    return _needed(case, "1", lambda keyword: keyword not in case.facts.there)


@rule("type 1 empty", "error", "", "An attribute of type 1 has no value.")
def _type_1_empty(case: Case) -> Iterator[Fault]:
    there, filled = case.facts.there, case.facts.filled
    return _needed(case, "1", lambda keyword: keyword in there and keyword not in filled)


@rule("type 2 missing", "warning", "", "An attribute of type 2 is not there, not even empty.")
def _type_2(case: Case) -> Iterator[Fault]:
    return _needed(case, "2", lambda keyword: keyword not in case.facts.there)


# Impossible values

_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_DAY = timedelta(days=1)


@rule("date in the future", "error", "", "The date is later than the day it came to the lake.")
def _future(case: Case) -> Iterator[Fault]:
    indexed = case["indexed"]
    if indexed is not None:
        for name in _DATES:
            if case[name] is not None and case[name] > indexed.date() + _DAY:
                yield Fault(name)


@rule("date before 1900", "error", "", "The date is before 1900; nobody made images then.")
def _past(case: Case) -> Iterator[Fault]:
    for name in _DATES:
        if case[name] is not None and case[name].year < 1900:
            yield Fault(name)


@rule("birth after the study", "error", "PatientBirthDate", "The birth is later than the study.")
def _born_later(case: Case) -> Found:
    birth, study = case["PatientBirthDate"], case["StudyDate"]
    return birth is not None and study is not None and bool(birth > study)


@rule("birth long ago", "warning", "PatientBirthDate", "The patient would be older than 125 years.")
def _born_early(case: Case) -> Found:
    birth, study = case["PatientBirthDate"], case["StudyDate"]
    return birth is not None and study is not None and bool((study - birth).days > 125 * 365.25)


_AGES = {"D": 1.0, "W": 7.0, "M": 30.44, "Y": 365.25}


@rule("age against birth date", "warning", "PatientAge",
      "PatientAge and PatientBirthDate differ by more than the age is exact to.")  # fmt: skip
def _age(case: Case) -> Found:
    said, birth, study = case["PatientAge"] or "", case["PatientBirthDate"], case["StudyDate"]
    if birth is None or study is None or birth > study:
        return None
    if len(said) != 4 or not said[:3].isdigit() or said[3] not in _AGES:
        return None
    unit = _AGES[said[3]]
    return bool(abs((study - birth).days - int(said[:3]) * unit) > 2 * unit)


def _outside(
    name: str, severity: Severity, path: str, low: float, high: float, text: str, expected: str,
    only: frozenset[str] = frozenset(),
) -> None:  # fmt: skip
    """A rule: a number is below or above what there can be."""

    def check(case: Case) -> Found:
        if only and case.modality not in only:
            return None
        wrong = [n for n in case.numbers(path) if not low <= n <= high]
        return Fault(value=_plain(wrong[0]), expected=expected) if wrong else None

    RULES.append(Rule(name, severity, text, path, check))


_X_RAYS = frozenset(["CT", "CR", "DX", "MG", "XA", "RF", "PX", "IO"])
_TINY = 1e-9

_outside("weight out of range", "warning", "PatientWeight", 0.2, 400,
         "Nobody weighs that.", "0.2 to 400 kg")  # fmt: skip
_outside("height out of range", "warning", "PatientSize", 0.2, 2.6,
         "Nobody is that tall; centimetres instead of metres?", "0.2 to 2.6 m")  # fmt: skip
_outside("slice thickness is 0", "error", "SliceThickness", _TINY, math.inf,
         "Slices have no thickness.", "above 0 mm")  # fmt: skip
_outside("slice thickness is odd", "warning", "SliceThickness", -math.inf, 150,
         "Slices are thicker than a hand is wide.", "up to 150 mm")  # fmt: skip
_outside("KVP is odd", "warning", "KVP", 10, 200,
         "No tube of the clinic works at that voltage.", "10 to 200 kV", _X_RAYS)  # fmt: skip
_outside("field strength is odd", "warning", "MagneticFieldStrength", 0.01, 25,
         "No magnet has that field; gauss instead of tesla?", "0.01 to 25 T",
         frozenset(["MR"]))  # fmt: skip
_outside("flip angle is odd", "warning", "FlipAngle", 0, 360,
         "No flip angle is that large.", "0 to 360 degrees")  # fmt: skip
for _path in ("ExposureTime", "Exposure", "XRayTubeCurrent", "RepetitionTime", "EchoTime",
              "InversionTime", "CTDIvol"):  # fmt: skip
    _outside("negative number", "error", _path, 0, math.inf,
             "It cannot be less than nothing.", "0 or more")  # fmt: skip


@rule("pixel spacing is 0", "error", "PixelSpacing", "Pixels have no size.")
def _spacing(case: Case) -> Iterator[Fault]:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        wrong = [n for n in case[name] or () if n is not None and n <= 0]
        if wrong:
            yield Fault(name, _plain(wrong[0]), "above 0 mm")


@rule("no rows or columns", "error", "Rows", "Images have no rows or columns.")
def _no_rows(case: Case) -> Found:
    return Fault(value="0", instances=case.facts.no_rows) if case.facts.no_rows else None


@rule("echo after repetition", "warning", "EchoTime", "The echo comes after the next pulse.")
def _echo(case: Case) -> Found:
    echo, again = case.numbers("EchoTime"), case.numbers("RepetitionTime")
    if echo and again and 0 < max(again) < max(echo):
        return Fault(value=_plain(max(echo)), expected=f"below {_plain(max(again))} ms")
    return None


@rule("bits stored", "error", "BitsStored", "More bits are stored than there is room for.")
def _bits(case: Case) -> Found:
    stored, allocated = case["BitsStored"], case["BitsAllocated"]
    if stored and allocated and stored > allocated:
        return Fault(value=str(stored), expected=f"up to {allocated}")
    return None


@rule("orientation", "error", "ImageOrientationPatient",
      "Rows and columns are no directions at a right angle.")  # fmt: skip
def _orientation(case: Case) -> Found:
    said = case["ImageOrientationPatient"] or ()
    if not said or any(n is None for n in said):
        return None
    if len(said) != 6:
        return True
    row, column = said[:3], said[3:]
    lengths = [math.sqrt(sum(n * n for n in one)) for one in (row, column)]
    skew = sum(a * b for a, b in zip(row, column, strict=True))
    return any(abs(n - 1) > 0.01 for n in lengths) or abs(skew) > 0.01


# Geometry and counts

_SLICES = frozenset(["CT", "MR", "PT"])


@rule("instance numbers repeat", "warning", "InstanceNumber", "Instances have the same number.")
def _repeated(case: Case) -> Found:
    again = case.facts.numbered - case.facts.distinct
    return Fault(instances=again) if again > 0 else None


@rule("instance numbers have gaps", "note", "InstanceNumber",
      "Numbers are left out: instances may be missing.")  # fmt: skip
def _gaps(case: Case) -> Found:
    facts = case.facts
    if case.modality not in _SLICES or not case.whole or facts.distinct < 3:
        return None
    if facts.lowest is None or facts.highest is None:
        return None
    lost = facts.highest - facts.lowest + 1 - facts.distinct
    return Fault(instances=lost) if lost > 0 else None


def _stack(case: Case) -> tuple[float, int, float] | None:
    """Reach in mm, instances and declared spacing, of a stack of slices that all were read."""
    reach, spacing = case.facts.reach, case["SpacingBetweenSlices"]
    many = case["instances"] or 0
    flat = "ImageOrientationPatient" not in (case["varying"] or ())
    if case.modality not in _SLICES or not case.whole or not flat or many < 3 or not reach:
        return None
    if not spacing or spacing <= 0 or case["NumberOfFrames"]:
        return None
    return reach, many, spacing


@rule("slices are missing", "warning", "ImagePositionPatient",
      "The positions reach further than slices at the declared spacing.")  # fmt: skip
def _missing(case: Case) -> Found:
    stack = _stack(case)
    if stack is None:
        return None
    reach, many, spacing = stack
    places = reach / spacing
    wanted = round(places) + 1
    if abs(places - round(places)) < 0.1 and wanted > many:
        lost = wanted - many
        return Fault(value=str(many), expected=str(wanted), instances=lost)
    return None


@rule("spacing of slices disagrees", "warning", "SpacingBetweenSlices",
      "Slices do not lie as far apart as the header says.")  # fmt: skip
def _apart(case: Case) -> Found:
    stack = _stack(case)
    if stack is None:
        return None
    reach, _, spacing = stack
    places = reach / spacing
    if abs(places - round(places)) < 0.1 and round(places) > 0:
        return None
    return Fault(value=_plain(spacing))


@rule("fewer instances than listed", "warning", "NumberOfSeriesRelatedInstances",
      "An archive lists more instances than the lake has.")  # fmt: skip
def _fewer(case: Case) -> Found:
    have, listed = case["instances"], case.facts.listed
    if listed is None or have is None or not case.whole or have >= listed:
        return None
    return Fault(value=str(have), expected=str(listed), instances=listed - have)


@rule("more instances than listed", "note", "NumberOfSeriesRelatedInstances",
      "An archive lists fewer instances than the lake has.")  # fmt: skip
def _more(case: Case) -> Found:
    have, listed = case["instances"], case.facts.listed
    if listed is None or have is None or have <= listed:
        return None
    return Fault(value=str(have), expected=str(listed), instances=have - listed)


@rule("fewer instances than acquired", "note", "ImagesInAcquisition",
      "The acquisition made more images than the series has.")  # fmt: skip
def _acquired(case: Case) -> Found:
    have, made = case["instances"], case.facts.acquired
    if made is None or have is None or not case.whole or have >= made:
        return None
    return Fault(value=str(have), expected=_plain(made), instances=int(made) - have)


# Times that contradict each other


@rule("study after its series", "warning", "SeriesDate", "The study is later than its series.")
def _study_later(case: Case) -> Found:
    study, series = case["StudyDate"], case["SeriesDate"]
    return study is not None and series is not None and study - series > _DAY


@rule("acquired before the study", "warning", "AcquisitionDate",
      "The acquisition is more than a day before the study.")  # fmt: skip
def _acquired_before(case: Case) -> Found:
    study, made = case["StudyDate"], case["AcquisitionDate"]
    return study is not None and made is not None and study - made > _DAY


def _moment(day: date | None, clock: str | None) -> tuple[date, str] | None:
    digits = (clock or "").partition(".")[0]
    return (day, digits) if day and len(digits) == 6 and digits.isdigit() else None


@rule("content before acquisition", "warning", "ContentTime",
      "The picture is older than what it was made of.")  # fmt: skip
def _content(case: Case) -> Found:
    if {"ContentTime", "AcquisitionTime"} & set(case["varying"] or ()):
        return None
    content = _moment(case["ContentDate"], case["ContentTime"])
    made = _moment(case["AcquisitionDate"], case["AcquisitionTime"])
    return content is not None and made is not None and content < made


LATE_S = 6 * 3600.0
"""A series that is further from what is usual for its device is a fault."""


@rule("clock differs", "warning", "AcquisitionTime",
      "Its time is far from what is usual for its device and studies.")  # fmt: skip
def _clock(case: Case) -> Found:
    off = case.facts.clock
    if off is None or case.modality in ("NM", "PT"):
        return None
    if abs(off) <= max(LATE_S, 8 * case.facts.clock_spread):
        return None
    return Fault(value=f"{off / 3600:+.1f} h")


# Identity


@rule("object of several patients", "error", "SOPInstanceUID",
      "Objects with the same UID belong to different patients.")  # fmt: skip
def _copied(case: Case) -> Found:
    return Fault(instances=case.facts.copied) if case.facts.copied else None


@rule("study of several patients", "error", "StudyInstanceUID",
      "Series of the study have different patients.")  # fmt: skip
def _patients(case: Case) -> Found:
    many = case.facts.patients
    return Fault(text=f"Series of the study have {many} patients.") if many > 1 else None


@rule("several birth dates", "error", "PatientBirthDate",
      "The patient has different birth dates in different series.")  # fmt: skip
def _births(case: Case) -> Found:
    return case.facts.births > 1


@rule("several sexes", "warning", "PatientSex",
      "The patient is M in one series and F in another.")  # fmt: skip
def _sexes(case: Case) -> Found:
    return case.facts.sexes > 1


# Anatomy

IMAGES = frozenset(
    ["CT", "MR", "CR", "DX", "MG", "US", "NM", "PT", "XA", "RF", "IO", "PX", "BMD", "OP", "OPT"]
)
"""Modalities whose series show a part of a body."""


@rule("body part missing", "note", "BodyPartExamined", "The header says no part of the body.")
def _body_part(case: Case) -> Found:
    return case.modality in IMAGES and not (case["BodyPartExamined"] or "").strip()


@rule("body part not known", "warning", "BodyPartExamined",
      "What the header says is no part of a body that we know.")  # fmt: skip
def _unknown_part(case: Case) -> Found:
    said = (case["BodyPartExamined"] or "").strip()
    return bool(said) and not case.regions


def _is_paired(case: Case) -> bool:
    stated = [row["structure"] or "" for row in case.said("body part")]
    codes = [code.removeprefix("SCT:") for code in stated] or list(case.regions)
    return len(codes) == 1 and paired(codes[0])


@rule("laterality missing", "warning", "Laterality",
      "It shows an organ that is there on both sides, and does not say which.")  # fmt: skip
def _side_missing(case: Case) -> Found:
    return case.modality in IMAGES and not case.facts.sides and _is_paired(case)


@rule("laterality contradicts", "error", "Laterality", "Two attributes say different sides.")
def _sides(case: Case) -> Found:
    said = {side for side in case.facts.sides.values() if side in "LR"}
    return len(said) > 1


_SIDE_CODES = {"SCT:7771000": "L", "SCT:24028007": "R"}


@rule("laterality against its words", "warning", "Laterality",
      "Descriptions say another side than the attribute for it.")  # fmt: skip
def _side_of_words(case: Case) -> Found:
    said = {side for side in case.facts.sides.values() if side in "LR"}
    stated = {
        _SIDE_CODES[row["laterality"]] for row in case.said("body part", "laterality")
        if row["laterality"] in _SIDE_CODES and (row["confidence"] or 0) >= 0.5
    }  # fmt: skip
    return len(said) == len(stated) == 1 and said != stated


def header_places(case: Case) -> frozenset[str]:
    """Where the header says that the picture was taken, as large places."""
    return frozenset(place for code in case.regions for place in places_of(code))


def seen_places(case: Case, *, whole: bool = False) -> frozenset[str]:
    """Where the structures lie that segmenters saw in the picture, as large places.

    `whole`: only structures that are not cut off, as lungs are at the top of an abdomen.
    """
    rows = [r for r in case.said("structure") if not whole or r["complete"] is not False]
    codes = (str(row["structure"] or "").removeprefix("SCT:") for row in rows)
    return frozenset(place for code in codes for place in places_of(code))


@rule("segmented anatomy disagrees", "warning", "BodyPartExamined",
      "Segmenters see structures, and none of the body part that the header says.")  # fmt: skip
def _anatomy(case: Case) -> Found:
    said, seen = header_places(case), seen_places(case, whole=True)
    if not said or not seen or said & seen_places(case):
        return None
    return Fault(value=case["BodyPartExamined"], expected=", ".join(sorted(seen)))


# Class

_IMAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = {
    "CT": "2 2.1", "MR": "4 4.1 4.3", "CR": "1", "DX": "1.1 1.1.1",
    "MG": "1.2 1.2.1 13.1.3 13.1.4", "IO": "1.3 1.3.1", "NM": "20", "PT": "128 130",
    "XA": "12.1 12.1.1", "RF": "12.2", "SEG": "66.4 66.5", "RTSTRUCT": "481.3",
    "RTPLAN": "481.5", "RTDOSE": "481.2", "RTIMAGE": "481.1", "KO": "88.59",
    "PR": "11.1 11.2 11.3 11.4", "SR": "88.11 88.22 88.33 88.34 88.67", "ECG": "9.1.1 9.1.2",
}  # fmt: skip
_MODALITY_OF = {_IMAGE + one: name for name, some in _CLASSES.items() for one in some.split()}


@rule("modality against class", "error", "Modality", "Objects of the class have another modality.")
def _class(case: Case) -> Found:
    wanted = _MODALITY_OF.get(case["SOPClassUID"] or "")
    if wanted is None or not case.modality or case.modality == wanted:
        return None
    return Fault(value=case.modality, expected=wanted)
