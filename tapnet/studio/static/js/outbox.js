/**
 * Edits on their way to the server. An edit is written to the browser's storage before it is sent
 * and taken out after the server acknowledged it; sent again it keeps its edit_id, so a lost answer,
 * a reload or a restart of the server neither loses an edit nor makes it twice.
 */
import { Refused, call, newName, post } from "./api.js";
import { merged } from "./content.js";
import { Signals } from "./signal.js";
/** @typedef {import("./types.js").Content} Content */
/** @typedef {import("./types.js").ServerTrack} ServerTrack */
/**
 * @typedef {{edit_id: string, at: number, seq: number, video: number, user: string,
 *   op: "create"|"change"|"delete", kind: string, key: string, keys: string[], id: number|null,
 *   base_version: number|null, base: Content|null, content: Content|null, contents: Content[]}} Entry
 *   `base_version` null: that of the edit before it in its lane
 */

const PREFIX = "tapnet.edit.";
const AT_ONCE = 4; // requests
const LONGEST_WAIT = 4000; // ms between two tries

export class Outbox extends Signals {
  /** @param {number} video @param {string} user */
  constructor(video, user) {
    super();
    this.video = video;
    this.user = user;
    this.seq = 0;
    /** @type {Entry[]} in the order they were made */
    this.entries = [];
    /** @type {Set<string>} lanes with a request under way, or held */
    this.busy = new Set();
    /** @type {Set<string>} lanes that wait for a choice */
    this.held = new Set();
    this.failures = 0;
    this.problem = "";
    this.closed = false;
    this.retry = 0;
  }

  /** What an earlier page left. @returns {Entry[]} */
  adopt() {
    /** @type {Entry[]} */
    const found = [];
    for (let i = 0; i < localStorage.length; i++) {
      const name = localStorage.key(i) ?? "";
      if (!name.startsWith(PREFIX)) continue;
      try {
        const entry = JSON.parse(localStorage.getItem(name) ?? "");
        if (entry.video === this.video && entry.user === this.user) found.push(entry);
      } catch {
        localStorage.removeItem(name);
      }
    }
    this.entries = found.sort((a, b) => a.at - b.at || a.seq - b.seq);
    this.seq = Math.max(0, ...found.map((entry) => entry.seq));
    return this.entries;
  }

  /** @param {Partial<Entry>} given */
  push(given) {
    const entry = /** @type {Entry} */ ({
      edit_id: newName(), at: Date.now(), seq: ++this.seq, video: this.video, user: this.user,
      kind: "click", keys: [], id: null, base_version: null, base: null, content: null,
      contents: [], ...given,
    });
    this.entries.push(entry);
    this.keep(entry);
    this.emit("changed");
    this.pump();
  }

  /** @param {Entry} entry */
  keep(entry) {
    try {
      localStorage.setItem(PREFIX + entry.edit_id, JSON.stringify(entry));
    } catch {
      this.emit("unkept"); // still sent, but a reload before the answer would lose it
    }
  }

  /** @param {Entry} entry */
  drop(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    localStorage.removeItem(PREFIX + entry.edit_id);
  }

  /** The edits of a track that are not acknowledged. @param {string} key */
  of(key) {
    return this.entries.filter((entry) => entry.key === key || entry.keys.includes(key));
  }

  /** Sends what can be sent now. */
  pump() {
    if (this.closed) return;
    const seen = new Set();
    for (const entry of this.entries) {
      const lane = entry.op === "create" ? entry.edit_id : entry.key;
      const first = !seen.has(lane);
      seen.add(lane);
      if (this.busy.size >= AT_ONCE) return;
      const ready = entry.op === "create" || (entry.id !== null && entry.base_version !== null);
      if (first && ready && !this.busy.has(lane)) this.send(entry, lane);
    }
  }

  /** @param {Entry} entry @param {string} lane */
  async send(entry, lane) {
    this.busy.add(lane);
    try {
      const answer = await this.request(entry);
      this.failures = 0;
      this.problem = "";
      if (!this.closed) this.acknowledge(entry, answer);
    } catch (error) {
      if (this.closed) return;
      if (!(error instanceof Refused)) throw error;
      if (error.passing || error.status === 401) this.wait(error);
      else if (error.status === 409 && error.answer?.current) this.conflict(entry, error.answer, lane);
      else {
        this.drop(entry);
        this.emit("refused", { entry, words: error.message });
      }
    } finally {
      if (!this.held.has(lane)) this.busy.delete(lane);
      this.emit("changed");
    }
    if (!this.retry) this.pump();
  }

  /** @param {Entry} entry @returns {Promise<any>} */
  request(entry) {
    const { edit_id, base_version, content, contents, kind } = entry;
    if (entry.op === "create") return post(`videos/${this.video}/tracks`, { edit_id, contents });
    const path = `tracks/${entry.id}`;
    if (entry.op === "change") return call("PUT", path, { edit_id, base_version, content, kind });
    return call("DELETE", `${path}?base_version=${base_version}&edit_id=${edit_id}`);
  }

  /** @param {Entry} entry @param {any} answer */
  acknowledge(entry, answer) {
    /** @type {ServerTrack[]} */
    const tracks = entry.op === "create" ? answer : [answer];
    const keys = entry.op === "create" ? entry.keys : [entry.key];
    keys.forEach((key, i) => {
      const next = this.entries.find((other) => other.key === key && other !== entry);
      if (!next) return;
      const version = tracks[i]?.version ?? (entry.base_version ?? 0) + 1;
      for (const other of this.entries) if (other.key === key) other.id = tracks[i]?.id ?? other.id;
      next.base_version = version;
      this.of(key).forEach((other) => this.keep(other));
    });
    this.drop(entry);
    this.emit("acknowledged", { entry, keys, tracks });
  }

  /** @param {Refused} error */
  wait(error) {
    this.failures += 1;
    this.problem = error.status === 401 ? "Log in again to save." : error.message;
    const pause = Math.min(LONGEST_WAIT, 500 * 2 ** Math.min(this.failures - 1, 5));
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.tryNow(), pause);
  }

  tryNow() {
    clearTimeout(this.retry);
    this.retry = 0;
    this.pump();
  }

  /**
   * Somebody else changed the track since. What merges is sent again, merged; else the page asks.
   * @param {Entry} entry @param {{current: ServerTrack, merged: Content|null}} answer @param {string} lane
   */
  conflict(entry, answer, lane) {
    const { current } = answer;
    if (answer.merged && entry.op === "change") {
      this.rebase(entry, current, answer.merged);
      this.emit("merged", { entry, current });
      return;
    }
    this.held.add(lane);
    /** @param {"mine"|"theirs"} choice */
    const choose = (choice) => {
      this.held.delete(lane);
      this.busy.delete(lane);
      if (choice === "mine") {
        const { base, content } = entry;
        this.rebase(entry, current, base && content && merged(base, content, current.content).content);
        if (current.deleted) entry.kind = "restore";
        this.keep(entry);
      } else {
        this.follow(entry, current.content, current.version);
        this.drop(entry);
        this.emit("acknowledged", { entry, keys: [entry.key], tracks: [current] });
      }
      this.emit("changed");
      this.pump();
    };
    this.emit("conflict", { entry, current, choose });
  }

  /**
   * Puts an edit on top of what the server has.
   * @param {Entry} entry @param {ServerTrack} current @param {Content|null} content
   */
  rebase(entry, current, content) {
    entry.base_version = current.version;
    entry.base = current.content;
    if (content) {
      entry.content = content;
      this.follow(entry, content, null);
    }
    this.keep(entry);
  }

  /**
   * The edits after this one, made on top of another content.
   * @param {Entry} entry @param {Content} content @param {number|null} version
   */
  follow(entry, content, version) {
    let base = content;
    let first = true;
    for (const other of this.entries.slice(this.entries.indexOf(entry) + 1)) {
      if (other.key !== entry.key || !other.base || !other.content) continue;
      other.content = merged(other.base, other.content, base).content;
      other.base = base;
      if (first && version !== null) other.base_version = version;
      first = false;
      base = other.content;
      this.keep(other);
    }
    this.emit("rebased", { key: entry.key, content: base });
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
  }
}
