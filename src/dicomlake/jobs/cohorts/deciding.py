"""What people decide about single series: include, exclude, flag, comment, each with a reason.

A decision is a line of the log of a cohort. Versions have what was decided before they were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import UsageError
from dicomlake.jobs.cohorts import keeping
from dicomlake.jobs.cohorts.keeping import EXCLUDED, INCLUDED, Entry
from dicomlake.lake import Store

KINDS = ("include", "exclude", "flag", "comment")
LEVELS = {"series": "SeriesInstanceUID", "study": "StudyInstanceUID", "patient": "PatientID"}
"""What can be named, by the attribute that names it."""
MOST_SERIES = 100_000
"""Of one decision."""
MOST_REASON = 2000


def decide(
    lake: str | Path | Store,
    name: str,
    what: str,
    of: str | Iterable[str],
    reason: str = "",
    *,
    level: str = "series",
    flag: str = "",
    by: str = "",
) -> Entry:
    """Note what somebody decides of series, or of all series of studies or patients.

    `of`: their UIDs or PatientIDs. What is included and not found by the question is added from the
    lake. UsageError when something is unknown, or when a reason is missing.
    """
    store = keeping.store_of(lake)
    values = [of] if isinstance(of, str) else list(dict.fromkeys(of))
    reason, flag = reason.strip(), flag.strip()
    _check(what, level, values, reason, flag)
    with keeping.changing(store.path):
        here = keeping.seen(store, working(store, name))
        about = {
            "level": level,
            "of": values,
            "series": _series(store, here, what, level, values),
            "reason": reason,
            "flag": flag,
            "version": keeping.numbers(store.path, name)[-1],
        }
        return keeping.note(store.path, name, what, by, about)


def _check(what: str, level: str, values: Sequence[str], reason: str, flag: str) -> None:
    if what not in KINDS:
        raise UsageError(f"{what!r} is no decision. Use one of {', '.join(KINDS)}.")
    if level not in LEVELS:
        raise UsageError(f"{level!r} is no level. Use one of {', '.join(LEVELS)}.")
    if not values:
        raise UsageError("Name at least one series, study or patient.")
    if what in ("exclude", "comment") and not reason:
        raise UsageError("Say why, so that others understand it. In a shell: --reason TEXT")
    if len(reason) > MOST_REASON or len(flag) > 64:
        raise UsageError(
            f"Keep it short: a reason of up to {MOST_REASON:,} characters, a flag of up to 64."
        )


def _series(
    store: Store, here: pa.Table, what: str, level: str, values: Sequence[str]
) -> list[str]:
    """SeriesInstanceUIDs of what somebody named, in the cohort or in the lake."""
    wanted = pa.array(values, pa.string())
    found = here.filter(pc.is_in(here.column(LEVELS[level]), value_set=wanted))
    known = set(found.column(LEVELS[level]).to_pylist())
    uids = found.column("SeriesInstanceUID").to_pylist()
    strange = [value for value in values if value not in known]
    if strange and what == "include":
        more = rows_named(store, level, strange)
        uids += more.column("SeriesInstanceUID").to_pylist()
        known |= set(more.column(LEVELS[level]).to_pylist())
        strange = [value for value in strange if value not in known]
    if strange:
        where = "not in the lake" if what == "include" else "not in the cohort"
        raise UsageError(
            f"{len(strange):,} of {len(values):,} {LEVELS[level]}s are {where}. See: dicomlake "
            "cohort series NAME"
        )
    if len(uids) > MOST_SERIES:
        raise UsageError(
            f"These are {len(uids):,} series; one decision takes {MOST_SERIES:,}. Change the "
            "question instead, and freeze it again."
        )
    return sorted(set(uids))


def rows_named(store: Store, level: str, values: Sequence[str]) -> pa.Table:
    """Rows of series of the lake by the attribute that a level has."""
    from dicomlake.jobs.cohorts.freezing import rows_of

    return rows_of(store, LEVELS[level], pa.array(values, pa.string()))


def working(store: Store, name: str) -> pa.Table:
    """The newest version of a cohort with what was decided since."""
    newest = keeping.read(store.path, name)
    since = keeping.log(store.path, name)[newest.entries :]
    return applied(store, keeping.rows(store.path, newest), since)


def applied(store: Store, rows: pa.Table, entries: Iterable[Entry]) -> pa.Table:
    """Rows after some decisions; what was included and is not among them is added."""
    changed: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.what not in ("include", "exclude", "flag"):
            continue
        for uid in entry.about["series"]:
            changed.setdefault(uid, {}).update(_changes(entry))
    if not changed:
        return rows
    rows = _with_added(store, rows, [u for u, c in changed.items() if c.get("state") == INCLUDED])
    places = pc.index_in(
        pa.array(list(changed), pa.string()), value_set=rows.column("SeriesInstanceUID")
    ).to_pylist()
    columns = {name: rows.column(name).to_pylist() for name in ("state", "reason", "flag")}
    for place, changes in zip(places, changed.values(), strict=True):
        if place is not None:
            for key, value in changes.items():
                columns[key][place] = value
    for key, values in columns.items():
        at = rows.schema.get_field_index(key)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, pa.string()))
    return rows


def _changes(entry: Entry) -> dict[str, Any]:
    if entry.what == "flag":
        return {"flag": entry.about["flag"]}
    state = INCLUDED if entry.what == "include" else EXCLUDED
    flag = {"flag": entry.about["flag"]} if entry.about["flag"] else {}
    return {"state": state, "reason": entry.about["reason"], **flag}


def _with_added(store: Store, rows: pa.Table, uids: Sequence[str]) -> pa.Table:
    """Rows with those of more series, as far as the lake has them."""
    wanted = pa.array(uids, pa.string())
    known = pc.is_in(wanted, value_set=rows.column("SeriesInstanceUID"))
    missing = wanted.filter(pc.invert(known))
    if not len(missing):
        return rows
    more = rows_named(store, "series", missing.to_pylist())
    at = more.schema.get_field_index("added")
    more = more.set_column(at, more.schema.field(at), pa.array([True] * more.num_rows, pa.bool_()))
    return pa.concat_tables([rows, more]).sort_by("SeriesInstanceUID").combine_chunks()
