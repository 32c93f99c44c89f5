/** What enrichers state of a series: body part, type, structures, codes and faults, each with its evidence. */

import type { ReactNode } from "react";
import { useAnswer } from "../api/client.ts";
import type { EvidenceOut, FaultOut, StatementOut } from "../api/schema.ts";
import { Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { Loading, Message, Trouble } from "./states.tsx";

const KINDS = [
  ["body part", "shows.body.part"],
  ["laterality", "shows.laterality"],
  ["procedure", "shows.procedure"],
  ["series type", "shows.series.type"],
  ["structure", "shows.structure"],
  ["tissue", "shows.tissue"],
  ["finding", "shows.finding"],
  ["code", "shows.code"],
] as const;
const SEVERITIES = ["error", "warning", "note"] as const;
const GRADES = ["equal", "equivalent", "broader", "narrower", "none"] as const;

export function Statements({ series }: { series: string }) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/series/{SeriesInstanceUID}/statements", { params: { SeriesInstanceUID: series } });
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const { annotations, findings } = found.data;
  if (annotations.length + findings.length === 0)
    return (
      <Message title={t("shows.none")} text={t("shows.none.do")}>
        <Link href="/enrichers">{t("nav.enrichers")}</Link>
      </Message>
    );
  return (
    <div className="shows">
      {findings.length > 0 && (
        <Group title={t("shows.findings")}>
          {findings.map((one, at) => (
            <Fault one={one} key={at} />
          ))}
        </Group>
      )}
      {KINDS.map(([kind, title]) => {
        const rows = annotations.filter((one) => one.kind === kind);
        return rows.length === 0 ? null : (
          <Group title={t(title)} key={kind}>
            {rows.map((one, at) => (
              <Statement one={one} key={at} />
            ))}
          </Group>
        );
      })}
    </div>
  );
}

function Group({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="shows-group" aria-label={title}>
      <h3>{title}</h3>
      <ul>{children}</ul>
    </section>
  );
}

function Statement({ one }: { one: StatementOut }) {
  const { t, n } = useTexts();
  const grade = GRADES.find((known) => known === one.equivalence);
  const raw = one.kind === "code" && one.code !== `${one.code_scheme}:${one.code_value}`;
  const title = one.name || one.label || one.code || "";
  return (
    <li>
      <details>
        <summary>
          <b>{title}</b>
          {raw && (
            <span className="shows-raw">
              {one.code_scheme}:{one.code_value} →
            </span>
          )}
          <code>{one.structure ?? one.code}</code>
          {one.volume !== null && <span>{n(one.volume, 1)} mL</span>}
          {one.complete === false && <span className="badge shows-cut">{t("shows.cut")}</span>}
          {one.complete === true && <span className="badge">{t("shows.whole")}</span>}
          {one.confidence !== null && <small>{t("shows.sure", { n: n(one.confidence * 100, 0) })}</small>}
        </summary>
        <Evidence rows={one.evidence ?? []} />
        {grade && <p>{t("shows.fits", { grade: t(`shows.grade.${grade}`) })}</p>}
        {one.also && one.also.length > 0 && (
          <p>
            {t("shows.also")} <code>{one.also.join(", ")}</code>
          </p>
        )}
        <Made one={one} />
      </details>
    </li>
  );
}

function Fault({ one }: { one: FaultOut }) {
  const { t } = useTexts();
  const severity = SEVERITIES.find((known) => known === one.severity) ?? "note";
  return (
    <li>
      <details>
        <summary>
          <span className={`badge shows-${severity}`}>{t(`shows.${severity}`)}</span>
          <b>{one.rule}</b>
          <span>{one.text}</span>
        </summary>
        <p>
          {one.path && <code>{one.path}</code>} {one.value && t("shows.value", { value: one.value })}{" "}
          {one.expected && t("shows.expected", { value: one.expected })}
        </p>
        <Made one={one} />
      </details>
    </li>
  );
}

function Evidence({ rows }: { rows: EvidenceOut[] }) {
  const { t, n } = useTexts();
  if (rows.length === 0) return null;
  return (
    <div className="wide">
      <table className="facts">
        <thead>
          <tr>
            <th>{t("shows.where")}</th>
            <th>{t("shows.sent")}</th>
            <th>{t("shows.means")}</th>
            <th className="right">{t("shows.confidence")}</th>
            <th>{t("shows.rule")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one, at) => (
            <tr key={at}>
              <td>{one.path}</td>
              <td>{one.text}</td>
              <td className="mono">{one.code}</td>
              <td className="right">{one.confidence === null ? "" : `${n(one.confidence * 100, 0)} %`}</td>
              <td>{one.rule}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Made({ one }: { one: Pick<StatementOut, "enricher" | "version" | "model" | "run_id" | "made"> }) {
  const { t } = useTexts();
  return (
    <p className="hint">
      {t("shows.made", {
        who: [one.enricher, one.version].filter(Boolean).join(" "),
        when: (one.made ?? "").slice(0, 16).replace("T", " "),
      })}{" "}
      {one.model} · {t("shows.run")} {one.run_id}
    </p>
  );
}
