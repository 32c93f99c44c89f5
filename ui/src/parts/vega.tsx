/** Draws a Vega-Lite specification with rows of the lake; nothing is loaded, nothing is evaluated. */

import { useEffect, useRef, useState } from "react";
import { type Loader, parse, View } from "vega";
import { expressionInterpreter } from "vega-interpreter";
import { compile, type Config, type TopLevelSpec } from "vega-lite";
import type { How } from "../query/filters.ts";
import { useTexts } from "../texts.tsx";

const refuse = () => Promise.reject(new Error("Nothing is loaded from elsewhere."));
const NOWHERE: Loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };

/** A colour between two, both as #rrggbb or #rgb. */
function mixed(first: string, second: string): string {
  const [one, other] = [first, second].map((said) => (said.length < 7 ? said.replace(/[\da-f]/gi, "$&$&") : said)) as [string, string];
  const parts = [1, 3, 5].map((at) => Math.round((parseInt(one.slice(at, at + 2), 16) + parseInt(other.slice(at, at + 2), 16)) / 2));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function look(box: HTMLElement): Config {
  const style = getComputedStyle(box);
  const of = (name: string) => style.getPropertyValue(name).trim();
  const colours = [0, 1, 2, 3, 4, 5, 6].map((n) => of(`--c${n}`));
  const words = { labelColor: of("--ink-soft"), titleColor: of("--ink-soft"), titleFontWeight: 500 as const };
  return {
    background: "transparent",
    padding: { left: 4, top: 6, right: 14, bottom: 4 },
    font: style.fontFamily,
    view: { stroke: "transparent" },
    axis: { ...words, domainColor: of("--line-strong"), gridColor: of("--line"), tickColor: of("--line"), labelLimit: 150 },
    legend: words,
    header: words,
    title: { color: of("--ink"), fontSize: 13, anchor: "start" },
    mark: { color: of("--c0"), tooltip: true },
    text: { color: of("--ink") },
    rule: { color: of("--ink-soft") },
    range: {
      category: [...colours, ...colours.map((colour) => mixed(colour, of("--panel")))],
      heatmap: [of("--accent-soft"), of("--c0")],
      ramp: [of("--accent-soft"), of("--c0")],
    },
  };
}

export type Rows = { fields: string[]; rows: unknown[][] };

export default function Vega({
  spec,
  data,
  label,
  height = 260,
  pick,
}: {
  spec: Record<string, unknown>;
  data: Rows;
  label: string;
  height?: number;
  /** A mark of these values was pressed. */
  pick?: (datum: Record<string, unknown>, how: How) => void;
}) {
  const act = useRef(pick);
  act.current = pick;
  const { t } = useTexts();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [said, setSaid] = useState<{ bad: boolean; text: string } | null>(null);
  useEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const [scheme, setScheme] = useState(document.documentElement.dataset["mantineColorScheme"]);
  useEffect(() => {
    const watch = new MutationObserver(() => setScheme(document.documentElement.dataset["mantineColorScheme"]));
    watch.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    const at = box.current;
    if (!at || width === 0) return;
    const notes: string[] = [];
    const logger = {
      level: () => logger,
      error: (...words: readonly unknown[]) => (notes.push(words.join(" ")), logger),
      warn: (...words: readonly unknown[]) => (notes.push(words.join(" ")), logger),
      info: () => logger,
      debug: () => logger,
    };
    let view: View | undefined;
    const fail = (error: unknown) => setSaid({ bad: true, text: error instanceof Error ? error.message : String(error) });
    try {
      const values = data.rows.map((row) => Object.fromEntries(data.fields.map((name, place) => [name, row[place]])));
      const single = "mark" in spec || "layer" in spec;
      const whole = {
        ...(single ? { width, height: height - 10, autosize: { type: "fit", contains: "padding" } } : {}),
        ...spec,
        data: { values },
      } as unknown as TopLevelSpec;
      const compiled = compile(whole, { config: look(at), logger: logger as never });
      view = new View(parse(compiled.spec, undefined, { ast: true }), {
        expr: expressionInterpreter,
        renderer: "svg",
        container: at,
        loader: NOWHERE,
        logger: logger as never,
        hover: true,
      });
      setSaid(null);
      view.addEventListener("click", (event, item) => {
        const datum: unknown = item?.datum;
        const mouse = event as unknown as MouseEvent;
        const how = mouse.altKey ? "not" : mouse.shiftKey ? "also" : "only";
        if (datum && typeof datum === "object") act.current?.(datum as Record<string, unknown>, how);
      });
      void view.runAsync().then(() => {
        if (notes.length) setSaid({ bad: false, text: notes[0]! });
      }, fail);
    } catch (error) {
      fail(error);
    }
    return () => {
      view?.finalize();
      at.replaceChildren();
    };
  }, [spec, data, width, height, scheme]);
  return (
    <>
      {said && <p className={said.bad ? "trouble" : "chart-hint"} role={said.bad ? "alert" : "status"}>{t("own.vega", { why: said.text })}</p>}
      <div className="plot vega" ref={box} style={{ minHeight: height }} aria-label={label} />
    </>
  );
}
