"""Where datasets go that are not to stay here: object storage, or a DICOM node.

Everything is made and checked here first; nothing leaves before. What has been sent is noted, so
that a stop costs little, and sending again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dicomlake.contracts import Progress
from dicomlake.errors import UsageError
from dicomlake.jobs.datasets.ledger import Ledger
from dicomlake.settings import read
from dicomlake.sources.objects import ObjectSource, object_source

LAST = ("CHECKSUMS.sha256", "dataset.json")
OBJECTS, NODE = "objects:", "dicom:"
"""What targets begin with that are sources of dicomlake.toml: objects:NAME/PREFIX, dicom:NAME."""


def check_target(lake: Path, out: str, formats: tuple[str, ...]) -> None:
    """UsageError when a target is none, or is not in the settings."""
    if out.startswith(NODE):
        if formats != ("dicom",):
            raise UsageError("A DICOM node takes objects alone: --format dicom")
        source = read(lake).of(out.removeprefix(NODE))
        if source.kind != "dimse":
            raise UsageError(f"{out} is no DICOM node: its source is of kind {source.kind}.")
    elif out.startswith(("s3://", OBJECTS)):
        bucket_of(lake, out)


def bucket_of(lake: Path, out: str) -> ObjectSource:
    """The object storage of a target; UsageError when there is no such source."""
    if out.startswith("s3://"):
        known = [s for s in read(lake).source.values() if s.kind == "objects"]
        bucket = out.removeprefix("s3://").partition("/")[0]
        for one in known:
            if one.url.removeprefix("s3://").partition("/")[0] == bucket:
                return replace(object_source("target", one), url=out)
        return ObjectSource(out)
    name, _, prefix = out.removeprefix(OBJECTS).partition("/")
    source = read(lake).of(name)
    if source.kind != "objects":
        raise UsageError(f"{name} is no object storage: its source is of kind {source.kind}.")
    made = object_source(name, source)
    return replace(made, url=made.url.rstrip("/") + "/" + prefix) if prefix else made


def send(
    lake: Path, ledger: Ledger, root: Path, progress: Progress, check: Callable[[], None]
) -> None:
    """Send the files of a dataset to its target, those that finish it last.

    ServiceError when the target is away or refuses: what was sent stays sent.
    """
    out = str(ledger.job["out"])
    rows = ledger.rows("select path, kind from files where sent = 0 order by path")
    if out.startswith(NODE):
        from dicomlake.sources.dimse.sending import Sender

        paths = [row["path"] for row in rows if row["kind"] == "dicom"]
        with Sender(read(lake).of(out.removeprefix(NODE))) as sender:
            for path in paths:
                check()
                sender.send((root / path).read_bytes())
                ledger.sent([path])
                progress.advance()
        return
    bucket = bucket_of(lake, out)
    for path in [row["path"] for row in rows] + list(LAST):
        check()
        bucket.put(path, root / path)
        ledger.sent([path])
        progress.advance()
