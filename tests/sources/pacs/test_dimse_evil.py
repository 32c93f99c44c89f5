"""Archives that reject, abort, lie, send garbage or nothing at all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pydicom
import pytest
from pynetdicom import AE, build_context, evt

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Sender
from dicomlake.errors import Incomplete, Refused, UsageError
from dicomlake.settings import ListenerSettings
from dicomlake.sources.dimse import association as associations
from dicomlake.sources.dimse import command, identifier, pdu, syntaxes
from dicomlake.sources.dimse.archive import DimseArchive
from dicomlake.sources.dimse.association import Association, Message
from dicomlake.sources.dimse.listener import StoreListener
from dicomlake.testing.archives import free_port
from tests.sources.pacs.dimse_made import sample, source, uids

CT = "1.2.840.10008.5.1.4.1.1.2"
Script = Callable[[Association], None]


class Evil:
    """An archive that accepts everything, then follows a script, one per connection."""

    def __init__(self, *scripts: Script | bytes | pdu.AssociateReject) -> None:
        self.port = free_port()
        self.asked: list[Message] = []
        self._scripts = scripts
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Evil:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _run(self) -> None:
        for script in self._scripts:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            with sock, contextlib.suppress(Refused, OSError):
                self._follow(sock, script)

    def _follow(self, sock: socket.socket, script: Script | bytes | pdu.AssociateReject) -> None:
        if isinstance(script, bytes):
            sock.sendall(script)
            sock.recv(100_000)
            return
        decide = accepting if callable(script) else (lambda asked: script)
        association = associations.accept(sock, 5, decide)
        if association is not None and callable(script):
            try:
                script(association)
            finally:
                association.close()


def accepting(asked: pdu.AssociateRequest) -> pdu.AssociateAccept:
    answers = tuple(pdu.Answered(c.id, 0, c.transfer[0]) for c in asked.contexts)
    return pdu.AssociateAccept(asked.called, asked.calling, answers, pdu.User(16_384))


def nothing(association: Association) -> None:
    """Accept, and wait for the end."""
    association.receive()


def request_of(association: Association) -> Message:
    message = association.receive()
    assert message is not None
    return message


def store(association: Association, uid: str, raw: bytes = bytes(50_000)) -> None:
    context = next(c for c in association.contexts.values() if c.abstract == CT)
    asked = {
        "CommandField": command.STORE_RQ,
        "MessageID": 9,
        "AffectedSOPClassUID": CT,
        "AffectedSOPInstanceUID": uid,
    }
    association.send(context, asked, raw)


def end(association: Association, asked: Message, status: int, **values: Any) -> None:
    answer = command.response(asked.command, status)
    association.send(asked.context, {**answer, **values})


def archive_of(port: int, **values: Any) -> DimseArchive:
    return DimseArchive("here", source(port, **{"timeout_s": 2, "retrieve": "get", **values}))


@pytest.fixture(autouse=True)
def alone(network: None) -> None:
    pass


@pytest.mark.parametrize(
    ("reject", "error", "says"),
    [
        (pdu.AssociateReject(1, 1, 7), UsageError, "set called"),
        (pdu.AssociateReject(1, 1, 3), UsageError, "DICOMLAKE as calling"),
        (pdu.AssociateReject(1, 1, 1), UsageError, "does not say why"),
        (pdu.AssociateReject(1, 2, 2), UsageError, "version"),
        (pdu.AssociateReject(2, 3, 1), Refused, "congested"),
        (pdu.AssociateReject(2, 3, 2), Refused, "too many"),
    ],
)
def test_rejections_say_what_to_do(
    reject: pdu.AssociateReject, error: type[Exception], says: str
) -> None:
    with Evil(reject) as evil, pytest.raises(error, match=says):
        archive_of(evil.port).find("STUDY", {})


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        pdu.HEADER.pack(pdu.ASSOCIATE_AC, 0xFFFFFF00),
        pdu.HEADER.pack(pdu.ASSOCIATE_AC, 80) + b"\xff" * 80,
        pdu.Abort(2, 1).encode(),
        pdu.RELEASE_RESPONSE,
        b"\x02",
    ],
)
def test_garbage_instead_of_an_answer_is_refused(raw: bytes) -> None:
    with Evil(raw) as evil, pytest.raises(Refused):
        archive_of(evil.port, timeout_s=0.5).find("STUDY", {})


def test_one_that_never_answers_is_given_up() -> None:
    def silent(association: Association) -> None:
        request_of(association)
        with contextlib.suppress(Refused):
            association.receive()

    with Evil(silent) as evil:
        start = time.monotonic()
        with pytest.raises(Refused, match="Nothing came"):
            archive_of(evil.port, timeout_s=0.3).find("STUDY", {})
        assert time.monotonic() - start < 15


def answer(association: Association, asked: Message, rows: int) -> None:
    for number in range(rows):
        row = identifier.encode({"StudyInstanceUID": f"1.{number}"}, asked.context.transfer)
        association.send(asked.context, command.response(asked.command, 0xFF00, data=True), row)


@pytest.mark.parametrize(
    ("status", "rows", "expected"),
    [
        (0x0000, 2, "success"),
        (0xA700, 2, "out of resources"),
        (0xFE00, 2, "cancelled"),
        (0xB000, 1, "warnings"),
        (0xFE00, 0, "cancelled"),
    ],
)
def test_the_final_status_tells_whether_answers_are_cut(
    status: int, rows: int, expected: str
) -> None:
    def script(association: Association) -> None:
        asked = request_of(association)
        answer(association, asked, rows)
        end(association, asked, status)
        nothing(association)

    with Evil(script) as evil:
        archive = archive_of(evil.port)
        match = archive.find("STUDY", {})
        archive.close()
    assert len(match.rows) == rows
    assert match.cut == (status != 0)
    assert expected in match.status


@pytest.mark.parametrize(
    ("status", "error"), [(0xA700, Refused), (0xC001, Refused), (0x0122, UsageError)]
)
def test_a_failed_query_without_answers_is_an_error(status: int, error: type[Exception]) -> None:
    def script(association: Association) -> None:
        end(association, request_of(association), status, ErrorComment="PATIENT^NAME")
        nothing(association)

    with Evil(script) as evil, pytest.raises(error) as raised:
        archive_of(evil.port).find("STUDY", {})
    assert "PATIENT" not in str(raised.value)
    assert f"0x{status:04X}" in str(raised.value)


def test_one_that_ignores_cancel_is_left() -> None:
    def script(association: Association) -> None:
        asked = request_of(association)
        with contextlib.suppress(Refused):
            while True:
                answer(association, asked, 1)
                time.sleep(0.01)

    with Evil(script) as evil:
        start = time.monotonic()
        match = archive_of(evil.port).find("STUDY", {}, limit=2)
        assert time.monotonic() - start < 30
    assert (len(match.rows), match.cut) == (2, True)


def test_an_abort_in_the_middle_is_refused_after_what_came() -> None:
    def script(association: Association) -> None:
        request_of(association)
        store(association, "1.2.1")
        request_of(association)
        association.abort()

    with Evil(script) as evil:
        objects = iter(archive_of(evil.port).objects("1", "2"))
        assert uids([next(objects)]) == ["1.2.1"]
        with pytest.raises(Refused, match="aborted"):
            next(objects)


def test_half_an_object_is_not_yielded() -> None:
    def script(association: Association) -> None:
        request_of(association)
        store(association, "1.2.1")
        request_of(association)
        context = next(c for c in association.contexts.values() if c.abstract == CT)
        asked = {
            "CommandField": command.STORE_RQ,
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.2",
            "CommandDataSetType": 0,
        }
        parts = [*pdu.data(context.id, True, command.encode(asked), 0)]
        parts.append(next(pdu.data(context.id, False, bytes(90_000), 16_384)))
        association.connection.send(b"".join(parts))

    with Evil(script) as evil:
        objects = iter(archive_of(evil.port).objects("1", "2"))
        assert uids([next(objects)]) == ["1.2.1"]
        with pytest.raises(Refused, match="closed"):
            next(objects)


@pytest.mark.parametrize(
    "contents",
    [
        struct.pack(">IBB", 2, 99, 3),
        struct.pack(">IBB", 0xFFFF, 1, 3),
        struct.pack(">IBB", 10, 1, 3) + b"\xff" * 8,
        struct.pack(">IBB", 4, 1, 2) + b"ab",
        b"\0\0\0",
    ],
)
def test_garbage_in_the_middle_is_refused(contents: bytes) -> None:
    def script(association: Association) -> None:
        request_of(association)
        association.connection.send(pdu.HEADER.pack(pdu.DATA, len(contents)) + contents)
        nothing(association)

    with Evil(script) as evil, pytest.raises(Refused, match="other side"):
        list(archive_of(evil.port).objects("1", "2"))


def test_a_reused_association_that_died_is_replaced_once() -> None:
    def once(association: Association) -> None:
        end(association, request_of(association), 0)
        request_of(association)

    with Evil(once, once) as evil:
        archive = archive_of(evil.port)
        assert archive.find("STUDY", {}).rows == []
        assert archive.find("STUDY", {}).rows == []
        with pytest.raises(Refused):
            archive.find("STUDY", {})
        archive.close()


def serving(**handlers: Any) -> tuple[Any, int]:
    """pynetdicom as an archive with handlers for events of given names."""
    ae = AE("ORTHANC")
    ae.add_supported_context(syntaxes.VERIFICATION)
    for abstract in (syntaxes.FIND, syntaxes.GET, syntaxes.MOVE):
        ae.add_supported_context(abstract)
    ae.add_supported_context(CT, scu_role=True, scp_role=True)
    events = [(getattr(evt, name), handler) for name, handler in handlers.items()]
    server = ae.start_server(("127.0.0.1", free_port()), block=False, evt_handlers=events)
    return server, server.server_address[1]


def sent(event: evt.Event) -> Iterator[Any]:
    """Sends two objects, one of which is of a class that nobody has proposed."""
    yield 2
    yield 0xFF00, sample("CT_small.dcm", SOPInstanceUID="1.2.1")
    odd = sample("CT_small.dcm", SOPInstanceUID="1.2.2")
    odd.SOPClassUID = "1.2.840.99999.1"
    yield 0xFF00, odd


def listed(event: evt.Event) -> Iterator[Any]:
    for uid in ("1.2.1", "1.2.2"):
        row = pydicom.Dataset()
        row.SOPInstanceUID, row.SOPClassUID = uid, CT
        yield 0xFF00, row


def test_what_pynetdicom_fails_to_send_is_named() -> None:
    server, port = serving(EVT_C_GET=sent, EVT_C_FIND=listed)
    archive = archive_of(port, timeout_s=10)
    got: list[str] = []

    def take() -> None:
        for one in archive.objects("1", "2", ["1.2.1", "1.2.2"]):
            got.extend(uids([one]))

    try:
        with pytest.raises(Incomplete) as error:
            take()
    finally:
        archive.close()
        server.shutdown()
    assert set(got) == {"1.2.1"}
    assert error.value.failed == ("1.2.2",)


def test_pynetdicom_out_of_resources_is_refused() -> None:
    def full(event: evt.Event) -> Iterator[Any]:
        yield 1
        yield 0xA701, None

    server, port = serving(EVT_C_GET=full, EVT_C_FIND=lambda event: iter(()))
    archive = archive_of(port)
    try:
        with pytest.raises(Refused, match="out of resources"):
            list(archive.objects("1", "2"))
    finally:
        archive.close()
        server.shutdown()


def test_pynetdicom_does_not_know_where_to_move_to() -> None:
    def unknown(event: evt.Event) -> Iterator[Any]:
        yield None, None

    def lost(sender: Sender, found: Object) -> None:
        raise AssertionError

    server, port = serving(EVT_C_MOVE=unknown)
    settings = ListenerSettings(ae_title="LAKE", port=free_port())
    with StoreListener(settings, arrived=lost) as listener:
        archive = DimseArchive("here", source(port, retrieve="move", timeout_s=3), listener)
        try:
            with pytest.raises(UsageError, match="Make the AE title LAKE known"):
                list(archive.objects("1", "2"))
        finally:
            archive.close()
            server.shutdown()


def test_pynetdicom_moves_and_a_slow_consumer_holds_it_back() -> None:
    listener_port = free_port()

    def moved(event: evt.Event) -> Iterator[Any]:
        yield "127.0.0.1", listener_port, {"contexts": [build_context(CT)]}
        yield 12
        for number in range(12):
            ahead.append(number)
            yield 0xFF00, sample("CT_small.dcm", SOPInstanceUID=f"1.2.{number}")

    ahead: list[int] = []
    strays: list[Object] = []
    server, port = serving(EVT_C_MOVE=moved)
    settings = ListenerSettings(ae_title="LAKE", port=listener_port, any_caller=True)
    with StoreListener(settings, arrived=lambda sender, one: strays.append(one)) as listener:
        archive = DimseArchive("here", source(port, retrieve="move", timeout_s=5), listener)
        got = []
        for one in archive.objects("1", "2"):
            if not got:
                time.sleep(0.2)
                assert len(ahead) <= 2
            got += uids([one])
        archive.close()
    server.shutdown()
    assert sorted(got) == sorted(f"1.2.{number}" for number in range(12))
    assert strays == []
