// Numbers and times for people.
import { page } from "./data";
import { data } from "./state";

/** About three digits, with a true minus. */
export function number(value: number, digits = 3): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size >= 1e6 || size < 1e-4)
      ? value.toExponential(digits - 1).replace("e+", "e")
      : String(+value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size || 1)))));
  return text.replaceAll("-", "−");
}

/** Three digits also where the last are 0, so that a read-out keeps its width, and reads as in an equation. */
export function figure(value: number): string {
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1000 && !Number.isInteger(value) ? value.toPrecision(3).replace("-", "−") : number(value);
}

export const signedNumber = (value: number): string => (value > 0 ? `+${number(value)}` : number(value));

export const percent = (share: number): string => `${Math.round(100 * share)} %`;

export const whole = (value: number): string => value.toLocaleString("en");

export function bytes(count: number): string {
  const power = Math.min(3, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return `${+(count / 1000 ** power).toPrecision(3)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** The time of a step. */
export function when(step: number): string {
  const value = data.time[step];
  if (value === undefined || Number.isNaN(value)) return "";
  return page.dates ? stamp(value) : number(value, 6);
}

const midnight = new WeakMap<Float64Array, boolean>();

/** "2024-03-05", with the time of day if any step has one. */
function stamp(value: number): string {
  if (!midnight.has(data.time)) midnight.set(data.time, data.time.every((v) => v % 86_400_000 === 0));
  const text = new Date(value).toISOString();
  if (midnight.get(data.time)) return text.slice(0, 10);
  return `${text.slice(0, 10)} ${text.slice(11, value % 60_000 ? 19 : 16)}`;
}

/** "step 8,123 · 2024-03-05 04:00", counted from 0. */
export function named(step: number): string {
  const time = when(step);
  const same = !page.dates && Number(data.time[step]) === step;
  return time && !same ? `step ${whole(step)} · ${time}` : `step ${whole(step)}`;
}
