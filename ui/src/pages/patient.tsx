/** A patient: studies, doses, facts and reports on one line of time, and in order as a table. */

import { Button } from "@mantine/core";
import { useMemo, useState } from "react";
import "../charts.css";
import "../activity.css";
import { useAnswer } from "../api/client.ts";
import type { Event, TimelineOut } from "../api/schema.ts";
import { digits, inUnit } from "../parts/doses.tsx";
import { Frame, Press } from "../parts/plots.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

/** What is drawn; what is known of the patient as such (birth, sex) is in the list alone. */
const LANES = ["study", "dose", "document", "condition", "procedure", "observation", "medication", "encounter"];
const [LANE, LEFT, HEAD] = [34, 150, 24];
const DAY = 86_400_000;

export default function PatientPage({ rest }: { rest: string[] }) {
  const { t } = useTexts();
  const [key = ""] = rest;
  const found = useAnswer("GET /api/patients/{patient_key}/timeline", { params: { patient_key: key } });
  if (found.error)
    return (
      <div className="page">
        <Trouble error={found.error} again={() => void found.refetch()} />
      </div>
    );
  if (!found.data) return <Loading />;
  return <Told told={found.data} label={t("history.title")} />;
}

/** Where an event leads: its study, or the text of a report. */
export const placeOf = (event: Event): string | null =>
  event.lane === "document" ? `/documents/${event.key}` : event.StudyInstanceUID ? `/studies/${event.StudyInstanceUID}` : null;

const at = (text: string) => Date.parse(`${text.slice(0, 19)}Z`);

function Told({ told, label }: { told: TimelineOut; label: string }) {
  const { t, n } = useTexts();
  const { patient, events } = told;
  const timed = useMemo(() => events.filter((event) => event.began && LANES.includes(event.lane)), [events]);
  const name = (patient.PatientName ?? "").replace(/\^+/g, " ").replace(/=.*/, "").trim();
  return (
    <div className="page page-wide">
      <div className="page-head">
        <div>
          <h1>
            {label}: {name || t("study.noname")}
          </h1>
          <p className="hint">
            {[patient.PatientID, patient.PatientSex, patient.PatientBirthDate, t("history.count", { n: n(events.length) })].filter(Boolean).join(" · ")}
          </p>
        </div>
      </div>
      {timed.length > 0 ? <Lanes events={timed} /> : <Message title={t("history.none")} />}
      <List events={events} more={told.more} />
    </div>
  );
}

function Lanes({ events }: { events: Event[] }) {
  const { t } = useTexts();
  const whole = useMemo(() => {
    const times = events.map((event) => at(event.began!));
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const margin = Math.max((last - first) * 0.02, 30 * DAY);
    return [first - margin, last + margin] as [number, number];
  }, [events]);
  const [[from, to], setSpan] = useState(whole);
  const lanes = LANES.filter((lane) => events.some((event) => event.lane === lane));
  const zoom = (factor: number) => {
    const [middle, half] = [(from + to) / 2, Math.max(((to - from) / 2) * factor, DAY)];
    setSpan([Math.max(middle - half, whole[0]), Math.min(middle + half, whole[1])]);
  };
  const move = (part: number) => {
    const by = Math.min(Math.max((to - from) * part, whole[0] - from), whole[1] - to);
    setSpan([from + by, to + by]);
  };
  return (
    <section aria-label={t("history.lanes")}>
      <div className="lane-ways">
        <Button size="compact-sm" variant="default" onClick={() => zoom(0.5)}>{t("history.zoom.in")}</Button>
        <Button size="compact-sm" variant="default" onClick={() => zoom(2)}>{t("history.zoom.out")}</Button>
        <Button size="compact-sm" variant="default" onClick={() => move(-0.4)}>{t("history.earlier")}</Button>
        <Button size="compact-sm" variant="default" onClick={() => move(0.4)}>{t("history.later")}</Button>
        <Button size="compact-sm" variant="default" onClick={() => setSpan(whole)}>{t("history.whole")}</Button>
      </div>
      <div className="lanes">
        <Frame height={HEAD + lanes.length * LANE + 6} label={t("history.lanes")}>
          {(width) => {
            const x = (time: number) => LEFT + ((time - from) / (to - from)) * (width - LEFT - 16);
            return (
              <>
                {ticks(from, to).map(([time, word]) => (
                  <g key={time}>
                    <line className="lane-line" x1={x(time)} x2={x(time)} y1={HEAD - 4} y2={HEAD + lanes.length * LANE} />
                    <text x={x(time) + 3} y={HEAD - 8}>{word}</text>
                  </g>
                ))}
                {lanes.map((lane, row) => (
                  <Lane key={lane} lane={lane} y={HEAD + row * LANE} width={width} x={x}
                    events={events.filter((event) => event.lane === lane && at(event.began!) >= from && at(event.began!) <= to)} />
                ))}
              </>
            );
          }}
        </Frame>
      </div>
    </section>
  );
}

function Lane({ lane, y, width, x, events }: { lane: string; y: number; width: number; x: (time: number) => number; events: Event[] }) {
  const { t, n, called } = useTexts();
  const bunches = bunched(events, x);
  return (
    <g>
      <line className="lane-line" x1={0} x2={width} y1={y + LANE} y2={y + LANE} />
      <text className="lane-name" x={10} y={y + LANE / 2 + 4}>{t(`lane.${lane}` as Key)}</text>
      {bunches.map((bunch) => {
        const first = bunch[0]!;
        const href = bunch.length === 1 ? placeOf(first) : null;
        const titles = [...new Set(bunch.map((event) => titleOf(event, called)))].slice(0, 5).join(", ");
        const label = `${first.began!.slice(0, 10)}: ${bunch.length > 1 ? t("history.many", { n: n(bunch.length), title: titles }) : titles}`;
        const left = x(at(first.began!));
        const right = Math.min(first.ended && bunch.length === 1 ? x(at(first.ended)) : left, width - 10);
        return (
          <Press key={`${first.key} ${first.began}`} label={label} act={href ? () => go(href) : undefined}>
            <rect className={bunch.length > 1 ? "event many" : "event"} x={left - 6} y={y + 10} rx={6} height={14} width={Math.max(right - left, 0) + 12} />
          </Press>
        );
      })}
    </g>
  );
}

/** Events that would be drawn over each other, together. */
export function bunched(events: Event[], x: (time: number) => number): Event[][] {
  const found: Event[][] = [];
  for (const event of events) {
    const last = found.at(-1);
    if (last && x(at(event.began!)) - x(at(last[0]!.began!)) < 12) last.push(event);
    else found.push([event]);
  }
  return found;
}

/** Years, months or days to write above the lanes. */
export function ticks(from: number, to: number): [number, string][] {
  const days = (to - from) / DAY;
  const found: [number, string][] = [];
  const first = new Date(from);
  if (days > 900) {
    const step = Math.max(1, Math.ceil(days / 365 / 10));
    for (let year = first.getUTCFullYear() + 1; Date.UTC(year, 0) < to; year += step) found.push([Date.UTC(year, 0), String(year)]);
  } else if (days > 40) {
    const step = Math.max(1, Math.ceil(days / 30 / 10));
    for (let month = first.getUTCMonth() + 1; Date.UTC(first.getUTCFullYear(), month) < to; month += step) {
      const time = Date.UTC(first.getUTCFullYear(), month);
      found.push([time, new Date(time).toISOString().slice(0, 7)]);
    }
  } else {
    const step = Math.max(1, Math.ceil(days / 10)) * DAY;
    for (let time = Math.ceil(from / DAY) * DAY; time < to; time += step) found.push([time, new Date(time).toISOString().slice(0, 10)]);
  }
  return found;
}

/** What an event is called: codes that classes of stays, sexes and kinds of dose have by their names. */
function titleOf({ title, code }: Event, called: (key: string, otherwise: string) => string): string {
  const said = title || code || "–";
  return called(`dose.kind.${said}`, called(`history.said.${said}`, said));
}

function List({ events, more }: { events: Event[]; more: number }) {
  const { t, n, called } = useTexts();
  const measured = ({ lane, number, unit }: Event) => {
    if (number === null) return null;
    if (lane === "study") return t(number === 1 ? "history.series" : "history.series.n", { n: n(number) });
    const [value, shown] = inUnit(number, unit ?? "");
    return `${n(value, lane === "dose" ? digits(value) : 3)} ${shown}`;
  };
  const told = ({ lane, text }: Event) => {
    if (lane === "document") return null;
    const count = lane === "dose" ? Number.parseInt(text ?? "", 10) : Number.NaN;
    return Number.isNaN(count) ? text : t(count === 1 ? "history.event" : "history.events", { n: n(count) });
  };
  const said = (event: Event) => [measured(event), told(event)].filter(Boolean).join(" · ");
  const moment = (event: Event) =>
    event.began ? event.began.slice(0, event.precision === "second" ? 16 : event.precision === "year" ? 4 : event.precision === "month" ? 7 : 10).replace("T", " ") : t("history.timeless");
  return (
    <section aria-label={t("history.list")}>
      <h2>{t("history.list")}</h2>
      <div className="wide patient-list" tabIndex={0} role="region" aria-label={t("history.list")}>
        <table className="facts">
          <thead>
            <tr>
              {(["history.when", "history.kind", "history.what", "history.value", "history.source"] as const).map((key) => (
                <th key={key} scope="col">{t(key)}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {events.map((event) => {
              const href = placeOf(event);
              return (
                <tr key={`${event.lane} ${event.key} ${event.unit ?? ""}`}>
                  <td className="mono">{moment(event)}</td>
                  <td>{t(`lane.${event.lane}` as Key)}</td>
                  <td>{href ? <Link href={href}>{titleOf(event, called)}</Link> : titleOf(event, called)}</td>
                  <td>{said(event)}</td>
                  <td>{event.source ?? ""}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {more > 0 && <p className="hint">{t("history.more", { n: n(more) })}</p>}
    </section>
  );
}
