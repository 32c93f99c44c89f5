"""The terms of a lake as one tree, for people who explore it.

At the top are groups, whose paths begin with @; below them the terms of the vocabulary:

    @attributes   attributes of headers, nested as DICOM nests them
    @private      private creators, and below each its attributes
    @reports      templates of reports, as their concepts nest
    @items        columns of content items
    @segments     segments and regions
    @waveforms    channels of waveforms, and their annotations
    @dose         dose events and totals
    @anatomy      what is in the picture
    @facts        clinical facts of patients
    @documents    texts of reports from elsewhere
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from dicomlake.dicom import dictionary
from dicomlake.errors import UsageError
from dicomlake.lake.vocabulary import Term, Vocabulary
from dicomlake.query.attributes import ANATOMY

View = Literal["technical", "clinical"]

GROUPS = {
    "@attributes": "Attributes",
    "@anatomy": "Anatomy",
    "@private": "Private attributes",
    "@reports": "Reports",
    "@items": "Content items",
    "@segments": "Segments and regions",
    "@waveforms": "Waveforms",
    "@dose": "Dose",
    "@facts": "Clinical facts",
    "@documents": "Documents",
    "@annotations": "What enrichers found",
    "@findings": "Findings of quality",
}
"""Groups at the top, and what people call them."""
_OF_ROWS = {"segment": "@segments", "channel": "@waveforms", "event": "@dose", "total": "@dose",
            "item": "@items", ANATOMY: "@anatomy", "annotation": "@annotations",
            "finding": "@findings", "fact": "@facts", "document": "@documents"}  # fmt: skip
_OPENED = {"@segments": "segment", "@items": "item", "@annotations": "annotation",
           "@findings": "finding", "@facts": "fact", "@documents": "document"}  # fmt: skip
"""Groups that stand for one table: the columns of it are directly below."""
FIRST = tuple(
    """Modality BodyPartExamined StudyDescription SeriesDescription ProtocolName StudyDate
    PatientSex PatientAge ManufacturerModelName Manufacturer StationName InstitutionName
    PatientID AccessionNumber MagneticFieldStrength SliceThickness ContrastBolusAgent""".split()
)
"""What is asked most: it comes first for clinicians."""
_RANKS = {keyword: n for n, keyword in enumerate(FIRST)}
_TECHNICAL_GROUPS = frozenset(["0002", "0028", "50xx", "60xx", "7FE0", "5400", "0004", "0000"])
_TECHNICAL = frozenset(
    """SpecificCharacterSet CodingSchemeDesignator CodingSchemeVersion CodeValue
    MappingResource ContextIdentifier ContextUID InstanceCreationDate InstanceCreationTime
    TimezoneOffsetFromUTC""".split()
)


@dataclass(frozen=True, slots=True)
class Place:
    """One node of the tree: a group, a private creator, or a term."""

    path: str
    label: str
    parent: str
    term: Term | None
    children: int
    patients: int
    studies: int
    series: int
    objects: int


class Terminology:
    """The tree of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._groups: dict[str, list[str]] = defaultdict(list)
        self._creators: dict[str, list[str]] = defaultdict(list)
        self._opened: dict[str, list[Term]] = {}
        self._crumbs: dict[str, list[tuple[str, str]]] = {}
        self._terms = {term.path: term for term in vocabulary.children()}
        for path, term in self._terms.items():
            group = group_of(term)
            self._groups[group].append(path)
            if group == "@private":
                self._creators[_creator(term)].append(path)

    def children(self, path: str, view: View, *, zero: bool = False) -> list[Place]:
        """What is directly below a node; UsageError when there is no node.

        Most patients first; in the clinical view, after what is asked most.
        """
        if not path:
            groups = [self.place(group) for group in GROUPS if group in self._groups]
            return [g for g in groups if view == "technical" or g.path != "@private"]
        if path == "@private":
            found = [self.place(f"@private/{creator}") for creator in self._creators]
            return sorted(found, key=lambda p: (-p.patients, -p.series, p.label))
        terms = [term for term in self._below(path) if zero or term.series or term.children]
        if view == "technical":
            return [self._place(t, path) for t in terms]
        asked = sorted(filter(clinical, terms), key=lambda t: _RANKS.get(t.path, len(_RANKS)))
        return [self._place(t, path) for t in asked]

    def _below(self, path: str) -> list[Term]:
        if path.startswith("@"):
            self.place(path)  # an unknown one says so
        if path.startswith("@private/"):
            return [self._terms[p] for p in self._creators.get(path.removeprefix("@private/"), ())]
        if path in _OPENED:
            return self.vocabulary.children(_OPENED[path])
        if path in GROUPS:
            return [self._terms[p] for p in self._groups.get(path, ())]
        if path not in self._opened:
            self.vocabulary[path]  # an unknown one says so
            self._opened[path] = self.vocabulary.children(path)
        return self._opened[path]

    def place(self, path: str) -> Place:
        """A node; UsageError when there is none."""
        if path.startswith("@"):
            return self._group(path)
        return self._place(self.vocabulary[path], "")

    def _group(self, path: str) -> Place:
        creator = path.removeprefix("@private/") if path.startswith("@private/") else None
        if creator is None and path not in GROUPS:
            raise UsageError(f"There is no group {path[:64]!r}. There are: {', '.join(GROUPS)}.")
        if creator is not None and creator not in self._creators:
            raise UsageError(f"Nothing in this lake has the private creator {creator[:64]!r}.")
        below = self._creators[creator] if creator is not None else self._groups.get(path, [])
        terms = [self._terms[p] for p in below]
        if path in _OPENED and terms:
            count = terms[0].children
        else:
            count = len(self._creators) if path == "@private" else len(terms)
        label = GROUPS.get(path) or creator or "No creator"
        return Place(path, label, "" if creator is None else "@private", None, count, *_most(terms))

    def _place(self, term: Term, parent: str) -> Place:
        around = term.parent if term.parent in self.vocabulary else ""
        parent = parent or around or self._above(term)
        counts = (term.patients, term.studies, term.series, term.documents)
        return Place(term.path, label_of(term), parent, term, term.children, *counts)

    def _above(self, term: Term) -> str:
        group = group_of(term)
        return f"@private/{_creator(term)}" if group == "@private" else group

    def breadcrumb(self, path: str) -> list[tuple[str, str]]:
        """Path and label of every node around one, from the top."""
        return self.around(self.place(path).parent)

    def around(self, parent: str) -> list[tuple[str, str]]:
        """Path and label of a node and of those around it, from the top."""
        if not parent:
            return []
        if parent in _OPENED.values():
            parent = _OF_ROWS[parent]
        if parent not in self._crumbs:
            place = self.place(parent)
            self._crumbs[parent] = [*self.around(place.parent), (place.path, place.label)]
        return self._crumbs[parent]

    def frequent(self, most: int = 40) -> list[str]:
        """Paths of attributes that are worth a look at their fill rates, most frequent first:
        public ones at the top that tell something of examinations."""
        terms = (self._terms[path] for path in self._groups["@attributes"])
        return [term.path for term in terms if term.series and clinical(term)][:most]

    def search(self, text: str, view: View, *, zero: bool = False, most: int = 200) -> list[Place]:
        """Nodes in which every word of a text occurs, best first."""
        terms = self.vocabulary.search(text, most)
        words = text.casefold().split()
        creators = [
            self.place(f"@private/{creator}")
            for creator in self._creators
            if view == "technical" and words and all(w in creator.casefold() for w in words)
        ]
        fit = (t for t in terms if view == "technical" or clinical(t))
        return creators + [self._place(t, "") for t in fit if zero or t.series or t.children]


def _most(terms: Iterable[Term]) -> tuple[int, int, int, int]:
    """Counts of the most frequent of some terms: at least so many have one of them."""
    listed = list(terms)
    return (
        max((t.patients for t in listed), default=0),
        max((t.studies for t in listed), default=0),
        max((t.series for t in listed), default=0),
        max((t.documents for t in listed), default=0),
    )


def group_of(term: Term) -> str:
    """The group of a term at the top of the vocabulary."""
    path = term.path
    root = dictionary.segments(path)[0] if path.startswith("(") else path.partition(".")[0]
    if path.startswith("[DICOM:WaveformAnnotationSequence]"):
        return "@waveforms"
    if path.startswith("["):
        return "@reports"
    if root in _OF_ROWS:
        return _OF_ROWS[root]
    return "@private" if _private(root) else "@attributes"


@lru_cache(maxsize=65536)
def _private(segment: str) -> bool:
    """Whether a segment is an attribute of an odd group.

    >>> _private('(0019,"SIEMENS MR HEADER",0C)'), _private("Modality")
    (True, False)
    """
    return segment.startswith("(") and int(segment[1:5], 16) % 2 == 1


def _creator(term: Term) -> str:
    root = dictionary.segments(term.path)[0]
    return dictionary.attribute(root).creator


def label_of(term: Term) -> str:
    """What people call a term: its name, else the last part of its path.

    Columns of rows are called as they are.
    """
    if term.inside and not term.path.startswith("[") and term.parent:
        return term.segment.replace("_", " ")
    return _ROWS.get(term.path) or term.name or term.segment


_ROWS = {
    "segment": "Segments and regions",
    "channel": "Channels",
    "event": "Dose events",
    "total": "Dose totals",
    "item": "Content items",
    "annotation": "What enrichers found",
    "finding": "Findings of quality",
    "fact": "Clinical facts",
    "document": "Documents",
    ANATOMY: "Anatomy",
}


def clinical(term: Term) -> bool:
    """Whether a term tells something of patients and examinations, rather than of bytes."""
    if term.inside:
        return True
    if term.vr in dictionary.BINARY or term.vr in ("UI", "AT", "UR"):
        return False
    if _private(dictionary.segments(term.path)[-1]) or term.segment in _TECHNICAL:
        return False
    return term.tag[1:5] not in _TECHNICAL_GROUPS
