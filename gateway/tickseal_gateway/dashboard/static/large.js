// One series, large: live, or hours and days from the store.

import { open } from "./dialogs.js";
import { h, setText } from "./dom.js";
import { label, quantity, span } from "./format.js";
import { LargePlot, Series } from "./plot.js";
import { store } from "./stream.js";

const SPANS = [
  [60, "1 min"],
  [300, "5 min"],
  [3600, "1 h"],
  [86400, "24 h"],
  [604800, "7 d"],
];
// Longer spans are read from the store; shorter ones are here.
const HERE_S = 300;

/** One series, large, while it goes on. */
export function enlarge(stream, name, readingOf) {
  const format = (value) => quantity(value, readingOf(stream, name)?.reading.unit).join(" ").trim();
  const plot = new LargePlot(format);
  plot.series = store.seriesOf(stream, name);
  const value = h("p", { class: "value", role: "status" });
  let timer = null;
  const choose = async (seconds) => {
    clearTimeout(timer);
    for (const each of spans.children)
      each.setAttribute("aria-pressed", String(Number(each.dataset.seconds) === seconds));
    if (seconds <= HERE_S) {
      plot.series = store.seriesOf(stream, name);
    } else {
      const query = new URLSearchParams({ stream, name, seconds });
      const found = await fetch(`/api/history?${query}`).then(
        (answer) => answer.json(),
        () => ({}),
      );
      plot.series = new Series();
      plot.series.addBefore(found[stream]?.[name] ?? []);
      timer = setTimeout(() => choose(seconds), Math.max(5000, seconds));
    }
    plot.span = seconds * 1000;
  };
  const spans = h(
    "div",
    { class: "row spans", role: "group", "aria-label": "Time shown" },
    ...SPANS.map(([seconds, text]) =>
      h("button", {
        type: "button",
        text,
        data: { seconds },
        on: { click: () => choose(seconds) },
      }),
    ),
  );
  const dialog = open(`${label(name)}, ${stream}`, value, plot.canvas, spans);
  dialog.classList.add("wide");
  dialog.addEventListener("close", () => clearTimeout(timer));
  const draw = () => {
    if (!dialog.isConnected) return;
    const found = readingOf(stream, name);
    if (found)
      setText(
        value,
        `${format(found.reading.value)}${found.isStale ? `, ${span(found.age)} ago` : ""}`,
      );
    plot.draw(store.now() + (found?.ahead ?? 0), !found || found.isStale);
    requestAnimationFrame(draw);
  };
  choose(HERE_S);
  draw();
}
