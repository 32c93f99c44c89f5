import { describe, expect, test as it } from "vitest";
import { niceTop, stepName } from "./plots.tsx";
import { csv } from "./saving.ts";

describe("numbers as CSV", () => {
  it("keeps what is a number, and quotes what needs it", () => {
    expect(csv(["a", "b"], [["x, \"y\"", 1.5], [null, 2]])).toBe('a,b\r\n"x, ""y""",1.5\r\n,2\r\n');
  });
  it("makes harmless what a spreadsheet would run", () => {
    expect(csv(["a"], [["=1+1"], ["-CHEST"], [-3]])).toBe("a\r\n'=1+1\r\n'-CHEST\r\n-3\r\n");
  });
});

describe("axes", () => {
  it.each([[1, 1], [7, 8], [11, 20], [167, 200], [90, 100], [401, 600]])("go from %i to %i", (value, top) => {
    expect(niceTop(value)).toBe(top);
  });
  it.each([
    ["2024-10-01", "quarter", "2024 Q4"],
    ["2024-01-01", "year", "2024"],
    ["2024-03-01", "month", "Mar 2024"],
    ["2024-03-05", "week", "5 Mar 24"],
  ])("call %s of a %s %s", (step, bin, name) => expect(stepName(step, bin, "en-GB")).toBe(name));
});
