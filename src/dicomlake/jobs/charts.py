"""Charts that people make: small Vega-Lite specifications, as files beside the lake.

Every version of a chart is a file of its own, `_saved/charts/ID/VERSION.json`, that is never
changed; so charts can be copied, compared and kept under version control like any text. What a
chart shows it takes from the lake alone: `data.dicomlake` says which groups, and nothing in a
specification may lead elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake.engines.groups import By, Grouped
from dicomlake.errors import ServiceError, UsageError
from dicomlake.lake.store import SAVED
from dicomlake.query import And, Node, parse

log = logging.getLogger(__name__)

MOST_BYTES = 200_000
"""Of a specification."""
MOST_GROUPS = 10_000
_DEEPEST = 60
_ID = re.compile(r"[0-9a-f]{12}")
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_KEYS = frozenset(["by", "measure", "where", "level", "limit", "others"])
_BY_KEYS = frozenset(["path", "bin", "width", "steps", "as"])
_LEVELS = ("patient", "study", "series", "instance")


@dataclass(frozen=True, slots=True)
class Chart:
    """One version of a chart under a name.

    `project`: the one in which it was kept, "" for none; it is shared with those alone who see it.
    """

    id: str
    version: int
    name: str
    comment: str
    shared: bool
    owner: str
    spec: dict[str, Any]
    saved: float
    """Seconds since 1970."""
    project: str = ""


class Charts:
    """The kept charts of a lake; safe for many threads and processes."""

    def __init__(self, lake: str | Path) -> None:
        self._folder = Path(lake) / SAVED / "charts"

    def all(self, owner: str = "", project: str | None = None) -> list[Chart]:
        """The newest version of everything that is shared or the owner's, newest first.

        `project`: only of this one, "" for none; of any when left out.
        """
        with _files():
            ids = [path.name for path in self._folder.glob("*") if _ID.fullmatch(path.name)]
        found = []
        for id_ in ids:
            try:
                chart = self.get(id_)
            except UsageError:
                log.warning("a kept chart cannot be read", extra={"chart": id_})
                continue
            mine = chart.shared or chart.owner == owner
            found += [chart] if mine and project in (None, chart.project) else []
        return sorted(found, key=lambda chart: (-chart.saved, chart.id))

    def versions(self, id_: str) -> list[Chart]:
        """All versions, newest first; UsageError when there are none."""
        numbers = sorted(self._numbers(id_), reverse=True)
        if not numbers:
            raise UsageError(f"There is no chart {id_[:64]!r}.")
        return [self._read(id_, number) for number in numbers]

    def get(self, id_: str, version: int | None = None) -> Chart:
        """The newest version, or another one; UsageError when there is none."""
        numbers = self._numbers(id_)
        if not numbers:
            raise UsageError(f"There is no chart {id_[:64]!r}.")
        if version is not None and version not in numbers:
            raise UsageError(f"The chart {id_[:64]!r} has no version {version}.")
        return self._read(id_, max(numbers) if version is None else version)

    def put(
        self,
        spec: Mapping[str, Any],
        *,
        name: str,
        comment: str = "",
        shared: bool = False,
        owner: str = "",
        project: str = "",
        id_: str | None = None,
    ) -> Chart:
        """Keep a chart, as a new version of `id_` where that is given; UsageError for faults."""
        asked(spec)
        version = self.get(id_).version + 1 if id_ else 1
        id_ = id_ or secrets.token_hex(6)
        folder = self._folder / id_
        with _files():
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                chart = Chart(
                    id_, version, name, comment, shared, owner, dict(spec), time.time(), project
                )
                if _new(folder / f"{version}.json", chart):
                    return chart
                version += 1  # somebody else was quicker

    def delete(self, id_: str) -> int:
        """Forget a chart with all its versions, and say how many there were."""
        count = len(self.versions(id_))
        with _files():
            shutil.rmtree(self._folder / id_)
        return count

    def _numbers(self, id_: str) -> list[int]:
        if not _ID.fullmatch(id_):
            return []
        with _files():
            names = [path.stem for path in (self._folder / id_).glob("*.json")]
        return [int(name) for name in names if name.isdecimal()]

    def _read(self, id_: str, version: int) -> Chart:
        with _files():
            text = (self._folder / id_ / f"{version}.json").read_text(encoding="utf-8")
        try:
            told = json.loads(text)
            return Chart(**{**told, "id": id_, "version": version})
        except (ValueError, TypeError) as error:
            raise UsageError(f"The file of version {version} of chart {id_} is damaged.") from error


@contextlib.contextmanager
def _files() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(
            "The charts of the lake cannot be read or written. Try again in a moment."
        ) from error


def _new(path: Path, chart: Chart) -> bool:
    """Write a file that is there whole or not at all; whether there was none of its name."""
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    part.write_text(json.dumps(asdict(chart), indent=2, ensure_ascii=False) + "\n", "utf-8")
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


# What a chart shows


@dataclass(frozen=True, slots=True)
class Asked:
    """The groups that a chart shows: the question, and what its fields are called."""

    question: Grouped
    fields: tuple[str, ...]
    leveled: bool
    """Whether the chart itself says the level of its question."""

    def under(self, where: Node | None, level: str) -> Grouped:
        """The same groups, only of what another question finds, too."""
        own = self.question
        both = [node for node in (own.where, where) if node is not None]
        joined = And(tuple(both)) if len(both) > 1 else both[0] if both else None
        return Grouped(
            own.by, joined, own.level if self.leveled else level, own.measure, own.of, own.limit,
            own.others,
        )  # fmt: skip

    def rows(self, table: pa.Table) -> pa.Table:
        """Groups with the names that the chart uses."""
        return table.select(range(len(self.fields))).rename_columns(list(self.fields))


def asked(spec: Mapping[str, Any]) -> Asked:
    """What a specification asks of the lake; UsageError for what it may not have.

    >>> spec = {"mark": "bar", "data": {"dicomlake": {"by": ["Modality"]}}}
    >>> asked(spec).fields
    ('Modality', 'series')
    """
    try:
        size = len(json.dumps(spec))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError("The chart is no JSON object that can be kept.") from error
    if size > MOST_BYTES:
        raise UsageError(f"The chart is too large: over {MOST_BYTES // 1000} kB.")
    data = spec.get("data")
    told = data.get("dicomlake") if isinstance(data, Mapping) else None
    if not isinstance(told, Mapping) or set(data or ()) != {"dicomlake"}:
        raise UsageError(
            'Say what the chart shows of the lake: "data": {"dicomlake": {"by": ["Modality"]}}.'
        )
    _stay_inside({key: value for key, value in spec.items() if key != "data"})
    if not any(key in spec for key in _DRAWS):
        raise UsageError('Say what to draw, such as "mark": "bar".')
    _only(told, _KEYS, "data.dicomlake")
    by = told.get("by", [])
    if not isinstance(by, list) or not by:
        raise UsageError('data.dicomlake.by is a list of what to group by, such as ["Modality"].')
    return _question(told, by)


_DRAWS = ("mark", "layer", "hconcat", "vconcat", "concat", "repeat", "spec")


def _question(told: Mapping[str, Any], by: list[Any]) -> Asked:
    measure = told.get("measure", {})
    if not isinstance(measure, Mapping):
        raise UsageError('data.dicomlake.measure is an object, such as {"what": "studies"}.')
    _only(measure, frozenset(["what", "of"]), "data.dicomlake.measure")
    what, limit = str(measure.get("what", "series")), told.get("limit", 1000)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST_GROUPS:
        raise UsageError(f"data.dicomlake.limit is a whole number from 1 to {MOST_GROUPS}.")
    level = told.get("level", "series")
    if level not in _LEVELS:
        raise UsageError(f"data.dicomlake.level is one of {', '.join(_LEVELS)}.")
    where = told.get("where")
    if where is not None and not isinstance(where, str):
        raise UsageError("data.dicomlake.where is a question as text, such as Modality = 'MR'.")
    groups, fields = zip(*map(_by, by), strict=True)
    names = (*fields, what)
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'Two fields are called {name}. Give one of them another: "as".')
    question = Grouped(
        groups, parse(where) if where else None, level, what, str(measure.get("of", "")), limit,
        bool(told.get("others", False)),
    )  # fmt: skip
    return Asked(question, names, "level" in told)


def _by(one: Any) -> tuple[By, str]:
    """What to group by, and what the field is called."""
    told = {"path": one} if isinstance(one, str) else one
    if not isinstance(told, Mapping) or not isinstance(told.get("path"), str):
        raise UsageError("Group by a path, or by an object with a path.")
    _only(told, _BY_KEYS, "data.dicomlake.by")
    steps, width = told.get("steps", []), told.get("width", 0)
    numbers = [*steps, width] if isinstance(steps, list) else [None]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise UsageError("width is a number, and steps are a list of numbers.")
    name = str(told.get("as", told["path"]))
    if not _WORD.fullmatch(name):
        raise UsageError(f'Give {told["path"]} a plain name to use in the chart: "as": "size".')
    return By(told["path"], str(told.get("bin", "")), float(width), tuple(map(float, steps))), name


def _only(told: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    for key in told:
        if key not in known:
            raise UsageError(f"{place} has no {key!r}. It has {', '.join(sorted(known))}.")


def _stay_inside(part: Any, depth: int = 0) -> None:
    """UsageError for whatever would lead out of the lake and its page."""
    if depth > _DEEPEST:
        raise UsageError("The chart is nested too deeply.")
    if isinstance(part, list):
        for inner in part:
            _stay_inside(inner, depth + 1)
    if not isinstance(part, Mapping):
        return
    for key, inner in part.items():
        if key in _REFUSED:
            raise UsageError(f"A chart may not have {key!r}: {_REFUSED[key]}.")
        if key == "data" and isinstance(inner, Mapping) and "dicomlake" in inner:
            raise UsageError("data.dicomlake stands once, at the top of the chart.")
        if key == "data" and isinstance(inner, Mapping) and not set(inner) <= _INLINE:
            raise UsageError("Further data of a chart stand in it: as data.values.")
        if inner == "image" and key in ("mark", "type"):
            raise UsageError("A chart may not have image marks: they load files from elsewhere.")
        _stay_inside(inner, depth + 1)


_INLINE = frozenset(["values", "name", "format", "url"])
_REFUSED = {
    "url": "nothing is loaded from elsewhere, its data come from the lake",
    "href": "it may not lead to other pages",
    "usermeta": "it may not change how charts are shown",
    "element": "it may not reach for other parts of the page",
}
