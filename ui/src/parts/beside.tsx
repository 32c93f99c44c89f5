/** What stands beside the images of a study: its reports, segments and measurements. */

import { Tabs } from "@mantine/core";
import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { StudyOut } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import { Measurements, Segments } from "./findings.tsx";
import { type Item, ReportTree } from "./report.tsx";
import { Loading, Trouble } from "./states.tsx";

const WIDTH = "dicomlake.beside";
const LEAST = 280;
const MOST = 900;

/** Two columns, with a bar between them that is dragged, or moved with the arrow keys. */
export function Columns({ children, beside }: { children: ReactNode; beside: ReactNode }) {
  const { t } = useTexts();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(() => Number(localStorage.getItem(WIDTH)) || 420);
  const held = useRef(false);
  const put = (next: number) => {
    const room = (box.current?.clientWidth ?? 1200) - LEAST;
    const kept = Math.round(Math.max(LEAST, Math.min(MOST, room, next)));
    setWidth(kept);
    localStorage.setItem(WIDTH, String(kept));
  };
  const key = (event: KeyboardEvent) => {
    const by = { ArrowLeft: 24, ArrowRight: -24 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    put(width + by);
  };
  const move = (event: PointerEvent) => {
    if (held.current && box.current) put(box.current.getBoundingClientRect().right - event.clientX);
  };
  if (!beside) return <div className="study-main">{children}</div>;
  return (
    <div className="columns" ref={box} style={{ gridTemplateColumns: `minmax(0, 1fr) 7px ${width}px` }}>
      <div className="study-main" tabIndex={-1}>
        {children}
      </div>
      <div
        role="separator"
        aria-orientation="vertical"
        aria-label={t("study.resize")}
        aria-valuenow={width}
        aria-valuemin={LEAST}
        aria-valuemax={MOST}
        tabIndex={0}
        className="columns-bar"
        onKeyDown={key}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          held.current = true;
        }}
        onPointerMove={move}
        onPointerUp={() => (held.current = false)}
      />
      <aside className="beside" aria-label={t("study.beside")}>
        {beside}
      </aside>
    </div>
  );
}

/** The reports of a study and what was found in it; null where there is nothing of the kind. */
export function useBeside(study: StudyOut | undefined): ReactNode {
  const { t, n } = useTexts();
  const uid = study?.StudyInstanceUID ?? "";
  const found = useAnswer(
    "GET /api/studies/{StudyInstanceUID}/findings",
    { params: { StudyInstanceUID: uid } },
    { enabled: uid !== "" },
  );
  const [tab, setTab] = useState<string | null>(null);
  if (!study) return null;
  const words = (one: (typeof study.reports)[number]) => one.lines.filter((line) => line.depth > 0 && line.value).length;
  const reports = study.reports.filter((one) => words(one) > 0).sort((a, b) => words(b) - words(a));
  const segments = found.data?.segments ?? [];
  const numbers = (found.data?.measurements ?? []).filter((one) => !one.ecg);
  const tabs: [string, string, number][] = [
    ...reports.map((one, at): [string, string, number] => [`report.${at}`, one.title || t("study.report"), 1]),
    ["segments", t("study.segments.n", { n: n(segments.length) }), segments.length],
    ["numbers", t("study.numbers", { n: n(numbers.length) }), numbers.length],
  ];
  const there = tabs.filter(([, , count]) => count > 0);
  if (there.length === 0) return null;
  const now = there.some(([key]) => key === tab) ? tab : there[0]![0];
  return (
    <Tabs value={now} onChange={setTab} keepMounted={false} key={uid}>
      <Tabs.List>
        {there.map(([key, label]) => (
          <Tabs.Tab value={key} key={key}>
            {label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {reports.map((one, at) => (
        <Tabs.Panel value={`report.${at}`} key={one.SOPInstanceUID}>
          <Report sop={one.SOPInstanceUID} state={[one.CompletionFlag, one.VerificationFlag]} />
        </Tabs.Panel>
      ))}
      <Tabs.Panel value="segments">
        <Segments study={uid} rows={segments} />
      </Tabs.Panel>
      <Tabs.Panel value="numbers">
        <Measurements study={uid} rows={numbers} />
      </Tabs.Panel>
    </Tabs>
  );
}

function Report({ sop, state }: { sop: string; state: (string | null)[] }) {
  const found = useAnswer("GET /api/instances/{SOPInstanceUID}/inside", { params: { SOPInstanceUID: sop } });
  if (found.error) return <Trouble error={found.error} />;
  if (!found.data) return <Loading />;
  return (
    <>
      <p className="report-state hint">{state.filter(Boolean).join(" · ").toLowerCase()}</p>
      <ReportTree items={found.data.items as unknown as Item[]} />
    </>
  );
}
