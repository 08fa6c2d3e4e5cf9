// Numbers and dates as text. Amounts arrive as decimal strings and are formatted as such, without binary rounding.

const LOCALE = navigator.language || "en-GB";
let money = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
let shortMoney = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const quantity = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 3 });
const percent = new Intl.NumberFormat(LOCALE, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const roundPercent = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 0 });
const day = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", timeZone: "UTC" });
const dayAndYear = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const longDay = new Intl.DateTimeFormat(LOCALE, { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const month = new Intl.DateTimeFormat(LOCALE, { month: "short", year: "numeric", timeZone: "UTC" });
const weekday = new Intl.DateTimeFormat(LOCALE, { weekday: "short", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });

export function setCurrency(currency) {
  if (!currency) return;
  const style = { style: "currency", currency, currencyDisplay: "narrowSymbol" };
  money = new Intl.NumberFormat(LOCALE, style);
  shortMoney = new Intl.NumberFormat(LOCALE, { ...style, notation: "compact", minimumFractionDigits: 0, maximumFractionDigits: 1 });
}

const utc = (text) => new Date(text.length > 10 ? `${text}Z` : `${text}T00:00:00Z`);

export const asMoney = (text) => money.format(text);
export const asShortMoney = (number) => shortMoney.format(number);
export const asCount = (number) => whole.format(number);
export const asQuantity = (text) => quantity.format(text);
export const asPercent = (text) => percent.format(text);
export const asChange = (ratio) => (ratio < 1 ? percent : roundPercent).format(ratio);
export const asClock = (date) => clock.format(date);
export const asMoment = (date) => moment.format(date);
export const asWeekday = (isoWeekday) => weekday.format(new Date(Date.UTC(2024, 0, isoWeekday)));
export const asHour = (hour) => `${String(hour).padStart(2, "0")}:00`;

export function asRange(from, to) {
  const isSameYear = from.slice(0, 4) === to.slice(0, 4);
  return `${(isSameYear ? day : dayAndYear).format(utc(from))} – ${dayAndYear.format(utc(to))}`;
}

/** Return the label of a point of the trend: short for the axis, long for tooltip and table. */
export function asPoint(start, granularity, isLong = false) {
  if (granularity === "hour") return isLong ? `${longDay.format(utc(start.slice(0, 10)))}, ${start.slice(11, 16)}` : start.slice(11, 16);
  if (granularity === "month") return month.format(utc(start));
  if (granularity === "week") return isLong ? `Week from ${dayAndYear.format(utc(start))}` : day.format(utc(start));
  return isLong ? longDay.format(utc(start)) : day.format(utc(start));
}

export function asAge(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}
