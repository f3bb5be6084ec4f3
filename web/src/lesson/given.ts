// What Python put into the page.
import { content } from "../parts/store";

export type Equation = { name: string; text: string; math: string };
export type CellPage = { name: string; family: string; summary: string; source: string; chart: string; equations: Equation[] };
export type Count = { name: string; letters: string; terms: [string[], number][]; blocks: { key: string; shape: string[] }[] };
export type Right = { right: number; of: number };
export type Sentiment = {
  vocabulary: string[];
  adjectives: Record<string, number>;
  intensifiers: Record<string, number>;
  negations: Record<string, number>;
  mild: number;
  beforeBut: number;
  close: number;
  famous: string;
  units: number;
  embedding: number[][];
  parameters: Record<string, number[]>;
  readout: { weight: number[]; bias: number };
  sentences: number;
  weights: number;
  accuracy: Record<string, Right>;
};
type Line = { x: number[]; y: number[] };
export type Drawn = { title: string; x_label: string; y_label: string; log: boolean; lines: Record<string, Line>; bounds: Record<string, Line> };
export type Claim = {
  name: string;
  question: string;
  claim: string;
  source: string;
  done: string[];
  found: string[];
  verdict: string;
  shown: string;
  curves: Drawn[];
};
export type Given = {
  title: string;
  version: string;
  cells: Record<string, CellPage>;
  counts: Count[];
  example: { words: string[]; x: number[][]; printed: { c: string; h: string }[] };
  sentiment: Sentiment;
  claims: Claim[];
};

export const given = content<Given>();
