"""Sections of reports: their headings in four languages, with LOINC codes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomlake.terms.narratives.words import folded

# LOINC -> what such a section is called, folded
_NAMES = {
    "LN:59776-5": "befund befunde befundung ergebnis ergebnisse findings finding result results "
    "resultat resultats description hallazgos hallazgo resultados descripcion constatations "
    "beschreibung",
    "LN:19005-8": "beurteilung gesamtbeurteilung zusammenfassung fazit epikrise impression "
    "impressions conclusion conclusions interpretation summary opinion synthese conclusiones "
    "impresion interpretacion juicio resumen",
    "LN:55752-0": "klinische_angaben klinische_information klinik anamnese clinical_information "
    "clinical_history history renseignements_cliniques contexte_clinique histoire_clinique "
    "informacion_clinica datos_clinicos historia_clinica antecedentes antecedents",
    "LN:18785-6": "indikation rechtfertigende_indikation fragestellung klinische_fragestellung "
    "indication indications reason_for_exam reason_for_examination clinical_question "
    "indicacion motivo motif motivo_de_consulta motivo_del_estudio",
    "LN:55111-9": "technik untersuchungstechnik methode methodik technique procedure protocol "
    "protocole tecnica metodo examination_technique untersuchung durchfuhrung",
    "LN:18834-2": "vergleich voruntersuchung voraufnahmen voruntersuchungen comparison "
    "comparaison comparacion prior_studies",
    "LN:18783-1": "empfehlung empfehlungen recommendation recommendations procedere "
    "recommandation recommandations recomendacion recomendaciones",
}
_CODES = {name.replace("_", " "): code for code, names in _NAMES.items() for name in names.split()}
_HEADING = re.compile(
    r"^[ \t]*(?P<title>[^\W\d_][^\n:.;]{0,48}?)[ \t]*(?::[ \t]*|\n|\Z)", re.MULTILINE
)
_INLINE = re.compile(r"(?:(?<=[.!?\n])|\A)[ \t]*(?P<title>[^\W\d_][^\n:.;]{0,48}?)[ \t]*:", re.M)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a report; text before the first heading has no title."""

    title: str
    code: str
    text: str


def code_of(title: str) -> str:
    """The LOINC code of a section by its title, "" for one that nobody knows.

    >>> code_of("Beurteilung"), code_of("RÉSULTATS"), code_of("Seite")
    ('LN:19005-8', 'LN:59776-5', '')
    """
    plain = " ".join(folded(title).replace("/", " ").split())
    if found := _CODES.get(plain):
        return found
    first = plain.split(" und ")[0].split(" and ")[0].split(" et ")[0].split(" y ")[0]
    return _CODES.get(first, "")


def sections_of(text: str) -> list[Section]:
    """The sections of a report in their order; [] for a text without anything.

    >>> [(s.title, s.text) for s in sections_of("Befund: Kein Erguss.\\nBeurteilung\\nNormal.")]
    [('Befund', 'Kein Erguss.'), ('Beurteilung', 'Normal.')]
    """
    heads: dict[int, tuple[str, str, int]] = {}
    for pattern in (_HEADING, _INLINE):
        for found in pattern.finditer(text):
            title = found["title"].strip()
            if title and (code := code_of(title)):
                heads.setdefault(found.start("title"), (title, code, found.end()))
    made: list[Section] = []
    begin, title, code = 0, "", ""
    for start, (next_title, next_code, after) in sorted(heads.items()):
        _add(made, title, code, text[begin:start])
        begin, title, code = after, next_title, next_code
    _add(made, title, code, text[begin:])
    return made


def _add(made: list[Section], title: str, code: str, text: str) -> None:
    if text.strip() or title:
        made.append(Section(title, code, text.strip()))
