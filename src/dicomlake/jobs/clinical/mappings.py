"""Mapping files of tables and texts of facts, by name."""

from __future__ import annotations

from pathlib import Path

from dicomlake.jobs.clinical.formats.mapping import mapping_of
from dicomlake.jobs.shelves import Shelf
from dicomlake.lake.store import FACTS
from dicomlake.settings import Settings


def shelf(lake: str | Path, settings: Settings) -> Shelf:
    """Mapping files of a lake, and of its watched folders of facts."""
    watched = {name: said.mapping for name, said in settings.facts.items()}
    return Shelf(Path(lake) / FACTS / "mappings", watched, mapping_of)
