import { computed, effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const query = matchMedia("(prefers-color-scheme: dark)");
const system = signal(query.matches);
query.addEventListener("change", (event) => (system.value = event.matches));

/** What the reader chose; "system" follows the system. */
export const theme = signal<Theme>("system");

/** Whether the page is dark now. */
export const dark = computed(() => (theme.value === "system" ? system.value : theme.value === "dark"));

effect(() => {
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
});

/** The switch between light and dark. */
export function ThemeSwitch() {
  return (
    <label class="choice">
      <span>Theme</span>
      <select value={theme.value} onChange={(e) => (theme.value = e.currentTarget.value as Theme)}>
        <option value="system">as the system</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
    </label>
  );
}
