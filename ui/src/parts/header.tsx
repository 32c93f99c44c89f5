/** A header as a tree: what it says, how common that is in the lake, and how to ask for it. */

import { CopyButton, NativeSelect, Switch, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { Fragment, useEffect, useMemo, useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { Common, ElementOut, HeaderNode } from "../api/schema.ts";
import { asked, withCondition } from "../query/remembered.ts";
import { Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { textOf } from "./results.tsx";
import { Loading, Trouble } from "./states.tsx";

export function Search({ value, set, label }: { value: string; set: (value: string) => void; label?: string }) {
  const { t } = useTexts();
  const said = label ?? t("study.search");
  return (
    <TextInput
      type="search"
      className="search"
      aria-label={said}
      placeholder={said}
      leftSection={<Icon name="search" size={14} />}
      value={value}
      onChange={(event) => set(event.currentTarget.value)}
    />
  );
}

/** What is said of a value: where it stands, and the texts by which questions ask for it. */
type Said = { path: string; tag: string; values: string[]; copied: string };

const MOST_VALUES = 4;

/** How common values are, how to ask for them, and what can be copied. */
function Detail({ said }: { said: Said }) {
  const { t, n } = useTexts();
  const more = said.values.length - MOST_VALUES;
  return (
    <div className="detail">
      {said.values.slice(0, MOST_VALUES).map((value) => (
        <CommonBar key={value} path={said.path} value={value} />
      ))}
      {more > 0 && <p className="hint">{t("value.more", { n: n(more) })}</p>}
      <p className="detail-ways">
        {said.copied !== "" && <Copy what={said.copied} label={t("header.copy.value")} />}
        <Copy what={said.path} label={t("header.copy.path")} />
        {said.tag && <Copy what={said.tag} label={t("header.copy.tag")} />}
        <code>{said.path}</code>
      </p>
    </div>
  );
}

function Copy({ what, label }: { what: string; label: string }) {
  const { t } = useTexts();
  return (
    <CopyButton value={what}>
      {({ copied, copy }) => (
        <button type="button" className="link-like" onClick={copy}>
          {copied ? t("link.copied") : label}
        </button>
      )}
    </CopyButton>
  );
}

function CommonBar({ path, value }: { path: string; value: string }) {
  const { t, n } = useTexts();
  const found = useAnswer("GET /api/common", { query: { path, value } });
  if (found.error) return <Trouble error={found.error} />;
  if (!found.data) return <Loading />;
  const { data } = found;
  const said = t("header.common", {
    n: n(data.found.series),
    all: n(data.has.series),
    share: n(data.share * 100, data.share < 0.1 ? 2 : 0),
    patients: n(data.found.patients),
  });
  return (
    <div className="common">
      <b title={value}>{value}</b>
      <span className="common-track" aria-hidden="true">
        <span className="common-has" style={{ width: share(data.has, data) }} />
        <span className="common-found" style={{ width: share(data.found, data) }} />
      </span>
      <span>{said}</span>
      <Link href={`/ask?q=${encodeURIComponent(data.question)}&level=series`}>{t("header.ask")}</Link>
      {asked() && <Link href={withCondition(data.question)}>{t("header.add")}</Link>}
    </div>
  );
}

const share = (some: Common["found"], { whole }: Common) => `${(100 * some.series) / Math.max(1, whole.series)}%`;

function Opener({ open, toggle, name }: { open: boolean; toggle: () => void; name: string }) {
  const { t } = useTexts();
  return (
    <button type="button" className="opener" aria-expanded={open} aria-label={t("header.more", { name })} onClick={toggle}>
      <Icon name="more" size={14} />
    </button>
  );
}

/** The texts of a value by which a question asks for it; nothing where none can. */
function askable(node: HeaderNode): string[] {
  if (node.vr === "SQ") return node.items.map(codeIn).filter((code) => code !== "");
  if (/^\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)$/.test(node.path.split(".").at(-1) ?? "")) return []; // its creator is unknown
  return [...new Set(node.values.map(plainOf).filter((text) => text !== ""))];
}

const plainOf = (value: unknown) => (value === null || typeof value === "object" ? "" : String(value));

/** SCHEME:VALUE of a code in an item. */
function codeIn(item: HeaderNode[]): string {
  const of = (keyword: string) => plainOf(item.find((node) => node.keyword === keyword)?.values[0]);
  const value = of("CodeValue") || of("LongCodeValue") || of("URNCodeValue");
  const scheme = of("CodingSchemeDesignator");
  return value && scheme ? `${scheme}:${value}` : "";
}

function filtered(nodes: HeaderNode[], text: string, onlyPrivate: boolean, creator: string): HeaderNode[] {
  const found: HeaderNode[] = [];
  for (const node of nodes) {
    const items = node.items.map((item) => filtered(item, text, onlyPrivate, creator));
    const said = `${node.tag} ${node.keyword} ${node.name} ${node.creator} ${node.values.map(textOf).join(" ")}`;
    const fits =
      said.toLowerCase().includes(text) &&
      (!onlyPrivate || node.private) &&
      (creator === "" || node.creator === creator || (node.name === "Private Creator" && node.values.includes(creator)));
    if (fits) found.push(node);
    else if (items.some((item) => item.length)) found.push({ ...node, items: items.filter((item) => item.length) });
  }
  return found;
}

function creatorsOf(nodes: HeaderNode[]): string[] {
  const found = new Set<string>();
  const look = (some: HeaderNode[]) => {
    for (const node of some) {
      if (node.creator) found.add(node.creator);
      node.items.forEach(look);
    }
  };
  look(nodes);
  return [...found].sort();
}

export function Header({ sop }: { sop: string }) {
  const { t } = useTexts();
  const [typed, setTyped] = useState("");
  const [sought] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const [onlyPrivate, setOnlyPrivate] = useState(false);
  const [creator, setCreator] = useState("");
  const found = useAnswer("GET /api/instances/{SOPInstanceUID}/header", { params: { SOPInstanceUID: sop } });
  const tree = found.data?.tree;
  const nodes = useMemo(
    () => filtered(tree ?? [], sought, onlyPrivate, onlyPrivate ? creator : ""),
    [tree, sought, onlyPrivate, creator],
  );
  const creators = useMemo(() => creatorsOf(tree ?? []), [tree]);
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  return (
    <>
      <div className="header-ways">
        <Search value={typed} set={setTyped} />
        <Switch
          size="xs"
          label={t("header.private")}
          checked={onlyPrivate}
          onChange={(event) => setOnlyPrivate(event.currentTarget.checked)}
        />
        {onlyPrivate && creators.length > 0 && (
          <NativeSelect
            size="xs"
            aria-label={t("header.creator")}
            value={creator}
            onChange={(event) => setCreator(event.currentTarget.value)}
            data={[{ value: "", label: t("header.creators") }, ...creators]}
          />
        )}
      </div>
      <table className="facts header-table">
        <thead>
          <tr>
            <th>{t("header.tag")}</th>
            <th>{t("header.name")}</th>
            <th>VR</th>
            <th>{t("header.value")}</th>
            <th>
              <span className="visually-hidden">{t("row.more")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <Element key={node.path} node={node} depth={0} open={sought !== ""} />
          ))}
        </tbody>
      </table>
      {nodes.length === 0 && <p className="hint">{t("header.none")}</p>}
    </>
  );
}

function Element({ node, depth, open: first }: { node: HeaderNode; depth: number; open: boolean }) {
  const { t, n } = useTexts();
  const [open, setOpen] = useState(depth < 1 || first);
  const [detail, setDetail] = useState(false);
  useEffect(() => {
    if (first) setOpen(true); // what a search finds is seen at once
  }, [first]);
  const nested = node.items.length > 0;
  const name = node.name || node.keyword || t("header.unknown");
  return (
    <>
      <tr className={node.private ? "private" : undefined}>
        <td className="mono" style={{ paddingInlineStart: 8 + depth * 16 }}>
          {nested ? (
            <button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
              <Icon name={open ? "down" : "right"} size={12} /> {node.tag}
            </button>
          ) : (
            node.tag
          )}
        </td>
        <td title={node.path}>
          {name}
          {node.creator && <span className="creator">{node.creator}</span>}
        </td>
        <td className="mono">{node.vr}</td>
        <td>
          {nested
            ? t("header.items", { n: n(node.items.length) })
            : node.values.length
              ? node.values.map(textOf).join("; ")
              : node.bytes !== null && t("header.bytes", { n: n(node.bytes) })}
        </td>
        <td className="opener-cell">
          <Opener open={detail} toggle={() => setDetail(!detail)} name={name} />
        </td>
      </tr>
      {detail && (
        <tr className="detail-row">
          <td colSpan={5}>
            <Detail
              said={{ path: node.path, tag: node.tag, values: askable(node), copied: node.values.map(textOf).join("\\") }}
            />
          </td>
        </tr>
      )}
      {open &&
        node.items.map((item, at) => (
          <Fragment key={at}>
            {node.items.length > 1 && (
              <tr className="item-row">
                <td className="mono" style={{ paddingInlineStart: 24 + depth * 16 }} colSpan={5}>
                  {t("header.item", { n: n(at + 1) })}
                </td>
              </tr>
            )}
            {item.map((inner) => (
              <Element key={`${at}.${inner.path}`} node={inner} depth={depth + 1} open={first} />
            ))}
          </Fragment>
        ))}
    </>
  );
}

/** What a whole series says, attribute by attribute. */
export function Elements({ elements }: { elements: ElementOut[] }) {
  const { t } = useTexts();
  const [typed, setTyped] = useState("");
  const [sought] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const rows = elements.filter((one) =>
    `${one.path} ${one.name} ${one.tag} ${one.values.map(textOf).join(" ")}`.toLowerCase().includes(sought),
  );
  return (
    <>
      <Search value={typed} set={setTyped} />
      <table className="facts header-table">
        <thead>
          <tr>
            <th>{t("header.tag")}</th>
            <th>{t("header.name")}</th>
            <th>VR</th>
            <th>{t("header.value")}</th>
            <th>
              <span className="visually-hidden">{t("row.more")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <ElementRow key={`${one.path}.${one.vr}`} one={one} />
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p className="hint">{t("header.none")}</p>}
    </>
  );
}

function ElementRow({ one }: { one: ElementOut }) {
  const { t, n } = useTexts();
  const [detail, setDetail] = useState(false);
  const texts = one.values.map(plainOf).filter((text) => text !== "");
  return (
    <>
      <tr className={one.path.startsWith("(") ? "private" : undefined}>
        <td className="mono">{one.tag}</td>
        <td title={one.path}>{one.name || one.path}</td>
        <td className="mono">{one.vr}</td>
        <td>
          {one.low !== null && one.high !== null && one.values.length === 0
            ? `${n(one.low, 4)} – ${n(one.high, 4)}`
            : one.values.map(textOf).join("; ")}
          {one.more > 0 && <small> {t("value.more", { n: n(one.more) })}</small>}
        </td>
        <td className="opener-cell">
          <Opener open={detail} toggle={() => setDetail(!detail)} name={one.name || one.path} />
        </td>
      </tr>
      {detail && (
        <tr className="detail-row">
          <td colSpan={5}>
            <Detail
              said={{
                path: one.path,
                tag: one.tag,
                values: one.vr === "SQ" ? [] : texts,
                copied: one.values.map(textOf).join("\\"),
              }}
            />
          </td>
        </tr>
      )}
    </>
  );
}
