"""Waveforms: channels of ECG and other curves, and what their annotations say, from the header.

One row of `waveforms` per channel. Annotations become rows of `items` below a root of their own,
`[DICOM:WaveformAnnotationSequence]`. Samples are read by `dicomlake.readers.samples`.

A text without a code that names a measurement and nothing else ("QTc 450 ms") keeps its row of
TEXT; below it is a row of NUM whose `ValueType` and `RelationshipType` are null, because it was
read out of words and nobody sent it as a number.
"""

from __future__ import annotations

import base64
import struct
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

from dicomlake.contracts import MOST_ITEMS, Contents, coded, measured, unit_columns
from dicomlake.dicom.values import number_of
from dicomlake.readers.attributes import (
    Item,
    code,
    items,
    key_of,
    number,
    numbers,
    text,
    texts,
    values,
    whole,
    wholes,
)
from dicomlake.terms import Code
from dicomlake.terms.ecg import measure_of, said_in
from dicomlake.terms.leads import lead_of
from dicomlake.terms.mapping import normal

ANNOTATIONS = Code("WaveformAnnotationSequence", "DICOM", "Waveform Annotation Sequence")
"""Concept of the root item of annotations."""
FORMATS = {
    "SB": "b", "UB": "B", "MB": "B", "AB": "B", "SS": "h", "US": "H", "SL": "i", "UL": "I",
    "SV": "q", "UV": "Q",
}  # fmt: skip
"""How one sample is packed, by Waveform Sample Interpretation (PS3.3 C.10.9.1.5)."""


class WaveformReader:
    """Reads every object with a waveform: ECG, haemodynamic, audio, and so on."""

    name = "waveforms"
    version = 1
    after: tuple[str, ...] = ()

    def wants(self, first: Mapping[str, str]) -> str | None:
        """Every object with a waveform."""
        return "" if "WaveformSequence" in first else None

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        """Add a row per channel and per annotation."""
        for place, group in enumerate(items(header, "WaveformSequence"), 1):
            _group(group, place, contents)
        _judge(header, contents)
        annotations = items(header, "WaveformAnnotationSequence")
        if annotations:
            root = contents.item(None, ANNOTATIONS, "CONTAINER")
            for annotation in annotations[:MOST_ITEMS]:
                _annotation(annotation, root, contents)
            if len(annotations) > MOST_ITEMS:
                said = f"only the first {MOST_ITEMS:,} of {len(annotations):,} annotations are read"
                contents.problem("WaveformAnnotationSequence", "SQ", said)


def _judge(header: Item, contents: Contents) -> None:
    """Note what writers of ECG often do against the Standard."""
    stored = text(header, "MediaStorageSOPInstanceUID")
    if stored is not None and stored != text(header, "SOPInstanceUID"):
        said = "not the SOPInstanceUID of the data set, which is the one that counts"
        contents.problem("MediaStorageSOPInstanceUID", "UI", said)
    context = items(header, "AcquisitionContextSequence")
    if any(text(item, "ValueType") is None for item in context):
        path = "AcquisitionContextSequence.ValueType"
        contents.problem(path, "CS", "an item without a value type")


def _group(group: Item, place: int, contents: Contents) -> None:
    """Add the channels of one multiplex group."""
    path = "WaveformSequence"
    frequency, samples = number(group, "SamplingFrequency"), whole(group, "NumberOfWaveformSamples")
    channels = items(group, "ChannelDefinitionSequence")
    declared = whole(group, "NumberOfWaveformChannels")
    if declared is None or declared != len(channels):
        said = f"{declared or 'no number of'} channels, but {len(channels)} are defined"
        contents.problem(f"{path}.NumberOfWaveformChannels", "US", said)
    if not frequency or frequency < 0:
        contents.problem(f"{path}.SamplingFrequency", "DS", "no sampling frequency")
        frequency = None
    interpretation = text(group, "WaveformSampleInterpretation")
    if interpretation not in FORMATS:
        said = "samples are of no known interpretation"
        contents.problem(f"{path}.WaveformSampleInterpretation", "CS", said)
    if key_of("WaveformData") not in group:
        contents.problem(f"{path}.WaveformData", "OW", "a group without samples")
    common_columns = {
        "group": place,
        "group_label": text(group, "MultiplexGroupLabel"),
        "originality": text(group, "WaveformOriginality"),
        "SamplingFrequency": frequency,
        "samples": samples,
        "duration": samples / frequency if samples is not None and frequency else None,
        "offset": number(group, "MultiplexGroupTimeOffset"),
        "interpretation": interpretation,
        "bits": whole(group, "WaveformBitsAllocated"),
        "padding": padding_of(group),
    }
    for which, channel in enumerate(channels, 1):
        columns = _channel(channel, frequency, contents)
        contents.add("waveforms", {**common_columns, "channel": which, **columns})


def _channel(channel: Item, frequency: float | None, contents: Contents) -> dict[str, Any]:
    """The columns that describe one channel."""
    source, label = code(channel, "ChannelSourceSequence"), text(channel, "ChannelLabel")
    lead, mdc = lead_and_code(source, label)
    columns = coded("source", source)
    if mdc is not None:
        columns["source"] = mdc
    sensitivity = number(channel, "ChannelSensitivity")
    unit = code(channel, "ChannelSensitivityUnitsSequence")
    if sensitivity is None:
        path = "WaveformSequence.ChannelDefinitionSequence.ChannelSensitivity"
        contents.problem(path, "DS", "a channel without sensitivity: its samples have no unit")
    skew = number(channel, "ChannelTimeSkew")
    if skew is None and frequency and (steps := number(channel, "ChannelSampleSkew")) is not None:
        skew = steps / frequency
    return {
        "lead": lead,
        **columns,
        "label": label,
        "skew": skew,
        "sensitivity": None if sensitivity is None else sensitivity * _correction(channel),
        "baseline": number(channel, "ChannelBaseline"),
        **unit_columns(unit),
        "filter_low": number(channel, "FilterLowFrequency"),
        "filter_high": number(channel, "FilterHighFrequency"),
        "notch": number(channel, "NotchFilterFrequency"),
    }


def lead_and_code(source: Code | None, label: str | None) -> tuple[str | None, str | None]:
    """Plain name of the lead of a channel, and its code as columns have it; by its label last."""
    value, scheme = (source.value, source.scheme) if source else ("", "")
    lead, mdc = lead_of(value, scheme, label or "")
    if lead is None and mdc is None and source is not None:
        lead, mdc = lead_of("", "", source.meaning)
    return lead, f"{mdc[1]}:{mdc[0]}" if mdc else None


def _correction(channel: Item) -> float:
    found = number(channel, "ChannelSensitivityCorrectionFactor")
    return 1.0 if found is None else found


def padding_of(group: Item) -> int | None:
    """Waveform Padding Value as a sample, or None."""
    kind = FORMATS.get(text(group, "WaveformSampleInterpretation") or "")
    element = group.get(key_of("WaveformPaddingValue"))
    if kind is None or not isinstance(element, dict):
        return None
    if found := wholes(group, "WaveformPaddingValue"):
        return found[0]
    try:
        raw = base64.b64decode(element.get("InlineBinary") or "", validate=True)
        return int(struct.unpack_from("<" + kind, raw)[0])
    except (NotBase64, TypeError, ValueError, struct.error):
        return None


# Annotations


def _annotation(annotation: Item, root: dict[str, Any], contents: Contents) -> None:
    """Add the row of one annotation, and what can be read out of a text without a code."""
    concept = code(annotation, "ConceptNameCodeSequence")
    said = text(annotation, "UnformattedTextValue")
    answer = code(annotation, "ConceptCodeSequence")
    times = _times(annotation)
    columns: dict[str, Any] = {
        "values": times or None,
        "ReferencedWaveformChannels": wholes(annotation, "ReferencedWaveformChannels") or None,
        "GraphicType": text(annotation, "TemporalRangeType"),
    }
    if values(annotation, "NumericValue"):
        columns |= _number(annotation, concept, contents)
        contents.item(root, concept, "NUM", text=said, **columns)
    elif answer is not None:
        contents.item(root, concept, "CODE", text=said, **coded("code", answer), **columns)
    elif said is not None:
        row = contents.item(root, concept, "TEXT", text=said, **columns)
        if concept is None and (found := said_in(said)):
            measure, value, unit = found
            _read_out(row, measure.code, value, unit, contents)
    else:
        if concept is None and not times:
            contents.problem("WaveformAnnotationSequence", "SQ", "an annotation that says nothing")
        contents.item(root, concept, "TCOORD", **columns)


def _number(annotation: Item, concept: Code | None, contents: Contents) -> dict[str, Any]:
    """The columns of a number and its unit."""
    sent = texts(annotation, "NumericValue")
    found = numbers(annotation, "NumericValue")
    value = number_of(sent[0]) if sent else None
    unit = code(annotation, "MeasurementUnitsCodeSequence")
    columns = measured(value, unit)
    compared = columns["quantity_unit"]
    expected = measure_of(*normal(concept.value, concept.scheme)) if concept else None
    if expected and compared and compared != expected.unit:
        path = "WaveformAnnotationSequence.MeasurementUnitsCodeSequence"
        contents.problem(path, "SQ", f"unit {compared} where {expected.unit} is expected")
    if value is None:
        contents.problem("WaveformAnnotationSequence.NumericValue", "DS", "not a number")
    columns["numbers"] = found if len(found) > 1 else None
    columns["number_sent"] = sent[0] if sent else None
    return columns


def _read_out(
    row: dict[str, Any], concept: Code, value: float, unit: str, contents: Contents
) -> None:
    """Add the number that was read out of a text, below that text."""
    columns = measured(value, Code(unit, "UCUM"))
    contents.item(row, concept, "NUM", **columns | {"unit_value": None, "unit_scheme": None})


def _times(annotation: Item) -> list[str]:
    """Sample positions, offsets in seconds or times, as sent."""
    for keyword in ("ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime"):
        if found := texts(annotation, keyword):
            return found
    return []
