"""Run every measurement and print one table each; `--quick` keeps the sizes small."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

from bench import (
    bodyparts,
    codes,
    contents,
    datasets,
    deid,
    deidbench,
    ecg,
    enrich,
    explore,
    facts,
    fhir,
    folder,
    histories,
    omop,
    pacs,
    pixels,
    publishing,
    quality,
    queue,
    reader,
    scale,
    segmentation,
    sites,
)


def show(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}")
    for row in [head, tuple("-" * w for w in widths), *rows]:
        cells = [
            str(c).ljust(w) if i == 0 else str(c).rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells))


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--quick", action="store_true", help="small sizes, five minutes")
    parts = [
        "reader", "folder", "memory", "questions", "contents", "web", "pacs", "queue", "bodyparts",
        "segmentation", "enrich", "publishing", "quality", "codes", "deid",
        "fhir", "deid-benchmark", "datasets", "pixels", "facts", "ecg", "histories",
        "sites", "omop",
    ]  # fmt: skip
    options.add_argument("--only", choices=parts)
    options.add_argument("--series", type=int, help="series of the lake that is asked")
    options.add_argument("--documents", type=int, help="reports of the lake that is asked")
    options.add_argument("--lake", type=Path, help="keep or reuse the made-up lake here")
    asked = options.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    if asked.only in (None, "reader"):
        rows = reader.measure(3 if asked.quick else 7)
        show("Reading a CT header of 262 elements, one core", ("", "objects/s", "x pydicom"), rows)
        rows = reader.measure_contents(3 if asked.quick else 7)
        head = ("rows of", "objects", "ms per object", "x pydicom's read")
        show("What is inside of objects, one core, after the header was read", head, rows)
    if asked.only in (None, "datasets"):
        rows = datasets.measure(2 if asked.quick else 12)
        show("A dataset of CT slices of 256 x 256", datasets.HEAD, rows)
    if asked.only in (None, "pixels"):
        rows = pixels.measure(1 if asked.quick else 3)
        show("Pixels searched for text, and those that pass, one core", ("", "measured"), rows)
    if asked.only in (None, "ecg"):
        if why := ecg.missing():
            print(f"\n{why}")
        show("ECG files made into DICOM, one core", ecg.HEAD, ecg.measure(8 if asked.quick else 40))
    if asked.only in (None, "folder"):
        rows = folder.measure(40 if asked.quick else 160)
        show("A folder to tables, two processes", ("", "files/s", "x script"), rows)
    if asked.only in (None, "deid"):
        rows = deid.measure(100 if asked.quick else 500)
        show("De-identifying a CT, one process", ("", "files/s", "x dicognito"), rows)
    if asked.only in (None, "memory"):
        rows = folder.peak_memory(5_000 if asked.quick else 100_000)
        show("Memory of indexing", ("", "measured", "bound"), rows)
    if asked.only in (None, "questions"):
        series = asked.series or (20_000 if asked.quick else 1_000_000)
        if asked.lake:
            rows = scale.measure(asked.lake, series)
        else:
            with tempfile.TemporaryDirectory() as place:
                rows = scale.measure(Path(place) / "lake", series)
        title = f"Questions to {series:,} series with {series * 100:,} element rows, warm"
        show(title, ("", "ms", "found"), rows)
    if asked.only in (None, "contents"):
        documents = asked.documents or (10_000 if asked.quick else 100_000)
        with tempfile.TemporaryDirectory() as place:
            lake = (asked.lake or Path(place)) / "contents"
            rows = contents.measure(lake, documents)
        title = f"Questions to {documents:,} documents with {documents * contents.ITEMS:,} items"
        show(title, ("", "first ms", "ms", "found"), rows)
    if asked.only in (None, "histories"):
        for patients, each in ((100_000, 6), (20_000 if asked.quick else 100_000, 100)):
            with tempfile.TemporaryDirectory() as place:
                lake = (asked.lake or Path(place)) / f"histories-{patients}-{each}"
                for title, (head, rows) in histories.measure(lake, patients, each).items():
                    show(title, head, rows)
    if asked.only in (None, "web"):
        series = asked.series or (20_000 if asked.quick else 1_000_000)
        with tempfile.TemporaryDirectory() as place:
            lake = asked.lake or Path(place) / "lake"
            for title, (head, rows) in explore.measure(lake, series).items():
                show(title, head, rows)
    if asked.only in (None, "quality"):
        rows = quality.rules(20 if asked.quick else 200)
        show("Rules over the series of a hospital, one process", ("", "measured"), rows)
        series = asked.series or (20_000 if asked.quick else 1_000_000)
        with tempfile.TemporaryDirectory() as place:
            rows = quality.report(asked.lake or Path(place) / "lake", series)
        show(f"The report of quality of {series:,} series", ("", "s"), rows)
    if asked.only in (None, "bodyparts"):
        for title, (head, rows) in bodyparts.measure().items():
            show(title, head, rows)
    if asked.only in (None, "codes"):
        series = asked.series or (10_000 if asked.quick else 100_000)
        for title, (head, rows) in codes.measure(series).items():
            show(title, head, rows)
    if asked.only in (None, "segmentation"):
        if why := segmentation.missing():
            print(f"\n{why}")
        for title, (head, rows) in segmentation.measure(2 if asked.quick else 5):
            show(title, head, rows)
    if asked.only in (None, "enrich"):
        run, series = (20_000, 20_000) if asked.quick else (200_000, 1_000_000)
        with tempfile.TemporaryDirectory() as place:
            lake = asked.lake or Path(place)
            for title, (head, rows) in enrich.measure(lake, run, asked.series or series).items():
                show(title, head, rows)
    if asked.only in (None, "facts"):
        count = 200_000 if asked.quick else 10_000_000
        show("Clinical facts brought into a lake", facts.HEAD, facts.measure(count))
    if asked.only in (None, "omop"):
        series, count = (20_000, 200_000) if asked.quick else (1_000_000, 10_000_000)
        rows = omop.measure(asked.series or series, count)
        show(f"{count:,} facts and their series as tables of OMOP", omop.HEAD, rows)
    if asked.only in (None, "fhir"):
        head = ("", "resources", "s", "resources/s", "x dicom2fhir")
        title = "FHIR resources of the same CT studies, one core, without the start"
        show(title, head, fhir.measure())
        if why := fhir.missing():
            print(f"\n{why}")
        if asked.lake:
            head = ("resources", "resources/s", "MB", "most memory, MB")
            show("FHIR resources of the whole lake", head, fhir.measure_large(asked.lake))
    if asked.only in (None, "deid-benchmark"):
        head, rows = deidbench.measure(6 if asked.quick else 60)
        show("De-identification of a corpus of planted secrets", head, rows)
    if asked.only in (None, "sites"):
        patients = 20 if asked.quick else 400
        rows = sites.measure(patients)
        show(f"Eight heart centres of {patients} patients, harmonised by mapping", sites.HEAD, rows)
    if asked.only in (None, "queue"):
        for title, (head, rows) in queue.measure(1_000 if asked.quick else 10_000).items():
            show(title, head, rows)
    if asked.only in (None, "publishing"):
        rows = publishing.measure(6 if asked.quick else 60)
        head = ("", "resources", "s", "resources/s")
        show("Publishing to a FHIR server on the same machine", head, rows)
    if asked.only in (None, "pacs"):  # the last one: it leaves the network for good
        if why := pacs.missing():
            print(f"\n{why}")
        else:
            sizes = (2, 40, 4) if asked.quick else (5, 200, 8)
            for title, (head, rows) in pacs.measure(*sizes).items():
                show(title, head, rows)


if __name__ == "__main__":
    main()
