"""Settling: staged rows become rows of the tables, and what they replace goes.

A row that says what the lake says already is left out, so the same import twice adds nothing, and
so is one that is older than what the lake knows, be it that it was removed. Keys are made of source
and identifier, or of what a row says where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from dicomlake import tables
from dicomlake.jobs.clinical import removals
from dicomlake.jobs.clinical.codes import asked
from dicomlake.jobs.clinical.staging import OWN, SCHEMAS, Stage
from dicomlake.jobs.erasure.remembered import Remembered
from dicomlake.lake import Store
from dicomlake.lake.database import connect, literal, view
from dicomlake.lake.files import order_by
from dicomlake.lake.store import WORK
from dicomlake.readers.batch import key_of
from dicomlake.terms import units

MEMORY = "600MB"
KEYS = {"clinical_events": "fact_key", "documents": "document_key"}
_KIND = {"clinical_events": "kind", "documents": "'document'"}
_SAYS = {
    "clinical_events": "kind code_value code_scheme code text value_value value number unit "
    "started ended encounter",
    "documents": "StudyInstanceUID type title written text",
}
"""What a row without an identifier is known by, besides its patient."""
_ID = 'coalesce(s."PatientID", w."PatientID")'
_ISSUER = (
    'case when s."PatientID" is null then w."IssuerOfPatientID" else s."IssuerOfPatientID" end'
)
_UNCOMPARED = {"patient_key", "run_id", "imported", "origin", "source"}


@dataclass(slots=True)
class Settled:
    """What became of the rows of a table: counts by kind, and why rows are linked to nobody."""

    read: dict[str, int] = field(default_factory=dict)
    added: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0
    linked: dict[str, int] = field(default_factory=dict)
    unlinked: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    outdated: int = 0


LINKED = {
    "patient": "by the patient",
    "accession": "by the accession number",
    "study": "by the study",
}
UNLINKED = {
    "nobody": "no patient and no order is named",
    "dangling": "the patient that is referred to is in no file",
    "stranger": "the lake has no images of the patient yet",
    "order": "the lake has no images of the order yet",
}
"""Why a row is linked to nobody: a word, and the sentence."""


def settle(
    store: Store,
    stage: Stage,
    source: str,
    run_id: str,
    check: Callable[[], None],
    *,
    snapshot: bool = False,
) -> dict[str, Settled]:
    """Bring staged rows into the tables, each in one commit; needs the writer's lock.

    `snapshot`: they are all that the source has of what they are, so that what it had goes.
    """
    work = store.path / WORK
    work.mkdir(exist_ok=True)
    found = {}
    for name in tables.CLINICAL:
        with connect(memory=MEMORY, spill=work) as db:
            _show(store, stage, db, source, run_id)
            removals.show(store.path, db, name, source)
            found[name] = _settle(store, stage, db, name, check, snapshot=snapshot)
        check()
    return found


def _show(
    store: Store, stage: Stage, db: duckdb.DuckDBPyConnection, source: str, run_id: str
) -> None:
    """Views of what is staged and of the lake, and what references mean."""
    for name, schema in SCHEMAS.items():
        view(db, f"staged_{name}", stage.paths(name), schema)
    for name in tables.CLINICAL:
        view(db, f"held_{name}", store.paths(name), tables.ALL[name])
    view(db, "series", store.paths("series"))
    db.execute(
        'create table who as select ref, arg_max("PatientID", seq) as "PatientID", '
        'arg_max("IssuerOfPatientID", seq) as "IssuerOfPatientID" from ('
        'select ref, "PatientID", "IssuerOfPatientID", seq from staged_people union all '
        'select identifier, "PatientID", "IssuerOfPatientID", -1 from held_clinical_events '
        f"where kind = 'patient' and source = {literal(source)} and \"PatientID\" is not null) "
        "group by ref"
    )
    db.execute(
        'create table orders as select ref, any_value("AccessionNumber") as "AccessionNumber", '
        'any_value("StudyInstanceUID") as "StudyInstanceUID" from staged_orders group by ref'
    )
    db.execute(
        "create table things as select ref, any_value(code) as code, any_value(value) as value, "
        "any_value(scheme) as scheme, any_value(meaning) as meaning, any_value(text) as text "
        "from staged_things group by ref"
    )
    now = datetime.now(UTC).isoformat()
    db.execute(
        f"create macro this_source() as {literal(source)}; "
        f"create macro this_run() as {literal(run_id)}; "
        f"create macro this_time() as {literal(now)}::timestamptz"
    )


def _settle(
    store: Store,
    stage: Stage,
    db: duckdb.DuckDBPyConnection,
    name: str,
    check: Callable[[], None],
    *,
    snapshot: bool,
) -> Settled:
    if not stage.paths(name):
        return Settled()
    _complete(db, name)
    check()
    made = Settled()
    made.outdated = _keys(db, name)
    made.left_out = _shut_out(store, db, name)
    _decide(db, name, snapshot=snapshot)
    _count(db, made, name)
    check()
    _remember(store, db, name)
    _commit(store, db, name, check)
    return made


# Rows complete


def _complete(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """A view `complete` of the staged rows with all columns of their table, and `seq`."""
    _referred(db, name)
    _named(db, name)
    facts = name == "clinical_events"
    _coded(db, name, "code" if facts else "type")
    made = {
        "patient_key": "p.patient_key",
        "PatientID": _ID,
        "IssuerOfPatientID": _ISSUER,
        "AccessionNumber": 'coalesce(s."AccessionNumber", r."AccessionNumber")',
        "source": "this_source()",
        "run_id": "this_run()",
        "imported": "this_time()",
    }
    if facts:
        _measured(db)
        made |= {
            "code": "coalesce(s.code, c.code, t.code)",
            "code_value": "coalesce(s.code_value, t.value)",
            "code_scheme": "coalesce(s.code_scheme, t.scheme)",
            "code_meaning": "coalesce(s.code_meaning, t.meaning)",
            "codes": "coalesce(nullif(s.codes, []), case when "
            "coalesce(s.code, c.code, t.code) is not null "
            "then [coalesce(s.code, c.code, t.code)] end)",
            "text": "coalesce(s.text, t.text)",
            "quantity": "coalesce(s.quantity, case when u.factor = 1 then s.number "
            "else printf('%.15g', s.number * u.factor)::double end)",
            "quantity_unit": "coalesce(s.quantity_unit, case when s.number is not null "
            "then u.common end)",
        }
    else:
        made |= {
            "type": "coalesce(s.type, c.code)",
            "StudyInstanceUID": 'coalesce(s."StudyInstanceUID", r."StudyInstanceUID")',
        }
    key = KEYS[name]
    columns = [f"{made.get(n) or _own(n)} as {_own(n, '')}"
               for n in tables.ALL[name].names if n != key]  # fmt: skip
    joins = [
        "left join who w on s.subject = w.ref",
        "left join referred r on s.seq = r.seq",
        f"left join patients p on p.\"PatientID\" = {_ID} and p.issuer = coalesce({_ISSUER}, '')",
    ]
    scheme = "code" if facts else "type"
    joins.append(
        f"left join coded c on s.{scheme}_value = c.value and s.{scheme}_scheme = c.scheme"
    )
    if facts:
        joins += [
            "left join things t on s.thing = t.ref",
            "left join measured u on s.unit = u.unit",
        ]
    says = ", ".join(f"{_own(column, '')}::varchar" for column in _SAYS[name].split())
    content = f'concat_ws(chr(31), this_source(), "PatientID", "IssuerOfPatientID", ' \
              f'"AccessionNumber", {says})'  # fmt: skip
    db.execute(
        f"create view whole as select s.seq, s.rev, coalesce(s.gone, false) as gone, "
        f"s.subject, {', '.join(columns)} from staged_{name} s {' '.join(joins)}"
    )
    db.execute(
        "create macro numbered(t) as (md5_number(t) >> 65)::bigint; "
        f"create view complete as select case when identifier is null then numbered({content}) "
        "else numbered(concat_ws(chr(31), this_source(), identifier)) end "
        f"as {key}, * from whole"
    )


def _own(name: str, of: str = "s.") -> str:
    return f'{of}"{name}"'


def _referred(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """What rows refer to says which order or study they belong to."""
    db.execute(
        'create table referred as select seq, any_value(o."AccessionNumber") as '
        '"AccessionNumber", any_value(o."StudyInstanceUID") as "StudyInstanceUID" from '
        f"(select seq, unnest(refers) as ref from staged_{name} where refers is not null) "
        "join orders o using (ref) group by seq"
    )


def _named(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """The numbers of all patients that are named."""
    rows = db.sql(
        f"select distinct {_ID} as id, coalesce({_ISSUER}, '') from staged_{name} s "
        "left join who w on s.subject = w.ref where id is not null"
    ).fetchall()
    keys = pa.table(
        {
            "PatientID": pa.array([row[0] for row in rows], pa.string()),
            "issuer": pa.array([row[1] for row in rows], pa.string()),
            "patient_key": pa.array([key_of("patient", i, p) for p, i in rows], pa.int64()),
        }
    )
    _register(db, "patients", keys)


def _coded(db: duckdb.DuckDBPyConnection, name: str, column: str) -> None:
    """Codes as questions ask for them."""
    rows = db.sql(
        f"select distinct {column}_value, {column}_scheme from staged_{name} "
        f"where {column} is null and {column}_value is not null and {column}_scheme is not null"
    ).fetchall()
    known = pa.table(
        {
            "value": pa.array([row[0] for row in rows], pa.string()),
            "scheme": pa.array([row[1] for row in rows], pa.string()),
            "code": pa.array([asked(*row) for row in rows], pa.string()),
        }
    )
    _register(db, "coded", known)


def _measured(db: duckdb.DuckDBPyConnection) -> None:
    """By what numbers of a unit are multiplied to be compared, and the unit that they have then."""
    units_ = [row[0] for row in db.sql(
        "select distinct unit from staged_clinical_events where unit is not null"
    ).fetchall()]  # fmt: skip
    found = [(unit, units.common(1.0, units.ucum(unit) or "")) for unit in units_]
    known = [(unit, *one) for unit, one in found if one]
    table = pa.table(
        {
            "unit": pa.array([row[0] for row in known], pa.string()),
            "factor": pa.array([row[1] for row in known], pa.float64()),
            "common": pa.array([row[2] for row in known], pa.string()),
        }
    )
    _register(db, "measured", table)


def _register(db: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    db.register("given", rows)
    db.execute(f"create or replace table {name} as select * from given")
    db.unregister("given")


# Which rows count


def _keys(db: duckdb.DuckDBPyConnection, name: str) -> int:
    """A table `keys` of the rows that count: of each thing the newest one.

    How many are left out because the source removed them later, or nobody knows when.
    """
    db.execute(
        f"create table keys as select seq, rev, {KEYS[name]} as key, gone, updated, patient_key, "
        "coalesce(contains(identifier, '#'), false) as part, case when contains(identifier, '#') "
        "then numbered(concat_ws(chr(31), this_source(), split_part(identifier, '#', 1))) end "
        f"as base, {_KIND[name]} as kind, {_link(name)} as link from complete"
    )
    db.execute(
        "create table losers as select seq from keys where key in "
        "(select key from keys group by key having count(*) > 1) qualify row_number() over "
        "(partition by key order by gone and updated is null desc, updated desc nulls last, "
        "gone desc, seq desc) > 1"
    )
    db.execute(
        "create table outdated as select seq, key from keys k join removed r using (key) "
        "where not k.gone and not coalesce(k.updated > r.updated, false)"
    )
    db.execute("insert into losers select seq from outdated where seq not in (from losers)")
    db.execute("delete from keys where seq in (from losers)")
    db.execute(
        "delete from keys where part and not exists "
        "(select 1 from keys b where b.key = keys.base and b.rev = keys.rev)"
    )
    return _one(db, "select count(distinct key) from outdated")


def _link(name: str) -> str:
    """SQL of a word that says how a row is linked to images, or why it is not."""
    studies = (
        'when "StudyInstanceUID" in (select "StudyInstanceUID" from series) then \'study\' '
        if name == "documents"
        else ""
    )
    return (
        "case when patient_key in (select patient_key from series) then 'patient' "
        'when "AccessionNumber" in (select "AccessionNumber" from series) then \'accession\' '
        f"{studies}"
        "when patient_key is not null then 'stranger' "
        "when \"AccessionNumber\" is not null then 'order' "
        "when subject is not null then 'dangling' else 'nobody' end"
    )


def _shut_out(store: Store, db: duckdb.DuckDBPyConnection, name: str) -> int:
    """Rows of patients and studies that were erased go; how many."""
    remembered = Remembered(store.path)
    if not any(not mark.again for mark in remembered.all()):
        return 0
    keys = [r[0] for r in db.sql("select distinct patient_key from keys").fetchall()]
    gone = [key for key in keys if remembered.shuts_out(key, None)]
    _register(db, "erased", pa.table({"patient_key": pa.array(gone, pa.int64())}))
    before = _one(db, "select count(*) from keys")
    db.execute("delete from keys where patient_key in (select patient_key from erased)")
    if name == "documents":
        rows = db.sql('select seq, "StudyInstanceUID" from complete '
                      'where "StudyInstanceUID" is not null').fetchall()  # fmt: skip
        seqs = [seq for seq, uid in rows if remembered.shuts_out(None, uid)]
        _register(db, "erased", pa.table({"seq": pa.array(seqs, pa.int64())}))
        db.execute("delete from keys where seq in (select seq from erased)")
    return before - _one(db, "select count(*) from keys")


def _decide(db: duckdb.DuckDBPyConnection, name: str, *, snapshot: bool) -> None:
    """Tables `left_out`, of the numbers of rows not to write, and `unwanted`, of keys that go."""
    key = KEYS[name]
    columns = [n for n in tables.ALL[name].names if n not in _UNCOMPARED]
    said = f"hash(row({', '.join(_own(n, '') for n in columns)}))"
    db.execute(
        f"create table held as select {key} as key, updated, {said} as said from held_{name} "
        f"where source = this_source() and {key} in (select key from keys)"
    )
    db.execute(
        "create table again as select k.seq, k.key, k.gone, "
        "coalesce(h.updated > k.updated, false) as older, h.said = w.said or older as same "
        f"from keys k join "
        f"(select seq, {said} as said from complete where {key} in (select key from held)) w "
        "using (seq) join held h using (key)"
    )
    db.execute(
        "create table stale as select seq from keys where part and base in "
        "(select key from again where older)"
    )
    for one in ("keys", "again"):
        db.execute(f"delete from {one} where seq in (from stale)")
    db.execute(
        "create table unwanted as "
        "select key from again where not older and (gone or not same) union "
        f"select {key} from held_{name} h where contains(identifier, '#') "
        "and source = this_source() and "
        f"{key} not in (select key from keys) and exists (select 1 from keys k "
        "where k.key = numbered(concat_ws(chr(31), source, split_part(h.identifier, '#', 1))) "
        "and not coalesce(h.updated > k.updated, false))"
    )
    _absent(db, name, snapshot=snapshot)
    db.execute(
        "create table left_out as select seq from keys where gone union "
        "select seq from again where same union all from losers union all from stale"
    )


_FAMILY = "case when contains(identifier, '/') then split_part(identifier, '/', 1) " \
          "when identifier is not null then '' end"  # fmt: skip
"""SQL of what a row is in its source: the table of OMOP, the type of a resource."""


def _absent(db: duckdb.DuckDBPyConnection, name: str, *, snapshot: bool) -> None:
    """A table `absent` of what a snapshot does not tell of any more; it is unwanted, too.

    `updated`: when that was, where all rows say the same time, which is that of the snapshot.
    """
    key = KEYS[name]
    db.execute(
        f"create table absent as select {key} as key, updated_ as updated from held_{name} h, "
        "(select max(updated) as last_, case when min(updated) = max(updated) then max(updated) "
        f"end as updated_ from complete) where {'true' if snapshot else 'false'} "
        f"and source = this_source() and {_FAMILY} in (select {_FAMILY} from complete) "
        f"and not coalesce(h.updated > last_, false) and {key} not in (select key from keys)"
    )
    db.execute("insert into unwanted select key from absent where key not in (from unwanted)")


def _remember(store: Store, db: duckdb.DuckDBPyConnection, name: str) -> None:
    """No older file brings back what goes now; what only left a snapshot without a time may."""
    rows = db.sql(
        "select key, updated from keys where gone and key not in "
        "(select key from again where older) union all "
        "select key, updated from absent where updated is not null"
    ).to_arrow_table()
    ((source,),) = db.sql("select this_source()").fetchall()
    removals.note(store.path, name, source, rows)


def _count(db: duckdb.DuckDBPyConnection, made: Settled, name: str) -> None:
    rows = db.sql("select kind, count(*) from keys where not gone group by 1 order by 1").fetchall()
    made.read = {kind or "other": int(count) for kind, count in rows}
    links = dict(db.sql("select link, count(*) from keys where not gone group by 1").fetchall())
    made.linked = {word: links[word] for word in LINKED if word in links}
    made.unlinked = {word: links[word] for word in UNLINKED if word in links}
    made.unchanged = _one(db, "select count(*) from again where same and not gone")
    made.replaced = _one(db, "select count(*) from again where not same and not gone")
    made.removed = _one(db, "select count(*) from unwanted") - made.replaced
    made.added = sum(made.read.values()) - made.unchanged - made.replaced


def _one(db: duckdb.DuckDBPyConnection, statement: str) -> int:
    return int(db.sql(statement).fetchall()[0][0])


def _commit(
    store: Store, db: duckdb.DuckDBPyConnection, name: str, check: Callable[[], None]
) -> None:
    """Write the rows that are new, in order, and let go what they replace."""
    unwanted = db.sql("select key from unwanted").to_arrow_table().column(0)
    count = _one(db, "select count(*) from keys") - _one(
        db, "select count(*) from left_out semi join keys using (seq)"
    )
    if not count and not len(unwanted):
        return
    columns = ", ".join(_own(n, "") for n in tables.ALL[name].names)
    whole = _one(db, f"select count(*) from staged_{name}") == count
    where = "" if whole else "where seq in (select seq from keys anti join left_out using (seq))"
    reader = db.sql(f"select {columns} from complete {where} {order_by(name)}").to_arrow_reader(
        100_000
    )

    def checked() -> object:
        for batch in reader:
            check()
            yield batch

    files = store.write_stream(name, checked())  # type: ignore[arg-type]
    store.put(name, KEYS[name], unwanted, files)


__all__ = ["KEYS", "LINKED", "OWN", "UNLINKED", "Settled", "settle"]
