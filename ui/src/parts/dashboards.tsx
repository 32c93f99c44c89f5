/** The dashboards: what the archive holds, when devices are busy, how good the data are. */

import { Select, TagsInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import { useAnswer } from "../api/client.ts";
import { anyOf, between, chosen, type How, joined, type Key, partsOf, pick, without } from "../query/filters.ts";
import type { Linked } from "../query/linked.ts";
import { go, useAddress } from "../route.tsx";
import { type Key as Text, useTexts } from "../texts.tsx";
import { Card, type Sheet } from "./card.tsx";
import { type Bar, Bars, type Cell, Heat, Heats, Matrix, type Piece, Time } from "./plots.tsx";
import { Agreement, BodyRegion, Clocks, ReportButton, RulesByDevice } from "./quality.tsx";

export type By = { path: string; bin?: string; steps?: number[] };
type Part = { linked: Linked };

const FEW = 14;
const COLOURS = 7;

/** Groups of what the question finds, without what it says of the chart's own attributes. */
function useGroups(linked: Linked, by: (string | By)[], own: string[], limit: number, others = false) {
  const where = without(linked.where, own);
  const asked = { where, level: linked.level, by, measure: { what: linked.count }, limit, others };
  const found = useAnswer("POST /api/aggregate", { body: asked }, { keep: true, enabled: !linked.reading });
  return { found, asked, where };
}

function useMeaning(linked: Linked) {
  const { t } = useTexts();
  return (by: string, { asked, where, found }: ReturnType<typeof useGroups>) => ({
    text: t("explain.text", { count: t(`level.${linked.count}`), by }),
    operation: "POST /api/aggregate",
    asked,
    where,
    level: linked.level,
    version: found.data?.version,
  });
}

/** Something of the page that stands in its address, so that links keep it. */
function useKept(name: string, usual: string): [string, (value: string) => void] {
  const { query } = useAddress();
  const set = (value: string) => {
    const now = new URLSearchParams(location.search);
    if (value === usual) now.delete(name);
    else now.set(name, value);
    const text = now.toString();
    go(text ? `${location.pathname}?${text}` : location.pathname, { replace: true });
  };
  return [query.get(name) ?? usual, set];
}

const keyOf = (value: unknown): Key => (value === null || value === undefined ? null : typeof value === "number" ? value : String(value));

// The archive

/** The values of an attribute, the most frequent first. */
function ValueBars({ linked, path, title, hint, few = FEW }: Part & { path: string; title: string; hint?: string; few?: number }) {
  const { t } = useTexts();
  const groups = useGroups(linked, [path], [path], few, true);
  const meaning = useMeaning(linked)(path, groups);
  const now = chosen(linked.where, path);
  const any = now.is.length + now.not.length > 0;
  const found = groups.found.data?.rows ?? [];
  const rare = now.is.filter((key) => !found.some((row) => !row.others && keyOf(row.keys[0]) === key));
  const also = useAnswer(
    "POST /api/aggregate",
    { body: { ...groups.asked, where: joined([...partsOf(groups.where), ...(rare.length ? [anyOf(path, rare)] : [])]), others: false } },
    { keep: true, enabled: rare.length > 0 && groups.found.data !== undefined },
  );
  const more = rare.length ? (also.data?.rows ?? []).filter((row) => rare.includes(keyOf(row.keys[0]))) : [];
  const rows: Bar[] = [...found, ...more].map((row) => {
    const key = keyOf(row.keys[0]);
    const on = row.others ? false : now.is.includes(key);
    return {
      key,
      label: row.others ? t("chart.rest") : key === null ? t("chart.missing") : String(key),
      value: row.value ?? 0,
      on,
      dim: any && (now.is.length ? !on : !row.others && now.not.includes(key)),
      ...(row.others ? {} : { act: (how: How) => linked.change((where) => pick(where, path, key, how)) }),
    };
  });
  const unit = t(`level.${linked.count}`);
  const sheet: Sheet = {
    head: [title, unit],
    rows: rows.map((row) => [row.label, row.value]),
    acts: rows.map((row) => row.act),
  };
  return (
    <Card title={title} found={groups.found} sheet={sheet} meaning={meaning} {...(hint ? { hint } : {})}>
      <Bars rows={rows} label={title} unit={unit} />
    </Card>
  );
}

/** What is split by an attribute over time; a range of time is drawn. */
function OverTime({
  linked,
  date,
  split,
  title,
  hint,
  fixed,
}: Part & { date: string; split: string; title: string; hint?: string; fixed?: boolean }) {
  const { t, language } = useTexts();
  void language;
  const groups = useGroups(linked, [{ path: date, bin: "auto" }, split], [date], 10_000);
  const whole = useAnswer(
    "POST /api/aggregate",
    { body: { by: [split], level: "series", measure: { what: linked.count }, limit: COLOURS + 1 } },
    { keep: true },
  );
  const meaning = useMeaning(linked)(`${date}, ${split}`, groups);
  const splits = (whole.data?.rows ?? []).map((row) => keyOf(row.keys[0])).slice(0, COLOURS);
  const pieces: Piece[] = (groups.found.data?.rows ?? [])
    .filter((row) => row.keys[0] !== null)
    .map((row) => ({ step: String(row.keys[0]), split: keyOf(row.keys[1]), value: row.value ?? 0 }));
  const undated = (groups.found.data?.rows ?? []).filter((row) => row.keys[0] === null).reduce((sum, row) => sum + (row.value ?? 0), 0);
  const bin = groups.found.data?.by[0]?.bin ?? "year";
  const named = (key: Key) => (key === null ? t("chart.missing") : String(key));
  const unit = t(`level.${linked.count}`);
  const sorted = [...pieces].sort((a, b) => a.step.localeCompare(b.step) || b.value - a.value);
  const sheet: Sheet = {
    head: [t(`bin.${bin}` as Text), split, unit],
    rows: sorted.map((piece) => [piece.step, named(piece.split), piece.value]),
  };
  const said = [hint, undated ? t("chart.undated", { n: undated, count: unit }) : ""].filter(Boolean).join(" ");
  const drawable = fixed
    ? {}
    : {
        draw: (range: { low: string; high: string } | null) => linked.change((where) => between(where, date, range)),
        pick: (key: Key, how: How) => linked.change((where) => pick(where, split, key, how)),
      };
  return (
    <Card title={title} found={groups.found} sheet={sheet} meaning={meaning} wide {...(said ? { hint: said } : {})}>
      <Time
        pieces={pieces}
        bin={bin}
        splits={splits}
        label={title}
        unit={unit}
        range={fixed ? null : chosen(linked.where, date).range}
        named={named}
        {...drawable}
      />
    </Card>
  );
}

const DEVICE = ["Manufacturer", "ManufacturerModelName", "SoftwareVersions"];

/** Manufacturers, their models, and the software on these. */
function Devices({ linked }: Part) {
  const { t } = useTexts();
  const title = t("chart.devices");
  const makers = useGroups(linked, DEVICE.slice(0, 1), DEVICE, 200);
  const models = useGroups(linked, DEVICE.slice(0, 2), DEVICE, 1000);
  const software = useGroups(linked, DEVICE, DEVICE, 5000);
  const meaning = useMeaning(linked)(DEVICE.join(", "), software);
  const now = DEVICE.map((path) => chosen(linked.where, path));
  const any = now.some((one) => one.is.length + one.not.length > 0);
  const [first, second, third] = [makers, models, software].map((one) => one.found.data?.rows ?? []);
  const rows: Bar[] = [];
  const add = (row: { keys: unknown[]; value: number | null }, depth: number) => {
    const key = keyOf(row.keys[depth]);
    const path = DEVICE[depth]!;
    const fits = now.every((one, level) => {
      if (level > depth) return true;
      const value = keyOf(row.keys[level]);
      return one.is.length ? one.is.includes(value) : !one.not.includes(value);
    });
    rows.push({
      key,
      label: key === null ? t("chart.missing") : String(key),
      value: row.value ?? 0,
      depth,
      on: now[depth]!.is.includes(key),
      dim: any && !fits,
      act: (how) => linked.change((where) => pick(where, path, key, how)),
    });
  };
  const below = (found: typeof first, above: unknown[]) =>
    (found ?? []).filter((row) => above.every((key, at) => row.keys[at] === key));
  for (const maker of first ?? []) {
    add(maker, 0);
    for (const model of below(second, maker.keys)) {
      add(model, 1);
      for (const version of below(third, model.keys)) if (version.keys[2] !== null) add(version, 2);
    }
  }
  const unit = t(`level.${linked.count}`);
  const sheet: Sheet = {
    head: [...DEVICE, unit],
    rows: (third ?? []).map((row) => [...row.keys.map((key) => (key === null ? null : String(key))), row.value ?? 0]),
  };
  const all = { ...software.found, error: makers.found.error ?? models.found.error ?? software.found.error };
  return (
    <Card title={title} found={all} sheet={sheet} meaning={meaning}>
      <div className="chart-scroll">
        <Bars rows={rows} label={title} unit={unit} />
      </div>
    </Card>
  );
}

export function Archive({ linked }: Part) {
  const { t } = useTexts();
  return (
    <div className="charts">
      <OverTime linked={linked} date="StudyDate" split="Modality" title={t("chart.time")} hint={t("chart.time.hint")} />
      <ValueBars linked={linked} path="Modality" title={t("chart.modality")} />
      <ValueBars linked={linked} path="BodyPartExamined" title={t("chart.part")} />
      <Devices linked={linked} />
      <ValueBars linked={linked} path="ProtocolName" title={t("chart.protocol")} />
      <ValueBars linked={linked} path="StudyDescription" title={t("chart.description")} />
      <ValueBars linked={linked} path="InstitutionName" title={t("chart.institution")} />
      <ValueBars linked={linked} path="PatientSex" title={t("chart.sex")} />
    </div>
  );
}

// Activity

const CLOCKS: Record<string, string> = { StudyTime: "StudyDate", SeriesTime: "SeriesDate", AcquisitionTime: "AcquisitionDate" };

function useWeekdays(): string[] {
  const { language } = useTexts();
  const names = new Intl.DateTimeFormat(language, { weekday: "short", timeZone: "UTC" });
  return [...Array(7).keys()].map((day) => names.format(new Date(Date.UTC(2024, 0, 1 + day))));
}

function cellOf(day: unknown, hour: unknown, value: number | null): Cell | null {
  if (typeof day !== "number" || typeof hour !== "number") return null;
  return { row: day - 1, column: hour, value: value ?? 0 };
}

function Busy({ linked }: Part) {
  const { t } = useTexts();
  const days = useWeekdays();
  const [clock, setClock] = useKept("clock", "StudyTime");
  const date = CLOCKS[clock] ?? "StudyDate";
  const by = [{ path: date, bin: "weekday" }, { path: clock, bin: "hour" }];
  const groups = useGroups(linked, by, [clock], 1000);
  const meaning = useMeaning(linked)(`${date}, ${clock}`, groups);
  const title = t("chart.busy");
  const unit = t(`level.${linked.count}`);
  const cells = (groups.found.data?.rows ?? []).flatMap((row) => cellOf(row.keys[0], row.keys[1], row.value) ?? []);
  const sheet: Sheet = {
    head: [t("bin.weekday"), t("bin.hour"), unit],
    rows: [...cells].sort((a, b) => a.row - b.row || a.column - b.column).map((cell) => [days[cell.row] ?? "", cell.column, cell.value]),
  };
  const range = chosen(linked.where, clock).range;
  const on: [number, number] | null = range ? [Number(range.low.slice(0, 2)), Number(range.high.slice(0, 2))] : null;
  const hour = (one: number) =>
    linked.change((where) => {
      const two = String(one).padStart(2, "0");
      const next = { low: `${two}:00:00`, high: `${two}:59:59.999999` };
      return between(where, clock, on?.[0] === one && on[1] === one ? null : next);
    });
  const clocks = (
    <Select
      size="xs"
      className="chart-choice"
      aria-label={t("chart.clock")}
      allowDeselect={false}
      data={Object.keys(CLOCKS)}
      value={clock}
      onChange={(value) => value && setClock(value)}
    />
  );
  return (
    <Card title={title} hint={t("chart.busy.hint")} found={groups.found} sheet={sheet} meaning={meaning} wide controls={clocks}>
      <Heat cells={cells} rows={days} label={title} unit={unit} hour={hour} on={on} />
    </Card>
  );
}

function BusyDevices({ linked }: Part) {
  const { t } = useTexts();
  const days = useWeekdays();
  const [device, setDevice] = useKept("device", "StationName");
  const groups = useGroups(
    linked,
    [device, { path: "StudyDate", bin: "weekday" }, { path: "StudyTime", bin: "hour" }],
    [device],
    10_000,
  );
  const meaning = useMeaning(linked)(`${device}, StudyDate, StudyTime`, groups);
  const title = t("chart.busy.devices");
  const unit = t(`level.${linked.count}`);
  const fields = new Map<Key, { cells: Cell[]; whole: number }>();
  for (const row of groups.found.data?.rows ?? []) {
    const cell = cellOf(row.keys[1], row.keys[2], row.value);
    if (!cell) continue;
    const name = keyOf(row.keys[0]);
    const field = fields.get(name) ?? { cells: [], whole: 0 };
    fields.set(name, { cells: [...field.cells, cell], whole: field.whole + cell.value });
  }
  const now = chosen(linked.where, device);
  const named = (key: Key) => (key === null ? t("chart.missing") : String(key));
  const ordered = [...fields].sort((a, b) => b[1].whole - a[1].whole);
  const sheet: Sheet = {
    head: [device, t("bin.weekday"), t("bin.hour"), unit],
    rows: ordered.flatMap(([key, { cells }]) =>
      cells.map((cell) => [named(key), days[cell.row] ?? "", cell.column, cell.value]),
    ),
  };
  const choice = (
    <Select
      size="xs"
      className="chart-choice"
      aria-label={t("chart.device")}
      allowDeselect={false}
      data={["StationName", "DeviceSerialNumber", "ManufacturerModelName"]}
      value={device}
      onChange={(value) => value && setDevice(value)}
    />
  );
  return (
    <Card title={title} found={groups.found} sheet={sheet} meaning={meaning} wide controls={choice}>
      <div className="chart-scroll">
        <Heats
          rows={days}
          label={title}
          unit={unit}
          fields={ordered.slice(0, 60).map(([key, { cells }]) => ({
            name: named(key),
            cells,
            on: now.is.includes(key),
            act: (how) => linked.change((where) => pick(where, device, key, how)),
          }))}
        />
      </div>
    </Card>
  );
}

export function Activity({ linked }: Part) {
  const { t } = useTexts();
  return (
    <div className="charts">
      <Busy linked={linked} />
      <BusyDevices linked={linked} />
      <OverTime linked={linked} date="StudyDate" split="StationName" title={t("chart.throughput")} hint={t("chart.time.hint")} />
      <ValueBars linked={linked} path="StationName" title={t("chart.station")} />
      <ValueBars linked={linked} path="InstitutionalDepartmentName" title={t("chart.department")} />
    </div>
  );
}

// Quality

const GROUPS = ["ManufacturerModelName", "Manufacturer", "StationName", "DeviceSerialNumber", "SoftwareVersions", "InstitutionName", "Modality"];
const MOST_COLUMNS = 16;
const USUAL = [
  "BodyPartExamined", "Laterality", "ImageLaterality", "PatientPosition", "ViewPosition", "ProtocolName", "SeriesDescription",
  "StudyDescription", "RequestedProcedureDescription", "AccessionNumber", "PatientBirthDate", "PatientSex", "PatientAge",
  "PatientSize", "PatientWeight", "DeviceSerialNumber", "SoftwareVersions", "SliceThickness", "PixelSpacing", "KVP",
  "XRayTubeCurrent", "Exposure", "CTDIvol", "ConvolutionKernel", "ContrastBolusAgent", "MagneticFieldStrength", "EchoTime",
  "RepetitionTime", "BurnedInAnnotation",
];

function Filled({ linked }: Part) {
  const { t, n } = useTexts();
  const [by, setBy] = useKept("by", "ManufacturerModelName");
  const [said, setSaid] = useKept("attributes", "");
  const [typed, setTyped] = useState("");
  const [search] = useDebouncedValue(typed.trim(), 200);
  const terms = useAnswer("GET /api/vocabulary", { query: { search, limit: 20 } }, { keep: true, enabled: search.length > 1 });
  const offered = search.length > 1 ? (terms.data?.terms ?? []).filter((term) => term.kind !== "group").map((term) => term.path) : USUAL;
  const [sorted, setSorted] = useState({ column: 0, rising: false });
  const paths = said ? (JSON.parse(said) as string[]) : [];
  const where = linked.where;
  const asked = {
    by,
    path: paths.length ? paths : USUAL,
    level: linked.level,
    limit: MOST_COLUMNS,
    where,
  };
  const found = useAnswer("POST /api/fill-rate", { body: asked }, { keep: true, enabled: !linked.reading });
  const title = t("chart.fill");
  const data = found.data;
  const columns = data ? [{ ...data.whole, key: t("fill.all") }, ...data.rows] : [];
  const share = (column: (typeof columns)[number], at: number) => (column.series ? (column.filled[at] ?? 0) / column.series : 0);
  const order = (data?.paths ?? []).map((path, at) => ({ path, at }));
  const sortBy = columns[sorted.column] ?? columns[0];
  const turned = sorted.rising ? -1 : 1;
  if (sortBy) order.sort((a, b) => turned * (share(sortBy, b.at) - share(sortBy, a.at)) || a.path.localeCompare(b.path));
  const rows = order.map(({ path, at }) => ({
    key: path,
    label: path,
    shares: columns.map((column) => share(column, at)),
    said: columns.map((column) =>
      t("fill.cell", { path, device: String(column.key), filled: n(column.filled[at]), series: n(column.series), share: n(share(column, at) * 100, 1) }),
    ),
  }));
  const press = (row: number, column: number) => {
    const path = rows[row]!.key;
    const device = column > 0 ? columns[column]!.key : undefined;
    linked.change((now) => {
      const lacking = pick(without(now, [path]), path, null, "only");
      const key = keyOf(device);
      if (device === undefined || chosen(lacking, by).is.includes(key)) return lacking;
      return pick(lacking, by, key, "only");
    });
  };
  const sheet: Sheet = {
    head: [t("fill.attribute"), ...columns.map((column) => String(column.key))],
    rows: columns.length > 1 || (data && data.whole.series > 0) ? rows.map((row) => [row.label, ...row.shares.map((one) => Math.round(one * 10_000) / 100)]) : [],
    acts: rows.map((_, at) => () => press(at, 0)),
  };
  const meaning = {
    text: t("explain.fill"),
    operation: "POST /api/fill-rate",
    asked,
    where,
    level: linked.level,
    version: data?.version,
  };
  const choice = (
      <TagsInput
        size="xs"
        className="fill-choice"
        aria-label={t("fill.choose")}
        placeholder={paths.length ? "" : t("fill.choose")}
        data={[...new Set(offered)]}
        filter={search.length > 1 ? ({ options }) => options : undefined}
        searchValue={typed}
        onSearchChange={setTyped}
        value={paths}
        onChange={(next) => setSaid(next.length ? JSON.stringify(next) : "")}
        clearable
      />
  );
  const controls = (
    <Select
      size="xs"
      className="chart-choice"
      aria-label={t("fill.by")}
      allowDeselect={false}
      data={GROUPS}
      value={by}
      onChange={(value) => value && setBy(value)}
    />
  );
  return (
    <Card title={title} hint={t("fill.hint")} found={found} sheet={sheet} meaning={meaning} wide controls={controls} above={choice}>
      <div className="chart-scroll tall">
        <Matrix rows={rows} columns={columns.map((column) => String(column.key))} label={title} press={press}
          sorted={sorted.column}
          sort={(column) => setSorted((now) => ({ column, rising: now.column === column && !now.rising }))} />
      </div>
    </Card>
  );
}

/** What objects do against the Standard: values that it does not list, and problems of readers. */
function Conformance({ linked }: Part) {
  const { t } = useTexts();
  const { where, level, count } = linked;
  const asked = { where, level, limit: 40 };
  const found = useAnswer("POST /api/conformance", { body: asked }, { keep: true, enabled: !linked.reading });
  const unit = t(`level.${count}`);
  const meaning = { text: "", operation: "POST /api/conformance", asked, where, level, version: found.data?.version };
  const listing = [...(found.data?.values ?? [])].sort((a, b) => b[count] - a[count]);
  const meeting = [...(found.data?.problems ?? [])].sort((a, b) => b[count] - a[count]);
  const values: Bar[] = listing.map((row) => ({
    key: `${row.path} ${row.value}`,
    label: `${row.path}: ${row.value}`,
    value: row[count],
    on: chosen(where, row.path).is.includes(row.value),
    act: (how) => linked.change((now) => pick(now, row.path, row.value, how)),
  }));
  const problems: Bar[] = meeting.map((row) => ({
    key: `${row.path} ${row.problem}`,
    label: row.path ? `${row.path}: ${row.problem}` : row.problem,
    value: row[count],
  }));
  const listed: Sheet = {
    head: [t("fill.attribute"), t("conform.value"), t("conform.place"), unit],
    rows: listing.map((row) => [row.path, row.value, row.place, row[count]]),
    acts: values.map((row) => row.act),
  };
  const met: Sheet = {
    head: [t("fill.attribute"), "VR", t("conform.problem"), unit],
    rows: meeting.map((row) => [row.path || t("conform.object"), row.vr, row.problem, row[count]]),
  };
  return (
    <>
      <Card title={t("chart.unlisted")} hint={t("conform.hint")} found={found} sheet={listed} meaning={{ ...meaning, text: t("explain.unlisted", { count: unit }) }}>
        <div className="chart-scroll">
          <Bars rows={values} label={t("chart.unlisted")} unit={unit} />
        </div>
      </Card>
      <Card title={t("chart.problems")} found={found} sheet={met} meaning={{ ...meaning, text: t("explain.problems", { count: unit }) }}>
        <div className="chart-scroll">
          <Bars rows={problems} label={t("chart.problems")} unit={unit} />
        </div>
      </Card>
    </>
  );
}

const LAGS = [-1_000_000, 0, 1, 2, 8, 31, 366];

/** How many days passed until the lake had it. */
function Lag({ linked, path, title }: Part & { path: string; title: string }) {
  const { t } = useTexts();
  const groups = useGroups(linked, [{ path, bin: "steps", steps: LAGS }], [], 100);
  const meaning = useMeaning(linked)(path, groups);
  const by = new Map((groups.found.data?.rows ?? []).map((row) => [keyOf(row.keys[0]), row.value ?? 0]));
  const rows: Bar[] = [...LAGS, null].flatMap((step, at) => {
    const value = by.get(step);
    return value ? [{ key: step, label: t(`lag.${step === null ? "none" : at}` as Text), value }] : [];
  });
  const unit = t(`level.${linked.count}`);
  return (
    <Card
      title={title}
      hint={t("lag.hint")}
      found={groups.found}
      sheet={{ head: [title, unit], rows: rows.map((row) => [row.label, row.value]) }}
      meaning={meaning}
    >
      <Bars rows={rows} label={title} unit={unit} />
    </Card>
  );
}

function Failed({ linked }: Part) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/failures", { query: { limit: 1 } }, { keep: true });
  const title = t("chart.failures");
  const unit = t("failures.objects");
  const rows: Bar[] = (found.data?.sources ?? []).map((row) => ({
    key: `${row.source} ${row.stage} ${row.reason}`,
    label: `${row.source} · ${row.reason ?? ""}`,
    value: row.objects,
  }));
  const sheet: Sheet = {
    head: [t("failures.source"), t("failures.stage"), t("failures.reason"), unit],
    rows: (found.data?.sources ?? []).map((row) => [row.source, row.stage, row.reason, row.objects]),
  };
  const meaning = {
    text: t("explain.failures"),
    operation: "GET /api/failures",
    asked: {},
    where: null,
    level: linked.level,
    version: found.data?.version,
  };
  const hint = partsOf(linked.where).length ? t("failures.hint") : "";
  return (
    <Card title={title} found={found} sheet={sheet} meaning={meaning} {...(hint ? { hint } : {})}>
      <Bars rows={rows} label={title} unit={unit} />
    </Card>
  );
}

export function Quality({ linked }: Part) {
  const { t } = useTexts();
  return (
    <div className="charts">
      <ReportButton linked={linked} />
      <Filled linked={linked} />
      <ValueBars linked={linked} path="finding.rule" title={t("quality.rules")} hint={t("quality.rules.hint")} few={24} />
      <ValueBars linked={linked} path="finding.severity" title={t("quality.severity")} />
      <BodyRegion linked={linked} />
      <Agreement linked={linked} />
      <RulesByDevice linked={linked} />
      <Clocks linked={linked} />
      <Conformance linked={linked} />
      <Failed linked={linked} />
      <Lag linked={linked} path="lag" title={t("chart.lag")} />
      <OverTime linked={linked} date="indexed" split="source" title={t("chart.arrivals")} fixed />
    </div>
  );
}

