"""The imaging module of the German Medical Informatics Initiative (R4): profiles and extensions.

"Modul Bildgebung" 2027.0.0-ballot. Its quantities have fixed units, systems and codes; its codes of
Image Type have one value set per position.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dicomlake.fhir.model import Json, Measurement
from dicomlake.fhir.sites import Site
from dicomlake.fhir.values import SCT, concept, line, quantity

BASE = "https://www.medizininformatik-initiative.de/fhir/ext/modul-bildgebung"
"""Base of its canonical addresses."""

Row = Mapping[str, Any]

_NAMES = {
    "mGy": "milligray", "kV": "kilovolt", "ms": "milliseconds", "mA.s": "milliampere second",
    "mA": "milliampere", "T": "tesla", "deg": "plane angle degree", "mm": "millimeter",
    "Bq": "Becquerel", "MBq": "Megabecquerel", "s": "Seconds", "kHz": "kilohertz", "Hz": "hertz",
}  # fmt: skip
_XRAY = {
    "KVP": ("KVP", "kV"), "exposureTime": ("ExposureTime", "ms"),
    "exposure": ("Exposure", "mA.s"), "xRayTubeCurrent": ("XRayTubeCurrent", "mA"),
}  # fmt: skip
_MR = {
    "magneticFieldStrength": ("MagneticFieldStrength", "T"), "echoTime": ("EchoTime", "ms"),
    "repetitionTime": ("RepetitionTime", "ms"), "inversionTime": ("InversionTime", "ms"),
    "flipAngle": ("FlipAngle", "deg"),
}  # fmt: skip
_SEQUENCES = {
    "SE": "Spin Echo", "IR": "Inversion Recovery", "GR": "Gradient Recalled", "EP": "Echo Planar",
    "RM": "Research Mode",
}  # fmt: skip
_VARIANTS = {
    "SK": "segmented k-space", "MTC": "magnetization transfer contrast", "SS": "steady state",
    "TRSS": "time reversed steady state", "SP": "spoiled", "MP": "MAG prepared",
    "OSP": "oversampling phase", "NONE": "no sequence variant",
}  # fmt: skip
# View Position: values that mean the same in PS3.3 C.8.11.5 and PS3.16 CID 4010 and 4014.
_VIEWS = {
    "AP": ("399348003", "antero-posterior"), "PA": ("272479007", "postero-anterior"),
    "LL": ("399173006", "left lateral"), "RL": ("399198007", "right lateral"),
    "CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique"),
    "ML": ("399260004", "medial-lateral"), "LM": ("399352003", "latero-medial"),
    "LMO": ("399099002", "latero-medial oblique"), "FB": ("399196006", "caudo-cranial"),
}  # fmt: skip
# Image Type, one set of codes per position; the third one by modality.
_PIXELS = {"ORIGINAL": "identifies an original image", "DERIVED": "identifies an derived image"}
_EXAMINATION = {
    "PRIMARY": "identifies a primary image", "SECONDARY": "identifies a secondary image",
}  # fmt: skip
_SPECIFIC = {
    "CT": {"AXIAL": "a CT Cross-sectional Image", "LOCALIZER": "a CT Localizer Image"},
    "MR": {
        "DENSITYMAP": "Density Map", "DIFFUSIONMAP": "Diffusion Map",
        "IMAGEADDITION": "Image Addition", "MODULUSSUBTRACT": "Modulus Substract", "MPR": "MPR",
        "OTHER": "Other", "PHASEMAP": "Phase Map", "PHASESUBTRACT": "Phase Substract",
        "PROJECTIONIMAGE": "Projection Image", "T1MAP": "T1 Map", "T2MAP": "T2 Map",
        "VELOCITYMAP": "Velocity Map",
    },
    "NM": {
        "STATIC": "Static", "DYNAMIC": "Dynamic", "GATED": "Gated", "WHOLEBODY": "Whole Body",
        "TOMO": "Tomo", "GATEDTOMO": "Gated Tomo", "RECONTOMO": "Recon Tomo",
        "RECONGATEDTOMO": "Recon Gated Tomo",
    },
}  # fmt: skip
_EMISSION = {"EMISSION": "Emission", "TRANSMISSION": "Transmission"}


def profiles(site: Site, *names: str) -> list[str]:
    """The addresses of profiles, where the site wants them."""
    if site.profile != "mii":
        return []
    return [f"{BASE}/StructureDefinition/mii-pr-bildgebung-{name}" for name in names]


def kind_of(made: Measurement) -> tuple[str, ...]:
    """Names of the profiles that a measurement fits: codes of SNOMED CT must be findings there."""
    codings = made.code.get("coding") or ()
    valued = made.quantity is not None or made.concept is not None
    if made.category == "vital-signs" or not codings or not valued:
        return ()
    if any(coding["system"] == SCT for coding in codings):
        return ()
    for said in (made.concept, made.site):
        if said is not None and not said.get("coding"):
            return ()
    measured = made.quantity is not None and not made.components
    if made.method is not None and not made.method.get("coding"):
        measured = False
    return ("radiologische-messung" if measured else "radiologische-beobachtung",)


def observed(made: Measurement) -> list[Json]:
    """Extensions of an Observation: the series and the object that it is from."""
    said = (("series-uid", made.series), ("sop-instanz-uid", made.object))
    return [{"url": _url(name), "valueId": value} for name, value in said if value]


def _url(name: str) -> str:
    return f"{BASE}/StructureDefinition/mii-ex-bildgebung-{name}"


def reason(text: str) -> Json:
    """Why a study was made."""
    return {"url": _url("bildgebungsgrund"), "valueString": text}


def body_measure(what: str, observation: str) -> Json:
    """The height ("groesse") or weight ("gewicht") of a study, an Observation of its own."""
    return {"url": _url(what), "valueReference": {"reference": f"Observation/{observation}"}}


def of_series(row: Row, elements: Mapping[str, Any]) -> list[Json]:
    """Extensions of a series. What varies between its instances is left out."""
    varying = set(row["varying"] or ())
    modality = row["Modality"]
    made: list[Json] = []
    if parts := _of_modality(modality, row, varying, elements):
        made.append({"extension": parts, "url": _url(_EXTENSIONS[modality])})
    if line(row["ContrastBolusAgent"]):
        told = [{"url": "contrastBolus", "valueBoolean": True}]
        made.append({"extension": told, "url": _url("kontrastmittel")})
    thickness = None if "SliceThickness" in varying else row["SliceThickness"]
    if thickness and (said := _named(thickness, "mm")):
        made.append({"url": _url("serie-schichtdicke"), "valueQuantity": said})
    return made


_EXTENSIONS = {
    "CT": "modalitaet-ct", "MR": "modalitaet-mr", "MG": "modalitaet-mg-cr-dx",
    "CR": "modalitaet-mg-cr-dx", "DX": "modalitaet-mg-cr-dx", "PT": "modalitaet-pt",
    "NM": "modalitaet-nm", "US": "modalitaet-us",
}  # fmt: skip


def _of_modality(
    modality: str | None, row: Row, varying: set[str], elements: Mapping[str, Any]
) -> list[Json]:
    if modality == "CT":
        parts = _quantities({"CTDIvol": ("CTDIvol", "mGy"), **_XRAY}, row, varying)
        kernel = [line(one) for one in row["ConvolutionKernel"] or () if line(one)]
        if kernel and "ConvolutionKernel" not in varying:
            parts.append({"url": "convolutionalKernel", "valueString": "\\".join(map(str, kernel))})
        return parts
    if modality == "MR":
        sequences = _coded("scanningSequence", row["ScanningSequence"], _SEQUENCES)
        variants = _coded("scanningSequenceVariant", row["SequenceVariant"], _VARIANTS)
        return [*_quantities(_MR, row, varying), *sequences, *variants]
    if modality in ("MG", "CR", "DX"):
        return [*_quantities(_XRAY, row, varying), *_view(row, varying)]
    if modality in ("PT", "NM"):
        return _nuclear(modality, row, elements)
    return []


def _quantities(wanted: Mapping[str, tuple[str, str]], row: Row, varying: set[str]) -> list[Json]:
    made = []
    for url, (keyword, unit) in wanted.items():
        value = row[keyword]
        if value and keyword not in varying and (said := _named(value, unit)):
            made.append({"url": url, "valueQuantity": said})
    return made


def _named(value: float, unit: str) -> Json | None:
    return quantity(value, unit, _NAMES[unit])


_SYSTEMS = {
    "scanningSequence": "scanning-sequence",
    "scanningSequenceVariant": "scanning-sequence-variant",
}


def _coded(url: str, values: list[str] | None, known: Mapping[str, str]) -> list[Json]:
    system = f"{BASE}/CodeSystem/mii-cs-bildgebung-{_SYSTEMS[url]}"
    codes = dict.fromkeys(line(value) for value in values or ())
    return [
        {
            "url": url,
            "valueCodeableConcept": {
                "coding": [{"system": system, "code": code, "display": known[code]}]
            },
        }
        for code in codes
        if code is not None and code in known
    ]


def _view(row: Row, varying: set[str]) -> list[Json]:
    found = _VIEWS.get(row["ViewPosition"] or "")
    if found is None or "ViewPosition" in varying:
        return []
    code = {"system": SCT, "code": found[0], "display": found[1]}
    return [{"url": "viewPosition", "valueCodeableConcept": {"coding": [code]}}]


def _nuclear(modality: str, row: Row, elements: Mapping[str, Any]) -> list[Json]:
    """PT and NM: total dose is sent in Bq by PT and in MBq by NM (PS3.3 C.8.9.2, C.8.4.10)."""
    about = "RadiopharmaceuticalInformationSequence"
    made: list[Json] = []
    for url, sequence, text in (
        ("radiopharmaceutical", "RadiopharmaceuticalCodeSequence", "Radiopharmaceutical"),
        ("radionuclide", "RadionuclideCodeSequence", ""),
    ):
        if said := _substance(elements, f"{about}.{sequence}", f"{about}.{text}"):
            made.append({"url": url, "valueCodeableConcept": said})
    unit = "Bq" if modality == "PT" else "MBq"
    for url, keyword, measured in (
        ("radionuclideTotalDose", "RadionuclideTotalDose", unit),
        ("radionuclideHalfLife", "RadionuclideHalfLife", "s"),
    ):
        rows = elements.get(f"{about}.{keyword}") or []
        value = rows[0]["number"] if len(rows) == 1 else None
        if value and value > 0 and (said := _named(value, measured)):
            made.append({"url": url, "valueQuantity": said})
    if units := line(row["Units"]):
        made.append({"url": "units", "valueCodeableConcept": {"text": units}})
    return made


def _substance(elements: Mapping[str, Any], sequence: str, text: str) -> Json | None:
    for row in elements.get(sequence) or ():
        if said := concept(row["code_value"], row["code_scheme"], row["code_meaning"]):
            return said
    for row in elements.get(text) or ():
        if words := line(row["text"]):
            return {"text": words}
    return None


def of_instance(modality: str, header: Mapping[str, Any]) -> tuple[Json, ...]:
    """Extensions of an instance; `header`: DICOM JSON values by keyword."""
    spacing = tuple(header.get("PixelSpacing") or [])
    thickness = tuple(header.get("SliceThickness") or [])
    types = tuple(map(str, header.get("ImageType") or []))
    burned = tuple(header.get("BurnedInAnnotation") or [])
    return _details(modality, spacing, thickness, types, burned[0] if burned else None)


@lru_cache(maxsize=4096)
def _details(
    modality: str,
    spacing: tuple[float | None, ...],
    thickness: tuple[float | None, ...],
    types: tuple[str, ...],
    burned: str | None,
) -> tuple[Json, ...]:
    """Extensions of instances that have these values: most of a series share them."""
    parts: list[Json] = []
    measures = []
    if len(spacing) == 2:  # PixelSpacing is the distance of rows (y), then that of columns (x)
        measures = [("pixelSpacingX", spacing[1]), ("pixelSpacingY", spacing[0])]
    measures += [("sliceThickness", value) for value in thickness[:1]]
    for url, value in measures:
        if value and (said := _named(value, "mm")):
            parts.append({"url": url, "valueQuantity": said})
    parts += image_type(modality, types)
    if burned in ("YES", "NO"):
        parts.append({"url": "burnedInAnnotation", "valueBoolean": burned == "YES"})
    return ({"extension": parts, "url": _url("instanz-details")},) if parts else ()


def image_type(modality: str, values: Any) -> list[Json]:
    """Values of Image Type that have a code, each in the set of its position.

    >>> [one["valueCodeableConcept"]["coding"][0]["code"]
    ...  for one in image_type("CT", ["DERIVED", "PRIMARY", "LOCALIZER", "AXIAL"])]
    ['DERIVED', 'PRIMARY', 'LOCALIZER']
    """
    places = [_PIXELS, _EXAMINATION, _SPECIFIC.get(modality, {})]
    if modality == "NM":
        places.append(_EMISSION)
    system = f"{BASE}/CodeSystem/mii-cs-bildgebung-instance-image-type"
    made = []
    for known, value in zip(places, values, strict=False):
        if value in known:
            code = {"system": system, "code": value, "display": known[value]}
            made.append({"url": "imageType", "valueCodeableConcept": {"coding": [code]}})
    return made
