"""Labels in tables, converted into a lake and asked back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from dicomlake.api import open as open_lake
from dicomlake.converters.labels import LabelsConverter
from dicomlake.errors import UsageError
from dicomlake.jobs.converting import Report, convert, originals_of
from dicomlake.jobs.erasing import erase
from dicomlake.lake import Store
from dicomlake.settings import Settings
from tests.jobs.made import healthy, put, run, slice_of, uids

MAPPING = {
    "converter": "labels",
    "to": "measurements",
    "title": "Heart labels",
    "decimal": ",",
    "dates": "%d.%m.%Y",
    "identify": {"AccessionNumber": "Auftrag", "StudyDate": "Datum"},
    "labels": [
        {
            "column": "EF",
            "concept": ["10230-1", "LN", "Left ventricular Ejection fraction"],
            "number": "%",
        },
        {
            "column": "Verkalkt",
            "concept": ["121071", "DCM", "Finding"],
            "values": {"ja": ["54716006", "SCT", "Calcification"], "nein": "skip"},
        },
    ],
}
TABLE = """Auftrag;Datum;EF;Verkalkt
A1;03.02.2021;55,5;ja
A1;04.02.2021;48;nein
A1;05.02.2021;48;vielleicht
A9;05.02.2021;40;ja
"""
CONVERTERS = [LabelsConverter()]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for number in range(3):
        put(tmp_path / "files", f"{number}.dcm", slice_of(1, number))
    run(tmp_path / "files", tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return put(tmp_path / "in", "labels.csv", TABLE.encode())


def counted(lake: Path, where: str, level: str = "series") -> int:
    return open_lake(lake).query(where, level=level).total


def again(table: Path, lake: Path, **more: object) -> Report:
    said = {"mapping": MAPPING, "converters": CONVERTERS, **more}
    return convert(table, lake=lake, **said)  # type: ignore[arg-type]


def test_rows_become_reports_that_are_asked_back(lake: Path, table: Path) -> None:
    report = again(table, lake)
    assert (report.converted, report.objects, report.parts) == (1, 2, 2)
    assert counted(lake, "same(item, *.[LN:10230-1] < 50 %)", "study") == 1
    assert counted(lake, "same(item, *.[LN:10230-1] < 40 %)", "study") == 0
    assert counted(lake, "same(item, *.[DCM:121071] within SCT:54716006)", "study") == 1
    assert counted(lake, "Modality = 'SR' and PatientID = 'P1'") == 1
    healthy(lake)


def test_refused_rows_are_told_by_number_and_without_values(lake: Path, table: Path) -> None:
    again(table, lake)
    (row,) = Store(lake).read("failures").to_pylist()
    assert row["stage"] == "convert"
    assert row["uri"] == table.as_uri()
    assert row["reason"] == (
        "row 4: column 'Verkalkt' has a value that the mapping does not name; "
        "row 5: nothing is there with its AccessionNumber"
    )


def test_a_second_time_nothing_is_new(lake: Path, table: Path) -> None:
    again(table, lake)
    before = uids(lake)
    report = again(table, lake)
    assert (report.converted, report.there) == (0, 1)
    report = again(table, lake, again=True)
    assert (report.converted, report.there) == (1, 0)
    assert uids(lake) == before
    healthy(lake)


def test_a_table_that_was_mended_has_no_failure_any_more(lake: Path, table: Path) -> None:
    again(table, lake)
    table.write_text(TABLE.replace("vielleicht", "nein").replace("A9", "A1"))
    report = again(table, lake)
    assert (report.objects, report.parts) == (4, 0)
    assert Store(lake).read("failures").num_rows == 0


def test_the_original_is_kept_and_found_from_what_it_became(lake: Path, table: Path) -> None:
    again(table, lake)
    originals = originals_of(lake)
    reports = [uid for uid in uids(lake) if uid.startswith("2.25.")]
    of_reports = Store(lake).read("instances").to_pylist()
    made = {r["SOPInstanceUID"] for r in of_reports if r["uri"].startswith("pacs://convert/")}
    assert made < set(reports)
    for uid in made:
        found = originals.of(uid)
        assert found.path is not None
        assert found.path.read_bytes() == TABLE.encode()
        assert set(found.instances) == made
    with pytest.raises(UsageError, match=r"No file was converted"):
        originals.of("1.2.3")


def test_erasing_a_patient_takes_the_original(lake: Path, table: Path) -> None:
    again(table, lake)
    proof = erase(lake, "P1")
    assert proof.whole
    assert proof.removed["rows of originals"] == 3
    (kept,) = (lake / "_kept" / "originals").glob("??/*")
    assert b"A1" not in kept.read_bytes()
    assert b"A9;05.02.2021" in kept.read_bytes()  # of nobody whom the lake knows
    report = again(table, lake)
    assert (report.converted, report.objects) == (0, 0)


def test_a_lake_that_deidentifies_at_its_door_keeps_no_originals(
    tmp_path: Path, table: Path
) -> None:
    store = Store.create(tmp_path / "clean")
    store.note_door({"profile": "basic", "pseudonyms": "x", "check": ""})
    settings = Settings()
    with pytest.raises(UsageError, match="--out FOLDER"):
        again(table, tmp_path / "clean", settings=settings)


def test_to_a_folder_names_are_uids(tmp_path: Path, lake: Path, table: Path) -> None:
    out = tmp_path / "out"
    report = convert(table, out=out, images=tmp_path / "files", mapping=MAPPING,
                     converters=CONVERTERS)  # fmt: skip
    assert report.objects == 2
    for path in out.rglob("*.dcm"):
        found = dcmread(path)
        assert path.stem == found.SOPInstanceUID
        assert path.parent.name == found.SeriesInstanceUID
        assert "P1" not in str(path.relative_to(out))
    assert len(list((out / "originals").glob("??/*"))) == 1
    assert run(out, tmp_path / "other").counts["files"] == 2


def test_several_processes_do_the_same(tmp_path: Path, lake: Path, table: Path) -> None:
    for number in range(4):
        text = TABLE.replace("2021", f"20{10 + number}")
        put(tmp_path / "in", f"more{number}.csv", text.encode())
    alone = convert(tmp_path / "in", out=tmp_path / "a", images=tmp_path / "files",
                    mapping=MAPPING, converters=CONVERTERS)  # fmt: skip
    several = convert(tmp_path / "in", out=tmp_path / "b", images=tmp_path / "files",
                      mapping=MAPPING, converters=CONVERTERS, workers=2)  # fmt: skip
    assert (alone.objects, alone.parts) == (several.objects, several.parts) == (10, 10)


def test_a_dry_run_writes_nothing(tmp_path: Path, lake: Path, table: Path) -> None:
    report = again(table, lake, dry_run=True)
    assert report.objects == 2
    assert not (lake / "_kept").exists()
    assert len(uids(lake)) == 3


def test_who_asks_to_stop_is_heard_and_goes_on_later(lake: Path, table: Path) -> None:
    for number in range(3):
        put(table.parent, f"more{number}.csv", TABLE.replace("2021", f"20{10 + number}").encode())
    stopping = Stopping(after=2)
    with pytest.raises(KeyboardInterrupt):
        again(table.parent, lake, progress=stopping)
    assert len(uids(lake)) == 3 + 2 * 2
    report = again(table.parent, lake)
    assert (report.converted, report.there) == (2, 2)
    assert len(uids(lake)) == 3 + 4 * 2


def test_what_nobody_reads_is_refused_with_the_reason(tmp_path: Path, lake: Path) -> None:
    put(tmp_path / "in", "empty.csv", b"")
    put(tmp_path / "in", "film.mp4", b"\0\0\0\x18ftyp")
    put(tmp_path / "in", "short.csv", b"Auftrag;Datum\nA1;03.02.2021\n")
    put(tmp_path / "in", "slice.dcm", slice_of(1, 1))
    report = again(tmp_path / "in", lake)
    assert report.dicom == 1
    assert len(report.refused) == 3
    assert "the file is empty" in report.refused
    assert any("has no column 'EF'" in reason for reason in report.refused)
    assert Store(lake).read("failures").num_rows == 3


class Stopping:
    cancelled = False

    def __init__(self, after: int) -> None:
        self._left = after

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        pass

    def advance(self, count: int = 1) -> None:
        self._left -= count
        self.cancelled = self._left <= 0


def test_headers_with_values_that_are_none_are_no_obstacle(tmp_path: Path, table: Path) -> None:
    odd = slice_of(1, 1, PatientBirthDate="about 1960", NumberOfFrames="many", KVP="12o")
    put(tmp_path / "files", "1.dcm", odd)
    run(tmp_path / "files", tmp_path / "lake")
    report = again(table, tmp_path / "lake")
    assert (report.objects, report.parts) == (2, 2)


FACTS = {
    "converter": "labels",
    "to": "facts",
    "identify": {"PatientID": "Pat"},
    "dates": "%d.%m.%Y",
    "labels": [{"column": "OPS", "codes": "OPS", "date": "am"}],
}
PROCEDURES = "Pat;OPS;am\nP1;5-604.0;03.05.2016\nP2;5-377.1;04.05.2016\nP2;nonsense;04.05.2016\n"


def test_procedure_codes_become_facts(tmp_path: Path, lake: Path) -> None:
    table = put(tmp_path / "in", "ops.csv", PROCEDURES.encode())
    report = again(table, lake, mapping=FACTS, source="coding")
    assert (report.facts, report.parts) == (2, 1)
    rows = {row["PatientID"]: row for row in Store(lake).read("clinical_events").to_pylist()}
    assert (rows["P1"]["code"], rows["P2"]["code"]) == ("OPS:5-604.0", "OPS:5-377.1")
    assert rows["P1"]["started"] == datetime(2016, 5, 3, tzinfo=UTC)
    assert rows["P1"]["source"] == "coding"
    assert counted(lake, "same(fact, fact.code within OPS:5-604.0)", "patient") == 1
    again(table, lake, mapping=FACTS, source="coding", again=True)
    assert Store(lake).read("clinical_events").num_rows == 2
    assert erase(lake, "P1").whole
    (left,) = Store(lake).read("clinical_events").to_pylist()
    assert left["PatientID"] == "P2"


def test_facts_need_a_lake(tmp_path: Path) -> None:
    table = put(tmp_path / "in", "ops.csv", PROCEDURES.encode())
    report = convert(table, out=tmp_path / "out", mapping=FACTS, converters=CONVERTERS)
    assert list(report.refused) == [
        "it tells clinical facts, which only a lake holds: use --lake LAKE"
    ]
