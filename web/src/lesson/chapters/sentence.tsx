import { computed, signal } from "@preact/signals";
import { shares } from "../../parts/colours";
import type { Values } from "../cells";
import { fixed, percent, whole } from "../format";
import { given } from "../given";
import { Scroll, V } from "../math";
import type { Chapter } from "../place";
import { CHANGES, read, split } from "../reader";

const model = given.sentiment;
const text = signal(model.famous);
const change = signal("lstm");
const chosen = signal(0);
const reading = computed(() => read(text.value, change.value));
const GATES = [
  { name: "f", title: "forget gate", signed: false },
  { name: "i", title: "input gate", signed: false },
  { name: "o", title: "output gate", signed: false },
  { name: "g", title: "candidate", signed: true },
  { name: "c", title: "memory", signed: true },
  { name: "h", title: "output", signed: true },
];

function tint(value: number, signed: boolean): string {
  if (signed) {
    const share = Math.round(100 * Math.min(1, Math.abs(value)));
    return `color-mix(in oklab, var(${value < 0 ? "--minus" : "--plus"}) ${share}%, var(--zero))`;
  }
  const c = shares[Math.round(255 * Math.max(0, Math.min(1, value)))]!;
  return `rgb(${c & 255} ${(c >> 8) & 255} ${(c >> 16) & 255})`;
}

const mean = (v: ArrayLike<number>): number => Array.from(v).reduce((a, b) => a + b, 0) / v.length;
/** What a gate holds at a word; one that is fixed is no equation of the cell any more. */
function at(values: Values, name: string): ArrayLike<number> {
  return values[name] ?? new Float64Array(model.units).fill(Number(change.value.at(-1)));
}

function Heat({ name, title, signed }: (typeof GATES)[number]) {
  const { values, words } = reading.value;
  const known = words.filter((w) => w.known);
  const top = signed ? Math.max(1, ...values.flatMap((v) => Array.from(at(v, name), Math.abs))) : 1;
  return (
    <div class="heat">
      <div class="heatname"><V>{name}</V><span>{title}</span></div>
      <svg
        viewBox={`0 0 ${values.length} ${model.units}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title} ${name}, mean over the units: ${known.map((w, t) => `${w.text} ${fixed(mean(at(values[t]!, name)), 2)}`).join(", ")}`}
      >
        {values.map((v, t) =>
          Array.from(at(v, name), (value, unit) => (
            <rect key={`${t}.${unit}`} x={t + 0.03} y={unit + 0.06} width="0.94" height="0.88" style={{ fill: tint(value / top, signed) }}>
              <title>{`${known[t]!.text}, unit ${unit + 1}: ${fixed(value, 2)}`}</title>
            </rect>
          )),
        )}
      </svg>
    </div>
  );
}

function Reading() {
  const { values, words, verdicts } = reading.value;
  const known = words.filter((w) => w.known);
  const t = Math.min(chosen.value, known.length - 1);
  if (!known.length) return <p class="result" role="status">{words.length ? "None of these words is known to the model; the list above has those that are." : "Write a word."}</p>;
  const last = verdicts.at(-1)!;
  return (
    <div class="reading" style={{ "--words": known.length, "--longest": Math.max(...known.map((w) => w.text.length)) }}>
      <p class="result" role="status">
        Verdict: {Math.abs(last - 0.5) < 0.1 ? "undecided" : last > 0.5 ? "praise" : "criticism"} (
        <b data-testid="verdict">{percent(last)}</b> praise).
        <Forgotten known={known} values={values} />
        {words.some((w) => !w.known) ? (
          <span data-testid="unknown"> Left out, because the model never met it: {words.filter((w) => !w.known).map((w) => `“${w.text}”`).join(", ")}.</span>
        ) : null}
      </p>
      <div class="grid" data-keys>
        <div class="heat verdicts">
          <div class="heatname"><span>after each word</span></div>
          <div class="columns">
            {known.map((word, k) => (
              <button type="button" key={k} aria-pressed={k === t} onClick={() => (chosen.value = k)}>
                <span class="meter"><span style={{ height: percent(verdicts[k]!).replace(" ", ""), background: verdicts[k]! > 0.5 ? "var(--plus)" : "var(--minus)" }} /></span>
                <span>{percent(verdicts[k]!)}</span>
                <span class="said">{word.text}</span>
              </button>
            ))}
          </div>
        </div>
        {GATES.map((gate) => <Heat key={gate.name} {...gate} />)}
      </div>
      <Legend />
      <details>
        <summary>All numbers at “{known[t]!.text}”</summary>
        <Scroll label="Table">
          <table class="steps">
            <thead><tr><th scope="col">unit</th>{GATES.map(({ name }) => <th scope="col" key={name}><V>{name}</V></th>)}</tr></thead>
            <tbody>
              {Array.from({ length: model.units }, (_, unit) => (
                <tr key={unit}><th scope="row">{unit + 1}</th>{GATES.map(({ name }) => <td key={name}>{fixed(at(values[t]!, name)[unit]!, 2)}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </div>
  );
}

/** Where most is forgotten, in words: f is small at some word, but only what the memory holds can go. */
function Forgotten({ known, values }: { known: { text: string }[]; values: Values[] }) {
  if (change.value !== "lstm" || known.length < 2) return null;
  const held = values.map((_, t) => (t ? Array.from(at(values[t - 1]!, "c"), Math.abs) : []));
  const lost = held.map((c, t) => c.reduce((sum, size, unit) => sum + (1 - at(values[t]!, "f")[unit]!) * size, 0));
  const most = lost.indexOf(Math.max(...lost));
  const before = held[most]!.reduce((sum, size) => sum + size, 0);
  return (
    <>
      {" "}Most is forgotten at “<span data-testid="forgotten">{known[most]!.text}</span>”: of {fixed(before, 2)} that the
      memory holds before it (|<V>c</V>|, all units together) <span data-testid="lost">{fixed(lost[most]!, 2)}</span> goes;{" "}
      <V>f</V> is {fixed(mean(at(values[most]!, "f")), 2)} on average.
    </>
  );
}

function Legend() {
  const bar = (signed: boolean) => `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map((s) => tint(signed ? 2 * s - 1 : s, signed)).join(", ")})`;
  return (
    <p class="keys">
      <span>gates: 0 <span class="ramp" style={{ background: bar(false) }} /> 1</span>
      <span>values: − <span class="ramp" style={{ background: bar(true) }} /> +</span>
      <span>one row a unit</span>
    </p>
  );
}

/** The gates as they are, or one of them fixed. */
function Gates() {
  return (
    <>
      <div class="presets" role="group" aria-label="Gates">
        {CHANGES.map(({ cell, label }) => (
          <button type="button" key={cell} aria-pressed={change.value === cell} onClick={() => (change.value = cell)}>{label}</button>
        ))}
      </div>
      <p class="aside" aria-live="polite">{CHANGES.find(({ cell }) => cell === change.value)!.says}</p>
    </>
  );
}

function Famous() {
  return (
    <div class="sentence">
      <p>
        This LSTM of {model.units} units was trained by the project, on sentences of a small grammar, to tell praise from
        criticism. It never saw this sentence in training. Watch the verdict turn at “boring”, a bad word that “not at
        all” made good. Then take a gate away.
      </p>
      <Gates />
      <Reading />
    </div>
  );
}

const TRIES = [
  model.famous,
  "not good",
  "not very good",
  "very good but dull",
  "dull but very good",
  "the movie was slow and silly but wonderful",
  "never boring",
];

function Own() {
  const append = (word: string) => (text.value = `${text.value.trim()} ${word}`.trim());
  return (
    <div class="sentence">
      <p>Write a sentence of your own, or press words. A word outside the vocabulary has no vector, so it is left out.</p>
      <div class="own">
        <label for="own">Sentence</label>
        <input id="own" type="text" value={text.value} autocomplete="off" spellcheck={false} maxLength={200} onInput={(e) => (text.value = e.currentTarget.value)} />
        <button type="button" onClick={() => (text.value = split(text.value).slice(0, -1).map((w) => w.text).join(" "))} disabled={!text.value}>Remove last</button>
        <button type="button" onClick={() => (text.value = "")} disabled={!text.value}>Clear</button>
      </div>
      <div class="presets" role="group" aria-label="Sentences to try">
        {TRIES.map((one) => (
          <button type="button" key={one} aria-pressed={text.value === one} onClick={() => (text.value = one)}>{one}</button>
        ))}
      </div>
      <details>
        <summary>The {model.vocabulary.length} words that it knows</summary>
        <div class="vocabulary">
          {model.vocabulary.map((word) => <button type="button" key={word} onClick={() => append(word)}>{word}</button>)}
        </div>
      </details>
      <Gates />
      <Reading />
    </div>
  );
}

function Honest() {
  const all = model.accuracy.all!;
  return (
    <>
      <div class="text">
        <p>
          The model has {whole(model.weights)} weights and learned from {whole(model.sentences)} sentences that a grammar
          drew at random. The grammar’s rules give each sentence a score, for example:
        </p>
        <ul class="sums">
          <li>an adjective counts −1.5 to 1.5: “dull” {fixed(model.adjectives.dull!, 1)}, “wonderful” {fixed(model.adjectives.wonderful!, 1)}</li>
          <li>“very” multiplies by {model.intensifiers.very}, “slightly” by {model.intensifiers.slightly}</li>
          <li>“not” turns round and multiplies by {model.negations.not}, “not at all” by {model.negations["not at all"]}; “not very” by {model.mild}</li>
          <li>“and” adds; what stands before “but” counts {model.beforeBut}</li>
        </ul>
        <p>
          A fifth of the sentences of two or three parts was kept away from training. On {whole(all.of)} of those, model
          and rules agree on praise or criticism in <b data-testid="right">{whole(all.right)}</b>.
        </p>
      </div>
      <div class="figure">
        <table class="steps">
          <thead><tr><th scope="col">held-out sentences</th><th scope="col">right</th><th scope="col">of</th></tr></thead>
          <tbody>
            {Object.entries(model.accuracy).map(([name, { right, of }]) => (
              <tr key={name}><th scope="row">{name}</th><td>{whole(right)}</td><td>{whole(of)}</td></tr>
            ))}
          </tbody>
        </table>
        <p class="aside">
          That is no proof that it understands English. It knows {model.vocabulary.length} words and one kind of
          sentence; “good, not boring” is already none of them. It was asked for a verdict only where a part of the
          sentence ends, so its number after “not” or “the” means little. And a unit has no name: what it does is spread
          over all of them.
        </p>
      </div>
    </>
  );
}

export const sentence: Chapter = {
  id: "sentence",
  name: "The gates in a real sentence",
  minutes: 4,
  screens: [
    { title: `“${model.famous}”`, Body: Famous },
    { title: "A sentence of your own", Body: Own },
    { title: "How good is it, honestly?", Body: Honest },
  ],
};
