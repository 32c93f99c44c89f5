"""Every encoding stays what it was, in every byte order, and texts stay in their character set."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomlake.contracts.deid import Identity, Item, Known, Replaced, Unresolved, Words
from dicomlake.deid.cleaning import ProfileCleaner
from dicomlake.deid.profiles import profile_of
from tests.deid.made import cleaner, known, read, sample, settings_of, written

SYNTAXES = [
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]  # fmt: skip


def inner() -> Dataset:
    ds = Dataset()
    ds.PatientName = "LEAK^ONE"
    ds.ReferencedSOPInstanceUID = "1.9.8.7.6.5"
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = "1", "99X", "of Zebrowski"
    ds.Rows = 4711
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_syntaxes_stay(tmp_path: Path, syntax: str) -> None:
    ds = read(sample())
    ds.RelatedSeriesSequence = Items([inner(), inner()])
    ds.RelatedSeriesSequence[0].PurposeOfReferenceCodeSequence = Items([inner()])
    buffer = io.BytesIO()
    ds.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        buffer, ds, implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )  # fmt: skip
    made = cleaner(tmp_path).patient(known("Zebrowski"), "1CT1").clean(buffer.getvalue())
    after = read(made.data)
    assert after.file_meta.TransferSyntaxUID == made.TransferSyntaxUID == syntax
    assert after.Rows == ds.Rows
    assert after.RelatedSeriesSequence[0].PurposeOfReferenceCodeSequence[0].Rows == 4711
    assert after.RelatedSeriesSequence[1].CodeMeaning == "of [NAME]"
    assert after.RelatedSeriesSequence[1].ReferencedSOPInstanceUID.startswith("2.25.")
    body = made.data
    if syntax == DeflatedExplicitVRLittleEndian:
        body = zlib.decompress(body[132 + 12 + after.file_meta[0x00020000].value :], -15)
    assert b"LEAK" not in body
    assert b"1.9.8.7" not in body


@pytest.mark.parametrize(
    ("label", "text", "cleaned"),
    [
        ("ISO_IR 100", "Gerät von Müller-Lüdenscheidt", "Gerät von [NAME]"),
        ("ISO_IR 192", "Gerät von Müller-Lüdenscheidt 装置", "Gerät von [NAME] 装置"),
        ("GB18030", "装置 Müller-Lüdenscheidt", "装置 [NAME]"),
    ],
)
def test_texts_stay_in_their_character_set(
    tmp_path: Path, label: str, text: str, cleaned: str
) -> None:
    ds = read(sample())
    ds.SpecificCharacterSet, ds.ManufacturerModelName = label, text
    patient = cleaner(tmp_path).patient([Known("name", "Müller-Lüdenscheidt^Änne")], "1CT1")
    after = read(patient.clean(written(ds)).data)
    assert after.SpecificCharacterSet == label
    assert after.ManufacturerModelName == cleaned


def test_a_sequence_whose_vr_was_lost_is_entered(tmp_path: Path) -> None:
    ds, buffer = Dataset(), io.BytesIO()
    ds.RelatedSeriesSequence = Items([inner()])
    pydicom.dcmwrite(buffer, ds, implicit_vr=True, little_endian=True)
    value = buffer.getvalue()[8:]
    element = b"\x08\x00\x50\x12UN\0\0" + len(value).to_bytes(4, "little") + value
    before, private, after = sample().partition(b"\x09\x00\x10\x00LO")
    data = before + element + private + after
    made = cleaner(tmp_path).patient(known("Zebrowski"), "1CT1").clean(data).data
    assert b"LEAK" not in made
    assert read(made).RelatedSeriesSequence[0].CodeMeaning == "of [NAME]"


def test_content_that_names_somebody_is_replaced_by_its_concept(tmp_path: Path) -> None:
    def item(code: str, text: str) -> Dataset:
        ds, concept = Dataset(), Dataset()
        concept.CodeValue, concept.CodingSchemeDesignator = code, "DCM"
        concept.CodeMeaning = "LEAK"
        ds.RelationshipType, ds.ValueType, ds.TextValue = "CONTAINS", "TEXT", text
        ds.ConceptNameCodeSequence = Items([concept])
        return ds

    ds = read(sample())
    ds.ContentSequence = Items([item("121020", "LEAK"), item("121071", "a lesion of 4 mm")])
    made = cleaner(tmp_path, "structured-content").patient([], "1CT1").clean(written(ds)).data
    first, second = read(made).ContentSequence
    assert first.TextValue == "ANONYMIZED"
    assert first.ConceptNameCodeSequence[0].CodeMeaning != "LEAK"
    assert second.TextValue == "a lesion of 4 mm"


class Blanks:
    """A step that blanks pixels."""

    def clean(self, item: Item, words: Words, identity: Identity) -> Replaced | None:
        assert item.header["00280010"]["Value"] == [128]
        pixels = ("OW", b"\1\0" * 128 * 128)
        return Replaced({0x7FE00010: pixels, 0x00280120: None}, codes=("113101",), changed=True)


def of_pixels(tmp_path: Path, steps: Sequence[Blanks]) -> ProfileCleaner:
    return ProfileCleaner(profile_of("pixels"), settings_of(tmp_path), steps)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_a_step_gives_takes_its_place(tmp_path: Path, syntax: str) -> None:
    ds, buffer = read(sample()), io.BytesIO()
    ds.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=syntax != ExplicitVRBigEndian)
    made = of_pixels(tmp_path, [Blanks()]).patient([], "1CT1").clean(buffer.getvalue())
    after = read(made.data)
    assert set(after.pixel_array.ravel()) == {1}
    assert made.codes == ("113100", "113101")
    assert after.BurnedInAnnotation == "NO"
    assert "PixelPaddingValue" not in after


def test_what_nothing_looked_at_does_not_leave(tmp_path: Path) -> None:
    with pytest.raises(Unresolved, match="nothing has looked at them"):
        of_pixels(tmp_path, []).patient([], "1CT1").clean(sample())
    with pytest.raises(Unresolved, match="damaged"):
        cleaner(tmp_path).patient([], "x").clean(sample("MR_truncated.dcm"))
    with pytest.raises(Unresolved, match="cannot be read"):
        cleaner(tmp_path).patient([], "x").clean(b"no DICOM at all")


def test_private_attributes_that_the_object_calls_safe(tmp_path: Path) -> None:
    ds, said = read(sample()), Dataset()
    block = ds.private_block(0x0071, "OURS", create=True)
    block.add_new(0x01, "LO", "harmless")
    block.add_new(0x02, "LO", "LEAK")
    said.PrivateGroupReference, said.PrivateCreatorReference = 0x0071, "OURS"
    said.BlockIdentifyingInformationStatus = "MIXED"
    said.NonidentifyingPrivateElements = [0x1001]
    ds.PrivateDataElementCharacteristicsSequence = Items([said])
    made = cleaner(tmp_path, "safe-private").patient([], "1CT1").clean(written(ds)).data
    assert read(made)[0x00711001].value == "harmless"
    assert b"LEAK" not in made
    assert b"harmless" not in cleaner(tmp_path).patient([], "1CT1").clean(written(ds)).data
