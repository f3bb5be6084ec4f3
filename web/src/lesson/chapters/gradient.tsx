import { computed } from "@preact/signals";
import { Slider } from "../../parts/slider";
import { backward, cell, run, uniform } from "../cells";
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
    <svg class="path" viewBox={`0 0 650 ${total ? 250 : 190}`} role="img" aria-label={`The gradient of the last memory by each memory before: ${paths.map((p, t) => `${example.words[t]} ${fixed(total ? p.total : p.direct)}`).join(", ")}`}>
      {example.words.map((word, t) => (
        <g key={word}>
          {t < COUNT - 1 ? (
            <>
              <line x1={x(t) + 48} x2={x(t + 1) - 32} y1="95" y2="95" class="direct" />
              <path d={`M${x(t) + 33} 95 l18 -10 v20 z`} class="directhead" />
              <text x={(x(t) + x(t + 1)) / 2} y="84" class="tick middle">× {fixed(values[t + 1]!.f![0]!)}</text>
              {total ? (
                <>
                  <path d={`M${x(t) + 10} 134 C${x(t) + 35} 200 ${x(t + 1) - 35} 200 ${x(t + 1) - 10} 124`} class="indirect" />
                  <path d={`M${x(t) + 6} 123 l-3 16 l14 -6 z`} class="indirecthead" />
                </>
              ) : null}
            </>
          ) : null}
          <rect x={x(t) - 32} y="68" width="64" height="54" rx="8" class="memory" style={{ "--share": Math.min(1, Math.abs(total ? paths[t]!.total : paths[t]!.direct)) }} />
          <text x={x(t)} y="101" class="number middle">{fixed(total ? paths[t]!.total : paths[t]!.direct)}</text>
          <text x={x(t)} y="32" class="middle symbol">c<tspan dy="5" font-size="14">{t + 1}</tspan></text>
          <text x={x(t)} y="56" class="tick middle">{word}</text>
        </g>
      ))}
      {total ? <text x="325" y="215" class="tick middle">dashed: through h and the layers of the next step</text> : null}
      <text x="325" y={total ? 242 : 165} class="tick middle">the gradient runs from right to left</text>
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
        <Flow total={false} />
        <p class="caption">The worked example again, with <Vi v="c" i="4" /> set to change by 1.</p>
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
      <div class="figure"><Flow total /></div>
    </>
  );
}

const rnn = cell("rnn");
/** Three steps back in a scalar RNN of weight .5 at h = 0. */
const scalar = computed(() => {
  const p = { ...uniform(rnn, { D: 1, H: 1 }, 0), U: [0.5] };
  const over = run(rnn, p, [[0], [0], [0]], { h: [0] });
  const back = backward(rnn, p, over, { h: [1] });
  return back.map((g) => g.states.h![0]!);
});

function Beside() {
  const lstm = example.paths.value;
  const rows = [3, 2, 1].map((back) => ({ back, rnn: scalar.value[3 - back]!, lstm: lstm[COUNT - 1 - back]!.direct }));
  return (
    <>
      <div class="text">
        <p>
          The same three steps in the plain RNN with the same weight: 0.5 × 0.5 × 0.5 ={" "}
          <b data-testid="eighth">{short(rows[0]!.rnn)}</b>. In the LSTM: <b>{fixed(rows[0]!.lstm)}</b>, with gates that
          nobody trained.
        </p>
        <p>
          Trained, the gap opens: a forget gate of 0.99 still passes {fixed(0.99 ** 100, 2)} after 100 steps; the weight
          0.5 passes {short(0.5 ** 100)}.
        </p>
        <p class="aside">
          “An LSTM’s gradient does not vanish” is looser than it sounds: it does where <V>f</V> is small. The
          chance to keep is there; training must take it. That is why <V>f</V>’s bias often starts at 1 (Jozefowicz et
          al. 2015).
        </p>
      </div>
      <div class="figure">
        <svg class="bars" viewBox="0 0 640 300" role="img" aria-label={`After 1, 2 and 3 steps back: RNN ${[...rows].reverse().map((r) => short(r.rnn)).join(", ")}; LSTM ${[...rows].reverse().map((r) => fixed(r.lstm)).join(", ")}`}>
          {[...rows].reverse().map(({ back, rnn: a, lstm: b }, k) => (
            <g key={back}>
              <text x="10" y={50 + 95 * k} class="tick">{back} back</text>
              <rect x="90" y={22 + 95 * k} height="32" width={480 * Math.max(0, a)} class="bar rnn" />
              <text x={98 + 480 * a} y={44 + 95 * k} class="tick">RNN {short(a)}</text>
              <rect x="90" y={58 + 95 * k} height="32" width={480 * Math.max(0, Math.min(1.05, b))} class="bar" />
              <text x={98 + 480 * Math.max(0, Math.min(1.05, b))} y={80 + 95 * k} class="tick">LSTM {fixed(b)}</text>
            </g>
          ))}
        </svg>
        <p class="caption">
          Direct paths{example.changed.value ? ", with your changed numbers for the LSTM" : ""}.
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
    { title: "Beside the RNN: .125 against .260", Body: Beside },
  ],
};
