// Names at the right ends of curves: where curves run together, a legend alone does not tell them apart.
import uPlot from "uplot";

type Named = { text: string; colour: string };
type End = Named & { x: number; y: number; place: number };

/** Where each curve ends, in pixels of the canvas, from the top down. */
function found(plot: uPlot, names: Named[]): End[] {
  const { top, height } = plot.bbox;
  const ends = names.flatMap((name, k) => {
    const values = plot.data[k + 1]!;
    let last = values.length - 1;
    while (last >= 0 && values[last] == null) last--;
    if (last < 0) return [];
    const y = Math.min(top + height, Math.max(top, plot.valToPos(values[last]!, "y", true)));
    return [{ ...name, x: plot.valToPos(plot.data[0][last]!, "x", true), y, place: y }];
  });
  return ends.sort((a, b) => a.y - b.y);
}

/** Move names apart by at least `gap`, and no lower than `bottom`. */
function spread(ends: End[], gap: number, bottom: number): void {
  ends.forEach((end, k) => (end.place = k ? Math.max(end.place, ends[k - 1]!.place + gap) : end.place));
  for (let k = ends.length - 1; k >= 0; k--) {
    ends[k]!.place = Math.min(ends[k]!.place, k === ends.length - 1 ? bottom : ends[k + 1]!.place - gap);
  }
}

/** Writes the names beside the plot, each joined to its curve; `letter` is their size in CSS pixels. */
export function drawEnds(plot: uPlot, names: Named[], letter: number, ink: string): void {
  const { ctx, bbox } = plot;
  const size = letter * uPlot.pxRatio;
  const right = bbox.left + bbox.width;
  const ends = found(plot, names);
  spread(ends, 1.2 * size, bbox.top + bbox.height);
  ctx.save();
  ctx.font = `${size}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.lineWidth = size / 7;
  ctx.setLineDash([]);
  for (const end of ends) {
    ctx.strokeStyle = end.colour;
    ctx.beginPath();
    ctx.moveTo(end.x, end.y);
    ctx.lineTo(right + 1.4 * size, end.place);
    ctx.stroke();
    ctx.fillStyle = ink;
    ctx.fillText(end.text, right + 1.6 * size, end.place);
  }
  ctx.restore();
}

/** How much room the names need, in CSS pixels. */
export function widthOf(names: Named[], letter: number): number {
  const ctx = document.createElement("canvas").getContext("2d")!;
  ctx.font = `${letter}px system-ui, sans-serif`;
  return 1.9 * letter + Math.max(...names.map(({ text }) => ctx.measureText(text).width));
}
