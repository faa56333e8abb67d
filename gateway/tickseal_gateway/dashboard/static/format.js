// Numbers, units, ages and words, as people read them.

const UNITS = {
  Cel: "°C",
  "%RH": "% RH",
  "/": "%",
  lx: "lx",
  lm: "lm",
  V: "V",
  A: "A",
  W: "W",
  J: "J",
  Pa: "hPa",
  m: "m",
  "m/s": "m/s",
  "m/s2": "m/s²",
  m2: "m²",
  m3: "m³",
  l: "l",
  kg: "kg",
  g: "g",
  s: "s",
  Hz: "Hz",
  deg: "°",
  rad: "rad",
  dB: "dB",
  "%EL": "%",
  "beat/min": "bpm",
  count: "",
};
const SCALED = new Set(["B", "B/s", "bit/s", "W", "Hz", "Wh"]);
const PREFIXES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
const WHOLE = new Intl.NumberFormat("en");

/** Return [text, unit] of a measured value and its SenML unit. */
export function quantity(value, unit) {
  if (value === null) return ["no reading", ""];
  if (typeof value === "boolean") return [value ? "on" : "off", ""];
  if (typeof value === "string") return [value, ""];
  let shown = unit ?? "";
  if (unit === "/") value *= 100;
  if (unit === "Pa") value /= 100;
  if (SCALED.has(unit)) {
    const [scale, prefix] = PREFIXES.find(([worth]) => Math.abs(value) >= worth) ?? [1, ""];
    return [plain(value / scale), prefix + unit];
  }
  shown = UNITS[unit] ?? shown;
  return [plain(value), shown];
}

/** Return a number with about three digits that tell something. */
export function plain(value) {
  const size = Math.abs(value);
  if (size >= 1e5) return WHOLE.format(Math.round(value));
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value * 10) / 10);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.01 || size === 0) return value.toFixed(2);
  return value.toPrecision(2);
}

/** Return a count: 1,234 or 12.3 M. */
export function count(value) {
  if (value < 1e6) return WHOLE.format(Math.round(value));
  const [scale, prefix] = PREFIXES.find(([worth]) => value >= worth);
  return `${(value / scale).toFixed(value >= 100 * scale ? 0 : 1)} ${prefix}`;
}

/** Return bytes: 12.3 MB. */
export function bytes(value) {
  const [text, unit] = quantity(value, "B");
  return `${text} ${unit}`;
}

/** Return how long ago, seconds to words. */
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  return seconds < 2 ? "now" : `${span(seconds)} ago`;
}

/** Return a span of seconds in its largest unit. */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** Return nanoseconds in the unit that fits, signed where asked for. */
export function nanoseconds(value, signed = false) {
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : signed ? "+" : "";
  for (const [worth, unit] of [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "µs"],
  ]) {
    if (size >= worth * 0.995) {
      const scaled = size / worth;
      return `${sign}${scaled >= 10 ? Math.round(scaled) : scaled.toFixed(1)} ${unit}`;
    }
  }
  return `${sign}${Math.round(size)} ns`;
}

const CAPITALS = {
  cpu: "CPU",
  gpu: "GPU",
  ram: "RAM",
  co2: "CO₂",
  uv: "UV",
  ip: "IP",
  pm25: "PM2.5",
};

/** Return a sample's name for people: "cpu/load" is "CPU load". */
export function label(name) {
  const words = name
    .split(/[/_:]+/)
    .filter(Boolean)
    .map((word) => CAPITALS[word] ?? word);
  const text = words.join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Return the sum of the values of an object. */
export function total(counts) {
  return Object.values(counts ?? {}).reduce((sum, value) => sum + value, 0);
}

const REASONS = {
  truncated: "cut short",
  version: "another protocol version",
  handle: "of no known stream",
  revoked: "of a revoked device",
  generation: "of no known generation",
  oversize: "too long",
  malformed: "not well formed",
  early: "before its time",
  late: "after its time",
  exhausted: "of a used-up generation",
  replayed: "seen before",
  stale: "too far behind",
  key_hash: "under another key",
  forged: "not authentic",
  unknown: "unknown device",
  expired: "invite expired",
  used: "invite used already",
  incompatible: "other handshake required",
  busy: "too busy",
  half_open: "too many half open",
  rate: "too many from one place",
};

/** Return a refusal's reason in words. */
export function reason(name) {
  return REASONS[name] ?? name.replaceAll("_", " ");
}

const DISCIPLINES = {
  ptp: "PTP",
  pps: "GPS (PPS)",
  ntp: "NTP",
  kernel: "synchronised",
  gateway: "this gateway",
  holdover: "holdover",
  none: "free-running",
};

/** Return what steers a clock, in words. */
export function discipline(name) {
  return DISCIPLINES[name] ?? name;
}

const SUITES = {
  AES_256_GCM: "AES-256-GCM",
  CHACHA20_POLY1305: "ChaCha20-Poly1305",
  AES_128_CCM_8: "AES-128-CCM-8",
};

/** Return a suite's name. */
export function suite(name) {
  return SUITES[name] ?? (name ?? "none").replaceAll("_", "-");
}
