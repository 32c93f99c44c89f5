"""Care for archives: pauses, hours, slots, pace and back-off."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import time
from datetime import datetime

import pytest

from dicomlake.errors import Paused, ServiceError
from dicomlake.jobs.care import Care, quiet_s
from dicomlake.settings import Limits
from dicomlake.testing.queues import Clock

FREE = Limits(associations=4)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def another(tmp_path, clock):
    opened = []

    def make(sleep=clock.move):
        opened.append(Care(tmp_path / "care.sqlite", clock, sleep, chance=lambda: 0.5))
        return opened[-1]

    yield make
    for care in opened:
        care.close()


@pytest.fixture
def care(another):
    return another()


# pauses and hours


def test_pause_one_source(care, another, clock):
    since = clock()
    care.pause("north")
    clock.move(3)
    care.pause("north")
    assert another().paused() == {"north": since}
    assert care.may_start("north", FREE, 0) == 5.0
    assert care.may_start("south", FREE, 8) == 0.0
    care.resume("north")
    care.resume("north")
    assert care.may_start("north", FREE, 0) == 0.0
    assert care.paused() == {}


def test_pause_everything(care, another, clock):
    care.pause("north")
    another().pause(None)
    assert care.paused() == {"": clock(), "north": clock()}
    assert care.may_start("south", FREE, 0) == 5.0
    care.resume(None)
    assert care.may_start("south", FREE, 0) == 0.0
    assert care.may_start("north", FREE, 0) == 5.0


def test_paused_is_a_service_error():
    assert issubclass(Paused, ServiceError)


@pytest.mark.parametrize(
    ("spans", "at", "seconds"),
    [
        ("07:00-18:00", "06:59:59", 0),
        ("07:00-18:00", "07:00:00", 11 * 3600),
        ("07:00-18:00", "17:59:59", 1),
        ("07:00-18:00", "18:00:00", 0),
        ("22:00-06:00", "23:00:00", 7 * 3600),
        ("22:00-06:00", "05:00:00", 3600),
        ("22:00-06:00", "21:59:59", 0),
        ("20:00-24:00", "23:00:00", 3600),
        ("20:00-24:00", "00:00:00", 0),
        ("20:00-24:00 00:00-02:00", "23:00:00", 3 * 3600),
        ("08:00-12:00 12:00-13:00", "11:00:00", 2 * 3600),
        ("12:00-13:00 08:00-12:00", "11:00:00", 2 * 3600),
        ("00:00-24:00", "11:00:00", 86400),
        ("00:00-12:00 12:00-24:00", "11:00:00", 86400),
        ("07:00-07:00", "11:00:00", 86400),
    ],
)
def test_quiet_hours(spans, at, seconds):
    now = datetime.fromisoformat(f"2026-01-05T{at}")
    assert quiet_s(tuple(spans.split()), now) == seconds


def test_quiet_hours_let_pass_what_somebody_waits_for(care):
    limits = Limits(quiet_hours=("07:00-18:00",))
    noon = datetime(2026, 1, 5, 12)
    assert care.may_start("north", limits, 0, noon) == 0.0
    assert care.may_start("north", limits, 1, noon) == 6 * 3600
    assert care.may_start("north", limits, 1, datetime(2026, 1, 5, 20)) == 0.0


# slots


def test_slots(care, another, clock):
    limits = Limits(associations=2)
    other = another()
    first, second = care.acquire("north", limits, "a"), other.acquire("north", limits, "b")
    assert first is not None
    assert second is not None
    assert care.acquire("north", limits, "c") is None
    assert care.acquire("south", limits, "c") is not None
    care.release(first)
    care.release(first)
    assert care.acquire("north", limits, "c") is not None


def test_slot_of_a_dead_process_is_free_after_a_while(care, another, clock):
    limits = Limits(associations=1)
    another().acquire("north", limits, "dead")
    clock.move(119)
    assert care.acquire("north", limits, "a") is None
    clock.move(1)
    assert care.acquire("north", limits, "a") is not None


def test_pace_holds_slots(care, another, clock):
    limits = Limits(associations=1)
    with care.slot("north", limits, "a"):
        for _ in range(10):
            clock.move(60)
            care.pace("north", limits)
            assert another().acquire("north", limits, "b") is None
    assert another().acquire("north", limits, "b") is not None


def test_waiting_for_a_slot_ends_with_a_pause(another, clock):
    limits = Limits(associations=1)
    other = another()
    other.acquire("north", limits, "b")

    def sleep(seconds):
        clock.move(seconds)
        other.pause("north")

    with pytest.raises(Paused, match="paused north"), another(sleep).slot("north", limits, "a"):
        pass


def test_slot_is_waited_for(another, clock):
    limits = Limits(associations=1)
    other = another()
    held = other.acquire("north", limits, "b")

    def sleep(seconds):
        clock.move(seconds)
        other.release(held)

    with another(sleep).slot("north", limits, "a") as slot:
        assert (slot.source, slot.owner) == ("north", "a")


def test_slot_is_released_after_an_error(care):
    limits = Limits(associations=1)
    with pytest.raises(ZeroDivisionError), care.slot("north", limits, "a"):
        _ = 1 / 0
    assert care.acquire("north", limits, "a") is not None


def slots(care, limits=FREE):
    found = []
    while (slot := care.acquire("north", limits, "a")) is not None:
        found.append(slot)
    for slot in found:
        care.release(slot)
    return len(found)


def test_fewer_slots_after_refusals_and_more_when_it_goes_well(care, clock):
    assert slots(care) == 4
    care.refused("north")
    assert slots(care) == 2
    care.refused("north")  # of the same occasion
    assert slots(care) == 2
    for _ in range(3):
        clock.move(1000)
        care.refused("north")
    assert slots(care) == 1
    for allowed in (2, 3, 4, 4):
        for _ in range(20):
            care.went_well("north", 1.0, 10)
        assert slots(care) == allowed
    assert slots(care, Limits(associations=8)) == 8
    assert slots(care, Limits(associations=3)) == 3


# pace


def test_pace(care, another, clock):
    limits = Limits(objects_per_second=20)
    other = another()
    start = clock()
    for _ in range(50):
        care.pace("north", limits)
        other.pace("north", limits)
    assert clock() - start == pytest.approx(5, rel=0.05)


def test_pace_of_many_at_once(care, clock):
    limits = Limits(objects_per_second=10)
    start = clock()
    for _ in range(4):
        care.pace("north", limits, 25)
    assert clock() - start == pytest.approx(7.5, rel=0.02)


def test_slow_pace(care, clock):
    limits = Limits(objects_per_second=0.1)
    start = clock()
    for _ in range(4):
        care.pace("north", limits)
    assert clock() - start == pytest.approx(30, rel=0.02)


def test_rest_is_not_saved_up(care, clock):
    limits = Limits(objects_per_second=100)
    care.pace("north", limits)
    clock.move(3600)
    start = clock()
    for _ in range(110):
        care.pace("north", limits)
    assert clock() - start == pytest.approx(1, rel=0.02)


def test_no_pace(care, clock):
    start = clock()
    for _ in range(100):
        care.pace("north", FREE)
    assert clock() == start


def test_clock_that_was_set_back(care, clock):
    limits = Limits(objects_per_second=1)
    care.pace("north", limits)
    clock.move(-86_400)
    start = clock()
    care.pace("north", limits)
    care.pace("north", limits)
    assert clock() - start <= 2


def test_pause_while_pacing(another, clock):
    other = another()
    limits = Limits(objects_per_second=0.01)

    def sleep(seconds):
        assert seconds <= 1
        clock.move(seconds)
        other.pause("north")

    care = another(sleep)
    care.pace("north", limits)
    with pytest.raises(Paused, match="paused north"):
        care.pace("north", limits)
    with pytest.raises(Paused):
        care.pace("north", FREE)
    other.resume("north")
    care.pace("north", FREE)


def test_quiet_hours_begin_while_pacing(care, clock):
    clock.now = datetime(2026, 1, 5, 6, 59, 58).timestamp()
    limits = Limits(objects_per_second=1, quiet_hours=("07:00-18:00",))
    care.pace("north", limits, 10, priority=4)
    with pytest.raises(Paused, match="quiet hours of north"):
        care.pace("north", limits, 10, priority=4)
    assert datetime.fromtimestamp(clock()).hour == 7
    care.pace("north", limits, priority=0)


# back-off


def test_back_off_grows_to_ten_minutes(care, another, clock):
    waits = []
    for _ in range(14):
        another().refused("north")
        waits.append(care.may_start("north", FREE, 0))
        clock.move(waits[-1])
        assert care.may_start("north", FREE, 0) == 0.0
    assert waits[:5] == pytest.approx([1, 2, 4, 8, 16])
    assert waits[-3:] == pytest.approx([600, 600, 600])
    care.went_well("north", 1, 1)
    care.refused("north")
    assert care.may_start("north", FREE, 0) == pytest.approx(1)
    assert care.may_start("south", FREE, 0) == 0.0


def test_back_off_has_jitter(tmp_path, clock):
    waits = set()
    for number in range(20):
        care = Care(tmp_path / "care.sqlite", clock)
        care.refused(f"n{number}")
        waits.add(care.may_start(f"n{number}", FREE, 0))
        care.close()
    assert len(waits) > 10
    assert min(waits) >= 0.79
    assert max(waits) <= 1.21


def test_archive_asks_to_wait(care, clock):
    care.refused("north", 30)
    assert care.may_start("north", FREE, 0) == pytest.approx(30)
    care.went_well("north", 1, 1)  # a task that had begun before
    assert care.may_start("north", FREE, 0) == pytest.approx(30)
    clock.move(30)
    assert care.may_start("north", FREE, 0) == 0.0


def test_success_ends_back_off(care):
    care.refused("north")
    care.went_well("north", 1, 1)
    assert care.may_start("north", FREE, 0) == 0.0


# slowness


@pytest.mark.parametrize("objects", [10, 0])
def test_archive_becomes_slow(care, caplog, objects):
    slots(care)
    for number in range(40):
        care.went_well("north", 1.0 + 0.1 * (number % 3), objects)
    assert slots(care) == 4
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            care.went_well("north", 9.0, objects)
    assert [r.message for r in caplog.records] == ["source became slow"]
    assert slots(care) == 2
    assert care.state()[0].why == "slower than usual"
    for _ in range(60):
        care.went_well("north", 1.0, objects)
    assert slots(care) == 4
    assert care.state()[0].why == ""


def test_one_slow_task_is_no_slow_archive(care, caplog):
    slots(care)
    for _ in range(40):
        care.went_well("north", 1.0, 10)
    care.went_well("north", 12.0, 10)
    assert slots(care) == 4
    assert not caplog.records


# a status page


def test_state(care, clock):
    assert care.state() == []
    care.pause("south")
    care.acquire("north", FREE, "a")
    care.went_well("north", 2.0, 4)
    care.refused("north")
    north, south = care.state()
    assert (north.source, north.paused, north.allowed, north.in_use) == ("north", False, 2, 1)
    assert (north.until, north.refusals) == (clock() + 1, 1)
    assert north.why == "it refused 1 times in a row"
    assert north.seconds_per_object == pytest.approx(0.5)
    assert (south.source, south.paused, south.why, south.allowed) == (
        "south",
        True,
        "paused by somebody",
        0,
    )
    care.pause()
    assert [row.paused for row in care.state()] == [True, True]


# processes


def run(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def test_three_processes_keep_one_pace(tmp_path):
    code = """
        import sys, time
        from dicomlake.jobs.care import Care
        from dicomlake.settings import Limits
        care, limits = Care(sys.argv[1]), Limits(objects_per_second=200)
        print("ready", flush=True)
        until = float(sys.stdin.readline())
        objects = 0
        while time.time() < until:
            care.pace("north", limits)
            objects += 1
        print(objects)
    """
    started = [run(code, tmp_path / "care.sqlite") for _ in range(3)]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    seconds = 3
    until = time.time() + seconds
    for process in started:
        process.stdin.write(f"{until}\n")
        process.stdin.flush()
    objects = [int(process.communicate()[0]) for process in started]
    assert sum(objects) / seconds == pytest.approx(200, rel=0.1)
    assert min(objects) > 0


def test_three_processes_share_slots(tmp_path):
    code = """
        import sys, time
        from dicomlake.jobs.care import Care
        from dicomlake.settings import Limits
        care, limits = Care(sys.argv[1], sleep=lambda s: time.sleep(0.01)), Limits(associations=2)
        for n in range(15):
            with care.slot("north", limits, sys.argv[2]):
                print(time.time(), 1)
                time.sleep(0.01)
                print(time.time(), -1)
    """
    started = [run(code, tmp_path / "care.sqlite", number) for number in range(3)]
    lines = [line.split() for p in started for line in p.communicate()[0].splitlines()]
    assert len(lines) == 90
    used = most = 0
    for _, change in sorted((float(at), int(change)) for at, change in lines):
        used += change
        most = max(most, used)
    assert most <= 2


def test_child_process_does_not_hold_slots_of_its_parent(care, another, clock):
    limits = Limits(associations=1)
    slot = care.acquire("north", limits, "a")
    child = os.fork()
    if child == 0:
        ok = False
        try:
            clock.move(60)
            care.pace("north", limits)
            clock.move(60)
            ok = care.acquire("north", limits, "b") is not None
        finally:
            os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    care.release(slot)
