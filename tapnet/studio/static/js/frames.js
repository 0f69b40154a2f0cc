/**
 * The pictures of a video, exact to the frame. `shown` is the frame that `image` is of: tracks are
 * painted for it and for no other. A `<video>` that plays the file gives the pictures (it is sent to
 * the time of a frame + 1 ms); single images of the server stand in while it seeks, and for files
 * that browsers cannot play.
 */
import { Signals } from "./signal.js";
import { pause } from "./waiting.js";
/** @typedef {import("./types.js").Video} Video */

const CACHE_BYTES = 300e6; // decoded images
const PREFETCHED = 5; // frames to the side we move to
const PATIENCE = 120; // ms that a seek may take before an image is asked for as well
const REST = 180; // ms on one frame, before its neighbours are fetched

export class Frames extends Signals {
  /** @param {Video} video @param {HTMLVideoElement} element */
  constructor(video, element) {
    super();
    this.video = video;
    this.element = element;
    this.times = Float64Array.from(video.times);
    this.shown = -1;
    this.target = 0;
    this.direction = 1;
    /** @type {CanvasImageSource|null} */
    this.image = null;
    this.held = document.createElement("canvas");
    this.held.width = video.width;
    this.held.height = video.height;
    this.offset = 0; // what the browser counts as the time of the first frame
    this.seeking = -1;
    /** @type {Map<number, ImageBitmap>} the longest unused first */
    this.cache = new Map();
    /** @type {Map<number, AbortController>} */
    this.loading = new Map();
    this.failed = 0;
    this.plays = false; // the <video> is ready and found exact
    this.source = "image";
    this.closed = false;
    if (video.playable) this.open();
  }

  get count() {
    return this.times.length;
  }

  open() {
    const { element } = this;
    element.muted = true;
    element.playsInline = true;
    element.preload = "auto";
    element.src = `/api/videos/${this.video.id}/file?v=${this.video.stamp}`;
    element.addEventListener("error", () => this.giveUp());
    element.addEventListener("seeked", () => this.seeked());
    element.addEventListener("loadeddata", () => this.ready(), { once: true });
  }

  /** Images of the server from here on. */
  giveUp() {
    this.plays = false;
    this.seeking = -1;
    if (this.shown !== this.target) this.load(this.target);
  }

  async ready() {
    const time = await Promise.race([this.presented(), pause(300)]);
    if (typeof time === "number") this.offset = time - this.times[0];
    this.plays = true;
    this.seek(this.target);
  }

  /** Shows a frame as soon as can be. @param {number} frame */
  want(frame) {
    const n = Math.max(0, Math.min(this.count - 1, Math.round(frame)));
    if (n !== this.target) this.direction = n > this.target ? 1 : -1;
    this.target = n;
    this.emit("target");
    if (n === this.shown) return;
    const kept = this.cache.get(n);
    if (kept) this.show(n, kept, "image");
    if (kept) this.settleIn(REST);
    else if (this.plays) {
      this.seek(n);
      this.settleIn(PATIENCE);
    } else {
      this.load(n);
      this.settleIn(0);
    }
  }

  /** @param {number} ms */
  settleIn(ms) {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.settle(), ms);
  }

  /** After a moment on one frame: the picture of the video itself, and the neighbours. */
  settle() {
    if (this.closed) return;
    if (this.plays && this.shown !== this.target) {
      this.load(this.target);
      return this.settleIn(REST);
    }
    if (this.plays && this.source === "image") this.seek(this.target);
    this.prefetch();
  }

  /** @param {number} frame */
  seek(frame) {
    if (this.seeking >= 0) return; // `seeked` goes on to the newest target
    this.seeking = frame;
    this.picture = this.presented();
    this.element.currentTime = this.times[frame] + this.offset + 0.001;
  }

  async seeked() {
    const frame = this.seeking;
    if (frame < 0 || this.closed) return;
    const time = await Promise.race([this.picture, pause(100)]);
    this.seeking = -1;
    if (!this.plays || this.closed) return;
    if (typeof time === "number" && this.indexOf(time - this.offset) !== frame) return this.giveUp();
    if (frame === this.target) this.hold(frame);
    else if (this.shown !== this.target) this.seek(this.target);
  }

  /** The time of the picture that the <video> shows next, if the browser says it. @returns {Promise<number>} */
  presented() {
    return new Promise((resume) => this.element.requestVideoFrameCallback?.((_, about) => resume(about.mediaTime)));
  }

  /** Takes the picture that the <video> has now. @param {number} frame */
  hold(frame) {
    this.held.getContext("2d", { alpha: false })?.drawImage(this.element, 0, 0, this.held.width, this.held.height);
    this.show(frame, this.held, "video");
  }

  /** @param {number} frame @param {CanvasImageSource} image @param {string} source */
  show(frame, image, source) {
    this.shown = frame;
    this.image = image;
    this.source = source;
    this.emit("shown", frame);
  }

  /** The frame on show at a time. @param {number} seconds */
  indexOf(seconds) {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.times[middle] <= seconds + 0.0005) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Gets the image of a frame from the server. @param {number} frame */
  async load(frame) {
    if (this.loading.has(frame) || this.closed) return;
    const control = new AbortController();
    this.loading.set(frame, control);
    try {
      const height = Math.min(this.video.height, 1080);
      const url = `/api/videos/${this.video.id}/frames/${frame}?height=${height}&format=jpg&v=${this.video.stamp}`;
      const response = await fetch(url, { signal: control.signal });
      if (!response.ok) throw new Error(`frame ${frame}: ${response.status}`);
      const bitmap = await createImageBitmap(await response.blob());
      if (this.closed) return bitmap.close();
      this.failed = 0;
      this.keep(frame, bitmap);
      if (frame === this.target && this.shown !== frame) this.show(frame, bitmap, "image");
    } catch (error) {
      if (control.signal.aborted || this.closed) return;
      this.failed += 1;
      if (frame === this.target) setTimeout(() => this.again(), Math.min(8000, 400 * 2 ** this.failed));
      if (this.failed === 3) this.emit("failed", error);
    } finally {
      this.loading.delete(frame);
    }
  }

  again() {
    if (this.shown !== this.target && !this.closed) this.load(this.target);
  }

  /** @param {number} frame @param {ImageBitmap} bitmap */
  keep(frame, bitmap) {
    this.cache.set(frame, bitmap);
    const room = Math.max(24, CACHE_BYTES / (4 * bitmap.width * bitmap.height));
    for (const [oldest, image] of this.cache) {
      if (this.cache.size <= room) break;
      if (oldest === this.shown) continue;
      this.cache.delete(oldest);
      image.close();
    }
  }

  /** Neighbours of the target, the nearest first; stops what is no longer near. @param {number} [ahead] */
  prefetch(ahead = PREFETCHED) {
    const near = new Set([this.target]);
    for (let i = 1; i <= ahead; i++) near.add(this.target + i * this.direction);
    for (let i = 1; i <= 2; i++) near.add(this.target - i * this.direction);
    for (const [frame, control] of this.loading) if (!near.has(frame)) control.abort();
    for (const frame of near) {
      if (this.loading.size >= 3) break;
      if (frame >= 0 && frame < this.count && !this.cache.has(frame) && !this.loading.has(frame)) {
        this.load(frame).then(() => this.loading.size < 3 && !this.closed && this.prefetch(ahead));
      }
    }
  }

  close() {
    this.closed = true;
    clearTimeout(this.rest);
    for (const control of this.loading.values()) control.abort();
    for (const bitmap of this.cache.values()) bitmap.close();
    this.cache.clear();
    this.image = null; // it may be one of them, and a paint may be on its way
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
  }
}
