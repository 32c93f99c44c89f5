/** Patients below each other, their studies along the years: filled where the question finds them. */

import { useElementSize, useMergedRef } from "@mantine/hooks";
import { useQueries } from "@tanstack/react-query";
import { useRef } from "react";
import { call, useAnswer } from "../api/client.ts";
import type { AnswerOut } from "../api/schema.ts";
import type { Condition } from "../query/condition.ts";
import { Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { type Body, PAGE, textOf } from "./results.tsx";
import { Loading, Message, Trouble } from "./states.tsx";
import { useLong } from "./virtual.ts";

const ROW = 34;
const HEAD = 28;
const NAME = 150;
/** Shades of modalities, by name; others have the last one. */
const SHADES = ["CT", "MR", "CR", "DX", "US", "MG", "PT", "NM", "XA", "ECG", "SR"];
export const shadeOf = (modality: string) => {
  const at = SHADES.indexOf(modality);
  return `shade-${at < 0 ? SHADES.length : at}`;
};

/** Where a day stands between two days, from 0 to 1. */
export function placeOf(day: string, first: string, last: string): number {
  const [a, b, c] = [first, last, day].map((one) => Date.parse(one)) as [number, number, number];
  return b > a ? (c - a) / (b - a) : 0.5;
}

/** Years, or months where there are few years, to write above the lines. */
export function ticksOf(first: string, last: string): string[] {
  const [from, to] = [Number(first.slice(0, 4)), Number(last.slice(0, 4))];
  if (to - from < 2)
    return Array.from({ length: 12 * (to - from + 1) }, (_, at) => {
      const month = String((at % 12) + 1).padStart(2, "0");
      return `${from + Math.floor(at / 12)}-${month}-01`;
    }).filter((day, at) => at % 3 === 0 && day >= first && day <= last);
  const step = Math.ceil((to - from) / 12);
  return Array.from({ length: to - from }, (_, at) => `${from + at + 1}-01-01`).filter((_, at) => at % step === 0);
}

const SHOW = ["PatientID", "StudyInstanceUID", "StudyDate", "ModalitiesInStudy", "StudyDescription"];

export function Timeline({ where }: { where: Condition | null }) {
  const { t } = useTexts();
  const body: Body = { where, level: "patient", show: ["PatientID", "NumberOfPatientRelatedStudies"], order: ["PatientID"] };
  const patients = useAnswer("POST /api/query", { body: { ...body, limit: PAGE, offset: 0 } }, { keep: true });
  const end = (order: string) => ({
    body: { where: { exists: { path: "StudyDate" } }, level: "study", show: ["StudyDate"], order: [order], limit: 1 },
  });
  const first = useAnswer("POST /api/query", end("StudyDate"));
  const last = useAnswer("POST /api/query", end("-StudyDate"));
  if (patients.error) return <Trouble error={patients.error} again={() => void patients.refetch()} />;
  if (!patients.data || !first.data || !last.data) return <Loading />;
  const ends = [first.data, last.data].map((one) => textOf(one.rows[0]?.[0]).slice(0, 10));
  if (!ends[0] || !ends[1]) return <Message title={t("timeline.none")} text={t("timeline.none.do")} />;
  return <Lines patients={patients.data} body={body} first={ends[0]} last={ends[1]} />;
}

function Lines({ patients, body, first, last }: { patients: AnswerOut; body: Body; first: string; last: string }) {
  const { t, n } = useTexts();
  const scroll = useRef<HTMLDivElement>(null);
  const size = useElementSize<HTMLDivElement>();
  const box = useMergedRef(scroll, size.ref);
  const long = useLong(scroll, patients.total, ROW, HEAD);
  const numbers = [...new Set(long.rows.map(({ index }) => Math.floor(index / PAGE)))];
  const pages = useQueries({
    queries: numbers.map((page) => ({
      queryKey: ["timeline", body.where, patients.version, page],
      queryFn: ({ signal }: { signal: AbortSignal }) => studiesOf(body, patients.version, page, signal),
      staleTime: 300_000,
    })),
  });
  const width = Math.max(200, size.width - NAME - 40);
  const x = (day: string) => NAME + placeOf(day, first, last) * width;
  return (
    <div className="timeline" ref={box} tabIndex={0} role="group" aria-label={t("results.timeline")}>
      <div className="timeline-head" aria-hidden="true">
        {ticksOf(first, last).map((day) => (
          <span key={day} style={{ insetInlineStart: x(day) }}>
            {day.endsWith("-01-01") ? day.slice(0, 4) : day.slice(0, 7)}
          </span>
        ))}
      </div>
      <ul style={{ height: long.height, position: "relative" }}>
        {long.rows.map(({ index, top }) => {
          const patient = pages[numbers.indexOf(Math.floor(index / PAGE))]?.data?.[index % PAGE];
          return (
            <li key={index} className="timeline-row" style={{ transform: `translateY(${top}px)` }}>
              {patient && (
                <>
                  <Link
                    className="timeline-name"
                    href={`/ask?q=${encodeURIComponent(`PatientID = '${patient.id.replaceAll("'", "''")}'`)}`}
                  >
                    {patient.id || "–"}
                  </Link>
                  {patient.studies.map((study) => (
                    <Link
                      key={study.uid}
                      href={`/studies/${study.uid}`}
                      className={`timeline-study ${shadeOf(study.modalities[0] ?? "")}${study.found ? "" : " timeline-other"}`}
                      style={{ insetInlineStart: x(study.day) }}
                      title={[study.day, study.modalities.join(" "), study.title].filter(Boolean).join(" · ")}
                      aria-label={[study.modalities.join(" "), study.day, study.title, t(study.found ? "timeline.found" : "timeline.other")].join(", ")}
                    >
                      {study.modalities[0]}
                    </Link>
                  ))}
                </>
              )}
            </li>
          );
        })}
      </ul>
      <p className="visually-hidden" role="status">
        {t("results.found", { n: n(patients.total) })}
      </p>
    </div>
  );
}

type Patient = {
  id: string;
  studies: { uid: string; day: string; modalities: string[]; title: string; found: boolean }[];
};

/** A page of patients with all their studies, and which of these the question finds. */
async function studiesOf(body: Body, version: number, page: number, signal: AbortSignal): Promise<Patient[]> {
  const found = await call("POST /api/query", {
    body: { ...body, limit: PAGE, offset: page * PAGE, version },
    signal,
  });
  const ids = found.rows.map((row) => textOf(row[0]));
  const among: Condition = { one_of: { path: "PatientID", values: [...new Set(ids.filter(Boolean))] } };
  if (among.one_of.values.length === 0) return ids.map((id) => ({ id, studies: [] }));
  const ask = (where: Condition) =>
    call("POST /api/query", {
      body: { where, level: "study", show: SHOW, order: ["StudyDate"], limit: 10_000, version },
      signal,
    });
  const [all, some] = await Promise.all([ask(among), body.where ? ask({ and: [among, body.where] }) : null]);
  const hits = some && new Set(some.rows.map((row) => textOf(row[1])));
  const by = new Map<string, Patient["studies"]>();
  for (const row of all.rows) {
    const [id, uid, day, modalities, title] = row.map(textOf) as [string, string, string, string, string];
    if (!day) continue;
    const study = { uid, day: day.slice(0, 10), modalities: modalities.split(/[;,]\s*/), title, found: !hits || hits.has(uid) };
    by.set(id, [...(by.get(id) ?? []), study]);
  }
  return ids.map((id) => ({ id, studies: by.get(id) ?? [] }));
}
