"""Objects of many makers: cleaned or refused with a reason, never a crash, and never less valid."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import warnings
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomlake.contracts.deid import Unresolved
from dicomlake.deid import tables
from dicomlake.deid.cleaning import ProfileCleaner
from dicomlake.dicom.walk import sniff
from tests.deid.made import cleaner

CHANGED = frozenset("AS DA DT PN TM UI".split())
"""VRs that change outside of the table too."""
OURS = frozenset(["DeidentificationMethod", "PatientIdentityRemoved"])
CHECKS = ("structure", "dicomdir", "header", "documents")
CODES = "DeidentificationMethodCodeSequence"


def objects(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in files if sniff(path.read_bytes()[:132])]


def cleaned(maker: ProfileCleaner, path: Path) -> bytes | None:
    """The object as it leaves, or None when it is refused."""
    try:
        return maker.patient([], "a patient").clean(path.read_bytes()).data
    except Unresolved as error:
        return None if error.check in CHECKS else pytest.fail(str(error))


@pytest.mark.parametrize("profile", ["basic", "device", "modified-dates"])
def test_samples_are_cleaned_or_refused(
    tmp_path: Path, profile: str, pydicom_files: list[Path]
) -> None:
    maker = cleaner(tmp_path, profile)
    found = [cleaned(maker, p) for p in pydicom_files if sniff(p.read_bytes()[:132])]
    assert sum(one is None for one in found) < 0.15 * len(found)
    for data in found:
        if data is not None:
            after = pydicom.dcmread(io.BytesIO(data))
            assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
            assert cleaned_again(maker, data) is not None


def cleaned_again(maker: ProfileCleaner, data: bytes) -> bytes:
    """What was cleaned can be cleaned."""
    return maker.patient([], "a patient").clean(data).data


def test_what_is_kept_is_as_it_was(tmp_path: Path, corpus_folder: Path) -> None:
    """pydicom reads both: every attribute outside of the table is there and equal."""
    maker, wrong, compared = cleaner(tmp_path), Counter[str](), 0
    for path in objects(corpus_folder):
        data = cleaned(maker, path)
        if data is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                before = pydicom.dcmread(path, force=True)
                compare(before, pydicom.dcmread(io.BytesIO(data)), wrong)
            except (NotImplementedError, OSError):
                continue  # pydicom cannot read the original
        compared += 1
    assert compared > 250
    assert wrong.total() <= 8, wrong  # values that no VR allows, and padding


def compare(before: Dataset, after: Dataset, wrong: Counter[str]) -> None:
    for element in before:
        outside = not element.tag.is_private and tables.row_of(int(element.tag)) is None
        if not outside or element.keyword in OURS | {CODES, ""} or element.VR in CHANGED:
            continue
        if element.tag not in after:
            wrong[f"{element.keyword} is gone"] += 1
        elif element.VR == "SQ":
            pairs = zip(element.value, after[element.tag].value, strict=True)
            for one, other in pairs:
                compare(one, other, wrong)
        elif element.value != after[element.tag].value:
            wrong[element.keyword] += 1


@pytest.mark.service
@pytest.mark.parametrize("profile", ["basic", "device", "modified-dates"])
def test_nothing_becomes_less_valid(tmp_path: Path, profile: str, corpus_folder: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    maker, worse = cleaner(tmp_path, profile), {}
    for path in objects(corpus_folder):
        data = cleaned(maker, path)
        if data is None:
            continue
        target = tmp_path / "after.dcm"
        target.write_bytes(data)
        before, after = faults(path), faults(target)
        if after.total() > before.total():
            worse[path.name] = after - before
    assert worse == {}


def faults(path: Path) -> Counter[str]:
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False)
    lines = (told.stderr + told.stdout).decode("latin-1").splitlines()
    return Counter(re.sub(r"<[^>]*>|\d{6,}", "", line) for line in lines if line[:5] == "Error")
