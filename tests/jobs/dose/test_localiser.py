"""Localisers made by projecting bodies of water with a fan of rays: what is known comes back."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomlake.errors import DataError
from dicomlake.jobs.dose import options_of, size
from dicomlake.jobs.dose.localiser import (
    FRONTAL,
    LATERAL,
    Line,
    Localiser,
    diameter,
    effective_by,
    line_of,
    localiser_of,
    water,
)
from dicomlake.jobs.dose.measuring import measure
from dicomlake.jobs.dose.sizes import lines
from dicomlake.testing.dicom import encode, image, uid
from tests.jobs.dose.made import CT, ct_report, lake_of, put
from tests.jobs.dose.test_estimates import phantom
from tests.jobs.dose.test_measuring import PIXELS, slices

SOD, WIDTH, EACH, ROWS = 541.0, 300, 2.0, 24
"""mm from source to isocentre; columns and mm of each; rows of 5 mm."""
REAL = Path(__file__).parents[4] / "shared" / "corpus" / "pydicom_pydicom" / (
    "src/pydicom/data/test_files/dicomdirtests/98892001/CT2N/6293"
)  # fmt: skip


def ways(LAT: float, AP: float, view: str, lift: float = 0.0, flat: bool = False) -> Any:
    """mm of water in each ray through an ellipse that is lifted towards the tube."""
    at = (np.arange(WIDTH) - WIDTH / 2 + 0.5) * EACH / SOD
    angle = np.arctan(at) if flat else at
    half, depth = (LAT / 2, AP / 2) if view == FRONTAL else (AP / 2, LAT / 2)
    away = SOD - lift
    # |source + t (sin, cos)| on the ellipse: a quadratic in t
    a = (np.sin(angle) / half) ** 2 + (np.cos(angle) / depth) ** 2
    b = -2 * away * np.cos(angle) / depth**2
    c = (away / depth) ** 2 - 1
    return np.sqrt(np.maximum(b**2 - 4 * a * c, 0)) / a


def header(view: str, **more: Any) -> dict[str, Any]:
    side = [1, 0, 0] if view == FRONTAL else [0, 1, 0]
    return {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT", "PatientID": "P1",
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "PatientPosition": "HFS",
        "Rows": ROWS, "Columns": WIDTH, "PixelSpacing": [5.0, EACH],
        "ImageOrientationPatient": [*side, 0, 0, -1],
        "ImagePositionPatient": [*[-300 * one for one in side[:2]], 50],
        "DistanceSourceToPatient": SOD, "KVP": 120, "DeviceSerialNumber": "S1",
        "FrameOfReferenceUID": uid("frame", 1), **more,
    }  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = pydicom.dcmread(path, stop_before_pixels=True).to_json_dict()
    return found


def seen(tmp_path: Path, view: str, pixels: Any, **more: Any) -> Localiser:
    """A localiser of one row of values, repeated."""
    path = tmp_path / f"{view}.dcm"
    path.write_bytes(encode(image(**header(view, **more))))
    return localiser_of(read(path), np.tile(pixels, (ROWS, 1)))


class TestGeometry:
    @pytest.mark.parametrize(("LAT", "AP"), [(300, 300), (380, 260), (160, 180)])
    def test_both_views(self, tmp_path: Path, LAT: float, AP: float) -> None:
        views = [seen(tmp_path, view, ways(LAT, AP, view)) for view in (FRONTAL, LATERAL)]
        found = diameter(views)
        assert found == (pytest.approx(sqrt(LAT * AP), rel=0.01), True)
        flat = [seen(tmp_path, view, ways(LAT, AP, view, flat=True)) for view in (FRONTAL, LATERAL)]
        again = diameter(flat)
        assert again is not None
        assert again[0] == pytest.approx(sqrt(LAT * AP), rel=0.05)

    @pytest.mark.parametrize(("lift", "said"), [(60.0, "AP"), (-60.0, "AP"), (60.0, "PA")])
    def test_who_lies_too_high_or_low_is_magnified(
        self, tmp_path: Path, lift: float, said: str
    ) -> None:
        towards = lift if said == "AP" else -lift
        more = {"ViewPosition": said, "TableHeight": 150.0 - lift}
        one = seen(tmp_path, FRONTAL, ways(300, 300, FRONTAL, towards), **more)
        plain = seen(tmp_path, FRONTAL, ways(300, 300, FRONTAL, towards))
        assert plain.widths[0] / one.widths[0] == pytest.approx(1)
        lateral = seen(tmp_path, LATERAL, np.roll(ways(300, 300, LATERAL), round(-lift / EACH)))
        both = diameter([one, lateral])
        assert both == (pytest.approx(300, rel=0.015), True)
        wrong = diameter([plain, lateral])
        assert wrong is not None
        assert abs(wrong[0] / 300 - 1) > 0.04

    def test_one_view_alone_by_the_relation_of_aapm_204(self, tmp_path: Path) -> None:
        frontal = seen(tmp_path, FRONTAL, ways(300, 247**2 / 300, FRONTAL))
        assert diameter([frontal]) == (pytest.approx(247, rel=0.01), False)
        for cm in range(20, 41, 5):  # both columns of the table say the same
            both = effective_by(LAT=cm * 10)
            assert effective_by(AP=both**2 / (cm * 10)) == pytest.approx(both, rel=0.015)

    def test_table_and_lungs(self, tmp_path: Path) -> None:
        body = ways(340, 240, FRONTAL)
        offset = np.abs((np.arange(WIDTH) - WIDTH / 2 + 0.5) * EACH)
        body[(offset > 40) & (offset < 110)] *= 0.4  # lungs
        body[offset < 220] += 12.0  # the table is wider than the body
        assert seen(tmp_path, FRONTAL, body).widths[0] == pytest.approx(
            seen(tmp_path, FRONTAL, ways(340, 240, FRONTAL)).widths[0], rel=0.02
        )

    def test_rows_along_the_body(self, tmp_path: Path) -> None:
        more = {"PixelSpacing": [EACH, 5.0], "ImageOrientationPatient": [0, 0, -1, 1, 0, 0]}
        path = tmp_path / "turned.dcm"
        path.write_bytes(encode(image(**header(FRONTAL, **more))))
        pixels = np.tile(ways(300, 300, FRONTAL), (ROWS, 1))
        turned = localiser_of(read(path), pixels.T)
        straight = seen(tmp_path, FRONTAL, pixels[0])
        assert (turned.view, turned.z) == (FRONTAL, straight.z)
        assert turned.widths == pytest.approx(straight.widths)

    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "along the body"),
            ({"ImageOrientationPatient": [0.7, 0.7, 0, 0, 0, -1]}, "neither frontal nor lateral"),
            ({"ImageOrientationPatient": None}, "from where"),
            ({"PixelSpacing": None}, "no pixel spacing"),
        ],
    )
    def test_refused(self, tmp_path: Path, more: dict[str, Any], why: str) -> None:
        with pytest.raises(DataError, match=why):
            seen(tmp_path, FRONTAL, ways(300, 300, FRONTAL), **more)

    def test_cut_off(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cut off"):
            seen(tmp_path, FRONTAL, ways(640, 300, FRONTAL))

    def test_a_real_one_that_was_made_small(self) -> None:
        if not REAL.is_file():
            pytest.skip("the real files are not here")
        found = pydicom.dcmread(REAL)
        pixels = found.pixel_array + float(found.RescaleIntercept)
        with pytest.raises(DataError, match="cut off"):  # 16 pixels of 10 mm, all of the body
            localiser_of(read(REAL), pixels)


class TestLine:
    KIND = ("S1", 120.0, FRONTAL)

    def test_robust(self) -> None:
        points = [(x, 0.5 * x + 1000) for x in range(20_000, 100_000, 10_000)]
        found = line_of(self.KIND, [*points, (50_000, 900_000.0)])
        assert (found.slope, found.n, found.why) == (pytest.approx(0.5, rel=0.1), 9, "")
        assert found.residual < 0.05

    @pytest.mark.parametrize(
        ("points", "why"),
        [
            ([(1.0, 1.0)] * 4, "4 studies have both, 5 are needed"),
            ([(float(n), 10.0 - n) for n in range(6)], "do not grow"),
            ([(n, 100.0 + n + 60 * (-1) ** n) for n in range(8)], "% beside the line"),
        ],
    )
    def test_not_used(self, points: list[tuple[float, float]], why: str) -> None:
        found = line_of(self.KIND, points)
        assert why in found.why

    def test_the_line_gives_water(self, tmp_path: Path) -> None:
        """Rays through water are its area: the line of slope 1 needs no calibration."""
        views = [seen(tmp_path, view, ways(380, 260, view)) for view in (FRONTAL, LATERAL)]
        good = {("S1", 120.0, view): Line("S1", 120.0, view, 1.0, 0.0, 9, 0.0)
                for view in (FRONTAL, LATERAL)}  # fmt: skip
        assert water(views, good) == pytest.approx(sqrt(380 * 260), rel=0.015)
        bad = {kind: Line(*kind, 1.0, 0.0, 2, 0.0, "too few") for kind in good}
        assert water(views, bad) is None


def scout(folder: Path, study: str, LAT: float, AP: float, views: tuple[str, ...]) -> None:
    """Localisers of a study; a value is a third of the way through water, and there is a table."""
    for view in views:
        pixels = np.round(ways(LAT, AP, view) * 0.33 - 200 + 10)
        more = header(
            view, StudyInstanceUID=uid("study", study), SeriesInstanceUID=uid("scout", study, view),
            SOPInstanceUID=uid("scout", study, view), FrameOfReferenceUID=uid("frame", study),
            BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1, SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2", RescaleSlope=1, RescaleIntercept=-1024,
            PixelData=(np.tile(pixels, (ROWS, 1)) + 1024).astype("<i2").tobytes(),
        )  # fmt: skip
        (folder / f"scout-{study}-{view}.dcm").write_bytes(encode(image(**more)))


def test_a_lake_with_localisers(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for n, size_ in enumerate((200.0, 240.0, 280.0, 320.0, 360.0)):  # what calibrates
        name = f"both{n}"
        put(folder, ct_report(CT(name)), study=name)
        pixels, _ = phantom(size_, 500.0, PIXELS)
        slices(folder, name, pixels, FrameOfReferenceUID=uid("frame", name))
        scout(folder, name, size_, size_, (FRONTAL,))
    put(folder, ct_report(CT("one"), CT("again")), study="one")
    scout(folder, "one", 330.0, 260.0, (FRONTAL,))
    put(folder, ct_report(CT("two")), study="two")
    scout(folder, "two", 330.0, 260.0, (LATERAL, FRONTAL))
    put(folder, ct_report(CT("side")), study="side")
    scout(folder, "side", 330.0, 260.0, (LATERAL,))
    lake = lake_of(folder)
    report = measure(lake.path)
    assert (report.measured, report.localisers, report.unmeasured, report.lines) == (5, 9, 0, 1)
    made = {line.view: line for line in lines(options_of(lake.path).folder)}
    assert (made[FRONTAL].n, made[FRONTAL].why) == (5, "")
    assert made[FRONTAL].slope == pytest.approx(1 / 0.33, rel=0.05)
    assert made[FRONTAL].residual < 0.03
    assert made[LATERAL].why == "0 studies have both, 5 are needed"
    found = {r["event_key"]: r for r in lake.refresh().dose.events().to_pylist()}
    wanted = sqrt(330 * 260)
    for name, source, rel in (
        ("one", "localiser calibrated", 0.03), ("again", "localiser calibrated", 0.03),
        ("two", "localiser calibrated", 0.03), ("side", "localiser, one view", 0.12),
    ):  # fmt: skip
        row = found[uid("event", name)]
        assert (row["size_source"], row["size_used"]) == (source, pytest.approx(wanted, rel=rel))
        assert row["SSDE"] == pytest.approx(10 * (size.factor(32, row["size_used"]) or 0))
    for n in range(5):
        assert found[uid("event", f"both{n}")]["size_source"] == "water equivalent"
    assert measure(lake.path).series == 0
