"""What real archives get wrong, done on purpose and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomlake.testing.dicom import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

if TYPE_CHECKING:
    from random import Random

    from dicomlake.testing.dicom import Value
    from dicomlake.testing.hospital.devices import Device
    from dicomlake.testing.hospital.people import Person

NOTHING: Counter[str] = Counter()

# code string -> what people type instead: German, French, English
_LOCAL: dict[str, tuple[tuple[str, ...], ...]] = {
    "HEAD": (("KOPF", "SCHADEL", "Schädel"), ("CRANE", "TETE", "Tête"), ("SKULL", "Head/Neck")),
    "BRAIN": (("HIRN", "KOPF"), ("CERVEAU", "CRANE"), ("BRAIN W/O", "HEAD")),
    "CHEST": (("THORAX", "LUNGE"), ("THORAX", "POUMON"), ("LUNG", "Chest PA")),
    "ABDOMEN": (("BAUCH", "OBERBAUCH", "LEBER"), ("ABDO", "FOIE"), ("ABD", "LIVER")),
    "PELVIS": (("BECKEN",), ("BASSIN",), ("PELV",)),
    "PROSTATE": (("PROSTATA", "BECKEN"), ("PROSTATE", "BASSIN"), ("PELVIS",)),
    "BREAST": (("MAMMA", "BRUST"), ("SEIN",), ("MAMMO",)),
    "HEART": (("HERZ",), ("COEUR", "Cœur"), ("CARDIAC",)),
    "HAND": (("HAND LI",), ("MAIN",), ("WRIST/HAND",)),
    "KNEE": (("KNIE",), ("GENOU",), ("KNEE LT",)),
    "SPINE": (("WIRBELSAEULE", "LWS"), ("RACHIS",), ("LSPINE",)),
    "WHOLEBODY": (("GANZKOERPER",), ("CORPS ENTIER",), ("WHOLE BODY",)),
}


_PRESET = 0.96
"""Above this, nobody changed what the device was set to by the examination before."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How one study came into the archive: encoding and spelling, right or wrong."""

    syntax: str = EXPLICIT_LE
    wrong_charset: str = ""
    preamble: bool = True
    accession: bool = True
    requested: bool = True
    stray_spaces: str = ""
    birth_date: str = ""
    spelling: float = 0.0
    fault: str = ""
    traits: tuple[str, ...] = ()

    def charset(self, person: Person, device: Device) -> tuple[str | None, str]:
        """(declared, actual) character set of a device's objects; None when nothing is declared."""
        if self.wrong_charset == "UTF-8 called Latin-1":
            return "ISO_IR 100", "ISO_IR 192"
        if self.wrong_charset == "UTF-8 not declared":
            return None, "ISO_IR 192"
        if self.wrong_charset == "Latin-1 not declared":
            return None, "ISO_IR 100"
        if self.wrong_charset == "label misspelt":
            return "ISO-IR 100", "ISO_IR 100"
        charset = "ISO_IR 192" if device.unicode else person.charset
        if not charset and device.site.language != "en":
            charset = "ISO_IR 100"
        return charset or None, charset

    def patient_id(self, identifier: str) -> str:
        """The patient's number, perhaps with spaces that do not belong to it."""
        return self.stray_spaces.format(identifier) if self.stray_spaces else identifier

    def body_part(self, code: str, language: int) -> tuple[str | bytes | None, tuple[str, ...]]:
        """Body Part Examined as this study has it, None when absent; and the traits it shows."""
        if self.spelling < 0.45:
            return code, ()
        if self.spelling < 0.65:
            return None, ("BodyPartExamined missing",)
        if self.spelling < 0.72:
            return "", ("BodyPartExamined empty",)
        if self.spelling >= _PRESET:
            return ("HEAD" if code == "CHEST" else "CHEST"), ("BodyPartExamined of another part",)
        choice = _LOCAL[code][language]
        text = choice[int(self.spelling * 1000) % len(choice)]
        traits = () if text == code else ("BodyPartExamined local",)
        return (text if text.isascii() else text.encode("utf-8")), traits

    def spoil(self, values: dict[str, Value]) -> tuple[dict[str, Value], tuple[str, ...]]:
        """The series' attributes with the study's fault put in, and the traits it shows."""
        if self.fault == "invalid DA":
            return {**values, "SeriesDate": "04.03.2021"}, ("invalid DA",)
        if self.fault == "invalid TM":
            return {**values, "SeriesTime": "25:71"}, ("invalid TM",)
        if self.fault == "invalid DS" and "SliceThickness" in values:
            return {**values, "SliceThickness": "5,0 mm"}, ("invalid DS",)
        if self.fault == "long DS" and "PixelSpacing" in values:
            spacing = values["PixelSpacing"]
            texts = [f"{number:.17f}" for number in spacing]
            return {**values, "PixelSpacing": texts}, ("long DS",)
        return values, ()


def habits(person: Person, number: int, rng: Random) -> Habits:
    """How study `number` of a person is written; the first studies of patients cover all cases."""
    case = person.number % 20 if number == 1 else 0
    syntax = {4: IMPLICIT_LE, 6: EXPLICIT_BE, 8: DEFLATED}.get(case, EXPLICIT_LE)
    dice = [rng.random() for _ in range(8)]
    if not case and dice[0] < 0.10:
        syntax = IMPLICIT_LE
    wrong = ""
    if not person.name.isascii() and number % 3 == 2:
        mistakes = _LATIN_MISTAKES if person.charset == "ISO_IR 100" else _OTHER_MISTAKES
        wrong = mistakes[person.number % len(mistakes)]
    preamble = not (case == 9 or (not case and dice[1] < 0.01))
    spaces = (" {}", "{}  ")[number % 2] if dice[2] < 0.06 or case == 3 else ""
    birth = ("19.04.1956", "00000000")[number % 2] if dice[3] < 0.03 or case == 5 else ""
    faults = ("invalid DA", "invalid TM", "invalid DS", "long DS")
    fault = faults[int(dice[4] * 100) % 4] if dice[4] < 0.10 else ""
    if case in (1, 2, 7, 10):
        fault = faults[(1, 2, 7, 10).index(case)]
    accession, requested = dice[5] > 0.12, dice[6] < 0.5
    traits = [
        _SYNTAX_TRAITS.get(syntax, ""),
        f"charset: {wrong}" if wrong else "",
        "" if preamble else "no preamble",
        "" if accession else "no AccessionNumber",
        "PatientID with spaces" if spaces else "",
        "PatientBirthDate invalid" if birth else "",
    ]
    return Habits(
        syntax, wrong, preamble, accession, requested, spaces, birth, dice[7], fault,
        tuple(trait for trait in traits if trait),
    )  # fmt: skip


_LATIN_MISTAKES = ("UTF-8 called Latin-1", "Latin-1 not declared", "label misspelt")
_OTHER_MISTAKES = ("UTF-8 called Latin-1", "UTF-8 not declared")
_SYNTAX_TRAITS = {
    IMPLICIT_LE: "implicit VR",
    EXPLICIT_BE: "big endian",
    DEFLATED: "deflated",
}
