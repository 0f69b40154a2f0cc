/** What others do to the video, and what the workers have computed, as it happens. */
import { counted } from "./dom.js";
import { Tracks } from "./tracks.js";
/** @typedef {import("./editor.js").Editor} Editor */

export class Live {
  /** @param {Editor} editor @param {(words: string) => void} tell about what others did */
  constructor(editor, tell) {
    this.editor = editor;
    this.tell = tell;
    this.again = 0;
    this.lost = false;
    this.open();
  }

  open() {
    const { editor } = this;
    this.source = new EventSource(`/api/events?video=${editor.video.id}`);
    const on = (/** @type {string} */ name, /** @type {(data: any) => void} */ take) =>
      this.source?.addEventListener(name, (event) => take(JSON.parse(/** @type {MessageEvent} */ (event).data)));
    on("hello", (data) => this.met(data.reload));
    on("track", (data) => this.track(data));
    on("path", (data) => this.path(data));
    on("job", (data) => this.job(data));
    on("task", () => editor.emit("tasks"));
    this.source.addEventListener("error", () => this.broken());
  }

  /** Connected, for the first time or again: what was missed is fetched. @param {boolean} [reload] */
  met(reload) {
    if (this.lost || reload) {
      this.lost = false;
      this.editor.outbox.tryNow();
      this.editor.tracks.refresh().then(() => this.allPaths(), () => {});
      this.editor.refreshJobs();
    }
    this.editor.emit("connection", true);
  }

  broken() {
    this.lost = true;
    this.editor.emit("connection", false);
    if (this.source?.readyState !== EventSource.CLOSED) return; // the browser tries again
    clearTimeout(this.again);
    this.again = setTimeout(() => this.open(), 2000);
  }

  allPaths() {
    this.editor.paths.want(this.editor.tracks.list.flatMap((track) => track.id ?? []));
  }

  /** Tracks as somebody, here or elsewhere, has just left them. @param {any} data */
  track(data) {
    const { tracks } = this.editor;
    const fresh = data.tracks.filter((/** @type {any} */ from) => tracks.receive(from));
    if (!fresh.length) return;
    tracks.arrange();
    this.report(fresh.map((/** @type {any} */ from) => tracks.byId(from.id)), data.by);
    this.editor.paths.want(fresh.map((/** @type {any} */ from) => from.id));
  }

  /** @param {import("./types.js").Track[]} changed @param {string} by */
  report(changed, by) {
    if (!by || by === this.editor.me.name) return;
    const [first] = changed;
    const what = first.deleted ? "deleted" : first.version === 1 ? "added" : "changed";
    this.tell(`${by} ${what} ${changed.length === 1 ? Tracks.label(first) : counted(changed.length, "point")}`);
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
    this.editor.receiveJob(data);
    if (data.state === "done" && data.kind === "assist") {
      const late = this.editor.tracks.list.filter((track) => !this.editor.paths.complete(track));
      this.editor.paths.want(late.flatMap((track) => track.id ?? []));
      this.suggest();
    }
    if (data.state === "done" && data.kind === "proxy") this.editor.emit("playable");
  }

  close() {
    this.source?.close();
    clearTimeout(this.again);
    clearTimeout(this.suggestSoon);
  }
}
