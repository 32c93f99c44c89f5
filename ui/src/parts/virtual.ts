/** Which rows of a long list are drawn where. Browsers cannot be as tall as millions of rows: beyond
 * `TALLEST` pixels the list is as tall as that, and scrolling goes faster than the pointer. */

import { type RefObject, useCallback, useEffect, useState } from "react";

export const TALLEST = 12_000_000;
const OVERSCAN = 8;

export type Long = { count: number; row: number; view: number };

export const wholeOf = ({ count, row }: Long) => count * row;
export const heightOf = (long: Long) => Math.min(wholeOf(long), TALLEST);

/** Pixels of the list before what is seen, when the box is scrolled so far. */
export function offsetOf(long: Long, scrolled: number): number {
  const [whole, height] = [wholeOf(long), heightOf(long)];
  if (whole === height) return scrolled;
  const room = Math.max(1, height - long.view);
  return (Math.min(scrolled, room) / room) * Math.max(0, whole - long.view);
}

/** How far the box must be scrolled for a row to be the first that is seen. */
export function scrollOf(long: Long, index: number): number {
  const [whole, height] = [wholeOf(long), heightOf(long)];
  const offset = Math.max(0, Math.min(index * long.row, whole - long.view));
  if (whole === height) return offset;
  return (offset / Math.max(1, whole - long.view)) * Math.max(1, height - long.view);
}

/** Rows that are drawn, and where their upper ends are. */
export function drawnOf(long: Long, scrolled: number): { index: number; top: number }[] {
  const offset = offsetOf(long, scrolled);
  const first = Math.max(0, Math.floor(offset / long.row) - OVERSCAN);
  const last = Math.min(long.count - 1, Math.ceil((offset + long.view) / long.row) + OVERSCAN);
  const found = [];
  for (let index = first; index <= last; index++) found.push({ index, top: scrolled + index * long.row - offset });
  return found;
}

/** The rows to draw in a box that scrolls; `above`: pixels of it that stay, such as a head. */
export function useLong(box: RefObject<HTMLElement | null>, count: number, row: number, above = 0) {
  const [at, setAt] = useState({ scrolled: 0, view: 600 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () =>
      setAt((now) => {
        const next = { scrolled: element.scrollTop, view: Math.max(row, element.clientHeight - above) };
        return next.scrolled === now.scrolled && next.view === now.view ? now : next;
      });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      sizes.disconnect();
    };
  }, [box, row, above]);
  const long = { count, row, view: at.view };
  const go = useCallback(
    (index: number) => {
      if (box.current) box.current.scrollTop = scrollOf({ count, row, view: at.view }, index);
    },
    [box, count, row, at.view],
  );
  /** Scroll so far that a row is seen. */
  const reveal = (index: number) => {
    const offset = offsetOf(long, box.current?.scrollTop ?? 0);
    if (index * row < offset) go(index);
    else if ((index + 1) * row > offset + at.view) go(index - Math.floor(at.view / row) + 1);
  };
  return { rows: drawnOf(long, at.scrolled), height: heightOf(long), go, reveal, fits: Math.floor(at.view / row) };
}
