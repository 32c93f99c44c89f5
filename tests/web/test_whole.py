"""From accession numbers to documents, with a real archive and real workers."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import orjson
import pydicom
import pytest
import xmlschema
from fastapi.testclient import TestClient

from dicomlake import settings
from dicomlake.jobs import layout
from dicomlake.jobs.working import Crew
from dicomlake.testing.archives import Orthanc
from dicomlake.web import app

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("orthanc_installed")]


def accessions(files: list[Path]) -> dict[str, set[str]]:
    """SeriesInstanceUIDs by AccessionNumber."""
    found: dict[str, set[str]] = {}
    for file in files:
        read = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        if read.get("AccessionNumber"):
            found.setdefault(read.AccessionNumber, set()).add(read.SeriesInstanceUID)
    return found


def test_a_warehouse_gets_what_it_asks_for(tmp_path: Path, small_hospital: Path) -> None:
    files = sorted(small_hospital.rglob("*.dcm"))[:60]
    lake = tmp_path / "lake"
    lake.mkdir()
    with Orthanc(tmp_path) as archive:
        refused = archive.seed(files)
        held = accessions([file for file in files if file not in refused])
        asked = sorted(held)[:2]
        expected = set().union(*(held[number] for number in asked))
        settings.add_source(lake, "orthanc", {"kind": "dicomweb", "url": archive.dicomweb})
        found = settings.read(lake)
        stopped = threading.Event()
        crew = Crew(lake, found, 1, schedule=False)
        work = threading.Thread(target=crew.run, args=(stopped.is_set,))
        with TestClient(app(lake, found), base_url="http://localhost") as client:
            body = {"source": "orthanc", "accession_numbers": [*asked, "NOBODY"]}
            answer = client.post("/api/jobs", json=body)
            path = answer.headers["location"]
            early = client.get(f"{path}/documents")
            assert (early.json(), early.headers["x-job-complete"]) == ([], "false")
            work.start()
            try:
                events = client.get(f"{path}/events").text
            finally:
                stopped.set()
                work.join(30)
            end = orjson.loads(events.strip().rpartition("event: end\ndata: ")[2])
            assert end["state"] == "finished"
            (missing,) = client.get(f"{path}/missing").json()
            assert (missing["what"], missing["value"]) == ("AccessionNumber", "NOBODY")
            whole = client.get(f"{path}/documents", params={"format": "xml"})
            assert whole.headers["x-job-complete"] == "true"
            schema = xmlschema.XMLSchema(io.BytesIO(layout.shipped("document.xsd")))
            schema.validate(io.BytesIO(whole.content))
            got = {d["series"]["SeriesInstanceUID"] for d in client.get(f"{path}/documents").json()}
            assert got == expected
