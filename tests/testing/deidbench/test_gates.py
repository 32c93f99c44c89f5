"""What dicomlake itself leaves in a small corpus: the gates of the benchmark."""

import shutil
from pathlib import Path

import pytest

from dicomlake.testing.deidbench import gates, judge, make, read_key, summary, tools
from dicomlake.testing.deidbench.answers import RESEARCH, write_key

pytest.importorskip("pypdf")

HEADERS = """title: research without pixels
extends: basic
options:
  - graphics
  - structured-content
  - descriptors
  - modified-dates
  - patient-characteristics
  - device
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    make(folder, patients=2, seed=11)
    (folder / "key.txt").write_text("a key that is long enough for everybody " * 2)
    (folder / "other.txt").write_text("another key that is long enough for all " * 2)
    (folder / "headers.yaml").write_text(HEADERS)
    return folder


def clean(place: Path, name: str, profile: str, key: str = "key.txt", workers: int = 1) -> Path:
    out = place / name
    tools.clean_with_ours(place / "corpus", out, place / key, profile, workers)
    return out


def test_headers(place):
    profile = str(place / "headers.yaml")
    out = clean(place, "headers", profile)
    runs = {
        "again": clean(place, "again", profile),
        "workers": clean(place, "workers", profile, workers=2),
        "other": clean(place, "other", profile, key="other.txt"),
    }
    judged = judge(place / "corpus", place / "key", out, RESEARCH - {"pixels"}, **runs)
    told = summary(judged)
    wrong = [
        (r.check.check_id, r.check.action, r.check.path, r.why) for r in judged.failed
        if r.check.action not in ("pixels_hidden", "pixels_retained")
    ]  # fmt: skip
    assert wrong == []
    assert told["missing"] == 0


def test_words_in_pixels(place, tmp_path):
    """Some objects of each kind; the whole is measured by `python -m bench`."""
    pytest.importorskip("rapidocr_onnxruntime", exc_type=ImportError)
    checks = read_key(place / "key")
    held = {c.file for c in checks if c.action == "pixels_hidden" and c.category in ("H10", "H11")}
    names = sorted(held, key=lambda name: name[-9:])[:8]
    for name in names:
        target = tmp_path / "corpus" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / "corpus" / name, target)
    out = tmp_path / "out"
    tools.clean_with_ours(tmp_path / "corpus", out, place / "key.txt", "research")
    (tmp_path / "key").mkdir()
    write_key(tmp_path / "key", [c for c in checks if c.file in names])
    judged = judge(tmp_path / "corpus", tmp_path / "key", out, validator=False)
    assert judged.missing == []
    told = {gate.name: gate.measured for gate in gates(judged)}
    assert told["words in pixels hidden"] >= 0.85
    assert told["pixels hidden without need"] <= 0.05
    wrong = {r.check.action for r in judged.failed}
    assert wrong <= {"pixels_hidden", "pixels_retained", "ref_integrity"}
