/** What others do to the video, and what the workers have computed, as it happens. */
import { counted } from "./dom.js";
import { listen } from "./news.js";
import { Tracks } from "./tracks.js";
import { oneAtATime, pause } from "./waiting.js";
/** @typedef {import("./editor.js").Editor} Editor */

const GATHER = 100; // ms in which changes are fetched together
const PATIENCE = 1000; // ms that an editor waits for the connection before it loads

export class Live {
  /** @param {Editor} editor @param {(words: string) => void} tell about what others did */
  constructor(editor, tell) {
    this.editor = editor;
    this.tell = tell;
    /** @type {Map<number, string>} track: by whom */
    this.changed = new Map();
    this.gather = oneAtATime(() => this.fetch());
    this.lost = false; // whether there may be news that we were not told
    /** @type {Promise<void>} settled when news come, or seem not to: what is loaded then is current */
    this.begun = new Promise((begin) => {
      const broken = () => {
        this.lost = true;
        begin();
      };
      const slow = setTimeout(broken, PATIENCE);
      this.stop = listen(`/api/events?video=${editor.video.id}`, {
        hello: (data) => {
          clearTimeout(slow);
          this.met(data.reload);
          begin();
        },
        track: (data) => this.track(data),
        path: (data) => this.path(data),
        job: (data) => this.job(data),
      }, broken);
    });
  }

  /** Connected, for the first time or again: what was missed is fetched. @param {boolean} [reload] */
  met(reload) {
    if (this.lost || reload) {
      this.lost = false;
      this.editor.outbox.tryNow();
      this.editor.tracks.refresh().then(() => this.editor.paths.wantFor(this.editor.tracks.list), () => {});
      this.editor.refreshJobs();
    }
  }

  /** A track was changed, here or elsewhere. @param {any} data */
  track(data) {
    const known = this.editor.tracks.byId(data.track);
    if (known && known.version >= data.version) return;
    this.changed.set(data.track, data.by);
    this.gather();
  }

  /** Fetches what changed within a moment; what changes meanwhile, in the next round. */
  async fetch() {
    await pause(GATHER);
    const by = new Map(this.changed);
    this.changed.clear();
    if (!by.size) return;
    try {
      const fresh = await this.editor.tracks.refresh([...by.keys()]);
      this.report(fresh, by);
      this.editor.paths.wantFor(fresh);
    } catch {
      // met() fetches all
    }
  }

  /** @param {import("./types.js").Track[]} fresh @param {Map<number, string>} by */
  report(fresh, by) {
    const others = fresh.filter((track) => by.get(/** @type {number} */ (track.id)) !== this.editor.me.name);
    if (!others.length) return;
    const [first] = others;
    const who = by.get(/** @type {number} */ (first.id));
    const what = first.deleted ? "deleted" : first.version === 1 ? "added" : "changed";
    this.tell(`${who} ${what} ${others.length === 1 ? Tracks.label(first) : counted(others.length, "point")}`);
  }

  /** @param {any} data */
  path(data) {
    this.editor.paths.want(data.tracks ?? []);
    if (data.complete) this.suggest();
  }

  suggest() {
    clearTimeout(this.suggestSoon);
    this.suggestSoon = setTimeout(() => this.editor.refreshSuggestions(), 300);
  }

  /** @param {any} data */
  job(data) {
    const before = this.editor.jobs.find((job) => job.id === data.id)?.state;
    this.editor.receiveJob(data);
    const ours = data.kind === "assist" || data.kind === "proxy"; // who asks for a file is told there
    if (ours && data.state === "failed" && before !== "failed") this.editor.emit("job-failed", data);
    if (data.state === "done" && data.kind === "assist") {
      this.editor.paths.wantFor(this.editor.tracks.list.filter((track) => !this.editor.paths.complete(track)));
      this.suggest();
    }
    if (data.state === "done" && data.kind === "proxy") this.editor.emit("playable");
  }

  close() {
    this.stop?.();
    clearTimeout(this.suggestSoon);
  }
}
