import { describe, expect, test as it } from "vitest";
import type { Condition } from "./condition.ts";
import { complete, leafOf, opOf, valuesOf } from "./condition.ts";
import { conditionOf, copy, find, group, insert, move, mutedAt, placesOf, replace, test, treeOf, unmuted, walk } from "./tree.ts";

const mr: Condition = { compare: { path: "Modality", op: "=", value: "MR" } };
const ct: Condition = { compare: { path: "Modality", op: "=", value: "CT" } };
const tesla: Condition = { compare: { path: "MagneticFieldStrength", op: ">=", value: 3 } };

const conditions: Condition[] = [
  mr,
  { and: [mr, tesla] },
  { or: [mr, ct] },
  { not: mr },
  { not: { not: mr } },
  { not: { and: [mr, tesla] } },
  { and: [mr, { or: [ct, { not: tesla }] }] },
  { same: { level: "series", part: { and: [mr, tesla] } } },
  { same: { level: "item", part: { or: [mr, tesla] } } },
  { same: { level: "study", part: mr } },
  { same: { level: "patient", part: { and: [mr, ct] } } },
  { not: { same: { level: "study", part: { not: mr } } } },
  { same: { level: "study", part: { same: { level: "series", part: mr } } } },
  { related: { first: mr, second: ct, relation: "before", days_low: null, days_high: 30 } },
  {
    related: {
      first: { same: { level: "series", part: { and: [mr, tesla] } } },
      second: { same: { level: "fact", part: { and: [
        { within: { path: "fact.code", code: { value: "90470006", scheme: "SCT", meaning: "" } } },
        { between: { path: "fact.started", low: "2014-01-01T00:00:00", high: "2019-12-31T23:59:59" } },
      ] } } },
      relation: "before", days_low: null, days_high: 365,
    },
  },
  { same: { level: "document", part: { contains: { path: "document.affirmed", text: "Pneumothorax" } } } },
  {
    and: [
      { not: { related: { first: { not: mr }, second: { or: [ct, tesla] }, relation: "within", days_low: 1, days_high: 9 } } },
      { one_of: { path: "AccessionNumber", values: ["A1", "A2"] } },
      { between: { path: "StudyDate", low: "2020-01-01", high: "2024-12-31" } },
      { exists: { path: "ContrastBolusAgent" } },
      { missing: { path: "BodyPartExamined" } },
      { contains: { path: "SeriesDescription", text: "<script>" } },
      { like: { path: "SeriesDescription", pattern: "*T2*" } },
      { within: { path: "anatomy", code: { value: "10200004", scheme: "SCT", meaning: "Liver" } } },
      { compare: { path: "*.[MDC:2:16160]", op: ">", value: { number: 450, unit: "ms" } } },
    ],
  },
];

describe("a condition", () => {
  it.each(conditions.map((condition) => [JSON.stringify(condition), condition] as const))(
    "comes back from its tree: %s",
    (_, condition) => {
      expect(conditionOf(treeOf(condition))).toEqual(condition);
    },
  );

  it("of nothing is nothing", () => {
    expect(conditionOf(treeOf(null))).toBeNull();
    expect(conditionOf(group([group(), group([], "or", "series")]))).toBeNull();
  });

  it("leaves out what is muted or not complete", () => {
    const tree = treeOf({ and: [mr, tesla] });
    const muted = replace(tree, tree.parts[0]!.id, { ...tree.parts[0]!, muted: true });
    expect(conditionOf(muted)).toEqual(tesla);
    expect(conditionOf(insert(tree, tree.id, test(leafOf("Modality", "="))))).toEqual({
      and: [mr, tesla],
    });
  });
});

describe("what is muted", () => {
  it("comes back from a link: the whole question, and where it is muted", () => {
    const inner = { ...group([test(ct), { ...test(tesla), muted: true }], "or", "series"), not: true };
    const tree = group([{ ...test(mr), muted: true }, test(ct), inner]);
    const { tree: open, places } = unmuted(tree);
    expect(places).toEqual(["and[0]", "and[2].not.same.part.or[1]"]);
    const again = mutedAt(treeOf(conditionOf(open)), places);
    expect(conditionOf(again)).toEqual(conditionOf(tree));
    expect([...walk(again)].filter((part) => part.muted)).toHaveLength(2);
  });

  it("may be all there is", () => {
    const { tree: open, places } = unmuted(group([{ ...test(mr), muted: true }]));
    const again = mutedAt(treeOf(conditionOf(open)), places);
    expect(conditionOf(again)).toBeNull();
    expect(again.parts).toHaveLength(1);
  });
});

describe("a tree", () => {
  it("moves a part to another place and into another group", () => {
    const tree = group([test(mr), test(tesla), group([test(ct)], "or")]);
    const [first, second, inner] = tree.parts;
    const order = move(tree, first!.id, tree.id, 2);
    expect(order.parts.map((part) => part.id)).toEqual([second!.id, first!.id, inner!.id]);
    const into = move(tree, first!.id, inner!.id, 0);
    expect(conditionOf(into)).toEqual({ and: [tesla, { or: [mr, ct] }] });
  });

  it("knows where its parts stand for the service", () => {
    const inner = { ...group([test(mr), test(ct)], "or", "series"), not: true };
    const tree = group([test(tesla), { ...test(mr), muted: true }, inner]);
    const places = placesOf(tree);
    expect([...places.values()]).toEqual([
      "",
      "and[0]",
      "and[1]",
      "and[1].not.same.part.or[0]",
      "and[1].not.same.part.or[1]",
    ]);
    expect(places.get(inner.id)).toBe("and[1]");
  });

  it("never moves a group into itself", () => {
    const inner = group([group()], "or");
    const tree = group([inner]);
    expect(move(tree, inner.id, inner.parts[0]!.id, 0)).toBe(tree);
  });

  it("copies with new ids", () => {
    const tree = treeOf(conditions.at(-1)!);
    const made = copy(tree);
    expect(conditionOf(made)).toEqual(conditionOf(tree));
    for (const part of walk(made)) expect(find(tree, part.id)).toBeUndefined();
  });
});

describe("a leaf", () => {
  it("keeps its value when it asks differently", () => {
    const leaf = leafOf("Modality", "one_of", ["MR", "CT"]);
    expect(opOf(leaf)).toBe("one_of");
    expect(leafOf("Modality", "=", valuesOf(leaf))).toEqual(mr);
    expect(complete(leafOf("Modality", "=", []))).toBe(false);
    expect(complete(leafOf("anatomy", "within", ["SCT:1"]))).toBe(true);
    expect(valuesOf(leafOf("a", "within", ["MDC:2:1"]))).toEqual(["MDC:2:1"]);
  });
});
