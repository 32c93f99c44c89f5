"""What was measured and outlined in a study: numbers of its reports and waveforms, and segments."""

from __future__ import annotations

from typing import Any

from dicomlake.errors import UsageError
from dicomlake.jobs.browsing import MOST_ITEMS, Row
from dicomlake.terms.ecg import measure_of

_NUMBERS = """select i."SOPInstanceUID", s."SeriesInstanceUID", s."Modality", i.path,
i.concept_value, i.concept_scheme, i.concept_meaning as concept, i.number,
coalesce(i.unit_value, '') as unit, coalesce(i.tracking, '') as tracking,
coalesce(f.code_meaning, i.site, '') as site
from items i join series s using (series_id)
left join (select series_id, "SOPInstanceUID", parent, min(code_meaning) as code_meaning from items
where concept_value = '363698007' group by all) f
on f.series_id = i.series_id and f."SOPInstanceUID" = i."SOPInstanceUID" and f.parent = i.parent
where s."StudyInstanceUID" = ? and i.value_type = 'NUM' and i.number is not null
order by s."SeriesNumber" nulls last, i."SOPInstanceUID", i.item"""
_SEGMENTS = """select g."SOPInstanceUID", s."SeriesInstanceUID", s."Modality", g.number,
coalesce(g.label, '') as label,
coalesce(g.structure_meaning, g.type_meaning, '') as type, coalesce(g.laterality, '') as laterality,
coalesce(g.algorithm_type, '') as algorithm_type, coalesce(g.algorithm_name, '') as algorithm_name,
g.frames, g.contours, g.volume, coalesce(g.volume_problem, '') as volume_problem
from segments g join series s using (series_id) where s."StudyInstanceUID" = ?
order by s."SeriesNumber" nulls last, g."SOPInstanceUID", g.number"""


def findings(engine: Any, uid: str, ticket: object = None) -> dict[str, list[Row]]:
    """Measurements and segments of a study, in the order of its series.

    `ecg` of a measurement: it is one of an electrocardiogram (PS3.16 CID 3227, 3228, 3229).
    UsageError for a study that there is not.
    """
    known = engine.read('select 1 from series where "StudyInstanceUID" = ? limit 1', [uid], ticket)
    if not known.num_rows:
        raise UsageError("There is no study of that StudyInstanceUID in this version of the lake.")
    numbers = engine.read(f"{_NUMBERS} limit {MOST_ITEMS}", [uid], ticket).to_pylist()
    segments = engine.read(f"{_SEGMENTS} limit {MOST_ITEMS}", [uid], ticket).to_pylist()
    return {"measurements": [_measurement(row) for row in numbers], "segments": segments}


def _measurement(row: Row) -> Row:
    value, scheme = row.pop("concept_value") or "", row.pop("concept_scheme") or ""
    ecg = measure_of(value, scheme)
    name = row["concept"] or (ecg.code.meaning if ecg else "")
    unit = "" if row["unit"] == "1" else row["unit"]
    code = f"{scheme}:{value}" if value else ""
    return {**row, "concept": name, "unit": unit, "code": code, "ecg": ecg is not None}
