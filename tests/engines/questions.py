"""Random questions about what a lake holds."""

import datetime as dt

from hypothesis import strategies as st

from dicomlake.dicom.dictionary import attribute
from dicomlake.errors import UsageError
from dicomlake.query import (
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
    Related,
    Same,
    Within,
)
from dicomlake.terms import Code

COUNTS = (
    "NumberOfSeriesRelatedInstances",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
    "NumberOfPatientRelatedStudies",
    "NumberOfPatientRelatedSeries",
)
OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def known(path):
    try:
        return bool(Exists(path))
    except UsageError as error:
        return "neither true" in str(error)


def asked(kind, said):
    """A value of a header as a query may ask for it, or None."""
    try:
        if kind == "text":
            return said["text"]
        if kind == "number":
            return said["number"]
        if kind == "unknown":
            return said.get("number", said.get("text"))
        if kind == "date":
            return said["moment"].date()
        if kind == "datetime":
            return said["moment"]
        if kind == "time":
            seconds = round(said["time"] * 1e6)
            return (dt.datetime.min + dt.timedelta(microseconds=seconds)).time()
        return Age(int(said["text"][:-1]), said["text"][-1])
    except (KeyError, ValueError, UsageError):
        return None


class Pool:
    """What may be asked of a lake: values by kind and path, codes by path, paths inside items."""

    def __init__(self, brute):
        pool = {}
        for instance in brute.instances:
            for path, values in instance["values"].items():
                pool.setdefault(path, []).extend(values)
        self.paths = sorted(filter(known, pool))
        self.values, self.codes, self.inside = {}, {}, {}
        for path in self.paths:
            kind = attribute(path).kind
            found = sorted({v for v in (asked(kind, said) for said in pool[path]) if v}, key=str)
            if found:
                some = found[:: max(len(found) // 40, 1)]
                self.values.setdefault(kind, {})[path] = some
                if path.count(".") == 1 and path[0].isalpha() and kind in ("text", "number"):
                    self.inside.setdefault(path.split(".")[0], {})[path] = some
            codes = sorted({said["code"] for said in pool[path] if said.get("code")})
            if codes:
                self.codes[path] = codes

    def __repr__(self):
        return "Pool"


@st.composite
def _leaves(draw, pool):
    what = draw(st.integers(0, 9))
    if what == 0:
        return draw(st.sampled_from([Exists, Missing]))(draw(st.sampled_from(pool.paths)))
    if what == 1:
        path = draw(st.sampled_from(sorted(pool.codes)))
        value, scheme = draw(st.sampled_from(pool.codes[path]))
        return Within(path, Code(value, scheme)) if scheme else Exists(path)
    if what == 2:
        return Compare(draw(st.sampled_from(COUNTS)), draw(OPERATORS), draw(st.integers(0, 12)))
    kind = draw(st.sampled_from(sorted(pool.values)))
    path = draw(st.sampled_from(sorted(pool.values[kind])))
    values = st.sampled_from(pool.values[kind][path])
    if what == 3:
        return OneOf(path, tuple(draw(st.lists(values, min_size=1, max_size=60))))
    if what == 4:
        low, high = draw(values), draw(values)
        try:
            return Between(path, low, high)
        except UsageError:
            return Compare(path, "!=", low)
    if what in (5, 6) and kind == "text":
        text = draw(values)
        start = draw(st.integers(0, len(text) - 1))
        part = text[start : start + draw(st.integers(1, 6))].lower()
        if what == 5 and part.isascii():
            return Contains(path, part)
        return Like(path, text[:start] + draw(st.sampled_from("*?")) + text[start + 1 :])
    value = draw(values)
    if kind == "number" and draw(st.booleans()):
        value += draw(st.sampled_from([0.5, -0.5, 1, -1, 1000]))
    return Compare(path, draw(OPERATORS), value)


@st.composite
def _items(draw, pool):
    """Conditions on what is in one item."""
    paths = pool.inside[draw(st.sampled_from(sorted(pool.inside)))]
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(sorted(paths)))
        value = draw(st.sampled_from(paths[path]))
        op = draw(st.sampled_from(["=", "!=", ">="]))
        parts.append(draw(st.sampled_from([Compare(path, op, value), Missing(path)])))
    return Same("item", And(tuple(parts)))


@st.composite
def _related(draw, inner):
    low, high = draw(st.tuples(*[st.none() | st.integers(0, 2000)] * 2))
    if low is not None and high is not None:
        low, high = sorted((low, high))
    relation = draw(st.sampled_from(["before", "after", "within"]))
    return Related(draw(inner), draw(inner), relation, low, high)


def questions(pool):
    """A strategy for conditions over what the headers of a lake hold."""

    def grown(inner):
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(
            st.builds(And, parts),
            st.builds(Or, parts),
            st.builds(Not, inner),
            st.builds(Same, st.sampled_from(["instance", "series", "study", "patient"]), inner),
            _related(inner),
        )

    leaves = _leaves(pool)
    return st.recursive(st.one_of(leaves, leaves, leaves, _items(pool)), grown, max_leaves=5)
