/** The panel beside the picture: the points, and what can be done to the chosen one. */
import { menu } from "./dialog.js";
import { counted, fill, h, remembered } from "./dom.js";
import { icon } from "./icons.js";
import { PointList } from "./list.js";
import { chosenPanel, followFields } from "./chosen.js";
import { preferences } from "./prefs.js";
import { Tracks } from "./tracks.js";
/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {{words: string, left: number}} Look  `left`: how many places are not looked at yet */

/** @param {Editor} editor @param {{name: string}[]} models @param {Record<string, () => void>} act @returns {HTMLElement} */
export function sidePanel(editor, models, act) {
  const title = h("h2", {});
  const grid = h("button", { type: "button", class: "quiet", "data-grid": true, title: "Grid of points (G)" }, icon("grid"), h("span", {}, "Grid"));
  menu(grid, () => [gridPanel(editor)], { role: "dialog", label: "Grid of points" });
  const follow = h("button", { type: "button", class: "quiet", title: "How new points are followed" });
  menu(follow, () => [followPanel(editor, models)], { role: "dialog", label: "How points are followed" });
  const list = new PointList(editor);
  const empty = h("div", { class: "empty-side" });
  const suggest = h("div", { class: "suggest" });
  const update = () => {
    const n = editor.tracks.list.length;
    title.textContent = n ? counted(n, "point") : "Points";
    list.element.hidden = n === 0;
    fill(empty, ...(n === 0 && editor.ready ? emptySide() : []));
    empty.hidden = n !== 0;
  };
  const updateFollow = () => {
    const { assist, model } = preferences.values;
    const names = { flow: "Optical flow", linear: "Straight lines" };
    const now = names[/** @type {"flow"} */ (assist)] ?? model;
    fill(follow, icon("spark"), h("span", {}, now));
    follow.setAttribute("aria-label", `Points are followed by ${now}; change`);
  };
  const suggestions = remembered((/** @type {Look} */ look) => suggestion(editor, look));
  const updateSuggest = () => fill(suggest, ...suggestions(nextLook(editor)));
  editor.on("changed", update);
  editor.on("suggestions", updateSuggest);
  preferences.during(follow, "changed", updateFollow);
  update();
  updateFollow();
  return h(
    "aside",
    { class: "side", "aria-label": "Points" },
    h("header", { class: "side-head" }, title, h("span", { class: "gap" }), follow, grid),
    empty, list.element, suggest, chosenPanel(editor, models, act),
  );
}

function emptySide() {
  return [
    icon("cursor"),
    h("p", { class: "strong" }, "No points yet"),
    h("p", {}, "Click what you want to follow, on any frame."),
    h("p", {}, "Or spread a ", h("b", {}, "Grid"), " over the whole picture."),
  ];
}

/** Where to look next, in words, if anywhere. @param {Editor} editor @returns {Look[]} */
function nextLook(editor) {
  const { suggestions, unvisited } = editor;
  if (!suggestions.length) return [];
  const next = unvisited[0] ?? suggestions[0];
  const track = editor.tracks.byId(next.track);
  const name = track ? Tracks.label(track) : "A point";
  return [{ words: `${name}, frame ${next.frame}: ${next.reason}`, left: unvisited.length }];
}

/** @param {Editor} editor @param {Look} look */
function suggestion(editor, { words, left }) {
  return h("button", { type: "button", class: "look", title: "Look here next (N)", onclick: () => editor.lookNext() },
    icon("flag"),
    h("span", { class: "look-words" }, h("b", {}, left ? "Look here next" : "All looked at"), h("small", {}, words)),
    h("span", { class: "count", title: "not looked at yet" }, String(left)));
}

/** @param {Editor} editor */
function gridPanel(editor) {
  const count = h("input", { type: "range", min: "4", max: "400", step: "1", value: preferences.values.gridCount, "aria-label": "Number of points" });
  const shown = h("output", {});
  const update = () => {
    const [columns, rows] = editor.gridSize(Number(count.value));
    shown.textContent = `${columns * rows} points, ${columns} × ${rows}`;
  };
  count.addEventListener("input", update);
  update();
  const add = () => {
    preferences.set({ gridCount: Number(count.value) });
    editor.addGrid(Number(count.value));
  };
  return h("div", { class: "panel-form" }, h("h3", {}, "Grid over this frame"), count, shown,
    h("p", { class: "muted" }, `Followed by ${preferences.values.assist === "tracker" ? preferences.values.model : preferences.values.assist}.`),
    h("button", { type: "button", class: "main", "data-close": true, onclick: add }, "Add points"));
}

/** @param {Editor} editor @param {{name: string}[]} models */
function followPanel(editor, models) {
  const fields = followFields(models, preferences.values, (values) => preferences.set(values));
  const all = () => editor.followAll(preferences.values.assist, preferences.values.model);
  const n = editor.tracks.list.length;
  return h("div", { class: "panel-form" }, h("h3", {}, "Follow new points by"), fields,
    n > 0 && h("button", { type: "button", "data-close": true, onclick: all }, `Use for ${n === 1 ? "the point" : `all ${n} points`} too`));
}
