/** What devices do: where they stand, when they are used or idle, and who opens their studies. */

import { Button, Select, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { type FormEvent, useEffect, useState } from "react";
import "../charts.css";
import "../activity.css";
import { useAnswer } from "../api/client.ts";
import type { DeviceRow, Untidy } from "../api/schema.ts";
import { AccessPart } from "../parts/openings.tsx";
import { type Cellular, Card, type Meaning, type Sheet } from "../parts/card.tsx";
import { Bars, Heat } from "../parts/plots.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { type Linked, useLinked } from "../query/linked.ts";
import { go, Link, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";

export type Asked = { where?: string; level?: string; since?: string; until?: string; hours?: string };

export default function ActivityPage() {
  const { t } = useTexts();
  const linked = useLinked();
  const { query } = useAddress();
  const device = query.get("device");
  const asked: Asked = {
    ...(linked.where ? { where: JSON.stringify(linked.where), level: linked.level } : {}),
    since: query.get("since") ?? "",
    until: query.get("until") ?? "",
    hours: query.get("hours") ?? "",
  };
  const map = useAnswer("GET /api/activity/devices", { query: asked }, { keep: true, enabled: !linked.reading });
  return (
    <div className="dashboards activity">
      <div className="dash-head">
        <div className="dash-line">
          <h1>{t("nav.activity")}</h1>
          <Link className="to-question" href={linked.to("/ask")}>
            {t("chart.open")}
          </Link>
        </div>
        <p className="hint">{t("activity.hint")}</p>
        <Narrow linked={linked} />
      </div>
      {linked.problem && <Trouble error={linked.problem} />}
      {map.error && <Trouble error={map.error} again={() => void map.refetch()} />}
      {!map.data && !map.error && !linked.problem && <Loading />}
      {map.data && map.data.devices.length === 0 && <Message title={t("chart.none")} />}
      {map.data && map.data.devices.length > 0 && (
        <div className="dash-body">
          <DeviceMap found={map} asked={asked} linked={linked} device={device} />
          {device && (
            <p className="activity-one" role="status">
              {t("activity.chosen", { device })}{" "}
              <button type="button" className="plain" onClick={() => set("device", "")}>
                {t("activity.all")}
              </button>
            </p>
          )}
          <div className="charts">
            <Week asked={asked} linked={linked} device={device} />
            <Gaps asked={asked} linked={linked} device={device} />
          </div>
          <UntidyTimes rows={map.data.untidy} />
          <AccessPart asked={asked} linked={linked} />
        </div>
      )}
    </div>
  );
}

/** Put something into the address, or take it out. */
function set(name: string, value: string): void {
  const now = new URLSearchParams(location.search);
  if (value) now.set(name, value);
  else now.delete(name);
  const text = now.toString();
  go(text ? `/activity?${text}` : "/activity");
}

function Narrow({ linked }: { linked: Linked }) {
  const { t } = useTexts();
  const { query } = useAddress();
  const asked = query.get("q") ?? "";
  const [text, setText] = useState(asked);
  const [hours, setHours] = useState(query.get("hours") ?? "");
  const [settled] = useDebouncedValue(hours, 500);
  useEffect(() => setText(asked), [asked]);
  useEffect(() => {
    if (settled === "" || /^\d?\d:\d\d-\d?\d:\d\d$/.test(settled)) set("hours", settled);
  }, [settled]);
  const ask = (event: FormEvent) => {
    event.preventDefault();
    set("q", text.trim());
  };
  return (
    <form className="activity-narrow" onSubmit={ask} aria-busy={linked.reading}>
      <TextInput size="xs" className="activity-question" label={t("activity.question")} placeholder={t("activity.question.example")}
        value={text} onChange={(event) => setText(event.currentTarget.value)} onBlur={ask} />
      <TextInput size="xs" type="date" label={t("activity.since")} value={query.get("since") ?? ""}
        onChange={(event) => set("since", event.currentTarget.value)} />
      <TextInput size="xs" type="date" label={t("activity.until")} value={query.get("until") ?? ""}
        onChange={(event) => set("until", event.currentTarget.value)} />
      <TextInput size="xs" label={t("activity.hours")} placeholder={t("activity.hours.derived")} value={hours}
        onChange={(event) => setHours(event.currentTarget.value)} />
      <Button type="submit" size="xs" variant="light">{t("activity.apply")}</Button>
    </form>
  );
}

export function useMeaning(operation: string, asked: unknown, linked: Linked, version: number | undefined): Meaning {
  const { t } = useTexts();
  return { text: t("activity.explain", { operation }), operation, asked, where: linked.where, level: linked.level, version };
}

type Found<T> = { data?: T; error: import("../api/client.ts").Refused | null; isFetching: boolean; refetch: () => unknown };

/** Houses, departments in them, and their devices as tiles: the darker, the busier. */
function DeviceMap({ found, asked, linked, device }: {
  found: Found<{ devices: DeviceRow[]; version: number }>;
  asked: Asked;
  linked: Linked;
  device: string | null;
}) {
  const { t, n } = useTexts();
  const rows = found.data?.devices ?? [];
  const percent = (row: DeviceRow) => (row.utilisation === null ? null : Math.round(row.utilisation * 1000) / 10);
  const sheet: Sheet = {
    head: [t("activity.device"), t("activity.institution"), t("activity.department"), t("activity.station"), t("activity.software"),
      t("activity.first"), t("activity.last"), t("level.studies"), t("activity.perweek"), t("activity.utilisation"),
      t("activity.examination"), t("activity.turnover"), t("activity.over")],
    rows: rows.map((row): Cellular[] => [row.device, row.InstitutionName, row.InstitutionalDepartmentName, row.StationName,
      (row.SoftwareVersions ?? []).join(" "), row.first_seen, row.last_seen, row.studies, row.studies_per_week, percent(row),
      row.examination_min, row.turnover_min, row.days_over]),
    acts: rows.map((row) => () => set("device", row.device === device ? "" : row.device)),
  };
  const houses = grouped(rows, (row) => row.InstitutionName ?? "");
  return (
    <div className="charts">
      <Card title={t("activity.map")} hint={t("activity.map.hint")} found={found} sheet={sheet}
        meaning={useMeaning("GET /api/activity/devices", asked, linked, found.data?.version)} wide>
        <div className="floors">
          {houses.map(([house, inside]) => (
            <section key={house} className="floor" aria-label={house || t("activity.nowhere")}>
              <h3>{house || t("activity.nowhere")}</h3>
              <div className="floor-rooms">
                {grouped(inside, (row) => row.InstitutionalDepartmentName ?? "").map(([department, some]) => (
                  <section key={department} className="room" aria-label={department || t("activity.nodepartment")}>
                    <h4>{department || t("activity.nodepartment")}</h4>
                    <ul>
                      {some.map((row) => (
                        <li key={row.device}>
                          <Tile row={row} percent={percent(row)} on={row.device === device} said={n} />
                        </li>
                      ))}
                    </ul>
                  </section>
                ))}
              </div>
            </section>
          ))}
        </div>
      </Card>
    </div>
  );
}

function grouped<T>(rows: T[], key: (row: T) => string): [string, T[]][] {
  const found = new Map<string, T[]>();
  for (const row of rows) found.set(key(row), [...(found.get(key(row)) ?? []), row]);
  return [...found];
}

function Tile({ row, percent, on, said }: { row: DeviceRow; percent: number | null; on: boolean; said: (value: number, digits?: number) => string }) {
  const { t } = useTexts();
  return (
    <button type="button" className="device" aria-pressed={on} style={{ "--busy": `${Math.min((percent ?? 0) * 0.45, 45)}%` } as React.CSSProperties}
      onClick={() => set("device", on ? "" : row.device)}>
      <span className="device-name">{row.StationName ?? row.device}</span>
      <span className="device-model">
        {(row.modalities ?? []).map((one) => (
          <b key={one}>{one}</b>
        ))}
        {row.ManufacturerModelName}
      </span>
      <span className="device-use">{percent === null ? t("activity.unknown") : t("activity.busy", { n: said(percent) })}</span>
      <small>
        {row.studies_per_week < 0.1 ? t("activity.all", { n: said(row.studies) }) : t("activity.week", { n: said(row.studies_per_week, 1) })}
      </small>
    </button>
  );
}

export const weekdays = (language: string) =>
  Array.from({ length: 7 }, (_, at) => new Intl.DateTimeFormat(language, { weekday: "short" }).format(new Date(2024, 0, at + 1)));

function Week({ asked, linked, device }: { asked: Asked; linked: Linked; device: string | null }) {
  const { t, language } = useTexts();
  const [show, setShow] = useState("share");
  const query = { ...asked, ...(device ? { device } : {}) };
  const found = useAnswer("GET /api/activity/utilisation", { query }, { keep: true, enabled: !linked.reading });
  const days = weekdays(language);
  const rows = found.data?.hours ?? [];
  const sheet: Sheet = {
    head: [t("activity.weekday"), t("activity.hour"), t("activity.minutes"), t("activity.show.share"), t("activity.examinations")],
    rows: rows.filter((row) => row.busy_min > 0 || row.examinations > 0)
      .map((row) => [days[row.weekday - 1] ?? "", row.hour, row.busy_min, row.share * 100, row.examinations]),
  };
  const share = show === "share";
  const unit = t(share ? "activity.show.share" : "activity.show.examinations");
  const cells = rows.map((row) => ({ row: row.weekday - 1, column: row.hour, value: share ? Math.round(row.share * 100) : row.examinations }));
  const choice = (
    <Select size="xs" className="chart-choice" aria-label={t("activity.show")} allowDeselect={false} value={show}
      data={[{ value: "share", label: t("activity.show.share") }, { value: "examinations", label: t("activity.show.examinations") }]}
      onChange={(value) => value && setShow(value)} />
  );
  return (
    <Card title={t("activity.heat")} hint={t(share ? "activity.heat.hint" : "activity.heat.examinations")} found={found} sheet={sheet} wide
      controls={choice} meaning={useMeaning("GET /api/activity/utilisation", query, linked, found.data?.version)}>
      <Heat cells={cells} rows={days} label={t("activity.heat")} unit={unit} on={null} />
    </Card>
  );
}

function Gaps({ asked, linked, device }: { asked: Asked; linked: Linked; device: string | null }) {
  const { t, when } = useTexts();
  const query = { ...asked, limit: 50, ...(device ? { device } : {}) };
  const found = useAnswer("GET /api/activity/gaps", { query }, { keep: true, enabled: !linked.reading });
  const meaning = useMeaning("GET /api/activity/gaps", query, linked, found.data?.version);
  const pauses = found.data?.pauses ?? [];
  const time = (text: string) => text.slice(11, 16);
  const bars = pauses.filter((row) => row.pauses > 0).length
    ? pauses.map((row) => ({
        key: String(row.low),
        label: row.high === null ? t("activity.over.step", { low: row.low }) : t("activity.step", { low: row.low, high: row.high }),
        value: row.pauses,
      }))
    : [];
  const steps: Sheet = {
    head: [t("activity.pauses.from"), t("activity.pauses.to"), t("activity.pauses.count"), t("activity.pauses.turnovers")],
    rows: bars.length ? pauses.map((row) => [row.low, row.high, row.pauses, row.turnovers]) : [],
  };
  const gaps: Sheet = {
    head: [t("activity.device"), t("activity.began"), t("activity.ended"), t("activity.idle")],
    rows: (found.data?.gaps ?? []).map((row) => [row.device, when(row.began), time(row.ended), row.idle_min]),
  };
  const days: Sheet = {
    head: [t("activity.day"), t("activity.device"), t("activity.day.first"), t("activity.day.last"), t("activity.examinations"),
      t("activity.day.busy"), t("activity.idle"), t("activity.day.over")],
    rows: (found.data?.days ?? []).slice(0, 300).map((row) => [row.day, row.device, time(row.first), time(row.last), row.examinations,
      row.busy_min, row.idle_min, row.over_min]),
  };
  return (
    <>
      <Card title={t("activity.pauses")} hint={t("activity.pauses.hint")} found={found} sheet={steps} meaning={meaning}>
        <Bars rows={bars} label={t("activity.pauses")} unit={t("activity.pauses.count")} />
      </Card>
      <Card title={t("activity.gaps")} hint={t("activity.gaps.hint")} found={found} sheet={gaps} meaning={meaning}>
        <Rows sheet={gaps} label={t("activity.gaps")} />
      </Card>
      <Card title={t("activity.days")} hint={t("activity.days.hint")} found={found} sheet={days} meaning={meaning} wide>
        <Rows sheet={days} label={t("activity.days")} />
      </Card>
    </>
  );
}

/** Rows of a card that are read as a table. */
export function Rows({ sheet, label }: { sheet: Sheet; label: string }) {
  const { n } = useTexts();
  return (
    <div className="chart-table" tabIndex={0} role="region" aria-label={label}>
      <table className="facts">
        <thead>
          <tr>
            {sheet.head.map((name, at) => (
              <th key={name} scope="col" className={typeof sheet.rows[0]?.[at] === "number" ? "right" : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sheet.rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, place) => (
                <td key={place} className={typeof cell === "number" ? "right" : undefined}>
                  {typeof cell === "number" ? n(cell, 1) : (cell ?? "–")}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function UntidyTimes({ rows }: { rows: Untidy[] }) {
  const { t, n } = useTexts();
  if (rows.length === 0) return null;
  return (
    <section className="card untidy" aria-label={t("activity.untidy")}>
      <h2>{t("activity.untidy")}</h2>
      <ul>
        {rows.map((row) => (
          <li key={row.reason}>{t(row.kept ? "activity.untidy.kept" : "activity.untidy.left", { n: n(row.series), reason: row.reason })}</li>
        ))}
      </ul>
    </section>
  );
}
