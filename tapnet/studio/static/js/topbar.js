/** The bar at the top of a video: what is saved, undo, work under way, downloads. */
import { post } from "./api.js";
import { attempt, iconButton, menu, menuItem, toast } from "./dialog.js";
import { counted, fill, h, shortName } from "./dom.js";
import { underWay } from "./editor.js";
import { icon } from "./icons.js";
import { chooseImport, startDownload } from "./transfer.js";
import { STAGES, submitTask } from "./tasks.js";
import { teamDialog } from "./team.js";
/** @typedef {import("./editor.js").Editor} Editor */

const PATIENCE = 1500; // ms that saving may take before it is called late

/** @param {Editor} editor @param {import("./app.js").App} app @param {Record<string, () => void>} act @returns {HTMLElement} */
export function topBar(editor, app, act) {
  const undo = iconButton("undo", "Undo", () => editor.undo.undo(), { key: "Ctrl Z" });
  const redo = iconButton("redo", "Redo", () => editor.undo.redo(), { key: "Ctrl Shift Z" });
  const download = h("button", { type: "button", class: "main", title: "Download (D)", "data-download": true }, icon("download"), h("span", { class: "words" }, "Download"));
  const more = iconButton("menu", "More");
  const update = () => {
    undo.disabled = !editor.undo.done.length;
    redo.disabled = !editor.undo.undone.length;
    undo.title = `Undo${undo.disabled ? "" : `: ${editor.undo.done.at(-1)?.label}`} (Ctrl Z)`;
    redo.title = `Redo${redo.disabled ? "" : `: ${editor.undo.undone.at(-1)?.label}`} (Ctrl Shift Z)`;
  };
  editor.undo.on("changed", update);
  update();
  menu(download, () => downloads(editor));
  const team = app.me.login_required;
  menu(more, () => [
    menuItem("upload", "Import tracks…", () => chooseImport(editor), { note: "npz, CSV or TAP-Vid pickle; correct them here" }),
    team && menuItem("people", "Team and tasks…", () => teamDialog(editor.video, app)),
    menuItem("compare", "Compare passes", () => app.open(`#/video/${editor.video.id}/compare`)),
    !editor.video.playable && menuItem("film", "Make it play smoothly", () => makePlayable(editor), { note: "a copy that browsers play; the video stays as it is" }),
    menuItem("hidden", "Names beside all points", act.labels, { note: "B" }),
    menuItem("trash", "Delete all points", () => removeAll(editor), { danger: true, disabled: !editor.tracks.list.length }),
  ]);
  return h(
    "header",
    { class: "bar" },
    h("a", { class: "button quiet square", href: "#/", title: "All videos", "aria-label": "All videos" }, icon("back")),
    h("h1", { class: "video-name", title: editor.video.name }, shortName(editor.video.name)),
    saveState(editor),
    h("span", { class: "gap" }),
    jobsButton(editor),
    submitButton(editor, app),
    h("span", { class: "pair" }, undo, redo),
    ...app.controls(act.help),
    more,
    download,
  );
}

/** Ends my pass over this video, when somebody asked me for one. @param {Editor} editor @param {import("./app.js").App} app */
function submitButton(editor, app) {
  const mine = editor.video.tasks.filter((task) => task.user === app.me.name && task.stage !== "review");
  const task = mine.find((one) => one.state === "returned") ?? mine.find((one) => one.state === "open");
  if (!task) return null;
  if (task.note && task.state === "returned") toast(`Sent back: ${task.note}`);
  const submit = async () => {
    if (editor.outbox.entries.length) return toast("Submit once everything is saved.");
    if (await submitTask(task)) button.remove();
  };
  const pass = STAGES[/** @type {"refine"} */ (task.stage)];
  const button = h("button", { type: "button", title: `${pass}: end this pass`, onclick: submit }, icon("check"), h("span", { class: "words" }, "Submit"));
  return button;
}

/** @param {Editor} editor */
async function makePlayable(editor) {
  if (await attempt(() => editor.start("proxy", {}))) toast("The copy is being made; this page tells when it is there.");
}

/** Green and saved only when the server has acknowledged every edit. @param {Editor} editor */
function saveState(editor) {
  const state = h("span", { class: "save-state", role: "status" });
  let late = 0;
  const update = () => {
    const waiting = editor.outbox.entries.length;
    const failing = editor.outbox.failures > 0;
    clearTimeout(late);
    const show = (/** @type {string} */ kind, /** @type {any} */ sign, /** @type {string} */ words, /** @type {string} */ title) => {
      state.className = `save-state ${kind}`;
      if (state.getAttribute("data-words") === words) return;
      state.setAttribute("data-words", words);
      state.title = title;
      fill(state, icon(sign), h("span", {}, words));
    };
    if (!waiting) return show("saved", "check", "Saved", "Every change is on the server's disk");
    const unsaved = `${counted(waiting, "change")} not saved`;
    const why = `${editor.outbox.problem || "The server has not answered yet."} They are kept in this browser and sent again.`;
    if (failing) return show("late", "offline", unsaved, why);
    show("saving", "waiting", "Saving…", "On the way to the server");
    late = setTimeout(() => editor.outbox.entries.length && show("late", "waiting", unsaved, why), PATIENCE);
  };
  editor.outbox.on("changed", update);
  update();
  return state;
}

/** @param {Editor} editor @returns {any[]} */
function downloads(editor) {
  const none = !editor.tracks.list.length;
  const item = (/** @type {import("./icons.js").Icon} */ sign, /** @type {string} */ words, /** @type {string} */ note, /** @type {string} */ kind) =>
    menuItem(sign, words, () => startDownload(editor, kind), { note, disabled: none });
  return [
    item("film", "Video with tracks", "MP4", "overlay"),
    item("download", "Spreadsheet", "CSV, one line per point and frame", "csv"),
    item("download", "NumPy", "npz, for Python", "npz"),
    item("download", "TAP-Vid", "pickle, for benchmarks", "pkl"),
    none && h("p", { class: "menu-note" }, "Add a point first: there is nothing to download yet."),
  ];
}

/** @param {Editor} editor */
function removeAll(editor) {
  const n = editor.tracks.list.length;
  editor.removeAll();
  toast(`${counted(n, "point")} deleted`, "plain", { words: "Undo", run: () => editor.undo.undo() });
}

const NAMES = { assist: "Following points", overlay: "Painting the video", export: "Writing the file", proxy: "Making a copy that browsers play" };

/** What a job does, in words. @param {import("./types.js").Job} job */
const jobName = (job) => NAMES[/** @type {"assist"} */ (job.kind)] ?? job.kind;

/** Work under way, with its progress; a click lists it and cancels. @param {Editor} editor */
function jobsButton(editor) {
  const ring = h("span", { class: "progress-ring", "aria-hidden": "true" });
  const words = h("span", { class: "words" });
  const button = h("button", { type: "button", class: "quiet jobs", hidden: true, "aria-label": "Work under way" }, ring, words);
  const running = () => editor.jobs.filter(underWay);
  const update = () => {
    const now = running();
    button.hidden = now.length === 0;
    if (!now.length) return;
    const job = now.find((one) => one.state === "running") ?? now[0];
    const share = job.total ? Math.min(1, job.done / job.total) : 0;
    ring.style.setProperty("--share", String(share));
    words.textContent = job.state === "queued" ? "Waiting…" : `${jobName(job)}${job.total ? ` ${Math.floor(100 * share)} %` : "…"}`;
    button.title = now.map(jobName).join(", ");
  };
  editor.on("jobs", update);
  menu(button, () => [h("div", { class: "job-list" }, ...running().map((job) => jobLine(editor, job)))], { role: "dialog", label: "Work under way" });
  update();
  return button;
}

/** @param {Editor} editor @param {import("./types.js").Job} job */
function jobLine(editor, job) {
  const bar = h("progress", { max: "1", "aria-label": jobName(job) });
  const cancel = h("button", { type: "button", class: "quiet", "data-close": true, onclick: () => attempt(() => post(`jobs/${job.id}/cancel`)) }, "Cancel");
  const line = h("div", { class: "job" }, h("span", {}, jobName(job)), bar, cancel);
  const update = () => {
    const now = editor.jobs.find((one) => one.id === job.id);
    if (now?.total) bar.value = now.done / now.total;
    if (now && !underWay(now)) line.remove();
  };
  editor.during(line, "jobs", update);
  if (job.total) bar.value = job.done / job.total;
  return line;
}
