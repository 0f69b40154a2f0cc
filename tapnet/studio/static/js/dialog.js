/** Dialogs, menus and short messages. */
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * A dialog over the page; Escape and the cross close it. Returns it, open.
 * @param {string} title @param {(Node|string|null|false)[]} body @param {{wide?: boolean|string, onclose?: () => void, fixed?: boolean}} [options]
 * @returns {HTMLDialogElement}
 */
export function dialog(title, body, { wide = false, onclose, fixed = false } = {}) {
  const close = h("button", { class: "quiet square", type: "button", "aria-label": "Close", title: "Close (Esc)" }, icon("close"));
  const box = h(
    "dialog",
    { class: `dialog ${wide === true ? "wide" : wide || ""}`, "aria-label": title, tabindex: "-1" },
    h("header", {}, h("h2", {}, title), !fixed && close),
    h("div", { class: "dialog-body" }, ...body),
  );
  close.addEventListener("click", () => box.close());
  box.addEventListener("cancel", (/** @type {Event} */ event) => fixed && event.preventDefault());
  box.addEventListener("click", (/** @type {MouseEvent} */ event) => event.target === box && !fixed && box.close());
  box.addEventListener("close", () => {
    box.remove();
    onclose?.();
  });
  document.body.append(box);
  box.showModal();
  box.focus(); // not the cross; whoever opens it may choose a field
  return box;
}

/**
 * Asks; resolves with the value of the button, or null when closed.
 * @param {string} title @param {(Node|string)[]} body @param {[string, string, string?][]} buttons words, value, class
 * @returns {Promise<string|null>}
 */
export function ask(title, body, buttons) {
  return new Promise((resolve) => {
    /** @type {string|null} */
    let answer = null;
    const row = h("div", { class: "buttons" });
    const box = dialog(title, [...body, row], { onclose: () => resolve(answer) });
    for (const [words, value, kind = ""] of buttons) {
      const choose = () => {
        answer = value;
        box.close();
      };
      row.append(h("button", { type: "button", class: kind, onclick: choose }, words));
    }
    row.querySelector("button:last-child")?.focus();
  });
}

/**
 * A dialog with fields, which closes once `run` went well.
 * @param {string} title @param {Node[]} fields @param {string} words of the button @param {() => Promise<any>} run
 */
export function askFields(title, fields, words, run) {
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await attempt(run)) box.close();
  };
  const box = dialog(title, [h("form", { class: "form", onsubmit: submit }, ...fields, h("button", { class: "main", type: "submit" }, words))]);
  /** @type {HTMLElement|null} */ (box.querySelector("input, textarea"))?.focus();
}

/** Does something; says so where it fails. @param {() => Promise<any>} run @returns {Promise<boolean>} whether it went well */
export async function attempt(run) {
  try {
    await run();
    return true;
  } catch (error) {
    toast(/** @type {Error} */ (error).message, "bad");
    return false;
  }
}

/** @param {string} words @param {"plain"|"good"|"bad"} [kind] @param {{words: string, run: () => void}} [action] */
export function toast(words, kind = "plain", action) {
  const place = /** @type {HTMLElement} */ (document.getElementById("toasts"));
  const same = [...place.children].find((other) => other.getAttribute("data-words") === words);
  same?.remove();
  const note = h("div", { class: `toast ${kind}`, "data-words": words }, kind !== "plain" && icon(kind === "bad" ? "warning" : "check"), h("span", {}, words));
  if (action) {
    const run = () => {
      note.remove();
      action.run();
    };
    note.append(h("button", { class: "link", type: "button", onclick: run }, action.words));
  }
  while (place.children.length >= 3) place.firstElementChild?.remove();
  place.append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : action ? 7000 : 4000);
}

/** @type {(() => void)|null} */
let closeOpen = null;

/**
 * Makes a button open a menu, or any panel, below (or above) it.
 * @param {HTMLElement} button @param {() => (Node|null|false)[]} items made when opened @param {{role?: string, label?: string}} [options]
 */
export function menu(button, items, { role = "menu", label = "" } = {}) {
  button.setAttribute("aria-haspopup", role === "menu" ? "menu" : "dialog");
  button.setAttribute("aria-expanded", "false");
  const open = () => {
    closeOpen?.();
    const panel = h("div", { class: "menu", role, "aria-label": label || button.getAttribute("aria-label") || button.textContent, tabindex: "-1" });
    fill(panel, ...items());
    document.body.append(panel);
    put(panel, button);
    button.setAttribute("aria-expanded", "true");
    const outside = (/** @type {Event} */ event) => {
      const at = /** @type {Node} */ (event.target);
      if (!panel.contains(at) && !button.contains(at)) close();
    };
    const close = () => {
      panel.remove();
      button.setAttribute("aria-expanded", "false");
      document.removeEventListener("pointerdown", outside, true);
      removeEventListener("resize", close);
      closeOpen = null;
    };
    panel.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      event.stopPropagation();
      if (event.key === "Escape") {
        close();
        button.focus();
      } else if (role === "menu") along(panel, event);
    });
    panel.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (/** @type {Element} */ (event.target).closest("[role=menuitem], [data-close]")) close();
    });
    document.addEventListener("pointerdown", outside, true);
    addEventListener("resize", close);
    closeOpen = close;
    /** @type {HTMLElement|null} */ (panel.querySelector("[role=menuitem], input, select, button"))?.focus();
  };
  button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? closeOpen?.() : open()));
}

/** @param {HTMLElement} panel @param {KeyboardEvent} event */
function along(panel, event) {
  const all = [.../** @type {NodeListOf<HTMLElement>} */ (panel.querySelectorAll("[role=menuitem]:not(:disabled)"))];
  const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
  const to = steps[/** @type {"Home"} */ (event.key)];
  if (to === undefined) return;
  event.preventDefault();
  all[(to + all.length) % all.length]?.focus();
}

/** @param {HTMLElement} panel @param {HTMLElement} button */
function put(panel, button) {
  const from = button.getBoundingClientRect();
  const own = panel.getBoundingClientRect();
  const left = Math.min(from.left, innerWidth - own.width - 8);
  const below = from.bottom + 6 + own.height < innerHeight;
  panel.style.left = `${Math.max(8, from.right - own.width > 8 && from.left > innerWidth / 2 ? from.right - own.width : left)}px`;
  panel.style.top = `${below ? from.bottom + 6 : Math.max(8, from.top - own.height - 6)}px`;
}

/** @param {import("./icons.js").Icon} name @param {string} words @param {() => void} run @param {{note?: string, danger?: boolean, disabled?: boolean}} [more] */
export function menuItem(name, words, run, { note, danger, disabled } = {}) {
  return h(
    "button",
    { type: "button", role: "menuitem", class: danger ? "item danger" : "item", onclick: run, disabled },
    icon(name), h("span", {}, words, note && h("small", {}, note)),
  );
}

/**
 * A button with an icon; its words are for screen readers and the tooltip.
 * @param {import("./icons.js").Icon} name @param {string} words @param {(event: MouseEvent) => void} [run] @param {{key?: string, class?: string}} [more]
 * @returns {HTMLButtonElement}
 */
export function iconButton(name, words, run, { key, class: kind = "quiet square" } = {}) {
  const title = key ? `${words} (${key})` : words;
  return h("button", { type: "button", class: kind, title, "aria-label": words, onclick: run }, icon(name));
}
