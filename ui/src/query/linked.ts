/** The question that linked charts share: it stands in the address, as on the page for asking. */

import { useCallback, useEffect, useState } from "react";
import { call, Refused } from "../api/client.ts";
import type { Totals } from "../api/schema.ts";
import { go, useAddress } from "../route.tsx";
import { type Condition, type Level, LEVELS } from "./condition.ts";
import { fromText } from "./question.ts";

export const COUNTED = ["patients", "studies", "series", "instances"] as const;
export type Counted = keyof Totals;
const LONGEST = 1500;

/** Conditions by what addresses say of them, so that going back needs no service. */
const known = new Map<string, Condition | null>([["", null]]);

/** Changes come one after the other, however fast somebody clicks. */
let turn = Promise.resolve();

export type Linked = {
  where: Condition | null;
  /** Of what the question finds series. */
  level: Level;
  /** What charts count. */
  count: Counted;
  reading: boolean;
  problem: Refused | null;
  change: (how: (now: Condition | null) => Condition | null) => void;
  setLevel: (level: Level) => void;
  setCount: (count: Counted) => void;
  /** The address of another page with the same question. */
  to: (page: string) => string;
};

const said = (query: URLSearchParams) => (query.has("link") ? `link ${query.get("link")}` : (query.get("q") ?? "").trim());

export function useLinked(): Linked {
  const { query } = useAddress();
  const key = said(query);
  const level = LEVELS.find((one) => one === query.get("level")) ?? "series";
  const count = COUNTED.find((one) => one === query.get("count")) ?? "studies";
  const [, redraw] = useState(0);
  const [problem, setProblem] = useState<Refused | null>(null);
  const reading = !known.has(key) && !problem;

  useEffect(() => {
    setProblem(null);
    if (known.has(key)) return;
    const stop = new AbortController();
    const read = async () => {
      try {
        known.set(key, await opened(new URLSearchParams(location.search), stop.signal));
        redraw((n) => n + 1);
      } catch (error) {
        if (!stop.signal.aborted) setProblem(error instanceof Refused ? error : new Refused(422, String(error)));
      }
    };
    void read();
    return () => stop.abort();
  }, [key]);

  const where = known.get(key) ?? null;
  const change = useCallback((how: (now: Condition | null) => Condition | null) => {
    const act = async () => {
      const before = new URLSearchParams(location.search);
      const next = how(known.get(said(before)) ?? null);
      const found = await written(next);
      const now = new URLSearchParams(location.search);
      now.delete("q");
      now.delete("link");
      if (found) now.set(...found);
      known.set(said(now), next);
      if (/^\/(charts|activity|dose)\b/.test(location.pathname)) go(address(location.pathname, now)); // not after leaving
    };
    turn = turn.then(act).catch((error: unknown) => {
      setProblem(error instanceof Refused ? error : new Refused(422, String(error)));
    });
  }, []);
  const set = (name: string, value: string) => {
    const now = new URLSearchParams(location.search);
    now.set(name, value);
    go(address(location.pathname, now));
  };
  return {
    where,
    level,
    count,
    reading,
    problem,
    change,
    setLevel: (next) => set("level", next),
    setCount: (next) => set("count", next),
    to: (page) => {
      const kept = new URLSearchParams();
      for (const name of page === "/ask" ? ["q", "link"] : ["q", "link", "level", "count"]) {
        const value = query.get(name);
        if (value) kept.set(name, value);
      }
      if (page === "/ask") kept.set("level", level);
      return address(page, kept);
    },
  };
}

function address(page: string, query: URLSearchParams): string {
  const text = query.toString();
  return text ? `${page}?${text}` : page;
}

async function opened(query: URLSearchParams, signal: AbortSignal): Promise<Condition | null> {
  const link = query.get("link");
  if (!link) return (await fromText(query.get("q") ?? "", signal)).where;
  const found = (await call("GET /api/permalink", { query: { link }, signal })).query.where;
  return typeof found === "string" ? (await fromText(found, signal)).where : ((found ?? null) as Condition | null);
}

/** What stands in the address: the question as text, or a short name of a long one. */
async function written(where: Condition | null): Promise<[string, string] | null> {
  if (!where) return null;
  const parsed = await call("POST /api/query/parse", { body: { json: { where, level: "series" } } });
  const text = parsed.text.replace(/\s+level (patient|study|series|instance)$/, "");
  if (text.length <= LONGEST) return ["q", text];
  const made = await call("POST /api/permalink", { body: { where, level: "series" } });
  return ["link", made.id];
}
