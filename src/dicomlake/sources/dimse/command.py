"""Command sets (PS3.7 Section 6.3, 9.3, 10.3, Annex E) as bytes and back; status codes in words."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from dicomlake.sources.dimse.pdu import ProtocolError

STORE_RQ, STORE_RSP = 0x0001, 0x8001
GET_RQ, GET_RSP = 0x0010, 0x8010
FIND_RQ, FIND_RSP = 0x0020, 0x8020
MOVE_RQ, MOVE_RSP = 0x0021, 0x8021
ECHO_RQ, ECHO_RSP = 0x0030, 0x8030
EVENT_RQ, EVENT_RSP = 0x0100, 0x8100
ACTION_RQ, ACTION_RSP = 0x0130, 0x8130
CANCEL_RQ = 0x0FFF
"""Values of CommandField (PS3.7 E.1)."""

NO_DATA_SET = 0x0101

SUCCESS, CANCELLED, PENDING = 0x0000, 0xFE00, (0xFF00, 0xFF01)
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110
UNRECOGNIZED_OPERATION = 0x0211

Command = dict[str, Any]
"""A command set by keyword: numbers, and text without padding."""

_ELEMENTS = {
    0x0002: ("AffectedSOPClassUID", "UI"),
    0x0003: ("RequestedSOPClassUID", "UI"),
    0x0100: ("CommandField", "US"),
    0x0110: ("MessageID", "US"),
    0x0120: ("MessageIDBeingRespondedTo", "US"),
    0x0600: ("MoveDestination", "AE"),
    0x0700: ("Priority", "US"),
    0x0800: ("CommandDataSetType", "US"),
    0x0900: ("Status", "US"),
    0x0902: ("ErrorComment", "LO"),
    0x0903: ("ErrorID", "US"),
    0x1000: ("AffectedSOPInstanceUID", "UI"),
    0x1001: ("RequestedSOPInstanceUID", "UI"),
    0x1002: ("EventTypeID", "US"),
    0x1008: ("ActionTypeID", "US"),
    0x1020: ("NumberOfRemainingSuboperations", "US"),
    0x1021: ("NumberOfCompletedSuboperations", "US"),
    0x1022: ("NumberOfFailedSuboperations", "US"),
    0x1023: ("NumberOfWarningSuboperations", "US"),
    0x1030: ("MoveOriginatorApplicationEntityTitle", "AE"),
    0x1031: ("MoveOriginatorMessageID", "US"),
}
_BY_KEYWORD = {keyword: (element, vr) for element, (keyword, vr) in _ELEMENTS.items()}
FAILED = "FailedSOPInstanceUIDList"
_HEAD = struct.Struct("<HHI")
_US = struct.Struct("<HHIH")

_WORDS = {
    0x0000: "success",
    0x0105: "no such attribute",
    0x0106: "an attribute has an invalid value",
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class and instance conflict",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xA701: "out of resources: unable to count the matches",
    0xA702: "out of resources: unable to perform sub-operations",
    0xA801: "move destination unknown",
    0xA900: "identifier does not match the SOP class",
    0xFE00: "cancelled",
    0xFF00: "pending",
    0xFF01: "pending, some keys are not supported",
}


def words(status: int) -> str:
    """A status in words (PS3.7 Annex C, PS3.4 B.2.3, C.4.1 to C.4.3), with its number.

    >>> words(0xA702), words(0xC123)
    ('out of resources: unable to perform sub-operations (0xA702)', 'unable to process (0xC123)')
    """
    text = _WORDS.get(status)
    if text is None and status >> 8 == 0xA7:
        text = "out of resources"
    elif text is None and status >> 8 in (0xA8, 0xA9):
        text = "data set does not match the SOP class"
    elif text is None and status >> 12 == 0xC:
        text = "unable to process"
    elif text is None and (status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116)):
        text = "finished with warnings"
    return "success" if status == 0 else f"{text or 'failure'} (0x{status:04X})"


def busy(status: int) -> bool:
    """Whether a failure is one of the moment, so that the same may be tried again later.

    >>> busy(0xA700), busy(0xA801)
    (True, False)
    """
    return status >> 8 == 0xA7 or status in (0x0110, 0x0213) or status >> 12 == 0xC


def encode(command: Mapping[str, Any]) -> bytes:
    """A command set as bytes, in implicit VR little endian with its group length.

    >>> decode(encode({"CommandField": ECHO_RQ, "MessageID": 7}))
    {'CommandField': 48, 'MessageID': 7}
    """
    parts = []
    for element, vr, value in sorted((*_BY_KEYWORD[key], value) for key, value in command.items()):
        if vr == "US":
            parts.append(_US.pack(0, element, 2, value))
            continue
        raw = value.encode("ascii", "replace")
        raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
        parts.append(_HEAD.pack(0, element, len(raw)) + raw)
    body = b"".join(parts)
    return _HEAD.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def decode(raw: bytes) -> Command:
    """A command set from its bytes; elements that we have no use for are left out."""
    found: Command = {}
    at, end = 0, len(raw)
    while at < end:
        if at + 8 > end:
            raise ProtocolError("The other side sent a command that ends in the middle.")
        group, element, length = _HEAD.unpack_from(raw, at)
        at += 8
        if length > end - at:
            raise ProtocolError("The other side sent a command that cannot be read.")
        if (group, element) == (0x0008, 0x0058):  # Orthanc puts the list of failures here
            found[FAILED] = raw[at : at + length].decode("ascii", "replace").strip("\0 ")
        elif group == 0 and element in _ELEMENTS:
            keyword, vr = _ELEMENTS[element]
            value = raw[at : at + length]
            if vr != "US":
                found[keyword] = value.decode("ascii", "replace").strip("\0 ")
            elif length == 2:
                found[keyword] = value[0] | value[1] << 8
        at += length
    if "CommandField" not in found:
        raise ProtocolError("The other side sent a command without a command field.")
    return found


def response(request: Mapping[str, Any], status: int, *, data: bool = False) -> Command:
    """The response to a request (PS3.7 9.3, 10.3), naming the class and instance it was about."""
    field = request["CommandField"] | 0x8000
    answer: Command = {
        "CommandField": field,
        "MessageIDBeingRespondedTo": request.get("MessageID", 0),
        "CommandDataSetType": 0 if data else NO_DATA_SET,
        "Status": status,
    }
    for what in ("SOPClassUID", "SOPInstanceUID"):
        uid = request.get(f"Affected{what}") or request.get(f"Requested{what}")
        if uid:
            answer[f"Affected{what}"] = uid
    for keyword in ("ActionTypeID", "EventTypeID"):
        if keyword in request:
            answer[keyword] = request[keyword]
    return answer
