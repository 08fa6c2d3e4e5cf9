// The sales page: selects the figures, refreshes them, and shows errors.
import { get, removeToken, takeToken } from "./api.js";
import { drawHeat, drawReturns, drawTrend, repaint } from "./charts.js";
import { asAge, asClock, asCount, asMoment, asMoney, asPercent, asRange, setCurrency } from "./format.js";
import {
  byId, clearNotice, sentence, setUpPage, showHeatTable, showList, showNotice, showPanel, showSkeletons, showTiles, showTrendTable,
} from "./elements.js";

const EVERY_S = 5;
const OLD_AFTER_S = 15 * 60;
const lists = ["products", "groups", "returned", "payments", "stores"].map(byId);
const filters = Object.fromEntries(["from", "to", "store"].map((name) => [name, new URLSearchParams(location.search).get(name)]));

let overview = null;
let etag = null;
let freshness = null; // {asOf, receivedAt, stalenessS, isStale} of the last response
let timer = 0;
let retryAt = 0;
let running = null;

/* ---- requests ------------------------------------------------------------------------------------------------ */

function query(extra = {}) {
  const entries = Object.entries({ ...filters, ...extra }).filter(([, value]) => value);
  return entries.length ? `?${new URLSearchParams(entries)}` : "";
}

async function refresh({ isNew = false } = {}) {
  clearTimeout(timer);
  running?.abort();
  const controller = (running = new AbortController());
  if (isNew) {
    etag = null;
    if (overview) document.body.dataset.busy = "";
  }
  let waitS = EVERY_S;
  try {
    const answer = await get(`/api/dashboard/overview${query()}`, { etag, signal: controller.signal });
    freshness = { asOf: answer.asOf, receivedAt: Date.now(), stalenessS: answer.stalenessS, isStale: answer.isStale };
    etag = answer.etag;
    if (answer.document) show((overview = answer.document));
    retryAt = 0;
    clearNotice();
  } catch (error) {
    if (error.name === "AbortError") return;
    waitS = handleError(error);
  }
  if (controller !== running) return;
  delete document.body.dataset.busy;
  showFreshness();
  if (waitS !== null) schedule(waitS);
}

function schedule(seconds) {
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? schedule(EVERY_S) : refresh()), seconds * 1000);
}

/** Show an error; return the seconds until the next try, or null for none. */
function handleError(error) {
  if (error.status === 401 || error.status === 403) {
    if (error.status === 401) removeToken();
    signIn(error.status === 401 ? "Your session has ended" : "This account can't see the dashboard", error.message);
    return null;
  }
  const waitS = error.retryAfterS ?? 5;
  retryAt = Date.now() + waitS * 1000;
  if (error.status === 429) {
    showNotice("waiting", "One moment, please.", "Too many requests from this account; the figures below are the last ones loaded.");
  } else if (error.status === 422 || error.status === 404) {
    showNotice("waiting", "This selection is not available.", error.message, "Reset", reset);
    return null;
  } else if (error.status) {
    showNotice("down", "The figures are temporarily unavailable.", error.status === 503 && error.problem ? sentence(error.problem.detail) : "The server reported an error.", "Try now", () => refresh());
  } else {
    showNotice("down", "No connection.", "Reconnecting automatically.", "Try now", () => refresh());
  }
  if (!overview) document.body.dataset.view = "loading";
  return waitS;
}

/* ---- display ----------------------------------------------------------------------------------------------- */

function show(document_) {
  byId("tenant").textContent = document_.tenant ?? "Your shop";
  document.title = `${document_.tenant ?? "Sales"} · Salespulse`;
  if (document_.first_date === null) {
    showPanel("empty", "No sales yet", "The first sale appears here automatically, seconds after it is recorded.");
    return;
  }
  document.body.dataset.view = "figures";
  byId("panel").hidden = true;
  showFilters(document_);
  showTiles(byId("tiles"), document_);
  const { points, product_groups: groups } = document_;
  const hasSales = points.some((point) => point.sale_count || point.return_count);
  drawTrend(byId("trend"), document_);
  drawReturns(byId("returns"), document_);
  drawHeat(byId("heat"), document_.cells);
  const emptyText = hasSales ? "No data in this period." : "No sales in this period.";
  const maximum = (rows, name) => Math.max(...rows.map((row) => Number(row[name])), 0) || 1;
  const relativeChange = (now, before) => (Number(before) ? String((Number(now) - Number(before)) / Math.abs(Number(before))) : null);
  showList(byId("products"), document_.products.map((row) => ({
    key: row.product_id ?? "", what: row.name ?? row.sku ?? "Without a product", amount: asMoney(row.net_amount),
    share: Number(row.net_amount) / maximum(document_.products, "net_amount"), change: relativeChange(row.net_amount, row.previous_net_amount),
  })), emptyText);
  const soldGroups = groups.filter((row) => row.product_count > 0);
  const total = soldGroups.reduce((sum, row) => sum + Math.max(0, Number(row.net_amount)), 0) || 1;
  showList(byId("groups"), soldGroups.slice(0, 10).map((row) => ({
    key: row.product_group_id ?? "", what: row.product_group_name ?? "Without a group", amount: asMoney(row.net_amount),
    share: Number(row.net_amount) / maximum(soldGroups, "net_amount"), side: asPercent(Number(row.net_amount) / total),
  })), emptyText);
  showList(byId("returned"), document_.returned_products.map((row) => ({
    key: row.product_id ?? "", what: row.name ?? row.sku ?? "Without a product", amount: asMoney(row.refund_amount),
    share: Number(row.refund_amount) / maximum(document_.returned_products, "refund_amount"), side: `${asCount(row.returned_units)} pcs`, isQuiet: true,
  })), "No returns in this period.");
  showList(byId("payments"), document_.payments.filter((row) => row.payment_count || row.refund_count).map((row) => ({
    key: row.payment_method, what: row.payment_method.charAt(0).toUpperCase() + row.payment_method.slice(1), amount: asMoney(row.received_amount),
    share: Number(row.received_amount) / maximum(document_.payments, "received_amount"), change: relativeChange(row.received_amount, row.previous_received_amount),
  })), emptyText);
  const activeStores = document_.stores.filter((row) => row.sale_count || row.return_count);
  showList(byId("stores"), activeStores.slice(0, 8).map((row) => ({
    key: row.store_id, what: row.name ?? row.store_id, amount: asMoney(row.net_amount),
    share: Number(row.net_amount) / maximum(activeStores, "net_amount"), change: relativeChange(row.net_amount, row.previous_net_amount),
  })), emptyText);
  byId("returns-hint").textContent = `${asMoney(document_.totals.refund_amount)} refunded, ${asCount(document_.totals.return_count)} returns`;
  showTrendTable(byId("trend-table"), document_);
  showHeatTable(byId("heat-table"), document_.cells);
}

function showFilters({ period, previous_period: previous, last_date: last, first_date: first, store_names: stores }) {
  for (const name of ["from", "to"]) {
    if (document.activeElement !== byId(name)) byId(name).value = period[name];
    byId(name).min = first;
  }
  for (const button of document.querySelectorAll("[data-days]")) {
    button.setAttribute("aria-pressed", String(period.to === last && period.days === Number(button.dataset.days)));
  }
  byId("compared").textContent = `compared with ${asRange(previous.from, previous.to)}`;
  const picker = byId("store");
  if (picker.options.length !== stores.length + 1) {
    picker.replaceChildren(new Option("All stores", ""), ...stores.map((store) => new Option(store.name ?? store.store_id, store.store_id)));
  }
  picker.value = filters.store ?? "";
}

function showFreshness() {
  if (!freshness) return;
  const ageS = freshness.stalenessS + (Date.now() - freshness.receivedAt) / 1000;
  const waitS = Math.ceil((retryAt - Date.now()) / 1000);
  const state = waitS > 0 ? "waiting" : freshness.isStale || ageS > OLD_AFTER_S ? "old" : "live";
  byId("fresh").dataset.state = state;
  byId("fresh-text").textContent = { live: `Live · ${asClock(freshness.asOf)}`, old: `${asAge(ageS)} old`, waiting: `Retry in ${waitS} s` }[state];
  byId("as-of").textContent = `Figures include every sale up to ${asMoment(freshness.asOf)}.`;
}

function signIn(title, text) {
  clearNotice();
  overview = etag = freshness = null;
  showPanel("panel", title, `${sentence(text)} Open the dashboard from your application again, or paste an access token.`, { asksForToken: true });
}

/* ---- actions ------------------------------------------------------------------------------------------------ */

function choose(changes) {
  Object.assign(filters, changes);
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
    const { document: blob } = await get(`/api/dashboard/sales-summary${query({ format: "csv" })}`, { accept: "text/csv" });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "sales-summary.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    handleError(error);
  }
}

async function start() {
  if (!takeToken()) {
    showPanel("panel", "Your sales, as they happen", "Open the dashboard from your application, or paste an access token. Locally, `salespulse token` prints a link.", { asksForToken: true });
    return;
  }
  document.body.dataset.view = "loading";
  byId("panel").hidden = true;
  showSkeletons(byId("tiles"), lists);
  try {
    setCurrency((await get("/api/me")).document.currency);
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      handleError(error);
      return;
    }
  }
  await refresh({ isNew: true });
}

setUpPage({ start, repaint });
for (const button of document.querySelectorAll("[data-days]")) button.addEventListener("click", () => chooseDays(Number(button.dataset.days)));
for (const name of ["from", "to"]) {
  byId(name).addEventListener("change", () => {
    if (!byId("from").value || !byId("to").value) return;
    const [from, to] = [byId("from").value, byId("to").value].sort();
    choose({ from, to });
  });
}
byId("store").addEventListener("change", () => choose({ store: byId("store").value || null }));
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("csv").addEventListener("click", download);
for (const button of document.querySelectorAll("[data-table]")) {
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(isOpen));
    byId(`${button.dataset.table}-table`).hidden = !isOpen;
  });
}
document.addEventListener("visibilitychange", () => !document.hidden && overview && Date.now() > retryAt && refresh());
setInterval(showFreshness, 1000);
start();
