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

/** Ask. Gives {status, etag, asOf, stalenessS, isStale, document}; `document` is null where the figures are still those of `etag`. */
export async function ask(path, { etag = null, accept = "application/json", signal } = {}) {
  const headers = { Accept: accept, Authorization: `Bearer ${sessionStorage.getItem(STORED) ?? ""}` };
  if (etag) headers["If-None-Match"] = etag;
  const response = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit" });
  if (!response.ok && response.status !== 304) {
    const isProblem = response.headers.get("content-type")?.includes("problem+json");
    const wait = Number(response.headers.get("retry-after"));
    throw new Refused(response.status, isProblem ? await response.json() : null, Number.isFinite(wait) && wait > 0 ? wait : null);
  }
  return {
    status: response.status,
    etag: response.headers.get("etag"),
    asOf: new Date(response.headers.get("x-as-of") ?? Date.now()),
    stalenessS: Number(response.headers.get("x-staleness-seconds") ?? 0),
    isStale: response.headers.get("x-stale") === "true",
    document: response.status === 304 ? null : accept === "text/csv" ? await response.blob() : await response.json(),
  };
}
