"""Clinical facts in a dataset: codes, numbers and moved dates, under the pseudonyms of its objects.

Nothing that was written freely leaves: no texts, no identifiers, and meanings of the codes of known
schemes alone. Who the facts tell of is found as in questions (`dicomlake.lake.linking`).
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from dicomlake.contracts.deid import Cleaner
from dicomlake.jobs.door.facts import SCHEMES, moved
from dicomlake.lake import Store
from dicomlake.lake.linking import show_linked

KINDS = ("condition", "procedure", "observation", "medication")
"""Kinds of facts that leave; stays and facts of persons tell nothing that a dataset needs."""
_CODED = """
    code, code_value, code_scheme,
    case when code_scheme in (select * from schemes) or kept then code_meaning end as code_meaning,
    value,
    case when value_scheme in (select * from schemes) or kept then value_meaning end
        as value_meaning
"""


def facts_of(
    lake: Store, cleaner: Cleaner, patients: Iterable[tuple[int, str, str]], *, identified: bool
) -> pa.Table:
    """The facts of some patients (patient_key, PatientID, issuer), dates moved as in their objects.

    Dates are null where the profile removes or keeps those of objects, unless `identified`.
    """
    persons = []
    for key, PatientID, issuer in patients:
        if PatientID:
            found = cleaner.patient((), PatientID, issuer)
            days = found.identity.days
            persons.append((key, found.PatientID, days, bool(days), identified))
    columns = list(zip(*persons, strict=True)) or [()] * 5
    names = ("patient_key", "pseudonym", "days", "moved", "kept")
    kinds = (pa.int64(), pa.string(), pa.int64(), pa.bool_(), pa.bool_())
    whose = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    with lake.database(only=["series", "clinical_events", "documents"]) as db:
        show_linked(db)
        db.register("persons", pa.table(whose, names=list(names)))
        db.register("schemes", pa.table({"scheme": SCHEMES}))
        when = ", ".join(
            f"case when p.moved then {moved(f'f.{name}', 'p.days', 'f.precision')} "
            f"when p.kept then f.{name} end as {name}"
            for name in ("started", "ended")
        )
        return db.sql(
            f'select distinct p.pseudonym as "PatientID", f.kind, {_CODED}, f.number, f.unit, '
            f"f.quantity, f.quantity_unit, f.site, f.laterality, {when}, f.precision "
            "from linked_clinical_events f join persons p using (patient_key) "
            "where f.kind in (select unnest(?)) order by all",
            params=[list(KINDS)],
        ).to_arrow_table()


__all__ = ["KINDS", "SCHEMES", "facts_of"]
