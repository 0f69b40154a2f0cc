import { App } from "./app.js";
import { applyTheme } from "./prefs.js";

applyTheme();
matchMedia("(prefers-color-scheme: light)").addEventListener("change", applyTheme);
new App(/** @type {HTMLElement} */ (document.getElementById("app"))).start();
