// Colour tables of 256 entries as the bytes of a canvas, for heat maps.

type Rgb = [number, number, number];

// matplotlib's cividis: even steps of lightness, the same to colour-blind eyes
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];

function rgb(hex: string): Rgb {
  const n = Number.parseInt(hex.trim().slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

/** 256 colours between the given ones, as 0xAABBGGRR. */
export function table(colours: readonly string[]): Uint32Array {
  const stops = colours.map(rgb);
  return Uint32Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(at));
    const [a, b] = [stops[below]!, stops[below + 1]!];
    const [r, g, v] = a.map((x, j) => Math.round(x + (at - below) * (b[j]! - x))) as Rgb;
    return (255 << 24) | (v << 16) | (g << 8) | r;
  });
}

/** For shares in [0, 1]. */
export const shares = table(CIVIDIS);

/** The value of a custom property of theme.css, now. */
export function property(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** For signed values, in the theme's colours. */
export function signed(): Uint32Array {
  return table([property("--minus"), property("--zero"), property("--plus")]);
}

/** A CSS gradient of a table, bottom to top. */
export function gradient(colours: Uint32Array, to = "top"): string {
  const stops = Array.from({ length: 9 }, (_, k) => {
    const c = colours[Math.round((k * 255) / 8)]!;
    return `rgb(${c & 255} ${(c >> 8) & 255} ${(c >> 16) & 255})`;
  });
  return `linear-gradient(to ${to}, ${stops.join(", ")})`;
}
