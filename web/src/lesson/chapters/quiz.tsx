import { computed, signal } from "@preact/signals";
import { given } from "../given";
import { anchor, type Chapter, type Screen } from "../place";
import { chapters } from "../chapters";
import { QUESTIONS, type Question } from "./questions";

const answers = QUESTIONS.map(() => signal<number | null>(null));
/** What was chosen first: only that counts. */
const first = QUESTIONS.map(() => signal<number | null>(null));
const right = computed(() => QUESTIONS.filter((q, k) => q.options[first[k]!.value ?? -1]?.right).length);
const done = computed(() => first.filter((one) => one.value !== null).length);

function screen(question: Question, k: number): Screen {
  function Body() {
    const answer = answers[k]!.value;
    const choose = (n: number) => {
      answers[k]!.value = n;
      first[k]!.value ??= n;
    };
    const option = answer === null ? undefined : question.options[answer];
    return (
      <div class="quiz">
        <fieldset>
          <legend>{question.text}</legend>
          {question.options.map(({ text, right: good }, n) => (
            <label key={text} class={answer === n ? (good ? "right" : "wrong") : ""}>
              <input type="radio" name={`question-${k}`} checked={answer === n} onChange={() => choose(n)} />
              <span>{text}</span>
            </label>
          ))}
        </fieldset>
        <div class="answer" role="status" data-testid="answer">
          {option ? (
            <>
              <p><b>{option.right ? "Yes." : "Not quite."}</b> {option.why}</p>
              {option.right ? null : <p>You may choose again.</p>}
              <p><a href={anchor({ chapter: chapters.findIndex((c) => c.id === question.chapter), screen: question.screen })}>Read it again</a></p>
            </>
          ) : (
            <p class="soft">Choose an answer; the explanation comes at once.</p>
          )}
        </div>
      </div>
    );
  }
  return { title: `Question ${k + 1} of ${QUESTIONS.length}`, Body };
}

function End() {
  return (
    <div class="cover">
      <p class="lead" data-testid="score">
        {done.value < QUESTIONS.length
          ? `${done.value} of ${QUESTIONS.length} questions answered so far, ${right.value} right at the first try.`
          : `${right.value} of ${QUESTIONS.length} right at the first try.`}
      </p>
      <p>
        You have seen every number in an LSTM, where its gradient runs, and what its gates are good for. With Python, the
        next steps are:
      </p>
      <ul class="sums">
        <li><code>gated demo</code> trains on a real series and shows what the network learned</li>
        <li><code>gated cells lstm</code> prints the equations; <code>gated cells</code> all {Object.keys(given.cells).length} cells</li>
        <li><code>gated explain RUN</code> opens the gates of a network that you trained</li>
      </ul>
    </div>
  );
}

export const quiz: Chapter = {
  id: "quiz",
  name: "Five questions",
  minutes: 3,
  screens: [...QUESTIONS.map(screen), { title: "Done", Body: End }],
};
