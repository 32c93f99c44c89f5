/** Pixels of a frame as numbers: from the bytes that the service gives to values with a unit. */

import type { ImageOut } from "../api/schema.ts";

export type Stored = Uint8Array | Int8Array | Uint16Array | Int16Array | Float32Array;

/** How bytes are to be read; part of what the service says of an image. */
export type Format = Pick<
  ImageOut,
  "Rows" | "Columns" | "BitsAllocated" | "BitsStored" | "HighBit" | "signed" | "floats"
>;

/** Stored values, row by row; of bits that do not belong to a value nothing is left. */
export function storedOf(bytes: ArrayBuffer, format: Format): Stored {
  const count = format.Rows * format.Columns;
  if (bytes.byteLength * 8 < count * format.BitsAllocated) throw new Error("a frame is too short");
  if (format.BitsAllocated === 1) return bitsOf(new Uint8Array(bytes), count);
  if (format.floats || format.BitsAllocated === 64) return floatsOf(bytes, count, format);
  if (format.BitsAllocated === 32) {
    const found = format.signed ? new Int32Array(bytes, 0, count) : new Uint32Array(bytes, 0, count);
    return Float32Array.from(found);
  }
  const width = format.BitsAllocated;
  const whole = format.BitsStored === width && format.HighBit === width - 1;
  if (width === 8) {
    const found = format.signed ? new Int8Array(bytes, 0, count) : new Uint8Array(bytes, 0, count);
    return whole ? found : trimmed(found, format);
  }
  const found = format.signed ? new Int16Array(bytes, 0, count) : new Uint16Array(bytes, 0, count);
  return whole ? found : trimmed(found, format);
}

function bitsOf(bytes: Uint8Array, count: number): Uint8Array {
  const found = new Uint8Array(count);
  for (let at = 0; at < count; at++) found[at] = ((bytes[at >> 3] ?? 0) >> (at & 7)) & 1;
  return found;
}

function floatsOf(bytes: ArrayBuffer, count: number, format: Format): Float32Array {
  if (format.BitsAllocated === 32) return new Float32Array(bytes, 0, count);
  if (format.floats) return Float32Array.from(new Float64Array(bytes, 0, count));
  const read = format.signed ? new BigInt64Array(bytes, 0, count) : new BigUint64Array(bytes, 0, count);
  return Float32Array.from(read, Number);
}

/** Values of fewer bits than they have room for (PS3.5 8.1.1); the bits around may hold anything. */
function trimmed<T extends Stored>(found: T, { BitsStored, HighBit, signed }: Format): T {
  const shift = HighBit + 1 - BitsStored;
  const space = 32 - BitsStored;
  for (let at = 0; at < found.length; at++) {
    const value = ((found[at] ?? 0) >> shift) << space;
    found[at] = signed ? value >> space : value >>> space;
  }
  return found;
}

/** A look-up table: what is below its first value is that, and what is above the last is that. */
export type Table = { first: number; entries: ArrayLike<number> };

export function lookUp({ first, entries }: Table, value: number): number {
  const at = Math.min(Math.max(Math.round(value) - first, 0), entries.length - 1);
  return entries[at] ?? 0;
}

/** How stored values become values of the modality (PS3.3 C.11.1). */
export type Modality = { slope: number; intercept: number; table: Table | null };

export function valueOf(stored: number, { slope, intercept, table }: Modality): number {
  return table ? lookUp(table, stored) : stored * slope + intercept;
}

/** A number as it is shown beside an image: as exact as it is, and not longer. */
export function digitsOf({ slope, table }: Modality, floats: boolean): number {
  if (table) return 0;
  if (floats) return 4;
  return Number.isInteger(slope) ? 0 : slope >= 0.1 ? 2 : 4;
}

/** The values below which a part of all lies, by a sample of at most so many. */
export function percentiles(
  stored: Stored,
  parts: readonly number[],
  skip: (value: number) => boolean = () => false,
  most = 100_000,
): number[] {
  const step = Math.max(1, Math.floor(stored.length / most));
  const sample: number[] = [];
  for (let at = 0; at < stored.length; at += step) {
    const value = stored[at] ?? 0;
    if (Number.isFinite(value) && !skip(value)) sample.push(value);
  }
  if (sample.length === 0) return parts.map(() => 0);
  sample.sort((a, b) => a - b);
  return parts.map((part) => sample[Math.round(part * (sample.length - 1))] ?? 0);
}

/** An image made smaller: each value is the mean of as many by as many; what is left over at the edges is dropped. */
export function reduced(stored: Stored, { width, height }: { width: number; height: number }, step: number): Stored {
  if (step <= 1) return stored;
  const [columns, rows] = [Math.floor(width / step), Math.floor(height / step)];
  const found = new (stored.constructor as new (length: number) => Stored)(columns * rows);
  const round = stored instanceof Float32Array ? (value: number) => value : Math.round;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let y = 0; y < step; y++) {
        const from = (row * step + y) * width + column * step;
        for (let x = 0; x < step; x++) sum += stored[from + x]!;
      }
      found[row * columns + column] = round(sum / (step * step));
    }
  return found;
}

/** By how much an image may be made smaller before it is drawn at a scale: a power of two. */
export const stepOf = (scale: number): number => 2 ** Math.max(0, Math.floor(Math.log2(1 / scale)));
