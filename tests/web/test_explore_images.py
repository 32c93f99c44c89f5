"""Images of a series and what is drawn over them, over HTTP, compared with what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from fastapi.testclient import TestClient

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.images import colour, ordered
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.web import app

from . import phantom
from .phantom import SERIES, SLICES, SPACING, sop

NATIVE = {"Accept": "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("phantom")
    index([phantom.write(folder / "files")], folder / "lake", workers=1)
    with TestClient(app(folder / "lake", Settings()), base_url="http://localhost") as made:
        yield made


def images(client: TestClient, name: str) -> dict[str, Any]:
    answer = client.get(f"/api/series/{SERIES[name]}/images")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def frame(client: TestClient, name: str, shown: dict[str, Any]) -> bytes:
    path = f"/dicom-web/studies/{phantom.STUDY}/series/{SERIES[name]}/instances"
    answer = client.get(f"{path}/{shown['SOPInstanceUID']}/frames/{shown['frame']}", headers=NATIVE)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_slices_come_by_place_with_what_is_needed(client: TestClient) -> None:
    found = images(client, "CT")
    assert [i["SOPInstanceUID"] for i in found["images"]] == [sop("CT", n) for n in range(SLICES)]
    assert [i["InstanceNumber"] for i in found["images"]] == list(range(SLICES, 0, -1))
    first = found["images"][0]
    assert first["spacing"] == [SPACING, SPACING]
    assert (first["spacing_at"], first["unit"]) == ("patient", "HU")
    assert (first["slope"], first["intercept"]) == (1, -1024)
    assert [(w["center"], w["width"], w["name"]) for w in first["windows"]] == [
        (40, 400, "BODY"), (20, 100, "NARROW"),
    ]  # fmt: skip
    for at, shown in enumerate(found["images"]):
        assert frame(client, "CT", shown) == phantom.ct(at).tobytes()


def test_frames_of_an_enhanced_object_have_their_own_places_and_windows(client: TestClient) -> None:
    found = images(client, "MR")["images"]
    assert [i["frame"] for i in found] == [4, 3, 2, 1]
    assert [i["position"][2] for i in found] == [0, 10, 20, 30]
    assert [i["windows"][0]["width"] for i in found] == [203, 202, 201, 200]
    assert [(i["slope"], i["intercept"], i["unit"]) for i in found] == [
        (2, 3, ""), (2, 2, ""), (2, 1, ""), (2, 0, ""),
    ]  # fmt: skip
    assert all(i["signed"] and i["spacing"] == [2, 1] for i in found)
    assert np.frombuffer(frame(client, "MR", found[0]), "<i2")[0] == 50


def test_a_loop_knows_its_speed_and_its_centimetres(client: TestClient) -> None:
    found = images(client, "US")["images"]
    assert [i["frame"] for i in found] == [1, 2, 3]
    assert {(i["color"], i["frame_time"]) for i in found} == {(True, 100)}
    assert found[0]["spacing"] == [0.5, 0.5]


def test_a_radiograph_has_its_table_and_is_measured_at_the_detector(client: TestClient) -> None:
    (found,) = images(client, "DX")["images"]
    (table,) = found["tables"]
    assert (table["kind"], table["bits"], table["explanation"]) == ("voi", 8, "STEPS")
    entries = table["entries"]
    if entries is None:
        path = f"/dicom-web/studies/{phantom.STUDY}/series/{SERIES['DX']}/instances/{sop('DX')}"
        raw = client.get(f"{path}/{table['bulk']}").content
        entries = np.frombuffer(raw, "<u2").tolist()
    assert entries == [at * 17 for at in range(16)]
    assert (found["inverse"], found["spacing_at"], found["sides"]) == (True, "detector", ["L", "F"])


def test_a_segmentation_lies_over_its_images(client: TestClient) -> None:
    (head,) = images(client, "CT")["overlays"]
    assert [(s["number"], s["label"]) for s in head["segments"]] == [(1, "Left"), (2, "Box")]
    assert head["segments"][0]["color"] == "#ff0000"
    assert head["segments"][1]["color"] == "#00ff00"
    found = client.get(f"/api/instances/{head['SOPInstanceUID']}/overlay").json()
    placed = [(m["segment"], m["position"][2]) for m in found["masks"]]
    assert placed == [(1, 0), (1, 3), (1, 6), (1, 9), (1, 12), (2, 6)]
    for at, shown in enumerate(found["masks"]):
        raw = frame(client, "SEG", {**head, "frame": shown["frame"]})
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").astype(bool)
        segment, place = placed[at]
        assert (bits.reshape(64, 64) == phantom.mask(segment, place // 3)).all()


def test_what_is_not_there(client: TestClient) -> None:
    for path in ("/api/series/1.2.3/images", "/api/instances/1.2.3/overlay"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


# The made-up hospital


@pytest.fixture(scope="module")
def hospital(pictures_lake: Path) -> Lake:
    return dicomlake.open(pictures_lake)


def drawn(pictures: TestClient, hospital: Lake, modality: str) -> list[tuple[Any, Any]]:
    """Objects of a modality that are listed for some series, and what they draw."""
    found = {}
    for uid in hospital.sql(
        'select "SeriesInstanceUID" as u from series where "Rows" is not null'
    ).to_pylist():
        told = pictures.get(f"/api/series/{uid['u']}/images").json()
        for head in told["overlays"]:
            if head["Modality"] == modality:
                found[head["SOPInstanceUID"]] = told
    return [
        (told, pictures.get(f"/api/instances/{instance}/overlay").json())
        for instance, told in found.items()
    ]


def test_measurements_of_reports_are_drawn_where_they_were_made(
    pictures: TestClient, hospital: Lake
) -> None:
    found = drawn(pictures, hospital, "SR")
    regions = hospital.sql("select count(*) as n from items where value_type = 'SCOORD'")
    assert sum(len(o["shapes"]) for _, o in found) == regions.to_pylist()[0]["n"] > 0
    for told, overlay in found:
        known = {i["SOPInstanceUID"] for i in told["images"]}
        for shape in overlay["shapes"]:
            assert known & {on["SOPInstanceUID"] for on in shape["on"]}
            assert "mm" in shape["text"]


@pytest.mark.parametrize(("modality", "part"), [("SEG", "masks"), ("PR", "shapes")])
def test_other_objects_draw(pictures: TestClient, hospital: Lake, modality: str, part: str) -> None:
    there = hospital.sql(
        f"select count(*) as n from series where \"Modality\" = '{modality}'"
    ).to_pylist()[0]["n"]
    found = drawn(pictures, hospital, modality)
    assert len(found) == there
    assert all(overlay[part] for _, overlay in found)


def test_contours_come_whole(tmp_path: Path) -> None:
    from dicomlake.testing import hospital as made

    made.write(tmp_path / "files", 40, pixels=False)
    index([tmp_path / "files"], tmp_path / "lake", workers=1)
    lake = dicomlake.open(tmp_path / "lake")
    (row, *_) = lake.sql(
        'select i."SOPInstanceUID" as u, i.header from instances i join series s using (series_id) '
        "where s.\"Modality\" = 'RTSTRUCT'"
    ).to_pylist()
    header = orjson.loads(row["header"])
    contours = [
        contour["30060050"]["Value"]
        for roi in header["30060039"]["Value"]
        for contour in roi["30060040"]["Value"]
    ]
    with TestClient(app(tmp_path / "lake", Settings()), base_url="http://localhost") as client:
        found = client.get(f"/api/instances/{row['u']}/overlay").json()
    assert [c["points"] for c in found["contours"]] == [[float(v) for v in c] for c in contours]


def test_images_of_several_phases_stay_as_they_are_numbered() -> None:
    def shown(number: int, z: float) -> dict[str, Any]:
        return {"n": number, "position": [0, 0, z], "orientation": [1, 0, 0, 0, 1, 0]}

    phases = [shown(0, 5), shown(1, 0), shown(2, 5), shown(3, 0)]
    assert [i["n"] for i in ordered(phases)] == [0, 1, 2, 3]
    assert [i["n"] for i in ordered(phases[:2])] == [1, 0]
    turned = [shown(0, 5), {**shown(1, 0), "orientation": [0, 1, 0, 0, 0, -1]}]
    assert [i["n"] for i in ordered(turned)] == [0, 1]
    assert ordered([{**shown(0, 5), "position": None}, shown(1, 0)])[0]["n"] == 0


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [([65535, 32896, 32896], "#ffffff"), ([0, 32896, 32896], "#000000"), ([1, 2], None)],
)
def test_colours_of_segments(lab: list[int], rgb: str | None) -> None:
    assert colour(lab, lab=True) == rgb
