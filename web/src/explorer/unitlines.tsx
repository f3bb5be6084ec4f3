// The chosen unit: all its gates and states as lines, on the panels' time axis.
import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { LineChart, type Line } from "../parts/linechart";
import { dark } from "../parts/theme";
import type { MapInfo } from "./data";
import { Dash, GUTTER, shown } from "./panels";
import * as state from "./state";
import { figure } from "./words";

const LOOKS: Pick<Line, "colour" | "dash" | "width">[] = [
  { colour: "--accent" }, { colour: "--second" }, { colour: "--third" }, { colour: "--fourth" },
  { colour: "--ink", width: 2 }, { colour: "--soft", width: 2, dash: [6, 3] },
  { colour: "--accent", dash: [3, 3] }, { colour: "--second", dash: [3, 3] }, { colour: "--third", dash: [3, 3] }, { colour: "--fourth", dash: [3, 3] },
];
const HEIGHT = 84;
const off = signal<ReadonlySet<string>>(new Set());

function toggle(name: string): void {
  const now = new Set(off.value);
  if (!now.delete(name)) now.add(name);
  off.value = now;
}

export function UnitLines() {
  const of = state.place.value;
  const unit = state.unit.value;
  const maps = of.maps.filter((map) => map.size === of.units);
  const tiles = maps.map((map) => of.tiles.get(map.name)!.value);
  const whole = tiles.every((tile) => tile !== null);
  const all = useMemo(
    () => maps.map<Line>((map, k) => ({ label: map.name, values: whole ? tiles[k]!.row(unit) : [], ...LOOKS[k % LOOKS.length]! })),
    [of, unit, whole],
  );
  const groups = useMemo(() => (whole ? grouped(maps, all.filter((line) => !off.value.has(line.label))) : []), [all, whole, off.value]);
  return (
    <section class="panel" aria-label={`Unit ${unit}`}>
      <header>
        <h3>unit {unit}</h3>
        <span class="legend">
          {all.map((line) => (
            <button key={line.label} type="button" class="entry" aria-pressed={!off.value.has(line.label)} onClick={() => toggle(line.label)}>
              <Dash line={line} /><span class="symbol">{line.label}</span>
              <Now line={line} />
            </button>
          ))}
        </span>
      </header>
      {!whole && <p class="waiting" style={{ height: 3 * HEIGHT }}>reading …</p>}
      {groups.map((lines) => <Group key={lines.map((line) => line.label).join()} lines={lines} unit={unit} />)}
    </section>
  );
}

/** Lines that can share an axis: shares, what stays within ±1.5, ±7.5, ±37.5, ... */
function grouped(maps: MapInfo[], lines: Line[]): Line[][] {
  const found = new Map<string, Line[]>();
  for (const line of lines) {
    const map = maps.find(({ name }) => name === line.label)!;
    const kind = map.share ? "share" : map.largest <= 1.5 ? "near" : `near ${Math.floor(Math.log(map.largest / 1.5) / Math.log(5))}`;
    found.set(kind, [...(found.get(kind) ?? []), line]);
  }
  return [...found.values()];
}

function Group({ lines, unit }: { lines: Line[]; unit: number }) {
  const [from, to] = state.range.value;
  return (
    <div class="chart">
      <LineChart lines={lines} from={from} to={to} height={HEIGHT} gutter={GUTTER} theme={dark.value} label={`${lines.map((line) => line.label).join(", ")} of unit ${unit} over time`} />
      <div class="hit" data-plot />
    </div>
  );
}

function Now({ line }: { line: Line }) {
  return <output>{figure(state.valueOf(line.label, shown(), state.unit.value, line.values[shown()] ?? Number.NaN))}</output>;
}
