"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const precise = matchMedia("(hover: hover) and (pointer: fine)");
  const shown = {};

  // "var(--name)" -> the theme's colour: Plotly draws no CSS variables
  const themed = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[a-z0-9]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => themed(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v, style)]));
    }
    return value;
  };

  const draw = (div) => {
    const id = div.dataset.chart;
    const figure = themed(charts[id].figures[shown[id] || 0], getComputedStyle(document.documentElement));
    const { data, layout } = figure;
    layout.dragmode = precise.matches ? "zoom" : false;  // on a phone a drag scrolls the page
    for (const key of Object.keys(layout)) {
      if (key.startsWith("yaxis")) layout[key].fixedrange = true;
      if (key.startsWith("xaxis")) layout[key].fixedrange = !precise.matches;
    }
    Plotly.react(div, data, layout, { responsive: true, displayModeBar: false, doubleClick: "reset" });
  };

  const all = () => document.querySelectorAll("[data-chart]").forEach(draw);
  all();
  dark.addEventListener("change", all);
  precise.addEventListener("change", all);

  for (const select of document.querySelectorAll("select[data-for]")) {
    select.addEventListener("change", () => {
      shown[select.dataset.for] = Number(select.value);
      draw(document.getElementById("chart-" + select.dataset.for));
    });
  }

  const copy = document.getElementById("copy");
  if (!copy) return;
  const source = document.getElementById("command-text");
  const said = document.getElementById("copied");

  // a page opened from a file may have no clipboard: then the old command, then the reader's own keys
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      said.textContent = "Copied.";
    } catch {
      select();
      said.textContent = document.execCommand("copy") ? "Copied." : "Selected: press Ctrl+C or ⌘C.";
    }
  });
})();
