import { computed } from "@preact/signals";
import { Slider } from "../../parts/slider";
import { backward, cell, filled, run, uniform, zeros } from "../cells";
import * as example from "../example";
import { fixed, short } from "../format";
import { Scroll, V, Vi } from "../math";
import type { Chapter } from "../place";

const COUNT = example.words.length;

/** The memories of all steps in a row, and what leads back between them. */
function Flow({ total }: { total: boolean }) {
  const { values } = example.over.value;
  const paths = example.paths.value;
  const x = (t: number) => 70 + 170 * t;
  return (
    <svg class="path" viewBox={`0 0 650 ${total ? 215 : 140}`} role="img" aria-label={`The gradient of the last memory by each memory before: ${paths.map((p, t) => `${example.words[t]} ${fixed(total ? p.total : p.direct)}`).join(", ")}`}>
      {example.words.map((word, t) => (
        <g key={word}>
          {t < COUNT - 1 ? (
            <>
              <line x1={x(t) + 48} x2={x(t + 1) - 32} y1="95" y2="95" class="direct" />
              <path d={`M${x(t) + 33} 95 l18 -10 v20 z`} class="directhead" />
              {total ? (
                <>
                  <path d={`M${x(t) + 10} 160 C${x(t) + 35} 218 ${x(t + 1) - 35} 218 ${x(t + 1) - 10} 152`} class="indirect" />
                  <path d={`M${x(t) + 6} 149 l-3 16 l14 -6 z`} class="indirecthead" />
                </>
              ) : (
                <text x={(x(t) + x(t + 1)) / 2} y="84" class="tick middle">× {fixed(values[t + 1]!.f![0]!)}</text>
              )}
            </>
          ) : null}
          <rect x={x(t) - 32} y="68" width="64" height="54" rx="8" class="memory" style={{ "--share": Math.min(1, Math.abs(total ? paths[t]!.total : paths[t]!.direct)) }} />
          <text x={x(t)} y="101" class="number middle">{fixed(total ? paths[t]!.total : paths[t]!.direct)}</text>
          {total ? <text x={x(t)} y="142" class="tick middle">({fixed(paths[t]!.direct)})</text> : null}
          <text x={x(t)} y="32" class="middle symbol">c<tspan dy="5" font-size="14">{t + 1}</tspan></text>
          <text x={x(t)} y="56" class="tick middle">{word}</text>
        </g>
      ))}
    </svg>
  );
}

function Direct() {
  const { values } = example.over.value;
  const paths = example.paths.value;
  const f = (t: number) => fixed(values[t]!.f![0]!);
  return (
    <>
      <div class="text">
        <p>
          How much does the last memory <Vi v="c" i="4" /> still depend on the first, <Vi v="c" i="1" />? Along the thick
          line the answer is one product: at each step, the forget gate.
        </p>
        <ul class="sums">
          {[2, 1, 0].map((t) => (
            <li key={t}>
              back to “{example.words[t]}”: {Array.from({ length: COUNT - 1 - t }, (_, k) => f(COUNT - 1 - k)).join(" × ")} ={" "}
              <b data-direct={t + 1}>{fixed(paths[t]!.direct)}</b>
            </li>
          ))}
        </ul>
        <p class="aside">
          No matrix stands on this path, so no eigenvalue decides. The network does, with <V>f</V>.
        </p>
      </div>
      <div class="figure">
        <Scroll label="The direct path"><Flow total={false} /></Scroll>
        <p class="caption">The worked example again, with <Vi v="c" i="4" /> set to change by 1. The gradient runs from right to left.</p>
      </div>
    </>
  );
}

function Total() {
  const paths = example.paths.value;
  return (
    <>
      <div class="text">
        <p>
          The direct path is not the whole story. <Vi v="c" i="t" /> is also shown as <Vi v="h" i="t" />, which the four
          layers of the next step read. That path leads through the matrices <V>U</V>, as in an RNN.
        </p>
        <Scroll label="Table">
          <table class="steps">
            <thead><tr><th scope="col">by the memory of</th><th scope="col">direct path</th><th scope="col">all paths</th></tr></thead>
            <tbody>
              {[2, 1, 0].map((t) => (
                <tr key={t}>
                  <th scope="row">“{example.words[t]}”</th>
                  <td>{fixed(paths[t]!.direct)}</td>
                  <td><b data-total={t + 1}>{fixed(paths[t]!.total, 4)}</b></td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
        <p>
          (In all: how the sum over both units of <Vi v="c" i="4" /> changes with one unit’s memory. Computed backwards,
          step by step, from the derivatives of the equations.)
        </p>
        <Slider label="all weights" value={example.weight} min={-2} max={2} step={0.05} shown={(v) => fixed(v, 2)} />
        <Slider label="bias of f" spoken="bias of the forget gate" value={example.forgetBias} min={-4} max={4} step={0.1} shown={(v) => fixed(v, 1)} />
        <p><button type="button" onClick={example.reset} disabled={!example.changed.value}>Set all back</button></p>
        <p class="aside">
          The direct path never exceeds 1; all paths together can: try weights of 0.8. Over many steps that is how an
          LSTM’s gradient explodes (chapter 8). With weights near 0 hardly anything takes the side paths.
        </p>
      </div>
      <div class="figure">
        <Scroll label="All paths"><Flow total /></Scroll>
        <p class="caption">
          In the boxes: all paths; in brackets: the direct path alone. Dashed: through <V>h</V> and the layers of the next
          step. The gradient runs from right to left.
        </p>
      </div>
    </>
  );
}

const rnn = cell("rnn");
const PLAIN = 0.5;
/** How the last h changes with each h before, over three steps: in an RNN whose weights are all the same. */
function before(units: number, xs: number[][], bare = false): number[] {
  const weights = uniform(rnn, { D: 2, H: units }, PLAIN);
  const over = run(rnn, weights, bare ? xs.map(() => [0, 0]) : xs, { h: zeros(units) });
  return backward(rnn, weights, over, { h: filled(units, 1) }).map((g) => g.states.h![0]!).slice(1);
}
/** Of one unit at h = 0, where tanh's slope is 1; on the words, of one unit and of two. */
const scalar = computed(() => ({
  bare: before(1, example.xs.value, true),
  words: before(1, example.xs.value),
  two: before(2, example.xs.value),
}));

const BARS = [
  { kind: "bare", name: "RNN, tanh left out", class: "bar plain" },
  { kind: "words", name: "RNN on the words", class: "bar rnn" },
  { kind: "direct", name: "LSTM, along c", class: "bar" },
] as const;
type Row = { back: number; bare: number; words: number; two: number; direct: number; total: number };

function Bars({ rows }: { rows: Row[] }) {
  const width = (value: number) => 370 * Math.max(0, Math.min(1, value));
  const said = (row: Row) => BARS.map(({ kind, name }) => `${name} ${fixed(row[kind])}`).join(", ");
  return (
    <svg class="bars" viewBox="-8 0 648 360" role="img" aria-label={rows.map((row) => `${row.back} back: ${said(row)}`).join("; ")}>
      {rows.map((row, k) => (
        <g key={row.back} transform={`translate(0 ${10 + 120 * k})`}>
          <text x="-4" y="55" class="tick">{row.back} back</text>
          {BARS.map(({ kind, name, class: kindOf }, n) => (
            <g key={kind}>
              <rect x="76" y={32 * n} height="26" width={width(row[kind])} class={kindOf} />
              <text x={84 + width(row[kind])} y={19 + 32 * n} class="tick">{fixed(row[kind])}{k ? "" : ` ${name}`}</text>
            </g>
          ))}
        </g>
      ))}
    </svg>
  );
}

function Beside() {
  const lstm = example.paths.value;
  const rows = [1, 2, 3].map((back) => ({ back, ...lstm[COUNT - 1 - back]!, bare: scalar.value.bare[3 - back]!, words: scalar.value.words[3 - back]!, two: scalar.value.two[3 - back]! }));
  const far = rows[2]!;
  return (
    <>
      <div class="text">
        <p>
          Often one reads: three steps back a plain RNN keeps {PLAIN} × {PLAIN} × {PLAIN} ={" "}
          <b data-testid="eighth">{short(far.bare)}</b>, the LSTM <b>{fixed(far.direct)}</b>. But that is not like with like: the
          first leaves out tanh’s slope, the second is computed on the words.
        </p>
        <p>
          On the same words an RNN of one unit keeps <b data-testid="one">{fixed(far.words)}</b>; one of two units, over all
          paths, <b data-testid="two">{fixed(far.two)}</b>, the LSTM over all paths <b>{fixed(far.total, 4)}</b>.
        </p>
        <p>
          Over many steps: a forget gate of 0.99 passes {fixed(0.99 ** 100, 2)} after 100. A weight of 0.99 would pass{" "}
          {fixed(0.99 ** 100, 2)} too (less with tanh), but for every input alike; <V>f</V> is chosen anew at each step.
        </p>
        <p class="aside">
          “An LSTM’s gradient does not vanish” is looser than it sounds: it does where <V>f</V> is small. The
          chance to keep is there; training must take it. That is why <V>f</V>’s bias often starts at 1 (Jozefowicz et
          al. 2015).
        </p>
      </div>
      <div class="figure">
        <Bars rows={rows} />
        <p class="caption">
          All weights of the RNN are {PLAIN}{example.changed.value ? "; the LSTM, and the words, are as you changed them" : ", as in the LSTM"}.
        </p>
      </div>
    </>
  );
}

export const gradient: Chapter = {
  id: "gradient",
  name: "How the gradient flows back",
  minutes: 4,
  screens: [
    { title: "The direct path: a product of forget gates", Body: Direct },
    { title: "All paths together", Body: Total },
    { title: "Beside the RNN: what compares, and what does not", Body: Beside },
  ],
};
