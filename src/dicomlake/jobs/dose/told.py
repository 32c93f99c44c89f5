"""The doses of one snapshot of a lake, for notebooks: `lake.dose.studies("Modality = 'CT'")`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake.errors import UsageError
from dicomlake.jobs.dose import factors
from dicomlake.jobs.dose.alarms import alarms, close
from dicomlake.jobs.dose.cumulative import DAYS, patient, patients
from dicomlake.jobs.dose.events import events
from dicomlake.jobs.dose.levels import compare
from dicomlake.jobs.dose.mapping import protocols
from dicomlake.jobs.dose.options import options_of
from dicomlake.jobs.dose.outliers import outliers, trends
from dicomlake.jobs.dose.studies import studies
from dicomlake.query import Node, parse


class Doses:
    """Questions about dose; each answers with an Arrow table, units in the comments of columns.

    A condition is text or a tree, and is met by studies: their doses are told. Every question takes
    what `DoseOptions` has: factor_set="NCI 2012", least=30, country="DE".
    """

    def __init__(self, path: Path, engine: Any) -> None:
        self._path, self._engine = path, engine

    def _ask(self, make: Callable[..., pa.Table], where: str | Node | None, said: Any) -> pa.Table:
        more = {name: said.pop(name) for name in ("days", "state", "gone") if name in said}
        node = parse(where) if isinstance(where, str) else where
        return make(self._engine, node, options=options_of(self._path, **said), **more)

    def events(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Irradiation events that count, oldest first."""
        return self._ask(events, where, options)

    def studies(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Sums of studies, oldest first."""
        return self._ask(studies, where, options)

    def patients(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Sums of patients over windows of `days`, 365 when left out."""
        return self._ask(patients, where, options)

    def patient(self, who: int | str, days: int = DAYS, **options: Any) -> pa.Table:
        """Studies of a patient, each with the sums of the window that ends with it.

        `who`: a patient_key, or as text a PatientID that one patient alone has.
        """
        found = options_of(self._path, **options)
        key = who if isinstance(who, int) else self._key_of(who)
        return patient(self._engine, key, options=found, days=days)

    def _key_of(self, who: str) -> int:
        asked = 'select distinct patient_key from series where "PatientID" = ?'
        keys = self._engine.read(asked, [who]).column("patient_key").to_pylist()
        if len(keys) > 1:
            said = ", ".join(map(str, sorted(keys)))
            raise UsageError(f"Several issuers gave this PatientID; name a patient_key: {said}.")
        if not keys and not who.lstrip("-").isdecimal():
            raise UsageError("No patient has this PatientID.")
        return keys[0] if keys else int(who)

    def levels(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Medians of protocols and devices beside diagnostic reference levels."""
        return self._ask(compare, where, options)

    def alarms(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Alarms, of the newest study first; `state`: only those that are open, seen or closed.

        Without a condition also those that no longer hold, when somebody said something of them.
        """
        return self._ask(alarms, where, options | {"gone": True})

    def close(
        self, alarm_id: str, reason: str, who: str = "", *, state: str = "closed"
    ) -> pa.Table:
        """Say of an alarm that it is seen or closed, or open again, and why."""
        return close(self._path, alarm_id, state, reason, who, engine=self._engine)

    def outliers(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Events that stand out of their group, the farthest first."""
        return self._ask(outliers, where, options)

    def trends(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Medians by device, protocol and software, in order."""
        return self._ask(trends, where, options)

    def protocols(self, where: str | Node | None = None, **options: Any) -> pa.Table:
        """Protocols as sent with their standard names, most events first."""
        return self._ask(protocols, where, options)

    def factors(self) -> pa.Table:
        """Factors of effective dose, all sets."""
        return factors.table(options_of(self._path).own("factors.csv"))
