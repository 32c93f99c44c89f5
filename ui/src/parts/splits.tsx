/** Splits of a cohort, made and checked for what leaks. */

import { Button, NativeSelect, NumberInput, TextInput } from "@mantine/core";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { CohortDetails } from "../api/schema.ts";
import { useAsked } from "../pages/cohorts.tsx";
import { useTexts } from "../texts.tsx";
import { Loading, Trouble } from "./states.tsx";

const BY = ["patient", "site", "device", "model", "source", "date"] as const;

/** Pairs as people write them: train=0.7, test=0.3. */
export function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    if (at > 0) found[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return found;
}

/** Which kind of split the pairs are: shares where all of them are numbers, else values or days. */
export function specOf(by: string, text: string): Record<string, unknown> {
  const found = pairs(text);
  const numbers = Object.entries(found).map(([name, value]) => [name, Number(value)] as const);
  if (numbers.every(([name, value]) => found[name] !== "" && Number.isFinite(value))) {
    return { by, fractions: Object.fromEntries(numbers) };
  }
  return by === "date" ? { by, dates: found } : { by, values: found };
}

export function Splits({ one, curate }: { one: CohortDetails; curate: boolean }) {
  const { t, n } = useTexts();
  return (
    <>
      {one.shares.length === 0 && <p className="hint">{t("split.none")}</p>}
      {one.shares.length > 0 && (
        <table className="facts">
          <thead>
            <tr>
              <th>{t("split.name")}</th>
              <th>{t("split.fold")}</th>
              <th className="right">{t("level.patients")}</th>
              <th className="right">{t("level.studies")}</th>
              <th className="right">{t("level.series")}</th>
            </tr>
          </thead>
          <tbody>
            {one.shares.map((share) => (
              <tr key={`${share.split} ${share.fold}`}>
                <td>{share.split ?? t("split.nowhere")}</td>
                <td>{share.fold ?? "–"}</td>
                <td className="right">{n(share.patients)}</td>
                <td className="right">{n(share.studies)}</td>
                <td className="right">{n(share.series)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {one.shares.length > 0 && <Leaks one={one} />}
      {curate && <NewSplit one={one} />}
    </>
  );
}

function Leaks({ one }: { one: CohortDetails }) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/cohorts/{name}/check", { params: { name: one.name }, query: { version: one.version, devices: true } });
  return (
    <section aria-label={t("split.check")}>
      <h3>{t("split.check")}</h3>
      {found.error && <Trouble error={found.error} />}
      {!found.data && !found.error && <Loading />}
      {found.data && !found.data.some((leak) => leak.level === "error") && (
        <p className="good">{t("split.clean")}</p>
      )}
      <ul className="leaks">
        {found.data?.map((leak) => (
          <li key={leak.of + leak.kind} className={leak.level === "error" ? "is-bad" : undefined}>
            <b>{t(`leak.${leak.level}`)}</b> {leak.message}
          </li>
        ))}
      </ul>
    </section>
  );
}

function NewSplit({ one }: { one: CohortDetails }) {
  const { t } = useTexts();
  const again = useAsked();
  const [by, setBy] = useState<string>("patient");
  const [into, setInto] = useState("train=0.7, val=0.1, test=0.2");
  const [stratify, setStratify] = useState("");
  const [folds, setFolds] = useState<string | number>(0);
  const [seed, setSeed] = useState<string | number>(0);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Refused | null>(null);
  const send = async () => {
    setBusy(true);
    try {
      const more = {
        stratify: stratify.split(",").map((part) => part.trim()).filter(Boolean),
        folds: Number(folds) || 0,
        seed: Number(seed) || 0,
      };
      await call("POST /api/cohorts/{name}/split", { params: { name: one.name }, body: { ...specOf(by, into), ...more } });
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    setBusy(false);
    await again();
  };
  return (
    <form
      className="cohort-form"
      aria-label={t("split.do")}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <NativeSelect
        label={t("split.by")}
        value={by}
        data={BY.map((value) => ({ value, label: t(`split.by.${value}`) }))}
        onChange={(event) => setBy(event.currentTarget.value)}
      />
      <TextInput
        label={t("split.into")}
        description={t(by === "date" ? "split.into.date" : by === "patient" ? "split.into.patient" : "split.into.value")}
        classNames={{ input: "code" }}
        value={into}
        onChange={(event) => setInto(event.currentTarget.value)}
      />
      <TextInput
        label={t("split.stratify")}
        description={t("split.stratify.about")}
        classNames={{ input: "code" }}
        value={stratify}
        onChange={(event) => setStratify(event.currentTarget.value)}
      />
      <NumberInput label={t("split.folds")} min={0} max={100} value={folds} onChange={setFolds} />
      <NumberInput label={t("split.seed")} value={seed} onChange={setSeed} />
      <Button type="submit" loading={busy}>
        {t("split.do")}
      </Button>
      {problem && <Trouble error={problem} />}
    </form>
  );
}
