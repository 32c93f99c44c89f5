"""Our listener: dcmtk and pynetdicom send to it, and those who wish it no good."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, evt

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Sender
from dicomlake.errors import DataError, Refused, UsageError
from dicomlake.settings import ListenerSettings
from dicomlake.sources.dimse import command, pdu, syntaxes
from dicomlake.sources.dimse.association import Denied, Peer, Rejected, request
from dicomlake.sources.dimse.listener import StoreListener
from dicomlake.testing.archives import free_port
from tests.sources.pacs.dimse_made import ran, sample, series_of, written

CT = "1.2.840.10008.5.1.4.1.1.2"


class Taken:
    """Remembers what arrived; raises `error` instead when there is one."""

    def __init__(self) -> None:
        self.senders: list[Sender] = []
        self.files: dict[str, bytes] = {}
        self.error: Exception | None = None

    def __call__(self, sender: Sender, found: Object) -> None:
        if self.error is not None:
            raise self.error
        self.senders.append(sender)
        self.files[found.uri] = found.fetch(0, found.size)


def stored(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    return {uid: 0 if uid.endswith(".1") else 0x0112 for _, uid in pairs}


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def listener(network: None, taken: Taken) -> Iterator[StoreListener]:
    settings = ListenerSettings(ae_title="LAKE", port=free_port(), associations=3)
    with StoreListener(
        settings, callers={"PACS": "main"}, arrived=taken, stored=stored, negotiation_s=0.5
    ) as listener:
        yield listener


def peer(listener: StoreListener, called: str = "LAKE", calling: str = "PACS") -> Peer:
    return Peer("127.0.0.1", listener.port, called, calling, 5.0)


def storescu(listener: StoreListener, *files: str, code: int = 0, calling: str = "PACS") -> bytes:
    arguments = ["-aet", calling, "-aec", "LAKE", "127.0.0.1", str(listener.port), *files]
    return ran("storescu", *arguments, code=code)


@pytest.mark.service
def test_dcmtk_sends_a_series(listener: StoreListener, taken: Taken, tmp_path: Path) -> None:
    series_of(tmp_path, 12)
    storescu(listener, "+sd", str(tmp_path))
    assert len(taken.files) == 12
    for uri, raw in taken.files.items():
        assert uri.startswith("pacs://main/1.2.3.1.")
        came = pydicom.dcmread(pydicom.filebase.DicomBytesIO(raw))
        there = pydicom.dcmread(tmp_path / f"{uri.rpartition('/')[2]}.dcm")
        assert came.PixelData == there.PixelData
        assert came.PatientName == there.PatientName
        assert came.file_meta.ImplementationClassUID == pdu.IMPLEMENTATION_UID
    assert {(one.calling, one.called, one.address) for one in taken.senders} == {
        ("PACS", "LAKE", "127.0.0.1")
    }
    ran("echoscu", "-aet", "PACS", "-aec", "LAKE", "127.0.0.1", str(listener.port))


@pytest.mark.service
def test_several_send_at_once(listener: StoreListener, taken: Taken, tmp_path: Path) -> None:
    threads = []
    for number in range(3):
        folder = series_of(tmp_path / str(number), 5, series=f"1.2.3.{number}")
        threads.append(threading.Thread(target=storescu, args=(listener, "+sd", str(folder))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken.files) == 15


@pytest.mark.service
def test_who_may_not_send_is_rejected(listener: StoreListener, tmp_path: Path) -> None:
    file = str(next(series_of(tmp_path, 1).iterdir()))
    said = storescu(listener, file, code=1, calling="STRANGER")
    assert b"Calling AE Title Not Recognized" in said
    with pytest.raises(Denied, match="as called") as error:
        request(peer(listener, called="OTHER"), [(CT, syntaxes.PLAIN)])
    assert error.value.reject == pdu.AssociateReject(1, 1, 7)
    with pytest.raises(UsageError, match="as calling"):
        request(peer(listener, calling="STRANGER"), [(CT, syntaxes.PLAIN)])


def test_more_associations_than_allowed_are_rejected_for_now(listener: StoreListener) -> None:
    contexts = [(syntaxes.VERIFICATION, syntaxes.PLAIN)]
    first = [request(peer(listener), contexts) for _ in range(3)]
    with pytest.raises(Rejected, match="too many"):
        request(peer(listener), contexts)
    for one in first:
        one.release()
    again = None
    for _ in range(50):
        try:
            again = request(peer(listener), contexts)
            break
        except Rejected:
            time.sleep(0.02)
    assert again is not None
    again.release()


def test_what_is_accepted(listener: StoreListener) -> None:
    contexts = [
        (CT, ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2")),
        ("1.2.840.99999.1", ("1.2.840.99999.2",)),
        (syntaxes.FIND, syntaxes.PLAIN),
        (syntaxes.VERIFICATION, (syntaxes.IMPLICIT,)),
        (syntaxes.COMMITMENT, syntaxes.PLAIN),
    ]
    association = request(peer(listener), contexts)
    assert [(c.abstract, c.transfer) for c in association.contexts.values()] == [
        (CT, "1.2.840.10008.1.2.4.90"),
        ("1.2.840.99999.1", "1.2.840.99999.2"),
        (syntaxes.VERIFICATION, syntaxes.IMPLICIT),
        (syntaxes.COMMITMENT, syntaxes.EXPLICIT),
    ]
    association.release()


def pynetdicom_sends(port: int, ds: pydicom.Dataset, **values: int) -> int:
    ae = AE("PACS")
    ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title="LAKE")
    assert association.is_established
    try:
        return int(association.send_c_store(ds, **values).Status)
    finally:
        association.release()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (Refused("full"), 0xA700),
        (DataError("no good"), 0xC000),
        (ValueError("PATIENT^NAME"), 0x0110),
    ],
)
def test_a_handler_decides_on_the_status(
    listener: StoreListener,
    taken: Taken,
    error: Exception | None,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken.error = error
    with caplog.at_level(logging.INFO):
        assert pynetdicom_sends(listener.port, sample("CT_small.dcm")) == status
    assert "PATIENT" not in caplog.text
    taken.error = None
    assert pynetdicom_sends(listener.port, sample("CT_small.dcm")) == 0


def test_expected_objects_go_where_they_are_expected(listener: StoreListener, taken: Taken) -> None:
    here: list[Object] = []
    there: list[Object] = []
    ds = sample("CT_small.dcm", SeriesInstanceUID="1.5.1", SOPInstanceUID="1.5.1.1")
    with listener.expect("1.5.1", here.append), listener.expect("1.5.2", there.append) as second:
        assert pynetdicom_sends(listener.port, ds) == 0
        assert (len(here), len(there), len(taken.files)) == (1, 0, 0)
        origin = {"originator_aet": "LAKE", "originator_id": second.message}
        assert pynetdicom_sends(listener.port, ds, **origin) == 0
        assert (len(here), len(there), len(taken.files)) == (1, 1, 0)
        other = sample("CT_small.dcm", SeriesInstanceUID="1.5.3", SOPInstanceUID="1.5.3.1")
        assert pynetdicom_sends(listener.port, other) == 0
    assert pynetdicom_sends(listener.port, ds) == 0
    assert sorted(taken.files) == ["pacs://main/1.5.1.1", "pacs://main/1.5.3.1"]
    messages = {listener.expect("1", here.append).message for _ in range(10)}
    assert len(messages) == 10


def commit(port: int, instances: Sequence[str], handlers: list[tuple[object, object]]) -> object:
    ds = pydicom.Dataset()
    ds.TransactionUID = "1.77"
    ds.ReferencedSOPSequence = []
    for uid in instances:
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
        ds.ReferencedSOPSequence.append(item)
    ae = AE("PACS")
    ae.add_requested_context(syntaxes.COMMITMENT)
    association = ae.associate("127.0.0.1", port, ae_title="LAKE", evt_handlers=handlers)
    assert association.is_established
    status, _ = association.send_n_action(ds, 1, syntaxes.COMMITMENT, syntaxes.COMMITMENT_INSTANCE)
    assert status.Status == 0
    return association


class Reports:
    """Storage commitment reports as pynetdicom hands them over."""

    def __init__(self) -> None:
        self.come = threading.Event()
        self.kind = 0
        self.ds = pydicom.Dataset()

    def __call__(self, event: evt.Event) -> tuple[int, None]:
        self.kind, self.ds = event.event_type, event.event_information
        self.come.set()
        return 0, None


def test_storage_commitment_is_reported_on_the_same_association(listener: StoreListener) -> None:
    reports = Reports()
    handlers = [(evt.EVT_N_EVENT_REPORT, reports)]
    association = commit(listener.port, ["1.2.1", "1.2.2"], handlers)
    assert reports.come.wait(5)
    association.release()  # type: ignore[attr-defined]
    assert (reports.kind, reports.ds.TransactionUID) == (2, "1.77")
    assert [i.ReferencedSOPInstanceUID for i in reports.ds.ReferencedSOPSequence] == ["1.2.1"]
    bad = reports.ds.FailedSOPSequence[0]
    assert (bad.ReferencedSOPInstanceUID, bad.FailureReason) == ("1.2.2", 0x0112)


def test_storage_commitment_is_reported_later_to_who_has_gone(network: None) -> None:
    reports = Reports()
    ae = AE("PACS")
    ae.add_supported_context(syntaxes.COMMITMENT, scu_role=False, scp_role=True)
    server = ae.start_server(
        ("127.0.0.1", free_port()),
        block=False,
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports)],
    )
    settings = ListenerSettings(ae_title="LAKE", port=free_port(), any_caller=True)
    peers = {"PACS": ("127.0.0.1", server.server_address[1])}
    slow = threading.Event()

    def gone(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
        slow.wait(5)
        return stored(pairs)

    with StoreListener(settings, arrived=Taken(), stored=gone, peers=peers) as listener:
        association = commit(listener.port, ["1.2.1"], [])
        association.abort()  # type: ignore[attr-defined]
        slow.set()
        assert reports.come.wait(5)
    server.shutdown()
    assert reports.kind == 1
    assert reports.ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.1"


def test_half_open_connections_are_closed(listener: StoreListener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), 5) as idle:
        idle.sendall(b"\x01\x00\x00")
        start = time.monotonic()
        assert idle.recv(10) == b""
        assert time.monotonic() - start < 15
    association = request(peer(listener), [(syntaxes.VERIFICATION, syntaxes.PLAIN)])
    association.release()


@pytest.mark.parametrize(
    "raw",
    [
        pdu.HEADER.pack(pdu.ASSOCIATE_RQ, 0xFFFFFFFF),
        pdu.HEADER.pack(pdu.ASSOCIATE_RQ, 10) + bytes(10),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        pdu.HEADER.pack(pdu.DATA, 6) + struct.pack(">IBB", 2, 1, 3),
        bytes(100),
    ],
)
def test_nonsense_closes_the_connection_and_nothing_else(
    listener: StoreListener, raw: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), 5) as bad:
        bad.sendall(raw)
        with contextlib.suppress(ConnectionResetError):
            assert len(bad.recv(100)) in (0, 10)
    association = request(peer(listener), [(syntaxes.VERIFICATION, syntaxes.PLAIN)])
    association.release()


def test_half_an_object_does_not_arrive(listener: StoreListener, taken: Taken) -> None:
    association = request(peer(listener), [(CT, (syntaxes.EXPLICIT,))])
    context = association.contexts[1]
    asked = {
        "CommandField": command.STORE_RQ,
        "MessageID": 1,
        "AffectedSOPClassUID": CT,
        "AffectedSOPInstanceUID": "1.2.3",
        "CommandDataSetType": 0,
    }
    for part in pdu.data(context.id, True, command.encode(asked), 0):
        association.connection.send(part)
    first = next(pdu.data(context.id, False, bytes(100_000), 16_384))
    association.connection.send(first)
    association.abort()
    whole = request(peer(listener), [(CT, (syntaxes.EXPLICIT,))])
    whole.send(whole.contexts[1], {**asked, "AffectedSOPInstanceUID": "../../etc"}, bytes(100))
    answer = whole.receive()
    assert answer is not None
    assert answer.status == command.CANNOT_UNDERSTAND
    whole.send(whole.contexts[1], {**asked, "CommandField": command.GET_RQ}, bytes(8))
    answer = whole.receive()
    assert answer is not None
    assert answer.status == command.UNRECOGNIZED_OPERATION
    whole.release()
    assert taken.files == {}


def test_it_stops_at_once_and_the_port_is_free_again(network: None) -> None:
    settings = ListenerSettings(ae_title="LAKE", port=free_port(), any_caller=True)
    for _ in range(2):
        with StoreListener(settings, arrived=Taken()) as listener:
            association = request(peer(listener), [(syntaxes.VERIFICATION, syntaxes.PLAIN)])
            start = time.monotonic()
        assert time.monotonic() - start < 15
        association.abort()
    with (
        socket.create_server(("127.0.0.1", settings.port)),
        pytest.raises(UsageError, match="cannot have port"),
    ):
        StoreListener(settings, arrived=Taken()).start()


@pytest.mark.service
def test_large_objects_pass_through_a_file(
    listener: StoreListener, tmp_path: Path, taken: Taken
) -> None:
    ds = sample("CT_small.dcm", SOPInstanceUID="1.2.3.99", Rows=6000, Columns=6000)
    ds.PixelData = bytes(range(250)) * (6000 * 6000 * 2 // 250)
    storescu(listener, str(written(ds, tmp_path)))
    raw = taken.files["pacs://main/1.2.3.99"]
    assert len(raw) > 64 * 1024**2
    assert raw.endswith(ds.PixelData[-1000:])
