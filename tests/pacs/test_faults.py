"""Whatever an archive does: every object is in the lake once, or is listed with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from dicomlake.contracts.archives import uri_of
from dicomlake.contracts.queues import DEAD, Task
from dicomlake.errors import DataError, Incomplete, Refused, UsageError
from dicomlake.jobs import pull
from dicomlake.lake.keeping import Kept
from dicomlake.testing.dicom import uid

from .made import PACS, Held, Lake, Pacs, away, held, mistaken

DAY = {"dates": ("20240101", "20240131")}


def hospital(studies: int = 3, series: int = 2, images: int = 3) -> list[Held]:
    return [
        held(f"{study}/{one}", number)
        for study in range(studies)
        for one in range(series)
        for number in range(images)
    ]


@pytest.fixture
def pacs() -> Pacs:
    return Pacs(hospital())


@pytest.fixture
def lake(tmp_path: Path, pacs: Pacs) -> Iterator[Lake]:
    with closing(Lake(tmp_path / "lake", pacs)) as made:
        yield made


@pytest.mark.parametrize("depth", ["complete", "headers"])
def test_a_second_pull_changes_nothing(lake, pacs, depth):
    pacs.headers = depth == "headers"
    assert lake.pull(depth=depth, **DAY).state == "finished"
    before, there = lake.series(), lake.shown()
    assert there == sorted(one.sop for one in pacs.objects)
    asked = len(pacs.retrieved)
    job = lake.pull(depth=depth, **DAY)
    assert lake.series() == before
    assert len(pacs.retrieved) == asked, "what is held is not asked for again"
    assert len(lake.requests.series(job.id)) == len(before)
    lake.pull(depth=depth, again=True, **DAY)
    assert lake.series() == before
    assert len(pacs.retrieved) == 2 * asked
    lake.healthy()


def test_headers_after_whole_objects_change_nothing(lake, pacs):
    lake.pull(**DAY)
    before = lake.series()
    pacs.headers = True
    lake.pull(depth="headers", again=True, **DAY)
    assert lake.series() == before


def test_what_was_corrected_is_replaced(lake, pacs):
    lake.pull(**DAY)
    before = lake.series()
    pacs.objects[:3] = [held("0/0", number, PatientName="Corrected^Name") for number in range(3)]
    lake.pull(**DAY)
    assert lake.series() == before, "the archive counts as many as before"
    lake.pull(again=True, **DAY)
    changed = {uid for uid, row in lake.series().items() if row != before[uid]}
    assert changed == {uid("series", "0/0")}
    lake.all_there()
    names = lake.store.read("series", ["PatientName"]).column(0).to_pylist()
    assert names.count("Corrected^Name") == 1


def test_late_objects_are_added(lake, pacs):
    late = pacs.objects.pop(), held("0/9", 1)
    lake.pull(**DAY)
    lake.all_there()
    pacs.objects += late
    lake.pull(**DAY)
    lake.all_there()


def test_deleted_objects_stay(lake, pacs):
    lake.pull(**DAY)
    there = lake.shown()
    del pacs.objects[:4]
    lake.pull(again=True, **DAY)
    assert lake.shown() == there
    assert lake.failures() == {}


def test_an_object_sent_twice_is_there_once(lake, pacs):
    pacs.objects += pacs.objects[:5]
    lake.pull(**DAY)
    assert lake.shown() == sorted({one.sop for one in pacs.objects})
    assert lake.failures() == {}
    before = lake.series()
    lake.pull(again=True, **DAY)
    assert lake.series() == before


def stopped_at(number: int, error: Exception):
    """Ends the transfer of a series at its object of this number, once."""
    left = [error]

    def sent(one: Held) -> Held:
        if one.sop == uid("instance", "1/1", number) and left:
            raise left.pop()
        return one

    return sent


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize(
    "error",
    [
        Refused("the association was aborted"),
        Incomplete("out of resources"),
        DataError("nonsense"),
        ValueError("Doe^John"),
        ConnectionError,
    ],
    ids=lambda error: getattr(error, "__name__", type(error).__name__),
)
def test_a_transfer_that_ends_in_the_middle(lake, pacs, number, error, caplog):
    pacs.sent = stopped_at(number, error if isinstance(error, Exception) else error("x"))
    job = lake.pull(**DAY)
    assert job.state == "finished"
    lake.all_there()
    assert "Doe" not in caplog.text
    assert all("Doe" not in str(vars(record)) for record in caplog.records)


def test_a_series_known_in_part_says_so(lake, pacs):
    def sent(one: Held) -> Held:
        if one.sop == uid("instance", "1/1", 2):
            raise Refused("the association was aborted")
        return one

    pacs.sent = sent
    job = lake.pull(**DAY)
    assert job.state == "failed"
    assert lake.series()[uid("series", "1/1")][1:] == ("some", 2)
    assert lake.failures() == {uri_of(PACS, uid("series", "1/1")): "the association was aborted"}
    assert [(m.value, m.why) for m in lake.missing(job)] == [
        (uid("series", "1/1"), "the association was aborted")
    ]
    pacs.sent = lambda one: one
    lake.requests.retry(job.id)
    lake.run()
    lake.all_there()


def test_an_archive_that_is_away_for_long_costs_no_task(lake, pacs):
    pacs.asked = away(12)
    assert lake.pull(**DAY).state == "finished"
    lake.all_there()


def test_refused_at_the_door(lake, pacs):
    pacs.asked = away(12, "connect")
    assert lake.pull(**DAY).state == "finished"
    lake.all_there()


def test_objects_that_cannot_be_sent_are_asked_for_again(lake, pacs):
    bad = {uid("instance", "1/1", 1): 3, uid("instance", "2/0", 0): 2}

    def sent(one: Held) -> Held | None:
        bad[one.sop] = bad.get(one.sop, 0) - 1
        return one if bad[one.sop] < 0 else None

    pacs.sent = sent
    assert lake.pull(**DAY).state == "finished"
    lake.all_there()


def test_objects_that_never_come_are_listed(lake, pacs):
    never = uid("instance", "1/1", 1)
    pacs.sent = lambda one: None if one.sop == never else one
    job = lake.pull(**DAY)
    assert job.state == "failed"
    assert lake.shown() == sorted({one.sop for one in pacs.objects} - {never})
    assert lake.series()[uid("series", "1/1")][1:] == ("some", 2)
    assert list(lake.failures()) == [uri_of(PACS, uid("series", "1/1"))]
    assert [missing.state for missing in lake.missing(job)] == ["dead"]
    pacs.sent = lambda one: one
    lake.pull(**DAY)
    assert lake.failures() == {}
    assert lake.shown() == sorted(one.sop for one in pacs.objects)


def test_half_a_file_is_listed_and_vanishes_when_the_whole_comes(lake, pacs):
    half = uid("instance", "1/1", 1)

    def sent(one: Held) -> Held:
        return replace(one, data=one.data[:300]) if one.sop == half else one

    pacs.sent = sent
    lake.pull(**DAY)
    assert lake.shown() == sorted({one.sop for one in pacs.objects} - {half})
    assert list(lake.failures()) == [uri_of(PACS, half)]
    pacs.sent = lambda one: one
    lake.pull(again=True, **DAY)
    lake.all_there()


def test_other_objects_than_asked_for(lake, pacs):
    asked, other = uid("instance", "1/1", 1), held("9/9", 7)
    pacs.sent = lambda one: replace(one, data=other.data) if one.sop == asked else one
    job = lake.pull(**DAY)
    assert asked not in lake.shown()
    assert lake.shown().count(other.sop) == 1
    assert lake.series()[other.series][1] == "some"
    assert lake.series()[uid("series", "1/1")][1] == "some"
    assert uid("series", "1/1") in [missing.value for missing in lake.missing(job)]
    pacs.sent = lambda one: one
    lake.pull(**DAY)
    assert asked in lake.shown()
    assert lake.series()[uid("series", "1/1")][1:] == ("all", 3)


def test_a_series_that_answers_with_another_one(lake, pacs):
    other = [held("8/8", number) for number in range(3)]

    def sent(one: Held) -> Held:
        if one.series != uid("series", "1/1"):
            return one
        return replace(other[int(one.sop[-1]) % 3], sop=one.sop)

    pacs.sent = sent
    job = lake.pull(**DAY)
    assert uid("series", "1/1") not in lake.series()
    assert uri_of(PACS, uid("series", "1/1")) in lake.failures()
    assert uid("series", "1/1") in [missing.value for missing in lake.missing(job)]


@pytest.mark.parametrize("said", ["0", "99", "many"])
def test_wrong_counts(lake, pacs, said):
    pacs.counted = lambda count: said
    assert lake.pull(**DAY).state == "finished"
    assert lake.shown() == sorted(one.sop for one in pacs.objects)
    before = lake.series()
    lake.pull(**DAY)
    assert lake.series() == before
    assert {how for _, how, _ in before.values()} == {"all"}


def test_fewer_objects_than_it_says_and_no_list(lake, pacs):
    pacs.counted = lambda count: str(count + 1)
    find = pacs.rows
    pacs.rows = lambda level, keys: [] if level == "IMAGE" else find(level, keys)
    job = lake.pull(**DAY)
    assert {how for _, how, _ in lake.series().values()} == {"some"}
    assert len(lake.missing(job)) == 6


@pytest.mark.parametrize("without", ["SeriesInstanceUID", "SOPInstanceUID"])
def test_objects_without_their_uids_are_listed(lake, pacs, without):
    whole = pacs.objects[0]
    bad = held("0/0", 0, **{without: None})
    pacs.sent = lambda one: replace(one, data=bad.data) if one.sop == whole.sop else one
    lake.pull(**DAY)
    assert whole.sop not in lake.shown()
    assert len(lake.shown()) == len(pacs.objects) - 1
    assert "is missing" in lake.failures()[uri_of(PACS, whole.sop)]
    pacs.sent = lambda one: one
    lake.pull(again=True, **DAY)
    lake.all_there()


def test_answers_without_uids_are_passed_over(lake, pacs):
    find = pacs.rows

    def rows(level: str, keys) -> list[dict[str, str]]:
        nameless = {"StudyDate": "20240105", "StudyInstanceUID": ""}
        return [nameless, {"PatientID": "1"}, *find(level, keys)]

    pacs.rows = rows
    assert lake.pull(**DAY).state == "finished"
    lake.all_there()


@pytest.mark.parametrize("charset", [b"ISO_IR 999", b"ISO_IR 192", b"nonsense  "])
def test_character_sets_that_lie(lake, pacs, charset):
    odd = held("0/0", 0, SpecificCharacterSet="ISO_IR 100", PatientName="M\u00fcller^J\u00f6rg")
    assert b"ISO_IR 100" in odd.data
    pacs.objects[0] = replace(odd, data=odd.data.replace(b"ISO_IR 100", charset))
    assert lake.pull(**DAY).state == "finished"
    lake.all_there()


def test_wrong_settings_pause_the_source_and_nothing_is_lost(lake, pacs):
    pacs.asked = mistaken(1000)
    job = lake.submit(**DAY)
    lake.run(turns=12)
    assert lake.care.why_paused(PACS) == "The archive does not know the AE title LAKE."
    state = lake.care.state()[0]
    assert (state.paused, state.why) == (True, "The archive does not know the AE title LAKE.")
    assert pacs.asked.left == 1000 - 3, "after three tries it is left alone"
    assert lake.requests.job(job.id).tasks == {"waiting": 1}
    lake.care.resume(PACS)
    lake.run(turns=5)
    assert lake.care.why_paused(PACS), "it is paused again at once, and the task is not lost"
    pacs.asked = lambda *what: None
    lake.care.resume(PACS)
    lake.run()
    assert lake.requests.job(job.id).state == "finished"
    lake.all_there()


def test_one_task_that_the_archive_never_answers_does_not_pause_it(lake, pacs):
    def asked(kind: str, *what: object) -> None:
        if kind == "objects" and what[0] == uid("series", "1/1"):
            raise UsageError("The archive will not answer this.")

    pacs.asked = asked
    job = lake.pull(**DAY)
    assert not lake.care.paused()
    assert job.state == "failed"
    assert [missing.why for missing in lake.missing(job)] == ["The archive will not answer this."]
    assert len(lake.shown()) == len(pacs.objects) - 3


def test_a_full_disk_is_waited_for(lake, pacs, monkeypatch):
    full = [True]
    leave = lake.worker.puller.inbox.leave

    def left(*what):
        if full[0]:
            raise OSError(28, "No space left on device")
        return leave(*what)

    monkeypatch.setattr(lake.worker.puller.inbox, "leave", left)
    job = lake.submit(**DAY)
    lake.run(turns=20)
    assert lake.shown() == []
    assert lake.requests.job(job.id).tasks.get("dead") is None
    full[0] = False
    lake.run()
    assert lake.requests.job(job.id).state == "finished"
    lake.all_there()


def test_a_full_disk_of_the_kept_objects_is_waited_for(lake, pacs, monkeypatch):
    put, left = Kept.put, [30]

    def full(*what):
        left[0] -= 1
        if left[0] > 0:
            raise OSError(28, "No space left on device")
        return put(*what)

    monkeypatch.setattr(Kept, "put", full)
    assert lake.pull(keep=True, **DAY).state == "finished"
    lake.all_there()
    assert all(lake.worker.puller.kept.holds(one.sop) for one in pacs.objects)


@pytest.mark.parametrize("most", [1, 5])
def test_series_larger_than_a_batch(tmp_path, monkeypatch, most):
    monkeypatch.setattr(pull, "MOST_OBJECTS", most)
    pacs = Pacs(hospital(2, 1, 10))
    with closing(Lake(tmp_path / "lake", pacs)) as lake:
        assert lake.pull(**DAY).state == "finished"
        lake.all_there()
        before = lake.series()
        lake.pull(**DAY)
        assert lake.series() == before


def test_a_large_series_that_always_stops_dies_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(pull, "MOST_OBJECTS", 2)
    pacs = Pacs(hospital(1, 1, 9))

    def sent(one: Held) -> Held:
        if one.sop == uid("instance", "0/0", 8):
            raise Refused("the archive stopped")
        return one

    pacs.sent = sent
    with closing(Lake(tmp_path / "lake", pacs)) as lake:
        job = lake.pull(**DAY)
        assert job.state == "failed"
        assert lake.series()[uid("series", "0/0")][1:] == ("some", 8)


def test_answers_without_end_are_cancelled(lake, pacs):
    def lost(lease) -> bool:
        if len(pacs.retrieved) == 200:
            lake.requests.cancel(job.id)
        return len(pacs.retrieved) >= 200 and not lake.queue.renew([lease])

    lake.worker.puller.lost = lost
    pacs.endless = lambda series: (held("1/1", number) for number in count())
    job = lake.submit(keys={"SeriesInstanceUID": (uid("series", "1/1"),)})
    lake.run()
    assert lake.requests.job(job.id).state == "cancelled"
    assert len(pacs.retrieved) == 200
    assert lake.series()[uid("series", "1/1")][1] == "some"


def test_the_rest_of_headers_does_not_make_a_series_complete(lake, pacs):
    pacs.headers = True
    left = [1]

    def sent(one: Held) -> Held | None:
        if one.sop == uid("instance", "1/1", 1) and left[0]:
            left[0] -= 1
            return None
        return one

    pacs.sent = sent
    lake.pull(depth="headers", **DAY)
    assert lake.shown() == sorted(one.sop for one in pacs.objects)
    assert {how for _, how, _ in lake.series().values()} == {"headers"}
    lake.pull(**DAY)
    assert {how for _, how, _ in lake.series().values()} == {"all"}


def test_one_object_stands_for_a_series(lake, pacs):
    lake.pull(depth="headers", **DAY)
    assert {row[1:] for row in lake.series().values()} == {("first", 1)}
    before = lake.series()
    lake.pull(depth="headers", **DAY)
    assert lake.series() == before
    lake.pull(**DAY)
    lake.all_there()


def test_a_deleted_series_is_listed_until_it_comes(lake, pacs):
    gone = [one for one in pacs.objects if one.series == uid("series", "1/1")]

    def asked(kind: str, *what: object) -> None:
        if kind == "objects" and what[0] == gone[0].series:
            pacs.objects = [one for one in pacs.objects if one not in gone]

    pacs.asked = asked
    job = lake.pull(**DAY)
    assert job.state == "failed"
    assert list(lake.failures()) == [uri_of(PACS, gone[0].series)]
    pacs.asked = lambda *what: None
    pacs.objects += gone
    lake.pull(**DAY)
    lake.all_there()


def test_a_clock_set_back_holds_nothing_up(lake, pacs):
    lake.submit(**DAY)
    lake.run(turns=3)
    lake.ahead -= 7200
    lake.run(turns=40, step_s=1.0)
    assert lake.stopped()
    lake.all_there()


def test_unknown_tasks_are_refused_in_words(lake):
    odd, poor = Task("odd", "odd", {}, 0, PACS, most=1), Task("s", "study", {}, 0, PACS, most=1)
    lake.queue.put([odd, poor])
    lake.run()
    errors = {state.task.key: state.error for state in lake.queue.tasks((DEAD,))}
    assert errors == dict.fromkeys(["odd", "s"], "it could not be done (KeyError)")
    assert not lake.care.paused()
