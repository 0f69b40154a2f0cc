/** The tracks of a video as the page knows them: the server's, with what is not saved yet on top. */
import { get } from "./api.js";
import { equal, merged } from "./content.js";
import { colorOf } from "./palette.js";
import { Signals } from "./signal.js";
/** @typedef {import("./types.js").Content} Content */
/** @typedef {import("./types.js").ServerTrack} ServerTrack */
/** @typedef {import("./types.js").Track} Track */
/** @typedef {import("./outbox.js").Outbox} Outbox */

export class Tracks extends Signals {
  /** @param {number} video @param {Outbox} outbox */
  constructor(video, outbox) {
    super();
    this.video = video;
    this.outbox = outbox;
    /** @type {Map<string, Track>} */
    this.all = new Map();
    /** @type {Map<number, string>} */
    this.keys = new Map();
    /** @type {Track[]} those that are not deleted, in their order */
    this.list = [];
    this.made = 0;
    outbox.on("acknowledged", (detail) => this.acknowledged(detail));
    outbox.on("rebased", ({ key, content }) => this.set(key, { content }));
    outbox.on("refused", ({ entry }) => this.revert(entry));
  }

  async load() {
    /** @type {ServerTrack[]} */
    const tracks = await get(`videos/${this.video}/tracks?deleted=true`);
    for (const track of tracks.sort((a, b) => a.id - b.id)) this.receive(track);
    for (const entry of this.outbox.adopt()) this.replay(entry);
    this.arrange();
    this.outbox.pump();
    this.outbox.emit("changed");
  }

  /** @param {number} id @returns {Track|undefined} */
  byId(id) {
    return this.all.get(this.keys.get(id) ?? "");
  }

  /** What the server has of a track; kept unless this page knows it or is changing it. @param {ServerTrack} from */
  receive(from) {
    const key = this.keys.get(from.id) ?? `t${from.id}`;
    const known = this.all.get(key);
    if (known && (from.version <= known.version || this.outbox.of(key).length)) return false;
    this.keys.set(from.id, key);
    this.put(key, from);
    return true;
  }

  /** @param {string} key @param {ServerTrack} from @param {Content} [content] */
  put(key, from, content = from.content) {
    const known = this.all.get(key);
    const { number, color } = known ?? { number: 0, color: "" };
    this.all.set(key, {
      key, id: from.id, version: from.version, content, stage: from.stage,
      deleted: from.deleted, changedBy: from.changed_by, changedAt: from.changed_at, number, color,
    });
  }

  /** An edit that an earlier page could not send, on top of what the server has. @param {import("./outbox.js").Entry} entry */
  replay(entry) {
    if (entry.op === "create") {
      entry.keys.forEach((key, i) => this.blank(key, entry.contents[i]));
      return;
    }
    const key = entry.id === null ? entry.key : (this.keys.get(entry.id) ?? entry.key);
    entry.key = key;
    const track = this.all.get(key);
    if (!track) return;
    if (entry.op === "delete") track.deleted = true;
    else if (entry.content) {
      track.deleted = false;
      track.content = entry.base ? merged(entry.base, entry.content, track.content).content : entry.content;
    }
  }

  /** @param {string} key @param {Content} content */
  blank(key, content) {
    this.all.set(key, {
      key, id: null, version: 0, content, stage: "annotate", deleted: false,
      changedBy: this.outbox.user, changedAt: null, number: 0, color: "",
    });
  }

  /** @param {Content[]} contents @returns {Track[]} */
  create(contents) {
    const stamp = `${Date.now().toString(36)}-${++this.made}`;
    const keys = contents.map((_, i) => `n${stamp}-${i}`);
    keys.forEach((key, i) => this.blank(key, contents[i]));
    this.arrange();
    this.outbox.push({ op: "create", kind: "create", key: "", keys, contents });
    return keys.map((key) => /** @type {Track} */ (this.all.get(key)));
  }

  /** @param {string} key @param {Content} content @param {string} kind */
  change(key, content, kind) {
    const track = this.all.get(key);
    if (!track || (equal(track.content, content) && !track.deleted)) return;
    this.edit(track, { op: "change", kind, base: track.content, content });
    this.set(key, { content, deleted: false });
  }

  /** @param {string} key */
  remove(key) {
    const track = this.all.get(key);
    if (!track || track.deleted) return;
    this.edit(track, { op: "delete", kind: "delete", base: track.content });
    this.set(key, { deleted: true });
  }

  /** @param {Track} track @param {Partial<import("./outbox.js").Entry>} given */
  edit(track, given) {
    const waits = this.outbox.of(track.key).length > 0;
    const base_version = waits ? null : track.version;
    this.outbox.push({ key: track.key, id: track.id, base_version, ...given });
  }

  /** @param {string} key @param {Partial<Track>} values */
  set(key, values) {
    const track = this.all.get(key);
    if (!track) return;
    Object.assign(track, values);
    this.arrange();
  }

  /** @param {{keys: string[], tracks: (ServerTrack|null)[], entry: import("./outbox.js").Entry}} detail */
  acknowledged({ keys, tracks, entry }) {
    keys.forEach((key, i) => {
      const from = tracks[i];
      const track = this.all.get(key);
      if (!track) return;
      const waits = this.outbox.of(key).length > 0;
      if (!from?.id) {
        track.version = (entry.base_version ?? 0) + 1; // a deletion may be answered without words
        return;
      }
      this.keys.set(from.id, key);
      const deleted = waits ? track.deleted : from.deleted;
      this.put(key, { ...from, deleted }, waits ? track.content : from.content);
    });
    this.arrange();
  }

  /** The server does not take an edit: what it has is shown again. @param {import("./outbox.js").Entry} entry */
  async revert(entry) {
    if (entry.op === "create") {
      for (const key of entry.keys) {
        for (const later of this.outbox.of(key)) this.outbox.drop(later);
        this.all.delete(key);
      }
    } else {
      for (const later of this.outbox.of(entry.key)) this.outbox.drop(later);
      const track = this.all.get(entry.key);
      if (track) track.version = -1;
      await this.refresh();
    }
    this.arrange();
    this.outbox.emit("changed");
  }

  /**
   * Takes what others have changed: of these tracks, or of all. Returns what is new.
   * @param {number[]} [ids] @returns {Promise<Track[]>}
   */
  async refresh(ids) {
    const few = ids && ids.length <= 3;
    /** @type {ServerTrack[]} */
    const from = few
      ? await Promise.all(ids.map((id) => get(`tracks/${id}`)))
      : await get(`videos/${this.video}/tracks?deleted=true`);
    const fresh = from.filter((track) => this.receive(track));
    this.arrange();
    return fresh.flatMap((track) => this.byId(track.id) ?? []);
  }

  /** Sorts the tracks; each has the smallest number that was free when it came. */
  arrange() {
    const list = [...this.all.values()].filter((track) => !track.deleted);
    const taken = new Map();
    for (const track of list) if (track.number && !taken.has(track.number)) taken.set(track.number, track);
    let free = 1;
    for (const track of list) {
      if (taken.get(track.number) === track) continue;
      while (taken.has(free)) free++;
      track.number = free;
      track.color = colorOf(free);
      taken.set(free, track);
    }
    this.list = list.sort((a, b) => a.number - b.number);
    this.emit("changed");
  }

  /** What to call a track. @param {Track} track */
  static label(track) {
    return track.content.name || `Point ${track.number}`;
  }
}
