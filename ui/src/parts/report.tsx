/** The content of a report as a tree: to read, to search, to fold up, with its codes. */

import { Button, Switch } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { useTexts } from "../texts.tsx";
import { Search } from "./header.tsx";
import { Icon } from "./icon.tsx";
import { textOf } from "./results.tsx";

export type Item = Record<string, unknown> & { children?: Item[] };

/** The first of some values that an item has, as text. */
export function said(item: Item, ...names: string[]): string {
  for (const key of names) {
    const value = item[key];
    if (value !== null && value !== undefined && value !== "") {
      if (typeof value === "object" && !Array.isArray(value))
        return textOf((value as { meaning?: unknown }).meaning ?? value);
      return textOf(value);
    }
  }
  return "";
}

const conceptOf = (item: Item) => said(item, "concept_meaning", "concept", "ConceptName", "name");

/** Whether an item or something below it says anything. */
const speaks = (item: Item): boolean => conceptOf(item) !== "" || (item.children ?? []).some(speaks);

function valueOf(item: Item, n: (value: number, digits?: number) => string): string {
  const number = item["number"] ?? item["numeric"];
  if (typeof number !== "number")
    return said(item, "value_meaning", "code_meaning", "code", "text", "value", "date", "moment", "uid", "person");
  const unit = said(item, "unit_value") || said(item, "unit").replace(/^UCUM:/, "");
  return `${n(number, 6)}${unit && unit !== "1" ? ` ${unit}` : ""}`;
}

/** The items that say a text, with what is around them. */
export function sifted(items: Item[], text: string): Item[] {
  return items.flatMap((item) => {
    const own = `${conceptOf(item)} ${said(item, "concept")} ${said(item, "code")} ${valueOf(item, String)}`;
    if (own.toLowerCase().includes(text)) return [item];
    const children = sifted(item.children ?? [], text);
    return children.length ? [{ ...item, children }] : [];
  });
}

export function ReportTree({ items }: { items: Item[] }) {
  const { t } = useTexts();
  const [typed, setTyped] = useState("");
  const [sought] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const [codes, setCodes] = useState(false);
  const [folds, setFolds] = useState({ open: true, turn: 0 });
  const speaking = useMemo(() => items.filter(speaks), [items]);
  const shown = useMemo(() => (sought ? sifted(speaking, sought) : speaking), [speaking, sought]);
  return (
    <>
      <div className="header-ways">
        <Search value={typed} set={setTyped} label={t("report.search")} />
        <Switch
          size="xs"
          label={t("report.codes")}
          checked={codes}
          onChange={(event) => setCodes(event.currentTarget.checked)}
        />
        <Button
          variant="subtle"
          color="gray"
          size="compact-xs"
          onClick={() => setFolds({ open: !folds.open, turn: folds.turn + 1 })}
        >
          {t(folds.open ? "report.fold" : "report.unfold")}
        </Button>
      </div>
      <ul className="report" key={`${folds.turn}.${sought}`}>
        {shown.map((item, at) => (
          <ReportItem key={at} item={item} depth={0} open={folds.open || sought !== ""} codes={codes} />
        ))}
      </ul>
      {shown.length === 0 && <p className="hint">{t("header.none")}</p>}
    </>
  );
}

function ReportItem({ item, depth, open: first, codes }: { item: Item; depth: number; open: boolean; codes: boolean }) {
  const { t, n } = useTexts();
  const children = (item.children ?? []).filter(speaks);
  const [open, setOpen] = useState(first || depth === 0);
  const concept = conceptOf(item);
  const value = valueOf(item, n);
  const code = [said(item, "concept"), said(item, "code") || said(item, "unit")].filter(Boolean);
  return (
    <li>
      <div className={said(item, "value_type") === "CONTAINER" ? "report-title" : "report-line"}>
        <span className="report-concept">
          {children.length > 0 && (
            <button
              type="button"
              className="plain fold"
              aria-expanded={open}
              aria-label={t(open ? "vocabulary.close" : "vocabulary.open", { term: concept })}
              onClick={() => setOpen(!open)}
            >
              <Icon name={open ? "down" : "right"} size={12} />
            </button>
          )}
          {concept}
          {codes && code[0] && <code>{code[0]}</code>}
        </span>
        {(value || (codes && code[1])) && (
          <span className="report-value">
            {value}
            {codes && code[1] && <code>{code[1]}</code>}
          </span>
        )}
      </div>
      {open && children.length > 0 && (
        <ul>
          {children.map((inner, at) => (
            <ReportItem key={at} item={inner} depth={depth + 1} open={first} codes={codes} />
          ))}
        </ul>
      )}
    </li>
  );
}
