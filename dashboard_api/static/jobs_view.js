// Jobs as rows of the list, and one job in the details dialog with its events. Elements are updated in place, so that nothing flickers.
import { get, follow } from "./api.js";
import { make, setText, byId } from "./elements.js";
import { asAge, asClock, asCount, asMoment } from "./format.js";

const STATES = {
  queued: ["Queued", ""], dispatched: ["Starting", "busy"], running: ["Running", "busy"], retrying: ["Retrying", "warn"],
  canceling: ["Canceling", "warn"], succeeded: ["Done", "good"], failed: ["Failed", "bad"], canceled: ["Canceled", ""],
};
const ENDED = new Set(["succeeded", "failed", "canceled"]);

export const isEnded = (job) => ENDED.has(job.state);
export const asKind = (kind) => `${kind.charAt(0).toUpperCase()}${kind.slice(1).replaceAll("_", " ")}`;
export const stateName = (state) => STATES[state]?.[0] ?? state;

export function showState(chip, state) {
  chip.className = `chip ${STATES[state]?.[1] ?? ""}`.trim();
  setText(chip, stateName(state));
}

/** Show a job's progress bar, without a value where the percentage is unknown; none where the job has ended. */
export function showBar(box, job) {
  if (isEnded(job)) {
    box.replaceChildren();
    return;
  }
  const bar = box.firstElementChild ?? box.appendChild(document.createElement("progress"));
  bar.max = 100;
  bar.className = job.state === "queued" || job.state === "retrying" ? "still" : "";
  if (job.percent === null || job.percent === undefined) bar.removeAttribute("value");
  else bar.value = job.percent;
  bar.setAttribute("aria-label", `${asKind(job.kind)}: ${job.percent === null ? stateName(job.state) : `${Math.round(job.percent)} %`}`);
}

const secondsSince = (text) => (Date.now() - Date.parse(text)) / 1000;

/** Return how long a job took, has been running, or has been waiting. */
export function asTiming(job) {
  if (job.ended_at) {
    const tookS = job.started_at ? (Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000 : null;
    return `${tookS === null ? "" : `${tookS < 10 ? tookS.toFixed(1) : Math.round(tookS)} s · `}${asAge(secondsSince(job.ended_at))} ago`;
  }
  return job.started_at ? `for ${asAge(secondsSince(job.started_at))}` : `${asAge(secondsSince(job.created_at))} ago`;
}

/** Return what a job is doing, or its outcome, in one line. */
export function asMessage(job) {
  if (job.state === "failed") return [job.code, job.message].filter(Boolean).join(": ");
  if (job.state === "queued" || job.state === "retrying") return job.waiting_for ?? job.message ?? (job.state === "queued" ? "Waiting in the queue" : "");
  if (isEnded(job)) return job.message ?? "";
  const percent = job.percent === null ? null : `${Math.round(job.percent)} %`;
  return [percent, job.step, job.message].filter(Boolean).join(" · ");
}

/** Show these jobs in this order. */
export function showJobs(list, jobs, { open, cancel, mayCancel }) {
  const rowsById = new Map([...list.children].map((row) => [row.dataset.id, row]));
  let next = list.firstElementChild;
  for (const job of jobs) {
    const row = rowsById.get(job.id) ?? makeRow(job, open, cancel);
    rowsById.delete(job.id);
    fillRow(row, job, mayCancel(job));
    if (row === next) next = row.nextElementSibling;
    else list.insertBefore(row, next);
  }
  for (const row of rowsById.values()) row.remove();
  list.setAttribute("aria-busy", "false");
}

function makeRow(job, open, cancel) {
  const row = make("li", "job");
  row.dataset.id = job.id;
  const line = make("div", "line");
  const name = make("button", "open", asKind(job.kind));
  name.type = "button";
  name.setAttribute("aria-haspopup", "dialog");
  name.addEventListener("click", () => open(job.id));
  line.append(name, make("span", "chip"));
  const stop = make("button", "ghost small stop", "Cancel");
  stop.type = "button";
  stop.setAttribute("aria-label", `Cancel ${asKind(job.kind)}`);
  stop.addEventListener("click", () => cancel(job.id));
  const end = make("div", "end");
  end.append(stop);
  row.append(line, make("span", "when"), make("span", "message"), end, make("div", "bar"));
  return row;
}

function fillRow(row, job, mayCancel) {
  row.dataset.state = job.state;
  showState(row.querySelector(".chip"), job.state);
  setText(row.querySelector(".when"), asTiming(job));
  setText(row.querySelector(".message"), asMessage(job));
  row.querySelector(".stop").hidden = isEnded(job) || !mayCancel;
  row.querySelector(".stop").disabled = job.state === "canceling";
  showBar(row.querySelector(".bar"), job);
}

const EVENTS_MAX = 300;
let openJob = null; // {id, stop}

export const openJobId = () => openJob?.id ?? null;

/** Open the details of a job; `onClose` is called when they are closed. */
export function openDetails(job, { mayCancel, onClose }) {
  openJob?.stop.abort();
  const stop = new AbortController();
  openJob = { id: job.id, stop };
  byId("d-events").replaceChildren();
  byId("d-download").hidden = true;
  showDetails(job, mayCancel);
  const dialog = byId("details");
  if (!dialog.open) dialog.showModal();
  dialog.onclose = () => {
    openJob?.stop.abort();
    openJob = null;
    onClose();
  };
  followEvents(job.id, stop.signal);
}

export function showDetails(job, mayCancel) {
  byId("d-title").textContent = asKind(job.kind);
  showState(byId("d-state"), job.state);
  showBar(byId("d-progress"), job);
  byId("d-progress").className = "bar";
  byId("d-message").textContent = asMessage(job);
  byId("d-cancel").hidden = isEnded(job) || !mayCancel;
  byId("d-cancel").disabled = job.state === "canceling";
  byId("d-run").hidden = !job.links.run;
  if (job.links.run) byId("d-run").href = job.links.run;
  const params = Object.entries(job.params).filter(([, value]) => value !== null);
  const parameters = params.map(([name, value]) => `${name} = ${typeof value === "object" ? JSON.stringify(value) : value}`);
  showFacts({
    Submitted: `${asMoment(new Date(job.created_at))}, by ${job.subject || "the system"}`,
    Timing: asTiming(job),
    Parameters: parameters.join(", "),
    Attempt: job.max_attempts > 1 ? `${job.attempt} of ${job.max_attempts}` : "",
    Joined: job.joined ? `${asCount(job.joined)} more requests` : "",
    Counts: Object.entries(job.counts).map(([name, count]) => `${asCount(count)} ${name.replaceAll("_", " ")}`).join(", "),
    "Last heartbeat": !isEnded(job) && job.heartbeat_at ? asClock(new Date(job.heartbeat_at)) : "",
    "Late outcome": job.late_outcome ? `attempt ${job.late_outcome.attempt} ${stateName(job.late_outcome.state).toLowerCase()}` : "",
    Id: job.id,
  });
  if (job.state === "succeeded" && job.result && byId("d-download").dataset.id !== job.id) showFile(job);
}

function showFacts(facts) {
  const entries = Object.entries(facts).filter(([, text]) => text);
  const box = byId("d-facts");
  const names = entries.map(([name]) => name).join();
  if (box.dataset.names !== names) box.replaceChildren(...entries.flatMap(([name]) => [make("dt", "", name), make("dd")]));
  box.dataset.names = names;
  // Only changed cells are written, so that a selection lasts.
  for (const [number, [, text]] of entries.entries()) {
    const cell = box.children[2 * number + 1];
    if (cell.textContent !== text) cell.textContent = text;
  }
}

async function showFile(job) {
  const link = byId("d-download");
  if (!job.result.file) return;
  try {
    const { document: result } = await get(job.links.result);
    if (openJobId() !== job.id || !result.file) return;
    link.href = result.file.url;
    link.download = result.file.name;
    link.textContent = `Download ${result.file.name}`;
    link.hidden = false;
  } catch (error) {
    if (openJobId() === job.id && error.status === 410) byId("d-message").textContent = "The file was deleted.";
  }
}

async function followEvents(id, signal) {
  for (let after = 0, waitS = 1; !signal.aborted; ) {
    try {
      let hasEnded = true;
      for await (const event of follow(`/api/jobs/${id}/events?after=${after}`, { signal })) {
        hasEnded = false;
        if (!event) continue;
        after = event.id;
        showEvent(event.data);
        waitS = 1;
        hasEnded = event.type === "state" && isEnded(event.data);
      }
      if (hasEnded) return;
    } catch (error) {
      if (signal.aborted) return;
      waitS = error.retryAfterS ?? Math.min(2 * waitS, 15);
      if (error.status === 401 || error.status === 403 || error.status === 404) return;
    }
    await new Promise((resume) => setTimeout(resume, waitS * 1000));
  }
}

function showEvent(event) {
  const list = byId("d-events");
  const row = make("li");
  const percent = event.percent === null ? null : `${Math.round(event.percent)} %`;
  const what = event.type === "state" ? [event.code, event.message] : [event.step, event.message];
  row.append(
    make("span", "at", asClock(new Date(event.at))),
    make("span", "", event.type === "state" ? stateName(event.state) : (percent ?? "")),
    make("span", "what", what.filter(Boolean).join(" · ")),
  );
  list.prepend(row);
  if (list.children.length > EVENTS_MAX) list.lastElementChild.remove();
}
