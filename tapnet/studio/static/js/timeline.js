/** The whole video in a strip: clicks, hidden frames, confidence of the chosen point, where to look. */
import { rangeAt } from "./content.js";
import { themeColors } from "./palette.js";
import { clock, sharpen } from "./dom.js";
import { oncePerPicture } from "./waiting.js";
/** @typedef {import("./editor.js").Editor} Editor */

const SIDE = 14; // CSS pixels left and right
const RULER = 20;

export class Timeline {
  /** @param {Editor} editor @param {HTMLCanvasElement} canvas */
  constructor(editor, canvas) {
    this.editor = editor;
    this.canvas = canvas;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.request = oncePerPicture(() => this.paint());
    this.width = 1;
    this.height = 1;
    this.ratio = 1;
    /** the frames in sight, half-open */
    this.from = 0;
    this.to = editor.frames.count;
    this.colors = themeColors();
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", () => (this.dragging = false));
    canvas.addEventListener("pointercancel", () => (this.dragging = false));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.whole());
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(canvas);
  }

  recolor() {
    this.colors = themeColors();
    this.request();
  }

  resize() {
    Object.assign(this, sharpen(this.canvas));
    this.paint();
  }

  /** The middle of a frame, CSS pixels. @param {number} frame */
  x(frame) {
    return SIDE + ((frame + 0.5 - this.from) / (this.to - this.from)) * (this.width - 2 * SIDE);
  }

  /** @param {number} x */
  frame(x) {
    const share = (x - SIDE) / Math.max(1, this.width - 2 * SIDE);
    const frame = Math.floor(this.from + share * (this.to - this.from));
    return Math.max(0, Math.min(this.editor.frames.count - 1, frame));
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.button !== 0) return;
    this.dragging = true;
    this.canvas.setPointerCapture(event.pointerId);
    if (this.editor.playing) this.editor.player.pause();
    this.go(event);
  }

  /** @param {PointerEvent} event */
  drag(event) {
    if (this.dragging) this.go(event);
  }

  /** Goes to the frame under the pointer; to a flag, when it is on one. @param {PointerEvent} event */
  go(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const onFlags = event.clientY - box.top < RULER && event.type === "pointerdown";
    const flag = this.editor.suggestions.find((one) => onFlags && Math.abs(this.x(one.frame) - x) < 7);
    if (flag) this.editor.visit(flag);
    else this.editor.go(this.frame(x));
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    const count = this.editor.frames.count;
    const span = this.to - this.from;
    const moved = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (moved) return this.look(this.from + ((event.deltaX || event.deltaY) / 800) * span, span);
    const box = this.canvas.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left - SIDE) / (this.width - 2 * SIDE)));
    const middle = this.from + share * span;
    const next = Math.max(Math.min(20, count), Math.min(count, span * Math.exp(event.deltaY / 400)));
    this.look(middle - share * next, next);
  }

  /** @param {number} from @param {number} span */
  look(from, span) {
    const count = this.editor.frames.count;
    this.from = Math.max(0, Math.min(count - span, from));
    this.to = this.from + span;
    this.request();
  }

  whole() {
    this.look(0, this.editor.frames.count);
  }

  /** Brings the frame into sight when only a part of the video is shown. */
  followFrame() {
    const at = this.editor.frames.target;
    const span = this.to - this.from;
    if (at < this.from || at >= this.to) this.look(at - span / 2, span);
    this.request();
  }

  paint() {
    const { pen, width, height, ratio, colors } = this;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const top = RULER + 4;
    const band = height - top - 10;
    this.ruler();
    pen.fillStyle = colors.faint;
    pen.beginPath();
    pen.roundRect(SIDE - 4, top, width - 2 * SIDE + 8, band, 6);
    pen.fill();
    pen.save();
    pen.clip();
    const { track } = this.editor;
    if (track) this.one(track, top, band);
    else this.all(top, band);
    pen.restore();
    if (track) this.clicks(track, top, band);
    this.flags();
    this.playhead();
  }

  ruler() {
    const { pen, colors } = this;
    const span = this.to - this.from;
    const room = (this.width - 2 * SIDE) / span;
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
    const step = steps.find((value) => value * room >= 56) ?? 200000;
    pen.fillStyle = colors.muted;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    for (let frame = Math.ceil(this.from / step) * step; frame < this.to; frame += step) {
      const x = this.x(frame);
      pen.fillRect(x - 0.5, RULER - 3, 1, 4);
      if (x > 10 && x < this.width - 14) pen.fillText(String(frame), x, 9);
    }
    pen.textAlign = "start";
  }

  /** Confidence as height, hidden frames hatched. @param {import("./types.js").Track} track @param {number} top @param {number} band */
  one(track, top, band) {
    const { pen, colors } = this;
    const path = this.editor.paths.all.get(track.key);
    const left = this.x(this.from - 0.5);
    const right = this.x(this.to - 0.5);
    if (path) this.graph(left, right, top, band, track.color, path.guess ? 0.5 : 1, (frame) => {
      const i = frame - path.start;
      return path.visible[i] ? path.confidence[i] / 255 : 0;
    });
    for (const [start, end] of track.content.hidden) this.hatch(this.x(start - 0.5), this.x(end - 0.5), top, band);
    if (!path && !track.content.clicks.length) {
      pen.fillStyle = colors.muted;
      pen.fillText("No clicks yet", SIDE + 6, top + band / 2);
    }
  }

  /**
   * A curve with the area below it.
   * @param {number} left @param {number} right @param {number} top @param {number} band
   * @param {string} color @param {number} strength @param {(frame: number) => number} value 0..1; nothing is 0
   */
  graph(left, right, top, band, color, strength, value) {
    const { pen } = this;
    pen.beginPath();
    for (let x = left; x <= right; x += 1) {
      pen.lineTo(x, top + band - band * 0.84 * (value(this.frame(x)) || 0));
    }
    pen.strokeStyle = color;
    pen.lineWidth = 1.5;
    pen.globalAlpha = 0.9 * strength;
    pen.stroke();
    pen.lineTo(right, top + band + 2);
    pen.lineTo(left, top + band + 2);
    pen.fillStyle = color;
    pen.globalAlpha = 0.26 * strength;
    pen.fill();
    pen.globalAlpha = 1;
  }

  /** @param {number} left @param {number} right @param {number} top @param {number} band */
  hatch(left, right, top, band) {
    const { pen, colors } = this;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, right - left, band);
    pen.clip();
    pen.fillStyle = colors.panel;
    pen.globalAlpha = 0.75;
    pen.fillRect(left, top, right - left, band);
    pen.globalAlpha = 0.7;
    pen.strokeStyle = colors.muted;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let x = left - band - (left % 7); x < right; x += 7) {
      pen.moveTo(x, top + band);
      pen.lineTo(x + band, top);
    }
    pen.stroke();
    pen.restore();
  }

  /** Nothing chosen: how many points are seen on each frame. @param {number} top @param {number} band */
  all(top, band) {
    const { pen, colors, editor } = this;
    const { list } = editor.tracks;
    if (!list.length) return;
    const left = this.x(this.from - 0.5);
    const right = this.x(this.to - 0.5);
    const counts = editor.visibleCounts();
    this.graph(left, right, top, band, colors.accent, 1, (frame) => counts[frame] / list.length);
    pen.fillStyle = colors.accent;
    pen.globalAlpha = 0.8;
    for (const track of list) {
      for (const click of track.content.clicks) pen.fillRect(this.x(click.frame) - 0.75, top + band - 5, 1.5, 5);
    }
    pen.globalAlpha = 1;
  }

  /** @param {import("./types.js").Track} track @param {number} top @param {number} band */
  clicks(track, top, band) {
    const { pen, colors } = this;
    const y = top + band - 1;
    for (const { frame } of track.content.clicks) {
      if (frame < this.from - 1 || frame > this.to) continue;
      const x = this.x(frame);
      const covered = rangeAt(track.content, frame);
      pen.beginPath();
      pen.moveTo(x, y - 6);
      pen.lineTo(x + 6, y);
      pen.lineTo(x, y + 6);
      pen.lineTo(x - 6, y);
      pen.closePath();
      pen.lineWidth = 2;
      pen.strokeStyle = colors.panel;
      pen.stroke();
      pen.fillStyle = covered ? colors.muted : colors.text;
      pen.fill();
    }
  }

  flags() {
    const { pen, colors, editor } = this;
    pen.fillStyle = colors.warn;
    for (const one of editor.suggestions.slice(0, 60)) {
      if (one.frame < this.from || one.frame >= this.to) continue;
      const x = this.x(one.frame);
      pen.beginPath();
      pen.moveTo(x - 5, RULER - 7);
      pen.lineTo(x + 5, RULER - 7);
      pen.lineTo(x, RULER + 2);
      pen.closePath();
      pen.fill();
    }
  }

  playhead() {
    const { pen, colors, editor } = this;
    const x = this.x(editor.frames.target);
    const room = (this.width - 2 * SIDE) / (this.to - this.from);
    if (room > 3) {
      pen.fillStyle = colors.accent;
      pen.globalAlpha = 0.18;
      pen.fillRect(x - room / 2, RULER + 4, room, this.height - RULER - 14);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = colors.accent;
    pen.fillRect(x - 1, RULER - 2, 2, this.height - RULER + 2);
    const words = `${editor.frames.target}`;
    pen.font = "600 11px system-ui, sans-serif";
    const wide = Math.max(22, pen.measureText(words).width + 10);
    const left = Math.max(2, Math.min(this.width - wide - 2, x - wide / 2));
    pen.beginPath();
    pen.roundRect(left, 1, wide, 17, 5);
    pen.fill();
    pen.fillStyle = colors.panel;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(words, left + wide / 2, 10);
    pen.textAlign = "start";
    const time = editor.frames.times[editor.frames.target];
    this.canvas.setAttribute("aria-valuenow", words);
    this.canvas.setAttribute("aria-valuetext", `frame ${words}, ${clock(time)}`);
  }

  close() {
    this.watch.disconnect();
  }
}
