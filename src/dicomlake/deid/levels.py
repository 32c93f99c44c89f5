"""What is done with each attribute at each place of an object of one SOP class.

A `Level` is a place: the data set, or the items of a sequence. It is asked by the tag and the VR of
an element as `walk` gives them, decides once, and remembers.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dicomlake.deid import tables
from dicomlake.deid.profiles import Decision, Profile
from dicomlake.dicom import dictionary
from dicomlake.dicom.defined import LISTED

KEEP, SWEEP, GONE, EMPTY, DUMMY, UID, DATE, AGE, NUMBER, RECURSE, PSEUDONYM, NAME = (
    "keep", "sweep", "gone", "empty", "dummy", "uid", "date", "age", "number", "recurse",
    "pseudonym", "name",
)  # fmt: skip
"""What is done with bytes: `number`: kept if they are one; `pseudonym`, `name`: of the patient."""


class Act(NamedTuple):
    """What is done with an element: how, as which VR, the letter of the Standard, and why."""

    do: str
    vr: str
    action: str
    why: str
    inside: Level | None = None
    swept: str = "value"
    """What is looked for in texts: value, prose or names, see `sweeping`; "" nothing."""
    listed: frozenset[str] = frozenset()
    """Values that the Standard lists for it: they are nobody's, whoever has such a name."""


UNKNOWN = "neither in Table E.1-1 nor in PS3.6"
"""Why an attribute that no dictionary knows goes."""
BINARY = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
TEXTS = frozenset(["AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"])
TIMES = frozenset(["DA", "DT", "TM"])
NUMBERS = frozenset(["AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"])
VRS = BINARY | TEXTS | TIMES | NUMBERS | {"AS", "DS", "IS", "PN", "SQ", "UI"}

STRUCTURE = frozenset(
    dictionary.tag_of(keyword)
    for keyword in """
    SOPClassUID MediaStorageSOPClassUID TransferSyntaxUID ReferencedSOPClassUID
    ReferencedRelatedGeneralSOPClassUIDInFile RelatedGeneralSOPClassUID
    OriginalSpecializedSOPClassUID
    CodingSchemeUID ContextUID MappingResourceUID ContextGroupExtensionCreatorUID
    ReferencedTransferSyntaxUIDInFile AvailableTransferSyntaxUID SOPClassesInStudy
    SOPClassesSupported EncryptedContentTransferSyntaxUID MACCalculationTransferSyntaxUID
    """.split()
    if dictionary.is_keyword(keyword)
)
"""UIDs that name kinds of things, never a thing: of the Standard or of a vendor."""
SHAPES = frozenset(
    dictionary.tag_of(keyword)
    for keyword in """
    ValueType RelationshipType ContinuityOfContent GraphicType TemporalRangeType GraphicLayer
    BoundingBoxAnnotationUnits AnchorPointAnnotationUnits GraphicAnnotationUnits GraphicFilled
    SpatialLocationsPreserved ReferencedFrameNumber ReferencedSegmentNumber
    ReferencedContentItemIdentifier
    AnchorPointVisibility BoundingBoxTextHorizontalJustification PixelOriginInterpretation
    """.split()
)
"""What says how something is built: kept where everything else becomes a dummy."""
CONTENT = frozenset(
    ["ContentSequence", "AcquisitionContextSequence", "SpecimenPreparationStepContentItemSequence"]
)
"""Sequences whose items are content items: name and value."""
_MARKERS = frozenset(
    [0x00120062, 0x00120063, 0x00120064, 0x00280303, 0x0008001A, 0xFFFCFFFC, 0xFFFAFFFA]
)
_LOOKED = {"option device": "names", "option institution": "", "rule of the site": "names"}
"""What is looked for in texts that somebody decided to keep."""
_ENTITY = 0x00400032
"""Universal Entity ID."""
_PATIENT_ID, _PATIENT_NAME = 0x00100020, 0x00100010


class Level(dict[tuple[bytes, bytes], Act]):
    """What is done with the elements of one place.

    `strict`: the place is in a sequence that the profile replaces; nothing of its values stays.
    """

    def __init__(
        self, profile: Profile, SOPClassUID: str, path: str = "", *, strict: bool = False
    ) -> None:
        super().__init__()
        self.profile, self.SOPClassUID = profile, SOPClassUID
        self.path, self.strict = path, strict
        self.content = path.rpartition(".")[2] in CONTENT
        self._inside: dict[tuple[str, bool], Level] = {}

    def __missing__(self, key: tuple[bytes, bytes]) -> Act:
        tag = number_of(key[0])
        act = self._decided(tag, _vr(tag, key[1].decode("ascii", "replace")))
        if act.do == SWEEP and act.vr == "CS":
            act = act._replace(listed=_listed().get(dictionary.public_segment(tag), frozenset()))
        if len(self) < 20_000:
            self[key] = act
        return act

    def inside(self, name: str, *, strict: bool = False) -> Level:
        """The items of a sequence at this place; a sequence inside itself is the same place."""
        strict = strict or self.strict
        if name == self.path.rpartition(".")[2] and strict == self.strict:
            return self
        found = self._inside.get((name, strict))
        if found is None:
            path = f"{self.path}.{name}" if self.path else name
            found = self._inside[name, strict] = Level(
                self.profile, self.SOPClassUID, path, strict=strict
            )
        return found

    def stricter(self) -> Level:
        """The same place, where nothing of the values stays."""
        if self.strict:
            return self
        found = self._inside.get(("", True))
        if found is None:
            found = Level(self.profile, self.SOPClassUID, self.path, strict=True)
            self._inside["", True] = found
        return found

    def private(self, vr: str, decision: Decision, name: str) -> Act:
        """What is done with a private element of which this was decided."""
        return self._applied(decision, 0, vr, name)

    def _decided(self, tag: int, vr: str) -> Act:
        if not tag & 0xFFFF:
            return Act(GONE, vr, "", "group length")
        if tag in _MARKERS and (tag != 0xFFFAFFFA or self.profile.decide(tag) is not None):
            return Act(GONE, vr, "X" if tag >> 16 > 0x28 else "", "written anew")
        name = dictionary.public_segment(tag)
        decision = self.profile.decide(tag)
        if decision is not None:
            return self._applied(decision, tag, vr, name)
        if not tables.vr_of(tag):
            return Act(GONE, vr, "X", UNKNOWN)
        if tag >> 24 == 0x60 and self._gone(tables.OVERLAYS):
            return Act(GONE, vr, "X", "an overlay is removed as a whole")
        return self._strict(tag, vr, name) if self.strict else self._outside(tag, vr, name)

    def _gone(self, tag: int) -> bool:
        decision = self.profile.decide(tag)
        return decision is not None and decision.action in ("X", "C")

    def _applied(self, decision: Decision, tag: int, vr: str, name: str) -> Act:
        """What an action of the table, of an option or of the site means for a VR."""
        action = self._resolved(decision.action, name)
        why = decision.why
        if tag == _PATIENT_ID and action in ("Z", "D"):
            return Act(PSEUDONYM, vr, "D", why)
        if self.strict and action in ("K", "C", "U*", "U"):
            return self._strict(tag, vr, name)
        if action == "X":
            return Act(GONE, vr, "X", why)
        if action == "Z":
            return Act(NAME if tag == _PATIENT_NAME else EMPTY, vr, "Z", why)
        if action == "D":
            return self._dummy(tag, vr, name, why)
        if action in ("U", "U*"):
            if vr == "SQ":
                return Act(RECURSE, vr, "U", why, self.inside(name, strict=True))
            return Act(UID if vr == "UI" else GONE, vr, "U" if vr == "UI" else "X", why)
        return self._kept(action, tag, vr, name, why)

    def _resolved(self, action: str, name: str) -> str:
        """One action of those that a row leaves to the Type of the attribute (PS3.15 E.3)."""
        if "/" not in action and action != "X":
            return action
        type_ = tables.type_of(self.SOPClassUID, f"{self.path}.{name}" if self.path else name)
        if action == "X":  # the object would be none without an attribute of Type 1 or 2
            return {1: "D", 2: "Z"}.get(type_, "X")
        choices = action.split("/")
        if choices[-1] == "U*":
            return "U*"  # of every Type: other attributes of the object may list the reference
        if type_ == 3 and "X" in choices:
            return "X"
        if type_ in (2, 3) and "Z" in choices:
            return "Z"
        return choices[-1]

    def _dummy(self, tag: int, vr: str, name: str, why: str) -> Act:
        if vr == "SQ":
            return Act(RECURSE, vr, "D", why, self.inside(name, strict=True))
        return Act(UID if vr == "UI" else DUMMY, vr, "D", why)

    def _kept(self, action: str, tag: int, vr: str, name: str, why: str) -> Act:
        """K or C: what stays is looked at by its VR."""
        if vr == "SQ":
            return Act(RECURSE, vr, action, why, self.inside(name))
        if vr in TIMES:
            return Act(DATE, vr, action, why)
        if vr == "UI":
            return Act(KEEP if action == "K" and tag else UID, vr, action, why)
        if vr == "AS":
            return Act(KEEP if action == "K" else AGE, vr, action, why)
        if vr == "PN":
            return Act(SWEEP if action == "K" else DUMMY, vr, action, why)
        if vr in TEXTS:
            swept = "prose" if action == "C" else _LOOKED.get(why, "value")
            return Act(SWEEP, vr, action, why, swept=swept)
        if vr in ("DS", "IS"):
            return Act(NUMBER, vr, action, why)
        if action == "C" and vr in BINARY:
            return Act(GONE, vr, "X", f"{why}: nothing can clean it")
        return Act(KEEP, vr, action, why)

    def _outside(self, tag: int, vr: str, name: str) -> Act:
        """Attributes that the table does not name: by their VR."""
        why = f"{vr} outside Table E.1-1"
        if vr == "SQ":
            return Act(RECURSE, vr, "", why, self.inside(name))
        if vr in TIMES:
            if self.profile.dates == "removed":
                return self._applied(Decision("X/Z/D", why), tag, vr, name)
            return Act(DATE, vr, "C" if self.profile.dates == "modified" else "", why)
        if vr == "PN":
            return self._applied(Decision("X/Z/D", why), tag, vr, name)
        if vr == "UI":
            return Act(KEEP if tag in STRUCTURE or self._keeps_uids else UID, vr, "", why)
        if vr == "AS":
            return Act(AGE, vr, "", why)
        if vr in TEXTS:
            # A UT that nobody writes by hand: the OID or the address of who gives identifiers.
            return Act(SWEEP, vr, "", why, swept="names" if tag == _ENTITY else "value")
        return Act(NUMBER if vr in ("DS", "IS") else KEEP, vr, "", why)

    @property
    def _keeps_uids(self) -> bool:
        return "uids" in self.profile.options

    def _strict(self, tag: int, vr: str, name: str) -> Act:
        why = "in a sequence that is replaced"
        if vr == "SQ":
            return Act(RECURSE, vr, "", why, self.inside(name, strict=True))
        if vr == "UI":
            return Act(KEEP if tag in STRUCTURE or self._keeps_uids else UID, vr, "", why)
        if tag == 0x00080005:
            return Act(KEEP, vr, "", why)
        if tag in SHAPES:
            do = SWEEP if vr in TEXTS else KEEP if vr in NUMBERS else NUMBER
            return Act(do, vr, "", why)
        return Act(GONE if vr in BINARY else DUMMY, vr, "D", why)


@cache
def _listed() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for one in LISTED:
        found[one.keyword] = found.get(one.keyword, frozenset()) | one.values
    return found


def number_of(tag: bytes) -> int:
    """A tag of `walk` as a number.

    >>> f"{number_of(bytes([0x10, 0x00, 0x20, 0x00])):08X}"
    '00100020'
    """
    return int.from_bytes((tag[1], tag[0], tag[3], tag[2]), "big")


def _vr(tag: int, said: str) -> str:
    """The VR by which an element is treated: its own, or the dictionary's where that hides less."""
    known = tables.vr_of(tag)[:2]
    if said == "?S":
        return "US"
    if said not in VRS or (said in BINARY and known not in BINARY):
        return known if known in VRS else "UN"
    return said
