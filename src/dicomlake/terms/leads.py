"""Leads of electrocardiograms: one name and one MDC code, whatever scheme they came in.

Lead numbers are those of SCP-ECG (EN 1064 Table 9, `5.6.3-9-n` in DICOM before 2020) and of MDC
(ISO 11073-10102, `2:n` in PS3.16 CID 3001) alike: 1 is I, 2 is II, 61 is III in both.
"""

from __future__ import annotations

import re

# Numbers of the leads that have a plain name, from PS3.16 CID 3001.
_NUMBERS = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8, "V7": 9, "V2R": 10,
    "V3R": 11, "V4R": 12, "V5R": 13, "V6R": 14, "V7R": 15, "X": 16, "Y": 17, "Z": 18,
    "CC5": 19, "CM5": 20, "LA": 21, "RA": 22, "LL": 23, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64,
    "-aVR": 65, "V8": 66, "V9": 67, "V8R": 68, "V9R": 69, "D": 70, "A": 71, "J": 72,
    "VR": 88, "VL": 89, "VF": 90, "MCL": 91, "MCL1": 92, "MCL2": 93, "MCL3": 94, "MCL4": 95,
    "MCL5": 96, "MCL6": 97, "CC": 98, "CC1": 99, "CC2": 100, "CC3": 101, "CC4": 102, "CC6": 103,
    "CC7": 104, "CM": 105, "CM1": 106, "CM2": 107, "CM3": 108, "CM4": 109, "CM6": 110,
    "CM7": 121, "CH5": 122, "CR5": 125, "ES": 131, "AS": 132, "AI": 133, "S": 134, "RL": 147,
}  # fmt: skip
# Calculated from other leads; they are shown by the plain name and keep their own number.
_DERIVED = {
    31: "I", 32: "II", 33: "V1", 34: "V2", 35: "V3", 36: "V4", 37: "V5", 38: "V6",
    111: "III", 112: "aVR", 113: "aVL", 114: "aVF",
}  # fmt: skip
_NAMES = {**{number: name for name, number in _NUMBERS.items()}, **_DERIVED}
MDC_OF_SCP = {f"5.6.3-9-{number}": f"2:{number}" for number in _NAMES}
"""Codes of leads in SCPECG, and what they are in MDC."""
_SPELT = {name.upper(): name for name in _NUMBERS}
_AMBIGUOUS = frozenset(["A", "CC", "CM", "D", "J", "S"])
"""Names that a label may carry for other reasons."""
_PARTITION = 2 << 16
_POTENTIAL = 256
"""MDC has numbers of leads, and 256 further on the electric potentials that they measure."""
_CODE = re.compile(r"(?:5\.6\.3-9-|2:)(\d{1,3})", re.ASCII)
_BEFORE = re.compile(
    r"^(?:MDC[_ ]|ECG[_ ]|LEAD|ABLEITUNG|ABL\.|D[EÉ]RIVATION|CHANNEL|KANAL|ELEC_POTL_|[_ :])+", re.I
)
_AFTER = re.compile(r"[ ,]*(?:\(.*\)|,.*)$")


def lead_of(value: str, scheme: str, text: str = "") -> tuple[str | None, tuple[str, str] | None]:
    """Plain name and MDC code (value, scheme) of a lead by its code, else by a text like a label.

    >>> lead_of("5.6.3-9-61", "SCPECG"), lead_of("2:62", "MDC")
    (('III', ('2:61', 'MDC')), ('aVR', ('2:62', 'MDC')))
    >>> lead_of("", "", "Lead AVR"), lead_of("1", "99X", "plethysmogram")
    (('aVR', ('2:62', 'MDC')), (None, None))
    """
    match = _CODE.fullmatch(value.strip())
    number = int(match[1]) if match and not scheme.startswith("99") else -1
    if scheme.startswith("MDC") and value.isascii() and value.isdigit():  # 2:1 as one number
        number = int(value) - _PARTITION
    if _POTENTIAL <= number < 2 * _POTENTIAL:
        number -= _POTENTIAL  # what the lead measures, instead of the lead
    if 0 <= number < _POTENTIAL:
        return _NAMES.get(number), (f"2:{number}", "MDC")
    name = plain_name(value) if scheme.startswith("MDC") else None
    name = name or plain_name(text)
    return name, ((f"2:{_NUMBERS[name]}", "MDC") if name else None)


def plain_name(text: str) -> str | None:
    """The plain name of the lead that a text names and nothing else, or None.

    >>> plain_name("Lead I (Einthoven)"), plain_name("avf"), plain_name("MDC_ECG_LEAD_V3R")
    ('I', 'aVF', 'V3R')
    >>> plain_name("II rhythm strip"), plain_name("Lead D")
    (None, None)
    """
    bare = _AFTER.sub("", text.strip())
    bare = _BEFORE.sub("", bare).strip().replace("−", "-")
    name = _SPELT.get(bare.upper())
    return None if name in _AMBIGUOUS else name
