import { describe, expect, it } from "vitest";
import type { OverlayOut } from "../api/schema.ts";
import {
  applied,
  aspectOf,
  between,
  FIT,
  inverted,
  lengthOf,
  lettersOf,
  locationOf,
  placed,
  type Plane,
  projected,
  sidesOf,
  zoomed,
} from "./geometry.ts";
import { around } from "./load.ts";
import { coloursOf, contoursOn, maskPixels, masksOn, shapesOn } from "./overlay.ts";
import { digitsOf, type Format, lookUp, percentiles, reduced, stepOf, storedOf, valueOf } from "./pixels.ts";
import { areaOf, farFrom, holds, valuesIn } from "./regions.ts";
import { brightness, dragged, padded, paint, spanning, type Window } from "./window.ts";

const format = (more: Partial<Format>): Format => ({
  Rows: 1,
  Columns: 4,
  BitsAllocated: 16,
  BitsStored: 16,
  HighBit: 15,
  signed: false,
  floats: false,
  ...more,
});
const PLAIN = { slope: 1, intercept: 0, table: null };
const HU = { slope: 1, intercept: -1024, table: null };

describe("stored values", () => {
  it("are whole words, with a sign or without", () => {
    const bytes = new Uint16Array([0, 1, 32768, 65535]).buffer;
    expect([...storedOf(bytes, format({}))]).toEqual([0, 1, 32768, 65535]);
    expect([...storedOf(bytes, format({ signed: true }))]).toEqual([0, 1, -32768, -1]);
  });
  it("of 12 bits lose what is around them", () => {
    const bytes = new Uint16Array([0xf800, 0x07ff, 0x0fff, 0xa123]).buffer;
    const twelve = { BitsStored: 12, HighBit: 11 };
    expect([...storedOf(bytes.slice(0), format(twelve))]).toEqual([0x800, 0x7ff, 0xfff, 0x123]);
    expect([...storedOf(bytes.slice(0), format({ ...twelve, signed: true }))]).toEqual([-2048, 2047, -1, 0x123]);
    expect([...storedOf(bytes.slice(0), format({ BitsStored: 12, HighBit: 15 }))]).toEqual([0xf80, 0x07f, 0x0ff, 0xa12]);
  });
  it("come in 1, 8, 32 and 64 bits, too", () => {
    expect([...storedOf(new Uint8Array([0b1010]).buffer, format({ BitsAllocated: 1 }))]).toEqual([0, 1, 0, 1]);
    const eight = { BitsAllocated: 8, BitsStored: 8, HighBit: 7 };
    expect([...storedOf(new Uint8Array([1, 2, 254, 255]).buffer, format({ ...eight, signed: true }))]).toEqual([1, 2, -2, -1]);
    const wide = new Int32Array([-5, 0, 70_000, 1]).buffer;
    expect([...storedOf(wide, format({ BitsAllocated: 32, signed: true }))]).toEqual([-5, 0, 70_000, 1]);
    const floats = new Float32Array([0.5, -2, 3, 4]).buffer;
    expect([...storedOf(floats, format({ BitsAllocated: 32, floats: true }))]).toEqual([0.5, -2, 3, 4]);
    const doubles = new Float64Array([0.25, -2, 3, 4]).buffer;
    expect([...storedOf(doubles, format({ BitsAllocated: 64, floats: true }))]).toEqual([0.25, -2, 3, 4]);
  });
  it("are refused when there are too few", () => {
    expect(() => storedOf(new ArrayBuffer(6), format({}))).toThrow();
  });
  it("become values by slope and intercept, or by a table", () => {
    expect(valueOf(1064, HU)).toBe(40);
    const table = { first: 10, entries: [5, 6, 7] };
    expect([9, 10, 12, 99].map((value) => lookUp(table, value))).toEqual([5, 5, 7, 7]);
    expect(valueOf(11, { ...PLAIN, table })).toBe(6);
    expect([digitsOf(HU, false), digitsOf({ ...HU, slope: 0.5 }, false), digitsOf(PLAIN, true)]).toEqual([0, 2, 4]);
  });
  it("are made smaller by their means", () => {
    const stored = Int16Array.from({ length: 15 }, (_, at) => at - 8); // 5 by 3
    expect(reduced(stored, { width: 5, height: 3 }, 1)).toBe(stored);
    const small = reduced(stored, { width: 5, height: 3 }, 2);
    expect(small).toBeInstanceOf(Int16Array);
    expect([...small]).toEqual([-5, -3]);
    expect([...reduced(Float32Array.of(0, 1, 0, 1), { width: 2, height: 2 }, 2)]).toEqual([0.5]);
    expect([2, 1, 0.51, 0.5, 0.26, 0.1].map(stepOf)).toEqual([1, 1, 1, 2, 2, 8]);
  });
  it("have percentiles, without padding", () => {
    const stored = Int16Array.from({ length: 101 }, (_, at) => at);
    expect(percentiles(stored, [0, 0.5, 1])).toEqual([0, 50, 100]);
    expect(percentiles(stored, [0, 1], padded([0, 9]))).toEqual([10, 100]);
    expect(percentiles(Int16Array.of(7), [0.5], () => true)).toEqual([0]);
  });
});

describe("windows", () => {
  const linear: Window = { center: 40, width: 400, function: "LINEAR" };
  it("follow the three functions of the Standard", () => {
    expect(brightness(-160, linear)).toBeCloseTo(0);
    expect(brightness(239, linear)).toBeCloseTo(255);
    expect(brightness(39.5, linear)).toBeCloseTo(127.5);
    const exact = { ...linear, function: "LINEAR_EXACT" };
    expect([-160, 40, 240].map((value) => brightness(value, exact))).toEqual([0, 127.5, 255]);
    const sigmoid = { ...linear, function: "SIGMOID" };
    expect(brightness(40, sigmoid)).toBeCloseTo(127.5);
    expect(brightness(140, sigmoid)).toBeCloseTo(255 / (1 + Math.exp(-1)));
  });
  it("of width 1 are black and white", () => {
    const one = { center: 100, width: 1, function: "LINEAR" };
    expect([99, 100].map((value) => brightness(value, one))).toEqual([0, 255]);
  });
  it("span nearly all values, also of a negative slope", () => {
    const stored = Uint16Array.from({ length: 1001 }, (_, at) => at);
    expect(spanning(stored, PLAIN, null)).toEqual({ center: 500, width: 990, function: "LINEAR_EXACT" });
    expect(spanning(stored, { ...PLAIN, slope: -1 }, null).width).toBe(990);
    expect(spanning(new Uint16Array(9), PLAIN, null).width).toBe(1);
  });
  it("are dragged", () => {
    expect(dragged(linear, 10, -20, 512)).toEqual({ ...linear, center: 20, width: 410 });
    expect(dragged(linear, -9999, 0, 512).width).toBe(1);
  });
  it("paint every kind of value", () => {
    const look = { window: { center: 0, width: 256, function: "LINEAR_EXACT" }, voi: null, inverse: false, modality: PLAIN };
    const painted = (stored: Parameters<typeof paint>[1], more = {}) => {
      const into = new Uint32Array(stored.length);
      paint(into, stored, { ...look, ...more });
      return [...into].map((pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255, pixel >>> 24]);
    };
    const gray = (level: number) => [level, level, level, 255];
    expect(painted(Int16Array.of(-200, 0, 200))).toEqual([gray(0), gray(128), gray(255)]);
    expect(painted(Int8Array.of(-128, 0, 127))).toEqual([gray(0), gray(128), gray(254)]);
    expect(painted(Uint16Array.of(0, 65535))).toEqual([gray(128), gray(255)]);
    expect(painted(Float32Array.of(-200, Number.NaN, 64))).toEqual([gray(0), gray(0), gray(191)]);
    expect(painted(Uint8Array.of(0, 255), { inverse: true })).toEqual([gray(127), gray(0)]);
    const voi = { table: { first: 0, entries: [0, 4095, 2048] }, most: 4095 };
    expect(painted(Uint16Array.of(0, 1, 2), { voi, window: null })).toEqual([gray(0), gray(255), gray(128)]);
  });
});

describe("places on the screen", () => {
  const [image, place] = [{ width: 100, height: 50 }, { width: 400, height: 400 }];
  it("fit an image, and tell which pixel is where", () => {
    const matrix = placed(image, place, 1, FIT);
    expect(applied(matrix, { x: 0, y: 0 })).toEqual({ x: 0, y: 100 });
    expect(applied(matrix, { x: 100, y: 50 })).toEqual({ x: 400, y: 300 });
    expect(applied(inverted(matrix), { x: 200, y: 200 })).toEqual({ x: 50, y: 25 });
  });
  it("turn and flip it, with pixels as tall as they are", () => {
    const turned = placed(image, place, 1, { ...FIT, turns: 1 });
    expect(applied(turned, { x: 0, y: 0 })).toEqual({ x: 300, y: 0 });
    const flipped = placed(image, place, 1, { ...FIT, flipped: true });
    expect(applied(flipped, { x: 0, y: 0 })).toEqual({ x: 400, y: 100 });
    expect(aspectOf([1, 0.5])).toBe(2);
    expect(applied(placed(image, place, 2, FIT), { x: 100, y: 50 })).toEqual({ x: 400, y: 400 });
  });
  it("keep what is under the pointer while zooming", () => {
    const at = { x: 120, y: 260 };
    const before = applied(inverted(placed(image, place, 1, FIT)), at);
    const view = zoomed(FIT, 3, at, place);
    const after = applied(inverted(placed(image, place, 1, view)), at);
    expect(after.x).toBeCloseTo(before.x);
    expect(after.y).toBeCloseTo(before.y);
  });
  it("are as far apart as the spacing says", () => {
    expect(lengthOf({ x: 0, y: 0 }, { x: 3, y: 4 }, [2, 1])).toBeCloseTo(Math.hypot(3, 8));
    expect(lengthOf({ x: 0, y: 0 }, { x: 3, y: 4 }, null)).toBeNull();
  });
});

describe("places in the patient", () => {
  const axial: Plane = { position: [-100, -100, 50], orientation: [1, 0, 0, 0, 1, 0], spacing: [0.5, 0.5] };
  it("have letters, the foremost first", () => {
    expect(lettersOf([1, 0, 0])).toBe("L");
    expect(lettersOf([0, 0, -1])).toBe("F");
    expect(lettersOf([-0.8, -0.6, 0])).toBe("RA");
    expect(lettersOf([0.05, 0, 0.99])).toBe("H");
  });
  it("are named at the edges, also turned and flipped", () => {
    const image = { orientation: axial.orientation, sides: [] };
    expect(sidesOf(image, FIT)).toEqual({ top: "A", right: "L", bottom: "P", left: "R" });
    expect(sidesOf(image, { ...FIT, turns: 1 })).toEqual({ top: "R", right: "A", bottom: "L", left: "P" });
    expect(sidesOf(image, { ...FIT, flipped: true })).toEqual({ top: "A", right: "R", bottom: "P", left: "L" });
    expect(sidesOf({ orientation: null, sides: ["P", "F"] }, FIT)).toEqual({ top: "H", right: "P", bottom: "F", left: "A" });
    expect(sidesOf({ orientation: null, sides: [] }, FIT)).toBeNull();
  });
  it("are pixels, and pixels are places", () => {
    expect(locationOf(axial, { x: 0.5, y: 0.5 })).toEqual([-100, -100, 50]);
    expect(projected(axial, [-99, -100, 53])).toEqual({ x: 2.5, y: 0.5, away: 3 });
    expect(locationOf({ ...axial, spacing: null }, { x: 0, y: 0 })).toBeNull();
  });
  it("of one grid are those of another in the same plane", () => {
    const coarse: Plane = { ...axial, position: [-99.5, -99.5, 50], spacing: [1.5, 1.5] };
    const matrix = between(coarse, axial, 0.1)!;
    expect(applied(matrix, { x: 0, y: 0 })).toEqual({ x: 0, y: 0 }); // three by three pixels
    expect(applied(matrix, { x: 1, y: 2 })).toEqual({ x: 3, y: 6 });
    expect(between({ ...coarse, position: [-99.5, -99.5, 52] }, axial, 0.1)).toBeNull();
    expect(between({ ...coarse, orientation: [1, 0, 0, 0, 0, -1] }, axial, 0.1)).toBeNull();
  });
});

describe("regions", () => {
  const stored = Uint16Array.from({ length: 100 }, (_, at) => at);
  const size = { width: 10, height: 10 };
  it("know their values", () => {
    const mark = { kind: "rectangle", from: { x: 4, y: 3 }, to: { x: 2, y: 1 } } as const;
    const found = valuesIn(mark, stored, size, HU)!;
    expect(found).toMatchObject({ count: 4, mean: 17.5 - 1024, low: 12 - 1024, high: 23 - 1024 });
    expect(found.deviation).toBeCloseTo(Math.sqrt((5.5 ** 2 + 4.5 ** 2 + 4.5 ** 2 + 5.5 ** 2) / 3));
    expect(valuesIn(mark, stored, size, HU, () => true)).toBeNull();
    expect(valuesIn({ ...mark, from: { x: -9, y: -9 }, to: { x: -2, y: -2 } }, stored, size, HU)).toBeNull();
  });
  it("are ellipses, too", () => {
    const [from, to] = [{ x: 0, y: 0 }, { x: 4, y: 4 }];
    const inside = [0, 1, 2, 3].map((row) => [0, 1, 2, 3].filter((column) => holds("ellipse", from, to, column, row)).length);
    expect(inside).toEqual([2, 4, 4, 2]);
    expect(areaOf({ kind: "ellipse", from, to }, [1, 0.5])).toBeCloseTo(Math.PI * 2);
    expect(areaOf({ kind: "rectangle", from, to }, [1, 0.5])).toBe(8);
    expect(areaOf({ kind: "rectangle", from, to }, null)).toBeNull();
  });
  it("are found by the pointer at their line", () => {
    const mark = { id: 1, image: "", kind: "length", from: { x: 0, y: 0 }, to: { x: 10, y: 0 } } as const;
    expect(farFrom(mark, { x: 5, y: 2 })).toBe(2);
    expect(farFrom(mark, { x: 13, y: 4 })).toBe(5);
    expect(farFrom({ ...mark, kind: "rectangle", to: { x: 10, y: 10 } }, { x: 5, y: 9 })).toBe(1);
    expect(farFrom({ ...mark, kind: "ellipse", to: { x: 10, y: 10 } }, { x: 5, y: 10 })).toBe(0);
  });
});

describe("overlays", () => {
  const image = {
    SOPInstanceUID: "1", frame: 1, Rows: 10, Columns: 10, thickness: 2, spacing: [1, 1],
    position: [0, 0, 10], orientation: [1, 0, 0, 0, 1, 0],
  }; // prettier-ignore
  const mask = (frame: number, segment: number, z: number | null, on: string[] = []) => ({
    frame,
    segment,
    position: z === null ? null : [0, 0, z],
    orientation: z === null ? null : [1, 0, 0, 0, 1, 0],
    spacing: [1, 1],
    on: on.map((SOPInstanceUID) => ({ SOPInstanceUID, frames: [] })),
  });
  const overlay = (masks: OverlayOut["masks"]): OverlayOut => ({
    version: 1, SOPInstanceUID: "9", masks, contours: [], shapes: [], Rows: 5, Columns: 5, bits: 1, most: 1, labels: false,
  }); // prettier-ignore
  it("lie where they are in the patient: of each segment the nearest", () => {
    const found = masksOn(image, overlay([mask(1, 1, 9.2), mask(2, 1, 10.1), mask(3, 2, 10), mask(4, 2, 15)]));
    expect(found.map((one) => one.mask.frame)).toEqual([2, 3]);
  });
  it("without a place lie on the images that they name", () => {
    const found = masksOn(image, overlay([mask(1, 1, null, ["1"]), mask(2, 1, null, ["2"])]));
    expect(found.map((one) => one.mask.frame)).toEqual([1]);
    expect(applied(found[0]!.matrix, { x: 5, y: 5 })).toEqual({ x: 10, y: 10 });
  });
  it("have contours in the plane and shapes on the image", () => {
    const contour = { segment: 1, closed: true, points: [1, 2, 10, 3, 4, 10], on: [] };
    const far = { ...contour, points: [1, 2, 20, 3, 4, 20] };
    expect(contoursOn(image, [contour, far]).map((one) => one.points)).toMatchObject([[{ x: 1.5, y: 2.5 }, { x: 3.5, y: 4.5 }]]);
    const shape = { type: "POLYLINE", points: [1, 1, 3, 4], relative: false, filled: false, text: "", on: [{ SOPInstanceUID: "1", frames: [] }] };
    expect(shapesOn(image, [shape, { ...shape, on: [{ SOPInstanceUID: "1", frames: [2] }] }]).map((one) => one.points)).toEqual([
      [{ x: 0.5, y: 0.5 }, { x: 2.5, y: 3.5 }],
    ]);
    expect(shapesOn(image, [{ ...shape, relative: true, points: [0.5, 1] }])[0]!.points).toEqual([{ x: 5, y: 10 }]);
  });
  it("have colours that differ", () => {
    const segment = (color: string | null) => ({ number: 1, label: "", color, volume: null });
    const found = coloursOf([segment("#b38bac"), segment("#b68eaf"), segment(null), segment("#00ff00")]);
    expect(found[0]).toBe("#b38bac");
    expect(found[3]).toBe("#00ff00");
    expect(new Set(found).size).toBe(4);
  });
  it("become coloured pixels of bits, parts and labels", () => {
    const red = () => "#ff0000";
    const drawn = (found: Uint32Array) => [...found].map((pixel) => [pixel & 255, pixel >>> 24]);
    const bits = maskPixels(Uint8Array.of(0b101), { bits: 1, most: 1, labels: false }, 3, red, 1, 0.5);
    expect(drawn(bits)).toEqual([[255, 128], [0, 0], [255, 128]]);
    const parts = maskPixels(Uint8Array.of(0, 127, 255), { bits: 8, most: 255, labels: false }, 3, red, 1, 1);
    expect(drawn(parts)).toEqual([[0, 0], [255, 127], [255, 255]]);
    const only = (number: number) => (number === 2 ? "#ff0000" : null);
    const labels = maskPixels(Uint8Array.of(1, 2, 0), { bits: 8, most: 1, labels: true }, 3, only, null, 1);
    expect(drawn(labels)).toEqual([[0, 0], [255, 255], [0, 0]]);
  });
});

it("neighbours are fetched in the order of interest", () => {
  expect(around(["a", "b", "c", "d"], 1, 2)).toEqual(["b", "c", "a", "d"]);
  expect(around(["a", "b", "c", "d"], 1, 1, -1)).toEqual(["b", "a", "c"]);
});
