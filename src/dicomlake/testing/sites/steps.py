"""How a site comes into a lake of its own: the same commands at every site."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def steps(place: Path, lake: Path, *, workers: int = 0) -> Iterator[list[str]]:
    """Arguments of `dicomlake`, one command after the other, for what the folder of a site has.

    `place` is a folder that `write` made; its name is who gives out the numbers of patients. What
    lies in `mapping/lake` has to be in the folder of the lake before the last one. `workers`: how
    many processes each may use, all when 0.
    """
    site, into = place.name.upper(), ["--lake", str(lake)]
    many = ["--workers", str(workers)] if workers else []
    issuer = ["--header", f"IssuerOfPatientID={site}"]
    if (place / "dicom").is_dir():
        yield ["index", str(place / "dicom"), *into, *many]
    if (place / "ecg").is_dir():
        yield ["convert", str(place / "ecg"), *into, *issuer, *many]
    if (place / "labels").is_dir():
        mapping = ["--mapping", str(place / "mapping" / "labels.yaml")]
        yield ["convert", str(place / "labels"), *into, *mapping, *many]
    if (place / "facts").is_dir():
        named = ["--source", site.lower(), "--issuer", site]
        yield ["facts", "import", str(place / "facts"), *named, *into]
    yield ["enrich", "codes", *into]
