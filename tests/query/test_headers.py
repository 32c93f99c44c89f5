"""Conditions decided on single headers, by hand-made cases."""

import base64
import datetime as dt

import pytest

from dicomlake.errors import Unsupported
from dicomlake.query import Compare, OneOf, parse
from dicomlake.query.headers import comparable, decider, shower, sort_values


def _value(vr, *values):
    return {"vr": vr, "Value": list(values)}


def _code(value, scheme, meaning=""):
    said = {"00080100": value, "00080102": scheme, "00080104": meaning}
    return {tag: _value("SH", text) for tag, text in said.items()}


HEADER = {
    "00020010": _value("UI", "1.2.840.10008.1.2.1"),
    "00080008": _value("CS", "ORIGINAL", "PRIMARY", None),
    "00080020": _value("DA", "20210304"),
    "00080030": _value("TM", "101500.250000"),
    "0008002A": _value("DT", "20210601003000+0200"),
    "00080060": _value("CS", "MR "),
    "0008103E": _value("LO", " T2  tse "),
    "00081032": _value("SQ", _code("P5-08000", "SRT", "CT"), {}),
    "00090010": _value("LO", "ACME"),
    "00091001": {"vr": "UN", "InlineBinary": base64.b64encode(b"12.5").decode()},
    "00091002": {"vr": "UN", "InlineBinary": base64.b64encode(b"\1\2\3\4").decode()},
    "00091003": _value("US", 3),
    "00091101": _value("LO", "nobody's"),
    "00100010": _value("PN", {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}),
    "00100020": {"vr": "LO"},
    "00100030": _value("DA", "19.05.1975"),
    "00101010": _value("AS", "018M"),
    "00104000": _value("LT", "  two\nlines"),
    "00180050": _value("DS", "1.50"),
    "00180081": _value("DS", 80, "abc", 90.5),
    "00181030": _value("LO", None),
    "00189087": _value("FD", "NaN"),
    "00280030": _value("DS", 0.5, 0.5),
    "00400275": _value(
        "SQ",
        {"00401001": _value("SH", "R1"), "00400009": _value("SH", "S2")},
        {"00401001": _value("SH", "R2"), "00400009": _value("SH", "S1")},
    ),
    "00400555": {"vr": "SQ"},
    "0040A730": _value(
        "SQ",
        {
            "0040A043": _value("SQ", _code("410668003", "SCT", "Length")),
            "0040A300": _value("SQ", {"0040A30A": _value("DS", 12.5)}),
        },
        {
            "0040A043": _value("SQ", _code("103355008", "SCT", "Width")),
            "0040A730": _value(
                "SQ", {"0040A160": _value("UT", "Kalk"), "0040A30A": _value("DS", 9)}
            ),
        },
    ),
    "60020010": _value("US", 64),
    "7FE00010": {"vr": "OW", "BulkDataURI": "?offset=1&length=9"},
}

HOLDS = [
    "Modality = 'MR'",
    "Modality != 'CT'",
    "Modality in ('CT', 'MR')",
    "ImageType = 'PRIMARY'",
    "ImageType != 'PRIMARY'",
    "SeriesDescription = 'T2  tse'",
    "SeriesDescription contains '2  T'",
    "SeriesDescription like 'T2*'",
    "SeriesDescription like 'T2??tse'",
    "PatientComments = '  two\nlines'",
    "PatientComments like '*lines'",
    "PatientName = '山田^太郎'",
    "PatientName = 'Yamada^Tarou=山田^太郎'",
    "PatientName like 'yamada*'",
    "PatientName < 'Z'",
    "SliceThickness = 1.5",
    "EchoTime = 90.5",
    "EchoTime != 80",
    "EchoTime between 85 and 95",
    "EchoTime in (1, 80)",
    "StudyDate = 2021-03-04",
    "StudyDate < 2022",
    "StudyTime = 10:15:00.25",
    "StudyTime between 10:00 and 11:00",
    "AcquisitionDateTime = 2021-05-31T22:30:00",
    "AcquisitionDateTime < 2021-06-01",
    "PatientAge = 18M",
    "PatientAge > 1Y",
    "PatientBirthDate exists",
    "PatientID missing",
    "ProtocolName missing",
    "DiffusionBValue exists",
    "RequestAttributesSequence exists",
    "AcquisitionContextSequence missing",
    "PixelData exists",
    "OverlayRows = 64",
    "TransferSyntaxUID = '1.2.840.10008.1.2.1'",
    "ProcedureCodeSequence within SCT:77477000",
    "*.ConceptNameCodeSequence within SCT:410668003",
    "RequestAttributesSequence.RequestedProcedureID = 'R2'",
    "*.NumericValue > 12",
    "*.TextValue exists",
    "ContentSequence.ContentSequence.TextValue contains 'KAL'",
    '(0009,"ACME",01) = 12.5',
    "(0009,\"ACME\",01) = '12.5'",
    '(0009,"ACME",03) > 2',
    "(0009,0010) = 'ACME'",
    "(0009,1101) = 'nobody''s'",
    "same(instance, Modality = 'MR' and EchoTime = 80)",
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S2')",
    "same(item, *.ConceptNameCodeSequence within SCT:410668003 and *.NumericValue > 10)",
    "same(item, ContentSequence.ConceptNameCodeSequence exists and "
    "same(item, *.NumericValue = 12.5))",
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "not RequestAttributesSequence.ScheduledProcedureStepID = 'S1')",
    "same(item, ContentSequence.MeasuredValueSequence missing)",
]

FAILS = [
    "Modality = 'CT'",
    "Modality != 'MR'",
    "SeriesDescription = 'T2'",
    "SeriesDescription like 't2*'",
    "SeriesDescription like '?T2*'",
    "PatientName = '太郎'",
    "PatientName != '山田^太郎'",
    "PatientID exists",
    "EchoTime < 80",
    "EchoTime > 90.5",
    "PatientBirthDate > 1900",
    "PatientAge < 1Y",
    "DiffusionBValue > 0",
    "DiffusionBValue <= 0",
    "ProtocolName exists",
    "RequestedProcedureID exists",
    "AcquisitionContextSequence exists",
    "ProcedureCodeSequence within SCT:1",
    "ContentSequence.TextValue exists",
    '(0009,"ACME",02) > 1',
    "(0009,\"ACME\",03) = '3'",
    '(0009,"OTHER",01) exists',
    "(0009,1001) exists",
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S1')",
    "same(item, *.ConceptNameCodeSequence within SCT:103355008 and *.NumericValue > 1)",
    "same(item, *.ConceptNameCodeSequence within SCT:410668003 and *.TextValue exists)",
    "same(item, RequestAttributesSequence.RequestedProcedureID missing)",
]


@pytest.mark.parametrize("text", HOLDS)
def test_holds(text):
    assert decider(parse(text))(HEADER)
    assert not decider(~parse(text))(HEADER)


@pytest.mark.parametrize("text", FAILS)
def test_fails(text):
    assert not decider(parse(text))(HEADER)


@pytest.mark.parametrize(
    "text",
    [
        "same(series, Modality = 'MR')",
        "same(study, Modality = 'MR')",
        "Modality = 'CT' and related(Modality = 'MR', Modality = 'CT', before)",
    ],
)
def test_more_than_a_header_is_refused_by_name(text):
    with pytest.raises(Unsupported, match="cannot be decided on a single header"):
        decider(parse(text))


def test_others_may_decide_what_a_header_cannot():
    where = parse("Modality = 'MR' and same(study, Modality = 'CT')")
    known = {where.parts[1]: lambda header: "00080060" in header}
    assert decider(where, known.get)(HEADER)
    assert not decider(where, known.get)({})


def test_texts_and_numbers_in_one_list():
    either = OneOf('(0009,"ACME",01)', ("north", 12.5))
    assert decider(either)(HEADER)
    assert decider(either)({"00090010": HEADER["00090010"], "00091001": _value("LO", "north")})


def test_a_value_of_another_vr_is_not_compared():
    """Attributes sent with a VR that they cannot have."""
    assert not decider(Compare("EchoTime", ">", 1))({"00180081": _value("LO", "80")})
    assert not decider(Compare("StudyDate", ">", "2000-01-01"))({"00080020": _value("LO", "2021")})
    assert not decider(Compare("StudyTime", ">", "00:00"))({"00080030": _value("DS", 9)})
    assert not decider(parse("RequestAttributesSequence.RequestedProcedureID exists"))(
        {"00400275": _value("LO", "text")}
    )


def test_values_as_they_are_compared():
    offset = dt.timezone(dt.timedelta(hours=2))
    moment = dt.datetime(2021, 6, 1, 0, 30, tzinfo=offset)
    assert comparable(moment) == comparable(dt.datetime(2021, 5, 31, 22, 30))
    assert comparable(dt.date(2021, 6, 1)) == dt.datetime(2021, 6, 1, tzinfo=dt.UTC)
    assert comparable(2**60 + 1) == float(2**60)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("Modality", ["MR"]),
        ("ImageType", ["ORIGINAL\\PRIMARY\\"]),
        ("SliceThickness", [1.5]),
        ("EchoTime", ["80\\abc\\90.5"]),
        ("StudyDate", [dt.date(2021, 3, 4)]),
        ("PatientBirthDate", ["19.05.1975"]),
        ("PatientID", []),
        ("DiffusionBValue", ["NaN"]),
        ("ProcedureCodeSequence", ["CT (SRT:P5-08000)"]),
        ("RequestAttributesSequence", ["2 items"]),
        ("AcquisitionContextSequence", []),
        ("*.NumericValue", [12.5, 9.0]),
        ("*.RequestedProcedureID", ["R1", "R2"]),
        ("PixelData", ["9 bytes"]),
        ('(0009,"ACME",01)', ["12.5"]),
        ('(0009,"ACME",02)', ["4 bytes"]),
        ("PatientName", ["Yamada^Tarou=山田^太郎"]),
    ],
)
def test_shown(path, shown):
    assert shower(path)(HEADER) == shown


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("EchoTime", [80.0, 90.5]),
        ("ImageType", ["ORIGINAL", "PRIMARY"]),
        ("PatientAge", [18 * 30.4375]),
        ("StudyDate", [dt.datetime(2021, 3, 4, tzinfo=dt.UTC)]),
        ("PatientBirthDate", []),
        ('(0009,"ACME",01)', ["12.5"]),
    ],
)
def test_ordered_by(path, values):
    assert sort_values(path)(HEADER) == values
