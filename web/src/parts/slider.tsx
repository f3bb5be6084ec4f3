import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";

type Props = {
  label: string;
  value: Signal<number>;
  min: number;
  max: number;
  step: number;
  /** How its value is written. */
  shown?: (value: number) => string;
  /** What a screen reader says, where the label is a symbol. */
  spoken?: string;
};

/** A labelled slider with its value beside it. */
export function Slider({ label, value, min, max, step, shown = String, spoken }: Props) {
  const id = useId();
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value.value}
        aria-label={spoken ?? label}
        aria-valuetext={shown(value.value)}
        onInput={(event) => (value.value = event.currentTarget.valueAsNumber)}
      />
      <output for={id}>{shown(value.value)}</output>
    </div>
  );
}
