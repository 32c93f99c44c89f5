/** What other objects draw on an image: masks of segments, contours, shapes and texts. */

import type { ContourOut, DrawnOn, ImageOut, MaskOut, OverlayOut, DrawnOut, ShapeOut } from "../api/schema.ts";
import { between, type Matrix, type Point, projected } from "./geometry.ts";

/** Colours of segments whose object gives none, or the same to several; apart for all eyes. */
const COLOURS = [
  "#4fc3f7", "#ffb74d", "#81c784", "#f06292", "#ba68c8", "#fff176", "#4db6ac", "#e57373", "#9fa8da", "#dce775",
] as const;

const apart = (one: string, other: string) =>
  [1, 3, 5].reduce(
    (sum, at) => sum + Math.abs(parseInt(one.slice(at, at + 2), 16) - parseInt(other.slice(at, at + 2), 16)),
    0,
  );

/** A colour for each segment: that of its object, where nobody would confuse it with another. */
export function coloursOf(segments: readonly DrawnOut[]): string[] {
  const found: string[] = [];
  for (const { color } of segments) {
    const free = (one: string) => found.every((other) => apart(one, other) > 60);
    const own = color && free(color) ? color : COLOURS.find(free);
    found.push(own ?? COLOURS[found.length % COLOURS.length]!);
  }
  return found;
}

type Shown = Pick<ImageOut, "SOPInstanceUID" | "frame" | "position" | "orientation" | "spacing" | "Rows" | "Columns" | "thickness">;

/** Whether something is drawn on an image by its name. */
const named = (on: readonly DrawnOn[], image: Shown) =>
  on.some(
    ({ SOPInstanceUID, frames }) =>
      SOPInstanceUID === image.SOPInstanceUID && (frames.length === 0 || frames.includes(image.frame)),
  );

/** Half of the way to the next image, for what lies between two. */
const near = (image: Shown) => Math.max((image.thickness ?? 1) / 2, 0.1);

/** How frames of masks lie on an image: by place in the patient, else by the images they name. */
export function masksOn(image: Shown, overlay: OverlayOut): { mask: MaskOut; matrix: Matrix }[] {
  const nearest = new Map<number | null, { mask: MaskOut; matrix: Matrix; away: number }>();
  for (const mask of overlay.masks) {
    const lying = lies(mask, image, overlay);
    const before = nearest.get(mask.segment);
    if (lying && (!before || lying.away < before.away)) nearest.set(mask.segment, { mask, ...lying });
  }
  return [...nearest.values()];
}

/** How a frame lies on an image, and how far from its plane; null where it does not. */
function lies(mask: MaskOut, image: Shown, overlay: OverlayOut): { matrix: Matrix; away: number } | null {
  if (mask.position && mask.orientation && image.position && image.orientation) {
    const matrix = between(mask, image, near(image));
    const away = projected(image, mask.position)?.away ?? 0;
    return matrix && { matrix, away: Math.abs(away) };
  }
  if (!named(mask.on, image) || !overlay.Rows || !overlay.Columns) return null;
  const [a, d] = [image.Columns / overlay.Columns, image.Rows / overlay.Rows];
  return { matrix: { a, b: 0, c: 0, d, e: 0, f: 0 }, away: 0 };
}

/** Points of the contours in the plane of an image. */
export function contoursOn(image: Shown, contours: readonly ContourOut[]): { contour: ContourOut; points: Point[] }[] {
  const found: { contour: ContourOut; points: Point[] }[] = [];
  for (const contour of contours) {
    if (contour.on.length > 0 && !named(contour.on, image)) continue;
    const points: Point[] = [];
    for (let at = 0; at + 2 < contour.points.length; at += 3) {
      const point = projected(image, contour.points.slice(at, at + 3));
      if (!point || Math.abs(point.away) > near(image)) break;
      points.push(point);
    }
    if (points.length > 0 && points.length === contour.points.length / 3) found.push({ contour, points });
  }
  return found;
}

/** Shapes on an image, their points in its columns and rows. */
export function shapesOn(image: Shown, shapes: readonly ShapeOut[]): { shape: ShapeOut; points: Point[] }[] {
  return shapes
    .filter((shape) => named(shape.on, image))
    .map((shape) => {
      const points: Point[] = [];
      for (let at = 0; at + 1 < shape.points.length; at += 2) {
        const [x = 0, y = 0] = shape.points.slice(at, at + 2);
        // by pixels the middle of the first is 1, 1 (PS3.3 C.10.5.1.2)
        points.push(shape.relative ? { x: x * image.Columns, y: y * image.Rows } : { x: x - 0.5, y: y - 0.5 });
      }
      return { shape, points };
    });
}

/** The pixels of a mask in a colour, as canvas has them. */
export function maskPixels(
  bytes: Uint8Array | Uint16Array,
  { bits, most, labels }: Pick<OverlayOut, "bits" | "most" | "labels">,
  count: number,
  colourOf: (segment: number) => string | null,
  segment: number | null,
  opacity: number,
): Uint32Array {
  const found = new Uint32Array(count);
  const known = new Map<number, number>();
  const packed = (number: number) => {
    let value = known.get(number);
    if (value === undefined) {
      const colour = colourOf(number);
      const [r = 0, g = 0, b = 0] = colour ? [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)) : [];
      value = colour ? (b << 16) | (g << 8) | r : -1;
      known.set(number, value);
    }
    return value;
  };
  for (let at = 0; at < count; at++) {
    const value = bits === 1 ? ((bytes[at >> 3] ?? 0) >> (at & 7)) & 1 : (bytes[at] ?? 0);
    if (value === 0) continue;
    const colour = packed(labels ? value : (segment ?? 0));
    if (colour < 0) continue;
    const alpha = Math.round(255 * opacity * (labels ? 1 : Math.min(1, value / (most || 1))));
    found[at] = ((alpha << 24) | colour) >>> 0;
  }
  return found;
}
