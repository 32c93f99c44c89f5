"""What kind of series it is: plane, contrast, phase, role, reconstruction, sequence, view.

Geometry and parameters of the acquisition come first, words after; each trait says by which
attribute and rule. `words.csv` beside this file has the words; a site lays its own on top.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.terms import Code, sheets
from dicomlake.terms.bodyparts.letters import words_of
from dicomlake.terms.mapping import normal

COLUMNS = ("kind", "term", "language", "modality", "value", "code", "scheme", "meaning")
NEEDED = ("kind", "term", "value")
KINDS = (
    "plane", "contrast", "phase", "role", "reconstruction", "kernel", "sequence", "correction",
    "view",
)  # fmt: skip

# How often a source is right where it says something, 0 to 1: estimates.
TRUST = {
    "SeriesDescription": 0.9, "ProtocolName": 0.75, "StudyDescription": 0.6,
}  # fmt: skip
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_AXIAL, _NEARLY = 0.966, 0.866
"""Cosines of 15 and 30 degrees: a plane, and a plane that is tilted."""

# Of several sequences that a description names, the one that says most: t2_flair is FLAIR.
_SEQUENCES = (
    "ADC", "MRCP", "DTI", "fMRI", "ASL", "SWI", "TOF", "spectroscopy", "mapping", "field map",
    "elastography", "LGE", "phase contrast", "FLAIR", "STIR", "DWI", "perfusion", "cine", "T2*",
    "bSSFP", "PD", "T1", "T2", "angiography",
)  # fmt: skip
_NO_AGENT = frozenset(
    ["", "none", "no", "ohne", "nativ", "native", "sans", "n", "0", "nein", "non"]
)


@dataclass(frozen=True, slots=True)
class Series:
    """The attributes of a series that may say what kind it is, as they are, named as in DICOM."""

    Modality: str = ""
    SOPClassUID: str = ""
    ImageType: tuple[str, ...] = ()
    SeriesDescription: str = ""
    ProtocolName: str = ""
    StudyDescription: str = ""
    ImageOrientationPatient: tuple[float, ...] = ()
    """Six cosines, or six for each different orientation."""
    ContrastBolusAgent: str = ""
    ConvolutionKernel: tuple[str, ...] = ()
    ViewPosition: str = ""
    ViewCodeSequence: tuple[Code, ...] = ()
    ScanningSequence: tuple[str, ...] = ()
    SequenceName: str = ""
    EchoTime: float | None = None  # ms
    RepetitionTime: float | None = None  # ms
    InversionTime: float | None = None  # ms
    FlipAngle: float | None = None  # degrees
    DiffusionBValue: tuple[float, ...] = ()  # s/mm2
    CorrectedImage: tuple[str, ...] = ()
    AttenuationCorrectionMethod: str = ""


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing that is known of a series: `kind` such as plane, `value` such as axial."""

    kind: str
    value: str
    confidence: float
    attribute: str
    words: str
    rule: str
    code: Code | None = None


_Maker = Callable[[str, str, float, str, object, str], Trait]


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    value: str
    modalities: frozenset[str]
    code: Code | None
    rule: str


@dataclass(slots=True)
class Words:
    """The words that say something, with the codes of what they say."""

    phrases: dict[tuple[str, ...], list[_Word]] = field(default_factory=dict)
    codes: dict[tuple[str, str], Code] = field(default_factory=dict)
    views: dict[tuple[str, str], str] = field(default_factory=dict)
    longest: int = 1


def load(*sites: str | Path) -> Words:
    """Our words, with those of a site on top; a site's row without a `value` silences ours.

    >>> load().codes["plane", "axial"]
    Code(value='24422004', scheme='SCT', meaning='Axial')
    """
    return _loaded(tuple(str(site) for site in sites)) if sites else _ours()


@cache
def _ours() -> Words:
    return _loaded(())


def _loaded(sites: tuple[str, ...]) -> Words:
    texts = [("seriestypes/words.csv", sheets.ours(__package__, "words.csv"))]
    texts += [(Path(site).name, sheets.of_site(site, "series types")) for site in sites]
    words = Words()
    for name, text in texts:
        source = sheets.stamp(name, text)
        for place, row in sheets.rows(name, text, COLUMNS, NEEDED):
            _add(words, row, source, place)
    words.longest = max(len(phrase) for phrase in words.phrases)
    return words


def _add(words: Words, row: dict[str, str], source: str, place: str) -> None:
    phrase, kind, value = words_of(row["term"]), row["kind"], row["value"]
    if kind not in KINDS:
        raise UsageError(
            f"{place}, column kind: unknown kind {kind!r}. Allowed are {', '.join(KINDS)}."
        )
    if not phrase:
        raise UsageError(f"{place}, column term: the term {row['term']!r} has no letters.")
    code = Code(row["code"], row["scheme"], row["meaning"]) if row["code"] else None
    modalities = frozenset(row["modality"].split())
    rule = f"{source}: {kind} {row['term']}"
    same = words.phrases.setdefault(phrase, [])
    if any(w.kind == kind and w.rule.split(":")[0] != source for w in same):
        same[:] = [w for w in same if w.kind != kind]
    if value:
        same.append(_Word(kind, value, modalities, code, rule))
    if code and value:
        words.codes.setdefault((kind, value), code)
        if kind == "view":
            words.views.setdefault((code.value, code.scheme), value)


def of(series: Series, words: Words | None = None) -> tuple[Trait, ...]:
    """What is known of a series, one trait of a kind; the surest source counts.

    >>> [trait.value for trait in of(Series("CT", SeriesDescription="Leber portalvenös MPR cor"))]
    ['coronal', 'given', 'portal venous', 'MPR']
    """
    words = words or load()
    best: dict[str, Trait] = {}
    for trait in _traits(series, words):
        known = best.get(trait.kind)
        if known is None or trait.confidence > known.confidence:
            best[trait.kind] = trait
    _settle(best)
    role = best.get("role")
    if role and role.value in ("localizer", "dose record"):
        for kind in ("contrast", "phase", "sequence", "kernel"):
            best.pop(kind, None)
    return tuple(best[kind] for kind in KINDS if kind in best)


def _settle(best: dict[str, Trait]) -> None:
    """A phase needs contrast: of the two, the surer one counts."""
    phase, contrast = best.get("phase"), best.get("contrast")
    if phase is None or (contrast is not None and contrast.value != "none"):
        return
    if contrast is not None and contrast.confidence > phase.confidence:
        del best["phase"]
    else:
        best["contrast"] = Trait(
            "contrast", "given", phase.confidence, phase.attribute, phase.words, phase.rule
        )


def _traits(series: Series, words: Words) -> Iterator[Trait]:
    def trait(
        kind: str, value: str, confidence: float, attribute: str, said: object, rule: str
    ) -> Trait:
        code = words.codes.get((kind, value))
        return Trait(kind, value, confidence, attribute, str(said), rule, code)

    for value, confidence in _plane(series.ImageOrientationPatient):
        said = "\\".join(f"{n:g}" for n in series.ImageOrientationPatient[:6])
        yield trait(
            "plane", value, confidence, "ImageOrientationPatient", said, "normal of plane 1"
        )
    agent = series.ContrastBolusAgent.strip()
    if agent.casefold() not in _NO_AGENT:
        yield trait("contrast", "given", 0.85, "ContrastBolusAgent", agent, "agent named 1")
    for kind, value, confidence, said in _image_type(series):
        yield trait(kind, value, confidence, "ImageType", said, "values of Image Type 1")
    if series.SOPClassUID == _SECONDARY or series.SOPClassUID.startswith(_SECONDARY + "."):
        rule = "storage class 1"
        yield trait("role", "secondary capture", 0.9, "SOPClassUID", series.SOPClassUID, rule)
    for kernel in series.ConvolutionKernel[:1]:
        if look := _kernel(kernel):
            yield trait("kernel", look, 0.85, "ConvolutionKernel", kernel, "names of kernels 1")
    if series.Modality == "MR":
        sequence = _sequence(series)
        if sequence:
            value, attribute, said = sequence
            confidence = 0.95 if attribute == "DiffusionBValue" else 0.75
            yield trait("sequence", value, confidence, attribute, said, "weighting by times 1")
    if series.Modality == "PT":
        yield from _correction(series, trait)
    yield from _views(series, words, trait)
    for attribute in ("SeriesDescription", "ProtocolName", "StudyDescription"):
        yield from _words_say(series, attribute, words)


def _plane(cosines: tuple[float, ...]) -> Iterator[tuple[str, float]]:
    """Plane of six cosines by their normal; several planes of a localizer are none."""
    found = set[tuple[str, float]]()
    for at in range(0, len(cosines) - 5, 6):
        a, b, c, d, e, f = cosines[at : at + 6]
        normals = [abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d)]
        length = sum(n * n for n in normals) ** 0.5
        if not 0.5 < length < 2:
            return  # no cosines
        most = max(normals)
        name = ("sagittal", "coronal", "axial")[normals.index(most)]
        if most / length >= _AXIAL:
            found.add((name, 0.99))
        elif most / length >= _NEARLY:
            found.add((name, 0.85))
        else:
            found.add(("oblique", 0.95))
    if len({name for name, _ in found}) == 1:
        yield min(found, key=lambda one: one[1])


def _image_type(series: Series) -> Iterator[tuple[str, str, float, str]]:
    values = [value.strip().upper() for value in series.ImageType]
    said = "\\".join(series.ImageType)
    if "LOCALIZER" in values:
        yield "role", "localizer", 0.98, said
    elif {"DOSEINFO", "DOSE_INFO", "DOSE"} & set(values[2:]):
        yield "role", "dose record", 0.95, said
    elif "SCREEN SAVE" in values:
        yield "role", "screen capture", 0.91, said
    elif values[:1] == ["DERIVED"]:
        yield "role", "derived", 0.85, said
    elif values[:1] == ["ORIGINAL"]:
        yield "role", "original", 0.8, said
    rest = values[2:]
    for name, value in (
        ("MIP", "MIP"), ("MAX_IP", "MIP"), ("MIN_IP", "MinIP"), ("MINIP", "MinIP"),
        ("VOLREN", "volume rendering"), ("VRT", "volume rendering"), ("MPR", "MPR"),
        ("REFORMATTED", "MPR"), ("CPR", "curved MPR"), ("SUBTRACTION", "subtraction"),
        ("SUB", "subtraction"),
    ):  # fmt: skip
        if name in rest:
            yield "reconstruction", value, 0.9, said
            break
    if series.Modality == "MR":
        for name, value in (
            ("ADC", "ADC"), ("FA", "DTI"), ("TENSOR", "DTI"), ("DIFFUSION", "DWI"),
            ("TRACEW", "DWI"), ("SWI", "SWI"), ("TOF", "TOF"), ("ASL", "ASL"),
            ("PERFUSION", "perfusion"),
        ):  # fmt: skip
            if name in rest:
                yield "sequence", value, 0.95, said
                break


_SIEMENS = re.compile(r"[A-Z][a-z]{0,2}(\d{2})[a-z]?(?:\b|$|\\)")
_TOSHIBA = re.compile(r"FC(\d{2})")
_NAMED = {
    "SOFT": "soft", "STANDARD": "soft", "STND": "soft", "SMOOTH": "soft", "A": "soft",
    "B": "soft", "C": "soft", "LUNG": "sharp", "BONE": "sharp", "BONEPLUS": "sharp",
    "EDGE": "sharp", "D": "sharp", "L": "sharp", "YC": "sharp", "YD": "sharp", "E": "sharp",
}  # fmt: skip


def _kernel(name: str) -> str | None:
    """Whether a kernel of the large vendors is soft or sharp; None where its name does not say."""
    name = name.strip()
    if (value := _NAMED.get(name.upper())) is not None:
        return value
    if toshiba := _TOSHIBA.fullmatch(name.upper()):
        number = int(toshiba[1])
        return "soft" if number < 30 else None if 40 <= number < 50 else "sharp"
    if siemens := _SIEMENS.match(name):
        return "sharp" if int(siemens[1]) >= 50 else "soft"
    return None


def _sequence(series: Series) -> tuple[str, str, str] | None:
    """Weighting of an MR series by its b-values, else by its times: spin and gradient echoes."""
    bs = series.DiffusionBValue
    if any(b >= 50 for b in bs):
        return "DWI", "DiffusionBValue", "\\".join(f"{b:g}" for b in bs[:8])
    echo, repetition = series.EchoTime, series.RepetitionTime
    inversion = series.InversionTime or 0.0
    kinds = {value.strip().upper() for value in series.ScanningSequence}
    if not echo or not repetition or not kinds:
        return None
    said = f"TE {echo:g}, TR {repetition:g}" + (f", TI {inversion:g}" if inversion else "")
    attribute = "RepetitionTime"
    if "EP" in kinds:
        return None
    if "GR" in kinds and "SE" not in kinds:
        if inversion >= 500:
            return "T1", attribute, said
        if echo >= 12:
            return "T2*", attribute, said
        return ("T1", attribute, said) if (series.FlipAngle or 0) >= 8 and echo < 8 else None
    if inversion >= 1500 and repetition >= 4000:
        return "FLAIR", attribute, said
    if 80 <= inversion <= 300:
        return "STIR", attribute, said
    if repetition < 1000 and echo <= 30:
        return "T1", attribute, said
    if repetition >= 1500 and echo >= 60:
        return "T2", attribute, said
    return ("PD", attribute, said) if repetition >= 1500 and echo <= 50 else None


def _correction(series: Series, trait: _Maker) -> Iterator[Trait]:
    corrected = {value.strip().upper() for value in series.CorrectedImage}
    method = series.AttenuationCorrectionMethod.strip()
    if corrected:
        value = "corrected" if "ATTN" in corrected else "uncorrected"
        said = "\\".join(series.CorrectedImage)
        yield trait("correction", value, 0.97, "CorrectedImage", said, "ATTN 1")
    elif method:
        value = "uncorrected" if method.casefold() in ("none", "no") else "corrected"
        yield trait("correction", value, 0.9, "AttenuationCorrectionMethod", method, "method 1")


_POSITIONS = {
    "AP": "AP", "PA": "PA", "LL": "left lateral", "RL": "right lateral", "LAT": "lateral",
    "LATERAL": "lateral", "LAO": "LAO", "RAO": "RAO", "LPO": "LPO", "RPO": "RPO", "CC": "CC",
    "MLO": "MLO", "ML": "ML", "LM": "LM", "LMO": "LMO", "XCCL": "XCCL", "XCCM": "XCCM",
    "OBL": "oblique", "AX": "axial",
}  # fmt: skip


def _views(series: Series, words: Words, trait: _Maker) -> Iterator[Trait]:
    for code in series.ViewCodeSequence[:1]:
        if value := words.views.get(normal(code.value, code.scheme)):
            yield trait("view", value, 0.97, "ViewCodeSequence", code.value, "CID 4010 and 4014")
    if series.Modality not in ("CT", "MR", "PT") and (
        value := _POSITIONS.get(series.ViewPosition.strip().upper())
    ):
        yield trait("view", value, 0.93, "ViewPosition", series.ViewPosition, "PS3.3 C.8.1.2.1")


def _words_say(series: Series, attribute: str, words: Words) -> Iterator[Trait]:
    text: str = getattr(series, attribute)
    tokens, trust = words_of(text), TRUST[attribute]
    found: dict[str, list[tuple[_Word, str]]] = {}
    at = 0
    while at < len(tokens):
        step = 1
        for length in range(min(words.longest, len(tokens) - at), 0, -1):
            phrase = tokens[at : at + length]
            fitting = [
                word for word in words.phrases.get(phrase, ())
                if not word.modalities or series.Modality in word.modalities
            ]  # fmt: skip
            if fitting:
                step = length
                for word in fitting:
                    found.setdefault(word.kind, []).append((word, " ".join(phrase)))
                break
        at += step
    for kind, said in found.items():
        chosen = _most_telling(kind, said)
        if chosen is None:
            continue
        word, phrase_said = chosen
        sure = trust + 0.02 if kind == "role" else trust  # says more than a storage class
        yield Trait(kind, word.value, sure, attribute, phrase_said, word.rule, word.code)
    if series.Modality == "MR" and re.search(r"T2\s?\*", text, re.IGNORECASE):
        code = words.codes.get(("sequence", "T2*"))
        yield Trait("sequence", "T2*", trust + 0.01, attribute, "T2*", "T2 with a star 1", code)


def _most_telling(kind: str, said: list[tuple[_Word, str]]) -> tuple[_Word, str] | None:
    """Of several values of one kind, the one that says most; None where they contradict."""
    values = {word.value for word, _ in said}
    order: Iterable[str] = ()
    if kind == "sequence":
        order = _SEQUENCES
    elif kind == "phase":
        if "portal venous" in values:
            values.discard("venous")
        if len(values) > 1:
            return None  # a protocol lists all of its phases
        order = ("portal venous",)
    elif kind == "contrast":
        order = ("before and after", "given", "none") if len(values) < 3 else ("before and after",)
    elif kind in ("plane", "view", "kernel", "correction") and len(values) > 1:
        if kind == "correction":
            order = ("uncorrected",)
        else:
            return None
    for value in order:
        for word, phrase in said:
            if word.value == value:
                return word, phrase
    return said[0]
