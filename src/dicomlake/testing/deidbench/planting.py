"""What is planted in the headers of every object, and what must come of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from dicomlake.testing.deidbench import table
from dicomlake.testing.deidbench.drafting import Draft, path_of
from dicomlake.testing.deidbench.people import number, word
from dicomlake.testing.dicom import IMPLICIT_LE, Value, uid
from dicomlake.testing.hospital import codes as c

_DATES = "not full_dates"


def identity(draft: Draft) -> None:
    """H1, H7, H8: who, when and what, in the attributes that every object has."""
    study, who = draft.study, draft.person
    when = study.when
    age = 2021 - who.born.year
    draft.values |= {
        "SpecificCharacterSet": who.charset.split("\\") if who.charset else ...,
        "SOPInstanceUID": draft.uid,
        "StudyInstanceUID": study.uid,
        "SeriesInstanceUID": draft.series.uid,
        "Modality": draft.series.modality,
        "PatientName": who.name,
        "PatientID": who.id,
        "IssuerOfPatientID": f"Haus {who.city}",
        "OtherPatientIDs": who.other_id,
        "PatientBirthDate": who.born,
        "PatientSex": who.sex,
        "PatientAge": f"{age:03d}Y",
        "PatientAddress": f"{who.street} 1, {who.city}",
        "PatientTelephoneNumbers": who.phone,
        "PatientTelecomInformation": who.mail,
        "InsurancePlanIdentification": who.insurance,
        "StudyDate": when,
        "StudyTime": when,
        "SeriesDate": when,
        "SeriesTime": when + timedelta(minutes=5),
        "ContentDate": when,
        "ContentTime": when + timedelta(minutes=6),
        "AccessionNumber": study.accession,
        "ReferringPhysicianName": f"{who.physician}^Doc",
        "OperatorsName": f"{who.operator}^Op",
        "InstitutionName": f"{who.institution} Hospital",
        "InstitutionAddress": f"{who.street} 2",
        "StudyID": number(study.uid, "study id", digits=6),
        "SeriesNumber": draft.series.number,
        "InstanceNumber": draft.number,
        "Manufacturer": "Phantasia",
        "DeviceSerialNumber": number(who.institution, "serial"),
        "StationName": word(who.institution, "station"),
        "SoftwareVersions": "VB10",
    }
    if draft.values["SpecificCharacterSet"] is ...:
        del draft.values["SpecificCharacterSet"]
    for keyword, letter in (("PatientName", "A"), ("PatientBirthDate", "C"),
                            ("AccessionNumber", "R"), ("ReferringPhysicianName", "A"),
                            ("StudyID", "R")):  # fmt: skip
        old = draft.values[keyword]
        old = f"{old:%Y%m%d}" if keyword.endswith("Date") else old
        draft.check("tag_empty_or_dummy", "H1", path_of(keyword), old, hipaa_letter=letter)
    draft.check("dummy_valid", "H1", path_of("PatientID"), who.id, hipaa_letter="H")
    for keyword, letter, why in (
        ("IssuerOfPatientID", "R", ""), ("OtherPatientIDs", "H", ""), ("PatientAddress", "B", ""),
        ("PatientTelephoneNumbers", "D", ""), ("PatientTelecomInformation", "F", ""),
        ("InsurancePlanIdentification", "I", ""), ("InstitutionAddress", "B", "not institution"),
    ):  # fmt: skip
        draft.check("tag_removed", "H1", path_of(keyword), hipaa_letter=letter, applies_if=why)
    draft.removed("H1", path_of("OperatorsName"), who.operator, hipaa_letter="A")
    draft.removed("H1", path_of("InstitutionName"), who.institution, hipaa_letter="B",
                  applies_if="not institution")  # fmt: skip
    _patient(draft, age)
    _device(draft)
    _dates(draft)
    _uids(draft)
    draft.retained("H1", path_of("Modality"), draft.series.modality)
    draft.retained("H1", path_of("InstanceNumber"), str(draft.number))


def _patient(draft: Draft, age: int) -> None:
    who = draft.person
    sex, years = path_of("PatientSex"), path_of("PatientAge")
    draft.retained("H1", sex, who.sex, applies_if="patient")
    draft.check("tag_empty_or_dummy", "H1", sex, who.sex, "may be equal", severity=2,
                applies_if="not patient")  # fmt: skip
    draft.check("tag_removed", "H7", years, severity=2, hipaa_letter="C", applies_if="not patient")
    if age <= 89:
        draft.retained("H7", years, f"{age:03d}Y", applies_if="patient")


def _device(draft: Draft) -> None:
    for keyword in ("DeviceSerialNumber", "StationName"):
        path, old = path_of(keyword), draft.values[keyword]
        draft.retained("H1", path, old, applies_if="device")
        draft.removed("H1", path, old, applies_if="not device", hipaa_letter="M", severity=2)


def _dates(draft: Draft) -> None:
    when = draft.study.when
    day = f"{when:%Y%m%d}"
    for keyword in ("StudyDate", "SeriesDate", "ContentDate"):
        path = path_of(keyword)
        draft.check("date_shifted", "H7", path, day, applies_if=_DATES, hipaa_letter="C")
        draft.check("date_consistent", "H7", path, day, severity=3, applies_if="modified_dates")
    for keyword in ("StudyTime", "SeriesTime", "ContentTime"):
        draft.removed("H7", path_of(keyword), f"{draft.values[keyword]:%H%M%S}", severity=2,
                      applies_if="not full_dates and not modified_dates",
                      hipaa_letter="C")  # fmt: skip


def _uids(draft: Draft) -> None:
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        old = draft.values[keyword]
        path = path_of(keyword)
        draft.check("uid_changed", "H8", path, old, applies_if="not uids")
        draft.check("uid_consistent", "H8", path, old, severity=2, applies_if="not uids")
    draft.check("text_notnull", "H1", path_of("PatientID"), severity=3)
    draft.check("tag_retained", "H1", path_of("SeriesNumber"), severity=3)
    draft.check("patid_consistent", "H1", path_of("PatientID"), draft.person.id, severity=2)
    draft.check("uid_retained", "H8", path_of("SOPClassUID"), str(draft.values["SOPClassUID"]),
                severity=3)  # fmt: skip
    if frame := draft.values.get("FrameOfReferenceUID"):
        path = path_of("FrameOfReferenceUID")
        draft.check("uid_changed", "H8", path, frame, severity=2, applies_if="not uids")
        draft.check("uid_consistent", "H8", path, frame, severity=2, applies_if="not uids")


def descriptors(draft: Draft) -> None:
    """H4, H5, H14: texts where the patient stands between words that are wanted."""
    who = draft.person
    plain = "Abdomen nativ Hodgkin"
    part = "MR Hand rechts" if draft.number % 3 else "Long axis T4-T12"
    texts: dict[str, tuple[str, str]] = {
        "StudyDescription": (f"{plain} {who.given}", plain),
        "SeriesDescription": (f"{part} {_spelt(draft)}", part),
        "ProtocolName": (f"Leber 5mm {who.given} 120/80", "Leber 5mm 120/80"),
        "PerformedProcedureStepDescription": (f"CT Thorax, {who.physician}", "CT Thorax"),
        "ImageComments": (f"see {uid(draft.uid, 'text')} Crohn", "Crohn"),
    }
    for keyword, (text, wanted) in texts.items():
        if keyword in draft.values:
            continue
        draft.values[keyword] = text
        path = path_of(keyword)
        if keyword == "SeriesDescription":
            draft.removed("H14", path, *_must_go(draft), hipaa_letter="A")
        elif keyword == "ImageComments":
            draft.removed("H8", path, uid(draft.uid, "text"), severity=2)
        else:
            token = who.physician if "Performed" in keyword else who.given
            draft.removed("H4", path, token, hipaa_letter="A")
        draft.retained("H4", path, wanted, applies_if="descriptors")
    _outside(draft)


def _spelt(draft: Draft) -> str:
    """The name of the patient in one of many ways."""
    family, given = draft.person.family, draft.person.given
    folded = family.translate(_FOLDED)
    ways = (
        f"{family}, {given}", f"{given} {family}".upper(), f"{given[0]}. {folded}",
        f"{family}-{given}", f"{folded}_{given}".lower(), f"{given}.{family[0]}",
    )  # fmt: skip
    return ways[draft.number % len(ways)]


_FOLDED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "é": "e"})


def _must_go(draft: Draft) -> list[str]:
    """The words of that spelling which must go; common words are no tokens."""
    said = _spelt(draft).replace(",", " ").replace("-", " ").replace("_", " ").replace(".", " ")
    trap = draft.person.trap.lower()
    return [part for part in said.split() if len(part) > 2 and part.lower() != trap]


def _outside(draft: Draft) -> None:
    """Attributes that the table does not list, and meanings of local codes."""
    given = draft.person.given
    draft.values["ManufacturerModelName"] = f"Scanomat {given}"
    path = path_of("ManufacturerModelName")
    draft.removed("H5", path, given, hipaa_letter="A")
    draft.retained("H5", path, "Scanomat")
    local = {
        "CodeValue": "77",
        "CodingSchemeDesignator": "99LOCAL",
        "CodeMeaning": f"Thorax {given}",
    }
    draft.values["ProcedureCodeSequence"] = [local, c.sct("77477000", "CT")]
    path = path_of("ProcedureCodeSequence", 1, "CodeMeaning")
    draft.removed("H5", path, given, hipaa_letter="A")
    path = path_of("ProcedureCodeSequence", 2, "CodeValue")
    draft.retained("H5", path, "77477000")


def dated(draft: Draft) -> None:
    """H7: partial dates, several values, time zones, where the class knows the attributes."""
    when = draft.study.when
    if draft.series.modality in ("CT", "MR", "PT", "US", "NM", "XA", "CR", "DX", "MG"):
        draft.values["AcquisitionDate"] = when
        draft.values["DateOfLastCalibration"] = [when - timedelta(days=9), when - timedelta(days=2)]
        draft.values["TimeOfLastCalibration"] = ["070000", "071500"]
        path = path_of("AcquisitionDate")
        day = f"{when:%Y%m%d}"
        draft.check("date_shifted", "H7", path, day, hipaa_letter="C", applies_if=_DATES)
        draft.check("date_consistent", "H7", path, day, severity=3, applies_if="modified_dates")
        both = "\\".join(f"{when - timedelta(days=n):%Y%m%d}" for n in (9, 2))
        path = path_of("DateOfLastCalibration")
        draft.check("date_shifted", "H7", path, both, severity=2, applies_if=_DATES)
    if draft.series.modality in ("CT", "MR") and "AcquisitionDateTime" not in draft.values:
        text = f"{when:%Y%m%d%H%M%S}.5+0100"
        draft.values["AcquisitionDateTime"] = ("DT", text)
        draft.values["TimezoneOffsetFromUTC"] = "+0100"
        path = path_of("AcquisitionDateTime")
        draft.check("date_shifted", "H7", path, text, hipaa_letter="C", applies_if=_DATES)
        draft.check("date_consistent", "H7", path, text, severity=3, applies_if="modified_dates")
        month = f"{when:%Y%m}"
        draft.values["(0040,A13A)"] = ("DT", month)
        draft.check("date_shifted", "H7", "(0040,A13A)", month, "may be equal within a year",
                    severity=2, applies_if=_DATES)  # fmt: skip


def private(draft: Draft) -> None:
    """H6: private elements that are safe, unsafe, of nobody, nested and binary."""
    given, who = draft.person.given, draft.person
    own = word(draft.uid, "private")
    unsafe = '(0029,"ZORB PRIVATE 1.0",10)'
    draft.values |= {
        unsafe: ("LO", f"{own} {given}"),
        '(0029,"ZORB PRIVATE 1.0",11)': ("UI", uid(draft.uid, "private")),
        '(0029,"ZORB PRIVATE 1.0",20)': ("OB", f"x{own}x{who.id}".encode("ascii")),
        '(0031,"ZORB NESTED",01)': ("SQ", [{"PatientName": who.given, "PatientID": who.id}]),
        '(0019,"ZORB FIRST",0C)': ("LO", own),
    }
    draft.own(own)
    draft.key.token(who.id, "uids", uid(draft.uid, "private"))
    for path in (unsafe, '(0029,"ZORB PRIVATE 1.0",11)', '(0029,"ZORB PRIVATE 1.0",20)',
                 '(0031,"ZORB NESTED",01)', '(0019,"ZORB FIRST",0C)'):  # fmt: skip
        draft.check("private_removed", "H6", path, severity=1)
    safe: dict[str, tuple[str, Any]] = {
        "MR": {'(0019,"SIEMENS MR HEADER",0C)': ("IS", 800)},
        "CT": {'(0019,"GEMS_ACQU_01",23)': ("DS", "39.37")},
        "PT": {'(7053,"Philips PET Private Group",00)': ("DS", "0.000731")},
    }.get(draft.series.modality, {})  # type: ignore[assignment]
    for path, value in safe.items():
        draft.values[path] = value
        text = str(value[1])
        draft.check("private_retained", "H6", path, text=text, severity=3,
                    applies_if="safe_private")  # fmt: skip
        draft.check("private_removed", "H6", path, severity=2, applies_if="not safe_private")


def wellknown(draft: Draft) -> None:
    """H8: UIDs of the Standard beside codes, which must stay."""
    draft.values["RequestedProcedureCodeSequence"] = [
        {
            "CodeValue": "77477000",
            "CodingSchemeDesignator": "SCT",
            "CodeMeaning": "CT",
            "ContextIdentifier": "3",
            "ContextUID": "1.2.840.10008.6.1.1",
            "MappingResource": "DCMR",
            "MappingResourceUID": "1.2.840.10008.8.1.1",
        }
    ]
    for keyword in ("ContextUID", "MappingResourceUID"):
        path = path_of("RequestedProcedureCodeSequence", 1, keyword)
        value = draft.values["RequestedProcedureCodeSequence"][0][keyword]
        draft.check("uid_retained", "H8", path, value, severity=3)


def outer(draft: Draft) -> None:
    """H9: what stands before the data set and after it."""
    own = word(draft.uid, "outer")
    if draft.number % 2:
        draft.values["SourceApplicationEntityTitle"] = own.upper()
        draft.values["(0002,0017)"] = ("AE", own.upper())
        draft.own(own)
    if draft.number % 5 == 0:
        draft.values["PrivateInformationCreatorUID"] = uid(draft.uid, "creator")
        draft.values["PrivateInformation"] = draft.person.id.encode("ascii")
    if draft.number % 3 == 0:
        draft.preamble = f"II*\0{draft.person.id} {own}".encode("ascii")
        draft.own(own)
    if draft.number % 4 == 0:
        draft.values["(FFFC,FFFC)"] = ("OB", f"{draft.person.id} pad".encode("ascii").ljust(24))
        draft.check("text_removed", "H9", "(FFFC,FFFC)", draft.person.id)
    if draft.number % 6 == 0:
        draft.values["(0004,1511)"] = ("UI", uid(draft.uid, "directory"))
        draft.check("uid_changed", "H9", "(0004,1511)", uid(draft.uid, "directory"),
                    "may be absent", severity=2, applies_if="not uids")  # fmt: skip
    draft.check("meta_clean", "H9")


# sequences that the table does not list -> what makes an item of each a valid one
_NEUTRAL: tuple[tuple[str, Value], ...] = (
    ("AnatomicRegionSequence", c.sct("10200004", "Liver")),
    ("AnatomicRegionModifierSequence", c.sct("7771000", "Left")),
    ("DerivationCodeSequence", c.dcm("113076", "Segmentation")),
    ("ViewCodeSequence", c.sct("399162004", "cranio-caudal")),
    ("ContrastBolusAgentSequence", c.sct("7140000", "Barium sulfate")),
    ("CTDIPhantomTypeCodeSequence", c.dcm("113691", "IEC Body Dosimetry Phantom")),
)
_LISTED = "RequestAttributesSequence"


class Deal:
    """Deals the rows of the table to objects, at the top and nested, so that none is left out."""

    def __init__(self, objects: int, times: int) -> None:
        self.top = deque(table.rows() * times)
        self.nested = deque(table.rows() * times)
        self.share = -(-len(self.top) // max(objects, 1)) + 1

    def plant(self, draft: Draft) -> None:
        """H2 and H3 of this object."""
        self._top(draft)
        self._nested(draft)

    def _top(self, draft: Draft) -> None:
        for row in self._taken(self.top, lambda row: draft.has(row.tag)):
            self._row(draft, row, draft.values, "", "H2")

    def _nested(self, draft: Draft) -> None:
        depth = draft.number % 3 + 1
        start = draft.number % len(_NEUTRAL)
        chain = [_NEUTRAL[(start + step) % len(_NEUTRAL)] for step in range(depth)]
        if draft.number % 5 == 0:
            chain[0] = (_LISTED, {"RequestedProcedureID": "RP", "ScheduledProcedureStepID": "S"})
        if chain[0][0] in draft.values:
            chain[0] = ("PatientOrientationCodeSequence", c.sct("102538003", "recumbent"))
        inner: dict[str, Value] = {}
        steps: list[str | int] = []
        for name, _ in chain:
            steps += [name, 1]
        prefix = path_of(*steps)
        holder: dict[str, Value] = inner
        for row in self._taken(self.nested, lambda row: row.tag in _BASE_OF_ITEMS):
            self._row(draft, row, holder, prefix, "H3")
        for name, content in reversed(chain):
            held = _item(content)
            held.update(inner)
            value: Any = [held]
            if name in ("DerivationCodeSequence",) and draft.syntax != IMPLICIT_LE:
                value = ("UN", [held])  # as objects come that passed an archive without dictionary
            inner = {name: value}
        draft.values.update(inner)

    def _taken(self, queue: deque[table.Row], unfit: Any) -> Iterator[table.Row]:
        """The next rows of a queue; those that do not fit this object wait for another one."""
        later = []
        count = 0
        while queue and count < self.share:
            row = queue.popleft()
            if unfit(row):
                later.append(row)
                continue
            count += 1
            yield row
        queue.extendleft(reversed(later))

    def _row(
        self, draft: Draft, row: table.Row, holder: dict[str, Value], prefix: str, category: str
    ) -> None:
        value, gone, own = table.planted(row, draft.person, draft.study.seed, draft.number, prefix)
        holder[row.path] = value
        if own.startswith("2.25."):
            draft.key.token(draft.person.id, "uids", own)
        else:
            draft.own(own)
        severity = 1 if row.letter or draft.person.given in gone or row.basic == "X" else 2
        for demand in table.demands(row):
            draft.check(
                demand.action, category, prefix + row.path + demand.inside, gone,
                demand.action_text, severity=severity, applies_if=demand.applies_if,
                hipaa_letter=row.letter,
            )  # fmt: skip


_BASE_OF_ITEMS = frozenset([0x00080100, 0x00080102, 0x00080104, 0x00400275])


def _item(content: Value) -> dict[str, Value]:
    from dicomlake.terms import Code
    from dicomlake.testing.dicom import code_item

    return code_item(content) if isinstance(content, Code) else dict(content)


def planters() -> Iterable[Any]:
    """What is planted in every object, in this order."""
    return (identity, descriptors, dated, private, wellknown, outer)
