/** The one place that talks to the service. */

import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import type { Answers, Problem } from "./schema.ts";

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
  ) {
    super(detail);
  }
}

let onUnknown: () => void = () => {};
/** Call a function whenever the service does not know who asks. */
export function whenUnknown(act: () => void): void {
  onUnknown = act;
}

type Scalar = string | number | boolean | null | undefined;
export type Params = Record<string, Scalar | string[]>;
export type Asked = { params?: Params; query?: Params; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal };

function address(path: string, { params = {}, query = {} }: Asked): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(params[name] ?? "")),
  );
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
  }
  const text = search.toString();
  return text ? `${filled}?${text}` : filled;
}

/** The answer of the service, or Refused with a sentence that says what to do. */
export async function ask(method: string, path: string, asked: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { ...asked.headers };
  if (asked.body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(address(path, asked), {
      method,
      headers,
      ...(asked.body === undefined ? {} : { body: JSON.stringify(asked.body) }),
      ...(asked.signal ? { signal: asked.signal } : {}),
    });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw new Refused(0, "");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && path !== "/api/login") onUnknown();
  let detail = answer.statusText;
  try {
    detail = ((await answer.json()) as Problem).detail;
  } catch {
    // not a problem of ours: a proxy's page
  }
  throw new Refused(answer.status, detail);
}

export async function call<K extends keyof Answers>(
  operation: K,
  asked: Asked = {},
): Promise<Answers[K]> {
  const [method = "GET", path = ""] = operation.split(" ");
  const answer = await ask(method, path, asked);
  const text = await answer.text();
  return (text ? JSON.parse(text) : null) as Answers[K];
}

type Gets = Extract<keyof Answers, `GET ${string}` | `POST ${string}`>;
export type Kept = { enabled?: boolean; every?: number; keep?: boolean };

/** What the service answers, kept and asked again when what is asked changes. */
export function useAnswer<K extends Gets>(
  operation: K,
  asked: Asked = {},
  kept: Kept = {},
): UseQueryResult<Answers[K], Refused> {
  const found = useQuery<unknown, Refused>({
    queryKey: [operation, asked.params, asked.query, asked.body],
    queryFn: ({ signal }) => call(operation, { ...asked, signal }),
    enabled: kept.enabled ?? true,
    ...(kept.every ? { refetchInterval: kept.every } : {}),
    ...(kept.keep ? { placeholderData: keepPreviousData } : {}),
  });
  return found as UseQueryResult<Answers[K], Refused>;
}

/** Server-sent events of an address, one after the other, until it ends. */
export async function* events(
  path: string,
  asked: Asked,
): AsyncGenerator<{ event: string; data: string }> {
  const answer = await ask("GET", path, asked);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop() ?? "";
    for (const part of parts) {
      const event = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (event && data) yield { event, data };
    }
  }
}

/** What the service says of a file that is sent to it; `told` hears how much of it is there. */
export function send<K extends keyof Answers>(
  operation: K,
  asked: Asked,
  file: Blob,
  told: (fraction: number) => void,
): Promise<Answers[K]> {
  const [method = "POST", path = ""] = operation.split(" ");
  return new Promise((done, refused) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much was sent
    request.open(method, address(path, asked));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = ({ loaded, total }) => told(total ? loaded / total : 1);
    request.onerror = () => refused(new Refused(0, ""));
    request.onload = () => {
      if (request.status < 300) {
        done(JSON.parse(request.responseText) as Answers[K]);
        return;
      }
      if (request.status === 401) onUnknown();
      let detail = request.statusText;
      try {
        detail = (JSON.parse(request.responseText) as Problem).detail;
      } catch {
        // not a problem of ours: a proxy's page
      }
      refused(new Refused(request.status, detail));
    };
    request.send(file);
  });
}

/** Hand a file that the service makes to the person. */
export async function download(
  method: string,
  path: string,
  asked: Asked,
  name: string,
): Promise<void> {
  await saved(await ask(method, path, asked), name);
}

/** Hand an answer to the person as a file. */
export async function saved(answer: Response, name: string): Promise<void> {
  const url = URL.createObjectURL(await answer.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
