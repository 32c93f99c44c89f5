"""Answers to searches: rows of the lake as DICOM JSON (QIDO-RS, PS3.18 10.6.3 and Annex F).

The engine finds the rows and counts them. What a row shows comes from the table `series` where that
has a column, else from `elements`; items of sequences and private attributes from the header of the
first object. Answers with instances come from their headers. No file is opened.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.api import Lake
from dicomlake.dicom import dictionary
from dicomlake.query import And, Exists, Node, OneOf, Query
from dicomlake.query.headers import keys_at
from dicomlake.readers.attributes import key_of
from dicomlake.web.dicomweb.keys import Search
from dicomlake.web.dicomweb.linking import Header, address, linked
from dicomlake.web.dicomweb.shelf import Shelf, has_homeless, known_paths, numbers, quoted, rows_of

STUDY = """StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy
ReferringPhysicianName TimezoneOffsetFromUTC StudyDescription PatientName PatientID
PatientBirthDate PatientSex StudyInstanceUID StudyID NumberOfStudyRelatedSeries
NumberOfStudyRelatedInstances""".split()
"""What every answer with studies has (PS3.18 Table 10.6.3-3)."""
SERIES = """Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID SeriesNumber
NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime
RequestAttributesSequence.ScheduledProcedureStepID
RequestAttributesSequence.RequestedProcedureID""".split()
"""What every answer with series has (PS3.18 Table 10.6.3-4)."""
INSTANCE = """SOPClassUID SOPInstanceUID InstanceAvailability AvailableTransferSyntaxUID
TimezoneOffsetFromUTC InstanceNumber Rows Columns BitsAllocated NumberOfFrames""".split()
"""What every answer with instances has (PS3.18 Table 10.6.3-5)."""

ORDER = {
    "study": ("-StudyDate", "-StudyTime", "StudyInstanceUID"),
    "series": ("-StudyDate", "StudyInstanceUID", "SeriesNumber", "SeriesInstanceUID"),
    "instance": ("SeriesInstanceUID", "InstanceNumber"),
}
"""The order of answers; UIDs come last, so that pages neither repeat nor lose any."""
_SHOWN = {
    "study": ("StudyInstanceUID", "ModalitiesInStudy", "NumberOfStudyRelatedSeries",
              "NumberOfStudyRelatedInstances"),
    "series": ("SeriesInstanceUID", "NumberOfSeriesRelatedInstances", "ModalitiesInStudy",
               "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
    "instance": ("SeriesInstanceUID", "SOPInstanceUID"),
}  # fmt: skip
_UID = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}
_PLURAL = {"study": "studies", "series": "series", "instance": "instances"}
_GIVEN = frozenset(
    [*_SHOWN["study"], *_SHOWN["series"], "InstanceAvailability", "RetrieveURL",
     "AvailableTransferSyntaxUID", "NumberOfSeriesRelatedInstances", "SpecificCharacterSet"]
)  # fmt: skip
"""Attributes that the lake counts or knows, so that they are read nowhere."""
_COLUMNS = frozenset(
    keyword for keyword in tables.SERIES_KEYWORDS if dictionary.vr_of(keyword) != "DT"
)
_TEXTUAL = frozenset(["DS", "IS"])
UTF8: Header = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}


@dataclass(slots=True)
class Found:
    """Rows of an answer in DICOM JSON, and how many there are in all."""

    rows: list[Header] = field(default_factory=list)
    total: int = 0
    offset: int = 0

    @property
    def left(self) -> int:
        """How many come after these rows."""
        return max(0, self.total - self.offset - len(self.rows)) if self.rows else 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A search at a level, and which UIDs its address names; `root`: where the service is."""

    level: str
    search: Search
    root: str
    within: frozenset[str] = frozenset()

    @property
    def paths(self) -> list[str]:
        """The attributes of a row."""
        wanted = {"study": STUDY, "series": SERIES, "instance": INSTANCE}[self.level]
        if self.level != "study" and "StudyInstanceUID" not in self.within:
            wanted = [*STUDY, *wanted]
        if self.level == "instance" and "SeriesInstanceUID" not in self.within:
            wanted = [*wanted, *SERIES]
        uids = ["StudyInstanceUID"] if self.level == "series" else []
        uids += ["StudyInstanceUID", "SeriesInstanceUID"] if self.level == "instance" else []
        return list(dict.fromkeys([*wanted, *uids, *self.search.fields]))


def answer(shelf: Shelf, asked: Asked) -> Found:
    """What a search finds."""
    lake, search = shelf.lake, asked.search
    if lake is None:
        return Found()
    order, uid = ORDER[asked.level], _UID[asked.level]
    deep = search.offset > 0 and asked.level != "instance"
    shown = (uid,) if deep else _SHOWN[asked.level]
    most = max(1, search.offset + search.limit)
    said = lake.engine.answer(Query(_addressed(lake, search), asked.level, shown, order, most))
    total = said.totals[_PLURAL[asked.level]]
    page = said.rows.slice(search.offset, search.limit).to_pylist()
    if not page:
        return Found([], total, search.offset)
    if deep:  # counts are only asked of the rows that are shown
        here = OneOf(uid, tuple(row[uid] for row in page))
        rows = lake.engine.answer(Query(here, asked.level, _SHOWN[asked.level], order)).rows
        page = rows.to_pylist()
    make = {"study": _studies, "series": _series, "instance": _instances}[asked.level]
    return Found(make(shelf, lake, asked, page), total, search.offset)


def _addressed(lake: Lake, search: Search) -> Node | None:
    """The condition of a search; what has no StudyInstanceUID has no address, so it is left out."""
    if not has_homeless(lake):
        return search.where
    there = Exists("StudyInstanceUID")
    return there if search.where is None else And((there, search.where))


# Studies and series


def _studies(shelf: Shelf, lake: Lake, asked: Asked, page: list[dict[str, Any]]) -> list[Header]:
    members: dict[str, list[dict[str, Any]]] = {row["StudyInstanceUID"]: [] for row in page}
    for row in _rows(lake, asked, "StudyInstanceUID", members):
        members[row["StudyInstanceUID"]].append(row)
    read = _Details(lake, asked, [row for rows in members.values() for row in rows])
    found = []
    for row in page:
        study = row["StudyInstanceUID"]
        made = read.made(members[study])
        _count(made, row, ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"))
        _modalities(made, row)
        _availability(made, all(r["complete"] in ("all", "some") for r in members[study]))
        found.append(_finished(made, address(asked.root, study)))
    return found


def _series(shelf: Shelf, lake: Lake, asked: Asked, page: list[dict[str, Any]]) -> list[Header]:
    uids = [row["SeriesInstanceUID"] for row in page]
    by_uid = {r["SeriesInstanceUID"]: r for r in _rows(lake, asked, "SeriesInstanceUID", uids)}
    read = _Details(lake, asked, list(by_uid.values()))
    found = []
    for row in page:
        member = by_uid[row["SeriesInstanceUID"]]
        made = read.made([member])
        _count(made, row, ("NumberOfSeriesRelatedInstances",))
        if "StudyInstanceUID" not in asked.within:
            _count(made, row, ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"))
            _modalities(made, row)
        _availability(made, member["complete"] in ("all", "some"))
        url = address(asked.root, member["StudyInstanceUID"], member["SeriesInstanceUID"])
        found.append(_finished(made, url))
    return found


def _rows(lake: Lake, asked: Asked, uid: str, uids: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of the table `series`, those first that come first in their study."""
    columns = ["StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"]
    columns += [path for path in asked.paths if path in _COLUMNS]
    listed = ", ".join(f'"{column}"' for column in dict.fromkeys(columns))
    rows = rows_of(
        lake,
        f"select series_id, complete, instances, {listed} from series "
        f'where "{uid}" in ({", ".join(map(quoted, uids))})',
    )
    return sorted(
        rows,
        key=lambda r: (r["SeriesNumber"] is None, r["SeriesNumber"], r["SeriesInstanceUID"] or ""),
    )


class _Details:
    """Reads what the rows of a page show, all of them at a time."""

    def __init__(self, lake: Lake, asked: Asked, rows: list[dict[str, Any]]) -> None:
        self._lake, self._asked = lake, asked
        paths = [path for path in asked.paths if path not in _GIVEN or path in _COLUMNS]
        self._wide = [path for path in paths if path in _COLUMNS]
        self._long = [path for path in paths if path not in _COLUMNS and _is_plain(path)]
        self._deep = [path for path in paths if path not in self._wide + self._long]
        ids = [row["series_id"] for row in rows]
        self._values = self._elements(ids)
        self._headers = self._first_headers(ids)
        self._constant = self._constants(ids)

    def made(self, rows: list[dict[str, Any]]) -> Header:
        """The attributes of one answer, which is about these series."""
        made: Header = dict(UTF8)
        for path in self._wide:
            values = (row[path] for row in rows)
            value = next((value for value in values if value is not None), None)
            made[key_of(path)] = element_of(path, value)
        for path in self._long:
            found = (self._values.get((row["series_id"], path)) for row in rows)
            key = "00083002" if path == "TransferSyntaxUID" else key_of(path)
            made[key] = next((each for each in found if each), {"vr": dictionary.vr_of(path)})
        self._add_deep(made, rows)
        return made

    def _add_deep(self, made: Header, rows: list[dict[str, Any]]) -> None:
        headers = {r["series_id"]: h for r in rows if (h := self._header(r)) is not None}
        for header in headers.values():
            for path in self._deep:
                pick(made, header, path)
        if self._asked.search.everything and headers:
            plain = [
                {tag: e for tag, e in header.items() if tag in self._constant.get(number, ())}
                for number, header in headers.items()
            ]
            for tag, element in plain[0].items():
                if all(other.get(tag) == element for other in plain[1:]):
                    made.setdefault(tag, element)

    def _header(self, row: dict[str, Any]) -> Header | None:
        found = self._headers.get(row["series_id"])
        if found is None:
            return None
        uid, header = found
        study, series = row["StudyInstanceUID"], row["SeriesInstanceUID"]
        return linked(header, address(self._asked.root, study, series, uid))

    def _elements(self, ids: list[int]) -> dict[tuple[int, str], Header]:
        """Values of public attributes at the top, the most frequent ones where they differ."""
        paths = [path for path in self._long if path in known_paths(self._lake)]
        if not paths:
            return {}
        rows = rows_of(
            self._lake,
            "select series_id, path, vr, coalesce(position, 1) as position, text, number "
            f"from all_elements where series_id in {numbers(ids)} and not folded "
            f"and path in ({', '.join(map(quoted, paths))}) "
            "and (text is not null or number is not null) "
            "order by series_id, path, position, instances desc, text, number",
        )
        found: dict[tuple[int, str], Header] = {}
        for row in rows:
            key = (row["series_id"], row["path"])
            element = found.setdefault(key, {"vr": row["vr"], "Value": []})
            if len(element["Value"]) == row["position"] - 1:
                element["Value"].append(_value(row["vr"], row["text"], row["number"]))
        return {key: element for key, element in found.items() if element["Value"]}

    def _first_headers(self, ids: list[int]) -> dict[int, tuple[str, Header]]:
        """The header of one object of each series that has what only headers say."""
        if not (self._deep or self._asked.search.everything):
            return {}
        if not self._asked.search.everything:
            roots = {dictionary.segments(path)[0] for path in self._deep}
            roots &= known_paths(self._lake)
            listed = ", ".join(map(quoted, roots))
            if not roots:
                return {}
            rows = rows_of(
                self._lake,
                f"select distinct series_id from all_elements where path in ({listed}) "
                f"and series_id in {numbers(ids)}",
            )
            ids = [row["series_id"] for row in rows]
        if not ids:
            return {}
        rows = rows_of(
            self._lake,
            'with f as (select series_id, min("SOPInstanceUID") as uid from all_instances '
            f"where series_id in {numbers(ids)} group by series_id) "
            'select i.series_id, i."SOPInstanceUID" as uid, i.header '
            "from all_instances i join f on "
            f'f.series_id = i.series_id and f.uid = i."SOPInstanceUID" '
            f"where i.series_id in {numbers(ids)}",
        )
        return {row["series_id"]: (row["uid"], orjson.loads(row["header"])) for row in rows}

    def _constants(self, ids: list[int]) -> dict[int, set[str]]:
        """Tags of public attributes at the top that are the same in all instances of a series."""
        if not self._asked.search.everything:
            return {}
        rows = rows_of(
            self._lake,
            "select e.series_id, e.path from all_elements e join series s using (series_id) "
            f"where e.series_id in {numbers(ids)} and not contains(e.path, '.') "
            "and not starts_with(e.path, '(') group by e.series_id, e.path, e.position "
            "having count(*) = 1 and max(e.instances) >= max(s.instances) "
            "and not bool_or(e.folded)",
        )
        found: dict[int, set[str]] = {}
        for row in rows:
            found.setdefault(row["series_id"], set()).add(key_of(row["path"]))
        return found


def _is_plain(path: str) -> bool:
    """Whether `elements` says all of an attribute: public, at the top, and with values."""
    if not dictionary.WORD.fullmatch(path):
        return False
    return dictionary.kind_of(dictionary.vr_of(path)) not in ("sequence", "binary", "unknown")


def _count(made: Header, row: dict[str, Any], keywords: Iterable[str]) -> None:
    for keyword in keywords:
        value = row[keyword]
        made[key_of(keyword)] = {"vr": "IS", "Value": [int(value)]}


def _modalities(made: Header, row: dict[str, Any]) -> None:
    said = row["ModalitiesInStudy"]
    made["00080061"] = {"vr": "CS", "Value": said.split("\\")} if said else {"vr": "CS"}


def _availability(made: Header, at_hand: bool) -> None:
    """What has to be fetched from an archive first is NEARLINE (PS3.3 C.4.23.1.1)."""
    made["00080056"] = {"vr": "CS", "Value": ["ONLINE" if at_hand else "NEARLINE"]}


def _finished(made: Header, url: str) -> Header:
    made["00081190"] = {"vr": "UR", "Value": [url]}
    return dict(sorted(made.items()))


# Instances


def _instances(shelf: Shelf, lake: Lake, asked: Asked, page: list[dict[str, Any]]) -> list[Header]:
    series = sorted({row["SeriesInstanceUID"] for row in page})
    rows = rows_of(
        lake,
        'select series_id, "StudyInstanceUID", "SeriesInstanceUID" from series '
        f'where "SeriesInstanceUID" in ({", ".join(map(quoted, series))})',
    )
    of = {row["series_id"]: row for row in rows}
    wanted = pa.table({"uid": sorted({row["SOPInstanceUID"] for row in page})})
    listed = ", ".join(map(quoted, wanted.column("uid").to_pylist()))
    said = rows_of(
        lake,
        'select series_id, "SOPInstanceUID", "TransferSyntaxUID", uri, header from all_instances '
        f'where series_id in {numbers(of)} and "SOPInstanceUID" in ({listed})',
    )
    by_uid = {(of[r["series_id"]]["SeriesInstanceUID"], r["SOPInstanceUID"]): r for r in said}
    counts = _counts(lake, asked, of)
    found = []
    for row in page:
        member = by_uid[row["SeriesInstanceUID"], row["SOPInstanceUID"]]
        about = of[member["series_id"]]
        uids = (about["StudyInstanceUID"], about["SeriesInstanceUID"], row["SOPInstanceUID"])
        url = address(asked.root, *uids)
        made = _instance(asked, linked(orjson.loads(member["header"]), url))
        if counts:
            made |= counts[about["SeriesInstanceUID"]]
        made["00080018"] = {"vr": "UI", "Value": [row["SOPInstanceUID"]]}
        if syntax := member["TransferSyntaxUID"]:
            made["00083002"] = {"vr": "UI", "Value": [syntax]}
        _availability(made, shelf.near(member))
        found.append(_finished(made, url))
    return found


def _counts(lake: Lake, asked: Asked, of: dict[int, dict[str, Any]]) -> dict[str, Header]:
    """What the lake counts in series and studies, where the address names neither."""
    if "SeriesInstanceUID" in asked.within:
        return {}
    uids = tuple(row["SeriesInstanceUID"] for row in of.values())
    rows = lake.engine.answer(Query(OneOf("SeriesInstanceUID", uids), "series", _SHOWN["series"]))
    found: dict[str, Header] = {}
    for row in rows.rows.to_pylist():
        made: Header = {}
        _count(made, row, ("NumberOfSeriesRelatedInstances",))
        if "StudyInstanceUID" not in asked.within:
            _count(made, row, ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"))
            _modalities(made, row)
        found[row["SeriesInstanceUID"]] = made
    return found


def _instance(asked: Asked, header: Header) -> Header:
    """The attributes of one instance, out of its header."""
    if asked.search.everything:
        return {**header, **UTF8}
    made: Header = dict(UTF8)
    for path in asked.paths:
        if path in _ELSEWHERE:
            continue
        pick(made, header, path)
        if dictionary.WORD.fullmatch(path):
            made.setdefault(key_of(path), {"vr": dictionary.vr_of(path)})
    return made


_ELSEWHERE = _GIVEN - {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
_ELSEWHERE |= {"TransferSyntaxUID"}


# Values


def pick(made: Header, header: Header, path: str) -> None:
    """Add the attribute at a path of a header to an answer, with nothing else of its sequences.

    >>> made = {}
    >>> pick(made, {"00080060": {"vr": "CS", "Value": ["CT"]}}, "Modality")
    >>> made
    {'00080060': {'vr': 'CS', 'Value': ['CT']}}
    """
    _pick(made, header, dictionary.segments(path))


def _pick(made: Header, item: Header, segments: list[str]) -> None:
    first, *rest = segments
    if first == "*":
        return
    for key in keys_at(item, first):
        element = item[key]
        if dictionary.PRIVATE.fullmatch(first):
            creator = f"{key[:4]}00{key[4:6]}"
            made.setdefault(creator, item.get(creator, {"vr": "LO"}))
        if not rest:
            made[key] = element
        elif element.get("vr") == "SQ":
            _into(made, key, element, rest)


def _into(made: Header, key: str, element: Header, rest: list[str]) -> None:
    """Add what lies inside of the items of a sequence."""
    items = element.get("Value", [])
    here = made.setdefault(key, {"vr": "SQ", "Value": [{} for _ in items]})
    for mine, item in zip(here.get("Value", []), items, strict=False):
        _pick(mine, item, rest)


def element_of(keyword: str, value: Any) -> Header:
    """An element of DICOM JSON of a value as the table `series` has it (PS3.18 F.2.2).

    >>> element_of("StudyDate", dt.date(2024, 1, 31))
    {'vr': 'DA', 'Value': ['20240131']}
    >>> element_of("PatientName", "A^B==C")
    {'vr': 'PN', 'Value': [{'Alphabetic': 'A^B', 'Phonetic': 'C'}]}
    """
    vr = dictionary.vr_of(keyword)
    if value is None:
        return {"vr": vr}
    values = value if isinstance(value, list) else [value]
    found = [_plain(vr, each) for each in values]
    return {"vr": vr, "Value": found} if found else {"vr": vr}


def _plain(vr: str, value: Any) -> Any:
    if isinstance(value, dt.date):
        return f"{value.year:04}{value.month:02}{value.day:02}"
    if vr == "PN" and isinstance(value, str):
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("=", 2), strict=False)
        return {name: group for name, group in groups if group}
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _value(vr: str, text: str | None, number: float | None) -> Any:
    """A value as the table `elements` has it."""
    if vr in _TEXTUAL or text is None:
        return _plain(vr, number) if number is not None else text
    return _plain(vr, text)
