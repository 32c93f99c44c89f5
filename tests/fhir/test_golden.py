"""Resources of small studies, byte by byte; DICOMLAKE_GOLDEN=1 writes them anew, to be read."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from dicomlake.fhir import Release
from dicomlake.fhir.sites import Profile
from tests.fhir.lakes import lake_of, made, structures

GOLDEN = Path(__file__).parent / "golden"
CT = {
    "BodyPartExamined": "CHEST", "PatientWeight": 70.5, "PatientSize": 1.78, "Exposure": 25,
    "ManufacturerModelName": "Somatom", "DeviceSerialNumber": "S1", "StationName": "CT1",
    "TimezoneOffsetFromUTC": "+0100", "SeriesDate": "20210304", "SeriesTime": "101512.5",
    "StudyDescription": "CT Thorax", "ContrastBolusAgent": "Iomeprol",
    "ProcedureCodeSequence": [{"CodeValue": "169069000", "CodingSchemeDesignator": "SCT",
                               "CodeMeaning": "CT of chest"}],
    "RequestAttributesSequence": [{"ReasonForTheRequestedProcedure": "Persistent cough"}],
}  # fmt: skip
KNEE = {
    "Modality": "MR", "BodyPartExamined": "KNEE", "Laterality": "R", "MagneticFieldStrength": 1.5,
    "ScanningSequence": ["SE", "IR"], "SequenceVariant": ["SK"], "EchoTime": 12.5,
    "PatientID": "", "AccessionNumber": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
}  # fmt: skip
STUDIES = {"ct": CT, "knee": KNEE}
WAYS: list[tuple[Release, Profile]] = [("R4", "none"), ("R4", "mii"), ("R5", "none"),
                                       ("R5", "impetus")]  # fmt: skip


@pytest.mark.parametrize(("release", "profile"), WAYS)
@pytest.mark.parametrize("name", STUDIES)
def test_resources_are_as_they_were(
    tmp_path: Path, name: str, release: Release, profile: Profile
) -> None:
    store = lake_of(tmp_path, STUDIES[name])
    if name == "ct":
        store = structures(store)
    found = made(store, release, profile=profile, names=True, instances=True)
    told = [one.resource for one in sorted(found, key=lambda one: (one.type, one.id))]
    for one in told:
        if one["resourceType"] == "Provenance":
            one["recorded"] = "2024-01-01T00:00:00.000Z"  # when the test ran
    written = orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n"
    path = GOLDEN / f"{name}-{release}-{profile}.json"
    if os.environ.get("DICOMLAKE_GOLDEN") == "1":
        path.write_bytes(written)
    assert orjson.loads(written) == orjson.loads(path.read_bytes())
