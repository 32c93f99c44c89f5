"""What objects do against the Standard: problems that readers met, values that it does not list.

Only of the series that a question finds, and only of their current versions.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from dicomlake.dicom.defined import LISTED
from dicomlake.engines.groups import Groups

_COUNTS = (
    "count(distinct c.patient)::bigint as patients, count(distinct c.study)::bigint as studies, "
    "count(distinct c.series_id)::bigint as series"
)


@dataclass(frozen=True, slots=True)
class Conformance:
    """Problems, and values beyond those that the Standard lists; each the most frequent first.

    Their instances are those of the series that were found, whatever the level of the question.
    `checked`: how many patients, studies, series and instances were looked at.
    """

    problems: pa.Table
    values: pa.Table
    checked: dict[str, int]


def conformance(groups: Groups, limit: int) -> Conformance:
    """What the chosen series have against the Standard, so many rows of each kind at most."""
    db = groups.db
    checked = db.execute(
        "select count(distinct patient), count(distinct study), count(*), "
        "coalesce(sum(instances), 0)::bigint from chosen"
    ).fetchall()[0]
    groups.search.check()
    problems = db.sql(
        "with met as (select c.series_id, c.patient, c.study, unnest(i.problems) as p "
        "from instances i join chosen c using (series_id) where len(i.problems) > 0) "
        f"select c.p.path as path, c.p.vr as vr, c.p.problem as problem, {_COUNTS}, "
        "count(*)::bigint as instances from met c group by 1, 2, 3 "
        f"order by series desc, instances desc, path, vr, problem limit {limit}"
    ).to_arrow_table()
    groups.search.check()
    db.register("listed", _listed())
    values = db.sql(
        f"select e.path, e.text as value, bool_or(l.enumerated) as enumerated, "
        f"any_value(l.place) as place, {_COUNTS}, sum(e.instances)::bigint as instances "
        "from elements e join chosen c using (series_id) join listed l on l.path = e.path "
        "and (l.position = 0 or l.position = e.position) "
        "where e.path in (select path from listed) and e.text <> '' "
        "and not list_contains(l.known, e.text) "
        f"group by 1, 2 order by series desc, instances desc, 1, 2 limit {limit}"
    ).to_arrow_table()
    names = ("patients", "studies", "series", "instances")
    return Conformance(problems, values, dict(zip(names, checked, strict=True)))


def _listed() -> pa.Table:
    return pa.table(
        {
            "path": [one.keyword for one in LISTED],
            "position": pa.array([one.position for one in LISTED], pa.int32()),
            "enumerated": [one.enumerated for one in LISTED],
            "place": [one.place for one in LISTED],
            "known": [sorted(one.values) for one in LISTED],
        }
    )
