// A step computed again from the nearest stored state: exact numbers, where the maps have 256 levels.
import { page, stored, type Place } from "./data";

type Vectors = Record<string, ArrayLike<number>>;
export type Shown = { name: string; unit: number; symbols: string; numbers: string; value: number };
type CellProgram = {
  step(p: Vectors, x: Vectors, s: Vectors): Vectors;
  lines?(p: Vectors, x: Vectors, s: Vectors, unit: number): Shown[];
};
declare global {
  // eslint-disable-next-line no-var
  var gatedCells: Record<string, CellProgram> | undefined;
}

type Known = { parameters: Vectors; starts: Record<string, Float32Array>; inputs: Record<string, Float32Array> };
const known = new Map<number, Promise<Known>>();

async function group(names: string[], name: (one: string) => string): Promise<Record<string, Float32Array>> {
  const pairs = names.map(async (one) => [one, (await stored(name(one), "float32")).data] as const);
  return Object.fromEntries(await Promise.all(pairs));
}

async function read(place: Place): Promise<Known> {
  const at = place.index;
  const [parameters, starts, further, x] = await Promise.all([
    group(place.parameters, (key) => `${at}.p.${key}`),
    group(place.states, (state) => `${at}.at.${state}`),
    group(place.further, (name) => `${at}.in.${name}`),
    stored(`${at}.x`, "float32"),
  ]);
  return { parameters, starts, inputs: { x: x.data, ...further } };
}

function cut(all: Record<string, Float32Array>, row: number, count: number): Vectors {
  return Object.fromEntries(
    Object.entries(all).map(([name, values]) => {
      const size = values.length / count;
      return [name, values.subarray(row * size, (row + 1) * size)];
    }),
  );
}

/** Whether the page carries the cell's equations. */
export const computable = (place: Place): boolean => globalThis.gatedCells?.[place.program]?.lines !== undefined;

/** The equations of one unit at one step, with their numbers. */
export async function lines(place: Place, step: number, unit: number): Promise<Shown[]> {
  const cell = globalThis.gatedCells?.[place.program];
  if (!cell?.lines) return [];
  if (!known.has(place.index)) known.set(place.index, read(place));
  const { parameters, starts, inputs } = await known.get(place.index)!;
  const time = (run: number) => (place.reverse ? page.steps - 1 - run : run);
  const wanted = time(step);
  const block = Math.floor(wanted / place.every);
  const blocks = Math.ceil(page.steps / place.every);
  let states = cut(starts, block, blocks);
  for (let run = block * place.every; run < wanted; run++) {
    states = cell.step(parameters, cut(inputs, time(run), page.steps), states);
  }
  return cell.lines(parameters, cut(inputs, step, page.steps), states, unit);
}
