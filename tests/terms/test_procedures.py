"""Procedures have words always, and codes only where a table with its source has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dicomlake.errors import UsageError
from dicomlake.terms import bodyparts, procedures
from dicomlake.terms.bodyparts import Evidence, Grade


def done(modality: str, text: str, contrast: str = "") -> procedures.Procedure | None:
    found = bodyparts.of(Evidence(modality, StudyDescription=text))
    return procedures.of(modality, found, contrast)


@pytest.mark.parametrize(
    ("modality", "text", "contrast", "description", "codes"),
    [
        ("CT", "CCT nativ", "none", "CT of head without contrast",
         {"303653007": Grade.narrower, "30799-1": Grade.equivalent}),
        ("CT", "CT Thorax", "", "CT of chest",
         {"169069000": Grade.equivalent, "24627-2": Grade.equivalent}),
        ("CT", "TAP", "given", "CT of chest, abdomen and pelvis with contrast",
         {"72254-6": Grade.equivalent}),
        ("MG", "Mammo li", "", "Mammography of left breast",
         {"71651007": Grade.narrower, "36627-8": Grade.equivalent}),
        ("MR", "MRT Mamma bds.", "given", "MRI of breast on both sides with contrast",
         {"241615005": Grade.narrower, "36150-1": Grade.equivalent}),
        ("MR", "MRT Knie re", "", "MRI of right knee", {}),
        ("CT", "CCT + HWS", "", "CT of head and cervical spine", {}),
        ("DX", "Thorax pa", "", "X-ray of chest",
         {"399208008": Grade.equivalent, "30745-4": Grade.equivalent}),
        ("CT", "CT Kopf", "given", "CT of head with contrast",
         {"303653007": Grade.narrower, "24725-4": Grade.narrower}),
    ],
)  # fmt: skip
def test_words_and_codes(
    modality: str, text: str, contrast: str, description: str, codes: dict[str, Grade]
) -> None:
    procedure = done(modality, text, contrast)
    assert procedure is not None
    assert procedure.description == description
    assert {coded.code.value: coded.grade for coded in procedure.codes} == codes


def test_nothing_is_said_without_region_or_modality() -> None:
    assert done("CT", "Verlaufskontrolle") is None
    assert done("SR", "CT Thorax") is None
    assert done("CT", "z.A. Lungenembolie") is None


def test_every_region_of_a_procedure_is_known() -> None:
    tables = bodyparts.load()
    for row in procedures.load():
        assert row.region in tables.regions
        assert row.code.meaning
        assert row.laterality is None or tables.regions[row.region].paired


def test_a_site_puts_its_codes_first(tmp_path: Path) -> None:
    path = tmp_path / "site.csv"
    path.write_text(
        "modality,region,code,scheme,meaning,contrast,laterality\n"
        "MR,72696002,5-123,99ANNA,MRT Knie,,\nCT,69536005,C1,SCT,Our head,,\n",
        encoding="utf-8",
    )
    rows = procedures.load(path)
    knee = bodyparts.of(Evidence("MR", StudyDescription="Knie"))
    procedure = procedures.of("MR", knee, rows=rows)
    assert procedure is not None
    assert [c.code.value for c in procedure.codes] == ["5-123"]
    head = bodyparts.of(Evidence("CT", StudyDescription="Kopf"))
    procedure = procedures.of("CT", head, rows=rows)
    assert procedure is not None
    assert [c.code.value for c in procedure.codes] == ["C1", "24725-4"]


def test_a_site_is_told_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "site.csv"
    path.write_text("modality,region,code\nMR,72696002,1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape("line 1: no column 'scheme'")):
        procedures.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        procedures.load(tmp_path / "none.csv")
