/**
 * Sending a video in pieces. What has arrived stays on the server: after a reload or a broken line
 * the same file goes on where it stopped.
 */
import { Refused, call, get, post } from "./api.js";
import { Signals } from "./signal.js";
import { pause } from "./waiting.js";

const PIECE = 4 * 1024 * 1024; // bytes
const NAME = "tapnet.uploads";
const TRIES = 8;

/** @typedef {{id: string|number, name: string, size: number, modified: number, offset: number}} Kept */

/** Uploads that have begun and not ended. @returns {Kept[]} */
export function unfinished() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {Kept[]} all */
function keep(all) {
  try {
    localStorage.setItem(NAME, JSON.stringify(all));
  } catch {
    // cannot be resumed after a reload, but goes on
  }
}

/** @param {string|number} id */
export function forget(id) {
  keep(unfinished().filter((one) => one.id !== id));
}

export class Upload extends Signals {
  /** @param {File} file */
  constructor(file) {
    super();
    this.file = file;
    this.offset = 0;
    this.stopped = false;
    this.resumed = false;
    this.speed = 0; // bytes a second
  }

  get share() {
    return this.file.size ? this.offset / this.file.size : 0;
  }

  /** Sends it all. @returns {Promise<any>} the video, or null when stopped */
  async send() {
    const { file } = this;
    const known = unfinished().find((one) => one.name === file.name && one.size === file.size && one.modified === file.lastModified);
    let id = known?.id;
    if (known) {
      try {
        this.offset = (await get(`uploads/${known.id}`)).offset;
        this.resumed = this.offset > 0;
      } catch (error) {
        if (/** @type {Refused} */ (error).passing) throw error;
        forget(known.id);
        id = undefined;
      }
    }
    if (id === undefined) {
      const begun = await post("uploads", { name: file.name, size: file.size });
      id = begun.id;
      this.offset = begun.offset ?? 0;
    }
    this.id = id;
    this.note();
    const started = performance.now();
    const from = this.offset;
    while (this.offset < file.size && !this.stopped) {
      await this.piece();
      this.speed = (1000 * (this.offset - from)) / (performance.now() - started);
      this.note();
    }
    if (this.stopped) return null;
    const video = await post(`uploads/${id}/finish`);
    forget(/** @type {string} */ (id));
    return video;
  }

  /** One piece, tried again while the line is broken. */
  async piece() {
    for (let tries = 0; ; tries++) {
      try {
        const blob = this.file.slice(this.offset, this.offset + PIECE);
        const answer = await call("PATCH", `uploads/${this.id}`, blob, { "Upload-Offset": String(this.offset), "Content-Type": "application/octet-stream" });
        this.offset = answer.offset;
        return;
      } catch (error) {
        const refused = /** @type {Refused} */ (error);
        const again = refused.passing || refused.status === 409;
        if (!again || tries >= TRIES || this.stopped) throw error;
        await pause(Math.min(8000, 300 * 2 ** tries));
        const there = await get(`uploads/${this.id}`).catch(() => null);
        if (there) this.offset = there.offset;
      }
    }
  }

  note() {
    const others = unfinished().filter((one) => one.id !== this.id);
    const { name, size, lastModified: modified } = this.file;
    keep([...others, { id: /** @type {any} */ (this.id), name, size, modified, offset: this.offset }]);
    this.emit("progress");
  }

  stop() {
    this.stopped = true;
  }
}
