import "uplot/dist/uPlot.min.css";
import { useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

export type Line = { label: string; values: ArrayLike<number | null>; colour: string; dash?: number[]; width?: number };

type Props = {
  /** Lines over steps 0, 1, 2, ... */
  lines: Line[];
  from: number;
  to: number;
  height: number;
  /** Width of the strip left of the plot, where the numbers stand. */
  gutter: number;
  log?: boolean;
  /** Changes when colours change. */
  theme: unknown;
  label: string;
};

/** Lines over time, drawn by uPlot; the step k is centred at k + 0.5, as in a heat map. */
export function LineChart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { lines, height, gutter, log, theme } = props;
  useLayoutEffect(() => {
    const element = place.current!;
    plot.current = new uPlot(options(props, element.clientWidth), table(lines), element);
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lines, height, gutter, log, theme]);
  useLayoutEffect(() => {
    plot.current?.setScale("x", { min: props.from - 0.5, max: props.to - 0.5 });
  }, [props.from, props.to, lines, height, gutter, log, theme]);
  return <div ref={place} class="linechart" role="img" aria-label={props.label} style={{ height }} />;
}

function table(lines: Line[]): uPlot.AlignedData {
  const steps = lines[0]?.values.length ?? 0;
  return [Float64Array.from({ length: steps }, (_, k) => k), ...lines.map((line) => line.values)] as unknown as uPlot.AlignedData;
}

function options({ lines, from, to, height, gutter, log }: Props, width: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return {
    width,
    height,
    padding: [6, 0, 6, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, min: from - 0.5, max: to - 0.5, auto: false },
      y: log ? { distr: 3, range: decades } : { range: roomy },
    },
    axes: [
      { show: false },
      {
        size: gutter,
        stroke: colour("--soft"),
        grid: { stroke: colour("--grid"), width: 1 },
        ticks: { show: false },
        gap: 6,
        font: "12px system-ui, sans-serif",
        space: 28,
        ...(log ? { splits: powers, values: tens, filter: (_: uPlot, splits: number[]) => splits } : { values: figures }),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: line.width ?? 1.5,
        dash: line.dash,
        points: { show: false },
        spanGaps: false,
      })),
    ],
  };
}

/** A little room above and below, so that no line lies on the edge. */
function roomy(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.5;
  return [low - room, high + room];
}

/** At least one decade, and never more than 16: what is below is drawn at the edge. */
function decades(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (!low || !high) return [1e-3, 1];
  const top = Math.ceil(Math.log10(high));
  return [10 ** Math.max(top - 16, Math.min(top - 1, Math.floor(Math.log10(low)))), 10 ** top];
}

function figures(_: uPlot, splits: number[]): string[] {
  return splits.map((value) => (Math.abs(value) >= 1e5 ? value.toExponential(0) : String(+value.toPrecision(6))).replace("-", "−"));
}

/** Powers of ten, about four of them. */
function powers(plot: uPlot): number[] {
  const { min, max } = plot.scales.y!;
  if (!min || !max) return [];
  const [low, high] = [Math.ceil(Math.log10(min) - 1e-6), Math.floor(Math.log10(max) + 1e-6)];
  const every = Math.max(1, Math.ceil((high - low) / 4));
  return Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, k) => 10 ** (high - k * every)).reverse();
}

function tens(_: uPlot, splits: number[]): string[] {
  return splits.map((value) => `1e${Math.round(Math.log10(value))}`.replace("-", "−"));
}
