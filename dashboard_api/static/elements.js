// What pages consist of: notice, sign-in panel and theme; tiles, lists and tables. Elements are updated in place, so that nothing flickers.
import { storeToken } from "./api.js";
import { asChange, asCount, asHour, asMoney, asPercent, asPoint, asQuantity, asShortMoney, asWeekday } from "./format.js";

export const byId = (id) => document.getElementById(id);
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export function showNotice(kind, title, text, action = null, run = null) {
  const box = byId("notice");
  box.dataset.kind = kind;
  byId("notice-title").textContent = title;
  byId("notice-text").textContent = text;
  byId("notice-action").hidden = !action;
  byId("notice-action").textContent = action ?? "";
  byId("notice-action").onclick = run;
  box.hidden = false;
}

export function clearNotice() {
  byId("notice").hidden = true;
}

export function showPanel(view, title, text, { asksForToken = false } = {}) {
  document.body.dataset.view = view;
  byId("panel-title").textContent = title;
  byId("panel-text").textContent = text;
  byId("sign-in").hidden = !asksForToken;
  byId("panel").hidden = false;
}

/** Set up the theme and the sign-in; `start` is called with a new token, `repaint` with a new theme. */
export function setUpPage({ start, repaint = () => {} }) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    repaint();
  };
  setTheme(localStorage.getItem("salespulse.theme") ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => localStorage.getItem("salespulse.theme") ?? setTheme(dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("salespulse.theme", theme);
    setTheme(theme);
  });
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    storeToken(byId("token").value.trim());
    byId("token").value = "";
    start();
  });
  addEventListener("hashchange", () => location.hash.includes("token=") && start());
}

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, className = "", text = null) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show a change as a chip: arrow, percentage, and whether it is good. `better` is "up", "down" or "". */
export function showChip(chip, change, better = "up") {
  const value = change === null ? null : Number(change);
  const isFlat = value === null || Math.abs(value) < 0.0005;
  const isGood = better === "" || isFlat ? null : value > 0 === (better === "up");
  chip.className = `chip${isGood === null ? "" : isGood ? " good" : " bad"}`;
  const size = value === null ? "new" : Math.abs(value) >= 10 ? `×${asCount(Math.abs(value) + 1)}` : asChange(Math.abs(value));
  setText(chip, isFlat && value !== null ? "±0 %" : `${value === null ? "" : value > 0 ? "▲ " : "▼ "}${size}`);
  chip.setAttribute("aria-label", value === null ? "nothing to compare with" : `${value >= 0 ? "up" : "down"} ${asPercent(Math.abs(value))}`);
}

// Net plus refunds is what the point's sales came to.
const averageOf = (point) => (point.sale_count ? (Number(point.net_amount) + Number(point.refund_amount)) / point.sale_count : 0);
const repeatNote = ({ totals }) => (totals.unique_customers ? `${asCount(totals.repeat_customers)} bought more than once` : "");

const TILES = [
  { name: "net_amount", title: "Net sales", show: asMoney, spark: "net_amount", before: "previous_net_amount", isLead: true },
  { name: "sale_count", title: "Sales", show: asCount, spark: "sale_count", before: "previous_sale_count" },
  { name: "average_order_value", title: "Average sale", show: asMoney, spark: averageOf },
  { name: "units", title: "Units sold", show: asQuantity, spark: "units" },
  { name: "unique_customers", title: "Customers", show: asCount, note: repeatNote },
  { name: "return_rate", title: "Return rate", show: asPercent, better: "down", spark: "refund_amount" },
  { name: "margin_amount", title: "Margin", show: asMoney, spark: "margin_amount", needs: "cost_amount" },
];

export function showTiles(box, overview) {
  const tiles = TILES.filter((tile) => !tile.needs || Number(overview.totals[tile.needs]) || Number(overview.previous_totals[tile.needs]));
  const names = tiles.map((tile) => tile.name).join();
  if (box.dataset.names !== names) {
    box.replaceChildren(...tiles.map(makeTile));
    box.dataset.names = names;
  }
  for (const tile of tiles) fillTile(box.querySelector(`[data-name="${tile.name}"]`), tile, overview);
  box.setAttribute("aria-busy", "false");
}

function makeTile(tile) {
  const element = make("article", tile.isLead ? "tile lead" : "tile");
  element.dataset.name = tile.name;
  const versus = make("p", "versus");
  versus.append(make("span", "chip"), make("span", "was"));
  const box = make("div", "box");
  box.append(make("p", "value"));
  element.append(make("h2", "name", tile.title), box, versus);
  const spark = document.createElementNS(SVG, "svg");
  spark.setAttribute("class", "spark");
  spark.setAttribute("viewBox", "0 0 100 28");
  spark.setAttribute("preserveAspectRatio", "none");
  spark.setAttribute("aria-hidden", "true");
  for (const name of ["before", "now"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    spark.append(path);
  }
  element.append(tile.note ? make("p", "note") : spark);
  return element;
}

function fillTile(element, tile, { totals, previous_totals: previous, change, points }) {
  const format = (value) => (value === null ? "–" : tile.show(value));
  const value = element.querySelector(".value");
  setText(value, format(totals[tile.name]));
  value.style.setProperty("--characters", value.textContent.length);
  showChip(element.querySelector(".chip"), change[tile.name], tile.better ?? "up");
  const before = previous[tile.name];
  setText(element.querySelector(".was"), before === null ? "no data before" : `from ${tile.show === asMoney && Math.abs(Number(before)) >= 10_000 ? asShortMoney(Number(before)) : format(before)}`);
  if (tile.note) setText(element.querySelector(".note"), tile.note({ totals }));
  else drawSpark(element.querySelector(".spark"), points, tile);
}

function drawSpark(svg, points, tile) {
  const read = (what) => (typeof what === "function" ? what : (point) => Number(point[what]));
  const series = { now: tile.spark && read(tile.spark), before: tile.before && read(tile.before) };
  const values = Object.values(series).filter(Boolean).flatMap((value) => points.map(value));
  const top = Math.max(...values, 0);
  const bottom = Math.min(...values, 0);
  for (const [className, value] of Object.entries(series)) {
    const position = (point, index) => `${((index / Math.max(1, points.length - 1)) * 100).toFixed(2)},${(26 - ((value(point) - bottom) / (top - bottom || 1)) * 24).toFixed(2)}`;
    const isDrawn = value && points.length > 1 && top > bottom;
    svg.querySelector(`.${className}`).setAttribute("d", isDrawn ? `M${points.map(position).join("L")}` : "");
  }
}

/** Show a ranked list of {key, what, amount, share, change | side, isQuiet}; rows keep their elements. */
export function showList(box, rows, nothing) {
  if (!rows.length) {
    box.replaceChildren(make("p", "none", nothing));
    return;
  }
  let list = box.querySelector("ol");
  if (!list) {
    list = make("ol");
    box.replaceChildren(list);
  }
  const knownRows = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const items = rows.map((row) => {
    const item = knownRows.get(row.key) ?? makeRow(row.key);
    fillRow(item, row);
    return item;
  });
  if (items.length !== list.children.length || items.some((item, index) => list.children[index] !== item)) list.replaceChildren(...items);
}

function makeRow(key) {
  const item = make("li");
  item.dataset.key = key;
  const row = make("div", "row");
  const bar = make("progress");
  bar.max = 1;
  bar.setAttribute("aria-hidden", "true");
  row.append(make("span", "what"), make("span", "amount"), make("span", "side"), bar);
  item.append(row);
  return item;
}

function fillRow(item, { what, amount, share, change, side, isQuiet }) {
  const [name, value, extra, bar] = item.firstChild.children;
  setText(name, what);
  name.title = what;
  setText(value, amount);
  if (change !== undefined) {
    if (!extra.firstElementChild) extra.replaceChildren(make("span", "chip"));
    showChip(extra.firstElementChild, change);
  } else {
    setText(extra, side ?? "");
  }
  bar.value = Math.max(0, Math.min(1, share));
  bar.className = isQuiet ? "quiet" : "";
}

export function showTrendTable(box, { points, granularity }) {
  const head = ["", "Net sales", "Previous period", "Sales", "Units", "Refunds"];
  showTable(box, "Net sales over time", head, points.map((point) => [
    asPoint(point.start, granularity, true), asMoney(point.net_amount), asMoney(point.previous_net_amount),
    asCount(point.sale_count), asQuantity(point.units), asMoney(point.refund_amount),
  ]));
}

export function showHeatTable(box, cells) {
  const cellsByHour = new Map(cells.map((cell) => [`${cell.weekday} ${cell.hour}`, cell]));
  const hours = [...new Set(cells.map((cell) => cell.hour))].sort((one, other) => one - other);
  const days = [1, 2, 3, 4, 5, 6, 7];
  showTable(box, "Sales by weekday and hour", ["", ...days.map(asWeekday)], hours.map((hour) => [
    asHour(hour), ...days.map((day) => asCount(cellsByHour.get(`${day} ${hour}`)?.sale_count ?? 0)),
  ]));
}

function showTable(box, caption, head, rows) {
  const table = make("table");
  table.setAttribute("aria-label", caption);
  const line = (cells, tag) => {
    const row = make("tr");
    row.append(...cells.map((cell, index) => make(index ? tag : "th", "", cell)));
    return row;
  };
  const header = make("thead");
  header.append(line(head, "th"));
  const body = make("tbody");
  body.append(...rows.map((cells) => line(cells, "td")));
  table.append(header, body);
  box.replaceChildren(table);
}

export function showSkeletons(tiles, lists) {
  tiles.replaceChildren(...TILES.slice(0, 6).map(() => {
    const tile = make("article", "tile");
    tile.append(make("div", "skeleton"), make("div", "skeleton big"), make("div", "skeleton"));
    return tile;
  }));
  tiles.dataset.names = "";
  for (const list of lists) list.replaceChildren(...Array.from({ length: 5 }, () => make("div", "skeleton")));
}
