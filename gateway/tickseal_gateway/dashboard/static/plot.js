// Plots on a canvas: a line over the last minutes, which ends where the data end.

/** Points of one series, in the order of time, no more than fit. */
export class Series {
  constructor(most = 1500) {
    this.times = [];
    this.values = [];
    this.most = most;
  }

  /** Add a point, ms since 1970 UTC; one that is not newer is left out. */
  add(time, value) {
    if (typeof value !== "number" || time <= (this.times.at(-1) ?? -Infinity)) return;
    this.times.push(time);
    this.values.push(value);
    if (this.times.length > this.most * 1.2) {
      this.times.splice(0, this.times.length - this.most);
      this.values.splice(0, this.values.length - this.most);
    }
  }

  /** Put older points in front. */
  addBefore(points) {
    const first = this.times[0] ?? Infinity;
    const older = points.filter(([time]) => time < first);
    this.times.unshift(...older.map(([time]) => time));
    this.values.unshift(...older.map(([, value]) => value));
  }

  /** Return the index of the first point at or after a time. */
  indexAt(time) {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Return [lowest, highest] since a time, or null. */
  range(since) {
    let lowest = Infinity;
    let highest = -Infinity;
    for (let i = this.indexAt(since); i < this.values.length; i++) {
      if (this.values[i] < lowest) lowest = this.values[i];
      if (this.values[i] > highest) highest = this.values[i];
    }
    return lowest <= highest ? [lowest, highest] : null;
  }
}

const colours = { line: "", fill: "", grid: "", text: "", stale: "" };

/** Read the colours of the style sheet again: after the theme has changed. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of Object.keys(colours))
    colours[name] = style.getPropertyValue(`--plot-${name}`).trim();
}

/** Return the colours of the style sheet for what is drawn by hand. */
export function readStyle() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ...colours,
    well: of("--well"),
    ink: of("--ink"),
    head: of("--bad"),
    shade: of("--bar-shade"),
  };
}

/** A small plot without axes. */
export class Plot {
  constructor(series, span = 120_000) {
    this.series = series;
    this.span = span;
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.isVisible = false;
    visible.observe(this.canvas);
    owners.set(this.canvas, this);
  }

  close() {
    visible.unobserve(this.canvas);
  }

  /** Draw up to an instant, ms; `isStale` draws in grey. */
  draw(now, isStale) {
    if (!this.isVisible) return;
    const [context, width, height] = prepare(this.canvas);
    const since = now - this.span;
    const range = this.series.range(since);
    if (!range) return;
    const [lowest, highest] = padded(range);
    const x = (time) => ((time - since) / this.span) * (width - 5);
    const y = (value) => height - 3 - ((value - lowest) / (highest - lowest)) * (height - 8);
    const colour = isStale ? colours.stale : colours.line;
    trace(context, this.series, since, x, y, height, colour, isStale ? null : colours.fill);
    const last = this.series.times.length - 1;
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x(this.series.times[last]), y(this.series.values[last]), 2.5, 0, 7);
    context.fill();
  }
}

/** A large plot with axes and a cursor; `series` and `span` (ms) may be set anew at any time. */
export class LargePlot {
  constructor(format) {
    this.series = new Series();
    this.format = format;
    this.span = 300_000;
    this.cursor = null;
    /** What stands at the right end. */
    this.ends = "now";
    this.canvas = document.createElement("canvas");
    this.canvas.className = "large";
    this.canvas.addEventListener("pointermove", (event) => {
      this.cursor = event.offsetX;
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.cursor = null;
    });
  }

  draw(now, isStale) {
    const [context, width, height] = prepare(this.canvas);
    const since = now - this.span;
    const range = this.series.range(since);
    if (!range) return;
    const left = 64;
    const [lowest, highest, step] = rounded(range);
    const x = (time) => left + ((time - since) / this.span) * (width - left - 8);
    const y = (value) => height - 26 - ((value - lowest) / (highest - lowest)) * (height - 40);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.lineWidth = 1;
    for (let value = lowest; value <= highest + step / 2; value += step) {
      rule(context, left, y(value), width, y(value));
      context.textAlign = "right";
      context.fillText(this.format(Math.abs(value) < step / 1e6 ? 0 : value), left - 8, y(value));
    }
    const parts = Math.max(2, Math.min(5, Math.floor((width - left) / 130)));
    for (let part = 0; part < parts; part++) {
      const time = now - (part * this.span) / parts;
      context.textAlign = part === 0 ? "right" : "center";
      context.fillText(
        part === 0 ? this.ends : clock(time, this.span),
        part === 0 ? width : x(time),
        height - 8,
      );
    }
    trace(
      context,
      this.series,
      since,
      x,
      y,
      height - 26,
      isStale ? colours.stale : colours.line,
      isStale ? null : colours.fill,
    );
    if (this.cursor !== null) this.drawCursor(context, since, x, y, width, height, left);
  }

  drawCursor(context, since, x, y, width, height, left) {
    const time = since + ((this.cursor - left) / (width - left - 8)) * this.span;
    const at = Math.min(this.series.indexAt(time), this.series.times.length - 1);
    if (at < 0 || this.series.times[at] < since) return;
    const [px, py] = [x(this.series.times[at]), y(this.series.values[at])];
    rule(context, px, 8, px, height - 26);
    context.fillStyle = colours.line;
    context.beginPath();
    context.arc(px, py, 4, 0, 7);
    context.fill();
    context.fillStyle = colours.text;
    context.textAlign = px > width / 2 ? "right" : "left";
    context.fillText(
      `${this.format(this.series.values[at])}  ${clock(this.series.times[at], this.span)}`,
      px + (px > width / 2 ? -8 : 8),
      12,
    );
  }
}

function clock(time, span) {
  const options =
    span > 86_400_000
      ? { weekday: "short", hour: "2-digit", minute: "2-digit" }
      : { hour: "2-digit", minute: "2-digit", ...(span < 3_600_000 ? { second: "2-digit" } : {}) };
  return new Date(time).toLocaleString([], options);
}

const owners = new WeakMap();
const visible = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const plot = owners.get(entry.target);
    if (plot) plot.isVisible = entry.isIntersecting;
  }
});

function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.fillStyle = colours.text;
  context.strokeStyle = colours.grid;
  return [context, width, height];
}

function rule(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, Math.round(y1) + 0.5);
  context.lineTo(x2, Math.round(y2) + 0.5);
  context.stroke();
}

// A silence of several usual distances is a gap, never a line drawn over it.
function gapOf(series, since) {
  const first = series.indexAt(since);
  const points = series.times.length - first;
  if (points < 3) return Infinity;
  const steps = [];
  for (let i = first + 1; i < series.times.length; i += Math.max(1, points >> 5))
    steps.push(series.times[i] - series.times[i - 1]);
  steps.sort((a, b) => a - b);
  return Math.max(3000, steps[steps.length >> 1] * 5);
}

function trace(context, series, since, x, y, floor, colour, fill) {
  const gap = gapOf(series, since);
  const runs = [];
  let run = [];
  for (let i = Math.max(0, series.indexAt(since) - 1); i < series.times.length; i++) {
    if (run.length && series.times[i] - series.times[i - 1] > gap) {
      runs.push(run);
      run = [];
    }
    run.push([x(series.times[i]), y(series.values[i])]);
  }
  runs.push(run);
  context.lineJoin = "round";
  context.lineWidth = 1.75;
  context.strokeStyle = colour;
  for (const points of runs) {
    if (!points.length) continue;
    if (fill) {
      context.beginPath();
      context.moveTo(points[0][0], floor);
      for (const [px, py] of points) context.lineTo(px, py);
      context.lineTo(points.at(-1)[0], floor);
      context.fillStyle = fill;
      context.fill();
    }
    context.beginPath();
    for (const [px, py] of points) context.lineTo(px, py);
    context.stroke();
  }
}

function padded([lowest, highest]) {
  // A flat line in the middle, and noise of a millionth not blown up to the full height.
  const least = Math.max(Math.abs(highest) * 0.02, 1e-9);
  const missing = Math.max(0, least - (highest - lowest)) / 2;
  return [lowest - missing, highest + missing];
}

function rounded(range) {
  const [lowest, highest] = padded(range);
  const rough = (highest - lowest) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  return [Math.floor(lowest / step) * step, Math.ceil(highest / step) * step, step];
}
