"""The lake as somebody sees it: whole, the part of a project, or counts alone.

Routes ask the desk for a lake and get what its caller may see, so that none of them has to filter.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.api import Lake
from dicomlake.engines.groups import COUNTED, OWN, Grouped
from dicomlake.errors import NotAllowed, UsageError
from dicomlake.jobs.access import masking
from dicomlake.jobs.terminology import Terminology
from dicomlake.jobs.vocabulary import counted
from dicomlake.lake.part import PartStore, write_series
from dicomlake.lake.store import ACCESS
from dicomlake.lake.vocabulary import Bin, Value, Vocabulary
from dicomlake.query import Node, parse
from dicomlake.query.nodes import paths_of
from dicomlake.settings import Project

_PARTS = "parts"
_MOST_GROUPS = 10_000
_MOST_VALUES = 1000


class ProjectLake(Lake):
    """The part of a lake that a project sees."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What can be asked of this part, counted when it is asked for first."""
        return counted(self.store)


def part_of(whole: Lake, project: Project, folder: Path) -> Lake:
    """What a project sees of a lake; its series lie in a file of a folder as long as it is used."""
    with whole.engine.chosen(filter_of(project), project.level) as (search, mask):
        ids = pa.array(search.snapshot.ids[mask], pa.int64())
    file = folder / f"{secrets.token_hex(8)}.parquet"
    write_series(whole.store, ids, file)
    made = ProjectLake.of(PartStore(whole.path, whole.version, file))
    weakref.finalize(made.store, file.unlink, missing_ok=True)  # engines hold the store, too
    return made


def part_of_view(
    view: Lake, whole: Lake, project: Project, folder: Path, uid: Callable[[str], str]
) -> Lake:
    """What a project sees of a de-identified view; `uid`: what UIDs of the lake are in there."""
    with whole.engine.chosen(filter_of(project), project.level) as (search, mask):
        ids = pa.table({"series_id": pa.array(search.snapshot.ids[mask], pa.int64())})
    with whole.store.database(only=("series",)) as db:
        db.register("chosen", ids)
        found = db.execute(
            'select "SeriesInstanceUID" from series semi join chosen using (series_id)'
        ).fetchall()
    uids = pa.table({"SeriesInstanceUID": pa.array([uid(row[0]) for row in found], pa.string())})
    with view.store.database(only=("series",)) as db:
        db.register("chosen", uids)
        rows = db.sql('select series_id from series semi join chosen using ("SeriesInstanceUID")')
        seen_ids = rows.to_arrow_table().column("series_id").combine_chunks()
    file = folder / f"{secrets.token_hex(8)}.parquet"
    write_series(view.store, seen_ids, file)
    made = ProjectLake.of(PartStore(view.path, view.version, file))
    weakref.finalize(made.store, file.unlink, missing_ok=True)
    return made


def filter_of(project: Project) -> Node | None:
    """The condition of a project; UsageError when it is none."""
    return parse(project.filter) if project.filter.strip() else None


def mark_of(project: Project) -> str:
    """What tells a project's filter from others."""
    return hashlib.sha256(f"{project.level}\n{project.filter}".encode()).hexdigest()


@contextlib.contextmanager
def parts_folder(lake: Path) -> Iterator[Path]:
    """A folder for the series of parts, of this process alone; what killed ones left goes."""
    above = lake / ACCESS / _PARTS
    for old in above.glob("*"):
        if not _alive(old.name):
            shutil.rmtree(old, ignore_errors=True)
    above.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    above.mkdir(mode=0o700, exist_ok=True)
    made = above / f"{os.getpid()}-{secrets.token_hex(4)}"
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _alive(name: str) -> bool:
    number = name.partition("-")[0]
    if not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


# Counts alone


class CountsLake:
    """What those see of a lake who only count: masked numbers, and neither rows nor identifiers.

    It has no more than what is masked: anything else of a lake is NotAllowed.
    """

    def __init__(self, lake: Lake, least: int) -> None:
        self._lake, self._least = lake, least

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _only_counts()

    @property
    def path(self) -> Path:
        """The folder of the lake."""
        return self._lake.path

    @property
    def version(self) -> int:
        """The version of the snapshot."""
        return self._lake.version

    @property
    def versions(self) -> list[dict[str, Any]]:
        """Every version of the lake, newest first."""
        return self._lake.versions

    @property
    def writing(self) -> bool:
        """Whether somebody writes to the lake now."""
        return self._lake.writing

    @property
    def indexed(self) -> Any:
        """When the newest series came."""
        return self._lake.indexed

    @cached_property
    def engine(self) -> CountsEngine:
        """The engine, which only counts."""
        return CountsEngine(self._lake.engine, self._least)

    @cached_property
    def totals(self) -> dict[str, int]:
        """How much there is, masked."""
        found = dict(self._lake.totals)
        found.pop("failures", None)
        return {**masking.totals(found, self._least), "failures": 0}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What can be asked, masked."""
        whole = self._lake.vocabulary
        table = masking.vocabulary(_with_whole(whole), self._least)
        return Vocabulary(table, whole.version)

    @cached_property
    def terminology(self) -> Terminology:
        """What can be asked as one tree."""
        return Terminology(self.vocabulary)

    def values(
        self,
        path: str,
        where: Node | None = None,
        prefix: str = "",
        limit: int = 50,
        ticket: object = None,
    ) -> tuple[list[Value], bool]:
        """Frequent values that enough patients share."""
        masking.check([path, *_paths(where)])
        found, more = self._lake.values(path, where, prefix, _MOST_VALUES, ticket)
        shown = [
            replace(
                value,
                series=masking.cell(value.series, value.patients, self._least),
                patients=masking.cell(value.patients, value.patients, self._least),
            )
            for value in found
            if value.patients >= self._least
        ]
        shown.sort(key=lambda value: (-value.series, -value.patients, str(value.value)))
        return shown[:limit], more or len(shown) > limit

    def histogram(
        self, path: str, where: Node | None = None, bins: int = 20, ticket: object = None
    ) -> list[Bin]:
        """Bins of enough patients; empty ones at the ends are left out."""
        masking.check([path, *_paths(where)])
        found = [
            replace(
                one,
                series=masking.cell(one.series, one.patients, self._least),
                patients=masking.cell(one.patients, one.patients, self._least),
            )
            for one in self._lake.histogram(path, where, bins, ticket)
        ]
        while found and not found[0].series:
            found.pop(0)
        while found and not found[-1].series:
            found.pop()
        return found


def unmasked(lake: Lake) -> Lake:
    """The lake below masks, for what masks by itself."""
    return lake._lake if isinstance(lake, CountsLake) else lake


def _with_whole(vocabulary: Vocabulary) -> pa.Table:
    """The table of a vocabulary with the row of the whole lake, which `arrow` leaves out."""
    table = vocabulary.arrow()
    whole = {
        "path": "", "name": "the lake", "patients": vocabulary.patients,
        "studies": vocabulary.studies, "series": vocabulary.series, "documents": 0, "empty": 0,
    }  # fmt: skip
    return pa.concat_tables([pa.Table.from_pylist([whole], table.schema), table])


class CountsEngine:
    """An engine that only counts, and masks what it counts."""

    def __init__(self, engine: Any, least: int) -> None:
        self._engine, self._least = engine, least

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _only_counts()

    def count(self, where: Node | None, level: str, ticket: object = None) -> dict[str, int]:
        """Patients, studies, series and instances, masked."""
        masking.check(_paths(where))
        return masking.totals(self._engine.count(where, level, ticket), self._least)

    def groups(self, question: Grouped, ticket: object = None) -> pa.Table:
        """Groups of enough patients; ends and sums of numbers are not told."""
        masking.check(_paths(question.where))
        masking.check(by.path for by in question.by if by.path not in OWN)
        if question.of and question.of not in OWN:
            masking.check([question.of])
        if question.measure in ("min", "max", "sum"):
            raise NotAllowed(
                f"Your role only counts: ask for mean or median, not {question.measure}."
            )
        asked = replace(question, limit=_MOST_GROUPS, others=False)
        found = self._engine.groups(asked, ticket)
        people = self._engine.groups(replace(asked, measure="patients"), ticket)
        return _masked(found, people, question, self._least)

    def cancel(self, question: object) -> None:
        """Stop what answers this question."""
        self._engine.cancel(question)


def _masked(found: pa.Table, people: pa.Table, question: Grouped, least: int) -> pa.Table:
    names = [f"g{n}" for n in range(len(question.by))]
    patients = {
        tuple(map(repr, keys)): number
        for *keys, number in zip(
            *(people.column(name).to_pylist() for name in (*names, "value")), strict=True
        )
    }
    kept, values = [], []
    rows = zip(*(found.column(name).to_pylist() for name in (*names, "value")), strict=True)
    for place, (*keys, value) in enumerate(rows):
        number = patients.get(tuple(map(repr, keys)), 0)
        if number < least:
            continue
        kept.append(place)
        values.append(masking.cell(value, number, least) if question.measure in COUNTED else value)
    taken = found.take(pa.array(kept, pa.int64()))
    at = taken.column_names.index("value")
    shown = taken.set_column(at, "value", pa.array(values, found.schema.field("value").type))
    order = [("value", "descending"), *((name, "ascending") for name in names)]
    with contextlib.suppress(pa.ArrowException):  # keys without an order stay as they are
        shown = shown.take(pc.sort_indices(shown, sort_keys=order))
    return shown.slice(0, question.limit)


def _paths(where: Node | None) -> list[str]:
    return [] if where is None else list(paths_of(where))


def _only_counts() -> NotAllowed:
    return NotAllowed(
        "Your role only counts. Ask a steward of the lake for the role of a researcher."
    )


def seen(
    whole: Callable[[int | None], Lake],
    project: Project | None,
    least: int | None,
    folder: Path,
    part: Callable[[Lake, Project, Path], Lake] = part_of,
) -> Callable[[Path, int | None], Lake]:
    """What opens versions of a lake as somebody sees them, for `Snapshots`."""

    def opened(_: Path, version: int | None) -> Lake:
        lake = whole(version)
        if project is not None:
            lake = part(lake, project, folder)
        return lake if least is None else cast("Lake", CountsLake(lake, least))

    return opened


def check_projects(projects: dict[str, Project]) -> None:
    """UsageError when the filter of a project is no condition."""
    for name, project in projects.items():
        try:
            filter_of(project)
        except UsageError as error:
            raise UsageError(f"The filter of the project {name} has a mistake. {error}") from error


__all__ = ["CountsLake", "ProjectLake", "check_projects", "parts_folder", "seen", "unmasked"]
