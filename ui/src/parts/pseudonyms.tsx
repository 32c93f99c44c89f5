/** Which pseudonyms patients have, and whose they are: a dialog for who may know. */

import { Button, Modal, SegmentedControl, TextInput, Textarea } from "@mantine/core";
import { useState } from "react";
import { call, Refused } from "../api/client.ts";
import type { PersonOut } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import { Trouble } from "./states.tsx";

export function Pseudonyms({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useTexts();
  const [way, setWay] = useState<"to" | "back">("back");
  const [text, setText] = useState("");
  const [issuer, setIssuer] = useState("");
  const [name, setName] = useState("");
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState<PersonOut[]>([]);
  const [problem, setProblem] = useState<Refused | null>(null);
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const ask = async () => {
    setBusy(true);
    try {
      setFound(
        way === "back"
          ? await call("POST /api/pseudonyms/back", { body: { pseudonyms: lines, name: name.trim() } })
          : await call("POST /api/pseudonyms", {
              body: {
                people: lines.map((line) => ({ PatientID: line, IssuerOfPatientID: issuer.trim() })),
                name: name.trim(),
              },
            }),
      );
      setProblem(null);
    } catch (error) {
      setFound([]);
      setProblem(error instanceof Refused ? error : new Refused(0, ""));
    } finally {
      setBusy(false);
    }
  };
  const turn = (to: string) => {
    setWay(to as "to" | "back");
    setText("");
    setFound([]);
    setProblem(null);
  };
  const leave = () => {
    turn("back");
    onClose();
  };
  return (
    <Modal opened={opened} onClose={leave} title={t("pseudonyms.title")} closeButtonProps={{ "aria-label": t("pseudonyms.close") }}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <SegmentedControl
          fullWidth
          value={way}
          onChange={turn}
          data={[
            { value: "back", label: t("pseudonyms.back") },
            { value: "to", label: t("pseudonyms.to") },
          ]}
        />
        <Textarea
          label={t(way === "back" ? "pseudonyms.given" : "pseudonyms.ids")}
          description={t("pseudonyms.lines")}
          autosize
          minRows={2}
          maxRows={8}
          spellCheck={false}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          data-autofocus
        />
        {way === "to" && (
          <TextInput label={t("pseudonyms.issuer")} value={issuer} onChange={(event) => setIssuer(event.currentTarget.value)} />
        )}
        <TextInput
          label={t("pseudonyms.name")}
          description={t("pseudonyms.name.about")}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <p className="hint">{t("pseudonyms.audit")}</p>
        <Button type="submit" loading={busy} disabled={!lines.length || lines.length > 1000}>
          {t("pseudonyms.go")}
        </Button>
        {problem && <Trouble error={problem} />}
        {found.length > 0 && (
          <table className="facts" aria-label={t("pseudonyms.title")}>
            <thead>
              <tr>
                <th scope="col">{t("pseudonyms.pseudonym")}</th>
                <th scope="col">PatientID</th>
              </tr>
            </thead>
            <tbody>
              {found.map((one, place) => (
                <tr key={place}>
                  <td className="mono">{one.pseudonym}</td>
                  <td className="mono">
                    {one.PatientID === null ? t("pseudonyms.nobody") : [one.PatientID, one.IssuerOfPatientID].filter(Boolean).join(" · ")}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </form>
    </Modal>
  );
}
