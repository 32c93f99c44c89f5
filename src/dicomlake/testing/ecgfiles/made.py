"""A made-up resting ECG of twelve leads: whole-number samples of simple curves."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
BEAT_MS = 600
"""Length of the median beat."""
QRS_AT_MS = 200
"""Onset of QRS in the median beat."""
_FAMILIES = "Ahlers Bouvier Castro Dähne Ewing Fournier Grünwald Hölzl Ibáñez Joubert".split()
_WOMEN = "Anna Béatrice Carmen Doris Élise".split()
_MEN = "Adam Benoît Carlos Dieter Émile".split()
_FINDINGS = (
    ("Sinus rhythm", "Normal ECG"),
    ("Sinus rhythm", "Left axis deviation", "Borderline ECG"),
    ("Sinus bradycardia", "Nonspecific T wave abnormality", "Abnormal ECG"),
    ("Atrial fibrillation", "Abnormal ECG"),
)
# uV of P, Q, R, S and T in the leads that are measured; the limb leads follow from I and II
_HEIGHTS = {
    "I": (80, -50, 650, -90, 220), "II": (130, -60, 1000, -120, 310),
    "V1": (60, 0, 200, -900, -80), "V2": (80, 0, 420, -1400, 300),
    "V3": (80, -20, 800, -1000, 420), "V4": (90, -60, 1300, -500, 400),
    "V5": (90, -90, 1200, -220, 330), "V6": (90, -80, 900, -90, 260),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Ecg:
    """One made-up ECG. Samples x leads as whole numbers of `step` uV; times in ms, axes in degrees.

    `beat` is the median beat in the same steps. `qtc` is by Bazett's formula. `spikes` are times of
    pacemaker spikes, ms after the first sample.
    """

    samples: NDArray[np.int16]
    beat: NDArray[np.int16]
    step: float
    rate: int  # Hz
    heart_rate: int  # /min
    rr: int
    pr: int
    p_duration: int
    qrs: int
    qt: int
    qtc: int
    p_axis: int
    qrs_axis: int
    t_axis: int
    patient_id: str
    family: str
    given: str
    sex: str
    born: date
    moment: datetime
    manufacturer: str = "Kardia Made-up"
    model: str = "CARD12"
    serial: str = "SN-0042"
    software: str = "1.2"
    institution: str = "Sankt Made-up"
    statements: tuple[str, ...] = ()
    spikes: tuple[int, ...] = ()

    @property
    def age(self) -> int:
        """Full years at the moment of the recording."""
        at, born = self.moment, self.born
        return at.year - born.year - ((at.month, at.day) < (born.month, born.day))

    def measured(self, name: str) -> dict[str, int]:
        """What a device measures in a lead: ms of QRS, QT, R and S, and uV of R, S and T.

        >>> made(1).measured("V1")
        {'QRS': 104, 'QT': 354, 'R duration': 46, 'S duration': 36, 'R': 250, 'S': -630, 'T+': 0}
        """
        beat = self.beat[:, LEADS.index(name)].astype(float) * self.step
        on, end = (ms * self.rate // 1000 for ms in (QRS_AT_MS, QRS_AT_MS + self.qrs))
        place = LEADS.index(name)
        return {
            "QRS": self.qrs - place, "QT": self.qt + place, "R duration": 40 + place,
            "S duration": 30 + place, "R": round(beat[on:end].max()),
            "S": round(beat[on:end].min()), "T+": round(beat[end:].max()),
        }  # fmt: skip

    def lead(self, name: str) -> NDArray[np.int16]:
        """The samples of one lead.

        >>> made(1).lead("V6").shape
        (5000,)
        """
        return self.samples[:, LEADS.index(name)]


def made(
    seed: int,
    *,
    spikes: bool = False,
    step: float = 5.0,
    rate: int = 500,
    seconds: float = 10,
    **changes: Any,
) -> Ecg:
    """An ECG that always is the same for the same seed; `changes` are fields of `Ecg`.

    >>> one = made(7, patient_id="P-7")
    >>> one.patient_id, one.samples.shape, one.samples.dtype.name
    ('P-7', (5000, 12), 'int16')
    """
    rng = random.Random(f"ecg {seed}")
    rr = rng.randrange(600, 1200, 20)
    pr, qrs = rng.randrange(120, 200, 2), rng.randrange(76, 120, 2)
    qt = min(rng.randrange(340, 420, 2), rr - pr - 40, BEAT_MS - QRS_AT_MS - 4)
    sex = rng.choice("FM")
    times = _Times(pr, rng.randrange(80, 116, 2), qrs, qt)
    heights = {lead: _scaled(values, rng) for lead, values in _HEIGHTS.items()}
    count = int(seconds * rate)
    ms = np.arange(count, dtype=np.float64) * 1000 / rate
    marks = tuple(range(QRS_AT_MS - 4, int(seconds * 1000) - 100, rr)) if spikes else ()
    samples = _leads(ms % rr, times, heights, step, rng)
    for mark in marks:
        samples[int(mark * rate / 1000), 6:] -= np.int16(1500 / step)
    beat_ms = np.arange(BEAT_MS * rate // 1000, dtype=np.float64) * 1000 / rate
    born = date(rng.randrange(1930, 2005), rng.randrange(1, 13), rng.randrange(1, 29))
    one = Ecg(
        samples=samples,
        beat=_leads(beat_ms, times, heights, step, None),
        step=step,
        rate=rate,
        heart_rate=round(60_000 / rr),
        rr=rr,
        pr=pr,
        p_duration=times.p,
        qrs=qrs,
        qt=qt,
        qtc=round(qt / (rr / 1000) ** 0.5),
        p_axis=rng.randrange(20, 80),
        qrs_axis=rng.randrange(-40, 100),
        t_axis=rng.randrange(0, 80),
        patient_id=f"E{seed:06d}",
        family=rng.choice(_FAMILIES),
        given=rng.choice(_WOMEN if sex == "F" else _MEN),
        sex=sex,
        born=born,
        moment=datetime(
            rng.randrange(2012, 2024), rng.randrange(1, 13), rng.randrange(1, 29),
            rng.randrange(24), rng.randrange(60), rng.randrange(60),
        ),
        statements=rng.choice(_FINDINGS),
        spikes=marks,
    )  # fmt: skip
    return replace(one, **changes)


@dataclass(frozen=True, slots=True)
class _Times:
    """Intervals in ms."""

    pr: int
    p: int
    qrs: int
    qt: int

    def waves(self) -> tuple[tuple[float, float], ...]:
        """Middle and width of P, Q, R, S and T, ms after the start of a beat."""
        on = float(QRS_AT_MS)
        return (
            (on - self.pr + self.p / 2, self.p / 5),
            (on + self.qrs * 0.2, self.qrs / 12),
            (on + self.qrs * 0.45, self.qrs / 10),
            (on + self.qrs * 0.75, self.qrs / 12),
            (on + self.qt - 70, 32.0),
        )


def _scaled(heights: tuple[int, ...], rng: random.Random) -> tuple[float, ...]:
    return tuple(height * rng.uniform(0.7, 1.3) for height in heights)


def _leads(
    ms: NDArray[np.float64],
    times: _Times,
    heights: dict[str, tuple[float, ...]],
    step: float,
    rng: random.Random | None,
) -> NDArray[np.int16]:
    """Twelve leads at some times of a beat; I and II are even, so that the others are exact."""
    noise = np.random.default_rng(rng.randrange(2**32)) if rng else None
    found: dict[str, NDArray[np.int16]] = {}
    for lead, values in heights.items():
        volts = np.zeros(ms.size)
        for height, (middle, width) in zip(values, times.waves(), strict=True):
            volts += height * np.exp(-(((ms - middle) / width) ** 2))
        if noise is not None:
            volts += noise.normal(0, 6, ms.size)
        whole = np.rint(volts / step).astype(np.int16)
        found[lead] = whole // 2 * 2 if lead in ("I", "II") else whole
    one, two = found["I"], found["II"]
    found["III"] = two - one
    found["aVR"], found["aVL"], found["aVF"] = -(one + two) // 2, one - two // 2, two - one // 2
    return np.stack([found[lead] for lead in LEADS], axis=1)
