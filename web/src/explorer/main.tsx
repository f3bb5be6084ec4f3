import "../parts/theme.css";
import "./explorer.css";
import { render } from "preact";
import { ThemeSwitch } from "../parts/theme";
import { About } from "./about";
import { page, readSmall } from "./data";
import { Panels } from "./panels";
import * as state from "./state";
import { StepCard } from "./step";
import { Extent, Scrubber, Toolbar } from "./toolbar";
import { UnitCard } from "./unit";

/** Tells the style sheet how high the controls are, below which others stick. */
function measured(element: HTMLElement | null): void {
  if (!element) return;
  new ResizeObserver(() => document.documentElement.style.setProperty("--controls", `${element.offsetHeight}px`)).observe(element);
}

function Page() {
  return (
    <>
      <header class="title">
        <div>
          <h1>{page.title}</h1>
          {page.subtitle && <p>{page.subtitle}</p>}
        </div>
        <ThemeSwitch />
      </header>
      <main>
        <div class="controls" ref={measured}>
          <Toolbar />
          <Scrubber />
        </div>
        <div class="workspace">
          <div class="left">
            <Panels />
            <Extent />
          </div>
          <div class="side" tabIndex={0} role="group" aria-label="The chosen step and unit">
            <StepCard />
            <UnitCard />
          </div>
        </div>
        <About />
      </main>
    </>
  );
}

void readSmall().then((found) => {
  state.begin(found);
  render(<Page />, document.getElementById("page")!);
  performance.mark("first");
  // after the frame in which the last map of a layer was drawn
  state.follow((index) => requestAnimationFrame(() => performance.mark(`drawn ${index}`)));
});
