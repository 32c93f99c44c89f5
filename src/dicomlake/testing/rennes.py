"""The experiment of Rennes: patients with a prostatectomy and a pelvic MR in the year before it.

A lake of any number of patients, written straight into its tables, in which it is known who is to
be found: every patient is one of `CASES`, and what else they have cannot be mistaken for it.

    store = write(tmp_path / "lake", patients=100_000)
    expected = truth(100_000)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dicomlake import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dicomlake.lake import Store

QUESTION = (
    "related(same(series, Modality = 'MR' and MagneticFieldStrength >= 2.5 and "
    "anatomy within SCT:12921003), same(fact, fact.code within SCT:90470006 and "
    "fact.started between 2014 and 2019), before 365 days)"
)
_PELVIS, _HEAD, _PROSTATECTOMY = "12921003", "69536005", "SCT:90470006"
_SINCE = np.datetime64("1970-01-01")


@dataclass(frozen=True, slots=True)
class Exam:
    """A series: so many days after the operation, at least and at most, both included."""

    first: int
    last: int
    modality: str = "MR"
    tesla: float | None = 3.0
    region: str = _PELVIS


@dataclass(frozen=True, slots=True)
class Deed:
    """A fact: a procedure in one of the years from `first` to `last`.

    `named`: by PatientID ("patient"), by the accession number of a study of the patient alone
    ("study"), or by PatientID with an accession number of somebody else ("other").
    """

    first: int = 2014
    last: int = 2019
    code: str = _PROSTATECTOMY
    codes: tuple[str, ...] = ()
    named: str = "patient"
    dated: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """What some patients have, and whether the question is to find them."""

    name: str
    found: bool
    exams: tuple[Exam, ...]
    deeds: tuple[Deed, ...] = (Deed(),)


_BEFORE = Exam(-365, -1)
CASES = (
    Case("in the year before", True, (_BEFORE,)),
    Case("on the same day", True, (Exam(0, 0),)),
    Case("a year before, to the day", True, (Exam(-365, -365),)),
    Case("coded by OPS first", True, (_BEFORE,), (Deed(code="OPS:5-604.02",
         codes=("OPS:5-604.02", _PROSTATECTOMY)),)),
    Case("the second one fits", True, (_BEFORE,), (Deed(), Deed(2010, 2012))),
    Case("the accession number alone is known", True, (_BEFORE,), (Deed(named="study"),)),
    Case("the accession number is of somebody else", True, (_BEFORE,), (Deed(named="other"),)),
    Case("after it", False, (Exam(1, 900),)),
    Case("too long before", False, (Exam(-1500, -366),)),
    Case("a weak magnet", False, (Exam(-365, -1, tesla=1.5),)),
    Case("of the head", False, (Exam(-365, -1, region=_HEAD),)),
    Case("each by another series", False, (Exam(-365, -1, region=_HEAD), Exam(-365, -1, tesla=1.5),
         Exam(-365, -1, "CT", None))),
    Case("a CT", False, (Exam(-365, -1, "CT", None),)),
    Case("operated before 2014", False, (_BEFORE,), (Deed(2009, 2013),)),
    Case("operated after 2019", False, (_BEFORE,), (Deed(2020, 2024),)),
    Case("another operation", False, (_BEFORE,), (Deed(code="OPS:5-601.0"),)),
    Case("nobody knows when", False, (_BEFORE,), (Deed(dated=False),)),
    Case("no operation", False, (_BEFORE,), ()),
    Case("no MR", False, ()),
)  # fmt: skip
_RARE = 0.08
"""Part of the patients that are one of the cases; the others have nothing of the kind."""


def cases(patients: int) -> NDArray[np.int64]:
    """The case of each patient, -1 for most."""
    drawn = np.random.default_rng(7)
    found = drawn.integers(0, len(CASES), patients)
    return np.where(drawn.random(patients) < _RARE, found, -1)


def truth(patients: int) -> set[str]:
    """PatientID of all whom the question is to find."""
    found = np.array([case.found for case in CASES] + [False])[cases(patients)]
    return {_name(number) for number in np.flatnonzero(found).tolist()}


def _name(patient: int) -> str:
    return f"P{patient:08}"


def write(path: Path, patients: int, series: int = 4, facts: int = 6) -> Store:
    """The lake, made unless it is there; so many other series and facts per patient."""
    from dicomlake.lake import Store

    store = Store.create(path)
    if store.paths("series"):
        return store
    made = _Made(patients)
    made.others(series, facts)
    made.cases()
    _write_series(store, made)
    for some in made.facts(1_000_000):
        store.append("clinical_events", some.sort_by([("code", "ascending"),
                                                      ("patient_key", "ascending")]))  # fmt: skip
    store.touch("made")
    return store


class _Made:
    """Columns of the series and facts of all patients, in pieces."""

    def __init__(self, patients: int) -> None:
        self.patients = patients
        self.draw = np.random.default_rng(11)
        self.series: list[dict[str, Any]] = []
        self.deeds: list[dict[str, Any]] = []
        self.count = 0

    def exam(self, who: Any, days: Any, modality: str, tesla: float | None, region: str) -> Any:
        """A series of each of some patients; the numbers of these series."""
        ids = np.arange(self.count, self.count + len(who)) + 1
        self.count += len(who)
        self.series.append({"id": ids, "who": who, "day": days, "Modality": modality,
                            "tesla": tesla, "region": region})  # fmt: skip
        return ids

    def others(self, series: int, facts: int) -> None:
        """What everybody has: nothing of it meets one side of the question."""
        everybody = np.arange(self.patients)
        kinds = (("CT", None, _PELVIS), ("MR", 1.5, _PELVIS), ("MR", 3.0, _HEAD), ("US", None, ""))
        for n in range(series):
            self.exam(everybody, self.days(everybody, 2008, 2024), *kinds[n % len(kinds)])
        for n in range(facts):
            self.deeds.append({"who": everybody, "day": self.days(everybody, 2008, 2024),
                               "drawn": n})  # fmt: skip

    def days(self, who: Any, first: int, last: int) -> Any:
        """Days from the beginning of a year to the end of another one."""
        low = (np.datetime64(f"{first}-01-01") - _SINCE).astype(int)
        high = (np.datetime64(f"{last + 1}-01-01") - _SINCE).astype(int)
        return self.draw.integers(low, high, len(who))

    def cases(self) -> None:
        """What the patients of every case have."""
        which = cases(self.patients)
        for number, case in enumerate(CASES):
            who = np.flatnonzero(which == number)
            day = self.days(who, 2014, 2019)
            for n, deed in enumerate(case.deeds):
                done = self.days(who, deed.first, deed.last)
                day = done if n == 0 else day
                self.deeds.append({"who": who, "day": done, "deed": deed})
            for exam in case.exams:
                away = self.draw.integers(exam.first, exam.last + 1, len(who))
                self.exam(who, day + away, exam.modality, exam.tesla, exam.region)

    def facts(self, most: int) -> Any:
        """Tables of clinical facts, of so many rows at most and one piece at least."""
        key, held, count = 1, [], 0
        for said in self.deeds:
            table = _facts(said, key, self.patients)
            key += table.num_rows
            held.append(table)
            count += table.num_rows
            if count >= most:
                yield pa.concat_tables(held)
                held, count = [], 0
        yield pa.concat_tables(held or [tables.CLINICAL_EVENTS.empty_table()])


_DRAWN = (
    ("condition", "I10GM:C61"), ("observation", "LN:2857-1"), ("medication", "ATC:L02AE02"),
    ("procedure", "OPS:1-465.0"), ("observation", "LN:2160-0"), ("condition", "I10GM:N40"),
)  # fmt: skip


def _facts(said: dict[str, Any], key: int, patients: int) -> pa.Table:
    who = said["who"]
    deed = said.get("deed")
    kind, code = ("procedure", deed.code) if deed else _DRAWN[said["drawn"] % len(_DRAWN)]
    if not deed and said["drawn"] >= len(_DRAWN):  # many different codes
        code = f"LN:{said['drawn']}-0"
    codes = list(deed.codes or (code,)) if deed else [code]
    named = deed.named if deed else "patient"
    started = pa.array(_SINCE + said["day"].astype("timedelta64[D]")).cast(pa.timestamp("us"))
    columns: dict[str, Any] = {
        "fact_key": pa.array(np.arange(key, key + len(who))),
        "patient_key": pa.array(who),
        "PatientID": _texts(who, _name),
        "kind": pa.repeat(kind, len(who)),
        "code": pa.repeat(code, len(who)),
        "codes": pa.array([codes] * len(who), pa.list_(pa.string())),
        "number": pa.array(np.round(said["day"] % 97 / 7, 2)) if kind == "observation" else None,
        "quantity": pa.array(said["day"] % 97 / 7) if kind == "observation" else None,
        "quantity_unit": pa.repeat("mmol/L", len(who)) if kind == "observation" else None,
        "started": started.cast(tables.STAMP) if deed is None or deed.dated else None,
        "precision": pa.repeat("day", len(who)),
        "source": pa.repeat("made", len(who)),
    }
    if named == "study":
        columns |= {"patient_key": None, "PatientID": None, "AccessionNumber": _texts(who, _study)}
    elif named == "other":
        columns["AccessionNumber"] = _texts((who + 1) % patients, _study)
    return _table(columns, tables.CLINICAL_EVENTS, len(who))


def _study(patient: int) -> str:
    return f"A{patient:08}"


def _texts(numbers: Any, name: Callable[[int], str]) -> pa.Array:
    return pa.array([name(number) for number in numbers.tolist()])


def _table(columns: dict[str, Any], schema: pa.Schema, rows: int) -> pa.Table:
    made = [
        pa.nulls(rows, field.type)
        if columns.get(field.name) is None
        else columns[field.name].cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(made, schema=schema)


def _write_series(store: Store, made: _Made) -> None:
    """All series in one study a patient, and the elements of what is asked."""
    elements, rows = [], []
    for said in made.series:
        ids, who = said["id"], said["who"]
        days = pa.array(_SINCE + said["day"].astype("timedelta64[D]"))
        number = len(ids)
        tesla = None if said["tesla"] is None else pa.repeat(said["tesla"], number)
        rows.append(_table({
            "series_id": pa.array(ids), "patient_key": pa.array(who),
            # a study of the day, and the one whose accession number is known
            "study_key": pa.array(np.where(ids <= made.patients, who, ids + made.patients)),
            "source": pa.repeat("made", number), "complete": pa.repeat("all", number),
            "instances": pa.repeat(1, number), "PatientID": _texts(who, _name),
            "StudyInstanceUID": _texts(ids, lambda n: f"2.25.1{n:012}"),
            "SeriesInstanceUID": _texts(ids, lambda n: f"2.25.2{n:012}"),
            "StudyDate": days, "Modality": pa.repeat(said["Modality"], number),
            "MagneticFieldStrength": tesla,
            "AccessionNumber": _texts(who, _study) if ids[:1].tolist() == [1] else None,
            "varying": pa.array([[]] * number, pa.list_(pa.string())),
        }, tables.SERIES, number))  # fmt: skip
        common = {
            "series_id": pa.array(ids), "position": pa.repeat(1, number),
            "instances": pa.repeat(1, number), "folded": pa.array([False] * number),
        }  # fmt: skip
        elements.append((("Modality", "CS", {"text": said["Modality"]}), common))
        if tesla is not None:
            told = {"number": said["tesla"], "text": str(said["tesla"])}
            elements.append((("MagneticFieldStrength", "DS", told), common))
        if said["region"]:
            told = {"code_value": said["region"], "code_scheme": "SCT"}
            elements.append((("AnatomicRegionSequence", "SQ", told), common))
    pieces = []
    for (path, vr, told), common in sorted(elements, key=lambda row: row[0][0]):
        number = len(common["series_id"])
        same = {"path": path, "vr": vr, **told}
        columns = {**common, **{name: pa.repeat(value, number) for name, value in same.items()}}
        pieces.append(_table(columns, tables.ELEMENTS, number))
    store.append("elements", pa.concat_tables(pieces))
    store.commit_series(pa.concat_tables(rows), [], "made")
