"""What to pull from an archive: identifiers out of lists, tables, FHIR exports and HL7 messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.jobs.identifiers import columns, fhir, hl7
from dicomlake.jobs.identifiers.found import KINDS, Found, Place, check_kind
from dicomlake.jobs.identifiers.lines import Lines

__all__ = ["KINDS", "identifiers", "read_list"]


def identifiers(
    paths_or_values: Iterable[str | Path] | str | Path,
    kind: str | None = None,
    *,
    systems: Collection[str] = (),
    field: str = "",
) -> dict[str, tuple[str, ...]]:
    """What to pull, by kind of `KINDS`, out of values (texts) and of files (a Path, or "@FILE").

    >>> identifiers(["A1", "A2", "A1"])
    {'AccessionNumber': ('A1', 'A2')}

    Without a `kind` a long UID is a StudyInstanceUID, any other value an AccessionNumber. For files
    see `read_list`.
    """
    given = [paths_or_values] if isinstance(paths_or_values, str | Path) else paths_or_values
    found: dict[str, dict[str, None]] = {}
    for number, item in enumerate(given, 1):
        if isinstance(item, str) and not item.startswith("@"):
            values = _value(item, kind, number)
        else:
            path = item if isinstance(item, Path) else Path(item[1:])
            values = read_list(path, kind, systems=systems, field=field)
        for key, listed in values.items():
            found.setdefault(key, {}).update(dict.fromkeys(listed))
    return {key: tuple(found[key]) for key in KINDS if key in found}


def read_list(
    path: Path, kind: str | None = None, *, systems: Collection[str] = (), field: str = ""
) -> dict[str, list[str]]:
    """What a file says is to be pulled, by kind of `KINDS`, in its order and each once.

    The file is a list of one value per line (# begins a comment), a table with a head (CSV, also
    with semicolons or tabs), a FHIR export (a resource, a Bundle or NDJSON) or HL7 v2 messages.

    Without `kind` each row, resource or order gives what names it most narrowly: rows a
    SeriesInstanceUID, else a StudyInstanceUID, an AccessionNumber, a PatientID; orders a
    StudyInstanceUID, else an AccessionNumber. With it, all of that kind and nothing else.
    `systems`: identifier systems of FHIR that are those of accession numbers, whatever their type.
    `field`: the field of HL7 messages that has the accession number, such as "OBR-18".

    Empty when there is nothing. UsageError names the file and the line, never the value.
    """
    check_kind(kind)
    found = Found(kind)
    with Lines(path) as lines:
        beginning = lines.beginning
        if hl7.begins(beginning):
            hl7.read(lines, found, field)
        elif beginning[:1] in ("{", "["):
            fhir.read(lines, found, frozenset(systems))
        elif beginning[:1] == "<":
            raise UsageError(f"{path} is XML, which is not read. Export it as JSON or CSV.")
        else:
            columns.read(lines, found)
    return found.lists()


def _value(value: str, kind: str | None, number: int) -> dict[str, list[str]]:
    check_kind(kind)
    found = Found(kind)
    found.add_value(value.strip(), Place("The list", number, "value"))
    return found.lists()
