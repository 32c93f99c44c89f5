"""A lake that de-identifies at its door: nothing that tells of a person is in its folder."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import orjson
import pytest

import dicomlake
from dicomlake.contracts import Object
from dicomlake.contracts.archives import Sender
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs.archives import kept_of
from dicomlake.jobs.deposits import Deposit
from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.entrance import door_at, fix
from dicomlake.jobs.door.places import opened_row
from dicomlake.jobs.door.views import bring_up
from dicomlake.jobs.erasing import erase
from dicomlake.jobs.inbox import Intake
from dicomlake.jobs.index import index
from dicomlake.jobs.objects import Opened, elsewhere_of, object_of, row_of
from dicomlake.jobs.reception import Reception
from dicomlake.jobs.requests import Request, Requests, queue_of
from dicomlake.lake import Store
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import ListenerSettings, read
from dicomlake.testing.dicom import encode, image
from dicomlake.testing.histories import rows

from ...planted import INSTANCE, MARK, ROOT, STUDY, make_files, planted, secrets
from .swept import swept

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
PROFILE = "times-and-device"


def prepared(folder: Path, name: str = "lake") -> Path:
    """A lake that de-identifies at its door, with nothing in it yet; its key lies beside it."""
    lake = folder / name
    lake.mkdir(parents=True)
    (folder / "secret.key").write_text("0123456789abcdef0123456789abcdef-lake")
    (lake / "dicomlake.toml").write_text(
        f'[pseudonyms.study]\nkey_file = "{folder / "secret.key"}"\n'
    )
    fix(Store.create(lake), read(lake), PROFILE, "study")
    return lake


def opened_of(lake: Path, uid: str) -> AbstractContextManager[Opened]:
    return object_of(row_of(Store(lake), uid), elsewhere_of(lake))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("door"))


@pytest.fixture(scope="module")
def said(files: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What tells of people in the files: names, ids, UIDs, places."""
    whole = tmp_path_factory.mktemp("whole") / "lake"
    index([files], whole, workers=1)
    folders = {part for path in files.rglob("*") for part in path.relative_to(files).parts}
    return sorted({*secrets(whole), *folders} - {"DICOMDIR", "IMAGES"})  # words of tables, too


@pytest.fixture(scope="module")
def lake(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = prepared(tmp_path_factory.mktemp("guarded"))
    index([files], found, workers=2)
    return found


def test_nothing_of_a_person_is_in_its_folder(lake: Path, said: list[str]) -> None:
    assert dicomlake.open(lake).totals["series"] > 3
    assert swept(lake, said) == {}


def test_the_sweep_finds_what_is_there(files: Path, said: list[str], tmp_path: Path) -> None:
    index([files], tmp_path / "lake", workers=1)
    found = swept(tmp_path / "lake", said)
    for table in ("series", "instances", "elements", "vocabulary", "vocabulary_values", "failures"):
        assert any(name.startswith(f"{table}/") for name in found), table


def test_it_holds_what_another_lake_holds(lake: Path, files: Path, tmp_path: Path) -> None:
    index([files], tmp_path / "lake", workers=1)
    here, there = dicomlake.open(lake), dicomlake.open(tmp_path / "lake")
    assert here.totals == there.totals
    counted = 'select "Modality", count(*) as n from series group by all order by all'
    assert here.sql(counted).to_pylist() == there.sql(counted).to_pylist()


def test_unchanged_files_are_not_read_again_and_vanished_ones_are_told(
    files: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(files, tmp_path / "files")
    lake = prepared(tmp_path)
    first = index([copy], lake, workers=1)
    again = index([copy], lake, workers=1)
    assert again.counts["unchanged"] == first.counts["files"]
    assert again.counts["objects"] == 0
    (copy / MARK / f"{MARK}_1.dcm").unlink()
    pruned = index([copy], lake, workers=1, prune=True)
    assert pruned.counts["vanished"] == 1
    assert pruned.lake["instances"] == first.lake["instances"] - 1


def test_objects_are_cleaned_when_they_are_opened(lake: Path, said: list[str]) -> None:
    found = dicomlake.open(lake)
    rows = found.sql('select "SOPInstanceUID", uri from instances limit 30').to_pylist()
    for row in rows:
        with opened_of(lake, row["SOPInstanceUID"]) as opened:
            data = opened.fetch(0, opened.size)
        header = orjson.loads(HeaderReader().read_bytes(data).json)
        assert header["00080018"]["Value"] == [row["SOPInstanceUID"]]
        assert [s for s in said if len(s) > 5 and s.encode() in data] == []
    assert swept(lake, said) == {}  # and those that are kept


def test_where_an_object_lies_takes_the_key(lake: Path, files: Path, tmp_path: Path) -> None:
    row = dicomlake.open(lake).sql('select uri, "offset", size from instances').to_pylist()[0]
    door = door_at(Store(lake))
    assert door is not None
    assert opened_row(door.seal, row)["uri"].startswith(f"file://{files}/")
    (lake.parent / "secret.key").rename(lake.parent / "away.key")
    try:
        (lake.parent / "secret.key").write_text("another key, which is long enough, too")
        with pytest.raises(UsageError, match="another key"):
            index([files], lake)
        with pytest.raises(UsageError, match="another key"):
            opened_row(door_of(read(lake), PROFILE, "study").seal, row)
    finally:
        (lake.parent / "away.key").replace(lake.parent / "secret.key")


def test_it_is_fixed_when_the_lake_is_made(files: Path, lake: Path, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="cannot be changed"):
        fix(Store(lake), read(lake), "basic", "study")
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(lake / "dicomlake.toml", plain)
    index([files / MARK], plain, workers=1)
    with pytest.raises(LakeError, match="cannot be changed"):
        fix(Store(plain), read(plain), PROFILE, "study")
    with pytest.raises(UsageError, match="no pseudonyms 'nobody'"):
        fix(Store.create(tmp_path / "new"), read(lake), PROFILE, "nobody")


def test_settings_make_it(files: Path, said: list[str], tmp_path: Path) -> None:
    prepared(tmp_path, "other")
    lake = tmp_path / "lake"
    lake.mkdir()
    told = (tmp_path / "other" / "dicomlake.toml").read_text()
    more = f'[lake]\nprofile = "{PROFILE}"\npseudonyms = "study"\n'
    (lake / "dicomlake.toml").write_text(told + more)
    index([files / MARK], lake, workers=1)
    assert Store(lake).door["profile"] == PROFILE
    assert swept(lake, said) == {}


def one(**more: object) -> bytes:
    return encode(image(**planted(**more)))


def test_what_is_stored_is_cleaned(tmp_path: Path) -> None:
    lake = prepared(tmp_path)
    settings = read(lake)
    deposit = Deposit(lake, kept_of(lake, settings), settings)
    data = one()
    stored = deposit.add(lambda at, n: data[at : at + n], len(data))
    deposit.close()
    assert (stored.instance, stored.failure) == (INSTANCE, 0)  # the sender knows it by its own
    assert swept(lake, [MARK, ROOT]) == {}  # in the inbox
    Intake(Store(lake), queue_of(lake, settings)).take()
    assert swept(lake, [MARK, ROOT]) == {}
    found = dicomlake.open(lake)
    (row,) = found.sql('select "SOPInstanceUID" from instances').to_pylist()
    with opened_of(lake, row["SOPInstanceUID"]) as opened:
        assert MARK.encode() not in opened.fetch(0, opened.size)


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_sent_is_cleaned(tmp_path: Path, keep: bool) -> None:
    lake = prepared(tmp_path)
    listener = ListenerSettings(keep=keep)
    settings = read(lake).model_copy(update={"listener": listener})
    reception = Reception(lake, settings, kept_of(lake, settings))
    data = one()
    thing = Object(f"pacs://x/{INSTANCE}", 0, len(data), lambda at, n: data[at : at + n])
    reception.arrived(Sender(calling="CT1", called="LAKE", address="127.0.0.1"), thing)
    assert list((lake / "_queue" / "journals").glob("*.journal"))
    assert swept(lake, [MARK, ROOT]) == {}  # in the journal
    safe = reception.stored([("1.2.840.10008.5.1.4.1.1.4", INSTANCE)])
    assert (safe[INSTANCE] == 0) is keep
    reception.close()
    Intake(Store(lake), queue_of(lake, settings)).take()
    assert dicomlake.open(lake).totals["instances"] == 1
    assert swept(lake, [MARK, ROOT]) == {}


def test_archives_are_not_asked(tmp_path: Path) -> None:
    lake = prepared(tmp_path)
    with (lake / "dicomlake.toml").open("a") as file:
        file.write('[source.pacs]\nkind = "dimse"\nhost = "127.0.0.1"\nport = 1\ncalled = "P"\n')
    with pytest.raises(UsageError, match="de-identifies what comes in"):
        Requests(lake, read(lake)).submit(Request("pacs", {"StudyInstanceUID": (STUDY,)}))
    assert swept(lake, [STUDY]) == {}


@pytest.fixture
def corpus() -> Path:
    if not CORPUS.is_dir():
        pytest.skip("needs the files of shared/corpus")
    return CORPUS


def test_real_files(corpus: Path, tmp_path: Path) -> None:
    """Names, ids and UIDs of the corpus; short words that every lake holds are no sign."""
    index([corpus], tmp_path / "whole")
    whole = dicomlake.open(tmp_path / "whole").store
    with whole.database() as db:
        uids = db.execute(
            'select "StudyInstanceUID" from series union select "SeriesInstanceUID" from series '
            'union select "SOPInstanceUID" from instances'
        ).fetchall()
        names = db.execute(
            "select distinct text from elements where path in "
            "('PatientName', 'PatientID', 'ReferringPhysicianName', 'AccessionNumber') "
            "and (text like '%^%' or (length(text) > 8 and regexp_matches(text, '[0-9].*[A-Z]')))"
        ).fetchall()
    said = {row[0] for row in (*uids, *names) if row[0] and len({*row[0].strip("^ ")}) > 4}
    lake = prepared(tmp_path)
    index([corpus], lake)
    assert len(said) > 300
    assert dicomlake.open(lake).totals["instances"] > 250
    assert swept(lake, said) == {}


def test_what_the_lake_knows_of_a_patient_is_taken_out_of_texts(tmp_path: Path) -> None:
    """A name that only another study of the patient has, in a text that the profile keeps."""
    first = planted(PatientID="P-1", PatientName="Zwetschgenmann^Ada")
    second = planted(
        PatientID="P-1", PatientName="Ada^N", ManufacturerModelName="Scanner of Zwetschgenmann",
        StudyInstanceUID=f"{ROOT}.5", SeriesInstanceUID=f"{ROOT}.5.1",
        SOPInstanceUID=f"{ROOT}.5.1.1",
    )  # fmt: skip
    (tmp_path / "files").mkdir()
    for number, one in enumerate((first, second)):
        (tmp_path / "files" / f"{number}.dcm").write_bytes(encode(image(**one)))
    index([tmp_path / "files"], tmp_path / "plain", workers=1)
    store = Store(tmp_path / "plain")
    said = {"PatientID": "P-1", "text": "Zwetschgenmann"}
    for table in ("clinical_events", "documents"):
        store.append(table, rows(store, table, [said]))
    store.touch("told")
    settings = read(prepared(tmp_path))
    view = bring_up(tmp_path / "plain", door_of(settings, PROFILE, "study"))
    for table in ("clinical_events", "documents"):
        (row,) = Store(view).read(table).to_pylist()
        assert row["PatientID"]
        assert row["text"] is None
    assert swept(view, ["Zwetschgenmann"]) == {}
    assert "Scanner" in str(dicomlake.open(view).sql("select * from series").to_pylist())


def test_views_go_when_somebody_is_erased(files: Path, tmp_path: Path) -> None:
    index([files / MARK], tmp_path / "lake", workers=1)
    settings = read(prepared(tmp_path, "other"))
    door = door_of(settings, PROFILE, "study")
    view = bring_up(tmp_path / "lake", door)
    before = dicomlake.open(view).totals
    proof = erase(tmp_path / "lake", f"{MARK}-other")
    assert proof.removed["de-identified views"] == 1
    assert not view.exists()
    after = dicomlake.open(bring_up(tmp_path / "lake", door)).totals
    assert after["series"] == before["series"] - 1
