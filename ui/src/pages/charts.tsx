/** Charts of what the question finds; a click on a bar narrows the question. */

import { Button, SegmentedControl } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { Groups } from "../api/schema.ts";
import { echarts } from "../parts/echarts.ts";
import { Icon } from "../parts/icon.tsx";
import { Loading, Trouble } from "../parts/states.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";


type By = { path: string; bin?: "year" | "month" | "weekday" | "hour" | "width"; width?: number };
type Chart = { key: Key; by: (string | By)[]; /** The condition that a group stands for. */ narrow?: (key: string) => string };

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;
const CHARTS: Chart[] = [
  { key: "chart.modality", by: ["Modality"], narrow: (key) => `Modality = ${quoted(key)}` },
  { key: "chart.year", by: [{ path: "StudyDate", bin: "year" }], narrow: (key) => `StudyDate = ${key}` },
  { key: "chart.part", by: ["BodyPartExamined"], narrow: (key) => `BodyPartExamined = ${quoted(key)}` },
  { key: "chart.maker", by: ["ManufacturerModelName"], narrow: (key) => `ManufacturerModelName = ${quoted(key)}` },
  { key: "chart.sex", by: ["PatientSex"], narrow: (key) => `PatientSex = ${quoted(key)}` },
  { key: "chart.protocol", by: ["ProtocolName"], narrow: (key) => `ProtocolName = ${quoted(key)}` },
];

export default function ChartsPage() {
  const { t } = useTexts();
  const { query } = useAddress();
  const where = query.get("q") ?? "";
  const [what, setWhat] = useState("studies");
  const add = (condition: string) => {
    const next = where ? (/\bor\b/.test(where) ? `(${where}) and ${condition}` : `${where} and ${condition}`) : condition;
    go(`/charts?q=${encodeURIComponent(next)}`);
  };
  return (
    <div className="page page-wide">
      <div className="page-head">
        <h1>{t("nav.charts")}</h1>
        <SegmentedControl
          size="xs"
          aria-label={t("chart.count")}
          value={what}
          onChange={setWhat}
          data={(["patients", "studies", "series", "instances"] as const).map((one) => ({ value: one, label: t(`level.${one}`) }))}
        />
      </div>
      <div className="filters">
        <span className="hint">{where ? t("chart.of") : t("chart.all")}</span>
        {where && <code>{where}</code>}
        {where && (
          <>
            <Link href={`/ask?q=${encodeURIComponent(where)}`}>{t("chart.open")}</Link>
            <Button variant="subtle" size="compact-xs" leftSection={<Icon name="close" size={12} />} onClick={() => go("/charts")}>
              {t("chart.clear")}
            </Button>
          </>
        )}
      </div>
      <div className="charts">
        {CHARTS.map((chart) => (
          <ChartCard key={chart.key} chart={chart} where={where} what={what} add={add} />
        ))}
      </div>
    </div>
  );
}

function ChartCard({ chart, where, what, add }: { chart: Chart; where: string; what: string; add: (condition: string) => void }) {
  const { t, n } = useTexts();
  const [asTable, setAsTable] = useState(false);
  const found = useAnswer(
    "POST /api/aggregate",
    { body: { where: where || null, level: "series", by: chart.by, measure: { what }, limit: 14 } },
    { keep: true },
  );
  const pick = (key: string) => chart.narrow && add(chart.narrow(key));
  const rows = found.data ? sorted(found.data, chart) : [];
  return (
    <article className="card chart-card">
      <header>
        <h2>{t(chart.key)}</h2>
        <Button variant="subtle" size="compact-xs" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          {t(asTable ? "chart.drawn" : "chart.table")}
        </Button>
      </header>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data && rows.length === 0 && <p className="hint">{t("chart.none")}</p>}
      {rows.length > 0 &&
        (asTable ? (
          <table className="facts">
            <tbody>
              {rows.map(([key, value]) => (
                <tr key={key}>
                  <td>
                    <button type="button" className="plain" onClick={() => pick(key)}>
                      {key}
                    </button>
                  </td>
                  <td className="right">{n(value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <Drawn rows={rows} upright={chart.by.some((by) => typeof by !== "string")} label={t(chart.key)} pick={pick} />
        ))}
    </article>
  );
}

function sorted(found: Groups, chart: Chart): [string, number][] {
  const rows = found.rows
    .filter((row) => !row.others && row.keys[0] !== null && row.keys[0] !== undefined)
    .map((row) => [String(row.keys[0]), row.value ?? 0] as [string, number]);
  const timed = chart.by.some((by) => typeof by !== "string");
  return timed ? rows.sort((a, b) => Number(a[0]) - Number(b[0])) : rows;
}

function Drawn({ rows, upright, label, pick }: { rows: [string, number][]; upright: boolean; label: string; pick: (key: string) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const act = useRef(pick);
  act.current = pick;
  useEffect(() => {
    if (!box.current) return;
    const chart = echarts.init(box.current);
    const style = getComputedStyle(box.current);
    const ink = style.getPropertyValue("--ink-soft").trim();
    const line = style.getPropertyValue("--line").trim();
    const fill = style.getPropertyValue("--accent").trim();
    const shownRows = upright ? rows : [...rows].reverse();
    const names = {
      type: "category" as const,
      data: shownRows.map(([key]) => key),
      axisLine: { lineStyle: { color: line } },
      axisTick: { show: false },
      axisLabel: { color: ink, width: 120, overflow: "truncate" as const },
    };
    const values = {
      type: "value" as const,
      splitNumber: 3,
      splitLine: { lineStyle: { color: line } },
      axisLabel: { color: ink },
    };
    chart.setOption({
      animationDuration: 250,
      textStyle: { fontFamily: style.fontFamily },
      grid: { left: 4, right: 16, top: 8, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      tooltip: { trigger: "item" },
      xAxis: upright ? names : values,
      yAxis: upright ? values : names,
      series: [
        {
          type: "bar",
          data: shownRows.map(([, value]) => value),
          itemStyle: { color: fill, borderRadius: 2 },
          barMaxWidth: 22,
          cursor: "pointer",
        },
      ],
    });
    chart.on("click", (event) => act.current(String(event.name)));
    const watch = new ResizeObserver(() => chart.resize());
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      chart.dispose();
    };
  }, [rows, upright]);
  return <div className="chart" ref={box} role="img" aria-label={label} />;
}
