/** The series of a cohort with pictures: look, and decide with one key. */

import { Button, Modal, NativeSelect, TextInput } from "@mantine/core";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { SeriesRow } from "../api/schema.ts";
import { useAsked } from "../pages/cohorts.tsx";
import { go, Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { Picture } from "./picture.tsx";
import { Loading, Message, Trouble } from "./states.tsx";

const PAGE = 50;
type What = "include" | "exclude" | "flag" | "comment";

/** What a key decides about a row: the flag of a digit, 0 for none. */
export function decisionOf(key: string): { what: What; flag: string } | null {
  if (key === "i") return { what: "include", flag: "" };
  if (key === "x") return { what: "exclude", flag: "" };
  if (key === "c") return { what: "comment", flag: "" };
  if (/^[0-9]$/.test(key)) return { what: "flag", flag: key === "0" ? "" : key };
  return null;
}

export function Curation({ name, version, curate }: { name: string; version: number | undefined; curate: boolean }) {
  const { t, n } = useTexts();
  const again = useAsked();
  const [state, setState] = useState("");
  const [flag, setFlag] = useState("");
  const [offset, setOffset] = useState(0);
  const [at, setAt] = useState(0);
  const [asking, setAsking] = useState<{ what: What; row: SeriesRow; level: string } | null>(null);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const body = useRef<HTMLTableSectionElement>(null);
  const moved = useRef(false);
  const found = useAnswer(
    "GET /api/cohorts/{name}/series",
    { params: { name }, query: { version, state, flag, offset, limit: PAGE } },
    { keep: true },
  );
  const rows = found.data?.rows ?? [];
  const here = Math.min(at, Math.max(rows.length - 1, 0));
  useEffect(() => {
    if (moved.current) body.current?.querySelectorAll("tr")[here]?.focus();
    moved.current = false;
  }, [here]);
  const move = (to: number) => {
    moved.current = true;
    setAt(Math.max(0, Math.min(rows.length - 1, to)));
  };
  const send = async (what: What, row: SeriesRow, said: { reason?: string; flag?: string; level?: string }) => {
    const level = said.level ?? "series";
    const of = [level === "patient" ? row.PatientID : level === "study" ? row.StudyInstanceUID : row.SeriesInstanceUID];
    try {
      await call("POST /api/cohorts/{name}/decisions", {
        params: { name },
        body: { what, of, level, reason: said.reason ?? "", flag: said.flag ?? "" },
      });
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await again();
  };
  const pressed = (event: KeyboardEvent) => {
    if (asking || event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).closest("a, button, input, select")) return;
    const row = rows[here];
    const steps: Record<string, number> = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1 };
    const to = steps[event.key];
    const decided = decisionOf(event.key);
    if (to !== undefined) move(to);
    else if (event.key === "Enter" && row?.here) go(address(row));
    else if (decided && row && curate) {
      if (decided.what === "exclude" || decided.what === "comment") setAsking({ what: decided.what, row, level: "series" });
      else {
        void send(decided.what, row, { flag: decided.flag });
        if (decided.what === "include") move(here + 1);
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const { states, flags, total } = found.data;
  const set = (change: () => void) => {
    change();
    setOffset(0);
    setAt(0);
  };
  return (
    <>
      <div className="cohort-form">
        <NativeSelect
          label={t("curate.state")}
          value={state}
          data={[
            { value: "", label: t("curate.all") },
            ...(["included", "excluded", "withdrawn"] as const).map((one) => ({
              value: one,
              label: `${t(`curate.${one}`)} (${n(states[one] ?? 0)})`,
            })),
          ]}
          onChange={(event) => {
            const next = event.currentTarget.value;
            set(() => setState(next));
          }}
        />
        {Object.keys(flags).length > 0 && (
          <NativeSelect
            label={t("curate.flag")}
            value={flag}
            data={[{ value: "", label: t("curate.all") }, ...Object.keys(flags).sort().map((one) => ({ value: one, label: `${one} (${n(flags[one])})` }))]}
            onChange={(event) => {
              const next = event.currentTarget.value;
              set(() => setFlag(next));
            }}
          />
        )}
        {curate && (
          <p className="hint curate-keys" id="curate-keys">
            <kbd>i</kbd> {t("log.include")} <kbd>x</kbd> {t("log.exclude")} <kbd>1</kbd>–<kbd>9</kbd> {t("log.flag")} <kbd>0</kbd>{" "}
            {t("curate.unflag")} <kbd>c</kbd> {t("log.comment")} <kbd>↑</kbd> <kbd>↓</kbd> <kbd>Enter</kbd>
          </p>
        )}
      </div>
      {problem && <Trouble error={problem} />}
      {total === 0 && <Message title={t("curate.nothing")} />}
      {total > 0 && (
        <table className="facts curation" onKeyDown={pressed} aria-describedby={curate ? "curate-keys" : undefined}>
          <thead>
            <tr>
              <th>{t("curate.picture")}</th>
              <th>{t("level.series")}</th>
              <th>{t("curate.patient")}</th>
              <th className="right">{t("level.instances")}</th>
              <th>{t("curate.state")}</th>
              <th>{t("split.name")}</th>
              <th>
                <span className="visually-hidden">{t("row.more")}</span>
              </th>
            </tr>
          </thead>
          <tbody ref={body}>
            {rows.map((row, place) => (
              <tr
                key={row.SeriesInstanceUID}
                tabIndex={place === here ? 0 : -1}
                data-here={place === here}
                className={`is-${row.state}`}
                onFocus={() => setAt(place)}
                onClick={() => setAt(place)}
              >
                <td className="curation-picture">
                  {row.pictured ? (
                    <Picture
                      path={`/dicom-web/studies/${row.StudyInstanceUID}/series/${row.SeriesInstanceUID}/thumbnail`}
                      label={row.Modality}
                    />
                  ) : (
                    <span className="no-picture">{row.Modality}</span>
                  )}
                </td>
                <td>
                  {row.here ? <Link href={address(row)}>{row.SeriesDescription || row.Modality || "–"}</Link> : t("curate.gone")}
                  <br />
                  <small>{[row.Modality, row.StudyDescription, row.StudyDate].filter(Boolean).join(" · ")}</small>
                </td>
                <td>{row.PatientID}</td>
                <td className="right">{n(row.instances)}</td>
                <td>
                  {t(`curate.${row.state}`)} {row.flag && <kbd>{row.flag}</kbd>}
                  {row.reason && (
                    <>
                      <br />
                      <small>{row.reason}</small>
                    </>
                  )}
                </td>
                <td>{[row.split, row.fold !== null && t("split.fold.n", { n: row.fold })].filter(Boolean).join(", ")}</td>
                <td className="right">
                  {curate && row.state === "included" && (
                    <Button
                      variant="subtle"
                      size="compact-xs"
                      aria-label={`${t("log.exclude")}: ${row.SeriesDescription || row.Modality}`}
                      onClick={() => setAsking({ what: "exclude", row, level: "series" })}
                    >
                      {t("log.exclude")}
                    </Button>
                  )}
                  {curate && row.state === "excluded" && (
                    <Button
                      variant="subtle"
                      size="compact-xs"
                      aria-label={`${t("log.include")}: ${row.SeriesDescription || row.Modality}`}
                      onClick={() => void send("include", row, {})}
                    >
                      {t("log.include")}
                    </Button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {total > PAGE && (
        <nav className="cohort-pages" aria-label={t("curate.pages")}>
          <Button variant="default" disabled={offset === 0} onClick={() => setOffset(Math.max(0, offset - PAGE))}>
            {t("curate.before")}
          </Button>
          <span>{t("curate.page", { first: n(offset + 1), last: n(Math.min(offset + PAGE, total)), total: n(total) })}</span>
          <Button variant="default" disabled={offset + PAGE >= total} onClick={() => setOffset(offset + PAGE)}>
            {t("curate.after")}
          </Button>
        </nav>
      )}
      <Modal
        opened={asking !== null}
        onClose={() => setAsking(null)}
        title={asking ? t(`log.${asking.what}`) : ""}
        centered
        returnFocus
      >
        {asking && (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              const { what, row, level } = asking;
              setAsking(null);
              void send(what, row, { reason, level }).then(() => move(here + (state ? 0 : 1)));
            }}
          >
            <TextInput
              label={t("cohorts.reason")}
              value={reason}
              data-autofocus
              onFocus={(event) => event.currentTarget.select()}
              onChange={(event) => setReason(event.currentTarget.value)}
            />
            <NativeSelect
              mt="sm"
              label={t("curate.level")}
              value={asking.level}
              data={(["series", "study", "patient"] as const).map((value) => ({ value, label: t(`curate.level.${value}`) }))}
              onChange={(event) => setAsking({ ...asking, level: event.currentTarget.value })}
            />
            <Button type="submit" mt="md" disabled={!reason.trim()}>
              {t(`log.${asking.what}`)}
            </Button>
          </form>
        )}
      </Modal>
    </>
  );
}

function address(row: SeriesRow): string {
  return `/studies/${row.StudyInstanceUID}?series=${row.SeriesInstanceUID}`;
}
