/** A waveform on ECG paper, with calipers, and what the study says was measured. */

import { ActionIcon, Button, SegmentedControl, Switch, useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { Measurement, WaveformOut } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import {
  type Caliper,
  GAINS,
  GUTTER,
  laneOf,
  leftOf,
  measured,
  MM,
  moved,
  type Paper,
  paperOf,
  secondsOf,
  snapped,
  SPEEDS,
  topOf,
  type Trace,
  traceOf,
  valueOf,
  xOf,
  yOf,
} from "./ecg.ts";
import { Icon } from "./icon.tsx";
import { Loading, Trouble } from "./states.tsx";

export function Waveform({ study, sop, groups }: { study: string; sop: string; groups: number[] }) {
  const { t } = useTexts();
  const [group, setGroup] = useState(groups[0] ?? 1);
  const { ref, width } = useElementSize();
  const found = useAnswer(
    "GET /api/instances/{SOPInstanceUID}/waveform",
    { params: { SOPInstanceUID: sop }, query: { group, width: 4000 } },
    { keep: true },
  );
  const findings = useAnswer("GET /api/studies/{StudyInstanceUID}/findings", { params: { StudyInstanceUID: study } });
  const stored = (findings.data?.measurements ?? [])
    .filter((one) => one.ecg)
    .sort((a, b) => Number(b.SOPInstanceUID === sop) - Number(a.SOPInstanceUID === sop));
  return (
    <div className="waveform">
      {groups.length > 1 && (
        <SegmentedControl
          size="xs"
          value={String(group)}
          onChange={(value) => setGroup(Number(value))}
          data={groups.map((one) => ({ value: String(one), label: t("wave.group", { n: one }) }))}
        />
      )}
      {found.error && <Trouble error={found.error} />}
      {!found.data && !found.error && <Loading />}
      <div ref={ref}>
        {found.data && width > 0 && (
          <Ecg key={`${sop}.${group}`} wave={found.data} width={width} stored={stored} sop={sop} />
        )}
      </div>
    </div>
  );
}

const SIDE = 250;
let last = 0;

function Ecg({
  wave,
  width,
  stored,
  sop,
}: {
  wave: WaveformOut;
  width: number;
  stored: Measurement[];
  sop: string;
}) {
  const { t, n } = useTexts();
  const [speed, setSpeed] = useState<number | null>(25);
  const [gain, setGain] = useState<number>(10);
  const [snap, setSnap] = useState(true);
  const [off, setOff] = useState<string[]>([]);
  const [calipers, setCalipers] = useState<Caliper[]>([]);
  const seconds = wave.samples / wave.SamplingFrequency;
  const all = useMemo(() => {
    const step = wave.samples_per_point / wave.SamplingFrequency;
    return wave.channels.map((samples, at) => traceOf(wave.leads[at] ?? "", wave.units[at] ?? "", step, samples));
  }, [wave]);
  const traces = useMemo(() => all.filter((trace, at) => !off.includes(keyOf(trace, at))), [all, off]);
  const wide = width > 700;
  const paper = useMemo(
    () => paperOf(traces, seconds, { speed, gain, width: wide ? width - SIDE - 20 : width }),
    [traces, seconds, speed, gain, width, wide],
  );
  const shown = calipers.filter((one) => traces.includes(all[one.trace]!));
  const about = t("wave.about", {
    leads: wave.leads.join(", "),
    seconds: n(seconds, 1),
    rate: n(wave.SamplingFrequency),
    box: n((1000 * paper.box) / paper.pxPerSecond),
  });
  const put = (next: Caliper) => setCalipers((now) => now.map((one) => (one.id === next.id ? next : one)));
  const add = () => {
    const at = all.indexOf(traces[0]!);
    const trace = all[at]!;
    const from = seconds / 4;
    const next = { id: ++last, trace: at, from, to: Math.min(seconds, from + 0.8), low: trace.base, high: trace.base };
    setCalipers((now) => [...now, next]);
  };
  return (
    <>
      <div className="wave-ways">
        <SegmentedControl
          size="xs"
          aria-label={t("wave.speed")}
          value={speed === null ? "fit" : String(speed)}
          onChange={(value) => setSpeed(value === "fit" ? null : Number(value))}
          data={[...SPEEDS.map((one) => ({ value: String(one), label: `${one} mm/s` })), { value: "fit", label: t("wave.fit") }]}
        />
        <SegmentedControl
          size="xs"
          aria-label={t("wave.gain")}
          value={String(gain)}
          onChange={(value) => setGain(Number(value))}
          data={GAINS.map((one) => ({ value: String(one), label: `${one} mm/mV` }))}
        />
        <Switch size="xs" label={t("wave.snap")} checked={snap} onChange={(event) => setSnap(event.currentTarget.checked)} />
        <Button variant="subtle" size="compact-xs" leftSection={<Icon name="plus" size={13} />} onClick={add}>
          {t("wave.caliper.add")}
        </Button>
      </div>
      <div className="leads" role="group" aria-label={t("wave.leads")}>
        <button type="button" aria-pressed={off.length === 0} onClick={() => setOff([])}>
          {t("wave.leads.all")}
        </button>
        {all.map((trace, at) => {
          const key = keyOf(trace, at);
          const on = !off.includes(key);
          return (
            <button
              type="button"
              key={key}
              aria-pressed={on}
              onClick={() => {
                if (off.length === 0) setOff(all.map(keyOf).filter((one) => one !== key)); // this one alone
                else if (on && traces.length === 1) setOff([]);
                else setOff(on ? [...off, key] : off.filter((one) => one !== key));
              }}
            >
              {trace.lead || at + 1}
            </button>
          );
        })}
      </div>
      <div className={wide ? "ecg ecg-wide" : "ecg"}>
        <figure>
          <div className="ecg-paper" tabIndex={0} role="group" aria-label={about}>
            <Drawing traces={traces} paper={paper} />
            <Overlay
              traces={traces}
              all={all}
              paper={paper}
              seconds={seconds}
              snap={snap}
              calipers={shown}
              numbers={calipers.map((one) => one.id)}
              put={put}
              add={(made) => setCalipers((now) => [...now, made])}
              remove={(id) => setCalipers((now) => now.filter((one) => one.id !== id))}
            />
          </div>
          <figcaption className="hint">
            {[wave.label, about, t("wave.caliper.how"), ...wave.notes].filter(Boolean).join(" · ")}
          </figcaption>
        </figure>
        <aside className="ecg-side">
          <h3>{t("wave.calipers")}</h3>
          {calipers.length === 0 && <p className="hint">{t("wave.calipers.none")}</p>}
          {calipers.length > 0 && (
            <table className="facts calipers">
              <thead>
                <tr>
                  <th>#</th>
                  <th className="right">ms</th>
                  <th className="right">/min</th>
                  <th className="right">{all[calipers[0]!.trace]?.unit || "mV"}</th>
                  <th />
                </tr>
              </thead>
              <tbody>
                {calipers.map((one, at) => {
                  const { ms, bpm, height } = measured(one);
                  return (
                    <tr key={one.id}>
                      <td>
                        {at + 1} <small>{all[one.trace]?.lead}</small>
                      </td>
                      <td className="right">{n(ms)}</td>
                      <td className="right">{bpm === null || bpm > 999 ? "–" : n(bpm)}</td>
                      <td className="right">{n(height, 2)}</td>
                      <td>
                        <ActionIcon
                          size="xs"
                          variant="subtle"
                          color="gray"
                          aria-label={t("wave.caliper.remove", { n: at + 1 })}
                          onClick={() => setCalipers((now) => now.filter((other) => other.id !== one.id))}
                        >
                          <Icon name="close" size={12} />
                        </ActionIcon>
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          )}
          <h3>{t("wave.stored")}</h3>
          {stored.length === 0 && <p className="hint">{t("wave.stored.none")}</p>}
          {stored.length > 0 && (
            <table className="facts stored">
              <tbody>
                {stored.map((one, at) => (
                  <tr key={at}>
                    <td title={one.code}>
                      {one.concept}
                      {one.SOPInstanceUID !== sop && (
                        <small> {t("wave.stored.other", { what: one.Modality ?? "" })}</small>
                      )}
                    </td>
                    <td className="right">
                      {n(one.number, 2)} <small>{one.unit}</small>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </aside>
      </div>
    </>
  );
}

const keyOf = (trace: Trace, at: number) => `${at}.${trace.lead}`;

function Drawing({ traces, paper }: { traces: Trace[]; paper: Paper }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scheme = useComputedColorScheme();
  useEffect(() => {
    const drawing = canvas.current?.getContext("2d");
    if (!drawing || !canvas.current) return;
    const { width, height, box, lane } = paper;
    const scale = Math.min(window.devicePixelRatio || 1, 16_000 / Math.max(width, height));
    canvas.current.width = Math.round(width * scale);
    canvas.current.height = Math.round(height * scale);
    drawing.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(canvas.current);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    drawing.clearRect(0, 0, width, height);
    const lines = (step: number, stroke: string) => {
      drawing.strokeStyle = stroke;
      drawing.lineWidth = 1;
      drawing.beginPath();
      for (let left = GUTTER; left < width; left += paper.column) {
        const right = left + paper.column - GUTTER;
        for (let n = 0; left + n * step <= right + 0.5; n++) {
          const x = Math.round(left + n * step) + 0.5;
          drawing.moveTo(x, 0);
          drawing.lineTo(x, height);
        }
        for (let n = 0; n * step <= height; n++) {
          const y = Math.round(n * step) + 0.5;
          drawing.moveTo(left, y);
          drawing.lineTo(right, y);
        }
      }
      drawing.stroke();
    };
    if (box >= 2.5) lines(box, colour("--wave-fine"));
    lines(box * 5 >= 4 ? box * 5 : box * 25, colour("--wave-grid"));
    drawing.font = "500 12px 'IBM Plex Sans', sans-serif";
    traces.forEach((trace, at) => {
      const ink = colour("--ink");
      drawing.fillStyle = ink;
      const left = leftOf(paper, at);
      const centre = topOf(paper, at) + lane / 2;
      drawing.fillText(trace.lead, left - GUTTER + 6, centre + 4);
      const mv = paper.pxPerUnit[at] ?? MM;
      if (trace.unit === "mV") {
        // the pulse of calibration: 1 mV, as tall as it is on paper
        const foot = centre + mv / 2;
        drawing.strokeStyle = colour("--ink-soft");
        drawing.lineWidth = 1;
        drawing.beginPath();
        drawing.moveTo(left - 16, foot);
        drawing.lineTo(left - 12, foot);
        drawing.lineTo(left - 12, foot - mv);
        drawing.lineTo(left - 5, foot - mv);
        drawing.lineTo(left - 5, foot);
        drawing.lineTo(left - 1, foot);
        drawing.stroke();
      }
      drawing.strokeStyle = ink;
      drawing.lineWidth = 1.1;
      drawing.lineJoin = "round";
      drawing.beginPath();
      let pen = false;
      trace.samples.forEach((sample, index) => {
        if (sample === null) {
          pen = false;
          return;
        }
        const x = xOf(paper, at, index * trace.step);
        const y = yOf(paper, trace, at, sample);
        if (pen) drawing.lineTo(x, y);
        else drawing.moveTo(x, y);
        pen = true;
      });
      drawing.stroke();
    });
  }, [traces, paper, scheme]);
  return <canvas ref={canvas} style={{ width: paper.width, height: paper.height }} aria-hidden="true" />;
}

type Held = { caliper: Caliper; which: "from" | "to" | "all"; x: number; y: number; fresh: boolean };

function Overlay({
  traces,
  all,
  paper,
  seconds,
  snap,
  calipers,
  numbers,
  put,
  add,
  remove,
}: {
  traces: Trace[];
  all: Trace[];
  paper: Paper;
  seconds: number;
  snap: boolean;
  calipers: Caliper[];
  numbers: number[];
  put: (caliper: Caliper) => void;
  add: (caliper: Caliper) => void;
  remove: (id: number) => void;
}) {
  const { t, n } = useTexts();
  const box = useRef<SVGSVGElement>(null);
  const [held, setHeld] = useState<Held | null>(null);
  const [drawn, setDrawn] = useState<Caliper | null>(null);
  const place = (event: PointerEvent) => {
    const frame = box.current!.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };
  const laneFor = (caliper: Caliper) => traces.indexOf(all[caliper.trace]!);
  const tip = (at: number, x: number, y: number): [number, number] => {
    const trace = traces[at]!;
    const time = Math.min(seconds, Math.max(0, secondsOf(paper, at, x)));
    return snap ? snapped(trace, time) : [time, valueOf(paper, trace, at, y)];
  };
  const down = (event: PointerEvent<SVGSVGElement>) => {
    if (event.button !== 0) return;
    const { x, y } = place(event);
    const part = (event.target as Element).closest<SVGElement>("[data-caliper]");
    const found = calipers.find((one) => String(one.id) === part?.dataset["caliper"]);
    event.currentTarget.setPointerCapture(event.pointerId);
    if (found) {
      setHeld({ caliper: found, which: (part?.dataset["end"] ?? "all") as Held["which"], x, y, fresh: false });
      return;
    }
    const at = laneOf(paper, x, y, traces.length);
    if (x < leftOf(paper, at)) return;
    const [time, value] = tip(at, x, y);
    const made = { id: ++last, trace: all.indexOf(traces[at]!), from: time, to: time, low: value, high: value };
    setDrawn(made);
    setHeld({ caliper: made, which: "to", x, y, fresh: true });
  };
  const move = (event: PointerEvent) => {
    if (!held) return;
    const { x, y } = place(event);
    const { caliper, which } = held;
    const at = laneFor(caliper);
    if (which === "all") {
      const by = (x - held.x) / paper.pxPerSecond;
      const up = (held.y - y) / (paper.pxPerUnit[at] ?? 1);
      put(moved(caliper, "all", by, up, seconds));
      return;
    }
    const [time, value] = tip(at, x, y);
    const next = which === "to" ? { ...caliper, to: time, high: value } : { ...caliper, from: time, low: value };
    if (held.fresh) setDrawn(next);
    else put(next);
  };
  const up = () => {
    if (drawn && measured(drawn).ms >= 4) add(drawn);
    setDrawn(null);
    setHeld(null);
  };
  const key = (event: KeyboardEvent, caliper: Caliper) => {
    const at = laneFor(caliper);
    const trace = all[caliper.trace]!;
    const by = event.ctrlKey ? 0.04 : Math.max(trace.step, 0.002);
    const high = 0.05 * (event.ctrlKey ? 4 : 1) * (trace.unit === "mV" ? 1 : 20 / (paper.pxPerUnit[at] ?? 1));
    const which = event.shiftKey ? "all" : "to";
    const ways: Record<string, [number, number]> = {
      ArrowLeft: [-by, 0],
      ArrowRight: [by, 0],
      ArrowUp: [0, high],
      ArrowDown: [0, -high],
    };
    const way = ways[event.key];
    if (way) put(moved(caliper, which, way[0], way[1], seconds));
    else if (event.key === "Delete" || event.key === "Backspace") remove(caliper.id);
    else return;
    event.preventDefault();
  };
  return (
    <svg
      ref={box}
      className="ecg-overlay"
      width={paper.width}
      height={paper.height}
      onPointerDown={down}
      onPointerMove={move}
      onPointerUp={up}
      onPointerCancel={up}
    >
      {[...calipers, ...(drawn ? [drawn] : [])].map((one) => {
        const at = laneFor(one);
        const trace = traces[at]!;
        const [x0, x1] = [xOf(paper, at, one.from), xOf(paper, at, one.to)];
        const [y0, y1] = [yOf(paper, trace, at, one.low), yOf(paper, trace, at, one.high)];
        const { ms, bpm, height } = measured(one);
        const number = numbers.indexOf(one.id) + 1 || numbers.length + 1;
        const top = topOf(paper, at) + 14;
        const bottom = topOf(paper, at) + paper.lane - 4;
        const words = `${n(ms)} ms${bpm !== null && bpm < 1000 ? ` · ${n(bpm)}/min` : ""} · ${n(height, 2)} ${trace.unit}`;
        const middle = (x0 + x1) / 2;
        return (
          <g
            key={one.id}
            className="caliper"
            data-caliper={one.id}
            tabIndex={0}
            role="button"
            aria-label={t("wave.caliper.said", { n: number, lead: trace.lead, said: words })}
            onKeyDown={(event) => key(event, one)}
          >
            <rect
              className="caliper-area"
              x={Math.min(x0, x1)}
              y={top}
              width={Math.max(1, Math.abs(x1 - x0))}
              height={bottom - top}
            />
            <line x1={x0} x2={x0} y1={top} y2={bottom} data-caliper={one.id} data-end="from" className="caliper-leg" />
            <line x1={x1} x2={x1} y1={top} y2={bottom} data-caliper={one.id} data-end="to" className="caliper-leg" />
            <line x1={x0} x2={x1} y1={y0} y2={y0} className="caliper-level" />
            <line x1={x1} x2={x1} y1={y0} y2={y1} className="caliper-height" />
            <circle cx={x0} cy={y0} r={4} data-caliper={one.id} data-end="from" />
            <circle cx={x1} cy={y1} r={4} data-caliper={one.id} data-end="to" />
            <text x={Math.max(80, Math.min(paper.width - 80, middle))} y={top - 3} textAnchor="middle">
              {words}
            </text>
          </g>
        );
      })}
    </svg>
  );
}
