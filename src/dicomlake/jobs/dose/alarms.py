"""Alarms for one patient: rules with limits, and what people said of the alarms.

An alarm is made of what the lake holds whenever it is asked: one per rule and event, study, or
study that ends a window. What is kept is only what people said of it, under a name made of rule and
event: never twice for one event. A document that comes late may take an alarm back, or raise its
value; then it is open again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from dicomlake import plugins
from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.cumulative import Sums
from dicomlake.jobs.dose.events import of_patients, told
from dicomlake.jobs.dose.levels import in_unit
from dicomlake.jobs.dose.options import DoseOptions, options_of
from dicomlake.jobs.dose.protocols import pattern
from dicomlake.jobs.dose.rows import Row
from dicomlake.jobs.dose.studies import studies
from dicomlake.lake import Store
from dicomlake.query import Node
from dicomlake.terms import sheets, units

_PACKAGE = "dicomlake.jobs.dose.tables"
STATES = ("open", "seen", "closed")
FILE = "alarms.sqlite"
_KEYS = frozenset("name set kind quantity limit unit per days protocol device active".split())
_MORE = {
    "CTDIvol_alert_estimate": "mGy", "DLP_alert_estimate": "mGy.cm",
    "CTDIvol_notification_estimate": "mGy", "DLP_notification_estimate": "mGy.cm",
}  # fmt: skip
QUANTITIES = {**schemas.UNITS, **_MORE}
_LIMITS = {f"{name}_{level}" for name in ("CTDIvol", "DLP") for level in ("alert", "notification")}
_NEARLY = 1 - 1e-9
"""Of a limit: values from there on are compared exactly."""
_RISEN = 1.0001
"""By what a value has to rise until a seen or closed alarm is open again."""

_TABLE = """
create table if not exists states (
    alarm_id text primary key, state text not null, reason text not null, who text not null,
    changed real not null, noticed real not null, value real not null, told real);
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. `limit`: in `unit`, or the name of a column that holds it."""

    name: str
    set: str
    quantity: str
    limit: float | str
    unit: str
    per: str
    kind: str = ""
    days: int | None = None
    protocol: Callable[[str], bool] | None = None
    device: Callable[[str], bool] | None = None

    def fits(self, row: Row) -> bool:
        """Whether a row is one that the rule is for."""
        kinds = row.get("kinds") or [row.get("kind")]
        if self.kind and self.kind not in kinds:
            return False
        if self.device and not self.device(row.get("device") or ""):
            return False
        named = row.get("standard_protocols") or [row.get("standard_protocol") or ""]
        return self.protocol is None or any(map(self.protocol, named))

    def over(self, value: float | None, row: Row) -> tuple[float, float] | None:
        """Value and limit in the unit of the rule, where the value is beyond it."""
        if value is None:
            return None
        ours = QUANTITIES[self.quantity]
        said = row.get(self.limit) if isinstance(self.limit, str) else self.limit
        if said is None:
            return None
        limit = in_unit(said, ours, self.unit) if isinstance(self.limit, str) else float(said)
        found = in_unit(value, ours, self.unit)
        return (found, limit) if found > limit else None


def alarms(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    state: str = "",
    gone: bool = False,
    ticket: object = None,
    given: pa.Table | None = None,
    of: pa.Table | None = None,
) -> pa.Table:
    """Alarms of what a condition finds: `schemas.ALARMS`, of the newest study first.

    `state`: only those that are open, seen or closed. `gone`: without a condition also those
    that no longer hold, and of which somebody said something; only for who sees the whole lake, for
    nobody knows any more of whom they were. `given` and `of`: events and studies of the condition,
    where they were asked for already.
    """
    if state and state not in STATES:
        raise UsageError(f"{state!r} is no state of an alarm. Use {', '.join(STATES)}.")
    kept = _kept(options.folder)
    if given is None:
        given = told(engine, where, options=options, ticket=ticket)
    if of is None:
        of = studies(engine, where, options=options, ticket=ticket, given=given)
    found = _found(of_patients(given, options), of, options)
    rows = [_with_state(row, kept.get(row["alarm_id"])) for row in found]
    if gone and where is None:
        now = {row["alarm_id"] for row in rows}
        rows += [_gone(said) for name, said in kept.items() if name not in now]
    rows = [row for row in rows if not state or row["state"] == state]
    rows.sort(key=lambda r: (r.get("StudyDate") or date.min, r["alarm_id"]), reverse=True)
    return schemas.table(schemas.ALARMS, rows)


def _found(events: pa.Table, studies_: pa.Table, options: DoseOptions) -> Iterator[Row]:
    for rule in rules_of(options):
        if rule.per == "event":
            for row in _over(events, rule):
                yield from _alarm(rule, row, row.get(rule.quantity), row["event_key"])
        elif rule.per == "study":
            for row in _over(studies_, rule):
                yield from _alarm(rule, row, row.get(rule.quantity), row["StudyInstanceUID"])
        else:
            yield from _windows(rule, studies_)


def _over(found: pa.Table, rule: Rule) -> Iterator[Row]:
    """Rows that a rule is for, of those that may be beyond its limit."""
    if rule.quantity not in found.column_names:
        return
    values = found.column(rule.quantity)
    if isinstance(rule.limit, str):
        if rule.limit not in found.column_names:
            return
        over = pc.greater(values, found.column(rule.limit))
    else:
        ours = units.convert(rule.limit, rule.unit, QUANTITIES[rule.quantity])
        over = pc.greater(values, (ours or 0.0) * _NEARLY)
    for row in found.filter(pc.fill_null(over, False)).to_pylist():
        if rule.fits(row):
            yield row


_OF_RULES = ("kinds", "device", "standard_protocols", "patient_key", "StudyDate")


def _windows(rule: Rule, found: pa.Table) -> Iterator[Row]:
    """An alarm for every study whose dose brings the window that ends with it beyond the limit.

    Not where it is the only one in it: that is a matter of studies.
    """
    values = found.column(rule.quantity)
    found = found.filter(pc.fill_null(pc.greater(values, 0), False))
    people: dict[int, list[Row]] = defaultdict(list)
    few = found.select([*_OF_RULES, rule.quantity]).to_pylist()
    for n, row in enumerate(few):
        if rule.fits(row):
            people[row["patient_key"]].append(row | {"n": n})
    for rows in people.values():
        sums = Sums(rows, rule.quantity)
        for row in rows:
            if row["StudyDate"] is None or len(rows) == 1:
                continue
            value = sums.within(row["StudyDate"], rule.days or 1)
            if value is not None and value > row[rule.quantity] and rule.over(value, row):
                whole = found.slice(row["n"], 1).to_pylist()[0]
                yield from _alarm(rule, whole, value, whole["StudyInstanceUID"])


def _alarm(rule: Rule, row: Row, value: float | None, of: str | None) -> Iterator[Row]:
    over = rule.over(value, row)
    if over is None or row["not_patient"]:
        return
    digest = hashlib.sha256(f"{rule.name}\x1f{rule.per}\x1f{of}".encode()).hexdigest()[:16]
    kinds = row.get("kinds") or [row.get("kind")]
    shared = {name: row.get(name) for name in schemas.ALARMS.names}
    yield shared | {
        "alarm_id": digest, "rule": rule.name, "set": rule.set, "quantity": rule.quantity,
        "value": over[0], "limit": over[1], "unit": rule.unit, "per": rule.per,
        "days": rule.days, "kind": rule.kind or (kinds[0] if kinds else None), "holds": True,
    }  # fmt: skip


# What people said


@dataclass(frozen=True, slots=True)
class Said:
    """What is kept of an alarm: nothing that names a patient but what people write as reason."""

    alarm_id: str
    state: str
    reason: str
    who: str
    changed: float
    noticed: float
    value: float
    told: float | None


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(folder / FILE, timeout=10)) as db, db:
            db.executescript(_TABLE)
            db.execute("begin immediate")
            yield db
    except (sqlite3.Error, OSError) as error:
        raise ServiceError(
            "What was said of alarms cannot be read or written. Try again in a moment."
        ) from error


def _kept(folder: Path | None) -> dict[str, Said]:
    if folder is None or not (folder / FILE).is_file():
        return {}
    with _open(folder) as db:
        return {row[0]: Said(*row) for row in db.execute("select * from states").fetchall()}


def _with_state(row: Row, said: Said | None) -> Row:
    if said is None:
        return row | {"state": "open"}
    about = _about(said)
    if said.state != "open" and row["value"] > said.value * _RISEN:
        about |= {
            "state": "open",
            "reason": f"risen from {said.value:.6g} since it was {said.state}: {said.reason}",
        }
    return row | about


def _gone(said: Said) -> Row:
    return {"alarm_id": said.alarm_id, "value": said.value, "holds": False, **_about(said)}


def _about(said: Said) -> Row:
    return {
        "state": said.state,
        "reason": said.reason or None,
        "who": said.who or None,
        "changed": _moment(said.changed) if said.state != "open" else None,
        "noticed": _moment(said.noticed),
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def close(
    lake: str | Path,
    alarm_id: str,
    state: str,
    reason: str,
    who: str,
    *,
    engine: Any = None,
    ticket: object = None,
) -> pa.Table:
    """Say of an alarm of a lake that it is seen or closed, or open again, and why.

    Its row of `ALARMS` comes back. `engine`: one of the lake that is there already. UsageError for
    an unknown alarm or state, and for one that is closed without a reason.
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is no state of an alarm. Use {', '.join(STATES)}.")
    if state == "closed" and not reason.strip():
        raise UsageError("Say why the alarm is closed.")
    options = options_of(lake, include_not_patient=False)
    engine = engine or plugins.load("engines", "duckdb")(Store(lake))
    row = _one(engine, alarm_id, options, ticket).to_pylist()[0]
    assert options.folder is not None
    with _open(options.folder) as db:
        db.execute(
            "insert into states values (?1, ?2, ?3, ?4, ?5, ?5, ?6, null) on conflict (alarm_id) "
            "do update set state = ?2, reason = ?3, who = ?4, changed = ?5, value = ?6",
            [alarm_id, state, reason.strip()[:2000], who[:200], time.time(), row["value"]],
        )
    return _one(engine, alarm_id, options, ticket)


def _one(engine: Any, alarm_id: str, options: DoseOptions, ticket: object) -> pa.Table:
    """The row of an alarm; UsageError for an unknown one."""
    rows = alarms(engine, options=options, ticket=ticket)
    names = rows.column("alarm_id").to_pylist()
    if alarm_id not in names:
        raise UsageError(f"There is no alarm {alarm_id[:32]!r}. dicomlake dose alarms lists them.")
    return rows.slice(names.index(alarm_id), 1)


def notice(folder: Path, rows: Iterable[Row]) -> list[Row]:
    """Remember alarms that nobody was told of, and return them; each comes once."""
    now = time.time()
    fresh = []
    with _open(folder) as db:
        told_of = {
            row[0]
            for row in db.execute("select alarm_id from states where told is not null").fetchall()
        }
        for row in rows:
            if row["alarm_id"] in told_of or row["state"] != "open":
                continue
            db.execute(
                "insert into states values (?1, 'open', '', '', ?2, ?2, ?3, ?2) "
                "on conflict (alarm_id) do update set told = ?2",
                [row["alarm_id"], now, row["value"]],
            )
            fresh.append(row)
    return fresh


def forget(folder: Path, rows: Iterable[Row]) -> None:
    """Nobody was told after all: they come again."""
    with _open(folder) as db:
        db.executemany(
            "update states set told = null where alarm_id = ?", [(r["alarm_id"],) for r in rows]
        )


# Rules


def rules_of(options: DoseOptions) -> tuple[Rule, ...]:
    """The rules that are on: of sets that are, or that the options name."""
    own = options.own("alarms.yaml")
    return _rules(own, own.stat().st_mtime_ns if own else 0, options.sets)


@lru_cache(maxsize=16)
def _rules(own: Path | None, changed: int, wanted: tuple[str, ...]) -> tuple[Rule, ...]:
    documents = [("alarms.yaml", sheets.ours(_PACKAGE, "alarms.yaml"))]
    if own:
        documents.append((f"{own.name} of the site", sheets.of_site(own, "alarms")))
    sets: dict[str, bool] = {}
    found: dict[str, tuple[Rule, bool | None]] = {}
    for name, text in documents:
        document = _document(name, text)
        for set_, about in (document.get("sets") or {}).items():
            sets[str(set_)] = bool((about or {}).get("active"))
        for n, said in enumerate(document.get("rules") or (), 1):
            rule, active = _rule(f"{name}, rule {n}", said)
            found[rule.name] = rule, active
    known = {*sets, *(rule.set for rule, _ in found.values())}
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"There is no set of alarms {name[:60]!r}. There are: {', '.join(sorted(known))}."
            )
    return tuple(
        rule
        for rule, active in found.values()
        if rule.set in wanted or (sets.get(rule.set, True) if active is None else active)
    )


def _document(name: str, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is no YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(found, dict) or set(found) - {"version", "sets", "rules"}:
        raise UsageError(f"{name}: it may have version, sets and rules, and nothing else.")
    return found


def _rule(place: str, said: Any) -> tuple[Rule, bool | None]:
    if not isinstance(said, dict) or set(said) - _KEYS:
        wrong = sorted(map(str, set(said) - _KEYS))[0] if isinstance(said, dict) else said
        raise UsageError(f"{place}: {wrong!r} is not known. A rule has {', '.join(sorted(_KEYS))}.")
    missing = [key for key in ("name", "quantity", "limit", "unit", "per") if key not in said]
    if missing:
        raise UsageError(f"{place}: it lacks {missing[0]}.")
    quantity, per, limit, unit = said["quantity"], said["per"], said["limit"], str(said["unit"])
    if quantity not in QUANTITIES:
        raise UsageError(f"{place}: {quantity!r} is none of {', '.join(QUANTITIES)}.")
    if units.convert(1.0, QUANTITIES[quantity], unit) is None:
        raise UsageError(f"{place}: {quantity} cannot be in {unit!r}.")
    if per not in ("event", "study", "window"):
        raise UsageError(f"{place}: per is event, study or window, not {per!r}.")
    number = isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0
    if not number and limit not in _LIMITS:
        raise UsageError(f"{place}: the limit {limit!r} is no number above 0.")
    days = said.get("days")
    if per == "window" and not (isinstance(days, int) and days > 0):
        raise UsageError(f"{place}: a window has days, a whole number above 0.")
    tests = {
        name: pattern(place, str(said[name])) if said.get(name) else None
        for name in ("protocol", "device")
    }
    rule = Rule(
        str(said["name"]), str(said.get("set") or "site"), quantity, limit, unit, per,
        str(said.get("kind") or ""), days, **tests,
    )  # fmt: skip
    return rule, said.get("active")
