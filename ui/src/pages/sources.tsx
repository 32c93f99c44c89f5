/** The sources: whether they may be asked, and whether they answer. */

import { Button } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { Answers, CheckOut, SourceOut } from "../api/schema.ts";
import { Icon } from "../parts/icon.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { useTexts } from "../texts.tsx";

export default function SourcesPage() {
  const { t } = useTexts();
  const found = useAnswer("GET /api/sources", {}, { every: 5000 });
  const act = useAct();
  if (found.error)
    return (
      <div className="page">
        <Trouble error={found.error} again={() => void found.refetch()} />
      </div>
    );
  if (!found.data) return <Loading />;
  if (found.data.length === 0)
    return <Message title={t("sources.none")} text={t("sources.none.do")} />;
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.sources")}</h1>
        <span>
          <Button variant="default" leftSection={<Icon name="pause" />} onClick={() => void act.run("POST /api/pause")}>
            {t("sources.pause.all")}
          </Button>{" "}
          <Button variant="default" leftSection={<Icon name="play" />} onClick={() => void act.run("POST /api/resume")}>
            {t("sources.resume.all")}
          </Button>
        </span>
      </div>
      {act.problem && <Trouble error={act.problem} />}
      <div className="cards">
        {found.data.map((source) => (
          <SourceCard key={source.name} source={source} />
        ))}
      </div>
    </div>
  );
}

function useAct() {
  const client = useQueryClient();
  const [problem, setProblem] = useState<Refused | null>(null);
  const run = async (operation: keyof Answers, name?: string) => {
    try {
      await call(operation, name ? { params: { name } } : {});
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await client.invalidateQueries({ queryKey: ["GET /api/sources"] });
  };
  return { run, problem };
}

function SourceCard({ source }: { source: SourceOut }) {
  const { t, n, when } = useTexts();
  const act = useAct();
  const [checks, setChecks] = useState<CheckOut[] | null>(null);
  const [checking, setChecking] = useState(false);
  const [problem, setProblem] = useState<Refused | null>(null);
  const check = async () => {
    setChecking(true);
    setProblem(null);
    try {
      setChecks(await call("GET /api/sources/{name}/check", { params: { name: source.name } }));
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    setChecking(false);
  };
  return (
    <article className="card" aria-label={source.name}>
      <header>
        <h2>{source.name}</h2>
        <span className={`state-badge ${source.paused ? "is-paused" : "is-good"}`}>
          {t(source.paused ? "sources.paused" : "sources.open")}
        </span>
      </header>
      <dl>
        <dt>{t("sources.kind")}</dt>
        <dd>{source.kind}</dd>
        <dt>{t("sources.connections")}</dt>
        <dd>{t("sources.of", { n: n(source.in_use), all: n(source.allowed) })}</dd>
        {source.why && (
          <>
            <dt>{t("sources.why")}</dt>
            <dd>{source.why}</dd>
          </>
        )}
        {source.until && (
          <>
            <dt>{t("sources.until")}</dt>
            <dd>{when(source.until)}</dd>
          </>
        )}
      </dl>
      {checks && (
        <ul className="checks">
          {checks.map((one) => (
            <li key={one.what} className={one.works ? "is-good" : "is-bad"}>
              <Icon name={one.works ? "check" : "warn"} size={14} />
              <span>
                <b>{one.what}</b> {one.says} <small>{n(one.seconds, 2)} s</small>
              </span>
            </li>
          ))}
        </ul>
      )}
      {(problem ?? act.problem) && <Trouble error={(problem ?? act.problem)!} />}
      <footer>
        {source.paused ? (
          <Button onClick={() => void act.run("POST /api/sources/{name}/resume", source.name)}>
            {t("sources.resume")}
          </Button>
        ) : (
          <Button variant="default" onClick={() => void act.run("POST /api/sources/{name}/pause", source.name)}>
            {t("sources.pause")}
          </Button>
        )}
        <Button variant="default" loading={checking} onClick={() => void check()}>
          {t("sources.check")}
        </Button>
      </footer>
    </article>
  );
}
