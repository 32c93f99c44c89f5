"""What devices did, against a clinic whose days are known and times that are untidy on purpose."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from dicomlake import tables
from dicomlake.api import Lake
from dicomlake.errors import UsageError
from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.activity import Activity, Asked, Hours, access, zone_of
from dicomlake.lake import Store
from dicomlake.testing import clinic

WEEKS = 3
MONDAY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    path = tmp_path_factory.mktemp("activity") / "lake"
    clinic.write(path, WEEKS)
    return Lake(path)


def name(device: clinic.Device) -> str:
    return f"{device.model} {device.serial}"


def truth() -> dict[str, list[clinic.Examination]]:
    found: dict[str, list[clinic.Examination]] = defaultdict(list)
    for each in clinic.examinations(WEEKS):
        found[name(each.device)].append(each)
    return found


def by(table: pa.Table, key: str) -> dict[Any, dict[str, Any]]:
    return {row[key]: row for row in table.to_pylist()}


def test_examinations_are_those_of_the_clinic(lake: Lake) -> None:
    found = lake.activity().exams
    rows = {
        (row["device"], row["study_key"], row["began"], row["ended"]) for row in found.to_pylist()
    }
    assert rows == {
        (device, each.study, each.began, each.ended)
        for device, some in truth().items()
        for each in some
    }
    assert lake.activity().untidy.num_rows == 0


def test_the_map_says_where_devices_stand_and_how_much_they_are_used(lake: Lake) -> None:
    found = by(lake.activity().devices(), "device")
    known = truth()
    assert found.keys() == known.keys()
    for device, some in known.items():
        row, about = found[device], some[0].device
        assert row["InstitutionName"] == about.institution
        assert row["InstitutionalDepartmentName"] == about.department
        assert row["StationName"] == about.station
        assert row["modalities"] == [about.Modality]
        assert row["studies"] == row["examinations"] == len(some)
        assert row["series"] == len(some) * about.series
        assert row["first_seen"] == some[0].began.date()
        assert row["last_seen"] == some[-1].ended.date()
        assert row["busy_h"] == pytest.approx(len(some) * about.minutes / 60, abs=0.01)
        assert row["examination_min"] == about.minutes
        assert row["days_used"] == len({each.began.date() for each in some})
    assert sum(row["share"] for row in found.values()) == pytest.approx(1, abs=0.001)


def test_turnovers_are_pauses_between_two_patients(lake: Lake) -> None:
    found = by(lake.activity().devices(), "device")
    for device, some in truth().items():
        pauses = [
            (b.began - a.ended).total_seconds() / 60
            for a, b in pairwise(some)
            if a.began.date() == b.began.date() and a.patient != b.patient
        ]
        pauses = [pause for pause in pauses if pause <= 60]
        assert found[device]["turnover_min"] == (median(pauses) if pauses else None)


def test_hours_of_the_week_add_up_to_what_was_done(lake: Lake) -> None:
    known = truth()
    found = lake.activity().utilisation().to_pylist()
    assert len(found) == 7 * 24
    assert sum(row["examinations"] for row in found) == sum(map(len, known.values()))
    minutes = sum(len(some) * some[0].device.minutes for some in known.values())
    assert sum(row["busy_min"] for row in found) == pytest.approx(minutes)
    ct = "Model Aurora N-101"
    monday = [row for row in lake.activity().utilisation(ct).to_pylist() if row["weekday"] == 1]
    expected: dict[int, float] = defaultdict(float)
    for each in known[ct]:
        at = each.began
        while each.began.weekday() == 0 and at < each.ended:
            expected[at.hour] += 1
            at += timedelta(minutes=1)
    assert {row["hour"]: row["busy_min"] for row in monday if row["busy_min"]} == expected
    assert {row["days"] for row in monday} == {WEEKS}
    nine = next(row for row in monday if row["hour"] == 9)
    assert nine["share"] == pytest.approx(expected[9] / (60 * WEEKS))


def test_idle_is_what_lies_within_given_hours(lake: Lake) -> None:
    activity = lake.activity(asked=Asked(hours=Hours.read("8:00-12:00")))
    ct = "Model Aurora N-101"
    days = by(activity.days(ct), "day")
    known = truth()[ct]
    for day in {each.began.date() for each in known}:
        midnight = datetime(day.year, day.month, day.day)
        opens, closes = midnight + timedelta(hours=8), midnight + timedelta(hours=12)
        some = [each for each in known if each.began.date() == day]
        inside = [(max(e.began, opens), min(e.ended, closes)) for e in some]
        busy = sum((b - a).total_seconds() / 60 for a, b in inside if b > a)
        assert days[day]["busy_in_hours_min"] == pytest.approx(busy)
        assert days[day]["idle_min"] == pytest.approx(240 - busy)
        over = (max(e.ended for e in some) - closes).total_seconds() / 60
        assert days[day]["over_min"] == pytest.approx(over)
    gaps = [
        (max(a.ended, at(a, 8)), min(b.began, at(a, 12)))
        for a, b in pairwise(known)
        if a.began.date() == b.began.date()
    ]
    long = {(a, b) for a, b in gaps if b - a >= timedelta(minutes=30)}
    found = activity.gaps(ct).to_pylist()
    assert {(row["began"], row["ended"]) for row in found} == long
    assert [row["idle_min"] for row in found] == sorted(
        (row["idle_min"] for row in found), reverse=True
    )


def at(each: clinic.Examination, hour: int) -> datetime:
    return each.began.replace(hour=hour, minute=0, second=0)


def test_derived_hours_are_those_in_which_a_device_works(lake: Lake) -> None:
    row = by(lake.activity().devices(), "device")["Model Boreal N-201"]
    assert row["opens"] in range(420, 481)
    assert row["closes"] in range(1140, 1201)
    assert 0 < row["utilisation"] < 1


def test_pauses_are_counted_by_steps(lake: Lake) -> None:
    found = lake.activity().pauses("Model Aurora N-102").to_pylist()
    known = truth()["Model Aurora N-102"]
    pauses = [
        (b.began - a.ended).total_seconds() / 60
        for a, b in pairwise(known)
        if a.began.date() == b.began.date()
    ]
    for row in found:
        high = row["high"] or float("inf")
        assert row["pauses"] == sum(row["low"] <= pause < high for pause in pauses)


def test_a_question_and_a_period_narrow_it(lake: Lake) -> None:
    asked = Asked(since=date(2024, 1, 2), until=date(2024, 1, 3))
    found = lake.activity("Modality = 'MG'", asked).exams.to_pylist()
    known = [
        each
        for each in truth()["Model Grove L-201"]
        if date(2024, 1, 2) <= each.began.date() <= date(2024, 1, 3)
    ]
    assert {row["study_key"] for row in found} == {each.study for each in known}
    with pytest.raises(UsageError, match="before it begins"):
        Asked(since=date(2024, 1, 2), until=date(2024, 1, 1))
    with pytest.raises(UsageError, match="07:30-16:00"):
        Hours.read("16:00-7:30")


# Times that are not as they should be


def made(path: Path, *rows: dict[str, Any]) -> Activity:
    """Activity of series that a test writes down."""
    store = Store.create(path / "lake")
    told = []
    for number, row in enumerate(rows, store.next_id()):
        told.append(
            {
                "series_id": number, "patient_key": 1, "study_key": 1, "source": "test",
                "complete": "all", "instances": 1, "run_id": "test",
                "indexed": datetime(2024, 2, 1, tzinfo=UTC), "varying": [], "Modality": "CT",
                "SeriesInstanceUID": f"1.2.{number}", "StudyInstanceUID": "1.2",
                "ManufacturerModelName": "Model X", "DeviceSerialNumber": "1",
                "StudyDate": date(2024, 1, 10), "StudyTime": "080000", **row,
            }
        )  # fmt: skip
    store.append("series", pa.Table.from_pylist(told, tables.SERIES))
    return Lake(path / "lake").activity()


def reasons(activity: Activity) -> dict[str, int]:
    return {row["reason"]: row["series"] for row in activity.untidy.to_pylist()}


ACQUIRED = {"AcquisitionDate": date(2024, 1, 10)}


@pytest.mark.parametrize(
    ("row", "moment", "said"),
    [
        ({**ACQUIRED, "AcquisitionTime": "0915"}, "2024-01-10 09:15", {"without seconds": 1}),
        ({**ACQUIRED, "AcquisitionTime": "09:15:30"}, "2024-01-10 09:15:30", {}),
        ({**ACQUIRED, "AcquisitionTime": "091530.5"}, "2024-01-10 09:15:30.5", {}),
        (
            {"AcquisitionTime": "091530"},
            "2024-01-10 09:15:30",
            {"by the day of its study": 1},
        ),
        (
            {"AcquisitionTime": "001500", "StudyTime": "233000"},
            "2024-01-11 00:15",
            {"by the day of its study": 1, "past midnight": 1},
        ),
        (
            {**ACQUIRED, "AcquisitionTime": "09", "ContentTime": "0916",
             "ContentDate": date(2024, 1, 10)},
            "2024-01-10 09:16",
            {"by the time of its content": 1, "without seconds": 1,
             "AcquisitionTime is no time, a bare hour or midnight": 1},
        ),
        (
            {**ACQUIRED, "AcquisitionTime": "000000", "SeriesTime": "101112",
             "SeriesDate": date(2024, 1, 10)},
            "2024-01-10 10:11:12",
            {"by the time of its series": 1,
             "AcquisitionTime is no time, a bare hour or midnight": 1},
        ),
        (
            {**ACQUIRED, "AcquisitionTime": "256199"},
            None,
            {"no time": 1},
        ),
        ({**ACQUIRED, "AcquisitionTime": "noon"}, None, {"no time": 1}),
        ({"AcquisitionTime": "0915", "StudyDate": None}, None, {"no day": 1}),
        (
            {"AcquisitionDate": date(1999, 1, 1), "AcquisitionTime": "091500"},
            None,
            {"over 31 days from its study": 1},
        ),
        (
            {"AcquisitionDate": date(2199, 1, 1), "AcquisitionTime": "091500",
             "StudyDate": date(2199, 1, 1)},
            None,
            {"in the future": 1},
        ),
        (
            {**ACQUIRED, "AcquisitionTime": "0915", "ManufacturerModelName": None,
             "DeviceSerialNumber": " "},
            None,
            {"no device named": 1},
        ),
        ({"Modality": "SEG", "SeriesTime": "0915"}, None, {"not acquired by a device": 1}),
        (
            {**ACQUIRED, "AcquisitionTime": "0915", "ImageType": ["DERIVED", "SECONDARY"]},
            None,
            {"not acquired by a device": 1},
        ),
        (
            {"AcquisitionDateTime": datetime(2024, 1, 10, 7, 8, 9, tzinfo=UTC)},
            "2024-01-10 07:08:09",
            {},
        ),
    ],
)  # fmt: skip
def test_untidy_times_are_handled_and_counted(
    tmp_path: Path, row: dict[str, Any], moment: str | None, said: dict[str, int]
) -> None:
    found = made(tmp_path, row)
    began = [each["began"] for each in found.exams.to_pylist()]
    assert began == ([datetime.fromisoformat(moment)] if moment else [])
    assert reasons(found) == said
    found.devices()  # what has no examination is still a device


@pytest.mark.parametrize(
    ("content", "ahead", "began"),
    [("091000", "+0200", "09:08:09"), ("070900", "+0200", "07:08:09"), ("020900", "-0500",
     "02:08:09"), ("091000", "", "07:08:09")],
)  # fmt: skip
def test_a_moment_that_was_sent_with_its_zone_is_that_of_the_device(
    tmp_path: Path, content: str, ahead: str, began: str
) -> None:
    stamped = datetime(2024, 1, 10, 7, 8, 9, tzinfo=UTC)
    more = {"ContentDate": date(2024, 1, 10), "ContentTime": content}
    if ahead:
        store = Store.create(tmp_path / "lake")
        said = {"series_id": 7, "path": "TimezoneOffsetFromUTC", "text": ahead}
        store.append("elements", pa.Table.from_pylist([said], tables.ELEMENTS))
    found = made(tmp_path, {"series_id": 7, "AcquisitionDateTime": stamped, **more})
    (row,) = found.exams.to_pylist()
    assert f"{row['began']:%H:%M:%S}" == began


def test_devices_without_a_serial_number_are_told_apart(tmp_path: Path) -> None:
    def at(station: str | None, serial: str | None, house: str) -> dict[str, Any]:
        return acquired("0800", StationName=station, DeviceSerialNumber=serial,
                        InstitutionName=house)  # fmt: skip

    found = made(
        tmp_path, at("CT1", "0000", "North"), at("CT2", "unknown", "North"), at(None, " ", "North"),
        at("", None, "South"), at("CT1", "4711", "North"),
    )  # fmt: skip
    assert sorted(found.devices().column("device").to_pylist()) == [
        "Model X 4711", "Model X CT1", "Model X CT2", "Model X North", "Model X South",
    ]  # fmt: skip


def acquired(time: str, **more: Any) -> dict[str, Any]:
    return {**ACQUIRED, "AcquisitionTime": time, **more}


def test_a_pause_of_over_an_hour_begins_another_examination(tmp_path: Path) -> None:
    found = made(tmp_path, acquired("0800"), acquired("0810"), acquired("0915"), acquired("0920"))
    rows = [
        (f"{r['began']:%H%M}", f"{r['ended']:%H%M}", r["series"]) for r in found.exams.to_pylist()
    ]
    assert sorted(rows) == [("0800", "0810", 2), ("0915", "0920", 2)]
    assert found.devices().column("studies").to_pylist() == [1]
    assert found.devices().column("examinations").to_pylist() == [2]


def test_what_overlaps_is_busy_once(tmp_path: Path) -> None:
    rows = [
        acquired("0800"), acquired("0820"),
        acquired("0810", study_key=2, patient_key=2), acquired("0830", study_key=2, patient_key=2),
    ]  # fmt: skip
    found = made(tmp_path, *rows)
    day = found.days().to_pylist()[0]
    assert day["busy_min"] == 30
    assert day["overlapping"] == 1
    assert sum(row["busy_min"] for row in found.utilisation().to_pylist()) == 30
    assert sum(row["pauses"] for row in found.pauses().to_pylist()) == 0


def test_an_examination_past_midnight_is_busy_on_both_days(tmp_path: Path) -> None:
    late = acquired("2350")
    early = {"AcquisitionDate": date(2024, 1, 11), "AcquisitionTime": "0020"}
    found = made(tmp_path, late, early)
    busy = {
        (row["weekday"], row["hour"]): row["busy_min"]
        for row in found.utilisation().to_pylist()
        if row["busy_min"]
    }
    assert busy == {(3, 23): 10, (4, 0): 20}


# Who opened what

ZONE = ZoneInfo("Europe/Berlin")


def line(when: datetime, what: str, **more: Any) -> dict[str, Any]:
    base = {"time": when.replace(tzinfo=ZONE).timestamp(), "status": 200, "name": "ann"}
    return {**base, "role": "researcher", "what": what, **more}


@pytest.fixture
def opened(lake: Lake) -> list[dict[str, Any]]:
    """Lines: the first ten examinations of a device are opened an hour after their end."""
    some = truth()["Model Boreal N-201"][:10]
    lines = [line(datetime(2024, 1, 1, 0, 0), "POST /api/query")]
    for each in some:
        uid = f"2.25.7.{each.study}"
        first = each.ended + timedelta(hours=1)
        lines += [
            line(first, f"GET /api/studies/{uid}", params={"StudyInstanceUID": uid}),
            line(
                first + timedelta(minutes=1),
                f"GET /dicom-web/studies/{uid}/series/{uid}.1",
                params={"study": uid, "series": f"{uid}.1"},
            ),
            line(
                first + timedelta(hours=2),
                f"GET /api/series/{uid}.2",
                params={"SeriesInstanceUID": f"{uid}.2"},
                name="bob", role="steward",
            ),
            line(first, f"GET /dicom-web/studies/{uid}/series/{uid}.1/thumbnail",
                 params={"study": uid}),
            line(first, f"GET /api/studies/{uid}", params={"StudyInstanceUID": uid}, status=403),
        ]  # fmt: skip
    lines += [
        line(datetime(2024, 1, 9, 12), "POST /api/query/export", rows=12),
        line(datetime(2024, 1, 9, 12), "GET /api/studies/9.9", params={"StudyInstanceUID": "9.9"}),
    ]
    return lines


def test_openings_are_counted_by_role_and_user(lake: Lake, opened: list[dict[str, Any]]) -> None:
    found = access(lake.engine, lake.activity(), opened, ZONE)
    roles = by(found.roles, "role")
    assert roles["researcher"]["openings"] == 10
    assert roles["researcher"]["studies"] == 10
    assert roles["researcher"]["questions"] == 1
    assert roles["researcher"]["exports"] == 1
    assert roles["steward"]["openings"] == 10
    assert by(found.users, "name")["bob"]["openings"] == 10
    assert found.unknown == 1
    assert found.since == datetime(2024, 1, 1)
    assert [row["rows"] for row in found.exports.to_pylist()] == [12]
    assert "name" not in found.exports.column_names
    assert sum(row["openings"] for row in found.hours.to_pylist()) == 20


def test_how_soon_studies_are_opened(lake: Lake, opened: list[dict[str, Any]]) -> None:
    found = access(lake.engine, lake.activity(), opened, ZONE)
    row = by(found.soon_by("device"), "device")["Model Boreal N-201"]
    assert row["opened"] == 10
    assert row["median_h"] == row["low_h"] == row["high_h"] == 1
    assert row["never"] == len(truth()["Model Boreal N-201"]) - 10
    assert by(found.soon_by("modality"), "modality")["CT"]["opened"] == 0
    whole = by(found.soon_by("all"), "all")[None]
    assert whole["studies"] == sum(map(len, truth().values()))


def test_what_was_made_before_the_log_counts_for_nothing(lake: Lake) -> None:
    some = [each for each in truth()["Model Boreal N-201"] if each.ended > datetime(2024, 1, 15)]
    first = line(datetime(2024, 1, 15), "POST /api/query")
    found = access(lake.engine, lake.activity(), [first], ZONE)
    row = by(found.soon_by("device"), "device")["Model Boreal N-201"]
    assert row["studies"] == row["never"] == len(some)


def test_an_opening_before_the_end_is_counted_apart(lake: Lake) -> None:
    each = truth()["Model Boreal N-201"][0]
    uid = f"2.25.7.{each.study}"
    told = [
        line(datetime(2024, 1, 1), "POST /api/query"),
        line(each.began, f"GET /api/studies/{uid}", params={"StudyInstanceUID": uid}),
    ]
    row = by(access(lake.engine, lake.activity(), told, ZONE).soon_by("all"), "all")[None]
    assert (row["opened"], row["before_end"], row["median_h"]) == (1, 1, None)


def test_the_real_log_is_read(lake: Lake, tmp_path: Path) -> None:
    log = Audit(tmp_path / "audit.jsonl")
    each = truth()["Model Boreal N-201"][0]
    uid = f"2.25.7.{each.study}"
    log.append({"name": "ann", "role": "viewer", "what": f"GET /api/studies/{uid}", "status": 200,
                "params": {"StudyInstanceUID": uid}})  # fmt: skip
    found = access(lake.engine, lake.activity(), log.lines())
    assert by(found.users, "name")["ann"]["studies"] == 1


def test_a_wrong_zone_is_told() -> None:
    with pytest.raises(UsageError, match="Europe/Berlin"):
        zone_of("Mars/Olympus")
