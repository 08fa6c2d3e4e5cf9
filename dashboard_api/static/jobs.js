// The jobs page: the list, kept up to date by one stream of all the tenant's jobs; the form; cancelling.
import { ask, dropToken, follow, send, takeToken } from "./api.js";
import { openDetails, showDetails, shownId } from "./jobs_details.js";
import { showFields } from "./jobs_form.js";
import { asKind, isEnded, showJobs } from "./jobs_list.js";
import { make } from "./parts.js";
import { at, clearNotice, notice, panel, sentence, setUp } from "./shell.js";

const PAGE = 50;
const RELOAD_AFTER_MS = 300; // events come in bursts: one reload for all of them,
const RELOAD_EVERY_MS = 1_500; // and not more often than this

let jobs = new Map(); // id to document
let older = null; // the cursor behind the oldest job that is shown
let kinds = new Map();
let form = null;
let states = "";
let reloadTimer = 0;
let reloadedAt = 0;
let stream = null; // an AbortController
let sendKey = null; // of the request that is being made, kept while its outcome is unknown

/* ---- the list ------------------------------------------------------------------------------------------------ */

function path(before = null) {
  const given = new URLSearchParams({ limit: PAGE });
  for (const state of states.split(" ").filter(Boolean)) given.append("state", state);
  if (before) given.set("before", before);
  return `/api/jobs?${given}`;
}

async function reload() {
  clearTimeout(reloadTimer);
  reloadTimer = 0;
  reloadedAt = Date.now();
  const wanted = states;
  const { document: page } = await ask(path());
  if (wanted !== states) return;
  const oldest = page.jobs.at(-1)?.id;
  // What is older than this page was loaded by hand, and stays; what should be on it and isn't, goes.
  const kept = page.next && older ? [...jobs.values()].filter((job) => job.id < oldest) : [];
  if (!kept.length) older = page.next;
  jobs = new Map([...page.jobs.map((job) => newer(job)), ...kept].map((job) => [job.id, job]));
  clearNotice();
  show();
}

/** The list may have been read before an event that has come since. */
function newer(job) {
  const known = jobs.get(job.id);
  return known && known.seq > job.seq ? known : job;
}

function reloadSoon(waitMs = Math.max(RELOAD_AFTER_MS, reloadedAt + RELOAD_EVERY_MS - Date.now())) {
  if (!reloadTimer) reloadTimer = setTimeout(reloadOrAgain, waitMs);
}

async function reloadOrAgain() {
  try {
    await reload();
  } catch (error) {
    const waitS = refused(error);
    if (waitS !== null) reloadSoon(waitS * 1000);
  }
}

async function loadOlder() {
  try {
    const { document: page } = await ask(path(older));
    for (const job of page.jobs) jobs.set(job.id, newer(job));
    older = page.next;
    show();
  } catch (error) {
    refused(error);
  }
}

function show() {
  document.body.dataset.view = "jobs";
  at("panel").hidden = true;
  const found = [...jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  for (const skeleton of at("jobs").querySelectorAll(".skeleton")) skeleton.remove();
  showJobs(at("jobs"), found, { open, cancel, mayCancel });
  at("none").hidden = found.length > 0;
  at("none").textContent = states ? "No such jobs." : "No jobs yet. Start one, and it shows up here as it happens.";
  at("more").hidden = !older;
  const job = jobs.get(shownId());
  if (job) showDetails(job, mayCancel(job));
}

const mayCancel = (job) => kinds.has(job.kind);

/* ---- what happens -------------------------------------------------------------------------------------------- */

function happened(event) {
  const job = jobs.get(event.job_id);
  if (event.type === "state" || !job) reloadSoon();
  if (!job || event.seq <= job.seq) return;
  const { seq, state, code, percent, step, message, counts, attempt } = event;
  jobs.set(job.id, { ...job, seq, state, code, percent, step, message, counts, attempt });
  show();
}

async function live() {
  stream?.abort();
  const own = (stream = new AbortController());
  for (let waitS = 1; !own.signal.aborted; ) {
    try {
      for await (const event of follow("/api/jobs/events", { signal: own.signal })) {
        if (event?.type && event.type !== "resync") {
          happened(event.data);
          continue;
        }
        // Open, or cut off for a while: what happened meanwhile is in the list.
        await reload();
        fresh("live", "Live");
        waitS = 1;
      }
    } catch (error) {
      if (own.signal.aborted) return;
      const given = refused(error);
      if (given === null) return;
      waitS = Math.max(given, Math.min(2 * waitS, 15));
    }
    if (own.signal.aborted) return;
    fresh("waiting", "Reconnecting");
    await new Promise((resume) => setTimeout(resume, waitS * 1000));
  }
}

function fresh(state, text) {
  at("fresh").dataset.state = state;
  at("fresh-text").textContent = text;
}

/** Say why there is no answer; give the seconds until the next try, or null for none. */
function refused(error) {
  if (error.status === 401 || error.status === 403) {
    if (error.status === 401) dropToken();
    signIn(error.status === 401 ? "Your session has ended" : "This account can't see jobs", error.message);
    return null;
  }
  const waitS = error.retryAfterS ?? 2;
  if (error.problem?.type === "/problems/too-many-streams") notice("waiting", "Too many pages are open.", "This one goes on as soon as another is closed.");
  else if (error.status === 429) notice("waiting", "One moment, please.", `This account has asked more often than its limit allows; going on in ${waitS} s.`);
  else if (error.status) notice("down", "Jobs can't be reached just now.", error.problem ? sentence(error.problem.detail) : "The server reported an error.", "Try now", live);
  else notice("down", "No connection.", "Trying again by itself.", "Try now", live);
  return waitS;
}

function signIn(title, text) {
  stream?.abort();
  clearTimeout(reloadTimer);
  at("details").close();
  clearNotice();
  panel("panel", title, `${sentence(text)} Open the page from your application again, or paste an access token.`, { asksForToken: true });
}

/* ---- acting -------------------------------------------------------------------------------------------------- */

async function open(id) {
  try {
    const job = jobs.get(id) ?? (await ask(`/api/jobs/${id}`)).document;
    jobs.set(job.id, job);
    openDetails(job, { mayCancel: mayCancel(job), onClose: () => setAddress(null) });
    setAddress(id);
  } catch (error) {
    if (error.status === 404) setAddress(null);
    else refused(error);
  }
}

function setAddress(id) {
  history.replaceState(null, "", `${location.pathname}${id ? `?job=${id}` : ""}`);
}

async function cancel(id) {
  try {
    const job = await send(`/api/jobs/${id}/cancel`);
    jobs.set(id, newer(job));
    show();
  } catch (error) {
    if (error.status === 409) reloadSoon();
    else refused(error);
  }
}

function chooseKind() {
  const kind = kinds.get(at("kind").value);
  at("kind-text").textContent = kind?.description ?? "";
  form = showFields(at("fields"), kind?.params_schema ?? {});
  at("start-wrong").hidden = true;
}

async function submit(event) {
  event.preventDefault();
  const button = at("start-button");
  button.disabled = true;
  at("start-wrong").hidden = true;
  sendKey ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const job = await send("/api/jobs", { kind: at("kind").value, params: form.read() }, { key: sendKey });
    sendKey = null;
    form.showErrors([]);
    if (!states || states.split(" ").includes(job.state)) jobs.set(job.id, newer(job));
    show();
  } catch (error) {
    // Without an answer it may have been made: the same key asks for the same job.
    if (error.status) sendKey = null;
    if (error.status === 422 && error.problem?.errors) wrong(form.showErrors(error.problem.errors).map((one) => one.detail));
    else if (error.status && error.status !== 401) wrong([error.message]);
    else refused(error);
  } finally {
    button.disabled = false;
  }
}

function wrong(texts) {
  at("start-wrong").hidden = !texts.length;
  at("start-wrong").textContent = texts.map(sentence).join(" ");
}

async function loadKinds() {
  const { document: found } = await ask("/api/jobs/kinds");
  kinds = new Map(found.kinds.map((kind) => [kind.kind, kind]));
  at("kind").replaceChildren(...found.kinds.map((kind) => new Option(asKind(kind.kind), kind.kind)));
  if (kinds.has("refresh_sales_summary")) at("kind").value = "refresh_sales_summary";
  at("start-button").disabled = !found.kinds.length;
  chooseKind();
}

async function start() {
  if (!takeToken()) {
    panel("panel", "Work in the background", "Open this page from your application, or paste an access token. Locally, `salespulse token` prints a link.", { asksForToken: true });
    return;
  }
  document.body.dataset.view = "loading";
  at("panel").hidden = true;
  at("jobs").replaceChildren(...Array.from({ length: 4 }, () => make("li", "skeleton")));
  try {
    await loadKinds();
  } catch (error) {
    const waitS = refused(error);
    if (waitS !== null) setTimeout(start, waitS * 1000);
    return;
  }
  live();
  const wanted = new URLSearchParams(location.search).get("job");
  if (wanted) open(wanted);
}

setUp({ start });
at("kind").addEventListener("change", chooseKind);
at("start").addEventListener("submit", submit);
at("more").addEventListener("click", loadOlder);
at("d-close").addEventListener("click", () => at("details").close());
at("d-cancel").addEventListener("click", () => cancel(shownId()));
for (const button of document.querySelectorAll("[data-states]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-states]")) other.setAttribute("aria-pressed", String(other === button));
    states = button.dataset.states;
    jobs = new Map();
    older = null;
    reloadOrAgain();
  });
}
setInterval(() => jobs.size && show(), 1000);
start();
