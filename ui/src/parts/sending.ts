/** Files on their way to the service: one after the other, each with what became of it. */

import { useRef, useState } from "react";
import { Refused, send } from "../api/client.ts";
import type { Converted, FactsTaken } from "../api/schema.ts";

export type Kind = "convert" | "facts";
/** What the service says of a file. */
export type Brought = { convert?: Converted; facts?: FactsTaken };
export type Sent = {
  id: number;
  file: File;
  state: "waiting" | "sending" | "reading" | "done" | "refused";
  fraction: number;
  said?: Brought;
  problem?: Refused;
};
/** `mapping`: its name, and what it says. */
export type How = { kind: Kind; source: string; issuer: string; mapping: { name: string; text: string } };

const LONGEST = 120;

/** A name that the service takes: letters, digits, dots, hyphens; its ending stays. */
export function plainName(name: string): string {
  const plain = name.normalize("NFC").replace(/[^\p{L}\p{N}_.-]+/gu, "_").replace(/^\.+/, "");
  return plain.slice(-LONGEST) || "file";
}

/** The name under which a mapping file is kept, after that of the file. */
export function mappingName(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/\.ya?ml$/, "")
    .replace(/[^a-z0-9_-]+/g, "-")
    .replace(/^[-_]+/, "");
  return plain.slice(0, 32) || "mapping";
}

/** Whether a file is a mapping rather than something to be brought in. */
export function isMapping(name: string): boolean {
  return /\.ya?ml$/i.test(name);
}

/** What a file most likely is, by its ending; nothing where both could be. */
export function kindOf(name: string): Kind | undefined {
  if (/\.(xml|scp|ecg|nii|nii\.gz|xlsx)$/i.test(name)) return "convert";
  if (/\.(json|ndjson|jsonl|hl7|oru|txt)(\.gz)?$/i.test(name)) return "facts";
  return undefined;
}

const READS: [string, RegExp][] = [
  ["ecg", /\.(xml|scp|ecg)$/i],
  ["labels", /\.(csv|tsv|xlsx)$/i],
  ["masks", /\.(nii|nii\.gz)$/i],
];

/** Whether a mapping is for a file: one that names a converter is not sent along with others' files. */
export function isFor(mapping: string, name: string): boolean {
  const named = /^converter:\s*["']?(\w+)/m.exec(mapping)?.[1];
  const reads = READS.find(([, ending]) => ending.test(name))?.[0];
  return named === undefined || reads === undefined || named === reads;
}

export function useSending() {
  const [files, setFiles] = useState<Sent[]>([]);
  const [busy, setBusy] = useState(false);
  const next = useRef(0);
  const change = (id: number, what: Partial<Sent>) =>
    setFiles((now) => now.map((one) => (one.id === id ? { ...one, ...what } : one)));
  const add = (more: File[]) =>
    setFiles((now) => [
      ...now,
      ...more.map((file): Sent => ({ id: next.current++, file, state: "waiting", fraction: 0 })),
    ]);
  const drop = (id: number) => setFiles((now) => now.filter((one) => one.id !== id));
  const clear = () => setFiles((now) => now.filter(({ state }) => state === "waiting"));
  const go = async ({ kind, source, issuer, mapping }: How) => {
    setBusy(true);
    for (const { id, file, state } of files) {
      if (state !== "waiting" && state !== "refused") continue;
      change(id, { state: "sending", fraction: 0, problem: undefined, said: undefined } as Partial<Sent>);
      const asked = { query: { source, name: plainName(file.name), issuer, mapping: isFor(mapping.text, file.name) ? mapping.name : "" } };
      const told = (fraction: number) => change(id, { fraction, state: fraction < 1 ? "sending" : "reading" });
      try {
        const said: Brought =
          kind === "convert"
            ? { convert: await send("POST /api/convert/files", asked, file, told) }
            : { facts: await send("POST /api/facts", asked, file, told) };
        change(id, { state: "done", fraction: 1, said });
      } catch (error) {
        change(id, { state: "refused", problem: error instanceof Refused ? error : new Refused(0, "") });
      }
    }
    setBusy(false);
  };
  return { files, busy, add, drop, clear, go };
}
