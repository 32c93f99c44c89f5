"""Write src/dicomlake/fhir/definitions/profiles.json: what profiles ask for, in short.

    python fhir/profiles.py

MII "Modul Bildgebung" 2027.0.0-ballot (CC-BY-4.0, Medizininformatik-Initiative) and the profiles of
the IMPETUS CT indexer (0.1.0) are written down here as far as resources of dicomlake may fit them;
ours come from FHIR Shorthand, `r4/input/fsh` and `r5/input/fsh`, which SUSHI compiles:

    cd fhir/r4 && npx sushi build .

with hl7.fhir.r4.core#4.0.1 and hl7.fhir.r5.core#5.0.0 in $HOME/.fhir/packages.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from dicomlake.fhir import impetus, mii  # noqa: E402
from dicomlake.fhir.values import DCM, MODALITIES, SCT, UCUM  # noqa: E402

OUT = HERE.parent / "src/dicomlake/fhir/definitions/profiles.json"
Json = dict[str, Any]
_SIDES = ["51440002", "24028007", "7771000", "66459002"]


def rule(path: str, **more: Any) -> Json:
    return {"path": path, **more}


def mii_profile(name: str, type_: str, *rules: Json) -> Json:
    return {
        "release": "R4",
        "url": f"{mii.BASE}/StructureDefinition/mii-pr-bildgebung-{name}",
        "name": f"mii-pr-bildgebung-{name}",
        "type": type_,
        "rules": list(rules),
    }


def quantity(code: str, **more: Any) -> Json:
    unit = {"unit": mii._NAMES[code], "system": UCUM, "code": code}
    return {"type": "Quantity", "max": "1", "pattern": unit, **more}


def coded(system: str, codes: Any, **more: Any) -> Json:
    full = f"{mii.BASE}/CodeSystem/mii-cs-bildgebung-{system}"
    return {"type": "CodeableConcept", "system": full, "codes": sorted(codes), **more}


def extension(name: str, context: str, *, value: Json | None = None, **parts: Json) -> Json:
    made: Json = {
        "release": "R4",
        "url": f"{mii.BASE}/StructureDefinition/mii-ex-bildgebung-{name}",
        "name": f"mii-ex-bildgebung-{name}",
        "type": "Extension",
        "context": [context],
    }
    return {**made, "value": value} if value else {**made, "parts": parts}


def mii_profiles() -> list[Json]:
    series, study = "ImagingStudy.series", "ImagingStudy"
    xray = {
        "KVP": quantity("kV"), "exposureTime": quantity("ms"), "exposure": quantity("mA.s"),
        "xRayTubeCurrent": quantity("mA"),
    }  # fmt: skip
    text = {"type": "CodeableConcept", "max": "1"}
    image = f"{mii.BASE}/CodeSystem/mii-cs-bildgebung-instance-image-type"
    types = [mii._PIXELS, mii._EXAMINATION, *mii._SPECIFIC.values(), mii._EMISSION]

    def nuclear(dose: str, **more: Json) -> dict[str, Json]:
        return {
            "radiopharmaceutical": text, "radionuclide": text, "units": text,
            "tracerExposureTime": quantity("s"), "radionuclideTotalDose": quantity(dose),
            "radionuclideHalfLife": quantity("s"), **more,
        }  # fmt: skip

    return [
        mii_profile(
            "bildgebungsstudie", "ImagingStudy",
            rule("modality", system=DCM, codes=sorted(MODALITIES)),
            rule("series.modality", system=DCM, codes=sorted(MODALITIES)),
            rule("series.bodySite", system=SCT),
            rule("series.laterality", system=SCT, codes=_SIDES),
        ),
        mii_profile("geraet", "Device"),
        mii_profile(
            "koerperstruktur", "BodyStructure", rule("location", system=SCT),
            rule("locationQualifier", system=SCT, codes=_SIDES),
        ),
        mii_profile(
            "radiologische-beobachtung", "Observation",
            rule("category.coding", min=1), rule("category.coding.system", min=1),
            rule("category.coding.code", min=1), rule("code.coding", min=1),
            rule("code.coding.system", min=1), rule("code.coding.code", min=1),
            rule("code", without=SCT), rule("subject", min=1),
            rule("partOf", targets=["Procedure"]), rule("value[x]", min=1),
            rule("valueQuantity.unit", min=1), rule("valueQuantity.system", min=1),
            rule("valueQuantity.code", min=1), rule("valueCodeableConcept.coding.system", min=1),
            rule("valueCodeableConcept.coding.code", min=1),
        ),
        mii_profile(
            "radiologische-messung", "Observation",
            rule("category.coding", min=1), rule("code.coding", min=1), rule("code", without=SCT),
            rule("code.coding.system", min=1), rule("subject", min=1),
            rule("partOf", targets=["Procedure"]),
            rule("value[x]", min=1, types=["Quantity"]),
            rule("valueQuantity.system", min=1, pattern=UCUM), rule("valueQuantity.code", min=1),
            rule("valueQuantity.unit", min=1), rule("method.coding", min=1),
            rule("component.code.coding.system", pattern=SCT),
        ),
        mii_profile(
            "radiologischer-befund", "DiagnosticReport",
            rule("category", min=1),
            rule("category.coding", min=1, max="1", match={"system": SCT, "code": "4201000179104"}),
            rule("category.coding.system", min=1), rule("code.coding", min=1),
            rule("code.coding.system", min=1), rule("code.coding.code", min=1),
            rule("subject", min=1), rule("imagingStudy", min=1),
        ),
        extension("bildgebungsgrund", study, value={"type": "string"}),
        extension("gewicht", study, value={"type": "Reference"}),
        extension("groesse", study, value={"type": "Reference"}),
        extension("series-uid", "Observation", value={"type": "id"}),
        extension("sop-instanz-uid", "Observation", value={"type": "id"}),
        extension("serie-schichtdicke", series, value=quantity("mm")),
        extension("kontrastmittel", series,
                  contrastBolus={"type": "boolean", "min": 1, "max": "1"},
                  contrastBolusDetails={"type": "Reference"}),
        extension("modalitaet-ct", series, CTDIvol=quantity("mGy"), **xray,
                  convolutionalKernel={"type": "string", "max": "1"}),
        extension("modalitaet-mg-cr-dx", series, **xray, viewPosition=text),
        extension(
            "modalitaet-mr", series,
            magneticFieldStrength=quantity("T"), echoTime=quantity("ms"),
            repetitionTime=quantity("ms"), inversionTime=quantity("ms"), flipAngle=quantity("deg"),
            scanningSequence=coded("scanning-sequence", mii._SEQUENCES),
            scanningSequenceVariant=coded("scanning-sequence-variant", mii._VARIANTS),
        ),
        extension("modalitaet-pt", series,
                  **nuclear("Bq", seriesType={"type": "CodeableConcept"})),
        extension("modalitaet-nm", series, **nuclear("MBq")),
        extension(
            "instanz-details", "ImagingStudy.series.instance",
            pixelSpacingX=quantity("mm"), pixelSpacingY=quantity("mm"),
            sliceThickness=quantity("mm"), burnedInAnnotation={"type": "boolean", "max": "1"},
            imageType={"type": "CodeableConcept",
                       "sets": [{"system": image, "codes": sorted(one)} for one in types]},
        ),
    ]  # fmt: skip


def impetus_profiles() -> list[Json]:
    def profile(name: str, type_: str, *rules: Json) -> Json:
        return {
            "release": "R5",
            "url": f"{impetus.BASE}/StructureDefinition/ImpetusCTIndexer{name}",
            "name": f"ImpetusCTIndexer{name}",
            "type": type_,
            "rules": list(rules),
        }

    ct = {"coding": [{"system": DCM, "code": "CT", "display": "Computed Tomography"}]}
    return [
        profile("Patient", "Patient", rule("name", max="0")),
        profile("ImagingStudy", "ImagingStudy", rule("series.started", min=1),
                rule("series.modality", pattern=ct)),
        profile("BodyStructure", "BodyStructure",
                rule("includedStructure.structure", system=SCT, codes=sorted(impetus.STRUCTURES))),
        profile("Device", "Device"),
        profile("Provenance", "Provenance", rule("recorded", min=1)),
    ]  # fmt: skip


def own_profiles() -> list[Json]:
    """Ours, of the differentials that SUSHI makes."""
    made = []
    for told in compiled():
        if told["resourceType"] != "StructureDefinition":
            continue
        rules = [_own(one) for one in told["differential"]["element"] if "." in one["path"]]
        release = {"4": "R4", "5": "R5"}[told["fhirVersion"][0]]
        made.append({"release": release, "url": told["url"], "name": told["name"],
                     "type": told["type"], "rules": rules})  # fmt: skip
    return made


def compiled() -> list[Json]:
    """What SUSHI made of `r4` and `r5`."""
    paths = sorted(HERE.glob("r*/fsh-generated/resources/*.json"))
    return [json.loads(path.read_text()) for path in paths]


def _own(one: Json) -> Json:
    made = rule(one["path"].partition(".")[2])
    made |= {key: one[key] for key in ("min", "max") if key in one}
    for key, value in one.items():
        if key.startswith(("fixed", "pattern")):
            made["pattern"] = value
    types = [type_["code"] for type_ in one.get("type", ())]
    return {**made, "types": types} if types and made["path"].endswith("[x]") else made


def main() -> None:
    found = [*mii_profiles(), *impetus_profiles(), *own_profiles()]
    about = "MII Modul Bildgebung 2027.0.0-ballot (CC-BY-4.0), IMPETUS CT indexer 0.1.0, dicomlake"
    told = {"source": about, "profiles": found}
    out = Path(sys.argv[1]) / OUT.name if len(sys.argv) > 1 else OUT
    ours = out.with_name("dicomlake.json")
    ours.write_text(json.dumps(compiled(), separators=(",", ":"), sort_keys=True) + "\n")
    out.write_text(json.dumps(told, separators=(",", ":"), sort_keys=True) + "\n")
    sys.stdout.write(f"{out}: {len(found)} definitions\n")


if __name__ == "__main__":
    main()
