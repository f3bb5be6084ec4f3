// The cells' equations as Python wrote them, and what follows from running them over time.

export type Vector = Float64Array;
export type Values = Record<string, Vector>;
export type Arrays = Record<string, ArrayLike<number>>;
type Written = { symbols: string; numbers: string; value: number };
/** An equation of one unit with its numbers, and each matrix product in it. */
export type EquationLine = Written & { name: string; products: Written[] };
type Back = { states: Values; inputs: Values; parameters: Values; equations: Values };

export type CellProgram = {
  name: string;
  states: { name: string; size: string; initial: number }[];
  equations: string[];
  parameters: { key: string; shape: (string | number)[] }[];
  step(p: Arrays, x: Arrays, s: Arrays): Values;
  back(p: Arrays, x: Arrays, s: Arrays, v: Values, d: Arrays): Back;
  lines(p: Arrays, x: Arrays, s: Arrays, unit: number): EquationLine[];
};

/** A cell of the page by its name. */
export function cell(name: string): CellProgram {
  return (globalThis as unknown as { gatedCells: Record<string, CellProgram> }).gatedCells[name]!;
}

export const zeros = (n: number): Vector => new Float64Array(n);
export const filled = (n: number, value: number): Vector => new Float64Array(n).fill(value);

/** One parameter of every key of a cell: matrices of one value, biases of another. */
export function uniform(of: CellProgram, sizes: Record<string, number>, weight: number, bias = 0): Arrays {
  const entries = of.parameters.map(({ key, shape }) => {
    const length = shape.reduce<number>((n, letter) => n * (typeof letter === "number" ? letter : sizes[letter]!), 1);
    return [key, filled(length, shape.length > 1 ? weight : bias)] as const;
  });
  return Object.fromEntries(entries);
}

export type Run = { states: Arrays[]; values: Values[]; xs: ArrayLike<number>[] };

/** The states before each step, and every value of each step. */
export function run(of: CellProgram, p: Arrays, xs: ArrayLike<number>[], initial: Arrays): Run {
  const states: Arrays[] = [];
  const values: Values[] = [];
  let now = initial;
  for (const x of xs) {
    states.push(now);
    const v = of.step(p, { x }, now);
    values.push(v);
    now = Object.fromEntries(of.states.map(({ name }) => [name, v[name]!]));
  }
  return { states, values, xs };
}

/** What `back` gives at each step, when `last` arrives at the states after the last one. */
export function backward(of: CellProgram, p: Arrays, { states, values, xs }: Run, last: Arrays): Back[] {
  const found: Back[] = [];
  let arriving = last;
  for (let t = values.length - 1; t >= 0; t--) {
    const g = of.back(p, { x: xs[t]! }, states[t]!, values[t]!, arriving);
    found[t] = g;
    arriving = g.states;
  }
  return found;
}

export const norm = (v: ArrayLike<number>): number => Math.hypot(...Array.from(v));
