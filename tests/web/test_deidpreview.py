"""What would be blanked in an instance, over HTTP."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.web import app
from tests.deid.objects import described
from tests.deid.planted import ultrasound, write

try:
    import rapidocr_onnxruntime  # noqa: F401
except ImportError as error:
    pytest.skip(f"text is not found without the extra deid: {error}", allow_module_level=True)

WRITTEN = (10, 8)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("preview")
    pixels = ultrasound(5, 400, 300)
    write(pixels, WRITTEN, "MUELLER ANNA", 16, (230, 10))
    (folder / "files").mkdir()
    said = described(pixels, SOPInstanceUID="2.25.1")
    (folder / "files" / "us.dcm").write_bytes(encode(said))
    (folder / "files" / "ct.dcm").write_bytes(
        encode(image(SOPInstanceUID="2.25.2", SeriesInstanceUID=uid("preview", "ct")))
    )
    index([folder / "files"], folder / "lake", workers=1)
    with TestClient(app(folder / "lake", Settings()), base_url="http://localhost") as made:
        yield made


def test_boxes_and_pictures(client: TestClient) -> None:
    answer = client.post("/api/deid/preview", json={"SOPInstanceUID": "2.25.1"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert "SOP class" in found["why"] or "Image Type" in found["why"]
    assert found["problem"] == ""
    x, y = WRITTEN
    assert any(b["x0"] <= x + 40 <= b["x1"] and b["y0"] <= y + 6 <= b["y1"] for b in found["boxes"])
    before, after = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(found[name]))))
        for name in ("before", "after")
    )
    assert before.shape == (300, 400, 3)
    assert after.shape == (300, 400)
    assert len(np.unique(after[y + 2 : y + 12, x + 2 : x + 100])) == 1


def test_what_is_not_searched_says_so(client: TestClient) -> None:
    found = client.post("/api/deid/preview", json={"SOPInstanceUID": "2.25.2"}).json()
    assert (found["why"], found["boxes"], found["before"]) == ("", [], None)


def test_what_is_not_there_is_told(client: TestClient) -> None:
    for uid_ in ("2.25.3", "../etc", "'"):
        answer = client.post("/api/deid/preview", json={"SOPInstanceUID": uid_})
        assert answer.status_code == 404
    for body in ({}, {"SOPInstanceUID": "2.25.1", "look": "none"}, {"SOPInstanceUID": ""}):
        assert client.post("/api/deid/preview", json=body).status_code == 422
