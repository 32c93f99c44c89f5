/** The audit log: who asked for what, when, from where, and whether the chain is whole. */

import { Button, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { AuditLine } from "../api/schema.ts";
import { useMay } from "../parts/access.tsx";
import { ErasePart } from "../parts/erase.tsx";
import { Icon } from "../parts/icon.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { type Key, useTexts } from "../texts.tsx";

const PAGE = 50;

export default function AuditPage() {
  const { t, n } = useTexts();
  const may = useMay();
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [offset, setOffset] = useState(0);
  const [checking, setChecking] = useState(false);
  const [asked] = useDebouncedValue({ name: name.trim(), text: text.trim() }, 300);
  const found = useAnswer("GET /api/audit", { query: { ...asked, limit: PAGE, offset } }, { keep: true });
  const checked = useAnswer("GET /api/audit", { query: { limit: 1, verify: true } }, { enabled: checking });
  const page = found.data;
  return (
    <div className="page page-wide">
      <div className="page-head">
        <h1>{t("nav.audit")}</h1>
        <div className="page-ways">
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<Icon name="check" />}
            loading={checked.isFetching}
            onClick={() => (checking ? void checked.refetch() : setChecking(true))}
          >
            {t("audit.verify")}
          </Button>
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<Icon name="again" />}
            loading={found.isFetching}
            onClick={() => void found.refetch()}
          >
            {t("audit.again")}
          </Button>
        </div>
      </div>
      {checked.data && !checked.isFetching && (
        <p className={`chain ${checked.data.good ? "is-good" : "is-bad"}`} role="status">
          <Icon name={checked.data.good ? "check" : "warn"} />
          <span>
            {checked.data.good ? t("audit.good", { n: n(checked.data.total) }) : t("audit.bad", { why: checked.data.why })}{" "}
            <span className="mono">{checked.data.head}</span>
          </span>
        </p>
      )}
      {checked.error && <Trouble error={checked.error} />}
      <div className="filters">
        <TextInput
          size="xs"
          label={t("audit.name")}
          value={name}
          onChange={(event) => {
            setName(event.currentTarget.value);
            setOffset(0);
          }}
        />
        <TextInput
          size="xs"
          label={t("audit.text")}
          className="audit-text"
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value);
            setOffset(0);
          }}
        />
        {page && (
          <div className="audit-pages">
            <span className="hint">
              {t("audit.lines", { from: n(page.total ? offset + 1 : 0), to: n(offset + page.lines.length), n: n(page.total) })}
            </span>
            <Button size="compact-sm" variant="default" disabled={offset === 0} onClick={() => setOffset(Math.max(0, offset - PAGE))}>
              {t("audit.newer")}
            </Button>
            <Button
              size="compact-sm"
              variant="default"
              disabled={offset + page.lines.length >= page.total}
              onClick={() => setOffset(offset + PAGE)}
            >
              {t("audit.older")}
            </Button>
          </div>
        )}
      </div>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!page && !found.error && <Loading />}
      {page && page.lines.length === 0 && <Message title={t("audit.none")} text={t("audit.none.do")} />}
      {page && page.lines.length > 0 && (
        <div className="wide">
          <table className="facts audit">
            <thead>
              <tr>
                <th scope="col">{t("audit.when")}</th>
                <th scope="col">{t("audit.who")}</th>
                <th scope="col">{t("audit.from")}</th>
                <th scope="col">{t("audit.what")}</th>
                <th scope="col">{t("audit.outcome")}</th>
              </tr>
            </thead>
            <tbody>
              {page.lines.map((line) => (
                <Line key={line.n} line={line} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {may("erase") && <ErasePart />}
    </div>
  );
}

function Line({ line }: { line: AuditLine }) {
  const { t, n, language } = useTexts();
  const more = line.more as Record<string, unknown>;
  const counts = (more["counts"] ?? {}) as Record<string, number>;
  const rows = more["rows"] as number | undefined;
  const question = more["body"] ?? (more["query"] ? decoded(String(more["query"])) : null);
  const said = typeof question === "string" ? question : question ? JSON.stringify(question) : "";
  const time = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" }).format(new Date(line.time * 1000));
  return (
    <tr>
      <td className="mono">{time}</td>
      <td>
        <b>{line.name || t("audit.unknown")}</b>
        <div className="hint">
          {[line.role && t(`role.${line.role}` as Key), line.project].filter(Boolean).join(" · ")}
        </div>
      </td>
      <td className="mono">{line.address}</td>
      <td>
        <span className="audit-what">{line.what}</span>
        {said && <div className="audit-said">{said}</div>}
      </td>
      <td>
        {line.status !== null && (
          <span className={`state-badge ${line.status < 400 ? "is-good" : line.status < 404 ? "is-bad" : ""}`}>{line.status}</span>
        )}{" "}
        <span className="hint">
          {[
            ...Object.entries(counts ?? {}).map(([what, count]) => `${n(count)} ${t(`level.${PLURAL[what] ?? what}` as Key)}`),
            ...(rows === undefined ? [] : [t("audit.rows", { n: n(rows) })]),
          ].join(", ")}
        </span>
      </td>
    </tr>
  );
}

const PLURAL: Record<string, string> = { patient: "patients", study: "studies", instance: "instances" };

function decoded(query: string): string {
  try {
    return decodeURIComponent(query.replace(/\+/g, " "));
  } catch {
    return query;
  }
}
