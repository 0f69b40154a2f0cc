/** The list of points: only the lines in sight exist, so that thousands of points are as quick as ten. */
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { newSpot } from "./paths.js";
import { Tracks } from "./tracks.js";
import { oncePerPicture } from "./waiting.js";
/** @typedef {import("./editor.js").Editor} Editor */

const LINE = 36; // CSS pixels
const spot = newSpot();

export class PointList {
  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.space = h("div", { class: "list-space" });
    this.element = h("div", { class: "points", role: "listbox", tabindex: "0", "aria-label": "Points" }, this.space);
    /** @type {HTMLElement[]} */
    this.lines = [];
    this.request = oncePerPicture(() => this.update());
    this.element.addEventListener("scroll", () => this.request());
    this.element.addEventListener("click", (/** @type {MouseEvent} */ event) => this.clicked(event));
    new ResizeObserver(() => this.request()).observe(this.element);
    for (const name of ["changed", "chosen", "frame", "jobs"]) editor.on(name, () => this.request());
    editor.on("reveal", () => this.reveal());
    editor.outbox.on("changed", () => this.request());
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const line = /** @type {HTMLElement} */ (event.target).closest("[data-key]");
    const key = line?.getAttribute("data-key");
    if (!key) return;
    const sign = /** @type {HTMLElement} */ (event.target).closest(".state");
    if (sign && line?.getAttribute("data-state") === "stuck") this.editor.followAgain();
    this.editor.choose(this.editor.chosen === key ? null : key);
  }

  reveal() {
    const at = this.editor.tracks.list.findIndex((track) => track.key === this.editor.chosen);
    if (at < 0) return;
    const { element } = this;
    if (at * LINE < element.scrollTop) element.scrollTop = at * LINE;
    const below = (at + 1) * LINE - element.clientHeight;
    if (below > element.scrollTop) element.scrollTop = below;
  }

  update() {
    const { list } = this.editor.tracks;
    const { element, space } = this;
    space.style.height = `${list.length * LINE}px`;
    const first = Math.max(0, Math.floor(element.scrollTop / LINE) - 2);
    const needed = Math.min(list.length - first, Math.ceil(element.clientHeight / LINE) + 4);
    while (this.lines.length < needed) this.lines.push(this.newLine());
    this.lines.forEach((line, i) => {
      line.hidden = i >= needed;
      if (i < needed) this.show(line, list[first + i], first + i);
    });
    const chosen = list.findIndex((track) => track.key === this.editor.chosen);
    if (chosen >= 0) element.setAttribute("aria-activedescendant", `point-${list[chosen].number}`);
    else element.removeAttribute("aria-activedescendant");
  }

  newLine() {
    const line = h("div", { class: "point", role: "option" },
      h("span", { class: "number" }), h("i", { class: "swatch" }), h("span", { class: "name" }),
      h("span", { class: "state" }), h("span", { class: "sure" }));
    this.space.append(line);
    return line;
  }

  /** @param {HTMLElement} line @param {import("./types.js").Track} track @param {number} i */
  show(line, track, i) {
    const { editor } = this;
    const known = editor.paths.at(track, editor.frames.shown, spot);
    const saving = editor.outbox.entries.length > 0 && editor.outbox.of(track.key).length > 0;
    const busy = !saving && !editor.paths.complete(track) && track.content.assist !== "imported";
    const seen = !known ? "elsewhere" : spot.clicked && spot.visible ? "clicked" : spot.visible ? "seen" : "hidden";
    const state = saving ? "saving" : busy ? (editor.stuck ? "stuck" : "following") : seen;
    const [number, swatch, name, sign, sure] = /** @type {any} */ (line.children);
    const words = Tracks.label(track);
    line.style.transform = `translateY(${i * LINE}px)`;
    line.id = `point-${track.number}`;
    line.setAttribute("data-key", track.key);
    line.setAttribute("aria-selected", String(track.key === editor.chosen));
    line.setAttribute("aria-posinset", String(i + 1));
    line.setAttribute("aria-setsize", String(editor.tracks.list.length));
    line.setAttribute("data-state", state);
    number.textContent = String(track.number);
    swatch.style.background = track.color;
    swatch.className = `swatch ${seen}`;
    if (track.content.object) {
      name.textContent = words;
      name.append(h("small", {}, track.content.object));
    } else name.textContent = words;
    const signs = { hidden: "hidden", clicked: "target", saving: "waiting", following: "spark", stuck: "warning" };
    const kind = signs[/** @type {"hidden"} */ (state)];
    if (sign.getAttribute("data-kind") !== (kind ?? "")) {
      sign.setAttribute("data-kind", kind ?? "");
      sign.replaceChildren(...(kind ? [icon(/** @type {any} */ (kind))] : []));
    }
    sure.textContent = state === "seen" && !editor.paths.all.get(track.key)?.guess ? `${Math.round(100 * spot.confidence)} %` : "";
    const told = { saving: "being saved", following: "being followed", stuck: "not followed to the end; click the sign to try again", hidden: "hidden on this frame", clicked: "clicked on this frame", seen: "followed", elsewhere: "not on this frame" };
    line.title = `${words}: ${told[state]}`;
    line.setAttribute("aria-label", line.title);
  }
}
