"""The tools that are compared, each in an environment of its own; none is a dependency of ours."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomlake.errors import ServiceError, UsageError


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: what pip installs for it, what its script is, what its rules promise.

    The script gets the folder of the objects, a new folder, the file of a key and the table of
    PS3.15; it cleans every file in one process under a neutral name and prints the seconds that
    took, without its start.
    """

    name: str
    packages: tuple[str, ...]
    script: str
    options: frozenset[str] = frozenset()


_AROUND = """
import sys, time, logging, warnings
from pathlib import Path
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
source, out, key, table = (Path(word) for word in sys.argv[1:5])
files = sorted(source.rglob("*.dcm"))
out.mkdir(parents=True, exist_ok=True)
{setup}
began, failed = time.perf_counter(), 0
for number, path in enumerate(files):
    target = out / f"{{number:06d}}.dcm"
    try:
{each}
    except Exception as error:
        failed += 1
        target.unlink(missing_ok=True)
print(failed, time.perf_counter() - began)
"""


def _script(setup: str, each: str) -> str:
    lines = "\n".join(f"        {line}" for line in each.strip().splitlines())
    return _AROUND.format(setup=setup.strip(), each=lines)


_NEW_TABLE = """
import csv
from dicomanonymizer import simpledicomanonymizer as dicom
actions = {
    "X": dicom.delete, "Z": dicom.empty, "D": dicom.replace, "U": dicom.replace_UID,
    "Z/D": dicom.empty_or_replace, "X/Z": dicom.delete_or_empty, "X/D": dicom.delete_or_replace,
    "X/Z/D": dicom.delete_or_empty_or_replace, "X/Z/U*": dicom.delete_or_empty_or_replace_UID,
}
rules = {}
for row in csv.DictReader(table.open(encoding="utf-8")):
    digits = row["tag"][1:5] + row["tag"][6:10]
    try:
        tag = (int(digits[:4], 16), int(digits[4:], 16))
    except ValueError:
        continue
    rules[tag] = actions[row["basic_profile"]]
"""

TOOLS: dict[str, Tool] = {
    "dicom-anonymizer": Tool(
        "dicom-anonymizer",
        ("dicom-anonymizer==2.1.0",),
        _script(
            "from dicomanonymizer import anonymize_dicom_file",
            "anonymize_dicom_file(str(path), str(target))",
        ),
    ),
    "dicom-anonymizer-2026c": Tool(
        "dicom-anonymizer-2026c",
        ("dicom-anonymizer==2.1.0",),
        _script(
            _NEW_TABLE,
            "dicom.anonymize_dicom_file(str(path), str(target), extra_anonymization_rules=rules)",
        ),
    ),
    "dicognito": Tool(
        "dicognito",
        ("dicognito==0.19.0",),
        _script(
            "import pydicom\nfrom dicognito.anonymizer import Anonymizer\n"
            "anonymizer = Anonymizer(seed=key.read_text().strip())",
            "read = pydicom.dcmread(path)\nanonymizer.anonymize(read)\nread.save_as(target)",
        ),
        frozenset(["modified_dates", "device", "patient", "descriptors", "structured"]),
    ),
    "deid": Tool(
        "deid",
        ("deid==0.4.13",),
        _script(
            "import tempfile\nfrom deid.config import DeidRecipe\n"
            "from deid.dicom import replace_identifiers\nrecipe = DeidRecipe()",
            "read = replace_identifiers(dicom_files=[str(path)], deid=recipe, save=False)[0]\n"
            "read.save_as(str(target))",
        ),
    ),
}
"""Tools of others, by name."""

_OURS = """
import sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from dicomlake.deid.assembly import cleaner_of
from dicomlake.settings import Pseudonyms
import pydicom
source, out, key, profile = (Path(word) for word in sys.argv[1:5])
files = sorted(source.rglob("*.dcm"))
out.mkdir(parents=True, exist_ok=True)
cleaner = cleaner_of(profile.name, Pseudonyms(key_file=key))
cleaner.patient((), "start")  # reads the rules of languages
patients, failed = {}, 0
ids = [str(pydicom.dcmread(path, specific_tags=["PatientID"]).PatientID) for path in files]
began = time.perf_counter()
for number, (path, patient) in enumerate(zip(files, ids)):
    if patient not in patients:
        patients[patient] = cleaner.patient((), patient)
    (out / f"{number:06d}.dcm").write_bytes(patients[patient].clean(path.read_bytes()).data)
print(failed, time.perf_counter() - began)
"""


def cache() -> Path:
    """Where environments are kept: DICOMLAKE_BENCH_CACHE, or a folder of the user's cache."""
    said = os.environ.get("DICOMLAKE_BENCH_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(said) if said else base / "dicomlake" / "bench-deid"


def python_of(tool: Tool) -> Path:
    """The Python of a tool's environment, made and filled by pip the first time."""
    folder = cache() / tool.packages[0].replace("==", "-")
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if ready.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *tool.packages], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceError(f"pip could not install {tool.packages[0]}. Is there a package index?")
    ready.touch()
    return python


def clean(tool: Tool, source: Path, out: Path, key: Path, table: Path) -> tuple[int, float]:
    """Let a tool clean a folder; how many files it failed at, and its seconds without the start."""
    python = str(python_of(tool))
    return _run([python, "-c", tool.script, *map(str, (source, out, key, table))], tool.name)


def clean_with_ours(
    source: Path,
    out: Path,
    key: Path,
    profile: str,
    workers: int = 1,
    quarantine: Path | None = None,
) -> None:
    """Let `dicomlake deid files` clean a folder."""
    words = ["deid", "files", str(source), str(out), "--profile", profile, "--key-file", str(key)]
    words += ["--workers", str(workers)]
    if quarantine:
        words += ["--quarantine", str(quarantine)]
    _ours(words)


def clean_reports(
    source: Path, out: Path, owners: Mapping[str, str], people: Path, key: Path
) -> bool:
    """Let `dicomlake deid report` clean loose reports, one after the other.

    `owners`: the PatientID of each file. False when this version has no such command. The outputs
    get the names of the inputs, which are numbers, so that they can be told apart.
    """
    with people.open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        table = Path(place, "known.csv")
        for name, patient in owners.items():
            rows = [row for row in known if row["PatientID"] == patient]
            lines = ["kind,text", *(f'{row["kind"]},"{row["text"]}"' for row in rows)]
            table.write_text("\n".join(lines) + "\n", encoding="utf-8")
            words = ["deid", "report", str(source / name), str(out / name), "--known", str(table)]
            try:
                _ours([*words, "--key-file", str(key), "--patient", patient])
            except UsageError as error:
                if "No such command" in str(error):
                    return False
    return True


def _ours(words: Sequence[str]) -> None:
    code = "from dicomlake.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UsageError(f"dicomlake {' '.join(words[:2])} failed: {done.stderr.strip()[-300:]}")


def speed_of_ours(source: Path, out: Path, key: Path, profile: str) -> tuple[int, float]:
    """Seconds of the engine alone, in one process, without its start."""
    words = [sys.executable, "-c", _OURS, str(source), str(out), str(key), profile]
    return _run(words, "dicomlake")


def _run(command: Sequence[str], name: str) -> tuple[int, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1:] or [""]
    try:
        failed, seconds = last[0].split()
        return int(failed), float(seconds)
    except ValueError as error:
        said = done.stderr.strip().splitlines()
        raise ServiceError(f"{name} stopped: {said[-1] if said else 'no reason'}") from error
