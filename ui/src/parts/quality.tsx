/** What rules find, what headers say of the body, and clocks: charts of the report of quality. */

import { Button, Select } from "@mantine/core";
import { useState } from "react";
import { download, Refused, useAnswer } from "../api/client.ts";
import { chosen, pick, without } from "../query/filters.ts";
import type { Linked } from "../query/linked.ts";
import { useTexts } from "../texts.tsx";
import { Card, type Sheet } from "./card.tsx";
import { Icon } from "./icon.tsx";
import { type Bar, Bars, Drift, type Drifting, Matrix } from "./plots.tsx";
import { Trouble } from "./states.tsx";

type Part = { linked: Linked };

const RULE = "finding.rule";
const DEVICE = "ManufacturerModelName";
const DISAGREES = "segmented anatomy disagrees";
const MOST_RULES = 60;
const MOST_DEVICES = 14;
const MOST_CLOCKS = 12;
const BY = ["device", "site", "year", "modality"] as const;

const asText = (linked: Linked) => ({ level: linked.level, ...(linked.where ? { where: JSON.stringify(linked.where) } : {}) });

/** The report of what the question finds. */
function useReport(linked: Linked) {
  const { t } = useTexts();
  const asked = asText(linked);
  const found = useAnswer("GET /api/quality", { query: asked }, { keep: true, enabled: !linked.reading });
  const meaning = {
    text: t("explain.quality"),
    operation: "GET /api/quality",
    asked,
    where: linked.where,
    level: linked.level,
    version: found.data?.version,
  };
  return { found, meaning };
}

/** The button that hands out the report as a file. */
export function ReportButton({ linked }: Part) {
  const { t } = useTexts();
  const [by, setBy] = useState<string>("device");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Refused | null>(null);
  const take = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await download("GET", "/api/quality/report", { query: { ...asText(linked), by } }, "quality.html");
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(0, ""));
    }
    setBusy(false);
  };
  return (
    <div className="report-line">
      {problem && <Trouble error={problem} />}
      <Select
        size="xs"
        className="chart-choice"
        aria-label={t("quality.report.by")}
        allowDeselect={false}
        data={BY.map((value) => ({ value, label: t(`quality.by.${value}`) }))}
        value={by}
        onChange={(value) => value && setBy(value)}
      />
      <Button size="compact-sm" variant="light" loading={busy} leftSection={<Icon name="down_to" />} onClick={() => void take()}>
        {t("quality.report")}
      </Button>
    </div>
  );
}

/** Rules by devices: the share of the series of a device that break a rule. */
export function RulesByDevice({ linked }: Part) {
  const { t, n } = useTexts();
  const where = without(linked.where, [RULE, DEVICE]);
  const asked = { where, level: linked.level, by: [RULE, DEVICE], measure: { what: "series" as const }, limit: 5000 };
  const broken = useAnswer("POST /api/aggregate", { body: asked }, { keep: true, enabled: !linked.reading });
  const whole = useAnswer(
    "POST /api/aggregate",
    { body: { ...asked, by: [DEVICE], limit: MOST_DEVICES } },
    { keep: true, enabled: !linked.reading },
  );
  const [sorted, setSorted] = useState(0);
  const devices = (whole.data?.rows ?? []).filter((row) => row.keys[0] !== null);
  const counts = new Map<string, Map<string, number>>();
  for (const row of broken.data?.rows ?? []) {
    const [rule, device] = row.keys;
    if (typeof rule !== "string" || typeof device !== "string") continue;
    const known = counts.get(rule) ?? new Map<string, number>();
    counts.set(rule, known.set(device, row.value ?? 0));
  }
  const share = (rule: string, at: number) => {
    const device = devices[at];
    return device?.value ? (counts.get(rule)?.get(String(device.keys[0])) ?? 0) / device.value : 0;
  };
  const rules = [...counts.keys()].sort((a, b) => share(b, sorted) - share(a, sorted) || a.localeCompare(b)).slice(0, MOST_RULES);
  const columns = devices.map((row) => String(row.keys[0]));
  const rows = rules.map((rule) => ({
    key: rule,
    label: rule,
    shares: devices.map((_, at) => share(rule, at)),
    said: devices.map((row, at) =>
      t("quality.cell", { rule, device: columns[at]!, found: n(counts.get(rule)?.get(columns[at]!) ?? 0), series: n(row.value ?? 0) }),
    ),
  }));
  const press = (rule: string, device: string) => linked.change((now) => pick(pick(without(now, [RULE, DEVICE]), DEVICE, device, "only"), RULE, rule, "only"));
  const listed = rules.flatMap((rule) =>
    columns.flatMap((device) => {
      const found = counts.get(rule)?.get(device) ?? 0;
      return found ? [{ cells: [rule, device, found], act: () => press(rule, device) }] : [];
    }),
  );
  const sheet: Sheet = {
    head: [t("quality.rule"), t("quality.device"), t("level.series")],
    rows: listed.map((one) => one.cells),
    acts: listed.map((one) => one.act),
  };
  const meaning = {
    text: t("explain.text", { count: t("level.series"), by: asked.by.join(", ") }),
    operation: "POST /api/aggregate",
    asked,
    where,
    level: linked.level,
    version: broken.data?.version,
  };
  const title = t("quality.devices");
  const both = { ...broken, error: broken.error ?? whole.error, data: whole.data && broken.data };
  return (
    <Card title={title} hint={t("quality.devices.hint")} found={both} sheet={sheet} meaning={meaning} wide>
      <div className="chart-scroll tall">
        <Matrix rows={rows} columns={columns} label={title} sorted={sorted} sort={setSorted} press={(row, column) => press(rules[row]!, columns[column]!)} />
      </div>
    </Card>
  );
}

/** What headers say of the body part, and of its side. */
export function BodyRegion({ linked }: Part) {
  const { t } = useTexts();
  const { found, meaning } = useReport(linked);
  const title = t("quality.region");
  const part = "BodyPartExamined";
  const region = found.data?.body_region;
  const side = found.data?.laterality;
  const missing = () => linked.change((now) => pick(now, part, null, "only"));
  const lacking = () => linked.change((now) => pick(now, RULE, "laterality missing", "only"));
  const rows: Bar[] = region && side
    ? [
        { key: "standard", label: t("quality.region.standard"), value: region.standard },
        { key: "mapped", label: t("quality.region.mapped"), value: region.mapped },
        { key: "unknown", label: t("quality.region.unknown"), value: region.unknown },
        { key: "missing", label: t("quality.region.missing"), value: region.missing, act: missing, on: chosen(linked.where, part).is.includes(null) },
        { key: "given", label: t("quality.side.given"), value: side.given },
        { key: "lacking", label: t("quality.side.missing"), value: side.missing, act: lacking, on: chosen(linked.where, RULE).is.includes("laterality missing") },
        { key: "both", label: t("quality.side.contradicting"), value: side.contradicting },
      ]
    : [];
  const sheet: Sheet = {
    head: [title, t("level.series")],
    rows: rows.map((row) => [row.label, row.value]),
    acts: rows.map((row) => row.act),
  };
  return (
    <Card title={title} hint={t("quality.region.hint")} found={found} sheet={sheet} meaning={meaning}>
      <Bars rows={rows} label={title} unit={t("level.series")} />
    </Card>
  );
}

/** Where headers say that pictures were taken, against what segmenters see. */
export function Agreement({ linked }: Part) {
  const { t, n } = useTexts();
  const { found, meaning } = useReport(linked);
  const [sorted, setSorted] = useState(0);
  const title = t("quality.anatomy");
  const told = found.data?.anatomy;
  const seen = (told?.places ?? []).filter((place) => told?.rows.some((row) => row.seen === place));
  const counts = new Map((told?.rows ?? []).map((row) => [`${row.header ?? ""}|${row.seen}`, row.series]));
  const at = (header: string, place: string) => counts.get(`${header}|${place}`) ?? 0;
  const headers = [...new Set((told?.rows ?? []).map((row) => row.header ?? ""))];
  const place = seen[sorted] ?? seen[0] ?? "";
  headers.sort((a, b) => at(b, place) - at(a, place) || a.localeCompare(b));
  const named = (header: string) => header || t("chart.missing");
  const press = () => linked.change((now) => pick(now, RULE, DISAGREES, "only"));
  const rows = headers.map((header) => {
    const most = Math.max(...seen.map((one) => at(header, one)), 1);
    return {
      key: header,
      label: named(header),
      shares: seen.map((one) => at(header, one) / most),
      said: seen.map((one) => t("quality.anatomy.cell", { header: named(header), seen: one, n: n(at(header, one)) })),
    };
  });
  const sheet: Sheet = {
    head: [t("quality.anatomy.header"), ...seen],
    rows: headers.map((header) => [named(header), ...seen.map((one) => at(header, one))]),
    acts: headers.map(() => press),
  };
  return (
    <Card title={title} hint={t("quality.anatomy.hint")} found={found} sheet={sheet} meaning={meaning}>
      <Matrix rows={rows} columns={seen} label={title} sorted={sorted} sort={setSorted} press={press} />
    </Card>
  );
}

/** How far clocks of devices are off. */
export function Clocks({ linked }: Part) {
  const { t, n } = useTexts();
  const { found, meaning } = useReport(linked);
  const title = t("quality.clocks");
  const told = found.data?.clocks ?? [];
  const minutes = (seconds: number) => n(seconds / 60, 1);
  const rows: Drifting[] = told.slice(0, MOST_CLOCKS).map((row) => {
    const known = Object.entries(row.attributes);
    return {
      key: `${row.device} ${row.modality ?? ""} ${row.against}`,
      label: row.device,
      off: `${minutes(row.offset_s)} min`,
      said: t("quality.clocks.row", { device: row.device, minutes: minutes(row.offset_s), against: t(`quality.against.${row.against}`), n: n(row.samples) }),
      months: row.months.map((one) => ({ month: one.month, value: one.offset_s })),
      on: known.every(([path, value]) => chosen(linked.where, path).is.includes(value)),
      act: (how) => linked.change((now) => known.reduce((where, [path, value]) => pick(where, path, value, how), now)),
    };
  });
  const sheet: Sheet = {
    head: [t("quality.device"), t("quality.against"), t("quality.month"), t("level.series"), t("quality.minutes")],
    rows: told.flatMap((row) =>
      row.months.map((one) => [row.device, t(`quality.against.${row.against}`), one.month, one.samples, Math.round(one.offset_s / 6) / 10]),
    ),
  };
  return (
    <Card title={title} hint={t("quality.clocks.hint")} found={found} sheet={sheet} meaning={meaning} wide>
      <Drift rows={rows} label={title} />
    </Card>
  );
}
