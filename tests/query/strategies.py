"""Random query trees."""

import datetime as dt

from hypothesis import strategies as st

from dicomlake.query import (
    LEVELS,
    Age,
    And,
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Not,
    OneOf,
    Or,
    Quantity,
    Query,
    Related,
    Same,
    Within,
)
from dicomlake.query.values import rank
from dicomlake.terms import Code

PATHS = {
    "text": ["Modality", "PatientName", "*.SeriesDescription", "(0019,0010)", "StudyInstanceUID"],
    "number": ["EchoTime", "*.Rows", '(0019,"SIEMENS MR HEADER",0C)'],
    "date": ["StudyDate", "PatientBirthDate"],
    "time": ["StudyTime"],
    "datetime": ["AcquisitionDateTime"],
    "age": ["PatientAge"],
    "content": ["*.[MDC:2:16160]", '["9 X":"a]b"].**.[SCT:10200004].*.[]', "[DCM:126000]"],
    "measured": ["event.DLP", "total.DLP"],
    "named": ["segment.label", "channel.lead", "item.template", "item.text"],
    "unknown": ["(0019,1010)", '(0009,"ACME ""X"". 1",01)', 'CTExposureSequence.(0009,"A",02)'],
}
ROWS = {
    "item": ["item.text", "*.[SCT:10200004]", "item.site"],
    "segment": ["segment.label", "segment.volume", "segment.type", "segment"],
    "channel": ["channel.lead", "channel.SamplingFrequency"],
    "event": ["event.DLP", "event.region"],
    "total": ["total.DLP"],
}
CODED = [
    "segment.type",
    "anatomy",
    "*.[DCM:121071]",
    "ProcedureCodeSequence",
    "*.ConceptNameCodeSequence",
    "(0019,1010)",
]
BULK = ["PixelData", "OverlayData"]

words = st.text(min_size=1, max_size=12) | st.sampled_from(["it's", '"', "''", "a\nb", "and", "|)"])
numbers = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-1000, 1000)
)
offsets = st.none() | st.integers(-720, 840).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
quantities = st.builds(Quantity, numbers, st.sampled_from(["mGy.cm", "Gy.cm"]))
VALUES = {
    "content": words | numbers | quantities | st.dates().filter(lambda day: day.year > 999),
    "measured": numbers | quantities,
    "named": words,
    "text": words,
    "number": numbers,
    "date": st.dates(),
    "time": st.times(),
    "datetime": st.datetimes(timezones=offsets),
    "age": st.builds(Age, st.integers(0, 999), st.sampled_from("DWMY")),
    "unknown": words | numbers,
}
kinds = st.sampled_from(sorted(PATHS))


def _path(kind):
    return st.sampled_from(PATHS[kind])


def _ordered(values):
    """Two values, the lower first; moments and unknown values of one type."""
    key = rank if isinstance(values[0], Age | Quantity) else None
    return tuple(sorted(values, key=key))


def _alike(values):
    first, second = (
        next((kind for kind in (str, Quantity, dt.date) if isinstance(v, kind)), int)
        for v in values
    )
    return first == second and len({getattr(v, "tzinfo", None) is None for v in values}) == 1


compares = kinds.flatmap(
    lambda kind: st.builds(
        Compare, _path(kind), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES[kind]
    )
)
one_ofs = kinds.flatmap(
    lambda kind: st.builds(
        OneOf, _path(kind), st.lists(VALUES[kind], min_size=1, max_size=5).map(tuple)
    )
)
betweens = kinds.flatmap(
    lambda kind: st.tuples(
        _path(kind), st.tuples(VALUES[kind], VALUES[kind]).filter(_alike).map(_ordered)
    ).map(lambda given: Between(given[0], *given[1]))
)
any_path = st.sampled_from([*(path for paths in PATHS.values() for path in paths), *CODED, *BULK])
text_path = st.sampled_from(PATHS["text"] + PATHS["unknown"] + PATHS["named"])
codes = st.builds(Code, words, words | st.just("SCT"), st.text(max_size=8))
leaves = st.one_of(
    compares,
    one_ofs,
    betweens,
    st.builds(Exists, any_path),
    st.builds(Missing, any_path),
    st.builds(Contains, text_path, words),
    st.builds(Like, text_path, words),
    st.builds(Within, st.sampled_from(CODED), codes),
)
days = st.none() | st.integers(0, 400) | st.floats(0, 400)


@st.composite
def _related(draw, inner):
    low, high = draw(days), draw(days)
    if low is not None and high is not None:
        low, high = sorted((low, high))
    relation = draw(st.sampled_from(["before", "after", "within"]))
    return Related(draw(inner), draw(inner), relation, low, high)


def _of_row(level):
    """Conditions on one row inside of objects."""
    some = st.builds(Exists, st.sampled_from(ROWS[level]))
    return st.builds(Same, st.just(level), some | st.builds(And, st.tuples(some, some)))


def _joined(inner):
    parts = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        st.builds(And, parts),
        st.builds(Or, parts),
        st.builds(Not, inner),
        st.builds(Same, st.sampled_from(["instance", "series", "study", "patient"]), inner),
        st.builds(Same, st.just("item"), st.builds(Exists, st.sampled_from(BULK))),
        st.sampled_from(sorted(ROWS)).flatmap(_of_row),
        _related(inner),
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
    )


nodes = st.recursive(leaves, _joined, max_leaves=12)

shown = st.lists(any_path, max_size=3).map(tuple)
sorting = st.lists(text_path | text_path.map("-{}".format), max_size=3).map(tuple)
queries = st.builds(
    Query,
    st.none() | nodes,
    st.sampled_from(LEVELS),
    shown,
    sorting,
    st.none() | st.integers(1, 10**9),
)
