"""Nodes check themselves when built."""

import datetime as dt
from decimal import Decimal

import numpy
import pytest
from pydicom.uid import UID

from dicomlake.errors import UnknownAttribute, UsageError, WrongType
from dicomlake.query import (
    Age,
    And,
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Not,
    OneOf,
    Or,
    Query,
    Related,
    Same,
    Within,
)
from dicomlake.terms import Code

A, B, C = Exists("PatientName"), Exists("PatientID"), Exists("Modality")


def test_operators_flatten_what_they_join():
    assert (A & B) & C == A & (B & C) == And((A, B, C))
    assert Or((A, B, C)) == A | B | C
    assert And((A, Or((B, C)))) == A & (B | C)
    assert Not(A) == ~A


def test_constructors_keep_what_they_are_given():
    assert And((And((A, B)), C)).parts == (And((A, B)), C)
    assert And((A,)) != A


def test_python_and_or_are_refused_rather_than_wrong():
    with pytest.raises(UsageError, match="Join conditions with &"):
        A and B  # noqa: B018
    with pytest.raises(TypeError):
        A & "Modality exists"
    with pytest.raises(TypeError):
        A | None


@pytest.mark.parametrize(
    ("path", "given", "kept"),
    [
        ("(0008,0060)", "MR", "MR"),
        ("StudyInstanceUID", UID("1.2.3"), "1.2.3"),
        ("EchoTime", "80", 80),
        ("EchoTime", " 80.0 ", 80.0),
        ("EchoTime", "1e2", 100.0),
        ("EchoTime", numpy.int32(5), 5),
        ("EchoTime", numpy.float32(0.5), 0.5),
        ("EchoTime", Decimal("2.5"), 2.5),
        ("EchoTime", 10**30, 1e30),
        ("StudyDate", "20240131", dt.date(2024, 1, 31)),
        ("StudyDate", "2024-01-31", dt.date(2024, 1, 31)),
        ("StudyTime", "123015.5", dt.time(12, 30, 15, 500000)),
        ("StudyTime", "12:30", dt.time(12, 30)),
        ("StudyTime", "1230", dt.time(12, 30)),
        ("StudyTime", "12", dt.time(12)),
        ("AcquisitionDateTime", "2024-01-31T12:30", dt.datetime(2024, 1, 31, 12, 30)),
        ("AcquisitionDateTime", "2024-01-31 12:30:00", dt.datetime(2024, 1, 31, 12, 30)),
        ("AcquisitionDateTime", "20240131123000.25", dt.datetime(2024, 1, 31, 12, 30, 0, 250000)),
        (
            "AcquisitionDateTime",
            "20240131123000-0130",
            dt.datetime(
                2024, 1, 31, 12, 30, tzinfo=dt.timezone(-dt.timedelta(hours=1, minutes=30))
            ),
        ),
        (
            "AcquisitionDateTime",
            "2024-01-31T12:30:00Z",
            dt.datetime(2024, 1, 31, 12, 30, tzinfo=dt.UTC),
        ),
        ("PatientAge", "045Y", Age(45, "Y")),
        ("PatientAge", "18M", Age(18, "M")),
        ("PatientAge", 45, Age(45, "Y")),
        ("PatientAge", "45", Age(45, "Y")),
        ("(0019,1010)", "3", "3"),
        ("(0019,1010)", 3.5, 3.5),
    ],
)
def test_accepted_spellings_become_one_value(path, given, kept):
    value = Compare(path, "=", given).value
    assert (value, type(value)) == (kept, type(kept))


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("Modality", 3),
        ("Modality", ""),
        ("Modality", None),
        ("EchoTime", "abc"),
        ("EchoTime", True),
        ("EchoTime", float("nan")),
        ("EchoTime", float("inf")),
        ("EchoTime", "1e999"),
        ("EchoTime", "1" * 5000),
        ("EchoTime", "٣"),
        ("EchoTime", [3]),
        ("StudyDate", "2024"),
        ("StudyDate", "2024-0131"),
        ("StudyDate", "20240231"),
        ("StudyDate", 20240131),
        ("StudyDate", dt.datetime(2024, 1, 31)),
        ("StudyTime", "25:00"),
        ("StudyTime", dt.time(12, tzinfo=dt.UTC)),
        ("AcquisitionDateTime", dt.date(2024, 1, 31)),
        ("AcquisitionDateTime", "2024-01-31"),
        ("AcquisitionDateTime", "2024-01-31T12:30+99:00"),
        ("AcquisitionDateTime", "2024-01-31T25:30"),
        ("PatientAge", "45X"),
        ("PatientAge", 45.5),
        ("PatientAge", True),
        ("PatientAge", -1),
        ("(0019,1010)", dt.date(2024, 1, 31)),
        ("(0019,1010)", float("nan")),
    ],
)
def test_values_the_attribute_cannot_have(path, given):
    for build in (
        lambda: Compare(path, "=", given),
        lambda: OneOf(path, (given,)),
        lambda: Between(path, given, given),
    ):
        with pytest.raises(WrongType, match=r" holds .* is none\."):
            build()


@pytest.mark.parametrize("path", ["EchoTime", "PatientAge", "Modality", "(0019,1010)"])
def test_a_number_too_long_to_print_is_refused_in_words(path):
    with pytest.raises(WrongType, match="a number of very many digits is none"):
        Compare(path, "=", 10**5000)


def test_offsets_are_kept_as_fixed_ones():
    from zoneinfo import ZoneInfo

    value = dt.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    kept = Compare("AcquisitionDateTime", "=", value).value
    assert kept.tzinfo == dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (
            lambda: Compare("MagneticFieldStrenght", ">=", 3),
            UnknownAttribute,
            "'MagneticFieldStrenght' is not a DICOM keyword. Did you mean MagneticFieldStrength?",
        ),
        (
            lambda: Compare("MagneticFieldStrength", ">=", "abc"),
            WrongType,
            "MagneticFieldStrength (DS) holds numbers, such as 3 or 1.5; 'abc' is none.",
        ),
        (
            lambda: Compare("PatientName", "=", ""),
            WrongType,
            "PatientName (PN) holds text, such as 'HEAD'; '' is none."
            " Ask `PatientName missing` for no value.",
        ),
        (
            lambda: Compare("Modality", "==", "MR"),
            UsageError,
            "'==' is no comparison. Use one of = != < <= > >=.",
        ),
        (
            lambda: Compare("ProcedureCodeSequence", "=", "CT"),
            UsageError,
            "ProcedureCodeSequence (SQ) is a sequence and has no value of its own. Ask for an"
            " attribute inside it (ProcedureCodeSequence.CodeValue), or use exists, missing or"
            " within.",
        ),
        (
            lambda: Compare("PixelData", "=", "x"),
            UsageError,
            "PixelData (OB) holds bulk data. Only exists and missing can be asked of it.",
        ),
        (
            lambda: Exists("Modality.EchoTime"),
            UsageError,
            "Modality (CS) is no sequence: Modality.EchoTime cannot exist.",
        ),
        (
            lambda: Exists(524384),
            UsageError,
            "524384 is not an attribute path. Write it as text: 'Modality'.",
        ),
        (
            lambda: Missing("M" * 5000),
            UsageError,
            f"'{'M' * 56}... is no attribute path: it has 5000 characters.",
        ),
        (
            lambda: OneOf("Modality", "CT"),
            UsageError,
            "Modality in needs a tuple of values, such as ('CT',).",
        ),
        (lambda: OneOf("Modality", ()), UsageError, "Modality in needs at least one value."),
        (
            lambda: Between("StudyDate", "20240131", "20200131"),
            UsageError,
            "StudyDate between 2024-01-31 and 2020-01-31 holds nothing. Write the lower value"
            " first.",
        ),
        (
            lambda: Between("PatientAge", "1Y", "11M"),
            UsageError,
            "PatientAge between 1Y and 11M holds nothing. Write the lower value first.",
        ),
        (
            lambda: Between("(0019,1010)", "a", 3),
            WrongType,
            "(0019,1010) (VR unknown) between 'a' and 3: these have no order. Give two of one type,"
            " both with an offset from UTC or both without.",
        ),
        (
            lambda: Contains("EchoTime", "8"),
            WrongType,
            "EchoTime (DS) holds no text, so contains cannot be asked of it.",
        ),
        (
            lambda: Like("StudyDate", "2024*"),
            WrongType,
            "StudyDate (DA) holds no text, so like cannot be asked of it.",
        ),
        (
            lambda: Within("Modality", Code("1", "SCT")),
            WrongType,
            "Modality (CS) holds no codes. within asks a coded sequence, such as"
            " ProcedureCodeSequence.",
        ),
        (
            lambda: Within("ProcedureCodeSequence", "SCT:1"),
            WrongType,
            "ProcedureCodeSequence within needs a code with value and scheme, such as"
            " Code('77477000', 'SCT'); 'SCT:1' is none.",
        ),
        (lambda: And(()), UsageError, "and needs at least one condition."),
        (
            lambda: Or((A, "Modality")),
            UsageError,
            "or needs conditions, such as Exists('Modality'), not 'Modality'.",
        ),
        (
            lambda: Not(None),
            UsageError,
            "not needs conditions, such as Exists('Modality'), not None.",
        ),
        (
            lambda: Same("house", A),
            UsageError,
            "'house' is no level for same. Use one of item, segment, channel, event, total,"
            " annotation, finding, fact, document, instance, series, study, patient.",
        ),
        (
            lambda: Related(A, B, "near"),
            UsageError,
            "'near' relates nothing. Use one of before, after, within.",
        ),
        (
            lambda: Related(A, B, "before", 30, 10),
            UsageError,
            "30 to 10 days holds nothing. Write the lower number first.",
        ),
        (
            lambda: Related(A, B, "before", -1),
            WrongType,
            "-1 is no number of days. Give 0 or more.",
        ),
        (
            lambda: Query("Modality exists"),
            UsageError,
            "where needs a condition, such as Exists('Modality'), not 'Modality exists'.",
        ),
        (
            lambda: Query(level="item"),
            UsageError,
            "'item' is no level. Use one of patient, study, series, instance.",
        ),
        (lambda: Query(limit=0), UsageError, "limit needs a whole number from 1, not 0."),
        (
            lambda: Query(show="Modality"),
            UsageError,
            "show needs a tuple of paths, such as ('Modality',).",
        ),
        (
            lambda: Query(order=("-PixelData",)),
            UsageError,
            "PixelData (OB) has no values to order by.",
        ),
        (
            lambda: Age(1000, "Y"),
            UsageError,
            "1000 'Y' is no age. Give a whole number from 0 to 999 and one of D, W, M, Y, such as"
            " Age(45, 'Y').",
        ),
    ],
)
def test_messages(build, error, says):
    with pytest.raises(error) as caught:
        build()
    assert type(caught.value) is error
    assert str(caught.value) == says


def test_within_takes_codes_only():
    for code in (Code("", "SCT"), Code("1", ""), Code(1, "SCT"), None):
        with pytest.raises(WrongType, match="needs a code"):
            Within("ProcedureCodeSequence", code)


def test_paths_of_a_query_are_canonical():
    query = Query(show=["(0008,0060)"], order=["-(0008,0020)"])
    assert (query.show, query.order) == (("Modality",), ("-StudyDate",))
