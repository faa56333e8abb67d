// Recordings: a bar of time with its gaps, a span of it chosen, and what was recorded there.

import { open } from "./dialogs.js";
import { h, setText, show } from "./dom.js";
import { bytes, count, label, plain, quantity, span, total } from "./format.js";
import { LargePlot, Series } from "./plot.js";
import { Playback } from "./playback.js";
import { TimeBar, clock } from "./timebar.js";

const ZOOMS = [
  [60, "1 min"],
  [600, "10 min"],
  [3600, "1 h"],
  [86400, "24 h"],
  [604800, "7 d"],
];
const SETTLED_MS = 250;
// The stream that was looked at last.
let latest = "";

/** Ask the gateway; throws an Error that says why not. */
async function ask(path, values, signal) {
  const answer = await fetch(`/api/recordings${path}?${new URLSearchParams(values)}`, { signal });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the gateway answered ${answer.status}`);
  return body;
}

/** Open the recordings. */
export function recordings() {
  const view = new Recordings();
  view.start();
}

class Recordings {
  constructor() {
    this.content = "";
    this.zoom = 3600;
    this.asked = new AbortController();
    this.timer = null;
    this.choose = h("select", {
      "aria-label": "Stream",
      on: { change: () => this.stream(this.choose.value) },
    });
    this.bar = new TimeBar(() => this.settle());
    this.when = h("p", { class: "when", role: "status" });
    this.zooms = h(
      "div",
      { class: "row spans", role: "group", "aria-label": "Time shown" },
      step("‹", "Earlier", () => this.shift(-0.5)),
      ...ZOOMS.map(([seconds, text]) =>
        h("button", {
          type: "button",
          text,
          data: { seconds },
          on: { click: () => this.zoomTo(seconds) },
        }),
      ),
      step("›", "Later", () => this.shift(0.5)),
      h("button", { type: "button", text: "Newest", on: { click: () => this.newest() } }),
    );
    this.playback = new Playback((at) => this.bar.setHead(at));
    this.names = h("select", { "aria-label": "Reading", on: { change: () => this.trace() } });
    this.value = "";
    this.plot = new LargePlot((value) => quantity(value, this.unit).join(" ").trim());
    this.readings = h("div", { class: "replay" }, this.names, this.plot.canvas);
    this.report = h("p", { class: "report", role: "status" });
    this.error = h("p", { class: "error", role: "alert", hidden: true });
    this.keep = h("div", { class: "row keep" });
    this.body = h(
      "div",
      { class: "recordings" },
      this.choose,
      this.zooms,
      this.bar.element,
      this.when,
      this.playback.element,
      this.readings,
      this.report,
      this.keep,
    );
    this.empty = h("p", { text: "Nothing is recorded yet.", hidden: true });
    this.dialog = open("Recordings", this.error, this.empty, this.body);
    this.dialog.classList.add("wide");
    this.dialog.addEventListener("close", () => {
      this.asked.abort();
      clearTimeout(this.timer);
      this.playback.close();
    });
    show(this.playback.element, false);
    show(this.readings, false);
    this.redraw();
  }

  redraw() {
    if (!this.dialog.isConnected) return;
    if (!this.readings.hidden) this.plot.draw(this.bar.chosen[1], false);
    requestAnimationFrame(() => this.redraw());
  }

  async start() {
    show(this.body, false);
    await this.attempt(async (signal) => {
      const found = await ask("", {}, signal);
      show(this.empty, !found.length);
      show(this.body, found.length > 0);
      this.choose.replaceChildren(
        ...found.map((each) =>
          h("option", { value: each.stream, text: `${each.stream}, ${bytes(each.bytes)}` }),
        ),
      );
      if (found.some((each) => each.stream === latest)) this.choose.value = latest;
    });
    if (this.choose.value) await this.stream(this.choose.value);
  }

  async stream(name) {
    this.name = latest = name;
    this.chosenName = null;
    await this.newest(true);
  }

  /** Do something in place of what is under way; what it asks for gets the signal. */
  async attempt(act) {
    this.asked.abort();
    clearTimeout(this.timer);
    this.asked = new AbortController();
    try {
      await act(this.asked.signal);
      show(this.error, false);
    } catch (fault) {
      if (fault.name === "AbortError") return;
      setText(this.error, `${fault.message}.`);
      show(this.error, true);
    }
  }

  /** Show the end of what is recorded; `isAll` zooms to all of it. */
  async newest(isAll = false) {
    await this.attempt(async (signal) => {
      const now = Date.now();
      const { from_ms, until_ms } = await this.askBar(now - 60_000, now, signal);
      const end = until_ms ?? now;
      const length = (end - (from_ms ?? now)) / 1000;
      if (isAll) [this.zoom] = ZOOMS.find(([seconds]) => seconds >= length) ?? ZOOMS.at(-1);
      this.bar.setWindow(end - this.zoom * 1000, end);
      this.bar.choose(end - this.zoom * 100, end);
      await this.fill(signal);
    });
  }

  askBar(from, until, signal) {
    const query = { stream: this.name, from: Math.floor(from), until: Math.ceil(until) };
    return ask("/bar", query, signal);
  }

  async zoomTo(seconds) {
    this.zoom = seconds;
    const [from, until] = this.bar.chosen;
    const middle = (from + until) / 2;
    const end = Math.min(Math.max(this.last, until), middle + seconds * 500);
    this.bar.setWindow(end - seconds * 1000, end);
    this.bar.choose(middle - seconds * 50, middle + seconds * 50);
    await this.attempt((signal) => this.fill(signal));
  }

  async shift(part) {
    const move = part * this.zoom * 1000;
    const [from, until] = this.bar.chosen;
    this.bar.setWindow(this.bar.from + move, this.bar.until + move);
    this.bar.choose(from + move, until + move);
    await this.attempt((signal) => this.fill(signal));
  }

  /** Read what the bar shows, then what is chosen of it. */
  async fill(signal) {
    for (const each of this.zooms.querySelectorAll("[data-seconds]"))
      each.setAttribute("aria-pressed", String(Number(each.dataset.seconds) === this.zoom));
    const found = await this.askBar(this.bar.from, this.bar.until, signal);
    this.content = found.content;
    this.last = found.until_ms ?? this.bar.until;
    this.bar.setSpans(found.spans);
    await this.look(signal);
  }

  /** Something else is chosen: once that has settled, look there. */
  settle() {
    this.tell();
    setText(this.report, "");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.attempt((signal) => this.look(signal)), SETTLED_MS);
  }

  async look(signal) {
    this.tell();
    const [from, until] = this.bar.chosen.map(Math.round);
    const isPictures = this.content === "pictures";
    show(this.playback.element, isPictures);
    show(this.readings, this.content === "readings");
    this.offer(from, until);
    setText(this.report, "");
    if (isPictures) {
      await this.playback.seek(this.name, from, this.last, signal, (report) => this.say(report));
      return;
    }
    this.playback.stop();
    this.bar.setHead(null);
    const found = await ask("/readings", { stream: this.name, from, until }, signal);
    this.found = found.names;
    const names = Object.keys(found.names).sort();
    this.names.replaceChildren(
      ...names.map((name) => h("option", { value: name, text: label(name) })),
    );
    if (names.includes(this.chosenName)) this.names.value = this.chosenName;
    show(this.names, names.length > 1);
    this.plot.span = until - from;
    this.plot.ends = clock(until, until - from);
    this.trace();
    this.say(found.report);
  }

  trace() {
    this.chosenName = this.names.value;
    const found = this.found?.[this.names.value];
    this.unit = found?.unit ?? "";
    this.plot.series = new Series();
    this.plot.series.addBefore(found?.points ?? []);
    this.plot.canvas.setAttribute("role", "img");
    this.plot.canvas.setAttribute(
      "aria-label",
      `${label(this.names.value)}, ${plain(found?.points.length ?? 0)} points`,
    );
  }

  tell() {
    const [from, until] = this.bar.chosen;
    const [a, b] = [from, until].map((at) => clock(at, until - from, true));
    setText(this.when, `${a} to ${b}, ${span((until - from) / 1000)}`);
  }

  say(report) {
    const words = [];
    if (!report.frames) words.push("Nothing was recorded here.");
    else if (!report.is_whole)
      words.push(`A sample of ${count(report.frames)} frames: choose less to see all.`);
    else {
      const lost = report.missing
        ? `${count(report.missing)} that were sealed are missing`
        : "none known to be missing";
      words.push(`${count(report.frames)} frames opened, ${lost}.`);
    }
    if (this.content === "readings" && report.reached_ms < this.bar.chosen[1] - 1000)
      words.push(`Opened until ${clock(report.reached_ms, 1000, true)}: it took too long.`);
    const refused = total(report.refused);
    if (refused) words.push(`${count(refused)} segments did not open.`);
    if (report.proved_until_ms)
      words.push(`Proved complete until ${clock(report.proved_until_ms, 1000, true)}.`);
    setText(this.report, words.join(" "));
    this.report.dataset.kind = report.missing || refused ? "warn" : "";
  }

  /** Links to what is chosen, as files. */
  offer(from, until) {
    const kinds =
      this.content === "pictures"
        ? [
            ["mp4", "MP4"],
            ["mjpeg", "MJPEG"],
          ]
        : this.content === "readings"
          ? [
              ["csv", "CSV"],
              ["jsonl", "JSON lines"],
            ]
          : [];
    kinds.push(["grant", "Sealed, with its keys"]);
    this.keep.replaceChildren(
      h("span", { class: "fine", text: "Keep what is chosen:" }),
      ...kinds.map(([kind, text]) => {
        const query = new URLSearchParams({ stream: this.name, from, until, as: kind });
        const href = `/api/recordings/download?${query}`;
        return h("a", { class: "button", href, download: "", text, data: { kind } });
      }),
    );
  }
}

function step(text, name, click) {
  return h("button", { type: "button", text, "aria-label": name, on: { click } });
}
