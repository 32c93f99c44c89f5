"""What to pull, out of lists, tables, FHIR exports and HL7 messages; errors never say values."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomlake.errors import UsageError
from dicomlake.jobs.identifiers import KINDS, identifiers, read_list

U1, U2, U3 = "1.2.840.1.11", "1.2.840.1.22", "1.2.840.1.33"
ACC = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(content: str | bytes | list[Any] | dict[str, Any], name: str = "list.txt") -> Path:
        path = tmp_path / name
        if isinstance(content, list | dict):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def said(error: pytest.ExceptionInfo[UsageError]) -> str:
    return str(error.value).partition("list.txt")[2]


class TestLists:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_one_value_per_line(self, file: Any, end: str, encoding: str) -> None:
        text = end.join(["# Über", "", "A2", "  A1\t".strip(), "A2", '"B 3"', " # x", "Ä4", ""])
        assert read_list(file(text.encode(encoding))) == {
            "AccessionNumber": ["A2", "A1", "B 3", "Ä4"]
        }

    def test_uids_are_recognised(self, file: Any) -> None:
        path = file(f"{U1}\n{U2}\nA1\n1.234\n")
        found = {"AccessionNumber": ["A1", "1.234"], "StudyInstanceUID": [U1, U2]}
        assert read_list(path) == found
        path = file(f"{U1}\n{U2}\n")
        assert read_list(path, "SeriesInstanceUID") == {"SeriesInstanceUID": [U1, U2]}
        assert read_list(path, "PatientID") == {"PatientID": [U1, U2]}

    @pytest.mark.parametrize("nothing", ["", "\n\n", "# only this\n", "\ufeff"])
    def test_nothing(self, file: Any, nothing: str) -> None:
        assert read_list(file(nothing)) == {}

    @pytest.mark.parametrize("value", ["SECRET*", "SEC?RET", "SEC\\RET"])
    def test_wildcards_are_refused(self, file: Any, value: str) -> None:
        with pytest.raises(UsageError, match=r"list\.txt, line 3: .*other patients") as error:
            read_list(file(f"A1\n\n{value}\n"))
        assert "RET" not in said(error)

    @pytest.mark.parametrize(
        ("value", "kind", "why"),
        [
            ("SECRET" * 3, None, "16 characters"),
            ("SECRET" * 11, "PatientID", "64 characters"),
            ("SECRET\x01", None, "control"),
            ("SECRET", "StudyInstanceUID", "no StudyInstanceUID"),
            ("1.2.03.SECRET", "SeriesInstanceUID", "no SeriesInstanceUID"),
        ],
    )
    def test_what_cannot_be(self, file: Any, value: str, kind: str | None, why: str) -> None:
        with pytest.raises(UsageError, match=rf"line 1: .*{why}") as error:
            read_list(file(value), kind)
        assert "SECRET" not in said(error)

    def test_what_is_no_list(self, file: Any, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="spreadsheet"):
            read_list(file(b"PK\x03\x04abc"))
        with pytest.raises(UsageError, match="no text"):
            read_list(file(bytes(128) + b"DICM"))
        with pytest.raises(UsageError, match="XML"):
            read_list(file("<Bundle/>"))
        with pytest.raises(UsageError, match="cannot be read"):
            read_list(tmp_path / "none")
        with pytest.raises(UsageError, match="cannot be read"):
            read_list(tmp_path)
        with pytest.raises(UsageError, match="cannot be listed"):
            read_list(file("A1"), "PatientName")
        with pytest.raises(UsageError, match="several columns"):
            read_list(file("Name;Secret\n"))


class TestTables:
    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            ("AccessionNumber", "AccessionNumber"),
            ("accession_number", "AccessionNumber"),
            ("Accession No.", "AccessionNumber"),
            ('"ACCESSION #"', "AccessionNumber"),
            ("(0008,0050)", "AccessionNumber"),
            ("patient_id", "PatientID"),
            ("MRN", "PatientID"),
        ],
    )
    @pytest.mark.parametrize("between", [";", "\t", ","])
    def test_heads(self, file: Any, head: str, kind: str, between: str) -> None:
        if "," in head:
            head = f'"{head}"'
        for rows in (f"{head}\nA1\nA2\n", f"x{between}{head}\n;{between}A1\ny{between} A2 \n"):
            if between == ";":
                rows = rows.replace("\n;;", "\nz;")
            assert read_list(file(rows)) == {kind: ["A1", "A2"]}

    def test_the_narrowest_of_each_row(self, file: Any) -> None:
        path = file(
            "# from the RIS\n"
            "PatientID;Name;accession;study_uid;SeriesInstanceUID\n"
            f"P1;A;A1;{U1};{U2}\n"
            f"P2;B;A2;{U1};\n"
            "P3;C;A3;;\n"
            "P4;D\n"
            ";;;;\n"
            "\n"
        )
        assert read_list(path) == {
            "AccessionNumber": ["A3"],
            "PatientID": ["P4"],
            "StudyInstanceUID": [U1],
            "SeriesInstanceUID": [U2],
        }
        assert read_list(path, "PatientID") == {"PatientID": ["P1", "P2", "P3", "P4"]}
        assert read_list(path, "StudyInstanceUID") == {"StudyInstanceUID": [U1]}

    def test_what_spreadsheets_write(self, file: Any) -> None:
        path = file('sep=,\r\nAccession,Text\r\n="0012","two\r\nlines, ""x"""\r\n0013,\r\n')
        assert read_list(path) == {"AccessionNumber": ["0012", "0013"]}
        with pytest.raises(UsageError, match=r"line 2: a spreadsheet has rounded"):
            read_list(file("Accession\n1.23457E+11\n"))

    @pytest.mark.parametrize(
        ("rows", "why"),
        [
            ("Accession,Text\nA1,x\nA2,y,SECRET\n", "line 3 has more cells"),
            ("Accession,AccessionNumber\nA1,A2\n", "line 1 names AccessionNumber twice"),
            ('Accession,Text\nA1,"SECRET\nA2,y\n', "line 3 is no row"),
            ("Accession,Text\nSECRET*,\n", "line 2: "),
        ],
    )
    def test_what_is_wrong(self, file: Any, rows: str, why: str) -> None:
        with pytest.raises(UsageError, match=why) as error:
            read_list(file(rows))
        assert "SECRET" not in said(error)

    def test_a_kind_that_has_no_column(self, file: Any) -> None:
        with pytest.raises(UsageError, match="no column PatientID"):
            read_list(file("Accession,Text\nA1,x\n"), "PatientID")


def study(uid: str = "", number: str = "", **more: Any) -> dict[str, Any]:
    ids: list[dict[str, Any]] = []
    if uid:
        ids.append({"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"})
    if number:
        ids.append({"type": ACC, "value": number})
    return {"resourceType": "ImagingStudy", "identifier": ids, **more}


def order(kind: str, number: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": kind, "identifier": [{"type": ACC, "value": number}], **more}


class TestFhir:
    def test_a_study_needs_no_accession(self, file: Any) -> None:
        series = [{"uid": U2}, {"uid": U3}]
        path = file(study(U1, "A1", series=series), "study.json")
        assert read_list(path) == {"StudyInstanceUID": [U1]}
        assert read_list(path, "AccessionNumber") == {"AccessionNumber": ["A1"]}
        assert read_list(path, "SeriesInstanceUID") == {"SeriesInstanceUID": [U2, U3]}
        assert read_list(file(study("", "A1", series=series))) == {"AccessionNumber": ["A1"]}
        assert read_list(file(study(series=series))) == {"SeriesInstanceUID": [U2, U3]}
        old = {"resourceType": "ImagingStudy", "uid": f"urn:oid:{U1}", "accession": {"value": "A"}}
        assert read_list(file(old)) == {"StudyInstanceUID": [U1]}
        assert read_list(file({**old, "uid": None})) == {"AccessionNumber": ["A"]}
        based = study(basedOn=[{"identifier": {"type": ACC, "value": "A9"}}])
        assert read_list(file(based)) == {"AccessionNumber": ["A9"]}

    def bundle(self) -> dict[str, Any]:
        resources: list[Any] = [
            order("ServiceRequest", "A1", id="o1"),
            order("ServiceRequest", "A2", id="o2"),
            order("Task", "A3"),
            order("Observation", "A5", status="entered-in-error"),
            study(U1, id="s1", basedOn=[{"reference": "https://x/fhir/ServiceRequest/o1"}]),
            study(U2, "A7"),
            order("DiagnosticReport", "A4", imagingStudy=[{"reference": "ImagingStudy/s1"}]),
            order("DiagnosticReport", "A6", study=[{"reference": "ImagingStudy/s2"}]),
            order("Observation", "A7"),
            {"resourceType": "Patient", "identifier": [{"value": "P1"}]},
            {"resourceType": "Device", "identifier": [{"type": ACC, "value": "no"}]},
            {"resourceType": "Task", "identifier": {"value": "A8", "system": "http://ris/acc"}},
        ]
        return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}

    def test_bundles(self, file: Any) -> None:
        found = {"AccessionNumber": ["A2", "A3", "A6"], "StudyInstanceUID": [U1, U2]}
        pretty = file(json.dumps(self.bundle(), indent=2), "pretty.json")
        for path in (file(self.bundle()), pretty, file("\ufeff" + json.dumps(self.bundle()))):
            assert read_list(path) == found
        lines = "\r\n".join(json.dumps(one["resource"]) for one in self.bundle()["entry"])
        assert read_list(file(lines, "a.ndjson")) == found
        assert read_list(file([one["resource"] for one in self.bundle()["entry"]])) == found
        more = read_list(pretty, systems={"http://ris/acc"})
        assert more["AccessionNumber"] == ["A2", "A3", "A6", "A8"]
        assert read_list(pretty, "PatientID") == {"PatientID": ["P1"]}

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ('{"a": 1}\n{"SECRET"\n', "line 2 is no JSON"),
            ('{\n"a":\n"SECRET"x}\n', "line 3 is no JSON"),
            (json.dumps([study(U1), study("", "SECRET*")]), r"line 1, resource 2: "),
            (json.dumps(study("1.2.SECRET")), "no StudyInstanceUID"),
        ],
    )
    def test_what_is_wrong(self, file: Any, text: str, why: str) -> None:
        with pytest.raises(UsageError, match=why) as error:
            read_list(file(text))
        assert "SECRET" not in said(error)

    _json = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from(["", "A1", U1, "urn:dicom:uid"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "resourceType identifier type coding code system value entry resource "
                    "contained series uid basedOn reference study status accession id "
                    "fullUrl".split()
                ),
                inner | st.sampled_from(["ImagingStudy", "DiagnosticReport", "ACSN"]),
                max_size=5,
            )
        ),
        max_leaves=20,
    )

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(_json.filter(lambda one: isinstance(one, list | dict)))
    def test_any_shape(self, file: Any, document: Any) -> None:
        read_list(file(document))


def message(*segments: str, kind: str = "ORM^O01", end: str = "\r") -> str:
    return end.join([f"MSH|^~\\&|RIS|A|B|C|2024||{kind}|1|P|2.5", *segments, ""])


def obr(filler: str = "", common: str = "") -> str:
    return f"OBR|1|PL|{filler}" + "|" * 15 + common


class TestMessages:
    @pytest.mark.parametrize(
        ("segments", "found"),
        [
            (("ORC|NW", obr("F1^RIS", "A1")), {"AccessionNumber": ["A1"]}),
            (("ORC|NW", obr("F1^RIS")), {"AccessionNumber": ["F1"]}),
            (("ORC|NW", obr("F1", "A1"), "IPC|A2^X|RP|"), {"AccessionNumber": ["A2"]}),
            (("ORC|NW", obr("F1", "A1"), f"IPC|A2^X|RP|{U1}^Y"), {"StudyInstanceUID": [U1]}),
            (
                ("ORC|NW", obr("F1", "A1"), "ORC|NW", obr("F2", "A1"), f"ZDS|{U1}^A^Application^D"),
                {"StudyInstanceUID": [U1]},
            ),
            ((obr("F1"), obr("F2"), f"ZDS|{U1}"), {"StudyInstanceUID": [U1]}),
            (
                ("ORC|NW", obr("", "A1"), f"ZDS|{U1}", "ORC|NW", obr("", "A2")),
                {"AccessionNumber": ["A2"], "StudyInstanceUID": [U1]},
            ),
            ((obr("F1", '""'),), {"AccessionNumber": ["F1"]}),
            ((obr("F1", "A\\T\\1"),), {"AccessionNumber": ["A&1"]}),
            (("TXA|1" + "|" * 14 + "F9^R",), {"AccessionNumber": ["F9"]}),
            (("PID|1||P1", "ORC|NW", "OBX|1|TX", "OBR", "garbage", "IPC"), {}),
        ],
    )
    @pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
    def test_one(self, file: Any, segments: tuple[str, ...], found: Any, end: str) -> None:
        assert read_list(file(message("PID|1||P1^^^H^MR", *segments, end=end))) == found

    def test_many(self, file: Any) -> None:
        kinds = ["ORM^O01", "ORU^R01", "OMI^O23", "OMG^O19", "MDM^T02", "ADT^A08", "ACK"]
        each = [message(obr("", f"A{n}"), kind=kind) for n, kind in enumerate(kinds)]
        found = {"AccessionNumber": ["A0", "A1", "A2", "A3", "A4"]}
        assert read_list(file("".join(each))) == found
        assert read_list(file("\r\n\r\n".join(each))) == found
        assert read_list(file("".join(f"\x0b{one}\x1c\r" for one in each))) == found
        batch = "FHS|^~\\&|x\rBHS|^~\\&|x\r" + "".join(each) + "BTS|7\rFTS|1\r"
        assert read_list(file(batch)) == found

    def test_own_delimiters(self, file: Any) -> None:
        path = file("MSH$:!/%$R$A$B$C$2024$$ORU:R01$1\rOBR$1$P$F1$$$$$$$$$$$$$$$A|1:x!A2%z\r")
        assert read_list(path) == {"AccessionNumber": ["A|1", "A2"]}
        path = file("MSH|\rPID|1\r")
        assert read_list(path) == {}

    def test_a_field_of_its_own(self, file: Any) -> None:
        path = file(message("ORC|NW|PL|O3^x", obr("F1", "A1"), f"ZDS|{U1}", "ZAC|a^b"))
        assert read_list(path, "AccessionNumber") == {"AccessionNumber": ["A1"]}
        assert read_list(path, "AccessionNumber", field="OBR-3") == {"AccessionNumber": ["F1"]}
        assert read_list(path, "AccessionNumber", field="ORC-3") == {"AccessionNumber": ["O3"]}
        assert read_list(path, "AccessionNumber", field="ZAC-1.2") == {"AccessionNumber": ["b"]}
        assert read_list(path, field="OBR-3") == {"StudyInstanceUID": [U1]}
        for wrong in ("OBR", "OBR-0", "MSH-3", "obr-3"):
            with pytest.raises(UsageError, match="no field"):
                read_list(path, field=wrong)

    def test_patients_only_when_asked(self, file: Any) -> None:
        path = file(message("PID|1||V1^^^H^VN~P1^^^H^MR", obr("F1")) + message("PID|1||P2^^^H"))
        assert read_list(path) == {"AccessionNumber": ["F1"]}
        assert read_list(path, "PatientID") == {"PatientID": ["P1", "P2"]}

    def test_what_is_wrong(self, file: Any) -> None:
        with pytest.raises(UsageError, match=r"line 3: .*other patients") as error:
            read_list(file(message("PID|1||P1", obr("", "SECRET\\E\\"))))
        assert "SECRET" not in said(error)


class TestIdentifiers:
    def test_values_and_files(self, file: Any) -> None:
        path = file(f"A2\nA1\n{U1}\n")
        found = {"AccessionNumber": ("A1", "A2"), "StudyInstanceUID": (U1,)}
        assert identifiers(["A1", path, "A2"]) == found
        assert identifiers(f"@{path}") == {**found, "AccessionNumber": ("A2", "A1")}
        assert identifiers(path) == identifiers([path])
        assert identifiers(["A1"], "PatientID") == {"PatientID": ("A1",)}
        assert identifiers([]) == {}
        with pytest.raises(UsageError, match="value 2"):
            identifiers(["A1", "A*"])
        with pytest.raises(UsageError, match="value 1"):
            identifiers([" "])


VALUES = st.lists(st.from_regex(r"[A-Za-z0-9Ä\-][A-Za-z0-9ÄΩ /\-]{0,14}", fullmatch=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, st.sampled_from(["\n", "\r\n", "\r", "\n\n"]), st.booleans())
def test_lists_come_back(file: Any, values: list[str], end: str, mark: bool) -> None:
    text = "# list" + end + end.join(values)
    wanted = list(dict.fromkeys(value.strip() for value in values))
    found = read_list(file(text.encode("utf-8-sig" if mark else "utf-8")), "PatientID")
    assert found == ({"PatientID": wanted} if wanted else {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, st.sampled_from(";,\t|"), st.text("ab\n;,\t|\"'", max_size=9))
def test_tables_come_back(file: Any, values: list[str], between: str, other: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=between)
    writer.writerows([["Text", "Accession No", "z"], *([other, value, ""] for value in values)])
    wanted = list(dict.fromkeys(value.strip() for value in values))
    found = read_list(file(text.getvalue()))
    assert found == ({"AccessionNumber": wanted} if wanted else {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [b"", b"MSH|^~\\&|", b"{", b"[", b"Accession,x\n", b"\xff\xfe", b"\xef\xbb\xbf"]
    ),
    st.binary() | st.text("MSHOBRIPCZD|^~\\&\r\nA1*\"',{}[]").map(str.encode),
    st.sampled_from([None, *KINDS]),
)
def test_anything_is_read_or_refused(file: Any, first: bytes, rest: bytes, kind: Any) -> None:
    with contextlib.suppress(UsageError):
        read_list(file(first + rest), kind)
