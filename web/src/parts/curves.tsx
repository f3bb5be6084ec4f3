import "uplot/dist/uPlot.min.css";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { drawEnds, widthOf } from "./ends";

export type Curve = { label: string; y: ArrayLike<number | null>; colour: string; dashed?: boolean };

type Props = {
  x: ArrayLike<number>;
  curves: Curve[];
  xLabel: string;
  yLabel: string;
  logX?: boolean;
  logY?: boolean;
  /** Least and greatest value that is drawn, where that is not left to the data. */
  yRange?: [number, number];
  /** Whether curves are named at their right ends: by number, and a legend, where there is little room. */
  ends?: boolean;
  /** Changes when colours or letters change. */
  theme: unknown;
  /** What the chart shows, for who cannot see it. */
  label: string;
};

/** Curves over a common x with axes and a legend, drawn by uPlot. */
export function Curves(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [wide, setWide] = useState(true);
  const { x, curves, theme, logX, logY, yRange, ends } = props;
  const kind = JSON.stringify([wide, ends, logX, logY, yRange, curves.map((c) => [c.label, c.colour, c.dashed]), props.xLabel, props.yLabel]);
  useLayoutEffect(() => {
    const element = place.current!;
    const size = () => ({ width: element.clientWidth, height: element.clientHeight });
    plot.current = new uPlot({ ...options(props, wide), ...size() }, data(x, curves), element);
    const resized = new ResizeObserver(() => {
      setWide(element.clientWidth > 30 * letterSize());
      plot.current?.setSize(size());
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [kind, theme]);
  useLayoutEffect(() => plot.current?.setData(data(x, curves)), [x, curves]);
  return (
    <figure class="curves">
      <div ref={place} class="curves-plot" role="img" aria-label={props.label} />
      <figcaption hidden={ends && wide}>
        {curves.map((c, k) => (
          <span class="curves-key" key={c.label}>
            <svg width="28" height="10" aria-hidden="true">
              <line x1="0" y1="5" x2="28" y2="5" stroke={`var(${c.colour})`} stroke-width="3" stroke-dasharray={c.dashed ? "5 4" : undefined} />
            </svg>
            {ends ? `${k + 1} ${c.label}` : c.label}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function data(x: ArrayLike<number>, curves: Curve[]): uPlot.AlignedData {
  return [x, ...curves.map((c) => c.y)] as unknown as uPlot.AlignedData;
}

const letterSize = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

function options({ curves, xLabel, yLabel, logX, logY, yRange, ends }: Props, wide: boolean): Omit<uPlot.Options, "width" | "height"> {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const letters = letterSize();
  const names = curves.map((c, k) => ({ text: wide ? c.label : String(k + 1), colour: colour(c.colour) }));
  const axis = (label: string, log: boolean | undefined): uPlot.Axis => ({
    label,
    labelSize: 1.7 * letters,
    labelFont: `${0.85 * letters}px system-ui, sans-serif`,
    font: `${0.8 * letters}px system-ui, sans-serif`,
    stroke: colour("--soft"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
    filter: (_, splits) => splits,
    splits: log ? (_, __, low, high) => decades(low, high) : undefined,
    values: (_, splits) => splits.map((v) => (v === null ? "" : figure(v, log))),
  });
  return {
    legend: { show: false },
    cursor: { show: false },
    padding: [letters * 0.6, ends ? widthOf(names, 0.8 * letters) : letters, 0, 0],
    hooks: ends ? { draw: [(plot) => drawEnds(plot, names, 0.8 * letters, colour("--ink"))] } : {},
    scales: {
      x: { time: false, distr: logX ? 3 : 1 },
      y: { distr: logY ? 3 : 1, range: yRange ?? undefined },
    },
    axes: [
      { ...axis(xLabel, logX), size: 2.2 * letters, space: 3.4 * letters },
      { ...axis(yLabel, logY), size: 3.6 * letters, space: 2 * letters },
    ],
    series: [
      {},
      ...curves.map((c) => ({
        label: c.label,
        stroke: colour(c.colour),
        width: letters / 7,
        dash: c.dashed ? [8, 6] : undefined,
        points: { show: false },
        spanGaps: true,
      })),
    ],
  };
}

/** Whole powers of ten alone, and so few that their names have room. */
function decades(low: number, high: number): number[] {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const every = Math.max(1, Math.ceil((last - first) / 8));
  const start = Math.ceil(first / every) * every;
  return Array.from({ length: Math.max(0, Math.floor((last - start) / every) + 1) }, (_, k) => 10 ** (start + k * every));
}

function figure(value: number, log: boolean | undefined): string {
  if (!log) return String(+value.toPrecision(6)).replace("-", "−");
  const ten = Math.log10(value);
  return Math.abs(ten) < 3 ? String(+value.toPrecision(3)) : `1e${String(Math.round(ten)).replace("-", "−")}`;
}
