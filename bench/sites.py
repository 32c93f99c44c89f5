"""Eight heart centres with habits of their own: into lakes, and the same questions to all."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dicomlake
from dicomlake.testing.sites import QUESTIONS, SITES, steps, write

HEAD = ("site", "ECG", "labels", "files", "s", "answers right", "ms per answer")


def measure(patients: int) -> list[tuple[str, ...]]:
    """Rows of the table: a site, its habits, files, seconds, questions with the true answer."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        truth = write(folder, patients)
        rows = []
        total = 0
        for site in SITES:
            home = folder / site.name.lower()
            files = sum(1 for path in home.rglob("*") if path.is_file())
            began = time.perf_counter()
            _bring(home, home / "lake")
            taken = time.perf_counter() - began
            right, per_answer = _asked(home / "lake", truth[site.name].counts)
            total += right
            rows.append(
                (site.name, " ".join(site.ecg), site.labels, f"{files:,}", f"{taken:.1f}",
                 f"{right}/{len(QUESTIONS)}", f"{per_answer:.0f}")
            )  # fmt: skip
        whole = len(QUESTIONS) * len(SITES)
        return [*rows, ("all", "", "", "", "", f"{total}/{whole}", "")]


def _bring(place: Path, lake: Path) -> None:
    for step in steps(place, lake):
        if step[0] == "enrich" and (place / "mapping" / "lake").is_dir():
            shutil.copytree(place / "mapping" / "lake", lake, dirs_exist_ok=True)
        code = f"from dicomlake.cli import main; main({step!r})"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def _asked(lake: Path, counts: dict[str, int]) -> tuple[int, float]:
    """How many questions have the true answer, and ms for each."""
    opened = dicomlake.open(lake)
    opened.query("Modality exists", "patient")
    began = time.perf_counter()
    found = {title: opened.query(text, "patient").total for title, text in QUESTIONS.items()}
    taken = (time.perf_counter() - began) * 1000 / len(QUESTIONS)
    return sum(found[title] == counts[title] for title in QUESTIONS), taken
