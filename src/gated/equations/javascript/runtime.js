// What the cells' equations are made of, on arrays of 64-bit numbers, matrices row by row.

function take(from, key, length) {
  const values = from[key];
  if (values === undefined) {
    throw new Error(`${key} is missing: given are ${Object.keys(from).join(", ") || "none"}`);
  }
  if (length !== undefined && values.length !== length) {
    throw new Error(`${key} has ${values.length} numbers, expected ${length}`);
  }
  return values;
}

// A gradient that arrives, as an array of its own; none counts as 0.
function given(gradients, key, length) {
  const values = gradients[key];
  return values ? Float64Array.from(take(gradients, key, length)) : new Float64Array(length);
}

function sigmoid(v) {
  return 1 / (1 + Math.exp(-v));
}

// log(1 + e^v), exact on both sides
function softplus(v) {
  return Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
}

function sum(v) {
  let total = 0;
  for (let u = 0; u < v.length; u++) total += v[u];
  return Float64Array.of(total);
}

function mean(v) {
  return Float64Array.of(sum(v)[0] / v.length);
}

function normalize(v, epsilon) {
  const middle = mean(v)[0];
  const centred = Float64Array.from(v, (value) => value - middle);
  const spread = Math.sqrt(mean(centred.map((value) => value * value))[0] + epsilon);
  return centred.map((value) => value / spread);
}

function matmul(matrix, v) {
  return blocks(matrix, v, 1);
}

function matmulT(matrix, v) {
  return blocksT(matrix, v, 1);
}

function outer(a, b) {
  return blocksOuter(null, a, b, 1);
}

// A block-diagonal matrix holds its blocks one after the other; a dense one is a single block.
// `| 0` keeps an index a whole number for the compiler; four sums need not wait for one another.
function blocks(matrix, v, heads) {
  const columns = (v.length / heads) | 0;
  const rows = (matrix.length / v.length) | 0;
  const result = new Float64Array(heads * rows);
  for (let r = 0, at = 0; r < result.length; r++) {
    const start = ((r / rows) | 0) * columns;
    const end = start + columns;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    let k = start;
    for (; k < end - 3; k += 4, at += 4) {
      s0 += matrix[at] * v[k];
      s1 += matrix[at + 1] * v[k + 1];
      s2 += matrix[at + 2] * v[k + 2];
      s3 += matrix[at + 3] * v[k + 3];
    }
    for (; k < end; k++, at++) s0 += matrix[at] * v[k];
    result[r] = s0 + s1 + (s2 + s3);
  }
  return result;
}

// The transposed blocks, read along their rows all the same.
function blocksT(matrix, v, heads) {
  const rows = (v.length / heads) | 0;
  const columns = (matrix.length / v.length) | 0;
  const result = new Float64Array(heads * columns);
  for (let r = 0, at = 0; r < v.length; r++) {
    const start = ((r / rows) | 0) * columns;
    const end = start + columns;
    const factor = v[r];
    for (let k = start; k < end; k++, at++) result[k] += matrix[at] * factor;
  }
  return result;
}

function blocksOuter(like, a, b, heads) {
  const rows = (a.length / heads) | 0;
  const columns = (b.length / heads) | 0;
  const result = new Float64Array(a.length * columns);
  for (let r = 0, at = 0; r < a.length; r++) {
    const start = ((r / rows) | 0) * columns;
    const end = start + columns;
    const factor = a[r];
    for (let k = start; k < end; k++, at++) result[at] = factor * b[k];
  }
  return result;
}

// Numbers as MathML, with so many digits that count; a number that needs fewer is exact.
function inDigits(digits) {
  function number(v) {
    return `<mrow>${v < 0 ? "<mo>−</mo>" : ""}${size(Math.abs(v))}</mrow>`;
  }
  function size(v) {
    if (Number.isNaN(v)) return "<mi>NaN</mi>";
    if (v === Infinity) return "<mi>∞</mi>";
    const rounded = v.toExponential(digits - 1);
    const [mantissa, power] = rounded.split("e").map(Number);
    const exact = Number(rounded) === v;
    if (v === 0 || (power > -4 && power < 5)) {
      return `<mn>${exact ? v : v.toFixed(Math.max(0, digits - 1 - power))}</mn>`;
    }
    const raised = `<msup><mn>10</mn>${number(power)}</msup>`;
    if (exact && mantissa === 1) return raised;
    return `<mn>${exact ? mantissa : mantissa.toFixed(digits - 1)}</mn><mo>×</mo>${raised}`;
  }
  const factor = (v) => (v < 0 ? `<mo>(</mo>${number(v)}<mo>)</mo>` : number(v));
  const plus = (v) => `<mo>${v < 0 ? "−" : "+"}</mo>${number(Math.abs(v))}`;
  const minus = (v) => `<mo>−</mo>${factor(v)}`;
  const math = (text) => `<math displaystyle="true"><mrow>${text}</mrow></math>`;
  const equal = "<mo>=</mo>";

  // The row of a matrix times a vector; of a long one, the first terms and the last.
  function product(symbols, matrix, v, values, u) {
    const columns = matrix.length / values.length;
    const rows = (values.length * columns) / v.length;
    const start = Math.floor(u / rows) * columns;
    const terms = Array.from(
      { length: columns },
      (_, k) => `${factor(matrix[u * columns + k])}<mo>·</mo>${factor(v[start + k])}`
    );
    if (columns > 5) terms.splice(3, columns - 4, "<mi>⋯</mi>");
    const numbers = math(terms.join("<mo>+</mo>") + equal + number(values[u]));
    return { symbols: math(symbols), numbers, value: values[u] };
  }

  // An equation of one unit; of two stages that read the same, one is left out.
  function line(equation, name, symbols, values, unit, stages, products) {
    const u = values.length === 1 ? 0 : unit;
    if (!(u in values)) return [];
    const shown = stages(u).filter((stage, k, all) => stage !== all[k - 1]);
    return {
      name: equation,
      unit: u,
      symbols: math(name + equal + symbols),
      numbers: math([name, ...shown].join(equal)),
      value: values[u],
      products: products.map((one) => product(...one, u)),
    };
  }
  return { number, plus, minus, factor, line };
}
