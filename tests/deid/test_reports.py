"""Reports beside the images: files and folders, the review, models of a site, translation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.contracts.deid import Known, Span
from dicomlake.contracts.texts import Recogniser, Translator
from dicomlake.deid.text import words_of
from dicomlake.deid.translating import Ctranslate2Translator, translated
from dicomlake.errors import UsageError
from dicomlake.jobs.deid.knowing import known_of_patient
from dicomlake.jobs.deid.reports import (
    MEASURED,
    deidentify_reports,
    known_of_lake,
    known_of_table,
)
from dicomlake.jobs.deid.reviewpage import page
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing import hospital
from tests.deid import labelled
from tests.deid.test_documents import KNOWN, NARRATIVE, ORU, harmless, pdf


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "Zwiebelstein.txt").write_text(NARRATIVE, encoding="utf-8")
    (folder / "brief.pdf").write_bytes(pdf(NARRATIVE))
    (folder / "oru.hl7").write_text(ORU)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    return folder


def test_a_folder_of_reports_becomes_harmless_under_new_names(tmp_path: Path) -> None:
    review = deidentify_reports(folder_of(tmp_path), tmp_path / "out", KNOWN)
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == [
        "report-00001.txt", "report-00002.pdf", "report-00004.hl7",
    ]  # fmt: skip
    assert all(harmless(path.read_bytes()) for path in files)
    assert [one.state for one in review.reports][2] == "refused"
    assert "cannot be read" in review.reports[2].problem


def test_names_of_files_can_be_kept_and_nothing_is_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "0001.txt").write_text("no mass")
    out = tmp_path / "out"
    deidentify_reports(folder, out, keep_names=True)
    assert (out / "0001.txt").read_text() == "no mass"
    with pytest.raises(UsageError, match=r"0001\.txt exists already"):
        deidentify_reports(folder, out, keep_names=True)
    with pytest.raises(UsageError, match="out exists already"):
        deidentify_reports(folder, out)


def test_the_review_tells_counts_and_places_but_no_text(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    text = "Frau Zwiebelstein am 3. März 2021. Siehe Vermerk 4711/22, gez. Dr. Otto Hahnemann"
    (folder / "a.txt").write_text(text, encoding="utf-8")
    review = deidentify_reports(folder, tmp_path / "out", KNOWN)
    told = review.told()
    one = told["reports"][0]
    assert one["state"] == "look"
    assert [doubt["why"] for doubt in one["doubts"]] == ["a number"]
    clean = (tmp_path / "out" / one["out"]).read_text()
    assert clean[one["doubts"][0]["start"] : one["doubts"][0]["end"]] == "4711/22"
    assert {(r["kind"], r["found_by"]) for r in one["replaced"]} >= {("name", "known")}
    assert harmless(json.dumps(told))
    shown = page(review)
    assert '<mark title="a number">4711/22</mark>' in shown
    assert harmless(shown)


def test_another_language_is_a_doubt(tmp_path: Path) -> None:
    text = "Il paziente è in buone condizioni, con una lesione nel lobo della " * 3
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    review = deidentify_reports(tmp_path / "a.txt", tmp_path / "b.txt")
    assert "without rules (it)" in review.reports[0].doubts[0].why


def test_what_was_measured_is_what_is_said() -> None:
    assert labelled.score("test").recall >= MEASURED["known"]
    assert labelled.score("test", header=False).recall >= MEASURED["unknown"]


def test_a_table_tells_what_is_known(tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text("kind,text\nname,Müller^Anna\ndate,1961-03-04\n", encoding="utf-8")
    assert known_of_table(table) == [Known("name", "Müller^Anna"), Known("date", "19610304")]
    table.write_text("kind,text\nshoe,42\n")
    with pytest.raises(UsageError, match="line 2: there is no kind 'shoe'"):
        known_of_table(table)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    hospital.write(folder / "files", 2, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


def test_the_lake_knows_a_patient_and_nobody_else(lake: Path) -> None:
    store = Store(lake)
    rows = store.read("series").select(["patient_key", "PatientID", "PatientName"]).to_pylist()
    names = {row["PatientName"] for row in rows}
    assert len(names) > 1
    for row in rows:
        known = known_of_patient(store, row["patient_key"])
        assert Known("id", row["PatientID"]) in known
        assert Known("name", row["PatientName"]) in known
        others = {Known("name", name) for name in names if name != row["PatientName"]}
        assert not others & set(known)
    assert known_of_lake(store, rows[0]["PatientID"])
    with pytest.raises(UsageError, match="no patient with this PatientID"):
        known_of_lake(store, "nobody")


def test_the_command_uses_what_the_lake_knows(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Store(lake).read("series").select(["PatientID", "PatientName"]).to_pylist()[0]
    family = row["PatientName"].split("^")[0]
    (tmp_path / "a.txt").write_text(f"{family}: {row['PatientID']}, 2021-03-03", encoding="utf-8")
    (tmp_path / "key").write_bytes(b"0123456789abcdef0123456789abcdef")
    with pytest.raises(SystemExit) as left:
        main([
            "deid", "report", str(tmp_path / "a.txt"), str(tmp_path / "b.pdf"), "--as", "pdf",
            "--lake", str(lake), "--patient", row["PatientID"],
            "--key-file", str(tmp_path / "key"), "--review", str(tmp_path / "review"),
        ])  # fmt: skip
    assert left.value.code == 0
    from dicomlake.deid.documents.pdf import pages_of

    clean = pages_of((tmp_path / "b.pdf").read_bytes())[0][0]
    assert clean.startswith("[NAME]: [ID], 20")
    assert "2021-03-03" not in clean
    assert "1 reports" in capsys.readouterr().out
    assert json.loads((tmp_path / "review" / "review.json").read_text())["known"] > 3


class Towns:
    """A model of a site: it knows one town."""

    name = "towns 1"

    def spans(self, text: str) -> Sequence[Span]:
        at = text.find("quernheim")
        return [Span(at, at + 9, "place", self.name)] if at >= 0 else []


def test_a_model_of_a_site_finds_what_rules_do_not() -> None:
    assert isinstance(Towns(), Recogniser)
    words = words_of([], recognisers=[Towns()])
    assert words.clean("moved to quernheim, 12 mm") == "moved to [PLACE], 12 mm"
    assert words.spans("moved to quernheim")[0].found_by == "towns 1"


class StubTranslator:
    """A stub in the place of a model: a dictionary of three words, which loses a mark."""

    def translate(self, lines: Sequence[str]) -> list[str]:
        german = {"no": "keine", "mass": "Raumforderung", "lost": "verloren"}
        made = [" ".join(german.get(word, word) for word in line.split()) for line in lines]
        return [line.replace("[DATE] verloren", "verloren") for line in made]


def test_translation_keeps_marks_and_lines() -> None:
    assert isinstance(StubTranslator(), Translator)
    text = "[NAME] no mass\n\n  [DATE] lost"
    assert translated(text, StubTranslator()) == ("[NAME] keine Raumforderung\n\n  [DATE] verloren")


def test_reports_are_cleaned_before_they_are_translated(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watching(StubTranslator):
        def translate(self, lines: Sequence[str]) -> list[str]:
            seen.extend(lines)
            return super().translate(lines)

    (tmp_path / "a.txt").write_text("Mrs Zwiebelstein : no mass", encoding="utf-8")
    deidentify_reports(tmp_path / "a.txt", tmp_path / "b.txt", KNOWN, translator=Watching())
    assert seen == ["Mrs [NAME] : no mass"]
    assert (tmp_path / "b.txt").read_text() == "Mrs [NAME] : keine Raumforderung"


def test_a_missing_package_or_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs the package|has no model\.bin"):
        Ctranslate2Translator(tmp_path)
