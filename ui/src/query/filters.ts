/** Conditions as filters of charts: what a chart adds, excludes and leaves out of its own. */

import { type Condition, leafOf, type Leaf, pathOf, type Value } from "./condition.ts";

/** A value of a group; null stands for series without any. */
export type Key = string | number | null;
/** Choose this alone, this as well, or anything but this. */
export type How = "only" | "also" | "not";
export type Chosen = { is: Key[]; not: Key[]; range: { low: string; high: string } | null };

/** The parts that all must be met. */
export function partsOf(where: Condition | null): Condition[] {
  if (!where) return [];
  return "and" in where ? where.and.flatMap(partsOf) : [where];
}

export function joined(parts: Condition[]): Condition | null {
  if (parts.length < 2) return parts[0] ?? null;
  return { and: parts };
}

/** The one attribute that a condition asks; empty when it asks several, or something larger. */
export function subjectOf(part: Condition): string {
  if ("not" in part) return subjectOf(part.not);
  if ("or" in part || "and" in part) {
    const inner = "or" in part ? part.or : part.and;
    const paths = new Set(inner.map(subjectOf));
    return paths.size === 1 ? [...paths][0]! : "";
  }
  if ("same" in part || "related" in part) return "";
  return pathOf(part);
}

/** The condition without what it says of some attributes: a chart is not narrowed by itself. */
export function without(where: Condition | null, paths: readonly string[]): Condition | null {
  return joined(partsOf(where).filter((part) => !paths.includes(subjectOf(part))));
}

function keysOf(part: Condition): Key[] | null {
  if ("or" in part) {
    const inner = part.or.map(keysOf);
    return inner.every((keys) => keys !== null) ? inner.flat() : null;
  }
  if ("missing" in part) return [null];
  if ("one_of" in part) return part.one_of.values.every(isKey) ? part.one_of.values : null;
  if ("compare" in part && part.compare.op === "=" && isKey(part.compare.value)) return [part.compare.value];
  return null;
}

const isKey = (value: Value): value is string | number => typeof value === "string" || typeof value === "number";

/** What is chosen of an attribute. */
export function chosen(where: Condition | null, path: string): Chosen {
  const found: Chosen = { is: [], not: [], range: null };
  for (const part of partsOf(where)) {
    if (subjectOf(part) !== path) continue;
    if ("between" in part) found.range = { low: String(part.between.low), high: String(part.between.high) };
    else if ("not" in part) found.not.push(...(keysOf(part.not) ?? []));
    else found.is.push(...(keysOf(part) ?? []));
  }
  return found;
}

export function anyOf(path: string, keys: Key[]): Condition {
  const values = keys.filter((key): key is string | number => key !== null);
  const parts: Leaf[] = [];
  if (values.length) parts.push(values.length > 1 ? leafOf(path, "one_of", values) : leafOf(path, "=", values));
  if (keys.includes(null)) parts.push(leafOf(path, "missing"));
  return parts.length > 1 ? { or: parts } : parts[0]!;
}

function put(where: Condition | null, path: string, made: Condition[]): Condition | null {
  const parts = partsOf(where);
  const at = parts.findIndex((part) => subjectOf(part) === path);
  const rest = parts.filter((part) => subjectOf(part) !== path);
  rest.splice(at < 0 ? rest.length : at, 0, ...made);
  return joined(rest);
}

const toggled = (keys: Key[], key: Key) => (keys.includes(key) ? keys.filter((one) => one !== key) : [...keys, key]);

/** The condition after a value of a chart was chosen; choosing it again takes it back. */
export function pick(where: Condition | null, path: string, key: Key, how: How): Condition | null {
  const now = chosen(where, path);
  const alone = now.is.length === 1 && now.is[0] === key && !now.not.length;
  const is = how === "only" ? (alone ? [] : [key]) : how === "also" ? toggled(now.is, key) : now.is.filter((k) => k !== key);
  const not = how === "not" ? toggled(now.not, key) : how === "also" ? now.not.filter((k) => k !== key) : [];
  const made: Condition[] = [];
  if (is.length) made.push(anyOf(path, is));
  if (not.length) made.push({ not: anyOf(path, not) });
  return put(where, path, made);
}

/** The condition after a range was drawn; null takes it back. */
export function between(where: Condition | null, path: string, range: { low: string; high: string } | null): Condition | null {
  return put(where, path, range ? [leafOf(path, "between", [range.low, range.high])] : []);
}

/** The condition without one of its parts. */
export function remove(where: Condition | null, at: number): Condition | null {
  return joined(partsOf(where).filter((_, place) => place !== at));
}

// Steps of time

/** The last day of a step that begins on a day; both as 2024-01-31. */
export function endOf(day: string, bin: string): string {
  const [year = 1970, month = 1, date = 1] = day.slice(0, 10).split("-").map(Number);
  const last = {
    day: () => Date.UTC(year, month - 1, date),
    week: () => Date.UTC(year, month - 1, date + 6),
    month: () => Date.UTC(year, month, 0),
    quarter: () => Date.UTC(year, month + 2, 0),
    year: () => Date.UTC(year, 12, 0),
  }[bin];
  return new Date(last ? last() : Date.UTC(year, month - 1, date)).toISOString().slice(0, 10);
}

/** Every step from the first to the last, so that gaps are seen. */
export function steps(first: string, last: string, bin: string): string[] {
  const found: string[] = [];
  for (let day = first.slice(0, 10); day <= last.slice(0, 10) && found.length < 2000; ) {
    found.push(day);
    const end = new Date(`${endOf(day, bin)}T00:00:00Z`);
    end.setUTCDate(end.getUTCDate() + 1);
    day = end.toISOString().slice(0, 10);
  }
  return found;
}
