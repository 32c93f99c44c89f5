"""How complete and how right the headers of some series are: the numbers of a report of quality.

Everything is counted by SQL over the tables, of the series that a question finds. A value counts
as filled in when it can be used: text that is no date is no StudyDate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom.defined import LISTED
from dicomlake.engines.groups import Groups
from dicomlake.errors import UsageError
from dicomlake.lake import clocks
from dicomlake.query.attributes import attribute
from dicomlake.terms.bodyparts import listed as listed_parts
from dicomlake.terms.bodyparts import load
from dicomlake.terms.bodyparts.places import PLACES, paired, places_of, regions_of_term

BY = {
    "device": clocks.DEVICE,
    "site": "nullif(trim(s.\"InstitutionName\"), '')",
    "year": 'year(s."StudyDate")::varchar',
    "month": "strftime(s.\"StudyDate\", '%Y-%m')",
    "modality": 's."Modality"',
}
"""What a report can be by: SQL over `series s`."""
ATTRIBUTES = tuple(
    """
PatientID PatientBirthDate PatientSex PatientAge StudyDate StudyTime AccessionNumber
StudyDescription RequestedProcedureDescription ReferringPhysicianName Modality BodyPartExamined
Laterality ImageLaterality ViewPosition PatientPosition SeriesDescription ProtocolName SeriesDate
AcquisitionDate AcquisitionTime Manufacturer ManufacturerModelName DeviceSerialNumber StationName
SoftwareVersions InstitutionName PixelSpacing SliceThickness SpacingBetweenSlices KVP
XRayTubeCurrent ExposureTime ConvolutionKernel CTDIvol ContrastBolusAgent MagneticFieldStrength
RepetitionTime EchoTime FlipAngle SequenceName Radiopharmaceutical Units
""".split()
)
"""The attributes that matter, in clinical order: patient, request, region, device, technique."""
_IMAGES = "CT MR CR DX MG US NM PT XA RF IO PX OP OPT BMD"
_FOR = {
    "CT": "ConvolutionKernel CTDIvol",
    "CT MR PT": "SliceThickness SpacingBetweenSlices PixelSpacing",
    "CT MR PT NM": "PatientPosition",
    "CT CR DX MG XA RF PX": "KVP XRayTubeCurrent ExposureTime",
    "CT MR XA RF": "ContrastBolusAgent",
    "CR DX MG": "ViewPosition ImageLaterality",
    "MR": "MagneticFieldStrength RepetitionTime EchoTime FlipAngle SequenceName",
    "PT NM": "Radiopharmaceutical",
    "PT": "Units",
    _IMAGES: "BodyPartExamined Laterality ProtocolName AcquisitionDate AcquisitionTime",
}
_MODALITIES_OF = {name: some.split() for some, names in _FOR.items() for name in names.split()}
MOST_GROUPS = 40
MOST_VALUES = 50
_STEPS = (1, 2, 3, 6, 11, 21, 51, 101, 201, 501, 1001)
"""Lower bounds of the groups of sizes of studies and series."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is by, and of which attributes; those that matter when none are given."""

    by: str = "device"
    attributes: tuple[str, ...] = ATTRIBUTES

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise UsageError(f"{self.by!r} is nothing to report by. Use one of {', '.join(BY)}.")
        names = tuple(attribute(name).path for name in self.attributes) or ATTRIBUTES
        if inside := [name for name in names if attribute(name).table]:
            raise UsageError(f"{inside[0]} is inside of objects; give attributes of headers.")
        object.__setattr__(self, "attributes", names)


def assess(groups: Groups, asked: Asked) -> Row:
    """All numbers of a report of quality, by section; see docs/quality.md."""
    told = _Assessment(groups, asked)
    return {
        "counts": told.counts(),
        "groups": told.groups(),
        "attributes": told.attributes(),
        "modality": told.modality(),
        "body_region": told.body_region(),
        "laterality": told.laterality(),
        "sizes": told.sizes(),
        "declared": told.declared(),
        "checked": told.checked(),
        "findings": told.findings(),
        "findings_by": told.findings_by(),
        "anatomy": told.anatomy(),
        "clocks": told.clocks(),
        "trend": told.trend(),
    }


class _Assessment:
    """Sections of a report, of the series in `chosen`, of which `asked_series` holds enough."""

    def __init__(self, groups: Groups, asked: Asked) -> None:
        self._db, self._check, self._asked = groups.db, groups.search.check, asked
        columns = [name for name in asked.attributes if name in tables.SERIES_KEYWORDS]
        flags = "".join(f', {_flag(name, _usable(name))} as "has {name}"' for name in columns)
        self._check()
        self._db.execute(
            "create or replace temp table asked_series as select c.series_id, c.patient, c.study, "
            f'c.instances, {BY[asked.by]} as key, s."Modality" as modality, '
            "date_trunc('month', s.\"StudyDate\")::date as month, "
            'upper(trim(s."BodyPartExamined")) as part, s."BodyPartExamined" as part_sent, '
            'upper(left(trim(s."Laterality"), 1)) as side, '
            f'upper(left(trim(s."ImageLaterality"), 1)) as image_side{flags} '
            "from chosen c join series s using (series_id)"
        )
        for name in asked.attributes:
            if name not in columns:
                self._add(name)
        sums = ", ".join(
            f'count("has {_escaped(name)}")::bigint as "of {n}", '
            f'count(*) filter ("has {_escaped(name)}")::bigint as "in {n}"'
            for n, name in enumerate(asked.attributes)
        )
        self._db.execute(
            "create or replace temp table cells as select key, year(month)::varchar as period, "
            f"count(*)::bigint as series, {sums} from asked_series group by 1, 2"
        )

    def _add(self, path: str) -> None:
        """Note which series have a value at a path that is no column."""
        has = (
            "series_id in (select series_id from elements where path = ? and (folded or "
            "text <> '' or number is not null or moment is not null or code_value is not null))"
        )
        self._check()
        self._db.execute(f'alter table asked_series add column "has {_escaped(path)}" boolean')
        self._db.execute(
            f'update asked_series set "has {_escaped(path)}" = {_flag(path, has)}', [path]
        )

    def _summed(self, by: str) -> list[Row]:
        """Of each attribute by its number how many series should have it (of) and do (in)."""
        sums = ", ".join(
            f'sum("{what} {n}")::bigint as "{what} {n}"'
            for n in range(len(self._asked.attributes))
            for what in ("of", "in")
        )
        return self._rows(f"select {by} as key, {sums} from cells group by 1")

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        self._check()
        found = self._db.sql(statement, params=list(values)).to_arrow_table()
        rows: list[Row] = found.to_pylist()
        return rows

    def counts(self) -> Row:
        """How much there is."""
        return self._rows(
            "select count(distinct patient) as patients, count(distinct study) as studies, "
            "count(*) as series, coalesce(sum(instances), 0)::bigint as instances from asked_series"
        )[0]

    def groups(self) -> list[Row]:
        """The largest groups; those of a year or month in their order."""
        timed = self._asked.by in ("year", "month")
        order = "key desc nulls last" if timed else "series desc, key nulls last"
        found = self._rows(
            "select key, count(distinct study) as studies, count(*) as series from asked_series "
            f"group by 1 order by {order} limit {MOST_GROUPS}"
        )
        self._keys = [row["key"] for row in found]
        self._db.register(
            "shown_keys", pa.table({"key": pa.array(self._keys, pa.string()),
                                    "place": range(len(found))})
        )  # fmt: skip
        return found

    def attributes(self) -> list[Row]:
        """Of each attribute how many series should have it and how many do, and by group."""
        names = self._asked.attributes
        whole = self._summed("1")
        total = whole[0] if whole else {f"{what} {n}": 0 for n in range(len(names))
                                        for what in ("of", "in")}  # fmt: skip
        by_key = {row["key"]: row for row in self._summed("key")}
        return [
            {
                "path": name,
                "modalities": _MODALITIES_OF.get(name, []),
                "of": total[f"of {n}"],
                "filled": total[f"in {n}"],
                "groups": [
                    {"of": by_key[key][f"of {n}"], "filled": by_key[key][f"in {n}"]}
                    for key in self._keys
                ],
            }
            for n, name in enumerate(names)
        ]

    def modality(self) -> Row:
        """Whether the modality is one that the Standard lists (PS3.16 CID 29 and 33)."""
        known = next(one.values for one in LISTED if one.keyword == "Modality")
        rows = self._rows(
            "select modality as value, count(*) as series from asked_series group by 1"
        )
        given = [row for row in rows if (row["value"] or "").strip()]
        odd = [row for row in given if row["value"] not in known]
        return {
            "given": _sum(given),
            "missing": _sum(rows) - _sum(given),
            "listed": _sum(given) - _sum(odd),
            "not_listed": _first(odd),
        }

    def body_region(self) -> Row:
        """How series of images say what they show: by a term of the Standard, freely, not."""
        rows = self._rows(
            "select part_sent as value, count(*) as series from asked_series "
            f"where {_images()} group by 1"
        )
        kinds: dict[str, list[Row]] = {kind: [] for kind in _PART_KINDS}
        known = load()
        for row in rows:
            regions = regions_of_term(row["value"] or "")
            row["meaning"] = ", ".join(known.code(code).meaning for code in regions) or None
            row["codes"] = [f"SCT:{code}" for code in regions]
            kinds[_part_kind(row["value"], regions)].append(row)
        return {
            "images": _sum(rows),
            **{name: _sum(some) for name, some in kinds.items()},
            "free": _first(kinds["mapped"]),
            "not_known": _first(kinds["unknown"]),
            "stated": self._stated(),
        }

    def _stated(self) -> list[Row]:
        """How sure enrichers are of the body part of series of images, by steps of confidence."""
        return self._rows(
            "select least(floor(confidence * 10) / 10, 0.9) as low, count(*) as series from ("
            "select series_id, max(confidence) as confidence from annotations semi join "
            f"(from asked_series where {_images()}) using (series_id) where kind = 'body part' "
            "group by 1) "
            "where confidence is not null group by 1 order by 1 desc"
        )

    def laterality(self) -> Row:
        """Of the organs that are there on both sides: is the side said, and only one."""
        self._register_parts()
        found = self._rows(
            "with framed as (select series_id, any_value(upper(left(trim(text), 1))) as side "
            "from elements semi join asked_series using (series_id) "
            "where path like '%.FrameLaterality' and text <> '' group by 1), "
            "asked as (select s.*, f.side as frame_side from asked_series s "
            "join parts p on p.part is not distinct from s.part left join framed f "
            f"using (series_id) where p.paired and {_images('s.')}) "
            "select count(*)::bigint as paired, count(*) filter (coalesce(nullif(side, ''), "
            "nullif(image_side, ''), frame_side) is not null)::bigint as given, "
            "count(*) filter (side in ('L', 'R') and image_side in ('L', 'R') "
            "and side <> image_side)::bigint as contradicting from asked"
        )[0]
        return {**found, "missing": found["paired"] - found["given"]}

    def _register_parts(self) -> None:
        parts = [row["part"] for row in self._rows("select distinct part from asked_series")]
        regions = [regions_of_term(part or "") for part in parts]
        places = [_places(codes) for codes in regions]
        self._db.register(
            "parts",
            pa.table(
                {
                    "part": pa.array(parts, pa.string()),
                    "paired": [len(codes) == 1 and paired(codes[0]) for codes in regions],
                    "place": pa.array([", ".join(some) or None for some in places], pa.string()),
                    "places": pa.array(places, pa.list_(pa.string())),
                }
            ),
        )

    def sizes(self) -> Row:
        """Series of a study, and instances of a series by modality: how many, and outliers."""
        self._db.execute(
            "create or replace temp table sized as "
            "select '' as of, count(*)::double as n from asked_series group by study union all "
            "select coalesce(modality, '?'), instances::double from asked_series"
        )
        rows = self._rows(
            "with spread as (select of, quantile_cont(n, [0, 0.25, 0.5, 0.75, 1]) as q, "
            "count(*)::bigint as many from sized group by 1) "
            "select of, many, q, count(*) filter (n > q[4] + 3 * greatest(q[4] - q[2], 1))::bigint "
            "as outliers from sized join spread using (of) group by all order by many desc, of"
        )
        shown = [
            {
                "of": row["of"], "many": row["many"], "outliers": row["outliers"],
                **dict(zip(("min", "low", "median", "high", "max"), row["q"], strict=True)),
            }
            for row in rows
        ]  # fmt: skip
        return {
            "series_per_study": next((row for row in shown if not row["of"]), None),
            "instances_per_series": [row for row in shown if row["of"]][:MOST_GROUPS],
            "studies": self._steps("of = ''"),
            "series": self._steps("of <> ''"),
        }

    def _steps(self, where: str) -> list[Row]:
        cases = "".join(f"when n >= {low} then {low} " for low in _STEPS[::-1])
        return self._rows(
            f"select case {cases}else 0 end as low, count(*)::bigint as many from sized "
            f"where {where} group by 1 order by 1"
        )

    def declared(self) -> Row:
        """What archives list against what the lake has."""
        series = self._rows(
            "with told as (select s.series_id, any_value(s.instances) as have, "
            'max(c."NumberOfSeriesRelatedInstances") as n from catalogue c '
            'join series s on s."SeriesInstanceUID" = c."SeriesInstanceUID" '
            "semi join asked_series using (series_id) where c.level = 'SERIES' group by 1) "
            f"select {_compared} from told where n is not null"
        )[0]
        studies = self._rows(
            'with told as (select s."StudyInstanceUID", count(distinct s.series_id) as have, '
            'max(c."NumberOfStudyRelatedSeries") as n from catalogue c '
            'join series s on s."StudyInstanceUID" = c."StudyInstanceUID" '
            "semi join asked_series using (series_id) where c.level = 'STUDY' group by 1) "
            f"select {_compared} from told where n is not null"
        )[0]
        return {"series": series, "studies": studies}

    def checked(self) -> list[Row]:
        """How many series each enricher has looked at that makes findings, or whose rows count."""
        return self._rows(
            "select enricher, count(distinct series_id)::bigint as series from enrichments "
            "semi join asked_series using (series_id) where state = 'done' group by 1 order by 1"
        )

    def findings(self) -> list[Row]:
        """Rules that are broken, the worst first."""
        return self._rows(
            "select f.rule, f.severity, any_value(f.text) as text, any_value(f.enricher) as "
            "enricher, count(distinct f.series_id)::bigint as series, "
            "count(distinct s.study)::bigint as studies, count(*)::bigint as rows, "
            "list(distinct f.path order by f.path)[:12] as paths "
            "from findings f join asked_series s using (series_id) group by 1, 2 order by "
            "case f.severity when 'error' then 0 when 'warning' then 1 else 2 end, "
            "series desc, f.rule"
        )

    def findings_by(self) -> list[Row]:
        """Series of each group that break a rule."""
        return self._rows(
            'select k.place::bigint as "group", f.rule, f.severity, '
            "count(distinct f.series_id)::bigint as series "
            "from findings f join asked_series s using (series_id) "
            "join shown_keys k on k.key is not distinct from s.key group by 1, 2, 3 "
            "order by 1, 2, 3"
        )

    def anatomy(self) -> Row:
        """Where headers say that pictures were taken, against the structures seen in them."""
        codes = self._rows(
            "select distinct structure from annotations semi join asked_series using (series_id) "
            "where kind = 'structure' and structure is not null"
        )
        pairs = [
            (row["structure"], place)
            for row in codes
            for place in places_of(str(row["structure"]).removeprefix("SCT:"))
        ]
        self._db.register(
            "seen_places",
            pa.table({"structure": pa.array([a for a, _ in pairs], pa.string()),
                      "seen": pa.array([b for _, b in pairs], pa.string())}),
        )  # fmt: skip
        self._db.execute(
            "create or replace temp table seen as select distinct s.series_id, p.place, p.places, "
            "n.seen from annotations a join asked_series s using (series_id) "
            "join seen_places n using (structure) "
            "join parts p on p.part is not distinct from s.part where a.kind = 'structure'"
        )
        rows = self._rows(
            "select place as header, seen, count(*)::bigint as series from seen "
            "group by 1, 2 order by 1 nulls last, 2"
        )
        agreed = self._rows(
            "select count(*)::bigint as compared, count(*) filter (agrees)::bigint as agreeing "
            "from (select series_id, bool_or(list_contains(places, seen)) as agrees from seen "
            "where place is not null group by 1)"
        )[0]
        return {"places": list(PLACES.values()), "rows": rows, **agreed}

    def clocks(self) -> list[Row]:
        """How far the clocks of devices are from others, in s; the furthest first."""
        self._check()
        self._db.execute(
            f"create or replace temp table clock as {clocks.differences('asked_series')}"
        )
        rows = self._rows(
            'select device, modality, against, samples, "offset" as offset_s, spread as spread_s '
            f"from ({clocks.offsets('clock')}) "
            'order by abs("offset") desc, device, modality, against limit 200'
        )
        months = self._rows(
            "select device, modality, against, month, median(off) as off, count(*)::bigint as "
            "samples from clock where month is not null group by 1, 2, 3, 4 order by 4"
        )
        usual = {
            (row["device"], row["modality"], row["against"]): row["usual"]
            for row in self._rows(
                'select device, modality, against, median - "offset" as usual '
                f"from ({clocks.offsets('clock')})"
            )
        }
        called = {
            row.pop("device"): {name: value for name, value in row.items() if value}
            for row in self._rows(
                f'select {clocks.DEVICE} as device, any_value("ManufacturerModelName") as '
                '"ManufacturerModelName", any_value("DeviceSerialNumber") as "DeviceSerialNumber", '
                "any_value(case when coalesce(\"DeviceSerialNumber\", '') = '' then "
                '"StationName" end) as "StationName" from series '
                "semi join asked_series using (series_id) group by 1"
            )
        }
        for row in rows:
            row["attributes"] = called[row["device"]]
            key = (row["device"], row["modality"], row["against"])
            row["months"] = [
                {"month": f"{m['month']:%Y-%m}", "samples": m["samples"],
                 "offset_s": m["off"] - usual[key]}
                for m in months if (m["device"], m["modality"], m["against"]) == key
            ]  # fmt: skip
        return rows

    def trend(self) -> list[Row]:
        """By year: series, how many attributes are filled in, how many series have errors."""
        many = range(len(self._asked.attributes))
        sums = {
            row["key"]: (sum(row[f"of {n}"] for n in many), sum(row[f"in {n}"] for n in many))
            for row in self._summed("period")
        }
        rows = self._rows(
            "with wrong as (select distinct series_id from findings "
            "where severity = 'error'), looked as (select distinct series_id from enrichments "
            "where state = 'done' and enricher = 'conformance') "
            "select year(month)::varchar as period, count(*)::bigint as series, "
            "count(l.series_id)::bigint as checked, count(w.series_id)::bigint as with_errors "
            "from asked_series left join wrong w using (series_id) "
            "left join looked l using (series_id) "
            "group by 1 order by 1 nulls last"
        )
        return [
            {**row, "of": sums[row["period"]][0], "filled": sums[row["period"]][1]} for row in rows
        ]


_compared = (
    "count(*)::bigint as compared, count(*) filter (have = n)::bigint as equal, "
    "count(*) filter (have < n)::bigint as fewer, count(*) filter (have > n)::bigint as more"
)


def _usable(name: str) -> str:
    """SQL: whether a column of `series s` has a value."""
    kind = tables.type_of(name)
    if pa.types.is_list(kind):
        return f'coalesce(len(s."{name}") > 0, false)'
    if pa.types.is_string(kind):
        return f"coalesce(trim(s.\"{name}\") <> '', false)"
    return f'(s."{name}" is not null)'


def _flag(name: str, has: str) -> str:
    """SQL: whether a series has an attribute, null where its modality does not ask for it."""
    modalities = _MODALITIES_OF.get(name)
    if modalities is None:
        return has
    listed = ", ".join(f"'{one}'" for one in modalities)
    return f"case when modality in ({listed}) then {has} end"


def _images(prefix: str = "") -> str:
    listed = ", ".join(f"'{one}'" for one in _IMAGES.split())
    return f"({prefix}modality in ({listed}))"


def _escaped(name: str) -> str:
    return name.replace('"', '""')


def _sum(rows: Iterable[Row]) -> int:
    return sum(row["series"] for row in rows)


def _first(rows: list[Row]) -> list[Row]:
    order: Callable[[Row], Any] = lambda row: (-row["series"], str(row["value"]))  # noqa: E731
    return sorted(rows, key=order)[:MOST_VALUES]


_PART_KINDS = ("missing", "standard", "mapped", "unknown")


def _part_kind(value: str | None, regions: tuple[str, ...]) -> str:
    text = (value or "").strip()
    if not text:
        return "missing"
    if text in listed_parts():
        return "standard"
    return "mapped" if regions else "unknown"


def _places(codes: tuple[str, ...]) -> list[str]:
    found = {place for code in codes for place in places_of(code)}
    return [place for place in PLACES.values() if place in found]
