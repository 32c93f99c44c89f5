import { describe, expect, it } from "vitest";
import { drawnOf, heightOf, type Long, offsetOf, scrollOf, TALLEST } from "./virtual.ts";

const small: Long = { count: 1000, row: 30, view: 600 };
const large: Long = { count: 1_000_000, row: 30, view: 600 };
const huge: Long = { count: 80_000_000, row: 30, view: 600 };

describe("a long list", () => {
  it("is as tall as its rows, or as tall as browsers can be", () => {
    expect(heightOf(small)).toBe(30_000);
    expect(heightOf(large)).toBe(TALLEST);
  });

  it("shows its first rows at the beginning and its last ones at the end", () => {
    for (const long of [small, large, huge]) {
      expect(drawnOf(long, 0)[0]).toEqual({ index: 0, top: 0 });
      const end = heightOf(long) - long.view;
      const last = drawnOf(long, end).at(-1)!;
      expect(last.index).toBe(long.count - 1);
      expect(last.top + long.row).toBeCloseTo(end + long.view, 3);
    }
  });

  it.each([small, large, huge])("goes to any row, which is then the first that is seen: $count", (long) => {
    for (const index of [0, 1, 17, Math.floor(long.count * 0.9), long.count - 21]) {
      const scrolled = scrollOf(long, index);
      expect(offsetOf(long, scrolled) / long.row).toBeCloseTo(index, 3);
      const row = drawnOf(long, scrolled).find((one) => one.index === index)!;
      expect(row.top).toBeCloseTo(scrolled, 2);
    }
    expect(scrollOf(long, long.count + 5)).toBeLessThanOrEqual(heightOf(long) - long.view + 1e-6);
  });

  it("draws no more than what is seen, and a little", () => {
    expect(drawnOf(huge, 5_000_000).length).toBeLessThan(40);
    expect(drawnOf({ ...small, count: 3 }, 0)).toHaveLength(3);
  });
});
