"""A tiny installed package with an enricher, for tests of what looks enrichers up by name."""

from __future__ import annotations

from pathlib import Path

_MODULE = '''"""An enricher that tells long series from short ones."""

from dicomlake.contracts.enrichers import FAILED, SKIPPED, Enriched, no_options


class Lengths:
    name = "lengths"
    about = "Says of CT whether a series is long."
    version = "1"
    model = "five images"
    reads = ()
    writes = ("series type",)
    after = ()
    hardware = "cpu"
    at_once = 2

    def __init__(self, lake, options):
        no_options(self.name, options)

    def where(self):
        return "Modality in ('CT', 'SR', 'SEG')"

    def enrich(self, subjects):
        for subject in subjects:
            series = subject.series
            if series["Modality"] == "SR":
                yield Enriched(SKIPPED, "a report has no images")
            elif series["Modality"] == "SEG":
                yield Enriched(FAILED, "segmentations are too hard")
            else:
                long = series["instances"] > 5
                row = {"kind": "series type", "label": "long" if long else "short"}
                yield Enriched(annotations=[row])

    def close(self):
        pass


class Homesick(Lengths):
    name = "homesick"
    about = "Never works."

    def __init__(self, lake, options):
        from dicomlake.errors import UsageError

        raise UsageError("homesick needs a home. Build one.")
'''


def install(folder: Path) -> Path:
    """Install the package into a folder, which then has to be on the path of Python."""
    info = folder / "lengths-1.dist-info"
    info.mkdir(parents=True)
    (folder / "lengths_enricher.py").write_text(_MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lengths\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[dicomlake.enrichers]\nlengths = lengths_enricher:Lengths\n"
        "homesick = lengths_enricher:Homesick\n"
        "broken = no_such_module:Broken\n"
    )
    return folder
