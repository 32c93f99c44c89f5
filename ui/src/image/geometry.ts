/** Where pixels lie: in the patient, and on the screen. */

export type Point = { x: number; y: number };
export type Vector = readonly [number, number, number];

/** How an image lies on the screen. Turns are quarter turns to the right, after flipping. */
export type View = { zoom: number; x: number; y: number; turns: number; flipped: boolean };
export const FIT: View = { zoom: 1, x: 0, y: 0, turns: 0, flipped: false };

/** A matrix as canvas has them: x' = a x + c y + e, y' = b x + d y + f. */
export type Matrix = { a: number; b: number; c: number; d: number; e: number; f: number };

export const multiplied = (m: Matrix, n: Matrix): Matrix => ({
  a: m.a * n.a + m.c * n.b,
  b: m.b * n.a + m.d * n.b,
  c: m.a * n.c + m.c * n.d,
  d: m.b * n.c + m.d * n.d,
  e: m.a * n.e + m.c * n.f + m.e,
  f: m.b * n.e + m.d * n.f + m.f,
});

export const applied = (m: Matrix, { x, y }: Point): Point => ({
  x: m.a * x + m.c * y + m.e,
  y: m.b * x + m.d * y + m.f,
});

export function inverted(m: Matrix): Matrix {
  const by = 1 / (m.a * m.d - m.b * m.c);
  const [a, b, c, d] = [m.d * by, -m.b * by, -m.c * by, m.a * by];
  return { a, b, c, d, e: -(a * m.e + c * m.f), f: -(b * m.e + d * m.f) };
}

export type Size = { width: number; height: number };

/** How tall a pixel is, compared to its width. */
export const aspectOf = (spacing: readonly number[] | null): number =>
  spacing?.[0] && spacing[1] ? spacing[0] / spacing[1] : 1;

/** The scale at which an image fills a place. */
export function fitting(image: Size, place: Size, aspect: number, turns: number): number {
  const [width, height] = [image.width, image.height * aspect];
  const [w, h] = turns % 2 ? [height, width] : [width, height];
  return Math.min(place.width / w, place.height / h) || 1;
}

/** From columns and rows of an image (0 is the edge of the first) to places on the screen. */
export function placed(image: Size, place: Size, aspect: number, view: View): Matrix {
  const scale = fitting(image, place, aspect, view.turns) * view.zoom;
  const [cos, sin] = [
    [1, 0],
    [0, 1],
    [-1, 0],
    [0, -1],
  ][((view.turns % 4) + 4) % 4] as [number, number];
  const across = scale * (view.flipped ? -1 : 1);
  const down = scale * aspect;
  const turned = { a: cos * across, b: sin * across, c: -sin * down, d: cos * down, e: 0, f: 0 };
  const middle = applied(turned, { x: image.width / 2, y: image.height / 2 });
  return {
    ...turned,
    e: place.width / 2 + view.x - middle.x,
    f: place.height / 2 + view.y - middle.y,
  };
}

/** The view after zooming, with what is under a place of the screen staying there. */
export function zoomed(view: View, by: number, at: Point, place: Size): View {
  const zoom = Math.min(Math.max(view.zoom * by, 0.05), 64);
  const real = zoom / view.zoom;
  const [x, y] = [at.x - place.width / 2, at.y - place.height / 2];
  return { ...view, zoom, x: x - (x - view.x) * real, y: y - (y - view.y) * real };
}

/** Millimetres from one point to another; null where nobody knows how large pixels are. */
export function lengthOf(a: Point, b: Point, spacing: readonly number[] | null): number | null {
  if (!spacing?.[0] || !spacing[1]) return null;
  return Math.hypot((b.x - a.x) * spacing[1], (b.y - a.y) * spacing[0]);
}

// In the patient

export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, one, at) => sum + one * (b[at] ?? 0), 0);

const AXES = [
  ["L", "R"],
  ["P", "A"],
  ["H", "F"],
] as const;

/** The sides of a patient to which a direction goes, the foremost first (PS3.3 C.7.6.1.1.1). */
export function lettersOf(direction: readonly number[]): string {
  return [0, 1, 2]
    .map((axis) => ({ axis, reach: direction[axis] ?? 0 }))
    .filter(({ reach }) => Math.abs(reach) > 0.2)
    .sort((one, other) => Math.abs(other.reach) - Math.abs(one.reach))
    .map(({ axis, reach }) => AXES[axis]![reach > 0 ? 0 : 1])
    .join("");
}

const OPPOSITE: Record<string, string> = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
const opposite = (letters: string) => [...letters].map((one) => OPPOSITE[one] ?? "").join("");

export type Sides = { left: string; right: string; top: string; bottom: string };

/** The sides of the patient at the edges of the screen. */
export function sidesOf(
  { orientation, sides }: { orientation: readonly number[] | null; sides: readonly string[] },
  view: View,
): Sides | null {
  const [across, down] = orientation
    ? [lettersOf(orientation.slice(0, 3)), lettersOf(orientation.slice(3))]
    : [sides[0] ?? "", sides[1] ?? ""];
  if (!/^[LRAPHF]+$/.test(across) || !/^[LRAPHF]+$/.test(down)) return null;
  let round = [opposite(down), across, down, opposite(across)]; // top, right, bottom, left
  if (view.flipped) round = [round[0]!, round[3]!, round[2]!, round[1]!];
  const at = (place: number) => round[(((place - view.turns) % 4) + 4) % 4]!;
  return { top: at(0), right: at(1), bottom: at(2), left: at(3) };
}

/** A plane in the patient. */
export type Plane = {
  position: readonly number[] | null;
  orientation: readonly number[] | null;
  spacing: readonly number[] | null;
};
type Whole = { position: Vector; across: Vector; down: Vector; normal: Vector; spacing: readonly [number, number] };

function wholeOf({ position, orientation, spacing }: Plane): Whole | null {
  if (!position || !orientation || !spacing?.[0] || !spacing[1]) return null;
  const [a, b, c, d, e, f] = orientation as [number, number, number, number, number, number];
  return {
    position: position as unknown as Vector,
    across: [a, b, c],
    down: [d, e, f],
    normal: [b * f - c * e, c * d - a * f, a * e - b * d],
    spacing: [spacing[0], spacing[1]],
  };
}

const minus = (a: readonly number[], b: readonly number[]): Vector => [
  (a[0] ?? 0) - (b[0] ?? 0),
  (a[1] ?? 0) - (b[1] ?? 0),
  (a[2] ?? 0) - (b[2] ?? 0),
];

/** A place in the patient as column and row of an image, and how far it is from its plane (mm). */
export function projected(plane: Plane, point: readonly number[]): (Point & { away: number }) | null {
  const on = wholeOf(plane);
  if (!on) return null;
  const from = minus(point, on.position);
  return {
    x: dot(from, on.across) / on.spacing[1] + 0.5,
    y: dot(from, on.down) / on.spacing[0] + 0.5,
    away: dot(from, on.normal),
  };
}

/** Where a pixel is in the patient. */
export function locationOf(plane: Plane, { x, y }: Point): Vector | null {
  const on = wholeOf(plane);
  if (!on) return null;
  const [right, low] = [(x - 0.5) * on.spacing[1], (y - 0.5) * on.spacing[0]];
  return [0, 1, 2].map(
    (axis) => on.position[axis]! + right * on.across[axis]! + low * on.down[axis]!,
  ) as unknown as Vector;
}

/** From pixels of one image to those of another in the same plane; null when it is not the same. */
export function between(from: Plane, to: Plane, apart: number): Matrix | null {
  const [one, other] = [wholeOf(from), wholeOf(to)];
  if (!one || !other || Math.abs(dot(one.normal, other.normal)) < 0.999) return null;
  const corner = projected(to, one.position);
  if (!corner || Math.abs(corner.away) > apart) return null;
  const [right, down] = [
    [dot(one.across, other.across), dot(one.across, other.down)],
    [dot(one.down, other.across), dot(one.down, other.down)],
  ] as const;
  const [a, b] = [(right[0] * one.spacing[1]) / other.spacing[1], (right[1] * one.spacing[1]) / other.spacing[0]];
  const [c, d] = [(down[0] * one.spacing[0]) / other.spacing[1], (down[1] * one.spacing[0]) / other.spacing[0]];
  // `position` is the middle of a pixel, and pixels begin at their edges
  return { a, b, c, d, e: corner.x - (a + c) / 2, f: corner.y - (b + d) / 2 };
}
