/** Elements of the page: made in one call, without inline script or style. */

/**
 * An element. `on…` attributes are listeners, `class` and the like are set as attributes, null and
 * false leave an attribute out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...known(children));
  return element;
}

/**
 * Puts other children into an element. Those that are there already are not taken out: what is
 * being pressed or typed in stays so.
 * @param {Element} element
 * @param {...(Node|string|number|null|undefined|false)} children
 */
export function fill(element, ...children) {
  const wanted = known(children);
  const stay = new Set(wanted);
  for (const child of [...element.childNodes]) if (!stay.has(child)) child.remove();
  let next = element.firstChild;
  for (const child of wanted) {
    if (child === next) next = next.nextSibling;
    else if (child instanceof Node) element.insertBefore(child, next);
    else element.insertBefore(document.createTextNode(child), next);
  }
}

/**
 * What makes the elements of a list from its data: for what is as it was the last time, the same.
 * @template T @param {(data: T) => Element} make @returns {(list: T[]) => Element[]}
 */
export function remembered(make) {
  /** @type {Map<string, Element>} */
  let before = new Map();
  return (list) => {
    const now = new Map();
    for (const data of list) {
      const key = JSON.stringify(data);
      now.set(key, before.get(key) ?? make(data));
    }
    before = now;
    return [...now.values()];
  };
}

/** @param {any[]} children @returns {(Node|string)[]} */
function known(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Gives a canvas as many pixels as the screen has below it.
 * @param {HTMLCanvasElement} canvas
 * @returns {{width: number, height: number, ratio: number}} CSS pixels, and canvas pixels to each of them
 */
export function sharpen(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  return { width, height, ratio };
}

/** Says something to those who listen to a screen reader. @param {string} words */
export function say(words) {
  const element = /** @type {HTMLElement} */ (document.getElementById("spoken"));
  element.textContent = words;
}

/**
 * A number with its word: "1 point", "3 points".
 * @param {number} n @param {string} one @param {string} [many]
 */
export function counted(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** Seconds as "0:07.25". @param {number} seconds @param {number} [digits] */
export function clock(seconds, digits = 2) {
  const scale = 10 ** digits;
  const whole = Math.floor(seconds * scale + 1e-6) / scale;
  const minutes = Math.floor(whole / 60);
  const rest = (whole - minutes * 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return `${minutes}:${rest}`;
}

/** A moment, in words of today. @param {string|number|null} time */
export function moment(time) {
  if (time === null || time === undefined) return "";
  const date = new Date(typeof time === "number" ? time * 1000 : zoned(time));
  if (Number.isNaN(date.getTime())) return String(time);
  const seconds = (Date.now() - date.getTime()) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  const today = new Date().toDateString() === date.toDateString();
  const hours = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? hours : `${date.toLocaleDateString()} ${hours}`;
}

/** Times without a zone are UTC. @param {string} time */
function zoned(time) {
  return /T.*(Z|[+-]\d\d:?\d\d)$/.test(time) || !time.includes("T") ? time : `${time}Z`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** The name of a video without its folder. @param {string} path */
export const shortName = (path) => path.slice(path.lastIndexOf("/") + 1);
