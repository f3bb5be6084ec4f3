// What the reader looks at, and what changes it.
import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { page, readMaps, type Data, type Place } from "./data";

/** Set once, before anything is drawn. */
export let data: Data;
export function begin(found: Data): void {
  data = found;
  sort.value = firstSort(found.places[0]!);
  unit.value = order.value[0] ?? 0;
  rows.value = [0, place.value.units];
}

export type Range = readonly [number, number];
export const placeIndex = signal(0);
export const place = computed<Place>(() => data.places[placeIndex.value]!);

export const range = signal<Range>([0, page.steps]);
export const rows = signal<Range>([0, 1]);
export const step = signal(Math.max(0, page.steps - 1));
export const unit = signal(0);
/** Where the pointer is: a step, and over a map the unit. */
export const hover = signal<{ step: number; unit: number | null } | null>(null);
/** The chosen step's values of the chosen unit, computed anew: exact, where the maps have 256 levels. */
export const exact = signal<{ place: number; step: number; unit: number; values: Map<string, number> } | null>(null);

/** A value of a unit at a step: exact if it was computed anew, else what the map has. */
export function valueOf(name: string, at: number, which: number, stored: number): number {
  const known = exact.value;
  const here = known?.place === placeIndex.value && known.step === at && known.unit === which;
  return (here ? known.values.get(name) : undefined) ?? stored;
}

export const colouring = signal<"values" | "stretched" | "changes">("values");
export const tall = signal<"small" | "medium" | "large">("small");
export const sort = signal("index");
export const HEIGHTS = { small: 96, medium: 180, large: 420 };

/** By what units can be sorted: key -> label and values, largest first. */
export const sorts = computed(() => sortsOf(place.value));

function sortsOf(of: Place): Map<string, { label: string; values: Float32Array | null }> {
  const found = new Map<string, { label: string; values: Float32Array | null }>();
  of.measures.forEach((measure, k) => found.set(`measure.${k}`, { label: measure.name, values: of.measured[k]! }));
  for (const [gate, shares] of of.shares) {
    if (shares.length !== 2 * of.units) continue;
    const sums = Float32Array.from({ length: of.units }, (_, u) => shares[2 * u]! + shares[2 * u + 1]!);
    found.set(`saturation.${gate}`, { label: `saturation of ${gate}`, values: sums });
  }
  if (of.clamped.length) found.set("importance", { label: "importance", values: importance(of) });
  found.set("index", { label: "number", values: null });
  return found;
}

/** The largest change that clamping one of its gates makes; NaN for a unit at which nobody looked. */
export function importance(of: Place): Float32Array {
  return Float32Array.from({ length: of.units }, (_, u) => {
    const known = [...of.changes.values()].map((v) => Math.abs(v[u]!)).filter((v) => !Number.isNaN(v));
    return known.length ? Math.max(...known) : Number.NaN;
  });
}

function firstSort(of: Place): string {
  return sortsOf(of).keys().next().value!;
}

/** The units in the order in which they stand, the largest on top, unknown ones last. */
export const order = computed<Uint32Array>(() => {
  const units = Uint32Array.from({ length: place.value.units }, (_, k) => k);
  const values = sorts.value.get(sort.value)?.values;
  if (!values) return units;
  const key = (u: number) => (Number.isNaN(values[u]!) ? -Infinity : values[u]!);
  return units.sort((a, b) => (key(a) === key(b) ? a - b : key(b) > key(a) ? 1 : -1));
});

/** How many units have a value by which they are sorted. */
export const ranked = computed(() => sorts.value.get(sort.value)?.values?.filter((v) => !Number.isNaN(v)).length ?? place.value.units);

export const row = computed(() => order.value.indexOf(unit.value));

export function choosePlace(index: number): void {
  batch(() => {
    placeIndex.value = index;
    if (!sorts.value.has(sort.value)) sort.value = firstSort(place.value);
    unit.value = order.value[0] ?? 0;
    rows.value = [0, place.value.units];
    hover.value = null;
  });
}

export function select(at: number, which: number | null = null): void {
  batch(() => {
    step.value = clamp(Math.floor(at), 0, page.steps - 1);
    if (which !== null) unit.value = which;
    if (step.value < range.value[0] || step.value >= range.value[1]) centre(step.value);
  });
}

/** Selects the unit so many rows further down, and brings it into view. */
export function moveUnit(by: number): void {
  const at = clamp(row.value + by, 0, place.value.units - 1);
  unit.value = order.value[at]!;
  const [top, bottom] = rows.value;
  if (at < top) rows.value = [at, at + bottom - top];
  if (at >= bottom) rows.value = [at + 1 - (bottom - top), at + 1];
}

function centre(at: number): void {
  const length = range.value[1] - range.value[0];
  range.value = within(at - length / 2, length, page.steps);
}

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));

function within(start: number, length: number, whole: number): Range {
  const size = Math.min(whole, length);
  const from = clamp(start, 0, whole - size);
  return [from, from + size];
}

const LEAST_STEPS = 8;
const LEAST_ROWS = 4;

/** Zooms time about a place in it; factor below 1 shows less. */
export function zoom(factor: number, about: number = (range.value[0] + range.value[1]) / 2): void {
  range.value = zoomed(range.value, factor, about, page.steps, LEAST_STEPS);
}

export function pan(by: number): void {
  range.value = within(range.value[0] + by, range.value[1] - range.value[0], page.steps);
}

export function zoomRows(factor: number, about: number = row.value + 0.5): void {
  rows.value = zoomed(rows.value, factor, about, place.value.units, LEAST_ROWS);
}

export function panRows(by: number): void {
  rows.value = within(rows.value[0] + by, rows.value[1] - rows.value[0], place.value.units);
}

export function show(from: number, to: number): void {
  const length = Math.max(Math.min(LEAST_STEPS, page.steps), to - from);
  range.value = within((from + to - length) / 2, length, page.steps);
}

export function showRows(top: number, bottom: number): void {
  const length = Math.max(Math.min(LEAST_ROWS, place.value.units), bottom - top);
  rows.value = within((top + bottom - length) / 2, length, place.value.units);
}

export function reset(): void {
  batch(() => {
    range.value = [0, page.steps];
    rows.value = [0, place.value.units];
  });
}

function zoomed(now: Range, factor: number, about: number, whole: number, least: number): Range {
  const length = clamp((now[1] - now[0]) * factor, Math.min(least, whole), whole);
  const share = (about - now[0]) / (now[1] - now[0]);
  return within(about - clamp(share, 0, 1) * length, length, whole);
}

/** Reads the maps of each place that is looked at; `done` is called when all are there. */
export function follow(done: (index: number) => void): void {
  effect(() => {
    const of = place.value;
    untracked(() => void readMaps(of).then(() => done(of.index)));
  });
}
