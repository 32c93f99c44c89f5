"""Tables of several patients, when one of them is erased: looked for in bytes."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import openpyxl
import pytest

from dicomlake.contracts.converters import Asked, Converted, Original
from dicomlake.converters.labels import LabelsConverter
from dicomlake.jobs.converting import Report, convert, originals_of
from dicomlake.jobs.converting.originals import Originals
from dicomlake.jobs.erasing import erase, proofs
from tests.jobs.made import healthy, put, run, slice_of, uids

GONE, STAYS = "PAT-4711-X", "PAT-0815-Y"
NAME, NUMBER = "Grünwald, Änne", "ACC-1-77"
EF = {"column": "EF", "concept": ["10230-1", "LN", "Left ventricular Ejection fraction"],
      "number": "%"}  # fmt: skip
MAPPING: dict[str, Any] = {
    "converter": "labels", "to": "measurements", "encoding": "cp1252", "skip": 1,
    "identify": {"AccessionNumber": "Auftrag"}, "labels": [EF],
}  # fmt: skip
HEAD = f"Liste von {NAME} und anderen;;\r\nAuftrag;EF;Notiz\r\n"
THEIRS = ['ACC-8-88;40;"zwei\r\nZeilen; ü"\r\n', "ACC-8-88;41;\r\n"]
MINE = [f'{NUMBER};55;"mit\r\nUmbruch"\r\n', f"ACC-8-88;oops;{NAME}\r\n", f"{NUMBER};x;"]
TABLE = HEAD + THEIRS[0] + MINE[0] + MINE[1] + THEIRS[1] + MINE[2]
LEFT = HEAD.replace(NAME, "erased") + THEIRS[0] + "\r\n\r\n" + "\r\n" + THEIRS[1]
CONVERTERS = [LabelsConverter(2)]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two patients, one with two studies."""
    place = tmp_path_factory.mktemp("indexed")
    people = (("1/a", GONE, NUMBER), ("2/a", GONE, "ACC-2-77"), ("8/a", STAYS, "ACC-8-88"))
    for series, patient, order in people:
        name = "Grünwald^Änne" if patient == GONE else "Meier^Otto"
        data = slice_of(series, 1, PatientID=patient, PatientName=name, AccessionNumber=order,
                        SpecificCharacterSet="ISO_IR 192")  # fmt: skip
        put(place / "files", f"{series[0]}.dcm", data)
    run(place / "files", place / "lake")
    return place / "lake"


@pytest.fixture
def lake(tmp_path: Path, indexed: Path) -> Path:
    return Path(shutil.copytree(indexed, tmp_path / "lake"))


def converted(table: Path, lake: Path, **more: Any) -> Report:
    return convert(table, lake=lake, **{"mapping": MAPPING, "converters": CONVERTERS, **more})


def kept_in(lake: Path) -> list[bytes]:
    """Originals that are kept."""
    folder = originals_of(lake).folder
    return sorted(path.read_bytes() for path in folder.glob("??/*"))


def unpacked(data: bytes) -> bytes:
    """A file with what is packed in it."""
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def traces(lake: Path) -> list[str]:
    """Files of a lake in which something of the patient stands, also in what is packed."""
    words = [
        word.encode(encoding)
        for word in (GONE, NAME, "Grünwald", NUMBER, "ACC-2-77")
        for encoding in ("utf-8", "cp1252", "utf-16-le")
    ]
    found = []
    for path in lake.rglob("*"):
        if path.is_file():
            data = unpacked(path.read_bytes())
            found += [str(path) for word in words if word in data or word in path.name.encode()]
    return found


class TestText:
    @pytest.fixture
    def table(self, tmp_path: Path) -> Path:
        return put(tmp_path / "in", "labels.csv", TABLE.encode("cp1252"))

    def test_the_others_stay_byte_for_byte(self, lake: Path, table: Path) -> None:
        report = converted(table, lake)
        assert (report.converted, report.objects, report.parts) == (1, 3, 2)
        assert traces(lake)
        before = {uid: originals_of(lake).of(uid).origin for uid in _made(lake)}
        proof = erase(lake, GONE)
        assert proof.whole
        assert traces(lake) == []
        assert kept_in(lake) == [LEFT.encode("cp1252")]
        assert proof.removed["originals written anew"] == 1
        assert proof.removed["rows of originals"] == 4  # and the line above the names
        assert "originals" not in proof.removed
        assert proofs(lake)[0]["removed"]["rows of originals"] == 4
        healthy(lake)
        self._linked(lake, table, before)

    def _linked(self, lake: Path, table: Path, before: dict[str, str]) -> None:
        """What the others became is still found from it, by the same rows."""
        left = _made(lake)
        found = {uid: originals_of(lake).of(uid) for uid in left}
        assert sorted(one.origin for one in found.values()) == ["row 3", "row 8"]
        assert all(before[uid] == one.origin for uid, one in found.items())
        for one in found.values():
            assert one.path is not None
            assert one.path.read_bytes() == LEFT.encode("cp1252")
            assert set(one.instances) == left
        (path,) = {one.path for one in found.values()}
        assert path is not None
        again = put(table.parent, "again.csv", path.read_bytes())
        assert converted(again, lake).there == 1

    def test_of_one_study_only_its_rows_go(self, lake: Path, table: Path) -> None:
        table.write_bytes((HEAD + "ACC-1-77;50;\r\nACC-2-77;51;\r\n").encode("cp1252"))
        converted(table, lake)
        study = slice_of("2/a", 1)
        from pydicom import dcmread

        uid = dcmread(io.BytesIO(study)).StudyInstanceUID
        assert erase(lake, GONE, study=uid).whole
        (left,) = kept_in(lake)
        assert b"ACC-1-77;50" in left
        assert b"ACC-2-77" not in left

    def test_a_table_of_nobody_else_goes_as_a_whole(self, lake: Path, table: Path) -> None:
        table.write_bytes((HEAD + MINE[0]).encode("cp1252"))
        converted(table, lake)
        proof = erase(lake, GONE)
        assert proof.removed["originals"] == 1
        assert kept_in(lake) == []
        assert traces(lake) == []

    def test_a_table_that_comes_again_is_kept_without_who_was_erased(
        self, lake: Path, table: Path
    ) -> None:
        erase(lake, GONE)
        report = converted(table, lake)
        assert (report.objects, report.parts) == (2, 3)
        (kept,) = kept_in(lake)
        assert NUMBER.encode() not in kept
        assert THEIRS[0].encode("cp1252") in kept


def _made(lake: Path) -> set[str]:
    """What was converted."""
    return {uid for uid in uids(lake) if uid.startswith("2.25.")} & _known(originals_of(lake))


def _known(originals: Originals) -> set[str]:
    with originals._ledger() as db:
        return {uid for (uid,) in db.execute('select "SOPInstanceUID" from objects')}


def test_a_workbook_is_written_anew_with_the_same_values(tmp_path: Path, lake: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Werte"
    for row in (("Auftrag", "EF"), ("ACC-8-88", 40.5), (NUMBER, 55), ("ACC-8-88", 41)):
        sheet.append(row)
    other = book.create_sheet("Notizen")
    other.append(["=1+1", f"von {NAME}"])
    other.append(["bleibt", 3])
    book.properties.creator = NAME
    table = tmp_path / "in" / "labels.xlsx"
    table.parent.mkdir()
    book.save(table)
    mapping = {**MAPPING, "skip": 0}
    assert converted(table, lake, mapping=mapping).objects == 3
    proof = erase(lake, GONE)
    assert proof.whole
    assert traces(lake) == []
    (data,) = kept_in(lake)
    found = openpyxl.load_workbook(io.BytesIO(data))
    assert list(found["Werte"].values) == [
        ("Auftrag", "EF"), ("ACC-8-88", 40.5), (None, None), ("ACC-8-88", 41),
    ]  # fmt: skip
    assert list(found["Notizen"].values)[1] == ("bleibt", 3)
    assert len(_made(lake)) == 2


class OneOrTwo:
    """A converter of somebody else, whose files cannot be parted."""

    name, about, version = "strange", "strange files", "1"
    formats: ClassVar = {"strange": "strange files"}

    def format_of(self, original: Original, asked: Asked) -> str:
        return "strange"

    def convert(self, original: Original, asked: Asked) -> Converted:
        rows = Original("t.csv", original.data.removeprefix(b"S"))
        return LabelsConverter().convert(rows, asked)


def test_a_file_that_cannot_be_parted_goes_as_a_whole(tmp_path: Path, lake: Path) -> None:
    table = put(tmp_path / "in", "s.bin", b"S" + TABLE.encode("cp1252"))
    mapping = {**MAPPING, "converter": "strange"}
    assert converted(table, lake, mapping=mapping, converters=[OneOrTwo()]).objects == 3
    proof = erase(lake, GONE)
    assert proof.whole
    assert proof.removed["originals"] == 1
    assert kept_in(lake) == []
    assert traces(lake) == []


def test_an_erasure_that_was_killed_leaves_no_file_behind(tmp_path: Path) -> None:
    originals = Originals(tmp_path / "originals")
    originals.keep("ab12", b"of a patient")
    originals.note("ab12", "how", uri="u", size=1, state="done", kept=True)
    with originals._ledger() as db:  # as if it was killed before the file went
        db.execute("delete from originals")
        db.execute("insert into leaving values ('ab12')")
    originals.tidy()
    assert not originals.path("ab12").exists()
