// The panels on their one time axis, and the lines that cross them all.
import { effect, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { LineChart, type Line } from "../parts/linechart";
import { dark } from "../parts/theme";
import { page } from "./data";
import { press } from "./keys";
import { MapPanel } from "./map";
import { box, listen } from "./pointer";
import * as state from "./state";
import { ticks } from "./ticks";
import { UnitLines } from "./unitlines";
import { number } from "./words";

export const GUTTER = 52;
const COLOURS = ["--accent", "--second", "--third", "--fourth", "--ink", "--soft"];
const MOST_INPUTS = 6;

export function Panels() {
  const stack = useRef<HTMLDivElement>(null);
  useEffect(() => listen(stack.current!), []);
  const of = state.place.value;
  return (
    <div class="panels">
      <Axis />
      <div ref={stack} class="stack" tabIndex={0} role="group" aria-describedby="keys-hint" onKeyDown={press}
        aria-label="Panels over time: arrow keys choose a step and a unit, plus and minus zoom">
        <InputPanel />
        <UnitLines />
        {of.maps.map((map) => <MapPanel key={`${of.index}.${map.name}`} place={of} map={map} />)}
        <FlowPanel />
        <ContextEnd />
        <Crosslines />
      </div>
      <p id="keys-hint" class="hidden">Every key is listed under “Keyboard and mouse” below the panels.</p>
    </div>
  );
}

function Axis() {
  const place = useRef<HTMLDivElement>(null);
  const width = useSignal(300);
  useLayoutEffect(() => {
    const resized = new ResizeObserver(() => (width.value = place.current!.clientWidth));
    resized.observe(place.current!);
    return () => resized.disconnect();
  }, []);
  const [from, to] = state.range.value;
  const x = (at: number) => (width.value * (at - from)) / (to - from);
  const end = contextEnd();
  const marks = ticks([from, to], Math.max(2, width.value / 110)).filter(({ at }) => end === null || Math.abs(x(at + 0.5) - x(end)) > 95)
    .map((tick) => (x(tick.at + 0.5) + 4 + 7.2 * tick.text.length > width.value ? { ...tick, text: "" } : tick));
  return (
    <div class="axis" ref={place} aria-hidden="true">
      {marks.map(({ at, text }) => (
        <span key={at} style={{ left: `${(100 * (at + 0.5 - from)) / (to - from)}%` }}>{text}</span>
      ))}
      {end !== null && <span class="end" style={{ left: `${(100 * (end - from)) / (to - from)}%` }}>context ends</span>}
    </div>
  );
}

/** Before which step ends what the network was trained to read, if that is in view. */
function contextEnd(): number | null {
  const [from, to] = state.range.value;
  return page.context !== null && page.context > from && page.context < to ? page.context : null;
}

function ContextEnd() {
  const end = contextEnd();
  if (end === null) return null;
  const [from, to] = state.range.value;
  return <div class="line end" style={{ left: `calc(${GUTTER}px + ${(end - from) / (to - from)} * (100% - ${GUTTER}px))` }} />;
}

/** The chosen step, and where the pointer is. They move without a drawing of anything else. */
function Crosslines() {
  const chosen = useRef<HTMLDivElement>(null);
  const pointed = useRef<HTMLDivElement>(null);
  const drawn = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const put = (element: HTMLElement | null, step: number | undefined) => {
      if (!element) return;
      const [from, to] = state.range.value;
      const share = step === undefined ? -1 : (step + 0.5 - from) / (to - from);
      element.hidden = share < 0 || share > 1;
      element.style.setProperty("left", `calc(${GUTTER}px + ${share} * (100% - ${GUTTER}px))`);
    };
    const stops = [
      effect(() => put(chosen.current, state.step.value)),
      effect(() => put(pointed.current, state.hover.value?.step)),
      effect(() => {
        const [element, now] = [drawn.current!, box.value];
        element.hidden = !now;
        if (!now) return;
        const edge = element.parentElement!.getBoundingClientRect();
        Object.assign(element.style, {
          left: `${now.left - edge.left}px`, width: `${now.right - now.left}px`,
          top: `${now.top - edge.top}px`, height: `${now.bottom - now.top}px`,
        });
      }),
    ];
    return () => stops.forEach((stop) => stop());
  }, []);
  return (
    <>
      <div ref={chosen} class="line chosen" />
      <div ref={pointed} class="line pointed" hidden />
      <div ref={drawn} class="zoombox" hidden />
    </>
  );
}

export function Legend({ lines, values }: { lines: Line[]; values: (k: number) => number | undefined }) {
  return (
    <span class="legend">
      {lines.map((line, k) => (
        <span key={line.label} class="entry">
          <Dash line={line} />
          {line.label}
          <output>{number(values(k) ?? Number.NaN)}</output>
        </span>
      ))}
    </span>
  );
}

export function Dash({ line }: { line: Line }) {
  return (
    <svg width="18" height="8" aria-hidden="true">
      <line x1="0" y1="4" x2="18" y2="4" stroke={`var(${line.colour})`} stroke-width={2} stroke-dasharray={line.dash?.join(" ")} />
    </svg>
  );
}

/** The step that read-outs are of: under the pointer, else the chosen one. */
export const shown = () => state.hover.value?.step ?? state.step.value;

function InputPanel() {
  const lines = useMemo(
    () => state.data.inputs.slice(0, MOST_INPUTS).map<Line>((values, k) => ({
      label: page.inputs[k]!, values, colour: COLOURS[k]!, width: k ? 1.2 : 1.6,
    })),
    [],
  );
  const [from, to] = state.range.value;
  if (!lines.length) return null;
  const left = page.inputs.length - lines.length;
  return (
    <section class="panel" aria-label="Input">
      <header>
        <h3>input</h3>
        <Readout lines={lines} />
        {left > 0 && <small>{left} more are not drawn</small>}
      </header>
      <div class="chart">
        <LineChart lines={lines} from={from} to={to} height={104} gutter={GUTTER} theme={dark.value} label={`Input over time: ${page.inputs.join(", ")}`} />
        <div class="hit" data-plot />
      </div>
    </section>
  );
}

/** A legend with the values under the pointer. */
export function Readout({ lines }: { lines: Line[] }) {
  const step = shown();
  return <Legend lines={lines} values={(k) => lines[k]!.values[step] ?? Number.NaN} />;
}

function FlowPanel() {
  const of = state.place.value;
  const lines = useMemo(
    () => of.curves.map<Line>((curve, k) => {
      const states = [...new Set(of.curves.map((c) => c.state))];
      const direct = curve.kind !== "total";
      return {
        label: `${curve.state}, ${curve.kind}`,
        values: Array.from(of.lines[k]!, (value) => (value > 0 ? value : null)),
        colour: COLOURS[states.indexOf(curve.state) % COLOURS.length]!,
        dash: direct ? [5, 4] : undefined,
        width: direct ? 2 : 1.5,
      };
    }),
    [of],
  );
  const [from, to] = state.range.value;
  if (!lines.length) return null;
  return (
    <section class="panel" aria-label="Gradient flow">
      <header>
        <h3>gradient flow</h3>
        <span class="meaning">norm of the gradient of {page.loss || "the loss"} by each state, logarithmic</span>
        <Readout lines={lines} />
      </header>
      <div class="chart">
        <LineChart lines={lines} from={from} to={to} height={150} gutter={GUTTER} log theme={dark.value} label="Norm of the gradient by each state over time, on a logarithmic axis" />
        <div class="hit" data-plot />
      </div>
    </section>
  );
}
