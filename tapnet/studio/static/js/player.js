/** Playing forward and back. The <video> plays forward when it can; else frame after frame. */
import { Signals } from "./signal.js";
import { nextPicture } from "./waiting.js";
/** @typedef {import("./frames.js").Frames} Frames */

const FASTEST = 4;

export class Player extends Signals {
  /** @param {Frames} frames */
  constructor(frames) {
    super();
    this.frames = frames;
    this.rate = 0; // 0: standing; below 0: backwards
    this.run = 0;
  }

  get playing() {
    return this.rate !== 0;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play(1);
  }

  /** L and J: as fast as asked, twice as fast when asked again. @param {1|-1} way */
  shuttle(way) {
    const same = Math.sign(this.rate) === way;
    this.play(same ? way * Math.min(FASTEST, 2 * Math.abs(this.rate)) : way);
  }

  /** @param {number} rate */
  play(rate) {
    this.stop();
    const { frames } = this;
    const last = frames.count - 1;
    if (rate > 0 && frames.target >= last) frames.want(0);
    if (rate < 0 && frames.target <= 0) frames.want(last);
    this.rate = rate;
    this.emit("changed");
    const run = ++this.run;
    if (rate > 0 && frames.plays) this.playVideo(run);
    else this.playImages(run);
  }

  pause() {
    const { frames } = this;
    this.stop();
    this.emit("changed");
    frames.target = Math.max(0, frames.shown);
    frames.emit("target");
    frames.settle();
  }

  stop() {
    this.rate = 0;
    this.run += 1;
    this.frames.element.pause();
  }

  /** @param {number} run */
  async playVideo(run) {
    const { frames } = this;
    const { element } = frames;
    while (frames.seeking >= 0 && run === this.run) await nextPicture();
    if (run !== this.run) return;
    const start = frames.times[frames.target] + frames.offset + 0.001;
    if (Math.abs(element.currentTime - start) > 0.002) element.currentTime = start;
    element.playbackRate = this.rate;
    /** @param {number} _ @param {{mediaTime: number}} about */
    const step = (_, about) => {
      if (run !== this.run) return;
      const frame = frames.indexOf(about.mediaTime - frames.offset);
      frames.target = frame;
      frames.emit("target");
      frames.hold(frame);
      if (frame >= frames.count - 1) this.pause();
      else element.requestVideoFrameCallback(step);
    };
    element.requestVideoFrameCallback(step);
    element.addEventListener("ended", () => run === this.run && this.pause(), { once: true });
    try {
      await element.play();
    } catch {
      if (run === this.run) this.playImages(run);
    }
  }

  /** Waits for the image of every frame: slow rather than with gaps. @param {number} run */
  async playImages(run) {
    const { frames } = this;
    const way = Math.sign(this.rate);
    let due = performance.now();
    for (let frame = frames.target; ; ) {
      const next = frame + way * (Math.abs(this.rate) > 2 ? 2 : 1);
      if (run !== this.run) return;
      if (next < 0 || next >= frames.count) return this.pause();
      const seconds = Math.abs(frames.times[next] - frames.times[frame]) / Math.abs(this.rate);
      due = Math.max(due + 1000 * seconds, performance.now() - 100);
      frames.target = next;
      frames.direction = way;
      frames.emit("target");
      frames.prefetch(24);
      while (run === this.run && (performance.now() < due || !frames.cache.has(next))) {
        if (!frames.cache.has(next)) frames.load(next);
        await nextPicture();
      }
      const image = frames.cache.get(next);
      if (run !== this.run || !image) return;
      frames.show(next, image, "image");
      frame = next;
    }
  }
}
