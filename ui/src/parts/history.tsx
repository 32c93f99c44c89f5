/** All studies of a patient along a line: what, when, and how many days lie between. */

import { useEffect, useRef } from "react";
import type { StudyOut } from "../api/schema.ts";
import { Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";

export function History({ study }: { study: StudyOut }) {
  const { t, n } = useTexts();
  const box = useRef<HTMLOListElement>(null);
  useEffect(() => {
    box.current?.querySelector('[aria-current="true"]')?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [study.StudyInstanceUID]);
  const whole = (
    <Link className="history-whole" href={`/patients/${study.patient.patient_key}`}>
      {t("history.open")}
    </Link>
  );
  if (study.others.length === 0) return whole;
  const all = [{ ...study, days: 0 as number | null }, ...study.others].sort((a, b) =>
    `${a.StudyDate ?? "9"}${a.StudyTime ?? ""}`.localeCompare(`${b.StudyDate ?? "9"}${b.StudyTime ?? ""}`),
  );
  return (
    <nav aria-label={t("study.history")} className="history">
      <ol ref={box}>
        {all.map((one, at) => {
          const before = all[at - 1];
          const gap =
            before && before.days !== null && one.days !== null && before.days !== undefined
              ? one.days - before.days
              : null;
          const here = one.StudyInstanceUID === study.StudyInstanceUID;
          return (
            <li key={one.StudyInstanceUID}>
              {at > 0 && (
                <span className="history-gap" style={{ minWidth: `${20 + Math.min(90, Math.sqrt(gap ?? 0) * 3)}px` }}>
                  {gap === null ? "?" : t("study.days", { n: n(gap) })}
                </span>
              )}
              <Link
                href={`/studies/${one.StudyInstanceUID}`}
                aria-current={here ? "true" : undefined}
                title={[
                  one.StudyDescription,
                  one.days !== null && one.days !== 0 && t(one.days < 0 ? "study.before" : "study.after", { n: n(Math.abs(one.days)) }),
                ]
                  .filter(Boolean)
                  .join(" · ")}
              >
                <span>
                  {(one.modalities ?? []).slice(0, 3).map((modality) => (
                    <b key={modality}>{modality}</b>
                  ))}
                </span>
                <time dateTime={one.StudyDate ?? ""}>{one.StudyDate ?? "–"}</time>
              </Link>
            </li>
          );
        })}
      </ol>
      {whole}
    </nav>
  );
}
