/** A study over several sites: its text, the sites, and the table of what each of them has. */

import { Button, Textarea } from "@mantine/core";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { StudyTable } from "../api/schema.ts";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { useTexts } from "../texts.tsx";

const EXAMPLE = `name = "heart"
purpose = ""
level = "patient"
by = ["sex"]

[sections]
"CT" = "Modality = 'CT'"
"CT and ECG" = "Modality = 'CT' and Modality = 'ECG'"
`;

export default function FederationPage() {
  const { t, n } = useTexts();
  const [text, setText] = useState(EXAMPLE);
  const [table, setTable] = useState<StudyTable | null>(null);
  const [trouble, setTrouble] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const here = useAnswer("GET /api/federation");
  const ask = async () => {
    setBusy(true);
    setTrouble(null);
    try {
      setTable(await call("POST /api/federation/ask", { body: { text } }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setTrouble(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.federation")}</h1>
      </div>
      {here.error && <Trouble error={here.error} again={() => void here.refetch()} />}
      {!here.data && !here.error && <Loading />}
      {here.data && here.data.sites.length === 0 && <Message title={t("federation.none")} text={t("federation.none.do")} />}
      {here.data && here.data.sites.length > 0 && (
        <>
          <p>
            {t("federation.sites")}: <b>{here.data.sites.join(", ")}</b>
          </p>
          <Textarea
            label={t("federation.study")}
            autosize
            minRows={8}
            maxRows={24}
            spellCheck={false}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          <div className="filters">
            <Button size="xs" loading={busy} disabled={!text.trim()} onClick={() => void ask()}>
              {t("federation.ask")}
            </Button>
            <span className="hint">{t("federation.least", { n: n(here.data.least) })}</span>
          </div>
        </>
      )}
      {trouble && <Trouble error={trouble} />}
      {table && <Answered table={table} />}
    </div>
  );
}

function Answered({ table }: { table: StudyTable }) {
  const { t } = useTexts();
  return (
    <div className="wide" role="status">
      <table className="facts">
        <thead>
          <tr>
            <th scope="col">{t("federation.what")}</th>
            {table.sites.map((site) => (
              <th scope="col" key={site}>
                {site}
              </th>
            ))}
            <th scope="col">{t("federation.all")}</th>
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row) => (
            <tr key={`${row.section} ${row.by} ${row.group}`}>
              <th scope="row">{row.group ? `${row.section} · ${row.group}` : row.section}</th>
              {row.cells.map((cell, place) => (
                <td key={table.sites[place]}>{cell}</td>
              ))}
              <td>{row.total}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {Object.entries(table.away).map(([name, why]) => (
        <p key={name}>{t("federation.away", { name, why })}</p>
      ))}
    </div>
  );
}
