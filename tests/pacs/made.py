"""An archive that lies in memory and can be as bad as wished, and a lake that is fed by it.

Time is made up: when nobody has anything to do, it jumps to when somebody has.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Check, Listener, Match, uri_of
from dicomlake.contracts.queues import OPEN, RUNNING, WAITING
from dicomlake.errors import Incomplete, Refused, UsageError
from dicomlake.jobs.care import Care
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.inbox import Intake
from dicomlake.jobs.requests import Job, Missing, Request, Requests
from dicomlake.jobs.working import Worker
from dicomlake.lake import Store
from dicomlake.lake.store import QUEUE
from dicomlake.queues.sqlite import SqliteQueue
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Limits, Settings, Source
from dicomlake.testing.dicom import encode, image, uid

PACS = "pacs"


def dimse(**more: Any) -> Source:
    """Settings of a source that nobody connects to."""
    return Source(kind="dimse", host="127.0.0.1", port=1, called="PACS", **more)


@dataclass(frozen=True)
class Held:
    """An object that the archive holds."""

    study: str
    series: str
    sop: str
    data: bytes
    about: dict[str, str] = field(default_factory=dict)


def held(series: object, number: int = 1, **attributes: Any) -> Held:
    """A small CT image: "study/series" and its number in it."""
    study = uid("study", str(series).partition("/")[0])
    said: dict[str, Any] = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": uid("series", series),
        "SOPInstanceUID": uid("instance", series, number),
        "InstanceNumber": number,
        "PatientID": f"P{str(series).partition('/')[0]}",
        "AccessionNumber": f"A{str(series).partition('/')[0]}",
        "StudyDate": "20240105",
        "StudyTime": "101112",
        **attributes,
    }
    about = {name: str(said[name]) for name in _SHOWN if name in said}
    data = encode(image(**said))
    return Held(study, said["SeriesInstanceUID"], said["SOPInstanceUID"], data, about)


_SHOWN = "PatientID AccessionNumber StudyDate StudyTime Modality".split()


class Pacs:
    """What an archive holds, and how it misbehaves.

    `cap`: most answers of a query; it says so only if `tells`. `asked`: called before everything
    that is asked, with what it is. `sent`: called with each object; gives what is sent instead.
    """

    def __init__(self, objects: Sequence[Held] = (), *, headers: bool = False) -> None:
        self.objects = list(objects)
        self.headers = headers
        self.cap, self.tells = 0, False
        self.asked: Callable[..., None] = lambda *what: None
        self.sent: Callable[[Held], Held | None] = lambda one: one
        self.counted: Callable[[int], str] = str
        self.endless: Callable[[str], Iterator[Held] | None] = lambda series: None
        self.queries: Counter[str] = Counter()
        self.retrieved: list[str] = []
        self.open = self.most_open = 0

    def connect(self, name: str, settings: Settings, listener: Listener | None) -> FakeArchive:
        return FakeArchive(self, name)

    def rows(self, level: str, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """Everything that matches."""
        found: dict[str, dict[str, str]] = {}
        for one in self.objects:
            row = {"StudyInstanceUID": one.study, **one.about}
            name = one.study
            if level != "STUDY":
                row, name = {**row, "SeriesInstanceUID": one.series}, one.series
            if level == "IMAGE":
                row, name = {**row, "SOPInstanceUID": one.sop}, one.sop
            if all(matches(row.get(key, ""), key, value) for key, value in keys.items()):
                found.setdefault(name, row)
        studies = Counter(one.study for one in self.objects)
        series = Counter(one.series for one in self.objects)
        for row in found.values():
            row["NumberOfStudyRelatedInstances"] = self.counted(studies[row["StudyInstanceUID"]])
            if "SeriesInstanceUID" in row:
                count = series[row["SeriesInstanceUID"]]
                row["NumberOfSeriesRelatedInstances"] = self.counted(count)
        return list(found.values())


def matches(held: str, keyword: str, asked: str) -> bool:
    """Whether a value matches a key (PS3.4 C.2.2.2)."""
    if not asked:
        return True
    if keyword in ("StudyDate", "StudyTime"):
        first, dash, last = asked.partition("-")
        if not dash:
            return held == asked
        return bool(held) and first <= held and (not last or held <= last)
    if "\\" in asked:
        return held in asked.split("\\")
    return fnmatchcase(held, asked)


class FakeArchive:
    """One connection to a Pacs."""

    way = "get"

    def __init__(self, pacs: Pacs, name: str) -> None:
        self.pacs, self.name = pacs, name
        self.whole_headers = pacs.headers
        pacs.asked("connect")
        pacs.open += 1
        pacs.most_open = max(pacs.most_open, pacs.open)

    def find(
        self,
        level: str,
        keys: Mapping[str, str],
        wanted: Sequence[str] = (),
        limit: int | None = None,
    ) -> Match:
        self.pacs.queries[level] += 1
        self.pacs.asked("find", level, keys)
        rows = self.pacs.rows(level, keys)
        if self.pacs.cap and len(rows) > self.pacs.cap:
            said = "out of resources" if self.pacs.tells else "success"
            return Match(rows[: self.pacs.cap], self.pacs.tells, said)
        return Match(rows)

    def headers(self, study: str, series: str, *, first: bool = False) -> Iterator[Object]:
        reader = HeaderReader()
        for place, thing in enumerate(self.objects(study, series)):
            if place and (first or not self.whole_headers):
                return
            if self.whole_headers:
                header = orjson.loads(reader.read(thing.fetch, thing.size).json)
                thing = Object(thing.uri, 0, 0, thing.fetch, header=header)
            yield thing

    def objects(self, study: str, series: str, instances: Sequence[str] = ()) -> Iterator[Object]:
        self.pacs.asked("objects", series, instances)
        failed = []
        for one in self.pacs.endless(series) or list(self.pacs.objects):
            if one.series == series and (not instances or one.sop in instances):
                sent = self.pacs.sent(one)
                if sent is None:
                    failed.append(one.sop)
                    continue
                self.pacs.retrieved.append(one.sop)
                yield self._object(sent)
        if failed:
            raise Incomplete(f"{len(failed)} objects could not be sent", failed)

    def _object(self, one: Held) -> Object:
        data = one.data
        uri = uri_of(self.name, one.sop)
        return Object(uri, 0, len(data), lambda offset, length: data[offset : offset + length])

    def check(self) -> Iterator[Check]:
        yield Check("connect", True, 0.0, "It works.")

    def close(self) -> None:
        self.pacs.open -= 1


class Times:
    """Something that goes wrong so many times, then no more."""

    def __init__(
        self, number: int, error: Exception, kind: str = "objects", after: int = 0
    ) -> None:
        self.left, self.error, self.kind, self.after = number, error, kind, after

    def __call__(self, kind: str, *what: object) -> None:
        if kind != self.kind:
            return
        if self.left > 0:
            self.left -= 1
            raise self.error


def away(times: int, kind: str = "objects") -> Times:
    return Times(times, Refused("the archive is away"), kind)


def mistaken(times: int, kind: str = "connect") -> Times:
    return Times(times, UsageError("The archive does not know the AE title LAKE."), kind)


class Lake:
    """A lake fed by a Pacs: one worker, and the writer, in this process and in made-up time."""

    def __init__(self, folder: Path, pacs: Pacs, limits: Limits | None = None, **more: Any) -> None:
        self.path, self.pacs, self.ahead = folder, pacs, 0.0
        self.store = Store.create(folder)
        self.settings = Settings(source={PACS: dimse(limits=limits or Limits(), **more)})
        (folder / QUEUE).mkdir(exist_ok=True)
        self.queue = SqliteQueue(folder / QUEUE / "tasks.sqlite", clock=self.now)
        self.care = Care(folder / QUEUE / "care.sqlite", self.now, self.sleep)
        self.requests = Requests(folder, self.settings, self.queue)
        self.intake = Intake(self.store, self.queue.committed)
        self.worker = self.hired("host:1:0")
        self.slept = 0.0

    def hired(self, owner: str) -> Worker:
        """A worker."""
        opener = self.pacs.connect
        care, queue = self.care, self.queue
        hired = Worker(self.path, self.settings, owner, queue=queue, care=care, opener=opener)
        hired.puller.holdings.every_s = 0.0
        return hired

    def now(self) -> float:
        return time.time() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds
        self.slept += seconds

    def submit(self, request: Request | None = None, **more: Any) -> Job:
        return self.requests.submit(request or Request(PACS, **{"depth": "complete", **more}))

    def pull(self, request: Request | None = None, *, turns: int = 400, **more: Any) -> Job:
        """Pull until the job is over."""
        job = self.submit(request, **more)
        self.run(turns)
        return self.requests.job(job.id)

    def run(self, turns: int = 400, step_s: float = 100.0) -> None:
        """Work until nothing is left to be done, or so many turns."""
        for _ in range(turns):
            if self.worker.turn(lambda: False) == 0.0:
                continue
            if not self._open(WAITING, RUNNING):
                self.intake.take()
                if not self._open(*OPEN):
                    return
            self.ahead += step_s
            self.worker.renew()

        self.intake.take()

    def _open(self, *states: str) -> int:
        return sum(count.tasks for count in self.queue.counts() if count.state in states)

    def stopped(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._open(*OPEN)

    def missing(self, job: Job) -> list[Missing]:
        return list(self.requests.missing(job.id))

    # What is in it

    def objects(self) -> list[str]:
        """SOPInstanceUIDs, each as often as it is there."""
        self.store.refresh()
        return sorted(self.store.read("instances", ["SOPInstanceUID"]).column(0).to_pylist())

    def shown(self) -> list[str]:
        """SOPInstanceUIDs of the current versions of the series, each as often as it is there."""
        self.store.refresh()
        with self.store.database() as db:
            found = db.sql(
                'select "SOPInstanceUID" from instances semi join series using (series_id)'
            ).fetchall()
        return sorted(uid for (uid,) in found)

    def series(self) -> dict[str, tuple[int, str, int]]:
        """series_id, how complete, and instances by SeriesInstanceUID; each is there once."""
        self.store.refresh()
        rows = self.store.read(
            "series", ["SeriesInstanceUID", "series_id", "complete", "instances", "source"]
        ).to_pylist()
        assert len({row["SeriesInstanceUID"] for row in rows}) == len(rows)
        assert {row["source"] for row in rows} <= {PACS}
        return {
            r["SeriesInstanceUID"]: (r["series_id"], r["complete"], r["instances"]) for r in rows
        }

    def failures(self) -> dict[str, str]:
        """Reasons by URI."""
        self.store.refresh()
        rows = self.store.read("failures", ["uri", "reason"]).to_pylist()
        return {row["uri"]: row["reason"] for row in rows}

    def listed(self, level: str = "STUDY") -> set[str]:
        """UIDs in the catalogue."""
        self.store.refresh()
        rows = self.store.read("catalogue").to_pylist()
        name = "StudyInstanceUID" if level == "STUDY" else "SeriesInstanceUID"
        return {row[name] for row in rows if row["level"] == level}

    def healthy(self) -> None:
        errors = [found for found in examine(self.path) if found.level == "error"]
        assert errors == [], errors

    def all_there(self) -> None:
        """Every object of the archive is there exactly once, whole, and nothing failed."""
        assert self.shown() == sorted(one.sop for one in self.pacs.objects)
        assert self.failures() == {}
        assert {how for _, how, _ in self.series().values()} <= {"all"}
        self.healthy()

    def close(self) -> None:
        self.worker.run(lambda: True)
        self.requests.close()
        self.care.close()
