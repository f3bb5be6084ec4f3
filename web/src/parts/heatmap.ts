// A matrix of bytes, units by steps, that can be drawn at any zoom within a frame.

/** Codes of all units over time, and their averages over 2, 4, 8, ... steps. */
export class Tile {
  /** levels[k] holds n rows of ceil(T / 2^k) codes. */
  readonly levels: Uint8Array[];
  /** Mean code of each unit. */
  readonly means: Float32Array;

  constructor(
    codes: Uint8Array,
    readonly units: number,
    readonly steps: number,
    readonly low: Float32Array,
    readonly high: Float32Array,
  ) {
    this.levels = [codes];
    for (let length = steps; length > 64; length = (length + 1) >> 1) {
      this.levels.push(halved(this.levels.at(-1)!, units, length));
    }
    this.means = means(this.levels.at(-1)!, units);
  }

  /** The value of a unit at a step, to 1/510 of its range. */
  at(unit: number, step: number): number {
    const low = this.low[unit]!;
    return low + (this.levels[0]![unit * this.steps + step]! / 255) * (this.high[unit]! - low);
  }

  /** All values of a unit. */
  row(unit: number): Float32Array {
    const low = this.low[unit]!;
    const scale = (this.high[unit]! - low) / 255;
    const codes = this.levels[0]!.subarray(unit * this.steps, (unit + 1) * this.steps);
    return Float32Array.from(codes, (code) => low + code * scale);
  }
}

/** Undoes, in place, that each code stands as the difference from the one before. */
export function undelta(codes: Uint8Array, units: number, steps: number): void {
  for (let unit = 0; unit < units; unit++) {
    let value = 0;
    for (let at = unit * steps, end = at + steps; at < end; at++) {
      value = (value + codes[at]!) & 255;
      codes[at] = value;
    }
  }
}

function halved(codes: Uint8Array, units: number, length: number): Uint8Array {
  const half = (length + 1) >> 1;
  const pairs = length >> 1;
  const out = new Uint8Array(units * half);
  for (let unit = 0; unit < units; unit++) {
    const from = unit * length;
    const to = unit * half;
    // odd places round up, even ones down, so that averages of averages do not drift
    for (let k = 0; k < pairs; k++) out[to + k] = (codes[from + 2 * k]! + codes[from + 2 * k + 1]! + (k & 1)) >> 1;
    if (half > pairs) out[to + pairs] = codes[from + length - 1]!;
  }
  return out;
}

function means(codes: Uint8Array, units: number): Float32Array {
  const length = codes.length / Math.max(1, units);
  return Float32Array.from({ length: units }, (_, unit) => {
    let sum = 0;
    for (let k = unit * length; k < (unit + 1) * length; k++) sum += codes[k]!;
    return sum / Math.max(1, length);
  });
}

export type Window = { from: number; to: number; top: number; bottom: number };
export type Scale = { low: number; high: number; colours: Uint32Array; changes: boolean };

/** How far units are from their own average: what 99 % of the cells stay within. */
export function spread(tile: Tile): number {
  const codes = tile.levels.at(-1)!;
  const length = codes.length / Math.max(1, tile.units);
  const found = Float32Array.from(codes, (code, k) => {
    const unit = Math.floor(k / length);
    return (Math.abs(code - tile.means[unit]!) / 255) * (tile.high[unit]! - tile.low[unit]!);
  }).sort();
  return found[Math.floor(0.99 * (found.length - 1))] || 1;
}

/** Draws rows `order[top..bottom)` over steps from..to on the whole canvas: each pixel an average. */
export function draw(canvas: HTMLCanvasElement, tile: Tile, order: ArrayLike<number>, view: Window, scale: Scale): void {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { alpha: false });
  if (!context || !width || !height || !tile.steps) return;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const { codes, length, columns } = sampled(tile, view, width);
  const sums = new Float32Array(width);
  const rows = (view.bottom - view.top) / height;
  const factor = 255 / (scale.high - scale.low);
  let drawn = -1;
  for (let y = 0; y < height; y++) {
    const first = Math.floor(view.top + y * rows);
    const last = Math.max(first + 1, Math.floor(view.top + (y + 1) * rows));
    if (last === first + 1 && first === drawn) {
      pixels.copyWithin(y * width, (y - 1) * width, y * width);
      continue;
    }
    drawn = last === first + 1 ? first : -1;
    sums.fill(0);
    for (let row = first; row < last; row++) {
      const unit = order[row]!;
      const step = (tile.high[unit]! - tile.low[unit]!) / 255;
      const low = scale.changes ? -step * tile.means[unit]! : tile.low[unit]!;
      const base = unit * length;
      for (let x = 0; x < width; x++) sums[x] = sums[x]! + low + step * codes[base + columns[x]!]!;
    }
    const count = last - first;
    for (let x = 0, to = y * width; x < width; x++, to++) {
      const level = (sums[x]! / count - scale.low) * factor;
      pixels[to] = scale.colours[level < 0 ? 0 : level > 255 ? 255 : level | 0]!;
    }
  }
  context.putImageData(image, 0, 0);
}

/** The level whose entries are about a pixel wide, and each pixel's entry in it. */
function sampled(tile: Tile, view: Window, width: number): { codes: Uint8Array; length: number; columns: Int32Array } {
  const each = (view.to - view.from) / width;
  const level = Math.max(0, Math.min(tile.levels.length - 1, Math.floor(Math.log2(Math.max(1, each)))));
  const codes = tile.levels[level]!;
  const length = codes.length / tile.units;
  const columns = new Int32Array(width);
  for (let x = 0; x < width; x++) {
    const step = view.from + (x + 0.5) * each;
    columns[x] = Math.max(0, Math.min(length - 1, Math.floor(step / 2 ** level)));
  }
  return { codes, length, columns };
}
