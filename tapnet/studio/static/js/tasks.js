/** My tasks: passes over videos that somebody asked me for. */
import { get, post } from "./api.js";
import { attempt, toast } from "./dialog.js";
import { fill, h, moment, remembered, shortName } from "./dom.js";
import { icon } from "./icons.js";
import { listen } from "./news.js";
import { oneAtATime, untilReleased } from "./waiting.js";
/** @typedef {import("./types.js").Task} Task */
/** @typedef {Task & {changed: string}} Dated  when it was done, in words */

export const STAGES = { annotate: "Annotate", refine: "Refine", review: "Review" };
const ABOUT = {
  annotate: "Make the tracks: click points, follow them, mark where they are hidden.",
  refine: "Second pass: look at every track and correct what is not exact.",
  review: "Compare the two passes, agree on each track or send the task back.",
};
export const STATES = { open: "to do", submitted: "submitted", returned: "sent back", agreed: "agreed" };

/** Whether somebody has yet to do it. @param {Task} task */
const isOpen = (task) => task.state === "open" || task.state === "returned";

/** @param {Task} task @returns {Promise<boolean>} whether the server took it */
export function submitTask(task) {
  return attempt(async () => {
    await post(`tasks/${task.id}/submit`);
    toast("Submitted", "good");
  });
}

/** @param {import("./app.js").On} on */
export async function tasksScreen({ root, app, left }) {
  const list = h("div", { class: "task-list" });
  fill(root, app.bar("My tasks"), h("main", { class: "plain" }, h("div", { class: "head" }, h("h2", {}, "My tasks")), list));
  const cards = remembered((/** @type {Dated} */ task) => taskCard(task, load));
  const load = oneAtATime(async () => {
    /** @type {Dated[]} */
    const tasks = (await get("tasks")).map((/** @type {Task} */ task) => ({ ...task, changed: isOpen(task) ? "" : moment(task.changed_at) }));
    await untilReleased();
    const open = tasks.filter(isOpen).length;
    const all = cards([...tasks].sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)))); // open ones first, else as they came
    fill(list,
      open === 0 && h("div", { class: "center small-center" }, icon("check"), h("h3", {}, "Nothing to do"), h("p", { class: "muted" }, "Tasks that somebody gives you appear here.")),
      ...all.slice(0, open), all.length > open && h("h3", { class: "rest" }, "Done"), ...all.slice(open));
  });
  await load();
  const again = () => load().catch(() => {}); // what was there stays
  left.throwIfAborted();
  left.addEventListener("abort", listen("/api/events", { hello: again, task: again }));
}

/** @param {Dated} task @param {() => void} load */
function taskCard(task, load) {
  const open = isOpen(task);
  const review = task.stage === "review";
  const submit = async () => {
    if (await submitTask(task)) load();
  };
  const name = shortName(task.video);
  return h("article", { class: open ? "task" : "task done" },
    h("img", { src: `/api/videos/${task.video_id}/frames/0?height=240`, alt: "", width: "128", height: "72", loading: "lazy" }),
    h("div", { class: "task-words" },
      h("h3", {}, `${STAGES[/** @type {"refine"} */ (task.stage)] ?? task.stage}: ${name}`),
      h("p", { class: "muted" }, open ? ABOUT[/** @type {"refine"} */ (task.stage)] : `${STATES[/** @type {"open"} */ (task.state)] ?? task.state} ${task.changed}`),
      task.note && h("p", { class: "returned" }, icon("warning"), h("span", {}, `Sent back: ${task.note}`))),
    h("div", { class: "buttons" },
      h("a", { class: open ? "button main" : "button", href: review ? `#/video/${task.video_id}/compare` : `#/video/${task.video_id}` }, review ? "Compare" : "Open"),
      open && h("button", { type: "button", onclick: submit }, "Submit")));
}
