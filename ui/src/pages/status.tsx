/** What goes on: pace, lag and tasks; what failed, to try again; the health of the lake. */

import { Button, NativeSelect, Tabs } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import { Icon } from "../parts/icon.tsx";
import { lasting } from "../parts/lasting.ts";
import { Loading, Trouble } from "../parts/states.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";

type Count = { source: string; kind: string; priority: number; state: string; tasks: number; oldest: number };
type Status = {
  when: number;
  tasks: Count[];
  states: Record<string, number>;
  throughput: Record<string, Record<string, number>>;
  pace: number[];
  lag: Record<string, number>;
  inbox: number;
  workers: string[];
  everything_paused: boolean;
};

export default function StatusPage() {
  const { t } = useTexts();
  const { query } = useAddress();
  const tab = query.get("tab") ?? "work";
  return (
    <div className="page page-wide">
      <div className="page-head">
        <h1>{t("nav.status")}</h1>
        <span className="hint">
          <Link href="/sources">{t("nav.sources")}</Link> · <Link href="/jobs">{t("nav.jobs")}</Link>
        </span>
      </div>
      <Tabs
        value={tab}
        onChange={(next) => go(next === "work" || !next ? "/status" : `/status?tab=${next}`, { replace: true })}
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="work">{t("status.work")}</Tabs.Tab>
          <Tabs.Tab value="failures">{t("status.failures")}</Tabs.Tab>
          <Tabs.Tab value="lake">{t("lake")}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="work">
          <Work />
        </Tabs.Panel>
        <Tabs.Panel value="failures">
          <Failures />
        </Tabs.Panel>
        <Tabs.Panel value="lake">
          <LakeHealth />
        </Tabs.Panel>
      </Tabs>
    </div>
  );
}

function Figure({ value, label, bad }: { value: string; label: string; bad?: boolean }) {
  return (
    <div className="figure">
      <b className={bad ? "is-bad" : undefined}>{value}</b>
      <span>{label}</span>
    </div>
  );
}

// Work

const STATES = ["waiting", "running", "written", "done", "dead", "cancelled"] as const;

function Work() {
  const { t, n, when } = useTexts();
  const found = useAnswer("GET /api/status", {}, { every: 3000 });
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const status = found.data as unknown as Status;
  const lagOf = (key: string) => (/^\d+$/.test(key) ? t("status.lag.priority", { n: key }) : t("status.lag.written"));
  const states = STATES.filter((state) => status.states[state]);
  const rows = [...new Map(status.tasks.map((one) => [`${one.source}.${one.kind}.${one.priority}`, one])).values()].sort(
    (a, b) => a.priority - b.priority || a.source.localeCompare(b.source) || a.kind.localeCompare(b.kind),
  );
  const tasks = (row: Count, state: string) =>
    status.tasks.find(
      (one) => one.source === row.source && one.kind === row.kind && one.priority === row.priority && one.state === state,
    )?.tasks ?? 0;
  return (
    <>
      <p className="hint">{t("status.as_of", { when: when(status.when) })}</p>
      {status.everything_paused && <p className="note">{t("status.paused")}</p>}
      <div className="figures">
        {Object.entries(status.throughput).map(([window, rates]) => (
          <Figure key={window} value={n(rates["series"] ?? 0, 1)} label={t("status.throughput", { window })} />
        ))}
        <div className="figure figure-wide">
          <Sparkline values={status.pace} label={t("status.pace", { most: n(Math.max(0, ...status.pace)) })} />
        </div>
        <Figure value={n(status.inbox)} label={t("status.inbox")} />
        <Figure value={n(status.workers.length)} label={t("status.workers")} bad={status.workers.length === 0 && (status.states["waiting"] ?? 0) > 0} />
        {Object.entries(status.lag).map(([key, seconds]) => (
          <Figure key={key} value={lasting(seconds, n)} label={lagOf(key)} />
        ))}
      </div>
      {status.workers.length === 0 && (status.states["waiting"] ?? 0) > 0 && <p className="note">{t("status.noworker")}</p>}
      <h2>{t("status.tasks")}</h2>
      {rows.length === 0 ? (
        <p className="hint">{t("status.tasks.none")}</p>
      ) : (
        <table className="facts tasks">
          <thead>
            <tr>
              <th>{t("jobs.source")}</th>
              <th>{t("status.kind")}</th>
              <th>{t("status.priority")}</th>
              {states.map((state) => (
                <th className="right" key={state}>
                  {t(`task.${state}`)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={`${row.source}.${row.kind}.${row.priority}`}>
                <td>{row.source}</td>
                <td>{row.kind}</td>
                <td>{row.priority}</td>
                {states.map((state) => (
                  <td className={`right${state === "dead" && tasks(row, state) ? " is-bad" : ""}`} key={state}>
                    {n(tasks(row, state))}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <td colSpan={3} />
              {states.map((state) => (
                <td className="right" key={state}>
                  <b>{n(status.states[state])}</b>
                </td>
              ))}
            </tr>
          </tfoot>
        </table>
      )}
      {status.workers.length > 0 && (
        <>
          <h2>{t("status.workers")}</h2>
          <ul className="workers">
            {status.workers.map((worker) => (
              <li key={worker} className="mono">
                {worker}
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** One bar a minute. */
function Sparkline({ values, label }: { values: number[]; label: string }) {
  const most = Math.max(1, ...values);
  return (
    <>
      <svg className="sparkline" viewBox={`0 0 ${values.length} 20`} preserveAspectRatio="none" role="img" aria-label={label}>
        {values.map((value, at) => (
          <rect key={at} x={at + 0.1} width={0.8} y={20 - (19 * value) / most - 1} height={(19 * value) / most + 1} />
        ))}
      </svg>
      <span>{label}</span>
    </>
  );
}

// What failed

function Failures() {
  const { t, n, when } = useTexts();
  const client = useQueryClient();
  const [source, setSource] = useState("");
  const [kind, setKind] = useState(new URLSearchParams(location.search).get("kind") ?? "");
  const [problem, setProblem] = useState<Refused | null>(null);
  const [again, setAgain] = useState<number | null>(null);
  const all = useAnswer("GET /api/tasks", { query: { state: "dead", limit: 2000 } }, { every: 10_000 });
  if (all.error) return <Trouble error={all.error} again={() => void all.refetch()} />;
  if (!all.data) return <Loading />;
  const shown = all.data.filter((one) => (!source || one.source === source) && (!kind || one.kind === kind));
  const retry = async (body: { ids?: string[]; source?: string; kind?: string }) => {
    try {
      setAgain((await call("POST /api/tasks/retry", { body })).tasks);
      setProblem(null);
      await client.invalidateQueries({ queryKey: ["GET /api/tasks"] });
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
  };
  const choices = (of: (one: (typeof shown)[number]) => string) => [...new Set(all.data.map(of))].sort();
  return (
    <>
      {problem && <Trouble error={problem} />}
      {again !== null && (
        <p className="note is-good" role="status">
          {t("failures.again", { n: n(again) })}
        </p>
      )}
      {all.data.length === 0 ? (
        <p className="hint failures-none">{t("failures.none")}</p>
      ) : (
        <>
          <div className="filters failures-ways">
            <NativeSelect
              aria-label={t("jobs.source")}
              value={source}
              onChange={(event) => setSource(event.currentTarget.value)}
              data={[{ value: "", label: t("failures.sources") }, ...choices((one) => one.source)]}
            />
            <NativeSelect
              aria-label={t("status.kind")}
              value={kind}
              onChange={(event) => setKind(event.currentTarget.value)}
              data={[{ value: "", label: t("failures.kinds") }, ...choices((one) => one.kind)]}
            />
            <Button
              leftSection={<Icon name="again" size={14} />}
              disabled={shown.length === 0}
              onClick={() => void retry({ source, kind })}
            >
              {t("failures.retry", { n: n(shown.length) })}
            </Button>
          </div>
          <table className="facts failures">
            <thead>
              <tr>
                <th>{t("jobs.source")}</th>
                <th>{t("status.kind")}</th>
                <th>{t("jobs.what")}</th>
                <th>{t("header.value")}</th>
                <th>{t("jobs.why")}</th>
                <th className="right">{t("jobs.attempts")}</th>
                <th>{t("failures.ended")}</th>
                <th>
                  <span className="visually-hidden">{t("row.more")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.slice(0, 500).map((one) => (
                <tr key={one.id}>
                  <td>{one.source}</td>
                  <td>{one.kind}</td>
                  <td>{one.what}</td>
                  <td className="mono">{one.value}</td>
                  <td>{one.error}</td>
                  <td className="right">{n(one.attempts)}</td>
                  <td>{when(one.ended)}</td>
                  <td>
                    <Button
                      variant="subtle"
                      size="compact-xs"
                      aria-label={`${t("failures.retry.one")}: ${one.value}`}
                      onClick={() => void retry({ ids: [one.id] })}
                    >
                      {t("failures.retry.one")}
                    </Button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      <Unread />
    </>
  );
}

/** Why objects could not be read. */
function Unread() {
  const { t, n } = useTexts();
  const found = useAnswer("GET /api/failures", { query: { limit: 1 } });
  if (!found.data || found.data.total === 0) return null;
  return (
    <>
      <h2>{t("lake.unread", { n: n(found.data.total) })}</h2>
      <p className="hint">{t("lake.unread.do")}</p>
      <table className="facts">
        <thead>
          <tr>
            <th className="right">{t("failures.objects")}</th>
            <th>{t("failures.stage")}</th>
            <th>{t("jobs.why")}</th>
          </tr>
        </thead>
        <tbody>
          {found.data.reasons.map((one) => (
            <tr key={`${one.stage}${one.reason}`}>
              <td className="right">{n(one.objects)}</td>
              <td>{one.stage}</td>
              <td>{one.reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

// The lake

function LakeHealth() {
  const { t, n, when } = useTexts();
  const lake = useAnswer("GET /api/lake", {}, { every: 30_000 });
  const tables = useAnswer("GET /api/lake/tables");
  const check = useAnswer("GET /api/lake/checkup");
  if (lake.error) return <Trouble error={lake.error} again={() => void lake.refetch()} />;
  if (!lake.data) return <Loading />;
  const { data } = lake;
  return (
    <>
      <div className="figures lake-figures">
        {(["patients", "studies", "series", "instances", "failures"] as const).map((what) => (
          <Figure key={what} value={n(data.totals[what])} label={t(`level.${what}`)} bad={what === "failures" && data.totals[what] > 0} />
        ))}
      </div>
      <div className="lake-columns">
        <section>
          <h2>{t("lake.check")}</h2>
          {check.error && <Trouble error={check.error} />}
          {check.isFetching && <Loading />}
          {check.data && !check.isFetching && (
            <ul className="checks">
              {check.data.findings.map((one, at) => (
                <li key={at} className={one.level === "ok" ? "is-good" : one.level === "error" ? "is-bad" : "is-warm"}>
                  <Icon name={one.level === "ok" ? "check" : "warn"} size={15} />
                  <span>
                    {one.what}
                    {one.advice && <b> {one.advice}</b>}
                  </span>
                </li>
              ))}
            </ul>
          )}
          <Button
            variant="subtle"
            size="compact-xs"
            leftSection={<Icon name="again" size={13} />}
            onClick={() => void check.refetch()}
          >
            {t("lake.check.again")}
          </Button>
          <h2>{t("lake.about")}</h2>
          <dl className="about">
            <dt>{t("lake.path")}</dt>
            <dd className="mono">{data.path}</dd>
            <dt>{t("lake.version")}</dt>
            <dd>{n(data.version)}</dd>
            <dt>{t("lake.indexed")}</dt>
            <dd>{when(data.indexed)}</dd>
            <dt>{t("lake.layout")}</dt>
            <dd>{n(data.layout)}</dd>
            <dt>{t("lake.engine")}</dt>
            <dd>{data.engine}</dd>
            <dt>{t("lake.writing")}</dt>
            <dd>{t(data.writing ? "yes" : "no")}</dd>
          </dl>
        </section>
        <section>
          <h2>{t("lake.tables")}</h2>
          {tables.error && <Trouble error={tables.error} />}
          {tables.data && (
            <table className="facts">
              <thead>
                <tr>
                  <th>{t("lake.table")}</th>
                  <th className="right">{t("lake.rows")}</th>
                  <th className="right">{t("lake.files")}</th>
                  <th className="right">{t("lake.size")}</th>
                  <th className="right">{t("lake.version")}</th>
                </tr>
              </thead>
              <tbody>
                {tables.data.map((one) => (
                  <tr key={one.name}>
                    <td className="mono">{one.name}</td>
                    <td className="right">{n(one.rows)}</td>
                    <td className="right">{n(one.files)}</td>
                    <td className="right">{sizeOf(one.bytes, n)}</td>
                    <td className="right">{n(one.version)}</td>
                  </tr>
                ))}
              </tbody>
              <tfoot>
                <tr>
                  <td />
                  <td />
                  <td className="right">{n(tables.data.reduce((sum, one) => sum + one.files, 0))}</td>
                  <td className="right">
                    <b>{sizeOf(tables.data.reduce((sum, one) => sum + one.bytes, 0), n)}</b>
                  </td>
                  <td />
                </tr>
              </tfoot>
            </table>
          )}
          <h2>{t("lake.versions")}</h2>
          <ol className="versions">
            {data.versions.slice(0, 20).map((one) => (
              <li key={one.version}>
                <b>{n(one.version)}</b> <span>{when(one.when)}</span> <small>{one.what}</small>
              </li>
            ))}
          </ol>
        </section>
      </div>
    </>
  );
}

function sizeOf(bytes: number, n: (value: number, digits?: number) => string): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const at = bytes > 0 ? Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3)) : 0;
  return `${n(bytes / 1000 ** at, at ? 1 : 0)} ${units[at]}`;
}
