/** Erasing a patient: what would go, typing the PatientID once more, and the proof. */

import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { call, Refused } from "../api/client.ts";
import type { ErasurePreview, ErasureProof } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { Trouble } from "./states.tsx";

export function ErasePart() {
  const { t, n } = useTexts();
  const [patient, setPatient] = useState("");
  const [issuer, setIssuer] = useState("");
  const [study, setStudy] = useState("");
  const [typed, setTyped] = useState("");
  const [shown, setShown] = useState<ErasurePreview | null>(null);
  const [proof, setProof] = useState<ErasureProof | null>(null);
  const [trouble, setTrouble] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const whom = { PatientID: patient.trim(), issuer: issuer.trim() || null, study: study.trim() || null };
  const changed = (set: (value: string) => void) => (event: { currentTarget: { value: string } }) => {
    set(event.currentTarget.value);
    setShown(null);
    setProof(null);
    setTyped("");
  };
  const during = async (work: () => Promise<void>) => {
    setBusy(true);
    setTrouble(null);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setTrouble(error);
    } finally {
      setBusy(false);
    }
  };
  const look = () => during(async () => setShown(await call("POST /api/erasures/preview", { body: whom })));
  const erase = () =>
    during(async () => {
      setProof(await call("POST /api/erasures", { body: { ...whom, confirm: typed } }));
      setShown(null);
      setTyped("");
    });
  return (
    <section aria-labelledby="erase">
      <h2 id="erase">{t("erase.title")}</h2>
      <p className="hint">{t("erase.about")}</p>
      <div className="filters">
        <TextInput size="xs" label={t("erase.id")} autoComplete="off" value={patient} onChange={changed(setPatient)} />
        <TextInput size="xs" label={t("erase.issuer")} autoComplete="off" value={issuer} onChange={changed(setIssuer)} />
        <TextInput size="xs" label={t("erase.study")} autoComplete="off" value={study} onChange={changed(setStudy)} />
        <Button size="xs" variant="default" disabled={!whom.PatientID} loading={busy && !shown} onClick={() => void look()}>
          {t("erase.look")}
        </Button>
      </div>
      {trouble && <Trouble error={trouble} />}
      {shown && (
        <div role="status">
          <p>{t("erase.goes", { series: n(shown.series), studies: n(shown.studies), instances: n(shown.instances) })}</p>
          <ul>
            {shown.erased && <li>{t("erase.before", { when: shown.erased })}</li>}
            {Object.entries(shown.sources).map(([name, count]) => (
              <li key={name}>{t("erase.sources", { n: n(Number(count)), name })}</li>
            ))}
            {shown.questions.map((name) => (
              <li key={name}>{t("erase.named", { name })}</li>
            ))}
            {shown.exports.map((one) => (
              <li key={one["name"]}>{t("erase.export", { name: one["name"] ?? "" })}</li>
            ))}
          </ul>
          <div className="filters">
            <TextInput
              size="xs"
              label={t("erase.confirm")}
              autoComplete="off"
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
            />
            <Button
              size="xs"
              color="red"
              leftSection={<Icon name="warn" />}
              disabled={typed !== whom.PatientID}
              loading={busy}
              onClick={() => void erase()}
            >
              {t("erase.do")}
            </Button>
          </div>
        </div>
      )}
      {proof && (
        <p className={`chain ${proof.whole ? "is-good" : "is-bad"}`} role="status">
          <Icon name={proof.whole ? "check" : "warn"} />
          <span>{t(proof.whole ? "erase.whole" : "erase.left", { files: n(Number(proof.swept["files"] ?? 0)), id: proof.id })}</span>
        </p>
      )}
    </section>
  );
}
