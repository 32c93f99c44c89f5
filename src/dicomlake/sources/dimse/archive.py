"""An archive asked by DIMSE: C-FIND, and objects by C-GET or C-MOVE (PS3.4 Annex C, Study Root)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from dicomlake.contracts import Object
from dicomlake.contracts.archives import KEYS, LEVELS, Check, Listener, Match
from dicomlake.errors import Incomplete, Refused, UsageError
from dicomlake.settings import Source
from dicomlake.sources.dimse import association as associations
from dicomlake.sources.dimse import checks, identifier, syntaxes, tls
from dicomlake.sources.dimse import command as commands
from dicomlake.sources.dimse.arrivals import Arrivals
from dicomlake.sources.dimse.association import Agreed, Association, Lost, Message, Peer
from dicomlake.sources.dimse.body import is_uid, object_of
from dicomlake.sources.dimse.pdu import ProtocolError

_CANCEL_S = 2.0
"""How long an archive may take to stop after C-CANCEL."""
_AT_ONCE = 200
"""UIDs in one request: an element of explicit VR has room for 65,534 bytes."""
_HOPELESS = 3
"""Objects that come by no offer at all, after which no others are tried."""
_LEVEL = "QueryRetrieveLevel"
_T = TypeVar("_T")


@dataclass(slots=True)
class _Outcome:
    """How a retrieval ended: final status, sub-operations that failed, and which."""

    status: int = commands.SUCCESS
    failed: int = 0
    failed_uids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """An association for retrieval, and what it proposed."""

    association: Association
    offer: syntaxes.Offer = ()


class DimseArchive:
    """A connection to an archive of kind "dimse"; `listener` is where C-MOVE sends objects."""

    whole_headers = False

    def __init__(self, name: str, settings: Source, listener: Listener | None = None) -> None:
        assert settings.port is not None
        assert settings.called is not None
        self.name, self.settings, self.listener = name, settings, listener
        self.peer = Peer(
            settings.host,
            settings.port,
            settings.called,
            settings.calling,
            settings.timeout_s,
            tls.client(settings.tls) if settings.tls is not None else None,
            _identity(settings),
        )
        self._way = "" if settings.retrieve == "auto" else settings.retrieve
        self._query: Association | None = None
        self._retrieval: _Open | None = None
        self._known: list[str] = []
        self._offer = syntaxes.offer()

    @property
    def way(self) -> str:
        """How objects are brought: "get" where the archive accepts it, else "move"."""
        if not self._way:
            self._way = "get" if self.gets() else "move"
        return self._way

    def gets(self) -> bool:
        """Whether the archive accepts C-GET, and us as receiver on the same association."""
        found, _ = self._retrieving("get")
        self._retrieval = found
        return _can_get(found.association)

    def arrives(self, keys: Mapping[str, str], instance: str) -> bool:
        """Whether an object comes to our listener by C-MOVE."""
        got: set[str] = set()
        asked = {**keys, "QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": instance}
        moved = self._by("move", asked, got)
        while True:
            try:
                next(moved)
            except StopIteration as end:
                _conclude(self, end.value, got, [instance])
                return bool(got)

    def close(self) -> None:
        """Release the associations."""
        if self._query is not None:
            self._query.release()
        if self._retrieval is not None:
            self._retrieval.association.release()
        self._query = self._retrieval = None

    def check(self) -> Iterator[Check]:
        """Try what can be tried: connect and C-ECHO, C-FIND, C-GET, and C-MOVE to our listener."""
        return checks.of(self)

    # C-ECHO and C-FIND

    def echo(self) -> None:
        """Ask whether the archive is there (PS3.4 Annex A)."""
        self._asking(_echo)

    def find(
        self,
        level: str,
        keys: Mapping[str, str],
        wanted: Sequence[str] = (),
        limit: int | None = None,
    ) -> Match:
        """What matches at a level (C-FIND, PS3.4 C.4.1); ended by C-CANCEL after `limit` answers.

        `cut` unless the archive ends with success by itself.
        """
        if level not in LEVELS:
            raise UsageError(f"There is no level {level!r}. There are: {', '.join(LEVELS)}.")
        columns = list(dict.fromkeys((*(wanted or KEYS[level]), *keys)))
        values = {**dict.fromkeys(columns, ""), **keys, "QueryRetrieveLevel": level}
        return self._asking(lambda association: _find(association, values, columns, limit))

    def _asking(self, task: Callable[[Association], _T]) -> _T:
        """Do something on the association for queries; once again if it had died meanwhile."""
        kept, self._query = self._query, None
        if kept is not None and kept.stale():
            kept.close()
            kept = None
        if kept is not None:
            kept.heard = False
            with contextlib.suppress(_Dead), _dying(kept):
                return self._kept(task, kept)
        contexts = [(syntaxes.FIND, syntaxes.PLAIN), (syntaxes.VERIFICATION, syntaxes.PLAIN)]
        return self._kept(task, associations.request(self.peer, contexts))

    def _kept(self, task: Callable[[Association], _T], association: Association) -> _T:
        try:
            found = task(association)
        except BaseException:
            if association.open:
                association.release()
            raise
        if association.open:
            self._query = association
        return found

    # C-GET and C-MOVE

    def headers(self, study: str, series: str, *, first: bool = False) -> Iterator[Object]:
        """One object of a series as a whole: DIMSE has no way to send headers alone.

        Its class is not asked for beforehand: an Orthanc opens every file of the series for it.
        """
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        match = self.find("IMAGE", keys, ("SOPInstanceUID", "InstanceNumber"), limit=1)
        for row in match.rows[:1]:
            yield from self._brought(keys, [row["SOPInstanceUID"]])

    def objects(self, study: str, series: str, instances: Sequence[str] = ()) -> Iterator[Object]:
        """The objects of a series, or some, as files (PS3.10), in the syntax they are stored in."""
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        yield from self._brought(keys, instances)

    def _brought(self, keys: Mapping[str, str], instances: Sequence[str]) -> Iterator[Object]:
        if self.way == "move" and self.listener is None:
            raise UsageError(
                f"{self.name} does not offer C-GET, and C-MOVE needs our listener: set [listener]"
                " in dicomlake.toml, and make its AE title known to the archive."
            )
        got: set[str] = set()
        outcome = yield from self._all(keys, instances, got)
        refused = outcome.status in (commands.OUT_OF_RESOURCES, 0xA701)
        if self.way == "get" and not refused and (outcome.failed or not got):
            again = yield from self._by_other_offers(keys, instances, got)
            outcome = again or outcome
        _conclude(self, outcome, got, instances)

    def _all(
        self,
        keys: Mapping[str, str],
        instances: Sequence[str],
        got: set[str],
        offer: syntaxes.Offer = (),
    ) -> Generator[Object, None, _Outcome]:
        """Everything asked for, a number of UIDs at a time."""
        way: Literal["get", "move"] = "get" if self.way == "get" else "move"
        if not instances:
            return (yield from self._by(way, {**keys, _LEVEL: "SERIES"}, got, offer))
        whole = _Outcome()
        for at in range(0, len(instances), _AT_ONCE):
            uids = "\\".join(instances[at : at + _AT_ONCE])
            asked = {**keys, _LEVEL: "IMAGE", "SOPInstanceUID": uids}
            outcome = yield from self._by(way, asked, got, offer)
            whole.status = whole.status or outcome.status
            whole.failed += outcome.failed
            whole.failed_uids += outcome.failed_uids
        return whole

    def _by_other_offers(
        self, keys: Mapping[str, str], instances: Sequence[str], got: set[str]
    ) -> Generator[Object, None, _Outcome | None]:
        """What did not come, with other classes and syntaxes proposed; None when all is here.

        One object is tried first; the rest is asked for by the offer that brought it.
        """
        narrow = {"SOPInstanceUID": "\\".join(instances)} if len(instances) <= _AT_ONCE else {}
        wanted = ("SOPInstanceUID", "SOPClassUID")
        match = self.find("IMAGE", {**keys, **narrow}, wanted)
        listed = {row["SOPInstanceUID"]: row["SOPClassUID"] for row in match.rows}
        asked = [uid for uid in (instances or listed) if uid not in got]
        if not asked:
            return None
        hopeless, last = 0, _Outcome()
        missing = asked
        while missing and hopeless < _HOPELESS:
            classes = list(dict.fromkeys(listed.get(uid, "") for uid in missing))
            classes = [uid for uid in classes if is_uid(uid)]
            offers = syntaxes.others(classes, dict(self._offer))
            last = yield from self._probed(keys, missing, got, offers)
            came = [uid for uid in missing if uid in got]
            hopeless = 0 if came else hopeless + 1
            missing = [uid for uid in missing[0 if came else 1 :] if uid not in got]
        failed = [uid for uid in asked if uid not in got]
        return _Outcome(last.status if failed else commands.SUCCESS, len(failed), failed)

    def _probed(
        self,
        keys: Mapping[str, str],
        missing: Sequence[str],
        got: set[str],
        offers: Iterable[syntaxes.Offer],
    ) -> Generator[Object, None, _Outcome]:
        """The first object missing by one offer after the other, and the others by the same."""
        outcome = _Outcome()
        for offer in offers:
            outcome = yield from self._all(keys, missing[:1], got, offer)
            if missing[0] in got:
                if len(missing) > 1:
                    outcome = yield from self._all(keys, missing[1:], got, offer)
                return outcome
        return outcome

    def _learn(self, storage: str) -> None:
        """Propose a class from now on, the latest ones first."""
        if is_uid(storage) and all(storage != offered for offered, _ in self._offer):
            self._known = [storage, *(known for known in self._known if known != storage)][:64]
            self._offer = syntaxes.offer(self._known)

    def _retrieving(
        self, way: Literal["get", "move"], offer: syntaxes.Offer = ()
    ) -> tuple[_Open, bool]:
        """An association for retrieval; whether it was open already."""
        kept, self._retrieval = self._retrieval, None
        if kept is not None and kept.association.stale():
            kept.association.close()
            kept = None
        wanted = (offer or self._offer) if way == "get" else ()
        if kept is not None and kept.offer == wanted:
            kept.association.heard = False
            return kept, True
        if kept is not None:
            kept.association.release()
        abstract = syntaxes.GET if way == "get" else syntaxes.MOVE
        roles = dict.fromkeys(storage for storage, _ in wanted)
        contexts = [(abstract, syntaxes.PLAIN), *wanted]
        return _Open(associations.request(self.peer, contexts, roles), wanted), False

    def _by(
        self,
        way: Literal["get", "move"],
        keys: Mapping[str, str],
        got: set[str],
        offer: syntaxes.Offer = (),
    ) -> Generator[Object, None, _Outcome]:
        """One C-GET or C-MOVE; once again when the association had died meanwhile."""
        bring = self._get if way == "get" else self._move
        found, reused = self._retrieving(way, offer)
        before = len(got)
        try:
            outcome = yield from bring(found.association, keys, got)
        except Lost as error:
            if not _died(reused, found.association, error) or len(got) > before:
                raise
            found, _ = self._retrieving(way, offer)
            outcome = yield from bring(found.association, keys, got)
        if found.association.open:
            self._retrieval = found
        return outcome

    def _get(
        self, association: Association, keys: Mapping[str, str], got: set[str]
    ) -> Generator[Object, None, _Outcome]:
        """One C-GET (PS3.4 C.4.3); what comes is answered at once, so that the next one comes."""
        number = association.next_message()
        ended = False
        context = None
        try:
            context = _requested(association, syntaxes.GET, commands.GET_RQ, number, keys)
            while True:
                message = _next(association)
                if message.command["CommandField"] == commands.STORE_RQ:
                    found = self._taken(association, message)
                    try:
                        if found is not None:
                            got.add(str(message.command["AffectedSOPInstanceUID"]))
                            yield found
                    finally:
                        if message.body is not None:
                            message.body.close()
                elif outcome := _ended(message, commands.GET_RSP):
                    ended = True
                    return outcome
        finally:
            if not ended:
                _stop(association, context, number)

    def _taken(self, association: Association, message: Message) -> Object | None:
        """The object of a C-STORE, and answer it; None when it is none."""
        instance = str(message.command.get("AffectedSOPInstanceUID", ""))
        good = message.body is not None and is_uid(instance)
        status = commands.SUCCESS if good else commands.CANNOT_UNDERSTAND
        association.send(message.context, commands.response(message.command, status))
        if not good or message.body is None:
            return None
        self._learn(str(message.command.get("AffectedSOPClassUID", "")))
        return object_of(self.name, instance, message.body)

    def _move(
        self, association: Association, keys: Mapping[str, str], got: set[str]
    ) -> Generator[Object, None, _Outcome]:
        """One C-MOVE to our listener (PS3.4 C.4.2); objects and responses as they come."""
        assert self.listener is not None
        with contextlib.ExitStack() as stack:
            arrivals = stack.enter_context(Arrivals(self.name))
            series = keys["SeriesInstanceUID"]
            expectation = stack.enter_context(self.listener.expect(series, arrivals.arrived))
            expectation.originators = (self.peer.calling, self.peer.called)
            ended = False
            context = None
            try:
                context = _requested(
                    association,
                    syntaxes.MOVE,
                    commands.MOVE_RQ,
                    expectation.message,
                    keys,
                    self.listener.ae_title,
                )
                while not ended:
                    outcome, ended = yield from self._moved(association, arrivals, got)
            finally:
                arrivals.refuse()
                if not ended:
                    _stop(association, context, expectation.message)
            return outcome

    def _moved(
        self, association: Association, arrivals: Arrivals, got: set[str]
    ) -> Generator[Object, None, tuple[_Outcome, bool]]:
        """What comes next: an object, or a response; whether that was the last one."""
        timeout_s = self.settings.timeout_s
        ready = association.ready([arrivals.socket], timeout_s)
        if not ready:
            association.abort()
            raise Lost(f"{self.peer.place} sent nothing for {timeout_s:g} s.", timeout=True)
        if arrivals.socket in ready:
            yield from arrivals.taken(got)
            return _Outcome(), False
        outcome = _ended(_next(association), commands.MOVE_RSP)
        if outcome is None:
            return _Outcome(), False
        while arrivals.waiting:
            yield from arrivals.taken(got)
        return outcome, True


class _Dead(Exception):
    """An association that was kept open had died before anything came on it."""


@contextlib.contextmanager
def _dying(association: Association) -> Iterator[None]:
    try:
        yield
    except Lost as error:
        if _died(True, association, error):
            raise _Dead from error
        raise


def _died(reused: bool, association: Association, error: Lost) -> bool:
    return reused and not association.heard and not error.timeout


def _identity(settings: Source) -> tuple[int, bool, bytes, bytes] | None:
    """User identity (PS3.7 D.3.3.7): a name, with a password where there is one."""
    if not settings.user:
        return None
    password = settings.password().encode()
    return (2 if password else 1), False, settings.user.encode(), password


def _can_get(association: Association) -> bool:
    if association.context_of(syntaxes.GET) is None:
        return False
    storage = [c for c in association.contexts.values() if c.abstract != syntaxes.GET]
    return any(context.scp is not False for context in storage)


def _echo(association: Association) -> None:
    number = association.next_message()
    context = _context(association, syntaxes.VERIFICATION, "C-ECHO")
    command = {
        "AffectedSOPClassUID": syntaxes.VERIFICATION,
        "CommandField": commands.ECHO_RQ,
        "MessageID": number,
    }
    association.send(context, command)
    status = _next(association).status
    if status != commands.SUCCESS:
        raise failure("C-ECHO", status)


def _find(
    association: Association, values: Mapping[str, str], columns: Sequence[str], limit: int | None
) -> Match:
    """One C-FIND; after so many answers the rest is cancelled and passed over."""
    number = association.next_message()
    context = _requested(association, syntaxes.FIND, commands.FIND_RQ, number, values)
    rows: list[dict[str, str]] = []
    cancelled = 0.0
    while True:
        message = _next(association)
        if message.status not in commands.PENDING:
            return _match(rows, message.status, bool(cancelled))
        if cancelled:
            if time.monotonic() > cancelled:
                association.abort()
                return Match(rows, True, commands.words(commands.CANCELLED))
            continue
        if message.body is not None:
            rows.append(identifier.decode(message.data(), context.transfer, columns))
        if limit is not None and len(rows) >= limit:
            _cancel(association, context, number)
            cancelled = time.monotonic() + _CANCEL_S


def _match(rows: list[dict[str, str]], status: int, cancelled: bool) -> Match:
    whole = status == commands.SUCCESS and not cancelled
    failed = status not in (commands.SUCCESS, commands.CANCELLED) and status >> 12 != 0xB
    if failed and not rows:
        raise failure("C-FIND", status)
    return Match(rows, not whole, commands.words(status))


def failure(what: str, status: int, to: str = "") -> Refused | UsageError:
    """The error that a final status stands for; what an archive adds as comment is left out."""
    says = f"{what} failed: {commands.words(status)}."
    if status == 0xA801:
        return UsageError(f"{says} Make the AE title {to} known to the archive, with its address.")
    if commands.busy(status):
        return Refused(says)
    return UsageError(f"{says} The archive will not answer this, however often it is asked.")


def _context(association: Association, abstract: str, what: str) -> Agreed:
    context = association.context_of(abstract)
    if context is None:
        raise UsageError(f"The archive does not offer {what} (Study Root) to us.")
    return context


_NAMES = {syntaxes.FIND: "C-FIND", syntaxes.GET: "C-GET", syntaxes.MOVE: "C-MOVE"}


def _requested(
    association: Association,
    abstract: str,
    request: int,
    number: int,
    keys: Mapping[str, str],
    destination: str = "",
) -> Agreed:
    """Send a request of the Query/Retrieve service (PS3.7 9.1); the context that it went by."""
    context = _context(association, abstract, _NAMES[abstract])
    command = {
        "AffectedSOPClassUID": abstract,
        "CommandField": request,
        "MessageID": number,
        "Priority": 0,
    }
    if destination:
        command["MoveDestination"] = destination
    association.send(context, command, identifier.encode(keys, context.transfer))
    return context


def _next(association: Association) -> Message:
    message = association.receive()
    if message is None:
        raise Lost("The archive released the association in the middle.")
    return message


def _ended(message: Message, response: int) -> _Outcome | None:
    """The outcome that a response tells; None while sub-operations go on."""
    if message.command["CommandField"] != response:
        raise ProtocolError("The archive sent another message than a response.")
    if message.status in commands.PENDING:
        return None
    failed = int(message.command.get("NumberOfFailedSuboperations", 0))
    listed = str(message.command.get(commands.FAILED, ""))
    if message.body is not None:
        with contextlib.suppress(ProtocolError):
            values = identifier.decode(message.data(), message.context.transfer)
            listed = values.get(commands.FAILED, listed)
        message.body.close()
    uids = [uid for uid in listed.split("\\") if is_uid(uid)]
    return _Outcome(message.status, max(failed, len(uids)), uids)


def _conclude(
    archive: DimseArchive, outcome: _Outcome, got: set[str], instances: Sequence[str]
) -> None:
    """Raise what an outcome calls for."""
    listener = archive.listener
    to = listener.ae_title if listener is not None else ""
    what = "C-GET" if archive.way == "get" else "C-MOVE"
    failed = [uid for uid in outcome.failed_uids if uid not in got]
    if not failed and instances and outcome.failed:
        failed = [uid for uid in instances if uid not in got]
    bad = outcome.status >> 12 in (0xA, 0xC)
    if not got and not failed and bad:
        raise failure(what, outcome.status, to)
    if outcome.failed or (got and bad):
        count = outcome.failed or "some"
        raise Incomplete(
            f"{archive.name} sent {len(got)} objects of a series, and failed to send {count}:"
            f" {what} ended with {commands.words(outcome.status)}.",
            failed,
        )
    if outcome.status == commands.CANCELLED:
        raise Refused(f"{archive.name} cancelled {what} by itself.")
    if outcome.status != commands.SUCCESS and outcome.status >> 12 != 0xB:
        raise failure(what, outcome.status, to)


def _cancel(association: Association, context: Agreed, number: int) -> None:
    command = {"CommandField": commands.CANCEL_RQ, "MessageIDBeingRespondedTo": number}
    association.send(context, command)


def _stop(association: Association, context: Agreed | None, number: int) -> None:
    """Cancel a retrieval that nobody wants any longer; abort when it does not end in time."""
    if not association.open:
        return
    try:
        if context is not None:
            _cancel(association, context, number)
            until = time.monotonic() + _CANCEL_S
            while (left := until - time.monotonic()) > 0:
                message = association.receive(left)
                if message is None:
                    return
                if message.body is not None:
                    message.body.close()
                if message.command["CommandField"] == commands.STORE_RQ:
                    answer = commands.response(message.command, commands.OUT_OF_RESOURCES)
                    association.send(message.context, answer)
                elif message.status not in commands.PENDING:
                    association.release()
                    return
    except Refused:
        pass
    association.abort()
