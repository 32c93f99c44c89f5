"""An ECG as a DICOM waveform (PS3.3 A.34), its numbers unchanged, in the first class that fits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset

from dicomlake.converters.ecg.codes import PACE_SPIKE, UV, lead_code
from dicomlake.converters.ecg.objects import coded, decimal_string
from dicomlake.converters.ecg.recording import with_derived_leads
from dicomlake.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomlake.converters.ecg.objects import Made
    from dicomlake.converters.ecg.recording import Group

TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL = "1.2.840.10008.5.1.4.1.1.9.1.2"
GENERAL_32 = "1.2.840.10008.5.1.4.1.1.9.1.4"
MEASURED = frozenset(["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"])
"""The leads of a 12-lead ECG that do not follow from others."""
_LONGEST = 16_384  # samples of a 12-lead ECG
_SLOWEST, _FASTEST = 200, 1000  # Hz
_MOST = 24  # channels of a general ECG
_GROUPS, _GROUPS_OF_GENERAL = 5, 4


def waveform(made: Made) -> Dataset:
    """The waveform object of a conversion; DataError when no class of DICOM holds it."""
    groups = list(made.recording.groups)
    together = sum(group.is_original for group in groups) == 1
    derived = [group for each in groups if together and (group := with_derived_leads(each))]
    if derived:
        made.recording.notes.append(
            "III, aVR, aVL and aVF are not in the file; they were calculated from I and II, "
            "and stand in a group of their own that says so"
        )
    groups += derived
    if not together:
        made.recording.notes.append(
            "its leads were recorded one after another: a group of each time, whose label says when"
        )
    if any((group.samples == -0x8000).any() for group in groups):
        made.recording.notes.append(
            "some samples are -32768, the lowest number of 16 bits: readers take it for no data"
        )
    wide = not all(_fits_16_bits(group) for group in groups)
    sop_class = class_of(groups, wide=wide)
    found = made.dataset(sop_class, "waveform", "ECG", 1)
    found.AcquisitionDateTime = made.acquired
    found.AcquisitionContextSequence = []
    found.SeriesDescription = "ECG"
    found.WaveformSequence = [_group(group, wide=sop_class == GENERAL_32) for group in groups]
    if made.recording.spikes:
        found.WaveformAnnotationSequence = [_spikes(made.recording.spikes)]
    return found


def class_of(groups: Sequence[Group], *, wide: bool = False) -> str:
    """The SOP class that holds these groups: 12-lead, else general, else general with 32 bits."""
    most = max(len(group.leads) for group in groups)
    if most > _MOST:
        raise DataError(f"it has {most} leads; an ECG in DICOM has {_MOST} at most")
    if len(groups) > _GROUPS:
        raise DataError(f"it has {len(groups)} sets of leads; an ECG in DICOM has {_GROUPS}")
    if wide or any(not _SLOWEST <= group.rate <= _FASTEST for group in groups):
        return GENERAL_32
    names = {name for group in groups if group.is_original for name in group.leads}
    longest = max(len(group.samples) for group in groups)
    if names >= MEASURED and most <= 13 and longest <= _LONGEST:
        return TWELVE_LEAD
    if len(groups) > _GROUPS_OF_GENERAL:
        raise DataError(
            f"it has {len(groups)} sets of leads; a general ECG has {_GROUPS_OF_GENERAL} at most"
        )
    return GENERAL


def _fits_16_bits(group: Group) -> bool:
    lowest, highest = int(group.samples.min()), int(group.samples.max())
    return lowest >= -0x8000 and highest <= 0x7FFF


def _group(group: Group, *, wide: bool) -> Dataset:
    """One multiplex group."""
    item = Dataset()
    item.WaveformOriginality = "ORIGINAL" if group.is_original else "DERIVED"
    item.NumberOfWaveformChannels = len(group.leads)
    item.NumberOfWaveformSamples = len(group.samples)
    item.SamplingFrequency = decimal_string(group.rate)
    late = f" +{decimal_string(group.offset)} ms" if group.offset else ""
    item.MultiplexGroupLabel = f"{group.label}{late}"[:16]
    bits = 32 if wide else 16
    item.ChannelDefinitionSequence = [
        _channel(group, place, bits) for place in range(len(group.leads))
    ]
    item.WaveformBitsAllocated = bits
    item.WaveformSampleInterpretation = "SL" if wide else "SS"
    data = np.ascontiguousarray(group.samples.astype("<i4" if wide else "<i2")).tobytes()
    item.add_new("WaveformData", "OW", data)
    return item


def _channel(group: Group, place: int, bits: int) -> Dataset:
    item = Dataset()
    item.ChannelLabel = group.leads[place][:16]
    item.ChannelSourceSequence = [coded(lead_code(group, place))]
    item.ChannelSensitivity = decimal_string(group.scales[place])
    item.ChannelSensitivityUnitsSequence = [coded(UV)]
    item.ChannelSensitivityCorrectionFactor = "1"
    item.ChannelBaseline = decimal_string(group.baselines[place])
    item.ChannelSampleSkew = "0"
    item.WaveformBitsStored = bits
    for keyword, value in (
        ("FilterLowFrequency", group.low),
        ("FilterHighFrequency", group.high),
        ("NotchFilterFrequency", group.notch),
    ):
        if value:
            setattr(item, keyword, decimal_string(Decimal(value)))
    return item


def _spikes(times: Sequence[int]) -> Dataset:
    """Pacemaker spikes as one annotation with all their times in ms."""
    item = Dataset()
    item.ConceptNameCodeSequence = [coded(PACE_SPIKE)]
    item.ReferencedWaveformChannels = [1, 0]
    item.TemporalRangeType = "POINT" if len(times) == 1 else "MULTIPOINT"
    item.ReferencedTimeOffsets = [str(time) for time in times]
    item.AnnotationGroupNumber = 0
    return item
