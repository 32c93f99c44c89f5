"""Our own storage service: receives objects (C-STORE, PS3.4 Annex B), also those of our C-MOVE.

It answers C-ECHO and storage commitment (PS3.4 Annex J) too.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Arrived, Sender
from dicomlake.errors import DataError, Refused, UsageError
from dicomlake.settings import ListenerSettings
from dicomlake.sources.dimse import association as associations
from dicomlake.sources.dimse import command as commands
from dicomlake.sources.dimse import identifier, pdu, syntaxes, tls
from dicomlake.sources.dimse.association import Association, Lost, Message, Peer
from dicomlake.sources.dimse.body import is_uid, object_of

log = logging.getLogger(__name__)

_NEGOTIATION_S = 30.0
_IDLE_S = 300.0
_CLOSE_S = 1.0
_SPARE = 16
"""Connections beyond the associations allowed, so that they can be told that there is no room."""
_PEEK = 256 * 1024

Stored = Callable[[Sequence[tuple[str, str]]], dict[str, int]]
"""Given (class, instance) pairs: 0, or a failure reason (PS3.3 C.14.1.1), by instance."""


@dataclass(eq=False)
class Expectation:
    """Objects of a series go to `arrived` while it is open; `message` goes with the C-MOVE.

    `originators` are AE titles that objects may name as originator beside that of the listener:
    who asked for the C-MOVE, and the archive itself, because some name themselves.
    """

    listener: StoreListener
    series: str
    arrived: Arrived
    message: int
    originators: tuple[str, ...] = ()

    def __enter__(self) -> Expectation:
        return self

    def __exit__(self, *error: object) -> None:
        self.listener._expected.pop(self.message, None)


class StoreListener:
    """Receives objects; use as a context manager, or `start` and `close`.

    `callers` may send, beside those of the settings; a mapping names the source of each for the
    URIs of its objects, else its AE title does. `arrived` runs in the thread of the association
    before the sender is told that the object is safe: Refused tells it to try again later,
    DataError that the object is no good. `stored` answers storage commitment. `peers` are AE
    titles with their addresses, for reports of commitment to those who have gone meanwhile.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        callers: Collection[str] = (),
        arrived: Callable[[Sender, Object], None],
        stored: Stored | None = None,
        peers: Mapping[str, tuple[str, int]] | None = None,
        negotiation_s: float = _NEGOTIATION_S,
        idle_s: float = _IDLE_S,
    ) -> None:
        self.settings, self.ae_title = settings, settings.ae_title
        self.host, self.port = settings.host, settings.port
        self._callers = frozenset((*callers, *settings.callers))
        self._names = dict(callers) if isinstance(callers, Mapping) else {}
        self._arrived, self._stored, self._peers = arrived, stored, dict(peers or {})
        self._negotiation_s, self._idle_s = negotiation_s, idle_s
        self._tls: ssl.SSLContext | None = None
        self._expected: dict[int, Expectation] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._open = 0
        self._closing = False
        self._server: socket.socket | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> StoreListener:
        """Listen from now on; UsageError when the port cannot be had."""
        if self.settings.tls is not None:
            self._tls = tls.server(self.settings.tls)
        try:
            self._server = socket.create_server((self.host, self.port), backlog=128)
        except OSError as error:
            raise UsageError(
                f"The listener cannot have port {self.port} of {self.host}: {error.strerror}."
                " Set another one in [listener], or end what uses it."
            ) from error
        self._closing = False
        self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="dimse-listener", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening, and end associations that are open; takes a second at most."""
        self._closing = True
        if self._wake is None or self._thread is None:
            return
        self._wake[1].close()
        self._thread.join(_CLOSE_S)
        with self._lock:
            threads = dict(self._connections)
        for sock in threads.values():
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in threads:
            thread.join(_CLOSE_S / max(len(threads), 1))
        self._wake[0].close()
        self._wake = self._thread = None

    def __enter__(self) -> StoreListener:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def expect(self, series: str, arrived: Arrived) -> Expectation:
        """A context manager: objects of a series go to `arrived` as long as it is open.

        Its `message` is the Message ID that the C-MOVE request must carry (PS3.7 9.1.1.1.9).
        """
        with self._lock:
            number = next(
                n for n in ((n - 1) % 65535 + 1 for n in self._numbers) if n not in self._expected
            )
            found = Expectation(self, series, arrived, number)
            self._expected[number] = found
        return found

    def _accept(self) -> None:
        assert self._server is not None
        assert self._wake is not None
        with self._server as server:
            while not self._closing:
                ready = associations.readable([server, self._wake[0]], None)
                if self._wake[0] in ready:
                    return
                try:
                    sock, address = server.accept()
                except OSError:
                    log.warning("a connection could not be accepted")
                    continue
                self._begin(sock, str(address[0]))

    def _begin(self, sock: socket.socket, address: str) -> None:
        thread = threading.Thread(
            target=self._serve, args=(sock, address), name="dimse-association", daemon=True
        )
        with self._lock:
            room = len(self._connections) < self.settings.associations + _SPARE
            if room:
                self._connections[thread] = sock
        if not room:
            sock.close()
            return
        thread.start()

    def _serve(self, sock: socket.socket, address: str) -> None:
        counted: list[bool] = []
        try:
            if self._tls is not None:
                sock.settimeout(self._negotiation_s)
                sock = self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._connections[threading.current_thread()] = sock
            association = associations.accept(
                sock, self._negotiation_s, lambda asked: self._decide(asked, counted)
            )
            if association is not None:
                _Service(self, association, address).run()
        except (Refused, OSError) as error:
            log.info(
                "an association ended early",
                extra={"address": address, "error": type(error).__name__},
            )
        except Exception as error:  # noqa: BLE001  a caller must not end the listener
            log.error("an association failed", extra={"error": type(error).__name__})
        finally:
            with contextlib.suppress(OSError):
                sock.close()
            with self._lock:
                self._connections.pop(threading.current_thread(), None)
                self._open -= len(counted)

    def _decide(
        self, asked: pdu.AssociateRequest, counted: list[bool]
    ) -> pdu.AssociateAccept | pdu.AssociateReject:
        """Accept an association, or say why not (PS3.8 9.3.4, Table 9-21)."""
        if asked.called != self.ae_title:
            return pdu.AssociateReject(1, 1, 7)
        if not self.settings.any_caller and asked.calling not in self._callers:
            log.warning("an unknown AE title was refused", extra={"calling": asked.calling})
            return pdu.AssociateReject(1, 1, 3)
        with self._lock:
            if self._closing or self._open >= self.settings.associations:
                return pdu.AssociateReject(2, 3, 2)
            self._open += 1
            counted.append(True)
        answers = tuple(_answer(context) for context in asked.contexts)
        roles = tuple(pdu.Role(role.abstract, role.scu, False) for role in asked.user.roles)
        user = pdu.User(roles=roles)
        return pdu.AssociateAccept(asked.called, asked.calling, answers, user)

    def _route(self, sender: Sender, message: Message) -> Callable[[Object], None]:
        """Who takes an object: the C-MOVE that it says it belongs to, that of its series, all."""
        expected = self._expected
        found = expected.get(sender.message) if sender.originator else None
        if found is not None and sender.originator in (self.ae_title, *found.originators):
            return found.arrived
        if expected and message.body is not None:
            start = message.body.fetch(message.body.start, _PEEK)
            series = identifier.series_of(start, message.context.transfer)
            for waiting in list(expected.values()):
                if series and waiting.series == series:
                    return waiting.arrived
        return lambda found: self._arrived(sender, found)


def _answer(context: pdu.Context) -> pdu.Answered:
    """Accept storage in the first transfer syntax proposed (PS3.4 B.4), two services in ours."""
    transfer = context.transfer
    if context.abstract in (syntaxes.VERIFICATION, syntaxes.COMMITMENT):
        transfer = tuple(syntax for syntax in transfer if syntax in syntaxes.PLAIN)
    elif not syntaxes.is_storage(context.abstract):
        return pdu.Answered(context.id, 3, next(iter(transfer), syntaxes.IMPLICIT))
    if not transfer:
        return pdu.Answered(context.id, 4, syntaxes.IMPLICIT)
    return pdu.Answered(context.id, 0, transfer[0])


@dataclass(frozen=True, slots=True)
class _Report:
    """The result of a storage commitment (PS3.4 J.3.3): reason 0 is: stored."""

    transaction: str
    results: list[tuple[str, str, int]]

    @property
    def kind(self) -> int:
        """Event type: 1 when all are stored, 2 when some are not."""
        return 2 if any(reason for _, _, reason in self.results) else 1

    def encode(self, transfer: str) -> bytes:
        """Event information (Table J.3-2)."""
        good, bad = [], []
        for storage, instance, reason in self.results:
            values = {"ReferencedSOPClassUID": storage, "ReferencedSOPInstanceUID": instance}
            if reason:
                bad.append(identifier.encode({**values, "FailureReason": str(reason)}, transfer))
            else:
                good.append(identifier.encode(values, transfer))
        parts = [identifier.encode({"TransactionUID": self.transaction}, transfer)]
        if bad:
            parts.append(identifier.sequence("FailedSOPSequence", bad, transfer))
        if good:
            parts.append(identifier.sequence("ReferencedSOPSequence", good, transfer))
        return b"".join(parts)


class _Service:
    """One association that somebody opened with us."""

    def __init__(self, listener: StoreListener, association: Association, address: str) -> None:
        self._listener, self._association, self._address = listener, association, address
        self._reports: dict[int, _Report] = {}

    def run(self) -> None:
        """Answer what is asked, until the association ends."""
        try:
            while not self._listener._closing:
                message = self._association.receive(self._listener._idle_s)
                if message is None:
                    return
                self._answer(message)
        finally:
            self._association.abort()
            self._report_elsewhere()

    def _answer(self, message: Message) -> None:
        field = message.command["CommandField"]
        if field == commands.STORE_RQ:
            self._reply(message, self._store(message))
        elif field == commands.ECHO_RQ:
            self._reply(message, commands.SUCCESS)
        elif field == commands.ACTION_RQ:
            self._commit(message)
        elif field == commands.EVENT_RSP:
            self._reports.pop(message.command.get("MessageIDBeingRespondedTo", 0), None)
        elif not field & 0x8000 and field != commands.CANCEL_RQ:
            self._reply(message, commands.UNRECOGNIZED_OPERATION)

    def _reply(self, message: Message, status: int) -> None:
        self._association.send(message.context, commands.response(message.command, status))

    def _store(self, message: Message) -> int:
        """Hand an object over; the status to answer (PS3.4 B.2.3)."""
        body, asked = message.body, message.command
        if body is None or not syntaxes.is_storage(message.context.abstract):
            return commands.CANNOT_UNDERSTAND
        instance = str(asked.get("AffectedSOPInstanceUID", ""))
        if not is_uid(instance) or not is_uid(str(asked.get("AffectedSOPClassUID", ""))):
            body.close()
            return commands.CANNOT_UNDERSTAND
        association = self._association
        sender = Sender(
            association.calling,
            association.called,
            self._address,
            str(asked.get("MoveOriginatorApplicationEntityTitle", "")),
            int(asked.get("MoveOriginatorMessageID", 0)),
        )
        source = self._listener._names.get(association.calling, association.calling)
        try:
            self._listener._route(sender, message)(object_of(source, instance, body))
        except Refused:
            return commands.OUT_OF_RESOURCES
        except DataError:
            return commands.CANNOT_UNDERSTAND
        except Exception as error:  # noqa: BLE001  an object must not end the listener
            log.error(
                "an object could not be taken",
                extra={"calling": association.calling, "error": type(error).__name__},
            )
            return commands.PROCESSING_FAILURE
        finally:
            body.close()
        return commands.SUCCESS

    def _commit(self, message: Message) -> None:
        """Storage commitment (PS3.4 J.3): say yes to the request, then report what is stored."""
        asked = message.command
        known = message.context.abstract == syntaxes.COMMITMENT and asked.get("ActionTypeID") == 1
        if not known or message.body is None:
            self._reply(message, 0x0123)
            return
        transfer = message.context.transfer
        try:
            transaction, pairs = identifier.references(message.data(), transfer)
        except Refused:
            self._reply(message, commands.PROCESSING_FAILURE)
            return
        self._reply(message, commands.SUCCESS)
        report = self._report(transaction, pairs)
        number = self._association.next_message()
        self._reports[number] = report
        if self._association.open:
            with contextlib.suppress(Lost):
                command = _event(number, report)
                self._association.send(message.context, command, report.encode(transfer))

    def _report(self, transaction: str, pairs: Sequence[tuple[str, str]]) -> _Report:
        """What to report of a storage commitment that was asked for."""
        found: dict[str, int] = {}
        if self._listener._stored is not None:
            try:
                found = self._listener._stored(pairs)
            except Exception as error:  # noqa: BLE001  as if nothing was stored
                log.error("storage commitment failed", extra={"error": type(error).__name__})
        reasons = [found.get(instance, commands.PROCESSING_FAILURE) for _, instance in pairs]
        return _Report(transaction, [(*p, r) for p, r in zip(pairs, reasons, strict=True)])

    def _report_elsewhere(self) -> None:
        """Send reports that the other side did not wait for, where we know its address."""
        address = self._listener._peers.get(self._association.calling)
        if not self._reports or address is None or self._listener._closing:
            return
        peer = Peer(*address, self._association.calling, self._listener.ae_title, 30.0)
        roles = [syntaxes.COMMITMENT]
        try:
            back = associations.request(peer, [(syntaxes.COMMITMENT, syntaxes.PLAIN)], roles)
            context = back.context_of(syntaxes.COMMITMENT)
            for report in self._reports.values() if context is not None else ():
                assert context is not None
                command = _event(back.next_message(), report)
                back.send(context, command, report.encode(context.transfer))
                back.receive()
            back.release()
        except (Refused, UsageError) as error:
            log.warning(
                "a report of storage commitment could not be sent",
                extra={"peer": self._association.calling, "error": type(error).__name__},
            )


def _event(number: int, report: _Report) -> commands.Command:
    return {
        "CommandField": commands.EVENT_RQ,
        "MessageID": number,
        "AffectedSOPClassUID": syntaxes.COMMITMENT,
        "AffectedSOPInstanceUID": syntaxes.COMMITMENT_INSTANCE,
        "EventTypeID": report.kind,
    }
