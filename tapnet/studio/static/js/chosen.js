/** What can be done to the chosen point. */
import { iconButton } from "./dialog.js";
import { clickAt, rangeAt } from "./content.js";
import { fill, h, moment } from "./dom.js";
import { icon } from "./icons.js";
import { swatch } from "./palette.js";
import { newSpot } from "./paths.js";
/** @typedef {import("./editor.js").Editor} Editor */

const spot = newSpot();
const WAYS = [
  ["tracker", "Tracker", "A network finds the point on every frame; best for most videos"],
  ["flow", "Flow", "The path that agrees best with the optical flow between clicks"],
  ["linear", "Straight", "A straight line from click to click"],
];

/**
 * The choice of the way in which points are followed, and of the model.
 * @param {{name: string}[]} models @param {{assist: string, model: string}} now @param {(values: {assist?: string, model?: string}) => void} change
 */
export function followFields(models, now, change) {
  const model = h("select", { "aria-label": "Model" }, ...models.map(({ name }) => h("option", { value: name, selected: name === now.model }, name)));
  if (!models.some(({ name }) => name === now.model) && now.model) model.prepend(h("option", { value: now.model, selected: true }, now.model));
  const buttons = WAYS.map(([value, words, title]) => h("button", { type: "button", title, "data-value": value, "aria-pressed": String(value === now.assist) }, words));
  const group = h("div", { class: "segments", role: "group", "aria-label": "How the point is followed" }, ...buttons);
  model.hidden = now.assist !== "tracker";
  group.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const value = /** @type {HTMLElement} */ (event.target).closest("button")?.getAttribute("data-value");
    if (!value) return;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.getAttribute("data-value") === value));
    model.hidden = value !== "tracker";
    change({ assist: value });
  });
  model.addEventListener("change", () => change({ model: model.value }));
  return h("div", { class: "follow-fields" }, group, model);
}

/** @param {Editor} editor @param {{name: string}[]} models @param {Record<string, () => void>} act @returns {HTMLElement} */
export function chosenPanel(editor, models, act) {
  const panel = h("section", { class: "chosen", "aria-label": "Chosen point" });
  const here = h("p", { class: "here" });
  const by = h("p", { class: "muted small" });
  const hide = h("button", { type: "button", onclick: () => editor.toggleHidden() });
  const unclick = h("button", { type: "button", title: "Take back the click on this frame (⌫)", onclick: () => editor.removeClick() }, icon("close"), h("span", {}, "Unclick"));
  let shown = "";
  const draw = () => {
    const { track } = editor;
    const now = track ? JSON.stringify([track.key, track.content.name, track.content.object, track.content.assist, track.content.model]) : "";
    if (now === shown) return update();
    const typing = panel.contains(document.activeElement) && /** @type {HTMLElement} */ (document.activeElement).tagName === "INPUT";
    if (typing && track && shown.startsWith(`["${track.key}"`)) return update();
    shown = now;
    panel.hidden = !track;
    if (!track) return fill(panel);
    const field = (/** @type {"name"|"object"} */ name, /** @type {string} */ words, /** @type {string} */ hint) => {
      const input = h("input", { type: "text", value: track.content[name], placeholder: hint, "aria-label": words, maxlength: "200" });
      input.addEventListener("change", () => editor.describe({ [name]: input.value.trim() }, "name"));
      input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && input.blur());
      return input;
    };
    fill(
      panel,
      h("header", {},
        swatch(track.color),
        field("name", "Name of the point", `Point ${track.number}`),
        iconButton("history", "History of this point", act.history, { key: "H" }),
        iconButton("trash", "Delete this point", () => editor.remove(), { key: "Delete" }),
        iconButton("close", "Let go of the point", () => editor.choose(null), { key: "Esc" })),
      field("object", "What the point is a part of", "Part of… (optional)"),
      here,
      h("div", { class: "buttons" }, hide, unclick),
      followFields(models, track.content, (values) => editor.describe(values, "assist")),
      by,
    );
    update();
  };
  const update = () => {
    const { track } = editor;
    by.hidden = !track?.changedBy || !editor.me.login_required;
    if (track) by.textContent = [`Last changed by ${track.changedBy}`, moment(track.changedAt)].filter(Boolean).join(", ");
    frame();
  };
  const frame = () => {
    const { track } = editor;
    if (!track) return;
    const at = editor.frames.shown;
    const known = editor.paths.at(track, at, spot);
    const covered = rangeAt(track.content, at);
    const click = clickAt(track.content, at);
    here.textContent = words(known, Boolean(click), Boolean(covered), Boolean(editor.paths.all.get(track.key)?.guess));
    unclick.disabled = !click;
    const title = covered ? "Seen again from this frame on (X)" : "Hidden from this frame on (X)";
    if (hide.title === title) return; // the same on most frames
    hide.title = title;
    fill(hide, icon(covered ? "eye" : "hidden"), h("span", {}, covered ? "Seen from here" : "Hidden from here"));
  };
  editor.on("chosen", draw);
  editor.on("changed", draw);
  editor.on("frame", frame);
  draw();
  panel.hidden = true;
  return panel;
}

/** @param {boolean} known @param {boolean} clicked @param {boolean} covered @param {boolean} guess */
function words(known, clicked, covered, guess) {
  if (covered) return "On this frame: marked as hidden.";
  if (clicked) return "On this frame: clicked by hand.";
  if (!known) return "On this frame: not followed yet.";
  if (guess) return "On this frame: being followed…";
  return `On this frame: ${spot.visible ? "followed" : "thought to be hidden"}, ${Math.round(100 * spot.confidence)} % sure. Drag to correct.`;
}
