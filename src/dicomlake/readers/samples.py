"""Samples of waveforms as arrays in physical units, with what is no measurement marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.dicom.walk import BIG_ENDIAN, Fetch
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, code, items, number, text, whole
from dicomlake.readers.bulk import bulk_of, syntax_of
from dicomlake.readers.waveforms import FORMATS, lead_and_code, padding_of
from dicomlake.terms.units import ucum

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST_PADDING = 3
"""So many padding values at an end of a channel are padding; fewer may be samples."""
MOST_CHANNELS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """The samples of one multiplex group; numpy takes it as an array of samples x channels.

    `samples` are in `units` (raw x sensitivity x correction + baseline, as DICOM defines), except
    where a channel has no sensitivity: there they are raw and the unit is "1". `mask` is True where
    `raw` is padding. A raw value that is the lowest of its type stands for "no data": it is masked
    too and its sample is NaN. `notes` say in words what is doubtful.
    """

    samples: NDArray[np.float64]
    raw: NDArray[Any]
    mask: NDArray[np.bool_]
    leads: tuple[str, ...]
    """Plain name of each channel, else its label, else its source, else its number."""
    units: tuple[str, ...]
    SamplingFrequency: float
    """Hz; 0 where it is not known."""
    group: int
    label: str
    offset: float
    """ms from the acquisition time to the first sample."""
    notes: tuple[str, ...] = ()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.samples, dtype=dtype, copy=copy)

    @property
    def masked(self) -> np.ma.MaskedArray[Any, Any]:
        """The samples as an array of numpy.ma."""
        return np.ma.MaskedArray(self.samples, self.mask)

    def __repr__(self) -> str:
        count, channels = self.samples.shape
        return (
            f"<Waveform {self.label or self.group}: {count:,} samples x {channels} channels at "
            f"{self.SamplingFrequency:g} Hz: {', '.join(self.leads)}>"
        )


def waveforms_of(header: Item, fetch: Fetch, size: int) -> list[Waveform]:
    """The multiplex groups of an object with this header; DataError when one cannot be read."""
    groups = items(header, "WaveformSequence")
    return [_waveform(group, i, header, fetch, size) for i, group in enumerate(groups, 1)]


def waveform_of(header: Item, fetch: Fetch, size: int, group: int = 1) -> Waveform:
    """One multiplex group of an object; DataError when there is none, or it cannot be read."""
    groups = items(header, "WaveformSequence")
    if not 1 <= group <= len(groups):
        raise DataError(f"it has {len(groups)} groups of channels, counted from 1, and no {group}")
    return _waveform(groups[group - 1], group, header, fetch, size)


def _waveform(item: Item, place: int, header: Item, fetch: Fetch, size: int) -> Waveform:
    notes: list[str] = []
    channels = items(item, "ChannelDefinitionSequence")
    raw = _raw(item, place, header, fetch, size, notes)
    lowest = _lowest(raw)
    samples = raw.astype(np.float64)
    leads, units = [], []
    for which in range(raw.shape[1]):
        channel = channels[which] if which < len(channels) else {}
        source, label = code(channel, "ChannelSourceSequence"), text(channel, "ChannelLabel")
        lead, _ = lead_and_code(source, label)
        leads.append(lead or label or (source and source.meaning) or str(which + 1))
        sensitivity = number(channel, "ChannelSensitivity")
        unit = code(channel, "ChannelSensitivityUnitsSequence")
        if sensitivity is None:
            notes.append(f"channel {which + 1} has no sensitivity: its samples are as stored")
            units.append("1")
        else:
            correction = number(channel, "ChannelSensitivityCorrectionFactor")
            with np.errstate(over="ignore", invalid="ignore"):
                samples[:, which] *= sensitivity
                samples[:, which] *= 1.0 if correction is None else correction
                samples[:, which] += number(channel, "ChannelBaseline") or 0.0
            known = ucum(unit.value, unit.scheme) if unit else None
            units.append(known or (unit.value if unit else "1"))
    mask = _mask(raw, padding_of(item), notes)
    if lowest is not None and (nothing := raw == lowest).any():
        mask |= nothing
        samples[nothing] = np.nan
        notes.append(f"{int(nothing.sum())} samples are the lowest number there is: no data")
    return Waveform(
        samples,
        raw,
        mask,
        tuple(leads),
        tuple(units),
        number(item, "SamplingFrequency") or 0.0,
        place,
        text(item, "MultiplexGroupLabel") or "",
        number(item, "MultiplexGroupTimeOffset") or 0.0,
        tuple(notes),
    )


def _raw(
    item: Item, place: int, header: Item, fetch: Fetch, size: int, notes: list[str]
) -> NDArray[Any]:
    """Samples x channels as they are stored, by pydicom."""
    from pydicom.dataset import Dataset
    from pydicom.waveforms.numpy_handler import multiplex_array

    kind, bits = text(item, "WaveformSampleInterpretation"), whole(item, "WaveformBitsAllocated")
    channels, samples = (
        whole(item, "NumberOfWaveformChannels"),
        whole(item, "NumberOfWaveformSamples"),
    )
    if kind in ("MB", "AB"):
        raise DataError(f"group {place} holds companded sound ({kind}), which is not read")
    width = 8 * np.dtype(FORMATS[kind]).itemsize if kind in FORMATS else 0
    if not kind or bits != width:
        raise DataError(f"group {place} holds samples of {bits} bits as {kind}: that is not known")
    if channels is None or samples is None or not 0 < channels <= MOST_CHANNELS or samples < 0:
        raise DataError(f"group {place} does not say how many channels and samples it has")
    if bits > 16 and syntax_of(header) == BIG_ENDIAN:  # nobody agrees on the order of its words
        raise DataError(f"group {place} holds samples of {bits} bits in big endian: not read")
    data = bulk_of(item, "WaveformData", header, fetch, size)
    there = len(data) // (channels * (width // 8))
    if there < samples:
        notes.append(f"{samples - there} of {samples} samples are missing: the object ends early")
        samples = there
    held = Dataset()
    held.NumberOfWaveformChannels, held.NumberOfWaveformSamples = channels, samples
    held.WaveformBitsAllocated, held.WaveformSampleInterpretation = bits, kind
    held.WaveformData = data
    root = Dataset()
    root.WaveformSequence = [held]
    try:
        return multiplex_array(root, 0, as_raw=True)
    except (AttributeError, KeyError, ValueError) as error:
        raise DataError(f"group {place} cannot be read as samples") from error


def _lowest(raw: NDArray[Any]) -> int | None:
    """The number that says "no data": the lowest of 16 bits and more, where they have a sign."""
    if raw.dtype.kind == "i" and raw.dtype.itemsize >= 2:
        return int(np.iinfo(raw.dtype).min)
    return None


def _mask(raw: NDArray[Any], padding: int | None, notes: list[str]) -> NDArray[np.bool_]:
    """Where samples are padding.

    A padding value beyond all other samples of its channel is padding wherever it occurs. One among
    them, such as 0, is padding only in a run at an end of the channel; elsewhere it is a sample.
    """
    mask = np.zeros(raw.shape, dtype=np.bool_)
    if padding is None:
        return mask
    for which in range(raw.shape[1]):
        is_it = raw[:, which] == padding
        if not is_it.any():
            continue
        others = raw[~is_it, which]
        if not others.size or not others.min() < padding < others.max():
            mask[:, which] = is_it
            continue
        first, last = int(np.argmin(is_it)), int(np.argmin(is_it[::-1]))
        for run, where in ((first, slice(0, first)), (last, slice(len(is_it) - last, None))):
            if run >= SHORTEST_PADDING:
                mask[where, which] = True
        left = int(is_it.sum() - mask[:, which].sum())
        if left:
            notes.append(
                f"channel {which + 1}: the padding value {padding} occurs {left} times inside of "
                "the signal, where it is taken for a sample"
            )
    return mask
