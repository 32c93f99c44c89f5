"""The dose reader: rows of `dose_events` and `dose_totals` from reports and image headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicomlake.contracts import Contents
from dicomlake.readers.dose.images import image, kind_of, wants
from dicomlake.readers.dose.reports import Report, is_report
from dicomlake.readers.dose.rows import text_in

_UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a mistake of ours may raise on a header that nobody foresaw."""


class DoseReader:
    """Reads dose reports, and the dose that headers of images tell."""

    name = "dose"
    version = 1
    after: tuple[str, ...] = ("report",)

    def wants(self, first: Mapping[str, str]) -> str | None:
        """Reports; and of images that tell a dose one per event.

        >>> reader = DoseReader()
        >>> reader.wants({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "CTDIvol": "a0",
        ...               "AcquisitionNumber": "3"})
        'acquisition 3 a0'
        >>> reader.wants({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "KVP": "120"})
        """
        return "" if "ContentSequence" in first else wants(first)

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        """Add rows of dose; a report needs its rows of `items`."""
        try:
            if is_report(contents):
                Report(header, contents).read()
            elif kind := kind_of(text_in(header, "SOPClassUID")):
                image(kind, header, contents)
        except _UNEXPECTED as error:
            contents.problem("", "", f"dose not readable ({type(error).__name__})")
