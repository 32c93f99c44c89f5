"""Nothing of the table is left, at any depth, and everything else is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomlake.contracts.deid import Identity, Item, Replaced, Words
from dicomlake.deid import tables
from dicomlake.deid.cleaning import ProfileCleaner
from dicomlake.deid.profiles import profile_of
from tests.deid.made import cleaner, known, planted, read, sample, settings_of, written

SKIPPED = frozenset([0x00080018, 0x0020000D, 0x0020000E, 0x00020003, 0x00100010, 0x00100020])
"""Those that the object needs itself."""
NEVER = frozenset([0x00041511, 0x00001000, 0x00001001])
"""Of commands and directories."""


def table_tags() -> list[int]:
    return sorted(
        tag
        for tag in tables.rows()
        if tag not in (tables.CURVES, tables.OVERLAYS, tables.COMMENTS, tables.PRIVATE)
        and tag >> 16 > 0x0004
        and tag not in NEVER
    )


def test_every_attribute_of_the_table_is_cleaned_at_the_top(tmp_path: Path) -> None:
    ds = read(sample())
    found = planted([tag for tag in table_tags() if tag not in SKIPPED], ds)
    ds.add_new(0x60003000, "OB", b"LEAKOVERLAY1")
    ds.add_new(0x60024000, "LT", "LEAKCOMMENTS")
    ds.add_new(0x50003000, "OB", b"LEAKCURVES01")
    made = cleaner(tmp_path).patient(known(), "1CT1").clean(written(ds)).data
    left = [f"{tag:08X}" for tag, looked in found.items() if looked in made]
    assert left == []
    assert b"LEAK" not in made
    assert len(found) > 600


@pytest.mark.parametrize(
    "outer",
    [
        ("RequestAttributesSequence", "ScheduledProtocolCodeSequence"),
        ("SharedFunctionalGroupsSequence", "PixelMeasuresSequence"),
        ("ReferencedSeriesSequence", "ReferencedInstanceSequence"),
        ("ContentSequence", "ContentSequence"),
        ("GraphicAnnotationSequence", "TextObjectSequence"),
        ("InstitutionCodeSequence", "EquivalentCodeSequence"),
    ],
)
def test_every_attribute_is_cleaned_two_levels_deep(tmp_path: Path, outer: tuple[str, str]) -> None:
    ds, inner, middle = read(sample()), Dataset(), Dataset()
    tags = [tag for tag in table_tags() if tag >> 16 not in (0xFFFA, 0xFFFC)]
    found = planted(tags, inner)
    setattr(middle, outer[1], Sequence([inner]))
    setattr(ds, outer[0], Sequence([middle]))
    made = cleaner(tmp_path).patient(known(), "1CT1").clean(written(ds)).data
    assert [f"{tag:08X}" for tag, looked in found.items() if looked in made] == []


def test_pixels_and_geometry_stay(tmp_path: Path) -> None:
    data = sample()
    before, after = read(data), read(cleaner(tmp_path).patient([], "1CT1").clean(data).data)
    for keyword in ("PixelData", "ImagePositionPatient", "RescaleSlope", "Rows", "KVP", "Modality"):
        assert getattr(before, keyword) == getattr(after, keyword)
    assert after.PatientID == after.PatientName != "1CT1"
    assert after.PatientIdentityRemoved == "YES"
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    assert [c.CodeValue for c in after.DeidentificationMethodCodeSequence] == ["113100"]
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.SOPInstanceUID.startswith("2.25.")


def test_a_name_is_found_where_no_table_looks(tmp_path: Path) -> None:
    ds = read(sample())
    ds.ManufacturerModelName = "Scanner of Zebrowski"
    patient = cleaner(tmp_path).patient(known("Zebrowski^Anna"), "1CT1")
    after = read(patient.clean(written(ds)).data)
    assert after.ManufacturerModelName == "Scanner of [NAME]"


def test_file_meta_and_preamble_are_new(tmp_path: Path) -> None:
    ds = read(sample())
    ds.preamble = b"LEAK" * 32
    ds.file_meta.SourceApplicationEntityTitle = "LEAKAE"
    ds.file_meta.PrivateInformationCreatorUID = "1.9.8.7"
    ds.file_meta.PrivateInformation = b"LEAK"
    ds.add_new(0xFFFCFFFC, "OB", b"LEAK" * 4)
    made = cleaner(tmp_path).patient([], "1CT1").clean(written(ds)).data
    assert b"LEAK" not in made
    assert made[:128] == bytes(128)
    assert "SourceApplicationEntityTitle" not in read(made).file_meta


class Looked:
    """A step that has looked at the pixels, and says so."""

    def clean(self, item: Item, words: Words, identity: Identity) -> Replaced:
        return Replaced({0x00280301: ("CS", b"NO")}, codes=("113101",))


def test_what_is_said_anew_is_said_once(tmp_path: Path) -> None:
    ds = read(sample())
    ds.BurnedInAnnotation = "YES"
    patient = ProfileCleaner(profile_of("basic"), settings_of(tmp_path), (Looked(),)).patient
    made = patient([], "1CT1").clean(written(ds)).data
    assert made.count(b"\x28\x00\x01\x03CS") == 1
    assert read(made).BurnedInAnnotation == "NO"


def test_an_object_that_denies_burned_in_text_is_not_believed(tmp_path: Path) -> None:
    ds = read(sample())
    ds.BurnedInAnnotation, ds.Modality = "NO", "DX"
    made = cleaner(tmp_path).patient([], "1CT1").clean(written(ds)).data
    assert read(made).PatientIdentityRemoved == "NO"
