"""Reports as people dictate them, in four languages, with what identifies and what must stay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from dicomlake.testing.deidbench.people import Person

LANGUAGES = ("en", "de", "fr", "es")

# {a|b}: what stands in the braces identifies, {kind} as the patient has it
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "en": (
        "To: Dr. {physician}, {street} Road 14, {city}\n"
        "Re: {given} {family}, DOB {born:%d/%m/%Y}, MRN {id}\n\n"
        "CT chest of {day:%d/%m/%Y}, reported by Dr. {operator} at {institution} Hospital.\n"
        "Findings: No pleural effusion. A solid nodule of 12 x 8 mm in segment S6, previously\n"
        "5.0 mm. Hodgkin lymphoma was excluded in a biopsy. Vertebrae T4 to T12 are intact.\n"
        "Impression: follow up after 3 months. Mr {family} was told; his phone is {phone}.\n",
        "RADIOLOGY NOTE\nName: {family}, {given}\nHospital number: {id}   Insurance: {insurance}\n"
        "Examination on {day:%B} {day.day}, {day.year}\n\n"
        "History: Parkinson disease for years, long history of pain in the right hand.\n"
        "Technique: 1.5 Tesla, TR 4000, TE 100, slices of 3 mm.\n"
        "Findings: The long axis of the lesion measures 3.2 cm. Ratio 120/80.\n"
        "Please send results to {mail}. Signed, {operator} MD\n",
        "Dear colleague {physician},\nthank you for referring {given} {family} ({id}), seen on\n"
        "{day:%Y-%m-%d} in our outpatient clinic in {city}.\n"
        "Ultrasound of the liver is normal; Couinaud segments are without lesions. The gall\n"
        "bladder holds a stone of 11.03 mm. Crohn disease in remission. L4/L5 without prolapse.\n"
        "Yours, {operator}, {institution} Clinic, phone {phone}\n",
    ),
    "de": (
        "Sehr geehrter Herr Kollege Dr. {physician},\nwir berichten über {given} {family}, geb.\n"
        "{born:%d.%m.%Y}, wohnhaft {street}straße 7, 12345 {city}, Fallnummer {id}.\n"
        "MRT der rechten Hand vom {day:%d.%m.%Y}: kein Nachweis einer Fraktur. Signal im\n"
        "Os lunatum vermindert, Morbus Kienböck. Läsion 11 x 7 mm, vormals 9,5 mm.\n"
        "Mit freundlichen Grüßen\nDr. med. {operator}, Klinikum {institution}\n",
        "Befund\nPatient: {family}, {given}   Versichertennummer: {insurance}\n"
        "Untersuchung am {day.day}. {monat} {day.year}\n"
        "Anamnese: Morbus Hodgkin, Stadium II. Langer Verlauf.\n"
        "Beurteilung: Rundherd im Segment 6 von 12 mm, Dichte 35 HU. Frau/Herr {family} wurde\n"
        "telefonisch unter {phone} verständigt. Kontrolle in 3 Monaten.\n"
        "gez. {operator}\n",
        "Überweisung von Frau Dr. {physician} aus {city}. {given} {family} stellt sich am\n"
        "{day:%d.%m.%Y} mit Schmerzen im Handgelenk vor. Verhältnis 120/80, Puls 72.\n"
        "Sonographie: Leber normal groß, Gallenblase mit Konkrement 11,03 mm.\n"
        "Rückfragen an {mail}. Ihr Klinikum {institution}\n",
    ),
    "fr": (
        "Cher confrère Dr {physician},\nJ'ai vu M. {family} {given}, né le {born:%d/%m/%Y},\n"
        "demeurant 12 rue {street}, 75011 {city}, dossier {id}.\n"
        "Scanner thoracique du {day:%d/%m/%Y} : nodule de 12 mm du segment 6, sans épanchement.\n"
        "Antécédent de maladie de Hodgkin. Rachis T4-T12 intact.\n"
        "Bien à vous, Dr {operator}, Centre {institution}\n",
        "Compte rendu\nNom : {family}  Prénom : {given}  Numéro : {insurance}\n"
        "Examen réalisé le {day.day} {mois} {day.year}\n"
        "Échographie du foie normale. Vésicule avec calcul de 11,03 mm. Main droite sans\n"
        "fracture. Maladie de Crohn en rémission. Rapport 120/80.\n"
        "Téléphone du patient : {phone}. Signé {operator}\n",
    ),
    "es": (
        "Estimada Dra. {physician}:\nRemitimos a {given} {family}, nacido el {born:%d/%m/%Y},\n"
        "calle {street} 9, 28001 {city}, historia {id}.\n"
        "Tomografía del {day.day} de {mes} de {day.year}: nódulo de 12 mm en el segmento 6, sin\n"
        "derrame pleural. Enfermedad de Parkinson. Vértebras T4 a T12 intactas.\n"
        "Un saludo, Dr. {operator}, Hospital {institution}\n",
        "Informe\nPaciente: {family}, {given}   Afiliación: {insurance}\n"
        "Fecha: {day:%d/%m/%Y}\nEcografía de hígado normal. Vesícula con cálculo de 11,03 mm.\n"
        "Mano derecha sin fractura. Enfermedad de Crohn. Cociente 120/80.\n"
        "Correo: {mail}. Firmado {operator}\n",
    ),
}
_MONTHS = {
    "monat": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "mois": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "mes": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
}
_ENGLISH = "January February March April May June July August September October November December"
_TRAPS = (
    "Hodgkin", "Parkinson", "Crohn", "Couinaud", "Kienböck", "hand", "Hand", "main", "long", "Long",
    "120/80", "11.03", "11,03", "T12", "L4/L5", "12 x 8", "11 x 7",
)  # fmt: skip
_OF_PLACES = frozenset(["Road", "straße", "calle", "Hospital", "Clinic", "Klinikum", "Centre"])
"""Words that belong to the names of places: they may go with them."""
_FIELD = re.compile(r"\{([a-z]+)([^}]*)\}")
_DATE = re.compile(r"\{day\.day\}\.? (?:de )?\{[a-z]+\} (?:de )?\{day\.year\}")
_LETTER = {
    "family": "A", "given": "A", "physician": "A", "operator": "A", "street": "B", "city": "B",
    "institution": "B", "born": "C", "day": "C", "phone": "D", "mail": "F", "id": "H",
    "insurance": "I",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """What identifies in a narrative: its kind, its text, whether only all of it counts."""

    kind: str
    text: str
    letter: str
    phrase: bool = False


@dataclass(frozen=True, slots=True)
class Narrative:
    """A text, what of it must go, what must stay, and the traps among that."""

    language: str
    text: str
    spans: tuple[Span, ...]
    wanted: tuple[str, ...]
    traps: tuple[str, ...]


def narrative(language: str, variant: int, person: Person, day: date) -> Narrative:
    """A report about a patient.

    >>> from dicomlake.testing.deidbench.people import person
    >>> note = narrative("de", 1, person(1, 1), date(2020, 3, 5))
    >>> "5. März 2020" in note.text, "Hodgkin" in note.traps
    (True, True)
    """
    choices = _TEMPLATES[language]
    template = choices[variant % len(choices)]
    months = {key: names.split()[day.month - 1] for key, names in _MONTHS.items()}
    fields = {
        "family": person.family, "given": person.given, "id": person.id, "phone": person.phone,
        "mail": person.mail, "insurance": person.insurance, "physician": person.physician,
        "operator": person.operator, "institution": person.institution, "street": person.street,
        "city": person.city, "born": person.born, "day": day, **months,
    }  # fmt: skip
    english = f"{_ENGLISH.split()[day.month - 1]} {day.day}, {day.year}"
    template = template.replace("{day:%B} {day.day}, {day.year}", english)
    text = template.format(**fields)
    spans = [Span("date", english, "C", True)] if english in template else []
    for match in _DATE.finditer(template):
        spans.append(Span("date", match[0].format(**fields), "C", True))
    rest = _DATE.sub(" ", template)
    for match in _FIELD.finditer(rest):
        kind = match[1]
        said = match[0].format(**fields)
        if kind in ("born", "day"):
            spans.append(Span("date", said, "C", True))
        elif kind == "family" and person.trap:
            spans.append(_with_context(rest, match.start(), match.end(), fields))
        else:
            spans.append(Span(kind, said, _LETTER[kind]))
    plain = _FIELD.sub(" ", rest).replace(english, " ")
    words = re.findall(r"[^\W\d_]{4,}", plain)
    wanted = tuple(dict.fromkeys(w for w in words if w not in _OF_PLACES))
    traps = tuple(trap for trap in _TRAPS if re.search(rf"(?<!\w){re.escape(trap)}(?!\w)", plain))
    return Narrative(language, text, tuple(dict.fromkeys(spans)), wanted, traps)


def _with_context(template: str, start: int, end: int, fields: dict[str, object]) -> Span:
    """A family name that is a common word, with the word beside it that makes it a name."""
    before = re.search(
        r"(\{given\}|Mr|Herr|M\.|Name:|Nom :|Patient:|Paciente:) $", template[:start]
    )
    after = re.match(r",? \{given\}", template[end:])
    if before:
        text = template[start - len(before[0]) : end]
    else:
        text = template[start : end + (len(after[0]) if after else 0)]
    return Span("family", text.format(**fields), "A", True)


def soon(day: date, days: int) -> date:
    """So many days later."""
    return day + timedelta(days=days)
