// What stands above the panels: which layer, in which order, how far zoomed, and where we are.
import { useComputed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { property } from "../parts/colours";
import { dark } from "../parts/theme";
import { page } from "./data";
import { GUTTER, shown } from "./panels";
import * as state from "./state";
import { named, whole } from "./words";

export function Toolbar() {
  return (
    <div class="toolbar" role="toolbar" aria-label="View">
      <Layers />
      <label class="choice">
        <span>Units by</span>
        <select value={state.sort.value} onChange={(e) => chooseSort(e.currentTarget.value)}>
          {[...state.sorts.value].map(([key, { label }]) => <option key={key} value={key}>{label}</option>)}
        </select>
      </label>
      <label class="choice">
        <span>Colours</span>
        <select value={state.colouring.value} onChange={(e) => (state.colouring.value = e.currentTarget.value as "values")}>
          <option value="values">values</option>
          <option value="stretched">values, stretched to their range</option>
          <option value="changes">change from the unit's mean</option>
        </select>
      </label>
      <label class="choice">
        <span>Maps</span>
        <select value={state.tall.value} onChange={(e) => (state.tall.value = e.currentTarget.value as "small")}>
          <option value="small">small</option>
          <option value="medium">medium</option>
          <option value="large">large</option>
        </select>
      </label>
      <Zoom />
    </div>
  );
}

function chooseSort(key: string): void {
  state.sort.value = key;
  state.rows.value = [0, state.place.value.units];
}

function Layers() {
  const places = state.data.places;
  if (places.length < 2) return null;
  return (
    <label class="choice">
      <span>Layer</span>
      <select value={state.placeIndex.value} onChange={(e) => state.choosePlace(Number(e.currentTarget.value))}>
        {places.map((place) => <option key={place.index} value={place.index}>{place.label}</option>)}
      </select>
    </label>
  );
}

function Zoom() {
  return (
    <>
      <div class="buttons" role="group" aria-label="Zoom time">
        <span aria-hidden="true">Time</span>
        <Button label="Zoom in on time" text="+" run={() => state.zoom(0.5, state.step.value + 0.5)} />
        <Button label="Zoom out of time" text="−" run={() => state.zoom(2, state.step.value + 0.5)} />
        <Button label="Earlier" text="‹" run={() => state.pan(-0.5 * (state.range.value[1] - state.range.value[0]))} />
        <Button label="Later" text="›" run={() => state.pan(0.5 * (state.range.value[1] - state.range.value[0]))} />
      </div>
      <div class="buttons" role="group" aria-label="Zoom units">
        <span aria-hidden="true">Units</span>
        <Button label="Show fewer units" text="+" run={() => state.zoomRows(0.5)} />
        <Button label="Show more units" text="−" run={() => state.zoomRows(2)} />
        <Button label="Units further up" text="ˆ" run={() => state.panRows(-0.5 * (state.rows.value[1] - state.rows.value[0]))} />
        <Button label="Units further down" text="ˇ" run={() => state.panRows(0.5 * (state.rows.value[1] - state.rows.value[0]))} />
      </div>
      <Button label="Show everything" text="all" run={state.reset} />
    </>
  );
}

function Button({ label, text, run }: { label: string; text: string; run: () => void }) {
  return <button type="button" aria-label={label} title={label} onClick={run}>{text}</button>;
}

/** Where the cursor is, and a slider and a field to set it. */
export function Scrubber() {
  return (
    <div class="scrubber">
      <Position />
      <Overview />
      <label class="choice">
        <span>Step</span>
        <input type="number" min={0} max={page.steps - 1} value={state.step.value}
          onChange={(e) => Number.isFinite(e.currentTarget.valueAsNumber) && state.select(e.currentTarget.valueAsNumber)} />
      </label>
      <label class="choice">
        <span>Unit</span>
        <input type="number" min={0} max={state.place.value.units - 1} value={state.unit.value} onChange={(e) => chooseUnit(e.currentTarget.valueAsNumber)} />
      </label>
    </div>
  );
}

export function chooseUnit(value: number): void {
  if (!Number.isFinite(value)) return;
  state.unit.value = Math.max(0, Math.min(state.place.value.units - 1, Math.floor(value)));
  state.moveUnit(0);
}

function Position() {
  const text = useComputed(() => named(shown()));
  const which = useComputed(() => ` · unit ${state.hover.value?.unit ?? state.unit.value}`);
  return <output class="position">{text}{which}</output>;
}

/** The whole of the first input with the part that is shown; drag it, or use the slider in it. */
function Overview() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const night = dark.value;
  useEffect(() => {
    const element = canvas.current!;
    const paint = () => paintOverview(element, state.data.inputs[0]);
    paint();
    const resized = new ResizeObserver(paint);
    resized.observe(element);
    return () => resized.disconnect();
  }, [night]);
  const [from, to] = state.range.value;
  const share = (at: number) => `${(100 * at) / page.steps}%`;
  return (
    <div class="overview" style={{ marginLeft: GUTTER }}>
      <canvas ref={canvas} aria-hidden="true" />
      <i class="shade" style={{ left: 0, width: share(from) }} />
      <i class="shade" style={{ left: share(to), right: 0 }} />
      <i class="window" style={{ left: share(from), width: share(to - from) }} onPointerDown={grab} />
      <input type="range" min={0} max={page.steps - 1} value={state.step.value} aria-label="Chosen step" aria-valuetext={named(state.step.value)}
        onInput={(e) => state.select(e.currentTarget.valueAsNumber)} />
    </div>
  );
}

function paintOverview(canvas: HTMLCanvasElement, values: Float32Array | undefined): void {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
  const context = canvas.getContext("2d");
  if (!context || !values?.length || !width) return;
  const finite = values.filter(Number.isFinite);
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  context.fillStyle = property("--soft");
  const y = (v: number) => 1 + (height - 2) * (1 - (v - low) / (high - low || 1));
  for (let x = 0; x < width; x++) {
    const part = between(values, (x / width) * (values.length - 1), ((x + 1) / width) * (values.length - 1)).filter(Number.isFinite);
    if (!part.length) continue;
    const top = y(Math.max(...part));
    context.fillRect(x, top, 1, Math.max(1.5, y(Math.min(...part)) - top));
  }
}

/** What a line through the values passes from one place to another. */
function between(values: Float32Array, from: number, to: number): number[] {
  const at = (place: number) => {
    const below = Math.min(values.length - 1, Math.floor(place));
    const above = Math.min(values.length - 1, below + 1);
    return values[below]! + (place - below) * (values[above]! - values[below]!);
  };
  return [at(from), ...values.subarray(Math.ceil(from), Math.ceil(to)), at(to)];
}

function grab(event: PointerEvent): void {
  const handle = event.currentTarget as HTMLElement;
  const width = handle.parentElement!.clientWidth;
  const [from] = state.range.value;
  const start = event.clientX;
  const stop = new AbortController();
  handle.setPointerCapture(event.pointerId);
  handle.addEventListener("pointermove", (e) => state.pan(from + ((e.clientX - start) / width) * page.steps - state.range.value[0]), { signal: stop.signal });
  for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => stop.abort(), { signal: stop.signal });
}

/** How much of everything is shown. */
export function Extent() {
  const [from, to] = state.range.value;
  const [top, bottom] = state.rows.value;
  const units = state.place.value.units;
  const steps = `${whole(Math.round(to - from))} of ${whole(page.steps)} steps`;
  return <p class="extent">{steps}, {whole(Math.round(bottom - top))} of {whole(units)} units</p>;
}
