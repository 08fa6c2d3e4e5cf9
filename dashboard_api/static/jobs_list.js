// A job as a row, and what its states are called. Elements are kept and changed, so nothing flickers.
import { asAge } from "./format.js";
import { make } from "./parts.js";

const STATES = {
  queued: ["Queued", ""], dispatched: ["Starting", "busy"], running: ["Running", "busy"], retrying: ["Retrying", "warn"],
  canceling: ["Canceling", "warn"], succeeded: ["Done", "good"], failed: ["Failed", "bad"], canceled: ["Canceled", ""],
};
const ENDED = new Set(["succeeded", "failed", "canceled"]);

export const isEnded = (job) => ENDED.has(job.state);
export const asKind = (kind) => `${kind.charAt(0).toUpperCase()}${kind.slice(1).replaceAll("_", " ")}`;
export const stateName = (state) => STATES[state]?.[0] ?? state;

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function showState(chip, state) {
  chip.className = `chip ${STATES[state]?.[1] ?? ""}`.trim();
  setText(chip, stateName(state));
}

/** The progress bar of a job: how far, or that it is under way; none where it has ended. */
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

/** How long it took, or how long ago it was asked for. */
export function asTiming(job) {
  if (job.ended_at) {
    const tookS = job.started_at ? (Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000 : null;
    return `${tookS === null ? "" : `${tookS < 10 ? tookS.toFixed(1) : Math.round(tookS)} s · `}${asAge(secondsSince(job.ended_at))} ago`;
  }
  return job.started_at ? `for ${asAge(secondsSince(job.started_at))}` : `${asAge(secondsSince(job.created_at))} ago`;
}

/** What it is doing, or what became of it, in one line. */
export function asSaid(job) {
  if (job.state === "failed") return [job.code, job.message].filter(Boolean).join(": ");
  if (job.state === "queued" || job.state === "retrying") return job.waiting_for ?? job.message ?? (job.state === "queued" ? "Waiting for its turn" : "");
  if (isEnded(job)) return job.message ?? "";
  const percent = job.percent === null ? null : `${Math.round(job.percent)} %`;
  return [percent, job.step, job.message].filter(Boolean).join(" · ");
}

/** Show these jobs in this order. */
export function showJobs(list, jobs, { open, cancel, mayCancel }) {
  const known = new Map([...list.children].map((row) => [row.dataset.id, row]));
  let next = list.firstElementChild;
  for (const job of jobs) {
    const row = known.get(job.id) ?? makeRow(job, open, cancel);
    known.delete(job.id);
    fillRow(row, job, mayCancel(job));
    if (row === next) next = row.nextElementSibling;
    else list.insertBefore(row, next);
  }
  for (const row of known.values()) row.remove();
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
  row.append(line, make("span", "when"), make("span", "said"), end, make("div", "bar"));
  return row;
}

function fillRow(row, job, mayCancel) {
  row.dataset.state = job.state;
  showState(row.querySelector(".chip"), job.state);
  setText(row.querySelector(".when"), asTiming(job));
  setText(row.querySelector(".said"), asSaid(job));
  row.querySelector(".stop").hidden = isEnded(job) || !mayCancel;
  row.querySelector(".stop").disabled = job.state === "canceling";
  showBar(row.querySelector(".bar"), job);
}
