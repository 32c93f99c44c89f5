/** OMOP: a cohort or the lake as tables, made beside other work, with their files. */

import { Button, Checkbox, NumberInput, Select } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { DatasetChoices, OmopOut } from "../api/schema.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Trouble } from "./states.tsx";

const IDENTIFIED = "identified";
const LIST = "GET /api/omop";

export function Omop({ choices }: { choices: DatasetChoices }) {
  const { t } = useTexts();
  const client = useQueryClient();
  const cohorts = useAnswer("GET /api/cohorts");
  const made = useAnswer(LIST, {}, { every: 3000 });
  const [cohort, setCohort] = useState("");
  const [pseudonyms, setPseudonyms] = useState<string | null>(choices.pseudonyms[0] ?? null);
  const [form, setForm] = useState("parquet");
  const [notes, setNotes] = useState(false);
  const [year, setYear] = useState<number | null>(null);
  const [problem, setProblem] = useState<Refused | null>(null);
  const whole = choices.identified || !choices.needs_approval;
  const listed = cohorts.data?.map((one) => `${one.name}@${one.version}`) ?? [];
  const names = choices.identified ? [...choices.pseudonyms, IDENTIFIED] : choices.pseudonyms;
  const act = async (what: () => Promise<unknown>) => {
    try {
      await what();
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await client.invalidateQueries({ queryKey: [LIST] });
  };
  const begin = () =>
    act(() => {
      const identified = pseudonyms === IDENTIFIED;
      const body = { cohort, pseudonyms: pseudonyms ?? "", form, notes: identified && notes, year_of_birth: year };
      return call("POST /api/omop", { body });
    });
  return (
    <section aria-label="OMOP">
      <h2>OMOP</h2>
      <p className="hint">{t("omop.about")}</p>
      <form
        className="card dataset-new"
        aria-label={t("omop.new")}
        onSubmit={(event) => {
          event.preventDefault();
          void begin();
        }}
      >
        <div className="dataset-fields">
          <Select
            label={t("datasets.cohort")}
            data={[...(whole ? [{ value: "", label: t("omop.whole") }] : []), ...listed.map((one) => ({ value: one, label: one }))]}
            value={cohort}
            onChange={(next) => setCohort(next ?? "")}
          />
          <Select
            label={t("datasets.pseudonyms")}
            data={names.map((one) => ({ value: one, label: one === IDENTIFIED ? t("datasets.identified") : one }))}
            value={pseudonyms}
            onChange={setPseudonyms}
          />
          <Select
            label={t("omop.form")}
            data={["parquet", "csv"]}
            value={form}
            allowDeselect={false}
            onChange={(next) => setForm(next ?? "parquet")}
          />
          <NumberInput
            label={t("omop.year")}
            placeholder={t("omop.year.none")}
            min={1850}
            max={2100}
            value={year ?? ""}
            onChange={(next) => setYear(typeof next === "number" ? next : null)}
          />
        </div>
        {pseudonyms === IDENTIFIED && (
          <>
            <Checkbox label={t("omop.notes")} checked={notes} onChange={(event) => setNotes(event.currentTarget.checked)} />
            <p className="note">{t("datasets.identified.note")}</p>
          </>
        )}
        {problem && <Trouble error={problem} />}
        <footer>
          <Button type="submit" disabled={pseudonyms === null || (!whole && !cohort)}>
            {t("omop.begin")}
          </Button>
        </footer>
      </form>
      {made.error && <Trouble error={made.error} again={() => void made.refetch()} />}
      {made.data?.map((one) => (
        <Made
          key={one.id}
          one={one}
          remove={() => void act(() => call("DELETE /api/omop/{id}", { params: { id: one.id } }))}
        />
      ))}
    </section>
  );
}

function Made({ one, remove }: { one: OmopOut; remove: () => void }) {
  const { t, n, when } = useTexts();
  const running = one.state === "running";
  const left = Object.entries(one.left_out).filter(([, count]) => count > 0);
  return (
    <article className="card enricher dataset" aria-label={`OMOP ${when(one.began)}`}>
      <header>
        <h3>{one.cohort || t("omop.whole")}</h3>
        <span className={`state-badge ${running ? "is-busy" : ""}`}>{t(`omop.state.${one.state}` as Key)}</span>
      </header>
      <p className="hint">
        {when(one.began)} · {one.pseudonyms === IDENTIFIED ? t("datasets.identified") : one.pseudonyms}
        {running && ` · ${one.stage} · ${t("omop.rows", { n: n(one.rows) })}`}
      </p>
      {one.why && <p className="note">{one.why}</p>}
      {left.map(([what, count]) => (
        <p key={what} className="note">
          {t(`omop.left.${what}` as Key, { n: n(count) })}
        </p>
      ))}
      {one.unmapped > 0 && <p className="hint">{t("omop.unmapped", { n: n(one.unmapped), codes: n(one.codes) })}</p>}
      {one.files.length > 0 && (
        <table className="facts">
          <thead>
            <tr>
              <th>{t("omop.table")}</th>
              <th className="right">{t("omop.rows.head")}</th>
            </tr>
          </thead>
          <tbody>
            {one.files.map((file) => (
              <tr key={file.name}>
                <td>
                  <a href={`/api/omop/${one.id}/files/${file.name}`} download={file.name}>
                    {file.table}
                  </a>
                </td>
                <td className="right">{n(file.rows)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <footer>
        <Button variant="default" color="red" onClick={remove}>
          {t(running ? "datasets.cancel" : "omop.remove")}
        </Button>
      </footer>
    </article>
  );
}
