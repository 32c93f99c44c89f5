/** Enrichers: how far they are, why they skipped or failed, and having them look at series. */

import { Button, Modal, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { EnricherOut } from "../api/schema.ts";
import { useMay } from "../parts/access.tsx";
import { Icon } from "../parts/icon.tsx";
import { lasting } from "../parts/lasting.ts";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";

const PARTS = ["done", "skipped", "failed", "waiting"] as const;

export default function EnrichersPage() {
  const { t } = useTexts();
  const { query } = useAddress();
  const where = query.get("q")?.trim() ?? "";
  const found = useAnswer("GET /api/enrichers", {}, { every: 3000 });
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.enrichers")}</h1>
        <span className="hint">
          <Link href="/status">{t("nav.status")}</Link>
        </span>
      </div>
      <p className="hint">{t("enrichers.about")}</p>
      <Limit where={where} />
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Message title={t("enrichers.none")} text={t("enrichers.none.do")} />}
      {found.data?.map((one) => (
        <EnricherCard key={one.name} one={one} where={where} />
      ))}
    </div>
  );
}

/** Only series that meet a question: it stands in the address. */
function Limit({ where }: { where: string }) {
  const { t, n } = useTexts();
  const [text, setText] = useState(where);
  useEffect(() => setText(where), [where]);
  const counted = useAnswer("POST /api/query/count", { body: { where, level: "series" } }, { enabled: where !== "", keep: true });
  const set = (next: string) => go(next ? `/enrichers?q=${encodeURIComponent(next)}` : "/enrichers");
  return (
    <form
      className="enrich-limit"
      aria-label={t("enrichers.limit")}
      onSubmit={(event) => {
        event.preventDefault();
        set(text.trim());
      }}
    >
      <TextInput
        label={t("enrichers.limit")}
        placeholder="Modality = 'CT'"
        classNames={{ input: "code" }}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <Button type="submit" variant="default" disabled={text.trim() === where}>
        {t("enrichers.limit.set")}
      </Button>
      {where && (
        <Button variant="subtle" onClick={() => set("")}>
          {t("enrichers.limit.clear")}
        </Button>
      )}
      <span className="hint" role="status">
        {where && counted.data && !counted.error && t("enrichers.limit.found", { n: n(counted.data.totals.series) })}
      </span>
      {where && counted.error && <Trouble error={counted.error} />}
    </form>
  );
}

function EnricherCard({ one, where }: { one: EnricherOut; where: string }) {
  const { t, n } = useTexts();
  const may = useMay();
  const client = useQueryClient();
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const { work } = one;
  const act = async (what: () => Promise<string>) => {
    setBusy(true);
    try {
      setSaid(await what());
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    setBusy(false);
    await client.invalidateQueries({ queryKey: ["GET /api/enrichers"] });
  };
  const look = (again: boolean) =>
    act(async () => {
      const body = { again, ...(where ? { where } : {}) };
      const { tasks } = await call("POST /api/enrichers/{name}/runs", { params: { name: one.name }, body });
      return tasks ? t("enrichers.queued", { n: n(tasks) }) : t("enrichers.nothing");
    });
  const retry = () =>
    act(async () => {
      const { tasks } = await call("POST /api/tasks/retry", { body: { kind: work.kind } });
      return t("enrichers.queued", { n: n(tasks) });
    });
  const cancel = () =>
    act(async () => {
      const { tasks } = await call("DELETE /api/enrichers/{name}/runs", { params: { name: one.name } });
      return t("enrichers.cancelled", { n: n(tasks) });
    });
  const open = work.waiting + work.running;
  return (
    <article className="card enricher" aria-label={one.name}>
      <header>
        <h2>{one.name}</h2>
        <span className="enricher-marks">
          {one.automatic && <span className="state-badge">{t("enrichers.automatic")}</span>}
          <span className="state-badge">{one.hardware.toUpperCase()}</span>
          {open > 0 && (
            <span className={`state-badge ${work.running ? "is-busy" : ""}`}>
              {t(work.running ? "job.running" : "job.waiting")}
            </span>
          )}
        </span>
      </header>
      <p>{one.about}</p>
      <p className="hint enricher-model" title={one.model}>
        {t("enrichers.version", { version: one.version })}
        {one.model && ` · ${one.model}`}
      </p>
      {one.problem && <p className="note">{one.problem}</p>}
      <Bar one={one} />
      <Working one={one} />
      <Reasons one={one} />
      {said && (
        <p className="hint" role="status">
          {said}
        </p>
      )}
      {problem && <Trouble error={problem} />}
      {may("operate") && (
        <footer>
          <Button loading={busy} disabled={one.waiting === null} onClick={() => void look(false)}>
            {t("enrichers.new")}
          </Button>
          <Button
            variant="default"
            leftSection={<Icon name="again" size={14} />}
            disabled={one.waiting === null || busy}
            onClick={() => setAsking(true)}
          >
            {t("enrichers.again")}
          </Button>
          {work.failed > 0 && (
            <Button variant="default" disabled={busy} onClick={() => void retry()}>
              {t("failures.retry", { n: n(work.failed) })}
            </Button>
          )}
          {open > 0 && (
            <Button variant="default" color="red" disabled={busy} onClick={() => void cancel()}>
              {t("jobs.cancel")}
            </Button>
          )}
        </footer>
      )}
      <Modal opened={asking} onClose={() => setAsking(false)} title={`${one.name}: ${t("enrichers.again")}`} centered>
        <p>{t(where ? "enrichers.again.some" : "enrichers.again.all")}</p>
        {where && <pre className="code">{where}</pre>}
        <Button
          mt="md"
          data-autofocus
          onClick={() => {
            setAsking(false);
            void look(true);
          }}
        >
          {t("enrichers.again")}
        </Button>
      </Modal>
    </article>
  );
}

/** Series by state, as one bar with its numbers. */
function Bar({ one }: { one: EnricherOut }) {
  const { t, n } = useTexts();
  const fresh = Math.max((one.waiting ?? 0) - one.failed, 0);
  const numbers = { done: one.done, skipped: one.skipped, failed: one.failed, waiting: fresh };
  const all = PARTS.reduce((sum, part) => sum + numbers[part], 0);
  const shown = PARTS.filter((part) => numbers[part] > 0);
  const label = shown.map((part) => `${t(`enrichers.${part}`)}: ${n(numbers[part])}`).join(", ");
  return (
    <>
      <div className="enricher-bar" role="img" aria-label={label || t("enrichers.none.series")}>
        {shown.map((part) => (
          <i key={part} className={`is-${part}`} style={{ flexGrow: numbers[part] / all }} />
        ))}
      </div>
      <ul className="enricher-numbers">
        {PARTS.map((part) => (
          <li key={part}>
            <i className={`is-${part}`} />
            {t(`enrichers.${part}`)} <b>{part === "waiting" && one.waiting === null ? "–" : n(numbers[part])}</b>
          </li>
        ))}
        <li className="enricher-sums">
          {t("enrichers.statements")} <b>{n(one.statements)}</b>
        </li>
        <li>
          {t("enrichers.findings")} <b>{n(one.findings)}</b>
        </li>
      </ul>
    </>
  );
}

/** What goes on in the queue, and who is missing. */
function Working({ one: { work } }: { one: EnricherOut }) {
  const { t, n } = useTexts();
  const open = work.waiting + work.running;
  if (!open && !work.failed) return null;
  const parts = [
    work.waiting > 0 && t("enrichers.tasks.waiting", { n: n(work.waiting) }),
    work.running > 0 && t("enrichers.tasks.running", { n: n(work.running) }),
    work.series_per_minute !== null && open > 0 && t("enrichers.pace", { n: n(work.series_per_minute) }),
    work.seconds_left !== null && t("enrichers.left", { time: lasting(work.seconds_left, n) }),
  ].filter(Boolean);
  return (
    <>
      {parts.length > 0 && (
        <p className="enricher-work" aria-live="polite">
          {t("enrichers.tasks")}: {parts.join(" · ")}
        </p>
      )}
      {work.advice && <p className="note">{t("enrichers.noworker", { command: work.advice.replace(/^.*: /, "") })}</p>}
      {work.failed > 0 && (
        <p>
          <Link href={`/status?tab=failures&kind=${encodeURIComponent(work.kind)}`}>
            {t("enrichers.tasks.failed", { n: n(work.failed) })}
          </Link>
        </p>
      )}
    </>
  );
}

function Reasons({ one }: { one: EnricherOut }) {
  const { t, n } = useTexts();
  if (one.reasons.length === 0) return null;
  return (
    <details className="enricher-reasons">
      <summary>{t("enrichers.reasons")}</summary>
      <table className="facts">
        <thead>
          <tr>
            <th className="right">{t("level.series")}</th>
            <th>{t("jobs.state")}</th>
            <th>{t("jobs.why")}</th>
          </tr>
        </thead>
        <tbody>
          {one.reasons.map(({ state, reason, series }) => (
            <tr key={`${state}${reason}`}>
              <td className="right">{n(series)}</td>
              <td className={state === "failed" ? "is-bad" : undefined}>{t(`enrichers.${state}`)}</td>
              <td>{reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
