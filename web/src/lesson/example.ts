// The worked example: "This movie is good", two inputs, two units, every weight the same.
import { computed, signal } from "@preact/signals";
import { type Arrays, backward, cell, filled, run, uniform, zeros } from "./cells";
import { given } from "./given";

export const lstm = cell("lstm");
export const UNITS = 2;
export const words = given.example.words;
const INPUTS = given.example.x.map((x) => x.map((value) => signal(value)));
const GATES = ["i", "f", "g", "o"];

export const weight = signal(0.5);
export const forgetBias = signal(0);
export const inputs = INPUTS;
export const step = signal(0);

export const changed = computed(
  () =>
    weight.value !== 0.5 ||
    forgetBias.value !== 0 ||
    inputs.some((x, t) => x.some((value, k) => value.value !== given.example.x[t]![k])),
);

/** Every number as in the source. */
export function reset(): void {
  weight.value = 0.5;
  forgetBias.value = 0;
  inputs.forEach((x, t) => x.forEach((value, k) => (value.value = given.example.x[t]![k]!)));
}

export const parameters = computed<Arrays>(() => ({
  ...uniform(lstm, { D: 2, H: UNITS }, weight.value),
  "b.f": filled(UNITS, forgetBias.value),
}));
export const xs = computed(() => inputs.map((x) => x.map((value) => value.value)));
export const over = computed(() =>
  run(lstm, parameters.value, xs.value, Object.fromEntries(lstm.states.map(({ name }) => [name, zeros(UNITS)]))),
);

export type Path = { direct: number; total: number };
/** For each step, how the last memory changes with this step's memory: along c alone, and in all. */
export const paths = computed<Path[]>(() => {
  const last = { c: filled(UNITS, 1) };
  const back = backward(lstm, parameters.value, over.value, last);
  let direct = 1;
  const found: Path[] = [];
  for (let t = words.length - 1; t >= 0; t--) {
    found[t] = { direct, total: back[t]!.equations.c![0]! };
    direct *= over.value.values[t]!.f![0]!;
  }
  return found;
});
export { GATES };
