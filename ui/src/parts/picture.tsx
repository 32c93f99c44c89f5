/** A picture that the service draws, where it can. */

import { useEffect, useState } from "react";
import { ask } from "../api/client.ts";

const AT_ONCE = 6;
let busy = 0;
const waiting: (() => void)[] = [];

/** Wait until there is room for one more picture. */
async function turn(): Promise<void> {
  if (busy >= AT_ONCE) await new Promise<void>((go) => waiting.push(go));
  busy++;
}
function done(): void {
  busy--;
  waiting.shift()?.();
}

export function Picture({ path, label }: { path: string; label: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    let made = "";
    setUrl("");
    const load = async () => {
      await turn();
      try {
        if (stop.signal.aborted) return;
        const answer = await ask("GET", path, { signal: stop.signal });
        made = URL.createObjectURL(await answer.blob());
        if (stop.signal.aborted) URL.revokeObjectURL(made);
        else setUrl(made);
      } catch {
        // no picture: the label stands in its place
      } finally {
        done();
      }
    };
    void load();
    return () => {
      stop.abort();
      // not at once: it may still be on its way into the picture that goes
      if (made) setTimeout(() => URL.revokeObjectURL(made), 10_000);
    };
  }, [path]);
  return url ? <img src={url} alt={label} /> : <span className="no-picture">{label}</span>;
}
