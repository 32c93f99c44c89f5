/** Bring in: files that are converted, clinical facts and reports; and folders that are watched. */

import { Button, FileButton, NativeSelect, Progress, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { type DragEvent, type ReactNode, useState } from "react";
import "../charts.css";
import "../bring.css";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { Converted, FactsOf, FactsTaken, FolderOut } from "../api/schema.ts";
import { useMay } from "../parts/access.tsx";
import { Icon } from "../parts/icon.tsx";
import { isMapping, type Kind, kindOf, mappingName, type Sent, useSending } from "../parts/sending.ts";
import { Loading, Trouble } from "../parts/states.tsx";
import { Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const TABS: [string, Kind, Key][] = [
  ["/bring", "convert", "bring.convert"],
  ["/bring/facts", "facts", "bring.facts"],
];

export default function BringPage({ rest }: { rest: string[] }) {
  const { t } = useTexts();
  const may = useMay();
  const kind: Kind = rest[0] === "facts" ? "facts" : "convert";
  return (
    <div className="page">
      <div className="page-head bring-head">
        <h1>{t("nav.bring")}</h1>
        <nav className="dash-tabs" aria-label={t("bring.kinds")}>
          {TABS.map(([href, name, key]) => (
            <Link key={name} href={href} aria-current={name === kind ? "page" : undefined}>
              {t(key)}
            </Link>
          ))}
        </nav>
      </div>
      <p className="hint">{t(`bring.${kind}.about`)}</p>
      {may("store") ? <Sending key={kind} kind={kind} /> : <p className="note">{t("bring.no")}</p>}
      {kind === "convert" ? <Folders /> : <Sources />}
    </div>
  );
}

/** The form: what the files are, and what became of each. */
function Sending({ kind }: { kind: Kind }) {
  const { t, n } = useTexts();
  const client = useQueryClient();
  const sending = useSending();
  const mappings = useAnswer(`GET /api/${kind}/mappings`);
  const known = useAnswer("GET /api/facts").data ?? [];
  const [source, setSource] = useState("");
  const [issuer, setIssuer] = useState("");
  const [mapping, setMapping] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const [over, setOver] = useState(false);
  const waiting = sending.files.filter(({ state }) => state === "waiting" || state === "refused");
  const other = sending.files.filter(({ file }) => (kindOf(file.name) ?? kind) !== kind);
  const finished = sending.files.length - waiting.length;
  const text = mappings.data?.find(({ name }) => name === mapping)?.text;

  const keep = async (file: File) => {
    try {
      const name = mappingName(file.name);
      await call(`PUT /api/${kind}/mappings/{name}`, { params: { name }, body: { text: await file.text() } });
      await client.invalidateQueries({ queryKey: [`GET /api/${kind}/mappings`] });
      setMapping(name);
      setProblem(null);
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(0, ""));
    }
  };
  const take = (files: File[]) => {
    sending.add(files.filter(({ name }) => !isMapping(name)));
    for (const file of files.filter(({ name }) => isMapping(name))) void keep(file);
  };
  const dropped = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take([...event.dataTransfer.files]);
  };
  const go = async () => {
    await sending.go({ kind, source: source.trim(), issuer: issuer.trim(), mapping: { name: mapping, text: text ?? "" } });
    for (const key of ["GET /api/facts", "GET /api/convert"]) await client.invalidateQueries({ queryKey: [key] });
  };
  return (
    <form
      className="card bring"
      aria-label={t("nav.bring")}
      onSubmit={(event) => {
        event.preventDefault();
        void go();
      }}
    >
      <div className="bring-how">
        <TextInput label={t("bring.source")} description={t("bring.source.about")} value={source} maxLength={100} required
          list="bring-sources" onChange={(event) => setSource(event.currentTarget.value)} />
        <datalist id="bring-sources">
          {[...new Set(known.map((one) => one.source))].map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <TextInput label={t("bring.issuer")} description={t("bring.issuer.about")} value={issuer} maxLength={64}
          onChange={(event) => setIssuer(event.currentTarget.value)} />
        <NativeSelect size="xs" label={t("bring.mapping")} description={t(`bring.mapping.${kind}`)} value={mapping}
          onChange={(event) => setMapping(event.currentTarget.value)}
          data={[{ value: "", label: t("bring.mapping.none") }, ...(mappings.data ?? []).map(({ name }) => name)]} />
      </div>
      <Mapping text={text} />
      {problem && <Trouble error={problem} />}
      <div
        className="bring-drop"
        data-over={over}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={dropped}
      >
        <Icon name="up_to" size={24} />
        <p>{t("bring.drop")}</p>
        <FileButton multiple onChange={take} inputProps={{ "aria-label": t("bring.choose") }}>
          {(props) => (
            <Button variant="default" {...props}>
              {t("bring.choose")}
            </Button>
          )}
        </FileButton>
        <p className="hint">{t(`bring.${kind}.files`)}</p>
      </div>
      {other.length > 0 && (
        <p className="note">
          {t(`bring.${kind}.other`, { name: other[0]!.file.name })}
        </p>
      )}
      {sending.files.length > 0 && (
        <ul className="bring-files" aria-live="polite">
          {sending.files.map((one) => (
            <Shown key={one.id} one={one} busy={sending.busy} source={source.trim()} drop={() => sending.drop(one.id)} />
          ))}
        </ul>
      )}
      <div className="bring-ways">
        <Button type="submit" size="sm" loading={sending.busy} disabled={waiting.length === 0 || !source.trim()}>
          {t(waiting.length === 0 ? "nav.bring" : waiting.length === 1 ? "bring.go.one" : "bring.go", { n: n(waiting.length) })}
        </Button>
        {finished > 0 && !sending.busy && (
          <Button variant="subtle" size="sm" onClick={sending.clear}>
            {t("bring.clear")}
          </Button>
        )}
      </div>
    </form>
  );
}

/** What the chosen mapping says. */
function Mapping({ text }: { text: string | undefined }) {
  const { t } = useTexts();
  if (text === undefined) return null;
  return (
    <details className="bring-mapping">
      <summary>{t("bring.mapping.show")}</summary>
      <pre className="code" tabIndex={0}>
        {text}
      </pre>
    </details>
  );
}

const LOOK: Record<Sent["state"], string> = { waiting: "", sending: "is-busy", reading: "is-busy", done: "is-good", refused: "is-bad" };

function Shown({ one, busy, source, drop }: { one: Sent; busy: boolean; source: string; drop: () => void }) {
  const { t, n } = useTexts();
  const { state, said } = one;
  const nothing = said?.convert
    ? said.convert.converted + said.convert.there === 0
    : said?.facts && said.facts.failures > 0 && said.facts.added + said.facts.replaced + said.facts.removed + said.facts.unchanged === 0;
  const shown = nothing ? "refused" : state;
  return (
    <li>
      <p className="bring-file">
        <Icon name="file" />
        <b>{one.file.name}</b>
        <span className="hint">{size(one.file.size, n)}</span>
        <span className={`state-badge ${LOOK[shown]}`}>{t(`bring.state.${shown}`)}</span>
        {state === "waiting" && !busy && (
          <Button variant="subtle" color="gray" size="compact-xs" aria-label={t("bring.drop.one", { name: one.file.name })} onClick={drop}>
            <Icon name="close" size={12} />
          </Button>
        )}
      </p>
      {state === "sending" && <Progress value={one.fraction * 100} size="sm" aria-label={t("jobs.progress")} />}
      {state === "reading" && <Progress value={100} size="sm" animated aria-label={t("jobs.progress")} />}
      {one.problem && <Trouble error={one.problem} />}
      {said?.convert && <Became said={said.convert} />}
      {said?.facts && <Taken said={said.facts} source={source} />}
    </li>
  );
}

function size(bytes: number, n: (value: number, digits?: number) => string): string {
  if (bytes < 1000) return `${n(bytes)} B`;
  return bytes < 1000 ** 2 ? `${n(bytes / 1000)} kB` : `${n(bytes / 1000 ** 2, 1)} MB`;
}

/** Counts with their words, but for those that are nothing. */
function Counts({ counts }: { counts: [number, Key, Key][] }) {
  const { t, n } = useTexts();
  const told = counts.filter(([count]) => count > 0);
  if (told.length === 0) return null;
  return <p>{told.map(([count, one, many]) => t(count === 1 ? one : many, { n: n(count) })).join(" · ")}</p>;
}

function Became({ said }: { said: Converted }) {
  const { t } = useTexts();
  return (
    <div className="bring-said">
      <Counts
        counts={[
          [said.objects, "bring.object", "bring.objects"],
          [said.facts, "bring.fact", "bring.facts.n"],
          [said.documents, "bring.document", "bring.documents"],
          [said.parts, "bring.part", "bring.parts"],
          [said.there, "bring.there", "bring.there.n"],
          [said.dicom, "bring.dicom", "bring.dicom.n"],
        ]}
      />
      {said.waits && <p className="hint">{t("bring.waits")}</p>}
      <Links title="bring.studies" hrefs={said.studies.map((uid) => `/studies/${uid}`)} each="bring.study" />
      <Links title="bring.patients" hrefs={said.patients.map((key) => `/patients/${key}`)} each="bring.patient" />
      {said.refused.map(({ file, why }) => (
        <Reasons key={file} whole={said.parts === 0} why={why} />
      ))}
      {said.notes.map((note) => (
        <p key={note} className="hint">
          {note}
        </p>
      ))}
    </div>
  );
}

const MOST_LINKS = 8;

function Links({ title, hrefs, each }: { title: Key; hrefs: string[]; each: Key }) {
  const { t, n } = useTexts();
  if (hrefs.length === 0) return null;
  return (
    <p className="bring-links">
      {t(title)}{" "}
      {hrefs.slice(0, MOST_LINKS).map((href, at) => (
        <Link key={href} href={href}>
          {t(each, { n: n(at + 1) })}
        </Link>
      ))}
      {hrefs.length > MOST_LINKS && <span className="hint">{t("bring.more", { n: n(hrefs.length - MOST_LINKS) })}</span>}
    </p>
  );
}

/** Why something was refused: one line for each part of a file that is not refused as a `whole`. */
function Reasons({ why, whole }: { why: string; whole: boolean }) {
  const parts = whole ? [why] : why.split("; ");
  return (
    <ul className="bring-reasons">
      {parts.map((one) => (
        <li key={one}>
          <Icon name="warn" size={14} /> {one}
        </li>
      ))}
    </ul>
  );
}

function Taken({ said, source }: { said: FactsTaken; source: string }) {
  const { t, n, called } = useTexts();
  const kinds = Object.entries(said.facts).map(([kind, count]) => `${called(`lane.${kind}`, kind)}: ${n(count)}`);
  const linked = Object.values(said.linked).reduce((sum, count) => sum + count, 0);
  return (
    <div className="bring-said">
      <Counts
        counts={[
          [said.added, "bring.added", "bring.added.n"],
          [said.replaced, "bring.replaced", "bring.replaced.n"],
          [said.removed, "bring.removed", "bring.removed.n"],
          [said.unchanged, "bring.unchanged", "bring.unchanged.n"],
          [said.documents, "bring.document", "bring.documents"],
        ]}
      />
      {kinds.length > 0 && <p className="hint">{kinds.join(" · ")}</p>}
      {linked > 0 && (
        <p className="bring-links">
          {t(linked === 1 ? "bring.linked" : "bring.linked.n", { n: n(linked) })}{" "}
          <Link href={asked(source, Object.keys(said.facts).length > 0)}>{t("bring.show")}</Link>
        </p>
      )}
      {Object.entries(said.unlinked).map(([why, count]) => (
        <p key={why} className="hint">
          {t(`bring.unlinked.${why}` as Key, { n: n(count) })}
        </p>
      ))}
      {said.left_out > 0 && <p className="hint">{t("bring.left", { n: n(said.left_out) })}</p>}
      {said.failures > 0 && (
        <p className="bring-links">
          <Icon name="warn" size={14} /> {t(said.failures === 1 ? "bring.failure" : "bring.failures", { n: n(said.failures) })}{" "}
          <Link href="/status?tab=failures">{t("bring.reasons")}</Link>
        </p>
      )}
      {said.notes.map((note) => (
        <p key={note} className="hint">
          {note}
        </p>
      ))}
    </div>
  );
}

/** The question for patients of whom a source has brought something. */
function asked(source: string, facts: boolean): string {
  const where = `${facts ? "fact" : "document"}.source = '${source.replaceAll("'", "''")}'`;
  return `/ask?q=${encodeURIComponent(where)}&level=patient`;
}

/** Watched folders, and which formats are read. */
function Folders() {
  const { t } = useTexts();
  const found = useAnswer("GET /api/convert", {}, { every: 5000 });
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const { folders, formats } = found.data;
  return (
    <>
      <h2>{t("bring.folders")}</h2>
      {folders.length === 0 && <p className="hint">{t("bring.folders.none")}</p>}
      {folders.map((one) => (
        <Folder key={one.name} one={one} />
      ))}
      <h2>{t("bring.formats")}</h2>
      <ul className="bring-formats">
        {formats.map((one) => (
          <li key={one.name}>
            <span className="mono">{one.converter}</span> {one.about}
          </li>
        ))}
      </ul>
    </>
  );
}

function Folder({ one }: { one: FolderOut }) {
  const { t, n, when } = useTexts();
  const may = useMay();
  const client = useQueryClient();
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const dead = useAnswer("GET /api/jobs/{id}/tasks", { params: { id: one.job }, query: { state: "dead" } }, { enabled: one.job !== "" && one.failed > 0 });
  const look = async () => {
    try {
      const { tasks } = await call("POST /api/convert", { body: { folder: one.name } });
      setSaid(t(tasks === 0 ? "bring.look.none" : tasks === 1 ? "bring.look.one" : "bring.look.n", { n: n(tasks) }));
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await client.invalidateQueries({ queryKey: ["GET /api/convert"] });
  };
  const counts: [Key, number, string][] = [
    ["bring.folder.waiting", one.waiting, ""],
    ["bring.folder.running", one.running, "is-busy"],
    ["bring.folder.converted", one.converted, "is-good"],
    ["bring.folder.failed", one.failed, one.failed ? "is-bad" : ""],
  ];
  return (
    <article className="card bring-folder" aria-label={one.name}>
      <header>
        <h3>{one.name}</h3>
        {counts.map(([key, count, look]) => (
          <span key={key} className={`state-badge ${look}`}>
            {t(key, { n: n(count) })}
          </span>
        ))}
        {may("fetch") && (
          <Button variant="default" size="compact-sm" onClick={() => void look()}>
            {t("bring.look")}
          </Button>
        )}
      </header>
      <p className="hint" role="status">
        {t("bring.folder.about", { source: one.source })} {t(`bring.folder.${one.done}`)}
        {one.job && (
          <>
            {" "}
            <Link href={`/jobs/${one.job}`}>{t("bring.folder.job", { when: when(one.came) })}</Link>
          </>
        )}{" "}
        {said}
      </p>
      {problem && <Trouble error={problem} />}
      {dead.data && dead.data.length > 0 && (
        <ul className="bring-reasons">
          {dead.data.slice(0, 20).map((task) => (
            <li key={task.id}>
              <Icon name="warn" size={14} /> {task.error}
            </li>
          ))}
        </ul>
      )}
    </article>
  );
}

/** What each source has brought. */
function Sources(): ReactNode {
  const { t } = useTexts();
  const found = useAnswer("GET /api/facts");
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  return (
    <>
      <h2>{t("bring.sources")}</h2>
      {found.data.length === 0 ? <p className="hint">{t("bring.sources.none")}</p> : <SourceTable rows={found.data} />}
    </>
  );
}

function SourceTable({ rows }: { rows: FactsOf[] }) {
  const { t, n, when, called } = useTexts();
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label={t("bring.sources")}>
      <table className="facts">
        <thead>
          <tr>
            <th>{t("bring.source")}</th>
            <th>{t("history.kind")}</th>
            <th className="right">{t("bring.rows")}</th>
            <th className="right">{t("bring.whose")}</th>
            <th className="right">{t("bring.withimages")}</th>
            <th>{t("bring.span")}</th>
            <th>{t("bring.imported")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <tr key={`${one.source} ${one.kind}`}>
              <td>
                <Link href={asked(one.source, one.kind !== "document")}>{one.source}</Link>
              </td>
              <td>{called(`lane.${one.kind}`, one.kind)}</td>
              <td className="right">{n(one.rows)}</td>
              <td className="right">{n(one.patients)}</td>
              <td className="right">{n(one.linked)}</td>
              <td>{[one.first, one.last].map((day) => (day ? day.slice(0, 10) : "–")).join(" … ")}</td>
              <td>{when(one.imported)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
