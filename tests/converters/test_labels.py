"""Rows of tables as reports and facts: what is said, and what is refused with its reason."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import highdicom
import openpyxl
import pytest
from pydicom import dcmread

from dicomlake.contracts.converters import Asked, Original
from dicomlake.converters.labels import LabelsConverter, preview, spec_of
from dicomlake.converters.labels.tables import Layout, Row, opened
from dicomlake.errors import DataError, UsageError
from dicomlake.testing.dicom import encode, image, uid

EF = {
    "column": "EF",
    "concept": ["10230-1", "LN", "Left ventricular Ejection fraction"],
    "number": "%",
}
YES, NO = ["373066001", "SCT", "Yes"], ["373067005", "SCT", "No"]
PACEMAKER = {
    "column": "SM",
    "concept": ["14106009", "SCT", "Cardiac pacemaker"],
    "values": {"ja": YES, "nein": NO, "unbekannt": "skip"},
    "section": "devices",
}


def mapping(*labels: dict[str, Any], to: str = "measurements", **more: Any) -> dict[str, Any]:
    return {
        "converter": "labels",
        "to": to,
        "identify": {"PatientID": "Pat"},
        "constant": {"IssuerOfPatientID": "HEART"},
        "labels": list(labels),
        **more,
    }


def rows_of(data: bytes, layout: Layout) -> tuple[list[str], list[Row]]:
    names, rows = opened(data, layout)
    return names, list(rows)


def csv(*lines: str) -> Original:
    return Original("t.csv", "\n".join(lines).encode())


def headers(**more: Any) -> list[Any]:
    """Two slices of a series."""
    found = []
    for number in (1, 2):
        data = encode(
            image(
                SOPInstanceUID=uid("label", number),
                InstanceNumber=number,
                PatientID="P1",
                **more,
            )
        )
        found.append(dcmread(io.BytesIO(data), stop_before_pixels=True))
    return found


@pytest.fixture
def convert(ask: Callable[..., Asked]) -> Callable[..., Any]:
    def run(said: dict[str, Any], original: Original, **more: Any) -> Any:
        return LabelsConverter().convert(original, ask(said, **more))

    return run


def leaves(item: Any) -> list[tuple[str, str, str]]:
    """Path of concepts, value type and value of all items below."""
    found = []
    for child in item.get("ContentSequence", ()):
        name = child.ConceptNameCodeSequence[0].CodeMeaning
        if child.ValueType == "NUM":
            said = child.MeasuredValueSequence[0]
            unit = said.MeasurementUnitsCodeSequence[0].CodeValue
            value = f"{said.NumericValue} {unit}"
        elif child.ValueType == "CODE":
            value = child.ConceptCodeSequence[0].CodeMeaning
        elif child.ValueType == "IMAGE":
            value = child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        else:
            value = child.get("TextValue", child.get("UID", ""))
        found.append((name, child.ValueType, value))
        found += leaves(child)
    return found


class TestMeasurements:
    def test_a_number_with_its_unit_and_a_code(self, convert) -> None:
        said = mapping(EF, {**PACEMAKER, "section": "problems"}, decimal=",")
        (report,) = convert(said, csv("Pat;EF;SM", "P7;55,5;JA")).objects
        assert ("Left ventricular Ejection fraction", "NUM", "55.5 %") in leaves(report)
        assert ("Cardiac pacemaker", "CODE", "Yes") in leaves(report)
        assert (report.PatientID, report.IssuerOfPatientID) == ("P7", "HEART")

    def test_it_is_valid_and_others_read_it(self, convert, faults) -> None:
        said = mapping(EF, {**EF, "column": "EF2", "site": ["87878005", "SCT", "Left ventricle"]})
        (report,) = convert(said, csv("Pat,EF,EF2", "P7,55,60")).objects
        assert faults(report) == []
        file = io.BytesIO()
        report.save_as(file, enforce_file_format=True)
        file.seek(0)
        read = highdicom.sr.srread(file)
        assert isinstance(read.content, highdicom.sr.MeasurementReport)
        groups = read.content.get_image_measurement_groups()
        values = [m.value for group in groups for m in group.get_measurements()]
        assert values == [55, 60]

    def test_images_are_referred_to(self, convert, faults) -> None:
        there = headers()
        said = mapping(EF, identify={"SeriesInstanceUID": "S"}, constant={})
        found = convert(said, csv("S,EF", f"{there[0].SeriesInstanceUID},50"),
                        find=lambda keys: there[:1], series=lambda uid: there)  # fmt: skip
        (report,) = found.objects
        images = [value for name, kind, value in leaves(report) if kind == "IMAGE"]
        assert images == [uid("label", 1), uid("label", 2)]
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        (series,) = study.ReferencedSeriesSequence
        assert len(series.ReferencedSOPSequence) == 2
        assert report.StudyInstanceUID == there[0].StudyInstanceUID == study.StudyInstanceUID
        assert report.PatientName == there[0].PatientName
        assert faults(report) == []

    def test_images_of_somebody_else_are_refused(self, convert) -> None:
        said = mapping(EF, identify={"PatientID": "Pat", "AccessionNumber": "A"}, constant={})
        found = convert(
            said,
            csv("Pat,A,EF", "P1,A1,50", "P2,A1,50"),
            find=lambda keys: headers()[:1],
        )
        assert len(found.objects) == 1
        assert found.refused == ["row 3: its images have another PatientID"]

    def test_rows_whose_images_are_not_there(self, convert) -> None:
        said = mapping(EF, identify={"PatientID": "Pat", "AccessionNumber": "A"})
        with pytest.raises(DataError, match="nothing is there with its AccessionNumber"):
            convert(said, csv("Pat,A,EF", "P1,A1,50"), find=lambda keys: [])
        without = {**said, "images": "without"}
        (report,) = convert(without, csv("Pat,A,EF", "P1,A1,50"), find=lambda keys: []).objects
        assert report.AccessionNumber == "A1"

    def test_labels_of_long_tables(self, convert) -> None:
        said = mapping(
            {**EF, "column": "Wert", "when": {"Name": "EF"}},
            {
                "column": "Wert",
                "when": {"Name": "Puls"},
                "concept": ["8867-4", "LN", "Heart rate"],
                "number": "/min",
            },
        )
        found = convert(said, csv("Pat,Name,Wert", "P1,EF,50", "P1,Puls,72", "P1,Farbe,rot"))
        values = [v for r in found.objects for _, kind, v in leaves(r) if kind == "NUM"]
        assert values == ["50 %", "72 /min"]
        assert found.notes == ["rows without a label"]

    def test_each_row_has_its_own_object_and_always_the_same(self, convert) -> None:
        said = mapping(EF, identify={"PatientID": "Pat", "StudyDate": "D"})
        table = csv("Pat,D,EF", "P1,2021-01-02,50", "P1,2021-01-02,51", "P1,2021-01-03,52")
        one, other = convert(said, table).objects, convert(said, table).objects
        assert [r.SOPInstanceUID for r in one] == [r.SOPInstanceUID for r in other]
        assert len({r.SOPInstanceUID for r in one}) == 3
        assert len({r.StudyInstanceUID for r in one}) == 2
        assert [r.ContentDate for r in one] == ["20210102", "20210102", "20210103"]


class TestHistory:
    def test_a_pacemaker_is_a_device(self, convert, faults) -> None:
        said = mapping(
            PACEMAKER,
            {"column": "OP", "concept": ["29300-1", "LN", "Procedure"], "codes": "OPS",
             "separator": "+", "section": "procedures"},
            to="history",
        )  # fmt: skip
        found = convert(said, csv("Pat;SM;OP", "P7;ja;5-377.1 + 8-642", "P8;unbekannt;"))
        (report,) = found.objects
        assert leaves(report)[1:] == [
            ("History of Procedures", "CONTAINER", ""),
            ("Procedure", "CODE", "5-377.1"),
            ("Procedure", "CODE", "8-642"),
            ("History of medical device use", "CONTAINER", ""),
            ("Cardiac pacemaker", "CODE", "Yes"),
        ]
        assert report.ContentTemplateSequence[0].TemplateIdentifier == "3802"
        assert faults(report) == []
        assert found.notes == ["rows without a label"]


class TestQuality:
    SAID = mapping(
        {"column": "CTDIw", "concept": ["113830", "DCM", "Mean CTDIvol"], "number": "mGy"},
        to="quality",
        identify={"DeviceSerialNumber": "Gerät", "StudyDate": "Tag"},
        constant={"Manufacturer": "ACME"},
    )

    def test_a_device_is_the_subject(self, convert, faults) -> None:
        (report,) = convert(self.SAID, csv("Gerät,Tag,CTDIw", "4711,2023-05-06,12.3")).objects
        assert ("Device Subject Serial Number", "TEXT", "4711") in leaves(report)
        assert ("Mean CTDIvol", "NUM", "12.3 mGy") in leaves(report)
        assert (report.DeviceSerialNumber, report.QualityControlSubject) == ("4711", "YES")
        assert report.StudyDate == "20230506"
        assert faults(report) == []


class TestFacts:
    def test_procedures_with_their_dates(self, convert) -> None:
        said = mapping(
            {"column": "OPS", "codes": "OPS", "date": "am", "separator": ";"},
            {"column": "ICD", "codes": "ICD-10-GM"},
            to="facts",
            dates=["%d.%m.%Y", "%d.%m.%Y %H:%M"],
            separator="\t",
        )
        facts = convert(
            said, csv("Pat\tOPS\tam\tICD", "P1\t5-604.0;5-601\t03.05.2016 10:30\tC61")
        ).facts
        assert [(f["kind"], f["code"]) for f in facts] == [
            ("procedure", "OPS:5-604.0"),
            ("procedure", "OPS:5-601"),
            ("condition", "I10GM:C61"),
        ]
        assert facts[0]["started"] == datetime(2016, 5, 3, 10, 30, tzinfo=UTC)
        assert facts[0]["precision"] == "second"
        assert "started" not in facts[2]
        assert facts[0]["PatientID"] == "P1"
        assert facts[0]["IssuerOfPatientID"] == "HEART"

    def test_values_are_observations(self, convert) -> None:
        said = mapping({**EF, "kind": "observation"}, PACEMAKER, to="facts", identifier="Nr")
        facts = convert(said, csv("Pat,EF,SM,Nr", "P1,55,ja,17")).facts
        assert facts[0]["code"] == "LN:10230-1"
        assert (facts[0]["number"], facts[0]["unit"]) == (55.0, "%")
        assert (facts[1]["code"], facts[1]["value"]) == ("SCT:14106009", "SCT:373066001")
        assert [f["identifier"] for f in facts] == ["17/1", "17/2"]

    @pytest.mark.parametrize(
        ("system", "good", "bad"),
        [
            ("OPS", ["5-377.1", "8-83b.c6", "1-275.0", "5-604"], ["5377.1", "C61", "x"]),
            ("ICD-10-GM", ["C61", "I25.13", "E11.90", "I48.0"], ["61C", "C6", "5-377"]),
            ("CCAM", ["JGFA006", "YYYY600", "DEQP003 01"], ["JGF006", "1234567"]),
        ],
    )
    def test_codes_look_like_codes(self, convert, system, good, bad) -> None:
        said = mapping({"column": "C", "codes": system}, to="facts")
        table = csv("Pat,C", *(f"P1,{code}" for code in [*good, *bad]))
        found = convert(said, table)
        assert [fact["code_value"] for fact in found.facts] == good
        assert found.refused == [
            f"row {at}: column 'C' has something that is no code of {system}"
            for at in range(2 + len(good), 2 + len(good) + len(bad))
        ]


class TestRows:
    @pytest.mark.parametrize(
        ("cells", "why"),
        [
            ("P1,viel,ja", "column 'EF' has no number"),
            ("P1,55,oder", "column 'SM' has a value that the mapping does not name"),
            (",55,ja", "it says no patient"),
            ("P1,1e999,ja", "column 'EF' has no number"),
        ],
    )
    def test_what_is_wrong_is_told_without_the_value(self, convert, cells, why) -> None:
        found = convert(mapping(EF, PACEMAKER), csv("Pat,EF,SM", "P0,1,ja", cells))
        assert found.refused == [f"row 3: {why}"]
        assert len(found.objects) == 1

    def test_a_date_in_no_format(self, convert) -> None:
        said = mapping(EF, identify={"PatientID": "Pat", "StudyDate": "D"}, dates="%d.%m.%Y")
        with pytest.raises(DataError, match=r"no row can be taken; row 2: column 'D' has a date"):
            convert(said, csv("Pat,D,EF", "P1,2021-01-02,3"))

    def test_points_and_commas(self, convert) -> None:
        said = mapping(EF, decimal=",", separator=";")
        found = convert(said, csv("Pat;EF", "P1;1.234,5", "P1;12.5"))
        assert [v for r in found.objects for _, k, v in leaves(r) if k == "NUM"] == ["1234.5 %"]
        assert found.refused == ["row 3: column 'EF' has a point, and numbers have a comma here"]

    def test_an_empty_cell_says_nothing_unless_it_is_to(self, convert) -> None:
        found = convert(mapping(EF), csv("Pat,EF", "P1,", "P2,3"))
        assert len(found.objects) == 1
        assert found.refused == []
        found = convert(mapping({**EF, "empty": "refuse"}), csv("Pat,EF", "P1,", "P2,3"))
        assert found.refused == ["row 2: column 'EF' is empty"]


class TestTables:
    def test_a_workbook(self, convert) -> None:
        book = openpyxl.Workbook()
        book.active.title = "Notes"
        sheet = book.create_sheet("Data")
        sheet.append(["Pat", "EF", "D"])
        sheet.append([4711, 55.5, datetime(2021, 3, 4)])
        file = io.BytesIO()
        book.save(file)
        original = Original("t.xlsx", file.getvalue())
        said = mapping(EF, sheet="Data", identify={"PatientID": "Pat", "StudyDate": "D"})
        (report,) = convert(said, original).objects
        assert (report.PatientID, report.ContentDate) == ("4711", "20210304")
        assert ("Left ventricular Ejection fraction", "NUM", "55.5 %") in leaves(report)
        with pytest.raises(DataError, match="there is no sheet 'Other'; there are: Notes, Data"):
            convert({**said, "sheet": "Other"}, original)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_encodings(self, encoding: str) -> None:
        data = "Gerät;Größe\nMüller;3".encode(encoding)
        said = Layout(encoding="cp1252" if encoding == "cp1252" else "")
        names, rows = rows_of(data, said)
        assert names == ["Gerät", "Größe"]
        assert rows[0].cells == {"Gerät": "Müller", "Größe": "3"}

    def test_the_wrong_encoding_is_told_with_the_line(self) -> None:
        with pytest.raises(DataError, match="line 2 is not in utf-8"):
            rows_of("a;b\nMüller;3".encode("cp1252"), Layout())

    def test_quotes_and_breaks_inside_of_cells(self) -> None:
        _, rows = rows_of(b'a,b\n"x,1","two\nlines"\n\n3,4\n', Layout())
        assert [(r.number, r.cells["a"]) for r in rows] == [(2, "x,1"), (5, "3")]

    def test_lines_before_the_head(self) -> None:
        names, rows = rows_of(b"Export of today\n\na;b\n1;2\n", Layout(skip=2, separator=";"))
        assert names == ["a", "b"]
        assert rows[0].number == 4

    @pytest.mark.parametrize(
        ("data", "why"),
        [(b"a,a\n1,2", "two columns"), (b"a,b\n1,2,3", "row 2 has more cells"), (b"", "empty")],
    )
    def test_broken_ones(self, data: bytes, why: str) -> None:
        with pytest.raises(DataError, match=why):
            rows_of(data, Layout())


class TestMapping:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"too": "x"}, "there is no 'too'; did you mean 'to'"),
            ({"to": "reports"}, "at to: 'reports' is none of"),
            ({"labels": []}, "at labels: name at least one"),
            ({"labels": [{**EF, "concept": ["1", "LN"]}]}, r"labels\[1\].concept: write a code"),
            ({"labels": [{**EF, "concept": [1.5, "LN", "x"]}]}, "put its value in quotes"),
            ({"labels": [{**EF, "number": "foo"}]}, r"labels\[1\].number: 'foo' is no unit"),
            ({"labels": [{**EF, "text": True}]}, "needs one of values, number, text or codes"),
            ({"labels": [{**PACEMAKER, "values": {True: YES}}]}, "put it in quotes"),
            ({"labels": [{**PACEMAKER, "values": {"ja": "yes"}}]}, r"values.ja: write a code"),
            ({"labels": [{"column": "x", "codes": "OPS"}]}, "what the code is about"),
            ({"identify": {}}, "at identify: name the column of PatientID"),
            ({"identify": {"PatientIdd": "x"}}, "Did you mean PatientID"),
            ({"identify": {"Modality": "x"}}, "only these can be told"),
            ({"decimal": "'"}, "at decimal"),
            ({"dates": "dd.mm.yyyy"}, "at dates"),
            ({"separator": ";;"}, "more than one character"),
        ],
    )
    def test_mistakes_are_told_with_their_place(self, change, why) -> None:
        with pytest.raises(UsageError, match=why):
            spec_of({**mapping(EF), "constant": {}, **change})

    def test_a_column_that_is_not_there(self, convert) -> None:
        with pytest.raises(UsageError, match=r"no column 'EF'. Did you mean 'EF%'"):
            convert(mapping(EF), csv("Pat,EF%", "P1,5"))

    def test_preview(self, ask) -> None:
        found = preview(
            csv("Pat,EF,SM", "P1,55,ja", "P2,x,ja"), ask(mapping(EF, PACEMAKER)), count=2
        )
        assert found == [
            (2, "", ["Left ventricular Ejection fraction = 55 %", "Cardiac pacemaker = Yes"]),
            (3, "column 'EF' has no number", []),
        ]

    def test_a_long_table_comes_in_parts_that_are_the_same_together(self, ask) -> None:
        table = csv("Pat,EF", *(f"P{at % 3},{at}" for at in range(7)), "P1,x")
        whole = LabelsConverter().convert(table, ask(mapping(EF)))
        parts = list(LabelsConverter(3).parts(table, ask(mapping(EF))))
        assert [len(part.objects) for part in parts] == [3, 3, 1]
        together = [one for part in parts for one in part.objects]
        assert [one.SOPInstanceUID for one in together] == [
            one.SOPInstanceUID for one in whole.objects
        ]
        assert len({one.SOPInstanceUID for one in together}) == 7
        assert [one.InstanceNumber for one in together] == [1, 1, 1, 2, 2, 2, 3]
        assert parts[1].origins[together[3].SOPInstanceUID] == "row 5"
        assert parts[2].refused == ["row 9: column 'EF' has no number"]

    def test_a_row_that_nobody_can_read_refuses_the_table_before_its_first_part(self, ask) -> None:
        table = csv("Pat,EF", "P1,1", "P2,2", 'P3,"open')
        with pytest.raises(DataError, match="row 4 cannot be read"):
            next(LabelsConverter(1).parts(table, ask(mapping(EF))))

    def test_without_a_mapping(self, convert) -> None:
        with pytest.raises(DataError, match="--mapping"):
            convert({}, csv("a,b", "1,2"))

    def test_which_files_it_takes(self, ask) -> None:
        take = LabelsConverter().format_of
        assert take(csv("a,b"), ask()) == "csv"
        assert take(Original("t.txt", b"a;b"), ask()) == ""
        assert take(Original("t.txt", b"a;b"), ask(mapping(EF))) == "csv"
        assert take(Original("t.csv", b"\0\1\2"), ask(mapping(EF))) == ""
        assert take(Original("t.docx", b"PK\3\4broken"), ask()) == ""
