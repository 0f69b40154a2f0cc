/** The screen of one video: bar, picture, points, strip of time. */
import { get } from "./api.js";
import { askConflict } from "./conflict.js";
import { attempt, dialog, toast } from "./dialog.js";
import { fill, h, say, shortName } from "./dom.js";
import { Editor } from "./editor.js";
import { showHistory } from "./history.js";
import { POINTERS, elsewhere, nameOf, onButton, shortcuts } from "./keys.js";
import { Live } from "./live.js";
import { preferences } from "./prefs.js";
import { sidePanel } from "./side.js";
import { Stage } from "./stage.js";
import { Aim } from "./aim.js";
import { Timeline } from "./timeline.js";
import { topBar } from "./topbar.js";
import { toolBar, transport } from "./transport.js";
import { Tracks } from "./tracks.js";

/** @param {import("./app.js").On} on */
export async function editorScreen({ root, app, left, id }) {
  const [video, models] = await Promise.all([get(`videos/${id}`), get("models").catch(() => [])]);
  left.throwIfAborted();
  document.title = `${shortName(video.name)} · tapnet studio`;
  const element = h("video", { class: "source", "aria-hidden": "true", tabindex: "-1", disablepictureinpicture: true });
  const editor = new Editor(video, app.me, element);
  const picture = h("canvas", { class: "picture", tabindex: "0", role: "application", "aria-roledescription": "video canvas", "aria-describedby": "picture-help" });
  const strip = h("canvas", { class: "strip", tabindex: "0", role: "slider", "aria-label": "Frame", "aria-valuemin": "0", "aria-valuemax": String(video.frames - 1), title: "Scrub; the wheel zooms" });
  const hint = h("div", { class: "hint" });
  const note = h("div", { class: "note", role: "status" });
  const stage = new Stage(editor, picture);
  const timeline = new Timeline(editor, strip);
  const aim = new Aim(editor, stage);
  if (!preferences.values.model) preferences.set({ model: models[0]?.name ?? "taplite" });

  /** @type {Record<string, () => void>} */
  const act = {
    aim: () => aim.begin(),
    toolAdd: () => preferences.set({ tool: "add" }),
    toolPlace: () => preferences.set({ tool: "place" }),
    lens: () => preferences.set({ lens: !preferences.values.lens }),
    labels: () => preferences.set({ labels: !preferences.values.labels }),
    trail: () => {
      const { trail } = preferences.values;
      preferences.set({ trail: trail === 24 ? 1e7 : trail ? 0 : 24 });
    },
    escape: () => {
      if (stage.end()) return;
      editor.choose(null);
    },
    grid: () => root.querySelector(/** @type {any} */ ("[data-grid]"))?.click(),
    download: () => root.querySelector(/** @type {any} */ ("[data-download]"))?.click(),
    history: () => editor.track && showHistory(editor),
    help: () => keyboardHelp(keys),
  };
  const keys = shortcuts(editor, stage, act);

  const screen = h(
    "main",
    { class: "editor" },
    topBar(editor, app, act),
    h("section", { class: "stage", "aria-label": "Video" }, element, picture, toolBar(editor, stage, act), hint, note,
      h("p", { id: "picture-help", class: "spoken" }, "Click to add a point. Press Enter to click with the keyboard, question mark for all keys.")),
    h("section", { class: "deck", "aria-label": "Time" }, transport(editor), strip),
    sidePanel(editor, models, act),
  );
  fill(root, screen);

  const repaint = () => {
    stage.request();
    timeline.request();
  };
  const describe = () => {
    fill(hint, ...hintOf(editor, aim));
    const seen = editor.tracks.list.length;
    picture.setAttribute("aria-label", `Frame ${Math.max(0, editor.frames.shown)} of ${video.frames}, ${seen} points`);
  };
  editor.frames.on("shown", () => {
    stage.now();
    describe();
    editor.emit("frame");
  });
  editor.frames.on("target", () => {
    timeline.followFrame();
    editor.emit("target");
  });
  editor.frames.on("failed", () => toast("The server does not answer with pictures; trying again.", "bad"));
  for (const name of ["changed", "chosen", "suggestions"]) editor.on(name, repaint);
  editor.on("changed", describe);
  editor.player.on("changed", describe);
  aim.on("changed", describe);
  const stops = [
    preferences.on("changed", () => (repaint(), describe())),
    preferences.on("theme", () => (stage.recolor(), timeline.recolor())),
  ];
  editor.outbox.on("refused", ({ words }) => toast(words, "bad"));
  editor.outbox.on("unkept", () => toast("This browser keeps nothing: leave the page only when all is saved.", "bad"));
  editor.outbox.on("merged", ({ entry, current }) => {
    const track = editor.tracks.all.get(entry.key);
    toast(`${current.changed_by ?? "Somebody"} changed ${track ? Tracks.label(track) : "this point"} too. Both changes are kept.`, "good");
  });
  editor.outbox.on("conflict", (conflict) => askConflict(editor, stage, conflict));
  let fading = 0;
  const tell = (/** @type {string} */ words) => {
    note.textContent = words;
    note.classList.add("on");
    clearTimeout(fading);
    fading = setTimeout(() => note.classList.remove("on"), 3500);
  };
  const live = new Live(editor, tell);
  editor.on("problem", (words) => toast(words, "bad"));
  editor.on("job-failed", (job) => {
    const again = { words: "Try again", run: () => editor.followAgain() };
    toast(job.message || "The work failed.", "bad", job.kind === "assist" ? again : undefined);
  });
  app.resume = () => editor.outbox.tryNow();
  editor.on("playable", () => toast("The video now plays smoothly.", "good", { words: "Reload", run: () => location.reload() }));

  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (!elsewhere(event)) press(event);
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (aim.key(event)) return event.preventDefault();
    if (event.key === " ") {
      if (onButton(event)) return;
      event.preventDefault();
      stage.space = true;
      if (!event.repeat) stage.spaceUsed = false;
      return;
    }
    if (event.key === "Enter" && onButton(event)) return;
    const name = nameOf(event);
    const found = keys.find((one) => one.keys.includes(name));
    if (!found) return;
    event.preventDefault();
    found.run(event);
  };
  const onKeyUp = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== " " || !stage.space) return;
    stage.space = false;
    if (!stage.spaceUsed) editor.player.toggle();
  };
  document.addEventListener("keydown", onKey, { signal: left });
  document.addEventListener("keyup", onKeyUp, { signal: left });
  left.addEventListener("abort", () => {
    for (const stop of stops) stop();
    live.close();
    stage.close();
    timeline.close();
    editor.close();
  });

  editor.frames.want(0);
  describe();
  Object.assign(globalThis, { studio: { editor, stage, timeline, preferences } }); // for the curious, and to measure
  await live.begun;
  left.throwIfAborted();
  const loaded = await attempt(() => editor.load());
  left.throwIfAborted();
  if (loaded && !editor.track && editor.tracks.list.length) say(`${editor.tracks.list.length} points`);
}

/** What to do next, for who does not know yet. @param {Editor} editor @param {Aim} aim @returns {any[]} */
function hintOf(editor, aim) {
  if (!editor.ready) return [];
  if (aim.aiming) return [h("p", {}, h("kbd", {}, "← ↑ → ↓"), " move the cross, ", h("kbd", {}, "Enter"), " clicks, ", h("kbd", {}, "Esc"), " leaves")];
  if (editor.playing) return [];
  if (!editor.tracks.list.length) return [h("p", {}, "Click anything in the picture to follow it.")];
  const placing = editor.settings.tool === "place";
  if (placing && !editor.track) return [h("p", {}, "Choose a point first: click it, or press its number.")];
  return [];
}

/** @param {import("./keys.js").Shortcut[]} keys */
function keyboardHelp(keys) {
  const groups = [...new Set(keys.map((one) => one.group))];
  const table = (/** @type {string} */ title, /** @type {string[][]} */ rows) =>
    h("section", {}, h("h3", {}, title),
      h("dl", { class: "keys" }, ...rows.map(([shown, does]) => h("div", {}, h("dt", {}, h("kbd", {}, shown)), h("dd", {}, does)))));
  dialog("Keys and gestures", [
    h("div", { class: "columns" },
      ...groups.map((group) => table(group, keys.filter((one) => one.group === group && one.shown).map((one) => [one.shown, one.does]))),
      table("Mouse and fingers", POINTERS),
    ),
  ], { wide: "widest" });
}
