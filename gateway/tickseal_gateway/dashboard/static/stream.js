// One stream of a device: a tile for each series, a picture in motion, or the bare facts.

import { h, keep, setData, setText, show } from "./dom.js";
import { ago, bytes, count, label, plain, quantity } from "./format.js";
import { Plot, Series } from "./plot.js";
import { Screen, hindrance } from "./video.js";

// From this age on a value carries it. A series that lags its stream by more is stale by itself.
const AGED_S = 3;
const LAGS_S = 30;
// Flag of a frame that was sealed while the gateway was away: it is no news, whenever it comes.
const BACKFILL = 4;

/** The series and pictures of all streams, by "stream\nname". */
export const store = {
  series: new Map(),
  /** Gateway's time minus ours, ms. */
  skew: 0,
  seriesOf(stream, name) {
    const key = `${stream}\n${name}`;
    if (!this.series.has(key)) this.series.set(key, new Series());
    return this.series.get(key);
  },
  /** The gateway's time, ms since 1970 UTC. */
  now() {
    return Date.now() + this.skew;
  },
};

/** One stream as a group of tiles. */
export class StreamPanel {
  constructor(actions, stream) {
    this.actions = actions;
    this.stream = stream;
    this.tiles = new Map();
    this.name = h("h3");
    this.rate = h("span", { class: "rate" });
    this.age = h("span", { class: "age" });
    this.grid = h("div", { class: "tiles" });
    this.element = h(
      "section",
      { class: "stream" },
      h("header", {}, this.name, this.rate, this.age),
      this.grid,
    );
  }

  close() {
    for (const tile of this.tiles.values()) tile.close?.();
  }

  update(stream) {
    this.stream = stream;
    const stale = stream.is_stale;
    // A sample's age by its device's clock tells nothing where that clock is wrong: its stream's does.
    this.newest_ns = stream.latest.reduce(
      (newest, reading) => Math.max(newest, reading.time_ns),
      0,
    );
    this.ahead = Math.max(0, this.newest_ns / 1e6 - store.now() - 1000);
    setData(this.element, "stale", String(stale));
    this.element.setAttribute("aria-label", `Stream ${stream.id}`);
    setText(this.name, stream.id);
    setText(this.rate, `${plain(stream.frames_per_s)} frames/s`);
    setText(
      this.age,
      stale
        ? stream.last_frame_s === null
          ? "no frame yet"
          : `stale: last frame ${ago(stream.last_frame_s)}`
        : "",
    );
    const values = [
      ...(stream.picture ? [{ name: "picture", picture: stream.picture }] : []),
      ...stream.latest,
    ];
    if (!values.length && stream.frames) values.push({ name: "frames", opaque: true });
    setData(this.element, "size", values.length < 2 && !stream.picture ? "small" : "large");
    keep(
      this.grid,
      this.tiles,
      values,
      (value) => value.name,
      (value) => this.makeTile(value),
    );
  }

  /** Now by the clock of the device's samples, ms, where that clock is ahead: its plots end here all the same. */
  now() {
    return store.now() + this.ahead;
  }

  makeTile(value) {
    if (value.picture) return new PictureTile(this);
    if (value.opaque) return new OpaqueTile(this);
    return new ReadingTile(this, value.name);
  }
}

class ReadingTile {
  constructor(panel, name) {
    this.panel = panel;
    this.name = name;
    this.series = store.seriesOf(panel.stream.id, name);
    this.plot = new Plot(this.series);
    this.value = h("span", { class: "number" });
    this.unit = h("span", { class: "unit" });
    this.note = h("span", { class: "age" });
    this.label = h("span", { class: "label", text: label(name) });
    this.element = h(
      "button",
      {
        class: "tile reading",
        type: "button",
        title: `${name}: show it large`,
        on: { click: () => panel.actions.enlarge(panel.stream.id, name) },
      },
      this.label,
      h("span", { class: "value" }, this.value, this.unit),
      this.plot.canvas,
      this.note,
    );
  }

  close() {
    this.plot.close();
  }

  update(reading) {
    this.reading = reading;
    this.series.add(reading.time_ns / 1e6, reading.value);
    const lag = (this.panel.newest_ns - reading.time_ns) / 1e9;
    const age = reading.flags & BACKFILL ? reading.age_s : this.panel.stream.last_frame_s + lag;
    const stale = this.panel.stream.is_stale || lag > LAGS_S;
    const [text, unit] = quantity(reading.value, reading.unit);
    setText(this.value, text);
    setText(this.unit, unit);
    setData(this.element, "stale", String(stale));
    setData(this.element, "failed", String(reading.value === null));
    setText(this.note, age > AGED_S ? ago(age) : "");
    show(this.plot.canvas, typeof reading.value === "number" || this.series.times.length > 0);
    this.plot.draw(this.panel.now(), stale);
  }
}

class PictureTile {
  constructor(panel) {
    this.panel = panel;
    this.canvas = h("canvas", { role: "img" });
    this.screen = new Screen(this.canvas);
    this.canShow = false;
    this.caption = h("span", { class: "caption" });
    this.note = h("span", { class: "age" });
    this.element = h(
      "figure",
      { class: "tile picture" },
      h(
        "button",
        {
          type: "button",
          class: "bare",
          title: "Show it large",
          on: { click: () => this.enlarge() },
        },
        this.canvas,
      ),
      h("figcaption", {}, this.caption, this.note),
    );
    tiles.set(this.element, this);
    onScreen.observe(this.element);
  }

  close() {
    onScreen.unobserve(this.element);
    this.screen.reset();
    shown.delete(this.panel.stream.id);
  }

  enlarge() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen?.();
  }

  update({ picture }) {
    const stream = this.panel.stream;
    const stale = stream.is_stale;
    setData(this.element, "stale", String(stale));
    const blocked = hindrance(picture.codec);
    this.canShow = !blocked;
    const why = blocked || this.screen.fault;
    setText(
      this.caption,
      `${picture.width} × ${picture.height}, ${bytes(picture.bytes)}${why && `, ${why}`}`,
    );
    setText(
      this.note,
      stale || picture.age_s > AGED_S ? `picture of ${ago(picture.age_s)}` : "live",
    );
    this.canvas.setAttribute(
      "aria-label",
      `Camera picture of ${stream.id}, ${stale ? ago(picture.age_s) : "live"}`,
    );
    if (!this.canvas.dataset.sized)
      this.canvas.style.aspectRatio = `${picture.width} / ${picture.height}`;
  }

  /** Draw a picture that came; resolves when the next may come. */
  draw(head, data) {
    return this.screen.draw({ ...head, time_ms: head.time_ns / 1e6 }, data);
  }
}

class OpaqueTile {
  constructor(panel) {
    this.panel = panel;
    this.text = h("span", { class: "number" });
    this.element = h(
      "div",
      { class: "tile" },
      h("span", { class: "label", text: "Frames of the application's own" }),
      h("span", { class: "value" }, this.text),
    );
  }

  update() {
    const stream = this.panel.stream;
    setText(this.text, `${count(stream.frames)}, ${bytes(stream.payload_bytes)}`);
  }
}

/** Picture tiles that are on the screen, by stream. */
export const shown = new Map();
const tiles = new WeakMap();
const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const tile = tiles.get(target);
    const stream = tile.panel.stream.id;
    if (isIntersecting) shown.set(stream, tile);
    else shown.delete(stream);
  }
});
