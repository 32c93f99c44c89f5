/** What goes on: throughput, lag, what failed; and the lake itself. */

import { useAnswer } from "../api/client.ts";
import { Loading, Trouble } from "../parts/states.tsx";
import { Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

type Failed = { id: string; source: string; kind: string; what: string; value: string; why: string; attempts: number; ended: number };
type Status = {
  when: number;
  states: Record<string, number>;
  throughput: Record<string, Record<string, number>>;
  lag: Record<string, number>;
  failures: Failed[];
  inbox: number;
  workers: string[];
  everything_paused: boolean;
};

export default function StatusPage() {
  const { t, n, when } = useTexts();
  const found = useAnswer("GET /api/status", {}, { every: 3000 });
  const lake = useAnswer("GET /api/lake", {}, { every: 30_000 });
  if (found.error)
    return (
      <div className="page">
        <Trouble error={found.error} again={() => void found.refetch()} />
      </div>
    );
  if (!found.data) return <Loading />;
  const status = found.data as unknown as Status;
  const lagOf = (key: string) => (/^\d+$/.test(key) ? t("status.lag.priority", { n: key }) : t("status.lag.written"));
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.status")}</h1>
        <span className="hint">{when(status.when)}</span>
      </div>
      {status.everything_paused && <p className="note">{t("status.paused")}</p>}
      <div className="figures">
        {Object.entries(status.throughput).map(([window, rates]) => (
          <Figure key={window} value={n(rates["series"] ?? 0, 1)} label={t("status.throughput", { window })} />
        ))}
        <Figure value={n(status.inbox)} label={t("status.inbox")} />
        <Figure value={n(status.workers.length)} label={t("status.workers")} />
        {Object.entries(status.lag).map(([key, seconds]) => (
          <Figure key={key} value={`${n(seconds, seconds < 10 ? 1 : 0)} s`} label={lagOf(key)} />
        ))}
      </div>
      <h2>{t("status.tasks")}</h2>
      {Object.keys(status.states).length === 0 ? (
        <p className="hint">{t("status.tasks.none")}</p>
      ) : (
        <div className="figures">
          {Object.entries(status.states).map(([state, count]) => (
            <Figure key={state} value={n(count)} label={t(`task.${state}` as Key)} />
          ))}
        </div>
      )}
      {status.failures.length > 0 && (
        <>
          <h2>{t("status.failures")}</h2>
          <table className="facts">
            <tbody>
              {status.failures.map((one) => (
                <tr key={one.id}>
                  <td>{one.source}</td>
                  <td>{one.what}</td>
                  <td className="mono">{one.value}</td>
                  <td>{one.why}</td>
                  <td>{when(one.ended)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      <h2>{t("lake")}</h2>
      {lake.error && <Trouble error={lake.error} />}
      {lake.data && (
        <>
          <div className="figures">
            {(["patients", "studies", "series", "instances", "failures"] as const).map((what) => (
              <Figure key={what} value={n(lake.data.totals[what])} label={t(`level.${what}`)} />
            ))}
          </div>
          <dl className="about">
            <dt>{t("lake.path")}</dt>
            <dd className="mono">{lake.data.path}</dd>
            <dt>{t("lake.version")}</dt>
            <dd>{n(lake.data.version)}</dd>
            <dt>{t("lake.indexed")}</dt>
            <dd>{when(lake.data.indexed)}</dd>
            <dt>{t("lake.engine")}</dt>
            <dd>{lake.data.engine}</dd>
            <dt>{t("lake.writing")}</dt>
            <dd>{t(lake.data.writing ? "yes" : "no")}</dd>
          </dl>
          <Unread />
        </>
      )}
      <p>
        <Link href="/sources">{t("nav.sources")}</Link> · <Link href="/jobs">{t("nav.jobs")}</Link>
      </p>
    </div>
  );
}

function Figure({ value, label }: { value: string; label: string }) {
  return (
    <div className="figure">
      <b>{value}</b>
      <span>{label}</span>
    </div>
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
      <table className="facts">
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
