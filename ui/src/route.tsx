/** Where we are: the address is the state that can be shared. */

import { type AnchorHTMLAttributes, type MouseEvent, useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

/** Go to an address of the application. */
export function go(to: string, how: { replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return;
  if (how.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  for (const listener of listeners) listener();
}

export function useAddress(): { parts: string[]; query: URLSearchParams; whole: string } {
  const whole = useSyncExternalStore(subscribe, () => location.pathname + location.search);
  const url = new URL(whole, location.origin);
  const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  return { parts, query: url.searchParams, whole };
}

/** A link within the application; a click with a modifier does what browsers do. */
export function Link({ href, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement>) {
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(href ?? "/");
    window.scrollTo(0, 0);
  };
  return <a href={href} onClick={click} {...rest} />;
}
