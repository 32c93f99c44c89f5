"""The judge is judged: a perfect oracle passes, and what is planted fails, and only that."""

import copy
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomlake.testing.deidbench import gates, judge, make, read_key, summary
from dicomlake.testing.deidbench.answers import RESEARCH, applies, write_key
from dicomlake.testing.deidbench.page import page
from dicomlake.testing.deidbench.reading import Opened

sys.path.insert(0, str(Path(__file__).parent))
import oracle

pytest.importorskip("pypdf")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Corpus, key, what the oracle made of it, and by their number the files of that."""
    folder = tmp_path_factory.mktemp("judged")
    corpus, key = make(folder, patients=1, seed=3)
    out = oracle.clean(corpus, key, folder / "out")
    return corpus, key, out, numbered(out)


def numbered(folder: Path) -> dict[int, Path]:
    paths = sorted(folder.rglob("*.dcm"))
    return {
        int(pydicom.dcmread(path, specific_tags=["InstanceNumber"]).InstanceNumber): path
        for path in paths
    }


def found(made, action: str, where=lambda check: True):
    """The first check of an action that applies."""
    checks = read_key(made[1])
    return next(c for c in checks if c.action == action and applies(c, oracle.OPTIONS) and where(c))


def failures(corpus: Path, key: Path, out: Path, options=oracle.OPTIONS, **more) -> dict[str, str]:
    judged = judge(corpus, key, out, options, validator=False, **more)
    return {r.check.check_id: r.why for r in judged.failed}


class Spoiled:
    """One output of the oracle alone, to be spoiled, with the part of the key that is about it."""

    def __init__(self, made, check, folder: Path) -> None:
        corpus, key, _, files = made
        self.check, self.corpus, self.out, self.key = check, corpus, folder / "out", folder / "key"
        self.out.mkdir()
        self.key.mkdir()
        self.path = self.out / "object.dcm"
        shutil.copy(files[int(Path(check.file).stem[-5:])], self.path)
        self.checks = [c for c in read_key(key) if c.file == check.file]
        write_key(self.key, self.checks)
        self.old = Opened(corpus / check.file, corpus)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.new = pydicom.dcmread(self.path)
        # what others tell of: references to objects that are not here
        self.before = set(failures(corpus, self.key, self.out))

    def restore(self) -> None:
        """Put the old element back where the check looks."""
        opened = Opened(self.path, self.out)
        path = self.check.path
        element = copy.deepcopy(self.old.element(path))
        parent = path[: path.rindex("(")]
        holder = opened.element(parent) if parent else opened.dataset
        holder[element.tag] = element
        if '"' in path:
            block = element.tag.group << 16 | element.tag.element >> 8
            holder[block] = copy.deepcopy(self.old.dataset[block])
        self.new = opened.dataset

    def failed(self) -> set[str]:
        """What fails now and did not before."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.new.save_as(self.path, enforce_file_format=True)
        return set(failures(self.corpus, self.key, self.out)) - self.before

    def same_place(self) -> set[str]:
        """The check, and others about the same path that must fail with it."""
        removing = {"text_removed", "tag_removed", "date_shifted", "uid_changed", "report_span",
                    "tag_empty_or_dummy", "dummy_valid", "private_removed", "date_consistent",
                    "uid_consistent", "ref_integrity", "patid_consistent"}  # fmt: skip
        return {
            c.check_id for c in self.checks
            if c.path == self.check.path and c.action in removing and applies(c, oracle.OPTIONS)
        }  # fmt: skip


def test_a_perfect_oracle_passes_every_gate(made):
    corpus, key, out, _ = made
    judged = judge(corpus, key, out, oracle.OPTIONS, validator=False)
    assert [(r.check.check_id, r.why) for r in judged.failed] == []
    assert all(gate.passed for gate in gates(judged, 3.5))
    assert judged.missing == judged.unmatched == []


def test_doing_nothing_fails(made):
    corpus, key, _, _ = made
    judged = judge(corpus, key, corpus, oracle.OPTIONS, validator=False)
    passed = {gate.name: gate.passed for gate in gates(judged, 1.0)}
    assert not passed["direct leaks"]
    assert not passed["score"]
    assert not passed["words in pixels hidden"]
    assert not passed["recall on reports"]
    assert not passed["times as fast as dicognito"]
    assert passed["precision on reports"] is False or passed["pixels hidden without need"]
    leaks = [r for r in judged.results if r.passed and r.check.severity == 1]
    assert [r.check.check_id for r in leaks] == []


def test_black_pixels_are_of_no_use(made, tmp_path):
    corpus, key, out, _ = made
    black = shutil.copytree(out, tmp_path / "black")
    for path in black.rglob("*.dcm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(path)
        if "PixelData" in read and not read["PixelData"].is_undefined_length:
            read.PixelData = bytes(len(read.PixelData))
            read.save_as(path)
    judged = judge(corpus, key, black, oracle.OPTIONS, validator=False)
    passed = {gate.name: gate.passed for gate in gates(judged)}
    assert not passed["retained"]
    assert not passed["pixels hidden without need"]
    assert passed["words in pixels hidden"]
    assert {r.check.action for r in judged.failed} == {"pixels_retained"}


def top(check) -> bool:
    return check.path.count("(") == 1 and check.path[:5] not in ("(0042", "(0040")


@pytest.mark.parametrize(
    ("action", "where"),
    [
        ("text_removed", lambda c: top(c) and c.category == "H4"),
        ("text_removed", lambda c: c.category == "H3" and c.path.count("[") == 1),
        ("text_removed", lambda c: c.category == "H14"),
        ("tag_removed", lambda c: top(c) and c.category == "H1"),
        ("tag_removed", lambda c: c.category == "H3" and c.path.count("[") > 1),
        ("tag_empty_or_dummy", lambda c: top(c) and c.category == "H1"),
        ("tag_empty_or_dummy", lambda c: c.category == "H2"),
        ("dummy_valid", lambda c: c.category == "H1"),
        ("dummy_valid", lambda c: c.category == "H2"),
        ("date_shifted", lambda c: c.path == "(0008,0020)"),
        ("date_shifted", lambda c: c.category == "H3" and c.path.count("[") == 1),
        ("uid_changed", lambda c: c.path == "(0020,000D)"),
        ("uid_changed", lambda c: c.category == "H2"),
        ("private_removed", lambda c: c.path.endswith(',"ZORB PRIVATE 1.0",20)')),
        ("private_removed", lambda c: c.path.endswith(',"ZORB NESTED",01)')),
        ("report_span", lambda c: c.category == "H13" and c.path),
    ],
)
def test_what_was_left_as_it_was_fails(made, tmp_path, action, where):
    spoiled = Spoiled(made, found(made, action, where), tmp_path)
    spoiled.restore()
    failed = spoiled.failed()
    assert spoiled.check.check_id in failed
    assert failed <= spoiled.same_place()


@pytest.mark.parametrize(
    ("action", "where"),
    [
        ("text_retained", lambda c: c.category == "H4" and top(c)),
        ("tag_retained", top),
        ("text_notnull", top),
        ("uid_retained", lambda c: "[" in c.path),
        ("date_consistent", lambda c: c.path == "(0008,0022)"),
        ("uid_consistent", lambda c: c.path == "(0020,0052)"),
        ("patid_consistent", top),
        ("tag_empty_or_dummy", lambda c: top(c) and c.category == "H1"),
    ],
)
def test_what_was_lost_fails(made, tmp_path, action, where):
    spoiled = Spoiled(made, found(made, action, where), tmp_path)
    opened = Opened(spoiled.path, spoiled.out)
    parent = spoiled.check.path[: spoiled.check.path.rindex("(")]
    holder = opened.element(parent) if parent else opened.dataset
    del holder[opened.element(spoiled.check.path).tag]
    spoiled.new = opened.dataset
    failed = spoiled.failed()
    same = {c.check_id for c in spoiled.checks if c.path == spoiled.check.path}
    assert spoiled.check.check_id in failed
    assert failed <= same


def test_words_in_pixels_are_seen(made, tmp_path):
    spoiled = Spoiled(made, found(made, "pixels_hidden", lambda c: c.category == "H11"), tmp_path)
    x0, y0, x1, y1 = spoiled.check.box
    frames = np.array(Opened(spoiled.path, spoiled.out).frames)
    at = spoiled.check.frame
    frames[at, y0:y1, x0:x1] = spoiled.old.frames[at, y0:y1, x0:x1]
    spoiled.new.PixelData = frames.tobytes()
    assert spoiled.failed() == {spoiled.check.check_id}
    frames[at, y0:y1, x0 + (x1 - x0) // 2 : x1] = 0  # half of them
    spoiled.new.PixelData = frames.tobytes()
    assert spoiled.failed() == {spoiled.check.check_id}
    frames[at, y0:y1, x0:x1] = np.random.default_rng(1).integers(
        0, 255, frames[at, y0:y1, x0:x1].shape
    )
    spoiled.new.PixelData = frames.tobytes()
    assert spoiled.failed() == set()


@pytest.mark.parametrize("path", ["(6000,3000)", "(0088,0200)[1](7FE0,0010)", "(7FE0,0010)"])
def test_hidden_places_of_pixels_are_looked_at(made, tmp_path, path):
    check = found(made, "pixels_hidden", lambda c: c.category == "H10" and c.path == path)
    spoiled = Spoiled(made, check, tmp_path)
    old = spoiled.old.dataset
    for tag in (0x60000010, 0x60000011, 0x60003000, 0x00880200, 0x7FE00010):
        if f"({tag >> 16:04X}," == path[:6]:
            spoiled.new[tag] = old[tag]
    spoiled.new.file_meta.TransferSyntaxUID = old.file_meta.TransferSyntaxUID
    assert spoiled.failed() == {check.check_id}


def test_a_pixel_beside_the_words_must_stay(made, tmp_path):
    check = found(made, "pixels_retained", lambda c: c.file.endswith("CT00001.dcm"))
    spoiled = Spoiled(made, check, tmp_path)
    data = bytearray(spoiled.new.PixelData)
    data[2 * (64 * 40 + 40)] ^= 1
    spoiled.new.PixelData = bytes(data)
    assert spoiled.failed() == {check.check_id}


def test_a_marker_must_stay(made, tmp_path):
    check = found(made, "pixels_retained", lambda c: c.action_text == "marker")
    spoiled = Spoiled(made, check, tmp_path)
    x0, y0, x1, y1 = check.box
    frames = np.array(Opened(spoiled.path, spoiled.out).frames)
    frames[0, y0:y1, x0:x1] = 0
    spoiled.new.PixelData = frames.tobytes()
    assert spoiled.failed() == {check.check_id}


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: setattr(ds, "PatientIdentityRemoved", "NO"),
        lambda ds: delattr(ds, "DeidentificationMethodCodeSequence"),
        lambda ds: ds.DeidentificationMethodCodeSequence.pop(),
        lambda ds: setattr(ds.DeidentificationMethodCodeSequence[1], "CodeValue", "113110"),
        lambda ds: setattr(ds, "LongitudinalTemporalInformationModified", "REMOVED"),
    ],
)
def test_markers_say_what_was_done(made, tmp_path, change):
    spoiled = Spoiled(made, found(made, "markers"), tmp_path)
    change(spoiled.new)
    assert spoiled.failed() == {spoiled.check.check_id}


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: setattr(ds, "preamble", b"II*\0".ljust(128, b"\0")),
        lambda ds: setattr(ds.file_meta, "SourceApplicationEntityTitle", "ROOM"),
        lambda ds: setattr(ds.file_meta, "PrivateInformationCreatorUID", "1.2.3"),
    ],
)
def test_what_is_before_the_data_set_is_clean(made, tmp_path, change):
    spoiled = Spoiled(made, found(made, "meta_clean"), tmp_path)
    change(spoiled.new)
    assert spoiled.failed() == {spoiled.check.check_id}


def test_a_name_in_a_path_is_seen(made, tmp_path):
    corpus, key, out, files = made
    named = shutil.copytree(out, tmp_path / "named")
    check = found(made, "meta_clean")
    token = next(
        c for c in read_key(key) if c.action == "sweep" and c.action_text == "given"
    ).value_old
    path = named / files[1].relative_to(out)
    path.rename(path.with_name(f"{token.upper()}.dcm"))
    failed = failures(corpus, key, named)
    sweep = next(c.check_id for c in read_key(key) if c.value_old == token and c.action == "sweep")
    assert set(failed) == {check.check_id, sweep}


def test_a_missing_file_fails_all_of_its_checks(made, tmp_path):
    corpus, key, out, files = made
    less = shutil.copytree(out, tmp_path / "less")
    (less / files[5].relative_to(out)).unlink()
    checks = [c for c in read_key(key) if applies(c, oracle.OPTIONS)]
    name = next(c.file for c in checks if c.file.endswith("00005.dcm"))
    failed = failures(corpus, key, less)
    assert set(failed) == {c.check_id for c in checks if c.file == name}
    assert set(failed.values()) == {"the file is missing"}


def test_a_file_that_cannot_be_read_fails_all_of_its_checks(made, tmp_path):
    spoiled = Spoiled(made, found(made, "valid"), tmp_path)
    spoiled.path.write_bytes(spoiled.path.read_bytes()[:700])
    whole = {c.check_id for c in spoiled.checks if applies(c, oracle.OPTIONS)}
    failed = failures(spoiled.corpus, spoiled.key, spoiled.out)
    assert len(set(failed)) > 0.5 * len(whole)
    spoiled.path.write_bytes(b"nothing")
    assert set(failures(spoiled.corpus, spoiled.key, spoiled.out)) == whole


def test_a_reference_that_leads_nowhere_is_seen(made, tmp_path):
    corpus, key, out, files = made
    torn = shutil.copytree(out, tmp_path / "torn")
    check = found(made, "ref_integrity", lambda c: "(0040,A730)" in c.path)
    path = torn / files[int(Path(check.file).stem[-5:])].relative_to(out)
    opened = Opened(path, torn)
    opened.element(check.path).value = "2.25.5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened.dataset.save_as(path)
    assert failures(corpus, key, torn) == {check.check_id: "leads nowhere"}


def test_two_objects_made_one_are_seen(made, tmp_path):
    corpus, key, out, files = made
    merged = shutil.copytree(out, tmp_path / "merged")
    first, second = (merged / files[n].relative_to(out) for n in (1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = pydicom.dcmread(first), pydicom.dcmread(second)
    two.SOPInstanceUID = two.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    two.save_as(second)
    failed = failures(corpus, key, merged)
    actions = {c.action for c in read_key(key) if c.check_id in failed}
    assert actions <= {"uid_consistent", "ref_integrity"}
    assert "uid_consistent" in actions


def test_an_object_that_nobody_asked_for_is_seen(made, tmp_path):
    corpus, key, out, files = made
    more = shutil.copytree(out, tmp_path / "more")
    shutil.copy(files[1], more / "again.dcm")
    failed = failures(corpus, key, more)
    assert list(failed.values()) == ["1 objects more: again.dcm"]


def test_a_patient_with_two_shifts_and_two_patients_with_one(tmp_path):
    corpus, key = make(tmp_path, patients=2, seed=4)
    out = oracle.clean(corpus, key, tmp_path / "out")
    assert failures(corpus, key, out) == {}
    for path in out.rglob("*.dcm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(path)
            if str(read.PatientID) == "S2":
                continue
            read.moved = True
            for element in read.iterall():
                if element.VR in ("DA", "DT") and element.value:
                    element.value = "\\".join(
                        oracle.moved(v, -1) if len(v) >= 8 else v
                        for v in oracle.said(element.value).split("\\")
                    )
            # 14 days later than the oracle had it, minus what it took: the shift of patient 2
            for element in read.iterall():
                if element.VR in ("DA", "DT") and element.value:
                    element.value = "\\".join(
                        oracle.moved(v, -14) if len(v) >= 8 else v
                        for v in oracle.said(element.value).split("\\")
                    )
            read.save_as(path)
    judged = judge(corpus, key, out, oracle.OPTIONS, validator=False)
    assert {r.check.action for r in judged.failed} <= {"date_consistent", "date_shifted"}


@pytest.mark.parametrize("run", ["again", "workers", "other"])
def test_runs_are_compared(made, tmp_path, run):
    corpus, key, out, _ = made
    other = oracle.clean(corpus, key, tmp_path / "other", salt="x")
    wrong = out if run == "other" else other
    right = other if run == "other" else out
    (name,) = failures(corpus, key, out, **{run: wrong})
    check = next(c for c in read_key(key) if c.check_id == name)
    assert (check.action, check.action_text) == ("determinism", run)
    assert failures(corpus, key, out, **{run: right}) == {}


def test_a_map_that_lies_is_seen(made, tmp_path):
    corpus, key, out, files = made
    old = {
        c.sop_uid_old: int(Path(c.file).stem[-5:]) for c in read_key(key) if c.action == "markers"
    }
    pairs = {
        name: str(pydicom.dcmread(files[number], specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        for name, number in old.items()
    }
    table = tmp_path / "map.csv"
    table.write_text("id_old,id_new\n" + "".join(f"{a},{b}\n" for a, b in pairs.items()))
    assert failures(corpus, key, out, uid_map=table) == {}
    lie = dict(pairs)
    lie[next(iter(lie))] = "2.25.77"
    table.write_text("id_old,id_new\n" + "".join(f"{a},{b}\n" for a, b in lie.items()))
    assert list(failures(corpus, key, out, uid_map=table).values()) == [
        "1 UIDs became something else"
    ]


@pytest.mark.parametrize(
    "pack",
    [
        lambda token: token.upper().encode("ascii"),
        lambda token: token.encode("utf-16-le"),
        lambda token: __import__("base64").b64encode(f"a long text around {token} in it".encode()),
        lambda token: (
            b"%PDF-1.4 stream\n" + __import__("zlib").compress(token.encode()) + b"\nendstream"
        ),
    ],
)
def test_tokens_are_found_in_any_file_and_encoding(made, tmp_path, pack):
    corpus, key, out, _ = made
    more = shutil.copytree(out, tmp_path / "more")
    check = next(c for c in read_key(key) if c.action == "sweep" and c.action_text == "physician")
    (more / "notes.bin").write_bytes(b"..." + pack(check.value_old) + b"...")
    assert set(failures(corpus, key, more)) == {check.check_id}


def test_loose_reports(made, tmp_path):
    corpus, key, out, _ = made
    left = shutil.copytree(out, tmp_path / "left")
    name = next(c.file for c in read_key(key) if c.scope == "report")
    shutil.copy(corpus / name, left / name)
    judged = judge(corpus, key, left, oracle.OPTIONS, validator=False)
    spans = {r.check.check_id for r in judged.failed if r.check.scope == "report"}
    checks = [c for c in read_key(key) if c.file == name]
    assert spans == {c.check_id for c in checks if c.action != "text_retained"}
    assert {r.check.action for r in judged.failed} <= {"report_span", "text_removed", "sweep"}


def test_safe_private_elements_are_kept_only_where_that_is_asked(made):
    corpus, key, out, _ = made
    failed = failures(corpus, key, out, oracle.OPTIONS | {"safe_private"})
    checks = {c.check_id: c for c in read_key(key)}
    assert {checks[name].action for name in failed} == {"private_retained", "markers"}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_more_errors_than_before_are_seen(made, tmp_path):
    spoiled = Spoiled(
        made, found(made, "valid", lambda c: c.file.endswith("CT00001.dcm")), tmp_path
    )
    for element in list(spoiled.new):
        if element.tag.group in (0x18, 0x20, 0x28) and element.keyword != "InstanceNumber":
            del spoiled.new[element.tag]
    spoiled.failed()
    judged = judge(spoiled.corpus, spoiled.key, spoiled.out, oracle.OPTIONS)
    assert "dciodvfy" in {r.check.check_id: r.why for r in judged.failed}[spoiled.check.check_id]


def test_the_report_says_all_of_it(made):
    corpus, key, _, _ = made
    told = summary(judge(corpus, key, corpus, RESEARCH, validator=False))
    low, high = told["interval"]
    assert 0 <= low <= told["score"] + 0.05
    assert low <= high < 0.6
    assert set(told["categories"]) == {f"H{at}" for at in range(1, 15)}
    assert told["series_worst"] <= told["score"] + 0.05
    assert len(told["failed"]) == told["checks"] - told["passed"]
    assert json.loads(json.dumps(told)) == told
    shown = page("Judged", told)
    assert "direct leaks" in shown
    assert "<script" not in shown
