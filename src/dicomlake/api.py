"""The lake in a notebook: `lake = dicomlake.open("lake")`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Self

import orjson
import pyarrow as pa

from dicomlake import plugins, tables
from dicomlake import settings as settings_
from dicomlake.contracts import Answer, Progress
from dicomlake.contracts.queues import NOW, TODAY
from dicomlake.deid.plan import Planned
from dicomlake.deid.profiles import Profile
from dicomlake.engines.groups import By, Filled, fill_rate
from dicomlake.engines.remembered import Remembered
from dicomlake.engines.values import Spread
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs import charts, cohorts, documents, enriching, extraction, quality, statements
from dicomlake.jobs.activity import Activity
from dicomlake.jobs.activity import Asked as AskedActivity
from dicomlake.jobs.clinical import Taken, bring
from dicomlake.jobs.cohorts import Cohort
from dicomlake.jobs.cohorts.keeping import Version
from dicomlake.jobs.converting import Report as ConvertReport
from dicomlake.jobs.converting import convert, mapping_of
from dicomlake.jobs.datasets.making import Report as DatasetReport
from dicomlake.jobs.datasets.making import make as make_dataset
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.deid.files import FilesReport, deidentify_files
from dicomlake.jobs.deid.planning import plan_of_lake
from dicomlake.jobs.dose.told import Doses
from dicomlake.jobs.enriching import EnrichReport
from dicomlake.jobs.extraction import Kept, Preview
from dicomlake.jobs.index import Report, index, totals
from dicomlake.jobs.missing import Gap, gaps
from dicomlake.jobs.objects import Opened, elsewhere_of, object_of, row_of
from dicomlake.jobs.omop import Asked as AskedOmop
from dicomlake.jobs.omop import Report as OmopReport
from dicomlake.jobs.omop import write as write_omop
from dicomlake.jobs.pulling import Pulled
from dicomlake.jobs.pulling import pull as pulled_by
from dicomlake.jobs.requests import Request, queue_of
from dicomlake.jobs.saved import Saved
from dicomlake.jobs.terminology import Terminology
from dicomlake.lake import Store
from dicomlake.lake.vocabulary import Bin, Value, Vocabulary
from dicomlake.query import Node, Query, from_json, parse
from dicomlake.query.attributes import attribute
from dicomlake.readers.samples import Waveform, waveform_of, waveforms_of

Condition = str | Node | None
Values = str | Iterable[str]
"""One value, or several."""
_MOST_SPREADS = 1000
"""Lists of values, histograms and fill rates that are remembered."""
_MOST_ACTIVITIES = 256 * 1024**2
"""Bytes of examinations that are remembered."""


_INSIDE = {
    "items": "item",
    "segments": "number",
    "waveforms": '"group", channel',
    "dose_events": "started, item, event_key",
    "dose_totals": "item, plane, laterality",
}
"""Tables of what is inside of objects, and the order in which it is there."""
_NUMBERS = ("listed", "held")
_GAP = pa.schema([(f.name, pa.int64() if f.name in _NUMBERS else pa.string()) for f in fields(Gap)])


class Lake:
    """One snapshot of a lake: ask it, list it, read its tables as Arrow.

    It stays at the version at which it was opened until `refresh` is called.
    """

    def __init__(
        self, path: str | Path, version: int | None = None, engine: str = "duckdb"
    ) -> None:
        self._store = Store(path, version)
        self._store.table("series")  # what is committed later stays unseen
        self._engine_name = engine

    @property
    def path(self) -> Path:
        """The folder of the lake."""
        return self._store.path

    @property
    def version(self) -> int:
        """The version of the snapshot."""
        return self._store.version

    @property
    def versions(self) -> list[dict[str, Any]]:
        """Every version of the lake, newest first."""
        return self._store.versions()

    @property
    def writing(self) -> bool:
        """Whether somebody writes to the lake now."""
        return self._store.locked

    @classmethod
    def of(cls, store: Store) -> Self:
        """What a store holds, which may be a part of a lake."""
        made = cls.__new__(cls)
        store.table("series")
        made._store, made._engine_name = store, "duckdb"
        return made

    @property
    def store(self) -> Store:
        """The tables."""
        return self._store

    @cached_property
    def indexed(self) -> datetime | None:
        """When the newest series came."""
        found = self.engine.read("select max(indexed) as newest from series")
        newest: datetime | None = found.column("newest")[0].as_py()
        return newest

    @cached_property
    def engine(self) -> Any:
        """The engine that answers; see `dicomlake.contracts.Engine`."""
        return plugins.load("engines", self._engine_name)(self._store)

    @property
    def dose(self) -> Doses:
        """Radiation dose: `.events()`, `.studies()`, `.patients()`, `.levels()`, `.alarms()`."""
        return Doses(self.path, self.engine)

    @cached_property
    def totals(self) -> dict[str, int]:
        """Patients, studies, series, instances and failures of the whole lake."""
        return totals(self._store)

    @property
    def series(self) -> pa.Table:
        """One row per series, as Arrow: `.to_pandas()`, or `polars.from_arrow(...)`."""
        return self.table("series")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What can be asked: attribute paths with counts, values and ranges."""
        return Vocabulary.read(self._store)

    @cached_property
    def terminology(self) -> Terminology:
        """What can be asked as one tree, with groups at the top."""
        return Terminology(self.vocabulary)

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A whole table of the snapshot as Arrow; UsageError names those that exist."""
        if name not in tables.ALL:
            raise UsageError(f"There is no table {name!r}. There are: {', '.join(tables.ALL)}.")
        return self._store.read(name, columns)

    def query(
        self,
        where: Condition | Query = None,
        level: str = "series",
        show: Iterable[str] = (),
        order: Iterable[str] = (),
        limit: int | None = None,
    ) -> Answer:
        """The answer to a question in text or as a tree; everything when there is no condition.

        `show` names columns by attribute path; `order` too, with a leading minus for downwards.
        UnknownAttribute, WrongType or QuerySyntax say what is wrong with the question.
        """
        if not isinstance(where, Query):
            node = parse(where, _lines) if isinstance(where, str) else where
            where = Query(node, level, tuple(show), tuple(order), limit)
        return self.engine.answer(where)  # type: ignore[no-any-return]

    def values(
        self,
        path: str,
        where: Condition = None,
        prefix: str = "",
        limit: int = 50,
        ticket: object = None,
    ) -> tuple[list[Value], bool]:
        """The most frequent values at a path in series that meet a condition; whether there are
        more of them."""
        node = parse(where, _lines) if isinstance(where, str) else where
        key = ("values", path, node, prefix, limit)
        found: tuple[list[Value], bool] = self._once(
            key, ticket, lambda spread: spread.values(path, prefix, limit)
        )
        return found

    def histogram(
        self, path: str, where: Condition = None, bins: int = 20, ticket: object = None
    ) -> list[Bin]:
        """Series that meet a condition by their numbers or dates at a path, in round bins."""
        node = parse(where, _lines) if isinstance(where, str) else where
        key = ("histogram", path, node, bins)
        found: list[Bin] = self._once(key, ticket, lambda spread: spread.histogram(path, bins))
        return found

    def _once(self, key: tuple[Any, ...], ticket: object, find: Callable[[Spread], Any]) -> Any:
        """What `find` finds among the series of a condition, the third of the key; remembered."""

        def look() -> Any:
            with self.engine.chosen(key[2], "series", ticket) as (search, mask):
                return find(Spread(search, mask))

        return self._spreads.once(key, look)

    @cached_property
    def _spreads(self) -> Remembered[tuple[Any, ...], Any]:
        return Remembered(_MOST_SPREADS, lambda _: 1)

    def fill_rate(
        self,
        by: str = "ManufacturerModelName",
        paths: Sequence[str] = (),
        where: Condition = None,
        limit: int = 40,
        ticket: object = None,
        level: str = "series",
    ) -> Filled:
        """How many series of each group have a value at each path.

        The most frequent paths of the lake when none are given. `level`: of the condition.
        """
        node = parse(where, _lines) if isinstance(where, str) else where
        wanted = [attribute(path).path for path in paths] or self.terminology.frequent()
        key = ("fill rate", by, node, tuple(wanted), limit, level)

        def look() -> Filled:
            with self.engine.chosen(node, level, ticket) as (search, mask):
                return fill_rate(search, mask, By(by), wanted, limit)

        found: Filled = self._spreads.once(key, look)
        return found

    def quality(
        self,
        where: Condition = None,
        by: str = "device",
        attributes: Sequence[str] = (),
        ticket: object = None,
        level: str = "series",
    ) -> dict[str, Any]:
        """The report of quality of what a question finds, in the layout of docs/quality.md.

        `by`: device, site, year, month or modality. `attributes`: those that matter when none are
        given. `level`: of the condition. `dicomlake.jobs.quality.page` makes HTML of it.
        """
        node = parse(where, _lines) if isinstance(where, str) else where
        wanted = quality.Asked(by, tuple(attributes))
        key = ("quality", wanted, node, level)

        def look() -> dict[str, Any]:
            return quality.report(
                self.engine,
                version=self.version,
                where=node,
                level=level,
                by=wanted.by,
                attributes=wanted.attributes,
                ticket=ticket,
            )

        found: dict[str, Any] = self._spreads.once(key, look)
        return found

    def activity(
        self,
        where: Condition = None,
        asked: AskedActivity | None = None,
        ticket: object = None,
    ) -> Activity:
        """What devices did, of what a question finds: map, utilisation, gaps and days as tables.

        `asked`: level of the question, period and working hours; see docs/activity.md.
        """
        node = parse(where, _lines) if isinstance(where, str) else where
        wanted = replace(asked or AskedActivity(), where=node)
        return self._activities.once(wanted, lambda: Activity.of(self.engine, wanted, ticket))

    @cached_property
    def _activities(self) -> Remembered[AskedActivity, Activity]:
        return Remembered(_MOST_ACTIVITIES, lambda found: found.size)

    def chart(self, spec: Mapping[str, Any], where: Condition = None) -> pa.Table:
        """The groups that a chart of one's own shows, under the names of its fields.

        `spec`: Vega-Lite, whose `data.dicomlake` says which groups (docs/dashboards.md); `where`:
        only of what another question finds, too. UsageError for what a chart may not have.
        """
        node = parse(where, _lines) if isinstance(where, str) else where
        wanted = charts.asked(spec)
        return wanted.rows(self.engine.groups(wanted.under(node, "series")))

    def sql(self, statement: str, limit: int | None = None) -> pa.Table:
        """The rows of one read-only SELECT over the tables, as Arrow.

        The newest version of an extraction is a table, too: `select * from extraction_NAME`.
        """
        return self.engine.sql(statement, limit)

    def header(self, SOPInstanceUID: str) -> dict[str, Any]:
        """The complete header of an instance as DICOM JSON (PS3.18 Annex F)."""
        with self._store.database() as db:
            found = db.execute(
                'select header from instances where "SOPInstanceUID" = ?', [SOPInstanceUID]
            ).fetchall()
        if not found:
            raise UsageError(f"No instance of the lake has SOPInstanceUID {SOPInstanceUID}.")
        header: dict[str, Any] = orjson.loads(found[0][0])
        return header

    def waveform(self, SOPInstanceUID: str, group: int = 1) -> Waveform:
        """The samples of one group of channels of an ECG or another waveform, in physical units.

        `group` counts from 1, as in the table `waveforms`. UsageError when the instance is not in
        the lake, its file is gone or changed, it lies in an archive and is not kept here, or it has
        no such group of samples.
        """
        with self._object(SOPInstanceUID) as found, _samples(SOPInstanceUID):
            return waveform_of(found.header, found.fetch, found.size, group)

    def waveforms(self, SOPInstanceUID: str) -> list[Waveform]:
        """The samples of every group of channels of an instance; UsageError as of `waveform`."""
        with self._object(SOPInstanceUID) as found, _samples(SOPInstanceUID):
            return waveforms_of(found.header, found.fetch, found.size)

    def _object(self, SOPInstanceUID: str) -> contextlib.AbstractContextManager[Opened]:
        row = row_of(self._store, SOPInstanceUID)
        return object_of(row, elsewhere_of(self.path))

    def inside(self, SOPInstanceUID: str) -> dict[str, pa.Table]:
        """What is inside of an object: rows of `tables.CONTENTS`, by table where there are some.

        Rows come in the order of the object. UsageError when no object of the lake has that UID.
        """
        found: dict[str, pa.Table] = {}
        with self._store.database() as db:
            for name, order in _INSIDE.items():
                rows: pa.Table = db.sql(
                    f'select * from {name} where "SOPInstanceUID" = ? order by {order}',
                    params=[SOPInstanceUID],
                ).to_arrow_table()
                if rows.num_rows:
                    found[name] = rows
        if not found:
            self.header(SOPInstanceUID)  # an unknown object says so
        return found

    def documents(
        self, where: Condition = None, features: Sequence[str] = ()
    ) -> Iterator[dict[str, Any]]:
        """One document per series that meets a condition, as `dicomlake.jobs.documents` has them.

        `features`: which parts, such as "items", "dose" or "Modality"; all when there are none.
        UsageError names the nearest ones of an unknown feature.
        """
        documents.check_features(features)
        found = self.query(where, show=["SeriesInstanceUID"]).rows
        uids = found.column("SeriesInstanceUID").to_pylist()
        return documents.documents(self._store, uids, features)

    def enrich(self, name: str, where: Condition = None, **options: str) -> EnrichReport:
        """Have an enricher look at all series that it has not looked at, or at some of them.

        `options` are those of the enricher. UsageError when it cannot work here; LakeError when
        somebody else is writing. This lake shows the statements from then on.
        """
        report = enriching.enrich(self._store.path, name, where=where, options=options)
        self.refresh()
        return report

    def provenance(self, SeriesInstanceUID: str) -> list[dict[str, Any]]:
        """Every enrichment of a series, newest first; `counts`: no later one supersedes it.

        UsageError when the lake has no such series.
        """
        return enriching.provenance(self._store, SeriesInstanceUID)

    def annotations(self, SeriesInstanceUID: str) -> pa.Table:
        """What enrichers state of a series, with evidence, version, model and run; surest first.

        Only what counts: nothing that a later look has superseded. UsageError when the lake has no
        such series.
        """
        return statements.stated(self.engine, SeriesInstanceUID)

    def findings(self, SeriesInstanceUID: str) -> pa.Table:
        """Faults and disagreements that enrichers found in a series, worst first; likewise."""
        return statements.faults(self.engine, SeriesInstanceUID)

    def preview(self, definition: Any, sample: int | None = None) -> Preview:
        """What each column of an extraction finds, without keeping anything: one `Hits` per column.

        `sample`: look only at so many series that have what is asked for, always the same ones.
        """
        return extraction.preview(self._store, definition, sample=sample)

    def extract(self, definition: Any, *, keep: bool = False) -> pa.Table:
        """The flat table of an extraction: a YAML file or text, a dict, or an Extraction.

        Every match is in it. Columns of the patient, study or series come first, then
        SOPInstanceUID and place of what a row holds, then what was asked. `keep`: also as a new
        version of its name in the lake. UsageError says what is wrong with the definition.
        """
        return extraction.extract(self._store, definition, keep=keep)

    def extraction(self, name: str, version: int | None = None) -> pa.Table:
        """The table of an extraction as it was kept last, or at a version.

        UsageError when there is none of that name or version. The newest one is also the view
        `extraction_NAME` of `sql`.
        """
        return extraction.kept(self._store, name, version)

    def freeze(
        self,
        name: str,
        where: Condition | Query = None,
        level: str = "series",
        *,
        saved: str = "",
        by: str = "",
        comment: str = "",
        project: str = "",
    ) -> Cohort:
        """Freeze what a question finds in this snapshot, as the next version of a cohort.

        `saved`: the name or id of a saved question, instead of a condition. It holds whole series:
        those found, or at the levels study and patient all series of what is found.
        """
        if saved:
            where = _saved(self.path, saved)
        if isinstance(where, Query):
            node, level = where.where, where.level
        else:
            node = parse(where, _lines) if isinstance(where, str) else where
        cohorts.freeze(
            self._store, name, node, level, by=by, comment=comment, project=project,
            engine=self.engine,
        )  # fmt: skip
        return self.cohort(name)

    def plan(
        self,
        profile: str | Path | Profile = "research",
        where: Condition = None,
        *,
        cohort: str = "",
        examples: bool = False,
    ) -> list[Planned]:
        """What de-identification does with each attribute of what a condition or a cohort finds.

        `examples`: with one value of each, before and after.
        """
        series = self.cohort(cohort).series() if cohort else None
        node = parse(where, _lines) if isinstance(where, str) else where
        uids = None if series is None else series.column("SeriesInstanceUID").to_pylist()
        return plan_of_lake(
            self._store, profile, node, series=uids, examples=examples, engine=self.engine
        )

    def cohort(self, name: str) -> Cohort:
        """A cohort by "NAME", at its newest version, or by "NAME@3": `.series()`, `.counts`.

        UsageError when there is no such cohort.
        """
        return cohorts.opened(self._store, name)

    @property
    def cohorts(self) -> list[Version]:
        """The newest version of every cohort, newest first."""
        return cohorts.listed(self.path)

    @property
    def extractions(self) -> list[Kept]:
        """Versions of all extractions that are kept, by name and newest first, as definitions,
        numbers of rows and the versions of the lake that they were made of."""
        return extraction.versions(self._store)

    def dataset(
        self,
        out: str | Path,
        cohort: str = "",
        where: str = "",
        *,
        profile: str,
        pseudonyms: str = "",
        formats: Sequence[str] = ("dicom",),
        name: str = "",
        workers: int = 1,
        progress: Progress | None = None,
        **more: Any,
    ) -> DatasetReport:
        """Make a dataset of a cohort, or of what a question finds; how it ended.

        `profile`: of de-identification, or "identified"; `more`: layout, labels, title, licence and
        the like, see `dicomlake.jobs.datasets.wanted.Wanted`. UsageError when it cannot be made.
        """
        wanted = Wanted(
            str(out), cohort, where, profile, pseudonyms, formats=tuple(formats), **more
        )
        return make_dataset(self.path, wanted, name=name, workers=workers, progress=progress)

    def index(self, paths: str | Path | list[str | Path], **options: Any) -> Report:
        """Bring the lake up to date with folders and files; see `dicomlake.jobs.index.index`."""
        listed = paths if isinstance(paths, list) else [paths]
        report = index(listed, self.path, **options)
        self.refresh()
        return report

    def convert(
        self,
        paths: str | Path | list[str | Path],
        mapping: str | Path | None = None,
        **options: Any,
    ) -> ConvertReport:
        """Bring in files that are no DICOM, as DICOM objects or as facts, and refresh.

        Their originals are kept. `mapping`: a file that says what tables mean; `options`: header,
        source, workers, again and the like, see `dicomlake.jobs.converting.convert`.
        """
        listed = paths if isinstance(paths, list) else [paths]
        said = mapping_of(Path(mapping)) if mapping else None
        report = convert(listed, lake=self.path, mapping=said, **options)
        self.refresh()
        return report

    def bring_facts(
        self, paths: str | Path | list[str | Path], *, source: str, **options: Any
    ) -> Taken:
        """Bring in what another system knows of patients, named `source`, and refresh.

        FHIR, OMOP, tables, HL7 messages and texts; `options`: issuer, mapping and the like, see
        `dicomlake.jobs.clinical.bring`.
        """
        listed = paths if isinstance(paths, list) else [paths]
        taken = bring(self.path, listed, source=source, **options)
        self.refresh()
        return taken

    def omop(
        self,
        out: str | Path,
        *,
        pseudonyms: str,
        form: str = "csv",
        cohort: str = "",
        vocabulary: str | Path | None = None,
        notes: bool = False,
        year_of_birth: int | None = None,
        wado: str = "",
        progress: Progress | None = None,
    ) -> OmopReport:
        """Write the lake, or a cohort, as OMOP tables with the imaging extension; what was written.

        `pseudonyms`: a name in the settings, or "" for identities as they are; `vocabulary`:
        CONCEPT.csv of Athena; `notes`: texts of documents, too, which only go out identified;
        `year_of_birth`: of those of whom nobody says one, who else are left out; `wado`: address of
        the DICOMweb service that has the series. UsageError when it cannot be written, Cancelled
        when `progress` says so.
        """
        wanted = AskedOmop(
            form, cohort, Path(vocabulary) if vocabulary else None, pseudonyms, notes,
            year_of_birth, wado,
        )  # fmt: skip
        return write_omop(self._store, Path(out), wanted, settings_.read(self.path), progress)

    def pull(
        self,
        source: str,
        *,
        accession: Values = (),
        patient: Values = (),
        study: Values = (),
        series: Values = (),
        dates: tuple[str, str] | None = None,
        depth: str | None = None,
        keep: bool = False,
        again: bool = False,
        workers: int = 2,
        progress: Progress | None = None,
    ) -> Pulled:
        """Bring headers or objects out of an archive, as `dicomlake.pull` does, and refresh."""
        did = pull(
            self.path,
            source,
            accession=accession,
            patient=patient,
            study=study,
            series=series,
            dates=dates,
            depth=depth,
            keep=keep,
            again=again,
            workers=workers,
            progress=progress,
        )
        self.refresh()
        return did

    def missing(self, source: str | None = None, *, complete: bool = False) -> pa.Table:
        """What archives list and the lake lacks, and why: rows of `dicomlake.jobs.missing.Gap`.

        Only what a pull or a catalogue has listed is known. `complete`: also series of which one
        object alone was read.
        """
        queue = queue_of(self.path, settings_.read(self.path))
        try:
            rows = [asdict(gap) for gap in gaps(self._store, queue, source, complete=complete)]
        finally:
            queue.close()
        return pa.Table.from_pylist(rows, _GAP)

    def refresh(self) -> Lake:
        """The lake at its newest version."""
        self._store.refresh()
        for name in ("engine", "indexed", "totals", "vocabulary", "terminology", "_spreads"):
            self.__dict__.pop(name, None)
        return self

    def __repr__(self) -> str:
        counts = ", ".join(f"{n:,} {what}" for what, n in self.totals.items() if what != "failures")
        return f"<Lake {self.path} version {self.version}: {counts}>"

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td>{what}</td><td style='text-align:right'>{count:,}</td></tr>"
            for what, count in self.totals.items()
        )
        return f"<b>{escape(str(self.path))}</b>, version {self.version}<table>{cells}</table>"


def open(path: str | Path, version: int | None = None, *, engine: str = "duckdb") -> Lake:
    """The lake in a folder, at its newest version or at an older one; LakeError when it is none."""
    return Lake(path, version, engine)


def deidentify(
    source: str | Path,
    out: str | Path,
    profile: str | Path = "research",
    *,
    key_file: str | Path,
    quarantine: str | Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> FilesReport:
    """De-identify the DICOM files of a folder into another one; see `dicomlake deid files`."""
    return deidentify_files(
        source, out, profile, settings_.Pseudonyms(key_file=Path(key_file)),
        quarantine=quarantine, workers=workers, progress=progress,
    )  # fmt: skip


def make(
    paths: str | Path | list[str | Path],
    lake: str | Path,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Lake:
    """A lake made from folders, files and archives, or brought up to date with them."""
    listed = paths if isinstance(paths, list) else [paths]
    index(listed, lake, progress=progress, **options)
    return Lake(lake)


def pull(
    lake: str | Path,
    source: str,
    *,
    accession: Values = (),
    patient: Values = (),
    study: Values = (),
    series: Values = (),
    dates: tuple[str, str] | None = None,
    depth: str | None = None,
    keep: bool = False,
    again: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
) -> Pulled:
    """Bring what an archive has into a lake, and wait until it is there or known to be missing.

    `source` is one of dicomlake.toml in the folder of the lake, which need not be a lake yet.
    `dates` are the first and the last StudyDate, YYYYMMDD, either may be "": ("", "") is the whole
    archive. `depth`: "catalogue", "headers" or "complete", else what the source says. UsageError
    when there is no such source, nothing is asked for, or a value has a wildcard.
    """
    found = settings_.read(lake)
    asked = found.of(source)
    given = {
        "AccessionNumber": accession,
        "PatientID": patient,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
    }
    keys = {
        name: (values,) if isinstance(values, str) else tuple(values)
        for name, values in given.items()
    }
    keys = {name: values for name, values in keys.items() if values}
    if not keys and dates is None:
        raise UsageError('Say what to pull: values, or dates; dates=("", "") is everything.')
    kept = keep or asked.keep
    depth = depth or asked.depth
    request = Request(
        source,
        keys,
        dates,
        "complete" if kept and depth == "headers" else depth,
        NOW if keys else TODAY,
        kept,
        again,
        undated=not keys and dates == ("", ""),
    )
    return pulled_by(lake, request, found=found, workers=workers, progress=progress)


def _saved(lake: Path, which: str) -> Query:
    """A saved question by its name or id; UsageError when there is none, or several."""
    found = [one for one in Saved(lake).all() if which in (one.name, one.id)]
    if len(found) != 1:
        several = f"{len(found)} saved questions are" if found else "No saved question is"
        raise UsageError(f"{several} called {which[:80]!r}. Use the id, which its page shows.")
    plain = {key: found[0].query.get(key) for key in ("where", "level")}
    asked = from_json(plain)
    assert isinstance(asked, Query)
    return asked


@contextlib.contextmanager
def _samples(SOPInstanceUID: str) -> Iterator[None]:
    try:
        yield
    except (DataError, OSError) as error:
        raise UsageError(
            f"The samples of {SOPInstanceUID} cannot be read: {error}. The table waveforms says "
            "which groups it has."
        ) from error


def _lines(path: str) -> Iterator[str]:
    """Values of a list file, one per line, blank lines left out."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list {path} cannot be read: one value per line, UTF-8.") from error
    for line in text.splitlines():
        if value := line.strip():
            yield value
