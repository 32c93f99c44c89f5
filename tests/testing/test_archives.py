"""The archives that tests start really are what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dicomlake.testing.archives import Dcmqrscp, Orthanc, program

pytestmark = pytest.mark.service


@pytest.mark.usefixtures("orthanc_installed")
def test_orthanc_takes_files_and_is_known_by_its_ae_title(
    tmp_path: Path, small_hospital: Path
) -> None:
    files = sorted(small_hospital.rglob("*.dcm"))[:20]
    with Orthanc(tmp_path) as archive:
        refused = archive.seed(files)
        assert len(archive.get("/instances")) == len(files) - len(refused) > 0
        echo = [program("echoscu"), "-aec", "ORTHANC", "127.0.0.1", str(archive.dicom)]
        assert subprocess.run(echo, check=False).returncode == 0
        assert (
            Path(f"/proc/{archive._process.pid}/ns/net").readlink()
            == Path("/proc/thread-self/ns/net").readlink()
        )


@pytest.mark.usefixtures("dcmqrscp_installed")
def test_dcmqrscp_answers_a_query(tmp_path: Path, small_hospital: Path) -> None:
    with Dcmqrscp(tmp_path) as archive:
        archive.seed(small_hospital)
        find = [program("findscu"), "-S", "-k", "QueryRetrieveLevel=STUDY", "-k"]
        find += ["StudyInstanceUID", "-aec", "QRSCP", "127.0.0.1", str(archive.dicom)]
        found = subprocess.run(find, check=True, capture_output=True)
        assert (found.stdout + found.stderr).count(b"StudyInstanceUID") >= 3
