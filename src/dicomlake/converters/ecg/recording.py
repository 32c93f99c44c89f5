"""What a file says about one ECG: its samples as whole numbers, its measurements and statements."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MOST_SAMPLES = 8_000_000
"""So many samples, of all leads together, are read: an hour of twelve leads has 21 million."""
MOST_BYTES = 64 << 20
"""A larger file is no resting ECG."""
MOST_LEADS = 85
UV = {"nV": Decimal("0.001"), "uV": Decimal(1), "mV": Decimal(1000), "V": Decimal(1_000_000)}
"""Factors to microvolts."""
RHYTHM, MEDIAN, DERIVED = "RHYTHM", "MEDIAN BEAT", "DERIVED LEADS"
_NUMBER = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\\]+")
_LIMITS = {"AE": 16, "CS": 16, "LO": 64, "LT": 10_240, "PN": 64, "SH": 16, "ST": 1024}


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Leads that were recorded together: samples x leads as whole numbers.

    `scales` and `baselines` are in uV: a sample is number x scale + baseline.
    """

    label: str
    rate: Decimal  # Hz
    leads: tuple[str, ...]
    samples: NDArray[np.int64]
    scales: tuple[Decimal, ...]
    baselines: tuple[Decimal, ...]
    low: Decimal | None = None  # Hz, of the filters
    high: Decimal | None = None
    notch: Decimal | None = None
    numbers: tuple[int, ...] = ()
    """Numbers of the leads in MDC, where the file has numbers."""
    offset: Decimal = Decimal(0)  # ms after the first sample of the recording

    @property
    def is_original(self) -> bool:
        """Whether these are samples as they were recorded."""
        return self.label == RHYTHM


@dataclass(slots=True)
class Recording:
    """One ECG file in the words of DICOM.

    `header` are attributes by keyword, as the file says them. `moment` is when the recording began,
    with a zone only if the file has one. `measured` maps a name of `codes` to a number in its unit.
    `of_leads` the same of single leads, by the plain name of the lead, in ms and mV.
    `derivation` says how measurements come from what the file states, where they are not stated
    as such. `spikes` are pacemaker spikes in ms after the first sample.
    """

    format: str
    header: dict[str, str] = field(default_factory=dict)
    moment: datetime | None = None
    groups: list[Group] = field(default_factory=list)
    measured: dict[str, Decimal] = field(default_factory=dict)
    of_leads: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    derivation: str = ""
    summary: str = ""
    language: str = ""
    spikes: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def say(self, keyword: str, text: str | None, vr: str = "LO") -> None:
        """Take an attribute as the file says it, tidied; nothing when the text is empty."""
        if text and (tidy := self.tidied(keyword, text, vr)):
            self.header[keyword] = tidy

    def size(self, keyword: str, number: Decimal | None) -> None:
        """Take Patient's Size (metres) or Weight (kg), where somebody can have it."""
        if number is not None and 0 < number < {"PatientSize": 3, "PatientWeight": 700}[keyword]:
            self.header[keyword] = f"{float(number):.6g}"

    def tidied(self, keyword: str, text: str, vr: str) -> str:
        """A text without what DICOM does not allow; an identity that is too long is refused."""
        tidy = " ".join(_CONTROLS.sub(" ", text).split())
        if "\ufffd" in tidy:
            self.notes.append(f"{keyword} has characters that the encoding of the file lacks")
        if vr == "PN":
            tidy = tidy.replace("=", " ")
        if len(tidy) > (most := _LIMITS[vr]):
            if keyword in ("PatientID", "IssuerOfPatientID", "AccessionNumber"):
                raise DataError(f"its {keyword} has more than {most} characters")
            self.notes.append(f"{keyword} was cut at {most} characters")
            tidy = tidy[:most].rstrip()
        return tidy

    def measure(self, name: str, text: str | float | None) -> None:
        """Take a measurement when the text is a number; the first one of a name counts."""
        value = decimal(str(text)) if text is not None else None
        if value is not None:
            self.measured.setdefault(name, value)

    def measure_lead(self, lead: str, name: str, value: Decimal | None) -> None:
        """Take a measurement of one lead; the first one of a name counts."""
        if value is not None:
            self.of_leads.setdefault(lead, {}).setdefault(name, value)

    def state(self, text: str) -> None:
        """Take a statement about the ECG, once."""
        tidy = " ".join(_CONTROLS.sub(" ", text).split())[:10_000]
        if tidy and tidy not in self.statements:
            self.statements.append(tidy)


def person(family: str, given: str, middle: str = "") -> str:
    """A person's name as DICOM writes it.

    >>> person("O'Neil", "Ann^e", "")
    "O'Neil^Ann e"
    """
    parts = [part.replace("^", " ").strip() for part in (family, given, middle)]
    return "^".join(parts).rstrip("^")


def decimal(text: str | None) -> Decimal | None:
    """The number that a text is, or None.

    >>> decimal(" 4.88 "), decimal("***"), decimal("1e99999")
    (Decimal('4.88'), None, None)
    """
    text = (text or "").strip()
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def moment_of(date: str, time: str, *forms: str) -> datetime | None:
    """Date and time in one of these forms of strptime, or None."""
    for form in forms:
        try:
            return datetime.strptime(f"{date.strip()} {time.strip()}", form)
        except ValueError:
            continue
    return None


def born(text: str, *forms: str) -> str:
    """A date in one of these forms of strptime, as DICOM writes it, or ""."""
    for form in forms:
        try:
            day = datetime.strptime(text.strip(), form)
        except ValueError:
            continue
        return f"{day:%Y%m%d}" if day.year >= 1800 else ""
    return ""


def age(number: Decimal | None, unit: str) -> str:
    """An age as DICOM writes it, in years, months, weeks or days, or "" when it does not fit.

    >>> age(Decimal(7), "M"), age(Decimal(0), "Y")
    ('007M', '')
    """
    if number is None or unit not in "YMWD" or not 0 < number < 1000:
        return ""
    return f"{int(number):03d}{unit}"


def group_of(
    label: str,
    rate: Decimal | None,
    leads: Sequence[tuple[str, NDArray[np.int64]]],
    scales: Sequence[Decimal],
    baselines: Sequence[Decimal] = (),
    filters: Mapping[str, Decimal | None] | None = None,
) -> Group:
    """Leads of one length and one rate as a group; DataError when they are none."""
    filters = filters or {}
    if not leads:
        raise DataError("it has no leads")
    if rate is None or not 0 < rate < 1_000_000:
        raise DataError("it does not say how many samples a second has")
    lengths = {samples.size for _, samples in leads}
    if len(lengths) > 1:
        raise DataError("its leads have different numbers of samples: only leads of one length fit")
    if lengths == {0}:
        raise DataError("its leads have no samples")
    if any(not 0 < scale < 1_000_000 for scale in scales):
        raise DataError("it does not say how many microvolts a step of its samples has")
    return Group(
        label,
        rate,
        tuple(name for name, _ in leads),
        np.stack([samples for _, samples in leads], axis=1),
        tuple(scales),
        tuple(baselines) or (Decimal(0),) * len(leads),
        filters.get("low"),
        filters.get("high"),
        filters.get("notch"),
    )


def check_size(samples: int, leads: int = 1) -> None:
    """Raise DataError before too many samples are made."""
    if leads > MOST_LEADS:
        raise DataError(f"it has {leads} leads; at most {MOST_LEADS} are read")
    if samples * leads > MOST_SAMPLES:
        raise DataError(
            f"it says that it has {samples * leads:,} samples; at most {MOST_SAMPLES:,} are read"
        )


def with_derived_leads(group: Group) -> Group | None:
    """III, aVR, aVL and aVF, where a file has only I and II of the limb leads, in half steps.

    The numbers are exact: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.
    None where the leads are there, or I and II differ in scale.
    """
    names = group.leads
    if {"III", "aVR", "aVL", "aVF"} & set(names) or not {"I", "II"} <= set(names):
        return None
    first, second = names.index("I"), names.index("II")
    if group.scales[first] != group.scales[second] or any(group.baselines):
        return None
    one, two = group.samples[:, first], group.samples[:, second]
    made = {"III": 2 * (two - one), "aVR": -(one + two), "aVL": 2 * one - two, "aVF": 2 * two - one}
    return Group(
        DERIVED if group.is_original else f"{DERIVED}, BEAT"[:16],
        group.rate,
        tuple(made),
        np.stack(list(made.values()), axis=1),
        (group.scales[first] / 2,) * 4,
        (Decimal(0),) * 4,
        group.low,
        group.high,
        group.notch,
    )
