"""Reports of dose, read back: what they say, in three forms, and whom they do not name."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import openpyxl
import pypdf
import pytest

import dicomlake
from dicomlake.api import Lake
from dicomlake.errors import UsageError
from dicomlake.jobs import dose
from dicomlake.jobs.dose import DoseOptions, options_of
from dicomlake.jobs.dose.reporting import report, xlsx
from dicomlake.jobs.dose.reporting.content import Sheet, Told
from dicomlake.jobs.index import index
from dicomlake.query import parse
from dicomlake.testing import hospital

SHEETS = ["Totals", "Levels", "Protocols", "Alarms", "Outliers", "Trends", "Months", "Names",
          "Missing"]  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("dose-reports")
    hospital.write(folder / "files", 40, pixels=False, seed=7)
    index([folder / "files"], folder / "lake", workers=1)
    return dicomlake.open(folder / "lake")


@pytest.fixture(scope="module")
def options(lake: Lake) -> DoseOptions:
    return options_of(lake.path)


def made(lake: Lake, options: DoseOptions, kind: str, where: str = "", **more: Any) -> bytes:
    node = parse(where) if where else None
    return report(lake.engine, node, kind, options, version=lake.version, **more)


def book(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


def rows(page: Any) -> list[dict[str, Any]]:
    heads, *found = page.iter_rows(values_only=True)
    return [dict(zip(heads, row, strict=True)) for row in found]


class Page(HTMLParser):
    """Texts of a page, its tags, and cells of tables."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.outside: list[str] = []
        self.texts: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.outside += [v or "" for name, v in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def identifiers(lake: Lake, options: DoseOptions) -> set[str]:
    """Everything that points at patients with dose."""
    found = dose.studies(lake.engine, options=options)
    names = ("PatientID", "AccessionNumber", "StudyInstanceUID")
    told = {v for name in names for v in found.column(name).to_pylist() if v}
    assert len(told) > 50
    return told | {str(key) for key in found.column("patient_key").to_pylist()}


def test_a_workbook_has_a_sheet_per_table_with_units(lake: Lake, options: DoseOptions) -> None:
    found = book(made(lake, options, "xlsx"))
    assert found.sheetnames == ["About", *SHEETS]
    studies = dose.studies(lake.engine, options=options).to_pylist()
    dlp = [row["DLP"] for row in studies if row["DLP"] is not None]
    totals = {row["quantity"]: row for row in rows(found["Totals"])}
    assert totals["DLP"]["total"] == pytest.approx(sum(dlp))
    assert (totals["DLP"]["unit"], totals["DLP"]["studies"]) == ("mGy.cm", len(dlp))
    dap = [row["DAP"] for row in studies if row["DAP"] is not None]
    assert totals["DAP"]["unit"] == "cGy.cm2"
    assert totals["DAP"]["largest"] == pytest.approx(max(dap) * 1e6)
    about = {row[0].value: row[1].value for row in found["About"].iter_rows() if row[0].value}
    assert about["Effective dose"] == "set of factors AAPM 96 (ICRP 60)"
    assert f"{len(studies)} studies" in about["Counted"]
    assert about["Patients"] == "not named; days are months"


def test_heads_of_a_workbook_carry_units(lake: Lake, options: DoseOptions) -> None:
    found = book(made(lake, options, "xlsx", with_patients=True))
    heads = [cell.value for cell in found["Studies"][1]]
    assert "DLP [mGy.cm]" in heads
    assert "DAP [cGy.cm2]" in heads
    assert "effective dose [mSv]" in heads
    row = next(row for row in rows(found["Studies"]) if row["DAP [cGy.cm2]"])
    studies = dose.studies(lake.engine, options=options).to_pylist()
    same = next(s for s in studies if s["StudyInstanceUID"] == row["StudyInstanceUID"])
    assert row["DAP [cGy.cm2]"] == pytest.approx(same["DAP"] * 1e6)


def test_alarms_and_levels_are_those_of_the_tables(lake: Lake, options: DoseOptions) -> None:
    found = book(made(lake, options, "xlsx"))
    alarms = dose.alarms(lake.engine, options=options).to_pylist()
    assert alarms  # one intervention of the hospital takes long
    told = rows(found["Alarms"])
    assert [(row["rule"], row["value"], row["state"]) for row in told] == [
        (row["rule"], pytest.approx(row["value"]), row["state"]) for row in alarms
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d", row["month"]) for row in told)
    levels = dose.compare(lake.engine, options=options).to_pylist()
    assert [row["verdict"] for row in rows(found["Levels"])] == [row["verdict"] for row in levels]


@pytest.mark.parametrize("kind", ["html", "pdf", "xlsx"])
def test_nobody_is_named_unless_asked(lake: Lake, options: DoseOptions, kind: str) -> None:
    secrets = identifiers(lake, options)
    found = text_of(made(lake, options, kind), kind)
    assert [secret for secret in secrets if secret in found] == []
    assert "AAPM 96" in found
    assert "estimate for a reference person" in found
    named = text_of(made(lake, options, kind, with_patients=True), kind)
    alarm = dose.alarms(lake.engine, options=options).to_pylist()[0]
    assert alarm["PatientID"] in named


def text_of(content: bytes, kind: str) -> str:
    """All text of a report."""
    if kind == "html":
        return "\n".join(Page(content).texts)
    if kind == "pdf":
        pages = pypdf.PdfReader(io.BytesIO(content)).pages
        return " ".join(" ".join(page.extract_text() for page in pages).split())
    cells = [c.value for page in book(content) for row in page.iter_rows() for c in row]
    return "\n".join(str(value) for value in cells if value is not None)


def test_a_page_needs_no_network_and_no_script(lake: Lake, options: DoseOptions) -> None:
    page = Page(made(lake, options, "html"))
    assert page.outside == []
    assert not page.tags & {"script", "link", "img", "iframe", "form"}
    for title in ("What studies add up to", "Protocols and devices beside reference levels",
                  "Alarms", "Events that stand out"):  # fmt: skip
        assert title in page.texts


def test_a_question_narrows_the_report_and_is_told(lake: Lake, options: DoseOptions) -> None:
    found = text_of(made(lake, options, "html", "Modality = 'MG'"), "html")
    assert "studies that meet: Modality = 'MG'" in found
    assert "DLP" not in found.partition("What studies add up to")[2].partition("Protocols and")[0]
    whom = dose.studies(lake.engine, options=options).column("PatientID")[0].as_py()
    quiet = text_of(made(lake, options, "html", f"PatientID = '{whom}'"), "html")
    assert whom not in quiet
    assert "a question that points at patients" in quiet


def test_a_report_of_nothing_says_so(lake: Lake, options: DoseOptions) -> None:
    for kind in ("html", "pdf", "xlsx"):
        found = text_of(made(lake, options, kind, "Modality = 'US' and Modality = 'CT'"), kind)
        assert "0 irradiation events of 0 studies" in found


def test_texts_of_a_workbook_never_run() -> None:
    wild = [
        '=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(A1)", "\t=1", "a\x00b\x0bc", "x" * 99_999,
    ]  # fmt: skip
    told = Told("T", [], (), [Sheet("S", "S", "", ("head",), [(text,) for text in wild])])
    found = book(xlsx.written(told))["S"]
    cells = [row[0] for row in found.iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.value for cell in cells[:4]] == wild[:4]
    assert all(cell.quotePrefix for cell in cells[:5])
    assert cells[5].value == "abc"
    assert len(cells[6].value) < 33_000


def test_another_form_is_refused(lake: Lake, options: DoseOptions) -> None:
    with pytest.raises(UsageError, match="html, pdf, xlsx"):
        made(lake, options, "docx")


def test_markup_of_devices_is_text(options: DoseOptions) -> None:
    from dicomlake.jobs.dose.reporting import html, pdf

    told = Told(
        "T",
        [("a", "b")],
        (),
        [Sheet("S", "S", "", ("head",), [("<script>x & y</script>",), (None,)])],
    )
    assert "script" not in Page(html.written(told)).tags
    assert "<script>x & y</script>" in text_of(pdf.written(told), "pdf")


def test_the_command_writes_a_report(lake: Lake, tmp_path: Path) -> None:
    from dicomlake.cli import main

    for name in ("dose.pdf", "dose.XLSX"):
        with pytest.raises(SystemExit) as ended:
            main(["dose", "report", str(lake.path), "--out", str(tmp_path / name)])
        assert ended.value.code == 0
    assert (tmp_path / "dose.pdf").read_bytes().startswith(b"%PDF-")
    assert rows(book((tmp_path / "dose.XLSX").read_bytes())["Totals"])
