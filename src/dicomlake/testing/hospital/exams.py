"""The examinations of the hospital: protocols as data, and what is made of their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital import derived, images, reports, waveforms
from dicomlake.testing.hospital.derived import Drawn
from dicomlake.testing.hospital.images import Scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomlake.terms import Code
    from dicomlake.testing.hospital.study import Study, Words


@dataclass(frozen=True, slots=True)
class Exam:
    """An examination: its names (German, French, English), body part, codes, and how it is done."""

    words: Words
    body_part: str
    region: Code
    make: Callable[[Study], None]
    procedure: Code | None = None


def _mm(study: Study, low: float, high: float) -> float:
    return round(study.rng.uniform(low, high), 1)


# --- CT -----------------------------------------------------------------------------------------

_HEAD_SCANS = (
    Scan(("Schädel nativ 4mm", "CRANE SANS IV", "HEAD W/O"), 6, {"SliceThickness": 4}),
    Scan(("Knochen 1mm", "OS", "BONE"), 5, {"SliceThickness": 1, "kernel": "bone"}),
)
_THORAX_SCANS = (
    Scan(("Thorax Weichteil 5mm", "THORAX IV+ 5mm", "CHEST W IV"), 7, {"contrast": True},
         trunk=(245, 40)),
    Scan(("Thorax Lunge 1mm", "POUMON 1mm", "LUNG 1mm"), 8,
         {"SliceThickness": 1, "kernel": "lung", "contrast": True}, look="LUNG",
         trunk=(330, 8)),
)  # fmt: skip
_ABDOMEN_SCANS = (
    Scan(("Oberbauch arteriell", "ABDO TEMPS ARTERIEL", "ABDOMEN ART"), 6,
         {"SliceThickness": 3, "contrast": True}, trunk=(190, 6)),
    Scan(("Abdomen portalvenös", "ABDO TEMPS PORTAL", "ABDOMEN PV"), 8, {"contrast": True},
         trunk=(160, 24)),
)  # fmt: skip
_SPINE_SCANS = (
    Scan(("LWS Knochen 2mm", "RACHIS OS", "L-SPINE BONE"), 6,
         {"SliceThickness": 2, "kernel": "bone"}, trunk=(140, 6)),
)  # fmt: skip
_PLAN_SCANS = (
    Scan(("Planungs-CT Becken", "CT DOSIMETRIE", "RT PLAN PELVIS"), 8, {}, trunk=(10, 8)),
)
_LOW_DOSE = (
    Scan(("CT low dose", "TDM BASSE DOSE", "AC CT"), 6, {"SliceThickness": 10}, trunk=(60, 40)),
)
_LIVER_NAMES = ("Leber", "Foie", "Liver")


def _ct_head(study: Study) -> None:
    for scan in _HEAD_SCANS:
        images.ct(study, scan)
    reports.ct_dose(study)
    if study.rng.random() < 0.5:
        reports.letter(study)


def _ct_thorax(study: Study) -> None:
    soft, lung = [images.ct(study, scan) for scan in _THORAX_SCANS]
    reports.ct_dose(study)
    size = _mm(study, 5, 32)
    second = (c.NODULE, c.LUNG, _mm(study, 4, 9), 4.0)
    count = 1 + (study.rng.random() < 0.6)
    found = [(c.NODULE, c.LUNG, size, round(size * 0.7, 1)), second][:count]
    reports.measurements(study, lung, found)
    if study.rng.random() < 0.4:
        lungs = [
            Drawn("Lung left", c.LUNG, c.ORGAN, c.LEFT),
            Drawn("Lung right", c.LUNG, c.ORGAN, c.RIGHT),
            Drawn("Nodule", c.NODULE, c.ABNORMAL, by="SEMIAUTOMATIC"),
        ]
        derived.segmentation(study, soft, lungs, "Lungs and nodule")


def _ct_abdomen(study: Study) -> None:
    _, portal = [images.ct(study, scan, at) for at, scan in enumerate(_ABDOMEN_SCANS, 1)]
    reports.ct_dose(study)
    organs = [
        Drawn(study.say(_LIVER_NAMES), c.LIVER, c.ORGAN),
        Drawn("Spleen", c.SPLEEN, c.ORGAN),
        Drawn("Kidney left", c.KIDNEY, c.ORGAN, c.LEFT),
        Drawn("Lesion", c.LESION, c.ABNORMAL, by="MANUAL"),
    ]
    derived.segmentation(study, portal, organs[: study.rng.randint(2, 4)], "Abdominal organs")
    if study.rng.random() < 0.5:
        reports.key_objects(study, portal)
        derived.presentation(study, portal, study.say(("Läsion", "Lésion", "Lesion")))
    size = _mm(study, 8, 60)
    reports.measurements(study, portal, [(c.LESION, c.LIVER, size, round(size * 0.8, 1))])


def _ct_spine(study: Study) -> None:
    for scan in _SPINE_SCANS:
        images.ct(study, scan)
    reports.ct_dose(study)


def _ct_volume(study: Study) -> None:
    scan = Scan(("Herz 4D", "COEUR VOLUME", "CARDIAC VOLUME"), 5, {}, enhanced=True)
    images.ct(study, scan)


def _planning(study: Study) -> None:
    plan = images.ct(study, _PLAN_SCANS[0])
    regions = [
        ("BODY", "EXTERNAL"), ("PTV 78", "PTV"), ("Blase", "ORGAN"), ("Rektum", "AVOIDANCE"),
        ("Hüftkopf li", "ORGAN"), ("ISO", "ISOCENTER"),
    ]  # fmt: skip
    names = regions if study.site.language == "de" else [r for r in regions if r[0].isascii()]
    derived.structure_set(study, plan, names[: study.rng.randint(3, 6)])


# --- MR -----------------------------------------------------------------------------------------

_TSE = {"ScanningSequence": "SE", "SequenceName": "*tse2d1_25"}
_EPI = {
    "ScanningSequence": "EP",
    "SequenceName": "*ep_b0",
    "EchoTime": 68,
    "RepetitionTime": 5200,
    "FlipAngle": 90,
}
_GRE = {
    "ScanningSequence": "GR",
    "SequenceName": "*fl3d1",
    "EchoTime": 1.85,
    "RepetitionTime": 4.8,
    "FlipAngle": 12,
    "MRAcquisitionType": "3D",
}
_ADC = {**_EPI, "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND", "NORM"]}

_PROSTATE_SCANS = (
    Scan(("t2_tse_tra_320_p2", "AX T2 PROSTATE", "T2W_TSE_ax"), 6,
         {**_TSE, "SliceThickness": 3, "EchoTime": 101}),
    Scan(("t2_tse_sag_320", "SAG T2", "T2W_TSE_sag"), 4,
         {**_TSE, "SliceThickness": 3, "EchoTime": 99}, plane="sag"),
    Scan(("ep2d_diff_b50_800_1500", "AX DWI b50-1500", "DWI_3b"), 4,
         {**_EPI, "SliceThickness": 3.6}, look="DWI", bvalues=(50, 800, 1500)),
    Scan(("ep2d_diff_b50_800_1500_ADC", "ADC (10^-6 mm2/s)", "dADC"), 4,
         {**_ADC, "SliceThickness": 3.6}, look="DWI"),
    Scan(("t1_vibe_tra_dyn_KM", "AX LAVA GADO", "THRIVE_dyn"), 5,
         {**_GRE, "SliceThickness": 3, "contrast": True}),
)  # fmt: skip
_BRAIN_SCANS = (
    Scan(("t2_tirm_tra_dark-fluid", "AX T2 FLAIR", "FLAIR_ax"), 6,
         {"ScanningSequence": ["SE", "IR"], "SequenceName": "*tir2d1_16", "InversionTime": 2500,
          "RepetitionTime": 9000, "EchoTime": 92, "SliceThickness": 5}),
    Scan(("t1_mprage_sag", "SAG T1 BRAVO", "T1_TFE_sag"), 6,
         {**_GRE, "ScanningSequence": ["GR", "IR"], "SliceThickness": 1, "InversionTime": 900},
         plane="sag"),
    Scan(("ep2d_diff_3scan_trace", "AX DWI", "DWI_ssh"), 4,
         {**_EPI, "SliceThickness": 5}, look="DWI", bvalues=(0, 1000), enhanced=True),
)  # fmt: skip
_BRAIN_CONTRAST = Scan(
    ("t1_se_tra_KM", "AX T1 GADO", "T1W_SE_Gd"), 5,
    {"EchoTime": 8.9, "RepetitionTime": 550, "FlipAngle": 70, "SliceThickness": 5,
     "contrast": True},
)  # fmt: skip
_LIVER_SCANS = (
    Scan(("t2_haste_cor", "COR SSFSE", "T2W_SSh_cor"), 5, {**_TSE, "SliceThickness": 6},
         plane="cor"),
    Scan(("t1_vibe_dixon_opp", "AX LAVA FLEX", "mDIXON"), 5, {**_GRE, "SliceThickness": 3}),
    Scan(("ep2d_diff_b50_400_800", "AX DWI FOIE", "DWI_liver"), 3,
         {**_EPI, "SliceThickness": 6}, look="DWI", bvalues=(50, 400, 800)),
)  # fmt: skip
_HEART_SCAN = Scan(("cine_trufi_sax", "FIESTA CINE SA", "B-TFE_SA"), 6,
                   {**_GRE, "SliceThickness": 8, "HeartRate": 64, "TriggerTime": 0})  # fmt: skip
_KNEE_SCANS = (
    Scan(("pd_tse_fs_sag", "SAG PD FS", "PDW_SPAIR_sag"), 5, {**_TSE, "SliceThickness": 3},
         plane="sag"),
    Scan(("t1_tse_cor", "COR T1", "T1W_TSE_cor"), 4, {**_TSE, "EchoTime": 11}, plane="cor"),
)  # fmt: skip


def _mr_prostate(study: Study) -> None:
    made = [images.mr(study, scan) for scan in _PROSTATE_SCANS]
    size = _mm(study, 5, 24)
    found = [(c.LESION, c.PERIPHERAL_ZONE, size, round(size * 0.6, 1))]
    if study.rng.random() < 0.4:
        found.append((c.LESION, c.PROSTATE, _mm(study, 5, 15), 5.0))
    reports.measurements(study, made[0], found)
    if study.rng.random() < 0.6:
        zones = [
            Drawn("Prostate", c.PROSTATE, c.ORGAN),
            Drawn("Peripheral zone", c.PERIPHERAL_ZONE),
            Drawn("Lesion 1", c.LESION, c.ABNORMAL, by="MANUAL"),
        ]
        derived.segmentation(study, made[0], zones, "Prostate zones")


def _mr_brain(study: Study) -> None:
    made = [images.mr(study, scan) for scan in _BRAIN_SCANS]
    if study.number > 1:
        after = images.mr(study, _BRAIN_CONTRAST)
        size = _mm(study, 6, 48)
        reports.measurements(study, after, [(c.MASS, c.BRAIN, size, round(size * 0.75, 1))])
    if study.rng.random() < 0.5:
        reports.letter(study)
    if study.rng.random() < 0.2:
        reports.key_objects(study, made[0])
    if study.age >= 55 and study.person.number % 2:
        size = _mm(study, 3, 14)
        white = (c.WHITE_MATTER_HYPERINTENSITY, c.WHITE_MATTER, size, round(size * 0.7, 1))
        reports.measurements(study, made[0], [white])


def _mr_liver(study: Study) -> None:
    made = [images.mr(study, scan) for scan in _LIVER_SCANS]
    liver = [Drawn(study.say(_LIVER_NAMES), c.LIVER, c.ORGAN)]
    derived.segmentation(study, made[1], liver, "Liver")


def _mr_heart(study: Study) -> None:
    cine = images.mr(study, _HEART_SCAN)
    chambers = [
        Drawn("LV", c.LEFT_VENTRICLE),
        Drawn("Myo", c.MYOCARDIUM),
        Drawn("RV", c.RIGHT_VENTRICLE),
    ]
    draw = study.person.number % 4
    if draw == 1:  # both ventricles, but never in one object
        derived.segmentation(study, cine, chambers[:2], "Left heart")
        derived.segmentation(study, cine, chambers[2:], "Right heart")
    elif draw == 2:
        derived.segmentation(study, cine, chambers[:2], "Left heart")
    else:
        derived.segmentation(study, cine, chambers, "Heart")


def _mr_knee(study: Study) -> None:
    for scan in _KNEE_SCANS:
        images.mr(study, scan)


# --- the rest -----------------------------------------------------------------------------------


def _chest(study: Study) -> None:
    views = {"views": ["PA", "LL"][: study.rng.randint(1, 2)]}
    images.radiograph(study, Scan(("Thorax pa", "THORAX FACE", "CHEST PA"), 1, views))
    if study.rng.random() < 0.5:
        reports.letter(study)


def _bone(study: Study) -> None:
    side = study.rng.choice("LR")
    scan = Scan((study.say(study.words),), 2, {"views": ["AP", "LL"], "side": side})
    images.radiograph(study, scan)


def _mammography(study: Study) -> None:
    made = images.mammogram(study, Scan(("Mammographie",), 4))
    reports.projection_dose(study, made)
    if study.rng.random() < 0.5:
        reports.letter(study)


def _coronary(study: Study) -> None:
    scan = Scan(("Koronarangiographie", "CORONAROGRAPHIE", "Coronary"), 2)
    runs = images.angiography(study, scan)
    reports.projection_dose(study, runs)


def _echo(study: Study) -> None:
    scan = Scan(("Echokardiographie", "ECHOCARDIO", "Echo"), 1, {"frames": 6})
    images.ultrasound(study, scan)
    derived.document(study, study.say(("Echobefund", "CR echo", "Echo report")))


def _sonography(study: Study) -> None:
    images.ultrasound(study, Scan(("Abdomensonographie", "ECHO ABDO", "US abdomen"), 4))


def _ecg(study: Study) -> None:
    waveforms.ecg(study)


def _pet(study: Study) -> None:
    images.ct(study, _LOW_DOSE[0])
    scan = Scan(("PET Ganzkörper AC", "TEP CORRIGE", "PET AC WB"), 8)
    series = images.pet(study, scan)
    reports.ct_dose(study)
    images.screenshot(study, "MIP", series.device)


def _bone_scan(study: Study) -> None:
    images.scintigram(study, Scan(("Knochenszintigraphie", "SCINTI OS", "Bone scan"), 1))


EXAMS: dict[str, Exam] = {
    "CT head": Exam(("CT Schädel nativ", "TDM crâne", "CT head"), "HEAD", c.HEAD, _ct_head,
                    c.sct("303653007", "CT of head")),
    "CT thorax": Exam(("CT Thorax mit KM", "TDM thorax injecté", "CT chest with contrast"),
                      "CHEST", c.CHEST, _ct_thorax, c.sct("169069000", "CT of chest")),
    "CT abdomen": Exam(("CT Leber zweiphasig", "TDM foie 2 phases", "CT liver two phases"),
                       "ABDOMEN", c.ABDOMEN, _ct_abdomen, c.sct("169070004", "CT of abdomen")),
    "CT spine": Exam(("CT LWS", "TDM rachis lombaire", "CT lumbar spine"), "SPINE", c.SPINE,
                     _ct_spine),
    "CT heart": Exam(("CT Herz", "TDM coeur", "CT cardiac"), "HEART", c.HEART, _ct_volume),
    "CT planning": Exam(("Bestrahlungsplanung Prostata", "Dosimétrie prostate", "RT planning"),
                        "PELVIS", c.PELVIS, _planning),
    "MR prostate": Exam(("MRT Prostata multiparametrisch", "IRM prostate", "MRI prostate"),
                        "PROSTATE", c.PROSTATE, _mr_prostate,
                        c.sct("719178004", "MRI of prostate")),
    "MR brain": Exam(("MRT Schädel", "IRM cérébrale", "MRI brain"), "BRAIN", c.BRAIN, _mr_brain,
                     c.sct("816077007", "MRI of brain")),
    "MR liver": Exam(("MRT Leber", "IRM hépatique", "MRI liver"), "ABDOMEN", c.LIVER, _mr_liver),
    "MR heart": Exam(("MRT Herz", "IRM cardiaque", "Cardiac MRI"), "HEART", c.HEART, _mr_heart),
    "MR knee": Exam(("MRT Knie", "IRM genou", "MRI knee"), "KNEE", c.KNEE, _mr_knee),
    "chest": Exam(("Röntgen Thorax", "Radio thorax", "Chest X-ray"), "CHEST", c.CHEST, _chest,
                  c.sct("399208008", "Plain chest X-ray")),
    "hand": Exam(("Röntgen Hand", "Radio main", "Hand X-ray"), "HAND", c.HAND, _bone),
    "knee": Exam(("Röntgen Knie", "Radio genou", "Knee X-ray"), "KNEE", c.KNEE, _bone),
    "mammography": Exam(("Mammographie-Screening", "Mammographie dépistage",
                         "Screening mammogram"), "BREAST", c.BREAST, _mammography,
                        c.sct("24623002", "Screening mammography")),
    "coronary": Exam(("Koronarangiographie", "Coronarographie", "Coronary angiography"),
                     "HEART", c.CORONARY, _coronary),
    "echo": Exam(("Echokardiographie", "Échographie cardiaque", "Echocardiogram"), "HEART",
                 c.HEART, _echo),
    "sonography": Exam(("Sonographie Abdomen", "Échographie abdominale", "Ultrasound abdomen"),
                       "ABDOMEN", c.ABDOMEN, _sonography),
    "ECG": Exam(("Ruhe-EKG", "ECG de repos", "Resting ECG"), "HEART", c.HEART, _ecg),
    "PET": Exam(("PET/CT Ganzkörper", "TEP-TDM corps entier", "PET/CT whole body"),
                "WHOLEBODY", c.WHOLE_BODY, _pet),
    "bone scan": Exam(("Skelettszintigraphie", "Scintigraphie osseuse", "Bone scan"),
                      "WHOLEBODY", c.WHOLE_BODY, _bone_scan),
}  # fmt: skip
