/** The bar below the picture: where we are, play and step; and the tools over the picture. */
import { iconButton } from "./dialog.js";
import { clock, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { preferences } from "./prefs.js";
/** @typedef {import("./editor.js").Editor} Editor */

/** @param {Editor} editor @returns {HTMLElement} */
export function transport(editor) {
  const { frames, player } = editor;
  const frame = h("input", { class: "frame-number", type: "text", inputmode: "numeric", "aria-label": "Frame", title: "Type a frame and press Enter" });
  const time = h("span", { class: "time" });
  const play = iconButton("play", "Play", () => player.toggle(), { key: "Space", class: "play square" });
  const rate = h("span", { class: "rate", "aria-live": "polite" });
  const update = () => {
    if (document.activeElement !== frame) frame.value = String(frames.target);
    frame.style.width = `${Math.max(3, String(frames.count).length + 2)}ch`;
    time.textContent = clock(frames.times[frames.target] ?? 0);
  };
  frame.addEventListener("change", () => {
    const to = Number.parseInt(frame.value, 10);
    if (Number.isFinite(to)) editor.go(to);
    update();
  });
  frame.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" || event.key === "Escape") frame.blur();
  });
  frame.addEventListener("focus", () => frame.select());
  frame.addEventListener("blur", update);
  editor.on("target", update);
  player.on("changed", () => {
    fill(play, icon(player.playing ? "pause" : "play"));
    play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    rate.textContent = Math.abs(player.rate) > 1 || player.rate < 0 ? `${player.rate}×`.replace("-", "−") : "";
  });
  update();
  return h(
    "div",
    { class: "transport" },
    h("div", { class: "where" }, h("label", { class: "frame-label" }, h("span", {}, "Frame"), frame), h("span", { class: "of" }, `/ ${frames.count - 1}`), time),
    h(
      "div",
      { class: "plays", role: "group", "aria-label": "Playing" },
      iconButton("first", "First frame", () => editor.go(0), { key: "Home" }),
      iconButton("previous", "Frame before", () => editor.step(-1), { key: "←" }),
      play,
      iconButton("next", "Next frame", () => editor.step(1), { key: "→" }),
      iconButton("last", "Last frame", () => editor.go(frames.count - 1), { key: "End" }),
    ),
    h("div", { class: "far" }, rate, legend()),
  );
}

/** What the marks of the strip mean. */
function legend() {
  const mark = (/** @type {string} */ kind, /** @type {string} */ words) => h("span", { class: "mark" }, h("i", { class: kind, "aria-hidden": "true" }), words);
  return h("span", { class: "legend" }, mark("click", "click"), mark("sure", "sureness"), mark("covered", "hidden"), mark("flag", "look here"));
}

/** @param {Editor} editor @param {import("./stage.js").Stage} stage @param {Record<string, () => void>} act @returns {HTMLElement} */
export function toolBar(editor, stage, act) {
  const add = iconButton("add", "Clicks make new points", act.toolAdd, { key: "A" });
  const place = iconButton("target", "Clicks correct the chosen point", act.toolPlace, { key: "C" });
  const lens = iconButton("magnifier", "Magnifier", act.lens, { key: "M" });
  const trail = iconButton("trail", "Trails", act.trail, { key: "T" });
  const scale = h("button", { class: "quiet scale", type: "button", title: "Whole picture (0)", onclick: () => stage.fit() });
  const update = () => {
    const { tool, lens: out, trail: length } = preferences.values;
    add.setAttribute("aria-pressed", String(tool === "add"));
    place.setAttribute("aria-pressed", String(tool === "place"));
    lens.setAttribute("aria-pressed", String(out));
    trail.setAttribute("aria-pressed", String(length > 0));
    trail.title = `Trails: ${length > 1000 ? "whole" : length ? "short" : "none"} (T)`;
    scale.textContent = `${Math.round(stage.view.scale * 100)} %`;
    scale.setAttribute("aria-label", `Zoom ${scale.textContent}; shows the whole picture`);
  };
  preferences.during(scale, "changed", update);
  editor.on("view", update);
  update();
  return h(
    "div",
    { class: "tools", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
    h("div", { class: "tool-group" }, add, place),
    h("div", { class: "tool-group" }, trail, lens),
    h("div", { class: "tool-group" },
      iconButton("zoomIn", "Zoom in", () => stage.zoom(1.5), { key: "+" }),
      scale,
      iconButton("zoomOut", "Zoom out", () => stage.zoom(1 / 1.5), { key: "−" })),
  );
}
