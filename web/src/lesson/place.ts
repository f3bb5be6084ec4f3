// Where the reader is: a chapter and one of its screens, kept in the address.
import { computed, effect, signal } from "@preact/signals";
import type { ComponentType } from "preact";

export type Screen = { title: string; Body: ComponentType };
export type Chapter = { id: string; name: string; minutes: number; screens: Screen[] };
type Spot = { chapter: number; screen: number };

const chapters = signal<Chapter[]>([]);
export const spot = signal<Spot>({ chapter: 0, screen: 0 });
export const flat = computed(() =>
  chapters.value.flatMap((chapter, c) => chapter.screens.map((_, screen) => ({ chapter: c, screen }))),
);
export const at = computed(() =>
  flat.value.findIndex((s) => s.chapter === spot.value.chapter && s.screen === spot.value.screen),
);

/** The address of a screen. */
export function anchor({ chapter, screen }: Spot): string {
  const id = chapters.value[chapter]?.id ?? "";
  return screen ? `#${id}-${screen + 1}` : `#${id}`;
}

/** Go so many screens on, or back. */
export function move(by: number): void {
  const next = flat.value[at.value + by];
  if (!next) return;
  spot.value = next; // at once: the event of the address comes later than a second key may
  location.hash = anchor(next);
}

function read(): void {
  const [, id, number] = location.hash.match(/^#([a-z]+)(?:-(\d+))?$/) ?? [];
  const chapter = chapters.value.findIndex((c) => c.id === id);
  if (chapter < 0) return;
  const screen = Math.min(chapters.value[chapter]!.screens.length, Number(number ?? 1)) - 1;
  spot.value = { chapter, screen: Math.max(0, screen) };
}

/** Take the chapters, and follow the address from now on. */
export function begin(all: Chapter[]): void {
  chapters.value = all;
  read();
  addEventListener("hashchange", read);
}

export const large = signal(false);
effect(() => {
  document.documentElement.toggleAttribute("data-large", large.value);
});
