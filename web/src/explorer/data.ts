// What the page carries, and how it is read: small things at once, maps one by one, the rest when asked for.
import { signal, type Signal } from "@preact/signals";
import { Tile, undelta } from "../parts/heatmap";
import { array, content, type Kind } from "../parts/store";

export type MapInfo = {
  name: string; meaning: string; size: number; delta: boolean; wild: number;
  share: boolean; reach: number; largest: number;
};
export type MeasureInfo = { name: string; text: string; limits: string; unit: string };
export type PlaceInfo = {
  label: string; cell: string; program: string; units: number; reverse: boolean; every: number;
  maps: MapInfo[]; states: string[]; further: string[]; parameters: string[];
  measures: MeasureInfo[]; curves: { state: string; kind: string }[]; clamped: string[]; whole: [string, number | null][]; saturation: string[];
  tops: null | { of: string; labels: string[][]; middle: number; source: string; steps: null | (number | null)[][] };
  equations: string[]; source: string;
};
export type Content = {
  title: string; subtitle: string; notes: string[]; command: string; step: string; steps: number; dates: boolean;
  inputs: string[]; loss: string; metric: null | { name: string; value: number | null; lower: boolean; source: string };
  context: number | null;
  saturated: string; size: number; places: PlaceInfo[];
};

/** One layer in one direction, with what has been read of it. */
export type Place = PlaceInfo & {
  index: number;
  low: Map<string, Float32Array>;
  high: Map<string, Float32Array>;
  tiles: Map<string, Signal<Tile | null>>;
  measured: Float32Array[];
  lines: Float32Array[];
  changes: Map<string, Float32Array>;
  shares: Map<string, Float32Array>;
};

export const page = content<Content>();

const read = new Map<string, Promise<{ data: unknown; shape: number[] }>>();

/** An array of the page; asked for twice, it is read once. */
export function stored<K extends Kind>(name: string, kind: K): ReturnType<typeof array<K>> {
  if (!read.has(name)) read.set(name, array(name, kind));
  return read.get(name) as ReturnType<typeof array<K>>;
}

const floats = async (name: string): Promise<Float32Array> => (await stored(name, "float32")).data;

async function named(names: string[], name: (one: string) => string): Promise<Map<string, Float32Array>> {
  return new Map(await Promise.all(names.map(async (one) => [one, await floats(name(one))] as const)));
}

async function readPlace(info: PlaceInfo, index: number): Promise<Place> {
  const maps = info.maps.map((map) => map.name);
  const [low, high, measured, lines, changes, shares] = await Promise.all([
    named(maps, (name) => `${index}.low.${name}`),
    named(maps, (name) => `${index}.high.${name}`),
    Promise.all(info.measures.map((_, k) => floats(`${index}.measure.${k}`))),
    Promise.all(info.curves.map((_, k) => floats(`${index}.curve.${k}`))),
    named(info.clamped, (what) => `${index}.clamped.${what}`),
    named(info.saturation, (gate) => `${index}.saturation.${gate}`),
  ]);
  const tiles = new Map(maps.map((name) => [name, signal<Tile | null>(null)]));
  return { ...info, index, low, high, tiles, measured, lines, changes, shares };
}

export type Data = { time: Float64Array; inputs: Float32Array[]; places: Place[] };

/** Everything small. */
export async function readSmall(): Promise<Data> {
  const [time, inputs, places] = await Promise.all([
    stored("time", "float64"),
    Promise.all(page.inputs.map((_, k) => floats(`input.${k}`))),
    Promise.all(page.places.map(readPlace)),
  ]);
  return { time: time.data, inputs, places };
}

/** The maps of a place, one after the other, so that the page stays awake. */
export async function readMaps(place: Place): Promise<void> {
  for (const { name, size, delta } of place.maps) {
    const tile = place.tiles.get(name)!;
    if (tile.value) continue;
    const { data } = await stored(`${place.index}.map.${name}`, "uint8");
    if (tile.value) continue;
    if (delta) undelta(data, size, page.steps);
    await breath();
    tile.value = new Tile(data, size, page.steps, place.low.get(name)!, place.high.get(name)!);
    await breath();
  }
}

/** Lets the browser draw and listen. */
export function breath(): Promise<void> {
  return new Promise((go) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => go();
    channel.port2.postMessage(0);
  });
}
