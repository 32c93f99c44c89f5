"""What the lake holds is on the server as it is here: once, in full, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dicomlake.contracts.sinks import Change
from dicomlake.errors import LakeError, ServiceError, UsageError
from dicomlake.jobs.compact import compact
from dicomlake.jobs.fhir.published import Published
from dicomlake.jobs.fhir.publishing import Publisher, in_order
from dicomlake.lake import Store
from dicomlake.testing.fhir import FhirServer, references

from .plain import Growing, PlainMaker, close, publisher

BOTH = pytest.mark.parametrize("ids", ["ours", "theirs"])


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[FhirServer]:
    theirs = "theirs" in str(getattr(request.node, "callspec", ""))
    with FhirServer(client_ids=not theirs) as made:
        yield made


@pytest.fixture
def publish(growing: Growing, server: FhirServer) -> Iterator[Any]:
    """Makes publishers, each as a new process would."""
    made: list[Publisher] = []

    def new(**more: Any) -> Publisher:
        made.append(publisher(growing.lake, server, **more))
        return made[-1]

    yield new
    for one in made:
        close(one)


def counts(server: FhirServer) -> dict[str, int]:
    return dict(Counter(one["resourceType"] for one in server.resources.every()))


def check_whole(server: FhirServer) -> None:
    """Every reference leads somewhere, and nothing is there twice."""
    every = server.resources.every()
    there = {f"{one['resourceType']}/{one['id']}" for one in every}
    assert set(references(every)) <= there
    known = [(o["resourceType"], i["system"], i["value"]) for o in every
             for i in o.get("identifier", ())]  # fmt: skip
    assert len(known) == len(set(known))


@BOTH
def test_everything_is_there_and_then_only_what_changed_is_sent(
    growing: Growing, server: FhirServer, publish: Any, ids: str
) -> None:
    growing.add((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1))
    first = publish(ids=ids).push()
    assert counts(server) == {"Patient": 2, "Device": 1, "ImagingStudy": 3, "Provenance": 3}
    assert (first.sent, first.same, first.everything) == (9, 0, True)
    check_whole(server)
    before = server.entries.total()
    again = publish(ids=ids).push()
    assert (again.sent, again.same, again.everything) == (0, 0, False)
    growing.add((1, 1, 3))
    third = publish(ids=ids).push()
    assert (third.sent, third.same, third.everything) == (2, 2, False)
    assert server.entries.total() == before + 2
    assert counts(server)["ImagingStudy"] == 3
    found = server.resources.search("ImagingStudy", "identifier=urn:dicom:uid|urn:oid:2.25.1.1")
    assert [one["numberOfSeries"] for one in found] == [3]
    assert found[0]["meta"]["versionId"] == "2"
    check_whole(server)


@BOTH
def test_looking_at_everything_sends_nothing_twice(
    growing: Growing, server: FhirServer, publish: Any, ids: str
) -> None:
    growing.add((1, 1, 1), (2, 1, 1))
    publish(ids=ids).push()
    report = publish(ids=ids).push(everything=True)
    assert (report.sent, report.same) == (0, 7)
    report = publish(ids=ids).push(again=True)
    assert (report.sent, report.same) == (7, 0)
    check_whole(server)


@BOTH
@pytest.mark.parametrize("vanished", ["delete", "mark", "keep"])
def test_what_vanished_is_treated_as_the_settings_say(
    growing: Growing, server: FhirServer, publish: Any, ids: str, vanished: str
) -> None:
    growing.add((1, 1, 1), (1, 2, 1), (1, 2, 2), (2, 1, 1))
    publish(ids=ids, vanished=vanished).push()
    growing.remove((1, 2, 2), (2, 1, 1))
    report = publish(ids=ids, vanished=vanished).push()
    assert not report.everything
    studies = {o["identifier"][0]["value"]: o for o in server.resources.every("ImagingStudy")}
    assert studies["urn:oid:2.25.1.2"]["numberOfSeries"] == 1
    gone = studies.get("urn:oid:2.25.2.1")
    if vanished == "delete":
        assert gone is None
        assert counts(server) == {"Patient": 1, "Device": 1, "ImagingStudy": 2, "Provenance": 2}
    else:
        assert gone is not None
        assert gone["status"] == ("cancelled" if vanished == "mark" else "available")
    growing.add((2, 1, 1))
    publish(ids=ids, vanished=vanished).push()
    back = server.resources.search("ImagingStudy", "identifier=urn:dicom:uid|urn:oid:2.25.2.1")
    assert [one["status"] for one in back] == ["available"]
    assert counts(server) == {"Patient": 2, "Device": 1, "ImagingStudy": 3, "Provenance": 3}
    check_whole(server)


@BOTH
def test_a_whole_look_finds_what_vanished_too(
    growing: Growing, server: FhirServer, publish: Any, ids: str
) -> None:
    growing.add((1, 1, 1), (2, 1, 1), (2, 2, 1))
    publish(ids=ids).push()
    growing.remove((2, 1, 1), (2, 2, 1))
    report = publish(ids=ids).push(everything=True)
    assert report.gone == 5
    assert counts(server) == {"Patient": 1, "Device": 1, "ImagingStudy": 1, "Provenance": 1}


def test_versions_that_compacting_removed_are_no_trouble(
    growing: Growing, server: FhirServer, publish: Any
) -> None:
    growing.add((1, 1, 1))
    publish().push()
    growing.add((2, 1, 1))
    compact(growing.lake, full=True, vacuum_hours=0)
    report = publish().push()
    assert counts(server)["ImagingStudy"] == 2
    assert report.sent == 3


def test_a_server_that_is_away_for_a_while_is_waited_for(
    growing: Growing, server: FhirServer, publish: Any
) -> None:
    growing.add((1, 1, 1), (2, 1, 1))
    waited: list[float] = []
    server.fault("503", times=2)
    server.fault("429", wait_s=1)
    server.fault("drop before")
    server.fault("drop after")
    report = publish(wait=waited.append, attempts=9).push()
    assert report.sent == 7
    assert sum(waited) >= 1
    check_whole(server)


def test_a_server_that_stays_away_is_told_and_the_next_run_goes_on(
    growing: Growing, server: FhirServer, publish: Any
) -> None:
    growing.add(*((n, 1, 1) for n in range(9)))
    server.fault("slow", times=2)  # metadata and the first bundle come through
    server.fault("503", times=50)
    with pytest.raises(ServiceError, match="dicomlake fhir push station"):
        publish(attempts=3, entries=5).push()
    assert 0 < len(server.resources.every()) < 28
    server._faults.clear()
    report = publish(entries=5).push()
    assert report.sent + report.same == 28
    assert report.same > 0
    assert len(server.resources.every()) == 28


class WithWrong(PlainMaker):
    """Makes a resource that no server takes, and others that point at it."""

    wrong: Any = staticmethod(lambda one: one["resourceType"] == "Patient")

    def _study(self, *about: Any) -> Iterator[Any]:
        for one in super()._study(*about):
            if self.wrong(one.resource) and one.resource["identifier"][0]["value"] == "P1":
                object.__setattr__(one, "resource", {**one.resource, "link": [
                    {"other": {"reference": "#none"}}]})  # fmt: skip
            yield one


@BOTH
def test_what_is_refused_is_listed_and_sent_again_when_asked(
    growing: Growing, server: FhirServer, publish: Any, ids: str
) -> None:
    growing.add((1, 1, 1), (2, 1, 1))
    one = publish(ids=ids)
    one._make = WithWrong
    report = one.push()
    assert report.refused == 3
    assert counts(server) == {"Patient": 1, "Device": 1, "ImagingStudy": 1, "Provenance": 1}
    refused = {known.type: known for known in one.published.refused()}
    assert refused["Patient"].status == 422
    assert refused["Patient"].why.startswith("HTTP 422, not-found Bundle.entry")
    assert refused["ImagingStudy"].why.startswith("It points at Patient/")
    assert publish(ids=ids).push().sent == 0
    later = publish(ids=ids)
    assert later.retry() == 3
    assert later.push().sent == 3
    assert counts(server) == {"Patient": 2, "Device": 1, "ImagingStudy": 2, "Provenance": 2}
    assert later.published.refused() == []
    check_whole(server)


def test_the_same_target_elsewhere_is_refused(
    growing: Growing, server: FhirServer, publish: Any
) -> None:
    growing.add((1, 1, 1))
    publish().push()
    with FhirServer() as other:
        elsewhere = publisher(growing.lake, other)
        with pytest.raises(UsageError, match="new name"):
            elsewhere.push()
        close(elsewhere)


def test_two_do_not_publish_to_one_target_at_a_time(growing: Growing) -> None:
    growing.add((1, 1, 1))
    one, two = (Published(growing.lake, "station") for _ in range(2))
    with one.alone(), pytest.raises(LakeError, match="already"), two.alone():
        pass
    with two.alone():
        assert (growing.lake / "_publish" / "station.sqlite").stat().st_mode & 0o077 == 0
    one.close()
    two.close()


def test_stopping_keeps_what_was_sent(growing: Growing, server: FhirServer, publish: Any) -> None:
    class Cancelling:
        cancelled = False

        def stage(self, *_: Any) -> None: ...

        def advance(self, count: int = 1) -> None:
            self.cancelled = True

    growing.add(*((n, 1, 1) for n in range(5)))
    one = publish(progress=Cancelling())
    one.push()
    with pytest.raises(KeyboardInterrupt):
        one.push(everything=True)
    assert publish().push(everything=True).sent == 0


def test_order_puts_what_is_pointed_at_first() -> None:
    def change(name: str, *below: str) -> Change:
        return Change("Basic", name, {"x": [{"reference": f"Basic/{one}"} for one in below]})

    found = in_order([change("a", "b", "c"), change("b", "c"), change("c"), change("d", "a")])
    assert [one.id for one in found] == ["c", "b", "a", "d"]
    circle = in_order([change("a", "b"), change("b", "a")])
    assert sorted(one.id for one in circle) == ["a", "b"]
    deep = [change(str(n), str(n + 1)) for n in range(5000)]
    assert in_order(deep)[0].id == "4999"


# Arriving


def test_series_that_arrive_in_steps_update_one_study(
    growing: Growing, server: FhirServer, publish: Any
) -> None:
    now = [1000.0]
    growing.add((1, 1, 1))
    one = publish(quiet_s=60, clock=lambda: now[0])
    one.look()
    assert not one.turn()
    growing.add((1, 1, 2))
    now[0] += 50
    one.look()
    now[0] += 50
    assert one.published.pending == 1
    assert not one.turn()  # the window began anew
    now[0] += 11
    assert one.turn()
    (study,) = server.resources.every("ImagingStudy")
    assert study["numberOfSeries"] == 2
    growing.add((1, 1, 3), (2, 1, 1))
    one.look()
    now[0] += 61
    assert one.turn()
    found = {s["numberOfSeries"]: s["meta"]["versionId"]
             for s in server.resources.every("ImagingStudy")}  # fmt: skip
    assert found == {3: str(int(study["meta"]["versionId"]) + 1), 1: "1"}
    assert not one.turn()
    check_whole(server)


def test_following_survives_a_server_that_is_away(
    growing: Growing, server: FhirServer, publish: Any
) -> None:
    growing.add((1, 1, 1))
    one = publish(quiet_s=0, attempts=1)
    server.fault("503", times=3)
    until = time.monotonic() + 60

    def there() -> bool:
        return counts(server).get("ImagingStudy", 0) == 1 or time.monotonic() > until

    one.follow(there)
    assert counts(server)["ImagingStudy"] == 1
    check_whole(server)


_PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.jobs.fhir.plain import publisher

class Server:
    address = sys.argv[3]

made = publisher(Path(sys.argv[2]), Server, ids=sys.argv[4], entries=7, quiet_s=0)
with made.published.alone():
    made.push()
"""


@BOTH
def test_killed_at_any_moment_and_nothing_is_lost_or_twice(
    growing: Growing, server: FhirServer, publish: Any, ids: str
) -> None:
    growing.add(*((n, 1, 1) for n in range(60)))
    root, chance, killed = str(Path(__file__).parents[3]), Random(7), 0
    command = [sys.executable, "-c", _PROGRAM, root, str(growing.lake), server.address, ids]
    for _ in range(6):
        had = len(server.resources.every())
        server.fault("slow", times=200, wait_s=0.02)
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while len(server.resources.every()) <= had and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(chance.random() * 0.1)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        said = process.communicate(timeout=60)[1]
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        server._faults.clear()
    assert killed >= 2
    publish(ids=ids, entries=7).push()
    assert counts(server) == {"Patient": 60, "Device": 1, "ImagingStudy": 60, "Provenance": 60}
    check_whole(server)
    assert publish(ids=ids, entries=7).push().sent == 0


def test_part_of_a_lake_is_published_and_nothing_else(
    growing: Growing, server: FhirServer, publish: Any, tmp_path: Path
) -> None:
    growing.add((1, 1, 1), (2, 1, 1))

    def narrow(store: Store) -> Store:
        from dicomlake.jobs.fhir.targets import part_of

        return part_of(store, "PatientID = 'P1'", "study", tmp_path)

    publish(narrow=narrow).push(only=True)
    assert publish(narrow=narrow).push(only=True).sent == 0
    assert [p["identifier"][0]["value"] for p in server.resources.every("Patient")] == ["P1"]
    growing.add((2, 2, 1), (1, 2, 1))
    publish(narrow=narrow).push()
    assert counts(server)["ImagingStudy"] == 2
    publish().push(everything=True)
    assert counts(server)["ImagingStudy"] == 4
    publish(narrow=narrow).push(only=True)  # takes nothing away
    assert counts(server)["ImagingStudy"] == 4
