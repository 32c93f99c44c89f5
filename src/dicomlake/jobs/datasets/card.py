"""The card of a dataset: README in Markdown and HTML, Croissant and DCAT, telling of nobody."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.version import __version__

NAMES = ("README.md", "README.html", "croissant.jsonld", "dcat.jsonld")
_TELLING = (
    "Patient", "Accession", "UID", "Name", "StudyID", "DeviceSerialNumber", "Date", "Institution",
    "Station",
)  # fmt: skip
"""What a question may name that tells of people, places or days: then it is withheld."""


def provenance(wanted: Wanted, job: Mapping[str, Any], enrichers: Sequence[str]) -> dict[str, Any]:
    """Where a dataset comes from: question, cohort, versions, profile; nothing that identifies."""
    query = str(job.get("query") or "")
    telling = not wanted.identified and any(word in query for word in _TELLING)
    return {
        "cohort": job.get("cohort") or None,
        "cohort_version": job.get("version"),
        "approved": bool(job.get("approved")),
        "query": "withheld: it names what could identify somebody" if telling else query,
        "query_sha256": hashlib.sha256(query.encode()).hexdigest(),
        "lake_version": job.get("lake_version"),
        "profile": wanted.profile,
        "profile_digest": job.get("digest"),
        "dicomlake": __version__,
        "enrichers": sorted(enrichers),
    }


def statement(wanted: Wanted, codes: Mapping[str, int]) -> str:
    """What was done to the data, in a sentence or two; `codes`: of CID 7050, with how many."""
    if wanted.identified:
        return (
            "This data is identified: nothing was removed or changed. It may only be used by those "
            "who may know the patients."
        )
    told = f"De-identified by dicomlake {__version__} with the profile {wanted.profile} (PS3.15 E)."
    if codes:
        said = ", ".join(f"{code} ({count:,} objects)" for code, count in sorted(codes.items()))
        told += f" The objects say so by these codes of CID 7050: {said}."
    return told + " UIDs, identifiers and dates were replaced consistently, in objects and tables."


def card(about: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """The files of the card, by name. `about`: as dataset.json has it; `files`: path, bytes and
    sha256 of lists and tables."""
    return {
        "README.md": _markdown(about).encode(),
        "README.html": html_of(about).encode(),
        "croissant.jsonld": _json(_croissant(about, files)),
        "dcat.jsonld": _json(_dcat(about)),
    }


def _rows(about: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings, and under each names and values."""
    counts, source = about["counts"], about["provenance"]
    return [
        ("What is in it", [(name, f"{count:,}") for name, count in counts.items()]),
        ("Modalities", [(name, f"{n:,} series") for name, n in about["modalities"].items()]),
        ("Splits", [(name or "none", f"{n:,} series") for name, n in about["splits"].items()]),
        ("Labels", [(name, str(number)) for name, number in about["labels"].items()]),
        ("Where it comes from", [(n, str(v)) for n, v in source.items() if v]),
    ]  # fmt: skip


def _markdown(about: Mapping[str, Any]) -> str:
    parts = [f"# {about['title']}\n", about["deidentification"] + "\n"]
    parts.append(f"Licence: {about['licence'] or 'none was given; ask before you use it'}\n")
    parts.append(f"Layout {about['layout']}, formats {', '.join(about['formats'])}. ")
    parts.append(
        "`CHECKSUMS.sha256` has the checksum of every file: `sha256sum -c CHECKSUMS.sha256`, or "
        "`dicomlake dataset check FOLDER`.\n"
    )
    for heading, rows in _rows(about):
        if rows:
            parts.append(f"\n## {heading}\n\n| | |\n|---|---|\n")
            parts += [f"| {name} | {_cell(value)} |\n" for name, value in rows]
    if about["quarantine"]:
        parts.append("\n## Left out\n\n| check | objects |\n|---|---|\n")
        parts += [f"| {name} | {count:,} |\n" for name, count in about["quarantine"].items()]
    return "".join(parts)


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


def html_of(about: Mapping[str, Any]) -> str:
    """The card as a page; nothing of it is loaded from elsewhere."""
    body = [f"<h1>{escape(about['title'])}</h1><p>{escape(about['deidentification'])}</p>"]
    body.append(f"<p>Licence: {escape(about['licence'] or 'none was given')}</p>")
    for heading, rows in _rows(about):
        if rows:
            cells = "".join(
                f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows
            )
            body.append(f"<h2>{escape(heading)}</h2><table>{cells}</table>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(about['title'])}</title><style>body{{font:16px sans-serif;max-width:50em;"
        "margin:2em auto}td{padding:2px 12px 2px 0;vertical-align:top}</style>"
        f"{''.join(body)}</html>\n"
    )


def _croissant(about: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Croissant 1.0 (MLCommons): files and the sets of them."""
    objects: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject", "@id": one["path"], "name": one["path"],
            "contentUrl": one["path"], "encodingFormat": _media(one["path"]),
            "contentSize": f"{one['bytes']} B", "sha256": one["sha256"],
        }
        for one in files
    ]  # fmt: skip
    for kind, pattern, media in _SETS:
        if kind in about["formats"]:
            objects.append(
                {"@type": "cr:FileSet", "@id": f"files-{kind}", "name": kind,
                 "encodingFormat": media, "includes": pattern}
            )  # fmt: skip
    return {
        "@context": {
            "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/",
            "conformsTo": "dct:conformsTo", "includes": "cr:includes",
        },
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": about["name"],
        "description": about["deidentification"],
        "license": about["licence"] or None,
        "datePublished": about["made"],
        "version": str(about["provenance"].get("cohort_version") or 1),
        "distribution": objects,
    }  # fmt: skip


_SETS = (
    ("dicom", "**/*.dcm", "application/dicom"),
    ("nifti", "**/*.nii.gz", "application/gzip"),
    ("png", "**/*.png", "image/png"),
    ("waveforms", "waveforms/**", "application/vnd.apache.parquet"),
)


def _dcat(about: Mapping[str, Any]) -> dict[str, Any]:
    """DCAT 3 (W3C), as portals harvest it."""
    return {
        "@context": {"dcat": "http://www.w3.org/ns/dcat#", "dct": "http://purl.org/dc/terms/",
                     "prov": "http://www.w3.org/ns/prov#", "spdx": "http://spdx.org/rdf/terms#"},
        "@type": "dcat:Dataset",
        "dct:identifier": about["name"],
        "dct:title": about["title"],
        "dct:description": about["deidentification"],
        "dct:issued": about["made"],
        "dct:license": about["licence"] or None,
        "dcat:keyword": ["DICOM", *about["modalities"]],
        "dct:provenance": {"@type": "dct:ProvenanceStatement",
                           "dct:description": json.dumps(about["provenance"])},
        "dcat:distribution": [
            {"@type": "dcat:Distribution", "dct:title": name, "dcat:mediaType": media}
            for name, _, media in _SETS if name in about["formats"]
        ],
    }  # fmt: skip


def _media(path: str) -> str:
    for ending, media in ((".json", "application/json"), (".csv", "text/csv"),
                          (".tsv", "text/tab-separated-values"),
                          (".parquet", "application/vnd.apache.parquet")):  # fmt: skip
        if path.endswith(ending):
            return media
    return "application/octet-stream"


def _json(found: Any) -> bytes:
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()
