/** A video being annotated: its state, and everything that a person can do to it. */
import { get, post } from "./api.js";
import { clickAt, content, rangeAt, rounded, toggled, withClick, withoutClick } from "./content.js";
import { counted, say } from "./dom.js";
import { Frames } from "./frames.js";
import { Outbox } from "./outbox.js";
import { Paths, newSpot } from "./paths.js";
import { Player } from "./player.js";
import { preferences } from "./prefs.js";
import { Signals } from "./signal.js";
import { Tracks } from "./tracks.js";
import { Undo } from "./undo.js";
/** @typedef {import("./types.js").Content} Content */
/** @typedef {import("./types.js").Suggestion} Suggestion */
/** @typedef {{x: number, y: number}} Place */

const spot = newSpot();

/** Whether a job has not ended. @param {import("./types.js").Job} job */
export const underWay = (job) => job.state === "queued" || job.state === "running";

export class Editor extends Signals {
  /** @param {import("./types.js").Video} video @param {import("./types.js").Me} me @param {HTMLVideoElement} element */
  constructor(video, me, element) {
    super();
    this.video = video;
    this.me = me;
    this.frames = new Frames(video, element);
    this.player = new Player(this.frames);
    this.outbox = new Outbox(video.id, me.name);
    this.tracks = new Tracks(video.id, this.outbox);
    this.paths = new Paths(this.tracks);
    this.undo = new Undo(this.tracks);
    /** @type {string|null} */
    this.chosen = null;
    /** @type {Suggestion[]} the best first */
    this.suggestions = [];
    this.visited = new Set();
    /** @type {import("./types.js").Job[]} */
    this.jobs = [];
    this.ready = false;
    /** @type {Uint16Array|null} */
    this.counts = null;
    this.undo.on("moved", ({ step, back }) => say(`${back ? "Undone" : "Done again"}: ${step.label}`));
    this.tracks.on("changed", () => this.changed());
    this.paths.on("changed", () => this.changed());
  }

  get settings() {
    return preferences.values;
  }

  get playing() {
    return this.player.playing;
  }

  /** There is a picture to click on, and the tracks are known. */
  get usable() {
    return this.ready && this.frames.shown >= 0;
  }

  /** The chosen track. */
  get track() {
    const track = this.chosen ? this.tracks.all.get(this.chosen) : undefined;
    return track && !track.deleted ? track : null;
  }

  /** The assist has stopped without following all points: it failed, or was cancelled. */
  get stuck() {
    const assists = this.jobs.filter((job) => job.kind === "assist");
    if (assists.some(underWay)) return false;
    const newest = assists.reduce((best, job) => (job.id > (best?.id ?? 0) ? job : best), assists[0]);
    return newest?.state === "failed" || newest?.state === "cancelled";
  }

  /** Follows what is not followed. */
  async followAgain() {
    try {
      await this.start("assist", {});
    } catch (error) {
      this.emit("problem", /** @type {Error} */ (error).message);
    }
  }

  changed() {
    this.counts = null;
    this.emit("changed");
  }

  async load() {
    await this.tracks.load();
    this.undo.recall();
    this.ready = true;
    this.paths.wantFor(this.tracks.list);
    this.refreshSuggestions();
    this.refreshJobs();
    this.changed();
  }

  async refreshSuggestions() {
    try {
      const found = await get(`videos/${this.video.id}/suggestions`);
      this.suggestions = found.filter((/** @type {Suggestion} */ one) => this.tracks.byId(one.track)?.deleted === false);
      this.emit("suggestions");
    } catch {
      // asked again with the next change
    }
  }

  async refreshJobs() {
    try {
      this.jobs = await get(`videos/${this.video.id}/jobs`);
      this.emit("jobs");
    } catch {
      // the events bring them
    }
  }

  /** @param {import("./types.js").Job} job */
  receiveJob(job) {
    const at = this.jobs.findIndex((other) => other.id === job.id);
    if (at >= 0) this.jobs[at] = { ...this.jobs[at], ...job };
    else this.jobs.push(job);
    this.emit("jobs");
  }

  // Moving through the video

  /** @param {number} frame */
  go(frame) {
    if (this.playing) this.player.pause();
    this.frames.want(frame);
  }

  /** @param {number} by frames */
  step(by) {
    this.go(this.frames.target + by);
  }

  /** The next or last frame where the chosen point was clicked. @param {1|-1} way */
  goToClick(way) {
    const list = this.track ? [this.track] : this.tracks.list;
    const frames = list.flatMap((track) => track.content.clicks.map((click) => click.frame));
    const now = this.frames.target;
    const there = frames.filter((frame) => (frame - now) * way > 0).sort((a, b) => (a - b) * way);
    if (there.length) this.go(there[0]);
  }

  /** The next suggestion that was not visited. */
  lookNext() {
    if (!this.suggestions.length) return say("Nothing to look at: every point seems well.");
    if (!this.unvisited.length) this.visited.clear();
    this.visit(this.unvisited[0]);
  }

  /** The suggestions that were not looked at, the best first. */
  get unvisited() {
    return this.suggestions.filter((one) => !this.visited.has(`${one.track}:${one.frame}`));
  }

  /** @param {Suggestion} one */
  visit(one) {
    this.visited.add(`${one.track}:${one.frame}`);
    const track = this.tracks.byId(one.track);
    if (track) this.choose(track.key);
    this.go(one.frame);
    this.emit("suggestions");
    this.emit("reveal");
    say(`Frame ${one.frame}: ${one.reason}`);
  }

  // Choosing

  /** @param {string|null} key */
  choose(key) {
    if (this.chosen === key) return;
    this.chosen = key;
    this.emit("chosen");
    const { track } = this;
    if (track) say(`${Tracks.label(track)} chosen`);
  }

  /** @param {number} n the number of a point */
  chooseNumber(n) {
    const track = this.tracks.list.find((one) => one.number === n);
    if (track) this.choose(track.key);
    this.emit("reveal");
  }

  /** @param {1|-1} way */
  chooseNext(way) {
    const { list } = this.tracks;
    if (!list.length) return;
    const at = list.findIndex((track) => track.key === this.chosen);
    const next = at < 0 ? (way > 0 ? 0 : list.length - 1) : (at + way + list.length) % list.length;
    this.choose(list[next].key);
    this.emit("reveal");
  }

  // Edits. Each is one step of undo.

  /** @param {Partial<Content>} given @returns {Content} */
  fresh(given) {
    return content({ assist: this.settings.assist, model: this.settings.model || "taplite", ...given });
  }

  /** A click on the picture: a new point, or the place of the chosen one. @param {Place} place @param {boolean} other the other of the two */
  clicked(place, other) {
    const places = (this.settings.tool === "place") !== other;
    if (places && this.track) this.place(this.track.key, this.frames.shown, place);
    else this.add([{ frame: this.frames.shown, ...place }]);
  }

  /** New points. @param {import("./types.js").Click[]} clicks one of each */
  add(clicks) {
    const made = this.tracks.create(clicks.map((click) => this.fresh({ clicks: [click] })));
    this.undo.push(
      `new ${counted(made.length, "point")}`,
      made.map((track) => ({ key: track.key, before: null, after: track.content })),
    );
    if (made.length === 1) this.choose(made[0].key);
    say(`${counted(made.length, "point")} added on frame ${clicks[0].frame}`);
  }

  /** Columns and rows of a regular grid over the picture. @param {number} count about how many points */
  gridSize(count) {
    const { width, height } = this.video;
    const columns = Math.max(1, Math.round(Math.sqrt((count * width) / height)));
    return [columns, Math.max(1, Math.round(count / columns))];
  }

  /** Points on a regular grid over the picture of this frame. @param {number} count about how many */
  addGrid(count) {
    const { width, height } = this.video;
    const [columns, rows] = this.gridSize(count);
    const frame = this.frames.shown;
    if (!this.usable) return;
    const clicks = Array.from({ length: rows * columns }, (_, i) => ({
      frame,
      ...rounded({ x: (width * ((i % columns) + 0.5)) / columns, y: (height * (Math.floor(i / columns) + 0.5)) / rows }),
    }));
    this.choose(null);
    this.add(clicks);
  }

  /**
   * The point is here on this frame: a click, from which it is followed again.
   * @param {string} key @param {number} frame @param {Place|null} place null: where it is drawn
   */
  place(key, frame, place) {
    const track = this.tracks.all.get(key);
    if (!track) return;
    if (!place && !this.paths.at(track, frame, spot)) return;
    const at = place ?? rounded(spot);
    this.edit(key, withClick(track.content, { frame, ...at }), "click", `point on frame ${frame}`);
  }

  /** @param {string} key @param {Content} after @param {string} kind @param {string} label */
  edit(key, after, kind, label) {
    const track = this.tracks.all.get(key);
    if (!track) return;
    const before = track.content;
    this.tracks.change(key, after, kind);
    if (track.content === before) return;
    this.undo.push(label, [{ key, before, after }]);
    if (kind === "click") this.paths.guess(track);
  }

  /** X: hidden from this frame on, or shown again. */
  toggleHidden() {
    const { track } = this;
    if (!track || !this.usable) return say("Choose a point first");
    const frame = this.frames.shown;
    const was = rangeAt(track.content, frame);
    this.edit(track.key, toggled(track.content, frame, this.frames.count), "hide", was ? "point shown" : "point hidden");
    say(was ? `Visible from frame ${frame}` : `Hidden from frame ${frame}`);
  }

  /** Takes back the click of the chosen point on this frame. */
  removeClick() {
    const { track } = this;
    const frame = this.frames.shown;
    if (!track || !clickAt(track.content, frame)) return;
    if (track.content.clicks.length === 1) return this.remove();
    this.edit(track.key, withoutClick(track.content, frame), "click", `click on frame ${frame} removed`);
  }

  remove() {
    const { track } = this;
    if (!track) return;
    const at = this.tracks.list.indexOf(track);
    this.tracks.remove(track.key);
    this.undo.push(`${Tracks.label(track)} deleted`, [{ key: track.key, before: track.content, after: null }]);
    say(`${Tracks.label(track)} deleted`);
    this.choose(this.tracks.list[Math.min(at, this.tracks.list.length - 1)]?.key ?? null);
  }

  removeAll() {
    const all = [...this.tracks.list];
    for (const track of all) this.tracks.remove(track.key);
    const items = all.map((track) => ({ key: track.key, before: track.content, after: null }));
    this.undo.push(`${counted(all.length, "point")} deleted`, items);
    this.choose(null);
  }

  /** @param {Partial<Content>} values @param {string} kind */
  describe(values, kind) {
    const { track } = this;
    if (track) this.edit(track.key, { ...track.content, ...values }, kind, "description of a point");
  }

  /** All points are followed in another way. @param {string} assist @param {string} model */
  followAll(assist, model) {
    const items = [];
    for (const track of this.tracks.list) {
      const before = track.content;
      this.tracks.change(track.key, { ...before, assist, model }, "assist");
      if (track.content !== before) items.push({ key: track.key, before, after: track.content });
    }
    if (items.length) this.undo.push("how points are followed", items);
  }

  /** @param {string} kind @param {Record<string, any>} settings @returns {Promise<import("./types.js").Job>} */
  async start(kind, settings) {
    const job = await post(`videos/${this.video.id}/jobs`, { kind, settings });
    this.receiveJob(job);
    return job;
  }

  /** How many points are visible on each frame. @returns {Uint16Array} */
  visibleCounts() {
    if (this.counts) return this.counts;
    this.counts = new Uint16Array(this.frames.count);
    for (const track of this.tracks.list) {
      const path = this.paths.all.get(track.key);
      if (!path) continue;
      const end = Math.min(this.counts.length, path.start + path.visible.length);
      for (let frame = path.start; frame < end; frame++) this.counts[frame] += path.visible[frame - path.start];
    }
    return this.counts;
  }

  close() {
    this.undo.close();
    this.outbox.close();
    this.paths.closed = true;
    this.player.stop();
    this.frames.close();
  }
}
