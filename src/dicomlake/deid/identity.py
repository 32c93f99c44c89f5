"""What the identifiers of a patient become: keyed, so that every process and run finds the same.

`Keyed` is what a key alone makes; publishing as FHIR uses it too, so that a patient, a UID and the
days by which dates move are the same in images and in resources.
"""

from __future__ import annotations

import hmac
import re
import uuid
from datetime import date, timedelta
from functools import lru_cache

from dicomlake.contracts.pseudonyms import OTHER, PATIENT, Pseudonyms
from dicomlake.fhir.sites import Site
from dicomlake.readers.batch import key_of

STANDARD = "1.2.840.10008."
"""UIDs of the Standard, such as SOP classes, stay as they are."""
_SITE = Site(b"")
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+", re.ASCII)
_DA = re.compile(r"(\d{4})([.\-]?)(\d\d)\2(\d\d)", re.ASCII)
_DT = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)((?:\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?)?))?)?([+-]\d{4})?",
    re.ASCII,
)
_TM = re.compile(r"\d\d(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?", re.ASCII)
_REMEMBERED = 100_000


class Keyed:
    """What a key makes of UIDs, ids and patients."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.uid = lru_cache(_REMEMBERED)(self._uid)

    def digest(self, *said: str) -> bytes:
        """32 bytes that depend on the key and on what is said."""
        return hmac.digest(self._key, "\0".join(said).encode("utf-8", "surrogateescape"), "sha256")

    def days(self, patient_key: int | None, most: int) -> int:
        """How far back all dates of a patient go: from 1 day to `most`.

        >>> 1 <= Keyed(b"k" * 32).days(4711, 365) <= 365
        True
        """
        return 1 + int.from_bytes(self.digest("days", str(patient_key))[:8], "big") % most

    def _uid(self, uid: str) -> str:
        """The UID in the place of one that is not the Standard's."""
        made = uuid.UUID(bytes=self.digest("uid", uid)[:16], version=4)
        return f"2.25.{made.int}"


class KeyedIdentity:
    """What the identifiers of one patient become; fits `dicomlake.contracts.deid.Identity`.

    `days`: 0 where dates do not move; `years`: years alone stay of dates.
    """

    def __init__(
        self,
        keyed: Keyed,
        pseudonyms: Pseudonyms,
        PatientID: str,
        issuer: str = "",
        *,
        days: int = 0,
        years: bool = False,
    ) -> None:
        self._keyed, self._pseudonyms = keyed, pseudonyms
        self._system = _SITE.patient_system(issuer)
        self._own, self.days, self._years = PatientID, days, years
        self._ids: dict[tuple[str, str], str] = {}

    @property
    def PatientID(self) -> str:
        """The pseudonym of the patient."""
        return self.id(self._own)

    def uid(self, uid: str) -> str:
        """The UID in its place; those of the Standard stay."""
        if uid.startswith(STANDARD) and _UID.fullmatch(uid):
            return uid
        return self._keyed.uid(uid) if uid else uid

    def id(self, value: str, kind: str = PATIENT) -> str:
        """The pseudonym of an identifier: of kind patient, accession or other."""
        found = self._ids.get((value, kind))
        if found is None:
            kind = OTHER if kind == PATIENT and value != self._own else kind
            original = (self._system if kind == PATIENT else "", value)
            found = self._ids[value, kind] = self._pseudonyms.of(kind, [original])[original]
        return found

    def moved(self, value: str, vr: str = "DA") -> str:
        """A DA, TM or DT moved by `days`, with its precision and its time zone; "" for no date.

        Several values and ranges move one by one.
        """
        parts = value.split("\\")
        return "\\".join([self._range(one.strip(" \0"), vr) for one in parts])

    def _range(self, value: str, vr: str) -> str:
        moved = self._one(value, vr)
        if moved or "-" not in value:
            return moved
        for at in [at for at, letter in enumerate(value) if letter == "-"]:
            ends = [value[:at], value[at + 1 :]]
            made = [self._one(end.strip(), vr) for end in ends]
            if any(ends) and all(
                bool(m) == bool(e.strip()) for m, e in zip(made, ends, strict=True)
            ):
                return "-".join(made)
        return ""

    def _one(self, value: str, vr: str) -> str:
        if vr == "TM":
            return self._time(value)
        if vr == "DT":
            return self._moment(value)
        m = _DA.fullmatch(value)
        day = _day(m[1], m[3], m[4]) if m else None
        if m is None or day is None:
            return ""
        if self._years:
            return f"{m[1]}{m[2]}01{m[2]}01"
        moved = _added(day, self.days)
        return f"{moved.year:04}{m[2]}{moved.month:02}{m[2]}{moved.day:02}"

    def _time(self, value: str) -> str:
        if not _TM.fullmatch(value):
            return ""
        return "000000" if self._years else value

    def _moment(self, value: str) -> str:
        m = _DT.fullmatch(value)
        day = _day(m[1], m[2] or "07", m[3] or ("15" if m[2] else "01")) if m else None
        if m is None or day is None:
            return ""
        if self._years:
            return m[1]
        moved = _added(day, self.days)
        made = f"{moved.year:04}"
        made += f"{moved.month:02}" if m[2] else ""
        made += f"{moved.day:02}" if m[3] else ""
        return f"{made}{m[4] or ''}{m[5] or ''}"


def _day(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _added(day: date, days: int) -> date:
    """The day so many days later; dates at the ends of the calendar stay within it."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max if days > 0 else date.min


def patient_key_of(PatientID: str, issuer: str = "", StudyInstanceUID: str = "") -> int:
    """The number that the lake gives a patient: of issuer and PatientID, or else of the study."""
    if PatientID:
        return key_of("patient", issuer, PatientID)
    return key_of("patient of study", StudyInstanceUID)
