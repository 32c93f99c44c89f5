"""Random questions about what is inside of objects: the engine against a look at every row."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomlake.engines.duck import DuckEngine
from dicomlake.errors import UsageError
from dicomlake.query import (
    LEVELS,
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
    parse,
    render,
)
from dicomlake.query.attributes import attribute, fields
from dicomlake.terms import Code, units

from .brute_contents import TABLES, BruteContents, bracketed

KEY = dict(
    zip(
        LEVELS,
        ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
        strict=True,
    )
)
OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
OTHER = {"mm": "cm", "ms": "s", "mGy.cm": "Gy.cm", "Gy.m2": "uGy.m2", "mGy": "Gy", "Hz": "kHz",
         "s": "ms", "/min": "/s", "mA": "A", "kV": "kV", "mA.s": "uA.s"}  # fmt: skip
SETTINGS = settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Pool:
    """Paths of contents and some values of each, by what a row is called."""

    def __init__(self, brute):
        self.values = {root: {} for root in TABLES}
        for row in brute.rows["items"]:
            if "steps" not in row:
                continue
            steps = [bracketed(concept) for concept in row["steps"]]
            some = self._of_item(row)
            for path in ("*." + steps[-1], ".".join(steps), "*." + ".".join(steps[-2:]),
                         ".".join([steps[0], "**", steps[-1]]),
                         ".".join([*steps[:1], *["*"] * (len(steps) - 2), *steps[1:][-1:]]),
                         "*." + ".".join([*steps[-3:-2], "*", steps[-1]])):  # fmt: skip
                if not path.startswith("*.*"):
                    self.values["item"].setdefault(path, []).extend(some)
        for root, table in TABLES.items():
            self.values[root][root] = []
            for name, about in fields(root).items():
                found = [self._of_field(about, row.get(name)) for row in brute.rows[table]]
                self.values[root][f"{root}.{name}"] = [v for some in found for v in some]
        for paths in self.values.values():
            for path, values in paths.items():
                kept = sorted(set(values), key=repr)
                paths[path] = kept[:: max(len(kept) // 30, 1)]

    @staticmethod
    def _of_item(row):
        found = [row["text"]] if row["text"] else []
        if row["code"]:
            scheme, value = row["code"].split(":", 1)
            found.append(Code(value, scheme, ""))
        if row["moment"]:
            found += [row["moment"].date(), row["moment"]]
        if row["number"] is not None:
            found.append(row["number"] if row["quantity"] is None else row["quantity"])
            unit = row["quantity_unit"]
            if unit:
                found.append(Quantity(row["quantity"], unit))
                if unit in OTHER:
                    here = units.convert(row["quantity"], unit, OTHER[unit])
                    found.append(Quantity(here, OTHER[unit]))
        return found

    @staticmethod
    def _of_field(about, value):
        found = []
        for one in value if isinstance(value, list) else [value]:
            if about.vr == "SQ":
                codes = one.values() if isinstance(one, dict) else [one]
                parts = [code.split(":", 1) for code in codes if isinstance(code, str)]
                found += [Code(p[1], p[0], "") for p in parts if len(p) == 2 and all(p)]
            elif isinstance(one, bool):
                found.append("yes" if one else "no")
            elif one not in (None, ""):
                found.append(one)
                if about.unit and about.unit in OTHER:
                    found.append(Quantity(units.convert(one, about.unit, OTHER[about.unit]),
                                          OTHER[about.unit]))  # fmt: skip
        return found

    def __repr__(self):
        return "Pool"


@st.composite
def leaves(draw, pool, root=None):
    root = root or draw(st.sampled_from([*TABLES, "item", "item", "item"]))
    path = draw(st.sampled_from(sorted(pool.values[root])))
    values = pool.values[root][path]
    what = draw(st.integers(0, 9))
    if what == 0 or not values:
        return draw(st.sampled_from([Exists, Missing]))(path)
    value = draw(st.sampled_from(values))
    if isinstance(value, Code):
        if attribute(path).kind == "content" and what == 1:
            return Compare(path, "=", f"{value.scheme}:{value.value}")
        return Within(path, value)
    if isinstance(value, str):
        start = draw(st.integers(0, len(value) - 1))
        part = value[start : start + 5]
        if what == 1 and part.isascii():
            return Contains(path, part.upper())
        if what == 2:
            return Like(path, value[:start] + draw(st.sampled_from("*?")) + value[start + 1 :])
    if what == 3:
        fitting = [v for v in values if not isinstance(v, Code)]
        many = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=5))
        padding = tuple(f"no {n}" for n in range(50)) if isinstance(value, str) else ()
        padding = padding or (tuple(range(10**6, 10**6 + 50)) if type(value) is float else ())
        kinds = {str} if attribute(path).kind == "text" else None
        many = [v for v in many if kinds is None or type(v) in kinds] or [value]
        return OneOf(path, (*many, *draw(st.sampled_from([padding, ()]))))
    if what == 4:
        try:
            return Between(path, value, draw(st.sampled_from(values)))
        except (UsageError, TypeError):
            return Compare(path, "!=", value)
    if isinstance(value, float | int) and draw(st.booleans()):
        value += draw(st.sampled_from([0.5, -1, 1000]))
    return Compare(path, draw(OPERATORS), value)


@st.composite
def rows(draw, pool):
    """What one row meets."""
    root = draw(st.sampled_from([*TABLES, "item", "item"]))

    def grown(inner):
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(st.builds(And, parts), st.builds(Or, parts), st.builds(Not, inner))

    return Same(root, draw(st.recursive(leaves(pool, root), grown, max_leaves=4)))


HEADERS = st.sampled_from(
    [parse(text) for text in (
        "Modality = 'SR'", "Modality != 'CT'", "KVP exists", "InstanceNumber = 1",
        "SeriesDescription missing", "StudyDate > 2021", "NumberOfSeriesRelatedInstances > 1",
        "ImageType = 'AXIAL'", "SliceLocation > 5", "*.RequestedProcedureID exists",
        "same(item, RequestAttributesSequence.RequestedProcedureID exists)", "anatomy missing",
        "anatomy exists",
        "anatomy within SCT:69536005", "anatomy within SCT:10200004",
    )]
)  # fmt: skip


def questions(pool):
    def grown(inner):
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        levels = st.sampled_from(["instance", "series", "study"])
        relations = st.sampled_from(["before", "after", "within"])
        return st.one_of(
            st.builds(And, parts),
            st.builds(Or, parts),
            st.builds(Not, inner),
            st.builds(Same, levels, inner),
            st.builds(Same, levels, inner),
            st.builds(Related, inner, inner, relations, st.none(), st.none() | st.just(100)),
        )

    one = st.one_of(leaves(pool), leaves(pool), rows(pool), rows(pool), HEADERS)
    return st.recursive(one, grown, max_leaves=5)


@pytest.fixture(scope="module", params=["contents_lake", "hospital_lake"])
def lake(request):
    store = request.getfixturevalue(request.param)
    brute = BruteContents(store)
    return brute, DuckEngine(store), questions(Pool(brute))


@SETTINGS
@given(data=st.data())
def test_the_engine_finds_what_a_look_at_every_row_finds(lake, data):
    brute, engine, conditions = lake
    where = data.draw(conditions)
    for level in LEVELS:
        found = engine.answer(Query(where, level, show=(KEY[level],)))
        names = sorted(name or "" for name in found.rows.column(0).to_pylist())
        assert names == brute.answer(where, level), (level, render(where))
        assert found.total == len(found)


def test_whatever_can_be_asked_can_be_shown_and_sorted(lake):
    brute, engine, _ = lake
    for root, paths in Pool(brute).values.items():
        some = sorted(paths)[:40]
        for level in ("patient", "instance"):
            assert len(engine.answer(Query(Exists(root), level, show=tuple(some))).rows.columns)
