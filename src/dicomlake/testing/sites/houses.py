"""The eight sites: what their ECGs are written in, how their CTs are called, who labels how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """How a CT is called: study, series, and Body Part Examined, which may be wrong or missing."""

    study: str
    series: str
    body_part: str | None


@dataclass(frozen=True, slots=True)
class Site:
    """A site and its habits.

    `ecg` are formats of testing/ecgfiles, several where patients came from several wards. `heart`
    and `other` are the words of CTs that show the heart and of those that do not. `labels` is who
    tells of pacemakers, valves and fibrillation, see `labels`. `number` makes a PatientID.
    """

    name: str
    language: str
    ecg: tuple[str, ...]
    heart: tuple[Words, ...]
    other: tuple[Words, ...]
    labels: str
    number: str


SITES: tuple[Site, ...] = (
    Site(
        "ADLER", "de", ("dicom",),
        (Words("CT Herz nativ", "Ca-Score 3.0", "CHEST"),
         Words("Angio Koronarien", "CTA Herz 0.6", "HEART")),
        (Words("CT Schädel nativ", "KOPF 4mm", "HEART"), Words("CT Thorax", "LUNGE 1mm", "CHEST")),
        "csv", "{:07d}",
    ),
    Site(
        "BIRKE", "de", ("scp",),
        (Words("KSN3 Protokoll 7", "Serie 3", "ABDOMEN"),),
        (Words("KSN1 Protokoll 2", "Serie 2", "ABDOMEN"),),
        "xlsx", "B-{:05d}",
    ),
    Site(
        "CEDRE", "fr", ("aecg",),
        (Words("Coroscanner", "TDM COEUR IV+", "THORAX"),),
        (Words("TDM crâne", "CRANE SANS IV", None),),
        "sr", "C{:06d}",
    ),
    Site(
        "DOVE", "en", ("muse",),
        (Words("CCTA", "BestDiast 75%", "HEAD"), Words("Cardiac CT", "CORONARY", "CHEST")),
        (Words("CT head", "BRAIN W/O", "BRAIN"), Words("CT abdomen", "PV 5mm", "HEART")),
        "fhir", "MRN{:05d}",
    ),
    Site(
        "EICHE", "de", ("sierra",),
        (Words("CT Koronarien", "BestSyst 40%", None),),
        (Words("CT Schädel", "Knochen", None),),
        "codes", "{:08d}",
    ),
    Site(
        "FJORD", "en", ("dicom", "scp"),
        (Words("Coronary CT angiogram", "CARDIAC 0.75", "HEART"),),
        (Words("CT chest", "LUNG", "HEART"),),
        "omop", "F{:05d}",
    ),
    Site(
        "GARZA", "es", ("muse", "aecg"),
        (Words("TC coronarias", "ANGIO 0.6", "ABDOMEN"), Words("TC cardíaco", "CORAZON", None)),
        (Words("TC craneal", "CRANEO", "HEAD"),),
        "decimals", "NHC{:05d}",
    ),
    Site(
        "HERON", "fr", ("scp", "sierra"),
        (Words("SCAN K7", "VOLUME 2", "THORAX"),),
        (Words("SCAN K1", "VOLUME 1", "THORAX"),),
        "acts", "H{:06d}",
    ),
)  # fmt: skip
"""No code knows one of them: what is peculiar is in this table and in its mapping files."""
