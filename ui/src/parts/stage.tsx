/** Where an image is drawn: its pixels, what lies over them, and what the pointer does there. */

import { useElementSize } from "@mantine/hooks";
import { type PointerEvent, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { ImageOut } from "../api/schema.ts";
import {
  applied,
  aspectOf,
  fitting,
  inverted,
  type Matrix,
  multiplied,
  placed,
  type Point,
  sidesOf,
  type Size,
  type View,
  zoomed,
} from "../image/geometry.ts";
import { type Frame, keyOf } from "../image/load.ts";
import { reduced, stepOf } from "../image/pixels.ts";
import { farFrom, type Kind, type Mark } from "../image/regions.ts";
import { dragged, type Look, paint, type Window } from "../image/window.ts";

export type Tool = "window" | "scroll" | "pan" | "zoom" | Kind;
export const MEASURES: readonly Tool[] = ["length", "rectangle", "ellipse"];

/** What lies over an image, in its columns and rows. */
export type Layer =
  | { kind: "mask"; pixels: CanvasImageSource; matrix: Matrix }
  | { kind: "path"; points: Point[]; closed: boolean; color: string; filled: boolean }
  | { kind: "ellipse"; middle: Point; radii: Size; turn: number; color: string }
  | { kind: "text"; at: Point; text: string; color: string };

export type StageProps = {
  image: ImageOut;
  frame: Frame | undefined;
  look: Look | null;
  view: View;
  setView: (view: View) => void;
  tool: Tool;
  layers: Layer[];
  marks: Mark[];
  chosen: number | null;
  onMark: (mark: Omit<Mark, "id">) => void;
  onChoose: (id: number | null) => void;
  says: (mark: Pick<Mark, "kind" | "from" | "to">) => string;
  onScroll: (steps: number) => void;
  onWindow: (window: Window) => void;
  onPoint: (point: Point | null) => void;
  reach: number;
  label: string;
  focus: boolean;
  /** Told how large a pixel of the image is on the screen where the image fills it. */
  onFit: (scale: number) => void;
  children?: ReactNode;
};

const STEP = 40; // pixels of wheel or finger for one image

/** A canvas that holds the image, as fine as it is seen; painted when the image or its look changes. */
function useBuffer(image: ImageOut, frame: Frame | undefined, look: Look | null, step: number) {
  const small = useMemo(() => {
    if (!frame || "picture" in frame) return null;
    const size = { width: image.Columns, height: image.Rows };
    const [width, height] = [Math.floor(size.width / step), Math.floor(size.height / step)];
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const drawing = canvas.getContext("2d")!;
    const pixels = drawing.createImageData(width, height);
    return { canvas, drawing, pixels, stored: reduced(frame.stored, size, step) };
  }, [image, frame, step]);
  return useMemo(() => {
    if (frame && "picture" in frame) return { source: frame.picture, step: 1 };
    if (!small || !look) return null;
    paint(new Uint32Array(small.pixels.data.buffer), small.stored, look);
    small.drawing.putImageData(small.pixels, 0, 0);
    return { source: small.canvas, step };
  }, [frame, small, look, step]);
}

export function Stage(props: StageProps) {
  const { image, frame, look, view, layers, marks, chosen, says } = props;
  const { ref, width, height } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const place = { width, height };
  const aspect = aspectOf(image.spacing);
  const size = { width: image.Columns, height: image.Rows };
  const matrix = placed(size, place, aspect, view);
  const pointing = usePointer(props, place, matrix);
  const fine = Math.hypot(matrix.a, matrix.b) * (window.devicePixelRatio || 1);
  const buffer = useBuffer(image, frame, look, Math.min(stepOf(fine || 1), image.Columns, image.Rows));

  const scale = width && height ? fitting(size, place, aspect, view.turns) : 1;
  const { onFit } = props;
  useEffect(() => onFit(scale), [onFit, scale]);
  const held = pointing.element;
  const attach = useCallback(
    (element: HTMLDivElement | null) => {
      held.current = element;
      return ref(element);
    },
    [held, ref],
  );

  useEffect(() => {
    const drawing = canvas.current?.getContext("2d");
    if (!drawing || width === 0 || height === 0) return;
    const ratio = window.devicePixelRatio || 1;
    drawing.canvas.width = Math.round(width * ratio);
    drawing.canvas.height = Math.round(height * ratio);
    const set = (m: Matrix) => drawing.setTransform(m.a * ratio, m.b * ratio, m.c * ratio, m.d * ratio, m.e * ratio, m.f * ratio);
    if (buffer) {
      set(matrix);
      drawing.imageSmoothingEnabled = Math.hypot(matrix.a, matrix.b) < 4;
      drawing.imageSmoothingQuality = "high";
      const { width: across, height: down } = buffer.source;
      drawing.drawImage(buffer.source, 0, 0, across * buffer.step, down * buffer.step);
    }
    for (const layer of layers) drawLayer(drawing, layer, matrix, set);
    set({ a: 1, b: 0, c: 0, d: 1, e: 0, f: 0 });
    for (const mark of marks) drawMark(drawing, mark, matrix, says(mark), mark.id === chosen);
    if (pointing.draft) drawMark(drawing, pointing.draft, matrix, says(pointing.draft), true);
  });

  const sides = sidesOf(image, view);
  return (
    <div
      className={`stage stage-${props.tool}`}
      ref={attach}
      tabIndex={0}
      role="application"
      aria-label={props.label}
      data-ready={buffer ? keyOf(image) : undefined}
      {...pointing.handlers}
    >
      <canvas ref={canvas} style={{ width, height }} aria-hidden="true" />
      {sides && (
        <>
          <b className="side side-top">{sides.top}</b>
          <b className="side side-right">{sides.right}</b>
          <b className="side side-bottom">{sides.bottom}</b>
          <b className="side side-left">{sides.left}</b>
        </>
      )}
      {props.children}
    </div>
  );
}

// Drawing

function drawLayer(drawing: CanvasRenderingContext2D, layer: Layer, matrix: Matrix, set: (m: Matrix) => void) {
  if (layer.kind === "mask") {
    set(multiplied(matrix, layer.matrix));
    drawing.imageSmoothingEnabled = false;
    drawing.drawImage(layer.pixels, 0, 0);
    return;
  }
  set({ a: 1, b: 0, c: 0, d: 1, e: 0, f: 0 });
  drawing.strokeStyle = drawing.fillStyle = layer.color;
  drawing.lineWidth = 1.5;
  if (layer.kind === "text") {
    const at = applied(matrix, layer.at);
    written(drawing, layer.text, at.x, at.y, layer.color);
    return;
  }
  drawing.beginPath();
  if (layer.kind === "ellipse") {
    for (let step = 0; step <= 64; step++) {
      const angle = (step / 64) * 2 * Math.PI;
      const [x, y] = [Math.cos(angle) * layer.radii.width, Math.sin(angle) * layer.radii.height];
      const [cos, sin] = [Math.cos(layer.turn), Math.sin(layer.turn)];
      const at = applied(matrix, { x: layer.middle.x + x * cos - y * sin, y: layer.middle.y + x * sin + y * cos });
      if (step === 0) drawing.moveTo(at.x, at.y);
      else drawing.lineTo(at.x, at.y);
    }
    drawing.stroke();
    return;
  }
  const points = layer.points.map((point) => applied(matrix, point));
  if (points.length === 1 && points[0]) drawing.arc(points[0].x, points[0].y, 3, 0, 2 * Math.PI);
  else points.forEach((point, at) => (at === 0 ? drawing.moveTo(point.x, point.y) : drawing.lineTo(point.x, point.y)));
  if (layer.closed) drawing.closePath();
  drawing.stroke();
  if (layer.filled) {
    drawing.globalAlpha = 0.3;
    drawing.fill();
    drawing.globalAlpha = 1;
  }
}

function written(drawing: CanvasRenderingContext2D, text: string, x: number, y: number, color: string) {
  drawing.font = "500 12px 'IBM Plex Sans', sans-serif";
  drawing.lineJoin = "round";
  text.split("\n").forEach((line, at) => {
    drawing.lineWidth = 3;
    drawing.strokeStyle = "rgb(0 0 0 / 75%)";
    drawing.strokeText(line, x, y + at * 15);
    drawing.fillStyle = color;
    drawing.fillText(line, x, y + at * 15);
  });
}

const MARK = "#ffd54f";
const CHOSEN = "#ff8a65";

function drawMark(drawing: CanvasRenderingContext2D, { kind, from, to }: Pick<Mark, "kind" | "from" | "to">, matrix: Matrix, text: string, on: boolean) {
  const color = on ? CHOSEN : MARK;
  const [a, b] = [applied(matrix, from), applied(matrix, to)];
  const path = () => {
    drawing.beginPath();
    if (kind === "length") {
      drawing.moveTo(a.x, a.y);
      drawing.lineTo(b.x, b.y);
      for (const end of [a, b]) {
        drawing.moveTo(end.x + 3, end.y);
        drawing.arc(end.x, end.y, 3, 0, 2 * Math.PI);
      }
    } else if (kind === "rectangle") {
      drawing.rect(Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(b.x - a.x), Math.abs(b.y - a.y));
    } else {
      drawing.ellipse((a.x + b.x) / 2, (a.y + b.y) / 2, Math.abs(b.x - a.x) / 2, Math.abs(b.y - a.y) / 2, 0, 0, 2 * Math.PI);
    }
    drawing.stroke();
  };
  drawing.strokeStyle = "rgb(0 0 0 / 65%)";
  drawing.lineWidth = 3.5;
  path();
  drawing.strokeStyle = color;
  drawing.lineWidth = 1.5;
  path();
  const low = kind === "length" ? b : { x: Math.max(a.x, b.x), y: Math.min(a.y, b.y) };
  written(drawing, text, low.x + 8, low.y + 4, color);
}

// Pointers

type Drag = { tool: Tool; last: Point; start: Point; from: Point; moved: boolean; held: number };

function usePointer(props: StageProps, place: Size, matrix: Matrix) {
  const element = useRef<HTMLDivElement | null>(null);
  const drag = useRef<Drag | null>(null);
  const fingers = useRef(new Map<number, Point>());
  const [draft, setDraft] = useState<Omit<Mark, "id"> | null>(null);
  const now = useRef({ props, place, matrix });
  now.current = { props, place, matrix };
  const rolled = useRef(0);

  const at = (event: { clientX: number; clientY: number }): Point => {
    const box = element.current!.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  useEffect(() => {
    const stage = element.current!;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const { props, place } = now.current;
      if (event.ctrlKey || event.metaKey) {
        props.setView(zoomed(props.view, Math.exp(-event.deltaY / 300), at(event), place));
        return;
      }
      const by = event.deltaMode === 1 ? event.deltaY * STEP : event.deltaY;
      rolled.current += Math.abs(by) >= 100 ? Math.sign(by) * STEP : by;
      const steps = Math.trunc(rolled.current / STEP);
      rolled.current -= steps * STEP;
      if (steps) props.onScroll(steps);
    };
    stage.addEventListener("wheel", wheel, { passive: false });
    return () => stage.removeEventListener("wheel", wheel);
  }, []);
  useEffect(() => {
    if (props.focus) element.current?.focus({ preventScroll: true });
  }, [props.focus]);

  const down = (event: PointerEvent) => {
    if (event.button > 2) return;
    const here = at(event);
    element.current!.setPointerCapture(event.pointerId);
    element.current!.focus({ preventScroll: true });
    fingers.current.set(event.pointerId, here);
    const tool = event.button === 1 ? "pan" : event.button === 2 ? "zoom" : props.tool;
    const point = applied(inverted(matrix), here);
    drag.current = { tool, last: here, start: here, from: point, moved: false, held: 0 };
    event.preventDefault();
  };

  const move = (event: PointerEvent) => {
    const here = at(event);
    const { props, place, matrix } = now.current;
    const point = applied(inverted(matrix), here);
    props.onPoint(point);
    const before = fingers.current.get(event.pointerId);
    if (!before || !drag.current) return;
    if (fingers.current.size === 2) {
      setDraft(null);
      pinched(event.pointerId, before, here);
      return;
    }
    fingers.current.set(event.pointerId, here);
    const { tool, last, start } = drag.current;
    const [x, y] = [here.x - last.x, here.y - last.y];
    if (Math.hypot(here.x - start.x, here.y - start.y) > 3) drag.current.moved = true;
    drag.current.last = here;
    const { view } = props;
    if (tool === "pan") props.setView({ ...view, x: view.x + x, y: view.y + y });
    else if (tool === "zoom") props.setView(zoomed(view, Math.exp(-y / 150), start, place));
    else if (tool === "window" && props.look?.window)
      props.onWindow(dragged(props.look.window, x, y, props.reach));
    else if (tool === "scroll") {
      drag.current.held += y;
      const steps = Math.trunc(drag.current.held / 8);
      drag.current.held -= steps * 8;
      if (steps) props.onScroll(steps);
    } else if (MEASURES.includes(tool) && drag.current.moved)
      setDraft({ image: keyOf(props.image), kind: tool as Kind, from: drag.current.from, to: point });
  };

  const pinched = (id: number, before: Point, here: Point) => {
    const other = [...fingers.current].find(([finger]) => finger !== id)?.[1];
    fingers.current.set(id, here);
    if (!other) return;
    const [was, is] = [Math.hypot(before.x - other.x, before.y - other.y), Math.hypot(here.x - other.x, here.y - other.y)];
    const middle = { x: (here.x + other.x) / 2, y: (here.y + other.y) / 2 };
    const view = zoomed(now.current.props.view, is / (was || 1), middle, now.current.place);
    now.current.props.setView({ ...view, x: view.x + (here.x - before.x) / 2, y: view.y + (here.y - before.y) / 2 });
  };

  const up = (event: PointerEvent) => {
    fingers.current.delete(event.pointerId);
    const done = drag.current;
    if (fingers.current.size > 0) return;
    drag.current = null;
    if (!done) return;
    if (draft) {
      props.onMark(draft);
      setDraft(null);
    } else if (!done.moved && event.button === 0) {
      const reach = 8 / Math.hypot(matrix.a, matrix.b);
      const near = props.marks
        .map((mark) => ({ id: mark.id, far: farFrom(mark, done.from) }))
        .sort((one, other) => one.far - other.far)[0];
      props.onChoose(near && near.far < reach ? near.id : null);
    }
  };

  const cancel = () => {
    fingers.current.clear();
    drag.current = null;
    setDraft(null);
  };

  return {
    element,
    draft,
    handlers: {
      onPointerDown: down,
      onPointerMove: move,
      onPointerUp: up,
      onPointerCancel: cancel,
      onPointerLeave: () => props.onPoint(null),
      onContextMenu: (event: { preventDefault: () => void }) => event.preventDefault(),
      onDoubleClick: () => props.setView({ ...props.view, zoom: 1, x: 0, y: 0 }),
    },
  };
}
