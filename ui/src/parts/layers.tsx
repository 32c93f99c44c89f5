/** What other objects draw on the images of a series, each with a switch and its colour. */

import { Checkbox, Loader, Slider } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { call, type Refused } from "../api/client.ts";
import type { ImageOut, OverlayHead, OverlayOut, ShapeOut } from "../api/schema.ts";
import type { Point } from "../image/geometry.ts";
import { instanceOf, maskFrame } from "../image/load.ts";
import { coloursOf, contoursOn, maskPixels, masksOn, shapesOn } from "../image/overlay.ts";
import { useTexts } from "../texts.tsx";
import type { Layer } from "./stage.tsx";
import { Trouble } from "./states.tsx";

const SHAPE = "#80deea";

/** Which objects and segments are shown, and how strong. */
export type Shown = { on: ReadonlySet<string>; hidden: ReadonlySet<string>; opacity: number };
export const NOTHING: Shown = { on: new Set(), hidden: new Set(), opacity: 0.45 };
const part = (sop: string, segment: number | null) => `${sop}#${segment}`;

export type Layers = { layers: Layer[]; busy: boolean; error: Refused | null };

/** The layers of an image, of the objects that are switched on. */
export function useLayers(heads: readonly OverlayHead[], image: ImageOut | undefined, shown: Shown): Layers {
  const wanted = heads.filter((head) => shown.on.has(head.SOPInstanceUID));
  const found = useQueries({
    queries: wanted.map((head) => ({
      queryKey: ["overlay", head.SOPInstanceUID],
      staleTime: Infinity,
      queryFn: () =>
        call("GET /api/instances/{SOPInstanceUID}/overlay", { params: { SOPInstanceUID: head.SOPInstanceUID } }),
    })),
  });
  const known = wanted.flatMap((head, at) => {
    const overlay = found[at]?.data;
    return overlay ? [{ head, overlay }] : [];
  });
  const masks = useMasks(known, image);
  const stamp = known.map(({ head }) => head.SOPInstanceUID).join();
  const layers = useMemo(() => {
    if (!image) return [];
    return known.flatMap(({ head, overlay }) => layersOf(head, overlay, image, masks.bytes, shown));
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [stamp, image, masks.stamp, shown]);
  const error = (found.find((one) => one.error)?.error ?? masks.error) as Refused | null;
  return { layers, busy: masks.busy || found.some((one) => one.isPending), error };
}

type Known = { head: OverlayHead; overlay: OverlayOut };
type Bytes = Map<string, Uint8Array | Uint16Array>;

/** Pixels of the masks on an image, fetched when it is looked at. */
function useMasks(known: Known[], image: ImageOut | undefined) {
  const bytes = useRef<Bytes>(new Map());
  const [stamp, setStamp] = useState(0);
  const [error, setError] = useState<unknown>(null);
  const missing = known.flatMap(({ head, overlay }) =>
    (image ? masksOn(image, overlay) : []).flatMap(({ mask }) => {
      const key = `${head.SOPInstanceUID}/${mask.frame}`;
      return bytes.current.has(key) ? [] : [{ key, head, overlay, frame: mask.frame }];
    }),
  );
  const asked = missing.map((one) => one.key).join();
  useEffect(() => {
    if (!asked) return;
    const stop = new AbortController();
    const work = missing.map(async ({ key, head, overlay, frame }) => {
      const base = instanceOf(head.StudyInstanceUID ?? "", head.SeriesInstanceUID ?? "", head.SOPInstanceUID);
      bytes.current.set(key, await maskFrame(base, frame, overlay.bits ?? 1, stop.signal));
    });
    void Promise.all(work)
      .catch((reason: unknown) => {
        if (!stop.signal.aborted) setError(reason);
      })
      .finally(() => {
        if (!stop.signal.aborted) setStamp((before) => before + 1);
      });
    return () => stop.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [asked]);
  return { bytes: bytes.current, stamp, busy: asked !== "" && !error, error };
}

function layersOf(head: OverlayHead, overlay: OverlayOut, image: ImageOut, bytes: Bytes, shown: Shown): Layer[] {
  const colours = coloursOf(head.segments);
  const colourOf = (segment: number | null) => {
    const at = head.segments.findIndex((one) => one.number === segment);
    return at < 0 || shown.hidden.has(part(head.SOPInstanceUID, segment)) ? null : (colours[at] ?? null);
  };
  const found: Layer[] = [];
  for (const { mask, matrix } of masksOn(image, overlay)) {
    const held = bytes.get(`${head.SOPInstanceUID}/${mask.frame}`);
    if (!held || !overlay.Rows || !overlay.Columns) continue;
    if (!overlay.labels && colourOf(mask.segment) === null) continue;
    const canvas = document.createElement("canvas");
    canvas.width = overlay.Columns;
    canvas.height = overlay.Rows;
    const drawing = canvas.getContext("2d")!;
    const pixels = drawing.createImageData(overlay.Columns, overlay.Rows);
    const made = maskPixels(held, overlay, overlay.Rows * overlay.Columns, colourOf, mask.segment, shown.opacity);
    new Uint32Array(pixels.data.buffer).set(made);
    drawing.putImageData(pixels, 0, 0);
    found.push({ kind: "mask", pixels: canvas, matrix });
  }
  for (const { contour, points } of contoursOn(image, overlay.contours)) {
    const color = colourOf(contour.segment);
    if (color) found.push({ kind: "path", points, closed: contour.closed, color, filled: false });
  }
  for (const { shape, points } of shapesOn(image, overlay.shapes)) found.push(...shapeLayers(shape, points));
  return found;
}

/** A shape of a report or a presentation state (PS3.3 C.10.5.1.2 and C.18.6.1.2). */
function shapeLayers(shape: ShapeOut, points: Point[]): Layer[] {
  const [first, second] = points;
  if (!first) return [];
  const found: Layer[] = [];
  const color = SHAPE;
  if (shape.type === "CIRCLE" && second) {
    const radius = Math.hypot(second.x - first.x, second.y - first.y);
    found.push({ kind: "ellipse", middle: first, radii: { width: radius, height: radius }, turn: 0, color });
  } else if (shape.type === "ELLIPSE" && points.length >= 4) {
    const [a, b, c, d] = points as [Point, Point, Point, Point];
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    const radii = { width: Math.hypot(b.x - a.x, b.y - a.y) / 2, height: Math.hypot(d.x - c.x, d.y - c.y) / 2 };
    found.push({ kind: "ellipse", middle, radii, turn: Math.atan2(b.y - a.y, b.x - a.x), color });
  } else if (shape.type === "MULTIPOINT" || shape.type === "POINT") {
    for (const point of points) found.push({ kind: "path", points: [point], closed: false, filled: false, color });
  } else if (shape.type !== "TEXT") {
    found.push({ kind: "path", points, closed: false, filled: shape.filled, color });
  }
  const end = points[points.length - 1] ?? first;
  if (shape.text) found.push({ kind: "text", at: end, text: shape.text, color });
  return found;
}

/** The objects that draw on a series, and their segments, to switch on and off. */
export function Legend({ heads, shown, setShown, state }: { heads: readonly OverlayHead[]; shown: Shown; setShown: (shown: Shown) => void; state: Layers }) {
  const { t, n } = useTexts();
  if (heads.length === 0) return null;
  const toggled = (set: ReadonlySet<string>, key: string) => {
    const next = new Set(set);
    if (!next.delete(key)) next.add(key);
    return next;
  };
  const masked = heads.some((head) => shown.on.has(head.SOPInstanceUID) && head.segments.length > 0);
  return (
    <section aria-label={t("viewer.layers")}>
      <h3>
        {t("viewer.layers")}
        {state.busy && <Loader size={12} />}
      </h3>
      {state.error && <Trouble error={state.error} />}
      <ul className="legend">
        {heads.map((head) => {
          const on = shown.on.has(head.SOPInstanceUID);
          const colours = coloursOf(head.segments);
          return (
            <li key={head.SOPInstanceUID}>
              <Checkbox
                size="xs"
                checked={on}
                onChange={() => setShown({ ...shown, on: toggled(shown.on, head.SOPInstanceUID) })}
                label={
                  <>
                    <span className="badge">{head.Modality}</span>
                    {head.label || t("viewer.unnamed")}
                  </>
                }
              />
              {on && head.segments.length > 0 && (
                <ul>
                  {head.segments.map((segment, at) => {
                    const key = part(head.SOPInstanceUID, segment.number);
                    return (
                      <li key={key}>
                        <button
                          type="button"
                          className="legend-part"
                          aria-pressed={!shown.hidden.has(key)}
                          onClick={() => setShown({ ...shown, hidden: toggled(shown.hidden, key) })}
                        >
                          <i style={{ background: colours[at] }} />
                          <span>{segment.label || t("viewer.segment", { n: segment.number ?? "?" })}</span>
                          {segment.volume !== null && <small>{n(segment.volume, 1)} mL</small>}
                        </button>
                      </li>
                    );
                  })}
                </ul>
              )}
            </li>
          );
        })}
      </ul>
      {masked && (
        <label className="legend-opacity">
          <span>{t("viewer.opacity")}</span>
          <Slider
            size="xs"
            min={0.1}
            max={1}
            step={0.05}
            label={null}
            thumbLabel={t("viewer.opacity")}
            value={shown.opacity}
            onChange={(opacity) => setShown({ ...shown, opacity })}
          />
        </label>
      )}
    </section>
  );
}
