/** Drawings of groups, as SVG that can be clicked, walked through with the keyboard, and saved. */

import { type KeyboardEvent, type MouseEvent, type PointerEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { endOf, type How, type Key, steps } from "../query/filters.ts";
import { useTexts } from "../texts.tsx";

let pen: CanvasRenderingContext2D | null = null;

/** A name with so much of it as fits. */
function shortened(name: string, part: number): string {
  const most = Math.max(Math.floor(name.length * part) - 1, 2);
  return name.length <= most + 1 ? name : `${name.slice(0, most)}…`;
}

/** Pixels that a text of a drawing takes. */
function wide(text: string): number {
  pen ??= document.createElement("canvas").getContext("2d");
  if (!pen) return text.length * 7;
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

export const howOf = (event: MouseEvent | KeyboardEvent): How => (event.altKey ? "not" : event.shiftKey ? "also" : "only");

/** The width of what is around, and a place to draw in it. */
export function Frame({ height, label, children }: { height: number; label: string; children: (width: number) => ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return (
    <div className="plot" ref={box} style={{ minHeight: height }}>
      {width > 0 && (
        <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={label}>
          {children(width)}
        </svg>
      )}
    </div>
  );
}

export function cut(text: string, pixels: number): string {
  if (wide(text) <= pixels) return text;
  let most = Math.min(text.length - 1, Math.ceil(pixels / 4));
  while (most > 1 && wide(`${text.slice(0, most)}…`) > pixels) most -= 1;
  return `${text.slice(0, most)}…`;
}

/** Something in a drawing that is pressed by mouse or keyboard. */
export function Press({
  label,
  act,
  on,
  dim,
  loose,
  children,
}: {
  label: string;
  act?: ((how: How) => void) | undefined;
  on?: boolean;
  dim?: boolean;
  /** One of very many: with the keyboard these are reached in the table. */
  loose?: boolean;
  children: ReactNode;
}) {
  if (!act)
    return (
      <g className={dim ? "dim" : undefined}>
        <title>{label}</title>
        {children}
      </g>
    );
  return (
    <g
      className={dim ? "press dim" : "press"}
      role="button"
      tabIndex={loose ? -1 : 0}
      aria-label={label}
      aria-pressed={on ?? false}
      onClick={(event) => act(howOf(event))}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        act(howOf(event));
      }}
    >
      <title>{label}</title>
      {children}
    </g>
  );
}

export type Bar = { key: Key; label: string; value: number; depth?: number; act?: ((how: How) => void) | undefined; on?: boolean; dim?: boolean };

const ROW = 23;

/** Lying bars with their names and numbers. */
export function Bars({ rows, label, unit }: { rows: Bar[]; label: string; unit: string }) {
  const { n } = useTexts();
  const most = Math.max(...rows.map((row) => row.value), 1);
  return (
    <Frame height={rows.length * ROW + 4} label={label}>
      {(width) => {
        const longest = Math.max(...rows.map((row) => wide(row.label) + (row.depth ?? 0) * 14));
        const left = Math.min(Math.max(longest + 10, 46), width * 0.48);
        const room = Math.max(width - left - 58, 20);
        return rows.map((row, at) => {
          const y = at * ROW + 2;
          const indent = (row.depth ?? 0) * 14;
          return (
            <Press
              key={`${at} ${row.key}`}
              label={`${row.label}: ${n(row.value, 1)} ${unit}`}
              act={row.act}
              on={row.on ?? false}
              dim={row.dim ?? false}
            >
              <rect className="hit" x={0} y={y} width={width} height={ROW - 1} rx={4} />
              <text className={row.key === null ? "name none" : "name"} x={indent + 3} y={y + 15}>
                {cut(row.label, left - indent - 7)}
              </text>
              <rect
                className={row.depth ? "bar inner" : "bar"}
                x={left + 2}
                y={y + 4}
                width={Math.max((row.value / most) * room, row.value ? 1.5 : 0)}
                height={ROW - 9}
                rx={2}
              />
              <text className="number" x={left + 8 + (row.value / most) * room} y={y + 15}>
                {n(row.value, 1)}
              </text>
            </Press>
          );
        });
      }}
    </Frame>
  );
}

export type Piece = { step: string; split: Key; value: number };
export type Range = { low: string; high: string };

/** Standing bars over time, in pieces by colour; a range is drawn with the mouse. */
export function Time({
  pieces,
  bin,
  splits,
  label,
  unit,
  range,
  draw,
  pick,
  named,
}: {
  pieces: Piece[];
  bin: string;
  /** Those with a colour of their own, in order; the others share the last one. */
  splits: Key[];
  label: string;
  unit: string;
  range: Range | null;
  draw?: (range: Range | null) => void;
  pick?: ((key: Key, how: How) => void) | undefined;
  named: (key: Key) => string;
}) {
  const { n, t, language } = useTexts();
  const [drawn, setDrawn] = useState<[number, number] | null>(null);
  const known = pieces.map((piece) => piece.step).sort();
  const all = known.length ? steps(known[0]!, known.at(-1)!, bin) : [];
  const by = new Map(all.map((step) => [step, { whole: 0, parts: splits.map(() => 0), rest: 0 }]));
  for (const piece of pieces) {
    const step = by.get(piece.step);
    if (!step) continue;
    const at = splits.indexOf(piece.split);
    step.whole += piece.value;
    if (at < 0) step.rest += piece.value;
    else step.parts[at]! += piece.value;
  }
  const columns = all.map((step) => ({ step, ...by.get(step)! }));
  const most = niceTop(Math.max(...columns.map((column) => column.whole), 1));
  const height = 216;
  const [top, low, left] = [24, 22, 44];
  const legend = [...splits, REST].map((split, at) => ({ split, at }));
  const present = legend.filter(({ split, at }) => columns.some((column) => (split === REST ? column.rest : column.parts[at])));
  const inside = (step: string) => !range || (endOf(step, bin) >= range.low && step <= range.high);
  return (
    <Frame height={height} label={label}>
      {(width) => {
        const room = width - left - 6;
        const each = Math.min(room / Math.max(columns.length, 1), WIDEST);
        const tall = height - top - low;
        const placeOf = (event: PointerEvent<SVGGElement>) => {
          const box = event.currentTarget.ownerSVGElement!.getBoundingClientRect();
          return Math.min(Math.max(Math.floor((event.clientX - box.left - left) / each), 0), columns.length - 1);
        };
        const take = (from: number, to: number, how: How) => {
          const [first, last] = [Math.min(from, to), Math.max(from, to)];
          const next = { low: columns[first]!.step, high: endOf(columns[last]!.step, bin) };
          if (how === "also" && range) draw?.({ low: min(next.low, range.low), high: max(next.high, range.high) });
          else draw?.(range && range.low === next.low && range.high === next.high ? null : next);
        };
        const every = Math.ceil(columns.length / Math.max(Math.floor((each * columns.length) / 62), 1));
        const names = present.map(({ split }) => wide(split === REST ? t("chart.rest") : named(split)));
        const signs = 40 * names.length;
        const fits = (width - left - signs) / Math.max(names.reduce((sum, one) => sum + one, 0), 1);
        let x = left;
        return (
          <>
            {present.map(({ split, at }) => {
              const whole = split === REST ? t("chart.rest") : named(split);
              const name = fits >= 1 ? whole : shortened(whole, fits);
              const from = x;
              x += wide(name) + 30;
              if (x > width) return null;
              return (
                <Press key={whole} label={whole} act={pick && split !== REST ? (how) => pick(split, how) : undefined}>
                  <rect className="hit" x={from - 4} y={1} width={wide(name) + 22} height={18} rx={4} />
                  <rect className={`c${split === REST ? "r" : at}`} x={from} y={5} width={9} height={9} rx={2} />
                  <text className="name" x={from + 13} y={14}>{name}</text>
                </Press>
              );
            })}
            {[0, 0.5, 1].map((share) => (
              <g key={share} aria-hidden="true">
                <line className="grid" x1={left} x2={width - 6} y1={top + tall * (1 - share)} y2={top + tall * (1 - share)} />
                {Number.isInteger(most * share) && (
                  <text className="axis end" x={left - 6} y={top + tall * (1 - share) + 4}>{n(most * share)}</text>
                )}
              </g>
            ))}
            <g
              className={draw ? "brush" : undefined}
              onPointerDown={(event) => {
                if (!draw || event.button !== 0) return;
                event.currentTarget.setPointerCapture(event.pointerId);
                const at = placeOf(event);
                setDrawn([at, at]);
              }}
              onPointerMove={(event) => drawn && setDrawn([drawn[0], placeOf(event)])}
              onPointerUp={(event) => {
                if (!drawn) return;
                take(drawn[0], placeOf(event), howOf(event));
                setDrawn(null);
              }}
              onPointerCancel={() => setDrawn(null)}
            >
              <rect className="ground" x={left} y={top} width={room} height={tall} />
              {columns.map(({ step, whole, parts, rest }, at) => {
                let up = top + tall;
                const said = `${stepName(step, bin, language)}: ${n(whole, 1)} ${unit}`;
                const chosen = drawn ? at >= Math.min(...drawn) && at <= Math.max(...drawn) : inside(step);
                return (
                  <g
                    key={step}
                    className={chosen ? "column" : "column dim"}
                    data-step={step}
                    {...(draw && whole
                      ? {
                          role: "button",
                          tabIndex: 0,
                          "aria-label": said,
                          "aria-pressed": range !== null && inside(step),
                          onKeyDown: (event: KeyboardEvent) => {
                            if (event.key === "Enter" || event.key === " ") {
                              event.preventDefault();
                              take(at, at, howOf(event));
                            }
                          },
                        }
                      : {})}
                  >
                    <title>{said}</title>
                    <rect className="column-hit" x={left + at * each} y={top} width={each} height={tall} />
                    {[...parts, rest].map((value, part) => {
                      if (!value) return null;
                      const size = (value / most) * tall;
                      up -= size;
                      const name = part === parts.length ? "cr" : `c${part}`;
                      return (
                        <rect key={part} className={name} x={left + at * each + Math.min(each * 0.1, 1.5)} y={up}
                          width={Math.max(each - Math.min(each * 0.2, 3), 0.8)} height={size} />
                      );
                    })}
                  </g>
                );
              })}
            </g>
            {columns.map(({ step }, at) =>
              at % every || left + at * each + wide(stepName(step, bin, language)) > width ? null : (
                <text key={step} className="axis" x={left + at * each} y={height - 6} aria-hidden="true">
                  {stepName(step, bin, language)}
                </text>
              ),
            )}
          </>
        );
      }}
    </Frame>
  );
}

/** Of a column, in pixels. */
const WIDEST = 64;
const REST = "\u0000rest";
const min = (a: string, b: string) => (a < b ? a : b);
const max = (a: string, b: string) => (a > b ? a : b);

/** A round number that is not smaller. */
export function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

/** A step of time as people say it. */
export function stepName(step: string, bin: string, language: string): string {
  const [year = "", month = ""] = step.split("-");
  if (bin === "year") return year;
  if (bin === "quarter") return `${year} Q${Math.ceil(Number(month) / 3)}`;
  const day = new Date(`${step.slice(0, 10)}T00:00:00Z`);
  const style: Intl.DateTimeFormatOptions = bin === "month" ? { month: "short", year: "numeric" } : { day: "numeric", month: "short", year: "2-digit" };
  return new Intl.DateTimeFormat(language, { ...style, timeZone: "UTC" }).format(day);
}

export type Cell = { row: number; column: number; value: number };
/** How a number is written on a field, so that it can be read there. */
const strength = (share: number) => (share > 0.87 ? "cell strong" : share > 0.6 ? "cell middling" : "cell");

export type Field = { name: string; cells: Cell[]; act?: ((how: How) => void) | undefined; on?: boolean };

const COLUMNS = [...Array(24).keys()];

/** Weekdays by hours: the stronger, the more. A press on an hour chooses it on every day. */
export function Heat({
  cells,
  rows,
  label,
  unit,
  hour,
  on,
}: {
  cells: Cell[];
  rows: string[];
  label: string;
  unit: string;
  hour?: ((hour: number) => void) | undefined;
  /** The first and last of the hours that are chosen. */
  on: [number, number] | null;
}) {
  const { n } = useTexts();
  const most = Math.max(...cells.map((cell) => cell.value), 1);
  const by = new Map(cells.map((cell) => [`${cell.row} ${cell.column}`, cell.value]));
  const [left, size] = [34, 25];
  return (
    <Frame height={rows.length * size + 20} label={label}>
      {(width) => {
        const each = (width - left) / 24;
        return COLUMNS.map((column) => {
          const x = left + column * each;
          return (
            <Press
              key={column}
              label={`${column}:00–${column}:59`}
              act={hour && (() => hour(column))}
              on={on !== null && column >= on[0] && column <= on[1]}
              dim={on !== null && (column < on[0] || column > on[1])}
            >
              {rows.map((row, y) => {
                const value = by.get(`${y} ${column}`) ?? 0;
                return (
                  <g key={row}>
                    <title>{`${row} ${column}:00: ${n(value)} ${unit}`}</title>
                    <rect className={value ? "heat" : "heat none"} x={x + 0.5} y={y * size + 0.5} width={Math.max(each - 1, 1)}
                      height={size - 1} rx={2} fillOpacity={value ? 0.1 + 0.9 * (value / most) : 1} />
                    {value > 0 && each > 24 && (
                      <text className={strength(value / most)} x={x + each / 2} y={y * size + size / 2 + 4}>
                        {n(value)}
                      </text>
                    )}
                    {column === 0 && <text className="axis" x={0} y={y * size + size / 2 + 4}>{row}</text>}
                  </g>
                );
              })}
              <rect className="hit" x={x} y={rows.length * size + 1} width={each} height={18} rx={3} />
              {column % (each < 22 ? 3 : 1) === 0 && (
                <text className="axis middle" x={x + each / 2} y={rows.length * size + 14}>{column}</text>
              )}
            </Press>
          );
        });
      }}
    </Frame>
  );
}

/** Small fields of weekdays by hours, one per device. */
export function Heats({ fields, rows, label, unit }: { fields: Field[]; rows: string[]; label: string; unit: string }) {
  const { n } = useTexts();
  const [size, gap, head] = [11, 22, 20];
  const tall = head + rows.length * size + 14;
  const [across, setAcross] = useState(3);
  const lines = Math.ceil(fields.length / across);
  return (
    <Frame height={lines * tall} label={label}>
      {(width) => {
        const fit = Math.max(Math.floor(width / 240), 1);
        if (fit !== across) queueMicrotask(() => setAcross(fit));
        const room = width / fit - gap;
        const each = room / 24;
        return fields.map((field, at) => {
          const [x, y] = [(at % fit) * (room + gap), Math.floor(at / fit) * tall];
          const most = Math.max(...field.cells.map((cell) => cell.value), 1);
          const by = new Map(field.cells.map((cell) => [`${cell.row} ${cell.column}`, cell.value]));
          const whole = field.cells.reduce((sum, cell) => sum + cell.value, 0);
          return (
            <Press key={field.name} label={`${field.name}: ${n(whole)} ${unit}`} act={field.act} on={field.on ?? false}>
              <rect className="hit" x={x - 4} y={y} width={room + 8} height={tall - 8} rx={5} />
              <text className="name" x={x} y={y + 14}>{cut(field.name, room - 40)}</text>
              <text className="number end" x={x + room} y={y + 14}>{n(whole)}</text>
              {rows.map((row, line) =>
                COLUMNS.map((column) => {
                  const value = by.get(`${line} ${column}`) ?? 0;
                  return (
                    <rect key={`${line} ${column}`} className={value ? "heat" : "heat none"} x={x + column * each} y={y + head + line * size}
                      width={Math.max(each - 1, 1)} height={size - 1} rx={1} fillOpacity={value ? 0.15 + 0.85 * (value / most) : 1}>
                      <title>{`${field.name}, ${row} ${column}:00: ${n(value)} ${unit}`}</title>
                    </rect>
                  );
                }),
              )}
            </Press>
          );
        });
      }}
    </Frame>
  );
}

export type MatrixRow = { key: string; label: string; shares: number[]; said: string[] };

/** A field of shares: what is full is strong, what is empty is pale. */
export function Matrix({
  rows,
  columns,
  label,
  sort,
  sorted,
  press,
}: {
  rows: MatrixRow[];
  columns: string[];
  label: string;
  sort: (column: number) => void;
  sorted: number;
  press: (row: number, column: number, how: How) => void;
}) {
  const { n, t } = useTexts();
  const shown = (share: number) => (share > 0 && share < 0.01 ? "<1" : share < 1 && share > 0.99 ? ">99" : n(share * 100));
  /** What is read out holds what is seen, so that the field can be named by voice. */
  const spoken = (said: string, seen: string) => (said.includes(seen) ? said : `${said}, ${seen} %`);
  const [top, size, left] = [104, 20, 218];
  return (
    <Frame height={top + rows.length * size + 4} label={label}>
      {(width) => {
        const each = Math.min((width - left - 60) / Math.max(columns.length, 1), 64);
        return (
          <>
            {columns.map((column, x) => (
              <Press key={column} label={t("fill.sort", { name: column })} act={() => sort(x)} on={sorted === x}>
                <g transform={`translate(${left + (x + 0.5) * each + 4}, ${top - 8}) rotate(-40)`}>
                  <rect className="hit" x={-4} y={-13} width={130} height={18} rx={4} />
                  <text className={sorted === x ? "name sorted" : "name"}>{cut(column, 128)}</text>
                </g>
              </Press>
            ))}
            {rows.map((row, y) => (
              <g key={row.key}>
                <text className="name" x={2} y={top + y * size + 14}>
                  <title>{row.key}</title>
                  {cut(row.label, left - 8)}
                </text>
                {row.shares.map((share, x) => (
                  <Press key={columns[x]} label={spoken(row.said[x]!, shown(share))} act={(how) => press(y, x, how)} loose>
                    <rect className={share ? "heat" : "heat none"} x={left + x * each + 0.5} y={top + y * size + 0.5}
                      width={Math.max(each - 1, 1)} height={size - 1} rx={2} fillOpacity={share ? 0.1 + 0.9 * share : 1} />
                    {each > 30 && (
                      <text className={strength(share)} x={left + (x + 0.5) * each} y={top + y * size + 14}>
                        {shown(share)}
                      </text>
                    )}
                  </Press>
                ))}
              </g>
            ))}
          </>
        );
      }}
    </Frame>
  );
}

export type Drifting = { key: string; label: string; said: string; off: string; months: { month: string; value: number }[]; act?: ((how: How) => void) | undefined; on?: boolean };

/** A line per device over time; its middle stands for no difference. */
export function Drift({ rows, label }: { rows: Drifting[]; label: string }) {
  const [size, left] = [34, 250];
  const every = [...new Set(rows.flatMap((row) => row.months.map((one) => one.month)))].sort();
  return (
    <Frame height={rows.length * size + 4} label={label}>
      {(width) => {
        const room = Math.max(width - left - 12, 20);
        const across = (month: string) => left + (every.length > 1 ? (every.indexOf(month) / (every.length - 1)) * room : room / 2);
        return rows.map((row, y) => {
          const middle = y * size + size / 2;
          const most = Math.max(...row.months.map((one) => Math.abs(one.value)), 60);
          const points = row.months.map((one) => [across(one.month), middle - (one.value / most) * (size / 2 - 5)] as const);
          return (
            <Press key={row.key} label={row.said} act={row.act} on={row.on ?? false}>
              <rect className="hit" x={0} y={y * size} width={width} height={size - 1} rx={4} />
              <text className="name" x={2} y={middle + 4}>
                {cut(row.label, left - 86)}
              </text>
              <text className="name" x={left - 10} y={middle + 4} textAnchor="end">
                {row.off}
              </text>
              <line className="zero" x1={left} x2={left + room} y1={middle} y2={middle} />
              <polyline className="drift" points={points.map((one) => one.join(",")).join(" ")} />
              {points.map(([x, at]) => (
                <circle key={x} className="drift-dot" cx={x} cy={at} r={2} />
              ))}
            </Press>
          );
        });
      }}
    </Frame>
  );
}
