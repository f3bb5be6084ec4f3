// Numbers as text.

const minus = (text: string): string => text.replace("-", "−");

/** A fixed number of decimals, with a real minus sign and never "−0". */
export function fixed(value: number, digits = 3): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : minus(text);
}

/** A whole number with thin spaces between thousands. */
export const whole = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A number of any size in few characters. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4 || size < 1e-3) {
    const [digits, power] = value.toExponential(1).split("e") as [string, string];
    return `${minus(digits)}·10${[...String(Number(power))].map((c) => RAISED[c]).join("")}`;
  }
  return minus(String(Number(value.toPrecision(3))));
}

const RAISED: Record<string, string> = {
  "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
};

export const percent = (share: number): string => `${Math.round(100 * share)} %`;
