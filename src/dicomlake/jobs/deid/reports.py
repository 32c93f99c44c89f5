"""Reports that lie beside the images, made harmless: one file or a folder, with a list to review.

Narrative goes out only when somebody asks for it, and each report comes with what a reviewer should
look at. The review stays inside: what was missed still stands in the reports that it shows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dicomlake.contracts.deid import Identity, Known, Unresolved
from dicomlake.contracts.texts import Recogniser, Translator
from dicomlake.deid.documents import FORMS, Report, cleaned_report
from dicomlake.deid.documents.pdf import Ocr, rendered
from dicomlake.deid.text import LANGUAGES, UNSURE, TextWords, words_of
from dicomlake.deid.translating import translated
from dicomlake.errors import UsageError
from dicomlake.jobs.deid.doubts import Doubt, doubts_of
from dicomlake.jobs.deid.knowing import known_of_patient
from dicomlake.lake import Store

To = Literal["same", "txt", "pdf"]
MEASURED = {"known": 0.96, "unknown": 0.93}
"""Share of places that is found on made-up reports that no rule was tuned on (tests/deid), where
the header tells of the patient, and where nothing is known."""
VERSION = 1
"""Of the JSON of a review."""

_KINDS = frozenset("name id date place phone mail url age other".split())


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What happened to one report: no patient data but `pages`, the text that leaves."""

    source: str
    out: str
    """The name of the new file; "" when there is none."""
    problem: str = ""
    form: str = ""
    replaced: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often what kind was found by what."""
    doubts: tuple[Doubt, ...] = ()
    scanned: int = 0
    notes: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()

    @property
    def unsure(self) -> int:
        """Places that a rule found which is wrong now and then."""
        return sum(n for (_, by), n in self.replaced.items() if by in UNSURE)

    @property
    def state(self) -> str:
        """refused, look (there is something to look at), or read (nothing but reading it)."""
        if self.problem:
            return "refused"
        return "look" if self.doubts or self.scanned or self.notes else "read"


@dataclass(frozen=True, slots=True)
class Review:
    """What happened to all reports of a run."""

    reports: tuple[Reviewed, ...]
    languages: tuple[str, ...]
    known: int
    """How many things were known of the patient."""

    @property
    def missed(self) -> float:
        """How many places are likely to be missed, by what was measured on made-up reports."""
        share = MEASURED["known" if self.known else "unknown"]
        return sum(sum(one.replaced.values()) for one in self.reports) * (1 - share) / share

    def told(self) -> dict[str, Any]:
        """The review as JSON: counts and places, no text."""
        return {
            "version": VERSION,
            "languages": list(self.languages),
            "known": self.known,
            "share_found_when_measured": MEASURED["known" if self.known else "unknown"],
            "likely_missed": round(self.missed, 1),
            "reports": [_told(one) for one in self.reports],
        }

    def __str__(self) -> str:
        states = Counter(one.state for one in self.reports)
        return (
            f"{len(self.reports)} reports: {states['read']} to read, {states['look']} with places "
            f"to look at, {states['refused']} refused; about {self.missed:.0f} places may be missed"
        )


def deidentify_reports(
    source: Path,
    out: Path,
    known: Sequence[Known] = (),
    identity: Identity | None = None,
    *,
    languages: Sequence[str] = LANGUAGES,
    to: To = "same",
    recognisers: Sequence[Recogniser] = (),
    translator: Translator | None = None,
    ocr: Ocr | None = None,
    keep_names: bool = False,
) -> Review:
    """Make a report, or all reports of a folder, harmless; no file is ever written over.

    The files of a folder get new names, since the old ones may tell who somebody is; with
    `keep_names` they keep their own but for the ending. What cannot be made harmless is not
    written, and the review says why.
    """
    if out.exists() and not (keep_names and source.is_dir() and out.is_dir()):
        raise UsageError(f"{out} exists already. Name a new file, or a new folder.")
    if not source.exists():
        raise UsageError(f"There is no {source}. Name a report, or a folder with reports.")
    words = words_of(known, identity, languages, recognisers=recognisers)
    options = {"to": to, "ocr": ocr}
    reports = []
    if source.is_dir():
        out.mkdir(parents=True, exist_ok=True)
        files = sorted(path for path in source.rglob("*") if path.is_file())
        for number, path in enumerate(files, 1):
            name = path.stem if keep_names else f"report-{number:05d}"
            reports.append(_one(path, out, name, words, identity, translator, options))
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        reports.append(_one(source, out.parent, "", words, identity, translator, options, out.name))
    return Review(tuple(reports), words.rules.languages, len(known))


def _one(
    path: Path,
    folder: Path,
    name: str,
    words: TextWords,
    identity: Identity | None,
    translator: Translator | None,
    options: Mapping[str, Any],
    whole_name: str = "",
) -> Reviewed:
    try:
        to: To = "txt" if translator and options["to"] == "same" else options["to"]
        report = cleaned_report(path.read_bytes(), words, identity, to=to, ocr=options["ocr"])
    except Unresolved as error:
        return Reviewed(str(path), "", str(error))
    except OSError as error:
        raise UsageError(f"{path} cannot be read. Look at its rights.") from error
    doubts = doubts_of(report.pages, words.rules)
    report = _in_other_words(report, translator) if translator else report
    file = whole_name or f"{name}{FORMS[report.form]}"
    if (folder / file).exists():
        raise UsageError(f"{folder / file} exists already. Give the reports names of their own.")
    (folder / file).write_bytes(report.data)
    replaced = Counter((str(one.kind), one.found_by) for one in report.replaced)
    return Reviewed(
        str(path), file, "", report.form, dict(replaced), doubts, report.scanned, report.notes,
        report.pages,
    )  # fmt: skip


def _in_other_words(report: Report, translator: Translator) -> Report:
    """The cleaned report translated: first de-identified, then translated."""
    pages = tuple(translated(page, translator) for page in report.pages)
    notes = (*report.notes, "translated after it was cleaned")
    data = rendered(pages)[0] if report.form == "pdf" else "\n".join(pages).encode()
    return Report(data, report.form, pages, report.replaced, report.scanned, notes)


def _told(one: Reviewed) -> dict[str, Any]:
    return {
        "source": one.source,
        "out": one.out,
        "state": one.state,
        "problem": one.problem,
        "form": one.form,
        "replaced": [
            {"kind": kind, "found_by": by, "count": count, "sure": by not in UNSURE}
            for (kind, by), count in sorted(one.replaced.items())
        ],
        "unsure": one.unsure,
        "scanned": one.scanned,
        "notes": list(one.notes),
        "doubts": [
            {"page": d.page, "start": d.start, "end": d.end, "why": d.why} for d in one.doubts
        ],
    }


def known_of_table(path: Path) -> list[Known]:
    """What a CSV file with the columns kind and text tells; UsageError names a wrong line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read. Save it as CSV in UTF-8.") from error
    return list(_known_rows(path, text))


def _known_rows(path: Path, text: str) -> Iterator[Known]:
    rows = csv.DictReader(text.splitlines())
    if not {"kind", "text"} <= set(rows.fieldnames or ()):
        raise UsageError(f"{path} has no columns kind and text. Its first line must be: kind,text")
    for row in rows:
        kind: Any = (row["kind"] or "").strip()
        if kind not in _KINDS:
            raise UsageError(
                f"{path}, line {rows.line_num}: there is no kind {kind!r}. "
                f"There are: {', '.join(sorted(_KINDS))}."
            )
        if row["text"] and row["text"].strip():
            value = row["text"].strip()
            if kind == "date":
                value = re.sub(r"\D", "", value)
            yield Known(kind, value)


def known_of_lake(store: Store, PatientID: str) -> list[Known]:
    """What a lake knows of a patient; UsageError when it has none with this PatientID."""
    with store.database(only=("series",)) as db:
        keys = db.execute(
            'select distinct patient_key from series where "PatientID" = ?', [PatientID]
        ).fetchall()
    if not keys:
        raise UsageError("The lake has no patient with this PatientID. See: dicomlake query")
    return list(dict.fromkeys(k for (key,) in keys for k in known_of_patient(store, key)))
