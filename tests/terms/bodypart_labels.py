"""How `bodypart_labels.csv` was made: wordings of hospitals, and the habits of those who type them.

`bodypart_wordings.txt` holds what hospitals call their examinations, with the regions meant. A
row of the labelled table is a wording put where such words stand in practice (study, series,
protocol, request, tag), beside a tag that is right (59 %), wrong (11 %) or missing. Its half
depends on the wording alone, so that no wording of the test half is seen while tuning.

    python tests/terms/bodypart_labels.py BODYPART.csv   # writes the table anew
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
COLUMNS = (
    "half", "language", "Modality", "BodyPartExamined", "ImageLaterality", "Laterality",
    "SeriesDescription", "ProtocolName", "StudyDescription", "RequestedProcedureDescription",
    "expected", "laterality", "wording",
)  # fmt: skip
# regions that BodyPartExamined has no term for, with the code that PS3.16 gives them
_MORE = {
    "PARANASALSINUS": "2095001", "TEMPORALBONE": "60911003", "PITUITARY": "56329008",
    "TOOTH": "38199008", "UPPERABD": "80581009", "RETINA": "5665001",
}  # fmt: skip
_SIDES = {
    "de": {"L": ("li", "links", "li.", "L", "lks"), "R": ("re", "rechts", "re.", "R"),
           "B": ("bds.", "beidseits", "bds", "bilateral", "re/li", "beide")},
    "en": {"L": ("LT", "LEFT", "L", "Left", "Lt."), "R": ("RT", "RIGHT", "R", "Right", "Rt."),
           "B": ("BILAT", "BILATERAL", "Both", "B/L")},
    "fr": {"L": ("gauche", "G", "GAUCHE", "gche"), "R": ("droit", "D", "DROITE", "dte"),
           "B": ("bilatéral", "des deux côtés", "bilat", "D+G")},
    "es": {"L": ("izquierda", "izq", "izq.", "IZQ", "izdo"),
           "R": ("derecha", "dcha", "der.", "DER"),
           "B": ("bilateral", "ambas", "bilat.")},
}  # fmt: skip
_WRONG = (
    "CHEST", "HEAD", "ABDOMEN", "SKULL", "EXTREMITY", "SPINE", "PELVIS", "HAND", "NECK", "KNEE",
    "HEART", "BREAST", "LSPINE", "THORAX", "UNKNOWN", "ANNOON", "PATTERN",
)  # fmt: skip
_VAGUE = {
    "de": ("Notfall", "Verlaufskontrolle", "Fremdaufnahmen", "", "Radiologie", "Standard", "Konsil",
           "Nachbefundung"),
    "en": ("Routine", "Outside Films", "", "INVESTIGATORS^Trial 7", "Standard", "FOLLOW UP",
           "STAT"),
    "fr": ("Urgences", "Contrôle", "", "Standard", "Examen", "Relecture"),
    "es": ("Urgencias", "Control", "", "Estudio", "Rutina", "Revisión"),
    "tag": ("", "Standard", "Routine", "Notfall", "Control"),
}  # fmt: skip
_SERIES = {
    "CT": ("1.0 Br36 3", "5.0 B30f", "Topogram 0.6 T20f", "MPR cor 3mm", "axial 3mm", "Scout",
           "Dose Report", "2.5mm stnd", "Patientenprotokoll", "nativ 5mm", "sag 2.0", "VRT"),
    "MR": ("t2_tse_tra", "t1_se_cor_KM", "localizer", "SAG T1", "Survey", "AX T2 FS", "3-PLANE LOC",
           "pd_tse_fs_sag", "ep2d_diff_b0_1000_ADC", "T1W_TFE", "SUB", "dyn 4/5"),
    "DX": ("AP", "PA", "LAT", "seitl.", "a.p.", "2 Ebenen", "FACE", "PROFIL", "Oblique", ""),
    "US": ("", "Still", "Clip 3", "B-Bild", "Doppler"),
    "MG": ("CC", "MLO", "L-MLO", "R CC", "ROUTINE"),
    "PT": ("PET AC", "PET NAC", "AC CT", "MIP", "WB"),
    "NM": ("statisch", "planar ant/post", "SPECT AC", ""),
    "XA": ("Run 1", "LAO 30 CAU 20", "DSA", ""),
    "RF": ("Durchleuchtung", "Fluoro", "", "Run 2"),
}  # fmt: skip
_SILENT = (
    "CT|Dose Report|CT", "CT|Patient Protocol|", "CT|Topogram 0.6 T80s|CT^Routine (Adult)",
    "CT|Scout|", "CT|Screen Save|Notfall", "MR|localizer|MRT", "MR|t1_tse_tra|MR", "MR|t2_tse_sag|",
    "MR|3-PLANE LOC|MRI", "MR|Survey_SENSE|Examination", "MR|ep2d_diff_b1000|IRM", "SR||e+1",
    "MR|AX T2|Outside study", "SR|Radiation Dose Information|", "SR|Exam Protocol SR|",
    "OT||", "SC|Screenshot|", "OT|Scanned document|Anforderung", "OT|Einverständniserklärung|",
    "PR|Presentation state|", "KO|Key images|", "SEG|Segmentation|", "RTPLAN|Plan 1|", "RTDOSE||",
    "RTSTRUCT|ROI|", "CT|Konstanzprüfung|QA", "DX|AEC|Detector calibration", "CT|5.0 B30f|Biopsie",
    "US|Clip|Sono", "US||Ultraschall", "US||Échographie", "US||Ecografía", "XA|Run 3|DSA",
    "XA||Angiographie", "DX|AP|X-Ray", "DX|LAT|Röntgen", "DX|a.p.|Radiographie", "DX||Rx",
    "CT|MPR|z.A. Lungenembolie?", "CT|VRT|Tumorstaging", "CT|TEMPS PORTAL|Scanner",
    "MR|SUB|Verlauf nach OP", "MR|DYN|Kontrolle", "PT|PET AC|PET/CT FDG", "PT|PET NAC|PET",
    "NM|SPECT|Szintigraphie", "CT|Intervention|Drainage", "XC|Wunde|Foto", "OT|Arztbrief|",
    "ES|Endoskopie|", "SM|HE|Histologie", "CT|Series 2|Study 1", "CT|Unknown|Unbekannt",
    "CT|1.25mm Recon|CT W/O", "CT|BONE|CT", "CT|KNOCHEN 2.0|CT nativ", "CT|Weichteil 3mm|CT",
    "MR|Head First|", "MR|FFS|Body coil test", "CT|arms up|", "MR|breath hold|MRI",
    "MR|main stack|", "CT|Sein oder nicht|", "CT|rein nativ|", "MR|col|", "DX|Hand-held portable|",
    "MR|WIP|Prof. Armbruster Studie", "CT|Mr. Foot 1962|", "CT|liuotushoidon|", "CT|TEST|TEST",
    "CT|Serie 3|ohne Kontrastmittel", "CT|Reconstruction 4|sans injection", 
    "MR|T1 GADO|sin contraste",
    "CT|left|", "CT|rechts|", "DX|R|", "DX|L|", "CT|Second Opinion|Fremd-CT", "CT|Import|CD",
    "MR|head coil check|QA", "MR|T/R knee coil|Coil test", "MR|Spine coil SNR|Service",
    "CT|Lung window|CT", "SR|SmartScore report|", "SC|Patient Info|", "OT|Aufklärung|OP",
    "DX|Ferrule test|", "CT|Care Bolus|", "CT|Premonitoring|CT", "CT|Monitoring|CT",
)  # fmt: skip
_VIEWED = {"L CC": "L", "R CC": "R", "R MLO": "R", "L-MLO": "L"}
_ENDINGS = ("", "", "", " ", " *", " 1", " (V2)", " NEU", " Ktr.", "!")


def rows(regions: dict[str, str]) -> Iterator[dict[str, str]]:
    """All rows of the table; `regions`: codes by term of BodyPartExamined."""
    for line in (HERE / "bodypart_wordings.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield from _of_wording(line, regions)
    for text in _SILENT:
        modality, series, study = text.split("|")
        for ending, tag in (("", ""), (_ENDINGS[len(text) % 10], ""), ("", "OTHER")):
            row = _row("mix", modality, "", "", text)
            row |= {
                "SeriesDescription": series + (ending if series else ""),
                "StudyDescription": study,
            }
            yield row | {"BodyPartExamined": tag}


def _row(language: str, modality: str, expected: str, side: str, wording: str) -> dict[str, str]:
    digest = hashlib.sha256(wording.encode()).digest()
    row = dict.fromkeys(COLUMNS, "")
    row |= {"half": ("tuning", "test")[digest[0] % 2], "language": language, "Modality": modality}
    return row | {"expected": expected, "laterality": side, "wording": wording}


def _of_wording(line: str, regions: dict[str, str]) -> Iterator[dict[str, str]]:
    language, modality, names, wording = line.split("|", 3)
    wording, *own = wording.split(";")
    codes = regions | _MORE
    expected = " ".join("|".join(codes[n] for n in name.split("/")) for name in names.split())
    rng = Random(wording)
    if language == "tag":
        for at in range(2):
            side = {"KNEE LT": "L", "HAND LI": "L"}.get(wording, "")
            row = _row(language, modality, expected, side, wording)
            row["BodyPartExamined"] = (wording, wording.lower())[at]
            row["SeriesDescription"] = rng.choice(_SERIES[modality])
            row["StudyDescription"] = rng.choice(_VAGUE[language])
            row["laterality"] = _VIEWED.get(row["SeriesDescription"], side)
            if "KM" in row["SeriesDescription"] and modality == "CT":
                row["SeriesDescription"] = ""
            yield row
        return
    for place in ("study", "request", "series", "protocol", "study again"):
        said, side = _sided(wording, language, rng)
        coded = ""
        if "{s}" in wording and not side and rng.random() < 0.5:
            coded = side = rng.choice("LR")
        if said.endswith(" OD"):
            side = "R"
        row = _row(language, modality, expected, side, wording)
        if coded:
            row[rng.choice(("ImageLaterality", "Laterality"))] = coded
        said = _typed(said, rng)
        term = names.split("/")[0].split()[0]
        series = rng.choice(own or _SERIES.get(modality, ("",)))
        if (seen := _VIEWED.get(series)) and place not in ("series",):
            if coded:
                series = "CC"
            else:  # one view of an examination of both
                row["laterality"] = seen
        row["SeriesDescription"] = series
        row["StudyDescription"] = said
        if place == "request":
            row["RequestedProcedureDescription"] = said
        elif place == "series":
            row["SeriesDescription"] = said
            row["StudyDescription"] = rng.choice(_VAGUE[language])
        elif place == "protocol":
            row["ProtocolName"] = rng.choice((f"{said}", f"1.2 {said}", said.replace(" ", "_")))
            row["StudyDescription"] = rng.choice(_VAGUE[language])
        dice = rng.random()
        if dice < 0.59:
            row["BodyPartExamined"] = term if term in regions else ""
        elif dice < 0.70:
            row["BodyPartExamined"] = rng.choice(_WRONG)
        yield row


def _sided(wording: str, language: str, rng: Random) -> tuple[str, str]:
    """The wording with a side put in, or left out, and that side."""
    if "{b}" in wording:
        return wording.replace("{b}", rng.choice(_SIDES[language]["B"])), "B"
    if "{s}" not in wording:
        bilateral = re.search(r"\b(bilat|bilateral)\b|Knees Bilat", wording, re.I)
        return wording, "B" if bilateral else ""
    side = rng.choice(("L", "R", "L", "R", "L", "R", "B", ""))
    word = rng.choice(_SIDES[language][side]) if side else ""
    return " ".join(wording.replace("{s}", word).split()).replace(" ,", ","), side


def _typed(text: str, rng: Random) -> str:
    """As people and devices write it: capitals, lost umlauts, underscores, endings, typos."""
    dice = rng.random()
    if dice < 0.15:
        text = text.upper()
    elif dice < 0.22:
        text = text.lower()
    elif dice < 0.30:
        text = text.translate(str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "é": "e"}))
    elif dice < 0.34:
        text = text.replace(" ", "_")
    elif dice < 0.37:
        text = text.replace("ä", "\ufffd").replace("ü", "\ufffd").replace("é", "\ufffd")
    elif dice < 0.41:
        words = text.split()
        at = max(range(len(words)), key=lambda n: len(words[n]))
        if len(words[at]) > 7 and words[at].isalpha():
            middle = len(words[at]) // 2
            word = words[at]
            words[at] = word[:middle] + word[middle + 1] + word[middle] + word[middle + 2 :]
        text = " ".join(words)
    return (text + rng.choice(_ENDINGS)).rstrip()


def write(bodypart: str) -> None:
    """Write the table; `bodypart`: terms of BodyPartExamined with their codes."""
    with open(bodypart, encoding="utf-8") as file:
        regions = {r["body_part_examined"]: r["sct_code"] for r in csv.DictReader(file)}
    seen: set[tuple[str, ...]] = set()
    with (HERE / "bodypart_labels.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        out.writeheader()
        for row in rows(regions):
            key = tuple(row[c] for c in COLUMNS[2:10])
            if key not in seen:
                seen.add(key)
                out.writerow(row)


if __name__ == "__main__":
    write(sys.argv[1])
