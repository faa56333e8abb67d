// Recorded pictures played: fetched in parts as they are needed, drawn when their time has come.

import { h, setText, show } from "./dom.js";
import { span } from "./format.js";
import { clock } from "./timebar.js";
import { Screen } from "./video.js";

const AHEAD = 40;
// A silence that is not waited for.
const GAP_MS = 2000;

/** Calls onHead(ms) as it plays. */
export class Playback {
  constructor(onHead) {
    this.onHead = onHead;
    this.canvas = h("canvas", { role: "img", "aria-label": "Recorded picture" });
    this.screen = new Screen(this.canvas);
    this.toggle = h("button", {
      type: "button",
      class: "primary",
      text: "Play",
      on: { click: () => (this.isPlaying ? this.pause() : this.play()) },
    });
    this.speed = h(
      "select",
      { "aria-label": "Speed" },
      ...[1, 2, 8, 30].map((times) => h("option", { value: times, text: `${times} ×` })),
    );
    this.note = h("span", { class: "age", role: "status" });
    this.element = h(
      "div",
      { class: "replay" },
      h("div", { class: "frame" }, this.canvas),
      h("div", { class: "row" }, this.toggle, this.speed, this.note),
    );
    this.isPlaying = false;
    this.isClosed = false;
    this.run = 0;
    this.queue = [];
    this.tick = (now) => this.frame(now);
  }

  close() {
    this.isClosed = true;
    this.run++;
    this.screen.reset();
  }

  /** Show the picture of an instant, and be ready to play from there until another. */
  async seek(stream, from, until, signal, onReport) {
    const run = ++this.run;
    Object.assign(this, { stream, until, signal, onReport });
    Object.assign(this, { head: from, next: from, queue: [], isFetching: false, totals: null });
    this.screen.reset();
    this.screen.fault = "";
    this.canvas.dataset.sequence = "";
    await this.fetch(run, true);
    if (run !== this.run) return;
    const first = this.queue.find((each) => each.head.at_ms >= from) ?? this.queue[0];
    if (!first) {
      setText(this.note, "no picture from here on");
      show(this.canvas, false);
      return;
    }
    show(this.canvas, true);
    this.head = Math.max(from, first.head.at_ms);
    await this.catchUp(run);
  }

  /** Play nothing. */
  stop() {
    this.run++;
    this.pause();
  }

  play() {
    this.isPlaying = true;
    setText(this.toggle, "Pause");
    this.before = performance.now();
    requestAnimationFrame(this.tick);
  }

  pause() {
    this.isPlaying = false;
    setText(this.toggle, "Play");
  }

  async frame(now) {
    if (!this.isPlaying || this.isClosed) return;
    const run = this.run;
    const passed = Math.min(250, now - this.before) * Number(this.speed.value);
    this.before = now;
    if (this.queue.length) {
      const ahead = this.queue[0].head.at_ms - this.head;
      // What was not recorded is not waited for.
      this.head += ahead > GAP_MS ? ahead : passed;
      await this.catchUp(run).catch(() => {});
    } else if (this.next >= this.until && !this.isFetching) {
      this.pause();
      setText(this.note, "the end of what is recorded");
      return;
    }
    if (run === this.run && this.queue.length < AHEAD && this.next < this.until)
      this.fetch(run, false).catch((fault) => {
        if (fault.name === "AbortError") return;
        this.pause();
        setText(this.note, fault.message);
      });
    requestAnimationFrame(this.tick);
  }

  /** Draw what is due. */
  async catchUp(run) {
    let due = 0;
    while (due < this.queue.length && this.queue[due].head.at_ms <= this.head) due++;
    if (!due) return;
    const batch = this.queue.splice(0, due);
    const last = batch.at(-1);
    const isVideo = last.head.codec === "h264";
    this.screen.since = last.head.at_ms - 1;
    for (const each of isVideo ? batch : [last]) {
      const head = { ...each.head, time_ms: each.head.at_ms };
      await this.screen.draw(head, each.data);
      if (run !== this.run) return;
    }
    this.onHead(last.head.at_ms);
    setText(this.note, this.screen.fault || clock(last.head.at_ms, 1000, true));
  }

  async fetch(run, isSeek) {
    if (this.isFetching) return;
    this.isFetching = true;
    try {
      const query = new URLSearchParams({
        stream: this.stream,
        from: Math.floor(this.next),
        until: Math.ceil(Math.max(this.next + 1, Math.min(this.until, this.next + 86_400_000))),
        ...(isSeek ? { seek: 1 } : {}),
      });
      const answer = await fetch(`/api/recordings/pictures?${query}`, { signal: this.signal });
      if (!answer.ok)
        throw new Error((await answer.json().catch(() => ({}))).error ?? `${answer.status}`);
      const parts = unpack(await answer.arrayBuffer());
      if (run !== this.run) return;
      const { report } = parts.pop().head;
      this.next = Math.max(this.next + 1, report.reached_ms);
      this.queue.push(...parts);
      this.add(report);
    } finally {
      if (run === this.run) this.isFetching = false;
    }
  }

  add(report) {
    const { totals } = this;
    this.totals = totals
      ? {
          ...report,
          frames: totals.frames + report.frames,
          missing: totals.missing + report.missing,
        }
      : report;
    this.onReport(this.totals);
  }
}

/** Take u16 length || JSON head || u32 length || data apart. */
function unpack(buffer) {
  const view = new DataView(buffer);
  const parts = [];
  let at = 0;
  while (at < buffer.byteLength) {
    const size = view.getUint16(at);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at + 2, size)));
    at += 2 + size;
    const length = view.getUint32(at);
    parts.push({ head, data: new Uint8Array(buffer, at + 4, length) });
    at += 4 + length;
  }
  return parts;
}
