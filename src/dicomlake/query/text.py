"""Queries as text, for people: read with `parse`, written with `render`.

    Modality = 'MR' and MagneticFieldStrength >= 3
    StudyDate between 2020-01-01 and 2024-12-31 and not SeriesDescription contains 'localizer'
    same(series, Modality = 'CT' and (ContrastBolusAgent exists or PatientAge < 18Y))

`not` binds closest, then `and`, then `or`. Keywords may be written in any case, attributes may not.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import singledispatch
from typing import TYPE_CHECKING

from dicomlake.dicom.dictionary import is_keyword, match_path
from dicomlake.errors import QuerySyntax, UsageError
from dicomlake.query.nodes import (
    LEVELS,
    MAX_DEPTH,
    RELATIONS,
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
    known,
    too_deep,
)
from dicomlake.query.values import Quantity, checker, date, moment, number, plain, short, span
from dicomlake.terms import Code
from dicomlake.terms.units import ucum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dicomlake.dicom.dictionary import Attribute
    from dicomlake.query.values import Value

    ReadList = Callable[[str], Iterable[str]]

SPACE = re.compile(r"\s*")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
STRING = r"""'([^']*(?:''[^']*)*)'|"([^"]*(?:""[^"]*)*)\""""
LITERAL = re.compile(rf"{STRING}|([+-]?\.?[0-9][\w.:+-]*)", re.ASCII)
LIST_NAME = re.compile(rf"@(?:{STRING}|([^\s()'\",]+))")
CODE_PART = re.compile(rf"{STRING}|([\w.-]+)", re.ASCII)
CODE_VALUE = re.compile(rf"{STRING}|([\w.-]+(?::[\w.-]+)*)", re.ASCII)
PLAIN_CODE = re.compile(r"[\w.-]+", re.ASCII)
MEANING = re.compile(r"\|([^|]*(?:\|\|[^|]*)*)\|")
SYMBOL = re.compile(r"<=|>=|!=|<>|==|=|<|>|~")
UNIT = re.compile(r"(?:\{[^}]*\}|\[[^\]]*\]|[^\s()'\",|<>={}\[\]])+")
ATTACHED = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?=[A-Za-z%\[{])", re.ASCII)
STRAY = re.compile(r"\.?(?:\*\*?|\[[^\]]*\]?)(?:\.\*\*?)*\.?")
UNQUOTED = re.compile(r"[^\s()'\",|]+")
FOUND = re.compile(r"[\w.@-]+|[&|=<>!~]+|\S", re.ASCII)

ASKED = ("exists", "missing", "contains", "like", "between", "in", "within")
CALLS = ("same", "related", "all", "any")
CLAUSES = ("level", "show", "order", "limit")
RESERVED = frozenset(["and", "or", "not", "to", *CLAUSES, *ASKED])
INSTEAD = {"==": "=", "<>": "!=", "~": "contains or like", "&": "and", "&&": "and", "|": "or"}
INSTEAD |= {"||": "or", "!": "not", "is": "exists or missing", "has": "contains", ",": "and"}


def parse(text: str, read_list: ReadList | None = None) -> Node | None:
    """Condition that a text states; None for blank text, which asks for everything.

    >>> parse("StudyDate >= 2024")
    Compare(path='StudyDate', op='>=', value=datetime.date(2024, 1, 1))
    >>> parse("AccessionNumber in @mine.txt", {"mine.txt": ["A1", "A2"]}.__getitem__)
    OneOf(path='AccessionNumber', values=('A1', 'A2'))

    `read_list` gives the values of a list by its name; blank ones are left out. QuerySyntax says
    where the text cannot be read, UnknownAttribute and WrongType what it gets wrong of DICOM.
    """
    reader = _Reader(text, read_list)
    node = None if reader.ended() else reader.expression(0)
    if not reader.ended():
        raise reader.expected("'and', 'or' or the end", "and", "or")
    return node


def parse_query(text: str, read_list: ReadList | None = None) -> Query:
    """Query that a text states: a condition, if any, then what `render` writes of the rest.

    >>> parse_query("Modality = 'MR' level study show StudyDate order by -StudyDate limit 10").order
    ('-StudyDate',)
    """
    reader = _Reader(text, read_list)
    where = None if reader.ended() or reader.peek(*CLAUSES) else reader.expression(0)
    query = reader.clauses(where)
    if not reader.ended():
        raise reader.expected("'and', 'or', a clause or the end", "and", "or", *CLAUSES)
    return query


def render(query: Query | Node | None) -> str:
    """Canonical text that `parse` (`parse_query` for a Query) makes the same again of.

    >>> render(Compare("Modality", "=", "MR") | ~Exists("PatientName"))
    "Modality = 'MR' or not PatientName exists"
    >>> render(Query(Exists("PatientName"), level="study", limit=5))
    'PatientName exists level study limit 5'
    """
    if query is None:
        return ""
    if isinstance(query, Node):
        text: str = fold(query, _text)
        return text
    clauses = [
        render(query.where),
        f"level {query.level}" if query.level != "series" else "",
        f"show {', '.join(query.show)}" if query.show else "",
        f"order by {', '.join(query.order)}" if query.order else "",
        f"limit {query.limit}" if query.limit is not None else "",
    ]
    return " ".join(filter(None, clauses))


# Writing


@singledispatch
def _text(node: Node, inner: list[str]) -> str:
    raise UsageError(f"{type(node).__name__} has no text form.")


@_text.register
def _(node: Compare, inner: list[str]) -> str:
    return f"{node.path} {node.op} {_literal(node.value)}"


@_text.register
def _(node: OneOf, inner: list[str]) -> str:
    return f"{node.path} in ({', '.join(map(_literal, node.values))})"


@_text.register
def _(node: Between, inner: list[str]) -> str:
    return f"{node.path} between {_literal(node.low)} and {_literal(node.high)}"


@_text.register
def _(node: Exists, inner: list[str]) -> str:
    return f"{node.path} exists"


@_text.register
def _(node: Missing, inner: list[str]) -> str:
    return f"{node.path} missing"


@_text.register
def _(node: Contains, inner: list[str]) -> str:
    return f"{node.path} contains {_quoted(node.text)}"


@_text.register
def _(node: Like, inner: list[str]) -> str:
    return f"{node.path} like {_quoted(node.pattern)}"


@_text.register
def _(node: Within, inner: list[str]) -> str:
    scheme, value = map(_code_part, (node.code.scheme, node.code.value))
    meaning = " |" + node.code.meaning.replace("|", "||") + "|" if node.code.meaning else ""
    return f"{node.path} within {scheme}:{value}{meaning}"


@_text.register
def _(node: And, inner: list[str]) -> str:
    return _joined("and", "all", node, inner)


@_text.register
def _(node: Or, inner: list[str]) -> str:
    return _joined("or", "any", node, inner)


@_text.register
def _(node: Not, inner: list[str]) -> str:
    return f"not {_closed(node.part, inner[0])}"


@_text.register
def _(node: Same, inner: list[str]) -> str:
    return f"same({node.level}, {inner[0]})"


@_text.register
def _(node: Related, inner: list[str]) -> str:
    low, high = node.days_low, node.days_high
    days = "" if high is None else f" {high} days" if low is None else f" {low} to {high} days"
    if high is None and low is not None:
        days = f" at least {low} days"
    return f"related({inner[0]}, {inner[1]}, {node.relation}{days})"


def _joined(word: str, call: str, node: And | Or, inner: list[str]) -> str:
    if len(inner) == 1:
        return f"{call}({inner[0]})"
    return f" {word} ".join(map(_closed, node.parts, inner))


def _closed(node: Node, written: str) -> str:
    return f"({written})" if isinstance(node, And | Or) and len(node.parts) > 1 else written


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Value) -> str:
    if isinstance(value, Quantity):
        return str(value)
    return _quoted(value) if isinstance(value, str) else str(plain(value))


def _code_part(part: str) -> str:
    return part if PLAIN_CODE.fullmatch(part) else _quoted(part)


# Reading


def _unquoted(m: re.Match[str]) -> str:
    if m[1] is not None:
        return m[1].replace("''", "'")
    return m[2].replace('""', '"') if m[2] is not None else m[3]


class _Reader:
    """A place in a text, and what can be read from there."""

    def __init__(self, text: str, read_list: ReadList | None) -> None:
        self.text, self.read_list, self.at = text, read_list, 0

    # Small things: all skip white space first.

    def skip(self) -> int:
        self.at = SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        return self.at

    def ended(self) -> bool:
        return self.skip() == len(self.text)

    def next(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if m := pattern.match(self.text, self.skip()):
            self.at = m.end()
        return m

    def peek(self, *words: str) -> str:
        m = WORD.match(self.text, self.skip())
        return m[0].lower() if m and m[0].lower() in words else ""

    def take(self, *words: str) -> str:
        word = self.peek(*words)
        self.at += len(word)
        return word

    def mark(self, mark: str) -> bool:
        if found := self.text.startswith(mark, self.skip()):
            self.at += len(mark)
        return found

    def need(self, mark: str, after: str) -> None:
        if not self.mark(mark):
            raise self.expected(f"{mark!r} after {after}")

    # What went wrong, and where.

    def wrong(self, message: str) -> QuerySyntax:
        at = self.skip()
        first = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        left, right = max(first, at - 60), min(end if end >= 0 else len(self.text), at + 20)
        line = re.sub(r"\s", " ", self.text[left:right])
        where = f"line {self.text.count(chr(10), 0, at) + 1}, character {at - first + 1}"
        return QuerySyntax(f"{message} ({where})\n  {line}\n  {' ' * (at - left)}^", self.text, at)

    def expected(self, what: str, *words: str) -> QuerySyntax:
        m = FOUND.match(self.text, self.skip())
        got = short(m[0]) if m else "the end"
        meant = INSTEAD.get(m[0].lower(), "") if m else ""
        if m and not meant:
            meant = " or ".join(get_close_matches(m[0].lower(), words, n=1, cutoff=0.6))
        hint = f" Did you mean {meant}?" if meant else ""
        return self.wrong(f"Expected {what}, not {got}.{hint}")

    # Conditions.

    def expression(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise too_deep()
        either: list[Node] = []
        both = [self.operand(depth)]
        while word := self.take("and", "or"):
            if word == "or":
                either.append(_one(And, both))
                both = []
            both.append(self.operand(depth))
        return _one(Or, [*either, _one(And, both)])

    def operand(self, depth: int) -> Node:
        turns = 0
        while self.take("not"):
            turns += 1
        if word := self.call():
            node = _CALLS[word](self, depth + 1)
        elif self.text.startswith("(", self.skip()) and not match_path(self.text, self.at)[0]:
            self.mark("(")
            node = self.expression(depth + 1)
            if not self.mark(")"):
                raise self.expected("'and', 'or' or ')'", "and", "or")
        else:
            node = self.condition()
        for _ in range(turns):
            node = Not(node)
        return node

    def call(self) -> str:
        if word := self.take(*CALLS):
            self.need("(", word)
            return word
        m = WORD.match(self.text, self.skip())
        if m and not is_keyword(m[0]):
            self.no_attribute(m)
        return ""

    def no_attribute(self, m: re.Match[str]) -> None:
        """Raise for a word that is rather a misspelt or misplaced keyword than an attribute."""
        follows = self.text[m.end() : m.end() + 40].lstrip()[:1]
        if follows == "(" and m[0].lower() in ASKED:
            raise self.wrong(f"Write the attribute first: PatientName {m[0].lower()}.")
        slip = get_close_matches(m[0].lower(), ("not",), n=1) and follows.isalpha()
        if follows == "(" or slip:
            raise self.expected("a condition or one of same, related, all, any", "not", *CALLS)
        if m[0].lower() in ("and", "or", *ASKED):
            raise self.expected("a condition, such as Modality = 'MR'")

    def no_path(self, at: int) -> None:
        """Raise for wildcards where a path cannot have any."""
        if m := STRAY.match(self.text, at):
            self.at = at
            if "[" in m[0]:
                raise self.wrong("A concept is written [SCHEME:VALUE], such as [DCM:121071].")
            raise self.wrong(
                f"{m[0]} cannot stand here. *. in front of a path is any depth; between concepts "
                "of a report, .*. is one of any kind and .**. any number of them."
            )

    def condition(self) -> Node:
        segments, end = match_path(self.text, self.skip())
        if not segments:
            self.no_path(self.at)
            raise self.expected("a condition, such as Modality = 'MR'")
        begin = self.at
        try:
            return self.asked(known(".".join(segments)), end)
        except UsageError as error:
            if error.position is None:
                error.position = begin
            raise

    def asked(self, about: Attribute, end: int) -> Node:
        """What is asked of an attribute that ends there."""
        self.no_path(end)
        self.at = end
        if m := self.next(SYMBOL):
            if m[0] not in INSTEAD:
                return self.compare(about, m[0])
            self.at = m.start()
        turned = self.take("not")
        word = self.take(*ASKED)
        if not word:
            raise self.expected(
                f"= != < <= > >= {' '.join(ASKED)} after {about.path}", *ASKED, "not"
            )
        node = _ASKED[word](self, about)
        return Not(node) if turned else node

    # What may follow an attribute.

    def compare(self, about: Attribute, op: str) -> Node:
        low, high = self.span(about)
        if low == high:
            return Compare(about.path, op, low)
        if op == "=":
            return Between(about.path, low, high)
        below, above = Compare(about.path, "<", low), Compare(about.path, ">", high)
        if op == "!=":
            return Or((below, above))
        if op in ("<", ">"):
            return below if op == "<" else above
        return Compare(about.path, op, high if op == "<=" else low)

    def exists(self, about: Attribute) -> Node:
        return Exists(about.path)

    def missing(self, about: Attribute) -> Node:
        return Missing(about.path)

    def contains(self, about: Attribute) -> Node:
        return Contains(about.path, self.string(about))

    def like(self, about: Attribute) -> Node:
        return Like(about.path, self.string(about))

    def between(self, about: Attribute) -> Node:
        low, _ = self.span(about)
        if not self.take("and"):
            raise self.expected("'and' and the higher value", "and")
        return Between(about.path, low, self.span(about)[1])

    def within(self, about: Attribute) -> Node:
        if not (scheme := self.next(CODE_PART)):
            raise self.expected("a code, such as SCT:77477000")
        self.need(":", f"the scheme {_unquoted(scheme)}")
        if not (value := self.next(CODE_VALUE)):
            raise self.expected("the value of the code, in quotes if it is not plain")
        m = self.next(MEANING)
        meaning = m[1].replace("||", "|") if m else ""
        return Within(about.path, Code(_unquoted(value), _unquoted(scheme), meaning))

    def one_of(self, about: Attribute) -> Node:
        if m := self.next(LIST_NAME):
            return OneOf(about.path, self.listed(_unquoted(m)))
        self.need("(", f"{about.path} in")
        whole: list[Value] = []
        parts: list[Node] = []
        while True:
            low, high = self.span(about)
            if low == high:
                whole.append(low)
            else:
                parts.append(Between(about.path, low, high))
            if not self.mark(","):
                break
        if not self.mark(")"):
            raise self.expected("',' or ')'")
        if whole:
            parts.insert(0, OneOf(about.path, tuple(whole)))
        return _one(Or, parts)

    def listed(self, name: str) -> tuple[str, ...]:
        if self.read_list is None:
            raise UsageError(
                f"The list @{name} cannot be read here. Write its values: in ('A', 'B')."
            )
        found = tuple(value for line in self.read_list(name) if (value := line.strip()))
        if not found:
            raise UsageError(f"The list @{name} is empty. Give it one value a line.")
        return found

    # Values.

    def span(self, about: Attribute) -> tuple[Value, Value]:
        """First and last value that what is written next stands for."""
        check = checker(about)
        typed = about.unit or about.kind == "content"
        if typed and (measured := self.measured()) is not None:
            value = check(measured)
            return value, value
        if about.kind not in ("text", "unknown", "content"):
            return span(about, self.written(about))
        m = LITERAL.match(self.text, self.skip())
        found = number(m[3]) if m and m[3] and about.kind == "unknown" else None
        if m and found is not None:
            self.at = m.end()
            return found, found
        value = check(self.string(about))
        return value, value

    def measured(self) -> Value | None:
        """A number, with or without a unit, or a date that is written next."""
        m = LITERAL.match(self.text, self.skip())
        if not m or not m[3]:
            return None
        found = number(m[3])
        if found is None:
            when = date(m[3]) or moment(m[3])
            if when is None and (number_ := ATTACHED.match(self.text, self.at)):
                raise self.wrong(f"Put a space between a number and its unit: {number_[0]} mm.")
            self.at = m.end() if when else self.at
            return when
        self.at = m.end()
        unit = UNIT.match(self.text, self.skip())
        if not unit or unit[0].lower() in RESERVED:
            return found
        if not ucum(unit[0]):
            raise self.expected("'and', 'or', the end or a unit of UCUM, such as mm", *RESERVED)
        self.at = unit.end()
        return Quantity(found, unit[0])

    def written(self, about: Attribute) -> str:
        if m := self.next(LITERAL):
            return _unquoted(m)
        if m := self.next(WORD):
            return m[0]
        raise self.unquoted(about)

    def string(self, about: Attribute) -> str:
        m = LITERAL.match(self.text, self.skip())
        if not m or m[3] is not None:
            raise self.unquoted(about)
        self.at = m.end()
        return _unquoted(m)

    def unquoted(self, about: Attribute) -> QuerySyntax:
        if self.text.startswith(("'", '"'), self.at):
            return self.wrong(f"The text that begins here has no closing {self.text[self.at]}.")
        if m := UNQUOTED.match(self.text, self.at):
            return self.wrong(f"Put text in quotes: {_quoted(m[0])}.")
        return self.expected(f"a value for {about.path}")

    # Calls: the opening parenthesis is read.

    def same(self, depth: int) -> Node:
        level = self.take(*SAME_LEVELS)
        if not level:
            raise self.expected(f"one of {', '.join(SAME_LEVELS)}", *SAME_LEVELS)
        self.need(",", level)
        node = self.expression(depth)
        self.need(")", "the condition of same")
        return Same(level, node)

    def related(self, depth: int) -> Node:
        first = self.expression(depth)
        self.need(",", "the first condition of related")
        second = self.expression(depth)
        self.need(",", "the second condition of related")
        relation = self.take(*RELATIONS)
        if not relation:
            raise self.expected(f"one of {', '.join(RELATIONS)}", *RELATIONS)
        low, high = self.days()
        self.need(")", "the days of related")
        return Related(first, second, relation, low, high)

    def days(self) -> tuple[int | float | None, int | float | None]:
        if self.text.startswith(")", self.skip()):
            return None, None
        bound = ""
        if self.take("at"):
            bound = self.take("least", "most")
            if not bound:
                raise self.expected("'least' or 'most'", "least", "most")
        first = self.day_count()
        second = self.day_count() if not bound and self.take("to") else None
        if not self.take("days", "day"):
            raise self.expected("'to' or 'days'", "to", "days")
        if second is not None or bound == "least":
            return first, second
        return None, first

    def day_count(self) -> int | float:
        m = self.next(LITERAL)
        found = number(m[3]) if m and m[3] else None
        if found is None:
            self.at = m.start() if m else self.at
            raise self.expected("days, such as 30 days, 10 to 30 days or at least 10 days")
        return found

    def all(self, depth: int) -> Node:
        return And(self.several(depth))

    def any(self, depth: int) -> Node:
        return Or(self.several(depth))

    def several(self, depth: int) -> tuple[Node, ...]:
        parts = [self.expression(depth)]
        while self.mark(","):
            parts.append(self.expression(depth))
        if not self.mark(")"):
            raise self.expected("',' or ')'")
        return tuple(parts)

    # Clauses of a query.

    def clauses(self, where: Node | None) -> Query:
        found: dict[str, object] = {}
        while word := self.take(*CLAUSES):
            if word in found:
                raise self.wrong(f"The query says {word} twice.")
            found[word] = getattr(self, f"{word}_clause")()
        return Query(where, **found)  # type: ignore[arg-type]

    def level_clause(self) -> str:
        level = self.take(*LEVELS)
        if not level:
            raise self.expected(f"one of {', '.join(LEVELS)}", *LEVELS)
        return level

    def show_clause(self) -> tuple[str, ...]:
        return self.paths(signed=False)

    def order_clause(self) -> tuple[str, ...]:
        self.take("by")
        return self.paths(signed=True)

    def paths(self, *, signed: bool) -> tuple[str, ...]:
        found = []
        while True:
            sign = "-" if signed and self.mark("-") else ""
            segments, end = match_path(self.text, self.skip())
            if not segments:
                raise self.expected("an attribute")
            self.at = end
            found.append(sign + ".".join(segments))
            if not self.mark(","):
                return tuple(found)

    def limit_clause(self) -> int:
        m = self.next(LITERAL)
        if not m or not (m[3] or "").isdigit():
            self.at = m.start() if m else self.at
            raise self.expected("a whole number after limit")
        return int(m[3])


def _one(kind: type[And | Or], parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


_CALLS: dict[str, Callable[[_Reader, int], Node]] = {
    "same": _Reader.same,
    "related": _Reader.related,
    "all": _Reader.all,
    "any": _Reader.any,
}
_ASKED: dict[str, Callable[[_Reader, Attribute], Node]] = {
    "exists": _Reader.exists,
    "missing": _Reader.missing,
    "contains": _Reader.contains,
    "like": _Reader.like,
    "between": _Reader.between,
    "in": _Reader.one_of,
    "within": _Reader.within,
}
