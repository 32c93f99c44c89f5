"""Queries in plain words, for people who check that a question asks what they mean.

>>> from dicomlake.query import parse_query
>>> sentence(parse_query("Modality = 'MR' and MagneticFieldStrength >= 3 level patient"))
'Patients with: Modality is MR, and Magnetic Field Strength is at least 3 tesla.'
>>> sentence(parse_query("Modality = 'MR' and MagneticFieldStrength >= 3"), "de")
'Serien mit: Modality ist MR, und Magnetic Field Strength ist mindestens 3 tesla.'
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, singledispatch

from dicomlake import tables
from dicomlake.dicom.concepts import code_of
from dicomlake.dicom.dictionary import segments
from dicomlake.query.attributes import attribute
from dicomlake.query.nodes import (
    And,
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Node,
    Not,
    OneOf,
    Or,
    Query,
    Related,
    Same,
    Within,
    fold,
)
from dicomlake.query.values import Age, Quantity, Value, plain
from dicomlake.terms.mapping import meaning_of

_LONG = re.compile(r"( region)?( structure)? \(body structure\)$")
"""What long names of SNOMED CT end with."""
_FEW = 5
"""Values of a list that a sentence names."""


@dataclass(frozen=True, slots=True)
class _Words:
    """How one language says it; what stands in braces is filled in."""

    levels: Mapping[str, str]
    all: str
    found: str
    sorted: str
    then: str
    downwards: str
    first: str
    compare: Mapping[str, str]
    dates: Mapping[str, str]
    one_of: str
    more: str
    between: str
    exists: str
    exists_row: str
    missing: str
    missing_row: str
    contains: str
    like: str
    within: str
    joined_and: str
    joined_or: str
    negated: str
    same: str
    things: Mapping[str, str]
    relations: Mapping[str, str]
    at_most: str
    at_least: str
    days: str
    related: str
    any_depth: str
    of: str
    of_row: str
    anatomy: str
    ages: Mapping[str, tuple[str, str]]
    thousands: str
    rows: Mapping[str, str]
    fields: Mapping[str, str]
    answers: Mapping[str, str]


_ENGLISH = _Words(
    levels={
        "patient": "Patients", "study": "Studies", "series": "Series", "instance": "Instances",
    },
    all="All {what}.", found="{what} with: {said}.", sorted=" Sorted by {by}.", then=", then ",
    downwards=" downwards", first=" The first {n}.",
    compare={"=": "is", "!=": "is other than", ">": "is above", ">=": "is at least",
             "<": "is below", "<=": "is at most"},
    dates={"=": "is", "!=": "is other than", ">": "is after", ">=": "is on or after",
           "<": "is before", "<=": "is on or before"},
    one_of="{name} is one of {said}", more=" and {n} more",
    between="{name} is between {low} and {high}", exists="{name} has a value",
    exists_row="there is a {thing}", missing="{name} has no value",
    missing_row="there is no {thing}", contains="{name} contains “{text}”",
    like="{name} looks like “{text}”", within="{name} is {said} or something narrower",
    joined_and=", and ", joined_or=", or ", negated="not ({said})",
    same="in one and the same {thing} ({said})",
    things={"annotation": "statement", "finding": "fault", "fact": "clinical fact"},
    relations={"before": "before", "after": "after", "within": "before or after"},
    at_most="at most {high} days ", at_least="at least {low} days ", days="{low} to {high} days ",
    related="({first}) {days}{word} ({second}) of the same patient",
    any_depth="{name} (at any depth)", of="{name} of {around}", of_row="{name} of the {around}",
    anatomy="anatomy",
    ages={"Y": ("year", "years"), "M": ("month", "months"), "W": ("week", "weeks"),
          "D": ("day", "days")},
    thousands=",",
    rows={
        "annotation": "statement of an enricher", "finding": "fault", "fact": "clinical fact",
    },
    fields={
        "annotation.structure": "body part or structure stated",
        "annotation.laterality": "side stated", "annotation.code": "code stated",
        "annotation.kind": "kind of the statement", "annotation.label": "label of the statement",
        "annotation.name": "name of what is stated",
        "annotation.confidence": "confidence of the statement",
        "annotation.volume": "volume stated", "annotation.intensity": "mean value stated",
        "annotation.complete": "complete in the picture",
        "annotation.enricher": "enricher that states it",
        "finding.rule": "fault found", "finding.severity": "severity of the fault",
        "finding.path": "attribute with the fault", "finding.enricher": "enricher that finds it",
        "fact.code": "diagnosis, procedure, value or medication",
        "fact.kind": "kind of the clinical fact", "fact.text": "text of the clinical fact",
        "fact.quantity": "value of the clinical fact", "fact.value": "coded value of the fact",
        "fact.started": "begin of the clinical fact", "fact.ended": "end of the clinical fact",
        "document.text": "text of the document", "document.type": "type of the document",
        "document.affirmed": "what the document affirms",
        "document.negated": "what the document negates",
        "document.uncertain": "what the document leaves open",
        "document.language": "language of the document", "document.written": "date of the document",
    },
    answers={},
)  # fmt: skip
_GERMAN = _Words(
    levels={
        "patient": "Patienten", "study": "Studien", "series": "Serien", "instance": "Instanzen",
    },
    all="Alle {what}.", found="{what} mit: {said}.", sorted=" Sortiert nach {by}.",
    then=", dann ", downwards=" absteigend", first=" Die ersten {n}.",
    compare={"=": "ist", "!=": "ist anders als", ">": "ist über", ">=": "ist mindestens",
             "<": "ist unter", "<=": "ist höchstens"},
    dates={"=": "ist", "!=": "ist anders als", ">": "ist nach", ">=": "ist am oder nach",
           "<": "ist vor", "<=": "ist am oder vor"},
    one_of="{name} ist eines von {said}", more=" und {n} weiteren",
    between="{name} liegt zwischen {low} und {high}", exists="{name} hat einen Wert",
    exists_row="es gibt {thing}", missing="{name} hat keinen Wert",
    missing_row="es gibt nicht {thing}", contains="{name} enthält „{text}“",
    like="{name} passt auf „{text}“", within="{name} ist {said} oder etwas Engeres",
    joined_and=", und ", joined_or=", oder ", negated="nicht ({said})",
    same="in {thing} ({said})",
    things={
        "item": "ein und demselben Eintrag", "segment": "ein und demselben Segment",
        "channel": "ein und demselben Kanal", "event": "ein und demselben Dosisereignis",
        "total": "ein und derselben Dosissumme", "instance": "ein und derselben Instanz",
        "series": "ein und derselben Serie", "study": "ein und derselben Studie",
        "patient": "ein und demselben Patienten", "annotation": "ein und derselben Aussage",
        "finding": "ein und demselben Fehler",
        "fact": "ein und derselben klinischen Angabe", "document": "ein und demselben Dokument",
    },
    relations={"before": "vor", "after": "nach", "within": "vor oder nach"},
    at_most="höchstens {high} Tage ", at_least="mindestens {low} Tage ",
    days="{low} bis {high} Tage ",
    related="({first}) {days}{word} ({second}) desselben Patienten",
    any_depth="{name} (in beliebiger Tiefe)", of="{name} von {around}",
    of_row="{name} von {around}", anatomy="Anatomie",
    ages={"Y": ("Jahr", "Jahre"), "M": ("Monat", "Monate"), "W": ("Woche", "Wochen"),
          "D": ("Tag", "Tage")},
    thousands=".",
    rows={
        "annotation": "eine Aussage eines Enrichers", "finding": "einen Fehler",
        "fact": "eine klinische Angabe", "document": "ein Dokument",
    },
    fields={
        "annotation.structure": "ausgesagte Körperregion oder Struktur",
        "annotation.laterality": "ausgesagte Seite", "annotation.code": "ausgesagter Code",
        "annotation.kind": "Art der Aussage", "annotation.label": "Bezeichnung der Aussage",
        "annotation.name": "Name des Ausgesagten",
        "annotation.confidence": "Sicherheit der Aussage",
        "annotation.volume": "ausgesagtes Volumen",
        "annotation.intensity": "ausgesagter Mittelwert",
        "annotation.complete": "vollständig im Bild",
        "annotation.enricher": "Enricher, der es aussagt",
        "finding.rule": "gefundener Fehler", "finding.severity": "Schwere des Fehlers",
        "finding.path": "Attribut mit dem Fehler", "finding.enricher": "Enricher, der es findet",
        "fact.code": "Diagnose, Prozedur, Messwert oder Medikation",
        "fact.kind": "Art der klinischen Angabe", "fact.text": "Text der klinischen Angabe",
        "fact.quantity": "Wert der klinischen Angabe", "fact.value": "codierter Wert der Angabe",
        "fact.started": "Beginn der klinischen Angabe", "fact.ended": "Ende der klinischen Angabe",
        "document.text": "Text des Dokuments", "document.type": "Art des Dokuments",
        "document.affirmed": "was das Dokument bejaht",
        "document.negated": "was das Dokument verneint",
        "document.uncertain": "was das Dokument offen lässt",
        "document.language": "Sprache des Dokuments", "document.written": "Datum des Dokuments",
    },
    answers={"yes": "ja", "no": "nein"},
)  # fmt: skip
_LANGUAGES = {"en": _ENGLISH, "de": _GERMAN}


def sentence(query: Query, language: str = "en") -> str:
    """What a query asks, as a sentence in English or German ("de")."""
    words = _LANGUAGES[language]
    what = words.levels[query.level]
    if query.where is None:
        what = what.lower() if words is _ENGLISH else what
        found = words.all.format(what=what)
    else:
        found = words.found.format(what=what, said=phrase(query.where, language))
    if query.order:
        first = [
            name_of(path.removeprefix("-"), language) + words.downwards * (path[:1] == "-")
            for path in query.order
        ]
        found += words.sorted.format(by=words.then.join(first))
    return found + ("" if query.limit is None else words.first.format(n=_count(query.limit, words)))


def phrase(node: Node, language: str = "en") -> str:
    """A condition in words.

    >>> from dicomlake.query import parse
    >>> phrase(parse("not (Modality in ('CT', 'MR') or PatientAge < 18Y)"))
    'not (Modality is one of CT, MR, or Patient’s Age is below 18 years)'
    """
    said: str = fold(node, partial(_phrase, words=_LANGUAGES[language]))
    return said


def name_of(path: str, language: str = "en") -> str:
    """What people call a path."""
    return _name(path, _LANGUAGES[language])


def _name(path: str, words: _Words) -> str:
    if path in words.fields:
        return words.fields[path]
    about = attribute(path)
    *around, last = path.split(".") if not path.startswith(("(", "[", "*.[")) else [path]
    name = about.name.replace("'", "’") if about.name and about.tag else last.replace("_", " ")
    if path == "anatomy":
        return words.anatomy
    if path.startswith(("[", "*.[")):
        return meaning_of(*code_of(segments(path)[-1])) or path
    if around == ["*"]:
        return words.any_depth.format(name=name)
    if about.table and around:
        return words.of_row.format(name=name, around=around[0])
    if around and about.tag:
        return words.of.format(name=name, around=_name(".".join(around), words))
    return name


def _count(number: int, words: _Words) -> str:
    return f"{number:,}".replace(",", words.thousands)


@singledispatch
def _phrase(node: Node, inner: list[str], words: _Words) -> str:
    return type(node).__name__


@_phrase.register
def _(node: Compare, inner: list[str], words: _Words) -> str:
    said = words.dates if isinstance(node.value, dt.date | dt.time) else words.compare
    return f"{_name(node.path, words)} {said[node.op]} {_value(node.path, node.value, words)}"


@_phrase.register
def _(node: OneOf, inner: list[str], words: _Words) -> str:
    said = ", ".join(_value(node.path, value, words) for value in node.values[:_FEW])
    more = len(node.values) - _FEW
    found = words.one_of.format(name=_name(node.path, words), said=said)
    return found + (words.more.format(n=_count(more, words)) if more > 0 else "")


@_phrase.register
def _(node: Between, inner: list[str], words: _Words) -> str:
    low, high = (_value(node.path, value, words) for value in (node.low, node.high))
    return words.between.format(name=_name(node.path, words), low=low, high=high)


@_phrase.register
def _(node: Exists, inner: list[str], words: _Words) -> str:
    if _is_row(node.path):
        return words.exists_row.format(thing=words.rows.get(node.path, node.path))
    return words.exists.format(name=_name(node.path, words))


@_phrase.register
def _(node: Missing, inner: list[str], words: _Words) -> str:
    if _is_row(node.path):
        return words.missing_row.format(thing=words.rows.get(node.path, node.path))
    return words.missing.format(name=_name(node.path, words))


def _is_row(path: str) -> bool:
    about = attribute(path)
    return bool(about.table) and "." not in path and not path.startswith("[")


@_phrase.register
def _(node: Contains, inner: list[str], words: _Words) -> str:
    return words.contains.format(name=_name(node.path, words), text=node.text)


@_phrase.register
def _(node: Like, inner: list[str], words: _Words) -> str:
    return words.like.format(name=_name(node.path, words), text=node.pattern)


@_phrase.register
def _(node: Within, inner: list[str], words: _Words) -> str:
    code = f"{node.code.scheme}:{node.code.value}"
    meaning = node.code.meaning or meaning_of(node.code.value, node.code.scheme)
    meaning = _LONG.sub("", meaning)
    said = f"{meaning} ({code})" if meaning else code
    return words.within.format(name=_name(node.path, words), said=said)


@_phrase.register
def _(node: And, inner: list[str], words: _Words) -> str:
    return words.joined_and.join(map(_closed, node.parts, inner))


@_phrase.register
def _(node: Or, inner: list[str], words: _Words) -> str:
    return words.joined_or.join(map(_closed, node.parts, inner))


@_phrase.register
def _(node: Not, inner: list[str], words: _Words) -> str:
    return words.negated.format(said=inner[0])


@_phrase.register
def _(node: Same, inner: list[str], words: _Words) -> str:
    return words.same.format(thing=words.things.get(node.level, node.level), said=inner[0])


@_phrase.register
def _(node: Related, inner: list[str], words: _Words) -> str:
    low, high = node.days_low, node.days_high
    days = "" if high is None else words.at_most.format(high=f"{high:g}")
    if low is not None:
        text = words.at_least if high is None else words.days
        days = text.format(low=f"{low:g}", high="" if high is None else f"{high:g}")
    return words.related.format(
        first=inner[0], days=days, word=words.relations[node.relation], second=inner[1]
    )


def _closed(node: Node, said: str) -> str:
    return f"({said})" if isinstance(node, And | Or) and len(node.parts) > 1 else said


def _value(path: str, value: Value, words: _Words) -> str:
    if isinstance(value, Quantity):
        return str(value)
    if isinstance(value, Age):
        return f"{value.count} {words.ages[value.unit][value.count != 1]}"
    if path == "annotation.complete" and value in words.answers:
        return words.answers[str(value)]
    if isinstance(value, dt.datetime) and value.time() in (dt.time.min, dt.time.max):
        return value.date().isoformat()
    unit = attribute(path).unit or tables.UNITS.get(path.rpartition(".")[2], "").partition(",")[0]
    unit = "" if unit == tables.ANY_UNIT else unit
    number = isinstance(value, int | float)
    return f"{plain(value)} {unit}" if number and unit else str(plain(value))
