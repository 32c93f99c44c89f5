"""Questions: a small immutable tree in three forms that convert freely: Python, JSON, text.

>>> from dicomlake.query import Compare, Query, parse, render, to_json
>>> where = parse("Modality = 'MR' and MagneticFieldStrength >= 3")
>>> where == Compare("Modality", "=", "MR") & Compare("MagneticFieldStrength", ">=", 3)
True
>>> render(where)
"Modality = 'MR' and MagneticFieldStrength >= 3"
>>> to_json(Compare("MagneticFieldStrength", ">=", 3))
{'compare': {'path': 'MagneticFieldStrength', 'op': '>=', 'value': 3}}
"""

from dicomlake.query.nodes import (
    LEVELS,
    MAX_DEPTH,
    SAME_LEVELS,
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
from dicomlake.query.plain import from_json, to_json
from dicomlake.query.text import parse, parse_query, render
from dicomlake.query.values import Age, Quantity, Value

__all__ = [
    "LEVELS",
    "MAX_DEPTH",
    "SAME_LEVELS",
    "Age",
    "And",
    "Between",
    "Compare",
    "Contains",
    "Exists",
    "Like",
    "Missing",
    "Node",
    "Not",
    "OneOf",
    "Or",
    "Quantity",
    "Query",
    "Related",
    "Same",
    "Value",
    "Within",
    "fold",
    "from_json",
    "parse",
    "parse_query",
    "render",
    "to_json",
]
