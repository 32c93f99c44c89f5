/** What is drawn to measure: distances, rectangles and ellipses, and the values inside of them. */

import { lengthOf, type Point } from "./geometry.ts";
import { type Modality, type Stored, valueOf } from "./pixels.ts";

export type Kind = "length" | "rectangle" | "ellipse";
export type Mark = { id: number; image: string; kind: Kind; from: Point; to: Point };
export type Values = { count: number; mean: number; deviation: number; low: number; high: number };

/** Whether the middle of a pixel is in a region. */
export function holds(kind: Kind, from: Point, to: Point, column: number, row: number): boolean {
  const [x, y] = [column + 0.5, row + 0.5];
  const [left, right] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
  const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
  if (x < left || x > right || y < top || y > bottom) return false;
  if (kind !== "ellipse") return true;
  const [halfWidth, halfHeight] = [(right - left) / 2, (bottom - top) / 2];
  return ((x - left - halfWidth) / halfWidth) ** 2 + ((y - top - halfHeight) / halfHeight) ** 2 <= 1;
}

/** Mean, standard deviation, smallest and largest value of the pixels in a region. */
export function valuesIn(
  { kind, from, to }: Pick<Mark, "kind" | "from" | "to">,
  stored: Stored,
  size: { width: number; height: number },
  modality: Modality,
  padding: (value: number) => boolean = () => false,
): Values | null {
  const first = { x: Math.max(0, Math.floor(Math.min(from.x, to.x))), y: Math.max(0, Math.floor(Math.min(from.y, to.y))) };
  const last = {
    x: Math.min(size.width - 1, Math.ceil(Math.max(from.x, to.x))),
    y: Math.min(size.height - 1, Math.ceil(Math.max(from.y, to.y))),
  };
  let [count, mean, squares, low, high] = [0, 0, 0, Infinity, -Infinity];
  for (let row = first.y; row <= last.y; row++)
    for (let column = first.x; column <= last.x; column++) {
      if (!holds(kind, from, to, column, row)) continue;
      const raw = stored[row * size.width + column] ?? Number.NaN;
      if (Number.isNaN(raw) || padding(raw)) continue;
      const value = valueOf(raw, modality);
      count += 1;
      const off = value - mean;
      mean += off / count;
      squares += off * (value - mean);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  if (count === 0) return null;
  return { count, mean, deviation: count > 1 ? Math.sqrt(squares / (count - 1)) : 0, low, high };
}

/** The area of a region in mm²; null where nobody knows how large pixels are. */
export function areaOf({ kind, from, to }: Pick<Mark, "kind" | "from" | "to">, spacing: readonly number[] | null): number | null {
  if (!spacing?.[0] || !spacing[1]) return null;
  const box = Math.abs(to.x - from.x) * spacing[1] * Math.abs(to.y - from.y) * spacing[0];
  return kind === "ellipse" ? (box * Math.PI) / 4 : box;
}

export { lengthOf };

/** How far a place is from the line of a mark, in pixels. */
export function farFrom({ kind, from, to }: Mark, at: Point): number {
  if (kind === "length") {
    const [w, h] = [to.x - from.x, to.y - from.y];
    const along = Math.min(Math.max(((at.x - from.x) * w + (at.y - from.y) * h) / (w * w + h * h || 1), 0), 1);
    return Math.hypot(at.x - from.x - along * w, at.y - from.y - along * h);
  }
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  const half = { x: Math.abs(to.x - from.x) / 2, y: Math.abs(to.y - from.y) / 2 };
  const off = { x: Math.abs(at.x - middle.x), y: Math.abs(at.y - middle.y) };
  if (kind === "ellipse") {
    const by = Math.hypot(off.x / (half.x || 1), off.y / (half.y || 1));
    return Math.abs(by - 1) * Math.min(half.x, half.y);
  }
  const [x, y] = [off.x - half.x, off.y - half.y];
  return x > 0 || y > 0 ? Math.hypot(Math.max(x, 0), Math.max(y, 0)) : Math.min(-x, -y);
}
