// Pictures onto a canvas, whatever their codec: JPEG each by itself, H.264 by the browser's decoder.

const WAITING_MOST = 8;

/** Why a codec cannot be shown here, for people; "" where it can. */
export function hindrance(codec) {
  if (codec === "jpeg" || codec === "mjpeg") return "";
  if (codec !== "h264") return `${codec} is not shown here`;
  if (typeof VideoDecoder !== "undefined") return "";
  return isSecureContext
    ? "this browser has no decoder for H.264"
    : "H.264 is shown over HTTPS, or on the gateway's own machine, only";
}

/** One canvas and what is drawn on it. */
export class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.decoder = null;
    this.config = "";
    this.fault = "";
    // Pictures before this, ms, are decoded for those that come after, and not drawn.
    this.since = -Infinity;
    this.sequences = new Map();
  }

  /**
   * Draw a picture: head {codec, width, height, sequence, is_key, time_ms} and its bytes.
   * Resolves when the next may come.
   */
  async draw(head, data) {
    const why = hindrance(head.codec);
    if (why) {
      this.fault = why;
      return;
    }
    if (head.codec === "h264") await this.decode(head, data);
    else {
      const bitmap = await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
      this.put(bitmap, bitmap.width, bitmap.height, head.sequence);
      this.fault = "";
    }
  }

  /** Forget what was decoded: what comes next does not follow it. */
  reset(since = -Infinity) {
    this.since = since;
    this.config = "";
    this.sequences.clear();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
  }

  put(image, width, height, sequence) {
    const { canvas } = this;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.aspectRatio = `${width} / ${height}`;
      canvas.dataset.sized = "true";
    }
    canvas.getContext("2d").drawImage(image, 0, 0);
    canvas.dataset.sequence = sequence;
    image.close();
  }

  async decode(head, data) {
    if (head.is_key) {
      const config = codecOf(data);
      if (!config) {
        this.fault = "a key picture without its parameters";
        return;
      }
      if (config !== this.config || this.decoder?.state !== "configured") this.begin(config);
    } else if (this.decoder?.state !== "configured") {
      return; // nothing can be seen before the next key picture
    }
    const timestamp = Math.round(head.time_ms * 1000);
    this.sequences.set(timestamp, head.sequence);
    if (this.sequences.size > 64) this.sequences.delete(this.sequences.keys().next().value);
    const type = head.is_key ? "key" : "delta";
    this.decoder.decode(new EncodedVideoChunk({ type, timestamp, data }));
    const { decoder } = this;
    while (decoder.state === "configured" && decoder.decodeQueueSize > WAITING_MOST)
      await new Promise((done) => decoder.addEventListener("dequeue", done, { once: true }));
  }

  begin(config) {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.config = config;
    const decoder = new VideoDecoder({
      output: (frame) => {
        if (decoder !== this.decoder || frame.timestamp / 1000 < this.since) {
          frame.close();
          return;
        }
        this.fault = "";
        const sequence = this.sequences.get(frame.timestamp) ?? "";
        this.put(frame, frame.displayWidth, frame.displayHeight, sequence);
      },
      error: (fault) => {
        if (decoder !== this.decoder) return;
        this.fault = `H.264 that this browser does not decode (${fault.message})`;
        this.decoder = null; // the next key picture begins anew
      },
    });
    this.decoder = decoder;
    decoder.configure({ codec: config, optimizeForLatency: true });
  }
}

// "avc1." and profile, constraints and level of the sequence parameter set (ISO/IEC 14496-15).
function codecOf(data) {
  for (let at = 0; at + 7 < data.length; at++) {
    if (data[at] || data[at + 1] || data[at + 2] !== 1) continue;
    if ((data[at + 3] & 31) !== 7) continue;
    const hex = [...data.subarray(at + 4, at + 7)].map((byte) => byte.toString(16).padStart(2, "0"));
    return `avc1.${hex.join("")}`;
  }
  return "";
}
