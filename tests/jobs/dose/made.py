"""Made-up dose reports, one line each, and lakes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicomlake
from dicomlake.jobs.index import index
from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, uid
from dicomlake.testing.hospital.codes import dcm, sct, ucum
from dicomlake.testing.hospital.reports import Item, code, container, number, text, uidref

SR = "1.2.840.10008.5.1.4.1.1.88."
REPORT = dcm("113701", "X-Ray Radiation Dose Report")
HEAD, CHEST, ABDOMEN = (
    sct("69536005", "Head"), sct("51185008", "Chest"), sct("818981001", "Abdomen"),
)  # fmt: skip
PHANTOMS = {
    16: dcm("113690", "IEC Head Dosimetry Phantom"),
    32: dcm("113691", "IEC Body Dosimetry Phantom"),
}
MGY, GY, GYM2, MGYCM = ucum("mGy"), ucum("Gy"), ucum("Gy.m2"), ucum("mGy.cm")
MM, SECONDS = ucum("mm"), ucum("s")


@dataclass(frozen=True, slots=True)
class CT:
    """An event of CT; `alert` and `estimate` of its dose check, in mGy.cm."""

    key: str
    ctdi: float | None = 10.0
    dlp: float | None = 300.0
    phantom: int | None = 32
    region: Code | None = CHEST
    protocol: str = "Thorax nativ"
    size: float | None = None
    alert: float | None = None
    estimate: float | None = None

    def item(self) -> Item:
        """Its container (TID 10013)."""
        ctdi, dlp = dcm("113830", "Mean CTDIvol"), dcm("113838", "DLP")
        dose = [
            number(ctdi, self.ctdi, MGY) if self.ctdi is not None else None,
            code(dcm("113835", "CTDIw Phantom Type"), PHANTOMS[self.phantom])
            if self.phantom
            else None,
            number(dlp, self.dlp, MGYCM) if self.dlp is not None else None,
            number(dcm("113980", "Water Equivalent Diameter"), self.size, MM)
            if self.size
            else None,
        ]
        if self.alert is not None:
            dose.append(
                container(
                    dcm("113900", "Dose Check Alert Details"),
                    number(dcm("113903", "DLP Alert Value"), self.alert, MGYCM),
                    number(dcm("113905", "Accumulated DLP Forward Estimate"), self.estimate, MGYCM),
                )
            )
        said = [
            text(dcm("125203", "Acquisition Protocol"), self.protocol),
            code(dcm("123014", "Target Region"), self.region) if self.region else None,
            uidref(dcm("113769", "Irradiation Event UID"), uid("event", self.key)),
            container(dcm("113829", "CT Dose"), *[one for one in dose if one]),
        ]
        return container(dcm("113819", "CT Acquisition"), *[one for one in said if one])


def ct_report(*events: CT, total: float | None = None) -> dict[str, Any]:
    """A dose report of CT; its total is that of its events when left out."""
    total = sum(e.dlp or 0 for e in events) if total is None else total
    children = [
        container(
            dcm("113811", "CT Accumulated Dose Data"),
            number(dcm("113812", "Total Number of Irradiation Events"), len(events),
                   ucum("{events}")),
            number(dcm("113813", "CT Dose Length Product Total"), total, MGYCM),
        ),
        *[event.item() for event in events],
    ]  # fmt: skip
    return _report(children)


def rf_report(
    *events: tuple[str, float, float], dap: float, rp: float, minutes: float = 5.0
) -> dict[str, Any]:
    """A dose report of fluoroscopy: events by name with DAP (Gy.m2) and RP (Gy), and totals."""
    children = [
        code(dcm("121058", "Procedure reported"), dcm("113704", "Projection X-Ray")),
        container(
            dcm("113702", "Accumulated X-Ray Dose Data"),
            code(dcm("113764", "Acquisition Plane"), dcm("113622", "Single Plane")),
            number(dcm("113722", "Dose Area Product Total"), dap, GYM2),
            number(dcm("113725", "Dose (RP) Total"), rp, GY),
            number(dcm("113730", "Total Fluoro Time"), minutes * 60, SECONDS),
        ),
        *[
            container(
                dcm("113706", "Irradiation Event X-Ray Data"),
                text(dcm("125203", "Acquisition Protocol"), "Coro"),
                uidref(dcm("113769", "Irradiation Event UID"), uid("event", key)),
                number(dcm("122130", "Dose Area Product"), one, GYM2),
                number(dcm("113738", "Dose (RP)"), other, GY),
            )
            for key, one, other in events
        ],
    ]
    return _report(children)


def skin_report(peak: float, *events: str) -> dict[str, Any]:
    """A patient dose report (TID 10030) that gives the peak skin dose in Gy."""
    organ = container(
        dcm("128402", "Radiation Dose Estimate"),
        *[uidref(dcm("128429", "Event UID Used"), uid("event", key)) for key in events],
        code(Code("363698007", "SCT", "Finding Site"), sct("39937001", "Skin")),
        number(dcm("128531", "Maximum Absorbed Radiation Dose"), peak, GY),
    )
    return _report([organ], dcm("128401", "Patient Radiation Dose Report"), "73")


def _report(children: Sequence[Item], title: Code = REPORT, sop: str = "67") -> dict[str, Any]:
    root = container(title, *children)
    del root["RelationshipType"]
    return {"SOPClassUID": SR + sop, "Modality": "SR", **root}


def put(
    folder: Path,
    description: dict[str, Any],
    *,
    patient: str = "P1",
    study: str = "S1",
    document: str = "",
    day: str = "20240110",
    made: str = "",
    **more: Any,
) -> Path:
    """Write an object of a study of an adult; `made`: its ContentTime."""
    name = document or f"{patient} {study}"
    said = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": patient,
        "PatientName": f"Made^{patient}",
        "PatientAge": "050Y",
        "PatientSex": "F",
        "PatientWeight": 70,
        "PatientSize": 1.7,
        "StudyInstanceUID": uid("study", study),
        "SeriesInstanceUID": uid("series", name),
        "SOPInstanceUID": uid("instance", name),
        "StudyDate": day,
        "ContentDate": day,
        "ContentTime": made or "120000",
        "Manufacturer": "Maker",
        "ManufacturerModelName": "Model",
        "StationName": "CT1",
        "SoftwareVersions": "V1",
        **description,
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uid('instance', name)}.dcm"
    path.write_bytes(encode({name: value for name, value in said.items() if value is not None}))
    return path


def lake_of(folder: Path) -> dicomlake.Lake:
    """The lake of a folder, beside it."""
    lake = folder.parent / f"{folder.name}-lake"
    index([folder], lake, workers=1)
    return dicomlake.open(lake)
