// One heat map: a gate or a state, units by steps.
import { useComputed } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { gradient, shares, signed } from "../parts/colours";
import { draw, spread, type Scale, type Tile } from "../parts/heatmap";
import { dark } from "../parts/theme";
import { page, type MapInfo, type Place } from "./data";
import { shown } from "./panels";
import * as state from "./state";
import { figure, number, whole } from "./words";

export function MapPanel({ place, map }: { place: Place; map: MapInfo }) {
  const tile = place.tiles.get(map.name)!.value;
  const scale = scaleOf(place, map, tile);
  const own = map.size === place.units;
  return (
    <section class="panel" aria-label={`Heat map of ${map.name}`}>
      <header>
        <h3 class="symbol">{map.name}</h3>
        {map.meaning && <span class="meaning">{map.meaning}</span>}
        {own && <Value place={place} map={map} />}
        {map.wild > 0 && <small class="warning">{whole(map.wild)} values are not finite; drawn as the nearest finite one</small>}
        {!own && <small>{map.size} of them, in the order of their numbers</small>}
      </header>
      <div class="row">
        <ScaleBar scale={scale} beyond={!scale.changes && !map.share && map.largest > 1.05 * Math.max(Math.abs(scale.low), scale.high)} />
        <Picture tile={tile} map={map} own={own} scale={scale} />
      </div>
    </section>
  );
}

function scaleOf(place: Place, map: MapInfo, tile: Tile | null): Scale {
  void dark.value; // signed() reads the colours of the theme
  if (state.colouring.value === "changes") {
    const reach = tile ? spread(tile) : 1;
    return { low: -reach, high: reach, colours: signed(), changes: true };
  }
  if (map.share && state.colouring.value === "stretched") {
    const low = place.low.get(map.name)!.reduce((a, b) => Math.min(a, b), 1);
    const high = place.high.get(map.name)!.reduce((a, b) => Math.max(a, b), 0);
    if (high > low) return { low, high, colours: shares, changes: false };
  }
  if (map.share) return { low: 0, high: 1, colours: shares, changes: false };
  return { low: -map.reach, high: map.reach, colours: signed(), changes: false };
}

function ScaleBar({ scale, beyond }: { scale: Scale; beyond: boolean }) {
  const end = (value: number) => `${beyond ? (value > 0 ? "≥" : "≤") : ""}${number(value, 2)}`;
  return (
    <div class="scalebar" aria-hidden="true">
      <span>{end(scale.high)}</span>
      <i style={{ background: gradient(scale.colours) }} />
      <span>{end(scale.low)}</span>
    </div>
  );
}

/** The value under the pointer, or of the chosen unit at the chosen step. */
function Value({ place, map }: { place: Place; map: MapInfo }) {
  const text = useComputed(() => {
    const tile = place.tiles.get(map.name)!.value;
    const which = state.hover.value?.unit ?? state.unit.value;
    return tile ? figure(state.valueOf(map.name, shown(), which, tile.at(which, shown()))) : "";
  });
  return <output class="value">{text}</output>;
}

function Picture({ tile, map, own, scale }: { tile: Tile | null; map: MapInfo; own: boolean; scale: Scale }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const height = state.HEIGHTS[state.tall.value];
  const [from, to] = state.range.value;
  const [top, bottom] = own ? state.rows.value : [0, map.size];
  const order = own ? state.order.value : numbers(map.size);
  useLayoutEffect(() => {
    const element = canvas.current!;
    const paint = () => {
      const ratio = Math.min(2, devicePixelRatio || 1);
      const width = Math.round(element.clientWidth * ratio);
      const rows = Math.round(height * ratio);
      if (element.width !== width) element.width = width;
      if (element.height !== rows) element.height = rows;
      if (tile) draw(element, tile, order, { from, to, top, bottom }, scale);
    };
    paint();
    const resized = new ResizeObserver(() => element.clientWidth * Math.min(2, devicePixelRatio || 1) !== element.width && paint());
    resized.observe(element);
    return () => resized.disconnect();
  }, [tile, height, from, to, top, bottom, order, scale.low, scale.high, scale.colours, scale.changes, dark.value]);
  const label = `${map.name} of ${map.size} units over ${page.steps} steps${map.meaning ? `: ${map.meaning}` : ""}`;
  return (
    <div class="plot map" data-plot data-units={own ? "" : undefined} style={{ height }}>
      <canvas ref={canvas} role="img" aria-label={label} />
      {!tile && <span class="waiting">reading …</span>}
      {own && <RowMark />}
    </div>
  );
}

/** The outline of the chosen unit's row. */
function RowMark() {
  const style = useComputed(() => {
    const [top, bottom] = state.rows.value;
    const from = (state.row.value - top) / (bottom - top);
    const to = (state.row.value + 1 - top) / (bottom - top);
    return to <= 0 || from >= 1 ? "display: none" : `top: ${100 * from}%; height: ${100 * (to - from)}%`;
  });
  return <i class="rowmark" style={style} />;
}

const made = new Map<number, Uint32Array>();
function numbers(count: number): Uint32Array {
  if (!made.has(count)) made.set(count, Uint32Array.from({ length: count }, (_, k) => k));
  return made.get(count)!;
}
