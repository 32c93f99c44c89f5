import { describe, expect, it } from "vitest";
import type { HeaderNode } from "../api/schema.ts";
import { joined } from "../query/remembered.ts";
import { flat, merged } from "./compare.tsx";
import { sifted } from "./report.tsx";

const node = (tag: string, values: unknown[], items: HeaderNode[][] = []): HeaderNode => ({
  tag, path: tag, keyword: tag, name: tag, vr: items.length ? "SQ" : "LO", creator: "", private: false, depth: 0,
  values, bulk: "", bytes: null, items,
});

describe("two headers", () => {
  const header = [node("(0008,0060)", ["CT"]), node("(0040,0275)", [], [[node("(0040,0009)", ["1"])]])];

  it("have places that name items by number", () => {
    expect(flat(header).map((row) => row.place)).toEqual([
      "(0008,0060)",
      "(0040,0275)",
      "(0040,0275) 1 (0040,0009)",
    ]);
  });

  it("stand side by side with what differs", () => {
    const difference = {
      place: "(0018,0060)", path: "KVP", name: "KVP", tag: "(0018,0060)", creator: "", vr: "DS",
      change: "added" as const, a: null, b: [80],
    };
    const rows = merged(header, [difference]);
    expect(rows.map((row) => [row.tag, row.change])).toEqual([
      ["(0008,0060)", "same"],
      ["(0018,0060)", "added"],
      ["(0040,0275)", "same"],
      ["(0040,0009)", "same"],
    ]);
  });
});

describe("a report", () => {
  it("shows what is around an item that says a text", () => {
    const items = [
      { concept_meaning: "Findings", children: [{ concept_meaning: "Finding", text: "Lesion" }, { concept_meaning: "Site" }] },
    ];
    expect(sifted(items, "lesion")).toEqual([
      { concept_meaning: "Findings", children: [{ concept_meaning: "Finding", text: "Lesion" }] },
    ]);
    expect(sifted(items, "nothing")).toEqual([]);
  });
});

describe("a question with one more condition", () => {
  it("keeps what it was", () => {
    expect(joined("", "KVP = 80")).toBe("KVP = 80");
    expect(joined("Modality = 'CT'", "KVP = 80")).toBe("Modality = 'CT' and KVP = 80");
    expect(joined("a = 1 or b = 2", "KVP = 80")).toBe("(a = 1 or b = 2) and KVP = 80");
  });
});
