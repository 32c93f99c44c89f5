"""Numbers of the dashboards, compared with what pydicom reads from the files themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicomlake.api import Lake
from dicomlake.dicom.defined import LISTED
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

from . import plain
from .plain import PlainSeries

DATE = re.compile(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)")
Keys = tuple[Any, ...]


@pytest.fixture(scope="module")
def hospital_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital large enough for words that the Standard does not have."""
    folder = tmp_path_factory.mktemp("dashboards")
    hospital.write(folder / "files", 5, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def files(hospital_lake: Path) -> dict[str, PlainSeries]:
    return plain.read(hospital_lake.parent / "files")


def counted(
    series: Iterable[tuple[str, PlainSeries]], keys: Callable[[PlainSeries], Iterable[Keys]]
) -> dict[str, Counter[Keys]]:
    """How many of each level are in each group; a series is in every group that it has."""
    members: dict[str, set[tuple[Keys, str]]] = {"patients": set(), "studies": set()}
    found = {"series": Counter[Keys](), "instances": Counter[Keys]()}
    for _, one in series:
        for key in set(keys(one)):
            found["series"][key] += 1
            found["instances"][key] += len(one.objects)
            members["patients"].add((key, one.patient))
            members["studies"].add((key, one.study))
    return {**found, **{name: Counter(key for key, _ in both) for name, both in members.items()}}


def asked(web: TestClient, **body: Any) -> Counter[Keys]:
    answer = web.post("/api/aggregate", json={"limit": 10_000, **body})
    assert answer.status_code == 200, answer.text
    return Counter({tuple(row["keys"]): row["value"] for row in answer.json()["rows"]})


def one(series: PlainSeries, keyword: str) -> str | None:
    return next(iter(series.values(keyword)), None)


def study_day(series: PlainSeries) -> date | None:
    said = DATE.fullmatch(one(series, "StudyDate") or "")
    return date(int(said[1]), int(said[2]), int(said[3])) if said else None


LEVELS = ("patients", "studies", "series", "instances")


@pytest.mark.parametrize("level", LEVELS)
def test_modality_over_time(web: TestClient, files: dict[str, PlainSeries], level: str) -> None:
    women = [(uid, s) for uid, s in files.items() if "F" in s.values("PatientSex")]
    assert 0 < len(women) < len(files)

    def month(series: PlainSeries) -> Iterable[Keys]:
        day = study_day(series)
        return [(day.replace(day=1).isoformat() if day else None, one(series, "Modality"))]

    found = asked(
        web,
        by=[{"path": "StudyDate", "bin": "month"}, "Modality"],
        where="PatientSex = 'F'",
        measure={"what": level},
    )
    assert found == counted(women, month)[level]


@pytest.mark.parametrize("level", LEVELS)
def test_devices_and_their_software(
    web: TestClient, files: dict[str, PlainSeries], level: str
) -> None:
    def device(series: PlainSeries) -> Iterable[Keys]:
        maker, model = one(series, "Manufacturer"), one(series, "ManufacturerModelName")
        return [(maker, model, v) for v in series.values("SoftwareVersions") or {None}]

    by = ["Manufacturer", "ManufacturerModelName", "SoftwareVersions"]
    found = asked(web, by=by, measure={"what": level})
    assert len(found) > 3
    assert found == counted(files.items(), device)[level]


def test_hours_and_weekdays_of_every_device(web: TestClient, files: dict[str, PlainSeries]) -> None:
    def busy(series: PlainSeries) -> Iterable[Keys]:
        day, time = study_day(series), one(series, "StudyTime")
        return [(
            one(series, "StationName"),
            day.isoweekday() if day else None,
            int(time[:2]) if time else None,
        )]  # fmt: skip

    by = ["StationName", {"path": "StudyDate", "bin": "weekday"},
          {"path": "StudyTime", "bin": "hour"}]  # fmt: skip
    found = asked(web, by=by, measure={"what": "studies"})
    assert found == counted(files.items(), busy)["studies"]


@pytest.mark.parametrize("keyword", ["BodyPartExamined", "ProtocolName"])
def test_values_of_an_attribute(
    web: TestClient, files: dict[str, PlainSeries], keyword: str
) -> None:
    def values(series: PlainSeries) -> Iterable[Keys]:
        return [(value,) for value in series.values(keyword) or {None}]

    found = asked(web, by=[keyword], where="Modality in ('CT', 'MR')")
    some = [(u, s) for u, s in files.items() if s.values("Modality") & {"CT", "MR"}]
    expected = counted(some, values)["series"]
    ascii_only = {key for key in (*found, *expected) if str(key[0]).isascii()}
    assert len(ascii_only) > 3
    assert {k: found[k] for k in ascii_only} == {k: expected[k] for k in ascii_only}
    assert found.total() == expected.total()


def test_days_until_they_came_in_steps(
    web: TestClient, whole: Lake, files: dict[str, PlainSeries]
) -> None:
    steps = [0, 1, 7, 1000, 2000, 3000, 4000, 5000]
    found = asked(web, by=[{"path": "lag", "bin": "steps", "steps": steps}])
    came = whole.sql("select max(indexed)::date as day from series").to_pylist()[0]["day"]
    expected: Counter[Keys] = Counter()
    for series in files.values():
        day = study_day(series)
        lag = (came - day).days if day else None
        expected[(None if lag is None else max(s for s in steps if s <= lag),)] += 1
    assert len(found) > 1
    assert found == expected
    late = asked(web, by=[{"path": "lag", "bin": "steps", "steps": [9_000_000, 9_000_001]}])
    assert {key[0] for key in late} <= {9_000_000, None}  # the first takes all that is smaller


def test_only_instances_that_are_found_are_counted(
    web: TestClient, files: dict[str, PlainSeries]
) -> None:
    expected: Counter[Keys] = Counter()
    for series in files.values():
        firsts = [o for o in series.objects.values() if str(o.get("InstanceNumber")) == "1"]
        expected[(one(series, "Modality"),)] += len(firsts)
    found = asked(
        web,
        by=["Modality"],
        where="InstanceNumber = 1",
        level="instance",
        measure={"what": "instances"},
    )
    assert found == +expected
    assert found.total() < sum(len(series.objects) for series in files.values())


@pytest.mark.parametrize(
    ("where", "unit"),
    [("StudyDate between '{0}' and '{0}'", "day"), (None, None)],
)
def test_the_step_of_time_fits_the_span(
    web: TestClient, files: dict[str, PlainSeries], where: str | None, unit: str | None
) -> None:
    days = sorted(day for day in map(study_day, files.values()) if day)
    span = (days[-1] - days[0]).days
    by = [{"path": "StudyDate", "bin": "auto"}]
    body = {"by": by, "where": where and where.format(days[0].isoformat())}
    found = web.post("/api/aggregate", json=body).json()
    expected = unit or ("month" if span <= 1900 else "quarter" if span <= 5500 else "year")
    assert found["by"][0] == {"path": "StudyDate", "bin": expected, "type": "date"}
    assert all(row["keys"][0] is None or len(row["keys"][0]) == 10 for row in found["rows"])


def test_arrivals_by_source(web: TestClient, files: dict[str, PlainSeries]) -> None:
    body = {"by": [{"path": "indexed", "bin": "auto"}, "source"]}
    found = web.post("/api/aggregate", json=body).json()
    assert found["by"][0]["bin"] == "day"
    assert sum(row["value"] for row in found["rows"]) == len(files)
    assert {row["keys"][1] for row in found["rows"]} == {"folder"}


def test_fill_rates_by_device(web: TestClient, files: dict[str, PlainSeries]) -> None:
    paths = ["KVP", "EchoTime", "BodyPartExamined", "ProtocolName"]
    found = web.get("/api/fill-rate", params={"by": "StationName", "path": paths}).json()
    told = {row["key"]: (row["series"], row["filled"]) for row in found["rows"]}
    expected: dict[str, tuple[int, list[int]]] = {}
    for station in {one(s, "StationName") for s in files.values()} - {None}:
        mine = [s for s in files.values() if one(s, "StationName") == station]
        filled = [sum(bool(s.values(path)) for s in mine) for path in paths]
        expected[str(station)] = (len(mine), filled)
    assert told == expected
    every = [sum(bool(s.values(path)) for s in files.values()) for path in paths]
    assert found["whole"] == {"key": None, "series": len(files), "filled": every}

    long = {"one_of": {"path": "StationName", "values": [*told, *map(str, range(20_000))]}}
    asked = {"by": "StationName", "path": paths, "where": long}
    same = web.post("/api/fill-rate", json=asked).json()
    assert same["rows"] == found["rows"]


def test_values_that_the_standard_does_not_list(
    web: TestClient, files: dict[str, PlainSeries]
) -> None:
    found = web.post("/api/conformance", json={"where": "not Modality = 'US'"}).json()
    told = {(row["path"], row["value"]): row for row in found["values"]}
    mine = {uid: s for uid, s in files.items() if "US" not in s.values("Modality")}
    expected: dict[tuple[str, str], list[PlainSeries]] = {}
    for listed in LISTED:
        for series in mine.values():
            for value in series.values(listed.keyword) if not listed.position else ():
                if value not in listed.values:
                    expected.setdefault((listed.keyword, value), []).append(series)
    spelt = {key for key in (*told, *expected) if key[1].isascii()}
    assert any(path == "BodyPartExamined" for path, _ in spelt)
    for key in spelt:
        row, series = told[key], expected[key]
        assert row["series"] == len(series), key
        assert row["studies"] == len({s.study for s in series}), key
        assert row["patients"] == len({s.patient for s in series}), key
        assert row["enumerated"] is False
    assert found["checked"]["series"] == len(mine)


def test_problems_of_values(web: TestClient, files: dict[str, PlainSeries]) -> None:
    found = web.post("/api/conformance", json={}).json()
    told = {(row["path"], row["problem"]): row for row in found["problems"]}
    bad: list[PlainSeries] = []
    objects = 0
    for series in files.values():
        raw = [o.get_item("SeriesDate") for o in series.objects.values()]
        sent = [e.value or b"" for e in raw if e is not None]  # read already, or not yet
        texts = [v if isinstance(v, str) else str(v, "latin-1").strip(" \0") for v in sent]
        wrong = [text for text in texts if text and not DATE.fullmatch(text)]
        bad += [series] if wrong else []
        objects += len(wrong)
    row = told["SeriesDate", "not a date"]
    assert (row["series"], row["instances"]) == (len(bad), objects)
    assert row["vr"] == "DA"
    least = web.post("/api/conformance", json={"limit": 1}).json()
    assert (len(least["problems"]), len(least["values"])) == (1, 1)


def test_failures_by_source(web: TestClient) -> None:
    found = web.get("/api/failures").json()
    assert sum(row["objects"] for row in found["sources"]) == found["total"] > 0
    assert {row["source"] for row in found["sources"]} == {"folder"}


@pytest.mark.parametrize(
    "by",
    [
        {"path": "Modality", "bin": "auto"},
        {"path": "Modality", "bin": "steps", "steps": [1]},
        {"path": "KVP", "bin": "steps"},
        {"path": "KVP", "bin": "steps", "steps": [2, 1]},
        {"path": "KVP", "bin": "steps", "steps": list(range(101))},
    ],
)
def test_bins_that_do_not_fit_are_refused(web: TestClient, by: dict[str, Any]) -> None:
    assert web.post("/api/aggregate", json={"by": [by]}).status_code == 422
