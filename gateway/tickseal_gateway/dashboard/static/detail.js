// What is behind a device's streams, for those who want to know: keys, losses, refusals, origin.

import { h, keep, setText, show } from "./dom.js";
import { count, nanoseconds, reason, span, suite } from "./format.js";

const COLUMNS = ["Stream", "Keys", "Suite", "Generation", "Tick", "Frames", "Lost", "Refused"];

/** A table with a row for each stream, folded. */
export class Detail {
  constructor() {
    this.rows = new Map();
    this.table = h("tbody");
    this.origin = h("p", { class: "fine" });
    const head = h("tr", {}, ...COLUMNS.map((text) => h("th", { scope: "col", text })));
    this.element = h(
      "details",
      { class: "detail" },
      h("summary", { text: "Keys and losses" }),
      h(
        "div",
        {
          class: "scroll",
          tabindex: "0",
          role: "region",
          "aria-label": "Keys and losses of each stream",
        },
        h("table", {}, h("thead", {}, head), this.table),
      ),
      this.origin,
    );
  }

  update(device, streams) {
    show(this.element, streams.length > 0);
    if (!this.element.open) return;
    keep(
      this.table,
      this.rows,
      streams,
      (stream) => stream.id,
      () => new StreamRow(),
    );
    setText(this.origin, origin(device));
  }
}

function origin(device) {
  const { session } = device;
  const parts = [
    device.handshake === "hybrid" ? "Handshake X25519 with ML-KEM-768" : "Handshake X25519",
    `enrolled ${new Date(device.enrolled_ns / 1e6).toLocaleString()}`,
  ];
  if (session) parts.push(`connected for ${span(session.age_s)} from ${session.address}`);
  if (session?.software) parts.push(session.software);
  return `${parts.join(", ")}.`;
}

class StreamRow {
  constructor() {
    this.cells = Array.from({ length: 8 }, (_, at) =>
      h(at ? "td" : "th", at ? {} : { scope: "row" }),
    );
    this.element = h("tr", {}, ...this.cells);
  }

  update(stream) {
    const refused = Object.entries(stream.refusals)
      .map(([name, value]) => `${count(value)} ${reason(name)}`)
      .join(", ");
    const every =
      stream.renewal === "every_frame"
        ? "every frame"
        : `every ${nanoseconds(stream.interval_ns ?? 0)}`;
    const texts = [
      stream.id,
      stream.renewal ? `${count(stream.keys_derived)}, ${every}` : "erased",
      stream.suite ? suite(stream.suite) : "none",
      stream.generation
        ? `${stream.generation.slice(0, 8)}, ${span(stream.generation_age_s)} old`
        : "none",
      stream.tick !== null && stream.tick >= 0
        ? `${count(stream.tick)} of ${nanoseconds(stream.interval_ns)}`
        : "none",
      count(stream.frames),
      count(Math.max(0, stream.missing)),
      refused || "nothing",
    ];
    texts.forEach((text, at) => setText(this.cells[at], text));
  }
}
