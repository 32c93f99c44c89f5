/** The condition as a tree to work on: every part has an id, may be muted, negated and moved. */

import {
  complete,
  type Condition,
  type Leaf,
  type Relation,
  type Scope,
} from "./condition.ts";

type Common = { id: string; not: boolean; muted: boolean };
export type Test = Common & { kind: "test"; leaf: Leaf };
export type Group = Common & {
  kind: "group";
  join: "and" | "or";
  scope: Scope | null;
  parts: Part[];
};
export type Related = Common & {
  kind: "related";
  relation: Relation;
  low: number | null;
  high: number | null;
  parts: [Group, Group];
};
export type Part = Test | Group | Related;

let last = 0;
const newId = () => `c${++last}`;

export const test = (leaf: Leaf): Test => ({
  id: newId(),
  kind: "test",
  not: false,
  muted: false,
  leaf,
});

export const group = (
  parts: Part[] = [],
  join: Group["join"] = "and",
  scope: Scope | null = null,
): Group => ({ id: newId(), kind: "group", not: false, muted: false, join, scope, parts });

export const related = (first: Group, second: Group): Related => ({
  id: newId(),
  kind: "related",
  not: false,
  muted: false,
  relation: "before",
  low: null,
  high: 30,
  parts: [first, second],
});

/** The tree of a condition; its root is always a group. */
export function treeOf(condition: Condition | null | undefined): Group {
  if (!condition) return group();
  const part = partOf(condition);
  return part.kind === "group" && !part.not && part.scope === null ? part : group([part]);
}

function partOf(condition: Condition): Part {
  if ("not" in condition) {
    const part = partOf(condition.not);
    return part.not ? { ...group([part]), not: true } : { ...part, not: true };
  }
  if ("and" in condition) return group(condition.and.map(partOf));
  if ("or" in condition) return group(condition.or.map(partOf), "or");
  if ("same" in condition) {
    const { level, part } = condition.same;
    if ("and" in part) return group(part.and.map(partOf), "and", level);
    if ("or" in part) return group(part.or.map(partOf), "or", level);
    return group([partOf(part)], "and", level);
  }
  if ("related" in condition) {
    const { first, second, relation, days_low, days_high } = condition.related;
    return {
      ...related(treeOf(first), treeOf(second)),
      relation,
      low: days_low ?? null,
      high: days_high ?? null,
    };
  }
  return test(condition);
}

/** The condition of a part, without what is muted or not yet complete; null when nothing is left. */
export function conditionOf(part: Part, muted = false): Condition | null {
  if (part.muted && !muted) return null;
  const found = plain(part);
  return found && part.not ? { not: found } : found;
}

function plain(part: Part): Condition | null {
  if (part.kind === "test") return complete(part.leaf) ? part.leaf : null;
  if (part.kind === "related") {
    const first = conditionOf(part.parts[0]);
    const second = conditionOf(part.parts[1]);
    if (!first || !second) return null;
    const { relation, low, high } = part;
    return { related: { first, second, relation, days_low: low, days_high: high } };
  }
  const parts = part.parts.map((inner) => conditionOf(inner)).filter((inner) => inner !== null);
  if (parts.length === 0) return null;
  const [only] = parts;
  const joined: Condition =
    parts.length === 1 && only ? only : part.join === "and" ? { and: parts } : { or: parts };
  return part.scope ? { same: { level: part.scope, part: joined } } : joined;
}

/** Where the service says that each part stands (`and[0].not`), for those that are asked. */
export function placesOf(root: Group): Map<string, string> {
  const places = new Map<string, string>();
  place(root, "", places);
  return places;
}

const below = (at: string, step: string) => (at ? `${at}.${step}` : step);

function place(part: Part, at: string, places: Map<string, string>): void {
  if (!conditionOf(part)) return;
  places.set(part.id, at);
  const inside = part.not ? below(at, "not") : at;
  if (part.kind === "related") {
    place(part.parts[0], below(inside, "related.first"), places);
    place(part.parts[1], below(inside, "related.second"), places);
  } else if (part.kind === "group") {
    const asked = part.parts.filter((inner) => conditionOf(inner));
    const within = part.scope ? below(inside, "same.part") : inside;
    asked.forEach((inner, n) =>
      place(inner, asked.length === 1 ? within : below(within, `${part.join}[${n}]`), places),
    );
  }
}

/** Every part, the root first. */
export function* walk(part: Part): Generator<Part> {
  yield part;
  if (part.kind !== "test") for (const inner of part.parts) yield* walk(inner);
}

export function find(root: Part, id: string): Part | undefined {
  for (const part of walk(root)) if (part.id === id) return part;
  return undefined;
}

export function parentOf(root: Part, id: string): Group | Related | undefined {
  for (const part of walk(root))
    if (part.kind !== "test" && part.parts.some((inner) => inner.id === id)) return part;
  return undefined;
}

/** A tree in which a part is another one; null takes it out. */
export function replace(root: Group, id: string, by: Part | null): Group {
  return (rewrite(root, id, by) as Group | null) ?? group();
}

function rewrite(part: Part, id: string, by: Part | null): Part | null {
  if (part.id === id) return by;
  if (part.kind === "test") return part;
  if (part.kind === "related") {
    // the two sides of a relation stay; one that is taken out becomes empty
    const [first, second] = part.parts.map((side) => rewrite(side, id, by) ?? group());
    return { ...part, parts: [asGroup(first!), asGroup(second!)] };
  }
  const parts = part.parts
    .map((inner) => rewrite(inner, id, by))
    .filter((inner) => inner !== null);
  return { ...part, parts };
}

const asGroup = (part: Part): Group => (part.kind === "group" ? part : group([part]));

export function insert(root: Group, into: string, part: Part, at?: number): Group {
  const target = find(root, into);
  if (!target || target.kind !== "group") return root;
  const parts = [...target.parts];
  parts.splice(at ?? parts.length, 0, part);
  return replace(root, into, { ...target, parts });
}

/** A tree with a part somewhere else; the same one when that cannot be. */
export function move(root: Group, id: string, into: string, at: number): Group {
  const part = find(root, id);
  const from = parentOf(root, id);
  if (!part || !from || from.kind !== "group" || find(part, into)) return root;
  const index = from.parts.findIndex((inner) => inner.id === id);
  const place = from.id === into && index < at ? at - 1 : at;
  return insert(replace(root, id, null), into, part, place);
}

/** A copy with ids of its own. */
export function copy<P extends Part>(part: P): P {
  if (part.kind === "test") return { ...part, id: newId() };
  return { ...part, id: newId(), parts: part.parts.map((inner) => copy(inner)) };
}

export function isEmpty(root: Group): boolean {
  return root.parts.length === 0;
}

/** The tree with nothing left out, and where the service would place what is muted in it. */
export function unmuted(root: Group): { tree: Group; places: string[] } {
  const muted = new Set([...walk(root)].filter((part) => part.muted).map((part) => part.id));
  const open = <P extends Part>(part: P): P =>
    part.kind === "test"
      ? { ...part, muted: false }
      : ({ ...part, muted: false, parts: part.parts.map((inner) => open(inner)) } as P);
  const tree = open(root);
  const places = [...placesOf(tree)].filter(([id]) => muted.has(id)).map(([, place]) => place);
  return { tree, places };
}

/** A tree in which the parts at some places are muted. */
export function mutedAt(root: Group, places: string[]): Group {
  if (places.length === 0) return root;
  const ids = [...placesOf(root)].filter(([, place]) => places.includes(place)).map(([id]) => id);
  return ids.reduce((tree, id) => {
    const part = find(tree, id);
    return part && part.id !== tree.id ? replace(tree, id, { ...part, muted: true }) : tree;
  }, root);
}
