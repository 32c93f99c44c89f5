/** Conditions as the service writes them in JSON (docs/query.md). */

export type Measured = { number: number; unit: string };
export type Value = string | number | boolean | Measured;
export type Code = { value: string; scheme: string; meaning?: string };

export const COMPARISONS = ["=", "!=", "<", "<=", ">", ">="] as const;
export type Comparison = (typeof COMPARISONS)[number];
export const SCOPES = [
  "item",
  "segment",
  "channel",
  "event",
  "total",
  "fact",
  "document",
  "instance",
  "series",
  "study",
  "patient",
] as const;
export type Scope = (typeof SCOPES)[number];
export const RELATIONS = ["before", "after", "within"] as const;
export type Relation = (typeof RELATIONS)[number];
export const LEVELS = ["patient", "study", "series", "instance"] as const;
export type Level = (typeof LEVELS)[number];

/** A condition on one attribute. */
export type Leaf =
  | { compare: { path: string; op: Comparison; value: Value } }
  | { one_of: { path: string; values: Value[] } }
  | { between: { path: string; low: Value; high: Value } }
  | { exists: { path: string } }
  | { missing: { path: string } }
  | { contains: { path: string; text: string } }
  | { like: { path: string; pattern: string } }
  | { within: { path: string; code: Code } };

export type Condition =
  | Leaf
  | { and: Condition[] }
  | { or: Condition[] }
  | { not: Condition }
  | { same: { level: Scope; part: Condition } }
  | {
      related: {
        first: Condition;
        second: Condition;
        relation: Relation;
        days_low?: number | null;
        days_high?: number | null;
      };
    };

export type Query = {
  where: Condition | null;
  level?: Level;
  show?: string[];
  order?: string[];
  limit?: number | null;
};

/** What a leaf may say, by name. */
export type Op =
  | Comparison
  | "one_of"
  | "between"
  | "exists"
  | "missing"
  | "contains"
  | "like"
  | "within";

export function pathOf(leaf: Leaf): string {
  return Object.values(leaf)[0]!.path;
}

export function opOf(leaf: Leaf): Op {
  if ("compare" in leaf) return leaf.compare.op;
  return Object.keys(leaf)[0] as Op;
}

/** A value as people write it: `30 mm`. */
export function shown(value: Value | undefined): string {
  if (value === undefined) return "";
  return typeof value === "object" ? `${value.number} ${value.unit}` : String(value);
}

/** The values that a leaf has, however it uses them. */
export function valuesOf(leaf: Leaf): Value[] {
  if ("compare" in leaf) return [leaf.compare.value];
  if ("one_of" in leaf) return leaf.one_of.values;
  if ("between" in leaf) return [leaf.between.low, leaf.between.high];
  if ("contains" in leaf) return [leaf.contains.text];
  if ("like" in leaf) return [leaf.like.pattern];
  if ("within" in leaf) {
    const { scheme, value } = leaf.within.code;
    return value ? [`${scheme}:${value}`] : [];
  }
  return [];
}

/** A code from `SCHEME:VALUE`, with what it is called where that is known. */
export function codeOf(text: string, meaning = ""): Code {
  const cut = text.indexOf(":");
  const scheme = cut < 0 ? "" : text.slice(0, cut).trim();
  const value = text.slice(cut + 1).trim();
  return meaning ? { value, scheme, meaning } : { value, scheme };
}

/** A leaf about a path, with as many of the values as it can use. */
export function leafOf(path: string, op: Op, values: Value[] = []): Leaf {
  const [first = "", second = ""] = values;
  switch (op) {
    case "one_of":
      return { one_of: { path, values: values.filter((value) => shown(value) !== "") } };
    case "between":
      return { between: { path, low: first, high: second } };
    case "exists":
      return { exists: { path } };
    case "missing":
      return { missing: { path } };
    case "contains":
      return { contains: { path, text: shown(first) } };
    case "like":
      return { like: { path, pattern: shown(first) } };
    case "within":
      return { within: { path, code: codeOf(shown(first)) } };
    default:
      return { compare: { path, op, value: first } };
  }
}

/** Whether a leaf says enough to be asked. */
export function complete(leaf: Leaf): boolean {
  if ("exists" in leaf || "missing" in leaf) return true;
  if ("within" in leaf) return leaf.within.code.value !== "" && leaf.within.code.scheme !== "";
  const values = valuesOf(leaf);
  return values.length > 0 && values.every((value) => shown(value) !== "");
}
