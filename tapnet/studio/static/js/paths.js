/** Where the points go, frame by frame: typed arrays, fetched when the server says there are more. */
import { get } from "./api.js";
import { clickAt, rangeAt } from "./content.js";
import { Signals } from "./signal.js";
import { pause } from "./waiting.js";
/** @typedef {import("./types.js").Path} Path */
/** @typedef {import("./types.js").Track} Track */
/** @typedef {import("./tracks.js").Tracks} Tracks */
/** @typedef {{x: number, y: number, visible: boolean, clicked: boolean, confidence: number}} Spot */

const AT_ONCE = 100; // paths of one request
const PAUSE = 150; // ms between two fetches: partial paths come twice a second

export class Paths extends Signals {
  /** @param {Tracks} tracks */
  constructor(tracks) {
    super();
    this.tracks = tracks;
    /** @type {Map<string, Path>} */
    this.all = new Map();
    /** @type {Set<number>} */
    this.wanted = new Set();
    this.fetching = false;
    this.closed = false;
  }

  /** Fetches the paths of these tracks soon. @param {number[]} ids */
  want(ids) {
    for (const id of ids) this.wanted.add(id);
    if (!this.fetching) this.fetch();
  }

  /** The same for tracks, as far as the server knows them. @param {Track[]} tracks */
  wantFor(tracks) {
    this.want(tracks.flatMap((track) => track.id ?? []));
  }

  async fetch() {
    this.fetching = true;
    while (this.wanted.size && !this.closed) {
      const ids = [...this.wanted].slice(0, AT_ONCE);
      for (const id of ids) this.wanted.delete(id);
      try {
        const found = await get(`videos/${this.tracks.video}/paths?tracks=${ids.join(",")}`);
        for (const path of found) this.receive(path);
        this.emit("changed");
      } catch {
        for (const id of ids) this.wanted.add(id);
        await pause(2000);
      }
      await pause(PAUSE);
    }
    this.fetching = false;
  }

  /** @param {any} from */
  receive(from) {
    const track = this.tracks.byId(from.track);
    if (!track) return;
    const old = this.all.get(track.key);
    if (old && !old.guess && old.version > from.version) return;
    if (old?.guess && from.version < track.version) return; // the guess is newer
    this.all.set(track.key, decoded(from));
  }

  /** Whether the newest edit of a track is followed to the end. @param {Track} track */
  complete(track) {
    const path = this.all.get(track.key);
    return Boolean(path && !path.guess && path.complete && path.version >= track.version);
  }

  /**
   * What is shown at once after a click: the path as it was, bent to pass through the clicks;
   * between clicks without a path, a straight line.
   * @param {Track} track
   */
  guess(track) {
    const { clicks } = track.content;
    const old = this.all.get(track.key);
    if (!clicks.length) return;
    const start = Math.min(clicks[0].frame, old?.start ?? Infinity);
    const end = Math.max(clicks[clicks.length - 1].frame + 1, old ? old.start + old.visible.length : 0);
    const n = end - start;
    const xy = new Float32Array(2 * n);
    const visible = new Uint8Array(n).fill(1);
    const confidence = new Uint8Array(n).fill(120);
    const base = (/** @type {number} */ frame) => {
      const i = old ? frame - old.start : -1;
      return old && i >= 0 && i < old.visible.length ? i : -1;
    };
    const offsets = clicks.map((click) => {
      const i = base(click.frame);
      return i < 0 || !old ? null : [click.x - old.xy[2 * i], click.y - old.xy[2 * i + 1]];
    });
    for (let frame = start, k = 0; frame < end; frame++) {
      while (k + 1 < clicks.length && clicks[k + 1].frame <= frame) k++;
      const a = clicks[k];
      const b = clicks[Math.min(k + 1, clicks.length - 1)];
      const share = b.frame > a.frame ? Math.min(1, Math.max(0, (frame - a.frame) / (b.frame - a.frame))) : 0;
      const mix = (/** @type {number} */ p, /** @type {number} */ q) => p + (q - p) * share;
      const i = base(frame);
      const [from, to] = [offsets[k], offsets[Math.min(k + 1, clicks.length - 1)]];
      const at = 2 * (frame - start);
      if (i >= 0 && old && from && to) {
        xy[at] = old.xy[2 * i] + mix(from[0], to[0]);
        xy[at + 1] = old.xy[2 * i + 1] + mix(from[1], to[1]);
        visible[at / 2] = old.visible[i];
      } else {
        xy[at] = mix(a.x, b.x);
        xy[at + 1] = mix(a.y, b.y);
      }
    }
    this.all.set(track.key, {
      version: track.version, complete: false, start, xy, visible, confidence, guess: true,
    });
    this.emit("changed");
  }

  /**
   * The point of a track on a frame, written into `spot`; false where nothing is known.
   * @param {Track} track @param {number} frame @param {Spot} spot
   */
  at(track, frame, spot) {
    const click = clickAt(track.content, frame);
    const path = this.all.get(track.key);
    const i = path ? frame - path.start : -1;
    const inside = path !== undefined && i >= 0 && i < path.visible.length;
    if (!click && !inside) return false;
    spot.clicked = Boolean(click);
    spot.x = click ? click.x : /** @type {Path} */ (path).xy[2 * i];
    spot.y = click ? click.y : /** @type {Path} */ (path).xy[2 * i + 1];
    spot.confidence = click ? 1 : /** @type {Path} */ (path).confidence[i] / 255;
    spot.visible = !rangeAt(track.content, frame) && (Boolean(click) || /** @type {Path} */ (path).visible[i] === 1);
    return true;
  }
}

/** @returns {Spot} */
export const newSpot = () => ({ x: 0, y: 0, visible: false, clicked: false, confidence: 0 });

/** A path as the server sends it. @param {any} from @returns {Path} */
export function decoded(from) {
  const xy = bytes(from.xy);
  return {
    version: from.version, complete: from.complete, start: from.start,
    xy: new Float32Array(xy.buffer, 0, xy.length >> 2),
    visible: bytes(from.visible), confidence: bytes(from.confidence), guess: false,
  };
}

/** @param {string} text base64 */
function bytes(text) {
  const binary = atob(text);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}
