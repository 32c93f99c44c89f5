"""Extractions: every match is kept, what belongs together stays so, and order means nothing."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dicomlake
from dicomlake import tables
from dicomlake.contracts import Silent
from dicomlake.errors import LakeError, QuerySyntax, UsageError
from dicomlake.jobs.compact import compact
from dicomlake.jobs.definitions import EACH, SEVERAL, VALUES, Column, Extraction, load
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.extraction import extract, kept, preview, refresh, run, versions
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.lake.store import EXTRACTIONS
from dicomlake.query.attributes import ROWS, fields
from dicomlake.terms import Code
from dicomlake.testing import engines, hospital
from dicomlake.testing.dicom import dataset, encode, image, uid
from dicomlake.testing.histories import DOCUMENTS, FACTS, tell
from dicomlake.testing.histories import rows as told
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital import reports as r
from dicomlake.testing.hospital.codes import dcm, sct, ucum

GROUP = dcm("125007", "Measurement Group")
QT, RR = Code("2:16160", "MDC", "QT interval"), Code("2:16168", "MDC", "RR interval")
LONG = "*.[DCM:103339001]"
MM, MS = ucum("mm"), ucum("ms")

Item = dict[str, Any]


def report(
    name: str, *children: Item, patient: str = "P1", study: str = "1", **more: Any
) -> tuple[str, bytes]:
    """A report of these items, as (file name, bytes)."""
    root = r.container(dcm("126000", "Imaging Measurement Report"), *children)
    tree = {key: value for key, value in root.items() if key != "RelationshipType"}
    said = dataset(
        tree,
        {
            "SOPClassUID": r.COMPREHENSIVE_SR,
            "SOPInstanceUID": uid("report", name),
            "SeriesInstanceUID": uid("report series", name),
            "StudyInstanceUID": uid("study", patient, study),
            "Modality": "SR",
            "PatientID": patient,
            "PatientName": "Madeup^Jane",
            "PatientSex": "F",
            "StudyDate": "20210304",
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "UNVERIFIED",
        },
        more,
    )
    return f"{name}.dcm", encode(said)


def group(*items: Item) -> Item:
    return r.container(GROUP, *items)


def lesion(size: float, site: Code, *more: Item, unit: Code = MM) -> Item:
    return group(
        r.code(c.FINDING, sct("52988006", "Lesion")),
        r.code(c.FINDING_SITE, site, relation="HAS CONCEPT MOD"),
        r.number(c.LONG_AXIS, size, unit),
        *more,
    )


@pytest.fixture
def lake_of(tmp_path: Path) -> Callable[..., Path]:
    """A lake of objects, each as (file name, bytes)."""
    count = 0

    def make(*objects: tuple[str, bytes], one_by_one: bool = False) -> Path:
        nonlocal count
        count += 1
        folder, lake = tmp_path / f"in{count}", tmp_path / f"lake{count}"
        folder.mkdir()
        for name, data in objects:
            (folder / name).write_bytes(data)
            if one_by_one:
                index([folder], lake, workers=1)
        if not one_by_one:
            index([folder], lake, workers=1)
        return lake

    return make


def rows(lake: Path, columns: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    made = {"name": "x", "columns": columns, **more}
    return extract(lake, made, keep=False).to_pylist()  # type: ignore[no-any-return]


def picked(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found]


AXIS = f"*.[{c.LONG_AXIS.scheme}:{c.LONG_AXIS.value}]"
SITE = f"*.[{c.FINDING_SITE.scheme}:{c.FINDING_SITE.value}]"
FINDING = f"*.[{c.FINDING.scheme}:{c.FINDING.value}]"


class TestGroups:
    def test_two_groups_give_two_rows_that_hold_together(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(40, c.LIVER), lesion(12, c.SPLEEN)))
        found = rows(lake, {"what": FINDING, "site": SITE, "long": AXIS})
        assert picked(found, "what", "site", "site_meaning", "long", "long_unit") == [
            ("SCT:52988006", "SCT:10200004", "Liver", 40.0, "mm"),
            ("SCT:52988006", "SCT:78961009", "Spleen", 12.0, "mm"),
        ]
        assert len({row["place"] for row in found}) == 2

    def test_several_values_of_a_group_are_several_rows_of_one_place(self, lake_of: Any) -> None:
        more = (r.number(c.LONG_AXIS, 41, MM), r.number(c.LONG_AXIS, 39, MM))
        lake = lake_of(report("a", lesion(40, c.LIVER, *more)))
        found = rows(lake, {"site": SITE, "long": AXIS, "of": {"path": AXIS, "value": "site"}})
        assert [row["long"] for row in found] == [40, 41, 39]
        assert [row["site"] for row in found] == ["SCT:10200004", None, None]
        assert [row["of"] for row in found] == ["SCT:10200004"] * 3
        assert len({row["place"] for row in found}) == 1

    def test_every_number_of_an_item_is_a_match(self, lake_of: Any) -> None:
        item = r.number(c.LONG_AXIS, 1, ucum("cm"))
        item["MeasuredValueSequence"][0]["NumericValue"] = ["1", "2.5", "4"]
        lake = lake_of(report("a", group(item)))
        assert [row["n"] for row in rows(lake, {"n": AXIS})] == [10, 25, 40]
        zero = r.number(c.LONG_AXIS, 1, ucum("cm"))
        zero["MeasuredValueSequence"][0]["NumericValue"] = ["0", "2.5"]
        lake = lake_of(report("a", group(zero)))
        assert [row["n"] for row in rows(lake, {"n": {"path": AXIS, "unit": "mm"}})] == [0, 25]

    def test_context_of_the_very_item_goes_with_its_value(self, lake_of: Any) -> None:
        """Sites below the numbers: the second number has one, the first has none."""
        sited = r.number(c.LONG_AXIS, 2, MM, r.code(c.FINDING_SITE, c.SPLEEN,
                         relation="HAS CONCEPT MOD"))  # fmt: skip
        lake = lake_of(report("a", group(r.number(c.LONG_AXIS, 1, MM), sited)))
        found = rows(lake, {"n": AXIS, "site": {"path": AXIS, "value": "site"}})
        assert picked(found, "n", "site") == [(1, None), (2, "SCT:78961009")]


class TestWhere:
    def test_the_liver_and_not_the_spleen(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(12, c.SPLEEN), lesion(40, c.LIVER)))
        for where in (f"{SITE} within SCT:10200004", "item.site within SCT:10200004"):
            found = rows(lake, {"liver": {"path": AXIS, "where": where, "unit": "mm"}})
            assert [row["liver"] for row in found] == [40]

    def test_the_nearest_site_counts(self, lake_of: Any) -> None:
        own = r.number(c.LONG_AXIS, 7, MM, r.code(c.FINDING_SITE, c.SPLEEN,
                       relation="HAS CONCEPT MOD"))  # fmt: skip
        lake = lake_of(report("a", lesion(40, c.LIVER, own)))
        where = "item.site within SCT:10200004"
        assert [x["n"] for x in rows(lake, {"n": {"path": AXIS, "where": where}})] == [40]

    def test_not_and_or(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(12, c.SPLEEN), lesion(40, c.LIVER), lesion(5, c.LUNG)))
        where = "not (item.site within SCT:10200004 or item.site within SCT:78961009)"
        assert [x["n"] for x in rows(lake, {"n": {"path": AXIS, "where": where}})] == [5]

    def test_the_whole_extraction(self, lake_of: Any) -> None:
        lake = lake_of(
            report("a", lesion(40, c.LIVER)),
            report("b", r.text(dcm("121071", "Finding"), "nothing"), patient="P2"),
            report("c", lesion(9, c.LIVER), patient="P3", PatientSex="M"),
        )
        found = rows(lake, {"n": AXIS}, each="patient", where="PatientSex = 'F'")
        assert picked(found, "PatientID", "n") == [("P1", 40), ("P2", None)]
        found = rows(lake, {"n": AXIS}, each="patient")
        assert picked(found, "PatientID", "n") == [("P1", 40), ("P3", 9)]
        counts = {"n": {"path": AXIS, "several": "count"}}
        found = rows(lake, counts, each="patient", where="PatientSex exists")
        assert picked(found, "PatientID", "n") == [("P1", 1), ("P2", 0), ("P3", 1)]


class TestUnits:
    def test_numbers_come_in_the_unit_that_is_wanted(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(4, c.LIVER, unit=ucum("cm")), lesion(40, c.LIVER),
                              lesion(3, c.LIVER, unit=ucum("mL"))))  # fmt: skip
        found = rows(lake, {"n": {"path": AXIS, "unit": "cm"}})
        assert [row["n"] for row in found] == [4, 4, None]
        (hits,) = preview(lake, {"name": "x", "columns": {"n": {"path": AXIS, "unit": "cm"}}})
        assert hits.units == {"cm": 1, "mL": 1, "mm": 1}
        assert hits.unfit == 1
        wrong = {"n": {"path": AXIS, "value": "code"}}
        assert preview(lake, {"name": "x", "columns": wrong})[0].unfit == 3
        found = rows(lake, {"n": AXIS})
        assert picked(found, "n", "n_unit") == [(40, "mm"), (40, "mm"), (3, "mL")]

    def test_braces_only_explain(self, lake_of: Any) -> None:
        item = r.number(Code("8867-4", "LN", "Heart rate"), 61, ucum("{beat}/min"))
        lake = lake_of(report("a", item))
        assert rows(lake, {"hr": {"path": "*.[LN:8867-4]", "unit": "/min"}})[0]["hr"] == 61

    def test_numbers_of_several_kinds_are_not_compared(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(4, c.LIVER), lesion(3, c.LIVER, unit=ucum("mL"))))
        for several in ("smallest", "largest", "mean"):
            assert rows(lake, {"n": {"path": AXIS, "several": several}})[0]["n"] is None
        found = rows(lake, {"n": {"path": AXIS, "several": "largest", "unit": "mm"}})
        assert found[0]["n"] == 4


class TestSeveral:
    @pytest.fixture
    def lake(self, lake_of: Any) -> Path:
        lake: Path = lake_of(
            report("new", lesion(30, c.LIVER), study="2", StudyDate="20230101"),
            report("old", lesion(10, c.SPLEEN), lesion(20, c.LIVER), StudyDate="20200101"),
            report("undated", lesion(99, c.LIVER), study="3", StudyDate=...),
        )
        return lake

    @pytest.mark.parametrize(
        ("several", "value"),
        [("list", [99, 10, 20, 30]), ("first", 10), ("last", 30), ("smallest", 10),
         ("largest", 99), ("mean", 39.75), ("count", 4)],
    )  # fmt: skip
    def test_what_becomes_of_several(self, lake: Path, several: str, value: Any) -> None:
        (found,) = rows(lake, {"n": {"path": AXIS, "several": several}}, each="patient")
        assert found["n"] == value
        assert (found["SOPInstanceUID"], found["place"]) == (None, None)

    def test_codes_and_meanings_stay_pairs(self, lake: Path) -> None:
        (found,) = rows(lake, {"s": {"path": SITE, "several": "list"}}, each="patient")
        assert found["s_meaning"] == ["Liver", "Spleen", "Liver", "Liver"]
        assert found["s"][1] == "SCT:78961009"
        assert len(found["s"]) == 4
        (found,) = rows(lake, {"s": {"path": SITE, "several": "first"}}, each="patient")
        assert (found["s"], found["s_meaning"]) == ("SCT:78961009", "Spleen")

    def test_rows_of_two_reports_of_a_study_stay_apart(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(1, c.LIVER)), report("b", lesion(2, c.LIVER)))
        found = rows(lake, {"site": SITE, "n": AXIS})
        assert sorted(picked(found, "n", "site")) == [(1, "SCT:10200004"), (2, "SCT:10200004")]
        assert len({row["SOPInstanceUID"] for row in found}) == 2
        assert len({row["StudyInstanceUID"] for row in found}) == 1


class TestValues:
    def test_forms_of_a_value(self, lake_of: Any) -> None:
        when = r.moment(dcm("111526", "DateTime Started"), "20210304101500")
        lake = lake_of(report("a", lesion(40.5, c.LIVER, when)))
        found = rows(
            lake,
            {
                "code": {"path": SITE, "value": "code"},
                "meaning": {"path": SITE, "value": "meaning"},
                "text": {"path": SITE, "value": "text"},
                "number": {"path": SITE, "value": "number"},
                "written": {"path": AXIS, "value": "text"},
                "date": {"path": "*.[DCM:111526]"},
                "nothing": {"path": AXIS, "value": "date"},
            },
        )[0]
        assert (found["code"], found["code_meaning"]) == ("SCT:10200004", "Liver")
        assert (found["meaning"], found["text"]) == ("Liver", "SCT:10200004")
        assert (found["number"], found["written"]) == (None, "40.5")
        assert found["date"].isoformat() == "2021-03-04T10:15:00+00:00"
        assert found["nothing"] is None

    def test_headers(self, lake_of: Any) -> None:
        def slice_of(n: int, **more: Any) -> tuple[str, bytes]:
            about = {"SOPInstanceUID": uid("slice", n), "InstanceNumber": n, **more}
            return f"{n}.dcm", encode(image(**about))

        lake = lake_of(
            slice_of(1, EchoTime=10, ProcedureCodeSequence=[Code("T-62000", "SRT", "Liver")]),
            slice_of(2, EchoTime=20.5, StudyDate="20210304"),
            *[slice_of(n, EchoTime=10, SliceLocation=float(n)) for n in range(3, 33)],
        )
        found = rows(
            lake,
            {
                "sex": "PatientSex",
                "te": "EchoTime",
                "code": "ProcedureCodeSequence",
                "low": {"path": "SliceLocation", "several": "smallest"},
                "high": {"path": "SliceLocation", "several": "largest"},
                "day": "StudyDate",
                "born": "PatientBirthDate",
                "type": "ImageType",
            },
        )
        (row,) = found
        assert (row["sex"], row["te"]) == ("F", [10, 20.5])
        assert (row["code"], row["code_meaning"]) == ("SCT:10200004", "Liver")
        assert (row["low"], row["high"]) == (0, 32)
        assert str(row["day"]) == "2021-03-04"
        assert str(row["born"]) == "1960-01-02"
        assert row["type"] == ["ORIGINAL", "PRIMARY", "AXIAL"]


class TestEach:
    def test_patients_studies_and_series(self, lake_of: Any) -> None:
        lake = lake_of(
            report("a", lesion(1, c.LIVER)),
            report("b", lesion(2, c.LIVER)),
            report("c", lesion(3, c.LIVER), study="2"),
        )
        count = {"n": {"path": AXIS, "several": "count"}}
        assert picked(rows(lake, count, each="patient"), "n") == [(3,)]
        assert sorted(picked(rows(lake, count, each="study"), "n")) == [(1,), (2,)]
        assert picked(rows(lake, count, each="series"), "n") == [(1,), (1,), (1,)]

    def test_equal_ids_of_two_issuers_are_two_patients(self, lake_of: Any) -> None:
        lake = lake_of(
            report("a", lesion(1, c.LIVER), IssuerOfPatientID="A"),
            report("b", lesion(2, c.LIVER), study="2", IssuerOfPatientID="B"),
        )
        found = rows(lake, {"n": {"path": AXIS, "several": "list"}}, each="patient")
        assert picked(found, "PatientID", "IssuerOfPatientID", "n") == [
            ("P1", "A", [1]), ("P1", "B", [2])]  # fmt: skip


MIXED: dict[str, Any] = {
    "site": SITE,
    "long": {"path": AXIS, "unit": "mm"},
    "drawn": "segment.type",
    "label": "segment.label",
    "lead": "channel.lead",
    "qt": {"path": "*.[MDC:2:16160]", "unit": "ms"},
    "DLP": {"path": "event.DLP", "unit": "mGy.cm"},
    "total": "total.DLP",
    "sex": "PatientSex",
    "all": {"path": AXIS, "several": "list"},
    "mean": {"path": AXIS, "several": "mean"},
    "last": {"path": SITE, "several": "last"},
}


@pytest.fixture(scope="module")
def hospital_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("extraction")
    hospital.write(place / "archive", 8)
    index([place / "archive"], place / "lake", workers=1)
    store = Store(place / "lake")
    somebody = store.read("series", ["PatientID"]).column(0)[0].as_py()
    for name, said in (("clinical_events", FACTS), ("documents", DOCUMENTS)):
        theirs = [{**row, "PatientID": somebody} for row in said]
        store.append(name, told(store, name, theirs))
    store.touch("told")
    return place / "lake"


@pytest.fixture(scope="module")
def told_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("facts")
    index([engines.write(place / "objects")], place / "lake", workers=1)
    tell(Store(place / "lake"))
    return place / "lake"


class TestFacts:
    """Facts and documents come once for each patient, study or series that they belong to."""

    def test_of_patients(self, told_lake: Path) -> None:
        columns = {
            "mean": {"path": "fact.quantity", "unit": "g", "several": "mean"},
            "sugar": {"path": "fact.quantity", "where": "fact.code within LN:15074-8",
                      "several": "last", "unit": "mmol/L"},
            "first": {"path": "fact.kind", "several": "first"},
            "many": {"path": "fact.code", "several": "count"},
            "title": {"path": "document.title", "several": "last"},
        }  # fmt: skip
        found = rows(told_lake, columns, each="patient")
        assert picked(found, "PatientID", "sugar", "first", "many", "title") == [
            ("P1", 6.1, "observation", 3, "MR-Befund"),
            ("P2", None, "observation", 4, "CT report"),
            ("P3", None, "condition", 2, None),
        ]

    def test_of_studies(self, told_lake: Path) -> None:
        column = {"path": "fact.code", "value": "code", "several": "list"}
        found = rows(told_lake, {"code": column}, each="study")
        days = [str(row["StudyDate"]) for row in found]
        said = {day: sorted(row["code"]) for day, row in zip(days, found, strict=True)}
        assert said["2021-06-01"] == ["ATC:C09AA05", "I10GM:C34.1", "LN:8867-4"]
        assert said["2021-06-20"] == ["ATC:C09AA05", "CCAM:JGFA006", "I10GM:C34.1"]
        assert said["2020-01-10"] == ["LN:15074-8", "LN:15074-8", "SCT:90470006"]


class TestHospital:
    def test_all_kinds_of_rows_in_one_extraction(self, hospital_lake: Path) -> None:
        found = extract(hospital_lake, {"name": "m", "columns": MIXED}, keep=False)
        store = Store(hospital_lake)
        with store.database() as db:
            counts = dict(
                db.execute(
                    "select 'drawn', count(*) from segments where type is not null "
                    "union all select 'lead', count(*) from waveforms where lead is not null "
                    "union all select 'DLP', count(*) from dose_events where counted and DLP > 0 "
                    "union all select 'total', count(*) from dose_totals where DLP > 0 "
                    "union all select 'site', count(*) from items "
                    f"where concept = '{c.FINDING_SITE.scheme}:{c.FINDING_SITE.value}'"
                ).fetchall()
            )
            every = db.execute("select count(DLP) from dose_events").fetchall()[0][0]
        assert all(counts.values())
        assert every > counts["DLP"] - 1
        for name, count in counts.items():
            there = found.column(name)
            assert len(there) - there.null_count == count, name
        for row in found.to_pylist():  # a label belongs to its segment
            assert (row["drawn"] is None) >= (row["label"] is None)

    def test_rows_are_what_a_loop_over_the_items_finds(self, hospital_lake: Path) -> None:
        series = Store(hospital_lake).read("series").to_pylist()
        studies = {row["series_id"]: row["StudyInstanceUID"] for row in series}
        groups: dict[tuple[str, str, int], dict[str, list[Any]]] = {}
        items = Store(hospital_lake).read("items").to_pylist()
        for row in sorted(items, key=lambda row: row["item"]):
            what = {AXIS: "long", SITE: "site"}.get(f"*.[{row['concept']}]")
            if what and (row["number"] is not None or row["code"]):
                key = studies[row["series_id"]], row["SOPInstanceUID"], row["parent"]
                said = row["code"] or row["quantity"]
                groups.setdefault(key, {"site": [], "long": []})[what].append(said)
        expected = [
            (study, uid, f"item {parent}", site, long)
            for (study, uid, parent), said in groups.items()
            for site, long in itertools.zip_longest(said["site"], said["long"])
        ]
        found = rows(hospital_lake, {"site": SITE, "long": {"path": AXIS, "unit": "mm"}})
        names = ("StudyInstanceUID", "SOPInstanceUID", "place", "site", "long")
        assert sorted(map(str, picked(found, *names))) == sorted(map(str, expected))
        assert len(expected) > 5

    def test_every_field_in_every_way(self, hospital_lake: Path) -> None:
        chance = random.Random(3)
        columns: dict[str, Any] = {}
        headers = ["StudyTime", "SeriesDate", "EchoTime", "ImageType", "PixelSpacing", "PatientAge",
                   "ProcedureCodeSequence", "RequestAttributesSequence", "(0019,0010)", "*.[]",
                   "*.CodeValue", "[DCM:126000].**.[DCM:125007]"]  # fmt: skip
        paths = [about.path for root in ROWS for about in fields(root).values()] + headers
        for path in paths:
            ways = {"value": chance.choice(VALUES), "several": chance.choice(SEVERAL)}
            try:
                load({"name": "f", "columns": {"x": {"path": path, **ways}}})
            except UsageError:
                ways = {}
            columns[f"x{len(columns)}"] = {"path": path, **ways}
        for start in range(0, len(columns), 40):
            some = dict(list(columns.items())[start : start + 40])
            assert rows(hospital_lake, some, each=chance.choice(list(EACH)))

    def test_filters_of_x_rays_have_the_code_of_their_material(self, hospital_lake: Path) -> None:
        lake = dicomlake.open(hospital_lake)
        events = lake.table("dose_events", ["filters"]).column(0).to_pylist()
        materials = {f["material"] for listed in events for f in listed or () if f["material"]}
        for material in materials:
            found = lake.query(f"event.filters within {material}", show=["event.filters"])
            assert all(material in row["event.filters"] for row in found)
            assert len(found) > 0

    def test_lists_may_be_long(self, hospital_lake: Path) -> None:
        many = ", ".join(f"'{n}'" for n in range(15_000))
        wanted = {"x": {"path": FINDING, "where": f"item.value_type in ({many}, 'CODE')"}}
        found = rows(hospital_lake, wanted, where=f"PatientSex in ('F', 'M', {many})")
        assert [row for row in found if row["x"]]
        with pytest.raises(UsageError, match="more than 200,000 characters"):
            load(f"name: a\nwhere: PatientID in ({many}, {many})\ncolumns: {{s: PatientSex}}\n")

    def test_computing_again_gives_the_same_bytes(self, hospital_lake: Path) -> None:
        made = {"name": "m", "columns": MIXED}
        first, second = (extract(hospital_lake, made, keep=False) for _ in range(2))
        assert first.schema == second.schema
        assert _bytes(first) == _bytes(second)

    def test_a_column_added_later_changes_no_other(self, hospital_lake: Path) -> None:
        few = {name: MIXED[name] for name in ("site", "long", "sex", "all")}
        before = rows(hospital_lake, few)
        after = rows(hospital_lake, MIXED)
        names = ("StudyInstanceUID", "place", "site", "long")
        said = [p for p in picked(after, *names) if p[2:] != (None, None)]
        assert said == [p for p in picked(before, *names) if p[2:] != (None, None)]
        per = ("StudyInstanceUID", "sex", "all")
        assert {str(p) for p in picked(before, *per)} <= {str(p) for p in picked(after, *per)}

    def test_nothing_that_has_a_name_is_shown(self, hospital_lake: Path) -> None:
        columns = {
            "who": "PatientName",
            "observer": "*.[DCM:121008]",
            "by": "item.observer",
            "id": "PatientID",
            "drawer": "segment.creator",
            "words": "item.text",
        }
        found = preview(hospital_lake, {"name": "p", "columns": columns})
        shown = {hits.column: hits.examples for hits in found}
        assert shown["who"] == shown["observer"] == ("(names)",)
        assert shown["id"] == ("(identifiers)",)
        assert {*shown["by"], *shown["drawer"]} <= {"(names)"}
        names = Store(hospital_lake).read("items").filter(
            pa.compute.field("value_type") == "PNAME").column("text").to_pylist()  # fmt: skip
        assert names
        assert not {*names} & {e for examples in shown.values() for e in examples}

    def test_a_sample_is_the_same_every_time(self, hospital_lake: Path) -> None:
        made = {"name": "m", "columns": MIXED}
        whole = preview(hospital_lake, made)
        some, again = (preview(hospital_lake, made, sample=5) for _ in range(2))
        assert some == again
        assert (some.looked, some.sampled, whole.sampled) == (5, True, False)
        assert some.series == whole.series == whole.looked
        assert 0 < sum(h.documents for h in some) < sum(h.documents for h in whole)
        assert preview(hospital_lake, made, sample=10**9) == whole

    def test_order_of_indexing_means_nothing(self, tmp_path: Path) -> None:
        objects = [
            report(f"{n}", lesion(n, c.LIVER), lesion(n / 2, c.SPLEEN), patient=f"P{n % 3}",
                   study=f"{n % 2}", PatientSex="FM"[n % 2]) for n in range(4)
        ]  # fmt: skip
        made = {"name": "m", "each": "patient",
                "columns": {**MIXED, "first": {"path": AXIS, "several": "first"}}}  # fmt: skip
        found = []
        for seed in (1, 2):
            random.Random(seed).shuffle(objects)
            folder, lake = tmp_path / f"in{seed}", tmp_path / f"lake{seed}"
            folder.mkdir()
            for name, data in objects:
                (folder / name).write_bytes(data)
                index([folder], lake, workers=1)
            found.append(extract(lake, made, keep=False))
        assert found[0].num_rows == 8
        assert _bytes(found[0]) == _bytes(found[1])

    def test_meanings_mean_nothing(self, lake_of: Any) -> None:
        def made(words: str) -> Path:
            odd = [Code(x.value, x.scheme, words or x.meaning) for x in (c.LIVER, c.SPLEEN)]
            group = Code("125007", "DCM", words or "Measurement Group")
            items = [r.container(group, r.code(Code(c.FINDING_SITE.value, c.FINDING_SITE.scheme,
                                                    words or "Finding Site"), site),
                                 r.number(c.LONG_AXIS, 5, MM)) for site in odd]  # fmt: skip
            lake: Path = lake_of(report("a", *items))
            return lake

        columns = {"site": SITE, "long": AXIS, "all": {"path": SITE, "several": "list"}}
        plain, odd = (rows(made(words), columns) for words in ("", "Banana"))
        for row in (*plain, *odd):
            del row["site_meaning"], row["all_meaning"]
        assert plain == odd
        assert plain[1]["all"] == ["SCT:10200004", "SCT:78961009"]


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


class TestCorpus:
    def test_the_two_paths_of_an_ecg_report(self, corpus_files: list[Path], tmp_path: Path) -> None:
        (file,) = [f for f in corpus_files if f.name == "example_ecg_sr.dcm"]
        index([file], tmp_path / "lake", workers=1)
        ecg = "[DCM:122158]"
        found = rows(
            tmp_path / "lake",
            {
                "smoker": "[LN:11524-0].[LN:11329-0].[LN:29762-2].[SCT:365981007]",
                "qt": {"path": f"*.{ecg}.[MDC:2:16160]", "unit": "ms"},
                "rr": {"path": f"*.{ecg}.[MDC:2:16168]", "unit": "s"},
                "pr": f"*.{ecg}.[MDC:2:15872]",
                "qrs": "*.[MDC:2:16156]",
            },
        )
        numbers, smoking = found
        names = ("qt", "rr", "pr", "pr_unit", "qrs")
        assert picked([numbers], *names) == [(400, 0.8, 140, "ms", 100)]
        assert smoking["smoker"] == "SCT:77176002"
        assert numbers["SOPInstanceUID"] == smoking["SOPInstanceUID"]

    def test_paths_of_all_reports_can_be_extracted(
        self, corpus_files: list[Path], tmp_path: Path
    ) -> None:
        """As many values as there are items, for every concept of every report."""
        files = [f for f in corpus_files if "SR" in f.name or "sr" in f.name][:80]
        index(files, tmp_path / "lake", workers=1)
        store = Store(tmp_path / "lake")
        with store.database() as db:
            concepts = db.execute(
                "select concept, count(*), count(code) from items where concept is not null and "
                "(number is not null or code is not null) and numbers is null "
                "group by 1 order by 2 desc, 1 limit 60"
            ).fetchall()
        columns = {f"c{n}": f"*.[{concept}]" for n, (concept, _, _) in enumerate(concepts)}
        found = {h.column: h for h in preview(store, {"name": "x", "columns": columns})}
        for n, (concept, count, _) in enumerate(concepts):
            assert found[f"c{n}"].values >= count, concept
        assert len(concepts) > 20


class TestDefinitions:
    def test_round_trip(self) -> None:
        text = f"""
        name: ecg
        each: patient
        where: PatientSex = 'F'
        columns:
          qt: {{path: "*.[MDC:2:16160]", unit: ms, several: largest}}
          site: {{path: "{SITE}", value: code, where: "item.number > 3"}}
          sex: PatientSex
          no: {{path: PatientAge, unit: , value: text}}
        """
        made = load(text)
        assert made.columns[0] == Column("qt", "*.[MDC:2:16160]", "ms", several="largest")
        assert made.columns[3].name == "no"
        assert load(made.plain()) == made == load(made)
        assert load(made.plain()).version == made.version
        assert isinstance(made, Extraction)
        other = load({**made.plain(), "each": "study"})
        assert other.version != made.version

    def test_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "a.yaml"
        file.write_text("\ufeffname: a\ncolumns: {sex: PatientSex}\n", encoding="utf-8")
        assert load(file) == load(str(file)) == load("{name: a, columns: {sex: PatientSex}}")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("name: [\n", "no YAML as it should be"),
            ("name: a\x00b\n", "no YAML"),
            ("- 1\n- 2\n", "A definition has name, each and columns"),
            ("\n", "A definition has name, each and columns"),
            ("nothing.yaml", "cannot be read as a YAML file"),
            ("a\0b", "cannot be read as a YAML file"),
            ("/", "cannot be read as a YAML file"),
            ("{name: a, colums: {}}", "Did you mean columns?"),
            ("{name: ../a, columns: {s: PatientSex}}", "needs a name of letters"),
            ("{name: [a], columns: {s: PatientSex}}", "needs a name of letters"),
            ("{name: a b, columns: {s: PatientSex}}", "needs a name of letters"),
            ("{name: a, each: house, columns: {s: PatientSex}}", "each is one of patient, study"),
            ("{name: a, each: [study], columns: {s: PatientSex}}", "each needs text, not a list"),
            ("{name: a}", "needs columns"),
            ("{name: a, columns: [PatientSex]}", "needs columns"),
            ("{name: a, columns: {s: PatientSx}}", "Did you mean PatientSex?"),
            ("{name: a, columns: {s: segment.typ}}", "Did you mean segment.type?"),
            ("{name: a, columns: {s: segment}}", "name a column, such as segment."),
            ("{name: a, columns: {s: anatomy}}", "anatomy is in several places"),
            ("{name: a, columns: {s: PixelData}}", "holds bytes"),
            ("{name: a, columns: {s: }}", "needs a path"),
            ("{name: a, columns: {s: {unit: mm}}}", "needs a path"),
            ("{name: a, columns: {s: {path: PatientSex, unti: mm}}}", "Did you mean unit?"),
            ("{name: a, columns: {s: {path: PatientSex, unit: mm}}}", "for what is inside"),
            ("{name: a, columns: {s: {path: segment.volume, unit: mm}}}", "mL, which is no mm"),
            ("{name: a, columns: {s: {path: segment.label, unit: mm}}}", "holds no numbers"),
            ("{name: a, columns: {s: {path: segment.volume, unit: lots}}}", "is no quantity"),
            ("{name: a, columns: {s: {path: segment.volume, value: big}}}", "value is one of"),
            ("{name: a, columns: {s: {path: segment.volume, several: big}}}", "several is one of"),
            ("{name: a, columns: {s: {path: segment.volume, value: [big]}}}", "not a list"),
            ("{name: a, columns: {s: {path: segment.label, value: text, several: mean}}}", "mean"),
            ("{name: a, columns: {s: {path: segment.volume, value: site}}}", "items of reports"),
            ("{name: a, columns: {s: {path: segment.volume, where: item.site exists}}}",
             "about the same segment"),
            ("{name: a, columns: {s: {path: item.site, where: \"Modality = 'CT'\"}}}",
             "about the same item"),
            ("{name: a, columns: {s: {path: segment.label, where: segment.label =}}}", "Column s"),
            ("{name: a, columns: {s: {path: item.site, where: anatomy exists}}}", "same item"),
            ("{name: a, where: Modalty exists, columns: {s: PatientSex}}", "Did you mean Modality"),
            ("{name: a, columns: {PatientID: PatientSex}}", "Rename PatientID"),
            ("{name: a, columns: {patientid: PatientSex}}", "Rename patientid"),
            ("{name: a, columns: {place: PatientSex}}", "Rename place"),
            ("{name: a, columns: {a-b: PatientSex}}", "no name of a column"),
            ("{name: a, columns: {s: PatientSex, s: PatientAge}}", "is there twice"),
            ("{name: a, columns: {s: PatientSex, S: PatientAge}}", "Rename one"),
            ("{name: a, columns: {qt: '*.[MDC:2:1]', qt_unit: '*.[MDC:2:2]'}}", "a column qt_unit"),
            ("{name: a, columns: {q_meaning: PatientSex, q: '*.[MDC:2:2]'}}", "column q_meaning"),
            ("{name: &x a, columns: {s: *x}}", "leave out anchors and aliases"),
            ("[" * 5000 + "\n", "no YAML|nests too deeply"),
            ("name: a\ncolumns: {s: PatientSex}\n#" + "x" * 300_000, "more than 200,000"),
            ("name: a\ncolumns: !!python/object/apply:os.system [true]\n", "needs columns"),
        ],
    )  # fmt: skip
    def test_mistakes_get_one_sentence(self, text: str, said: str) -> None:
        with pytest.raises(UsageError, match=said.replace("?", r"\?")) as wrong:
            load(text)
        assert "\n" not in str(wrong.value) or isinstance(wrong.value, QuerySyntax)
        assert len(str(wrong.value)) < 1000

    def test_a_bomb_of_aliases_is_refused_at_once(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
        began = time.monotonic()
        with pytest.raises(UsageError, match="anchors and aliases"):
            load("\n".join([*lines, "name: *a11"]))
        assert time.monotonic() - began < 20

    def test_other_mistakes(self) -> None:
        many = {f"c{n}": "PatientSex" for n in range(301)}
        with pytest.raises(UsageError, match="300 columns at most"):
            load({"name": "a", "columns": many})
        with pytest.raises(UsageError, match="not a mapping"):
            load({"name": "a", "each": {}, "columns": {"s": "PatientSex"}})
        for wrong in (None, 3, [1], {"name": "a", "columns": {3: "PatientSex"}}):
            with pytest.raises(UsageError):
                load(wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "path",
        ["*.[DCM:1'; drop table items; --]", "*.[99'A:c'd]", '(0019,"O\'NEILL ""X""",0C)'],
    )
    def test_quotes_are_only_text(self, hospital_lake: Path, path: str) -> None:
        assert rows(hospital_lake, {"x": {"path": path}}, where="PatientID = 'O''Neill'") == []
        where = "item.text = 'it''s; \"--'"
        assert rows(hospital_lake, {"x": {"path": "item.text", "where": where}}) == []

    def test_units_with_quotes_are_only_text(self, lake_of: Any) -> None:
        lake = lake_of(report("a", lesion(1, c.LIVER, unit=Code("mm' or '1", "UCUM", "x")),
                              lesion(2, c.LIVER, unit=Code("''x", "UCUM", "'"))))  # fmt: skip
        found = rows(lake, {"n": AXIS, "m": {"path": AXIS, "unit": "mm"}})
        assert picked(found, "n", "m") == [(1, None), (2, None)]


SIZES: dict[str, Any] = {"name": "sizes", "columns": {"long": {"path": AXIS, "unit": "mm"}}}


class TestVersions:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / "in").mkdir()
        self.add(tmp_path, "a", 40)
        return tmp_path

    def add(self, place: Path, name: str, size: float) -> None:
        file, data = report(name, lesion(size, c.LIVER))
        (place / "in" / file).write_bytes(data)
        index([place / "in"], place / "lake", workers=1)

    def test_runs_are_versions_and_older_ones_stay(self, place: Path) -> None:
        lake = place / "lake"
        first, before = run(lake, SIZES)
        assert (first.version, first.rows, first.lake_version) == (0, 1, Store(lake).version)
        assert first.definition == load(SIZES)
        self.add(place, "b", 7)
        second, after = refresh(lake, "sizes")
        assert (second.version, second.rows) == (1, 2)
        assert second.lake_version > first.lake_version
        assert kept(lake, "sizes").equals(after)
        assert kept(lake, "sizes", 0).equals(before)
        assert versions(lake) == versions(lake, "sizes") == [second, first]

    def test_the_same_again_is_no_new_version(self, place: Path) -> None:
        lake = place / "lake"
        first, _ = run(lake, SIZES)
        assert run(lake, SIZES)[0] == first == refresh(lake, "sizes")[0]
        columns = {**SIZES["columns"], "sex": "PatientSex"}
        assert run(lake, {**SIZES, "columns": columns})[0].version == 1

    def test_another_definition_brings_other_columns(self, place: Path) -> None:
        lake = place / "lake"
        run(lake, SIZES)
        run(lake, {"name": "sizes", "columns": {"site": SITE, "sex": "PatientSex"}})
        assert kept(lake, "sizes").column_names[5:] == ["site", "site_meaning", "sex"]
        assert kept(lake, "sizes", 0).column_names[5:] == ["long"]
        assert [v.definition_version for v in versions(lake)] != [load(SIZES).version] * 2
        made, _ = refresh(lake, "sizes")
        assert [column.name for column in made.definition.columns] == ["site", "sex"]

    def test_what_is_gone_from_the_lake_is_gone_after_refresh(self, place: Path) -> None:
        lake = place / "lake"
        self.add(place, "b", 7)
        run(lake, SIZES)
        (place / "in" / "a.dcm").unlink()
        index([place / "in"], lake, workers=1, prune=True)
        assert refresh(lake, "sizes")[1].column("long").to_pylist() == [7]
        (place / "in" / "b.dcm").rename(place / "in" / "b.txt")
        (place / "in" / "b.txt").write_text("no DICOM")
        index([place / "in"], lake, workers=1, prune=True)
        made, found = refresh(lake, "sizes")
        assert (made.rows, found.num_rows) == (0, 0)
        assert kept(lake, "sizes").num_rows == 0
        assert kept(lake, "sizes", 0).num_rows == 2

    def test_nobody_else_may_be_writing(self, place: Path) -> None:
        store = Store(place / "lake")
        with store.lock(), pytest.raises(LakeError, match="Another process is writing"):
            run(place / "lake", SIZES)
        assert extract(place / "lake", SIZES, keep=False).num_rows == 1

    def test_killed_while_writing_leaves_the_old_version(self, place: Path) -> None:
        lake = place / "lake"
        _, before = run(lake, SIZES)
        self.add(place, "b", 7)
        script = (
            "import os, sys\nfrom dicomlake.lake import results\n"
            "real = results.write_deltalake\n"
            "def killed(folder, rows, **more):\n"
            "    open(folder + '/part-half.parquet', 'wb').write(b'PAR1 half')\n"
            "    os._exit(9)\n"
            "results.write_deltalake = killed\n"
            "from dicomlake.jobs.extraction import refresh\n"
            f"refresh({str(lake)!r}, 'sizes')\n"
        )
        done = subprocess.run([sys.executable, "-c", script], check=False)
        assert done.returncode == 9
        assert kept(lake, "sizes").equals(before)
        (lake / EXTRACTIONS / "never").mkdir()  # killed before its first version
        assert [v.name for v in versions(lake)] == ["sizes"]
        compact(lake, vacuum_hours=0)
        assert not (lake / EXTRACTIONS / "never").exists()
        assert not (lake / EXTRACTIONS / "sizes" / "part-half.parquet").exists()
        assert kept(lake, "sizes").equals(before)
        assert refresh(lake, "sizes")[0].version > 0

    def test_doctor_and_compact_do_not_mind(self, place: Path) -> None:
        lake = place / "lake"
        run(lake, SIZES)
        self.add(place, "b", 7)
        _, newest = run(lake, SIZES)
        assert [f for f in examine(lake) if f.level == "error"] == []
        compact(lake)
        assert kept(lake, "sizes", 0).num_rows == 1
        compact(lake, vacuum_hours=0)
        assert kept(lake, "sizes").equals(newest)
        with pytest.raises(LakeError, match="compact removed it"):
            kept(lake, "sizes", 0)
        assert [f for f in examine(lake) if f.level == "error"] == []
        assert index([place / "in"], lake, workers=1).counts["unchanged"] == 2

    def test_wrong_names_are_named(self, place: Path) -> None:
        lake = place / "lake"
        with pytest.raises(UsageError, match="There is none yet"):
            kept(lake, "sizes")
        run(lake, SIZES)
        for name in ("size", "../series", "", "sizes/_delta_log"):
            with pytest.raises(UsageError, match="There are: sizes"):
                kept(lake, name)
            with pytest.raises(UsageError, match="There are: sizes"):
                versions(lake, name)
        with pytest.raises(UsageError, match="no version 7; the newest is 0"):
            kept(lake, "sizes", 7)
        with pytest.raises(UsageError, match="already"):
            run(lake, {**SIZES, "name": "SIZES"})

    def test_it_can_be_stopped(self, place: Path) -> None:
        class Stop(Silent):
            @property
            def cancelled(self) -> bool:
                return True

        with pytest.raises(KeyboardInterrupt):
            run(place / "lake", SIZES, progress=Stop())
        assert versions(place / "lake") == []


def test_a_million_items_take_seconds(tmp_path: Path) -> None:
    """Rows written down without DICOM: 2,000 series with 500 items each."""
    store = Store.create(tmp_path / "lake")
    series, groups = 2_000, 100
    kinds = ("container", "MDC:2:16160", "MDC:2:16168", "SCT:363698007", "DCM:121071")
    per = groups * len(kinds)
    total = series * per
    number = pa.array(range(total))
    at = pa.compute
    within = at.subtract(number, at.multiply(at.divide(number, per), per))
    slot = at.subtract(within, at.multiply(at.divide(within, len(kinds)), len(kinds)))
    ids = at.add(at.divide(number, per), 1)
    item = at.cast(at.add(within, 1), pa.int32())
    parent = at.if_else(at.equal(slot, 0), None, at.cast(at.subtract(item, slot), pa.int32()))
    concept = at.take(pa.array(kinds), slot)
    numeric = at.is_in(slot, pa.array([1, 2]))
    made: dict[str, Any] = {
        "series_id": ids,
        "SOPInstanceUID": at.binary_join_element_wise("2.25.", at.cast(ids, pa.string()), ""),
        "item": item,
        "parent": parent,
        "concept": concept,
        "path": at.binary_join_element_wise("[", concept, "]", ""),
        "value_type": at.if_else(numeric, "NUM", at.if_else(at.equal(slot, 0), "X", "CODE")),
        "number": at.if_else(numeric, at.cast(within, pa.float64()), None),
        "quantity": at.if_else(numeric, at.cast(within, pa.float64()), None),
        "unit": at.if_else(numeric, "UCUM:ms", None),
        "quantity_unit": at.if_else(numeric, "ms", None),
        "code": at.if_else(at.greater(slot, 2), "SCT:10200004", None),
    }  # fmt: skip
    table = pa.table(
        [pa.nulls(total, f.type) if f.name not in made else made[f.name].cast(f.type)
         for f in tables.ITEMS], schema=tables.ITEMS,
    )  # fmt: skip
    store.append("items", table)
    rows_ = [{"series_id": n + 1, "patient_key": n // 4 + 1, "study_key": n // 2 + 1,
              "PatientID": f"P{n // 4}", "StudyInstanceUID": f"2.25.8{n // 2}",
              "SeriesInstanceUID": f"2.25.9{n}"} for n in range(series)]  # fmt: skip
    store.commit_series(pa.Table.from_pylist(rows_, tables.SERIES), [], "run")
    columns = {
        "qt": {"path": "*.[MDC:2:16160]", "unit": "s"},
        "rr": "*.[MDC:2:16168]",
        "site": "*.[SCT:363698007]",
        "mean": {"path": "*.[MDC:2:16160]", "several": "mean"},
        "liver": {"path": "*.[MDC:2:16168]", "where": "*.[SCT:363698007] within SCT:10200004"},
    }
    began = time.monotonic()
    found = run(tmp_path / "lake", {"name": "big", "columns": columns})[1]
    took = time.monotonic() - began
    print(f"{total:,} items, {found.num_rows:,} rows: {took:.1f} s")  # noqa: T201
    assert found.num_rows == series * groups
    assert took < 60
    assert kept(tmp_path / "lake", "big").equals(found)
