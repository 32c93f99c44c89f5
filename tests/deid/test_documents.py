"""Documents: PDF, CDA, HL7 messages, SR and objects that encapsulate a document."""

from __future__ import annotations

import base64
import io
from typing import Any
from xml.etree import ElementTree as Xml

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicomlake.contracts.deid import Item, Known, Unresolved
from dicomlake.deid.documents import DocumentStep, cleaned_report, form_of
from dicomlake.deid.documents.pdf import pages_of, rendered
from dicomlake.deid.documents.sr import text_of_sr
from dicomlake.deid.text import words_of
from tests.deid.test_words import Moving

KNOWN = [
    Known("name", "Zwiebelstein^Adelgunde"),
    Known("id", "PX4711831"),
    Known("date", "19510412"),
    Known("place", "Klinikum Kaltenbrunn"),
]
NARRATIVE = """Klinikum Kaltenbrunn
Patientin: Zwiebelstein, Adelgunde, geb. 12.04.1951, Pat.-ID PX4711831
Untersuchung vom 3. März 2021: Morbus Crohn, Wanddicke 12 mm.
gez. Dr. Otto Hahnemann"""
SECRETS = [
    "Zwiebelstein",
    "ZWIEBELSTEIN",
    "Adelgunde",
    "4711831",
    "19510412",
    "Kaltenbrunn",
    "Hahnemann",
]


def pdf(text: str, **info: str) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    sheet = Canvas(out)
    sheet.setTitle(info.get("title", ""))
    sheet.setAuthor(info.get("author", ""))
    for number, line in enumerate(text.splitlines()):
        sheet.drawString(60, 780 - 16 * number, line)
    sheet.showPage()
    sheet.save()
    return out.getvalue()


def scan(text: str) -> bytes:
    """A PDF whose page is a picture of the text."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (1240, 1754), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=32)
    for number, line in enumerate(text.splitlines()):
        pen.text((80, 100 + 60 * number), line, fill="black", font=font)
    out = io.BytesIO()
    page.save(out, "PDF", resolution=150)
    return out.getvalue()


def words() -> Any:
    return words_of(KNOWN, Moving())


def harmless(data: bytes | str) -> bool:
    text = data if isinstance(data, str) else data.decode("latin-1")
    assert not [secret for secret in SECRETS if secret in text], text
    return True


def test_a_pdf_is_rendered_anew_from_its_cleaned_text() -> None:
    old = pdf(NARRATIVE, title="Befund Zwiebelstein", author="Otto Hahnemann")
    report = cleaned_report(old, words(), Moving())
    text = "".join(pages_of(report.data)[0])
    assert harmless(text)
    assert harmless(report.data)
    assert "Morbus Crohn, Wanddicke 12 mm" in text
    assert "14. Februar 2021" in text
    import pypdf

    told = pypdf.PdfReader(io.BytesIO(report.data)).metadata or {}
    assert not any("Zwiebel" in str(value) or "Hahne" in str(value) for value in told.values())
    assert cleaned_report(old, words(), Moving()).data == report.data


def test_a_scanned_page_is_read_first() -> None:
    report = cleaned_report(scan("Patient: ZWIEBELSTEIN\nMorbus Crohn"), words(), Moving())
    assert report.scanned == 1
    assert harmless(report.pages[0])
    assert "Crohn" in report.pages[0]


def test_ocr_can_be_handed_in() -> None:
    report = cleaned_report(scan("x"), words(), ocr=lambda picture: "Frau Zwiebelstein, 12 mm")
    assert report.pages[0].strip() == "Frau [NAME], 12 mm"


@pytest.mark.parametrize("data", [b"%PDF-1.4 broken", b"%PDF-1.7\n%%EOF"])
def test_a_broken_pdf_is_unresolved(data: bytes) -> None:
    with pytest.raises(Unresolved) as raised:
        cleaned_report(data, words())
    assert raised.value.check == "document"


def test_an_encrypted_pdf_is_unresolved() -> None:
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("x")))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(Unresolved, match="encrypted"):
        cleaned_report(out.getvalue(), words())


def test_long_lines_and_pages_are_broken() -> None:
    data, missing = rendered(["word " * 2000, "漢字 and text"])
    pages = pages_of(data)[0]
    assert "".join(pages).count("word") == 2000
    assert len(pages) > 2
    assert missing == 2


CDA = """<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet href="http://klinik.example/cda.xsl"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
 <id root="1.2.276.0.76.3.1.99" extension="PX4711831"/>
 <code code="18748-4" codeSystem="2.16.840.1.113883.6.1" displayName="Diagnostic imaging report"/>
 <title>CT von Frau Zwiebelstein</title>
 <effectiveTime value="20210303101500+0100"/>
 <recordTarget><patientRole>
  <id root="1.2.276.0.76.3.1.99.1" extension="PX4711831"
   assigningAuthorityName="Klinikum Kaltenbrunn"/>
  <addr><streetAddressLine>Lindenstr. 3</streetAddressLine><city>Kaltenbrunn</city></addr>
  <telecom value="tel:+49-611-471183"/>
  <patient><name><given>Adelgunde</given><family>Zwiebelstein</family></name>
   <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
   <birthTime value="19510412"/></patient></patientRole></recordTarget>
 <author><time value="20210303"/><assignedAuthor><id extension="77"/>
  <assignedPerson><name>Otto Hahnemann</name></assignedPerson></assignedAuthor></author>
 <custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.3.4"/>
  <name>Klinikum Kaltenbrunn</name>
  </representedCustodianOrganization></assignedCustodian></custodian>
 <component><structuredBody><component><section><title>Befund</title><text>
  <paragraph>Frau <content>Adelgunde</content> <content>Zwiebelstein</content>:
   Morbus Crohn.</paragraph>
  <table><tbody><tr><td>Untersucher:</td><td>Wendelin Sauerbier</td></tr></tbody></table></text>
  <entry><observation classCode="OBS" moodCode="EVN"><value xsi:type="PQ" value="12" unit="mm"/>
   </observation></entry></section></component></structuredBody></component>
</ClinicalDocument>"""


def test_a_cda_document_is_cleaned_by_its_structure() -> None:
    report = cleaned_report(CDA.encode(), words(), Moving())
    text = report.data.decode()
    assert report.form == "cda"
    assert harmless(text)
    assert "Sauerbier" not in text
    assert "stylesheet" not in text
    assert "471183" not in text
    root = Xml.fromstring(report.data)
    found = {element.tag.rpartition("}")[2]: element for element in root.iter()}
    assert found["typeId"].get("extension") == "POCD_HD000040"
    assert found["birthTime"].get("value") == "19510326"
    assert found["effectiveTime"].get("value") == "20210214101500+0100"
    assert found["value"].get("value") == "12"
    assert found["administrativeGenderCode"].get("code") == "F"
    assert "Morbus Crohn." in report.pages[0]


def test_a_pdf_inside_of_cda_is_made_anew() -> None:
    inside = base64.b64encode(pdf(NARRATIVE)).decode()
    text = (
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody>'
        f'<text mediaType="application/pdf" representation="B64">{inside}</text>'
        "</nonXMLBody></component></ClinicalDocument>"
    )
    report = cleaned_report(text.encode(), words(), Moving())
    element = Xml.fromstring(report.data).find(".//{urn:hl7-org:v3}text")
    assert element is not None
    assert harmless("".join(pages_of(base64.b64decode(element.text or ""))[0]))
    assert "Crohn" in report.pages[0]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]><ClinicalDocument xmlns="urn:hl7-org:v3"/>',
        "<ClinicalDocument/>",
        "<a>",
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><text representation="B64" '
        'mediaType="image/png">AAAA</text></ClinicalDocument>',
    ],
)
def test_other_xml_is_unresolved(text: str) -> None:
    with pytest.raises(Unresolved):
        cleaned_report(text.encode(), words())


ORU = "\r".join([
    "MSH|^~\\&|RIS|KALTENBRUNN|PACS|X|20210303101500||ORU^R01|M1|P|2.5|||||||UNICODE UTF-8",
    "PID|1|99|PX4711831^^^KALT^MR~123^^^X||Zwiebelstein^Adelgunde||19510412|F|||Linde 3||+49611",
    "NK1|1|Zwiebelstein^Kunibert|SPO",
    "PV1|1|I|3B^12||||4711^Hahnemann^Otto",
    "ORC|RE|P1|A998877||CM||||20210303",
    "OBR|1|P1|A998877|CTABD^CT Abdomen|||20210303||||||Frau Zwiebelstein|||5^Hahnemann^Otto",
    "OBX|1|TX|B^Befund||Patientin Adelgunde||||||F",
    "OBX|2|TX|B^Befund||Zwiebelstein, 12 mm \\T\\ 3\\.br\\gez. Dr. Hahnemann||||||F|||20210303",
    "OBX|3|NM|V^Volumen||12.5|ml|||||F",
    "ZXX|secret Zwiebelstein",
])  # fmt: skip


def test_an_hl7_message_keeps_its_results_only() -> None:
    report = cleaned_report(ORU.encode(), words(), Moving())
    text = report.data.decode()
    assert report.form == "hl7"
    assert harmless(text)
    lines = text.strip().split("\r")
    assert [line[:3] for line in lines] == "MSH PID PV1 ORC OBR OBX OBX OBX".split()
    assert lines[0].startswith("MSH|^~\\&|||||20210214101500||ORU^R01|P1|P|2.5|")
    assert lines[1].split("|")[3:9] == ["P1", "", "[NAME]", "", "19510326", "F"]
    assert "12 mm \\T\\ 3\\.br\\gez. Dr. [NAME]" in lines[6]
    assert lines[7] == "OBX|3|NM|V^Volumen||12.5|ml|||||F"
    assert "A998877" not in text


def sr() -> Dataset:
    def code(meaning: str) -> Dataset:
        made = Dataset()
        made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = "1", "99X", meaning
        return made

    def item(kind: str, name: str, **values: Any) -> Dataset:
        made = Dataset()
        made.ValueType, made.RelationshipType = kind, "CONTAINS"
        made.ConceptNameCodeSequence = [code(name)]
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return made

    measured = Dataset()
    measured.NumericValue = "12"
    measured.MeasurementUnitsCodeSequence = [code("millimeter")]
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.22", generate_uid()
    dataset.ConceptNameCodeSequence = [code("Imaging Report")]
    dataset.ValueType = "CONTAINER"
    dataset.ContentSequence = [
        item("PNAME", "Observer", PersonName="Hahnemann^Otto"),
        item("TEXT", "Finding", TextValue="Frau Zwiebelstein: Morbus Crohn am 03.03.2021"),
        item("NUM", "Diameter", MeasuredValueSequence=[measured]),
        item("UIDREF", "Study", UID="1.2.276.0.99.1"),
        item("CONTAINER", "Conclusions", ContentSequence=[
            item("CODE", "Severity", ConceptCodeSequence=[code("mild")])]),
    ]  # fmt: skip
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def test_a_structured_report_becomes_clean_text_and_pdf() -> None:
    text = text_of_sr(sr().to_json_dict(), words(), Moving())[0]
    assert text.splitlines() == [
        "Imaging Report",
        "  Observer: [NAME]",
        "  Finding: Frau [NAME]: Morbus Crohn am 14.02.2021",
        "  Diameter: 12 millimeter",
        "  Study: 2.25.7",
        "  Conclusions",
        "    Severity: mild",
    ]
    out = io.BytesIO()
    pydicom.dcmwrite(out, sr(), enforce_file_format=True)
    report = cleaned_report(out.getvalue(), words(), Moving(), to="pdf")
    assert "Morbus Crohn am 14.02.2021" in pages_of(report.data)[0][0]


def encapsulated(document: bytes, media: str) -> Item:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.104.1", generate_uid()
    dataset.MIMETypeOfEncapsulatedDocument = media
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    header = dataset.to_json_dict()
    header["00420011"] = {"vr": "OB", "BulkDataURI": "x"}
    return Item(out.getvalue(), header)


@pytest.mark.parametrize(
    ("document", "media"), [(pdf(NARRATIVE), "application/pdf"), (CDA.encode(), "text/XML")]
)
def test_the_document_of_an_object_is_replaced(document: bytes, media: str) -> None:
    replaced = DocumentStep().clean(encapsulated(document, media), words(), Moving())
    assert replaced is not None
    vr, new = replaced.values[0x00420011] or ("", b"")
    length = int.from_bytes((replaced.values[0x00420015] or ("", b""))[1], "little")
    assert vr == "OB"
    assert len(new) % 2 == 0
    assert harmless(new)
    assert form_of(new[:length]) == ("pdf" if "pdf" in media else "cda")
    assert replaced.changed
    assert harmless(" ".join(replaced.notes))


def test_other_documents_are_unresolved_and_other_objects_are_left() -> None:
    with pytest.raises(Unresolved, match="neither PDF nor CDA"):
        DocumentStep().clean(encapsulated(b"solid x", "model/stl"), words(), Moving())
    image = Item(b"", {"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}})
    assert DocumentStep().clean(image, words(), Moving()) is None
