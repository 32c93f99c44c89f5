"""The demonstration: a made-up hospital from nothing to answers."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dicomlake import plugins
from dicomlake.api import open as open_lake
from dicomlake.cli.output import drawn
from dicomlake.cli.progress import Bar
from dicomlake.errors import UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.clinical import bring
from dicomlake.jobs.clinical.searching import search
from dicomlake.jobs.converting import convert, mapping_of
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.lake import is_lake
from dicomlake.testing import hospital

QUESTIONS = (
    (
        "Who had diffusion imaging at b 800 or more? Each manufacturer hides b elsewhere.",
        '(0019,"SIEMENS MR HEADER",0C) >= 800 or (2001,"Philips Imaging DD 001",03) >= 800 or '
        "*.DiffusionBValue >= 800",
        "patient",
        "PatientID,PatientSex,PatientBirthDate,NumberOfPatientRelatedStudies",
    ),
    (
        "Who had an MR within a year after a CT?",
        "related(Modality = 'CT', Modality = 'MR', before 365 days)",
        "patient",
        "PatientID,PatientSex,PatientBirthDate,NumberOfPatientRelatedStudies",
    ),
    (
        "Which liver series do not say their body part? Three languages in one archive.",
        "BodyPartExamined missing and Modality in ('CT', 'MR') and (StudyDescription contains "
        "'liver' or StudyDescription contains 'leber' or StudyDescription contains 'foie')",
        "series",
        "PatientID,StudyDate,Modality,StudyDescription,SeriesDescription",
    ),
    (
        "Whose report measures a liver lesion of more than 3 cm? One group has both.",
        "same(item, *.[SCT:363698007 |Finding site|] within SCT:10200004 and "
        "*.[SCT:103339001 |Long axis|] > 3 cm)",
        "patient",
        "PatientID,*.[SCT:363698007],*.[SCT:103339001]",
    ),
    (
        "Who has one segmentation with both ventricles?",
        "same(instance, segment.type within SCT:87878005 and segment.type within SCT:53085002)",
        "patient",
        "PatientID,segment.label,segment.type",
    ),
)
_WHOLE = (
    "same(annotation, annotation.structure within SCT:39607008 and annotation.laterality within "
    "SCT:{} and annotation.complete = 'yes')"
)
ENRICHERS = ("codes", "hounsfield", "conformance")
"""That need nothing but the lake."""
OF_ENRICHERS = {
    "hounsfield": (
        "Which CTs show both lungs, and nothing of them is cut off? Their pixels say so.",
        f"{_WHOLE.format('7771000')} and {_WHOLE.format('24028007')}",
        "series",
        "PatientID,StudyDate,SeriesDescription,annotation.name",
    ),
    "codes": (
        "Which headers name a body part that everything else contradicts?",
        "same(finding, finding.rule = 'body part disagrees' and finding.path = 'BodyPartExamined')",
        "series",
        "PatientID,Modality,BodyPartExamined,StudyDescription,finding.expected",
    ),
}
"""Questions that can be asked once an enricher has looked at the lake."""
OF_FACTS = (
    (
        "Who had a prostatectomy, and an MR of the pelvis in the year before? Four record systems.",
        "related(same(series, Modality = 'MR' and anatomy within SCT:12921003), "
        "fact.code within SCT:90470006, before 365 days)",
        "patient",
        "PatientID,StudyDate,SeriesDescription",
    ),
)
"""Questions to images and what is known besides them."""
WORDS = "Pneumothorax"
MOST_ORIGINALS = 1000
"""Patients of whom ECGs are written, however large the hospital is."""


def show(
    folder: Path,
    patients: int,
    seed: int,
    *,
    pixels: bool,
    workers: int | None,
    ask: bool,
    console: Console,
) -> None:
    """Write the hospital below `folder`, index it into `folder`/lake, and ask."""
    archive, lake = folder / "archive", folder / "lake"
    if archive.exists() and not is_lake(lake) and any(archive.iterdir()):
        console.print(f"{archive} exists; it is indexed as it is.")
    if folder.exists() and not archive.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds other files. Name a new folder.")
    if not archive.exists():
        _write(archive, patients, seed, pixels, workers, console)
    if not ask:
        console.print(f"Index it with: dicomlake index {archive} --lake {lake}")
        return
    with Bar(console) as bar:
        report = index([archive], lake, workers=workers, progress=bar)
    counts = ", ".join(f"{n:,} {what}" for what, n in report.lake.items())
    console.print(f"Indexed in {report.seconds:.1f} s: {counts}.", soft_wrap=True)
    _ask(lake, QUESTIONS, console)
    if (folder / HEARTS).exists():
        _convert(folder / HEARTS, lake, console)
    if enriched := _enrich(lake, console):
        _ask(lake, [asked for name, asked in OF_ENRICHERS.items() if name in enriched], console)
    if (folder / CLINIC).exists():
        _bring(folder / CLINIC, lake, console)
        _ask(lake, OF_FACTS, console)
        _search(lake, console)
    _freeze(lake, console)
    console.print(
        Text(
            f"\nGo on:  dicomlake vocabulary --lake {lake}\n"
            f"        dicomlake query \"Modality = 'CT'\" --level patient --lake {lake}\n"
            f"        dicomlake failures --lake {lake}\n"
            f"        dicomlake enrichers --lake {lake}\n"
            f"        dicomlake dataset make - {folder}/ct --where \"Modality = 'CT'\" "
            f"--identified --format nifti --layout monai --lake {lake}"
        )
    )


def _write(
    archive: Path, patients: int, seed: int, pixels: bool, workers: int | None, console: Console
) -> None:
    began = time.monotonic()
    processes = workers or (len(os.sched_getaffinity(0)) if patients > 1000 else 1)
    part = archive.with_name(archive.name + ".part")
    with Bar(console) as bar:
        bar.stage("making up a hospital", patients, "patients")
        done = [0]

        def progress(now: int, total: int) -> None:
            bar.advance(now - done[0])
            done[0] = now

        made = hospital.write(
            part, patients, seed, progress=progress, pixels=pixels, processes=processes
        )
    hospital.histories(archive.with_name(CLINIC), patients, seed)
    hospital.originals(archive.with_name(HEARTS), min(patients, MOST_ORIGINALS), seed)
    part.rename(archive)
    console.print(
        f"Made up a hospital in {time.monotonic() - began:.1f} s: {made.files:,} files of "
        f"{made.patients:,} patients below {archive}."
    )


def _convert(hearts: Path, lake: Path, console: Console) -> None:
    """Convert ECGs that patients brought and a register of labels; objects of the lake now."""
    console.print("\nECGs of practices and a register of the cardiology are no DICOM yet:")
    for house in sorted((hearts / "ecg").iterdir()):
        header = {"IssuerOfPatientID": house.name}
        with Bar(console) as bar:
            report = convert(house, lake=lake, header=header, progress=bar)
        console.print(f"{house.name}: {report}", soft_wrap=True)
    mapping = mapping_of(hearts / "labels" / "register.yaml")
    with Bar(console) as bar:
        report = convert(
            hearts / "labels" / "register.csv", lake=lake, mapping=mapping, progress=bar
        )
    console.print(f"register.csv: {report}", soft_wrap=True)


def _bring(clinic: Path, lake: Path, console: Console) -> None:
    """Bring what the houses know besides images: each has a system of its own."""
    console.print("\nWhat the houses know of their patients besides images:")
    for house in sorted(path for path in clinic.iterdir() if path.is_dir()):
        mapping = house.with_suffix(".yaml")
        with Bar(console) as bar:
            taken = bring(
                lake,
                [house],
                source=house.name.lower(),
                issuer=house.name,
                mapping=mapping if mapping.exists() else None,
                progress=bar,
            )
        console.print(f"{house.name}: {taken}", soft_wrap=True)


def _search(lake: Path, console: Console) -> None:
    """Search reports for a word that most of them deny."""
    opened = open_lake(lake)
    said, denied = (
        search(opened.engine, WORDS, negated=negated, limit=10_000).num_rows
        for negated in (False, True)
    )
    console.print("\n[bold]Whose report says that there is a pneumothorax?[/bold]")
    console.print(Text(f"dicomlake facts search {WORDS} --lake {lake}", style="dim"))
    console.print(f"{said} reports say so, {denied} say that there is none.")


def _enrich(lake: Path, console: Console) -> list[str]:
    """Have the enrichers that need nothing look at the lake; names of those that could."""
    done = []
    console.print("\nWhat do the series show, and what is wrong with them? Enrichers look at all:")
    for name in ENRICHERS:
        if name in plugins.names("enrichers"):
            with Bar(console) as bar:
                report = enrich(lake, name, progress=bar)
            console.print(f"{report}.", soft_wrap=True)
            done.append(name)
    return done


CLINIC, HEARTS = "clinic", "hearts"
"""Folders beside the archive: records of the houses; ECGs and labels to convert."""
COHORT = ("mr-3t", "Modality = 'MR' and MagneticFieldStrength >= 3", "study")


def _freeze(lake: Path, console: Console) -> None:
    """Freeze one answer, so that there is a cohort to look at."""
    name, text, level = COHORT
    if name in cohorts.keeping.names(lake):
        return
    made = open_lake(lake).freeze(name, text, level, comment="made by the demonstration")
    counts = made.counts
    console.print(
        f"\nFrozen as the cohort {name}: {counts['studies']} studies of {counts['patients']} "
        f"patients. See: dicomlake cohort show {name} --lake {lake}",
        soft_wrap=True,
    )


def _ask(lake: Path, questions: Iterable[tuple[str, str, str, str]], console: Console) -> None:
    opened = open_lake(lake)
    for question, text, level, columns in questions:
        answer = opened.query(text, level, columns.split(","), limit=5)
        console.print(f"\n[bold]{question}[/bold]")
        quoted = shlex.quote(text) if '"' in text else f'"{text}"'
        command = f"dicomlake query {quoted} --level {level} --lake {lake}"
        console.print(Text(command, style="dim"), soft_wrap=True)
        plural = level if level == "series" else f"{level}s"
        console.print(f"{answer.total} {plural} in {answer.seconds * 1000:.0f} ms; the first:")
        console.print(drawn(answer.rows))
