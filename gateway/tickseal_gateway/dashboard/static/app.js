// The page: who may see it, what comes in, and where it goes on the screen.

import { h, keep, setData, setText, show } from "./dom.js";
import { DeviceCard, Tag, verdict } from "./device.js";
import * as dialogs from "./dialogs.js";
import { span } from "./format.js";
import { enlarge } from "./large.js";
import { Live, post, readSession } from "./live.js";
import { readColours } from "./plot.js";
import { recordings } from "./recordings.js";
import { shown, store } from "./stream.js";
import { Alarms, More, Totals } from "./summary.js";

const $ = (id) => document.getElementById(id);
const ORDER = { wait: 0, bad: 1, live: 2, warn: 2, off: 3 };

let session = null;
let snapshot = null;
let live = null;
const cards = new Map();
const asked = new Set();
const totals = new Totals($("totals"));
const alarms = new Alarms($("alarms"));
const FEW = 8;
const search = h("input", {
  type: "search",
  placeholder: "Find a device or tag",
  "aria-label": "Find a device or tag",
  on: { input: () => snapshot && placeDevices(snapshot) },
});
// The tags of all devices; one that is pressed shows its devices alone.
const tags = h("div", { class: "tags filter", role: "group", "aria-label": "Tags" });
const tagParts = new Map();
let chosenTag = "";
const devices = h("div", { class: "cards" });
const revoked = h("div", { class: "cards" });
const revokedCards = new Map();
const revokedSummary = h("summary");
const revokedDetails = h("details", { class: "revoked" }, revokedSummary, revoked);
const howTo = h("p", {
  text: "Invite one: it gets a code that works once, and its streams appear here.",
});
const empty = h("div", { class: "empty" }, h("h2", { text: "No device yet" }), howTo);
$("devices").append(search, tags, empty, devices, revokedDetails);

const actions = {
  look: () => live?.watch(wantedPictures(), wantedDevices()),
  mayCommand: () => session?.may_command ?? false,
  approve: (device) => attempt(() => post("approve", { name: device.name })),
  rename: (device) =>
    dialogs.rename(device, (new_name) => post("rename", { name: device.name, new_name })),
  tag: (device) =>
    dialogs.tags(device, (add, remove) => post("tag", { name: device.name, add, remove })),
  limit: (device) =>
    dialogs.limits(device, (limits) => post("limit", { name: device.name, limits })),
  filter: (tag) => {
    chosenTag = chosenTag === tag ? "" : tag;
    if (snapshot) placeDevices(snapshot);
  },
  rekey: (device) =>
    dialogs.confirm({
      title: `New keys for ${device.name}?`,
      text: "Every stream of the device gets a new secret, made together with it now. No frame is lost.",
      button: "Make new keys",
      kind: "primary",
      act: () => post("rekey", { name: device.name }),
    }),
  revoke: (device) =>
    dialogs.confirm({
      title: `Revoke ${device.name}?`,
      text: "It is refused for good, from this second on. To come back it needs a new invite.",
      button: "Revoke it",
      act: () => post("revoke", { name: device.name }),
    }),
  withdrawal: {
    isAllowed: () => session?.may_command ?? false,
    call: (id) => attempt(() => post("withdraw", { id })),
  },
  enlarge: (stream, name) => enlarge(stream, name, readingOf),
};

const more = new More($("more"), actions);

function readingOf(stream, name) {
  const found = snapshot?.streams.find((each) => each.id === stream);
  const reading = found?.latest.find((each) => each.name === name);
  return reading
    ? {
        reading,
        isStale: found.is_stale,
        age: found.last_frame_s,
        ahead: Math.max(0, reading.time_ns / 1e6 - store.now() - 1000),
      }
    : null;
}

async function attempt(act) {
  try {
    await act();
  } catch (fault) {
    setText($("notice"), fault.message);
    show($("notice"), true);
  }
}

// --- Who we are ---

async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname);
    session = await readSession();
    if (!session.may_command) await post("login", { token }).catch(notify);
  }
  await enter();
}

async function enter() {
  session = await readSession();
  show($("main"), session.may_read);
  if (session.may_read) $("door").replaceChildren();
  show($("door"), !session.may_read);
  show($("invite"), session.may_command);
  show($("recordings"), session.may_command && session.has_recordings);
  show($("account"), session.may_command);
  show(howTo, session.may_command);
  setText($("account"), session.has_password ? "Log out" : "Make a password");
  if (!session.may_read) {
    live?.close();
    live = null;
    setLink("off", "");
    // Once: who is typing a password already is left alone.
    if (!$("door").firstChild) dialogs.door($("door"), enter);
    return;
  }
  if (!session.may_command)
    notify({
      message:
        "You are looking on. To command, open the link that `tickseal gateway page` prints on the gateway.",
    });
  else show($("notice"), false);
  live ??= new Live({ onSnapshot: take, onPicture: draw, onState: setState });
}

function notify({ message }) {
  setText($("notice"), message);
  show($("notice"), true);
}

$("invite").addEventListener("click", () =>
  dialogs.invite({ latest: () => snapshot, approve: actions.approve }),
);
$("recordings").addEventListener("click", recordings);
$("account").addEventListener("click", async () => {
  if (!session.has_password) dialogs.setPassword(session, enter);
  else {
    live?.close();
    live = null;
    await attempt(() => post("logout"));
    await enter();
  }
});

// --- What comes in ---

function take(fresh) {
  snapshot = fresh;
  store.skew = fresh.gateway.now_ns / 1e6 - Date.now();
  setText($("gateway-name"), fresh.gateway.name);
  totals.update(fresh);
  alarms.update(fresh);
  more.update(fresh);
  placeDevices(fresh);
  readHistory(fresh.streams);
  actions.look();
}

function wantedPictures() {
  return [...shown].filter(([, tile]) => tile.canShow).map(([stream]) => stream);
}

// With many open, only those on the screen; a plot of what is off the screen then starts anew.
function wantedDevices() {
  const open = [...cards.values()].filter((card) => card.isOpen);
  const near =
    open.length <= FEW
      ? open
      : open.filter(({ element }) => {
          const { top, bottom } = element.getBoundingClientRect();
          return bottom > -200 && top < innerHeight + 200;
        });
  return near.map((card) => card.device.name);
}

function placeDevices(fresh) {
  const streams = Map.groupBy
    ? Map.groupBy(fresh.streams, (stream) => stream.device)
    : groupBy(fresh.streams);
  const all = fresh.devices.map((device) => ({
    device,
    streams: device.state === "revoked" ? [] : (streams.get(device.name) ?? []),
  }));
  const enrolled = all.filter(({ device }) => device.state !== "revoked");
  const wanted = search.value.trim().toLowerCase();
  placeTags(enrolled);
  const active = enrolled.filter(
    ({ device }) =>
      (!chosenTag || device.tags.includes(chosenTag)) &&
      [device.name.toLowerCase(), ...device.tags].some((word) => word.includes(wanted)),
  );
  const rank = new Map(active.map((each) => [each, ORDER[verdict(each.device)[0]]]));
  active.sort((a, b) => rank.get(a) - rank.get(b));
  const few = enrolled.length <= FEW;
  show(search, !few);
  keep(
    devices,
    cards,
    active,
    ({ device }) => device.enrolled_ns,
    () => new DeviceCard(actions, few),
  );
  show(empty, enrolled.length === 0);
  const gone = all.filter(({ device }) => device.state === "revoked");
  show(revokedDetails, gone.length > 0);
  setText(revokedSummary, `${gone.length} revoked`);
  keep(
    revoked,
    revokedCards,
    gone,
    ({ device }) => device.enrolled_ns,
    () => new DeviceCard(actions, false),
  );
}

function placeTags(enrolled) {
  const all = [...new Set(enrolled.flatMap(({ device }) => device.tags))].sort();
  if (!all.includes(chosenTag)) chosenTag = "";
  show(tags, all.length > 0);
  keep(
    tags,
    tagParts,
    all,
    (tag) => tag,
    () => new Tag(actions.filter),
  );
  for (const [tag, { element }] of tagParts)
    element.setAttribute("aria-pressed", String(tag === chosenTag));
}

function groupBy(streams) {
  const groups = new Map();
  for (const stream of streams)
    groups.set(stream.device, [...(groups.get(stream.device) ?? []), stream]);
  return groups;
}

// What was before this page was opened, once for each stream.
async function readHistory(streams) {
  const wanted = streams
    .filter((stream) => stream.latest.length && !asked.has(stream.id))
    .slice(0, 16)
    .map((stream) => stream.id);
  if (!wanted.length) return;
  for (const stream of wanted) asked.add(stream);
  const query = new URLSearchParams(wanted.map((stream) => ["stream", stream]));
  const answer = await fetch(`/api/history?${query}`).catch(() => null);
  if (!answer?.ok) return;
  for (const [stream, names] of Object.entries(await answer.json())) {
    for (const [name, points] of Object.entries(names))
      store.seriesOf(stream, name).addBefore(points);
  }
}

// One after the other: pictures of a video need those before them.
const drawing = new Map();

function draw(stream, head, data) {
  const before = drawing.get(stream) ?? Promise.resolve();
  const now = before
    .then(() => shown.get(stream)?.draw(head, data))
    .catch(() => {})
    .then(() => live?.drawn(stream));
  drawing.set(stream, now);
}

// --- How the connection is ---

let state = "connecting";

async function setState(next) {
  if (next === "live" && state === "live") return;
  state = next;
  if (next === "live") {
    setLink("live", "live");
    document.body.classList.remove("lost");
    return;
  }
  document.body.classList.add("lost");
  const now = await readSession().catch(() => null);
  if (now && (!now.may_read || now.may_command !== session.may_command)) await enter();
}

function setLink(kind, text) {
  setData($("link"), "state", kind);
  setText($("link"), text);
}

setInterval(() => {
  if (live && state !== "live")
    setLink("lost", `no connection for ${span(live.silence)}: what you see is old`);
}, 500);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
readColours();
start();
