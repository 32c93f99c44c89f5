"""A lake with something to hide, its project that does not see it, and callers of every role."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.jobs.index import index
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.settings import AccessSettings, Project, Service, Settings, Source
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image
from dicomlake.testing.histories import rows
from dicomlake.web import app

MARK = "QXHIDDEN"
"""Stands in everything that the project must not see, its pixels too."""
STUDY, SEEN, SEEN_INSTANCE = "2.25.7001", "2.25.7001.1", "2.25.7001.1.1"
"""A study of which one series is seen, and another one is not."""
HIDDEN, HIDDEN_INSTANCE = "2.25.666.2", "2.25.666.2.1"
OTHER_STUDY, OTHER, OTHER_INSTANCE = "2.25.666.3", "2.25.666.3.1", "2.25.666.3.1.1"
"""A study, of another patient, that is not seen at all."""
NOTHING = "2.25.999.9"
"""No UID of the lake."""
PROJECTS = {
    "open": Project(filter="SeriesDescription = 'seen' or Modality in ('CT', 'SR', 'ECG')"),
    "all": Project(title="Everything"),
}
SOURCES = {"pacs": Source(kind="dimse", host="127.0.0.1", port=1, called="PACS", timeout_s=1)}


def hidden(**more: Any) -> dict[str, Any]:
    """An object that says the mark wherever it can."""
    return image(
        Modality="MR", SeriesDescription=MARK, ProtocolName=MARK, PatientComments=MARK,
        StationName=MARK, ManufacturerModelName=MARK,
        PixelData=(MARK.encode() * 4), **more,
        **{'(0029,"QXHIDDEN HEADER",08)': ("LO", MARK)},
    )  # fmt: skip


def objects() -> dict[str, bytes]:
    """Files that are added to those of the hospital."""
    seen = image(
        Modality="MR", SeriesDescription="seen", StudyInstanceUID=STUDY, SeriesInstanceUID=SEEN,
        SOPInstanceUID=SEEN_INSTANCE, PatientID="SEEN", PatientName="Seen^Sam",
    )  # fmt: skip
    beside = hidden(
        StudyInstanceUID=STUDY, SeriesInstanceUID=HIDDEN, SOPInstanceUID=HIDDEN_INSTANCE,
        PatientID="SEEN", PatientName="Seen^Sam",
    )  # fmt: skip
    other = hidden(
        StudyInstanceUID=OTHER_STUDY, SeriesInstanceUID=OTHER, SOPInstanceUID=OTHER_INSTANCE,
        PatientID=f"{MARK}-P", PatientName=f"{MARK}^Hans", AccessionNumber=f"{MARK}A",
        StudyDescription=MARK,
    )  # fmt: skip
    return {"seen": encode(seen), "beside": encode(beside), "other": encode(other)}


def make_lake(folder: Path) -> Path:
    """A lake of a hospital and of these objects."""
    hospital.write(folder / "files", 6, pixels=False, seed=3)
    for name, content in objects().items():
        (folder / "files" / f"{name}.dcm").write_bytes(content)
    index([folder / "files"], folder / "lake", workers=1)
    _tell(Store(folder / "lake"))
    return folder / "lake"


def _tell(store: Store) -> None:
    """Facts and documents: of whom the project sees, of another patient, of another study."""
    other = f"{MARK}-P"
    facts = [
        {"PatientID": "SEEN", "kind": "condition", "code": "SCT:399068003", "text": "seen"},
        {"PatientID": other, "kind": MARK, "code": f"99X:{MARK}", "code_meaning": MARK,
         "text": MARK},
        {"PatientID": other, "kind": "procedure", "code": "SCT:90470006", "text": MARK,
         "AccessionNumber": f"{MARK}A"},
        {"AccessionNumber": f"{MARK}A", "kind": MARK, "code": f"99X:{MARK}", "text": MARK},
        {"PatientID": f"{MARK}-NOBODY", "kind": MARK, "code": f"99X:{MARK}"},
    ]  # fmt: skip
    documents = [
        {"PatientID": "SEEN", "StudyInstanceUID": STUDY, "text": "seen", "language": "de"},
        {"PatientID": other, "text": MARK, "title": MARK, "affirmed": MARK, "language": MARK},
        {"PatientID": other, "StudyInstanceUID": OTHER_STUDY, "text": MARK, "language": MARK},
    ]
    store.append("clinical_events", rows(store, "clinical_events", facts))
    store.append("documents", rows(store, "documents", documents))
    store.touch("told")
    rebuild(store)


def copied(lake: Path, folder: Path) -> Path:
    """A copy of a lake, with tokens and an audit log of its own."""
    return Path(shutil.copytree(lake, folder / "lake", ignore=shutil.ignore_patterns("_access")))


def settings(**access: Any) -> Settings:
    """Settings with both projects."""
    service = Service(access=AccessSettings(**access))
    return Settings(source=SOURCES, project=PROJECTS, service=service)


WHOS: dict[str, tuple[Role, str]] = {
    "viewer": (Role.viewer, ""),
    "viewer of a project": (Role.viewer, "open"),
    "researcher": (Role.researcher, "open"),
    "researcher of all": (Role.researcher, "all"),
    "steward": (Role.steward, ""),
    "steward of a project": (Role.steward, "open"),
    "admin": (Role.admin, ""),
}


class House:
    """A service and somebody of each kind who calls it."""

    def __init__(self, client: TestClient, lake: Path) -> None:
        self.client, self.lake = client, lake
        self.tokens = Tokens(lake)
        self.secrets = {
            name: self.tokens.add(name, role, project) for name, (role, project) in WHOS.items()
        }

    def ask(self, who: str, method: str, path: str, **more: Any) -> Any:
        """The answer to somebody."""
        headers = {**more.pop("headers", {}), "authorization": f"Bearer {self.secrets[who]}"}
        return self.client.request(method, path, headers=headers, **more)

    def get(self, who: str, there: str, **query: Any) -> Any:
        """What somebody gets."""
        return self.ask(who, "GET", there, params=query or None)

    def post(self, who: str, path: str, body: Any) -> Any:
        """What somebody gets who sends something."""
        return self.ask(who, "POST", path, json=body)


@contextmanager
def house(lake: Path, made: Settings | None = None) -> Iterator[House]:
    """A service of a lake that has callers of every kind."""
    with TestClient(
        app(lake, made or settings()), base_url="http://localhost", follow_redirects=False
    ) as client:
        yield House(client, lake)
