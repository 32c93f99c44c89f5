"""Publishing to a FHIR server: resources per second, in both ways of giving ids."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from dicomlake.jobs.fhir.targets import maker_of, opened
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.settings import FhirSettings, FhirTarget, Settings
from dicomlake.testing import hospital
from dicomlake.testing.fhir import FhirServer


def measure(patients: int) -> list[tuple[str, ...]]:
    """Rows of the table: what was done, resources, seconds, resources per second."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        hospital.write(folder / "files", patients, pixels=False)
        index([folder / "files"], folder / "lake")
        rows = []
        began = time.perf_counter()
        made = sum(1 for _ in maker_of(Store(folder / "lake"), Settings(), "R4").all())
        rows.append(_row("made, for comparison", made, time.perf_counter() - began))
        for ids in ("ours", "theirs"):
            rows += _pushed(folder / "lake", ids)
        return rows


def _pushed(lake: Path, ids: str) -> list[tuple[str, ...]]:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, ids))
    server.start()
    try:
        target = FhirTarget(url=here.recv(), ids=ids)  # type: ignore[arg-type]
        found = Settings(fhir=FhirSettings(target={ids: target}))
        rows = []
        for what, again in (("sent first", False), ("looked at, nothing changed", False)):
            with opened(lake, found, ids) as publisher:
                report = publisher.push(everything=True, again=again)
            number = report.sent + report.same
            rows.append(_row(f"{what}, ids are {ids}", number, report.seconds))
        return rows
    finally:
        here.send(None)
        server.join(30)


def _serve(pipe: Connection, ids: str) -> None:
    with FhirServer(client_ids=ids == "ours") as server:
        pipe.send(server.address)
        pipe.recv()


def _row(what: str, number: int, seconds: float) -> tuple[str, ...]:
    return what, f"{number:,}", f"{seconds:.1f}", f"{number / seconds:,.0f}"
