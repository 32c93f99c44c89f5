/** Charts that people make: a small specification each, drawn with what the question finds. */

import { Button, Menu, Select, Switch, Textarea, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { ChartDetails, ChartOut } from "../api/schema.ts";
import { type How, pick } from "../query/filters.ts";
import type { Linked } from "../query/linked.ts";
import { go, Link, useAddress } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";
import { Card, type Cellular, type Sheet } from "./card.tsx";
import { Icon } from "./icon.tsx";
import { save } from "./saving.ts";
import { Loading, Message, Trouble } from "./states.tsx";

const Vega = lazy(() => import("./vega.tsx"));
type Spec = Record<string, unknown>;

const bar = { field: "Modality", type: "nominal", sort: "-y", title: null };
const BEGINNINGS: [Key, Spec][] = [
  [
    "own.begin.bars",
    {
      data: { dicomlake: { by: ["Modality"], measure: { what: "studies" } } },
      mark: "bar",
      encoding: { x: { ...bar, axis: { labelAngle: 0 } }, y: { field: "studies", type: "quantitative" } },
    },
  ],
  [
    "own.begin.lines",
    {
      data: { dicomlake: { by: [{ path: "StudyDate", bin: "year", as: "year" }, "Modality"], measure: { what: "studies" } } },
      mark: { type: "line", point: true },
      encoding: {
        x: { field: "year", type: "ordinal", axis: { labelAngle: 0 } },
        y: { field: "studies", type: "quantitative" },
        color: { field: "Modality" },
      },
    },
  ],
  [
    "own.begin.field",
    {
      data: { dicomlake: { by: ["Modality", "BodyPartExamined"], measure: { what: "series" } } },
      mark: "rect",
      encoding: {
        x: { field: "Modality", axis: { labelAngle: 0 } },
        y: { field: "BodyPartExamined" },
        color: { field: "series", type: "quantitative" },
      },
    },
  ],
  [
    "own.begin.spread",
    {
      data: { dicomlake: { by: [{ path: "SliceThickness", bin: "width", width: 0.5, as: "mm" }, "Modality"] } },
      mark: "bar",
      encoding: {
        x: { field: "mm", type: "quantitative", bin: { binned: true, step: 0.5 }, title: "SliceThickness (mm)" },
        y: { field: "series", type: "quantitative" },
        color: { field: "Modality" },
      },
    },
  ],
];

export default function Own({ linked, rest }: { linked: Linked; rest: string[] }) {
  const [id] = rest;
  if (id === "new") return <Editor key="new" linked={linked} />;
  return id ? <Opened linked={linked} id={id} /> : <All linked={linked} />;
}

function All({ linked }: { linked: Linked }) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/charts");
  return (
    <>
      <div className="own-head">
        <Button leftSection={<Icon name="plus" size={14} />} onClick={() => go(linked.to("/charts/own/new"))}>
          {t("own.new")}
        </Button>
      </div>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Message title={t("dash.own")} text={t("own.none")} />}
      <div className="charts own">
        {found.data?.map((chart) => (
          <Shown
            key={chart.id}
            linked={linked}
            name={chart.name}
            spec={chart.spec}
            controls={
              <Link className="own-edit" href={linked.to(`/charts/own/${chart.id}`)} aria-label={`${t("own.edit")}: ${chart.name}`}>
                {t("own.edit")}
              </Link>
            }
          />
        ))}
      </div>
    </>
  );
}

const plain = (cell: unknown): Cellular =>
  cell === null || typeof cell === "number" ? cell : typeof cell === "string" ? cell : JSON.stringify(cell);

const keyOf = (value: unknown) => (value === null || value === undefined ? null : typeof value === "number" ? value : String(value));

/** Attributes that a chart groups by as they are, and what it calls them: a mark chooses their values. */
function plainBy(spec: Spec): [string, string][] {
  const said = (spec["data"] as { dicomlake?: { by?: unknown } } | undefined)?.dicomlake?.by;
  return (Array.isArray(said) ? said : []).flatMap((one: string | { path: string; bin?: string; as?: string }): [string, string][] => {
    if (typeof one === "string") return OWN.includes(one) ? [] : [[one, one]];
    return one.bin || OWN.includes(one.path) ? [] : [[one.path, one.as ?? one.path]];
  });
}

/** Columns of the lake's own, which no question asks. */
const OWN = ["source", "complete", "indexed", "run_id", "lag", "lag_created"];

/** A chart with what the question finds. */
function Shown({ linked, name, spec, controls, tall }: { linked: Linked; name: string; spec: Spec; controls?: React.ReactNode; tall?: boolean }) {
  const { t } = useTexts();
  const { where, level } = linked;
  const asked = { spec, where, level };
  const found = useAnswer("POST /api/charts/data", { body: asked }, { keep: true, enabled: !linked.reading });
  const data = found.data;
  const sheet: Sheet = { head: data?.fields ?? [], rows: (data?.rows ?? []).map((row) => row.map(plain)) };
  const meaning = {
    text: t("own.explain", { fields: (data?.fields ?? []).join(", ") }),
    operation: "POST /api/charts/data",
    asked,
    where,
    level,
    version: data?.version,
  };
  const choose = (datum: Spec, how: How) => {
    const picked = plainBy(spec).filter(([, field]) => field in datum);
    if (!picked.length) return;
    linked.change((now) => picked.reduce((where, [path, field]) => pick(where, path, keyOf(datum[field]), how), now));
  };
  const shown = found.error ? { ...found, data: undefined } : found;
  return (
    <Card title={name} found={shown} sheet={sheet} meaning={meaning} controls={controls}>
      <Suspense fallback={<Loading />}>{data && <Vega spec={data.spec} data={data} label={name} height={tall ? 420 : 260} pick={choose} />}</Suspense>
    </Card>
  );
}

function Opened({ linked, id }: { linked: Linked; id: string }) {
  const { query } = useAddress();
  const version = query.get("version") ?? "";
  const found = useAnswer("GET /api/charts/{id}", { params: { id }, query: { version } });
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  return <Editor key={`${id} ${found.data.version}`} linked={linked} chart={found.data} />;
}

function Editor({ linked, chart }: { linked: Linked; chart?: ChartDetails }) {
  const { t, when } = useTexts();
  const client = useQueryClient();
  const [name, setName] = useState(chart?.name ?? "");
  const [comment, setComment] = useState(chart?.comment ?? "");
  const [shared, setShared] = useState(chart?.shared ?? true);
  const [typed, setTyped] = useState(() => JSON.stringify(chart?.spec ?? BEGINNINGS[0]![1], null, 2));
  const [problem, setProblem] = useState<Refused | null>(null);
  const [told, setTold] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const [settled] = useDebouncedValue(typed, 400);
  const read = useMemo((): { spec: Spec } | { why: string } => {
    try {
      const spec: unknown = JSON.parse(settled);
      if (spec === null || typeof spec !== "object" || Array.isArray(spec)) return { why: "{ … }" };
      return { spec: spec as Spec };
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) };
    }
  }, [settled]);
  useEffect(() => setTold(""), [typed, name]);

  const attempt = async (act: () => Promise<void>) => {
    setProblem(null);
    try {
      await act();
      await client.invalidateQueries({ queryKey: ["GET /api/charts"] });
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(422, t("own.json", { why: String(error) })));
    }
  };
  const keep = (fresh: boolean) =>
    attempt(async () => {
      const body = { name: name.trim(), comment, shared, spec: JSON.parse(typed) as Spec };
      const found: ChartOut =
        chart && !fresh ? await call("PUT /api/charts/{id}", { params: { id: chart.id }, body }) : await call("POST /api/charts", { body });
      await client.invalidateQueries({ queryKey: ["GET /api/charts/{id}"] });
      setTold(t("own.saved", { n: found.version }));
      go(linked.to(`/charts/own/${found.id}`), { replace: chart !== undefined && !fresh });
    });
  const remove = () =>
    attempt(async () => {
      if (!chart) return;
      await call("DELETE /api/charts/{id}", { params: { id: chart.id } });
      go(linked.to("/charts/own"));
    });
  const take = async (chosen: File | undefined) => {
    if (!chosen) return;
    try {
      const said = JSON.parse(await chosen.text()) as { name?: string; comment?: string; spec?: Spec; data?: unknown };
      const spec = said.spec ?? (said.data ? (said as Spec) : null);
      if (!spec) throw new Error();
      setTyped(JSON.stringify(spec, null, 2));
      if (typeof said.name === "string") setName(said.name);
      if (typeof said.comment === "string") setComment(said.comment);
      setProblem(null);
    } catch {
      setProblem(new Refused(422, t("own.file")));
    }
  };
  const hand = () => {
    const content = JSON.stringify({ name, comment, spec: JSON.parse(typed) as Spec }, null, 2);
    save(`${name.trim().replace(/[^\p{L}\p{N}]+/gu, "-") || "chart"}.json`, new Blob([content + "\n"], { type: "application/json" }));
  };
  const bad = "why" in read;
  return (
    <div className="editor">
      <form
        className="card editor-form"
        onSubmit={(event) => {
          event.preventDefault();
          void keep(false);
        }}
      >
        <div className="editor-line">
          <Link href={linked.to("/charts/own")}>← {t("own.back")}</Link>
          <Menu position="bottom-end">
            <Menu.Target>
              <Button variant="subtle" size="compact-xs" rightSection={<Icon name="down" size={12} />}>
                {t("own.begin")}
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              {BEGINNINGS.map(([key, spec]) => (
                <Menu.Item key={key} onClick={() => setTyped(JSON.stringify(spec, null, 2))}>
                  {t(key)}
                </Menu.Item>
              ))}
              <Menu.Divider />
              <Menu.Item leftSection={<Icon name="file" />} onClick={() => file.current?.click()}>
                {t("own.import")}
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
          <input
            ref={file}
            type="file"
            accept=".json,application/json"
            hidden
            aria-label={t("own.import")}
            onChange={(event) => {
              void take(event.currentTarget.files?.[0]);
              event.currentTarget.value = "";
            }}
          />
        </div>
        <TextInput label={t("own.name")} value={name} maxLength={200} onChange={(event) => setName(event.currentTarget.value)} />
        <Textarea
          label={t("own.spec")}
          description={t("own.spec.about")}
          inputWrapperOrder={["label", "input", "description", "error"]}
          autosize
          minRows={14}
          maxRows={26}
          spellCheck={false}
          classNames={{ input: "code" }}
          value={typed}
          error={bad ? t("own.json", { why: read.why }) : undefined}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <TextInput label={t("own.comment")} value={comment} onChange={(event) => setComment(event.currentTarget.value)} />
        <Switch size="xs" label={t("saved.shared")} checked={shared} onChange={(event) => setShared(event.currentTarget.checked)} />
        {problem && <Trouble error={problem} />}
        <div className="editor-line">
          <Button type="submit" disabled={!name.trim() || bad}>
            {t("own.save")}
          </Button>
          {chart && (
            <Button variant="default" disabled={!name.trim() || bad} onClick={() => void keep(true)}>
              {t("own.saveas")}
            </Button>
          )}
          <span className="hint" role="status">{told}</span>
          <Menu position="top-end">
            <Menu.Target>
              <Button variant="subtle" color="gray" aria-label={t("chart.more", { name })}>
                <Icon name="more" />
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<Icon name="down_to" />} disabled={bad} onClick={hand}>
                {t("own.export")}
              </Menu.Item>
              {chart && (
                <>
                  <Menu.Divider />
                  <Menu.Label>{t("own.delete.sure")}</Menu.Label>
                  <Menu.Item color="red" leftSection={<Icon name="close" />} onClick={() => void remove()}>
                    {t("own.delete")}
                  </Menu.Item>
                </>
              )}
            </Menu.Dropdown>
          </Menu>
        </div>
        {chart && chart.history.length > 1 && (
          <Select
            label={t("own.version")}
            allowDeselect={false}
            value={String(chart.version)}
            data={chart.history.map((one) => ({ value: String(one.version), label: t("own.version.of", { n: one.version, when: when(one.saved) }) }))}
            onChange={(version) => {
              if (!version) return;
              const newest = version === String(chart.history[0]!.version);
              const page = linked.to(`/charts/own/${chart.id}`);
              go(newest ? page : `${page}${page.includes("?") ? "&" : "?"}version=${version}`);
            }}
          />
        )}
      </form>
      {"spec" in read && <Shown linked={linked} name={name.trim() || t("own.preview")} spec={read.spec} tall />}
    </div>
  );
}
