"""A made-up hospital group: patients over ten years, their studies, and the mess of an old archive.

    write(folder, patients=40)     files on disk, and a Summary of what a lake should find in them
    objects(patients=40)           the same as (relative path, bytes), without a disk
    shown(patients=40)             what its CT series show: volumes, and what is cut off
    histories(folder, patients=40) what the houses know of the patients besides images, as files
                                   of four kinds, and the truth about it (Histories)
    originals(folder, patients=40) ECGs that are no DICOM, and a register with labels

Everything follows from (seed, number of the patient): the same bytes in every process and on every
machine, whatever the number of patients. Names, places and UIDs are invented.
"""

from __future__ import annotations

from dicomlake.testing.hospital.archive import objects, shown, summary, write
from dicomlake.testing.hospital.history import Histories, histories
from dicomlake.testing.hospital.originals import originals
from dicomlake.testing.hospital.summary import Summary

__all__ = ["Histories", "Summary", "histories", "objects", "originals", "shown", "summary", "write"]
