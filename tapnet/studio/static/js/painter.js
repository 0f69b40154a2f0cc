/** Paints the video and its tracks on the one canvas. */
import { rangeAt } from "./content.js";
import { newSpot } from "./paths.js";
import { Tracks } from "./tracks.js";
/** @typedef {import("./types.js").Track} Track */
/** @typedef {import("./view.js").View} View */
/** @typedef {import("./paths.js").Paths} Paths */
/** @typedef {{x: number, y: number}} Place  of the video, raster pixels */
/**
 * @typedef {{view: View, ratio: number, image: CanvasImageSource|null, frame: number, list: Track[],
 *   paths: Paths, chosen: string|null, hovered: string|null, trail: number, labels: boolean,
 *   drag: {key: string, place: Place}|null, ghost: Place|null, lens: Place|null, stage: string,
 *   guides: {place: Place, color: string}[]}} Scene
 */

const DOT = 5.5; // CSS pixels
const SEGMENTS = 8000; // of all trails but the chosen one's
const spot = newSpot();

/** @param {CanvasRenderingContext2D} pen @param {Scene} scene */
export function paint(pen, scene) {
  const { view, ratio } = scene;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = scene.stage;
  pen.fillRect(0, 0, view.size.width, view.size.height);
  if (scene.image) picture(pen, scene.image, view);
  if (scene.trail) for (const track of scene.list) trail(pen, scene, track);
  const dots = scene.list.flatMap((track) => dotOf(scene, track) ?? []);
  paintDots(pen, dots);
  for (const dot of dots) if (dot.strong || scene.labels) label(pen, dot, Tracks.label(dot.track));
  for (const { place, color } of scene.guides) guide(pen, view.toScreen(place.x, place.y), color);
  if (scene.ghost) cross(pen, view.toScreen(scene.ghost.x, scene.ghost.y), 18, [[4, "rgb(0 0 0 / 60%)"], [1.5, "#fff"]]);
  if (scene.lens && scene.image) lens(pen, scene, scene.lens);
}

/** @param {CanvasRenderingContext2D} pen @param {CanvasImageSource} image @param {View} view */
function picture(pen, image, view) {
  pen.imageSmoothingEnabled = view.scale < 3;
  pen.imageSmoothingQuality = "medium";
  pen.drawImage(image, view.x, view.y, view.video.width * view.scale, view.video.height * view.scale);
}

/** The way of a point in the last frames; all of it, for the chosen one. @param {CanvasRenderingContext2D} pen @param {Scene} scene @param {Track} track */
function trail(pen, scene, track) {
  const path = scene.paths.all.get(track.key);
  if (!path) return;
  const { view, frame } = scene;
  const chosen = track.key === scene.chosen;
  const length = chosen ? scene.trail : Math.min(scene.trail, Math.max(24, SEGMENTS / scene.list.length));
  const first = Math.max(path.start, Math.ceil(frame - length)) - path.start;
  const last = Math.min(path.visible.length - 1, frame - path.start);
  if (last <= first) return;
  pen.setLineDash(path.guess ? [3, 4] : []);
  pen.beginPath();
  let drawing = false;
  for (let i = first; i <= last; i++) {
    const seen = path.visible[i] === 1 && !(track.content.hidden.length && rangeAt(track.content, path.start + i));
    const x = path.xy[2 * i] * view.scale + view.x;
    const y = path.xy[2 * i + 1] * view.scale + view.y;
    if (seen && drawing) pen.lineTo(x, y);
    else if (seen) pen.moveTo(x, y);
    drawing = seen;
  }
  if (chosen) {
    pen.lineWidth = 5;
    pen.strokeStyle = "rgb(0 0 0 / 45%)";
    pen.stroke();
  }
  pen.lineWidth = chosen ? 2.5 : 1.75;
  pen.globalAlpha = chosen ? 1 : 0.75;
  pen.strokeStyle = track.color;
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

/**
 * @typedef {{track: Track, x: number, y: number, radius: number, visible: boolean, square: boolean,
 *   alpha: number, chosen: boolean, strong: boolean}} Dot  of the screen, CSS pixels
 */

/** How a track looks on the frame; null where it is not known. @param {Scene} scene @param {Track} track @returns {Dot|null} */
function dotOf(scene, track) {
  const dragged = scene.drag?.key === track.key ? scene.drag.place : null;
  if (!scene.paths.at(track, scene.frame, spot) && !dragged) return null;
  const at = scene.view.toScreen(dragged?.x ?? spot.x, dragged?.y ?? spot.y);
  const { width, height } = scene.view.size;
  if (at.x < -20 || at.y < -20 || at.x > width + 20 || at.y > height + 20) return null;
  const chosen = track.key === scene.chosen;
  const strong = chosen || track.key === scene.hovered;
  const clicked = dragged !== null || spot.clicked;
  return {
    track, x: at.x, y: at.y, radius: chosen ? DOT + 3 : strong ? DOT + 1.5 : DOT, visible: dragged !== null || spot.visible,
    square: clicked, alpha: clicked ? 1 : 0.45 + 0.55 * spot.confidence, chosen, strong,
  };
}

/**
 * A filled disc: visible, the surer the fuller. A square: clicked on this frame. A dashed ring:
 * hidden. Outlines are painted all at once.
 * @param {CanvasRenderingContext2D} pen @param {Dot[]} dots
 */
function paintDots(pen, dots) {
  const seen = dots.filter((dot) => dot.visible);
  const outline = (/** @type {number} */ width, /** @type {string} */ color) => {
    pen.beginPath();
    for (const dot of seen) shape(pen, dot);
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.stroke();
  };
  outline(4.5, "rgb(0 0 0 / 80%)");
  for (const dot of seen) {
    pen.beginPath();
    shape(pen, dot);
    pen.globalAlpha = dot.alpha;
    pen.fillStyle = dot.track.color;
    pen.fill();
  }
  pen.globalAlpha = 1;
  outline(1.5, "#fff");
  pen.setLineDash([3, 3]);
  for (const dot of dots) {
    if (dot.visible) continue;
    rings(pen, dot, dot.radius, [[3.5, "rgb(0 0 0 / 70%)"], [2, dot.track.color]]);
  }
  pen.setLineDash([]);
  const chosen = dots.find((dot) => dot.chosen);
  if (chosen) rings(pen, chosen, chosen.radius + 5, [[4, "rgb(0 0 0 / 60%)"], [2, "#fff"]]);
}

/** @param {CanvasRenderingContext2D} pen @param {Dot} dot */
function shape(pen, { x, y, radius, square }) {
  const half = radius - 0.5;
  if (square) pen.rect(x - half, y - half, 2 * half, 2 * half);
  else {
    pen.moveTo(x + radius, y);
    pen.arc(x, y, radius, 0, 7);
  }
}

/**
 * One figure, stroked once for each line: a dark one below, so that it is seen on any picture.
 * @param {CanvasRenderingContext2D} pen @param {[number, string][]} lines widths and colours @param {() => void} figure
 */
function stroked(pen, lines, figure) {
  pen.beginPath();
  figure();
  for (const [width, color] of lines) {
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.stroke();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {Place} at @param {number} radius @param {[number, string][]} lines widths and colours */
export function rings(pen, at, radius, lines) {
  stroked(pen, lines, () => pen.arc(at.x, at.y, radius, 0, 7));
}

/** Four arms that leave their middle free. @param {CanvasRenderingContext2D} pen @param {Place} at @param {number} reach @param {[number, string][]} lines widths and colours */
function cross(pen, at, reach, lines) {
  stroked(pen, lines, () => {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(at.x + 5 * dx, at.y + 5 * dy);
      pen.lineTo(at.x + reach * dx, at.y + reach * dy);
    }
  });
}

/** White words on a dark ground. @param {CanvasRenderingContext2D} pen @param {string} words @param {number} left @param {number} middle @param {number} height @param {string} ground */
function plate(pen, words, left, middle, height, ground) {
  pen.fillStyle = ground;
  pen.beginPath();
  pen.roundRect(left, middle - height / 2, pen.measureText(words).width + 12, height, 5);
  pen.fill();
  pen.fillStyle = "#fff";
  pen.textBaseline = "middle";
  pen.fillText(words, left + 6, middle + 0.5);
}

/** @param {CanvasRenderingContext2D} pen @param {Dot} dot @param {string} words */
function label(pen, { x, y, radius, strong }, words) {
  pen.font = `${strong ? 600 : 500} 12px system-ui, sans-serif`;
  plate(pen, words, x + radius + (strong ? 9 : 5), y, 20, strong ? "rgb(12 15 18 / 82%)" : "rgb(12 15 18 / 62%)");
}

/** @param {CanvasRenderingContext2D} pen @param {Place} at @param {string} color */
function guide(pen, at, color) {
  stroked(pen, [[4, "rgb(0 0 0 / 60%)"], [2, color]], () => {
    pen.arc(at.x, at.y, 9, 0, 7);
    pen.moveTo(at.x - 14, at.y);
    pen.lineTo(at.x - 4, at.y);
    pen.moveTo(at.x + 4, at.y);
    pen.lineTo(at.x + 14, at.y);
  });
}

/** The pixels around a place, much larger. @param {CanvasRenderingContext2D} pen @param {Scene} scene @param {Place} place */
function lens(pen, scene, place) {
  const { view, image } = scene;
  const radius = Math.min(84, view.size.width / 4);
  const zoom = Math.max(8, view.scale * 2);
  const at = view.toScreen(place.x, place.y);
  const above = at.y > 2 * radius + 50;
  const x = Math.max(radius + 8, Math.min(view.size.width - radius - 8, at.x));
  const y = above ? at.y - radius - 46 : at.y + radius + 46;
  pen.save();
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fillStyle = scene.stage;
  pen.fill();
  pen.clip();
  pen.imageSmoothingEnabled = false;
  const { width, height } = view.video;
  if (image) pen.drawImage(image, x - place.x * zoom, y - place.y * zoom, width * zoom, height * zoom);
  cross(pen, { x, y }, 26, [[3, "rgb(0 0 0 / 50%)"], [1.25, "#fff"]]);
  pen.restore();
  rings(pen, { x, y }, radius, [[4, "rgb(0 0 0 / 45%)"], [2, "rgb(255 255 255 / 90%)"]]);
  const words = `${place.x.toFixed(2)}, ${place.y.toFixed(2)}`;
  pen.font = "500 11px ui-monospace, monospace";
  const wide = pen.measureText(words).width + 12;
  plate(pen, words, x - wide / 2, y + radius - 15, 18, "rgb(12 15 18 / 80%)");
}
