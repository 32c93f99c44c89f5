"""The walk: from the bytes of one DICOM object to its raw elements (PS3.5 Section 7, PS3.10).

    root = walk(fetch, size)          fetch(offset, length) -> bytes, at most that many
    root.elements                     [(tag, vr, value), ...] in the order of the file

`tag` are the four bytes as little endian has them, `vr` two bytes (b"??" where an implicit VR
object leaves it to the dictionary), `value` is bytes, `Sequence` or `Bulk`. Nothing is decoded, and
pixel data and other large values are hopped over, not read. The object is read through a window of
32 KB; where that ends inside a sequence it grows, and from 1 MB on the sequence is read item by
item. Damage never raises: what was read stays, and `root.problems` says what was wrong.
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
LONGEST_TEXT = 4 * 1024 * 1024
"""Longer texts (bytes) are left out like bulk data."""
LONGEST_NUMBERS = 64 * 1024
"""Lists of binary numbers that are longer (bytes) are left out like bulk data."""
LARGEST_WINDOW = 256 * 1024 * 1024
"""No part of an object that has to be held at once is larger (bytes)."""
MOST_HELD = 1024 * 1024
"""A sequence that takes more than these bytes is read item by item."""
MOST_INFLATED = 1024 * 1024 * 1024
"""A deflated data set is followed up to here (bytes)."""
SMALL = 4096
"""A sequence of up to this many bytes is known by its bytes and only read when they are new."""
DEEPEST = 48
"""Sequences nested deeper than this are left out and noted."""

UNDEFINED = 0xFFFFFFFF
TOO_DEEP = f"sequences nested deeper than {DEEPEST}"
ENDS_EARLY = "the object ends too early, or a length in it is too large"
UNKNOWN_SIZE = 1 << 62

DEFLATED = frozenset(
    ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"]
)
BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

_PIXELS = frozenset([b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00"])
_ITEM, _ITEM_END, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_DELIMITERS = frozenset([_ITEM, _ITEM_END, _END])
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_BULK = frozenset(b"OB OD OF OL OV OW UN ??".split())
_UNKNOWN = frozenset([b"UN", b"??"])
_BLANK = frozenset([b"  ", b"??", b"--"])
"""What some writers put in the place of a VR that they do not know."""
_SPECIAL = _BULK | {b"SQ"}
_NUMBERS = frozenset(b"AT FD FL SL SS SV UL US UV ?S".split())
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
    uri: str = ""
    """Where a service keeps it, when that is not in the object itself."""
    __hash__ = object.__hash__


@dataclass(slots=True, eq=False)
class Sequence:
    """Items of a sequence, and its bytes in `raw` when they are few (else b"").

    `order` ("<" or ">") and `implicit` say how the values inside are encoded. Equal when the bytes
    and their encoding are.
    """

    items: list[list[Element]]
    order: str = "<"
    raw: bytes = b""
    implicit: bool = False

    def __hash__(self) -> int:
        return hash(self.raw) if self.raw else id(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Sequence)
            and bool(self.raw)
            and (self.raw, self.order, self.implicit) == (other.raw, other.order, other.implicit)
        )


Element = tuple[bytes, bytes, Union[bytes, "Sequence", Bulk]]
_Opened = tuple[bytes, bytes, int, int, bool, "_Walker"]
"""A sequence that does not end in the window: tag, VR, where it begins in the window, length,
whether it is implicit VR inside, and who walks it."""


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
        self.sequence: _Opened | None = None


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
    if not start and _guess(window) is None:
        raise DataError("not a DICOM object: it begins with nothing that could be an element")
    root = Root([], "", preamble=start == 132)
    if not start:
        root.problems.append("no preamble and DICM prefix")
    reader = _Reader(fetch, size, window, root)
    start = reader.meta(start)
    _choose(root, reader.peek(start, 8))
    if root.deflated:
        fetch, size, start = Inflated(fetch, start, size), UNKNOWN_SIZE, 0
        reader = _Reader(fetch, size, b"", root)
    walker = _Walker(root.implicit, root.order, root.problems, inflated=root.deflated)
    try:
        reader.level(start, size, walker, root.implicit, 0, root.elements)
    except _Damage as damage:
        root.problems.append(str(damage))
    if isinstance(fetch, Inflated) and fetch.problem:
        root.problems.append(fetch.problem)
    root.problems = list(dict.fromkeys(root.problems))
    if not root.elements:
        raise DataError("not a DICOM object: no element could be read")
    return root


def walk_items(raw: bytes, *, implicit: bool, order: str = "<", depth: int = 1) -> Sequence:
    """The items in the value of a sequence; DataError when they cannot be read."""
    if depth > DEEPEST:
        raise DataError(TOO_DEEP)
    items: list[list[Element]] = []
    problems: list[str] = []
    walker = _Walker(implicit, order, problems, whole=True)
    try:
        walker.items(raw, 0, len(raw), 0, implicit, depth, items)
    except (_Short, _Damage) as error:
        raise DataError("a sequence that cannot be read") from error
    if problems:
        raise DataError(problems[0])
    return Sequence(items, order, b"", implicit)


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
            self._drop(offset)  # hopped over: never hold what nobody wants
            self._more()
        self._drop(offset)
        begin = offset - self._offset
        return bytes(self._held[begin : begin + length])

    def _drop(self, offset: int) -> None:
        drop = min(max(offset - self._offset, 0), len(self._held))
        del self._held[:drop]
        self._offset += drop

    def _more(self) -> None:
        packed = self._zlib.unconsumed_tail
        if not packed:
            packed = self._fetch(self._at, max(min(self.STEP, self._size - self._at), 0))
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
        elif self._offset + len(self._held) > MOST_INFLATED:
            self.problem, self._ended = "the deflated data set is too large to be followed", True


def _choose(root: Root, head: bytes) -> None:
    """Settle VR encoding and byte order from the transfer syntax, or from the first element."""
    guess = _guess(head)
    if root.syntax in DEFLATED and guess != (False, "<"):
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


class _Reader:
    """One object, read through a window that moves on.

    A level of the data set is walked in the window. A sequence that does not fit into `MOST_HELD`
    bytes, or that the object's end cuts off, is entered item by item instead.
    """

    def __init__(self, fetch: Fetch, size: int, data: bytes, root: Root) -> None:
        self._fetch, self._size, self._root = fetch, size, root
        self._base, self._data = 0, data

    def peek(self, at: int, length: int) -> bytes:
        """Up to `length` bytes at offset `at`."""
        if at + length <= self._size:
            self._hold(at, FIRST_READ, length)
        elif at > self._base + len(self._data):
            return b""
        return self._data[at - self._base : at - self._base + length]

    def meta(self, at: int) -> int:
        """Read group 0002, explicit little endian (PS3.10 7.1); return where the data set starts.

        Its group length may be missing or wrong, so it is read while the group is 2.
        """
        elements = self._root.elements
        while (head := self.peek(at, 12))[:2] == b"\x02\x00" and len(head) >= 8:
            tag, vr, length = _head_le(head, 0)
            begin = at + 8
            if vr in _LONG and len(head) == 12:
                (length,) = _long_le(head, 8)
                begin = at + 12
            elif vr not in _SHORT:
                if elements or self._root.preamble:
                    self._problem("file meta information is not explicit little endian")
                break
            if vr in _BULK and length > INLINE:
                elements.append((tag, vr, Bulk(begin, length)))
            elif length and not self._hold(begin, length + FIRST_READ, length):
                break
            else:
                value = self._data[begin - self._base : begin - self._base + length]
                elements.append((tag, vr, value))
                if tag == b"\x02\x00\x10\x00":
                    self._root.syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
            at = begin + length
        return at

    def level(
        self, at: int, end: int, walker: _Walker, implicit: bool, depth: int, out: list[Element]
    ) -> int:
        """Append the elements from offset `at` on to `out`; return the offset where they end."""
        while at < end and self._hold(at, FIRST_READ):
            walker.wide, walker.closed = depth, -1
            pos, stop = at - self._base, end - self._base
            try:
                pos = walker.level(self._data, pos, stop, self._base, implicit, depth, out)
            except _Short as short:
                at = self._beyond(short, walker, implicit, depth, out)
                continue
            at = self._base + pos
            if walker.fragments:
                walker.fragments = False
                at = self._fragments(at, out[-1])
            elif depth and walker.closed == depth:
                return at
        if at > self._size:
            self._problem("the object ends before its bulk data do")
        return at

    def _problem(self, text: str) -> None:
        self._root.problems.append(text)

    def _hold(self, at: int, length: int, needed: int = 1) -> bool:
        """Whether the window holds the `needed` bytes at `at`, after it was moved there if not."""
        if at + needed <= self._size:
            if self._base <= at and at + needed <= self._base + len(self._data):
                return True
            self._base, self._data = at, self._fetch(at, min(length, self._size - at))
            if len(self._data) >= needed:
                return True
            if self._size == UNKNOWN_SIZE and not self._data:
                self._size = at
                return False
        self._problem(ENDS_EARLY)
        self._size = min(at, self._size)
        return False

    def _beyond(
        self, short: _Short, walker: _Walker, implicit: bool, depth: int, out: list[Element]
    ) -> int:
        """Go on where the window ended inside an element: with a larger window, or inside it."""
        at, had = self._base + short.at, len(self._data) - short.at
        needed, left = short.needed - short.at, self._size - at
        want, most = max(needed, FIRST_READ), LARGEST_WINDOW
        if short.sequence is not None:
            want, most = max(want, 8 * had if short.at == 0 else 0), MOST_HELD
        if needed <= left and want <= most:
            found = self._fetch(at, min(want, left))
            if len(found) > had:
                self._base, self._data = at, found
                return at
            left = len(found)
        if short.sequence is not None:
            return self._enter(short.sequence, depth, out)
        self._cut_off(at, walker, implicit, depth, out)
        self._size = min(self._size, at + left)
        return self._size

    def _cut_off(
        self, at: int, walker: _Walker, implicit: bool, depth: int, out: list[Element]
    ) -> None:
        """Name the element at `at`, of which the object's end left a part."""
        rest = self._data[at - self._base :]
        if not rest.strip(b"\0"):
            return  # zero padding up to the end of the file
        if not self._root.elements and not depth:
            return  # no DICOM at all
        self._problem(ENDS_EARLY)
        with contextlib.suppress(struct.error):
            tag, vr, begin = walker.begun(rest, implicit)
            out.append((tag, vr, Bulk(at + begin, len(rest) - begin, self._root.deflated)))

    def _enter(self, opened: _Opened, depth: int, out: list[Element]) -> int:
        """Read a large sequence item by item."""
        tag, vr, begin, length, implicit, inside = opened
        start, place = self._base + begin, len(out)
        items: list[list[Element]] = []
        out.append((tag, b"SQ", Sequence(items, inside.order, b"", implicit)))
        try:
            return self._items(start, length, inside, implicit, depth, items)
        except _Damage as damage:
            if length == UNDEFINED:
                raise
            if vr == b"SQ":
                self._problem(str(damage))
            else:
                out[place] = (tag, vr, Bulk(start, length, self._root.deflated))
            return start + length

    def _items(
        self,
        at: int,
        length: int,
        walker: _Walker,
        implicit: bool,
        depth: int,
        found: list[list[Element]],
    ) -> int:
        """Append the items of a large sequence to `found`; return the offset where it ends.

        One that says it is longer than the object ends where no item follows.
        """
        stop = self._size if length == UNDEFINED else at + length
        lies = stop > self._size
        while at < min(stop, self._size) and self._hold(at, MOST_HELD // 4, 8):
            tag, size = walker.item_head(self._data, at - self._base)
            if tag == _END:
                return at + 8
            if tag == _ITEM:
                item: list[Element] = []
                found.append(item)
                end = stop if size == UNDEFINED else min(at + 8 + size, stop)
                at = self._item(at + 8, end, walker, implicit, depth + 1, item)
            elif tag == _ITEM_END:
                at += 8
            elif lies:
                break
            else:
                raise _Damage("a sequence holds something that is no item")
        if lies or length == UNDEFINED:
            self._problem(ENDS_EARLY)
        return at

    def _item(
        self, at: int, end: int, walker: _Walker, implicit: bool, depth: int, out: list[Element]
    ) -> int:
        if at >= end or not self._hold(at, MOST_HELD // 4, 8):
            return at
        kind = walker.kind(self._data, at - self._base, end - self._base, implicit)
        return self.level(at, end, walker, kind, depth, out)

    def _fragments(self, start: int, element: Element) -> int:
        """Offset behind encapsulated pixel data that begin at `start` (PS3.5 A.4).

        Goes from length to length: the delimiter may also occur inside compressed bytes.
        """
        at, length, tag = start, FIRST_READ, b""
        while self._hold(at, 8 if length >= SMALL else FIRST_READ, 8):
            tag, length = _implicit_le(self._data, at - self._base)
            if tag != _ITEM or length == UNDEFINED:
                break
            at += 8 + length
        at = min(at, self._size)
        bulk = element[2]
        assert isinstance(bulk, Bulk)
        bulk.length = max(at - start, 0)
        if tag == _END:
            return at + 8
        self._problem("encapsulated pixel data that cannot be followed")
        return self._size


MOST_TAGS = 65536
"""Tags whose VR is remembered."""


class _Vrs(dict[bytes, bytes]):
    """Tag bytes to VR for implicit VR objects, filled as tags occur (PS3.5 6.2, PS3.6)."""

    def __missing__(self, tag: bytes) -> bytes:
        group, element = tag[0] | tag[1] << 8, tag[2] | tag[3] << 8
        if not group and not element:
            vr = "??"  # nothing but zero bytes
        elif element == 0:
            vr = "UL"
        elif group & 1:
            vr = "LO" if 0x10 <= element <= 0xFF else "??"
        else:
            entry = dictionary.entry_of(group << 16 | element)
            vr = entry[0] if entry else "UN"
            vr = "OW" if "OW" in vr else {"US or SS": "?S", "NONE": "UN"}.get(vr, vr)
        if len(self) > MOST_TAGS:
            self.clear()
        self[tag] = found = vr.encode()
        return found


_VRS = _Vrs()


class _Walker:
    """Walks levels in one window; a level is a data set or an item.

    A level of depth `wide` (0 is the top) goes on behind the window: there a bulk value may end
    beyond it, and `fragments` says that encapsulated ones follow. `closed` is the depth of the
    level that was last ended by a delimiter. A `whole` window is all there is, and nothing in it is
    left out; else `left_out` counts what is.
    """

    def __init__(
        self,
        implicit: bool,
        order: str,
        problems: list[str],
        *,
        inflated: bool = False,
        whole: bool = False,
    ) -> None:
        self.implicit, self.order, self.inflated, self.whole = implicit, order, inflated, whole
        self.problems = problems
        self.left_out = 0
        self.fragments = False
        self.wide = self.closed = -1
        self.head, self.long = (_head_le, _long_le) if order == "<" else (_head_be, _long_be)
        self.item_head = _implicit_le if order == "<" else _implicit_be

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

        `base` is the offset of the window in the object.
        """
        run = self._implicit if implicit else self._explicit
        return run(data, pos, end, base, depth, out)

    def begun(self, data: bytes, implicit: bool) -> tuple[bytes, bytes, int]:
        """Tag, VR and first byte of the value of an element at the start of `data`."""
        if implicit:
            tag, _ = self.item_head(data, 0)
            return tag, _VRS[tag], 8
        tag, vr, _ = self.head(data, 0)
        if self.order == ">":
            tag = _swapped(tag)
        if vr in _LONG:
            return tag, vr, 12
        return tag, vr if vr.isalpha() and vr.isupper() else _VRS[tag], 8

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
                    return self._end(tag, pos, depth)
                elif vr.isalpha() and vr.isupper():
                    begin = pos + 8  # a VR of a later edition, or a misspelt one
                elif vr in _BLANK:
                    begin, vr = pos + 8, _VRS[tag]
                else:
                    (length,) = self.long(data, pos + 4)
                    begin, vr = pos + 8, _VRS[tag]
                pos = self._special(data, tag, vr, begin, length, base, depth, out)
                if self.fragments:
                    return pos
        except struct.error:
            self._short(pos, pos + 12)
        except _Short as short:
            short.at = pos
            raise
        return pos

    def _implicit(
        self, data: bytes, pos: int, end: int, base: int, depth: int, out: list[Element]
    ) -> int:
        append, limit, vrs, special = out.append, len(data), _VRS, _SPECIAL
        head = self.item_head
        try:
            while pos < end:
                tag, length = head(data, pos)
                vr = vrs[tag]
                if vr not in special and length <= LONGEST_NUMBERS:
                    stop = pos + 8 + length
                    if stop > limit:
                        raise _Short(stop)
                    append((tag, vr, data[pos + 8 : stop]))
                    pos = stop
                    continue
                if tag in _DELIMITERS:
                    return self._end(tag, pos, depth)
                pos = self._special(data, tag, vr, pos + 8, length, base, depth, out, True)
                if self.fragments:
                    return pos
        except struct.error:
            self._short(pos, pos + 8)
        except _Short as short:
            short.at = pos
            raise
        return pos

    def _end(self, tag: bytes, pos: int, depth: int) -> int:
        """Where a level goes on, or ends if it is an item, at a delimiter or the next item."""
        self.closed = depth
        if tag == _ITEM:
            self.problems.append(
                "an item without an end" if depth else "an item outside a sequence"
            )
        elif not depth:
            self.problems.append("a delimiter outside a sequence")
        return pos + 8 if tag == _ITEM_END or not depth else pos

    def _short(self, pos: int, needed: int) -> None:
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
            self.fragments = depth == self.wide
            stop = begin if self.fragments else _after_fragments(data, begin)
            if self.whole:
                out.append((tag, vr, data[begin : stop - 8]))
            else:
                out.append(self._bulk(tag, vr, begin, max(stop - 8 - begin, 0), base))
            return stop
        stop = begin + length
        if tag == b"\0\0\0\0":
            raise _Damage("zero bytes where an element should begin")
        items = False
        if vr in _UNKNOWN and length > INLINE:  # perhaps a sequence without its VR
            if begin + 4 > limit:
                raise _Short(begin + 4)
            items = data[begin : begin + 4] == _ITEM
            if items and length > SMALL:
                known = len(self.problems)
                with contextlib.suppress(_Damage):
                    return self._sequence(data, tag, vr, begin, length, base, depth, out, implicit)
                items = False
                del self.problems[known:]
        if not items and not self.whole and _left_out(tag, vr, length, depth):
            if stop > limit and depth != self.wide:
                raise _Short(stop)
            out.append(self._bulk(tag, vr, begin, length, base))
            return stop
        if stop > limit:
            raise _Short(stop)
        out.append((tag, vr, data[begin:stop]))
        return stop

    def _bulk(self, tag: bytes, vr: bytes, begin: int, length: int, base: int) -> Element:
        self.left_out += 1
        return tag, vr, Bulk(base + begin, length, self.inflated)

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
        inside, limit = self, len(data)
        known = vr == b"SQ"
        if vr == b"UN" and not implicit:  # PS3.5 6.2.2 note 2: implicit VR little endian inside
            implicit = True
            if self.order == ">":
                inside = _Walker(True, "<", self.problems, inflated=self.inflated, whole=self.whole)
        stop = limit + 1 if length == UNDEFINED else begin + length
        if length <= SMALL and stop <= limit and implicit == self.implicit:
            out.append((tag, b"SQ", data[begin:stop]))
            return stop
        if depth >= DEEPEST:
            return self._too_deep(tag, vr, begin, length, base, out)
        items: list[list[Element]] = []
        left_out = inside.left_out
        try:
            if stop > limit and length != UNDEFINED:
                raise _Short(stop)
            stop = inside.items(data, begin, stop, base, implicit, depth + 1, items)
        except _Short as short:
            if depth == self.wide:
                short.sequence = (tag, vr, begin, length, implicit, inside)
            raise
        except _Damage as damage:
            if known:
                out.append((tag, b"SQ", Sequence(items, inside.order, b"", implicit)))
            if length == UNDEFINED or not known:
                raise
            self.problems.append(str(damage))
            return stop
        if inside is not self:
            self.left_out += inside.left_out
        small = stop - begin <= SMALL and inside.left_out == left_out
        raw = data[begin:stop] if small else b""
        out.append((tag, b"SQ", Sequence(items, inside.order, raw, implicit)))
        return stop

    def _too_deep(
        self, tag: bytes, vr: bytes, begin: int, length: int, base: int, out: list[Element]
    ) -> int:
        if length == UNDEFINED:
            raise _Damage(TOO_DEEP)
        self.problems.append(TOO_DEEP)
        out.append(self._bulk(tag, vr, begin, length, base))
        return begin + length

    def items(
        self,
        data: bytes,
        pos: int,
        end: int,
        base: int,
        implicit: bool,
        depth: int,
        found: list[list[Element]],
    ) -> int:
        """Append the items of `data[pos:end]` to `found`; return where the sequence ends."""
        head, limit = self.item_head, len(data)
        while pos < end:
            if pos + 8 > limit:
                raise _Short(pos + 8)
            tag, length = head(data, pos)
            pos += 8
            if tag == _END:
                return pos
            if tag == _ITEM_END:
                continue
            if tag != _ITEM:
                raise _Damage("a sequence holds something that is no item")
            item: list[Element] = []
            found.append(item)
            # Beyond the window, so that an item without its delimiter asks for a larger one.
            stop = limit + 1 if length == UNDEFINED else pos + length
            if stop > limit and length != UNDEFINED:
                raise _Short(stop)
            kind = self.kind(data, pos, limit, implicit)
            pos = self.level(data, pos, stop, base, kind, depth, item)
        return pos

    def kind(self, data: bytes, pos: int, end: int, implicit: bool) -> bool:
        """Whether the item that starts at `pos` is implicit; writers switch inside sequences."""
        vr = data[pos + 4 : pos + 6]
        if data[pos : pos + 2] == b"\xfe\xff" or len(vr) < 2 or self.order == ">":
            return implicit
        (length,) = _long_le(data, pos + 4) if pos + 8 <= len(data) else (0,)
        fits = bool(length == UNDEFINED or length <= end - pos - 8)
        if vr in _SHORT or vr in _LONG:
            return implicit and fits  # letters of a VR could also be a length
        return implicit or fits


def _left_out(tag: bytes, vr: bytes, length: int, depth: int) -> bool:
    """Whether a value is hopped over: bulk data, and what is longer than anybody reads."""
    if vr == b"UN" and _VRS[tag] not in _BULK:
        vr = _VRS[tag]  # a public attribute whose VR was lost on the way
    if vr in _BULK:
        return length > INLINE or (depth == 0 and tag in _PIXELS)
    return length > (LONGEST_NUMBERS if vr in _NUMBERS else LONGEST_TEXT)


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
