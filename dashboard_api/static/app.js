// The page: what is asked for, when it is asked again, and what is shown when there is no answer.
import { ask, dropToken, takeToken } from "./api.js";
import { drawHeat, drawReturns, drawTrend, repaint } from "./charts.js";
import { asAge, asClock, asCount, asMoment, asMoney, asPercent, asRange, setCurrency } from "./format.js";
import { showHeatTable, showList, showSkeletons, showTiles, showTrendTable } from "./parts.js";
import { at, clearNotice, notice, panel, sentence, setUp } from "./shell.js";

const EVERY_S = 5;
const OLD_AFTER_S = 15 * 60;
const lists = ["products", "groups", "returned", "payments", "stores"].map(at);
const asked = Object.fromEntries(["from", "to", "store"].map((name) => [name, new URLSearchParams(location.search).get(name)]));

let overview = null;
let etag = null;
let seen = null; // {asOf, receivedAt, stalenessS, isStale}: the last answer's freshness
let timer = 0;
let retryAt = 0;
let running = null;

/* ---- asking ------------------------------------------------------------------------------------------------ */

function query(extra = {}) {
  const given = Object.entries({ ...asked, ...extra }).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function refresh({ isNew = false } = {}) {
  clearTimeout(timer);
  running?.abort();
  const own = (running = new AbortController());
  if (isNew) {
    etag = null;
    if (overview) document.body.dataset.busy = "";
  }
  let waitS = EVERY_S;
  try {
    const answer = await ask(`/api/dashboard/overview${query()}`, { etag, signal: own.signal });
    seen = { asOf: answer.asOf, receivedAt: Date.now(), stalenessS: answer.stalenessS, isStale: answer.isStale };
    etag = answer.etag;
    if (answer.document) show((overview = answer.document));
    retryAt = 0;
    clearNotice();
  } catch (error) {
    if (error.name === "AbortError") return;
    waitS = refused(error);
  }
  if (own !== running) return;
  delete document.body.dataset.busy;
  showFreshness();
  if (waitS !== null) schedule(waitS);
}

function schedule(seconds) {
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? schedule(EVERY_S) : refresh()), seconds * 1000);
}

/** Show why there is no answer, kindly; give the seconds until the next try, or null for none. */
function refused(error) {
  if (error.status === 401 || error.status === 403) {
    if (error.status === 401) dropToken();
    signIn(error.status === 401 ? "Your session has ended" : "This account can't see the dashboard", error.message);
    return null;
  }
  const waitS = error.retryAfterS ?? 5;
  retryAt = Date.now() + waitS * 1000;
  if (error.status === 429) {
    notice("waiting", "One moment, please.", "This account has asked more often than its limit allows; the figures below are the last ones.");
  } else if (error.status === 422 || error.status === 404) {
    notice("waiting", "That selection can't be shown.", error.message, "Reset", reset);
    return null;
  } else if (error.status) {
    notice("down", "The figures can't be read just now.", error.status === 503 && error.problem ? sentence(error.problem.detail) : "The server reported an error.", "Try now", () => refresh());
  } else {
    notice("down", "No connection.", "Trying again by itself.", "Try now", () => refresh());
  }
  if (!overview) document.body.dataset.view = "loading";
  return waitS;
}

/* ---- showing ----------------------------------------------------------------------------------------------- */

function show(document_) {
  at("tenant").textContent = document_.tenant ?? "Your shop";
  document.title = `${document_.tenant ?? "Sales"} · Salespulse`;
  if (document_.first_date === null) {
    panel("empty", "No sales yet", "As soon as the first sale is recorded, it shows up here by itself, seconds later.");
    return;
  }
  document.body.dataset.view = "figures";
  at("panel").hidden = true;
  showFilters(document_);
  showTiles(at("tiles"), document_);
  const { points, product_groups: groups } = document_;
  const hasSales = points.some((point) => point.sale_count || point.return_count);
  drawTrend(at("trend"), document_);
  drawReturns(at("returns"), document_);
  drawHeat(at("heat"), document_.cells);
  const nothing = hasSales ? "Nothing in this period." : "No sales in this period.";
  const most = (rows, name) => Math.max(...rows.map((row) => Number(row[name])), 0) || 1;
  const against = (now, before) => (Number(before) ? String((Number(now) - Number(before)) / Math.abs(Number(before))) : null);
  showList(at("products"), document_.products.map((row) => ({
    key: row.product_id ?? "", what: row.name ?? row.sku ?? "Without a product", amount: asMoney(row.net_amount),
    share: Number(row.net_amount) / most(document_.products, "net_amount"), change: against(row.net_amount, row.previous_net_amount),
  })), nothing);
  const sold = groups.filter((row) => row.product_count > 0);
  const total = sold.reduce((sum, row) => sum + Math.max(0, Number(row.net_amount)), 0) || 1;
  showList(at("groups"), sold.slice(0, 10).map((row) => ({
    key: row.product_group_id ?? "", what: row.product_group_name ?? "Without a group", amount: asMoney(row.net_amount),
    share: Number(row.net_amount) / most(sold, "net_amount"), side: asPercent(Number(row.net_amount) / total),
  })), nothing);
  showList(at("returned"), document_.returned_products.map((row) => ({
    key: row.product_id ?? "", what: row.name ?? row.sku ?? "Without a product", amount: asMoney(row.refund_amount),
    share: Number(row.refund_amount) / most(document_.returned_products, "refund_amount"), side: `${asCount(row.returned_units)} pcs`, isQuiet: true,
  })), "Nothing came back in this period.");
  showList(at("payments"), document_.payments.filter((row) => row.payment_count || row.refund_count).map((row) => ({
    key: row.payment_method, what: row.payment_method.charAt(0).toUpperCase() + row.payment_method.slice(1), amount: asMoney(row.received_amount),
    share: Number(row.received_amount) / most(document_.payments, "received_amount"), change: against(row.received_amount, row.previous_received_amount),
  })), nothing);
  const busy = document_.stores.filter((row) => row.sale_count || row.return_count);
  showList(at("stores"), busy.slice(0, 8).map((row) => ({
    key: row.store_id, what: row.name ?? row.store_id, amount: asMoney(row.net_amount),
    share: Number(row.net_amount) / most(busy, "net_amount"), change: against(row.net_amount, row.previous_net_amount),
  })), nothing);
  at("returns-hint").textContent = `${asMoney(document_.totals.refund_amount)} refunded, ${asCount(document_.totals.return_count)} returns`;
  showTrendTable(at("trend-table"), document_);
  showHeatTable(at("heat-table"), document_.cells);
}

function showFilters({ period, previous_period: previous, last_date: last, first_date: first, store_names: stores }) {
  for (const name of ["from", "to"]) {
    if (document.activeElement !== at(name)) at(name).value = period[name];
    at(name).min = first;
  }
  for (const button of document.querySelectorAll("[data-days]")) {
    button.setAttribute("aria-pressed", String(period.to === last && period.days === Number(button.dataset.days)));
  }
  at("compared").textContent = `compared with ${asRange(previous.from, previous.to)}`;
  const picker = at("store");
  if (picker.options.length !== stores.length + 1) {
    picker.replaceChildren(new Option("All stores", ""), ...stores.map((store) => new Option(store.name ?? store.store_id, store.store_id)));
  }
  picker.value = asked.store ?? "";
}

function showFreshness() {
  if (!seen) return;
  const ageS = seen.stalenessS + (Date.now() - seen.receivedAt) / 1000;
  const waitS = Math.ceil((retryAt - Date.now()) / 1000);
  const state = waitS > 0 ? "waiting" : seen.isStale || ageS > OLD_AFTER_S ? "old" : "live";
  at("fresh").dataset.state = state;
  at("fresh-text").textContent = { live: `Live · ${asClock(seen.asOf)}`, old: `${asAge(ageS)} old`, waiting: `Again in ${waitS} s` }[state];
  at("as-of").textContent = `Every sale up to ${asMoment(seen.asOf)} is in these figures.`;
}

function signIn(title, text) {
  clearNotice();
  overview = etag = seen = null;
  panel("panel", title, `${sentence(text)} Open the dashboard from your application again, or paste an access token.`, { asksForToken: true });
}

/* ---- acting ------------------------------------------------------------------------------------------------ */

function choose(changes) {
  Object.assign(asked, changes);
  history.replaceState(null, "", location.pathname + query());
  refresh({ isNew: true });
}

function reset() {
  choose({ from: null, to: null, store: null });
}

function chooseDays(days) {
  const to = overview?.last_date;
  if (!to) return;
  const from = new Date(Date.parse(`${to}T00:00:00Z`) - (days - 1) * 86_400_000).toISOString().slice(0, 10);
  choose({ from, to: null });
}

async function download(event) {
  event.preventDefault();
  try {
    const { document: blob } = await ask(`/api/dashboard/sales-summary${query({ format: "csv" })}`, { accept: "text/csv" });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "sales-summary.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    refused(error);
  }
}

async function start() {
  if (!takeToken()) {
    panel("panel", "Your sales, as they happen", "Open the dashboard from your application, or paste an access token. Locally, `salespulse token` prints a link.", { asksForToken: true });
    return;
  }
  document.body.dataset.view = "loading";
  at("panel").hidden = true;
  showSkeletons(at("tiles"), lists);
  try {
    setCurrency((await ask("/api/me")).document.currency);
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      refused(error);
      return;
    }
  }
  await refresh({ isNew: true });
}

setUp({ start, repaint });
for (const button of document.querySelectorAll("[data-days]")) button.addEventListener("click", () => chooseDays(Number(button.dataset.days)));
for (const name of ["from", "to"]) {
  at(name).addEventListener("change", () => {
    if (!at("from").value || !at("to").value) return;
    const [from, to] = [at("from").value, at("to").value].sort();
    choose({ from, to });
  });
}
at("store").addEventListener("change", () => choose({ store: at("store").value || null }));
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("csv").addEventListener("click", download);
for (const button of document.querySelectorAll("[data-table]")) {
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(isOpen));
    at(`${button.dataset.table}-table`).hidden = !isOpen;
  });
}
document.addEventListener("visibilitychange", () => !document.hidden && overview && Date.now() > retryAt && refresh());
setInterval(showFreshness, 1000);
start();
