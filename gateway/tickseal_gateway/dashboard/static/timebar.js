// A bar of time: where something was recorded, where nothing, and the span that is chosen of it.

import { h } from "./dom.js";
import { readStyle } from "./plot.js";

const DAY = 86_400_000;
const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800];

/** A time of day, with the date where a span is long or `isFull`, with seconds where it is short. */
export function clock(at, span, isFull = false) {
  const options = { hour: "2-digit", minute: "2-digit" };
  if (span < 3_600_000) options.second = "2-digit";
  if (span > DAY || (isFull && new Date(at).toDateString() !== new Date().toDateString()))
    Object.assign(options, { month: "short", day: "numeric" });
  return new Date(at).toLocaleString([], options);
}

/** Calls onChoose() when a person chose another span. */
export class TimeBar {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.from = 0;
    this.until = 1;
    this.chosen = [0, 1];
    this.spans = [];
    this.head = null;
    this.canvas = h("canvas", {
      class: "timebar",
      tabindex: "0",
      role: "slider",
      "aria-label": "Time; arrows move what is chosen",
      on: {
        pointerdown: (event) => this.press(event),
        pointermove: (event) => this.drag(event),
        pointerup: () => this.release(),
        pointercancel: () => this.release(),
        keydown: (event) => this.key(event),
      },
    });
    this.element = this.canvas;
    this.pressed = null;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  setWindow(from, until) {
    [this.from, this.until] = [from, until];
    this.spans = [];
    this.draw();
  }

  setSpans(spans) {
    this.spans = spans;
    this.draw();
  }

  setHead(at) {
    this.head = at;
    this.draw();
  }

  /** Choose a span, kept within the bar. */
  choose(from, until) {
    const length = Math.min(Math.max(until - from, 1000), this.until - this.from);
    const start = Math.min(Math.max(from, this.from), this.until - length);
    this.chosen = [start, start + length];
    this.canvas.setAttribute("aria-valuemin", String(Math.round(this.from)));
    this.canvas.setAttribute("aria-valuemax", String(Math.round(this.until)));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(start)));
    const words = this.chosen.map((at) => clock(at, length, true)).join(" to ");
    this.canvas.setAttribute("aria-valuetext", words);
    this.draw();
  }

  timeAt(x) {
    return this.from + (x / this.canvas.clientWidth) * (this.until - this.from);
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pressed = { x: event.offsetX, moved: false };
  }

  drag(event) {
    if (!this.pressed || (!this.pressed.moved && Math.abs(event.offsetX - this.pressed.x) < 6))
      return;
    this.pressed.moved = true;
    const ends = [this.timeAt(this.pressed.x), this.timeAt(event.offsetX)].sort((a, b) => a - b);
    this.choose(...ends);
  }

  release() {
    if (!this.pressed) return;
    if (!this.pressed.moved) {
      const at = this.timeAt(this.pressed.x);
      this.choose(at, at + this.chosen[1] - this.chosen[0]);
    }
    this.pressed = null;
    this.onChoose();
  }

  key(event) {
    const length = this.chosen[1] - this.chosen[0];
    const moves = { ArrowLeft: -length / 4, ArrowRight: length / 4, PageUp: -length, PageDown: length };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    this.choose(this.chosen[0] + move, this.chosen[1] + move);
    this.onChoose();
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = readStyle();
    const length = this.until - this.from;
    const x = (at) => ((at - this.from) / length) * width;
    const floor = height - 20;
    context.fillStyle = style.well;
    context.fillRect(0, 0, width, floor);
    context.fillStyle = style.line;
    for (const [from, until] of this.spans)
      context.fillRect(x(from), 8, Math.max(1.5, x(until) - x(from)), floor - 16);
    this.drawTimes(context, x, width, height, style);
    const [left, right] = this.chosen.map(x);
    context.fillStyle = style.shade;
    context.fillRect(0, 0, left, floor);
    context.fillRect(right, 0, width - right, floor);
    context.strokeStyle = style.ink;
    context.lineWidth = 2;
    context.strokeRect(left + 1, 1, Math.max(2, right - left - 2), floor - 2);
    if (this.head !== null && this.head >= this.from && this.head <= this.until) {
      context.fillStyle = style.head;
      context.fillRect(x(this.head) - 1.5, 0, 3, floor);
    }
  }

  drawTimes(context, x, width, height, style) {
    const length = this.until - this.from;
    const wanted = (length / 1000 / width) * 90;
    const step = (STEPS.find((each) => each >= wanted) ?? 172800) * 1000;
    const offset = new Date(this.from).getTimezoneOffset() * 60_000;
    context.fillStyle = style.text;
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "alphabetic";
    context.textAlign = "center";
    for (let at = Math.ceil((this.from - offset) / step) * step + offset; at < this.until; at += step) {
      if (x(at) < 36 || x(at) > width - 36) continue;
      context.fillRect(x(at), height - 20, 1, 4);
      context.fillText(clock(at, step >= DAY / 4 ? DAY + 1 : step < 60_000 ? 0 : DAY), x(at), height - 4);
    }
  }
}
