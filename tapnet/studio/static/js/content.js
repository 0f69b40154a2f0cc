/** What a person made of a track, as values: every change returns another content. */
/** @typedef {import("./types.js").Content} Content */
/** @typedef {import("./types.js").Click} Click */

/** @param {Partial<Content>} given @returns {Content} */
export function content(given) {
  return { name: "", object: "", clicks: [], hidden: [], assist: "tracker", model: "taplite", ...given };
}

/** A place as it is kept: to a hundredth of a pixel. @param {{x: number, y: number}} place */
export const rounded = ({ x, y }) => ({ x: Math.round(100 * x) / 100, y: Math.round(100 * y) / 100 });

/** @param {Content} a @param {Content} b */
export const equal = (a, b) => text(a) === text(b);

/** @param {Content} c */
function text(c) {
  const clicks = c.clicks.map((click) => [click.frame, click.x, click.y]);
  return JSON.stringify([c.name, c.object, clicks, c.hidden, c.assist, c.model]);
}

/** @param {Content} c @param {number} frame @returns {Click|undefined} */
export const clickAt = (c, frame) => c.clicks.find((click) => click.frame === frame);

/** Whether a click is where another one is; it is not where none is. @param {Click} click @param {Click} [other] */
export const samePlace = (click, other) => other !== undefined && click.x === other.x && click.y === other.y;

/** The hidden range that a frame lies in. @param {Content} c @param {number} frame */
export const rangeAt = (c, frame) => c.hidden.find(([a, b]) => a <= frame && frame < b);

/** The point was seen here: it is visible from this frame on. @param {Content} c @param {Click} click @returns {Content} */
export function withClick(c, click) {
  const others = c.clicks.filter((other) => other.frame !== click.frame);
  const clicks = [...others, click].sort((a, b) => a.frame - b.frame);
  return { ...c, clicks, hidden: shown(c, click.frame) };
}

/** @param {Content} c @param {number} frame @returns {Content} */
export function withoutClick(c, frame) {
  return { ...c, clicks: c.clicks.filter((click) => click.frame !== frame) };
}

/**
 * Hides the point from a frame on until it is clicked or marked hidden already, or the video ends;
 * on a hidden frame, shows it from there on.
 * @param {Content} c @param {number} frame @param {number} frames of the video @returns {Content}
 */
export function toggled(c, frame, frames) {
  if (rangeAt(c, frame)) return { ...c, hidden: shown(c, frame) };
  const click = c.clicks.find((other) => other.frame > frame);
  const end = Math.min(click?.frame ?? frames, frames);
  const clicks = c.clicks.filter((other) => other.frame !== frame);
  const ranges = /** @type {[number, number][]} */ ([...c.hidden, [frame, end]]);
  return { ...c, clicks: clicks.length ? clicks : c.clicks, hidden: joined(ranges) };
}

/** The hidden ranges, less what follows a frame in its range. @param {Content} c @param {number} frame @returns {[number, number][]} */
function shown(c, frame) {
  return c.hidden.flatMap(([a, b]) => {
    if (frame < a || frame >= b) return [/** @type {[number, number]} */ ([a, b])];
    return frame > a ? [/** @type {[number, number]} */ ([a, frame])] : [];
  });
}

/** @param {[number, number][]} ranges @returns {[number, number][]} */
function joined(ranges) {
  /** @type {[number, number][]} */
  const out = [];
  for (const [a, b] of [...ranges].sort((p, q) => p[0] - q[0])) {
    const last = out.at(-1);
    if (last && a <= last[1]) last[1] = Math.max(last[1], b);
    else out.push([a, b]);
  }
  return out;
}

/**
 * `base` with the changes of both sides. Where both changed one frame or one word differently,
 * `mine` wins and `clash` is true.
 * @param {Content} base @param {Content} mine @param {Content} theirs
 * @returns {{content: Content, clash: boolean}}
 */
export function merged(base, mine, theirs) {
  let clash = false;
  /** @type {<T>(b: T, m: T, t: T) => T} */
  const either = (b, m, t) => {
    const [bs, ms, ts] = [b, m, t].map((value) => JSON.stringify(value ?? null));
    if (ts === bs || ts === ms) return m;
    if (ms === bs) return t;
    clash = true;
    return m;
  };
  const sides = [base, mine, theirs];
  const frames = new Set(sides.flatMap((side) => side.clicks.map((click) => click.frame)));
  /** @type {Click[]} */
  const clicks = [];
  for (const frame of [...frames].sort((a, b) => a - b)) {
    const [b, m, t] = sides.map((side) => clickAt(side, frame) ?? null);
    const click = either(b, m, t);
    if (click) clicks.push(click);
  }
  const borders = [...new Set(sides.flatMap((side) => side.hidden.flat()))].sort((a, b) => a - b);
  /** @type {[number, number][]} */
  const hidden = [];
  for (let i = 0; i + 1 < borders.length; i++) {
    const [b, m, t] = sides.map((side) => Boolean(rangeAt(side, borders[i])));
    if (either(b, m, t)) hidden.push([borders[i], borders[i + 1]]);
  }
  const content = {
    name: either(base.name, mine.name, theirs.name),
    object: either(base.object, mine.object, theirs.object),
    assist: either(base.assist, mine.assist, theirs.assist),
    model: either(base.model, mine.model, theirs.model),
    clicks,
    hidden: joined(hidden),
  };
  return { content, clash };
}

/** What changed from one content to the next, in words. @param {Content|null} before @param {Content} after @returns {string[]} */
export function changes(before, after) {
  if (!before) return [`clicked on frame ${after.clicks.map((click) => click.frame).join(", ") || "none"}`];
  /** @type {string[]} */
  const words = [];
  for (const click of after.clicks) {
    const old = clickAt(before, click.frame);
    if (!old) words.push(`clicked on frame ${click.frame}`);
    else if (!samePlace(click, old)) {
      const by = Math.hypot(old.x - click.x, old.y - click.y);
      words.push(`moved by ${by.toFixed(1)} px on frame ${click.frame}`);
    }
  }
  for (const click of before.clicks) {
    if (!clickAt(after, click.frame)) words.push(`click removed on frame ${click.frame}`);
  }
  if (JSON.stringify(before.hidden) !== JSON.stringify(after.hidden)) {
    const ranges = after.hidden.map(([a, b]) => (b - a === 1 ? `${a}` : `${a}–${b - 1}`));
    words.push(ranges.length ? `hidden on frames ${ranges.join(", ")}` : "visible on all frames");
  }
  if (before.name !== after.name) words.push(after.name ? `named “${after.name}”` : "name removed");
  if (before.object !== after.object) words.push(after.object ? `part of “${after.object}”` : "object removed");
  if (before.assist !== after.assist || before.model !== after.model) words.push(`follows by ${method(after)}`);
  return words.length ? words : ["no change"];
}

/** @param {Content} c */
export function method(c) {
  /** @type {Record<string, string>} */
  const names = { flow: "optical flow", linear: "straight lines", imported: "imported track" };
  return names[c.assist] ?? c.model;
}

/** Straight lines between the clicks: what stands for a path that was not computed. @param {Content} c @returns {import("./types.js").Path} */
export function straight(c) {
  const [first, last] = [c.clicks[0], c.clicks[c.clicks.length - 1]];
  const start = first?.frame ?? 0;
  const n = first ? last.frame - start + 1 : 0;
  const xy = new Float32Array(2 * n);
  const visible = new Uint8Array(n);
  for (let i = 0, k = 0; i < n; i++) {
    const frame = start + i;
    while (k + 2 < c.clicks.length && c.clicks[k + 1].frame <= frame) k++;
    const a = c.clicks[k];
    const b = c.clicks[k + 1] ?? a;
    const share = b === a ? 0 : (frame - a.frame) / (b.frame - a.frame);
    xy[2 * i] = a.x + (b.x - a.x) * share;
    xy[2 * i + 1] = a.y + (b.y - a.y) * share;
    visible[i] = rangeAt(c, frame) ? 0 : 1;
  }
  return { version: 0, complete: true, start, xy, visible, confidence: new Uint8Array(n).fill(255), guess: true };
}
