/** One study: its series, what they say, their headers, reports, segments and waveforms. */

import { Button, Loader, Switch, Tabs, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useEffect, useMemo, useState } from "react";
import { ask, useAnswer } from "../api/client.ts";
import type { HeaderNode, InsideOut, SeriesHead, StudyOut } from "../api/schema.ts";
import { Icon } from "../parts/icon.tsx";
import { textOf } from "../parts/results.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { Waveform } from "../parts/waveform.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";

const name = (text: string | null | undefined) => (text ?? "").replace(/\^+/g, " ").replace(/=.*/, "").trim();

export default function StudyPage({ rest }: { rest: string[] }) {
  const [uid = ""] = rest;
  const { t } = useTexts();
  const { query } = useAddress();
  const study = useAnswer("GET /api/studies/{StudyInstanceUID}", { params: { StudyInstanceUID: uid } });
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
      <div className="study-body">
        <nav className="study-series" aria-label={t("study.series")}>
          <h2>{t("study.series")}</h2>
          <ul>
            {study.data.all_series.map((one) => (
              <SeriesCard key={one.SeriesInstanceUID} study={uid} series={one} on={one === chosen} />
            ))}
          </ul>
          <Others study={study.data} />
        </nav>
        <div className="study-main">
          {chosen ? (
            <SeriesView key={chosen.SeriesInstanceUID} study={uid} series={chosen} />
          ) : (
            <Message title={t("study.none")} />
          )}
        </div>
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
    `${n(study.series)} ${t("level.series")}`,
    `${n(study.instances)} ${t("level.instances")}`,
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

/** A picture that the service draws, where it can. */
function Picture({ path, label }: { path: string; label: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    let made = "";
    const load = async () => {
      try {
        const answer = await ask("GET", path, { signal: stop.signal });
        made = URL.createObjectURL(await answer.blob());
        setUrl(made);
      } catch {
        // no picture: the modality stands in its place
      }
    };
    void load();
    return () => {
      stop.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [path]);
  return url ? <img src={url} alt={label} /> : <span className="no-picture">{label}</span>;
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

function Others({ study }: { study: StudyOut }) {
  const { t, n } = useTexts();
  if (study.others.length === 0) return null;
  return (
    <>
      <h2>{t("study.others")}</h2>
      <ul>
        {study.others.map((one) => (
          <li key={one.StudyInstanceUID}>
            <Link href={`/studies/${one.StudyInstanceUID}`} className="series-card">
              <span>
                <b>{one.StudyDescription || t("study.unnamed")}</b>
                <small>
                  {[
                    (one.modalities ?? []).join(" "),
                    one.StudyDate,
                    one.days !== null && t(one.days < 0 ? "study.before" : "study.after", { n: n(Math.abs(one.days)) }),
                  ]
                    .filter(Boolean)
                    .join(" · ")}
                </small>
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </>
  );
}

function SeriesView({ study, series }: { study: string; series: SeriesHead }) {
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
    ["elements", t("study.elements"), true],
    ["header", t("study.header"), sop !== ""],
  ];
  const there = tabs.filter(([, , is]) => is);
  const now = tab ?? (sop && !data && !inside.error ? null : there[0]?.[0]) ?? null;
  return (
    <>
      <div className="series-head">
        <h2>{series.SeriesDescription || series.Modality}</h2>
        {instances.length > 1 && (
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
          <Tabs.Panel value="segments">{data && <Facts rows={data.segments} />}</Tabs.Panel>
          <Tabs.Panel value="dose">
            {data && <Facts rows={[...data.dose_events, ...data.dose_totals]} />}
          </Tabs.Panel>
          <Tabs.Panel value="picture">
            <div className="picture">
              <Picture
                path={`/dicom-web/studies/${study}/series/${uid}/instances/${sop}/rendered`}
                label={t("study.nopicture")}
              />
            </div>
          </Tabs.Panel>
          <Tabs.Panel value="elements">
            <Elements elements={found.data.elements} />
          </Tabs.Panel>
          <Tabs.Panel value="header">
            <Header sop={sop} />
          </Tabs.Panel>
        </Tabs>
      )}
    </>
  );
}

function groupsOf(data: InsideOut | undefined): number[] {
  const found = (data?.channels ?? []).map((row) => Number(row["multiplex_group"] ?? row["group"] ?? 1));
  return [...new Set(found)].sort((a, b) => a - b);
}

function Search({ value, set }: { value: string; set: (value: string) => void }) {
  const { t } = useTexts();
  return (
    <TextInput
      type="search"
      className="search"
      aria-label={t("study.search")}
      placeholder={t("study.search")}
      leftSection={<Icon name="search" size={14} />}
      value={value}
      onChange={(event) => set(event.currentTarget.value)}
    />
  );
}

function Elements({
  elements,
}: {
  elements: { path: string; name: string; tag: string; vr: string | null; values: unknown[]; more: number; low: number | null; high: number | null }[];
}) {
  const { t, n } = useTexts();
  const [typed, setTyped] = useState("");
  const [sought] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const rows = elements.filter((one) =>
    `${one.path} ${one.name} ${one.tag} ${one.values.map(textOf).join(" ")}`.toLowerCase().includes(sought),
  );
  return (
    <>
      <Search value={typed} set={setTyped} />
      <table className="facts">
        <thead>
          <tr>
            <th>{t("header.tag")}</th>
            <th>{t("header.name")}</th>
            <th>VR</th>
            <th>{t("header.value")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.path}>
              <td className="mono">{one.tag}</td>
              <td title={one.path}>{one.name || one.path}</td>
              <td className="mono">{one.vr}</td>
              <td>
                {one.low !== null && one.high !== null && one.values.length === 0
                  ? `${n(one.low, 4)} – ${n(one.high, 4)}`
                  : one.values.map(textOf).join("; ")}
                {one.more > 0 && <small> {t("value.more", { n: n(one.more) })}</small>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function fits(node: HeaderNode, text: string, onlyPrivate: boolean): boolean {
  const here =
    (!onlyPrivate || node.private) &&
    `${node.tag} ${node.keyword} ${node.name} ${node.creator} ${node.values.map(textOf).join(" ")}`
      .toLowerCase()
      .includes(text);
  return here || node.items.some((item) => item.some((inner) => fits(inner, text, onlyPrivate)));
}

function Header({ sop }: { sop: string }) {
  const { t } = useTexts();
  const [typed, setTyped] = useState("");
  const [onlyPrivate, setOnlyPrivate] = useState(false);
  const [sought] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const found = useAnswer("GET /api/instances/{SOPInstanceUID}/header", { params: { SOPInstanceUID: sop } });
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const nodes = found.data.tree.filter((node) => fits(node, sought, onlyPrivate));
  return (
    <>
      <div className="header-ways">
        <Search value={typed} set={setTyped} />
        <Switch
          size="xs"
          label={t("header.private")}
          checked={onlyPrivate}
          onChange={(event) => setOnlyPrivate(event.currentTarget.checked)}
        />
      </div>
      <table className="facts">
        <thead>
          <tr>
            <th>{t("header.tag")}</th>
            <th>{t("header.name")}</th>
            <th>VR</th>
            <th>{t("header.value")}</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <Element key={node.path} node={node} depth={0} open={sought !== ""} />
          ))}
        </tbody>
      </table>
      {nodes.length === 0 && <p className="hint">{t("header.none")}</p>}
    </>
  );
}

function Element({ node, depth, open: first }: { node: HeaderNode; depth: number; open: boolean }) {
  const { t, n } = useTexts();
  const [open, setOpen] = useState(depth < 1 || first);
  const nested = node.items.length > 0;
  return (
    <>
      <tr className={node.private ? "private" : undefined}>
        <td className="mono" style={{ paddingInlineStart: 8 + depth * 16 }}>
          {nested ? (
            <button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
              <Icon name={open ? "down" : "right"} size={12} /> {node.tag}
            </button>
          ) : (
            node.tag
          )}
        </td>
        <td title={node.path}>
          {node.name || node.keyword || t("header.unknown")}
          {node.creator && <small> {node.creator}</small>}
        </td>
        <td className="mono">{node.vr}</td>
        <td>
          {nested
            ? t("header.items", { n: n(node.items.length) })
            : node.values.length
              ? node.values.map(textOf).join("; ")
              : node.bytes !== null && t("header.bytes", { n: n(node.bytes) })}
        </td>
      </tr>
      {open &&
        node.items.map((item, at) =>
          item.map((inner) => <Element key={`${at}.${inner.path}`} node={inner} depth={depth + 1} open={first} />),
        )}
    </>
  );
}

type Item = Record<string, unknown> & { children?: Item[] };
const said = (item: Item, ...names: string[]) => {
  for (const key of names) {
    const value = item[key];
    if (value !== null && value !== undefined && value !== "") {
      if (typeof value === "object") {
        const meaning = (value as { meaning?: unknown }).meaning;
        return textOf(meaning ?? value);
      }
      return textOf(value);
    }
  }
  return "";
};

/** Whether an item or something below it says anything. */
const speaks = (item: Item): boolean =>
  said(item, "concept_meaning", "concept", "ConceptName", "name") !== "" ||
  (item.children ?? []).some(speaks);

function ReportTree({ items }: { items: Item[] }) {
  return (
    <ul className="report">
      {items.filter(speaks).map((item, at) => (
        <ReportItem key={at} item={item} depth={0} />
      ))}
    </ul>
  );
}

function ReportItem({ item, depth }: { item: Item; depth: number }) {
  const { n } = useTexts();
  const children = (item.children ?? []).filter(speaks);
  const kind = said(item, "value_type");
  const concept = said(item, "concept_meaning", "concept", "ConceptName", "name");
  const number = item["number"] ?? item["numeric"];
  const unit = said(item, "unit").replace(/^UCUM:1?/, "");
  const value =
    typeof number === "number"
      ? `${n(number, 6)} ${unit}`
      : said(item, "value_meaning", "code_meaning", "code", "text", "value", "date", "moment", "uid", "person");
  return (
    <li>
      <div className={kind === "CONTAINER" ? "report-title" : "report-line"}>
        <span className="report-concept">{concept}</span>
        {value && <span className="report-value">{value}</span>}
      </div>
      {children.length > 0 && (
        <ul>
          {children.map((inner, at) => (
            <ReportItem key={at} item={inner} depth={depth + 1} />
          ))}
        </ul>
      )}
    </li>
  );
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
