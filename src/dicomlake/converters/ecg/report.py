"""An ECG report by TID 3700 (PS3.16): what the file states about the ECG, and on which waveform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset

from dicomlake.converters.ecg.codes import AGES, SUMMARIES, code_of_lead, lead_measures, measures
from dicomlake.converters.ecg.objects import coded, coded_as, decimal_string
from dicomlake.terms import Code
from dicomlake.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomlake.converters.ecg.objects import Made

ENHANCED = "1.2.840.10008.5.1.4.1.1.88.22"
_TITLE = Code("11524-0", "LN", "ECG Report")
_LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French"}
_SEXES = {"M": "Male", "F": "Female"}


def report(made: Made, waveform: Dataset) -> Dataset:
    """The report of a conversion, which refers to its waveform object."""
    found = made.dataset(ENHANCED, "report", "SR", 2)
    found.Manufacturer = found.ManufacturerModelName = "dicomlake"
    found.SoftwareVersions = __version__
    found.SeriesDescription = "ECG report"
    found.ReferencedPerformedProcedureStepSequence = []
    found.PerformedProcedureCodeSequence = []
    found.CompletionFlag, found.VerificationFlag = "COMPLETE", "UNVERIFIED"
    found.CurrentRequestedProcedureEvidenceSequence = [_evidence(waveform)]
    root = container(_TITLE, "3700", list(_contents(made, waveform)))
    del root.RelationshipType
    found.update(root)
    return found


def _contents(made: Made, waveform: Dataset) -> Iterator[Dataset]:
    """The content items below the root, in the order of the template."""
    recording = made.recording
    language = (recording.language or str(made.asked.mapping.get("language") or "en"))[:16]
    yield _code(
        "HAS CONCEPT MOD",
        Code("121049", "DCM", "Language of Content Item and Descendants"),
        Code(language, "RFC5646", _LANGUAGES.get(language[:2], language)),
    )
    yield from _observer(made)
    yield container(
        Code("55111-9", "LN", "Current Procedure Descriptions"),
        "3708",
        list(_procedure(made, waveform)),
    )
    if characteristics := list(_patient(waveform)):
        name = Code("121118", "DCM", "Patient Characteristics")
        yield container(name, "3704", characteristics)
    if analysed := [*_global(made), *_of_leads(made)]:
        yield container(Code("122144", "DCM", "Quantitative Analysis"), "", analysed)
    if recording.statements:
        finding = Code("271921002", "SCT", "ECG Finding")
        yield container(
            Code("122145", "DCM", "Qualitative Analysis"),
            "3717",
            [_text("CONTAINS", finding, said) for said in recording.statements],
        )
    if summary := SUMMARIES.get(recording.summary):
        overall = Code("18810-2", "LN", "ECG overall finding")
        name = Code("55112-7", "LN", "Summary")
        yield container(name, "3719", [_code("CONTAINS", overall, summary)])


def _observer(made: Made) -> Iterator[Dataset]:
    """TID 1001: the device that measured (TID 1004)."""
    header = made.recording.header
    device = [header.get(key, "") for key in ("Manufacturer", "ManufacturerModelName")]
    serial = header.get("DeviceSerialNumber", "")
    context = "HAS OBS CONTEXT"
    kind = Code("121007", "DCM", "Device")
    yield _code(context, Code("121005", "DCM", "Observer Type"), kind)
    item = _item(context, "UIDREF", Code("121012", "DCM", "Device Observer UID"))
    item.UID = made.asked.uid("ecg device", *device, serial)
    yield item
    for value, meaning, text in (
        ("121014", "Device Observer Manufacturer", device[0]),
        ("121015", "Device Observer Model Name", device[1]),
        ("121016", "Device Observer Serial Number", serial),
    ):
        if text:
            yield _text(context, Code(value, "DCM", meaning), text)


def _procedure(made: Made, waveform: Dataset) -> Iterator[Dataset]:
    """TID 3708: when, and the waveform that everything was measured on."""
    item = _item("CONTAINS", "DATETIME", Code("122146", "DCM", "Procedure DateTime"))
    item.DateTime = made.acquired
    yield item
    item = _item("CONTAINS", "WAVEFORM", Code("121112", "DCM", "Source of Measurement"))
    reference = _reference(waveform)
    reference.ReferencedWaveformChannels = [1, 0]
    item.ReferencedSOPSequence = [reference]
    yield item
    if model := made.recording.header.get("ManufacturerModelName"):
        yield _text("CONTAINS", Code("122142", "DCM", "Acquisition Device Type"), model)


def _patient(waveform: Dataset) -> Iterator[Dataset]:
    """TID 3704: age and sex, where they are known."""
    age, sex = waveform.get("PatientAge") or "", waveform.get("PatientSex") or ""
    if age[:3].isdigit() and age[3:] in AGES:
        name = Code("121033", "DCM", "Subject Age")
        yield _number(name, str(int(age[:3])), AGES[age[3:]])
    if sex in _SEXES:
        yield _code("CONTAINS", Code("121032", "DCM", "Subject Sex"), Code(sex, "DCM", _SEXES[sex]))


def _global(made: Made) -> Iterator[Dataset]:
    if measured := list(_measurements(made)):
        yield container(Code("122158", "DCM", "ECG Global Measurements"), "3713", measured)


def _of_leads(made: Made) -> Iterator[Dataset]:
    """TID 3714: a container for each lead that the file measured."""
    for lead, values in made.recording.of_leads.items():
        known = [
            _number(code, decimal_string(values[name]), unit)
            for name, (code, unit) in lead_measures().items()
            if name in values
        ]
        if known:
            which = _code("HAS CONCEPT MOD", Code("122148", "DCM", "Lead ID"), code_of_lead(lead))
            name = Code("122159", "DCM", "ECG Lead Measurements")
            yield container(name, "3714", [which, *known])


def _measurements(made: Made) -> Iterator[Dataset]:
    """TID 3713: what the file states, in the order of the codes."""
    for measure, (code, unit) in measures().items():
        value = made.recording.measured.get(measure)
        if value is not None:
            yield _number(code, decimal_string(value), unit)
    if made.recording.derivation:
        comment = Code("121106", "DCM", "Comment")
        yield _text("CONTAINS", comment, made.recording.derivation)


def container(name: Code, template: str, contents: Sequence[Dataset]) -> Dataset:
    """A container with these items, and the number of its template if it has one."""
    item = _item("CONTAINS", "CONTAINER", name)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        identity = Dataset()
        identity.MappingResource, identity.TemplateIdentifier = "DCMR", template
        item.ContentTemplateSequence = [identity]
    item.ContentSequence = list(contents)
    return item


def _item(relation: str, kind: str, name: Code) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relation, kind
    item.ConceptNameCodeSequence = [coded(name)]
    return item


def _code(relation: str, name: Code, value: Code) -> Dataset:
    item = _item(relation, "CODE", name)
    item.ConceptCodeSequence = [coded(value)]
    return item


def _text(relation: str, name: Code, text: str) -> Dataset:
    item = _item(relation, "TEXT", name)
    item.TextValue = text
    return item


def _number(name: Code, value: str, unit: Code) -> Dataset:
    item = _item("CONTAINS", "NUM", name)
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [coded_as(unit.value, unit.scheme, unit.meaning)]
    item.MeasuredValueSequence = [measured]
    return item


def _reference(waveform: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = waveform.SOPClassUID
    item.ReferencedSOPInstanceUID = waveform.SOPInstanceUID
    return item


def _evidence(waveform: Dataset) -> Dataset:
    """The waveform below its series and study."""
    study, series = Dataset(), Dataset()
    study.StudyInstanceUID = waveform.StudyInstanceUID
    series.SeriesInstanceUID = waveform.SeriesInstanceUID
    series.ReferencedSOPSequence = [_reference(waveform)]
    study.ReferencedSeriesSequence = [series]
    return study
