/** Talking to the server: JSON in and out, the token of the session, errors in its words. */

/** What the server refused, and why. `status` 0: it was not reached. */
export class Refused extends Error {
  /** @param {number} status @param {string} words @param {any} [answer] */
  constructor(status, words, answer) {
    super(words);
    this.status = status;
    this.answer = answer;
  }

  /** Whether the same request may succeed later: not reached, busy, or out of order. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

let token = "";
/** @type {() => void} */
let loggedOut = () => {};

/** @param {string} csrf */
export function useToken(csrf) {
  token = csrf;
}

/** What to do when the session has ended. @param {() => void} listener */
export function onLoggedOut(listener) {
  loggedOut = listener;
}

/**
 * @param {string} method @param {string} path @param {any} [body] @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 */
export async function call(method, path, body, headers = {}) {
  const raw = body instanceof Blob;
  /** @type {RequestInit} */
  const request = { method, headers: { ...headers }, credentials: "same-origin" };
  if (method !== "GET") Object.assign(/** @type {any} */ (request.headers), { "X-CSRF": token });
  if (body !== undefined) {
    request.body = raw ? body : JSON.stringify(body);
    if (!raw) Object.assign(/** @type {any} */ (request.headers), { "Content-Type": "application/json" });
  }
  let response;
  try {
    response = await fetch(`/api/${path}`, request);
  } catch {
    throw new Refused(0, "The server cannot be reached.");
  }
  const text = await response.text();
  const answer = text ? parsed(text) : null;
  if (response.ok) return answer;
  if (response.status === 401 && path !== "login" && path !== "me") loggedOut();
  throw new Refused(response.status, explained(response.status, answer), answer);
}

/** @param {string} path */
export const get = (path) => call("GET", path);
/** @param {string} path @param {any} [body] */
export const post = (path, body) => call("POST", path, body);

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 200) };
  }
}

/** @param {number} status @param {any} answer */
function explained(status, answer) {
  const detail = answer?.detail;
  const words = Array.isArray(detail) ? detail.map((part) => part.msg ?? "").join(", ") : detail;
  if (typeof words !== "string" || !words) return `The server answered ${status}.`;
  return words[0].toUpperCase() + words.slice(1);
}

/** A name that no other edit has. @returns {string} */
export function newName() {
  if (globalThis.isSecureContext) return crypto.randomUUID(); // a secure address
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
