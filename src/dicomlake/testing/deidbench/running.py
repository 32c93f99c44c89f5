"""Run the benchmark: a corpus, every tool over it, the same judge for all, and their speed."""

from __future__ import annotations

import json
import secrets
import statistics
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from dicomlake.errors import ServiceError, UsageError
from dicomlake.testing.deidbench import tools
from dicomlake.testing.deidbench.answers import RESEARCH, read_key
from dicomlake.testing.deidbench.corpus import make
from dicomlake.testing.deidbench.judging import judge
from dicomlake.testing.deidbench.scores import summary
from dicomlake.testing.dicom import encode, image, uid

OURS = "dicomlake"
NAMES = (OURS, *tools.TOOLS)
ROUNDS = 3
_IMAGES = 200
_EDGE = 128


def run(
    folder: Path,
    names: Sequence[str] = NAMES,
    *,
    patients: int = 60,
    seed: int = 1,
    profile: str = "research",
    speed: bool = True,
    thorough: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Let the tools clean the same corpus and judge each; summaries by name, and their speed.

    Everything stays in the folder: corpus, key, one folder for each tool. `thorough`: dicomlake
    cleans twice more, by more workers and with another key. `profile` is that of dicomlake.
    """
    for name in names:
        if name not in NAMES:
            raise UsageError(f"{name!r} is no tool. Use some of: {', '.join(NAMES)}.")
    say(f"making a corpus of {patients} patients")
    corpus, key = make(folder, patients, seed)
    secret = _key(folder / "key.txt")
    found: dict[str, Any] = {
        "corpus": json.loads((key / "corpus.json").read_text(encoding="utf-8")),
        "tools": {},
    }
    rates = measure(folder / "speed", names, secret, say) if speed else {}
    base = rates.get("dicognito")
    for name in names:
        say(f"{name} cleans, then it is judged")
        ratio = rates[name] / base if base and name in rates and name == OURS else None
        try:
            told = _judged(folder, name, corpus, key, secret, profile, thorough, ratio)
        except ServiceError as error:
            told = {"stopped": str(error)}
        if name in rates:
            told["files_per_second"] = rates[name]
        found["tools"][name] = told
    return found


def _key(path: Path) -> Path:
    path.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    path.chmod(0o600)
    return path


def _judged(
    folder: Path,
    name: str,
    corpus: Path,
    key: Path,
    secret: Path,
    profile: str,
    thorough: bool,
    ratio: float | None,
) -> dict[str, Any]:
    """The summary of one tool; it is judged by what the profile for research promises."""
    out = folder / name
    more: dict[str, Any] = {}
    options = set(RESEARCH)
    if name == OURS:
        quarantine = folder / f"{name}-quarantine"
        tools.clean_with_ours(corpus, out, secret, profile, quarantine=quarantine)
        if thorough:
            more = _repeated(folder, corpus, secret, profile)
        owners = {c.file.partition("/")[2]: c.patient_id_old for c in read_key(key)
                  if c.scope == "report"}  # fmt: skip
        place = out / "reports"
        if tools.clean_reports(corpus / "reports", place, owners, key / "people.csv", secret):
            options.add("reports")
        failed = 0
    else:
        table = resources.files(__package__).joinpath("data/ps315_e1_1.csv")
        with resources.as_file(table) as path:
            failed, _ = tools.clean(tools.TOOLS[name], corpus, out, secret, path)
    told = summary(judge(corpus, key, out, options, **more), ratio)
    return {**told, "failed_files": failed}


def _repeated(folder: Path, corpus: Path, secret: Path, profile: str) -> dict[str, Path]:
    """The corpus cleaned again, by two workers, and with another key."""
    found = {name: folder / f"dicomlake-{name}" for name in ("again", "workers", "other")}
    tools.clean_with_ours(corpus, found["again"], secret, profile)
    tools.clean_with_ours(corpus, found["workers"], secret, profile, workers=2)
    other = _key(folder / "other-key.txt")
    tools.clean_with_ours(corpus, found["other"], other, profile)
    return found


def measure(
    folder: Path, names: Sequence[str], secret: Path, say: Callable[[str], None]
) -> dict[str, float]:
    """Files per second of each tool, its start left out: reading, cleaning, writing CT images.

    One process each, in turns, medians. dicomlake takes the basic profile: pixels are not looked
    at, as the others do not look at them.
    """
    source = folder / "source"
    source.mkdir(parents=True)
    for at in range(_IMAGES):
        (source / f"{at:04d}.dcm").write_bytes(_slice(at))
    times: dict[str, list[float]] = {name: [] for name in names}
    table = resources.files(__package__).joinpath("data/ps315_e1_1.csv")
    with resources.as_file(table) as path:
        for turn in range(ROUNDS):
            say(f"speed, round {turn + 1} of {ROUNDS}")
            for name in names:
                out = folder / f"{name}-{turn}"
                try:
                    seconds = _timed(name, source, out, secret, path)
                except ServiceError:
                    continue
                times[name].append(seconds)
    return {name: _IMAGES / statistics.median(values) for name, values in times.items() if values}


def _timed(name: str, source: Path, out: Path, secret: Path, table: Path) -> float:
    if name == OURS:
        return tools.speed_of_ours(source, out, secret, "basic")[1]
    return tools.clean(tools.TOOLS[name], source, out, secret, table)[1]


def _slice(at: int) -> bytes:
    """A CT image with the header of a scanner and some sequences."""
    import numpy as np

    code = {"CodeValue": "77477000", "CodingSchemeDesignator": "SCT", "CodeMeaning": "CT"}
    return encode(
        image(
            SOPInstanceUID=uid("speed", at),
            PatientID=f"P{at // 20}",
            Rows=_EDGE,
            Columns=_EDGE,
            InstitutionName="Hospital",
            OperatorsName="Op^Er",
            StudyDescription="CT Thorax",
            SeriesDescription="Thorax 5mm",
            ProtocolName="Thorax",
            AcquisitionDate="20210304",
            ContentDate="20210304",
            AcquisitionTime="101500.123",
            ContentTime="101501",
            ManufacturerModelName="Scanomat",
            ProcedureCodeSequence=[code],
            RequestAttributesSequence=[{"RequestedProcedureID": "R1"}],
            ReferencedImageSequence=[
                {
                    "ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
                    "ReferencedSOPInstanceUID": uid("speed", "scout"),
                }
            ],
            PixelData=np.full((_EDGE, _EDGE), at, np.uint16),
        )
    )
