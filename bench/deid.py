"""De-identification of headers, side by side with tools of others, one process each.

Those are installed by pip into environments of their own the first time.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from importlib import resources
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file

from dicomlake.testing.deidbench import tools

Rows = list[tuple[str, ...]]
RIVALS = ("dicognito", "dicom-anonymizer")


def images(folder: Path, count: int) -> None:
    """Slices of one CT, each with UIDs and a place of its own."""
    ds = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    folder.mkdir()
    for number in range(count):
        uid = f"1.2.826.0.1.3680043.9.9.{number}"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
        ds.InstanceNumber, ds.SliceLocation = number, number * 1.5
        ds.save_as(folder / f"{number:06}.dcm")


def measure(count: int, rounds: int = 3) -> Rows:
    """Files per second of read, clean, write: medians of rounds that take turns."""
    with tempfile.TemporaryDirectory() as place:
        source, key = Path(place, "images"), Path(place, "key.txt")
        images(source, count)
        key.write_text("0123456789abcdef0123456789abcdef")
        table = Path(place, "table.csv")
        made = resources.files("dicomlake.deid.data").joinpath("ps315_e1_1.csv")
        table.write_text(made.read_text(encoding="utf-8"), encoding="utf-8")
        seconds: dict[str, list[float]] = {}
        for turn in range(rounds):
            for name in ("dicomlake", *RIVALS):
                out = Path(place, f"{name}-{turn}")
                if name == "dicomlake":
                    failed, spent = tools.speed_of_ours(source, out, key, "basic")
                else:
                    failed, spent = tools.clean(tools.TOOLS[name], source, out, key, table)
                assert not failed, name
                seconds.setdefault(name, []).append(spent)
                shutil.rmtree(out)
    speed = {name: count / statistics.median(spent) for name, spent in seconds.items()}
    return [(name, f"{of:,.0f}", f"{of / speed['dicognito']:.1f}") for name, of in speed.items()]
