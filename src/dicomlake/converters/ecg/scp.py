"""SCP-ECG (EN 1064, ISO 11073-91064): sections with checksums, behind a table of pointers."""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.converters.ecg.codes import MV, lead_measures
from dicomlake.converters.ecg.coding import (
    HuffmanCode,
    HuffmanTable,
    default_table,
    huffman,
    undifferenced,
)
from dicomlake.converters.ecg.recording import (
    MEDIAN,
    RHYTHM,
    Group,
    Recording,
    age,
    check_size,
    group_of,
    person,
)
from dicomlake.errors import DataError
from dicomlake.terms.leads import lead_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD = 16
"""Bytes before the body of a section: checksum, number, length, versions."""
_NOTHING = (29999, 0xFFFF)
_NOT_MEASURED = (19999, 29998, 29999, -32768)
_OF_LEADS = (
    "P", "PR", "QRS", "QT", "Q duration", "R duration", "S duration", "R' duration", "S' duration",
    "Q", "R", "S", "R'", "S'", "J", "P+", "P-", "T+", "T-", "", "", "", "", "", "VAT", "",
    "ST20", "ST60", "ST80",
)  # fmt: skip
"""Numbers of a lead in section 10 in their order; "" for those that have no code."""
_DEFAULT_TABLE = 19999
_MOST_CODES = 4096
_LANGUAGES = {
    0x01: "latin-1", 0x03: "iso8859-2", 0x0B: "iso8859-4", 0x13: "iso8859-5", 0x1B: "iso8859-6",
    0x23: "iso8859-7", 0x2B: "iso8859-8", 0x33: "iso8859-11", 0x3B: "iso8859-15",
    0x07: "utf-16-le", 0x0F: "shift_jis", 0x17: "euc_jp", 0x1F: "euc_jp", 0x27: "gb2312",
    0x2F: "cp949", 0x37: "utf-8",
}  # fmt: skip
_MAKERS = (
    "", "Burdick", "Cambridge", "Compumed", "Datamed", "Fukuda", "Hewlett-Packard",
    "Marquette Electronics", "Mortara Instruments", "Nihon Kohden", "Okin", "Quinton", "Siemens",
    "Spacelabs", "Telemed", "Hellige", "ESAOTE", "Schiller", "Picker-Schwarzer",
    "et medical devices", "Zwönitz",
)  # fmt: skip
_METRES = {1: Decimal("0.01"), 2: Decimal("0.0254"), 3: Decimal("0.001")}
_KILOGRAMS = {1: Decimal(1), 2: Decimal("0.001"), 3: Decimal("0.45359237"), 4: Decimal("0.0283495")}


@dataclass(frozen=True, slots=True)
class _Lead:
    first: int
    last: int
    code: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class _Record:
    """The sections of a record, and what later ones need of earlier ones."""

    sections: dict[int, bytes]
    encoding: str = "latin-1"
    tables: list[HuffmanTable] = field(default_factory=list)
    leads: list[_Lead] = field(default_factory=list)
    subtracted: bool = False
    beat_ms: int = 0
    fiducial: int = 0
    zones: list[tuple[int, int, int, int]] = field(default_factory=list)
    protected: list[tuple[int, int]] = field(default_factory=list)
    version: int = 0


def looks_like(head: bytes) -> bool:
    """Whether a file begins as an SCP-ECG record does: its first pointer points at byte 7."""
    if len(head) < 32:
        return False
    number, length = struct.unpack_from("<HI", head, 8)
    first, place = struct.unpack_from("<H", head, 22)[0], struct.unpack_from("<I", head, 28)[0]
    return bool(number == 0 and length >= 26 and first == 0 and place == 7)


def read(data: bytes) -> Recording:
    """What an SCP-ECG record says; DataError when it cannot be read."""
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise DataError("a section of the SCP-ECG record is truncated") from error


def _read(data: bytes) -> Recording:
    found = Recording("SCP-ECG")
    record = _Record(_sections(data, found))
    if 3 not in record.sections:
        raise DataError("it has no section 3, which names its leads")
    if 6 not in record.sections:
        long = " (its section 12, a long-term recording, is not read)" * (12 in record.sections)
        raise DataError(f"it has no section 6, which holds its rhythm{long}")
    _about(record, found)
    if record.version:
        found.format = f"SCP-ECG {record.version / 10:.1f}"
    if 2 in record.sections:
        record.tables = _tables(record.sections[2])
    _leads(record)
    _beats(record)
    median = _signal(record, 5, found) if 5 in record.sections else None
    rhythm = _signal(record, 6, found, median)
    assert rhythm is not None
    if record.subtracted:
        rhythm = _with_beats(record, rhythm, median)
    filters = {each: _filter(record, each) for each in ("low", "high", "notch")}
    for times in sorted({(lead.first, lead.last) for lead in record.leads}):
        together = [i for i, lead in enumerate(record.leads) if (lead.first, lead.last) == times]
        found.groups.append(_group(RHYTHM, record, rhythm, together, filters))
    if median is not None:
        every = list(range(len(record.leads)))
        found.groups.append(_group(MEDIAN, record, median, every, filters))
    if 7 in record.sections:
        _measurements(record.sections[7], found)
    if 10 in record.sections:
        _lead_measurements(record.sections[10], found)
    for number in (8, 11):
        if number in record.sections:
            _statements(record, number, found)
    return found


def _sections(data: bytes, found: Recording) -> dict[int, bytes]:
    """The bodies of the sections by number, their checksums tried."""
    size = struct.unpack_from("<I", data, 2)[0]
    if size > len(data):
        raise DataError(f"it is truncated: {len(data):,} of {size:,} bytes are there")
    if size < 6 + HEAD:
        raise DataError("it says that it is shorter than its own head")
    data = data[:size]
    _check(data, "the record")
    length = struct.unpack_from("<I", data, 10)[0]
    if not HEAD <= length <= size - 6:
        raise DataError("its section 0 has an impossible length")
    _check(data[6 : 6 + length], "section 0")
    bodies: dict[int, bytes] = {}
    for place in range(6 + HEAD, 6 + length - 9, 10):
        number, length_, index = struct.unpack_from("<HII", data, place)
        if number == 0 or length_ == 0:
            continue
        if number > 12:
            found.notes.append(f"section {number} of its manufacturer was left out")
            continue
        if index < 1 or length_ < HEAD or index - 1 + length_ > size:
            raise DataError(f"its section {number} lies outside of the record")
        section = data[index - 1 : index - 1 + length_]
        if struct.unpack_from("<H", section, 2)[0] != number:
            raise DataError(f"where its section {number} should be is another one")
        own = struct.unpack_from("<I", section, 4)[0]
        if not HEAD <= own <= length_:
            raise DataError(f"its section {number} has two different lengths")
        _check(section[:own], f"section {number}")
        bodies[number] = section[HEAD:own]
    return bodies


def _check(part: bytes, what: str) -> None:
    """Compare the checksum (CRC-CCITT) that a part begins with."""
    if binascii.crc_hqx(part[2:], 0xFFFF) != struct.unpack_from("<H", part)[0]:
        raise DataError(f"the checksum (CRC) of {what} is wrong: the file is damaged")


# Section 1: patient, device and moment


def _tags(body: bytes) -> list[tuple[int, bytes]]:
    found, place = [], 0
    while place + 3 <= len(body):
        tag, length = struct.unpack_from("<BH", body, place)
        if tag == 255:
            break
        place += 3
        if place + length > len(body):
            raise DataError("a field of its section 1 is longer than the section")
        found.append((tag, body[place : place + length]))
        place += length
    return found


def _about(record: _Record, found: Recording) -> None:
    tags = _tags(record.sections.get(1, b""))
    values = dict(reversed(tags))  # the first of each counts
    device = values.get(14, b"")
    if len(device) > 16:
        record.version = device[14]
        record.encoding = _LANGUAGES.get(device[16], "latin-1")
    say = {tag: _text(value, record.encoding) for tag, value in values.items()}
    found.say("PatientID", say.get(2))
    found.say("PatientName", person(say.get(0, ""), say.get(1, "")), "PN")
    found.header["PatientBirthDate"] = _date(values.get(5, b""))
    if values.get(8):
        found.say("PatientSex", {1: "M", 2: "F"}.get(values[8][0], ""), "CS")
    number, unit = _measured(values.get(4, b""))
    found.say("PatientAge", age(number, {1: "Y", 2: "M", 3: "W", 4: "D"}.get(unit, "?")), "SH")
    for keyword, tag, units in (("PatientSize", 6, _METRES), ("PatientWeight", 7, _KILOGRAMS)):
        number, unit = _measured(values.get(tag, b""))
        if number and unit in units:
            found.size(keyword, number * units[unit])
    found.say("InstitutionName", say.get(16))
    found.say("InstitutionalDepartmentName", say.get(18))
    found.say("ReferringPhysicianName", person(say.get(20, ""), ""), "PN")
    found.say("OperatorsName", person(say.get(22, ""), ""), "PN")
    found.say("CurrentPatientLocation", say.get(23))
    _device(device, record.encoding, found)
    found.moment = _moment(values)


def _text(value: bytes, encoding: str) -> str:
    """A text up to its end mark; what the encoding does not have becomes a sign for that."""
    if encoding.startswith("utf-16"):
        return value.decode(encoding, errors="replace").partition("\0")[0].strip("\ufeff ")
    return value.partition(b"\0")[0].decode(encoding, errors="replace").strip()


def _date(value: bytes) -> str:
    """A date as DICOM writes it, or ""."""
    if len(value) < 4:
        return ""
    try:
        return f"{datetime(*struct.unpack_from('<HBB', value)):%Y%m%d}"
    except ValueError:
        return ""


def _measured(value: bytes) -> tuple[Decimal | None, int]:
    """A number and the code of its unit."""
    if len(value) < 3:
        return None, 0
    number, unit = struct.unpack_from("<HB", value)
    return Decimal(number), unit


def _moment(values: dict[int, bytes]) -> datetime | None:
    day, time = values.get(25, b""), values.get(26, b"")
    if len(day) < 4 or len(time) < 3:
        return None
    zone = None
    if len(values.get(34, b"")) >= 2:
        minutes = struct.unpack_from("<h", values[34])[0]
        if abs(minutes) <= 14 * 60:
            zone = timezone(timedelta(minutes=minutes))
    year, month, date = struct.unpack_from("<HBB", day)
    try:
        return datetime(year, month, date, time[0], time[1], time[2], tzinfo=zone)
    except ValueError:
        return None


def _device(value: bytes, encoding: str, found: Recording) -> None:
    """Tag 14: the machine that recorded; its texts stand behind byte 36."""
    if len(value) < 36:
        return
    program, serial, software, _, maker, *_ = [
        _text(each, encoding) for each in value[36:].split(b"\0")
    ] + [""] * 5
    known = _MAKERS[value[7]] if value[7] < len(_MAKERS) else ""
    found.say("Manufacturer", maker or known)
    found.say("ManufacturerModelName", _text(value[8:14], encoding))
    found.say("DeviceSerialNumber", serial)
    found.say("SoftwareVersions", software or program)


def _filter(record: _Record, which: str) -> Decimal | None:
    """The frequency of a filter in Hz."""
    values = dict(_tags(record.sections.get(1, b"")))
    low, high, notch = values.get(27, b""), values.get(28, b""), values.get(29, b"")
    if which == "low" and len(low) >= 2:
        return Decimal(struct.unpack_from("<H", low)[0]) / 100 or None
    if which == "high" and len(high) >= 2:
        return Decimal(struct.unpack_from("<H", high)[0]) or None
    if which == "notch" and notch:
        return Decimal(60) if notch[0] & 1 else Decimal(50) if notch[0] & 2 else None
    return None


# Sections 2 to 6: tables, leads and samples


def _tables(body: bytes) -> list[HuffmanTable]:
    count = struct.unpack_from("<H", body)[0]
    if count == _DEFAULT_TABLE:
        return [default_table()]
    if not 1 <= count <= 64:
        raise DataError("its section 2 has no Huffman table, or too many")
    tables, place = [], 2
    for _ in range(count):
        length = struct.unpack_from("<H", body, place)[0]
        place += 2
        codes = []
        if length * 9 > len(body) - place or length == 0:
            raise DataError("its section 2 is truncated in a Huffman table")
        if length > _MOST_CODES:
            raise DataError(f"its section 2 has a Huffman table of more than {_MOST_CODES} codes")
        for _ in range(length):
            prefix, whole, mode, value, base = struct.unpack_from("<BBBhI", body, place)
            place += 9
            if not 1 <= prefix <= whole <= 32 or whole - prefix > 24:
                raise DataError("its section 2 has a Huffman code of an impossible length")
            bits = f"{base & ((1 << prefix) - 1):0{prefix}b}"[::-1]  # the first bit is the lowest
            codes.append(HuffmanCode(bits, whole - prefix, value, switch=mode == 0))
        tables.append(HuffmanTable.of(codes))
    return tables


def _leads(record: _Record) -> None:
    body = record.sections[3]
    count, flags = body[0], body[1]
    if count == 0:
        raise DataError("it has no leads")
    for place in range(2, 2 + 9 * count, 9):
        lead = _Lead(*struct.unpack_from("<IIB", body, place))
        if lead.first < 1 or lead.last < lead.first:
            raise DataError(f"its lead {len(record.leads) + 1} has no samples")
        record.leads.append(lead)
    check_size(max(lead.count for lead in record.leads), count)
    record.subtracted = bool(flags & 1)


def _beats(record: _Record) -> None:
    """Section 4: how long the reference beat is, where it was taken away, and which samples are
    stored at the full rate whatever is done to the others.
    """
    body = record.sections.get(4, b"")
    if len(body) < 6:
        return
    record.beat_ms, record.fiducial, count = struct.unpack_from("<3H", body)
    if record.subtracted:
        for place in range(6, 6 + 14 * count, 14):
            record.zones.append(struct.unpack_from("<HIII", body, place))
    for place in range(6 + 14 * count, min(6 + 22 * count, len(body) - 7), 8):
        first, last = struct.unpack_from("<II", body, place)
        if 0 < first <= last:
            record.protected.append((first, last))
    record.protected.sort()


@dataclass(frozen=True, slots=True, eq=False)
class _Signal:
    """Samples of the leads with nV of a step and us from one to the next."""

    leads: list[NDArray[np.int64]]
    step: int
    interval: int


def _signal(
    record: _Record, number: int, found: Recording, beat: _Signal | None = None
) -> _Signal | None:
    """Section 5 (the reference beat) or 6 (the rhythm, at the rate of the beat if it is sparse)."""
    body, count = record.sections[number], len(record.leads)
    step, interval, order, bimodal = struct.unpack_from("<HHBB", body)
    what = "its rhythm" if number == 6 else "its reference beat"
    if not step or not interval:
        raise DataError(f"{what} does not say how large its steps are, or how long they last")
    if order > 2:
        raise DataError(f"{what} is coded in a way that is not known")
    sparse = 1
    if number == 6 and bimodal and record.version < 30:
        sparse = _sparse(interval, beat)
    sizes = struct.unpack_from(f"<{count}H", body, 6)
    expected = [lead.count for lead in record.leads]
    if number == 5:
        expected = [round(record.beat_ms * 1000 / interval)] * count
        if not expected[0]:
            found.notes.append("its reference beat has no length and was left out")
            return None
    check_size(max(expected), count)
    spans = [_spans(record, lead, sparse) for lead in record.leads] if sparse > 1 else []
    if spans:
        expected = [sum(stored for _, stored, _ in each) for each in spans]
        interval //= sparse
        found.notes.append(_INTERPOLATED)
    place, leads = 6 + 2 * count, []
    for which, (size, samples) in enumerate(zip(sizes, expected, strict=True), 1):
        part = body[place : place + size]
        place += size
        if len(part) < size:
            raise DataError(f"lead {which} of {what} is truncated")
        lead = f"lead {which} of {what}"
        values = undifferenced(_numbers(part, samples, record.tables, lead), order)
        leads.append(_dense(values, spans[which - 1], sparse) if spans else values)
    return _Signal(leads, step, interval)


_INTERPOLATED = (
    "its rhythm was stored in two densities (bimodal): outside of the protected areas of section 4 "
    "its samples are interpolated"
)


def _sparse(interval: int, beat: _Signal | None) -> int:
    """How many samples one stands for outside of the protected areas, by the beat's interval."""
    if beat is None:
        raise DataError("its rhythm is stored in two densities (bimodal), but has no section 5")
    times, rest = divmod(interval, beat.interval)
    if rest or not 1 <= times <= 8:
        raise DataError("its rhythm is stored in two densities (bimodal) that do not fit")
    return times


def _spans(record: _Record, lead: _Lead, sparse: int) -> list[tuple[int, int, bool]]:
    """Stretches of a lead: samples, numbers stored for them, and whether they are protected."""
    found, at = [], lead.first
    for first, last in record.protected:
        first, last = max(first, at), min(last, lead.last)
        if first > last:
            continue
        if (first - at) % sparse:
            raise DataError(
                "its rhythm is stored in two densities (bimodal), and what lies between protected "
                f"areas is no multiple of {sparse} samples: this is not read"
            )
        if first > at:
            found.append((first - at, (first - at) // sparse, False))
        found.append((last - first + 1, last - first + 1, True))
        at = last + 1
    if at <= lead.last:
        rest = lead.last - at + 1
        found.append((rest, -(-rest // sparse), False))
    return found


def _dense(
    values: NDArray[np.int64], spans: list[tuple[int, int, bool]], sparse: int
) -> NDArray[np.int64]:
    """Samples at the full rate: those of protected areas as they are, others on straight lines.

    A number stands in the middle of the samples that it is for; half a step is rounded up.
    """
    parts, place = [], 0
    for samples, stored, protected in spans:
        own = values[place : place + stored]
        place += stored
        if not protected:
            middles = np.arange(stored) * sparse + sparse // 2
            line = np.interp(np.arange(samples), middles, own)
            own = np.floor(line + 0.5).astype(np.int64)
        parts.append(own)
    return np.concatenate(parts)


def _numbers(part: bytes, count: int, tables: list[HuffmanTable], what: str) -> NDArray[np.int64]:
    if tables:
        return huffman(part, count, tables, what)
    if len(part) < 2 * count:
        raise DataError(f"{what} has fewer samples than the file says: it is truncated")
    return np.frombuffer(part, "<i2", count).astype(np.int64)


def _with_beats(record: _Record, rhythm: _Signal, median: _Signal | None) -> _Signal:
    """The rhythm with the reference beat back at the places where it was taken away.

    Both are brought to one step that divides theirs, so that all numbers stay whole.
    """
    if median is None or not record.zones:
        raise DataError("its rhythm lacks a reference beat that sections 4 and 5 should have")
    if median.interval != rhythm.interval:
        raise DataError("its reference beat is sampled faster than its rhythm: this is not read")
    step = gcd(rhythm.step, median.step)
    leads = []
    for lead, rest, beat in zip(record.leads, rhythm.leads, median.leads, strict=True):
        signal = rest * (rhythm.step // step)
        added = beat * (median.step // step)
        for kind, start, middle, end in record.zones:
            # counted from 1: the beat's fiducial point lies on that of the QRS
            begin = middle - record.fiducial + 1
            first = max(start, lead.first, begin)
            last = min(end, lead.last, begin + added.size - 1)
            if kind == 0 and first <= last:
                signal[first - lead.first : last - lead.first + 1] += added[
                    first - begin : last - begin + 1
                ]
        leads.append(signal)
    return _Signal(leads, step, rhythm.interval)


def _group(
    label: str,
    record: _Record,
    signal: _Signal,
    places: list[int],
    filters: dict[str, Decimal | None],
) -> Group:
    """The leads at some places, which were recorded at one time."""
    leads = []
    for place in places:
        name, _ = lead_of(f"2:{record.leads[place].code}", "MDC")
        leads.append((name or f"SCP {record.leads[place].code}", signal.leads[place]))
    rate = Decimal(1_000_000) / signal.interval
    scales = [Decimal(signal.step) / 1000] * len(leads)
    start = record.leads[places[0]].first - 1 if label == RHYTHM else 0
    return replace(
        group_of(label, rate, leads, scales, filters=filters),
        numbers=tuple(record.leads[place].code for place in places),
        offset=Decimal(start * signal.interval) / 1000,
    )


# Sections 7, 8 and 11: measurements and statements


def _measurements(body: bytes, found: Recording) -> None:
    """Section 7. It has boundaries of waves in the reference beat: intervals lie between them."""
    blocks, spikes, rr, pp = struct.unpack_from("<BBHH", body)
    if 6 + 16 * blocks + 10 * spikes > len(body):
        raise DataError("its section 7 is truncated")
    for name, value in (("RR", rr), ("PP", pp)):
        if value and value not in _NOTHING:
            found.measure(name, value)
    if blocks:
        *waves, p_axis, qrs_axis, t_axis = struct.unpack_from("<5H3h", body, 6)
        _intervals(waves, found)
        for name, value in (("P axis", p_axis), ("QRS axis", qrs_axis), ("T axis", t_axis)):
            if abs(value) <= 360:
                found.measure(name, value)
    place = 6 + 16 * blocks
    found.spikes = [struct.unpack_from("<H", body, place + 4 * i)[0] for i in range(spikes)]
    place += 10 * spikes
    if place + 2 > len(body):
        return
    place += 2 + struct.unpack_from("<H", body, place)[0]
    if place + 7 > len(body):
        return
    rate, _, qtc, formula = struct.unpack_from("<3HB", body, place)
    if rate and rate not in _NOTHING:
        found.measure("heart rate", rate)
    if qtc and qtc not in _NOTHING:
        found.measure("QTcB" if formula == 1 else "QTc", qtc)


def _lead_measurements(body: bytes, found: Recording) -> None:
    """Section 10: for each lead its code, a length, and numbers in ms and uV."""
    blocks = _blocks(body, 0)
    if blocks is None:
        blocks = _blocks(body, 4)  # some count the head of a block in its length
    if blocks is None:
        raise DataError("its section 10 is truncated")
    for code, block in blocks:
        name, _ = lead_of(f"2:{code}", "MDC")
        values = struct.unpack_from(f"<{len(block) // 2}h", block)
        for measure, value in zip(_OF_LEADS, values, strict=False):
            if not measure or value in _NOT_MEASURED:
                continue
            volts = lead_measures()[measure][1] == MV
            if volts or value > 0:
                number = Decimal(value) / 1000 if volts else Decimal(value)
                found.measure_lead(name or f"SCP {code}", measure, number)


def _blocks(body: bytes, head: int) -> list[tuple[int, bytes]] | None:
    """Lead codes with their numbers; None when they do not fit."""
    found, place = [], 4
    for _ in range(struct.unpack_from("<H", body)[0]):
        if place + 4 > len(body):
            return None
        code, length = struct.unpack_from("<HH", body, place)
        place += 4
        length -= head
        if length < 0 or place + length > len(body):
            return None
        found.append((code, body[place : place + length]))
        place += length
    return found


def _intervals(waves: list[int], found: Recording) -> None:
    """The intervals that the boundaries (onset and end of P, of QRS, end of T; in ms) state."""
    p_on, p_off, qrs_on, qrs_off, t_off = waves
    pairs = {"P": (p_on, p_off), "PR": (p_on, qrs_on), "QRS": (qrs_on, qrs_off),
             "QT": (qrs_on, t_off)}  # fmt: skip
    there = []
    for name, (start, end) in pairs.items():
        if not {start, end} & set(_NOTHING) and 0 <= start < end:
            found.measure(name, end - start)
            there.append(name)
    if there:
        found.derivation = (
            f"{', '.join(there)}: differences of the boundaries of waves that section 7 states"
        )
        found.notes.append(found.derivation)


def _statements(record: _Record, number: int, found: Recording) -> None:
    """Section 8 (texts) or 11 (codes with texts)."""
    body = record.sections[number]
    place = 9
    for _ in range(body[8]):
        size = struct.unpack_from("<H", body, place + 1)[0]
        value = body[place + 3 : place + 3 + size]
        if len(value) < size:
            raise DataError(f"a statement of its section {number} is truncated")
        place += 3 + size
        if number == 11:
            value = value[1:]  # the type of the statement
        if record.encoding.startswith("utf-16"):
            found.state(_text(value, record.encoding))
        else:
            found.state(" ".join(_text(each, record.encoding) for each in value.split(b"\0")))
