/** What was outlined and measured in a study: segments with volumes, numbers with units. */

import type { Measurement, SegmentOut } from "../api/schema.ts";
import { Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";

export function Segments({ study, rows, series }: { study: string; rows: SegmentOut[]; series?: string }) {
  const { t, n } = useTexts();
  return (
    <div className="wide">
      <table className="facts">
        <thead>
          <tr>
            <th className="right">#</th>
            <th>{t("segment.label")}</th>
            <th>{t("segment.type")}</th>
            <th className="right">{t("segment.volume")}</th>
            <th>{t("segment.made")}</th>
            <th className="right">{t("segment.frames")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one, at) => (
            <tr key={at}>
              <td className="right">{one.number}</td>
              <td>
                {one.SeriesInstanceUID === series || !one.SeriesInstanceUID ? (
                  one.label
                ) : (
                  <Link href={`/studies/${study}?series=${one.SeriesInstanceUID}`}>{one.label || one.type}</Link>
                )}
              </td>
              <td>{[one.type, one.laterality].filter(Boolean).join(", ")}</td>
              <td className="right" title={one.volume_problem || undefined}>
                {one.volume === null ? "–" : `${n(one.volume, 1)} mL`}
              </td>
              <td>{[one.algorithm_type.toLowerCase(), one.algorithm_name].filter(Boolean).join(" · ")}</td>
              <td className="right">{n(one.frames ?? one.contours)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Measurements({ study, rows }: { study: string; rows: Measurement[] }) {
  const { t, n } = useTexts();
  return (
    <table className="facts">
      <thead>
        <tr>
          <th>{t("measured.what")}</th>
          <th className="right">{t("header.value")}</th>
          <th>{t("measured.where")}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((one, at) => (
          <tr key={at}>
            <td title={one.code}>{one.concept || one.code}</td>
            <td className="right">
              {n(one.number, 3)} <small>{one.unit}</small>
            </td>
            <td>
              {[one.site, one.tracking].filter(Boolean).join(" · ")}{" "}
              <Link href={`/studies/${study}?series=${one.SeriesInstanceUID ?? ""}`}>{one.Modality}</Link>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
