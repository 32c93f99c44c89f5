"""Water-equivalent diameters measured in the pixels of series, and the doses made with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dicomlake
from dicomlake.jobs.dose import options_of, size
from dicomlake.jobs.dose.measuring import measure
from dicomlake.jobs.dose.sizes import Measured, kept
from dicomlake.jobs.volumes import GONE
from dicomlake.query import parse
from dicomlake.testing.dicom import encode, image, uid
from tests.jobs.dose.made import CT, ct_report, lake_of, put
from tests.jobs.dose.test_estimates import phantom

PIXELS, FIELD = 128, 500.0


def slices(folder: Path, study: str, pixels: np.ndarray[Any, Any], **more: Any) -> None:
    """A series of 4 slices of HU, of the event that has the name of the study."""
    for n in range(4):
        described = image(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            Modality="CT",
            PatientID="P1",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            StudyInstanceUID=uid("study", study),
            SeriesInstanceUID=uid("pixels", study),
            SOPInstanceUID=uid("pixels", study, n),
            IrradiationEventUID=uid("event", study),
            InstanceNumber=n + 1,
            Rows=PIXELS,
            Columns=PIXELS,
            PixelSpacing=[FIELD / PIXELS, FIELD / PIXELS],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 5.0 * n],
            BitsAllocated=16,
            BitsStored=16,
            HighBit=15,
            PixelRepresentation=1,
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            RescaleSlope=1,
            RescaleIntercept=-1024,
            RescaleType="HU",
            PixelData=(pixels + 1024).astype("<i2").tobytes(),
        )
        folder.mkdir(exist_ok=True)
        (folder / f"{study}-{n}.dcm").write_bytes(encode({**described, **more}))


@pytest.fixture
def lake(tmp_path: Path) -> dicomlake.Lake:
    folder = tmp_path / "in"
    whole, _ = phantom(300.0, FIELD, PIXELS)
    table = whole.copy()
    table[PIXELS // 2 + 42 : PIXELS // 2 + 44, 10:118] = 200.0
    cut = np.zeros((PIXELS, PIXELS))
    for name, pixels in (("whole", whole), ("table", table), ("cut", cut)):
        put(folder, ct_report(CT(name)), study=name)
        slices(folder, name, pixels)
    slices(folder, "sagittal", whole, ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
           ImagePositionPatient=None)  # fmt: skip
    return lake_of(folder)


def by_study(lake: dicomlake.Lake) -> dict[str, Measured]:
    found = kept(options_of(lake.path).folder)
    names = {uid("pixels", name): name for name in ("whole", "table", "cut", "sagittal")}
    rows = lake.sql("select series_id, SeriesInstanceUID as uid from series").to_pylist()
    return {names[r["uid"]]: found[r["series_id"]] for r in rows if r["series_id"] in found}


def test_measured_once(lake: dicomlake.Lake) -> None:
    report = measure(lake.path)
    assert (report.series, report.measured, report.cut, report.unmeasured) == (4, 3, 1, 1)
    found = by_study(lake)
    for name in ("whole", "table"):
        assert found[name].diameter == pytest.approx(300.0, rel=0.01)
        assert (found[name].slices, found[name].cut) == (4, 0)
    assert found["cut"].cut == 4
    assert (found["sagittal"].diameter, bool(found["sagittal"].why)) == (None, True)
    assert measure(lake.path).series == 0
    assert measure(lake.path, parse("Modality = 'CT'"), again=True).series == 4
    runs = lake.refresh().sql("select state from runs where kind = 'dose sizes'").to_pylist()
    assert [row["state"] for row in runs] == ["finished"] * 3


def test_events_get_the_size_of_their_series(lake: dicomlake.Lake) -> None:
    before = lake.dose.events()
    assert set(before.column("SSDE").to_pylist()) == {None}
    measure(lake.path)
    found = {r["event_key"]: r for r in lake.refresh().dose.events().to_pylist()}
    whole = found[uid("event", "whole")]
    assert whole["size_source"] == "water equivalent"
    f = size.factor(32, whole["size_used"])
    assert f is not None
    assert whole["SSDE"] == pytest.approx(10.0 * f)
    cut = found[uid("event", "cut")]
    assert (cut["SSDE"], cut["why_not"]) == (None, ["no SSDE: the size is not known"])


def test_objects_that_are_gone_are_tried_again(lake: dicomlake.Lake, tmp_path: Path) -> None:
    files = sorted((tmp_path / "in").glob("whole-*.dcm"))
    data = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    for path in files:
        path.unlink()
    measure(lake.path)
    assert by_study(lake)["whole"].why == GONE
    for path, content, when in data:
        path.write_bytes(content)
        os.utime(path, ns=(when, when))
    assert measure(lake.path).series == 1
    assert by_study(lake)["whole"].diameter == pytest.approx(300.0, rel=0.01)
