// Five questions, each answer with its reason.
import { fixed, short } from "../format";

export type Option = { text: string; right?: boolean; why: string };
export type Question = { text: string; chapter: string; screen: number; options: Option[] };

export const QUESTIONS: Question[] = [
  {
    text: "The recurrent matrix of an RNN is symmetric and has the eigenvalues 0.9 and 0.5. About how much of a gradient can be left after 50 steps, at most?",
    chapter: "forget",
    screen: 1,
    options: [
      { text: "half of it", why: `0.9 seems near 1, but it is multiplied 50 times: half is gone after ${Math.ceil(Math.log(0.5) / Math.log(0.9))} steps.` },
      { text: `about ${fixed(0.9 ** 50)}`, right: true, why: `A symmetric matrix makes nothing longer than its larger eigenvalue does: 0.9⁵⁰ ≈ ${fixed(0.9 ** 50)}, and tanh’s slope makes it smaller still. Beside it 0.5⁵⁰ ≈ ${short(0.5 ** 50)} does not count. (A matrix that is not symmetric may pass more for a while.)` },
      { text: "0.45 of it, for 0.9 × 0.5", why: "The determinant, 0.45, says how areas shrink in one step. Lengths can follow the largest eigenvalue, once for each step: 0.9⁵⁰." },
    ],
  },
  {
    text: "In an LSTM, f = 0 and i = 1 at some step. What is the new memory c?",
    chapter: "module",
    screen: 1,
    options: [
      { text: "the candidate g: the past is replaced", right: true, why: "c = 0 ⊙ c₋ + 1 ⊙ g = g. Nothing of the old memory is left." },
      { text: "0: the memory is wiped", why: "f = 0 wipes the old part, but i = 1 writes the candidate: c = g." },
      { text: "the old memory: nothing changes", why: "That would be f = 1 and i = 0. Here it is the other way round: c = g." },
    ],
  },
  {
    text: "In a chain of four steps all forget gates are 0.9. How much passes along the direct path from c₄ to c₁?",
    chapter: "gradient",
    screen: 0,
    options: [
      { text: "0.9⁴ = 0.656", why: "From c₄ to c₁ there are three steps back, through f₄, f₃ and f₂. The gate f₁ stands before c₁." },
      { text: "0.9³ = 0.729", right: true, why: "One forget gate for each step back: f₄ · f₃ · f₂ = 0.729." },
      { text: "it depends on the matrices U", why: "All paths together do. On the direct path stands no matrix, only forget gates." },
    ],
  },
  {
    text: "How many weights has an LSTM with D = 10 inputs and H = 20 units, one bias for each layer?",
    chapter: "matrices",
    screen: 0,
    options: [
      { text: "620", why: "That is one layer: 200 + 400 + 20. The LSTM has four." },
      { text: "2400", why: "Nearly: the biases are missing, 4 × 20." },
      { text: "2480", right: true, why: "4 (HD + HH + H) = 4 (200 + 400 + 20) = 2480." },
    ],
  },
  {
    text: "“The LSTM cannot suffer from exploding gradients, and tanh keeps its memory within ±1.” What is true of this?",
    chapter: "claims",
    screen: 0,
    options: [
      { text: "both", why: "Neither. On the direct path no factor exceeds 1, but the paths through U can explode. And tanh bounds g and h, while c may grow by up to 1 at each step." },
      { text: "only the part about the gradients", why: "The direct path cannot explode, but the paths through h and the matrices U can: with large weights they do." },
      { text: "only the part about tanh", why: "tanh bounds the candidate g and the output h. The memory c adds them up: after 50 steps it can be 50." },
      { text: "neither", right: true, why: "The paths through U can explode, so training still clips gradients. And c may grow by up to 1 at each step; only h is kept within ±1." },
    ],
  },
];
