/** The page as a whole: who is logged in, which screen is on, what every screen has in its bar. */
import { Refused, get, onLoggedOut, post, useToken } from "./api.js";
import { attempt, iconButton, menu, menuItem } from "./dialog.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { loginScreen, loginAgain } from "./login.js";
import { preferences, switchTheme, theme } from "./prefs.js";
/** @typedef {import("./types.js").Me} Me */
/**
 * What a screen gets: where it draws, and what tells it that another screen is asked for. It draws
 * nothing from then on, and ends what it has begun.
 * @typedef {{root: HTMLElement, app: App, left: AbortSignal, id: number}} On  `id` of the video
 */

export class App {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {Me} */
    this.me = { name: "", role: "", csrf: "", login_required: false, version: "" };
    /** @type {(() => void)|null} what a screen does when its session is back */
    this.resume = null;
    this.left = new AbortController(); // of the screen that is on
    addEventListener("hashchange", () => this.show());
    onLoggedOut(() => this.lostSession());
  }

  async start() {
    try {
      const me = await get("me");
      if (me?.login_required && !me.name) return this.askLogin();
      this.enter(me);
    } catch (error) {
      const refused = /** @type {Refused} */ (error);
      if (refused.status === 401) return this.askLogin();
      const again = h("button", { type: "button", class: "main", onclick: () => this.start() }, "Try again");
      fill(this.root, h("div", { class: "center" }, icon("offline"), h("h1", {}, "The studio does not answer"), h("p", {}, refused.message), again));
    }
  }

  askLogin() {
    this.leave();
    loginScreen(this.root, (me) => this.enter(me));
  }

  /** @param {Me} me */
  enter(me) {
    this.me = me;
    useToken(me.csrf);
    this.show();
  }

  /** The session ended under an open screen: log in again, and go on where we are. */
  lostSession() {
    loginAgain(this.me.name, (me) => {
      const other = me.name !== this.me.name;
      this.me = me;
      useToken(me.csrf);
      if (other) this.show();
      else this.resume?.();
    });
  }

  /** @param {string} address */
  open(address) {
    if (location.hash === address) this.show();
    else location.hash = address;
  }

  leave() {
    this.left.abort();
    this.resume = null;
    for (const box of document.querySelectorAll("dialog")) box.close();
  }

  async show() {
    this.leave();
    this.left = new AbortController();
    const { signal } = this.left;
    document.title = "tapnet studio";
    const asked = /^#video=(\d+)$/.exec(location.hash); // the address that the command line opens
    if (asked) return location.replace(`#/video/${asked[1]}`);
    const [, place = "", id = "", part = ""] = location.hash.split("/");
    try {
      const screen = await this.screen(place, part);
      signal.throwIfAborted();
      await screen({ root: this.root, app: this, left: signal, id: Number(id) });
    } catch (error) {
      if (signal.aborted) return;
      const words = /** @type {Error} */ (error).message;
      fill(this.root, this.bar("Not found"), h("div", { class: "center" }, icon("warning"), h("h1", {}, "This cannot be opened"), h("p", {}, words), h("a", { class: "button main", href: "#/" }, "All videos")));
      if (!(error instanceof Refused)) throw error;
    }
  }

  /** @param {string} place @param {string} part @returns {Promise<(on: On) => Promise<void>>} */
  async screen(place, part) {
    if (place === "video" && part === "compare") return (await import("./compare.js")).compareScreen;
    if (place === "video") return (await import("./editor_screen.js")).editorScreen;
    if (place === "tasks") return (await import("./tasks.js")).tasksScreen;
    if (place === "people") return (await import("./people.js")).peopleScreen;
    return (await import("./library.js")).libraryScreen;
  }

  /** What every bar ends with. @param {() => void} [help] @returns {any[]} */
  controls(help) {
    const look = iconButton("sun", "", switchTheme);
    const update = () => {
      const dark = theme() === "dark";
      fill(look, icon(dark ? "sun" : "moon"));
      look.title = dark ? "Light" : "Dark";
      look.setAttribute("aria-label", dark ? "Switch to light" : "Switch to dark");
    };
    preferences.during(look, "theme", update);
    update();
    return [help && iconButton("help", "Keys and gestures", help, { key: "?", class: "quiet square help" }), look, this.me.login_required && this.person()];
  }

  person() {
    const button = h("button", { type: "button", class: "quiet person", "aria-label": `${this.me.name}, ${this.me.role}` }, h("span", { class: "initial", "aria-hidden": "true" }, this.me.name.slice(0, 1).toUpperCase()));
    menu(button, () => [
      h("p", { class: "menu-note" }, h("b", {}, this.me.name), h("br"), this.me.role),
      menuItem("tasks", "My tasks", () => this.open("#/tasks")),
      this.me.role === "admin" && menuItem("people", "People", () => this.open("#/people")),
      menuItem("leave", "Log out", () => this.logout()),
    ]);
    return button;
  }

  /** @param {string} title @param {...any} more */
  bar(title, ...more) {
    const here = location.hash.split("/")[1] ?? "";
    const tab = (/** @type {string} */ name, /** @type {string} */ words) =>
      h("a", { class: "tab", href: `#/${name}`, "aria-current": here === name ? "page" : null }, words);
    const team = this.me.login_required;
    return h(
      "header",
      { class: "bar" },
      h("a", { class: "brand", href: "#/", "aria-label": "tapnet studio, all videos" }, h("img", { src: "/static/icon.svg", alt: "", width: "26", height: "26" }), h("span", {}, "tapnet studio")),
      team && h("nav", { class: "tabs", "aria-label": "Sections" }, tab("", "Videos"), tab("tasks", "My tasks"), this.me.role === "admin" && tab("people", "People")),
      h("h1", { class: "spoken" }, title),
      h("span", { class: "gap" }),
      ...more,
      ...this.controls(),
    );
  }

  async logout() {
    if (await attempt(() => post("logout"))) this.askLogin();
  }
}
