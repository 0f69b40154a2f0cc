/** Colours of the points: neighbours in number lie far apart, all as bright and as strong as each other. */
import { h } from "./dom.js";

const GOLDEN = 137.508; // degrees

/** @param {number} number of the point, from 1 @returns {string} */
export function colorOf(number) {
  const hue = (25 + (number - 1) * GOLDEN) % 360;
  return `oklch(0.74 0.21 ${hue.toFixed(1)})`;
}

/** A round spot of a colour. @param {string} color @returns {HTMLElement} */
export function swatch(color) {
  const spot = h("i", { class: "swatch", "aria-hidden": "true" });
  spot.style.background = color;
  return spot;
}

/** What the pictures and strips are painted with, of the theme that is on. */
export function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const read = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    stage: read("--stage"), panel: read("--panel"), line: read("--line"), text: read("--text"),
    muted: read("--muted"), accent: read("--accent"), warn: read("--warn"), faint: read("--faint"),
  };
}
