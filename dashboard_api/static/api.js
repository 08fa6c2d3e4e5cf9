// Talks to the API of the host that served this page, and to no other. The credential lives in this tab's session
// storage: it arrives behind '#', which browsers send to nobody, and never stands in a query.

const STORED = "salespulse.token";

export class Refused extends Error {
  constructor(status, problem, retryAfterS) {
    super(problem?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(STORED);
}

export function keepToken(token) {
  sessionStorage.setItem(STORED, token);
}

export function dropToken() {
  sessionStorage.removeItem(STORED);
}

async function request(path, { method = "GET", headers = {}, body, signal }) {
  const given = { Authorization: `Bearer ${sessionStorage.getItem(STORED) ?? ""}`, ...headers };
  if (body !== undefined) given["Content-Type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(path, { method, headers: given, body: text, signal, cache: "no-store", credentials: "omit" });
  if (!response.ok && response.status !== 304) {
    const isProblem = response.headers.get("content-type")?.includes("problem+json");
    const wait = Number(response.headers.get("retry-after"));
    throw new Refused(response.status, isProblem ? await response.json() : null, Number.isFinite(wait) && wait > 0 ? wait : null);
  }
  return response;
}

/** Ask. Gives {status, etag, asOf, stalenessS, isStale, document}; `document` is null where the figures are still those of `etag`. */
export async function ask(path, { etag = null, accept = "application/json", signal } = {}) {
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

/** Send. Gives the document that comes back; an idempotency key makes it repeatable. */
export async function send(path, body, { key = null } = {}) {
  const headers = { Accept: "application/json", ...(key ? { "Idempotency-Key": key } : {}) };
  return (await request(path, { method: "POST", headers, body: body ?? {} })).json();
}

const SILENT_MAX_MS = 45_000; // three beats of the server's

/**
 * Follow a stream of events: EventSource can't carry a credential, and fetch can. Gives {id, type, data} as they come, and
 * null once the stream is open; ends when the server ends it; throws where it breaks, or is silent for too long.
 */
export async function* follow(path, { signal }) {
  const own = new AbortController();
  const abort = () => own.abort();
  signal.addEventListener("abort", abort);
  let timer = setTimeout(abort, SILENT_MAX_MS);
  try {
    const response = await request(path, { headers: { Accept: "text/event-stream" }, signal: own.signal });
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
    own.abort();
  }
}
