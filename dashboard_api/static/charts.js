// The charts, drawn by Apache ECharts. Each keeps its instance, so that new figures animate it.
import { echarts } from "./echarts/index.js";
import { asCount, asHour, asMoney, asPoint, asShortMoney, asWeekday } from "./format.js";
import { make } from "./elements.js";

const charts = new Map();
const isStill = matchMedia("(prefers-reduced-motion: reduce)");

function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(["ink", "muted", "faint", "line", "surface", "accent", "before", "bad", "heat-0", "heat-1", "heat-2", "heat-3"].map((name) => [name, read(name)]));
}

function draw(box, label, option) {
  let chart = charts.get(box.id)?.chart;
  if (!chart) {
    chart = echarts.init(box, null, { renderer: "canvas" });
    new ResizeObserver(() => chart.resize()).observe(box);
  }
  charts.set(box.id, { chart, redraw: () => draw(box, label, option) });
  box.setAttribute("aria-label", label);
  const colour = colours();
  chart.setOption({
    animation: !isStill.matches,
    animationDuration: 350,
    animationDurationUpdate: 350,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colour.muted },
    ...option(colour),
  }, { replaceMerge: ["series"] });
}

/** Redraw all charts in the colours of the current theme. */
export function repaint() {
  for (const { redraw } of charts.values()) redraw();
}

function tip(colour, formatter) {
  return { backgroundColor: colour.surface, borderColor: colour.line, padding: [8, 12], confine: true, transitionDuration: 0, formatter };
}

function tipOf(when, lines) {
  const box = make("div", "tip");
  box.append(make("div", "when", when), ...lines.map(([name, value, isQuiet]) => {
    const line = make("div", isQuiet ? "line quiet" : "line");
    line.append(make("span", "", name), make("b", "", value));
    return line;
  }));
  return box;
}

const axes = (colour, labels, hide = false) => ({
  grid: { left: 4, right: 8, top: 12, bottom: 2, containLabel: true },
  xAxis: {
    type: "category", data: labels, boundaryGap: false, axisTick: { show: false }, axisLine: { lineStyle: { color: colour.line } },
    axisLabel: { color: colour.muted, hideOverlap: true, margin: 10, fontSize: 11.5 },
  },
  yAxis: {
    type: "value", splitNumber: hide ? 2 : 4, splitLine: { lineStyle: { color: colour.line } },
    axisLabel: { color: colour.muted, fontSize: 11.5, formatter: (value) => asShortMoney(value) },
  },
});

export function drawTrend(box, { points, granularity }) {
  const total = (name) => points.reduce((sum, point) => sum + Number(point[name]), 0);
  const label = `Line chart of net sales: ${asShortMoney(total("net_amount"))}, previous period ${asShortMoney(total("previous_net_amount"))}. The table below it has every point.`;
  const isSingle = points.length === 1;
  draw(box, label, (colour) => ({
    ...axes(colour, points.map((point) => asPoint(point.start, granularity))),
    tooltip: {
      trigger: "axis", axisPointer: { lineStyle: { color: colour.faint } },
      ...tip(colour, ([{ dataIndex }]) => {
        const point = points[dataIndex];
        return tipOf(asPoint(point.start, granularity, true), [
          ["Net sales", asMoney(point.net_amount)], ["Previous period", asMoney(point.previous_net_amount), true],
          ["Sales", asCount(point.sale_count), true], ["Refunds", asMoney(point.refund_amount), true],
        ]);
      }),
    },
    series: [
      {
        id: "before", type: "line", data: points.map((point) => Number(point.previous_net_amount)), symbol: "circle", symbolSize: 7, showSymbol: isSingle,
        lineStyle: { color: colour.before, width: 1.5, type: [4, 3] }, itemStyle: { color: colour.before }, z: 2,
      },
      {
        id: "now", type: "line", data: points.map((point) => Number(point.net_amount)), symbol: "circle", symbolSize: 7, showSymbol: isSingle,
        lineStyle: { color: colour.accent, width: 2.25 }, itemStyle: { color: colour.accent }, z: 3,
        areaStyle: { color: new echarts.graphic.LinearGradient(0, 0, 0, 1, [{ offset: 0, color: `${colour.accent}2e` }, { offset: 1, color: `${colour.accent}03` }]) },
      },
    ],
  }));
}

export function drawReturns(box, { points, granularity }) {
  draw(box, "Bar chart of refunds over time; the table under net sales has every point.", (colour) => {
    const base = axes(colour, points.map((point) => asPoint(point.start, granularity)), true);
    return {
      ...base,
      xAxis: { ...base.xAxis, boundaryGap: true },
      tooltip: {
        trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: `${colour.faint}22` } },
        ...tip(colour, ([{ dataIndex }]) => tipOf(asPoint(points[dataIndex].start, granularity, true), [
          ["Refunds", asMoney(points[dataIndex].refund_amount)], ["Returns", asCount(points[dataIndex].return_count), true],
        ])),
      },
      series: [{
        id: "refunds", type: "bar", data: points.map((point) => Number(point.refund_amount)), barMaxWidth: 18,
        itemStyle: { color: colour.bad, opacity: 0.75, borderRadius: [2, 2, 0, 0] },
      }],
    };
  });
}

export function drawHeat(box, cells) {
  const hours = cells.map((cell) => cell.hour);
  const first = Math.min(...hours, 8);
  const last = Math.max(...hours, 18);
  const labels = Array.from({ length: last - first + 1 }, (_, index) => asHour(first + index));
  const top = Math.max(1, ...cells.map((cell) => cell.sale_count));
  const best = cells.reduce((top, cell) => (cell.sale_count > (top?.sale_count ?? 0) ? cell : top), null);
  const cellsByHour = new Map(cells.map((cell) => [`${cell.weekday} ${cell.hour}`, cell]));
  const data = [];
  for (let weekday = 1; weekday <= 7; weekday += 1) {
    for (let hour = first; hour <= last; hour += 1) data.push([hour - first, 7 - weekday, cellsByHour.get(`${weekday} ${hour}`)?.sale_count ?? 0]);
  }
  const label = best ? `Heat map of sales by weekday and hour; peak on ${asWeekday(best.weekday)} at ${asHour(best.hour)}. The table has every hour.` : "Heat map without sales";
  draw(box, label, (colour) => ({
    grid: { left: 4, right: 8, top: 4, bottom: 2, containLabel: true },
    xAxis: { type: "category", data: labels, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: colour.muted, fontSize: 11.5, hideOverlap: true } },
    yAxis: { type: "category", data: [7, 6, 5, 4, 3, 2, 1].map(asWeekday), axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: colour.muted, fontSize: 11.5 } },
    visualMap: { show: false, min: 0, max: top, inRange: { color: [colour["heat-0"], colour["heat-1"], colour["heat-2"], colour["heat-3"]] } },
    tooltip: tip(colour, ({ data: [x, y, count] }) => tipOf(`${asWeekday(7 - y)}, ${asHour(x + first)} – ${asHour(x + first + 1)}`, [
      ["Sales", asCount(count)], ["Net sales", asMoney(cellsByHour.get(`${7 - y} ${x + first}`)?.net_amount ?? "0"), true],
    ])),
    series: [{ id: "heat", type: "heatmap", data, itemStyle: { borderColor: colour.surface, borderWidth: 2, borderRadius: 4 }, emphasis: { itemStyle: { borderColor: colour.ink } } }],
  }));
}
