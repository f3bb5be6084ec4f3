import { computed } from "@preact/signals";
import { type Curve, Curves } from "../../parts/curves";
import { dark } from "../../parts/theme";
import { type Claim, type Drawn, given } from "../given";
import { type Chapter, type Screen, large } from "../place";

const theme = computed(() => `${dark.value} ${large.value}`);
const COLOURS = ["--accent", "--second", "--third", "--fourth"];

/** All lines over the x of any, with gaps where a line has none. */
function joined({ lines, bounds }: Drawn): { x: number[]; curves: Curve[] } {
  const all = [...Object.entries(lines), ...Object.entries(bounds)];
  const x = [...new Set(all.flatMap(([, line]) => line.x))].sort((a, b) => a - b);
  const place = new Map(x.map((value, k) => [value, k]));
  const curves = all.map(([label, line], k) => {
    const y = new Array<number | null>(x.length).fill(null);
    line.x.forEach((value, n) => (y[place.get(value)!] = line.y[n]!));
    const bound = k >= Object.keys(lines).length;
    return { label, y, colour: bound ? "--soft" : COLOURS[k % COLOURS.length]!, dashed: bound || k >= COLOURS.length };
  });
  return { x, curves };
}

function screen(claim: Claim): Screen {
  const charts = claim.curves.map((drawn) => ({ drawn, ...joined(drawn) }));
  function Body() {
    return (
      <>
        <div class="text">
          <p class="lead"><q>{claim.claim.replace(/\.$/, "")}</q>, one often reads.</p>
          <p class="result" data-testid="finding">{claim.verdict}</p>
          <p>{claim.shown}</p>
          <details>
            <summary>What was computed, and all that came out</summary>
            <p>{claim.done.join(" ")}</p>
            <ul class="sums">{claim.found.map((one) => <li key={one}>{one}</li>)}</ul>
            <p class="soft">The claim: {claim.source}.</p>
          </details>
          <p class="aside">
            Python computed this with the library’s own cells when this page was written; <code>gated demonstrate {claim.name}</code>{" "}
            does it again.
          </p>
        </div>
        <div class="figure">
          {charts.map(({ drawn, x, curves }) => (
            <div key={drawn.title} class={charts.length > 1 ? "half" : ""}>
              <p class="caption"><b>{drawn.title}</b></p>
              <Curves ends x={x} curves={curves} xLabel={drawn.x_label} yLabel={drawn.y_label} logY={drawn.log} theme={theme.value} label={`${drawn.title}: ${curves.map((c) => c.label).join(", ")}`} />
            </div>
          ))}
        </div>
      </>
    );
  }
  return { title: claim.question, Body };
}

export const claims: Chapter = {
  id: "claims",
  name: "Claims that are too loose",
  minutes: 2,
  screens: given.claims.map(screen),
};
