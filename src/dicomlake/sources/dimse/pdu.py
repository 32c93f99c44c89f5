"""Protocol data units of the DICOM Upper Layer (PS3.8 Section 9.3) as bytes, and back.

Whatever a peer sends either becomes a value of a class here or raises `ProtocolError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dicomlake.errors import Refused
from dicomlake.version import __version__

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
"""Types of PDU."""

HEADER = struct.Struct(">BxI")
"""Type and length, the first six bytes of every PDU."""

LONGEST = 1 << 20
"""A PDU that says to be longer is refused, whatever it is."""

OUR_MAXIMUM = 131_072
"""Longest P-DATA-TF that we ask for (PS3.8 Annex D.1)."""

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_UID = "2.25.308595111996141265878056584044657596176"
"""Our Implementation Class UID (PS3.7 D.3.3.2)."""
IMPLEMENTATION = f"DICOMLAKE {__version__}"[:16]
"""Our Implementation Version Name."""

_ITEM = struct.Struct(">BxH")
_PDV = struct.Struct(">IBB")


class ProtocolError(Refused):
    """The other side does not speak the protocol as PS3.8 and PS3.7 have it."""


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context proposed (PS3.8 9.3.2.2); ids are odd numbers up to 255."""

    id: int
    abstract: str
    transfer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A presentation context answered (PS3.8 9.3.3.2): result 0 is acceptance of `transfer`."""

    id: int
    result: int
    transfer: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """Who may ask for what in an abstract syntax (PS3.7 D.3.3.4)."""

    abstract: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class User:
    """User Information (PS3.8 Annex D, PS3.7 D.3.3); maximum 0 is no limit.

    `identity`: (type, response wanted, primary field, secondary field) of PS3.7 D.3.3.7.
    """

    maximum: int = OUR_MAXIMUM
    implementation: str = IMPLEMENTATION_UID
    version: str = IMPLEMENTATION
    roles: tuple[Role, ...] = ()
    identity: tuple[int, bool, bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""

    called: str
    calling: str
    contexts: tuple[Context, ...]
    user: User = User()

    def encode(self) -> bytes:
        """The PDU as bytes."""
        items = [_item(0x10, APPLICATION_CONTEXT.encode())]
        for context in self.contexts:
            parts = [bytes((context.id, 0, 0, 0)), _item(0x30, context.abstract.encode())]
            parts += [_item(0x40, syntax.encode()) for syntax in context.transfer]
            items.append(_item(0x20, b"".join(parts)))
        return _associate(ASSOCIATE_RQ, self.called, self.calling, items, self.user)


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 9.3.3)."""

    called: str
    calling: str
    contexts: tuple[Answered, ...]
    user: User = User()

    def encode(self) -> bytes:
        """The PDU as bytes."""
        items = [_item(0x10, APPLICATION_CONTEXT.encode())]
        for context in self.contexts:
            syntax = _item(0x40, context.transfer.encode())
            items.append(_item(0x21, bytes((context.id, 0, context.result, 0)) + syntax))
        return _associate(ASSOCIATE_AC, self.called, self.calling, items, self.user)


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4): result 1 is permanent, 2 transient."""

    result: int
    source: int
    reason: int

    def encode(self) -> bytes:
        """The PDU as bytes."""
        return HEADER.pack(ASSOCIATE_RJ, 4) + bytes((0, self.result, self.source, self.reason))


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 9.3.8): source 0 is the service user, 2 the provider."""

    source: int = 0
    reason: int = 0

    def encode(self) -> bytes:
        """The PDU as bytes."""
        return HEADER.pack(ABORT, 4) + bytes((0, 0, self.source, self.reason))


RELEASE_REQUEST = HEADER.pack(RELEASE_RQ, 4) + bytes(4)
RELEASE_RESPONSE = HEADER.pack(RELEASE_RP, 4) + bytes(4)

Pdu = AssociateRequest | AssociateAccept | AssociateReject | Abort


def decode(kind: int, body: bytes) -> Pdu:
    """What a PDU says, from its type and what follows its header; not for P-DATA and release.

    >>> decode(ASSOCIATE_RJ, AssociateReject(1, 1, 7).encode()[6:])
    AssociateReject(result=1, source=1, reason=7)
    """
    if kind in (ASSOCIATE_RJ, ABORT):
        if len(body) != 4:
            raise ProtocolError(f"The other side sent a PDU of type {kind} of a wrong length.")
        return AssociateReject(*body[1:]) if kind == ASSOCIATE_RJ else Abort(body[2], body[3])
    if kind in (ASSOCIATE_RQ, ASSOCIATE_AC):
        return _decode_associate(kind, body)
    raise ProtocolError(f"The other side sent a PDU of the unknown type {kind}.")


def data(context: int, command: bool, payload: bytes | memoryview, maximum: int) -> Iterator[bytes]:
    """P-DATA-TF PDUs (PS3.8 9.3.5) of one PDV each for a whole command set or data set.

    `maximum` is what the other side takes; 0 is no limit.

    >>> [len(one) for one in data(1, True, bytes(100), 66)]
    [72, 52]
    """
    room = max(min(maximum or OUR_MAXIMUM, OUR_MAXIMUM) - 6, 2) & ~1
    for at in range(0, len(payload) or 1, room):
        part = payload[at : at + room]
        last = at + room >= len(payload)
        head = HEADER.pack(DATA, len(part) + 6)
        yield b"".join((head, _PDV.pack(len(part) + 2, context, command | last << 1), part))


def values(body: memoryview) -> Iterator[tuple[int, bool, bool, memoryview]]:
    """The PDVs of a P-DATA-TF: context, whether of a command, whether its last, and bytes."""
    at, end = 0, len(body)
    while at < end:
        if at + 6 > end:
            raise ProtocolError("The other side sent data that end in the middle of a header.")
        length, context, control = _PDV.unpack_from(body, at)
        if length < 2 or at + 4 + length > end:
            raise ProtocolError("The other side sent data of an impossible length.")
        yield context, bool(control & 1), bool(control & 2), body[at + 6 : at + 4 + length]
        at += 4 + length


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _associate(kind: int, called: str, calling: str, items: Sequence[bytes], user: User) -> bytes:
    titles = called.encode("ascii", "replace").ljust(16)[:16]
    titles += calling.encode("ascii", "replace").ljust(16)[:16]
    body = b"".join((b"\0\1\0\0", titles, bytes(32), *items, _user(user)))
    return HEADER.pack(kind, len(body)) + body


def _user(user: User) -> bytes:
    parts = [_item(0x51, struct.pack(">I", user.maximum))]
    parts.append(_item(0x52, user.implementation.encode()))
    for role in user.roles:
        uid = role.abstract.encode()
        flags = bytes((role.scu, role.scp))
        parts.append(_item(0x54, struct.pack(">H", len(uid)) + uid + flags))
    if user.version:
        parts.append(_item(0x55, user.version.encode("ascii", "replace")))
    if user.identity is not None:
        kind, response, primary, secondary = user.identity
        value = struct.pack(">BBH", kind, response, len(primary)) + primary
        parts.append(_item(0x58, value + struct.pack(">H", len(secondary)) + secondary))
    return _item(0x50, b"".join(parts))


def _decode_associate(kind: int, body: bytes) -> AssociateRequest | AssociateAccept:
    if len(body) < 68:
        raise ProtocolError("The other side sent an association that is too short.")
    called, calling = _text(body[4:20]), _text(body[20:36])
    proposed: list[Context] = []
    answered: list[Answered] = []
    user = User(0, "", "")
    for what, value in _items(body[68:]):
        if what == 0x20:
            proposed.append(_proposed(value))
        elif what == 0x21:
            answered.append(_answered(value))
        elif what == 0x50:
            user = _decode_user(value)
    if kind == ASSOCIATE_RQ:
        return AssociateRequest(called, calling, tuple(proposed[:128]), user)
    return AssociateAccept(called, calling, tuple(answered[:128]), user)


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        if at + 4 > len(body):
            raise ProtocolError("The other side sent an association with half an item.")
        kind, length = _ITEM.unpack_from(body, at)
        if at + 4 + length > len(body):
            raise ProtocolError("The other side sent an item that is longer than its PDU.")
        yield kind, body[at + 4 : at + 4 + length]
        at += 4 + length


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace").strip("\0 ")


def _proposed(value: bytes) -> Context:
    _long_enough(value, 4)
    syntaxes = list(_items(value[4:]))
    abstract = next((_text(raw) for kind, raw in syntaxes if kind == 0x30), "")
    transfer = tuple(_text(raw) for kind, raw in syntaxes if kind == 0x40)
    return Context(value[0], abstract, transfer)


def _answered(value: bytes) -> Answered:
    _long_enough(value, 4)
    transfer = ""
    if value[2] == 0:  # of a rejected one the syntax is not significant, and may be anything
        transfer = next((_text(raw) for kind, raw in _items(value[4:]) if kind == 0x40), "")
    return Answered(value[0], value[2], transfer)


def _decode_user(value: bytes) -> User:
    maximum, implementation, version = 0, "", ""
    roles: list[Role] = []
    identity = None
    for kind, raw in _items(value):
        if kind == 0x51:
            _long_enough(raw, 4)
            maximum = int.from_bytes(raw[:4], "big")
        elif kind == 0x52:
            implementation = _text(raw)
        elif kind == 0x54:
            roles.append(_role(raw))
        elif kind == 0x55:
            version = _text(raw)
        elif kind == 0x58:
            identity = _identity(raw)
    return User(maximum, implementation, version, tuple(roles), identity)


def _role(raw: bytes) -> Role:
    _long_enough(raw, 2)
    length = int.from_bytes(raw[:2], "big")
    _long_enough(raw, length + 4)
    return Role(_text(raw[2 : 2 + length]), bool(raw[2 + length]), bool(raw[3 + length]))


def _identity(raw: bytes) -> tuple[int, bool, bytes, bytes]:
    _long_enough(raw, 6)
    first = int.from_bytes(raw[2:4], "big")
    _long_enough(raw, first + 6)
    second = int.from_bytes(raw[4 + first : 6 + first], "big")
    _long_enough(raw, first + second + 6)
    return raw[0], bool(raw[1]), raw[4 : 4 + first], raw[6 + first : 6 + first + second]


def _long_enough(value: bytes, length: int) -> None:
    if len(value) < length:
        raise ProtocolError("The other side sent an item that is too short.")
