// The sentence model in the page: a vector for each word, the LSTM, a weighted sum.
import { type Arrays, cell, run, type Values, zeros } from "./cells";
import { given } from "./given";

const model = given.sentiment;
const places = new Map(model.vocabulary.map((word, k) => [word, k]));

export type Word = { text: string; known: boolean };
export type Read = { words: Word[]; values: Values[]; verdicts: number[] };

/** The cells that the model can run on: as trained, and with one gate taken out. */
export const CHANGES: { cell: string; label: string; says: string }[] = [
  { cell: "lstm", label: "as trained", says: "All gates as they were learned." },
  { cell: "f=1", label: "f always 1", says: "Nothing is ever forgotten: what a word left behind, such as a “not” that has done its work, stays and piles up." },
  { cell: "f=0", label: "f always 0", says: "The memory is emptied at each word: only what h carries over from the word before is left. Try “not good”." },
  { cell: "i=1", label: "i always 1", says: "Every candidate is written whole, however unimportant the word." },
  { cell: "o=1", label: "o always 1", says: "The memory is always shown whole, to the read-out and to the gates of the next step." },
];

/** A text as words; what the model never met is marked. */
export function split(text: string): Word[] {
  const found = text.toLowerCase().match(/[\p{L}\p{N}'’-]+/gu) ?? [];
  return found.map((word) => ({ text: word, known: places.has(word) }));
}

/** Gates and states at each known word, and the verdict after it: the chance that it is praise. */
export function read(text: string, change = "lstm"): Read {
  const words = split(text);
  const xs = words.filter((w) => w.known).map((w) => model.embedding[places.get(w.text)!]!);
  const initial: Arrays = { h: zeros(model.units), c: zeros(model.units) };
  const { values } = run(cell(change), model.parameters, xs, initial);
  const verdicts = values.map(({ h }) => {
    const logit = model.readout.weight.reduce((sum, w, k) => sum + w * h![k]!, model.readout.bias);
    return 1 / (1 + Math.exp(-logit));
  });
  return { words, values, verdicts };
}
