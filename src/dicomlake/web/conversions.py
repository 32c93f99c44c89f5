"""Converting a file that is sent, and the mapping files by which tables and masks are read."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from dicomlake.errors import DataError
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.clinical.unpacking import unpack
from dicomlake.jobs.converting import Report, convert, mapping_of
from dicomlake.jobs.converting.mappings import shelf
from dicomlake.jobs.shelves import MOST_BYTES
from dicomlake.lake.store import WORK
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["converting"])
TheDesk = Annotated[Desk, Depends(desk_of)]
_NAME = re.compile(r"[\w.-]{1,120}")
MOST_SHOWN = 200
"""Studies, patients and refusals of one answer."""


class Refusal(Shape):
    """A file that was not converted, or of which parts were not."""

    file: str
    why: str


class Converted(Shape):
    """What became of a file that was sent, or of those in an archive."""

    converted: int = Field(description="Files")
    there: int = Field(description="Files that were converted before in the same way")
    dicom: int = Field(description="Files that are DICOM already: store them by STOW-RS")
    parts: int = Field(description="Rows or parts of converted files that were refused")
    objects: int
    facts: int
    documents: int
    formats: dict[str, int]
    studies: list[str] = Field(description="Of the objects: StudyInstanceUID; 200 at most")
    patients: list[str] = Field(description="Whom they tell of: patient_key; 200 at most")
    refused: list[Refusal] = Field(description="200 at most")
    notes: list[str]
    waits: bool = Field(description="Somebody is writing; it comes into the lake after that")
    seconds: float


class MappingFile(Shape):
    """A mapping file: what columns of tables mean, or labels of masks."""

    name: str
    ours: bool = Field(description="It lies in the lake; else a watched folder names it")
    text: str = Field(description="YAML: docs/convert.md")


class NewMappingFile(Shape):
    """A mapping file to be kept."""

    text: str = Field(max_length=MOST_BYTES, description="YAML: docs/convert.md")


_CONVERTED: dict[str, Any] = {
    "converted": 1, "there": 0, "dicom": 0, "parts": 1, "objects": 12, "facts": 0, "documents": 0,
    "formats": {"csv": 1}, "studies": ["2.25.1"], "patients": ["123"],
    "refused": [{"file": "labels.csv", "why": "row 3: the column EF is no number"}], "notes": [],
    "waits": False, "seconds": 0.4,
}  # fmt: skip
_MAPPING = {
    "name": "labels", "ours": True,
    "text": "converter: labels\nto: measurements\nidentify: {AccessionNumber: Order}\nlabels:\n"
    "- {column: EF, concept: [10230-1, LN, Ejection fraction], number: '%'}\n",
}  # fmt: skip


@router.post(
    "/api/convert/files",
    summary="Convert a file that is sent",
    responses={**shown(_CONVERTED), **documented(403, 413, 422, 503)},
    dependencies=[needs(May.STORE)],
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {
        "schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
async def send(
    http: Request,
    desk: TheDesk,
    source: Annotated[str, Query(min_length=1, max_length=100, description="Where it comes from")],
    name: Annotated[str, Query(max_length=120, description="Of the file; a .zip has several")],
    mapping: Annotated[
        str, Query(max_length=64, description="Of tables and masks: GET /api/convert/mappings")
    ] = "",
    issuer: Annotated[
        str, Query(max_length=64, description="IssuerOfPatientID that the file does not tell")
    ] = "",
) -> Converted:
    """An ECG, a table or a mask as the body becomes DICOM objects or facts; the file is kept."""
    note(http, what="convert a file", query="", source=source)
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise Failed(422, "The name of the file has letters, digits, dots, hyphens alone.")
    said = mapping_of(shelf(desk.lake, desk.settings).path_of(mapping)) if mapping else {}
    passing = desk.lake / WORK
    await run_in_threadpool(lambda: passing.mkdir(exist_ok=True))
    with tempfile.TemporaryDirectory(prefix="convert-", dir=passing) as folder:
        path = Path(folder) / name
        with path.open("wb") as file:
            async for chunk in http.stream():
                file.write(chunk)
        header = {"IssuerOfPatientID": issuer} if issuer else {}
        made, uris = await run_in_threadpool(_convert, desk, path, source, said, header)
    desk.lakes.renew()
    note(http, objects=made.objects, facts=made.facts)
    return _told(made, uris)


def _convert(
    desk: Desk, path: Path, source: str, mapping: dict[str, Any], header: dict[str, str]
) -> tuple[Report, Path]:
    """What became of a file, and the folder in which it was."""
    with _desk(desk.lake / WORK, source) as folder:
        wanted = folder / path.name
        if path.suffix.lower() == ".zip":
            wanted = folder / path.stem
            try:
                unpack(path, wanted)
            except DataError as error:
                raise Failed(422, f"{str(error).capitalize()}.") from error
        else:
            path.replace(wanted)
        made = convert(
            wanted, lake=desk.lake, mapping=mapping, header=header, source=source,
            settings=desk.settings,
        )  # fmt: skip
        return made, folder


@contextmanager
def _desk(work: Path, source: str) -> Iterator[Path]:
    """A folder that is the same for files of the same source, for one at a time.

    So a file that is sent again has the address that it had, and what was said of it is over.
    """
    folder = work / f"sent-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    with folder.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _told(made: Report, folder: Path) -> Converted:
    begin = f"{folder.absolute().as_uri()}/"
    failures = [
        Refusal(file=uri.removeprefix(begin), why=why) for uri, why in made.failures[:MOST_SHOWN]
    ]
    return Converted(
        converted=made.converted,
        there=made.there,
        dicom=made.dicom,
        parts=made.parts,
        objects=made.objects,
        facts=made.facts,
        documents=made.documents,
        formats=dict(made.formats),
        studies=sorted(made.studies)[:MOST_SHOWN],
        patients=[str(key) for key in sorted(made.patients)[:MOST_SHOWN]],
        refused=failures,
        notes=sorted(made.notes),
        waits=made.waits,
        seconds=made.seconds,
    )


# Mapping files


@router.get(
    "/api/convert/mappings",
    summary="List mapping files of tables and masks",
    responses={**shown([_MAPPING]), **documented(403, 503)},
    dependencies=[needs(May.WATCH)],
)
def list_mappings(desk: TheDesk) -> list[MappingFile]:
    """Mapping files by which files are converted: those of the lake, and of watched folders."""
    found = shelf(desk.lake, desk.settings).named()
    return [MappingFile(name=one.name, ours=one.ours, text=one.text) for one in found.values()]


@router.put(
    "/api/convert/mappings/{name}",
    summary="Keep a mapping file of tables or masks",
    responses={**shown(_MAPPING), **documented(403, 422, 503)},
    dependencies=[needs(May.STORE)],
)
def keep_mapping(name: str, given: NewMappingFile, desk: TheDesk) -> MappingFile:
    """Put a mapping into the lake, instead of an older one of that name; 422 says what is wrong."""
    made = shelf(desk.lake, desk.settings).keep(name, given.text)
    return MappingFile(name=made.name, ours=made.ours, text=given.text)


@router.delete(
    "/api/convert/mappings/{name}",
    summary="Let a mapping file of tables or masks go",
    responses={**shown(_MAPPING), **documented(403, 422, 503)},
    dependencies=[needs(May.STORE)],
)
def drop_mapping(name: str, desk: TheDesk) -> MappingFile:
    """Let a mapping of the lake go, and say what it said; what was converted by it stays."""
    text = shelf(desk.lake, desk.settings).drop(name)
    return MappingFile(name=name, ours=True, text=text)
