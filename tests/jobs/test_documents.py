"""Documents say what the tables say, in JSON and in XML, as their schemas have it."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import orjson
import pytest
import xmlschema

import dicomlake
from dicomlake import tables
from dicomlake.contracts import coded
from dicomlake.dicom.dictionary import NUMBERS
from dicomlake.errors import UsageError
from dicomlake.jobs import layout
from dicomlake.jobs.documents import AT_ONCE, documents, missing_of
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.jobs.layout import DOCUMENT, NAMESPACE, Part
from dicomlake.jobs.pivot import encoded, legal, pivot, write_xml
from dicomlake.lake import Store
from dicomlake.terms import Code
from dicomlake.terms.mapping import normal
from dicomlake.testing import hospital
from dicomlake.testing.enrichers import Told

from .small_lake import SmallLake, code, cs, da, day, ds, empty, folded, inside, item, items

JSON = jsonschema.Draft202012Validator(orjson.loads(layout.shipped("document.schema.json")))
XML = xmlschema.XMLSchema(io.BytesIO(layout.shipped("document.xsd")))
Document = dict[str, Any]


def stated(lake: Path) -> Store:
    """The lake, of whose series something is stated."""
    store = Store(lake)
    told = [
        {
            "kind": "structure", "label": "liver", "laterality": "SCT:7771000", "name": "Liver",
            **coded("structure", Code("10200004", "SCT", "Liver")),
            **coded("code", Code("110505", "DCM", "Arterial phase")),
            "also": ["RADLEX:RID58"], "confidence": 0.9, "equivalence": "equivalent",
            "evidence": [{"path": "Modality", "text": "CT", "code": "DCM:CT", "confidence": 1.0}],
            "volume": 1500.0, "intensity": 60.0, "complete": True, "grid": 3.0,
            "box": [0.0, 0.0, 0.0, 9.0, 9.0, 9.0],
        }
    ]  # fmt: skip
    found = [{"rule": "made up", "severity": "note", "path": "Modality", "text": "It is made up.",
              "value": "CT", "expected": "MR", "instances": 1}]  # fmt: skip
    some = uids(store)[::7]
    enrich(store, Told(dict.fromkeys(some, told), dict.fromkeys(some, found)))
    return Store(lake)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("documents")
    hospital.write(folder / "files", 4, pixels=False)
    index([folder / "files"], folder / "lake", workers=2)
    return stated(folder / "lake")


@pytest.fixture(scope="module")
def samples(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    lake = tmp_path_factory.mktemp("samples") / "lake"
    index([corpus_folder], lake, workers=2)
    return stated(lake)


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    return SmallLake(tmp_path / "lake")


def uids(store: Store) -> list[str]:
    return sorted(store.read("series", ["SeriesInstanceUID"]).column(0).to_pylist())


def all_of(store: Store, *features: str) -> list[Document]:
    return list(documents(store, uids(store), features))


def read_xml(node: ElementTree.Element, part: Part = DOCUMENT) -> Document:
    """The document that XML is, by its layout alone."""
    found: Document = {}
    for member in part.parts:
        if member.attribute:
            if (said := node.get(member.name)) is not None:
                found[member.name] = _word(member.kind, said)
            continue
        nodes = node.findall(f"{{{NAMESPACE}}}{member.name}")
        if not nodes:
            continue
        if member.entry:
            found[member.name] = [read_xml(one, member) for one in nodes[0]]
        elif layout.is_words(member):
            words = (nodes[0].text or "").split()
            found[member.name] = [_word(member.kind, word) for word in words]
        else:
            values = [_value(member, one, found.get("type", "")) for one in nodes]
            found[member.name] = values if member.several else values[0]
    return found


def _value(part: Part, node: ElementTree.Element, type_: str) -> Any:
    if part.kind == "group":
        return read_xml(node, part)
    if part.kind == "code":
        return dict(node.attrib)
    text = node.text or ""
    if part.kind == "measure":
        return {"value": float(text), "unit": node.get("unit")}
    if part.kind == "value":
        numeric = type_ == "number" or (type_ == "binary" and part.name != "value")
        return _word("either", text) if numeric else text
    return _word(part.kind, text)


def _word(kind: str, text: str) -> Any:
    if kind == "boolean":
        return text == "true"
    if kind == "number":
        return float(text)
    if kind == "whole" or (kind == "either" and text.lstrip("-").isdecimal()):
        return int(text)
    return float(text) if kind == "either" else text


def check(found: list[Document]) -> None:
    """Both forms fit their schemas and say the same."""
    stream = io.BytesIO()
    assert write_xml(found, stream) == len(found)
    XML.validate(io.BytesIO(stream.getvalue()))
    nodes = list(ElementTree.fromstring(stream.getvalue()))
    assert len(nodes) == len(found)
    assert orjson.loads(b"".join(encoded(found, "json"))) == found
    for document, node in zip(found, nodes, strict=True):
        JSON.validate(document)
        assert read_xml(node) == _legal(document)


def _legal(value: Any) -> Any:
    """A document with its texts as XML can hold them."""
    if isinstance(value, dict):
        return {name: _legal(said) for name, said in value.items()}
    if isinstance(value, list):
        return [_legal(said) for said in value]
    return legal(value) if isinstance(value, str) else value


# Of whole lakes


def test_schemas_are_made_from_the_layout_and_are_schemas() -> None:
    assert layout.shipped("document.schema.json").decode() == layout.json_schema()
    assert layout.shipped("document.xsd").decode() == layout.xml_schema()
    jsonschema.Draft202012Validator.check_schema(JSON.schema)
    assert set(XML.elements) == {"document", "documents"}


def test_every_document_of_the_hospital_is_valid(made: Store) -> None:
    found = all_of(made)
    assert [d["series"]["SeriesInstanceUID"] for d in found] == uids(made)
    check(found)


def test_every_document_of_real_files_is_valid(samples: Store) -> None:
    found = all_of(samples)
    assert len(found) > AT_ONCE
    check(found)


def test_elements_are_the_rows_of_the_table(made: Store, samples: Store) -> None:
    for store in (made, samples):
        names = dict(
            zip(*(store.read("series").column(n).to_pylist() for n in ("series_id",
                "SeriesInstanceUID")), strict=True)
        )  # fmt: skip
        rows = {uid: [] for uid in names.values()}  # type: dict[str, list[dict[str, Any]]]
        for row in store.read("elements").to_pylist():
            rows[names[row["series_id"]]].append(row)
        for document in all_of(store, "attributes", "sequences", "private"):
            ours = rows[document["series"]["SeriesInstanceUID"]]
            assert sorted(map(_told, document["elements"])) == sorted(map(_asked, ours))


def _told(element: Document) -> str:
    """What an element says, to be compared with a row of the table."""
    numeric = element["type"] == "number"
    text = element.get("text", element.get("value"))
    coded = element.get("code", {})
    length = element.get("bytes", element.get("items"))
    if element["type"] == "binary" and element.get("folded"):
        length = element["min"]
    return str((
        element["path"], element["vr"], element.get("position"), element["instances"],
        element.get("folded", False),
        _float(element.get("value", element.get("min")) if numeric else length),
        _float(element.get("max") if numeric or element["type"] == "binary" else None),
        None if text is None or element["vr"] in PACKED else str(text),
        coded.get("value"), coded.get("scheme"), coded.get("meaning"),
    ))  # fmt: skip


def _asked(row: Document) -> str:
    counted = row["vr"] not in ("TM", "AS")
    return str((
        row["path"], row["vr"], row["position"], row["instances"], row["folded"],
        row["number"] if counted else None, row["number_max"] if counted else None, row["text"],
        row["code_value"], row["code_scheme"], row["code_meaning"],
    ))  # fmt: skip


PACKED = NUMBERS - {"DS", "IS"}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def test_what_is_inside_are_the_rows_of_its_tables(made: Store, samples: Store) -> None:
    for store in (made, samples):
        found = all_of(store, "items", "segments", "waveforms", "dose", "annotations", "findings")
        assert not any("elements" in document for document in found)
        for name, part in layout.CONTENTS.items():
            rows = store.read(name).to_pylist()
            told = [entry for document in found for entry in document.get(name, ())]
            assert len(told) == len(rows) > 0
            columns = [c for m in part.parts for _, c in m.columns or ((m.name, m.name),)]
            assert set(columns) - {"counted"} == set(tables.ALL[name].names) - {"series_id"}
            for column in columns:
                if column != "counted":
                    some = sum(row[column] is not None and row[column] != [] for row in rows)
                    assert some == _filled(told, part, column), column
            numbers = [
                m.name for m in part.parts if m.kind in ("number", "measure") and not m.several
            ]
            for column in numbers:
                values = [e[column] for e in told if column in e]
                plain = [v["value"] if isinstance(v, dict) else v for v in values]
                sent = [row[column] for row in rows if row[column] is not None]
                assert math.isclose(sum(plain), sum(sent), rel_tol=1e-9), column


def _filled(told: list[Document], part: Part, column: str) -> int:
    for member in part.parts:
        for name, of in member.columns or (("", member.name),):
            if of == column:
                return sum((name in e.get(member.name, {})) if name else of in e for e in told)
    raise AssertionError(column)


def test_doses_that_count_are_those_of_the_lake(made: Store) -> None:
    with made.database() as db:
        truth = db.execute(
            'select "SOPInstanceUID", event_key, counted from dose_events order by all'
        ).fetchall()
        series = db.execute(
            'select "SeriesInstanceUID" from series semi join dose_events using (series_id)'
        ).fetchall()
    told = [
        (event["SOPInstanceUID"], event["event_key"], event["counted"])
        for uid in series
        for document in documents(made, uid, ["dose"])
        for event in document.get("dose_events", ())
    ]
    assert sorted(told) == truth
    assert {counted for *_, counted in told} == {True, False}


# Of single values


def one(small: SmallLake, *rows: list[dict[str, Any]]) -> Document:
    small.put(("1.2", 1, 1, [row for some in rows for row in some]))
    found = all_of(Store(small.store.path))
    check(found)
    return found[0]


def element(document: Document, path: str) -> Document:
    (found,) = [e for e in document["elements"] if e["path"] == path]
    return {k: v for k, v in found.items() if k not in ("path", "keyword", "tag", "name")}


@pytest.mark.parametrize(
    ("rows", "path", "said"),
    [
        (ds("EchoTime", 90.5), "EchoTime", {"type": "number", "value": 90.5, "unit": "ms"}),
        (da("StudyDate", "2024-02-29"), "StudyDate",
         {"type": "date", "value": "2024-02-29", "text": "20240229"}),
        (code("AnatomicRegionSequence", "T-62000", "SRT", "Liver"), "AnatomicRegionSequence",
         {"type": "code", "code": {"code": "SCT:10200004", "value": "T-62000", "scheme": "SRT",
                                   "meaning": "Liver"}}),
        (items("ProcedureCodeSequence", 3), "ProcedureCodeSequence",
         {"type": "sequence", "items": 3}),
        (empty("PatientID"), "PatientID", {"type": "text", "empty": True}),
        (folded("KVP", 80, 120), "KVP",
         {"type": "number", "min": 80.0, "max": 120.0, "folded": True, "unit": "kV"}),
        (cs("StudyDate", "then", vr="DA"), "StudyDate", {"type": "text", "value": "then"}),
        (ds("(0019,\"ACME\",0C)", math.nan, vr="FD"), "(0019,\"ACME\",0C)",
         {"type": "text", "value": "NaN", "creator": "ACME", "text": "nan"}),
        ([{**da("AcquisitionDateTime", "2024-01-02", vr="DT")[0], "text": "202401021530+0200"}],
         "AcquisitionDateTime",
         {"type": "datetime", "value": "2024-01-02T15:30+02:00", "text": "202401021530+0200"}),
        ([{**ds("StudyTime", 27000.0, vr="TM")[0], "text": "0730"}], "StudyTime",
         {"type": "time", "value": "07:30", "text": "0730"}),
        ([{**ds("PatientAge", 30 * 365.25, vr="AS")[0], "text": "030Y"}], "PatientAge",
         {"type": "age", "value": "P30Y", "text": "030Y"}),
        (folded("StudyTime", 3600, 7200.5, vr="TM"), "StudyTime",
         {"type": "time", "min": "01:00:00", "max": "02:00:00.500000", "folded": True}),
    ],
)  # fmt: skip
def test_values_have_types(small: SmallLake, rows: Any, path: str, said: Document) -> None:
    found = element(one(small, rows), path)
    assert {k: v for k, v in found.items() if k not in ("vr", "position", "instances")} == said


ODD = ["a\0b", "\x1b$B", "]]>", "<&\"'>", " two\nlines\r\n\tand a tab ", "\ufffe", "Jü😀漢", "\x85"]


@pytest.mark.parametrize("text", ODD)
def test_odd_text_survives_or_is_replaced(small: SmallLake, text: str) -> None:
    sent = {"concept": "99A:1", "concept_value": "1", "concept_scheme": "99A",
            "concept_meaning": text, "text": text}  # fmt: skip
    small.put(
        ("1.2", 1, 1, [*cs("StudyComments", text, vr="LT"), *item("[99A:1]", "TEXT", **sent)])
    )
    (document,) = all_of(Store(small.store.path))
    assert element(document, "StudyComments")["value"] == text
    assert document["items"][0]["text"] == text
    assert document["items"][0]["concept"]["meaning"] == text
    JSON.validate(orjson.loads(orjson.dumps(document)))
    XML.validate(io.BytesIO(pivot(document)))
    node = read_xml(ElementTree.fromstring(pivot(document)))
    kept = text.translate(dict.fromkeys((0, 0x1B, 0xFFFE), "\ufffd"))
    assert element(node, "StudyComments")["value"] == kept
    assert node["items"][0]["text"] == node["items"][0]["concept"]["meaning"] == kept


def test_numbers_that_are_none_and_empty_lists_are_left_out(small: SmallLake) -> None:
    rows = item("[99A:1]", "NUM", number=math.inf, numbers=[], GraphicData=[1.0, math.nan])
    rows += inside("segments", "1.9", number=1, color=[1, -2], modifiers=[], volume=2.5)
    document = one(small, rows)
    assert not {"number", "numbers", "GraphicData"} & set(document["items"][0])
    assert document["segments"][0]["color"] == [1, -2]
    assert document["segments"][0]["volume"] == {"value": 2.5, "unit": "mL"}


# What is asked for


NESTED = [
    *cs("Modality", "MR"),
    *items("ProcedureCodeSequence", 1),
    *cs("RequestAttributesSequence.ScheduledProcedureStepID", "S", vr="SH"),
    *cs('(0019,"A.B",0C)', "x"),
    *cs('RequestAttributesSequence.(0019,"A.B",0C)', "x"),
    *cs("(0019,0010)", "A.B"),
    *cs("(0008,0000)", "1"),
]


@pytest.mark.parametrize(
    ("features", "paths"),
    [
        (["attributes"], {"Modality", "(0008,0000)"}),
        (["sequences"], {"ProcedureCodeSequence",
                         "RequestAttributesSequence.ScheduledProcedureStepID"}),
        (["private"], {'(0019,"A.B",0C)', 'RequestAttributesSequence.(0019,"A.B",0C)',
                       "(0019,0010)"}),
        (["Modality", "ContrastBolusAgent"], {"Modality"}),
        (["RequestAttributesSequence"], {"RequestAttributesSequence.ScheduledProcedureStepID",
                                         'RequestAttributesSequence.(0019,"A.B",0C)'}),
        (['*.(0019,"A.B",0C)'], {'(0019,"A.B",0C)', 'RequestAttributesSequence.(0019,"A.B",0C)'}),
        (['(0019,"A.B",0c)'], {'(0019,"A.B",0C)'}),
        ([], {row["path"] for row in NESTED}),
    ],
)  # fmt: skip
def test_features_select(small: SmallLake, features: list[str], paths: set[str]) -> None:
    small.put(("1.2", 1, 1, NESTED))
    (document,) = documents(Store(small.store.path), ["1.2"], features)
    assert {e["path"] for e in document["elements"]} == paths
    assert document["series"] == {"SeriesInstanceUID": "1.2"}
    check([document])


@pytest.mark.parametrize(
    ("feature", "near"),
    [("segmnts", "segments"), ("Modalty", "Modality"), ("Dose", "dose"), ("[DCM:1]", "items")],
)
def test_an_unknown_feature_is_refused_at_once(small: SmallLake, feature: str, near: str) -> None:
    with pytest.raises(UsageError, match=near):
        documents(small.store, [], [feature])


def test_unknown_series_are_left_out_and_can_be_listed(small: SmallLake) -> None:
    small.put(("1.2", 1, 1, cs("Modality", "MR")), ("1.3", 1, 1, []))
    store = Store(small.store.path)
    found = documents(store, ["1.3", "9.9", "1.2"])
    assert [d["series"]["SeriesInstanceUID"] for d in found] == ["1.3", "1.2"]
    assert missing_of(store, ["1.3", "9.9", "9.9", "1.2"]) == ["9.9"]


def test_a_lake_gives_documents_by_a_condition(made: Store) -> None:
    lake = dicomlake.open(made.path)
    found = list(lake.documents("Modality = 'CT'", ["Modality"]))
    assert len(found) == lake.query("Modality = 'CT'").total > 0
    assert {d["series"]["Modality"] for d in found} == {"CT"}
    assert sum(1 for _ in lake.documents(features=["dose"])) == lake.totals["series"]
    with pytest.raises(UsageError, match="segments"):
        lake.documents(features=["segmets"])


# Forms


def test_the_forms_hold_the_same_documents(made: Store) -> None:
    found = all_of(made, "Modality", "items")
    lines = b"".join(encoded(found, "ndjson")).splitlines()
    assert [orjson.loads(line) for line in lines] == found
    with zipfile.ZipFile(io.BytesIO(b"".join(encoded(iter(found), "zip")))) as archive:
        assert archive.testzip() is None
        names = [f"{document['series']['SeriesInstanceUID']}.xml" for document in found]
        assert archive.namelist() == names
        for document, name in zip(found, names, strict=True):
            assert archive.read(name) == pivot(document)
            assert read_xml(ElementTree.fromstring(archive.read(name))) == document
    with pytest.raises(UsageError, match="ndjson"):
        encoded(found, "yaml")


def test_no_documents_are_valid_files() -> None:
    assert orjson.loads(b"".join(encoded([], "json"))) == []
    XML.validate(io.BytesIO(b"".join(encoded([], "xml"))))
    assert zipfile.ZipFile(io.BytesIO(b"".join(encoded([], "zip")))).namelist() == []


@pytest.mark.parametrize("uid", ["../../etc/passwd", "", "a/b", ".hidden", "x" * 300])
def test_no_name_in_a_zip_leaves_its_folder(uid: str) -> None:
    document = {"version": 1, "series": {"SeriesInstanceUID": uid}, "origin": {"lake_version": 0}}
    archive = zipfile.ZipFile(io.BytesIO(b"".join(encoded([document], "zip"))))
    assert archive.namelist() == ["series-1.xml"]


def test_documents_come_while_they_are_read(made: Store) -> None:
    asked: list[str] = []

    def told() -> Iterator[str]:
        for uid in uids(made) * 3:
            asked.append(uid)
            yield uid

    stream = documents(made, told())
    next(stream)
    assert len(asked) == min(AT_ONCE, 3 * len(uids(made)))


def test_codes_are_normal(made: Store) -> None:
    codes = [e["code"] for d in all_of(made, "sequences") for e in d["elements"] if "code" in e]
    assert codes
    for found in codes:
        value, scheme = normal(found["value"], found.get("scheme", ""))
        assert found["code"] == f"{scheme}:{value}"


def test_moments_are_in_utc(small: SmallLake) -> None:
    document = one(small, inside("dose_events", "1.9", event_key="k", started=day("2024-01-02")))
    assert document["dose_events"][0]["started"] == "2024-01-02T00:00:00Z"
