/** The bar of pages: groups that open, of the pages that the role allows. */

import { useClickOutside } from "@mantine/hooks";
import { type KeyboardEvent, useId, useState } from "react";
import { Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";

type Place = { name: string; called: Key; needs: string };
type Group = { called: Key; places: Place[] };

const place = (name: string, called: Key, needs: string): Place => ({ name, called, needs });

/** Pages by group: where they are, what they are called, and what the role has to allow. */
const GROUPS: Group[] = [
  {
    called: "nav.group.ask",
    places: [
      place("ask", "nav.ask", "count"),
      place("charts", "nav.charts", "count"),
      place("documents", "nav.documents", "read"),
      place("saved", "nav.saved", "count"),
    ],
  },
  {
    called: "nav.group.clinical",
    places: [place("dose", "nav.dose", "count"), place("activity", "nav.activity", "read")],
  },
  {
    called: "nav.group.research",
    places: [
      place("cohorts", "cohorts", "count"),
      place("datasets", "nav.datasets", "export"),
      place("federation", "nav.federation", "curate"),
    ],
  },
  {
    called: "nav.group.running",
    places: [
      place("bring", "nav.bring", "watch"),
      place("jobs", "nav.jobs", "fetch"),
      place("sources", "nav.sources", "watch"),
      place("enrichers", "nav.enrichers", "watch"),
      place("status", "nav.status", "watch"),
      place("audit", "nav.audit", "audit"),
    ],
  },
];

/** What a page is called, if it is one of the bar. */
export function calledOf(name: string): Key | undefined {
  return GROUPS.flatMap((group) => group.places).find((one) => one.name === name)?.called;
}

const EVERYTHING = "nav.pages";

/** Groups side by side; where there is no room for them, one button that opens them all. */
export function Places({ here, may }: { here: string; may: (what: string) => boolean }) {
  const { t } = useTexts();
  const id = useId();
  const [open, setOpen] = useState<Key | null>(null);
  const close = () => setOpen(null);
  const bar = useClickOutside<HTMLElement>(close);
  const groups = GROUPS.map((group) => ({ ...group, places: group.places.filter(({ needs }) => may(needs)) })).filter(
    ({ places }) => places.length > 0,
  );
  const current = calledOf(here);
  const keys = (event: KeyboardEvent<HTMLElement>) => {
    if (event.key === "Escape" && open) {
      bar.current?.querySelector<HTMLElement>(`[data-opens="${open}"]`)?.focus();
      close();
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step && open) {
      event.preventDefault();
      stepTo(bar.current!, step);
    }
  };
  const opener = (key: Key) => ({
    type: "button" as const,
    "data-opens": key,
    "aria-expanded": open === key,
    "aria-controls": `${id}${key}`,
    onClick: () => setOpen(open === key ? null : key),
  });
  return (
    <nav
      ref={bar}
      aria-label={t("nav.pages")}
      className="places"
      onKeyDown={keys}
      onBlur={(event) => {
        if (event.relatedTarget && !event.currentTarget.contains(event.relatedTarget)) close();
      }}
    >
      {groups.length > 0 && (
        <button className="places-all" {...opener(EVERYTHING)}>
          <Icon name="list" />
          <b>{current ? t(current) : t(EVERYTHING)}</b>
          <Icon name="down" size={12} />
        </button>
      )}
      <ul id={`${id}${EVERYTHING}`} className="places-groups" data-open={open === EVERYTHING}>
        {groups.map(({ called, places }) => {
          const within = places.find(({ name }) => name === here);
          if (places.length === 1)
            return (
              <li key={called} className="places-group">
                <span className="places-head" aria-hidden>{t(called)}</span>
                <To place={places[0]!} here={here} onClick={close} />
              </li>
            );
          return (
            <li key={called} className="places-group">
              <span className="places-head" aria-hidden>{t(called)}</span>
              <button className="places-opener" data-current={within !== undefined} {...opener(called)}>
                <span>{t(called)}</span>
                {within && <b>{t(within.called)}</b>}
                <Icon name="down" size={12} />
              </button>
              <ul id={`${id}${called}`} className="places-list" aria-label={t(called)} data-open={open === called}>
                {places.map((one) => (
                  <li key={one.name}>
                    <To place={one} here={here} onClick={close} />
                  </li>
                ))}
              </ul>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

function To({ place: { name, called }, here, onClick }: { place: Place; here: string; onClick: () => void }) {
  const { t } = useTexts();
  return (
    <Link href={name === "ask" ? "/" : `/${name}`} aria-current={name === here ? "page" : undefined} onClick={onClick}>
      {t(called)}
    </Link>
  );
}

/** Put the focus on the link after or before the one that has it, among those that are shown. */
function stepTo(bar: HTMLElement, step: number): void {
  const links = [...bar.querySelectorAll<HTMLElement>("a")].filter((one) => one.offsetParent !== null);
  const open = bar.querySelector('.places-list[data-open="true"]');
  const near = open ? links.filter((one) => open.contains(one)) : links;
  const at = near.indexOf(document.activeElement as HTMLElement);
  near[at < 0 ? (step > 0 ? 0 : near.length - 1) : (at + step + near.length) % near.length]?.focus();
}
