"""dciodvfy's messages become findings, without the values that it prints."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

import dicomlake
from dicomlake.contracts.enrichers import Enricher, Subject
from dicomlake.enrichers.dciodvfy import DciodvfyEnricher, messages
from dicomlake.errors import UsageError
from dicomlake.jobs.enriching import enrich, subjects, waiting
from dicomlake.lake import Store
from dicomlake.testing import faults
from dicomlake.testing.enrichers import EnricherContract

PRINTED = """\
Error - Value invalid for this VR - (0x0010,0x0010) PN Patient's Name  PN [1] = <Du>e - x^Jo>
Error - Missing attribute Type 2 Required Element=<PositionerType> Module=<DXPositioning>
Warning - Unrecognized defined term <SECRET> for value 1 of attribute <View Position>
Warning - Attribute is not present in standard DICOM IOD - (0x0032,0x1060) LO Something
Warning - CTDIvol is present but it is uninterpretable without CTDIPhantomTypeCodeSequence, \
which is absent - attribute <CTDIvol>
Error - Odd thing DOE^JANE 19600102 here
MammographyImageForPresentation
Abort - File open for read failed - "/home/doe/x"
"""


def test_messages_have_rules_paths_and_no_values() -> None:
    found = [(m.severity, m.rule.removeprefix("dciodvfy: "), m.path, m.module)
             for m in messages(PRINTED)]  # fmt: skip
    assert found == [
        ("error", "value invalid for this vr", "PatientName", ""),
        ("error", "missing attribute type 2 required", "PositionerType", "DXPositioning"),
        ("warning", "unrecognized defined term", "ViewPosition", ""),
        ("warning", "attribute is not present in standard dicom iod",
         "RequestedProcedureDescription", ""),
        ("warning", "ctdivol is present but it is uninterpretable without "
         "ctdiphantomtypecodesequence, which is absent", "CTDIvol", ""),
        ("error", "odd thing", "", ""),
        ("error", "file open for read failed", "", ""),
    ]  # fmt: skip


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="apt-get install dicom3tools"):
        DciodvfyEnricher(tmp_path, {}, program="no-such-program")
    for options, why in (
        ({"objects": "some"}, "takes one or all"), ({"timeout_s": "soon"}, "takes seconds"),
        ({"all": "yes"}, "no option 'all'"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            DciodvfyEnricher(tmp_path, options, program="true")


def program(folder: Path, text: str) -> str:
    """A program that stands for dciodvfy."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [("sleep 30", "took longer than 0.2 s"), ("kill -11 $$", "ended by signal 11")],
)
def test_a_program_that_hangs_or_dies_fails_its_series_alone(
    faulty: Path, tmp_path: Path, text: str, why: str
) -> None:
    made = program(tmp_path, text)
    enricher = DciodvfyEnricher(faulty, {"timeout_s": "0.2"}, program=made)
    report = enrich(faulty, enricher, limit=2)
    assert (report.done, report.failed) == (0, 2)
    assert list(report.reasons) == [f"dciodvfy {why}"]


@pytest.fixture
def installed() -> None:
    if shutil.which("dciodvfy") is None:
        if os.environ.get("DICOMLAKE_REQUIRE_SERVICES") == "1":
            pytest.fail("dciodvfy is not installed: apt-get install dicom3tools")
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")


@pytest.mark.service
@pytest.mark.usefixtures("installed")
class TestReal(EnricherContract):
    @pytest.fixture
    def enricher(self, made: Path) -> Enricher:
        return DciodvfyEnricher(made, {})

    @pytest.fixture
    def subjects(self, made: Path, enricher: Enricher) -> Sequence[Subject]:
        store = Store(made)
        ids = waiting(store, enricher, where="SliceThickness <= 0 or BitsStored = 17")
        return subjects(store, enricher, ids.column("series_id").to_pylist())

    def test_known_faults_are_found_and_no_patient(self, faulty: Path) -> None:
        report = enrich(faulty, DciodvfyEnricher(faulty, {"objects": "all"}))
        assert (report.done, report.failed) == (len(list(faults.series())), 0)
        lake = dicomlake.open(faulty)
        missing = "finding.rule = 'dciodvfy: missing attribute type 1 required' and "
        assert lake.query(f"same(finding, {missing} finding.path = 'RescaleSlope')").total == 1
        rows = lake.table("findings").to_pylist()
        stacks = [row["instances"] for row in rows if row["instances"] == 3]
        assert stacks
        said = repr([[row[n] for n in ("rule", "path", "text", "value")] for row in rows])
        for secret in (faults.SECRET, "F-", "1960", "KNEE", "CT1"):
            assert secret not in said
