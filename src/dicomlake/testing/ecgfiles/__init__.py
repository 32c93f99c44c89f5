"""Made-up electrocardiograms, and the files that five kinds of devices would write of them.

`made` makes one ECG; `scp`, `aecg`, `muse`, `sierra` and `dicom` write it. All files of one ECG say
the same: equal samples in uV, equal measurements, one patient and one moment.
"""

from __future__ import annotations

from dicomlake.testing.ecgfiles.binary import scp
from dicomlake.testing.ecgfiles.made import LEADS, Ecg, made
from dicomlake.testing.ecgfiles.object import dicom
from dicomlake.testing.ecgfiles.xml import aecg, muse, sierra

__all__ = ["LEADS", "Ecg", "aecg", "dicom", "made", "muse", "scp", "sierra"]
