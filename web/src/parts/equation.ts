// Equations as the cells' `lines` write them, in pieces: MathML does not wrap, so what has several
// "=" would lose its result where the place is narrow. Both pages set the pieces side by side.

const SIGN = "<mo>=</mo>";

/** The pieces of an equation, each from an "=" on; the first `kept` signs stay in the first piece. */
export function pieces(math: string, kept = 1): string[] {
  const found = math.match(/^(<math[^>]*><mrow>)(.*)(<\/mrow><\/math>)$/s);
  if (!found) return [math];
  const [, head, body, tail] = found as unknown as [string, string, string, string];
  const parts = body.split(SIGN);
  const first = parts.slice(0, kept + 1).join(SIGN);
  return [first, ...parts.slice(kept + 1).map((part) => SIGN + part)].map((part) => head + part + tail);
}
