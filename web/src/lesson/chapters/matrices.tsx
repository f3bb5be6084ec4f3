import { signal } from "@preact/signals";
import { Slider } from "../../parts/slider";
import { whole } from "../format";
import { type Count, given } from "../given";
import { Scroll, V } from "../math";
import type { Chapter } from "../place";

const D = signal(3);
const H = signal(5);
const sizes = (): Record<string, number> => ({ D: D.value, H: H.value });
const LABELS: Record<string, string> = { rnn: "RNN", gru: "GRU", lstm: "LSTM" };

function total({ terms }: Count): number {
  return terms.reduce((sum, [letters, factor]) => sum + factor * letters.reduce((n, l) => n * sizes()[l]!, 1), 0);
}

type Block = { key: string; x: number; y: number; width: number; height: number };
type Drawn = { count: Count; blocks: Block[]; gates: { name: string; y: number }[]; width: number; height: number };
const GAP = 0.6;

/** Every matrix and bias of a cell as rectangles, a layer a row, one unit of length a weight. */
function drawn(count: Count): Drawn {
  const layers = new Map<string, { key: string; rows: number; columns: number }[]>();
  for (const { key, shape } of count.blocks) {
    const gate = key.split(".")[1] ?? "h";
    const [rows, columns = 1] = shape.map((l) => sizes()[l]!) as [number, number?];
    layers.set(gate, [...(layers.get(gate) ?? []), { key, rows, columns }]);
  }
  const gap = (GAP * (D.value + H.value)) / 12;
  const blocks: Block[] = [];
  const gates: Drawn["gates"] = [];
  let [width, y] = [0, 0];
  for (const [name, layer] of layers) {
    let x = 0;
    for (const { key, rows, columns } of layer) {
      blocks.push({ key, x, y, width: columns, height: rows });
      x += columns + gap;
    }
    gates.push({ name, y: y + layer[0]!.rows / 2 });
    width = Math.max(width, x - gap);
    y += layer[0]!.rows + gap;
  }
  return { count, blocks, gates, width, height: y - gap };
}

function Blocks() {
  const cells = given.counts.map(drawn);
  const letter = Math.max(...cells.map((c) => c.height)) / 13 + (D.value + H.value) / 22;
  const height = Math.max(...cells.map((c) => c.height)) + 2.2 * letter;
  let right = 0;
  const places = cells.map((c) => {
    const x = right + 1.5 * letter;
    right = x + c.width + 1.2 * letter;
    return x;
  });
  return (
    <svg class="allblocks" viewBox={`0 0 ${right} ${height}`} role="img" aria-label={cells.map((c) => `${LABELS[c.count.name]}: ${c.gates.length} layers, ${total(c.count)} weights`).join("; ")}>
      {cells.map((c, k) => (
        <g key={c.count.name} transform={`translate(${places[k]} ${height - 1.9 * letter - c.height})`}>
          {c.gates.map(({ name, y }) => <text key={name} x={-0.75 * letter} y={y + 0.3 * letter} class="symbol middle" style={{ fontSize: letter }}>{name}</text>)}
          {c.blocks.map(({ key, ...box }) => <rect key={key} {...box} class={`block ${key[0]}`}><title>{`${key.replace(".", " of ")}: ${box.height} × ${box.width}`}</title></rect>)}
          <text x={c.width / 2} y={c.height + 1.5 * letter} class="tick middle" style={{ fontSize: letter }}>{LABELS[c.count.name]}</text>
        </g>
      ))}
    </svg>
  );
}

function Body() {
  const lstm = given.counts.find(({ name }) => name === "lstm")!;
  const [d, h] = [D.value, H.value];
  return (
    <>
      <div class="text">
        <p>
          Each of the four layers has a matrix for the input (<V>H × D</V>), one for the last output (<V>H × H</V>) and a
          bias (<V>H</V>). Four of each:
        </p>
        <p class="count" aria-live="polite">
          4 × ({h}·{d} + {h}·{h} + {h}) = <b data-count="lstm">{whole(total(lstm))}</b>
        </p>
        <div class="sliders">
          <Slider label="D" spoken="D, the input size" value={D} min={1} max={64} step={1} />
          <Slider label="H" spoken="H, the number of units" value={H} min={1} max={64} step={1} />
        </div>
        <Scroll label="Table">
          <table class="steps">
            <thead><tr><th scope="col">cell</th><th scope="col">weights</th><th scope="col">in letters</th><th scope="col">of the LSTM</th></tr></thead>
            <tbody>
              {given.counts.map((count) => (
                <tr key={count.name}>
                  <th scope="row">{LABELS[count.name]}</th>
                  <td data-weights={count.name}>{whole(total(count))}</td>
                  <td class="letters">{count.letters}</td>
                  <td>{Math.round((100 * total(count)) / total(lstm))} %</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
        <p class="aside">
          Counted from the equations. The GRU here is PyTorch’s, with a second bias in its candidate. PyTorch stores two
          biases per layer of the LSTM as well, of which only the sum matters; counted so, an LSTM has 4 H more.
        </p>
      </div>
      <div class="figure">
        <Blocks />
        <p class="keys"><span><span class="key W" /> <V>W</V> reads the input</span><span><span class="key U" /> <V>U</V> reads the last output</span><span><span class="key b" /> bias</span></p>
      </div>
    </>
  );
}

export const matrices: Chapter = {
  id: "matrices",
  name: "Four weight matrices, counted",
  minutes: 2,
  screens: [{ title: "4 (HD + HH + H)", Body }],
};
