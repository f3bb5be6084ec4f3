// What the page carries: one JSON document, and arrays as base64 of raw deflate.

type Arrays = { float32: Float32Array; float64: Float64Array; uint8: Uint8Array; uint16: Uint16Array; int32: Int32Array };
export type Kind = keyof Arrays;
export type Stored<K extends Kind = Kind> = { data: Arrays[K]; shape: number[] };

const MAKE = {
  float32: Float32Array,
  float64: Float64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  int32: Int32Array,
} as const;

/** The page's JSON document. */
export function content<T>(): T {
  return JSON.parse(document.getElementById("content")!.textContent!) as T;
}

/** The names of all arrays that the page carries. */
export function names(): string[] {
  return [...document.querySelectorAll<HTMLElement>("script[data-array]")].map((e) => e.dataset.array!);
}

/** One array by its name; its text leaves the page, so that it is not held twice. */
export async function array<K extends Kind>(name: string, kind: K): Promise<Stored<K>> {
  const element = document.querySelector<HTMLElement>(`script[data-array="${CSS.escape(name)}"]`);
  if (!element) throw new Error(`the page carries no array ${name}`);
  if (element.dataset.kind !== kind) throw new Error(`array ${name} is ${element.dataset.kind}, not ${kind}`);
  const bytes = await inflate(decoded(element.textContent!));
  const shape = element.dataset.shape!.split(",").filter(Boolean).map(Number);
  element.remove();
  return { data: new MAKE[kind](bytes) as Arrays[K], shape };
}

function decoded(text: string): Uint8Array<ArrayBuffer> {
  const quick = (Uint8Array as unknown as { fromBase64?: (t: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (quick) return quick.call(Uint8Array, text);
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).arrayBuffer();
}
