/** Jobs: ask a source for studies, and see how far that is. */

import { Button, NativeSelect, Progress, Textarea, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call, download, events, Refused, useAnswer } from "../api/client.ts";
import type { JobOut } from "../api/schema.ts";
import { Icon } from "../parts/icon.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

export default function JobsPage({ rest }: { rest: string[] }) {
  const [id] = rest;
  return <div className="page">{id ? <JobView key={id} id={id} /> : <JobList />}</div>;
}

function JobList() {
  const { t, n, when } = useTexts();
  const found = useAnswer("GET /api/jobs", {}, { every: 3000 });
  return (
    <>
      <div className="page-head">
        <h1>{t("nav.jobs")}</h1>
      </div>
      <NewJob />
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Message title={t("jobs.none")} text={t("jobs.none.do")} />}
      {found.data && found.data.length > 0 && (
        <table className="facts jobs">
          <thead>
            <tr>
              <th>{t("jobs.created")}</th>
              <th>{t("jobs.label")}</th>
              <th>{t("jobs.source")}</th>
              <th>{t("jobs.asked")}</th>
              <th>{t("jobs.state")}</th>
              <th className="job-progress">{t("jobs.progress")}</th>
            </tr>
          </thead>
          <tbody>
            {found.data.map((job) => (
              <tr key={job.id}>
                <td>
                  <Link href={`/jobs/${job.id}`}>{when(job.created)}</Link>
                </td>
                <td>{job.label}</td>
                <td>{job.source}</td>
                <td>{askedOf(job, n)}</td>
                <td>
                  <StateBadge state={job.state} />
                </td>
                <td>
                  <Progress value={job.progress.fraction * 100} size="sm" aria-label={t("jobs.progress")} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function askedOf(job: JobOut, n: (value: number) => string): string {
  const keys = Object.entries(job.asked).map(([keyword, count]) => `${n(count)} ${keyword}`);
  if (job.dates) keys.push(`${job.dates.from ?? "…"} – ${job.dates.to ?? "…"}`);
  return keys.join(", ");
}

export function StateBadge({ state }: { state: string }) {
  const { t } = useTexts();
  const look =
    state === "finished" ? "is-good" : state === "failed" ? "is-bad" : state === "running" ? "is-busy" : "";
  return <span className={`state-badge ${look}`}>{t(`job.${state}` as Key)}</span>;
}

const KINDS = ["accession_numbers", "patient_ids", "study_uids", "series_uids"] as const;

function NewJob() {
  const { t, n } = useTexts();
  const client = useQueryClient();
  const sources = useAnswer("GET /api/sources");
  const usable = (sources.data ?? []).filter((one) => one.kind !== "folder" && one.kind !== "objects");
  const [source, setSource] = useState("");
  const [kind, setKind] = useState<string>(KINDS[0]);
  const [text, setText] = useState("");
  const [label, setLabel] = useState("");
  const [depth, setDepth] = useState("");
  const [priority, setPriority] = useState("now");
  const [problem, setProblem] = useState<Refused | null>(null);
  const values = [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
  const send = async () => {
    try {
      const job = await call("POST /api/jobs", {
        body: {
          source: source || usable[0]?.name,
          [kind]: values,
          label,
          priority,
          ...(depth ? { depth } : {}),
        },
      });
      await client.invalidateQueries({ queryKey: ["GET /api/jobs"] });
      go(`/jobs/${job.id}`);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
  };
  if (sources.data && usable.length === 0) return <p className="note">{t("jobs.nosource")}</p>;
  return (
    <form
      className="card new-job"
      aria-label={t("jobs.new")}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <Textarea
        label={t("jobs.values")}
        description={t("jobs.values.about")}
        classNames={{ input: "code" }}
        autosize
        minRows={5}
        maxRows={12}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <div className="new-job-ways">
        <NativeSelect
          label={t("jobs.what")}
          value={kind}
          onChange={(event) => setKind(event.currentTarget.value)}
          data={KINDS.map((one) => ({ value: one, label: t(`jobs.${one}`) }))}
        />
        <NativeSelect
          label={t("jobs.source")}
          value={source || usable[0]?.name}
          onChange={(event) => setSource(event.currentTarget.value)}
          data={usable.map((one) => one.name)}
        />
        <NativeSelect
          label={t("jobs.depth")}
          value={depth}
          onChange={(event) => setDepth(event.currentTarget.value)}
          data={[
            { value: "", label: t("jobs.depth.source") },
            { value: "catalogue", label: t("jobs.depth.catalogue") },
            { value: "headers", label: t("jobs.depth.headers") },
            { value: "complete", label: t("jobs.depth.complete") },
          ]}
        />
        <NativeSelect
          label={t("jobs.priority")}
          value={priority}
          onChange={(event) => setPriority(event.currentTarget.value)}
          data={(["now", "today", "later"] as const).map((one) => ({ value: one, label: t(`jobs.${one}`) }))}
        />
        <TextInput
          label={t("jobs.label")}
          description={t("jobs.label.about")}
          value={label}
          onChange={(event) => setLabel(event.currentTarget.value)}
        />
        <Button type="submit" size="sm" disabled={values.length === 0}>
          {t("jobs.send", { n: n(values.length) })}
        </Button>
      </div>
      {problem && <Trouble error={problem} />}
    </form>
  );
}

function JobView({ id }: { id: string }) {
  const { t, n, when } = useTexts();
  const client = useQueryClient();
  const found = useAnswer("GET /api/jobs/{id}", { params: { id } });
  const missing = useAnswer("GET /api/jobs/{id}/missing", { params: { id } });
  const dead = useAnswer("GET /api/jobs/{id}/tasks", { params: { id }, query: { state: "dead" } });
  const [live, setLive] = useState<JobOut | null>(null);
  const [turn, setTurn] = useState(0);
  const [problem, setProblem] = useState<Refused | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const follow = async () => {
      try {
        for await (const { data } of events("/api/jobs/{id}/events", { params: { id }, signal: stop.signal }))
          setLive(JSON.parse(data) as JobOut);
        for (const part of ["", "/missing", "/tasks"])
          await client.invalidateQueries({ queryKey: [`GET /api/jobs/{id}${part}`] });
      } catch (error) {
        if (!stop.signal.aborted && error instanceof Refused) setProblem(error);
      }
    };
    void follow();
    return () => stop.abort();
  }, [id, turn, client]);
  const act = async (operation: "POST /api/jobs/{id}/retry" | "DELETE /api/jobs/{id}") => {
    try {
      await call(operation, { params: { id } });
      setProblem(null);
      setTurn(turn + 1);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
  };
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const job = live ?? found.data;
  const open = job.state === "waiting" || job.state === "running";
  return (
    <>
      <div className="page-head">
        <div>
          <Link href="/jobs" className="back">
            {t("nav.jobs")}
          </Link>
          <h1>{job.label || askedOf(job, n)}</h1>
        </div>
        <span className="page-ways">
          {job.state === "failed" && (
            <Button leftSection={<Icon name="again" />} onClick={() => void act("POST /api/jobs/{id}/retry")}>
              {t("jobs.retry")}
            </Button>
          )}
          {open && (
            <Button variant="default" color="red" onClick={() => void act("DELETE /api/jobs/{id}")}>
              {t("jobs.cancel")}
            </Button>
          )}
          <Button
            variant="default"
            leftSection={<Icon name="down_to" />}
            onClick={() =>
              void download("GET", "/api/jobs/{id}/documents", { params: { id }, query: { format: "json" } }, `${id}.json`).catch(
                (error: unknown) => error instanceof Refused && setProblem(error),
              )
            }
          >
            {t("jobs.documents")}
          </Button>
        </span>
      </div>
      {problem && <Trouble error={problem} />}
      <div className="card" aria-live="polite">
        <p className="job-line">
          <StateBadge state={job.state} />
          <span>
            {t("jobs.done", { n: n(job.progress.done), all: n(job.progress.total) })} · {job.source} · {when(job.created)}
          </span>
        </p>
        <Progress value={job.progress.fraction * 100} animated={open} aria-label={t("jobs.progress")} />
        <p className="hint">
          {Object.entries(job.tasks)
            .map(([state, count]) => `${t(`task.${state}` as Key)}: ${n(count)}`)
            .join(" · ")}
        </p>
      </div>
      <h2>{t("jobs.missing", { n: n(missing.data?.length ?? 0) })}</h2>
      {missing.data?.length === 0 && <p className="hint">{t("jobs.missing.none")}</p>}
      {missing.data && missing.data.length > 0 && (
        <table className="facts">
          <thead>
            <tr>
              <th>{t("jobs.what")}</th>
              <th>{t("header.value")}</th>
              <th>{t("jobs.why")}</th>
              <th>{t("jobs.attempts")}</th>
            </tr>
          </thead>
          <tbody>
            {missing.data.slice(0, 500).map((one) => (
              <tr key={`${one.id}${one.value}`}>
                <td>{one.what}</td>
                <td className="mono">{one.value}</td>
                <td>{one.why}</td>
                <td className="right">{n(one.attempts)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {dead.data && dead.data.length > 0 && (
        <>
          <h2>{t("jobs.dead", { n: n(dead.data.length) })}</h2>
          <table className="facts">
            <tbody>
              {dead.data.map((one) => (
                <tr key={one.id}>
                  <td>{one.kind}</td>
                  <td className="mono">{one.value}</td>
                  <td>{one.error}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}
