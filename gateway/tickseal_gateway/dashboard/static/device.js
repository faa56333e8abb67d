// One device: how it is in a line, its streams, and what a person may do with it.

import { Detail } from "./detail.js";
import { h, keep, setData, setText, show } from "./dom.js";
import { ago, bytes, count, discipline, nanoseconds, plain, suite } from "./format.js";
import { StreamPanel } from "./stream.js";

/** Return [state, words] of a device: the state is one of live, warn, bad, wait, off. */
export function verdict(device) {
  if (device.state === "revoked") return ["off", "revoked"];
  if (device.state === "enrolling") return ["wait", "enrolling"];
  if (device.state === "pending") return ["wait", "waits for your approval"];
  if (!device.is_connected)
    return [
      "bad",
      device.seen_s === null
        ? "not seen since the gateway started"
        : `offline, last seen ${ago(device.seen_s)}`,
    ];
  if (device.session && !device.session.clock_agrees) return ["bad", "its clock disagrees"];
  if (device.role === "sink") {
    return device.reads.length
      ? ["live", `sink, reads ${device.reads.join(", ")}`]
      : ["warn", "sink, may read nothing yet"];
  }
  const { streams, silent } = device.health;
  if (!streams) return ["warn", "connected, no stream yet"];
  if (silent === streams) return ["warn", "connected, but silent"];
  if (silent) return ["warn", `${silent} of ${streams} streams silent`];
  return ["live", "live"];
}

/** A device's card. */
export class DeviceCard {
  constructor(actions, isOpen) {
    this.actions = actions;
    this.panels = new Map();
    this.isOpen = isOpen;
    this.name = h("span");
    this.toggle = h(
      "button",
      {
        type: "button",
        class: "bare toggle",
        on: {
          click: () => {
            this.isOpen = !this.isOpen;
            this.update({ device: this.device, streams: [] });
            actions.look();
          },
        },
      },
      this.name,
    );
    this.brief = h("span", { class: "brief" });
    this.state = h("span", { class: "state" });
    this.tags = h("div", { class: "tags" });
    this.tagParts = new Map();
    this.facts = h("dl", { class: "facts" });
    this.factParts = new Map();
    this.pictures = h("div", { class: "streams" });
    this.readings = h("div", { class: "streams" });
    this.columns = h("div", { class: "columns" }, this.readings, this.pictures);
    this.picturePanels = new Map();
    this.approve = h("button", {
      class: "primary",
      type: "button",
      text: "Approve",
      on: { click: () => actions.approve(this.device) },
    });
    this.menu = this.makeMenu();
    this.detail = new Detail();
    this.body = h("div", { class: "body" }, this.facts, this.columns, this.detail.element);
    this.element = h(
      "article",
      { class: "device" },
      h(
        "header",
        {},
        h("div", { class: "who" }, h("h2", {}, this.toggle), this.state, this.tags, this.brief),
        this.approve,
        this.menu,
      ),
      this.body,
    );
  }

  close() {
    for (const panel of [...this.panels.values(), ...this.picturePanels.values()]) panel.close();
  }

  makeMenu() {
    const act = (text, call, kind = "") =>
      h("button", {
        type: "button",
        class: kind,
        text,
        on: {
          click: () => {
            menu.open = false;
            call(this.device);
          },
        },
      });
    this.rekey = act("New keys now", (device) => this.actions.rekey(device));
    this.limit = act("Limits", (device) => this.actions.limit(device));
    const menu = h(
      "details",
      {
        class: "menu",
        on: {
          keydown: (event) => {
            if (event.key === "Escape") {
              menu.open = false;
              menu.firstElementChild.focus();
            }
          },
          focusout: (event) => {
            if (!menu.contains(event.relatedTarget)) menu.open = false;
          },
        },
      },
      h("summary", { "aria-label": "What to do with this device", text: "⋯" }),
      h(
        "div",
        {},
        act("Rename", (device) => this.actions.rename(device)),
        act("Tags", (device) => this.actions.tag(device)),
        this.limit,
        this.rekey,
        act("Revoke", (device) => this.actions.revoke(device), "danger"),
      ),
    );
    return menu;
  }

  update({ device, streams }) {
    this.device = device;
    const [state, words] = verdict(device);
    setData(this.element, "state", state);
    this.element.dataset.device = device.name;
    this.element.setAttribute("aria-label", `Device ${device.name}`);
    setText(this.name, device.name);
    setText(this.state, words);
    show(this.limit, device.role === "source");
    show(this.tags, device.tags.length > 0);
    keep(
      this.tags,
      this.tagParts,
      device.tags,
      (tag) => tag,
      () => new Tag((tag) => this.actions.filter(tag)),
    );
    show(this.approve, device.state === "pending" && this.actions.mayCommand());
    show(this.menu, device.state !== "revoked" && this.actions.mayCommand());
    this.rekey.disabled = !device.is_connected;
    this.toggle.setAttribute("aria-expanded", String(this.isOpen));
    show(this.body, this.isOpen);
    show(this.brief, !this.isOpen);
    if (!this.isOpen) {
      const { health } = device;
      setText(
        this.brief,
        health.streams
          ? `${count(health.streams)} stream${health.streams > 1 ? "s" : ""}, ${plain(health.frames_per_s)} frames/s`
          : "",
      );
      return;
    }
    if (!streams.length && device.health.streams) return;
    keep(
      this.facts,
      this.factParts,
      facts(device, streams),
      ([key]) => key,
      () => new Fact(),
    );
    const pictures = streams.filter((stream) => stream.content === "pictures");
    const others = streams.filter((stream) => stream.content !== "pictures");
    const panel = (stream) => new StreamPanel(this.actions, stream);
    keep(this.readings, this.panels, others, (stream) => stream.id, panel);
    keep(this.pictures, this.picturePanels, pictures, (stream) => stream.id, panel);
    setData(
      this.columns,
      "kinds",
      `${others.length ? "readings" : ""}${pictures.length ? "pictures" : ""}`,
    );
    this.detail.update(device, streams);
  }
}

function facts(device, streams) {
  const rows = [];
  const session = device.session;
  if (device.is_connected) rows.push(["Seen", ago(device.seen_s), ""]);
  if (session?.clock) {
    const clock = session.clock;
    const kind = session.clock_agrees ? (clock.is_synchronised ? "" : "warn") : "bad";
    rows.push([
      "Clock",
      `${discipline(clock.discipline)} ±${nanoseconds(clock.uncertainty_ns)}`,
      kind,
    ]);
    rows.push([
      "Offset",
      `${nanoseconds(clock.offset_ns, true)} (±${nanoseconds(clock.offset_uncertainty_ns)})`,
      session.clock_agrees ? "" : "bad",
    ]);
  }
  const { missing, frames, refused } = device.health;
  if (streams.length) rows.push(["Keys", keysOf(streams), ""]);
  if (frames)
    rows.push([
      "Lost",
      missing
        ? `${count(missing)} frames (${plain((100 * missing) / (missing + frames))} %)`
        : "nothing",
      missing > frames / 100 ? "warn" : "",
    ]);
  if (frames)
    rows.push([
      "Refused",
      refused ? `${count(refused)} segments` : "nothing",
      refused ? "warn" : "",
    ]);
  const limits = limitsOf(device.limits);
  if (limits) rows.push(["Limits", limits, ""]);
  const over = streams.reduce((sum, stream) => sum + stream.over_limit, 0);
  if (over) rows.push(["Over its limits", `${count(over)} frames`, "warn"]);
  return rows;
}

/** Limits in words; empty where there are none. */
function limitsOf({ streams, frames_per_s, bytes_per_s, storage_bytes }) {
  const words = [];
  if (streams) words.push(`${count(streams)} streams`);
  if (frames_per_s) words.push(`${count(frames_per_s)} frames/s`);
  if (bytes_per_s) words.push(`${bytes(bytes_per_s)}/s`);
  if (storage_bytes) words.push(`${bytes(storage_bytes)} stored`);
  return words.join(", ");
}

// The suite, and the generation that is the youngest: one that never changes would be old.
function keysOf(streams) {
  const live = streams.filter((stream) => stream.generation);
  if (!live.length) return "none now";
  const youngest = live.reduce((a, b) => (a.generation_age_s < b.generation_age_s ? a : b));
  const suites = [...new Set(live.map((stream) => suite(stream.suite)))].join(", ");
  return `${suites}, renewed ${ago(youngest.generation_age_s)}`;
}

/** A tag, which filters when it is pressed. */
export class Tag {
  constructor(onPress) {
    this.element = h("button", {
      type: "button",
      class: "tag",
      on: { click: () => onPress(this.element.textContent) },
    });
  }

  update(tag) {
    setText(this.element, tag);
  }
}

class Fact {
  constructor() {
    this.key = h("dt");
    this.value = h("dd");
    this.element = h("div", {}, this.key, this.value);
  }

  update([key, value, kind]) {
    setText(this.key, key);
    setText(this.value, value);
    setData(this.element, "kind", kind);
  }
}
