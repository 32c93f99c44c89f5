"""An association over a socket (PS3.8 Sections 7 and 9), as requestor and as acceptor.

It is used by one thread, which reads and writes the socket itself.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicomlake.errors import Refused, UsageError
from dicomlake.sources.dimse import command as commands
from dicomlake.sources.dimse import pdu
from dicomlake.sources.dimse.body import Body, file_meta
from dicomlake.sources.dimse.command import Command
from dicomlake.sources.dimse.pdu import ProtocolError

_BUFFER = 256 * 1024
_LONGEST_COMMAND = 64 * 1024
_LONGEST_IDENTIFIER = 64 * 1024**2
_BATCH = 1 << 20
_RELEASE_S = 2.0


class Lost(Refused):
    """The connection ended, or nothing came in time; `timeout` tells which."""

    def __init__(self, message: str, *, timeout: bool = False) -> None:
        self.timeout = timeout
        super().__init__(message)


class Rejected(Refused):
    """An association refused for now (PS3.8 9.3.4, result 2)."""


class Denied(UsageError):
    """An association refused for good (PS3.8 9.3.4, result 1); `reject` says why."""

    def __init__(self, message: str, reject: pdu.AssociateReject) -> None:
        self.reject = reject
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Agreed:
    """A presentation context that both sides took; `scp`: the requestor may be the SCP of it."""

    id: int
    abstract: str
    transfer: str
    scp: bool | None = None


@dataclass(slots=True)
class Message:
    """A command, and its data set if it has one; `context` says in which syntaxes."""

    context: Agreed
    command: Command
    body: Body | None = None

    @property
    def status(self) -> int:
        """Status of a response."""
        return int(self.command.get("Status", commands.PROCESSING_FAILURE))

    def data(self) -> bytes:
        """The data set as bytes, b"" when there is none."""
        return self.body.data() if self.body else b""


def readable(sockets: Sequence[socket.socket], timeout_s: float | None) -> list[socket.socket]:
    """Which sockets have something to read, waiting for the first one; [] when time is over."""
    if not hasattr(select, "poll"):
        return select.select(sockets, [], [], timeout_s)[0]
    poll = select.poll()  # unlike select, it takes file numbers above 1,023
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    found = {number for number, _ in poll.poll(None if timeout_s is None else timeout_s * 1000)}
    return [sock for sock in sockets if sock.fileno() in found]


class Connection:
    """A socket that gives whole PDUs, and takes bytes; all waiting is limited to `timeout_s`."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self.sock, self.timeout_s = sock, timeout_s
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout_s)
        self._view = memoryview(bytearray(_BUFFER))
        self._start = self._end = 0

    def waiting(self) -> bool:
        """Whether bytes are here that the socket itself would not tell of."""
        tls = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        return self._end > self._start or tls

    def send(self, raw: bytes) -> None:
        """Send bytes; Lost when the other side is gone or does not take them."""
        try:
            self.sock.sendall(raw)
        except TimeoutError as error:
            raise Lost("The other side stopped taking data.", timeout=True) from error
        except (OSError, ValueError) as error:
            raise Lost("The other side closed the connection.") from error

    def read(self, timeout_s: float | None = None) -> tuple[int, memoryview]:
        """Type and contents of the next PDU; the view is valid until the next call.

        `timeout_s`: how long to wait for its first byte. The rest must follow in time.
        """
        if self._end - self._start < 6:
            self._fill(6, self.timeout_s if timeout_s is None else timeout_s)
        kind, length = pdu.HEADER.unpack_from(self._view, self._start)
        if not 1 <= kind <= 7:
            raise ProtocolError("The other side does not speak DICOM.")
        if length > pdu.LONGEST:
            raise ProtocolError(f"The other side sent a PDU of {length:,} bytes, too long.")
        whole = 6 + length
        if self._end - self._start < whole:
            self._fill(whole, self.timeout_s)
        begin = self._start + 6
        self._start += whole
        return kind, self._view[begin : begin + length]

    def _fill(self, count: int, timeout_s: float) -> None:
        """Read from the socket until so many bytes are here."""
        have = self._end - self._start
        if self._start and (not have or self._start + count > len(self._view)):
            self._view[:have] = self._view[self._start : self._end]
            self._start, self._end = 0, have
        if count > len(self._view):
            larger = memoryview(bytearray(count + _BUFFER))
            larger[:have] = self._view[:have]
            self._view = larger
        until = time.monotonic() + timeout_s
        if timeout_s != self.timeout_s:
            self.sock.settimeout(max(timeout_s, 0.001))
        try:
            while self._end - self._start < count:
                got = self.sock.recv_into(self._view[self._end :])
                if not got:
                    raise Lost("The other side closed the connection.")
                self._end += got
                if self._end - self._start < count and time.monotonic() > until:
                    raise TimeoutError
        except TimeoutError as error:
            raise Lost(f"Nothing came for {timeout_s:g} s.", timeout=True) from error
        except (OSError, ValueError) as error:
            raise Lost("The other side closed the connection.") from error
        finally:
            if timeout_s != self.timeout_s:
                with contextlib.suppress(OSError):
                    self.sock.settimeout(self.timeout_s)

    def close(self) -> None:
        """Close the socket; what waits for it in another thread ends too."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.sock.close()


class Association:
    """An association that is open: sends and receives messages (PS3.7), until released."""

    def __init__(
        self, connection: Connection, agreed: Iterable[Agreed], maximum: int, peer: pdu.User
    ) -> None:
        self.connection, self.maximum, self.peer = connection, maximum, peer
        self.contexts = {context.id: context for context in agreed}
        self.open = True
        self.heard = False
        """Whether a message has come since it was last reused."""
        self.calling = self.called = ""
        self._number = 0

    def next_message(self) -> int:
        """A Message ID that was not used just before."""
        self._number = self._number % 65535 + 1
        return self._number

    def context_of(self, abstract: str) -> Agreed | None:
        """The presentation context of an abstract syntax, None when it was not accepted."""
        return next((c for c in self.contexts.values() if c.abstract == abstract), None)

    def send(self, context: Agreed, command: Mapping[str, Any], data: bytes = b"") -> None:
        """Send a message; its CommandDataSetType is set by whether there are data."""
        whole = {**command, "CommandDataSetType": 0 if data else commands.NO_DATA_SET}
        parts = list(pdu.data(context.id, True, commands.encode(whole), self.maximum))
        size = 0
        if data:
            for part in pdu.data(context.id, False, memoryview(data), self.maximum):
                parts.append(part)
                size += len(part)
                if size >= _BATCH:
                    self._send(b"".join(parts))
                    parts, size = [], 0
        self._send(b"".join(parts))

    def _send(self, raw: bytes) -> None:
        try:
            self.connection.send(raw)
        except Lost:
            self.close()
            raise

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message; None when the other side has released the association.

        ProtocolError (after an abort) when what comes is none, Lost when nothing comes.
        """
        assembly = _Assembly(self.contexts)
        try:
            while True:
                kind, contents = self.connection.read(timeout_s)
                if kind == pdu.DATA:
                    message = assembly.add(contents)
                    if message is not None:
                        self.heard = True
                        return message
                    timeout_s = None
                elif kind == pdu.RELEASE_RQ:
                    self.connection.send(pdu.RELEASE_RESPONSE)
                    self.close()
                    return None
                elif kind == pdu.ABORT:
                    self.close()
                    raise Lost("The other side aborted the association.")
                else:
                    raise ProtocolError(f"The other side sent a PDU of type {kind} out of turn.")
        except ProtocolError:
            assembly.drop()
            self.abort(source=2)
            raise
        except Lost:
            assembly.drop()
            self.abort() if self.open else self.close()
            raise

    def ready(self, also: Sequence[socket.socket], timeout_s: float) -> list[socket.socket]:
        """Which of some sockets, or that of this association, have something to read."""
        mine = self.connection.sock
        if self.connection.waiting():
            return [mine]
        try:
            return readable([mine, *also], timeout_s)
        except (OSError, ValueError) as error:
            raise Lost("The connection is closed.") from error

    def stale(self) -> bool:
        """Whether something came, or it was closed, while nobody was asking."""
        try:
            return not self.open or bool(self.ready([], 0))
        except Lost:
            return True

    def release(self) -> None:
        """Release it (PS3.8 7.2); does not wait for long."""
        if not self.open:
            return
        with contextlib.suppress(Refused):
            self.connection.send(pdu.RELEASE_REQUEST)
            until = time.monotonic() + _RELEASE_S
            while time.monotonic() < until:
                kind, _ = self.connection.read(_RELEASE_S)
                if kind in (pdu.RELEASE_RP, pdu.ABORT):
                    break
                if kind == pdu.RELEASE_RQ:
                    self.connection.send(pdu.RELEASE_RESPONSE)
        self.close()

    def abort(self, source: int = 0) -> None:
        """Abort it (PS3.8 7.3)."""
        if self.open:
            with contextlib.suppress(OSError, ValueError):
                self.connection.sock.settimeout(1)
                self.connection.sock.sendall(pdu.Abort(source).encode())
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self.open = False
        self.connection.close()


class _Assembly:
    """PDVs put together to a message."""

    def __init__(self, contexts: Mapping[int, Agreed]) -> None:
        self._contexts = contexts
        self._raw = bytearray()
        self._message: Message | None = None

    def add(self, contents: memoryview) -> Message | None:
        """Take the PDVs of a P-DATA-TF; the message when it is whole."""
        whole: Message | None = None
        for number, of_command, last, part in pdu.values(contents):
            if whole is not None:
                raise ProtocolError("The other side sent a message before it had an answer.")
            if of_command:
                whole = self._command(number, last, part)
            else:
                whole = self._data(number, last, part)
        return whole

    def drop(self) -> None:
        """Let go of what has come of a message that never will be whole."""
        if self._message is not None and self._message.body is not None:
            self._message.body.close()

    def _command(self, number: int, last: bool, part: memoryview) -> Message | None:
        if self._message is not None or number not in self._contexts:
            raise ProtocolError("The other side sent a command where none may be.")
        self._raw += part
        if len(self._raw) > _LONGEST_COMMAND:
            raise ProtocolError("The other side sent a command that is too long.")
        if not last:
            return None
        command = commands.decode(bytes(self._raw))
        context = self._contexts[number]
        message = Message(context, command)
        if command.get("CommandDataSetType", commands.NO_DATA_SET) == commands.NO_DATA_SET:
            return message
        message.body = _body(context, command)
        self._message = message
        return None

    def _data(self, number: int, last: bool, part: memoryview) -> Message | None:
        message = self._message
        if message is None or message.body is None or message.context.id != number:
            raise ProtocolError("The other side sent a data set where none may be.")
        message.body.add(part)
        if not last:
            return None
        message.body.finish()
        self._message = None
        return message


def _body(context: Agreed, command: Command) -> Body:
    if command["CommandField"] != commands.STORE_RQ:
        return Body(most=_LONGEST_IDENTIFIER, memory=_LONGEST_IDENTIFIER)
    storage = str(command.get("AffectedSOPClassUID", ""))
    instance = str(command.get("AffectedSOPInstanceUID", ""))
    return Body(file_meta(storage[:64], instance[:64], context.transfer))


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to ask for associations, and as whom."""

    host: str
    port: int
    called: str
    calling: str
    timeout_s: float = 60.0
    tls: ssl.SSLContext | None = None
    identity: tuple[int, bool, bytes, bytes] | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.host}:{self.port}"


def request(
    peer: Peer, contexts: Sequence[tuple[str, Sequence[str]]], roles: Iterable[str] = ()
) -> Association:
    """Ask for an association; contexts are pairs of abstract syntax and transfer syntaxes.

    `roles`: abstract syntaxes that we want to be the SCP of. Refused when there is nobody or no
    room, Denied when asking again cannot help.
    """
    connection = Connection(_connect(peer), peer.timeout_s)
    proposed = [
        pdu.Context(2 * number + 1, abstract, tuple(transfer))
        for number, (abstract, transfer) in enumerate(contexts)
    ]
    wanted = tuple(pdu.Role(abstract, False, True) for abstract in dict.fromkeys(roles))
    user = pdu.User(roles=wanted, identity=peer.identity)
    asked = pdu.AssociateRequest(peer.called, peer.calling, tuple(proposed), user)
    try:
        connection.send(asked.encode())
        kind, contents = connection.read()
        if kind not in (pdu.ASSOCIATE_AC, pdu.ASSOCIATE_RJ, pdu.ABORT):
            raise ProtocolError(f"{peer.place} answered what is no answer to an association.")
        answer = pdu.decode(kind, bytes(contents))
    except Refused:
        connection.close()
        raise
    if isinstance(answer, pdu.AssociateAccept):
        return _agreed(connection, proposed, answer, peer)
    connection.close()
    if isinstance(answer, pdu.AssociateReject):
        raise _rejection(answer, peer)
    raise Lost(f"{peer.place} aborted the association before it was open.")


def _connect(peer: Peer) -> socket.socket:
    try:
        sock = socket.create_connection((peer.host, peer.port), peer.timeout_s)
    except TimeoutError as error:
        raise Lost(f"{peer.place} did not answer in time.", timeout=True) from error
    except OSError as error:
        why = error.strerror or "no such host"
        raise Refused(f"{peer.place} cannot be reached: {why}.") from error
    if peer.tls is None:
        return sock
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer.tls.wrap_socket(sock, server_hostname=peer.host)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise UsageError(
            f"The certificate of {peer.place} is not trusted ({error.verify_message}). Set tls.ca"
            " to the authority that issued it."
        ) from error
    except (OSError, ValueError) as error:
        sock.close()
        raise Refused(f"{peer.place} does not speak TLS as it should.") from error


def _agreed(
    connection: Connection,
    proposed: Sequence[pdu.Context],
    answer: pdu.AssociateAccept,
    peer: Peer,
) -> Association:
    asked = {context.id: context for context in proposed}
    roles = {role.abstract: role.scp for role in answer.user.roles}
    agreed = []
    for context in answer.contexts:
        mine = asked.get(context.id)
        if mine is not None and context.result == 0 and context.transfer in mine.transfer:
            scp = roles.get(mine.abstract)
            agreed.append(Agreed(context.id, mine.abstract, context.transfer, scp))
    association = Association(connection, agreed, answer.user.maximum, answer.user)
    association.calling, association.called = peer.calling, peer.called
    return association


_TRANSIENT = {1: "it is congested", 2: "it has too many associations already"}
_PERMANENT = {
    3: "it does not know the AE title {calling} as calling: make it known there, or set calling",
    7: "it does not know the AE title {called} as called: set called = the AE title of the archive",
}


def _rejection(answer: pdu.AssociateReject, peer: Peer) -> Exception:
    if answer.result == 2:
        why = _TRANSIENT.get(answer.reason, "it does not say why")
        return Rejected(f"{peer.place} refused the association for now: {why}.")
    why = "it does not say why"
    if answer.source == 1:
        why = _PERMANENT.get(answer.reason, why)
    elif answer.source == 2 and answer.reason == 2:
        why = "it speaks another version of the protocol"
    why = why.format(calling=peer.calling, called=peer.called)
    return Denied(f"{peer.place} refused the association: {why}.", answer)


Decide = Callable[[pdu.AssociateRequest], pdu.AssociateAccept | pdu.AssociateReject]


def accept(sock: socket.socket, timeout_s: float, decide: Decide) -> Association | None:
    """Answer who asks for an association on a new connection; None when `decide` rejects.

    ProtocolError and Lost as of `Association.receive`. The connection is closed then.
    """
    connection = Connection(sock, timeout_s)
    try:
        kind, contents = connection.read()
        if kind != pdu.ASSOCIATE_RQ:
            raise ProtocolError("The other side began without asking for an association.")
        asked = pdu.decode(kind, bytes(contents))
        assert isinstance(asked, pdu.AssociateRequest)
        answer = decide(asked)
        connection.send(answer.encode())
    except Refused:
        connection.close()
        raise
    if isinstance(answer, pdu.AssociateReject):
        _wait_for_end(connection)
        return None
    abstract = {context.id: context.abstract for context in asked.contexts}
    agreed = [Agreed(c.id, abstract[c.id], c.transfer) for c in answer.contexts if c.result == 0]
    association = Association(connection, agreed, asked.user.maximum, asked.user)
    association.calling, association.called = asked.calling, asked.called
    return association


def _wait_for_end(connection: Connection) -> None:
    """Let the other side read the rejection before the connection closes (PS3.8 9.2, AA-1)."""
    with contextlib.suppress(OSError, Refused):
        connection.sock.shutdown(socket.SHUT_WR)
        connection.read(_RELEASE_S)
    connection.close()
