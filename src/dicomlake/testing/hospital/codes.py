"""Codes that the made-up hospital uses, with the value and scheme that the standards give them."""

from __future__ import annotations

from dicomlake.terms import Code


def sct(value: str, meaning: str) -> Code:
    """A code of SNOMED CT, as DICOM uses it (PS3.16 Chapter 8).

    >>> sct("10200004", "Liver").scheme
    'SCT'
    """
    return Code(value, "SCT", meaning)


def dcm(value: str, meaning: str) -> Code:
    """A code of the DICOM terminology (PS3.16 Annex D).

    >>> dcm("113813", "CT Dose Length Product Total").scheme
    'DCM'
    """
    return Code(value, "DCM", meaning)


def ucum(value: str) -> Code:
    """A unit; its meaning is the unit itself.

    >>> ucum("mGy.cm")
    Code(value='mGy.cm', scheme='UCUM', meaning='mGy.cm')
    """
    return Code(value, "UCUM", value)


HEAD = sct("69536005", "Head")
BRAIN = sct("12738006", "Brain")
CHEST = sct("51185008", "Chest")
LUNG = sct("39607008", "Lung")
ABDOMEN = sct("818981001", "Abdomen")
LIVER = sct("10200004", "Liver")
SPLEEN = sct("78961009", "Spleen")
KIDNEY = sct("64033007", "Kidney")
PELVIS = sct("816092008", "Pelvis")
PROSTATE = sct("41216001", "Prostate")
PERIPHERAL_ZONE = sct("279706003", "Peripheral zone of prostate")
BLADDER = sct("89837001", "Urinary bladder")
BREAST = sct("76752008", "Breast")
HEART = sct("80891009", "Heart")
LEFT_VENTRICLE = sct("87878005", "Left ventricle")
RIGHT_VENTRICLE = sct("53085002", "Right ventricle")
MYOCARDIUM = sct("49848007", "Myocardium")
CORONARY = sct("41801008", "Coronary artery")
HAND = sct("85562004", "Hand")
KNEE = sct("72696002", "Knee")
SPINE = sct("421060004", "Spine")
WHOLE_BODY = sct("38266002", "Whole body")

RIGHT = sct("24028007", "Right")
LEFT = sct("7771000", "Left")
ORGAN = sct("113343008", "Organ")
ANATOMY = sct("123037004", "Anatomical Structure")
ABNORMAL = sct("49755003", "Morphologically Abnormal Structure")
LESION = sct("52988006", "Lesion")
MASS = sct("4147007", "Mass")
WHITE_MATTER = sct("68523003", "Cerebral White Matter")
WHITE_MATTER_HYPERINTENSITY = dcm("110702", "White Matter T2 Hyperintensity")  # CID 7140
NODULE = sct("27925004", "Nodule")

LONG_AXIS = sct("103339001", "Long Axis")
SHORT_AXIS = sct("103340004", "Short Axis")
HAS_INTENT = sct("363703001", "Has Intent")
DIAGNOSTIC = sct("261004008", "Diagnostic Intent")
FINDING_SITE = sct("363698007", "Finding Site")
LATERALITY = sct("272741003", "Laterality")
FINDING = dcm("121071", "Finding")
