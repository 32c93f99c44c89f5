"""Electrocardiograms: twelve leads with real samples, made of whole numbers and simple curves."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.terms import Code
from dicomlake.testing.hospital.codes import ucum
from dicomlake.testing.hospital.images import STORAGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dicomlake.testing.dicom import Value
    from dicomlake.testing.hospital.study import Series, Study

TWELVE_LEAD = STORAGE + "9.1.1"
RATE = 500  # Hz
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_MDC = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
# height of P, Q, R, S, T in uV for each lead
_WAVES = (
    (100, -60, 700, -80, 220), (140, -70, 1000, -120, 300), (60, -40, 420, -100, 120),
    (-110, 60, -820, 90, -250), (40, -50, 350, -40, 90), (100, -50, 700, -100, 210),
    (60, 0, 200, -900, -80), (80, 0, 420, -1400, 300), (80, -20, 800, -1000, 420),
    (90, -60, 1300, -500, 400), (90, -90, 1200, -220, 330), (90, -80, 900, -90, 260),
)  # fmt: skip


@lru_cache(maxsize=256)
def samples(rate: int, count: int) -> NDArray[np.int16]:
    """Samples of twelve leads (samples x leads, 2.5 uV per step) at a heart rate per minute.

    >>> samples(60, 1000).shape
    (1000, 12)
    """
    beat = RATE * 60 // rate
    time = (np.arange(count, dtype=np.int64) % beat) / float(RATE)
    columns = []
    for heights in _WAVES:
        volts = np.zeros(count)
        for height, (middle, width) in zip(heights, _SHAPES, strict=True):
            away = (time - middle) / width
            volts += height / (1.0 + away * away) / (1.0 + away * away)
        columns.append(np.rint(volts / 2.5))
    return np.stack(columns, axis=1).astype(np.int16)


_SHAPES = ((0.12, 0.03), (0.22, 0.01), (0.25, 0.012), (0.28, 0.012), (0.48, 0.05))  # s


def ecg(study: Study) -> Series:
    """A 12-lead ECG with its usual measurements as annotations."""
    rate = study.rng.randint(52, 104)
    pr, qrs, qt = study.rng.randint(120, 220), study.rng.randint(76, 130), 330 + (100 - rate)
    series = study.open("ECG", TWELVE_LEAD, study.say(("Ruhe-EKG", "ECG de repos", "Resting ECG")),
                        geometry=False, traits=("waveform",), rate=rate, qt=qt)  # fmt: skip
    count = 1000 if study.options.pixels else 100
    scheme = "MDC" if study.site.language == "de" else "SCPECG"
    channels: list[dict[str, Value]] = []
    for name, number in zip(LEADS, _MDC, strict=True):
        prefix = "2:" if scheme == "MDC" else "5.6.3-9-"
        lead = Code(f"{prefix}{number}", scheme, f"Lead {name}")
        channels.append(
            {
                "ChannelLabel": name,
                "ChannelSourceSequence": [lead],
                "ChannelSensitivity": 2.5,
                "ChannelSensitivityUnitsSequence": [ucum("uV")],
                "ChannelSensitivityCorrectionFactor": 1,
                "ChannelBaseline": 0,
                "ChannelSampleSkew": 0,
                "WaveformBitsStored": 16,
                "FilterLowFrequency": 0.05,
                "FilterHighFrequency": 150,
            }
        )
    group: dict[str, Value] = {
        "MultiplexGroupTimeOffset": 0,
        "WaveformOriginality": "ORIGINAL",
        "NumberOfWaveformChannels": 12,
        "NumberOfWaveformSamples": count,
        "SamplingFrequency": RATE,
        "MultiplexGroupLabel": "RHYTHM",
        "ChannelDefinitionSequence": channels,
        "WaveformBitsAllocated": 16,
        "WaveformSampleInterpretation": "SS",
        "WaveformData": samples(rate, count),
    }
    measured = (
        (Code("8867-4", "LN", "Heart rate"), rate, ucum("/min")),
        (Code("2:15872", "MDC", "PR interval"), pr, ucum("ms")),
        (Code("2:16156", "MDC", "QRS duration"), qrs, ucum("ms")),
        (Code("2:16160", "MDC", "QT interval"), qt, ucum("ms")),
    )
    common: dict[str, Value] = {
        "AcquisitionDateTime": study.when,
        "AcquisitionContextSequence": [],
        "CurrentPatientLocation": "Station 4",
        "WaveformSequence": [group],
        "WaveformAnnotationSequence": [
            {
                "ConceptNameCodeSequence": [name],
                "MeasurementUnitsCodeSequence": [unit],
                "ReferencedWaveformChannels": [1, 0],
                "AnnotationGroupNumber": 0,
                "NumericValue": value,
            }
            for name, value, unit in measured
        ],
    }
    study.write(
        series, common, counts=[Counter({"waveform channels": 12, "annotations": len(measured)})]
    )
    return series
