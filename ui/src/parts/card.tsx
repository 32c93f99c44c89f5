/** The frame of a chart: its title, the same numbers as a table, files, and what they mean. */

import { ActionIcon, Menu, Modal, Tooltip } from "@mantine/core";
import { type ReactNode, useRef, useState } from "react";
import { type Refused, useAnswer } from "../api/client.ts";
import type { Condition, Level } from "../query/condition.ts";
import type { How } from "../query/filters.ts";
import { useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { howOf } from "./plots.tsx";
import { csv, png, save, standalone } from "./saving.ts";
import { Trouble } from "./states.tsx";

export type Cellular = string | number | null;
export type Sheet = { head: string[]; rows: Cellular[][]; acts?: (((how: How) => void) | undefined)[] };
export type Meaning = {
  /** What is counted, in words. */
  text: string;
  operation: string;
  asked: unknown;
  where: Condition | null;
  level: Level;
  version: number | undefined;
};
type Found = { data?: unknown; error: Refused | null; isFetching: boolean; refetch: () => unknown };

export function Card({
  title,
  hint,
  found,
  sheet,
  meaning,
  wide,
  controls,
  above,
  children,
}: {
  title: string;
  hint?: string;
  found: Found;
  sheet: Sheet;
  meaning: Meaning;
  wide?: boolean;
  controls?: ReactNode;
  /** What is there whatever the numbers are. */
  above?: ReactNode;
  children: ReactNode;
}) {
  const { t } = useTexts();
  const [asTable, setAsTable] = useState(false);
  const [explained, setExplained] = useState(false);
  const [failed, setFailed] = useState(false);
  const box = useRef<HTMLElement>(null);
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
  const svg = () => box.current?.querySelector<SVGSVGElement>(".plot svg") ?? null;
  const picture = async () => {
    const drawing = svg();
    if (!drawing) return;
    try {
      save(`${name}.png`, await png(drawing));
    } catch {
      setFailed(true);
    }
  };
  const empty = found.data !== undefined && sheet.rows.length === 0;
  return (
    <article className={wide ? "card chart-card wide-card" : "card chart-card"} ref={box} aria-busy={found.isFetching} aria-label={title}>
      <header>
        <h2>{title}</h2>
        <div className="chart-ways">
          {controls}
          <Tooltip label={t(asTable ? "chart.drawn" : "chart.table")}>
            <ActionIcon
              variant="subtle"
              color="gray"
              size="sm"
              aria-label={t("chart.table")}
              aria-pressed={asTable}
              onClick={() => setAsTable(!asTable)}
            >
              <Icon name="list" />
            </ActionIcon>
          </Tooltip>
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t("chart.more", { name: title })}>
                <Icon name="more" />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => setExplained(true)}>{t("chart.explain")}</Menu.Item>
              <Menu.Divider />
              <Menu.Item
                leftSection={<Icon name="down_to" />}
                disabled={empty}
                onClick={() => save(`${name}.csv`, new Blob([csv(sheet.head, sheet.rows)], { type: "text/csv" }))}
              >
                CSV
              </Menu.Item>
              <Menu.Item
                leftSection={<Icon name="down_to" />}
                disabled={empty || asTable}
                onClick={() => {
                  const drawing = svg();
                  if (drawing) save(`${name}.svg`, new Blob([standalone(drawing)], { type: "image/svg+xml" }));
                }}
              >
                SVG
              </Menu.Item>
              <Menu.Item leftSection={<Icon name="down_to" />} disabled={empty || asTable} onClick={() => void picture()}>
                PNG
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </div>
      </header>
      {hint && <p className="chart-hint">{hint}</p>}
      {above}
      {failed && <p className="note">{t("chart.nopicture")}</p>}
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {found.data === undefined && !found.error && <Skeleton />}
      {empty && <p className="chart-empty">{t("chart.none")}</p>}
      {found.data !== undefined && !empty && (asTable ? <Numbers sheet={sheet} title={title} /> : children)}
      <Modal opened={explained} onClose={() => setExplained(false)} title={title} centered size="lg">
        <Explained meaning={meaning} />
      </Modal>
    </article>
  );
}

function Skeleton() {
  const { t } = useTexts();
  return (
    <div className="skeleton" role="status">
      {[72, 54, 40, 26, 18].map((width) => (
        <i key={width} style={{ width: `${width}%` }} />
      ))}
      <span className="visually-hidden">{t("state.loading")}</span>
    </div>
  );
}

function Numbers({ sheet, title }: { sheet: Sheet; title: string }) {
  const { n, t } = useTexts();
  const said = (cell: Cellular) => (typeof cell === "number" ? n(cell, 2) : (cell ?? t("chart.missing")));
  return (
    <div className="chart-table" tabIndex={0} role="region" aria-label={title}>
      <table className="facts">
        <thead>
          <tr>
            {sheet.head.map((name, at) => (
              <th key={name} scope="col" className={typeof sheet.rows[0]?.[at] === "number" ? "right" : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sheet.rows.map((row, at) => {
            const act = sheet.acts?.[at];
            return (
              <tr key={at}>
                {row.map((cell, place) => (
                  <td key={place} className={typeof cell === "number" ? "right" : undefined}>
                    {act && place === 0 ? (
                      <button type="button" className="plain" onClick={(event) => act(howOf(event))}>
                        {said(cell)}
                      </button>
                    ) : (
                      said(cell)
                    )}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Explained({ meaning }: { meaning: Meaning }) {
  const { t } = useTexts();
  const { where, level } = meaning;
  const parsed = useAnswer("POST /api/query/parse", { body: { json: { where, level } } }, { enabled: where !== null });
  return (
    <dl className="explained">
      <dt>{t("explain.number")}</dt>
      <dd>{meaning.text}</dd>
      <dt>{t("explain.of")}</dt>
      <dd>
        {where ? parsed.data?.sentence : t("explain.all")}
        {parsed.data && <code>{parsed.data.text}</code>}
      </dd>
      <dt>{t("explain.version")}</dt>
      <dd>{meaning.version ?? "–"}</dd>
      <dt>{t("explain.request")}</dt>
      <dd>
        <pre className="code">
          {meaning.operation} {JSON.stringify(meaning.asked, null, 2)}
        </pre>
      </dd>
    </dl>
  );
}
