import { signal } from "@preact/signals";
import { Chart } from "../chart";
import { given } from "../given";
import { Formula, V } from "../math";
import type { Chapter } from "../place";

function Rnn() {
  return (
    <>
      <div class="text">
        <p>
          A recurrent network is one module, repeated at every step. What leaves on the right enters on the left of the
          next step.
        </p>
        <p>
          In the plain RNN the module holds <b>one layer</b>: weights for the input <V>x</V>, weights for the last state{" "}
          <V>h</V>, and a tanh.
        </p>
        <Formula math={given.cells.rnn!.equations[0]!.math} />
        <p class="aside">
          All that is remembered must pass through this one box, at every step. Whatever was there is mixed and squashed
          again.
        </p>
      </div>
      <div class="figure">
        <Chart cell="rnn" />
        <p class="caption">The RNN’s module, drawn from its equation.</p>
      </div>
    </>
  );
}

type Part = { name: string; title: string; text: string };
const PARTS: Part[] = [
  { name: "f", title: "the forget gate", text: "How much of each unit’s memory stays: 0 wipes it, 1 keeps it whole." },
  { name: "i", title: "the input gate", text: "How much of the new candidate is written into the memory." },
  { name: "g", title: "the candidate", text: "What could be written: between −1 and 1, made from the input and the last output." },
  { name: "c", title: "the memory", text: "What stays of the old, plus what is written of the new. Only a product and a sum: no matrix, no squashing. This is the thick line." },
  { name: "o", title: "the output gate", text: "How much of the memory is shown to the outside, and to the gates of the next step." },
  { name: "h", title: "the output", text: "The memory, squashed by tanh into −1 to 1, times the output gate." },
];
const chosen = signal("f");

function Lstm() {
  const part = PARTS.find(({ name }) => name === chosen.value) ?? PARTS[0]!;
  return (
    <>
      <div class="text">
        <p>
          The LSTM’s module holds <b>four layers</b> that read the same <V>x</V> and <V>h</V>: three gates (σ gives 0 to
          1) and a candidate (tanh). Choose a part, here or in the chart.
        </p>
        <div class="presets" role="group" aria-label="Parts of the LSTM">
          {PARTS.map(({ name, title }) => (
            <button type="button" key={name} aria-pressed={part.name === name} onClick={() => (chosen.value = name)}>
              <V>{name}</V> {title}
            </button>
          ))}
        </div>
        <div class="result" aria-live="polite" data-testid="part">
          <Formula math={given.cells.lstm!.equations.find((e) => e.name === part.name)!.math} />
          <p>{part.text}</p>
        </div>
      </div>
      <div class="figure">
        <Chart cell="lstm" lit={[part.name]} onPick={(name) => PARTS.some((p) => p.name === name) && (chosen.value = name)} />
        <p class="caption">
          The LSTM’s module, drawn from its six equations. The thick line carries what is kept from step to step.
        </p>
      </div>
    </>
  );
}

export const module: Chapter = {
  id: "module",
  name: "One layer against four",
  minutes: 2,
  screens: [
    { title: "The RNN: one layer in the repeating module", Body: Rnn },
    { title: "The LSTM: four, and a memory that is not squashed", Body: Lstm },
  ],
};
