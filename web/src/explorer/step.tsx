// The chosen step: the equations of the chosen unit with their numbers.
import { useEffect, useState } from "preact/hooks";
import { pieces } from "../parts/equation";
import { computable, lines, type Shown } from "./exact";
import * as state from "./state";
import { named } from "./words";

export function StepCard() {
  const of = state.place.value;
  const [step, unit] = [state.step.value, state.unit.value];
  const [found, setFound] = useState<{ step: number; unit: number; place: number; shown: Shown[] } | null>(null);
  useEffect(() => {
    let here = true;
    const timer = setTimeout(() => {
      void lines(of, step, unit).then((shown) => {
        if (!here) return;
        setFound({ step, unit, place: of.index, shown });
        state.exact.value = { place: of.index, step, unit, values: new Map(shown.filter((line) => line.unit === unit).map((line) => [line.name, line.value])) };
      });
    }, 60); // a reader who runs through the steps waits for none of them
    return () => {
      here = false;
      clearTimeout(timer);
    };
  }, [of, step, unit]);
  if (!computable(of)) return null;
  return (
    <section class="card" aria-labelledby="step-title">
      <header>
        <h2 id="step-title">{capital(named(step))}</h2>
        <span class="rank">unit {unit}</span>
        <span class="buttons">
          <button type="button" aria-label="Step before" onClick={() => state.select(step - 1)}>←</button>
          <button type="button" aria-label="Step after" onClick={() => state.select(step + 1)}>→</button>
        </span>
      </header>
      <p class="soft">The equations of this unit at this step with the numbers filled in{of.reverse ? "; this direction runs from the end to the start" : ""}.</p>
      {found?.place === of.index ? <Equations shown={found.shown} old={found.step !== step || found.unit !== unit} /> : <p class="soft">computing …</p>}
      <p class="soft">Computed on this page, from the stored parameters and the nearest stored state.</p>
    </section>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

// the markup is the generated script's own: symbols of the equations, and numbers
const markup = (text: string) => ({ dangerouslySetInnerHTML: { __html: text } });

function Equations({ shown, old }: { shown: Shown[]; old: boolean }) {
  return (
    <div class="filled" data-old={old || undefined} tabIndex={0} role="group" aria-label="Equations with numbers">
      {shown.map((line) => {
        const steps = pieces(line.numbers);
        const end = steps.pop()!;
        return (
          <div key={line.name} class="equation" data-name={line.name} data-value={line.value}>
            <div class="symbols" {...markup(line.symbols)} />
            <output><span class="hidden">{line.name} is </span><span {...markup(end)} /></output>
            <div class="numbers" {...markup(steps.join(" "))} />
          </div>
        );
      })}
    </div>
  );
}
