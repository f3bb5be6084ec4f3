import { signal } from "@preact/signals";
import { Chart } from "../chart";
import { given } from "../given";
import { Formula } from "../math";
import type { Chapter } from "../place";

const left = signal("lstm-1997");
const right = signal("lstm");
const PAIRS: [string, string, string][] = [
  ["lstm-1997", "lstm", "Before and after the forget gate: in 1997 what was stored stayed."],
  ["lstm", "peephole", "Peepholes: the gates also look at the memory (dashed)."],
  ["peephole", "cifg", "Coupled: one gate keeps and writes, f = 1 − i."],
  ["lstm", "gru", "The GRU: two gates instead of three, one state instead of two."],
  ["rnn", "lstm", "One layer, four layers."],
];

/** The names of equations that the other cell has otherwise, or not at all. */
function differing(own: string, other: string): string[] {
  const texts = new Map(given.cells[other]!.equations.map((e) => [e.name, e.text]));
  return given.cells[own]!.equations.filter((e) => texts.get(e.name) !== e.text).map((e) => e.name);
}

function Choice({ label, value, not }: { label: string; value: typeof left; not: string }) {
  const families = [...new Set(Object.values(given.cells).map((cell) => cell.family))];
  return (
    <label class="choice">
      <span>{label}</span>
      <select value={value.value} onChange={(e) => (value.value = e.currentTarget.value)}>
        {families.map((family) => (
          <optgroup key={family} label={family}>
            {Object.values(given.cells).filter((c) => c.family === family).map(({ name }) => <option key={name} value={name} disabled={name === not}>{name}</option>)}
          </optgroup>
        ))}
      </select>
    </label>
  );
}

function Side({ name, other, testid }: { name: string; other: string; testid: string }) {
  const page = given.cells[name]!;
  const marked = differing(name, other);
  return (
    <section class="side" aria-label={name} data-testid={testid}>
      <p class="summary"><b>{name}</b>: {page.summary}</p>
      <Chart cell={name} key={name} />
      <ul class="lines">
        {page.equations.map((e) => (
          <li key={e.name} class={marked.includes(e.name) ? "differs" : ""}>
            <Formula math={e.math} />
            {marked.includes(e.name) ? <span class="mark">differs</span> : null}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Body() {
  return (
    <div class="variants">
      <p>Since 1997 the equations have been varied in many ways. Choose a pair, or any two cells. Charts and marks are made from the equations that run.</p>
      <div class="choices">
        <Choice label="Left" value={left} not={right.value} />
        <Choice label="Right" value={right} not={left.value} />
      </div>
      <div class="presets" role="group" aria-label="Pairs worth a look">
        {PAIRS.map(([a, b, why]) => (
          <button
            type="button"
            key={a + b}
            title={why}
            aria-pressed={left.value === a && right.value === b}
            onClick={() => {
              left.value = a;
              right.value = b;
            }}
          >
            {a} · {b}
          </button>
        ))}
      </div>
      <p class="aside" aria-live="polite">{PAIRS.find(([a, b]) => a === left.value && b === right.value)?.[2] ?? `${left.value} beside ${right.value}.`}</p>
      <div class="sides">
        <Side name={left.value} other={right.value} testid="left" />
        <Side name={right.value} other={left.value} testid="right" />
      </div>
      <p class="aside">
        Greff et al. (2015) compared eight such variants in 5400 trainings: none was clearly better than the LSTM, and
        the forget gate and the output’s tanh mattered most.
      </p>
    </div>
  );
}

export const variants: Chapter = {
  id: "variants",
  name: "Variants side by side",
  minutes: 3,
  screens: [{ title: "Two cells beside each other", Body }],
};
