/** Radiation dose: how much there is, protocols and devices, patients, alarms, what stands out. */

import { Button, Checkbox, Menu, Modal, NumberInput, SegmentedControl, Select, Textarea } from "@mantine/core";
import { useState } from "react";
import "../charts.css";
import { call, download, Refused, useAnswer } from "../api/client.ts";
import { useMay } from "../parts/access.tsx";
import { Card, type Meaning } from "../parts/card.tsx";
import { Chips } from "../parts/chips.tsx";
import { type Box, Boxes, type Column, digits, type Dosed, inUnit, Listing, number, type Point, type Row, rowsOf, sheetOf, Sticks, text, useDose } from "../parts/doses.tsx";
import { Icon } from "../parts/icon.tsx";
import { Bars, Time } from "../parts/plots.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { useLinked } from "../query/linked.ts";
import { Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const TABS: [string, Key][] = [
  ["", "dose.overview"],
  ["protocols", "dose.protocols"],
  ["patients", "dose.patients"],
  ["alarms", "dose.alarms"],
  ["outliers", "dose.outliers"],
];
const KINDS = ["CT", "projection", "mammography", "radiopharmaceutical"];
const MOST_BOXES = 40;
const DAYS = 365;

export default function DosePage({ rest }: { rest: string[] }) {
  const { t } = useTexts();
  const may = useMay();
  const linked = useLinked();
  const [set, setSet] = useState("");
  const reads = may("read");
  const [tab = "", ...inner] = reads ? rest : [];
  const dosed = { linked, set };
  return (
    <div className="dashboards">
      <div className="dash-head">
        <div className="dash-line">
          <h1>{t("nav.dose")}</h1>
          <nav className="dash-tabs" aria-label={t("dose.tabs")}>
            {TABS.filter(([name]) => reads || name === "").map(([name, key]) => (
              <Link key={name} href={linked.to(name ? `/dose/${name}` : "/dose")} aria-current={name === tab ? "page" : undefined}>
                {t(key)}
              </Link>
            ))}
          </nav>
          <div className="dash-ways">
            {reads && <Ways dosed={dosed} setSet={setSet} />}
            <Link className="to-question" href={linked.to("/ask")}>
              {t("chart.open")}
            </Link>
          </div>
        </div>
        <div className="dash-filters">
          {linked.where ? <Chips where={linked.where} set={(where) => linked.change(() => where)} /> : <p className="hint">{t("dose.hint")}</p>}
        </div>
      </div>
      {linked.problem && <Trouble error={linked.problem} />}
      <div className="dash-body">
        {tab === "" && <Overview dosed={dosed} reads={reads} />}
        {tab === "protocols" && <Protocols dosed={dosed} />}
        {tab === "patients" && (inner[0] ? <History dosed={dosed} patient={inner[0]} /> : <Patients dosed={dosed} />)}
        {tab === "alarms" && <Alarms dosed={dosed} />}
        {tab === "outliers" && <Outliers dosed={dosed} />}
      </div>
    </div>
  );
}

/** Which factors, and the report. */
function Ways({ dosed, setSet }: { dosed: Dosed; setSet: (set: string) => void }) {
  const { t } = useTexts();
  const may = useMay();
  const [named, setNamed] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Refused | null>(null);
  const { rows, found } = useDose({ ...dosed, set: "" }, "factors");
  const sets = [...new Set(rows.map((row) => text(row, "set")))];
  const { linked, set } = dosed;
  const take = async (format: string) => {
    setBusy(true);
    setProblem(null);
    try {
      const query = {
        format,
        level: linked.level,
        ...(linked.where ? { where: JSON.stringify(linked.where) } : {}),
        ...(set ? { factor_set: set } : {}),
        ...(named ? { patients: true } : {}),
      };
      await download("GET", "/api/dose/report", { query }, `dose.${format}`);
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(0, ""));
    }
    setBusy(false);
  };
  return (
    <>
      {problem && <Trouble error={problem} />}
      <Select
        size="xs"
        className="chart-choice"
        aria-label={t("dose.set")}
        title={t("dose.set.hint")}
        allowDeselect={false}
        data={sets}
        value={set || (found.data?.factor_set ?? null)}
        onChange={(value) => value && setSet(value)}
      />
      <Menu position="bottom-end" closeOnItemClick={false}>
        <Menu.Target>
          <Button size="compact-sm" variant="light" loading={busy} leftSection={<Icon name="down_to" />}>
            {t("dose.report")}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {["html", "pdf", "xlsx"].map((form) => (
            <Menu.Item key={form} onClick={() => void take(form)}>
              {t(`dose.report.${form}` as Key)}
            </Menu.Item>
          ))}
          {may("release") && (
            <>
              <Menu.Divider />
              <Checkbox
                size="xs"
                className="dose-named"
                label={t("dose.report.patients")}
                checked={named}
                onChange={(event) => setNamed(event.currentTarget.checked)}
              />
            </>
          )}
        </Menu.Dropdown>
      </Menu>
    </>
  );
}

// Overview

function Overview({ dosed, reads }: { dosed: Dosed; reads: boolean }) {
  const { t, n } = useTexts();
  const { linked } = dosed;
  const asked = { where: linked.where, level: linked.level };
  const found = useAnswer("POST /api/dose/overview", { body: asked }, { keep: true, enabled: !linked.reading });
  const data = found.data;
  const kind = (name: string) => t(`dose.kind.${name}` as Key);
  const meaning: Meaning = {
    text: t("dose.explain", { name: t("dose.years") }),
    operation: "POST /api/dose/overview",
    asked,
    where: linked.where,
    level: linked.level,
    version: data?.version,
  };
  const dated = (data?.years ?? []).filter((row) => row.year !== null);
  return (
    <>
      {data && (
        <div className="totals dose-counts">
          {(["patients", "studies"] as const).map((one) => (
            <span className="total" key={one} data-count={one}>
              <b>{n(data.counts[one])}</b>
              <span>{t(`level.${one}`)}</span>
            </span>
          ))}
          {data.kinds.map((row) => (
            <span className="total" key={row.kind} data-count={row.kind}>
              <b>{n(row.studies)}</b>
              <span>{kind(row.kind)}</span>
            </span>
          ))}
        </div>
      )}
      <div className="charts">
        <Card
          title={t("dose.years")}
          found={found}
          meaning={meaning}
          wide
          sheet={sheetOf(
            [t("bin.year"), t("dose.kind"), t("level.studies")],
            dated.map((row) => [row.year, kind(row.kind), row.studies]),
          )}
        >
          <Time
            pieces={dated.map((row) => ({ step: `${row.year}-01-01`, split: row.kind, value: row.studies }))}
            bin="year"
            splits={KINDS}
            label={t("dose.years")}
            unit={t("level.studies")}
            range={null}
            named={(key) => kind(String(key))}
          />
        </Card>
        {reads && (
          <>
            <Totals dosed={dosed} />
            <Months dosed={dosed} />
            <Distributions dosed={dosed} />
            <Missing dosed={dosed} />
          </>
        )}
      </div>
    </>
  );
}

function Totals({ dosed }: { dosed: Dosed }) {
  const { t, n } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "totals");
  const quantity = (row: Row) => t(`dose.quantity.${text(row, "quantity")}` as Key);
  const said = (row: Row, name: string) => {
    const [value] = inUnit(number(row, name), text(row, "unit"));
    return n(value, digits(value));
  };
  const columns: Column[] = [
    { name: "quantity", head: t("dose.quantity"), shown: quantity },
    { name: "unit", head: t("dose.unit"), shown: (row) => inUnit(0, text(row, "unit"))[1] },
    { name: "studies", head: t("dose.studies"), right: true },
    { name: "patients", head: t("bring.whose"), right: true },
    { name: "median", head: t("dose.median"), right: true, shown: (row) => said(row, "median") },
    { name: "q1", head: t("dose.quartiles"), right: true, shown: (row) => `${said(row, "q1")} – ${said(row, "q3")}` },
    { name: "largest", head: t("dose.range"), right: true, shown: (row) => `${said(row, "smallest")} – ${said(row, "largest")}` },
    { name: "total", head: t("dose.sum"), right: true, shown: (row) => said(row, "total") },
  ];
  const sheet = sheetOf(
    ["quantity", "unit", "studies", "patients", "median", "q1", "q3", "smallest", "largest", "total"],
    rows.map((row) => [
      quantity(row),
      inUnit(0, text(row, "unit"))[1],
      number(row, "studies"),
      number(row, "patients"),
      ...["median", "q1", "q3", "smallest", "largest", "total"].map((name) => inUnit(number(row, name), text(row, "unit"))[0]),
    ]),
  );
  return (
    <Card title={t("dose.totals")} hint={t("dose.totals.hint", { set: found.data?.factor_set ?? "" })} found={found} meaning={meaning} sheet={sheet} wide>
      <Listing rows={rows} columns={columns} label={t("dose.totals")} />
    </Card>
  );
}

/** A choice among the quantities that rows have. */
function useQuantity(rows: Row[], first: string) {
  const { t } = useTexts();
  const [chosen, choose] = useState(first);
  const known = [...new Set(rows.map((row) => text(row, "quantity")))];
  const now = known.includes(chosen) ? chosen : (known[0] ?? chosen);
  const select = (
    <Select
      size="xs"
      className="chart-choice"
      aria-label={t("dose.quantity")}
      allowDeselect={false}
      data={known.map((value) => ({ value, label: t(`dose.quantity.${value}` as Key) }))}
      value={now}
      onChange={(value) => value && choose(value)}
    />
  );
  return { now, select, rows: rows.filter((row) => text(row, "quantity") === now) };
}

function Months({ dosed }: { dosed: Dosed }) {
  const { t, n } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "months");
  const chosen = useQuantity(rows, "DLP");
  const unit = inUnit(0, text(chosen.rows[0] ?? {}, "unit"))[1];
  const points: Point[] = chosen.rows.map((row) => {
    const [value] = inUnit(number(row, "median"), text(row, "unit"));
    const month = text(row, "month").slice(0, 7);
    return { key: month, when: month, value: value ?? 0, line: null, said: `${month}: ${n(value, digits(value))} ${unit}, n ${n(number(row, "studies"))}` };
  });
  const sheet = sheetOf(
    [t("dose.month"), `${t("dose.median")} [${unit}]`, t("level.studies")],
    chosen.rows.map((row, at) => [points[at]!.when, points[at]!.value, number(row, "studies")]),
  );
  return (
    <Card title={t("dose.months")} hint={t("dose.months.hint")} found={found} meaning={meaning} sheet={sheet} controls={chosen.select} wide>
      <Sticks points={points} label={t("dose.months")} unit={unit} />
    </Card>
  );
}

/** Rows with a spread as boxes. */
function useBoxes() {
  const { t, n } = useTexts();
  return (rows: Row[], labelOf: (row: Row) => string, more: (row: Row) => Partial<Box> = () => ({})): Box[] =>
    rows.map((row, at) => {
      const unit = text(row, "unit");
      const of = (name: string) => inUnit(number(row, name), unit)[0] ?? 0;
      const label = labelOf(row);
      const median = of("median");
      const said = t("dose.said", {
        label,
        median: n(median, digits(median)),
        unit: inUnit(0, unit)[1],
        q1: n(of("q1"), digits(of("q1"))),
        q3: n(of("q3"), digits(of("q3"))),
        n: n(number(row, "n")),
      });
      return {
        key: `${at} ${label}`,
        label,
        n: number(row, "n") ?? 0,
        low: of("smallest"),
        q1: of("q1"),
        median,
        q3: of("q3"),
        high: of("largest"),
        said,
        after: `${n(median, digits(median))} · n ${n(number(row, "n"))}`,
        ...more(row),
      };
    });
}

function Distributions({ dosed }: { dosed: Dosed }) {
  const { t } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "distributions");
  const chosen = useQuantity(rows, "CTDIvol");
  const boxes = useBoxes();
  const phantom = (row: Row) => (number(row, "phantom") ? `, ${t("dose.phantom", { cm: number(row, "phantom")! })}` : "");
  const label = (row: Row) => `${text(row, "standard_protocol") || t("dose.unnamed")}${phantom(row)}`;
  const unit = inUnit(0, text(chosen.rows[0] ?? {}, "unit"))[1];
  return (
    <Card
      title={t("dose.distributions")}
      hint={t("dose.distributions.hint")}
      found={found}
      meaning={meaning}
      controls={chosen.select}
      sheet={spreadSheet(chosen.rows, [[t("dose.protocol"), label]], t)}
      wide
    >
      <Boxes rows={boxes(chosen.rows.slice(0, MOST_BOXES), label)} label={t("dose.distributions")} unit={unit} />
    </Card>
  );
}

/** The numbers of boxes, with names before and more after them. */
function spreadSheet(
  rows: Row[],
  names: [string, (row: Row) => string][],
  t: (key: Key) => string,
  more: [string, (row: Row) => string | number | null][] = [],
) {
  const unit = inUnit(0, text(rows[0] ?? {}, "unit"))[1];
  const numbers = ["median", "q1", "q3", "smallest", "largest"];
  return sheetOf(
    [...names.map(([head]) => head), t("dose.n"), `${t("dose.median")} [${unit}]`, "q1", "q3", "min", "max", ...more.map(([head]) => head)],
    rows.map((row) => [
      ...names.map(([, of]) => of(row)),
      number(row, "n"),
      ...numbers.map((name) => inUnit(number(row, name), text(row, "unit"))[0]),
      ...more.map(([, of]) => of(row)),
    ]),
  );
}

function Missing({ dosed }: { dosed: Dosed }) {
  const { t } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "missing");
  const sheet = sheetOf(
    [t("dose.reason"), t("dose.of"), t("dose.n"), t("dose.whole")],
    rows.map((row) => [text(row, "what"), text(row, "of"), number(row, "n"), number(row, "whole")]),
  );
  return (
    <Card title={t("dose.missing")} hint={t("dose.missing.hint")} found={found} meaning={meaning} sheet={sheet} wide>
      <Bars
        rows={rows.map((row) => ({ key: text(row, "what"), label: text(row, "what"), value: number(row, "n") ?? 0 }))}
        label={t("dose.missing")}
        unit=""
      />
    </Card>
  );
}

// Protocols and devices

const TONES: Record<string, Box["tone"]> = { above: "above", "not above": "fine", "too few": "few", "no level": undefined };

function Protocols({ dosed }: { dosed: Dosed }) {
  return (
    <div className="charts">
      <Levels dosed={dosed} />
      <Trends dosed={dosed} />
      <Names dosed={dosed} />
    </div>
  );
}

function Levels({ dosed }: { dosed: Dosed }) {
  const { t, n } = useTexts();
  const [country, setCountry] = useState("");
  const { found, meaning, rows } = useDose(dosed, "levels", country ? { country } : {});
  const all = useDose(dosed, "levels").rows;
  const countries = [...new Set(all.map((row) => text(row, "country")).filter(Boolean))].sort();
  const chosen = useQuantity(rows, "CTDIvol");
  const boxes = useBoxes();
  const unit = inUnit(0, text(chosen.rows[0] ?? {}, "unit"))[1];
  const verdict = (row: Row) => t(`dose.verdict.${text(row, "verdict")}` as Key);
  const group = (row: Row) =>
    [
      text(row, "standard_protocol"),
      text(row, "group"),
      number(row, "phantom") ? t("dose.phantom", { cm: number(row, "phantom")! }) : "",
      [text(row, "country"), text(row, "indication")].filter(Boolean).join(" "),
    ]
      .filter(Boolean)
      .join(" · ");
  const sorted = [...chosen.rows].sort((a, b) => group(a).localeCompare(group(b)) || text(a, "device").localeCompare(text(b, "device")));
  const level = (row: Row) => inUnit(number(row, "level"), text(row, "unit"))[0];
  const drawn = boxes(
    sorted.filter((row) => number(row, "median") !== null).slice(0, MOST_BOXES),
    (row) => text(row, "device"),
    (row) => ({
      group: group(row),
      mark: level(row),
      tone: TONES[text(row, "verdict")],
      after: `n ${n(number(row, "n"))} · ${verdict(row)}`,
    }),
  ).map((box) => ({ ...box, said: `${box.group}, ${box.said}, ${box.after}${box.mark ? `, ${t("dose.level")} ${n(box.mark, digits(box.mark))}` : ""}` }));
  const controls = (
    <>
      <Select
        size="xs"
        className="chart-choice"
        aria-label={t("dose.country")}
        allowDeselect={false}
        data={[{ value: "", label: t("dose.country.all") }, ...countries]}
        value={country}
        onChange={(value) => setCountry(value ?? "")}
      />
      {chosen.select}
    </>
  );
  return (
    <Card
      title={t("dose.levels")}
      hint={t("dose.levels.hint")}
      found={found}
      meaning={meaning}
      controls={controls}
      sheet={spreadSheet(
        sorted,
        [
          [t("dose.protocol"), (row) => text(row, "standard_protocol")],
          [t("dose.device"), (row) => text(row, "device")],
          [t("dose.group"), (row) => text(row, "group")],
        ],
        t,
        [
          [t("dose.country"), (row) => text(row, "country")],
          [t("dose.level"), level],
          [t("dose.verdict"), verdict],
          [t("dose.excluded"), (row) => ((row["excluded"] as string[] | null) ?? []).join("; ")],
          [t("dose.source"), (row) => text(row, "source")],
        ],
      )}
      wide
    >
      <Boxes rows={drawn} label={t("dose.levels")} unit={unit} />
    </Card>
  );
}

function Trends({ dosed }: { dosed: Dosed }) {
  const { t, n } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "trends");
  const chosen = useQuantity(rows, "CTDIvol");
  const said = (row: Row) => {
    const [value, unit] = inUnit(number(row, "median"), text(row, "unit"));
    return `${n(value, digits(value))} ${unit}`;
  };
  const change = (row: Row) => {
    const by = number(row, "change");
    return by === null ? "" : `${by >= 1 ? "+" : "−"}${n(Math.abs(by - 1) * 100, 0)} %`;
  };
  const columns: Column[] = [
    { name: "device", head: t("dose.device") },
    { name: "standard_protocol", head: t("dose.protocol") },
    { name: "SoftwareVersions", head: t("dose.software") },
    { name: "first", head: t("dose.first") },
    { name: "last", head: t("dose.last") },
    { name: "n", head: t("dose.n"), right: true },
    { name: "median", head: t("dose.median"), right: true, shown: said },
    { name: "change", head: t("dose.change"), right: true, shown: change },
  ];
  const sheet = sheetOf(
    columns.map((column) => column.head),
    chosen.rows.map((row) => columns.map((column) => (column.shown ? String(column.shown(row)) : column.name === "n" ? number(row, "n") : text(row, column.name)))),
  );
  return (
    <Card title={t("dose.trends")} hint={t("dose.trends.hint")} found={found} meaning={meaning} sheet={sheet} controls={chosen.select} wide>
      <Listing rows={chosen.rows.slice(0, 200)} columns={columns} label={t("dose.trends")} />
    </Card>
  );
}

function Names({ dosed }: { dosed: Dosed }) {
  const { t } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "protocols");
  const columns: Column[] = [
    { name: "kind", head: t("dose.kind"), shown: (row) => t(`dose.kind.${text(row, "kind")}` as Key) },
    { name: "ManufacturerModelName", head: t("dose.model") },
    { name: "protocol", head: t("dose.protocol.sent") },
    { name: "standard_protocol", head: t("dose.protocol"), shown: (row) => text(row, "standard_protocol") || <em>{t("dose.unnamed")}</em> },
    { name: "rule", head: t("dose.rule") },
    { name: "events", head: t("dose.events"), right: true },
  ];
  const sheet = sheetOf(
    columns.map((column) => column.head),
    rows.map((row) => columns.map((column) => (column.name === "events" ? number(row, "events") : text(row, column.name)))),
  );
  return (
    <Card title={t("dose.names")} hint={t("dose.names.hint")} found={found} meaning={meaning} sheet={sheet} wide>
      <Listing rows={rows.slice(0, 200)} columns={columns} label={t("dose.names")} />
    </Card>
  );
}

// Patients

const SUMMED: [string, string][] = [
  ["DLP", "mGy.cm"],
  ["DAP", "Gy.m2"],
  ["RP", "mGy"],
  ["effective_dose", "mSv"],
];
const PAGE = 100;

function Patients({ dosed }: { dosed: Dosed }) {
  const { t, n } = useTexts();
  const [order, setOrder] = useState("-effective_dose_highest");
  const [days, setDays] = useState(DAYS);
  const [offset, setOffset] = useState(0);
  const { found, rows } = useDose(dosed, "patients", { order, days, limit: PAGE, offset });
  const said = (name: string, unit: string) => (row: Row) => {
    const [value] = inUnit(number(row, name), unit);
    return value === null ? "" : n(value, digits(value));
  };
  const columns: Column[] = [
    {
      name: "PatientID",
      head: t("dose.patient"),
      order: "PatientID",
      shown: (row) => <Link href={dosed.linked.to(`/dose/patients/${text(row, "patient_key")}`)}>{text(row, "PatientID") || "–"}</Link>,
    },
    { name: "studies", head: t("dose.studies"), order: "studies", right: true },
    { name: "last", head: t("dose.last"), order: "last" },
    ...SUMMED.flatMap(([name, unit]): Column[] =>
      (["highest", "now"] as const).map((when) => ({
        name: `${name}_${when}`,
        head: t(`dose.${when}`, { quantity: t(`dose.quantity.${name}` as Key), unit: inUnit(0, unit)[1] }),
        order: `${name}_${when}`,
        right: true,
        shown: said(`${name}_${when}`, unit),
      })),
    ),
  ];
  const total = found.data?.total ?? 0;
  return (
    <article className="card chart-card wide-card" aria-busy={found.isFetching} aria-label={t("dose.patients.title")}>
      <header>
        <h2>{t("dose.patients.title")}</h2>
        <div className="chart-ways">
          <NumberInput
            size="xs"
            className="dose-days"
            aria-label={t("dose.window")}
            title={t("dose.window")}
            min={1}
            max={3650}
            value={days}
            onChange={(value) => typeof value === "number" && value > 0 && (setDays(value), setOffset(0))}
          />
          <Button size="compact-sm" variant="default" disabled={offset === 0} onClick={() => setOffset(Math.max(0, offset - PAGE))}>
            {t("audit.newer")}
          </Button>
          <span className="hint">{t("audit.lines", { from: n(total ? offset + 1 : 0), to: n(Math.min(offset + PAGE, total)), n: n(total) })}</span>
          <Button size="compact-sm" variant="default" disabled={offset + PAGE >= total} onClick={() => setOffset(offset + PAGE)}>
            {t("audit.older")}
          </Button>
        </div>
      </header>
      <p className="chart-hint">{t("dose.patients.hint", { days })}</p>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data && <Listing rows={rows} columns={columns} label={t("dose.patients.title")} order={order} setOrder={(next) => (setOrder(next), setOffset(0))} />}
    </article>
  );
}

function History({ dosed, patient }: { dosed: Dosed; patient: string }) {
  const { t, n } = useTexts();
  const [days, setDays] = useState(DAYS);
  const query = { days, ...(dosed.set ? { factor_set: dosed.set } : {}) };
  const found = useAnswer("GET /api/dose/patients/{patient_key}", { params: { patient_key: patient }, query }, { keep: true });
  const rows = rowsOf(found.data);
  const has = SUMMED.filter(([name]) => rows.some((row) => number(row, name) !== null));
  const [chosen, choose] = useState("");
  const [quantity = "DLP", unit = ""] = has.find(([name]) => name === chosen) ?? has.at(-1) ?? [];
  const shownUnit = inUnit(0, unit)[1];
  const of = (row: Row, name: string) => inUnit(number(row, name), unit)[0];
  const points: Point[] = rows
    .filter((row) => number(row, quantity) !== null && row["StudyDate"])
    .map((row) => {
      const [value, sum] = [of(row, quantity), of(row, `${quantity}_window`)];
      const day = text(row, "StudyDate");
      const said = t("dose.history.said", { day, value: n(value, digits(value)), unit: shownUnit, sum: n(sum, digits(sum)) });
      return { key: text(row, "StudyInstanceUID"), when: day, value: value ?? 0, line: sum, said };
    });
  const columns: Column[] = [
    { name: "StudyDate", head: t("dose.day") },
    {
      name: "StudyDescription",
      head: t("dose.study"),
      shown: (row) => <Link href={`/studies/${text(row, "StudyInstanceUID")}`}>{text(row, "StudyDescription") || text(row, "StudyInstanceUID")}</Link>,
    },
    { name: "device", head: t("dose.device") },
    ...has.map(([name, kept]): Column => ({
      name,
      head: `${t(`dose.quantity.${name}` as Key)} [${inUnit(0, kept)[1]}]`,
      right: true,
      shown: (row) => {
        const [value] = inUnit(number(row, name), kept);
        return value === null ? "" : n(value, digits(value));
      },
    })),
    {
      name: "window",
      head: `${t("dose.window.sum")} [${shownUnit}]`,
      right: true,
      shown: (row) => {
        const sum = of(row, `${quantity}_window`);
        return sum === null ? "" : n(sum, digits(sum));
      },
    },
  ];
  const title = t("dose.history", { id: text(rows[0] ?? {}, "PatientID") });
  const meaning: Meaning = {
    text: t("dose.history.hint", { days }),
    operation: `GET /api/dose/patients/${patient}`,
    asked: query,
    where: null,
    level: "study",
    version: found.data?.version,
  };
  const controls = (
    <>
      <Select
        size="xs"
        className="chart-choice"
        aria-label={t("dose.quantity")}
        allowDeselect={false}
        data={has.map(([value]) => ({ value, label: t(`dose.quantity.${value}` as Key) }))}
        value={quantity}
        onChange={(value) => value && choose(value)}
      />
      <NumberInput size="xs" className="dose-days" aria-label={t("dose.window")} title={t("dose.window")} min={1} max={3650} value={days} onChange={(value) => typeof value === "number" && value > 0 && setDays(value)} />
    </>
  );
  return (
    <>
      <p className="dose-back">
        <Link href={dosed.linked.to("/dose/patients")}>{t("dose.patient.back")}</Link>
      </p>
      <Card
        title={title}
        hint={t("dose.history.hint", { days })}
        found={found}
        meaning={meaning}
        controls={controls}
        sheet={sheetOf([t("dose.day"), `${t(`dose.quantity.${quantity}` as Key)} [${shownUnit}]`, t("dose.window.sum")], points.map((point) => [point.when, point.value, point.line]))}
        wide
      >
        <Sticks points={points} label={title} unit={shownUnit} />
      </Card>
      {rows.length > 0 && <Listing rows={rows} columns={columns} label={title} />}
    </>
  );
}

// Alarms

const STATES = ["open", "seen", "closed"] as const;

function Alarms({ dosed }: { dosed: Dosed }) {
  const { t, n, when } = useTexts();
  const may = useMay();
  const [state, setState] = useState<string>("open");
  const [closing, setClosing] = useState<string | null>(null);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const { found, rows } = useDose(dosed, "alarms");
  const shown = rows.filter((row) => state === "" || text(row, "state") === state);
  const say = async (id: string, next: string, why: string) => {
    setProblem(null);
    try {
      await call("POST /api/dose/alarms/{id}", { params: { id }, body: { state: next, reason: why } });
      setClosing(null);
      setReason("");
      await found.refetch();
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(0, ""));
    }
  };
  const valued = (row: Row, name: string) => n(number(row, name), digits(number(row, name)));
  const columns: Column[] = [
    { name: "StudyDate", head: t("dose.day") },
    { name: "rule", head: t("dose.alarm.rule"), shown: (row) => text(row, "rule") || t("dose.alarm.gone") },
    { name: "value", head: t("dose.value"), right: true, shown: (row) => `${valued(row, "value")} ${inUnit(0, text(row, "unit"))[1]}` },
    { name: "limit", head: t("dose.alarm.limit"), right: true, shown: (row) => (number(row, "limit") === null ? "" : valued(row, "limit")) },
    {
      name: "PatientID",
      head: t("dose.patient"),
      shown: (row) => (row["patient_key"] ? <Link href={`/dose/patients/${text(row, "patient_key")}`}>{text(row, "PatientID")}</Link> : ""),
    },
    {
      name: "StudyDescription",
      head: t("dose.study"),
      shown: (row) => (row["StudyInstanceUID"] ? <Link href={`/studies/${text(row, "StudyInstanceUID")}`}>{text(row, "StudyDescription") || t("dose.study")}</Link> : ""),
    },
    { name: "device", head: t("dose.device") },
    {
      name: "state",
      head: t("dose.alarm.state"),
      shown: (row) => (
        <>
          <span className={`state-badge ${text(row, "state") === "open" ? "is-bad" : text(row, "state") === "closed" ? "is-good" : ""}`}>
            {t(`dose.alarm.${text(row, "state")}` as Key)}
          </span>
          {row["reason"] ? <div>{text(row, "reason")}</div> : null}
          {row["who"] ? <div className="hint">{t("dose.alarm.who", { who: text(row, "who"), when: when(text(row, "changed")) })}</div> : null}
        </>
      ),
    },
  ];
  const acts = (row: Row) => {
    const [id, now] = [text(row, "alarm_id"), text(row, "state")];
    return (
      <>
        {now === "open" && (
          <Button size="compact-xs" variant="default" onClick={() => void say(id, "seen", "")}>
            {t("dose.alarm.see")}
          </Button>
        )}
        {now !== "closed" && (
          <Button size="compact-xs" variant="light" onClick={() => setClosing(id)}>
            {t("dose.alarm.close")}
          </Button>
        )}
        {now !== "open" && (
          <Button size="compact-xs" variant="subtle" onClick={() => void say(id, "open", "")}>
            {t("dose.alarm.reopen")}
          </Button>
        )}
      </>
    );
  };
  return (
    <article className="card chart-card wide-card" aria-busy={found.isFetching} aria-label={t("dose.alarms")}>
      <header>
        <h2>{t("dose.alarms")}</h2>
        <SegmentedControl
          size="xs"
          aria-label={t("dose.alarm.state")}
          value={state}
          onChange={setState}
          data={[
            ...STATES.map((value) => ({ value, label: `${t(`dose.alarm.${value}`)} (${n(rows.filter((row) => text(row, "state") === value).length)})` })),
            { value: "", label: t("dose.alarm.all") },
          ]}
        />
      </header>
      <p className="chart-hint">{t("dose.alarms.hint")}</p>
      {problem && closing === null && <Trouble error={problem} />}
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data && shown.length === 0 && <Message title={t("dose.alarm.none")} />}
      {shown.length > 0 && <Listing rows={shown} columns={columns} label={t("dose.alarms")} {...(may("release") ? { act: acts } : {})} />}
      <Modal opened={closing !== null} onClose={() => setClosing(null)} title={t("dose.alarm.why")} centered>
        {problem && <Trouble error={problem} />}
        <Textarea
          data-autofocus
          aria-label={t("dose.alarm.why")}
          description={t("dose.alarm.why.hint")}
          autosize
          minRows={3}
          maxLength={2000}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        <div className="dose-modal">
          <Button size="sm" variant="default" onClick={() => setClosing(null)}>
            {t("dose.cancel")}
          </Button>
          <Button size="sm" disabled={!reason.trim()} onClick={() => closing && void say(closing, "closed", reason)}>
            {t("dose.alarm.close")}
          </Button>
        </div>
      </Modal>
    </article>
  );
}

// What stands out

function Outliers({ dosed }: { dosed: Dosed }) {
  const { t, n } = useTexts();
  const { found, meaning, rows } = useDose(dosed, "outliers");
  const valued = (row: Row, name: string) => {
    const [value, unit] = inUnit(number(row, name), text(row, "unit"));
    return value === null ? "" : `${n(value, digits(value))} ${unit}`;
  };
  const columns: Column[] = [
    { name: "StudyDate", head: t("dose.day") },
    {
      name: "StudyDescription",
      head: t("dose.study"),
      shown: (row) => <Link href={`/studies/${text(row, "StudyInstanceUID")}`}>{text(row, "StudyDescription") || t("dose.study")}</Link>,
    },
    { name: "device", head: t("dose.device") },
    { name: "standard_protocol", head: t("dose.protocol") },
    { name: "size_bin", head: t("dose.size") },
    { name: "quantity", head: t("dose.quantity"), shown: (row) => t(`dose.quantity.${text(row, "quantity")}` as Key) },
    { name: "value", head: t("dose.value"), right: true, shown: (row) => valued(row, "value") },
    { name: "median", head: t("dose.median"), right: true, shown: (row) => valued(row, "median") },
    { name: "z", head: t("dose.z"), right: true, shown: (row) => n(number(row, "z"), 1) },
    { name: "n", head: t("dose.n"), right: true },
    {
      name: "tail",
      head: t("dose.reason"),
      shown: (row) => `${t(`dose.tail.${text(row, "tail")}` as Key)}, ${t(`dose.outlier.why.${text(row, "why")}` as Key)}`,
    },
  ];
  const sheet = sheetOf(
    ["StudyDate", "device", "standard_protocol", "size_bin", "quantity", "value", "unit", "median", "z", "n", "tail", "why"],
    rows.map((row) =>
      ["StudyDate", "device", "standard_protocol", "size_bin", "quantity", "value", "unit", "median", "z", "n", "tail", "why"].map((name) =>
        typeof row[name] === "number" ? (row[name] as number) : text(row, name),
      ),
    ),
  );
  return (
    <Card title={t("dose.outliers.title")} hint={t("dose.outliers.hint")} found={found} meaning={meaning} sheet={sheet} wide>
      <Listing rows={rows.slice(0, 300)} columns={columns} label={t("dose.outliers.title")} />
    </Card>
  );
}
