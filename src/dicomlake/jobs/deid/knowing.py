"""What is known of a patient: names, numbers, dates and places that headers and the lake hold.

Devices are not among it: whether they stay known is for the profile to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dicomlake.contracts.deid import Kind, Known
from dicomlake.dicom.dictionary import entry_of
from dicomlake.lake import Store

LONGEST = 256
"""Characters of a value that is known; longer ones are texts, not names."""
MOST = 4000
"""Values of one patient; what is more comes from a wrong grouping of patients."""

_IDS = """PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID ServiceEpisodeID
    PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
    PlacerOrderNumberProcedure FillerOrderNumberProcedure RequestedProcedureID
    ScheduledProcedureStepID PerformedProcedureStepID MedicalRecordLocator SpecimenIdentifier
    ContainerIdentifier SpecimenAccessionNumber ClinicalTrialSubjectID
    ClinicalTrialSubjectReadingID ImagingServiceRequestID RequestID"""
_PLACES = """InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress
    RegionOfResidence CountryOfResidence PatientInstitutionResidence CurrentPatientLocation
    RequestingService PersonAddress OrderEntererLocation ReferringPhysicianAddress
    ClinicalTrialSiteName ClinicalTrialSiteID"""
_PHONES = """PatientTelephoneNumbers ReferringPhysicianTelephoneNumbers PersonTelephoneNumbers
    OrderCallbackPhoneNumber"""
_OTHERS = """Occupation PatientReligiousPreference EthnicGroup MilitaryRank BranchOfService
    ResponsibleOrganization"""
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(_IDS.split(), "id"),
    **dict.fromkeys(_PLACES.split(), "place"),
    **dict.fromkeys(_PHONES.split(), "phone"),
    **dict.fromkeys(_OTHERS.split(), "other"),
    "PatientAge": "age",
}  # fmt: skip
_SHORT = frozenset(
    """StudyID RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
    OtherPatientIDs""".split()
)
"""Attributes that often hold a word or a small number."""
_MAIL = re.compile(r"[^\s@,;]+@[^\s@,;]+")


def known_of_header(header: Mapping[str, Any]) -> list[Known]:
    """What a header (DICOM JSON) says of persons, at any depth, each once.

    >>> name = {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    >>> known_of_header({"00100010": name, "00080060": {"vr": "CS", "Value": ["CT"]}})
    [Known(kind='name', text='Doe^Jane')]
    """
    return list(dict.fromkeys(_known(header)))[:MOST]


def _known(item: Mapping[str, Any]) -> Iterator[Known]:
    for tag, element in item.items():
        if not isinstance(element, Mapping):
            continue
        keyword, vr = _keyword(tag), str(element.get("vr") or "")
        values = element.get("Value")
        for value in values if isinstance(values, list) else ():
            if isinstance(value, Mapping):
                if vr == "PN":
                    yield from _told("name", [*map(str, value.values())])
                else:
                    yield from _known(value)
            else:
                yield from known_of_value(keyword, vr, str(value))


def known_of_value(keyword: str, vr: str, value: str) -> Iterator[Known]:
    """What the value of an attribute says of persons."""
    if vr == "PN":
        yield from _told("name", value.split("="))
    elif vr in ("DA", "DT"):
        if re.match(r"\d{8}", value):
            yield Known("date", value[:8])
    elif keyword in _KINDS:
        if keyword in _SHORT and sum(map(str.isdigit, value)) < 3:
            return
        yield from _told(_KINDS[keyword], [value])


def _told(kind: Kind, values: Iterable[str]) -> Iterator[Known]:
    for value in values:
        text = value.strip(" ^\0")
        if not text or len(text) > LONGEST:
            continue
        if kind in ("phone", "place"):
            yield from (Known("mail", found) for found in _MAIL.findall(text))
        yield Known(kind, text)


def _keyword(tag: str) -> str:
    try:
        entry = entry_of(int(tag, 16))
    except ValueError:
        return ""
    return entry[4] if entry else ""


def known_of_patient(store: Store, patient_key: int) -> list[Known]:
    """What the lake knows of a patient and those around it, each once; empty for nobody.

    From the headers of all instances: every name, number, date and place of all its studies.
    """
    import orjson

    found: dict[Known, None] = {}
    with store.database(only=("series", "instances")) as db:
        rows = db.execute(
            "select header from instances where series_id in "
            "(select series_id from series where patient_key = ?)",
            [patient_key],
        )
        while batch := rows.fetchmany(200):
            for (header,) in batch:
                if header:
                    found |= dict.fromkeys(known_of_header(orjson.loads(header)))
    return list(found)[:MOST]
