// The jobs page: the list, updated by one stream of all the tenant's jobs; the form; cancelling.
import { get, removeToken, follow, post, takeToken } from "./api.js";
import { showFields } from "./jobs_form.js";
import { asKind, openDetails, openJobId, showDetails, showJobs } from "./jobs_view.js";
import { byId, clearNotice, make, sentence, setUpPage, showNotice, showPanel } from "./elements.js";

const PAGE = 50;
const RELOAD_AFTER_MS = 300; // events arrive in bursts: one reload for all of them,
const RELOAD_EVERY_MS = 1_500; // and not more often than this

let jobs = new Map(); // id to document
let older = null; // the cursor behind the oldest listed job
let kinds = new Map();
let form = null;
let states = "";
let reloadTimer = 0;
let reloadedAt = 0;
let stream = null; // an AbortController
let sendKey = null; // idempotency key of the current request, while its outcome is unknown

/* ---- the list ------------------------------------------------------------------------------------------------ */

function path(before = null) {
  const parameters = new URLSearchParams({ limit: PAGE });
  for (const state of states.split(" ").filter(Boolean)) parameters.append("state", state);
  if (before) parameters.set("before", before);
  return `/api/jobs?${parameters}`;
}

async function reload() {
  clearTimeout(reloadTimer);
  reloadTimer = 0;
  reloadedAt = Date.now();
  const requestedStates = states;
  const { document: page } = await get(path());
  if (requestedStates !== states) return;
  const oldest = page.jobs.at(-1)?.id;
  // Jobs older than this page were loaded on request, and stay; missing ones that belong on it are removed.
  const olderJobs = page.next && older ? [...jobs.values()].filter((job) => job.id < oldest) : [];
  if (!olderJobs.length) older = page.next;
  jobs = new Map([...page.jobs.map((job) => newer(job)), ...olderJobs].map((job) => [job.id, job]));
  clearNotice();
  show();
}

/** Return the newer state of a job: the list may have been read before an event that has arrived since. */
function newer(job) {
  const current = jobs.get(job.id);
  return current && current.seq > job.seq ? current : job;
}

function reloadSoon(waitMs = Math.max(RELOAD_AFTER_MS, reloadedAt + RELOAD_EVERY_MS - Date.now())) {
  if (!reloadTimer) reloadTimer = setTimeout(reloadWithRetry, waitMs);
}

async function reloadWithRetry() {
  try {
    await reload();
  } catch (error) {
    const waitS = handleError(error);
    if (waitS !== null) reloadSoon(waitS * 1000);
  }
}

async function loadOlder() {
  try {
    const { document: page } = await get(path(older));
    for (const job of page.jobs) jobs.set(job.id, newer(job));
    older = page.next;
    show();
  } catch (error) {
    handleError(error);
  }
}

function show() {
  document.body.dataset.view = "jobs";
  byId("panel").hidden = true;
  const sorted = [...jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  for (const skeleton of byId("jobs").querySelectorAll(".skeleton")) skeleton.remove();
  showJobs(byId("jobs"), sorted, { open, cancel, mayCancel });
  byId("none").hidden = sorted.length > 0;
  byId("none").textContent = states ? "No matching jobs." : "No jobs yet. Start one to follow its progress here.";
  byId("more").hidden = !older;
  const job = jobs.get(openJobId());
  if (job) showDetails(job, mayCancel(job));
}

const mayCancel = (job) => kinds.has(job.kind);

/* ---- events -------------------------------------------------------------------------------------------- */

function applyEvent(event) {
  const job = jobs.get(event.job_id);
  if (event.type === "state" || !job) reloadSoon();
  if (!job || event.seq <= job.seq) return;
  const { seq, state, code, percent, step, message, counts, attempt } = event;
  jobs.set(job.id, { ...job, seq, state, code, percent, step, message, counts, attempt });
  show();
}

async function followJobs() {
  stream?.abort();
  const controller = (stream = new AbortController());
  for (let waitS = 1; !controller.signal.aborted; ) {
    try {
      for await (const event of follow("/api/jobs/events", { signal: controller.signal })) {
        if (event?.type && event.type !== "resync") {
          applyEvent(event.data);
          continue;
        }
        // Open, or open again: the list has the events since.
        await reload();
        showConnection("live", "Live");
        waitS = 1;
      }
    } catch (error) {
      if (controller.signal.aborted) return;
      const retryS = handleError(error);
      if (retryS === null) return;
      waitS = Math.max(retryS, Math.min(2 * waitS, 15));
    }
    if (controller.signal.aborted) return;
    showConnection("waiting", "Reconnecting");
    await new Promise((resume) => setTimeout(resume, waitS * 1000));
  }
}

function showConnection(state, text) {
  byId("fresh").dataset.state = state;
  byId("fresh-text").textContent = text;
}

/** Show an error; return the seconds until the next try, or null for none. */
function handleError(error) {
  if (error.status === 401 || error.status === 403) {
    if (error.status === 401) removeToken();
    signIn(error.status === 401 ? "Your session has ended" : "This account can't see jobs", error.message);
    return null;
  }
  const waitS = error.retryAfterS ?? 2;
  if (error.problem?.type === "/problems/too-many-streams") showNotice("waiting", "Too many pages are open.", "This one continues when another is closed.");
  else if (error.status === 429) showNotice("waiting", "One moment, please.", `Too many requests from this account; retrying in ${waitS} s.`);
  else if (error.status) showNotice("down", "Jobs are temporarily unavailable.", error.problem ? sentence(error.problem.detail) : "The server reported an error.", "Try now", followJobs);
  else showNotice("down", "No connection.", "Reconnecting automatically.", "Try now", followJobs);
  return waitS;
}

function signIn(title, text) {
  stream?.abort();
  clearTimeout(reloadTimer);
  byId("details").close();
  clearNotice();
  showPanel("panel", title, `${sentence(text)} Open the page from your application again, or paste an access token.`, { asksForToken: true });
}

/* ---- actions -------------------------------------------------------------------------------------------------- */

async function open(id) {
  try {
    const job = jobs.get(id) ?? (await get(`/api/jobs/${id}`)).document;
    jobs.set(job.id, job);
    openDetails(job, { mayCancel: mayCancel(job), onClose: () => setAddress(null) });
    setAddress(id);
  } catch (error) {
    if (error.status === 404) setAddress(null);
    else handleError(error);
  }
}

function setAddress(id) {
  history.replaceState(null, "", `${location.pathname}${id ? `?job=${id}` : ""}`);
}

async function cancel(id) {
  try {
    const job = await post(`/api/jobs/${id}/cancel`);
    jobs.set(id, newer(job));
    show();
  } catch (error) {
    if (error.status === 409) reloadSoon();
    else handleError(error);
  }
}

function chooseKind() {
  const kind = kinds.get(byId("kind").value);
  byId("kind-text").textContent = kind?.description ?? "";
  form = showFields(byId("fields"), kind?.params_schema ?? {});
  byId("start-wrong").hidden = true;
}

async function submit(event) {
  event.preventDefault();
  const button = byId("start-button");
  button.disabled = true;
  byId("start-wrong").hidden = true;
  sendKey ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const job = await post("/api/jobs", { kind: byId("kind").value, params: form.read() }, { key: sendKey });
    sendKey = null;
    form.showErrors([]);
    if (!states || states.split(" ").includes(job.state)) jobs.set(job.id, newer(job));
    show();
  } catch (error) {
    // Without a response the job may have been created: the same key results in the same job.
    if (error.status) sendKey = null;
    if (error.status === 422 && error.problem?.errors) showFormError(form.showErrors(error.problem.errors).map((one) => one.detail));
    else if (error.status && error.status !== 401) showFormError([error.message]);
    else handleError(error);
  } finally {
    button.disabled = false;
  }
}

function showFormError(texts) {
  byId("start-wrong").hidden = !texts.length;
  byId("start-wrong").textContent = texts.map(sentence).join(" ");
}

async function loadKinds() {
  const { document: list } = await get("/api/jobs/kinds");
  kinds = new Map(list.kinds.map((kind) => [kind.kind, kind]));
  byId("kind").replaceChildren(...list.kinds.map((kind) => new Option(asKind(kind.kind), kind.kind)));
  if (kinds.has("refresh_sales_summary")) byId("kind").value = "refresh_sales_summary";
  byId("start-button").disabled = !list.kinds.length;
  chooseKind();
}

async function start() {
  if (!takeToken()) {
    showPanel("panel", "Background jobs", "Open this page from your application, or paste an access token. Locally, `salespulse token` prints a link.", { asksForToken: true });
    return;
  }
  document.body.dataset.view = "loading";
  byId("panel").hidden = true;
  byId("jobs").replaceChildren(...Array.from({ length: 4 }, () => make("li", "skeleton")));
  try {
    await loadKinds();
  } catch (error) {
    const waitS = handleError(error);
    if (waitS !== null) setTimeout(start, waitS * 1000);
    return;
  }
  followJobs();
  const jobId = new URLSearchParams(location.search).get("job");
  if (jobId) open(jobId);
}

setUpPage({ start });
byId("kind").addEventListener("change", chooseKind);
byId("start").addEventListener("submit", submit);
byId("more").addEventListener("click", loadOlder);
byId("d-close").addEventListener("click", () => byId("details").close());
byId("d-cancel").addEventListener("click", () => cancel(openJobId()));
for (const button of document.querySelectorAll("[data-states]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-states]")) other.setAttribute("aria-pressed", String(other === button));
    states = button.dataset.states;
    jobs = new Map();
    older = null;
    reloadWithRetry();
  });
}
setInterval(() => jobs.size && show(), 1000);
start();
