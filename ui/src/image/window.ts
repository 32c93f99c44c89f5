/** Windows: which values are shown from black to white (PS3.3 C.11.2). */

import type { WindowOut } from "../api/schema.ts";
import { lookUp, type Modality, percentiles, type Stored, type Table, valueOf } from "./pixels.ts";

export type Window = { center: number; width: number; function: string };
/** A VOI LUT and how bright its brightest entry is. */
export type Voi = { table: Table; most: number };

/** Windows for CT that everybody knows: centre and width in HU. */
export const PRESETS = [
  ["window.soft", 40, 400],
  ["window.lung", -600, 1500],
  ["window.bone", 500, 2000],
  ["window.brain", 40, 80],
  ["window.liver", 60, 160],
  ["window.mediastinum", 50, 350],
  ["window.angio", 300, 600],
] as const;

/** How bright a value is, from 0 to 255 (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
export function brightness(value: number, { center, width, function: how }: Window): number {
  if (how === "SIGMOID") return 255 / (1 + Math.exp((-4 * (value - center)) / width));
  const shown =
    how === "LINEAR_EXACT"
      ? (value - center) / width + 0.5
      : (value - (center - 0.5)) / Math.max(Math.max(width, 1) - 1, 1e-6) + 0.5;
  return Math.min(Math.max(shown * 255, 0), 255);
}

export function brightnessOf(value: number, voi: Voi): number {
  return (lookUp(voi.table, value) / voi.most) * 255;
}

/** A window of a header, if it has any: the first. */
export function firstOf(windows: readonly WindowOut[]): Window | null {
  const [one] = windows;
  return one ? { center: one.center, width: one.width, function: one.function } : null;
}

/** The window that spans all values but the outermost. */
export function spanning(stored: Stored, modality: Modality, padding: readonly number[] | null): Window {
  const isPadding = padded(padding);
  let [low = 0, high = 0] = percentiles(stored, [0.005, 0.995], isPadding);
  if (low === high) [low = 0, high = 0] = percentiles(stored, [0, 1], isPadding);
  const [a, b] = [valueOf(low, modality), valueOf(high, modality)];
  const width = Math.abs(b - a) || 1;
  return { center: (a + b) / 2, width, function: "LINEAR_EXACT" };
}

export function padded(padding: readonly number[] | null): (value: number) => boolean {
  if (!padding) return () => false;
  const [low = 0, high = low] = padding;
  return (value) => value >= low && value <= high;
}

/** A window after the pointer has been dragged: across changes its width, down its centre. */
export function dragged(from: Window, across: number, down: number, reach: number): Window {
  const step = reach / 512;
  const width = Math.max(from.width + across * step, Math.min(1, reach / 256));
  return { ...from, center: from.center + down * step, width };
}

export type Look = { window: Window | null; voi: Voi | null; inverse: boolean; modality: Modality };

const BLACK = 0xff000000;
const gray = (level: number) => BLACK | (level << 16) | (level << 8) | level;

/** Colours of all stored values of 8 or 16 bits, by their lowest 16 bits. */
export function shades(look: Look, signed: boolean, bits: 8 | 16): Uint32Array {
  const found = new Uint32Array(1 << bits);
  for (let at = 0; at < found.length; at++) {
    const stored = signed ? (at << (32 - bits)) >> (32 - bits) : at;
    found[at] = shade(stored, look);
  }
  return found;
}

function shade(stored: number, { window, voi, inverse, modality }: Look): number {
  const value = valueOf(stored, modality);
  const bright = voi ? brightnessOf(value, voi) : window ? brightness(value, window) : 0;
  const level = Math.round(bright);
  return gray(inverse ? 255 - level : level);
}

/** Paint stored values: a shade for each. */
export function paint(into: Uint32Array, stored: Stored, look: Look): void {
  if (stored instanceof Float32Array) {
    for (let at = 0; at < stored.length; at++) {
      const value = stored[at] ?? 0;
      into[at] = Number.isNaN(value) ? BLACK : shade(value, look);
    }
    return;
  }
  const signed = stored instanceof Int8Array || stored instanceof Int16Array;
  const bits = stored.BYTES_PER_ELEMENT === 1 ? 8 : 16;
  const shadeOf = shades(look, signed, bits);
  const mask = shadeOf.length - 1;
  for (let at = 0; at < stored.length; at++) into[at] = shadeOf[stored[at]! & mask]!;
}
