/** Taking tracks away, and bringing tracks in. */
import { call, get } from "./api.js";
import { attempt, toast } from "./dialog.js";
import { counted, h } from "./dom.js";
import { underWay } from "./editor.js";
/** @typedef {import("./editor.js").Editor} Editor */

const READY = { overlay: "The video is ready", csv: "The CSV file is ready", npz: "The npz file is ready", pkl: "The pickle is ready" };

/** Starts the job that writes a file; downloads it when it is done. @param {Editor} editor @param {string} kind */
export async function startDownload(editor, kind) {
  await attempt(async () => {
    const overlay = kind === "overlay";
    const { trail } = editor.settings;
    const settings = overlay ? { trail: Math.min(trail, 1000) } : { format: kind };
    const job = await editor.start(overlay ? "overlay" : "export", settings);
    toast(overlay ? "Painting the video; the download starts when it is done." : "Writing the file…");
    const done = await finished(editor, job);
    if (done.state === "cancelled") return;
    if (done.state !== "done") throw new Error(done.message || "The file could not be written.");
    save(`/api/jobs/${job.id}/result`);
    toast(READY[/** @type {"csv"} */ (kind)], "good");
  });
}

/** The job when it has ended: told by events, and asked for now and then in case one is missed. @param {Editor} editor @param {import("./types.js").Job} job @returns {Promise<import("./types.js").Job>} */
function finished(editor, job) {
  return new Promise((resolve, reject) => {
    const ended = (/** @type {import("./types.js").Job|undefined} */ now) => {
      if (!now || underWay(now)) return;
      clearInterval(timer);
      stop();
      resolve(now);
    };
    const stop = editor.on("jobs", () => ended(editor.jobs.find((other) => other.id === job.id)));
    const timer = setInterval(() => get(`jobs/${job.id}`).then((now) => editor.receiveJob(now), (error) => !error.passing && (clearInterval(timer), stop(), reject(error))), 2000);
    ended(job);
  });
}

/** @param {string} address */
function save(address) {
  const link = h("a", { href: address, download: "" });
  document.body.append(link);
  link.click();
  link.remove();
}

/** @param {Editor} editor */
export function chooseImport(editor) {
  const input = h("input", { type: "file", accept: ".npz,.csv,.pkl,.pickle" });
  input.addEventListener("change", () => input.files[0] && importFile(editor, input.files[0]));
  input.click();
}

/** @param {Editor} editor @param {File} file */
async function importFile(editor, file) {
  await attempt(async () => {
    const tracks = await call("POST", `videos/${editor.video.id}/import?name=${encodeURIComponent(file.name)}`, file);
    for (const track of tracks) editor.tracks.receive(track);
    editor.tracks.arrange();
    const made = tracks.map((/** @type {any} */ track) => editor.tracks.byId(track.id));
    editor.undo.push(`import of ${counted(made.length, "point")}`, made.map((/** @type {any} */ track) => ({ key: track.key, before: null, after: track.content })));
    editor.paths.want(tracks.map((/** @type {any} */ track) => track.id));
    toast(`${counted(tracks.length, "point")} imported from ${file.name}`, "good");
  });
}
