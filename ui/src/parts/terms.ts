/** Terms of the vocabulary: what they may be asked, and what a new condition begins with. */

import { useAnswer } from "../api/client.ts";
import type { TermOut } from "../api/schema.ts";
import { leafOf, type Leaf, type Op } from "../query/condition.ts";

export type Term = Pick<TermOut, "path" | "label" | "kind" | "unit" | "tag" | "vr">;

/** The last step of a path: its keyword, or its concept in brackets. */
const lastOf = (path: string) => /(\[[^\]]*\]|\([^)]*\)|[^.]+)$/.exec(path)?.[1] ?? path;

/** What is known of a path, also of one at any depth; undefined while it comes, null for nothing. */
export function useTerm(path: string): Term | null | undefined {
  const last = lastOf(path);
  const search = last.startsWith("[") ? last.slice(last.indexOf(":") + 1, -1) : last;
  const found = useAnswer(
    "GET /api/vocabulary",
    { query: { search, zero: true, limit: 50 } },
    { enabled: search.trim() !== "" },
  );
  const terms = found.data?.terms.filter((term) => term.kind !== "group");
  if (!terms) return found.error ? null : undefined;
  const ends = terms.filter((term) => term.path.endsWith(last));
  return terms.find((term) => term.path === path) ?? ends.find((term) => term.label !== "[]") ?? null;
}

/** A path as people may read it while its term is not there. */
export function plainPath(path: string): string {
  return path.split(".").at(-1)!.replace(/([a-z])([A-Z])/g, "$1 $2");
}

export function firstLeaf(term: Pick<TermOut, "path" | "kind">): Leaf {
  switch (term.kind) {
    case "code":
      return leafOf(term.path, "within");
    case "number":
    case "age":
      return leafOf(term.path, ">=");
    case "date":
    case "datetime":
    case "time":
      return leafOf(term.path, "between");
    case "sequence":
    case "binary":
      return leafOf(term.path, "exists");
    default:
      return leafOf(term.path, "one_of");
  }
}

const BY_KIND: Record<string, Op[]> = {
  code: ["within", "exists", "missing"],
  sequence: ["exists", "missing", "within"],
  binary: ["exists", "missing"],
  text: ["one_of", "=", "!=", "contains", "like", "exists", "missing"],
  unknown: ["one_of", "=", "!=", "contains", "like", "<", "<=", ">", ">=", "between", "exists", "missing"],
};
const ORDERED: Op[] = ["=", "!=", "<", "<=", ">", ">=", "between", "one_of", "exists", "missing"];

/** What may be asked of a kind, with what is asked already. */
export function opsOf(kind: string | undefined, now: Op): Op[] {
  const found = kind === undefined ? [now] : (BY_KIND[kind] ?? ORDERED);
  return found.includes(now) ? found : [now, ...found];
}

/** What a tree row carries while it is dragged. */
export const DRAGGED_TERM = "application/x-dicomlake-term";
export const DRAGGED_PART = "application/x-dicomlake-part";
