// What concerns the whole gateway: totals, alarms, open invites, outputs.

import { h, keep, setData, setText, show } from "./dom.js";
import { bytes, count, discipline, nanoseconds, plain, reason, span, total } from "./format.js";

const ALARMS = {
  clock: "Clocks disagree",
  clock_of_device: "A device doubts this clock",
  clock_sources: "A device's sources of time disagree",
  two_devices: "Two devices with one identity",
  own_clock: "This machine's clock is uncertain",
  store: "Trouble with the store",
  ended: "The last run ended without warning",
  overload: "More comes than can be taken in",
  page: "The page is not served",
  device: "A device raises an alarm",
  limit_rate: "A device sends more than it may",
  limit_streams: "A device wants more streams than it may have",
  limit_storage: "What is stored of a device is at its limit",
};

function nameOf({ kind }) {
  if (kind.startsWith("output_")) return `The output ${kind.slice(7)} does not work`;
  if (kind.startsWith("recording ")) return "A stream is not recorded";
  return ALARMS[kind] ?? kind.replaceAll("_", " ");
}

/** The strip of totals; "refused" opens to its reasons. */
export class Totals {
  constructor(container) {
    this.container = container;
    this.parts = new Map();
    this.strip = h("dl", { class: "strip" });
    this.reasons = h("ul", { class: "reasons" });
    this.reasonParts = new Map();
    this.summary = h("summary");
    this.details = h("details", { class: "refusals" }, this.summary, this.reasons);
    container.append(this.strip, this.details);
  }

  update(snapshot) {
    const totals = snapshot.totals;
    keep(
      this.strip,
      this.parts,
      [
        ["Frames/s", plain(totals.frames_per_s)],
        ["Frames", count(totals.frames)],
        ["Keys", count(totals.keys_derived)],
        ["Ticks", count(totals.ticks)],
        ["Data", bytes(totals.payload_bytes)],
        [
          "Devices",
          `${count(totals.sessions)} of ${count(snapshot.devices.filter((device) => device.state !== "revoked").length)}`,
        ],
      ],
      ([key]) => key,
      () => new Total(),
    );
    const rows = [
      ...Object.entries(totals.refusals).map(([name, value]) => [
        `segments ${reason(name)}`,
        value,
      ]),
      ...Object.entries(totals.refused_handshakes).map(([name, value]) => [
        `handshakes refused: ${reason(name)}`,
        value,
      ]),
      ...Object.entries(totals.not_admitted).map(([name, value]) => [
        `connections not admitted: ${reason(name)}`,
        value,
      ]),
    ]
      .filter(([, value]) => value > 0)
      .sort((a, b) => b[1] - a[1]);
    const refused =
      total(totals.refusals) + total(totals.refused_handshakes) + total(totals.not_admitted);
    setText(this.summary, refused ? `${count(refused)} refused` : "Nothing was refused");
    setData(this.details, "some", String(refused > 0));
    keep(
      this.reasons,
      this.reasonParts,
      rows.length ? rows : [["Every segment that came was authentic and in time.", null]],
      ([key]) => key,
      () => new Reason(),
    );
  }
}

class Total {
  constructor() {
    this.key = h("dt");
    this.value = h("dd");
    this.element = h("div", {}, this.key, this.value);
  }

  update([key, value]) {
    setText(this.key, key);
    setText(this.value, value);
  }
}

class Reason {
  constructor() {
    this.count = h("strong");
    this.words = h("span");
    this.element = h("li", {}, this.count, " ", this.words);
  }

  update([words, value]) {
    setText(this.count, value === null ? "" : count(value));
    setText(this.words, words);
  }
}

/** The alarms that stand. */
export class Alarms {
  constructor(container) {
    this.container = container;
    this.parts = new Map();
  }

  update(snapshot) {
    keep(
      this.container,
      this.parts,
      snapshot.alarms.map((alarm) => ({ ...alarm, now_ns: snapshot.gateway.now_ns })),
      (alarm) => `${alarm.kind}\n${alarm.device}`,
      () => new AlarmLine(),
    );
  }
}

class AlarmLine {
  constructor() {
    this.title = h("strong");
    this.text = h("span");
    this.since = h("span", { class: "age" });
    this.element = h(
      "div",
      { class: "alarm" },
      h("span", { class: "sign", "aria-hidden": "true", text: "!" }),
      h("p", {}, this.title, " ", this.text),
      this.since,
    );
  }

  update(alarm) {
    setText(this.title, `${nameOf(alarm)}${alarm.device ? `: ${alarm.device}` : ""}.`);
    setText(this.text, alarm.detail);
    setText(this.since, `for ${span(Math.max(0, (alarm.now_ns - alarm.raised_ns) / 1e9))}`);
  }
}

/** What stands below the devices: open invites, outputs, earlier alarms, the gateway itself. */
export class More {
  constructor(container, actions) {
    this.invites = new Lines("Open invites", { text: "Withdraw", ...actions.withdrawal });
    this.outputs = new Lines("Outputs");
    this.past = new Lines("Earlier alarms");
    this.gateway = new Lines("This gateway");
    container.append(
      ...[this.invites, this.outputs, this.past, this.gateway].map((part) => part.element),
    );
  }

  update(snapshot) {
    const now = snapshot.gateway.now_ns;
    this.invites.update(
      snapshot.invites.map((invite) => [
        invite.id,
        invite.name ?? "any name",
        invite.is_bound
          ? "a device is enrolling"
          : `good for ${span(Math.max(0, (invite.expires_ns - now) / 1e9))}`,
      ]),
    );
    this.outputs.update(
      snapshot.outputs.map((output) => [
        output.name,
        output.name,
        output.error || written(output),
        output.error ? "bad" : output.missed > (output.caught_up ?? 0) ? "warn" : "",
      ]),
    );
    this.past.update(
      snapshot.past_alarms
        .slice(-8)
        .reverse()
        .map((alarm) => [
          `${alarm.kind} ${alarm.device} ${alarm.raised_ns}`,
          `${nameOf(alarm)}${alarm.device ? `: ${alarm.device}` : ""}`,
          `${new Date(alarm.raised_ns / 1e6).toLocaleTimeString()}, for ${span((alarm.cleared_ns - alarm.raised_ns) / 1e9)}`,
        ]),
    );
    const { gateway, clock } = snapshot;
    this.gateway.update([
      [
        "clock",
        "Clock",
        `${discipline(clock.discipline)} ±${nanoseconds(clock.uncertainty_ns)}`,
        clock.is_synchronised ? "" : "warn",
      ],
      ["up", "Running for", span((now - gateway.started_ns) / 1e9)],
      ["at", "Devices reach it at", gateway.addresses.join(", ")],
      ["key", "Fingerprint", gateway.fingerprint],
      ["version", "Version", gateway.version],
    ]);
  }
}

/** What an output did, in words. */
function written(output) {
  const words = [`${count(output.written)} written`];
  if (output.missed) words.push(`${count(output.missed)} missed`);
  if (output.caught_up) words.push(`${count(output.caught_up)} caught up`);
  if (output.waiting) words.push(`${count(output.waiting)} wait`);
  return words.join(", ");
}

class Lines {
  constructor(title, action = null) {
    this.action = action;
    this.parts = new Map();
    this.list = h("dl");
    this.element = h("section", { class: "lines" }, h("h2", { text: title }), this.list);
  }

  update(rows) {
    show(this.element, rows.length > 0);
    keep(
      this.list,
      this.parts,
      rows,
      ([key]) => key,
      () => new Line(this.action),
    );
  }
}

class Line {
  constructor(action) {
    this.action = action;
    this.key = h("dt");
    this.value = h("dd");
    this.element = h("div", {}, this.key, this.value);
    if (action) {
      const call = () => action.call(this.id);
      this.button = h("button", { type: "button", text: action.text, on: { click: call } });
      this.element.append(this.button);
    }
  }

  update([id, key, value, kind = ""]) {
    this.id = id;
    if (this.button) show(this.button, this.action.isAllowed());
    setText(this.key, key);
    setText(this.value, value);
    setData(this.element, "kind", kind);
  }
}
