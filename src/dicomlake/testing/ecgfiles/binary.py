"""SCP-ECG (EN 1064): sections with checksums, samples plain or by the default Huffman table."""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.testing.ecgfiles.made import BEAT_MS, LEADS, QRS_AT_MS, Ecg

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from numpy.typing import NDArray

NUMBERS = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8,
    "III": 61, "aVR": 62, "aVL": 63, "aVF": 64,
}  # fmt: skip
_NOTHING = 29999


def scp(
    ecg: Ecg,
    *,
    compressed: bool = True,
    differences: int = 2,
    subtracted: bool = False,
    sparse: int = 1,
    leads: Sequence[str] = LEADS,
) -> bytes:
    """An SCP-ECG record of an ECG, of these leads.

    `compressed`: coded by the default Huffman table, over differences of this order; else plain.
    `subtracted`: the median beat is taken away wherever it stands in the rhythm. `sparse`: outside
    of the areas of these beats, one number stands for so many samples, as their mean (bimodal).

    >>> from dicomlake.testing.ecgfiles import made
    >>> scp(made(1))[16:22]
    b'SCPECG'
    """
    order = differences if compressed else 0
    return record(sections(ecg, compressed, order, subtracted, leads, sparse))


def sections(
    ecg: Ecg,
    compressed: bool = True,
    order: int = 2,
    subtracted: bool = False,
    leads: Sequence[str] = LEADS,
    sparse: int = 1,
) -> dict[int, bytes]:
    """The bodies of the sections of a record by their numbers."""
    columns = [LEADS.index(lead) for lead in leads]
    beat, samples = ecg.beat[:, columns], ecg.samples[:, columns].copy()
    fiducial = QRS_AT_MS * ecg.rate // 1000 + 1
    starts: list[int] = []
    if subtracted or sparse > 1:
        starts = list(range(0, len(samples) - len(beat), ecg.rr * ecg.rate // 1000))
    for start in starts:
        samples[start : start + len(beat)] -= beat
    zones = b"".join(
        struct.pack("<HIII", 0, start + 1, start + fiducial, start + len(beat)) for start in starts
    )
    areas = protected(ecg, sparse) if sparse > 1 else []
    zones += b"".join(struct.pack("<II", *area) for area in areas)
    bodies = {
        1: _about(ecg),
        3: _lead_list(leads, len(samples), bool(starts)),
        4: struct.pack("<3H", BEAT_MS, fiducial, len(starts)) + zones,
        5: _signal(ecg, beat, compressed, order),
        6: _signal(ecg, thinned(samples, areas, sparse), compressed, order, sparse),
        7: _measurements(ecg),
        8: _statements(ecg),
        10: _lead_measurements(ecg, leads),
    }
    if compressed:
        bodies[2] = struct.pack("<H", 19999)
    return bodies


def protected(ecg: Ecg, sparse: int) -> list[tuple[int, int]]:
    """First and last sample, from 1, of the QRS complexes; between them lie multiples of `sparse`.

    >>> from dicomlake.testing.ecgfiles import made
    >>> protected(made(1), 4)[:2]
    [(93, 163), (400, 473)]
    """
    found, at = [], 1
    for start in range(0, len(ecg.samples) - len(ecg.beat), ecg.rr * ecg.rate // 1000):
        first = start + (QRS_AT_MS - 16) * ecg.rate // 1000 + 1
        last = start + (QRS_AT_MS + ecg.qrs + 16) * ecg.rate // 1000
        first -= (first - at) % sparse
        found.append((first, last))
        at = last + 1
    return found


def thinned(
    samples: NDArray[np.int16], areas: Sequence[tuple[int, int]], sparse: int
) -> NDArray[np.int16]:
    """Samples of which those outside of some areas are means of so many."""
    if sparse == 1:
        return samples
    parts, at = [], 0
    for first, last in [*areas, (len(samples) + 1, len(samples))]:
        for start in range(at, first - 1, sparse):
            mean = samples[start : min(start + sparse, first - 1)].mean(axis=0)
            parts.append(np.rint(mean)[None])
        parts.append(samples[first - 1 : last])
        at = last
    return np.concatenate(parts).astype(np.int16)


def record(bodies: dict[int, bytes]) -> bytes:
    """A record with these sections, checksums and pointers to them.

    >>> len(record({}))
    142
    """
    start = 6 + 16 + 12 * 10
    place, pointers, sections = start, struct.pack("<HII", 0, start - 6, 7), b""
    for number in range(1, 12):
        section = _section(number, bodies[number]) if number in bodies else b""
        pointers += struct.pack("<HII", number, len(section), place + 1 if section else 0)
        place += len(section)
        sections += section
    whole = _section(0, pointers, b"SCPECG") + sections
    sized = struct.pack("<I", len(whole) + 6) + whole
    return struct.pack("<H", binascii.crc_hqx(sized, 0xFFFF)) + sized


def _section(number: int, body: bytes, reserved: bytes = bytes(6)) -> bytes:
    body += b"\0" * (len(body) % 2)
    head = struct.pack("<HIBB", number, len(body) + 16, 20, 20) + reserved
    return struct.pack("<H", binascii.crc_hqx(head + body, 0xFFFF)) + head + body


def _about(ecg: Ecg) -> bytes:
    """Section 1: patient, device and moment, each behind its tag."""
    at = ecg.moment
    fields: list[tuple[int, bytes]] = [
        (0, _text(ecg.family)),
        (1, _text(ecg.given)),
        (2, _text(ecg.patient_id)),
        (4, struct.pack("<HB", ecg.age, 1)),
        (5, _date(ecg.born)),
        (8, bytes([{"M": 1, "F": 2}.get(ecg.sex, 0)])),
        (14, _device(ecg)),
        (16, _text(ecg.institution)),
        (25, _date(at)),
        (26, bytes([at.hour, at.minute, at.second])),
        (27, struct.pack("<H", 5)),  # 0.05 Hz
        (28, struct.pack("<H", 150)),
        (29, bytes([2])),  # 50 Hz
    ]
    found = b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in fields)
    return found + struct.pack("<BH", 255, 0)


def _device(ecg: Ecg) -> bytes:
    head = struct.pack("<3HBB", 1, 1, 1, 0, 255) + ecg.model.encode("ascii")[:5].ljust(6, b"\0")
    head += bytes([20, 0xA0, 0x37, 0, 1]) + bytes(16)  # protocol 2.0, UTF-8, 50 Hz
    texts = ("", ecg.serial, ecg.software, "", ecg.manufacturer)
    return head + b"\1" + b"".join(map(_text, texts))


def _text(text: str) -> bytes:
    return text.encode("utf-8") + b"\0"


def _date(day: date) -> bytes:
    return struct.pack("<HBB", day.year, day.month, day.day)


def _lead_list(leads: Sequence[str], count: int, subtracted: bool) -> bytes:
    """Section 3: all leads recorded together."""
    found = bytes([len(leads), 4 | subtracted | len(leads) << 3 & 0xFF])
    return found + b"".join(struct.pack("<IIB", 1, count, NUMBERS[lead]) for lead in leads)


def _signal(
    ecg: Ecg, samples: NDArray[np.int16], compressed: bool, order: int, sparse: int = 1
) -> bytes:
    """Section 5 or 6: scale, interval and the samples of each lead."""
    parts = []
    for lead in samples.T.astype(np.int64):
        values = np.concatenate([lead[:order], np.diff(lead, n=order)])
        parts.append(huffman(values.tolist()) if compressed else values.astype("<i2").tobytes())
    interval = sparse * 1_000_000 // ecg.rate
    head = struct.pack("<HHBB", round(ecg.step * 1000), interval, order, sparse > 1)
    return head + b"".join(struct.pack("<H", len(part)) for part in parts) + b"".join(parts)


def huffman(values: Iterable[int]) -> bytes:
    """Values by the default table of SCP-ECG, the first bit on top; even in length.

    >>> huffman([0, 1, -1, 8, -300]).hex()
    '4bfe7fffda80'
    """
    bits = "".join(map(_code, values))
    bits += "0" * (-len(bits) % 16)
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def _code(value: int) -> str:
    if value == 0:
        return "0"
    if -8 <= value <= 8:
        return "1" * abs(value) + "0" + ("0" if value > 0 else "1")
    if -128 <= value < 128:
        return "1111111110" + f"{value & 0xFF:08b}"
    return "1111111111" + f"{value & 0xFFFF:016b}"


def _measurements(ecg: Ecg) -> bytes:
    """Section 7: the boundaries of the waves, axes and pacemaker spikes."""
    on = QRS_AT_MS
    first = on - ecg.pr
    waves = (first, first + ecg.p_duration, on, on + ecg.qrs, on + ecg.qt)
    found = struct.pack("<BBHH", 1, len(ecg.spikes), ecg.rr, _NOTHING)
    found += struct.pack("<5H3h", *waves, ecg.p_axis, ecg.qrs_axis, ecg.t_axis)
    found += b"".join(struct.pack("<Hh", mark, -1500) for mark in ecg.spikes)
    found += b"".join(struct.pack("<BBHH", 2, 1, i + 1, 500) for i in range(len(ecg.spikes)))
    found += struct.pack("<H", 0)  # types of the beats
    return found + struct.pack("<3HB", ecg.heart_rate, _NOTHING, ecg.qtc, 1)


def _lead_measurements(ecg: Ecg, leads: Sequence[str]) -> bytes:
    """Section 10: 31 numbers of each lead, those that were not measured marked so."""
    places = {"QRS": 2, "QT": 3, "R duration": 5, "S duration": 6, "R": 10, "S": 11, "T+": 17}
    found = struct.pack("<HH", len(leads), 0)
    for lead in leads:
        values = [_NOTHING] * 31
        for name, value in ecg.measured(lead).items():
            values[places[name]] = value
        found += struct.pack("<HH31h", NUMBERS[lead], 62, *values)
    return found


def _statements(ecg: Ecg) -> bytes:
    """Section 8: what the device says about the ECG."""
    at = ecg.moment
    found = b"\0" + _date(at) + bytes([at.hour, at.minute, at.second, len(ecg.statements)])
    for number, statement in enumerate(ecg.statements, 1):
        text = _text(statement)
        found += struct.pack("<BH", number, len(text)) + text
    return found
