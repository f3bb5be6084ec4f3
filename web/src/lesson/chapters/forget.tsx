import { computed, signal } from "@preact/signals";
import { Curves } from "../../parts/curves";
import { Slider } from "../../parts/slider";
import { dark } from "../../parts/theme";
import { backward, cell, norm, run, uniform } from "../cells";
import { fixed, short } from "../format";
import { given } from "../given";
import { Formula, V, Vi } from "../math";
import { large, type Chapter } from "../place";

const rnn = cell("rnn");
const theme = computed(() => `${dark.value} ${large.value}`);

// -- one unit

const STEPS = 20;
const weight = signal(0.5);
/** How much h after k steps changes with the h before them, at h = 0 where tanh has slope 1. */
const shrinking = computed(() => {
  const p = { ...uniform(rnn, { D: 1, H: 1 }, 0), U: [weight.value] };
  const over = run(rnn, p, Array.from({ length: STEPS }, () => [0]), { h: [0] });
  const back = backward(rnn, p, over, { h: [1] });
  return back.map((_, k) => back[STEPS - 1 - k]!.states.h![0]!);
});

function OneUnit() {
  const values = shrinking.value;
  const top = Math.max(1, ...values);
  return (
    <>
      <div class="text">
        <p>
          The simplest recurrent network keeps one number <V>h</V> and, at each step, mixes it with what it reads:
        </p>
        <Formula math={given.cells.rnn!.equations[0]!.math} />
        <p>
          To learn that step 1 mattered at step {STEPS}, the gradient must travel back through every step between. Each
          time it is multiplied by the same weight <V>U</V> (and by tanh’s slope, at most 1).
        </p>
        <Slider label="U" spoken="the weight U" value={weight} min={0} max={1.5} step={0.05} shown={(v) => fixed(v, 2)} />
        <p class="result" aria-live="polite">
          After 3 steps: {fixed(weight.value, 2)}³ = <b data-testid="cubed">{short(values[2]!)}</b>. After {STEPS} steps:{" "}
          <b>{short(values[STEPS - 1]!)}</b>.
        </p>
        <p class="aside">
          With <V>U</V> below 1 the past fades. Above 1 the gradient can explode: here <V>h</V> stays 0, so tanh’s slope
          is 1; elsewhere it is less, and takes its share. Only 1 keeps the past, and only here.
        </p>
      </div>
      <div class="figure">
        <svg class="bars" viewBox="-24 0 664 345" role="img" aria-label={`The gradient after 1 to ${STEPS} steps back: ${values.slice(0, 5).map(short).join(", ")} and so on`}>
          <line x1="40" x2="630" y1="290" y2="290" class="axis" />
          <line x1="40" x2="630" y1={290 - 260 / top} y2={290 - 260 / top} class="rule" />
          {top > 1 ? <text x="34" y="35" class="tick end">{short(top)}</text> : null}
          {260 / top > 18 ? <text x="34" y={295 - 260 / top} class="tick end">1</text> : null}
          <text x="34" y="295" class="tick end">{260 / top > 18 ? "0" : "0, 1"}</text>
          {values.map((value, k) => (
            <g key={k}>
              <rect x={48 + 29 * k} width="21" y={290 - (260 * value) / top} height={(260 * value) / top} class="bar" />
              {(k + 1) % 5 === 0 || k === 0 ? <text x={58 + 29 * k} y="308" class="tick middle">{k + 1}</text> : null}
            </g>
          ))}
          <text x="335" y="336" class="tick middle">steps back</text>
        </svg>
        <p class="caption">How much the state now depends on the state so many steps ago.</p>
      </div>
    </>
  );
}

// -- two units

const AHEAD = 60;
const entries = [0.7, -0.5, 0.5, 0.7].map((value) => signal(value));
const names = ["U₁₁", "U₁₂", "U₂₁", "U₂₂"];
const PRESETS: Record<string, number[]> = {
  "fades": [0.5, 0.2, -0.1, 0.6],
  "turns and fades": [0.7, -0.5, 0.5, 0.7],
  "turns and keeps": [0.8, -0.6, 0.6, 0.8],
  "grows": [1.1, 0.3, 0.1, 0.9],
  "rises, then fades": [0.85, 1.2, 0, 0.85],
};
const matrix = computed(() => entries.map((entry) => entry.value) as [number, number, number, number]);

type Complex = { re: number; im: number };
const eigenvalues = computed<[Complex, Complex]>(() => {
  const [a, b, c, d] = matrix.value;
  const middle = (a + d) / 2;
  const inside = ((a - d) / 2) ** 2 + b * c;
  const root = Math.sqrt(Math.abs(inside));
  return inside >= 0
    ? [{ re: middle + root, im: 0 }, { re: middle - root, im: 0 }]
    : [{ re: middle, im: root }, { re: middle, im: -root }];
});
const radius = computed(() => Math.max(...eigenvalues.value.map(({ re, im }) => Math.hypot(re, im))));
const norms = computed(() => {
  const p = { ...uniform(rnn, { D: 1, H: 2 }, 0), U: matrix.value };
  const over = run(rnn, p, Array.from({ length: AHEAD }, () => [0]), { h: [0.1, 0.05] });
  const state = [...over.states.map((s) => norm(s.h!)), norm(over.values.at(-1)!.h!)];
  const jacobian = over.values.map((_, k) => spectral(product(p, k)));
  return { state: state.map((v) => v || null), gradient: [1, ...jacobian].map((v) => v || null) };

  /** The rows of dh[k+1]/dh[0]. */
  function product(weights: typeof p, k: number): number[] {
    const until = { states: over.states.slice(0, k + 1), values: over.values.slice(0, k + 1), xs: over.xs.slice(0, k + 1) };
    return [[1, 0], [0, 1]].flatMap((h) => Array.from(backward(rnn, weights, until, { h })[0]!.states.h!));
  }
});

/** The largest singular value of a 2 by 2 matrix. */
function spectral([a, b, c, d]: number[]): number {
  const sum = a! * a! + b! * b! + c! * c! + d! * d!;
  const det = a! * d! - b! * c!;
  return Math.sqrt((sum + Math.sqrt(Math.max(0, sum * sum - 4 * det * det))) / 2);
}

const peak = computed(() => Math.max(...norms.value.gradient.map((v) => v ?? 0)));
const axis = Float64Array.from({ length: AHEAD + 1 }, (_, k) => k);

function TwoUnits() {
  const r = radius.value;
  return (
    <>
      <div class="text">
        <p>
          With more units, <V>U</V> is a matrix. <b>In the long run, and without tanh,</b> its <b>eigenvalues</b> decide:
          inside the unit circle what is remembered fades, outside it grows. On the way it may grow even so: try “rises,
          then fades”.
        </p>
        <div class="presets" role="group" aria-label="Examples of U">
          {Object.entries(PRESETS).map(([name, values]) => (
            <button
              type="button"
              key={name}
              aria-pressed={values.every((v, k) => v === matrix.value[k])}
              onClick={() => values.forEach((v, k) => (entries[k]!.value = v))}
            >
              {name}
            </button>
          ))}
        </div>
        <div class="sliders two">
          {entries.map((entry, k) => (
            <Slider key={k} label={names[k]!} spoken={`U, row ${k < 2 ? 1 : 2}, column ${(k % 2) + 1}`} value={entry} min={-1.5} max={1.5} step={0.05} shown={(v) => fixed(v, 2)} />
          ))}
        </div>
        <div class="eigenvalues">
        <Circle />
        <p class="result" aria-live="polite">
          λ = <span class="whole">{written(eigenvalues.value[0])}</span> and <span class="whole">{written(eigenvalues.value[1])}</span>.
          <br />
          The larger |λ| is <b data-testid="radius">{fixed(r)}</b>. Without tanh, in the long run:{" "}
          {r < 0.9995 ? `half is left after ${short(Math.log(0.5) / Math.log(r))} steps more` : r > 1.0005 ? `twice as much after ${short(Math.log(2) / Math.log(r))} steps more` : "neither fading nor exploding"}.
        </p>
        </div>
      </div>
      <div class="figure">
        <Curves
          x={axis}
          xLabel="steps"
          yLabel="size"
          logY
          theme={theme.value}
          label={`Size of the state and of the gradient over ${AHEAD} steps; at the end ${short(norms.value.gradient.at(-1) ?? 0)} for the gradient`}
          curves={[
            { label: "gradient: change of the state now by the state at step 0", y: norms.value.gradient, colour: "--accent" },
            { label: "state, started at (0.1, 0.05)", y: norms.value.state, colour: "--third" },
            { label: "largest |λ| to the power of the steps", y: Array.from(axis, (k) => r ** k || null), colour: "--second", dashed: true },
          ]}
        />
        <p class="caption">
          The gradient after {AHEAD} steps, with tanh: <b data-testid="gradient">{short(norms.value.gradient.at(-1) ?? 0)}</b>;
          the largest on the way: <b data-testid="peak">{short(peak.value)}</b> (it starts at 1). With tanh every step
          multiplies <V>U</V> by other slopes: <code>gated demonstrate vanishing</code> has a network whose eigenvalues are
          all 0, and whose gradient grows.
        </p>
      </div>
    </>
  );
}

function Circle() {
  const px = (v: number) => 110 + 62 * Math.max(-1.65, Math.min(1.65, v));
  return (
    <svg class="circle" viewBox="0 0 220 220" role="img" aria-label={`Eigenvalues ${eigenvalues.value.map(written).join(" and ")}, and the unit circle`}>
      <line x1="5" x2="215" y1="110" y2="110" class="axis" />
      <line y1="5" y2="215" x1="110" x2="110" class="axis" />
      <circle cx="110" cy="110" r="62" class="unit" />
      <text x="176" y="124" class="tick">1</text>
      <text x="116" y="44" class="tick">i</text>
      {eigenvalues.value.map(({ re, im }, k) => (
        <circle key={k} cx={px(re)} cy={px(-im)} r="6" class={Math.hypot(re, im) > 1.0005 ? "eigen out" : "eigen"} />
      ))}
    </svg>
  );
}

function written({ re, im }: Complex): string {
  if (im === 0) return fixed(re, 2);
  return `${fixed(re, 2)} ${im > 0 ? "+" : "−"} ${fixed(Math.abs(im), 2)}i`;
}

// -- what to do about it

function Idea() {
  return (
    <div class="text wide">
      <p class="lead">
        A fixed matrix keeps or loses each direction at a pace of its own, <i>whatever it reads</i>.
      </p>
      <p>
        Only tanh’s slope, at most 1, answers to what is read. Eigenvalues of exactly 1 would, but for tanh, keep the past
        for ever, useful or not. And ordinary training does not hold them there: an update moves them inside the circle,
        where the gradient tends to vanish, or outside, where it can explode (Hochreiter 1991; Bengio, Simard and Frasconi
        1994).
      </p>
      <p>
        The LSTM’s answer: let the network choose the factor anew <b>at each step, for each unit</b>. One number{" "}
        <Vi v="f" i="t" /> between 0 and 1 says how much of the memory <Vi v="c" i="t−1" /> stays:
      </p>
      <Formula math={given.cells.lstm!.equations.find((e) => e.name === "c")!.math} />
      <p>
        Where <V>f</V> is near 1, the memory, and the gradient along it, pass almost unchanged. That is the whole trick.
        The next chapters open it.
      </p>
    </div>
  );
}

export const forget: Chapter = {
  id: "forget",
  name: "Why an RNN forgets",
  minutes: 4,
  screens: [
    { title: "The same weight, again and again", Body: OneUnit },
    { title: "Two units: the eigenvalues decide in the long run", Body: TwoUnits },
    { title: "The idea: a factor that the network chooses", Body: Idea },
  ],
};
