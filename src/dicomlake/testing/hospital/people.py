"""The patients: names that nobody has, in the languages and character sets that archives meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from dicomlake.testing.hospital.chance import chance
from dicomlake.testing.hospital.devices import NORD, SITES, SUD, WEST, Site

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up patient. `charset` is what a device without Unicode declares for the name."""

    number: int
    id: str
    issuer: str
    name: str
    sex: str
    born: date
    height: float  # m
    weight: float  # kg
    site: Site
    charset: str


# origin -> (site, character set, family names, given names of women, given names of men)
_NAMES: dict[str, tuple[Site, str, list[str], list[str], list[str]]] = {
    "de": (
        NORD,
        "ISO_IR 100",
        ["Beispielhuber", "Müsterling", "Erfundner", "Größenwahn", "Probst-Probe", "Nullmeyer",
         "Platzhälter", "Testerdörfer", "Ausgedacht", "Scheinbar"],
        ["Änne", "Liesel", "Käthe", "Ursula", "Britta", "Jördis"],
        ["Jürgen", "Götz", "Detlef", "Heinz-Günter", "Uwe", "Björn"],
    ),
    "fr": (
        SUD,
        "ISO_IR 100",
        ["Exemplaire", "Modèle", "L'Imaginé", "Fictif", "Supposé", "Dupréteux", "Factice"],
        ["Hélène", "Noëlle", "Chloé", "Maëlle", "Aurore"],
        ["François", "Rémi", "Benoît", "Gaël", "Yves"],
    ),
    "en": (
        WEST,
        "",
        ["Sampleton", "Madeup", "Placeholder", "Fictionby", "Testworthy", "Nobody", "O'Invented"],
        ["Jane", "Poppy", "Maud", "Edith", "Gwen"],
        ["Oliver", "Basil", "Rupert", "Cedric", "Alfie"],
    ),
    "ru": (
        NORD,
        "ISO 2022 IR 100\\ISO 2022 IR 144",
        ["Примеров", "Вымыслов", "Образцов", "Небылицын"],
        ["Зоя", "Алёна", "Ульяна"],
        ["Пётр", "Фёдор", "Юрий"],
    ),
    "ja": (
        WEST,
        "ISO 2022 IR 100\\ISO 2022 IR 87",
        ["Mihon=見本=みほん", "Kakuu=架空=かくう", "Kamei=仮名=かめい"],
        ["Hana=花=はな", "Sakura=桜=さくら"],
        ["Tarou=太郎=たろう", "Jirou=二郎=じろう"],
    ),
    "pl": (
        NORD,
        "ISO_IR 101",
        ["Przykładowski", "Zmyślony", "Próbka"],
        ["Łucja", "Małgorzata"],
        ["Wojciech", "Święcisław"],
    ),
    "ko": (
        WEST,
        "ISO 2022 IR 100\\ISO 2022 IR 149",
        ["Gyeonbon=견본", "Gasang=가상"],
        ["Bogi=보기"],
        ["Chungmu=충무"],
    ),
    "zh": (WEST, "GB18030", ["Yangben=样本", "Xugou=虚构"], ["Lizi=例子"], ["Ceshi=测试"]),
    "el": (SUD, "ISO_IR 192", ["Φανταστικός", "Υποθετικός"], ["Ζωή"], ["Νίκος"]),
}  # fmt: skip
_ORIGINS = ["de"] * 30 + ["fr"] * 24 + ["en"] * 26 + ["ru"] * 5 + ["ja"] * 5
_ORIGINS += ["pl"] * 4 + ["ko"] * 2 + ["zh"] * 2 + ["el"] * 2
_FIXED = ("de", "fr", "en", "ja", "ru", "ko", "zh", "pl")
_FIXED_SEXES = "FMFMMFFMFMFMM"
"""Origins and sexes of the first patients, so that a small hospital has all names and stories."""


def person(seed: int, number: int) -> Person:
    """The patient of a number, counted from 1; nothing else has an influence.

    >>> person(7, 3).id, person(7, 3).site.language
    ('P000003', 'en')
    """
    rng = chance(seed, "person", number)
    origin = _FIXED[number - 1] if 0 < number <= len(_FIXED) else rng.choice(_ORIGINS)
    site, charset, families, women, men = _NAMES[origin]
    sex = rng.choice("FM")
    born = date(1932, 1, 1) + timedelta(days=int(rng.triangular(0, 29000, 11000)))
    if 0 < number <= len(_FIXED_SEXES):
        sex, born = _FIXED_SEXES[number - 1], born.replace(year=1940 + number, day=1)
    tall = rng.gauss(1.65 if sex == "F" else 1.78, 0.07)
    issuer = site.issuer
    identifier = f"P{number:06d}"
    if number % 25 == 0:  # another house gives out a number that is taken already
        identifier = f"P{number - 1:06d}"
        taken = person(seed, number - 1).issuer
        issuer = next(s.issuer for s in SITES if s.issuer != taken)
    return Person(
        number,
        identifier,
        issuer,
        _full(rng.choice(families), rng.choice(women if sex == "F" else men), rng),
        "O" if number % 97 == 0 else sex,
        born,
        round(tall, 2),
        round(rng.gauss(24 if sex == "F" else 26, 3.5) * tall * tall, 1),
        site,
        charset,
    )


def _full(family: str, given: str, rng: Random) -> str:
    """A PN: components joined by ^, and its groups (Latin, ideographic, phonetic) by =."""
    if "=" in family:
        pairs = zip(family.split("="), given.split("="), strict=True)
        return "=".join(f"{last}^{first}" for last, first in pairs)
    second = rng.choice(["", "", "", "^Maria", "^A"]) if family.isascii() else ""
    return f"{family}^{given}{second}"
