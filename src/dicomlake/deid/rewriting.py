"""Rewriting: a whole object without what tells who somebody is, from bytes to bytes.

The raw elements of an object are gone through once: what stays is copied as it is, what changes is
decided by its `Level`, sequences are entered to the end. Pixel data are never decoded.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from dicomlake.contracts.deid import Cleaned, Identity, Replaced, Unresolved
from dicomlake.deid import levels, tables
from dicomlake.deid.codes import meaning_of, replaced
from dicomlake.deid.levels import Act, Level, number_of
from dicomlake.deid.profiles import Decision, Profile
from dicomlake.deid.sweeping import Sweeper
from dicomlake.deid.writing import Writer, swapped
from dicomlake.dicom import walk
from dicomlake.dicom.charset import repertoire
from dicomlake.dicom.walk import Bulk, Element, Root, Sequence
from dicomlake.errors import DataError
from dicomlake.version import __version__

IMPLEMENTATION = "2.25.308595111996141265878056584044657596176"
"""Our Implementation Class UID."""
VERSION = f"DICOMLAKE {__version__}"[:16]
MARKS = {"removed": "REMOVED", "modified": "MODIFIED", "kept": "UNMODIFIED"}
"""(0028,0303) by what happens to dates."""
DICOMDIR = "1.2.840.10008.1.3.10"

_HARMLESS = (
    "no preamble and DICM prefix",
    "no transfer syntax; guessed from the first element",
    "the data set is not encoded as its transfer syntax says",
    "an item without an end",
    "a delimiter outside a sequence",
)
"""Faults of structure that leave nothing out."""
_NO_PIXELS = "the object ends before its bulk data do."
UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError,
    OSError, RecursionError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What damaged bytes may raise, in pydicom and in a mistake of ours."""
_NATIVE = frozenset([walk.IMPLICIT, walk.EXPLICIT, walk.BIG_ENDIAN, *walk.DEFLATED])
_STUDY, _NAMED = 0x0020000D, (0x00100010, 0x00100020)
"""StudyInstanceUID; PatientName and PatientID."""
_PIXELS = frozenset([0x7FE00010, 0x7FE00008, 0x7FE00009])
_CHARSET, _CHARACTERISTICS = b"\x08\x00\x05\x00", b"\x08\x00\x00\x03"
_CODE = (b"\x08\x00\x00\x01", b"\x08\x00\x02\x01", b"\x08\x00\x04\x01")
"""Code Value, Coding Scheme Designator, Code Meaning."""
_CONCEPT = b"\x40\x00\x43\xa0"
"""Concept Name Code Sequence."""
_DUMMIES = {
    "AE": b"ANONYMIZED", "AS": b"000Y", "CS": b"OTHER", "DA": b"19000101", "DS": b"0 ",
    "DT": b"19000101000000", "IS": b"0 ", "TM": b"000000", "UR": b"urn:anonymized", "UN": b"\0\0",
    "OB": b"\0\0",
}  # fmt: skip
_TEXT = b"ANONYMIZED"
_AGE = frozenset(b"0123456789DWMY ")
_LETTERS = b"0123456789+-.eE\\ \0"
_UIDS = b"0123456789.\\\0 "
_MOST_HELD = 20_000


@dataclass(slots=True)
class Memory:
    """What was made of the sequences of one patient, by place and bytes."""

    sweeper: Sweeper
    identity: Identity
    PatientID: str
    made: dict[tuple[int, bytes, bool, str, str], tuple[bytes, Counter[str]]] = field(
        default_factory=dict
    )


class Rewriter:
    """Rewrites objects as a profile says; used by one thread."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._levels: dict[str, Level] = {}

    def level(self, SOPClassUID: str) -> Level:
        """What is done at the top of objects of a SOP class."""
        found = self._levels.get(SOPClassUID)
        if found is None:
            found = self._levels[SOPClassUID] = Level(self.profile, SOPClassUID)
        return found

    def uid(self, uid: str, identity: Identity) -> str:
        """What a UID of an object becomes."""
        return uid if "uids" in self.profile.options else identity.uid(uid)

    def rewrite(self, parsed: Parsed, memory: Memory, instead: Replaced) -> Cleaned:
        """An object as it may leave; Unresolved when it may not."""
        return _Run(self, parsed, memory, instead).cleaned()


def parsed(data: bytes) -> Parsed:
    """An object in raw elements; one that cannot be read so is decoded and encoded again first."""
    try:
        return Parsed(data)
    except Unresolved as error:
        again = (
            None
            if str(error).endswith((walk.ENDS_EARLY + ".", _NO_PIXELS))
            else _recoded_whole(data)
        )
        if again is None:
            raise
        return Parsed(again)


def _recoded_whole(data: bytes) -> bytes | None:
    """An object as pydicom understands it, in explicit VR; None when it does not."""
    import io
    import warnings

    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(io.BytesIO(data), force=True)
            if ds.file_meta.get("TransferSyntaxUID", walk.IMPLICIT) in _NATIVE:
                ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            pydicom.dcmwrite(
                made, ds, implicit_vr=False, little_endian=True, enforce_file_format=True
            )
        except UNREADABLE:
            return None
    return made.getvalue()


class Parsed:
    """An object in raw elements: `data` without deflation, `root` and the first values of some."""

    def __init__(self, data: bytes) -> None:
        self.whole = self.data = data
        self.root = _walked(data)
        self.syntax = self.root.syntax
        if self.root.deflated:
            self.data = _inflated(data)
            self.root = _walked(self.data)
        faults = [one for one in self.root.problems if one not in _HARMLESS]
        if faults:
            raise Unresolved("structure", f"The object is damaged: {faults[0]}.")
        odd = self.root.order == ">" and self.root.implicit
        if odd or (self.encapsulated and self.root.implicit):
            raise Unresolved("structure", "The object is not encoded as its transfer syntax says.")
        self.elements = {e[0]: e for e in self.root.elements}

    def text(self, tag: bytes) -> str:
        """A short text at the top level, "" when it is not there."""
        found = self.elements.get(tag)
        if found is None or not isinstance(found[2], bytes):
            return ""
        return found[2].rstrip(b"\0 ").decode("latin_1").strip()

    @property
    def encapsulated(self) -> bool:
        """Whether pixel data are compressed."""
        return self.syntax not in _NATIVE


def _walked(data: bytes) -> Root:
    try:
        return walk.walk(lambda offset, length: data[offset : offset + length], len(data))
    except DataError as error:
        raise Unresolved("structure", f"The object cannot be read: {error}.") from error


def _inflated(data: bytes) -> bytes:
    """A deflated object, its data set inflated and its transfer syntax explicit."""
    at = 132 if data[128:132] == b"DICM" else 0
    while data[at : at + 2] == b"\x02\x00":
        long = data[at + 4 : at + 6] in (b"OB", b"UN", b"UT", b"OW", b"SQ")
        length = int.from_bytes(data[at + 8 : at + 12] if long else data[at + 6 : at + 8], "little")
        at += (12 if long else 8) + length
    try:
        body = zlib.decompress(data[at:], -zlib.MAX_WBITS)
    except zlib.error as error:
        raise Unresolved("structure", "The deflated data set is damaged.") from error
    meta = Writer().element(b"\x02\x00\x10\x00", b"UI", walk.EXPLICIT.encode())
    return bytes(128) + b"DICM" + meta + body


@dataclass(slots=True)
class _Creator:
    """A private creator, where it is written when something of its block stays."""

    name: str
    place: int
    element: bytes


class _Run:
    """Goes through one object."""

    def __init__(
        self, rewriter: Rewriter, parsed: Parsed, memory: Memory, instead: Replaced
    ) -> None:
        self._rewriter, self._profile = rewriter, rewriter.profile
        self._parsed, self._memory = parsed, memory
        self._replaced = instead
        self.SOPClassUID = parsed.text(b"\x08\x00\x16\x00") or parsed.text(b"\x02\x00\x02\x00")
        self._level = rewriter.level(self.SOPClassUID)
        self._counts: Counter[str] = Counter()
        self._unknown = self._private = 0
        self._declared: dict[tuple[int, str], frozenset[int] | None] = {}
        self._sweeper, self._identity = memory.sweeper, memory.identity

    def cleaned(self) -> Cleaned:
        """The object as it may leave."""
        parsed, root = self._parsed, self._parsed.root
        if self.SOPClassUID == DICOMDIR or b"\x04\x00\x20\x12" in parsed.elements:
            raise Unresolved("dicomdir", "A DICOMDIR names files of others; make a new one.")
        old = parsed.text(b"\x08\x00\x18\x00") or parsed.text(b"\x02\x00\x03\x00")
        if not self.SOPClassUID or not old:
            raise Unresolved("header", "The object has no SOPClassUID or no SOPInstanceUID.")
        syntax = self._syntax()
        writer = Writer(root.order, implicit=root.implicit)
        if "safe-private" in self._profile.options:
            self._declare(root)
        label = parsed.text(_CHARSET)
        anew = [*self._marks(writer, parsed), *self._patient(writer, parsed)]
        self._anew = frozenset(number for number, _ in anew)
        data_set = [e for e in root.elements if e[0][:2] != b"\x02\x00"]
        parts = self._elements(data_set, self._level, writer, label, top=True)
        parts += anew
        if b"\x08\x00\x18\x00" not in parsed.elements:
            said = self._uid(old).encode("ascii", "replace")
            parts.append((0x00080018, writer.element(b"\x08\x00\x18\x00", b"UI", said)))
        parts += self._substitutes(writer, syntax)
        parts.sort(key=lambda part: part[0])
        body = b"".join(part[1] for part in parts)
        if syntax in walk.DEFLATED:
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            body = packer.compress(body) + packer.flush()
            body += b"\0" * (len(body) & 1)
        SOPInstanceUID = self._uid(old)
        return Cleaned(
            bytes(128) + b"DICM" + _meta(self.SOPClassUID, SOPInstanceUID, syntax) + body,
            self._memory.PatientID,
            self._uid(parsed.text(b"\x20\x00\x0d\x00")),
            self._uid(parsed.text(b"\x20\x00\x0e\x00")),
            SOPInstanceUID,
            self.SOPClassUID,
            syntax,
            self.codes,
            dict(sorted((letter, n) for letter, n in self._counts.items() if letter)),
            tuple(self._notes()),
        )

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of what was done: options about pixels only where a step did it."""
        steps = {"113101", "113102"}
        named = [c for c in self._profile.codes if c not in steps or c in self._replaced.codes]
        more = [c for c in self._replaced.codes if c not in named]
        return tuple(sorted({*named, *more}))

    def _notes(self) -> Iterator[str]:
        yield from self._replaced.notes
        if self._unknown:
            yield f"{self._unknown} unknown elements removed"
        if self._private:
            yield f"{self._private} private elements removed"

    def _uid(self, old: str) -> str:
        return self._rewriter.uid(old, self._identity)

    def _syntax(self) -> str:
        parsed, root = self._parsed, self._parsed.root
        native = walk.IMPLICIT if root.implicit else walk.EXPLICIT
        native = walk.BIG_ENDIAN if root.order == ">" else native
        said = self._replaced.syntax or parsed.syntax
        if parsed.syntax in walk.DEFLATED and not self._replaced.syntax:
            return parsed.syntax
        if said in (walk.IMPLICIT, walk.EXPLICIT, walk.BIG_ENDIAN):
            return native
        if native != walk.EXPLICIT:
            raise Unresolved("structure", "Compressed pixel data in an object of another encoding.")
        return said

    # Elements

    def _elements(
        self,
        elements: list[Element],
        level: Level,
        writer: Writer,
        label: str,
        *,
        top: bool = False,
    ) -> list[tuple[int, bytes]]:
        """The elements of one place as they are written, by tag."""
        made: list[tuple[int, bytes]] = []
        creators: dict[tuple[int, int], _Creator] = {}
        substitutes = self._replaced.values if top else {}
        counts, element = self._counts, writer.element
        for tag, vr, value in elements:
            number = number_of(tag)
            if number in substitutes or (top and number in self._anew):
                continue
            if tag[0] & 1:
                self._private_element(tag, vr, value, level, writer, label, creators, made)
                continue
            act = level[tag, vr]
            do = act.do
            if act.action:
                counts[act.action] += 1
            elif do == levels.GONE and act.why == levels.UNKNOWN:
                self._unknown += 1
            if do == levels.GONE:
                continue
            if do == levels.KEEP:
                if isinstance(value, Bulk):
                    made += [(number, part) for part in self._bulk(tag, vr, value, writer)]
                else:
                    made.append((number, element(tag, vr, self._raw(value))))
            elif do == levels.RECURSE:
                found = self._sequence(tag, vr, value, act, writer, label)
                if found is not None:
                    made.append((number, found))
            elif do == levels.EMPTY:
                made.append((number, element(tag, self._said(vr, act), b"")))
            else:
                changed = self._changed(act, self._raw(value), label)
                made.append((number, element(tag, self._said(vr, act), changed)))
        return made

    def _said(self, vr: bytes, act: Act) -> bytes:
        """The VR under which a changed value is written."""
        if vr in (b"UN", b"??", b"OB", b"OW", b"?S"):
            return act.vr.encode("ascii")
        return vr

    def _raw(self, value: bytes | Bulk | Sequence) -> bytes:
        if isinstance(value, Bulk):
            return self._parsed.data[value.offset : value.offset + value.length]
        if isinstance(value, Sequence):
            raise Unresolved("structure", "A sequence where a value should be.")
        return value

    def _bulk(self, tag: bytes, vr: bytes, value: Bulk, writer: Writer) -> list[bytes]:
        data = self._parsed.data
        view = memoryview(data)[value.offset : value.offset + value.length]
        if len(view) < value.length:
            raise Unresolved("structure", "The object ends before its pixel data do.")
        if data[value.offset - 4 : value.offset] == b"\xff\xff\xff\xff":
            return writer.encapsulated(tag, vr if vr != b"??" else b"OB", view)  # type: ignore[arg-type]
        pad = b"\0" * (value.length & 1)
        vr = b"OW" if vr in (b"??",) else vr
        return [writer.head(tag, vr, value.length + len(pad)), view, pad]  # type: ignore[list-item]

    def _changed(self, act: Act, raw: bytes, label: str) -> bytes:
        """What takes the place of a value."""
        do = act.do
        if do == levels.SWEEP:
            if act.listed and raw.strip(b" \0").decode("latin_1") in act.listed:
                return raw
            return self._sweeper.clean(raw, act.vr, label, act.swept) if act.swept else raw
        if do == levels.UID:
            text = raw.rstrip(b"\0 ").decode("latin_1")
            return "\\".join(self._identity.uid(one.strip()) for one in text.split("\\")).encode()
        if do == levels.DATE:
            return self._moved(act, raw)
        if do == levels.DUMMY:
            return self._dummy(act.vr, raw)
        if do == levels.NAME:
            return self._memory.PatientID.encode() if raw.strip(b" \0") else b""
        if do == levels.PSEUDONYM:
            text = repertoire(label).decode(raw.strip(b" \0"))[0].strip()
            return self._identity.id(text).encode() if text else b""
        if do == levels.AGE:
            return _capped(raw)
        return raw if not raw.translate(None, _LETTERS) else self._number(raw, act.vr, label)

    def _number(self, raw: bytes, vr: str, label: str) -> bytes:
        """A text where a number should be: only when nothing in it identifies."""
        return raw if self._sweeper.clean(raw, vr, label) == raw else b""

    def _moved(self, act: Act, raw: bytes) -> bytes:
        text = raw.rstrip(b"\0 ").decode("latin_1")
        if not text.strip():
            return b""
        moved = self._identity.moved(text, act.vr)
        return moved.encode("ascii")

    def _dummy(self, vr: str, raw: bytes) -> bytes:
        if not raw.strip(b" \0") and vr not in levels.NUMBERS:
            return b""
        if vr in levels.NUMBERS:
            return bytes(len(raw))
        return dummy_of(vr)

    # Sequences

    def _sequence(
        self,
        tag: bytes,
        vr: bytes,
        value: bytes | Bulk | Sequence,
        act: Act,
        writer: Writer,
        label: str,
    ) -> bytes | None:
        """A sequence gone through to its end, or None when it cannot be."""
        level = act.inside
        assert level is not None
        found = _entered(self._raw(value) if isinstance(value, Bulk) else value, vr, writer)
        if found is None:
            self._unknown += 1
            return None
        unlike = (found.implicit, found.order) != (writer.implicit, writer.order)
        inside = Writer(found.order, implicit=found.implicit) if unlike else writer
        raw = found.raw or (value if isinstance(value, bytes) else b"")
        key = (id(level), raw, found.implicit, found.order, label)
        held = self._memory.made.get(key) if raw else None
        if held is None:
            before, self._counts = self._counts, Counter()
            held = (
                inside.items(self._item(item, level, inside, label) for item in found.items),
                self._counts,
            )
            self._counts = before
            if raw:
                if len(self._memory.made) > _MOST_HELD:
                    self._memory.made.clear()
                self._memory.made[key] = held
        self._counts.update(held[1])
        return writer.element(tag, b"UN" if unlike and not writer.implicit else b"SQ", held[0])

    def _item(self, item: list[Element], level: Level, writer: Writer, label: str) -> bytes:
        for tag, _, value in item:
            if tag == _CHARSET and isinstance(value, bytes):
                label = value.rstrip(b"\0 ").decode("latin_1")
        if level.content and not level.strict and self._names(item, writer):
            level = level.stricter()
        parts = self._elements(item, level, writer, label)
        coded = _coded(item, writer, level)
        if coded:
            parts = [(number, coded.get(number, part)) for number, part in parts]
        return b"".join(part[1] for part in parts)

    def _names(self, item: list[Element], writer: Writer) -> bool:
        """Whether the concept of a content item says that its value is somebody's."""
        for tag, vr, value in item:
            if tag == _CONCEPT:
                found = _entered(value, vr, writer)
                for code in found.items if found is not None else ():
                    said = [_text(e) for e in code if e[0] in _CODE[:2]]
                    if len(said) == 2 and said[1] == "DCM":
                        return said[0] in replaced(self._profile.options)
        return False

    # Private elements

    def _private_element(
        self,
        tag: bytes,
        vr: bytes,
        value: bytes | Bulk | Sequence,
        level: Level,
        writer: Writer,
        label: str,
        creators: dict[tuple[int, int], _Creator],
        made: list[tuple[int, bytes]],
    ) -> None:
        number = number_of(tag)
        group, low = number >> 16, number & 0xFFFF
        if low <= 0xFF:
            if low >= 0x10 and isinstance(value, bytes):
                name = value.rstrip(b"\0 ").decode("latin_1").strip()
                creators[group, low] = _Creator(name, number, writer.element(tag, b"LO", value))
            return
        creator = creators.get((group, low >> 8))
        act = (
            None if creator is None or level.strict else self._kept(group, creator, low, vr, level)
        )
        if act is None or creator is None or act.do == levels.GONE:
            self._private += 1
            self._counts["X"] += 1
            return
        if creator.element:
            made.append((creator.place, creator.element))
            creator.element = b""
        if act.action:
            self._counts[act.action] += 1
        if act.do == levels.RECURSE:
            found = self._sequence(tag, vr, value, act, writer, label)
            made += [(number, found)] if found is not None else []
        elif act.do == levels.KEEP:
            raw = self._raw(value)
            made.append((number, writer.element(tag, vr, raw)))
        else:
            changed = b"" if act.do == levels.EMPTY else self._changed(act, self._raw(value), label)
            made.append((number, writer.element(tag, self._said(vr, act), changed)))

    def _kept(self, group: int, creator: _Creator, low: int, vr: bytes, level: Level) -> Act | None:
        key = (group, creator.name, low & 0xFF)
        decision, known = self._profile.decide_private(key)
        if decision.action == "X" and decision.why == "private":
            declared = self._declared.get((group, creator.name), frozenset())
            if declared is not None and low & 0xFF not in declared:
                return None
            decision = Decision("K", "declared safe by the object")
        said = vr.decode("ascii", "replace")
        if said in ("UN", "??") or said not in levels.VRS:
            said = known if known in levels.VRS else "UN"
        if said == "UN" and decision.why != "rule of the site":
            return None  # nobody can tell what is in it
        segment = f'({group:04X},"{creator.name}",{low & 0xFF:02X})'
        return level.private(said, decision, segment)

    def _declare(self, root: Root) -> None:
        """Private Data Element Characteristics (0008,0300): what the object itself calls safe."""
        for item in _items_of(root, _CHARACTERISTICS, Writer(root.order, implicit=root.implicit)):
            values = {e[0]: e[2] for e in item if isinstance(e[2], bytes)}
            order = "little" if root.order == "<" else "big"
            group = int.from_bytes(values.get(b"\x08\x00\x01\x03", b""), order)  # type: ignore[arg-type]
            creator = values.get(b"\x08\x00\x02\x03", b"").rstrip(b"\0 ").decode("latin_1")
            status = values.get(b"\x08\x00\x03\x03", b"").rstrip(b"\0 ")
            listed = values.get(b"\x08\x00\x04\x03", b"")
            if status == b"SAFE":
                self._declared[group, creator] = None
            elif status == b"MIXED":
                pairs = [listed[at : at + 2] for at in range(0, len(listed), 2)]
                numbers = frozenset(int.from_bytes(p, order) & 0xFF for p in pairs)  # type: ignore[arg-type]
                self._declared[group, creator] = numbers

    # What is written anew

    def _marks(self, writer: Writer, parsed: Parsed) -> list[tuple[int, bytes]]:
        """The attributes that say what was done (PS3.15 E.1.1)."""
        done = self._harmless(parsed)
        made = {
            0x00120062: (b"CS", b"YES" if done else b"NO"),
            0x00120063: (b"LO", f"dicomlake, profile {self._profile.name}"[:64].encode()),
            0x00280303: (b"CS", MARKS[self._profile.dates].encode()),
        }
        parts = [(n, writer.element(_tag(n), vr, value)) for n, (vr, value) in made.items()]
        meanings = tables.concepts()
        items = []
        for code in self.codes:
            said = ((0x00080100, code), (0x00080102, "DCM"), (0x00080104, meanings.get(code, "")))
            items.append(
                b"".join(
                    writer.element(_tag(n), b"SH" if n != 0x00080104 else b"LO", text.encode())
                    for n, text in said
                )
            )
        parts.append((0x00120064, writer.element(_tag(0x00120064), b"SQ", writer.items(items))))
        if "113101" in self._replaced.codes:
            parts.append((0x00280301, writer.element(_tag(0x00280301), b"CS", b"NO")))
        if "113102" in self._replaced.codes:
            parts.append((0x00280302, writer.element(_tag(0x00280302), b"CS", b"NO")))
        return parts

    def _patient(self, writer: Writer, parsed: Parsed) -> list[tuple[int, bytes]]:
        """Who the object is of: the pseudonym, also where it said nothing."""
        kept = [n for n in _NAMED if (d := self._profile.decide(n)) and d.action in ("K", "C", "X")]
        if _tag(_STUDY) not in parsed.elements:
            return []
        said = self._memory.PatientID.encode()
        vrs = zip(_NAMED, (b"PN", b"LO"), strict=True)
        return [(n, writer.element(_tag(n), vr, said)) for n, vr in vrs if n not in kept]

    def _harmless(self, parsed: Parsed) -> bool:
        """Whether pixels identify nobody, as far as is known."""
        if not has_pixels(parsed) or "113101" in self.codes:
            return True
        if parsed.text(b"\x28\x00\x01\x03") == "YES":  # NO is often said where it is not true
            return False
        kind = parsed.text(b"\x08\x00\x08\x00").split("\\")
        clean = parsed.text(b"\x08\x00\x60\x00") in ("CT", "MR", "NM", "PT", "SEG", "RTDOSE")
        return clean and kind[0].strip() == "ORIGINAL"

    def _substitutes(self, writer: Writer, syntax: str) -> list[tuple[int, bytes]]:
        """What the steps put in the place of elements."""
        parts: list[tuple[int, bytes]] = []
        for number, said in self._replaced.values.items():
            if said is None or number in self._anew:
                continue
            vr, value = said
            tag = _tag(number)
            if number in _PIXELS and syntax not in _NATIVE:
                parts += [(number, p) for p in writer.encapsulated(tag, b"OB", value)]
            elif vr == "SQ":
                parts.append((number, writer.element(tag, b"SQ", _recoded(value, writer))))
            else:
                value = swapped(value, vr) if writer.order == ">" else value
                parts.append((number, writer.element(tag, vr.encode("ascii"), value)))
        return parts


def dummy_of(vr: str) -> bytes:
    """What takes the place of a value that an object cannot do without.

    >>> dummy_of("DA"), dummy_of("LO")
    (b'19000101', b'ANONYMIZED')
    """
    return _DUMMIES.get(vr, _TEXT)


def has_pixels(parsed: Parsed) -> bool:
    """Whether an object has pixel data at its top level."""
    return any(_tag(number) in parsed.elements for number in _PIXELS)


def _coded(item: list[Element], writer: Writer, level: Level) -> dict[int, bytes]:
    """The code of an item of a public scheme, by tag: it stays, in a sequence that is replaced too.

    There its meaning is the one that PS3.16 gives it.
    """
    if not item or item[0][0] != _CODE[0]:
        return {}
    said = {e[0]: e for e in item if e[0] in _CODE and isinstance(e[2], bytes)}
    if len(said) < 3:
        return {}
    value, scheme = (bytes(said[tag][2]).strip(b" \0").decode("latin_1") for tag in _CODE[:2])  # type: ignore[arg-type]
    meaning = meaning_of(value, scheme)
    if not meaning:
        return {}
    texts = list(zip(_CODE, (value, scheme, meaning), strict=True))[: 3 if level.strict else 2]
    return {
        number_of(tag): writer.element(tag, said[tag][1], text.encode("ascii", "replace"))
        for tag, text in texts
    }


def _text(element: Element) -> str:
    value = element[2]
    return value.strip(b" \0").decode("latin_1") if isinstance(value, bytes) else ""


def _entered(value: bytes | Sequence | Bulk, vr: bytes, writer: Writer) -> Sequence | None:
    """The items of a sequence as `walk` gave it, or None when they cannot be read."""
    if isinstance(value, Sequence):
        return value
    if isinstance(value, Bulk):
        return None
    if not value:
        return Sequence([], writer.order, b"", writer.implicit)
    unknown = vr != b"SQ"
    order = "<" if unknown else writer.order
    implicit = True if unknown else writer.implicit
    try:
        return walk.walk_items(value, implicit=implicit, order=order)
    except DataError:
        return None


def _items_of(root: Root, tag: bytes, writer: Writer) -> list[list[Element]]:
    for own, vr, value in root.elements:
        if own == tag:
            found = _entered(value, vr, writer)
            return found.items if found is not None else []
    return []


def _recoded(value: bytes, writer: Writer) -> bytes:
    """The items of a step, in the encoding of the object."""
    try:
        found = walk.walk_items(value, implicit=False)
    except DataError as error:
        raise Unresolved("structure", "A step gave a sequence that cannot be read.") from error

    def item(elements: list[Element]) -> bytes:
        made = []
        for tag, vr, inner in elements:
            if isinstance(inner, Sequence):
                inner = writer.items(item(one) for one in inner.items)
            elif vr == b"SQ" and isinstance(inner, bytes):
                inner = _recoded(inner, writer)
            assert isinstance(inner, bytes)
            if writer.order == ">":
                inner = swapped(inner, vr.decode("ascii"))
            made.append(writer.element(tag, vr, inner))
        return b"".join(made)

    return writer.items(item(one) for one in found.items)


def _tag(number: int) -> bytes:
    found = number.to_bytes(4, "big")
    return bytes((found[1], found[0], found[3], found[2]))


def _capped(raw: bytes) -> bytes:
    """An age of at most 90 years; "" for what is no age."""
    text = raw.strip(b" \0")
    if len(text) != 4 or not text[:3].isdigit() or text[3:] not in (b"D", b"W", b"M", b"Y"):
        return b""
    if text[3:] == b"Y" and int(text[:3]) > 89:
        return b"090Y"
    return text


def _meta(SOPClassUID: str, SOPInstanceUID: str, syntax: str) -> bytes:
    """File meta information that says nothing of where the object was."""
    writer = Writer()
    parts = [
        writer.element(b"\x02\x00\x01\x00", b"OB", b"\0\1"),
        writer.element(b"\x02\x00\x02\x00", b"UI", SOPClassUID.encode("latin_1")),
        writer.element(b"\x02\x00\x03\x00", b"UI", SOPInstanceUID.encode("latin_1")),
        writer.element(b"\x02\x00\x10\x00", b"UI", syntax.encode("latin_1")),
        writer.element(b"\x02\x00\x12\x00", b"UI", IMPLEMENTATION.encode("latin_1")),
        writer.element(b"\x02\x00\x13\x00", b"SH", VERSION.encode("latin_1")),
    ]
    body = b"".join(parts)
    return writer.element(b"\x02\x00\x00\x00", b"UL", len(body).to_bytes(4, "little")) + body
