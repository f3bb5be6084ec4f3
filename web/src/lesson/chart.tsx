// A cell's flow chart as Python drew it, with parts that can be lit.
import { useLayoutEffect, useRef } from "preact/hooks";
import { given } from "./given";

type Props = { cell: string; lit?: readonly string[]; onPick?: (name: string) => void };

/** The flow chart of a cell; the boxes and lines of `lit` equations stand out. */
export function Chart({ cell, lit = [], onPick }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    place.current!.querySelectorAll<SVGGElement>("svg [data-name]").forEach((part) => {
      const names = part.dataset.name!.split(" ");
      const own = names.some((name) => lit.includes(name)) && !part.matches(".last, .input");
      part.classList.toggle("lit", own);
    });
    const svg = place.current!.querySelector("svg")!;
    svg.style.maxWidth = `${svg.viewBox.baseVal.width * 0.085}rem`; // letters of all cells alike
    svg.style.minWidth = `${svg.viewBox.baseVal.width * 0.055}rem`; // and on a phone large enough to read
    place.current!.classList.toggle("dimmed", lit.length > 0);
  }, [cell, lit.join(" ")]);
  const pick = (event: MouseEvent) => {
    const name = (event.target as Element).closest<SVGGElement>(".vertex[data-name]")?.dataset.name;
    if (name) onPick?.(name.split(" ")[0]!);
  };
  return (
    // tabIndex: a wide chart scrolls within its frame, by keyboard too
    <div
      ref={place}
      class="chart"
      tabIndex={0}
      data-keys
      role="group"
      aria-label={`Flow chart of the cell ${cell}; scrolls sideways where it is wide`}
      onClick={pick}
      dangerouslySetInnerHTML={{ __html: given.cells[cell]!.chart }}
    />
  );
}
