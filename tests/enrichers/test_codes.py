"""The enricher codes: what headers say in four languages, and where they disagree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dicomlake
from dicomlake import tables
from dicomlake.contracts.enrichers import Enriched, Subject
from dicomlake.enrichers.codes import CodesEnricher
from dicomlake.errors import UsageError
from dicomlake.jobs.enriching import enrich, provenance
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.terms import Code
from dicomlake.terms.bodyparts import letters
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.enrichers import EnricherContract
from dicomlake.testing.hospital.patients import studies
from dicomlake.testing.hospital.study import Options

CHEST = "SCT:816094009"
LEFT, RIGHT = "SCT:7771000", "SCT:24028007"
PATIENTS = 30


def subject(*codes: tuple[str, Code], number: int = 1, **said: Any) -> Subject:
    """A series with columns of its row, and codes by path."""
    elements: dict[str, list[dict[str, Any]]] = {}
    for path, code in codes:
        rows = elements.setdefault(path, [])
        rows.append(
            {**dict.fromkeys(tables.ELEMENTS.names), "path": path, "position": len(rows) + 1,
             "code_value": code.value, "code_scheme": code.scheme, "code_meaning": code.meaning}
        )  # fmt: skip
    return Subject({**dict.fromkeys(tables.SERIES.names), "series_id": number, **said}, elements)


@pytest.fixture(scope="module")
def enricher(tmp_path_factory: pytest.TempPathFactory) -> CodesEnricher:
    return CodesEnricher(tmp_path_factory.mktemp("lake"), {})


def say(enricher: CodesEnricher, *codes: tuple[str, Code], **said: Any) -> Enriched:
    (found,) = enricher.enrich([subject(*codes, **said)])
    return found


def of_kind(said: Enriched, kind: str) -> list[dict[str, Any]]:
    return [row for row in said.annotations if row["kind"] == kind]


class TestContract(EnricherContract):
    @pytest.fixture
    def enricher(self, tmp_path: Path) -> CodesEnricher:
        return CodesEnricher(tmp_path, {})

    @pytest.fixture
    def subjects(self) -> list[Subject]:
        return [
            subject(Modality="CT", SeriesDescription="Thorax", BodyPartExamined="SKULL"),
            subject(("AnatomicRegionSequence", Code("T-D3000", "SRT", "Chest")), Modality="DX"),
            subject(Modality="OT"),
        ]


class TestWords:
    @pytest.mark.parametrize(
        ("modality", "words", "name", "structure"),
        [
            ("CT", "Röntgen-CT Thorax", "Chest", CHEST),
            ("MR", "MRT Kniegelenk li.", "Left knee", "SCT:72696002"),
            ("MR", "IRM du genou gauche", "Left knee", "SCT:72696002"),
            ("MR", "RM de rodilla izquierda", "Left knee", "SCT:72696002"),
            ("MR", "MRI knee left", "Left knee", "SCT:72696002"),
            ("CT", "TAC tórax", "Chest", CHEST),
            ("CT", "scanner thoracique", "Chest", CHEST),
            ("CT", "CT Thorax Abdomen Becken", "Chest, Abdomen and Pelvis", "SCT:416775004"),
        ],
    )
    def test_four_languages_mean_the_same(
        self, enricher: CodesEnricher, modality: str, words: str, name: str, structure: str
    ) -> None:
        (row,) = of_kind(say(enricher, Modality=modality, StudyDescription=words), "body part")
        assert (row["name"], row["structure"]) == (name, structure)
        assert row["evidence"][0]["path"] == "StudyDescription"
        told = letters.folded(row["evidence"][0]["text"]).split()
        assert set(told) <= set(re.split(r"\W", letters.folded(words)))
        assert "csv" in row["evidence"][0]["rule"]

    def test_types_of_series_have_codes_where_there_are_some(self, enricher: CodesEnricher) -> None:
        said = say(
            enricher, Modality="CT", SeriesDescription="Leber arteriell cor MPR",
            ImageType=["DERIVED", "SECONDARY", "MPR"], ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
        )  # fmt: skip
        types = {row["name"]: row.get("code") for row in of_kind(said, "series type")}
        assert types["plane: coronal"] == "SCT:81654009"
        assert {"phase: arterial", "contrast: given", "role: derived"} <= set(types)
        (procedure,) = of_kind(said, "procedure")
        assert procedure["name"] == "CT of liver with contrast"

    def test_a_procedure_has_the_codes_that_mean_it(self, enricher: CodesEnricher) -> None:
        said = say(enricher, Modality="CT", StudyDescription="CCT nativ")
        (row,) = of_kind(said, "procedure")
        assert (row["code"], row["also"]) == ("SCT:303653007", ["LN:30799-1"])
        assert row["equivalence"] == "narrower"  # the code says nothing of contrast

    def test_a_side_without_a_region_is_told(self, enricher: CodesEnricher) -> None:
        said = say(enricher, Modality="DX", ImageLaterality="L")
        (row,) = said.annotations
        assert (row["kind"], row["laterality"], row["name"]) == ("laterality", LEFT, "Left")

    def test_nothing_said_is_nothing_stated(self, enricher: CodesEnricher) -> None:
        said = say(enricher, Modality="OT")
        assert (said.state, said.annotations, said.findings) == ("done", [], [])


class TestCodes:
    def test_raw_and_harmonised_stand_side_by_side(self, enricher: CodesEnricher) -> None:
        path = "SharedFunctionalGroupsSequence.FrameAnatomySequence.AnatomicRegionSequence"
        said = say(enricher, (path, Code("T-D3000", "SRT", "Thorax")), Modality="MR")
        (row,) = of_kind(said, "code")
        assert (row["code"], row["name"]) == (CHEST, "Chest")
        assert (row["code_scheme"], row["code_value"]) == ("SRT", "T-D3000")
        assert row["code_meaning"] == "Thorax"
        assert row["equivalence"] == "equivalent"
        assert row["evidence"][0]["path"] == path
        (region,) = of_kind(said, "body part")
        assert region["evidence"][0]["path"] == path

    def test_sides_of_codes_count(self, enricher: CodesEnricher) -> None:
        said = say(
            enricher,
            ("AnatomicRegionSequence", Code("64033007", "SCT", "Kidney")),
            ("AnatomicRegionSequence.AnatomicRegionModifierSequence",
             Code("G-A101", "SRT", "Left")),
            Modality="US",
        )  # fmt: skip
        (row,) = of_kind(said, "body part")
        assert (row["name"], row["laterality"]) == ("Left kidney", LEFT)
        assert {"SCT:18639004", "RADLEX:RID29663"} <= set(row["also"])
        assert "SCT:818981001" in row["regions"]

    def test_private_codes_are_named(self, enricher: CodesEnricher) -> None:
        said = say(enricher, ("ProcedureCodeSequence", Code("K17", "99STANNA", "CT Kn")))
        assert [(f["rule"], f["value"]) for f in said.findings] == [
            ("private code without mapping", "99STANNA:K17")
        ]


class TestFindings:
    def test_body_parts_that_disagree(self, enricher: CodesEnricher) -> None:
        said = say(
            enricher, Modality="CR", BodyPartExamined="SKULL", ImageLaterality="R",
            SeriesDescription="Knie li.",
        )  # fmt: skip
        found = {f["rule"]: f for f in said.findings}
        assert set(found) == {"body part disagrees", "side disagrees"}
        one = found["body part disagrees"]
        assert (one["path"], one["value"]) == ("BodyPartExamined", "SKULL")
        assert one["expected"] == "Knee (SCT:72696002)"
        assert found["side disagrees"]["path"] == "SeriesDescription"

    @pytest.mark.parametrize(
        ("said", "rule", "expected"),
        [
            ({"Modality": "MG", "BodyPartExamined": "KNEE"},
             "body part impossible for modality", "Breast (SCT:76752008)"),
            ({"Modality": "CT", "BodyPartExamined": "GANZKOERPER"},
             "body part not of the Standard", "WHOLEBODY"),
            ({"Modality": "CT", "BodyPartExamined": "QQXZZ 7"},
             "body part not understood", "a term of PS3.16 Table L-1"),
            ({"Modality": "DX", "BodyPartExamined": "HAND"}, "side missing", "L, R or B"),
        ],
    )  # fmt: skip
    def test_rules(
        self, enricher: CodesEnricher, said: dict[str, str], rule: str, expected: str
    ) -> None:
        found = {f["rule"]: f for f in say(enricher, **said).findings}
        assert found[rule]["expected"] == expected

    @pytest.mark.parametrize(
        ("code", "rule", "expected"),
        [
            (Code("51185008", "SCT", "Chest"), "code retired", CHEST),
            (Code("T-D3000", "SNM3", "Chest"), "code retired", CHEST),
            (Code("816094009", "SNOMED-CT", "Chest"), "coding scheme misnamed", CHEST),
            (Code("816094009", "SCT", "Chest"), "", ""),
        ],
    )
    def test_codes_that_are_no_good(
        self, enricher: CodesEnricher, code: Code, rule: str, expected: str
    ) -> None:
        said = say(enricher, ("AnatomicRegionSequence", code), Modality="CT")
        assert [(f["rule"], f["expected"]) for f in said.findings] == [(rule, expected)] * bool(
            rule
        )

    def test_free_text_of_descriptions_stays_where_it_is(self, enricher: CodesEnricher) -> None:
        said = say(
            enricher, Modality="CR", BodyPartExamined="SKULL",
            SeriesDescription="Knie li. Frau Musterfrau Telefon 0123",
        )  # fmt: skip
        texts = repr((said.annotations, said.findings))
        assert "Knie" in texts
        assert "Musterfrau" not in texts
        assert "0123" not in texts


def site(folder: Path, text: str, name: str = "stanna.csv") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


RULES = (
    "# Words of St. Anna, Version 3\nkind,term,scheme,sct_code,grade\n"
    "code,K17,99STANNA,72696002,equal\ntag,ZIMMER 4,,76752008,broader\n"
)


class TestTablesOfASite:
    def test_they_count_and_are_named(self, tmp_path: Path) -> None:
        site(tmp_path / "codes", RULES)
        mine = CodesEnricher(tmp_path, {"tables": "codes"})
        said = say(mine, ("ProcedureCodeSequence", Code("K17", "99STANNA", "K")), Modality="MR")
        (row,) = of_kind(said, "body part")
        assert (row["name"], row["equivalence"]) == ("Knee", "equal")
        assert row["evidence"][0]["rule"] == "stanna.csv 3: code K17"
        assert said.findings == []
        (row,) = of_kind(say(mine, Modality="CT", BodyPartExamined="ZIMMER 4"), "body part")
        assert (row["name"], row["equivalence"]) == ("Breast", "broader")

    def test_the_kind_of_a_table_follows_from_its_columns(self, tmp_path: Path) -> None:
        site(tmp_path, "kind,term,value\nphase,KP3,delayed\n", "types.csv")
        site(
            tmp_path, "modality,region,code,scheme,meaning\nMR,72696002,5-1,99A,MRT Knie\n", "p.csv"
        )
        mine = CodesEnricher(tmp_path, {"tables": str(tmp_path)})
        said = say(mine, Modality="MR", SeriesDescription="Knie KP3")
        assert "phase: delayed" in {row["name"] for row in of_kind(said, "series type")}
        assert of_kind(said, "procedure")[0]["code"] == "99A:5-1"

    def test_the_model_changes_with_a_table(self, tmp_path: Path) -> None:
        models = [CodesEnricher(tmp_path, {}).model]
        for text in (RULES, RULES.replace("ZIMMER 4", "ZIMMER 5")):
            site(tmp_path / "codes", text)
            models.append(CodesEnricher(tmp_path, {"tables": "codes"}).model)
        assert len(set(models)) == 3
        assert "stanna.csv 3" in models[1]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("# A\nkind,term,sct_code,grade\nword,a,72696002,equal\nword,b,72696002,same\n",
             "stanna.csv, line 4, column grade: unknown grade 'same'"),
            ("# A\nkind,term\n", "stanna.csv, line 2: the columns do not say"),
            ("kind,term,sct_code\nword,x,1,2\n", "stanna.csv, line 2: it has 4 values"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, tmp_path: Path, text: str, message: str) -> None:
        site(tmp_path / "codes", text)
        with pytest.raises(UsageError, match=re.escape(message)):
            CodesEnricher(tmp_path, {"tables": "codes"})

    def test_an_empty_folder_and_unknown_options(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no CSV file"):
            CodesEnricher(tmp_path, {"tables": "none"})
        with pytest.raises(UsageError, match="no option 'colour'"):
            CodesEnricher(tmp_path, {"colour": "red"})


# The whole hospital, whose body parts are known by construction


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the made-up hospital that the enricher has looked at."""
    folder = tmp_path_factory.mktemp("hospital")
    hospital.write(folder / "archive", patients=PATIENTS, pixels=False)
    index([folder / "archive"], folder / "lake", workers=1)
    enrich(folder / "lake", CodesEnricher(folder / "lake", {}))
    return folder / "lake"


def made() -> Iterator[tuple[str, str]]:
    """Every series with the body part that it was made of."""
    for number in range(1, PATIENTS + 1):
        for study in studies(7, number, Options(pixels=False)):
            for series in study.series:
                yield series.uid, study.body_part


def found(lake: Path, question: str) -> set[str]:
    rows = dicomlake.open(lake).query(question, show=["SeriesInstanceUID"]).rows
    return set(rows.column("SeriesInstanceUID").to_pylist())


# What each question means, of what the hospital makes.
ASKED = {
    CHEST: {"CHEST", "HEART", "WHOLEBODY"},
    "SCT:51185008": {"CHEST", "HEART", "WHOLEBODY"},  # its older code
    "SCT:43799004": {"CHEST", "HEART", "WHOLEBODY"},  # Thorax
    "SRT:T-D3000": {"CHEST", "HEART", "WHOLEBODY"},
    "SCT:69536005": {"HEAD", "BRAIN"},
    "SCT:818981001": {"ABDOMEN", "WHOLEBODY"},
    "SCT:816092008": {"PELVIS", "PROSTATE", "WHOLEBODY"},
    "SCT:80891009": {"HEART"},
    "SCT:72696002": {"KNEE"},
    "SCT:85562004": {"HAND"},
    "SCT:76752008": {"BREAST"},
    "SCT:421060004": {"SPINE"},
    "SCT:38266002": {"WHOLEBODY"},
}


class TestHospital:
    def test_questions_find_the_body_part(self, house: Path) -> None:
        every = found(house, "Modality exists")
        truth = {series: part for series, part in made() if series in every}
        assert len(truth) > 300
        right = told = meant = 0
        for code, parts in ASKED.items():
            expected = {series for series, part in truth.items() if part in parts}
            answer = found(house, f"annotation.structure within {code}") & set(truth)
            right, told = right + len(answer & expected), told + len(answer)
            meant += len(expected)
            assert len(answer & expected) >= 0.9 * len(answer), code
        assert right / told >= 0.97
        assert right / meant >= 0.9

    def test_anatomy_asks_it_too(self, house: Path) -> None:
        chest = found(house, f"annotation.structure within {CHEST}")
        assert chest <= found(house, f"anatomy within {CHEST}")
        ct = found(house, f"Modality = 'CT' and anatomy within {CHEST}")
        assert ct == found(house, "Modality = 'CT'") & found(house, f"anatomy within {CHEST}")

    def test_one_statement_has_region_and_side(self, house: Path) -> None:
        asked = "same(annotation, annotation.structure within SCT:76752008 and {})"
        left = found(house, asked.format(f"annotation.laterality within {LEFT}"))
        right = found(house, asked.format(f"annotation.laterality within {RIGHT}"))
        assert left
        assert right
        assert not left & right
        assert left == found(house, "Modality = 'MG' and ImageLaterality = 'L'")

    def test_phases_and_exact_names(self, house: Path) -> None:
        asked = "annotation.kind = 'series type' and annotation.label = 'arterial'"
        phase = found(house, f"same(annotation, {asked})")
        assert phase == found(
            house, "SeriesDescription in ('Oberbauch arteriell', 'ABDOMEN ART', 'ABDO ART')"
        )
        assert phase
        lungs = found(house, "same(annotation, annotation.kind = 'body part' and "
                      "annotation.name = 'Lung')")  # fmt: skip
        assert lungs
        assert lungs < found(house, f"annotation.structure within {CHEST}")

    def test_findings_can_be_asked(self, house: Path) -> None:
        retired = found(house, "finding.rule = 'code retired'")
        assert retired
        assert retired == found(house, "AnatomicRegionSequence within SCT:51185008") | found(
            house,
            "SharedFunctionalGroupsSequence.FrameAnatomySequence.AnatomicRegionSequence within "
            "SCT:51185008",
        )


def test_a_table_of_the_site_supersedes_what_was_said(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    said = image(
        SOPInstanceUID=uid("o"), SeriesInstanceUID=uid("s"), StudyInstanceUID=uid("t"),
        PatientID="P", Modality="MR", BodyPartExamined="ZIMMER 4",
    )  # fmt: skip
    (folder / "a.dcm").write_bytes(encode(said))
    lake = tmp_path / "lake"
    index([folder], lake, workers=1)
    enrich(lake, CodesEnricher(lake, {}))
    asked = "same(annotation, annotation.kind = 'body part')"
    assert not found(lake, asked)
    assert found(lake, "finding.rule = 'body part not understood'")
    site(lake / "codes", RULES)
    assert enrich(lake, CodesEnricher(lake, {"tables": "codes"}), options={"tables": "codes"}).done
    assert found(lake, asked) == {uid("s")}
    assert not found(lake, "finding.rule = 'body part not understood'")
    newest, oldest = provenance(Store(lake), uid("s"))
    assert "stanna.csv 3" in newest["model"]
    assert [newest["counts"], oldest["counts"]] == [True, False]
    assert newest["options"] == '{"tables": "codes"}'
