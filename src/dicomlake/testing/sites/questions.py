"""The questions as a lake is asked them: the same words at every site."""

from __future__ import annotations

CT = "same(series, Modality = 'CT' and annotation.structure within SCT:80891009)"
ECG = "Modality = 'ECG'"


def _label(code: str) -> str:
    """Somebody says so: a fact from a system of the house, or a finding of a structured report."""
    return f"(fact.code within SCT:{code} or *.[DCM:121071] within SCT:{code})"


IMAGED = "Modality in ('CT', 'ECG')"
"""Reports of labels are no images; who has nothing else is not meant."""
PACEMAKER = _label("441509002")
TAVI = _label("725351001")
FIBRILLATION = _label("49436004")

QUESTIONS = {
    "any": IMAGED,
    "CT": CT,
    "ECG": ECG,
    "CT and ECG": f"{CT} and {ECG}",
    "CT or ECG": f"{CT} or {ECG}",
    "CT, no ECG": f"{CT} and not {ECG}",
    "pacemaker": f"{IMAGED} and {PACEMAKER}",
    "TAVI": f"{IMAGED} and {TAVI}",
    "atrial fibrillation": f"{IMAGED} and {FIBRILLATION}",
    "CT, ECG and pacemaker": f"{CT} and {ECG} and {PACEMAKER}",
    "CT, ECG, no pacemaker": f"{CT} and {ECG} and not {PACEMAKER}",
    "CT and TAVI": f"{CT} and {TAVI}",
    "ECG and atrial fibrillation": f"{ECG} and {FIBRILLATION}",
    "CT, TAVI and atrial fibrillation, no pacemaker": (
        f"{CT} and {TAVI} and {FIBRILLATION} and not {PACEMAKER}"
    ),
}
"""Name of a combination -> the condition that finds its patients."""
