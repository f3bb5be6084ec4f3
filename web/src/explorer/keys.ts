// The keyboard on the panels.
import * as state from "./state";

const length = () => state.range.value[1] - state.range.value[0];

/** What each key does; the list below the panels is made from it. */
export const KEYS: { keys: string[]; shown: string; text: string; run: (event: KeyboardEvent) => void }[] = [
  { keys: ["ArrowLeft", "ArrowRight"], shown: "← →", text: "one step back or on; with Shift a tenth of what is shown",
    run: (e) => state.select(state.step.value + (e.key === "ArrowLeft" ? -1 : 1) * (e.shiftKey ? Math.max(1, Math.round(length() / 10)) : 1)) },
  { keys: ["ArrowUp", "ArrowDown"], shown: "↑ ↓", text: "the unit above or below; with Shift ten further",
    run: (e) => state.moveUnit((e.key === "ArrowUp" ? -1 : 1) * (e.shiftKey ? 10 : 1)) },
  { keys: ["+", "=", "-", "_"], shown: "+ −", text: "zoom time about the chosen step",
    run: (e) => state.zoom("+=".includes(e.key) ? 0.5 : 2, state.step.value + 0.5) },
  { keys: ["[", "]"], shown: "[ ]", text: "fewer or more units", run: (e) => state.zoomRows(e.key === "[" ? 0.5 : 2) },
  { keys: ["PageUp", "PageDown"], shown: "Page ↑ ↓", text: "half a view back or on",
    run: (e) => state.pan((e.key === "PageUp" ? -0.5 : 0.5) * length()) },
  { keys: ["Home", "End"], shown: "Home End", text: "the first or last step",
    run: (e) => state.select(e.key === "Home" ? 0 : Number.MAX_SAFE_INTEGER) },
  { keys: ["0"], shown: "0", text: "show everything", run: () => state.reset() },
];

export function press(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const found = KEYS.find(({ keys }) => keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  found.run(event);
}
