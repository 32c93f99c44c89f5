"""An archive with two doors, DIMSE and DICOMweb."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomlake.jobs.archives import archive_of
from dicomlake.settings import Settings, Source
from dicomlake.testing.archives import Orthanc


@pytest.mark.service
@pytest.mark.usefixtures("orthanc_installed")
@pytest.mark.parametrize("metadata", [True, False])
def test_headers_by_the_cheaper_door(tmp_path: Path, small_hospital: Path, metadata: bool) -> None:
    with Orthanc(tmp_path) as orthanc:
        orthanc.seed(sorted(small_hospital.rglob("*.dcm")))
        source = Source(
            kind="dimse",
            host="127.0.0.1",
            port=orthanc.dicom,
            called="ORTHANC",
            url=orthanc.dicomweb,
            metadata=metadata,
        )
        archive = archive_of("both", Settings(source={"both": source}))
        rows = archive.find("STUDY", {}).rows
        series = [
            row
            for study in rows
            for row in archive.find("SERIES", {"StudyInstanceUID": study["StudyInstanceUID"]}).rows
        ]
        most = max(series, key=lambda row: int(row["NumberOfSeriesRelatedInstances"]))
        study = next(
            r["StudyInstanceUID"]
            for r in rows
            if archive.find(
                "SERIES",
                {
                    "StudyInstanceUID": r["StudyInstanceUID"],
                    "SeriesInstanceUID": most["SeriesInstanceUID"],
                },
            ).rows
        )
        headers = list(archive.headers(study, most["SeriesInstanceUID"]))
        assert archive.way == "get"
        assert archive.whole_headers == metadata
        assert len(headers) == (int(most["NumberOfSeriesRelatedInstances"]) if metadata else 1)
        assert (headers[0].header is not None) == metadata
        assert headers[0].uri.startswith("pacs://both/")
        assert all(check.works for check in archive.check())
        archive.close()
