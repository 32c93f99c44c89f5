"""Converting ECG files for tests, and what is in the objects that come out."""

from __future__ import annotations

import io
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomlake.contracts.converters import Asked, Converted, Original
from dicomlake.converters.ecg import EcgConverter
from dicomlake.testing.dicom import uid
from dicomlake.testing.ecgfiles import LEADS, Ecg
from dicomlake.testing.ecgfiles.binary import NUMBERS, record, sections

CONVERTER = EcgConverter()


def convert(data: bytes, name: str = "a.bin", **header: str) -> Converted:
    return CONVERTER.convert(Original(name, data), Asked(uid, header=header))


def format_of(data: bytes) -> str:
    return CONVERTER.format_of(Original("a.bin", data), Asked(uid))


def written(made: Dataset) -> bytes:
    held = io.BytesIO()
    made.save_as(held, enforce_file_format=True)
    return held.getvalue()


def leads_of(waveform: Dataset, label: str) -> dict[str, NDArray[np.int64]]:
    """Samples of the leads of a group in picovolts: whole numbers, so that nothing is rounded."""
    found = {}
    for group in waveform.WaveformSequence:
        if group.MultiplexGroupLabel != label:
            continue
        kind = {"SS": "<i2", "SL": "<i4"}[group.WaveformSampleInterpretation]
        raw = np.frombuffer(group.WaveformData, kind).astype(np.int64)
        raw = raw.reshape(group.NumberOfWaveformSamples, group.NumberOfWaveformChannels)
        for place, channel in enumerate(group.ChannelDefinitionSequence):
            assert channel.ChannelSensitivityUnitsSequence[0].CodeValue == "uV"
            step = Decimal(str(channel.ChannelSensitivity)) * 1_000_000
            base = Decimal(str(channel.ChannelBaseline)) * 1_000_000
            assert step == int(step)
            found[channel.ChannelLabel] = raw[:, place] * int(step) + int(base)
    return found


def measured(report: Dataset) -> dict[str, tuple[float, str]]:
    """Numbers of a report, but for those of leads, by the code of their concept: value, unit."""
    found: dict[str, tuple[float, str]] = {}

    def walk(item: Dataset) -> None:
        if item.get("ValueType") == "NUM":
            value = item.MeasuredValueSequence[0]
            code = item.ConceptNameCodeSequence[0].CodeValue
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found[code] = (float(value.NumericValue), unit)
        for child in item.get("ContentSequence", []):
            if "ConceptNameCodeSequence" in child and _name(child) != "122159":
                walk(child)

    walk(report)
    return found


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def measured_of_leads(report: Dataset) -> dict[str, dict[str, tuple[float, str]]]:
    """The same of each lead (TID 3714), by the code of the lead."""
    parts = [item for item in report.ContentSequence if _name(item) == "122144"]
    leads = [item for part in parts for item in part.ContentSequence if _name(item) == "122159"]
    return {item.ContentSequence[0].ConceptCodeSequence[0].CodeValue: measured(item)
            for item in leads}  # fmt: skip


def texts(report: Dataset, concept: str) -> list[str]:
    """Texts and codes of a report under a concept."""
    found: list[str] = []

    def walk(item: Dataset) -> None:
        names = item.get("ConceptNameCodeSequence")
        if names and names[0].CodeValue == concept:
            if item.ValueType == "TEXT":
                found.append(item.TextValue)
            elif item.ValueType == "CODE":
                found.append(item.ConceptCodeSequence[0].CodeValue)
        for child in item.get("ContentSequence", []):
            walk(child)

    walk(report)
    return found


def in_turn(ecg: Ecg) -> bytes:
    """An SCP-ECG record whose leads come three at a time, 250 samples each."""
    bodies = sections(ecg, compressed=False, order=0)
    listed, parts = bytes([12, 3 << 3]), []
    for i, lead in enumerate(LEADS):
        start = i // 3 * 250
        listed += struct.pack("<IIB", start + 1, start + 250, NUMBERS[lead])
        parts.append(ecg.lead(lead)[start : start + 250].astype("<i2").tobytes())
    signal = struct.pack("<HHBB", round(ecg.step * 1000), 1_000_000 // ecg.rate, 0, 0)
    signal += b"".join(struct.pack("<H", len(part)) for part in parts) + b"".join(parts)
    return record({1: bodies[1], 3: listed, 6: signal, 7: bodies[7]})


def peer(data: bytes, place: Path) -> Any:
    """What ecgdatakit, which is another program by others, reads of the same file."""
    import warnings

    from ecgdatakit.parsing.parser import FileParser

    place.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FileParser().parse(place)
