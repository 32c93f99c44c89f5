"""What a series shows, from everything that is said of it: regions, sides, and disagreement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from dicomlake.terms import Code
from dicomlake.terms.bodyparts.letters import words_of
from dicomlake.terms.bodyparts.reading import Mention, Sentence, mentions, parse, votes
from dicomlake.terms.bodyparts.tables import Grade, Row, Tables, load, squeezed
from dicomlake.terms.mapping import normal

LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
BOTH = Code("51440002", "SCT", "Bilateral")
"""PS3.16 CID 244."""
_SIDES = {"L": LEFT, "R": RIGHT, "B": BOTH}
_SIDE_CODES = {code.value: letter for letter, code in _SIDES.items()}

SURE = 0.5
"""From this confidence on an answer counts; below it is a guess."""

# How often each attribute is right where it says something, 0 to 1: estimates, from practice and
# from studies of Body Part Examined, which is wrong in about one of seven series.
TRUST = {
    "AnatomicRegionSequence": 0.97, "PrimaryAnatomicStructureSequence": 0.95,
    "SeriesDescription": 0.93, "ProtocolName": 0.88, "PerformedProcedureStepDescription": 0.85,
    "StudyDescription": 0.85, "RequestedProcedureDescription": 0.85,
    "ProcedureCodeSequence": 0.92, "RequestedProcedureCodeSequence": 0.9,
    "Modality": 0.85, "ImageType": 0.85, "BodyPartExamined": 0.8,
    "FrameLaterality": 0.95, "ImageLaterality": 0.95, "Laterality": 0.85,
    "AnatomicRegionModifierSequence": 0.95,
}  # fmt: skip
# How much of that trust is left when a row fits less than fully.
_FIT = {Grade.equal: 1.0, Grade.equivalent: 1.0, Grade.broader: 0.9, Grade.narrower: 0.97}
_NEAR, _DOUBTED, _FOLDER = 0.9, 0.4, 0.75
_MOST = 0.99

# Attributes that decide, the first that says something first; those in one line are filled in
# together, so that they count once. Series are described more closely than studies.
_LEVELS = (
    ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence"),
    ("SeriesDescription",),
    ("ProtocolName",),
    ("StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription",
     "ProcedureCodeSequence", "RequestedProcedureCodeSequence"),
    ("Modality", "ImageType"),
    ("BodyPartExamined",),
)  # fmt: skip
_LEVEL_OF = {attribute: at for at, level in enumerate(_LEVELS) for attribute in level}
_TEXTS = (
    "SeriesDescription", "ProtocolName", "StudyDescription", "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
)  # fmt: skip
_CODED = (
    "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "ProcedureCodeSequence",
    "RequestedProcedureCodeSequence",
)  # fmt: skip

TOGETHER = {
    frozenset(parts.split()): whole
    for parts, whole in (
        ("45048000 816094009 818981001 816092008", "416319003"),
        ("816094009 818981001 816092008", "416775004"),
        ("45048000 816094009 818981001", "416152001"),
        ("45048000 816094009 818982008", "416319003"), ("816094009 818982008", "416775004"),
        ("416550000 816092008", "416775004"), ("416550000 818982008", "416775004"),
        ("416152001 816092008", "416319003"), ("45048000 416775004", "416319003"),
        ("417437006 818982008", "416319003"), ("417437006 818981001", "416152001"),
        ("417437006 416775004", "416319003"),
        ("818981001 816092008", "818982008"), ("816094009 818981001", "416550000"),
        ("45048000 816094009", "417437006"), ("69536005 45048000", "774007"),
        ("122494005 122495006 122496007", "421060004"), ("122494005 122495006", "1217257000"),
        ("122495006 122496007", "1217256009"), ("122496007 54735007", "1217253001"),
        ("62413002 23416004", "110535000"), ("12611008 87342007", "110536004"),
        ("80581009 816092008", "818982008"), ("816094009 80581009", "416550000"),
    )
}  # fmt: skip
"""Regions next to each other that one code names together (PS3.16 Annex L)."""
PLACES = frozenset(["45048000", "816094009", "818981001", "816092008"])
"""Neck, chest, abdomen, pelvis."""
_TRUNK = PLACES | {"818982008", "416550000", "416775004", "416152001", "416319003", "417437006"}
SPINE, WHOLE_BODY = "421060004", "38266002"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The attributes of a series that may say what it shows, as they are, named as in DICOM.

    Of a sequence: the codes of its items.
    """

    Modality: str = ""
    BodyPartExamined: str = ""
    Laterality: str = ""
    ImageLaterality: str = ""
    FrameLaterality: str = ""
    SeriesDescription: str = ""
    ProtocolName: str = ""
    StudyDescription: str = ""
    RequestedProcedureDescription: str = ""
    PerformedProcedureStepDescription: str = ""
    AnatomicRegionSequence: tuple[Code, ...] = ()
    AnatomicRegionModifierSequence: tuple[Code, ...] = ()
    PrimaryAnatomicStructureSequence: tuple[Code, ...] = ()
    ProcedureCodeSequence: tuple[Code, ...] = ()
    RequestedProcedureCodeSequence: tuple[Code, ...] = ()
    ImageType: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """One statement: which attribute said which words, what they mean, and by which row."""

    attribute: str
    words: str
    rule: str
    grade: Grade
    confidence: float
    code: Code | None = None
    laterality: Code | None = None
    before: bool = False
    """The statement is of the folder of a protocol (before ^), which others may narrow."""


@dataclass(frozen=True, slots=True)
class Found:
    """A region that a series shows, its side, how sure that is, and what speaks for it."""

    code: Code
    laterality: Code | None
    confidence: float
    evidence: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Two statements that cannot both be true; `kind` is region or laterality."""

    kind: str
    what: str
    one: Said
    other: Said


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a series shows, where its attributes disagree, and all that was said of it."""

    found: tuple[Found, ...]
    findings: tuple[Finding, ...] = ()
    said: tuple[Said, ...] = ()


def of(evidence: Evidence, tables: Tables | None = None) -> tuple[Found, ...]:
    """The regions that a series shows, the surest first; empty when nothing is said.

    >>> knee, = of(Evidence(Modality="MR", StudyDescription="MRT Kniegelenk li."))
    >>> knee.code.meaning, knee.laterality.meaning, knee.confidence
    ('Knee', 'Left', 0.85)
    """
    return judge(evidence, tables).found


def judge(evidence: Evidence, tables: Tables | None = None) -> Judgement:
    """The regions of a series, its disagreements, and all statements side by side.

    >>> odd = Evidence("CR", "SKULL", StudyDescription="Thorax p.a.")
    >>> judgement = judge(odd)
    >>> [found.code.meaning for found in judgement.found]
    ['Chest']
    >>> judgement.findings[0].what
    'StudyDescription says Chest, BodyPartExamined says Skull.'
    """
    return _judged(evidence, tables or load())


@lru_cache(maxsize=4096)
def _judged(evidence: Evidence, tables: Tables) -> Judgement:
    """The judgement; series of an archive often say the same."""
    regions, sides = _statements(evidence, tables)
    chosen = _decided(regions, tables)
    findings = [*_odd_regions(regions, tables)]
    found = []
    side, odd = _side(sides)
    for code, level in chosen:
        one = _weighed(code, level, regions, tables)
        region = tables.regions.get(code)
        if region and region.paired:
            own = [s for s in one.evidence if s.laterality is not None]
            mine = own[0].laterality if own else (side.laterality if side else None)
            backing = tuple(s for s in sides if s.laterality == mine) if mine else ()
            extra = tuple(s for s in backing if s not in one.evidence)
            one = replace(one, laterality=mine, evidence=(*one.evidence, *extra))
        found.append(one)
    if odd is not None and any(f.laterality for f in found):
        findings.append(odd)
    found.sort(key=lambda f: -f.confidence)
    return Judgement(tuple(found), tuple(findings), (*regions, *sides))


@dataclass(slots=True)
class _Heard:
    """What is gathered of one series."""

    regions: list[Said] = field(default_factory=list)
    sides: list[Said] = field(default_factory=list)


def _statements(evidence: Evidence, tables: Tables) -> tuple[list[Said], list[Said]]:
    heard, sentences = _Heard(), dict[str, Sentence]()
    for attribute in _TEXTS:
        if text := getattr(evidence, attribute):
            sentences[attribute] = parse(text, tables)
    tag = evidence.BodyPartExamined
    spoken = votes([*sentences.values()])
    for attribute, sentence in sentences.items():
        said = list(mentions(sentence, tables, evidence.Modality, spoken))
        folder, *rest = getattr(evidence, attribute).split("^")
        _hear(heard, attribute, said, len(words_of(folder)) if len(rest) == 1 else 0, tables)
    for attribute in _CODED:
        for code in getattr(evidence, attribute):
            _hear_code(heard, attribute, code, tables)
    for code in evidence.AnatomicRegionModifierSequence:
        letter = _SIDE_CODES.get(normal(code.value, code.scheme)[0])
        _hear_side(heard, "AnatomicRegionModifierSequence", code.meaning or code.value, letter)
    for attribute in ("FrameLaterality", "ImageLaterality", "Laterality"):
        value = getattr(evidence, attribute).strip().upper()
        _hear_side(heard, attribute, value, value if value in _SIDES else None)
    if row := tables.modalities.get(evidence.Modality):
        for code_value in row.codes:
            _say(heard, "Modality", evidence.Modality, row, code_value, 1.0, tables)
    for value in evidence.ImageType[2:]:
        row = tables.image_types.get(value.strip().upper())
        if row and evidence.Modality in row.modalities:
            for code_value in row.codes:
                _say(heard, "ImageType", value, row, code_value, 1.0, tables)
    if tag.strip():
        _hear_tag(heard, tag, evidence.Modality, tables)
    return heard.regions, heard.sides


def _say(
    heard: _Heard, attribute: str, words: str, row: Row, code: str, fit: float, tables: Tables,
    side: str = "", before: bool = False,
) -> None:  # fmt: skip
    confidence = round(TRUST[attribute] * _FIT.get(row.grade, 1.0) * fit, 3)
    laterality = _SIDES.get(side)
    said = Said(
        attribute, words, row.rule, row.grade, confidence, tables.code(code), laterality, before
    )
    heard.regions.append(said)
    if row.laterality:  # a code of a region or procedure that has a side, too
        both = Said(attribute, words, row.rule, row.grade, confidence, None, _SIDES[row.laterality])
        heard.sides.append(both)


def _hear(
    heard: _Heard, attribute: str, said: Sequence[Mention], folder: int, tables: Tables
) -> None:
    """Regions and sides of one description."""
    sides = [m for m in said if m.row.laterality and not m.row.codes and not m.doubted]
    regions = [m for m in said if m.codes]
    named = {m.row.laterality for m in sides}
    paired = [
        m for m in regions
        if not m.doubted and any(tables.regions[c].paired for c in m.codes if c in tables.regions)
    ]  # fmt: skip
    each = dict[int, str]()
    different = {m.codes for m in paired}
    if len(named) > 1 and "B" not in named and len(different) > 1:
        for side in sides:  # each side is of the nearest region
            nearest = min(paired, key=lambda m: (_gap(m, side), m.start))
            each[nearest.start] = side.row.laterality
        sides = []
    for mention in regions:
        fit = (_NEAR if mention.near else 1.0) * (_DOUBTED if mention.doubted else 1.0)
        before = mention.start < folder
        for code in mention.codes:
            _say(
                heard, attribute, mention.words, mention.row, code,
                fit * (_FOLDER if before else 1.0), tables, each.get(mention.start, ""), before,
            )  # fmt: skip
    if sides and named:
        letter = "B" if len(named) > 1 else named.pop()
        words = " ".join(dict.fromkeys(m.words for m in sides))
        rows = " + ".join(dict.fromkeys(m.row.rule for m in sides))
        heard.sides.append(
            Said(attribute, words, rows, Grade.equivalent, TRUST[attribute], None, _SIDES[letter])
        )


def _gap(one: Mention, other: Mention) -> int:
    return max(one.start - other.end, other.start - one.end)


def _hear_code(heard: _Heard, attribute: str, code: Code, tables: Tables) -> None:
    value, scheme = normal(code.value.strip(), code.scheme.strip())
    written = f"{code.scheme}:{code.value}"
    if row := tables.codes.get((value, scheme)):
        for region in row.codes:
            _say(heard, attribute, written, row, region, 1.0, tables)
    elif scheme == "SCT" and (value in tables.regions or attribute in _LEVELS[0]):
        same = Grade.equal if code.value.strip() == value else Grade.equivalent
        rule = Row("code", value, "SCT", "", frozenset(), (value,), same, "", tables.sources[0])
        _say(heard, attribute, written, rule, value, 1.0, tables)
        if value not in tables.regions:  # a region that no table has, as it was sent
            heard.regions[-1] = replace(heard.regions[-1], code=Code(value, "SCT", code.meaning))


def _hear_side(heard: _Heard, attribute: str, words: str, letter: str | None) -> None:
    if letter:
        rule = "PS3.16 CID 244"
        heard.sides.append(
            Said(attribute, words, rule, Grade.equal, TRUST[attribute], None, _SIDES[letter])
        )


def _hear_tag(heard: _Heard, tag: str, modality: str, tables: Tables) -> None:
    """Body Part Examined: a term as it should be, an entry of a device, or words of people."""
    if row := tables.tags.get(squeezed(tag)):
        for code in row.codes:
            _say(heard, "BodyPartExamined", tag, row, code, 1.0, tables)
        return
    sentence = parse(tag, tables)
    spoken = votes([sentence])
    for rows, *_ in sentence.options:  # one word alone is of its own language
        spoken.update({row.language for row in rows if "hint" in row.kind})
    _hear(heard, "BodyPartExamined", list(mentions(sentence, tables, modality, spoken)), 0, tables)


def _decided(regions: Sequence[Said], tables: Tables) -> list[tuple[str, int]]:
    """The regions that count, with the level of attributes that decided."""
    by_level = dict[int, list[Said]]()
    for said in regions:
        by_level.setdefault(_LEVEL_OF[said.attribute], []).append(said)
    for wanted in (SURE, 0.0):
        for level in sorted(by_level):
            sure = [s for s in by_level[level] if s.confidence >= wanted]
            if not sure:
                continue
            own = _told(sure, tables)
            if level < _LEVEL_OF["BodyPartExamined"] - 1:
                own = _narrowed(own, by_level, level, tables)
            return [(code, level) for code in own]
    return []


def _told(said: Sequence[Said], tables: Tables) -> list[str]:
    """The regions of one level: parts instead of wholes, neighbours under one code."""
    later = [s for s in said if not s.before]
    codes = list(dict.fromkeys(s.code.value for s in (later or said) if s.code))
    return _joined(_pruned(codes, tables), tables)


def _pruned(codes: list[str], tables: Tables) -> list[str]:
    """Without wholes whose part is named; between parts of the trunk, without the organs."""
    wholes = {c for c in codes if any(c in tables.above(o) for o in codes if o != c)}
    spine = {c for c in codes if c == SPINE or SPINE in tables.above(c)}
    trunk = [c for c in codes if c in _TRUNK]
    if len(_bare_trunk(trunk, tables)) > 1 or not PLACES.issuperset(trunk):
        organs = {
            c for c in codes
            if c not in _TRUNK and c not in spine and tables.above(c) & set(trunk)
        }  # fmt: skip
        return [c for c in codes if c not in organs and (c not in wholes or c in trunk)]
    kept = {
        c for c in wholes & _TRUNK
        if all(o in spine for o in codes if c in tables.above(o))
    }  # fmt: skip
    return [c for c in codes if c not in wholes or c in kept]


def _bare_trunk(trunk: list[str], tables: Tables) -> list[str]:
    return [c for c in trunk if not any(c in tables.above(o) for o in trunk if o != c)]


def _joined(codes: list[str], tables: Tables) -> list[str]:
    """Neighbours under one code where there is one."""
    wholes = [
        c for c in codes if c in _TRUNK and any(c in tables.above(o) and o in _TRUNK for o in codes)
    ]
    codes = [c for c in codes if c not in wholes] or codes
    for parts, whole in TOGETHER.items():
        if parts <= set(codes):
            codes = [whole, *(c for c in codes if c not in parts)]
    return list(dict.fromkeys(codes))


def _narrowed(
    codes: list[str], by_level: dict[int, list[Said]], level: int, tables: Tables
) -> list[str]:
    """A region that other descriptions name more closely, as those name it."""
    if len(codes) != 1 or codes[0] == WHOLE_BODY or codes[0] in _TRUNK - PLACES:
        return codes
    code = codes[0]
    for other in sorted(by_level):
        if other <= level or other >= _LEVEL_OF["Modality"]:
            continue
        sure = [s for s in by_level[other] if s.confidence >= SURE]
        told = _told(sure, tables) if sure else []
        if len(told) == 1 and code in tables.above(told[0]) and told[0] not in _TRUNK:
            return told
    return codes


def _weighed(code: str, level: int, regions: Iterable[Said], tables: Tables) -> Found:
    """A region with the statements that agree, and a confidence: agreement raises it."""
    best, agreeing, against = dict[int, float](), list[Said](), 0.0
    for said in regions:
        at = _LEVEL_OF[said.attribute]
        assert said.code is not None
        if tables.agree(code, said.code.value):
            agreeing.append(said)
            best[at] = max(best.get(at, 0.0), said.confidence)
        elif (
            at != level
            and said.confidence >= SURE
            and code in tables.regions
            and said.code.value in tables.regions
            and not _beside(code, said, regions, tables)
        ):
            against = max(against, said.confidence)
    doubt = 1.0
    for confidence in best.values():
        doubt *= 1 - confidence
    confidence = min(1 - doubt, _MOST) * (1 - 0.4 * against)
    if max(best.values(), default=0.0) < SURE:
        confidence = min(confidence, max(best.values(), default=0.0))
    meant = agreeing[0].code if code not in tables.regions else None
    return Found(meant or tables.code(code), None, round(confidence, 3), tuple(agreeing))


def _beside(code: str, said: Said, regions: Iterable[Said], tables: Tables) -> bool:
    """Whether an attribute that says another region says this one, too."""
    return any(
        other.attribute == said.attribute and other.code and tables.agree(code, other.code.value)
        for other in regions
    )


def _side(sides: Sequence[Said]) -> tuple[Said | None, Finding | None]:
    """The side that counts, and a disagreement; one side of both is none."""
    if not sides:
        return None, None
    order = {
        "FrameLaterality": 0, "ImageLaterality": 1, "AnatomicRegionModifierSequence": 2,
        "AnatomicRegionSequence": 2, "PrimaryAnatomicStructureSequence": 2,
        "SeriesDescription": 3, "ProtocolName": 4, "Laterality": 5,
    }  # fmt: skip
    ranked = sorted(sides, key=lambda s: order.get(s.attribute, 6))
    first = ranked[0]
    for other in ranked[1:]:
        if (
            BOTH not in (first.laterality, other.laterality)
            and first.laterality != other.laterality
        ):
            assert first.laterality is not None
            assert other.laterality is not None
            what = (
                f"{first.attribute} says {first.laterality.meaning.lower()}, "
                f"{other.attribute} says {other.laterality.meaning.lower()}."
            )
            return first, Finding("laterality", what, first, other)
    return first, None


def _odd_regions(regions: Sequence[Said], tables: Tables) -> Iterable[Finding]:
    """Pairs of attributes of which the one says nothing that fits the other."""
    sure = dict[str, list[Said]]()
    for said in regions:
        if said.confidence >= SURE and said.code and said.code.value in tables.regions:
            sure.setdefault(said.attribute, []).append(said)
    names = sorted(sure, key=lambda name: _LEVEL_OF[name])
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            pairs = [
                (a, b) for a in sure[one] for b in sure[other]
                if a.code and b.code
            ]  # fmt: skip
            if pairs and not any(tables.agree(a.code.value, b.code.value) for a, b in pairs
                                 if a.code and b.code):  # fmt: skip
                a, b = pairs[0]
                assert a.code is not None
                assert b.code is not None
                yield Finding(
                    "region", f"{one} says {a.code.meaning}, {other} says {b.code.meaning}.", a, b
                )
