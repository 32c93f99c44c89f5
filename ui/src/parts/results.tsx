/** What was found: pages of rows from the service, drawn only where one looks. */

import { ActionIcon, Button, Menu, Popover, TextInput, Tooltip } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQueries } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef, useState } from "react";
import { call, download, Refused, useAnswer } from "../api/client.ts";
import type { AnswerOut, Column } from "../api/schema.ts";
import type { Condition, Level } from "../query/condition.ts";
import { go } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { Loading, Message, Trouble } from "./states.tsx";

const PAGE = 100;
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
};

export function Results(props: Results) {
  const { where, level, show, order, setOrder } = props;
  const { t, n } = useTexts();
  const columns = show.length ? show : COLUMNS[level];
  const shown = [...columns, ...KEYS[level].filter((key) => !columns.includes(key))];
  const body = { where, level, show: shown, order: order.filter((path) => path) };
  const first = useAnswer("POST /api/query", { body: { ...body, limit: PAGE, offset: 0 } }, { keep: true });
  if (first.error) return <Trouble error={first.error} again={() => void first.refetch()} />;
  if (!first.data) return <Loading />;
  if (first.data.total === 0)
    return <Message title={t("results.none")} text={t(where ? "results.none.do" : "results.empty.do")} />;
  return (
    <section className="results" aria-label={t("results")}>
      {first.data.notes.map((note) => (
        <p className="note" key={note}>
          {note}
        </p>
      ))}
      <Table
        key={JSON.stringify(body)}
        first={first.data}
        body={body}
        visible={columns.length}
        order={order}
        setOrder={setOrder}
      />
      <p className="visually-hidden" role="status">
        {t("results.found", { n: n(first.data.total) })}
      </p>
    </section>
  );
}

type Body = { where: Condition | null; level: Level; show: string[]; order: string[] };

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
  const { t, called } = useTexts();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: first.total,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const pages = [...new Set(items.map((item) => Math.floor(item.index / PAGE)))].filter((page) => page > 0);
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
  const rowAt = (index: number) => {
    const page = Math.floor(index / PAGE);
    const rows = page === 0 ? first.rows : more[pages.indexOf(page)]?.data?.rows;
    return rows?.[index % PAGE];
  };
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
  return (
    <div
      className="table"
      ref={box}
      role="table"
      aria-rowcount={first.total + 1}
      aria-label={t("results")}
      tabIndex={0}
    >
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
      <div className="table-body" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const row = rowAt(item.index);
          return (
            <div
              role="row"
              aria-rowindex={item.index + 2}
              key={item.key}
              className="table-row"
              tabIndex={0}
              style={{ transform: `translateY(${item.start}px)`, gridTemplateColumns: template }}
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

export function Export({ where, level, show, order }: Body) {
  const { t } = useTexts();
  const [problem, setProblem] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const take = async (format: string) => {
    setBusy(true);
    setProblem(null);
    try {
      const body = { where, level, show, order };
      await download("POST", "/api/query/export", { query: { format }, body }, `answer.${format}`);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    setBusy(false);
  };
  return (
    <>
      {problem && <Trouble error={problem} />}
      <Menu position="bottom-end">
        <Menu.Target>
          <Tooltip label={t("export.all")}>
            <Button variant="subtle" size="compact-sm" loading={busy} leftSection={<Icon name="down_to" />}>
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
