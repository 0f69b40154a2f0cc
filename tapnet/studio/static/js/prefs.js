/** What this browser remembers of how the studio is used. */
import { Signals } from "./signal.js";

const NAME = "tapnet.preferences";
const DEFAULTS = {
  theme: "system", trail: 24, labels: false, lens: false, assist: "tracker", model: "", tool: "add", gridCount: 100,
};

/** @typedef {typeof DEFAULTS} Values */

class Preferences extends Signals {
  constructor() {
    super();
    /** @type {Values} */
    this.values = { ...DEFAULTS };
    try {
      Object.assign(this.values, JSON.parse(localStorage.getItem(NAME) ?? "{}"));
    } catch {
      localStorage.removeItem(NAME);
    }
  }

  /** @param {Partial<Values>} values */
  set(values) {
    Object.assign(this.values, values);
    try {
      localStorage.setItem(NAME, JSON.stringify(this.values));
    } catch {
      // a full or forbidden storage: they hold until the page is left
    }
    this.emit("changed", values);
  }
}

export const preferences = new Preferences();

/** Dark or light, as chosen or as the system is. @returns {"dark"|"light"} */
export function theme() {
  const { theme } = preferences.values;
  if (theme === "dark" || theme === "light") return theme;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

export function applyTheme() {
  document.documentElement.setAttribute("data-theme", theme());
  preferences.emit("theme");
}

export function switchTheme() {
  preferences.set({ theme: theme() === "dark" ? "light" : "dark" });
  applyTheme();
}
