/** Who did what to a point, and when; any version can be taken back. */
import { get } from "./api.js";
import { changes, clickAt, equal, samePlace } from "./content.js";
import { dialog, toast } from "./dialog.js";
import { fill, h, moment } from "./dom.js";
import { Tracks } from "./tracks.js";

const KINDS = { undo: "undone", redo: "done again", restore: "restored", import: "imported", create: "made", delete: "deleted", agree: "agreed" };
const STAGES = { annotate: "", refine: "refining", review: "review", agreed: "" };

/** @param {import("./editor.js").Editor} editor */
export async function showHistory(editor) {
  const { track } = editor;
  if (!track) return;
  const body = h("div", { class: "history" }, h("p", { class: "muted" }, "Reading…"));
  const box = dialog(`History of ${Tracks.label(track)}`, [body]);
  if (track.id === null) return fill(body, h("p", {}, "This point is being saved for the first time."));
  try {
    /** @type {import("./types.js").Edit[]} */
    const edits = await get(`tracks/${track.id}/history`);
    edits.sort((a, b) => a.version - b.version);
    const lines = edits.map((edit, i) => line(editor, track, edit, edits[i - 1] ?? null, box));
    fill(body, h("ol", { reversed: true }, ...lines.reverse()));
  } catch (error) {
    fill(body, h("p", {}, /** @type {Error} */ (error).message));
  }
}

/**
 * @param {import("./editor.js").Editor} editor @param {import("./types.js").Track} track
 * @param {import("./types.js").Edit} edit @param {import("./types.js").Edit|null} before @param {HTMLDialogElement} box
 */
function line(editor, track, edit, before, box) {
  const now = equal(edit.content, track.content) && !track.deleted;
  const did = edit.kind === "delete" ? ["deleted"] : changes(before?.content ?? null, edit.content);
  const kind = KINDS[/** @type {"undo"} */ (edit.kind)];
  const stage = STAGES[/** @type {"refine"} */ (edit.stage)];
  const restore = () => {
    editor.edit(track.key, edit.content, "restore", `version ${edit.version} restored`);
    editor.paths.guess(track);
    toast(`Version ${edit.version} is back`, "good", { words: "Undo", run: () => editor.undo.undo() });
    box.close();
  };
  const changed = edit.content.clicks.find((click) => !before || !samePlace(click, clickAt(before.content, click.frame)))?.frame;
  const show = () => {
    editor.go(/** @type {number} */ (changed));
    box.close();
  };
  return h(
    "li",
    { value: edit.version },
    h("div", { class: "history-words" },
      h("span", {}, h("b", {}, edit.user), kind && ` · ${kind}`, stage && ` · ${stage}`, h("time", {}, ` ${moment(edit.time)}`)),
      h("span", { class: "muted" }, did.slice(0, 4).join(", "))),
    changed !== undefined && h("button", { type: "button", class: "quiet", onclick: show }, `Frame ${changed}`),
    now ? h("span", { class: "tag" }, "now") : h("button", { type: "button", onclick: restore }, "Restore"),
  );
}
