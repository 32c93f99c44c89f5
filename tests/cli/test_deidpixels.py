"""dicomlake deid pixels shows what would be blanked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomlake.testing.dicom import encode, image
from tests.cli.conftest import Run
from tests.deid.objects import described
from tests.deid.planted import ultrasound, write

try:
    import rapidocr_onnxruntime  # noqa: F401
except ImportError as error:
    pytest.skip(f"text is not found without the extra deid: {error}", allow_module_level=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pixels")
    pixels = ultrasound(5, 400, 300)
    write(pixels, (10, 8), "MUELLER ANNA", 16, (230, 10))
    (folder / "mueller.dcm").write_bytes(encode(described(pixels)))
    (folder / "ct.dcm").write_bytes(encode(image()))
    (folder / "notes.txt").write_text("no DICOM")
    return folder


def test_boxes_and_pictures(run: Run, place: Path) -> None:
    code, out, _ = run("deid", "pixels", "mueller.dcm", "--to", "review")
    assert code == 0
    assert "Searched for text: " in out
    assert "text: " in out
    assert sorted(p.name for p in (place / "review").iterdir()) == [
        "frame-0001-after.png", "frame-0001-before.png",
    ]  # fmt: skip
    code, out, _ = run("deid", "pixels", "mueller.dcm", "--json")
    found = json.loads(out)
    assert any(b["x0"] <= 40 <= b["x1"] and b["y0"] <= 14 <= b["y1"] for b in found["boxes"])


def test_what_is_not_searched_says_so(run: Run) -> None:
    code, out, _ = run("deid", "pixels", "ct.dcm")
    assert code == 0
    assert "Not searched for text" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.dcm"], "cannot be read"),
        (["notes.txt"], "cannot be looked at"),
        (["ct.dcm", "--look", "never"], "suspected or all"),
    ],
)
def test_mistakes_are_told(run: Run, words: list[str], told: str) -> None:
    code, _, err = run("deid", "pixels", *words)
    assert code != 0
    assert told in " ".join(err.split())
