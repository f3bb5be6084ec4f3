// The lesson in its order.
import { claims } from "./chapters/claims";
import { forget } from "./chapters/forget";
import { gradient } from "./chapters/gradient";
import { matrices } from "./chapters/matrices";
import { module } from "./chapters/module";
import { quiz } from "./chapters/quiz";
import { sentence } from "./chapters/sentence";
import { start } from "./chapters/start";
import { step } from "./chapters/step";
import { variants } from "./chapters/variants";
import type { Chapter } from "./place";

export const chapters: Chapter[] = [start, forget, module, step, gradient, matrices, variants, sentence, claims, quiz].filter(
  ({ screens }) => screens.length > 0,
);
