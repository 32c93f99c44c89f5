/** What a condition compares with: picked from what the lake holds, typed, or pasted. */

import { Button, Checkbox, FileButton, NumberInput, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useId, useMemo, useRef, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { ValueOut } from "../api/schema.ts";
import {
  codeOf,
  type Leaf,
  leafOf,
  opOf,
  pathOf,
  shown,
  type Value,
  valuesOf,
} from "../query/condition.ts";
import { useTexts } from "../texts.tsx";
import { listed, MOST_LISTED } from "../query/list.ts";
import { Icon } from "./icon.tsx";
import { Loading, Trouble } from "./states.tsx";
import type { Term } from "./terms.ts";

type Editing = {
  leaf: Leaf;
  term: Term | null | undefined;
  set: (leaf: Leaf) => void;
};

const numeric = (term: Term | null | undefined) => term?.kind === "number";
const isMoment = (term: Term | null | undefined) =>
  term?.kind === "date" || term?.kind === "datetime" || term?.kind === "time";

/** Whether there is more to choose from below the row. */
export function hasPicker(leaf: Leaf, term: Term | null | undefined): boolean {
  if ("exists" in leaf || "missing" in leaf || "contains" in leaf || "like" in leaf) return false;
  return term !== undefined && term !== null;
}

/** The values in the row itself. */
export function InRow({ leaf, term, set }: Editing) {
  const { t } = useTexts();
  if ("exists" in leaf || "missing" in leaf) return null;
  if ("one_of" in leaf) return <Chips leaf={leaf} set={set} />;
  if ("within" in leaf) {
    const { value, scheme, meaning } = leaf.within.code;
    return value ? (
      <span className="value-code" title={`${scheme}:${value}`}>
        {meaning || `${scheme}:${value}`}
      </span>
    ) : (
      <span className="value-none">{t("value.choose")}</span>
    );
  }
  const values = valuesOf(leaf);
  const op = opOf(leaf);
  const change = (at: number, value: Value) =>
    set(leafOf(pathOf(leaf), op, values.map((old, n) => (n === at ? value : old))));
  return (
    <span className="value-fields">
      {values.map((value, at) => (
        <span className="value-field" key={at}>
          {at > 0 && <span className="value-and">{t("value.and")}</span>}
          <Field
            value={value}
            term={term}
            label={
              op === "between" ? t(at === 0 ? "value.from" : "value.to") : t("value.value")
            }
            change={(next) => change(at, next)}
          />
        </span>
      ))}
      {numeric(term) && term?.unit && typeof values[0] !== "object" && (
        <span className="unit">{term.unit}</span>
      )}
    </span>
  );
}

function Field({
  value,
  term,
  label,
  change,
}: {
  value: Value;
  term: Term | null | undefined;
  label: string;
  change: (value: Value) => void;
}) {
  // what may be written is known with the term
  const common = { "aria-label": label, classNames: { input: "field" }, disabled: term === undefined };
  if (numeric(term)) {
    const measured = /^(-?[\d.]+)\s*(\S+)$/.exec(typeof value === "string" ? value : "");
    if (measured) value = { number: Number(measured[1]), unit: measured[2]! };
    const unit = typeof value === "object" ? value.unit : "";
    const number = typeof value === "object" ? value.number : value;
    return (
      <>
        <NumberInput
          {...common}
          w={88}
          hideControls
          value={typeof number === "number" || typeof number === "string" ? number : ""}
          onChange={(next) =>
            change(typeof next === "number" && unit ? { number: next, unit } : next)
          }
        />
        {unit && <span className="unit">{unit}</span>}
      </>
    );
  }
  const text = shown(value);
  if (isMoment(term)) {
    const type = { date: "date", datetime: "date", time: "time" }[term!.kind as "date"];
    return (
      <TextInput
        {...common}
        w={type === "time" ? 100 : 134}
        type={type}
        value={text.slice(0, type === "time" ? 8 : 10)}
        onChange={(event) => change(event.currentTarget.value)}
      />
    );
  }
  return (
    <TextInput
      {...common}
      w={term?.kind === "age" ? 80 : 200}
      placeholder={term?.kind === "age" ? "45Y" : undefined}
      value={text}
      onChange={(event) => change(event.currentTarget.value)}
    />
  );
}

const MOST_CHIPS = 6;

function Chips({ leaf, set }: { leaf: Leaf; set: (leaf: Leaf) => void }) {
  const { t, n } = useTexts();
  const values = valuesOf(leaf);
  if (values.length === 0) return <span className="value-none">{t("value.choose")}</span>;
  return (
    <span className="chips">
      {values.slice(0, MOST_CHIPS).map((value) => (
        <span className="chip" key={shown(value)}>
          {shown(value)}
          <button
            type="button"
            aria-label={t("value.remove", { value: shown(value) })}
            onClick={() => set(leafOf(pathOf(leaf), "one_of", values.filter((v) => v !== value)))}
          >
            <Icon name="close" size={11} />
          </button>
        </span>
      ))}
      {values.length > MOST_CHIPS && (
        <span className="unit">{t("value.more", { n: n(values.length - MOST_CHIPS) })}</span>
      )}
    </span>
  );
}

/** Spans of days up to today, to choose with one click. */
function Recent({ leaf, set }: Editing) {
  const { t, n } = useTexts();
  const path = pathOf(leaf);
  const day = (before: number) => {
    const date = new Date();
    date.setDate(date.getDate() - before);
    return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((one) => String(one).padStart(2, "0")).join("-");
  };
  const year = new Date().getFullYear();
  const now = JSON.stringify(leaf);
  const offers: [string, Leaf][] = [
    ...[7, 30, 90, 365].map((days): [string, Leaf] => [t("recent.days", { n: n(days) }), leafOf(path, ">=", [day(days)])]),
    [String(year), leafOf(path, "between", [`${year}-01-01`, `${year}-12-31`])],
    [String(year - 1), leafOf(path, "between", [`${year - 1}-01-01`, `${year - 1}-12-31`])],
  ];
  return (
    <div className="quick" role="group" aria-label={t("recent")}>
      {offers.map(([label, offer]) => (
        <button
          type="button"
          key={label}
          aria-pressed={JSON.stringify(offer) === now}
          onClick={() => set(offer)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

/** What stands below an open row. */
export function Picker(props: Editing & { where: string }) {
  if (isMoment(props.term))
    return (
      <>
        {props.term?.kind !== "time" && <Recent {...props} />}
        <Bars {...props} />
      </>
    );
  if (numeric(props.term)) return <Bars {...props} />;
  return <List {...props} />;
}

/** Values with counts, to tick; a search, and a place to paste a list into. */
function List({ leaf, term, set, where }: Editing & { where: string }) {
  const { t, n } = useTexts();
  const [typed, setTyped] = useState("");
  const [told, setTold] = useState("");
  const [prefix] = useDebouncedValue(typed.trim(), 250);
  const path = pathOf(leaf);
  const found = useAnswer(
    "GET /api/vocabulary/values",
    { query: { path, prefix, where, limit: 60 } },
    { keep: true },
  );
  const many = "one_of" in leaf;
  const now = useMemo(() => valuesOf(leaf).map(shown), [leaf]);
  const chosen = useMemo(() => new Set(now), [now]);
  const number = term?.kind === "number";
  const valueOf = (text: string): Value => (number && text !== "" ? Number(text) : text);
  const pick = (value: ValueOut) => {
    const text = String(value.value);
    if ("within" in leaf) {
      const meaning = value.label.replace(/\s*\([^()]*:[^()]*\)$/, "");
      set({ within: { path, code: codeOf(text, meaning === text ? "" : meaning) } });
    } else if (many) {
      const values = valuesOf(leaf);
      const rest = values.filter((one) => shown(one) !== text);
      set(leafOf(path, "one_of", rest.length < values.length ? rest : [...values, valueOf(text)]));
    } else set(leafOf(path, opOf(leaf), [valueOf(text)]));
  };
  const addList = (text: string) => {
    const values = listed(text, [path, term?.label ?? ""]);
    if (values.length === 0) return;
    setTold("");
    if (values.length > MOST_LISTED) {
      setTold(t("picker.toomany", { n: n(values.length), most: n(MOST_LISTED) }));
      return;
    }
    if ("within" in leaf) set({ within: { path, code: codeOf(values[0]!) } });
    else if (many)
      set(leafOf(path, "one_of", [...new Set([...valuesOf(leaf), ...values.map(valueOf)])]));
    else set(leafOf(path, opOf(leaf), [valueOf(values[0]!)]));
    setTyped("");
  };
  const most = Math.max(1, ...(found.data?.values.map((value) => value.series) ?? []));
  return (
    <div className="picker">
      <TextInput
        aria-label={t("picker.search")}
        placeholder={t(many ? "picker.search.many" : "picker.search")}
        leftSection={<Icon name="search" size={14} />}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onPaste={(event) => {
          const text = event.clipboardData.getData("text");
          if (/[\n\r\t,;]/.test(text.trim())) {
            event.preventDefault();
            addList(text);
          }
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") addList(typed);
        }}
      />
      {many && (
        <span className="picker-file">
          <FileButton
            accept=".csv,.txt,.tsv,text/csv,text/plain"
            onChange={(file) => void file?.text().then(addList, () => setTold(t("picker.unreadable")))}
          >
            {(props) => (
              <Button {...props} variant="subtle" size="compact-xs" leftSection={<Icon name="file" size={13} />}>
                {t("picker.file")}
              </Button>
            )}
          </FileButton>
          {now.length > 0 && <small>{t("picker.chosen", { n: n(now.length) })}</small>}
          {now.length > MOST_CHIPS && (
            <Button variant="subtle" color="gray" size="compact-xs" onClick={() => set(leafOf(path, "one_of", []))}>
              {t("question.new")}
            </Button>
          )}
        </span>
      )}
      {told && (
        <p className="note" role="alert">
          {told}
        </p>
      )}
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data && found.data.values.length === 0 && <p className="hint">{t("picker.none")}</p>}
      {found.data && found.data.values.length > 0 && (
        <ul className="picker-values">
          {found.data.values.map((value) => {
            const text = String(value.value);
            const on = chosen.has(text);
            return (
              <li key={text}>
                <button type="button" aria-pressed={on} onClick={() => pick(value)}>
                  {many && <Checkbox size="xs" checked={on} readOnly tabIndex={-1} aria-hidden />}
                  <span className="picker-label">{value.label || text}</span>
                  <span className="picker-bar" style={{ width: `${(value.series / most) * 64}px` }} />
                  <span className="picker-count">{n(value.series)}</span>
                </button>
              </li>
            );
          })}
        </ul>
      )}
      {found.data?.more && <p className="hint">{t("picker.more")}</p>}
    </div>
  );
}

/** A histogram to draw a range on. */
function Bars({ leaf, term, set, where }: Editing & { where: string }) {
  const { t, n } = useTexts();
  const id = useId();
  const box = useRef<SVGSVGElement>(null);
  const [drawn, setDrawn] = useState<[number, number] | null>(null);
  const path = pathOf(leaf);
  const found = useAnswer(
    "GET /api/vocabulary/histogram",
    { query: { path, where, bins: 40 } },
    { keep: true },
  );
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const bins = found.data.bins;
  const [first, last] = [bins[0], bins.at(-1)];
  if (!first || !last) return <p className="hint">{t("picker.none")}</p>;
  const dates = isMoment(term);
  const most = Math.max(...bins.map((bin) => bin.series));
  const width = 100 / bins.length;
  const at = (x: number) => {
    const frame = box.current!.getBoundingClientRect();
    return Math.min(bins.length - 1, Math.max(0, Math.floor(((x - frame.left) / frame.width) * bins.length)));
  };
  const chosen = drawn ? ([Math.min(...drawn), Math.max(...drawn)] as const) : null;
  const apply = (from: number, to: number) => {
    const low = bins[from]!;
    const high = bins[to]!;
    const ends: Value[] = dates
      ? [low.label.slice(0, 10), dayOf(high.high, high.label)]
      : [tidy(low.low), tidy(high.high)];
    set(leafOf(path, "between", ends));
  };
  const within = (bin: { low: number; high: number }) => {
    if (dates) return null;
    const values = valuesOf(leaf).map((value) => (typeof value === "object" ? value.number : Number(value)));
    const [a, b] = values;
    if (a === undefined || Number.isNaN(a) || valuesOf(leaf)[0] === "") return null;
    switch (opOf(leaf)) {
      case "between":
        return bin.high > a && bin.low <= (b ?? a);
      case ">":
      case ">=":
        return bin.high > a;
      case "<":
      case "<=":
        return bin.low <= a;
      case "=":
        return bin.low <= a && a < bin.high;
      default:
        return null;
    }
  };
  return (
    <figure className="bars" aria-labelledby={id}>
      <svg
        ref={box}
        viewBox="0 0 100 40"
        preserveAspectRatio="none"
        role="img"
        aria-labelledby={id}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          const bin = at(event.clientX);
          setDrawn([bin, bin]);
        }}
        onPointerMove={(event) => {
          const bin = at(event.clientX);
          setDrawn((now) => now && [now[0], bin]);
        }}
        onPointerUp={() => {
          if (chosen) apply(...chosen);
          setDrawn(null);
        }}
      >
        {bins.map((bin, n_) => {
          const tall = bin.series ? Math.max(1, (bin.series / most) * 38) : 0;
          const on = chosen ? n_ >= chosen[0] && n_ <= chosen[1] : within(bin) !== false;
          return (
            <g key={bin.low}>
              <rect className="bar-back" x={n_ * width} y={0} width={width} height={40} />
              <rect
                className={on ? "bar bar-on" : "bar"}
                x={n_ * width + width * 0.08}
                y={40 - tall}
                width={width * 0.84}
                height={tall}
              >
                <title>{`${bin.label}: ${n(bin.series)}`}</title>
              </rect>
            </g>
          );
        })}
      </svg>
      <figcaption id={id}>
        <span>{dates ? first.label : n(first.low, 4)}</span>
        <span className="hint">{t("picker.draw")}</span>
        <span>{dates ? last.label : `${n(last.high, 4)} ${found.data.unit}`}</span>
      </figcaption>
    </figure>
  );
}

const tidy = (value: number) => Number(value.toPrecision(8));

/** The last day of a bin: bins of dates are in seconds or days since 1970. */
function dayOf(high: number, label: string): string {
  for (const ms of [high * 1000, high * 86_400_000, high]) {
    const date = new Date(ms);
    const years = Math.abs(date.getUTCFullYear() - Number(label.slice(0, 4)));
    if (years <= 30) return date.toISOString().slice(0, 10);
  }
  return label.slice(0, 10);
}
