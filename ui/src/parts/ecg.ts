/** Where a waveform lies on ECG paper, and what calipers on it measure; no drawing here. */

/** Pixels of a millimetre, as browsers count them. */
export const MM = 96 / 25.4;
export const SPEEDS = [25, 50] as const;
export const GAINS = [5, 10, 20] as const;
/** Room before the paper, for the names of leads. */
export const GUTTER = 56;

/** How many of a unit are a millivolt. */
const PER_MV: Record<string, number> = { uV: 1000, "µV": 1000, mV: 1, V: 0.001, nV: 1_000_000 };

export type Samples = readonly (number | null)[];

/** What is drawn: values in millivolts where the unit is a voltage, else as they are. */
export type Trace = {
  lead: string;
  unit: string;
  /** Seconds between two samples. */
  step: number;
  samples: Samples;
  /** Where the line is at rest. */
  base: number;
};

/** Leads on paper, one below the other, in one column or several. */
export type Paper = {
  pxPerSecond: number;
  /** Traces of a column. */
  rows: number;
  /** Pixels of a column, with the names of its leads. */
  column: number;
  /** Pixels of a small box: 1 mm. */
  box: number;
  /** Pixels of a unit of each trace. */
  pxPerUnit: number[];
  lane: number;
  width: number;
  height: number;
};

/** A caliper: two points of one trace. */
export type Caliper = {
  id: number;
  trace: number;
  /** Seconds. */
  from: number;
  to: number;
  /** Values of the trace. */
  low: number;
  high: number;
};

/** The value that as many samples are above as below. */
export function middleOf(samples: Samples): number {
  const sorted = samples.filter((one) => one !== null).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** How far a line goes from where it is at rest. */
export function reachOf({ samples, base }: Trace): number {
  return samples.reduce<number>((most, one) => Math.max(most, Math.abs((one ?? base) - base)), 0);
}

/** A channel in millivolts, where its unit is a voltage. */
export function traceOf(lead: string, unit: string, step: number, samples: Samples): Trace {
  const per = PER_MV[unit];
  const inMv = per ? samples.map((one) => (one === null ? null : one / per)) : samples;
  return { lead, unit: per ? "mV" : unit, step, samples: inMv, base: middleOf(inMv) };
}

/** Paper for traces: at `speed` mm/s, or with all seconds in the width when that is null.

Where all seconds fit into the width, the boxes stay those of the paper: 5 mm are 0.2 s. */
export function paperOf(
  traces: Trace[],
  seconds: number,
  { speed, gain, width }: { speed: number | null; gain: number; width: number },
): Paper {
  const room = Math.max(120, width - GUTTER);
  const pxPerSecond = speed === null ? room / seconds : speed * MM;
  const box = speed === null ? pxPerSecond / 25 : MM;
  const perMv = gain * Math.max(box, 1.5);
  const volts = traces.filter((trace) => trace.unit === "mV").map(reachOf);
  const needed = 2 * Math.max(0.8, ...volts) * perMv + 2 * MM;
  const lane = Math.round(Math.min(90 * MM, Math.max(20 * MM, needed)));
  const pxPerUnit = traces.map((trace) =>
    trace.unit === "mV" ? perMv : (lane * 0.45) / Math.max(reachOf(trace), 1e-9),
  );
  const column = GUTTER + pxPerSecond * seconds;
  const fits = Math.max(1, Math.min(4, Math.floor(width / column)));
  const columns = [4, 3, 2].find((one) => one <= fits && traces.length % one === 0 && traces.length > one) ?? 1;
  const rows = traces.length / columns;
  return { pxPerSecond, rows, column, box, pxPerUnit, lane, width: column * columns, height: lane * rows };
}

/** Left end of the paper of a trace, and the upper end of its lane. */
export const leftOf = (paper: Paper, at: number) => GUTTER + paper.column * Math.floor(at / paper.rows);
export const topOf = (paper: Paper, at: number) => paper.lane * (at % paper.rows);

export const xOf = (paper: Paper, at: number, seconds: number) => leftOf(paper, at) + seconds * paper.pxPerSecond;
export const secondsOf = (paper: Paper, at: number, x: number) => (x - leftOf(paper, at)) / paper.pxPerSecond;
/** The trace at a place; the nearest one outside of the paper. */
export function laneOf(paper: Paper, x: number, y: number, traces: number): number {
  const most = Math.ceil(traces / paper.rows) - 1;
  const column = Math.min(most, Math.max(0, Math.floor(x / paper.column)));
  const row = Math.min(paper.rows - 1, Math.max(0, Math.floor(y / paper.lane)));
  return Math.min(traces - 1, column * paper.rows + row);
}
export const yOf = (paper: Paper, trace: Trace, at: number, value: number) =>
  topOf(paper, at) + paper.lane / 2 - (value - trace.base) * (paper.pxPerUnit[at] ?? 1);
export const valueOf = (paper: Paper, trace: Trace, at: number, y: number) =>
  trace.base + (topOf(paper, at) + paper.lane / 2 - y) / (paper.pxPerUnit[at] ?? 1);

/** What a caliper measures: milliseconds, beats in a minute if it spans one beat, and height. */
export function measured({ from, to, low, high }: Caliper): { ms: number; bpm: number | null; height: number } {
  const ms = Math.abs(to - from) * 1000;
  return { ms, bpm: ms >= 1 ? 60_000 / ms : null, height: Math.abs(high - low) };
}

/** How far the tip of a caliper looks for the top of a wave. */
export const SNAP = 0.06;

/** The highest or lowest point near a time, and its value: the top of the wave that is there. */
export function snapped({ samples, step, base }: Trace, seconds: number, within = SNAP): [number, number] {
  const first = Math.max(0, Math.ceil((seconds - within) / step));
  const last = Math.min(samples.length - 1, Math.floor((seconds + within) / step));
  let best: [number, number] = [seconds, base];
  let far = -1;
  for (let at = first; at <= last; at++) {
    const value = samples[at];
    if (value === null || value === undefined) continue;
    if (Math.abs(value - base) > far) {
      far = Math.abs(value - base);
      best = [at * step, value];
    }
  }
  return best;
}

/** A caliper moved by seconds and value: all of it, or only one end; it stays on the trace. */
export function moved(
  caliper: Caliper,
  which: "from" | "to" | "all",
  seconds: number,
  value: number,
  end: number,
): Caliper {
  const low = Math.min(caliper.from, caliper.to);
  const high = Math.max(caliper.from, caliper.to);
  const kept = (at: number) => Math.min(end, Math.max(0, at));
  if (which === "from") return { ...caliper, from: kept(caliper.from + seconds), low: caliper.low + value };
  if (which === "to") return { ...caliper, to: kept(caliper.to + seconds), high: caliper.high + value };
  const by = Math.min(end - high, Math.max(-low, seconds));
  return {
    ...caliper,
    from: caliper.from + by,
    to: caliper.to + by,
    low: caliper.low + value,
    high: caliper.high + value,
  };
}
