"""The query tree: immutable nodes that check themselves when built.

Node
|-- Compare, OneOf, Between     values of one attribute
|-- Exists, Missing             whether it has a value
|-- Contains, Like              its text
|-- Within                      its code, narrower and mapped ones included
|-- And, Or, Not                what joins conditions; & | ~ build them
|-- Same                        conditions that one and the same thing meets
`-- Related                     two conditions of a patient, in time

A condition on an attribute holds when *some* value of it does; `Query` adds what to answer with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from dicomlake.dicom.dictionary import WORD, Attribute, segments
from dicomlake.errors import UsageError, WrongType
from dicomlake.query.attributes import (
    ANATOMY,
    ANATOMY_OF,
    CLINICAL,
    ROWS,
    attribute,
    is_clinical,
)
from dicomlake.query.values import (
    Quantity,
    Value,
    checker,
    named,
    number,
    rank,
    short,
    shown,
    text,
    wrong,
)
from dicomlake.terms import Code

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
LEVELS = ("patient", "study", "series", "instance")
"""What a query may answer with."""
SAME_LEVELS = (
    "item", "segment", "channel", "event", "total", "annotation", "finding", "fact", "document",
    "instance", "series", "study", "patient",
)  # fmt: skip
"""What conditions may be asked to hold on together."""
RELATIONS = ("before", "after", "within")
MAX_DEPTH = 200
"""Levels that conditions may nest, in every form of a query."""
MAX_PATH = 2000  # characters; the deepest paths of the Standard have a few hundred


class Node:
    """A condition. Join conditions with `&` and `|`, turn one round with `~`.

    >>> Exists("PatientName") & ~Exists("PatientID")
    And(parts=(Exists(path='PatientName'), Not(part=Exists(path='PatientID'))))
    """

    __slots__ = ()

    @property
    def children(self) -> tuple[Node, ...]:
        """Conditions directly inside this one.

        >>> Not(Exists("PatientName")).children
        (Exists(path='PatientName'),)
        """
        return ()

    @property
    def depth(self) -> int:
        """How many levels the tree has, this node included.

        >>> Not(Exists("PatientName")).depth
        2
        """
        return 1

    def __and__(self, other: object) -> And:
        if not isinstance(other, Node):
            return NotImplemented
        return And((*_flat(And, self), *_flat(And, other)))

    def __or__(self, other: object) -> Or:
        if not isinstance(other, Node):
            return NotImplemented
        return Or((*_flat(Or, self), *_flat(Or, other)))

    def __invert__(self) -> Not:
        return Not(self)

    def __deepcopy__(self, memo: object) -> Node:
        return self

    def __bool__(self) -> bool:
        raise UsageError("A condition is neither true nor false. Join conditions with & | ~.")


def _flat(kind: type[And | Or], node: Node) -> tuple[Node, ...]:
    return node.children if isinstance(node, kind) else (node,)


def fold(node: Node, combine: Callable[[Node, list[T]], T]) -> T:
    """What `combine` makes of a tree, leaves first: it gets a node and its children's results.

    >>> fold(Not(Exists("PatientName")), lambda node, inner: 1 + sum(inner))
    2
    """
    order, todo = [], [node]
    while todo:
        order.append(todo.pop())
        todo.extend(order[-1].children)
    done: list[T] = []
    for each in reversed(order):
        start = len(done) - len(each.children)
        done[start:] = [combine(each, done[start:])]
    return done[0]


def known(path: object) -> Attribute:
    """What the dictionary says of a path that a question may name.

    >>> known("*.EchoTime").kind
    'number'

    UnknownAttribute for a misspelt keyword, UsageError for a path through what has no items.
    """
    if not isinstance(path, str):
        raise UsageError(f"{short(path)} is not an attribute path. Write it as text: 'Modality'.")
    if len(path) > MAX_PATH:
        raise UsageError(f"{short(path)} is no attribute path: it has {len(path)} characters.")
    about = attribute(path)
    if "." in path and not about.table:
        for outer in segments(path)[:-1]:
            if WORD.fullmatch(outer) and attribute(outer).kind != "sequence":
                raise UsageError(f"{named(attribute(outer))} is no sequence: {path} cannot exist.")
    return about


def _set(node: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(node, name, value)


def _text(path: object, value: object, what: str) -> tuple[Attribute, str]:
    about = known(path)
    if about.kind not in ("text", "unknown", "content"):
        checker(about)
        raise WrongType(f"{named(about)} holds no text, so {what} cannot be asked of it.")
    found = text(value)
    if found is None:
        raise wrong(about, value)
    return about, found


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """Some value of the attribute is =, !=, <, <=, > or >= this one.

    >>> Compare("StudyDate", ">=", "2024-01-31")
    Compare(path='StudyDate', op='>=', value=datetime.date(2024, 1, 31))

    `!=` too asks for some value: there is one other than this. "None is this" is `~` of `=`.
    """

    path: str
    op: str
    value: Value

    def __post_init__(self) -> None:
        about = known(self.path)
        if self.op not in OPERATORS:
            raise UsageError(
                f"{short(self.op)} is no comparison. Use one of {' '.join(OPERATORS)}."
            )
        _set(self, path=about.path, value=checker(about)(self.value))


@dataclass(frozen=True, slots=True)
class OneOf(Node):
    """Some value of the attribute is among these; a hundred thousand are fine.

    >>> OneOf("Modality", ("CT", "MR"))
    OneOf(path='Modality', values=('CT', 'MR'))
    """

    path: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        about = known(self.path)
        check = checker(about)
        values = tuple(map(check, _several(self.values, f"{about.path} in", "value", "'CT'")))
        _set(self, path=about.path, values=values)


def _several(given: object, where: str, what: str, example: str) -> tuple[object, ...]:
    if isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        raise UsageError(f"{where} needs a tuple of {what}s, such as ({example},).")
    found = tuple(given)
    if not found:
        raise UsageError(f"{where} needs at least one {what}.")
    return found


@dataclass(frozen=True, slots=True)
class Between(Node):
    """Some value of the attribute lies between two, both included.

    >>> Between("EchoTime", 80, 120)
    Between(path='EchoTime', low=80, high=120)
    """

    path: str
    low: Value
    high: Value

    def __post_init__(self) -> None:
        about = known(self.path)
        low, high = checker(about)(self.low), checker(about)(self.high)
        kinds = {value.common[1] if isinstance(value, Quantity) else "" for value in (low, high)}
        if len(kinds) > 1:
            raise WrongType(
                f"{about.path} between {shown(low)} and {shown(high)}: give both a unit of one "
                "kind, such as 3 cm and 50 mm, or neither."
            )
        try:
            swapped = rank(low) > rank(high)  # type: ignore[operator]
        except TypeError:
            raise WrongType(
                f"{named(about)} between {shown(low)} and {shown(high)}: these have no order."
                " Give two of one type, both with an offset from UTC or both without."
            ) from None
        if swapped:
            raise UsageError(
                f"{about.path} between {shown(low)} and {shown(high)} holds nothing. Write the"
                " lower value first."
            )
        _set(self, path=about.path, low=low, high=high)


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """The attribute is present with a value; a sequence, with an item.

    >>> Exists("(0008,0060)")
    Exists(path='Modality')
    """

    path: str

    def __post_init__(self) -> None:
        _set(self, path=known(self.path).path)


@dataclass(frozen=True, slots=True)
class Missing(Node):
    """The attribute is absent or empty: what `Exists` is not.

    >>> Missing("ContrastBolusAgent")
    Missing(path='ContrastBolusAgent')
    """

    path: str

    def __post_init__(self) -> None:
        _set(self, path=known(self.path).path)


@dataclass(frozen=True, slots=True)
class Contains(Node):
    """Some value of the attribute has this text in it; case does not matter.

    >>> Contains("SeriesDescription", "prostate")
    Contains(path='SeriesDescription', text='prostate')
    """

    path: str
    text: str

    def __post_init__(self) -> None:
        about, found = _text(self.path, self.text, "contains")
        _set(self, path=about.path, text=found)


@dataclass(frozen=True, slots=True)
class Like(Node):
    """Some whole value of the attribute fits DICOM's wildcards (PS3.4 C.2.2.2.4).

    >>> Like("SeriesDescription", "t2_tse_*")
    Like(path='SeriesDescription', pattern='t2_tse_*')

    `*` is any run of characters, `?` exactly one. Case matters, except for names of persons (PN).
    """

    path: str
    pattern: str

    def __post_init__(self) -> None:
        about, found = _text(self.path, self.pattern, "like")
        _set(self, path=about.path, pattern=found)


@dataclass(frozen=True, slots=True)
class Within(Node):
    """Some item of a coded sequence is this code, a narrower one, or one mapped to these.

    >>> Within("ProcedureCodeSequence", Code("77477000", "SCT", "CT")).code.value
    '77477000'
    """

    path: str
    code: Code

    def __post_init__(self) -> None:
        about = known(self.path)
        if about.path in ROWS:
            coded = _CODED.get(about.path)
            one = f", such as {about.path}.{coded} within ..., or" if coded else ", or ask"
            raise UsageError(
                f"A row such as {about.path} has no code of its own. Ask one of its columns{one} "
                f"{about.path} exists."
            )
        if about.kind not in ("sequence", "unknown", "content"):
            raise WrongType(
                f"{named(about)} holds no codes. within asks a coded sequence, such as"
                " ProcedureCodeSequence."
            )
        code = self.code
        given = (code.value, code.scheme, code.meaning) if isinstance(code, Code) else ()
        if not all(isinstance(part, str) for part in given) or not all(given[:2]) or not given:
            raise WrongType(
                f"{about.path} within needs a code with value and scheme, such as"
                f" Code('77477000', 'SCT'); {short(code)} is none."
            )
        _set(self, path=about.path)


def _joined(node: Node, what: str) -> int:
    for part in node.children:
        if not isinstance(part, Node):
            raise UsageError(
                f"{what} needs conditions, such as Exists('Modality'), not {short(part)}."
            )
    depth = 1 + max(part.depth for part in node.children)
    if depth > MAX_DEPTH:
        raise too_deep()
    return depth


def too_deep() -> UsageError:
    """The error for conditions nested beyond MAX_DEPTH.

    >>> str(too_deep())
    'Conditions nest deeper than 200 levels. Write the query flatter.'
    """
    return UsageError(f"Conditions nest deeper than {MAX_DEPTH} levels. Write the query flatter.")


@dataclass(frozen=True, slots=True)
class And(Node):
    """All of these hold, each perhaps on another thing of the entity asked for.

    >>> And((Exists("PatientName"), Missing("PatientSex"))).depth
    2
    """

    parts: tuple[Node, ...]
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _set(self, parts=_several(self.parts, "and", "condition", "Exists('Modality')"))
        _set(self, depth=_joined(self, "and"))

    @property
    def children(self) -> tuple[Node, ...]:
        """The joined conditions."""
        return self.parts


@dataclass(frozen=True, slots=True)
class Or(Node):
    """At least one of these holds.

    >>> Or((Exists("PatientName"), Missing("PatientSex"))).depth
    2
    """

    parts: tuple[Node, ...]
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _set(self, parts=_several(self.parts, "or", "condition", "Exists('Modality')"))
        _set(self, depth=_joined(self, "or"))

    @property
    def children(self) -> tuple[Node, ...]:
        """The alternatives."""
        return self.parts


@dataclass(frozen=True, slots=True)
class Not(Node):
    """This does not hold.

    >>> ~Exists("PatientName")
    Not(part=Exists(path='PatientName'))
    """

    part: Node
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _set(self, depth=_joined(self, "not"))

    @property
    def children(self) -> tuple[Node, ...]:
        """The condition turned round, alone."""
        return (self.part,)


@dataclass(frozen=True, slots=True)
class Same(Node):
    """The condition holds on one single item, segment, instance, series, study or patient.

    >>> Same("series", Compare("Modality", "=", "MR") & Exists("ContrastBolusAgent")).level
    'series'
    """

    level: str
    part: Node
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.level not in SAME_LEVELS:
            raise UsageError(
                f"{short(self.level)} is no level for same. Use one of {', '.join(SAME_LEVELS)}."
            )
        _set(self, depth=_joined(self, "same"))
        if self.level in ROWS:
            _check_rows(self.level, self.part)

    @property
    def children(self) -> tuple[Node, ...]:
        """The condition that one thing meets, alone."""
        return (self.part,)


def paths_of(node: Node) -> list[str]:
    """The paths that a condition asks, in order.

    >>> paths_of(Exists("Modality") & ~Exists("EchoTime"))
    ['Modality', 'EchoTime']
    """
    found: list[str] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if hasattr(each, "path"):
            found.append(each.path)
        todo.extend(reversed(each.children))
    return found


_CODED = {
    "item": "site",
    "segment": "type",
    "channel": "source",
    "event": "region",
    "total": "laterality",
    "annotation": "structure",
    "fact": "code",
    "document": "type",
}
"""A column with codes of each table."""


def _check_rows(level: str, part: Node) -> None:
    """UsageError when conditions on one row ask what is no column of it."""
    asked = [path for path in paths_of(part) if path != ANATOMY or level not in ANATOMY_OF]
    for path in asked:
        table = attribute(path).table
        if level == "item" and not table:
            continue  # an item of a sequence; what is mixed is refused below
        if table != ROWS[level]:
            raise UsageError(
                f"same({level}, ...) asks one {level}, and {path} is nothing that a {level} has. "
                f"Ask it beside same, or in same(instance, ...)."
            )
    kinds = {bool(attribute(path).table) for path in asked}
    if len(kinds) > 1:
        raise UsageError(
            "same(item, ...) asks items of sequences or content items of reports, not both at once."
        )


@dataclass(frozen=True, slots=True)
class Related(Node):
    """Two conditions of one patient, in time: the first before, after or within days of the second.

    >>> mr, ct = Compare("Modality", "=", "MR"), Compare("Modality", "=", "CT")
    >>> Related(mr, ct, "before", days_high=30).days_high
    30

    `days_low` and `days_high` bound the distance, both included; None is no bound.
    `within` takes either order.
    """

    first: Node
    second: Node
    relation: str
    days_low: int | float | None = None
    days_high: int | float | None = None
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise UsageError(
                f"{short(self.relation)} relates nothing. Use one of {', '.join(RELATIONS)}."
            )
        low, high = _days(self.days_low), _days(self.days_high)
        if low is not None and high is not None and low > high:
            raise UsageError(f"{low} to {high} days holds nothing. Write the lower number first.")
        _set(self, days_low=low, days_high=high, depth=_joined(self, "related"))
        clinical_row(self.first), clinical_row(self.second)

    @property
    def children(self) -> tuple[Node, ...]:
        """The first and the second condition."""
        return (self.first, self.second)


def clinical_row(node: Node) -> str:
    """What meets a side of `related`: one fact, one document, or "" for one series.

    >>> clinical_row(Exists("fact.code") & Exists("fact.started")), clinical_row(Exists("KVP"))
    ('fact', '')

    UsageError for conditions on facts and documents alone, which no one thing can meet.
    """
    todo, found = [node], set()
    while todo:
        each = todo.pop()
        if isinstance(each, Related) or (isinstance(each, Same) and each.level not in CLINICAL):
            return ""
        if hasattr(each, "path"):
            if not is_clinical(each.path):
                return ""
            found.add(each.path.partition(".")[0])
        todo.extend(each.children)
    if len(found) > 1:
        raise UsageError(
            "A side of related is met by one fact or by one document, and this one asks both. "
            "Relate the two: related(fact exists, document exists, within 7 days)."
        )
    return found.pop() if found else ""


def _days(value: object) -> int | float | None:
    days = None if value is None else number(value)
    if value is not None and (days is None or days < 0 or isinstance(value, str)):
        raise WrongType(f"{short(value)} is no number of days. Give 0 or more.")
    return days


@dataclass(frozen=True, slots=True)
class Query:
    """A question: what must hold, the level of the answers, what to show and in which order.

    >>> Query(Compare("Modality", "=", "MR"), level="study", order=("-StudyDate",), limit=10).level
    'study'

    `where=None` asks for everything. In `order`, a leading minus sorts downwards.
    """

    where: Node | None = None
    level: str = "series"
    show: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.where is not None and not isinstance(self.where, Node):
            raise UsageError(
                f"where needs a condition, such as Exists('Modality'), not {short(self.where)}."
            )
        if self.level not in LEVELS:
            raise UsageError(f"{short(self.level)} is no level. Use one of {', '.join(LEVELS)}.")
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise UsageError(f"limit needs a whole number from 1, not {short(self.limit)}.")
        show = tuple(known(path).path for path in _paths("show", self.show))
        _set(self, show=show, order=tuple(map(_sorted_by, _paths("order", self.order))))


def _paths(what: str, given: object) -> tuple[object, ...]:
    return _several(given, what, "path", "'Modality'") if given != () and given != [] else ()


def _sorted_by(path: object) -> str:
    down = isinstance(path, str) and path.startswith("-")
    about = known(path[1:] if isinstance(path, str) and down else path)
    if about.kind in ("sequence", "binary"):
        raise UsageError(f"{named(about)} has no values to order by.")
    return f"-{about.path}" if down else about.path
