import { Slider } from "../../parts/slider";
import * as example from "../example";
import { fixed } from "../format";
import { given } from "../given";
import { Filled, Formula, Scroll, V, Vi } from "../math";
import type { Chapter } from "../place";

const SAYS: Record<string, (value: string) => string> = {
  i: (value) => `Input gate: ${value} of the candidate is written.`,
  f: (value) => `Forget gate: ${value} of the old memory stays.`,
  g: (value) => `Candidate: ${value} could be written.`,
  o: (value) => `Output gate: ${value} of the memory is shown.`,
  c: (value) => `New memory: what stayed plus what was written, ${value}.`,
  h: (value) => `Output: what the next step gets to see, ${value}.`,
};

function Words() {
  return (
    <div class="words" role="group" aria-label="Words">
      <button type="button" onClick={() => example.step.value--} disabled={example.step.value === 0}>← word</button>
      {example.words.map((word, t) => (
        <button type="button" key={word} class="word" aria-pressed={t === example.step.value} onClick={() => (example.step.value = t)}>
          {word}
        </button>
      ))}
      <button type="button" onClick={() => example.step.value++} disabled={example.step.value === example.words.length - 1}>word →</button>
    </div>
  );
}

/** The six equations of one unit at one step, with every number filled in. */
function Equations() {
  const t = example.step.value;
  const { states } = example.over.value;
  const lines = example.lstm.lines(example.parameters.value, { x: example.xs.value[t]! }, states[t]!, 0);
  return (
    <ol class="equations" aria-label={`The equations of unit 1 at the word ${example.words[t]}`}>
      {lines.map((line, k) => (
        <li key={line.name} data-equation={line.name}>
          <Formula math={line.symbols} />
          <Filled math={line.numbers} />
          {line.products.length ? (
            <details open={k === 0}>
              <summary class="says">{SAYS[line.name]?.(fixed(line.value))}</summary>
              {line.products.map(({ symbols, numbers }) => (
                <div class="product" key={symbols}>
                  <Formula math={symbols} />
                  <span>=</span>
                  <Filled math={numbers} kept={0} />
                </div>
              ))}
            </details>
          ) : (
            <p class="says">{SAYS[line.name]?.(fixed(line.value))}</p>
          )}
        </li>
      ))}
    </ol>
  );
}

const COLUMNS = ["i", "f", "g", "o", "c", "h"];

function Table({ printed }: { printed: boolean }) {
  const { values } = example.over.value;
  const original = printed && !example.changed.value;
  return (
    <Scroll label="Table of all steps">
      <table class="steps tight">
        <thead>
          <tr>
            <th scope="col">word</th>
            {COLUMNS.map((name) => <th scope="col" key={name}><V>{name}</V></th>)}
          </tr>
        </thead>
        <tbody>
          {example.words.map((word, t) => (
            <tr key={word} class={t === example.step.value ? "now" : ""}>
              <th scope="row">{word}</th>
              {COLUMNS.map((name) => (
                <td key={name}>
                  <span data-value={`${name}${t + 1}`}>{fixed(values[t]![name]![0]!, "ch".includes(name) ? 4 : 3)}</span>
                  {original && (name === "c" || name === "h") ? <small class="soft">{given.example.printed[t]![name]}</small> : null}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Walk() {
  const t = example.step.value;
  const x = example.xs.value[t]!;
  return (
    <>
      <div class="text">
        <p>
          Four words, each given as two numbers. Two units, every weight {fixed(example.weight.value, 2)}, every bias{" "}
          {fixed(example.forgetBias.value, 0)}, and an empty memory to begin with. Both units are alike, so we follow one. Press the small triangle under an equation to see the products behind it.
        </p>
        <Words />
        <p class="result">
          “{example.words[t]}” is <Vi v="x" i={t + 1} /> = ({fixed(x[0]!, 1)}, {fixed(x[1]!, 1)}).{" "}
          {t === 0 ? <>Before it there is nothing: <V>c</V> and <V>h</V> are 0.</> : <>What it finds are <V>c</V> and <V>h</V> of “{example.words[t - 1]}”.</>}
        </p>
        <Table printed />
        <p class="caption">
          {example.changed.value
            ? "The numbers are changed: the next screen sets them back."
            : `Small, under c and h: what the example’s source prints. It rounds at every step, hence ${given.example.printed.at(-1)!.h} there and ${fixed(example.over.value.values.at(-1)!.h![0]!, 4)} here. It leaves out the inputs of “is” and “good”; those taken here give its table.`}
        </p>
      </div>
      <div class="figure"><Equations /></div>
    </>
  );
}

function Change() {
  return (
    <>
      <div class="text">
        <p>
          Move a number and watch all others. Try this: set the forget gate’s bias to 4. Now almost nothing is
          forgotten, and <V>c</V> only grows.
        </p>
        <div class="sliders">
          <Slider label="all weights" value={example.weight} min={-2} max={2} step={0.05} shown={(v) => fixed(v, 2)} />
          <Slider label="bias of f" spoken="bias of the forget gate" value={example.forgetBias} min={-4} max={4} step={0.1} shown={(v) => fixed(v, 1)} />
        </div>
        <div class="sliders two">
          {example.inputs.map((x, t) =>
            x.map((value, k) => (
              <Slider
                key={`${t}.${k}`}
                label={`${example.words[t]} ${k + 1}`}
                spoken={`input ${k + 1} at the word ${example.words[t]}`}
                value={value}
                min={-1}
                max={1}
                step={0.1}
                shown={(v) => fixed(v, 1)}
              />
            )),
          )}
        </div>
        <p><button type="button" onClick={example.reset} disabled={!example.changed.value}>Set all back</button></p>
        <Table printed={false} />
      </div>
      <div class="figure">
        <Words />
        <Equations />
      </div>
    </>
  );
}

export const step: Chapter = {
  id: "step",
  name: "The LSTM, step by step",
  minutes: 5,
  screens: [
    { title: "One word, six equations, every number", Body: Walk },
    { title: "Now move the numbers", Body: Change },
  ],
};
