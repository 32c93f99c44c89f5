"""Every tree survives the way through text and through JSON, deep and long ones too."""

import copy
import json
import pickle
import time

import pytest
from hypothesis import HealthCheck, given, settings

from dicomlake.errors import UsageError
from dicomlake.query import (
    MAX_DEPTH,
    And,
    Compare,
    Exists,
    Not,
    OneOf,
    Or,
    Query,
    Related,
    Same,
    from_json,
    parse,
    parse_query,
    render,
    to_json,
)

from .strategies import nodes, queries

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MR, BOLUS = Compare("Modality", "=", "MR"), Exists("ContrastBolusAgent")


def same_types(first, second):
    """Equal, and no 3.0 for a 3."""
    return first == second and repr(first) == repr(second)


@unhurried
@given(nodes)
def test_text_keeps_every_node(node):
    assert same_types(parse(render(node)), node)


@unhurried
@given(nodes)
def test_json_keeps_every_node(node):
    assert same_types(from_json(json.loads(json.dumps(to_json(node)))), node)


@unhurried
@given(queries)
def test_both_keep_every_query(query):
    assert same_types(parse_query(render(query)), query)
    assert same_types(from_json(json.loads(json.dumps(to_json(query)))), query)


@unhurried
@given(nodes)
def test_trees_are_values(node):
    assert hash(pickle.loads(pickle.dumps(node))) == hash(node)
    assert copy.deepcopy(node) == node
    assert node.depth == 1 + max((part.depth for part in node.children), default=0)


def nested(wrap, levels=MAX_DEPTH):
    node = MR
    while node.depth < levels:
        node = wrap(node)
    return node


WRAPS = {
    "not": Not,
    "one": lambda node: And((node,)),
    "mixed": lambda node: Or((BOLUS, node)) if isinstance(node, And) else And((node, BOLUS)),
    "same": lambda node: Same("series", node),
    "related": lambda node: Related(BOLUS, node, "within"),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_the_deepest_tree_works_in_every_form(wrap):
    node = nested(wrap)
    assert parse(render(node)) == node
    assert from_json(to_json(node)) == node
    assert hash(copy.deepcopy(node)) == hash(node)
    assert repr(pickle.loads(pickle.dumps(node))) == repr(node)
    with pytest.raises(UsageError, match="nest deeper than 200 levels"):
        wrap(node)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "Modality exists" + ")" * 10_000,
        "not " * 10_000 + "Modality exists",
        "same(series, " * 10_000 + "Modality exists" + ")" * 10_000,
        "related(" * 10_000,
        "all(" * 10_000,
    ],
    ids=lambda text: text[:8],
)
def test_text_that_nests_without_end_is_refused(text):
    with pytest.raises(UsageError, match="nest deeper than 200 levels"):
        parse(text)


def test_json_that_nests_without_end_is_refused():
    plain = {"exists": {"path": "Modality"}}
    for _ in range(10_000):
        plain = {"not": plain}
    with pytest.raises(UsageError, match="nest deeper than 200 levels"):
        from_json(plain)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("AccessionNumber", tuple(f"A'{i:08}" for i in range(100_000))),
        ("EchoTime", tuple(range(100_000))),
        ("StudyDate", ("20240131",) * 100_000),
    ],
)
def test_a_hundred_thousand_values_take_less_than_a_second(path, values):
    started = [time.process_time()]

    def lap(result):
        started.append(time.process_time())
        assert started[-1] - started[-2] < 1
        return result

    node = lap(OneOf(path, values))
    text = lap(render(node))
    assert lap(parse(text)) == node
    plain = lap(to_json(node))
    assert lap(from_json(plain)) == node


def test_many_conditions_take_time_in_proportion():
    node = Or(tuple(Compare("EchoTime", "=", i) for i in range(20_000)))
    started = time.process_time()
    assert parse(render(node)) == node
    assert time.process_time() - started < 5


def test_nothing_asks_for_everything():
    assert parse(" \n") is None
    assert render(None) == render(Query()) == ""
    assert parse_query("") == from_json({}) == Query()
