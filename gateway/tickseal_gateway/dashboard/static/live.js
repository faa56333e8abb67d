// The connection to the gateway: one WebSocket, taken up again by itself.

const SILENT_MS = 5000;

/** Calls onSnapshot(snapshot), onPicture(stream, head, data) and onState("live" | "lost" | "refused"). */
export class Live {
  constructor({ onSnapshot, onPicture, onState }) {
    Object.assign(this, { onSnapshot, onPicture, onState });
    this.watched = { watch: [], devices: [] };
    this.heard = performance.now();
    this.wait = 500;
    this.isClosed = false;
    this.connect();
    setInterval(() => this.check(), 1000);
    document.addEventListener("visibilitychange", () => this.sendWatched());
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/live`);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.sendWatched();
    socket.onmessage = ({ data }) => {
      this.heard = performance.now();
      this.wait = 500;
      if (typeof data === "string") {
        this.onState("live");
        this.onSnapshot(JSON.parse(data));
      } else {
        this.take(data);
      }
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.socket || this.isClosed) return;
      this.onState(code === 1008 ? "refused" : "lost");
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 2, 10_000);
    };
  }

  close() {
    this.isClosed = true;
    this.socket.close();
  }

  /** Seconds since anything came. */
  get silence() {
    return (performance.now() - this.heard) / 1000;
  }

  // A connection that says nothing is none, whatever the browser thinks of it.
  check() {
    if (this.isClosed || performance.now() - this.heard < SILENT_MS) return;
    this.onState("lost");
    if (this.socket.readyState === WebSocket.OPEN) this.socket.close();
  }

  /** Say of which streams pictures, and of which devices readings, are on the screen. */
  watch(streams, devices) {
    const wanted = { watch: [...streams].sort(), devices: [...devices].sort() };
    if (JSON.stringify(wanted) === JSON.stringify(this.watched)) return;
    this.watched = wanted;
    this.sendWatched();
  }

  sendWatched() {
    this.send(document.hidden ? { ...this.watched, watch: [] } : this.watched);
  }

  /** Say that a picture was drawn: the next may come. */
  drawn(stream) {
    this.send({ drawn: stream });
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(data) {
    const size = new DataView(data).getUint16(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 2, size)));
    this.onPicture(head.stream, head, new Uint8Array(data, 2 + size));
  }
}

let csrf = null;

/** Ask who we are. */
export async function readSession() {
  const session = await (await fetch("/api/session")).json();
  csrf = session.csrf;
  return session;
}

/** Give a command; throws an Error that says why not. */
export async function post(path, values = {}) {
  const headers = { "content-type": "application/json" };
  if (csrf) headers["x-csrf-token"] = csrf;
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { method: "POST", headers, body: JSON.stringify(values) });
  } catch {
    throw new Error("the gateway does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the gateway answered ${answer.status}`);
  return body.result ?? body;
}
