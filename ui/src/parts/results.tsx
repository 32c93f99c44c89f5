/** What was found: pages of rows from the service, drawn only where one looks. */

import { ActionIcon, Button, Menu, NumberInput, Popover, Progress, TextInput, Tooltip } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQueries } from "@tanstack/react-query";
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { ask, call, events, Refused, saved, useAnswer } from "../api/client.ts";
import type { AnswerOut, Column } from "../api/schema.ts";
import type { Condition, Level } from "../query/condition.ts";
import { go } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { useMay } from "./access.tsx";
import { Icon } from "./icon.tsx";
import { Gallery } from "./gallery.tsx";
import { Loading, Message, Trouble } from "./states.tsx";
import { Timeline } from "./timeline.tsx";
import { useLong } from "./virtual.ts";

export const PAGE = 100;
const ROW = 30;
const KEYS: Record<Level, string[]> = {
  patient: ["PatientID"],
  study: ["StudyInstanceUID"],
  series: ["StudyInstanceUID", "SeriesInstanceUID"],
  instance: ["StudyInstanceUID", "SOPInstanceUID"],
};
const COLUMNS: Record<Level, string[]> = {
  patient: ["PatientID", "PatientSex", "PatientBirthDate", "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries"],
  study: ["StudyDate", "PatientID", "ModalitiesInStudy", "StudyDescription", "AccessionNumber", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"],
  series: ["StudyDate", "PatientID", "Modality", "SeriesDescription", "BodyPartExamined", "StudyDescription", "NumberOfSeriesRelatedInstances"],
  instance: ["StudyDate", "PatientID", "Modality", "InstanceNumber", "SeriesDescription", "SOPClassUID"],
};

type Results = {
  where: Condition | null;
  level: Level;
  show: string[];
  order: string[];
  asked: string[];
  setShow: (show: string[]) => void;
  setOrder: (order: string[]) => void;
  view: View;
  /** What to say where nothing is found. */
  nothing?: ReactNode;
};

export const VIEWS = ["table", "gallery", "timeline"] as const;
export type View = (typeof VIEWS)[number];
/** What cards of the gallery say beside their picture. */
const CARDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality", "ModalitiesInStudy", "StudyDate", "SeriesDescription", "StudyDescription", "PatientID", "Rows"];
const NOT_OF: Record<Level, string[]> = {
  patient: ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
  study: ["SeriesInstanceUID", "SOPInstanceUID", "Modality", "SeriesDescription", "Rows"],
  series: ["SOPInstanceUID", "ModalitiesInStudy"],
  instance: ["ModalitiesInStudy"],
};

export function Results(props: Results) {
  const { t } = useTexts();
  const may = useMay();
  if (!may("read")) return <Message title={t("access.counts")} text={t("access.counts.do")} />;
  return <Found {...props} />;
}

function Found(props: Results) {
  const { where, level, show, order, setOrder, view } = props;
  const { t, n } = useTexts();
  const columns = show.length ? show : COLUMNS[level];
  const cards = view === "gallery" ? CARDS.filter((path) => !NOT_OF[level].includes(path)) : KEYS[level];
  const shown = [...columns, ...cards.filter((key) => !columns.includes(key))];
  const body = { where, level, show: shown, order: order.filter((path) => path) };
  const first = useAnswer("POST /api/query", { body: { ...body, limit: PAGE, offset: 0 } }, { keep: true });
  if (first.error) return <Trouble error={first.error} again={() => void first.refetch()} />;
  if (!first.data) return <Loading />;
  if (first.data.total === 0)
    return (
      <Message title={t("results.none")} text={t(where ? "results.none.do" : "results.empty.do")}>
        {where && props.nothing}
      </Message>
    );
  return (
    <section className="results" aria-label={t("results")}>
      {first.data.notes.map((note) => (
        <p className="note" key={note}>
          {note}
        </p>
      ))}
      {view === "table" && (
        <Table
          key={JSON.stringify(body)}
          first={first.data}
          body={body}
          visible={columns.length}
          order={order}
          setOrder={setOrder}
        />
      )}
      {view === "gallery" && level !== "patient" && <Gallery key={JSON.stringify(body)} first={first.data} body={body} />}
      {view === "gallery" && level === "patient" && (
        <Message title={t("gallery.patients")} text={t("gallery.patients.do")} />
      )}
      {view === "timeline" && <Timeline where={where} />}
      <p className="visually-hidden" role="status">
        {t("results.found", { n: n(first.data.total) })}
      </p>
    </section>
  );
}

export type Body = { where: Condition | null; level: Level; show: string[]; order: string[] };

/** Rows of an answer by their number, from the pages that hold those that are looked at. */
export function usePages(first: AnswerOut, body: Body, looked: number[]): (index: number) => unknown[] | undefined {
  const pages = [...new Set(looked.map((index) => Math.floor(index / PAGE)))].filter((page) => page > 0);
  const more = useQueries({
    queries: pages.map((page) => ({
      queryKey: ["page", body, first.version, page],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        call("POST /api/query", {
          body: { ...body, limit: PAGE, offset: page * PAGE, version: first.version },
          signal,
        }),
      staleTime: 300_000,
    })),
  });
  return (index) => {
    const page = Math.floor(index / PAGE);
    const rows = page === 0 ? first.rows : more[pages.indexOf(page)]?.data?.rows;
    return rows?.[index % PAGE];
  };
}

function Table({
  first,
  body,
  visible,
  order,
  setOrder,
}: {
  first: AnswerOut;
  body: Body;
  visible: number;
  order: string[];
  setOrder: (order: string[]) => void;
}) {
  const { t, n, called } = useTexts();
  const box = useRef<HTMLDivElement>(null);
  const long = useLong(box, first.total, ROW, ROW);
  const rowAt = usePages(first, body, long.rows.map((row) => row.index));
  const [current, setCurrent] = useState(0);
  const [typed, setTyped] = useState<string | number>("");
  const [focus, setFocus] = useState(false);
  const columns = first.columns.slice(0, visible);
  const template = columns.map((column) => widthOf(column)).join(" ");
  const cell = (row: unknown[], path: string) => {
    const at = first.columns.findIndex((column) => column.path === path);
    return at < 0 ? "" : textOf(row[at]);
  };
  const openRow = (row: unknown[]) => {
    if (body.level === "patient") {
      const id = cell(row, "PatientID").replaceAll("'", "''");
      return go(`/ask?q=${encodeURIComponent(`PatientID = '${id}'`)}`);
    }
    const series = cell(row, "SeriesInstanceUID");
    const study = encodeURIComponent(cell(row, "StudyInstanceUID"));
    go(`/studies/${study}${series ? `?series=${encodeURIComponent(series)}` : ""}`);
  };
  const step = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + long.fits,
      PageUp: current - long.fits,
      Home: 0,
      End: first.total - 1,
    };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const kept = Math.min(first.total - 1, Math.max(0, next));
    setCurrent(kept);
    setFocus(true);
    long.reveal(kept);
  };
  useEffect(() => {
    if (!focus) return;
    box.current?.querySelector<HTMLElement>(`[aria-rowindex="${current + 2}"]`)?.focus({ preventScroll: true });
  });
  const jump = () => {
    const to = Math.min(first.total, Math.max(1, Math.round(Number(typed)))) - 1;
    if (typed === "" || Number.isNaN(to)) return;
    setCurrent(to);
    setFocus(false);
    long.go(to);
  };
  return (
    <>
      <div className="table" ref={box} role="table" aria-rowcount={first.total + 1} aria-label={t("results")} tabIndex={-1}>
        <div className="table-head" role="row" style={{ gridTemplateColumns: template }}>
          {columns.map((column) => {
            const down = order[0] === `-${column.path}`;
            const up = order[0] === column.path;
            return (
              <div
                role="columnheader"
                key={column.path}
                className={isNumber(column) ? "right" : ""}
                aria-sort={up ? "ascending" : down ? "descending" : "none"}
              >
                <button
                  type="button"
                  title={`${column.name} (${column.path}): ${t("results.sort")}`}
                  onClick={() => setOrder(up ? [`-${column.path}`] : down ? [] : [column.path])}
                >
                  {called(`column.${column.path}`, column.name)}
                  {column.unit && <small> {column.unit}</small>}
                  {(up || down) && <Icon name={up ? "up" : "down"} size={12} />}
                </button>
              </div>
            );
          })}
        </div>
        <div
          className="table-body"
          role="rowgroup"
          style={{ height: long.height }}
          onKeyDown={step}
          onBlur={() => setFocus(false)}
        >
          {long.rows.map(({ index, top }) => {
            const row = rowAt(index);
            return (
              <div
                role="row"
                aria-rowindex={index + 2}
                key={index}
                className="table-row"
                tabIndex={index === current || (index === long.rows[0]?.index && current < index) ? 0 : -1}
                style={{ transform: `translateY(${top}px)`, gridTemplateColumns: template }}
                onFocus={() => setCurrent(index)}
                onClick={() => row && openRow(row)}
                onKeyDown={(event) => {
                  if (event.key === "Enter" && row) openRow(row);
                }}
              >
                {columns.map((column, at) => {
                  const text = row ? textOf(row[at]) : "";
                  return (
                    <div
                      role="cell"
                      key={column.path}
                      className={isNumber(column) ? "right" : ""}
                      title={text.length > 18 ? text : undefined}
                    >
                      {row ? text : <span className="bone" />}
                    </div>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
      <form
        className="table-foot"
        onSubmit={(event) => {
          event.preventDefault();
          jump();
        }}
      >
        <span>{t("results.found", { n: n(first.total) })}</span>
        {first.total > long.fits && (
          <NumberInput
            size="xs"
            w={110}
            hideControls
            min={1}
            max={first.total}
            aria-label={t("results.row")}
            placeholder={t("results.row")}
            value={typed}
            onChange={setTyped}
          />
        )}
      </form>
    </>
  );
}

const isNumber = (column: Column) => column.type === "integer" || column.type === "number";

function widthOf(column: Column): string {
  if (isNumber(column)) return "minmax(84px, 0.5fr)";
  if (column.type === "date") return "minmax(96px, 0.6fr)";
  if (column.path.endsWith("Description") || column.path.endsWith("UID")) return "minmax(160px, 2fr)";
  return "minmax(104px, 1fr)";
}

/** A cell as text: several values of DICOM are parted by backslashes. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(textOf).join("; ");
  if (typeof value === "object") return JSON.stringify(value);
  return String(value).replaceAll("\\", ", ");
}

/** Which columns there are, and in which order. */
export function ColumnChoice({ level, show, asked, setShow }: Pick<Results, "level" | "show" | "asked" | "setShow">) {
  const { t } = useTexts();
  const [typed, setTyped] = useState("");
  const [sought] = useDebouncedValue(typed.trim(), 250);
  const found = useAnswer(
    "GET /api/vocabulary",
    { query: { search: sought, limit: 12 } },
    { enabled: sought !== "", keep: true },
  );
  const columns = show.length ? show : COLUMNS[level];
  const add = (path: string) => {
    if (!columns.includes(path)) setShow([...columns, path]);
    setTyped("");
  };
  const offered = sought
    ? (found.data?.terms ?? []).filter((term) => term.kind !== "group").map((term) => [term.path, term.label] as const)
    : asked.map((path) => [path, path] as const);
  return (
    <Popover position="bottom-end" width={300} trapFocus>
      <Popover.Target>
        <Button variant="subtle" size="compact-sm" leftSection={<Icon name="columns" />}>
          {t("results.columns")}
        </Button>
      </Popover.Target>
      <Popover.Dropdown className="choice">
        <ul>
          {columns.map((path, at) => (
            <li key={path}>
              <span title={path}>{path}</span>
              <ActionIcon
                size="xs"
                variant="subtle"
                color="gray"
                disabled={at === 0}
                aria-label={`${t("row.up")}: ${path}`}
                onClick={() => {
                  const next = [...columns];
                  next.splice(at - 1, 2, path, columns[at - 1]!);
                  setShow(next);
                }}
              >
                <Icon name="up" size={12} />
              </ActionIcon>
              <ActionIcon
                size="xs"
                variant="subtle"
                color="gray"
                disabled={columns.length === 1}
                aria-label={`${t("row.remove")}: ${path}`}
                onClick={() => setShow(columns.filter((one) => one !== path))}
              >
                <Icon name="close" size={12} />
              </ActionIcon>
            </li>
          ))}
        </ul>
        <TextInput
          aria-label={t("results.columns.add")}
          placeholder={t("results.columns.add")}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <ul>
          {offered
            .filter(([path]) => !columns.includes(path))
            .map(([path, label]) => (
              <li key={path}>
                <button type="button" className="more" onClick={() => add(path)}>
                  + {label}
                </button>
              </li>
            ))}
        </ul>
        {show.length > 0 && (
          <Button variant="subtle" size="compact-xs" onClick={() => setShow([])}>
            {t("results.columns.reset")}
          </Button>
        )}
      </Popover.Dropdown>
    </Popover>
  );
}

/** How far an export is. */
type Going = { id: string; format: string; stop: AbortController; rows: number; total: number | null };

export function Export({ where, level, show, order }: Body) {
  const { t, n } = useTexts();
  const [problem, setProblem] = useState<Refused | null>(null);
  const [going, setGoing] = useState<Going | null>(null);
  const follow = async (id: string, signal: AbortSignal) => {
    try {
      for await (const { event, data } of events("/api/query/{id}/events", { params: { id }, signal })) {
        if (event !== "progress") return;
        const said = JSON.parse(data) as { rows: number; total: number };
        setGoing((now) => (now?.id === id ? { ...now, ...said } : now));
      }
    } catch {
      // the export goes on without being followed
    }
  };
  const take = async (format: string) => {
    const id = `export-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    const stop = new AbortController();
    setGoing({ id, format, stop, rows: 0, total: null });
    setProblem(null);
    void follow(id, stop.signal);
    try {
      const answer = await ask("POST", "/api/query/export", {
        query: { format },
        body: { where, level, show: show.length ? show : COLUMNS[level], order },
        headers: { "X-Query-Id": id },
        signal: stop.signal,
      });
      await saved(answer, `answer.${format}`);
    } catch (error) {
      if (!stop.signal.aborted) setProblem(error instanceof Refused ? error : new Refused(0, ""));
    }
    stop.abort();
    setGoing(null);
  };
  const cancel = () => {
    if (!going) return;
    going.stop.abort();
    // the others end with their connection; this one reads all rows before it sends any
    if (going.format === "parquet")
      void call("DELETE /api/query/{id}", { params: { id: going.id } }).catch(() => undefined); // it may be over
    setGoing(null);
  };
  return (
    <>
      {problem && <Trouble error={problem} />}
      {going && (
        <span className="exporting" role="status">
          <Progress
            w={90}
            value={going.total ? (100 * going.rows) / going.total : 0}
            animated
            aria-label={t("export.progress")}
          />
          <span>{t("export.rows", { n: n(going.rows), all: going.total === null ? "…" : n(going.total) })}</span>
          <Button variant="subtle" color="gray" size="compact-xs" onClick={cancel}>
            {t("jobs.cancel")}
          </Button>
        </span>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <Tooltip label={t("export.all")}>
            <Button
              variant="subtle"
              size="compact-sm"
              disabled={going !== null}
              leftSection={<Icon name="down_to" />}
            >
              {t("export")}
            </Button>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => void take("csv")}>CSV</Menu.Item>
          <Menu.Item onClick={() => void take("parquet")}>Parquet</Menu.Item>
          <Menu.Item onClick={() => void take("ndjson")}>NDJSON</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  );
}

/** How what was found is shown. */
export function ViewChoice({ view, setView }: { view: View; setView: (view: View) => void }) {
  const { t } = useTexts();
  return (
    <span className="views" role="group" aria-label={t("results.view")}>
      {VIEWS.map((one) => (
        <Tooltip label={t(`results.${one}`)} key={one}>
          <ActionIcon
            variant={one === view ? "light" : "subtle"}
            color={one === view ? undefined : "gray"}
            size="sm"
            aria-pressed={one === view}
            aria-label={t(`results.${one}`)}
            onClick={() => setView(one)}
          >
            <Icon name={one === "table" ? "list" : one === "gallery" ? "grid" : "timeline"} size={15} />
          </ActionIcon>
        </Tooltip>
      ))}
    </span>
  );
}
