// Requests to the API of this page's host, and to no other. The credential is in this tab's session storage:
// it arrives behind '#', which browsers don't send, and is never part of a query.

const STORAGE_KEY = "salespulse.token";

export class RequestError extends Error {
  constructor(status, problem, retryAfterS) {
    super(problem?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    sessionStorage.setItem(STORAGE_KEY, token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(STORAGE_KEY);
}

export function storeToken(token) {
  sessionStorage.setItem(STORAGE_KEY, token);
}

export function removeToken() {
  sessionStorage.removeItem(STORAGE_KEY);
}

async function request(path, { method = "GET", headers = {}, body, signal }) {
  const allHeaders = { Authorization: `Bearer ${sessionStorage.getItem(STORAGE_KEY) ?? ""}`, ...headers };
  if (body !== undefined) allHeaders["Content-Type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(path, { method, headers: allHeaders, body: text, signal, cache: "no-store", credentials: "omit" });
  if (!response.ok && response.status !== 304) {
    const isProblem = response.headers.get("content-type")?.includes("problem+json");
    const wait = Number(response.headers.get("retry-after"));
    throw new RequestError(response.status, isProblem ? await response.json() : null, Number.isFinite(wait) && wait > 0 ? wait : null);
  }
  return response;
}

/** GET. Returns {status, etag, asOf, stalenessS, isStale, document}; `document` is null where the figures are still those of `etag`. */
export async function get(path, { etag = null, accept = "application/json", signal } = {}) {
  const headers = { Accept: accept };
  if (etag) headers["If-None-Match"] = etag;
  const response = await request(path, { headers, signal });
  return {
    status: response.status,
    etag: response.headers.get("etag"),
    asOf: new Date(response.headers.get("x-as-of") ?? Date.now()),
    stalenessS: Number(response.headers.get("x-staleness-seconds") ?? 0),
    isStale: response.headers.get("x-stale") === "true",
    document: response.status === 304 ? null : accept === "text/csv" ? await response.blob() : await response.json(),
  };
}

/** POST. Returns the response's document; an idempotency key makes the request repeatable. */
export async function post(path, body, { key = null } = {}) {
  const headers = { Accept: "application/json", ...(key ? { "Idempotency-Key": key } : {}) };
  return (await request(path, { method: "POST", headers, body: body ?? {} })).json();
}

const SILENT_MAX_MS = 45_000; // three of the server's heartbeats

/**
 * Follow a stream of events with fetch, since EventSource can't send a credential. Yields null once the stream is open, then
 * {id, type, data} for each event; returns when the server ends the stream, and throws where it breaks or is silent for too long.
 */
export async function* follow(path, { signal }) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  signal.addEventListener("abort", abort);
  let timer = setTimeout(abort, SILENT_MAX_MS);
  try {
    const response = await request(path, { headers: { Accept: "text/event-stream" }, signal: controller.signal });
    if (response.status === 204) return;
    yield null;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(abort, SILENT_MAX_MS);
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]));
        if (fields.data) yield { id: Number(fields.id ?? 0), type: fields.event, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    controller.abort();
  }
}
