"""The vocabulary: what can be asked of a lake, counted from its data after every run.

It is counted from nothing, or brought up to date: what the patients whose series changed said
before is taken away, what they say now is added. Both give the same. What cannot be known from
that (the smallest number when its owner left) is counted anew for the attribute alone.

Values that point at persons are not listed: names (PN), UIDs other than those of the Standard,
attributes named in `IDENTIFYING`; and where 20 patients or more have more than half as many values
as they are, only those that at least three of them and about one in a hundred share.
"""

from __future__ import annotations

import json
import logging
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydicom.uid import UID

from dicomlake import tables
from dicomlake.contracts import Progress, Silent
from dicomlake.dicom import dictionary
from dicomlake.dicom.wording import literal
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs.counting import (
    KEY,
    MOST_TOP,
    Count,
    Counts,
    Top,
    add_distinct,
    add_meanings,
    add_top,
    fill,
    measure,
    naive,
    only_row,
    snapshot,
    workspace,
)
from dicomlake.jobs.told import clinical_terms
from dicomlake.lake import Store
from dicomlake.lake.store import REWRITTEN, SPILL, view
from dicomlake.lake.vocabulary import Vocabulary
from dicomlake.query.attributes import CLINICAL, ROWS, attribute

log = logging.getLogger(__name__)

RULES = 4
"""Way of counting; what was counted in another one is counted anew."""
NOTE = "counted"
"""Metadata of a commit of `vocabulary`: what it was counted from, as JSON."""
LARGEST_SHARE = 0.25
"""Share of series of patients concerned above which counting everything anew is faster."""

MANY_FACTS = 1_000_000
"""Facts of which the counts are not brought up to date for each series that comes."""
MOST_ADDED = 24
"""Files of changes that are added before the counts of values are written whole."""

IDENTIFYING = frozenset(
    """PatientID OtherPatientIDs PatientBirthDate PatientBirthTime
    PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar PatientAddress
    PatientTelephoneNumbers PatientTelecomInformation PatientComments MedicalRecordLocator
    AdmissionID AccessionNumber InsurancePlanIdentification PatientInsurancePlanCodeSequence
    PersonAddress PersonTelephoneNumbers PersonTelecomInformation PersonIdentificationCodeSequence
    ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers RegionOfResidence""".split()
)
"""Keywords whose values are never listed, nor those of attributes inside them."""
FEW_PATIENTS = 20
LEAST_SHARED = 3

_COUNTED = ("elements", *tables.CONTENTS, *tables.STATED, "enrichments")
_COLUMNS = f"{KEY}, meaning, series, patients"


class _Basis(NamedTuple):
    """The versions of the tables that a vocabulary was counted from.

    `rows`, `files`: of `vocabulary_values` when it was last written whole. `clinical`: the tables
    of facts and documents; `drift`: how many series have changed since these were counted.
    """

    rules: int
    series: int
    children: dict[str, int]
    values: int
    rows: int
    files: int
    clinical: dict[str, int] = {}  # noqa: RUF012
    drift: int = 0


class _Unknown(Exception):
    """It cannot be brought up to date and is to be counted anew; the message says why."""


def rebuild(
    store: Store,
    *,
    progress: Progress | None = None,
    full: bool = False,
    largest_share: float = LARGEST_SHARE,
) -> None:
    """Bring the vocabulary up to date with the newest snapshot; called by the one writer.

    Nothing happens when the snapshot is the same as before. `full`: count everything anew, which
    also drops every trace of values that no series has any more; so it is when rows of series that
    stay were rewritten.
    """
    progress = progress or Silent()
    basis = _basis(store)
    if basis is not None and _rewritten(store, basis):
        basis = None
    if not full and basis is not None and basis.series == store.version:
        return
    progress.stage("counting what can be asked", None, "rows")
    with workspace(store.path / "_work" / "vocabulary") as db:
        snapshot(db, "new", store.paths)
        if not full and basis is not None:
            try:
                updated = _update(db, store, basis, largest_share)
                if not updated and basis.clinical != _clinical_versions(store):
                    _write(db, store, _counts(store), basis.rows, basis.files, basis)
            except _Unknown as reason:
                log.info("vocabulary counted anew", extra={"reason": str(reason)})
            else:
                return
        _count_all(db, store, progress)


def _basis(store: Store) -> _Basis | None:
    """What the vocabulary was counted from; None when it cannot be built upon."""
    for entry in store.notes("vocabulary", NOTE):
        said = json.loads(entry[NOTE])
        basis = _Basis(**said) if said.get("rules") == RULES else None
        values = int(store.table("vocabulary_values").version())
        return basis if basis is not None and basis.values == values else None
    return None


def _rewritten(store: Store, basis: _Basis) -> bool:
    """Whether a job has changed rows of series that stay since they were counted."""
    for name, version in basis.children.items():
        table = store.table(name)
        newer = int(table.version()) - version
        if newer > 0 and any(
            REWRITTEN in entry and entry["version"] > version for entry in table.history(newer)
        ):
            return True
    return False


# Everything anew


def _count_all(db: duckdb.DuckDBPyConnection, store: Store, progress: Progress) -> None:
    found: Counts = {}
    files: list[str] = []
    rows = 0

    def take(counts: Counts) -> None:
        nonlocal rows
        _finish(db, counts)
        found.update(counts)
        wrote, done = only_row(db, "select count(*), (select count(*) from facts) from counted")
        reader = db.sql(f"select {_COLUMNS} from counted order by {KEY}").to_arrow_reader(100_000)
        files.extend(store.write_stream("vocabulary_values", reader))
        rows += wrote
        progress.advance(done)

    measure(db, "new", take)
    store.exchange("vocabulary_values", files)
    _write(db, store, found, rows, len(files))
    log.info("vocabulary counted", extra={"paths": len(found), "values": rows})


def _finish(db: duckdb.DuckDBPyConnection, counts: Counts) -> None:
    """Add to counts what follows from the counts of values in the table `counted`."""
    add_distinct(db, "counted", counts)
    add_top(db, "counted", counts, {path: _least(path, count) for path, count in counts.items()})
    add_meanings(db, "counted", counts)


def _least(path: str, count: Count) -> int:
    """How many patients must share a value for it to be listed; more than there are: none is."""
    if "PN" in count.vrs or not IDENTIFYING.isdisjoint(path.split(".")):
        return 1 << 62
    if path.startswith("[") and "UT" in count.vrs:  # what a report says in words
        return max(LEAST_SHARED, 1 << (count.patients // 100).bit_length() >> 1)
    several = count.distinct is not None and count.distinct > count.patients / 2
    if several and count.patients >= FEW_PATIENTS:
        # A power of two, so that it seldom changes when patients come and go.
        return max(LEAST_SHARED, 1 << (count.patients // 100).bit_length() >> 1)
    return 1


def _clinical_versions(store: Store) -> dict[str, int]:
    return {name: int(store.table(name).version()) for name in tables.CLINICAL}


def _told(db: duckdb.DuckDBPyConnection, store: Store, basis: _Basis | None) -> _Told:
    """Rows of facts and documents, and how many series have changed since they were counted.

    Of many facts they stay as they were while few series change.
    """
    versions = _clinical_versions(store)
    if basis is not None and basis.clinical == versions and any(versions.values()):
        rows = sum(file.rows for name in tables.CLINICAL for file in store.files(name))
        changed = only_row(
            db,
            "select count(*) from (from old_series except from new_series "
            "union all (from new_series except from old_series))",
        )[0]
        whole = only_row(db, "select count(*) from new_series")[0]
        drift = basis.drift + int(changed)
        if rows > MANY_FACTS and drift * 100 < whole:
            kept = [
                row
                for path in store.paths("vocabulary")
                for row in pq.read_table(path, schema=tables.VOCABULARY).to_pylist()
                if _is_told(row["path"])
            ]
            return _Told(kept, drift)
    return _Told(clinical_terms(store), 0)


class _Told(NamedTuple):
    rows: list[dict[str, Any]]
    drift: int


def _is_told(path: str) -> bool:
    return path.partition(".")[0] in CLINICAL


def _write(
    db: duckdb.DuckDBPyConnection,
    store: Store,
    counts: Counts,
    rows: int,
    files: int,
    before: _Basis | None = None,
) -> None:
    """Write the table, and what it was counted from; `before`: what it was counted from last."""
    told = _told(db, store, before)
    basis = _Basis(
        RULES,
        store.version,
        {name: int(store.table(name).version()) for name in _COUNTED},
        int(store.table("vocabulary_values").version()),
        rows,
        files,
        _clinical_versions(store),
        told.drift,
    )
    file = store.write("vocabulary", _table(db, counts, told.rows))
    store.exchange("vocabulary", [file] if file else [], **{NOTE: json.dumps(basis._asdict())})


def _table(db: duckdb.DuckDBPyConnection, counts: Counts, told: list[dict[str, Any]]) -> pa.Table:
    whole = only_row(
        db,
        "select count(distinct patient_key), count(distinct study_key), count(*) from new_series",
    )
    meanings = _meanings(counts)
    listed = [_row(path, counts[path], meanings) for path in sorted(counts)]
    top = {"path": "", "name": "the lake", "documents": 0, "empty": 0, "distinct_values": None}
    top.update(zip(("patients", "studies", "series"), whole, strict=True))
    return pa.Table.from_pylist([top, *listed, *told], tables.VOCABULARY)


def counted(store: Store) -> Vocabulary:
    """The vocabulary of a part of a lake, counted now and kept by nobody."""
    found: Counts = {}

    def take(counts: Counts) -> None:
        _finish(db, counts)
        found.update(counts)

    with workspace(store.path / SPILL / f"vocabulary-{secrets.token_hex(4)}") as db:
        snapshot(db, "new", store.paths)
        measure(db, "new", take)
        return Vocabulary(_table(db, found, clinical_terms(store)), store.version)


def _meanings(counts: Counts) -> dict[str, str]:
    """What codes inside of objects are called, for columns that do not say it themselves."""
    found: dict[str, tuple[int, str]] = {}
    for path, count in sorted(counts.items()):
        if path.startswith(("[", *ROWS)) and not _borrows(path):
            for top in count.top:
                if meaning := count.meanings.get(top.text or ""):
                    best = found.get(str(top.text), (0, ""))
                    found[str(top.text)] = max(best, (top.series, meaning), key=lambda b: b[0])
    return {code: meaning for code, (_, meaning) in found.items()}


def _borrows(path: str) -> bool:
    """Whether a path is a column of codes whose meanings are not kept."""
    root, _, name = path.partition(".")
    return root in ROWS and f"{name}_meaning" not in tables.ALL[ROWS[root]].names


def _row(path: str, count: Count, meanings: dict[str, str]) -> dict[str, Any]:
    axis = count.axis
    try:
        *around, last = dictionary.segments(path)
        known: dictionary.Attribute | None = attribute(path)
    except UsageError:  # a path of a newer or a foreign reader
        around, last, known = [], path, None
    vr = count.vr
    called = most(count.names) or (known.name if known else "") or last
    return {
        "path": path,
        "parent": ".".join(around),
        "vr": vr,
        "vrs": [{"vr": sent, "series": count.vrs[sent]} for sent in by_number(count.vrs)],
        "units": [{"text": s, "series": count.units[s]} for s in by_number(count.units)],
        "names": [{"text": s, "series": count.names[s]} for s in by_number(count.names)],
        "tag": known.tag if known else "",
        "name": called,
        "patients": count.patients,
        "studies": count.studies,
        "series": count.series,
        "documents": count.documents,
        "empty": count.empty,
        "distinct_values": count.distinct,
        "lowest": count.lowest,
        "highest": count.highest,
        "first": count.first,
        "last": count.last,
        "histogram": [
            {"low": low, "high": high, "series": series}
            for (low, high), series in zip(axis.edges(), count.bins, strict=True)
        ]
        if axis
        else [],
        "top": [_top(vr, top, meanings if _borrows(path) else count.meanings) for top in count.top],
    }


def by_number(counts: dict[str, int]) -> list[str]:
    """What is counted, the most frequent first."""
    return sorted(counts, key=lambda what: (-counts[what], what))


def most(counts: dict[str, int]) -> str:
    """What is most frequent, or ""."""
    return next(iter(by_number(counts)), "")


def _top(vr: str, top: Top, meanings: dict[str, str]) -> dict[str, Any]:
    value: str | float | datetime = top.text or ""
    meaning = meanings.get(top.text or "", "")
    for typed in (top.number, top.moment):
        if typed is not None:
            value = literal(vr, typed)
    if vr == "UI" and not meaning and top.text and UID(top.text).name != top.text:
        meaning = UID(top.text).name
    return {
        "value": value,
        "meaning": meaning,
        "number": top.number,
        "moment": top.moment,
        "series": top.series,
        "patients": top.patients,
    }


# Bringing up to date


def _update(
    db: duckdb.DuckDBPyConnection, store: Store, basis: _Basis, largest_share: float
) -> bool:
    """Take away what changed patients said, add what they say; _Unknown when that is not possible.

    False when nothing has changed. Nothing is written before everything is known.
    """
    versions = {**basis.children, "series": basis.series}
    snapshot(db, "old", lambda name: _files(store, name, versions[name]))
    if not _affected(db, largest_share):
        return False
    counts = _counts(store)
    axes = {path: count.axis for path, count in counts.items()}
    least = {path: _least(path, count) for path, count in counts.items()}
    before = _contribution(db, "old", axes)
    after = _contribution(db, "new", axes)
    _changes(db, store)
    anew = _apply(db, counts, axes, before, after)
    touched = {path for path in {*before, *after} if path in counts}
    _apply_values(db, counts, touched - anew, least)

    def take(some: Counts) -> None:
        _finish(db, some)
        counts.update(some)

    if anew:
        measure(db, "new", take, paths=sorted(anew))
    changes = db.sql(f"select {_COLUMNS} from changes order by {KEY}").to_arrow_table()
    _note_changes(db, store, changes, basis, counts)
    log.info("vocabulary updated", extra={"values": changes.num_rows, "anew": len(anew)})
    return True


def _files(store: Store, name: str, version: int) -> list[str]:
    """The files of a table at an older version; _Unknown when one of them is gone."""
    try:
        paths = store.paths_at(name, version)
    except LakeError as error:
        raise _Unknown(f"version {version} of {name} is gone") from error
    if not all(Path(path).exists() for path in paths):
        raise _Unknown(f"files of version {version} of {name} are gone")
    return paths


def _affected(db: duckdb.DuckDBPyConnection, largest_share: float) -> int:
    """How many patients are affected; makes `affected`, the patients to be counted again.

    Patients who share a study belong together: otherwise studies would be counted twice.
    """
    db.execute(
        """create temp table affected as
        with parted as (from old_series except from new_series),
             joined as (from new_series except from old_series),
             stated as (from old_current except from new_current
                        union all (from new_current except from old_current)),
             enriched as (select series_id from (from old_enrichments union all
                          from new_enrichments) semi join stated using (enrichment_id))
        select distinct patient_key from (from parted union all from joined union all
            from new_series semi join enriched using (series_id));
        create temp table links as
        select distinct patient_key, study_key from (from old_series union all from new_series)"""
    )
    number, grown = -1, only_row(db, "select count(*) from affected")[0]
    while grown != number:
        number = grown
        db.execute(
            """create or replace temp table affected as
            select distinct patient_key from links where study_key in
                (select study_key from links where patient_key in (from affected))"""
        )
        grown = only_row(db, "select count(*) from affected")[0]
    of = "series where patient_key in (from affected)"
    touched = (
        only_row(db, f"select count(*) from old_{of}")[0]
        + only_row(db, f"select count(*) from new_{of}")[0]
    )
    whole = only_row(db, "select count(*) from new_series")[0]
    if touched > 2 * largest_share * whole:
        raise _Unknown("much has changed")
    return int(grown)


def _counts(store: Store) -> Counts:
    """The vocabulary as it was counted last."""
    counts: Counts = {}
    for path in store.paths("vocabulary"):
        for row in pq.read_table(path, schema=tables.VOCABULARY).to_pylist():
            if row["path"] and not _is_told(row["path"]):
                counts[row["path"]] = _count(row)
    return counts


def _count(row: dict[str, Any]) -> Count:
    top = [
        Top(
            top["value"] if top["number"] is None and top["moment"] is None else None,
            top["number"],
            top["moment"],
            top["series"],
            top["patients"],
        )
        for top in row["top"]
    ]
    return Count(
        patients=row["patients"],
        studies=row["studies"],
        series=row["series"],
        documents=row["documents"],
        empty=row["empty"],
        distinct=row["distinct_values"],
        lowest=row["lowest"],
        highest=row["highest"],
        first=row["first"],
        last=row["last"],
        vrs={sent["vr"]: sent["series"] for sent in row["vrs"]},
        units={sent["text"]: sent["series"] for sent in row["units"]},
        names={sent["text"]: sent["series"] for sent in row["names"]},
        bins=[part["series"] for part in row["histogram"]],
        top=top,
        meanings={}
        if _borrows(row["path"])
        else {top["value"]: top["meaning"] for top in row["top"] if top["meaning"]},
    )


def _contribution(db: duckdb.DuckDBPyConnection, name: str, axes: dict[str, Any]) -> Counts:
    """What affected patients say in a snapshot; their values become the table NAME_values."""
    db.execute(
        f"create temp table {name}_values (path text, text text, number double, moment timestamp,"
        " meaning text, series bigint, patients bigint)"
    )
    found: Counts = {}

    def take(counts: Counts) -> None:
        found.update(counts)
        db.execute(f"insert into {name}_values select {_COLUMNS} from counted")

    measure(db, name, take, affected=True, axes=axes)
    return found


def _changes(db: duckdb.DuckDBPyConnection, store: Store) -> None:
    """The tables `changes`: what to add to the counts of values, and `now`: what that makes.

    _Unknown when less than nothing would be left.
    """
    _keep(db, "stored", store.paths("vocabulary_values"))
    same = " and ".join(
        f"v.{name} is not distinct from c.{name}" for name in (*KEY.split(", "), "meaning")
    )
    db.execute(
        f"""create temp table changes as
        select {KEY}, meaning, sum(series)::bigint as series, sum(patients)::bigint as patients
        from (select {_COLUMNS} from new_values union all
              select {KEY}, meaning, -series, -patients from old_values)
        group by {KEY}, meaning having sum(series) <> 0 or sum(patients) <> 0;
        create temp table now as
        select {KEY}, meaning, sum(was)::bigint as was, sum(series)::bigint as series,
               sum(patients)::bigint as patients
        from (select {KEY}, meaning, series as was, series, patients
              from kept v semi join changes c on {same}
              union all select {KEY}, meaning, 0, series, patients from changes)
        group by {KEY}, meaning"""
    )
    if only_row(db, "select count(*) from now where series < 0 or patients < 0 or was < 0")[0]:
        raise _Unknown("the counts of values do not fit the series")


def _keep(db: duckdb.DuckDBPyConnection, name: str, paths: list[str]) -> None:
    """The view `kept`: the counts of values as they are stored."""
    view(db, name, paths, tables.VOCABULARY_VALUES)
    db.execute(
        "create or replace temp view kept as "
        f"select * replace (moment::timestamp as moment) from {name}"
    )


def _apply(
    db: duckdb.DuckDBPyConnection,
    counts: Counts,
    axes: dict[str, Any],
    before: Counts,
    after: Counts,
) -> set[str]:
    """Bring the counts per path up to date; the paths that must be counted anew."""
    anew: set[str] = set()
    doubtful: list[tuple[str, float | None, datetime | None]] = []
    for path in {*before, *after}:
        count = counts.setdefault(path, Count())
        left, came = before.get(path, Count()), after.get(path, Count())
        for name in ("patients", "studies", "series", "documents", "empty"):
            value = getattr(count, name) + getattr(came, name) - getattr(left, name)
            setattr(count, name, value)
        for name in ("vrs", "units", "names"):
            said, gone, new = (getattr(c, name) for c in (count, left, came))
            for text in {*gone, *new}:
                said[text] = said.get(text, 0) + new.get(text, 0) - gone.get(text, 0)
                if said[text] == 0:
                    del said[text]
        if min(count.patients, count.studies, count.series, count.empty) < 0:
            raise _Unknown(f"the counts of {path} do not fit the series")
        if not count.series + count.empty:
            del counts[path]
            continue
        for name, sign in (("lowest", -1), ("highest", 1), ("first", -1), ("last", 1)):
            old, gone, new = (getattr(c, name) for c in (count, left, came))
            best = _further(old, new, sign)
            setattr(count, name, best)
            if gone is not None and gone == old == best != new:
                dated = name in ("first", "last")
                doubtful.append((path, None if dated else old, old if dated else None))
        axis = count.axis
        if axis != axes.get(path):
            anew.add(path)
        elif axis is not None:
            came_bins, left_bins = came.bins or [0] * axis.count, left.bins or [0] * axis.count
            count.bins = [
                was + more - less
                for was, more, less in zip(count.bins, came_bins, left_bins, strict=True)
            ]
    return anew | _lost(db, doubtful)


def _further(old: Any, new: Any, sign: int) -> Any:
    """The larger of two for a positive sign, the smaller one else; None counts as nothing."""
    if old is None or new is None:
        return new if old is None else old
    return max(old, new) if sign > 0 else min(old, new)


def _lost(
    db: duckdb.DuckDBPyConnection, ends: list[tuple[str, float | None, datetime | None]]
) -> set[str]:
    """Paths among those whose range may have become smaller; not those whose end others share."""
    if not ends:
        return set()
    rows = [(path, number, naive(moment)) for path, number, moment in ends]
    fill(db, "ends", ("path text", "number double", "moment timestamp"), rows)
    same = " and ".join(f"v.{n} is not distinct from e.{n}" for n in ("path", "number", "moment"))
    found = db.execute(
        f"""with held as (
            select path, number, moment
            from (select * from kept union all by name select * from changes) v
            semi join ends e on {same} and v.text is null and v.meaning is null
            group by all having sum(series) > 0)
        select path from ends e anti join held v on {same}"""
    ).fetchall()
    return {row[0] for row in found}


def _apply_values(
    db: duckdb.DuckDBPyConnection, counts: Counts, paths: set[str], least: dict[str, int]
) -> None:
    """Bring what follows from values up to date.

    `least`: how many patients had to share a value before. Values that were not among the most
    frequent ones, and did not change, still come after the last of those. Where that is not enough
    to know the most frequent ones, all values of the path are summed up.
    """
    summed: set[str] = set()
    found = db.execute(
        """select path,
               count(*) filter (was = 0 and series > 0) - count(*) filter (was > 0 and series = 0),
               bool_or(text = '' and series > 0), bool_or(text = '' and series = 0)
        from now where meaning is null group by path"""
    ).fetchall()
    for path, more, unlisted, listed in found:
        if path not in paths:
            continue
        count = counts[path]
        if unlisted or (count.distinct is None and not listed):
            count.distinct = None
        elif count.distinct is None:
            summed.add(path)
        else:
            count.distinct += more
    old = {path: counts[path].top for path in paths}
    columns = ("path text", "text text", "number double", "moment timestamp", "series bigint")
    rows = [
        (path, t.text, t.number, naive(t.moment), t.series, t.patients)
        for path, top in old.items()
        for t in top
    ]
    fill(db, "listed", (*columns, "patients bigint"), rows)
    same = " and ".join(f"v.{n} is not distinct from c.{n}" for n in KEY.split(", "))
    db.execute(
        f"""create or replace temp table candidates as
        select *, null::text as meaning from listed v
        anti join (select * from now where meaning is null) c on {same}
        union all by name
        select {_COLUMNS} from now where meaning is null and series > 0"""
    )
    now = {path: _least(path, counts[path]) for path in paths}
    add_top(db, "candidates", counts, now)
    for path, needed in now.items():
        top = counts[path].top
        full = len(old[path]) == MOST_TOP
        overtaken = full and (len(top) < MOST_TOP or top[-1].rank > old[path][-1].rank)
        if needed < least.get(path, 1) or overtaken:
            summed.add(path)
        counts[path].meanings = {}
    _sum_up(db, {path: counts[path] for path in summed})
    coded = {path: counts[path] for path in paths if "SQ" in counts[path].vrs}
    db.execute(
        f"""create or replace temp table meant as
        select path, text, meaning, sum(series) as series
        from (select {_COLUMNS} from kept union all select {_COLUMNS} from changes)
        where meaning is not null and path = any(?) group by path, text, meaning
        having sum(series) > 0""",
        [list(coded)],
    )
    add_meanings(db, "meant", coded)


def _sum_up(db: duckdb.DuckDBPyConnection, counts: Counts) -> None:
    """Set what follows from values by all values of some paths, as they are after the changes."""
    fill(db, "summed", ("path text",), [(path,) for path in counts])
    db.execute(
        f"""create or replace temp table again as
        select {KEY}, null::text as meaning, sum(series)::bigint as series,
               sum(patients)::bigint as patients
        from (select {_COLUMNS} from kept union all select {_COLUMNS} from changes)
        where meaning is null and path in (from summed)
        group by {KEY} having sum(series) > 0"""
    )
    add_distinct(db, "again", counts)
    add_top(db, "again", counts, {path: _least(path, count) for path, count in counts.items()})


def _note_changes(
    db: duckdb.DuckDBPyConnection, store: Store, changes: pa.Table, basis: _Basis, counts: Counts
) -> None:
    """Write the changes, and all counts of values anew when there are many changes."""
    rows, files = basis.rows, basis.files
    store.append("vocabulary_values", changes.cast(tables.VOCABULARY_VALUES))
    paths = store.paths("vocabulary_values")
    held = _rows_in(paths)
    if held > 1.5 * rows + 100_000 or len(paths) > files + MOST_ADDED:
        _keep(db, "grown", paths)
        reader = db.sql(
            f"select {KEY}, meaning, sum(series)::bigint as series, "
            "sum(patients)::bigint as patients from kept group by all "
            f"having sum(series) > 0 order by {KEY}"
        ).to_arrow_reader(100_000)
        paths = store.write_stream("vocabulary_values", reader)
        store.exchange("vocabulary_values", paths)
        rows, files = _rows_in(store.paths("vocabulary_values")), len(paths)
    _write(db, store, counts, rows, files, basis)


def _rows_in(paths: list[str]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)
