// One job whole, in a dialog, with its events as they come.
import { ask, follow } from "./api.js";
import { asClock, asCount, asMoment } from "./format.js";
import { asKind, asSaid, asTiming, isEnded, showBar, showState, stateName } from "./jobs_list.js";
import { make } from "./parts.js";
import { at } from "./shell.js";

const EVENTS_MAX = 300;
let shown = null; // {id, stop}

export const shownId = () => shown?.id ?? null;

/** Open the details of a job; `onClose` is called when they are closed. */
export function openDetails(job, { mayCancel, onClose }) {
  shown?.stop.abort();
  const stop = new AbortController();
  shown = { id: job.id, stop };
  at("d-events").replaceChildren();
  at("d-download").hidden = true;
  showDetails(job, mayCancel);
  const dialog = at("details");
  if (!dialog.open) dialog.showModal();
  dialog.onclose = () => {
    shown?.stop.abort();
    shown = null;
    onClose();
  };
  followEvents(job.id, stop.signal);
}

export function showDetails(job, mayCancel) {
  at("d-title").textContent = asKind(job.kind);
  showState(at("d-state"), job.state);
  showBar(at("d-progress"), job);
  at("d-progress").className = "bar";
  at("d-said").textContent = asSaid(job);
  at("d-cancel").hidden = isEnded(job) || !mayCancel;
  at("d-cancel").disabled = job.state === "canceling";
  at("d-run").hidden = !job.links.run;
  if (job.links.run) at("d-run").href = job.links.run;
  const params = Object.entries(job.params).filter(([, value]) => value !== null);
  const given = params.map(([name, value]) => `${name} = ${typeof value === "object" ? JSON.stringify(value) : value}`);
  showFacts({
    Asked: `${asMoment(new Date(job.created_at))}, by ${job.subject || "the system"}`,
    Timing: asTiming(job),
    Parameters: given.join(", "),
    Attempt: job.max_attempts > 1 ? `${job.attempt} of ${job.max_attempts}` : "",
    Joined: job.joined ? `${asCount(job.joined)} more requests` : "",
    Counted: Object.entries(job.counts).map(([name, count]) => `${asCount(count)} ${name.replaceAll("_", " ")}`).join(", "),
    "Last heard": !isEnded(job) && job.heartbeat_at ? asClock(new Date(job.heartbeat_at)) : "",
    "Heard later": job.late_outcome ? `attempt ${job.late_outcome.attempt} ${stateName(job.late_outcome.state).toLowerCase()}` : "",
    Id: job.id,
  });
  if (job.state === "succeeded" && job.result && at("d-download").dataset.id !== job.id) showFile(job);
}

function showFacts(facts) {
  const wanted = Object.entries(facts).filter(([, text]) => text);
  const box = at("d-facts");
  const names = wanted.map(([name]) => name).join();
  if (box.dataset.names !== names) box.replaceChildren(...wanted.flatMap(([name]) => [make("dt", "", name), make("dd")]));
  box.dataset.names = names;
  // Only what has changed is written, so that a selection lasts.
  for (const [number, [, text]] of wanted.entries()) {
    const cell = box.children[2 * number + 1];
    if (cell.textContent !== text) cell.textContent = text;
  }
}

async function showFile(job) {
  const link = at("d-download");
  if (!job.result.file) return;
  try {
    const { document: result } = await ask(job.links.result);
    if (shownId() !== job.id || !result.file) return;
    link.href = result.file.url;
    link.download = result.file.name;
    link.textContent = `Download ${result.file.name}`;
    link.hidden = false;
  } catch (error) {
    if (shownId() === job.id && error.status === 410) at("d-said").textContent = "The file is not kept any more.";
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
  const list = at("d-events");
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
