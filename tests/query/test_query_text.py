"""The text form: what people may write, and what they are told."""

import pytest

from dicomlake.errors import QuerySyntax, UnknownAttribute, UsageError, WrongType
from dicomlake.query import parse, parse_query, render

LISTS = {"mine.txt": ["A1", "", " A2 \n"], "my list.txt": ["A3"], "empty": ["\n"]}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("(0008,0060)='MR'", "Modality = 'MR'"),
        ('Modality = "it\'s ""so"""', "Modality = 'it''s \"so\"'"),
        ("A", None),
        ("((Modality exists))", "Modality exists"),
        (
            "Modality EXISTS AnD nOt PatientName Missing",
            "Modality exists and not PatientName missing",
        ),
        (
            "not Modality exists and PatientName exists",
            "not Modality exists and PatientName exists",
        ),
        (
            "Modality exists or PatientName exists and PatientID exists",
            "Modality exists or (PatientName exists and PatientID exists)",
        ),
        ("Modality not in ('CT')", "not Modality in ('CT')"),
        ("Modality not exists", "not Modality exists"),
        ("PatientID not like 'X*' ", "not PatientID like 'X*'"),
        ("not not Modality exists", "not not Modality exists"),
        ("all(Modality exists)", "all(Modality exists)"),
        ("all(Modality exists, PatientID exists)", "Modality exists and PatientID exists"),
        ("any(Modality exists,PatientID exists)", "Modality exists or PatientID exists"),
        ('(0019,"siemens. mr",0c) > 500', '(0019,"siemens. mr",0C) > 500'),
        ("((0019,\"A\",0C)) = 'x'", None),
        ("((0019,\"A\",0C) = 'x')", "(0019,\"A\",0C) = 'x'"),
        ("*.EchoTime between 80 and 1.2e2", "*.EchoTime between 80 and 120.0"),
        ("EchoTime = -.5", "EchoTime = -0.5"),
        ("EchoTime = '80'", "EchoTime = 80"),
        ("PatientAge >= 18", "PatientAge >= 18Y"),
        ("PatientAge >= 018Y", "PatientAge >= 18Y"),
        ("StudyTime < 12:30", "StudyTime < 12:30:00"),
        ("StudyDate = 20240131", "StudyDate = 2024-01-31"),
        (
            "AcquisitionDateTime > 2024-01-31T12:30:00+01:00",
            "AcquisitionDateTime > 2024-01-31T12:30:00+01:00",
        ),
        ("ProcedureCodeSequence within SCT:77477000", "ProcedureCodeSequence within SCT:77477000"),
        ("ProcedureCodeSequence within SCT : '7'", "ProcedureCodeSequence within SCT:7"),
        (
            "ProcedureCodeSequence within '99 X':'a:b' |one||two|",
            "ProcedureCodeSequence within '99 X':'a:b' |one||two|",
        ),
        ("same(Series, Modality exists)", "same(series, Modality exists)"),
        (
            "related(Modality = 'MR', Modality = 'CT', before)",
            "related(Modality = 'MR', Modality = 'CT', before)",
        ),
        (
            "related(Modality exists, PatientID exists, after 1 day)",
            "related(Modality exists, PatientID exists, after 1 days)",
        ),
        (
            "related(Modality exists, PatientID exists, within at most 30 days)",
            "related(Modality exists, PatientID exists, within 30 days)",
        ),
        (
            "related(Modality exists, PatientID exists, before 10 to 30 days)",
            "related(Modality exists, PatientID exists, before 10 to 30 days)",
        ),
        (
            "related(Modality exists, PatientID exists, before at least 10 days)",
            "related(Modality exists, PatientID exists, before at least 10 days)",
        ),
        ("AccessionNumber in @mine.txt", "AccessionNumber in ('A1', 'A2')"),
        ("(AccessionNumber in @mine.txt)", "AccessionNumber in ('A1', 'A2')"),
        ("AccessionNumber in @'my list.txt'", "AccessionNumber in ('A3')"),
    ],
)
def test_spellings(written, canonical):
    if canonical is None:
        with pytest.raises(UsageError):
            parse(written)
        return
    node = parse(written, LISTS.__getitem__)
    assert render(node) == canonical
    assert parse(canonical) == node


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("StudyDate = 2024", "StudyDate between 2024-01-01 and 2024-12-31"),
        ("StudyDate = '2024-02'", "StudyDate between 2024-02-01 and 2024-02-29"),
        ("StudyDate != 2024", "StudyDate < 2024-01-01 or StudyDate > 2024-12-31"),
        ("StudyDate < 2024-03", "StudyDate < 2024-03-01"),
        ("StudyDate <= 2024-03", "StudyDate <= 2024-03-31"),
        ("StudyDate > 2024", "StudyDate > 2024-12-31"),
        ("StudyDate >= 2024", "StudyDate >= 2024-01-01"),
        ("StudyDate between 2020 and 2021-02", "StudyDate between 2020-01-01 and 2021-02-28"),
        (
            "StudyDate in (2024-01-31, 2023)",
            "StudyDate in (2024-01-31) or StudyDate between 2023-01-01 and 2023-12-31",
        ),
        (
            "AcquisitionDateTime = 2024-01-31",
            "AcquisitionDateTime between 2024-01-31T00:00:00 and 2024-01-31T23:59:59.999999",
        ),
        ("AcquisitionDateTime > 2023", "AcquisitionDateTime > 2023-12-31T23:59:59.999999"),
    ],
)
def test_part_of_a_date_stands_for_all_of_it(written, canonical):
    assert render(parse(written)) == canonical


EXPECT_OP = "Expected = != < <= > >= exists missing contains like between in within after Modality"


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("Modality = MR", 11, "Put text in quotes: 'MR'."),
        ("Modality like T2*", 14, "Put text in quotes: 'T2*'."),
        ("(PatientID in (12, 13))", 15, "Put text in quotes: '12'."),
        ("(0019,1010) = abc", 14, "Put text in quotes: 'abc'."),
        ("Modality = 'MR", 11, "The text that begins here has no closing '."),
        ('Modality contains "MR', 18, 'The text that begins here has no closing ".'),
        ("Modality =", 10, "Expected a value for Modality, not the end."),
        ("Modality in ()", 13, "Expected a value for Modality, not ')'."),
        ("Modality in 'MR'", 12, "Expected '(' after Modality in, not \"'\"."),
        ("Modality in ('a' 'b')", 17, "Expected ',' or ')', not \"'\"."),
        ("Modality == 'MR'", 9, f"{EXPECT_OP}, not '=='. Did you mean =?"),
        ("Modality <> 'MR'", 9, f"{EXPECT_OP}, not '<>'. Did you mean !=?"),
        ("Modality contians 'x'", 9, f"{EXPECT_OP}, not 'contians'. Did you mean contains?"),
        ("Modality is missing", 9, f"{EXPECT_OP}, not 'is'. Did you mean exists or missing?"),
        ("Modality", 8, f"{EXPECT_OP}, not the end."),
        (
            "smae(series, Modality exists)",
            0,
            "Expected a condition or one of same, related, all, any, not 'smae'."
            " Did you mean same?",
        ),
        (
            "nto Modality exists",
            0,
            "Expected a condition or one of same, related, all, any, not 'nto'. Did you mean not?",
        ),
        ("exists(Modality)", 0, "Write the attribute first: PatientName exists."),
        ("and Modality exists", 0, "Expected a condition, such as Modality = 'MR', not 'and'."),
        ("(", 1, "Expected a condition, such as Modality = 'MR', not the end."),
        ("(Modality exists", 16, "Expected 'and', 'or' or ')', not the end."),
        ("Modality exists)", 15, "Expected 'and', 'or' or the end, not ')'."),
        (
            "Modality exists adn PatientID exists",
            16,
            "Expected 'and', 'or' or the end, not 'adn'. Did you mean and?",
        ),
        (
            "Modality exists && PatientID exists",
            16,
            "Expected 'and', 'or' or the end, not '&&'. Did you mean and?",
        ),
        (
            "EchoTime between 3, 4",
            18,
            "Expected 'and' and the higher value, not ','. Did you mean and?",
        ),
        (
            "same(serie, Modality exists)",
            5,
            "Expected one of item, segment, channel, event, total, annotation, finding, "
            "fact, document, instance, series, study, patient, not 'serie'."
            " Did you mean series?",
        ),
        ("same(series Modality exists)", 12, "Expected ',' after series, not 'Modality'."),
        ("same series", 5, "Expected '(' after same, not 'series'."),
        ("all(Modality exists", 19, "Expected ',' or ')', not the end."),
        (
            "related(Modality exists, PatientID exists, befor)",
            43,
            "Expected one of before, after, within, not 'befor'. Did you mean before?",
        ),
        (
            "related(Modality exists, PatientID exists, before 30)",
            52,
            "Expected 'to' or 'days', not ')'.",
        ),
        (
            "related(Modality exists, PatientID exists, before days)",
            50,
            "Expected days, such as 30 days, 10 to 30 days or at least 10 days, not 'days'.",
        ),
        (
            "related(Modality exists, PatientID exists, before at 3 days)",
            53,
            "Expected 'least' or 'most', not '3'.",
        ),
        (
            "ProcedureCodeSequence within 77477000",
            37,
            "Expected ':' after the scheme 77477000, not the end.",
        ),
        (
            "ProcedureCodeSequence within",
            28,
            "Expected a code, such as SCT:77477000, not the end.",
        ),
        (
            "ProcedureCodeSequence within SCT:",
            33,
            "Expected the value of the code, in quotes if it is not plain, not the end.",
        ),
    ],
)
def test_text_that_cannot_be_read(text, position, says):
    with pytest.raises(QuerySyntax) as caught:
        parse(text)
    first, line, caret = str(caught.value).split("\n")
    assert first == f"{says} (line 1, character {position + 1})"
    assert (caught.value.position, caught.value.text) == (position, text)
    assert caret.index("^") - 2 == min(position, 60)
    assert line.startswith("  ")


def test_the_caret_points_into_long_and_many_lines():
    with pytest.raises(QuerySyntax) as caught:
        parse("Modality exists\n\tand " + "PatientID exists and " * 10 + "Modality = MR and X")
    first, line, caret = str(caught.value).split("\n")
    assert first.endswith("(line 2, character 227)")
    assert line[caret.index("^") :].startswith("MR and")
    assert len(line) < 100


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (
            "Modalty = 'MR'",
            UnknownAttribute,
            "'Modalty' is not a DICOM keyword. Did you mean Modality?",
        ),
        (
            "MODALITY = 'MR'",
            UnknownAttribute,
            "'MODALITY' is not a DICOM keyword. Did you mean Modality?",
        ),
        (
            "MagneticFieldStrength >= abc",
            WrongType,
            "MagneticFieldStrength (DS) holds numbers, such as 3 or 1.5; 'abc' is none.",
        ),
        (
            "StudyDate = 2024-13",
            WrongType,
            "StudyDate (DA) holds dates, such as 2024-01-31; '2024-13' is none.",
        ),
        (
            "StudyDate = 0000",
            WrongType,
            "StudyDate (DA) holds dates, such as 2024-01-31; '0000' is none.",
        ),
        (
            "StudyDate between 2024 and 2020",
            UsageError,
            "StudyDate between 2024-01-01 and 2020-12-31 holds nothing. Write the lower value"
            " first.",
        ),
        (
            "AccessionNumber in @empty",
            UsageError,
            "The list @empty is empty. Give it one value a line.",
        ),
    ],
)
def test_text_that_gets_dicom_wrong(text, error, says):
    with pytest.raises(error) as caught:
        parse(text, LISTS.__getitem__)
    assert str(caught.value) == says


def test_lists_need_somebody_to_read_them():
    with pytest.raises(UsageError) as caught:
        parse("AccessionNumber in @mine.txt")
    assert str(caught.value) == (
        "The list @mine.txt cannot be read here. Write its values: in ('A', 'B')."
    )


def test_a_query_has_clauses_in_any_order():
    query = parse_query("order -StudyDate, Modality LIMIT 5 show PatientID level study")
    assert render(query) == "level study show PatientID order by -StudyDate, Modality limit 5"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Modality exists levl study", "Did you mean level?"),
        ("level serie", "Did you mean series?"),
        ("level study level series", "The query says level twice."),
        ("limit -1", "Expected a whole number after limit"),
        ("limit 1.5", "Expected a whole number after limit"),
        ("show limit 3", "'limit' is not a DICOM keyword"),
        ("show 3", "Expected an attribute, not '3'."),
        ("limit 0", "limit needs a whole number from 1, not 0."),
    ],
)
def test_clauses_that_cannot_be_read(text, says):
    with pytest.raises(UsageError) as caught:
        parse_query(text)
    assert says in str(caught.value)


def test_a_condition_alone_has_no_clauses():
    with pytest.raises(QuerySyntax, match="Expected 'and', 'or' or the end, not 'level'"):
        parse("Modality exists level study")
