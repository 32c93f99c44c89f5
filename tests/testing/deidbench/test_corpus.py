import hashlib
import sqlite3
import warnings
from collections import Counter
from pathlib import Path

import pydicom
import pytest

from dicomlake.errors import UsageError
from dicomlake.testing.deidbench import make, read_key, table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("deidbench"), patients=3, seed=5)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".sqlite"
    }


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    corpus, key = made
    again, second = make(tmp_path / "again", patients=3, seed=5)
    other, _ = make(tmp_path / "other", patients=1, seed=6)
    assert digests(again) == digests(corpus)
    assert read_key(second) == read_key(key)
    assert not set(digests(other).values()) & set(digests(corpus).values())


def test_every_object_can_be_read(made):
    corpus, _ = made
    syntaxes, classes = Counter(), Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(corpus.rglob("*.dcm")):
            read = pydicom.dcmread(path)
            assert [element.value for element in read.iterall()]
            if "PixelData" in read:
                assert read.pixel_array.size
            syntaxes[read.file_meta.TransferSyntaxUID] += 1
            classes[read.SOPClassUID] += 1
    assert len(syntaxes) >= 8
    assert len(classes) >= 23


def test_every_row_of_the_table_is_planted_at_the_top_and_nested(made):
    _, key = made
    checks = read_key(key)
    rows = {row.path for row in table.rows()}
    top = {c.path[:11] for c in checks if c.category in ("H1", "H2", "H4", "H7", "H8")}
    nested = {c.path.rsplit("]", 1)[-1] for c in checks if c.category == "H3"}
    nested |= {c.path.split("]")[-2][:11] for c in checks if c.category == "H3"}
    assert len(rows) > 640
    assert sorted(rows - top) == []
    assert sorted(rows - nested) == []


def test_every_category_and_both_forms_of_the_key(made):
    _, key = made
    checks = read_key(key)
    assert {c.category for c in checks} == {f"H{at}" for at in range(1, 15)}
    assert len({c.check_id for c in checks}) == len(checks)
    with sqlite3.connect(key / "checks.sqlite") as db:
        assert db.execute("select count(*) from checks").fetchone() == (len(checks),)
    db.close()


def test_a_corpus_is_never_written_over(made):
    with pytest.raises(UsageError, match="holds a corpus already"):
        make(made[0].parent, patients=1)
