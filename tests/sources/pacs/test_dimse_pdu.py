"""PDUs, command sets and identifiers: there and back, and garbage."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filewriter import write_dataset

from dicomlake.sources.dimse import association as associations
from dicomlake.sources.dimse import command, identifier, pdu, syntaxes
from dicomlake.sources.dimse.association import Agreed, Association, Connection, Lost
from dicomlake.sources.dimse.body import Body
from dicomlake.sources.dimse.pdu import ProtocolError

UIDS = st.lists(st.integers(1, 99_999), min_size=2, max_size=5).map(lambda n: ".".join(map(str, n)))
TITLES = st.text("ABYZ019_", min_size=1, max_size=16)
CONTEXTS = st.builds(
    pdu.Context,
    st.integers(0, 127).map(lambda n: 2 * n + 1),
    UIDS,
    st.lists(UIDS, min_size=1, max_size=4).map(tuple),
)
USERS = st.builds(
    pdu.User,
    st.integers(0, 2**32 - 1),
    UIDS,
    TITLES,
    st.lists(st.builds(pdu.Role, UIDS, st.booleans(), st.booleans()), max_size=3).map(tuple),
    st.none() | st.tuples(st.integers(1, 5), st.booleans(), st.binary(), st.binary()),
)
REQUESTS = st.builds(
    pdu.AssociateRequest, TITLES, TITLES, st.lists(CONTEXTS, max_size=5).map(tuple), USERS
)


def decoded(raw: bytes) -> pdu.Pdu:
    kind, length = pdu.HEADER.unpack_from(raw)
    assert length == len(raw) - 6
    return pdu.decode(kind, raw[6:])


@given(REQUESTS)
def test_a_request_comes_back(request_: pdu.AssociateRequest) -> None:
    assert decoded(request_.encode()) == request_


@given(st.builds(pdu.Answered, st.integers(0, 255), st.just(0), UIDS), USERS)
def test_an_acceptance_comes_back(answered: pdu.Answered, user: pdu.User) -> None:
    accept = pdu.AssociateAccept("CALLED", "CALLING", (answered,), user)
    assert decoded(accept.encode()) == accept


def test_pynetdicom_reads_our_request_as_it_is_meant() -> None:
    from pynetdicom.pdu import A_ASSOCIATE_RQ

    contexts = (pdu.Context(1, syntaxes.GET, syntaxes.PLAIN), pdu.Context(3, "1.2.3", ("1.2.4",)))
    user = pdu.User(roles=(pdu.Role("1.2.3", False, True),), identity=(2, False, b"me", b"secret"))
    other = A_ASSOCIATE_RQ()
    other.decode(pdu.AssociateRequest("THEM", "US", contexts, user).encode())
    assert other.called_ae_title.strip() == "THEM"
    assert [c.abstract_syntax for c in other.presentation_context] == [syntaxes.GET, "1.2.3"]
    assert list(other.presentation_context[0].transfer_syntax) == list(syntaxes.PLAIN)
    assert other.user_information.maximum_length == pdu.OUR_MAXIMUM
    assert other.user_information.role_selection["1.2.3"].scp_role
    assert other.user_information.user_identity.primary_field == b"me"
    assert other.encode() == pdu.AssociateRequest("THEM", "US", contexts, user).encode()


@given(st.sampled_from(range(12)), st.binary(max_size=300))
def test_garbage_is_a_protocol_error(kind: int, body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        pdu.decode(kind, body)


@given(REQUESTS, st.data())
def test_a_damaged_request_is_read_or_refused(
    request_: pdu.AssociateRequest, data: st.DataObject
) -> None:
    raw = bytearray(request_.encode())
    for _ in range(3):
        at = data.draw(st.integers(6, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        assert isinstance(pdu.decode(1, bytes(raw[6:])), pdu.AssociateRequest)


@given(st.binary(max_size=2000), st.sampled_from([0, 7, 8, 100, 16384]), st.booleans())
def test_data_come_back_in_pieces_that_fit(raw: bytes, maximum: int, of_command: bool) -> None:
    whole, lasts = b"", []
    for one in pdu.data(5, of_command, raw, maximum):
        assert not maximum or len(one) - 6 <= max(maximum, 8)
        for context, is_command, last, part in pdu.values(memoryview(one)[6:]):
            assert (context, is_command) == (5, of_command)
            whole += part
            lasts.append(last)
    assert whole == raw
    assert lasts == [False] * (len(lasts) - 1) + [True]


@given(st.binary(max_size=200))
def test_garbage_in_data_is_a_protocol_error(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        list(pdu.values(memoryview(raw)))


@given(st.binary(max_size=200))
def test_garbage_as_a_command_is_a_protocol_error(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert "CommandField" in command.decode(raw)


def test_a_command_comes_back() -> None:
    asked = {
        "CommandField": command.MOVE_RQ,
        "MessageID": 513,
        "AffectedSOPClassUID": syntaxes.MOVE,
        "MoveDestination": "LAKE",
    }
    assert command.decode(command.encode(asked)) == asked


@given(
    st.binary(max_size=200),
    st.sampled_from([syntaxes.IMPLICIT, syntaxes.EXPLICIT, syntaxes.BIG_ENDIAN]),
)
def test_garbage_as_an_identifier_is_a_protocol_error(raw: bytes, transfer: str) -> None:
    with contextlib.suppress(ProtocolError):
        identifier.decode(raw, transfer)
    identifier.series_of(raw, transfer)
    identifier.series_of(raw, syntaxes.DEFLATED)


def test_a_deep_nest_of_sequences_is_refused() -> None:
    nest = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF)
    nest += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(ProtocolError, match="nested"):
        identifier.decode(nest * 5000, syntaxes.IMPLICIT)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_a_data_set_of_pydicom_is_read(implicit: bool, undefined: bool) -> None:
    ds = pydicom.Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    inner = pydicom.Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    deep = pydicom.Dataset()
    deep.ReferencedSOPInstanceUID = "9.9"
    inner.ReferencedInstanceSequence = [deep]
    ds.TransactionUID = "1.7"
    ds.ReferencedSOPSequence = [inner, inner]
    ds.ModalitiesInStudy = ["CT", "MR"]
    ds.PatientName = "Ёлкин^Ян"
    ds.SeriesInstanceUID = "1.2.9"
    ds.Rows = 512
    for one in (ds["ReferencedSOPSequence"], inner["ReferencedInstanceSequence"]):
        one.is_undefined_length = undefined
        for item in one.value:
            item.is_undefined_length_sequence_item = undefined
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    write_dataset(buffer, ds)
    transfer = syntaxes.IMPLICIT if implicit else syntaxes.EXPLICIT
    raw = buffer.getvalue()
    found = identifier.decode(
        raw, transfer, ["PatientName", "ModalitiesInStudy", "Rows", "StudyID"]
    )
    assert found == {
        "PatientName": "Ёлкин^Ян",
        "ModalitiesInStudy": "CT\\MR",
        "Rows": "512",
        "StudyID": "",
    }
    assert identifier.references(raw, transfer) == ("1.7", [("1.2", "1.2.3")] * 2)
    assert identifier.series_of(raw, transfer) == "1.2.9"


@pytest.mark.parametrize("transfer", syntaxes.PLAIN)
def test_pydicom_reads_our_identifiers(transfer: str) -> None:
    values = {"PatientName": "Müller*", "StudyInstanceUID": "1.2.3", "Rows": "5", "StudyDate": ""}
    implicit = transfer == syntaxes.IMPLICIT
    ds = pydicom.dcmread(
        io.BytesIO(identifier.encode(values, transfer)),
        force=True,
        specific_tags=None,
    )
    ds = pydicom.filereader.read_dataset(
        io.BytesIO(identifier.encode(values, transfer)), implicit, True
    )
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert (str(ds.PatientName), ds.StudyInstanceUID, ds.Rows) == ("Müller*", "1.2.3", 5)


def test_offers_fit_an_association_and_have_what_is_needed_first() -> None:
    offer = syntaxes.offer(["1.2.840.10008.5.1.4.1.1.6.1", "1.2.3.4"])
    assert len(offer) <= 127
    assert offer[0][0] == "1.2.840.10008.5.1.4.1.1.6.1"
    assert ("1.2.3.4", ("1.2.840.10008.1.2.4.90",)) in offer
    assert len({storage for storage, _ in syntaxes.offer()}) >= 10
    assert all(0 < len(other) <= 127 for other in syntaxes.others([]))


def test_a_large_object_goes_to_a_file_that_is_gone_afterwards() -> None:
    body = Body(b"head", memory=100, most=1000)
    for _ in range(30):
        body.add(memoryview(b"0123456789"))
    body.finish()
    assert (body.size, body.start) == (304, 4)
    assert body.fetch(0, 10) == b"head012345"
    assert body.data() == b"0123456789" * 30
    assert body._held == b""
    body.close()
    with pytest.raises(ProtocolError, match="more bytes"):
        body.add(memoryview(bytes(1000)))


def pair(timeout_s: float = 5.0) -> tuple[Association, socket.socket]:
    server = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(server.getsockname())
    ours, _ = server.accept()
    server.close()
    agreed = [Agreed(1, syntaxes.VERIFICATION, syntaxes.IMPLICIT)]
    return Association(Connection(ours, timeout_s), agreed, 0, pdu.User()), theirs


def drained(ours: Association) -> bool:
    """Whether reading an association to its end raises an error of ours, or it was released."""
    try:
        while ours.receive() is not None:
            pass
    except (ProtocolError, Lost):
        pass
    return not ours.open


@given(st.binary(min_size=1, max_size=400))
def test_garbage_on_the_socket_ends_the_association(raw: bytes) -> None:
    ours, theirs = pair()
    with theirs:
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        assert drained(ours)
        assert not ours.open


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.binary(max_size=60)), max_size=6)
)
def test_values_out_of_turn_end_the_association(parts: list[tuple[int, int, bytes]]) -> None:
    ours, theirs = pair()
    body = b"".join(
        struct.pack(">IBB", len(raw) + 2, context, control) + raw for context, control, raw in parts
    )
    with theirs:
        theirs.sendall(pdu.HEADER.pack(pdu.DATA, len(body)) + body)
        theirs.shutdown(socket.SHUT_WR)
        assert drained(ours)


def test_a_huge_length_is_refused_without_waiting_for_it() -> None:
    ours, theirs = pair()
    with theirs:
        theirs.sendall(pdu.HEADER.pack(pdu.DATA, 0xFFFFFFF0))
        with pytest.raises(ProtocolError, match="too long"):
            ours.receive()
        assert theirs.recv(100)[:1] == bytes([pdu.ABORT])


def test_a_trickle_of_bytes_does_not_hold_an_association_open() -> None:
    ours, theirs = pair(0.3)
    stop = threading.Event()

    def trickle() -> None:
        theirs.sendall(pdu.HEADER.pack(pdu.DATA, 1000))
        while not stop.wait(0.05):
            try:
                theirs.sendall(b"\0")
            except OSError:
                return

    thread = threading.Thread(target=trickle)
    thread.start()
    with theirs, pytest.raises(Lost):
        ours.receive()
    stop.set()
    thread.join()


def test_large_pdus_and_data_sets_pass() -> None:
    ours, theirs = pair()
    other = Association(
        Connection(theirs, 5.0), [Agreed(1, "1.2", syntaxes.EXPLICIT)], 1 << 20, pdu.User()
    )
    raw = bytes(range(256)) * 20_000
    asked = {"CommandField": command.STORE_RQ, "AffectedSOPClassUID": "1.2"}
    sender = threading.Thread(target=other.send, args=(other.contexts[1], asked, raw))
    sender.start()
    message = ours.receive()
    sender.join()
    assert message is not None
    assert message.data() == raw
    assert message.body is not None
    assert message.body.fetch(128, 4) == b"DICM"
    released = threading.Thread(target=other.release)
    released.start()
    assert ours.receive() is None
    released.join()
    assert not ours.open
    assert associations.Lost("x", timeout=True).timeout
