"""Dose: what real reports and images state, and what made-up ones of rarer classes do."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import duckdb
import orjson
import pyarrow as pa
import pytest

from dicomlake import tables
from dicomlake.contracts import ContentReader, Contents
from dicomlake.errors import DataError
from dicomlake.readers.dose import DoseReader
from dicomlake.readers.header import HeaderReader
from dicomlake.readers.report import ReportReader
from dicomlake.terms import Code
from dicomlake.testing.dicom import Description, dataset, encode, image, uid
from dicomlake.testing.hospital.codes import sct, ucum
from dicomlake.testing.hospital.patients import studies
from dicomlake.testing.hospital.reports import (
    Item,
    code,
    container,
    moment,
    number,
    text,
    uidref,
)
from dicomlake.testing.hospital.study import Options

Row = dict[str, Any]
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
SR = "1.2.840.10008.5.1.4.1.1.88."
IMAGE = "1.2.840.10008.5.1.4.1.1."


def contents_of(header: dict[str, Any], *, all_problems: bool = False) -> Contents:
    """What the readers make of an object, with the problems that the last one met."""
    contents = Contents()
    readers: list[ContentReader] = [DoseReader()]
    if "0040A730" in header:
        readers = [ReportReader(), *readers]
    for reader in readers:
        contents.reader = reader.name
        if not all_problems:
            contents.problems.clear()
        reader.read(header, contents)
    return contents


def foreseen(contents: Contents) -> bool:
    """Whether nothing went wrong but what the readers know how to name."""
    return not any("not readable" in problem for _, _, problem in contents.problems)


def of_bytes(data: bytes) -> Contents:
    return contents_of(orjson.loads(HeaderReader().read_bytes(data).json))


def of(description: Description) -> Contents:
    return of_bytes(encode(description))


@cache
def path_of(name: str) -> Path:
    if not CORPUS.is_dir():
        pytest.skip("no samples: there is no folder shared/corpus beside the repository")
    found = sorted(CORPUS.rglob(name))
    assert found, f"{name} is missing in {CORPUS}"
    return found[-1]  # of two projects, the one most files come from


@cache
def header_of(name: str) -> dict[str, Any]:
    header: dict[str, Any] = orjson.loads(HeaderReader().read(*_bytes(path_of(name))).json)
    return header


def _bytes(path: Path) -> tuple[Callable[[int, int], bytes], int]:
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length], len(data)


def wanted(name: str) -> str | None:
    return DoseReader().wants(HeaderReader().read(*_bytes(path_of(name))).first)


@cache
def sample(name: str) -> Contents:
    return contents_of(header_of(name))


def events_of(*names: str) -> list[Row]:
    return [row for name in names for row in sample(name).rows["dose_events"]]


def totals_of(*names: str) -> list[Row]:
    return [row for name in names for row in sample(name).rows["dose_totals"]]


def stored(names: Iterable[str]) -> list[Row]:
    """Rows of events as a lake has them: with the number of the series and the instance."""
    return [row for name in names for row in filled_in(header_of(name), sample(name))]


def filled_in(header: dict[str, Any], contents: Contents, table: str = "dose_events") -> list[Row]:
    instance, series = header["00080018"]["Value"][0], header["0020000E"]["Value"][0]
    return [
        {**row, "SOPInstanceUID": instance, "series_id": crc32(series.encode())}
        for row in contents.rows[table]
    ]


def counted(rows: list[Row]) -> list[Row]:
    """The rows that count, as DuckDB sees them."""
    with duckdb.connect() as db:
        db.register("dose_events", pa.Table.from_pylist(rows, tables.DOSE_EVENTS))
        found = db.sql(
            f"select * from (select *, {tables.COUNTED} as counted from dose_events) where counted "
            "order by StudyInstanceUID, event_key"
        )
        return found.to_arrow_table().drop_columns(["series_id", "counted"]).to_pylist()


# What the other tool states: the last part of its quantity -> our column, and their unit by ours.

EVENT_COLUMNS: dict[str, tuple[str, float]] = {
    "mean_ctdivol": ("CTDIvol", 1),
    "dlp": ("DLP", 1),
    "kvp": ("KVP", 1),
    "maximum_xray_tube_current": ("XRayTubeCurrent_max", 1),
    "xray_tube_current": ("XRayTubeCurrent", 1),
    "average_xray_tube_current": ("XRayTubeCurrent", 1),
    "exposure_time": ("ExposureTime", 1),
    "exposure_time_per_rotation": ("rotation_time", 1),
    "nominal_single_collimation_width": ("SingleCollimationWidth", 1),
    "nominal_total_collimation_width": ("TotalCollimationWidth", 1),
    "number_of_xray_sources": ("sources", 1),
    "scanning_length": ("length", 1),
    "pitch_factor": ("SpiralPitchFactor", 1),
    "ctdivol_alert_value": ("CTDIvol_alert", 1),
    "dlp_alert_value": ("DLP_alert", 1),
    "accumulated_dlp_forward_estimate": ("DLP_alert_estimate", 1),
    "accumulated_ctdivol_forward_estimate": ("CTDIvol_alert_estimate", 1),
    "exposure": ("Exposure", 1000),
    "focal_spot_size": ("FocalSpots", 1),
    "number_of_pulses": ("frames", 1),
    "entrance_exposure_at_rp": ("entrance", 1),
    "half_value_layer": ("HalfValueLayer", 1),
    # in the header of a mammogram there is no Column Angulation: the tool takes the positioner's
    "column_angulation": ("PositionerPrimaryAngle", 1),
    "positioner_primary_angle": ("PositionerPrimaryAngle", 1),
    "compression_force": ("CompressionForce", 1),
    "compression_thickness": ("BodyPartThickness", 1),
    "magnification_factor": ("EstimatedRadiographicMagnificationFactor", 1),
    "average_glandular_dose": ("AGD", 1),
    "percent_fibroglandular_tissue": ("fibroglandular", 1),
    "distance_source_to_detector": ("DistanceSourceToDetector", 1),
    "distance_source_to_entrance_surface": ("DistanceSourceToEntrance", 1),
    "xray_filter_thickness_maximum": ("FilterThicknessMaximum", 1),
    "xray_filter_thickness_minimum": ("FilterThicknessMinimum", 1),
    "collimated_field_area": ("field_area", 1),
    "dose_rp": ("RP", 0.001),
}
TOTAL_COLUMNS = {
    "ct_dose_length_product_total": "DLP",
    "total_number_of_irradiation_events": "events",
    "accumulated_average_glandular_dose": "AGD",
    "total_dap": "DAP",
    "total_dap_a": "DAP",
    "total_acq_dap": "DAP_acquisition",
    "total_fluoro_dap": "DAP_fluoro",
}
EVENT_COUNTS = {"num_events", "number_events", "number_of_events"}
SKIPPED = {
    r"study_responses": "answers of that tool's network queries",
    r"UniqueEquipmentNames|unique_equipment_names": "that tool's table of equipment names",
    r"number_of_events_study_": "states of two made copies of the file that nobody lists",
}
LATER_STATES = {("DX-Im-GE_XR220-1.dcm|DX-RDSR-Canon_CXDI.dcm", "studies.count", "3")}
"""A third study of the tests of equipment names, from a changed copy that nobody lists."""


def expected_rows() -> list[tuple[str, str, str]]:
    if not CORPUS.is_dir():
        return []
    with (CORPUS / "expected_dose.csv").open(newline="") as file:
        return [(r["dicom_files"], r["quantity"], r["expected"]) for r in csv.DictReader(file)]


def skipped(files: str, quantity: str, expected: str) -> bool:
    return (files, quantity, expected) in LATER_STATES or any(
        re.match(pattern, quantity) for pattern in SKIPPED
    )


def position(quantity: str, what: str) -> int:
    """Which event, study or total a quantity is of."""
    if found := re.search(rf"{what}\[(\d+)\]", quantity):
        return int(found[1])
    if found := re.match(r"(?:event_|series)(\d+)", quantity):
        return int(found[1]) - 1
    return 0


def found_values(files: str, quantity: str) -> list[float]:
    """Our values for a quantity: one, or of counts those after the import of each file."""
    names = files.split("|")
    last = quantity.rpartition(".")[2]
    if quantity.endswith("xrayfilters.count"):
        return [max(len(row.get("filters") or []) for row in events_of(*names))]
    if quantity.endswith("accummammographyxraydose.count"):
        return [len(totals_of(*names))]
    if quantity == "studies.count":
        return [len({row["StudyInstanceUID"] for row in counted(stored(names))})]
    if last == "num_events":  # of each document
        return [len(events_of(name)) for name in names]
    if last in EVENT_COUNTS:
        states: list[float] = []
        for many in range(1, len(names) + 1):
            studies: defaultdict[str, int] = defaultdict(int)
            for row in counted(stored(names[:many])):
                studies[row["StudyInstanceUID"]] += 1
            in_order = list(dict.fromkeys(r["StudyInstanceUID"] for r in events_of(*names[:many])))
            at = position(quantity, "studies")
            states.append(studies[in_order[at]] if at < len(in_order) else 0)
        return states
    if last in TOTAL_COLUMNS:
        at = position(quantity, "accummammographyxraydose")
        return [totals_of(*names)[at][TOTAL_COLUMNS[last]]]
    column, factor = EVENT_COLUMNS[last]
    at = position(quantity, "(?:ct|)irrad[a-z]+data")
    value = events_of(*names)[at][column]
    if last == "exposure_time" and names[0].startswith("CT"):
        factor = 0.001  # theirs is in s
    return [value * factor]


def is_total(quantity: str) -> bool:
    last = quantity.rpartition(".")[2]
    return last in TOTAL_COLUMNS or last in EVENT_COUNTS or last == "count"


def test_expected_values() -> None:
    """D1, D2: every total and count, and all other values."""
    rows = expected_rows()
    if not rows:
        pytest.skip("no samples: there is no folder shared/corpus beside the repository")
    asked: dict[tuple[str, str], set[float]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for files, quantity, expected in rows:
        why = skipped(files, quantity, expected)
        counts["skipped" if why else "totals" if is_total(quantity) else "others"] += 1
        if not why:
            asked[files, quantity].add(float(expected))
    missed = []
    for (files, quantity), expected in asked.items():
        found = found_values(files, quantity)
        if len(expected) == 1 and not quantity.endswith("num_events"):
            found = found[-1:]  # not a state after each import, but the end
        if sorted(set(found)) != pytest.approx(sorted(expected), rel=1e-12):
            missed.append((files, quantity, expected, found))
    assert not missed
    assert counts == {"totals": 29, "others": 102, "skipped": 15}


def test_every_row_fits_its_table() -> None:
    for name in SAMPLES:
        contents = sample(name)
        for table in ("dose_events", "dose_totals"):
            rows = filled_in(header_of(name), contents, table)
            for row in rows:
                assert set(row) <= set(tables.ALL[table].names)
                assert row["StudyInstanceUID"]
                assert row["documented"]
                assert row["reader"] == "dose"
                assert {s["quantity"] for s in row.get("sent", [])} <= set(row)
            pa.Table.from_pylist(rows, tables.ALL[table])


SAMPLES = """
CT-ESR-GE_Optima.dcm CT-RDSR-GEPixelMed.dcm CT-RDSR-Philips_BigBore4DCT.dcm
CT-RDSR-Siemens-Continued-1.dcm CT-RDSR-Siemens-Continued-2.dcm CT-RDSR-Siemens_Flash-TAP-SS.dcm
CT-RDSR-Toshiba_DoseCheck.dcm DX-RDSR-Canon_CXDI.dcm MG-RDSR-GEPristina-DBT.dcm
MG-RDSR-Hologic_2D.dcm NM-RRDSR-Siemens.dcm RF-RDSR-Canon-Alphenix-rotational.dcm
RF-RDSR-Eurocolumbus.dcm RF-RDSR-GE.dcm RF-RDSR-Philips_Allura.dcm RF-RDSR-Siemens-Zee.dcm
RF-RDSR-Siemens-Zee_adjusted.dcm
""".split()
IMAGES = """
DX-Im-Carestream_DR7500-1.dcm DX-Im-Carestream_DR7500-2.dcm DX-Im-Carestream_DRX.dcm
DX-Im-GE_XR220-1.dcm DX-Im-GE_XR220-2.dcm DX-Im-GE_XR220-3.dcm MG-Im-GE-SenDS-scaled.dcm
MG-Im-GE_Seno_1_ForPresentation.dcm MG-Im-GE_Seno_1_ForProcessing.dcm
MG-Im-GE_Seno_2_ForPresentation.dcm NM-NmIm-Siemens.dcm NM-PetIm-Siemens-2.dcm
NM-PetIm-Siemens.dcm
""".split()


def test_events_and_totals_of_samples() -> None:
    """Events, events with a dose of their own, and what the documents state (dose.md section 4)."""
    found = {}
    for name in SAMPLES:
        events, totals = events_of(name), totals_of(name)
        dosed = sum(any(e.get(c) is not None for c in DOSES) for e in events)
        found[name] = (
            len(events),
            dosed,
            [t.get("DLP", t.get("DAP", t.get("AGD"))) for t in totals],
        )
    assert found == {
        "CT-ESR-GE_Optima.dcm": (6, 2, [415.82]),
        "CT-RDSR-GEPixelMed.dcm": (2, 2, [586.34]),
        "CT-RDSR-Philips_BigBore4DCT.dcm": (1, 1, [541.1]),
        "CT-RDSR-Siemens-Continued-1.dcm": (2, 2, [60.17]),
        "CT-RDSR-Siemens-Continued-2.dcm": (2, 2, [56.44]),
        "CT-RDSR-Siemens_Flash-TAP-SS.dcm": (4, 4, [724.52]),
        "CT-RDSR-Toshiba_DoseCheck.dcm": (2, 2, [502.4]),
        "DX-RDSR-Canon_CXDI.dcm": (1, 1, [1.07e-05]),
        "MG-RDSR-GEPristina-DBT.dcm": (1, 1, [0.0, 1.09]),
        "MG-RDSR-Hologic_2D.dcm": (2, 2, [1.3, 1.28]),
        "NM-RRDSR-Siemens.dcm": (1, 1, []),
        "RF-RDSR-Canon-Alphenix-rotational.dcm": (49, 49, [0.00031522]),
        "RF-RDSR-Eurocolumbus.dcm": (4, 4, [9e-06]),
        "RF-RDSR-GE.dcm": (8, 8, [0.00024126]),
        "RF-RDSR-Philips_Allura.dcm": (3, 3, [0.00015356864017]),
        "RF-RDSR-Siemens-Zee.dcm": (8, 8, [1.6e-05]),
        "RF-RDSR-Siemens-Zee_adjusted.dcm": (8, 8, [1.6e-05]),
    }


DOSES = ("CTDIvol", "DLP", "DAP", "RP", "AGD", "activity")


def test_images() -> None:
    assert [len(events_of(name)) for name in IMAGES] == [1] * len(IMAGES)
    assert {name[:2]: {e["kind"] for e in events_of(name)} for name in IMAGES} == {
        "DX": {"projection"}, "MG": {"mammography"}, "NM": {"radiopharmaceutical"},
    }  # fmt: skip
    assert [wanted(name) for name in IMAGES] == [""] * 10 + ["radiopharmaceutical"] * 3
    nm, pet2, pet = (events_of(name)[0] for name in IMAGES[-3:])
    assert (nm["activity"], pet["activity"]) == (764, 394)
    assert pet["event_key"] == pet2["event_key"] == pet["event_uid"]
    assert pet["agent"] == "SCT:35321007"
    assert pet["nuclide"] == "SCT:77004003"
    assert "small for Bq" in sample(IMAGES[-3]).problems[0][2]
    assert not sample(IMAGES[-1]).problems


def test_details_of_samples() -> None:
    seno = events_of("MG-Im-GE-SenDS-scaled.dcm")[0]
    assert (seno["AGD"], seno["laterality"], seno["view"]) == (
        1.373,
        "SCT:7771000",
        "SCT:399162004",
    )
    assert [t["laterality"] for t in totals_of("MG-RDSR-Hologic_2D.dcm")] == [
        e["laterality"] for e in events_of("MG-RDSR-Hologic_2D.dcm")
    ]
    head = events_of("CT-RDSR-GEPixelMed.dcm")
    assert [(e["CTDIvol"], e["DLP"], e["phantom"]) for e in head] == [
        (60.41, 475.04, "DCM:113690"), (222.59, 111.3, "DCM:113690"),
    ]  # fmt: skip
    list_of_kv = events_of("RF-RDSR-Eurocolumbus.dcm")[0]  # 0, 85, 85, 68, ... 50
    assert (list_of_kv["KVP"], list_of_kv["KVP_max"]) == (pytest.approx(56.6667, abs=1e-4), 85)
    assert list_of_kv["XRayTubeCurrent"] == 50
    canon = totals_of("DX-RDSR-Canon_CXDI.dcm")[0]
    assert "RP" not in canon
    assert "RP_acquisition" not in canon
    assert canon["plane"] == "single"
    copper = events_of("DX-Im-Carestream_DR7500-2.dcm")[0]["filters"]
    assert [(f["material"], f["maximum"]) for f in copper] == [
        ("SCT:12503006", 0.94), ("SCT:66925006", 0.194),
    ]  # fmt: skip
    agent = events_of("NM-RRDSR-Siemens.dcm")[0]
    assert (agent["agent"], agent["activity"]) == ("SCT:35321007", 394)
    assert "laterality" not in agent
    ge = totals_of("RF-RDSR-GE.dcm")[0]
    assert (ge["RP"], ge["fluoro_time"], ge["frames"]) == (11.7317, 72.46, 0)
    sources = {name: events_of(name)[0]["source"] for name in SAMPLES}
    assert {n for n, s in sources.items() if s == "enhanced SR"} == {"CT-ESR-GE_Optima.dcm"}
    philips = sample("CT-RDSR-Philips_BigBore4DCT.dcm")  # 11,912 s
    assert ("[DCM:113701].[DCM:113819]", "", "ExposureTime is not plausible") in philips.problems


ORDERS = {
    "continued": ("CT-RDSR-Siemens-Continued-1.dcm", "CT-RDSR-Siemens-Continued-2.dcm"),
    "two presentations": (
        "MG-Im-GE_Seno_1_ForProcessing.dcm",
        "MG-Im-GE_Seno_1_ForPresentation.dcm",
        "MG-Im-GE_Seno_2_ForPresentation.dcm",
    ),
    "edited copy": ("RF-RDSR-Siemens-Zee.dcm", "RF-RDSR-Siemens-Zee_adjusted.dcm"),
    "one injection": ("NM-PetIm-Siemens.dcm", "NM-PetIm-Siemens-2.dcm"),
}


EVENTS = dict(zip(ORDERS.values(), (4, 2, 8, 1), strict=True))


@pytest.mark.parametrize("files", ORDERS.values(), ids=ORDERS)
def test_any_order_of_import(files: tuple[str, ...]) -> None:
    """D3."""
    found = []
    for order in itertools.permutations(files):
        rows = [
            {**row, "series_id": at}
            for at, name in enumerate(order)
            for row in filled_in(header_of(name), sample(name))
        ]
        found.append(counted(rows))
    assert all(rows == found[0] for rows in found)
    assert len(found[0]) == EVENTS[files]
    if "Continued" in files[0]:
        assert sum(r["DLP"] for r in found[0]) == pytest.approx(116.61)


def test_a_report_without_dose() -> None:
    """D4."""
    contents = sample("ESR_non-dose.dcm")
    assert wanted("ESR_non-dose.dcm") is None
    assert not contents.rows["dose_events"]
    assert not contents.rows["dose_totals"]


def nonsense(value: Any) -> Any:
    if isinstance(value, list):
        return [nonsense(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {key: nonsense(v) for key, v in value.items()}
    if "00080104" in out:
        out["00080104"] = {"vr": "LO", "Value": ["Sea view"]}
    return out


def without_meanings(value: Any) -> Any:
    if isinstance(value, list):
        return [without_meanings(v) for v in value]
    if isinstance(value, dict):
        return {k: without_meanings(v) for k, v in value.items() if not k.endswith("meaning")}
    return value


@pytest.mark.parametrize("name", [*SAMPLES, *IMAGES])
def test_meanings_do_not_matter(name: str) -> None:
    """D6."""
    other = contents_of(nonsense(header_of(name)))
    for table in ("dose_events", "dose_totals"):
        assert without_meanings(other.rows[table]) == without_meanings(sample(name).rows[table])
    assert other.problems == sample(name).problems


@pytest.mark.parametrize("name", [*SAMPLES, *IMAGES])
def test_templates_do_not_matter(name: str) -> None:
    header = deepcopy(header_of(name))
    _drop(header, "0040A504")
    assert contents_of(header).rows["dose_events"] == sample(name).rows["dose_events"]


def _drop(value: Any, tag: str) -> None:
    if isinstance(value, dict):
        value.pop(tag, None)
        for inner in value.values():
            _drop(inner, tag)
    elif isinstance(value, list):
        for inner in value:
            _drop(inner, tag)


@pytest.mark.parametrize("name", [*SAMPLES, *IMAGES])
def test_truncated_copies(name: str) -> None:
    """D9: rows or problems, never an exception but the reader's own."""
    data = path_of(name).read_bytes()
    for part in range(1, 12):
        cut = data[: len(data) * part // 12]
        try:
            header = HeaderReader().read_bytes(cut)
        except DataError:
            continue
        contents = contents_of(orjson.loads(header.json), all_problems=True)
        whole = contents.rows["dose_events"] == sample(name).rows["dose_events"]
        assert whole or contents.problems or header.problems
        assert foreseen(contents)


@pytest.mark.parametrize("name", [*SAMPLES, *IMAGES])
def test_damaged_copies(name: str) -> None:
    """Bytes that are something else: whatever can still be read, without an exception."""
    rng = Random(name)
    data = path_of(name).read_bytes()
    for _ in range(8):
        damaged = bytearray(data)
        for _ in range(20):
            damaged[rng.randrange(132, len(data))] = rng.randrange(256)
        with suppress(DataError):
            assert foreseen(of_bytes(bytes(damaged)))


def _broken(value: Any, by: Any, at: list[int]) -> Any:
    """A header whose n-th list of values is something else."""
    if isinstance(value, dict):
        out = {}
        for key, inner in value.items():
            if key == "Value":
                at[0] -= 1
                if at[0] == 0:
                    out[key] = by
                    continue
            out[key] = _broken(inner, by, at)
        return out
    return [_broken(v, by, at) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("by", [[], [None], [{}], ["x"], [[]], ["1e999"], [-1], "x", [True]])
@pytest.mark.parametrize("name", ["MG-Im-GE-SenDS-scaled.dcm", "NM-PetIm-Siemens.dcm"])
def test_odd_values_of_images(name: str, by: Any) -> None:
    header = header_of(name)
    for at in range(1, 160):
        contents = Contents()
        DoseReader().read(_broken(header, by, [at]), contents)
        assert foreseen(contents)


def test_odd_items() -> None:
    """Whatever a walk makes of a report, reading its dose does not raise."""
    for name in ("CT-RDSR-Toshiba_DoseCheck.dcm", "MG-RDSR-Hologic_2D.dcm", "NM-RRDSR-Siemens.dcm"):
        for column in ("number", "numbers", "unit_value", "unit_scheme", "code", "text", "moment",
                       "concept", "number_sent", "code_meaning"):  # fmt: skip
            contents = Contents()
            contents.rows["items"] = [dict(row) for row in sample(name).rows["items"]]
            for row in contents.rows["items"][1:]:
                row[column] = None
            DoseReader().read(header_of(name), contents)
            assert foreseen(contents)


# Made-up reports

STUDY = uid("dose", "study")


def dcm(value: str, meaning: str = "whatever") -> Code:
    return Code(value, "DCM", meaning)


def report(root: Item, sop_class: str = SR + "67", **more: Any) -> Description:
    tree = {key: value for key, value in root.items() if key != "RelationshipType"}
    return dataset(
        {
            "SOPClassUID": sop_class,
            "SOPInstanceUID": uid("dose", sop_class, repr(root), repr(more)),
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": uid("dose", "series", sop_class),
            "Modality": "SR",
            "ContentDate": "20240102",
            "ContentTime": "101112.5",
            "CompletionFlag": "COMPLETE",
        },
        tree,
        more,
    )


XRAY = dcm("113701", "X-Ray Radiation Dose Report")
EVENT = dcm("113769", "Irradiation Event UID")


def ct_report(*quantities: Item, event: str = "1.2.3", **more: Any) -> Description:
    items = [uidref(EVENT, event)] if event else []
    acquisition = container(dcm("113819"), *items, container(dcm("113829"), *quantities))
    return report(container(XRAY, acquisition), **more)


UNITS = [
    ("DAP", "122130", "Gy.m2", 1), ("DAP", "122130", "Gym2", 1), ("DAP", "122130", "Gy.cm2", 1e-4),
    ("DAP", "122130", "dGy.cm2", 1e-5), ("DAP", "122130", "cGy.cm2", 1e-6),
    ("DAP", "122130", "mGy.cm2", 1e-7), ("DAP", "122130", "uGy.m2", 1e-6),
    ("DLP", "113838", "mGycm", 1), ("DLP", "113838", "mGy.cm", 1), ("DLP", "113838", "Gy.cm", 1e3),
    ("RP", "113738", "Gy", 1e3), ("RP", "113738", "mGy", 1), ("RP", "113738", "dGy", 100),
    ("RP", "113738", "cGy", 10), ("Exposure", "113736", "uAs", 1e-3),
    ("Exposure", "113736", "uA.s", 1e-3), ("Exposure", "113736", "mAs", 1),
    ("ExposureTime", "113824", "s", 1e3), ("ExposureTime", "113824", "ms", 1),
    ("rotation_time", "113834", "ms", 1e-3), ("duration", "113742", "min", 60),
    ("activity", "113507", "Bq", 1e-6), ("activity", "113507", "MBq", 1),
    ("sources", "113823", "{X-Ray sources}", 1), ("sources", "113823", "X-ray sources", 1),
    ("pulse_rate", "113791", "{pulse}/s", 1), ("pulse_rate", "113791", "pulse/s", 1),
    ("SpiralPitchFactor", "113828", "{ratio}", 1), ("SpiralPitchFactor", "113828", "1", 1),
    ("length", "113825", "cm", 10), ("field_area", "113790", "cm2", 1e-4),
]  # fmt: skip


@pytest.mark.parametrize(("column", "concept", "unit", "factor"), UNITS)
def test_units(column: str, concept: str, unit: str, factor: float) -> None:
    """D5."""
    for scheme in ("UCUM", "UCM"):
        sent = number(dcm(concept), "1.5e-1", Code(unit, scheme, unit))
        row = of(ct_report(sent)).rows["dose_events"][0]
        assert row[column] == pytest.approx(0.15 * factor, rel=1e-12)
        assert row["sent"] == [
            {"quantity": column, "number": "1.5e-1", "unit": unit, "place": "1.1.2.1"}
        ]


@pytest.mark.parametrize(
    ("unit", "problem"),
    [
        (Code("furlong", "UCUM", ""), "DLP is in the unknown unit 'furlong'"),
        (Code("3082", "CID", ""), "DLP is in the unknown unit '3082'"),
        (Code("mm", "UCUM", ""), "DLP cannot be in mm"),
        (Code("{events}", "UCUM", ""), "DLP cannot be in {events}"),
    ],
)
def test_unknown_units(unit: Code, problem: str) -> None:
    contents = of(ct_report(number(dcm("113838"), 7, unit)))
    row = contents.rows["dose_events"][0]
    assert "DLP" not in row
    assert row["sent"][0]["number"] == "7"
    assert row["filled"] == 0
    assert [p[2] for p in contents.problems] == [problem]


def test_numbers_that_are_none() -> None:
    empty = number(dcm("113838"), 1, ucum("mGy.cm"))
    empty["MeasuredValueSequence"] = []
    no_unit = number(dcm("113830"), 1, ucum("mGy"))
    no_unit["MeasuredValueSequence"] = [{"NumericValue": 1}]
    contents = of(ct_report(empty, no_unit))
    row = contents.rows["dose_events"][0]
    assert not {"DLP", "CTDIvol"} & set(row)
    assert [p[2] for p in contents.problems] == ["CTDIvol has no unit"]


def test_plausibility_and_sums() -> None:
    contents = of(ct_report(number(dcm("113830"), 1e6, ucum("mGy"))))
    assert [p[2] for p in contents.problems] == ["CTDIvol is not plausible"]
    assert contents.rows["dose_events"][0]["CTDIvol"] == 1e6
    total = container(
        dcm("113811"),
        number(dcm("113812"), 2, ucum("{events}")),
        number(dcm("113813"), 100, ucum("mGy.cm")),
    )
    event = container(
        dcm("113819"), uidref(EVENT, "1.2"), number(dcm("113838"), 90, ucum("mGy.cm"))
    )
    problems = [p[2] for p in of(report(container(XRAY, total, event))).problems]
    assert problems == [
        "the total of DLP is not the sum of its events",
        "not as many events as the report states",
    ]


def test_images_of_two_studies() -> None:
    """Copies of one image, as another exposure and in another study: 1 event, then 2, in each."""

    def copy(**changed: str) -> list[Row]:
        header = deepcopy(header_of("DX-Im-GE_XR220-2.dcm"))
        for tag, value in changed.items():
            header[tag.removeprefix("t")]["Value"] = [value]
        return filled_in(header, contents_of(header))

    later = {"t0008002A": "20140930141300", "t00080032": "141300", "t00080018": "1.2.3"}
    other = {"t0020000D": "1.2.4", "t00080018": "1.2.5"}
    both = {**later, **other, "t00080018": "1.2.6"}
    same = {"t00080018": "1.2.7"}  # For Presentation
    rows: list[Row] = []
    found = []
    for changed in ({}, other, same, later, both):
        rows += copy(**changed)
        per_study = Counter(r["StudyInstanceUID"] == "1.2.4" for r in counted(rows))
        found.append((per_study[False], per_study[True]))
    assert found == [(1, 0), (1, 1), (1, 1), (2, 1), (2, 2)]


def test_two_sources() -> None:
    """Dual source CT: the mean of the voltages, and the larger one; all of them are in items."""
    sources = [container(dcm("113831"), number(dcm("113733"), kv, ucum("kV"))) for kv in (140, 80)]
    contents = of(ct_report(container(dcm("113822"), *sources)))
    (row,) = contents.rows["dose_events"]
    assert (row["KVP"], row["KVP_max"], len(row["sent"])) == (110, 140, 2)
    assert not contents.problems
    phantoms = [
        container(dcm("113829"), number(dcm("113830"), ctdi, ucum("mGy")),
                  code(dcm("113835"), dcm(phantom)))
        for ctdi, phantom in ((8, "113691"), (16, "113690"))
    ]  # fmt: skip
    contents = of(ct_report(*phantoms))
    (row,) = contents.rows["dose_events"]
    assert (row["CTDIvol"], row["phantom"]) == (8, "DCM:113691")
    assert [p[2] for p in contents.problems] == ["several values of CTDIvol; the first one counts"]


def test_one_uid_for_two_events() -> None:
    event = container(dcm("113819"), uidref(EVENT, "1.2"))
    assert [p[2] for p in of(report(container(XRAY, event, event))).problems] == [
        "a UID of an event occurs twice"
    ]


def test_the_made_up_hospital() -> None:
    """Every event of a report counts; images count only where there is no report of their kind."""
    reader, dose = HeaderReader(), DoseReader()
    rows, truth = [], 0
    read = set()
    for patient in range(30):
        for study in studies(1, patient, Options(pixels=False, images=0.2)):
            for thing in study.objects:
                truth += thing.rows["dose events"]
                header = reader.read_bytes(thing.data)
                want = dose.wants(header.first)
                key = (header.first["SeriesInstanceUID"], want or thing.uid)
                if want is not None and key not in read:
                    read.add(key)
                    json = orjson.loads(header.json)
                    rows += filled_in(json, contents_of(json))
    good = counted(rows)
    reported = [r for r in good if r["source"] == "RDSR"]
    assert len(reported) == truth == sum(r["source"] == "RDSR" for r in rows) > 50
    kinds = {(r["StudyInstanceUID"], r["kind"]) for r in reported}
    images = [r for r in good if r["source"] == "image"]
    assert images
    assert not any((r["StudyInstanceUID"], r["kind"]) in kinds for r in images)
    assert len({r["event_key"] for r in good}) == len(good)


def test_two_kinds_in_one_document() -> None:
    """A device that serves two modalities."""
    root = container(
        XRAY,
        code(dcm("121058"), sct("77477000", "CT"), relation="HAS CONCEPT MOD"),
        container(dcm("113819"), uidref(EVENT, "1.2")),
        container(dcm("113706"), uidref(EVENT, "1.3")),
        container(dcm("113702"), number(dcm("113722"), 1e-5, ucum("Gy.m2"))),
    )
    rows = of(report(root)).rows
    assert [r["kind"] for r in rows["dose_events"]] == ["CT", "projection"]
    assert [r["kind"] for r in rows["dose_totals"]] == ["projection"]


def test_biplane_totals() -> None:
    def plane(value: str, dap: float) -> Item:
        return container(
            dcm("113702"),
            code(dcm("113764"), dcm(value), relation="HAS CONCEPT MOD"),
            number(dcm("113722"), dap, ucum("Gy.m2")),
        )

    rows = of(report(container(XRAY, plane("113620", 2e-4), plane("113621", 0)))).rows
    assert [(t["plane"], t["DAP"]) for t in rows["dose_totals"]] == [("A", 2e-4), ("B", 0)]


def test_events_without_uid() -> None:
    """Two in one document are two; the same one in two documents is one."""

    def event(at: str) -> Item:
        return container(
            dcm("113706"), moment(dcm("111526"), at), number(dcm("113733"), 70, ucum("kV"))
        )

    root = container(XRAY, event("20240102101112"), event("20240102101130"))
    rows = of(report(root)).rows["dose_events"]
    assert len({r["event_key"] for r in rows}) == 2
    again = of(report(root, ContentTime="120000")).rows["dose_events"]
    assert [r["event_key"] for r in again] == [r["event_key"] for r in rows]
    assert all(STUDY not in r["event_key"] for r in rows)
    nothing = of(report(container(XRAY, container(dcm("113706")), container(dcm("113706")))))
    assert len({r["event_key"] for r in nothing.rows["dose_events"]}) == 2
    assert [p[2] for p in nothing.problems] == ["an event without a UID"] * 2


def made(contents: Contents, description: Description) -> list[Row]:
    return [
        {**row, "SOPInstanceUID": description["SOPInstanceUID"], "series_id": 1}
        for row in contents.rows["dose_events"]
    ]


def rows_of(*descriptions: Description) -> list[Row]:
    return [row for d in descriptions for row in made(of(d), d)]


def test_what_counts() -> None:
    dlp = number(dcm("113838"), 7, ucum("mGy.cm"))
    ctdi = number(dcm("113830"), 3, ucum("mGy"))
    good = ct_report(dlp)
    newer = ct_report(dlp, ContentTime="120000")
    fuller = ct_report(dlp, ctdi, ContentTime="120000")
    partial = ct_report(dlp, ctdi, ContentTime="130000", CompletionFlag="PARTIAL")
    enhanced = ct_report(dlp, ctdi, ContentTime="140000", SOPClassUID=SR + "22")
    slice_ = image(StudyInstanceUID=STUDY, CTDIvol=4.0, AcquisitionNumber=3)
    ladder = [good, newer, fuller]
    for many in range(1, 4):
        documents = rows_of(*ladder[:many], partial, enhanced, slice_)
        for at in range(len(documents)):
            (row,) = counted(documents[at:] + documents[:at])
            assert counted(documents[at::-1] + documents[:at:-1]) == [row]
            assert row["SOPInstanceUID"] == ladder[many - 1]["SOPInstanceUID"]
    (row,) = counted(rows_of(partial, enhanced, slice_))
    assert row["source"] == "RDSR"
    (row,) = counted(rows_of(enhanced, slice_))
    assert row["source"] == "enhanced SR"
    other = {**slice_, "StudyInstanceUID": uid("dose", "another")}
    assert len(counted(rows_of(good, other))) == 2
    tracer = pet(StudyInstanceUID=STUDY)
    assert len(counted(rows_of(good, slice_, tracer))) == 2  # another kind of dose
    administered = report(
        container(dcm("113500"), container(dcm("113502"), uidref(dcm("113503"), "1.2.9"))),
        SR + "68",
    )
    assert [r["source"] for r in counted(rows_of(administered, tracer))] == ["RDSR"]


def pet(**more: Any) -> Description:
    injection = {
        "RadionuclideTotalDose": "300000000",
        "RadiopharmaceuticalStartTime": "101500",
        "RadionuclideCodeSequence": [sct("77004003", "Fluorine")],
    }
    return image(
        SOPClassUID=IMAGE + "128",
        Modality="PT",
        AcquisitionDate="20240102",
        RadiopharmaceuticalInformationSequence=[injection],
        **more,
    )


def test_ct_images() -> None:
    slice_ = image(CTDIvol=4.5, AcquisitionNumber=3, Exposure=120, ExposureTime=500,
                   XRayTubeCurrent=240, SpiralPitchFactor=0.9, TotalCollimationWidth=38.4,
                   CTDIPhantomTypeCodeSequence=[dcm("113691", "IEC Body Dosimetry Phantom")],
                   AcquisitionDateTime="20240102101500.123+0100")  # fmt: skip
    reader, first = DoseReader(), HeaderReader().read_bytes(encode(slice_)).first
    assert reader.wants(first) == f"acquisition 3 {first['CTDIvol']}"
    assert reader.wants({**first, "IrradiationEventUID": "1.2.3"}) == "1.2.3"
    assert reader.wants(HeaderReader().read_bytes(encode(image())).first) is None
    (row,) = of(slice_).rows["dose_events"]
    assert (row["CTDIvol"], row["Exposure"], row["phantom"]) == (4.5, 120, "DCM:113691")
    assert (row["KVP"], row["SpiralPitchFactor"], row["kind"]) == (120, 0.9, "CT")
    assert row["started"].isoformat() == "2024-01-02T09:15:00.123000+00:00"
    later = dataset(slice_, AcquisitionDateTime="20240102101503", SOPInstanceUID="1.2.77")
    other = dataset(slice_, AcquisitionNumber=4, SOPInstanceUID="1.2.78")
    named = dataset(slice_, IrradiationEventUID="1.2.3")
    keys = [of(d).rows["dose_events"][0]["event_key"] for d in (slice_, later, other, named)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == "1.2.3"
    assert not of(image()).rows["dose_events"]
    assert not of(dataset(slice_, ImageType=["DERIVED", "SECONDARY", "MPR"])).rows["dose_events"]
    secondary = dataset(slice_, SOPClassUID=IMAGE + "7")
    assert not of(secondary).rows["dose_events"]


def test_runs_of_angiography_and_fluoroscopy() -> None:
    for sop_class in ("12.1", "12.2", "12.1.1", "12.2.1"):
        run = image(SOPClassUID=IMAGE + sop_class, Modality="XA", KVP=70, NumberOfFrames=12,
                    ImageAndFluoroscopyAreaDoseProduct="25.5", AcquisitionDate="20240102",
                    AcquisitionTime="101500.2", PositionerPrimaryAngle=30)  # fmt: skip
        assert DoseReader().wants(HeaderReader().read_bytes(encode(run)).first) == ""
        (row,) = of(run).rows["dose_events"]
        assert row["DAP"] == pytest.approx(25.5e-5)
        assert (row["kind"], row["PositionerPrimaryAngle"]) == ("projection", 30)
    nothing = image(SOPClassUID=IMAGE + "1", Modality="CR", KVP=0, Exposure=0)
    assert not of(nothing).rows["dose_events"]
    plain = image(SOPClassUID=IMAGE + "1", Modality="CR", KVP=70)
    assert DoseReader().wants(HeaderReader().read_bytes(encode(plain)).first) is None
    assert not of(plain).rows["dose_events"]


def test_one_injection_in_many_series() -> None:
    first, second = pet(), pet(SeriesInstanceUID="1.2.5", AcquisitionTime="120000")
    a, b = (of(d).rows["dose_events"][0] for d in (first, second))
    assert a["event_key"] == b["event_key"]
    assert (a["activity"], a["nuclide"]) == (300, "SCT:77004003")
    assert DoseReader().wants(HeaderReader().read_bytes(encode(first)).first)


def test_enhanced_xray_dose() -> None:
    """TID 10040, of which there is no public sample: accumulated doses and event summaries."""
    root = container(
        XRAY,
        code(dcm("121058"), sct("77477000", "CT"), relation="HAS CONCEPT MOD"),
        container(dcm("130500", "Accumulated Dose Data"),
                  number(dcm("113812"), 1, ucum("{events}")),
                  number(dcm("113813"), 200, ucum("mGy.cm"))),
        container(dcm("130501", "Irradiation Event Summary Data"),
                  uidref(EVENT, "1.2.3.4"),
                  moment(dcm("111526"), "20240102101112"),
                  text(dcm("125203"), "Thorax"),
                  code(dcm("123014"), Code("T-D3000", "SRT", "Chest")),
                  number(dcm("113830"), 8, ucum("mGy")),
                  number(dcm("113838"), 200, ucum("mGy.cm"))),
        container(dcm("130505", "Irradiation Details"), number(dcm("113733"), 120, ucum("kV"))),
    )  # fmt: skip
    contents = of(report(root, SR + "76"))
    (row,) = contents.rows["dose_events"]
    (total,) = contents.rows["dose_totals"]
    assert (row["kind"], row["source"], row["precedence"]) == ("CT", "RDSR", 1)
    assert (row["event_key"], row["DLP"], row["region"]) == ("1.2.3.4", 200, "SCT:816094009")
    assert row["protocol"] == "Thorax"
    assert (total["DLP"], total["events"], total["kind"]) == (200, 1, "CT")
    assert not contents.problems


def test_patient_radiation_dose() -> None:
    """TID 10030: estimates for a patient are no exposures; their items stay in `items`."""
    estimate = container(
        dcm("128402", "Radiation Dose Estimate"),
        number(dcm("113839", "Effective Dose"), 3, ucum("mSv")),
        uidref(EVENT, "1.2.3.4"),
    )
    for value in ("128401", "113701"):
        contents = of(report(container(dcm(value), estimate), SR + "73"))
        assert len(contents.rows["items"]) == 4
        assert not contents.rows["dose_events"]
        assert not contents.rows["dose_totals"]


def test_ge_dose_in_an_enhanced_report() -> None:
    row = of(ct_report(number(dcm("113838"), 7, ucum("mGy.cm")), SOPClassUID=SR + "22")).rows
    (event,) = row["dose_events"]
    assert (event["source"], event["precedence"], event["complete"]) == ("enhanced SR", 2, True)
    other = report(container(dcm("121060", "History"), container(dcm("113819"))), SR + "22")
    assert not of(other).rows["dose_events"]


def test_what_is_read() -> None:
    """Reports once each; of images only those that tell a dose."""
    reader = DoseReader()
    assert reader.wants({"SOPClassUID": SR + "67", "ContentSequence": "1"}) == ""
    assert reader.wants({"SOPClassUID": SR + "67"}) is None
    assert reader.wants({"SOPClassUID": IMAGE + "4", "Exposure": "1"}) is None
    assert reader.wants({}) is None
    assert reader.wants({"SOPClassUID": IMAGE + "1.2", "OrganDose": "0.01"}) == ""
    assert Counter(DoseReader.after) == Counter(["report"])


def test_dose_in_functional_groups() -> None:
    tomo = image(
        SOPClassUID=IMAGE + "13.1.3",
        Modality="MG",
        ImageLaterality="L",
        AcquisitionDateTime="20240102101500",
        XRay3DAcquisitionSequence=[{"KVP": 29, "ExposureInmAs": 62.5, "BodyPartThickness": 53}],
        SharedFunctionalGroupsSequence=[
            {
                "XRayAcquisitionDoseSequence": [{"OrganDose": "0.0187", "HalfValueLayer": "0.54"}],
                "FrameAnatomySequence": [{"FrameLaterality": "L"}],
            }
        ],
    )
    del tomo["KVP"]
    assert DoseReader().wants(HeaderReader().read_bytes(encode(tomo)).first) == ""
    (row,) = of(tomo).rows["dose_events"]
    assert (row["kind"], row["laterality"]) == ("mammography", "SCT:7771000")
    assert (row["AGD"], row["HalfValueLayer"]) == (1.87, 0.54)
    assert (row["KVP"], row["Exposure"], row["BodyPartThickness"]) == (29, 62.5, 53)
    phantom = dcm("113691", "IEC Body Dosimetry Phantom")
    ct = image(
        SOPClassUID=IMAGE + "2.1",
        Modality="CT",
        SharedFunctionalGroupsSequence=[
            {
                "CTExposureSequence": [
                    {"CTDIvol": 7.25, "ExposureInmAs": 120.0,
                     "CTDIPhantomTypeCodeSequence": [phantom]}
                ],
                "IrradiationEventIdentificationSequence": [{"IrradiationEventUID": "1.2.3.4"}],
            }
        ],
    )  # fmt: skip
    (row,) = of(ct).rows["dose_events"]
    assert (row["CTDIvol"], row["Exposure"], row["phantom"]) == (7.25, 120, "DCM:113691")
    assert row["event_key"] == row["event_uid"] == "1.2.3.4"
    empty = dataset(ct, SharedFunctionalGroupsSequence=[{}])
    assert not of(empty).rows["dose_events"]
