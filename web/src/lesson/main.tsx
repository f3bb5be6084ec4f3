import "../parts/theme.css";
import "./lesson.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ThemeSwitch, dark, theme } from "../parts/theme";
import { chapters } from "./chapters";
import { given } from "./given";
import { anchor, at, begin, flat, large, move, spot } from "./place";

effect(() => {
  // the flow charts look at the body's theme
  document.body.dataset.theme = dark.value ? "dark" : "light";
});

function Lesson() {
  const heading = useRef<HTMLHeadingElement>(null);
  const arrived = useRef(false);
  const { chapter, screen } = spot.value;
  const here = chapters[chapter]!;
  const { title, Body } = here.screens[screen]!;
  useEffect(() => {
    document.title = `${title} · ${given.title}`;
    if (arrived.current) {
      scrollTo(0, 0);
      heading.current?.focus({ preventScroll: true });
    }
    arrived.current = true;
  }, [chapter, screen]);
  return (
    <>
      <Header />
      <main data-screen={anchor(spot.value)}>
        <p class="where">{here.name}</p>
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        <div class="screen" key={`${chapter}.${screen}`}>
          <Body />
        </div>
      </main>
      <Footer />
    </>
  );
}

function Header() {
  return (
    <header>
      <nav aria-label="Chapters">
        <ol class="chapters">
          {chapters.map((chapter, k) => (
            <li key={chapter.id} class={k < spot.value.chapter ? "done" : ""}>
              <a href={anchor({ chapter: k, screen: 0 })} aria-current={k === spot.value.chapter ? "step" : undefined} title={chapter.name}>
                <span class="number">{k || "○"}</span>
                <span class="name">{chapter.name}</span>
              </a>
            </li>
          ))}
        </ol>
      </nav>
      <div class="settings">
        <label class="choice">
          <input type="checkbox" checked={large.value} onChange={(e) => (large.value = e.currentTarget.checked)} />
          <span>Large type</span>
        </label>
        <ThemeSwitch />
      </div>
    </header>
  );
}

function Footer() {
  const count = flat.value.length;
  const now = at.value;
  return (
    <footer>
      <button type="button" class="turn" onClick={() => move(-1)} disabled={now === 0}>← Back</button>
      <div class="progress">
        <progress max={count - 1} value={now} aria-label="How far you are" />
        <span>{now + 1} of {count}</span>
      </div>
      <button type="button" class="turn next" onClick={() => move(1)} disabled={now === count - 1}>Next →</button>
    </footer>
  );
}

/** Keys turn pages, unless they belong to a control. */
function pressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const target = event.target as Element;
  if (target.closest("select, textarea, input[type=text]")) return;
  const turns = !target.closest("input, summary, [data-keys]");
  if (event.key === "p" || event.key === "P") large.value = !large.value;
  else if (event.key === "t" || event.key === "T") theme.value = dark.value ? "light" : "dark";
  else if (!turns) return;
  else if (event.key === "ArrowRight" || event.key === "PageDown") move(1);
  else if (event.key === "ArrowLeft" || event.key === "PageUp") move(-1);
  else return;
  event.preventDefault();
}

begin(chapters);
addEventListener("keydown", pressed);
render(<Lesson />, document.getElementById("page")!);
