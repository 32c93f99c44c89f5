"""pydicom is the referee of what the builders write."""

from __future__ import annotations

import io
from datetime import date, time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread, read_dataset

from dicomlake.errors import UnknownAttribute, UsageError
from dicomlake.terms import Code
from dicomlake.testing.dicom import (
    DEFLATED,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    JPEG_BASELINE,
    Encoder,
    Fragments,
    Raw,
    Stencil,
    dataset,
    encode,
    image,
    uid,
)

if TYPE_CHECKING:
    import pydicom

SYNTAXES = [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED]

RICH = {
    **image(),
    "StudyDate": date(2021, 3, 4),
    "StudyTime": time(10, 15),
    "SliceThickness": 1 / 3,
    "ProcedureCodeSequence": [Code("77477000", "SCT", "CT")],
    "RequestAttributesSequence": [
        {"RequestedProcedureID": "R1", "ScheduledProtocolCodeSequence": []},
        {"ReferencedStudySequence": [{"ReferencedSOPInstanceUID": "2.25.1"}]},
    ],
    '(0019,"SIEMENS MR HEADER",0C)': ("IS", 1000),
    '(0019,"SIEMENS MR HEADER",0E)': [0.5, 0.25, -1.0],
    '(0019,"ACME",01)': ("SQ", [{"PatientID": "inner", '(0029,"ACME 2",02)': ("LO", "x")}]),
    "FrameIncrementPointer": ["FrameTime", 0x00181065],
    "PixelPaddingValue": 7,
    "LossyImageCompressionRatio": [1.5, 2],
    "SelectorOVValue": np.array([1, 2**40], dtype=np.uint64),
    "RationalNumeratorValue": -5,
    "TextValue": "some words",
    "FloatPixelPaddingValue": 0.5,
    "PatientComments": None,
}


def read(data: bytes) -> pydicom.Dataset:
    return dcmread(io.BytesIO(data))


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pydicom_reads_what_was_asked_for(syntax, undefined_length):
    ds = read(encode(RICH, syntax, undefined_length=undefined_length))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert (ds.StudyDate, ds.StudyTime) == ("20210304", "101500")
    assert float(ds.SliceThickness) == pytest.approx(1 / 3)
    assert ds.ProcedureCodeSequence[0].CodeMeaning == "CT"
    assert len(ds.RequestAttributesSequence) == 2
    assert ds.RequestAttributesSequence[1].ReferencedStudySequence[0][0x00081155].value == "2.25.1"
    assert ds.private_block(0x19, "SIEMENS MR HEADER")[0x0C].value == 1000
    assert list(ds.private_block(0x19, "SIEMENS MR HEADER")[0x0E].value) == [0.5, 0.25, -1.0]
    assert (0x0019, 0x1010) not in ds
    assert list(ds.FrameIncrementPointer) == [0x00181063, 0x00181065]
    assert ds.PixelPaddingValue == 7
    assert ds.FloatPixelPaddingValue == 0.5
    assert ds.PatientComments == ""
    if syntax != IMPLICIT_LE:
        item = ds.private_block(0x19, "ACME")[0x01].value[0]
        assert item.PatientID == "inner"
        assert item.private_block(0x29, "ACME 2")[0x02].value == "x"
    assert ds.pixel_array[3, 3] == 15


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Größenwahn^Jürgen"),
        ("ISO_IR 101", "Wymyślona^Łucja"),
        ("ISO_IR 126", "Φανταστικός^Νίκος"),
        ("ISO_IR 144", "Вымышленный^Пётр"),
        ("ISO_IR 148", "Uydurma^Şükrü"),
        ("ISO_IR 192", "Größe^見本^Да"),
        ("GB18030", "Yangben^Hua=样本^花"),
        ("\\ISO 2022 IR 87", "Mihon^Hana=見本^花子=みほん^はなこ"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾐﾎﾝ^ﾊﾅ=見本^花子=みほん^はなこ"),
        ("\\ISO 2022 IR 149", "Gyeonbon^Bogi=견본^보기"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", "Größe^Да"),
        ("ISO 2022 IR 100\\ISO 2022 IR 87", "Größe^Änne=見本^花子"),
        ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "X^Y=丂見^花"),
    ],
)
@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_BE])
def test_text_comes_back_in_every_character_set(charset, name, syntax):
    file = encode({"SOPInstanceUID": "2.25.1", "PatientName": name}, syntax, charset=charset)
    assert str(read(file).PatientName) == name


def test_simplified_chinese_with_escapes():  # pydicom leaves these escapes in the text
    file = encode({"PatientName": "Yangben=样本^花"}, charset="\\ISO 2022 IR 58", meta=False)
    assert file.endswith(b"=\x1b$)A\xd1\xf9\xb1\xbe^\x1b$)A\xbb\xa8 ")


def test_a_file_may_lie_about_its_character_set():
    file = encode(
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller"}, charset="ISO_IR 192"
    )
    assert str(read(file).PatientName) == "MÃ¼ller"


def test_an_item_may_have_a_character_set_of_its_own():
    item = {"SpecificCharacterSet": "ISO_IR 144", "RequestedProcedureDescription": "Да"}
    file = encode(
        {"PatientName": "Müller", "RequestAttributesSequence": [item]}, charset="ISO_IR 100"
    )
    ds = read(file)
    assert str(ds.PatientName) == "Müller"
    assert ds.RequestAttributesSequence[0].RequestedProcedureDescription == "Да"


def test_text_outside_the_character_set_is_refused():
    with pytest.raises(UsageError, match="none of the sets"):
        encode({"PatientName": "見本"}, charset="ISO_IR 100")


def test_unknown_keywords_are_refused_by_name():
    with pytest.raises(UnknownAttribute, match="Did you mean PatientName"):
        dataset(PatientNaem="x")


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="cannot be written as US"):
        encode({"Rows": "many"})
    with pytest.raises(UsageError, match="cannot be written as CS"):
        encode({"BodyPartExamined": "SCHÄDEL"})
    with pytest.raises(UsageError, match="too many"):
        encode({"PatientID": "9" * 70000})


def test_raw_values_are_written_byte_for_byte():
    odd = Raw(b"CT ", vr="CS")
    bare = encode({"Modality": odd}, meta=False, preamble=False)
    assert bare == b"\x08\x00\x60\x00CS\x03\x00CT "
    latin = encode({"BodyPartExamined": "SCHÄDEL".encode("latin-1")}, meta=False, preamble=False)
    assert latin.endswith(b"SCH\xc4DEL ")


def test_group_2_can_be_described():
    file = encode({"TransferSyntaxUID": "2.25.9", "SOPInstanceUID": "2.25.1"})
    assert read(file).file_meta.TransferSyntaxUID == "2.25.9"


def test_without_preamble_and_meta():
    bare = encode(image(), IMPLICIT_LE, preamble=False, meta=False)
    ds = read_dataset(DicomBytesIO(bare), is_implicit_VR=True, is_little_endian=True)
    assert ds.PatientID == "P1"
    assert dcmread(io.BytesIO(encode(image(), preamble=False)), force=True).PatientID == "P1"


def test_unknown_sequences_travel_in_implicit_little_endian():
    file = encode({'(0029,"ACME",01)': ("UN", [{"PatientID": "inner"}])}, EXPLICIT_BE)
    value = read(file).private_block(0x29, "ACME")[0x01].value
    assert value[8:] == encode({"PatientID": "inner"}, IMPLICIT_LE, preamble=False, meta=False)


def test_encapsulated_pixels():
    file = encode(image(PixelData=Fragments((b"\xff\xd8odd", b"second"))), JPEG_BASELINE)
    assert read(file).PixelData[8:].startswith(b"\xfe\xff\x00\xe0\x06\x00\x00\x00\xff\xd8odd\x00")


def test_private_creators_go_where_they_are_told():
    blocks = {"ACME": 0x42}
    ds = read(
        encode({'(0019,"ACME",01)': ("LO", "x"), '(0019,"B",01)': ("LO", "y")}, blocks=blocks)
    )
    assert ds[0x0019, 0x4201].value == "x"
    assert ds[0x0019, 0x1001].value == "y"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_stencil_writes_what_encode_writes(syntax):
    constant = {**RICH, '(0019,"SIEMENS MR HEADER",0C)': 0}
    varying = ["InstanceNumber", "SOPInstanceUID", '(0019,"SIEMENS MR HEADER",0C)', "SliceLocation"]
    encoder = Encoder(syntax)
    stencil = Stencil(encoder, encoder.elements(constant), varying)
    values = [12, uid("other"), 800, ...]
    asked = dataset(constant, dict(zip(varying, values, strict=True)))
    assert stencil.fill(*values) == encode(asked, syntax)
