"""Letters about examinations in four languages: what they find, deny and leave open is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

LANGUAGES = ("de", "fr", "en", "es")

# finding -> its word in each language; the French one with its preposition
_WORDS: dict[str, tuple[str, str, str, str]] = {
    "pneumothorax": ("Pneumothorax", "de pneumothorax", "pneumothorax", "neumotórax"),
    "effusion": ("Pleuraerguss", "d'épanchement pleural", "pleural effusion", "derrame pleural"),
    "nodule": ("Rundherd", "de nodule", "nodule", "nódulo"),
    "metastases": ("Metastasen", "de métastases", "metastases", "metástasis"),
    "fracture": ("Fraktur", "de fracture", "fracture", "fractura"),
    "haemorrhage": ("Blutung", "d'hémorragie", "haemorrhage", "hemorragia"),
    "lymph nodes": ("Lymphadenopathie", "d'adénopathie", "lymphadenopathy", "adenopatía"),
}
_SAID: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "affirmed": (
        ("{} nachweisbar.", "Es zeigt sich {}."),
        ("Mise en évidence {}.", "Présence {}."),
        ("There is {}.", "Known {} is again seen."),
        ("Se observa {}.", "Presencia de {}."),
    ),
    "negated": (
        ("Kein Nachweis von {}.", "Kein Hinweis auf {}."),
        ("Absence {}.", "Pas {}."),
        ("No evidence of {}.", "No {}."),
        ("Sin evidencia de {}.", "No se observa {}."),
    ),
    "uncertain": (
        ("Verdacht auf {}.", "{} nicht sicher auszuschließen."),
        ("Suspicion {}.", "Possibilité {}."),
        ("Suspected {}.", "Possible {}."),
        ("Sospecha de {}.", "Posible {}."),
    ),
}
_HEADS = (
    ("Befund", "Beurteilung", "Untersuchung in üblicher Technik, die Aufnahmen sind vollständig."),
    ("Résultats", "Conclusion", "Examen réalisé selon la technique habituelle."),
    ("Findings", "Impression", "The examination was done with the usual technique."),
    ("Hallazgos", "Conclusión", "El examen se realizó con la técnica habitual."),
)
_ENDS = (
    "Kontrolle nach klinischem Bedarf.",
    "Contrôle selon la clinique.",
    "Follow-up as clinically needed.",
    "Control según la clínica.",
)
EXAMINED: dict[str, tuple[tuple[str, ...], tuple[str, str, str, str]]] = {
    "chest": (
        ("pneumothorax", "effusion", "fracture"),
        ("Röntgen Thorax", "Radiographie du thorax", "Chest radiograph", "Radiografía de tórax"),
    ),
    "CT thorax": (
        ("pneumothorax", "effusion", "nodule", "lymph nodes"),
        ("CT Thorax", "Scanner thoracique", "CT of the chest", "TC de tórax"),
    ),
    "CT head": (
        ("haemorrhage", "fracture"),
        ("CT Schädel", "Scanner cérébral", "CT of the head", "TC craneal"),
    ),
    "CT abdomen": (
        ("metastases", "lymph nodes"),
        ("CT Abdomen", "Scanner abdominal", "CT of the abdomen", "TC abdominal"),
    ),
    "MR prostate": (
        ("metastases", "lymph nodes"),
        ("MRT Prostata", "IRM de la prostate", "MRI of the prostate", "RM de próstata"),
    ),
    "MR brain": (
        ("haemorrhage", "metastases"),
        ("MRT Schädel", "IRM cérébrale", "MRI of the brain", "RM cerebral"),
    ),
}
"""Examinations that have letters: the findings that they speak of, and their titles."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter. `said` gives words for what it affirms, negates and leaves open."""

    identifier: str
    accession: str
    exam: str
    language: str
    title: str
    written: datetime
    sections: tuple[tuple[str, str], ...]
    said: dict[str, tuple[str, ...]]

    @property
    def text(self) -> str:
        """The whole text, each section after its title.

        >>> from dicomlake.testing.hospital.history import history
        >>> history(7, 3).letters[0].text.split()[0]
        'Findings:'
        """
        return "\n\n".join(f"{title}:\n{text}" for title, text in self.sections)


def letter(
    exam: str, language: str, identifier: str, accession: str, written: datetime, rng: Random
) -> Letter:
    """A letter about an examination, one sentence for each finding that it speaks of."""
    at = LANGUAGES.index(language)
    findings, titles = EXAMINED[exam]
    said: dict[str, list[str]] = {state: [] for state in _SAID}
    sentences = [_HEADS[at][2]]
    for finding in findings:
        state = rng.choice(("affirmed", "negated", "negated", "uncertain", ""))
        if not state:
            continue
        word = _WORDS[finding][at]
        sentences.append(_sentence(rng.choice(_SAID[state][at]), word))
        said[state].append(word.removeprefix("de ").removeprefix("d'"))
    return Letter(
        identifier,
        accession,
        exam,
        language,
        titles[at],
        written,
        ((_HEADS[at][0], " ".join(sentences)), (_HEADS[at][1], _ENDS[at])),
        {state: tuple(words) for state, words in said.items()},
    )


def _sentence(pattern: str, word: str) -> str:
    whole = pattern.format(word)
    return whole[0].upper() + whole[1:]
