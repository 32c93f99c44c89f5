/** Parts of a cohort: attrition, the difference to another one, what is new, what was decided. */

import { Button, NativeSelect } from "@mantine/core";
import { useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { CohortDetails, Totals } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import { Loading, Message, Trouble } from "./states.tsx";

const LEVELS = ["patients", "studies", "series"] as const;
const COUNTED = { patient: "patients", study: "studies", series: "series", instance: "instances" } as const;

/** What each condition left, as bars. */
export function Attrition({ one }: { one: CohortDetails }) {
  const { t } = useTexts();
  const counted = COUNTED[one.level];
  const steps = [{ depth: 0, text: t("cohorts.whole"), sentence: "", kept: one.whole }, ...one.attrition];
  return (
    <>
      <pre className="code cohort-text">{one.text || t("cohorts.everything")}</pre>
      <table className="facts attrition">
        <thead>
          <tr>
            <th>{t("cohorts.condition")}</th>
            <th>{t("cohorts.left", { what: t(`level.${counted}`) })}</th>
            {LEVELS.map((level) => (
              <th key={level} className="right">
                {t(`level.${level}`)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.map((step, at) => (
            <Step key={at} step={step} whole={one.whole} counted={counted} />
          ))}
        </tbody>
      </table>
      <p className="hint">
        {t("cohorts.digest")} <code className="cohort-digest">{one.digest}</code>
      </p>
    </>
  );
}

function Step({
  step,
  whole,
  counted,
}: {
  step: { depth: number; text: string; sentence: string; kept: Totals };
  whole: Totals;
  counted: keyof Totals;
}) {
  const { n } = useTexts();
  const share = whole[counted] ? step.kept[counted] / whole[counted] : 0;
  return (
    <tr>
      <td title={step.sentence} style={{ paddingInlineStart: `${10 + step.depth * 16}px` }} className="code">
        {step.text}
      </td>
      <td>
        <span className="attrition-bar" role="img" aria-label={`${n(share * 100, 1)} %`}>
          <i style={{ width: `${share * 100}%` }} />
        </span>
      </td>
      {LEVELS.map((level) => (
        <td key={level} className="right">
          {n(step.kept[level])}
        </td>
      ))}
    </tr>
  );
}

/** This version beside another one, of this cohort or of another. */
export function Difference({ one }: { one: CohortDetails }) {
  const { t, n, called } = useTexts();
  const all = useAnswer("GET /api/cohorts");
  const others = [
    ...one.history.filter((old) => old.version !== one.version).map((old) => `${old.name}@${old.version}`),
    ...(all.data ?? []).filter((other) => other.name !== one.name).map((other) => `${other.name}@${other.version}`),
  ];
  const [chosen, setChosen] = useState("");
  const other = chosen || others[0] || "";
  const found = useAnswer(
    "GET /api/cohorts/{name}/compare",
    { params: { name: one.name }, query: { version: one.version, other } },
    { enabled: other !== "" },
  );
  if (!other) return <Message title={t("cohort.compare.alone")} text={t("cohort.compare.alone.do")} />;
  const a = `${one.name}@${one.version}`;
  const titles = { only_a: t("cohort.compare.only", { name: a }), both: t("cohort.compare.both"), only_b: t("cohort.compare.only", { name: other }) };
  return (
    <>
      <NativeSelect
        className="cohort-other"
        label={t("cohort.compare.with")}
        value={other}
        data={others}
        onChange={(event) => setChosen(event.currentTarget.value)}
      />
      {found.error && <Trouble error={found.error} />}
      {!found.data && !found.error && <Loading />}
      {found.data && (
        <>
          <table className="facts">
            <thead>
              <tr>
                <th>
                  <span className="visually-hidden">{t("cohort.compare.level")}</span>
                </th>
                {Object.values(titles).map((title) => (
                  <th key={title} className="right">
                    {title}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {LEVELS.map((level) => (
                <tr key={level}>
                  <th scope="row">{t(`level.${level}`)}</th>
                  {(["only_a", "both", "only_b"] as const).map((side) => (
                    <td key={side} className="right">
                      {n(found.data.counts[level]?.[side])}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {(["only_a", "only_b"] as const).map((side) =>
            Object.entries(found.data.why[side] ?? {}).map(([why, number]) => (
              <p key={side + why}>
                {titles[side]}: {t("cohort.compare.why", { n: n(number), why: called(`cohort.compare.${why}`, why) })}
              </p>
            )),
          )}
          {found.data.rows.length === 0 && <p>{t("cohort.compare.same")}</p>}
          {found.data.rows.length > 0 && (
            <details>
              <summary>{t("cohort.compare.rows")}</summary>
              <table className="facts">
                <thead>
                  <tr>
                    <th>PatientID</th>
                    <th>Modality</th>
                    <th>SeriesInstanceUID</th>
                    <th>{t("cohort.compare.side")}</th>
                    <th>{t("cohort.compare.reason")}</th>
                  </tr>
                </thead>
                <tbody>
                  {found.data.rows.map((row) => (
                    <tr key={row.SeriesInstanceUID}>
                      <td>{row.PatientID}</td>
                      <td>{row.Modality}</td>
                      <td className="code">{row.SeriesInstanceUID}</td>
                      <td>{titles[row.side]}</td>
                      <td>
                        {called(`cohort.compare.${row.why}`, row.why)} {row.reason && <small>{row.reason}</small>}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </details>
          )}
        </>
      )}
    </>
  );
}

/** What the question finds now. */
export function News({ one, freeze }: { one: CohortDetails; freeze: (() => Promise<void>) | undefined }) {
  const { t, n } = useTexts();
  const [busy, setBusy] = useState(false);
  const found = useAnswer("GET /api/cohorts/{name}/news", { params: { name: one.name }, query: { version: one.version } });
  if (found.error) return <Trouble error={found.error} />;
  if (!found.data) return <Loading />;
  const { counts, changed, lost, missing } = found.data;
  if (!found.data.any) return <Message title={t("news.nothing")} text={t("news.nothing.about")} />;
  return (
    <div className="cohort-news">
      <ul>
        <li>
          {t("news.new", { patients: n(counts.patients), studies: n(counts.studies), series: n(counts.series) })}
        </li>
        {changed > 0 && <li>{t("news.changed", { n: n(changed) })}</li>}
        {lost > 0 && <li>{t("news.lost", { n: n(lost) })}</li>}
        {missing > 0 && <li>{t("news.missing", { n: n(missing) })}</li>}
      </ul>
      {freeze && (
        <Button
          loading={busy}
          onClick={() => {
            setBusy(true);
            void freeze().finally(() => setBusy(false));
          }}
        >
          {t("news.freeze")}
        </Button>
      )}
    </div>
  );
}

/** What people decided, newest first. */
export function Log({ one }: { one: CohortDetails }) {
  const { t, n, when, called } = useTexts();
  if (one.log.length === 0) return <Message title={t("log.nothing")} text={t("log.nothing.about")} />;
  return (
    <table className="facts">
      <thead>
        <tr>
          <th>{t("cohorts.made")}</th>
          <th>{t("log.who")}</th>
          <th>{t("log.what")}</th>
          <th className="right">{t("level.series")}</th>
          <th>{t("cohorts.reason")}</th>
        </tr>
      </thead>
      <tbody>
        {one.log.map((entry) => (
          <tr key={entry.n}>
            <td>{when(entry.at)}</td>
            <td>{entry.by}</td>
            <td>
              {called(`log.${entry.what}`, entry.what)} {entry.flag && <kbd>{entry.flag}</kbd>}
              {entry.pending && <small> {t("log.pending")}</small>}
            </td>
            <td className="right">{entry.series > 0 && n(entry.series)}</td>
            <td>{entry.reason}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
