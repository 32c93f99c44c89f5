"""Erasing patients from cohorts: versions, logs, and questions that name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.jobs.attrition import steps
from dicomlake.jobs.cohorts import keeping, withdrawing
from dicomlake.jobs.cohorts.keeping import Entry, Version
from dicomlake.lake import Store
from dicomlake.lake.store import COHORTS
from dicomlake.query import Node, from_json, render
from dicomlake.query.sentence import phrase
from dicomlake.readers.batch import key_of

_ERASED = "erased"
"""What takes the place of an identifier."""
_WRITTEN = ("reason", "comment", "purpose")
"""What people wrote freely in lines of a log."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What versions know of patients: PatientIDs, UIDs of studies, and of series by cohort."""

    ids: frozenset[str]
    series: dict[str, frozenset[str]]
    studies: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """All that points at them."""
        return self.ids.union(self.studies, *self.series.values())


def forget(
    lake: str | Path, patient_keys: int | Iterable[int], studies: Iterable[str] = ()
) -> dict[str, int]:
    """Erase patients from all cohorts and from withdrawals; how many series went, by cohort.

    `studies`: StudyInstanceUIDs that are erased alone. Versions are counted anew and say how many
    patients were erased since. PatientIDs are found by their keys in questions and comments, too,
    whether the lake has them still or not. Killed in the middle, it goes on when called again.
    """
    keys = frozenset([patient_keys] if isinstance(patient_keys, int) else patient_keys)
    place, alone = Path(lake), frozenset(studies)
    if not (place / COHORTS).is_dir():
        return {}
    with keeping.changing(place):
        known = _known(place, keys, alone)
        withdrawing.forget(place, known.ids, keys)
        for name in keeping.names(place):
            _forget_log(place, name, known)
        for name in keeping.names(place):
            for number in keeping.numbers(place, name):
                _forget_rows(place, keeping.read(place, name, number), keys, alone, known)
    return {name: len(uids) for name, uids in known.series.items()}


def _known(lake: Path, keys: frozenset[int], alone: frozenset[str]) -> _Known:
    ids, studies = _known_of_lake(lake, keys)
    studies |= alone
    issuers: set[str] = {""}
    words: set[str] = set()
    series: dict[str, frozenset[str]] = {}
    for name in keeping.names(lake):
        uids: set[str] = set()
        for number in keeping.numbers(lake, name):
            version = keeping.read(lake, name, number)
            rows = keeping.rows(lake, version)
            issuers |= set(rows.column("IssuerOfPatientID").unique().to_pylist())
            words |= set(_texts(version.where)) | set(_words(version.comment))
            uids |= set(rows.filter(_of(rows, keys, alone))["SeriesInstanceUID"].to_pylist())
            rows = rows.filter(_of(rows, keys, frozenset()))
            ids |= set(rows.column("PatientID").to_pylist())
            studies |= set(rows.column("StudyInstanceUID").to_pylist())
        if uids:
            series[name] = frozenset(uids)
        for entry in keeping.log(lake, name):
            words |= set(_texts(entry.about.get("of", []))) | set(
                word for key in _WRITTEN for word in _words(entry.about.get(key, ""))
            )
    ids |= {
        word for word in words if any(key_of("patient", issuer, word) in keys for issuer in issuers)
    }
    return _Known(frozenset(ids - {""}), series, frozenset(studies - {""}))


def _known_of_lake(lake: Path, keys: frozenset[int]) -> tuple[set[str], set[str]]:
    """PatientIDs and StudyInstanceUIDs of patients who are in the lake still."""
    with Store(lake).database(only=("series",)) as db:
        db.register("erased", pa.table({"key": pa.array(sorted(keys), pa.int64())}))
        found = db.sql(
            "select distinct coalesce(\"PatientID\", ''), coalesce(\"StudyInstanceUID\", '') "
            "from series where patient_key in (select key from erased)"
        ).fetchall()
    return {patient for patient, _ in found}, {study for _, study in found}


def _texts(value: Any) -> Iterator[str]:
    """All texts of what JSON holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _words(text: str) -> list[str]:
    """Words of a sentence, with and without the marks around them."""
    return [form for word in text.split() for form in {word, word.strip(".,;:!?()'\"")}]


def _of(rows: pa.Table, keys: frozenset[int], studies: frozenset[str]) -> Any:
    """Rows of these patients, and of these studies."""
    patients = pa.array(sorted(keys), pa.int64())
    uids = pa.array(sorted(studies), pa.string())
    return pc.or_(
        pc.is_in(rows.column("patient_key"), value_set=patients),
        pc.is_in(rows.column("StudyInstanceUID"), value_set=uids),
    )


def _forget_log(lake: Path, name: str, known: _Known) -> None:
    """Lines stay in number, without what points at the patients."""
    entries = keeping.log(lake, name)
    made = [_forgotten(entry, known) for entry in entries]
    if made != entries:
        keeping.rewrite(keeping.path_of_log(lake, name), made)


def _forgotten(entry: Entry, known: _Known) -> Entry:
    about = dict(entry.about)
    for key in ("series", "of"):
        if key in about:
            about[key] = [value for value in about[key] if value not in known.words]
    for key in _WRITTEN:
        if key in about:
            about[key] = _cleaned(about[key], known)
    return replace(entry, about=about)


def _cleaned(text: str, known: _Known) -> str:
    """A text with something else in the place of whole words that point at the patients."""
    for word in sorted((word for word in known.words if word in text), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", _ERASED, text)
    return text


def _forget_rows(
    lake: Path, version: Version, keys: frozenset[int], studies: frozenset[str], known: _Known
) -> None:
    rows = keeping.rows(lake, version)
    gone = _of(rows, keys, studies)
    erased = rows.filter(_of(rows, keys, frozenset())).column("patient_key")
    patients = pc.count_distinct(erased).as_py()
    made = _without_values(version, known)
    if pc.any(gone).as_py() or made != version:
        keeping.replace_rows(lake, made, rows.filter(pc.invert(gone)), patients)


def _without_values(version: Version, known: _Known) -> Version:
    """A version whose question and comment do not name the patients."""
    comment = _cleaned(version.comment, known)
    where = _replaced(version.where, known.words)
    if where == version.where:
        return replace(version, comment=comment)
    node = from_json(where)
    assert isinstance(node, Node)
    attrition = (
        [
            {**row, "text": render(step.node), "sentence": phrase(step.node)}
            for row, step in zip(version.attrition, steps(node), strict=True)
        ]
        if version.attrition
        else []
    )
    return replace(version, comment=comment, where=where, text=render(node), attrition=attrition)


def _replaced(value: Any, words: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _ERASED if value in words else value
    if isinstance(value, list):
        return [_replaced(one, words) for one in value]
    if isinstance(value, dict):
        return {key: _replaced(one, words) for key, one in value.items()}
    return value
