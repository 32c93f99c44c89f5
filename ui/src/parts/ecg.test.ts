import { describe, expect, it } from "vitest";
import {
  type Caliper,
  GUTTER,
  laneOf,
  measured,
  middleOf,
  MM,
  moved,
  paperOf,
  secondsOf,
  snapped,
  traceOf,
  valueOf,
  xOf,
  yOf,
} from "./ecg.ts";

/** Ten seconds at 500 Hz with a beat of 1 mV every 800 ms. */
const beats = Array.from({ length: 5000 }, (_, at) => (at % 400 === 200 ? 1000 : at % 400 === 220 ? -300 : 5));
const lead = traceOf("II", "uV", 0.002, beats);

describe("paper", () => {
  it("is as large as paper is: 25 mm a second, 10 mm a millivolt", () => {
    const paper = paperOf([lead], 10, { speed: 25, gain: 10, width: 900 });
    expect(paper.pxPerSecond).toBeCloseTo(25 * MM, 9);
    expect(paper.width).toBeCloseTo(GUTTER + 250 * MM, 9);
    expect(paper.pxPerUnit[0]).toBeCloseTo(10 * MM, 9);
    expect(paper.box).toBeCloseTo(MM, 9);
    const double = paperOf([lead], 10, { speed: 50, gain: 20, width: 900 });
    expect(double.pxPerSecond).toBeCloseTo(2 * paper.pxPerSecond, 9);
    expect(double.pxPerUnit[0]).toBeCloseTo(20 * MM, 9);
  });

  it("has all seconds in the width when asked, and 25 boxes in a second", () => {
    const paper = paperOf([lead], 10, { speed: null, gain: 10, width: 1056 });
    expect(paper.width).toBeCloseTo(1056, 9);
    expect(paper.box * 25).toBeCloseTo(paper.pxPerSecond, 9);
  });

  it("has lanes that hold what is in them", () => {
    const tall = traceOf("V2", "mV", 0.002, [0, 0, 3, 0, -1]);
    const paper = paperOf([lead, tall], 10, { speed: 25, gain: 10, width: 900 });
    expect(yOf(paper, tall, 1, 3)).toBeGreaterThan(paper.lane);
    expect(laneOf(paper, 100, paper.lane + 1, 2)).toBe(1);
    expect(laneOf(paper, 1e9, 1e9, 2)).toBe(1);
  });

  it("knows what is where, there and back", () => {
    const paper = paperOf([lead, lead], 10, { speed: 50, gain: 5, width: 900 });
    expect(secondsOf(paper, 1, xOf(paper, 1, 3.21))).toBeCloseTo(3.21, 9);
    expect(valueOf(paper, lead, 1, yOf(paper, lead, 1, -0.4))).toBeCloseTo(-0.4, 9);
  });

  it("stands in columns where short leads leave room", () => {
    const twelve = Array.from({ length: 12 }, () => lead);
    const paper = paperOf(twelve, 2, { speed: 25, gain: 10, width: 800 });
    expect(paper.rows).toBe(4);
    expect(paper.width).toBeLessThanOrEqual(800);
    for (const at of [0, 3, 4, 11]) {
      const [x, y] = [xOf(paper, at, 1.5), yOf(paper, lead, at, 0.2)];
      expect(laneOf(paper, x, y, 12)).toBe(at);
      expect(secondsOf(paper, at, x)).toBeCloseTo(1.5, 9);
      expect(valueOf(paper, lead, at, y)).toBeCloseTo(0.2, 9);
    }
    expect(paperOf(twelve, 10, { speed: 25, gain: 10, width: 1100 }).rows).toBe(12);
  });

  it("draws what is no voltage at a height of its own", () => {
    const pressure = traceOf("ART", "mm[Hg]", 0.01, [80, 120, 80, 100, 90]);
    expect(pressure.unit).toBe("mm[Hg]");
    const paper = paperOf([pressure], 1, { speed: 25, gain: 10, width: 900 });
    expect(yOf(paper, pressure, 0, 120)).toBeGreaterThan(0);
  });
});

describe("a trace", () => {
  it("is in millivolts, whatever the unit of the voltage", () => {
    expect(traceOf("I", "uV", 0.002, [500, null]).samples).toEqual([0.5, null]);
    expect(traceOf("I", "V", 0.002, [0.001]).samples).toEqual([1]);
    expect(middleOf([3, null, 1, 2])).toBe(2);
  });
});

describe("a caliper", () => {
  const caliper: Caliper = { id: 1, trace: 0, from: 0.4, to: 1.2, low: 0, high: 0.75 };

  it("measures milliseconds, rate and height", () => {
    const { ms, bpm, height } = measured(caliper);
    expect(ms).toBeCloseTo(800, 6);
    expect(bpm).toBeCloseTo(75, 6);
    expect(height).toBeCloseTo(0.75, 6);
    expect(measured({ ...caliper, from: 1.2, to: 0.4 }).ms).toBeCloseTo(800, 6);
    expect(measured({ ...caliper, to: 0.4 }).bpm).toBeNull();
  });

  it("finds the top of a wave that is near, and stays where there is none", () => {
    const [at, value] = snapped(lead, 0.43);
    expect(at).toBeCloseTo(0.4, 6);
    expect(value).toBeCloseTo(1, 6);
    const between = snapped(traceOf("I", "uV", 0.002, [null, null, null]), 0.5);
    expect(between[0]).toBe(0.5);
    // beat to beat by snapping gives the rate that was drawn
    const [next] = snapped(lead, 1.17);
    expect(measured({ ...caliper, from: at, to: next }).bpm).toBeCloseTo(75, 6);
  });

  it("moves as a whole or at one end, and never off the paper", () => {
    expect(moved(caliper, "to", 0.1, 0, 10).to).toBeCloseTo(1.3, 9);
    expect(moved(caliper, "from", -9, 0, 10).from).toBe(0);
    const right = moved(caliper, "all", 99, 0, 10);
    expect([right.from, right.to].map((one) => +one.toFixed(6))).toEqual([9.2, 10]);
    expect(measured(moved(caliper, "all", -99, 0.5, 10)).ms).toBeCloseTo(800, 6);
  });
});
