import { expect, test } from "vitest";
import { decisionOf } from "./curation.tsx";
import { pairs, specOf } from "./splits.tsx";

test("pairs are read as people write them", () => {
  expect(pairs("train=0.7, test = 0.3")).toEqual({ train: "0.7", test: "0.3" });
  expect(pairs("nothing")).toEqual({});
});

test("numbers are shares, other values are those of sites or days", () => {
  expect(specOf("patient", "a=0.5, b=0.5")).toEqual({ by: "patient", fractions: { a: 0.5, b: 0.5 } });
  expect(specOf("site", "Hospital B=test, *=train")).toEqual({ by: "site", values: { "Hospital B": "test", "*": "train" } });
  expect(specOf("date", "train=, test=2024-01-01")).toEqual({ by: "date", dates: { train: "", test: "2024-01-01" } });
});

test("keys decide", () => {
  expect(decisionOf("i")).toEqual({ what: "include", flag: "" });
  expect(decisionOf("7")).toEqual({ what: "flag", flag: "7" });
  expect(decisionOf("0")).toEqual({ what: "flag", flag: "" });
  expect(decisionOf("Tab")).toBeNull();
});
