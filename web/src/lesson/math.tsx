// Mathematics that Python or the cells wrote, put into the page.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { pieces } from "../parts/equation";

/** A frame that scrolls sideways where it must, and can then be reached by keyboard. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const frame = place.current!;
    const look = () => {
      const wide = frame.scrollWidth > frame.clientWidth + 1;
      for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", label]] as const) {
        if (wide) frame.setAttribute(name, value);
        else frame.removeAttribute(name);
      }
    };
    look();
    const resized = new ResizeObserver(look);
    resized.observe(frame);
    return () => resized.disconnect();
  }, [label, children]);
  return <div ref={place} class="scroll" data-keys>{children}</div>;
}

/** An equation as MathML. */
export function Formula({ math }: { math: string }) {
  return (
    <Scroll label="Equation">
      <span class="formula" dangerouslySetInnerHTML={{ __html: math }} />
    </Scroll>
  );
}

/** An equation in numbers, which goes on in the next line where the place is narrow. */
export function Filled({ math, kept = 1 }: { math: string; kept?: number }) {
  return (
    <Scroll label="Equation">
      <span class="formula filled" dangerouslySetInnerHTML={{ __html: pieces(math, kept).join(" ") }} />
    </Scroll>
  );
}

/** A symbol in running text. */
export function V({ children }: { children: ComponentChildren }) {
  return <var>{children}</var>;
}

/** A symbol with an index. */
export function Vi({ v, i }: { v: string; i: ComponentChildren }) {
  return (
    <var>
      {v}
      <sub>{i}</sub>
    </var>
  );
}
