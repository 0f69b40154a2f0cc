/** Two people changed the same frame of a track: both are shown, and the second chooses. */
import { changes, clickAt, samePlace } from "./content.js";
import { dialog } from "./dialog.js";
import { h, moment } from "./dom.js";
import { rings } from "./painter.js";
import { Tracks } from "./tracks.js";
/** @typedef {import("./types.js").Content} Content */

const CROP = 120; // CSS pixels

/**
 * @param {import("./editor.js").Editor} editor @param {import("./stage.js").Stage} stage
 * @param {{entry: import("./outbox.js").Entry, current: import("./types.js").ServerTrack, choose: (choice: "mine"|"theirs") => void}} conflict
 */
export function askConflict(editor, stage, { entry, current, choose }) {
  const track = editor.tracks.all.get(entry.key);
  const name = track ? Tracks.label(track) : "This point";
  const who = current.changed_by ?? "Somebody";
  const same = who === editor.me.name ? "You, in another window," : who;
  const done = (/** @type {"mine"|"theirs"} */ choice) => {
    stage.guides = [];
    stage.request();
    choose(choice);
    box.close();
  };
  if (entry.base && entry.content) mark(editor, stage, entry.base, entry.content, current.content);
  const mine = entry.op === "delete" ? ["deleted"] : changes(entry.base, /** @type {Content} */ (entry.content));
  const theirs = current.deleted ? ["deleted"] : changes(entry.base, current.content);
  const card = (/** @type {string} */ title, /** @type {string} */ kind, /** @type {string[]} */ words, /** @type {Content|null} */ made, /** @type {any} */ button) =>
    h("section", { class: `side-by-side ${kind}` }, h("h3", {}, title), crop(editor, stage, made),
      h("ul", {}, ...words.slice(0, 5).map((line) => h("li", {}, line))), button);
  const keepMine = h("button", { type: "button", class: "main", onclick: () => done("mine") }, "Keep mine");
  const keepTheirs = h("button", { type: "button", onclick: () => done("theirs") }, `Keep ${who === editor.me.name ? "the other" : `${who}’s`}`);
  const box = dialog(`${name} was changed twice`, [
    h("p", {}, `${same} changed the same frame ${moment(current.changed_at) || "meanwhile"}. Which one stays? The other remains in the history.`),
    h("div", { class: "two" },
      card("Yours", "mine", mine, entry.op === "delete" ? null : entry.content, keepMine),
      card(who === editor.me.name ? "The other window’s" : `${who}’s`, "theirs", theirs, current.deleted ? null : current.content, keepTheirs)),
  ], { fixed: true, wide: true });
}

/** Both places on the picture. @param {any} editor @param {import("./stage.js").Stage} stage @param {Content} base @param {Content} mine @param {Content} theirs */
function mark(editor, stage, base, mine, theirs) {
  const at = differing(base, mine, theirs);
  if (at === null) return;
  editor.go(at);
  const guides = [{ place: clickAt(mine, at), color: "#4cc9b0" }, { place: clickAt(theirs, at), color: "#ffb454" }];
  stage.guides = /** @type {any} */ (guides.filter((one) => one.place));
  stage.request();
}

/** The first frame that both placed differently. @param {Content} base @param {Content} mine @param {Content} theirs @returns {number|null} */
function differing(base, mine, theirs) {
  for (const click of mine.clicks) {
    const other = clickAt(theirs, click.frame);
    if (other && !samePlace(click, other) && !samePlace(click, clickAt(base, click.frame))) return click.frame;
  }
  return null;
}

/** The picture around a point on the frame that is shown. @param {any} editor @param {import("./stage.js").Stage} stage @param {Content|null} made */
function crop(editor, stage, made) {
  const canvas = h("canvas", { width: CROP * 2, height: CROP * 2, class: "crop", "aria-hidden": "true" });
  const draw = () => {
    const click = made && clickAt(made, editor.frames.shown);
    const image = editor.frames.image;
    canvas.hidden = !click || !image;
    if (!click || !image) return;
    const pen = canvas.getContext("2d");
    const zoom = 8;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, CROP - click.x * zoom, CROP - click.y * zoom, editor.video.width * zoom, editor.video.height * zoom);
    rings(pen, { x: CROP, y: CROP }, 16, [[5, "rgb(0 0 0 / 60%)"], [2, "#fff"]]);
  };
  draw();
  editor.frames.during(canvas, "shown", draw);
  return canvas;
}
