import { Chart } from "../chart";
import { given } from "../given";
import { anchor, type Chapter } from "../place";
import { chapters } from "../chapters";

function Body() {
  const minutes = chapters.reduce((sum, chapter) => sum + chapter.minutes, 0);
  return (
    <>
    <div class="text">
      <p class="lead">
        A network that reads a sentence, or a year of measurements, must decide at every step what to keep, what to add
        and what to say. In the LSTM these decisions are numbers between 0 and 1. Here you see every one of them.
      </p>
      <ol class="contents">
        {chapters.map((chapter, k) =>
          k === 0 ? null : (
            <li key={chapter.id}>
              <a href={anchor({ chapter: k, screen: 0 })}>{chapter.name}</a>
              <span>{chapter.minutes} min</span>
            </li>
          ),
        )}
      </ol>
      <div class="note">
        <p>
          About {minutes} minutes. You need no Python and no network connection: whatever moves on these pages is
          computed here, by the same equations that the library <code>gated</code> {given.version} runs.
        </p>
        <p>
          Keys: <kbd>→</kbd> next, <kbd>←</kbd> back, <kbd>P</kbd> large type for a projector, <kbd>T</kbd> light or
          dark. The address remembers your place.
        </p>
      </div>
    </div>
    <div class="figure">
      <Chart cell="lstm" />
      <p class="caption">One step of an LSTM, drawn from its equations. By the end of the lesson you can read it.</p>
    </div>
    </>
  );
}

export const start: Chapter = {
  id: "start",
  name: "Start",
  minutes: 1,
  screens: [{ title: "A look inside the LSTM", Body }],
};
