"""Every content item of every structured report becomes a row, whatever the device got wrong."""

from __future__ import annotations

import copy
import os
import random
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pyarrow as pa
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomlake import tables
from dicomlake.contracts import Contents
from dicomlake.errors import DataError
from dicomlake.readers import report
from dicomlake.readers.header import HeaderReader
from dicomlake.readers.report import ReportReader, flatten
from dicomlake.terms import Code
from dicomlake.testing.dicom import dataset, encode, uid
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.codes import dcm, sct, ucum
from dicomlake.testing.hospital.reports import (
    COMPREHENSIVE_SR,
    code,
    container,
    moment,
    number,
    person,
    picture,
    text,
    uidref,
)

Json = dict[str, Any]
Row = dict[str, Any]
COLUMNS = frozenset(tables.ITEMS.names)


@dataclass
class Report:
    """A structured report read."""

    path: Path
    header: Json
    rows: list[Row]
    problems: list[tuple[str, str, str]]

    def at(self, place: str) -> Row:
        return next(row for row in self.rows if row["place"] == place)

    def all(self, concept: str) -> list[Row]:
        return [row for row in self.rows if row.get("concept") == concept]


def rows_of(header: Json) -> Contents:
    contents = Contents()
    ReportReader().read(header, contents)
    return contents


def read(data: bytes, path: Path = Path("made")) -> Report | None:
    header = HeaderReader().read_bytes(data)
    if ReportReader().wants(header.first) is None:
        return None
    json = orjson.loads(header.json)
    contents = rows_of(json)
    return Report(path, json, contents.rows["items"], contents.problems)


def _reports(files: list[Path]) -> list[Report]:
    found = []
    for file in files:
        try:
            one = read(file.read_bytes(), file)
        except DataError:
            continue
        if one is not None:
            found.append(one)
    return found


@pytest.fixture(scope="module")
def corpus(corpus_files: list[Path]) -> list[Report]:
    return _reports(corpus_files)


@pytest.fixture(scope="module")
def reports(corpus: list[Report], pydicom_files: list[Path]) -> list[Report]:
    return corpus + _reports(pydicom_files)


@pytest.fixture(scope="module")
def get(corpus: list[Report]) -> Callable[[str], Report]:
    """The report of a name, perhaps with folders before it."""
    return lambda name: next(r for r in corpus if str(r.path).endswith("/" + name))


def made(*children: Json, **attributes: Any) -> Report:
    """A report that holds these items."""
    root = container(dcm("126000", "Imaging Measurement Report"), *children, template="1500")
    del root["RelationshipType"]
    told = dataset(root, SOPClassUID=COMPREHENSIVE_SR, SOPInstanceUID=uid("made"), **attributes)
    found = read(encode(told))
    assert found is not None
    return found


# Every item is there


def _count(item: Dataset) -> int:
    return 1 + sum(_count(child) for child in item.get("ContentSequence") or [])


def _items(item: Dataset, place: str = "1") -> Iterator[tuple[str, Dataset]]:
    yield place, item
    for at, child in enumerate(item.get("ContentSequence") or [], 1):
        yield from _items(child, f"{place}.{at}")


def test_every_report_is_wanted(corpus: list[Report]) -> None:
    assert len(corpus) == 67
    assert sum(len(one.rows) for one in corpus) == 5548


def test_every_item_is_a_row(reports: list[Report]) -> None:
    for one in reports:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = pydicom.dcmread(one.path, force=True)
            assert len(one.rows) == _count(whole), one.path
            for row, (place, item) in zip(one.rows, _items(whole), strict=True):
                assert row["place"] == place
                _compare(row, item, root=place == "1")


def _compare(row: Row, item: Dataset, *, root: bool) -> None:
    assert row.get("ValueType") == (item.get("ValueType") or None)
    assert row.get("RelationshipType") == (item.get("RelationshipType") or None)
    names = item.get("ConceptNameCodeSequence")
    if names:
        assert row["concept_value"] == names[0].CodeValue
        assert row["concept_scheme"] == names[0].CodingSchemeDesignator
        assert row["concept_meaning"] == names[0].CodeMeaning
    else:
        assert "concept" not in row
    for keyword in ("TextValue", "UID", "DateTime", "Date", "Time", "PersonName"):
        if keyword in item and not root:
            assert row.get("text") == (str(item[keyword].value).rstrip(" \0") or None)
    if item.get("MeasuredValueSequence"):
        sent = item.MeasuredValueSequence[0]["NumericValue"]
        values = list(sent.value) if sent.VM > 1 else [sent.value]
        assert row["number"] == pytest.approx(float(values[0]))
        assert row.get("numbers") == ([float(v) for v in values] if sent.VM > 1 else None)
        assert row["number_sent"] == "\\".join(v.original_string for v in values)
    else:
        assert "number" not in row
    if item.get("ConceptCodeSequence") and "CodeValue" in item.ConceptCodeSequence[0]:
        assert row["code_value"] == item.ConceptCodeSequence[0].CodeValue
    if item.get("ReferencedSOPSequence") and not root:
        reference = item.ReferencedSOPSequence[0]
        for keyword in ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"):
            assert row.get(keyword) == (reference.get(keyword) or None)
    if "GraphicData" in item:
        assert row["GraphicData"] == pytest.approx(list(item.GraphicData))
        assert row["GraphicType"] == item.GraphicType


def test_rows_fit_the_table(reports: list[Report]) -> None:
    kinds = set(report._TYPES) | {None}
    for one in reports:
        for at, row in enumerate(one.rows, 1):
            assert row.keys() <= COLUMNS, one.path
            assert row["item"] == at
            assert row["value_type"] in kinds
            assert row["reader"] == ""
        pa.Table.from_pylist(one.rows, schema=tables.ITEMS)


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("example_ecg_sr.dcm", 43), ("CT-RDSR-Siemens_Flash-TAP-SS.dcm", 126),
        ("CT-ESR-GE_Optima.dcm", 116), ("RF-RDSR-Canon-Alphenix-rotational.dcm", 2056),
        ("test-SR.dcm", 29), ("sr_document.dcm", 21), ("tid1500-0/sr-circle.dcm", 43),
        ("dwv034/sr-circle.dcm", 32), ("ESR_non-dose.dcm", 1),
    ],
)  # fmt: skip
def test_counted_items(get: Callable[[str], Report], name: str, items: int) -> None:
    assert len(get(name).rows) == items


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        ({"SOPClassUID": report.CLASSES + "59"}, ""),  # key objects
        ({"SOPClassUID": report.CLASSES + "1"}, ""),  # a trial class
        ({"MediaStorageSOPClassUID": report.CLASSES + "11"}, ""),
        ({"SOPClassUID": "1.2.3", "ContentSequence": "1"}, ""),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, None),
        ({}, None),
    ],
)
def test_what_is_wanted(first: dict[str, str], wanted: str | None) -> None:
    assert ReportReader().wants(first) == wanted


# What dcmtk sees

_ELEMENTS = frozenset(
    "container text code num pname date time datetime uidref image waveform composite scoord "
    "scoord3d tcoord reference".split()
)


@pytest.fixture(scope="session")
def dsr2xml() -> str:
    """The program dsr2xml of dcmtk."""
    found = shutil.which("dsr2xml")
    if found is None:
        message = "dsr2xml is missing: install dcmtk"
        if os.environ.get("DICOMLAKE_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.mark.service
def test_dcmtk_sees_the_same_items(dsr2xml: str, corpus: list[Report]) -> None:
    refused = 0
    for one in corpus:
        command = [dsr2xml, "-q", "-Ee", "-Er", "-Ec", "-Ei", str(one.path)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            refused += 1
            continue
        root = ElementTree.fromstring(done.stdout).find("document/content/container")
        assert root is not None
        theirs = list(_theirs(root))
        ours = [(row["value_type"] or "REFERENCE", row.get("concept_value")) for row in one.rows]
        assert ours == theirs, one.path
    assert refused == 8


def _theirs(element: ElementTree.Element) -> Iterator[tuple[str, str | None]]:
    yield element.tag.upper(), element.findtext("concept/value")
    for child in element:
        if child.tag in _ELEMENTS:
            yield from _theirs(child)


# What users of the older tool lost (knowledge/clinical-objects.md, section 4)


def test_equal_values_of_different_schemes_stay_apart() -> None:
    one = made(text(Code("1234", "99A", "a"), "x"), text(Code("1234", "99B", "a"), "y"))
    assert [row["text"] for row in one.all("99A:1234")] == ["x"]
    assert [row["text"] for row in one.all("99B:1234")] == ["y"]


def _group(at: int, *more: Json, site: Code = c.LIVER) -> Json:
    return container(
        dcm("125007", "Measurement Group"),
        text(dcm("112039", "Tracking Identifier"), f"Lesion {at}", relation="HAS OBS CONTEXT"),
        code(c.FINDING, c.LESION),
        code(c.FINDING_SITE, site, relation="HAS CONCEPT MOD"),
        number(c.LONG_AXIS, 10 + at, ucum("mm")),
        *more,
    )


def test_every_measurement_group_survives() -> None:
    one = made(container(dcm("126010", "Imaging Measurements"), *map(_group, range(5))))
    found = one.all("SCT:103339001")
    assert [(row["number"], row["tracking"]) for row in found] == [
        (10.0 + at, f"Lesion {at}") for at in range(5)
    ]


def test_name_value_unit_and_modifiers_are_one_row() -> None:
    one = made(code(dcm("121005", "Observer Type"), dcm("121006", "Person"),
                    relation="HAS OBS CONTEXT"), _group(1))  # fmt: skip
    row = one.all("SCT:103339001")[0]
    assert (row["concept"], row["number"], row["unit"]) == ("SCT:103339001", 11.0, "UCUM:mm")
    told = {one.rows[n - 1]["concept"]: one.rows[n - 1] for n in row["modifiers"]}
    assert told.keys() == {"DCM:121005", "DCM:112039", "SCT:363698007"}
    assert told["SCT:363698007"]["code"] == "SCT:10200004"


def test_every_text_is_there() -> None:
    words = [f"text {at}" for at in range(20)]
    one = made(*[text(c.FINDING, word) for word in words])
    assert [row["text"] for row in one.all("DCM:121071")] == words


def _without(element: Any, tag: str) -> Any:
    if isinstance(element, dict):
        return {key: _without(value, tag) for key, value in element.items() if key != tag}
    return [_without(one, tag) for one in element] if isinstance(element, list) else element


def test_templates_do_not_matter(reports: list[Report]) -> None:
    for one in reports:
        without = rows_of(_without(one.header, "0040A504")).rows["items"]
        assert not any(row.get("template") for row in without)
        assert without == [{k: v for k, v in row.items() if k != "template"} for row in one.rows]


def test_reports_without_evidence_are_read(get: Callable[[str], Report]) -> None:
    one = get("example_ecg_sr.dcm")
    assert rows_of(_without(one.header, "0040A375")).rows["items"] == one.rows


def test_waveforms_keep_their_reference(get: Callable[[str], Report]) -> None:
    row = get("example_ecg_sr.dcm").at("1.6.2")
    assert row["value_type"] == "WAVEFORM"
    assert row["ReferencedSOPClassUID"] == "1.2.840.10008.5.1.4.1.1.9.1.1"
    assert row["ReferencedSOPInstanceUID"].startswith("1.2.826.")


def test_two_paths_of_an_ecg_report(get: Callable[[str], Report]) -> None:
    one = get("example_ecg_sr.dcm")
    found = {row["path"]: row for row in one.rows}
    smoking = found["[LN:11524-0].[LN:11329-0].[LN:29762-2].[SCT:365981007]"]
    assert smoking["code"] == "SCT:77176002"
    start = "[LN:11524-0].[LN:55111-9].[DCM:122158]."
    told = {"2:16160": 400, "2:16168": 800, "2:15872": 140, "2:16156": 100}
    for value, wanted in told.items():
        row = found[f"{start}[MDC:{value}]"]
        assert (row["quantity"], row["quantity_unit"]) == (wanted, "ms")
        assert row["template"] == "3713"
        assert row["language"] == "de-DE"


# What devices do (section 1)


def _having(one: Report, column: str) -> list[Row]:
    return [row for row in one.rows if row.get(column) is not None]


def test_numbers_that_are_empty(get: Callable[[str], Report], corpus: list[Report]) -> None:
    empty = [
        r for one in corpus for r in one.rows if r["value_type"] == "NUM" and "number" not in r
    ]
    assert len(empty) == 35
    assert sum(len(_having(one, "qualifier")) for one in corpus) == 32
    assert _having(get("RF-RDSR-GE.dcm"), "qualifier")[0]["qualifier"] == "DCM:114010"
    assert not any("quantity" in row for row in empty)


def test_several_numbers_in_one_item(get: Callable[[str], Report]) -> None:
    found = _having(get("RF-RDSR-Eurocolumbus.dcm"), "numbers")
    assert len(found) == 12
    assert max(len(row["numbers"]) for row in found) == 35
    assert all(row["number"] == row["numbers"][0] for row in found)


def test_floating_point_values(get: Callable[[str], Report]) -> None:
    for name in ("example_ecg_sr.dcm", "sr_document.dcm"):
        assert not [p for p in get(name).problems if "Floating" in p[2]]
    exact = number(c.LONG_AXIS, "1.234567890123", ucum("mm"))
    exact["MeasuredValueSequence"][0]["FloatingPointValue"] = 1.2345678901234567
    wrong = number(c.LONG_AXIS, 3, ucum("mm"))
    wrong["MeasuredValueSequence"][0]["FloatingPointValue"] = 4.0
    third = number(c.LONG_AXIS, "0.333", ucum("mm"))
    third["MeasuredValueSequence"][0] |= {
        "RationalNumeratorValue": 1, "RationalDenominatorValue": 3,
    }  # fmt: skip
    one = made(exact, wrong, third)
    assert [row["number"] for row in one.rows[1:]] == [1.2345678901234567, 4.0, 1 / 3]
    assert [row["number_sent"] for row in one.rows[1:]] == ["1.234567890123", "3", "0.333"]
    assert [p[0] for p in one.problems] == ["1.2"]


def test_misspelt_unit_schemes(get: Callable[[str], Report]) -> None:
    one = get("RF-RDSR-GE.dcm")
    odd = [row for row in one.rows if row.get("unit_scheme") == "UCM"]
    assert len(odd) == 24
    assert {row["unit"] for row in odd} == {"UCUM:Gy.m2", "UCUM:Gy", "UCUM:m2"}
    assert len([p for p in one.problems if "scheme" in p[2]]) == 24


def test_units_that_nobody_can_know(get: Callable[[str], Report]) -> None:
    one = get("example_ecg_sr.dcm")
    unknown = [row for row in one.rows if row.get("unit_scheme") == "CID"]
    assert len(unknown) == 3
    for row in unknown:
        assert row["unit"] is None
        assert row["quantity"] is None
        assert (row["place"], "NUM", "a unit with no UCUM meaning") in one.problems


def test_heart_rate_without_a_unit(get: Callable[[str], Report]) -> None:
    row = get("example_ecg_sr.dcm").all("MDC:2:16016")[0]
    assert (row["number"], row["unit"], row["unit_meaning"]) == (75.0, "UCUM:1", "no units")


def test_code_of_another_scheme(get: Callable[[str], Report]) -> None:
    one = get("example_ecg_sr.dcm")
    assert one.at("1.6.2")["concept"] == "SCT:C0018799"
    assert ("1.6.2", "WAVEFORM", "a concept that SNOMED CT cannot have") in one.problems


def test_right_code_with_a_wrong_meaning(get: Callable[[str], Report]) -> None:
    one = get("MG-RDSR-Hologic_2D.dcm")
    (row,) = [
        row for row in one.rows if row.get("concept_meaning") == "X-Ray Detector Data Available"
    ]
    assert row["concept"] == "DCM:113745"
    problem = "a code with the meaning of another one; the code counts"
    assert (row["place"], row["value_type"], problem) in one.problems


def test_uids_sent_as_text(get: Callable[[str], Report]) -> None:
    row = get("RF-RDSR-GE.dcm").all("DCM:121012")[0]
    assert (row["ValueType"], row["value_type"]) == ("TEXT", "TEXT")
    assert row["text"].startswith("1.3.6.1.4.1.45593.")


def test_items_without_name_or_type(get: Callable[[str], Report]) -> None:
    one = get("test-SR.dcm")
    unnamed = [row["value_type"] for row in one.rows if "concept" not in row]
    assert sorted(filter(None, unnamed)) == [
        "COMPOSITE",
        "CONTAINER",
        "CONTAINER",
        "IMAGE",
        "WAVEFORM",
    ]
    targets = _having(one, "target")
    assert [(row["place"], row["target"]) for row in targets] == [
        ("1.3.3.1", "1.3.2"), ("1.5.1.1.1", "1.2.2.1"),
    ]  # fmt: skip
    assert all(row["value_type"] is None for row in targets)
    assert not [p for p in one.problems if "reference" in p[2]]
    assert one.at("1.3.3")["values"] == ["1.000000", "2.500000"]


def test_an_empty_root(get: Callable[[str], Report]) -> None:
    (row,) = get("ESR_non-dose.dcm").rows
    assert (row["value_type"], row["concept"], row["path"]) == (
        "CONTAINER", "LN:18748-4", "[LN:18748-4]",
    )  # fmt: skip


def test_codes_in_place_of_templates(get: Callable[[str], Report]) -> None:
    one = get("MG-RDSR-GEPristina-DBT.dcm")
    assert {"113702", "113706"} <= {row["template"] for row in one.rows if row.get("template")}
    assert [p for p in one.problems if "template" in p[2]]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("RF-RDSR-Philips_Allura.dcm", "99PHI-IXR-XPER"),
        ("CT-RDSR-Toshiba_DoseCheck.dcm", "99TOSHIBA-TMSC"),
        ("NM-RRDSR-Siemens.dcm", "99SHS"),
        ("test-SR.dcm", "99_OFFIS_DCMTK"),
    ],
)
def test_private_schemes(corpus: list[Report], name: str, scheme: str) -> None:
    found = [r for one in corpus if one.path.name == name for r in one.rows]
    assert [row for row in found if (row.get("concept") or "").startswith(scheme + ":")]


def test_old_and_new_snomed_are_one(corpus: list[Report]) -> None:
    old = [r for one in corpus for r in one.rows if r.get("concept_scheme") == "SRT"]
    new = [r for one in corpus for r in one.rows if r.get("concept_scheme") == "SCT"]
    assert (len(old), len(new)) == (79, 106)
    assert all(row["concept"].startswith("SCT:") for row in old)
    assert all(row["path"].endswith(f"[{row['concept']}]") for row in old)
    one = made(
        number(c.LONG_AXIS, 1, ucum("mm")),
        number(Code("G-A185", "SRT", "Long Axis"), 1, ucum("mm")),
        number(Code("G-A185", "SNM3", "Long Axis"), 1, ucum("mm")),
    )
    assert len({(row["concept"], row["path"]) for row in one.rows[1:]}) == 1


@pytest.mark.parametrize(
    "name",
    ["RF-RDSR-Eurocolumbus.dcm", "RF-RDSR-Canon-Alphenix-rotational.dcm",
     "RF-RDSR-Philips_Allura.dcm", "dwv034/sr-circle.dcm"],
)  # fmt: skip
def test_what_validators_refuse(get: Callable[[str], Report], name: str) -> None:
    one = get(name)
    assert len(one.rows) > 10
    assert all(row["value_type"] for row in one.rows)


@pytest.mark.parametrize(
    ("said", "meant", "item"),
    [
        ("num", "NUM", {}), ("Text", "TEXT", {}), ("PERSON NAME", "PNAME", {}),
        ("UID_REFERENCE", "UIDREF", {}), ("CONTAINS", "TEXT", {"TextValue": "a"}),
        ("HAS CONCEPT MOD", "CODE", {"ConceptCodeSequence": c.LIVER}),
        (None, "TEXT", {"TextValue": "a"}), (None, "UIDREF", {"UID": "1.2"}),
        (None, "DATE", {"Date": "20240101"}), (None, "TIME", {"Time": "1200"}),
        (None, "DATETIME", {"DateTime": "2024"}), (None, "PNAME", {"PersonName": "A^B"}),
        (None, "CONTAINER", {"ContinuityOfContent": "SEPARATE"}),
        (None, "SCOORD", {"GraphicType": "POINT", "GraphicData": [1.0, 2.0]}),
        (None, "SCOORD3D", {"GraphicType": "POINT", "ReferencedFrameOfReferenceUID": "1.2"}),
        (None, "TCOORD", {"TemporalRangeType": "POINT"}), (None, None, {}),
        (None, "COMPOSITE", {"ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": "1.2"}]}),
        (None, "WAVEFORM", {"ReferencedSOPSequence": [{"ReferencedWaveformChannels": [1, 0]}]}),
        (None, "IMAGE", {"ReferencedSOPSequence": [{"ReferencedFrameNumber": [1, 3]}]}),
        (None, "NUM", {"MeasuredValueSequence": []}), ("nonsense", None, {}),
    ],
)  # fmt: skip
def test_value_types(said: str | None, meant: str | None, item: Json) -> None:
    told = {"RelationshipType": "CONTAINS", "ConceptNameCodeSequence": c.FINDING, **item}
    if said is not None:
        told["ValueType"] = said
    one = made(told)
    row = one.at("1.1")
    assert (row.get("ValueType"), row["value_type"]) == (said, meant)
    assert [p for p in one.problems if "value type" in p[2]]


# What columns say


def test_moments_references_and_coordinates() -> None:
    reference = {
        "ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "ReferencedSOPInstanceUID": "1.2.3",
        "ReferencedFrameNumber": [3, 4], "ReferencedSegmentNumber": [2],
    }  # fmt: skip
    image = {**picture("1.2", "1.2.3"), "ReferencedSOPSequence": [reference]}
    wave = {**picture("1.2", "1.2.3"), "ValueType": "WAVEFORM",
            "ReferencedSOPSequence": [{"ReferencedWaveformChannels": [1, 0, 1, 2]}]}  # fmt: skip
    shape = {"RelationshipType": "CONTAINS", "ValueType": "SCOORD3D", "GraphicType": "POINT",
             "GraphicData": [1.5, 2.5, -3.0], "ReferencedFrameOfReferenceUID": "1.2.9"}  # fmt: skip
    span = {"RelationshipType": "CONTAINS", "ValueType": "TCOORD", "TemporalRangeType": "SEGMENT",
            "ReferencedSamplePositions": [1, 100]}  # fmt: skip
    day = {"RelationshipType": "CONTAINS", "ValueType": "DATE", "Date": "20240230",
           "ConceptNameCodeSequence": c.FINDING}  # fmt: skip
    at = {**moment(c.FINDING, "20240315120000+0100"), "ObservationDateTime": "20240101",
          "ObservationUID": "1.2.77"}  # fmt: skip
    one = made(image, wave, shape, span, day, at, ObservationDateTime="2020")
    rows = one.rows[1:]
    assert rows[0]["ReferencedFrameNumber"] == [3, 4]
    assert rows[0]["ReferencedSegmentNumber"] == [2]
    assert rows[1]["ReferencedWaveformChannels"] == [1, 0, 1, 2]
    assert rows[2]["GraphicData"] == [1.5, 2.5, -3.0]
    assert rows[2]["ReferencedFrameOfReferenceUID"] == "1.2.9"
    assert (rows[3]["GraphicType"], rows[3]["values"]) == ("SEGMENT", ["1", "100"])
    assert rows[4]["text"] == "20240230"
    assert "moment" not in rows[4]
    assert ("1.5", "DATE", "not a date") in one.problems
    assert rows[5]["moment"].isoformat() == "2024-03-15T11:00:00+00:00"
    assert rows[5]["observed"].isoformat() == "2024-01-01T00:00:00+00:00"
    assert rows[5]["observation"] == "1.2.77"
    assert rows[0]["observed"].isoformat() == "2020-01-01T00:00:00+00:00"


def test_long_codes_and_versions() -> None:
    name = {"LongCodeValue": "a code of more than sixteen characters", "CodeMeaning": "x",
            "CodingSchemeDesignator": "99X", "CodingSchemeVersion": "7"}  # fmt: skip
    urn = {"URNCodeValue": "urn:oid:1.2.3", "CodeMeaning": "y"}
    item = {"RelationshipType": "CONTAINS", "ValueType": "CODE",
            "ConceptNameCodeSequence": [name], "ConceptCodeSequence": [urn]}  # fmt: skip
    bare = {**item, "ConceptNameCodeSequence": [{"CodeMeaning": "only words"}]}
    one = made(item, bare)
    assert one.at("1.1")["concept"] == "99X:a code of more than sixteen characters"
    assert one.at("1.1")["concept_version"] == "7"
    assert one.at("1.1")["code_value"] == "urn:oid:1.2.3"
    assert one.at("1.2")["concept"] is None
    assert one.at("1.2")["concept_meaning"] == "only words"
    assert one.at("1.2")["path"] == "[DCM:126000].[]"


def test_meanings_do_not_matter(reports: list[Report]) -> None:
    for one in reports:
        header = _renamed(one.header)
        other = rows_of(header)
        assert other.problems == [p for p in one.problems if "meaning of another" not in p[2]]
        for row, same in zip(other.rows["items"], one.rows, strict=True):
            assert _codes_only(row) == _codes_only(same)


def _renamed(element: Any) -> Any:
    if isinstance(element, dict):
        changed = {key: _renamed(value) for key, value in element.items()}
        if "00080104" in changed:
            changed["00080104"] = {"vr": "LO", "Value": ["nonsense"]}
        return changed
    return [_renamed(one) for one in element] if isinstance(element, list) else element


def _codes_only(row: Row) -> Row:
    return {key: value for key, value in row.items() if not key.endswith("_meaning")}


# What counts for an item


def test_context_comes_from_around() -> None:
    language = code(dcm("121049", "Language"), Code("de", "RFC5646", "German"),
                    relation="HAS CONCEPT MOD")  # fmt: skip
    french = code(dcm("121049", "Language"), Code("fr", "RFC5646", "French"),
                  relation="HAS CONCEPT MOD")  # fmt: skip
    one = made(
        container(c.FINDING, text(c.FINDING, "a"), french, template="99"),
        language,
        person(dcm("121008", "Person Observer Name"), "Doe^Jane"),
        uidref(dcm("121012", "Device Observer UID"), "1.2.3", "HAS OBS CONTEXT"),
    )
    inner = one.at("1.1.1")
    assert (inner["language"], inner["observer"], inner["template"]) == ("fr", "Doe^Jane", "99")
    assert inner["modifiers"] == [4, 6, 7]
    assert one.at("1.1")["language"] == "fr"
    assert one.at("1.1")["modifiers"] == [6, 7]
    assert "language" not in one.at("1.2")
    assert one.at("1.2")["modifiers"] == [6, 7]
    assert "modifiers" not in one.rows[0]
    assert one.at("1.3").get("observer") is None


def test_nearest_modifier_wins_per_concept() -> None:
    def side(of: Code) -> Json:
        return code(c.LATERALITY, of, relation="HAS CONCEPT MOD")

    intent = code(c.HAS_INTENT, c.DIAGNOSTIC, relation="HAS CONCEPT MOD")
    one = made(
        side(c.LEFT),
        intent,
        container(
            c.SPINE,
            text(c.FINDING, "inherits"),
            text(c.FINDING, "own", side(c.RIGHT)),
            container(c.KIDNEY, side(c.RIGHT), text(c.FINDING, "nearer")),
            side(sct("51440002", "Bilateral")),
        ),
    )
    told = {row["text"]: row for row in one.rows if row.get("text")}
    both = one.rows[-1]["item"]
    assert told["inherits"]["modifiers"] == [3, both]
    assert told["inherits"]["laterality"] == "SCT:51440002"
    assert told["own"]["modifiers"] == [3]
    assert told["own"]["laterality"] == "SCT:24028007"
    assert told["nearer"]["modifiers"] == [3, one.at("1.3.3.1")["item"]]
    assert told["nearer"]["laterality"] == "SCT:24028007"
    assert one.at("1.3")["laterality"] == "SCT:51440002"
    assert one.at("1.3")["modifiers"] == [3]


def test_a_group_tells_its_other_children() -> None:
    late = [
        uidref(dcm("112040", "Tracking Unique Identifier"), "1.2.3", "CONTAINS"),
        number(c.SHORT_AXIS, 5, ucum("mm")),
    ]
    old = code(Code("G-C171", "SRT", "Laterality"), Code("G-A101", "SRT", "Left"))
    one = made(_group(1, *late, old, site=Code("T-62000", "SRT", "Liver")), text(c.FINDING, "x"))
    for place in ("1.1", "1.1.4", "1.1.6"):
        row = one.at(place)
        assert row["finding"] == "SCT:52988006"
        assert row["site"] == "SCT:10200004"
        assert row["laterality"] == "SCT:7771000"
        assert (row["tracking"], row["tracking_uid"]) == ("Lesion 1", "1.2.3")
    finding, site, outside = one.at("1.1.2"), one.at("1.1.3"), one.at("1.2")
    assert "finding" not in finding
    assert finding["site"] == "SCT:10200004"
    assert "site" not in site
    assert site["finding"] == "SCT:52988006"
    assert not {"site", "finding", "laterality", "tracking"} & outside.keys()


def test_outside_of_groups_only_modifiers_tell() -> None:
    one = made(
        container(
            c.SPINE, code(c.FINDING, c.LESION), code(c.FINDING_SITE, c.LIVER), text(c.HEAD, "x")
        )
    )
    assert not {"site", "finding"} & one.at("1.1.3").keys()
    assert not {"site", "finding"} & one.at("1.1").keys()


def test_the_side_of_a_site_goes_with_it() -> None:
    left = code(c.LATERALITY, c.LEFT, relation="HAS CONCEPT MOD")
    kidney = code(c.FINDING_SITE, c.KIDNEY, left, relation="HAS CONCEPT MOD")
    liver = code(c.FINDING_SITE, c.LIVER, relation="HAS CONCEPT MOD")
    one = made(
        container(
            dcm("125007", "Measurement Group"),
            number(c.LONG_AXIS, 1, ucum("mm")),
            number(c.LONG_AXIS, 2, ucum("mm"), liver),
            kidney,
        )
    )
    first, second = one.all("SCT:103339001")
    assert (first["site"], first["laterality"]) == ("SCT:64033007", "SCT:7771000")
    assert (second["site"], second.get("laterality")) == ("SCT:10200004", None)
    assert one.at("1.1.3.1")["site"] == "SCT:64033007"


def test_items_without_a_report() -> None:
    """Acquisition Context Sequence holds items without relations (PS3.3 C.7.6.14)."""
    age = {"ValueType": "NUMERIC", "ConceptNameCodeSequence": dcm("121033", "Subject Age"),
           "NumericValue": [60], "MeasurementUnitsCodeSequence": ucum("a")}  # fmt: skip
    state = {"ValueType": "CODE", "ConceptNameCodeSequence": dcm("109054", "Patient State"),
             "ConceptCodeSequence": sct("128975004", "Resting state")}  # fmt: skip
    bare = {"ConceptNameCodeSequence": dcm("109054", "Patient State")}
    data = encode(dataset(AcquisitionContextSequence=[age, state, bare]))
    json = orjson.loads(HeaderReader().read_bytes(data).json)
    contents = Contents()
    flatten(json["00400555"]["Value"], contents)
    one, other, last = contents.rows["items"]
    assert (one["place"], one["value_type"], one["number"]) == ("1", "NUM", 60.0)
    assert one["quantity_unit"] == "ms"
    assert (other["place"], other["code"]) == ("2", "SCT:128975004")
    assert (last["place"], last["value_type"]) == ("3", None)
    assert contents.problems == [
        ("1", "NUM", "a value type that the Standard does not know"),
        ("3", "", "no value type"),
    ]


# What nobody foresaw


def test_deep_wide_and_dangling() -> None:
    item: Json = text(c.FINDING, "deepest")
    for _ in range(40):
        item = container(c.FINDING, item)
    one = made(item)
    assert one.rows[-1]["text"] == "deepest"
    tree: Json = {"0040A160": {"vr": "UT", "Value": ["x"]}}
    for _ in range(500):
        tree = {"0040A730": {"vr": "SQ", "Value": [tree]}}
    deep = rows_of(tree)
    assert len(deep.rows["items"]) == report.DEEPEST
    assert any("deeper" in problem[2] for problem in deep.problems)
    lost = made({"RelationshipType": "INFERRED FROM", "ReferencedContentItemIdentifier": [1, 9, 9]})
    assert lost.rows[1]["target"] == "1.9.9"
    assert [p[2] for p in lost.problems] == ["a reference to an item that is not there"]


def test_many_items_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ITEMS", 1000)
    child = {"0040A160": {"vr": "UT", "Value": ["x"]}}
    wide = rows_of({"0040A730": {"vr": "SQ", "Value": [child] * 5000}})
    assert len(wide.rows["items"]) == 1000
    assert len(wide.problems) <= report.MOST_PROBLEMS + 2


def test_many_modifiers_take_no_time() -> None:
    child = {
        "0040A010": {"vr": "CS", "Value": ["HAS CONCEPT MOD"]},
        "0040A040": {"vr": "CS", "Value": ["TEXT"]},
        "0040A160": {"vr": "UT", "Value": ["x"]},
    }
    begun = time.perf_counter()
    found = rows_of({"0040A730": {"vr": "SQ", "Value": [child] * 20_000}})
    assert time.perf_counter() - begun < 10
    assert max(len(r.get("modifiers", ())) for r in found.rows["items"]) <= report.MOST_MODIFIERS


JUNK: list[Any] = [
    None, 0, -1, 2**70, 1e308, float("nan"), True, "", "x", "\\", "1e999", [], [None], [[]], {},
    {"vr": "SQ"}, {"vr": "UN", "InlineBinary": "AAAA"}, {"vr": "OB", "BulkDataURI": "?offset=1"},
    {"Value": None}, {"Value": 7}, {"Value": [None, {}, [], "x", 5, {"Alphabetic": 3}]},
    {"Value": ["TEXT", "NUM"]}, {"Value": [{"0040A30A": {"Value": ["a", None, {}]}}]},
]  # fmt: skip


def _survives(header: Any) -> None:
    begun = time.perf_counter()
    contents = rows_of(header)
    rows = contents.rows["items"]
    assert rows or contents.problems
    assert all(row.keys() <= COLUMNS for row in rows)
    pa.Table.from_pylist(rows, schema=tables.ITEMS)
    assert time.perf_counter() - begun < 5


def test_any_json_gives_rows_or_problems(reports: list[Report]) -> None:
    chance = random.Random(7)
    for junk in JUNK:
        _survives({"0040A730": junk})
        _survives({"0040A730": {"vr": "SQ", "Value": [junk, junk]}})
        for tag in [*report._READS, "0040A043", "00400441", "0040A30A"]:
            _survives({tag: junk, "0040A730": {"vr": "SQ", "Value": [{tag: junk}]}})
    for one in reports:
        for _ in range(10 if len(one.rows) < 200 else 2):
            header = copy.deepcopy(one.header)
            for _ in range(chance.randint(1, 8)):
                _spoil(header, chance)
            _survives(header)


def _spoil(element: Any, chance: random.Random) -> None:
    """Put junk somewhere into a tree."""
    while True:
        keys = list(element) if isinstance(element, dict) else range(len(element))
        if not keys:
            return
        key = chance.choice(list(keys))
        inside = element[key]
        if not isinstance(inside, dict | list) or chance.random() < 0.1:
            element[key] = chance.choice(JUNK)
            return
        element = inside


def test_damaged_files_give_rows_or_problems(reports: list[Report]) -> None:
    chance, reader, begun = random.Random(3), HeaderReader(), time.perf_counter()
    for one in reports:
        whole = one.path.read_bytes()
        for at in range(14 if len(whole) < 30_000 else 4 if len(whole) < 100_000 else 2):
            data = bytearray(whole)
            if at % 2:
                del data[chance.randrange(140, len(data)) :]
            for _ in range(0 if at % 2 else chance.randint(1, 20)):
                data[chance.randrange(140, len(data))] ^= 1 << chance.randrange(8)
            try:
                header = reader.read_bytes(bytes(data))
            except DataError:
                continue
            _survives(orjson.loads(header.json))
        reader.forget()
    assert time.perf_counter() - begun < 40
