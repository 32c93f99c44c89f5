/** Frames from the service: the one that is looked at first, then its neighbours, and kept. */

import { ask } from "../api/client.ts";
import type { ImageOut } from "../api/schema.ts";
import { type Stored, storedOf } from "./pixels.ts";

/** A frame: its values, or a picture where it is in colours. */
export type Frame = { stored: Stored } | { picture: ImageBitmap };

const NATIVE = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";
const MOST_BYTES = 600_000_000;
const AT_ONCE = 4;

export const keyOf = (image: Pick<ImageOut, "SOPInstanceUID" | "frame">) => `${image.SOPInstanceUID}/${image.frame}`;

/** The address of an instance. */
export const instanceOf = (study: string, series: string, sop: string) =>
  `/dicom-web/studies/${study}/series/${series}/instances/${sop}`;

async function fetched(base: string, image: ImageOut, signal: AbortSignal): Promise<Frame> {
  if (image.color) {
    const accept = image.lossy ? "image/jpeg" : "image/png";
    const answer = await ask("GET", `${base}/frames/${image.frame}/rendered`, {
      query: { accept, quality: image.lossy ? 95 : undefined },
      signal,
    });
    return { picture: await createImageBitmap(await answer.blob()) };
  }
  const answer = await ask("GET", `${base}/frames/${image.frame}`, { query: { accept: NATIVE }, signal });
  return { stored: storedOf(await answer.arrayBuffer(), image) };
}

const bytesOf = (frame: Frame) =>
  "stored" in frame ? frame.stored.byteLength : frame.picture.width * frame.picture.height * 4;

/** Frames of a series. `wants` says which are of interest, the most urgent first. */
export class Frames {
  readonly #base: (sop: string) => string;
  readonly #tell: () => void;
  readonly #kept = new Map<string, Frame>();
  readonly #asked = new Map<string, AbortController>();
  readonly #failed = new Map<string, unknown>();
  #wanted: ImageOut[] = [];
  #bytes = 0;

  /** `tell` is called whenever something came, or failed. */
  constructor(base: (sop: string) => string, tell: () => void) {
    this.#base = base;
    this.#tell = tell;
  }

  get(image: ImageOut): Frame | undefined {
    const key = keyOf(image);
    const found = this.#kept.get(key);
    if (found) {
      this.#kept.delete(key); // the one that was used last is given up last
      this.#kept.set(key, found);
    }
    return found;
  }

  error(image: ImageOut): unknown {
    return this.#failed.get(keyOf(image));
  }

  get count(): number {
    return this.#kept.size;
  }

  wants(images: ImageOut[]): void {
    const [urgent] = images;
    this.#wanted = images.filter((image) => !this.#kept.has(keyOf(image)) && !this.#failed.has(keyOf(image)));
    if (urgent && !this.#kept.has(keyOf(urgent)) && !this.#asked.has(keyOf(urgent)) && this.#asked.size >= AT_ONCE) {
      const wanted = new Set(this.#wanted.map(keyOf));
      const idle = [...this.#asked.keys()].find((key) => !wanted.has(key)) ?? [...this.#asked.keys()].pop();
      if (idle) this.#asked.get(idle)?.abort();
    }
    this.#next();
  }

  again(image: ImageOut): void {
    this.#failed.delete(keyOf(image));
    this.wants([image, ...this.#wanted]);
  }

  close(): void {
    this.#wanted = [];
    for (const stop of this.#asked.values()) stop.abort();
    this.#kept.clear();
    this.#bytes = 0;
  }

  #next(): void {
    while (this.#asked.size < AT_ONCE) {
      const image = this.#wanted.find((one) => !this.#asked.has(keyOf(one)));
      if (!image) return;
      this.#wanted = this.#wanted.filter((one) => one !== image);
      void this.#fetch(image);
    }
  }

  async #fetch(image: ImageOut): Promise<void> {
    const key = keyOf(image);
    const stop = new AbortController();
    this.#asked.set(key, stop);
    try {
      const frame = await fetched(this.#base(image.SOPInstanceUID), image, stop.signal);
      if (!stop.signal.aborted) this.#keep(key, frame);
    } catch (error) {
      if (!stop.signal.aborted) this.#failed.set(key, error);
    } finally {
      this.#asked.delete(key);
    }
    if (!stop.signal.aborted) this.#tell();
    this.#next();
  }

  #keep(key: string, frame: Frame): void {
    this.#kept.set(key, frame);
    this.#bytes += bytesOf(frame);
    for (const [old, one] of this.#kept) {
      if (this.#bytes <= MOST_BYTES || old === key) break;
      this.#kept.delete(old);
      this.#bytes -= bytesOf(one);
    }
  }
}

/** The order in which images are of interest: this one, the next, the one before, and so on. */
export function around<T>(images: readonly T[], at: number, reach: number, ahead = 1): T[] {
  const found = images[at] === undefined ? [] : [images[at]];
  for (let step = 1; step <= reach; step++)
    for (const place of [at + step * ahead, at - step * ahead]) {
      const one = images[place];
      if (one !== undefined) found.push(one);
    }
  return found;
}

/** Pixels of frames of a mask. */
export async function maskFrame(base: string, frame: number, bits: number, signal: AbortSignal): Promise<Uint8Array | Uint16Array> {
  const answer = await ask("GET", `${base}/frames/${frame}`, { query: { accept: NATIVE }, signal });
  const bytes = await answer.arrayBuffer();
  return bits === 16 ? new Uint16Array(bytes, 0, bytes.byteLength >> 1) : new Uint8Array(bytes);
}
