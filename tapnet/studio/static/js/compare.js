/** Two passes over a video side by side: where they differ, and agreeing on a track. */
import { get, newName, post } from "./api.js";
import { attempt, iconButton, toast } from "./dialog.js";
import { counted, fill, h, sharpen, shortName } from "./dom.js";
import { Frames } from "./frames.js";
import { icon } from "./icons.js";
import { elsewhere, onButton } from "./keys.js";
import { rings } from "./painter.js";
import { swatch, themeColors } from "./palette.js";
import { decoded } from "./paths.js";
import { straight } from "./content.js";
import { preferences } from "./prefs.js";
import { sendBack } from "./team.js";
import { View } from "./view.js";
import { oncePerPicture } from "./waiting.js";
/** @typedef {import("./types.js").Content} Content */
/** @typedef {{user: string, stage: string, version: number, content: Content}} Pass */
/** @typedef {{track: number, median: number|null, max: number|null, visible_agreement: number|null, frames: number[], agreed: boolean, first: Pass, second: Pass}} Difference */

const COLORS = ["#45c8ad", "#ffb454"];
const AROUND = 12; // frames of the trails to each side

/** @param {import("./app.js").On} on */
export async function compareScreen({ root, app, left, id }) {
  const video = await get(`videos/${id}`);
  left.throwIfAborted();
  const screen = new Compare(video, app, left);
  left.addEventListener("abort", () => screen.close());
  fill(root, screen.element);
  await screen.load();
}

class Compare {
  /** @param {any} video @param {import("./app.js").App} app @param {AbortSignal} left */
  constructor(video, app, left) {
    this.app = app;
    this.video = video;
    const source = h("video", { class: "source", "aria-hidden": "true", tabindex: "-1" });
    this.frames = new Frames(video, source);
    this.view = new View(video.width, video.height);
    this.colors = themeColors();
    this.request = oncePerPicture(() => this.paint());
    /** @type {Difference[]} */
    this.found = [];
    this.at = -1;
    this.box = { width: 1, height: 1, ratio: 1 }; // of the strip
    /** @type {any[]} the paths of both passes of the track that is shown */
    this.paths = [];
    this.picture = h("canvas", { class: "picture", tabindex: "0", role: "img", "aria-label": "Both passes on one frame" });
    this.strip = h("canvas", { class: "strip", role: "img", "aria-label": "Distance between the passes over time" });
    this.rows = h("tbody");
    this.words = h("p", { class: "here" });
    this.agreeButton = h("button", { type: "button", class: "main", title: "Agree on this track (Enter)", onclick: () => this.agree() }, icon("check"), h("span", {}, "Agree"));
    this.side = h("aside", { class: "side" });
    this.element = h("main", { class: "editor compare" },
      h("header", { class: "bar" },
        h("a", { class: "button quiet square", href: `#/video/${video.id}`, title: "Back to the video", "aria-label": "Back to the video" }, icon("back")),
        h("h1", { class: "video-name" }, `Compare passes: ${shortName(video.name)}`), h("span", { class: "gap" }), ...app.controls()),
      h("section", { class: "stage" }, source, this.picture),
      h("section", { class: "deck" }, this.controls(), this.strip), this.side);
    this.listen(left);
  }

  controls() {
    return h("div", { class: "transport" },
      h("div", { class: "where" }, this.words),
      h("div", { class: "plays" },
        iconButton("previous", "Frame before", () => this.go(this.frames.target - 1), { key: "←" }),
        iconButton("next", "Next frame", () => this.go(this.frames.target + 1), { key: "→" }),
        h("button", { type: "button", class: "quiet", title: "Next frame where the passes differ (N)", onclick: () => this.nextDifference() }, icon("flag"), h("span", {}, "Next difference"))),
      h("div", { class: "far" }, this.key(0, "first pass"), this.key(1, "second pass")));
  }

  /** @param {number} i @param {string} words */
  key(i, words) {
    return h("span", { class: "mark" }, swatch(COLORS[i]), words);
  }

  /** @param {AbortSignal} left */
  listen(left) {
    this.frames.on("shown", this.request);
    this.frames.on("target", this.request);
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.picture);
    this.stop = preferences.on("theme", () => {
      this.colors = themeColors();
      this.request();
    });
    this.strip.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.scrub(event));
    this.strip.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => event.buttons && this.scrub(event));
    this.picture.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      event.preventDefault();
      this.view.zoom(Math.exp(-event.deltaY / 500), event.offsetX, event.offsetY);
      this.request();
    }, { passive: false });
    this.picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!event.buttons) return;
      this.view.pan(event.movementX, event.movementY);
      this.request();
    });
    document.addEventListener("keydown", (event) => this.keyed(event), { signal: left });
  }

  /** @param {KeyboardEvent} event */
  keyed(event) {
    if (elsewhere(event)) return;
    /** @type {Record<string, () => void>} */
    const does = {
      ArrowLeft: () => this.go(this.frames.target - (event.shiftKey ? 10 : 1)),
      ArrowRight: () => this.go(this.frames.target + (event.shiftKey ? 10 : 1)),
      ArrowUp: () => this.choose(this.at - 1),
      ArrowDown: () => this.choose(this.at + 1),
      n: () => this.nextDifference(),
      Enter: () => onButton(event) || this.agree(),
      Home: () => this.go(0),
      End: () => this.go(this.frames.count - 1),
    };
    if (!does[event.key]) return;
    if (event.key !== "Enter") event.preventDefault();
    does[event.key]();
  }

  async load() {
    this.found = await get(`videos/${this.video.id}/compare`);
    this.tasks = await get(`videos/${this.video.id}/tasks`);
    this.fillSide();
    if (this.found.length) await this.choose(Math.max(0, this.found.findIndex((one) => !one.agreed)));
    else this.go(0);
  }

  fillSide() {
    const lead = this.app.me.role !== "annotator";
    const left = this.found.filter((one) => !one.agreed).length;
    const back = (this.tasks ?? []).filter((/** @type {any} */ task) => task.state === "submitted");
    if (!this.found.length) {
      fill(this.side, h("div", { class: "empty-side" }, icon("compare"), h("p", { class: "strong" }, "Nothing to compare yet"), h("p", {}, "When a second person has refined the tracks of the first, both passes appear here.")));
      return;
    }
    fill(this.side,
      h("header", { class: "side-head" }, h("h2", {}, counted(this.found.length, "track")), h("span", { class: "gap" }), h("span", { class: left ? "tag" : "tag on" }, left ? `${left} to agree on` : "all agreed")),
      h("div", { class: "compare-rows" }, h("table", { class: "compare-table" }, h("thead", {}, h("tr", {}, h("th", {}, "Track"), h("th", { title: "Half of the frames differ by less" }, "median"), h("th", { title: "The largest distance" }, "most"), h("th", {}, "frames"), h("th", {}))), this.rows)),
      lead && h("div", { class: "buttons foot" }, this.agreeButton, ...back.slice(0, 2).map((/** @type {any} */ task) => h("button", { type: "button", onclick: () => sendBack(task, () => this.load()) }, `Send back to ${task.user}…`))));
    this.fillRows();
  }

  fillRows() {
    const px = (/** @type {number|null} */ value) => (value === null || value === undefined ? "–" : value.toFixed(1));
    fill(this.rows, ...this.found.map((one, i) =>
      h("tr", { "aria-selected": String(i === this.at), onclick: () => this.choose(i) },
        h("td", {}, h("button", { type: "button", class: "link", title: `${one.first.user}, then ${one.second.user}` }, one.second.content.name || `Track ${one.track}`)),
        h("td", {}, px(one.median)), h("td", {}, px(one.max)), h("td", {}, one.frames.length || "–"),
        h("td", {}, one.agreed && icon("check")))));
  }

  get now() {
    return this.found[this.at];
  }

  /** @param {number} i */
  async choose(i) {
    if (i < 0 || i >= this.found.length) return;
    this.at = i;
    this.fillRows();
    const one = this.now;
    this.agreeButton.disabled = one.agreed;
    this.paths = [straight(one.first.content), straight(one.second.content)];
    this.go(one.frames[0] ?? one.second.content.clicks[0]?.frame ?? 0);
    const [first, second] = await Promise.all([one.first, one.second].map((pass) => this.pathOf(one, pass)));
    if (this.now !== one) return;
    this.paths = [first, second];
    this.request();
  }

  /** @param {Difference} one @param {Pass} pass */
  async pathOf(one, pass) {
    try {
      return decoded(await get(`tracks/${one.track}/paths/${pass.version}`));
    } catch {
      return straight(pass.content); // not computed, or not kept
    }
  }

  /** @param {number} frame */
  go(frame) {
    this.frames.want(frame);
  }

  nextDifference() {
    const one = this.now;
    if (!one) return;
    const here = this.frames.target;
    const starts = one.frames.filter((frame, i) => i === 0 || frame !== one.frames[i - 1] + 1);
    const next = starts.find((frame) => frame > here);
    if (next !== undefined) return this.go(next);
    if (this.at + 1 < this.found.length) this.choose(this.at + 1);
  }

  async agree() {
    const one = this.now;
    if (!one || one.agreed || this.app.me.role === "annotator") return;
    const edit = { base_version: one.second.version, edit_id: newName() };
    if (!(await attempt(() => post(`tracks/${one.track}/agree`, edit)))) return this.load();
    one.agreed = true;
    toast(`Agreed on ${one.second.content.name || `track ${one.track}`}`, "good");
    const next = this.found.findIndex((other) => !other.agreed);
    this.fillSide();
    if (next >= 0) this.choose(next);
  }

  resize() {
    this.box = sharpen(this.strip);
    const { width, height } = sharpen(this.picture);
    this.view.resize(width, height);
    this.paint();
  }

  /** @param {PointerEvent} event */
  scrub(event) {
    const box = this.strip.getBoundingClientRect();
    const share = (event.clientX - box.left - 14) / (box.width - 28);
    this.go(Math.floor(share * this.frames.count));
  }

  /** Where a pass has the point. @param {number} i 0 or 1 @param {number} frame */
  spot(i, frame) {
    const path = this.paths[i];
    const k = path ? frame - path.start : -1;
    if (!path || k < 0 || k >= path.visible.length) return null;
    return { x: path.xy[2 * k], y: path.xy[2 * k + 1], visible: path.visible[k] === 1 };
  }

  paint() {
    const pen = this.picture.getContext("2d", { alpha: false });
    const { view, frames, colors } = this;
    const { ratio } = this.box;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colors.stage;
    pen.fillRect(0, 0, view.size.width, view.size.height);
    if (frames.image) pen.drawImage(frames.image, view.x, view.y, view.video.width * view.scale, view.video.height * view.scale);
    const spots = [0, 1].map((i) => this.spot(i, frames.shown));
    for (const i of [0, 1]) this.trail(pen, i);
    spots.forEach((spot, i) => spot && this.ring(pen, spot, COLORS[i], i ? 8 : 12));
    this.paintStrip();
    this.tell(spots);
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} i */
  trail(pen, i) {
    pen.beginPath();
    for (let frame = this.frames.shown - AROUND; frame <= this.frames.shown + AROUND; frame++) {
      const spot = this.spot(i, frame);
      if (!spot) continue;
      const at = this.view.toScreen(spot.x, spot.y);
      pen.lineTo(at.x, at.y);
    }
    pen.strokeStyle = COLORS[i];
    pen.lineWidth = 1.5;
    pen.globalAlpha = 0.7;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} pen @param {{x: number, y: number, visible: boolean}} spot @param {string} color @param {number} radius */
  ring(pen, spot, color, radius) {
    const at = this.view.toScreen(spot.x, spot.y);
    pen.setLineDash(spot.visible ? [] : [3, 3]);
    rings(pen, at, radius, [[5, "rgb(0 0 0 / 50%)"], [2.5, color]]);
    pen.setLineDash([]);
  }

  /** @param {({x: number, y: number, visible: boolean}|null)[]} spots */
  tell([a, b]) {
    const frame = Math.max(0, this.frames.shown);
    let words = `Frame ${frame}`;
    if (a && b) {
      if (a.visible !== b.visible) words += `: seen only in the ${a.visible ? "first" : "second"} pass`;
      else words += `: ${Math.hypot(a.x - b.x, a.y - b.y).toFixed(1)} px apart`;
    }
    this.words.textContent = words;
  }

  paintStrip() {
    const pen = this.strip.getContext("2d");
    const { colors } = this;
    const { width, height, ratio } = this.box;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const x = (/** @type {number} */ frame) => 14 + ((width - 28) * (frame + 0.5)) / this.frames.count;
    const room = Math.max(1, (width - 28) / this.frames.count);
    pen.fillStyle = colors.faint;
    pen.beginPath();
    pen.roundRect(10, 8, width - 20, height - 16, 6);
    pen.fill();
    const most = Math.max(4, this.now?.max ?? 0);
    const marked = new Set(this.now?.frames ?? []);
    for (let frame = 0; frame < this.frames.count; frame++) {
      const [a, b] = [this.spot(0, frame), this.spot(1, frame)];
      if (marked.has(frame)) {
        pen.fillStyle = colors.warn;
        pen.globalAlpha = 0.25;
        pen.fillRect(x(frame) - room / 2, 8, room, height - 16);
        pen.globalAlpha = 1;
      }
      if (!a || !b || !a.visible || !b.visible) continue;
      const far = Math.min(1, Math.hypot(a.x - b.x, a.y - b.y) / most);
      pen.fillStyle = marked.has(frame) ? colors.warn : colors.accent;
      pen.fillRect(x(frame) - room / 2, height - 8 - far * (height - 22) - 1, room, far * (height - 22) + 1);
    }
    pen.fillStyle = colors.text;
    pen.fillRect(x(this.frames.target) - 1, 2, 2, height - 4);
    pen.fillStyle = colors.muted;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "top";
    if (this.now) pen.fillText(`${most.toFixed(0)} px`, 18, 12);
  }

  close() {
    this.watch?.disconnect();
    this.stop?.();
    this.frames.close();
  }
}
