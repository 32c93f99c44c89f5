/** Datasets: a cohort written out, how far it is, what is in quarantine, and its card. */

import { Button, Checkbox, Group, Modal, Select, TextInput, Textarea } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { DatasetChoices, DatasetOut, DatasetReason } from "../api/schema.ts";
import { lasting } from "../parts/lasting.ts";
import { Omop } from "../parts/omop.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const IDENTIFIED = "identified";
const OPEN = ["waiting", "running"];
const OF_VOLUMES = ["bids", "monai", "nnunet", "federated"];

export default function DatasetsPage({ rest }: { rest: string[] }) {
  const [name] = rest;
  return <div className="page">{name ? <One name={name} /> : <All />}</div>;
}

function All() {
  const { t } = useTexts();
  const found = useAnswer("GET /api/datasets", {}, { every: 3000 });
  const choices = useAnswer("GET /api/datasets/choices");
  return (
    <>
      <div className="page-head">
        <h1>{t("nav.datasets")}</h1>
      </div>
      <p className="hint">{t("datasets.about")}</p>
      {choices.error && <Trouble error={choices.error} again={() => void choices.refetch()} />}
      {choices.data && <Make choices={choices.data} />}
      <h2>{t("datasets.made")}</h2>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Message title={t("datasets.none")} text={t("datasets.none.do")} />}
      {found.data?.map((one) => <Card key={one.name} one={one} />)}
      {choices.data && <Omop choices={choices.data} />}
    </>
  );
}

/** What is wanted, how much it would be, and the button that begins. */
function Make({ choices }: { choices: DatasetChoices }) {
  const { t } = useTexts();
  const cohorts = useAnswer("GET /api/cohorts");
  const [cohort, setCohort] = useState<string | null>(null);
  const [profile, setProfile] = useState<string | null>(null);
  const [pseudonyms, setPseudonyms] = useState<string | null>(choices.pseudonyms[0] ?? null);
  const [formats, setFormats] = useState<string[]>(["dicom"]);
  const [layout, setLayout] = useState("plain");
  const [target, setTarget] = useState("");
  const [name, setName] = useState("");
  const [title, setTitle] = useState("");
  const [licence, setLicence] = useState("");
  const [labels, setLabels] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const profiles = choices.identified ? [...choices.profiles, IDENTIFIED] : choices.profiles;
  const listed = cohorts.data?.map((one) => `${one.name}@${one.version}`) ?? [];
  const ready = cohort !== null && profile !== null && formats.length > 0;
  const begin = async () => {
    setBusy(true);
    try {
      const body = {
        cohort, profile, formats, layout, target, name, title, licence, labels,
        pseudonyms: profile === IDENTIFIED ? "" : (pseudonyms ?? ""),
      };
      const made = await call("POST /api/datasets", { body });
      setProblem(null);
      go(`/datasets/${made.name}`);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    setBusy(false);
  };
  const text = (key: Key, value: string, set: (next: string) => void, more = "") => (
    <TextInput label={t(key)} placeholder={more} value={value} onChange={(event) => set(event.currentTarget.value)} />
  );
  return (
    <form
      className="card dataset-new"
      aria-label={t("datasets.new")}
      onSubmit={(event) => {
        event.preventDefault();
        void begin();
      }}
    >
      <h2>{t("datasets.new")}</h2>
      {cohorts.data?.length === 0 && (
        <p className="note">
          {t("datasets.nocohort")} <Link href="/cohorts">{t("cohorts")}</Link>
        </p>
      )}
      <div className="dataset-fields">
        <Select label={t("datasets.cohort")} data={listed} value={cohort} onChange={setCohort} searchable />
        <Select
          label={t("datasets.profile")}
          data={profiles.map((one) => ({ value: one, label: one === IDENTIFIED ? t("datasets.identified") : one }))}
          value={profile}
          onChange={setProfile}
        />
        {profile !== IDENTIFIED && (
          <Select label={t("datasets.pseudonyms")} data={choices.pseudonyms} value={pseudonyms} onChange={setPseudonyms} />
        )}
        <Select
          label={t("datasets.layout")}
          data={choices.layouts}
          value={layout}
          allowDeselect={false}
          onChange={(next) => {
            setLayout(next ?? "plain");
            if (OF_VOLUMES.includes(next ?? "") && !formats.includes("nifti")) setFormats([...formats, "nifti"]);
          }}
        />
        <Select
          label={t("datasets.target")}
          description={target ? undefined : choices.folder}
          data={[{ value: "", label: t("datasets.here") }, ...choices.targets.map((one) => ({ value: one, label: one }))]}
          value={target}
          allowDeselect={false}
          onChange={(next) => setTarget(next ?? "")}
        />
        {text("datasets.name", name, setName, cohort?.split("@")[0]?.toLowerCase())}
        {text("datasets.title", title, setTitle)}
        {text("datasets.licence", licence, setLicence, "CC-BY-4.0")}
      </div>
      <Checkbox.Group label={t("datasets.formats")} value={formats} onChange={setFormats}>
        <Group mt={4}>
          {choices.formats.map((one) => (
            <Checkbox key={one} value={one} label={t(`datasets.format.${one}` as Key)} />
          ))}
        </Group>
      </Checkbox.Group>
      {formats.includes("nifti") && (
        <Textarea
          label={t("datasets.labels")}
          placeholder={"masks:\n  liver: {label: 1, is: [SCT:10200004]}"}
          classNames={{ input: "code" }}
          autosize
          minRows={2}
          maxRows={10}
          value={labels}
          onChange={(event) => setLabels(event.currentTarget.value)}
        />
      )}
      {profile !== null && profile !== IDENTIFIED && cohort && (
        <Plan profile={profile} where={cohorts.data?.find((one) => `${one.name}@${one.version}` === cohort)?.text ?? ""} />
      )}
      {profile === IDENTIFIED && <p className="note">{t("datasets.identified.note")}</p>}
      {cohort && formats.length > 0 && <Estimate cohort={cohort} formats={formats} />}
      {problem && <Trouble error={problem} />}
      <footer>
        <Button type="submit" loading={busy} disabled={!ready}>
          {t("datasets.begin")}
        </Button>
      </footer>
    </form>
  );
}

function Estimate({ cohort, formats }: { cohort: string; formats: string[] }) {
  const { t, n } = useTexts();
  const found = useAnswer("POST /api/datasets/estimate", { body: { cohort, formats } }, { keep: true });
  if (found.error) return <Trouble error={found.error} />;
  if (!found.data) return <Loading />;
  const it = found.data;
  return (
    <div role="status">
      <p>
        {t("datasets.estimate", {
          patients: n(it.patients), series: n(it.series), objects: n(it.objects),
          size: size(it.bytes, n), time: lasting(it.seconds, n),
        })}{" "}
        <span className="hint">{t(it.measured ? "datasets.measured" : "datasets.guessed")}</span>
      </p>
      {it.needs_approval && !it.approved && <p className="note">{t("datasets.unapproved")}</p>}
    </div>
  );
}

/** What a profile does to the attributes that a cohort's question finds. */
function Plan({ profile, where }: { profile: string; where: string }) {
  const { t, n } = useTexts();
  const [open, setOpen] = useState(false);
  const body = { profile, where: where || null };
  const found = useAnswer("POST /api/deid/plan", { body }, { enabled: open });
  return (
    <details className="enricher-reasons" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("datasets.plan")}</summary>
      {found.error && <Trouble error={found.error} />}
      {open && !found.data && !found.error && <Loading />}
      {found.data && (
        <>
          <p>
            {Object.entries(found.data.totals)
              .map(([what, count]) => `${what}: ${n(count)}`)
              .join(" · ")}
          </p>
          <div className="dataset-plan">
            <table className="facts">
              <thead>
                <tr>
                  <th>{t("datasets.attribute")}</th>
                  <th className="right">{t("datasets.objects")}</th>
                  <th>{t("datasets.check")}</th>
                  <th>{t("jobs.why")}</th>
                </tr>
              </thead>
              <tbody>
                {found.data.attributes.map((one) => (
                  <tr key={`${one.path}${one.what}`}>
                    <td>{one.name || one.path}</td>
                    <td className="right">{n(one.objects)}</td>
                    <td>{one.what}</td>
                    <td>{one.why}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </details>
  );
}

function size(bytes: number, n: (value: number) => string): string {
  if (bytes >= 1e9) return `${n(Math.round(bytes / 1e8) / 10)} GB`;
  return `${n(Math.round(bytes / 1e5) / 10)} MB`;
}

function Card({ one }: { one: DatasetOut }) {
  const { t } = useTexts();
  return (
    <article className="card enricher dataset" aria-label={one.name}>
      <header>
        <h3>
          <Link href={`/datasets/${one.name}`}>{one.name}</Link>
        </h3>
        <State one={one} />
      </header>
      <p className="hint">
        {one.cohort && `${one.cohort}@${one.version} · `}
        {one.profile === IDENTIFIED ? t("datasets.identified") : one.profile} · {one.formats.join(", ")} · {one.layout}
      </p>
      <Bar one={one} />
    </article>
  );
}

function State({ one }: { one: DatasetOut }) {
  const { t } = useTexts();
  const busy = OPEN.includes(one.state);
  return <span className={`state-badge ${busy ? "is-busy" : ""}`}>{t(`datasets.state.${one.state}` as Key)}</span>;
}

function Bar({ one }: { one: DatasetOut }) {
  const { t, n } = useTexts();
  const parts = [
    ["done", one.written, "datasets.written"],
    ["failed", one.failed, "datasets.unread"],
    ["skipped", one.quarantined, "datasets.quarantine"],
    ["waiting", one.waiting, "datasets.waiting"],
  ] as const;
  const shown = parts.filter(([, count]) => count > 0);
  const all = shown.reduce((sum, [, count]) => sum + count, 0);
  const label = shown.map(([, count, key]) => `${t(key)}: ${n(count)}`).join(", ");
  return (
    <>
      <div className="enricher-bar" role="img" aria-label={label || t("datasets.none")}>
        {shown.map(([kind, count]) => (
          <i key={kind} className={`is-${kind}`} style={{ flexGrow: count / all }} />
        ))}
      </div>
      <ul className="enricher-numbers">
        {parts.map(([kind, count, key]) => (
          <li key={kind}>
            <i className={`is-${kind}`} />
            {t(key)} <b>{n(count)}</b>
          </li>
        ))}
        <li className="enricher-sums">
          {t("datasets.files")} <b>{n(one.files)}</b>
        </li>
        <li>
          <b>{size(one.bytes, n)}</b>
        </li>
      </ul>
    </>
  );
}

function One({ name }: { name: string }) {
  const { t, n } = useTexts();
  const client = useQueryClient();
  const found = useAnswer("GET /api/datasets/{name}", { params: { name } }, { every: 1500 });
  const [problem, setProblem] = useState<Refused | null>(null);
  const [leaving, setLeaving] = useState(false);
  const act = async (what: () => Promise<unknown>) => {
    try {
      await what();
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await client.invalidateQueries({ queryKey: ["GET /api/datasets/{name}"] });
  };
  const resume = (body: { without?: boolean; again?: boolean }) =>
    act(() => call("POST /api/datasets/{name}/resume", { params: { name }, body }));
  const cancel = () => act(() => call("DELETE /api/datasets/{name}", { params: { name } }));
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const it = found.data;
  const open = OPEN.includes(it.state);
  const finished = it.state === "finished";
  return (
    <>
      <div className="page-head">
        <h1>{it.name}</h1>
        <State one={it} />
        <span className="hint">
          <Link href="/datasets">{t("nav.datasets")}</Link>
        </span>
      </div>
      <p className="hint">
        {it.cohort && `${it.cohort}@${it.version} · `}
        {it.profile === IDENTIFIED ? t("datasets.identified") : it.profile} · {it.formats.join(", ")} · {it.layout} · {it.out}
      </p>
      <div className="enricher">
        <Bar one={it} />
      </div>
      {it.why && <p className="note">{it.why}</p>}
      {it.forgotten > 0 && <p className="note">{t("datasets.forgotten", { n: n(it.forgotten) })}</p>}
      {problem && <Trouble error={problem} />}
      <Group>
        {open && (
          <Button variant="default" color="red" onClick={() => void cancel()}>
            {t("datasets.cancel")}
          </Button>
        )}
        {!open && !finished && <Button onClick={() => void resume({})}>{t("datasets.resume")}</Button>}
        {it.state === "incomplete" && it.failed > 0 && (
          <Button variant="default" onClick={() => setLeaving(true)}>
            {t("datasets.without")}
          </Button>
        )}
        {!open && it.quarantined > 0 && (
          <Button variant="default" onClick={() => void resume({ again: true })}>
            {t("datasets.again")}
          </Button>
        )}
        {finished && (
          <Button component="a" variant="default" href={`/api/datasets/${it.name}/card`} target="_blank" rel="noreferrer">
            {t("datasets.card")}
          </Button>
        )}
      </Group>
      <Reasons title={t("datasets.quarantine")} rows={it.quarantine} of={t("datasets.objects")} />
      <Reasons title={t("datasets.unread")} rows={it.unread} of={t("datasets.objects")} />
      <Reasons title={t("datasets.notes")} rows={it.notes} of={t("level.series")} />
      <Modal opened={leaving} onClose={() => setLeaving(false)} title={t("datasets.without")} centered>
        <p>{t("datasets.without.about")}</p>
        <Button
          mt="md"
          data-autofocus
          onClick={() => {
            setLeaving(false);
            void resume({ without: true });
          }}
        >
          {t("datasets.without")}
        </Button>
      </Modal>
    </>
  );
}

function Reasons({ title, rows, of }: { title: string; rows: DatasetReason[]; of: string }) {
  const { t, n } = useTexts();
  if (rows.length === 0) return null;
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <table className="facts">
        <thead>
          <tr>
            <th className="right">{of}</th>
            <th>{t("datasets.check")}</th>
            <th>{t("jobs.why")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ what, why, count }) => (
            <tr key={`${what}${why}`}>
              <td className="right">{n(count)}</td>
              <td>{what}</td>
              <td>{why}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
