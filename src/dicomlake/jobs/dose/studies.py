"""What studies have got: sums over distinct events, beside what documents state.

Documents state totals of their own events. One whose events all count by a newer or better
document says nothing more: of cumulative reports the last one counts, and continued reports add up.
Where documents share some events, the sum over events counts. CTDIvol is never added; its largest
value is told by phantom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from dicomlake.jobs.dose import factors, schemas
from dicomlake.jobs.dose.events import Naming, told
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.rows import LEFT, RIGHT, Row, read, select
from dicomlake.jobs.dose.skin import peaks_of_studies
from dicomlake.query import Node

DIFFERENCE = 0.05
"""Share from which on what is stated and what is summed differ."""
_STATED_FIRST = frozenset(["DAP", "RP"])
"""Quantities whose stated total counts: fluoroscopy is often not told event by event."""
_TOLD = ("DLP", "DAP", "RP", "AGD_right", "AGD_left")
_SHARED = [f.name for f in schemas.STUDIES if f.name in {e.name for e in schemas.EVENTS}]
_SHARED = [name for name in _SHARED if name not in schemas.UNITS and name not in ("why_not",)]


def studies(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
) -> pa.Table:
    """Studies with dose of what a condition finds: `schemas.STUDIES`, oldest first.

    The effective dose is the sum over CT events by one set of factors; `unestimated` counts those
    that it lacks.
    """
    return schemas.table(schemas.STUDIES, summed(engine, where, options=options, ticket=ticket))


def summed(
    engine: Any, where: Node | None, *, options: DoseOptions, ticket: object = None
) -> Iterator[Row]:
    """The same as rows."""
    events: dict[str, list[Row]] = defaultdict(list)
    for row in told(engine, where, options=options, ticket=ticket):
        events[_key(row)].append(row)
    stated = _stated(engine, where, options, ticket)
    peaks = peaks_of_studies(engine, ticket)
    weighting = factors.of(options.factor_set, options.own("factors.csv")).weighting
    rows = [
        _study(events.get(key, []), stated.get(key, []), peaks.get(key), weighting, options)
        for key in {**events, **stated}
    ]
    yield from sorted(rows, key=_order)


def _order(row: Row) -> tuple[bool, Any, str]:
    day = row["StudyDate"]
    return day is None, day or 0, row["StudyInstanceUID"] or ""


def _key(row: Row) -> str:
    """Of what a row is a part: its study, or its object where it has none."""
    return str(row["StudyInstanceUID"] or row["SOPInstanceUID"])


_DOCUMENTS = """
select e."SOPInstanceUID", e.kind, e.precedence, coalesce(e."StudyInstanceUID",
    e."SOPInstanceUID") as study, count(*) as events,
    count(*) filter (e.counted) as counted
from dose_events e group by all
"""


def _stated(
    engine: Any, where: Node | None, options: DoseOptions, ticket: object
) -> dict[str, list[Row]]:
    """Totals that count, by study: of documents that have an event that counts.

    A document without events counts where nothing else of its study tells of that kind of dose,
    and then the newest of the best source.
    """
    known = {
        (row["SOPInstanceUID"], row["kind"], row["study"]): row
        for row in select(engine, _DOCUMENTS, (), ticket)
    }
    told_of = {(study, kind) for (_, kind, study), row in known.items() if row["counted"]}
    naming = Naming(options)
    found: dict[str, list[Row]] = defaultdict(list)
    alone: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in read(engine, "dose_totals", where, options, ticket):
        naming.name(row)
        if row["not_patient"] and not options.include_not_patient:
            continue
        key, kind = _key(row), row["kind"]
        document = known.get((row["SOPInstanceUID"], kind, key))
        if document is not None:
            if document["counted"]:
                row["shared"] = document["counted"] < document["events"]
                found[key].append(row)
        elif (key, kind) not in told_of:
            alone[(key, kind)][row["SOPInstanceUID"]].append(row)
    for (key, _), documents in alone.items():
        found[key] += min(documents.values(), key=_worse)
    return found


def _worse(documents: Iterable[Row]) -> tuple[Any, ...]:
    """Documents in the order in which they count: source, then the newest, then the fullest."""
    rows = list(documents)
    row = rows[0]
    made = row["documented"].timestamp() if row["documented"] else 0.0
    return row["precedence"], -made, -sum(r["filled"] or 0 for r in rows), row["SOPInstanceUID"]


def _study(
    events: list[Row],
    stated: list[Row],
    peak: float | None,
    weighting: str,
    options: DoseOptions,
) -> Row:
    first = (events or stated)[0]
    row: Row = {name: first.get(name) for name in _SHARED}
    row["kinds"] = sorted({r["kind"] for r in (*events, *stated) if r["kind"]})
    named = (e["standard_protocol"] for e in events)
    row["standard_protocols"] = sorted({name for name in named if name}) or None
    row["events"] = len(events)
    row["events_stated"] = _sum(_once(stated), "events")
    row |= _by_phantom(events)
    shared = any(r.get("shared") for r in stated)
    sides = (("AGD_right", RIGHT), ("AGD_left", LEFT))
    for name in ("DLP", "DAP", "RP"):
        row |= _both(name, _sum(events, name), _sum(stated, name), shared)
    for name, side in sides:
        ours, theirs = ([r for r in rows if r["laterality"] == side] for rows in (events, stated))
        row |= _both(name, _sum(ours, "AGD"), _sum(theirs, "AGD"), shared)
    row["AGD_unknown"] = _sum([e for e in events if e["laterality"] not in (RIGHT, LEFT)], "AGD")
    for name in ("DAP_fluoro", "DAP_acquisition", "fluoro_time"):
        row[name] = _sum(stated, name)
    row["activity"] = _sum(events, "activity")
    row["peak_skin_dose"] = peak
    row |= _effective(events, weighting, options)
    why = {said for each in events for said in each["why_not"] or () if "SSDE" not in said}
    row["why_not"] = sorted(why) or None
    return row


def _once(stated: Iterable[Row]) -> list[Row]:
    """Rows of totals, one per document: numbers of events are said for each plane."""
    found: dict[tuple[str, str], Row] = {}
    for row in stated:
        if row["events"] is not None:
            found.setdefault((row["SOPInstanceUID"], row["kind"]), row)
    return list(found.values())


def _sum(rows: Iterable[Row], name: str) -> Any:
    """The sum of what is there; None where nothing is."""
    said = [row[name] for row in rows if row.get(name) is not None]
    return sum(said) if said else None


def _both(name: str, ours: float | None, theirs: float | None, shared: bool) -> Row:
    """What counts of a quantity, what events and documents say, and whether both differ."""
    stated_first = name in _STATED_FIRST and not shared
    one, other = (theirs, ours) if stated_first else (ours, theirs)
    differs = None
    if ours is not None and theirs is not None:
        differs = abs(ours - theirs) > DIFFERENCE * max(abs(ours), abs(theirs))
    return {
        name: other if one is None else one,
        f"{name}_events": ours,
        f"{name}_stated": theirs,
        f"{name}_differs": differs,
    }


def _by_phantom(events: list[Row]) -> Row:
    """The largest CTDIvol by phantom; it is never added."""
    found: Row = {}
    for name, phantom in (("CTDIvol_head", 16), ("CTDIvol_body", 32), ("CTDIvol_unknown", None)):
        said = [e["CTDIvol"] for e in events if e["phantom"] == phantom]
        found[name] = max((n for n in said if n is not None), default=None)
    return found


def _effective(events: list[Row], weighting: str, options: DoseOptions) -> Row:
    """Effective doses of one set, head and body apart, and events without one."""
    with_dose = [e for e in events if e["kind"] == "CT" and e["DLP"]]
    if not with_dose:
        return {}
    head = [e for e in with_dose if e.get("factor_region") in factors.HEADS]
    body = [e for e in with_dose if e.get("factor_region") not in factors.HEADS]
    return {
        "effective_dose": _sum(with_dose, "effective_dose"),
        "effective_dose_head": _sum(head, "effective_dose"),
        "effective_dose_body": _sum(body, "effective_dose"),
        "factor_set": options.factor_set,
        "tissue_weighting": weighting,
        "unestimated": sum(e.get("effective_dose") is None for e in with_dose),
    }
