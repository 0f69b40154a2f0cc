/** The first screen: drop a video, or open one. */
import { call, get } from "./api.js";
import { ask, attempt, iconButton, menu, menuItem, toast } from "./dialog.js";
import { clock, counted, fill, h, remembered, shortName, size } from "./dom.js";
import { icon } from "./icons.js";
import { listen } from "./news.js";
import { teamDialog } from "./team.js";
import { Upload, forget, unfinished } from "./uploads.js";
import { oneAtATime, pause, untilReleased } from "./waiting.js";
/** @typedef {import("./app.js").App} App */

const GATHER = 300; // ms in which news are answered together

/** Uploads go on while other screens are open. @type {Set<Upload>} */
const going = new Set();

/** @param {import("./app.js").On} on */
export async function libraryScreen({ root, app, left }) {
  const grid = h("div", { class: "cards" });
  const sending = h("div", { class: "sending", "aria-live": "polite" });
  const input = h("input", { type: "file", accept: "video/*,.mkv,.mov,.avi,.webm,.gif,.mp4", multiple: true, class: "spoken", "aria-label": "Video file", tabindex: "-1" });
  const drop = h("button", { type: "button", class: "drop", onclick: () => input.click() },
    icon("upload"), h("span", { class: "drop-title" }, "Drop a video here"), h("span", { class: "muted" }, "or click to choose one. MP4, MOV, MKV, WebM, AVI or GIF."));
  const page = h("main", { class: "library" }, h("div", { class: "intro" }, h("h2", {}, "Follow any point in a video"), h("p", {}, "Click points, watch them being followed, correct what is wrong, take the tracks away.")), drop, sending, input, grid);
  fill(root, app.bar("Videos"), page);

  const take = (/** @type {File[]} */ files) => files.forEach((file) => send(file, files.length === 1));
  input.addEventListener("change", () => (take([...input.files]), (input.value = "")));
  const over = (/** @type {DragEvent} */ event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    page.classList.add("dropping");
  };
  const away = (/** @type {DragEvent} */ event) => !event.relatedTarget && page.classList.remove("dropping");
  const dropped = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    page.classList.remove("dropping");
    take([...(event.dataTransfer?.files ?? [])]);
  };
  document.addEventListener("dragover", over, { signal: left });
  document.addEventListener("dragleave", away, { signal: left });
  document.addEventListener("drop", dropped, { signal: left });

  /** @param {File} file @param {boolean} open */
  const send = async (file, open) => {
    if ([...going].some((one) => one.file.name === file.name && one.file.size === file.size)) return;
    const upload = new Upload(file);
    going.add(upload);
    showSending();
    try {
      const video = await upload.send();
      going.delete(upload);
      if (!video) return;
      toast(`${shortName(video.name)} is here`, "good");
      if (open && page.isConnected) return app.open(`#/video/${video.id}`);
    } catch (error) {
      toast(`${file.name}: ${/** @type {Error} */ (error).message}`, "bad");
    } finally {
      going.delete(upload);
      if (page.isConnected) {
        showSending();
        load();
      }
    }
  };

  const showSending = () => {
    const busy = new Set([...going].map((upload) => upload.id));
    const stopped = unfinished().filter((one) => !busy.has(one.id) && ![...going].some((upload) => upload.file.name === one.name));
    fill(sending, ...[...going].map(uploadLine), ...stopped.map((one) => stoppedLine(one, showSending)));
  };

  const cards = remembered((/** @type {any} */ video) => card(video, app, load));
  const load = oneAtATime(async () => {
    try {
      const videos = await get("videos");
      await untilReleased();
      page.classList.toggle("first", videos.length === 0);
      fill(grid, ...cards(videos));
    } catch (error) {
      fill(grid, h("p", { class: "problem" }, /** @type {Error} */ (error).message));
    }
  });
  showSending();
  await load();
  const soon = oneAtATime(async () => {
    await pause(GATHER);
    if (page.isConnected) await load();
  });
  left.throwIfAborted();
  left.addEventListener("abort", listen("/api/events", { hello: load, video: soon, task: soon }));
}

/** @param {Upload} upload */
function uploadLine(upload) {
  const bar = h("progress", { max: "1", "aria-label": `Upload of ${upload.file.name}` });
  const words = h("span", { class: "muted" });
  const update = () => {
    bar.value = upload.share;
    const left = upload.speed ? (upload.file.size - upload.offset) / upload.speed : 0;
    const rest = left > 3 ? `, ${clock(left, 0)} left` : "";
    words.textContent = upload.share >= 1 ? "Reading the video…" : `${size(upload.offset)} of ${size(upload.file.size)}${rest}${upload.resumed ? " (continued)" : ""}`;
  };
  upload.during(bar, "progress", update);
  update();
  return h("div", { class: "upload" }, icon("film"), h("div", { class: "upload-words" }, h("b", {}, upload.file.name), words, bar), iconButton("close", "Stop the upload", () => upload.stop()));
}

/** @param {import("./uploads.js").Kept} one @param {() => void} update */
function stoppedLine(one, update) {
  const drop = () => {
    forget(one.id);
    update();
  };
  return h("div", { class: "upload stopped" }, icon("waiting"),
    h("div", { class: "upload-words" }, h("b", {}, one.name), h("span", { class: "muted" }, `Stopped at ${Math.floor((100 * one.offset) / one.size)} %. Drop the same file again to go on.`)),
    iconButton("close", "Forget this upload", drop));
}

/** @param {any} video @param {App} app @param {() => void} load */
function card(video, app, load) {
  const more = iconButton("menu", `More for ${shortName(video.name)}`, undefined, { class: "quiet square over-card" });
  menu(more, () => [
    app.me.login_required && menuItem("people", "Team and tasks…", () => teamDialog(video, app)),
    menuItem("compare", "Compare passes", () => app.open(`#/video/${video.id}/compare`)),
    app.me.role === "admin" && menuItem("trash", "Remove from the studio…", () => remove(video, load), { danger: true }),
  ]);
  const picture = h("img", { src: `/api/videos/${video.id}/frames/0?height=240&v=${video.stamp}`, alt: "", loading: "lazy", width: "320", height: "180" });
  let tries = 0;
  picture.addEventListener("error", () => {
    picture.classList.add("missing");
    if (tries++ < 2) setTimeout(() => (picture.src = `${picture.src}&again=${tries}`), 1500); // busy
  });
  picture.addEventListener("load", () => picture.classList.remove("missing"));
  const facts = [`${video.width} × ${video.height}`, clock(video.frames / (video.fps || 25), 0), counted(video.frames, "frame")];
  return h("article", { class: "card" },
    h("a", { href: `#/video/${video.id}`, "aria-label": `Open ${shortName(video.name)}` }, h("div", { class: "thumb" }, picture),
      h("div", { class: "card-words" }, h("h3", { title: video.name }, shortName(video.name)), h("p", { class: "muted" }, facts.join(" · ")),
        h("p", { class: "tags" }, h("span", { class: video.tracks ? "tag on" : "tag" }, video.tracks ? counted(video.tracks, "point") : "no points yet"), video.tasks.length > 0 && h("span", { class: "tag" }, counted(video.tasks.length, "task"))))),
    more);
}

/** @param {any} video @param {() => void} load */
async function remove(video, load) {
  const words = `${shortName(video.name)} and its ${counted(video.tracks, "point")} leave the list. The file stays where it is, the tracks stay in the history.`;
  if ((await ask("Remove this video?", [h("p", {}, words)], [["Keep it", "no"], ["Remove", "yes", "danger"]])) !== "yes") return;
  if (await attempt(() => call("DELETE", `videos/${video.id}`))) load();
}
