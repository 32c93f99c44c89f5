"""The JSON form: its shapes, and what is said of a wrong one."""

import pytest

from dicomlake.errors import UnknownAttribute, UsageError, WrongType
from dicomlake.query import (
    Age,
    Between,
    Compare,
    Exists,
    OneOf,
    Query,
    Related,
    Same,
    Within,
    from_json,
    to_json,
)
from dicomlake.terms import Code

NAME = {"exists": {"path": "PatientName"}}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (
            Compare("PatientAge", ">=", Age(18, "Y")),
            {"compare": {"path": "PatientAge", "op": ">=", "value": "18Y"}},
        ),
        (
            OneOf("StudyTime", ("1230",)),
            {"one_of": {"path": "StudyTime", "values": ["12:30:00"]}},
        ),
        (
            Between("StudyDate", "20200101", "20241231"),
            {"between": {"path": "StudyDate", "low": "2020-01-01", "high": "2024-12-31"}},
        ),
        (
            Within("ProcedureCodeSequence", Code("77477000", "SCT", "CT")),
            {
                "within": {
                    "path": "ProcedureCodeSequence",
                    "code": {"value": "77477000", "scheme": "SCT", "meaning": "CT"},
                }
            },
        ),
        (
            ~Exists("PatientName") & Exists("PatientName"),
            {"and": [{"not": NAME}, NAME]},
        ),
        (
            Same("series", Exists("PatientName") | Exists("PatientName")),
            {"same": {"level": "series", "part": {"or": [NAME, NAME]}}},
        ),
        (
            Related(Exists("PatientName"), Exists("PatientName"), "before", days_high=30),
            {
                "related": {
                    "first": NAME,
                    "second": NAME,
                    "relation": "before",
                    "days_low": None,
                    "days_high": 30,
                }
            },
        ),
        (
            Query(Exists("PatientName"), "study", ("Modality",), ("-StudyDate",), 5),
            {
                "where": NAME,
                "level": "study",
                "show": ["Modality"],
                "order": ["-StudyDate"],
                "limit": 5,
            },
        ),
    ],
)
def test_shapes(value, plain):
    assert to_json(value) == plain
    assert from_json(plain) == value


def test_what_may_be_left_out():
    code = {"path": "ProcedureCodeSequence", "code": {"value": "1", "scheme": "SCT"}}
    assert from_json({"within": code}) == Within(code["path"], Code("1", "SCT"))
    related = {"first": NAME, "second": NAME, "relation": "after"}
    assert from_json({"related": related}).days_low is None
    assert from_json({"level": "study"}) == Query(level="study")


@pytest.mark.parametrize(
    ("plain", "error", "says"),
    [
        (
            {"and": [NAME, {"compare": {"path": "Modalty", "op": "=", "value": "MR"}}]},
            UnknownAttribute,
            "At and[1].compare.path: 'Modalty' is not a DICOM keyword. Did you mean Modality?",
        ),
        (
            {"where": {"not": {"compare": {"path": "EchoTime", "op": "=", "value": "x"}}}},
            WrongType,
            "At where.not.compare: EchoTime (DS) holds numbers, such as 3 or 1.5; 'x' is none.",
        ),
        (
            {"or": [{"compare": {"path": "EchoTime", "value": 3}}]},
            UsageError,
            "At or[0].compare: the key 'op' is missing.",
        ),
        (
            {"comparee": {}},
            UsageError,
            "At the top: 'comparee' is no kind of condition. Did you mean compare?",
        ),
        (
            {"xyz": {}},
            UsageError,
            "At the top: 'xyz' is no kind of condition. Use one of compare, one_of, between,"
            " exists, missing, contains, like, within, and, or, not, same, related.",
        ),
        (
            {"exists": {"path": "Modality", "pth": 1}},
            UsageError,
            "At exists: 'pth' has no meaning here. Did you mean path?",
        ),
        (
            {"exists": "Modality"},
            UsageError,
            "At exists: needs an object with path; 'Modality' is none.",
        ),
        (
            {"exists": {"path": ["Modality"]}},
            UsageError,
            "At exists.path: ['Modality'] is not an attribute path. Write it as text: 'Modality'.",
        ),
        (
            {"and": NAME},
            UsageError,
            "At and: needs a list; {'exists': {'path': 'PatientName'}} is none.",
        ),
        ({"and": []}, UsageError, "At and: and needs at least one condition."),
        (
            {"and": [3]},
            UsageError,
            "At and[0]: a condition is an object with one key, its kind; 3 is none.",
        ),
        (
            {"same": {"level": "series", "part": {"not": None}}},
            UsageError,
            "At same.part.not: a condition is an object with one key, its kind; None is none.",
        ),
        (
            {"same": {"level": ["series"], "part": NAME}},
            UsageError,
            "At same: ['series'] is no level for same. Use one of item, segment, channel, event,"
            " total, annotation, finding, fact, document, instance, series, study, patient.",
        ),
        (
            {"one_of": {"path": "Modality", "values": "CT"}},
            UsageError,
            "At one_of.values: needs a list; 'CT' is none.",
        ),
        (
            {"within": {"path": "ProcedureCodeSequence", "code": {"value": "1"}}},
            UsageError,
            "At within.code: the key 'scheme' is missing.",
        ),
        (
            {"related": {"first": NAME, "second": NAME, "relation": "near"}},
            UsageError,
            "At related: 'near' relates nothing. Use one of before, after, within.",
        ),
        (
            [],
            UsageError,
            "At the top: a condition is an object with one key, its kind; [] is none.",
        ),
        (
            {"level": "item"},
            UsageError,
            "At the top: 'item' is no level. Use one of patient, study, series, instance.",
        ),
        (
            {"level": "study", "shwo": []},
            UsageError,
            "At the top: 'shwo' has no meaning here. Did you mean show?",
        ),
        (
            {"show": ["Modality", "Modalty"]},
            UnknownAttribute,
            "At show[1]: 'Modalty' is not a DICOM keyword. Did you mean Modality?",
        ),
        ({"show": "Modality"}, UsageError, "At show: needs a list; 'Modality' is none."),
        ({"limit": True}, UsageError, "At the top: limit needs a whole number from 1, not True."),
        ({3: {}}, UsageError, None),
    ],
)
def test_wrong_shapes_are_told_with_their_place(plain, error, says):
    with pytest.raises(error) as caught:
        from_json(plain)
    assert type(caught.value) is error
    assert says in (None, str(caught.value))
