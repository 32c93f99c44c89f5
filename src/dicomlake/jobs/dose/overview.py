"""All that pages and reports show of dose: every table of one question, made when it is wanted.

`Overview(engine, where, options).table("levels")`: the names are those of `TABLES`.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import UsageError
from dicomlake.jobs import dose
from dicomlake.jobs.dose import factors
from dicomlake.jobs.dose.events import told
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.schemas import UNITS, table
from dicomlake.query import Node

DAYS = 365
"""Length of the rolling window of patients, where nothing else is said."""
OF_STUDIES = {
    "DLP": "CT", "effective_dose": "CT", "DAP": "projection", "RP": "projection",
    "fluoro_time": "projection", "AGD_right": "mammography", "AGD_left": "mammography",
    "activity": "radiopharmaceutical",
}  # fmt: skip
"""Quantities of studies, and the kind of dose that they tell of."""
OF_EVENTS = {
    "CTDIvol": "CT", "DLP": "CT", "SSDE": "CT", "DAP": "projection", "RP": "projection",
    "AGD": "mammography", "activity": "radiopharmaceutical",
}  # fmt: skip
"""Quantities of events, and the kind of dose that they tell of."""


def _text(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.string(), True, {"comment": comment})


def _whole(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.int64(), True, {"comment": comment})


def _day(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.date32(), True, {"comment": comment})


def _number(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.float64(), True, {"comment": comment})


_OF = _text("kind", "kind of dose"), _text("quantity", "quantity")
_UNIT = _text("unit", "unit of all numbers of the row")
_SPREAD = (
    _number("median", "median"),
    _number("q1", "first quartile"),
    _number("q3", "third quartile"),
    _number("smallest", "smallest value"),
    _number("largest", "largest value"),
)
TOTALS = pa.schema(
    [
        *_OF,
        _UNIT,
        _whole("studies", "studies that have the quantity"),
        _whole("patients", "their patients"),
        _number("total", "sum over all studies; of one set where it is an effective dose"),
        *_SPREAD,
    ],
    {"comment": "one row per quantity of studies"},
)
MONTHS = pa.schema(
    [
        _day("month", "first day of the month"),
        *_OF,
        _UNIT,
        _whole("studies", "studies that have the quantity"),
        _number("total", "sum over these studies"),
        _number("median", "median of these studies"),
    ],
    {"comment": "one row per month and quantity of studies, oldest first"},
)
DISTRIBUTIONS = pa.schema(
    [
        _text("kind", "kind of dose"),
        _text("standard_protocol", "standard name of the protocol; null: no rule fits"),
        _text("quantity", "quantity of an event"),
        _UNIT,
        _whole("phantom", "diameter of the phantom of CTDIvol in cm"),
        _whole("n", "events with a value above 0"),
        _whole("patients", "their patients"),
        *_SPREAD,
    ],
    {"comment": "one row per protocol and quantity of events, most events first"},
)
MISSING = pa.schema(
    [
        _text("what", "what is missing, left out or contradicted, in words"),
        _text("of", "what is counted: events or studies"),
        _whole("n", "how many"),
        _whole("whole", "of how many"),
    ],
    {"comment": "one row per reason why something does not count or is not told"},
)


class Overview:
    """The tables of one question about dose, for many threads; each is made once.

    `days`: length of the window of patients; `part`: the engine sees a part of the lake alone, so
    that nothing is told of alarms that it does not find.
    """

    def __init__(
        self,
        engine: Any,
        where: Node | None,
        options: DoseOptions,
        days: int = DAYS,
        *,
        part: bool = False,
    ) -> None:
        self.engine, self.where, self.options = engine, where, options
        self.days, self.part = days, part
        self._made: dict[str, pa.Table] = {}
        self._given: pa.Table | None = None
        self._lock = threading.RLock()
        self._ticket: object = None

    def table(self, name: str, ticket: object = None) -> pa.Table:
        """A table by name; UsageError names those that there are. `ticket`: to cancel it by."""
        if name not in TABLES:
            raise UsageError(
                f"There is no table {name[:40]!r} of dose. There are: {', '.join(TABLES)}."
            )
        with self._lock:
            if name not in self._made:
                self._ticket = ticket or self._ticket
                self._made[name] = TABLES[name](self)
            return self._made[name]

    @property
    def given(self) -> pa.Table:
        """Events with all columns, read once for all tables."""
        if self._given is None:
            self._given = told(self.engine, self.where, options=self.options, ticket=self._ticket)
        return self._given

    def ask(self, what: Callable[..., pa.Table], **more: Any) -> pa.Table:
        """What a function finds of the question."""
        said = {"options": self.options, "ticket": self._ticket, **more}
        return what(self.engine, self.where, **said)


def totals(studies: pa.Table) -> pa.Table:
    """What studies add up to, by quantity."""
    rows = []
    for quantity, kind in OF_STUDIES.items():
        found = _valued(studies, quantity)
        if found.num_rows:
            values = _values(found, quantity)
            rows.append(
                {
                    "kind": kind,
                    "quantity": quantity,
                    "unit": UNITS[quantity],
                    "studies": found.num_rows,
                    "patients": _patients(found),
                    "total": float(values.sum()),
                    **spread(values),
                }
            )
    return table(TOTALS, rows)


def months(studies: pa.Table) -> pa.Table:
    """What studies add up to by month; those without a day are left out."""
    rows: list[dict[str, Any]] = []
    for quantity, kind in OF_STUDIES.items():
        by: dict[date, list[float]] = defaultdict(list)
        found = _valued(studies, quantity)
        for day, value in zip(
            found.column("StudyDate").to_pylist(), _values(found, quantity), strict=True
        ):
            if day is not None:
                by[day.replace(day=1)].append(float(value))
        rows += [
            {
                "month": month,
                "kind": kind,
                "quantity": quantity,
                "unit": UNITS[quantity],
                "studies": len(values),
                "total": float(np.sum(values)),
                "median": float(np.median(values)),
            }
            for month, values in by.items()
        ]
    rows.sort(key=lambda row: row["month"])
    return table(MONTHS, rows)


def distributions(events: pa.Table) -> pa.Table:
    """How values of events spread, by protocol; CTDIvol and DLP of two phantoms apart."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    names = ["kind", "standard_protocol", "phantom", "patient_key", *OF_EVENTS]
    for row in events.select(names).to_pylist():
        for quantity, kind in OF_EVENTS.items():
            if row["kind"] == kind and (row[quantity] or 0) > 0:
                phantom = row["phantom"] if quantity in ("CTDIvol", "DLP", "SSDE") else None
                groups[kind, row["standard_protocol"], quantity, phantom].append(row)
    rows = [
        {
            "kind": kind,
            "standard_protocol": protocol,
            "quantity": quantity,
            "unit": UNITS[quantity],
            "phantom": phantom,
            "n": len(found),
            "patients": len({row["patient_key"] for row in found}),
            **spread(np.array([row[quantity] for row in found])),
        }
        for (kind, protocol, quantity, phantom), found in groups.items()
    ]
    order = list(OF_EVENTS)
    rows.sort(
        key=lambda row: (
            row["kind"], -row["n"], row["standard_protocol"] or "", order.index(row["quantity"]),
            row["phantom"] or 0,
        )
    )  # fmt: skip
    return table(DISTRIBUTIONS, rows)


def missing(everything: pa.Table, studies: pa.Table) -> pa.Table:
    """What is not told, left out or contradicted: of events, those of no patient too."""
    rows = [*_missing_of_events(everything), *_missing_of_studies(studies)]
    return table(MISSING, [row for row in rows if row["n"]])


def _missing_of_events(everything: pa.Table) -> Iterator[dict[str, Any]]:
    listed = everything.select(
        ["kind", "not_patient", "why_not", "standard_protocol", "started", *OF_EVENTS]
    ).to_pylist()
    said = Counter(why for row in listed for why in row["why_not"] or ())
    ours = [row for row in listed if not row["not_patient"]]

    def told(what: str, n: int, of: int) -> dict[str, Any]:
        return {"what": what, "of": "events", "n": n, "whole": of}

    for why, n in said.most_common():
        yield told(why, n, len(listed))
    yield told("no dose at all", sum(not _has_dose(row) for row in ours), len(ours))
    nameless = sum(row["standard_protocol"] is None for row in ours)
    yield told("no standard name of the protocol", nameless, len(ours))


def _has_dose(row: Mapping[str, Any]) -> bool:
    return any(row[quantity] is not None for quantity in OF_EVENTS)


def _missing_of_studies(studies: pa.Table) -> Iterator[dict[str, Any]]:
    def told(what: str, n: int) -> dict[str, Any]:
        return {"what": what, "of": "studies", "n": n, "whole": studies.num_rows}

    yield told("no day", studies.column("StudyDate").null_count)
    for name in studies.schema.names:
        if name.endswith("_differs"):
            n = pc.sum(pc.fill_null(studies.column(name), False)).as_py() or 0
            quantity = name.removesuffix("_differs")
            yield told(f"{quantity}: events and documents differ by more than 5 %", n)


def spread(values: Any) -> dict[str, float]:
    """Median, quartiles and ends of some numbers.

    >>> spread(np.array([1.0, 2.0, 4.0]))["median"]
    2.0
    """
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    return {
        "median": float(median), "q1": float(q1), "q3": float(q3),
        "smallest": float(np.min(values)), "largest": float(np.max(values)),
    }  # fmt: skip


def _valued(found: pa.Table, quantity: str) -> pa.Table:
    return found.filter(pc.is_valid(found.column(quantity)))


def _values(found: pa.Table, quantity: str) -> Any:
    return found.column(quantity).to_numpy()


def _patients(found: pa.Table) -> int:
    return int(pc.count_distinct(found.column("patient_key")).as_py())


def _everything(asked: Overview) -> pa.Table:
    """Events with those of no patient."""
    options = replace(asked.options, include_not_patient=True)
    return asked.ask(dose.events, options=options, given=asked.given)


def _of_events(what: Callable[..., pa.Table]) -> Callable[[Overview], pa.Table]:
    return lambda asked: asked.ask(what, given=asked.given)


def _alarms(asked: Overview) -> pa.Table:
    of = asked.table("studies")
    return asked.ask(dose.alarms, gone=not asked.part, given=asked.given, of=of)


TABLES: dict[str, Callable[[Overview], pa.Table]] = {
    "totals": lambda asked: totals(asked.table("studies")),
    "months": lambda asked: months(asked.table("studies")),
    "distributions": lambda asked: distributions(asked.table("events")),
    "levels": _of_events(dose.compare),
    "trends": _of_events(dose.trends),
    "outliers": _of_events(dose.outliers),
    "alarms": _alarms,
    "patients": lambda asked: asked.ask(dose.patients, days=asked.days, of=asked.table("studies")),
    "studies": _of_events(dose.studies),
    "events": _of_events(dose.events),
    "protocols": _of_events(dose.protocols),
    "factors": lambda asked: factors.table(asked.options.own("factors.csv")),
    "missing": lambda asked: missing(asked.table("everything"), asked.table("studies")),
    "everything": _everything,
}
"""Every table by name, and what makes it."""
