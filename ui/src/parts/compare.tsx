/** Two objects side by side: where their headers differ. */

import { NativeSelect, Switch } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { Difference, HeaderNode, SeriesHead } from "../api/schema.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Search } from "./header.tsx";
import { textOf } from "./results.tsx";
import { Loading, Trouble } from "./states.tsx";

type Row = Omit<Difference, "change"> & { change: Difference["change"] | "same" };

/** Every element of a header by its place, as /api/compare names places. */
export function flat(nodes: HeaderNode[], around: string[] = []): Row[] {
  return nodes.flatMap((node) => {
    const place = [...around, node.tag + node.creator];
    const { path, name, tag, creator, vr, values } = node;
    const row: Row = { place: place.join(" "), path, name, tag, creator, vr, change: "same", a: values, b: values };
    return [row, ...node.items.flatMap((item, at) => flat(item, [...place, String(at + 1)]))];
  });
}

/** All elements of a header with those in which another one differs, in order. */
export function merged(header: HeaderNode[], differences: Difference[]): Row[] {
  const by = new Map<string, Row>(flat(header).map((row) => [row.place, row]));
  for (const one of differences) by.set(one.place, one);
  return [...by.values()].sort((x, y) => (x.place < y.place ? -1 : x.place > y.place ? 1 : 0));
}

export function Compare({ sop, here, series }: { sop: string; here: SeriesHead; series: SeriesHead[] }) {
  const { t, n } = useTexts();
  const [other, setOther] = useState(here.SeriesInstanceUID ?? "");
  const [picked, setPicked] = useState("");
  const [typed, setTyped] = useState("");
  const [sought] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const [only, setOnly] = useState(true);
  const objects = useAnswer(
    "GET /api/series/{SeriesInstanceUID}",
    { params: { SeriesInstanceUID: other }, query: { limit: 1000 } },
    { enabled: other !== "" },
  );
  const choices = (objects.data?.page ?? []).filter((one) => one.SOPInstanceUID !== sop);
  const b = choices.find((one) => one.SOPInstanceUID === picked)?.SOPInstanceUID ?? choices[0]?.SOPInstanceUID ?? "";
  const found = useAnswer("GET /api/compare", { query: { a: sop, b } }, { enabled: b !== "", keep: true });
  const header = useAnswer(
    "GET /api/instances/{SOPInstanceUID}/header",
    { params: { SOPInstanceUID: sop } },
    { enabled: !only },
  );
  const rows = useMemo(() => {
    const differences = found.data?.differences ?? [];
    const all: Row[] = only || !header.data ? differences : merged(header.data.tree, differences);
    return all.filter((row) =>
      `${row.place} ${row.path} ${row.name} ${textOf(row.a)} ${textOf(row.b)}`.toLowerCase().includes(sought),
    );
  }, [found.data, header.data, only, sought]);
  return (
    <>
      <div className="header-ways compare-ways">
        <NativeSelect
          label={t("compare.series")}
          value={other}
          onChange={(event) => {
            setOther(event.currentTarget.value);
            setPicked("");
          }}
          data={series.map((one) => ({
            value: one.SeriesInstanceUID ?? "",
            label: [one.SeriesNumber !== null && `#${one.SeriesNumber}`, one.Modality, one.SeriesDescription]
              .filter(Boolean)
              .join(" "),
          }))}
        />
        <NativeSelect
          label={t("compare.object")}
          value={b}
          disabled={choices.length === 0}
          onChange={(event) => setPicked(event.currentTarget.value)}
          data={choices.map((one, at) => ({
            value: one.SOPInstanceUID ?? "",
            label: t("compare.instance", { n: n(one.InstanceNumber ?? at + 1) }),
          }))}
        />
        <Search value={typed} set={setTyped} />
        <Switch
          size="xs"
          label={t("compare.only")}
          checked={only}
          onChange={(event) => setOnly(event.currentTarget.checked)}
        />
      </div>
      {found.error && <Trouble error={found.error} />}
      {objects.error && <Trouble error={objects.error} />}
      {objects.data && choices.length === 0 && <p className="hint">{t("compare.alone")}</p>}
      {b !== "" && !found.data && !found.error && <Loading />}
      {b !== "" && found.data && (
        <>
          <p className="hint" role="status">
            {t("compare.found", { n: n(found.data.differences.length), same: n(found.data.same) })}
          </p>
          <table className="facts compare">
            <thead>
              <tr>
                <th>{t("header.tag")}</th>
                <th>{t("header.name")}</th>
                <th>{t("compare.a")}</th>
                <th>{t("compare.b")}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.place} className={`is-${row.change}`}>
                  <td className="mono" title={row.path} style={{ paddingInlineStart: 8 + 14 * depthOf(row.place) }}>
                    {row.tag}
                  </td>
                  <td>
                    {row.name || row.path}
                    {row.creator && <span className="creator">{row.creator}</span>}
                    {row.change !== "same" && <small> {t(`compare.${row.change}` as Key)}</small>}
                  </td>
                  <td className="side-a">{row.a === null ? "" : textOf(row.a)}</td>
                  <td className="side-b">{row.b === null ? "" : textOf(row.b)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}

/** How many items are around an element. */
const depthOf = (place: string) => (place.match(/ \d+(?= \()/g) ?? []).length;
