"""Patients whose every name and number is a word that nobody else in the world has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from dicomlake.testing.hospital.chance import chance

_CONSONANTS, _VOWELS = "bdfgklmnprstvzjx", "aeiou"


def word(*what: object, syllables: int = 4) -> str:
    """A word that means nothing, always the same for the same seed and purpose.

    >>> len(word(1, "patient", 7, "family"))
    9
    """
    rng = chance("word", *what)
    pairs = "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(syllables))
    return (pairs + rng.choice(_CONSONANTS)).capitalize()


def number(*what: object, digits: int = 8) -> str:
    """Digits with a check digit at their end (weights 2 to 9, modulo 11).

    >>> len(number(1, "patient", 7))
    8
    """
    rng = chance("number", *what)
    while True:
        plain = "".join(rng.choice("123456789") for _ in range(digits - 1))
        check = sum(int(d) * (2 + at % 8) for at, d in enumerate(reversed(plain))) % 11
        if check < 10:
            return plain + str(check)


@dataclass(frozen=True, slots=True)
class Person:
    """A patient, and whoever stands around: what each of them is called."""

    number: int
    family: str
    given: str
    charset: str
    name: str
    """As PN, with its ideographic group where there is one."""
    id: str
    other_id: str
    sex: str
    born: date
    physician: str
    operator: str
    institution: str
    street: str
    city: str
    phone: str
    mail: str
    insurance: str
    trap: str
    """A family name that is a word of every day, "" for most."""

    @property
    def tokens(self) -> dict[str, str]:
        """What must be nowhere afterwards, by its kind."""
        found = {
            "family": self.family, "given": self.given, "id": self.id, "other id": self.other_id,
            "physician": self.physician, "operator": self.operator, "street": self.street,
            "city": self.city, "institution": self.institution, "phone": self.phone,
            "mail": self.mail, "insurance": self.insurance,
        }  # fmt: skip
        if self.trap:
            del found["family"]
        if "=" in self.name:
            found["ideographic"] = self.name.partition("=")[2].partition("^")[0]
        return found

    @property
    def in_pixels(self) -> str:
        """The family name as devices draw it."""
        return self.family.upper() if self.family.isascii() else self.given.upper()


_CHARSETS = ("", "ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 6\\ISO 2022 IR 87", "GB18030")
_ACCENTS = {"a": "ä", "o": "ö", "u": "ü", "e": "é"}
_JAPANESE = "見本架空仮名花桜太郎山川田中林森石原"
_CHINESE = "样本虚构例测试张李王刘陈杨赵黄周吴"
_TRAPS = ("Hand", "Long", "Gold")


def person(seed: int, at: int) -> Person:
    """The patient of a number, counted from 1.

    >>> person(1, 2).charset, person(1, 9).family
    ('ISO_IR 100', 'Hand')
    """
    rng = chance("person", seed, at)
    charset = _CHARSETS[(at - 1) % len(_CHARSETS)]
    family, given = word(seed, at, "family"), word(seed, at, "given")
    trap = _TRAPS[at // 9 % 3 - 1] if at % 9 == 0 else ""
    if trap:
        family = trap
    elif charset in ("ISO_IR 100", "ISO_IR 192"):
        last = max(place for place, letter in enumerate(family) if letter in _ACCENTS)
        family = family[:last] + _ACCENTS[family[last]] + family[last + 1 :]
    name = f"{family}^{given}"
    if charset.endswith("87") or charset == "GB18030":
        letters = _JAPANESE if charset.endswith("87") else _CHINESE
        drawn = ["".join(rng.choice(letters) for _ in range(4)) for _ in range(2)]
        name = f"{name}={drawn[0]}^{drawn[1]}"
    years = 96 if at % 7 == 0 else rng.randint(30, 80)
    return Person(
        number=at,
        family=family,
        given=given,
        charset=charset,
        name=name,
        id=f"Q{number(seed, at, 'id')}",
        other_id=f"R{number(seed, at, 'other')}",
        sex=rng.choice("FM"),
        born=date(2021 - years, 1, 1) + timedelta(days=rng.randint(0, 364)),
        physician=word(seed, at, "physician"),
        operator=word(seed, at, "operator"),
        institution=word(seed, at, "institution"),
        street=word(seed, at, "street"),
        city=word(seed, at, "city"),
        phone=f"+49 {number(seed, at, 'area', digits=3)} {number(seed, at, 'phone', digits=8)}",
        mail=f"{word(seed, at, 'mail').lower()}@mail.example",
        insurance=f"K{number(seed, at, 'insurance', digits=9)}",
        trap=trap,
    )
