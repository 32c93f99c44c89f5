"""Reports with labels: templates filled with made-up people, and how much of them is found.

The templates of the test half were written before the rules were tuned, and only their figures are
looked at since. A place is found when 80 % of its characters are.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import yaml

from dicomlake.contracts.deid import Known
from dicomlake.deid.text import LANGUAGES, words_of

FOLDER = Path(__file__).parent / "reports"
FILLED = 8
"""Reports that are made of one template."""
ENOUGH = 0.8
"""How much of the characters of a place must be found."""

_SLOT = re.compile(r"\{(\w+)\}")
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A report, what identifies in it (kind, from, to), and what its header would tell."""

    name: str
    language: str
    text: str
    labels: tuple[tuple[str, int, int], ...]
    known: tuple[Known, ...]


def reports(half: str) -> Iterator[Labelled]:
    """The filled reports of a half: tuning or test."""
    pools = yaml.safe_load((FOLDER / "people.yaml").read_text(encoding="utf-8"))
    for language in LANGUAGES:
        text = (FOLDER / half / f"{language}.txt").read_text(encoding="utf-8")
        for template in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
            name, _, body = template.partition("\n")
            for number in range(FILLED):
                chance = random.Random(f"{half}/{language}/{name}/{number}")
                yield _filled(
                    f"{language} {name} {number}", language, body, pools[language], chance
                )


def _filled(name: str, language: str, body: str, pool: dict, chance: random.Random) -> Labelled:
    values = _values(language, pool, chance)
    parts, labels, at, size = [], [], 0, 0
    for slot in _SLOT.finditer(body):
        before = body[at : slot.start()]
        kind, value = values[slot[1]]
        parts += [before, value]
        size += len(before)
        labels.append((kind, size, size + len(value)))
        size += len(value)
        at = slot.end()
    family, given = values["pf"][1], values["pg"][1]
    known = (
        Known("name", f"{family}^{given}"),
        Known("id", values["id"][1]),
        Known("id", values["acc"][1]),
        Known("date", values["_born"][1]),
        Known("name", values["_d"][1]),
        Known("place", values["H"][1]),
    )
    return Labelled(name, language, "".join([*parts, body[at:]]), tuple(labels), known)


def _values(language: str, pool: dict, chance: random.Random) -> dict[str, tuple[str, str]]:
    given, family = chance.choice(pool["patients"])
    (d, e, f, r) = chance.sample(pool["others"], 4)
    born = date(1930, 1, 1) + timedelta(chance.randrange(28000))
    days = [date(2012, 1, 1) + timedelta(chance.randrange(4000)) for _ in range(5)]

    def number(count: int) -> str:
        return "".join(chance.choice("0123456789") for _ in range(count))

    names = {
        "p": f"{given} {family}", "P": f"{family.upper()}, {given.upper()}", "pf": family,
        "pg": given,
        "pc": f"{family}, {given}", "PF": family.upper(), "PS": f"{family.upper()}, {given}",
        "d": " ".join(d), "df": d[1], "di": f"{d[0][0]}. {d[1]}", "e": " ".join(e), "ef": e[1],
        "ei": f"{e[0][0]}. {e[1]}", "ec": f"{e[1]}, {e[0]}", "f": " ".join(f), "r": " ".join(r),
        "rg": r[0],
    }  # fmt: skip
    told = {slot: ("name", value) for slot, value in names.items()}
    told |= {
        "born": ("date", _numeric(born, language, chance)),
        "_born": ("", born.strftime("%Y%m%d")),
        "_d": ("", f"{d[1]}^{d[0]}"),
        "t1": ("date", _numeric(days[0], language, chance)),
        "t2": ("date", _numeric(days[1], language, chance)),
        "i1": ("date", days[2].isoformat()),
        "l1": ("date", _long(days[3], language, chance)),
        "l2": ("date", _long(born, language, chance)),
        "m1": ("date", _month(days[4], language, chance)),
        "part": ("date", f"{days[3]:%d.%m.}" if language == "de" else f"{days[3]:%d/%m}"),
        "id": ("id", chance.choice([number(8), f"{number(3)}-{number(4)}", f"P{number(7)}"])),
        "acc": ("id", chance.choice([f"A{number(8)}", number(10), f"RX-{number(2)}-{number(6)}"])),
        "n1": ("id", number(chance.choice([6, 8, 9]))),
        "n2": ("id", f"{chance.choice('ABKMSX')}{number(6)}"),
        "n3": ("id", number(6)),
        "uid": ("id", f"1.2.276.0.7230010.3.1.2.{number(5).lstrip('0') or '7'}.4{number(6)}"),
        "ssn": ("id", f"{chance.randrange(101, 600)}-{chance.randrange(10, 99)}-{number(4)}"),
        "nhs": ("id", _nhs(chance)),
        "kvnr": ("id", _kvnr(chance)),
        "nir": ("id", _nir(chance)),
        "dni": ("id", _dni(chance)),
        "phone": ("phone", chance.choice(pool["phones"])),
        "mail": ("mail", f"{e[1].split()[0].lower()}@klinik.example"),
        "url": ("url", f"https://intranet.example.org/p/{number(4)}"),
        "street": ("place", chance.choice(pool["streets"])),
        "zip": ("place", chance.choice(pool["zips"])),
        "H": ("place", chance.choice(pool["hospitals"])),
        "town": ("place", chance.choice(pool["towns"])),
        "age": ("age", str(chance.randrange(90, 103))),
    }  # fmt: skip
    return told


def _numeric(day: date, language: str, chance: random.Random) -> str:
    if language == "en":
        return chance.choice(
            [f"{day.month}/{day.day}/{day.year}", f"{day:%m/%d/%Y}", f"{day:%m/%d/%y}"]
        )
    if language == "de":
        return chance.choice(
            [f"{day:%d.%m.%Y}", f"{day:%d.%m.%y}", f"{day.day}.{day.month}.{day.year}"]
        )
    return chance.choice([f"{day:%d/%m/%Y}", f"{day:%d-%m-%Y}", f"{day:%d/%m/%y}"])


def _long(day: date, language: str, chance: random.Random) -> str:
    month = _MONTHS[language].split()[day.month - 1]
    if language == "en":
        return chance.choice([
            f"{month} {day.day}, {day.year}", f"{day.day} {month} {day.year}",
            f"{month[:3]} {day.day}, {day.year}", f"{day.day:02d}-{month[:3].upper()}-{day.year}",
        ])  # fmt: skip
    if language == "de":
        return f"{day.day}. {month} {day.year}"
    if language == "fr":
        return f"{'1er' if day.day == 1 else day.day} {month} {day.year}"
    return f"{day.day} de {month} de {day.year}"


def _month(day: date, language: str, chance: random.Random) -> str:
    month = _MONTHS[language].split()[day.month - 1]
    named = f"{month} de {day.year}" if language == "es" else f"{month} {day.year}"
    return chance.choice([named, f"{day:%m/%Y}"])


def _nhs(chance: random.Random) -> str:
    while True:
        digits = [chance.randrange(10) for _ in range(9)]
        check = (11 - sum(d * w for d, w in zip(digits, range(10, 1, -1), strict=True)) % 11) % 11
        if check < 10:
            text = "".join(map(str, [*digits, check]))
            return f"{text[:3]} {text[3:6]} {text[6:]}"


def _kvnr(chance: random.Random) -> str:
    letter, digits = chance.randrange(26), [chance.randrange(10) for _ in range(8)]
    every = [*divmod(letter + 1, 10), *digits]
    total = sum(sum(divmod(d * (1 + n % 2), 10)) for n, d in enumerate(every))
    return f"{chr(65 + letter)}{''.join(map(str, digits))}{total % 10}"


def _nir(chance: random.Random) -> str:
    plain = f"{chance.choice('12')}{chance.randrange(30, 99):02d}{chance.randrange(1, 13):02d}"
    plain += (
        f"{chance.randrange(1, 96):02d}{chance.randrange(1, 600):03d}{chance.randrange(1, 600):03d}"
    )
    key = 97 - int(plain) % 97
    cut = (plain[0], plain[1:3], plain[3:5], plain[5:7], plain[7:10], plain[10:], f"{key:02d}")
    return " ".join(cut)


def _dni(chance: random.Random) -> str:
    number = chance.randrange(10_000_000, 99_999_999)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


@dataclass(slots=True)
class Score:
    """How much was found: of the places that are labelled, and how many found ones are right."""

    labelled: int = 0
    found: int = 0
    taken: int = 0
    right: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def recall(self) -> float:
        return self.found / self.labelled

    @property
    def precision(self) -> float:
        return self.right / self.taken


def score(half: str, *, header: bool = True, languages: Sequence[str] = LANGUAGES) -> Score:
    """The score of a half, with or without what a header tells; of some languages."""
    total = Score()
    for report in reports(half):
        if report.language not in languages:
            continue
        words = words_of(report.known if header else [], None)
        taken = [(span.start, span.end, span.found_by) for span in words.spans(report.text)]
        for kind, start, end in report.labels:
            total.labelled += 1
            if _covered(start, end, [(a, b) for a, b, _ in taken]) >= ENOUGH * (end - start):
                total.found += 1
            else:
                total.missed[f"{report.language} {kind}: {report.text[start:end]!r} in "
                             f"{report.text[max(0, start - 30) : end + 15]!r}"] += 1  # fmt: skip
        for start, end, found_by in taken:
            total.taken += 1
            if _covered(start, end, [(a, b) for _, a, b in report.labels]) >= 0.5 * (end - start):
                total.right += 1
            else:
                total.wrong[f"{report.language} {found_by}: {report.text[start:end]!r} in "
                            f"{report.text[max(0, start - 20) : end + 15]!r}"] += 1  # fmt: skip
    return total


def _covered(start: int, end: int, spans: list[tuple[int, int]]) -> int:
    return sum(max(0, min(end, b) - max(start, a)) for a, b in spans)
