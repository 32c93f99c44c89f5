"""Tasks in Kafka, for workers on many machines; `docs/queue.md` describes topics and messages.

The events of all tasks lie in one order in partition 0 of the events topic, and they alone decide
what holds (see `dicomlake.queues.view`). The topics of tasks bring tasks to workers; a message
there is only a hint that a task may be due, so it does no harm twice.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from dicomlake.contracts.queues import (
    CANCELLED,
    DEAD,
    DONE,
    RUNNING,
    STATES,
    WAITING,
    WRITTEN,
    Count,
    Lease,
    State,
    Task,
)
from dicomlake.errors import DataError, ServiceError, UsageError
from dicomlake.queues.offsets import Offsets, Place
from dicomlake.queues.tasks import batches, check, packed
from dicomlake.queues.view import FORGOTTEN, Event, Record, View, pack_task, read_task
from dicomlake.settings import QueueSettings

log = logging.getLogger(__name__)

Consumer: TypeAlias = Any  # the library is loaded when a queue is opened
Message: TypeAlias = Any

BANDS = ("now", "today", "later")
"""Topics of tasks: priorities 0 to 2, 3 to 6, 7 to 9."""

_BATCH = 500
_AT_HAND = 200  # tasks that are due and near: no more are fetched then
_ASIDE = 10_000  # messages held aside, until the last ones are sent to the end of their topic
_PARTITIONS = 8
_JOIN_S = 15.0  # how long joining a group may take


def band(priority: int) -> str:
    """The topic of a priority, without the prefix.

    >>> [band(priority) for priority in (0, 3, 6, 9)]
    ['now', 'today', 'today', 'later']
    """
    return BANDS[(priority > 2) + (priority > 6)]


class KafkaQueue:
    """Tasks in the Kafka that `settings` name; `settings.options` go to librdkafka.

    It keeps all tasks in memory, from the events. `group` names the workers that share the tasks;
    `timeout_s`: how long Kafka may take for anything. Use it from any thread; each process opens
    its own.
    """

    def __init__(
        self,
        settings: QueueSettings,
        *,
        clock: Callable[[], float] = time.time,
        group: str = "workers",
        timeout_s: float = 30.0,
    ) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise UsageError(
                "A queue in Kafka needs a library: pip install 'dicomlake[kafka]'"
            ) from error
        self._kafka: Any = confluent_kafka
        self._settings, self._clock, self._group = settings, clock, group
        self._timeout_s = timeout_s
        self._lock, self._process = threading.RLock(), os.getpid()
        self._view, self._offsets = View(), Offsets()
        self._read = 0
        self._mine: dict[str, bool | None] = {}
        self._held: dict[str, set[Place]] = {}
        self._told: list[str] = []
        self._workers: dict[str, Consumer] = {}
        self._joined: set[str] = set()
        self._asked = 0.0
        self._closed = False
        self._events, self._dead = f"{settings.prefix}.events", f"{settings.prefix}.dead"
        with self._use():
            self._connect()

    # What the Protocol asks for

    def put(self, tasks: Iterable[Task]) -> int:
        """Add tasks; how many are new. See `dicomlake.contracts.queues.Queue`."""
        new = 0
        for batch in batches(tasks, _BATCH):
            for task in batch:
                packed(check(task).what, task.kind)
            with self._use():
                self._catch_up()
                while batch:
                    added, batch = self._put(batch)
                    new += added
        return new

    def lease(
        self,
        owner: str,
        count: int = 1,
        seconds: float = 120.0,
        *,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> list[Lease]:
        """Tasks that are due, best priority first among those that have been brought here."""
        if count < 1:
            return []
        with self._use():
            self._follow()
            now = self._clock()
            due = self._brought(now, count, only, without)
            self._make_room(now)
            wanted = [_leased(record, owner, now, seconds) for record in due[:count]]
            held = self._change(wanted)
            self._commit()
            found = [self._view.records[id] for id in held]
        found.sort(key=_order)
        return [
            Lease(r.state.id, r.state.task, owner, r.state.attempts, r.until)
            for r in found
            if r.state.state == RUNNING
        ]

    def renew(self, leases: Iterable[Lease], seconds: float = 120.0) -> set[str]:
        """Hold leases longer; ids of those that are still ours."""
        asked = list(leases)
        with self._use():
            self._follow()
            until = self._clock() + seconds
            return self._each(list({lease.id for lease in asked}), _renewed(asked, until))

    def done(
        self,
        lease: Lease,
        result: dict[str, Any],
        *,
        then: Iterable[Task] = (),
        written: bool = False,
    ) -> bool:
        """End a task and add those that follow from it, both or neither: it is one event."""
        children = [check(task) for task in then]
        for task in children:
            packed(task.what, task.kind)
        packed(result, lease.task.kind)
        state, ended = (WRITTEN, 0.0) if written else (DONE, self._clock())
        with self._use():
            self._follow()
            while record := self._ours(lease):
                after = record.next(state=state, ended=ended, result=result)
                follow = tuple(self._follower(task, record, lease) for task in children)
                if self._change([after], {lease.id: follow}):
                    self._bring_followers(lease.id)
                    self._flush()
                    return True
        return False

    def committed(self, ids: Iterable[str]) -> None:
        """The lake holds what these tasks brought."""

        def change(record: Record) -> Record | None:
            if record.state.state != WRITTEN:
                return None
            return record.next(state=DONE, ended=self._clock())

        with self._use():
            self._catch_up()
            self._each(list(ids), change)

    def retry(self, lease: Lease, error: str, delay_s: float = 0.0) -> bool:
        """Try a task again later; True: it had all its attempts and is dead."""
        if lease.attempt >= lease.task.most:
            return self._end(lease, state=DEAD, ended=self._clock(), error=error)
        self._again(lease, delay_s, error=error)
        return False

    def refuse(self, lease: Lease, error: str) -> None:
        """Let a task die at once."""
        self._end(lease, state=DEAD, ended=self._clock(), error=error)

    def give_back(self, lease: Lease, delay_s: float = 0.0) -> None:
        """Let somebody else do a task; does not count as an attempt."""
        self._again(lease, delay_s, attempts=lease.attempt - 1)

    def cancel(self, *, job: str = "", keys: Collection[str] = ()) -> int:
        """Cancel tasks of a job, or with some keys; how many were open.

        A task that other jobs want as well goes on for them.
        """

        def stop(record: Record) -> Record | None:
            over = record.next(state=CANCELLED, ended=self._clock())
            return over if record.open else None

        def leave(record: Record) -> Record | None:
            if record.jobs == (job,) or not record.open or job not in record.jobs:
                return stop(record) if job in record.jobs else None
            others = tuple(other for other in record.jobs if other != job)
            return replace(record, number=record.number + 1, jobs=others)

        with self._use():
            self._catch_up()
            ids = [id for key in keys if (id := self._view.open.get(key))]
            found = len(self._each(ids, stop))
            if job:
                mine = [record.state.id for record in self._view.of(job) if record.open]
                found += len(self._each(mine, leave))
            return found

    def revive(self, *, job: str = "", ids: Collection[str] = ()) -> int:
        """Let dead tasks of a job, with some ids, or all dead ones, wait again."""
        with self._use():
            self._catch_up()
            again = [
                record.next(state=WAITING, attempts=0, due=self._clock(), owner="", **_UNBEGUN)
                for record in self._view.dead(job, ids)
            ]
            revived = self._change(again)
            self._bring(self._view.records[id] for id in revived)
            return len(revived)

    def counts(self, job: str = "") -> list[Count]:
        """How many tasks there are, of a job or of all."""
        with self._use():
            self._catch_up()
            return self._view.counts(job)

    def tasks(
        self, states: Collection[str] = STATES, job: str = "", limit: int = 100
    ) -> list[State]:
        """Tasks in some states, newest first."""
        with self._use():
            self._catch_up()
            return self._view.tasks(states, job, limit)

    def forget(self, before: float) -> int:
        """Drop tasks that were over before a time; how many."""
        with self._use():
            self._catch_up()
            over = [r for r in self._view.of("") if not r.open and r.state.ended < before]
            return len(self._change([record.next(state=FORGOTTEN) for record in over]))

    def close(self) -> None:
        """Leave the group, so that others get what was brought here and is not over."""
        with self._lock:
            if self._closed or self._process != os.getpid():
                return
            self._closed = True
            with self._ours_errors():
                self._commit()
                for worker in self._workers.values():
                    worker.close()
                self._follower_of_events.close()
                self._producer.flush(self._timeout_s)

    # Changes, and who made them first

    def _put(self, tasks: list[Task]) -> tuple[int, list[Task]]:
        """Put tasks of different keys; how many are new, and what is to be put once more."""
        now, first, later = self._clock(), dict[str, Task](), list[Task]()
        for task in tasks:
            if task.key in first:
                later.append(task)
            else:
                first[task.key] = task
        known = {key: record for key in first if (record := self._view.of_key(key))}
        new = [_new(task, now, (task.job,)) for key, task in first.items() if key not in known]
        links = [
            record.wanted([first[key].job], first[key].priority)
            for key, record in known.items()
            if first[key].job not in record.jobs or first[key].priority < record.state.task.priority
        ]
        self._bring(new)
        self._change(new)
        linked = self._change(links)
        self._bring(self._view.records[id] for id in linked)
        # A worker may have told of a new task before us: it is ours all the same.
        missed = [r.state.task for r in new if r.state.id not in self._view.records]
        again = [first[r.state.task.key] for r in links if r.state.id not in linked]
        return len(new) - len(missed), [*missed, *again, *later]

    def _each(self, ids: list[str], change: Callable[[Record], Record | None]) -> set[str]:
        """Change tasks until it holds for each, or `change` says no; ids of those changed."""
        changed: set[str] = set()
        while True:
            records = [r for id in ids if id not in changed and (r := self._view.records.get(id))]
            wanted = [after for record in records if (after := change(record))]
            if not wanted:
                return changed
            changed |= self._change(wanted)

    def _change(
        self, wanted: Iterable[Record], then: dict[str, tuple[Record, ...]] | None = None
    ) -> set[str]:
        """Send events and read until they come back; ids of those that hold."""
        sent = {}
        for record in wanted:
            id = record.state.id
            event = Event(secrets.token_hex(8), record, (then or {}).get(id, ()))
            sent[event.name] = record
            self._mine[event.name] = None
            self._send(self._events, id, event.packed(), partition=0)
        if not sent:
            return set()
        self._flush()
        self._wait(lambda: all(self._mine[name] is not None for name in sent))
        held = {sent[name].state.id for name in sent if self._mine.pop(name)}
        self._bury([r for r in sent.values() if r.state.id in held and r.state.state == DEAD])
        return held

    def _end(self, lease: Lease, **values: Any) -> bool:
        with self._use():
            self._follow()
            return bool(
                self._each([lease.id], lambda r: r.next(**values) if _is(r, lease) else None)
            )

    def _again(self, lease: Lease, delay_s: float, **values: Any) -> None:
        """Let a task wait again, and bring it to the end of its topic."""
        due = self._clock() + delay_s if delay_s > 0 else None

        def change(record: Record) -> Record | None:
            if not _is(record, lease):
                return None
            return record.next(state=WAITING, owner="", due=due, **values)

        with self._use():
            self._follow()
            if self._each([lease.id], change):
                self._bring([self._view.records[lease.id]])
                self._flush()
                self._finish(lease.id)

    def _ours(self, lease: Lease) -> Record | None:
        record = self._view.records.get(lease.id)
        return record if record is not None and _is(record, lease) else None

    def _follower(self, task: Task, parent: Record, lease: Lease) -> Record:
        follows = task.job and task.job in {*parent.jobs, lease.task.job}
        return _new(task, self._clock(), parent.jobs if follows else (task.job,))

    # Messages of tasks

    def _brought(
        self, now: float, count: int, only: Collection[str] | None, without: Collection[str]
    ) -> list[Record]:
        """Tasks that are due and whose message is here, best first; more are fetched at need."""
        found: list[Record] = []
        for wait_s in (0.0, 0.03):
            for number, name in enumerate(BANDS):
                found = self._due(now, only, without)
                near = [r for r in found if BANDS.index(band(r.state.task.priority)) <= number]
                if len(near) < max(count, _AT_HAND):
                    self._fetch(name, wait_s)
            found = self._due(now, only, without)
            if found:
                break
        # Before all topics are open to us, what is most urgent could still be missing.
        joined = len(self._joined) == len(BANDS) or time.monotonic() > self._asked + _JOIN_S
        return found if joined else []

    def _due(
        self, now: float, only: Collection[str] | None, without: Collection[str]
    ) -> list[Record]:
        found = []
        for id in self._held:
            record = self._view.records.get(id)
            if record is None or not _is_due(record, now):
                continue
            source = record.state.task.source
            if (only is None or source in only) and source not in without:
                found.append(record)
        return sorted(found, key=_order)

    def _fetch(self, name: str, wait_s: float) -> None:
        """Take messages of a topic of tasks; tasks that others have put become known by it."""
        messages = self._worker(name).consume(_BATCH, wait_s)
        taken: list[tuple[Place, str, Task]] = []
        for message in messages:
            if message.error():
                log.debug("message not read", extra={"error": message.error().name()})
                continue
            place = (message.topic(), message.partition(), message.offset())
            self._offsets.take(place)
            try:
                id, task = read_task(message.value() or b"")
            except DataError:
                log.warning("message is no task", extra={"topic": place[0], "offset": place[2]})
                self._offsets.finish(place)
                continue
            taken.append((place, id or "-".join(map(str, place)), task))
        if taken:
            self._take(taken)

    def _take(self, taken: list[tuple[Place, str, Task]]) -> None:
        if any(not self._view.knows(id) for _, id, _ in taken):
            self._catch_up()
        now = self._clock()
        for place, id, _ in taken:
            self._held.setdefault(id, set()).add(place)
        strange = {id: task for _, id, task in taken if not self._view.knows(id)}
        for batch in batches(strange.items(), _BATCH):
            self._adopt([_new(task, now, (task.job,), id) for id, task in batch])
        for _, id, _ in taken:
            record = self._view.records.get(id)
            if record is None or not record.open:
                self._bring_followers(id)
                self._flush()
                self._finish(id)

    def _adopt(self, records: list[Record]) -> None:
        """Tell of tasks that other programs put; one whose key is open goes to the open task."""
        alone = {record.state.task.key: record for record in records[::-1]}
        self._change(r for r in alone.values() if self._view.of_key(r.state.task.key) is None)
        wanted = {
            known.state.id: (record.jobs, record.state.task.priority)
            for record in records
            if record.state.id not in self._view.records
            and (known := self._view.of_key(record.state.task.key))
        }

        def link(record: Record) -> Record | None:
            jobs, priority = wanted[record.state.id]
            known = record.open and set(jobs) <= set(record.jobs)
            return None if known or not record.open else record.wanted(jobs, priority)

        self._each(list(wanted), link)

    def _bring(self, records: Iterable[Record]) -> None:
        for record in records:
            task = replace(record.state.task, not_before=record.due)
            topic = f"{self._settings.prefix}.tasks.{band(task.priority)}"
            self._send(topic, task.key, pack_task(record.state.id, task))

    def _bring_followers(self, id: str) -> None:
        """Bring what follows from a task, also when the one who ended it could not."""
        found = (self._view.records.get(child) for child in self._view.then.get(id, ()))
        self._bring(record for record in found if record and record.state.state == WAITING)

    def _bury(self, records: list[Record]) -> None:
        for record in records:
            event = Event(secrets.token_hex(8), record)
            self._send(self._dead, record.state.id, event.packed())

    def _finish(self, id: str) -> None:
        for place in self._held.pop(id, ()):
            self._offsets.finish(place)

    def _make_room(self, now: float) -> None:
        """Send what is due last to the end of its topic when too much is held aside."""
        if len(self._held) <= _ASIDE:
            return
        known = [r for id in self._held if (r := self._view.records.get(id))]
        later = sorted((r for r in known if not _is_due(r, now)), key=lambda r: -r.due)
        later = later[: _ASIDE // 10]
        self._bring(later)
        self._flush()
        for record in later:
            self._finish(record.state.id)

    def _commit(self) -> None:
        """Commit without waiting: what is not committed comes once more, and is skipped then."""
        ready: dict[str, list[Any]] = {}
        for topic, partition, offset in self._offsets.ready():
            where = self._kafka.TopicPartition(topic, partition, offset)
            ready.setdefault(topic.rpartition(".")[2], []).append(where)
        for name, places in ready.items():
            try:
                self._workers[name].commit(offsets=places, asynchronous=True)
            except self._kafka.KafkaException as error:
                log.debug("offsets not committed", extra={"error": str(error.args[0].name())})

    # Kafka

    def _connect(self) -> None:
        self._producer = self._kafka.Producer(
            {**self._options(), "linger.ms": 0, "enable.idempotence": True, **_QUIET}
        )
        self._make_topics()
        self._follower_of_events = self._kafka.Consumer(
            {
                **_NEAR,
                **self._options(),
                "group.id": f"{self._settings.prefix}.views",
                "enable.auto.commit": False,
                **_QUIET,
            }
        )
        start = self._kafka.OFFSET_BEGINNING
        self._follower_of_events.assign([self._kafka.TopicPartition(self._events, 0, start)])

    def _options(self) -> dict[str, Any]:
        return {"bootstrap.servers": self._settings.brokers, **self._settings.options}

    def _make_topics(self) -> None:
        prefix = self._settings.prefix
        partitions = {f"{prefix}.tasks.{name}": _PARTITIONS for name in BANDS}
        partitions |= {self._events: 1, self._dead: 1}
        known = self._producer.list_topics(timeout=self._timeout_s).topics
        missing = [name for name in partitions if name not in known]
        if not missing:
            return
        import confluent_kafka.admin

        made_by: Any = confluent_kafka.admin
        admin = made_by.AdminClient({**self._options(), **_QUIET})
        keep = {"retention.ms": "-1", "cleanup.policy": "delete"}
        asked = [made_by.NewTopic(name, partitions[name], config=keep) for name in missing]
        for made in admin.create_topics(asked, request_timeout=self._timeout_s).values():
            try:
                made.result()
            except self._kafka.KafkaException as error:
                if error.args[0].code() != self._kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def _worker(self, name: str) -> Consumer:
        """The consumer of a topic of tasks, which joins its group at the first use."""
        if name not in self._workers:
            topic = f"{self._settings.prefix}.tasks.{name}"
            worker = self._kafka.Consumer(
                {
                    "fetch.wait.max.ms": 100,
                    "max.poll.interval.ms": 600_000,
                    "session.timeout.ms": 30_000,
                    **self._options(),
                    "group.id": f"{self._settings.prefix}.{self._group}.{name}",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    **_QUIET,
                }
            )
            worker.subscribe(
                [topic],
                on_assign=lambda *_: self._joined.add(name),
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
            self._workers[name], self._asked = worker, time.monotonic()
        return self._workers[name]

    def _revoked(self, worker: Consumer, partitions: list[Any]) -> None:
        self._commit()
        self._lost(worker, partitions)

    def _lost(self, _: Consumer, partitions: list[Any]) -> None:
        """Others get the messages of these partitions, and what is not over of them again."""
        gone = {(found.topic, found.partition) for found in partitions}
        for topic, partition in gone:
            self._offsets.lose(topic, partition)
        for id, places in list(self._held.items()):
            places -= {place for place in places if place[:2] in gone}
            if not places:
                del self._held[id]

    def _follow(self, wait_s: float = 0.0) -> None:
        """Read the events that are here."""
        first = self._follower_of_events.poll(wait_s)
        messages = [first] if first is not None else []
        while messages:
            for message in messages:
                self._hear(message)
            messages = self._follower_of_events.consume(_BATCH, 0)

    def _hear(self, message: Message) -> None:
        if error := message.error():
            log.debug("event not read", extra={"error": error.name()})
            return
        self._read = (message.offset() or 0) + 1
        try:
            event = Event.read(message.value() or b"")
        except DataError:
            log.warning("message is no event", extra={"offset": message.offset()})
            return
        held = self._view.apply(event)
        if event.name in self._mine:
            self._mine[event.name] = held
        if held and event.record.state.state not in (WAITING, RUNNING):
            self._finish(event.record.state.id)

    def _catch_up(self) -> None:
        """Read all events that there are now."""
        where = self._kafka.TopicPartition(self._events, 0)
        low, high = self._follower_of_events.get_watermark_offsets(
            where, timeout=self._timeout_s, cached=False
        )
        self._wait(lambda: high <= max(self._read, low))

    def _wait(self, over: Callable[[], bool]) -> None:
        until = time.monotonic() + self._timeout_s
        while not over():
            self._follow(0.2)
            if time.monotonic() > until:
                raise ServiceError(f"Kafka at {self._settings.brokers} does not answer in time.")

    def _send(self, topic: str, key: str, value: bytes, **how: int) -> None:
        while True:
            try:
                self._producer.produce(
                    topic, value, key=key.encode(), on_delivery=self._sent, **how
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _sent(self, error: Any, _: Message) -> None:
        if error is not None:
            self._told.append(error.name())

    def _flush(self) -> None:
        left = self._producer.flush(self._timeout_s)
        told, self._told = self._told, []
        if left or told:
            why = told[0] if told else "no answer in time"
            raise ServiceError(f"Kafka at {self._settings.brokers} took no message: {why}.")

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._lock:
            if self._process != os.getpid():
                raise UsageError("A queue in Kafka does not outlive a fork: open another one.")
            if self._closed:
                raise UsageError("This queue is closed: open another one.")
            with self._ours_errors():
                yield

    @contextmanager
    def _ours_errors(self) -> Iterator[None]:
        try:
            yield
        except self._kafka.KafkaException as error:
            name = error.args[0].name() if error.args else "no reason given"
            raise ServiceError(
                f"Kafka at {self._settings.brokers} cannot be used ({name}). Does it run there?"
            ) from error


_QUIET = {"log_level": 2}
_NEAR = {"fetch.wait.max.ms": 50}
_UNBEGUN = {"started": 0.0, "ended": 0.0}


def _new(task: Task, now: float, jobs: tuple[str, ...], id: str = "") -> Record:
    state = State(id or secrets.token_hex(8), task, WAITING, created=now)
    return Record(1, state, jobs, max(task.not_before, now))


def _is(record: Record, lease: Lease) -> bool:
    state = record.state
    return (state.state, state.owner, state.attempts) == (RUNNING, lease.owner, lease.attempt)


def _is_due(record: Record, now: float) -> bool:
    if record.state.state == RUNNING:
        return record.until <= now
    return record.state.state == WAITING and record.due <= now


def _order(record: Record) -> tuple[int, float]:
    return record.state.task.priority, record.due


def _leased(record: Record, owner: str, now: float, seconds: float) -> Record:
    """A task once it is leased; or dead, when its workers ended too often."""
    state = record.state
    if state.state == RUNNING and state.attempts >= state.task.most:
        error = f"its worker ended or hung {state.attempts} times"
        return record.next(state=DEAD, ended=now, error=error)
    attempts = state.attempts + 1
    return record.next(
        state=RUNNING, owner=owner, started=now, attempts=attempts, until=now + seconds
    )


def _renewed(leases: Iterable[Lease], until: float) -> Callable[[Record], Record | None]:
    """Holds tasks longer; of several leases of one task only the newest can be ours."""
    mine = {(lease.id, lease.owner, lease.attempt) for lease in leases}

    def change(record: Record) -> Record | None:
        state = record.state
        if state.state != RUNNING or (state.id, state.owner, state.attempts) not in mine:
            return None
        return record.next(until=until)

    return change
