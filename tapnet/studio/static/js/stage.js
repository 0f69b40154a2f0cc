/** The canvas: paints when something changed, and turns pointers into clicks, drags, zoom and pan. */
import { rounded } from "./content.js";
import { sharpen } from "./dom.js";
import { newSpot } from "./paths.js";
import { paint } from "./painter.js";
import { View } from "./view.js";
import { themeColors } from "./palette.js";
import { oncePerPicture } from "./waiting.js";
/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {{x: number, y: number}} Place */

const REACH = { mouse: 11, pen: 14, touch: 24 }; // CSS pixels around a point
const STILL = 5; // CSS pixels that a click may move
const HOLD = 260; // ms until a finger that rests gets the magnifier
const FINE = 0.2; // of the way, with Shift held
const spot = newSpot();

export class Stage {
  /** @param {Editor} editor @param {HTMLCanvasElement} canvas */
  constructor(editor, canvas) {
    this.editor = editor;
    this.canvas = canvas;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.view = new View(editor.video.width, editor.video.height);
    this.ratio = 1;
    this.request = oncePerPicture(() => this.now());
    /** @type {Map<number, Place>} */
    this.pointers = new Map();
    /** @type {any} what the pointer is doing */
    this.gesture = null;
    /** @type {Place|null} */
    this.hover = null;
    /** @type {string|null} */
    this.hovered = null;
    /** @type {Place|null} the keyboard's cross, video pixels */
    this.ghost = null;
    this.space = false; // the space bar is held: the pointer pans
    /** @type {{place: Place, color: string}[]} */
    this.guides = [];
    this.timings = new Float32Array(240); // ms of the last paints
    this.paints = 0;
    this.listen();
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(canvas);
    this.recolor();
  }

  recolor() {
    this.stage = themeColors().stage;
    this.request();
  }

  resize() {
    const { width, height, ratio } = sharpen(this.canvas);
    this.ratio = ratio;
    this.view.resize(width, height);
    this.now();
    this.editor.emit("view");
  }

  now() {
    const begun = performance.now();
    const { editor, gesture } = this;
    const moving = gesture?.kind === "move" ? { key: gesture.key, place: gesture.place } : null;
    paint(this.pen, {
      view: this.view, ratio: this.ratio, image: editor.frames.image, frame: editor.frames.shown,
      list: editor.tracks.list, paths: editor.paths, chosen: editor.chosen, hovered: this.hovered,
      trail: editor.settings.trail, labels: editor.settings.labels, drag: moving, ghost: this.ghost,
      lens: this.lens(), stage: this.stage ?? "#000", guides: this.guides,
    });
    this.timings[this.paints++ % this.timings.length] = performance.now() - begun;
  }

  /** Another part of the video is in sight. */
  looks() {
    this.editor.emit("view");
    this.request();
  }

  /** Where the magnifier looks, if it is out. @returns {Place|null} */
  lens() {
    if (this.gesture?.kind === "move" || this.gesture?.kind === "aim") return this.gesture.place;
    if (this.ghost) return this.editor.settings.lens ? this.ghost : null;
    if (!this.editor.settings.lens || !this.hover || this.gesture) return null;
    return this.view.inside(this.hover.x, this.hover.y) ? this.view.toClick(this.hover.x, this.hover.y) : null;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.cancel(event));
    canvas.addEventListener("pointerleave", () => this.left());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** @param {MouseEvent} event @returns {Place} CSS pixels of the canvas */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** The nearest point within reach. @param {Place} at @param {number} reach @returns {string|null} */
  pointAt(at, reach) {
    const { editor, view } = this;
    let best = reach;
    let found = null;
    for (const track of editor.tracks.list) {
      if (!editor.paths.at(track, editor.frames.shown, spot)) continue;
      const p = view.toScreen(spot.x, spot.y);
      const far = Math.hypot(p.x - at.x, p.y - at.y) - (track.key === editor.chosen ? 2 : 0);
      if (far < best) [best, found] = [far, track.key];
    }
    return found;
  }

  /** @param {PointerEvent} event */
  down(event) {
    this.canvas.focus({ preventScroll: true });
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    this.canvas.setPointerCapture(event.pointerId);
    if (this.pointers.size === 2) return this.pinch();
    if (this.pointers.size > 2) return;
    if (event.button === 1 || (event.button === 0 && this.space)) {
      event.preventDefault();
      this.spaceUsed = this.space;
      this.gesture = { kind: "pan", from: at };
      return;
    }
    if (event.button !== 0 || !this.editor.usable) return;
    const touch = event.pointerType === "touch";
    const key = this.pointAt(at, REACH[/** @type {"mouse"} */ (event.pointerType)] ?? REACH.mouse);
    if (this.editor.playing) this.editor.player.pause();
    this.gesture = { kind: "press", from: at, key, touch, other: event.shiftKey, frame: this.editor.frames.shown };
    if (touch && !key) {
      const pressed = this.gesture;
      setTimeout(() => this.gesture === pressed && this.aim(pressed), HOLD);
    }
    if (key) this.editor.choose(key);
  }

  /** A finger rests: the magnifier comes out and the finger aims. @param {any} pressed */
  aim(pressed) {
    const at = this.view.toClick(pressed.from.x, pressed.from.y);
    this.gesture = { ...pressed, kind: "aim", place: at, start: at };
    this.request();
  }

  /** @param {PointerEvent} event */
  move(event) {
    const at = this.place(event);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, at);
    else if (this.pointers.size) return;
    const { gesture } = this;
    if (gesture?.kind === "pinch") return this.pinched();
    if (!gesture) return this.hoverAt(at);
    const dx = at.x - gesture.from.x;
    const dy = at.y - gesture.from.y;
    if (gesture.kind === "pan") {
      this.view.pan(dx, dy);
      gesture.from = at;
      this.looks();
    } else if (gesture.kind === "press" && Math.hypot(dx, dy) > STILL) {
      if (gesture.key) this.startMove(gesture);
      else this.gesture = { kind: "pan", from: at };
    }
    if (this.gesture?.kind === "move" || this.gesture?.kind === "aim") this.follow(this.gesture, at, event.shiftKey);
    this.request();
  }

  /** @param {any} gesture */
  startMove(gesture) {
    const track = this.editor.tracks.all.get(gesture.key);
    if (!track || !this.editor.paths.at(track, gesture.frame, spot)) return;
    const start = { x: spot.x, y: spot.y };
    this.gesture = { ...gesture, kind: "move", start, place: start };
    this.canvas.classList.add("moving");
  }

  /** The point goes with the pointer; five times slower with Shift. @param {any} gesture @param {Place} at @param {boolean} fine */
  follow(gesture, at, fine) {
    const share = (fine ? FINE : 1) / this.view.scale;
    const last = gesture.at ?? gesture.from;
    gesture.at = at;
    const { x, y } = gesture.place;
    gesture.place = this.view.within({ x: x + (at.x - last.x) * share, y: y + (at.y - last.y) * share });
  }

  /** @param {Place} at */
  hoverAt(at) {
    this.hover = at;
    const hovered = this.pointAt(at, REACH.mouse);
    if (hovered !== this.hovered) {
      this.hovered = hovered;
      this.canvas.classList.toggle("over", hovered !== null);
      this.request();
    }
    if (this.editor.settings.lens) this.request();
  }

  left() {
    this.hover = null;
    this.hovered = null;
    this.request();
  }

  /** @param {PointerEvent} event */
  up(event) {
    this.pointers.delete(event.pointerId);
    const { gesture } = this;
    if (gesture?.kind === "pinch" && this.pointers.size) return;
    this.end();
    if (!gesture) return;
    const { editor } = this;
    if (gesture.kind === "move" || gesture.kind === "aim") {
      const place = rounded(gesture.place);
      if (gesture.kind === "move") editor.place(gesture.key, gesture.frame, place);
      else editor.clicked(place, gesture.other);
    } else if (gesture.kind === "press" && !gesture.key && this.view.inside(gesture.from.x, gesture.from.y)) {
      editor.clicked(this.view.toClick(gesture.from.x, gesture.from.y), gesture.other);
    } else if (gesture.kind === "press" && gesture.key && gesture.other) {
      editor.place(gesture.key, gesture.frame, null);
    }
  }

  /** @param {PointerEvent} event */
  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.end();
  }

  /** Ends what the pointer does, without its effect. @returns {boolean} whether there was something */
  end() {
    const was = this.gesture !== null && this.gesture.kind !== "pan";
    this.gesture = null;
    this.canvas.classList.remove("moving");
    this.request();
    return was;
  }

  pinch() {
    const [a, b] = [...this.pointers.values()];
    this.gesture = { kind: "pinch", a, b, from: a };
    this.canvas.classList.remove("moving");
  }

  pinched() {
    const { gesture } = this;
    const [a, b] = [...this.pointers.values()];
    if (!a || !b) return;
    const middle = (/** @type {Place} */ p, /** @type {Place} */ q) => ({ x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 });
    const [old, now] = [middle(gesture.a, gesture.b), middle(a, b)];
    const wide = (/** @type {Place} */ p, /** @type {Place} */ q) => Math.hypot(p.x - q.x, p.y - q.y) || 1;
    this.view.zoom(wide(a, b) / wide(gesture.a, gesture.b), now.x, now.y);
    this.view.pan(now.x - old.x, now.y - old.y);
    Object.assign(gesture, { a, b });
    this.looks();
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    const at = this.place(event);
    const lines = event.deltaMode === 1 ? 30 : 1;
    if (event.shiftKey && !event.ctrlKey) this.view.pan(-event.deltaY * lines, -event.deltaX * lines);
    else this.view.zoom(Math.exp((-event.deltaY * lines * (event.ctrlKey ? 4 : 1)) / 500), at.x, at.y);
    this.looks();
  }

  /** @param {number} factor */
  zoom(factor) {
    const track = this.editor.track;
    const near = track && this.editor.paths.at(track, this.editor.frames.shown, spot);
    const at = near ? this.view.toScreen(spot.x, spot.y) : undefined;
    this.view.zoom(factor, at?.x, at?.y);
    this.looks();
  }

  fit() {
    this.view.fit();
    this.looks();
  }

  close() {
    this.watch.disconnect();
  }
}
