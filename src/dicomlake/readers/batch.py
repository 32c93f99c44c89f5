"""A batch: many objects read into rows that are ready for the lake.

Series numbers are dealt out beforehand, so what a batch writes is final for every series that lies
in it completely; the writer of the lake only renumbers those that it has to merge.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Found, Object
from dicomlake.dicom.values import Row
from dicomlake.dicom.walk import FIRST_READ, sniff
from dicomlake.errors import DataError, ServiceError
from dicomlake.lake.files import order_of
from dicomlake.readers.contents import ContentRows, ContentsReader, Wants, chosen
from dicomlake.readers.fold import Folded, Folder, columns
from dicomlake.readers.header import Header, HeaderReader, Problem

DICOMDIR = "1.2.840.10008.1.3.10"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SENT = "pacs://"
"""What URIs of objects begin with that an archive sent: of one of them the last one counts."""
_NAMED = (".dcm", ".dicom", ".ima", ".dic")


def key_of(*parts: str) -> int:
    """A stable positive 63-bit number for a patient or study.

    >>> key_of("HOSPITAL", "12") == key_of("HOSPITAL", "12") != key_of("", "12")
    True
    """
    joined = "\0".join(parts).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big") >> 1


def moment(microseconds: int) -> datetime:
    """A time of the file system as the lake stores it."""
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(slots=True)
class SeriesPart:
    """The instances of one series in a batch: counts of their rows, and their own rows."""

    counts: Counter[int] = field(default_factory=Counter)
    instances: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """Where in `instances` the object of a SOPInstanceUID is."""
    wanted: dict[str, Wants] = field(default_factory=dict)
    """By SOPInstanceUID, which readers of contents want the object."""


@dataclass(slots=True)
class Batch:
    """What was read: series by SeriesInstanceUID, failures, and files without an object."""

    series: dict[str, SeriesPart] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    """Of headers."""

    contents: ContentsReader = field(default_factory=lambda: ContentsReader(()))
    """Reads what is inside of objects."""

    def add(self, found: Found, thing: Object, reader: HeaderReader) -> None:
        """Read one object into the batch; what cannot be read becomes a failure.

        ServiceError passes when the source is away.
        """
        if thing.problem:
            self.fail(found, thing.uri, "open", thing.problem)
            return
        try:
            self._add(found, thing, reader)
        except DataError as error:
            self.fail(found, thing.uri, "read", str(error))
        except OSError as error:
            self.fail(found, thing.uri, "open", f"cannot be read: {error.strerror or 'I/O error'}")
        except ServiceError:
            raise  # the source is away, which says nothing about the object
        except Exception as error:  # noqa: BLE001 - one object must never stop a run
            self.fail(found, thing.uri, "read", f"not readable ({type(error).__name__})")

    def _add(self, found: Found, thing: Object, reader: HeaderReader) -> None:
        if thing.header is not None:
            self._take(found, thing, reader.read_json(thing.header), reader)
            return
        named = thing.uri.partition("::")[0].lower().endswith(_NAMED)
        if not thing.size:
            if named:
                raise DataError("the file is empty")
            self.skip(found, thing.uri, "not DICOM")
            return
        head = thing.fetch(0, min(thing.size, FIRST_READ))
        if not sniff(head):
            if named:
                raise DataError("named like a DICOM file, but it is none")
            self.skip(found, thing.uri, "not DICOM")
            return

        def fetch(offset: int, length: int) -> bytes:
            if offset == 0 and length <= len(head):
                return head[:length]
            return thing.fetch(offset, length)

        self._take(found, thing, reader.read(fetch, thing.size), reader)

    def _take(self, found: Found, thing: Object, header: Header, reader: HeaderReader) -> None:
        """Take an object whose header was read."""
        first = header.first
        if "DirectoryRecordSequence" in first or first.get("MediaStorageSOPClassUID") == DICOMDIR:
            self.skip(found, thing.uri, "DICOMDIR")
            return
        uid = _uid(header)
        series = first.get("SeriesInstanceUID")
        if not series or not uid:
            missing = "SOPInstanceUID" if series else "SeriesInstanceUID"
            cuts = [p for path, _, p in header.problems if not path and "too early" in p]
            why = f": {cuts[0]}" if cuts else ""
            raise DataError(f"{missing} is missing{why}")
        part = self.series.setdefault(series, SeriesPart())
        place = part.places.get(uid)
        if place is not None:
            self._repeat(found, thing, header, part, place, reader)
            return
        part.places[uid] = len(part.instances)
        part.counts.update(header.rows)
        part.instances.append(_instance(found, thing, header))
        self._want(part, uid, header)
        self.objects += 1
        self.bytes += len(header.json)

    def _want(self, part: SeriesPart, uid: str, header: Header) -> None:
        if wanted := self.contents.wanted(header.first):
            part.wanted[uid] = wanted
        else:
            part.wanted.pop(uid, None)

    def _repeat(
        self,
        found: Found,
        thing: Object,
        header: Header,
        part: SeriesPart,
        place: int,
        reader: HeaderReader,
    ) -> None:
        """Note an object that was met before; the copy with the first URI is the one that stays."""
        held, said = part.instances[place], _instance(found, thing, header)
        if not said["uri"].startswith(SENT) or held["uri"] != said["uri"]:
            later = max((said, held), key=lambda row: str(row["uri"]))
            row = {name: later[name] for name in ("uri", "size", "modified", "SOPInstanceUID")}
            series = header.first["SeriesInstanceUID"]
            self.files.append({**row, "state": "duplicate", "SeriesInstanceUID": series})
            if later is said:
                return
        part.counts.subtract(reader.read_json(orjson.loads(held["header"])).rows)
        part.counts.update(header.rows)
        part.counts = +part.counts
        part.instances[place] = said
        self._want(part, said["SOPInstanceUID"], header)

    def fail(self, found: Found, uri: str, stage: str, reason: str) -> None:
        """Note an object that could not be read."""
        self.failures.append(
            {
                "uri": uri,
                "size": found.size,
                "modified": moment(found.modified),
                "stage": stage,
                "reason": reason,
            }
        )

    def skip(self, found: Found, uri: str, state: str) -> None:
        """Note a file without an object of its own."""
        self.files.append(
            {"uri": uri, "size": found.size, "modified": moment(found.modified), "state": state}
        )


def _uid(header: Header) -> str | None:
    first = header.first
    return first.get("SOPInstanceUID") or first.get("MediaStorageSOPInstanceUID")


def _instance(found: Found, thing: Object, header: Header) -> dict[str, Any]:
    first = header.first
    return {
        "SOPInstanceUID": _uid(header),
        "SOPClassUID": first.get("SOPClassUID") or first.get("MediaStorageSOPClassUID"),
        "InstanceNumber": _whole(first.get("InstanceNumber")),
        "TransferSyntaxUID": header.syntax or None,
        "Rows": _whole(first.get("Rows")),
        "Columns": _whole(first.get("Columns")),
        "NumberOfFrames": _whole(first.get("NumberOfFrames")),
        "uri": thing.uri,
        "offset": thing.offset,
        "size": thing.size,
        "modified": moment(found.modified),
        "problems": problems(header.problems),
        "header": header.json.decode(),
    }


def _whole(text: str | None) -> int | None:
    try:
        number = int(text) if text else None
    except ValueError:
        return None
    return number if number is None or abs(number) < 1 << 31 else None


def series_row(uid: str, rows: list[Folded], instances: int) -> dict[str, Any]:
    """The row of `series` that the rows of a series make, without number, run and source."""
    said = columns(rows)
    said["SeriesInstanceUID"] = uid
    patient, study = said.get("PatientID"), said.get("StudyInstanceUID")
    said["study_key"] = key_of("study", study or uid)
    said["patient_key"] = (
        key_of("patient", said.get("IssuerOfPatientID") or "", patient)
        if patient
        else key_of("patient of study", study or uid)
    )
    said["instances"] = instances
    return said


@dataclass(slots=True)
class Rows:
    """The tables of a batch: `series`, and by name those of its children that have rows."""

    series: pa.Table
    children: dict[str, pa.Table]


def rows_of(batch: Batch, reader: HeaderReader, folder: Folder, first_id: int) -> Rows:
    """The rows of a batch; its series are numbered from `first_id` in order of their UIDs."""
    series: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    folded: list[tuple[int, list[Folded]]] = []
    kept: list[tuple[int, list[int], list[int]]] = []
    contents = ContentRows()
    folder.follow(reader.rows)
    for number, (uid, part) in enumerate(sorted(batch.series.items()), first_id):
        numbers, some, shown = folder.fold(part.counts)
        series.append({"series_id": number, **series_row(uid, shown, len(part.instances))})
        _read_contents(batch.contents, part, number, contents)
        instances += ({"series_id": number, **row} for row in part.instances)
        folded.append((number, some))
        kept.append((number, numbers, [part.counts[n] for n in numbers]))
    elements = pa.concat_tables([_kept_table(kept, reader.rows), _folded_table(folded)])
    children = {
        "instances": pa.Table.from_pylist(instances, tables.INSTANCES),
        "elements": _sorted(elements),
        **{name: rows.sort_by(order_of(name)) for name, rows in contents.tables()},
    }
    return Rows(pa.Table.from_pylist(series, tables.SERIES), children)


def _read_contents(
    reader: ContentsReader, part: SeriesPart, number: int, rows: ContentRows
) -> None:
    """Read what is inside of the objects of a series; problems are added to its instances."""
    for uid, places in chosen(part.wanted).items():
        instance = part.instances[part.places[uid]]
        contents = reader.read(instance["header"], places)
        rows.add(number, uid, contents)
        instance["problems"] += problems(contents.problems)


def problems(found: Iterable[Problem]) -> list[dict[str, str]]:
    """Problems as rows of `instances` have them."""
    return [{"path": path, "vr": vr, "problem": problem} for path, vr, problem in found]


def _kept_table(kept: list[tuple[int, list[int], list[int]]], rows: list[Row]) -> pa.Table:
    """Rows that many series share, converted once and then taken by number."""
    numbers = np.array([n for _, some, _ in kept for n in some], np.int64)
    ids = np.repeat(np.array([i for i, _, _ in kept], np.int64), [len(some) for _, some, _ in kept])
    used, places = np.unique(numbers, return_inverse=True)
    path, vr, position, text, number, moment_, value, scheme, meaning, unread = (
        zip(*(rows[n] for n in used.tolist()), strict=True) if len(used) else ((),) * 10
    )
    nothing = (None,) * len(used)
    columns = (path, vr, position, text, number, nothing, moment_, nothing, value, scheme, meaning)
    arrays = [
        pa.array(column, field.type)
        for column, field in zip(columns, list(tables.ELEMENTS)[1:12], strict=True)
    ]
    unique = pa.Table.from_arrays(
        [*arrays, pa.array(unread, pa.bool_())],
        schema=pa.schema([f for f in tables.ELEMENTS if f.name not in ("series_id", "instances")]),
    )
    taken = unique.take(pa.array(places.reshape(-1)))
    counts = pa.array([c for _, _, some in kept for c in some], pa.int64())
    taken = taken.add_column(0, tables.ELEMENTS.field("series_id"), pa.array(ids))
    return taken.add_column(12, tables.ELEMENTS.field("instances"), counts)


def elements_table(series: Iterable[tuple[int, list[Folded]]]) -> pa.Table:
    """Rows of `elements` for numbered series, ordered by path, value and series."""
    return _sorted(_folded_table(series))


def _folded_table(series: Iterable[tuple[int, list[Folded]]]) -> pa.Table:
    lists: list[list[Any]] = [[] for _ in tables.ELEMENTS.names]
    for number, rows in series:
        if rows:
            lists[0] += [number] * len(rows)
            for column, values in zip(lists[1:], zip(*rows, strict=True), strict=True):
                column.extend(values)
    arrays = [pa.array(v, f.type) for v, f in zip(lists, tables.ELEMENTS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=tables.ELEMENTS)


def _sorted(elements: pa.Table) -> pa.Table:
    return elements.sort_by([(c, "ascending") for c in ("path", "text", "number", "series_id")])


def folded_of(table: pa.Table) -> Iterator[Folded]:
    """The rows of `elements` in a table, without their numbers."""
    names = tables.ELEMENTS.names[1:]
    for values in zip(*(table.column(n).to_pylist() for n in names), strict=True):
        yield Folded(*values)
