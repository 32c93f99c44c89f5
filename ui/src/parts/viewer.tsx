/** The images of a series: to scroll through, to window, to measure, with what others drew on them. */

import { ActionIcon, Button, Kbd, Menu, NativeSelect, Popover, Tooltip } from "@mantine/core";
import { type KeyboardEvent, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ask, type Refused, useAnswer } from "../api/client.ts";
import type { ImageOut, ImagesOut } from "../api/schema.ts";
import { FIT, lengthOf, locationOf, type Point, type View } from "../image/geometry.ts";
import { around, type Frame, Frames, instanceOf, keyOf } from "../image/load.ts";
import { digitsOf, type Modality, type Table, valueOf } from "../image/pixels.ts";
import { areaOf, type Mark, valuesIn } from "../image/regions.ts";
import { firstOf, type Look, padded, PRESETS, spanning, type Voi, type Window } from "../image/window.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Icon, type IconName } from "./icon.tsx";
import { Legend, NOTHING, type Shown, useLayers } from "./layers.tsx";
import { Stage, type Tool } from "./stage.tsx";
import { Loading, Message, Trouble } from "./states.tsx";

const TOOLS: [Tool, IconName, Key, string][] = [
  ["window", "window", "viewer.window", "w"],
  ["scroll", "stack", "viewer.scroll", "s"],
  ["pan", "hand", "viewer.pan", "p"],
  ["zoom", "search", "viewer.zoom", "z"],
  ["length", "ruler", "viewer.length", "l"],
  ["rectangle", "rectangle", "viewer.rectangle", "r"],
  ["ellipse", "ellipse", "viewer.ellipse", "e"],
];
const REACH = 12;
/** Images before and after the one that is looked at, which are fetched in advance. */
const RATES = [1, 2, 5, 10, 15, 25, 30, 60];

export type ViewerProps = {
  series: string;
  /** The instance to show first, or when it changes. */
  sop?: string;
  /** The number of the image to show first, from 1. */
  first?: number;
  /** Told when somebody stays at an image, or leaves the viewer at it. */
  onImage?: (number: number, sop: string, leaving: boolean) => void;
  focus?: boolean;
  /** More buttons at the end of the tools. */
  children?: ReactNode;
};

export function Viewer(props: ViewerProps) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/series/{SeriesInstanceUID}/images", {
    params: { SeriesInstanceUID: props.series },
  });
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  if (found.data.images.length === 0) return <Message title={t("viewer.none")} text={t("viewer.none.why")} />;
  return <Images key={props.series} {...props} data={found.data} />;
}

/** What comes, and is told when it came. */
function useFrames(data: ImagesOut) {
  const [, setStamp] = useState(0);
  const frames = useRef<Frames | null>(null);
  const made = useCallback(() => {
    const base = (sop: string) => instanceOf(data.StudyInstanceUID ?? "", data.SeriesInstanceUID ?? "", sop);
    return new Frames(base, () => setStamp((before) => before + 1));
  }, [data]);
  frames.current ??= made();
  useEffect(() => {
    frames.current ??= made(); // effects run twice while developing
    return () => {
      frames.current?.close();
      frames.current = null;
    };
  }, [made]);
  return () => (frames.current ??= made());
}

/** The look-up tables of an image, fetched where the header holds only their place. */
function useTables(data: ImagesOut, image: ImageOut): { modality: Modality; voi: Voi | null } | null {
  const [known, setKnown] = useState<Map<string, Table | null>>(new Map());
  const missing = image.tables.filter((one) => one.bulk && !known.has(`${image.SOPInstanceUID}/${one.bulk}`));
  useEffect(() => {
    if (missing.length === 0) return;
    const stop = new AbortController();
    const base = instanceOf(data.StudyInstanceUID ?? "", data.SeriesInstanceUID ?? "", image.SOPInstanceUID);
    for (const one of missing) {
      const put = (table: Table | null) =>
        setKnown((before) => new Map(before).set(`${image.SOPInstanceUID}/${one.bulk}`, table));
      ask("GET", `${base}/${one.bulk}`, { query: { accept: "application/octet-stream" }, signal: stop.signal })
        .then(async (answer) => {
          const bytes = await answer.arrayBuffer();
          put({ first: one.first, entries: new Uint16Array(bytes, 0, bytes.byteLength >> 1) });
        })
        .catch(() => {
          if (!stop.signal.aborted) put(null);
        });
    }
    return () => stop.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [image, missing.length]);
  return useMemo(() => {
    if (missing.length > 0) return null;
    const tableOf = (kind: string) => {
      const one = image.tables.find((each) => each.kind === kind);
      if (!one) return null;
      if (one.entries) return { table: { first: one.first, entries: one.entries }, bits: one.bits };
      const table = known.get(`${image.SOPInstanceUID}/${one.bulk}`);
      return table ? { table, bits: one.bits } : null;
    };
    const [modality, voi] = [tableOf("modality"), tableOf("voi")];
    return {
      modality: { slope: image.slope, intercept: image.intercept, table: modality?.table ?? null },
      voi: voi && { table: voi.table, most: 2 ** voi.bits - 1 },
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [image, known, missing.length]);
}

/** Which window is used: one of the header, the VOI LUT, or the person's own. */
type Choice = { kind: "header"; at: number } | { kind: "voi" } | { kind: "own"; window: Window };

function Images({ data, sop, first, onImage, focus, children }: ViewerProps & { data: ImagesOut }) {
  const { t, n } = useTexts();
  const { images } = data;
  const startAt = () => {
    const named = sop ? images.findIndex((one) => one.SOPInstanceUID === sop) : -1;
    return named >= 0 ? named : Math.min(Math.max((first ?? 1) - 1, 0), images.length - 1);
  };
  const [at, setAt] = useState(startAt);
  const [ahead, setAhead] = useState(1);
  const [tool, setTool] = useState<Tool>(() =>
    window.matchMedia("(pointer: coarse)").matches && images.length > 1 ? "scroll" : "window",
  );
  const [view, setView] = useState<View>(FIT);
  const [choice, setChoice] = useState<Choice>({ kind: "header", at: 0 });
  const [auto, setAuto] = useState<Window | null>(null);
  const [inverse, setInverse] = useState(false);
  const [texts, setTexts] = useState(true);
  const [shown, setShown] = useState<Shown>(NOTHING);
  const [marks, setMarks] = useState<Mark[]>([]);
  const [chosen, setChosen] = useState<number | null>(null);
  const [point, setPoint] = useState<Point | null>(null);
  const [playing, setPlaying] = useState(false);
  const [rate, setRate] = useState(() => rateOf(images));
  const [help, setHelp] = useState(false);
  const [fit, setFit] = useState(1);
  const untold = useRef<(() => void) | null>(null);
  const frames = useFrames(data);
  const image = images[at]!;
  const frame = frames().get(image);
  const trouble = frames().error(image) as Refused | undefined;
  const tables = useTables(data, image);

  useEffect(() => {
    frames().wants(around(images, at, playing ? 40 : REACH, ahead));
  });
  useEffect(() => {
    const named = sop ? images.findIndex((one) => one.SOPInstanceUID === sop) : -1;
    if (named >= 0) setAt((now) => (images[now]?.SOPInstanceUID === sop ? now : named));
  }, [sop, images]);
  useEffect(() => {
    untold.current = () => onImage?.(at + 1, image.SOPInstanceUID, true);
    if (playing) return;
    const later = setTimeout(() => {
      untold.current = null;
      onImage?.(at + 1, image.SOPInstanceUID, false);
    }, 300);
    return () => clearTimeout(later);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [at, playing]);
  useEffect(() => () => untold.current?.(), []); // who leaves at once is told as well

  const move = (steps: number) =>
    setAt((now) => {
      setAhead(Math.sign(steps) || 1);
      return Math.min(Math.max(now + steps, 0), images.length - 1);
    });
  usePlaying(playing, rate, () => {
    const next = images[(at + 1) % images.length]!;
    if (frames().get(next) || frames().error(next)) setAt((at + 1) % images.length);
  });

  // what is seen
  const stored = frame && "stored" in frame ? frame.stored : null;
  const headers = firstOf(image.windows) ? "header" : tables?.voi ? "voi" : null;
  useEffect(() => {
    if (stored && tables && !headers && !auto) setAuto(spanning(stored, tables.modality, image.padding));
  }, [stored, tables, headers, auto, image]);
  const look = useMemo<Look | null>(() => {
    if (!tables || !stored) return null;
    const { modality, voi } = tables;
    const base = { modality, inverse: image.inverse !== inverse, voi: null };
    if (choice.kind === "own") return { ...base, window: choice.window };
    const said = image.windows[choice.kind === "header" ? choice.at : -1] ?? image.windows[0];
    if ((choice.kind === "voi" || !said) && voi) return { ...base, window: null, voi };
    return { ...base, window: said ?? auto ?? spanning(stored, modality, image.padding) };
  }, [tables, stored, image, choice, inverse, auto]);
  const reach = useMemo(() => {
    if (!stored || !tables) return 1;
    const { width } = spanning(stored, tables.modality, image.padding);
    return Math.max(width, look?.window?.width ?? 0);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [stored, tables]);
  const state = useLayers(data.overlays, image, shown);
  const mine = marks.filter((mark) => mark.image === keyOf(image));
  const digits = tables ? digitsOf(tables.modality, image.floats) : 0;
  const unit = tables?.modality.table ? (image.tables.find((one) => one.kind === "modality")?.type ?? "") : image.unit;

  const says = (mark: Pick<Mark, "kind" | "from" | "to">): string => {
    const real = image.spacing_at ? image.spacing : null;
    if (mark.kind === "length") {
      const mm = lengthOf(mark.from, mark.to, real);
      if (mm === null) return `${n(Math.hypot(mark.to.x - mark.from.x, mark.to.y - mark.from.y), 1)} px`;
      return `${n(mm, 1)} mm${image.spacing_at === "detector" ? ` ${t("viewer.detector")}` : ""}`;
    }
    const lines = [];
    const area = areaOf(mark, real);
    const skip = padded(image.padding);
    const size = { width: image.Columns, height: image.Rows };
    const found = stored && tables ? valuesIn(mark, stored, size, tables.modality, skip) : null;
    if (found) {
      const more = Math.max(digits, 1);
      lines.push(`${t("viewer.mean")} ${n(found.mean, more)} ± ${n(found.deviation, more)} ${unit}`.trim());
      lines.push(`${n(found.low, digits)} … ${n(found.high, digits)} ${unit}`.trim());
    }
    if (area !== null) lines.push(area >= 100 ? `${n(area / 100, 2)} cm²` : `${n(area, 1)} mm²`);
    return lines.join("\n");
  };
  const remove = (id: number) => {
    setMarks((before) => before.filter((mark) => mark.id !== id));
    setChosen(null);
  };
  const turn = (by: number) => setView({ ...view, turns: (((view.turns + by) % 4) + 4) % 4 });
  const reset = () => {
    setView(FIT);
    setChoice({ kind: "header", at: 0 });
    setInverse(false);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const where = event.target;
    if (where instanceof HTMLSelectElement || (where instanceof HTMLInputElement && where.type !== "checkbox")) return;
    if (event.key === " " && (where instanceof HTMLButtonElement || where instanceof HTMLInputElement)) return;
    const keys: Record<string, () => void> = {
      ArrowDown: () => move(1),
      ArrowRight: () => move(1),
      ArrowUp: () => move(-1),
      ArrowLeft: () => move(-1),
      PageDown: () => move(10),
      PageUp: () => move(-10),
      Home: () => move(-images.length),
      End: () => move(images.length),
      " ": () => setPlaying(images.length > 1 && !playing),
      i: () => setInverse(!inverse),
      h: () => setView({ ...view, flipped: !view.flipped }),
      "]": () => turn(1),
      "[": () => turn(-1),
      "+": () => setView({ ...view, zoom: view.zoom * 1.25 }),
      "-": () => setView({ ...view, zoom: view.zoom / 1.25 }),
      f: () => setView({ ...view, zoom: 1, x: 0, y: 0 }),
      x: () => setView({ ...view, zoom: 1 / fit, x: 0, y: 0 }),
      o: () => setTexts(!texts),
      a: () => stored && tables && setChoice({ kind: "own", window: spanning(stored, tables.modality, image.padding) }),
      "0": reset,
      "?": () => setHelp(!help),
      Delete: () => chosen !== null && remove(chosen),
      Backspace: () => chosen !== null && remove(chosen),
      Escape: () => (help ? setHelp(false) : setChosen(null)),
    };
    for (const [name, , , key] of TOOLS) keys[key] = () => setTool(name);
    if (data.Modality === "CT")
      PRESETS.forEach(([, center, width], place) => {
        keys[String(place + 1)] = () => setChoice({ kind: "own", window: { center, width, function: "LINEAR" } });
      });
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  const label = t("viewer.about", {
    series: data.SeriesDescription || data.Modality || "",
    n: n(at + 1),
    all: n(images.length),
  });
  return (
    <div className="viewer" onKeyDown={onKey}>
      <div className="viewer-tools" role="toolbar" aria-label={t("viewer.tools")}>
        <div className="viewer-group">
          {TOOLS.filter(([name]) => name !== "scroll" || images.length > 1).map(([name, icon, key, letter]) => (
            <Press
              key={name}
              icon={icon}
              label={t(key)}
              letter={letter}
              on={tool === name}
              off={name === "window" && image.color}
              act={() => setTool(name)}
            />
          ))}
        </div>
        <div className="viewer-group">
          {!image.color && (
            <Windows
              data={data}
              image={image}
              choice={choice}
              setChoice={setChoice}
              auto={() => stored && tables && setChoice({ kind: "own", window: spanning(stored, tables.modality, image.padding) })}
              hasVoi={!!tables?.voi}
            />
          )}
          <Press icon="invert" label={t("viewer.invert")} letter="i" on={inverse} act={() => setInverse(!inverse)} off={image.color} />
          <Press icon="turn" label={t("viewer.turn")} letter="]" act={() => turn(1)} />
          <Press icon="flip" label={t("viewer.flip")} letter="h" on={view.flipped} act={() => setView({ ...view, flipped: !view.flipped })} />
          <Press icon="fit" label={t("viewer.fit")} letter="f" act={() => setView({ ...view, zoom: 1, x: 0, y: 0 })} />
          <Press icon="one" label={t("viewer.one")} letter="x" act={() => setView({ ...view, zoom: 1 / fit, x: 0, y: 0 })} />
          <Press icon="reset" label={t("viewer.reset")} letter="0" act={reset} />
        </div>
        <div className="viewer-group viewer-end">
          <Press icon="text" label={t("viewer.texts")} letter="o" on={texts} act={() => setTexts(!texts)} />
          <Help open={help} setOpen={setHelp} ct={data.Modality === "CT"} />
          {children}
        </div>
      </div>
      <div className="viewer-body">
        <div className="viewer-screen">
          <Stage
            image={image}
            frame={frame}
            look={look}
            view={view}
            setView={setView}
            tool={image.color && tool === "window" ? (images.length > 1 ? "scroll" : "pan") : tool}
            layers={state.layers}
            marks={mine}
            chosen={chosen}
            onMark={(mark) => setMarks((before) => [...before, { ...mark, id: (before.at(-1)?.id ?? 0) + 1 }])}
            onChoose={setChosen}
            says={says}
            onScroll={move}
            onWindow={(own) => setChoice({ kind: "own", window: own })}
            onPoint={setPoint}
            reach={reach}
            label={label}
            focus={focus ?? false}
            onFit={setFit}
          >
            {texts && (
              <>
                <p className="corner corner-top">
                  <span>{[data.Modality, data.SeriesNumber !== null && `#${data.SeriesNumber}`].filter(Boolean).join(" ")}</span>
                  <span>{data.SeriesDescription}</span>
                  <span>{[image.laterality, image.view].filter(Boolean).join(" ")}</span>
                </p>
                <p className="corner corner-top-end">
                  <span>
                    {n(at + 1)} / {n(images.length)}
                  </span>
                  {image.location !== null && <span>{n(image.location, 1)} mm</span>}
                  {image.thickness !== null && <span>{t("viewer.thickness", { mm: n(image.thickness, 2) })}</span>}
                </p>
                <p className="corner corner-bottom">
                  <span className="corner-window">
                    {look?.window && `${t("viewer.wl", { w: n(look.window.width, 1), c: n(look.window.center, 1) })}`}
                    {look?.voi && t("viewer.voi")}
                  </span>
                  <span>
                    {n(view.zoom * fit * 100)} %{image.lossy && ` · ${t("viewer.lossy")}`}
                  </span>
                </p>
                <Probe image={image} frame={frame} modality={tables?.modality ?? null} point={point} unit={unit} digits={digits} />
              </>
            )}
            {!frame && !trouble && (
              <div className="stage-wait">
                <Loading />
              </div>
            )}
            {trouble && (
              <div className="stage-wait">
                <Trouble error={trouble} again={() => frames().again(image)} />
              </div>
            )}
          </Stage>
          {images.length > 1 && (
            <div className="viewer-reel">
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={t(playing ? "viewer.pause" : "viewer.play")}
                onClick={() => setPlaying(!playing)}
              >
                <Icon name={playing ? "pause" : "play"} />
              </ActionIcon>
              <input
                type="range"
                min={1}
                max={images.length}
                value={at + 1}
                aria-label={t("viewer.image")}
                aria-valuetext={t("viewer.of", { n: n(at + 1), all: n(images.length) })}
                onChange={(event) => move(Number(event.currentTarget.value) - 1 - at)}
              />
              <output>
                {n(at + 1)} / {n(images.length)}
              </output>
              <NativeSelect
                size="xs"
                aria-label={t("viewer.rate")}
                value={String(rate)}
                onChange={(event) => setRate(Number(event.currentTarget.value))}
                data={[...new Set([...RATES, rate])]
                  .sort((one, other) => one - other)
                  .map((one) => ({ value: String(one), label: t("viewer.fps", { n: n(one, 1) }) }))}
              />
            </div>
          )}
        </div>
        {(data.overlays.length > 0 || marks.length > 0) && (
          <aside className="viewer-side">
            <Legend heads={data.overlays} shown={shown} setShown={setShown} state={state} />
            {marks.length > 0 && (
              <section aria-label={t("viewer.measures")}>
                <h3>{t("viewer.measures")}</h3>
                <ul className="measures">
                  {marks.map((mark) => {
                    const place = images.findIndex((one) => keyOf(one) === mark.image);
                    return (
                      <li key={mark.id} className={mark.id === chosen ? "is-chosen" : undefined}>
                        <button
                          type="button"
                          className="legend-part"
                          onClick={() => {
                            setAt(place);
                            setChosen(mark.id);
                          }}
                        >
                          <Icon name={mark.kind === "length" ? "ruler" : mark.kind} size={14} />
                          <span>{mark.image === keyOf(image) ? says(mark) : t("viewer.of", { n: n(place + 1), all: n(images.length) })}</span>
                        </button>
                        <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t("viewer.remove")} onClick={() => remove(mark.id)}>
                          <Icon name="bin" size={14} />
                        </ActionIcon>
                      </li>
                    );
                  })}
                </ul>
                <p className="hint">{t("viewer.measures.hint")}</p>
              </section>
            )}
          </aside>
        )}
      </div>
      {data.more && <p className="note">{t("viewer.more", { n: n(images.length) })}</p>}
    </div>
  );
}

/** Images per second as the device would play them, else ten. */
function rateOf(images: readonly ImageOut[]): number {
  const time = images[0]?.frame_time;
  return time && time >= 1 ? Math.min(Math.round(10_000 / time) / 10, 60) : 10;
}

function usePlaying(playing: boolean, rate: number, next: () => void) {
  const step = useRef(next);
  step.current = next;
  useEffect(() => {
    if (!playing) return;
    const clock = setInterval(() => step.current(), 1000 / rate);
    return () => clearInterval(clock);
  }, [playing, rate]);
}

function Press({ icon, label, letter, on, off, act }: { icon: IconName; label: string; letter: string; on?: boolean; off?: boolean; act: () => void }) {
  return (
    <Tooltip label={`${label} (${letter.toUpperCase()})`}>
      <ActionIcon
        variant={on ? "light" : "subtle"}
        color={on ? undefined : "gray"}
        aria-label={label}
        aria-pressed={on}
        aria-keyshortcuts={letter}
        disabled={off}
        onClick={act}
      >
        <Icon name={icon} />
      </ActionIcon>
    </Tooltip>
  );
}

function Windows({ data, image, choice, setChoice, auto, hasVoi }: { data: ImagesOut; image: ImageOut; choice: Choice; setChoice: (choice: Choice) => void; auto: () => void; hasVoi: boolean }) {
  const { t, n } = useTexts();
  const isNow = (window: Window) =>
    choice.kind === "own" && choice.window.center === window.center && choice.window.width === window.width;
  const name = (text: string, center: number, width: number) => (
    <span className="preset">
      {text}
      <small>{t("viewer.wl", { w: n(width, 1), c: n(center, 1) })}</small>
    </span>
  );
  return (
    <Menu position="bottom-start" width={230}>
      <Menu.Target>
        <Button variant="subtle" color="gray" size="compact-sm" rightSection={<Icon name="down" size={12} />}>
          {t("viewer.presets")}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {(image.windows.length > 0 || hasVoi) && <Menu.Label>{t("viewer.header")}</Menu.Label>}
        {image.windows.map((window, at) => (
          <Menu.Item key={at} onClick={() => setChoice({ kind: "header", at })} aria-current={choice.kind === "header" && choice.at === at}>
            {name(window.name || t("viewer.windowed", { n: at + 1 }), window.center, window.width)}
          </Menu.Item>
        ))}
        {hasVoi && <Menu.Item onClick={() => setChoice({ kind: "voi" })}>{t("viewer.voi")}</Menu.Item>}
        {data.Modality === "CT" && (
          <>
            <Menu.Label>CT</Menu.Label>
            {PRESETS.map(([key, center, width], at) => (
              <Menu.Item
                key={key}
                rightSection={<Kbd size="xs">{at + 1}</Kbd>}
                aria-current={isNow({ center, width, function: "LINEAR" })}
                onClick={() => setChoice({ kind: "own", window: { center, width, function: "LINEAR" } })}
              >
                {name(t(key), center, width)}
              </Menu.Item>
            ))}
          </>
        )}
        <Menu.Divider />
        <Menu.Item rightSection={<Kbd size="xs">A</Kbd>} onClick={auto}>
          {t("viewer.auto")}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** The value under the pointer, and where that is in the patient. */
function Probe({ image, frame, modality, point, unit, digits }: { image: ImageOut; frame: Frame | undefined; modality: Modality | null; point: Point | null; unit: string; digits: number }) {
  const { n } = useTexts();
  const [column, row] = [Math.floor(point?.x ?? -1), Math.floor(point?.y ?? -1)];
  const inside = column >= 0 && row >= 0 && column < image.Columns && row < image.Rows;
  if (!point || !inside || !frame) return <p className="corner corner-bottom-end" />;
  const there = locationOf(image, { x: column + 0.5, y: row + 0.5 });
  return (
    <p className="corner corner-bottom-end">
      <span className="corner-value">{valueText()}</span>
      <span>
        {n(column + 1)}, {n(row + 1)}
      </span>
      {there && <span>{there.map((one) => n(one, 1)).join(" · ")} mm</span>}
    </p>
  );
  function valueText(): string {
    if (frame && "picture" in frame) return colourAt(frame.picture, column, row);
    const raw = frame?.stored[row * image.Columns + column];
    if (raw === undefined || !modality) return "";
    return `${n(valueOf(raw, modality), digits)} ${unit}`.trim();
  }
}

let probing: CanvasRenderingContext2D | null = null;
function colourAt(picture: ImageBitmap, column: number, row: number): string {
  if (!probing) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    probing = canvas.getContext("2d", { willReadFrequently: true });
  }
  probing?.drawImage(picture, -column, -row);
  const [r, g, b] = probing?.getImageData(0, 0, 1, 1).data ?? [];
  return `R ${r} G ${g} B ${b}`;
}

const KEYS: [string, Key][] = [
  ["↑ ↓", "keys.scroll"],
  ["PgUp PgDn", "keys.page"],
  ["Home End", "keys.ends"],
  ["␣", "keys.play"],
  ["W S P Z", "keys.tools"],
  ["L R E", "keys.measure"],
  ["A", "viewer.auto"],
  ["I", "viewer.invert"],
  ["H", "viewer.flip"],
  ["[ ]", "viewer.turn"],
  ["+ −", "viewer.zoom"],
  ["F", "viewer.fit"],
  ["X", "viewer.one"],
  ["O", "viewer.texts"],
  ["Del", "viewer.remove"],
  ["0", "viewer.reset"],
];
const WAYS: [Key, Key][] = [
  ["keys.left", "keys.left.does"],
  ["keys.right", "viewer.zoom"],
  ["keys.middle", "viewer.pan"],
  ["keys.wheel", "keys.wheel.does"],
  ["keys.fingers", "keys.fingers.does"],
];

function Help({ open, setOpen, ct }: { open: boolean; setOpen: (open: boolean) => void; ct: boolean }) {
  const { t } = useTexts();
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" width={340} trapFocus returnFocus>
      <Popover.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t("viewer.help")} aria-keyshortcuts="?" onClick={() => setOpen(!open)}>
          <Icon name="help" />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown>
        <div className="keys" tabIndex={-1} data-autofocus>
          <h3>{t("viewer.help")}</h3>
          <dl>
            {KEYS.map(([keys, does]) => (
              <div key={keys}>
                <dt>
                  {keys.split(" ").map((key) => (
                    <Kbd size="xs" key={key}>
                      {key}
                    </Kbd>
                  ))}
                </dt>
                <dd>{t(does)}</dd>
              </div>
            ))}
            {ct && (
              <div>
                <dt>
                  <Kbd size="xs">1</Kbd>–<Kbd size="xs">{PRESETS.length}</Kbd>
                </dt>
                <dd>{t("keys.presets")}</dd>
              </div>
            )}
            {WAYS.map(([way, does]) => (
              <div key={way}>
                <dt>{t(way)}</dt>
                <dd>{t(does)}</dd>
              </div>
            ))}
          </dl>
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}

