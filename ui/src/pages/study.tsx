/** One study: its series, what they say, their headers, reports, segments and waveforms. */

import { Button, Loader, Tabs } from "@mantine/core";
import { useMemo, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { InsideOut, SegmentOut, SeriesHead, StudyOut } from "../api/schema.ts";
import { Columns, useBeside } from "../parts/beside.tsx";
import { Compare } from "../parts/compare.tsx";
import { Segments } from "../parts/findings.tsx";
import { Elements, Header } from "../parts/header.tsx";
import { History } from "../parts/history.tsx";
import { Icon } from "../parts/icon.tsx";
import { Picture } from "../parts/picture.tsx";
import { type Item, ReportTree, said } from "../parts/report.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { Statements } from "../parts/statements.tsx";
import { SeriesPage, ViewerWays } from "./series.tsx";
import { Viewer } from "../parts/viewer.tsx";
import { Waveform } from "../parts/waveform.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";

const name = (text: string | null | undefined) => (text ?? "").replace(/\^+/g, " ").replace(/=.*/, "").trim();

export default function StudyPage({ rest }: { rest: string[] }) {
  const [uid = "", kind, series] = rest;
  return kind === "series" && series ? <SeriesPage study={uid} series={series} /> : <OneStudy uid={uid} />;
}

function OneStudy({ uid }: { uid: string }) {
  const { t } = useTexts();
  const { query } = useAddress();
  const study = useAnswer("GET /api/studies/{StudyInstanceUID}", { params: { StudyInstanceUID: uid } });
  const beside = useBeside(study.data);
  if (study.error)
    return (
      <div className="page">
        <Trouble error={study.error} again={() => void study.refetch()} />
      </div>
    );
  if (!study.data) return <Loading />;
  const chosen =
    study.data.all_series.find((one) => one.SeriesInstanceUID === query.get("series")) ?? study.data.all_series[0];
  return (
    <div className="study">
      <StudyHeading study={study.data} />
      <History study={study.data} />
      <div className="study-body">
        <nav className="study-series" aria-label={t("study.series")}>
          <h2>{t("study.series")}</h2>
          <ul>
            {study.data.all_series.map((one) => (
              <SeriesCard key={one.SeriesInstanceUID} study={uid} series={one} on={one === chosen} />
            ))}
          </ul>
        </nav>
        <Columns beside={(chosen?.Rows ?? 0) > 0 ? beside : null}>
          {chosen ? (
            <SeriesView key={chosen.SeriesInstanceUID} study={uid} series={chosen} all={study.data.all_series} />
          ) : (
            <Message title={t("study.none")} />
          )}
        </Columns>
      </div>
    </div>
  );
}

function StudyHeading({ study }: { study: StudyOut }) {
  const { t, n } = useTexts();
  const facts = [
    study.StudyDate,
    study.AccessionNumber && `${t("study.accession")} ${study.AccessionNumber}`,
    study.InstitutionName,
    t(study.series === 1 ? "history.series" : "history.series.n", { n: n(study.series) }),
    t(study.instances === 1 ? "study.instance" : "study.instances", { n: n(study.instances) }),
  ];
  const { patient } = study;
  const id = (patient.PatientID ?? "").replaceAll("'", "''");
  return (
    <div className="study-head">
      <Button
        variant="subtle"
        color="gray"
        size="compact-sm"
        leftSection={<Icon name="undo" />}
        onClick={() => (history.length > 1 ? history.back() : go("/"))}
      >
        {t("study.back")}
      </Button>
      <div>
        <h1>{study.StudyDescription || t("study.unnamed")}</h1>
        <p>
          {(study.modalities ?? []).map((modality) => (
            <span className="badge" key={modality}>
              {modality}
            </span>
          ))}
          {facts.filter(Boolean).join(" · ")}
        </p>
      </div>
      <Link className="person" href={`/ask?q=${encodeURIComponent(`PatientID = '${id}'`)}`} title={t("study.patient")}>
        <b>{name(patient.PatientName) || t("study.noname")}</b>
        <span>
          {[patient.PatientID, patient.PatientSex, patient.PatientBirthDate, study.PatientAge].filter(Boolean).join(" · ")}
        </span>
      </Link>
    </div>
  );
}

function SeriesCard({ study, series, on }: { study: string; series: SeriesHead; on: boolean }) {
  const { n } = useTexts();
  return (
    <li>
      <Link
        href={`/studies/${study}?series=${series.SeriesInstanceUID}`}
        className="series-card"
        aria-current={on ? "true" : undefined}
      >
        <Thumbnail study={study} series={series} />
        <span>
          <b>{series.SeriesDescription || series.ProtocolName || series.Modality}</b>
          <small>
            {[series.Modality, series.SeriesNumber !== null && `#${series.SeriesNumber}`, series.BodyPartExamined, `${n(series.instances)} ×`]
              .filter(Boolean)
              .join(" · ")}
          </small>
        </span>
      </Link>
    </li>
  );
}

function Thumbnail({ study, series }: { study: string; series: SeriesHead }) {
  return (
    <span className="thumbnail">
      {series.Rows ? (
        <Picture
          path={`/dicom-web/studies/${study}/series/${series.SeriesInstanceUID}/thumbnail`}
          label={series.Modality ?? "?"}
        />
      ) : (
        series.Modality
      )}
    </span>
  );
}

function SeriesView({ study, series, all }: { study: string; series: SeriesHead; all: SeriesHead[] }) {
  const { t, n } = useTexts();
  const uid = series.SeriesInstanceUID ?? "";
  const found = useAnswer("GET /api/series/{SeriesInstanceUID}", {
    params: { SeriesInstanceUID: uid },
    query: { limit: 1000 },
  });
  const [at, setAt] = useState(0);
  const [tab, setTab] = useState<string | null>(null);
  const instances = found.data?.page ?? [];
  const instance = instances[Math.min(at, instances.length - 1)];
  const sop = instance?.SOPInstanceUID ?? "";
  const inside = useAnswer(
    "GET /api/instances/{SOPInstanceUID}/inside",
    { params: { SOPInstanceUID: sop } },
    { enabled: sop !== "" },
  );
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const data = inside.data;
  const tabs: [string, string, boolean][] = [
    ["waveform", t("study.waveform"), !!data && data.channels.length > 0],
    ["report", t("study.report"), !!data && data.items.length > 0],
    ["segments", t("study.segments"), !!data && data.segments.length > 0],
    ["dose", t("study.dose"), !!data && data.dose_events.length + data.dose_totals.length > 0],
    ["picture", t("study.picture"), (series.Rows ?? 0) > 0],
    ["shows", t("shows.title"), true],
    ["elements", t("study.elements"), true],
    ["header", t("study.header"), sop !== ""],
    ["compare", t("study.compare"), sop !== ""],
  ];
  const there = tabs.filter(([, , is]) => is);
  const first = there.find(([key]) => key !== "shows");
  const now = tab ?? (sop && !data && !inside.error ? null : first?.[0]) ?? null;
  return (
    <>
      <div className="series-head">
        <h2>{series.SeriesDescription || series.Modality}</h2>
        {instances.length > 1 && now !== "picture" && (
          <label className="instance-choice">
            <span>{t("study.instance", { n: n(at + 1), all: n(instances.length) })}</span>
            <input
              type="range"
              min={0}
              max={instances.length - 1}
              value={at}
              onChange={(event) => setAt(Number(event.currentTarget.value))}
            />
          </label>
        )}
      </div>
      {inside.error && <Trouble error={inside.error} />}
      {now === null && <Loader type="dots" size="sm" />}
      {now !== null && (
        <Tabs value={now} onChange={setTab} keepMounted={false}>
          <Tabs.List>
            {there.map(([key, label]) => (
              <Tabs.Tab value={key} key={key}>
                {label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          <Tabs.Panel value="report">{data && <ReportTree items={data.items as unknown as Item[]} />}</Tabs.Panel>
          <Tabs.Panel value="waveform">
            <Waveform study={study} sop={sop} groups={groupsOf(data)} />
          </Tabs.Panel>
          <Tabs.Panel value="segments">
            {data && <Segments study={study} rows={data.segments.map(segmentOf)} />}
          </Tabs.Panel>
          <Tabs.Panel value="dose">
            <p className="dose-back">
              <Link href={`/dose?q=${encodeURIComponent(`StudyInstanceUID = '${study}'`)}&level=study`}>{t("dose.of.study")}</Link>
            </p>
            {data && <Facts rows={[...data.dose_events, ...data.dose_totals]} />}
          </Tabs.Panel>
          <Tabs.Panel value="picture">
            <Viewer
              series={uid}
              {...(at > 0 ? { sop } : {})}
              onImage={(_, shown) => {
                setTab((now) => now ?? "picture"); // it stays while what is inside of the next is asked for
                setAt(Math.max(0, instances.findIndex((one) => one.SOPInstanceUID === shown)));
              }}
            >
              <ViewerWays study={study} series={uid} />
            </Viewer>
          </Tabs.Panel>
          <Tabs.Panel value="shows">
            <Statements series={uid} />
          </Tabs.Panel>
          <Tabs.Panel value="elements">
            <Elements elements={found.data.elements} />
          </Tabs.Panel>
          <Tabs.Panel value="header">
            <Header sop={sop} />
          </Tabs.Panel>
          <Tabs.Panel value="compare">
            <Compare sop={sop} here={series} series={all} />
          </Tabs.Panel>
        </Tabs>
      )}
    </>
  );
}

/** A row of segments as the study's findings have it. */
function segmentOf(row: Record<string, unknown>): SegmentOut {
  const text = (...names: string[]) => said(row, ...names);
  const number = (name: string) => (typeof row[name] === "number" ? row[name] : null);
  return {
    SOPInstanceUID: "",
    SeriesInstanceUID: null,
    Modality: null,
    number: number("number"),
    label: text("label"),
    type: text("structure_meaning", "type_meaning"),
    laterality: text("laterality"),
    algorithm_type: text("algorithm_type"),
    algorithm_name: text("algorithm_name"),
    frames: number("frames"),
    contours: number("contours"),
    volume: number("volume"),
    volume_problem: text("volume_problem"),
  };
}

function groupsOf(data: InsideOut | undefined): number[] {
  const found = (data?.channels ?? []).map((row) => Number(row["multiplex_group"] ?? row["group"] ?? 1));
  return [...new Set(found)].sort((a, b) => a - b);
}

/** Rows as the tables have them: a column for everything that some row says. */
function Facts({ rows }: { rows: Record<string, unknown>[] }) {
  const columns = useMemo(() => {
    const found = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return found.filter((name) => !/^(series_id|patient_key|instance_id|uri|file|item|StudyInstanceUID|SeriesInstanceUID|SOPInstanceUID)$/.test(name));
  }, [rows]);
  return (
    <div className="wide">
      <table className="facts">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column}>{column}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {columns.map((column) => (
                <td key={column}>{said(row as Item, column)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
