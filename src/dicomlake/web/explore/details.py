"""One patient, study, series or instance: what the lake says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.api import Lake
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs import browsing, statements
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.findings import findings
from dicomlake.jobs.rarity import condition_of
from dicomlake.jobs.tracing import drawn
from dicomlake.query import Query as Question
from dicomlake.query import render
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import PathOf, Shape, Totals, Version, as_json, plain
from dicomlake.web.problems import Failed, documented
from dicomlake.web.running import Running, answered

router = APIRouter(tags=["details"])
TheDesk = Annotated[Desk, Depends(desk_of)]
Uid = Annotated[str, Path(min_length=1, max_length=128)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Offset = Annotated[int, Query(ge=0, le=100_000_000)]


class PatientHead(Shape):
    """A patient."""

    patient_key: str
    PatientID: str | None
    IssuerOfPatientID: str | None
    PatientName: str | None
    PatientBirthDate: str | None
    PatientSex: str | None
    studies: int
    series: int
    instances: int


class StudyHead(Shape):
    """A study."""

    patient_key: str
    StudyInstanceUID: str | None
    StudyDate: str | None
    StudyTime: str | None
    StudyDescription: str | None
    AccessionNumber: str | None
    PatientAge: str | None
    ReferringPhysicianName: str | None
    InstitutionName: str | None
    modalities: list[str] | None
    body_parts: list[str] | None
    series: int
    instances: int


class OtherStudy(StudyHead):
    """Another study of the patient."""

    days: int | None = Field(description="Days after this study; negative: before it")


class SeriesHead(Shape):
    """A series."""

    SeriesInstanceUID: str | None
    SeriesNumber: int | None
    Modality: str | None
    SeriesDate: str | None
    SeriesTime: str | None
    SeriesDescription: str | None
    ProtocolName: str | None
    BodyPartExamined: str | None
    Laterality: str | None
    Manufacturer: str | None
    ManufacturerModelName: str | None
    StationName: str | None
    SOPClassUID: str | None
    SliceThickness: float | None
    Rows: int | None
    Columns: int | None
    instances: int
    complete: str | None
    source: str | None
    indexed: str | None


class ReportLine(Shape):
    """A content item of a report."""

    depth: int
    type: str | None
    concept: str
    value: str


class Report(Shape):
    """A structured report."""

    SOPInstanceUID: str
    SeriesInstanceUID: str | None
    title: str
    CompletionFlag: str | None
    VerificationFlag: str | None
    lines: list[ReportLine]


class PatientOut(PatientHead):
    """A patient with all studies."""

    version: int
    all_studies: list[StudyHead] = Field(description="Studies, newest first")


class StudyOut(StudyHead):
    """A study with its series and reports, and the patient's other studies."""

    version: int
    patient: PatientHead
    all_series: list[SeriesHead] = Field(description="Series, by number")
    reports: list[Report]
    others: list[OtherStudy] = Field(description="Other studies of the patient, newest first")


class ElementOut(Shape):
    """What a series says at a path."""

    path: str
    name: str
    tag: str
    vr: str | None
    values: list[Any]
    more: int = Field(description="Values that are not shown")
    low: float | None
    high: float | None
    folded: bool = Field(description="There are too many values; low and high are their range")
    instances: int | None


class InstanceHead(Shape):
    """An instance."""

    SOPInstanceUID: str | None
    SOPClassUID: str | None
    InstanceNumber: int | None
    TransferSyntaxUID: str | None
    Rows: int | None
    Columns: int | None
    NumberOfFrames: int | None
    size: int | None
    problems: int | None


class SeriesOut(Shape):
    """A series, what its elements say, and a page of its instances."""

    version: int
    row: dict[str, Any] = Field(description="The row of the table series, without nulls")
    elements: list[ElementOut]
    page: list[InstanceHead] = Field(description="Instances, by number")


class HeaderNode(Shape):
    """An element of a header."""

    tag: str
    path: str
    keyword: str
    name: str
    vr: str
    creator: str
    private: bool
    depth: int
    values: list[Any]
    bulk: str = Field(description="Where bulk data are that were left out")
    bytes: int | None
    items: list[list[HeaderNode]]


class HeaderOut(Shape):
    """A header: as DICOM JSON, and as a tree with names."""

    version: int
    SOPInstanceUID: str
    json_: dict[str, Any] = Field(alias="json", description="DICOM JSON (PS3.18 Annex F)")
    tree: list[HeaderNode]


class InsideOut(Shape):
    """What is inside of an object; rows as the tables have them, without nulls."""

    version: int
    series_id: int
    patient_key: str
    StudyInstanceUID: str | None
    SeriesInstanceUID: str | None
    Modality: str | None
    SOPClassUID: str | None
    uri: str | None
    items: list[dict[str, Any]] = Field(description="Content items, nested by `children`")
    segments: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    dose_events: list[dict[str, Any]]
    dose_totals: list[dict[str, Any]]


class WaveformOut(Shape):
    """Samples of one group of channels in physical units."""

    group: int
    label: str
    leads: list[str]
    units: list[str]
    SamplingFrequency: float = Field(description="Hz")
    offset: float = Field(description="ms from the acquisition time")
    samples: int = Field(description="Per channel, as recorded")
    points: int = Field(description="Per channel, as given")
    samples_per_point: float
    notes: list[str]
    channels: list[list[float | None]] = Field(description="null where nothing was measured")


class Measurement(Shape):
    """A number of a report or of the annotations of a waveform."""

    SOPInstanceUID: str
    SeriesInstanceUID: str | None
    Modality: str | None
    path: str
    code: str = Field(description="SCHEME:VALUE of what was measured")
    concept: str
    number: float
    unit: str = Field(description="UCUM; nothing for numbers without one")
    tracking: str
    site: str
    ecg: bool = Field(description="It is a measurement of an electrocardiogram")


class SegmentOut(Shape):
    """A segment or region."""

    SOPInstanceUID: str
    SeriesInstanceUID: str | None
    Modality: str | None
    number: int | None
    label: str
    type: str
    laterality: str
    algorithm_type: str
    algorithm_name: str
    frames: int | None
    contours: int | None
    volume: float | None = Field(description="mL")
    volume_problem: str


class FindingsOut(Shape):
    """What was measured and outlined in a study."""

    version: int
    measurements: list[Measurement]
    segments: list[SegmentOut]


class EvidenceOut(Shape):
    """What a statement follows from."""

    path: str | None = Field(description="Attribute path")
    text: str | None = Field(description="The words as sent")
    code: str | None = Field(description="SCHEME:VALUE that they mean")
    confidence: float | None
    rule: str | None = Field(description="The row of a table or the rule that says so")


class MadeOut(Shape):
    """Who said it."""

    enricher: str
    version: str | None
    model: str | None
    run_id: str | None
    made: str | None


class StatementOut(MadeOut):
    """What an enricher states of a series."""

    kind: str | None
    label: str | None
    structure: str | None = Field(description="SCHEME:VALUE")
    structure_meaning: str | None
    laterality: str | None = Field(description="SCHEME:VALUE")
    code: str | None = Field(description="SCHEME:VALUE, of equal codes always the same one")
    code_value: str | None = Field(description="As sent")
    code_scheme: str | None = Field(description="As sent")
    code_meaning: str | None = Field(description="As sent")
    name: str | None
    also: list[str] | None = Field(description="The same in other codes")
    confidence: float | None
    equivalence: str | None = Field(description="How well the code fits (ISO/TR 12300)")
    evidence: list[EvidenceOut] | None
    volume: float | None = Field(description="mL")
    intensity: float | None
    complete: bool | None = Field(description="false: cut off by the field of view")


class FaultOut(MadeOut):
    """A fault or disagreement that an enricher found."""

    rule: str | None
    severity: str | None
    path: str | None
    text: str | None
    value: str | None
    expected: str | None
    instances: int | None


class StatementsOut(Shape):
    """What enrichers state of a series, and what they find wrong with it."""

    version: int
    annotations: list[StatementOut] = Field(description="Surest first, by kind")
    findings: list[FaultOut] = Field(description="Worst first")


class Difference(Shape):
    """An element that differs."""

    place: str
    path: str
    name: str
    tag: str
    creator: str
    vr: str
    change: Literal["added", "removed", "changed"]
    a: list[Any] | None
    b: list[Any] | None


class Compared(Shape):
    """How the headers of two instances differ."""

    version: int
    a: str
    b: str
    same: int = Field(description="Elements at the top that are equal")
    differences: list[Difference]


class Common(Shape):
    """How common a value is."""

    version: int
    path: str
    value: str
    found: Totals
    has: Totals = Field(description="With any value at the path")
    whole: Totals = Field(description="Of the lake")
    share: float = Field(description="Series with the value, as a share of those with any")
    question: str = Field(description="The condition on the value, as text")


PATIENT: dict[str, Any] = {
    "patient_key": "1", "PatientID": "P1", "IssuerOfPatientID": None, "PatientName": "Doe^Jane",
    "PatientBirthDate": "1970-01-01", "PatientSex": "F", "studies": 2, "series": 5,
    "instances": 120,
}  # fmt: skip
_STUDY: dict[str, Any] = {
    "patient_key": "1", "StudyInstanceUID": "1.2.3", "StudyDate": "2024-01-31",
    "StudyTime": "120000",
    "StudyDescription": "Thorax", "AccessionNumber": "A1", "PatientAge": "054Y",
    "ReferringPhysicianName": None, "InstitutionName": "House", "modalities": ["CT", "SR"],
    "body_parts": ["CHEST"], "series": 2, "instances": 121,
}  # fmt: skip
_SERIES: dict[str, Any] = {
    **dict.fromkeys(SeriesHead.model_fields), "SeriesInstanceUID": "1.2.3.4", "SeriesNumber": 1,
    "Modality": "CT", "instances": 120, "complete": "all",
}  # fmt: skip
_REPORT: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3.5.1", "SeriesInstanceUID": "1.2.3.5", "title": "Imaging Report",
    "CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED",
    "lines": [{"depth": 1, "type": "TEXT", "concept": "Finding", "value": "Nothing new."}],
}  # fmt: skip
_ELEMENT: dict[str, Any] = {
    "path": "KVP", "name": "KVP", "tag": "(0018,0060)", "vr": "DS", "values": ["120"], "more": 0,
    "low": None, "high": None, "folded": False, "instances": 120,
}  # fmt: skip
_INSTANCE = {**dict.fromkeys(InstanceHead.model_fields), "SOPInstanceUID": "1.2.3.4.1"}
_NODE: dict[str, Any] = {
    "tag": "(0008,0060)", "path": "Modality", "keyword": "Modality", "name": "Modality",
    "vr": "CS", "creator": "", "private": False, "depth": 0, "values": ["CT"], "bulk": "",
    "bytes": None, "items": [],
}  # fmt: skip
_JSON = {"00080060": {"vr": "CS", "Value": ["CT"]}}
_INSIDE: dict[str, Any] = {
    "version": 7, "series_id": 3, "patient_key": "1", "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.5", "Modality": "SR", "SOPClassUID": "1.2.840.10008.5.1.4",
    "uri": "file:///data/1.dcm", "items": [{"item": 1, "value_type": "CONTAINER", "children": []}],
    "segments": [], "channels": [], "dose_events": [], "dose_totals": [],
}  # fmt: skip
_WAVE: dict[str, Any] = {
    "group": 1, "label": "RHYTHM", "leads": ["I"], "units": ["uV"], "SamplingFrequency": 500.0,
    "offset": 0.0, "samples": 5000, "points": 2, "samples_per_point": 2500.0, "notes": [],
    "channels": [[-20.0, 830.0]],
}  # fmt: skip
_MEASUREMENT: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3.5.1", "SeriesInstanceUID": "1.2.3.5", "Modality": "ECG",
    "path": "[DICOM:WaveformAnnotationSequence].[MDC:2:16160]", "code": "MDC:2:16160",
    "concept": "QT interval", "number": 372.0, "unit": "ms", "tracking": "", "site": "",
    "ecg": True,
}  # fmt: skip
_SEGMENT: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3.6.1", "SeriesInstanceUID": "1.2.3.6", "Modality": "SEG", "number": 1,
    "label": "LV", "type": "Left ventricle", "laterality": "", "algorithm_type": "AUTOMATIC",
    "algorithm_name": "net", "frames": 12, "contours": None, "volume": 141.5, "volume_problem": "",
}  # fmt: skip
_MADE = {
    "enricher": "codes", "version": "1", "model": "tables 1, digest 3f8a", "run_id": "20240131-1",
    "made": "2024-01-31T12:00:00+00:00",
}  # fmt: skip
_STATED: dict[str, Any] = {
    **dict.fromkeys(StatementOut.model_fields), **_MADE, "kind": "body part", "label": "Knie",
    "structure": "SCT:72696002", "structure_meaning": "Knee", "laterality": "SCT:7771000",
    "name": "Left knee", "confidence": 0.99, "equivalence": "equivalent",
    "evidence": [{"path": "SeriesDescription", "text": "Knie", "code": "SCT:72696002",
                  "confidence": 0.93, "rule": "words.csv 1: word knie (de)"}],
}  # fmt: skip
_FAULT: dict[str, Any] = {
    **_MADE, "rule": "body part disagrees", "severity": "warning", "path": "BodyPartExamined",
    "text": "SeriesDescription says Knee, BodyPartExamined says Skull.", "value": "SKULL",
    "expected": "Knee (SCT:72696002)", "instances": None,
}  # fmt: skip
_DIFFERENCE: dict[str, Any] = {
    "place": "(0018,0060)", "path": "KVP", "name": "KVP", "tag": "(0018,0060)", "creator": "",
    "vr": "DS", "change": "changed", "a": [120], "b": [80],
}  # fmt: skip
_TOTALS = {"patients": 2, "studies": 4, "series": 9, "instances": 120}


async def told(
    http: Request, desk: Desk, version: int | None, find: Callable[[Lake, Running], dict[str, Any]]
) -> Response:
    """What is found in a version, or 404."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        try:
            found = find(lake, run)
        except LakeError:
            raise
        except UsageError as error:
            raise Failed(404, str(error)) from error
        return as_json(plain({"version": lake.version, **found}))

    return await answered(http, desk.board, work)


@router.get(
    "/api/patients/{patient_key}",
    dependencies=[needs(May.READ)],
    summary="Show a patient",
    response_model=PatientOut,
    responses={
        **shown({"version": 7, **PATIENT, "all_studies": [_STUDY]}),
        **documented(404, 422, 503),
    },
)
async def patient(
    http: Request,
    patient_key: Annotated[int, Path(ge=-(1 << 63), lt=1 << 63)],
    desk: TheDesk,
    version: Version = None,
) -> Response:
    """A patient with all studies, newest first."""
    return await told(
        http, desk, version, lambda lake, run: browsing.patient(lake.engine, patient_key, run)
    )


@router.get(
    "/api/studies/{StudyInstanceUID}",
    dependencies=[needs(May.READ)],
    summary="Show a study",
    response_model=StudyOut,
    responses={
        **shown(
            {
                "version": 7,
                **_STUDY,
                "patient": PATIENT,
                "all_series": [_SERIES],
                "reports": [_REPORT],
                "others": [{**_STUDY, "days": -31}],
            }
        ),
        **documented(404, 422, 503),
    },
)
async def study(
    http: Request, StudyInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """A study with its series and reports, and the patient's other studies."""
    return await told(
        http, desk, version, lambda lake, run: browsing.study(lake.engine, StudyInstanceUID, run)
    )


@router.get(
    "/api/studies/{StudyInstanceUID}/findings",
    dependencies=[needs(May.READ)],
    summary="Show what was measured and outlined in a study",
    response_model=FindingsOut,
    responses={
        **shown({"version": 7, "measurements": [_MEASUREMENT], "segments": [_SEGMENT]}),
        **documented(404, 422, 503),
    },
)
async def findings_of(
    http: Request, StudyInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Numbers of reports and waveforms, and segments with their volumes, of all series."""
    return await told(
        http, desk, version, lambda lake, run: findings(lake.engine, StudyInstanceUID, run)
    )


@router.get(
    "/api/series/{SeriesInstanceUID}",
    dependencies=[needs(May.READ)],
    summary="Show a series",
    response_model=SeriesOut,
    responses={
        **shown(
            {"version": 7, "row": {"Modality": "CT"}, "elements": [_ELEMENT], "page": [_INSTANCE]}
        ),
        **documented(404, 422, 503),
    },
)
async def series(
    http: Request,
    SeriesInstanceUID: Uid,
    desk: TheDesk,
    limit: Limit = 100,
    offset: Offset = 0,
    version: Version = None,
) -> Response:
    """The row of a series, what its elements say, and a page of its instances."""
    return await told(
        http,
        desk,
        version,
        lambda lake, run: browsing.series(lake.engine, SeriesInstanceUID, limit, offset, run),
    )


@router.get(
    "/api/series/{SeriesInstanceUID}/statements",
    dependencies=[needs(May.READ)],
    summary="Show what enrichers state of a series",
    response_model=StatementsOut,
    responses={
        **shown({"version": 7, "annotations": [_STATED], "findings": [_FAULT]}),
        **documented(404, 422, 503),
    },
)
async def statements_of(
    http: Request, SeriesInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Body part, type, structures, codes and faults, each with evidence and with who said it."""

    def find(lake: Lake, run: Running) -> dict[str, Any]:
        said = statements.stated(lake.engine, SeriesInstanceUID, run).to_pylist()
        wrong = statements.faults(lake.engine, SeriesInstanceUID, run).to_pylist()
        return {
            "annotations": [{n: row[n] for n in StatementOut.model_fields} for row in said],
            "findings": [{n: row[n] for n in FaultOut.model_fields} for row in wrong],
        }

    return await told(http, desk, version, find)


@router.get(
    "/api/instances/{SOPInstanceUID}/header",
    dependencies=[needs(May.READ)],
    summary="Show the header of an instance",
    response_model=HeaderOut,
    responses={
        **shown({"version": 7, "SOPInstanceUID": "1.2.3.4.1", "json": _JSON, "tree": [_NODE]}),
        **documented(404, 422, 503),
    },
)
async def header(
    http: Request, SOPInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Everything that an object says of itself, as DICOM JSON and as a tree with names."""

    def find(lake: Lake, run: Running) -> dict[str, Any]:
        found = browsing.header(lake.engine, SOPInstanceUID, run)
        return {"SOPInstanceUID": SOPInstanceUID, "json": found, "tree": browsing.tree(found)}

    return await told(http, desk, version, find)


@router.get(
    "/api/instances/{SOPInstanceUID}/inside",
    dependencies=[needs(May.READ)],
    summary="Show what is inside of an instance",
    response_model=InsideOut,
    responses={**shown(_INSIDE), **documented(404, 422, 503)},
)
async def inside(
    http: Request, SOPInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Content items as a tree, segments, channels and doses."""
    return await told(
        http, desk, version, lambda lake, run: browsing.inside(lake.engine, SOPInstanceUID, run)
    )


@router.get(
    "/api/instances/{SOPInstanceUID}/waveform",
    dependencies=[needs(May.READ)],
    summary="Give the samples of a waveform",
    response_model=WaveformOut,
    responses={
        200: {
            "description": "Samples in physical units; as float32, little endian, channel after "
            "channel, with their shape in X-Channels and X-Points",
            "content": {
                "application/json": {"example": _WAVE},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **documented(404, 422, 503),
    },
)
async def waveform(
    http: Request,
    SOPInstanceUID: Uid,
    desk: TheDesk,
    group: Annotated[int, Query(ge=1, le=10_000, description="Group of channels, from 1")] = 1,
    width: Annotated[
        int,
        Query(
            ge=0,
            le=20_000,
            description="Pixels: the lowest and the highest sample of each; 0: all samples",
        ),
    ] = 0,
    format: Annotated[Literal["json", "float32"], Query()] = "json",
    version: Version = None,
) -> Response:
    """Samples of one group of channels, thinned out without losing peaks when asked."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        browsing.instance(lake.engine, SOPInstanceUID, run)
        about, samples = drawn(lake.waveform(SOPInstanceUID, group), width)
        if format == "json":
            return as_json({**about, "channels": [plain(c) for c in samples.tolist()]})
        headers = {
            "X-Channels": str(samples.shape[0]),
            "X-Points": str(samples.shape[1]),
            "X-Samples-Per-Point": f"{about['samples_per_point']:g}",
        }
        body = samples.astype("<f4").tobytes()
        return Response(body, headers=headers, media_type="application/octet-stream")

    try:
        return await answered(http, desk.board, work)
    except LakeError:
        raise
    except UsageError as error:
        raise Failed(404, str(error)) from error


@router.get(
    "/api/compare",
    dependencies=[needs(May.READ)],
    summary="Compare the headers of two instances",
    response_model=Compared,
    responses={
        **shown({"version": 7, "a": "1.2.3", "b": "1.2.4", "same": 61,
                 "differences": [_DIFFERENCE]}),
        **documented(404, 422, 503),
    },
)  # fmt: skip
async def compare(
    http: Request,
    a: Annotated[str, Query(min_length=1, max_length=128, description="SOPInstanceUID")],
    b: Annotated[str, Query(min_length=1, max_length=128, description="SOPInstanceUID")],
    desk: TheDesk,
    version: Version = None,
) -> Response:
    """Elements that one of them lacks, or that have other values."""

    def find(lake: Lake, run: Running) -> dict[str, Any]:
        first, second = (browsing.header(lake.engine, uid, run) for uid in (a, b))
        same = sum(1 for tag, element in first.items() if second.get(tag) == element)
        return {"a": a, "b": b, "same": same, "differences": browsing.compared(first, second)}

    return await told(http, desk, version, find)


@router.get(
    "/api/common",
    dependencies=[needs(May.COUNT)],
    summary="Say how common a value is",
    response_model=Common,
    responses={
        **shown({"version": 7, "path": "KVP", "value": "80", "found": _TOTALS, "has": _TOTALS,
                 "whole": _TOTALS, "share": 1.0, "question": "KVP = 80"}),
        **documented(422, 503),
    },
)  # fmt: skip
async def common(
    http: Request,
    path: PathOf,
    value: Annotated[str, Query(max_length=10_000, description="As questions write it")],
    desk: TheDesk,
    version: Version = None,
) -> Response:
    """How many patients, studies, series and instances have a value at a path."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        exact, some = condition_of(path, value)
        found, has, whole = (lake.engine.count(node, "series", run) for node in (exact, some, None))
        share = found["series"] / has["series"] if has["series"] else 0.0
        return as_json(
            {
                "version": lake.version,
                "path": path,
                "value": value,
                "found": found,
                "has": has,
                "whole": whole,
                "share": round(share, 6),
                "question": render(Question(exact)),
            }
        )

    return await answered(http, desk.board, work)
