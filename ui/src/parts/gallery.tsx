/** What was found as pictures, drawn only where one looks. */

import { useElementSize, useMergedRef } from "@mantine/hooks";
import { useRef } from "react";
import type { AnswerOut } from "../api/schema.ts";
import { Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { Picture } from "./picture.tsx";
import { type Body, textOf, usePages } from "./results.tsx";
import { useLong } from "./virtual.ts";

const CARD = 168;
const TALL = 212;

export function Gallery({ first, body }: { first: AnswerOut; body: Body }) {
  const { t, n } = useTexts();
  const scroll = useRef<HTMLDivElement>(null);
  const size = useElementSize<HTMLDivElement>();
  const box = useMergedRef(scroll, size.ref);
  const across = Math.max(1, Math.floor((size.width - 28) / CARD));
  const long = useLong(scroll, Math.ceil(first.total / across), TALL);
  const cards = long.rows.flatMap(({ index, top }) =>
    Array.from({ length: across }, (_, at) => ({ index: index * across + at, top, at })).filter(
      (card) => card.index < first.total,
    ),
  );
  const rowAt = usePages(first, body, cards.map((card) => card.index));
  const width = (size.width - 28) / across;
  return (
    <div className="gallery" ref={box} tabIndex={0} role="list" aria-label={t("results.gallery")}>
      <div style={{ height: long.height, position: "relative" }}>
        {cards.map(({ index, top, at }) => {
          const row = rowAt(index);
          const cell = (path: string) => {
            const place = first.columns.findIndex((column) => column.path === path);
            return row && place >= 0 ? textOf(row[place]) : "";
          };
          const study = cell("StudyInstanceUID");
          const series = cell("SeriesInstanceUID");
          const sop = cell("SOPInstanceUID");
          const path = `/dicom-web/studies/${study}${series ? `/series/${series}` : ""}${sop ? `/instances/${sop}` : ""}/thumbnail`;
          const pictured = Boolean(sop || series ? cell("Rows") : study);
          const label = cell("Modality") || cell("ModalitiesInStudy") || "?";
          const about = [cell("Modality") || cell("ModalitiesInStudy"), cell("StudyDate")].filter(Boolean).join(" · ");
          const title = cell("SeriesDescription") || cell("StudyDescription") || cell("PatientID") || t("study.unnamed");
          return (
            <div
              role="listitem"
              key={index}
              className="gallery-card"
              style={{ transform: `translate(${14 + at * width}px, ${top}px)`, width: width - 10, height: TALL - 10 }}
            >
              {row && study && (
                <Link
                  href={`/studies/${study}${series ? `?series=${series}` : ""}`}
                  title={[title, about, cell("PatientID")].filter(Boolean).join("\n")}
                >
                  <span className="gallery-picture">
                    {pictured ? <Picture path={path} label={label} /> : <span className="no-picture">{label}</span>}
                  </span>
                  <b>{title}</b>
                  <small>{about}</small>
                  <span className="visually-hidden">{n(index + 1)}</span>
                </Link>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
