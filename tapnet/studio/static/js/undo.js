/** Undo and redo without a limit. Undoing is a new edit: nobody's later work is lost by it. */
import { merged } from "./content.js";
import { Signals } from "./signal.js";
/** @typedef {import("./types.js").Content} Content */
/** @typedef {import("./tracks.js").Tracks} Tracks */
/** @typedef {{key: string, before: Content|null, after: Content|null}} Item  null: was not there */
/** @typedef {{label: string, items: Item[]}} Step */

export class Undo extends Signals {
  /** @param {Tracks} tracks */
  constructor(tracks) {
    super();
    this.tracks = tracks;
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
    this.name = `tapnet.undo.${tracks.video}`;
    this.keepNow = () => this.keep();
    globalThis.addEventListener("pagehide", this.keepNow);
  }

  /** @param {string} label @param {Item[]} items */
  push(label, items) {
    this.done.push({ label, items });
    this.undone = [];
    this.emit("changed");
  }

  undo() {
    this.move(this.done, this.undone, true);
  }

  redo() {
    this.move(this.undone, this.done, false);
  }

  /** @param {Step[]} from @param {Step[]} to @param {boolean} back */
  move(from, to, back) {
    const step = from.pop();
    if (!step) return;
    for (const { key, before, after } of back ? step.items : [...step.items].reverse()) {
      this.apply(key, back ? after : before, back ? before : after, back ? "undo" : "redo");
    }
    to.push(step);
    this.emit("changed");
    this.emit("moved", { step, back });
  }

  /** @param {string} key @param {Content|null} from @param {Content|null} to @param {string} kind */
  apply(key, from, to, kind) {
    const track = this.tracks.all.get(key);
    if (!track) return;
    if (!to) this.tracks.remove(key);
    else if (track.deleted || !from) this.tracks.change(key, to, "restore");
    else this.tracks.change(key, merged(from, to, track.content).content, kind);
  }

  /** Keeps the steps for a reload of this tab, as many as the browser takes. */
  keep() {
    const lasting = (/** @type {Step} */ step) => ({
      ...step,
      items: step.items.map((item) => {
        const id = this.tracks.all.get(item.key)?.id;
        return { ...item, key: id ? `t${id}` : item.key };
      }),
    });
    for (let steps = this.done.map(lasting); ; steps = steps.slice(Math.ceil(steps.length / 2))) {
      try {
        sessionStorage.setItem(this.name, JSON.stringify({ done: steps, undone: this.undone.map(lasting) }));
        return;
      } catch {
        if (!steps.length) return;
      }
    }
  }

  recall() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.name) ?? "null");
      const known = (/** @type {Step} */ step) => step.items.every((item) => this.tracks.all.has(item.key));
      this.done = (kept?.done ?? []).filter(known);
      this.undone = (kept?.undone ?? []).filter(known);
    } catch {
      sessionStorage.removeItem(this.name);
    }
    this.emit("changed");
  }

  close() {
    this.keep();
    globalThis.removeEventListener("pagehide", this.keepNow);
  }
}
