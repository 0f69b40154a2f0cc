/** The passes over a video: who does which, how far they are, and how well they agree. */
import { get, post } from "./api.js";
import { askFields, attempt, dialog } from "./dialog.js";
import { clock, fill, h, shortName } from "./dom.js";
import { STAGES, STATES } from "./tasks.js";
/** @typedef {import("./types.js").Task} Task */

/** @param {{id: number, name: string}} video @param {import("./app.js").App} app */
export async function teamDialog(video, app) {
  const passes = h("div", {});
  const figures = h("div", {});
  const leads = app.me.role !== "annotator";
  const box = dialog(`Team on ${shortName(video.name)}`, [passes, leads ? h("div", { class: "assign" }) : null, h("h3", {}, "Quality"), figures], { wide: true });
  const load = async () => {
    /** @type {Task[]} */
    const tasks = await get(`videos/${video.id}/tasks`);
    fill(passes, tasks.length ? h("div", { class: "table" }, h("table", {}, h("tbody", {}, ...tasks.map((task) => line(task, leads, load))))) : h("p", { class: "muted" }, "Nobody has a task here yet. One person annotates, a second refines, a reviewer agrees."));
  };
  await attempt(async () => {
    await load();
    const assign = box.querySelector(".assign");
    if (assign) fill(assign, ...(await assignForm(video.id, load)));
    fill(figures, qualityTable(await get(`quality?video=${video.id}`)));
  });
}

/** @param {Task} task @param {boolean} leads @param {() => void} load */
function line(task, leads, load) {
  const back = h("button", { type: "button", onclick: () => sendBack(task, load) }, "Send back…");
  return h("tr", {}, h("td", {}, h("b", {}, task.user)), h("td", {}, STAGES[/** @type {"refine"} */ (task.stage)] ?? task.stage),
    h("td", {}, h("span", { class: task.state === "submitted" || task.state === "agreed" ? "tag on" : "tag" }, STATES[/** @type {"open"} */ (task.state)] ?? task.state), task.note && h("div", { class: "muted small" }, task.note)),
    h("td", { class: "right" }, leads && task.state === "submitted" && back));
}

/** @param {number} video @param {() => void} load */
async function assignForm(video, load) {
  const users = await get("users");
  const who = h("select", { "aria-label": "Person" }, ...users.map((/** @type {any} */ user) => h("option", { value: user.name }, user.name)));
  const stage = h("select", { "aria-label": "Pass" }, ...Object.entries(STAGES).map(([value, words]) => h("option", { value }, words)));
  const give = async () => {
    const user = users.find((/** @type {any} */ one) => one.name === who.value);
    if (await attempt(() => post(`videos/${video}/tasks`, { user: user.id, stage: stage.value }))) load();
  };
  return [h("span", {}, "Ask"), who, h("span", {}, "to"), stage, h("button", { type: "button", class: "main", onclick: give }, "Give the task")];
}

/** @param {Task} task @param {() => void} load */
export function sendBack(task, load) {
  const note = h("textarea", { rows: "3", required: true, maxlength: "2000", placeholder: "What should be looked at again?", "aria-label": "Note" });
  askFields(`Send back to ${task.user}`, [note], "Send back", async () => {
    await post(`tasks/${task.id}/return`, { note: note.value.trim() });
    load();
  });
}

/** @param {any} quality */
function qualityTable(quality) {
  const number = (/** @type {any} */ value, /** @type {string} */ unit = "", digits = 1) => (value === null || value === undefined ? "–" : `${Number(value).toFixed(digits)}${unit}`);
  const share = (/** @type {any} */ value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
  const figure = (/** @type {string} */ value, /** @type {string} */ words) => h("div", { class: "figure" }, h("b", {}, value), h("span", {}, words));
  const people = quality.annotators ?? [];
  return h("div", {},
    h("div", { class: "figures" },
      figure(String(quality.tracks ?? 0), "tracks"),
      figure(number(quality.clicks_per_track), "clicks a track"),
      figure(number(quality.seconds_per_track, " s"), "time a track"),
      figure(number(quality.agreement_px, " px", 2), "between annotators"),
      figure(number(quality.drift_px, " px", 2), "drift between passes"),
      figure(share(quality.visible_agreement), "same visibility")),
    people.length > 0 && h("div", { class: "table" }, h("table", {}, h("thead", {}, h("tr", {}, ...["Who", "Tracks", "Clicks", "Time"].map((words) => h("th", {}, words)))),
      h("tbody", {}, ...people.map((/** @type {any} */ one) => h("tr", {}, h("td", {}, one.user), h("td", {}, one.tracks), h("td", {}, one.clicks), h("td", {}, clock(one.seconds ?? 0, 0))))))));
}
