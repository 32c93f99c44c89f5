/** The question that is being worked on: its tree, level, columns and order; with undo. */

import { useDebouncedValue } from "@mantine/hooks";
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import { call, Refused } from "../api/client.ts";
import { go, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { LEVELS, type Condition, type Level, type Query } from "./condition.ts";
import type { View } from "../parts/results.tsx";
import { remember } from "./remembered.ts";
import { conditionOf, type Group, group, mutedAt, treeOf, unmuted } from "./tree.ts";

/** `view`: how what was found is shown. */
export type Question = { tree: Group; level: Level; show: string[]; order: string[]; view: View };
type History = { past: Question[]; now: Question; future: Question[] };
type Action =
  | { do: "change"; change: (now: Question) => Question }
  | { do: "undo" }
  | { do: "redo" };

export const EMPTY: Question = { tree: group(), level: "study", show: [], order: [], view: "table" };
const MOST = 200;
/** Longer questions are kept by the service, and their link is a short name. */
const LONGEST = 1500;

function reduce({ past, now, future }: History, action: Action): History {
  if (action.do === "undo") {
    const before = past.at(-1);
    return before ? { past: past.slice(0, -1), now: before, future: [now, ...future] } : { past, now, future };
  }
  if (action.do === "redo") {
    const [next, ...rest] = future;
    return next ? { past: [...past, now], now: next, future: rest } : { past, now, future };
  }
  const next = action.change(now);
  return next === now ? { past, now, future } : { past: [...past, now].slice(-MOST), now: next, future: [] };
}

export type Working = {
  question: Question;
  where: Condition | null;
  change: (change: (now: Question) => Question) => void;
  undo?: () => void;
  redo?: () => void;
  /** As the service writes it; null while it is being read or cannot be. */
  text: string | null;
  sentence: string;
  problem: Refused | null;
  reading: boolean;
  /** Text of an address that cannot be read: nothing is asked until the question is changed. */
  unread: string | null;
};

const levelOf = (text: string | null): Level => LEVELS.find((level) => level === text) ?? EMPTY.level;
const viewOf = (text: string | null): View => (text === "gallery" || text === "timeline" ? text : "table");
const listOf = (text: string | null): string[] => (text ? (JSON.parse(text) as string[]) : []);

export function questionOf(query: Query, level: Level): Question {
  return {
    tree: treeOf(query.where),
    level: query.level ?? level,
    show: query.show ?? [],
    order: query.order ?? [],
    view: "table",
  };
}

function addressOf(question: Question, text: string, link: string, muted: string[]): string {
  const search = new URLSearchParams();
  if (link) search.set("link", link);
  else if (text) search.set("q", text);
  for (const place of muted) search.append("muted", place);
  if (question.level !== EMPTY.level) search.set("level", question.level);
  if (question.show.length) search.set("show", JSON.stringify(question.show));
  if (question.view !== EMPTY.view) search.set("view", question.view);
  if (question.order.length) search.set("order", JSON.stringify(question.order));
  const said = search.toString();
  return said ? `/ask?${said}` : "/";
}

/** The question of the address, which follows it as it changes. */
export function useQuestion(): Working {
  const [{ past, now, future }, act] = useReducer(reduce, { past: [], now: EMPTY, future: [] });
  const { whole, query } = useAddress();
  const { language } = useTexts();
  const [text, setText] = useState<string | null>(null);
  const [sentence, setSentence] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const [reading, setReading] = useState(true);
  const [unread, setUnread] = useState<string | null>(null);
  const written = useRef<string | null>(null);

  const change = useCallback((how: (now: Question) => Question) => {
    setUnread(null);
    act({ do: "change", change: how });
  }, []);

  // from the address: at the beginning, and by the browser's back and forward
  useEffect(() => {
    if (whole === written.current) return;
    if (whole !== location.pathname + location.search) return; // it has changed since
    const stop = new AbortController();
    const level = levelOf(query.get("level"));
    const read = async () => {
      setReading(true);
      try {
        const found = await fromAddress(query, stop.signal);
        act({
          do: "change",
          change: () => ({
            ...questionOf(found, level),
            tree: mutedAt(treeOf(found.where), query.getAll("muted")),
            level,
            show: listOf(query.get("show")),
            order: listOf(query.get("order")),
            view: viewOf(query.get("view")),
          }),
        });
        written.current = whole;
        setProblem(null);
        setUnread(null);
        setReading(false);
      } catch (error) {
        if (stop.signal.aborted) return;
        setUnread(query.get("q") ?? "");
        setProblem(error instanceof Refused ? error : new Refused(422, String(error)));
        setReading(false);
      }
    };
    void read();
    return () => stop.abort();
    // the address decides alone
    // eslint-disable-next-line
  }, [whole]);

  const where = useMemo(() => conditionOf(now.tree), [now.tree]);
  const [asked] = useDebouncedValue(JSON.stringify(where), 250);

  // to the address, and into words
  useEffect(() => {
    if (reading || unread !== null || JSON.stringify(where) !== asked) return;
    const stop = new AbortController();
    const write = async () => {
      try {
        const inWords = async (asked: Condition | null) => {
          const body = { json: { where: asked, level: now.level }, language };
          const parsed = await call("POST /api/query/parse", { body, signal: stop.signal });
          const only = asked ? parsed.text.replace(/\s+level (patient|study|series|instance)$/, "") : "";
          return { text: only, sentence: parsed.sentence };
        };
        const said = await inWords(where);
        setText(said.text);
        remember(said.text, now.level);
        setSentence(said.sentence);
        setProblem(null);
        // the link holds the whole question, and what of it is left out for now
        const { tree, places } = unmuted(now.tree);
        const all = places.length ? conditionOf(tree) : where;
        const allText = places.length ? (await inWords(all)).text : said.text;
        let link = "";
        if (allText.length > LONGEST) {
          const made = await call("POST /api/permalink", {
            body: { where: all, level: now.level },
            signal: stop.signal,
          });
          link = made.id;
        }
        if (stop.signal.aborted) return;
        const to = addressOf(now, allText, link, places);
        const first = written.current === null || to === written.current;
        written.current = to;
        go(to, { replace: first });
      } catch (error) {
        if (stop.signal.aborted) return;
        setText(null);
        setProblem(error instanceof Refused ? error : new Refused(422, String(error)));
      }
    };
    void write();
    return () => stop.abort();
  }, [asked, where, now, reading, unread, language]);

  return {
    question: now,
    where,
    change,
    ...(past.length > 1 ? { undo: () => act({ do: "undo" }) } : {}),
    ...(future.length ? { redo: () => act({ do: "redo" }) } : {}),
    text,
    sentence,
    problem,
    reading,
    unread,
  };
}

async function fromAddress(query: URLSearchParams, signal: AbortSignal): Promise<Query> {
  const link = query.get("link");
  if (link) {
    const found = await call("GET /api/permalink", { query: { link }, signal });
    const said = found.query.where;
    if (typeof said !== "string") return { where: (said ?? null) as Condition | null };
    return fromText(said, signal);
  }
  return fromText(query.get("q") ?? "", signal);
}

export async function fromText(text: string, signal?: AbortSignal): Promise<Query> {
  if (!text.trim()) return { where: null };
  const parsed = await call("POST /api/query/parse", {
    body: { text },
    ...(signal ? { signal } : {}),
  });
  return parsed.json as unknown as Query;
}
