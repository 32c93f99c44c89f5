import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from dicomlake import tables
from dicomlake.engines.duck import DuckEngine
from dicomlake.errors import Cancelled
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.query import LEVELS, Or, Query, Same, parse, parse_query
from dicomlake.testing.contents import ContentContract
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.engines import SERIES, EngineContract, names


class TestDuck(EngineContract):
    @pytest.fixture
    def engine(self, duck):
        return duck


class TestContents(ContentContract):
    @pytest.fixture
    def engine(self, contents_duck):
        return contents_duck

    @pytest.fixture
    def nonsense(self, nonsense_duck):
        return nonsense_duck


@pytest.fixture
def store(tmp_path):
    """A lake of one CT with three images."""
    (tmp_path / "objects").mkdir()
    for number in (1, 2, 3):
        said = image(InstanceNumber=number, SOPInstanceUID=uid(number), KVP=80, PatientID="OLD")
        (tmp_path / "objects" / f"{number}.dcm").write_bytes(encode(said))
    index([tmp_path / "objects"], tmp_path / "lake", workers=1)
    return Store(tmp_path / "lake")


def _replace(store):
    """Write the next version of the only series: KVP is 100 and the patient another one."""
    number = store.next_id()
    for name in ("instances", "elements"):
        rows = store.read(name).to_pylist()
        for row in rows:
            row["series_id"] = number
            if row.get("path") == "KVP":
                row |= {"text": "100", "number": 100.0}
            elif row.get("path") == "PatientID":
                row["text"] = "NEW"
        store.append(name, pa.Table.from_pylist(rows, tables.ALL[name]))
    (row,) = store.read("series").to_pylist()
    row |= {"series_id": number, "KVP": 100.0, "PatientID": "NEW"}
    table = pa.Table.from_pylist([row], tables.SERIES)
    store.commit_series(table, [row["SeriesInstanceUID"]], "run")


def _totals(engine, text):
    return tuple(engine.answer(parse_query(text)).totals.values())


def test_rows_of_replaced_series_are_invisible(store):
    before = DuckEngine(store)
    _replace(store)
    after = DuckEngine(store)
    assert _totals(before, "KVP = 80 and PatientID = 'OLD'") == (1, 1, 1, 3)
    for level in LEVELS:
        assert _totals(after, f"KVP = 80 or PatientID = 'OLD' level {level}") == (0, 0, 0, 0)
        assert _totals(after, f"KVP = 100 and not KVP = 80 level {level}") == (1, 1, 1, 3)
        assert _totals(after, f"InstanceNumber = 2 level {level}")[:3] == (1, 1, 1)
        assert _totals(after, f"level {level}") == (1, 1, 1, 3)
    shown = after.answer(parse_query("show PatientID, KVP, *.HighBit")).rows.to_pylist()
    assert shown == [{"PatientID": "NEW", "KVP": 100.0, "*.HighBit": 11}]
    assert after.sql("select count(*) as n from instances").to_pylist() == [{"n": 3}]
    old = "select count(*) as n from elements where text = 'OLD'"
    assert after.sql(old).to_pylist() == [{"n": 0}]


def test_rows_of_series_that_were_never_committed_are_invisible(store):
    orphan = {"series_id": 10**6, "path": "KVP", "vr": "DS", "position": 1, "text": "80"}
    orphan |= {"number": 80.0, "instances": 3, "folded": False}
    store.append("elements", pa.Table.from_pylist([orphan], tables.ELEMENTS))
    engine = DuckEngine(store)
    for level in LEVELS:
        assert _totals(engine, f"KVP = 80 level {level}") == (1, 1, 1, 3)


def test_a_lake_without_anything(tmp_path):
    engine = DuckEngine(Store.create(tmp_path / "lake"))
    for level in LEVELS:
        for text in ("", "Modality = 'CT'", "same(instance, *.Modality missing)"):
            found = engine.answer(Query(parse(text), level))
            assert (found.total, len(found)) == (0, 0)
    assert engine.sql("select * from series").num_rows == 0


def test_threads_share_an_engine(duck):
    texts = [text for text in SERIES if "@" not in text] * 2

    def ask(text):
        return sorted(names(duck.answer(Query(parse(text), show=("SeriesInstanceUID",)))))

    with ThreadPoolExecutor(8) as pool:
        for text, found in zip(texts, pool.map(ask, texts), strict=True):
            assert found == sorted(SERIES[text].split()), text


def _cancelled(engine, question, ask):
    """Seconds until an answer that somebody cancels ends."""
    raised = []

    def run():
        try:
            ask(question)
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    began = time.monotonic()
    while thread.is_alive() and time.monotonic() - began < 20:
        time.sleep(0.05)
        engine.cancel(question)
    thread.join(20)
    assert raised
    return time.monotonic() - began


def test_sql_can_be_cancelled(duck):
    forever = "select count(*) from range(1000000000) a, range(1000000000) b where a.range % 7 = 3"
    assert _cancelled(duck, forever, duck.sql) < 10
    assert duck.sql("select 1 as n").to_pylist() == [{"n": 1}]


def test_answers_can_be_cancelled(duck):
    parts = [
        Same("instance", parse(f"not SliceLocation = {n} and KVP = 1{n}")) for n in range(4000)
    ]
    question = Query(Or(tuple(parts)))
    assert _cancelled(duck, question, duck.answer) < 10
    assert duck.answer(Query()).total == 9


def test_the_contract_needs_no_pytest():
    code = (
        "import sys; sys.modules['pytest'] = None; sys.modules['duckdb'] = None; "
        "import dicomlake.testing.engines as e; assert len(e.OBJECTS) == 32"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("complete", "says"), [("first", "one object only"), ("some", "lack")])
def test_answers_say_what_they_cannot_know(store, complete, says):
    assert DuckEngine(store).answer(Query(None)).notes == ()
    rows = store.read("series")
    place = rows.schema.get_field_index("complete")
    said = pa.array([complete], pa.string())
    store.overwrite("series", rows.set_column(place, rows.schema.field(place), said))
    engine = DuckEngine(Store(store.path))
    (note,) = engine.answer(Query(parse("KVP = 80"))).notes
    assert note.startswith("1 of the series found, 1 of the lake,")
    assert says in note
    (note,) = engine.answer(Query(parse("KVP = 90"), "instance")).notes
    assert note.startswith("0 of the series found, 1 of the lake,")
