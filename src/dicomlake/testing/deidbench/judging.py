"""The judge: which output belongs to which object, and whether each check of the key passes."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.testing.deidbench import comparing, rules
from dicomlake.testing.deidbench.answers import (
    RESEARCH,
    Check,
    applies,
    checked_options,
    read_key,
)
from dicomlake.testing.deidbench.reading import Opened, paper_text
from dicomlake.testing.deidbench.sweeping import Sweep

Verdict = tuple[float, str]
_ACROSS = frozenset(["uid_consistent", "patid_consistent", "date_consistent", "ref_integrity"])


@dataclass(frozen=True, slots=True)
class Result:
    """A check, its score from 0 to 1, and why it is not 1."""

    check: Check
    score: float
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is missing."""
        return self.score > 0.999


@dataclass(slots=True)
class Judged:
    """The result of every check that applies, and what was measured beside."""

    results: list[Result]
    options: frozenset[str]
    objects: int = 0
    missing: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    overmask: list[float] = field(default_factory=list)

    @property
    def failed(self) -> list[Result]:
        """What did not pass, worst severity first."""
        wrong = [result for result in self.results if not result.passed]
        return sorted(wrong, key=lambda r: (r.check.severity, r.check.check_id))


def judge(
    corpus: Path,
    key: Path,
    cleaned: Path,
    options: Iterable[str] = RESEARCH,
    *,
    uid_map: Path | None = None,
    again: Path | None = None,
    workers: Path | None = None,
    other: Path | None = None,
    validator: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Judged:
    """Judge what came out of a corpus.

    `options` say what the profile promised; `uid_map` is a CSV with the columns id_old and id_new;
    `again`, `workers` and `other` are the corpus cleaned with the same key, with more workers, and
    with another key. `validator`: whether dciodvfy counts errors, where it is installed.
    """
    active = set(checked_options(options))
    runs = {"map": uid_map, "again": again, "workers": workers, "other": other}
    active |= {name for name, place in runs.items() if place is not None}
    for place in (corpus, cleaned, *(p for p in (again, workers, other) if p)):
        if not place.is_dir():
            raise UsageError(f"There is no folder {place.name!r}. Name the folder of the objects.")
    checks = [check for check in read_key(key) if applies(check, active)]
    return _Judge(corpus, cleaned, checks, frozenset(active), runs, validator).judged(progress)


class _Judge:
    """One judgement; `seen` gathers what only all files together can tell."""

    def __init__(
        self,
        corpus: Path,
        cleaned: Path,
        checks: Sequence[Check],
        options: frozenset[str],
        runs: dict[str, Path | None],
        validator: bool,
    ) -> None:
        self.corpus, self.cleaned, self.options, self.runs = corpus, cleaned, options, runs
        self.checks = checks
        self.uids = _pairs(runs["map"]) if runs["map"] else {}
        self.results: dict[str, Verdict] = {}
        self.told = Judged([], options)
        self.seen: list[tuple[Check, str]] = []
        self.renamed: dict[str, str] = {}
        self.sweeps = Sweep(
            token for c in checks if c.action == "sweep" for token in c.value_old.split("\n")
        )
        self.leaks: dict[str, set[str]] = defaultdict(set)
        self.errors = _Validator(validator)

    def judged(self, progress: Callable[[int, int], None] | None) -> Judged:
        """Everything, file after file."""
        by_file: dict[str, list[Check]] = defaultdict(list)
        for check in self.checks:
            if check.scope != "corpus":
                by_file[check.file].append(check)
        outputs = [path for path in sorted(self.cleaned.rglob("*")) if path.is_file()]
        self._sweep(outputs)
        places = _matched(self.corpus, list(by_file), self.cleaned, outputs, self.uids)
        matched = {path for path in places.values() if path}
        self.told.unmatched = [
            path.relative_to(self.cleaned).as_posix() for path in outputs if path not in matched
        ]
        self._renamed(by_file, places)
        for at, (name, checks) in enumerate(by_file.items(), 1):
            self._file(name, checks, places.get(name))
            if progress:
                progress(at, len(by_file))
        self.errors.finish(self.results)
        self._across()
        self._corpus()
        self.told.objects = len(by_file)
        for check in self.checks:
            score, why = self.results.get(check.check_id, (0.0, "not judged"))
            self.told.results.append(Result(check, score, why))
        return self.told

    def _renamed(self, by_file: dict[str, list[Check]], places: dict[str, Path | None]) -> None:
        """What became of the SOP Instance UID of every object that came out."""
        for name, checks in by_file.items():
            place = places.get(name)
            if place and checks[0].sop_uid_old:
                self.renamed[checks[0].sop_uid_old] = _head(place).get("SOPInstanceUID", "")

    def _file(self, name: str, checks: list[Check], place: Path | None) -> None:
        if place is None:
            self.told.missing.append(name)
            for check in checks:
                self.results[check.check_id] = (0.0, "the file is missing")
            return
        if checks[0].scope == "report":
            text = paper_text(place.read_bytes())
            for check in checks:
                self.results[check.check_id] = rules.TEXTS[check.action](check, text)
            return
        old, new = Opened(self.corpus / name, self.corpus), Opened(place, self.cleaned)
        if new.error:
            for check in checks:
                self.results[check.check_id] = (0.0, f"cannot be read: {new.error}")
            return
        boxes = [
            c.box for c in checks
            if c.box and c.path == "(7FE0,0010)" and c.action_text != "bits above"
        ]  # fmt: skip
        for check in checks:
            self.results[check.check_id] = self._one(check, old, new, boxes)

    def _one(
        self, check: Check, old: Opened, new: Opened, boxes: Sequence[Sequence[int]]
    ) -> Verdict:
        try:
            return self._verdict(check, old, new, boxes)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 - an output may be broken in any way
            return 0.0, f"cannot be judged: {type(error).__name__}"

    def _verdict(
        self, check: Check, old: Opened, new: Opened, boxes: Sequence[Sequence[int]]
    ) -> Verdict:
        action = check.action
        if action in _ACROSS:
            self.seen.append((check, (new.text(check.path) or "").strip()))
            return 0.0, "not judged"
        if action == "pixels_hidden":
            return comparing.hidden(check, old, new)
        if action == "pixels_retained":
            score, why, share = comparing.retained(check, old, new, boxes)
            if boxes and not check.box:
                self.told.overmask.append(share)
            return score, why
        if action == "markers":
            return rules.markers(check, new, self.options, bool(boxes))
        if action == "meta_clean":
            return rules.meta_clean(check, new, self._tokens(check.patient_id_old))
        if action == "valid":
            self.errors.add(check, old.path, new.path)
            return rules.PASS
        part = check.action_text if check.action_text == "information" else ""
        verdict = rules.TEXTS[action](check, new.text(check.path, part))
        if verdict[0] == 1 and action in ("dummy_valid", "tag_empty_or_dummy", "date_shifted"):
            return rules.valid_value(new, check)
        return verdict

    def _tokens(self, patient: str) -> list[str]:
        return _patient_tokens(tuple(self.checks))[patient]

    def _sweep(self, outputs: Sequence[Path]) -> None:
        """Where any token still is: in bytes or in names."""
        for path in outputs:
            name = path.relative_to(self.cleaned).as_posix()
            found = self.sweeps.found(path.read_bytes())
            found |= self.sweeps.found(name.encode("utf-8"))
            for token in found:
                self.leaks[token].add(name)

    # What only all files together can tell

    def _across(self) -> None:
        became: dict[str, Counter[str]] = defaultdict(Counter)
        for check, new in self.seen:
            if check.action in ("uid_consistent", "patid_consistent"):
                became[check.value_old][new] += 1
        came_from: dict[str, set[str]] = defaultdict(set)
        for value, news in became.items():
            for new in news:
                came_from[new].add(value)
        deltas = self._deltas()
        self.told.results = []
        for check, new in self.seen:
            if check.action == "ref_integrity":
                verdict = self._reference(check, new)
            elif check.action == "date_consistent":
                verdict = _same_shift(check, new, deltas.get(check.patient_id_old))
            else:
                verdict = _consistent(check.value_old, new, became, came_from)
            self.results[check.check_id] = verdict
        self.became, self.deltas = became, deltas

    def _reference(self, check: Check, new: str) -> Verdict:
        wanted = self.renamed.get(check.action_text, "")
        if not new:
            return 0.0, "absent"
        return rules.PASS if new == wanted else (0.0, "leads nowhere")

    def _deltas(self) -> dict[str, int]:
        """The shift in days that most dates of each patient have."""
        found: dict[str, Counter[int]] = defaultdict(Counter)
        for check, new in self.seen:
            if check.action == "date_consistent":
                days = _shift(check.value_old, new)
                if days is not None:
                    found[check.patient_id_old][days] += 1
        return {patient: counts.most_common(1)[0][0] for patient, counts in found.items()}

    def _corpus(self) -> None:
        for check in self.checks:
            if check.scope != "corpus":
                continue
            self.results[check.check_id] = {
                "sweep": self._swept,
                "date_consistent": self._patients_differ,
                "valid": self._nothing_else,
                "determinism": self._determined,
                "uid_consistent": self._mapped,
            }[check.action](check)

    def _swept(self, check: Check) -> Verdict:
        tokens = check.value_old.split("\n")
        left = [token for token in tokens if token in self.leaks]
        if not left:
            return rules.PASS
        where = sorted(set().union(*(self.leaks[token] for token in left)))
        some = ", ".join(where[:3])
        return 0.0, f"{len(left)} of {len(tokens)} still in {len(where)} files: {some}"

    def _patients_differ(self, check: Check) -> Verdict:
        shifts = list(self.deltas.values())
        if not shifts:
            return 0.0, "no dates are shifted"
        pairs = list(combinations(shifts, 2))
        share = sum(a != b for a, b in pairs) / max(len(pairs), 1)
        return rules.PASS if share >= 0.95 or not pairs else (0.0, f"{share:.0%} of pairs differ")

    def _nothing_else(self, check: Check) -> Verdict:
        """No DICOM object came out that belongs to none that went in; a DICOMDIR is none."""
        extra = [name for name in self.told.unmatched if _is_dicom(self.cleaned / name)]
        return rules.PASS if not extra else (0.0, f"{len(extra)} objects more: {extra[0]}")

    def _determined(self, check: Check) -> Verdict:
        folder = self.runs[check.action_text]
        assert folder is not None
        ours, theirs = _by_number(self.cleaned), _by_number(folder)
        if ours.keys() != theirs.keys():
            return 0.0, f"{len(ours.keys() ^ theirs.keys())} objects are in one of them only"
        if check.action_text == "other":
            common = {head["SOPInstanceUID"] for head in ours.values()} & {
                head["SOPInstanceUID"] for head in theirs.values()
            }
            common |= {head["PatientID"] for head in ours.values()} & {
                head["PatientID"] for head in theirs.values()
            }
            return rules.PASS if not common else (0.0, f"{len(common)} values are the same")
        away = [n for n in ours if ours[n]["bytes"] != theirs[n]["bytes"]]
        return rules.PASS if not away else (0.0, f"{len(away)} objects differ, {away[0]} first")

    def _mapped(self, check: Check) -> Verdict:
        """The map that the tool gives is the one that its outputs show."""
        wrong = [
            old for old, news in self.became.items()
            if old in self.uids and set(news) != {self.uids[old]}
        ]  # fmt: skip
        return rules.PASS if not wrong else (0.0, f"{len(wrong)} UIDs became something else")


@lru_cache(maxsize=4)
def _patient_tokens(checks: tuple[Check, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for check in checks:
        if check.action == "sweep":
            found[check.patient_id_old] += check.value_old.split("\n")
    return found


def _consistent(
    old: str, new: str, became: dict[str, Counter[str]], came_from: dict[str, set[str]]
) -> Verdict:
    if not new:
        return 0.0, "absent"
    if new != became[old].most_common(1)[0][0]:
        return 0.0, "another value than elsewhere"
    return rules.PASS if len(came_from[new]) == 1 else (0.0, "shared with another one")


def _shift(old: str, new: str) -> int | None:
    try:
        return (_day(new) - _day(old)).days
    except ValueError:
        return None


def _day(value: str) -> date:
    return date(int(value[:4]), int(value[4:6]), int(value[6:8]))


def _same_shift(check: Check, new: str, days: int | None) -> Verdict:
    if not new:
        return 0.0, "absent"
    shift = _shift(check.value_old, new)
    if shift is None:
        return 0.0, "no date"
    if shift == 0:
        return 0.0, "not shifted"
    if shift != days:
        return 0.0, f"{shift - (days or 0)} days beside the others"
    wanted = f"{_day(check.value_old) + timedelta(days=shift):%Y%m%d}{check.value_old[8:]}"
    same = new == wanted or new.rstrip("0").rstrip(".") == wanted.rstrip("0").rstrip(".")
    return rules.PASS if same else (0.0, "another time of day")


def _pairs(path: Path) -> dict[str, str]:
    """id_old -> id_new of a map."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"id_old", "id_new"} <= set(rows.fieldnames or ()):
            raise UsageError(f"{path.name!r} is no map: it needs the columns id_old and id_new.")
        return {row["id_old"]: row["id_new"] for row in rows}


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1024)
    return head[128:132] == b"DICM" and b"1.2.840.10008.1.3.10\0" not in head


def _head(path: Path) -> dict[str, str]:
    """The few values by which an output is found; none when it is no DICOM."""
    import warnings

    import pydicom

    names = ["SOPClassUID", "SOPInstanceUID", "InstanceNumber", "PatientID"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = pydicom.dcmread(path, specific_tags=names, stop_before_pixels=True)
            return {name: str(read.get(name, "") or "") for name in names}
        except Exception:  # noqa: BLE001 - whatever a broken file makes pydicom raise
            return {}


def _by_number(folder: Path) -> dict[str, dict[str, str]]:
    """By InstanceNumber: the head of each object and a digest of its bytes."""
    from hashlib import blake2b

    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (head := _head(path)).get("InstanceNumber"):
            digest = blake2b(path.read_bytes(), digest_size=16).hexdigest()
            found[head["InstanceNumber"]] = {**head, "bytes": digest}
    return found


def _matched(
    corpus: Path,
    names: Sequence[str],
    cleaned: Path,
    outputs: Sequence[Path],
    uids: dict[str, str],
) -> dict[str, Path | None]:
    """The output that belongs to each input: by the map, else by what harmless values say.

    InstanceNumber is unique in the corpus and identifies nobody, so that every profile may keep it.
    An object without it is found by its own file name, if the tool kept that. An output belongs to
    one input only, and to none when its SOP class is another one.
    """
    by_uid: dict[str, Path] = {}
    by_number: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    classes: dict[Path, str] = {}
    for path in outputs:
        by_name.setdefault(path.stem, path)
        head = _head(path)
        classes[path] = head.get("SOPClassUID", "")
        if head.get("SOPInstanceUID"):
            by_uid.setdefault(head["SOPInstanceUID"], path)
        if head.get("InstanceNumber"):
            by_number.setdefault(head["InstanceNumber"], path)
    taken: set[Path] = set()
    found: dict[str, Path | None] = {}
    for name in names:
        place = corpus / name
        if not name.endswith(".dcm"):
            found[name] = by_name.get(place.stem)
            continue
        head = _head(place)
        candidates = (
            by_uid.get(uids.get(head["SOPInstanceUID"], "")),
            by_number.get(head["InstanceNumber"]),
            by_name.get(place.stem),
        )
        fits = [
            path for path in candidates
            if path and path not in taken and classes[path] in ("", head["SOPClassUID"])
        ]  # fmt: skip
        found[name] = fits[0] if fits else None
        taken.update(fits[:1])
    return found


class _Validator:
    """Counts what dciodvfy calls errors, before and after, two objects at a time."""

    def __init__(self, wanted: bool) -> None:
        self.program = shutil.which("dciodvfy") if wanted else None
        self.waiting: list[tuple[Check, Path, Path]] = []

    def add(self, check: Check, old: Path, new: Path) -> None:
        """Another pair for later."""
        self.waiting.append((check, old, new))

    def finish(self, results: dict[str, Verdict]) -> None:
        """Judge all pairs."""
        if self.program is None:
            return
        with ThreadPoolExecutor(2) as threads:
            counted = list(threads.map(self._counts, self.waiting))
        for (check, _, _), (before, after) in zip(self.waiting, counted, strict=True):
            if before >= 0 > after:
                results[check.check_id] = (0.0, "dciodvfy cannot read it any more")
            elif before >= 0 and after > before:
                results[check.check_id] = (0.0, f"dciodvfy: {after} errors, {before} before")

    def _counts(self, pair: tuple[Check, Path, Path]) -> tuple[int, int]:
        assert self.program is not None
        return _errors(self.program, pair[1]), _errors(self.program, pair[2])


@lru_cache(maxsize=8192)
def _errors(program: str, path: Path) -> int:
    """How many errors; -1 when it cannot read such an object, as deflated ones."""
    done = subprocess.run([program, str(path)], capture_output=True, check=False)
    if b"missing SOPClassUID" in done.stderr:
        return -1
    return sum(line.startswith(b"Error") for line in done.stderr.splitlines())
