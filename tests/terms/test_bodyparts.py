"""What a series shows, by its codes, tag and descriptions; a table of wordings judges it."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomlake.errors import UsageError
from dicomlake.terms import Code, bodyparts
from dicomlake.terms.bodyparts import BOTH, LEFT, RIGHT, SURE, Evidence, Grade
from dicomlake.terms.mapping import normal
from dicomlake.testing.hospital.exams import EXAMS
from tests.terms.scoring import LABELS, Score, labelled, scored, tag_only

SIDES = {None: "", LEFT: "L", RIGHT: "R", BOTH: "B"}


def said(**attributes: object) -> list[str]:
    """Regions and sides of a series, as `Knee L`."""
    found = bodyparts.of(Evidence(**attributes))  # type: ignore[arg-type]
    return [
        f"{f.code.meaning} {SIDES[f.laterality]}".strip() for f in found if f.confidence >= SURE
    ]


@pytest.mark.parametrize(
    ("modality", "text", "expected"),
    [
        ("MR", "MRT Kniegelenk li.", ["Knee L"]),
        ("MR", "IRM genou G", ["Knee L"]),
        ("MR", "RM rodilla dcha", ["Knee R"]),
        ("DX", "Knie bds. stehend", ["Knee B"]),
        ("DX", "Knie re/li", ["Knee B"]),
        ("DX", "Knie li, Hand re", ["Knee L", "Hand R"]),
        ("CT", "TDM TAP", ["Chest, Abdomen and Pelvis"]),
        ("CT", "CT Hals/Thorax/Abdomen/Becken", ["Neck, Chest, Abdomen and Pelvis"]),
        ("CT", "CT Thorax/Abdomen", ["Chest and Abdomen"]),
        ("CT", "CT Abdomen + Knie re", ["Abdomen", "Knee R"]),
        ("CT", "CT Thorax + BWS", ["Chest", "Thoracic spine"]),
        ("CT", "CCT + HWS", ["Head", "Cervical spine"]),
        ("CT", "CT Abdomen Leber biphasisch", ["Liver"]),
        ("CT", "CT Abdomen/Becken Leberprotokoll", ["Abdomen and Pelvis"]),
        ("CT", "ABDOMEN PELVIS (PANCREAS)", ["Abdomen and Pelvis"]),
        ("PT", "Vertex to mid thigh", ["Entire body"]),
        ("CT", "CT L3-S1 segmental", ["Lumbar spine"]),
        ("MR", "t2_tse_tra C4-C7", ["Cervical spine"]),
        ("MR", "T1/T2", []),
        ("MR", "L-spine", ["Lumbar spine"]),
        ("DX", "LS SPINE AP", ["Lumbo-sacral spine"]),
        ("CT", "RT Planning Pelvis", ["Pelvis"]),
        ("US", "Halswirbelsäulensonographie", ["Cervical spine"]),
        ("US", "Oberbauchsonographie", ["Upper abdomen"]),
        ("MR", "MRCP", ["Biliary tract"]),
        ("CT", "CTA Carotids", ["Carotid Artery"]),
        ("US", "Echo cardiaque", ["Heart"]),
        ("US", "Beinvenen li z.A. Lungenembolie", ["Lower limb L"]),
        ("MR", "T1 koronar", []),
        ("XA", "Koronarangio", ["Coronary artery"]),
        ("MR", "0 to 255", []),
        ("MR", "MRI brain for breast cancer mets", ["Brain"]),
        ("CT", "Planning for pelvis", ["Pelvis"]),
        ("CT", "Brust CT", ["Chest"]),
        ("US", "Brust re", ["Breast R"]),
        ("DX", "Left knee pain", ["Knee L"]),
        ("MR", "main stack", []),
        ("DX", "Radio main gauche", ["Hand L"]),
        ("CT", "rein nativ", []),
        ("CT", "Schenkelhals re", ["Hip joint R"]),
        ("MR", "Col utérin", ["Cervix"]),
        ("CT", "Schdel nativ", []),
        ("CT", "Sch\ufffddel nativ", ["Head"]),
        ("CT", "SchÃ¤del nativ", ["Head"]),
        ("CT", "SCHAEDEL", ["Head"]),
        ("CT", "ThoraxAbdomen", ["Chest and Abdomen"]),
        ("CT", "Throax nativ", []),
        ("CT", "Abdomne nativ", ["Abdomen"]),
        ("CT", "Ganzkörper-CT ohne Schädel", ["Entire body"]),
        ("MR", "Head First", []),
        ("CT", "Thorax^1HEAD_NECK_PETCT (Adult)", ["Head and Neck"]),
        ("CT", "Abdomen^Routine (Adult)", ["Abdomen"]),
        ("CT", "CHEST^ABDO^PELVIS^WO", ["Chest, Abdomen and Pelvis"]),
        ("CT", "C/AP WO", ["Chest, Abdomen and Pelvis"]),
        ("CT", "CHEST W ECG GATING", ["Chest"]),
        ("MG", "Tomosynthese re", ["Breast R"]),
        ("OPT", "OCT Macula OD", ["Retina R"]),
    ],
)
def test_a_description_says(modality: str, text: str, expected: list[str]) -> None:
    assert said(Modality=modality, StudyDescription=text) == expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("CHEST", "Chest"), ("chest ", "Chest"), ("THORAX_NATIV", "Chest"),
        ("C SPINE", "Cervical spine"), ("C-SPINE", "Cervical spine"), ("cspine", "Cervical spine"),
        ("ABD/PEL", "Abdomen and Pelvis"), ("Schädel", "Head"), ("KNEE LT", "Knee L"),
        ("HAND LI", "Hand L"), ("MAIN", "Hand"), ("SEIN", "Breast"), ("GANZKOERPER", "Entire body"),
        ("LOW_EXM", "Lower limb"), ("HEADNECK", "Head and Neck"), ("FETALARM", ""), ("ANNOON", ""),
        ("CARPUS", ""), ("STIFLE", ""), ("HOCK", ""), ("aaaa", ""), ("", ""), ("1", ""),
    ],
)  # fmt: skip
def test_a_tag_says(tag: str, expected: str) -> None:
    assert said(BodyPartExamined=tag) == ([expected] if expected else [])


def test_every_term_of_the_standard_is_known() -> None:
    tables = bodyparts.load()
    standard = [row for row in tables.tags.values() if row.source.startswith("examined.csv")]
    terms = {row.term for row in standard}
    assert len(terms) >= 324
    for row in standard:
        found = bodyparts.of(Evidence(BodyPartExamined=row.term))
        assert {f.code.value for f in found} == set(row.codes)


@pytest.mark.parametrize(
    ("value", "scheme", "expected"),
    [
        ("T-D3000", "SNM3", "Chest"), ("T-04000", "99SDM", "Breast"), ("51185008", "SCT", "Chest"),
        ("43799004", "SCT", "Chest"), ("10200004", "SRT", "Liver"),
        ("T-11000", "99SDM", "Entire body"),
        ("T-D4000", "SNM3", "Abdomen"), ("1", "99LOCAL", ""), ("", "", ""),
    ],
)  # fmt: skip
def test_a_coded_region_says(value: str, scheme: str, expected: str) -> None:
    found = said(AnatomicRegionSequence=(Code(value, scheme),))
    assert found == ([expected] if expected else [])


def test_a_coded_region_that_no_table_has_stays_as_sent() -> None:
    judged = bodyparts.judge(
        Evidence(
            StudyDescription="CT Thorax",
            AnatomicRegionSequence=(Code("88556005", "SCT"), Code("1234567", "SCT", "Made up")),
        )
    )
    assert [f.code.meaning for f in judged.found] == ["Made up", "Cerebral artery"]
    assert {f.what for f in judged.findings} == {
        "AnatomicRegionSequence says Cerebral artery, StudyDescription says Chest."
    }


def test_radlex_codes_say_region_and_side() -> None:
    assert said(AnatomicRegionSequence=(Code("RID58", "RADLEX"),)) == ["Liver"]
    assert said(AnatomicRegionSequence=(Code("RID30325", "RADLEX"),)) == ["Adrenal gland L"]


def test_a_procedure_code_says_region_and_side() -> None:
    assert said(ProcedureCodeSequence=(Code("36627-8", "LN"),)) == ["Breast L"]
    assert said(RequestedProcedureCodeSequence=(Code("24725-4", "LOINC"),)) == ["Head"]


def test_series_come_before_studies_and_words_before_the_tag() -> None:
    assert said(SeriesDescription="Schädel nativ", StudyDescription="CT Polytrauma") == ["Head"]
    assert said(StudyDescription="Thorax pa", BodyPartExamined="SKULL") == ["Chest"]
    assert said(SeriesDescription="Knie re", StudyDescription="Knie bds.") == ["Knee R"]
    assert said(SeriesDescription="Abdomen pv", StudyDescription="CT Leber") == ["Liver"]
    assert said(SeriesDescription="Ganzkörper", StudyDescription="CT Leber") == ["Entire body"]
    whole = said(SeriesDescription="Abdomen/Becken pv", StudyDescription="CT Leber")
    assert whole == ["Abdomen and Pelvis"]


def test_image_types_of_ultrasound_say_a_region() -> None:
    assert said(Modality="US", ImageType=("ORIGINAL", "PRIMARY", "CARDIOLOGY", "0001")) == ["Heart"]
    assert said(Modality="CT", ImageType=("ORIGINAL", "PRIMARY", "CHEST")) == []


def test_sides_come_from_tags_and_codes_where_a_region_has_two() -> None:
    knee = {"StudyDescription": "MRT Knie"}
    assert said(**knee, Laterality="L") == ["Knee L"]
    assert said(**knee, ImageLaterality="B") == ["Knee B"]
    assert said(**knee, ImageLaterality="U") == ["Knee"]
    assert said(StudyDescription="Thorax", Laterality="L") == ["Chest"]
    both = (Code("36626-0", "LN"),)
    assert said(ProcedureCodeSequence=both) == ["Breast B"]
    assert said(ProcedureCodeSequence=both, ImageLaterality="L") == ["Breast L"]
    modifier = (Code("G-A100", "SRT", "Right"),)
    coded = {"AnatomicRegionSequence": (Code("T-D9200", "SRT"),)}
    assert said(**coded, AnatomicRegionModifierSequence=modifier) == ["Knee R"]


def test_disagreement_is_a_finding_and_lowers_confidence() -> None:
    alone = bodyparts.of(Evidence(StudyDescription="Thorax p.a."))[0]
    backed = bodyparts.of(Evidence("CR", "CHEST", StudyDescription="Thorax p.a."))[0]
    judged = bodyparts.judge(Evidence("CR", "SKULL", StudyDescription="Thorax p.a."))
    assert backed.confidence > alone.confidence > judged.found[0].confidence
    assert [f.what for f in judged.findings] == [
        "StudyDescription says Chest, BodyPartExamined says Skull."
    ]
    sides = bodyparts.judge(Evidence(ImageLaterality="R", SeriesDescription="Knie links"))
    assert [(f.kind, f.what) for f in sides.findings] == [
        ("laterality", "ImageLaterality says right, SeriesDescription says left.")
    ]


@pytest.mark.parametrize(
    ("tag", "text"),
    [("CHEST", "CT Lunge"), ("HEAD", "MRI Brain"), ("EXTREMITY", "Knie"), ("SPINE", "LWS"),
     ("LSPINE", "LS SPINE"), ("HIP", "Beckenübersicht"), ("CHEST", "TAP"), ("HEAD", "CCT + HWS")],
)  # fmt: skip
def test_part_and_whole_agree(tag: str, text: str) -> None:
    assert not bodyparts.judge(Evidence("CT", tag, StudyDescription=text)).findings


def test_evidence_names_attribute_words_and_row() -> None:
    (found,) = bodyparts.of(Evidence("MR", "KNEE", StudyDescription="MRT Kniegelenk li."))
    told = {(s.attribute, s.words, s.rule, s.grade) for s in found.evidence}
    assert told == {
        ("StudyDescription", "Kniegelenk", "words.csv 1: word kniegelenk", Grade.equivalent),
        ("BodyPartExamined", "KNEE", "examined.csv 1: tag KNEE", Grade.equal),
        ("StudyDescription", "li", "sides.csv 1: side hint li (de)", Grade.equivalent),
    }


def test_a_guess_is_below_sure() -> None:
    (found,) = bodyparts.of(Evidence("CT", StudyDescription="z.A. Lungenembolie im Thorax"))
    assert found.confidence < SURE


def site(folder: Path, text: str) -> Path:
    path = folder / "site.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", EXAMS)
def test_the_made_up_hospital_is_understood(name: str) -> None:
    exam, tables = EXAMS[name], bodyparts.load()
    for text in exam.words:
        if text == "RT planning":
            continue  # says nothing of a region
        (found,) = bodyparts.of(Evidence("ECG" * (name == "ECG"), StudyDescription=text))
        assert found.confidence >= SURE
        region = normal(exam.region.value, "SCT")[0]
        assert tables.agree(found.code.value, region), (text, found.code)
    tag = bodyparts.of(Evidence(BodyPartExamined=exam.body_part))[0]
    assert tables.agree(tag.code.value, region)


def test_a_site_adds_overrides_and_silences(tmp_path: Path) -> None:
    tables = bodyparts.load(site(
        tmp_path,
        "# Words of St. Anna, Version 7\n"
        "kind,term,scheme,sct_code,sct_meaning,grade,paired,parents\n"
        "word,Anna-Spezial,,72696002,,narrower,,\n"
        "word,echo,,69748006,,equivalent,,\n"
        "tag,AEC,,16982005,,equivalent,,\n"
        "tag,CHEST,,,,none,,\n"
        "code,K1,99ANNA,72696002,,equal,,\n"
        "word,Sonderfall,,127954009,Skeletal muscle,equal,no,61685007\n",
    ))  # fmt: skip

    def told(**attributes: object) -> list[str]:
        found = bodyparts.of(Evidence(**attributes), tables)  # type: ignore[arg-type]
        return [f"{f.code.meaning} | {f.evidence[0].rule}" for f in found]

    assert told(StudyDescription="Anna-Spezial re") == ["Knee | site.csv 7: word Anna-Spezial"]
    assert told(Modality="US", StudyDescription="Echo") == ["Thyroid | site.csv 7: word echo"]
    assert told(BodyPartExamined="AEC") == ["Shoulder | site.csv 7: tag AEC"]
    assert told(BodyPartExamined="CHEST") == []
    assert told(AnatomicRegionSequence=(Code("K1", "99ANNA"),)) == ["Knee | site.csv 7: code K1"]
    assert told(StudyDescription="Sonderfall") == ["Skeletal muscle | site.csv 7: word Sonderfall"]
    assert tables.agree("127954009", "66019005")  # part of a lower limb, of an extremity
    assert bodyparts.of(Evidence(BodyPartExamined="CHEST"))  # ours are as they were


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,term\nword,x\n", "no column 'sct_code'"),
        ("kind,term,sct_code,colour\n", "unknown column 'colour'"),
        (
            "kind,term,sct_code\nwrod,x,72696002\n",
            "site.csv, line 2, column kind: unknown kind 'wrod'",
        ),
        ("kind,term,sct_code,grade\nword,x,72696002,same\n", "unknown grade 'same'"),
        ("kind,term,sct_code,laterality\nword,x,72696002,X\n", "unknown laterality 'X'"),
        ("kind,term,sct_code\nword,x,999\n", "nothing is known of the region 999"),
        ("kind,term,sct_code\nword,--,72696002\n", "has no letters"),
        ("# A\n\nkind,term,sct_code\nword,a,72696002,b\n", "line 4: it has 4 values for 3"),
        ('kind,term,sct_code\nword,"x"y,1\n', "line 2: this is no CSV"),
        ("", "line 1: no column 'kind'"),
    ],
)
def test_a_site_is_told_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        bodyparts.load(site(tmp_path, text))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        bodyparts.load(tmp_path / "none.csv")


def test_parts_make_no_circle_and_codes_are_in_force() -> None:
    tables = bodyparts.load()
    for code, region in tables.regions.items():
        assert code not in tables.above(code)
        assert set(region.parents) <= set(tables.regions)
        assert normal(code, "SCT") == (code, "SCT"), "an older code"
        assert region.code.meaning


def test_every_code_comes_from_dicom() -> None:
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    known = {c for coded in concepts["SCT"].values() for c in coded} | set(mapping["SCT"])
    # regions of Table L-1 that pydicom has in no context group
    known |= {"22943007", "63337009", "67734004"}
    assert set(bodyparts.load().regions) <= known


texts = st.text(max_size=80) | st.lists(
    st.sampled_from(
        ["Thorax", "li", "re", "L", "R", "z.A.", "ohne", "Knie", "gelenk", "L5-S1", "^", "/", ",",
         "CT", "\ufffd", "Ä", "ß", "main", "G", "D", "abdomen", "pelvis", "sonographie", "_", "2d"]
    ), max_size=30
).map(" ".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(texts, texts, texts, st.sampled_from(["", "CT", "MG", "XX"]), st.sampled_from("LRBUX "))
def test_any_text_is_judged(one: str, two: str, tag: str, modality: str, side: str) -> None:
    evidence = Evidence(
        modality, tag, Laterality=side, SeriesDescription=one, StudyDescription=two,
        AnatomicRegionSequence=(Code(tag, two, one),),
    )  # fmt: skip
    judged = bodyparts.judge(evidence)
    for found in judged.found:
        assert 0 < found.confidence < 1
        assert found.evidence
        assert found.code.scheme == "SCT"
    assert len({f.code for f in judged.found}) == len(judged.found)


@pytest.mark.parametrize(
    "text",
    ["a" * 5000, "knie" * 1000, "thoraxabdomen" * 400, "L5-" * 2000, "li " * 2000, "?" * 3000,
     "a?" * 3000, "T1 - " * 1000, "\ufffd" * 3000, "é" * 3000, "z.A. " * 1000, "AaBb" * 1000],
)  # fmt: skip
def test_long_texts_are_read_in_bounds(text: str) -> None:
    from dicomlake.terms.bodyparts.letters import LONGEST, read

    assert len(read(text)) <= LONGEST
    bodyparts.judge(Evidence(SeriesDescription=text, BodyPartExamined=text))


def test_the_labelled_table_is_large_and_its_halves_share_no_wording() -> None:
    rows = labelled("tuning") + labelled("test")
    assert len(rows) >= 2000
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    halves = [{row["wording"] for row in labelled(half)} for half in ("tuning", "test")]
    assert not halves[0] & halves[1]
    assert sum(not row["expected"] for row in rows) >= 100
    languages = {row["language"] for row in rows}
    assert languages >= {"de", "en", "fr", "es"}
    with LABELS.open(encoding="utf-8") as file:
        assert sum(1 for _ in csv.DictReader(file)) == len(rows)


def test_the_test_half_is_told_as_promised() -> None:
    ours: Score = scored("test")
    tag: Score = scored("test", tag_only)
    assert ours.precision >= 0.97
    assert ours.recall >= 0.9
    assert ours.side_precision >= 0.97
    assert ours.side_recall >= 0.9
    assert ours.precision > tag.precision
    assert ours.recall > tag.recall
