// The chosen unit: its measures, what clamping it does, where in the data it is most active.
import { useEffect, useState } from "preact/hooks";
import { page, stored, type Place } from "./data";
import * as state from "./state";
import { number, percent, signedNumber, whole } from "./words";

export function UnitCard() {
  const of = state.place.value;
  const unit = state.unit.value;
  return (
    <section class="card unit" aria-labelledby="unit-title">
      <header>
        <h2 id="unit-title">Unit {unit}</h2>
        <span class="rank">{rank()}</span>
        <span class="buttons">
          <button type="button" aria-label="Unit above" onClick={() => state.moveUnit(-1)}>↑</button>
          <button type="button" aria-label="Unit below" onClick={() => state.moveUnit(1)}>↓</button>
        </span>
      </header>
      <Measures of={of} unit={unit} />
      <Saturation of={of} unit={unit} />
      <Clamping of={of} unit={unit} />
      <Tops of={of} unit={unit} />
    </section>
  );
}

function rank(): string {
  const { label, values } = state.sorts.value.get(state.sort.value)!;
  const left = state.place.value.units - state.ranked.value;
  if (values && Number.isNaN(values[state.unit.value]!)) return `not ranked by ${label}: left out`;
  return `${whole(state.row.value + 1)} of ${whole(state.ranked.value)} by ${label}${left ? ` (${whole(left)} left out)` : ""}`;
}

function Measures({ of, unit }: { of: Place; unit: number }) {
  if (!of.measures.length) return null;
  return (
    <>
      <dl class="measures">
        {of.measures.map((measure, k) => (
          <div key={measure.name} title={`${measure.text} ${measure.limits}`}>
            <dt>{measure.name}</dt>
            <dd>{number(of.measured[k]![unit]!)} <small>{measure.unit}</small></dd>
          </div>
        ))}
      </dl>
      <p class="soft">Over the {whole(page.steps)} {page.step}s shown.</p>
    </>
  );
}

function Saturation({ of, unit }: { of: Place; unit: number }) {
  const gates = [...of.shares].filter(([, shares]) => shares.length === 2 * of.units);
  if (!gates.length) return null;
  if (gates.every(([, shares]) => shares[2 * unit] === 0 && shares[2 * unit + 1] === 0)) {
    return <p class="soft">Saturation: none of {gates.map(([gate]) => gate).join(", ")} comes near an end of its range.</p>;
  }
  return (
    <>
      <h3>Saturation: near an end of its range</h3>
      <table class="saturation">
        <thead><tr><th scope="col">gate</th><th scope="col" class="figure">low</th><th scope="col">share of the steps</th><th scope="col" class="figure">high</th></tr></thead>
        <tbody>
          {gates.map(([gate, shares]) => {
            const [left, right] = [shares[2 * unit]!, shares[2 * unit + 1]!];
            return (
              <tr key={gate}>
                <th scope="row" class="symbol">{gate}</th>
                <td class="figure">{percent(left)}</td>
                <td><span class="bar" aria-hidden="true"><i class="low" style={{ width: `${100 * left}%` }} /><i class="high" style={{ width: `${100 * right}%` }} /></span></td>
                <td class="figure">{percent(right)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </>
  );
}

function Clamping({ of, unit }: { of: Place; unit: number }) {
  const { metric } = page;
  if (!metric || !of.clamped.length) return null;
  const base = metric.value ?? Number.NaN;
  const known = merged(of, base).map(([what, changes]) => [what, changes[unit]!] as const);
  const most = Math.max(...[...of.changes.values()].map(largest), 1e-12);
  return (
    <>
      <h3>What clamping it does to the {metric.name}</h3>
      {known.every(([, change]) => Number.isNaN(change)) ? (
        <p class="soft">This unit was left out: clamping was tried on {whole(tried(of))} of the {whole(of.units)} units.</p>
      ) : (
        <table class="clamping">
          <thead><tr><th scope="col">clamped</th><th scope="col" class="figure">change</th><th scope="col"><span class="hidden">as a bar</span></th></tr></thead>
          <tbody>
            {known.map(([what, change]) => {
              const worse = metric.lower ? change > 0 : change < 0;
              return (
                <tr key={what}>
                  <th scope="row">{what}</th>
                  <td class="figure">{signedNumber(change)}{change > 0 || change < 0 ? (worse ? " worse" : " better") : ""}</td>
                  <td><span class="bar" aria-hidden="true">{change === change && <i class={worse ? "worse" : "better"} style={{ width: `${(100 * Math.abs(change)) / most}%` }} />}</span></td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      <p class="soft">
        Unclamped: {number(base)}{metric.source && `, on ${metric.source}`}. Bars: the largest change of any unit is full.
        {of.whole.length > 0 && ` In all units at once: ${of.whole.map(([what, change]) => `${what}: ${signedNumber(change ?? Number.NaN)}`).join(", ")}.`}
      </p>
    </>
  );
}

/** The clamps; those that do the same to every unit, as i = 0 and freezing where c begins at 0, as one. */
function merged(of: Place, base: number): [string, Float32Array][] {
  const found: [string, Float32Array][] = [];
  const rounding = 1e-6 * (Math.abs(base) || 0);
  for (const what of of.clamped) {
    const changes = of.changes.get(what)!;
    const same = found.find(([, other]) => changes.every((v, u) => Object.is(v, other[u]) || Math.abs(v - other[u]!) <= rounding));
    if (same) same[0] += `, ${what}`;
    else found.push([what, changes]);
  }
  return found;
}

const largest = (values: Float32Array) => values.reduce((most, v) => (Math.abs(v) > most ? Math.abs(v) : most), 0);
const tried = (of: Place) => state.importance(of).filter((v) => !Number.isNaN(v)).length;

type Found = { value: Float32Array; activity: Float32Array; input: Float32Array; count: number; width: number };

function Tops({ of, unit }: { of: Place; unit: number }) {
  const [found, setFound] = useState<Found | null>(null);
  useEffect(() => {
    let here = true;
    setFound(null);
    if (of.tops) void readTops(of.index).then((read) => here && setFound(read));
    return () => void (here = false);
  }, [of]);
  if (!of.tops) return null;
  return (
    <>
      <h3>Where {of.tops.of} is largest</h3>
      {found ? <TopList of={of} unit={unit} found={found} /> : <p class="soft">reading …</p>}
      <p class="soft">{of.tops.source && `Searched: ${of.tops.source}. `}The thick line is the unit, the thin one the input, the mark the step.{of.tops.steps && " What is underlined is in view: a press goes there. There the unit may differ, since the network has read another past."}</p>
    </>
  );
}

async function readTops(index: number): Promise<Found> {
  const [value, activity, input] = await Promise.all([
    stored(`${index}.top.value`, "float32"),
    stored(`${index}.top.activity`, "float32"),
    stored(`${index}.top.input`, "float32"),
  ]);
  return { value: value.data, activity: activity.data, input: input.data, count: value.shape[1]!, width: activity.shape[2]! };
}

function TopList({ of, unit, found }: { of: Place; unit: number; found: Found }) {
  const { count, width } = found;
  return (
    <ol class="tops">
      {of.tops!.labels[unit]!.map((label, k) => {
        const at = (unit * count + k) * width;
        return (
          <li key={k}>
            <Snippet activity={found.activity.subarray(at, at + width)} input={found.input.subarray(at, at + width)} middle={of.tops!.middle} />
            <Where label={label} step={of.tops!.steps?.[unit]?.[k] ?? null} />
            <b>{number(found.value[unit * count + k]!)}</b>
          </li>
        );
      })}
    </ol>
  );
}

/** A place in the data, without a break in its date; a button if the panels show it. */
function Where({ label, step }: { label: string; step: number | null }) {
  const parts = label.split(", ").map((part, k) => <span key={k}>{k > 0 && ", "}<span class="whole">{part}</span></span>);
  if (step === null) return <span>{parts}</span>;
  return <button type="button" class="link" onClick={() => state.select(step)}>{parts}</button>;
}

const WIDE = 120;
const HIGH = 34;

function Snippet({ activity, input, middle }: { activity: Float32Array; input: Float32Array; middle: number }) {
  const x = (middle / Math.max(1, activity.length - 1)) * WIDE;
  return (
    <svg viewBox={`0 0 ${WIDE} ${HIGH}`} width={WIDE} height={HIGH} aria-hidden="true">
      <line x1={x} x2={x} y1={0} y2={HIGH} class="mark" />
      <path d={path(input)} class="input" />
      <path d={path(activity)} class="activity" />
    </svg>
  );
}

function path(values: Float32Array): string {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  let pen = "M";
  return [...values].map((value, k) => {
    if (!Number.isFinite(value)) return (pen = "M") && "";
    const point = `${pen}${((k * WIDE) / Math.max(1, values.length - 1)).toFixed(1)} ${(2 + (HIGH - 4) * (1 - (value - low) / span)).toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}
