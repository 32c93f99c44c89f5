/** Cohorts: frozen answers, what people decide about them, and who may use them. */

import { Button, Modal, NativeSelect, Tabs, Textarea, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { CohortDetails, CohortOut, WithdrawalOut } from "../api/schema.ts";
import { useMay } from "../parts/access.tsx";
import { Approval } from "../parts/approval.tsx";
import { Attrition, Difference, Log, News } from "../parts/cohort.tsx";
import { Curation } from "../parts/curation.tsx";
import { Splits } from "../parts/splits.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const LEVELS = ["patients", "studies", "series", "instances"] as const;
const TABS = ["series", "question", "compare", "news", "split", "approval", "log"] as const;

export default function CohortsPage({ rest }: { rest: string[] }) {
  return rest[0] ? <OneCohort key={rest[0]} name={rest[0]} /> : <AllCohorts />;
}

/** Ask anew for everything about cohorts. */
export function useAsked(): () => Promise<void> {
  const client = useQueryClient();
  return () =>
    client.invalidateQueries({
      predicate: ({ queryKey }) => String(queryKey[0]).includes("/api/cohorts") || String(queryKey[0]).includes("/api/withdrawals"),
    });
}

function AllCohorts() {
  const { t, n, when } = useTexts();
  const may = useMay();
  const found = useAnswer("GET /api/cohorts");
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("cohorts")}</h1>
      </div>
      <p className="hint">{t("cohorts.about")}</p>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Message title={t("cohorts.nothing")} text={t("cohorts.nothing.do")} />}
      {found.data && found.data.length > 0 && (
        <table className="facts">
          <thead>
            <tr>
              <th>{t("saved.name")}</th>
              {LEVELS.map((level) => (
                <th key={level} className="right">
                  {t(`level.${level}`)}
                </th>
              ))}
              <th>{t("saved.asks")}</th>
              <th>{t("cohorts.made")}</th>
            </tr>
          </thead>
          <tbody>
            {found.data.map((one) => (
              <tr key={one.name}>
                <td>
                  <Link className="strong" href={`/cohorts/${one.name}`}>
                    {one.name}
                  </Link>{" "}
                  <Marks one={one} />
                  {one.comment && <p className="hint">{one.comment}</p>}
                </td>
                {LEVELS.map((level) => (
                  <td key={level} className="right">
                    {n(one.counts[level])}
                  </td>
                ))}
                <td>{one.sentence}</td>
                <td>
                  {when(one.made)} <small>{one.by}</small>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {may("release") && <Withdrawals />}
    </div>
  );
}

function Marks({ one }: { one: CohortOut }) {
  const { t } = useTexts();
  return (
    <span className="cohort-marks">
      <span className="state-badge">{t("cohorts.version", { n: one.version })}</span>
      {one.approved && <span className="state-badge is-good">{t("cohorts.approved")}</span>}
      {one.split && <span className="state-badge">{t("cohorts.split")}</span>}
    </span>
  );
}

function OneCohort({ name }: { name: string }) {
  const { t, n, when } = useTexts();
  const { query } = useAddress();
  const may = useMay();
  const again = useAsked();
  const [problem, setProblem] = useState<Refused | null>(null);
  const [saving, setSaving] = useState(false);
  const version = Number(query.get("version")) || undefined;
  const tab = query.get("tab") ?? (may("read") ? "series" : "question");
  const found = useAnswer("GET /api/cohorts/{name}", { params: { name }, query: { version } }, { keep: true });
  const one = found.data;
  const show = (next: { version?: number | undefined; tab?: string }) => {
    const search = new URLSearchParams();
    const wanted = "version" in next ? next.version : version;
    if (wanted) search.set("version", String(wanted));
    if ((next.tab ?? tab) !== "series") search.set("tab", next.tab ?? tab);
    const text = search.toString();
    go(`/cohorts/${name}${text ? `?${text}` : ""}`, { replace: true });
  };
  const act = async (what: () => Promise<unknown>) => {
    try {
      await what();
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await again();
  };
  if (!one) {
    return <div className="page">{found.error ? <Trouble error={found.error} /> : <Loading />}</div>;
  }
  const newest = one.history[0]!.version;
  const pending = one.version === newest ? one.log.filter((entry) => entry.pending).length : 0;
  const curate = may("curate") && one.version === newest;
  return (
    <div className="page">
      <div className="page-head">
        <h1>
          <Link href="/cohorts">{t("cohorts")}</Link> / {name}
        </h1>
        <Marks one={one} />
      </div>
      {problem && <Trouble error={problem} />}
      <div className="cohort-head">
        <NativeSelect
          label={t("saved.version")}
          value={String(one.version)}
          data={one.history.map((old) => ({
            value: String(old.version),
            label: `${old.version} · ${t(`cohorts.kind.${old.kind}`)} · ${when(old.made)}`,
          }))}
          onChange={(event) => {
            const next = Number(event.currentTarget.value);
            show({ version: next === newest ? undefined : next });
          }}
        />
        <dl className="cohort-counts">
          {LEVELS.map((level) => (
            <div key={level}>
              <dd>{n(one.counts[level])}</dd>
              <dt>{t(`level.${level}`)}</dt>
            </div>
          ))}
          <div>
            <dd>{sizeOf(one.counts.bytes, n)}</dd>
            <dt>{t("cohorts.bytes")}</dt>
          </div>
        </dl>
      </div>
      <p>{one.sentence}</p>
      <p className="hint">
        {[one.by && t("cohorts.by", { by: one.by, when: when(one.made) }), t("cohorts.lake", { n: one.lake_version }), one.comment]
          .filter(Boolean)
          .join(" · ")}
      </p>
      <Since one={one} />
      {pending > 0 && (
        <div className="note cohort-pending" role="status">
          {t("cohorts.pending", { n: n(pending) })}
          {curate && (
            <Button size="compact-sm" onClick={() => setSaving(true)}>
              {t("cohorts.save")}
            </Button>
          )}
        </div>
      )}
      <Tabs value={tab} onChange={(next) => show({ tab: next ?? "series" })} keepMounted={false}>
        <Tabs.List aria-label={t("cohorts.parts")}>
          {TABS.filter((name_) => may("read") || name_ === "question").map((part) => (
            <Tabs.Tab key={part} value={part}>
              {t(`cohorts.tab.${part}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="series">
          <Curation name={name} version={one.version === newest ? undefined : one.version} curate={curate} />
        </Tabs.Panel>
        <Tabs.Panel value="question">
          <Attrition one={one} />
        </Tabs.Panel>
        <Tabs.Panel value="compare">
          <Difference one={one} />
        </Tabs.Panel>
        <Tabs.Panel value="news">
          <News
            one={one}
            freeze={
              curate
                ? () =>
                    act(() =>
                      call("POST /api/cohorts", { body: { name, where: one.where, level: one.level, comment: t("cohorts.again") } }),
                    )
                : undefined
            }
          />
        </Tabs.Panel>
        <Tabs.Panel value="split">
          <Splits one={one} curate={curate} />
        </Tabs.Panel>
        <Tabs.Panel value="approval">
          <Approval one={one} />
        </Tabs.Panel>
        <Tabs.Panel value="log">
          <Log one={one} />
        </Tabs.Panel>
      </Tabs>
      {saving && (
        <Saving
          close={() => setSaving(false)}
          save={(comment) =>
            act(async () => {
              await call("POST /api/cohorts/{name}/versions", { params: { name }, body: { comment } });
              setSaving(false);
            })
          }
        />
      )}
    </div>
  );
}

function sizeOf(bytes: number, n: (value: number, digits?: number) => string): string {
  const at = bytes >= 1e12 ? 3 : bytes >= 1e9 ? 2 : bytes >= 1e6 ? 1 : 0;
  return `${n(bytes / 1000 ** (at + 1), 1)} ${["kB", "MB", "GB", "TB"][at]}`;
}

/** What changed in the lake since a version was made. */
function Since({ one }: { one: CohortDetails }) {
  const { t, n } = useTexts();
  const parts: [number, Key][] = [
    [one.excluded, "cohorts.excluded"],
    [one.withdrawn + one.withdrawn_since, "cohorts.withdrawn"],
    [one.missing, "cohorts.missing"],
    [one.changed, "cohorts.changed"],
    [one.erased, "cohorts.erased"],
  ];
  const said = parts.filter(([number]) => number > 0).map(([number, key]) => t(key, { n: n(number) }));
  return said.length > 0 ? <p className="hint">{said.join(" · ")}</p> : null;
}

function Saving({ close, save }: { close: () => void; save: (comment: string) => Promise<void> }) {
  const { t } = useTexts();
  const [comment, setComment] = useState("");
  return (
    <Modal opened onClose={close} title={t("cohorts.save")} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save(comment);
        }}
      >
        <Textarea
          label={t("saved.comment")}
          value={comment}
          autosize
          minRows={2}
          data-autofocus
          onChange={(event) => setComment(event.currentTarget.value)}
        />
        <Button type="submit" mt="md">
          {t("cohorts.save")}
        </Button>
      </form>
    </Modal>
  );
}

/** Patients who take their consent back, and what that reaches. */
function Withdrawals() {
  const { t, n, when } = useTexts();
  const again = useAsked();
  const found = useAnswer("GET /api/withdrawals");
  const [ids, setIds] = useState("");
  const [reason, setReason] = useState("");
  const [done, setDone] = useState<WithdrawalOut | null>(null);
  const [problem, setProblem] = useState<Refused | null>(null);
  const listed = ids.split(/[\s,;]+/).filter(Boolean);
  const send = async (PatientID: string[], undo: boolean) => {
    try {
      const answer = await call("POST /api/withdrawals", { body: { PatientID, reason, undo } });
      setDone(undo ? null : answer);
      setProblem(null);
      setIds("");
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await again();
  };
  return (
    <section aria-labelledby="withdrawals">
      <h2 id="withdrawals">{t("withdrawals")}</h2>
      <p className="hint">{t("withdrawals.about")}</p>
      <form
        className="cohort-form"
        onSubmit={(event) => {
          event.preventDefault();
          void send(listed, false);
        }}
      >
        <Textarea
          label={t("withdrawals.ids")}
          classNames={{ input: "code" }}
          autosize
          minRows={1}
          value={ids}
          onChange={(event) => setIds(event.currentTarget.value)}
        />
        <TextInput label={t("cohorts.reason")} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        <Button type="submit" color="red" disabled={listed.length === 0}>
          {t("withdrawals.do", { n: n(listed.length) })}
        </Button>
      </form>
      {problem && <Trouble error={problem} />}
      {done && (
        <div className="note" role="status">
          <p>{t("withdrawals.done", { n: n(done.patients), unknown: n(done.unknown) })}</p>
          <ul>
            {Object.entries(done.cohorts).map(([name, series]) => (
              <li key={name}>
                <Link href={`/cohorts/${name}`}>{name}</Link>: {t("withdrawals.less", { n: n(series) })}
              </li>
            ))}
            {done.exports.map((past) => (
              <li key={past.name}>{t("withdrawals.export", { name: past.name, n: n(past.series), where: past.where })}</li>
            ))}
          </ul>
          {done.exports.length === 0 && <p>{t("withdrawals.exports.none")}</p>}
        </div>
      )}
      {found.data && found.data.length > 0 && (
        <table className="facts">
          <thead>
            <tr>
              <th>PatientID</th>
              <th>{t("cohorts.reason")}</th>
              <th>{t("cohorts.made")}</th>
              <th>
                <span className="visually-hidden">{t("row.more")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.data.map((one) => (
              <tr key={`${one.PatientID} ${one.issuer}`}>
                <td className="code">{one.PatientID}</td>
                <td>{one.reason}</td>
                <td>
                  {when(one.at)} <small>{one.by}</small>
                </td>
                <td className="right">
                  <Button variant="subtle" size="compact-sm" onClick={() => void send([one.PatientID], true)}>
                    {t("withdrawals.undo")}
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
