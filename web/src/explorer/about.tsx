// Below the panels: the keyboard, the cell's equations, what the measures mean, the page's size.
import { page } from "./data";
import { KEYS } from "./keys";
import * as state from "./state";
import { bytes, whole } from "./words";

export function About() {
  return (
    <div class="about">
      <div>
        <Cell />
        <Keyboard />
      </div>
      <Meanings />
      <Footer />
    </div>
  );
}

function Keyboard() {
  return (
    <details class="card">
      <summary>Keyboard and mouse</summary>
      <p>With the focus on the panels:</p>
      <dl class="keys">
        {KEYS.map(({ shown, text }) => <div key={shown}><dt><kbd>{shown}</kbd></dt><dd>{text}</dd></div>)}
      </dl>
      <p>A click chooses step and unit. Dragging with the mouse zooms into what is marked, a double click shows everything. The wheel zooms time with Ctrl, units with Alt, and moves through time with Shift. On a touch screen one finger moves, two zoom.</p>
    </details>
  );
}

function Cell() {
  const of = state.place.value;
  return (
    <details class="card" open>
      <summary>The cell: {of.cell}</summary>
      <div class="equations" tabIndex={0} role="group" aria-label="Equations of the cell">
        {of.equations.map((line, k) => <div key={k} dangerouslySetInnerHTML={{ __html: line }} />)}
      </div>
      {of.source && <p class="soft">{of.source}</p>}
    </details>
  );
}

function Meanings() {
  const of = state.place.value;
  const { metric, loss } = page;
  return (
    <details class="card" open>
      <summary>What the measures mean, and where they mislead</summary>
      <dl class="meanings">
        <dt>heat maps</dt>
        <dd>Each row is a unit, each column a step; where there are more steps or units than pixels, a pixel is their average. A unit has 256 levels between its least and its largest value, so read-outs are right to about 0.2 % of that range; those of the chosen unit at the chosen step are computed anew, as its equations.</dd>
        {of.measures.map(({ name, text, limits }) => [<dt key={name}>{name}</dt>, <dd key={`${name}.`}>{text} <em>{limits}</em></dd>])}
        {of.saturation.length > 0 && [<dt key="s">saturation</dt>, <dd key="s.">{page.saturated} <em>A saturated gate passes almost no gradient to what it reads; that it is saturated does not say that it matters.</em></dd>]}
        {metric && of.clamped.length > 0 && [<dt key="i">importance by clamping</dt>, <dd key="i.">The change of the {metric.name} when one gate of this one unit is held at the value given at every step of the data, or all of the unit's states at their initial value (“frozen”). Clamps that do the same to every unit stand in one line. <em>Units that do the same work cover for one another: each may look unimportant alone.</em></dd>]}
        {of.curves.length > 0 && [<dt key="g">gradient flow</dt>, <dd key="g.">The norm of the derivative of {loss || "the loss"} by a state at each step: in total, over all paths, and along the direct path alone, on which a memory is only kept (for an LSTM the product of the forget gates). <em>It is the sensitivity to a small change at this one point, not what a large change would do.</em></dd>]}
      </dl>
    </details>
  );
}

function Footer() {
  const units = state.data.places.reduce((sum, place) => sum + place.units, 0);
  return (
    <footer>
      {page.notes.map((note) => <p key={note}>{note}</p>)}
      {page.command && <p>This page again: <code>{page.command}</code></p>}
      <p class="size">{whole(page.steps)} steps, {whole(units)} units in {whole(page.places.length)} {page.places.length > 1 ? "layers and directions" : "layer"}; this file has {bytes(page.size)} and loads nothing.</p>
    </footer>
  );
}
