/** Tables of radiation dose from the service, and how people read them. */

import { type ReactNode } from "react";
import { useAnswer } from "../api/client.ts";
import type { DoseRows } from "../api/schema.ts";
import type { Linked } from "../query/linked.ts";
import { useTexts } from "../texts.tsx";
import type { Cellular, Meaning, Sheet } from "./card.tsx";
import { Frame, Press } from "./plots.tsx";

export type Row = Record<string, unknown>;
export type Dosed = { linked: Linked; set: string };
type More = { order?: string; limit?: number; offset?: number; days?: number; country?: string };

/** Units in which people read what is kept in others. */
const SHOWN: Record<string, [string, number]> = { "Gy.m2": ["cGy·cm²", 1e6], "mGy.cm": ["mGy·cm", 1], "cGy.cm2": ["cGy·cm²", 1], "Gy.cm2": ["Gy·cm²", 1] };

/** A number and its unit as people read them. */
export function inUnit(value: number | null | undefined, unit: string): [number | null, string] {
  const [shown, by] = SHOWN[unit] ?? [unit, 1];
  return [value === null || value === undefined ? null : value * by, shown];
}

/** How many decimals a number of that size needs. */
export const digits = (value: number | null) => (value === null || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 4);

export const text = (row: Row, name: string): string => (row[name] === null || row[name] === undefined ? "" : String(row[name]));
export const number = (row: Row, name: string): number | null => (typeof row[name] === "number" ? (row[name] as number) : null);

export function rowsOf(found: DoseRows | undefined): Row[] {
  const names = found?.columns.map((column) => column.name) ?? [];
  return (found?.rows ?? []).map((row) => Object.fromEntries(names.map((name, at) => [name, row[at]])));
}

/** A table of dose, of what the question finds. */
export function useDose({ linked, set }: Dosed, name: string, more: More = {}) {
  const { t } = useTexts();
  const asked = { where: linked.where, level: linked.level, ...(set ? { factor_set: set } : {}), limit: 10_000, ...more };
  const found = useAnswer("POST /api/dose/{name}", { params: { name }, body: asked }, { keep: true, enabled: !linked.reading });
  const meaning: Meaning = {
    text: t("dose.explain", { name: t(`dose.table.${name}` as never) }),
    operation: `POST /api/dose/${name}`,
    asked,
    where: linked.where,
    level: linked.level,
    version: found.data?.version,
  };
  return { found, meaning, rows: rowsOf(found.data) };
}

export type Column = { name: string; head: string; shown?: (row: Row) => ReactNode; right?: boolean; order?: string };

/** Rows as a table, whose heads put them in order where that is offered. */
export function Listing({
  rows,
  columns,
  label,
  order,
  setOrder,
  act,
}: {
  rows: Row[];
  columns: Column[];
  label: string;
  order?: string;
  setOrder?: (order: string) => void;
  act?: (row: Row) => ReactNode;
}) {
  const { t, n } = useTexts();
  const plain = (row: Row, name: string) => {
    const value = row[name];
    if (typeof value === "number") return n(value, digits(value));
    if (Array.isArray(value)) return value.join("; ");
    return value === null || value === undefined ? "" : String(value);
  };
  return (
    <div className="wide dose-table" tabIndex={0} role="region" aria-label={label}>
      <table className="facts">
        <thead>
          <tr>
            {columns.map((column) => {
              const by = column.order;
              const down = order === `-${by}`;
              return (
                <th
                  key={column.name}
                  scope="col"
                  className={column.right ? "right" : undefined}
                  aria-sort={by && setOrder ? (down ? "descending" : order === by ? "ascending" : "none") : undefined}
                >
                  {by && setOrder ? (
                    <button type="button" className="plain" onClick={() => setOrder(down ? by : `-${by}`)}>
                      {column.head}
                      <span aria-hidden="true">{down ? " ↓" : order === by ? " ↑" : ""}</span>
                    </button>
                  ) : (
                    column.head
                  )}
                </th>
              );
            })}
            {act && (
              <th scope="col">
                <span className="visually-hidden">{t("dose.actions")}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {columns.map((column) => (
                <td key={column.name} className={column.right ? "right" : undefined}>
                  {column.shown ? column.shown(row) : plain(row, column.name)}
                </td>
              ))}
              {act && <td className="dose-acts">{act(row)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// Drawings

export type Box = {
  key: string;
  label: string;
  /** A head above the rows of a group; said once. */
  group?: string | undefined;
  n: number;
  low: number;
  q1: number;
  median: number;
  q3: number;
  high: number;
  mark?: number | null | undefined;
  tone?: "above" | "fine" | "few" | undefined;
  said: string;
  after: string;
};

const ROW = 24;

/** Lying boxes from quartile to quartile with their median; a mark stands for a reference level. */
export function Boxes({ rows, label, unit }: { rows: Box[]; label: string; unit: string }) {
  const { n } = useTexts();
  const heads = rows.map((row, at) => row.group !== undefined && row.group !== rows[at - 1]?.group);
  // Single values far out would press all boxes together: their lines end in a dot at the edge.
  const most = Math.max(...rows.flatMap((row) => [Math.min(row.high, row.q3 + 3 * (row.q3 - row.q1)), row.mark ?? 0]), 1e-9);
  const tall = rows.length * ROW + heads.filter(Boolean).length * 20 + 24;
  return (
    <Frame height={tall} label={label}>
      {(width) => {
        const left = Math.min(Math.max(width * 0.3, 104), 250);
        const right = width < 520 ? 108 : 150;
        const room = Math.max(width - left - right, 40);
        const at = (value: number) => left + Math.min(value / most, 1) * room;
        let y = 0;
        const drawn = rows.map((row, place) => {
          const head = heads[place];
          if (head) y += 20;
          const top = y;
          y += ROW;
          const middle = top + ROW / 2;
          return (
            <g key={row.key}>
              {head && (
                <text className="name dose-group" x={2} y={top - 5}>
                  {row.group}
                </text>
              )}
              <Press label={row.said}>
                <rect className="hit" x={0} y={top} width={width} height={ROW - 1} rx={4} />
                <text className="name" x={8} y={middle + 4}>
                  {short(row.label, left - 14)}
                </text>
                <line className="whisker" x1={at(row.low)} x2={at(row.high)} y1={middle} y2={middle} />
                {row.high > most && <circle className="far" cx={left + room} cy={middle} r={2.5} />}
                <rect className={`box ${row.tone ?? ""}`} x={at(row.q1)} y={middle - 6} width={Math.max(at(row.q3) - at(row.q1), 1.5)} height={12} rx={2} />
                <line className="median" x1={at(row.median)} x2={at(row.median)} y1={middle - 8} y2={middle + 8} />
                {row.mark !== null && row.mark !== undefined && (
                  <path className="level" d={`M${at(row.mark)} ${middle - 10}v20m-4 -20h8`} />
                )}
                <text className="number" x={left + room + 8} y={middle + 4}>
                  {short(row.after, right - 10)}
                </text>
              </Press>
            </g>
          );
        });
        return (
          <>
            {drawn}
            {(room < 260 ? [0, 1] : [0, 0.25, 0.5, 0.75, 1]).map((share) => (
              <text key={share} className="axis middle" x={at(most * share)} y={tall - 6} aria-hidden="true">
                {n(most * share, digits(most * share))}
                {share === 1 ? ` ${unit}` : ""}
              </text>
            ))}
          </>
        );
      }}
    </Frame>
  );
}

const short = (said: string, pixels: number) => (said.length * 6.6 <= pixels ? said : `${said.slice(0, Math.max(Math.floor(pixels / 6.6) - 1, 1))}…`);

export type Point = { key: string; when: string; value: number; line: number | null; said: string };

/** Values in time as sticks, with a line of what they sum up to over a window. */
export function Sticks({ points, label, unit }: { points: Point[]; label: string; unit: string }) {
  const { n } = useTexts();
  const most = Math.max(...points.flatMap((point) => [point.value, point.line ?? 0]), 1e-9);
  const times = points.map((point) => Date.parse(point.when));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const height = 200;
  return (
    <Frame height={height} label={label}>
      {(width) => {
        const [left, low, top] = [52, 24, 24];
        const room = width - left - 20;
        const tall = height - low - top;
        const x = (at: number) => left + 8 + (last > first ? ((times[at]! - first) / (last - first)) * (room - 8) : room / 2);
        const y = (value: number) => top + tall * (1 - value / most);
        const line = points.flatMap((point, at) => (point.line === null ? [] : [`${x(at)},${y(point.line)}`]));
        return (
          <>
            {[0, 0.5, 1].map((share) => (
              <g key={share} aria-hidden="true">
                <line className="grid" x1={left} x2={width - 6} y1={y(most * share)} y2={y(most * share)} />
                <text className="axis end" x={left - 6} y={y(most * share) + 4}>
                  {n(most * share, digits(most * share))}
                </text>
              </g>
            ))}
            <text className="axis" x={0} y={10} aria-hidden="true">
              {unit}
            </text>
            {points.map((point, at) => (
              <Press key={point.key} label={point.said}>
                <rect className="hit" x={x(at) - 6} y={top} width={12} height={tall} />
                <rect className="bar" x={x(at) - 2.5} y={y(point.value)} width={5} height={Math.max(top + tall - y(point.value), 1)} rx={1} />
              </Press>
            ))}
            {line.length > 1 && <polyline className="drift" points={line.join(" ")} />}
            {[...new Set([0, points.length - 1])].map((at) => (
              <text key={at} className={at ? "axis end" : "axis"} x={at ? width - 6 : left} y={height - 6} aria-hidden="true">
                {points[at]?.when}
              </text>
            ))}
          </>
        );
      }}
    </Frame>
  );
}

export const sheetOf = (head: string[], rows: Cellular[][]): Sheet => ({ head, rows });
