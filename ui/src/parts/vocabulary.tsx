/** The vocabulary: everything that can be asked, as a tree that opens, and as a search. */

import { ActionIcon, SegmentedControl, Switch, TextInput } from "@mantine/core";
import { useDebouncedValue, useLocalStorage } from "@mantine/hooks";
import { useState } from "react";
import { useAnswer } from "../api/client.ts";
import type { TermOut } from "../api/schema.ts";
import { useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { Loading, Trouble } from "./states.tsx";
import { DRAGGED_TERM } from "./terms.ts";

type View = "clinical" | "technical";
type Favourite = Pick<TermOut, "path" | "label" | "kind">;
type Ways = {
  view: View;
  zero: boolean;
  onAdd: (term: Favourite) => void;
  favourites: Favourite[];
  toggle: (term: Favourite) => void;
};
const PAGE = 100;
/** Of what is open from the start: the other branches stay in sight. */
const FEW = 14;
const ATTRIBUTES = "@attributes";

export function Vocabulary({ onAdd }: { onAdd: (term: Favourite) => void }) {
  const { t } = useTexts();
  const [search, setSearch] = useState("");
  const [sought] = useDebouncedValue(search.trim(), 250);
  const [view, setView] = useLocalStorage<View>({
    key: "dicomlake.view",
    defaultValue: "clinical",
    getInitialValueInEffect: false,
  });
  const [hideZero, setHideZero] = useLocalStorage({
    key: "dicomlake.hide-zero",
    defaultValue: true,
    getInitialValueInEffect: false,
  });
  const [favourites, setFavourites] = useLocalStorage<Favourite[]>({
    key: "dicomlake.favourites",
    defaultValue: [],
    getInitialValueInEffect: false,
  });
  const toggle = ({ path, label, kind }: Favourite) =>
    setFavourites((now) =>
      now.some((one) => one.path === path)
        ? now.filter((one) => one.path !== path)
        : [...now, { path, label, kind }],
    );
  const ways: Ways = { view, zero: !hideZero, onAdd, favourites, toggle };
  return (
    <aside className="vocabulary" aria-label={t("vocabulary")}>
      <div className="vocabulary-head">
        <TextInput
          type="search"
          aria-label={t("vocabulary.search")}
          placeholder={t("vocabulary.search")}
          leftSection={<Icon name="search" />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <div className="vocabulary-ways">
          <SegmentedControl
            size="xs"
            aria-label={t("vocabulary.view")}
            value={view}
            onChange={(value) => setView(value as View)}
            data={[
              { value: "clinical", label: t("vocabulary.clinical") },
              { value: "technical", label: t("vocabulary.technical") },
            ]}
          />
          <Switch
            size="xs"
            label={t("vocabulary.hide")}
            checked={hideZero}
            onChange={(event) => setHideZero(event.currentTarget.checked)}
          />
        </div>
      </div>
      <div className="vocabulary-columns" aria-hidden="true">
        <span>{t("level.patients")}</span>
        <span>{t("level.series")}</span>
      </div>
      <div className="vocabulary-tree">
        {sought ? (
          <Found text={sought} ways={ways} />
        ) : (
          <>
            {favourites.length > 0 && (
              <section>
                <h3 className="vocabulary-title">{t("vocabulary.favourites")}</h3>
                <ul>
                  {favourites.map((one) => (
                    <FavouriteRow key={one.path} term={one} ways={ways} />
                  ))}
                </ul>
              </section>
            )}
            <Children parent="" depth={0} ways={ways} />
          </>
        )}
      </div>
    </aside>
  );
}

function Found({ text, ways }: { text: string; ways: Ways }) {
  const { t, n } = useTexts();
  const found = useAnswer(
    "GET /api/vocabulary",
    { query: { search: text, view: ways.view, zero: ways.zero, limit: PAGE } },
    { keep: true },
  );
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  if (found.data.total === 0) return <p className="hint">{t("vocabulary.none", { text })}</p>;
  return (
    <>
      <p className="hint" role="status">
        {t("vocabulary.found", { n: n(found.data.total) })}
      </p>
      <ul>
        {found.data.terms.map((term) => (
          <Row key={term.path} term={term} depth={0} ways={ways} whole />
        ))}
      </ul>
    </>
  );
}

function Children({ parent, depth, ways }: { parent: string; depth: number; ways: Ways }) {
  const { t, n } = useTexts();
  const [limit, setLimit] = useState(depth === 1 && ways.view === "clinical" && parent === ATTRIBUTES ? FEW : PAGE);
  const found = useAnswer(
    "GET /api/vocabulary",
    { query: { parent, view: ways.view, zero: ways.zero, limit } },
    { keep: true },
  );
  if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  if (found.data.total === 0 && depth === 0) return <p className="hint">{t("vocabulary.empty")}</p>;
  return (
    <ul>
      {found.data.terms.map((term, at) => (
        <Row
          key={term.path}
          term={term}
          depth={depth}
          ways={ways}
          first={depth === 0 && at === 0}
        />
      ))}
      {found.data.total > found.data.terms.length && (
        <li>
          <button
            type="button"
            className="more"
            style={{ marginInlineStart: depth * 14 }}
            onClick={() => setLimit(limit + (limit < PAGE ? PAGE : 5 * PAGE))}
          >
            {t("vocabulary.more", { n: n(found.data.total - found.data.terms.length) })}
          </button>
        </li>
      )}
    </ul>
  );
}

type RowOf = { term: TermOut; depth: number; ways: Ways; whole?: boolean; first?: boolean };

function Row({ term, depth, ways, whole, first }: RowOf) {
  const { t, n, called } = useTexts();
  const [open, setOpen] = useState(first ?? false);
  const asked = term.kind !== "group";
  const label = called(`tree.${term.path}`, term.label);
  const about = [term.keyword, term.tag, term.vr, term.summary].filter(Boolean).join(" · ");
  const press = () => (asked && !term.has_children ? ways.onAdd(term) : setOpen(!open));
  return (
    <li>
      <div
        className={`term${asked ? "" : " term-group"}${term.series === 0 ? " term-zero" : ""}`}
        style={{ paddingInlineStart: 6 + depth * 14 }}
        draggable={asked}
        onDragStart={(event) => {
          event.dataTransfer.setData(DRAGGED_TERM, JSON.stringify(term));
          event.dataTransfer.effectAllowed = "copy";
        }}
      >
        {term.has_children ? (
          <button
            type="button"
            className="term-open"
            aria-expanded={open}
            aria-label={t(open ? "vocabulary.close" : "vocabulary.open", { term: label })}
            onClick={() => setOpen(!open)}
          >
            <Icon name={open ? "down" : "right"} size={13} />
          </button>
        ) : (
          <span className="term-open" />
        )}
        <button type="button" className="term-label" title={about} onClick={press}>
          <span>{label}</span>
          {whole && (
            <small>
              {term.breadcrumb.map((crumb) => called(`tree.${crumb.path}`, crumb.label)).join(" › ") || term.keyword}
            </small>
          )}
        </button>
        <span className="term-ways">
          {asked && (
            <>
              <Star term={term} ways={ways} />
              <ActionIcon
                size="sm"
                variant="subtle"
                aria-label={t("vocabulary.add", { term: term.label })}
                onClick={() => ways.onAdd(term)}
              >
                <Icon name="plus" size={14} />
              </ActionIcon>
            </>
          )}
        </span>
        <span className="term-count">{n(term.patients)}</span>
        <span className="term-count">{n(term.series)}</span>
      </div>
      {open && <Children parent={term.path} depth={depth + 1} ways={ways} />}
    </li>
  );
}

function FavouriteRow({ term, ways }: { term: Favourite; ways: Ways }) {
  return (
    <li>
      <div className="term">
        <span className="term-open" />
        <button type="button" className="term-label" onClick={() => ways.onAdd(term)}>
          <span>{term.label}</span>
        </button>
        <span className="term-ways term-ways-shown">
          <Star term={term} ways={ways} />
        </span>
      </div>
    </li>
  );
}

function Star({ term, ways }: { term: Favourite; ways: Ways }) {
  const { t } = useTexts();
  const is = ways.favourites.some((one) => one.path === term.path);
  return (
    <ActionIcon
      size="sm"
      variant="subtle"
      color={is ? "yellow.6" : "gray"}
      aria-pressed={is}
      aria-label={t("vocabulary.favourite", { term: term.label })}
      onClick={() => ways.toggle(term)}
    >
      <Icon name="star" size={14} filled={is} />
    </ActionIcon>
  );
}
