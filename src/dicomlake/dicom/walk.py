"""The walk: from the bytes of one DICOM object to its raw elements (PS3.5 Section 7, PS3.10).

    root = walk(fetch, size)          fetch(offset, length) -> bytes, at most that many
    root.elements                     [(tag, vr, value), ...] in the order of the file

`tag` are the four bytes as little endian has them, `vr` two bytes (b"??" where an implicit VR
object leaves it to the dictionary), `value` is bytes, `Sequence` or `Bulk`. Nothing is decoded,
copied twice or read twice; pixel data and other large binary values are hopped over, not read.
Damage never raises: what was read stays, and `root.problems` says what was wrong.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Union

from dicomlake.dicom import dictionary
from dicomlake.errors import DataError

Fetch = Callable[[int, int], bytes]

FIRST_READ = 32 * 1024
"""Bytes of the first read: the header of nearly every image fits."""
INLINE = 1024
"""Binary values up to this many bytes are kept, longer ones are left out with their length."""
LARGEST_WINDOW = 256 * 1024 * 1024
"""No part of an object that has to be held at once may be larger (bytes)."""
SMALL = 4096
"""A sequence of up to this many bytes is known by its bytes and only read when they are new."""
DEEPEST = 48
"""Sequences nested deeper than this are left out and noted."""

UNDEFINED = 0xFFFFFFFF
UNKNOWN_SIZE = 1 << 62

DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

_PIXELS = frozenset([b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00"])
_ITEM, _ITEM_END, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_DELIMITERS = frozenset([_ITEM_END, _END])
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_BULK = frozenset(b"OB OD OF OL OV OW UN ??".split())
_UNKNOWN = frozenset([b"UN", b"??"])
_SPECIAL = _BULK | {b"SQ"}
_PIXEL_VRS = frozenset(b"OB OW OD OF OL OV".split())

_head_le = struct.Struct("<4s2sH").unpack_from
_head_be = struct.Struct(">4s2sH").unpack_from
_long_le = struct.Struct("<I").unpack_from
_long_be = struct.Struct(">I").unpack_from
_implicit_le = struct.Struct("<4sI").unpack_from


def _implicit_be(data: bytes, pos: int) -> tuple[bytes, int]:
    tag, length = struct.unpack_from(">4sI", data, pos)
    return _swapped(tag), length


@dataclass(slots=True)
class Bulk:
    """A value that was left out: where it lies (bytes from the start) and how long it is.

    `inflated` says that the offset counts in the inflated data set of a deflated object.
    """

    offset: int
    length: int
    inflated: bool = False
    __hash__ = object.__hash__


@dataclass(slots=True, eq=False)
class Sequence:
    """Items of a sequence, and its bytes in `raw` when they are few (else b"").

    `order` is "<" or ">", the byte order of the values inside. Equal when the bytes are.
    """

    items: list[list[Element]]
    order: str = "<"
    raw: bytes = b""

    def __hash__(self) -> int:
        return hash(self.raw) if self.raw else id(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Sequence) and bool(self.raw) and self.raw == other.raw


Element = tuple[bytes, bytes, Union[bytes, "Sequence", Bulk]]


@dataclass(slots=True)
class Root:
    """One object: file meta and data set in one list, and what was wrong with its structure."""

    elements: list[Element]
    syntax: str
    order: str = "<"
    implicit: bool = False
    deflated: bool = False
    preamble: bool = True
    problems: list[str] = field(default_factory=list)


class _Short(Exception):
    """The window ends inside the element that starts at `at`; `needed` is where it would end."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.at = 0


class _Damage(Exception):
    """The bytes cannot be DICOM from here on."""


def sniff(head: bytes) -> bool:
    """Whether the first bytes (132 or more) may begin a DICOM object, with a preamble or without.

    >>> sniff(bytes(128) + b"DICM"), sniff(b"PK")
    (True, False)
    >>> sniff(b"\\x08\\x00\\x05\\x00CS\\x0a\\x00ISO_IR 6")
    True
    """
    return head[128:132] == b"DICM" or _guess(head) is not None


def _guess(head: bytes) -> tuple[bool, str] | None:
    """(implicit, order) of a data set that begins at once, or None when it cannot be one."""
    if len(head) < 8:
        return None
    group_le = head[0] | head[1] << 8
    group_be = head[1] | head[0] << 8
    explicit = head[4:6] in _SHORT or head[4:6] in _LONG
    if group_le in (2, 4, 8) and head[3] < 0x20:
        if explicit:
            return False, "<"
        length = int.from_bytes(head[4:8], "little")
        return (True, "<") if length < 0x10000 else None
    if group_be in (2, 8) and head[2] < 0x20 and explicit:
        return False, ">"
    return None


def walk(fetch: Fetch, size: int) -> Root:
    """The raw tree of the object that `fetch` reads, `size` bytes long.

    DataError only when the bytes are no DICOM object at all.
    """
    window = fetch(0, min(size, FIRST_READ))
    start = 132 if window[128:132] == b"DICM" else 0
    root = Root([], "", preamble=start == 132)
    if not start:
        root.problems.append("no preamble and DICM prefix")
    start = _meta(fetch, size, window, start, root)
    head = window[start : start + 8] if start + 8 <= len(window) else fetch(start, 8)
    _choose(root, head)
    if root.deflated:
        fetch, size, start, window = Inflated(fetch, start, size), UNKNOWN_SIZE, 0, b""
    _top(fetch, size, window, start, root)
    if isinstance(fetch, Inflated) and fetch.problem:
        root.problems.append(fetch.problem)
    if not root.elements:
        raise DataError("not a DICOM object: no element could be read")
    return root


def walk_items(raw: bytes, *, implicit: bool, order: str = "<", depth: int = 1) -> Sequence:
    """The items in the value of a sequence; DataError when they cannot be read."""
    walker = _Walker(implicit, order)
    try:
        items, _ = walker.items(raw, 0, len(raw), 0, implicit, depth)
    except (_Short, _Damage, struct.error) as error:
        raise DataError("a sequence that cannot be read") from error
    return Sequence(items, order)


class Inflated:
    """The data set of a deflated object as `fetch(offset, length)`, read forward only."""

    STEP = 16 * 1024

    def __init__(self, fetch: Fetch, start: int, size: int) -> None:
        self._fetch, self._at, self._size = fetch, start, size
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        self._held, self._offset = bytearray(), 0
        self._ended = False
        self.problem = ""

    def __call__(self, offset: int, length: int) -> bytes:
        """Up to `length` inflated bytes from `offset`, which never goes back."""
        while not self._ended and self._offset + len(self._held) < offset + length:
            if offset > self._offset:  # hopped over: never hold what nobody wants
                drop = min(offset - self._offset, len(self._held))
                del self._held[:drop]
                self._offset += drop
            self._more()
        begin = max(offset - self._offset, 0)
        found = bytes(self._held[begin : begin + length])
        del self._held[:begin]
        self._offset += begin
        return found

    def _more(self) -> None:
        packed = self._zlib.unconsumed_tail
        if not packed:
            packed = self._fetch(self._at, min(self.STEP, self._size - self._at))
            self._at += len(packed)
        try:
            self._held += self._zlib.decompress(packed, 64 * self.STEP)
        except zlib.error:
            self.problem, self._ended = "the deflated data set is damaged", True
            return
        if self._zlib.eof:
            self._ended = True
        elif not packed:
            self.problem, self._ended = "the deflated data set ends too early", True


def _meta(fetch: Fetch, size: int, window: bytes, start: int, root: Root) -> int:
    """Read group 0002, explicit little endian (PS3.10 7.1); return where the data set starts."""
    pos, data, base = start, window, 0
    while True:
        if pos + 12 > len(data) and base + len(data) < size:
            base, pos = base + pos, 0
            data = fetch(base, FIRST_READ)
        if data[pos : pos + 2] != b"\x02\x00" or len(data) < pos + 8:
            break
        tag, vr, length = _head_le(data, pos)
        begin = pos + 8
        if vr in _LONG:
            if len(data) < pos + 12:
                break
            (length,) = _long_le(data, pos + 8)
            begin = pos + 12
        elif vr not in _SHORT:
            if root.elements or start == 132:
                root.problems.append("file meta information is not explicit little endian")
            break
        if base + begin + length > size or length > LARGEST_WINDOW:
            root.problems.append("file meta information ends too early")
            break
        if begin + length > len(data):
            base, pos = base + pos, 0
            data = fetch(base, begin - pos + length + FIRST_READ)
            continue
        value = data[begin : begin + length]
        root.elements.append((tag, vr, value))
        if tag == b"\x02\x00\x10\x00":
            root.syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
        pos = begin + length
    return base + pos


def _choose(root: Root, head: bytes) -> None:
    """Settle VR encoding and byte order from the transfer syntax, or from the first element."""
    guess = _guess(head)
    if root.syntax == DEFLATED:
        root.deflated = True
        return
    if not root.syntax:
        if guess is None and head:
            guess = (head[4:6] not in _SHORT and head[4:6] not in _LONG, "<")
        root.implicit, root.order = guess or (True, "<")
        root.problems.append("no transfer syntax; guessed from the first element")
        root.syntax = {(True, "<"): IMPLICIT, (False, "<"): EXPLICIT}.get(guess, BIG_ENDIAN)  # type: ignore[arg-type]
        return
    root.implicit = root.syntax == IMPLICIT
    root.order = ">" if root.syntax == BIG_ENDIAN else "<"
    if guess is not None and guess != (root.implicit, root.order):
        declared = (root.implicit, root.order)
        root.implicit, root.order = guess
        if declared[1] == guess[1] == "<" or head[:2] in (b"\x08\x00", b"\x00\x08"):
            root.problems.append("the data set is not encoded as its transfer syntax says")
        else:
            root.implicit, root.order = declared


def _top(fetch: Fetch, size: int, data: bytes, start: int, root: Root) -> None:
    """Walk the top level, moving the window on where it ends and hopping over bulk values."""
    walker = _Walker(root.implicit, root.order, root, inflated=root.deflated)
    base, pos = 0, start
    while base + pos < size:
        if pos >= len(data):
            base, pos = base + pos, 0
            data = fetch(base, min(FIRST_READ, size - base))
            if not data:
                if size != UNKNOWN_SIZE:
                    root.problems.append("the object ends too early")
                return
        try:
            pos = walker.level(data, pos, size - base, base, root.implicit, 0, root.elements)
        except _Damage as damage:
            root.problems.append(str(damage))
            return
        except _Short as short:
            found = _wider(fetch, size, data, base, short)
            if found is None:
                _salvage(walker, data, short, base, root)
                return
            base, pos, data = base + short.at, 0, found
            continue
        if walker.fragments:
            walker.fragments = False
            pos = _hop_fragments(fetch, base + pos, size, root) - base
        if base + pos > size:
            root.problems.append("the object ends before its bulk data do")


def _wider(fetch: Fetch, size: int, data: bytes, base: int, short: _Short) -> bytes | None:
    """A window that begins with the unfinished element and holds more of it, or None at the end."""
    at, had = short.at, len(data) - short.at
    left = size - base - at
    want = max(short.needed - at, FIRST_READ, 8 * had if at == 0 else 0)
    want = min(want, left, LARGEST_WINDOW)
    if short.needed - at > min(left, LARGEST_WINDOW) or want <= had:
        return None
    found = fetch(base + at, want)
    return found if len(found) > had else None


def _salvage(walker: _Walker, data: bytes, short: _Short, base: int, root: Root) -> None:
    """Keep what can be read of the element that the end of the object cuts off."""
    if not data[short.at :].strip(b"\0"):
        return  # zero padding up to the end of the file
    root.problems.append("the object ends too early, or a length in it is too large")
    walker.lenient = True
    end = len(data)
    with contextlib.suppress(_Short, _Damage):
        walker.level(data, short.at, end, base, root.implicit, 0, root.elements)


def _hop_fragments(fetch: Fetch, offset: int, size: int, root: Root) -> int:
    """Offset behind encapsulated pixel data that begin at `offset` (PS3.5 A.4).

    Goes from length to length: the delimiter may also occur inside compressed bytes.
    """
    at = offset
    while True:
        head = fetch(at, 8)
        if len(head) < 8 or at > size:
            root.problems.append("encapsulated pixel data without an end")
            at = min(size, at)
            break
        tag, length = _implicit_le(head, 0)
        at += 8
        if tag == _END:
            break
        if tag != _ITEM or length == UNDEFINED:
            root.problems.append("encapsulated pixel data that cannot be followed")
            at = size
            break
        at += length
    bulk = root.elements[-1][2]
    assert isinstance(bulk, Bulk)
    bulk.length = max(at - offset, 0) if at < UNKNOWN_SIZE else 0
    return at


class _Vrs(dict[bytes, bytes]):
    """Tag bytes to VR for implicit VR objects, filled as tags occur (PS3.5 6.2, PS3.6)."""

    def __missing__(self, tag: bytes) -> bytes:
        group, element = tag[0] | tag[1] << 8, tag[2] | tag[3] << 8
        if element == 0:
            vr = "UL"
        elif group & 1:
            vr = "LO" if 0x10 <= element <= 0xFF else "??"
        else:
            entry = dictionary.entry_of(group << 16 | element)
            vr = entry[0] if entry else "UN"
            vr = "OW" if "OW" in vr else {"US or SS": "XS", "NONE": "UN"}.get(vr, vr)
        self[tag] = found = vr.encode()
        return found


_VRS = _Vrs()


class _Walker:
    """Walks levels of one object; a level is a data set or an item.

    `lenient`: the window holds all there is, so an element cut off ends its level quietly.
    """

    def __init__(
        self, implicit: bool, order: str, root: Root | None = None, *, inflated: bool = False
    ) -> None:
        self.order, self.inflated = order, inflated
        self.problems = root.problems if root else []
        self.lenient = self.fragments = False
        self.head, self.long = (_head_le, _long_le) if order == "<" else (_head_be, _long_be)

    def level(
        self,
        data: bytes,
        pos: int,
        end: int,
        base: int,
        implicit: bool,
        depth: int,
        out: list[Element],
    ) -> int:
        """Append the elements of `data[pos:end]` to `out`; return where the level ends.

        `base` is the offset of the window in the object; depth 0 is the top. At the top a bulk
        value may end beyond the window, and `fragments` says that encapsulated ones follow.
        """
        run = self._implicit if implicit else self._explicit
        try:
            return run(data, pos, end, base, depth, out)
        except _Short:
            if self.lenient and depth:
                return len(data)
            raise

    def _explicit(
        self, data: bytes, pos: int, end: int, base: int, depth: int, out: list[Element]
    ) -> int:
        head, append, limit, short_vrs = self.head, out.append, len(data), _SHORT
        swap = self.order == ">"
        try:
            while pos < end:
                tag, vr, length = head(data, pos)
                if vr in short_vrs:
                    begin = pos + 8
                    stop = begin + length
                    if stop > limit:
                        raise _Short(stop)
                    if swap:
                        tag = _swapped(tag)
                    append((tag, vr, data[begin:stop]))
                    pos = stop
                    continue
                if swap:
                    tag = _swapped(tag)
                if vr in _LONG:
                    (length,) = self.long(data, pos + 8)
                    begin = pos + 12
                elif tag in _DELIMITERS:
                    return pos if depth and tag == _END else pos + 8
                elif vr.isalpha() and vr.isupper():
                    begin = pos + 8  # a VR of a later edition, or a misspelt one
                else:
                    (length,) = self.long(data, pos + 4)
                    begin, vr = pos + 8, _VRS[tag]
                pos = self._special(data, tag, vr, begin, length, base, depth, out)
                if self.fragments:
                    return pos
        except struct.error:
            self._short(pos, pos + 12, base)
        except _Short as short:
            short.at = pos
            raise
        return pos

    def _implicit(
        self, data: bytes, pos: int, end: int, base: int, depth: int, out: list[Element]
    ) -> int:
        append, limit, vrs, special = out.append, len(data), _VRS, _SPECIAL
        head = _implicit_le if self.order == "<" else _implicit_be
        try:
            while pos < end:
                tag, length = head(data, pos)
                vr = vrs[tag]
                if vr not in special and length != UNDEFINED:
                    stop = pos + 8 + length
                    if stop > limit:
                        raise _Short(stop)
                    append((tag, vr, data[pos + 8 : stop]))
                    pos = stop
                    continue
                if tag in _DELIMITERS:
                    return pos if depth and tag == _END else pos + 8
                pos = self._special(data, tag, vr, pos + 8, length, base, depth, out, True)
                if self.fragments:
                    return pos
        except struct.error:
            self._short(pos, pos + 8, base)
        except _Short as short:
            short.at = pos
            raise
        return pos

    def _short(self, pos: int, needed: int, base: int) -> None:
        short = _Short(needed)
        short.at = pos
        raise short

    def _special(
        self,
        data: bytes,
        tag: bytes,
        vr: bytes,
        begin: int,
        length: int,
        base: int,
        depth: int,
        out: list[Element],
        implicit: bool = False,
    ) -> int:
        """Append an element that is a sequence, bulk or simply long; return where it ends."""
        limit = len(data)
        if vr == b"SQ" or (length == UNDEFINED and vr not in _PIXEL_VRS):
            return self._sequence(data, tag, vr, begin, length, base, depth, out, implicit)
        if length == UNDEFINED:
            vr = b"OB" if implicit and vr == b"OW" else vr  # encapsulated (PS3.5 A.4)
            if depth == 0:
                out.append((tag, vr, Bulk(base + begin, 0, self.inflated)))
                self.fragments = True
                return begin
            stop = _after_fragments(data, begin)
            out.append((tag, vr, Bulk(base + begin, stop - begin, self.inflated)))
            return stop
        stop = begin + length
        if tag[:2] == b"\xfe\xff":
            raise _Damage("an item outside a sequence")
        items = vr in _UNKNOWN and data[begin : begin + 4] == _ITEM  # a sequence without its VR
        if vr in _BULK and not items and (length > INLINE or (depth == 0 and tag in _PIXELS)):
            if stop > limit and depth:
                raise _Short(stop)
            out.append((tag, vr, Bulk(base + begin, length, self.inflated)))
            return stop
        if stop > limit:
            raise _Short(stop)
        out.append((tag, vr, data[begin:stop]))
        return stop

    def _sequence(
        self,
        data: bytes,
        tag: bytes,
        vr: bytes,
        begin: int,
        length: int,
        base: int,
        depth: int,
        out: list[Element],
        implicit: bool,
    ) -> int:
        limit = len(data)
        inside = self
        if vr == b"UN" and not implicit:  # PS3.5 6.2.2 note 2: implicit VR little endian inside
            implicit = True
            if self.order == ">":
                inside = _Walker(True, "<", inflated=self.inflated)
                inside.problems, inside.lenient = self.problems, self.lenient
        stop = limit + 1 if length == UNDEFINED else begin + length
        if stop > limit and length != UNDEFINED and not self.lenient:
            raise _Short(stop)
        if length <= SMALL and stop <= limit:
            out.append((tag, b"SQ", data[begin:stop]))
            return stop
        if depth >= DEEPEST:
            raise _Damage(f"sequences nested deeper than {DEEPEST}")
        items, stop = inside.items(data, begin, stop, base, implicit, depth + 1)
        raw = data[begin:stop] if stop - begin <= SMALL else b""
        out.append((tag, b"SQ", Sequence(items, inside.order, raw)))
        return stop

    def items(
        self, data: bytes, pos: int, end: int, base: int, implicit: bool, depth: int
    ) -> tuple[list[list[Element]], int]:
        """The items of `data[pos:end]` and where the sequence ends."""
        found: list[list[Element]] = []
        head = _implicit_le if self.order == "<" else _implicit_be
        limit = len(data)
        while pos < end:
            if pos + 8 > limit:
                if self.lenient:
                    return found, limit
                raise _Short(pos + 8)
            tag, length = head(data, pos)
            if tag == _END:
                return found, pos + 8
            if tag != _ITEM:
                if tag == _ITEM_END:
                    pos += 8
                    continue
                raise _Damage("a sequence holds something that is no item")
            item: list[Element] = []
            found.append(item)
            begin = pos + 8
            if length != UNDEFINED and begin + length > limit and not self.lenient:
                raise _Short(begin + length)
            # Beyond the window, so that an item without its delimiter asks for a larger one.
            stop = limit + 1 if length == UNDEFINED else min(begin + length, limit)
            kind = self._kind(data, begin, implicit)
            pos = self.level(data, begin, stop, base, kind, depth, item)
        return found, pos

    def _kind(self, data: bytes, pos: int, implicit: bool) -> bool:
        """Whether the item that starts at `pos` is implicit; writers switch inside sequences."""
        vr = data[pos + 4 : pos + 6]
        if data[pos : pos + 2] == b"\xfe\xff" or len(vr) < 2 or self.order == ">":
            return implicit
        (length,) = _long_le(data, pos + 4) if pos + 8 <= len(data) else (0,)
        fits = length == UNDEFINED or length <= len(data) - pos - 8
        if vr in _SHORT or vr in _LONG:
            return implicit and fits  # letters of a VR could also be a length
        return implicit or fits


def _swapped(tag: bytes) -> bytes:
    return bytes((tag[1], tag[0], tag[3], tag[2]))


def _after_fragments(data: bytes, pos: int) -> int:
    """Where encapsulated data inside an item end; _Short when the window is too small."""
    while True:
        if pos + 8 > len(data):
            raise _Short(pos + 8)
        tag, length = _implicit_le(data, pos)
        pos += 8
        if tag == _END:
            return pos
        if tag != _ITEM or length == UNDEFINED:
            raise _Damage("encapsulated data that cannot be followed")
        pos += length
