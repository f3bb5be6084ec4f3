// Pointer and wheel over the panels: hover, select, zoom into a box, drag, pinch.
import { signal } from "@preact/signals";
import * as state from "./state";

export type Box = { left: number; right: number; top: number; bottom: number; panel: HTMLElement };
/** The box that is being drawn with a mouse, in the page's coordinates. */
export const box = signal<Box | null>(null);

const SLACK = 6; // pixels that a click may wander
type Finger = { x: number; y: number; startX: number; startY: number };
const fingers = new Map<number, Finger>();
let panel: HTMLElement | null = null;

/** The plot under an event: the step there, and the unit if it is a map of units. */
function spot(plot: HTMLElement, x: number, y: number): { step: number; unit: number | null; row: number } {
  const edge = plot.getBoundingClientRect();
  const [from, to] = state.range.value;
  const [top, bottom] = state.rows.value;
  const step = from + ((x - edge.left) / edge.width) * (to - from);
  const row = Math.max(top, Math.min(bottom - 1e-6, top + ((y - edge.top) / edge.height) * (bottom - top)));
  const unit = plot.dataset.units === undefined ? null : state.order.value[Math.floor(row)]!;
  return { step, unit, row };
}

const plotOf = (event: Event) => (event.target as Element).closest<HTMLElement>("[data-plot]");

function down(event: PointerEvent): void {
  const plot = plotOf(event);
  if (!plot || event.button) return;
  panel = plot;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY, startX: event.clientX, startY: event.clientY });
  plot.setPointerCapture(event.pointerId);
}

function move(event: PointerEvent): void {
  const plot = panel ?? plotOf(event);
  if (!plot) return void (state.hover.value = null);
  const { step, unit } = spot(plot, event.clientX, event.clientY);
  const [from, to] = state.range.value;
  state.hover.value = { step: Math.floor(Math.max(from, Math.min(to - 1e-6, step))), unit };
  const finger = fingers.get(event.pointerId);
  if (!finger) return;
  const before = { ...finger };
  Object.assign(finger, { x: event.clientX, y: event.clientY });
  if (event.pointerType === "mouse") drawBox(finger, plot);
  else if (fingers.size === 1) drag(before.x - finger.x, plot);
  else pinch(before, event.pointerId, plot);
}

function drawBox(finger: Finger, plot: HTMLElement): void {
  if (Math.abs(finger.x - finger.startX) < SLACK) return void (box.value = null);
  const edge = plot.getBoundingClientRect();
  const deep = plot.dataset.units !== undefined && Math.abs(finger.y - finger.startY) > edge.height / 5;
  const inside = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));
  box.value = {
    panel: plot,
    left: inside(Math.min(finger.x, finger.startX), edge.left, edge.right),
    right: inside(Math.max(finger.x, finger.startX), edge.left, edge.right),
    top: deep ? inside(Math.min(finger.y, finger.startY), edge.top, edge.bottom) : edge.top,
    bottom: deep ? inside(Math.max(finger.y, finger.startY), edge.top, edge.bottom) : edge.bottom,
  };
}

function drag(pixels: number, plot: HTMLElement): void {
  const [from, to] = state.range.value;
  state.pan((pixels / plot.clientWidth) * (to - from));
}

function pinch(before: Finger, id: number, plot: HTMLElement): void {
  const other = [...fingers].find(([key]) => key !== id)?.[1];
  const now = fingers.get(id);
  if (!other || !now) return;
  const apart = Math.abs(now.x - other.x);
  const was = Math.abs(before.x - other.x);
  if (apart > 10 && was > 10) state.zoom(was / apart, spot(plot, (now.x + other.x) / 2, now.y).step);
}

function up(event: PointerEvent): void {
  const finger = fingers.get(event.pointerId);
  fingers.delete(event.pointerId);
  const plot = panel;
  if (fingers.size) return;
  panel = null;
  if (!finger || !plot || event.type === "pointercancel") return void (box.value = null);
  const drawn = box.value;
  box.value = null;
  if (drawn) return zoomInto(drawn);
  if (Math.hypot(finger.x - finger.startX, finger.y - finger.startY) > SLACK) return;
  const { step, unit } = spot(plot, event.clientX, event.clientY);
  state.select(step, unit);
}

function zoomInto(drawn: Box): void {
  const edge = drawn.panel.getBoundingClientRect();
  const first = spot(drawn.panel, drawn.left, drawn.top);
  const last = spot(drawn.panel, drawn.right, drawn.bottom);
  state.show(first.step, last.step);
  if (drawn.bottom - drawn.top < edge.height) state.showRows(Math.floor(first.row), Math.ceil(last.row));
}

function wheel(event: WheelEvent): void {
  const plot = plotOf(event);
  if (!plot) return;
  const [from, to] = state.range.value;
  const { step, row } = spot(plot, event.clientX, event.clientY);
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (event.ctrlKey || event.metaKey) state.zoom(factor(event), step);
  else if (event.altKey && plot.dataset.units !== undefined) state.zoomRows(factor(event), row);
  else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) state.pan((sideways / plot.clientWidth) * (to - from));
  else return;
  event.preventDefault();
}

const factor = (event: WheelEvent) => Math.exp(Math.max(-100, Math.min(100, event.deltaY)) * 0.005);

/** Listens on the element that holds the panels. */
export function listen(element: HTMLElement): () => void {
  const stop = new AbortController();
  const { signal: until } = stop;
  element.addEventListener("pointerdown", down, { signal: until });
  element.addEventListener("pointermove", move, { signal: until });
  element.addEventListener("pointerup", up, { signal: until });
  element.addEventListener("pointercancel", up, { signal: until });
  element.addEventListener("pointerleave", () => (state.hover.value = null), { signal: until });
  element.addEventListener("wheel", wheel, { signal: until, passive: false });
  document.addEventListener("keydown", () => (state.hover.value = null), { signal: until, capture: true });
  element.addEventListener("dblclick", (event) => plotOf(event) && state.reset(), { signal: until });
  return () => stop.abort();
}
