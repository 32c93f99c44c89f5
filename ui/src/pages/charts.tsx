/** Dashboards: charts that share one question. A click on one narrows all the others. */

import { CopyButton, ActionIcon, Select, Tooltip } from "@mantine/core";
import { lazy, Suspense } from "react";
import "../charts.css";
import { useAnswer } from "../api/client.ts";
import { Chips } from "../parts/chips.tsx";
import { Activity, Archive, Quality } from "../parts/dashboards.tsx";
import { Icon } from "../parts/icon.tsx";
import { Loading, Trouble } from "../parts/states.tsx";
import type { Level } from "../query/condition.ts";
import { COUNTED, type Linked, useLinked } from "../query/linked.ts";
import { Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const Own = lazy(() => import("../parts/own.tsx"));

const TABS: [string, Key][] = [
  ["", "dash.archive"],
  ["activity", "dash.activity"],
  ["quality", "dash.quality"],
  ["own", "dash.own"],
];

export default function ChartsPage({ rest }: { rest: string[] }) {
  const { t } = useTexts();
  const linked = useLinked();
  const [tab = "", ...inner] = rest;
  return (
    <div className="dashboards">
      <div className="dash-head">
        <div className="dash-line">
          <h1>{t("nav.charts")}</h1>
          <nav className="dash-tabs" aria-label={t("dash.tabs")}>
            {TABS.map(([name, key]) => (
              <Link key={name} href={linked.to(name ? `/charts/${name}` : "/charts")} aria-current={name === tab ? "page" : undefined}>
                {t(key)}
              </Link>
            ))}
          </nav>
          <div className="dash-ways">
            <CopyButton value={location.href}>
              {({ copied, copy }) => (
                <Tooltip label={t(copied ? "link.copied" : "link.copy")}>
                  <ActionIcon variant="subtle" color="gray" aria-label={t("link.copy")} onClick={copy}>
                    <Icon name={copied ? "check" : "link"} />
                  </ActionIcon>
                </Tooltip>
              )}
            </CopyButton>
            <Link className="to-question" href={linked.to("/ask")}>
              {t("chart.open")}
            </Link>
          </div>
        </div>
        <Counts linked={linked} />
        <div className="dash-filters">
          {linked.where ? (
            <Chips where={linked.where} set={(where) => linked.change(() => where)} />
          ) : (
            <p className="hint">{t("dash.hint")}</p>
          )}
          <Select
            size="xs"
            variant="unstyled"
            className="dash-level"
            aria-label={t("dash.level")}
            title={t("dash.level")}
            allowDeselect={false}
            data={(["series", "study", "patient", "instance"] as const).map((level) => ({ value: level, label: t(`dash.level.${level}`) }))}
            value={linked.level}
            onChange={(value) => value && linked.setLevel(value as Level)}
          />
        </div>
      </div>
      {linked.problem && <Trouble error={linked.problem} />}
      <div className="dash-body">
        {tab === "" && <Archive linked={linked} />}
        {tab === "activity" && <Activity linked={linked} />}
        {tab === "quality" && <Quality linked={linked} />}
        {tab === "own" && (
          <Suspense fallback={<Loading />}>
            <Own linked={linked} rest={inner} />
          </Suspense>
        )}
      </div>
    </div>
  );
}

function Counts({ linked }: { linked: Linked }) {
  const { t, n } = useTexts();
  const { where, level } = linked;
  const counts = useAnswer("POST /api/query/count", { body: { where, level } }, { keep: true, enabled: !linked.reading });
  return (
    <>
      <div className="totals" role="group" aria-label={t("chart.count")} aria-live="polite" data-busy={counts.isFetching || linked.reading}>
        {COUNTED.map((one) => (
          <button
            key={one}
            type="button"
            className="total"
            data-count={one}
            aria-pressed={one === linked.count}
            title={t("chart.count")}
            onClick={() => linked.setCount(one)}
          >
            <b>{counts.data ? n(counts.data.totals[one]) : "·"}</b>
            <span>{t(`level.${one}`)}</span>
          </button>
        ))}
      </div>
      {counts.error && <Trouble error={counts.error} again={() => void counts.refetch()} />}
    </>
  );
}
