// Where the time axis has its marks: at round dates, or at round numbers of steps.
import { page } from "./data";
import { data, type Range } from "./state";
import { number, whole } from "./words";

export type Tick = { at: number; text: string };

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const STEPS = [1000, 5000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 180 * MINUTE, 360 * MINUTE, 720 * MINUTE, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const MONTHS = [1, 3, 6, 12, 24, 60, 120, 240, 600];

/** About `most` marks in the range. */
export function ticks([from, to]: Range, most: number): Tick[] {
  const first = Math.max(0, Math.ceil(from));
  const last = Math.min(page.steps - 1, Math.floor(to));
  if (last < first) return [];
  return page.dates ? dates(first, last, most) : numbers(from, to, most);
}

function numbers(from: number, to: number, most: number): Tick[] {
  const rough = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const every = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough) ?? 10 * power;
  const found: Tick[] = [];
  for (let at = Math.ceil(from / every) * every; at < to && at < page.steps; at += every) {
    const value = data.time[at]!;
    found.push({ at, text: Number.isInteger(value) ? whole(value) : number(value, 5) });
  }
  return found;
}

function dates(first: number, last: number, most: number): Tick[] {
  const start = data.time[first]!;
  const end = data.time[last]!;
  const every = STEPS.find((k) => (end - start) / k <= most);
  const marks = every ? regular(start, end, every) : monthly(start, end, most);
  const found = marks.map((mark) => ({ at: index(mark), text: label(mark, every) }));
  return found.filter((tick, k) => k === 0 || tick.at > found[k - 1]!.at);
}

function regular(start: number, end: number, every: number): number[] {
  const shift = every >= 7 * DAY ? 4 * DAY : 0; // 1970 began on a Thursday
  const marks = [];
  for (let mark = Math.ceil((start - shift) / every) * every + shift; mark <= end; mark += every) marks.push(mark);
  return marks;
}

function monthly(start: number, end: number, most: number): number[] {
  const month = (t: number) => new Date(t).getUTCFullYear() * 12 + new Date(t).getUTCMonth();
  const every = MONTHS.find((k) => (month(end) - month(start)) / k <= most) ?? 1200;
  const marks = [];
  for (let m = Math.ceil(month(start) / every) * every; m <= month(end); m += every) {
    const mark = Date.UTC(Math.floor(m / 12), m % 12);
    if (mark >= start) marks.push(mark);
  }
  return marks;
}

function label(mark: number, every: number | undefined): string {
  const text = new Date(mark).toISOString();
  if (!every) return mark % DAY === 0 && text.slice(5, 7) === "01" ? text.slice(0, 4) : text.slice(0, 7);
  if (every >= DAY) return text.slice(0, 10);
  if (mark % DAY === 0) return text.slice(5, 10);
  return text.slice(11, every < MINUTE ? 19 : 16);
}

/** The first step that is not before this time. */
function index(time: number): number {
  let low = 0;
  let high = page.steps;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.time[middle]! < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
