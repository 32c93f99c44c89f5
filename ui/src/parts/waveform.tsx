/** A waveform on the grid of ECG paper: large boxes are 0.2 s wide and, for voltages, 0.5 mV high. */

import { SegmentedControl } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { WaveformOut } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import { Loading, Trouble } from "./states.tsx";

const LANE = 96;
const GUTTER = 56;

export function Waveform({ sop, groups }: { sop: string; groups: number[] }) {
  const { t } = useTexts();
  const [group, setGroup] = useState(groups[0] ?? 1);
  const { ref, width } = useElementSize();
  const pixels = Math.max(400, Math.round(width / 100) * 100);
  const found = useAnswer(
    "GET /api/instances/{SOPInstanceUID}/waveform",
    { params: { SOPInstanceUID: sop }, query: { group, width: pixels } },
    { enabled: width > 0, keep: true },
  );
  return (
    <div className="waveform" ref={ref}>
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
      {found.data && width > 0 && <Drawing wave={found.data} width={width} />}
    </div>
  );
}

/** How many of a unit are a millivolt. */
const PER_MV: Record<string, number> = { uV: 1000, mV: 1, V: 0.001, nV: 1_000_000 };

type Samples = (number | null)[];

/** The value that as many samples are above as below: where the line is at rest. */
function middleOf(samples: Samples): number {
  const sorted = samples.filter((one) => one !== null).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** How far a line goes from where it is at rest. */
function far(samples: Samples): number {
  const base = middleOf(samples);
  return samples.reduce<number>((most, one) => Math.max(most, Math.abs((one ?? base) - base)), 0);
}

function Drawing({ wave, width }: { wave: WaveformOut; width: number }) {
  const { t, n } = useTexts();
  const canvas = useRef<HTMLCanvasElement>(null);
  const height = wave.channels.length * LANE;
  const seconds = wave.samples / wave.SamplingFrequency;
  useEffect(() => {
    const drawing = canvas.current?.getContext("2d");
    if (!drawing || !canvas.current) return;
    const scale = window.devicePixelRatio || 1;
    canvas.current.width = width * scale;
    canvas.current.height = height * scale;
    drawing.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(canvas.current);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const across = width - GUTTER;
    const perSecond = across / seconds;
    drawing.clearRect(0, 0, width, height);
    // all voltages have one scale, which the grid shows; a lane is 3 mV, or what is needed
    const reach = wave.channels.map((samples, lane) => {
      const per = PER_MV[wave.units[lane] ?? ""];
      return per ? (2.1 * far(samples)) / per : 0;
    });
    const millivolts = Math.max(3, Math.ceil(Math.max(0, ...reach)));
    const high = LANE / millivolts;
    const lines = (step: number, stroke: string, vertical: number) => {
      drawing.strokeStyle = stroke;
      drawing.lineWidth = 1;
      drawing.beginPath();
      for (let x = GUTTER; x <= width; x += step) {
        drawing.moveTo(Math.round(x) + 0.5, 0);
        drawing.lineTo(Math.round(x) + 0.5, height);
      }
      for (let y = 0; y <= height; y += vertical) {
        drawing.moveTo(GUTTER, Math.round(y) + 0.5);
        drawing.lineTo(width, Math.round(y) + 0.5);
      }
      drawing.stroke();
    };
    const small = perSecond * 0.04;
    if (small >= 3 && high / 10 >= 3) lines(small, colour("--wave-fine"), high / 10);
    const large = perSecond * 0.2 >= 4 ? perSecond * 0.2 : perSecond;
    lines(large, colour("--wave-grid"), high / 2);
    drawing.font = "500 12px 'IBM Plex Sans', sans-serif";
    wave.channels.forEach((samples, lane) => {
      const middle = LANE * (lane + 0.5);
      const base = middleOf(samples);
      const per = PER_MV[wave.units[lane] ?? ""];
      const y = per ? high / per : (LANE * 0.48) / Math.max(far(samples), 1e-9);
      drawing.fillStyle = colour("--ink");
      drawing.fillText(wave.leads[lane] ?? "", 6, middle + 4);
      drawing.strokeStyle = colour("--ink");
      drawing.lineWidth = 1.1;
      drawing.lineJoin = "round";
      drawing.beginPath();
      let pen = false;
      samples.forEach((sample, at) => {
        if (sample === null) {
          pen = false;
          return;
        }
        const x = GUTTER + (at / Math.max(1, samples.length - 1)) * across;
        const to = middle - (sample - base) * y;
        if (pen) drawing.lineTo(x, to);
        else drawing.moveTo(x, to);
        pen = true;
      });
      drawing.stroke();
    });
  }, [wave, width, height, seconds]);
  const about = t("wave.about", {
    leads: wave.leads.join(", "),
    seconds: n(seconds, 1),
    rate: n(wave.SamplingFrequency),
  });
  return (
    <figure>
      <canvas ref={canvas} style={{ width, height }} role="img" aria-label={about} />
      <figcaption className="hint">{[wave.label, about, ...wave.notes].filter(Boolean).join(" · ")}</figcaption>
    </figure>
  );
}
