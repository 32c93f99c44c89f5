/** What the application says, in the language of the person. */

import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import de from "./texts/de.json";
import en from "./texts/en.json";

export type Key = keyof typeof en;
export type Language = "en" | "de";
const TEXTS: Record<Language, Record<Key, string>> = { en, de };
const STORED = "dicomlake.language";

export type Said = {
  language: Language;
  setLanguage: (language: Language) => void;
  /** A text, with what stands in braces filled in. */
  t: (key: Key, values?: Record<string, string | number>) => string;
  /** What something of the service is called, where there is a text for it. */
  called: (key: string, otherwise: string) => string;
  /** A number as people write it. */
  n: (value: number | null | undefined, digits?: number) => string;
  /** A date with time. */
  when: (value: string | number | null | undefined) => string;
};

const Context = createContext<Said | null>(null);

function preferred(): Language {
  const kept = localStorage.getItem(STORED);
  if (kept === "en" || kept === "de") return kept;
  return navigator.language.startsWith("de") ? "de" : "en";
}

export function Texts({ children }: { children: ReactNode }) {
  const [language, set] = useState<Language>(preferred);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const said = useMemo<Said>(() => {
    const dates = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
    return {
      language,
      setLanguage: (next) => {
        localStorage.setItem(STORED, next);
        set(next);
      },
      t: (key, values = {}) =>
        (TEXTS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name: string) =>
          String(values[name] ?? ""),
        ),
      called: (key, otherwise) =>
        (TEXTS[language] as Partial<Record<string, string>>)[key] ?? otherwise,
      n: (value, digits = 0) =>
        value === null || value === undefined
          ? "–"
          : new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value),
      when: (value) => {
        if (value === null || value === undefined || value === "") return "–";
        const date = typeof value === "number" ? new Date(value * 1000) : new Date(value);
        return Number.isNaN(date.getTime()) ? String(value) : dates.format(date);
      },
    };
  }, [language]);
  return <Context.Provider value={said}>{children}</Context.Provider>;
}

export function useTexts(): Said {
  const found = useContext(Context);
  if (!found) throw new Error("Texts is not around");
  return found;
}
