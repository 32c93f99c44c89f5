"""Codes that the made-up hospital uses, with the value and scheme that the standards give them."""

from __future__ import annotations

from dicomlake.terms import Code


def _sct(value: str, meaning: str) -> Code:
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


HEAD = _sct("69536005", "Head")
BRAIN = _sct("12738006", "Brain")
CHEST = _sct("51185008", "Chest")
LUNG = _sct("39607008", "Lung")
ABDOMEN = _sct("818981001", "Abdomen")
LIVER = _sct("10200004", "Liver")
SPLEEN = _sct("78961009", "Spleen")
KIDNEY = _sct("64033007", "Kidney")
PELVIS = _sct("816092008", "Pelvis")
PROSTATE = _sct("41216001", "Prostate")
PERIPHERAL_ZONE = _sct("279706003", "Peripheral zone of prostate")
BLADDER = _sct("89837001", "Urinary bladder")
BREAST = _sct("76752008", "Breast")
HEART = _sct("80891009", "Heart")
LEFT_VENTRICLE = _sct("87878005", "Left ventricle")
RIGHT_VENTRICLE = _sct("53085002", "Right ventricle")
MYOCARDIUM = _sct("49848007", "Myocardium")
CORONARY = _sct("41801008", "Coronary artery")
HAND = _sct("85562004", "Hand")
KNEE = _sct("72696002", "Knee")
SPINE = _sct("421060004", "Spine")
WHOLE_BODY = _sct("38266002", "Whole body")

RIGHT = _sct("24028007", "Right")
LEFT = _sct("7771000", "Left")
ORGAN = _sct("113343008", "Organ")
ANATOMY = _sct("123037004", "Anatomical Structure")
ABNORMAL = _sct("49755003", "Morphologically Abnormal Structure")
LESION = _sct("52988006", "Lesion")
MASS = _sct("4147007", "Mass")
NODULE = _sct("27925004", "Nodule")

DIAMETER = _sct("81827009", "Diameter")
LONG_AXIS = _sct("103339001", "Long Axis")
SHORT_AXIS = _sct("103340004", "Short Axis")
VOLUME = _sct("118565006", "Volume")
FINDING_SITE = _sct("363698007", "Finding Site")
LATERALITY = _sct("272741003", "Laterality")
FINDING = dcm("121071", "Finding")
