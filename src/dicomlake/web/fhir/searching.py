"""What a search asks, read from the query of a URL (FHIR, search).

Parameters become one condition of `dicomlake.query`, which the engine of the lake answers. A
parameter that is not known is refused by name: an answer to another question would be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from dicomlake.errors import UsageError
from dicomlake.fhir import Site
from dicomlake.query import And, Compare, Exists, Node, Not, OneOf, Or, Same, Within
from dicomlake.terms import Code, bodyparts

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"
UIDS = ("urn:dicom:uid", "urn:ietf:rfc:3986")
MOST, USUAL = 1000, 100
"""Resources of a page: the most, and where nothing is said."""
TYPES = (
    "ImagingStudy", "Patient", "Device", "Endpoint", "BodyStructure", "Observation", "Provenance",
    "DiagnosticReport", "DocumentReference",
)  # fmt: skip
ONLY_R5 = ("ImagingSelection",)
_SIDES = {"24028007": "R", "7771000": "L", "51440002": "B", "66459002": "U"}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MOMENT = re.compile(
    r"(eq|ne|gt|ge|lt|le|sa|eb|ap)?(\d{4})(?:-(\d\d))?(?:-(\d\d))?"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)


def types_of(release: str) -> tuple[str, ...]:
    """The types that are searched in a release.

    >>> set(types_of("R5")) - set(types_of("R4"))
    {'ImagingSelection'}
    """
    return (*TYPES, *ONLY_R5) if release == "R5" else TYPES


Param = Callable[[str], Any]
Examined = Callable[[str], tuple[str, ...]]
"""Values of BodyPartExamined that mean a code of SNOMED CT."""
Tokens = list[tuple[str | None, str]]
"""Systems and values; None: whatever the system is."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a moment of a search stands for: from, up to but without, and how it is compared."""

    op: str
    low: datetime
    high: datetime
    whole_days: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A search: a condition, which ids, and how much of the answer.

    `patients` and `studies`: ids of resources that what is found belongs to; `codes`: of an
    Observation; `after`: where the page before ended.
    """

    type: str
    where: Node | None = None
    ids: frozenset[str] | None = None
    patients: frozenset[str] | None = None
    studies: frozenset[str] | None = None
    updated: tuple[Span, ...] = ()
    codes: tuple[tuple[str | None, str], ...] = ()
    count: int = USUAL
    after: str = ""
    include: frozenset[str] = frozenset()
    summary: bool = False
    elements: frozenset[str] = frozenset()

    def same(self) -> bool:
        """Whether nothing is asked but a type."""
        return self.where is None and self.ids is self.patients is self.studies is None


def asked(
    type_: str,
    params: Iterable[tuple[str, str]],
    site: Site | None = None,
    examined: Examined = lambda _: (),
    *,
    identifying: bool = True,
) -> Asked:
    """What some parameters ask of a type; UsageError says what cannot be understood.

    `site`: whose systems of identifiers and whose time zone count; `examined`: values of
    BodyPartExamined that mean a code; `identifying`: whether what tells who somebody is may be
    asked for.
    """
    found = Asked(type_)
    parts: list[Node] = []
    known = {**_PARAMS.get(type_, _OTHERS), **_of_site(type_, site or Site(b""), examined)}
    for name, value in params:
        if name in _CONTROL:
            found = _CONTROL[name](found, value)
        elif name in known:
            if not identifying and name in _IDENTIFYING:
                raise UsageError(f"{name} cannot be asked here: it would tell who somebody is.")
            made = known[name](value)
            if isinstance(made, Node):
                parts.append(made)
            else:
                found = replace(found, **made)
        else:
            there = ", ".join(sorted({*known, *_CONTROL}))
            raise UsageError(f"{name[:40]} cannot be searched for in {type_}. There are: {there}.")
    where = None if not parts else parts[0] if len(parts) == 1 else And(tuple(parts))
    return replace(found, where=where)


# Values


def tokens(value: str) -> Tokens:
    """Systems and values of a token parameter, one of which is enough.

    >>> tokens("http://x|a,b,|c")
    [('http://x', 'a'), (None, 'b'), ('', 'c')]
    """
    found: Tokens = []
    for part in re.split(r"(?<!\\),", value):
        system, bar, rest = part.replace("\\,", ",").partition("|")
        found.append((system, rest) if bar else (None, system))
    if not all(value for _, value in found):
        raise UsageError("A token needs a value: system|value, or value.")
    return found


def span(value: str) -> Span:
    """What a date parameter stands for.

    >>> span("ge2024-02").low.isoformat(), span("ge2024-02").high.isoformat()
    ('2024-02-01T00:00:00', '2024-03-01T00:00:00')
    """
    m = _MOMENT.fullmatch(value.replace(" ", "+"))
    if m is None:
        raise UsageError("A date is like 2024, 2024-01, 2024-01-31 or 2024-01-31T10:00:00+01:00.")
    try:
        low = datetime(int(m[2]), int(m[3] or 1), int(m[4] or 1), int(m[5] or 0), int(m[6] or 0),
                       int(m[7] or 0))  # fmt: skip
        if m[8]:
            low = datetime.fromisoformat(low.isoformat() + m[8].replace("Z", "+00:00"))
        return Span(m[1] or "eq", low, _end(low, m), m[5] is None)
    except (ValueError, OverflowError) as error:
        raise UsageError("There is no such date.") from error


def _end(low: datetime, m: re.Match[str]) -> datetime:
    if m[5]:
        return low + (timedelta(seconds=1) if m[7] else timedelta(minutes=1))
    if m[4]:
        return low + timedelta(days=1)
    if m[3]:
        return low.replace(year=low.year + low.month // 12, month=low.month % 12 + 1)
    return low.replace(year=low.year + 1)


def _either(found: list[Node]) -> Node:
    return found[0] if len(found) == 1 else Or(tuple(found))


_NEVER = Compare("StudyInstanceUID", "=", "none")
"""What no study meets: no UID has letters."""


# Conditions on studies


def _modality(value: str) -> Node:
    codes = tuple(v for system, v in tokens(value) if system in (None, DCM))
    return OneOf("Modality", codes) if codes else _NEVER


def _site(examined: Examined) -> Param:
    def made(value: str) -> Node:
        codes = [code for system, code in tokens(value) if system in (None, SCT)]
        return _either([_one_site(code, examined) for code in codes] or [_NEVER])

    return made


def _one_site(code: str, examined: Examined) -> Node:
    """Series that show a part of a body, wherever that is written."""
    found: list[Node] = []
    if terms := examined(code):
        found.append(OneOf("BodyPartExamined", terms))
    if code.isascii() and code.isdecimal():
        found.append(Within("AnatomicRegionSequence", Code(code, "SCT", "")))
        about = Compare("annotation.kind", "=", "body part")
        shows = Within("annotation.structure", Code(code, "SCT", ""))
        found.append(Same("annotation", And((about, shows))))
    return _either(found) if found else _NEVER


def terms_of(values: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Values of BodyPartExamined by the code of the region that they mean for sure.

    >>> terms_of(["BRAIN", "Brain ", "?"])
    {'12738006': ('BRAIN', 'Brain ')}
    """
    found: dict[str, list[str]] = {}
    for value in values:
        meant = bodyparts.of(bodyparts.Evidence(BodyPartExamined=value))
        if meant and meant[0].confidence >= bodyparts.SURE:
            found.setdefault(meant[0].code.value, []).append(value)
    return {code: tuple(listed) for code, listed in found.items()}


def _laterality(value: str) -> Node:
    """Series of a side, by their headers or an enricher."""
    found: list[Node] = []
    for code in (code for system, code in tokens(value) if system in (None, SCT)):
        side = _SIDES.get(code, code)
        if side in _SIDES.values():
            found += [Compare("Laterality", "=", side), Compare("ImageLaterality", "=", side)]
            number = next(one for one, letter in _SIDES.items() if letter == side)
            about = Compare("annotation.kind", "=", "body part")
            shows = Within("annotation.laterality", Code(number, "SCT", ""))
            found.append(Same("annotation", And((about, shows))))
    return _either(found) if found else _NEVER


def _both(examined: Examined) -> Param:
    """study-modality-body-site: one series has the modality and shows the body site (MII)."""
    shows = _site(examined)

    def made(value: str) -> Node:
        mark = "$" if "$" in value else ","
        found: list[Node] = []
        for pair in value.split(",") if mark == "$" else [value]:
            parts = pair.split(mark)
            if len(parts) != 2:
                raise UsageError("study-modality-body-site is MODALITY$BODYSITE, as system|code.")
            found.append(Same("series", And((_modality(parts[0]), shows(parts[1])))))
        return _either(found)

    return made


def _uid(keyword: str) -> Callable[[str], Node]:
    def made(value: str) -> Node:
        uids = tuple(v.removeprefix("urn:oid:") for _, v in tokens(value))
        return OneOf(keyword, uids)

    return made


def _identifier(site: Site) -> Param:
    """Studies by their UIDs, and by accession numbers of a system."""

    def made(value: str) -> Node:
        found: list[Node] = []
        for system, text in tokens(value):
            if system in (None, *UIDS):
                found.append(Compare("StudyInstanceUID", "=", text.removeprefix("urn:oid:")))
            if system not in UIDS:
                issuer = _issuer(system, site.accessions, site.accession_system)
                found += _issued("AccessionNumber", text, _ACCESSION_ISSUER, issuer)
        return _either(found or [_NEVER])

    return made


def _person(site: Site) -> Param:
    """Patients by an identifier and its system."""

    def made(value: str) -> Node:
        found: list[Node] = []
        for system, text in tokens(value):
            issuer = _issuer(system, site.systems, site.patient_system)
            found += _issued("PatientID", text, "IssuerOfPatientID", issuer)
        return _either(found or [_NEVER])

    return made


_ACCESSION_ISSUER = "IssuerOfAccessionNumberSequence.LocalNamespaceEntityID"


def _issuer(
    system: str | None, known: Mapping[str, str], made: Callable[[str], str]
) -> tuple[str | None, ...]:
    """The issuers that a system stands for: None any, "" none; no issuer when it is unknown."""
    if system is None:
        return (None,)
    found = [issuer for issuer, one in known.items() if one == system]
    if not found and system == made(""):
        found = [""]
    prefix = f"{made('?').removesuffix('%3F')}"
    if not found and system.startswith(prefix) and made("?").endswith("%3F"):
        found = [unquote(system.removeprefix(prefix))]
    return tuple(found)


def _issued(keyword: str, text: str, of: str, issuers: tuple[str | None, ...]) -> Iterator[Node]:
    for issuer in issuers:
        same = Compare(keyword, "=", text)
        if issuer is None:
            yield same
        elif issuer:
            yield And((same, Compare(of, "=", issuer)))
        else:
            yield And((same, Not(Exists(of))))


def _started(site: Site) -> Param:
    zone = ZoneInfo(site.zone) if site.zone else None

    def made(value: str) -> Node:
        return _either([_compared(span(part), zone) for part in value.split(",")])

    return made


def _compared(s: Span, zone: ZoneInfo | None) -> Node:
    """Studies by their day, and by their time of day where a time is asked for."""
    if s.whole_days:
        low, last = s.low.date(), s.high.date() - timedelta(days=1)
        return _by_day(s.op, low, last)
    low_, high = _local(s.low, zone), _local(s.high, zone)
    before, after = _ordered("<", low_), Not(_ordered("<", high))
    inside = And((Not(before), Not(after), Compare("StudyDate", ">=", "1000-01-01")))
    found: dict[str, Node] = {
        "eq": inside, "ap": inside, "ne": Not(inside), "lt": before, "eb": before, "gt": after,
        "sa": after, "le": Or((before, inside)), "ge": Or((inside, after)),
    }  # fmt: skip
    return And((found[s.op], Compare("StudyDate", ">=", "1000-01-01")))


def _by_day(op: str, low: date, last: date) -> Node:
    inside: Node = And((Compare("StudyDate", ">=", low), Compare("StudyDate", "<=", last)))
    found: dict[str, Callable[[], Node]] = {
        "eq": lambda: inside,
        "ap": lambda: inside,
        "ne": lambda: Or((Compare("StudyDate", "<", low), Compare("StudyDate", ">", last))),
        "gt": lambda: Compare("StudyDate", ">", last),
        "sa": lambda: Compare("StudyDate", ">", last),
        "ge": lambda: Compare("StudyDate", ">=", low),
        "lt": lambda: Compare("StudyDate", "<", low),
        "eb": lambda: Compare("StudyDate", "<", low),
        "le": lambda: Compare("StudyDate", "<=", last),
    }
    return found[op]()


def _ordered(op: str, when: datetime) -> Node:
    """Studies that began before a moment of the site's clock."""
    day = when.date()
    earlier = Compare("StudyTime", op, f"{when:%H:%M:%S}")
    return Or((Compare("StudyDate", op, day), And((Compare("StudyDate", "=", day), earlier))))


def _local(when: datetime, zone: ZoneInfo | None) -> datetime:
    """A moment by the clock of the site, which DICOM's times without an offset follow."""
    return when.astimezone(zone).replace(tzinfo=None) if when.tzinfo else when


def _status(value: str) -> Node | dict[str, Any]:
    return {} if any(text == "available" for _, text in tokens(value)) else _NEVER


# References, ids, control


def _references(name: str, type_: str) -> Callable[[str], dict[str, Any]]:
    def made(value: str) -> dict[str, Any]:
        ids = set()
        for part in value.split(","):
            kind, slash, id_ = part.rpartition("/")
            if (slash and kind.rpartition("/")[2] != type_) or not _ID.fullmatch(id_):
                raise UsageError(f"A reference here is {type_}/ID.")
            ids.add(id_)
        return {name: frozenset(ids)}

    return made


def _ids(found: Asked, value: str) -> Asked:
    listed = [part for part in value.split(",") if part]
    if not listed or not all(_ID.fullmatch(one) for one in listed):
        raise UsageError("_id is one id or several, separated by commas.")
    ids = frozenset(listed)
    return replace(found, ids=ids if found.ids is None else ids & found.ids)


def _updated(found: Asked, value: str) -> Asked:
    when = span(value)
    utc = replace(when, low=_utc(when.low), high=_utc(when.high))
    return replace(found, updated=(*found.updated, utc))


def _since(found: Asked, value: str) -> Asked:
    if value[:2].isalpha():
        raise UsageError("_since is a moment without a prefix.")
    return _updated(found, f"ge{value}")


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def _counted(found: Asked, value: str) -> Asked:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise UsageError("_count is a whole number, 0 or more.")
    if int(value) == 0:
        return replace(found, summary=True)
    return replace(found, count=min(int(value), MOST))


def _after(found: Asked, value: str) -> Asked:
    m = re.fullmatch(r"(-?\d{1,19})(\.\d{1,9})?", value, re.ASCII)
    if m is None or not -(1 << 63) <= int(m[1]) < 1 << 63:
        raise UsageError("This is no page: follow the links of an answer.")
    return replace(found, after=value)


def _included(found: Asked, value: str) -> Asked:
    known = {"ImagingStudy:patient": "Patient", "ImagingStudy:subject": "Patient",
             "ImagingStudy:endpoint": "Endpoint", "ImagingStudy:performer": "Device",
             "BodyStructure:patient": "Patient", "Observation:subject": "Patient",
             "Observation:patient": "Patient", "Observation:device": "Device",
             "Observation:part-of": "ImagingStudy", "DiagnosticReport:subject": "Patient",
             "Provenance:agent": "Device",
             "ImagingSelection:patient": "Patient", "ImagingSelection:subject": "Patient",
             "ImagingSelection:derived-from": "ImagingStudy"}  # fmt: skip
    if value not in known or not value.startswith(f"{found.type}:"):
        there = ", ".join(one for one in known if one.startswith(f"{found.type}:")) or "none"
        raise UsageError(f"_include cannot be that. There are: {there}.")
    return replace(found, include=found.include | {known[value]})


def _summary(found: Asked, value: str) -> Asked:
    if value not in ("count", "false"):
        raise UsageError("_summary is count or false.")
    return replace(found, summary=found.summary or value == "count")


def _elements(found: Asked, value: str) -> Asked:
    names = frozenset(value.split(","))
    if not all(re.fullmatch(r"[a-zA-Z]{1,40}", name) for name in names):
        raise UsageError("_elements names elements at the top, separated by commas.")
    return replace(found, elements=found.elements | names)


def _format(found: Asked, value: str) -> Asked:
    if value not in ("json", "application/json", "application/fhir+json"):
        raise UsageError("_format is json: nothing else is spoken here.")
    return found


_CONTROL: dict[str, Callable[[Asked, str], Asked]] = {
    "_id": _ids, "_lastUpdated": _updated, "_since": _since, "_count": _counted, "_page": _after,
    "_include": _included, "_summary": _summary, "_elements": _elements, "_format": _format,
}  # fmt: skip
_PATIENT = _references("patients", "Patient")
_STUDY = _references("studies", "ImagingStudy")
_COMMON: dict[str, Param] = {
    "patient": _PATIENT, "subject": _PATIENT, "subject:Patient": _PATIENT,
}  # fmt: skip
_PERSONS = ("patient.identifier", "subject.identifier", "subject:Patient.identifier",
            "patient:Patient.identifier")  # fmt: skip
_PARAMS: dict[str, dict[str, Param]] = {
    "ImagingStudy": {
        **_COMMON, "modality": _modality, "laterality": _laterality,
        "status": _status, "series": _uid("SeriesInstanceUID"),
        "instance": _uid("SOPInstanceUID"), "dicom-class": _uid("SOPClassUID"),
    },
    "Patient": {},
    "Observation": {**_COMMON, "part-of": _STUDY,
                    "code": lambda value: {"codes": tuple(tokens(value))}},
    "DiagnosticReport": {**_COMMON, "study": _STUDY},
    "ImagingSelection": {**_COMMON, "derived-from": _STUDY, "study-uid": _uid("StudyInstanceUID")},
    "Provenance": {"patient": _PATIENT, "target": _STUDY},
    "Device": {},
    "Endpoint": {},
}  # fmt: skip
_OTHERS = _COMMON
_IDENTIFYING = frozenset(["identifier", "started", "series", "instance", "study-uid", *_PERSONS])


def _of_site(type_: str, site: Site, examined: Examined) -> dict[str, Param]:
    """Parameters whose meaning depends on the site, or on what its headers say."""
    if type_ == "Patient":
        return {"identifier": _person(site)}
    if "patient" not in _PARAMS.get(type_, _OTHERS):
        return {}
    found = dict.fromkeys(_PERSONS, _person(site))
    if type_ == "ImagingStudy":
        found |= {"identifier": _identifier(site), "started": _started(site)}
        found |= {"bodysite": _site(examined), "study-modality-body-site": _both(examined)}
    return found


def params_of(type_: str) -> list[tuple[str, str]]:
    """The parameters of a type and their kinds, as a CapabilityStatement lists them."""
    kinds = {"started": "date", "patient": "reference", "subject": "reference", "part-of":
             "reference", "target": "reference", "study": "reference",
             "derived-from": "reference", "study-uid": "uri",
             "study-modality-body-site": "composite"}  # fmt: skip
    known = {**_PARAMS.get(type_, _OTHERS), **_of_site(type_, Site(b""), lambda _: ())}
    listed = [(name, kinds.get(name, "token")) for name in known if not re.search(r"[.:]", name)]
    return [("_id", "token"), ("_lastUpdated", "date"), *sorted(listed)]
